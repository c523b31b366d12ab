#include "ool_torch.h"

#include "ool_mem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static struct ool_torch *torch_of(const struct ool_allocator *allocator)
{
    return (struct ool_torch *)(uintptr_t)allocator;
}

static enum ool_status host_oom(struct ool_error *err)
{
    return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the allocator's books");
}

/* ---- sizes ---- */

static unsigned floor_log2(uint64_t n)
{
    return 63 - (unsigned)__builtin_clzll(n);
}

/* To the next multiple of a 1/divisions step between two powers of two. */
static uint64_t round_to_division(uint64_t n, uint64_t divisions)
{
    uint64_t floor = UINT64_C(1) << floor_log2(n);
    uint64_t step = floor >> floor_log2(divisions);

    if (n == floor)
        return n;
    return step == 0 ? 2 * floor : (n + step - 1) & ~(step - 1);
}

static uint64_t round_by_table(const struct ool_torch *torch, uint64_t n)
{
    unsigned power = floor_log2(n), index = power < 20 ? 0 : power - 20;
    uint64_t divisions;

    if (index >= OOL_TORCH_DIVISIONS)
        index = OOL_TORCH_DIVISIONS - 1;
    divisions = torch->conf.divisions[index];
    if (divisions == 1 && torch->release->one_division_keeps_size && n > OOL_TORCH_MIN_BLOCK)
        return n;
    if (divisions > 1 && n > OOL_TORCH_MIN_BLOCK * divisions)
        return round_to_division(n, divisions);
    return (n + OOL_TORCH_MIN_BLOCK - 1) & ~(OOL_TORCH_MIN_BLOCK - 1);
}

static inline uint64_t round_size(const struct ool_torch *torch, uint64_t n)
{
    if (n < OOL_TORCH_MIN_BLOCK)
        return OOL_TORCH_MIN_BLOCK;
    if (torch->conf.rounds_up)
        return round_by_table(torch, n);
    return (n + OOL_TORCH_MIN_BLOCK - 1) & ~(OOL_TORCH_MIN_BLOCK - 1);
}

static uint64_t segment_bytes(const struct ool_torch *torch, uint64_t bytes)
{
    if (bytes <= OOL_TORCH_SMALL)
        return OOL_TORCH_SMALL_SEGMENT;
    if (bytes < OOL_TORCH_MIN_LARGE)
        return torch->conf.large_segment_size;
    return (bytes + OOL_TORCH_ROUND_LARGE - 1) / OOL_TORCH_ROUND_LARGE * OOL_TORCH_ROUND_LARGE;
}

/* ---- the search ---- */

/* What an expandable block could become: with the unmapped one behind it. */
static uint64_t expanded_bytes(const struct ool_torch_block *block)
{
    return block->bytes + (block->next != NULL && block->next->unmapped ? block->next->bytes : 0);
}

/* The first fit is expandable. With the mode on, holes are preferred to what can still grow; with the
 * mode off by now, expandable blocks are passed over. */
static struct ool_torch_block *choose_expandable(const struct ool_torch *torch,
                                                 struct ool_torch_block *block)
{
    struct ool_torch_block *next;

    if (!torch->conf.expandable) {
        while (block != NULL && block->segment->page != 0)
            block = ool_torch_heap_next(block);
        return block;
    }
    while (block->segment->page != 0) {
        next = ool_torch_heap_next(block);
        if (next == NULL || expanded_bytes(next) >= expanded_bytes(block))
            break;
        block = next;
    }
    return block;
}

/* Takes the best fit out of the heap; NULL if no free block may serve the request. */
static inline struct ool_torch_block *take_free(struct ool_torch *torch,
                                                struct ool_torch_heap *heap, uint64_t bytes)
{
    uint64_t limit = torch->conf.max_split_size;
    struct ool_torch_block *block;

    if (torch->has_limit && torch->conf.gc_threshold > 0)
        torch->n_searches[heap->small] += heap->pool == NULL;
    block = ool_torch_heap_find(heap, bytes);
    if (block == NULL)
        return NULL;
    if (block->segment->page != 0) {
        block = choose_expandable(torch, block);
        if (block == NULL)
            return NULL;
    }
    if (bytes < limit ? block->bytes >= limit
                      : block->bytes >= bytes + torch->conf.max_non_split_rounding)
        return NULL;
    ool_torch_heap_remove(block);
    return block;
}

/* ---- handing out ---- */

static inline bool should_split(const struct ool_torch *torch, const struct ool_torch_block *block,
                                uint64_t bytes)
{
    uint64_t rest = block->bytes - bytes;

    if (block->heap->small || torch->conf.expandable)
        return rest >= OOL_TORCH_MIN_BLOCK;
    return bytes < torch->conf.max_split_size && rest > OOL_TORCH_SMALL;
}

/* A block of exactly `bytes` from the front; the old one keeps the tail and is free. */
static inline struct ool_torch_block *split_front(struct ool_torch *torch,
                                                  struct ool_torch_block *tail, uint64_t bytes)
{
    struct ool_torch_block *front;

    front = ool_torch_block_new(torch, tail->heap, tail->segment, tail->address, bytes);
    ool_torch_block_link(tail->prev, front, tail);
    tail->address += bytes;
    tail->bytes -= bytes;
    ool_torch_heap_insert(torch, tail);
    return front;
}

static struct ool_torch_block *hand_out(struct ool_torch *torch, struct ool_torch_block *block,
                                        uint64_t bytes, uint64_t requested)
{
    struct ool_torch_counters *c = &torch->counters;
    bool was_split = block->prev != NULL || block->next != NULL;
    bool counts_split = block->segment->page == 0, small = block->heap->small;
    struct ool_torch_block *tail = block;
    int64_t size;

    if (should_split(torch, block, bytes)) {
        block = split_front(torch, tail, bytes);
        if (counts_split && was_split) {
            ool_torch_stat_sub(c, OOL_TORCH_INACTIVE_SPLIT_BYTES, small, (int64_t)bytes);
        } else if (counts_split) {
            ool_torch_stat_add(c, OOL_TORCH_INACTIVE_SPLIT, small, 1);
            ool_torch_stat_add(c, OOL_TORCH_INACTIVE_SPLIT_BYTES, small, (int64_t)tail->bytes);
        }
    } else if (counts_split && was_split) {
        ool_torch_stat_sub(c, OOL_TORCH_INACTIVE_SPLIT, small, 1);
        ool_torch_stat_sub(c, OOL_TORCH_INACTIVE_SPLIT_BYTES, small, (int64_t)block->bytes);
    }
    block->allocated = true;
    block->requested = requested;
    size = (int64_t)block->bytes;
    ool_torch_stat_add(c, OOL_TORCH_ALLOCATION, small, 1);
    ool_torch_stat_add(c, OOL_TORCH_ALLOCATED_BYTES, small, size);
    ool_torch_stat_add(c, OOL_TORCH_ACTIVE, small, 1);
    ool_torch_stat_add(c, OOL_TORCH_ACTIVE_BYTES, small, size);
    ool_torch_stat_add(c, OOL_TORCH_REQUESTED_BYTES, small, (int64_t)requested);
    if (block->bytes >= torch->conf.max_split_size)
        ool_torch_scalar_add(&torch->stats.oversize_allocations, 1);
    return block;
}

static enum ool_status out_of_memory(struct ool_torch *torch, uint64_t requested, uint64_t segment,
                                     bool refused, struct ool_error *err)
{
    char text[OOL_SIZE_TEXT];

    if (refused) {
        ool_torch_message_refused(torch, requested);
    } else {
        torch->stats.num_ooms++;
        ool_torch_message_oom(torch, segment);
    }
    if (torch->message.failed)
        return host_oom(err);
    return ool_error_set(err, OOL_E_DEV_OOM, "the device has no room for %s",
                         ool_size_print(segment, text));
}

static enum ool_status torch_alloc(struct ool_allocator *allocator, uint64_t bytes, uint32_t number,
                                   struct ool_block *out, struct ool_error *err)
{
    struct ool_torch *torch = torch_of(allocator);
    struct ool_torch_stream *stream;
    struct ool_torch_heap *heap;
    struct ool_torch_block *block;
    uint64_t size, segment;
    enum ool_status status;
    bool refused;

    if (bytes == 0) {
        *out = (struct ool_block){NULL, 0, 0, 0, 0};
        return OOL_OK;
    }
    if (bytes >= OOL_TORCH_LIMIT) {
        ool_torch_message_limit(torch);
        return torch->message.failed
                   ? host_oom(err)
                   : ool_error_set(err, OOL_E_DEV_OOM, "more than 1 EiB asked for");
    }
    stream = ool_torch_stream_get(torch, number);
    if (torch->short_of_memory || stream == NULL || !ool_torch_blocks_reserve(torch, 1)) {
        torch->short_of_memory = false;
        return host_oom(err);
    }
    if ((torch->waiting.n_used > 0 || torch->deferred != NULL) && !torch->capturing)
        ool_torch_events_poll(torch);
    size = round_size(torch, bytes);
    heap = torch->pool == NULL ? ool_torch_heap_get(stream, size <= OOL_TORCH_SMALL)
                               : ool_torch_pool_heap(torch, stream, size <= OOL_TORCH_SMALL);
    if (heap == NULL)
        return host_oom(err);
    block = take_free(torch, heap, size);
    if (block == NULL) {
        segment = segment_bytes(torch, size);
        status = ool_torch_obtain(torch, heap, size, segment, &block, &refused, err);
        if (status == OOL_E_DEV_OOM)
            return out_of_memory(torch, bytes, segment, refused, err);
        if (status == OOL_E_HOST_OOM)
            return host_oom(err);
        if (status != OOL_OK)
            return status;
    }
    block = hand_out(torch, block, size, bytes);
    out->handle = block;
    out->address = block->address;
    out->bytes = block->bytes;
    out->segment = block->segment->number;
    out->offset = block->address - block->segment->address;
    return OOL_OK;
}

/* ---- free ---- */

void ool_torch_free_block(struct ool_torch *torch, struct ool_torch_block *block)
{
    struct ool_torch_counters *c = &torch->counters;
    bool small = block->heap->small;
    int64_t bytes = (int64_t)block->bytes, n_split = 0, split_bytes = 0;
    uint64_t absorbed;

    absorbed = ool_torch_block_absorb(torch, block, block->prev);
    if (absorbed > 0) {
        n_split--;
        split_bytes -= (int64_t)absorbed;
    }
    absorbed = ool_torch_block_absorb(torch, block, block->next);
    if (absorbed > 0) {
        n_split--;
        split_bytes -= (int64_t)absorbed;
    }
    ool_torch_heap_insert(torch, block);
    if (block->segment->page == 0) {
        if (block->prev != NULL || block->next != NULL) {
            n_split++;
            split_bytes += (int64_t)block->bytes;
        }
        if (n_split > 0)
            ool_torch_stat_add(c, OOL_TORCH_INACTIVE_SPLIT, small, n_split);
        else
            ool_torch_stat_sub(c, OOL_TORCH_INACTIVE_SPLIT, small, -n_split);
        if (split_bytes > 0)
            ool_torch_stat_add(c, OOL_TORCH_INACTIVE_SPLIT_BYTES, small, split_bytes);
        else
            ool_torch_stat_sub(c, OOL_TORCH_INACTIVE_SPLIT_BYTES, small, -split_bytes);
    }
    ool_torch_stat_sub(c, OOL_TORCH_ACTIVE, small, 1);
    ool_torch_stat_sub(c, OOL_TORCH_ACTIVE_BYTES, small, bytes);
    ool_torch_stat_sub(c, OOL_TORCH_REQUESTED_BYTES, small, (int64_t)block->requested);
}

static void torch_free(struct ool_allocator *allocator, const struct ool_block *handle)
{
    struct ool_torch *torch = torch_of(allocator);
    struct ool_torch_block *block = handle->handle;
    bool small = block->heap->small;

    assert(block->allocated);
    block->allocated = false;
    ool_torch_stat_sub(&torch->counters, OOL_TORCH_ALLOCATION, small, 1);
    ool_torch_stat_sub(&torch->counters, OOL_TORCH_ALLOCATED_BYTES, small, (int64_t)block->bytes);
    if (block->bytes >= torch->conf.max_split_size)
        ool_torch_scalar_sub(&torch->stats.oversize_allocations, 1);
    if (block->uses != NULL && torch->capturing)
        ool_torch_uses_defer(torch, block);
    else if (block->uses != NULL)
        ool_torch_uses_wait(torch, block);
    else
        ool_torch_free_block(torch, block);
}

/* ---- streams ---- */

static void torch_record_stream(struct ool_allocator *allocator, const struct ool_block *handle,
                                uint32_t number)
{
    struct ool_torch *torch = torch_of(allocator);
    struct ool_torch_block *block = handle->handle;
    struct ool_torch_stream *stream;

    if (number == block->heap->stream->number)
        return;
    stream = ool_torch_stream_get(torch, number);
    if (stream == NULL || !ool_torch_uses_add(torch, block, stream))
        torch->short_of_memory = true;
}

static void torch_synchronize(struct ool_allocator *allocator)
{
    struct ool_torch *torch = torch_of(allocator);

    for (size_t i = 0; i < torch->n_streams; i++)
        torch->streams[i]->n_complete = torch->streams[i]->n_recorded;
}

static void torch_stream_busy(struct ool_allocator *allocator, uint32_t number)
{
    struct ool_torch *torch = torch_of(allocator);
    struct ool_torch_stream *stream = ool_torch_stream_get(torch, number);

    if (stream == NULL)
        torch->short_of_memory = true;
    else
        stream->busy = true;
}

static void torch_stream_step(struct ool_allocator *allocator, uint32_t number, uint64_t n_events)
{
    struct ool_torch *torch = torch_of(allocator);
    struct ool_torch_stream *stream = ool_torch_stream_get(torch, number);

    if (stream == NULL)
        torch->short_of_memory = true;
    else if (n_events < stream->n_recorded - stream->n_complete)
        stream->n_complete += n_events;
    else
        stream->n_complete = stream->n_recorded;
}

static void torch_stream_idle(struct ool_allocator *allocator, uint32_t number)
{
    struct ool_torch *torch = torch_of(allocator);
    struct ool_torch_stream *stream = ool_torch_stream_get(torch, number);

    if (stream == NULL) {
        torch->short_of_memory = true;
        return;
    }
    stream->busy = false;
    stream->n_complete = stream->n_recorded;
}

/* ---- settings ---- */

static void torch_empty_cache(struct ool_allocator *allocator)
{
    ool_torch_release_cached(torch_of(allocator));
}

static void set_limit(struct ool_torch *torch, double fraction)
{
    uint64_t free_bytes, total_bytes;
    double limit;

    torch->dev->ops->info(torch->dev, &free_bytes, &total_bytes);
    limit = fraction * (double)total_bytes;
    if (torch->release->fraction_rounds)
        limit = round(limit);
    torch->has_limit = fraction < 1 || !torch->release->whole_fraction_clears;
    torch->limit_bytes = (uint64_t)limit;
}

static enum ool_status torch_set_fraction(struct ool_allocator *allocator, double fraction,
                                          struct ool_error *err)
{
    if (!(fraction >= 0 && fraction <= 1))
        return ool_error_set(err, OOL_E_RANGE, "Invalid fraction value: %g. Allowed range: 0~1",
                             fraction);
    set_limit(torch_of(allocator), fraction);
    return OOL_OK;
}

static enum ool_status torch_set_conf(struct ool_allocator *allocator, const char *text,
                                      struct ool_error *err)
{
    struct ool_torch *torch = torch_of(allocator);
    struct ool_torch_fault fault;

    return ool_torch_conf_parse(&torch->conf, torch->release, text, false, &fault, err);
}

static const char *torch_message(const struct ool_allocator *allocator)
{
    return ool_text_data(&torch_of(allocator)->message);
}

/* ---- open and close ---- */

static void give_back_pages(struct ool_torch *torch, struct ool_torch_segment *segment)
{
    uint64_t start = 0, end = 0; /* of a run of mapped blocks, which is whole pages */

    for (struct ool_torch_block *block = segment->first; block != NULL; block = block->next) {
        if (block->unmapped)
            continue;
        if (block->address != end)
            start = block->address;
        end = block->address + block->bytes;
        if (block->next == NULL || block->next->unmapped)
            torch->dev->ops->unmap(torch->dev, start, segment->page, (end - start) / segment->page);
    }
    torch->dev->ops->release(torch->dev, segment->address, segment->bytes);
}

static void torch_close(struct ool_allocator *allocator)
{
    struct ool_torch *torch = torch_of(allocator);
    struct ool_torch_segment *segment;

    while ((segment = torch->segments) != NULL) {
        for (struct ool_torch_block *block = segment->first; block != NULL; block = block->next)
            ool_torch_uses_fini(block);
        if (segment->page != 0)
            give_back_pages(torch, segment);
        else
            torch->dev->ops->free(torch->dev, segment->address, segment->bytes);
        ool_torch_segment_delete(torch, segment);
    }
    ool_torch_pools_fini(torch);
    ool_torch_streams_fini(torch);
    for (size_t i = 0; i < torch->n_slabs; i++)
        ool_free(torch->slabs[i]);
    ool_free(torch->slabs);
    ool_text_fini(&torch->message);
    ool_free(torch);
}

static const struct ool_allocator_ops torch_ops = {
    .alloc = torch_alloc,
    .free = torch_free,
    .record_stream = torch_record_stream,
    .empty_cache = torch_empty_cache,
    .synchronize = torch_synchronize,
    .stream_busy = torch_stream_busy,
    .stream_step = torch_stream_step,
    .stream_idle = torch_stream_idle,
    .set_fraction = torch_set_fraction,
    .set_conf = torch_set_conf,
    .reset_peak = ool_torch_reset_peak,
    .pool_begin = ool_torch_pool_begin,
    .pool_end = ool_torch_pool_end,
    .pool_release = ool_torch_pool_release,
    .totals = ool_torch_totals,
    .skip = ool_torch_skip,
    .stats = ool_torch_stats,
    .message = torch_message,
    .snapshot = ool_torch_snapshot,
    .close = torch_close,
};

enum ool_status ool_torch_open(const struct ool_allocator_config *config, struct ool_device *dev,
                               struct ool_allocator **allocator, struct ool_error *err)
{
    const struct ool_torch_release *release;
    struct ool_torch_fault fault;
    struct ool_torch_conf conf;
    struct ool_torch *torch;
    enum ool_status status;

    status = ool_torch_release_find(config->version, &release, err);
    if (status != OOL_OK)
        return status;
    ool_torch_conf_init(&conf);
    status = ool_torch_conf_parse(&conf, release, config->conf != NULL ? config->conf : "", true,
                                  &fault, err);
    if (status != OOL_OK)
        return status;
    if (conf.async_backend)
        return ool_torch_async_open(config, release, dev, allocator, err);
    torch = ool_calloc(1, sizeof *torch);
    if (torch == NULL)
        return host_oom(err);
    torch->base.ops = &torch_ops;
    torch->release = release;
    torch->dev = dev;
    torch->conf = conf;
    torch->device_index = config->device_index;
    torch->random = 2463534242u;
    torch->stats.max_split_size = (int64_t)conf.max_split_size;
    ool_text_init(&torch->message, 4096);
    if (release->new_settings)
        set_limit(torch, conf.fraction);
    *allocator = &torch->base;
    return OOL_OK;
}
