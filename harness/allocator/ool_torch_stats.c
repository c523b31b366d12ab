#include "ool_torch.h"

#include <string.h>

static void fill(const struct ool_torch_counters *c, enum ool_torch_stat stat,
                 struct ool_stat out[OOL_N_POOLS])
{
    out[OOL_POOL_ALL] = (struct ool_stat){0, c->peak_all[stat], 0, 0};
    for (int small = 0; small < 2; small++) {
        struct ool_stat *pool = &out[small ? OOL_POOL_SMALL : OOL_POOL_LARGE];
        pool->current = c->current[small][stat];
        pool->peak = c->peak[small][stat];
        pool->allocated = c->allocated[small][stat];
        pool->freed = pool->allocated - pool->current;
        out[OOL_POOL_ALL].current += pool->current;
        out[OOL_POOL_ALL].allocated += pool->allocated;
        out[OOL_POOL_ALL].freed += pool->freed;
    }
}

/* Where the public struct keeps a counter. */
static struct ool_stat *place_of(struct ool_allocator_stats *stats, enum ool_torch_stat stat)
{
    struct ool_stat *places[OOL_TORCH_N_STATS] = {
        [OOL_TORCH_ALLOCATION] = stats->allocation,
        [OOL_TORCH_ALLOCATED_BYTES] = stats->allocated_bytes,
        [OOL_TORCH_ACTIVE] = stats->active,
        [OOL_TORCH_ACTIVE_BYTES] = stats->active_bytes,
        [OOL_TORCH_REQUESTED_BYTES] = stats->requested_bytes,
        [OOL_TORCH_SEGMENT] = stats->segment,
        [OOL_TORCH_RESERVED_BYTES] = stats->reserved_bytes,
        [OOL_TORCH_INACTIVE_SPLIT] = stats->inactive_split,
        [OOL_TORCH_INACTIVE_SPLIT_BYTES] = stats->inactive_split_bytes,
    };

    return places[stat];
}

const struct ool_allocator_stats *ool_torch_stats(struct ool_allocator *allocator)
{
    struct ool_torch *torch = (struct ool_torch *)allocator;

    for (int stat = 0; stat < OOL_TORCH_N_STATS; stat++)
        fill(&torch->counters, (enum ool_torch_stat)stat,
             place_of(&torch->stats, (enum ool_torch_stat)stat));
    return &torch->stats;
}

void ool_torch_totals(const struct ool_allocator *allocator, uint64_t *allocated,
                      uint64_t *reserved)
{
    const struct ool_torch *torch = (const struct ool_torch *)allocator;
    const struct ool_torch_counters *c = &torch->counters;

    *allocated = (uint64_t)(c->current[0][OOL_TORCH_ALLOCATED_BYTES] +
                            c->current[1][OOL_TORCH_ALLOCATED_BYTES]);
    *reserved = torch->reserved_bytes;
}

static void repeat_scalar(struct ool_stat *stat, const struct ool_stat *growth, int64_t times)
{
    stat->current += growth->current * times;
    stat->allocated += growth->allocated * times;
    stat->freed += growth->freed * times;
}

void ool_torch_skip(struct ool_allocator *allocator, const struct ool_allocator_stats *growth,
                    uint64_t times)
{
    struct ool_torch *torch = (struct ool_torch *)allocator;
    struct ool_torch_counters *c = &torch->counters;
    struct ool_allocator_stats *stats = &torch->stats, period = *growth;
    int64_t n = (int64_t)times;

    for (int stat = 0; stat < OOL_TORCH_N_STATS; stat++) {
        const struct ool_stat *place = place_of(&period, (enum ool_torch_stat)stat);
        for (int small = 0; small < 2; small++) {
            const struct ool_stat *pool = &place[small ? OOL_POOL_SMALL : OOL_POOL_LARGE];
            c->current[small][stat] += pool->current * n;
            c->allocated[small][stat] += pool->allocated * n;
        }
    }
    torch->reserved_bytes += (uint64_t)(growth->reserved_bytes[OOL_POOL_ALL].current * n);
    repeat_scalar(&stats->oversize_allocations, &growth->oversize_allocations, n);
    repeat_scalar(&stats->oversize_segments, &growth->oversize_segments, n);
    stats->num_alloc_retries += growth->num_alloc_retries * n;
    stats->num_ooms += growth->num_ooms * n;
    stats->num_sync_all_streams += growth->num_sync_all_streams * n;
    stats->num_device_alloc += growth->num_device_alloc * n;
    stats->num_device_free += growth->num_device_free * n;
    stats->num_oom_rejections += growth->num_oom_rejections * n;
}

void ool_torch_reset_peak(struct ool_allocator *allocator)
{
    struct ool_torch *torch = (struct ool_torch *)allocator;
    struct ool_torch_counters *c = &torch->counters;

    memcpy(c->peak, c->current, sizeof c->peak);
    for (int stat = 0; stat < OOL_TORCH_N_STATS; stat++)
        c->peak_all[stat] = c->current[0][stat] + c->current[1][stat];
    torch->stats.oversize_allocations.peak = torch->stats.oversize_allocations.current;
    torch->stats.oversize_segments.peak = torch->stats.oversize_segments.current;
}
