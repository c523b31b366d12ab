/*
 * ool_torch_block.c - block objects and the ordered sets of free blocks.
 *
 * A treap keeps its shape by a random priority for each block object, so the depth is logarithmic
 * whatever the order of requests. The random numbers come from a fixed seed.
 */
#include "ool_torch.h"

#include "ool_mem.h"

#include <string.h>

#define FIRST_SLAB 64
#define LARGEST_SLAB 4096

/* ---- block objects ---- */

static uint32_t next_random(struct ool_torch *torch)
{
    uint32_t x = torch->random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return torch->random = x;
}

static bool add_slab(struct ool_torch *torch)
{
    size_t n = torch->n_slabs < 6 ? (size_t)FIRST_SLAB << torch->n_slabs : LARGEST_SLAB;
    struct ool_torch_block *blocks;

    if (!ool_grow(&torch->slabs, &torch->slabs_capacity, torch->n_slabs, sizeof *torch->slabs))
        return false;
    blocks = ool_reallocarray(NULL, n, sizeof *blocks);
    if (blocks == NULL)
        return false;
    torch->slabs[torch->n_slabs++] = blocks;
    for (size_t i = n; i-- > 0;) {
        memset(&blocks[i], 0, sizeof blocks[i]);
        blocks[i].priority = next_random(torch);
        blocks[i].next = torch->spare_blocks;
        torch->spare_blocks = &blocks[i];
    }
    torch->n_spare_blocks += n;
    return true;
}

bool ool_torch_blocks_add(struct ool_torch *torch, size_t n)
{
    while (torch->n_spare_blocks < n) {
        if (!add_slab(torch))
            return false;
    }
    return true;
}

/* ---- treaps ---- */

static inline bool by_size(const struct ool_torch_block *a, const struct ool_torch_block *b)
{
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes;
    return a->order != b->order ? a->order < b->order : a->address < b->address;
}

static inline bool by_address(const struct ool_torch_block *a, const struct ool_torch_block *b)
{
    return a->address < b->address;
}

typedef bool before_fn(const struct ool_torch_block *, const struct ool_torch_block *);

static inline void treap_insert(struct ool_torch_block **link, struct ool_torch_block *block,
                                before_fn *before)
{
    struct ool_torch_block *rest, **left = &block->left, **right = &block->right;

    while (*link != NULL && (*link)->priority >= block->priority)
        link = before(block, *link) ? &(*link)->left : &(*link)->right;
    rest = *link;
    *link = block;
    while (rest != NULL) { /* what was below goes to both sides of the new block */
        if (before(rest, block)) {
            *left = rest;
            left = &rest->right;
            rest = rest->right;
        } else {
            *right = rest;
            right = &rest->left;
            rest = rest->left;
        }
    }
    *left = *right = NULL;
}

static inline void treap_remove(struct ool_torch_block **link, struct ool_torch_block *block,
                                before_fn *before)
{
    struct ool_torch_block *left = block->left, *right = block->right;

    while (*link != block)
        link = before(block, *link) ? &(*link)->left : &(*link)->right;
    while (left != NULL && right != NULL) {
        if (left->priority >= right->priority) {
            *link = left;
            link = &left->right;
            left = left->right;
        } else {
            *link = right;
            link = &right->left;
            right = right->left;
        }
    }
    *link = left != NULL ? left : right;
}

static struct ool_torch_block *leftmost(struct ool_torch_block *block)
{
    while (block != NULL && block->left != NULL)
        block = block->left;
    return block;
}

static struct ool_torch_block *rightmost(struct ool_torch_block *block)
{
    while (block != NULL && block->right != NULL)
        block = block->right;
    return block;
}

/* ---- heaps ---- */

static inline unsigned bin_of(uint64_t bytes)
{
    unsigned power = 63 - (unsigned)__builtin_clzll(bytes | 8);

    return power * 8 + (unsigned)(bytes >> (power - 3) & 7);
}

/* The first occupied bin from `bin` on; OOL_TORCH_BINS if there is none. */
static inline unsigned occupied_from(const struct ool_torch_heap *heap, unsigned bin)
{
    unsigned word = bin / 64;
    uint64_t bits;

    if (word >= OOL_TORCH_BIN_WORDS)
        return OOL_TORCH_BINS;
    bits = heap->occupied[word] & UINT64_MAX << bin % 64;
    while (bits == 0) {
        if (++word == OOL_TORCH_BIN_WORDS)
            return OOL_TORCH_BINS;
        bits = heap->occupied[word];
    }
    return word * 64 + (unsigned)__builtin_ctzll(bits);
}

/* The last occupied bin below `bin`; OOL_TORCH_BINS if there is none. */
static unsigned occupied_below(const struct ool_torch_heap *heap, unsigned bin)
{
    while (bin-- > 0) {
        if ((heap->occupied[bin / 64] >> bin % 64 & 1) != 0)
            return bin;
    }
    return OOL_TORCH_BINS;
}

static struct ool_torch_block *first_from(const struct ool_torch_heap *heap, unsigned bin)
{
    bin = occupied_from(heap, bin);
    return bin == OOL_TORCH_BINS ? NULL : leftmost(heap->bins[bin]);
}

void ool_torch_heap_insert(struct ool_torch *torch, struct ool_torch_block *block)
{
    struct ool_torch_heap *heap = block->heap;
    unsigned bin = bin_of(block->bytes);

    block->born = torch->n_searches[heap->small];
    heap->occupied[bin / 64] |= UINT64_C(1) << bin % 64;
    treap_insert(&heap->bins[bin], block, by_size);
}

void ool_torch_heap_remove(struct ool_torch_block *block)
{
    struct ool_torch_heap *heap = block->heap;
    unsigned bin = bin_of(block->bytes);

    treap_remove(&heap->bins[bin], block, by_size);
    if (heap->bins[bin] == NULL)
        heap->occupied[bin / 64] &= ~(UINT64_C(1) << bin % 64);
}

struct ool_torch_block *ool_torch_heap_find(const struct ool_torch_heap *heap, uint64_t bytes)
{
    unsigned bin = bin_of(bytes);
    struct ool_torch_block *best = NULL;

    for (struct ool_torch_block *at = heap->bins[bin]; at != NULL;) {
        if (at->bytes >= bytes) {
            best = at;
            at = at->left;
        } else {
            at = at->right;
        }
    }
    return best != NULL ? best : first_from(heap, bin + 1);
}

struct ool_torch_block *ool_torch_heap_next(const struct ool_torch_block *block)
{
    unsigned bin = bin_of(block->bytes);
    struct ool_torch_block *best = NULL;

    for (struct ool_torch_block *at = block->heap->bins[bin]; at != NULL;) {
        if (by_size(block, at)) {
            best = at;
            at = at->left;
        } else {
            at = at->right;
        }
    }
    return best != NULL ? best : first_from(block->heap, bin + 1);
}

/* The last block of the heap that is smaller than `bytes`, or as large and before `block`. */
static struct ool_torch_block *last_before(const struct ool_torch_heap *heap, uint64_t bytes,
                                           const struct ool_torch_block *block)
{
    unsigned bin = bin_of(bytes);
    struct ool_torch_block *best = NULL;

    for (struct ool_torch_block *at = heap->bins[bin]; at != NULL;) {
        if (block != NULL ? by_size(at, block) : at->bytes < bytes) {
            best = at;
            at = at->right;
        } else {
            at = at->left;
        }
    }
    if (best != NULL)
        return best;
    bin = occupied_below(heap, bin);
    return bin == OOL_TORCH_BINS ? NULL : rightmost(heap->bins[bin]);
}

struct ool_torch_block *ool_torch_heap_below(const struct ool_torch_heap *heap, uint64_t bytes)
{
    return last_before(heap, bytes, NULL);
}

struct ool_torch_block *ool_torch_heap_prev(const struct ool_torch_block *block)
{
    return last_before(block->heap, block->bytes, block);
}

void ool_torch_unmapped_insert(struct ool_torch_block *block)
{
    treap_insert(&block->heap->unmapped, block, by_address);
}

void ool_torch_unmapped_remove(struct ool_torch_block *block)
{
    treap_remove(&block->heap->unmapped, block, by_address);
}

struct ool_torch_block *ool_torch_unmapped_after(const struct ool_torch_heap *heap,
                                                 uint64_t address)
{
    struct ool_torch_block *best = NULL;

    for (struct ool_torch_block *at = heap->unmapped; at != NULL;) {
        if (at->address > address) {
            best = at;
            at = at->left;
        } else {
            at = at->right;
        }
    }
    return best;
}

uint64_t ool_torch_block_absorb(struct ool_torch *torch, struct ool_torch_block *block,
                                struct ool_torch_block *neighbour)
{
    uint64_t bytes;

    if (neighbour == NULL || neighbour->allocated || neighbour->n_events > 0 ||
        neighbour->uses != NULL || neighbour->unmapped != block->unmapped)
        return 0;
    bytes = neighbour->bytes;
    if (neighbour->unmapped)
        ool_torch_unmapped_remove(neighbour);
    else
        ool_torch_heap_remove(neighbour);
    if (neighbour == block->prev) {
        block->address = neighbour->address;
        ool_torch_block_link(neighbour->prev, block, block->next);
    } else {
        ool_torch_block_link(block->prev, block, neighbour->next);
    }
    block->bytes += bytes;
    ool_torch_block_delete(torch, neighbour);
    return bytes;
}
