#include "ool_fix.h"

/*
 * Mechanism: without a graph nothing is saved for backward and each activation dies at its last
 * use. Both modes need the same memory; model.eval() alone saves nothing. Inert for generation,
 * which runs without a graph by default.
 */
static enum ool_status apply(struct ool_case *c, const char *name, enum ool_infer_mode mode,
                             enum ool_grad_mode generate, struct ool_error *err)
{
    bool changed = false;

    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task == OOL_TASK_TRAIN)
            continue;
        w->infer = mode;
        w->generate_mode = generate;
        if (w->leak == OOL_LEAK_APPEND_LOSS_NO_BACKWARD ||
            w->leak == OOL_LEAK_TOTAL_LOSS_NO_BACKWARD)
            return ool_fix_refuse(err, name, "the leaking loop is a training loop");
        changed = true;
    }
    return changed
               ? OOL_OK
               : ool_fix_refuse(err, name, "training needs the graph; only inference can drop it");
}

static enum ool_status apply_no_grad(struct ool_case *c, const char *value, struct ool_error *err)
{
    (void)value;
    return apply(c, "no-grad", OOL_INFER_NO_GRAD, OOL_NO_GRAD, err);
}

static enum ool_status apply_inference(struct ool_case *c, const char *value, struct ool_error *err)
{
    (void)value;
    return apply(c, "inference-mode", OOL_INFER_INFERENCE_MODE, OOL_INFERENCE, err);
}

const struct ool_mitigation ool_fix_no_grad = {
    .name = "no-grad",
    .aliases = "torch.no_grad",
    .summary = "run inference under torch.no_grad()",
    .mechanism = "nothing is kept for backward: an activation dies at its last use",
    .value = NULL,
    .group = "gradient mode",
    .apply = apply_no_grad,
    .price = NULL,
};

const struct ool_mitigation ool_fix_inference_mode = {
    .name = "inference-mode",
    .aliases = "torch.inference_mode",
    .summary = "run inference under torch.inference_mode()",
    .mechanism = "as no_grad; also no version counters, which is time and not memory. Under "
                 "autocast the cast weights "
                 "are not cached",
    .value = NULL,
    .group = "gradient mode",
    .apply = apply_inference,
    .price = NULL,
};
