/*
 * ool_sim.c - the simulated card: books on physical pages, addresses that only move up.
 */
#include "ool_device.h"

#include "ool_mem.h"
#include "ool_sim_small.h"

#include <inttypes.h>

#define FIRST_ADDRESS UINT64_C(0x7f0000000000)

struct sim {
    struct ool_device base;
    uint64_t total_bytes, free_bytes;
    uint64_t next_address;
    bool small_sharing;
    struct ool_sim_small small;
};

/* What n bytes take: whole pages. Saturates, so that an absurd request is refused and not wrapped. */
static uint64_t whole_pages(uint64_t bytes)
{
    uint64_t page = OOL_DEVICE_PAGE;

    return bytes > UINT64_MAX - (page - 1) ? UINT64_MAX : (bytes + page - 1) / page * page;
}

static bool take(struct sim *sim, uint64_t bytes)
{
    if (bytes > sim->free_bytes)
        return false;
    sim->free_bytes -= bytes;
    return true;
}

/* False when 64 bits of addresses are used up. */
static bool next_address(struct sim *sim, uint64_t bytes, uint64_t *address)
{
    if (bytes > UINT64_MAX - sim->next_address)
        return false;
    *address = sim->next_address;
    sim->next_address += bytes;
    return true;
}

static enum ool_status out_of_addresses(struct ool_error *err)
{
    return ool_error_set(err, OOL_E_DEVICE, "the simulated card has given out all addresses");
}

static enum ool_status alloc_small(struct sim *sim, uint64_t bytes, uint64_t *address,
                                   struct ool_error *err)
{
    uint64_t page;

    if (ool_sim_small_alloc(&sim->small, bytes, address))
        return OOL_OK;
    if (!take(sim, OOL_DEVICE_PAGE))
        return OOL_E_DEV_OOM;
    if (!next_address(sim, OOL_DEVICE_PAGE, &page)) {
        sim->free_bytes += OOL_DEVICE_PAGE;
        return out_of_addresses(err);
    }
    if (!ool_sim_small_add(&sim->small, page)) {
        sim->free_bytes += OOL_DEVICE_PAGE;
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the books of the simulated card");
    }
    (void)ool_sim_small_alloc(&sim->small, bytes, address); /* a fresh page has room */
    return OOL_OK;
}

static enum ool_status sim_alloc(struct ool_device *dev, uint64_t bytes, uint64_t *address,
                                 struct ool_error *err)
{
    struct sim *sim = (struct sim *)dev;
    uint64_t pages = whole_pages(bytes);

    if (sim->small_sharing && bytes < OOL_DEVICE_PAGE)
        return alloc_small(sim, bytes, address, err);
    if (!take(sim, pages))
        return OOL_E_DEV_OOM;
    if (!next_address(sim, pages, address)) {
        sim->free_bytes += pages;
        return out_of_addresses(err);
    }
    return OOL_OK;
}

static void sim_free(struct ool_device *dev, uint64_t address, uint64_t bytes)
{
    struct sim *sim = (struct sim *)dev;

    if (!sim->small_sharing || bytes >= OOL_DEVICE_PAGE)
        sim->free_bytes += whole_pages(bytes);
    else if (ool_sim_small_free(&sim->small, address, bytes))
        sim->free_bytes += OOL_DEVICE_PAGE;
}

static enum ool_status sim_reserve(struct ool_device *dev, uint64_t bytes, uint64_t *address,
                                   struct ool_error *err)
{
    if (!next_address((struct sim *)dev, whole_pages(bytes), address))
        return out_of_addresses(err);
    return OOL_OK;
}

static void sim_release(struct ool_device *dev, uint64_t address, uint64_t bytes)
{
    (void)dev; /* addresses are never reused */
    (void)address;
    (void)bytes;
}

static enum ool_status sim_map(struct ool_device *dev, uint64_t address, uint64_t page,
                               uint64_t n_pages, uint64_t *created, struct ool_error *err)
{
    struct sim *sim = (struct sim *)dev;
    uint64_t room = sim->free_bytes / whole_pages(page);

    (void)address;
    (void)err;
    *created = room < n_pages ? room : n_pages;
    if (room < n_pages)
        return OOL_E_DEV_OOM;
    sim->free_bytes -= n_pages * whole_pages(page);
    return OOL_OK;
}

static void sim_unmap(struct ool_device *dev, uint64_t address, uint64_t page, uint64_t n_pages)
{
    (void)address;
    ((struct sim *)dev)->free_bytes += n_pages * whole_pages(page);
}

static void sim_info(struct ool_device *dev, uint64_t *free_bytes, uint64_t *total_bytes)
{
    const struct sim *sim = (const struct sim *)dev;

    *free_bytes = sim->free_bytes;
    *total_bytes = sim->total_bytes;
}

static void sim_close(struct ool_device *dev)
{
    if (dev == NULL)
        return;
    ool_sim_small_fini(&((struct sim *)dev)->small);
    ool_free(dev);
}

static const struct ool_device_ops sim_ops = {
    .api = OOL_DEVICE_API,
    .name = "sim",
    .alloc = sim_alloc,
    .free = sim_free,
    .reserve = sim_reserve,
    .release = sim_release,
    .map = sim_map,
    .unmap = sim_unmap,
    .info = sim_info,
    .close = sim_close,
};

enum ool_status ool_sim_open(const struct ool_sim_config *config, struct ool_device **dev,
                             struct ool_error *err)
{
    struct sim *sim;

    if (config->context_bytes > config->total_bytes ||
        config->other_bytes > config->total_bytes - config->context_bytes)
        return ool_error_set(err, OOL_E_RANGE,
                             "a card of %" PRIu64 " bytes cannot hold a context of %" PRIu64
                             " and %" PRIu64 " bytes of other processes",
                             config->total_bytes, config->context_bytes, config->other_bytes);
    sim = ool_calloc(1, sizeof *sim);
    if (sim == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the simulated card");
    sim->base.ops = &sim_ops;
    sim->total_bytes = config->total_bytes;
    sim->free_bytes = config->total_bytes - config->context_bytes - config->other_bytes;
    sim->next_address = FIRST_ADDRESS;
    sim->small_sharing = config->small_sharing;
    ool_sim_small_init(&sim->small);
    *dev = &sim->base;
    return OOL_OK;
}

enum ool_status ool_sim_hold(struct ool_device *dev, uint64_t bytes, struct ool_error *err)
{
    (void)err; /* stays untouched, as for alloc */
    return take((struct sim *)dev, bytes) ? OOL_OK : OOL_E_DEV_OOM;
}

void ool_sim_give(struct ool_device *dev, uint64_t bytes)
{
    ((struct sim *)dev)->free_bytes += bytes;
}
