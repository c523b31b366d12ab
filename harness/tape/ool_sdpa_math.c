/*
 * Attention from elementary operators. Source: ATen's attention.cpp; since 2.5 with 16-bit inputs
 * widened to f32, with a softmax that is safe for rows without any key, and with grouped heads.
 */
#include "ool_sdpa.h"

#include <math.h>

/* --- _safe_softmax over the last dimension --------------------------------------------------------------------- */

static void safe_softmax_backward(struct ool_tape *t, struct ool_node *node,
                                  struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *result = ool_saved(t, node, 0), *product = NULL;

    if (!ool_needs(node, 0) || grads[0] == NULL || result == NULL)
        return;
    out[0] = ool_make_contiguous(t, result, (enum ool_dtype)result->dtype);
    ool_set(t, &product, ool_make_contiguous(t, result, (enum ool_dtype)result->dtype));
    ool_kernel_call(t, "softmax_backward", "dim=-1", 2, (struct ool_tensor *[]){grads[0], result},
                    1, &out[0]);
    ool_del(t, &product);
}

static const struct ool_node_class safe_softmax_class = {"SafeSoftmaxBackward0",
                                                         safe_softmax_backward, NULL};

/* softmax, then zeros where all of a row is -inf */
static struct ool_tensor *safe_softmax(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_node *node = ool_node_make(t, &safe_softmax_class, OOL_T(x));
    struct ool_tensor *y, *masked = NULL, *rows = NULL, *zero = NULL;
    uint32_t last = UINT32_C(1) << (x->n_dims - 1);

    y = ool_make_contiguous(t, x, (enum ool_dtype)x->dtype);
    ool_node_save_output(t, node, y);
    ool_set(t, &masked, ool_make_like(t, x, OOL_BOOL));
    if (masked != NULL)
        ool_set(t, &rows, ool_sum_dims(t, masked, last, true, OOL_BOOL));
    ool_set(t, &zero, ool_make(t, (enum ool_dtype)x->dtype, OOL_PLACE_DEVICE, 0, NULL, NULL));
    ool_del(t, &zero);
    ool_del(t, &rows);
    ool_del(t, &masked);
    ool_kernel_call(t, "safe_softmax", "dim=-1", 1, &x, 1, &y);
    return ool_finish(t, node, y, OOL_T(x));
}

/* --- the composite ----------------------------------------------------------------------------------------------- */

/* The local variables of the C++ function, in the order of their declarations. */
struct locals {
    struct ool_tensor *q, *k, *v, *mask, *query, *key, *value, *scores;
};

static void drop_locals(struct ool_tape *t, struct locals *l)
{
    ool_del(t, &l->scores);
    ool_del(t, &l->key); /* a pair: its first element dies first */
    ool_del(t, &l->value);
    ool_del(t, &l->query);
    ool_del(t, &l->mask);
    ool_del(t, &l->v);
    ool_del(t, &l->k);
    ool_del(t, &l->q);
}

#define ASSIGN(t, variable, expression)        \
    do {                                       \
        struct ool_tensor *value_;             \
        OOL_EXPRESSION(t, value_, expression); \
        ool_set(t, &(variable), value_);       \
    } while (0)

/* One more owner, for which a temporary stays one. */
static void share(struct ool_tensor **variable, struct ool_tensor *x)
{
    x->refs++;
    *variable = x;
}

static void widen(struct ool_tape *t, struct ool_tensor **variable, struct ool_tensor *x)
{
    bool half = x->dtype == OOL_F16 || x->dtype == OOL_BF16;

    if (half && t->facts->safe_softmax)
        ASSIGN(t, *variable, ool_to(t, x, OOL_F32));
    else if (!t->failed)
        share(variable, x);
}

static void causal_mask(struct ool_tape *t, const struct ool_tensor *q, const struct ool_tensor *k,
                        struct locals *l)
{
    int64_t shape[2] = {q->shape[q->n_dims - 2], k->shape[k->n_dims - 2]};

    ASSIGN(t, l->mask, ool_tril(t, ool_ones(t, OOL_BOOL, 2, shape)));
    if (l->mask != NULL)
        ASSIGN(t, l->mask, ool_sdpa_additive(t, l->mask, (enum ool_dtype)l->query->dtype));
}

static void repeat_heads(struct ool_tape *t, struct locals *l, bool gqa)
{
    int dim = l->query->n_dims - 3;
    bool grouped = gqa && dim >= 0 && l->query->shape[dim] != l->k->shape[dim];

    if (!grouped) {
        share(&l->key, l->k);
        share(&l->value, l->v);
        return;
    }
    ASSIGN(t, l->key, ool_repeat_interleave(t, l->k, l->query->shape[dim] / l->k->shape[dim], dim));
    ASSIGN(t, l->value,
           ool_repeat_interleave(t, l->v, l->query->shape[dim] / l->v->shape[dim], dim));
}

static void weigh(struct ool_tape *t, struct locals *l, double factor, double dropout)
{
    ASSIGN(t, l->scores,
           ool_matmul(t, l->query, ool_scale(t, ool_transpose(t, l->key, -2, -1), factor)));
    if (l->scores != NULL && l->mask != NULL)
        ool_binary_inplace(t, OOL_ADD, l->scores, l->mask);
    if (l->scores == NULL)
        return;
    ASSIGN(t, l->scores,
           t->facts->safe_softmax ? safe_softmax(t, l->scores) : ool_softmax(t, l->scores, -1));
    if (l->scores != NULL && dropout > 0)
        ASSIGN(t, l->scores, ool_dropout(t, l->scores, dropout, true));
}

struct ool_tensor *ool_sdpa_math(struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                                 struct ool_tensor *v, const struct ool_sdpa_args *args)
{
    enum ool_dtype dtype = (enum ool_dtype)q->dtype;
    double factor = sqrt(1 / sqrt((double)q->shape[q->n_dims - 1]));
    struct locals l = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
    struct ool_tensor *weights = NULL, *y = NULL;

    widen(t, &l.q, q);
    widen(t, &l.k, k);
    widen(t, &l.v, v);
    if (!t->failed && args->mask != NULL)
        share(&l.mask, args->mask);
    if (!t->failed)
        ASSIGN(t, l.query, ool_scale(t, l.q, factor));
    if (!t->failed && args->causal)
        causal_mask(t, q, k, &l);
    if (!t->failed)
        repeat_heads(t, &l, args->gqa);
    if (!t->failed)
        weigh(t, &l, factor, args->dropout);
    if (!t->failed) { /* a pair of results: the weights, made first, die with the pair */
        ASSIGN(t, weights, ool_to(t, l.scores, dtype));
        OOL_EXPRESSION(t, y, ool_to(t, ool_matmul(t, l.scores, l.value), dtype));
    }
    drop_locals(t, &l);
    ool_del(t, &weights);
    return y;
}
