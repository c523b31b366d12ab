/*
 * ool_torch.h - PyTorch's CUDA caching allocator: its parts; private to this folder.
 *
 * A segment is what the device gave: one cudaMalloc, or one expandable range of addresses. It is a
 * chain of blocks. A heap holds the free blocks of one stream in one pool (small or large). Nothing is
 * looked up by address: a block is its handle.
 *
 *   ool_torch.c            alloc and free
 *   ool_torch_block.c      block objects, heaps: the ordered sets of free blocks
 *   ool_torch_stream.c     streams, their events, blocks that wait for them
 *   ool_torch_device.c     what is asked of the device: segments, the retry after giving back
 *   ool_torch_expandable.c expandable segments
 *   ool_torch_stats.c, ool_torch_message.c, ool_torch_snapshot.c   what a user sees of it
 */
#ifndef OOL_TORCH_H
#define OOL_TORCH_H

#include "ool_allocator_ops.h"
#include "ool_torch_conf.h"

#include <assert.h>

#define OOL_TORCH_MIN_BLOCK UINT64_C(512)
#define OOL_TORCH_SMALL (UINT64_C(1) << 20)         /* rounded size of the small pool, at most */
#define OOL_TORCH_SMALL_SEGMENT (UINT64_C(2) << 20) /* and its segments, and its pages */
#define OOL_TORCH_MIN_LARGE (UINT64_C(10) << 20)    /* from here a request has its own segment */
#define OOL_TORCH_ROUND_LARGE (UINT64_C(2) << 20)
#define OOL_TORCH_LIMIT (UINT64_C(1) << 60) /* "more than 1EB" */

/* A free block is filed by the power of two of its size and the next three bits. */
#define OOL_TORCH_BINS 512
#define OOL_TORCH_BIN_WORDS (OOL_TORCH_BINS / 64)

struct ool_torch_heap;
struct ool_torch_segment;
struct ool_torch_table;

struct ool_torch_block {
    uint64_t bytes, address;
    uint64_t order;                       /* breaks ties of size before the address does */
    struct ool_torch_block *left, *right; /* while in a set */
    struct ool_torch_block *prev, *next;  /* in the segment */
    uint64_t requested;                   /* stale while the block is free */
    struct ool_torch_heap *heap;
    struct ool_torch_segment *segment;
    struct ool_torch_table *uses; /* other streams that use it; NULL = none */
    uint64_t born;                /* the pool's search count when it became free */
    uint32_t priority;            /* of the treap */
    uint32_t n_events;            /* that it waits for before it is free */
    bool allocated, unmapped;
};

struct ool_torch_segment {
    uint64_t address, bytes;
    uint64_t page;  /* of an expandable range; 0 = cudaMalloc */
    uint64_t order; /* of its blocks */
    uint32_t number;
    struct ool_torch_pool *pool; /* private one, or NULL */
    struct ool_torch_block *first;
    struct ool_torch_segment *prev, *next; /* all segments */
};

/* The free blocks of one stream in one pool, by size, then order, then address: a treap a bin. */
struct ool_torch_heap {
    struct ool_torch_stream *stream;
    struct ool_torch_pool *pool; /* NULL = the default one */
    bool small;
    uint64_t occupied[OOL_TORCH_BIN_WORDS];
    struct ool_torch_block *bins[OOL_TORCH_BINS];
    struct ool_torch_block *unmapped; /* a treap by address */
};

/* A free that waits. */
struct ool_torch_event {
    struct ool_torch_block *block;
    uint64_t number; /* of the stream's events */
    struct ool_torch_event *next;
};

struct ool_torch_stream {
    uint32_t number;
    uint64_t slot_hash; /* where PyTorch's tables of streams put it */
    bool busy;
    uint64_t n_recorded, n_complete; /* events; the oldest complete first */
    struct ool_torch_event *first, *last;
    struct ool_torch_heap *heaps[2]; /* [small] */
};

/* A private pool: heaps of its own. */
struct ool_torch_pool {
    uint32_t number;
    uint64_t n_users; /* 0: its memory may be freed */
    uint64_t n_segments;
    struct ool_torch_heap **heaps; /* by stream, the small one first */
    size_t n_heaps, heaps_capacity;
};

/* A set of streams in the order in which PyTorch's hash table visits them. */
struct ool_torch_table {
    struct ool_torch_slot *slots;
    uint32_t n_slots, n_used, most_probes;
};
struct ool_torch_slot {
    struct ool_torch_stream *stream;
    int distance; /* from its home slot; -1 = empty */
};

/* `freed` is allocated - current; `all` is the sum of both pools, except for its peak. */
enum ool_torch_stat {
    OOL_TORCH_ALLOCATION,
    OOL_TORCH_ALLOCATED_BYTES,
    OOL_TORCH_ACTIVE,
    OOL_TORCH_ACTIVE_BYTES,
    OOL_TORCH_REQUESTED_BYTES,
    OOL_TORCH_SEGMENT,
    OOL_TORCH_RESERVED_BYTES,
    OOL_TORCH_INACTIVE_SPLIT,
    OOL_TORCH_INACTIVE_SPLIT_BYTES,
    OOL_TORCH_N_STATS
};
struct ool_torch_counters {
    int64_t current[2][OOL_TORCH_N_STATS], allocated[2][OOL_TORCH_N_STATS];
    int64_t peak[2][OOL_TORCH_N_STATS], peak_all[OOL_TORCH_N_STATS];
};

struct ool_torch {
    struct ool_allocator base;
    const struct ool_torch_release *release;
    struct ool_device *dev;
    struct ool_torch_conf conf;
    int device_index;
    bool has_limit;
    uint64_t limit_bytes; /* reserved at most, by a memory fraction */
    uint64_t reserved_bytes;
    uint64_t n_searches[2]; /* [small], counted while garbage collection is on */

    struct ool_torch_counters counters;
    struct ool_allocator_stats stats; /* its scalars are live, its arrays filled when asked for */
    struct ool_text message;

    struct ool_torch_stream **streams; /* by number */
    size_t n_streams, streams_capacity;
    struct ool_torch_table waiting; /* the streams that have events */
    struct ool_torch_event *spare_events;
    size_t n_spare_events, n_promised; /* a spare event for each use of a live block */

    struct ool_torch_pool **pools; /* by number */
    size_t n_pools, pools_capacity;
    struct ool_torch_pool *pool; /* under way */
    bool capturing;
    struct ool_torch_block *deferred, *last_deferred; /* freed while capturing; linked by left */

    struct ool_torch_segment *segments;
    uint32_t n_segments; /* ever given by the device */
    uint64_t n_orders;

    struct ool_torch_block *spare_blocks; /* linked by next */
    size_t n_spare_blocks;
    void **slabs;
    size_t n_slabs, slabs_capacity;
    uint32_t random;
    bool short_of_memory; /* a call that returns nothing could not do its work */
};

/* ool_torch_block.c */
bool ool_torch_blocks_add(struct ool_torch *torch, size_t n);

/* Makes sure of n spare blocks; false when memory is short. */
static inline bool ool_torch_blocks_reserve(struct ool_torch *torch, size_t n)
{
    return torch->n_spare_blocks >= n || ool_torch_blocks_add(torch, n);
}

/* Cannot fail: it takes a spare block, which must have been reserved. */
static inline struct ool_torch_block *ool_torch_block_new(struct ool_torch *torch,
                                                          struct ool_torch_heap *heap,
                                                          struct ool_torch_segment *segment,
                                                          uint64_t address, uint64_t bytes)
{
    struct ool_torch_block *block = torch->spare_blocks;

    assert(block != NULL);
    torch->spare_blocks = block->next;
    torch->n_spare_blocks--;
    block->bytes = bytes;
    block->address = address;
    block->order = segment->order;
    block->prev = block->next = NULL;
    block->requested = 0;
    block->heap = heap;
    block->segment = segment;
    block->uses = NULL;
    block->n_events = 0;
    block->allocated = block->unmapped = false;
    return block;
}

static inline void ool_torch_block_delete(struct ool_torch *torch, struct ool_torch_block *block)
{
    block->next = torch->spare_blocks;
    torch->spare_blocks = block;
    torch->n_spare_blocks++;
}

/* Puts the block between two others of its segment; NULL is an end. */
static inline void ool_torch_block_link(struct ool_torch_block *prev, struct ool_torch_block *block,
                                        struct ool_torch_block *next)
{
    block->prev = prev;
    block->next = next;
    if (prev != NULL)
        prev->next = block;
    else
        block->segment->first = block;
    if (next != NULL)
        next->prev = block;
}

void ool_torch_heap_insert(struct ool_torch *torch, struct ool_torch_block *block);
void ool_torch_heap_remove(struct ool_torch_block *block);
/* The first block of at least so many bytes; NULL if there is none. */
struct ool_torch_block *ool_torch_heap_find(const struct ool_torch_heap *heap, uint64_t bytes);
struct ool_torch_block *ool_torch_heap_next(const struct ool_torch_block *block);
/* The last block below so many bytes; UINT64_MAX: the last of all. */
struct ool_torch_block *ool_torch_heap_below(const struct ool_torch_heap *heap, uint64_t bytes);
struct ool_torch_block *ool_torch_heap_prev(const struct ool_torch_block *block);
void ool_torch_unmapped_insert(struct ool_torch_block *block);
void ool_torch_unmapped_remove(struct ool_torch_block *block);
/* The unmapped block of the lowest address above; start with 0. */
struct ool_torch_block *ool_torch_unmapped_after(const struct ool_torch_heap *heap,
                                                 uint64_t address);
/* Merges a neighbour into the block if it is free too; the bytes that it had, or 0. */
uint64_t ool_torch_block_absorb(struct ool_torch *torch, struct ool_torch_block *block,
                                struct ool_torch_block *neighbour);

/* ool_torch.c */
void ool_torch_free_block(struct ool_torch *torch, struct ool_torch_block *block);

/* ool_torch_stream.c. The stream of a number, made when it is new; NULL when memory is short. */
struct ool_torch_stream *ool_torch_stream_get(struct ool_torch *torch, uint32_t number);
struct ool_torch_heap *ool_torch_heap_get(struct ool_torch_stream *stream, bool small);
struct ool_torch_heap *ool_torch_heap_new(struct ool_torch_stream *stream, bool small);
/* False when memory is short; nothing is recorded then. */
bool ool_torch_uses_add(struct ool_torch *torch, struct ool_torch_block *block,
                        struct ool_torch_stream *stream);
/* The block was freed: an event on each stream that used it; it is free when all are complete. */
void ool_torch_uses_wait(struct ool_torch *torch, struct ool_torch_block *block);
/* The block was freed while a graph is captured: as above, but once the capture is over. */
void ool_torch_uses_defer(struct ool_torch *torch, struct ool_torch_block *block);
void ool_torch_uses_fini(struct ool_torch_block *block);
void ool_torch_events_poll(struct ool_torch *torch); /* frees the blocks that waited long enough */
void ool_torch_events_finish(struct ool_torch *torch); /* waits for all events */
void ool_torch_streams_fini(struct ool_torch *torch);

/* ool_torch_device.c */
struct ool_torch_segment *ool_torch_segment_new(struct ool_torch *torch,
                                                struct ool_torch_heap *heap, uint64_t address,
                                                uint64_t bytes, uint64_t page);
void ool_torch_segment_delete(struct ool_torch *torch, struct ool_torch_segment *segment);
/* A block for a request that no free block serves. OOL_E_DEV_OOM: all ways failed and it is counted;
 * @refused: by throw_on_cudamalloc_oom. */
enum ool_status ool_torch_obtain(struct ool_torch *torch, struct ool_torch_heap *heap,
                                 uint64_t bytes, uint64_t segment_bytes,
                                 struct ool_torch_block **block, bool *refused,
                                 struct ool_error *err);
void ool_torch_release_cached(struct ool_torch *torch);
/* Gives back what n heaps can: whole segments first, then pages. */
void ool_torch_release_heaps(struct ool_torch *torch, struct ool_torch_heap **heaps, size_t n);

/* ool_torch_pool.c */
enum ool_status ool_torch_pool_begin(struct ool_allocator *allocator, uint32_t number, bool capture,
                                     struct ool_error *err);
enum ool_status ool_torch_pool_end(struct ool_allocator *allocator, struct ool_error *err);
enum ool_status ool_torch_pool_release(struct ool_allocator *allocator, uint32_t number, bool empty,
                                       struct ool_error *err);
/* The heap of the pool that is under way; NULL when memory is short. */
struct ool_torch_heap *ool_torch_pool_heap(struct ool_torch *torch, struct ool_torch_stream *stream,
                                           bool small);
void ool_torch_pools_release(struct ool_torch *torch); /* of those that have no user */
uint64_t ool_torch_pools_free_bytes(const struct ool_torch *torch);
void ool_torch_pools_fini(struct ool_torch *torch);

/* ool_torch_expandable.c */
/* What a new range reserves, before whole pages. */
uint64_t ool_torch_range_bytes(const struct ool_torch *torch);
enum ool_status ool_torch_expand(struct ool_torch *torch, struct ool_torch_heap *heap,
                                 uint64_t bytes, struct ool_torch_block **block,
                                 struct ool_error *err);
void ool_torch_unmap(struct ool_torch *torch, struct ool_torch_block *block);

/* ool_torch_stats.c */
const struct ool_allocator_stats *ool_torch_stats(struct ool_allocator *allocator);
void ool_torch_reset_peak(struct ool_allocator *allocator);
void ool_torch_totals(const struct ool_allocator *allocator, uint64_t *allocated,
                      uint64_t *reserved);
void ool_torch_skip(struct ool_allocator *allocator, const struct ool_allocator_stats *growth,
                    uint64_t times);

static inline void ool_torch_stat_add(struct ool_torch_counters *c, enum ool_torch_stat stat,
                                      bool small, int64_t n)
{
    int64_t current = c->current[small][stat] += n;
    int64_t all = current + c->current[!small][stat];

    c->allocated[small][stat] += n;
    if (current > c->peak[small][stat])
        c->peak[small][stat] = current;
    if (all > c->peak_all[stat])
        c->peak_all[stat] = all;
}

static inline void ool_torch_stat_sub(struct ool_torch_counters *c, enum ool_torch_stat stat,
                                      bool small, int64_t n)
{
    c->current[small][stat] -= n;
}

static inline void ool_torch_scalar_add(struct ool_stat *stat, int64_t n)
{
    stat->current += n;
    stat->allocated += n;
    if (stat->current > stat->peak)
        stat->peak = stat->current;
}

static inline void ool_torch_scalar_sub(struct ool_stat *stat, int64_t n)
{
    stat->current -= n;
    stat->freed += n;
}

/* ool_torch_message.c: fill torch->message for a request that failed for good. */
void ool_torch_message_oom(struct ool_torch *torch, uint64_t segment_bytes);
void ool_torch_message_limit(struct ool_torch *torch);
void ool_torch_message_refused(struct ool_torch *torch, uint64_t bytes);
const char *ool_torch_format_size(uint64_t bytes, char out[OOL_SIZE_TEXT]);

/* ool_torch_async.c: backend:cudaMallocAsync, which shares the settings and the releases alone. */
enum ool_status ool_torch_async_open(const struct ool_allocator_config *config,
                                     const struct ool_torch_release *release,
                                     struct ool_device *dev, struct ool_allocator **allocator,
                                     struct ool_error *err);

/* ool_torch_snapshot.c */
enum ool_status ool_torch_snapshot(const struct ool_allocator *allocator,
                                   struct ool_snapshot *snapshot, struct ool_error *err);

#endif
