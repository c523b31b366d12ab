#include "ool_fix.h"

#include <string.h>

/*
 * Mechanism: the forward of a checkpointed block keeps only its inputs; backward runs the block
 * again with the graph on, so that one block's activations exist at a time. Embeddings, the head
 * and the loss are not covered: there the peak often moves. With k only every k-th block is a
 * checkpoint. Selective: of each block only attention's core, from q, k, v to its output (scores,
 * mask, softmax, dropout, product with v): what grows with the square of the sequence and costs
 * little to compute again; next to nothing where scaled_dot_product_attention keeps none of it.
 * Price: one more forward of the covered blocks, a third of the training work; selective: that of
 * the core alone. Random state is kept on the host, so results are the same. Sources:
 * torch/utils/checkpoint.py (release 2.11); Korthikanti et al., Reducing Activation Recomputation
 * in Large Transformer Models (2022).
 */
struct choice {
    enum ool_checkpoint kind;
    bool core;
    int64_t every;
};

static const char *const words[] = {"nonreentrant", "reentrant", "selective", NULL};

static enum ool_status parse(const char *value, struct choice *choice, struct ool_error *err)
{
    *choice = (struct choice){.kind = OOL_CHECKPOINT_NONREENTRANT, .every = 1};
    if (strcmp(value, "reentrant") == 0)
        choice->kind = OOL_CHECKPOINT_REENTRANT;
    else if (strcmp(value, "selective") == 0)
        choice->core = true;
    else if (strcmp(value, "nonreentrant") != 0)
        return ool_fix_number("checkpointing", value, 1, 1, &choice->every, err);
    return OOL_OK;
}

static enum ool_status apply(struct ool_case *c, const char *value, struct ool_error *err)
{
    struct choice choice;
    struct ool_error why = {.status = OOL_OK};
    bool changed = false;
    enum ool_status status = parse(value, &choice, err);

    if (status != OOL_OK)
        return status;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_TRAIN || w->checkpoint != OOL_CHECKPOINT_NONE)
            continue;
        if (w->save_on_cpu)
            return ool_fix_refuse(err, "checkpointing",
                                  "the activations are on the host already; choose one of the two");
        if (choice.core && ool_workload_check_core(w, &why) != OOL_OK)
            return ool_fix_refuse(err, "checkpointing", why.text);
        w->checkpoint = choice.kind;
        w->checkpoint_core = choice.core;
        w->checkpoint_every = choice.every;
        changed = true;
    }
    return changed ? OOL_OK
                   : ool_fix_refuse(err, "checkpointing", "no workload trains without checkpoints");
}

/*
 * What is done a second time. The core's FLOPs are counted; of the launches it has, as in GPT, 9 of
 * 21 of a block's forward (three copies, two products, scale, mask, softmax, dropout), or 1 of 13.
 */
static void add_again(const struct ool_workload *w, struct ool_price *price)
{
    struct ool_workload_facts facts = {0};
    struct ool_error err = {.status = OOL_OK};
    double share = OOL_FORWARD_SHARE / (double)(w->checkpoint_every > 1 ? w->checkpoint_every : 1);
    double flops = 1, launches = 1;

    if (w->checkpoint_core) {
        flops = ool_workload_count(w, &facts, &err) == OOL_OK ? facts.core_share : 0;
        launches = w->model.attention == OOL_ATTENTION_EAGER ? 9.0 / 21 : 1.0 / 13;
    }
    price->flops += share * flops;
    price->launches += share * launches;
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    for (size_t i = 0; i < before->n_jobs; i++) {
        const struct ool_workload *b = ool_fix_workload(before, i), *a = ool_fix_workload(after, i);

        if (b != NULL && b->checkpoint == OOL_CHECKPOINT_NONE &&
            a->checkpoint != OOL_CHECKPOINT_NONE)
            add_again(a, price);
    }
}

const struct ool_mitigation ool_fix_checkpointing = {
    .name = "checkpointing",
    .aliases = "gradient-checkpointing activation-checkpointing",
    .summary =
        "recompute each block, every k-th or attention's core alone in backward instead of keeping "
        "its activations",
    .mechanism = "only a block's inputs are kept; one block's activations exist at a time",
    .value = "k: every k-th block; reentrant; selective: attention's core; every block without it",
    .least = 1,
    .words = words,
    .group = "",
    .apply = apply,
    .price = price,
};
