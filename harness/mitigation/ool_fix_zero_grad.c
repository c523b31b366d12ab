#include "ool_fix.h"

/*
 * Mechanism: gradients that are zeroed in place live through the next forward; set to None they are
 * freed before it. The default since PyTorch 2.0, so inert where nothing else was asked for.
 */
static enum ool_status apply(struct ool_case *c, const char *value, struct ool_error *err)
{
    bool changed = false;

    (void)value;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_TRAIN)
            continue;
        w->keep_gradients = false;
        w->no_zero_grad = false;
        changed = true;
    }
    return changed ? OOL_OK : ool_fix_refuse(err, "zero-grad-none", "no workload trains");
}

const struct ool_mitigation ool_fix_zero_grad = {
    .name = "zero-grad-none",
    .aliases = "set-to-none zero-grad",
    .summary = "zero_grad(set_to_none=True) after each step",
    .mechanism = "gradients are freed before the next forward instead of living through it",
    .value = NULL,
    .group = "",
    .apply = apply,
    .price = NULL,
};
