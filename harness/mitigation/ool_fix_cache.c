#include "ool_fix.h"

#include "ool_mem.h"

/*
 * Mechanism: empty_cache() gives wholly unused cached segments back to the driver. It never frees a
 * live tensor, and the allocator does the same by itself before it raises an out-of-memory. So it
 * helps another process on the card, and nobody else.
 */

/* @c's job @i with an empty_cache after each end of a loop's round and at the end. */
static enum ool_status insert_empty_cache(struct ool_case *c, size_t i, struct ool_error *err)
{
    struct ool_job *job = &c->jobs[i];
    struct ool_operation *operations;
    size_t n = 0, ends = 1;

    for (size_t k = 0; k < job->n_operations; k++)
        ends += job->operations[k].kind == OOL_DO_END ? 1 : 0;
    operations = ool_calloc(job->n_operations + ends, sizeof(*operations));
    if (operations == NULL ||
        !ool_grow(&c->owned, &c->owned_capacity, c->n_owned, sizeof(*c->owned))) {
        ool_free(operations);
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the operations");
    }
    for (size_t k = 0; k < job->n_operations; k++) {
        if (job->operations[k].kind == OOL_DO_END)
            operations[n++] =
                (struct ool_operation){.kind = OOL_DO_EMPTY_CACHE, .line = job->operations[k].line};
        operations[n++] = job->operations[k];
    }
    operations[n++] = (struct ool_operation){.kind = OOL_DO_EMPTY_CACHE, .line = job->line};
    c->owned[c->n_owned++] = operations;
    job->operations = operations;
    job->n_operations = n;
    return OOL_OK;
}

static enum ool_status apply_empty_cache(struct ool_case *c, const char *value,
                                         struct ool_error *err)
{
    (void)value;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w != NULL) {
            w->empty_cache = true;
        } else {
            enum ool_status status = insert_empty_cache(c, i, err);

            if (status != OOL_OK)
                return status;
        }
    }
    return OOL_OK;
}

static enum ool_status apply_collect(struct ool_case *c, const char *value, struct ool_error *err)
{
    bool changed = false;

    (void)value;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL)
            continue;
        w->collect_garbage = true;
        w->empty_cache = true;
        changed = true;
    }
    return changed ? OOL_OK
                   : ool_fix_refuse(err, "collect-garbage",
                                    "explicit operations have no Python objects to collect");
}

static void price(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price)
{
    (void)before;
    (void)after;
    price->quality = "cudaMalloc again after each call";
}

const struct ool_mitigation ool_fix_empty_cache = {
    .name = "empty-cache",
    .aliases = "torch.cuda.empty_cache",
    .summary = "torch.cuda.empty_cache() after forward, backward and step",
    .mechanism =
        "unused cached segments go back to the driver: helps other processes, frees no tensor",
    .value = NULL,
    .group = "",
    .apply = apply_empty_cache,
    .price = price,
};

const struct ool_mitigation ool_fix_collect_garbage = {
    .name = "collect-garbage",
    .aliases = "gc del",
    .summary = "del, gc.collect() and empty_cache() between steps",
    .mechanism =
        "frees what only reference cycles hold; a list that still holds its tensors is no cycle",
    .value = NULL,
    .group = "",
    .apply = apply_collect,
    .price = price,
};
