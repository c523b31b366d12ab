/*
 * ool_bert.c - BERT with its masked-language head from plain modules: post-norm blocks, three separate q, k, v linears.
 */
#include "ool_plain.h"

#include <math.h>

struct bert {
    struct ool_module *tok, *pos, *typ, *ln, **blocks, *t, *tln, *head;
};

struct block {
    struct ool_module *qkv[3], *o, *ln1, *fc, *pr, *ln2;
};

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_plain_default(&m->vocab, 30522);
    ool_plain_default(&m->layers, 12);
    ool_plain_default(&m->hidden, 768);
    ool_plain_default(&m->heads, 12);
    ool_plain_default(&m->kv_heads, m->heads);
    ool_plain_default(&m->ffn, 4 * m->hidden);
    ool_plain_default(&m->max_seq, 512);
    ool_plain_default(&m->type_vocab, 2);
    if (m->gelu == OOL_GELU_KIND_DEFAULT)
        m->gelu = OOL_GELU_KIND_ERF;
    if (m->tied < 0)
        m->tied = 1;
    ool_plain_check(net, m, 0.1);
    ool_plain_check_positions(net, m);
    if (m->kv_heads != m->heads)
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "plain BERT has as many key/value heads as heads");
}

static struct ool_module *block_add(struct ool_net *net, int64_t index)
{
    static const char *const names[] = {"q", "k", "v"};
    const struct ool_model *m = &net->model;
    struct ool_module *module = ool_module_add(net, net->root, "blocks", index);
    struct block *b = ool_net_alloc(net, 1, sizeof(*b));

    if (!module || !b)
        return NULL;
    module->role = OOL_ROLE_BLOCK;
    module->state = b;
    for (int i = 0; i < 3; i++)
        b->qkv[i] = ool_linear_add(net, module, names[i], m->hidden, m->hidden, true);
    b->o = ool_linear_add(net, module, "o", m->hidden, m->hidden, true);
    b->ln1 = ool_layer_norm_add(net, module, "ln1", m->hidden);
    b->fc = ool_linear_add(net, module, "fc", m->hidden, m->ffn, true);
    b->pr = ool_linear_add(net, module, "pr", m->ffn, m->hidden, true);
    b->ln2 = ool_layer_norm_add(net, module, "ln2", m->hidden);
    return module;
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct bert *bert = ool_net_alloc(net, 1, sizeof(*bert));

    if (!bert)
        return;
    net->root->state = bert;
    bert->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    bert->tok = ool_embedding_add(net, net->root, "tok", m->vocab, m->hidden);
    bert->pos = ool_embedding_add(net, net->root, "pos", m->max_seq, m->hidden);
    bert->typ = ool_embedding_add(net, net->root, "typ", m->type_vocab, m->hidden);
    bert->ln = ool_layer_norm_add(net, net->root, "ln", m->hidden);
    for (int64_t i = 0; bert->blocks && i < m->layers; i++)
        bert->blocks[i] = block_add(net, i);
    bert->t = ool_linear_add(net, net->root, "t", m->hidden, m->hidden, true);
    bert->tln = ool_layer_norm_add(net, net->root, "tln", m->hidden);
    bert->head = ool_linear_add(net, net->root, "head", m->hidden, m->vocab, true);
    if (bert->head)
        bert->head->role = OOL_ROLE_HEAD;
    if (m->tied)
        ool_module_tie(net, bert->head, bert->tok);
}

static struct ool_tensor *core(struct ool_net *net, const struct ool_module *block,
                               struct ool_tensor *const *qkv, struct ool_tensor **w)
{
    struct ool_tape *t = net->tape;
    const struct ool_model *m = &net->model;
    struct ool_sdpa_args args = {.dropout = net->training ? m->attention_dropout : 0.0};

    (void)block;
    if (m->attention == OOL_ATTENTION_SDPA)
        return ool_sdpa(t, qkv[0], qkv[1], qkv[2], &args);
    ool_set(t, w,
            ool_scale(t, ool_matmul(t, qkv[0], ool_transpose(t, qkv[1], -1, -2)),
                      1.0 / sqrt((double)m->head_dim)));
    ool_set(t, w, ool_dropout_call(net, ool_softmax(t, *w, -1), m->attention_dropout));
    return ool_matmul(t, *w, qkv[2]);
}

static struct ool_tensor *block_forward(struct ool_net *net, struct ool_module *module,
                                        struct ool_tensor *const *inputs, int n)
{
    struct ool_tape *t = net->tape;
    const struct ool_model *m = &net->model;
    const struct block *b = module->state;
    struct ool_tensor *x = NULL, *qkv[4] = {NULL}, *y = NULL, *w = NULL, *r;

    (void)n;
    ool_module_enter(net, module);
    for (int i = 0; i < 3; i++)
        ool_set(t, &qkv[i],
                ool_plain_split_heads(t, ool_linear_call(net, b->qkv[i], inputs[0]), m->heads,
                                      m->head_dim));
    ool_set(t, &y, ool_run_core(net, module, core, qkv, &w));
    ool_set(t, &y, ool_linear_call(net, b->o, ool_plain_join_heads(t, y)));
    r = ool_add(t, inputs[0], ool_dropout_call(net, y, m->dropout));
    ool_set(t, &x, ool_layer_norm_call(net, b->ln1, r));
    r = ool_linear_call(net, b->pr, ool_plain_gelu(net, ool_linear_call(net, b->fc, x)));
    r = ool_layer_norm_call(net, b->ln2, ool_add(t, x, ool_dropout_call(net, r, m->dropout)));
    ool_del(t, &x);
    for (int i = 0; i < 3; i++)
        ool_del(t, &qkv[i]);
    ool_del(t, &y);
    ool_del(t, &w);
    return ool_module_leave(net, module, r);
}

static struct ool_tensor *trunk(struct ool_net *net, const struct ool_call *call)
{
    struct ool_tape *t = net->tape;
    const struct bert *bert = net->root->state;
    struct ool_tensor *pos = NULL, *x = NULL, *y;

    ool_set(t, &pos, ool_arange(t, ool_size(call->x, 1)));
    y = ool_embedding_call(net, bert->tok, call->x);
    y = ool_add(t, y, ool_embedding_call(net, bert->pos, pos));
    ool_set(t, &x, ool_add(t, y, ool_embedding_call(net, bert->typ, ool_zeros_like(t, call->x))));
    y = ool_dropout_call(net, ool_layer_norm_call(net, bert->ln, x), net->model.dropout);
    ool_set(t, &x, ool_run_blocks(net, bert->blocks, net->model.layers, block_forward, y, NULL, 0));
    y = ool_plain_gelu(net, ool_linear_call(net, bert->t, x));
    y = ool_layer_norm_call(net, bert->tln, y);
    ool_del(t, &pos);
    ool_del(t, &x);
    return y;
}

static struct ool_tensor *head(struct ool_net *net, struct ool_tensor *hidden)
{
    return ool_linear_call(net, ((const struct bert *)net->root->state)->head, hidden);
}

const struct ool_family_ops ool_bert = {.family = OOL_FAMILY_BERT,
                                        .formulation = OOL_PLAIN,
                                        .heads = 1u << OOL_HEAD_MASKED_LM,
                                        .defaults = defaults,
                                        .build = build,
                                        .inputs = ool_token_inputs,
                                        .forward = ool_plain_forward,
                                        .trunk = trunk,
                                        .head = head};
