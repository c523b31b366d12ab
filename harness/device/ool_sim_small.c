#include "ool_sim_small.h"

#include "ool_device.h"
#include "ool_mem.h"

#include <assert.h>
#include <string.h>

#define UNIT UINT64_C(512)
#define UNITS ((unsigned)(OOL_DEVICE_PAGE / UNIT))

struct ool_sim_page {
    uint64_t address;
    uint64_t taken[UNITS / 64]; /* a bit a unit */
    unsigned used;              /* units; 0 = given back */
};

void ool_sim_small_init(struct ool_sim_small *small)
{
    memset(small, 0, sizeof *small);
}

void ool_sim_small_fini(struct ool_sim_small *small)
{
    ool_free(small->pages);
    ool_free(small->longest);
    ool_sim_small_init(small);
}

static unsigned units_of(uint64_t bytes)
{
    return bytes == 0 ? 1 : (unsigned)((bytes + UNIT - 1) / UNIT);
}

/* The first gap of at least `wanted` units (UNITS if none) and the longest gap of the page. */
static unsigned find_gap(const struct ool_sim_page *page, unsigned wanted, unsigned *longest)
{
    unsigned found = UNITS, run = 0;

    *longest = 0;
    for (unsigned i = 0; i < UNITS; i++) {
        if (i % 64 == 0 && page->taken[i / 64] == UINT64_MAX) {
            i += 63;
            run = 0;
            continue;
        }
        run = (page->taken[i / 64] >> i % 64 & 1) != 0 ? 0 : run + 1;
        if (run > *longest)
            *longest = run;
        if (run == wanted && found == UNITS)
            found = i + 1 - run;
    }
    return found;
}

static void mark(struct ool_sim_page *page, unsigned first, unsigned count, bool taken)
{
    for (unsigned i = first; i < first + count; i++) {
        uint64_t bit = UINT64_C(1) << i % 64;
        page->taken[i / 64] = taken ? page->taken[i / 64] | bit : page->taken[i / 64] & ~bit;
    }
    page->used = taken ? page->used + count : page->used - count;
}

static void set_longest(struct ool_sim_small *small, size_t index, unsigned units)
{
    size_t node = small->leaves + index;

    small->longest[node] = (uint16_t)units;
    for (node /= 2; node > 0; node /= 2) {
        uint16_t left = small->longest[2 * node], right = small->longest[2 * node + 1];
        small->longest[node] = left > right ? left : right;
    }
}

static void refresh(struct ool_sim_small *small, size_t index)
{
    unsigned longest;

    (void)find_gap(&small->pages[index], UNITS + 1, &longest);
    set_longest(small, index, longest);
}

bool ool_sim_small_alloc(struct ool_sim_small *small, uint64_t bytes, uint64_t *address)
{
    unsigned wanted = units_of(bytes), longest, first;
    size_t node = 1;

    if (small->leaves == 0 || small->longest[1] < wanted)
        return false;
    while (node < small->leaves)
        node = small->longest[2 * node] >= wanted ? 2 * node : 2 * node + 1;
    node -= small->leaves;
    first = find_gap(&small->pages[node], wanted, &longest);
    assert(first < UNITS);
    mark(&small->pages[node], first, wanted, true);
    refresh(small, node);
    *address = small->pages[node].address + first * UNIT;
    return true;
}

/* Room for one more page: drops those given back, or doubles. */
static bool make_room(struct ool_sim_small *small)
{
    size_t leaves = small->leaves, live = small->n_pages - small->n_dead, n = 0;
    struct ool_sim_page *pages;
    uint16_t *longest;

    if (small->n_pages < small->leaves)
        return true;
    while (leaves < 2 * (live + 1))
        leaves = leaves == 0 ? 8 : 2 * leaves;
    longest = ool_calloc(2 * leaves, sizeof *longest);
    pages = ool_reallocarray(small->pages, leaves, sizeof *pages);
    if (pages != NULL)
        small->pages = pages;
    if (pages == NULL || longest == NULL) {
        ool_free(longest);
        return false;
    }
    ool_free(small->longest);
    small->longest = longest;
    small->leaves = leaves;
    for (size_t i = 0; i < small->n_pages; i++) {
        if (pages[i].used > 0)
            pages[n++] = pages[i];
    }
    small->n_pages = n;
    small->n_dead = 0;
    for (size_t i = 0; i < n; i++)
        refresh(small, i);
    return true;
}

bool ool_sim_small_add(struct ool_sim_small *small, uint64_t address)
{
    struct ool_sim_page *page;

    if (!make_room(small))
        return false;
    page = &small->pages[small->n_pages];
    memset(page, 0, sizeof *page);
    page->address = address;
    set_longest(small, small->n_pages++, UNITS);
    return true;
}

bool ool_sim_small_free(struct ool_sim_small *small, uint64_t address, uint64_t bytes)
{
    size_t low = 0, high = small->n_pages;
    struct ool_sim_page *page;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (small->pages[middle].address <= address)
            low = middle;
        else
            high = middle;
    }
    page = &small->pages[low];
    mark(page, (unsigned)((address - page->address) / UNIT), units_of(bytes), false);
    if (page->used > 0) {
        refresh(small, low);
        return false;
    }
    set_longest(small, low, 0); /* an empty page is gone: its addresses are not used again */
    small->n_dead++;
    return true;
}
