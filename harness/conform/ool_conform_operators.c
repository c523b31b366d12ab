/*
 * ool_conform_operators.c - recorded single operators: each row's text is run on a fresh tape, and
 * its streams of allocations and frees are compared event by event.
 */
#include "ool_conform.h"

#include "ool_mem.h"
#include "ool_snippet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_LIMIT ((size_t)1 << 26)
#define CONTEXT 4 /* events before the first difference that a detail shows */

/* What the recorder runs before a row, so that the workspaces of both threads exist. */
static const char warm_text[] =
    "from torch.utils.checkpoint import checkpoint\n"
    "for d in (torch.float32, torch.bfloat16, torch.float16):\n"
    " a = torch.empty(16, 16, device='cuda', dtype=d, requires_grad=True)\n"
    " F.linear(a, a, a[0])\n"
    " a @ a\n"
    " checkpoint(lambda t: F.linear(t, t, t[0]), a, use_reentrant=True).sum().backward()\n"
    "del a\n";

/* What the tape emitted so far, as the recorder would write it. */
struct recording {
    size_t next_op; /* not yet taken */
    uint32_t next_id;
    uint32_t first_storage; /* those before it existed before */
    uint32_t *ids;          /* of a storage since first_storage; OOL_NONE = it is gone */
    size_t n_ids, ids_capacity;
    char **names; /* of the storages before first_storage; NULL = without a name */
};

struct run {
    struct ool_conform *conform;
    struct ool_error *err;
    struct ool_tape_config config;
    struct ool_program program;
    struct ool_tape *tape;
    struct ool_snippet *snippet;
    struct ool_tensor *gradient; /* what backward was given */
    struct recording recording;
    struct ool_text here, recorded; /* all streams of the row, for its peak */
    struct ool_text detail;         /* of the first difference */
    bool only_new;                  /* frees of what existed before are not recorded */
};

/* --- taking events -------------------------------------------------------------------------------- */

static bool is_on_card(const struct run *run, uint32_t storage)
{
    return run->program.storages[storage].place == OOL_PLACE_DEVICE;
}

/* The id or name of a storage: "3", "x", "before". */
static const char *where(const struct run *run, uint32_t storage, char buffer[16])
{
    const struct recording *r = &run->recording;

    if (storage < r->first_storage)
        return r->names[storage] != NULL ? r->names[storage] : "before";
    if (storage - r->first_storage >= r->n_ids || r->ids[storage - r->first_storage] == OOL_NONE)
        return "before";
    snprintf(buffer, 16, "%" PRIu32, r->ids[storage - r->first_storage]);
    return buffer;
}

static bool set_id(struct recording *r, uint32_t storage, uint32_t id)
{
    while (r->n_ids <= storage - r->first_storage) {
        if (!ool_grow(&r->ids, &r->ids_capacity, r->n_ids, sizeof(*r->ids)))
            return false;
        r->ids[r->n_ids++] = OOL_NONE;
    }
    r->ids[storage - r->first_storage] = id;
    return true;
}

/* Everything since the last call as words: "+12 -0 -x". */
static enum ool_status take(struct run *run, struct ool_text *out)
{
    struct recording *r = &run->recording;
    char buffer[16];

    ool_text_clear(out);
    for (; r->next_op < run->program.n_ops; r->next_op++) {
        const struct ool_op *op = &run->program.ops[r->next_op];
        const char *blank = out->length > 0 ? " " : "";

        if ((op->kind != OOL_OP_ALLOC && op->kind != OOL_OP_FREE) || !is_on_card(run, op->id))
            continue;
        if (run->only_new && op->id < r->first_storage)
            continue;
        if (op->kind == OOL_OP_FREE) {
            ool_text_printf(out, "%s-%s", blank, where(run, op->id, buffer));
        } else {
            ool_text_printf(out, "%s+%" PRIu64, blank, run->program.storages[op->id].bytes);
            if (!set_id(r, op->id, r->next_id++))
                return ool_error_set(run->err, OOL_E_HOST_OOM, "no memory for a row's events");
        }
    }
    if (out->failed)
        return ool_error_set(run->err, OOL_E_HOST_OOM, "no memory for a row's events");
    return OOL_OK;
}

static bool name_storage(const char *name, struct ool_tensor *tensor, void *state)
{
    struct recording *r = state;
    uint32_t storage = ool_storage_id(tensor);

    if (storage >= r->first_storage || r->names[storage] != NULL)
        return true;
    r->names[storage] = ool_strdup(name);
    return r->names[storage] != NULL;
}

static enum ool_status start_recording(struct run *run)
{
    struct recording *r = &run->recording;
    enum ool_status status;

    r->next_op = run->program.n_ops;
    r->first_storage = (uint32_t)run->program.n_storages;
    r->names = ool_calloc(run->program.n_storages + 1, sizeof(char *));
    if (r->names == NULL)
        return ool_error_set(run->err, OOL_E_HOST_OOM, "no memory for a row's events");
    status = ool_snippet_each(run->snippet, name_storage, r, run->err);
    return status;
}

/* --- comparing ------------------------------------------------------------------------------------- */

/* The n-th word of a text; its length in *length, 0 past the end. */
static const char *next_word(const char *text, size_t *length)
{
    text += strspn(text, " ");
    *length = strcspn(text, " ");
    return text;
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The words of a text in the order of the alphabet: for what has no defined order. */
static enum ool_status sort_words(struct ool_text *text, struct ool_error *err)
{
    char *copy = ool_strdup(ool_text_data(text)), **words = NULL;
    size_t n = 0, capacity = 0;
    enum ool_status status = OOL_E_HOST_OOM;

    if (copy == NULL)
        goto out;
    for (char *at = copy; *at != '\0';) {
        size_t length = strcspn(at, " ");
        char *end = at + length;

        if (length > 0) {
            if (!ool_grow(&words, &capacity, n, sizeof(char *)))
                goto out;
            words[n++] = at;
        }
        at = *end != '\0' ? end + 1 : end;
        *end = '\0';
    }
    if (n > 0)
        qsort(words, n, sizeof(char *), compare_words);
    ool_text_clear(text);
    for (size_t i = 0; i < n; i++)
        ool_text_printf(text, "%s%s", i > 0 ? " " : "", words[i]);
    status = text->failed ? OOL_E_HOST_OOM : OOL_OK;
out:
    ool_free(words);
    ool_free(copy);
    return status == OOL_OK ? OOL_OK : ool_error_set(err, status, "no memory for a row's events");
}

/* A few words around the difference: those from @from on, the @at-th in brackets. */
static void show_words(struct ool_text *out, const char *label, const char *text, size_t from,
                       size_t at)
{
    size_t length, i = 0;

    ool_text_printf(out, "\n%s:%s", label, from > 0 ? " ..." : "");
    for (text = next_word(text, &length); length > 0 && i < at + 2 * CONTEXT;
         text = next_word(text + length, &length), i++)
        if (i >= from)
            ool_text_printf(out, i == at ? " [%.*s]" : " %.*s", (int)length, text);
    if (length > 0)
        ool_text_puts(out, " ...");
    else if (i <= at)
        ool_text_puts(out, " [end]");
}

/* Compares two lists of words; the first difference of the row becomes its detail. */
static void compare_streams(struct run *run, const char *part, const char *recorded,
                            const char *here)
{
    const char *x = recorded, *y = here;
    size_t n = 0, x_length, y_length;

    if (run->detail.length > 0)
        return;
    for (;; n++) {
        x = next_word(x, &x_length);
        y = next_word(y, &y_length);
        if (x_length == 0 && y_length == 0)
            return;
        if (x_length != y_length || memcmp(x, y, x_length) != 0)
            break;
        x += x_length;
        y += y_length;
    }
    ool_text_printf(&run->detail, "%s differs at event %zu", part, n);
    show_words(&run->detail, "recorded", recorded, n > CONTEXT ? n - CONTEXT : 0, n);
    show_words(&run->detail, "here    ", here, n > CONTEXT ? n - CONTEXT : 0, n);
}

/* Takes the events since the last part and compares them. @as_set: their order is not defined. */
static enum ool_status check_part(struct run *run, const char *part, const char *recorded,
                                  bool as_set)
{
    struct ool_text here, sorted;
    enum ool_status status;

    ool_text_init(&here, TEXT_LIMIT);
    ool_text_init(&sorted, TEXT_LIMIT);
    status = take(run, &here);
    if (status == OOL_OK) {
        ool_text_printf(&run->here, " %s", ool_text_data(&here));
        ool_text_printf(&run->recorded, " %s", recorded);
        ool_text_puts(&sorted, recorded);
        if (as_set)
            status = sort_words(&here, run->err);
        if (as_set && status == OOL_OK)
            status = sort_words(&sorted, run->err);
    }
    if (status == OOL_OK)
        compare_streams(run, part, ool_text_data(&sorted), ool_text_data(&here));
    ool_text_fini(&here);
    ool_text_fini(&sorted);
    return status;
}

/* Most bytes alive in a stream. Frees of what existed before count nothing on either side. */
static uint64_t stream_peak(const char *text)
{
    uint64_t *sizes = NULL, live = 0, peak = 0;
    size_t n = 0, capacity = 0, length;

    for (text = next_word(text, &length); length > 0; text = next_word(text + length, &length)) {
        if (text[0] == '+') {
            if (!ool_grow(&sizes, &capacity, n, sizeof(*sizes)))
                break;
            sizes[n] = strtoull(text + 1, NULL, 10);
            live += sizes[n++];
            peak = live > peak ? live : peak;
        } else if (text[1] >= '0' && text[1] <= '9') {
            uint64_t id = strtoull(text + 1, NULL, 10);

            if (id < n) {
                live -= sizes[id] < live ? sizes[id] : live;
                sizes[id] = 0;
            }
        }
    }
    ool_free(sizes);
    return peak;
}

/* --- a row's facts ------------------------------------------------------------------------------- */

/* Relative, of the largest number of bytes alive. */
static double peak_error(struct run *run)
{
    double recorded = (double)stream_peak(ool_text_data(&run->recorded));
    double here = (double)stream_peak(ool_text_data(&run->here));

    if (recorded > 0)
        return recorded > here ? (recorded - here) / recorded : (here - recorded) / recorded;
    return here > 0 ? 1 : 0;
}

static bool read_release(const char *text, enum ool_torch *out)
{
    static const enum ool_torch known[] = {OOL_TORCH_2_2, OOL_TORCH_2_4,  OOL_TORCH_2_6,
                                           OOL_TORCH_2_8, OOL_TORCH_2_11, OOL_TORCH_2_13,
                                           OOL_TORCH_2_15};
    int major = 0, minor = 0;

    if (text == NULL || sscanf(text, "%d.%d", &major, &minor) != 2)
        return false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if ((int)known[i] == major * 100 + minor) {
            *out = known[i];
            return true;
        }
    return false;
}

/* The card's facts. False with a detail if the file does not have them. */
static bool read_card(struct run *run, const json_t *root, const char *name)
{
    const json_t *card = json_object_get(json_object_get(root, "gpus"), name != NULL ? name : "");

    run->config.capability = (int)json_integer_value(json_object_get(card, "compute_capability"));
    run->config.multiprocessors = (int)json_integer_value(json_object_get(card, "multiprocessors"));
    run->config.threads_per_multiprocessor =
        (int)json_integer_value(json_object_get(card, "threads_per_multiprocessor"));
    if (run->config.capability > 0 && run->config.multiprocessors > 0)
        return true;
    ool_text_printf(&run->detail, "the file has no card %s", name != NULL ? name : "");
    return false;
}

static bool read_environment(struct run *run, const json_t *env)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)env, key, value)
    {
        const char *text = json_string_value(value);

        if (strcmp(key, "CUBLAS_WORKSPACE_CONFIG") == 0) {
            run->config.cublas_workspace = text;
        } else if (strcmp(key, "CUBLASLT_WORKSPACE_SIZE") == 0) {
            run->config.cublaslt_workspace = text;
        } else if (strcmp(key, "TORCH_CUBLASLT_UNIFIED_WORKSPACE") == 0) {
            run->config.cublaslt_unified = text;
        } else {
            ool_text_printf(&run->detail, "the environment variable %s is not known", key);
            return false;
        }
    }
    return true;
}

static bool read_shape(const json_t *list, int64_t *shape, int *n)
{
    if (!json_is_array(list) || json_array_size(list) > OOL_MAX_DIMS)
        return false;
    *n = (int)json_array_size(list);
    for (int i = 0; i < *n; i++)
        shape[i] = json_integer_value(json_array_get(list, (size_t)i));
    return true;
}

/* --- running --------------------------------------------------------------------------------------- */

static void init_run(struct run *run, struct ool_conform *conform, struct ool_error *err)
{
    memset(run, 0, sizeof(*run));
    run->conform = conform;
    run->err = err;
    ool_program_init(&run->program);
    ool_text_init(&run->here, TEXT_LIMIT);
    ool_text_init(&run->recorded, TEXT_LIMIT);
    ool_text_init(&run->detail, TEXT_LIMIT);
}

static void fini_run(struct run *run)
{
    ool_snippet_close(run->snippet);
    ool_tape_close(run->tape);
    ool_program_fini(&run->program);
    for (uint32_t i = 0; i < run->recording.first_storage; i++)
        ool_free(run->recording.names[i]);
    ool_free(run->recording.names);
    ool_free(run->recording.ids);
    ool_text_fini(&run->here);
    ool_text_fini(&run->recorded);
    ool_text_fini(&run->detail);
}

static enum ool_status warm(struct run *run)
{
    struct ool_snippet *snippet = ool_snippet_open(run->tape, run->err);
    enum ool_status status;

    if (snippet == NULL)
        return OOL_E_HOST_OOM;
    status = ool_snippet_run(snippet, warm_text, run->err);
    ool_snippet_close(snippet);
    return status;
}

static enum ool_status bind_inputs(struct run *run, const json_t *inputs)
{
    enum ool_status status = OOL_OK;
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)inputs, name, value)
    {
        const char *word = json_string_value(json_array_get(value, 1));
        struct ool_tensor *x = NULL;
        int64_t shape[OOL_MAX_DIMS];
        enum ool_dtype dtype;
        int n;

        if (!read_shape(json_array_get(value, 0), shape, &n) || word == NULL ||
            !ool_dtype_parse(word, &dtype))
            return ool_error_set(run->err, OOL_E_UNSUPPORTED, "the input %s", name);
        ool_set(run->tape, &x, ool_empty(run->tape, dtype, n, shape));
        if (x != NULL && json_is_true(json_array_get(value, 2)))
            ool_require_grad(x, true);
        status = x != NULL ? ool_snippet_bind(run->snippet, name, x, run->err)
                           : ool_tape_status(run->tape, run->err);
        ool_del(run->tape, &x);
        if (status != OOL_OK)
            break;
    }
    return status;
}

/* A process with the row's inputs and setup, ready to be recorded. */
static enum ool_status open_run(struct run *run, const json_t *inputs, const char *setup,
                                bool is_warm)
{
    enum ool_status status;

    run->tape = ool_tape_open(&run->config, &run->program, run->err);
    if (run->tape == NULL)
        return run->err->status;
    run->snippet = ool_snippet_open(run->tape, run->err);
    if (run->snippet == NULL)
        return run->err->status;
    status = bind_inputs(run, inputs);
    if (status == OOL_OK && setup != NULL)
        status = ool_snippet_run(run->snippet, setup, run->err);
    if (status == OOL_OK && is_warm)
        status = warm(run);
    return status == OOL_OK ? start_recording(run) : status;
}

/* --- what a row says besides its streams ------------------------------------------------------------ */

static void print_shape(struct ool_text *out, const struct ool_tensor *x, bool strides)
{
    ool_text_puts(out, "[");
    for (int i = 0; i < ool_dims(x); i++)
        ool_text_printf(out, "%s%" PRId64, i > 0 ? "," : "",
                        strides ? ool_stride(x, i) : ool_size(x, i));
    ool_text_puts(out, "]");
}

static const char *place_of(const struct run *run, const struct ool_tensor *x, char buffer[16])
{
    uint32_t storage = ool_storage_id(x);

    if (!ool_on_device(x))
        return "host";
    return storage == OOL_NONE ? "before" : where(run, storage, buffer);
}

/* Any JSON value as a word without blanks; a text without its quotes. */
static void print_json(struct ool_text *out, const json_t *value)
{
    char *text;

    if (json_is_string(value)) {
        ool_text_puts(out, json_string_value(value));
        return;
    }
    text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL)
        out->failed = true;
    else
        ool_text_puts(out, text);
    free(text);
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
        print_json(out, value);
    }
}

/* [id or name, dtype, shape, strides] of each tensor of `out`. */
static void check_out(struct run *run, const json_t *recorded, struct ool_text *x,
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
    compare_streams(run, "out", ool_text_data(x), ool_text_data(y));
}

struct saved_state {
    const struct run *run;
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
static enum ool_status check_saved(struct run *run, struct ool_tensor *const *outs, size_t n_outs,
                                   const json_t *recorded, struct ool_text *x, struct ool_text *y)
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
        status = sort_words(x, run->err);
    if (status == OOL_OK)
        status = sort_words(y, run->err);
    if (status == OOL_OK)
        compare_streams(run, "saved", ool_text_data(x), ool_text_data(y));
    return status;
}

struct grads_state {
    const struct run *run;
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

static enum ool_status check_grads(struct run *run, const json_t *recorded, struct ool_text *x,
                                   struct ool_text *y)
{
    struct grads_state state = {run, y};
    enum ool_status status;
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)recorded, name, value)
    {
        ool_text_printf(x, "%s%s:", x->length > 0 ? " " : "", name);
        print_json(x, value);
    }
    status = ool_snippet_each(run->snippet, add_grad, &state, run->err);
    if (status == OOL_OK)
        status = sort_words(x, run->err);
    if (status == OOL_OK)
        status = sort_words(y, run->err);
    if (status == OOL_OK)
        compare_streams(run, "grads", ool_text_data(x), ool_text_data(y));
    return status;
}

/* --- rows -------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static const char *stream_of(const json_t *row, const char *key)
{
    const char *text = text_of(row, key);

    return text != NULL ? text : "";
}

/* Forgets the events since the last part, but not their ids. */
static enum ool_status skip_events(struct run *run)
{
    struct ool_text ignored;
    enum ool_status status;

    ool_text_init(&ignored, TEXT_LIMIT);
    status = take(run, &ignored);
    ool_text_fini(&ignored);
    return status;
}

/* out.backward(g), where g is a tensor of out's form that the caller holds. */
static enum ool_status run_backward(struct run *run, struct ool_tensor *out)
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
static enum ool_status check_results(struct run *run, const json_t *row)
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
            compare_streams(run, "backward", stream_of(row, "backward"), "(no_gradient)");
        } else {
            status = run_backward(run, root);
            if (status == OOL_OK)
                status = check_part(run, "backward", stream_of(row, "backward"), false);
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
static enum ool_status run_code(struct run *run, const json_t *row)
{
    const char *context = text_of(row, "ctx");
    enum ool_status status = OOL_OK;

    if (context != NULL)
        status = ool_snippet_enter(run->snippet, context, run->err);
    if (status == OOL_OK)
        status = ool_snippet_run(run->snippet, stream_of(row, "code"), run->err);
    if (status == OOL_OK)
        status = check_part(run, "forward", stream_of(row, "forward"), false);
    if (status == OOL_OK && context != NULL)
        status = ool_snippet_leave(run->snippet, run->err);
    if (status == OOL_OK)
        status = check_part(run, "forward_end", stream_of(row, "forward_end"), true);
    return status == OOL_OK ? check_results(run, row) : status;
}

/* A row with `streams`: pieces of code, each with its stream. */
static enum ool_status run_steps(struct run *run, const json_t *streams)
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
            status = check_part(run, part, stream, false);
        if (status != OOL_OK)
            break;
    }
    return status;
}

/* Adds the row with what came of it. Only a lack of host memory ends the file. */
static enum ool_status finish_row(struct run *run, const char *id, enum ool_status status,
                                  struct ool_error *err)
{
    enum ool_row_status result = OOL_ROW_EXACT;
    const char *detail = NULL;

    if (status == OOL_E_HOST_OOM)
        return ool_error_set(err, status, "%s", run->err->text);
    if (run->detail.failed || run->here.failed || run->recorded.failed)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a row's results");
    if (status == OOL_E_UNSUPPORTED || status == OOL_E_LIMIT) {
        result = OOL_ROW_SKIPPED;
        detail = run->err->text;
    } else if (status != OOL_OK) {
        result = OOL_ROW_MISSED;
        detail = run->err->text;
    } else if (run->detail.length > 0) {
        result = OOL_ROW_MISSED;
        detail = ool_text_data(&run->detail);
    }
    return ool_conform_add(run->conform, id, result, result == OOL_ROW_MISSED ? peak_error(run) : 0,
                           detail, err);
}

/* The file's facts that all rows share. False: the rows cannot be run, @run->detail says why. */
static bool configure(struct run *run, const json_t *root, const char *card, const json_t *env)
{
    if (!read_release(text_of(root, "torch"), &run->config.torch)) {
        ool_text_printf(&run->detail, "PyTorch %s is not known", stream_of(root, "torch"));
        return false;
    }
    return read_card(run, root, card) && read_environment(run, env);
}

static enum ool_status run_row(const json_t *root, const json_t *row, const char *id,
                               struct ool_conform *conform, struct ool_error *err)
{
    struct ool_error first = {.status = OOL_OK};
    const json_t *streams = json_object_get(row, "streams");
    enum ool_status status;
    struct run run;
    bool is_warm;

    init_run(&run, conform, &first);
    /* The file's description: all rows but these run with the workspaces there. */
    is_warm = strncmp(stream_of(row, "name"), "cublas workspace", 16) != 0;
    if (!configure(&run, root, text_of(row, "gpu"), json_object_get(row, "env"))) {
        status = ool_error_set(&first, OOL_E_UNSUPPORTED, "%s", ool_text_data(&run.detail));
    } else {
        status = open_run(&run, json_object_get(row, "inputs"), text_of(row, "setup"), is_warm);
        if (status == OOL_OK)
            status = streams != NULL ? run_steps(&run, streams) : run_code(&run, row);
    }
    status = finish_row(&run, id, status, err);
    fini_run(&run);
    return status;
}

/* --- sweeps --------------------------------------------------------------------------------------------- */

/* Each entry of a sweep is a list: the numbers that fill the texts, %s the dtype, then the stream. */
struct sweep {
    const char *name;
    int n_numbers;
    const char *setup, *code; /* $0 is the dtype, $1... are the numbers */
};

static const struct sweep sweeps[] = {
    {"sum_dim0",            2, "x = torch.empty($1, $2, device='cuda', dtype=$0)", "r = x.sum(0)"                            },
    {"sum_all",             1, "x = torch.empty($1, device='cuda', dtype=$0)",     "r = x.sum()"                             },
    {"efficient_backward",  4,
     "q, k, v = (torch.empty($1, $3, $2, $4, device='cuda', dtype=$0).transpose(1, 2)"
     ".requires_grad_() for _ in range(3))\n"
     "with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.EFFICIENT_ATTENTION):\n"
     " o = F.scaled_dot_product_attention(q, k, v, is_causal=True)\n"
     "g = torch.empty_like(o)",                                                    "r = torch.autograd.grad(o, (q, k, v), g)"},
    {"flash_forward",       4,
     "q, k, v = (torch.empty($1, $3, $2, $4, device='cuda', dtype=$0).transpose(1, 2)"
     ".requires_grad_() for _ in range(3))",                                       "with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):\n"
     " r = F.scaled_dot_product_attention(q, k, v, is_causal=True)"              },
    {"embedding_backward",  3,
     "i = torch.empty($1, dtype=torch.int64, device='cuda')\n"
     "w = torch.empty($2, $3, device='cuda', dtype=$0).requires_grad_()\n"
     "o = F.embedding(i, w)\n"
     "g = torch.empty_like(o)",                                                    "r = torch.autograd.grad(o, w, g)"        },
    {"layer_norm_backward", 2,
     "x = torch.empty($1, $2, device='cuda', dtype=$0).requires_grad_()\n"
     "w, b = (torch.empty($2, device='cuda', dtype=$0).requires_grad_() for _ in range(2))\n"
     "o = F.layer_norm(x, ($2,), w, b)\n"
     "g = torch.empty_like(o)",                                                    "r = torch.autograd.grad(o, (x, w, b), g)"},
};

static bool torch_dtype(const char *name, const char **out)
{
    static const char *const words[][2] = {
        {"f32",  "torch.float32" },
        {"bf16", "torch.bfloat16"},
        {"f16",  "torch.float16" },
        {"f64",  "torch.float64" },
    };

    for (size_t i = 0; name != NULL && i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i][0], name) == 0) {
            *out = words[i][1];
            return true;
        }
    return false;
}

/* The text with the entry's values in the place of $0, $1, ... */
static void fill(struct ool_text *out, const char *text, const char *dtype, const json_t *entry)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "$");

        ool_text_add(out, text, length);
        text += length;
        if (*text == '\0')
            break;
        if (text[1] == '0')
            ool_text_puts(out, dtype);
        else
            ool_text_printf(out, "%" JSON_INTEGER_FORMAT,
                            json_integer_value(json_array_get(entry, (size_t)(text[1] - '0'))));
        text += 2;
    }
}

static enum ool_status run_entry(struct run *run, const struct sweep *sweep, const json_t *entry)
{
    const char *stream = json_string_value(json_array_get(entry, (size_t)sweep->n_numbers + 1));
    struct ool_text setup, code;
    const char *dtype;
    enum ool_status status;

    if (stream == NULL || !torch_dtype(json_string_value(json_array_get(entry, 0)), &dtype))
        return ool_error_set(run->err, OOL_E_UNSUPPORTED, "an entry without dtype or stream");
    if (strncmp(stream, "error", 5) == 0)
        return ool_error_set(run->err, OOL_E_UNSUPPORTED, "it holds an error, no stream");
    run->only_new = true;
    ool_text_init(&setup, TEXT_LIMIT);
    ool_text_init(&code, TEXT_LIMIT);
    fill(&setup, sweep->setup, dtype, entry);
    fill(&code, sweep->code, dtype, entry);
    if (setup.failed || code.failed)
        status = ool_error_set(run->err, OOL_E_HOST_OOM, "no memory for a sweep's text");
    else
        status = open_run(run, NULL, ool_text_data(&setup), true);
    if (status == OOL_OK)
        status = ool_snippet_run(run->snippet, ool_text_data(&code), run->err);
    if (status == OOL_OK)
        status = check_part(run, sweep->name, stream, false);
    ool_text_fini(&setup);
    ool_text_fini(&code);
    return status;
}

/* "sweep a100 sum_dim0 f32 64 3" */
static void name_entry(struct ool_text *out, const char *card, const struct sweep *sweep,
                       const json_t *entry)
{
    ool_text_clear(out);
    ool_text_printf(out, "sweep %s %s", card, sweep->name);
    for (size_t i = 0; i <= (size_t)sweep->n_numbers; i++) {
        ool_text_puts(out, " ");
        print_json(out, json_array_get(entry, i));
    }
}

static enum ool_status run_sweep(const json_t *root, const char *card, const struct sweep *sweep,
                                 const json_t *entries, struct ool_conform *conform,
                                 struct ool_error *err)
{
    enum ool_status status = OOL_OK;
    struct ool_text id;
    json_t *entry;
    size_t i;

    ool_text_init(&id, TEXT_LIMIT);
    json_array_foreach(entries, i, entry)
    {
        struct ool_error first = {.status = OOL_OK};
        struct run run;

        name_entry(&id, card, sweep, entry);
        if (!id.failed && !ool_conform_wants(conform, ool_text_data(&id)))
            continue;
        init_run(&run, conform, &first);
        if (!configure(&run, root, card, NULL))
            status = ool_error_set(&first, OOL_E_UNSUPPORTED, "%s", ool_text_data(&run.detail));
        else
            status = run_entry(&run, sweep, entry);
        status = finish_row(&run, ool_text_data(&id), status, err);
        fini_run(&run);
        if (status != OOL_OK)
            break;
    }
    ool_text_fini(&id);
    return status;
}

static enum ool_status run_sweeps(const json_t *root, struct ool_conform *conform,
                                  struct ool_error *err)
{
    const char *card, *name;
    json_t *kinds, *entries;

    json_object_foreach(json_object_get(root, "sweeps"), card, kinds)
    {
        json_object_foreach(kinds, name, entries)
        {
            const struct sweep *sweep = sweeps, *end = sweeps + sizeof(sweeps) / sizeof(*sweeps);
            enum ool_status status;

            while (sweep < end && strcmp(sweep->name, name) != 0)
                sweep++;
            if (sweep == end)
                status = ool_conform_add(conform, name, OOL_ROW_SKIPPED, 0,
                                         "a sweep that is not known", err);
            else
                status = run_sweep(root, card, sweep, entries, conform, err);
            if (status != OOL_OK)
                return status;
        }
    }
    return OOL_OK;
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
                        json_integer_value(json_object_get(row, "id")), stream_of(row, "name"),
                        stream_of(row, "dtype"), stream_of(row, "gpu"));
        if (id.failed)
            status = ool_error_set(err, OOL_E_HOST_OOM, "no memory for a row's name");
        else if (ool_conform_wants(conform, ool_text_data(&id)))
            status = run_row(root, row, ool_text_data(&id), conform, err);
        if (status != OOL_OK)
            break;
    }
    ool_text_fini(&id);
    return status == OOL_OK ? run_sweeps(root, conform, err) : status;
}
