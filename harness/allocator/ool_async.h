/*
 * ool_async.h - allocators over the driver's stream-ordered pool; private to this folder.
 *
 * `async` is cudaMallocAsync and cudaFreeAsync themselves on the device's default pool. Its settings:
 *   release_threshold:SIZE       kept when streams are synchronised, 0 (the driver's default) to `max`
 *   opportunistic:True|False     ReuseAllowOpportunistic
 *   internal_dependencies:True|False   ReuseAllowInternalDependencies
 *
 * `torch` with backend:cudaMallocAsync is PyTorch's policy on the same pool: release threshold without
 * end, memory fraction by requested bytes, three of its statistics, its own message.
 *
 * Recorded from PyTorch 2.2 to 2.15 over a stand-in for the driver: which calls are made and in what
 * order, which statistics are filled and from which attribute, the messages, the fraction, that no
 * other setting is looked at. A model: what the pool itself does, and so how much it reserves and when
 * it has no room (ool_mempool.h).
 */
#ifndef OOL_ASYNC_H
#define OOL_ASYNC_H

#include "ool_allocator_ops.h"
#include "ool_mempool.h"
#include "ool_torch_conf.h"

struct ool_async {
    struct ool_allocator base;
    struct ool_device *dev;
    struct ool_mempool *pool;
    int device_index;
    struct ool_allocator_stats stats; /* filled when asked for, but what async counts itself */
    struct ool_text message;

    /* PyTorch's */
    const struct ool_torch_release *release;
    struct ool_torch_conf conf;
    uint64_t requested_bytes; /* of live blocks */
    uint64_t limit_bytes;
};

static inline struct ool_async *ool_async_of(const struct ool_allocator *allocator)
{
    return (struct ool_async *)(uintptr_t)allocator;
}

/* The slots that both share. */
#define OOL_ASYNC_COMMON_OPS                                                                  \
    .record_stream = ool_async_record_stream, .empty_cache = ool_async_empty_cache,           \
    .synchronize = ool_async_synchronize, .stream_busy = ool_async_stream_busy,               \
    .stream_step = ool_async_stream_step, .stream_idle = ool_async_stream_idle,               \
    .totals = ool_async_totals, .message = ool_async_message, .snapshot = ool_async_snapshot, \
    .close = ool_async_close
void ool_async_record_stream(struct ool_allocator *allocator, const struct ool_block *block,
                             uint32_t stream);
void ool_async_empty_cache(struct ool_allocator *allocator);
void ool_async_synchronize(struct ool_allocator *allocator);
void ool_async_stream_busy(struct ool_allocator *allocator, uint32_t stream);
void ool_async_stream_step(struct ool_allocator *allocator, uint32_t stream, uint64_t n_events);
void ool_async_stream_idle(struct ool_allocator *allocator, uint32_t stream);
void ool_async_totals(const struct ool_allocator *allocator, uint64_t *allocated,
                      uint64_t *reserved);
const char *ool_async_message(const struct ool_allocator *allocator);
enum ool_status ool_async_snapshot(const struct ool_allocator *allocator,
                                   struct ool_snapshot *snapshot, struct ool_error *err);
void ool_async_close(struct ool_allocator *allocator);

/* An allocator over a new pool; @async is ready but for what the caller adds. */
enum ool_status ool_async_new(const struct ool_allocator_config *config,
                              const struct ool_mempool_config *pool_config,
                              const struct ool_allocator_ops *ops, struct ool_device *dev,
                              struct ool_async **async, struct ool_error *err);
/* @out from the pool's block; a block of zero bytes has no handle. */
void ool_async_hand_out(struct ool_mempool_block *block, struct ool_block *out);

#endif
