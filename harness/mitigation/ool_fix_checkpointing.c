#include "ool_fix.h"

#include <string.h>

/*
 * Mechanism: the forward of a checkpointed block keeps only its inputs; backward runs the block
 * again with the graph on, so that one block's activations exist at a time. Embeddings, the head
 * and the loss are not covered: there the peak often moves. Selective: only every k-th block is a
 * checkpoint. Price: one more forward of the covered blocks, a third of the training work. Random
 * state is kept on the host, so results are the same. Source: torch/utils/checkpoint.py
 * (release 2.11).
 */
static enum ool_status parse(const char *value, enum ool_checkpoint *kind, int64_t *every,
                             struct ool_error *err)
{
    *kind = OOL_CHECKPOINT_NONREENTRANT;
    *every = 1;
    if (strcmp(value, "reentrant") == 0) {
        *kind = OOL_CHECKPOINT_REENTRANT;
        return OOL_OK;
    }
    if (strcmp(value, "nonreentrant") == 0)
        return OOL_OK;
    return ool_fix_number("checkpointing", value, 1, 1, every, err);
}

static enum ool_status apply(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_checkpoint kind;
    int64_t every;
    bool changed = false;
    enum ool_status status = parse(value, &kind, &every, err);

    if (status != OOL_OK)
        return status;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_TRAIN || w->checkpoint != OOL_CHECKPOINT_NONE)
            continue;
        if (w->save_on_cpu)
            return ool_fix_refuse(err, "checkpointing",
                                  "the activations are on the host already; choose one of the two");
        w->checkpoint = kind;
        w->checkpoint_every = every;
        changed = true;
    }
    return changed ? OOL_OK
                   : ool_fix_refuse(err, "checkpointing", "no workload trains without checkpoints");
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    for (size_t i = 0; i < before->n_jobs; i++) {
        const struct ool_workload *b = ool_fix_workload(before, i), *a = ool_fix_workload(after, i);

        if (b != NULL && b->checkpoint == OOL_CHECKPOINT_NONE &&
            a->checkpoint != OOL_CHECKPOINT_NONE) {
            double share =
                OOL_FORWARD_SHARE / (double)(a->checkpoint_every > 1 ? a->checkpoint_every : 1);

            price->flops += share;
            price->launches += share;
        }
    }
}

const struct ool_mitigation ool_fix_checkpointing = {
    .name = "checkpointing",
    .aliases = "gradient-checkpointing activation-checkpointing",
    .summary =
        "recompute each block (or every k-th) in backward instead of keeping its activations",
    .mechanism = "only a block's inputs are kept; one block's activations exist at a time",
    .value = "k: every k-th block; or reentrant; every block without it",
    .group = "",
    .apply = apply,
    .price = price,
};
