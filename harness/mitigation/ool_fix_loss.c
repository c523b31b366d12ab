#include "ool_fix.h"

/*
 * Mechanism: head and loss run on n slices of the tokens, each recomputed in backward, so that the
 * logits of all tokens (b s V elements, two or three copies at the loss) never exist together.
 */
static enum ool_status apply(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    int64_t slices;
    bool changed = false;

    status = ool_fix_number("chunked-loss", value, 2, 8, &slices, err);
    if (status != OOL_OK)
        return status;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_TRAIN || w->chunked_loss > 1 ||
            w->model.formulation != OOL_PLAIN ||
            (w->model.family != OOL_FAMILY_GPT && w->model.family != OOL_FAMILY_LLAMA))
            continue;
        w->chunked_loss = slices;
        changed = true;
    }
    return changed ? OOL_OK
                   : ool_fix_refuse(err, "chunked-loss",
                                    "no workload trains a language model whose loss can be sliced "
                                    "(plain gpt, llama)");
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    (void)before;
    for (size_t i = 0; i < after->n_jobs; i++) {
        const struct ool_workload *w = ool_fix_workload(after, i);

        if (w != NULL && w->chunked_loss > 1 && w->model.layers > 0)
            price->launches += 1.0 / (double)(w->model.layers + 1);
    }
}

const struct ool_mitigation ool_fix_chunked_loss = {
    .name = "chunked-loss",
    .aliases = "chunked-cross-entropy",
    .summary = "head and loss on slices of the tokens",
    .mechanism = "the logits of all tokens never exist together",
    .value = "slices, n >= 2; 8 if left out",
    .least = 2,
    .group = "",
    .apply = apply,
    .price = price,
};
