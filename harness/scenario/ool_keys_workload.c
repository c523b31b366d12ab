/*
 * The keys of a workload: its model, its training loop and its switches.
 */
#include "ool_reader.h"

#include <string.h>

#define AT(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
#define W(field) AT(struct ool_workload, field)
#define M(field) AT(struct ool_model, field)
#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define MOST INT64_C(1000000000)

/* clang-format off */
static const struct ool_word families[] = {
#define XX(name, text) {text, OOL_FAMILY_##name, text " models"},
    OOL_FAMILY_MAP(XX)
#undef XX
        {NULL, 0, NULL}};
/* clang-format on */

static const struct ool_word formulations[] = {{"plain", OOL_PLAIN, "plain PyTorch modules"},
                                               {"hf", OOL_HF, "Hugging Face transformers"},
                                               {NULL, 0, NULL}};

static const struct ool_word attentions[] = {
    {"sdpa", OOL_ATTENTION_SDPA, "scaled_dot_product_attention, which keeps no score matrix"},
    {"eager", OOL_ATTENTION_EAGER, "scores, softmax and product as operators of their own"},
    {NULL, 0, NULL}};

static const struct ool_word heads[] = {
    {"default", OOL_HEAD_DEFAULT,
     "the family's own; of BERT in transformers what the workload needs: classes where they are "
     "given, masked words to train, none to infer"},
    {"masked-lm", OOL_HEAD_MASKED_LM, "scores of the vocabulary for each token"},
    {"classification", OOL_HEAD_CLASSES, "scores of classes for each sample"},
    {"none", OOL_HEAD_NONE, "the model alone, with its pooler: it can only infer"},
    {NULL, 0, NULL}};

static const struct ool_word gelus[] = {
    {"default", OOL_GELU_KIND_DEFAULT, "the family's own"},
    {"erf", OOL_GELU_KIND_ERF, "one operator, exact"},
    {"tanh", OOL_GELU_KIND_TANH, "one operator, tanh approximation"},
    {"new", OOL_GELU_KIND_NEW, "tanh approximation written out as eight operators"},
    {NULL, 0, NULL}};

static const struct ool_word norms[] = {{"elementary", OOL_NORM_ELEMENTARY, "an operator a step"},
                                        {"fused", OOL_NORM_FUSED, "torch.nn.functional.rms_norm"},
                                        {NULL, 0, NULL}};

static const struct ool_word gqas[] = {
    {"repeat", OOL_GQA_REPEAT, "keys and values are copied to all heads"},
    {"native", OOL_GQA_NATIVE, "enable_gqa of scaled_dot_product_attention"},
    {NULL, 0, NULL}};

static void take_preset(struct ool_reader *reader, const struct ool_cursor *cursor, void *base,
                        int64_t value, const char *text)
{
    (void)value;
    ool_reader_preset(reader, cursor, text, base);
}

#define DIMENSION(text, field, low, names, words)                                                 \
    {                                                                                             \
        .name = text, .kind = OOL_KEY_INTEGER, M(field), .min = low, .max = MOST, .matrix = true, \
        .aliases = names, .doc = words                                                            \
    }

#define MODEL_KEYS                                                                                 \
    {.name = "family",                                                                             \
     .kind = OOL_KEY_WORD,                                                                         \
     M(family),                                                                                    \
     .words = families,                                                                            \
     .matrix = true,                                                                               \
     .doc = "kind of network"},                                                                    \
        {.name = "formulation",                                                                    \
         .kind = OOL_KEY_WORD,                                                                     \
         M(formulation),                                                                           \
         .words = formulations,                                                                    \
         .fallback = "\"plain\"",                                                                  \
         .matrix = true,                                                                           \
         .doc = "who wrote the modules"},                                                          \
        {.name = "transformers",                                                                   \
         .kind = OOL_KEY_RELEASE,                                                                  \
         M(transformers),                                                                          \
         .max = 100,                                                                               \
         .matrix = true,                                                                           \
         .doc = "release of transformers; 5.23 if absent"},                                        \
        DIMENSION("vocab", vocab, 1, "vocab_size", "words of the vocabulary"),                     \
        DIMENSION("layers", layers, 1, "n_layer num_layers num_hidden_layers",                     \
                  "blocks; of an encoder and decoder pair: of the encoder"),                       \
        DIMENSION("hidden", hidden, 1, "n_embd d_model hidden_size", "width"),                     \
        DIMENSION("heads", heads, 1, "n_head num_heads num_attention_heads", "attention heads"),   \
        DIMENSION("kv_heads", kv_heads, 1, "kv num_key_value_heads", "heads of keys and values"),  \
        DIMENSION("head_dim", head_dim, 1, "d_kv", "width of a head; hidden / heads if absent"),   \
        DIMENSION("ffn", ffn, 1, "n_inner d_ff ffn_dim intermediate_size",                         \
                  "width of the feed-forward part"),                                               \
        DIMENSION("max_seq", max_seq, 1, "n_positions max_position_embeddings", "most positions"), \
        DIMENSION("decoder_layers", decoder_layers, 1, "num_decoder_layers",                       \
                  "blocks of the decoder"),                                                        \
        DIMENSION("resolution", resolution, 1, "res image_size", "pixels a side"),                 \
        DIMENSION("patch", patch, 1, "patch_size", "pixels a side of a patch"),                    \
        DIMENSION("channels", channels, 1, "num_channels", "channels of an image"),                \
        DIMENSION("classes", classes, 1, "num_labels", "outputs of a classifier"),                 \
        DIMENSION("inputs", inputs, 1, "inp", "inputs of an MLP"),                                 \
        DIMENSION("type_vocab", type_vocab, 1, "type_vocab_size", "token types of BERT"),          \
        {.name = "head",                                                                           \
         .kind = OOL_KEY_WORD,                                                                     \
         M(head),                                                                                  \
         .words = heads,                                                                           \
         .fallback = "\"default\"",                                                                \
         .matrix = true,                                                                           \
         .doc = "what stands on the blocks"},                                                      \
        {.name = "dropout",                                                                        \
         .kind = OOL_KEY_NUMBER,                                                                   \
         M(dropout),                                                                               \
         .least = 0,                                                                               \
         .most = 1,                                                                                \
         .matrix = true,                                                                           \
         .doc = "share that dropout zeroes; the family's own if absent"},                          \
        {.name = "attention_dropout",                                                              \
         .kind = OOL_KEY_NUMBER,                                                                   \
         M(attention_dropout),                                                                     \
         .least = 0,                                                                               \
         .most = 1,                                                                                \
         .matrix = true,                                                                           \
         .doc = "the same within attention; dropout's if absent"},                                 \
        {.name = "attention",                                                                      \
         .kind = OOL_KEY_WORD,                                                                     \
         M(attention),                                                                             \
         .words = attentions,                                                                      \
         .fallback = "\"sdpa\"",                                                                   \
         .matrix = true,                                                                           \
         .aliases = "attn attn_implementation",                                                    \
         .doc = "how attention is computed"},                                                      \
        {.name = "gelu",                                                                           \
         .kind = OOL_KEY_WORD,                                                                     \
         M(gelu),                                                                                  \
         .words = gelus,                                                                           \
         .fallback = "\"default\"",                                                                \
         .matrix = true,                                                                           \
         .doc = "form of GELU"},                                                                   \
        {.name = "norm",                                                                           \
         .kind = OOL_KEY_WORD,                                                                     \
         M(norm),                                                                                  \
         .words = norms,                                                                           \
         .fallback = "\"elementary\"",                                                             \
         .matrix = true,                                                                           \
         .doc = "RMSNorm of the plain Llama"},                                                     \
        {.name = "gqa",                                                                            \
         .kind = OOL_KEY_WORD,                                                                     \
         M(gqa),                                                                                   \
         .words = gqas,                                                                            \
         .fallback = "\"repeat\"",                                                                 \
         .matrix = true,                                                                           \
         .doc = "fewer key than query heads: how"},                                                \
        {.name = "tied",                                                                           \
         .kind = OOL_KEY_BOOL,                                                                     \
         M(tied),                                                                                  \
         .matrix = true,                                                                           \
         .aliases = "tie_word_embeddings",                                                         \
         .doc = "the head shares the embedding's weight; the family's own if absent"},             \
        {.name = "inplace",                                                                        \
         .kind = OOL_KEY_BOOL,                                                                     \
         M(inplace),                                                                               \
         .fallback = "false",                                                                      \
         .matrix = true,                                                                           \
         .doc = "ReLU of an MLP writes over its input"},                                           \
        DIMENSION("window", window, 1, "sliding_window", "tokens of a sliding attention window"),  \
        {.name = "embedding",                                                                      \
         .kind = OOL_KEY_INTEGER,                                                                  \
         M(embedding),                                                                             \
         .min = 1,                                                                                 \
         .max = MOST,                                                                              \
         .matrix = true,                                                                           \
         .aliases = "word_embed_proj_dim projection_dim",                                          \
         .doc = "width of OPT's embedding (hidden if absent) or of CLIP's projection (none if "    \
                "absent)"},                                                                        \
        {.name = "post_norm",                                                                      \
         .kind = OOL_KEY_BOOL,                                                                     \
         M(post_norm),                                                                             \
         .fallback = "false",                                                                      \
         .matrix = true,                                                                           \
         .doc = "OPT with do_layer_norm_before = false"},                                          \
        {.name = "relative_buckets",                                                               \
         .kind = OOL_KEY_INTEGER,                                                                  \
         M(relative_buckets),                                                                      \
         .min = 1,                                                                                 \
         .max = MOST,                                                                              \
         .matrix = true,                                                                           \
         .aliases = "relative_attention_num_buckets",                                              \
         .doc = "T5's buckets of distances; 32 if absent"},                                        \
    {                                                                                              \
        .name = "gated", .kind = OOL_KEY_BOOL, M(gated), .fallback = "false", .matrix = true,      \
        .doc = "T5 v1.1's gated feed-forward part"                                                 \
    }

/* clang-format off */
static const struct ool_key model_keys[] = {
    {.name = "preset", .kind = OOL_KEY_NAME, .matrix = true, .take = take_preset,
     .doc = "name of a file in models/; its dimensions hold unless given here"},
    MODEL_KEYS};
/* clang-format on */

/* clang-format off */
static const struct ool_key preset_dimension_keys[] = {MODEL_KEYS};
/* clang-format on */

static void begin_model(void *base)
{
    ool_model_init(base);
}

static void finish_model(struct ool_reader *reader, const struct ool_cursor *cursor, void *base)
{
    const struct ool_model *m = base;
    struct ool_error err = {.status = OOL_OK};

    if (m->hidden > 0 && m->heads > 0 && m->head_dim < 0 && m->hidden % m->heads != 0)
        ool_reader_problem(reader, cursor->node, false, OOL_E_COMBINATION, NULL,
                           "%lld heads do not divide a width of %lld", (long long)m->heads,
                           (long long)m->hidden);
    if (m->heads > 0 && m->kv_heads > 0 && m->heads % m->kv_heads != 0)
        ool_reader_problem(reader, cursor->node, false, OOL_E_COMBINATION, NULL,
                           "%lld heads of keys and values do not divide %lld heads",
                           (long long)m->kv_heads, (long long)m->heads);
    if (m->resolution > 0 && m->patch > 0 && m->resolution % m->patch != 0)
        ool_reader_problem(reader, cursor->node, false, OOL_E_COMBINATION, NULL,
                           "patches of %lld pixels do not divide an image of %lld",
                           (long long)m->patch, (long long)m->resolution);
    if (ool_model_check_head(m, &err) != OOL_OK)
        ool_reader_problem(reader, cursor->node, false, err.status, NULL, "%s", err.text);
}

static const char *const model_any[] = {"preset", "family", NULL};

const struct ool_keys ool_keys_model = {.name = "model",
                                        .doc = "a model",
                                        .keys = model_keys,
                                        .n_keys = COUNT(model_keys),
                                        .shorthand = "preset",
                                        .any_of = model_any,
                                        .begin = begin_model,
                                        .finish = finish_model};

/* A file of models/. */
static const char *const preset_family[] = {"family", NULL};
static const struct ool_keys preset_dimensions = {.name = "dimensions",
                                                  .doc = "a preset's model",
                                                  .keys = preset_dimension_keys,
                                                  .n_keys = COUNT(preset_dimension_keys),
                                                  .any_of = preset_family,
                                                  .begin = begin_model,
                                                  .finish = finish_model};

#define P(field) AT(struct ool_preset, field)
/* clang-format off */
static const struct ool_key preset_keys[] = {
    {.name = "title", .kind = OOL_KEY_TEXT, P(title), .min = 1, .max = 200, .required = true, .doc = "the model's name"},
    {.name = "description", .kind = OOL_KEY_TEXT, P(description), .max = 4000, .doc = "what is special about it"},
    {.name = "params", .kind = OOL_KEY_INTEGER, P(params), .min = 1, .max = INT64_MAX, .doc = "published parameter count"},
    {.name = "source", .kind = OOL_KEY_TEXT, P(source), .max = 1000, .doc = "where count and dimensions come from"},
    {.name = "model", .kind = OOL_KEY_OBJECT, P(model), .required = true, .object = &preset_dimensions,
     .doc = "family and dimensions"}};
/* clang-format on */
const struct ool_keys ool_keys_preset = {
    .name = "preset", .doc = "a model preset", .keys = preset_keys, .n_keys = COUNT(preset_keys)};

/* --- the optimizer: relative to the workload, since "none" is a word of its kind ------------------- */

static const struct ool_word optimizers[] = {{"none", -1, "no optimizer"},
                                             {"sgd", OOL_SGD, "torch.optim.SGD"},
                                             {"adam", OOL_ADAM, "torch.optim.Adam"},
                                             {"adamw", OOL_ADAMW, "torch.optim.AdamW"},
                                             {"rmsprop", OOL_RMSPROP, "torch.optim.RMSprop"},
                                             {"adagrad", OOL_ADAGRAD, "torch.optim.Adagrad"},
                                             {"adadelta", OOL_ADADELTA, "torch.optim.Adadelta"},
                                             {"adamax", OOL_ADAMAX, "torch.optim.Adamax"},
                                             {"nadam", OOL_NADAM, "torch.optim.NAdam"},
                                             {"radam", OOL_RADAM, "torch.optim.RAdam"},
                                             {"adafactor", OOL_ADAFACTOR, "torch.optim.Adafactor"},
                                             {"rprop", OOL_RPROP, "torch.optim.Rprop"},
                                             {"asgd", OOL_ASGD, "torch.optim.ASGD"},
                                             {NULL, 0, NULL}};

static const struct ool_word implementations[] = {
    {"default", OOL_IMPL_DEFAULT, "PyTorch's own choice"},
    {"foreach", OOL_FOREACH,
     "all parameters in lists: fast, temporaries as large as the parameters"},
    {"loop", OOL_LOOP, "one parameter after the other"},
    {"fused", OOL_FUSED, "one kernel, no temporaries"},
    {NULL, 0, NULL}};

static void take_optimizer(struct ool_reader *reader, const struct ool_cursor *cursor, void *base,
                           int64_t value, const char *text)
{
    struct ool_workload *w = base;

    (void)reader, (void)cursor, (void)text;
    w->has_optimizer = value >= 0;
    if (value >= 0)
        w->optimizer.kind = (enum ool_optimizer_kind)value;
}

/* clang-format off */
static const struct ool_key optimizer_keys[] = {
    {.name = "kind", .kind = OOL_KEY_WORD, .words = optimizers, .fallback = "\"adamw\"", .matrix = true,
     .required = true, .take = take_optimizer, .doc = "which"},
    {.name = "implementation", .kind = OOL_KEY_WORD, W(optimizer.implementation), .words = implementations,
     .fallback = "\"default\"", .matrix = true, .doc = "how it steps"},
    {.name = "momentum", .kind = OOL_KEY_NUMBER, W(optimizer.momentum), .least = 0, .most = 1, .fallback = "0",
     .matrix = true, .doc = "of SGD and RMSprop; above 0 keeps a buffer a parameter"},
    {.name = "weight_decay", .kind = OOL_KEY_NUMBER, W(optimizer.weight_decay), .least = 0, .most = 1000,
     .matrix = true, .doc = "the optimizer's own if absent"},
    {.name = "nesterov", .kind = OOL_KEY_BOOL, W(optimizer.nesterov), .fallback = "false", .matrix = true,
     .doc = "Nesterov's momentum"},
    {.name = "amsgrad", .kind = OOL_KEY_BOOL, W(optimizer.amsgrad), .fallback = "false", .matrix = true,
     .doc = "keeps the largest second moment too"},
    {.name = "capturable", .kind = OOL_KEY_BOOL, W(optimizer.capturable), .fallback = "false", .matrix = true,
     .doc = "step counters on the device"},
    {.name = "maximize", .kind = OOL_KEY_BOOL, W(optimizer.maximize), .fallback = "false", .matrix = true,
     .doc = "steps up the gradient"},
    {.name = "tensor_lr", .kind = OOL_KEY_BOOL, W(optimizer.tensor_lr), .fallback = "false", .matrix = true,
     .doc = "the learning rate is a tensor on the device"}};
/* clang-format on */
static const struct ool_keys optimizer = {.name = "optimizer",
                                          .doc = "an optimizer",
                                          .keys = optimizer_keys,
                                          .n_keys = COUNT(optimizer_keys),
                                          .shorthand = "kind"};

/* --- the adapter ----------------------------------------------------------------------------------- */

static const struct ool_word adapters[] = {{"lora", 0, "low-rank matrices beside frozen linears"},
                                           {NULL, 0, NULL}};
static const struct ool_word adapter_types[] = {{"base", -1, "the base's"},
                                                {"fp32", OOL_F32, "32 bit"},
                                                {"bf16", OOL_BF16, "bfloat16"},
                                                {"fp16", OOL_F16, "16 bit"},
                                                {NULL, 0, NULL}};

static void take_adapter(struct ool_reader *reader, const struct ool_cursor *cursor, void *base,
                         int64_t value, const char *text)
{
    (void)reader, (void)cursor, (void)base, (void)value, (void)text; /* lora is the only kind */
}

#define L(field) AT(struct ool_lora, field)
/* clang-format off */
static const struct ool_key adapter_keys[] = {
    {.name = "kind", .kind = OOL_KEY_WORD, .words = adapters, .fallback = "\"lora\"", .take = take_adapter, .doc = "which"},
    {.name = "rank", .kind = OOL_KEY_INTEGER, L(rank), .min = 1, .max = 65536, .required = true, .matrix = true,
     .doc = "rank of the matrices"},
    {.name = "targets", .kind = OOL_KEY_TEXTS, L(targets), .min = 1, .max = 64,
     .doc = "attribute names of the linears; the family's default if absent"},
    {.name = "dropout", .kind = OOL_KEY_NUMBER, L(dropout), .least = 0, .most = 1, .fallback = "0", .matrix = true,
     .doc = "dropout before the adapter"},
    {.name = "dtype", .kind = OOL_KEY_WORD, L(dtype), .words = adapter_types, .fallback = "\"base\"", .matrix = true,
     .doc = "type of the adapter's weights"}};
/* clang-format on */
static const struct ool_keys adapter = {
    .name = "adapter", .doc = "an adapter", .keys = adapter_keys, .n_keys = COUNT(adapter_keys)};

/* --- the workload ---------------------------------------------------------------------------------- */

static const struct ool_word tasks[] = {
    {"train", OOL_TASK_TRAIN, "forward, backward, optimizer step"},
    {"fine-tune", OOL_TASK_TRAIN, "the same, of a model that is there already"},
    {"infer", OOL_TASK_INFER, "forward only"},
    {"generate", OOL_TASK_GENERATE, "a prompt, then one token after the other"},
    {NULL, 0, NULL}};
static const struct ool_word modes[] = {
    {"no-grad", OOL_INFER_NO_GRAD, "under torch.no_grad()"},
    {"inference-mode", OOL_INFER_INFERENCE_MODE, "under torch.inference_mode()"},
    {"grad", OOL_INFER_GRAD, "eval(), but the graph is kept: the usual mistake"},
    {"grad-train", OOL_INFER_GRAD_TRAIN, "train() and the graph is kept, no backward"},
    {NULL, 0, NULL}};
static const struct ool_word precisions[] = {
    {"fp32", OOL_FP32, "32 bit"},
    {"bf16", OOL_PURE_BF16, "weights and all else in bfloat16"},
    {"fp16", OOL_PURE_FP16, "weights and all else in 16 bit"},
    {"amp-bf16", OOL_AMP_BF16, "32-bit weights under autocast to bfloat16"},
    {"amp-fp16", OOL_AMP_FP16, "32-bit weights under autocast, with GradScaler"},
    {NULL, 0, NULL}};
static const struct ool_word sdpas[] = {
    {"auto", OOL_SDPA_AUTO, "PyTorch's own choice"},
    {"flash", OOL_SDPA_FLASH, "FlashAttention"},
    {"efficient", OOL_SDPA_EFFICIENT, "memory-efficient attention"},
    {"math", OOL_SDPA_MATH, "plain operators"},
    {NULL, 0, NULL}};
#define SELECTIVE 16 /* beside the numbers of enum ool_checkpoint */
static const struct ool_word checkpoints[] = {
    {"none", OOL_CHECKPOINT_NONE, "activations are kept"},
    {"non-reentrant", OOL_CHECKPOINT_NONREENTRANT,
     "torch.utils.checkpoint with use_reentrant=False"},
    {"reentrant", OOL_CHECKPOINT_REENTRANT, "with use_reentrant=True"},
    {"selective", SELECTIVE, "only attention from q, k, v to its output"},
    {NULL, 0, NULL}};
static const struct ool_word zero_grads[] = {
    {"none", 0, "zero_grad(set_to_none=True): gradients are freed"},
    {"zero", 1, "zero_grad(set_to_none=False): gradients stay"},
    {"never", 2, "zero_grad is not called"},
    {NULL, 0, NULL}};
static const struct ool_word frozens[] = {{"none", OOL_FROZEN_NONE, "all trains"},
                                          {"trunk", OOL_FROZEN_TRUNK, "only the head trains"},
                                          {"all", OOL_FROZEN_ALL, "nothing trains"},
                                          {NULL, 0, NULL}};
static const struct ool_word clips[] = {
    {"none", OOL_CLIP_NONE, "no clipping"},
    {"foreach", OOL_CLIP_FOREACH, "clip_grad_norm_ over lists"},
    {"loop", OOL_CLIP_LOOP, "clip_grad_norm_ with foreach=False"},
    {NULL, 0, NULL}};
static const struct ool_word leaks[] = {
    {"none", OOL_LEAK_NONE, "nothing leaks"},
    {"append-loss", OOL_LEAK_APPEND_LOSS, "losses.append(loss) after backward"},
    {"append-loss-no-backward", OOL_LEAK_APPEND_LOSS_NO_BACKWARD,
     "the same without backward: whole graphs stay"},
    {"total-loss", OOL_LEAK_TOTAL_LOSS, "total += loss after backward"},
    {"total-loss-no-backward", OOL_LEAK_TOTAL_LOSS_NO_BACKWARD, "the same without backward"},
    {"append-outputs", OOL_LEAK_APPEND_OUTPUTS, "outputs.append(logits)"},
    {"append-outputs-detach", OOL_LEAK_APPEND_OUTPUTS_DETACH, "outputs.append(logits.detach())"},
    {"retain-graph", OOL_LEAK_RETAIN_GRAPH, "backward(retain_graph=True)"},
    {"retain-graph-append", OOL_LEAK_RETAIN_GRAPH_APPEND, "the same, and the loss is kept"},
    {"hooks-store", OOL_LEAK_HOOKS_STORE, "forward hooks that keep each output"},
    {"hooks-store-detach", OOL_LEAK_HOOKS_STORE_DETACH, "the same, detached"},
    {NULL, 0, NULL}};
static const struct ool_word caches[] = {{"dynamic", OOL_CACHE_DYNAMIC, "grows by concatenation"},
                                         {"static", OOL_CACHE_STATIC, "made at full length once"},
                                         {"none", OOL_CACHE_NONE, "all tokens are computed again"},
                                         {NULL, 0, NULL}};
static const struct ool_word grad_modes[] = {
    {"grad", OOL_GRAD, "the graph is kept"},
    {"no-grad", OOL_NO_GRAD, "torch.no_grad()"},
    {"inference-mode", OOL_INFERENCE, "torch.inference_mode()"},
    {NULL, 0, NULL}};

static void take_checkpointing(struct ool_reader *reader, const struct ool_cursor *cursor,
                               void *base, int64_t value, const char *text)
{
    struct ool_workload *w = base;

    (void)reader, (void)cursor, (void)text;
    w->checkpoint_core = value == SELECTIVE;
    w->checkpoint = w->checkpoint_core ? OOL_CHECKPOINT_NONREENTRANT : (enum ool_checkpoint)value;
}

static void take_zero_grad(struct ool_reader *reader, const struct ool_cursor *cursor, void *base,
                           int64_t value, const char *text)
{
    struct ool_workload *w = base;

    (void)reader, (void)cursor, (void)text;
    w->keep_gradients = value == 1;
    w->no_zero_grad = value == 2;
}

#define SWITCH(text, field, words)                                                         \
    {                                                                                      \
        .name = text, .kind = OOL_KEY_BOOL, W(field), .fallback = "false", .matrix = true, \
        .doc = words                                                                       \
    }
#define CHOICE(text, field, list, standard, about)                                         \
    {                                                                                      \
        .name = text, .kind = OOL_KEY_WORD, W(field), .words = list, .fallback = standard, \
        .matrix = true, .doc = about                                                       \
    }
#define NUMBER(text, field, low, high, standard, measure, about)                  \
    {                                                                             \
        .name = text, .kind = OOL_KEY_INTEGER, W(field), .min = low, .max = high, \
        .fallback = standard, .unit = measure, .matrix = true, .doc = about       \
    }

/* clang-format off */
static const struct ool_key workload_keys[] = {
    {.name = "model", .kind = OOL_KEY_OBJECT, W(model), .required = true, .object = &ool_keys_model,
     .doc = "a preset's name, or family and dimensions"},
    CHOICE("task", task, tasks, "\"train\"", "what is done with the model"),
    CHOICE("mode", infer, modes, "\"no-grad\"", "of inference: what becomes of the graph"),
    CHOICE("precision", precision, precisions, "\"fp32\"", "types of weights and activations"),
    NUMBER("batch", batch, 1, MOST, "1", "samples", "samples a step, before division into micro-batches"),
    NUMBER("sequence", seq, 0, MOST, "1024", "tokens", "tokens a sample; of generation: of the prompt"),
    NUMBER("target_sequence", tgt_seq, 1, MOST, NULL, "tokens", "tokens a target of encoder-decoder models; as many as sequence if absent"),
    NUMBER("new_tokens", new_tokens, 0, MOST, "8", "tokens", "tokens to generate"),
    NUMBER("steps", steps, 0, 1000000, "3", "steps", "steps of training or calls of inference"),
    {.name = "optimizer", .kind = OOL_KEY_OBJECT, .object = &optimizer, .doc = "an optimizer's kind, or kind and settings"},
    {.name = "attention", .kind = OOL_KEY_WORD, W(model.attention), .words = attentions, .fallback = "\"sdpa\"",
     .matrix = true, .doc = "how attention is computed; wins over the model's own"},
    CHOICE("sdpa", sdpa, sdpas, "\"auto\"", "backend of scaled_dot_product_attention"),
    {.name = "checkpointing", .kind = OOL_KEY_WORD, .words = checkpoints, .fallback = "\"none\"", .matrix = true,
     .take = take_checkpointing, .doc = "blocks forget activations and compute them again in backward"},
    NUMBER("checkpoint_every", checkpoint_every, 0, 100000, "0", "blocks", "every k-th block is a checkpoint; 0 and 1 = every one"),
    NUMBER("accumulate", accumulate, 1, MOST, "1", "micro-batches", "micro-batches a step"),
    {.name = "zero_grad", .kind = OOL_KEY_WORD, .words = zero_grads, .fallback = "\"none\"", .matrix = true,
     .take = take_zero_grad, .doc = "what becomes of gradients after a step"},
    SWITCH("del_logits", del_logits, "the loop drops the logits before backward"),
    SWITCH("del_outputs", del_outputs, "the loop drops logits and loss after backward"),
    SWITCH("del_before_forward", del_before_forward, "the loop drops both before the next forward"),
    NUMBER("chunked_loss", chunked_loss, 0, 1000000, "0", "slices", "head and loss on slices, each recomputed in backward; 0 = whole"),
    SWITCH("chunk_no_checkpoint", chunk_no_checkpoint, "slices of the loss are not recomputed"),
    {.name = "adapter", .kind = OOL_KEY_OBJECT, W(lora), .object = &adapter, .doc = "trains adapters on a frozen base"},
    {.name = "frozen", .kind = OOL_KEY_INTEGER, W(frozen_blocks), .min = 0, .max = 100000, .words = frozens,
     .fallback = "\"none\"", .unit = "blocks", .matrix = true, .doc = "embeddings and the first n blocks do not train"},
    SWITCH("save_on_cpu", save_on_cpu, "saved activations wait in host memory"),
    SWITCH("cpu_offload", cpu_offload, "each block's weights come to the card for its forward only"),
    SWITCH("optimizer_in_backward", optimizer_in_backward, "one optimizer a parameter, stepped as its gradient is ready"),
    CHOICE("clip", clip, clips, "\"none\"", "clipping of the gradients' norm"),
    SWITCH("empty_cache", empty_cache, "torch.cuda.empty_cache() after forward, backward and zero_grad"),
    SWITCH("no_autocast_cache", no_autocast_cache, "autocast(cache_enabled=False)"),
    SWITCH("collect_garbage", collect_garbage, "del and gc.collect() between steps"),
    CHOICE("leak", leak, leaks, "\"none\"", "what the loop keeps by mistake"),
    CHOICE("cache", cache, caches, "\"dynamic\"", "keys and values of generation"),
    CHOICE("generate_mode", generate_mode, grad_modes, "\"no-grad\"", "grad mode of generation"),
    SWITCH("all_logits", all_logits, "generation of transformers: logits of every position"),
    SWITCH("use_cache", use_cache, "the model also returns keys and values"),
    SWITCH("unload", unload, "at the end model, optimizer and all else are dropped")};
/* clang-format on */

static void begin_workload(void *base)
{
    ool_workload_init(base);
}

static void finish_workload(struct ool_reader *reader, const struct ool_cursor *cursor, void *base)
{
    const struct ool_workload *w = base;

    if (w->accumulate > w->batch)
        ool_reader_problem(reader, cursor->node, false, OOL_E_COMBINATION, NULL,
                           "%lld micro-batches of a batch of %lld: each needs a sample",
                           (long long)w->accumulate, (long long)w->batch);
    if (w->optimizer_in_backward && w->clip != OOL_CLIP_NONE)
        ool_reader_problem(reader, cursor->node, false, OOL_E_COMBINATION, NULL,
                           "an optimizer that steps in backward leaves no gradients to clip");
    if (w->chunk_no_checkpoint && w->chunked_loss == 0)
        ool_reader_problem(reader, cursor->node, false, OOL_E_COMBINATION, NULL,
                           "\"chunk_no_checkpoint\" needs \"chunked_loss\"");
}

const struct ool_keys ool_keys_workload = {.name = "workload",
                                           .doc = "a workload",
                                           .keys = workload_keys,
                                           .n_keys = COUNT(workload_keys),
                                           .begin = begin_workload,
                                           .finish = finish_workload};
