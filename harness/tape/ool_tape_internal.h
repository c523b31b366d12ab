/*
 * ool_tape_internal.h - how operators are written; for the files of this folder only.
 *
 * Two kinds of operators:
 *
 *  - A primitive makes its outputs, its scratch, and one node:
 *
 *        struct ool_tensor *ool_gelu(struct ool_tape *t, struct ool_tensor *x)
 *        {
 *            struct ool_node *node;
 *            struct ool_tensor *y;
 *
 *            if (!ool_usable(t, OOL_T(x)))
 *                return NULL;
 *            node = ool_node_make(t, &gelu_class, OOL_T(x)); // NULL if nothing needs a gradient
 *            ool_node_save(t, node, x);                      // all of these accept node == NULL
 *            y = ool_make_like(t, x, x->dtype);
 *            ool_kernel_call(t, "gelu", NULL, OOL_T(x), OOL_T(y));
 *            return ool_finish(t, node, y, OOL_T(x));        // connects y, drops floating
 * arguments
 *        }
 *
 *    with
 *
 *        static void gelu_backward(struct ool_tape *t, struct ool_node *node,
 *                                  struct ool_tensor *const *grads, struct ool_tensor **out)
 *        {
 *            if (ool_needs(node, 0))
 *                out[0] = ool_make_like(t, ool_saved(t, node, 0), grads[0]->dtype);
 *        }
 *        static const struct ool_node_class gelu_class = {"GeluBackward0", gelu_backward};
 *
 *  - A composite calls other operators in a C++ scope, where temporaries live until the end of the
 *    scope and die in the reverse order of their creation, as C++ temporaries of one expression do:
 *
 *        size_t scope = ool_scope_open(t);
 *        y = ool_scope_close(t, scope, ool_mul(t, x, ool_unary(t, OOL_SIGMOID, x)));
 *        return ool_finish(t, NULL, y, OOL_T(x));
 *
 * Save in the order in which PyTorch's generated code releases: saved inputs by the alphabet of
 * their names in derivatives.yaml, then saved outputs by theirs.
 *
 * Backward functions run in no-grad mode and inside a scope. grads[i] is the gradient of output i
 * (NULL = undefined); they leave in out[i] the gradient of edge i, for edges with ool_needs(). A
 * value in out[] is taken as ool_set() takes it: floating ones are taken over, others shared.
 * Several statements in C++ are several scopes: OOL_EXPRESSION(t, out[0], expression).
 */
#ifndef OOL_TAPE_INTERNAL_H
#define OOL_TAPE_INTERNAL_H

#include "ool_tape.h"
#include "ool_torch_facts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A storage that is alive: shared by a tensor, its views and its detached copies. */
struct ool_memory {
    uint64_t bytes;
    uint32_t id;             /* in the program; OOL_NONE on the host or when bytes is 0 */
    uint32_t refs;           /* tensors */
    struct ool_memory *next; /* in the pool */
};

struct ool_node;
struct ool_checkpoint_run;

struct ool_tensor {
    struct ool_memory *memory;
    struct ool_node *node;       /* grad_fn; owned */
    struct ool_node *accumulate; /* of a leaf: its AccumulateGrad while one is alive; not owned */
    struct ool_tensor *grad;     /* owned */
    struct ool_tensor *base;     /* of a differentiable view: the tensor viewed; owned */
    struct ool_tensor *next;     /* in the pool */
    ool_leaf_hook *hook;
    void *hook_state;
    int64_t offset; /* elements */
    int64_t shape[OOL_MAX_DIMS];
    int64_t strides[OOL_MAX_DIMS];
    size_t temporary; /* slot in the tape's temporaries + 1; 0 = none */
    uint32_t refs;    /* a floating tensor has one that belongs to nobody yet */
    uint32_t pins;    /* open ool_enter() */
    uint32_t output;  /* which output of node */
    uint32_t cast;    /* its place in the autocast cache + 1 */
    uint32_t view;    /* in the program, made on demand; OOL_NONE */
    uint8_t dtype, place, n_dims;
    bool floating;
    bool requires_grad; /* of a leaf; others have a node */
    bool inference;     /* made in inference mode */
    bool number;        /* a wrapped Python number: does not take part in type promotion */
};

struct ool_edge {
    struct ool_node *node; /* owned; NULL = no gradient wanted */
    uint32_t input;        /* which output of that node */
};

/* What backward knows about an output of the node: the form its gradient must have. */
struct ool_node_output {
    int64_t shape[OOL_MAX_DIMS];
    uint8_t dtype, n_dims, place;
};

struct ool_saved {
    struct ool_tensor *tensor;      /* owned; NULL when none, released or kept by a checkpoint */
    struct ool_checkpoint_run *run; /* the checkpoint that recomputes it; owned */
    struct ool_tensor *unpacked;    /* what a hook gave back, while the node runs; owned */
    uint32_t index;                 /* which of the tensors that were saved in that run */
    bool on_host;                   /* save_on_cpu moved it */
};

struct ool_node_class {
    const char *name;
    void (*backward)(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                     struct ool_tensor **out);
    /* (optional) frees what the node's state pointer owns */
    void (*release)(struct ool_tape *t, struct ool_node *node);
};

#define OOL_NODE_EDGES 4
#define OOL_NODE_SAVED 8
struct ool_node {
    const struct ool_node_class *class;
    uint64_t sequence;
    uint32_t refs;
    uint32_t origin; /* text: module path of the forward */
    uint32_t stream;
    uint32_t n_edges, n_outputs, n_saved;
    struct ool_edge *edges; /* few or malloced */
    struct ool_edge few_edges[OOL_NODE_EDGES];
    struct ool_node_output *outputs; /* one or malloced */
    struct ool_node_output one_output;
    size_t outputs_capacity;
    struct ool_saved saved[OOL_NODE_SAVED];
    bool released;               /* its saved tensors are gone */
    bool stacked;                /* scratch of the graph's destruction */
    uint32_t slot;               /* scratch of the engine: its entry + 1 */
    struct ool_tensor *variable; /* AccumulateGrad: the leaf; owned */
    /* What the operator wants to remember. */
    int64_t i[2 * OOL_MAX_DIMS + 4];
    double d[2];
    void *state;           /* see class->release */
    struct ool_node *next; /* in the pool */
};

/* --- arguments --- */

/* An array of tensors as two arguments: count, pointers. Entries may be NULL. */
#define OOL_T(...)                                                                     \
    (int)(sizeof((struct ool_tensor *[]){__VA_ARGS__}) / sizeof(struct ool_tensor *)), \
        (struct ool_tensor *const[])                                                   \
    {                                                                                  \
        __VA_ARGS__                                                                    \
    }

/* False if the tape has failed; fails it if the first tensor is NULL (others are optional). */
bool ool_usable(struct ool_tape *t, int n, struct ool_tensor *const *tensors);
/* The end of a call: floating arguments die in order, unless a scope or ool_enter() keeps them. */
void ool_done(struct ool_tape *t, int n, struct ool_tensor *const *tensors);
/* Connects @y to @node (if any), ends the call, returns @y. */
struct ool_tensor *ool_finish(struct ool_tape *t, struct ool_node *node, struct ool_tensor *y,
                              int n, struct ool_tensor *const *tensors);

/* C++ scope, see above. The result may be NULL or not floating; a floating one moves outward. */
size_t ool_scope_open(struct ool_tape *t);
struct ool_tensor *ool_scope_close(struct ool_tape *t, size_t scope, struct ool_tensor *result);
#define OOL_EXPRESSION(t, target, expression)                \
    do {                                                     \
        size_t scope_ = ool_scope_open(t);                   \
        (target) = ool_scope_close(t, scope_, (expression)); \
    } while (0)
/* Python code called from within C++ (a checkpoint's function): floating arguments die at once
 * again. */
struct ool_frame {
    size_t scopes;
};
struct ool_frame ool_frame_open(struct ool_tape *t);
void ool_frame_close(struct ool_tape *t, struct ool_frame frame);

/* --- making tensors --- */

/* A floating tensor with storage of its own. @strides NULL = contiguous. */
struct ool_tensor *ool_make(struct ool_tape *t, enum ool_dtype dtype, enum ool_place place,
                            int n_dims, const int64_t *shape, const int64_t *strides);
/* empty_like(x, dtype), preserve_format: the strides of x if it is dense, else the same order of
 * strides. */
struct ool_tensor *ool_make_like(struct ool_tape *t, const struct ool_tensor *x,
                                 enum ool_dtype dtype);
struct ool_tensor *ool_make_like_at(struct ool_tape *t, const struct ool_tensor *x,
                                    enum ool_dtype dtype, enum ool_place place);
/* Contiguous with x's shape. */
struct ool_tensor *ool_make_contiguous(struct ool_tape *t, const struct ool_tensor *x,
                                       enum ool_dtype dtype);
/* What TensorIterator allocates for an elementwise operator over these operands (broadcast). */
struct ool_tensor *ool_make_iterated(struct ool_tape *t, enum ool_dtype dtype, int n,
                                     struct ool_tensor *const *operands);
/* A floating tensor on x's storage with another form; no node. @strides NULL = contiguous. */
struct ool_tensor *ool_make_view(struct ool_tape *t, const struct ool_tensor *x, int n_dims,
                                 const int64_t *shape, const int64_t *strides, int64_t offset);
/* The same storage and form, no node (tensor_data(), detach()). */
struct ool_tensor *ool_make_alias(struct ool_tape *t, const struct ool_tensor *x);
/* A tensor that stands for a number in C++ code; it has no storage. */
struct ool_tensor *ool_make_number(struct ool_tape *t, enum ool_dtype dtype);

void ool_claim(struct ool_tape *t,
               struct ool_tensor *x);          /* floating: take over; else one more ref */
bool ool_is_dense(const struct ool_tensor *x); /* non-overlapping and dense */
bool ool_same_shape(const struct ool_tensor *x, const struct ool_tensor *y);
bool ool_broadcast(int n, struct ool_tensor *const *operands, int *n_dims, int64_t *shape);
int ool_dim(const struct ool_tensor *x, int dim); /* wraps a negative one; -1 = out of range */
void ool_contiguous_strides(int n_dims, const int64_t *shape, int64_t *strides);
enum ool_dtype
ool_promote(int n, struct ool_tensor *const *operands);   /* result type, with numbers and 0-d */
enum ool_dtype ool_accumulate_type(enum ool_dtype dtype); /* f32 for 16-bit floats */
/* Element count; UINT64_MAX-safe: fails the tape on overflow and gives 0. */
uint64_t ool_bytes_of(struct ool_tape *t, enum ool_dtype dtype, int n_dims, const int64_t *shape);

/* --- scratch --- */

/* A block of the device that is no tensor. Returns its storage; 0 bytes make nothing (OOL_NONE). */
uint32_t ool_scratch(struct ool_tape *t, uint64_t bytes);
void ool_scratch_free(struct ool_tape *t, uint32_t storage); /* OOL_NONE is fine */
/* Temporary storage of CUB's radix sort of n keys (and values), bytes each, @passes over 8 bits. */
uint64_t ool_radix_sort_bytes(const struct ool_tape *t, uint64_t n, uint64_t key, uint64_t value,
                              uint64_t passes);
/* The scratch of CUB's scan of @n elements: tiles of so many, a descriptor of so many bytes each. */
uint64_t ool_scan_bytes(const struct ool_tape *t, uint64_t n, uint64_t tile, uint64_t descriptor);
/*
 * Staging and semaphores of a reduction of @x over @dims (bit mask) into @out, made and freed. Call
 * it after the output exists. @accumulate: the type that the kernel sums in.
 */
void ool_tape_reduction_scratch(struct ool_tape *t, const struct ool_tensor *x, uint32_t dims,
                                enum ool_dtype out, enum ool_dtype accumulate);
/* The workspaces of this thread and stream, made if missing; call after the output exists. */
void ool_cublas(struct ool_tape *t);     /* mm, bmm, baddbmm */
void ool_cublaslt(struct ool_tape *t);   /* addmm with the bias in the epilogue */
void ool_cublas_end(struct ool_tape *t); /* after the call: releases that free it every time */
void ool_cublaslt_end(struct ool_tape *t);

/* --- nodes --- */

bool ool_wants_grad(const struct ool_tape *t, int n, struct ool_tensor *const *inputs);
/* NULL if grad mode is off or no input requires grad; edge i leads to input i. */
struct ool_node *ool_node_make(struct ool_tape *t, const struct ool_node_class *class, int n,
                               struct ool_tensor *const *inputs);
/* One whose edges lead nowhere yet. */
struct ool_node *ool_node_blank(struct ool_tape *t, const struct ool_node_class *class,
                                uint32_t n_edges);
/* All accept node == NULL (nothing happens). Slots are numbered in the order of the calls. */
void ool_node_save(struct ool_tape *t, struct ool_node *node,
                   struct ool_tensor *x); /* an input; NULL keeps the slot */
void ool_node_save_output(struct ool_tape *t, struct ool_node *node,
                          struct ool_tensor *y); /* an output */
void ool_node_save_if(struct ool_tape *t, struct ool_node *node, bool condition,
                      struct ool_tensor *x);
void ool_node_output(struct ool_tape *t, struct ool_node *node, struct ool_tensor *y);
bool ool_needs(const struct ool_node *node, int edge);
/* A saved tensor in backward: borrowed for the backward call. */
struct ool_tensor *ool_saved(struct ool_tape *t, struct ool_node *node, int slot);
void ool_node_drop(struct ool_tape *t, struct ool_node *node);
void ool_node_release(struct ool_tape *t, struct ool_node *node); /* its saved tensors */

/* --- operators that backward formulas share --- */

/* sum over the dims that were broadcast, so that grad gets @like's shape; x itself if equal. */
struct ool_tensor *ool_sum_to(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                              const int64_t *shape);
/* sum(x, dims, keepdim, dtype), no gradient. */
struct ool_tensor *ool_sum_dims(struct ool_tape *t, struct ool_tensor *x, uint32_t dims,
                                bool keepdim, enum ool_dtype dtype);
/* The elementwise kernels that need no node: one output over the operands. */
struct ool_tensor *ool_pointwise(struct ool_tape *t, const char *name, enum ool_dtype dtype, int n,
                                 struct ool_tensor *const *operands);
/* The history of target.copy_(source); nothing if no gradient is wanted. */
void ool_copy_history(struct ool_tape *t, struct ool_tensor *target, struct ool_tensor *source);
/* x += y as the engine and optimizers do it: no allocation. */
void ool_accumulate_into(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *y);
/* mm(a, b) of matrices, no gradient, into a new tensor (column-major if @transposed). */
struct ool_tensor *ool_mm_raw(struct ool_tape *t, struct ool_tensor *a, struct ool_tensor *b);
struct ool_tensor *ool_bmm_raw(struct ool_tape *t, struct ool_tensor *a, struct ool_tensor *b);

/* --- dropout --- */

/* native_dropout(x, p): the result; *mask gets the boolean mask (both floating). No node. */
struct ool_tensor *ool_native_dropout(struct ool_tape *t, struct ool_tensor *x, double p,
                                      struct ool_tensor **mask);

/* --- autocast --- */

/*
 * The casts of an autocast operator's arguments. Call them right to left inside a scope (C++
 * evaluates arguments so), then ool_autocast_off() around the operator itself:
 *
 *     if (ool_autocast_on(t)) {
 *         size_t scope = ool_scope_open(t);
 *         b = ool_cast_lower(t, b); w = ...; x = ...;
 *         bool was = ool_autocast_set(t, false);
 *         y = ool_linear(t, x, w, b);
 *         ool_autocast_set(t, was);
 *         y = ool_scope_close(t, scope, y);
 *     }
 */
bool ool_autocast_on(const struct ool_tape *t);
bool ool_autocast_set(struct ool_tape *t, bool on); /* returns the old */
enum ool_dtype ool_autocast_dtype(const struct ool_tape *t);
struct ool_tensor *ool_cast_lower(struct ool_tape *t,
                                  struct ool_tensor *x); /* x itself if nothing to do; NULL stays */
struct ool_tensor *ool_cast_f32(struct ool_tape *t, struct ool_tensor *x);

/* --- kernels for replay --- */

/* One line per operator: emits a kernel operation if the tape's config asks. attributes NULL =
 * none. */
void ool_kernel_call(struct ool_tape *t, const char *name, const char *attributes, int n_inputs,
                     struct ool_tensor *const *inputs, int n_outputs,
                     struct ool_tensor *const *outputs);

/* --- the tape itself --- */

struct ool_slab {
    struct ool_slab *next;
};
struct ool_pool {
    struct ool_slab *slabs;
    void *free; /* chained through each item's next */
};

struct ool_workspace {
    uint32_t stream;
    uint8_t thread; /* 0 = the caller's, 1 = autograd's */
    bool lt;
    uint32_t storage;
};

struct ool_cached_cast {
    struct ool_tensor *source; /* not owned: it is alive as long as the cache (a leaf) */
    struct ool_tensor *cast;   /* owned */
};

/* What the engine knows about a node of a running backward. */
struct ool_entry {
    struct ool_node *node;
    struct ool_tensor *one, **many; /* gradients so far; many if the node has several outputs */
    uint32_t dependencies;
    uint32_t shadow; /* the slot that an outer backward gave the node */
    bool seen;       /* a gradient was added (perhaps an undefined one) */
};

struct ool_tape {
    struct ool_program *program;
    const struct ool_torch_facts *facts;
    struct ool_error error;
    bool failed;  /* nothing happens any more */
    bool stopped; /* ... only until a checkpoint's recomputation is left */
    /* configuration, completed */
    int capability, multiprocessors, threads_per_multiprocessor;
    uint64_t cublas_bytes, cublaslt_bytes;
    bool cublaslt_unified;
    uint64_t convolution_workspace;
    uint16_t process;
    uint8_t device;
    bool kernels;
    uint64_t moved_bytes; /* between the host and the card */
    /* where we are */
    char path[1024];
    size_t path_length;
    size_t path_marks[64]; /* length before each push */
    size_t n_path_marks;
    uint32_t path_text; /* OOL_NONE = to be interned */
    enum ool_category category;
    uint32_t stream;
    enum ool_grad_mode grad_mode;
    enum ool_sdpa_backend sdpa;
    bool save_on_cpu, cudnn;
    uint8_t thread;
    int backward_depth;
    uint64_t sequence;
    /* autocast */
    bool autocast;
    bool autocast_cache;
    enum ool_dtype autocast_dtype;
    int autocast_depth;
    struct ool_autocast_state {
        bool on, cache;
        enum ool_dtype dtype;
    } autocast_stack[16];
    struct ool_cached_cast *casts;
    size_t n_casts, casts_capacity;
    /* temporaries of C++ scopes */
    struct ool_tensor **temporaries;
    size_t n_temporaries, temporaries_capacity;
    size_t scopes;
    /* pools */
    struct ool_pool tensors, memories, nodes;
    struct ool_workspace *workspaces;
    size_t n_workspaces, workspaces_capacity;
    struct ool_entry *entries; /* of all running backwards, nested ones last */
    size_t n_entries, entries_capacity;
    struct ool_checkpoint_run *checkpoint;  /* the region whose hooks are active */
    struct ool_checkpoint_run *checkpoints; /* all that are kept */
    uint64_t task, tasks; /* number of the running backward, and how many there were */
};

/* --- between the tape's own files --------------------------------------------------------------------- */

struct ool_tensor *ool_tensor_take(struct ool_tape *t);
void ool_tensor_give(struct ool_tape *t, struct ool_tensor *x);
struct ool_memory *ool_memory_take(struct ool_tape *t);
void ool_memory_give(struct ool_tape *t, struct ool_memory *memory);
struct ool_node *ool_node_take(struct ool_tape *t);
void ool_node_give(struct ool_tape *t, struct ool_node *node);
void ool_node_free_arrays(struct ool_node *node);
void ool_emit(struct ool_tape *t, enum ool_op_kind kind, uint32_t stream, uint32_t id,
              uint64_t value);
uint32_t ool_origin(struct ool_tape *t); /* the text of the current path */
uint32_t ool_storage_new(struct ool_tape *t, uint64_t bytes, enum ool_category category);
void ool_storage_free(struct ool_tape *t, uint32_t id);
void ool_node_keep(struct ool_node *node); /* one more owner */
struct ool_node *ool_unary_node(struct ool_tape *t, enum ool_unary op, struct ool_tensor *x);
const char *ool_unary_name(enum ool_unary op);
bool ool_unary_saves_result(enum ool_unary op); /* in its in-place form */
/* The node of x op y with what it saves; @saved_x stands for x (a clone if x changes in place). */
struct ool_node *ool_binary_node(struct ool_tape *t, enum ool_binary op, struct ool_tensor *x,
                                 struct ool_tensor *y, struct ool_tensor *saved_x);
const char *ool_binary_name(enum ool_binary op);
struct ool_tensor *ool_unsafe_view(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                                   const int64_t *shape); /* a view that PyTorch does not track */
struct ool_tensor *ool_index_rows(struct ool_tape *t, struct ool_tensor *x,
                                  struct ool_tensor *ids); /* x[ids] */
void ool_path_set(struct ool_tape *t, uint32_t text);      /* the path becomes that text */
/* Hooks of non-reentrant checkpoints (ool_tape_checkpoint.c). */
void ool_checkpoint_pack(struct ool_tape *t, struct ool_saved *slot, struct ool_tensor *x);
struct ool_tensor *ool_checkpoint_unpack(struct ool_tape *t, struct ool_saved *slot); /* owned */
void ool_checkpoint_drop(struct ool_tape *t, struct ool_saved *slot);
void ool_checkpoint_close(struct ool_tape *t);
/* A saved input outside of checkpoints: the tensor, or its copy on the host under save_on_cpu. */
void ool_saved_pack(struct ool_tape *t, struct ool_saved *slot, struct ool_tensor *x);
struct ool_tensor *ool_saved_from_host(struct ool_tape *t,
                                       const struct ool_saved *slot); /* floating */
struct ool_node *ool_accumulator(struct ool_tape *t,
                                 struct ool_tensor *leaf); /* borrowed, with one more owner */

#endif
