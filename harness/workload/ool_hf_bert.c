/* BERT of transformers: BertForMaskedLM, BertForSequenceClassification, BertModel. */
#include "ool_hf.h"

struct bert {
    struct ool_module *bert, *embeddings, *word, *position, *type, *norm, *encoder, **blocks;
    struct ool_module *cls, *transform, *dense, *transform_norm, *decoder; /* masked words */
    struct ool_module *pooler, *pooler_dense, *classifier; /* classes, or the bare model */
};

struct block {
    struct ool_module *attention, *self, *out, *dense, *out_norm;
    struct ool_module *intermediate, *up, *output, *down, *output_norm;
    struct ool_hf_projections proj;
};

/* What the workload needs where none is named. */
static enum ool_head own_head(const struct ool_net *net, const struct ool_model *m)
{
    if (m->head != OOL_HEAD_DEFAULT)
        return m->head;
    if (m->classes >= 0)
        return OOL_HEAD_CLASSES;
    return net->workload->task == OOL_TASK_INFER ? OOL_HEAD_NONE : OOL_HEAD_MASKED_LM;
}

static void check_head(struct ool_net *net, const struct ool_model *m)
{
    if (net->workload->task != OOL_TASK_TRAIN || net->counting)
        return;
    if (m->head == OOL_HEAD_NONE)
        ool_fail(net->tape, OOL_E_COMBINATION, "a model without a head has no loss to train");
    if (m->head == OOL_HEAD_CLASSES && m->classes == 1)
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "one class is a regression, which is not known");
}

static void defaults(struct ool_net *net, struct ool_model *m)
{
    m->head = own_head(net, m);
    if (m->head == OOL_HEAD_CLASSES)
        ool_hf_default(&m->classes, 2);
    check_head(net, m);
    ool_hf_default(&m->vocab, 30522);
    ool_hf_default(&m->hidden, 768);
    ool_hf_default(&m->layers, 12);
    ool_hf_default(&m->heads, 12);
    ool_hf_default(&m->ffn, 3072);
    ool_hf_default(&m->max_seq, 512);
    ool_hf_default(&m->type_vocab, 2);
    if (m->dropout < 0)
        m->dropout = 0.1;
    if (m->attention_dropout < 0)
        m->attention_dropout = m->dropout;
    ool_hf_check_heads(net, m->hidden, m->heads);
    ool_hf_check_positions(net, m);
}

static struct ool_module *block_add(struct ool_net *net, struct ool_module *parent, int64_t i)
{
    int64_t h = net->model.hidden;
    struct ool_module *module = ool_hf_list_add(net, parent, "layer", i, OOL_ROLE_BLOCK);
    struct block *b = ool_net_alloc(net, 1, sizeof(*b));

    if (!module || !b)
        return NULL;
    module->state = b;
    b->attention = ool_module_add(net, module, "attention", -1);
    b->self = ool_module_add(net, b->attention, "self", -1);
    b->proj.q = ool_linear_add(net, b->self, "query", h, h, true);
    b->proj.k = ool_linear_add(net, b->self, "key", h, h, true);
    b->proj.v = ool_linear_add(net, b->self, "value", h, h, true);
    b->out = ool_module_add(net, b->attention, "output", -1);
    b->dense = ool_linear_add(net, b->out, "dense", h, h, true);
    b->out_norm = ool_layer_norm_add(net, b->out, "LayerNorm", h);
    b->intermediate = ool_module_add(net, module, "intermediate", -1);
    b->up = ool_linear_add(net, b->intermediate, "dense", h, net->model.ffn, true);
    b->output = ool_module_add(net, module, "output", -1);
    b->down = ool_linear_add(net, b->output, "dense", net->model.ffn, h, true);
    b->output_norm = ool_layer_norm_add(net, b->output, "LayerNorm", h);
    return module;
}

static void embeddings_add(struct ool_net *net, struct bert *g)
{
    const struct ool_model *m = &net->model;

    g->embeddings = ool_module_add(net, g->bert, "embeddings", -1);
    g->word = ool_embedding_add(net, g->embeddings, "word_embeddings", m->vocab, m->hidden);
    g->position =
        ool_embedding_add(net, g->embeddings, "position_embeddings", m->max_seq, m->hidden);
    g->type =
        ool_embedding_add(net, g->embeddings, "token_type_embeddings", m->type_vocab, m->hidden);
    g->norm = ool_layer_norm_add(net, g->embeddings, "LayerNorm", m->hidden);
    ool_buffer_add(net, g->embeddings, "position_ids", OOL_I64, OOL_SHAPE(1, m->max_seq));
    ool_buffer_add(net, g->embeddings, "token_type_ids", OOL_I64, OOL_SHAPE(1, m->max_seq));
    if (g->norm)
        g->norm->role = OOL_ROLE_EMBEDDING;
}

static void masked_lm_add(struct ool_net *net, struct bert *g)
{
    const struct ool_model *m = &net->model;
    struct ool_param *bias;

    g->cls = ool_hf_list_add(net, ool_hf_list_add(net, net->root, "cls", -1, OOL_ROLE_HEAD),
                             "predictions", -1, OOL_ROLE_HEAD);
    bias = ool_param_add(net, g->cls, "bias", OOL_SHAPE(m->vocab));
    g->transform = ool_module_add(net, g->cls, "transform", -1);
    g->dense = ool_linear_add(net, g->transform, "dense", m->hidden, m->hidden, true);
    g->transform_norm = ool_layer_norm_add(net, g->transform, "LayerNorm", m->hidden);
    g->decoder = ool_linear_add(net, g->cls, "decoder", m->hidden, m->vocab, true);
    if (m->tied != 0)
        ool_module_tie(net, g->decoder, g->word);
    if (m->tied != 0 && g->decoder && g->decoder->n_params == 2)
        g->decoder->params[1] = bias;
}

static void pooler_add(struct ool_net *net, struct bert *g)
{
    int64_t h = net->model.hidden;

    g->pooler = ool_module_add(net, g->bert, "pooler", -1);
    g->pooler_dense = ool_linear_add(net, g->pooler, "dense", h, h, true);
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct bert *g = ool_net_alloc(net, 1, sizeof(*g));

    if (!g)
        return;
    net->root->state = g;
    net->deferred = true;
    g->bert = ool_module_add(net, net->root, "bert", -1);
    embeddings_add(net, g);
    g->encoder = ool_module_add(net, g->bert, "encoder", -1);
    g->blocks = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_module *));
    for (int64_t i = 0; g->blocks && i < m->layers; i++)
        g->blocks[i] = block_add(net, g->encoder, i);
    if (m->head == OOL_HEAD_MASKED_LM)
        masked_lm_add(net, g);
    else
        pooler_add(net, g);
    if (m->head == OOL_HEAD_CLASSES)
        g->classifier = ool_linear_add(net, net->root, "classifier", m->hidden, m->classes, true);
    if (g->classifier)
        g->classifier->role = OOL_ROLE_HEAD;
    ool_net_materialize(net, net->root);
}

static struct ool_tensor *embeddings(struct ool_net *net, const struct bert *g,
                                     struct ool_tensor *ids)
{
    struct ool_tape *t = net->tape;
    int64_t batch = ool_size(ids, 0), n = ool_size(ids, 1);
    struct ool_tensor *types = NULL, *positions = NULL, *words = NULL, *buffered = NULL;
    struct ool_tensor *of_types = NULL, *y = NULL, *of_positions = NULL;

    ool_module_enter(net, g->embeddings);
    ool_set(t, &positions, ool_slice(t, g->embeddings->params[0]->tensor, 1, 0, n));
    ool_set(t, &buffered, ool_gather(t, g->embeddings->params[1]->tensor, 1, positions));
    ool_set(t, &types, ool_expand(t, buffered, OOL_SHAPE(batch, n)));
    ool_set(t, &words, ool_hf_embedding_call(net, g->word, ids, true));
    ool_set(t, &of_types, ool_embedding_call(net, g->type, types));
    ool_set(t, &y, ool_add(t, words, of_types));
    ool_set(t, &of_positions, ool_embedding_call(net, g->position, positions));
    ool_set(t, &y, ool_add(t, y, of_positions));
    ool_set(t, &y, ool_layer_norm_call(net, g->norm, y));
    ool_set(t, &y, ool_dropout_call(net, y, net->model.dropout));
    ool_del(t, &types);
    ool_del(t, &positions);
    ool_del(t, &words);
    ool_del(t, &buffered);
    ool_del(t, &of_types);
    ool_del(t, &of_positions);
    return ool_module_leave(net, g->embeddings, ool_return(t, &y));
}

static struct ool_tensor *self_attention(struct ool_net *net, const struct block *b,
                                         struct ool_tensor *x, struct ool_tensor **weights)
{
    struct ool_hf_attention args = {.softmax = OOL_HF_SOFTMAX,
                                    .groups = 1,
                                    .dropout = net->training ? net->model.attention_dropout : 0};
    struct ool_tensor *y;

    ool_module_enter(net, b->self);
    y = ool_hf_self_attention(net, &b->proj, x, &args, weights);
    return ool_module_leave(net, b->self, y);
}

/* BertSelfOutput and BertOutput: LayerNorm(dropout(dense(x)) + residual) */
static struct ool_tensor *add_and_norm(struct ool_net *net, struct ool_module *module,
                                       struct ool_module *dense, struct ool_module *norm,
                                       struct ool_tensor *x, struct ool_tensor *residual)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *y = NULL;

    ool_enter(t, x);
    ool_module_enter(net, module);
    ool_set(t, &y, ool_linear_call(net, dense, x));
    ool_set(t, &y, ool_dropout_call(net, y, net->model.dropout));
    ool_set(t, &y, ool_layer_norm_call(net, norm, ool_add(t, y, residual)));
    ool_leave(t, x);
    return ool_module_leave(net, module, ool_return(t, &y));
}

static struct ool_tensor *intermediate(struct ool_net *net, const struct block *b,
                                       struct ool_tensor *x)
{
    struct ool_tensor *y = NULL;

    ool_module_enter(net, b->intermediate);
    ool_set(net->tape, &y, ool_linear_call(net, b->up, x));
    ool_set(net->tape, &y, ool_hf_gelu(net, y, OOL_GELU_KIND_ERF));
    return ool_module_leave(net, b->intermediate, ool_return(net->tape, &y));
}

static struct ool_tensor *block_forward(struct ool_net *net, struct ool_module *module,
                                        struct ool_tensor *const *inputs, int n)
{
    const struct block *b = module->state;
    struct ool_tape *t = net->tape;
    struct ool_tensor *attended = NULL, *weights = NULL, *wide = NULL, *y;

    (void)n;
    ool_module_enter(net, module);
    ool_module_enter(net, b->attention);
    ool_set(t, &attended, self_attention(net, b, inputs[0], &weights));
    ool_set(t, &attended, add_and_norm(net, b->out, b->dense, b->out_norm, attended, inputs[0]));
    ool_module_leave(net, b->attention, NULL);
    ool_set(t, &wide, intermediate(net, b, attended));
    y = add_and_norm(net, b->output, b->down, b->output_norm, wide, attended);
    ool_del(t, &wide);
    ool_del(t, &weights);
    ool_del(t, &attended);
    return ool_module_leave(net, module, y);
}

static struct ool_tensor *pooler(struct ool_net *net, const struct bert *g,
                                 struct ool_tensor *sequence)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *first = NULL, *y = NULL;

    ool_module_enter(net, g->pooler);
    ool_set(t, &first, ool_select(t, sequence, 1, 0));
    ool_set(t, &y, ool_linear_call(net, g->pooler_dense, first));
    ool_set(t, &y, ool_unary(t, OOL_TANH, y));
    ool_del(t, &first);
    return ool_module_leave(net, g->pooler, ool_return(t, &y));
}

/* Sets the variables that the output object stands for; *pooled stays NULL without a pooler. */
static void bert(struct ool_net *net, const struct bert *g, struct ool_tensor *ids,
                 struct ool_tensor **sequence, struct ool_tensor **pooled)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *embedded = NULL;

    ool_module_enter(net, g->bert);
    ool_set(t, &embedded, embeddings(net, g, ids));
    ool_module_enter(net, g->encoder);
    ool_set(t, sequence,
            ool_run_blocks(net, g->blocks, net->model.layers, block_forward, embedded, NULL, 0));
    ool_module_leave(net, g->encoder, NULL);
    if (g->pooler)
        ool_set(t, pooled, pooler(net, g, *sequence));
    ool_del(t, &embedded);
    ool_module_leave(net, g->bert, NULL);
}

static struct ool_tensor *predictions(struct ool_net *net, const struct bert *g,
                                      struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *y = NULL;

    ool_module_enter(net, g->cls);
    ool_module_enter(net, g->transform);
    ool_set(t, &y, ool_linear_call(net, g->dense, x));
    ool_set(t, &y, ool_hf_gelu(net, y, OOL_GELU_KIND_ERF));
    ool_set(t, &y, ool_layer_norm_call(net, g->transform_norm, y));
    ool_module_leave(net, g->transform, NULL);
    ool_set(t, &y, ool_linear_call(net, g->decoder, y));
    return ool_module_leave(net, g->cls, ool_return(t, &y));
}

/* CrossEntropyLoss over rows of @n. */
static struct ool_tensor *loss_of(struct ool_net *net, const struct ool_call *call,
                                  struct ool_tensor *logits, int64_t n)
{
    struct ool_tape *t = net->tape;

    if (!call->loss)
        return NULL;
    return ool_cross_entropy(t, ool_view(t, logits, OOL_SHAPE(-1, n)),
                             ool_view(t, call->y, OOL_SHAPE(-1)), 0, OOL_LOSS_MEAN);
}

static void masked_lm(struct ool_net *net, const struct bert *g, const struct ool_call *call,
                      struct ool_tensor **sequence, struct ool_output *out)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *scores = NULL, *loss = NULL;

    ool_set(t, &scores, predictions(net, g, *sequence));
    ool_set(t, &loss, loss_of(net, call, scores, net->model.vocab));
    ool_hf_output(net, out, loss, scores);
    ool_del(t, sequence);
    ool_del(t, &scores);
    ool_del(t, &loss);
}

static void classification(struct ool_net *net, const struct bert *g, const struct ool_call *call,
                           struct ool_tensor **sequence, struct ool_tensor **pooled,
                           struct ool_output *out)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *features = NULL, *logits = NULL, *loss = NULL;

    ool_set(t, &features, *pooled);
    ool_set(t, &features, ool_dropout_call(net, features, net->model.dropout));
    ool_set(t, &logits, ool_linear_call(net, g->classifier, features));
    ool_set(t, &loss, loss_of(net, call, logits, net->model.classes));
    ool_hf_output(net, out, loss, logits);
    ool_del(t, sequence);
    ool_del(t, pooled);
    ool_del(t, &features);
    ool_del(t, &logits);
    ool_del(t, &loss);
}

static void forward(struct ool_net *net, const struct ool_call *call, struct ool_output *out)
{
    const struct bert *g = net->root->state;
    struct ool_tape *t = net->tape;
    struct ool_tensor *sequence = NULL, *pooled = NULL;

    bert(net, g, call->x, &sequence, &pooled);
    if (g->cls) {
        masked_lm(net, g, call, &sequence, out);
    } else if (g->classifier) {
        classification(net, g, call, &sequence, &pooled, out);
    } else {
        ool_output_keep(net, out, sequence);
        ool_hf_output(net, out, NULL, pooled);
    }
    ool_del(t, &sequence);
    ool_del(t, &pooled);
}

/* Classes are a label a sample, masked words a label a token. */
static void inputs(struct ool_net *net, int64_t batch, struct ool_tensor **x, struct ool_tensor **y)
{
    if (net->model.head != OOL_HEAD_CLASSES) {
        ool_token_inputs(net, batch, x, y);
        return;
    }
    ool_input(net, x, OOL_I64, OOL_SHAPE(batch, net->workload->seq));
    ool_input(net, y, OOL_I64, OOL_SHAPE(batch));
}

const struct ool_family_ops ool_hf_bert = {
    .family = OOL_FAMILY_BERT,
    .formulation = OOL_HF,
    .heads = 1u << OOL_HEAD_MASKED_LM | 1u << OOL_HEAD_CLASSES | 1u << OOL_HEAD_NONE,
    .defaults = defaults,
    .build = build,
    .inputs = inputs,
    .forward = forward,
};
