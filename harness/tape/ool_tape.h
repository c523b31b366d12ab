/*
 * ool_tape.h - a small eager autograd that emits a program instead of computing.
 *
 * The calls look like PyTorch's and behave like its eager mode in the order and the size of every
 * allocation and free: what each operator allocates, what autograd keeps for backward, in which order
 * backward allocates and frees, when a tensor dies. Nothing is computed.
 *
 * Lifetimes follow Python's. A call returns a *floating* reference: a temporary of an expression. A
 * call that gets a floating tensor drops it when it returns, as Python drops the temporaries of
 * f(g(x)) after f. What a local variable would hold is held with ool_set() or ool_hold():
 *
 *     struct ool_tensor *y = NULL;
 *     ool_set(t, &y, ool_gelu(t, ool_linear(t, x, w, b), OOL_GELU_TANH));  // y = gelu(linear(x))
 *     ool_set(t, &y, ool_add(t, x, y));                                    // y = x + y
 *     ool_del(t, &y);                                                      // del y
 *
 * C does not say in which order the arguments of a call are made: let at most one of them be a call.
 *
 * A function of ours that takes tensors as a Python function would (a module's forward) keeps them
 * for its whole call: ool_enter() at its start, ool_leave() at its end, which drops floating ones.
 *
 * Errors are sticky: after the first failure (host memory, shapes that do not match, an unsupported
 * request) every call does nothing and returns NULL; ool_tape_status() tells. So a model is written
 * without a test after each line. Passing NULL for an optional tensor (a bias) is always legal.
 */
#ifndef OOL_TAPE_H
#define OOL_TAPE_H

#include "ool_error.h"
#include "ool_program.h"

#include <stdbool.h>
#include <stdint.h>

struct ool_tape;
struct ool_tensor;

/* Releases of PyTorch whose eager behaviour is known, as major * 100 + minor. */
enum ool_torch {
    OOL_TORCH_2_2 = 202,
    OOL_TORCH_2_4 = 204,
    OOL_TORCH_2_6 = 206,
    OOL_TORCH_2_8 = 208,
    OOL_TORCH_2_11 = 211,
    OOL_TORCH_2_13 = 213,
    OOL_TORCH_2_15 = 215
};

/* What the eager mode asks of the card and of the environment. */
struct ool_tape_config {
    enum ool_torch torch;           /* 0 = OOL_TORCH_2_11 */
    int capability;                 /* 80, 89, 90; 0 = 80 */
    int multiprocessors;            /* 0 = 108 */
    int threads_per_multiprocessor; /* 0 = 2048 */
    const char *cublas_workspace;   /* CUBLAS_WORKSPACE_CONFIG; NULL = unset */
    const char *cublaslt_workspace; /* CUBLASLT_WORKSPACE_SIZE in KiB; NULL = unset */
    const char *cublaslt_unified;   /* TORCH_CUBLASLT_UNIFIED_WORKSPACE; NULL = unset */
    uint64_t
        convolution_workspace; /* bytes each convolution call asks for; a profile's fact, default 0 */
    uint16_t process;          /* of every operation that is emitted */
    uint8_t device;
    bool kernels; /* also emit kernel operations with operands (for replay that computes) */
};

/**
 * ool_tape_open - a tape that appends to @program
 *
 * @program: borrowed; must outlive the tape. What the tape emits carries config->process, ->device.
 */
struct ool_tape *ool_tape_open(const struct ool_tape_config *config, struct ool_program *program,
                               struct ool_error *err);
/* Drops what is left without emitting frees (the process ends). NULL is fine. */
void ool_tape_close(struct ool_tape *t);
/* The process ends: from here on nothing is emitted; what is closed only gives host memory back. */
void ool_tape_end(struct ool_tape *t);
enum ool_status ool_tape_status(const struct ool_tape *t, struct ool_error *err);
/* Bytes copied between the host and the card so far. */
uint64_t ool_tape_moved(const struct ool_tape *t);
/* Makes the tape fail with this error (first one wins). Returns NULL for `return ool_fail(...)`. */
struct ool_tensor *ool_fail(struct ool_tape *t, enum ool_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- where the next allocations belong ---------------------------------------------------------- */

/* Module path: pushed names are joined with "/"; a storage's origin is the path when it was made. In
 * backward the path of the node's forward is used. */
void ool_push(struct ool_tape *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ool_pop(struct ool_tape *t);
/* End of a phase: emits a mark ("s1.forward"). */
void ool_phase(struct ool_tape *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Category of what is allocated from now on outside backward (default activation). Returns the old. */
enum ool_category ool_categorize(struct ool_tape *t, enum ool_category category);
/* Current stream (torch.cuda.stream). Returns the old. */
uint32_t ool_stream(struct ool_tape *t, uint32_t stream);
void ool_tape_empty_cache(struct ool_tape *t);

/* --- modes -------------------------------------------------------------------------------------- */

enum ool_grad_mode { OOL_GRAD, OOL_NO_GRAD, OOL_INFERENCE };
enum ool_grad_mode ool_set_grad_mode(struct ool_tape *t,
                                     enum ool_grad_mode mode); /* returns the old */
enum ool_grad_mode ool_grad_mode(const struct ool_tape *t);

/* torch.autocast("cuda", dtype, cache_enabled): nests; leaving the outermost frees the cached casts. */
void ool_autocast_enter(struct ool_tape *t, enum ool_dtype dtype, bool cache);
void ool_autocast_leave(struct ool_tape *t);

/* Forces a backend of scaled_dot_product_attention; AUTO = PyTorch's own choice. Returns the old. */
enum ool_sdpa_backend { OOL_SDPA_AUTO, OOL_SDPA_FLASH, OOL_SDPA_EFFICIENT, OOL_SDPA_MATH };
enum ool_sdpa_backend ool_set_sdpa(struct ool_tape *t, enum ool_sdpa_backend backend);

/* torch.autograd.graph.save_on_cpu(): saved tensors go to the host and come back in backward. */
void ool_save_on_cpu(struct ool_tape *t, bool on);
/* torch.backends.cudnn.enabled */
void ool_set_cudnn(struct ool_tape *t, bool on);

/* --- references --------------------------------------------------------------------------------- */

struct ool_tensor *ool_hold(struct ool_tape *t, struct ool_tensor *x); /* a reference of your own */
void ool_drop(struct ool_tape *t, struct ool_tensor *x); /* give it back; NULL is fine */
/* variable = value: takes over a floating value (or shares a held one), then drops the old content. */
void ool_set(struct ool_tape *t, struct ool_tensor **variable, struct ool_tensor *value);
void ool_del(struct ool_tape *t, struct ool_tensor **variable); /* drops and sets to NULL */
void ool_enter(struct ool_tape *t, struct ool_tensor *x); /* a call's argument: keep for the call */
void ool_leave(struct ool_tape *t, struct ool_tensor *x); /* end of the call; a floating one dies */
/* A held local that becomes a call's result: makes it floating without dropping. Sets *variable NULL. */
struct ool_tensor *ool_return(struct ool_tape *t, struct ool_tensor **variable);

/* --- facts about a tensor ------------------------------------------------------------------------ */

int ool_dims(const struct ool_tensor *x);
int64_t ool_size(const struct ool_tensor *x, int dim); /* negative counts from the end */
int64_t ool_stride(const struct ool_tensor *x, int dim);
int64_t ool_numel(const struct ool_tensor *x);
enum ool_dtype ool_dtype(const struct ool_tensor *x);
bool ool_requires_grad(const struct ool_tensor *x);
bool ool_is_contiguous(const struct ool_tensor *x);
bool ool_on_device(const struct ool_tensor *x);
uint32_t
ool_storage_id(const struct ool_tensor *x); /* in the program; OOL_NONE for host meta data */
struct ool_tensor *ool_grad(const struct ool_tensor *x); /* .grad, borrowed; NULL = none */
void ool_set_grad(struct ool_tape *t, struct ool_tensor *x,
                  struct ool_tensor *grad);           /* x.grad = grad */
void ool_require_grad(struct ool_tensor *x, bool on); /* requires_grad_() of a leaf */
bool ool_is_leaf(const struct ool_tensor *x);

/* --- making tensors (shape: n_dims sizes) --------------------------------------------------------- */

#define OOL_SHAPE(...)                                                           \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) \
    {                                                                            \
        __VA_ARGS__                                                              \
    }

struct ool_tensor *ool_empty(struct ool_tape *t, enum ool_dtype dtype, int n_dims,
                             const int64_t *shape);
struct ool_tensor *ool_empty_strided(struct ool_tape *t, enum ool_dtype dtype, int n_dims,
                                     const int64_t *shape, const int64_t *strides);
struct ool_tensor *ool_empty_on_host(struct ool_tape *t, enum ool_dtype dtype, int n_dims,
                                     const int64_t *shape);
struct ool_tensor *ool_empty_like(struct ool_tape *t, struct ool_tensor *x);
struct ool_tensor *ool_zeros(struct ool_tape *t, enum ool_dtype dtype, int n_dims,
                             const int64_t *shape);
struct ool_tensor *ool_zeros_like(struct ool_tape *t, struct ool_tensor *x);
struct ool_tensor *ool_ones(struct ool_tape *t, enum ool_dtype dtype, int n_dims,
                            const int64_t *shape);
struct ool_tensor *ool_full(struct ool_tape *t, enum ool_dtype dtype, double value, int n_dims,
                            const int64_t *shape);
struct ool_tensor *ool_arange(struct ool_tape *t, int64_t end); /* int64 */
/* A leaf that requires grad, category parameter; held by the caller (not floating). */
struct ool_tensor *ool_parameter(struct ool_tape *t, const char *name, enum ool_dtype dtype,
                                 int n_dims, const int64_t *shape);
/* A leaf that does not, category buffer; held by the caller. */
struct ool_tensor *ool_buffer(struct ool_tape *t, const char *name, enum ool_dtype dtype,
                              int n_dims, const int64_t *shape);

/* --- views: no allocation ------------------------------------------------------------------------- */

struct ool_tensor *ool_view(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                            const int64_t *shape); /* -1 once */
struct ool_tensor *ool_reshape(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                               const int64_t *shape); /* copies if it must */
struct ool_tensor *ool_transpose(struct ool_tape *t, struct ool_tensor *x, int dim0, int dim1);
struct ool_tensor *ool_permute(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                               const int64_t *dims);
struct ool_tensor *ool_slice(struct ool_tape *t, struct ool_tensor *x, int dim, int64_t start,
                             int64_t end); /* end INT64_MAX = all */
struct ool_tensor *ool_select(struct ool_tape *t, struct ool_tensor *x, int dim, int64_t index);
struct ool_tensor *ool_unsqueeze(struct ool_tape *t, struct ool_tensor *x, int dim);
struct ool_tensor *ool_squeeze(struct ool_tape *t, struct ool_tensor *x, int dim);
struct ool_tensor *ool_expand(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                              const int64_t *shape); /* -1 keeps */
/* split: parts of `size` along dim; chunk: `n` parts. parts[] receives floating tensors; at most max. Returns how many. */
int ool_split(struct ool_tape *t, struct ool_tensor *x, int64_t size, int dim,
              struct ool_tensor **parts, int max);
int ool_chunk(struct ool_tape *t, struct ool_tensor *x, int n, int dim, struct ool_tensor **parts,
              int max);
struct ool_tensor *ool_detach(struct ool_tape *t, struct ool_tensor *x);

/* Subscript as in Python: x[a, b:c, None, ...]. Items in order. */
enum ool_index_kind {
    OOL_INDEX_ALL,
    OOL_INDEX_SLICE,
    OOL_INDEX_AT,
    OOL_INDEX_NEW,
    OOL_INDEX_REST,
    OOL_INDEX_TENSOR
};
struct ool_index {
    enum ool_index_kind kind;
    int64_t start, end; /* SLICE: [start, end), end INT64_MAX = all; AT: start */
    struct ool_tensor *tensor;
};
struct ool_tensor *ool_subscript(struct ool_tape *t, struct ool_tensor *x, int n,
                                 const struct ool_index *items);

/* --- copies and casts ------------------------------------------------------------------------------ */

struct ool_tensor *ool_contiguous(struct ool_tape *t, struct ool_tensor *x);
struct ool_tensor *ool_clone(struct ool_tape *t, struct ool_tensor *x);
struct ool_tensor *ool_to(struct ool_tape *t, struct ool_tensor *x,
                          enum ool_dtype dtype); /* x itself if equal */
struct ool_tensor *ool_to_host(struct ool_tape *t, struct ool_tensor *x);
struct ool_tensor *ool_to_device(struct ool_tape *t, struct ool_tensor *x);
void ool_copy_into(struct ool_tape *t, struct ool_tensor *target,
                   struct ool_tensor *source); /* target.copy_(source) */

/* --- elementwise ------------------------------------------------------------------------------------ */

enum ool_unary {
    OOL_NEG,
    OOL_ABS,
    OOL_EXP,
    OOL_SQRT,
    OOL_RSQRT,
    OOL_TANH,
    OOL_SIGMOID,
    OOL_RELU,
    OOL_SILU,
    OOL_GELU_ERF,
    OOL_GELU_TANH,
    OOL_LEAKY_RELU,
    OOL_ELU,
    OOL_SOFTPLUS,
    OOL_COS,
    OOL_SIN,
    OOL_LOG,
    OOL_MISH,
    OOL_HARDSWISH,
    OOL_HARDSIGMOID,
    OOL_RELU6,
    OOL_LOGICAL_NOT,
    OOL_SQUARE
};
struct ool_tensor *ool_unary(struct ool_tape *t, enum ool_unary op, struct ool_tensor *x);
struct ool_tensor *ool_unary_inplace(struct ool_tape *t, enum ool_unary op,
                                     struct ool_tensor *x); /* F.relu(x, inplace=True) */
enum ool_binary {
    OOL_ADD,
    OOL_SUB,
    OOL_MUL,
    OOL_DIV,
    OOL_POW,
    OOL_MAXIMUM,
    OOL_MINIMUM,
    OOL_EQ,
    OOL_NE,
    OOL_LT,
    OOL_LE,
    OOL_GT,
    OOL_GE,
    OOL_AND,
    OOL_OR
};
struct ool_tensor *ool_binary(struct ool_tape *t, enum ool_binary op, struct ool_tensor *x,
                              struct ool_tensor *y);
struct ool_tensor *ool_binary_scalar(struct ool_tape *t, enum ool_binary op, struct ool_tensor *x,
                                     double y);
struct ool_tensor *ool_scalar_binary(struct ool_tape *t, enum ool_binary op, double x,
                                     struct ool_tensor *y);
void ool_binary_inplace(struct ool_tape *t, enum ool_binary op, struct ool_tensor *x,
                        struct ool_tensor *y); /* x op= y */
static inline struct ool_tensor *ool_add(struct ool_tape *t, struct ool_tensor *x,
                                         struct ool_tensor *y)
{
    return ool_binary(t, OOL_ADD, x, y);
}
static inline struct ool_tensor *ool_mul(struct ool_tape *t, struct ool_tensor *x,
                                         struct ool_tensor *y)
{
    return ool_binary(t, OOL_MUL, x, y);
}
static inline struct ool_tensor *ool_scale(struct ool_tape *t, struct ool_tensor *x, double factor)
{
    return ool_binary_scalar(t, OOL_MUL, x, factor);
}
void ool_binary_scalar_inplace(struct ool_tape *t, enum ool_binary op, struct ool_tensor *x,
                               double y); /* x op= y */
struct ool_tensor *ool_masked_fill(struct ool_tape *t, struct ool_tensor *x,
                                   struct ool_tensor *mask, double value);
struct ool_tensor *ool_where(struct ool_tape *t, struct ool_tensor *mask, struct ool_tensor *x,
                             struct ool_tensor *y);
struct ool_tensor *ool_dropout(struct ool_tape *t, struct ool_tensor *x, double p, bool training);
struct ool_tensor *ool_tril(struct ool_tape *t, struct ool_tensor *x);
struct ool_tensor *ool_triu(struct ool_tape *t, struct ool_tensor *x, int64_t diagonal);
struct ool_tensor *ool_clamp(struct ool_tape *t, struct ool_tensor *x, double low,
                             double high); /* NAN = no bound */
/* clamp(x, min=, max=) with tensors that need no gradient */
struct ool_tensor *ool_clamp_between(struct ool_tape *t, struct ool_tensor *x,
                                     struct ool_tensor *low, struct ool_tensor *high);
struct ool_tensor *ool_cat(struct ool_tape *t, struct ool_tensor *const *parts, int n, int dim);
struct ool_tensor *ool_stack(struct ool_tape *t, struct ool_tensor *const *parts, int n, int dim);
struct ool_tensor *ool_repeat_interleave(struct ool_tape *t, struct ool_tensor *x, int64_t repeats,
                                         int dim);
struct ool_tensor *ool_repeat(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                              const int64_t *repeats);
struct ool_tensor *ool_pad(struct ool_tape *t, struct ool_tensor *x, int n, const int64_t *pads,
                           double value);
struct ool_tensor *ool_cumsum(struct ool_tape *t, struct ool_tensor *x, int dim);
/* torch.gather(x, dim, index), of what needs no gradient; x.index_copy_(dim, index, source). */
struct ool_tensor *ool_gather(struct ool_tape *t, struct ool_tensor *x, int dim,
                              struct ool_tensor *index);
void ool_index_copy(struct ool_tape *t, struct ool_tensor *x, int dim, struct ool_tensor *index,
                    struct ool_tensor *source);

/* --- reductions --------------------------------------------------------------------------------------- */

enum ool_reduction { OOL_SUM, OOL_MEAN, OOL_VAR, OOL_MAX, OOL_MIN, OOL_ARGMAX, OOL_ANY, OOL_ALL };
#define OOL_ALL_DIMS INT32_MIN
/* dim OOL_ALL_DIMS reduces to a scalar; max/min over a dim also make (and drop) the indices. */
struct ool_tensor *ool_reduce(struct ool_tape *t, enum ool_reduction op, struct ool_tensor *x,
                              int dim, bool keepdim);
struct ool_tensor *ool_softmax(struct ool_tape *t, struct ool_tensor *x, int dim);
struct ool_tensor *ool_softmax_to(struct ool_tape *t, struct ool_tensor *x, int dim,
                                  enum ool_dtype dtype); /* softmax(x, dim, dtype=) */
struct ool_tensor *ool_log_softmax(struct ool_tape *t, struct ool_tensor *x, int dim);
struct ool_tensor *ool_topk(struct ool_tape *t, struct ool_tensor *x, int64_t k, int dim);
struct ool_tensor *ool_sort(struct ool_tape *t, struct ool_tensor *x, int dim);
struct ool_tensor *ool_multinomial(struct ool_tape *t, struct ool_tensor *x, int64_t n);

/* --- layers ------------------------------------------------------------------------------------------- */

struct ool_tensor *ool_linear(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *w,
                              struct ool_tensor *b);
struct ool_tensor *ool_matmul(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *y);
struct ool_tensor *ool_bmm(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *y);
/* torch.addmm(input, x, y) of matrices; @input is a bias of y's columns. */
struct ool_tensor *ool_addmm(struct ool_tape *t, struct ool_tensor *input, struct ool_tensor *x,
                             struct ool_tensor *y);
struct ool_tensor *ool_baddbmm(struct ool_tape *t, struct ool_tensor *input, struct ool_tensor *x,
                               struct ool_tensor *y, double beta, double alpha);
struct ool_tensor *ool_einsum(struct ool_tape *t, const char *equation, struct ool_tensor *x,
                              struct ool_tensor *y);
struct ool_tensor *ool_layer_norm(struct ool_tape *t, struct ool_tensor *x, int n_normalized,
                                  struct ool_tensor *w, struct ool_tensor *b);
struct ool_tensor *ool_rms_norm(struct ool_tape *t, struct ool_tensor *x,
                                struct ool_tensor *w); /* F.rms_norm over the last dim */
struct ool_tensor *ool_group_norm(struct ool_tape *t, struct ool_tensor *x, int groups,
                                  struct ool_tensor *w, struct ool_tensor *b);
struct ool_tensor *ool_batch_norm(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *mean,
                                  struct ool_tensor *var, struct ool_tensor *w,
                                  struct ool_tensor *b, bool training);
struct ool_tensor *ool_embedding(struct ool_tape *t, struct ool_tensor *ids, struct ool_tensor *w,
                                 bool padding);
enum ool_interpolation { OOL_NEAREST, OOL_BILINEAR, OOL_BICUBIC };
struct ool_tensor *ool_interpolate(struct ool_tape *t, struct ool_tensor *x,
                                   enum ool_interpolation kind, int n, const int64_t *size);

struct ool_sdpa_args {
    struct ool_tensor *mask; /* bool or additive; NULL = none */
    double dropout;
    bool causal, gqa;
};
struct ool_tensor *ool_sdpa(struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                            struct ool_tensor *v, const struct ool_sdpa_args *args);

enum ool_loss_reduction { OOL_LOSS_MEAN, OOL_LOSS_SUM, OOL_LOSS_NONE };
struct ool_tensor *ool_cross_entropy(struct ool_tape *t, struct ool_tensor *x,
                                     struct ool_tensor *target, double smoothing,
                                     enum ool_loss_reduction reduction);
struct ool_tensor *ool_nll_loss(struct ool_tape *t, struct ool_tensor *x,
                                struct ool_tensor *target);
struct ool_tensor *ool_mse_loss(struct ool_tape *t, struct ool_tensor *x,
                                struct ool_tensor *target);
struct ool_tensor *ool_bce_with_logits(struct ool_tape *t, struct ool_tensor *x,
                                       struct ool_tensor *target);

/* --- backward ------------------------------------------------------------------------------------------ */

/**
 * ool_backward - root.backward(gradient, retain_graph)
 *
 * @gradient: NULL = ones_like, for a scalar. Runs in the autograd thread, which has workspaces of
 * its own. Gradients of leaves are accumulated into their .grad.
 */
void ool_backward(struct ool_tape *t, struct ool_tensor *root, struct ool_tensor *gradient,
                  bool retain_graph);

/* torch.autograd.grad(root, inputs, gradient): grads[i] gets the gradient of inputs[i] (floating; NULL = none);
 * no .grad changes. The inputs must be leaves. */
void ool_gradients(struct ool_tape *t, struct ool_tensor *root, struct ool_tensor *gradient,
                   struct ool_tensor *const *inputs, size_t n, struct ool_tensor **grads);

/* Called in backward right after a leaf's .grad is complete (register_post_accumulate_grad_hook). */
typedef void ool_leaf_hook(struct ool_tape *t, struct ool_tensor *leaf, void *state);
void ool_set_leaf_hook(struct ool_tensor *leaf, ool_leaf_hook *hook, void *state);

/* Every tensor that the graph behind @roots keeps for backward: the node's name as PyTorch has it
 * ("AddmmBackward0") and the tensor, borrowed for the call. Nodes in breadth-first order. Each is
 * read as Python reads grad_fn._saved_x: hooks run (a copy from the host, a checkpoint's function). */
typedef void ool_saved_visit(const char *node, const struct ool_tensor *saved, void *state);
void ool_each_saved(struct ool_tape *t, struct ool_tensor *const *roots, size_t n,
                    ool_saved_visit *visit, void *state);

/* torch.utils.checkpoint.checkpoint(function, inputs...). The function gets the inputs (held by the
 * caller) and returns one tensor (floating). @state must live until backward is done; @release (may be NULL) is
 * called when the checkpoint is forgotten. */
enum ool_checkpoint { OOL_CHECKPOINT_NONE, OOL_CHECKPOINT_NONREENTRANT, OOL_CHECKPOINT_REENTRANT };
typedef struct ool_tensor *ool_forward(struct ool_tape *t, struct ool_tensor *const *inputs, int n,
                                       void *state);
/* In a function that a checkpoint runs again, once all is there that it needs: every call does nothing and
 * gives NULL until the function returns. No error: the function may just run to its end. */
bool ool_stopped(const struct ool_tape *t);
struct ool_tensor *ool_checkpoint(struct ool_tape *t, enum ool_checkpoint kind,
                                  ool_forward *function, void *state,
                                  struct ool_tensor *const *inputs, int n);
/* checkpoint(functools.partial(function, the inputs behind the first n_arguments), the first n_arguments): what
 * the partial holds lives as long as it, which with reentrant backward is as long as the node. */
struct ool_tensor *ool_checkpoint_partial(struct ool_tape *t, enum ool_checkpoint kind,
                                          ool_forward *function, void *state,
                                          struct ool_tensor *const *inputs, int n, int n_arguments);

/* --- optimizers, clipping, scaling (ool_optimizer.c) ---------------------------------------------------- */

enum ool_optimizer_kind {
    OOL_SGD,
    OOL_ADAM,
    OOL_ADAMW,
    OOL_RMSPROP,
    OOL_ADAGRAD,
    OOL_ADADELTA,
    OOL_ADAMAX,
    OOL_NADAM,
    OOL_RADAM,
    OOL_ADAFACTOR,
    OOL_RPROP,
    OOL_ASGD
};
enum ool_implementation {
    OOL_FOREACH,
    OOL_LOOP,
    OOL_FUSED,
    OOL_IMPL_DEFAULT
}; /* default: PyTorch's choice */
struct ool_optimizer_config {
    enum ool_optimizer_kind kind;
    enum ool_implementation implementation;
    double momentum, weight_decay; /* weight_decay NAN = the optimizer's default */
    bool nesterov, amsgrad, capturable, maximize, tensor_lr;
    bool centered;  /* RMSprop */
    bool decoupled; /* NAdam, RAdam: decoupled_weight_decay */
};
struct ool_optimizer;
/* @params: borrowed array, copied; parameters without grad requirement are left out. */
struct ool_optimizer *ool_optimizer_open(struct ool_tape *t,
                                         const struct ool_optimizer_config *config,
                                         struct ool_tensor *const *params, size_t n);
void ool_optimizer_close(struct ool_tape *t, struct ool_optimizer *optimizer);
void ool_optimizer_step(struct ool_tape *t, struct ool_optimizer *optimizer);
void ool_optimizer_zero_grad(struct ool_tape *t, struct ool_optimizer *optimizer, bool set_to_none);

/* clip_grad_norm_ over all @params with a .grad; returns the total norm (floating); get_total_norm of @tensors. */
struct ool_tensor *ool_clip_grad_norm(struct ool_tape *t, struct ool_tensor *const *params,
                                      size_t n, enum ool_implementation implementation);
struct ool_tensor *ool_total_norm(struct ool_tape *t, struct ool_tensor *const *tensors, size_t n,
                                  enum ool_implementation implementation);
void ool_clip_grad_value(struct ool_tape *t, struct ool_tensor *const *params, size_t n);

struct ool_scaler; /* torch.amp.GradScaler */
struct ool_scaler *ool_scaler_open(struct ool_tape *t);
void ool_scaler_close(struct ool_tape *t, struct ool_scaler *scaler);
struct ool_tensor *ool_scaler_scale(struct ool_tape *t, struct ool_scaler *scaler,
                                    struct ool_tensor *loss);
void ool_scaler_unscale(struct ool_tape *t, struct ool_scaler *scaler,
                        struct ool_optimizer *optimizer);
void ool_scaler_step(struct ool_tape *t, struct ool_scaler *scaler,
                     struct ool_optimizer *optimizer);
void ool_scaler_update(struct ool_tape *t, struct ool_scaler *scaler);

/* torch._C._cuda_clearCublasWorkspaces() */
void ool_clear_workspaces(struct ool_tape *t);

#endif
