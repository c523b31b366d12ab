#include "ool_fix.h"

/*
 * Mechanism: save_on_cpu moves what autograd keeps to the host and back in backward; block-wise
 * offload keeps the weights on the host and copies each block in before its forward. Both pay with
 * the bus.
 */
static enum ool_status apply_activations(struct ool_case *c, const char *value,
                                         struct ool_error *err)
{
    bool changed = false;

    (void)value;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_TRAIN)
            continue;
        if (w->checkpoint != OOL_CHECKPOINT_NONE)
            return ool_fix_refuse(
                err, "offload-activations",
                "checkpoints hold the activations back already; choose one of the two");
        w->save_on_cpu = true;
        changed = true;
    }
    return changed ? OOL_OK : ool_fix_refuse(err, "offload-activations", "no workload trains");
}

static enum ool_status apply_weights(struct ool_case *c, const char *value, struct ool_error *err)
{
    bool changed = false;

    (void)value;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task == OOL_TASK_TRAIN)
            continue;
        w->cpu_offload = true;
        changed = true;
    }
    return changed ? OOL_OK
                   : ool_fix_refuse(err, "offload-weights",
                                    "block-wise offload serves inference and generation only");
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    (void)before;
    price->moved_bytes = ool_fix_moved(after);
}

const struct ool_mitigation ool_fix_offload_activations = {
    .name = "offload-activations",
    .aliases = "save-on-cpu",
    .summary = "keep what autograd saves in host memory",
    .mechanism = "saved tensors leave the card in forward and return one by one in backward",
    .value = NULL,
    .group = "",
    .apply = apply_activations,
    .price = price,
};

const struct ool_mitigation ool_fix_offload_weights = {
    .name = "offload-weights",
    .aliases = "cpu-offload",
    .summary = "keep the blocks' weights in host memory and copy each in for its forward",
    .mechanism = "one block's weights are on the card at a time",
    .value = NULL,
    .group = "",
    .apply = apply_weights,
    .price = price,
};
