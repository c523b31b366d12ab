#include "ool_fix.h"

/*
 * Mechanism: a list (or a sum) of losses or outputs holds each graph behind it, so every saved
 * activation of a forward without backward stays. detach() or .item() keeps the value and lets the
 * graph go. After a backward the graph is empty already: then only a scalar of 512 bytes a step
 * stays, and the fix frees just that.
 */
static enum ool_status apply_detach(struct ool_case *c, const char *value, struct ool_error *err)
{
    bool changed = false;

    (void)value;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL) {
            continue;
        }
        switch (w->leak) {
        case OOL_LEAK_APPEND_OUTPUTS:
            w->leak = OOL_LEAK_APPEND_OUTPUTS_DETACH;
            break;
        case OOL_LEAK_HOOKS_STORE:
            w->leak = OOL_LEAK_HOOKS_STORE_DETACH;
            break;
        case OOL_LEAK_NONE:
        case OOL_LEAK_APPEND_OUTPUTS_DETACH:
        case OOL_LEAK_HOOKS_STORE_DETACH:
            continue;
        default:
            w->leak = OOL_LEAK_NONE; /* .item() is a number of Python's */
            break;
        }
        changed = true;
    }
    return changed ? OOL_OK
                   : ool_fix_refuse(err, "detach", "no workload keeps tensors from step to step");
}

static enum ool_status apply_del(struct ool_case *c, const char *value, struct ool_error *err)
{
    bool changed = false;

    (void)value;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL)
            continue;
        w->del_logits = w->task == OOL_TASK_TRAIN;
        w->del_before_forward = true;
        changed = true;
    }
    return changed ? OOL_OK
                   : ool_fix_refuse(err, "del-outputs",
                                    "explicit operations have no outputs to delete");
}

static enum ool_status apply_unload(struct ool_case *c, const char *value, struct ool_error *err)
{
    bool changed = false;

    (void)value;
    for (size_t i = 0; i + 1 < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL)
            continue;
        w->unload = true;
        w->empty_cache = true;
        changed = true;
    }
    return changed
               ? OOL_OK
               : ool_fix_refuse(err, "unload", "there is no earlier model that could be unloaded");
}

static void price_unload(const struct ool_case *before, const struct ool_case *after,
                         struct ool_price *price)
{
    (void)before;
    for (size_t i = 0; i + 1 < after->n_jobs; i++) {
        struct ool_workload_facts facts;
        const struct ool_workload *w = ool_fix_workload(after, i);

        if (w != NULL && ool_workload_count(w, &facts, NULL) == OOL_OK)
            price->moved_bytes += facts.param_bytes; /* when it is loaded again */
    }
}

const struct ool_mitigation ool_fix_detach = {
    .name = "detach",
    .aliases = "item",
    .summary = "keep loss.item() or outputs.detach() instead of the tensor with its graph",
    .mechanism =
        "a kept tensor holds the whole graph behind it; a number or a detached tensor does not",
    .value = NULL,
    .group = "",
    .apply = apply_detach,
    .price = NULL,
};

const struct ool_mitigation ool_fix_del_outputs = {
    .name = "del-outputs",
    .aliases = "del-logits",
    .summary = "delete logits before backward and outputs before the next forward",
    .mechanism = "the loop's own variables hold the last outputs through the next forward",
    .value = NULL,
    .group = "",
    .apply = apply_del,
    .price = NULL,
};

const struct ool_mitigation ool_fix_unload = {
    .name = "unload",
    .aliases = "unload-model",
    .summary = "drop each model before the next one is loaded, and empty the cache",
    .mechanism = "weights of a model that is not used are most of what several models hold",
    .value = NULL,
    .group = "",
    .apply = apply_unload,
    .price = price_unload,
};
