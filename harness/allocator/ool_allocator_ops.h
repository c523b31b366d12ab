/*
 * ool_allocator_ops.h - what a kind of allocator fills in; private to this folder.
 *
 * The slots are the functions of ool_allocator.h without the prefix. Every slot is set, unless it says optional. A kind that
 * has no use for a call gives an empty function, or OOL_E_UNSUPPORTED where the call has a status.
 */
#ifndef OOL_ALLOCATOR_OPS_H
#define OOL_ALLOCATOR_OPS_H

#include "ool_allocator.h"

struct ool_allocator_ops {
    enum ool_status (*alloc)(struct ool_allocator *allocator, uint64_t bytes, uint32_t stream,
                             struct ool_block *block, struct ool_error *err);
    void (*free)(struct ool_allocator *allocator, const struct ool_block *block);
    void (*record_stream)(struct ool_allocator *allocator, const struct ool_block *block,
                          uint32_t stream);
    void (*empty_cache)(struct ool_allocator *allocator);
    void (*synchronize)(struct ool_allocator *allocator);
    void (*stream_busy)(struct ool_allocator *allocator, uint32_t stream);
    void (*stream_step)(struct ool_allocator *allocator, uint32_t stream, uint64_t n_events);
    void (*stream_idle)(struct ool_allocator *allocator, uint32_t stream);
    enum ool_status (*set_fraction)(struct ool_allocator *allocator, double fraction,
                                    struct ool_error *err);
    enum ool_status (*set_conf)(struct ool_allocator *allocator, const char *conf,
                                struct ool_error *err);
    void (*reset_peak)(struct ool_allocator *allocator);
    /* (optional) all three or none */
    enum ool_status (*pool_begin)(struct ool_allocator *allocator, uint32_t pool, bool capture,
                                  struct ool_error *err);
    enum ool_status (*pool_end)(struct ool_allocator *allocator, struct ool_error *err);
    enum ool_status (*pool_release)(struct ool_allocator *allocator, uint32_t pool, bool empty,
                                    struct ool_error *err);
    void (*totals)(const struct ool_allocator *allocator, uint64_t *allocated, uint64_t *reserved);
    /* (optional) */
    void (*skip)(struct ool_allocator *allocator, const struct ool_allocator_stats *growth,
                 uint64_t times);
    const struct ool_allocator_stats *(*stats)(struct ool_allocator *allocator);
    const char *(*message)(const struct ool_allocator *allocator);
    enum ool_status (*snapshot)(const struct ool_allocator *allocator,
                                struct ool_snapshot *snapshot, struct ool_error *err);
    void (*close)(struct ool_allocator *allocator);
};

/* What every kind's own struct begins with. */
struct ool_allocator {
    const struct ool_allocator_ops *ops;
};

typedef enum ool_status ool_allocator_opener(const struct ool_allocator_config *config,
                                             struct ool_device *dev,
                                             struct ool_allocator **allocator,
                                             struct ool_error *err);
ool_allocator_opener ool_torch_open, ool_direct_open, ool_async_open;

#endif
