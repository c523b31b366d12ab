#include "ool_async.h"

#include "ool_mem.h"

#include <string.h>

static enum ool_status host_oom(struct ool_error *err)
{
    return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the allocator's books");
}

/* ---- what both kinds share ---- */

void ool_async_record_stream(struct ool_allocator *allocator, const struct ool_block *block,
                             uint32_t stream)
{
    ool_mempool_use(ool_async_of(allocator)->pool, block->handle, stream);
}

void ool_async_empty_cache(struct ool_allocator *allocator)
{
    struct ool_mempool *pool = ool_async_of(allocator)->pool;

    ool_mempool_synchronize(pool);
    ool_mempool_trim(pool, 0);
}

void ool_async_synchronize(struct ool_allocator *allocator)
{
    ool_mempool_synchronize(ool_async_of(allocator)->pool);
}

void ool_async_stream_busy(struct ool_allocator *allocator, uint32_t stream)
{
    ool_mempool_stream_busy(ool_async_of(allocator)->pool, stream);
}

void ool_async_stream_step(struct ool_allocator *allocator, uint32_t stream, uint64_t n_events)
{
    ool_mempool_stream_step(ool_async_of(allocator)->pool, stream, n_events);
}

void ool_async_stream_idle(struct ool_allocator *allocator, uint32_t stream)
{
    ool_mempool_stream_idle(ool_async_of(allocator)->pool, stream);
}

void ool_async_totals(const struct ool_allocator *allocator, uint64_t *allocated,
                      uint64_t *reserved)
{
    const struct ool_mempool_stats *pool = ool_mempool_stats(ool_async_of(allocator)->pool);

    *allocated = pool->used;
    *reserved = pool->reserved;
}

const char *ool_async_message(const struct ool_allocator *allocator)
{
    return ool_text_data(&ool_async_of(allocator)->message);
}

enum ool_status ool_async_snapshot(const struct ool_allocator *allocator,
                                   struct ool_snapshot *snapshot, struct ool_error *err)
{
    struct ool_snapshot out = {0};
    struct ool_mempool_map map;
    enum ool_status status;

    status = ool_mempool_map(ool_async_of(allocator)->pool, &map, err);
    if (status != OOL_OK)
        return status;
    out.segments = ool_calloc(map.n_runs, sizeof *out.segments);
    out.blocks = ool_calloc(map.n_pieces, sizeof *out.blocks);
    if (out.segments == NULL || out.blocks == NULL) {
        ool_mempool_map_fini(&map);
        ool_snapshot_fini(&out);
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a snapshot");
    }
    for (size_t i = 0; i < map.n_runs; i++) {
        const struct ool_mempool_run *run = &map.runs[i];
        out.segments[out.n_segments++] = (struct ool_segment_info){.address = run->address,
                                                                   .bytes = run->bytes,
                                                                   .offset = run->offset,
                                                                   .number = run->range,
                                                                   .expandable = true,
                                                                   .first_block = out.n_blocks,
                                                                   .n_blocks = run->n_pieces};
        for (size_t k = 0; k < run->n_pieces; k++) {
            const struct ool_mempool_piece *piece = &map.pieces[run->first_piece + k];
            out.blocks[out.n_blocks++] =
                (struct ool_block_info){piece->address, piece->bytes, piece->requested,
                                        piece->used      ? OOL_BLOCK_ALLOCATED
                                        : piece->pending ? OOL_BLOCK_PENDING
                                                         : OOL_BLOCK_FREE};
        }
    }
    ool_mempool_map_fini(&map);
    *snapshot = out;
    return OOL_OK;
}

void ool_async_close(struct ool_allocator *allocator)
{
    struct ool_async *async = ool_async_of(allocator);

    ool_mempool_close(async->pool);
    ool_text_fini(&async->message);
    ool_free(async);
}

enum ool_status ool_async_new(const struct ool_allocator_config *config,
                              const struct ool_mempool_config *pool_config,
                              const struct ool_allocator_ops *ops, struct ool_device *dev,
                              struct ool_async **async, struct ool_error *err)
{
    struct ool_async *made = ool_calloc(1, sizeof *made);
    enum ool_status status;

    if (made == NULL)
        return host_oom(err);
    status = ool_mempool_open(pool_config, dev, &made->pool, err);
    if (status != OOL_OK) {
        ool_free(made);
        return status;
    }
    made->base.ops = ops;
    made->dev = dev;
    made->device_index = config->device_index;
    ool_text_init(&made->message, 4096);
    *async = made;
    return OOL_OK;
}

void ool_async_hand_out(struct ool_mempool_block *block, struct ool_block *out)
{
    struct ool_mempool_place place = ool_mempool_place(block);

    *out = (struct ool_block){block, place.address, place.bytes, place.range, place.offset};
}

/* ---- cudaMallocAsync itself ---- */

static void count(struct ool_stat *stat, int64_t n)
{
    stat->current += n;
    if (n < 0)
        stat->freed -= n;
    else
        stat->allocated += n;
    if (stat->current > stat->peak)
        stat->peak = stat->current;
}

static void count_all(struct ool_async *async, int64_t n, int64_t bytes, int64_t requested)
{
    struct ool_allocator_stats *s = &async->stats;

    count(&s->allocation[OOL_POOL_ALL], n);
    count(&s->active[OOL_POOL_ALL], n);
    count(&s->allocated_bytes[OOL_POOL_ALL], bytes);
    count(&s->active_bytes[OOL_POOL_ALL], bytes);
    count(&s->requested_bytes[OOL_POOL_ALL], requested);
}

static enum ool_status out_of_memory(struct ool_async *async, uint64_t bytes, struct ool_error *err)
{
    const struct ool_mempool_stats *pool = ool_mempool_stats(async->pool);
    char wanted[OOL_SIZE_TEXT], total[OOL_SIZE_TEXT], unused[OOL_SIZE_TEXT], used[OOL_SIZE_TEXT];
    char reserved[OOL_SIZE_TEXT];
    uint64_t free_bytes, total_bytes;

    async->dev->ops->info(async->dev, &free_bytes, &total_bytes);
    async->stats.num_ooms++;
    ool_text_clear(&async->message);
    ool_text_printf(&async->message,
                    "CUDA error: out of memory. cudaMallocAsync of %s failed on GPU %d, which has "
                    "a total capacity of %s of which %s is free. The memory pool holds %s, of "
                    "which %s is in use.",
                    ool_size_print(bytes, wanted), async->device_index,
                    ool_size_print(total_bytes, total), ool_size_print(free_bytes, unused),
                    ool_size_print(pool->reserved, reserved), ool_size_print(pool->used, used));
    if (async->message.failed)
        return host_oom(err);
    return ool_error_set(err, OOL_E_DEV_OOM, "the device has no room for %s", wanted);
}

static enum ool_status async_alloc(struct ool_allocator *allocator, uint64_t bytes, uint32_t stream,
                                   struct ool_block *out, struct ool_error *err)
{
    struct ool_async *async = ool_async_of(allocator);
    struct ool_mempool_block *block;
    enum ool_status status;

    if (bytes == 0) {
        *out = (struct ool_block){NULL, 0, 0, 0, 0};
        return OOL_OK;
    }
    status = ool_mempool_alloc(async->pool, bytes, stream, &block, err);
    if (status != OOL_OK)
        return status == OOL_E_DEV_OOM ? out_of_memory(async, bytes, err) : status;
    ool_async_hand_out(block, out);
    count_all(async, 1, (int64_t)out->bytes, (int64_t)bytes);
    return OOL_OK;
}

static void async_free(struct ool_allocator *allocator, const struct ool_block *block)
{
    struct ool_async *async = ool_async_of(allocator);

    count_all(async, -1, -(int64_t)block->bytes, -(int64_t)ool_mempool_requested(block->handle));
    ool_mempool_free(async->pool, block->handle);
}

static enum ool_status async_set_fraction(struct ool_allocator *allocator, double fraction,
                                          struct ool_error *err)
{
    (void)allocator;
    (void)fraction;
    return ool_error_set(err, OOL_E_UNSUPPORTED, "cudaMallocAsync knows no memory fraction");
}

static enum ool_status async_set_conf(struct ool_allocator *allocator, const char *conf,
                                      struct ool_error *err)
{
    (void)allocator;
    return ool_error_set(err, OOL_E_UNSUPPORTED,
                         "the pool's attributes can only be set at start, found \"%.80s\"", conf);
}

static void async_reset_peak(struct ool_allocator *allocator)
{
    struct ool_async *async = ool_async_of(allocator);
    struct ool_allocator_stats *s = &async->stats;
    struct ool_stat *counters[] = {
        &s->allocation[OOL_POOL_ALL], &s->active[OOL_POOL_ALL], &s->allocated_bytes[OOL_POOL_ALL],
        &s->active_bytes[OOL_POOL_ALL], &s->requested_bytes[OOL_POOL_ALL]};

    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        counters[i]->peak = counters[i]->current;
    ool_mempool_reset_high(async->pool);
}

static const struct ool_allocator_stats *async_stats(struct ool_allocator *allocator)
{
    struct ool_async *async = ool_async_of(allocator);
    const struct ool_mempool_stats *pool = ool_mempool_stats(async->pool);
    struct ool_stat *reserved = &async->stats.reserved_bytes[OOL_POOL_ALL];

    reserved->current = (int64_t)pool->reserved;
    reserved->peak = (int64_t)pool->reserved_high;
    return &async->stats;
}

static const struct ool_allocator_ops async_ops = {
    OOL_ASYNC_COMMON_OPS,       .alloc = async_alloc,
    .free = async_free,         .set_fraction = async_set_fraction,
    .set_conf = async_set_conf, .reset_peak = async_reset_peak,
    .stats = async_stats,
};

/* ---- its settings ---- */

static enum ool_status parse_switch(const char *key, const char *value, bool *on,
                                    struct ool_error *err)
{
    *on = strcmp(value, "True") == 0;
    if (*on || strcmp(value, "False") == 0)
        return OOL_OK;
    return ool_error_set(err, OOL_E_CONF, "%s: expected True or False, found \"%.40s\"", key,
                         value);
}

static enum ool_status parse_threshold(const char *value, uint64_t *bytes, struct ool_error *err)
{
    if (strcmp(value, "max") == 0) {
        *bytes = UINT64_MAX;
        return OOL_OK;
    }
    if (ool_size_parse(value, bytes, NULL) == OOL_OK)
        return OOL_OK;
    return ool_error_set(err, OOL_E_CONF,
                         "release_threshold: expected a size such as 64MiB or max, found \"%.40s\"",
                         value);
}

/* One "key:value"; cuts the text at the colon. */
static enum ool_status parse_setting(char *setting, struct ool_mempool_config *pool,
                                     struct ool_error *err)
{
    char *value = strchr(setting, ':');

    if (value != NULL) {
        *value++ = '\0';
        if (strcmp(setting, "release_threshold") == 0)
            return parse_threshold(value, &pool->release_threshold, err);
        if (strcmp(setting, "opportunistic") == 0)
            return parse_switch(setting, value, &pool->opportunistic, err);
        if (strcmp(setting, "internal_dependencies") == 0)
            return parse_switch(setting, value, &pool->internal_dependencies, err);
    }
    return ool_error_set(err, OOL_E_CONF,
                         "unknown setting \"%.40s\": expected release_threshold, opportunistic or "
                         "internal_dependencies, each with a value",
                         setting);
}

static enum ool_status parse_settings(const char *conf, struct ool_mempool_config *pool,
                                      struct ool_error *err)
{
    char *text = ool_strdup(conf), *next;
    enum ool_status status = OOL_OK;

    if (text == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the allocator's settings");
    for (char *setting = text; status == OOL_OK && setting != NULL && *text != '\0';
         setting = next) {
        next = strchr(setting, ',');
        if (next != NULL)
            *next++ = '\0';
        status = parse_setting(setting, pool, err);
    }
    ool_free(text);
    return status;
}

/* The version only chooses what the framework above does; the pool has none. */
enum ool_status ool_async_open(const struct ool_allocator_config *config, struct ool_device *dev,
                               struct ool_allocator **allocator, struct ool_error *err)
{
    struct ool_mempool_config pool = {.opportunistic = true, .internal_dependencies = true};
    struct ool_async *async;
    enum ool_status status;

    status = parse_settings(config->conf != NULL ? config->conf : "", &pool, err);
    if (status == OOL_OK)
        status = ool_async_new(config, &pool, &async_ops, dev, &async, err);
    if (status != OOL_OK)
        return status;
    async->stats.max_split_size = -1;
    *allocator = &async->base;
    return OOL_OK;
}
