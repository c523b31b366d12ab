/*
 * ool_direct.c - no policy: every request is a cudaMalloc, every free a cudaFree.
 *
 * cudaFree waits for the device, so streams need no bookkeeping and record_stream nothing to record.
 */
#include "ool_allocator_ops.h"

#include "ool_mem.h"

#include <stdlib.h>
#include <string.h>

struct direct_block {
    uint64_t address, bytes;
    uint32_t number, stream;
    struct direct_block *prev, *next; /* all live ones */
};

struct direct {
    struct ool_allocator base;
    struct ool_device *dev;
    int device_index;
    struct direct_block *blocks;
    size_t n_blocks;
    uint32_t n_segments;
    struct ool_allocator_stats stats;
    struct ool_text message;
};

static struct direct *direct_of(const struct ool_allocator *allocator)
{
    return (struct direct *)(uintptr_t)allocator;
}

static enum ool_status host_oom(struct ool_error *err)
{
    return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the allocator's books");
}

static void count(struct ool_stat *stat, int64_t n)
{
    stat->current += n;
    if (n < 0)
        stat->freed -= n;
    else
        stat->allocated += n;
    if (stat->current > stat->peak)
        stat->peak = stat->current;
}

/* There are no pools: only the sums over all are kept. */
static void count_all(struct direct *direct, int64_t n, int64_t bytes)
{
    struct ool_allocator_stats *s = &direct->stats;

    count(&s->allocation[OOL_POOL_ALL], n);
    count(&s->segment[OOL_POOL_ALL], n);
    count(&s->active[OOL_POOL_ALL], n);
    count(&s->allocated_bytes[OOL_POOL_ALL], bytes);
    count(&s->reserved_bytes[OOL_POOL_ALL], bytes);
    count(&s->active_bytes[OOL_POOL_ALL], bytes);
    count(&s->requested_bytes[OOL_POOL_ALL], bytes);
}

static enum ool_status out_of_memory(struct direct *direct, uint64_t bytes, struct ool_error *err)
{
    const struct ool_allocator_stats *s = &direct->stats;
    char wanted[OOL_SIZE_TEXT], total[OOL_SIZE_TEXT], unused[OOL_SIZE_TEXT], held[OOL_SIZE_TEXT];
    uint64_t free_bytes, total_bytes;

    direct->dev->ops->info(direct->dev, &free_bytes, &total_bytes);
    direct->stats.num_ooms++;
    ool_text_clear(&direct->message);
    ool_text_printf(&direct->message,
                    "CUDA error: out of memory. cudaMalloc of %s failed on GPU %d, which has a "
                    "total capacity of %s of which %s is free. This process holds %s in %lld "
                    "allocations.",
                    ool_size_print(bytes, wanted), direct->device_index,
                    ool_size_print(total_bytes, total), ool_size_print(free_bytes, unused),
                    ool_size_print((uint64_t)s->allocated_bytes[OOL_POOL_ALL].current, held),
                    (long long)s->allocation[OOL_POOL_ALL].current);
    if (direct->message.failed)
        return host_oom(err);
    return ool_error_set(err, OOL_E_DEV_OOM, "the device has no room for %s", wanted);
}

static enum ool_status direct_alloc(struct ool_allocator *allocator, uint64_t bytes,
                                    uint32_t stream, struct ool_block *out, struct ool_error *err)
{
    struct direct *direct = direct_of(allocator);
    struct direct_block *block;
    enum ool_status status;

    if (bytes == 0) {
        *out = (struct ool_block){NULL, 0, 0, 0, 0};
        return OOL_OK;
    }
    block = ool_calloc(1, sizeof *block);
    if (block == NULL)
        return host_oom(err);
    status = direct->dev->ops->alloc(direct->dev, bytes, &block->address, err);
    if (status != OOL_OK) {
        ool_free(block);
        return status == OOL_E_DEV_OOM ? out_of_memory(direct, bytes, err) : status;
    }
    block->bytes = bytes;
    block->stream = stream;
    block->number = direct->n_segments++;
    block->next = direct->blocks;
    if (block->next != NULL)
        block->next->prev = block;
    direct->blocks = block;
    direct->n_blocks++;
    direct->stats.num_device_alloc++;
    count_all(direct, 1, (int64_t)bytes);
    *out = (struct ool_block){block, block->address, bytes, block->number, 0};
    return OOL_OK;
}

static void drop(struct direct *direct, struct direct_block *block)
{
    direct->dev->ops->free(direct->dev, block->address, block->bytes);
    if (block->prev != NULL)
        block->prev->next = block->next;
    else
        direct->blocks = block->next;
    if (block->next != NULL)
        block->next->prev = block->prev;
    direct->n_blocks--;
    ool_free(block);
}

static void direct_free(struct ool_allocator *allocator, const struct ool_block *handle)
{
    struct direct *direct = direct_of(allocator);

    direct->stats.num_device_free++;
    count_all(direct, -1, -(int64_t)handle->bytes);
    drop(direct, handle->handle);
}

static void direct_record_stream(struct ool_allocator *allocator, const struct ool_block *handle,
                                 uint32_t stream)
{
    (void)allocator;
    (void)handle;
    (void)stream;
}

static void direct_nothing(struct ool_allocator *allocator)
{
    (void)allocator; /* no cache to empty, no event to wait for */
}

static void direct_stream(struct ool_allocator *allocator, uint32_t stream)
{
    (void)allocator;
    (void)stream;
}

static void direct_stream_step(struct ool_allocator *allocator, uint32_t stream, uint64_t n_events)
{
    (void)allocator;
    (void)stream;
    (void)n_events;
}

static enum ool_status direct_set_fraction(struct ool_allocator *allocator, double fraction,
                                           struct ool_error *err)
{
    (void)allocator;
    (void)fraction;
    return ool_error_set(err, OOL_E_UNSUPPORTED, "the direct allocator knows no memory fraction");
}

static enum ool_status direct_set_conf(struct ool_allocator *allocator, const char *conf,
                                       struct ool_error *err)
{
    (void)allocator;
    if (*conf == '\0')
        return OOL_OK;
    return ool_error_set(err, OOL_E_UNSUPPORTED,
                         "the direct allocator has no settings, found \"%.80s\"", conf);
}

/* The counters that this kind keeps. */
#define N_COUNTERS 7
static void counters_of(struct ool_allocator_stats *s, struct ool_stat *counters[N_COUNTERS])
{
    counters[0] = &s->allocation[OOL_POOL_ALL];
    counters[1] = &s->segment[OOL_POOL_ALL];
    counters[2] = &s->active[OOL_POOL_ALL];
    counters[3] = &s->allocated_bytes[OOL_POOL_ALL];
    counters[4] = &s->reserved_bytes[OOL_POOL_ALL];
    counters[5] = &s->active_bytes[OOL_POOL_ALL];
    counters[6] = &s->requested_bytes[OOL_POOL_ALL];
}

static void direct_reset_peak(struct ool_allocator *allocator)
{
    struct ool_stat *counters[N_COUNTERS];

    counters_of(&direct_of(allocator)->stats, counters);
    for (size_t i = 0; i < N_COUNTERS; i++)
        counters[i]->peak = counters[i]->current;
}

static void direct_totals(const struct ool_allocator *allocator, uint64_t *allocated,
                          uint64_t *reserved)
{
    const struct ool_allocator_stats *s = &direct_of(allocator)->stats;

    *allocated = (uint64_t)s->allocated_bytes[OOL_POOL_ALL].current;
    *reserved = (uint64_t)s->reserved_bytes[OOL_POOL_ALL].current;
}

static void direct_skip(struct ool_allocator *allocator, const struct ool_allocator_stats *growth,
                        uint64_t times)
{
    struct ool_allocator_stats *stats = &direct_of(allocator)->stats, period = *growth;
    struct ool_stat *counters[N_COUNTERS], *more[N_COUNTERS];
    int64_t n = (int64_t)times;

    counters_of(stats, counters);
    counters_of(&period, more);
    for (size_t i = 0; i < N_COUNTERS; i++) {
        counters[i]->current += more[i]->current * n;
        counters[i]->allocated += more[i]->allocated * n;
        counters[i]->freed += more[i]->freed * n;
    }
    stats->num_ooms += period.num_ooms * n;
    stats->num_device_alloc += period.num_device_alloc * n;
    stats->num_device_free += period.num_device_free * n;
}

static const struct ool_allocator_stats *direct_stats(struct ool_allocator *allocator)
{
    return &direct_of(allocator)->stats;
}

static const char *direct_message(const struct ool_allocator *allocator)
{
    return ool_text_data(&direct_of(allocator)->message);
}

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const struct ool_segment_info *)a)->address;
    uint64_t y = ((const struct ool_segment_info *)b)->address;

    return (x > y) - (x < y);
}

static enum ool_status direct_snapshot(const struct ool_allocator *allocator,
                                       struct ool_snapshot *snapshot, struct ool_error *err)
{
    const struct direct *direct = direct_of(allocator);
    size_t n = direct->n_blocks, i = 0;
    struct ool_snapshot out = {NULL, n, NULL, n};

    out.segments = ool_calloc(n, sizeof *out.segments);
    out.blocks = ool_calloc(n, sizeof *out.blocks);
    if (out.segments == NULL || out.blocks == NULL) {
        ool_snapshot_fini(&out);
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a snapshot");
    }
    for (const struct direct_block *block = direct->blocks; block != NULL; block = block->next)
        out.segments[i++] = (struct ool_segment_info){.address = block->address,
                                                      .bytes = block->bytes,
                                                      .number = block->number,
                                                      .stream = block->stream,
                                                      .n_blocks = 1};
    qsort(out.segments, n, sizeof *out.segments, by_address);
    for (i = 0; i < n; i++) {
        out.segments[i].first_block = i;
        out.blocks[i] = (struct ool_block_info){out.segments[i].address, out.segments[i].bytes,
                                                out.segments[i].bytes, OOL_BLOCK_ALLOCATED};
    }
    *snapshot = out;
    return OOL_OK;
}

static void direct_close(struct ool_allocator *allocator)
{
    struct direct *direct = direct_of(allocator);

    while (direct->blocks != NULL)
        drop(direct, direct->blocks);
    ool_text_fini(&direct->message);
    ool_free(direct);
}

static const struct ool_allocator_ops direct_ops = {
    .alloc = direct_alloc,
    .free = direct_free,
    .record_stream = direct_record_stream,
    .empty_cache = direct_nothing,
    .synchronize = direct_nothing,
    .stream_busy = direct_stream,
    .stream_step = direct_stream_step,
    .stream_idle = direct_stream,
    .set_fraction = direct_set_fraction,
    .set_conf = direct_set_conf,
    .reset_peak = direct_reset_peak,
    .totals = direct_totals,
    .skip = direct_skip,
    .stats = direct_stats,
    .message = direct_message,
    .snapshot = direct_snapshot,
    .close = direct_close,
};

/* The version only chooses what the framework above does; cudaMalloc has none. */
enum ool_status ool_direct_open(const struct ool_allocator_config *config, struct ool_device *dev,
                                struct ool_allocator **allocator, struct ool_error *err)
{
    struct direct *direct;
    enum ool_status status;

    status = direct_set_conf(NULL, config->conf != NULL ? config->conf : "", err);
    if (status != OOL_OK)
        return status;
    direct = ool_calloc(1, sizeof *direct);
    if (direct == NULL)
        return host_oom(err);
    direct->base.ops = &direct_ops;
    direct->dev = dev;
    direct->device_index = config->device_index;
    direct->stats.max_split_size = -1;
    ool_text_init(&direct->message, 4096);
    *allocator = &direct->base;
    return OOL_OK;
}
