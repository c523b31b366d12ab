/*
 * Sums, means, extrema and softmax.
 */
#include "ool_reduce_config.h"
#include "ool_tape_internal.h"

#include <stdio.h>
#include <string.h>

static uint32_t all_dims(const struct ool_tensor *x)
{
    return (1u << x->n_dims) - 1;
}

static int reduced_shape(const struct ool_tensor *x, uint32_t dims, bool keepdim, int64_t *shape)
{
    int n = 0;

    for (int i = 0; i < x->n_dims; i++) {
        if ((dims & (1u << i)) == 0)
            shape[n++] = x->shape[i];
        else if (keepdim)
            shape[n++] = 1;
    }
    return n;
}

static int64_t reduced_count(const struct ool_tensor *x, uint32_t dims)
{
    int64_t n = 1;

    for (int i = 0; i < x->n_dims; i++) {
        if ((dims & (1u << i)) != 0)
            n *= x->shape[i];
    }
    return n;
}

static struct ool_tensor *reduced(struct ool_tape *t, const struct ool_tensor *x, uint32_t dims,
                                  bool keepdim, enum ool_dtype dtype)
{
    int64_t shape[OOL_MAX_DIMS];
    int n = reduced_shape(x, dims, keepdim, shape);

    return ool_make(t, dtype, (enum ool_place)x->place, n, shape, NULL);
}

/* A 16-bit float is read as it is into a 32-bit sum; other types are cast first, after the output. */
static bool sums_without_cast(enum ool_dtype from, enum ool_dtype to)
{
    return from == to || ((from == OOL_F16 || from == OOL_BF16) && to == OOL_F32);
}

static struct ool_tensor *sum_kernel(struct ool_tape *t, const char *name, struct ool_tensor *x,
                                     uint32_t dims, bool keepdim, enum ool_dtype dtype)
{
    struct ool_tensor *y = reduced(t, x, dims, keepdim, dtype), *cast = NULL;
    char text[32];

    if (!sums_without_cast(ool_dtype(x), dtype)) {
        cast = ool_make_like(t, x, dtype);
        ool_claim(t, cast);
        x = cast;
    }
    ool_tape_reduction_scratch(t, x, dims, dtype, ool_accumulate_type(dtype));
    snprintf(text, sizeof text, "dims=%u", dims);
    ool_kernel_call(t, name, text, OOL_T(x), OOL_T(y));
    ool_drop(t, cast);
    return y;
}

struct ool_tensor *ool_sum_dims(struct ool_tape *t, struct ool_tensor *x, uint32_t dims,
                                bool keepdim, enum ool_dtype dtype)
{
    struct ool_tensor *y;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    y = sum_kernel(t, "sum", x, dims, keepdim, dtype);
    return ool_finish(t, NULL, y, OOL_T(x));
}

struct ool_tensor *ool_sum_to(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                              const int64_t *shape)
{
    struct ool_tensor *y;
    uint32_t dims = 0;
    size_t scope;
    int lead;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    lead = x->n_dims - n_dims;
    if (lead < 0)
        return ool_fail(t, OOL_E_INTERNAL, "a gradient has fewer dimensions than its tensor");
    for (int i = 0; i < x->n_dims; i++) {
        if (i < lead || (shape[i - lead] == 1 && x->shape[i] != 1))
            dims |= 1u << i;
    }
    if (dims == 0)
        return x;
    scope = ool_scope_open(t);
    y = sum_kernel(t, "sum", x, dims, true, ool_dtype(x));
    if (lead > 0)
        y = ool_view(t, y, n_dims, shape);
    return ool_finish(t, NULL, ool_scope_close(t, scope, y), OOL_T(x));
}

/* --- gradients -------------------------------------------------------------------------------------------- */

/* node->i: [0] dims, [1] keepdim, [2] n_dims, [3..10] shape of the input */
static struct ool_tensor *expanded(struct ool_tape *t, struct ool_node *node,
                                   struct ool_tensor *grad)
{
    struct ool_tensor *y = grad;

    for (int i = 0; i < (int)node->i[2] && node->i[1] == 0; i++) {
        if (((uint32_t)node->i[0] & (1u << i)) != 0 && y != NULL && y->n_dims < node->i[2])
            y = ool_unsqueeze(t, y, i);
    }
    return ool_expand(t, y, (int)node->i[2], &node->i[3]);
}

static void sum_backward(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                         struct ool_tensor **out)
{
    out[0] = expanded(t, node, grads[0]);
}
static const struct ool_node_class sum_class = {"SumBackward1", sum_backward, NULL};

static void mean_backward(struct ool_tape *t, struct ool_node *node,
                          struct ool_tensor *const *grads, struct ool_tensor **out)
{
    int64_t n = 1;

    for (int i = 0; i < (int)node->i[2]; i++) {
        if (((uint32_t)node->i[0] & (1u << i)) != 0)
            n *= node->i[3 + i];
    }
    OOL_EXPRESSION(t, out[0],
                   ool_binary_scalar(t, OOL_DIV, expanded(t, node, grads[0]), (double)n));
}
static const struct ool_node_class mean_class = {"MeanBackward1", mean_backward, NULL};

/* (2 / (n - 1) * grad) * (x - x.mean(dims)) */
static struct ool_tensor *var_gradient(struct ool_tape *t, struct ool_node *node,
                                       struct ool_tensor *grad)
{
    struct ool_tensor *x = ool_saved(t, node, 0), *mean, *centred, *scaled = grad;
    uint32_t dims = (uint32_t)node->i[0];

    mean = sum_kernel(t, "mean", x, dims, true, ool_dtype(x));
    centred = ool_binary(t, OOL_SUB, x, mean);
    for (int i = 0; i < (int)node->i[2] && node->i[1] == 0; i++) {
        if ((dims & (1u << i)) != 0 && scaled != NULL && scaled->n_dims < node->i[2])
            scaled = ool_unsqueeze(t, scaled, i);
    }
    scaled = ool_scale(t, scaled, 2.0 / (double)(reduced_count(x, dims) - 1));
    return ool_mul(t, scaled, centred);
}

static void var_backward(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                         struct ool_tensor **out)
{
    OOL_EXPRESSION(t, out[0], var_gradient(t, node, grads[0]));
}
static const struct ool_node_class var_class = {"VarBackward0", var_backward, NULL};

/* zeros into which the gradient is scattered */
static void extremum_backward(struct ool_tape *t, struct ool_node *node,
                              struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *x = ool_zeros(t, ool_dtype(grads[0]), (int)node->i[2], &node->i[3]);

    ool_kernel_call(t, "scatter", NULL, OOL_T(grads[0], ool_saved(t, node, 0)), OOL_T(x));
    out[0] = x;
}
static const struct ool_node_class max_class = {"MaxBackward0", extremum_backward, NULL};
static const struct ool_node_class min_class = {"MinBackward0", extremum_backward, NULL};

static struct ool_node *reduction_node(struct ool_tape *t, const struct ool_node_class *class,
                                       struct ool_tensor *x, uint32_t dims, bool keepdim)
{
    struct ool_node *node = ool_node_make(t, class, OOL_T(x));

    if (node != NULL) {
        node->i[0] = dims;
        node->i[1] = keepdim;
        node->i[2] = x->n_dims;
        memcpy(&node->i[3], x->shape, sizeof x->shape);
    }
    return node;
}

/* --- reductions -------------------------------------------------------------------------------------------- */

/* Saved: input, result. The gradient goes evenly to all elements that are the largest. */
static void all_extremum_backward(struct ool_tape *t, struct ool_node *node,
                                  struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *x = ool_saved(t, node, 0), *y = ool_saved(t, node, 1);
    struct ool_tensor *x_nan = NULL, *y_nan = NULL, *mask = NULL;

    ool_set(t, &x_nan, ool_pointwise(t, "isnan", OOL_BOOL, OOL_T(x)));
    ool_set(t, &y_nan, ool_pointwise(t, "isnan", OOL_BOOL, OOL_T(y)));
    ool_set(t, &mask, ool_binary(t, OOL_EQ, x, y));
    OOL_EXPRESSION(t, out[0],
                   ool_mul(t, mask,
                           ool_binary(t, OOL_DIV, grads[0],
                                      ool_reduce(t, OOL_SUM, mask, OOL_ALL_DIMS, false))));
    ool_del(t, &mask);
    ool_del(t, &y_nan);
    ool_del(t, &x_nan);
}
static const struct ool_node_class all_max_class = {"MaxBackward1", all_extremum_backward, NULL};
static const struct ool_node_class all_min_class = {"MinBackward1", all_extremum_backward, NULL};

static struct ool_tensor *reduce_extremum(struct ool_tape *t, enum ool_reduction op,
                                          struct ool_tensor *x, uint32_t dims, bool keepdim,
                                          bool all)
{
    struct ool_reduce_kernel kernel = {.element_bytes = 16, .vt0 = 4, .input_vector = 4};
    bool max = op == OOL_MAX;
    struct ool_node *node;
    struct ool_tensor *y, *indices = NULL;

    if (all) {
        node = ool_node_make(t, max ? &all_max_class : &all_min_class, OOL_T(x));
        ool_node_save(t, node, x);
        y = reduced(t, x, dims, keepdim, ool_dtype(x));
        kernel.element_bytes = ool_dtype_bytes(ool_dtype(x));
        ool_reduce_emit(t, x, dims, ool_dtype_bytes(ool_dtype(x)), &kernel);
        ool_kernel_call(t, max ? "max" : "min", NULL, OOL_T(x), OOL_T(y));
        ool_node_save_output(t, node, y);
        return ool_finish(t, node, y, OOL_T(x));
    }
    node = reduction_node(t, max ? &max_class : &min_class, x, dims, keepdim);
    y = reduced(t, x, dims, keepdim, ool_dtype(x));
    ool_set(t, &indices, reduced(t, x, dims, keepdim, OOL_I64));
    ool_reduce_emit(t, x, dims, ool_dtype_bytes(ool_dtype(x)), &kernel);
    ool_kernel_call(t, max ? "max" : "min", NULL, OOL_T(x), OOL_T(y, indices));
    ool_node_save_output(t, node, indices);
    y = ool_finish(t, node, y, OOL_T(x));
    ool_del(t, &indices);
    return y;
}

static struct ool_tensor *reduce_plain(struct ool_tape *t, enum ool_reduction op,
                                       struct ool_tensor *x, uint32_t dims, bool keepdim)
{
    struct ool_reduce_kernel kernel = {.element_bytes = 16, .vt0 = 4, .input_vector = 4};
    struct ool_node *node = NULL;
    struct ool_tensor *y;

    if (op == OOL_VAR) {
        kernel.vt0 = 2;
        kernel.own_buffer = true;
        node = reduction_node(t, &var_class, x, dims, keepdim);
        ool_node_save(t, node, x);
        y = reduced(t, x, dims, keepdim, ool_dtype(x));
    } else if (op == OOL_ARGMAX) {
        y = reduced(t, x, dims, keepdim, OOL_I64);
    } else {
        kernel.element_bytes = 1;
        y = reduced(t, x, dims, keepdim, OOL_BOOL);
    }
    ool_reduce_emit(t, x, dims, y == NULL ? 1 : ool_dtype_bytes(ool_dtype(y)), &kernel);
    ool_kernel_call(t,
                    op == OOL_VAR      ? "var"
                    : op == OOL_ARGMAX ? "argmax"
                    : op == OOL_ANY    ? "any"
                                       : "all",
                    NULL, OOL_T(x), OOL_T(y));
    return ool_finish(t, node, y, OOL_T(x));
}

static struct ool_tensor *reduce_sum(struct ool_tape *t, enum ool_reduction op,
                                     struct ool_tensor *x, uint32_t dims, bool keepdim)
{
    bool mean = op == OOL_MEAN;
    enum ool_dtype dtype = ool_dtype(x);
    struct ool_node *node;
    struct ool_tensor *y;

    if (!ool_dtype_is_float(dtype))
        dtype = OOL_I64;
    else if (!mean && ool_autocast_on(t) && dtype != OOL_F64)
        dtype = OOL_F32;
    node = reduction_node(t, mean ? &mean_class : &sum_class, x, dims, keepdim);
    y = sum_kernel(t, mean ? "mean" : "sum", x, dims, keepdim, dtype);
    return ool_finish(t, node, y, OOL_T(x));
}

struct ool_tensor *ool_reduce(struct ool_tape *t, enum ool_reduction op, struct ool_tensor *x,
                              int dim, bool keepdim)
{
    uint32_t dims;
    bool all = dim == OOL_ALL_DIMS;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (!all && ool_dim(x, dim) < 0)
        return ool_fail(t, OOL_E_RANGE, "reduce: no such dimension");
    dims = all || x->n_dims == 0 ? all_dims(x) : 1u << ool_dim(x, dim);
    if (op == OOL_MEAN && !ool_dtype_is_float(ool_dtype(x)))
        return ool_fail(t, OOL_E_COMBINATION, "mean of a tensor that is not floating point");
    switch (op) {
    case OOL_SUM:
    case OOL_MEAN:
        return reduce_sum(t, op, x, dims, keepdim);
    case OOL_MAX:
    case OOL_MIN:
        return reduce_extremum(t, op, x, dims, keepdim, all);
    default:
        return reduce_plain(t, op, x, dims, keepdim);
    }
}

/* --- softmax --------------------------------------------------------------------------------------------------- */

/* The kernel reads contiguous memory. Returns x or a copy that the caller drops. */
static struct ool_tensor *readable(struct ool_tape *t, struct ool_tensor *x,
                                   struct ool_tensor **copy)
{
    *copy = NULL;
    if (x == NULL || ool_is_contiguous(x))
        return x;
    *copy = ool_make_contiguous(t, x, ool_dtype(x));
    ool_claim(t, *copy);
    ool_kernel_call(t, "copy", NULL, OOL_T(x), OOL_T(*copy));
    return *copy;
}

static void softmax_backward(struct ool_tape *t, struct ool_node *node,
                             struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *result = ool_saved(t, node, 0), *product, *x, *copy;
    char text[32];

    x = ool_make_contiguous(t, grads[0], (enum ool_dtype)node->i[1]);
    product = ool_mul(t, grads[0], result);
    ool_claim(t, product);
    snprintf(text, sizeof text, "dim=%d", (int)node->i[0]);
    (void)readable(t, product, &copy);
    ool_kernel_call(t, "softmax_backward", text, OOL_T(grads[0], result), OOL_T(x));
    ool_drop(t, copy);
    ool_drop(t, product);
    out[0] = x;
}
static const struct ool_node_class softmax_class = {"SoftmaxBackward0", softmax_backward, NULL};

static void log_softmax_backward(struct ool_tape *t, struct ool_node *node,
                                 struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *result = ool_saved(t, node, 0), *x, *grad, *copy;
    char text[32];

    x = ool_make_contiguous(t, grads[0], (enum ool_dtype)node->i[1]);
    grad = readable(t, grads[0], &copy);
    snprintf(text, sizeof text, "dim=%d", (int)node->i[0]);
    ool_kernel_call(t, "log_softmax_backward", text, OOL_T(grad, result), OOL_T(x));
    ool_drop(t, copy);
    out[0] = x;
}
static const struct ool_node_class log_softmax_class = {"LogSoftmaxBackward0", log_softmax_backward,
                                                        NULL};

static struct ool_tensor *softmax_kernel(struct ool_tape *t, bool log, struct ool_tensor *x,
                                         int dim, enum ool_dtype dtype)
{
    struct ool_node *node = ool_node_make(t, log ? &log_softmax_class : &softmax_class, OOL_T(x));
    struct ool_tensor *y, *in, *copy;
    char text[32];

    y = ool_make_contiguous(t, x, dtype);
    in = readable(t, x, &copy);
    snprintf(text, sizeof text, "dim=%d", dim);
    ool_kernel_call(t, log ? "log_softmax" : "softmax", text, OOL_T(in), OOL_T(y));
    ool_drop(t, copy);
    if (node != NULL) {
        node->i[0] = dim;
        node->i[1] = x->dtype;
    }
    ool_node_save_output(t, node, y);
    return ool_finish(t, node, y, OOL_T(x));
}

/* f16 goes into f32 in one kernel; any other type is cast before. */
static struct ool_tensor *softmax_as(struct ool_tape *t, bool log, struct ool_tensor *x, int dim,
                                     enum ool_dtype dtype)
{
    struct ool_tensor *y;
    size_t scope;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    dim = ool_dim(x, dim);
    if (dim < 0)
        return ool_fail(t, OOL_E_RANGE, "softmax: no such dimension");
    if (x->dtype == dtype || (x->dtype == OOL_F16 && dtype == OOL_F32))
        return softmax_kernel(t, log, x, dim, dtype);
    scope = ool_scope_open(t);
    y = softmax_kernel(t, log, ool_to(t, x, dtype), dim, dtype);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(x));
}

static enum ool_dtype softmax_type(const struct ool_tape *t, const struct ool_tensor *x)
{
    enum ool_dtype dtype = ool_dtype(x);

    return ool_autocast_on(t) && ool_dtype_is_float(dtype) && dtype != OOL_F64 ? OOL_F32 : dtype;
}

struct ool_tensor *ool_softmax(struct ool_tape *t, struct ool_tensor *x, int dim)
{
    return softmax_as(t, false, x, dim, softmax_type(t, x));
}

struct ool_tensor *ool_softmax_to(struct ool_tape *t, struct ool_tensor *x, int dim,
                                  enum ool_dtype dtype)
{
    return softmax_as(t, false, x, dim, dtype);
}

struct ool_tensor *ool_log_softmax(struct ool_tape *t, struct ool_tensor *x, int dim)
{
    return softmax_as(t, true, x, dim, softmax_type(t, x));
}
