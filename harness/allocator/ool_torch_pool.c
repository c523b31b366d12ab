/*
 * ool_torch_pool.c - private pools: memory that is kept apart for CUDA graphs or a MemPool.
 */
#include "ool_torch.h"

#include "ool_mem.h"

#include <inttypes.h>
#include <string.h>

static struct ool_torch *torch_of(struct ool_allocator *allocator)
{
    return (struct ool_torch *)allocator;
}

/* Where the pool of a number is, or belongs. */
static size_t index_of(const struct ool_torch *torch, uint32_t number)
{
    size_t low = 0, high = torch->n_pools;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (torch->pools[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct ool_torch_pool *find_pool(const struct ool_torch *torch, uint32_t number)
{
    size_t i = index_of(torch, number);

    return i < torch->n_pools && torch->pools[i]->number == number ? torch->pools[i] : NULL;
}

static struct ool_torch_pool *add_pool(struct ool_torch *torch, uint32_t number)
{
    size_t i = index_of(torch, number);
    struct ool_torch_pool *pool;

    if (!ool_grow(&torch->pools, &torch->pools_capacity, torch->n_pools, sizeof *torch->pools))
        return NULL;
    pool = ool_calloc(1, sizeof *pool);
    if (pool == NULL)
        return NULL;
    pool->number = number;
    memmove(&torch->pools[i + 1], &torch->pools[i], (torch->n_pools - i) * sizeof *torch->pools);
    torch->pools[i] = pool;
    torch->n_pools++;
    return pool;
}

static void delete_pool(struct ool_torch_pool *pool)
{
    for (size_t i = 0; i < pool->n_heaps; i++)
        ool_free(pool->heaps[i]);
    ool_free(pool->heaps);
    ool_free(pool);
}

enum ool_status ool_torch_pool_begin(struct ool_allocator *allocator, uint32_t number, bool capture,
                                     struct ool_error *err)
{
    struct ool_torch *torch = torch_of(allocator);
    struct ool_torch_pool *pool = find_pool(torch, number);

    if (number == 0 || torch->pool != NULL)
        return ool_error_set(err, OOL_E_PROGRAM, "private pool %" PRIu32 " cannot begin: %s",
                             number,
                             number == 0 ? "0 is the default pool" : "another one is under way");
    if (pool != NULL && pool->n_users == 0)
        return ool_error_set(err, OOL_E_PROGRAM, "private pool %" PRIu32 " was released", number);
    if (pool == NULL)
        pool = add_pool(torch, number);
    if (pool == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a private pool");
    pool->n_users++;
    torch->pool = pool;
    torch->capturing = capture || torch->release->pools_like_captures;
    return OOL_OK;
}

enum ool_status ool_torch_pool_end(struct ool_allocator *allocator, struct ool_error *err)
{
    struct ool_torch *torch = torch_of(allocator);

    if (torch->pool == NULL)
        return ool_error_set(err, OOL_E_PROGRAM, "no private pool is under way");
    torch->pool = NULL;
    torch->capturing = false;
    return OOL_OK;
}

/* Small heaps, then large ones, each by stream. */
static void release_pool(struct ool_torch *torch, struct ool_torch_pool *pool)
{
    size_t n_small = 0;

    if (pool->n_heaps == 0)
        return;
    while (n_small < pool->n_heaps && pool->heaps[n_small]->small)
        n_small++;
    ool_torch_release_heaps(torch, pool->heaps, n_small);
    ool_torch_release_heaps(torch, pool->heaps + n_small, pool->n_heaps - n_small);
}

static void drop_if_empty(struct ool_torch *torch, size_t i)
{
    struct ool_torch_pool *pool = torch->pools[i];

    if (pool->n_segments > 0)
        return;
    torch->n_pools--;
    memmove(&torch->pools[i], &torch->pools[i + 1], (torch->n_pools - i) * sizeof *torch->pools);
    delete_pool(pool);
}

void ool_torch_pools_release(struct ool_torch *torch)
{
    for (size_t i = torch->n_pools; i-- > 0;) {
        if (torch->pools[i]->n_users > 0)
            continue;
        release_pool(torch, torch->pools[i]);
        drop_if_empty(torch, i);
    }
}

enum ool_status ool_torch_pool_release(struct ool_allocator *allocator, uint32_t number, bool empty,
                                       struct ool_error *err)
{
    struct ool_torch *torch = torch_of(allocator);
    struct ool_torch_pool *pool = find_pool(torch, number);

    if (pool == NULL || pool->n_users == 0 || (pool == torch->pool && pool->n_users == 1))
        return ool_error_set(err, OOL_E_PROGRAM, "private pool %" PRIu32 " has no user to release",
                             number);
    pool->n_users--;
    if (empty && pool->n_users == 0 && !torch->capturing) {
        torch->stats.num_sync_all_streams++;
        ool_torch_events_finish(torch);
        release_pool(torch, pool);
        drop_if_empty(torch, index_of(torch, number));
    }
    return OOL_OK;
}

static bool comes_before(const struct ool_torch_heap *heap, bool small, uint32_t stream)
{
    return heap->small != small ? heap->small : heap->stream->number < stream;
}

struct ool_torch_heap *ool_torch_pool_heap(struct ool_torch *torch, struct ool_torch_stream *stream,
                                           bool small)
{
    struct ool_torch_pool *pool = torch->pool;
    struct ool_torch_heap *heap;
    size_t i = 0;

    while (i < pool->n_heaps && comes_before(pool->heaps[i], small, stream->number))
        i++;
    if (i < pool->n_heaps && pool->heaps[i]->small == small && pool->heaps[i]->stream == stream)
        return pool->heaps[i];
    if (!ool_grow(&pool->heaps, &pool->heaps_capacity, pool->n_heaps, sizeof *pool->heaps))
        return NULL;
    heap = ool_torch_heap_new(stream, small);
    if (heap == NULL)
        return NULL;
    heap->pool = pool;
    memmove(&pool->heaps[i + 1], &pool->heaps[i], (pool->n_heaps - i) * sizeof *pool->heaps);
    pool->n_heaps++;
    return pool->heaps[i] = heap;
}

uint64_t ool_torch_pools_free_bytes(const struct ool_torch *torch)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < torch->n_pools; i++) {
        const struct ool_torch_pool *pool = torch->pools[i];
        for (size_t k = 0; k < pool->n_heaps; k++) {
            const struct ool_torch_block *block = ool_torch_heap_find(pool->heaps[k], 0);
            for (; block != NULL; block = ool_torch_heap_next(block))
                bytes += block->bytes;
        }
    }
    return bytes;
}

void ool_torch_pools_fini(struct ool_torch *torch)
{
    for (size_t i = 0; i < torch->n_pools; i++)
        delete_pool(torch->pools[i]);
    ool_free(torch->pools);
}
