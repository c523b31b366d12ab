/*
 * ool_operators_run.h - one row of recorded operators; for the files of the operator reader only.
 */
#ifndef OOL_OPERATORS_RUN_H
#define OOL_OPERATORS_RUN_H

#include "ool_conform.h"
#include "ool_snippet.h"

/* What the tape emitted so far, as the recorder would write it. */
struct ool_recording {
    size_t next_op; /* not yet taken */
    uint32_t next_id;
    uint32_t first_storage; /* those before it existed before */
    uint32_t *ids;          /* of a storage since first_storage */
    size_t n_ids, ids_capacity;
    char **names; /* of the storages before first_storage; NULL = without a name */
};

struct ool_operators_run {
    struct ool_conform *conform;
    struct ool_error *err;
    struct ool_tape_config config;
    struct ool_program program;
    struct ool_tape *tape;
    struct ool_snippet *snippet;
    struct ool_tensor *gradient; /* what backward was given */
    struct ool_recording recording;
    struct ool_text here, recorded; /* all streams of the row, for its peak */
    struct ool_text detail;         /* of the first difference */
    bool only_new;                  /* frees of what existed before are not recorded */
};

/* The id of a storage in the recording ("3"), or what it was called before ("x", "before"). */
const char *ool_operators_where(const struct ool_operators_run *run, uint32_t storage,
                                char buffer[16]);
/* The events since the last call as the recorder writes them: "+12 -0 -x". */
enum ool_status ool_operators_take(struct ool_operators_run *run, struct ool_text *out);
/* The words of a text in the order of the alphabet: for what has no defined order. @runs: only
 * frees among the frees beside them, "+1 -3 -2 +4" becomes "+1 -2 -3 +4". */
enum ool_status ool_operators_sort(struct ool_text *text, bool runs, struct ool_error *err);
/* Compares two lists of words; the row's first difference becomes its detail. */
void ool_operators_compare(struct ool_operators_run *run, const char *part, const char *recorded,
                           const char *here);
/* Takes the events since the last part and compares them; where an autocast region was left, frees
 * in a row are compared as a set. */
enum ool_status ool_operators_check_part(struct ool_operators_run *run, const char *part,
                                         const char *recorded);

/* A text of a row; NULL or "" where it has none of that name. */
const char *ool_operators_text(const json_t *row, const char *key);
const char *ool_operators_stream(const json_t *row, const char *key);
/* Any JSON value without blanks; a text without its quotes. */
void ool_operators_print_json(struct ool_text *out, const json_t *value);

/* The release, the card and the environment of a row; false: run->detail says what is not known. */
bool ool_operators_configure(struct ool_operators_run *run, const json_t *root, const char *card,
                             const json_t *env);
/* init, configure, open (a process with its inputs and setup, recording from there on), the row's
 * own parts, finish (adds the row; only a lack of host memory is an error), fini. */
void ool_operators_init(struct ool_operators_run *run, struct ool_conform *conform,
                        struct ool_error *err);
void ool_operators_fini(struct ool_operators_run *run);
enum ool_status ool_operators_open(struct ool_operators_run *run, const json_t *inputs,
                                   const char *setup, bool is_warm);
enum ool_status ool_operators_finish(struct ool_operators_run *run, const char *id,
                                     enum ool_status status, struct ool_error *err);

/* Every entry of every sweep of the file as a row. */
enum ool_status ool_operators_sweeps(const json_t *root, struct ool_conform *conform,
                                     struct ool_error *err);

#endif
