/*
 * ool_mempool.h - the driver's stream-ordered memory pool (cudaMallocAsync), over a device's pages.
 *
 * This is a model: what the driver documents (release threshold, reuse, trimming, the four counters) as
 * documented, and where it documents nothing the simplest rule that fits what was observed:
 *   - Memory comes from the card in granules of 32 MiB (the first 8 KiB of a default pool reserve 32 MiB);
 *     trimming and remapping handle whole granules too. So a pool can hold much free memory and still fail.
 *   - A request counts as the next multiple of 512 B, the step measured for cudaMalloc. It goes to the
 *     smallest free range that fits, the lowest address on ties.
 *   - Where no range fits, a new range of addresses is backed by the pool's free granules first (the
 *     driver remaps them) and by the card for the rest.
 *   - Memory counts as used until it is freed in program order, whether or not the stream got there.
 */
#ifndef OOL_MEMPOOL_H
#define OOL_MEMPOOL_H

#include "ool_device.h"

#include <stddef.h>

#define OOL_MEMPOOL_GRANULE (UINT64_C(32) << 20)
#define OOL_MEMPOOL_STEP UINT64_C(512)

struct ool_mempool;
struct ool_mempool_block;

/* The attributes that decide something here. ReuseFollowEventDependencies needs events between streams,
 * which the requests that reach an allocator do not carry. */
struct ool_mempool_config {
    uint64_t release_threshold; /* kept at a synchronisation; the driver's default is 0 */
    bool opportunistic;         /* reuse across streams what the card is seen to have freed */
    bool internal_dependencies; /* reuse across streams by waiting, before giving up */
};

/* UsedMem and ReservedMem, Current and High. */
struct ool_mempool_stats {
    uint64_t used, used_high, reserved, reserved_high;
};

struct ool_mempool_place {
    uint64_t address, bytes; /* bytes as counted, a multiple of OOL_MEMPOOL_STEP */
    uint32_t range;          /* ranges of addresses are numbered as they are made */
    uint64_t offset;         /* in the range */
};

/* A contiguous run of backed addresses, and what it consists of; in the order of addresses. */
struct ool_mempool_run {
    uint64_t address, bytes, offset;
    uint32_t range;
    size_t first_piece, n_pieces;
};
struct ool_mempool_piece {
    uint64_t address, bytes, requested; /* requested: 0 unless used */
    bool used, pending;                 /* pending: freed, but its stream has not got there */
};
struct ool_mempool_map {
    struct ool_mempool_run *runs;
    size_t n_runs;
    struct ool_mempool_piece *pieces;
    size_t n_pieces;
};

/* @dev is borrowed. Errors: OOL_E_HOST_OOM. */
enum ool_status ool_mempool_open(const struct ool_mempool_config *config, struct ool_device *dev,
                                 struct ool_mempool **pool, struct ool_error *err);
/* Gives everything back, used or not. NULL is fine. */
void ool_mempool_close(struct ool_mempool *pool);

/**
 * ool_mempool_alloc - cudaMallocAsync of @bytes > 0
 *
 * Errors: OOL_E_DEV_OOM (err untouched; nothing changed), OOL_E_HOST_OOM (also about an earlier free or
 * synchronisation that could not do its work), whatever else the device answers.
 */
enum ool_status ool_mempool_alloc(struct ool_mempool *pool, uint64_t bytes, uint32_t stream,
                                  struct ool_mempool_block **block, struct ool_error *err);
struct ool_mempool_place ool_mempool_place(const struct ool_mempool_block *block);
uint64_t ool_mempool_requested(const struct ool_mempool_block *block);

/* Another stream uses the block too: its free waits for all of them on a stream of its own. */
void ool_mempool_use(struct ool_mempool *pool, struct ool_mempool_block *block, uint32_t stream);
void ool_mempool_free(struct ool_mempool *pool, struct ool_mempool_block *block);

/* cudaMemPoolTrimTo: gives granules back whose frees are complete; at least @keep bytes stay. */
void ool_mempool_trim(struct ool_mempool *pool, uint64_t keep);
/* The streams got to every free so far; what is above the release threshold goes back. */
void ool_mempool_synchronize(struct ool_mempool *pool);
/* While a stream is busy, frees wait in it; step: it got to the n oldest of them. */
void ool_mempool_stream_busy(struct ool_mempool *pool, uint32_t stream);
void ool_mempool_stream_step(struct ool_mempool *pool, uint32_t stream, uint64_t n);
void ool_mempool_stream_idle(struct ool_mempool *pool, uint32_t stream);

const struct ool_mempool_stats *ool_mempool_stats(const struct ool_mempool *pool);
void ool_mempool_reset_high(struct ool_mempool *pool);

enum ool_status ool_mempool_map(const struct ool_mempool *pool, struct ool_mempool_map *map,
                                struct ool_error *err);
void ool_mempool_map_fini(struct ool_mempool_map *map);

#endif
