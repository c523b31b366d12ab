#include "ool_workload.h"

#include "ool_hf.h"
#include "ool_loop.h"
#include "ool_mem.h"
#include "ool_module.h"

#include <math.h>
#include <string.h>

/* Every family that this build knows; a new one is one line here. */
static const struct ool_family_ops *const families[] = {
    &ool_gpt,           &ool_llama,        &ool_bert,       &ool_vit,    &ool_mlp,    &ool_hf_gpt,
    &ool_hf_llama,      &ool_hf_qwen2,     &ool_hf_bert,    &ool_hf_vit, &ool_hf_opt, &ool_hf_t5,
    &ool_hf_t5_encoder, &ool_hf_clip_text, &ool_hf_whisper, &ool_resnet};

static const char *const family_names[OOL_N_FAMILIES] = {
#define XX(name, text) text,
    OOL_FAMILY_MAP(XX)
#undef XX
};

const char *ool_family_name(enum ool_family family)
{
    return (unsigned)family < OOL_N_FAMILIES ? family_names[family] : "unknown";
}

bool ool_family_parse(const char *name, enum ool_family *family)
{
    for (int i = 0; i < OOL_N_FAMILIES; i++) {
        if (strcmp(name, family_names[i]) == 0) {
            *family = (enum ool_family)i;
            return true;
        }
    }
    return false;
}

void ool_model_init(struct ool_model *model)
{
    memset(model, 0, sizeof(*model));
    model->vocab = model->layers = model->hidden = model->heads = -1;
    model->kv_heads = model->head_dim = model->ffn = model->max_seq = -1;
    model->decoder_layers = -1;
    model->resolution = model->patch = model->channels = model->classes = model->inputs = -1;
    model->type_vocab = -1;
    model->dropout = model->attention_dropout = -1;
    model->tied = -1;
    model->window = -1;
}

void ool_workload_init(struct ool_workload *workload)
{
    memset(workload, 0, sizeof(*workload));
    ool_model_init(&workload->model);
    workload->batch = 1;
    workload->seq = 1024;
    workload->tgt_seq = -1;
    workload->steps = 3;
    workload->new_tokens = 8;
    workload->has_optimizer = true;
    workload->optimizer.kind = OOL_ADAMW;
    workload->optimizer.implementation = OOL_IMPL_DEFAULT;
    workload->optimizer.weight_decay = NAN;
    workload->accumulate = 1;
    workload->lora.dtype = -1;
    workload->frozen_blocks = OOL_FROZEN_NONE;
    workload->generate_mode = OOL_NO_GRAD;
}

static const struct ool_family_ops *family_find(const struct ool_model *model)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (families[i]->family == model->family && families[i]->formulation == model->formulation)
            return families[i];
    return NULL;
}

enum ool_status ool_model_check_head(const struct ool_model *model, struct ool_error *err)
{
    static const char *const names[] = {"default", "masked-lm", "classification", "none"};
    const struct ool_family_ops *ops = family_find(model);

    if (!ops)
        return OOL_OK;
    if (model->head != OOL_HEAD_DEFAULT && !(ops->heads >> model->head & 1))
        return ool_error_set(err, OOL_E_COMBINATION, "the family %s has no head \"%s\"",
                             ool_family_name(model->family), names[model->head]);
    if (model->classes >= 0 && model->head != OOL_HEAD_DEFAULT && model->head != OOL_HEAD_CLASSES)
        return ool_error_set(err, OOL_E_COMBINATION, "a head \"%s\" has no classes",
                             names[model->head]);
    if (model->classes >= 0 && !(ops->heads >> OOL_HEAD_CLASSES & 1))
        return ool_error_set(err, OOL_E_COMBINATION, "the family %s has no classes",
                             ool_family_name(model->family));
    return OOL_OK;
}

static enum ool_status net_init(struct ool_net *net, const struct ool_workload *workload,
                                struct ool_tape *tape, struct ool_error *err)
{
    memset(net, 0, sizeof(*net));
    net->tape = tape;
    net->workload = workload;
    net->model = workload->model;
    net->ops = family_find(&workload->model);
    if (!net->ops)
        return ool_error_set(err, OOL_E_UNSUPPORTED, "no %s formulation of the family %s",
                             workload->model.formulation == OOL_HF ? "transformers" : "plain",
                             ool_family_name(workload->model.family));
    if (ool_model_check_head(&workload->model, err) != OOL_OK)
        return OOL_E_COMBINATION;
    net->dtype = workload->precision == OOL_PURE_BF16   ? OOL_BF16
                 : workload->precision == OOL_PURE_FP16 ? OOL_F16
                                                        : OOL_F32;
    net->training = workload->task == OOL_TASK_TRAIN ||
                    (workload->task == OOL_TASK_INFER && workload->infer == OOL_INFER_GRAD_TRAIN);
    return OOL_OK;
}

enum ool_status ool_workload_check_core(const struct ool_workload *w, struct ool_error *err)
{
    if (w->model.formulation != OOL_PLAIN)
        return ool_error_set(err, OOL_E_UNSUPPORTED,
                             "transformers checkpoints whole blocks, not attention's core alone");
    if (w->model.family != OOL_FAMILY_GPT && w->model.family != OOL_FAMILY_LLAMA &&
        w->model.family != OOL_FAMILY_BERT && w->model.family != OOL_FAMILY_VIT)
        return ool_error_set(err, OOL_E_UNSUPPORTED, "the family %s has no attention to checkpoint",
                             ool_family_name(w->model.family));
    return OOL_OK;
}

/*
 * FLOPs of a token in a block's forward: two for each weight of its linears, q and output h^2 each,
 * k and v h * (kv heads) * d each, the MLP h * f in two matrices (three where it is gated). The core
 * is q @ k and weights @ v, each 2 * s * h; a mask saves none of it.
 */
static double core_share(const struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    double h = (double)m->hidden, kv = (double)m->kv_heads * (double)m->head_dim;
    double s = (double)(m->family == OOL_FAMILY_VIT ? m->max_seq : net->workload->seq);
    double matrices = m->family == OOL_FAMILY_LLAMA ? 3 : 2;
    double core = 4 * s * h;

    if (ool_workload_check_core(net->workload, NULL) != OOL_OK)
        return 0;
    return core / (2 * (2 * h * h + 2 * h * kv + matrices * h * (double)m->ffn) + core);
}

static void count(struct ool_net *net, struct ool_workload_facts *facts)
{
    size_t n;
    struct ool_tensor **params = ool_net_parameters(net, &n);

    memset(facts, 0, sizeof(*facts));
    facts->core_share = core_share(net);
    for (size_t i = 0; i < n; i++) {
        uint64_t elements = (uint64_t)ool_numel(params[i]);

        facts->params += elements;
        facts->trainable += ool_requires_grad(params[i]) ? elements : 0;
        facts->param_bytes += elements * ool_dtype_bytes(ool_dtype(params[i]));
    }
}

/* Builds the model with its adapters and frozen parts; @facts may be NULL. */
static enum ool_status net_build(struct ool_net *net, struct ool_workload_facts *facts,
                                 struct ool_error *err)
{
    enum ool_status status;

    net->ops->defaults(net, &net->model);
    status = ool_tape_status(net->tape, err);
    if (status != OOL_OK)
        return status;
    net->root = ool_module_add(net, NULL, NULL, -1);
    if (net->root)
        net->ops->build(net);
    if (ool_tape_status(net->tape, err) == OOL_OK)
        ool_net_adapt(net);
    if (ool_tape_status(net->tape, err) == OOL_OK)
        ool_net_freeze(net);
    status = ool_tape_status(net->tape, err);
    if (status == OOL_OK && facts)
        count(net, facts);
    return ool_tape_status(net->tape, err);
}

static enum ool_status check(const struct ool_workload *w, struct ool_error *err)
{
    if (w->batch < 1 || w->steps < 0 || w->accumulate < 1 || w->new_tokens < 0 || w->seq < 0)
        return ool_error_set(err, OOL_E_RANGE,
                             "batch, steps, sequence and micro-batches must be positive");
    if (w->batch < w->accumulate)
        return ool_error_set(err, OOL_E_COMBINATION,
                             "%lld micro-batches of a batch of %lld: each needs one sample",
                             (long long)w->accumulate, (long long)w->batch);
    if (w->cpu_offload && (w->task == OOL_TASK_TRAIN || w->infer == OOL_INFER_GRAD ||
                           w->infer == OOL_INFER_GRAD_TRAIN))
        return ool_error_set(err, OOL_E_COMBINATION,
                             "weights that wait on the host cannot get gradients on the device");
    if (w->checkpoint_core && ool_workload_check_core(w, err) != OOL_OK)
        return OOL_E_UNSUPPORTED;
    if (w->task == OOL_TASK_TRAIN && w->has_optimizer && w->optimizer_in_backward &&
        w->clip != OOL_CLIP_NONE)
        return ool_error_set(err, OOL_E_COMBINATION,
                             "an optimizer that steps in backward leaves no gradients to clip");
    return OOL_OK;
}

/* --- a process ---------------------------------------------------------------------------------- */

/* A model lives until the process ends: what is alive on the tape may point into it. */
struct loaded {
    struct loaded *next;
    struct ool_net net;
};
struct ool_session {
    struct ool_tape *tape;
    struct loaded *models;
};

struct ool_session *ool_session_open(const struct ool_tape_config *tape,
                                     struct ool_program *program, struct ool_error *err)
{
    struct ool_session *session = ool_calloc(1, sizeof(*session));

    if (!session) {
        ool_error_set(err, OOL_E_HOST_OOM, "no memory for a process");
        return NULL;
    }
    session->tape = ool_tape_open(tape, program, err);
    if (session->tape)
        return session;
    ool_free(session);
    return NULL;
}

void ool_session_close(struct ool_session *session)
{
    if (!session)
        return;
    ool_tape_end(session->tape);
    for (struct loaded *model = session->models; model; model = model->next)
        ool_loop_close(&model->net);
    ool_tape_close(session->tape);
    while (session->models) {
        struct loaded *model = session->models;

        session->models = model->next;
        ool_net_fini(&model->net);
        ool_free(model);
    }
    ool_free(session);
}

static enum ool_status net_run(struct ool_net *net, struct ool_workload_facts *facts,
                               struct ool_error *err)
{
    uint64_t moved = ool_tape_moved(net->tape);

    if (net->workload->cpu_offload)
        ool_net_offload(net);
    if (net->workload->task == OOL_TASK_GENERATE)
        ool_loop_generate(net);
    else
        ool_loop_train(net);
    if (facts)
        facts->moved_bytes = ool_tape_moved(net->tape) - moved;
    return ool_tape_status(net->tape, err);
}

enum ool_status ool_session_lower(struct ool_session *session, const struct ool_workload *workload,
                                  struct ool_workload_facts *facts, struct ool_error *err)
{
    struct loaded *model;
    enum ool_status status = check(workload, err);

    if (status == OOL_OK)
        status = ool_tape_status(session->tape, err);
    if (status != OOL_OK)
        return status;
    model = ool_calloc(1, sizeof(*model));
    if (!model)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a model");
    model->next = session->models;
    session->models = model;
    status = net_init(&model->net, workload, session->tape, err);
    if (status == OOL_OK && !model->net.ops->forward)
        status = ool_error_set(err, OOL_E_UNSUPPORTED,
                               "%s is a convolution network, and those are counted, not run",
                               ool_family_name(workload->model.family));
    if (status == OOL_OK)
        status = net_build(&model->net, facts, err);
    if (status == OOL_OK)
        status = net_run(&model->net, facts, err);
    return status;
}

enum ool_status ool_workload_lower(const struct ool_workload *workload,
                                   const struct ool_tape_config *tape, struct ool_program *program,
                                   struct ool_workload_facts *facts, struct ool_error *err)
{
    struct ool_error none = {.status = OOL_OK};
    struct ool_session *session = ool_session_open(tape, program, err ? err : &none);
    enum ool_status status;

    if (!session)
        return err ? err->status : none.status;
    status = ool_session_lower(session, workload, facts, err);
    ool_session_close(session);
    return status;
}

enum ool_status ool_workload_count(const struct ool_workload *workload,
                                   struct ool_workload_facts *facts, struct ool_error *err)
{
    struct ool_tape_config config = {0};
    struct ool_program program;
    struct ool_net net = {0};
    struct ool_tape *t;
    enum ool_status status;

    ool_program_init(&program);
    t = ool_tape_open(&config, &program, err);
    status = t ? net_init(&net, workload, t, err) : OOL_E_HOST_OOM;
    net.counting = true;
    if (status == OOL_OK)
        status = net_build(&net, facts, err);
    ool_tape_close(t);
    ool_net_fini(&net);
    ool_program_fini(&program);
    return status;
}
