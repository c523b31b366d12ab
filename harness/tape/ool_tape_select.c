/*
 * Operators that choose or arrange elements: masks, dropout, cat, repeat, pad.
 */
#include "ool_tape_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- masks --------------------------------------------------------------------------------------------- */

static struct ool_tensor *masked_fill_raw(struct ool_tape *t, struct ool_tensor *x,
                                          struct ool_tensor *mask, double value)
{
    int64_t shape[OOL_MAX_DIMS];
    struct ool_tensor *y;
    char text[48];
    int n;

    if (!ool_broadcast(OOL_T(x, mask), &n, shape))
        return ool_fail(t, OOL_E_COMBINATION, "masked_fill: the mask cannot be broadcast");
    y = ool_make(t, ool_dtype(x), (enum ool_place)x->place, n, shape, NULL);
    snprintf(text, sizeof text, "value=%.17g", value);
    ool_kernel_call(t, "masked_fill", text, OOL_T(x, mask), OOL_T(y));
    return y;
}

static void masked_fill_backward(struct ool_tape *t, struct ool_node *node,
                                 struct ool_tensor *const *grads, struct ool_tensor **out)
{
    out[0] = masked_fill_raw(t, grads[0], ool_saved(t, node, 0), 0);
}
static const struct ool_node_class masked_fill_class = {"MaskedFillBackward0", masked_fill_backward,
                                                        NULL};

struct ool_tensor *ool_masked_fill(struct ool_tape *t, struct ool_tensor *x,
                                   struct ool_tensor *mask, double value)
{
    struct ool_node *node;

    if (!ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(mask)))
        return NULL;
    node = ool_node_make(t, &masked_fill_class, OOL_T(x));
    ool_node_save(t, node, mask);
    return ool_finish(t, node, masked_fill_raw(t, x, mask, value), OOL_T(x, mask));
}

/* where(condition, grad, 0): the zero is a scalar on the device */
static struct ool_tensor *where_gradient(struct ool_tape *t, struct ool_tensor *condition,
                                         struct ool_tensor *grad, bool first)
{
    struct ool_tensor *zero = ool_full(t, ool_dtype(grad), 0, 0, NULL);

    return first ? ool_where(t, condition, grad, zero) : ool_where(t, condition, zero, grad);
}

static void where_backward(struct ool_tape *t, struct ool_node *node,
                           struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *condition = ool_saved(t, node, 0);

    if (ool_needs(node, 1))
        OOL_EXPRESSION(t, out[1], where_gradient(t, condition, grads[0], false));
    if (ool_needs(node, 0))
        OOL_EXPRESSION(t, out[0], where_gradient(t, condition, grads[0], true));
}
static const struct ool_node_class where_class = {"WhereBackward0", where_backward, NULL};

struct ool_tensor *ool_where(struct ool_tape *t, struct ool_tensor *mask, struct ool_tensor *x,
                             struct ool_tensor *y)
{
    struct ool_node *node;
    struct ool_tensor *z, *a = x, *b = y;
    enum ool_dtype dtype;
    size_t scope;

    if (!ool_usable(t, OOL_T(mask)) || !ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(y)))
        return NULL;
    dtype = ool_promote(OOL_T(x, y));
    scope = ool_scope_open(t);
    a = ool_to(t, x, dtype);
    b = ool_to(t, y, dtype);
    node = ool_node_make(t, &where_class, OOL_T(a, b));
    ool_node_save(t, node, mask);
    z = ool_pointwise(t, "where", dtype, OOL_T(mask, a, b));
    z = ool_scope_close(t, scope, ool_finish(t, node, z, 0, NULL));
    return ool_finish(t, NULL, z, OOL_T(mask, x, y));
}

static void triangle_backward(struct ool_tape *t, struct ool_node *node,
                              struct ool_tensor *const *grads, struct ool_tensor **out)
{
    out[0] = node->i[0] != 0 ? ool_triu(t, grads[0], node->i[1]) : ool_tril(t, grads[0]);
}
static const struct ool_node_class triangle_class = {"TriuBackward0", triangle_backward, NULL};

static struct ool_tensor *triangle(struct ool_tape *t, struct ool_tensor *x, bool upper,
                                   int64_t diagonal)
{
    struct ool_node *node;
    struct ool_tensor *y;
    char text[48];

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    node = ool_node_make(t, &triangle_class, OOL_T(x));
    if (node != NULL) {
        node->i[0] = upper;
        node->i[1] = diagonal;
    }
    y = ool_make_contiguous(t, x, ool_dtype(x));
    snprintf(text, sizeof text, "diagonal=%lld", (long long)diagonal);
    ool_kernel_call(t, upper ? "triu" : "tril", text, OOL_T(x), OOL_T(y));
    return ool_finish(t, node, y, OOL_T(x));
}

struct ool_tensor *ool_tril(struct ool_tape *t, struct ool_tensor *x)
{
    return triangle(t, x, false, 0);
}

struct ool_tensor *ool_triu(struct ool_tape *t, struct ool_tensor *x, int64_t diagonal)
{
    return triangle(t, x, true, diagonal);
}

/* where((x >= low) && (x <= high), grad, 0) */
static struct ool_tensor *clamp_gradient(struct ool_tape *t, struct ool_node *node,
                                         struct ool_tensor *grad)
{
    struct ool_tensor *x = ool_saved(t, node, 0), *inside = NULL;
    struct ool_tensor *zero = ool_full(t, ool_dtype(grad), 0, 0, NULL);

    if (!isnan(node->d[0]))
        inside = ool_binary_scalar(t, OOL_GE, x, node->d[0]);
    if (!isnan(node->d[1])) {
        struct ool_tensor *below = ool_binary_scalar(t, OOL_LE, x, node->d[1]);

        if (inside == NULL)
            inside = below;
        else
            ool_kernel_call(t, "and", NULL, OOL_T(inside, below), OOL_T(inside));
    }
    return ool_where(t, inside, grad, zero);
}

static void clamp_backward(struct ool_tape *t, struct ool_node *node,
                           struct ool_tensor *const *grads, struct ool_tensor **out)
{
    OOL_EXPRESSION(t, out[0], clamp_gradient(t, node, grads[0]));
}
static const struct ool_node_class clamp_class = {"ClampBackward1", clamp_backward, NULL};

struct ool_tensor *ool_clamp(struct ool_tape *t, struct ool_tensor *x, double low, double high)
{
    struct ool_node *node;
    struct ool_tensor *y;
    char text[96];

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (isnan(low) && isnan(high))
        return ool_fail(t, OOL_E_COMBINATION, "clamp without a bound");
    node = ool_node_make(t, &clamp_class, OOL_T(x));
    ool_node_save(t, node, x);
    if (node != NULL) {
        node->d[0] = low;
        node->d[1] = high;
    }
    y = ool_make_like(t, x, ool_dtype(x));
    snprintf(text, sizeof text, "low=%.17g high=%.17g", low, high);
    ool_kernel_call(t, "clamp", text, OOL_T(x), OOL_T(y));
    return ool_finish(t, node, y, OOL_T(x));
}

/* --- dropout -------------------------------------------------------------------------------------------- */

static void dropout_backward(struct ool_tape *t, struct ool_node *node,
                             struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *x = ool_make_contiguous(t, grads[0], ool_dtype(grads[0]));
    char text[32];

    snprintf(text, sizeof text, "p=%.17g", node->d[0]);
    ool_kernel_call(t, "dropout_backward", text, OOL_T(grads[0], ool_saved(t, node, 0)), OOL_T(x));
    out[0] = x;
}
static const struct ool_node_class dropout_class = {"NativeDropoutBackward0", dropout_backward,
                                                    NULL};

struct ool_tensor *ool_native_dropout(struct ool_tape *t, struct ool_tensor *x, double p,
                                      struct ool_tensor **mask)
{
    struct ool_tensor *y;
    char text[32];

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    *mask = ool_make_like(t, x, OOL_BOOL);
    y = ool_make_like(t, x, ool_dtype(x));
    snprintf(text, sizeof text, "p=%.17g", p);
    ool_kernel_call(t, "dropout", text, OOL_T(x), OOL_T(y, *mask));
    return y;
}

struct ool_tensor *ool_dropout(struct ool_tape *t, struct ool_tensor *x, double p, bool training)
{
    struct ool_node *node;
    struct ool_tensor *y, *mask = NULL;

    if (!ool_usable(t, OOL_T(x)) || p == 0 || !training || ool_numel(x) == 0)
        return t->failed ? NULL : x;
    if (!(p > 0 && p < 1))
        return ool_fail(t, OOL_E_UNSUPPORTED, "dropout with p = %g", p);
    node = ool_node_make(t, &dropout_class, OOL_T(x));
    if (node != NULL)
        node->d[0] = p;
    y = ool_native_dropout(t, x, p, &mask);
    ool_claim(t, mask);
    ool_node_save_output(t, node, mask);
    y = ool_finish(t, node, y, 0, NULL);
    ool_drop(t, mask);
    return ool_finish(t, NULL, y, OOL_T(x));
}

/* --- cat, stack -------------------------------------------------------------------------------------------- */

static void cat_backward(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                         struct ool_tensor **out)
{
    const struct ool_edge *edges = node->edges;
    int64_t start = 0;

    for (uint32_t i = 0; i < node->n_edges && i < (uint32_t)(2 * OOL_MAX_DIMS + 3); i++) {
        int64_t size = node->i[1 + i];

        if (edges[i].node != NULL)
            out[i] = ool_slice(t, grads[0], (int)node->i[0], start, start + size);
        start += size;
    }
}
static const struct ool_node_class cat_class = {"CatBackward0", cat_backward, NULL};

#define MOST_PARTS (2 * OOL_MAX_DIMS + 3)

struct ool_tensor *ool_cat(struct ool_tape *t, struct ool_tensor *const *parts, int n, int dim)
{
    struct ool_node *node;
    struct ool_tensor *y;
    int64_t shape[OOL_MAX_DIMS];
    char text[32];

    if (n < 1) {
        ool_fail(t, OOL_E_COMBINATION, "cat of nothing");
        return NULL;
    }
    if (!ool_usable(t, n, parts))
        return NULL;
    dim = ool_dim(parts[0], dim);
    if (dim < 0)
        return ool_fail(t, OOL_E_RANGE, "cat: no such dimension");
    memcpy(shape, parts[0]->shape, sizeof shape);
    for (int i = 1; i < n; i++) {
        if (parts[i] == NULL || parts[i]->n_dims != parts[0]->n_dims)
            return ool_fail(t, OOL_E_COMBINATION, "cat: the parts differ in dimensions");
        for (int d = 0; d < parts[0]->n_dims; d++) {
            if (d == dim)
                shape[d] += parts[i]->shape[d];
            else if (parts[i]->shape[d] != shape[d])
                return ool_fail(t, OOL_E_COMBINATION, "cat: the parts differ in dimension %d", d);
        }
    }
    node = ool_node_make(t, &cat_class, n, parts);
    if (node != NULL && n > MOST_PARTS) {
        ool_fail(t, OOL_E_UNSUPPORTED, "cat of more than %d parts with a gradient", MOST_PARTS);
        return NULL;
    }
    if (node != NULL) {
        node->i[0] = dim;
        for (int i = 0; i < n; i++)
            node->i[1 + i] = parts[i]->shape[dim];
    }
    y = ool_make(t, ool_promote(n, parts), (enum ool_place)parts[0]->place, parts[0]->n_dims, shape,
                 NULL);
    snprintf(text, sizeof text, "dim=%d", dim);
    ool_kernel_call(t, "cat", text, n, parts, OOL_T(y));
    return ool_finish(t, node, y, n, parts);
}

static void stack_backward(struct ool_tape *t, struct ool_node *node,
                           struct ool_tensor *const *grads, struct ool_tensor **out)
{
    for (uint32_t i = 0; i < node->n_edges; i++) {
        if (ool_needs(node, (int)i))
            out[i] = ool_select(t, grads[0], (int)node->i[0], i);
    }
}
static const struct ool_node_class stack_class = {"StackBackward0", stack_backward, NULL};

struct ool_tensor *ool_stack(struct ool_tape *t, struct ool_tensor *const *parts, int n, int dim)
{
    struct ool_node *node;
    struct ool_tensor *y;
    int64_t shape[OOL_MAX_DIMS];
    int n_dims;

    if (n < 1) {
        ool_fail(t, OOL_E_COMBINATION, "stack of nothing");
        return NULL;
    }
    if (!ool_usable(t, n, parts))
        return NULL;
    n_dims = parts[0]->n_dims + 1;
    if (dim < 0)
        dim += n_dims;
    if (dim < 0 || dim >= n_dims || n_dims > OOL_MAX_DIMS)
        return ool_fail(t, OOL_E_RANGE, "stack: no such dimension");
    for (int i = 1; i < n; i++) {
        if (parts[i] == NULL || !ool_same_shape(parts[0], parts[i]))
            return ool_fail(t, OOL_E_COMBINATION, "stack: the parts differ in shape");
    }
    for (int i = 0; i < n_dims; i++)
        shape[i] = i == dim ? n : parts[0]->shape[i < dim ? i : i - 1];
    node = ool_node_make(t, &stack_class, n, parts);
    if (node != NULL)
        node->i[0] = dim;
    y = ool_make(t, ool_promote(n, parts), (enum ool_place)parts[0]->place, n_dims, shape, NULL);
    ool_kernel_call(t, "stack", NULL, n, parts, OOL_T(y));
    return ool_finish(t, node, y, n, parts);
}

/* --- repeat, pad --------------------------------------------------------------------------------------------- */

struct ool_tensor *ool_repeat_interleave(struct ool_tape *t, struct ool_tensor *x, int64_t repeats,
                                         int dim)
{
    int64_t shape[OOL_MAX_DIMS], flat[OOL_MAX_DIMS];
    struct ool_tensor *y;
    size_t scope;
    int n = 0;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    dim = ool_dim(x, dim);
    if (dim < 0 || x->n_dims == OOL_MAX_DIMS || repeats < 1)
        return ool_fail(t, OOL_E_RANGE, "repeat_interleave: no such dimension or count");
    for (int i = 0; i < x->n_dims; i++) {
        shape[n++] = x->shape[i];
        if (i == dim)
            shape[n++] = repeats;
        flat[i] = i == dim ? x->shape[i] * repeats : x->shape[i];
    }
    scope = ool_scope_open(t);
    y = ool_expand(t, ool_unsqueeze(t, x, dim + 1), n, shape);
    if (repeats > 1)
        y = ool_contiguous(t, y);
    else
        y = ool_clone(t, y);
    y = ool_scope_close(t, scope, ool_view(t, y, x->n_dims, flat));
    return ool_finish(t, NULL, y, OOL_T(x));
}

/* node->i: [0] n_dims of x, [1..8] its shape, then the dimensions of the result */
static void repeat_backward(struct ool_tape *t, struct ool_node *node,
                            struct ool_tensor *const *grads, struct ool_tensor **out)
{
    int64_t split[OOL_MAX_DIMS];
    int n = 0, n_x = (int)node->i[0], lead = grads[0]->n_dims - n_x;
    uint32_t dims = 0;
    struct ool_tensor *x;

    for (int i = 0; i < grads[0]->n_dims && n < OOL_MAX_DIMS - 1; i++) {
        int64_t size = i < lead ? 1 : node->i[1 + i - lead];

        if (i < lead || grads[0]->shape[i] != size) {
            dims |= 1u << n;
            split[n++] = grads[0]->shape[i] / size;
        }
        if (i >= lead)
            split[n++] = size;
    }
    if (dims == 0) {
        out[0] = grads[0];
        return;
    }
    x = ool_reshape(t, grads[0], n, split);
    out[0] = ool_sum_dims(t, x, dims, false, ool_dtype(grads[0]));
}
static const struct ool_node_class repeat_class = {"RepeatBackward0", repeat_backward, NULL};

struct ool_tensor *ool_repeat(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                              const int64_t *repeats)
{
    struct ool_node *node;
    struct ool_tensor *y;
    int64_t shape[OOL_MAX_DIMS];
    int lead;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    lead = n_dims - x->n_dims;
    if (lead < 0 || n_dims > OOL_MAX_DIMS)
        return ool_fail(t, OOL_E_COMBINATION, "repeat: fewer counts than dimensions");
    for (int i = 0; i < n_dims; i++)
        shape[i] = repeats[i] * (i < lead ? 1 : x->shape[i - lead]);
    node = ool_node_make(t, &repeat_class, OOL_T(x));
    if (node != NULL) {
        node->i[0] = x->n_dims;
        memcpy(&node->i[1], x->shape, sizeof x->shape);
    }
    y = ool_make(t, ool_dtype(x), (enum ool_place)x->place, n_dims, shape, NULL);
    ool_kernel_call(t, "repeat", NULL, OOL_T(x), OOL_T(y));
    return ool_finish(t, node, y, OOL_T(x));
}

/* @pads: from the last dimension on, before and after; negative ones cut. */
static struct ool_tensor *padded(struct ool_tape *t, struct ool_tensor *x, int n,
                                 const int64_t *pads, double value)
{
    int64_t shape[OOL_MAX_DIMS];
    char text[128];
    int used;

    memcpy(shape, x->shape, sizeof shape);
    used = snprintf(text, sizeof text, "value=%.17g pads=", value);
    for (int i = 0; i < n; i++) {
        shape[x->n_dims - 1 - i / 2] += pads[i];
        if (used > 0 && (size_t)used < sizeof text)
            used += snprintf(text + used, sizeof text - (size_t)used, "%s%lld", i > 0 ? "," : "",
                             (long long)pads[i]);
    }
    {
        struct ool_tensor *y =
            ool_make(t, ool_dtype(x), (enum ool_place)x->place, x->n_dims, shape, NULL);

        ool_kernel_call(t, "pad", text, OOL_T(x), OOL_T(y));
        return y;
    }
}

static void pad_backward(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                         struct ool_tensor **out)
{
    out[0] = padded(t, grads[0], (int)node->i[0], &node->i[1], 0);
}
static const struct ool_node_class pad_class = {"ConstantPadNdBackward0", pad_backward, NULL};

struct ool_tensor *ool_pad(struct ool_tape *t, struct ool_tensor *x, int n, const int64_t *pads,
                           double value)
{
    struct ool_node *node;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (n < 0 || n % 2 != 0 || n / 2 > x->n_dims)
        return ool_fail(t, OOL_E_COMBINATION, "pad: %d numbers for %d dimensions", n, x->n_dims);
    node = ool_node_make(t, &pad_class, OOL_T(x));
    if (node != NULL) {
        node->i[0] = n;
        for (int i = 0; i < n; i++)
            node->i[1 + i] = -pads[i];
    }
    return ool_finish(t, node, padded(t, x, n, pads, value), OOL_T(x));
}
