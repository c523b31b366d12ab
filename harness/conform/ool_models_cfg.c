#include "ool_models_cfg.h"

#include <stdlib.h>
#include <string.h>

/* A value of cfg and the scenario's word for it. */
struct pair {
    const char *from, *to;
};

static const struct pair precisions[] = {{"fp32", "fp32"},         {"bf16", "bf16"},
                                         {"fp16", "fp16"},         {"amp_bf16", "amp-bf16"},
                                         {"amp_fp16", "amp-fp16"}, {NULL, NULL}};
static const struct pair infer_modes[] = {{"infer_nograd", "no-grad"},
                                          {"infer_mode", "inference-mode"},
                                          {"infer_grad", "grad"},
                                          {"infer_grad_train", "grad-train"},
                                          {NULL, NULL}};
static const struct pair checkpoints[] = {{"nonreentrant", "non-reentrant"},
                                          {"reentrant", "reentrant"},
                                          {"selective", "selective"},
                                          {NULL, NULL}};
static const struct pair leaks[] = {{"append_loss", "append-loss"},
                                    {"append_loss_nobwd", "append-loss-no-backward"},
                                    {"total_loss", "total-loss"},
                                    {"total_loss_nobwd", "total-loss-no-backward"},
                                    {"append_outputs", "append-outputs"},
                                    {"append_outputs_detach", "append-outputs-detach"},
                                    {"retain_graph", "retain-graph"},
                                    {"retain_graph_append", "retain-graph-append"},
                                    {"hooks_store", "hooks-store"},
                                    {"hooks_store_detach", "hooks-store-detach"},
                                    {NULL, NULL}};
static const struct pair contexts[] = {
    {"nograd", "no-grad"}, {"inference", "inference-mode"}, {"grad", "grad"}, {NULL, NULL}};
static const struct pair norms[] = {{"eager", "elementary"}, {"fused", "fused"}, {NULL, NULL}};
static const struct pair formulations[] = {{"ref", "plain"}, {"hf", "hf"}, {NULL, NULL}};

/* transformers' names for what a scenario calls otherwise. */
static const struct pair renamed[] = {{"resid_pdrop", "dropout"},
                                      {"hidden_dropout_prob", "dropout"},
                                      {"dropout_rate", "dropout"},
                                      {"attn_pdrop", "attention_dropout"},
                                      {"attention_probs_dropout_prob", "attention_dropout"},
                                      {NULL, NULL}};
static const struct pair gelus[] = {
    {"gelu", "erf"}, {"gelu_new", "new"}, {"gelu_pytorch_tanh", "tanh"}, {NULL, NULL}};

static const char *word(const struct pair *pairs, const json_t *value)
{
    const char *text = json_string_value(value);

    for (; text && pairs->from; pairs++)
        if (strcmp(pairs->from, text) == 0)
            return pairs->to;
    return NULL;
}

/* Why a cfg has no scenario; the first reason stays. */
struct mapping {
    json_t *out;
    struct ool_error *err;
    bool failed;
};

static void refuse(struct mapping *m, const char *key, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

    m->failed = true;
    ool_error_set(m->err, OOL_E_UNSUPPORTED, "no word for \"%s\": %s", key, text ? text : "?");
    free(text);
}

static void put(struct mapping *m, const char *key, json_t *value)
{
    if (json_object_set_new(m->out, key, value) == 0)
        return;
    m->failed = true;
    ool_error_set(m->err, OOL_E_HOST_OOM, "no memory to map a row");
}

static void put_word(struct mapping *m, const char *key, const struct pair *pairs, const char *from,
                     const json_t *value)
{
    const char *to = word(pairs, value);

    if (to)
        put(m, key, json_string(to));
    else
        refuse(m, from, value);
}

/* An object of its own inside the result; gives the mapping into it. */
static struct mapping inside(struct mapping *m, const char *key)
{
    struct mapping sub = {json_object(), m->err, false};

    put(m, key, json_incref(sub.out));
    json_decref(sub.out); /* the result owns it */
    return sub;
}

static void map_model_key(struct mapping *m, const char *key, json_t *value)
{
    const char *text = json_string_value(value);

    for (const struct pair *pair = renamed; pair->from; pair++) {
        if (strcmp(pair->from, key) == 0) {
            put(m, pair->to, json_incref(value));
            return;
        }
    }
    if (strcmp(key, "impl") == 0)
        put_word(m, "formulation", formulations, key, value);
    else if (strcmp(key, "norm") == 0)
        put_word(m, key, norms, key, value);
    else if (strcmp(key, "activation_function") == 0 || strcmp(key, "hidden_act") == 0)
        put_word(m, "gelu", gelus, key, value);
    else if (strcmp(key, "do_layer_norm_before") == 0)
        put(m, "post_norm", json_boolean(!json_is_true(value)));
    else if (strcmp(key, "feed_forward_proj") == 0 && text && strcmp(text, "relu") != 0 &&
             strcmp(text, "gated-gelu") != 0)
        refuse(m, key, value);
    else if (strcmp(key, "feed_forward_proj") == 0)
        put(m, "gated", json_boolean(text && strcmp(text, "gated-gelu") == 0));
    else
        put(m, key, json_incref(value));
}

/* The recorder builds BertForMaskedLM, whatever is done with it, unless a head is named. */
static bool is_bert_of_transformers(const json_t *model)
{
    const char *family = json_string_value(json_object_get(model, "family"));
    const char *impl = json_string_value(json_object_get(model, "impl"));

    return family && strcmp(family, "bert") == 0 && impl && strcmp(impl, "hf") == 0;
}

/* The dimensions have the scenario's names or aliases; a key that is none is refused by the reader.
 * @untied: weights made on the host by to_empty() are no longer shared. */
static void map_model(struct mapping *m, const json_t *model, bool untied)
{
    struct mapping sub = inside(m, "model");
    const char *key;
    json_t *value;

    if (!json_object_get(model, "impl"))
        put(&sub, "formulation", json_string("plain"));
    json_object_foreach((json_t *)(uintptr_t)model, key, value)
    {
        map_model_key(&sub, key, value);
    }
    if (untied)
        put(&sub, "tied", json_false());
    if (is_bert_of_transformers(model) && !json_object_get(model, "head"))
        put(&sub, "head", json_string("masked-lm"));
    m->failed |= sub.failed;
}

static void map_optimizer(struct mapping *m, const json_t *optimizer)
{
    struct mapping sub = inside(m, "optimizer");
    const char *name = json_string_value(json_object_get(optimizer, "name")), *key;
    json_t *value;

    if (!name) {
        put(&sub, "kind", json_string("none"));
    } else if (strcmp(name, "sgdm") == 0) {
        put(&sub, "kind", json_string("sgd"));
        put(&sub, "momentum", json_real(0.9));
    } else {
        put(&sub, "kind", json_string(name));
    }
    json_object_foreach((json_t *)(uintptr_t)optimizer, key, value)
    {
        if (strcmp(key, "name") == 0)
            continue;
        if (strcmp(key, "foreach") == 0)
            put(&sub, "implementation", json_string(json_is_true(value) ? "foreach" : "loop"));
        else if (strcmp(key, "fused") == 0)
            put(&sub, "implementation", json_string(json_is_true(value) ? "fused" : "default"));
        else
            put(&sub, key, json_incref(value));
    }
    m->failed |= sub.failed;
}

static void map_adapter(struct mapping *m, const json_t *mit)
{
    static const struct pair keys[] = {{"lora", "rank"},
                                       {"targets", "targets"},
                                       {"lora_dropout", "dropout"},
                                       {"lora_dtype", "dtype"},
                                       {NULL, NULL}};
    struct mapping sub;

    if (!json_object_get(mit, "lora"))
        return;
    sub = inside(m, "adapter");
    for (const struct pair *pair = keys; pair->from; pair++) {
        json_t *value = json_object_get(mit, pair->from);

        if (value)
            put(&sub, pair->to, json_incref(value));
    }
    m->failed |= sub.failed;
}

/* A forward hook of the recorder sits on the blocks of the plain transformers only. */
static bool has_hooked_blocks(const json_t *model)
{
    const char *family = json_string_value(json_object_get(model, "family"));
    const char *impl = json_string_value(json_object_get(model, "impl"));

    return (!impl || strcmp(impl, "ref") == 0) && family && strcmp(family, "mlp") != 0;
}

static void map_leak(struct mapping *m, const json_t *model, const json_t *value)
{
    const char *name = json_string_value(value);

    if (name && strncmp(name, "hooks", 5) == 0 && !has_hooked_blocks(model))
        return;
    put_word(m, "leak", leaks, "leak", value);
}

/* Switches whose value means the same under another key. */
static const struct pair same[] = {{"accum", "accumulate"},
                                   {"sdpa", "sdpa"},
                                   {"del_logits", "del_logits"},
                                   {"del_outputs", "del_outputs"},
                                   {"del_before_forward", "del_before_forward"},
                                   {"chunked_ce", "chunked_loss"},
                                   {"frozen", "frozen"},
                                   {"save_on_cpu", "save_on_cpu"},
                                   {"cpu_offload", "cpu_offload"},
                                   {"opt_in_backward", "optimizer_in_backward"},
                                   {"empty_cache", "empty_cache"},
                                   {"no_autocast_cache", "no_autocast_cache"},
                                   {"cache", "cache"},
                                   {"use_cache", "use_cache"},
                                   {NULL, NULL}};

static bool map_same(struct mapping *m, const char *key, json_t *value)
{
    for (const struct pair *pair = same; pair->from; pair++) {
        if (strcmp(pair->from, key) != 0)
            continue;
        put(m, pair->to, json_incref(value));
        return true;
    }
    return false;
}

static void map_clip(struct mapping *m, const json_t *mit, json_t *value)
{
    /* clipping belongs to the optimizer's step, which is not called when it steps in backward */
    if (json_is_true(json_object_get(mit, "opt_in_backward")))
        return;
    put(m, "clip",
        json_string(json_is_string(value) ? json_string_value(value)
                    : json_is_true(value) ? "foreach"
                                          : "none"));
}

static void map_switch(struct mapping *m, const json_t *cfg, const char *key, json_t *value)
{
    if (map_same(m, key, value))
        return;
    if (strcmp(key, "ckpt") == 0)
        put_word(m, "checkpointing", checkpoints, key, value);
    else if (strcmp(key, "set_to_none") == 0)
        put(m, "zero_grad", json_string(json_is_true(value) ? "none" : "zero"));
    else if (strcmp(key, "no_zero_grad") == 0)
        put(m, "zero_grad", json_string(json_is_true(value) ? "never" : "none"));
    else if (strcmp(key, "chunk_ckpt") == 0)
        put(m, "chunk_no_checkpoint", json_boolean(!json_is_true(value)));
    else if (strcmp(key, "clip") == 0)
        map_clip(m, json_object_get(cfg, "mit"), value);
    else if (strcmp(key, "leak") == 0)
        map_leak(m, json_object_get(cfg, "model"), value);
    else if (strcmp(key, "ctx") == 0)
        put_word(m, "generate_mode", contexts, key, value);
    else if (strcmp(key, "last_logit") == 0)
        put(m, "all_logits", json_boolean(!json_is_true(value)));
    else if (strcmp(key, "lora") != 0 && strcmp(key, "targets") != 0 &&
             strcmp(key, "lora_dropout") != 0 && strcmp(key, "lora_dtype") != 0)
        refuse(m, key, value);
}

static void map_task(struct mapping *m, const json_t *cfg)
{
    const json_t *mode = json_object_get(cfg, "mode");
    const char *name = mode ? json_string_value(mode) : "train";
    const json_t *dtype = json_object_get(cfg, "dtype");
    bool generates = name && strcmp(name, "generate") == 0;

    if (name && (strcmp(name, "train") == 0 || generates)) {
        put(m, "task", json_string(name));
    } else {
        put(m, "task", json_string("infer"));
        put_word(m, "mode", infer_modes, "mode", mode);
    }
    /* the recorder's generation has no autocast around it */
    if (!dtype || (generates && strncmp(json_string_value(dtype), "amp", 3) == 0))
        put(m, "precision", json_string("fp32"));
    else
        put_word(m, "precision", precisions, "dtype", dtype);
}

static bool loses_ties(const json_t *cfg)
{
    const char *impl = json_string_value(json_object_get(json_object_get(cfg, "model"), "impl"));

    return (!impl || strcmp(impl, "ref") == 0) &&
           json_is_true(json_object_get(json_object_get(cfg, "mit"), "cpu_offload"));
}

json_t *ool_models_workload(const json_t *cfg, struct ool_error *err)
{
    static const struct pair numbers[] = {
        {"batch", "batch"}, {"seq", "sequence"},          {"tgt_seq", "target_sequence"},
        {"steps", "steps"}, {"new_tokens", "new_tokens"}, {NULL, NULL}};
    const json_t *mit = json_object_get(cfg, "mit");
    struct mapping m = {json_object(), err, false};
    const char *key;
    json_t *value;

    map_model(&m, json_object_get(cfg, "model"), loses_ties(cfg));
    map_task(&m, cfg);
    map_optimizer(&m, json_object_get(cfg, "opt"));
    for (const struct pair *pair = numbers; pair->from; pair++) {
        value = json_object_get(cfg, pair->from);
        if (value)
            put(&m, pair->to, json_incref(value));
    }
    map_adapter(&m, mit);
    json_object_foreach((json_t *)(uintptr_t)mit, key, value)
    {
        map_switch(&m, cfg, key, value);
    }
    if (!m.failed)
        return m.out;
    json_decref(m.out);
    return NULL;
}

/* --- the case ------------------------------------------------------------------------------------ */

static uint64_t mib(const json_t *object, const char *key, uint64_t standard)
{
    const json_t *value = json_object_get(object, key);

    return (json_is_integer(value) ? (uint64_t)json_integer_value(value) : standard) << 20;
}

static int integer(const json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

/* The release without its last number, "2.11.0" as "2.11". */
static bool take_version(const json_t *root, char *version, size_t size)
{
    const char *text = json_string_value(json_object_get(root, "torch"));
    const char *dot = text ? strchr(text, '.') : NULL;
    size_t length = dot ? (size_t)(dot - text) + 1 + strcspn(dot + 1, ".") : 0;

    if (length == 0 || length >= size)
        return false;
    memcpy(version, text, length);
    version[length] = '\0';
    return true;
}

static enum ool_status take_card(const json_t *root, const json_t *cfg, uint64_t total_mib,
                                 struct ool_card *card, struct ool_error *err)
{
    const char *name = json_string_value(json_object_get(cfg, "gpu"));
    const json_t *gpu = json_object_get(json_object_get(root, "gpus"), name ? name : "a100");

    if (!gpu)
        return ool_error_set(err, OOL_E_DATA, "the file does not describe the card \"%s\"",
                             name ? name : "a100");
    card->name = name ? name : "a100";
    card->title = card->name;
    card->total_bytes = total_mib ? total_mib << 20 : mib(cfg, "total_mib", 81920);
    card->context_bytes = mib(cfg, "context_mib", 450);
    card->capability = integer(gpu, "compute_capability");
    card->multiprocessors = integer(gpu, "multiprocessors");
    card->threads_per_multiprocessor = integer(gpu, "threads_per_multiprocessor");
    return OOL_OK;
}

static enum ool_status read_workload(const json_t *cfg, int64_t batch, struct ool_models_case *mc,
                                     struct ool_error *err)
{
    struct ool_problems problems = {0};
    enum ool_status status;
    json_t *object = ool_models_workload(cfg, err);

    if (!object)
        return OOL_E_UNSUPPORTED;
    if (batch > 0)
        json_object_set_new(object, "batch", json_integer(batch));
    status = ool_workload_read(object, &mc->job.workload, &mc->memory, &problems);
    if (status != OOL_OK && problems.n > 0)
        ool_error_set(err, status, "%s: %s", problems.errors[0].path, problems.errors[0].text);
    ool_problems_fini(&problems);
    json_decref(object);
    return status;
}

enum ool_status ool_models_case_open(const json_t *root, const json_t *cfg, int64_t batch,
                                     uint64_t total_mib, struct ool_models_case *mc,
                                     struct ool_error *err)
{
    enum ool_status status;

    memset(mc, 0, sizeof(*mc));
    if (json_object_get(cfg, "env"))
        return ool_error_set(err, OOL_E_UNSUPPORTED, "a row with environment variables");
    if (!take_version(root, mc->version, sizeof(mc->version)))
        return ool_error_set(err, OOL_E_DATA, "the file names no release of PyTorch");
    status = take_card(root, cfg, total_mib, &mc->c.card, err);
    if (status == OOL_OK)
        status = read_workload(cfg, batch, mc, err);
    if (status != OOL_OK)
        return status;
    mc->job.name = "model";
    mc->c.allocator = (struct ool_allocator_choice){
        .kind = "torch",
        .version = mc->version,
        .conf = json_is_true(json_object_get(cfg, "expandable")) ? "expandable_segments:True" : "",
        .fraction = 1};
    mc->c.jobs = &mc->job;
    mc->c.n_jobs = 1;
    return OOL_OK;
}

void ool_models_case_fini(struct ool_models_case *mc)
{
    ool_scenario_memory_close(mc->memory);
    memset(mc, 0, sizeof(*mc));
}
