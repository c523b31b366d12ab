#include "ool_fix.h"

/*
 * Mechanism: a dynamic cache concatenates: for each layer and token a new tensor is made while the
 * old one is alive, of growing sizes, which fragments. A static cache is allocated once at its full
 * length.
 */
static enum ool_status apply(struct ool_case *c, const char *value, struct ool_error *err)
{
    bool changed = false;

    (void)value;
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *w = ool_fix_workload(c, i);

        if (w == NULL || w->task != OOL_TASK_GENERATE)
            continue;
        w->cache = OOL_CACHE_STATIC;
        changed = true;
    }
    return changed ? OOL_OK : ool_fix_refuse(err, "static-cache", "no workload generates");
}

const struct ool_mitigation ool_fix_static_cache = {
    .name = "static-cache",
    .aliases = "",
    .summary = "a KV cache that is allocated once",
    .mechanism = "no concatenation for each token and layer, so no second copy and no fragments",
    .value = NULL,
    .group = "",
    .apply = apply,
    .price = NULL,
};
