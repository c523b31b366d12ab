/*
 * ool_gpt.c - GPT-2's architecture from plain modules: learned positions, pre-norm blocks, tied head.
 */
#include "ool_plain.h"

struct gpt {
    struct ool_module *tok, *pos, **blocks, *ln, *head;
};

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_plain_default(&m->vocab, 50257);
    ool_plain_default(&m->layers, 12);
    ool_plain_default(&m->hidden, 768);
    ool_plain_default(&m->heads, 12);
    ool_plain_default(&m->kv_heads, m->heads);
    ool_plain_default(&m->ffn, 4 * m->hidden);
    ool_plain_default(&m->max_seq, 1024);
    if (m->tied < 0)
        m->tied = 1;
    if (m->gelu == OOL_GELU_KIND_DEFAULT)
        m->gelu = OOL_GELU_KIND_TANH;
    ool_plain_check(net, m, 0.0);
    ool_plain_check_positions(net, m);
    if (m->kv_heads != m->heads)
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "plain GPT has as many key/value heads as heads");
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct gpt *g = ool_net_alloc(net, 1, sizeof(*g));

    if (!g)
        return;
    net->root->state = g;
    g->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    g->tok = ool_embedding_add(net, net->root, "tok", m->vocab, m->hidden);
    g->pos = ool_embedding_add(net, net->root, "pos", m->max_seq, m->hidden);
    for (int64_t i = 0; g->blocks && i < m->layers; i++)
        g->blocks[i] = ool_gpt_block_add(net, i, m->max_seq, true);
    g->ln = ool_layer_norm_add(net, net->root, "ln", m->hidden);
    g->head = ool_linear_add(net, net->root, "head", m->hidden, m->vocab, false);
    if (g->head)
        g->head->role = OOL_ROLE_HEAD;
    if (m->tied)
        ool_module_tie(net, g->head, g->tok);
}

static struct ool_tensor *trunk(struct ool_net *net, const struct ool_call *call)
{
    struct ool_tape *t = net->tape;
    const struct gpt *g = net->root->state;
    struct ool_tensor *x = NULL, *y;

    y = ool_embedding_call(net, g->tok, call->x);
    ool_set(t, &x,
            ool_add(t, y, ool_embedding_call(net, g->pos, ool_arange(t, ool_size(call->x, 1)))));
    ool_set(t, &x,
            ool_run_blocks(net, g->blocks, net->model.layers, ool_gpt_block_forward,
                           ool_dropout_call(net, x, net->model.dropout), NULL, 0));
    y = ool_layer_norm_call(net, g->ln, x);
    ool_del(t, &x);
    return y;
}

static struct ool_tensor *head(struct ool_net *net, struct ool_tensor *hidden)
{
    return ool_linear_call(net, ((const struct gpt *)net->root->state)->head, hidden);
}

const struct ool_family_ops ool_gpt = {.family = OOL_FAMILY_GPT,
                                       .formulation = OOL_PLAIN,
                                       .defaults = defaults,
                                       .build = build,
                                       .inputs = ool_token_inputs,
                                       .forward = ool_plain_forward,
                                       .trunk = trunk,
                                       .head = head};
