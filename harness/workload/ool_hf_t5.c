/* T5ForConditionalGeneration and T5EncoderModel of transformers. */
#include "ool_hf.h"

#include <math.h>

#define MAX_DISTANCE 128

struct stack {
    struct ool_module *module, *tokens, **blocks, *norm;
    int64_t n_blocks;
    bool is_decoder;
};

struct t5 {
    struct ool_module *shared, *head;
    struct stack encoder, decoder;
    struct ool_kv *self_cache, *cross_cache;
    struct pass *pass; /* that runs now; NULL while a checkpoint computes a block again */
};

struct attention {
    struct ool_module *module, *q, *k, *v, *o, *buckets; /* buckets: only in a first block */
};

struct block {
    struct ool_module *self_layer, *self_norm, *cross_layer, *cross_norm, *ff_layer, *ff_norm;
    struct ool_module *ff, *wi_0, *wi_1, *wo;
    struct attention self, cross;
    int64_t layer;
};

/* The variables of a stack's loop, as a block gets them, and the caches. @encoded: of the decoder,
 * what the encoder made. */
enum { IN_HIDDEN, IN_MASK, IN_BIAS, IN_ENCODED, IN_CROSS_BIAS, N_INPUTS };
struct pass {
    struct ool_tensor *variables[N_INPUTS];
    struct ool_kv *self_cache, *cross_cache;
};

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_hf_default(&m->vocab, 32128);
    ool_hf_default(&m->hidden, 512);
    ool_hf_default(&m->head_dim, 64);
    ool_hf_default(&m->ffn, 2048);
    ool_hf_default(&m->layers, 6);
    ool_hf_default(&m->decoder_layers, m->layers);
    ool_hf_default(&m->heads, 8);
    if (m->relative_buckets < 1)
        m->relative_buckets = 32;
    if (m->dropout < 0)
        m->dropout = 0.1;
    if (m->attention_dropout >= 0 && m->attention_dropout != m->dropout)
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "T5 has one dropout rate for everything");
    if (net->workload->checkpoint == OOL_CHECKPOINT_REENTRANT)
        ool_fail(net->tape, OOL_E_UNSUPPORTED,
                 "no reentrant checkpoints in T5: its blocks also return position biases");
}

/* --- building --------------------------------------------------------------------------------- */

static void attention_add(struct ool_net *net, struct ool_module *parent, const char *name,
                          bool has_bias, struct attention *a)
{
    const struct ool_model *m = &net->model;
    int64_t inner = m->heads * m->head_dim;

    a->module = ool_module_add(net, parent, name, -1);
    a->q = ool_linear_add(net, a->module, "q", m->hidden, inner, false);
    a->k = ool_linear_add(net, a->module, "k", m->hidden, inner, false);
    a->v = ool_linear_add(net, a->module, "v", m->hidden, inner, false);
    a->o = ool_linear_add(net, a->module, "o", inner, m->hidden, false);
    if (has_bias)
        a->buckets = ool_embedding_add(net, a->module, "relative_attention_bias",
                                       m->relative_buckets, m->heads);
    if (a->buckets)
        a->buckets->role = OOL_ROLE_NONE;
}

static void feed_forward_add(struct ool_net *net, struct block *b)
{
    const struct ool_model *m = &net->model;

    b->ff = ool_module_add(net, b->ff_layer, "DenseReluDense", -1);
    b->wi_0 = ool_linear_add(net, b->ff, m->gated ? "wi_0" : "wi", m->hidden, m->ffn, false);
    if (m->gated)
        b->wi_1 = ool_linear_add(net, b->ff, "wi_1", m->hidden, m->ffn, false);
    b->wo = ool_linear_add(net, b->ff, "wo", m->ffn, m->hidden, false);
    b->ff_norm = ool_hf_rms_norm_add(net, b->ff_layer, "layer_norm", m->hidden);
}

static struct ool_module *block_add(struct ool_net *net, const struct stack *s, int64_t i)
{
    int64_t h = net->model.hidden;
    struct ool_module *module = ool_hf_list_add(net, s->module, "block", i, OOL_ROLE_BLOCK);
    struct block *b = ool_net_alloc(net, 1, sizeof(*b));

    if (!module || !b)
        return NULL;
    module->state = b;
    b->layer = i;
    b->self_layer = ool_module_add(net, module, "layer", 0);
    attention_add(net, b->self_layer, "SelfAttention", i == 0, &b->self);
    b->self_norm = ool_hf_rms_norm_add(net, b->self_layer, "layer_norm", h);
    if (s->is_decoder) {
        b->cross_layer = ool_module_add(net, module, "layer", 1);
        attention_add(net, b->cross_layer, "EncDecAttention", false, &b->cross);
        b->cross_norm = ool_hf_rms_norm_add(net, b->cross_layer, "layer_norm", h);
    }
    b->ff_layer = ool_module_add(net, module, "layer", s->is_decoder ? 2 : 1);
    feed_forward_add(net, b);
    return module;
}

static void stack_add(struct ool_net *net, struct t5 *g, const char *name, int64_t n_blocks,
                      bool is_decoder, struct stack *s)
{
    const struct ool_model *m = &net->model;

    s->is_decoder = is_decoder;
    s->n_blocks = n_blocks;
    s->module = ool_module_add(net, net->root, name, -1);
    s->tokens = ool_embedding_add(net, s->module, "embed_tokens", m->vocab, m->hidden);
    ool_module_tie(net, s->tokens, g->shared);
    s->blocks = ool_net_alloc(net, (size_t)n_blocks, sizeof(struct ool_module *));
    for (int64_t i = 0; s->blocks && i < n_blocks; i++)
        s->blocks[i] = block_add(net, s, i);
    s->norm = ool_hf_rms_norm_add(net, s->module, "final_layer_norm", m->hidden);
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct t5 *g = ool_net_alloc(net, 1, sizeof(*g));

    if (!g)
        return;
    net->root->state = g;
    net->deferred = true;
    g->shared = ool_embedding_add(net, net->root, "shared", m->vocab, m->hidden);
    stack_add(net, g, "encoder", m->layers, false, &g->encoder);
    if (m->family == OOL_FAMILY_T5) {
        stack_add(net, g, "decoder", m->decoder_layers, true, &g->decoder);
        g->head = ool_linear_add(net, net->root, "lm_head", m->hidden, m->vocab, false);
        if (g->head)
            g->head->role = OOL_ROLE_HEAD;
        ool_module_tie(net, g->head, g->shared);
        g->self_cache = ool_hf_cache_add(net, m->decoder_layers);
        g->cross_cache = ool_hf_cache_add(net, m->decoder_layers);
    }
    ool_net_materialize(net, net->root);
}

/* --- the pieces of a block -------------------------------------------------------------------- */

static struct ool_tensor *rms_norm(struct ool_net *net, struct ool_module *module,
                                   struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *variance = NULL, *h = NULL, *y;

    ool_enter(t, x);
    ool_module_enter(net, module);
    y = ool_binary_scalar(t, OOL_POW, ool_to(t, x, OOL_F32), 2);
    ool_set(t, &variance, ool_reduce(t, OOL_MEAN, y, -1, true));
    y = ool_unary(t, OOL_RSQRT, ool_binary_scalar(t, OOL_ADD, variance, 1e-6));
    ool_set(t, &h, ool_mul(t, x, y));
    if (net->dtype != OOL_F32)
        ool_set(t, &h, ool_to(t, h, net->dtype));
    y = ool_mul(t, module->params[0]->tensor, h);
    ool_del(t, &h);
    ool_del(t, &variance);
    ool_leave(t, x);
    return ool_module_leave(net, module, y);
}

/* _relative_position_bucket(): integers only, until the logarithm of the distance */
static struct ool_tensor *bucket(struct ool_net *net, struct ool_tensor *relative,
                                 bool bidirectional)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *distance = NULL, *buckets = NULL, *small = NULL, *large = NULL, *x;
    int64_t n = ool_size(relative, 0), m = ool_size(relative, 1);
    int64_t all = net->model.relative_buckets / (bidirectional ? 2 : 1), exact = all / 2;

    if (bidirectional) {
        x = ool_to(t, ool_binary_scalar(t, OOL_GT, relative, 0), OOL_I64);
        ool_set(t, &buckets, ool_scalar_binary(t, OOL_ADD, 0, ool_scale(t, x, (double)all)));
        ool_set(t, &distance, ool_unary(t, OOL_ABS, relative));
    } else {
        x = ool_binary(t, OOL_MINIMUM, relative, ool_zeros_like(t, relative));
        ool_set(t, &distance, ool_unary(t, OOL_NEG, x));
    }
    ool_set(t, &small, ool_binary_scalar(t, OOL_LT, distance, (double)exact));
    x = ool_binary_scalar(t, OOL_DIV, ool_to(t, distance, OOL_F32), (double)exact);
    x = ool_binary_scalar(t, OOL_DIV, ool_unary(t, OOL_LOG, x), log(MAX_DISTANCE / (double)exact));
    x = ool_to(t, ool_scale(t, x, (double)(all - exact)), OOL_I64);
    ool_set(t, &large, ool_scalar_binary(t, OOL_ADD, (double)exact, x));
    x = ool_full(t, OOL_I64, (double)(all - 1), OOL_SHAPE(n, m));
    ool_set(t, &large, ool_binary(t, OOL_MINIMUM, large, x));
    x = ool_where(t, small, distance, large);
    if (buckets)
        ool_binary_inplace(t, OOL_ADD, buckets, x);
    else
        ool_set(t, &buckets, ool_scalar_binary(t, OOL_ADD, 0, x));
    ool_del(t, &distance);
    ool_del(t, &small);
    ool_del(t, &large);
    return ool_return(t, &buckets);
}

static struct ool_tensor *position_bias(struct ool_net *net, const struct attention *a, int64_t n,
                                        int64_t length, bool bidirectional)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *context = NULL, *memory = NULL, *relative = NULL, *buckets = NULL, *y;

    ool_set(t, &context, ool_binary_scalar(t, OOL_ADD, ool_unsqueeze(t, ool_arange(t, n), 1), 0));
    ool_set(t, &memory, ool_unsqueeze(t, ool_arange(t, length), 0));
    ool_set(t, &relative, ool_binary(t, OOL_SUB, memory, context));
    ool_set(t, &buckets, bucket(net, relative, bidirectional));
    y = ool_embedding_call(net, a->buckets, buckets);
    y = ool_unsqueeze(t, ool_permute(t, y, OOL_SHAPE(2, 0, 1)), 0);
    ool_del(t, &context);
    ool_del(t, &memory);
    ool_del(t, &relative);
    ool_del(t, &buckets);
    return y;
}

/* What a block's attention over itself or over the encoder's result needs beside its input. */
struct source {
    const struct attention *attention;
    struct ool_tensor *others, *mask; /* others: NULL = itself */
    struct ool_kv *cache;
    int64_t layer;
    bool causal, bidirectional;
};

/* A first block makes the bias that the others get: by position, or zeros for the encoder's result.
 * With checkpoints the zeros want a gradient. */
static struct ool_tensor *first_bias(struct ool_net *net, const struct source *s,
                                     struct ool_tensor *q, int64_t length)
{
    struct ool_tensor *bias;
    int64_t n = ool_size(q, -2);

    if (s->attention->buckets)
        return position_bias(net, s->attention, n, length, s->bidirectional);
    bias = q ? ool_zeros(net->tape, ool_dtype(q), OOL_SHAPE(1, net->model.heads, n, length)) : NULL;
    if (bias && net->workload->checkpoint != OOL_CHECKPOINT_NONE && net->training)
        ool_require_grad(bias, true);
    return bias;
}

/* T5Attention */
static struct ool_tensor *attention(struct ool_net *net, const struct source *s,
                                    struct ool_tensor *x, struct ool_tensor **bias,
                                    struct ool_tensor **weights)
{
    struct ool_tape *t = net->tape;
    const struct ool_model *m = &net->model;
    const struct attention *a = s->attention;
    struct ool_hf_attention args = {.softmax = OOL_HF_SOFTMAX,
                                    .groups = 1,
                                    .causal = s->causal,
                                    .mask = s->mask,
                                    .dropout = net->training ? m->dropout : 0};
    struct ool_tensor *q = NULL, *k = NULL, *v = NULL, *y = NULL;
    int64_t batch = ool_size(x, 0), n = ool_size(x, 1);

    ool_module_enter(net, a->module);
    ool_set(t, &q, ool_hf_heads(net, a->q, x, m->head_dim));
    ool_set(t, &k, ool_hf_heads(net, a->k, s->others ? s->others : x, m->head_dim));
    ool_set(t, &v, ool_hf_heads(net, a->v, s->others ? s->others : x, m->head_dim));
    ool_hf_cache_update(net, s->cache, s->layer, &k, &v);
    if (!*bias)
        ool_set(t, bias, first_bias(net, s, q, ool_size(k, -2)));
    args.bias = *bias;
    ool_set(t, &y, ool_hf_attend(net, q, k, v, &args, weights));
    ool_set(t, &y, ool_reshape(t, y, OOL_SHAPE(batch, n, m->heads * m->head_dim)));
    ool_set(t, &y, ool_linear_call(net, a->o, y));
    ool_del(t, &q);
    ool_del(t, &k);
    ool_del(t, &v);
    return ool_module_leave(net, a->module, ool_return(t, &y));
}

/* T5LayerSelfAttention and T5LayerCrossAttention: x + dropout(attention(norm(x))) */
static struct ool_tensor *attention_layer(struct ool_net *net, struct ool_module *layer,
                                          struct ool_module *norm, const struct source *s,
                                          struct ool_tensor *x, struct ool_tensor **bias,
                                          struct ool_tensor **weights)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *normed = NULL, *attended = NULL, *y;

    ool_module_enter(net, layer);
    ool_set(t, &normed, rms_norm(net, norm, x));
    ool_set(t, &attended, attention(net, s, normed, bias, weights));
    y = ool_add(t, x, ool_dropout_call(net, attended, net->model.dropout));
    if (!s->others) /* the sum takes the variable's place */
        ool_del(t, &attended);
    ool_del(t, &normed);
    ool_del(t, &attended);
    return ool_module_leave(net, layer, y);
}

/* In fp16 what became infinite is clamped: clamp(h, -limit, limit), the limit chosen on the device.
 * Both are the block's variables. */
static void clamp_half(struct ool_net *net, struct ool_tensor **h, struct ool_tensor **limit)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *any = NULL, *less = NULL, *most = NULL, *x;

    if (!*h || ool_dtype(*h) != OOL_F16)
        return;
    x = ool_binary_scalar(t, OOL_EQ, ool_unary(t, OOL_ABS, *h), INFINITY);
    ool_set(t, &any, ool_reduce(t, OOL_ANY, x, OOL_ALL_DIMS, false));
    ool_set(t, &less, ool_full(t, OOL_F32, 64504, 0, NULL));
    ool_set(t, &most, ool_full(t, OOL_F32, 65504, 0, NULL));
    x = ool_where(t, any, less, most);
    ool_del(t, &most);
    ool_del(t, &less);
    ool_del(t, &any);
    ool_set(t, limit, x);
    ool_set(t, h, ool_clamp_between(t, *h, ool_unary(t, OOL_NEG, *limit), *limit));
}

/* T5LayerFF: x + dropout(wo(dropout(act(wi(norm(x)))))) */
static struct ool_tensor *feed_forward(struct ool_net *net, const struct block *b,
                                       struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    double p = net->model.dropout;
    struct ool_tensor *normed = NULL, *gate = NULL, *linear = NULL, *y = NULL;

    ool_module_enter(net, b->ff_layer);
    ool_set(t, &normed, rms_norm(net, b->ff_norm, x));
    ool_module_enter(net, b->ff);
    if (b->wi_1) {
        ool_set(t, &gate,
                ool_hf_gelu(net, ool_linear_call(net, b->wi_0, normed), OOL_GELU_KIND_NEW));
        ool_set(t, &linear, ool_linear_call(net, b->wi_1, normed));
        ool_set(t, &y, ool_mul(t, gate, linear));
    } else {
        ool_set(t, &y, ool_linear_call(net, b->wi_0, normed));
        ool_set(t, &y, ool_unary(t, OOL_RELU, y));
    }
    ool_set(t, &y, ool_dropout_call(net, y, p));
    ool_set(t, &y, ool_to(t, y, net->dtype)); /* under autocast back to wo's type */
    ool_set(t, &y, ool_linear_call(net, b->wo, y));
    ool_del(t, &gate);
    ool_del(t, &linear);
    ool_module_leave(net, b->ff, NULL);
    ool_set(t, &normed, y);
    ool_del(t, &y);
    y = ool_add(t, x, ool_dropout_call(net, normed, p));
    ool_del(t, &normed);
    return ool_module_leave(net, b->ff_layer, y);
}

/* The biases that a first block makes go to the pass that runs. */
static struct ool_tensor *block_forward(struct ool_net *net, struct ool_module *module,
                                        struct ool_tensor *const *inputs, int n)
{
    const struct block *b = module->state;
    struct t5 *g = net->root->state;
    struct pass *p = g->pass;
    struct ool_tape *t = net->tape;
    bool decodes = b->cross_layer != NULL;
    struct source self = {&b->self, NULL,    inputs[IN_MASK], p ? p->self_cache : NULL,
                          b->layer, decodes, !decodes};
    struct source cross = {
        &b->cross, inputs[IN_ENCODED], NULL, p ? p->cross_cache : NULL, b->layer, false, false};
    struct ool_tensor *h = NULL, *weights = NULL, *of_cross = NULL, *bias = NULL;
    struct ool_tensor *cross_bias = NULL, *limit = NULL;

    (void)n;
    ool_module_enter(net, module);
    ool_set(t, &bias, inputs[IN_BIAS]);
    ool_set(t, &cross_bias, inputs[IN_CROSS_BIAS]);
    ool_set(t, &h,
            attention_layer(net, b->self_layer, b->self_norm, &self, inputs[IN_HIDDEN], &bias,
                            &weights));
    clamp_half(net, &h, &limit);
    if (decodes) {
        ool_set(
            t, &h,
            attention_layer(net, b->cross_layer, b->cross_norm, &cross, h, &cross_bias, &of_cross));
        ool_set(t, &weights, of_cross);
        ool_del(t, &of_cross);
        clamp_half(net, &h, &limit);
    }
    ool_set(t, &h, feed_forward(net, b, h));
    clamp_half(net, &h, &limit);
    if (p) {
        ool_set(t, &p->variables[IN_BIAS], bias);
        ool_set(t, &p->variables[IN_CROSS_BIAS], cross_bias);
    }
    ool_del(t, &bias);
    ool_del(t, &weights);
    ool_del(t, &limit);
    ool_del(t, &cross_bias);
    return ool_module_leave(net, module, ool_return(t, &h));
}

/* --- the model -------------------------------------------------------------------------------- */

static struct ool_tensor *stack(struct ool_net *net, const struct stack *s, struct ool_tensor *ids,
                                struct ool_tensor *encoded)
{
    struct ool_tape *t = net->tape;
    struct t5 *g = net->root->state;
    struct pass p = {.variables = {[IN_ENCODED] = encoded}};
    struct ool_tensor **h = &p.variables[IN_HIDDEN], *embeds = NULL;

    ool_module_enter(net, s->module);
    g->pass = &p;
    if (s->is_decoder && (net->workload->checkpoint == OOL_CHECKPOINT_NONE || !net->training)) {
        p.self_cache = g->self_cache;
        p.cross_cache = g->cross_cache;
    }
    ool_set(t, &embeds, ool_hf_embedding_call(net, s->tokens, ids, false));
    if (s->is_decoder)
        ool_set(t, &p.variables[IN_MASK], ool_hf_causal_mask(net, embeds, p.self_cache, NULL));
    ool_set(t, h, ool_dropout_call(net, embeds, net->model.dropout));
    for (int64_t i = 0; i < s->n_blocks; i++)
        ool_set(t, h, ool_run_block(net, s->blocks[i], block_forward, p.variables, N_INPUTS));
    g->pass = NULL;
    ool_set(t, h, rms_norm(net, s->norm, *h));
    ool_set(t, h, ool_dropout_call(net, *h, net->model.dropout));
    ool_del(t, &p.variables[IN_MASK]);
    ool_del(t, &embeds);
    ool_del(t, &p.variables[IN_BIAS]);
    ool_del(t, &p.variables[IN_CROSS_BIAS]);
    return ool_module_leave(net, s->module, ool_return(t, h));
}

/* _shift_right(): the targets one to the right behind a start token */
static struct ool_tensor *shifted(struct ool_tape *t, struct ool_tensor *labels)
{
    struct ool_tensor *y = NULL, *source = NULL;
    int64_t n = ool_size(labels, 1);

    ool_set(t, &y, ool_zeros(t, OOL_I64, OOL_SHAPE(ool_size(labels, 0), n)));
    ool_set(t, &source, ool_clone(t, ool_slice(t, labels, 1, 0, n - 1)));
    ool_copy_into(t, ool_slice(t, y, 1, 1, INT64_MAX), source);
    ool_del(t, &source);
    ool_drop(t, ool_hold(t, ool_binary_scalar(t, OOL_EQ, y, -100)));
    return ool_return(t, &y);
}

static void forward(struct ool_net *net, const struct ool_call *call, struct ool_output *out)
{
    struct t5 *g = net->root->state;
    struct ool_tape *t = net->tape;
    struct ool_tensor *ids = NULL, *encoded = NULL, *decoded = NULL, *scaled = NULL;
    struct ool_tensor *logits = NULL, *loss = NULL;

    ool_set(t, &encoded, stack(net, &g->encoder, call->x, NULL));
    ool_set(t, &ids, call->loss ? shifted(t, call->y) : call->y);
    ool_set(t, &decoded, stack(net, &g->decoder, ids, encoded));
    ool_set(t, &scaled, net->model.tied != 0 ? ool_scale(t, decoded, 0.04) : decoded);
    ool_set(t, &logits, ool_linear_call(net, g->head, scaled));
    if (call->loss)
        ool_set(t, &loss, ool_loss_call(net, logits, call->y));
    ool_hf_output(net, out, loss, logits);
    ool_hf_cache_keep(net, out, g->self_cache);
    ool_hf_cache_keep(net, out, g->cross_cache);
    ool_output_keep(net, out, encoded);
    ool_del(t, &ids);
    ool_del(t, &encoded);
    ool_del(t, &decoded);
    ool_del(t, &scaled);
    ool_del(t, &logits);
    ool_del(t, &loss);
}

static void encoder_forward(struct ool_net *net, const struct ool_call *call,
                            struct ool_output *out)
{
    struct t5 *g = net->root->state;

    if (call->loss)
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "T5's encoder alone has no loss");
    else
        ool_hf_output(net, out, NULL, stack(net, &g->encoder, call->x, NULL));
}

const struct ool_family_ops ool_hf_t5 = {
    .family = OOL_FAMILY_T5,
    .formulation = OOL_HF,
    .defaults = defaults,
    .build = build,
    .inputs = ool_token_inputs,
    .forward = forward,
};

const struct ool_family_ops ool_hf_t5_encoder = {
    .family = OOL_FAMILY_T5_ENCODER,
    .formulation = OOL_HF,
    .heads = 1u << OOL_HEAD_NONE,
    .defaults = defaults,
    .build = build,
    .inputs = ool_token_inputs,
    .forward = encoder_forward,
};
