#include "ool_fix.h"

/*
 * Mechanism: only what is linear in the batch shrinks (activations, logits, inputs, KV cache);
 * weights, gradients and optimizer state do not: M(b) = F + c b, so a halving saves c b / 2. At
 * batch 1 nothing is left to halve. Source: least squares over measured rows of BERT-large, M =
 * 6592 + 2089 b MiB.
 */
static enum ool_status apply(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    bool changed = false;

    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);
        int64_t batch;

        if (w == NULL || w->batch < 2)
            continue;
        status = ool_fix_number("smaller-batch", value, 1, w->batch / 2, &batch, err);
        if (status != OOL_OK)
            return status;
        if (batch >= w->batch)
            return ool_fix_refuse(err, "smaller-batch", "the value is not smaller than the batch");
        if (batch % w->accumulate != 0)
            return ool_fix_refuse(err, "smaller-batch",
                                  "the new batch cannot be divided into the micro-batches");
        w->batch = batch;
        changed = true;
    }
    return changed ? OOL_OK
                   : ool_fix_refuse(err, "smaller-batch", "no workload has a batch larger than 1");
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    for (size_t i = 0; i < before->n_jobs; i++) {
        const struct ool_workload *b = ool_fix_workload(before, i), *a = ool_fix_workload(after, i);

        if (b != NULL && a->batch < b->batch) {
            /* The same number of samples takes as many more steps. */
            price->launches += (double)b->batch / (double)a->batch - 1.0;
            price->quality = b->task == OOL_TASK_TRAIN
                                 ? "noisier gradients; the learning rate may need a change"
                                 : "";
        }
    }
}

const struct ool_mitigation ool_fix_smaller_batch = {
    .name = "smaller-batch",
    .aliases = "batch halve-batch",
    .summary = "halve the batch, or set it to a value",
    .mechanism =
        "activations, logits and inputs are linear in the batch; weights, gradients and optimizer "
        "state are not touched",
    .value = "the new batch; half of the old one if left out",
    .least = 1,
    .group = "",
    .apply = apply,
    .price = price,
};
