/*
 * ool_operators_run.c - one row of recorded operators: its process, its events, their comparison.
 */
#include "ool_operators_run.h"

#include "ool_mem.h"

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

/* --- taking events -------------------------------------------------------------------------------- */

static bool is_on_card(const struct ool_operators_run *run, uint32_t storage)
{
    return run->program.storages[storage].place == OOL_PLACE_DEVICE;
}

const char *ool_operators_where(const struct ool_operators_run *run, uint32_t storage,
                                char buffer[16])
{
    const struct ool_recording *r = &run->recording;

    if (storage < r->first_storage)
        return r->names[storage] != NULL ? r->names[storage] : "before";
    if (storage - r->first_storage >= r->n_ids || r->ids[storage - r->first_storage] == OOL_NONE)
        return "before";
    snprintf(buffer, 16, "%" PRIu32, r->ids[storage - r->first_storage]);
    return buffer;
}

static bool set_id(struct ool_recording *r, uint32_t storage, uint32_t id)
{
    while (r->n_ids <= storage - r->first_storage) {
        if (!ool_grow(&r->ids, &r->ids_capacity, r->n_ids, sizeof(*r->ids)))
            return false;
        r->ids[r->n_ids++] = OOL_NONE;
    }
    r->ids[storage - r->first_storage] = id;
    return true;
}

enum ool_status ool_operators_take(struct ool_operators_run *run, struct ool_text *out)
{
    struct ool_recording *r = &run->recording;
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
            ool_text_printf(out, "%s-%s", blank, ool_operators_where(run, op->id, buffer));
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
    struct ool_recording *r = state;
    uint32_t storage = ool_storage_id(tensor);

    if (storage >= r->first_storage || r->names[storage] != NULL)
        return true;
    r->names[storage] = ool_strdup(name);
    return r->names[storage] != NULL;
}

static enum ool_status start_recording(struct ool_operators_run *run)
{
    struct ool_recording *r = &run->recording;
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

enum ool_status ool_operators_sort(struct ool_text *text, bool runs, struct ool_error *err)
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
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && (!runs || (words[from][0] == '-' && words[to][0] == '-'));
             to++)
            ;
        qsort(&words[from], to - from, sizeof(char *), compare_words);
    }
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

void ool_operators_compare(struct ool_operators_run *run, const char *part, const char *recorded,
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

enum ool_status ool_operators_check_part(struct ool_operators_run *run, const char *part,
                                         const char *recorded)
{
    bool unordered = ool_snippet_left_autocast(run->snippet);
    struct ool_text here, sorted;
    enum ool_status status;

    ool_text_init(&here, TEXT_LIMIT);
    ool_text_init(&sorted, TEXT_LIMIT);
    status = ool_operators_take(run, &here);
    if (status == OOL_OK) {
        ool_text_printf(&run->here, " %s", ool_text_data(&here));
        ool_text_printf(&run->recorded, " %s", recorded);
        ool_text_puts(&sorted, recorded);
        if (unordered)
            status = ool_operators_sort(&here, true, run->err);
        if (unordered && status == OOL_OK)
            status = ool_operators_sort(&sorted, true, run->err);
    }
    if (status == OOL_OK)
        ool_operators_compare(run, part, ool_text_data(&sorted), ool_text_data(&here));
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

/* --- JSON ------------------------------------------------------------------------------------- */

const char *ool_operators_text(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

const char *ool_operators_stream(const json_t *row, const char *key)
{
    const char *text = ool_operators_text(row, key);

    return text != NULL ? text : "";
}

void ool_operators_print_json(struct ool_text *out, const json_t *value)
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

/* --- a row's facts ------------------------------------------------------------------------------- */

/* Relative, of the largest number of bytes alive. */
static double peak_error(struct ool_operators_run *run)
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
static bool read_card(struct ool_operators_run *run, const json_t *root, const char *name)
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

static bool read_environment(struct ool_operators_run *run, const json_t *env)
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

bool ool_operators_configure(struct ool_operators_run *run, const json_t *root, const char *card,
                             const json_t *env)
{
    if (!read_release(ool_operators_text(root, "torch"), &run->config.torch)) {
        ool_text_printf(&run->detail, "PyTorch %s is not known",
                        ool_operators_stream(root, "torch"));
        return false;
    }
    return read_card(run, root, card) && read_environment(run, env);
}

/* --- running --------------------------------------------------------------------------------------- */

void ool_operators_init(struct ool_operators_run *run, struct ool_conform *conform,
                        struct ool_error *err)
{
    memset(run, 0, sizeof(*run));
    run->conform = conform;
    run->err = err;
    ool_program_init(&run->program);
    ool_text_init(&run->here, TEXT_LIMIT);
    ool_text_init(&run->recorded, TEXT_LIMIT);
    ool_text_init(&run->detail, TEXT_LIMIT);
}

void ool_operators_fini(struct ool_operators_run *run)
{
    ool_snippet_close(run->snippet);
    ool_tape_close(run->tape);
    ool_program_fini(&run->program);
    for (uint32_t i = 0; run->recording.names != NULL && i < run->recording.first_storage; i++)
        ool_free(run->recording.names[i]);
    ool_free(run->recording.names);
    ool_free(run->recording.ids);
    ool_text_fini(&run->here);
    ool_text_fini(&run->recorded);
    ool_text_fini(&run->detail);
}

static enum ool_status warm(struct ool_operators_run *run)
{
    struct ool_snippet *snippet = ool_snippet_open(run->tape, run->err);
    enum ool_status status;

    if (snippet == NULL)
        return OOL_E_HOST_OOM;
    status = ool_snippet_run(snippet, warm_text, run->err);
    ool_snippet_close(snippet);
    return status;
}

static enum ool_status bind_inputs(struct ool_operators_run *run, const json_t *inputs)
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

enum ool_status ool_operators_open(struct ool_operators_run *run, const json_t *inputs,
                                   const char *setup, bool is_warm)
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

enum ool_status ool_operators_finish(struct ool_operators_run *run, const char *id,
                                     enum ool_status status, struct ool_error *err)
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
