/*
 * ool_torch_expandable.c - segments that grow: a range of addresses whose pages are mapped on demand.
 */
#include "ool_torch.h"

static uint64_t page_bytes(const struct ool_torch *torch, const struct ool_torch_heap *heap)
{
    return heap->small ? OOL_TORCH_SMALL_SEGMENT : torch->conf.large_segment_size;
}

uint64_t ool_torch_range_bytes(const struct ool_torch *torch)
{
    const struct ool_torch_conf *conf = &torch->conf;
    uint64_t free_bytes, total, bytes;
    double reserve;

    torch->dev->ops->info(torch->dev, &free_bytes, &total);
    bytes = total + total / 8;
    if (!conf->has_reserve)
        return bytes;
    reserve = conf->reserve * (conf->reserve_is_fraction ? (double)total : 1073741824.0);
    return reserve < (double)bytes ? (uint64_t)reserve : bytes;
}

static bool is_free(const struct ool_torch_block *block)
{
    return block != NULL && !block->allocated && block->n_events == 0 && block->uses == NULL;
}

/* True if `bytes` fit from this block on, in free and unmapped blocks that follow each other. */
static bool has_room(const struct ool_torch_block *block, uint64_t bytes)
{
    uint64_t room = 0;

    for (; room < bytes && is_free(block); block = block->next)
        room += block->bytes;
    return room >= bytes;
}

/* A fresh range: one unmapped block. */
static enum ool_status new_range(struct ool_torch *torch, struct ool_torch_heap *heap,
                                 uint64_t bytes, struct ool_torch_block **start,
                                 struct ool_error *err)
{
    uint64_t page = page_bytes(torch, heap), range = ool_torch_range_bytes(torch), address;
    struct ool_torch_segment *segment;
    struct ool_torch_block *block;
    enum ool_status status;

    if (range > UINT64_MAX - page)
        return ool_error_set(err, OOL_E_DEVICE, "pages of %llu bytes: no range can hold one",
                             (unsigned long long)page);
    range = (range + page - 1) / page * page;
    status = torch->dev->ops->reserve(torch->dev, range, &address, err);
    if (status != OOL_OK)
        return status;
    segment = ool_torch_segment_new(torch, heap, address, range, page);
    if (segment == NULL) {
        torch->dev->ops->release(torch->dev, address, range);
        return OOL_E_HOST_OOM;
    }
    if (torch->release->short_range_given_back && range < bytes) {
        torch->dev->ops->release(torch->dev, address, range);
        ool_torch_segment_delete(torch, segment);
        return OOL_E_DEV_OOM;
    }
    block = ool_torch_block_new(torch, heap, segment, address, range);
    block->unmapped = true;
    segment->first = block;
    ool_torch_unmapped_insert(block);
    *start = block;
    return OOL_OK;
}

/* The lowest address from which the request fits into an existing range, else a new range. */
static enum ool_status find_start(struct ool_torch *torch, struct ool_torch_heap *heap,
                                  uint64_t bytes, struct ool_torch_block **start,
                                  struct ool_error *err)
{
    struct ool_torch_block *block = ool_torch_unmapped_after(heap, 0);

    for (; block != NULL; block = ool_torch_unmapped_after(heap, block->address)) {
        *start = is_free(block->prev) ? block->prev : block;
        if (has_room(*start, bytes))
            return OOL_OK;
    }
    return new_range(torch, heap, bytes, start, err);
}

/* Maps the first `bytes` of an unmapped block, whole pages, and merges them with their neighbours. */
static enum ool_status map_block(struct ool_torch *torch, struct ool_torch_block *block,
                                 uint64_t bytes, struct ool_error *err)
{
    uint64_t page = block->segment->page, n_pages = (bytes - 1) / page + 1, created;
    struct ool_torch_block *rest;
    enum ool_status status;

    status = torch->dev->ops->map(torch->dev, block->address, page, n_pages, &created, err);
    if (status != OOL_OK)
        return status;
    bytes = n_pages * page;
    ool_torch_unmapped_remove(block);
    block->unmapped = false;
    if (bytes < block->bytes) {
        rest = ool_torch_block_new(torch, block->heap, block->segment, block->address + bytes,
                                   block->bytes - bytes);
        rest->unmapped = true;
        ool_torch_block_link(block, rest, block->next);
        ool_torch_unmapped_insert(rest);
        block->bytes = bytes;
    }
    (void)ool_torch_block_absorb(torch, block, block->prev);
    (void)ool_torch_block_absorb(torch, block, block->next);
    ool_torch_heap_insert(torch, block);
    torch->reserved_bytes += bytes;
    ool_torch_stat_add(&torch->counters, OOL_TORCH_RESERVED_BYTES, block->heap->small,
                       (int64_t)bytes);
    torch->stats.num_device_alloc++;
    return OOL_OK;
}

enum ool_status ool_torch_expand(struct ool_torch *torch, struct ool_torch_heap *heap,
                                 uint64_t bytes, struct ool_torch_block **block,
                                 struct ool_error *err)
{
    struct ool_torch_block *at = NULL, *next;
    enum ool_status status = find_start(torch, heap, bytes, &at, err);

    if (status != OOL_OK)
        return status;
    if (at->unmapped) {
        status = map_block(torch, at, at->bytes < bytes ? at->bytes : bytes, err);
        if (status != OOL_OK)
            return status;
    }
    while (at->bytes < bytes) { /* at is free, what follows is unmapped */
        uint64_t missing = bytes - at->bytes;
        next = at->next;
        if (next == NULL) /* a range that was too small from the start */
            return OOL_E_DEV_OOM;
        status = map_block(torch, next, next->bytes < missing ? next->bytes : missing, err);
        if (status != OOL_OK)
            return status;
        at = next; /* it absorbed the block before */
    }
    ool_torch_heap_remove(at);
    *block = at;
    return OOL_OK;
}

static void split_off(struct ool_torch *torch, struct ool_torch_block *prev,
                      struct ool_torch_block *next, const struct ool_torch_block *block,
                      uint64_t address, uint64_t bytes)
{
    struct ool_torch_block *part;

    if (bytes == 0)
        return;
    part = ool_torch_block_new(torch, block->heap, block->segment, address, bytes);
    ool_torch_block_link(prev, part, next);
    ool_torch_heap_insert(torch, part);
}

/* Unmaps the pages that lie entirely in the free block; the range goes when nothing else is left. */
void ool_torch_unmap(struct ool_torch *torch, struct ool_torch_block *block)
{
    struct ool_torch_segment *segment = block->segment;
    uint64_t page = segment->page, offset = block->address - segment->address;
    uint64_t first = (offset + page - 1) / page, end = (offset + block->bytes) / page;
    uint64_t start = segment->address + first * page, bytes,
             block_end = block->address + block->bytes;

    if (first >= end)
        return;
    if (!ool_torch_blocks_reserve(torch, 2)) {
        torch->short_of_memory = true;
        return;
    }
    bytes = (end - first) * page;
    torch->dev->ops->unmap(torch->dev, start, page, end - first);
    ool_torch_heap_remove(block);
    split_off(torch, block->prev, block, block, block->address, start - block->address);
    split_off(torch, block, block->next, block, start + bytes, block_end - (start + bytes));
    block->address = start;
    block->bytes = bytes;
    block->unmapped = true;
    (void)ool_torch_block_absorb(torch, block, block->prev);
    (void)ool_torch_block_absorb(torch, block, block->next);
    ool_torch_unmapped_insert(block);
    torch->reserved_bytes -= bytes;
    ool_torch_stat_sub(&torch->counters, OOL_TORCH_RESERVED_BYTES, block->heap->small,
                       (int64_t)bytes);
    torch->stats.num_device_free++;
    if (block->prev == NULL && block->next == NULL) {
        ool_torch_unmapped_remove(block);
        torch->dev->ops->release(torch->dev, segment->address, segment->bytes);
        ool_torch_block_delete(torch, block);
        ool_torch_segment_delete(torch, segment);
    }
}
