/*
 * Layer, RMS, group and batch normalization.
 */
#include "ool_tape_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- layer norm and fused RMS norm ----------------------------------------------------------------------- */

/* A contiguous tensor, or a contiguous copy of it that the caller drops. */
static struct ool_tensor *contiguous_input(struct ool_tape *t, struct ool_tensor *x,
                                           struct ool_tensor **copy)
{
    *copy = NULL;
    if (t->failed || x == NULL || ool_is_contiguous(x))
        return x;
    *copy = ool_make_contiguous(t, x, ool_dtype(x));
    ool_claim(t, *copy);
    ool_kernel_call(t, "copy", NULL, OOL_T(x), OOL_T(*copy));
    return *copy;
}

/* mean and rstd have the shape of x with ones for the normalized dimensions. */
static struct ool_tensor *statistic(struct ool_tape *t, const struct ool_tensor *x,
                                    int n_normalized)
{
    int64_t shape[OOL_MAX_DIMS];

    memcpy(shape, x->shape, sizeof shape);
    for (int i = x->n_dims - n_normalized; i < x->n_dims; i++)
        shape[i] = 1;
    return ool_make(t, ool_accumulate_type(ool_dtype(x)), (enum ool_place)x->place, x->n_dims,
                    shape, NULL);
}

/* What was made for the gradient dies when the sum of the partial ones takes its place. */
static void sum_partials(struct ool_tape *t, struct ool_tensor **grad, struct ool_tensor *partials)
{
    struct ool_tensor *made = NULL, *sum = NULL;

    ool_set(t, &made, *grad);
    OOL_EXPRESSION(t, sum, ool_sum_dims(t, partials, 1, false, ool_dtype(partials)));
    *grad = sum;
    ool_del(t, &made);
}

#define MOST_BLOCKS 32768 /* of the kernel that sums slices, over rows and columns */

/*
 * Few columns for the card and very many rows: the weight gradients are first summed over slices of
 * rows, then over the slices.
 */
static void partial_sums(struct ool_tape *t, const struct ool_tensor *w, int64_t rows,
                         int64_t columns, struct ool_tensor **w_grad, struct ool_tensor **b_grad)
{
    struct ool_tensor *dw = NULL, *db = NULL;
    int64_t across = (columns + 31) / 32, slices = (rows + 31) / 32;
    int64_t shape[2] = {slices, columns};

    if (across > 0 && slices > MOST_BLOCKS / across)
        shape[0] = MOST_BLOCKS / across;
    if (!t->facts->layer_norm_partials || w == NULL || rows <= 65536 ||
        columns / 32 >= t->multiprocessors / 2)
        return;
    if (*w_grad != NULL)
        ool_set(t, &dw, ool_make(t, ool_dtype(w), OOL_PLACE_DEVICE, 2, shape, NULL));
    if (b_grad != NULL && *b_grad != NULL)
        ool_set(t, &db, ool_make(t, ool_dtype(w), OOL_PLACE_DEVICE, 2, shape, NULL));
    if (dw != NULL)
        sum_partials(t, w_grad, dw);
    if (db != NULL)
        sum_partials(t, b_grad, db);
    ool_del(t, &db);
    ool_del(t, &dw);
}

/* Saved: bias, input, weight, mean, rstd. Edges: input, weight, bias. */
static void layer_norm_backward(struct ool_tape *t, struct ool_node *node,
                                struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *x = ool_saved(t, node, 1), *w = ool_saved(t, node, 2),
                      *b = ool_saved(t, node, 0);
    struct ool_tensor *in, *grad, *x_copy, *grad_copy;
    int64_t rows, columns = 1;

    if (t->failed)
        return;
    for (int i = x->n_dims - (int)node->i[0]; i < x->n_dims; i++)
        columns *= x->shape[i];
    rows = columns == 0 ? 0 : ool_numel(x) / columns;
    in = contiguous_input(t, x, &x_copy);
    if (ool_needs(node, 0))
        out[0] = ool_make_contiguous(t, x, ool_dtype(x));
    if (ool_needs(node, 1))
        out[1] = ool_make_contiguous(t, w, ool_dtype(w));
    if (ool_needs(node, 2))
        out[2] = ool_make_contiguous(t, b, ool_dtype(b));
    grad = contiguous_input(t, grads[0], &grad_copy);
    if (ool_needs(node, 1) || ool_needs(node, 2))
        partial_sums(t, w, rows, columns, &out[1], &out[2]);
    ool_kernel_call(t, "layer_norm_backward", NULL,
                    OOL_T(grad, in, ool_saved(t, node, 3), ool_saved(t, node, 4), w),
                    OOL_T(out[0], out[1], out[2]));
    ool_drop(t, grad_copy);
    ool_drop(t, x_copy);
}
static const struct ool_node_class layer_norm_class = {"NativeLayerNormBackward0",
                                                       layer_norm_backward, NULL};

static struct ool_tensor *layer_norm(struct ool_tape *t, struct ool_tensor *x, int n_normalized,
                                     struct ool_tensor *w, struct ool_tensor *b)
{
    struct ool_node *node = ool_node_make(t, &layer_norm_class, OOL_T(x, w, b));
    struct ool_tensor *y, *in, *copy, *mean = NULL, *rstd = NULL;

    if (node != NULL)
        node->i[0] = n_normalized;
    ool_node_save(t, node, b);
    ool_node_save(t, node, x);
    ool_node_save(t, node, w);
    in = contiguous_input(t, x, &copy);
    y = ool_make_contiguous(t, x, ool_dtype(x));
    ool_set(t, &mean, statistic(t, x, n_normalized));
    ool_set(t, &rstd, statistic(t, x, n_normalized));
    ool_kernel_call(t, "layer_norm", NULL, OOL_T(in, w, b), OOL_T(y, mean, rstd));
    ool_drop(t, copy);
    ool_node_save_output(t, node, mean);
    ool_node_save_output(t, node, rstd);
    y = ool_finish(t, node, y, 0, NULL);
    ool_del(t, &mean);
    ool_del(t, &rstd);
    return ool_finish(t, NULL, y, OOL_T(x, w, b));
}

struct ool_tensor *ool_layer_norm(struct ool_tape *t, struct ool_tensor *x, int n_normalized,
                                  struct ool_tensor *w, struct ool_tensor *b)
{
    struct ool_tensor *y, *x_given = x, *w_given = w, *b_given = b;
    size_t scope;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (n_normalized < 1 || n_normalized > x->n_dims)
        return ool_fail(t, OOL_E_RANGE, "layer_norm over %d of %d dimensions", n_normalized,
                        x->n_dims);
    if (!ool_autocast_on(t))
        return layer_norm(t, x, n_normalized, w, b);
    scope = ool_scope_open(t);
    b = ool_cast_f32(t, b);
    w = ool_cast_f32(t, w);
    x = ool_cast_f32(t, x);
    y = t->failed ? NULL : layer_norm(t, x, n_normalized, w, b);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(x_given, w_given, b_given));
}

/* Saved: input, weight, rstd. Edges: input, weight. */
static void rms_norm_backward(struct ool_tape *t, struct ool_node *node,
                              struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *x = ool_saved(t, node, 0), *w = ool_saved(t, node, 1);
    struct ool_tensor *in, *grad, *x_copy, *grad_copy;

    if (t->failed)
        return;
    in = contiguous_input(t, x, &x_copy);
    if (ool_needs(node, 0))
        out[0] = ool_make_contiguous(t, x, ool_dtype(x));
    if (ool_needs(node, 1))
        out[1] = ool_make_contiguous(t, w, ool_dtype(w));
    grad = contiguous_input(t, grads[0], &grad_copy);
    if (ool_needs(node, 1))
        partial_sums(t, w, ool_numel(x) / ool_size(x, -1), ool_size(x, -1), &out[1], NULL);
    ool_kernel_call(t, "rms_norm_backward", NULL, OOL_T(grad, in, ool_saved(t, node, 2), w),
                    OOL_T(out[0], out[1]));
    ool_drop(t, grad_copy);
    ool_drop(t, x_copy);
}
static const struct ool_node_class rms_norm_class = {"FusedRmsNormBackward0", rms_norm_backward,
                                                     NULL};

static struct ool_tensor *fused_rms_norm(struct ool_tape *t, struct ool_tensor *x,
                                         struct ool_tensor *w)
{
    struct ool_node *node = ool_node_make(t, &rms_norm_class, OOL_T(x, w));
    struct ool_tensor *y, *in, *copy, *rstd = NULL;

    ool_node_save(t, node, x);
    ool_node_save(t, node, w);
    in = contiguous_input(t, x, &copy);
    y = ool_make_contiguous(t, x, ool_dtype(x));
    ool_set(t, &rstd, statistic(t, x, 1));
    ool_kernel_call(t, "rms_norm", NULL, OOL_T(in, w), OOL_T(y, rstd));
    ool_drop(t, copy);
    ool_node_save_output(t, node, rstd);
    y = ool_finish(t, node, y, 0, NULL);
    ool_del(t, &rstd);
    return ool_finish(t, NULL, y, OOL_T(x, w));
}

/* Before it was fused: x * rsqrt(mean(x ** 2) + eps) * weight. */
static struct ool_tensor *composed_rms_norm(struct ool_tape *t, struct ool_tensor *x,
                                            struct ool_tensor *w)
{
    bool upcasts = t->facts->rms_norm_upcasts;
    size_t all = ool_scope_open(t), expression;
    struct ool_tensor *up, *rstd, *product, *y = NULL;

    up = upcasts ? ool_to(t, x, ool_accumulate_type(ool_dtype(x))) : x;
    expression = ool_scope_open(t);
    rstd = ool_reduce(t, OOL_MEAN, ool_binary_scalar(t, OOL_POW, up, 2), -1, true);
    ool_binary_scalar_inplace(t, OOL_ADD, rstd, 1e-5);
    rstd = ool_unary(t, OOL_RSQRT, rstd);
    if (upcasts)
        rstd = ool_scope_close(t, expression, rstd);
    if (upcasts && !t->facts->rms_norm_casts_last)
        OOL_EXPRESSION(t, product, ool_to(t, ool_mul(t, up, rstd), ool_dtype(x)));
    else
        product = ool_mul(t, up, rstd);
    ool_set(t, &y, upcasts ? product : ool_scope_close(t, expression, product));
    if (w != NULL)
        ool_set(t, &y, ool_mul(t, y, w));
    if (t->facts->fused_rms_norm)
        ool_set(t, &y, ool_contiguous(t, y));
    if (t->facts->rms_norm_casts_last)
        ool_set(t, &y, ool_to(t, y, ool_dtype(x)));
    y = ool_scope_close(t, all, ool_return(t, &y));
    return ool_finish(t, NULL, y, OOL_T(x, w));
}

struct ool_tensor *ool_rms_norm(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *w)
{
    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (!t->facts->has_rms_norm)
        return ool_fail(t, OOL_E_UNSUPPORTED, "this release has no rms_norm");
    if (x->n_dims < 1)
        return ool_fail(t, OOL_E_RANGE, "rms_norm of a scalar");
    return t->facts->fused_rms_norm && (w == NULL || w->dtype == x->dtype)
               ? fused_rms_norm(t, x, w)
               : composed_rms_norm(t, x, w);
}
