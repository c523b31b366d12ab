#include "ool_fix.h"

/*
 * Mechanism: parameters, gradients, optimizer state and activations are all 16-bit: each halves. An
 * AdamW step in bf16 loses updates below 2^-9 of the weight.
 */
static const char *const words[] = {"bf16", "fp16", NULL};

static enum ool_status apply(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    size_t word;
    bool changed = false;

    status = ool_fix_word("half-weights", value, words, &word, err);
    if (status != OOL_OK)
        return status;
    if (*value == '\0' && c->card.capability != 0 && c->card.capability < 80)
        word = 1;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->precision == OOL_PURE_BF16 || w->precision == OOL_PURE_FP16)
            continue;
        w->precision = word == 0 ? OOL_PURE_BF16 : OOL_PURE_FP16;
        changed = true;
    }
    return changed ? OOL_OK : ool_fix_refuse(err, "half-weights", "no workload has 32-bit weights");
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    (void)after;
    for (size_t i = 0; i < before->n_jobs; i++) {
        const struct ool_workload *w = ool_fix_workload(before, i);

        if (w != NULL)
            price->quality = w->task == OOL_TASK_TRAIN ? "16-bit weights: small updates are lost"
                                                       : "16-bit weights";
    }
}

const struct ool_mitigation ool_fix_half_weights = {
    .name = "half-weights",
    .aliases = "pure-16bit half",
    .summary = "weights, gradients, optimizer state and activations in 16 bit",
    .mechanism = "every term halves: 8 bytes a parameter with AdamW instead of 16",
    .value = "bf16 or fp16; bf16 where the card has it if left out",
    .words = words,
    .group = "precision",
    .apply = apply,
    .price = price,
};
