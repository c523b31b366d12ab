#include "ool_fix.h"

#include <string.h>

/*
 * Mechanism: the fused kernels never hold the scores and probabilities of b * heads * s^2 elements,
 * which explicit attention allocates and, in training, keeps. Inert where attention is fused
 * already or the sequence is short. Flash needs 16-bit tensors and no explicit mask; the
 * memory-efficient kernel takes fp32 too. Source: PyTorch
 * aten/src/ATen/native/transformers/cuda/sdp_utils.cpp (release 2.11).
 */
static enum ool_status fuse(struct ool_case *c, const char *name, enum ool_sdpa_backend backend,
                            struct ool_error *err)
{
    bool changed = false;

    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->model.family == OOL_FAMILY_MLP || w->model.family == OOL_FAMILY_RESNET)
            continue;
        if (backend == OOL_SDPA_FLASH && w->precision == OOL_FP32)
            return ool_fix_refuse(
                err, name,
                "the flash kernels need 16-bit tensors: stack it after amp or half-weights");
        if (backend == OOL_SDPA_FLASH && c->card.capability != 0 && c->card.capability < 80)
            return ool_fix_refuse(err, name, "the flash kernels need capability 8.0");
        w->model.attention = OOL_ATTENTION_SDPA;
        w->sdpa = backend;
        changed = true;
    }
    return changed ? OOL_OK : ool_fix_refuse(err, name, "no workload has attention");
}

static const char *const words[] = {"auto", "efficient", "math", NULL};

static enum ool_status apply_sdpa(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    static const enum ool_sdpa_backend backends[] = {OOL_SDPA_AUTO, OOL_SDPA_EFFICIENT,
                                                     OOL_SDPA_MATH};
    size_t word;

    status = ool_fix_word("sdpa", value, words, &word, err);
    if (status != OOL_OK)
        return status;
    return fuse(c, "sdpa", backends[word], err);
}

static enum ool_status apply_flash(struct ool_case *c, const char *value, struct ool_error *err)
{
    (void)value;
    return fuse(c, "flash-attention", OOL_SDPA_FLASH, err);
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    (void)before;
    (void)after;
    price->quality = "another order of summation";
}

const struct ool_mitigation ool_fix_sdpa = {
    .name = "sdpa",
    .aliases = "efficient-attention",
    .summary = "scaled_dot_product_attention instead of explicit attention",
    .mechanism = "the fused kernels never hold the scores (b * heads * s * s elements)",
    .value = "auto, efficient or math; auto = PyTorch's own choice",
    .words = words,
    .group = "attention kernel",
    .apply = apply_sdpa,
    .price = price,
};

const struct ool_mitigation ool_fix_flash_attention = {
    .name = "flash-attention",
    .aliases = "flash",
    .summary = "the flash kernels of scaled_dot_product_attention (16-bit tensors)",
    .mechanism =
        "scores are never in memory; backward keeps one fp32 accumulator of the queries' size",
    .value = NULL,
    .group = "attention kernel",
    .apply = apply_flash,
    .price = price,
};
