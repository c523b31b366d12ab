/* OPTForCausalLM of transformers. */
#include "ool_hf.h"

#define POSITION_OFFSET 2

struct opt {
    struct ool_module *model, *decoder, *tokens, *positions, *project_out, *project_in, *norm;
    struct ool_module **blocks, *head;
    struct ool_kv *own_cache, *cache; /* cache: of the call that runs */
};

struct block {
    struct ool_module *attn, *k, *v, *q, *o, *attn_norm, *fc1, *fc2, *final_norm;
    int64_t layer;
};

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_hf_default(&m->vocab, 50272);
    ool_hf_default(&m->hidden, 768);
    ool_hf_default(&m->layers, 12);
    ool_hf_default(&m->heads, 12);
    ool_hf_default(&m->ffn, 3072);
    ool_hf_default(&m->max_seq, 2048);
    if (m->embedding < 1)
        m->embedding = m->hidden;
    if (m->dropout < 0)
        m->dropout = 0.1;
    if (m->attention_dropout < 0)
        m->attention_dropout = 0;
    ool_hf_check_heads(net, m->hidden, m->heads);
    ool_hf_check_positions(net, m);
    if (net->workload->task == OOL_TASK_GENERATE && net->workload->cache == OOL_CACHE_STATIC)
        ool_fail(net->tape, OOL_E_UNSUPPORTED,
                 "OPT reads its positions from the device under a static cache");
}

static struct ool_module *block_add(struct ool_net *net, struct ool_module *parent, int64_t i)
{
    int64_t h = net->model.hidden;
    struct ool_module *module = ool_hf_list_add(net, parent, "layers", i, OOL_ROLE_BLOCK);
    struct block *b = ool_net_alloc(net, 1, sizeof(*b));

    if (!module || !b)
        return NULL;
    module->state = b;
    module->keywords = 2;
    b->layer = i;
    b->attn = ool_module_add(net, module, "self_attn", -1);
    b->k = ool_linear_add(net, b->attn, "k_proj", h, h, true);
    b->v = ool_linear_add(net, b->attn, "v_proj", h, h, true);
    b->q = ool_linear_add(net, b->attn, "q_proj", h, h, true);
    b->o = ool_linear_add(net, b->attn, "out_proj", h, h, true);
    b->attn_norm = ool_layer_norm_add(net, module, "self_attn_layer_norm", h);
    b->fc1 = ool_linear_add(net, module, "fc1", h, net->model.ffn, true);
    b->fc2 = ool_linear_add(net, module, "fc2", net->model.ffn, h, true);
    b->final_norm = ool_layer_norm_add(net, module, "final_layer_norm", h);
    return module;
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct opt *g = ool_net_alloc(net, 1, sizeof(*g));

    if (!g)
        return;
    net->root->state = g;
    net->deferred = true;
    g->model = ool_module_add(net, net->root, "model", -1);
    g->decoder = ool_module_add(net, g->model, "decoder", -1);
    g->tokens = ool_embedding_add(net, g->decoder, "embed_tokens", m->vocab, m->embedding);
    g->positions = ool_embedding_add(net, g->decoder, "embed_positions",
                                     m->max_seq + POSITION_OFFSET, m->hidden);
    if (m->embedding != m->hidden) {
        g->project_out =
            ool_linear_add(net, g->decoder, "project_out", m->hidden, m->embedding, false);
        g->project_in =
            ool_linear_add(net, g->decoder, "project_in", m->embedding, m->hidden, false);
    }
    if (!m->post_norm)
        g->norm = ool_layer_norm_add(net, g->decoder, "final_layer_norm", m->hidden);
    g->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    for (int64_t i = 0; g->blocks && i < m->layers; i++)
        g->blocks[i] = block_add(net, g->decoder, i);
    g->head = ool_linear_add(net, net->root, "lm_head", m->embedding, m->vocab, false);
    if (g->head)
        g->head->role = OOL_ROLE_HEAD;
    if (m->tied != 0)
        ool_module_tie(net, g->head, g->tokens);
    g->own_cache = ool_hf_cache_add(net, m->layers);
    ool_net_materialize(net, net->root);
}

static struct ool_tensor *attention(struct ool_net *net, const struct block *b,
                                    struct ool_tensor *x, struct ool_tensor *mask,
                                    struct ool_tensor **weights)
{
    struct ool_tape *t = net->tape;
    const struct ool_model *m = &net->model;
    struct opt *g = net->root->state;
    struct ool_hf_attention args = {.softmax = OOL_HF_SOFTMAX_F32,
                                    .groups = 1,
                                    .causal = true,
                                    .mask = mask,
                                    .dropout = net->training ? m->attention_dropout : 0};
    int64_t d = m->hidden / m->heads, batch = ool_size(x, 0);
    struct ool_tensor *q = NULL, *k = NULL, *v = NULL, *y = NULL;

    ool_module_enter(net, b->attn);
    ool_set(t, &q, ool_scale(t, ool_linear_call(net, b->q, x), 0.125));
    ool_set(t, &q, ool_transpose(t, ool_view(t, q, OOL_SHAPE(batch, -1, m->heads, d)), 1, 2));
    ool_set(t, &k, ool_linear_call(net, b->k, x)); /* both before their views: so backward runs */
    ool_set(t, &v, ool_linear_call(net, b->v, x));
    ool_set(t, &k, ool_transpose(t, ool_view(t, k, OOL_SHAPE(batch, -1, m->heads, d)), 1, 2));
    ool_set(t, &v, ool_transpose(t, ool_view(t, v, OOL_SHAPE(batch, -1, m->heads, d)), 1, 2));
    ool_hf_cache_update(net, g->cache, b->layer, &k, &v);
    ool_set(t, &y, ool_hf_attend(net, q, k, v, &args, weights));
    ool_set(t, &y, ool_reshape(t, y, OOL_SHAPE(batch, ool_size(x, 1), m->hidden)));
    ool_set(t, &y, ool_linear_call(net, b->o, y));
    ool_del(t, &q);
    ool_del(t, &k);
    ool_del(t, &v);
    return ool_module_leave(net, b->attn, ool_return(t, &y));
}

/* inputs: hidden; keywords mask and positions, which are not used */
static struct ool_tensor *block_forward(struct ool_net *net, struct ool_module *module,
                                        struct ool_tensor *const *inputs, int n)
{
    const struct block *b = module->state;
    const struct ool_model *m = &net->model;
    struct ool_tape *t = net->tape;
    struct ool_tensor *h = NULL, *residual = NULL, *weights = NULL;

    (void)n;
    ool_module_enter(net, module);
    ool_set(t, &h, inputs[0]);
    if (!m->post_norm)
        ool_set(t, &h, ool_layer_norm_call(net, b->attn_norm, h));
    ool_set(t, &h, attention(net, b, h, inputs[1], &weights));
    ool_set(t, &h, ool_dropout_call(net, h, m->dropout));
    ool_set(t, &h, ool_add(t, inputs[0], h));
    if (m->post_norm)
        ool_set(t, &h, ool_layer_norm_call(net, b->attn_norm, h));
    ool_set(t, &h, ool_reshape(t, h, OOL_SHAPE(-1, m->hidden)));
    ool_set(t, &residual, h);
    if (!m->post_norm)
        ool_set(t, &h, ool_layer_norm_call(net, b->final_norm, h));
    ool_set(t, &h, ool_linear_call(net, b->fc1, h));
    ool_set(t, &h, ool_unary(t, OOL_RELU, h));
    ool_set(t, &h, ool_linear_call(net, b->fc2, h));
    ool_set(t, &h, ool_dropout_call(net, h, m->dropout));
    ool_set(t, &h,
            ool_view(t, ool_add(t, residual, h),
                     OOL_SHAPE(ool_size(inputs[0], 0), ool_size(inputs[0], 1), m->hidden)));
    if (m->post_norm)
        ool_set(t, &h, ool_layer_norm_call(net, b->final_norm, h));
    ool_del(t, &residual);
    ool_del(t, &weights);
    return ool_module_leave(net, module, ool_return(t, &h));
}

/* cumsum(mask) * mask - 1, of a mask of ones that stands for all tokens so far */
static struct ool_tensor *positions(struct ool_net *net, struct ool_tensor *mask, int64_t past)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *ids = NULL;

    ool_set(t, &ids, ool_cumsum(t, mask, 1));
    ool_set(t, &ids, ool_to(t, ool_binary_scalar(t, OOL_SUB, ool_mul(t, ids, mask), 1), OOL_I64));
    ool_set(t, &ids, ool_slice(t, ids, 1, past, INT64_MAX));
    return ool_return(t, &ids);
}

static struct ool_tensor *decoder(struct ool_net *net, const struct ool_call *call)
{
    struct opt *g = net->root->state;
    struct ool_tape *t = net->tape;
    int64_t past;
    struct ool_tensor *embeds = NULL, *ids = NULL, *ones = NULL, *mask = NULL, *of_positions = NULL;
    struct ool_tensor *h = NULL, *x;

    g->cache = ool_hf_cache_of(net, call, g->own_cache);
    past = ool_hf_past_of(g->cache).length;
    ool_module_enter(net, g->model);
    ool_module_enter(net, g->decoder);
    ool_set(t, &embeds, ool_hf_embedding_call(net, g->tokens, call->x, true));
    ool_set(t, &ones,
            ool_ones(t, OOL_F32, OOL_SHAPE(ool_size(embeds, 0), past + ool_size(embeds, 1))));
    ool_set(t, &ids, positions(net, ones, past));
    ool_set(t, &mask, ool_hf_causal_mask(net, embeds, g->cache, NULL));
    ool_set(
        t, &of_positions,
        ool_embedding_call(net, g->positions, ool_binary_scalar(t, OOL_ADD, ids, POSITION_OFFSET)));
    if (g->project_in)
        ool_set(t, &embeds, ool_linear_call(net, g->project_in, embeds));
    x = ool_add(t, embeds, of_positions);
    ool_set(t, &h,
            ool_run_blocks(net, g->blocks, net->model.layers, block_forward, x,
                           (struct ool_tensor *[]){mask, ids}, 2));
    if (g->norm)
        ool_set(t, &h, ool_layer_norm_call(net, g->norm, h));
    if (g->project_out)
        ool_set(t, &h, ool_linear_call(net, g->project_out, h));
    ool_del(t, &embeds);
    ool_del(t, &ids);
    ool_del(t, &ones);
    ool_del(t, &mask);
    ool_del(t, &of_positions);
    ool_module_leave(net, g->decoder, NULL);
    return ool_module_leave(net, g->model, ool_return(t, &h));
}

static void forward(struct ool_net *net, const struct ool_call *call, struct ool_output *out)
{
    struct opt *g = net->root->state;

    ool_hf_causal_head(net, g->head, decoder(net, call), call, g->own_cache, out);
}

const struct ool_family_ops ool_hf_opt = {
    .family = OOL_FAMILY_OPT,
    .formulation = OOL_HF,
    .defaults = defaults,
    .build = build,
    .inputs = ool_token_inputs,
    .forward = forward,
    .cache_open = ool_hf_cache_open,
};
