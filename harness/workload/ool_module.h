/*
 * ool_module.h - the modules of one model: a tree of parameters, and how a family builds and runs
 * it.
 *
 * A family is 100 to 200 lines: build() adds modules in the order of the constructors, forward()
 * is the model's forward pass as tape calls. What every family needs alike stands here: parameters
 * with their names, LoRA, frozen parts, checkpointed blocks, weights that wait on the host,
 * key/value caches. ool_workload.c holds the table of families; the loop around the model is
 * ool_train.c and ool_generate.c.
 *
 * Memory of modules and parameters comes from the net and lives as long as it. When memory is
 * short, the tape fails and these functions return NULL; every function accepts a NULL module that
 * such a failure left behind, but build() must not read through one. forward() runs only after a
 * build() without failure.
 */
#ifndef OOL_MODULE_H
#define OOL_MODULE_H

#include "ool_tape.h"
#include "ool_workload.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ool_net;
struct ool_loop;
struct ool_module;

#define OOL_MODULE_PARAMS 5 /* a batch norm's, buffers included */

/* For freezing; a module without a role has its parent's. A block's index is its number. */
enum ool_role { OOL_ROLE_NONE, OOL_ROLE_EMBEDDING, OOL_ROLE_BLOCK, OOL_ROLE_HEAD };

struct ool_param {
    const char *name; /* "weight"; borrowed, static */
    struct ool_tensor
        *tensor;             /* what forward uses; held. On the host while its block is offloaded */
    struct ool_tensor *host; /* with cpu_offload during a call: the tensor that waits on the host */
    enum ool_dtype dtype;
    bool buffer;        /* not a parameter: register_buffer() */
    bool visited;       /* scratch of walks that must see a tied one once */
    enum ool_role role; /* NONE = its module's; a class token of the model has its own */
    int n_dims;
    int64_t shape[4];
};

enum ool_module_kind {
    OOL_MODULE_CONTAINER,
    OOL_MODULE_LINEAR,
    OOL_MODULE_LAYER_NORM,
    OOL_MODULE_EMBEDDING
};
/* inputs[0] is the hidden state; the others are what every block also gets (cos, sin, mask), NULL
 * allowed. */
typedef struct ool_tensor *ool_block_forward(struct ool_net *net, struct ool_module *block,
                                             struct ool_tensor *const *inputs, int n);
/* From q, k, v (inputs 0 to 2; 3 = mask, NULL allowed) to attention's output (floating). *weights is
 * the variable of the function whose lines these are. */
typedef struct ool_tensor *ool_attention_core(struct ool_net *net, const struct ool_module *block,
                                              struct ool_tensor *const *inputs,
                                              struct ool_tensor **weights);
struct ool_module {
    struct ool_net *net;
    struct ool_module *parent, *first_child, *last_child, *next;
    const char *name; /* attribute, "qkv"; borrowed, static */
    int64_t index;    /* in a list of modules; -1 = in none */
    enum ool_module_kind kind;
    enum ool_role role;
    struct ool_param
        *params[OOL_MODULE_PARAMS]; /* own ones, buffers too, in order of registration */
    int n_params;
    int64_t in, out;                    /* of a linear */
    struct ool_module *lora_a, *lora_b; /* children of an adapted linear; NULL = none */
    ool_block_forward *forward;         /* of a block, set by ool_run_block() */
    ool_attention_core *core;           /* of a block, set by ool_run_core() */
    unsigned present;                   /* the same: bit i = input i is given, is not NULL */
    int keywords; /* of a block: so many last inputs are keyword arguments, which a checkpoint keeps
                     with the function */
    void *state;  /* the family's own struct, from ool_net_alloc() */
};

/* A key/value cache; what k[i], v[i] hold is up to update(). */
struct ool_kv {
    enum ool_cache kind;
    int64_t n_layers, batch, kv_heads, head_dim, max; /* max: tokens, for a static one */
    int64_t position;                                 /* tokens in it, kept by a static one */
    struct ool_tensor **k, **v;                       /* per layer, held; NULL = nothing yet */
    struct ool_tensor **length; /* hf, static: per layer, tokens in it, on the device; held */
};

/* What one call of the model gets. */
struct ool_call {
    struct ool_tensor *x,
        *y;    /* ids, images or features; targets (T5: also decoder ids); held by the caller */
    bool loss; /* targets are given: compute the loss */
    struct ool_kv *cache; /* NULL = none */
    int64_t start;        /* position of the first token */
    bool use_cache;       /* hf: also return a cache made by this call */
    int64_t last_logits;  /* hf: logits_to_keep; 0 = all */
};

/* What the loop's variables hold afterwards: `kept` is what the variable `logits` (hf: `o`) keeps
 * alive, in the order in which it lets go. All held. */
struct ool_output {
    struct ool_tensor *loss;   /* the variable `loss`; NULL = none */
    struct ool_tensor *logits; /* borrowed from kept */
    struct ool_tensor **kept;
    size_t n_kept, kept_capacity;
};
/* Adds to kept; takes over a floating tensor or shares a held one. */
void ool_output_keep(struct ool_net *net, struct ool_output *out, struct ool_tensor *x);

struct ool_family_ops {
    enum ool_family family;
    enum ool_formulation formulation;
    unsigned heads; /* 1u << OOL_HEAD_X of each that may be named; with CLASSES they may be given */
    /* Fills dimensions that are -1 with the family's defaults and refuses impossible ones with
     * ool_fail(). */
    void (*defaults)(struct ool_net *net, struct ool_model *model);
    void (*build)(struct ool_net *net);
    /* x and y of one micro-batch, held by the caller (category input). */
    void (*inputs)(struct ool_net *net, int64_t batch, struct ool_tensor **x,
                   struct ool_tensor **y);
    /* The whole call: fills out (logits, loss if asked). NULL = the family is counted, not run. */
    void (*forward)(struct ool_net *net, const struct ool_call *call, struct ool_output *out);
    /* For a chunked loss: everything before the head, and the head alone (floating results). NULL =
     * cannot. */
    struct ool_tensor *(*trunk)(struct ool_net *net, const struct ool_call *call);
    struct ool_tensor *(*head)(struct ool_net *net, struct ool_tensor *hidden);
    /* Makes the cache's tensors where it has them from the start; NULL = cannot generate. */
    void (*cache_open)(struct ool_net *net, struct ool_kv *cache);
};

/* Called after a block's forward with its output (a forward hook). */
typedef void ool_block_hook(struct ool_net *net, struct ool_tensor *output, void *state);

struct ool_net {
    struct ool_tape *tape;
    const struct ool_workload *workload;
    struct ool_model model; /* with every default filled in */
    const struct ool_family_ops *ops;
    enum ool_dtype dtype; /* of the parameters */
    bool training;        /* module.train() */
    bool counting;        /* parameters are counted, nothing will run */
    bool deferred;        /* ool_param_add() allocates nothing: ool_net_materialize() does later */
    struct ool_module *root;
    const struct ool_call *call; /* of the forward that runs now */
    ool_block_hook *hook;
    void *hook_state;
    const struct ool_module
        *offloaded;        /* the module whose weights are on the device only for its call */
    struct ool_loop *loop; /* of training, with what lives on after it; NULL = none */
    struct ool_net_chunk *memory;
};

/* Frees the net's memory; its tensors belong to the tape. */
void ool_net_fini(struct ool_net *net);

/* Zeroed memory that lives as long as the net. */
void *ool_net_alloc(struct ool_net *net, size_t count, size_t size);
/* Allocates what was added with `deferred` set: a module's children first, then its own parameters,
 * then its buffers. */
void ool_net_materialize(struct ool_net *net, struct ool_module *module);
/* del model: own parameters and buffers before the children's. */
void ool_net_drop(struct ool_net *net, struct ool_module *module);
/* Parameters without buffers in the order of model.parameters(): own ones before the children's,
 * tied ones once. The array is the net's. */
struct ool_tensor **ool_net_parameters(struct ool_net *net, size_t *n);

/* --- building --- */

struct ool_module *ool_module_add(struct ool_net *net, struct ool_module *parent, const char *name,
                                  int64_t index);
struct ool_module *ool_linear_add(struct ool_net *net, struct ool_module *parent, const char *name,
                                  int64_t in, int64_t out, bool bias);
struct ool_module *ool_layer_norm_add(struct ool_net *net, struct ool_module *parent,
                                      const char *name, int64_t size);
struct ool_module *ool_embedding_add(struct ool_net *net, struct ool_module *parent,
                                     const char *name, int64_t rows, int64_t size);
struct ool_param *ool_param_add(struct ool_net *net, struct ool_module *module, const char *name,
                                int n_dims, const int64_t *shape);
struct ool_param *ool_buffer_add(struct ool_net *net, struct ool_module *module, const char *name,
                                 enum ool_dtype dtype, int n_dims, const int64_t *shape);
/* module.weight = other.weight: the module's own weight is freed (both are params[0]). */
void ool_module_tie(struct ool_net *net, struct ool_module *module, struct ool_module *other);

/* --- running --- */

/* Around a module's forward: its path; with cpu_offload the weights of a block (or of another child
 * of the model) come to the device and go again; the hook of a block. leave() hands @result
 * through. */
void ool_module_enter(struct ool_net *net, struct ool_module *module);
struct ool_tensor *ool_module_leave(struct ool_net *net, struct ool_module *module,
                                    struct ool_tensor *result);

struct ool_tensor *ool_linear_call(struct ool_net *net, struct ool_module *linear,
                                   struct ool_tensor *x);
struct ool_tensor *ool_layer_norm_call(struct ool_net *net, struct ool_module *norm,
                                       struct ool_tensor *x);
struct ool_tensor *ool_embedding_call(struct ool_net *net, struct ool_module *embedding,
                                      struct ool_tensor *ids);
/* cross_entropy(logits.view(-1, n), targets.view(-1)); its memory's origin is "loss". */
struct ool_tensor *ool_loss_call(struct ool_net *net, struct ool_tensor *logits,
                                 struct ool_tensor *targets);
/* nn.Dropout in the net's training mode. */
struct ool_tensor *ool_dropout_call(struct ool_net *net, struct ool_tensor *x, double p);

/* x = block(x, ...) over the blocks, each a checkpoint where the workload says so. @x may be
 * floating: it is this function's local variable, as in `x = run(blocks, f(x))`. Returns the last x
 * (floating). */
struct ool_tensor *ool_run_blocks(struct ool_net *net, struct ool_module *const *blocks,
                                  int64_t n_blocks, ool_block_forward *forward,
                                  struct ool_tensor *x, struct ool_tensor *const *others,
                                  int n_others);
/* One block alone, checkpointed or not; for families whose own loop does more between blocks. */
struct ool_tensor *ool_run_block(struct ool_net *net, struct ool_module *block,
                                 ool_block_forward *forward, struct ool_tensor *const *inputs,
                                 int n);

/* A block's attention from q, k, v on: a checkpoint where the workload says so. */
struct ool_tensor *ool_run_core(struct ool_net *net, struct ool_module *block,
                                ool_attention_core *core, struct ool_tensor *const *inputs,
                                struct ool_tensor **weights);

/* --- inputs --- */

/* variable = torch.empty(shape), of the category input. */
void ool_input(struct ool_net *net, struct ool_tensor **variable, enum ool_dtype dtype, int n_dims,
               const int64_t *shape);
void ool_token_inputs(struct ool_net *net, int64_t batch, struct ool_tensor **x,
                      struct ool_tensor **y);
void ool_image_inputs(struct ool_net *net, int64_t batch, struct ool_tensor **x,
                      struct ool_tensor **y);
void ool_vector_inputs(struct ool_net *net, int64_t batch, struct ool_tensor **x,
                       struct ool_tensor **y);

/* The families of this folder; ool_workload.c has the table. */
extern const struct ool_family_ops ool_gpt, ool_llama, ool_bert, ool_vit, ool_mlp, ool_resnet;

#endif
