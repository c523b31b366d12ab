#include "ool_allocator_ops.h"

#include "ool_mem.h"

#include <string.h>

static const struct {
    const char *name;
    ool_allocator_opener *open;
} kinds[] = {
    {"torch", ool_torch_open},
    {"direct", ool_direct_open},
    {"async", ool_async_open},
};

enum ool_status ool_allocator_open(const struct ool_allocator_config *config,
                                   struct ool_device *dev, struct ool_allocator **allocator,
                                   struct ool_error *err)
{
    struct ool_text names;
    enum ool_status status;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(config->kind, kinds[i].name) == 0)
            return kinds[i].open(config, dev, allocator, err);
    }
    ool_text_init(&names, 256);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        ool_text_printf(&names, "%s%s", i == 0 ? "" : ", ", kinds[i].name);
    status =
        ool_error_set(err, OOL_E_UNSUPPORTED, "unknown allocator \"%.40s\": expected one of %s",
                      config->kind, ool_text_data(&names));
    ool_text_fini(&names);
    return status;
}

void ool_allocator_close(struct ool_allocator *allocator)
{
    if (allocator != NULL)
        allocator->ops->close(allocator);
}

enum ool_status ool_allocator_alloc(struct ool_allocator *allocator, uint64_t bytes,
                                    uint32_t stream, struct ool_block *block, struct ool_error *err)
{
    return allocator->ops->alloc(allocator, bytes, stream, block, err);
}

void ool_allocator_free(struct ool_allocator *allocator, const struct ool_block *block)
{
    if (block->handle != NULL)
        allocator->ops->free(allocator, block);
}

void ool_allocator_record_stream(struct ool_allocator *allocator, const struct ool_block *block,
                                 uint32_t stream)
{
    if (block->handle != NULL)
        allocator->ops->record_stream(allocator, block, stream);
}

void ool_allocator_empty_cache(struct ool_allocator *allocator)
{
    allocator->ops->empty_cache(allocator);
}

void ool_allocator_synchronize(struct ool_allocator *allocator)
{
    allocator->ops->synchronize(allocator);
}

void ool_allocator_stream_busy(struct ool_allocator *allocator, uint32_t stream)
{
    allocator->ops->stream_busy(allocator, stream);
}

void ool_allocator_stream_step(struct ool_allocator *allocator, uint32_t stream, uint64_t n_events)
{
    allocator->ops->stream_step(allocator, stream, n_events);
}

void ool_allocator_stream_idle(struct ool_allocator *allocator, uint32_t stream)
{
    allocator->ops->stream_idle(allocator, stream);
}

enum ool_status ool_allocator_set_fraction(struct ool_allocator *allocator, double fraction,
                                           struct ool_error *err)
{
    return allocator->ops->set_fraction(allocator, fraction, err);
}

enum ool_status ool_allocator_set_conf(struct ool_allocator *allocator, const char *conf,
                                       struct ool_error *err)
{
    return allocator->ops->set_conf(allocator, conf, err);
}

void ool_allocator_reset_peak(struct ool_allocator *allocator)
{
    allocator->ops->reset_peak(allocator);
}

static enum ool_status no_pools(struct ool_error *err)
{
    return ool_error_set(err, OOL_E_UNSUPPORTED, "this kind of allocator has no private pools");
}

enum ool_status ool_allocator_pool_begin(struct ool_allocator *allocator, uint32_t pool,
                                         bool capture, struct ool_error *err)
{
    if (allocator->ops->pool_begin == NULL)
        return no_pools(err);
    return allocator->ops->pool_begin(allocator, pool, capture, err);
}

enum ool_status ool_allocator_pool_end(struct ool_allocator *allocator, struct ool_error *err)
{
    if (allocator->ops->pool_end == NULL)
        return no_pools(err);
    return allocator->ops->pool_end(allocator, err);
}

enum ool_status ool_allocator_pool_release(struct ool_allocator *allocator, uint32_t pool,
                                           bool empty, struct ool_error *err)
{
    if (allocator->ops->pool_release == NULL)
        return no_pools(err);
    return allocator->ops->pool_release(allocator, pool, empty, err);
}

void ool_allocator_totals(const struct ool_allocator *allocator, uint64_t *allocated,
                          uint64_t *reserved)
{
    allocator->ops->totals(allocator, allocated, reserved);
}

bool ool_allocator_can_skip(const struct ool_allocator *allocator)
{
    return allocator->ops->skip != NULL;
}

void ool_allocator_skip(struct ool_allocator *allocator, const struct ool_allocator_stats *growth,
                        uint64_t times)
{
    allocator->ops->skip(allocator, growth, times);
}

const struct ool_allocator_stats *ool_allocator_stats(const struct ool_allocator *allocator)
{
    /* A kind may bring its cached answer up to date; what the caller can see does not change. */
    return allocator->ops->stats((struct ool_allocator *)(uintptr_t)allocator);
}

const char *ool_allocator_message(const struct ool_allocator *allocator)
{
    return allocator->ops->message(allocator);
}

enum ool_status ool_allocator_snapshot(const struct ool_allocator *allocator,
                                       struct ool_snapshot *snapshot, struct ool_error *err)
{
    return allocator->ops->snapshot(allocator, snapshot, err);
}

void ool_snapshot_fini(struct ool_snapshot *snapshot)
{
    ool_free(snapshot->segments);
    ool_free(snapshot->blocks);
    memset(snapshot, 0, sizeof *snapshot);
}
