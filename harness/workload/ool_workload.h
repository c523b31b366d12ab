/*
 * ool_workload.h - one workload of one process, as data, and its lowering to a program.
 *
 * This is what a scenario's "workload" object, a row's cfg of data/truth/models and every mitigation
 * mean. A mitigation is a function that changes these fields; nothing else.
 */
#ifndef OOL_WORKLOAD_H
#define OOL_WORKLOAD_H

#include "ool_error.h"
#include "ool_program.h"
#include "ool_tape.h"

#include <stdbool.h>
#include <stdint.h>

#define OOL_FAMILY_MAP(XX)       \
    XX(GPT, "gpt")               \
    XX(LLAMA, "llama")           \
    XX(BERT, "bert")             \
    XX(VIT, "vit")               \
    XX(MLP, "mlp")               \
    XX(OPT, "opt")               \
    XX(T5, "t5")                 \
    XX(QWEN2, "qwen2")           \
    XX(T5_ENCODER, "t5-encoder") \
    XX(CLIP_TEXT, "clip-text")   \
    XX(WHISPER, "whisper")       \
    XX(RESNET, "resnet")
enum ool_family {
#define XX(name, text) OOL_FAMILY_##name,
    OOL_FAMILY_MAP(XX)
#undef XX
        OOL_N_FAMILIES
};
const char *ool_family_name(enum ool_family family);
bool ool_family_parse(const char *name, enum ool_family *family);

/* Who wrote the model: the plain modules, or Hugging Face transformers (which release). */
enum ool_formulation { OOL_PLAIN, OOL_HF };

enum ool_attention { OOL_ATTENTION_SDPA, OOL_ATTENTION_EAGER };

/* What stands on the trunk. The default is the family's; BERT's of transformers is what the workload
 * needs: classes where they are given, masked words to train, none to infer. */
enum ool_head { OOL_HEAD_DEFAULT, OOL_HEAD_MASKED_LM, OOL_HEAD_CLASSES, OOL_HEAD_NONE };

/* Dimensions; -1 = the family's own default. Names follow the plain modules; HF keys are mapped by the reader. */
struct ool_model {
    enum ool_family family;
    enum ool_formulation formulation;
    int transformers; /* release of transformers, major * 100 + minor, 523 = 5.23; 0 = default (523) */
    int64_t vocab, layers, hidden, heads, kv_heads, head_dim, ffn, max_seq;
    int64_t decoder_layers;                               /* T5, Whisper; -1 = layers */
    int64_t resolution, patch, channels, classes, inputs; /* vision, MLP */
    int64_t type_vocab;                                   /* BERT */
    enum ool_head head;
    double dropout;           /* -1 = the family's default */
    double attention_dropout; /* -1 = dropout's */
    enum ool_attention attention;
    enum { OOL_GELU_KIND_DEFAULT, OOL_GELU_KIND_ERF, OOL_GELU_KIND_TANH, OOL_GELU_KIND_NEW } gelu;
    enum { OOL_NORM_ELEMENTARY, OOL_NORM_FUSED } norm; /* RMSNorm of the plain Llama */
    enum { OOL_GQA_REPEAT, OOL_GQA_NATIVE } gqa;
    int tied;       /* -1 = the family's default, 0, 1 */
    bool inplace;   /* MLP's ReLU */
    int64_t window; /* sliding window; -1 = none */
    /* hf alone; 0 is the default */
    int64_t embedding; /* OPT's word_embed_proj_dim, CLIP's projection_dim; 0 = hidden, none */
    bool post_norm;    /* OPT's do_layer_norm_before = false */
    int64_t relative_buckets; /* T5's relative_attention_num_buckets; 0 = 32 */
    bool gated;               /* T5's feed_forward_proj = "gated-gelu" */
};
void ool_model_init(struct ool_model *model); /* every field at its default */
/* OOL_E_COMBINATION where the family has no such head, or no classes and they are given. */
enum ool_status ool_model_check_head(const struct ool_model *model, struct ool_error *err);

enum ool_task { OOL_TASK_TRAIN, OOL_TASK_INFER, OOL_TASK_GENERATE };
/* Of inference: torch.no_grad, torch.inference_mode, eval() with the graph kept, train() without backward. */
enum ool_infer_mode {
    OOL_INFER_NO_GRAD,
    OOL_INFER_INFERENCE_MODE,
    OOL_INFER_GRAD,
    OOL_INFER_GRAD_TRAIN
};
enum ool_precision { OOL_FP32, OOL_PURE_BF16, OOL_PURE_FP16, OOL_AMP_BF16, OOL_AMP_FP16 };
enum ool_cache { OOL_CACHE_DYNAMIC, OOL_CACHE_STATIC, OOL_CACHE_NONE };
enum ool_clip { OOL_CLIP_NONE, OOL_CLIP_FOREACH, OOL_CLIP_LOOP };
enum ool_leak {
    OOL_LEAK_NONE,
    OOL_LEAK_APPEND_LOSS, /* losses.append(loss) after backward */
    OOL_LEAK_APPEND_LOSS_NO_BACKWARD,
    OOL_LEAK_TOTAL_LOSS, /* total += loss */
    OOL_LEAK_TOTAL_LOSS_NO_BACKWARD,
    OOL_LEAK_APPEND_OUTPUTS,
    OOL_LEAK_APPEND_OUTPUTS_DETACH,
    OOL_LEAK_RETAIN_GRAPH,
    OOL_LEAK_RETAIN_GRAPH_APPEND,
    OOL_LEAK_HOOKS_STORE,
    OOL_LEAK_HOOKS_STORE_DETACH
};

struct ool_lora {
    int64_t rank; /* 0 = no adapter */
    const char *const *
        targets; /* attribute names of linears, NULL-terminated, borrowed; NULL = the default set */
    double dropout;
    int dtype; /* enum ool_dtype, -1 = the base's */
};

struct ool_workload {
    struct ool_model model;
    enum ool_task task;
    enum ool_infer_mode infer;
    enum ool_precision precision;
    int64_t batch;        /* global, before division into micro-batches */
    int64_t seq, tgt_seq; /* tokens; tgt_seq -1 = seq */
    int64_t new_tokens;   /* generate */
    int64_t steps;
    bool has_optimizer;
    struct ool_optimizer_config optimizer;

    /* switches; the words of data/truth/models/README.md */
    enum ool_checkpoint checkpoint;
    bool checkpoint_core; /* plain: of a block only what leads from q, k, v to attention's output */
    int64_t checkpoint_every; /* every k-th block is a checkpoint; 0 or 1 = every one */
    int64_t accumulate;       /* micro-batches a step; 1 = none */
    enum ool_sdpa_backend sdpa;
    bool keep_gradients; /* zero_grad(set_to_none=False) */
    bool no_zero_grad;
    bool del_logits, del_outputs, del_before_forward;
    int64_t chunked_loss; /* slices; 0 = whole */
    bool chunk_no_checkpoint;
    struct ool_lora lora;
    int64_t
        frozen_blocks; /* embeddings and the first n blocks; -1 = none, OOL_FROZEN_TRUNK, OOL_FROZEN_ALL */
    bool save_on_cpu, cpu_offload, optimizer_in_backward;
    enum ool_clip clip;
    bool empty_cache; /* after forward, backward and zero_grad, with marks of their own */
    bool no_autocast_cache;
    bool collect_garbage; /* del + gc.collect() between steps: no effect where nothing is cyclic */
    enum ool_leak leak;
    enum ool_cache cache;
    enum ool_grad_mode generate_mode; /* no_grad is the default of generation */
    bool all_logits; /* hf generation: logits of every position, not only the last */
    bool use_cache;  /* hf training/inference: the model also returns its cache */
    bool unload;     /* at the end the model, its optimizer and all else are dropped */
};
#define OOL_FROZEN_NONE (-1)
#define OOL_FROZEN_TRUNK (-2) /* only the head trains */
#define OOL_FROZEN_ALL (-3)

void ool_workload_init(
    struct ool_workload *workload); /* a GPT training step with every switch off */

/* OOL_E_UNSUPPORTED where the model has no core of attention that can be a checkpoint by itself. */
enum ool_status ool_workload_check_core(const struct ool_workload *workload, struct ool_error *err);

/* What lowering learned besides the program. */
struct ool_workload_facts {
    uint64_t params, trainable; /* elements, tied ones once */
    uint64_t param_bytes;
    double core_share; /* attention's core in the FLOPs of a block's forward; 0 = has none */
    uint64_t
        moved_bytes; /* between the host and the card, the whole run; 0 from ool_workload_count() */
};

/**
 * ool_workload_lower - write the workload's operations into @program
 *
 * @tape: which PyTorch, which card, process and device
 * @facts: may be NULL
 * Errors: OOL_E_COMBINATION, OOL_E_UNSUPPORTED (a family or switch that cannot be expressed, with the
 *         reason), OOL_E_HOST_OOM. On error the program holds a prefix and must be thrown away.
 */
enum ool_status ool_workload_lower(const struct ool_workload *workload,
                                   const struct ool_tape_config *tape, struct ool_program *program,
                                   struct ool_workload_facts *facts, struct ool_error *err);

/**
 * ool_session_open - a process that lowers one workload after the other into @program
 *
 * The workspaces of the libraries live on from one to the next, and so does what a workload holds unless it
 * says `unload`. Each workload must outlive the session. NULL on error.
 * ool_session_lower() has the errors of ool_workload_lower(), which is a session with one workload.
 */
struct ool_session;
struct ool_session *ool_session_open(const struct ool_tape_config *tape,
                                     struct ool_program *program, struct ool_error *err);
enum ool_status ool_session_lower(struct ool_session *session, const struct ool_workload *workload,
                                  struct ool_workload_facts *facts, struct ool_error *err);
void ool_session_close(struct ool_session *session); /* NULL is fine */

/* The model's parameter count alone, without lowering a step. */
enum ool_status ool_workload_count(const struct ool_workload *workload,
                                   struct ool_workload_facts *facts, struct ool_error *err);

#endif
