/*
 * ool_operators_sweep.c - recorded scratch sizes: one operator over many shapes, on each card.
 */
#include "ool_operators_run.h"

#include <string.h>

#define TEXT_LIMIT ((size_t)1 << 26)

/* --- sweeps --------------------------------------------------------------------------------------------- */

/* Each entry of a sweep is a list: the numbers that fill the texts, %s the dtype, then the stream. */
struct sweep {
    const char *name;
    int n_numbers;
    const char *setup, *code; /* $0 is the dtype, $1... are the numbers */
};

static const struct sweep sweeps[] = {
    {"sum_dim0", 2, "x = torch.empty($1, $2, device='cuda', dtype=$0)", "r = x.sum(0)"},
    {"sum_all", 1, "x = torch.empty($1, device='cuda', dtype=$0)", "r = x.sum()"},
    {"efficient_backward", 4,
     "q, k, v = (torch.empty($1, $3, $2, $4, device='cuda', dtype=$0).transpose(1, 2)"
     ".requires_grad_() for _ in range(3))\n"
     "with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.EFFICIENT_ATTENTION):\n"
     " o = F.scaled_dot_product_attention(q, k, v, is_causal=True)\n"
     "g = torch.empty_like(o)",
     "r = torch.autograd.grad(o, (q, k, v), g)"},
    {"flash_forward", 4,
     "q, k, v = (torch.empty($1, $3, $2, $4, device='cuda', dtype=$0).transpose(1, 2)"
     ".requires_grad_() for _ in range(3))",
     "with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):\n"
     " r = F.scaled_dot_product_attention(q, k, v, is_causal=True)"},
    {"embedding_backward", 3,
     "i = torch.empty($1, dtype=torch.int64, device='cuda')\n"
     "w = torch.empty($2, $3, device='cuda', dtype=$0).requires_grad_()\n"
     "o = F.embedding(i, w)\n"
     "g = torch.empty_like(o)",
     "r = torch.autograd.grad(o, w, g)"},
    {"layer_norm_backward", 2,
     "x = torch.empty($1, $2, device='cuda', dtype=$0).requires_grad_()\n"
     "w, b = (torch.empty($2, device='cuda', dtype=$0).requires_grad_() for _ in range(2))\n"
     "o = F.layer_norm(x, ($2,), w, b)\n"
     "g = torch.empty_like(o)",
     "r = torch.autograd.grad(o, (x, w, b), g)"},
};

static bool torch_dtype(const char *name, const char **out)
{
    static const char *const words[][2] = {
        {"f32", "torch.float32"},
        {"bf16", "torch.bfloat16"},
        {"f16", "torch.float16"},
        {"f64", "torch.float64"},
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

static enum ool_status run_entry(struct ool_operators_run *run, const struct sweep *sweep,
                                 const json_t *entry)
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
        status = ool_operators_open(run, NULL, ool_text_data(&setup), true);
    if (status == OOL_OK)
        status = ool_snippet_run(run->snippet, ool_text_data(&code), run->err);
    if (status == OOL_OK)
        status = ool_operators_check_part(run, sweep->name, stream);
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
        ool_operators_print_json(out, json_array_get(entry, i));
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
        struct ool_operators_run run;

        name_entry(&id, card, sweep, entry);
        if (!id.failed && !ool_conform_wants(conform, ool_text_data(&id)))
            continue;
        ool_operators_init(&run, conform, &first);
        if (!ool_operators_configure(&run, root, card, NULL))
            status = ool_error_set(&first, OOL_E_UNSUPPORTED, "%s", ool_text_data(&run.detail));
        else
            status = run_entry(&run, sweep, entry);
        status = ool_operators_finish(&run, ool_text_data(&id), status, err);
        ool_operators_fini(&run);
        if (status != OOL_OK)
            break;
    }
    ool_text_fini(&id);
    return status;
}

enum ool_status ool_operators_sweeps(const json_t *root, struct ool_conform *conform,
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
