/*
 * ool_mempool_internal.h - the parts of a stream-ordered pool; private to this folder.
 */
#ifndef OOL_MEMPOOL_INTERNAL_H
#define OOL_MEMPOOL_INTERNAL_H

#include "ool_mempool.h"

struct ool_mempool_stream;

struct ool_mempool_range {
    uint64_t address, bytes;
    uint64_t n_mapped; /* granules */
    uint32_t number;
};

/* One use of a block by a stream; at the free, the event that the free waits for. */
struct ool_mempool_use {
    struct ool_mempool_stream *stream;
    uint64_t event;
};

struct ool_mempool_block {
    uint64_t address, bytes;
    uint64_t requested; /* 0 = free */
    struct ool_mempool_range *range;
    struct ool_mempool_block *prev, *next;   /* adjacent and backed */
    struct ool_mempool_block *older, *newer; /* all blocks */
    struct ool_mempool_stream *stream; /* of the request; once free, of the free, NULL = complete */

    struct ool_mempool_block *left, *right; /* in a tree */
    uint32_t priority;
    struct ool_mempool_block *whole_prev, *whole_next; /* those of a tree that hold a granule */
    uint64_t event;                           /* of its stream, while the free is pending */
    struct ool_mempool_block *before, *after; /* in the stream's queue */

    struct ool_mempool_use *uses; /* besides the request's stream */
    size_t n_uses, uses_capacity;
};

/* Free blocks by bytes, then address. */
struct ool_mempool_tree {
    struct ool_mempool_block *root;
    struct ool_mempool_block
        *whole;          /* the blocks that hold a whole granule, the last one in first */
    uint64_t n_granules; /* how many they hold */
};

/* The first granule of its range that lies wholly in the block, and how many do. */
uint64_t ool_mempool_granules(const struct ool_mempool_block *block, uint64_t *first);

void ool_mempool_tree_insert(struct ool_mempool_tree *tree, struct ool_mempool_block *block);
void ool_mempool_tree_remove(struct ool_mempool_tree *tree, struct ool_mempool_block *block);
/* The smallest block of at least so many bytes, or NULL. */
struct ool_mempool_block *ool_mempool_tree_find(const struct ool_mempool_tree *tree,
                                                uint64_t bytes);

#endif
