#include "ool_torch.h"

#include "ool_mem.h"

#include <stdlib.h>
#include <string.h>

static int by_address(const void *a, const void *b)
{
    uint64_t x = (*(struct ool_torch_segment *const *)a)->address;
    uint64_t y = (*(struct ool_torch_segment *const *)b)->address;

    return (x > y) - (x < y);
}

static struct ool_torch_segment **sorted_segments(const struct ool_torch *torch, size_t *n)
{
    struct ool_torch_segment **sorted;

    *n = 0;
    for (struct ool_torch_segment *segment = torch->segments; segment != NULL;
         segment = segment->next)
        (*n)++;
    sorted = ool_reallocarray(NULL, *n + 1, sizeof(struct ool_torch_segment *));
    if (sorted == NULL)
        return NULL;
    *n = 0;
    for (struct ool_torch_segment *segment = torch->segments; segment != NULL;
         segment = segment->next)
        sorted[(*n)++] = segment;
    qsort(sorted, *n, sizeof *sorted, by_address);
    return sorted;
}

static enum ool_block_state state_of(const struct ool_torch_block *block)
{
    if (block->allocated)
        return OOL_BLOCK_ALLOCATED;
    return block->n_events > 0 || block->uses != NULL ? OOL_BLOCK_PENDING : OOL_BLOCK_FREE;
}

struct capacity {
    size_t segments, blocks;
};

static bool add_block(struct ool_snapshot *out, struct capacity *capacity,
                      const struct ool_torch_block *block)
{
    if (!ool_grow(&out->blocks, &capacity->blocks, out->n_blocks, sizeof *out->blocks))
        return false;
    out->blocks[out->n_blocks++] =
        (struct ool_block_info){block->address, block->bytes, block->requested, state_of(block)};
    return true;
}

static bool add_run(struct ool_snapshot *out, struct capacity *capacity,
                    const struct ool_torch_block *first)
{
    const struct ool_torch_segment *segment = first->segment;

    if (!ool_grow(&out->segments, &capacity->segments, out->n_segments, sizeof *out->segments))
        return false;
    out->segments[out->n_segments++] = (struct ool_segment_info){
        .address = first->address,
        .offset = first->address - segment->address,
        .number = segment->number,
        .stream = first->heap->stream->number,
        .pool = segment->pool != NULL ? segment->pool->number : 0,
        .small = first->heap->small,
        .expandable = segment->page != 0,
        .first_block = out->n_blocks,
    };
    return true;
}

/* An expandable range is listed as one segment for each run of mapped blocks. */
static bool add_segment(struct ool_snapshot *out, struct capacity *capacity,
                        const struct ool_torch_segment *segment)
{
    const struct ool_torch_block *prev = NULL;

    for (const struct ool_torch_block *block = segment->first; block != NULL;
         prev = block, block = block->next) {
        if (block->unmapped)
            continue;
        if ((prev == NULL || prev->unmapped) && !add_run(out, capacity, block))
            return false;
        if (!add_block(out, capacity, block))
            return false;
        out->segments[out->n_segments - 1].bytes += block->bytes;
        out->segments[out->n_segments - 1].n_blocks++;
    }
    return true;
}

enum ool_status ool_torch_snapshot(const struct ool_allocator *allocator,
                                   struct ool_snapshot *snapshot, struct ool_error *err)
{
    const struct ool_torch *torch = (const struct ool_torch *)allocator;
    struct ool_snapshot out = {NULL, 0, NULL, 0};
    struct capacity capacity = {0, 0};
    struct ool_torch_segment **sorted;
    size_t n;

    sorted = sorted_segments(torch, &n);
    if (sorted == NULL)
        goto fail;
    for (size_t i = 0; i < n; i++) {
        if (!add_segment(&out, &capacity, sorted[i]))
            goto fail;
    }
    ool_free(sorted);
    *snapshot = out;
    return OOL_OK;
fail:
    ool_free(sorted);
    ool_snapshot_fini(&out);
    return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a snapshot");
}
