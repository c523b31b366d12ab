/*
 * scaled_dot_product_attention: which of its three forms runs. Source: ATen's sdp_utils.cpp and
 * attention.cpp of 2.11.0. The form of cuDNN, which PyTorch prefers on capability 9.0, is not among
 * them: it is off wherever that library is.
 */
#include "ool_sdpa.h"

static bool is_half(const struct ool_tensor *x)
{
    return x->dtype == OOL_F16 || x->dtype == OOL_BF16;
}

static int64_t last(const struct ool_tensor *x)
{
    return x->shape[x->n_dims - 1];
}

static bool any_needs_grad(const struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                           struct ool_tensor *v)
{
    return ool_wants_grad(t, OOL_T(q, k, v));
}

/* --- what the fused forms ask of their inputs -------------------------------------------------------------- */

static bool has_elements(const struct ool_tensor *q, const struct ool_tensor *k)
{
    return q->shape[2] > 0 && k->shape[2] > 0;
}

static bool same_batch(const struct ool_tensor *q, const struct ool_tensor *k,
                       const struct ool_tensor *v)
{
    return q->shape[0] == k->shape[0] && q->shape[0] == v->shape[0];
}

static bool heads_fit(const struct ool_tensor *q, const struct ool_tensor *k,
                      const struct ool_tensor *v, bool gqa)
{
    if (k->shape[1] != v->shape[1])
        return false;
    if (q->shape[1] == k->shape[1])
        return true;
    return gqa && k->shape[1] > 0 && q->shape[1] % k->shape[1] == 0;
}

static bool last_is_dense(const struct ool_tensor *x, bool ignore_single)
{
    return x->strides[x->n_dims - 1] == 1 || (ignore_single && last(x) == 1);
}

/* Backward does not fit into the shared memory of these cards at large head dimensions. */
static bool head_fits_card(const struct ool_tape *t, bool needs_grad, int64_t head, double dropout)
{
    bool late = t->facts->torch >= OOL_TORCH_2_4;
    bool small = (t->capability >= 86 && t->capability <= 89) || t->capability >= 120;

    return !needs_grad || !small || head <= 192 || (late && head > 224 && dropout == 0);
}

static bool flash_can(const struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                      struct ool_tensor *v, const struct ool_sdpa_args *args)
{
    return t->capability >= 80 && args->mask == NULL && is_half(q) && last(q) == last(k) &&
           last(q) == last(v) && last(q) <= 256 && same_batch(q, k, v) &&
           heads_fit(q, k, v, args->gqa) && has_elements(q, k) &&
           (!args->causal || q->shape[2] == k->shape[2]) && last_is_dense(q, true) &&
           last_is_dense(k, true) && last_is_dense(v, true) &&
           head_fits_card(t, any_needs_grad(t, q, k, v), last(q), args->dropout);
}

/* Tensor cores want 16 bytes in the last dimension. */
static int64_t alignment(const struct ool_tape *t, const struct ool_tensor *q)
{
    if (t->capability >= 80 || (t->capability >= 70 && is_half(q)))
        return 16 / (int64_t)ool_dtype_bytes((enum ool_dtype)q->dtype);
    return 1;
}

static bool efficient_can(const struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                          struct ool_tensor *v, const struct ool_sdpa_args *args)
{
    int64_t by = alignment(t, q);
    bool type =
        q->dtype == OOL_F32 || q->dtype == OOL_F16 || (q->dtype == OOL_BF16 && t->capability >= 80);

    return t->capability >= 50 && type && last(q) == last(k) && last(q) > 0 && last(v) > 0 &&
           last(q) % by == 0 && last(v) % by == 0 && same_batch(q, k, v) &&
           heads_fit(q, k, v, args->gqa && t->facts->efficient_gqa) && has_elements(q, k) &&
           last_is_dense(q, false) && last_is_dense(k, false) && last_is_dense(v, false) &&
           (args->mask == NULL || last_is_dense(args->mask, false));
}

static enum ool_sdpa_backend choose(struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                                    struct ool_tensor *v, const struct ool_sdpa_args *args)
{
    bool four = q->n_dims == 4 && k->n_dims == 4 && v->n_dims == 4;
    bool flash = four && flash_can(t, q, k, v, args);
    bool efficient = four && efficient_can(t, q, k, v, args);

    switch (t->sdpa) {
    case OOL_SDPA_AUTO:
        return flash ? OOL_SDPA_FLASH : efficient ? OOL_SDPA_EFFICIENT : OOL_SDPA_MATH;
    case OOL_SDPA_FLASH:
        return flash ? OOL_SDPA_FLASH : OOL_SDPA_AUTO;
    case OOL_SDPA_EFFICIENT:
        return efficient ? OOL_SDPA_EFFICIENT : OOL_SDPA_AUTO;
    case OOL_SDPA_MATH:
        return OOL_SDPA_MATH;
    }
    return OOL_SDPA_AUTO;
}

/* --- the call ------------------------------------------------------------------------------------------------ */

struct ool_tensor *ool_sdpa_swapped(struct ool_tape *t, const struct ool_tensor *x)
{
    int64_t shape[4], strides[4];
    static const int order[4] = {0, 2, 1, 3};

    if (t->failed || x == NULL)
        return NULL;
    for (int i = 0; i < 4; i++) {
        shape[i] = x->shape[order[i]];
        strides[i] = x->strides[order[i]];
    }
    return ool_make_view(t, x, 4, shape, strides, x->offset);
}

struct ool_tensor *ool_sdpa_swap(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_tensor *made = NULL, *y;

    ool_set(t, &made, x);
    y = ool_sdpa_swapped(t, made);
    ool_del(t, &made);
    return y;
}

struct ool_tensor *ool_sdpa_additive(struct ool_tape *t, struct ool_tensor *mask,
                                     enum ool_dtype dtype)
{
    struct ool_tensor *first = NULL, *second = NULL, *y;

    if (t->failed || mask == NULL || mask->dtype != OOL_BOOL)
        return mask;
    if (t->facts->safe_softmax) { /* where(mask, 0, -inf): both numbers go to the card */
        ool_set(t, &first, ool_make(t, dtype, OOL_PLACE_DEVICE, 0, NULL, NULL));
        ool_set(t, &second, ool_make(t, dtype, OOL_PLACE_DEVICE, 0, NULL, NULL));
        y = ool_make_iterated(t, dtype, OOL_T(mask));
    } else { /* zeros_like(mask).masked_fill_(~mask, -inf) */
        y = ool_make_like(t, mask, dtype);
        ool_set(t, &second, ool_make_like(t, mask, OOL_BOOL));
    }
    ool_del(t, &second);
    ool_del(t, &first);
    ool_kernel_call(t, "additive_mask", NULL, 1, &mask, 1, &y);
    return y;
}

static struct ool_tensor *attend(struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                                 struct ool_tensor *v, const struct ool_sdpa_args *args)
{
    struct ool_sdpa_args prepared = *args;
    enum ool_sdpa_backend backend = choose(t, q, k, v, args);
    struct ool_tensor *mask = NULL, *y;

    if (backend == OOL_SDPA_AUTO)
        return ool_fail(t, OOL_E_UNSUPPORTED,
                        "no available kernel: the forced attention form refuses these inputs");
    OOL_EXPRESSION(t, y, ool_sdpa_additive(t, args->mask, (enum ool_dtype)q->dtype));
    prepared.mask = y;
    if (y != args->mask) /* an argument that stays as it is, is the caller's */
        ool_set(t, &mask, y);
    if (backend == OOL_SDPA_EFFICIENT && !t->failed) {
        OOL_EXPRESSION(t, y, ool_sdpa_align(t, prepared.mask, q, k));
        ool_set(t, &mask, y);
        prepared.mask = y;
    }
    if (t->failed)
        return NULL;
    if (backend == OOL_SDPA_FLASH)
        y = ool_sdpa_flash(t, q, k, v, &prepared);
    else if (backend == OOL_SDPA_EFFICIENT)
        y = ool_sdpa_efficient(t, q, k, v, &prepared);
    else
        y = ool_sdpa_math(t, q, k, v, &prepared);
    ool_del(t, &mask); /* the caller's variable: outlives those of the function */
    return y;
}

static bool acceptable(struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                       struct ool_tensor *v, const struct ool_sdpa_args *args)
{
    if (k == NULL || v == NULL || q->n_dims < 2 || k->n_dims < 2 || v->n_dims < 2) {
        ool_fail(t, OOL_E_COMBINATION,
                 "attention needs queries, keys and values of two dimensions or more");
        return false;
    }
    if (q->dtype != k->dtype || q->dtype != v->dtype ||
        (args->mask != NULL && args->mask->dtype != OOL_BOOL && args->mask->dtype != q->dtype)) {
        ool_fail(t, OOL_E_COMBINATION,
                 "attention needs queries, keys, values and an additive mask of one type");
        return false;
    }
    if (args->gqa && !t->facts->has_gqa) {
        ool_fail(t, OOL_E_UNSUPPORTED, "enable_gqa does not exist in this release");
        return false;
    }
    if (args->mask != NULL && args->causal) {
        ool_fail(t, OOL_E_COMBINATION, "attention takes a mask or is_causal, not both");
        return false;
    }
    return true;
}

struct ool_tensor *ool_sdpa(struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                            struct ool_tensor *v, const struct ool_sdpa_args *args)
{
    struct ool_sdpa_args cast = *args;
    struct ool_tensor *a = q, *b = k, *c = v, *y = NULL;
    bool autocast;
    size_t scope;

    if (!ool_usable(t, OOL_T(q, k, v)))
        return NULL;
    scope = ool_scope_open(t);
    autocast = ool_autocast_on(t);
    if (autocast) {
        if (args->mask != NULL && args->mask->dtype != OOL_BOOL)
            cast.mask = ool_cast_lower(t, args->mask);
        c = ool_cast_lower(t, v);
        b = ool_cast_lower(t, k);
        a = ool_cast_lower(t, q);
        ool_autocast_set(t, false);
    }
    if (!t->failed && acceptable(t, a, b, c, &cast))
        y = attend(t, a, b, c, &cast);
    if (autocast)
        ool_autocast_set(t, true);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(q, k, v, args->mask));
}
