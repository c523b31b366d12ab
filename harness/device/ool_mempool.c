#include "ool_mempool_internal.h"

#include "ool_mem.h"

#include <stdlib.h>
#include <string.h>

struct ool_mempool_stream {
    uint32_t number;
    bool busy;
    uint64_t n_recorded, n_complete;
    struct ool_mempool_block *first, *last; /* frees it has not got to, or is not known to have */
    struct ool_mempool_tree pending;
};

struct ool_mempool {
    struct ool_mempool_config config;
    struct ool_device *dev;
    struct ool_mempool_stats stats;
    struct ool_mempool_tree complete;
    struct ool_mempool_stream **streams; /* by number */
    size_t n_streams, streams_capacity;
    struct ool_mempool_stream joined; /* takes the frees of blocks that several streams used */
    struct ool_mempool_block *newest;
    size_t n_blocks;
    uint32_t n_ranges, random;
    bool short_of_memory; /* a call that returns nothing could not do its work */
};

static enum ool_status host_oom(struct ool_error *err)
{
    return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the books of a memory pool");
}

enum ool_status ool_mempool_open(const struct ool_mempool_config *config, struct ool_device *dev,
                                 struct ool_mempool **pool, struct ool_error *err)
{
    struct ool_mempool *new_pool = ool_calloc(1, sizeof *new_pool);

    if (new_pool == NULL)
        return host_oom(err);
    new_pool->config = *config;
    new_pool->dev = dev;
    new_pool->random = 2463534242u;
    *pool = new_pool;
    return OOL_OK;
}

/* ---- streams ---- */

/* The stream of a number, made when it is new; NULL when memory is short. */
static struct ool_mempool_stream *stream_get(struct ool_mempool *pool, uint32_t number)
{
    size_t low = 0, high = pool->n_streams;
    struct ool_mempool_stream *stream;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pool->streams[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < pool->n_streams && pool->streams[low]->number == number)
        return pool->streams[low];
    if (!ool_grow(&pool->streams, &pool->streams_capacity, pool->n_streams, sizeof *pool->streams))
        return NULL;
    stream = ool_calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->number = number;
    memmove(&pool->streams[low + 1], &pool->streams[low],
            (pool->n_streams - low) * sizeof *pool->streams);
    pool->streams[low] = stream;
    pool->n_streams++;
    return stream;
}

static void queue_remove(struct ool_mempool_block *block)
{
    struct ool_mempool_stream *stream = block->stream;

    if (block->before != NULL)
        block->before->after = block->after;
    else
        stream->first = block->after;
    if (block->after != NULL)
        block->after->before = block->before;
    else
        stream->last = block->before;
}

/* Behind @before; NULL = in front. */
static void queue_insert(struct ool_mempool_stream *stream, struct ool_mempool_block *before,
                         struct ool_mempool_block *block)
{
    block->before = before;
    block->after = before != NULL ? before->after : stream->first;
    if (before != NULL)
        before->after = block;
    else
        stream->first = block;
    if (block->after != NULL)
        block->after->before = block;
    else
        stream->last = block;
}

/* ---- blocks ---- */

static struct ool_mempool_block *block_new(struct ool_mempool *pool,
                                           struct ool_mempool_range *range, uint64_t address,
                                           uint64_t bytes)
{
    struct ool_mempool_block *block = ool_calloc(1, sizeof *block);

    if (block == NULL)
        return NULL;
    pool->random ^= pool->random << 13;
    pool->random ^= pool->random >> 17;
    pool->random ^= pool->random << 5;
    block->priority = pool->random;
    block->range = range;
    block->address = address;
    block->bytes = bytes;
    block->older = pool->newest;
    if (pool->newest != NULL)
        pool->newest->newer = block;
    pool->newest = block;
    pool->n_blocks++;
    return block;
}

static void block_delete(struct ool_mempool *pool, struct ool_mempool_block *block)
{
    if (block->older != NULL)
        block->older->newer = block->newer;
    if (block->newer != NULL)
        block->newer->older = block->older;
    else
        pool->newest = block->older;
    pool->n_blocks--;
    ool_free(block->uses);
    ool_free(block);
}

static bool is_free(const struct ool_mempool_block *block)
{
    return block->requested == 0;
}

static struct ool_mempool_tree *tree_of(struct ool_mempool *pool, struct ool_mempool_block *block)
{
    return block->stream == NULL ? &pool->complete : &block->stream->pending;
}

/* A free block leaves the order it is in. */
static void take_out(struct ool_mempool *pool, struct ool_mempool_block *block)
{
    ool_mempool_tree_remove(tree_of(pool, block), block);
    if (block->stream != NULL)
        queue_remove(block);
}

/* Merges a neighbour into the block if both are free in the same way. Frees that several streams wait
 * for stay apart: each has conditions of its own. */
static void absorb(struct ool_mempool *pool, struct ool_mempool_block *block,
                   struct ool_mempool_block *neighbour)
{
    if (neighbour == NULL || !is_free(neighbour) || neighbour->stream != block->stream ||
        block->stream == &pool->joined)
        return;
    take_out(pool, neighbour);
    if (neighbour == block->prev) {
        block->address = neighbour->address;
        block->prev = neighbour->prev;
        if (block->prev != NULL)
            block->prev->next = block;
    } else {
        block->next = neighbour->next;
        if (block->next != NULL)
            block->next->prev = block;
    }
    block->bytes += neighbour->bytes;
    block_delete(pool, neighbour);
}

/* A free block, in no order yet, joins its stream's pending ones or the complete ones. */
static void put_in(struct ool_mempool *pool, struct ool_mempool_block *block)
{
    absorb(pool, block, block->prev);
    absorb(pool, block, block->next);
    if (block->stream != NULL)
        queue_insert(block->stream, block->stream->last, block);
    ool_mempool_tree_insert(tree_of(pool, block), block);
}

static void become_complete(struct ool_mempool *pool, struct ool_mempool_block *block)
{
    take_out(pool, block);
    block->stream = NULL;
    block->n_uses = 0;
    put_in(pool, block);
}

static bool uses_are_complete(const struct ool_mempool_block *block)
{
    for (size_t i = 0; i < block->n_uses; i++) {
        if (block->uses[i].event > block->uses[i].stream->n_complete)
            return false;
    }
    return true;
}

static void complete_stream(struct ool_mempool *pool, struct ool_mempool_stream *stream)
{
    while (stream->first != NULL && stream->first->event <= stream->n_complete)
        become_complete(pool, stream->first);
}

/* The driver sees how far the streams got. */
static void complete_seen(struct ool_mempool *pool, struct ool_mempool_stream *stream)
{
    if (!pool->config.opportunistic)
        return;
    complete_stream(pool, stream);
    while (pool->joined.first != NULL && uses_are_complete(pool->joined.first))
        become_complete(pool, pool->joined.first);
}

/* ---- granules ---- */

static void unmap(struct ool_mempool *pool, struct ool_mempool_range *range, uint64_t address,
                  uint64_t n)
{
    pool->dev->ops->unmap(pool->dev, address, OOL_MEMPOOL_GRANULE, n);
    pool->stats.reserved -= n * OOL_MEMPOOL_GRANULE;
    range->n_mapped -= n;
    if (range->n_mapped == 0) {
        pool->dev->ops->release(pool->dev, range->address, range->bytes);
        ool_free(range);
    }
}

/* Gives back the last n of the granules that lie in a free block. False when memory is short. */
static bool cut_granules(struct ool_mempool *pool, struct ool_mempool_block *block, uint64_t first,
                         uint64_t n_granules, uint64_t n)
{
    struct ool_mempool_range *range = block->range;
    uint64_t start = range->address + (first + n_granules - n) * OOL_MEMPOOL_GRANULE;
    uint64_t end = start + n * OOL_MEMPOOL_GRANULE, block_end = block->address + block->bytes;
    struct ool_mempool_tree *tree = tree_of(pool, block);
    struct ool_mempool_block *right = NULL, *next = block->next;

    if (end < block_end) {
        right = block_new(pool, range, end, block_end - end);
        if (right == NULL)
            return false;
        right->stream = block->stream;
        right->event = block->event;
        right->next = next;
    }
    if (next != NULL)
        next->prev = right;
    ool_mempool_tree_remove(tree, block);
    if (right != NULL && right->stream != NULL)
        queue_insert(right->stream, block, right);
    if (right != NULL)
        ool_mempool_tree_insert(tree, right);
    block->next = NULL;
    block->bytes = start - block->address;
    if (block->bytes > 0) {
        ool_mempool_tree_insert(tree, block);
    } else {
        if (block->prev != NULL)
            block->prev->next = NULL;
        if (block->stream != NULL)
            queue_remove(block);
        block_delete(pool, block);
    }
    unmap(pool, range, start, n);
    return true;
}

/* Gives back up to n granules of a tree's blocks; how many. */
static uint64_t release_granules(struct ool_mempool *pool, struct ool_mempool_tree *tree,
                                 uint64_t n)
{
    uint64_t done = 0;

    while (done < n && tree->whole != NULL) {
        struct ool_mempool_block *block = tree->whole;
        uint64_t first, has = ool_mempool_granules(block, &first);
        uint64_t wanted = n - done < has ? n - done : has;

        if (!cut_granules(pool, block, first, has, wanted)) {
            pool->short_of_memory = true;
            break;
        }
        done += wanted;
    }
    return done;
}

/* ---- requests ---- */

/* Which free memory a request may have: the complete frees, its own stream's, and maybe all others'. */
struct reach {
    struct ool_mempool_stream *own;
    bool others;
};

/* The trees within reach, one a call; NULL after the last. */
static struct ool_mempool_tree *tree_next(struct ool_mempool *pool, const struct reach *reach,
                                          size_t *i)
{
    size_t k = (*i)++;

    if (k == 0)
        return &pool->complete;
    if (!reach->others)
        return k == 1 ? &reach->own->pending : NULL;
    return k <= pool->n_streams ? &pool->streams[k - 1]->pending : NULL;
}

/* The block that fits best. */
static struct ool_mempool_block *find(struct ool_mempool *pool, const struct reach *reach,
                                      uint64_t bytes)
{
    struct ool_mempool_block *best = NULL;
    struct ool_mempool_tree *tree;

    for (size_t i = 0; (tree = tree_next(pool, reach, &i)) != NULL;) {
        struct ool_mempool_block *block = ool_mempool_tree_find(tree, bytes);
        if (block != NULL && (best == NULL || block->bytes < best->bytes ||
                              (block->bytes == best->bytes && block->address < best->address)))
            best = block;
    }
    return best;
}

/* Makes a range of n granules: of the pool's free ones as far as they go, the rest from the card.
 * OOL_E_DEV_OOM: there are not so many. */
static enum ool_status add_range(struct ool_mempool *pool, const struct reach *reach, uint64_t n,
                                 struct ool_mempool_block **block, struct ool_error *err)
{
    struct ool_mempool_range *range;
    struct ool_mempool_tree *tree;
    enum ool_status status;
    uint64_t free_bytes, total, room, needed = n, created;

    pool->dev->ops->info(pool->dev, &free_bytes, &total);
    room = free_bytes / OOL_MEMPOOL_GRANULE;
    for (size_t i = 0; (tree = tree_next(pool, reach, &i)) != NULL;)
        room += tree->n_granules;
    if (n > room)
        return OOL_E_DEV_OOM;
    range = ool_calloc(1, sizeof *range);
    *block = range == NULL ? NULL : block_new(pool, range, 0, n * OOL_MEMPOOL_GRANULE);
    if (*block == NULL) {
        ool_free(range);
        return host_oom(err);
    }
    range->bytes = n * OOL_MEMPOOL_GRANULE;
    status = pool->dev->ops->reserve(pool->dev, range->bytes, &range->address, err);
    if (status != OOL_OK)
        goto fail;
    for (size_t i = 0; needed > 0 && (tree = tree_next(pool, reach, &i)) != NULL;)
        needed -= release_granules(pool, tree, needed);
    status = pool->dev->ops->map(pool->dev, range->address, OOL_MEMPOOL_GRANULE, n, &created, err);
    if (status != OOL_OK) {
        pool->dev->ops->release(pool->dev, range->address, range->bytes);
        goto fail;
    }
    range->n_mapped = n;
    range->number = pool->n_ranges++;
    (*block)->address = range->address;
    pool->stats.reserved += range->bytes;
    if (pool->stats.reserved > pool->stats.reserved_high)
        pool->stats.reserved_high = pool->stats.reserved;
    ool_mempool_tree_insert(&pool->complete, *block);
    return OOL_OK;

fail:
    block_delete(pool, *block);
    ool_free(range);
    return status;
}

/* The request's part of a free block; the rest stays free as it was. */
static enum ool_status carve(struct ool_mempool *pool, struct ool_mempool_block *block,
                             uint64_t bytes, struct ool_error *err)
{
    struct ool_mempool_block *rest = NULL;

    if (block->bytes > bytes) {
        rest = block_new(pool, block->range, block->address + bytes, block->bytes - bytes);
        if (rest == NULL)
            return host_oom(err);
        rest->stream = block->stream;
        rest->event = block->event;
        if (rest->stream != NULL)
            queue_insert(rest->stream, block, rest);
    }
    take_out(pool, block);
    if (rest != NULL) {
        rest->prev = block;
        rest->next = block->next;
        if (rest->next != NULL)
            rest->next->prev = rest;
        block->next = rest;
        block->bytes = bytes;
        ool_mempool_tree_insert(tree_of(pool, rest), rest);
    }
    return OOL_OK;
}

static enum ool_status obtain(struct ool_mempool *pool, struct ool_mempool_stream *own,
                              uint64_t bytes, struct ool_mempool_block **block,
                              struct ool_error *err)
{
    struct reach reach = {own, false};
    uint64_t n = bytes / OOL_MEMPOOL_GRANULE + (bytes % OOL_MEMPOOL_GRANULE != 0);
    enum ool_status status;

    *block = find(pool, &reach, bytes);
    if (*block != NULL)
        return OOL_OK;
    status = add_range(pool, &reach, n, block, err);
    if (status != OOL_E_DEV_OOM || !pool->config.internal_dependencies)
        return status;
    /* The request waits for what other streams have still to free. */
    while (pool->joined.first != NULL)
        become_complete(pool, pool->joined.first);
    reach.others = true;
    *block = find(pool, &reach, bytes);
    return *block != NULL ? OOL_OK : add_range(pool, &reach, n, block, err);
}

enum ool_status ool_mempool_alloc(struct ool_mempool *pool, uint64_t bytes, uint32_t stream,
                                  struct ool_mempool_block **block, struct ool_error *err)
{
    struct ool_mempool_stream *own;
    uint64_t rounded;
    enum ool_status status;

    if (pool->short_of_memory) {
        pool->short_of_memory = false;
        return host_oom(err);
    }
    if (bytes > UINT64_MAX / 2)
        return OOL_E_DEV_OOM;
    rounded = (bytes + OOL_MEMPOOL_STEP - 1) / OOL_MEMPOOL_STEP * OOL_MEMPOOL_STEP;
    own = stream_get(pool, stream);
    if (own == NULL)
        return host_oom(err);
    status = obtain(pool, own, rounded, block, err);
    if (status == OOL_OK)
        status = carve(pool, *block, rounded, err);
    if (status != OOL_OK)
        return status;
    (*block)->requested = bytes;
    (*block)->stream = own;
    (*block)->n_uses = 0;
    pool->stats.used += rounded;
    if (pool->stats.used > pool->stats.used_high)
        pool->stats.used_high = pool->stats.used;
    return OOL_OK;
}

struct ool_mempool_place ool_mempool_place(const struct ool_mempool_block *block)
{
    return (struct ool_mempool_place){block->address, block->bytes, block->range->number,
                                      block->address - block->range->address};
}

uint64_t ool_mempool_requested(const struct ool_mempool_block *block)
{
    return block->requested;
}

void ool_mempool_use(struct ool_mempool *pool, struct ool_mempool_block *block, uint32_t number)
{
    struct ool_mempool_stream *stream = stream_get(pool, number);

    if (stream == block->stream)
        return;
    for (size_t i = 0; i < block->n_uses; i++) {
        if (block->uses[i].stream == stream)
            return;
    }
    /* The first place is kept for the stream of the request. */
    if (stream == NULL ||
        !ool_grow(&block->uses, &block->uses_capacity, block->n_uses + 1, sizeof *block->uses)) {
        pool->short_of_memory = true;
        return;
    }
    if (block->n_uses == 0)
        block->uses[block->n_uses++] = (struct ool_mempool_use){block->stream, 0};
    block->uses[block->n_uses++] = (struct ool_mempool_use){stream, 0};
}

/* An event behind what the stream has been given; 0 if it has nothing left to do. */
static uint64_t record(struct ool_mempool_stream *stream)
{
    if (!stream->busy)
        return 0;
    return ++stream->n_recorded;
}

void ool_mempool_free(struct ool_mempool *pool, struct ool_mempool_block *block)
{
    bool pending = !pool->config.opportunistic;

    block->requested = 0;
    pool->stats.used -= block->bytes;
    if (block->n_uses == 0) {
        block->event = record(block->stream);
        pending = pending || block->event != 0;
    } else {
        block->stream = &pool->joined;
        for (size_t i = 0; i < block->n_uses; i++) {
            block->uses[i].event = record(block->uses[i].stream);
            pending = pending || block->uses[i].event != 0;
        }
        pending = pending || pool->joined.first != NULL; /* it is a stream: one after the other */
    }
    if (!pending)
        block->stream = NULL;
    put_in(pool, block);
}

void ool_mempool_trim(struct ool_mempool *pool, uint64_t keep)
{
    if (pool->stats.reserved > keep)
        release_granules(pool, &pool->complete,
                         (pool->stats.reserved - keep) / OOL_MEMPOOL_GRANULE);
}

void ool_mempool_synchronize(struct ool_mempool *pool)
{
    for (size_t i = 0; i < pool->n_streams; i++) {
        pool->streams[i]->n_complete = pool->streams[i]->n_recorded;
        complete_stream(pool, pool->streams[i]);
    }
    while (pool->joined.first != NULL)
        become_complete(pool, pool->joined.first);
    ool_mempool_trim(pool, pool->config.release_threshold);
}

void ool_mempool_stream_busy(struct ool_mempool *pool, uint32_t number)
{
    struct ool_mempool_stream *stream = stream_get(pool, number);

    if (stream == NULL)
        pool->short_of_memory = true;
    else
        stream->busy = true;
}

void ool_mempool_stream_step(struct ool_mempool *pool, uint32_t number, uint64_t n)
{
    struct ool_mempool_stream *stream = stream_get(pool, number);

    if (stream == NULL) {
        pool->short_of_memory = true;
        return;
    }
    if (n > stream->n_recorded - stream->n_complete)
        n = stream->n_recorded - stream->n_complete;
    stream->n_complete += n;
    complete_seen(pool, stream);
}

void ool_mempool_stream_idle(struct ool_mempool *pool, uint32_t number)
{
    struct ool_mempool_stream *stream = stream_get(pool, number);

    if (stream == NULL) {
        pool->short_of_memory = true;
        return;
    }
    stream->busy = false;
    stream->n_complete = stream->n_recorded;
    complete_seen(pool, stream);
}

const struct ool_mempool_stats *ool_mempool_stats(const struct ool_mempool *pool)
{
    return &pool->stats;
}

void ool_mempool_reset_high(struct ool_mempool *pool)
{
    pool->stats.used_high = pool->stats.used;
    pool->stats.reserved_high = pool->stats.reserved;
}

/* ---- what there is ---- */

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const struct ool_mempool_run *)a)->address;
    uint64_t y = ((const struct ool_mempool_run *)b)->address;

    return (x > y) - (x < y);
}

/* The pieces of a run, by address, and its length. */
static void map_run(struct ool_mempool_map *map, const struct ool_mempool_block *head,
                    struct ool_mempool_run *run)
{
    *run = (struct ool_mempool_run){.address = head->address,
                                    .offset = head->address - head->range->address,
                                    .range = head->range->number,
                                    .first_piece = map->n_pieces};
    for (const struct ool_mempool_block *block = head; block != NULL; block = block->next) {
        map->pieces[map->n_pieces++] =
            (struct ool_mempool_piece){block->address, block->bytes, block->requested,
                                       !is_free(block), is_free(block) && block->stream != NULL};
        run->bytes += block->bytes;
        run->n_pieces++;
    }
}

enum ool_status ool_mempool_map(const struct ool_mempool *pool, struct ool_mempool_map *map,
                                struct ool_error *err)
{
    struct ool_mempool_map out = {0};

    out.runs = ool_calloc(pool->n_blocks, sizeof *out.runs);
    out.pieces = ool_calloc(pool->n_blocks, sizeof *out.pieces);
    if (out.runs == NULL || out.pieces == NULL) {
        ool_mempool_map_fini(&out);
        return host_oom(err);
    }
    for (const struct ool_mempool_block *block = pool->newest; block != NULL;
         block = block->older) {
        if (block->prev == NULL)
            map_run(&out, block, &out.runs[out.n_runs++]);
    }
    qsort(out.runs, out.n_runs, sizeof *out.runs, by_address);
    *map = out;
    return OOL_OK;
}

void ool_mempool_map_fini(struct ool_mempool_map *map)
{
    ool_free(map->runs);
    ool_free(map->pieces);
    memset(map, 0, sizeof *map);
}

static void close_run(struct ool_mempool *pool, struct ool_mempool_block *head)
{
    uint64_t bytes = 0;

    for (const struct ool_mempool_block *block = head; block != NULL; block = block->next)
        bytes += block->bytes;
    unmap(pool, head->range, head->address, bytes / OOL_MEMPOOL_GRANULE);
}

void ool_mempool_close(struct ool_mempool *pool)
{
    if (pool == NULL)
        return;
    for (struct ool_mempool_block *block = pool->newest; block != NULL; block = block->older) {
        if (block->prev == NULL)
            close_run(pool, block);
    }
    while (pool->newest != NULL)
        block_delete(pool, pool->newest);
    for (size_t i = 0; i < pool->n_streams; i++)
        ool_free(pool->streams[i]);
    ool_free(pool->streams);
    ool_free(pool);
}
