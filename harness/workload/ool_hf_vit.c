/* ViTForImageClassification of transformers, its patches cut by a reshape and a linear. */
#include "ool_hf.h"

struct vit {
    struct ool_module *vit, *embeddings, *patches, *projection, **blocks, *norm, *classifier;
    struct ool_param *cls_token, *positions;
};

struct block {
    struct ool_module *attention, *before, *after, *mlp, *fc1, *fc2;
    struct ool_hf_projections proj;
};

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_hf_default(&m->hidden, 768);
    ool_hf_default(&m->layers, 12);
    ool_hf_default(&m->heads, 12);
    ool_hf_default(&m->ffn, 3072);
    ool_hf_default(&m->resolution, 224);
    ool_hf_default(&m->patch, 16);
    ool_hf_default(&m->channels, 3);
    ool_hf_default(&m->classes, 2);
    if (m->dropout < 0)
        m->dropout = 0;
    if (m->attention_dropout < 0)
        m->attention_dropout = m->dropout;
    ool_hf_check_heads(net, m->hidden, m->heads);
    if (m->patch < 1 || m->resolution % m->patch != 0)
        ool_fail(net->tape, OOL_E_COMBINATION, "patches of %lld do not tile %lld pixels",
                 (long long)m->patch, (long long)m->resolution);
}

static struct ool_module *block_add(struct ool_net *net, struct ool_module *parent, int64_t i)
{
    int64_t h = net->model.hidden;
    struct ool_module *module = ool_hf_list_add(net, parent, "layers", i, OOL_ROLE_BLOCK);
    struct block *b = ool_net_alloc(net, 1, sizeof(*b));

    if (!module || !b)
        return NULL;
    module->state = b;
    b->attention = ool_module_add(net, module, "attention", -1);
    b->proj.q = ool_linear_add(net, b->attention, "q_proj", h, h, true);
    b->proj.k = ool_linear_add(net, b->attention, "k_proj", h, h, true);
    b->proj.v = ool_linear_add(net, b->attention, "v_proj", h, h, true);
    b->proj.o = ool_linear_add(net, b->attention, "o_proj", h, h, true);
    b->before = ool_layer_norm_add(net, module, "layernorm_before", h);
    b->after = ool_layer_norm_add(net, module, "layernorm_after", h);
    b->mlp = ool_module_add(net, module, "mlp", -1);
    b->fc1 = ool_linear_add(net, b->mlp, "fc1", h, net->model.ffn, true);
    b->fc2 = ool_linear_add(net, b->mlp, "fc2", net->model.ffn, h, true);
    return module;
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct vit *g = ool_net_alloc(net, 1, sizeof(*g));
    int64_t grid = m->resolution / m->patch;

    if (!g)
        return;
    net->root->state = g;
    net->deferred = true;
    g->vit = ool_module_add(net, net->root, "vit", -1);
    g->embeddings = ool_hf_list_add(net, g->vit, "embeddings", -1, OOL_ROLE_EMBEDDING);
    g->cls_token = ool_param_add(net, g->embeddings, "cls_token", OOL_SHAPE(1, 1, m->hidden));
    g->positions = ool_param_add(net, g->embeddings, "position_embeddings",
                                 OOL_SHAPE(1, grid * grid + 1, m->hidden));
    g->patches = ool_module_add(net, g->embeddings, "patch_embeddings", -1);
    g->projection = ool_linear_add(net, g->patches, "projection", m->channels * m->patch * m->patch,
                                   m->hidden, true);
    g->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    for (int64_t i = 0; g->blocks && i < m->layers; i++)
        g->blocks[i] = block_add(net, g->vit, i);
    g->norm = ool_layer_norm_add(net, g->vit, "layernorm", m->hidden);
    g->classifier = ool_linear_add(net, net->root, "classifier", m->hidden, m->classes, true);
    if (g->classifier)
        g->classifier->role = OOL_ROLE_HEAD;
    ool_net_materialize(net, net->root);
}

static struct ool_tensor *patches(struct ool_net *net, const struct vit *g, struct ool_tensor *x)
{
    const struct ool_workload *w = net->workload;
    struct ool_tape *t = net->tape;
    int64_t b = ool_size(x, 0), c = ool_size(x, 1), p = net->model.patch;
    int64_t grid = ool_size(x, 2) / p;
    struct ool_tensor *y;

    ool_module_enter(net, g->patches);
    y = ool_permute(t, ool_reshape(t, x, OOL_SHAPE(b, c, grid, p, grid, p)),
                    OOL_SHAPE(0, 2, 4, 1, 3, 5));
    y = ool_reshape(t, y, OOL_SHAPE(b, grid * grid, c * p * p));
    y = ool_module_leave(net, g->patches, ool_linear_call(net, g->projection, y));
    if (y && w->checkpoint == OOL_CHECKPOINT_REENTRANT && ool_is_leaf(y) &&
        ool_grad_mode(t) == OOL_GRAD && (w->lora.rank > 0 || w->frozen_blocks != OOL_FROZEN_NONE))
        ool_require_grad(y, true); /* enable_input_require_grads() */
    return y;
}

static struct ool_tensor *embeddings(struct ool_net *net, const struct vit *g, struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *y = NULL, *cls = NULL;

    ool_module_enter(net, g->embeddings);
    ool_set(t, &y, patches(net, g, x));
    ool_set(t, &cls, ool_expand(t, g->cls_token->tensor, OOL_SHAPE(ool_size(x, 0), -1, -1)));
    ool_set(t, &y, ool_cat(t, (struct ool_tensor *[]){cls, y}, 2, 1));
    ool_set(t, &y, ool_add(t, y, g->positions->tensor));
    ool_set(t, &y, ool_dropout_call(net, y, net->model.dropout));
    ool_del(t, &cls);
    return ool_module_leave(net, g->embeddings, ool_return(t, &y));
}

static struct ool_tensor *attention(struct ool_net *net, const struct block *b,
                                    struct ool_tensor *x, struct ool_tensor **weights)
{
    struct ool_hf_attention args = {.softmax = OOL_HF_SOFTMAX_F32,
                                    .groups = 1,
                                    .dropout = net->training ? net->model.attention_dropout : 0};
    struct ool_tensor *y;

    ool_module_enter(net, b->attention);
    y = ool_hf_self_attention(net, &b->proj, x, &args, weights);
    return ool_module_leave(net, b->attention, y);
}

static struct ool_tensor *mlp(struct ool_net *net, const struct block *b, struct ool_tensor *x)
{
    struct ool_tensor *y = NULL;

    ool_module_enter(net, b->mlp);
    ool_set(net->tape, &y, ool_linear_call(net, b->fc1, x));
    ool_set(net->tape, &y, ool_hf_gelu(net, y, OOL_GELU_KIND_ERF));
    ool_set(net->tape, &y, ool_linear_call(net, b->fc2, y));
    return ool_module_leave(net, b->mlp, ool_return(net->tape, &y));
}

static struct ool_tensor *block_forward(struct ool_net *net, struct ool_module *module,
                                        struct ool_tensor *const *inputs, int n)
{
    const struct block *b = module->state;
    struct ool_tape *t = net->tape;
    struct ool_tensor *h = NULL, *residual = NULL, *weights = NULL;

    (void)n;
    ool_module_enter(net, module);
    ool_set(t, &h, ool_layer_norm_call(net, b->before, inputs[0]));
    ool_set(t, &h, attention(net, b, h, &weights));
    ool_set(t, &h, ool_dropout_call(net, h, net->model.dropout));
    ool_set(t, &h, ool_add(t, h, inputs[0]));
    ool_set(t, &residual, h);
    ool_set(t, &h, ool_layer_norm_call(net, b->after, h));
    ool_set(t, &h, mlp(net, b, h));
    ool_set(t, &h, ool_dropout_call(net, h, net->model.dropout));
    ool_set(t, &h, ool_add(t, h, residual));
    ool_del(t, &residual);
    ool_del(t, &weights);
    return ool_module_leave(net, module, ool_return(t, &h));
}

static struct ool_tensor *vit(struct ool_net *net, const struct vit *g, struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *embedded = NULL, *h = NULL, *y;

    ool_module_enter(net, g->vit);
    ool_set(t, &embedded, embeddings(net, g, x));
    ool_set(t, &h,
            ool_run_blocks(net, g->blocks, net->model.layers, block_forward, embedded, NULL, 0));
    y = ool_layer_norm_call(net, g->norm, h);
    ool_del(t, &embedded);
    ool_del(t, &h);
    return ool_module_leave(net, g->vit, y);
}

static void forward(struct ool_net *net, const struct ool_call *call, struct ool_output *out)
{
    const struct vit *g = net->root->state;
    struct ool_tape *t = net->tape;
    struct ool_tensor *sequence = NULL, *pooled = NULL, *logits = NULL, *loss = NULL;

    ool_set(t, &sequence, vit(net, g, call->x));
    ool_set(t, &pooled, ool_select(t, sequence, 1, 0));
    ool_set(t, &logits, ool_linear_call(net, g->classifier, pooled));
    if (call->loss)
        ool_set(t, &loss, ool_loss_call(net, logits, call->y));
    ool_hf_output(net, out, loss, logits);
    ool_del(t, &sequence);
    ool_del(t, &pooled);
    ool_del(t, &logits);
    ool_del(t, &loss);
}

const struct ool_family_ops ool_hf_vit = {
    .family = OOL_FAMILY_VIT,
    .formulation = OOL_HF,
    .heads = 1u << OOL_HEAD_CLASSES,
    .defaults = defaults,
    .build = build,
    .inputs = ool_image_inputs,
    .forward = forward,
};
