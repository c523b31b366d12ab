/*
 * ool_snippet_value.h - what a variable of a snippet can hold; for the files of the snippet only.
 *
 * Values are counted. A function that returns a value gives the caller one reference; NULL means
 * that the snippet failed (the first failure stays in it).
 */
#ifndef OOL_SNIPPET_VALUE_H
#define OOL_SNIPPET_VALUE_H

#include "ool_snippet.h"
#include "ool_snippet_parse.h"

enum ool_value_kind {
    OOL_VALUE_NONE,
    OOL_VALUE_BOOL,
    OOL_VALUE_INT,
    OOL_VALUE_FLOAT,
    OOL_VALUE_STRING,
    OOL_VALUE_ELLIPSIS,
    OOL_VALUE_SLICE,     /* items: start, stop, step */
    OOL_VALUE_DTYPE,     /* integer */
    OOL_VALUE_DEVICE,    /* integer: 1 = the card, 0 = the host */
    OOL_VALUE_TENSOR,    /* tensor, held */
    OOL_VALUE_TUPLE,     /* items */
    OOL_VALUE_LIST,      /* items */
    OOL_VALUE_PAIR,      /* items: the values that max, sort or topk give; not their indices */
    OOL_VALUE_GENERATOR, /* items: source; syntax, scope; integer: position */
    OOL_VALUE_FUNCTION,  /* syntax (LAMBDA or DEF), scope */
    OOL_VALUE_PATH,      /* text: "torch.nn.functional.linear", a module or a function in it */
    OOL_VALUE_METHOD,    /* items: the object; text: the method's name */
    OOL_VALUE_MODULE,    /* module */
    OOL_VALUE_OPTIMIZER, /* optimizer; items: its parameters */
    OOL_VALUE_SCALER,    /* scaler */
    OOL_VALUE_STREAM,    /* integer */
    OOL_VALUE_CONTEXT    /* context */
};

enum ool_context_kind {
    OOL_CONTEXT_NULL,
    OOL_CONTEXT_GRAD_MODE,
    OOL_CONTEXT_AUTOCAST,
    OOL_CONTEXT_SAVE_ON_CPU,
    OOL_CONTEXT_SDPA,
    OOL_CONTEXT_CUDNN,
    OOL_CONTEXT_STREAM
};

/* @wish: what it sets; @cache: of autocast; @old: what leaving it restores */
struct ool_context {
    enum ool_context_kind kind;
    uint32_t wish, old;
    bool cache;
};

struct ool_value;

#define OOL_MODULE_PARAMS 2
/* An nn.Module: its parameters are on the host (a shape only) until it moves to the card. */
struct ool_module {
    const char *type; /* "Linear": a literal */
    struct ool_module_param {
        const char *name;         /* NULL = none */
        struct ool_value *tensor; /* NULL while on the host */
        enum ool_dtype dtype;
        int n_dims;
        int64_t shape[2];
        bool requires_grad;
    } params[OOL_MODULE_PARAMS];
    struct ool_value **children; /* of a Sequential */
    size_t n_children;
    int64_t integer;     /* the groups of a GroupNorm */
    double real;         /* the p of a Dropout */
    bool training, flag; /* flag: an activation in place, GELU's tanh */
};

struct ool_scope;

struct ool_value {
    enum ool_value_kind kind;
    uint32_t refs;
    int64_t integer;
    double real;
    char *text;
    struct ool_tensor *tensor;
    struct ool_value **items;
    size_t n_items, capacity;
    const struct ool_syntax *syntax;
    struct ool_scope *scope;
    struct ool_module *module;
    struct ool_optimizer *optimizer;
    struct ool_scaler *scaler;
    struct ool_context context;
    struct ool_value *older, *newer; /* all that are alive, for the end of the snippet */
    struct ool_value *waits;         /* the next of those that end later */
};

/* A function that a checkpoint may call until its backward is done. */
struct ool_recompute {
    struct ool_snippet *snippet;
    struct ool_value *function;
    struct ool_recompute *older;
};

struct ool_variable {
    char *name;
    struct ool_value *value;
};

/* The variables of a call (or of the process), in the order in which they were made. */
struct ool_scope {
    struct ool_variable *variables;
    size_t n, capacity;
    uint32_t refs;
    struct ool_scope *parent; /* where a name that is not here is looked up; NULL = nowhere */
    struct ool_scope *older, *newer;
};

struct ool_snippet {
    struct ool_tape *t;
    struct ool_error error;
    bool failed;
    bool stopped; /* ... only until the function that a checkpoint runs again is left */
    int depth;    /* of the evaluation */
    int drop_depth;
    struct ool_value *doomed; /* values whose end waits until the drops above them are done */
    uint64_t work;            /* evaluated so far: texts that ask for too much are refused */
    struct ool_scope *globals, *scope;
    struct ool_syntax **trees; /* of every text that was run: functions point into them */
    size_t n_trees, trees_capacity;
    struct ool_value **entered; /* context managers that were entered from outside */
    size_t n_entered, entered_capacity;
    struct ool_recompute *recomputes; /* functions that checkpoints may call again */
    struct ool_value *values;         /* newest of all */
    struct ool_scope *scopes;         /* newest of all */
    uint32_t n_streams;
    bool left_autocast; /* since ool_snippet_left_autocast() was asked last */
};

/* --- failing ---------------------------------------------------------------------------------------- */

/* Keeps the first failure; returns NULL. */
void *ool_snippet_fail(struct ool_snippet *s, enum ool_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* After calls of the tape: false if it has failed, which the snippet then has, too. */
bool ool_snippet_good(struct ool_snippet *s);

/* --- values (ool_snippet_value.c) ---------------------------------------------------------------------- */

struct ool_value *ool_value_make(struct ool_snippet *s, enum ool_value_kind kind);
struct ool_value *ool_value_none(struct ool_snippet *s);
struct ool_value *ool_value_bool(struct ool_snippet *s, bool value);
struct ool_value *ool_value_int(struct ool_snippet *s, int64_t value);
struct ool_value *ool_value_float(struct ool_snippet *s, double value);
struct ool_value *ool_value_text(struct ool_snippet *s, enum ool_value_kind kind, const char *text);
/* Takes over a floating tensor, shares a held one; NULL only if the tape has failed. */
struct ool_value *ool_value_tensor(struct ool_snippet *s, struct ool_tensor *tensor);
struct ool_value *ool_value_share(struct ool_value *value); /* one more reference; NULL is fine */
void ool_value_drop(struct ool_snippet *s, struct ool_value *value); /* NULL is fine */
/* Appends to a tuple or list and takes over the reference, even on failure. */
bool ool_value_append_take(struct ool_snippet *s, struct ool_value *list, struct ool_value *item);
/* What a list, tuple or generator gives next, NULL at the end or on failure. @position starts at 0. */
struct ool_value *ool_value_next(struct ool_snippet *s, struct ool_value *source, size_t *position);
bool ool_value_is_number(const struct ool_value *value); /* int, float or bool */
double ool_value_number(const struct ool_value *value);
const char *ool_value_kind_name(const struct ool_value *value); /* as Python names it */

struct ool_scope *ool_scope_make(struct ool_snippet *s, struct ool_scope *parent);
void ool_scope_drop(struct ool_snippet *s, struct ool_scope *scope);
struct ool_value *ool_scope_find(const struct ool_scope *scope, const char *name); /* borrowed */
/* Takes over the reference, even on failure; then drops the old value. */
bool ool_scope_set_take(struct ool_snippet *s, struct ool_scope *scope, const char *name,
                        struct ool_value *value);
bool ool_scope_remove(struct ool_snippet *s, struct ool_scope *scope, const char *name);

/* --- statements (ool_snippet_exec.c) ---------------------------------------------------------------------- */

#define OOL_SNIPPET_WORK \
    20000000 /* evaluations of one snippet: texts that ask for more are refused */

enum ool_flow { OOL_FLOW_NEXT, OOL_FLOW_RETURN, OOL_FLOW_FAILED };

/* Runs the statements of a BLOCK; *result gets the value of a return. */
enum ool_flow ool_snippet_block(struct ool_snippet *s, const struct ool_syntax *block,
                                struct ool_value **result);
/* target = value; takes over the reference, even on failure; NULL is a failure that was. */
bool ool_snippet_store_take(struct ool_snippet *s, const struct ool_syntax *target,
                            struct ool_value *value);

/* --- evaluation (ool_snippet_eval.c) --------------------------------------------------------------------- */

struct ool_arguments {
    struct ool_value *
        *values;        /* positional ones first; a callee that takes one over sets it NULL */
    const char **names; /* NULL for a positional one */
    size_t n, capacity;
};

struct ool_value *ool_snippet_eval(struct ool_snippet *s, const struct ool_syntax *syntax);
/* Calls a function, method, module or path with arguments that the caller owns. */
struct ool_value *ool_snippet_call(struct ool_snippet *s, struct ool_value *callee,
                                   struct ool_arguments *arguments);
/* The element of a generator's comprehension for the next item of its source. */
struct ool_value *ool_snippet_advance(struct ool_snippet *s, struct ool_value *generator);
bool ool_context_enter(struct ool_snippet *s, struct ool_value *manager);
bool ool_context_leave(struct ool_snippet *s, struct ool_value *manager);

/* --- operators and attributes (ool_snippet_operators.c) ---------------------------------------------------- */

struct ool_value *ool_snippet_unary(struct ool_snippet *s, enum ool_syntax_op op,
                                    struct ool_value *x);
struct ool_value *ool_snippet_binary(struct ool_snippet *s, enum ool_syntax_op op,
                                     struct ool_value *x, struct ool_value *y);
/* x op= y: the value that the target gets (x itself for tensors and lists). */
struct ool_value *ool_snippet_augment(struct ool_snippet *s, enum ool_syntax_op op,
                                      struct ool_value *x, struct ool_value *y);
bool ool_snippet_truth(struct ool_snippet *s, const struct ool_value *x);
struct ool_value *ool_snippet_subscript(struct ool_snippet *s, struct ool_value *x,
                                        struct ool_value *index);
struct ool_value *ool_snippet_attribute(struct ool_snippet *s, struct ool_value *x,
                                        const char *name);
/* x.name = value, value borrowed */
bool ool_snippet_set_attribute(struct ool_snippet *s, struct ool_value *x, const char *name,
                               struct ool_value *value);

/* --- calls (ool_snippet_calls.c, ool_snippet_modules.c) ------------------------------------------------------ */

/* A constant of a module ("torch.float32", "math.pi"); NULL without a failure = none. */
struct ool_value *ool_snippet_constant(struct ool_snippet *s, const char *path);
bool ool_snippet_knows(const char *path); /* something that can be called */
/* Calls what @path names, "torch.nn.functional.gelu" or "Tensor.view" with the object as the first argument. */
struct ool_value *ool_snippet_call_path(struct ool_snippet *s, const char *path,
                                        struct ool_arguments *arguments);
struct ool_value *ool_module_call(struct ool_snippet *s, struct ool_value *module,
                                  struct ool_arguments *arguments);
/* The parameters of a module and of its children, each with its dotted name. */
bool ool_module_each(struct ool_snippet *s, const struct ool_module *module, const char *prefix,
                     bool (*visit)(const char *name, struct ool_value *tensor, void *state),
                     void *state);

#endif
