/*
 * ool_device.h - what owns memory: the raw interface under every allocator.
 *
 * One device is one card. `sim` keeps books on physical pages the way the driver does; `host` and
 * `cuda` (later) hand out real memory through the same slots. Several processes share a device: each
 * is a client with a context of its own.
 */
#ifndef OOL_DEVICE_H
#define OOL_DEVICE_H

#include "ool_error.h"

#include <stdbool.h>
#include <stdint.h>

#define OOL_DEVICE_API 1
#define OOL_DEVICE_PAGE (UINT64_C(2) << 20) /* physical pages of the driver: 2 MiB */

struct ool_device;

struct ool_device_ops {
    int api;          /* OOL_DEVICE_API */
    const char *name; /* "sim", "host", "cuda" */

    /* cudaMalloc. OOL_E_DEV_OOM: no room, the allocator may recover (and err stays untouched, so a
     * recovered failure leaves no trace); any other error ends the run. */
    enum ool_status (*alloc)(struct ool_device *dev, uint64_t bytes, uint64_t *address,
                             struct ool_error *err);
    /* cudaFree of what alloc gave. */
    void (*free)(struct ool_device *dev, uint64_t address, uint64_t bytes);

    /* cuMemAddressReserve / cuMemAddressFree: addresses without memory. */
    enum ool_status (*reserve)(struct ool_device *dev, uint64_t bytes, uint64_t *address,
                               struct ool_error *err);
    void (*release)(struct ool_device *dev, uint64_t address, uint64_t bytes);

    /* cuMemCreate + cuMemMap, one handle a page of `page` bytes, `n_pages` from `address`. All or
     * nothing: when page k is refused, the k pages of this call are given back, *created = k, and
     * the answer is OOL_E_DEV_OOM. */
    enum ool_status (*map)(struct ool_device *dev, uint64_t address, uint64_t page,
                           uint64_t n_pages, uint64_t *created, struct ool_error *err);
    void (*unmap)(struct ool_device *dev, uint64_t address, uint64_t page, uint64_t n_pages);

    /* cudaMemGetInfo: bytes free on the card, for everybody, and its total. */
    void (*info)(struct ool_device *dev, uint64_t *free_bytes, uint64_t *total_bytes);

    void (*close)(struct ool_device *dev); /* NULL is fine */
};

struct ool_device {
    const struct ool_device_ops *ops;
};

/*
 * The simulated card. Physical memory is counted in pages of 2 MiB; alloc(n) takes n rounded up to
 * 2 MiB and fails iff that is more than what is free, the same for each page of map. Addresses come
 * from a pointer that moves up in steps of 2 MiB and are never reused. Small cudaMallocs (below
 * 2 MiB, which no caching allocator makes) share pages when `small_sharing` is set, as the driver's
 * do; the recorded truth never needs it.
 */
struct ool_sim_config {
    uint64_t total_bytes;   /* as the driver reports it; need not be a multiple of a page */
    uint64_t context_bytes; /* taken by the first process before its first allocation */
    uint64_t other_bytes;   /* held by other processes for the whole run */
    bool small_sharing;
};

enum ool_status ool_sim_open(const struct ool_sim_config *config, struct ool_device **dev,
                             struct ool_error *err);

/* Memory that something outside the allocators takes or returns (contexts, other processes). */
enum ool_status ool_sim_hold(struct ool_device *dev, uint64_t bytes, struct ool_error *err);
void ool_sim_give(struct ool_device *dev, uint64_t bytes);

#endif
