/*
 * ool_torch_async.c - PyTorch's backend:cudaMallocAsync. What is recorded and what is a model: ool_async.h.
 */
#include "ool_async.h"
#include "ool_torch.h"

static enum ool_status host_oom(struct ool_error *err)
{
    return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the allocator's books");
}

static void tell(struct ool_async *async, uint64_t bytes)
{
    char held[OOL_SIZE_TEXT], wanted[OOL_SIZE_TEXT], total[OOL_SIZE_TEXT], unused[OOL_SIZE_TEXT];
    char limit[OOL_SIZE_TEXT];
    uint64_t free_bytes, total_bytes;

    ool_text_clear(&async->message);
    if (!async->release->async_oom_told) {
        ool_text_puts(&async->message, "Allocation on device ");
        return;
    }
    async->dev->ops->info(async->dev, &free_bytes, &total_bytes);
    ool_text_printf(&async->message,
                    "Allocation on device %d would exceed allowed memory. (out of memory)\n"
                    "Currently allocated     : %s\n"
                    "Requested               : %s\n"
                    "Device limit            : %s\n"
                    "Free (according to CUDA): %s\n"
                    "PyTorch limit (set by user-supplied memory fraction)\n"
                    "                        : %s",
                    async->device_index, ool_torch_format_size(async->requested_bytes, held),
                    ool_torch_format_size(bytes, wanted), ool_torch_format_size(total_bytes, total),
                    ool_torch_format_size(free_bytes, unused),
                    ool_torch_format_size(async->limit_bytes, limit));
}

static enum ool_status out_of_memory(struct ool_async *async, uint64_t bytes, struct ool_error *err)
{
    char text[OOL_SIZE_TEXT];

    tell(async, bytes);
    if (async->message.failed)
        return host_oom(err);
    return ool_error_set(err, OOL_E_DEV_OOM, "the device has no room for %s",
                         ool_size_print(bytes, text));
}

static enum ool_status beyond_limit(struct ool_async *async, struct ool_error *err)
{
    ool_text_clear(&async->message);
    ool_text_puts(&async->message, "CUDA out of memory. Tried to allocate more than 1EB memory.");
    if (async->message.failed)
        return host_oom(err);
    return ool_error_set(err, OOL_E_DEV_OOM, "more than 1 EiB asked for");
}

static enum ool_status torch_async_alloc(struct ool_allocator *allocator, uint64_t bytes,
                                         uint32_t stream, struct ool_block *out,
                                         struct ool_error *err)
{
    struct ool_async *async = ool_async_of(allocator);
    struct ool_mempool_block *block;
    enum ool_status status;

    if (bytes == 0) {
        *out = (struct ool_block){NULL, 0, 0, 0, 0};
        return OOL_OK;
    }
    if (bytes >= OOL_TORCH_LIMIT)
        return beyond_limit(async, err);
    if (async->requested_bytes + bytes > async->limit_bytes)
        return out_of_memory(async, bytes, err);
    status = ool_mempool_alloc(async->pool, bytes, stream, &block, err);
    if (status == OOL_E_DEV_OOM && async->release->async_trims) {
        ool_mempool_trim(async->pool, 0);
        status = ool_mempool_alloc(async->pool, bytes, stream, &block, err);
    }
    if (status != OOL_OK)
        return status == OOL_E_DEV_OOM ? out_of_memory(async, bytes, err) : status;
    async->requested_bytes += bytes;
    ool_async_hand_out(block, out);
    return OOL_OK;
}

static void torch_async_free(struct ool_allocator *allocator, const struct ool_block *block)
{
    struct ool_async *async = ool_async_of(allocator);

    async->requested_bytes -= ool_mempool_requested(block->handle);
    ool_mempool_free(async->pool, block->handle);
}

static enum ool_status torch_async_set_fraction(struct ool_allocator *allocator, double fraction,
                                                struct ool_error *err)
{
    struct ool_async *async = ool_async_of(allocator);
    uint64_t free_bytes, total_bytes;

    if (!(fraction >= 0 && fraction <= 1))
        return ool_error_set(err, OOL_E_RANGE, "Invalid fraction value: %g. Allowed range: 0~1",
                             fraction);
    async->dev->ops->info(async->dev, &free_bytes, &total_bytes);
    async->limit_bytes = (uint64_t)(fraction * (double)total_bytes);
    return OOL_OK;
}

static enum ool_status torch_async_set_conf(struct ool_allocator *allocator, const char *text,
                                            struct ool_error *err)
{
    struct ool_async *async = ool_async_of(allocator);
    struct ool_torch_fault fault;

    return ool_torch_conf_parse(&async->conf, async->release, text, false, &fault, err);
}

static void torch_async_reset_peak(struct ool_allocator *allocator)
{
    ool_mempool_reset_high(ool_async_of(allocator)->pool);
}

/* The driver's four counters; PyTorch fills nothing else. */
static const struct ool_allocator_stats *torch_async_stats(struct ool_allocator *allocator)
{
    struct ool_async *async = ool_async_of(allocator);
    const struct ool_mempool_stats *pool = ool_mempool_stats(async->pool);
    struct ool_stat used = {(int64_t)pool->used, (int64_t)pool->used_high, 0, 0};
    struct ool_stat reserved = {(int64_t)pool->reserved, (int64_t)pool->reserved_high, 0, 0};

    async->stats.allocated_bytes[OOL_POOL_ALL] = used;
    async->stats.active_bytes[OOL_POOL_ALL] = used;
    async->stats.reserved_bytes[OOL_POOL_ALL] = reserved;
    return &async->stats;
}

static const struct ool_allocator_ops torch_async_ops = {
    OOL_ASYNC_COMMON_OPS,
    .alloc = torch_async_alloc,
    .free = torch_async_free,
    .set_fraction = torch_async_set_fraction,
    .set_conf = torch_async_set_conf,
    .reset_peak = torch_async_reset_peak,
    .stats = torch_async_stats,
};

enum ool_status ool_torch_async_open(const struct ool_allocator_config *config,
                                     const struct ool_torch_release *release,
                                     struct ool_device *dev, struct ool_allocator **allocator,
                                     struct ool_error *err)
{
    struct ool_mempool_config pool = {UINT64_MAX, true, true};
    struct ool_async *async;
    enum ool_status status;

    status = ool_async_new(config, &pool, &torch_async_ops, dev, &async, err);
    if (status != OOL_OK)
        return status;
    async->release = release;
    ool_torch_conf_init(&async->conf);
    async->conf.async_backend = true;
    async->limit_bytes = UINT64_MAX;
    *allocator = &async->base;
    return OOL_OK;
}
