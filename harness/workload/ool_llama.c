/*
 * ool_llama.c - Llama from plain modules: RMSNorm, rotary positions, grouped queries, SwiGLU, no biases.
 */
#include "ool_llama_cache.h"
#include "ool_plain.h"

#include <math.h>

struct llama {
    struct ool_module *tok, **blocks, *norm, *head;
    struct ool_param *cos, *sin, *mask;
};

struct block {
    struct ool_module *n1, *attn, *q, *k, *v, *o, *n2, *gate, *up, *down;
};

enum { IN_X, IN_COS, IN_SIN, IN_MASK, N_INPUTS };

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_plain_default(&m->vocab, 32000);
    ool_plain_default(&m->layers, 32);
    ool_plain_default(&m->hidden, 4096);
    ool_plain_default(&m->heads, 32);
    ool_plain_default(&m->kv_heads, m->heads);
    ool_plain_default(&m->ffn, 11008);
    ool_plain_default(&m->max_seq, 4096);
    if (m->tied < 0)
        m->tied = 0;
    ool_plain_check(net, m, 0.0);
    ool_plain_check_positions(net, m);
    if (m->dropout > 0 || m->attention_dropout > 0)
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "plain Llama has no dropout");
    if (m->head_dim % 2 != 0)
        ool_fail(net->tape, OOL_E_COMBINATION, "rotary positions need an even head width, not %lld",
                 (long long)m->head_dim);
}

static struct ool_module *rms_norm_add(struct ool_net *net, struct ool_module *parent,
                                       const char *name)
{
    struct ool_module *module = ool_module_add(net, parent, name, -1);

    ool_param_add(net, module, "weight", OOL_SHAPE(net->model.hidden));
    return module;
}

static struct ool_module *block_add(struct ool_net *net, int64_t index)
{
    const struct ool_model *m = &net->model;
    struct ool_module *module = ool_module_add(net, net->root, "blocks", index);
    struct block *b = ool_net_alloc(net, 1, sizeof(*b));
    int64_t kv = m->kv_heads * m->head_dim;

    if (!module || !b)
        return NULL;
    module->role = OOL_ROLE_BLOCK;
    module->state = b;
    b->n1 = rms_norm_add(net, module, "n1");
    b->attn = ool_module_add(net, module, "attn", -1);
    b->q = ool_linear_add(net, b->attn, "q", m->hidden, m->hidden, false);
    b->k = ool_linear_add(net, b->attn, "k", m->hidden, kv, false);
    b->v = ool_linear_add(net, b->attn, "v", m->hidden, kv, false);
    b->o = ool_linear_add(net, b->attn, "o", m->hidden, m->hidden, false);
    b->n2 = rms_norm_add(net, module, "n2");
    b->gate = ool_linear_add(net, module, "gate", m->hidden, m->ffn, false);
    b->up = ool_linear_add(net, module, "up", m->hidden, m->ffn, false);
    b->down = ool_linear_add(net, module, "down", m->ffn, m->hidden, false);
    return module;
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct llama *l = ool_net_alloc(net, 1, sizeof(*l));
    struct ool_module *root = net->root;

    if (!l)
        return;
    root->state = l;
    l->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    l->tok = ool_embedding_add(net, root, "tok", m->vocab, m->hidden);
    for (int64_t i = 0; l->blocks && i < m->layers; i++)
        l->blocks[i] = block_add(net, i);
    l->norm = rms_norm_add(net, root, "norm");
    l->head = ool_linear_add(net, root, "head", m->hidden, m->vocab, false);
    if (l->head)
        l->head->role = OOL_ROLE_HEAD;
    if (m->tied)
        ool_module_tie(net, l->head, l->tok);
    l->cos = ool_buffer_add(net, root, "cos", net->dtype, OOL_SHAPE(1, 1, m->max_seq, m->head_dim));
    l->sin = ool_buffer_add(net, root, "sin", net->dtype, OOL_SHAPE(1, 1, m->max_seq, m->head_dim));
    if (m->attention == OOL_ATTENTION_EAGER)
        l->mask =
            ool_buffer_add(net, root, "mask", net->dtype, OOL_SHAPE(1, 1, m->max_seq, m->max_seq));
}

/* z = x.float(); z = z * rsqrt(mean(z^2) + eps); weight * z.to(x.dtype) */
static struct ool_tensor *rms_norm(struct ool_net *net, struct ool_module *norm,
                                   struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *weight, *z = NULL, *y;

    if (!x)
        return NULL;
    ool_module_enter(net, norm);
    weight = norm->params[0]->tensor;
    if (net->model.norm == OOL_NORM_FUSED)
        return ool_module_leave(net, norm, ool_rms_norm(t, x, weight));
    ool_enter(t, x);
    ool_set(t, &z, ool_to(t, x, OOL_F32));
    y = ool_reduce(t, OOL_MEAN, ool_binary_scalar(t, OOL_POW, z, 2.0), -1, true);
    y = ool_unary(t, OOL_RSQRT, ool_binary_scalar(t, OOL_ADD, y, 1e-5));
    ool_set(t, &z, ool_mul(t, z, y));
    y = ool_mul(t, weight, ool_to(t, z, ool_dtype(x)));
    ool_del(t, &z);
    ool_leave(t, x);
    return ool_module_leave(net, norm, y);
}

/* x * cos + cat((-x2, x1)) * sin; the caller keeps x */
static struct ool_tensor *rotate(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *cos_,
                                 struct ool_tensor *sin_)
{
    struct ool_tensor *part[2] = {NULL}, *x1 = NULL, *x2 = NULL, *turned[2], *straight, *y;

    ool_chunk(t, x, 2, -1, part, 2);
    ool_set(t, &x1, part[0]);
    ool_set(t, &x2, part[1]);
    straight = ool_mul(t, x, cos_);
    turned[0] = ool_unary(t, OOL_NEG, x2);
    turned[1] = x1;
    y = ool_mul(t, ool_cat(t, turned, 2, -1), sin_);
    y = ool_add(t, straight, y);
    ool_del(t, &x1);
    ool_del(t, &x2);
    return y;
}

/* Key or value heads repeated for each group of queries: a copy. */
static void repeat_heads(struct ool_tape *t, struct ool_tensor **x, int64_t times)
{
    const struct ool_index group[] = {
        {OOL_INDEX_ALL, 0, 0, NULL}, {OOL_INDEX_ALL, 0, 0, NULL}, {OOL_INDEX_NEW, 0, 0, NULL}};
    int64_t b, heads, s, d;
    struct ool_tensor *y;

    if (!*x)
        return;
    b = ool_size(*x, 0);
    heads = ool_size(*x, 1);
    s = ool_size(*x, 2);
    d = ool_size(*x, 3);
    y = ool_expand(t, ool_subscript(t, *x, 3, group), OOL_SHAPE(b, heads, times, s, d));
    ool_set(t, x, ool_reshape(t, y, OOL_SHAPE(b, heads * times, s, d)));
}

/* Whether scaled_dot_product_attention gets fewer key heads than heads. */
static bool is_native(const struct ool_model *m)
{
    return m->heads > m->kv_heads && m->attention == OOL_ATTENTION_SDPA && m->gqa == OOL_GQA_NATIVE;
}

static struct ool_tensor *core(struct ool_net *net, const struct ool_module *block,
                               struct ool_tensor *const *qkv, struct ool_tensor **w)
{
    struct ool_tape *t = net->tape;
    const struct ool_model *m = &net->model;
    struct ool_tensor *mask = qkv[3];
    struct ool_sdpa_args args = {.causal = qkv[0] && ool_size(qkv[0], 2) > 1, .gqa = is_native(m)};

    (void)block;
    if (m->attention == OOL_ATTENTION_SDPA)
        return ool_sdpa(t, qkv[0], qkv[1], qkv[2], &args);
    ool_set(t, w,
            ool_scale(t, ool_matmul(t, qkv[0], ool_transpose(t, qkv[1], 2, 3)),
                      1.0 / sqrt((double)m->head_dim)));
    if (mask)
        ool_set(t, w, ool_add(t, *w, mask));
    if (!qkv[0])
        return NULL;
    ool_set(t, w, ool_to(t, ool_softmax_to(t, *w, -1, OOL_F32), ool_dtype(qkv[0])));
    return ool_matmul(t, *w, qkv[2]);
}

static struct ool_tensor *attention(struct ool_net *net, struct ool_module *block,
                                    struct ool_tensor *x, struct ool_tensor *const *inputs)
{
    struct ool_tape *t = net->tape;
    const struct ool_model *m = &net->model;
    const struct block *b = block->state;
    int64_t group = m->heads / m->kv_heads;
    struct ool_tensor *qkv[4] = {[3] = inputs[IN_MASK]}, *turned[2], *y = NULL, *w = NULL, *result;

    ool_module_enter(net, b->attn);
    ool_enter(t, x);
    ool_set(t, &qkv[0],
            ool_plain_split_heads(t, ool_linear_call(net, b->q, x), m->heads, m->head_dim));
    ool_set(t, &qkv[1],
            ool_plain_split_heads(t, ool_linear_call(net, b->k, x), m->kv_heads, m->head_dim));
    ool_set(t, &qkv[2],
            ool_plain_split_heads(t, ool_linear_call(net, b->v, x), m->kv_heads, m->head_dim));
    for (int i = 0; i < 2; i++)
        turned[i] = rotate(t, qkv[i], inputs[IN_COS], inputs[IN_SIN]);
    /* q, k = ..., ...: CPython stores a pair of locals from the right */
    ool_set(t, &qkv[1], turned[1]);
    ool_set(t, &qkv[0], turned[0]);
    if (net->call && net->call->cache)
        ool_llama_cache_update(net, net->call->cache, block->index, &qkv[1], &qkv[2]);
    for (int i = 1; group > 1 && !is_native(m) && i < 3; i++)
        repeat_heads(t, &qkv[i], group);
    ool_set(t, &y, ool_run_core(net, block, core, qkv, &w));
    ool_set(t, &y, ool_plain_join_heads(t, y));
    result = ool_linear_call(net, b->o, y);
    for (int i = 0; i < 3; i++)
        ool_del(t, &qkv[i]);
    ool_del(t, &y);
    ool_del(t, &w);
    ool_leave(t, x);
    return ool_module_leave(net, b->attn, result);
}

static struct ool_tensor *block_forward(struct ool_net *net, struct ool_module *module,
                                        struct ool_tensor *const *inputs, int n)
{
    struct ool_tape *t = net->tape;
    const struct block *b = module->state;
    struct ool_tensor *x = NULL, *y = NULL, *gate, *r;

    (void)n;
    ool_module_enter(net, module);
    r = attention(net, module, rms_norm(net, b->n1, inputs[IN_X]), inputs);
    ool_set(t, &x, ool_add(t, inputs[IN_X], r));
    ool_set(t, &y, rms_norm(net, b->n2, x));
    gate = ool_unary(t, OOL_SILU, ool_linear_call(net, b->gate, y));
    r = ool_mul(t, gate, ool_linear_call(net, b->up, y));
    r = ool_add(t, x, ool_linear_call(net, b->down, r));
    ool_del(t, &x);
    ool_del(t, &y);
    return ool_module_leave(net, module, r);
}

/* buffer[:, :, start:start + s] and, of the mask, [..., :start + s] */
static struct ool_tensor *positions(struct ool_tape *t, const struct ool_param *buffer,
                                    int64_t start, int64_t s, bool mask)
{
    const struct ool_index items[] = {{OOL_INDEX_ALL, 0, 0, NULL},
                                      {OOL_INDEX_ALL, 0, 0, NULL},
                                      {OOL_INDEX_SLICE, start, start + s, NULL},
                                      {OOL_INDEX_SLICE, 0, start + s, NULL}};

    return ool_subscript(t, buffer->tensor, mask ? 4 : 3, items);
}

static struct ool_tensor *trunk(struct ool_net *net, const struct ool_call *call)
{
    struct ool_tape *t = net->tape;
    const struct llama *l = net->root->state;
    int64_t s = ool_size(call->x, 1);
    struct ool_tensor *others[N_INPUTS - 1] = {NULL}, *x = NULL, *y;

    ool_set(t, &others[0], positions(t, l->cos, call->start, s, false));
    ool_set(t, &others[1], positions(t, l->sin, call->start, s, false));
    if (l->mask && s > 1)
        ool_set(t, &others[2], positions(t, l->mask, call->start, s, true));
    ool_set(t, &x,
            ool_run_blocks(net, l->blocks, net->model.layers, block_forward,
                           ool_embedding_call(net, l->tok, call->x), others, N_INPUTS - 1));
    y = rms_norm(net, l->norm, x);
    for (int i = 0; i < N_INPUTS - 1; i++)
        ool_del(t, &others[i]);
    ool_del(t, &x);
    return y;
}

static struct ool_tensor *head(struct ool_net *net, struct ool_tensor *hidden)
{
    return ool_linear_call(net, ((const struct llama *)net->root->state)->head, hidden);
}

const struct ool_family_ops ool_llama = {.family = OOL_FAMILY_LLAMA,
                                         .formulation = OOL_PLAIN,
                                         .defaults = defaults,
                                         .build = build,
                                         .inputs = ool_token_inputs,
                                         .forward = ool_plain_forward,
                                         .trunk = trunk,
                                         .head = head,
                                         .cache_open = ool_llama_cache_open};
