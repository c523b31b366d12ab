/*
 * Tensors and storages: making them, references, floating ones, scopes.
 */
#include "ool_tape_internal.h"

#include "ool_mem.h"

#include <stdio.h>
#include <string.h>

/* --- making -------------------------------------------------------------------------------------------- */

uint64_t ool_bytes_of(struct ool_tape *t, enum ool_dtype dtype, int n_dims, const int64_t *shape)
{
    uint64_t bytes = ool_dtype_bytes(dtype);

    for (int i = 0; i < n_dims; i++) {
        if (shape[i] < 0) {
            ool_fail(t, OOL_E_RANGE, "dimension %d has the size %lld", i, (long long)shape[i]);
            return 0;
        }
        if (shape[i] == 0)
            return 0;
    }
    for (int i = 0; i < n_dims; i++) {
        if (bytes > (uint64_t)INT64_MAX / (uint64_t)shape[i]) {
            ool_fail(t, OOL_E_OVERFLOW, "a tensor does not fit in 63 bits");
            return 0;
        }
        bytes *= (uint64_t)shape[i];
    }
    return bytes;
}

/* A new floating reference, noted as a temporary while a scope is open. */
static struct ool_tensor *float_new(struct ool_tape *t, struct ool_tensor *x)
{
    x->refs = 1;
    x->floating = true;
    x->view = OOL_NONE;
    x->inference = t->grad_mode == OOL_INFERENCE;
    if (t->scopes > 0) {
        if (!ool_grow(&t->temporaries, &t->temporaries_capacity, t->n_temporaries,
                      sizeof *t->temporaries))
            return ool_fail(t, OOL_E_HOST_OOM, "no memory for the tape");
        t->temporaries[t->n_temporaries++] = x;
        x->temporary = t->n_temporaries;
    }
    return x;
}

static struct ool_tensor *shaped(struct ool_tape *t, enum ool_dtype dtype, enum ool_place place,
                                 int n_dims, const int64_t *shape, const int64_t *strides)
{
    struct ool_tensor *x;

    if (n_dims > OOL_MAX_DIMS)
        return ool_fail(t, OOL_E_UNSUPPORTED, "more than %d dimensions", OOL_MAX_DIMS);
    x = ool_tensor_take(t);
    if (x == NULL)
        return NULL;
    x->dtype = (uint8_t)dtype;
    x->place = (uint8_t)place;
    x->n_dims = (uint8_t)n_dims;
    if (n_dims > 0)
        memcpy(x->shape, shape, (size_t)n_dims * sizeof *shape);
    if (strides != NULL && n_dims > 0)
        memcpy(x->strides, strides, (size_t)n_dims * sizeof *strides);
    else
        ool_contiguous_strides(n_dims, x->shape, x->strides);
    return x;
}

struct ool_tensor *ool_make(struct ool_tape *t, enum ool_dtype dtype, enum ool_place place,
                            int n_dims, const int64_t *shape, const int64_t *strides)
{
    struct ool_tensor *x;
    uint64_t bytes;

    if (t->failed)
        return NULL;
    bytes = ool_bytes_of(t, dtype, n_dims, shape);
    x = t->failed ? NULL : shaped(t, dtype, place, n_dims, shape, strides);
    if (x == NULL)
        return NULL;
    x->memory = ool_memory_take(t);
    if (x->memory == NULL)
        return NULL;
    x->memory->refs = 1;
    x->memory->bytes = bytes;
    x->memory->id = OOL_NONE;
    if (place == OOL_PLACE_DEVICE && bytes > 0)
        x->memory->id = ool_storage_new(t, bytes, t->category);
    return float_new(t, x);
}

struct ool_tensor *ool_make_view(struct ool_tape *t, const struct ool_tensor *x, int n_dims,
                                 const int64_t *shape, const int64_t *strides, int64_t offset)
{
    struct ool_tensor *y;

    if (t->failed || x == NULL)
        return NULL;
    y = shaped(t, (enum ool_dtype)x->dtype, (enum ool_place)x->place, n_dims, shape, strides);
    if (y == NULL)
        return NULL;
    y->offset = offset;
    y->memory = x->memory;
    if (y->memory != NULL)
        y->memory->refs++;
    return float_new(t, y);
}

struct ool_tensor *ool_make_alias(struct ool_tape *t, const struct ool_tensor *x)
{
    if (t->failed || x == NULL)
        return NULL;
    return ool_make_view(t, x, x->n_dims, x->shape, x->strides, x->offset);
}

struct ool_tensor *ool_make_number(struct ool_tape *t, enum ool_dtype dtype)
{
    struct ool_tensor *x = t->failed ? NULL : shaped(t, dtype, OOL_PLACE_HOST, 0, NULL, NULL);

    if (x == NULL)
        return NULL;
    x->number = true;
    return float_new(t, x);
}

/* --- references ------------------------------------------------------------------------------------------ */

static void forget_temporary(struct ool_tape *t, struct ool_tensor *x)
{
    if (x->temporary == 0)
        return;
    t->temporaries[x->temporary - 1] = NULL;
    x->temporary = 0;
}

void ool_claim(struct ool_tape *t, struct ool_tensor *x)
{
    if (x == NULL)
        return;
    if (x->floating && x->pins == 0) {
        x->floating = false;
        forget_temporary(t, x);
    } else { /* the argument of a call stays its caller's */
        x->refs++;
    }
}

struct ool_tensor *ool_hold(struct ool_tape *t, struct ool_tensor *x)
{
    ool_claim(t, x);
    return x;
}

/* Nothing refers to @x any more. */
static void destroy(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_memory *memory = x->memory;
    struct ool_tensor *grad = x->grad, *base = x->base;
    struct ool_node *node = x->node;

    forget_temporary(t, x);
    ool_tensor_give(t, x);
    ool_drop(t, base); /* the order in which PyTorch's members die */
    if (node != NULL)
        ool_node_drop(t, node);
    ool_drop(t, grad);
    if (memory != NULL && --memory->refs == 0) {
        ool_storage_free(t, memory->id);
        ool_memory_give(t, memory);
    }
}

void ool_drop(struct ool_tape *t, struct ool_tensor *x)
{
    if (x == NULL || (t->failed && !t->stopped))
        return;
    if (--x->refs == 0)
        destroy(t, x);
}

void ool_set(struct ool_tape *t, struct ool_tensor **variable, struct ool_tensor *value)
{
    struct ool_tensor *old = *variable;

    ool_claim(t, value);
    *variable = value;
    ool_drop(t, old);
}

void ool_del(struct ool_tape *t, struct ool_tensor **variable)
{
    struct ool_tensor *old = *variable;

    *variable = NULL;
    ool_drop(t, old);
}

/* A floating tensor that nothing keeps: its owner, the expression, is done with it. */
static void sink(struct ool_tape *t, struct ool_tensor *x)
{
    x->floating = false;
    forget_temporary(t, x);
    ool_drop(t, x);
}

void ool_enter(struct ool_tape *t, struct ool_tensor *x)
{
    (void)t;
    if (x != NULL)
        x->pins++;
}

void ool_leave(struct ool_tape *t, struct ool_tensor *x)
{
    if (x == NULL || (t->failed && !t->stopped))
        return;
    if (--x->pins == 0 && x->floating && t->scopes == 0)
        sink(t, x);
}

struct ool_tensor *ool_return(struct ool_tape *t, struct ool_tensor **variable)
{
    struct ool_tensor *x = *variable;

    *variable = NULL;
    if (x == NULL || (t->failed && !t->stopped))
        return NULL;
    if (x->floating || x->refs > 1) { /* shared: the result is a reference to what others hold */
        x->refs--;
        return x;
    }
    x->floating = true;
    if (t->scopes > 0) {
        if (!ool_grow(&t->temporaries, &t->temporaries_capacity, t->n_temporaries,
                      sizeof *t->temporaries))
            return ool_fail(t, OOL_E_HOST_OOM, "no memory for the tape");
        t->temporaries[t->n_temporaries++] = x;
        x->temporary = t->n_temporaries;
    }
    return x;
}

/* --- calls and scopes -------------------------------------------------------------------------------------- */

bool ool_usable(struct ool_tape *t, int n, struct ool_tensor *const *tensors)
{
    if (!t->failed && n > 0 && tensors[0] == NULL)
        ool_fail(t, OOL_E_REFERENCE, "an operator got no tensor");
    return !t->failed;
}

void ool_done(struct ool_tape *t, int n, struct ool_tensor *const *tensors)
{
    if ((t->failed && !t->stopped) || t->scopes > 0)
        return;
    for (int i = 0; i < n; i++) {
        struct ool_tensor *x = tensors[i];
        bool again = false;

        for (int j = 0; j < i && x != NULL; j++)
            again = again || tensors[j] == x;
        if (x != NULL && !again && x->floating && x->pins == 0)
            sink(t, x);
    }
}

struct ool_tensor *ool_finish(struct ool_tape *t, struct ool_node *node, struct ool_tensor *y,
                              int n, struct ool_tensor *const *tensors)
{
    ool_node_output(t, node, y);
    ool_node_drop(t, node); /* from now on its outputs own it */
    if (t->failed && !t->stopped)
        return NULL;
    if (t->stopped && y != NULL && y->floating && y->pins == 0) {
        bool given = false; /* the argument is the result */

        for (int i = 0; i < n; i++)
            given = given || tensors[i] == y;
        if (!given)
            sink(t, y); /* the exception that stops a recomputation passes through here */
        y = NULL;
    }
    for (int i = 0; i < n; i++) {
        if (y != NULL && tensors[i] == y) { /* the argument is the result */
            struct ool_tensor *rest[OOL_MAX_DIMS];
            int n_rest = 0;

            for (int j = 0; j < n && n_rest < OOL_MAX_DIMS; j++) {
                if (tensors[j] != y)
                    rest[n_rest++] = tensors[j];
            }
            ool_done(t, n_rest, rest);
            return y;
        }
    }
    ool_done(t, n, tensors);
    return y;
}

size_t ool_scope_open(struct ool_tape *t)
{
    t->scopes++;
    return t->n_temporaries;
}

struct ool_tensor *ool_scope_close(struct ool_tape *t, size_t scope, struct ool_tensor *result)
{
    bool outward = false;

    if (t->scopes > 0)
        t->scopes--;
    if (t->failed && !t->stopped)
        return NULL;
    while (t->n_temporaries > scope) {
        struct ool_tensor *x = t->temporaries[t->n_temporaries - 1];

        if (x == NULL) {
            t->n_temporaries--;
        } else if (x == result) {
            outward = true;
            x->temporary = 0;
            t->n_temporaries--;
        } else {
            t->temporaries[--t->n_temporaries] = NULL;
            x->temporary = 0;
            x->floating = false;
            ool_drop(t, x);
        }
    }
    if (outward && t->scopes > 0) {
        t->temporaries[t->n_temporaries++] = result; /* a slot that was just left */
        result->temporary = t->n_temporaries;
    }
    return result;
}

struct ool_frame ool_frame_open(struct ool_tape *t)
{
    struct ool_frame frame = {.scopes = t->scopes};

    t->scopes = 0;
    return frame;
}

void ool_frame_close(struct ool_tape *t, struct ool_frame frame)
{
    t->scopes = frame.scopes;
}

/* --- facts --------------------------------------------------------------------------------------------------- */

int ool_dims(const struct ool_tensor *x)
{
    return x == NULL ? 0 : x->n_dims;
}

int64_t ool_size(const struct ool_tensor *x, int dim)
{
    if (x == NULL || x->n_dims == 0)
        return 0;
    dim = ool_dim(x, dim);
    return dim < 0 ? 0 : x->shape[dim];
}

int64_t ool_stride(const struct ool_tensor *x, int dim)
{
    if (x == NULL || x->n_dims == 0)
        return 0;
    dim = ool_dim(x, dim);
    return dim < 0 ? 0 : x->strides[dim];
}

enum ool_dtype ool_dtype(const struct ool_tensor *x)
{
    return x == NULL ? OOL_F32 : (enum ool_dtype)x->dtype;
}

bool ool_requires_grad(const struct ool_tensor *x)
{
    return x != NULL && (x->node != NULL || x->requires_grad);
}

bool ool_on_device(const struct ool_tensor *x)
{
    return x != NULL && x->place == OOL_PLACE_DEVICE;
}

uint32_t ool_storage_id(const struct ool_tensor *x)
{
    return x == NULL || x->memory == NULL ? OOL_NONE : x->memory->id;
}

struct ool_tensor *ool_grad(const struct ool_tensor *x)
{
    return x == NULL ? NULL : x->grad;
}

void ool_set_grad(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *grad)
{
    if (x != NULL)
        ool_set(t, &x->grad, grad);
}

void ool_require_grad(struct ool_tensor *x, bool on)
{
    if (x != NULL && x->node == NULL)
        x->requires_grad = on;
}

bool ool_is_leaf(const struct ool_tensor *x)
{
    return x == NULL || x->node == NULL;
}

/* --- factories -------------------------------------------------------------------------------------------------- */

struct ool_tensor *ool_empty(struct ool_tape *t, enum ool_dtype dtype, int n_dims,
                             const int64_t *shape)
{
    return ool_make(t, dtype, OOL_PLACE_DEVICE, n_dims, shape, NULL);
}

struct ool_tensor *ool_empty_strided(struct ool_tape *t, enum ool_dtype dtype, int n_dims,
                                     const int64_t *shape, const int64_t *strides)
{
    return ool_make(t, dtype, OOL_PLACE_DEVICE, n_dims, shape, strides);
}

struct ool_tensor *ool_empty_on_host(struct ool_tape *t, enum ool_dtype dtype, int n_dims,
                                     const int64_t *shape)
{
    return ool_make(t, dtype, OOL_PLACE_HOST, n_dims, shape, NULL);
}

struct ool_tensor *ool_empty_like(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_tensor *y;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    y = ool_make_like(t, x, (enum ool_dtype)x->dtype);
    return ool_finish(t, NULL, y, OOL_T(x));
}

static struct ool_tensor *filled(struct ool_tape *t, struct ool_tensor *y, const char *value)
{
    if (y != NULL)
        ool_kernel_call(t, "fill", value, 0, NULL, OOL_T(y));
    return y;
}

struct ool_tensor *ool_zeros(struct ool_tape *t, enum ool_dtype dtype, int n_dims,
                             const int64_t *shape)
{
    return filled(t, ool_empty(t, dtype, n_dims, shape), "value=0");
}

struct ool_tensor *ool_zeros_like(struct ool_tape *t, struct ool_tensor *x)
{
    return filled(t, ool_empty_like(t, x), "value=0");
}

struct ool_tensor *ool_ones(struct ool_tape *t, enum ool_dtype dtype, int n_dims,
                            const int64_t *shape)
{
    return filled(t, ool_empty(t, dtype, n_dims, shape), "value=1");
}

struct ool_tensor *ool_full(struct ool_tape *t, enum ool_dtype dtype, double value, int n_dims,
                            const int64_t *shape)
{
    char text[48];

    snprintf(text, sizeof text, "value=%.17g", value);
    return filled(t, ool_empty(t, dtype, n_dims, shape), text);
}

struct ool_tensor *ool_arange(struct ool_tape *t, int64_t end)
{
    struct ool_tensor *y = ool_empty(t, OOL_I64, 1, &end);

    if (y != NULL)
        ool_kernel_call(t, "arange", NULL, 0, NULL, OOL_T(y));
    return y;
}

static struct ool_tensor *named(struct ool_tape *t, const char *name, enum ool_category category,
                                enum ool_dtype dtype, int n_dims, const int64_t *shape)
{
    enum ool_category old = ool_categorize(t, category);
    struct ool_tensor *x;

    ool_push(t, "%s", name);
    x = ool_empty(t, dtype, n_dims, shape);
    ool_pop(t);
    ool_categorize(t, old);
    return ool_hold(t, x);
}

struct ool_tensor *ool_parameter(struct ool_tape *t, const char *name, enum ool_dtype dtype,
                                 int n_dims, const int64_t *shape)
{
    struct ool_tensor *x = named(t, name, OOL_CATEGORY_PARAMETER, dtype, n_dims, shape);

    ool_require_grad(x, true);
    return x;
}

struct ool_tensor *ool_buffer(struct ool_tape *t, const char *name, enum ool_dtype dtype,
                              int n_dims, const int64_t *shape)
{
    return named(t, name, OOL_CATEGORY_BUFFER, dtype, n_dims, shape);
}
