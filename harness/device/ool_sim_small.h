/*
 * ool_sim_small.h - physical pages that allocations below 2 MiB share on the simulated card.
 *
 * Requests round up to 512 B and go to the first gap of the oldest page that has one. A page whose
 * last allocation is freed goes back to the card. The driver's exact rule is undocumented; the step of
 * 512 B was measured, and actual use is never below the sum of requests.
 */
#ifndef OOL_SIM_SMALL_H
#define OOL_SIM_SMALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ool_sim_page;

struct ool_sim_small {
    struct ool_sim_page *pages; /* by address; those given back stay until the next compaction */
    size_t n_pages, n_dead;
    uint16_t *longest; /* a max tree over the pages' longest gaps; leaves start at `leaves` */
    size_t leaves;
};

void ool_sim_small_init(struct ool_sim_small *small);
void ool_sim_small_fini(struct ool_sim_small *small);
/* False when no page has a gap that is large enough. 0 bytes count as one. */
bool ool_sim_small_alloc(struct ool_sim_small *small, uint64_t bytes, uint64_t *address);
/* A new page; its address is above all earlier ones. False when host memory is short. */
bool ool_sim_small_add(struct ool_sim_small *small, uint64_t address);
/* True when the page became empty and goes back. */
bool ool_sim_small_free(struct ool_sim_small *small, uint64_t address, uint64_t bytes);

#endif
