#include "ool_hf.h"

/* --- building --------------------------------------------------------------------------------- */

struct ool_module *ool_hf_list_add(struct ool_net *net, struct ool_module *parent, const char *name,
                                   int64_t index, enum ool_role role)
{
    struct ool_module *module = ool_module_add(net, parent, name, index);

    if (module)
        module->role = role;
    return module;
}

struct ool_module *ool_hf_rms_norm_add(struct ool_net *net, struct ool_module *parent,
                                       const char *name, int64_t size)
{
    struct ool_module *module = ool_module_add(net, parent, name, -1);

    if (!module)
        return NULL;
    module->kind = OOL_MODULE_LAYER_NORM;
    ool_param_add(net, module, "weight", OOL_SHAPE(size));
    return module;
}

void ool_hf_check_heads(struct ool_net *net, int64_t hidden, int64_t heads)
{
    if (heads < 1 || hidden < 1 || hidden % heads != 0)
        ool_fail(net->tape, OOL_E_COMBINATION, "a width of %lld cannot be divided into %lld heads",
                 (long long)hidden, (long long)heads);
}

void ool_hf_check_positions(struct ool_net *net, const struct ool_model *m)
{
    const struct ool_workload *w = net->workload;
    /* The token that is generated last is never an input. */
    int64_t last = w->seq + (w->task == OOL_TASK_GENERATE ? w->new_tokens - 1 : 0);

    if (!net->counting && last > m->max_seq)
        ool_fail(net->tape, OOL_E_COMBINATION, "%lld tokens, but the model has %lld positions",
                 (long long)last, (long long)m->max_seq);
}

void ool_hf_default(int64_t *field, int64_t value)
{
    if (*field < 0)
        *field = value;
}

/* --- inputs of the blocks --------------------------------------------------------------------- */

struct ool_tensor *ool_hf_embedding_call(struct ool_net *net, struct ool_module *embedding,
                                         struct ool_tensor *ids, bool padding)
{
    const struct ool_workload *w = net->workload;
    struct ool_tensor *y;

    ool_module_enter(net, embedding);
    y = ool_module_leave(net, embedding,
                         ool_embedding(net->tape, ids, embedding->params[0]->tensor, padding));
    if (y && w->checkpoint != OOL_CHECKPOINT_NONE && ool_is_leaf(y) &&
        ool_grad_mode(net->tape) == OOL_GRAD)
        ool_require_grad(y, true);
    return y;
}

struct ool_hf_past ool_hf_past_of(const struct ool_kv *cache)
{
    struct ool_hf_past past = {0, NULL};

    if (!cache || !cache->k[0])
        return past;
    if (cache->kind == OOL_CACHE_STATIC) {
        past.length = cache->position;
        past.tensor = cache->length[0];
    } else {
        past.length = ool_size(cache->k[0], -2);
    }
    return past;
}

static struct ool_tensor *arange_from(struct ool_tape *t, int64_t n, struct ool_hf_past past)
{
    struct ool_tensor *range = ool_arange(t, n);

    if (past.tensor)
        return ool_add(t, range, past.tensor);
    return ool_binary_scalar(t, OOL_ADD, range, (double)past.length);
}

struct ool_tensor *ool_hf_positions(struct ool_net *net, int64_t n, struct ool_hf_past past)
{
    return ool_unsqueeze(net->tape, arange_from(net->tape, n, past), 0);
}

/* Are the positions of several sequences packed into a row? The answer is read from the device. */
static void search_packed(struct ool_net *net, struct ool_tensor *positions, int64_t batch)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *ids = NULL, *first = NULL, *joined = NULL, *step = NULL, *sequence = NULL;
    struct ool_tensor *last;

    ool_set(t, &ids, ool_expand(t, positions, OOL_SHAPE(batch, -1)));
    ool_set(t, &first, ool_binary_scalar(t, OOL_SUB, ool_slice(t, ids, 1, 0, 1), 1));
    ool_set(t, &joined, ool_cat(t, (struct ool_tensor *[]){first, ids}, 2, 1));
    if (joined) {
        struct ool_tensor *left = ool_slice(t, joined, 1, 0, ool_size(joined, 1) - 1);

        ool_set(t, &step, ool_binary(t, OOL_SUB, ool_slice(t, joined, 1, 1, INT64_MAX), left));
    }
    ool_del(t, &joined);
    ool_del(t, &first);
    ool_set(t, &sequence, ool_cumsum(t, ool_binary_scalar(t, OOL_NE, step, 1), -1));
    last = ool_binary_scalar(t, OOL_EQ, ool_select(t, sequence, 1, -1), 0);
    ool_drop(t, ool_reduce(t, OOL_ALL, last, OOL_ALL_DIMS, false));
    ool_del(t, &ids);
    ool_del(t, &step);
    ool_del(t, &sequence);
}

/* where(mask, zeros(()), min): both numbers are tensors on the device. */
static struct ool_tensor *additive_mask(struct ool_tape *t, enum ool_dtype dtype,
                                        struct ool_tensor *mask)
{
    struct ool_tensor *zero = NULL, *result;

    ool_enter(t, mask);
    ool_set(t, &zero, ool_zeros(t, dtype, 0, NULL));
    result = ool_where(t, mask, zero, ool_full(t, dtype, -1e30, 0, NULL));
    ool_del(t, &zero);
    ool_leave(t, mask);
    return result;
}

struct ool_tensor *ool_hf_causal_mask(struct ool_net *net, struct ool_tensor *embeds,
                                      const struct ool_kv *cache, struct ool_tensor *positions)
{
    struct ool_tape *t = net->tape;
    bool eager = net->model.attention == OOL_ATTENTION_EAGER;
    bool fixed = cache && cache->kind == OOL_CACHE_STATIC;
    struct ool_hf_past past = ool_hf_past_of(cache), none = {0, NULL};
    struct ool_tensor *of_batch = NULL, *of_head = NULL, *of_q = NULL, *of_kv = NULL, *mask;
    int64_t batch, n, length;

    if (!embeds)
        return NULL;
    batch = ool_size(embeds, 0);
    n = ool_size(embeds, 1);
    length = fixed ? cache->max : past.length + n;
    if (positions && !cache)
        search_packed(net, positions, batch);
    /* sdpa's own causal flag does where queries and keys begin together, or for a single query;
     * but a cache made for compiled decoding always gets its mask there */
    if (!eager && !(fixed && n == 1) && (n == 1 || (!past.tensor && past.length == 0)))
        return NULL;
    ool_set(t, &of_batch, ool_arange(t, batch));
    ool_set(t, &of_head, ool_arange(t, 1));
    ool_set(t, &of_q, arange_from(t, n, past));
    ool_set(t, &of_kv, arange_from(t, length, none));
    mask = ool_binary(t, OOL_LE, ool_view(t, of_kv, OOL_SHAPE(1, 1, 1, length)),
                      ool_view(t, of_q, OOL_SHAPE(1, 1, n, 1)));
    mask = ool_expand(t, mask, OOL_SHAPE(batch, -1, n, length));
    ool_del(t, &of_batch);
    ool_del(t, &of_head);
    ool_del(t, &of_q);
    ool_del(t, &of_kv);
    return eager ? additive_mask(t, ool_dtype(embeds), mask) : mask;
}

struct ool_tensor *ool_hf_heads(struct ool_net *net, struct ool_module *linear,
                                struct ool_tensor *x, int64_t head_dim)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *y = ool_linear_call(net, linear, x);

    y = ool_view(t, y, OOL_SHAPE(ool_size(y, 0), ool_size(y, 1), -1, head_dim));
    return ool_transpose(t, y, 1, 2);
}

/* --- activations, head and loss --------------------------------------------------------------- */

/* 0.5 * x * (1 + tanh(c * (x + 0.044715 * pow(x, 3)))) */
static struct ool_tensor *gelu_new(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_tensor *half, *y;

    ool_enter(t, x);
    half = ool_scale(t, x, 0.5);
    y = ool_scale(t, ool_binary_scalar(t, OOL_POW, x, 3), 0.044715);
    y = ool_unary(t, OOL_TANH, ool_scale(t, ool_add(t, x, y), 0.7978845608028654));
    y = ool_mul(t, half, ool_scalar_binary(t, OOL_ADD, 1, y));
    ool_leave(t, x);
    return y;
}

struct ool_tensor *ool_hf_gelu(struct ool_net *net, struct ool_tensor *x, int own)
{
    int kind = net->model.gelu != OOL_GELU_KIND_DEFAULT ? (int)net->model.gelu : own;

    if (kind == OOL_GELU_KIND_NEW)
        return gelu_new(net->tape, x);
    return ool_unary(net->tape, kind == OOL_GELU_KIND_TANH ? OOL_GELU_TANH : OOL_GELU_ERF, x);
}

struct ool_tensor *ool_hf_slice_logits(struct ool_net *net, struct ool_tensor *hidden, int64_t n)
{
    int64_t length = hidden ? ool_size(hidden, 1) : 0;

    if (n <= 0 || n >= length)
        return hidden;
    return ool_slice(net->tape, hidden, 1, length - n, INT64_MAX);
}

/* ForCausalLMLoss: in float, against the labels moved by one */
static struct ool_tensor *causal_loss(struct ool_net *net, struct ool_tensor *logits,
                                      struct ool_tensor *labels)
{
    struct ool_tape *t = net->tape;
    int64_t pads[] = {0, 1};
    struct ool_tensor *x = NULL, *padded = NULL, *shifted = NULL, *loss;

    ool_push(t, "loss");
    ool_set(t, &x, ool_to(t, logits, OOL_F32));
    ool_set(t, &padded, ool_pad(t, labels, 2, pads, -100));
    ool_set(t, &shifted, ool_contiguous(t, ool_slice(t, padded, 1, 1, INT64_MAX)));
    if (logits)
        ool_set(t, &x, ool_view(t, x, OOL_SHAPE(-1, ool_size(logits, -1))));
    ool_set(t, &shifted, ool_view(t, shifted, OOL_SHAPE(-1)));
    loss = ool_cross_entropy(t, x, shifted, 0, OOL_LOSS_MEAN);
    ool_pop(t);
    ool_del(t, &x);
    ool_del(t, &padded);
    ool_del(t, &shifted);
    return loss;
}

void ool_hf_output(struct ool_net *net, struct ool_output *out, struct ool_tensor *loss,
                   struct ool_tensor *logits)
{
    if (loss) {
        ool_set(net->tape, &out->loss, loss);
        ool_output_keep(net, out, out->loss);
    }
    ool_output_keep(net, out, logits);
    if (out->n_kept > 0)
        out->logits = out->kept[out->n_kept - 1];
}

void ool_hf_causal_head(struct ool_net *net, struct ool_module *head, struct ool_tensor *hidden,
                        const struct ool_call *call, struct ool_kv *own_cache,
                        struct ool_output *out)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *outputs = NULL, *sliced = NULL, *logits = NULL, *loss = NULL;

    ool_set(t, &outputs, hidden);
    ool_set(t, &sliced, ool_hf_slice_logits(net, outputs, call->last_logits));
    ool_set(t, &logits, ool_linear_call(net, head, sliced));
    if (call->loss)
        ool_set(t, &loss, causal_loss(net, logits, call->y));
    ool_hf_output(net, out, loss, logits);
    ool_hf_cache_keep(net, out, own_cache);
    ool_del(t, &outputs);
    ool_del(t, &sliced);
    ool_del(t, &logits);
    ool_del(t, &loss);
}
