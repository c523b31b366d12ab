/*
 * ool_torch_device.c - what the allocator asks of the device, and in which order it gives back.
 */
#include "ool_torch.h"

#include "ool_mem.h"

/* ---- segments ---- */

struct ool_torch_segment *ool_torch_segment_new(struct ool_torch *torch,
                                                struct ool_torch_heap *heap, uint64_t address,
                                                uint64_t bytes, uint64_t page)
{
    struct ool_torch_segment *segment = ool_calloc(1, sizeof *segment);

    if (segment == NULL)
        return NULL;
    segment->address = address;
    segment->bytes = bytes;
    segment->page = page;
    segment->pool = heap->pool;
    if (segment->pool != NULL)
        segment->pool->n_segments++;
    segment->number = torch->n_segments++;
    segment->order = torch->release->oldest_segment_first ? ++torch->n_orders : 0;
    segment->next = torch->segments;
    if (segment->next != NULL)
        segment->next->prev = segment;
    torch->segments = segment;
    return segment;
}

void ool_torch_segment_delete(struct ool_torch *torch, struct ool_torch_segment *segment)
{
    if (segment->pool != NULL)
        segment->pool->n_segments--;
    if (segment->prev != NULL)
        segment->prev->next = segment->next;
    else
        torch->segments = segment->next;
    if (segment->next != NULL)
        segment->next->prev = segment->prev;
    ool_free(segment);
}

static enum ool_status new_segment(struct ool_torch *torch, struct ool_torch_heap *heap,
                                   uint64_t bytes, struct ool_torch_block **block,
                                   struct ool_error *err)
{
    struct ool_torch_segment *segment;
    enum ool_status status;
    uint64_t address;

    status = torch->dev->ops->alloc(torch->dev, bytes, &address, err);
    if (status != OOL_OK)
        return status;
    segment = ool_torch_segment_new(torch, heap, address, bytes, 0);
    if (segment == NULL) {
        torch->dev->ops->free(torch->dev, address, bytes);
        return OOL_E_HOST_OOM;
    }
    *block = ool_torch_block_new(torch, heap, segment, address, bytes);
    segment->first = *block;
    torch->reserved_bytes += bytes;
    ool_torch_stat_add(&torch->counters, OOL_TORCH_SEGMENT, heap->small, 1);
    ool_torch_stat_add(&torch->counters, OOL_TORCH_RESERVED_BYTES, heap->small, (int64_t)bytes);
    if (bytes >= torch->conf.max_split_size)
        ool_torch_scalar_add(&torch->stats.oversize_segments, 1);
    torch->stats.num_device_alloc++;
    return OOL_OK;
}

/* cudaFree of a segment that is one free block. */
static void release_segment(struct ool_torch *torch, struct ool_torch_block *block)
{
    struct ool_torch_segment *segment = block->segment;
    bool small = block->heap->small;

    torch->stats.num_device_free++;
    torch->dev->ops->free(torch->dev, segment->address, segment->bytes);
    torch->reserved_bytes -= block->bytes;
    ool_torch_stat_sub(&torch->counters, OOL_TORCH_SEGMENT, small, 1);
    ool_torch_stat_sub(&torch->counters, OOL_TORCH_RESERVED_BYTES, small, (int64_t)block->bytes);
    if (block->bytes >= torch->conf.max_split_size)
        ool_torch_scalar_sub(&torch->stats.oversize_segments, 1);
    ool_torch_heap_remove(block);
    ool_torch_block_delete(torch, block);
    ool_torch_segment_delete(torch, segment);
}

static bool is_split(const struct ool_torch_block *block)
{
    return block->prev != NULL || block->next != NULL;
}

/* ---- giving back ---- */

/* Frees the segments of a heap that are one free block. */
static void release_heap(struct ool_torch *torch, struct ool_torch_heap *heap)
{
    struct ool_torch_block *block, *next;

    for (block = ool_torch_heap_find(heap, 0); block != NULL; block = next) {
        next = ool_torch_heap_next(block);
        if (block->segment->page == 0 && !is_split(block))
            release_segment(torch, block);
    }
}

/* Unmapping leaves smaller blocks in the heap, so the blocks are collected before the first one. */
static void unmap_heaps(struct ool_torch *torch, struct ool_torch_heap **heaps, size_t n_heaps)
{
    struct ool_torch_block **blocks = NULL, *block;
    size_t n = 0, capacity = 0;

    for (size_t i = 0; i < n_heaps; i++) {
        for (block = ool_torch_heap_find(heaps[i], 0); block != NULL;
             block = ool_torch_heap_next(block)) {
            if (block->segment->page == 0)
                continue;
            if (!ool_grow(&blocks, &capacity, n, sizeof *blocks)) {
                torch->short_of_memory = true;
                goto out;
            }
            blocks[n++] = block;
        }
    }
    for (size_t i = 0; i < n; i++)
        ool_torch_unmap(torch, blocks[i]);
out:
    ool_free(blocks);
}

void ool_torch_release_heaps(struct ool_torch *torch, struct ool_torch_heap **heaps, size_t n)
{
    for (size_t i = 0; i < n; i++)
        release_heap(torch, heaps[i]);
    unmap_heaps(torch, heaps, n);
}

static void release_default(struct ool_torch *torch, bool small)
{
    struct ool_torch_heap **heaps =
        ool_reallocarray(NULL, torch->n_streams + 1, sizeof(struct ool_torch_heap *));
    size_t n = 0;

    if (heaps == NULL) {
        torch->short_of_memory = true;
        return;
    }
    for (size_t i = 0; i < torch->n_streams; i++) {
        if (torch->streams[i]->heaps[small] != NULL)
            heaps[n++] = torch->streams[i]->heaps[small];
    }
    ool_torch_release_heaps(torch, heaps, n);
    ool_free(heaps);
}

void ool_torch_release_cached(struct ool_torch *torch)
{
    if (!torch->capturing) {
        torch->stats.num_sync_all_streams++;
        ool_torch_events_finish(torch);
        release_default(torch, false);
        release_default(torch, true);
    }
    ool_torch_pools_release(torch);
}

/* What PyTorch's release_block would do to this block is no release. */
static enum ool_status check_release(const struct ool_torch *torch,
                                     const struct ool_torch_block *block, struct ool_error *err)
{
    if (block->segment->page != 0)
        return ool_error_set(err, OOL_E_FRAMEWORK,
                             "!block->expandable_segment_ INTERNAL ASSERT FAILED at "
                             "\"../c10/cuda/CUDACachingAllocator.cpp\":%d, please report a bug to "
                             "PyTorch. ",
                             torch->release->release_block_line);
    if (is_split(block))
        return ool_error_set(err, OOL_E_UNSUPPORTED,
                             "max_split_size_mb was lowered at run time: PyTorch %s would free a "
                             "segment here of which a part is in use",
                             torch->release->name);
    return OOL_OK;
}

/* Gives back free oversize segments of the heap, enough for the request or none that suffices. */
static enum ool_status release_available(struct ool_torch *torch, struct ool_torch_heap *heap,
                                         uint64_t bytes, bool *enough, struct ool_error *err)
{
    uint64_t limit = torch->conf.max_split_size, released = 0;
    bool skip = torch->release->release_block_line == 0; /* expandable blocks */
    struct ool_torch_block *block, *prev;
    enum ool_status status;

    *enough = false;
    if (limit == UINT64_MAX)
        return OOL_OK;
    if (bytes < limit)
        bytes = limit;
    block = ool_torch_heap_find(heap, bytes);
    if (block != NULL && !(skip && block->segment->page != 0)) {
        status = check_release(torch, block, err);
        if (status != OOL_OK)
            return status;
        release_segment(torch, block);
        *enough = true;
        return OOL_OK;
    }
    block = block != NULL ? ool_torch_heap_prev(block) : ool_torch_heap_below(heap, UINT64_MAX);
    for (; block != NULL && released < bytes && block->bytes >= limit; block = prev) {
        prev = ool_torch_heap_prev(block);
        if (skip && block->segment->page != 0)
            continue;
        status = check_release(torch, block, err);
        if (status != OOL_OK)
            return status;
        released += block->bytes;
        release_segment(torch, block);
    }
    *enough = released >= bytes;
    return OOL_OK;
}

/* ---- garbage collection ---- */

static uint64_t age_of(const struct ool_torch *torch, const struct ool_torch_block *block)
{
    return torch->n_searches[false] - block->born;
}

/* Unsplit blocks of the large pool, over all streams: their number and the sum of their ages. */
static uint64_t count_freeable(const struct ool_torch *torch, uint64_t *total_age)
{
    uint64_t n = 0;

    *total_age = 0;
    for (size_t i = 0; i < torch->n_streams; i++) {
        struct ool_torch_heap *heap = torch->streams[i]->heaps[false];
        struct ool_torch_block *block = heap == NULL ? NULL : ool_torch_heap_find(heap, 0);
        for (; block != NULL; block = ool_torch_heap_next(block)) {
            if (!is_split(block)) {
                *total_age += age_of(torch, block);
                n++;
            }
        }
    }
    return n;
}

/* One pass: frees what is at least as old as the average was before the pass. A block of an
 * expandable segment is always split, since a range is larger than the card. */
static uint64_t collect_pass(struct ool_torch *torch, uint64_t *n, uint64_t *total_age)
{
    double limit = (double)*total_age / (double)*n;
    uint64_t reclaimed = 0;

    for (size_t i = 0; i < torch->n_streams; i++) {
        struct ool_torch_heap *heap = torch->streams[i]->heaps[false];
        struct ool_torch_block *next, *block = heap == NULL ? NULL : ool_torch_heap_find(heap, 0);
        for (; block != NULL; block = next) {
            next = ool_torch_heap_next(block);
            if (is_split(block) || (double)age_of(torch, block) < limit)
                continue;
            reclaimed += block->bytes;
            *total_age -= age_of(torch, block);
            (*n)--;
            release_segment(torch, block);
        }
    }
    return reclaimed;
}

static void collect_garbage(struct ool_torch *torch)
{
    uint64_t threshold = (uint64_t)(torch->conf.gc_threshold * (double)torch->limit_bytes);
    uint64_t target, total_age, n, pass, reclaimed = 0;

    if (torch->reserved_bytes <= threshold)
        return;
    target = torch->reserved_bytes - threshold;
    n = count_freeable(torch, &total_age);
    while (n > 0 && reclaimed < target) {
        pass = collect_pass(torch, &n, &total_age);
        if (pass == 0)
            break;
        reclaimed += pass;
    }
}

/* ---- the ways to a block ---- */

/* One attempt; OOL_E_DEV_OOM if the device or a limit refuses. */
static enum ool_status ask_device(struct ool_torch *torch, struct ool_torch_heap *heap,
                                  uint64_t bytes, uint64_t segment_bytes,
                                  struct ool_torch_block **block, bool *refused,
                                  struct ool_error *err)
{
    uint64_t free_bytes, total_bytes;

    if (torch->has_limit && torch->reserved_bytes + segment_bytes > torch->limit_bytes)
        return OOL_E_DEV_OOM;
    if (torch->conf.throw_on_oom) {
        torch->dev->ops->info(torch->dev, &free_bytes, &total_bytes);
        if (torch->reserved_bytes + segment_bytes >
            (uint64_t)(torch->conf.fraction * (double)total_bytes)) {
            torch->stats.num_oom_rejections++;
            *refused = true;
            return OOL_E_DEV_OOM;
        }
    }
    if (!ool_torch_blocks_reserve(torch, 4)) /* a segment, what is left of it, two to spare */
        return OOL_E_HOST_OOM;
    if (torch->conf.expandable && (heap->pool == NULL || !torch->release->pools_without_expandable))
        return ool_torch_expand(torch, heap, bytes, block, err);
    return new_segment(torch, heap, segment_bytes, block, err);
}

enum ool_status ool_torch_obtain(struct ool_torch *torch, struct ool_torch_heap *heap,
                                 uint64_t bytes, uint64_t segment_bytes,
                                 struct ool_torch_block **block, bool *refused,
                                 struct ool_error *err)
{
    enum ool_status status;
    bool enough;

    *refused = false;
    if (torch->has_limit && torch->conf.gc_threshold > 0)
        collect_garbage(torch);
    status = ask_device(torch, heap, bytes, segment_bytes, block, refused, err);
    if (status != OOL_E_DEV_OOM || *refused)
        return status;
    status = release_available(torch, heap, bytes, &enough, err);
    if (status != OOL_OK)
        return status;
    status = OOL_E_DEV_OOM;
    if (enough)
        status = ask_device(torch, heap, bytes, segment_bytes, block, refused, err);
    if (status == OOL_E_DEV_OOM && !torch->capturing) {
        /* The pool is not searched again after this, only the device is asked: PyTorch runs out of
         * memory here although a block that waited for an event may fit now. */
        ool_torch_release_cached(torch);
        torch->stats.num_alloc_retries++;
        status = ask_device(torch, heap, bytes, segment_bytes, block, refused, err);
    }
    return status;
}
