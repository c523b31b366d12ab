/* LlamaForCausalLM and Qwen2ForCausalLM of transformers. */
#include "ool_hf.h"

struct llama {
    struct ool_module *model, *embed_tokens, **blocks, *norm, *rotary, *head;
    struct ool_kv *own_cache, *cache; /* cache: of the call that runs */
};

struct block {
    struct ool_module *attn, *q, *k, *v, *o, *mlp, *gate, *up, *down, *input_norm, *post_norm;
    int64_t layer;
};

static void complete(struct ool_net *net, struct ool_model *m)
{
    ool_hf_default(&m->heads, 32);
    ool_hf_default(&m->kv_heads, m->heads);
    if (m->head_dim < 0) {
        ool_hf_check_heads(net, m->hidden, m->heads);
        m->head_dim = m->heads > 0 ? m->hidden / m->heads : 0;
    }
    if (m->kv_heads < 1 || m->heads % m->kv_heads != 0)
        ool_fail(net->tape, OOL_E_COMBINATION, "%lld heads cannot share %lld key heads",
                 (long long)m->heads, (long long)m->kv_heads);
    if (m->attention_dropout < 0)
        m->attention_dropout = 0;
    if (m->tied < 0)
        m->tied = 0;
    if (m->window > 0)
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "no sliding window in transformers' %s here",
                 ool_family_name(m->family));
}

static void llama_defaults(struct ool_net *net, struct ool_model *m)
{
    ool_hf_default(&m->vocab, 32000);
    ool_hf_default(&m->hidden, 4096);
    ool_hf_default(&m->ffn, 11008);
    ool_hf_default(&m->layers, 32);
    ool_hf_default(&m->max_seq, 2048);
    complete(net, m);
}

static void qwen2_defaults(struct ool_net *net, struct ool_model *m)
{
    ool_hf_default(&m->vocab, 151936);
    ool_hf_default(&m->hidden, 4096);
    ool_hf_default(&m->ffn, 22016);
    ool_hf_default(&m->layers, 32);
    ool_hf_default(&m->max_seq, 32768);
    ool_hf_default(&m->kv_heads, 32);
    complete(net, m);
}

static struct ool_module *block_add(struct ool_net *net, struct ool_module *parent, int64_t i)
{
    const struct ool_model *m = &net->model;
    struct ool_module *module = ool_hf_list_add(net, parent, "layers", i, OOL_ROLE_BLOCK);
    struct block *b = ool_net_alloc(net, 1, sizeof(*b));
    bool bias = m->family == OOL_FAMILY_QWEN2;

    if (!module || !b)
        return NULL;
    module->state = b;
    module->keywords = 4;
    b->layer = i;
    b->attn = ool_module_add(net, module, "self_attn", -1);
    b->q = ool_linear_add(net, b->attn, "q_proj", m->hidden, m->heads * m->head_dim, bias);
    b->k = ool_linear_add(net, b->attn, "k_proj", m->hidden, m->kv_heads * m->head_dim, bias);
    b->v = ool_linear_add(net, b->attn, "v_proj", m->hidden, m->kv_heads * m->head_dim, bias);
    b->o = ool_linear_add(net, b->attn, "o_proj", m->heads * m->head_dim, m->hidden, false);
    b->mlp = ool_module_add(net, module, "mlp", -1);
    b->gate = ool_linear_add(net, b->mlp, "gate_proj", m->hidden, m->ffn, false);
    b->up = ool_linear_add(net, b->mlp, "up_proj", m->hidden, m->ffn, false);
    b->down = ool_linear_add(net, b->mlp, "down_proj", m->ffn, m->hidden, false);
    b->input_norm = ool_hf_rms_norm_add(net, module, "input_layernorm", m->hidden);
    b->post_norm = ool_hf_rms_norm_add(net, module, "post_attention_layernorm", m->hidden);
    return module;
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct llama *g = ool_net_alloc(net, 1, sizeof(*g));

    if (!g)
        return;
    net->root->state = g;
    net->deferred = true;
    g->model = ool_module_add(net, net->root, "model", -1);
    g->embed_tokens = ool_embedding_add(net, g->model, "embed_tokens", m->vocab, m->hidden);
    g->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    for (int64_t i = 0; g->blocks && i < m->layers; i++)
        g->blocks[i] = block_add(net, g->model, i);
    g->norm = ool_hf_rms_norm_add(net, g->model, "norm", m->hidden);
    g->rotary = ool_module_add(net, g->model, "rotary_emb", -1);
    ool_buffer_add(net, g->rotary, "inv_freq", net->dtype, OOL_SHAPE(m->head_dim / 2));
    ool_buffer_add(net, g->rotary, "original_inv_freq", net->dtype, OOL_SHAPE(m->head_dim / 2));
    g->head = ool_linear_add(net, net->root, "lm_head", m->hidden, m->vocab, false);
    if (g->head)
        g->head->role = OOL_ROLE_HEAD;
    if (m->tied == 1)
        ool_module_tie(net, g->head, g->embed_tokens);
    g->own_cache = ool_hf_cache_add(net, m->layers);
    ool_net_materialize(net, net->root);
}

static struct ool_tensor *rms_norm(struct ool_net *net, struct ool_module *module,
                                   struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *h = NULL, *variance = NULL, *y;

    if (!x)
        return NULL;
    ool_enter(t, x);
    ool_module_enter(net, module);
    ool_set(t, &h, ool_to(t, x, OOL_F32));
    ool_set(t, &variance, ool_reduce(t, OOL_MEAN, ool_binary_scalar(t, OOL_POW, h, 2), -1, true));
    y = ool_unary(t, OOL_RSQRT, ool_binary_scalar(t, OOL_ADD, variance, 1e-6));
    ool_set(t, &h, ool_mul(t, h, y));
    y = ool_mul(t, module->params[0]->tensor, ool_to(t, h, ool_dtype(x)));
    ool_del(t, &h);
    ool_del(t, &variance);
    ool_leave(t, x);
    return ool_module_leave(net, module, y);
}

/* cos and sin of every position, made without a graph; both become the caller's variables */
static void rotary(struct ool_net *net, struct ool_module *module, struct ool_tensor *positions,
                   enum ool_dtype dtype, struct ool_tensor **cos, struct ool_tensor **sin)
{
    struct ool_tape *t = net->tape;
    enum ool_grad_mode old = ool_grad_mode(t);
    struct ool_tensor *freqs = NULL, *emb = NULL, *c = NULL, *s = NULL, *x;

    ool_module_enter(net, module);
    if (old == OOL_GRAD)
        ool_set_grad_mode(t, OOL_NO_GRAD);
    x = ool_to(t, ool_unsqueeze(t, positions, -1), OOL_F32);
    ool_set(t, &freqs, ool_mul(t, x, ool_to(t, module->params[0]->tensor, OOL_F32)));
    ool_set(t, &emb, ool_cat(t, (struct ool_tensor *[]){freqs, freqs}, 2, -1));
    ool_set(t, &c, ool_scale(t, ool_unary(t, OOL_COS, emb), 1));
    ool_set(t, &s, ool_scale(t, ool_unary(t, OOL_SIN, emb), 1));
    ool_set(t, cos, ool_to(t, c, dtype));
    ool_set(t, sin, ool_to(t, s, dtype));
    ool_del(t, &freqs);
    ool_del(t, &emb);
    ool_del(t, &c);
    ool_del(t, &s);
    ool_set_grad_mode(t, old);
    ool_module_leave(net, module, NULL);
}

static struct ool_tensor *rotate_half(struct ool_tape *t, struct ool_tensor *x)
{
    int64_t half = ool_size(x, -1) / 2;
    struct ool_tensor *x1 = NULL, *x2 = NULL, *y;

    ool_set(t, &x1, ool_slice(t, x, -1, 0, half));
    ool_set(t, &x2, ool_slice(t, x, -1, half, INT64_MAX));
    y = ool_unary(t, OOL_NEG, x2);
    y = ool_cat(t, (struct ool_tensor *[]){y, x1}, 2, -1);
    ool_del(t, &x1);
    ool_del(t, &x2);
    return y;
}

/* x * cos + rotate_half(x) * sin */
static struct ool_tensor *rotated(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *cos,
                                  struct ool_tensor *sin)
{
    struct ool_tensor *y = ool_mul(t, x, ool_unsqueeze(t, cos, 1));

    return ool_add(t, y, ool_mul(t, rotate_half(t, x), ool_unsqueeze(t, sin, 1)));
}

static struct ool_tensor *attention(struct ool_net *net, const struct block *b,
                                    struct ool_tensor *x, struct ool_tensor *const *inputs,
                                    struct ool_tensor **weights)
{
    struct ool_tape *t = net->tape;
    const struct ool_model *m = &net->model;
    struct llama *g = net->root->state;
    struct ool_hf_attention args = {.softmax = OOL_HF_SOFTMAX_F32,
                                    .groups = m->heads / m->kv_heads,
                                    .causal = true,
                                    .mask = inputs[1],
                                    .dropout = net->training ? m->attention_dropout : 0};
    struct ool_tensor *q = NULL, *k = NULL, *v = NULL, *q_embed = NULL, *k_embed, *y = NULL;

    if (!x)
        return NULL;
    ool_module_enter(net, b->attn);
    ool_set(t, &q, ool_hf_heads(net, b->q, x, m->head_dim));
    ool_set(t, &k, ool_hf_heads(net, b->k, x, m->head_dim));
    ool_set(t, &v, ool_hf_heads(net, b->v, x, m->head_dim));
    q_embed = rotated(t, q, inputs[3], inputs[2]);
    k_embed = rotated(t, k, inputs[3], inputs[2]);
    ool_set(t, &q, q_embed);
    ool_set(t, &k, k_embed);
    ool_hf_cache_update(net, g->cache, b->layer, &k, &v);
    ool_set(t, &y, ool_hf_attend(net, q, k, v, &args, weights));
    ool_set(t, &y, ool_reshape(t, y, OOL_SHAPE(ool_size(x, 0), ool_size(x, 1), -1)));
    ool_set(t, &y, ool_linear_call(net, b->o, y));
    ool_del(t, &q);
    ool_del(t, &k);
    ool_del(t, &v);
    return ool_module_leave(net, b->attn, ool_return(t, &y));
}

static struct ool_tensor *mlp(struct ool_net *net, const struct block *b, struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *gate;

    ool_module_enter(net, b->mlp);
    gate = ool_unary(t, OOL_SILU, ool_linear_call(net, b->gate, x));
    return ool_module_leave(
        net, b->mlp,
        ool_linear_call(net, b->down, ool_mul(t, gate, ool_linear_call(net, b->up, x))));
}

/* inputs: hidden; keywords mask, the pair of cos and sin, positions, which are not used */
static struct ool_tensor *block_forward(struct ool_net *net, struct ool_module *module,
                                        struct ool_tensor *const *inputs, int n)
{
    const struct block *b = module->state;
    struct ool_tape *t = net->tape;
    struct ool_tensor *h = NULL, *residual = NULL, *weights = NULL;

    (void)n;
    ool_module_enter(net, module);
    ool_set(t, &h, rms_norm(net, b->input_norm, inputs[0]));
    ool_set(t, &h, attention(net, b, h, inputs, &weights));
    ool_set(t, &h, ool_add(t, inputs[0], h));
    ool_set(t, &residual, h);
    ool_set(t, &h, rms_norm(net, b->post_norm, h));
    ool_set(t, &h, mlp(net, b, h));
    ool_set(t, &h, ool_add(t, residual, h));
    ool_del(t, &residual);
    ool_del(t, &weights);
    return ool_module_leave(net, module, ool_return(t, &h));
}

static struct ool_tensor *model_forward(struct ool_net *net, const struct ool_call *call)
{
    struct llama *g = net->root->state;
    struct ool_tape *t = net->tape;
    struct ool_tensor *positions = NULL, *embeds = NULL, *mask = NULL, *h = NULL;
    struct ool_tensor *cos = NULL, *sin = NULL;

    g->cache = ool_hf_cache_of(net, call, g->own_cache);
    ool_module_enter(net, g->model);
    ool_set(t, &embeds, ool_hf_embedding_call(net, g->embed_tokens, call->x, false));
    if (!embeds)
        return NULL;
    ool_set(t, &positions, ool_hf_positions(net, ool_size(embeds, 1), ool_hf_past_of(g->cache)));
    ool_set(t, &mask, ool_hf_causal_mask(net, embeds, g->cache, positions));
    rotary(net, g->rotary, positions, ool_dtype(embeds), &cos, &sin);
    ool_set(t, &h,
            ool_run_blocks(net, g->blocks, net->model.layers, block_forward, embeds,
                           (struct ool_tensor *[]){mask, sin, cos, positions}, 4));
    ool_set(t, &h, rms_norm(net, g->norm, h));
    if (net->model.family == OOL_FAMILY_LLAMA)
        ool_del(t, &positions);
    else /* what Qwen2 made its masks of is still in a dict of arguments */
        ool_del(t, &mask);
    ool_del(t, &embeds);
    ool_del(t, &positions);
    ool_del(t, &mask);
    ool_del(t, &sin); /* a tuple lets go of its last item first */
    ool_del(t, &cos);
    return ool_module_leave(net, g->model, ool_return(t, &h));
}

static void forward(struct ool_net *net, const struct ool_call *call, struct ool_output *out)
{
    struct llama *g = net->root->state;

    ool_hf_causal_head(net, g->head, model_forward(net, call), call, g->own_cache, out);
}

const struct ool_family_ops ool_hf_llama = {
    .family = OOL_FAMILY_LLAMA,
    .formulation = OOL_HF,
    .defaults = llama_defaults,
    .build = build,
    .inputs = ool_token_inputs,
    .forward = forward,
    .cache_open = ool_hf_cache_open,
};

const struct ool_family_ops ool_hf_qwen2 = {
    .family = OOL_FAMILY_QWEN2,
    .formulation = OOL_HF,
    .defaults = qwen2_defaults,
    .build = build,
    .inputs = ool_token_inputs,
    .forward = forward,
    .cache_open = ool_hf_cache_open,
};
