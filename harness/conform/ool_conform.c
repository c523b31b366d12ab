/*
 * ool_conform.c - the rows of a check, their summary, and the recogniser that picks a reader.
 */
#include "ool_conform.h"

#include "ool_file.h"
#include "ool_mem.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT ((size_t)1 << 30)

/* --- rows ------------------------------------------------------------------------------------- */

void ool_conform_init(struct ool_conform *conform)
{
    memset(conform, 0, sizeof(*conform));
}

void ool_conform_fini(struct ool_conform *conform)
{
    for (size_t i = 0; i < conform->n_rows; i++) {
        ool_free(conform->rows[i].id);
        ool_free(conform->rows[i].detail);
    }
    ool_free(conform->rows);
    ool_conform_init(conform);
}

bool ool_conform_wants(const struct ool_conform *conform, const char *id)
{
    return conform->only == NULL || fnmatch(conform->only, id, 0) == 0;
}

enum ool_status ool_conform_add(struct ool_conform *conform, const char *id,
                                enum ool_row_status status, double error, const char *detail,
                                struct ool_error *err)
{
    struct ool_row row = {.status = status, .error = error};

    if (!ool_conform_wants(conform, id))
        return OOL_OK;
    row.id = ool_strdup(id);
    if (row.id == NULL)
        goto short_of_memory;
    if (detail != NULL && (row.detail = ool_strdup(detail)) == NULL)
        goto short_of_memory;
    if (!ool_grow(&conform->rows, &conform->capacity, conform->n_rows, sizeof(row)))
        goto short_of_memory;
    conform->rows[conform->n_rows++] = row;
    return OOL_OK;
short_of_memory:
    ool_free(row.id);
    ool_free(row.detail);
    return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the result of row %.60s", id);
}

/* --- files ------------------------------------------------------------------------------------ */

struct format {
    bool (*recognise)(const json_t *root);
    enum ool_status (*read)(const char *path, const json_t *root, struct ool_conform *conform,
                            struct ool_error *err);
};

/* Allocator traces, one or many, and the index that lies beside them (which holds no row). */
static bool is_allocator(const json_t *root)
{
    const json_t *first = json_is_array(root) ? json_array_get(root, 0) : root;

    return (json_object_get(first, "ops") != NULL && json_object_get(first, "device") != NULL) ||
           (json_object_get(first, "file") != NULL && json_object_get(first, "total_mib") != NULL);
}

/* By release: answers to settings strings, or which of them it refused. */
static bool is_settings(const json_t *root)
{
    json_t *versions = json_object_get(root, "versions");
    void *first = json_object_iter((json_t *)(uintptr_t)root);

    if (json_object_get(root, "compared_with") != NULL)
        return json_is_object(versions);
    return first != NULL && strspn(json_object_iter_key(first), "0123456789.") > 2 &&
           json_is_object(json_object_iter_value(first));
}

/* Rows of models of a known family, phase by phase. */
static bool is_models(const json_t *root)
{
    const json_t *first = json_array_get(json_object_get(root, "rows"), 0);
    const json_t *model = json_object_get(json_object_get(first, "cfg"), "model");

    return json_object_get(root, "phase_fields") != NULL &&
           json_object_get(model, "family") != NULL;
}

/* Single operators, described by their text. */
static bool is_operators(const json_t *root)
{
    return json_is_array(json_object_get(root, "operators")) &&
           json_is_object(json_object_get(root, "gpus"));
}

static bool is_published(const json_t *root)
{
    const json_t *first = json_array_get(root, 0);

    return json_object_get(first, "tier") != NULL &&
           json_object_get(first, "workload_fields") != NULL;
}

/* A reader is a line here. */
static const struct format formats[] = {
    {is_allocator, ool_conform_allocator}, {is_settings, ool_conform_settings},
    {is_models, ool_conform_models},       {is_published, ool_conform_published},
    {is_operators, ool_conform_operators}, {NULL, NULL},
};

/* Adds the next value of a file: the first is the root itself, a second makes it a list. */
static bool append_value(json_t **root, size_t n_before, json_t *value)
{
    if (n_before == 0) {
        *root = value;
        return true;
    }
    if (n_before == 1) {
        json_t *list = json_array();

        if (list == NULL || json_array_append_new(list, *root) != 0) {
            *root = list; /* what it held is gone: append_new takes the reference either way */
            json_decref(value);
            return false;
        }
        *root = list;
    }
    return json_array_append_new(*root, value) == 0;
}

/* One JSON value, or several in a row (JSON Lines), which become an array. */
static enum ool_status parse(const char *path, const char *data, size_t length, json_t **out,
                             struct ool_error *err)
{
    json_t *root = NULL;
    size_t at = 0;

    for (size_t n = 0;; n++) {
        json_error_t error;
        json_t *value;

        at += strspn(data + at, " \t\r\n");
        if (at >= length && n > 0)
            break;
        value = json_loadb(data + at, length - at, JSON_DISABLE_EOF_CHECK, &error);
        if (value == NULL) {
            json_decref(root);
            if (json_error_code(&error) == json_error_out_of_memory)
                return ool_error_set(err, OOL_E_HOST_OOM, "no memory to parse %s", path);
            return ool_error_set(err, OOL_E_DATA, "%s: value %zu is not JSON: line %d: %s", path,
                                 n + 1, error.line, error.text);
        }
        at += (size_t)error.position;
        if (!append_value(&root, n, value)) {
            json_decref(root);
            return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the rows of %s", path);
        }
    }
    *out = root;
    return OOL_OK;
}

enum ool_status ool_conform_file(const char *path, struct ool_conform *conform,
                                 struct ool_error *err)
{
    char *data = NULL;
    size_t length = 0;
    json_t *root = NULL;
    enum ool_status status;

    status = ool_file_read(path, FILE_LIMIT, &data, &length, err);
    if (status != OOL_OK)
        return status;
    status = parse(path, data, length, &root, err);
    ool_free(data);
    if (status != OOL_OK)
        return status;
    for (const struct format *format = formats; format->recognise != NULL; format++)
        if (format->recognise(root)) {
            status = format->read(path, root, conform, err);
            goto out;
        }
    status = ool_error_set(err, OOL_E_DATA, "%s: no format of recorded truth that is known", path);
out:
    json_decref(root);
    return status;
}

/* --- summary ---------------------------------------------------------------------------------- */

struct summary {
    size_t rows, exact, within, missed, skipped, wrong_verdicts;
    double median_error, max_error;
    bool has_error; /* at least one row was compared */
};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static bool summarize(const struct ool_conform *conform, struct summary *out)
{
    struct summary s = {0};
    double *errors = ool_calloc(conform->n_rows + 1, sizeof(*errors));
    size_t n = 0;

    if (errors == NULL)
        return false;
    for (size_t i = 0; i < conform->n_rows; i++) {
        const struct ool_row *row = &conform->rows[i];

        if (row->status == OOL_ROW_UNSCORED)
            continue;
        s.rows++;
        s.exact += row->status == OOL_ROW_EXACT;
        s.within += row->status == OOL_ROW_WITHIN;
        s.missed += row->status == OOL_ROW_MISSED;
        s.skipped += row->status == OOL_ROW_SKIPPED;
        s.wrong_verdicts += row->has_verdict && row->wrong_verdict;
        if (row->status != OOL_ROW_SKIPPED)
            errors[n++] = row->error;
    }
    if (n > 0) {
        qsort(errors, n, sizeof(*errors), compare_doubles);
        s.median_error = n % 2 == 1 ? errors[n / 2] : (errors[n / 2 - 1] + errors[n / 2]) / 2;
        s.max_error = errors[n - 1];
        s.has_error = true;
    }
    ool_free(errors);
    *out = s;
    return true;
}

bool ool_conform_failed(const struct ool_conform *conform, bool strict)
{
    for (size_t i = 0; i < conform->n_rows; i++) {
        const struct ool_row *row = &conform->rows[i];

        if (row->status == OOL_ROW_UNSCORED)
            continue;
        if (row->status == OOL_ROW_MISSED || (strict && row->status == OOL_ROW_SKIPPED) ||
            (row->has_verdict && row->wrong_verdict))
            return true;
    }
    return false;
}

/* --- printers --------------------------------------------------------------------------------- */

static const char *const status_words[] = {
    [OOL_ROW_EXACT] = "exact",     [OOL_ROW_WITHIN] = "within",     [OOL_ROW_MISSED] = "missed",
    [OOL_ROW_SKIPPED] = "skipped", [OOL_ROW_UNSCORED] = "unscored",
};

/* Rows from the worst to the best, then as the files have them. */
static int compare_badness(const void *a, const void *b)
{
    static const int rank[] = {[OOL_ROW_MISSED] = 0,
                               [OOL_ROW_SKIPPED] = 1,
                               [OOL_ROW_WITHIN] = 2,
                               [OOL_ROW_EXACT] = 3,
                               [OOL_ROW_UNSCORED] = 4};
    const struct ool_row *x = *(const struct ool_row *const *)a;
    const struct ool_row *y = *(const struct ool_row *const *)b;
    bool x_wrong = x->has_verdict && x->wrong_verdict, y_wrong = y->has_verdict && y->wrong_verdict;

    if (x_wrong != y_wrong)
        return x_wrong ? -1 : 1;
    if (rank[x->status] != rank[y->status])
        return rank[x->status] - rank[y->status];
    if (x->error > y->error || x->error < y->error)
        return x->error > y->error ? -1 : 1;
    return (x > y) - (x < y);
}

/* @whole: all lines of the detail, indented; otherwise the first one behind the row. */
static void print_row(const struct ool_row *row, int width, bool whole, struct ool_text *out)
{
    char error[32] = "n/a";

    if (row->status == OOL_ROW_EXACT || row->status == OOL_ROW_WITHIN ||
        row->status == OOL_ROW_MISSED)
        snprintf(error, sizeof(error), "%.3f %%", row->error * 100);
    ool_text_printf(out, "%-8s %10s  ", status_words[row->status], error);
    if (row->detail == NULL) {
        ool_text_puts(out, row->id);
    } else if (!whole) {
        ool_text_printf(out, "%-*s  %.*s", width, row->id, (int)strcspn(row->detail, "\n"),
                        row->detail);
    } else {
        ool_text_puts(out, row->id);
        for (const char *line = row->detail; *line != '\0';) {
            size_t length = strcspn(line, "\n");

            ool_text_puts(out, "\n    ");
            ool_text_add(out, line, length);
            line += length + (line[length] == '\n');
        }
    }
    if (row->has_verdict && row->wrong_verdict)
        ool_text_puts(out, "  (wrong verdict)");
    ool_text_puts(out, "\n");
}

static void print_summary(const struct summary *s, struct ool_text *out)
{
    ool_text_printf(out, "%zu rows: %zu exact, %zu within, %zu missed, %zu skipped; ", s->rows,
                    s->exact, s->within, s->missed, s->skipped);
    if (s->has_error)
        ool_text_printf(out, "median error %.3f %%, largest %.3f %%; ", s->median_error * 100,
                        s->max_error * 100);
    ool_text_printf(out, "wrong verdicts %zu\n", s->wrong_verdicts);
}

void ool_conform_print(const struct ool_conform *conform, size_t worst, struct ool_text *out)
{
    const struct ool_row **rows = ool_calloc(conform->n_rows + 1, sizeof(*rows));
    size_t n = conform->n_rows;
    struct summary summary;
    int width = 2;

    if (rows == NULL || !summarize(conform, &summary)) {
        ool_free(rows);
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++)
        rows[i] = &conform->rows[i];
    if (worst > 0) {
        qsort(rows, n, sizeof(const struct ool_row *), compare_badness);
        n = worst < n ? worst : n;
    }
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(rows[i]->id);

        if (length > (size_t)width)
            width = length < 64 ? (int)length : 64;
    }
    if (n > 0)
        ool_text_printf(out, "%-8s %10s  %s\n", "result", "error", "row");
    for (size_t i = 0; i < n; i++)
        print_row(rows[i], width, worst > 0, out);
    print_summary(&summary, out);
    ool_free(rows);
}

static json_t *row_json(const struct ool_row *row)
{
    json_t *object = json_pack("{s:s, s:s}", "id", row->id, "status", status_words[row->status]);

    if (object == NULL)
        return NULL;
    if (row->status == OOL_ROW_EXACT || row->status == OOL_ROW_WITHIN ||
        row->status == OOL_ROW_MISSED)
        if (json_object_set_new(object, "error", json_real(row->error)) != 0)
            goto fail;
    if (row->has_verdict &&
        json_object_set_new(object, "wrong_verdict", json_boolean(row->wrong_verdict)) != 0)
        goto fail;
    if (row->detail != NULL && json_object_set_new(object, "detail", json_string(row->detail)) != 0)
        goto fail;
    return object;
fail:
    json_decref(object);
    return NULL;
}

json_t *ool_conform_json(const struct ool_conform *conform)
{
    struct summary s;
    json_t *rows = json_array(), *root = NULL;

    if (rows == NULL || !summarize(conform, &s))
        goto out;
    for (size_t i = 0; i < conform->n_rows; i++)
        if (json_array_append_new(rows, row_json(&conform->rows[i])) != 0)
            goto out;
    root = json_pack("{s:O, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}}", "rows", rows, "summary",
                     "rows", (json_int_t)s.rows, "exact", (json_int_t)s.exact, "within",
                     (json_int_t)s.within, "missed", (json_int_t)s.missed, "skipped",
                     (json_int_t)s.skipped, "wrong_verdicts", (json_int_t)s.wrong_verdicts,
                     "median_error", s.median_error, "max_error", s.max_error);
out:
    json_decref(rows);
    return root;
}
