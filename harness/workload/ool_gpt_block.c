#include "ool_plain.h"

#include <math.h>

struct block {
    struct ool_module *ln1, *attn, *qkv, *proj, *ln2, *fc, *pr;
    struct ool_param *mask;
    bool causal;
};

struct ool_module *ool_gpt_block_add(struct ool_net *net, int64_t index, int64_t positions,
                                     bool causal)
{
    const struct ool_model *m = &net->model;
    struct ool_module *module = ool_module_add(net, net->root, "blocks", index);
    struct block *b = ool_net_alloc(net, 1, sizeof(*b));

    if (!module || !b)
        return NULL;
    module->role = OOL_ROLE_BLOCK;
    module->state = b;
    b->causal = causal;
    b->ln1 = ool_layer_norm_add(net, module, "ln1", m->hidden);
    b->attn = ool_module_add(net, module, "attn", -1);
    b->qkv = ool_linear_add(net, b->attn, "qkv", m->hidden, 3 * m->hidden, true);
    b->proj = ool_linear_add(net, b->attn, "proj", m->hidden, m->hidden, true);
    if (m->attention == OOL_ATTENTION_EAGER && causal)
        b->mask =
            ool_buffer_add(net, b->attn, "mask", OOL_BOOL, OOL_SHAPE(1, 1, positions, positions));
    b->ln2 = ool_layer_norm_add(net, module, "ln2", m->hidden);
    b->fc = ool_linear_add(net, module, "fc", m->hidden, m->ffn, true);
    b->pr = ool_linear_add(net, module, "pr", m->ffn, m->hidden, true);
    return module;
}

/* w = softmax(mask(q @ k^T * d^-0.5)); dropout(w) @ v. *weights is the caller's variable w. */
static struct ool_tensor *eager(struct ool_net *net, const struct block *b, struct ool_tensor *q,
                                struct ool_tensor *k, struct ool_tensor *v,
                                struct ool_tensor **weights)
{
    struct ool_tape *t = net->tape;
    int64_t s = q ? ool_size(q, 2) : 0;
    const struct ool_index causal[] = {{OOL_INDEX_ALL, 0, 0, NULL},
                                       {OOL_INDEX_ALL, 0, 0, NULL},
                                       {OOL_INDEX_SLICE, 0, s, NULL},
                                       {OOL_INDEX_SLICE, 0, s, NULL}};

    ool_set(t, weights, ool_matmul(t, q, ool_transpose(t, k, -2, -1)));
    ool_set(t, weights, ool_scale(t, *weights, 1.0 / sqrt((double)net->model.head_dim)));
    if (b->causal)
        ool_set(
            t, weights,
            ool_masked_fill(t, *weights, ool_subscript(t, b->mask->tensor, 4, causal), -INFINITY));
    ool_set(t, weights, ool_softmax(t, *weights, -1));
    ool_set(t, weights, ool_dropout_call(net, *weights, net->model.attention_dropout));
    return ool_matmul(t, *weights, v);
}

static struct ool_tensor *core(struct ool_net *net, const struct ool_module *block,
                               struct ool_tensor *const *qkv, struct ool_tensor **weights)
{
    const struct block *b = block->state;
    struct ool_sdpa_args args = {.dropout = net->training ? net->model.attention_dropout : 0.0,
                                 .causal = b->causal};

    if (net->model.attention == OOL_ATTENTION_SDPA)
        return ool_sdpa(net->tape, qkv[0], qkv[1], qkv[2], &args);
    return eager(net, b, qkv[0], qkv[1], qkv[2], weights);
}

static struct ool_tensor *attention(struct ool_net *net, struct ool_module *block,
                                    struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    const struct ool_model *m = &net->model;
    const struct block *b = block->state;
    struct ool_tensor *part[3] = {NULL}, *qkv[4] = {NULL}, *y = NULL, *w = NULL, *result;

    ool_module_enter(net, b->attn);
    ool_enter(t, x);
    ool_split(t, ool_linear_call(net, b->qkv, x), m->hidden, 2, part, 3);
    for (int i = 0; i < 3; i++)
        ool_set(t, &qkv[i], part[i]);
    for (int i = 0; i < 3; i++)
        ool_set(t, &qkv[i], ool_plain_split_heads(t, qkv[i], m->heads, m->head_dim));
    ool_set(t, &y, ool_run_core(net, block, core, qkv, &w));
    ool_set(t, &y, ool_plain_join_heads(t, y));
    result = ool_dropout_call(net, ool_linear_call(net, b->proj, y), m->dropout);
    for (int i = 0; i < 3; i++)
        ool_del(t, &qkv[i]);
    ool_del(t, &y);
    ool_del(t, &w);
    ool_leave(t, x);
    return ool_module_leave(net, b->attn, result);
}

struct ool_tensor *ool_gpt_block_forward(struct ool_net *net, struct ool_module *module,
                                         struct ool_tensor *const *inputs, int n)
{
    struct ool_tape *t = net->tape;
    const struct block *b = module->state;
    struct ool_tensor *x = NULL, *y;

    (void)n;
    ool_module_enter(net, module);
    ool_set(
        t, &x,
        ool_add(t, inputs[0], attention(net, module, ool_layer_norm_call(net, b->ln1, inputs[0]))));
    y = ool_linear_call(net, b->fc, ool_layer_norm_call(net, b->ln2, x));
    y = ool_linear_call(net, b->pr, ool_plain_gelu(net, y));
    y = ool_add(t, x, ool_dropout_call(net, y, net->model.dropout));
    ool_del(t, &x);
    return ool_module_leave(net, module, y);
}
