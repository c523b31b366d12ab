/*
 * ool_mempool_tree.c - the free blocks of a pool in order: a treap.
 */
#include "ool_mempool_internal.h"

uint64_t ool_mempool_granules(const struct ool_mempool_block *block, uint64_t *first)
{
    uint64_t granule = OOL_MEMPOOL_GRANULE, offset = block->address - block->range->address;
    uint64_t end = (offset + block->bytes) / granule;

    *first = (offset + granule - 1) / granule;
    return end > *first ? end - *first : 0;
}

static bool comes_before(const struct ool_mempool_block *a, const struct ool_mempool_block *b)
{
    return a->bytes != b->bytes ? a->bytes < b->bytes : a->address < b->address;
}

/* The blocks of a tree before @pivot, and the others. */
static void split(struct ool_mempool_block *root, const struct ool_mempool_block *pivot,
                  struct ool_mempool_block **low, struct ool_mempool_block **high)
{
    while (root != NULL) {
        if (comes_before(root, pivot)) {
            *low = root;
            low = &root->right;
            root = root->right;
        } else {
            *high = root;
            high = &root->left;
            root = root->left;
        }
    }
    *low = *high = NULL;
}

static void count_granules(struct ool_mempool_tree *tree, struct ool_mempool_block *block)
{
    uint64_t first, n = ool_mempool_granules(block, &first);

    if (n == 0)
        return;
    tree->n_granules += n;
    block->whole_prev = NULL;
    block->whole_next = tree->whole;
    if (tree->whole != NULL)
        tree->whole->whole_prev = block;
    tree->whole = block;
}

static void discount_granules(struct ool_mempool_tree *tree, struct ool_mempool_block *block)
{
    uint64_t first, n = ool_mempool_granules(block, &first);

    if (n == 0)
        return;
    tree->n_granules -= n;
    if (block->whole_prev != NULL)
        block->whole_prev->whole_next = block->whole_next;
    else
        tree->whole = block->whole_next;
    if (block->whole_next != NULL)
        block->whole_next->whole_prev = block->whole_prev;
}

void ool_mempool_tree_insert(struct ool_mempool_tree *tree, struct ool_mempool_block *block)
{
    struct ool_mempool_block **at = &tree->root;

    while (*at != NULL && (*at)->priority >= block->priority)
        at = comes_before(*at, block) ? &(*at)->right : &(*at)->left;
    split(*at, block, &block->left, &block->right);
    *at = block;
    count_granules(tree, block);
}

void ool_mempool_tree_remove(struct ool_mempool_tree *tree, struct ool_mempool_block *block)
{
    struct ool_mempool_block **at = &tree->root, *low = block->left, *high = block->right;

    while (*at != block)
        at = comes_before(*at, block) ? &(*at)->right : &(*at)->left;
    while (low != NULL && high != NULL) {
        if (low->priority >= high->priority) {
            *at = low;
            at = &low->right;
            low = low->right;
        } else {
            *at = high;
            at = &high->left;
            high = high->left;
        }
    }
    *at = low != NULL ? low : high;
    discount_granules(tree, block);
}

struct ool_mempool_block *ool_mempool_tree_find(const struct ool_mempool_tree *tree, uint64_t bytes)
{
    struct ool_mempool_block *block = tree->root, *best = NULL;

    while (block != NULL) {
        if (block->bytes >= bytes) {
            best = block;
            block = block->left;
        } else {
            block = block->right;
        }
    }
    return best;
}
