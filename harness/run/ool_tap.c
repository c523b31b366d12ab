#include "ool_tap.h"

#include "ool_mem.h"

struct tap {
    struct ool_device base;
    struct ool_device *inner;
    const struct ool_run_observer *observer;
};

static struct tap *tap_of(struct ool_device *dev)
{
    return (struct tap *)dev;
}

static enum ool_status tap_alloc(struct ool_device *dev, uint64_t bytes, uint64_t *address,
                                 struct ool_error *err)
{
    struct tap *tap = tap_of(dev);
    enum ool_status status = tap->inner->ops->alloc(tap->inner, bytes, address, err);

    if (status == OOL_OK)
        tap->observer->segment(tap->observer->state, bytes, true);
    return status;
}

static void tap_free(struct ool_device *dev, uint64_t address, uint64_t bytes)
{
    struct tap *tap = tap_of(dev);

    tap->inner->ops->free(tap->inner, address, bytes);
    tap->observer->segment(tap->observer->state, bytes, false);
}

static enum ool_status tap_reserve(struct ool_device *dev, uint64_t bytes, uint64_t *address,
                                   struct ool_error *err)
{
    struct ool_device *inner = tap_of(dev)->inner;

    return inner->ops->reserve(inner, bytes, address, err);
}

static void tap_release(struct ool_device *dev, uint64_t address, uint64_t bytes)
{
    struct ool_device *inner = tap_of(dev)->inner;

    inner->ops->release(inner, address, bytes);
}

static enum ool_status tap_map(struct ool_device *dev, uint64_t address, uint64_t page,
                               uint64_t n_pages, uint64_t *created, struct ool_error *err)
{
    struct ool_device *inner = tap_of(dev)->inner;

    return inner->ops->map(inner, address, page, n_pages, created, err);
}

static void tap_unmap(struct ool_device *dev, uint64_t address, uint64_t page, uint64_t n_pages)
{
    struct ool_device *inner = tap_of(dev)->inner;

    inner->ops->unmap(inner, address, page, n_pages);
}

static void tap_info(struct ool_device *dev, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct ool_device *inner = tap_of(dev)->inner;

    inner->ops->info(inner, free_bytes, total_bytes);
}

static void tap_close(struct ool_device *dev)
{
    ool_free(dev);
}

static const struct ool_device_ops tap_ops = {
    .api = OOL_DEVICE_API,
    .name = "tap",
    .alloc = tap_alloc,
    .free = tap_free,
    .reserve = tap_reserve,
    .release = tap_release,
    .map = tap_map,
    .unmap = tap_unmap,
    .info = tap_info,
    .close = tap_close,
};

enum ool_status ool_tap_open(struct ool_device *inner, const struct ool_run_observer *observer,
                             struct ool_device **dev, struct ool_error *err)
{
    struct tap *tap = ool_calloc(1, sizeof *tap);

    if (tap == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory to observe the card");
    tap->base.ops = &tap_ops;
    tap->inner = inner;
    tap->observer = observer;
    *dev = &tap->base;
    return OOL_OK;
}
