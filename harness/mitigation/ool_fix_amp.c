#include "ool_fix.h"

/*
 * Mechanism: parameters, gradients and optimizer state stay fp32; operators on the 16-bit list cast
 * their inputs. A cast weight is kept until autocast exits and, where autograd saved it, until its
 * backward: +2 bytes a parameter against activations that shrink. So it can raise the peak of a
 * model whose weights dominate. Source: PyTorch aten/src/ATen/autocast_mode.cpp (release 2.11).
 */
static const char *const words[] = {"bf16", "fp16", NULL};

static enum ool_status apply(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    size_t word;
    bool changed = false;

    status = ool_fix_word("amp", value, words, &word, err);
    if (status != OOL_OK)
        return status;
    if (*value == '\0' && c->card.capability != 0 && c->card.capability < 80)
        word = 1; /* no bf16 arithmetic before 8.0 */
    if (word == 0 && c->card.capability != 0 && c->card.capability < 80)
        return ool_fix_refuse(err, "amp=bf16",
                              "the card has no bf16 arithmetic (capability below 8.0)");
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->precision != OOL_FP32)
            continue;
        w->precision = word == 0 ? OOL_AMP_BF16 : OOL_AMP_FP16;
        changed = true;
    }
    return changed ? OOL_OK : ool_fix_refuse(err, "amp", "no workload computes in fp32");
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    (void)before;
    (void)after;
    price->quality = "16-bit matrix products; weights stay fp32";
}

const struct ool_mitigation ool_fix_amp = {
    .name = "amp",
    .aliases = "mixed-precision autocast",
    .summary = "automatic mixed precision (autocast; with GradScaler for fp16)",
    .mechanism = "activations of 16-bit operators halve, but weights get a 16-bit copy that lives "
                 "through the step",
    .value = "bf16 or fp16; bf16 where the card has it if left out",
    .words = words,
    .group = "precision",
    .apply = apply,
    .price = price,
};
