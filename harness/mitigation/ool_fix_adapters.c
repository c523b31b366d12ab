#include "ool_fix.h"

/*
 * Mechanism: with a frozen base only the adapters have gradients and optimizer state (rank * (in +
 * out) elements a target). Inputs of frozen linears are not kept, but those of the adapters are:
 * activations hardly shrink.
 */
static enum ool_status apply_lora(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    int64_t rank;
    bool changed = false;

    status = ool_fix_number("lora", value, 1, 16, &rank, err);
    if (status != OOL_OK)
        return status;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_TRAIN || w->lora.rank != 0)
            continue;
        w->lora.rank = rank;
        changed = true;
    }
    return changed ? OOL_OK : ool_fix_refuse(err, "lora", "no workload trains without an adapter");
}

static enum ool_status apply_freeze(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    int64_t blocks = OOL_FROZEN_TRUNK;
    bool changed = false;

    status = *value == '\0' ? OOL_OK : ool_fix_number("freeze", value, 1, 0, &blocks, err);
    if (status != OOL_OK)
        return status;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_TRAIN || w->lora.rank != 0)
            continue;
        w->frozen_blocks = blocks;
        changed = true;
    }
    return changed ? OOL_OK : ool_fix_refuse(err, "freeze", "no workload trains a whole model");
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    (void)before;
    (void)after;
    price->quality = "only a part of the parameters is trained";
}

const struct ool_mitigation ool_fix_lora = {
    .name = "lora",
    .aliases = "adapters",
    .summary = "train low-rank adapters on a frozen base",
    .mechanism =
        "gradients and optimizer state exist for the adapters only; activations hardly shrink",
    .value = "rank; 16 if left out",
    .least = 1,
    .group = "trained part",
    .apply = apply_lora,
    .price = price,
};

const struct ool_mitigation ool_fix_freeze = {
    .name = "freeze",
    .aliases = "frozen",
    .summary = "freeze embeddings and the first n blocks, or all but the head",
    .mechanism = "no gradients and no optimizer state for what is frozen; backward stops above it",
    .value = "blocks; all but the head if left out",
    .least = 1,
    .group = "trained part",
    .apply = apply_freeze,
    .price = price,
};
