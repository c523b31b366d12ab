/*
 * ool_conform.h - hold this build against recorded truth: rows, their errors, a summary.
 *
 * Each format has a reader (ool_conform_allocator.c, ool_conform_operators.c, ool_conform_models.c,
 * ool_conform_published.c) that maps every row, by its fields only, to what this build runs, and
 * adds one result per row here. Nothing is keyed on a row's name or expected value.
 */
#ifndef OOL_CONFORM_H
#define OOL_CONFORM_H

#include "ool_error.h"
#include "ool_text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum ool_row_status {
    OOL_ROW_EXACT,  /* equal in every value that the row holds */
    OOL_ROW_WITHIN, /* inside the tolerance of its kind */
    OOL_ROW_MISSED,
    OOL_ROW_SKIPPED, /* this build can't express it; counts as missed under --strict */
    OOL_ROW_UNSCORED /* its file says that it is not to be scored: left out of every count */
};

struct ool_row {
    char *id;     /* as the file names it */
    char *detail; /* first difference, or the reason of a skip; may be many lines; NULL = none */
    enum ool_row_status status;
    double error;     /* relative; 0.01 is one percent; 0 for exact rows */
    bool has_verdict; /* the row holds verdicts (fits / oom, largest batch) */
    bool wrong_verdict;
};

struct ool_conform {
    struct ool_row *rows;
    size_t n_rows, capacity;
    const char
        *only; /* a glob: rows whose id it does not match are left out; NULL = all; borrowed */
};

void ool_conform_init(struct ool_conform *conform);
void ool_conform_fini(struct ool_conform *conform);

/* True if a row is asked for: a reader need not run the others. */
bool ool_conform_wants(const struct ool_conform *conform, const char *id);

/**
 * ool_conform_add - one row's result; it becomes the last of conform->rows
 *
 * @id, @detail: copied; @detail may be NULL. A row that is not wanted is left out without a word.
 */
enum ool_status ool_conform_add(struct ool_conform *conform, const char *id,
                                enum ool_row_status status, double error, const char *detail,
                                struct ool_error *err);

/**
 * ool_conform_file - recognise a file's format by its content and check all its rows
 *
 * @path: JSON, JSON Lines or either gzipped
 * Errors: OOL_E_FILE, OOL_E_DATA (no known format), OOL_E_HOST_OOM. A row that fails is no error.
 */
enum ool_status ool_conform_file(const char *path, struct ool_conform *conform,
                                 struct ool_error *err);

/* The readers. @root is the parsed file. */
enum ool_status ool_conform_allocator(const char *path, const json_t *root,
                                      struct ool_conform *conform, struct ool_error *err);
enum ool_status ool_conform_settings(const char *path, const json_t *root,
                                     struct ool_conform *conform, struct ool_error *err);
enum ool_status ool_conform_operators(const char *path, const json_t *root,
                                      struct ool_conform *conform, struct ool_error *err);
enum ool_status ool_conform_models(const char *path, const json_t *root,
                                   struct ool_conform *conform, struct ool_error *err);
enum ool_status ool_conform_published(const char *path, const json_t *root,
                                      struct ool_conform *conform, struct ool_error *err);

/* Rows as a table with the summary line; @worst > 0 lists only so many of the worst rows. */
void ool_conform_print(const struct ool_conform *conform, size_t worst, struct ool_text *out);
/* {"rows": [...], "summary": {...}} as DESIGN section 7 names the keys; NULL when memory is short. */
json_t *ool_conform_json(const struct ool_conform *conform);
/* True if a row missed (or was skipped under @strict) or has a wrong verdict. */
bool ool_conform_failed(const struct ool_conform *conform, bool strict);

#endif
