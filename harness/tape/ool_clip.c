/*
 * Gradient clipping and the norms that it needs. Source: torch/nn/utils/clip_grad.py, and the
 * foreach norm's kernel: one partial norm per chunk of 65,536 elements.
 */
#include "ool_optimizer_internal.h"

#include "ool_mem.h"

#define CHUNK 65536

uint32_t ool_every_dim(const struct ool_tensor *x)
{
    return (UINT32_C(1) << x->n_dims) - 1;
}

struct ool_tensor *ool_vector_norm(struct ool_tape *t, struct ool_tensor *x, uint32_t dims,
                                   bool keepdim)
{
    return ool_sum_dims(t, x, dims, keepdim, (enum ool_dtype)x->dtype);
}

struct norms {
    struct ool_tensor **items; /* owned references */
    size_t n;
};

static void norms_drop(struct ool_tape *t, struct norms *norms)
{
    while (norms->n > 0)
        ool_drop(t, norms->items[--norms->n]);
    ool_free(norms->items);
    norms->items = NULL;
}

static void norms_add(struct ool_tape *t, struct norms *norms, struct ool_tensor *x)
{
    ool_claim(t, x);
    if (x != NULL)
        norms->items[norms->n++] = x;
}

static uint64_t chunks(const struct ool_tensor *x)
{
    return ((uint64_t)ool_numel(x) + CHUNK - 1) / CHUNK;
}

struct partials {
    uint32_t offsets, values;
};

/* Since 2.15 the partial norms lie one after another, found by offsets; before, a row each. */
static struct partials make_partials(struct ool_tape *t, struct ool_tensor *const *grads, size_t n,
                                     enum ool_dtype dtype)
{
    struct partials p = {OOL_NONE, OOL_NONE};
    uint64_t count = 0, most = 0, total = 0;
    bool packed = t->facts->torch >= OOL_TORCH_2_15;

    for (size_t i = 0; i < n; i++) {
        const struct ool_tensor *grad = grads[i];

        if (grad == NULL || grad->dtype != dtype)
            continue;
        count++;
        total += chunks(grad);
        most = chunks(grad) > most ? chunks(grad) : most;
    }
    if (packed)
        p.offsets = ool_scratch(t, 8 * (count + 1));
    p.values = ool_scratch(t, ool_dtype_bytes(ool_accumulate_type(dtype)) *
                                  (packed ? total : count * most));
    return p;
}

static void free_partials(struct ool_tape *t, struct partials p)
{
    ool_scratch_free(t, p.values);
    ool_scratch_free(t, p.offsets);
}

/* Until 2.2 the norms of a type were views of one buffer. */
static void foreach_norms(struct ool_tape *t, struct ool_tensor *const *grads, size_t n,
                          enum ool_dtype dtype, struct norms *norms)
{
    struct partials partials = make_partials(t, grads, n, dtype);
    struct ool_tensor *buffer = NULL;
    int64_t count = 0;

    if (t->facts->torch < OOL_TORCH_2_4) {
        for (size_t i = 0; i < n; i++)
            count += grads[i] != NULL && grads[i]->dtype == dtype;
        ool_set(t, &buffer, ool_make(t, dtype, OOL_PLACE_DEVICE, 1, &count, NULL));
    }
    for (size_t i = 0, k = 0; i < n && !t->failed; i++) {
        if (grads[i] == NULL || grads[i]->dtype != dtype)
            continue;
        norms_add(t, norms,
                  buffer != NULL ? ool_make_view(t, buffer, 0, NULL, NULL, (int64_t)k++)
                                 : ool_make(t, dtype, OOL_PLACE_DEVICE, 0, NULL, NULL));
    }
    free_partials(t, partials);
    ool_del(t, &buffer);
}

static void loop_norms(struct ool_tape *t, struct ool_tensor *const *grads, size_t n,
                       enum ool_dtype dtype, struct norms *norms)
{
    for (size_t i = 0; i < n && !t->failed; i++) {
        struct ool_tensor *grad = grads[i];

        if (grad != NULL && grad->dtype == dtype)
            norms_add(t, norms, ool_vector_norm(t, grad, ool_every_dim(grad), false));
    }
}

/* The norms of all gradients and, owned by the caller, their norm; NULL if there is none. */
static struct ool_tensor *total_of(struct ool_tape *t, struct ool_tensor *const *grads, size_t n,
                                   enum ool_implementation implementation, struct norms *norms)
{
    enum ool_dtype dtypes[OOL_N_DTYPES];
    size_t n_dtypes = ool_group_dtypes(t, grads, n, dtypes);
    struct ool_tensor *stacked = NULL, *total = NULL;

    norms->items = ool_calloc(n > 0 ? n : 1, sizeof(struct ool_tensor *));
    if (norms->items == NULL)
        return ool_fail(t, OOL_E_HOST_OOM, "no memory for the norms");
    for (size_t i = 0; i < n_dtypes && !t->failed; i++) {
        if (implementation == OOL_LOOP)
            loop_norms(t, grads, n, dtypes[i], norms);
        else
            foreach_norms(t, grads, n, dtypes[i], norms);
    }
    if (norms->n == 0 || t->failed)
        return NULL;
    if (n_dtypes == 1 && norms->n <= INT32_MAX) {
        int64_t count = (int64_t)norms->n;

        ool_set(t, &stacked, ool_make(t, dtypes[0], OOL_PLACE_DEVICE, 1, &count, NULL));
    } else {
        ool_set(t, &stacked, ool_stack(t, norms->items, (int)norms->n, 0));
    }
    if (stacked != NULL)
        ool_set(t, &total, ool_vector_norm(t, stacked, 1, false));
    ool_del(t, &stacked);
    return total;
}

static bool usable(struct ool_tape *t, enum ool_implementation implementation)
{
    if (implementation == OOL_FUSED)
        ool_fail(t, OOL_E_UNSUPPORTED, "gradient norms have no fused form");
    return !t->failed;
}

struct ool_tensor *ool_total_norm(struct ool_tape *t, struct ool_tensor *const *tensors, size_t n,
                                  enum ool_implementation implementation)
{
    enum ool_grad_mode mode = ool_set_grad_mode(t, OOL_NO_GRAD);
    struct norms norms = {NULL, 0};
    struct ool_tensor *total = NULL;

    if (usable(t, implementation))
        total = total_of(t, tensors, n, implementation, &norms);
    norms_drop(t, &norms);
    ool_set_grad_mode(t, mode);
    return ool_return(t, &total);
}

/* clamp(max_norm / (total + 1e-6), max=1), the product with the gradients in place */
static void scale_gradients(struct ool_tape *t, struct ool_tensor *total, struct norms *norms,
                            bool norms_late)
{
    struct ool_tensor *sum = NULL, *inverse = NULL, *coefficient = NULL, *clamped = NULL;

    ool_set(t, &sum, ool_make_like(t, total, (enum ool_dtype)total->dtype));
    ool_set(t, &inverse, ool_make_like(t, total, (enum ool_dtype)total->dtype));
    ool_set(t, &coefficient, ool_make_like(t, total, (enum ool_dtype)total->dtype));
    ool_del(t, &inverse);
    ool_del(t, &sum);
    ool_set(t, &clamped, ool_make_like(t, total, (enum ool_dtype)total->dtype));
    if (norms_late)
        norms_drop(t, norms);
    ool_del(t, &coefficient);
    ool_del(t, &clamped);
}

struct ool_tensor *ool_clip_grad_norm(struct ool_tape *t, struct ool_tensor *const *params,
                                      size_t n, enum ool_implementation implementation)
{
    enum ool_grad_mode mode = ool_set_grad_mode(t, OOL_NO_GRAD);
    enum ool_category category = ool_categorize(t, OOL_CATEGORY_WORKSPACE);
    bool late =
        t->facts->torch < OOL_TORCH_2_6; /* one function then, so the norms died at its end */
    struct norms norms = {NULL, 0};
    struct ool_tensor *total = NULL, **grads = ool_calloc(n + 1, sizeof(struct ool_tensor *));

    if (grads == NULL)
        ool_fail(t, OOL_E_HOST_OOM, "no memory for the gradients");
    for (size_t i = 0; grads != NULL && i < n; i++)
        grads[i] = params[i]->grad;
    if (usable(t, implementation))
        total = total_of(t, grads, n, implementation, &norms);
    ool_free(grads);
    if (!late)
        norms_drop(t, &norms);
    if (total != NULL)
        scale_gradients(t, total, &norms, late);
    norms_drop(t, &norms);
    for (size_t i = 0; i < n && !t->failed; i++) {
        if (params[i]->grad != NULL)
            ool_kernel_call(t, "clip_grad_norm", NULL, 2,
                            (struct ool_tensor *[]){params[i]->grad, total}, 1, &params[i]->grad);
    }
    ool_categorize(t, category);
    ool_set_grad_mode(t, mode);
    return ool_return(t, &total);
}

void ool_clip_grad_value(struct ool_tape *t, struct ool_tensor *const *params, size_t n)
{
    for (size_t i = 0; i < n && !t->failed; i++) {
        if (params[i]->grad != NULL)
            ool_kernel_call(t, "clip_grad_value", NULL, 1, &params[i]->grad, 1, &params[i]->grad);
    }
}
