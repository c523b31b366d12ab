/*
 * ool_mlp.c - linears with ReLU between them and a linear head.
 */
#include "ool_plain.h"

struct mlp {
    struct ool_module **blocks, *head;
};

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_plain_default(&m->inputs, 784);
    ool_plain_default(&m->hidden, 512);
    ool_plain_default(&m->layers, 3);
    ool_plain_default(&m->classes, 10);
    m->heads = m->kv_heads = 1;
    m->ffn = m->hidden;
    ool_plain_check(net, m, 0.0);
    if (m->inputs < 1 || m->classes < 1)
        ool_fail(net->tape, OOL_E_RANGE, "an MLP needs inputs and classes");
    if (m->dropout > 0)
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "the plain MLP has no dropout");
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct mlp *mlp = ool_net_alloc(net, 1, sizeof(*mlp));

    if (!mlp)
        return;
    net->root->state = mlp;
    mlp->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    for (int64_t i = 0; mlp->blocks && i < m->layers; i++) {
        struct ool_module *block = ool_module_add(net, net->root, "blocks", i);

        if (!block)
            return;
        block->role = OOL_ROLE_BLOCK;
        block->state =
            ool_linear_add(net, block, "l", i == 0 ? m->inputs : m->hidden, m->hidden, true);
        mlp->blocks[i] = block;
    }
    mlp->head = ool_linear_add(net, net->root, "head", m->hidden, m->classes, true);
    if (mlp->head)
        mlp->head->role = OOL_ROLE_HEAD;
}

static struct ool_tensor *block_forward(struct ool_net *net, struct ool_module *block,
                                        struct ool_tensor *const *inputs, int n)
{
    struct ool_tensor *x;

    (void)n;
    ool_module_enter(net, block);
    x = ool_linear_call(net, block->state, inputs[0]);
    x = net->model.inplace ? ool_unary_inplace(net->tape, OOL_RELU, x)
                           : ool_unary(net->tape, OOL_RELU, x);
    return ool_module_leave(net, block, x);
}

static struct ool_tensor *trunk(struct ool_net *net, const struct ool_call *call)
{
    const struct mlp *mlp = net->root->state;

    return ool_run_blocks(net, mlp->blocks, net->model.layers, block_forward, call->x, NULL, 0);
}

static struct ool_tensor *head(struct ool_net *net, struct ool_tensor *hidden)
{
    return ool_linear_call(net, ((const struct mlp *)net->root->state)->head, hidden);
}

const struct ool_family_ops ool_mlp = {.family = OOL_FAMILY_MLP,
                                       .formulation = OOL_PLAIN,
                                       .heads = 1u << OOL_HEAD_CLASSES,
                                       .defaults = defaults,
                                       .build = build,
                                       .inputs = ool_vector_inputs,
                                       .forward = ool_plain_forward,
                                       .trunk = trunk,
                                       .head = head};
