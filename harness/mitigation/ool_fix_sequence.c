#include "ool_fix.h"

/*
 * Mechanism: activations and logits are linear in the sequence, explicit attention is quadratic,
 * the KV cache is linear. Weights, gradients and optimizer state are not touched.
 */
static enum ool_status apply(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    bool changed = false;

    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);
        int64_t seq;

        if (w == NULL || w->seq < 2)
            continue;
        status = ool_fix_number("shorter-sequence", value, 1, w->seq / 2, &seq, err);
        if (status != OOL_OK)
            return status;
        if (seq >= w->seq)
            return ool_fix_refuse(err, "shorter-sequence",
                                  "the value is not shorter than the sequence");
        w->seq = seq;
        changed = true;
    }
    return changed
               ? OOL_OK
               : ool_fix_refuse(err, "shorter-sequence", "no workload has a sequence to shorten");
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    (void)before;
    (void)after;
    price->quality = "the input is cut: the model sees less context";
}

const struct ool_mitigation ool_fix_shorter_sequence = {
    .name = "shorter-sequence",
    .aliases = "sequence",
    .summary = "halve the sequence, or set it to a value",
    .mechanism =
        "activations and logits are linear in the sequence, explicit attention is quadratic",
    .value = "tokens; half of the old number if left out",
    .least = 1,
    .group = "",
    .apply = apply,
    .price = price,
};
