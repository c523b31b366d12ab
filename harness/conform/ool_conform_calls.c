#include "ool_conform_calls.h"

#include "ool_mem.h"

#include <string.h>

static void note(struct ool_calls *calls, char kind, int n, uint64_t a, uint64_t b, uint64_t c)
{
    if (!ool_grow(&calls->calls, &calls->calls_capacity, calls->n_calls, sizeof *calls->calls)) {
        calls->failed = true;
        return;
    }
    calls->calls[calls->n_calls++] = (struct ool_call){kind, n, {a, b, c}};
}

static size_t segment_of(const struct ool_calls *calls, uint64_t address)
{
    size_t low = 0, high = calls->n_ranges;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (calls->ranges[middle].address <= address)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void note_range(struct ool_calls *calls, char kind, uint64_t address, uint64_t bytes)
{
    if (!ool_grow(&calls->ranges, &calls->ranges_capacity, calls->n_ranges,
                  sizeof *calls->ranges)) {
        calls->failed = true;
        return;
    }
    calls->ranges[calls->n_ranges] = (struct ool_call_range){address, bytes};
    note(calls, kind, 2, bytes, calls->n_ranges++, 0);
}

static void note_pages(struct ool_calls *calls, char kind, uint64_t address, uint64_t bytes)
{
    size_t segment = segment_of(calls, address);

    if (calls->n_ranges > 0)
        note(calls, kind, 3, segment, address - calls->ranges[segment].address, bytes);
}

static enum ool_status calls_alloc(struct ool_device *dev, uint64_t bytes, uint64_t *address,
                                   struct ool_error *err)
{
    struct ool_calls *calls = (struct ool_calls *)dev;
    enum ool_status status = calls->inner->ops->alloc(calls->inner, bytes, address, err);

    if (status == OOL_OK)
        note_range(calls, 'M', *address, bytes);
    else
        note(calls, 'm', 1, bytes, 0, 0);
    return status;
}

static void calls_free(struct ool_device *dev, uint64_t address, uint64_t bytes)
{
    struct ool_calls *calls = (struct ool_calls *)dev;

    note(calls, 'F', 1, segment_of(calls, address), 0, 0);
    calls->inner->ops->free(calls->inner, address, bytes);
}

static enum ool_status calls_reserve(struct ool_device *dev, uint64_t bytes, uint64_t *address,
                                     struct ool_error *err)
{
    struct ool_calls *calls = (struct ool_calls *)dev;
    enum ool_status status = calls->inner->ops->reserve(calls->inner, bytes, address, err);

    if (status == OOL_OK)
        note_range(calls, 'R', *address, bytes);
    return status;
}

static void calls_release(struct ool_device *dev, uint64_t address, uint64_t bytes)
{
    struct ool_calls *calls = (struct ool_calls *)dev;

    note(calls, 'A', 1, segment_of(calls, address), 0, 0);
    calls->inner->ops->release(calls->inner, address, bytes);
}

static enum ool_status calls_map(struct ool_device *dev, uint64_t address, uint64_t page,
                                 uint64_t n_pages, uint64_t *created, struct ool_error *err)
{
    struct ool_calls *calls = (struct ool_calls *)dev;
    enum ool_status status =
        calls->inner->ops->map(calls->inner, address, page, n_pages, created, err);

    if (status == OOL_OK)
        note_pages(calls, '+', address, page * n_pages);
    else if (status == OOL_E_DEV_OOM)
        note(calls, 'x', 2, *created, page, 0);
    return status;
}

static void calls_unmap(struct ool_device *dev, uint64_t address, uint64_t page, uint64_t n_pages)
{
    struct ool_calls *calls = (struct ool_calls *)dev;

    note_pages(calls, '-', address, page * n_pages);
    calls->inner->ops->unmap(calls->inner, address, page, n_pages);
}

static void calls_info(struct ool_device *dev, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct ool_calls *calls = (struct ool_calls *)dev;

    calls->inner->ops->info(calls->inner, free_bytes, total_bytes);
}

static void calls_close(struct ool_device *dev)
{
    (void)dev; /* the caller has ool_calls_fini() */
}

static const struct ool_device_ops calls_ops = {
    .api = OOL_DEVICE_API,
    .name = "calls",
    .alloc = calls_alloc,
    .free = calls_free,
    .reserve = calls_reserve,
    .release = calls_release,
    .map = calls_map,
    .unmap = calls_unmap,
    .info = calls_info,
    .close = calls_close,
};

void ool_calls_init(struct ool_calls *calls, struct ool_device *inner)
{
    memset(calls, 0, sizeof *calls);
    calls->base.ops = &calls_ops;
    calls->inner = inner;
}

void ool_calls_fini(struct ool_calls *calls)
{
    ool_free(calls->calls);
    ool_free(calls->ranges);
    memset(calls, 0, sizeof *calls);
}

void ool_calls_clear(struct ool_calls *calls)
{
    calls->n_calls = 0;
}
