/*
 * GradScaler. Source: torch/amp/grad_scaler.py; every number is a 0-d tensor on the card.
 */
#include "ool_optimizer_internal.h"

#include "ool_mem.h"

enum stage { READY, UNSCALED };

/* What the scaler remembers of an optimizer until update(). */
struct seen {
    const struct ool_optimizer *optimizer;
    struct ool_tensor *found_inf;
    enum stage stage;
};

struct ool_scaler {
    struct ool_tensor *scale, *growth_tracker; /* made by the first scale() */
    struct seen *seen;
    size_t n_seen, capacity;
};

static void make(struct ool_tape *t, struct ool_tensor **variable, enum ool_dtype dtype)
{
    ool_set(t, variable, ool_make(t, dtype, OOL_PLACE_DEVICE, 0, NULL, NULL));
}

struct ool_scaler *ool_scaler_open(struct ool_tape *t)
{
    struct ool_scaler *scaler = t->failed ? NULL : ool_calloc(1, sizeof *scaler);

    if (scaler == NULL)
        ool_fail(t, OOL_E_HOST_OOM, "no memory for a gradient scaler");
    return scaler;
}

void ool_scaler_close(struct ool_tape *t, struct ool_scaler *scaler)
{
    if (scaler == NULL)
        return;
    for (size_t i = 0; i < scaler->n_seen; i++)
        ool_drop(t, scaler->seen[i].found_inf);
    ool_drop(t, scaler->scale);
    ool_drop(t, scaler->growth_tracker);
    ool_free(scaler->seen);
    ool_free(scaler);
}

struct ool_tensor *ool_scaler_scale(struct ool_tape *t, struct ool_scaler *scaler,
                                    struct ool_tensor *loss)
{
    struct ool_tensor *y;

    if (t->failed || scaler == NULL)
        return NULL;
    ool_enter(t, loss);
    if (scaler->scale == NULL) {
        enum ool_category old = ool_categorize(t, OOL_CATEGORY_OTHER);

        make(t, &scaler->scale, OOL_F32);
        make(t, &scaler->growth_tracker, OOL_I32);
        ool_categorize(t, old);
    }
    y = ool_mul(t, loss, scaler->scale);
    ool_leave(t, loss);
    return y;
}

static struct seen *look_up(struct ool_tape *t, struct ool_scaler *scaler,
                            const struct ool_optimizer *optimizer)
{
    for (size_t i = 0; i < scaler->n_seen; i++) {
        if (scaler->seen[i].optimizer == optimizer)
            return &scaler->seen[i];
    }
    if (!ool_grow(&scaler->seen, &scaler->capacity, scaler->n_seen, sizeof *scaler->seen)) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for a gradient scaler");
        return NULL;
    }
    scaler->seen[scaler->n_seen] = (struct seen){optimizer, NULL, READY};
    return &scaler->seen[scaler->n_seen++];
}

static bool ready(struct ool_tape *t, const struct ool_scaler *scaler,
                  const struct ool_optimizer *optimizer)
{
    if (t->failed || scaler == NULL || optimizer == NULL)
        return false;
    if (scaler->scale == NULL)
        ool_fail(t, OOL_E_REFERENCE, "the gradient scaler was used before it scaled a loss");
    return !t->failed;
}

/* Both tensors are copied per device; the copy of found_inf stays until update(). */
static void check(struct ool_tape *t, struct seen *seen, struct ool_tensor **inverse,
                  struct ool_tensor **found)
{
    struct ool_tensor *inverse_copy = NULL;

    make(t, &seen->found_inf, OOL_F32);
    make(t, &inverse_copy, OOL_F32);
    for (size_t i = 0; i < seen->optimizer->n_slots && !t->failed; i++) {
        struct ool_tensor *grad = seen->optimizer->slots[i].param->grad;

        if (grad != NULL)
            ool_kernel_call(t, "unscale", NULL, 2, (struct ool_tensor *[]){grad, inverse_copy}, 2,
                            (struct ool_tensor *[]){grad, seen->found_inf});
    }
    ool_del(t, &inverse_copy);
    ool_del(t, inverse);
    ool_del(t, found);
}

static bool has_gradients(struct ool_tape *t, const struct ool_optimizer *optimizer,
                          bool allow_fp16)
{
    bool any = false;

    for (size_t i = 0; i < optimizer->n_slots; i++) {
        const struct ool_tensor *grad = optimizer->slots[i].param->grad;

        any = any || grad != NULL;
        if (grad != NULL && grad->dtype == OOL_F16 && !allow_fp16) {
            ool_fail(t, OOL_E_UNSUPPORTED, "a gradient scaler does not unscale f16 gradients");
            return false;
        }
    }
    if (!any)
        ool_fail(t, OOL_E_REFERENCE, "the gradient scaler found no gradient to unscale");
    return any;
}

static void unscale(struct ool_tape *t, struct ool_scaler *scaler, struct seen *seen)
{
    struct ool_tensor *wide = NULL, *reciprocal = NULL, *inverse = NULL, *found = NULL;

    (void)scaler;
    if (!has_gradients(t, seen->optimizer, false))
        return;
    make(t, &wide, OOL_F64); /* scale.double().reciprocal().float() */
    make(t, &reciprocal, OOL_F64);
    ool_del(t, &wide);
    make(t, &inverse, OOL_F32);
    ool_del(t, &reciprocal);
    make(t, &found, OOL_F32);
    check(t, seen, &inverse, &found);
    seen->stage = UNSCALED;
}

void ool_scaler_unscale(struct ool_tape *t, struct ool_scaler *scaler,
                        struct ool_optimizer *optimizer)
{
    struct seen *seen;

    if (!ready(t, scaler, optimizer))
        return;
    seen = look_up(t, scaler, optimizer);
    if (seen == NULL)
        return;
    if (seen->stage == UNSCALED)
        ool_fail(t, OOL_E_REFERENCE, "the gradients were unscaled twice between updates");
    else
        unscale(t, scaler, seen);
}

/* A fused optimizer unscales by itself: it only gets the scale and the finding. */
static void step_fused(struct ool_tape *t, struct seen *seen, struct ool_optimizer *optimizer)
{
    struct ool_tensor *inverse = NULL, *found = NULL, *sum = NULL, *scale = NULL;

    if (seen->stage == READY && has_gradients(t, optimizer, true)) {
        make(t, &inverse, OOL_F32);
        make(t, &found, OOL_F32);
        check(t, seen, &inverse, &found);
    }
    make(t, &sum, OOL_F32);
    if (seen->stage == READY && t->facts->torch >= OOL_TORCH_2_6)
        make(t, &scale, OOL_F32); /* scale * 1 */
    ool_optimizer_run(t, optimizer);
    ool_del(t, &scale);
    ool_del(t, &sum);
}

void ool_scaler_step(struct ool_tape *t, struct ool_scaler *scaler, struct ool_optimizer *optimizer)
{
    struct seen *seen;

    if (!ready(t, scaler, optimizer))
        return;
    seen = look_up(t, scaler, optimizer);
    if (seen == NULL)
        return;
    if (optimizer->config.implementation == OOL_FUSED) {
        step_fused(t, seen, optimizer);
        return;
    }
    if (seen->stage == READY)
        unscale(t, scaler, seen);
    if (!t->failed)
        ool_optimizer_run(t, optimizer);
}

void ool_scaler_update(struct ool_tape *t, struct ool_scaler *scaler)
{
    if (t->failed || scaler == NULL)
        return;
    for (size_t i = 0; i < scaler->n_seen; i++)
        ool_drop(t, scaler->seen[i].found_inf);
    scaler->n_seen = 0;
}
