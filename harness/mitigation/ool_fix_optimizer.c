#include "ool_fix.h"

#include <math.h>
#include <string.h>

/*
 * Mechanism: Adam keeps two tensors a parameter, SGD with momentum one, SGD none, Adafactor a row
 * and a column. The foreach implementation computes on lists and holds temporaries of the whole
 * model's size in the step; the loop holds those of one tensor; the fused kernel none. Source:
 * torch/optim (release 2.11).
 */
static const char *const words[] = {"sgd",   "sgd-momentum", "adafactor", "adam",
                                    "adamw", "rmsprop",      "adagrad",   NULL};

static enum ool_status apply_kind(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    static const enum ool_optimizer_kind kinds[] = {OOL_SGD,   OOL_SGD,     OOL_ADAFACTOR, OOL_ADAM,
                                                    OOL_ADAMW, OOL_RMSPROP, OOL_ADAGRAD};
    size_t word;
    bool changed = false;

    status = ool_fix_word("optimizer", value, words, &word, err);
    if (status != OOL_OK)
        return status;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_TRAIN || !w->has_optimizer)
            continue;
        w->optimizer = (struct ool_optimizer_config){
            .kind = kinds[word],
            .implementation = OOL_IMPL_DEFAULT,
            .momentum = strcmp(words[word], "sgd-momentum") == 0 ? 0.9 : 0.0,
            .weight_decay = NAN,
        };
        changed = true;
    }
    return changed ? OOL_OK
                   : ool_fix_refuse(err, "optimizer", "no workload trains with an optimizer");
}

static enum ool_status choose(struct ool_case *c, const char *name,
                              enum ool_implementation implementation, struct ool_error *err)
{
    bool changed = false;

    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_TRAIN || !w->has_optimizer)
            continue;
        if (implementation == OOL_FUSED && w->optimizer.kind != OOL_SGD &&
            w->optimizer.kind != OOL_ADAM && w->optimizer.kind != OOL_ADAMW &&
            w->optimizer.kind != OOL_ADAGRAD)
            return ool_fix_refuse(err, name,
                                  "only SGD, Adam, AdamW and Adagrad have a fused kernel");
        w->optimizer.implementation = implementation;
        changed = true;
    }
    return changed ? OOL_OK : ool_fix_refuse(err, name, "no workload trains with an optimizer");
}

static enum ool_status apply_loop(struct ool_case *c, const char *value, struct ool_error *err)
{
    (void)value;
    return choose(c, "foreach-off", OOL_LOOP, err);
}

static enum ool_status apply_fused(struct ool_case *c, const char *value, struct ool_error *err)
{
    (void)value;
    return choose(c, "fused-optimizer", OOL_FUSED, err);
}

static enum ool_status apply_in_backward(struct ool_case *c, const char *value,
                                         struct ool_error *err)
{
    bool changed = false;

    (void)value;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_TRAIN || !w->has_optimizer)
            continue;
        if (w->accumulate > 1)
            return ool_fix_refuse(err, "optimizer-in-backward",
                                  "it drops each gradient at once; nothing can accumulate");
        if (w->clip != OOL_CLIP_NONE)
            return ool_fix_refuse(err, "optimizer-in-backward",
                                  "clipping needs every gradient at once");
        if (w->precision == OOL_AMP_FP16)
            return ool_fix_refuse(err, "optimizer-in-backward",
                                  "the gradient scaler looks at all gradients before the step");
        w->optimizer_in_backward = true;
        changed = true;
    }
    return changed ? OOL_OK
                   : ool_fix_refuse(err, "optimizer-in-backward",
                                    "no workload trains with an optimizer");
}

static void price_kind(const struct ool_case *before, const struct ool_case *after,
                       struct ool_price *price)
{
    (void)before;
    (void)after;
    price->quality = "another optimizer: another trajectory; tune the learning rate";
}

const struct ool_mitigation ool_fix_optimizer = {
    .name = "optimizer",
    .aliases = "",
    .summary = "another optimizer",
    .mechanism = "Adam keeps two tensors a parameter, SGD with momentum one, plain SGD none, "
                 "Adafactor a row and a column",
    .value = "sgd, sgd-momentum, adafactor, adam, adamw, rmsprop or adagrad; sgd if left out",
    .words = words,
    .group = "optimizer",
    .apply = apply_kind,
    .price = price_kind,
};

const struct ool_mitigation ool_fix_foreach_off = {
    .name = "foreach-off",
    .aliases = "foreach=false",
    .summary = "the optimizer steps tensor by tensor",
    .mechanism = "temporaries of one tensor instead of the whole model in the step",
    .value = NULL,
    .group = "optimizer implementation",
    .apply = apply_loop,
    .price = NULL,
};

const struct ool_mitigation ool_fix_fused = {
    .name = "fused-optimizer",
    .aliases = "fused",
    .summary = "the optimizer's fused kernel",
    .mechanism = "the step holds no temporaries",
    .value = NULL,
    .group = "optimizer implementation",
    .apply = apply_fused,
    .price = NULL,
};

const struct ool_mitigation ool_fix_optimizer_in_backward = {
    .name = "optimizer-in-backward",
    .aliases = "fused-backward",
    .summary = "each parameter is updated in its gradient hook and its gradient dropped",
    .mechanism = "the gradients of the whole model never exist together",
    .value = NULL,
    .group = "",
    .apply = apply_in_backward,
    .price = NULL,
};
