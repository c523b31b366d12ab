/*
 * ool_tape_rows.h - for tests: recorded rows, and what a tape emitted as the text of such a row.
 */
#ifndef OOL_TAPE_ROWS_H
#define OOL_TAPE_ROWS_H

#include "ool_file.h"
#include "ool_tape.h"
#include "ool_test.h"
#include "ool_text.h"

#include <jansson.h>
#include <stdlib.h>

#define ROW_NAMES 8

/* A tape and the position up to which its program was read. */
struct rig {
    struct ool_program program;
    struct ool_tape *tape;
    size_t at;
    int count;
    int *ids; /* by storage: number in the stream, -1 = older */
    size_t n_ids;
    const char *names[ROW_NAMES];
    uint32_t named[ROW_NAMES];
    int n_named;
    struct ool_text text;
};

static inline struct ool_tape_config card(const char *gpu)
{
    struct ool_tape_config config = {
        .capability = 80, .multiprocessors = 108, .threads_per_multiprocessor = 2048};

    if (gpu != NULL && strcmp(gpu, "rtx4090") == 0)
        config = (struct ool_tape_config){
            .capability = 89, .multiprocessors = 128, .threads_per_multiprocessor = 1536};
    if (gpu != NULL && strcmp(gpu, "h100") == 0)
        config = (struct ool_tape_config){
            .capability = 90, .multiprocessors = 132, .threads_per_multiprocessor = 2048};
    return config;
}

static inline void rig_open(struct rig *rig, const struct ool_tape_config *config)
{
    memset(rig, 0, sizeof *rig);
    ool_program_init(&rig->program);
    ool_text_init(&rig->text, 1 << 24);
    rig->tape = ool_tape_open(config, &rig->program, NULL);
}

static inline void rig_close(struct rig *rig)
{
    ool_tape_close(rig->tape);
    ool_program_fini(&rig->program);
    ool_text_fini(&rig->text);
    free(rig->ids);
}

/* Makes the workspaces of both threads, as the recordings had them. */
static inline void rig_warm(struct rig *rig)
{
    struct ool_tape *t = rig->tape;
    struct ool_tensor *w = ool_parameter(t, "w", OOL_F32, OOL_SHAPE(16, 16));
    struct ool_tensor *b = ool_parameter(t, "b", OOL_F32, OOL_SHAPE(16)), *y = NULL;

    ool_set(t, &y, ool_linear(t, w, w, b));
    ool_set(t, &y, ool_matmul(t, w, w));
    ool_set(t, &y, ool_reduce(t, OOL_SUM, y, OOL_ALL_DIMS, false));
    ool_backward(t, y, NULL, false);
    ool_del(t, &y);
    ool_del(t, &b);
    ool_del(t, &w);
}

static inline int *rig_id(struct rig *rig, uint32_t storage)
{
    size_t old = rig->n_ids;

    if (storage >= old) {
        rig->n_ids = (size_t)storage * 2 + 64;
        rig->ids = realloc(rig->ids, rig->n_ids * sizeof *rig->ids);
        assert_non_null(rig->ids);
        for (size_t i = old; i < rig->n_ids; i++)
            rig->ids[i] = -1;
    }
    return &rig->ids[storage];
}

/* What comes from now on has ids from 0. */
static inline void rig_start(struct rig *rig)
{
    rig->at = rig->program.n_ops;
    rig->count = 0;
}

static inline void rig_name(struct rig *rig, const struct ool_tensor *x, const char *name)
{
    if (x == NULL || rig->n_named == ROW_NAMES)
        return;
    rig->names[rig->n_named] = name;
    rig->named[rig->n_named++] = ool_storage_id(x);
}

static inline const char *rig_name_of(const struct rig *rig, uint32_t storage)
{
    for (int i = 0; i < rig->n_named; i++) {
        if (rig->named[i] == storage)
            return rig->names[i];
    }
    return "before";
}

/* The stream since the last call. */
static inline const char *rig_take(struct rig *rig)
{
    ool_text_clear(&rig->text);
    for (; rig->at < rig->program.n_ops; rig->at++) {
        const struct ool_op *op = &rig->program.ops[rig->at];
        const char *space = rig->text.length > 0 ? " " : "";

        if (op->kind == OOL_OP_ALLOC) {
            *rig_id(rig, op->id) = rig->count++;
            ool_text_printf(&rig->text, "%s+%llu", space, (unsigned long long)op->value);
        } else if (op->kind == OOL_OP_FREE && *rig_id(rig, op->id) >= 0) {
            ool_text_printf(&rig->text, "%s-%d", space, *rig_id(rig, op->id));
        } else if (op->kind == OOL_OP_FREE) {
            ool_text_printf(&rig->text, "%s-%s", space, rig_name_of(rig, op->id));
        }
    }
    return ool_text_data(&rig->text);
}

static inline int64_t row_int(const json_t *row, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(row, key);

    if (value == NULL)
        return otherwise;
    return json_is_boolean(value) ? json_is_true(value) : (int64_t)json_number_value(value);
}

static inline const char *row_text(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static inline enum ool_dtype dtype_named(const char *name)
{
    enum ool_dtype dtype = OOL_F32;

    assert_true(ool_dtype_parse(name, &dtype));
    return dtype;
}

static inline int row_shape(const json_t *list, int64_t *shape)
{
    int n = (int)json_array_size(list);

    for (int i = 0; i < n; i++)
        shape[i] = json_integer_value(json_array_get(list, (size_t)i));
    return n;
}

/* A gradient of y's form, held. */
static inline struct ool_tensor *gradient_of(struct ool_tape *t, const struct ool_tensor *y)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    int n = ool_dims(y);

    for (int i = 0; i < n; i++) {
        shape[i] = ool_size(y, i);
        strides[i] = ool_stride(y, i);
    }
    return ool_hold(t, ool_numel(y) > 1 ? ool_empty_strided(t, ool_dtype(y), n, shape, strides)
                                        : ool_empty(t, ool_dtype(y), n, shape));
}

static inline void expect_stream(struct rig *rig, const json_t *row, const char *what,
                                 const char *expected)
{
    const char *got = rig_take(rig);
    struct ool_error err = {.status = OOL_OK};

    if (ool_tape_status(rig->tape, &err) == OOL_OK && strcmp(got, expected) == 0)
        return;
    fail_msg("%s of %s\nrecorded %s\nhere     %s %s", what,
             json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS), expected, got, err.text);
}

/* Each line of a file to @check. */
static inline void each_row(const char *path, void (*check)(const json_t *row))
{
    char *data = NULL, *line, *rest = NULL;
    size_t length, n = 0;

    assert_int_equal(ool_file_read(path, 1 << 26, &data, &length, NULL), OOL_OK);
    for (line = strtok_r(data, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        json_t *row = json_loads(line, 0, NULL);

        assert_non_null(row);
        check(row);
        json_decref(row);
        n++;
    }
    ool_free(data);
    assert_true(n > 100);
}

#endif
