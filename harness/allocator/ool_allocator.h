/*
 * ool_allocator.h - the framework's policy between a program and a device.
 *
 * One allocator serves one process on one device. Addresses and placement are decided as the
 * framework would decide them; all are deterministic.
 */
#ifndef OOL_ALLOCATOR_H
#define OOL_ALLOCATOR_H

#include "ool_device.h"
#include "ool_error.h"
#include "ool_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ool_allocator;

/* What an allocation got. `handle` belongs to the allocator and names the block in later calls. */
struct ool_block {
    void *handle; /* NULL: zero bytes were asked for */
    uint64_t address;
    uint64_t bytes;   /* what it occupies, >= requested */
    uint32_t segment; /* number of the segment, in the order the device gave them out */
    uint64_t offset;  /* bytes from the segment's start */
};

/* A counter as PyTorch keeps it. */
struct ool_stat {
    int64_t current, peak, allocated, freed;
};
enum ool_pool_kind { OOL_POOL_ALL, OOL_POOL_SMALL, OOL_POOL_LARGE, OOL_N_POOLS };
struct ool_allocator_stats {
    struct ool_stat allocation[OOL_N_POOLS], segment[OOL_N_POOLS], active[OOL_N_POOLS];
    struct ool_stat inactive_split[OOL_N_POOLS], allocated_bytes[OOL_N_POOLS];
    struct ool_stat reserved_bytes[OOL_N_POOLS], active_bytes[OOL_N_POOLS];
    struct ool_stat inactive_split_bytes[OOL_N_POOLS], requested_bytes[OOL_N_POOLS];
    struct ool_stat oversize_allocations, oversize_segments;
    int64_t num_alloc_retries, num_ooms, num_sync_all_streams, num_device_alloc, num_device_free;
    int64_t max_split_size;     /* at start; -1 = unlimited */
    int64_t num_oom_rejections; /* by throw_on_cudamalloc_oom */
};

/* One block and one segment of the state, by address, as a snapshot lists them. */
enum ool_block_state { OOL_BLOCK_FREE, OOL_BLOCK_ALLOCATED, OOL_BLOCK_PENDING };
struct ool_block_info {
    uint64_t address, bytes, requested;
    enum ool_block_state state;
};
struct ool_segment_info {
    uint64_t address, bytes, offset; /* offset of the run inside its range, 0 if not expandable */
    uint32_t number, stream;
    uint32_t pool; /* private pool, 0 = the default one */
    bool small, expandable;
    size_t first_block, n_blocks; /* into the blocks array */
};
struct ool_snapshot {
    struct ool_segment_info *segments;
    size_t n_segments;
    struct ool_block_info *blocks;
    size_t n_blocks;
};
void ool_snapshot_fini(struct ool_snapshot *snapshot);

struct ool_allocator_config {
    const char *kind;    /* "torch", "direct", "async" */
    const char *version; /* of the framework, "2.11"; NULL = the default */
    const char *conf;    /* PYTORCH_CUDA_ALLOC_CONF, or ool_async.h's settings; NULL = "" */
    int device_index;    /* as messages name it, GPU 0 */
};

/**
 * ool_allocator_open - an allocator over @dev
 *
 * @dev: borrowed, must outlive the allocator
 * Errors: OOL_E_UNSUPPORTED (kind or version; the text lists those there are), OOL_E_CONF with the
 *         framework's own text for a bad settings string, OOL_E_HOST_OOM.
 */
enum ool_status ool_allocator_open(const struct ool_allocator_config *config,
                                   struct ool_device *dev, struct ool_allocator **allocator,
                                   struct ool_error *err);
/* Gives every segment back to the device, live or not. NULL is fine. */
void ool_allocator_close(struct ool_allocator *allocator);

/**
 * ool_allocator_alloc - one request
 *
 * OOL_E_DEV_OOM: out of memory for good; ool_allocator_message() has the framework's text and the
 * allocator is usable (a later request may succeed). OOL_E_FRAMEWORK: the framework itself would stop
 * here with an error that is not about memory. OOL_E_HOST_OOM may also be about an earlier call that
 * returns nothing and could not do its work. Streams are numbers; 0 is the default stream, and their
 * order is that of PyTorch's stream handles.
 */
enum ool_status ool_allocator_alloc(struct ool_allocator *allocator, uint64_t bytes,
                                    uint32_t stream, struct ool_block *block,
                                    struct ool_error *err);
void ool_allocator_free(struct ool_allocator *allocator, const struct ool_block *block);
void ool_allocator_record_stream(struct ool_allocator *allocator, const struct ool_block *block,
                                 uint32_t stream);
void ool_allocator_empty_cache(struct ool_allocator *allocator);
/* Every event recorded so far is complete. */
void ool_allocator_synchronize(struct ool_allocator *allocator);
void ool_allocator_stream_busy(struct ool_allocator *allocator, uint32_t stream);
void ool_allocator_stream_step(struct ool_allocator *allocator, uint32_t stream, uint64_t n_events);
void ool_allocator_stream_idle(struct ool_allocator *allocator, uint32_t stream);
enum ool_status ool_allocator_set_fraction(struct ool_allocator *allocator, double fraction,
                                           struct ool_error *err);
enum ool_status ool_allocator_set_conf(struct ool_allocator *allocator, const char *conf,
                                       struct ool_error *err);
void ool_allocator_reset_peak(struct ool_allocator *allocator);

/*
 * Private pools, as CUDA graphs and torch.cuda.MemPool use them. From begin to end all requests are
 * served from pool @pool (> 0), which is made when it is new; one at a time. @capture: a graph is being
 * captured, so that events are not looked at and the retry before an out-of-memory frees nothing.
 * A pool keeps its memory until each begin was matched by a release; after that empty_cache and the
 * retry free it. @empty: at once, as when a MemPool goes (not while capturing).
 * Errors: OOL_E_PROGRAM (pool 0, a pool under way, a released pool), OOL_E_UNSUPPORTED (other kinds).
 */
enum ool_status ool_allocator_pool_begin(struct ool_allocator *allocator, uint32_t pool,
                                         bool capture, struct ool_error *err);
enum ool_status ool_allocator_pool_end(struct ool_allocator *allocator, struct ool_error *err);
enum ool_status ool_allocator_pool_release(struct ool_allocator *allocator, uint32_t pool,
                                           bool empty, struct ool_error *err);

/* Allocated and reserved bytes alone: what a timeline asks for after every operation. */
void ool_allocator_totals(const struct ool_allocator *allocator, uint64_t *allocated,
                          uint64_t *reserved);

/* Counts @times repetitions of a period that added @growth to the counters' current, allocated and
 * freed values, without doing them; peaks stay. The caller holds the memory on the device. For loops
 * whose state repeats up to their growth; only where the kind can. */
bool ool_allocator_can_skip(const struct ool_allocator *allocator);
void ool_allocator_skip(struct ool_allocator *allocator, const struct ool_allocator_stats *growth,
                        uint64_t times);

const struct ool_allocator_stats *ool_allocator_stats(const struct ool_allocator *allocator);
/* The text of the last out-of-memory, exactly as the framework prints it; "" if there was none. */
const char *ool_allocator_message(const struct ool_allocator *allocator);
/* The state by address; the caller finishes it with ool_snapshot_fini(). */
enum ool_status ool_allocator_snapshot(const struct ool_allocator *allocator,
                                       struct ool_snapshot *snapshot, struct ool_error *err);

#endif
