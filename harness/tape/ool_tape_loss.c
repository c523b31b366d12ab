/*
 * Losses: cross-entropy, negative log-likelihood, squared error, binary cross-entropy. Source: ATen's
 * LossNLL.cpp, LossNLL2d, Loss.cpp of 2.11.0; C++ evaluates the arguments of an operator right to left.
 */
#include "ool_tape_internal.h"

#include <stdio.h>

static uint32_t every_dim(const struct ool_tensor *x)
{
    return (UINT32_C(1) << x->n_dims) - 1;
}

static enum ool_dtype type_of(const struct ool_tensor *x)
{
    return (enum ool_dtype)x->dtype;
}

static struct ool_tensor *scalar(struct ool_tape *t, enum ool_dtype dtype)
{
    return ool_make(t, dtype, OOL_PLACE_DEVICE, 0, NULL, NULL);
}

/* --- negative log-likelihood ------------------------------------------------------------------------------ */

static void nll_backward(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                         struct ool_tensor **out)
{
    struct ool_tensor *self = ool_saved(t, node, 0);

    if (!ool_needs(node, 0) || grads[0] == NULL || self == NULL)
        return;
    out[0] = ool_make_contiguous(t, self, type_of(self));
    ool_kernel_call(t, "nll_loss_backward", NULL, 3,
                    (struct ool_tensor *[]){grads[0], ool_saved(t, node, 1), ool_saved(t, node, 2)},
                    1, &out[0]);
}

static const struct ool_node_class nll_class = {"NllLossBackward0", nll_backward, NULL};
static const struct ool_node_class nll2d_class = {"NllLoss2DBackward0", nll_backward, NULL};

/* @x: log-probabilities with the classes in dim 1 (0 of a vector). The flat kernel makes its result
 * first, the one for more dimensions the total weight. */
static struct ool_tensor *nll(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *target,
                              enum ool_loss_reduction reduction)
{
    bool flat = x->n_dims <= 2, none = reduction == OOL_LOSS_NONE;
    struct ool_node *node = ool_node_make(t, flat ? &nll_class : &nll2d_class, OOL_T(x));
    struct ool_tensor *weight = NULL, *y = NULL;

    ool_node_save(t, node, x);
    ool_node_save(t, node, target);
    if (!flat)
        ool_set(t, &weight, scalar(t, type_of(x)));
    y = none ? ool_make_contiguous(t, target, type_of(x)) : scalar(t, type_of(x));
    if (flat)
        ool_set(t, &weight, scalar(t, type_of(x)));
    ool_node_save_output(t, node, weight);
    ool_kernel_call(t, "nll_loss",
                    none                        ? "reduction=none"
                    : reduction == OOL_LOSS_SUM ? "reduction=sum"
                                                : NULL,
                    2, (struct ool_tensor *[]){x, target}, 2, (struct ool_tensor *[]){y, weight});
    y = ool_finish(t, node, y, OOL_T(x, target));
    ool_del(t, &weight);
    return y;
}

static bool shapes_fit(struct ool_tape *t, const struct ool_tensor *x,
                       const struct ool_tensor *target)
{
    int classes = x->n_dims > 1 ? 1 : 0;
    bool fit = target != NULL && x->n_dims > 0 && target->n_dims == x->n_dims - 1;

    for (int i = 0, j = 0; fit && i < x->n_dims; i++) {
        if (i != classes)
            fit = x->shape[i] == target->shape[j++];
    }
    if (!fit)
        ool_fail(t, OOL_E_COMBINATION, "a loss over classes got a target of another shape");
    return fit;
}

static struct ool_tensor *nll_any(struct ool_tape *t, struct ool_tensor *x,
                                  struct ool_tensor *target, enum ool_loss_reduction reduction)
{
    if (t->failed || x == NULL)
        return NULL;
    if (ool_autocast_on(t))
        x = ool_cast_f32(t, x);
    if (x != NULL && (x->n_dims == 3 || x->n_dims > 4)) { /* seen as four dimensions */
        x = ool_contiguous(t, x);
        target = ool_contiguous(t, target);
    }
    return x == NULL || target == NULL ? NULL : nll(t, x, target, reduction);
}

struct ool_tensor *ool_nll_loss(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *target)
{
    struct ool_tensor *y;
    size_t scope;

    if (!ool_usable(t, OOL_T(x, target)) || !shapes_fit(t, x, target))
        return NULL;
    scope = ool_scope_open(t);
    y = ool_scope_close(t, scope, nll_any(t, x, target, OOL_LOSS_MEAN));
    return ool_finish(t, NULL, y, OOL_T(x, target));
}

/* --- cross-entropy ------------------------------------------------------------------------------------------ */

/* log_softmax(x, classes, x.dtype): a given dtype keeps autocast from widening it. */
static struct ool_tensor *log_probabilities(struct ool_tape *t, struct ool_tensor *x)
{
    bool was = ool_autocast_set(t, false);
    struct ool_tensor *y = ool_log_softmax(t, x, x->n_dims > 1 ? 1 : 0);

    ool_autocast_set(t, was);
    return y;
}

static void masked_fill_backward(struct ool_tape *t, struct ool_node *node,
                                 struct ool_tensor *const *grads, struct ool_tensor **out)
{
    if (ool_needs(node, 0) && grads[0] != NULL)
        out[0] = ool_make_like(t, grads[0], type_of(grads[0]));
}

static const struct ool_node_class masked_fill_class = {"MaskedFillBackward0", masked_fill_backward,
                                                        NULL};

/* *x = x.masked_fill_(mask, 0): the same storage under a new node. */
static void mask_out(struct ool_tape *t, struct ool_tensor **x, struct ool_tensor *mask)
{
    struct ool_node *node;
    struct ool_tensor *y;

    if (t->failed || *x == NULL)
        return;
    node = ool_node_make(t, &masked_fill_class, OOL_T(*x));
    ool_node_save(t, node, mask);
    y = ool_make_alias(t, *x);
    ool_kernel_call(t, "masked_fill", "value=0", 1, &mask, 1, &y);
    ool_set(t, x, ool_finish(t, node, y, OOL_T(*x)));
}

/* mask.sum(): the booleans are widened first. */
static struct ool_tensor *count_true(struct ool_tape *t, struct ool_tensor *mask)
{
    struct ool_tensor *count = scalar(t, OOL_I64);
    struct ool_tensor *wide = NULL;

    ool_set(t, &wide, ool_make_contiguous(t, mask, OOL_I64));
    if (wide != NULL)
        ool_tape_reduction_scratch(t, wide, every_dim(wide), OOL_I64, OOL_I64);
    ool_del(t, &wide);
    return count;
}

/* smooth.sum() / (~ignored).sum() */
static struct ool_tensor *smooth_mean(struct ool_tape *t, struct ool_tensor *smooth,
                                      struct ool_tensor *ignored)
{
    struct ool_tensor *kept = NULL, *result = NULL, *count, *sum;
    size_t scope;

    ool_set(t, &kept, ool_make_like(t, ignored, OOL_BOOL));
    if (kept == NULL)
        return NULL;
    scope = ool_scope_open(t);
    count = count_true(t, kept);
    sum = ool_reduce(t, OOL_SUM, smooth, OOL_ALL_DIMS, false);
    ool_set(t, &result, ool_scope_close(t, scope, ool_binary(t, OOL_DIV, sum, count)));
    ool_del(t, &kept);
    return result;
}

/* (1 - smoothing) * nll + smooth * (smoothing / classes) */
static struct ool_tensor *mix(struct ool_tape *t, struct ool_tensor *loss,
                              struct ool_tensor *smooth, double smoothing, int64_t classes)
{
    size_t scope = ool_scope_open(t);
    struct ool_tensor *right = ool_scale(t, smooth, smoothing / (double)classes);
    struct ool_tensor *left = ool_scale(t, loss, 1 - smoothing);

    return ool_scope_close(t, scope, ool_add(t, left, right));
}

static struct ool_tensor *smoothed(struct ool_tape *t, struct ool_tensor *x,
                                   struct ool_tensor *target, double smoothing,
                                   enum ool_loss_reduction reduction)
{
    struct ool_tensor *logs = NULL, *loss = NULL, *smooth = NULL, *ignored = NULL, *combined = NULL,
                      *y = NULL;
    int classes = x->n_dims > 1 ? 1 : 0;

    OOL_EXPRESSION(t, y, log_probabilities(t, x));
    ool_set(t, &logs, y);
    OOL_EXPRESSION(t, y, nll_any(t, logs, target, reduction));
    ool_set(t, &loss, y);
    OOL_EXPRESSION(t, y, ool_unary(t, OOL_NEG, ool_reduce(t, OOL_SUM, logs, classes, false)));
    ool_set(t, &smooth, y);
    ool_set(t, &ignored, ool_make_like(t, target, OOL_BOOL));
    mask_out(t, &smooth, ignored);
    if (t->failed)
        return NULL;
    if (reduction == OOL_LOSS_MEAN) {
        combined = smooth_mean(t, smooth, ignored);
    } else {
        OOL_EXPRESSION(t, y,
                       reduction == OOL_LOSS_SUM
                           ? ool_reduce(t, OOL_SUM, smooth, OOL_ALL_DIMS, false)
                           : smooth);
        ool_set(t, &combined, y);
    }
    y = mix(t, loss, combined, smoothing, x->shape[classes]);
    ool_del(t, &combined);
    ool_del(t, &ignored);
    ool_del(t, &smooth);
    ool_del(t, &loss);
    ool_del(t, &logs);
    return y;
}

struct ool_tensor *ool_cross_entropy(struct ool_tape *t, struct ool_tensor *x,
                                     struct ool_tensor *target, double smoothing,
                                     enum ool_loss_reduction reduction)
{
    struct ool_tensor *y;
    size_t scope;

    if (!ool_usable(t, OOL_T(x, target)) || !shapes_fit(t, x, target))
        return NULL;
    scope = ool_scope_open(t);
    y = smoothing > 0 ? smoothed(t, x, target, smoothing, reduction)
                      : nll_any(t, log_probabilities(t, x), target, reduction);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(x, target));
}

/* --- losses over two tensors of one shape --------------------------------------------------------------------- */

static bool same_shapes(struct ool_tape *t, const struct ool_tensor *x,
                        const struct ool_tensor *target)
{
    if (target != NULL && ool_same_shape(x, target))
        return true;
    ool_fail(t, OOL_E_UNSUPPORTED, "a loss got a target of another shape");
    return false;
}

/* Both operands in f32 under autocast, the second one first. */
static void widen(struct ool_tape *t, struct ool_tensor **x, struct ool_tensor **target)
{
    if (!ool_autocast_on(t))
        return;
    *target = ool_cast_f32(t, *target);
    *x = ool_cast_f32(t, *x);
}

static void mean_scratch(struct ool_tape *t, const struct ool_tensor *x)
{
    if (x != NULL)
        ool_tape_reduction_scratch(t, x, every_dim(x), type_of(x), ool_accumulate_type(type_of(x)));
}

static void mse_backward(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                         struct ool_tensor **out)
{
    struct ool_tensor *self = ool_saved(t, node, 0), *target = ool_saved(t, node, 1);

    if (grads[0] == NULL || self == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        if (!ool_needs(node, i))
            continue;
        out[i] = ool_make_iterated(t, type_of(self), OOL_T(self, target));
        ool_kernel_call(t, "mse_loss_backward", i == 0 ? NULL : "of=target", 3,
                        (struct ool_tensor *[]){grads[0], self, target}, 1, &out[i]);
    }
}

static const struct ool_node_class mse_class = {"MseLossBackward0", mse_backward, NULL};

/* The result is the mean written into the front of a buffer of the unreduced size, which it keeps. */
static struct ool_tensor *mse(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *target)
{
    struct ool_node *node = ool_node_make(t, &mse_class, OOL_T(x, target));
    enum ool_dtype dtype = ool_promote(OOL_T(x, target));
    struct ool_tensor *buffer = NULL, *squares = NULL, *y;

    ool_node_save(t, node, x);
    ool_node_save(t, node, target);
    ool_set(t, &buffer, ool_make_iterated(t, dtype, OOL_T(x, target)));
    ool_set(t, &squares, ool_make_iterated(t, dtype, OOL_T(x, target)));
    mean_scratch(t, squares);
    ool_del(t, &squares);
    y = ool_make_view(t, buffer, 0, NULL, NULL, 0);
    ool_del(t, &buffer);
    ool_kernel_call(t, "mse_loss", NULL, 2, (struct ool_tensor *[]){x, target}, 1, &y);
    return ool_finish(t, node, y, OOL_T(x, target));
}

struct ool_tensor *ool_mse_loss(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *target)
{
    struct ool_tensor *a = x, *b = target, *y = NULL;
    size_t scope;

    if (!ool_usable(t, OOL_T(x, target)) || !same_shapes(t, x, target))
        return NULL;
    scope = ool_scope_open(t);
    widen(t, &a, &b);
    if (a != NULL && b != NULL)
        y = mse(t, a, b);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(x, target));
}

static void bce_backward(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                         struct ool_tensor **out)
{
    struct ool_tensor *self = ool_saved(t, node, 0), *target = ool_saved(t, node, 1);

    if (!ool_needs(node, 0) || grads[0] == NULL || self == NULL)
        return;
    out[0] = ool_make_iterated(t, type_of(self), OOL_T(self, target));
    ool_kernel_call(t, "bce_with_logits_backward", NULL, 3,
                    (struct ool_tensor *[]){grads[0], self, target}, 1, &out[0]);
}

static const struct ool_node_class bce_class = {"BinaryCrossEntropyWithLogitsBackward0",
                                                bce_backward, NULL};

/* (1 - target) * x - log_sigmoid(x), then the mean; 2.2 wrote it with three more operators. */
static struct ool_tensor *bce(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *target)
{
    struct ool_node *node = ool_node_make(t, &bce_class, OOL_T(x));
    bool old = t->facts->torch < OOL_TORCH_2_4;
    struct ool_tensor *parts[5] = {NULL, NULL, NULL, NULL, NULL}, *y;
    int n = old ? 5 : 2;

    ool_node_save(t, node, x);
    ool_node_save(t, node, target);
    for (int i = 0; i < n; i++)
        ool_set(t, &parts[i], ool_make_iterated(t, type_of(x), OOL_T(x, target)));
    while (n > 2)
        ool_del(t, &parts[--n]);
    y = scalar(t, type_of(x));
    mean_scratch(t, parts[1]);
    ool_del(t, &parts[old ? 0 : 1]);
    ool_del(t, &parts[old ? 1 : 0]);
    ool_kernel_call(t, "bce_with_logits", NULL, 2, (struct ool_tensor *[]){x, target}, 1, &y);
    return ool_finish(t, node, y, OOL_T(x));
}

struct ool_tensor *ool_bce_with_logits(struct ool_tape *t, struct ool_tensor *x,
                                       struct ool_tensor *target)
{
    struct ool_tensor *a = x, *b = target, *y = NULL;
    size_t scope;

    if (!ool_usable(t, OOL_T(x, target)) || !same_shapes(t, x, target))
        return NULL;
    if (ool_requires_grad(target))
        return ool_fail(t, OOL_E_UNSUPPORTED,
                        "binary cross-entropy with a target that requires a gradient");
    scope = ool_scope_open(t);
    widen(t, &a, &b);
    if (a != NULL && b != NULL)
        y = bce(t, a, b);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(x, target));
}
