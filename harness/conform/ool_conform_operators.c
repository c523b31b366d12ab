/*
 * ool_conform_operators.c - recorded single operators: each row's text is run on a fresh tape, and
 * its streams of allocations and frees are compared event by event.
 */
#include "ool_operators_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_LIMIT ((size_t)1 << 26)

/* --- what a row says besides its streams ------------------------------------------------------------ */

static void print_shape(struct ool_text *out, const struct ool_tensor *x, bool strides)
{
    ool_text_puts(out, "[");
    for (int i = 0; i < ool_dims(x); i++)
        ool_text_printf(out, "%s%" PRId64, i > 0 ? "," : "",
                        strides ? ool_stride(x, i) : ool_size(x, i));
    ool_text_puts(out, "]");
}

static const char *place_of(const struct ool_operators_run *run, const struct ool_tensor *x,
                            char buffer[16])
{
    uint32_t storage = ool_storage_id(x);

    if (!ool_on_device(x))
        return "host";
    return storage == OOL_NONE ? "before" : ool_operators_where(run, storage, buffer);
}

/* A recorded list, its values joined by colons: "3:f32:[4,512]:[512,1]". */
static void print_list(struct ool_text *out, const json_t *list, size_t skipped)
{
    const json_t *value;
    size_t i;

    json_array_foreach(list, i, value)
    {
        if (i == skipped)
            continue;
        if (i > 0)
            ool_text_puts(out, ":");
        ool_operators_print_json(out, value);
    }
}

/* [id or name, dtype, shape, strides] of each tensor of `out`. */
static void check_out(struct ool_operators_run *run, const json_t *recorded, struct ool_text *x,
                      struct ool_text *y)
{
    const struct ool_tensor *tensor;
    const json_t *entry;
    char buffer[16];
    size_t i;

    json_array_foreach(recorded, i, entry)
    {
        ool_text_puts(x, i > 0 ? " " : "");
        print_list(x, entry, SIZE_MAX);
    }
    for (i = 0; (tensor = ool_snippet_tensor(run->snippet, "out", i)) != NULL; i++) {
        ool_text_printf(y, "%s%s:%s:", i > 0 ? " " : "", place_of(run, tensor, buffer),
                        ool_dtype_name(ool_dtype(tensor)));
        print_shape(y, tensor, false);
        ool_text_puts(y, ":");
        print_shape(y, tensor, true);
    }
    ool_operators_compare(run, "out", ool_text_data(x), ool_text_data(y));
}

struct saved_state {
    const struct ool_operators_run *run;
    struct ool_text *out;
};

static void add_saved(const char *node, const struct ool_tensor *saved, void *state)
{
    const struct saved_state *s = state;
    char buffer[16];

    if (!ool_on_device(saved) || ool_numel(saved) == 0)
        return;
    ool_text_printf(s->out, "%s%s:%s:", s->out->length > 0 ? " " : "", node,
                    ool_dtype_name(ool_dtype(saved)));
    print_shape(s->out, saved, false);
    ool_text_printf(s->out, ":%s", place_of(s->run, saved, buffer));
}

/* [node, attribute, dtype, shape, where]; the tape's nodes have no attributes and another order. */
static enum ool_status check_saved(struct ool_operators_run *run, struct ool_tensor *const *outs,
                                   size_t n_outs, const json_t *recorded, struct ool_text *x,
                                   struct ool_text *y)
{
    struct saved_state state = {run, y};
    const json_t *entry;
    enum ool_status status;
    size_t i;

    json_array_foreach(recorded, i, entry)
    {
        ool_text_puts(x, i > 0 ? " " : "");
        print_list(x, entry, 1);
    }
    ool_each_saved(run->tape, outs, n_outs, add_saved, &state);
    status = ool_tape_status(run->tape, run->err);
    if (status == OOL_OK)
        status = ool_operators_sort(x, false, run->err);
    if (status == OOL_OK)
        status = ool_operators_sort(y, false, run->err);
    if (status == OOL_OK)
        ool_operators_compare(run, "saved", ool_text_data(x), ool_text_data(y));
    return status;
}

struct grads_state {
    const struct ool_operators_run *run;
    struct ool_text *out;
};

static bool add_grad(const char *name, struct ool_tensor *tensor, void *state)
{
    const struct grads_state *s = state;
    const struct ool_tensor *grad = ool_is_leaf(tensor) ? ool_grad(tensor) : NULL;
    char buffer[16];

    if (grad != NULL)
        ool_text_printf(s->out, "%s%s:%s", s->out->length > 0 ? " " : "", name,
                        place_of(s->run, grad, buffer));
    return true;
}

static enum ool_status check_grads(struct ool_operators_run *run, const json_t *recorded,
                                   struct ool_text *x, struct ool_text *y)
{
    struct grads_state state = {run, y};
    enum ool_status status;
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)recorded, name, value)
    {
        ool_text_printf(x, "%s%s:", x->length > 0 ? " " : "", name);
        ool_operators_print_json(x, value);
    }
    status = ool_snippet_each(run->snippet, add_grad, &state, run->err);
    if (status == OOL_OK)
        status = ool_operators_sort(x, false, run->err);
    if (status == OOL_OK)
        status = ool_operators_sort(y, false, run->err);
    if (status == OOL_OK)
        ool_operators_compare(run, "grads", ool_text_data(x), ool_text_data(y));
    return status;
}

/* --- rows -------------------------------------------------------------------------------------------- */

/* Forgets the events since the last part, but not their ids. */
static enum ool_status skip_events(struct ool_operators_run *run)
{
    struct ool_text ignored;
    enum ool_status status;

    ool_text_init(&ignored, TEXT_LIMIT);
    status = ool_operators_take(run, &ignored);
    ool_text_fini(&ignored);
    return status;
}

/* out.backward(g), where g is a tensor of out's form that the caller holds. */
static enum ool_status run_backward(struct ool_operators_run *run, struct ool_tensor *out)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    enum ool_status status;

    for (int i = 0; i < ool_dims(out); i++) {
        shape[i] = ool_size(out, i);
        strides[i] = ool_stride(out, i);
    }
    ool_set(run->tape, &run->gradient,
            ool_numel(out) > 1
                ? ool_empty_strided(run->tape, ool_dtype(out), ool_dims(out), shape, strides)
                : ool_empty(run->tape, ool_dtype(out), ool_dims(out), shape));
    status = skip_events(run);
    if (status != OOL_OK)
        return status;
    ool_backward(run->tape, out, run->gradient, false);
    return ool_tape_status(run->tape, run->err);
}

#define MAX_OUTS 64

/* The results of `code`: their form, what is saved for backward, and backward with its gradients. */
static enum ool_status check_results(struct ool_operators_run *run, const json_t *row)
{
    struct ool_tensor *outs[MAX_OUTS], *root = NULL;
    struct ool_text x[3], y[3];
    enum ool_status status = OOL_OK;
    size_t n = 0;

    for (int i = 0; i < 3; i++) {
        ool_text_init(&x[i], TEXT_LIMIT);
        ool_text_init(&y[i], TEXT_LIMIT);
    }
    while (n < MAX_OUTS && (outs[n] = ool_snippet_tensor(run->snippet, "out", n)) != NULL) {
        if (root == NULL && ool_requires_grad(outs[n]) && !ool_is_leaf(outs[n]))
            root = outs[n];
        n++;
    }
    check_out(run, json_object_get(row, "out"), &x[0], &y[0]);
    if (json_object_get(row, "saved") != NULL)
        status = check_saved(run, outs, n, json_object_get(row, "saved"), &x[1], &y[1]);
    if (status == OOL_OK && json_object_get(row, "backward") != NULL) {
        if (root == NULL) {
            ool_operators_compare(run, "backward", ool_operators_stream(row, "backward"),
                                  "(no_gradient)");
        } else {
            status = run_backward(run, root);
            if (status == OOL_OK)
                status = ool_operators_check_part(run, "backward",
                                                  ool_operators_stream(row, "backward"));
            if (status == OOL_OK)
                status = check_grads(run, json_object_get(row, "grads"), &x[2], &y[2]);
        }
    }
    for (int i = 0; i < 3; i++) {
        if (status == OOL_OK && (x[i].failed || y[i].failed))
            status = ool_error_set(run->err, OOL_E_HOST_OOM, "no memory for a row's results");
        ool_text_fini(&x[i]);
        ool_text_fini(&y[i]);
    }
    return status;
}

/* A row with `code`, which sets `out`, inside the context manager `ctx`. */
static enum ool_status run_code(struct ool_operators_run *run, const json_t *row)
{
    const char *context = ool_operators_text(row, "ctx");
    enum ool_status status = OOL_OK;

    if (context != NULL)
        status = ool_snippet_enter(run->snippet, context, run->err);
    if (status == OOL_OK)
        status = ool_snippet_run(run->snippet, ool_operators_stream(row, "code"), run->err);
    if (status == OOL_OK)
        status = ool_operators_check_part(run, "forward", ool_operators_stream(row, "forward"));
    if (status == OOL_OK && context != NULL)
        status = ool_snippet_leave(run->snippet, run->err);
    if (status == OOL_OK)
        status =
            ool_operators_check_part(run, "forward_end", ool_operators_stream(row, "forward_end"));
    return status == OOL_OK ? check_results(run, row) : status;
}

/* A row with `streams`: pieces of code, each with its stream. */
static enum ool_status run_steps(struct ool_operators_run *run, const json_t *streams)
{
    const json_t *step;
    enum ool_status status = OOL_OK;
    size_t i;

    json_array_foreach(streams, i, step)
    {
        const char *code = json_string_value(json_array_get(step, 0));
        const char *stream = json_string_value(json_array_get(step, 1));
        char part[128];

        if (code == NULL || stream == NULL)
            return ool_error_set(run->err, OOL_E_UNSUPPORTED, "step %zu has no code", i);
        snprintf(part, sizeof(part), "step %zu (%.80s)", i, code);
        status = ool_snippet_run(run->snippet, code, run->err);
        if (status == OOL_OK)
            status = ool_operators_check_part(run, part, stream);
        if (status != OOL_OK)
            break;
    }
    return status;
}

static enum ool_status run_row(const json_t *root, const json_t *row, const char *id,
                               struct ool_conform *conform, struct ool_error *err)
{
    struct ool_error first = {.status = OOL_OK};
    const json_t *streams = json_object_get(row, "streams");
    enum ool_status status;
    struct ool_operators_run run;
    bool is_warm;

    ool_operators_init(&run, conform, &first);
    /* The file's description: all rows but these run with the workspaces there. */
    is_warm = strncmp(ool_operators_stream(row, "name"), "cublas workspace", 16) != 0;
    if (!ool_operators_configure(&run, root, ool_operators_text(row, "gpu"),
                                 json_object_get(row, "env"))) {
        status = ool_error_set(&first, OOL_E_UNSUPPORTED, "%s", ool_text_data(&run.detail));
    } else {
        status = ool_operators_open(&run, json_object_get(row, "inputs"),
                                    ool_operators_text(row, "setup"), is_warm);
        if (status == OOL_OK)
            status = streams != NULL ? run_steps(&run, streams) : run_code(&run, row);
    }
    status = ool_operators_finish(&run, id, status, err);
    ool_operators_fini(&run);
    return status;
}

/* --- the reader ------------------------------------------------------------------------------------------- */

enum ool_status ool_conform_operators(const char *path, const json_t *root,
                                      struct ool_conform *conform, struct ool_error *err)
{
    const json_t *row;
    enum ool_status status = OOL_OK;
    struct ool_text id;
    size_t i;

    (void)path; /* rows speak for themselves */
    ool_text_init(&id, TEXT_LIMIT);
    json_array_foreach(json_object_get(root, "operators"), i, row)
    {
        ool_text_clear(&id);
        ool_text_printf(&id, "operator %" JSON_INTEGER_FORMAT " %s %s %s",
                        json_integer_value(json_object_get(row, "id")),
                        ool_operators_stream(row, "name"), ool_operators_stream(row, "dtype"),
                        ool_operators_stream(row, "gpu"));
        if (id.failed)
            status = ool_error_set(err, OOL_E_HOST_OOM, "no memory for a row's name");
        else if (ool_conform_wants(conform, ool_text_data(&id)))
            status = run_row(root, row, ool_text_data(&id), conform, err);
        if (status != OOL_OK)
            break;
    }
    ool_text_fini(&id);
    return status == OOL_OK ? ool_operators_sweeps(root, conform, err) : status;
}
