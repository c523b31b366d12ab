#include "ool_health.h"

#define SMALL_REQUEST 512 /* bytes */

static bool books_agree(const struct ool_process *p, const struct ool_snapshot *snapshot)
{
    uint64_t allocated = p->skipped_allocated, reserved = p->skipped_reserved;

    for (size_t i = 0; i < snapshot->n_segments; i++)
        reserved += snapshot->segments[i].bytes;
    for (size_t i = 0; i < snapshot->n_blocks; i++)
        if (snapshot->blocks[i].state == OOL_BLOCK_ALLOCATED)
            allocated += snapshot->blocks[i].bytes;
    return allocated == p->allocated && reserved == p->reserved;
}

/* Frees what the program can still reach of @process; false if the counter says otherwise. */
static bool free_reachable(struct ool_replay *r, uint16_t process)
{
    struct ool_process *p = &r->processes[process];
    uint64_t expected = p->allocated, allocated, reserved;

    for (size_t i = 0; i < r->program->n_storages; i++) {
        struct ool_instance *instance = &r->instances[i];

        if (!instance->alive || r->program->storages[i].process != process ||
            instance->block.handle == NULL)
            continue;
        ool_allocator_free(p->allocator, &instance->block);
        expected -= instance->block.bytes;
        instance->alive = false;
    }
    ool_allocator_synchronize(p->allocator);
    ool_allocator_empty_cache(p->allocator);
    ool_allocator_totals(p->allocator, &allocated, &reserved);
    return allocated == expected;
}

/* Where at least a page came back to the card, a small request has to be served. */
static enum ool_status still_serves(struct ool_replay *r, struct ool_process *p, bool *serves)
{
    uint64_t allocated, reserved;
    struct ool_error refused = {0};
    struct ool_block block;
    enum ool_status status;

    *serves = true;
    ool_allocator_totals(p->allocator, &allocated, &reserved);
    if (reserved + OOL_DEVICE_PAGE > p->reserved)
        return OOL_OK;
    status = ool_allocator_alloc(p->allocator, SMALL_REQUEST, 0, &block, &refused);
    *serves = status == OOL_OK;
    if (status == OOL_OK)
        ool_allocator_free(p->allocator, &block);
    if (status == OOL_OK || status == OOL_E_DEV_OOM)
        return OOL_OK;
    if (r->err != NULL)
        *r->err = refused;
    return status;
}

enum ool_status ool_health_check(struct ool_replay *r)
{
    uint16_t process = r->program->ops[r->at - 1].process;
    struct ool_process *p = &r->processes[process];
    enum ool_status status;
    bool agree, freed, serves;

    if (p->allocator == NULL) { /* there was no room for the context */
        r->result->healthy = true;
        return OOL_OK;
    }
    status = ool_allocator_snapshot(p->allocator, &r->result->segments, r->err);
    if (status != OOL_OK)
        return status;
    agree = books_agree(p, &r->result->segments);
    freed = free_reachable(r, process);
    status = still_serves(r, p, &serves);
    r->result->healthy = agree && freed && serves;
    return status;
}
