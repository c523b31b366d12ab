/*
 * ool_vit.c - vision transformer from plain modules: patches by reshape, permute and a linear, no convolution.
 */
#include "ool_plain.h"

struct vit {
    struct ool_module *emb, **blocks, *ln, *head;
    struct ool_param *cls, *pos;
};

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_plain_default(&m->resolution, 224);
    ool_plain_default(&m->patch, 16);
    ool_plain_default(&m->channels, 3);
    ool_plain_default(&m->classes, 1000);
    ool_plain_default(&m->layers, 12);
    ool_plain_default(&m->hidden, 768);
    ool_plain_default(&m->heads, 12);
    ool_plain_default(&m->kv_heads, m->heads);
    ool_plain_default(&m->ffn, 4 * m->hidden);
    if (m->gelu == OOL_GELU_KIND_DEFAULT)
        m->gelu = OOL_GELU_KIND_ERF;
    ool_plain_check(net, m, 0.0);
    if (m->patch < 1 || m->resolution < m->patch || m->resolution % m->patch != 0 ||
        m->resolution > 65536 || m->channels != 3)
        ool_fail(net->tape, OOL_E_COMBINATION,
                 "images of %lld x %lld in %lld channels are not patches of %lld x %lld in 3",
                 (long long)m->resolution, (long long)m->resolution, (long long)m->channels,
                 (long long)m->patch, (long long)m->patch);
    else
        m->max_seq = (m->resolution / m->patch) * (m->resolution / m->patch) + 1;
    if (m->kv_heads != m->heads)
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "plain ViT has as many key/value heads as heads");
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct vit *v = ool_net_alloc(net, 1, sizeof(*v));

    if (!v)
        return;
    net->root->state = v;
    v->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    v->emb =
        ool_linear_add(net, net->root, "emb", m->channels * m->patch * m->patch, m->hidden, true);
    v->cls = ool_param_add(net, net->root, "cls", OOL_SHAPE(1, 1, m->hidden));
    v->pos = ool_param_add(net, net->root, "pos", OOL_SHAPE(1, m->max_seq, m->hidden));
    for (int64_t i = 0; v->blocks && i < m->layers; i++)
        v->blocks[i] = ool_gpt_block_add(net, i, m->max_seq, false);
    v->ln = ool_layer_norm_add(net, net->root, "ln", m->hidden);
    v->head = ool_linear_add(net, net->root, "head", m->hidden, m->classes, true);
    if (!v->emb || !v->cls || !v->pos || !v->head)
        return;
    v->emb->role = v->cls->role = v->pos->role = OOL_ROLE_EMBEDDING;
    v->head->role = OOL_ROLE_HEAD;
}

/* [b, 3, r, r] as [b, patches, 3 * patch * patch]: one copy */
static struct ool_tensor *patches(struct ool_net *net, struct ool_tensor *image)
{
    struct ool_tape *t = net->tape;
    int64_t b = ool_size(image, 0), c = ool_size(image, 1), p = net->model.patch;
    int64_t g = ool_size(image, 2) / p;
    struct ool_tensor *x = ool_reshape(t, image, OOL_SHAPE(b, c, g, p, g, p));

    x = ool_permute(t, x, OOL_SHAPE(0, 2, 4, 1, 3, 5));
    return ool_reshape(t, x, OOL_SHAPE(b, g * g, c * p * p));
}

static struct ool_tensor *trunk(struct ool_net *net, const struct ool_call *call)
{
    const struct ool_index first[] = {{OOL_INDEX_ALL, 0, 0, NULL}, {OOL_INDEX_AT, 0, 0, NULL}};
    struct ool_tape *t = net->tape;
    const struct vit *v = net->root->state;
    struct ool_tensor *x = NULL, *parts[2], *y;

    ool_set(t, &x, patches(net, call->x));
    parts[0] = ool_expand(t, v->cls->tensor, OOL_SHAPE(ool_size(call->x, 0), -1, -1));
    parts[1] = ool_linear_call(net, v->emb, x);
    ool_set(t, &x, ool_add(t, ool_cat(t, parts, 2, 1), v->pos->tensor));
    ool_set(t, &x,
            ool_run_blocks(net, v->blocks, net->model.layers, ool_gpt_block_forward,
                           ool_dropout_call(net, x, net->model.dropout), NULL, 0));
    y = ool_subscript(t, ool_layer_norm_call(net, v->ln, x), 2, first);
    ool_del(t, &x);
    return y;
}

static struct ool_tensor *head(struct ool_net *net, struct ool_tensor *hidden)
{
    return ool_linear_call(net, ((const struct vit *)net->root->state)->head, hidden);
}

const struct ool_family_ops ool_vit = {.family = OOL_FAMILY_VIT,
                                       .formulation = OOL_PLAIN,
                                       .heads = 1u << OOL_HEAD_CLASSES,
                                       .defaults = defaults,
                                       .build = build,
                                       .inputs = ool_image_inputs,
                                       .forward = ool_plain_forward,
                                       .trunk = trunk,
                                       .head = head};
