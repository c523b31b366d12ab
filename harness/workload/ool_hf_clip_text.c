/* CLIPTextModel of transformers; with model.embedding, CLIPTextModelWithProjection. */
#include "ool_hf.h"

struct clip {
    struct ool_module *embeddings, *token, *position, *encoder, **blocks, *norm, *projection;
};

struct block {
    struct ool_module *attn, *norm1, *mlp, *fc1, *fc2, *norm2;
    struct ool_hf_projections proj;
};

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_hf_default(&m->vocab, 49408);
    ool_hf_default(&m->hidden, 512);
    ool_hf_default(&m->layers, 12);
    ool_hf_default(&m->heads, 8);
    ool_hf_default(&m->ffn, 2048);
    ool_hf_default(&m->max_seq, 77);
    if (m->attention_dropout < 0)
        m->attention_dropout = 0;
    ool_hf_check_heads(net, m->hidden, m->heads);
    if (net->workload->seq > m->max_seq)
        ool_fail(net->tape, OOL_E_COMBINATION, "%lld tokens, but positions for %lld",
                 (long long)net->workload->seq, (long long)m->max_seq);
}

static struct ool_module *block_add(struct ool_net *net, struct ool_module *parent, int64_t i)
{
    int64_t h = net->model.hidden;
    struct ool_module *module = ool_hf_list_add(net, parent, "layers", i, OOL_ROLE_BLOCK);
    struct block *b = ool_net_alloc(net, 1, sizeof(*b));

    if (!module || !b)
        return NULL;
    module->state = b;
    b->attn = ool_module_add(net, module, "self_attn", -1);
    b->proj.k = ool_linear_add(net, b->attn, "k_proj", h, h, true);
    b->proj.v = ool_linear_add(net, b->attn, "v_proj", h, h, true);
    b->proj.q = ool_linear_add(net, b->attn, "q_proj", h, h, true);
    b->proj.o = ool_linear_add(net, b->attn, "out_proj", h, h, true);
    b->norm1 = ool_layer_norm_add(net, module, "layer_norm1", h);
    b->mlp = ool_module_add(net, module, "mlp", -1);
    b->fc1 = ool_linear_add(net, b->mlp, "fc1", h, net->model.ffn, true);
    b->fc2 = ool_linear_add(net, b->mlp, "fc2", net->model.ffn, h, true);
    b->norm2 = ool_layer_norm_add(net, module, "layer_norm2", h);
    return module;
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct clip *g = ool_net_alloc(net, 1, sizeof(*g));

    if (!g)
        return;
    net->root->state = g;
    net->deferred = true;
    g->embeddings = ool_module_add(net, net->root, "embeddings", -1);
    g->token = ool_embedding_add(net, g->embeddings, "token_embedding", m->vocab, m->hidden);
    g->position =
        ool_embedding_add(net, g->embeddings, "position_embedding", m->max_seq, m->hidden);
    ool_buffer_add(net, g->embeddings, "position_ids", OOL_I64, OOL_SHAPE(1, m->max_seq));
    g->encoder = ool_module_add(net, net->root, "encoder", -1);
    g->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    for (int64_t i = 0; g->blocks && i < m->layers; i++)
        g->blocks[i] = block_add(net, g->encoder, i);
    g->norm = ool_layer_norm_add(net, net->root, "final_layer_norm", m->hidden);
    if (m->embedding > 0)
        g->projection =
            ool_linear_add(net, net->root, "text_projection", m->hidden, m->embedding, false);
    ool_net_materialize(net, net->root);
}

static struct ool_tensor *attention(struct ool_net *net, const struct block *b,
                                    struct ool_tensor *x, struct ool_tensor *mask,
                                    struct ool_tensor **weights)
{
    struct ool_hf_attention args = {.softmax = OOL_HF_SOFTMAX_F32,
                                    .groups = 1,
                                    .causal = true,
                                    .mask = mask,
                                    .dropout = net->training ? net->model.attention_dropout : 0};
    struct ool_tensor *y;

    ool_module_enter(net, b->attn);
    y = ool_hf_self_attention(net, &b->proj, x, &args, weights);
    return ool_module_leave(net, b->attn, y);
}

static struct ool_tensor *mlp(struct ool_net *net, const struct block *b, struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *y = NULL;

    ool_module_enter(net, b->mlp);
    ool_set(t, &y, ool_linear_call(net, b->fc1, x));
    if (net->model.gelu == OOL_GELU_KIND_DEFAULT) /* quick_gelu */
        ool_set(t, &y, ool_mul(t, y, ool_unary(t, OOL_SIGMOID, ool_scale(t, y, 1.702))));
    else
        ool_set(t, &y, ool_hf_gelu(net, y, OOL_GELU_KIND_ERF));
    ool_set(t, &y, ool_linear_call(net, b->fc2, y));
    return ool_module_leave(net, b->mlp, ool_return(t, &y));
}

/* inputs: hidden, mask */
static struct ool_tensor *block_forward(struct ool_net *net, struct ool_module *module,
                                        struct ool_tensor *const *inputs, int n)
{
    const struct block *b = module->state;
    struct ool_tape *t = net->tape;
    struct ool_tensor *h = NULL, *residual = NULL, *weights = NULL;

    (void)n;
    ool_module_enter(net, module);
    ool_set(t, &h, ool_layer_norm_call(net, b->norm1, inputs[0]));
    ool_set(t, &h, attention(net, b, h, inputs[1], &weights));
    ool_set(t, &h, ool_add(t, inputs[0], h));
    ool_set(t, &residual, h);
    ool_set(t, &h, ool_layer_norm_call(net, b->norm2, h));
    ool_set(t, &h, mlp(net, b, h));
    ool_set(t, &h, ool_add(t, residual, h));
    ool_del(t, &residual);
    ool_del(t, &weights);
    return ool_module_leave(net, module, ool_return(t, &h));
}

static struct ool_tensor *embeddings(struct ool_net *net, const struct clip *g,
                                     struct ool_tensor *ids)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *positions = NULL, *tokens = NULL, *of_positions = NULL, *y;

    ool_module_enter(net, g->embeddings);
    ool_set(t, &positions, ool_slice(t, g->embeddings->params[0]->tensor, 1, 0, ool_size(ids, 1)));
    ool_set(t, &tokens, ool_hf_embedding_call(net, g->token, ids, false));
    ool_set(t, &of_positions, ool_embedding_call(net, g->position, positions));
    y = ool_add(t, tokens, of_positions);
    ool_del(t, &positions);
    ool_del(t, &tokens);
    ool_del(t, &of_positions);
    return ool_module_leave(net, g->embeddings, y);
}

/* the state of the first end-of-text token of each sequence */
static struct ool_tensor *pooled(struct ool_tape *t, struct ool_tensor *states,
                                 struct ool_tensor *ids)
{
    struct ool_tensor *rows = ool_arange(t, ool_size(states, 0)), *ends;

    ends = ool_binary_scalar(t, OOL_EQ, ool_to(t, ids, OOL_I32), 49407);
    ends = ool_reduce(t, OOL_ARGMAX, ool_to(t, ends, OOL_I32), -1, false);
    return ool_subscript(
        t, states, 2,
        (struct ool_index[]){{OOL_INDEX_TENSOR, 0, 0, rows}, {OOL_INDEX_TENSOR, 0, 0, ends}});
}

static void forward(struct ool_net *net, const struct ool_call *call, struct ool_output *out)
{
    const struct clip *g = net->root->state;
    struct ool_tape *t = net->tape;
    struct ool_tensor *embedded = NULL, *mask = NULL, *states = NULL, *last = NULL;
    struct ool_tensor *pool = NULL, *text = NULL;

    if (call->loss) {
        ool_fail(t, OOL_E_UNSUPPORTED, "CLIP's text model has no loss of its own");
        return;
    }
    ool_set(t, &embedded, embeddings(net, g, call->x));
    ool_set(t, &mask, ool_hf_causal_mask(net, embedded, NULL, NULL));
    ool_module_enter(net, g->encoder);
    ool_set(t, &states,
            ool_run_blocks(net, g->blocks, net->model.layers, block_forward, embedded, &mask, 1));
    ool_module_leave(net, g->encoder, NULL);
    /* the encoder's output object still holds its last state */
    ool_set(t, &last, ool_layer_norm_call(net, g->norm, states));
    ool_set(t, &pool, pooled(t, last, call->x));
    ool_del(t, &mask); /* arguments go before locals */
    ool_del(t, &embedded);
    ool_del(t, &states);
    if (g->projection) { /* its output object names the projection before the last state */
        ool_set(t, &text, ool_linear_call(net, g->projection, pool));
        ool_output_keep(net, out, text);
    }
    ool_hf_output(net, out, NULL, last);
    if (!g->projection)
        ool_output_keep(net, out, pool);
    ool_del(t, &text);
    ool_del(t, &last);
    ool_del(t, &pool);
}

const struct ool_family_ops ool_hf_clip_text = {
    .family = OOL_FAMILY_CLIP_TEXT,
    .formulation = OOL_HF,
    .heads = 1u << OOL_HEAD_NONE,
    .defaults = defaults,
    .build = build,
    .inputs = ool_token_inputs,
    .forward = forward,
};
