/* GPT2LMHeadModel of transformers. */
#include "ool_hf.h"

struct gpt {
    struct ool_module *transformer, *wte, *wpe, **blocks, *ln_f, *head;
    struct ool_kv *own_cache, *cache; /* cache: of the call that runs */
};

struct block {
    struct ool_module *ln_1, *attn, *c_attn, *c_proj, *ln_2, *mlp, *fc, *proj;
    int64_t layer;
};

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_hf_default(&m->vocab, 50257);
    ool_hf_default(&m->layers, 12);
    ool_hf_default(&m->hidden, 768);
    ool_hf_default(&m->heads, 12);
    ool_hf_default(&m->max_seq, 1024);
    ool_hf_default(&m->ffn, 4 * m->hidden);
    if (m->dropout < 0)
        m->dropout = 0.1;
    if (m->attention_dropout < 0)
        m->attention_dropout = m->dropout;
    ool_hf_check_heads(net, m->hidden, m->heads);
    ool_hf_check_positions(net, m);
}

/* Conv1D: a linear whose weight is (in, out) */
static struct ool_module *conv1d_add(struct ool_net *net, struct ool_module *parent,
                                     const char *name, int64_t in, int64_t out)
{
    struct ool_module *module = ool_module_add(net, parent, name, -1);

    ool_param_add(net, module, "weight", OOL_SHAPE(in, out));
    ool_param_add(net, module, "bias", OOL_SHAPE(out));
    return module;
}

static struct ool_tensor *conv1d(struct ool_net *net, struct ool_module *module,
                                 struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    int64_t in = module->params[0]->shape[0], out = module->params[0]->shape[1];
    struct ool_tensor *y;

    if (!x)
        return NULL;
    ool_enter(t, x);
    ool_module_enter(net, module);
    y = ool_addmm(t, module->params[1]->tensor, ool_view(t, x, OOL_SHAPE(-1, in)),
                  module->params[0]->tensor);
    y = ool_view(t, y, OOL_SHAPE(ool_size(x, 0), ool_size(x, 1), out));
    ool_leave(t, x);
    return ool_module_leave(net, module, y);
}

static struct ool_module *block_add(struct ool_net *net, struct ool_module *parent, int64_t i)
{
    int64_t h = net->model.hidden;
    struct ool_module *module = ool_hf_list_add(net, parent, "h", i, OOL_ROLE_BLOCK);
    struct block *b = ool_net_alloc(net, 1, sizeof(*b));

    if (!module || !b)
        return NULL;
    module->state = b;
    module->keywords = 1;
    b->layer = i;
    b->ln_1 = ool_layer_norm_add(net, module, "ln_1", h);
    b->attn = ool_module_add(net, module, "attn", -1);
    b->c_attn = conv1d_add(net, b->attn, "c_attn", h, 3 * h);
    b->c_proj = conv1d_add(net, b->attn, "c_proj", h, h);
    b->ln_2 = ool_layer_norm_add(net, module, "ln_2", h);
    b->mlp = ool_module_add(net, module, "mlp", -1);
    b->fc = conv1d_add(net, b->mlp, "c_fc", h, net->model.ffn);
    b->proj = conv1d_add(net, b->mlp, "c_proj", net->model.ffn, h);
    return module;
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct gpt *g = ool_net_alloc(net, 1, sizeof(*g));

    if (!g)
        return;
    net->root->state = g;
    net->deferred = true;
    g->transformer = ool_module_add(net, net->root, "transformer", -1);
    g->wte = ool_embedding_add(net, g->transformer, "wte", m->vocab, m->hidden);
    g->wpe = ool_embedding_add(net, g->transformer, "wpe", m->max_seq, m->hidden);
    g->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    for (int64_t i = 0; g->blocks && i < m->layers; i++)
        g->blocks[i] = block_add(net, g->transformer, i);
    g->ln_f = ool_layer_norm_add(net, g->transformer, "ln_f", m->hidden);
    g->head = ool_linear_add(net, net->root, "lm_head", m->hidden, m->vocab, false);
    if (g->head)
        g->head->role = OOL_ROLE_HEAD;
    if (m->tied != 0)
        ool_module_tie(net, g->head, g->wte);
    g->own_cache = ool_hf_cache_add(net, m->layers);
    ool_net_materialize(net, net->root);
}

static struct ool_tensor *attention(struct ool_net *net, const struct block *b,
                                    struct ool_tensor *x, struct ool_tensor *mask,
                                    struct ool_kv *cache, struct ool_tensor **weights)
{
    struct ool_tape *t = net->tape;
    int64_t heads = net->model.heads, h = net->model.hidden;
    struct ool_hf_attention args = {.softmax = OOL_HF_SOFTMAX_AS_VALUE,
                                    .groups = 1,
                                    .causal = true,
                                    .mask = mask,
                                    .dropout = net->training ? net->model.attention_dropout : 0};
    struct ool_tensor *parts[3] = {NULL}, *q = NULL, *k = NULL, *v = NULL, *y = NULL;
    int64_t batch = ool_size(x, 0), n = ool_size(x, 1);

    ool_module_enter(net, b->attn);
    ool_split(t, conv1d(net, b->c_attn, x), h, 2, parts, 3);
    ool_set(t, &q, parts[0]);
    ool_set(t, &k, parts[1]);
    ool_set(t, &v, parts[2]);
    ool_set(t, &k, ool_transpose(t, ool_view(t, k, OOL_SHAPE(batch, n, heads, h / heads)), 1, 2));
    ool_set(t, &v, ool_transpose(t, ool_view(t, v, OOL_SHAPE(batch, n, heads, h / heads)), 1, 2));
    ool_set(t, &q, ool_transpose(t, ool_view(t, q, OOL_SHAPE(batch, n, heads, h / heads)), 1, 2));
    ool_hf_cache_update(net, cache, b->layer, &k, &v);
    ool_set(t, &y, ool_hf_attend(net, q, k, v, &args, weights));
    ool_set(t, &y, ool_reshape(t, y, OOL_SHAPE(batch, n, h)));
    ool_set(t, &y, conv1d(net, b->c_proj, y));
    ool_set(t, &y, ool_dropout_call(net, y, net->model.dropout));
    ool_del(t, &q);
    ool_del(t, &k);
    ool_del(t, &v);
    return ool_module_leave(net, b->attn, ool_return(t, &y));
}

static struct ool_tensor *mlp(struct ool_net *net, const struct block *b, struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *y = NULL;

    ool_module_enter(net, b->mlp);
    ool_set(t, &y, conv1d(net, b->fc, x));
    ool_set(t, &y, ool_hf_gelu(net, y, OOL_GELU_KIND_NEW));
    ool_set(t, &y, conv1d(net, b->proj, y));
    ool_set(t, &y, ool_dropout_call(net, y, net->model.dropout));
    return ool_module_leave(net, b->mlp, ool_return(t, &y));
}

/* inputs: hidden, mask; positions as a keyword that is not used */
static struct ool_tensor *block_forward(struct ool_net *net, struct ool_module *module,
                                        struct ool_tensor *const *inputs, int n)
{
    const struct block *b = module->state;
    struct ool_tape *t = net->tape;
    struct gpt *g = net->root->state;
    struct ool_tensor *h = NULL, *residual = NULL, *attended = NULL, *weights = NULL, *fed = NULL;

    (void)n;
    if (!inputs[0])
        return NULL;
    ool_module_enter(net, module);
    ool_set(t, &h, ool_layer_norm_call(net, b->ln_1, inputs[0]));
    ool_set(t, &attended, attention(net, b, h, inputs[1], g->cache, &weights));
    ool_set(t, &h, ool_add(t, attended, inputs[0]));
    ool_set(t, &residual, h);
    ool_set(t, &h, ool_layer_norm_call(net, b->ln_2, h));
    ool_set(t, &fed, mlp(net, b, h));
    ool_set(t, &h, ool_add(t, residual, fed));
    ool_del(t, &residual);
    ool_del(t, &attended);
    ool_del(t, &weights);
    ool_del(t, &fed);
    return ool_module_leave(net, module, ool_return(t, &h));
}

static struct ool_tensor *transformer(struct ool_net *net, const struct ool_call *call)
{
    struct gpt *g = net->root->state;
    struct ool_tape *t = net->tape;
    struct ool_tensor *positions = NULL, *embeds = NULL, *of_positions = NULL, *h = NULL;
    struct ool_tensor *mask = NULL, *x;

    g->cache = ool_hf_cache_of(net, call, g->own_cache);
    ool_module_enter(net, g->transformer);
    ool_set(t, &embeds, ool_hf_embedding_call(net, g->wte, call->x, false));
    if (embeds)
        ool_set(t, &positions,
                ool_hf_positions(net, ool_size(embeds, 1), ool_hf_past_of(g->cache)));
    ool_set(t, &of_positions, ool_embedding_call(net, g->wpe, positions));
    ool_set(t, &h, ool_add(t, embeds, of_positions));
    ool_set(t, &mask, ool_hf_causal_mask(net, embeds, g->cache, positions));
    ool_set(t, &h, ool_dropout_call(net, h, net->model.dropout));
    x = ool_return(t, &h);
    ool_set(t, &h,
            ool_run_blocks(net, g->blocks, net->model.layers, block_forward, x,
                           (struct ool_tensor *[]){mask, positions}, 2));
    ool_set(t, &h, ool_layer_norm_call(net, g->ln_f, h));
    ool_del(t, &positions);
    ool_del(t, &embeds);
    ool_del(t, &of_positions);
    ool_del(t, &mask);
    return ool_module_leave(net, g->transformer, ool_return(t, &h));
}

static void forward(struct ool_net *net, const struct ool_call *call, struct ool_output *out)
{
    struct gpt *g = net->root->state;

    ool_hf_causal_head(net, g->head, transformer(net, call), call, g->own_cache, out);
}

const struct ool_family_ops ool_hf_gpt = {
    .family = OOL_FAMILY_GPT,
    .formulation = OOL_HF,
    .defaults = defaults,
    .build = build,
    .inputs = ool_token_inputs,
    .forward = forward,
    .cache_open = ool_hf_cache_open,
};
