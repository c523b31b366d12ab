/*
 * Embedding and its backward, with the scratch of sorting the indices.
 *
 * Source: ATen's Embedding.cu and EmbeddingBackwardKernel.cu for the order; CUB's dispatch layers
 * for the sizes of the temporary storage (aliases of 256-byte blocks, 255 bytes of slack); the tile
 * sizes by recording the sizes for 3,073 to 2,000,000 indices on each kind of card.
 */
#include "ool_tape_internal.h"

#define ATOMIC_INDICES 3072 /* up to here a kernel that needs no sorting */
#define ROWS_PER_PART 10

static uint64_t divide_up(uint64_t x, uint64_t by)
{
    return (x + by - 1) / by;
}

/* --- CUB's temporary storage -------------------------------------------------------------------------- */

static uint64_t bits(uint64_t x)
{
    uint64_t n = 0;

    for (; x != 0; x >>= 1)
        n++;
    return n;
}

/* Since 2.13 only the bits of the vocabulary are sorted. */
static uint64_t sort_bytes(const struct ool_tape *t, uint64_t n, uint64_t vocabulary)
{
    return ool_radix_sort_bytes(
        t, n, 8, 8, t->facts->torch >= OOL_TORCH_2_13 ? divide_up(bits(vocabulary), 8) : 8);
}

static uint64_t unique_bytes(const struct ool_tape *t, uint64_t n)
{
    bool tuned = t->facts->torch >= OOL_TORCH_2_6, newer = t->facts->torch >= OOL_TORCH_2_13;
    uint64_t tile = 64 * 5;

    if (tuned && t->capability >= 90 && t->capability < 120)
        tile = newer ? 448 * 11 : 640 * 7;
    else if (tuned && t->capability == 80)
        tile = newer ? 192 * 7 : 256 * 7;
    return ool_scan_bytes(t, n, tile, t->facts->torch >= OOL_TORCH_2_8 ? 16 : 8);
}

static uint64_t offsets_bytes(const struct ool_tape *t, uint64_t n)
{
    return ool_scan_bytes(t, n, 128 * 7, 16);
}

/* --- backward ------------------------------------------------------------------------------------------- */

struct ids {
    uint64_t n, vocabulary, width;
    enum ool_dtype dtype;
};

/* Few blocks of threads for the card and many partial sums for each: the partial sums go straight
 * into the result. A row takes whole warps, a block at most 1,024 threads. */
static bool sums_directly(const struct ool_tape *t, const struct ids *ids, uint64_t segments)
{
    uint64_t threads = divide_up(ids->width, 32) * 32;
    uint64_t blocks = divide_up(segments * threads, threads < 1024 ? threads : 1024);

    return t->facts->torch >= OOL_TORCH_2_11 && blocks < 4 * (uint64_t)t->multiprocessors &&
           4 * blocks < ids->n / ROWS_PER_PART + segments;
}

/* Sums of up to ten rows each, then of those; all its scratch lives until it returns. */
static struct ool_tensor *sum_segments(struct ool_tape *t, const struct ids *ids,
                                       struct ool_tensor *weight)
{
    struct ool_tensor *dw = ool_make_contiguous(t, weight, ids->dtype);
    uint64_t segments = ids->n < ids->vocabulary ? ids->n : ids->vocabulary;
    uint64_t parts = ids->n / ROWS_PER_PART + segments;
    uint32_t held[8], n_held = 0, aggregates, temporary;

    held[n_held++] = ool_scratch(t, 8 * ids->n); /* where each segment starts */
    held[n_held++] = ool_scratch(t, 8);          /* how many there are */
    aggregates = ool_scratch(t, 8 * ids->n);
    temporary = ool_scratch(t, unique_bytes(t, ids->n));
    ool_scratch_free(t, temporary);
    ool_scratch_free(t, aggregates);
    held[n_held++] = ool_scratch(t, 8 * segments); /* parts of each segment */
    held[n_held++] = ool_scratch(t, 8 * segments); /* and their offsets */
    temporary = ool_scratch(t, offsets_bytes(t, segments));
    ool_scratch_free(t, temporary);
    held[n_held++] = ool_scratch(t, 8);
    held[n_held++] = ool_scratch(t, 8 * parts);
    if (sums_directly(t, ids, segments)) {
        held[n_held++] = ool_scratch(t, 8 * parts);
        if (ids->dtype == OOL_F16 || ids->dtype == OOL_BF16)
            held[n_held++] = ool_scratch(t, ids->vocabulary * ids->width * 4);
    } else {
        held[n_held++] =
            ool_scratch(t, parts * ids->width * ool_dtype_bytes(ool_accumulate_type(ids->dtype)));
    }
    while (n_held > 0)
        ool_scratch_free(t, held[--n_held]);
    return dw;
}

static struct ool_tensor *sort_and_sum(struct ool_tape *t, const struct ids *ids,
                                       struct ool_tensor *weight)
{
    uint32_t sorted = ool_scratch(t, 8 * ids->n);
    uint32_t original = ool_scratch(t, 8 * ids->n);
    uint32_t range = ool_scratch(t, 8 * ids->n);
    uint32_t temporary = ool_scratch(t, sort_bytes(t, ids->n, ids->vocabulary));
    struct ool_tensor *dw;

    ool_scratch_free(t, temporary);
    ool_scratch_free(t, range);
    dw = sum_segments(t, ids, weight);
    ool_scratch_free(t, original);
    ool_scratch_free(t, sorted);
    return dw;
}

/* node->i: rows and columns of the weight; no storage of it is needed, so none is kept. */
static void embedding_backward(struct ool_tape *t, struct ool_node *node,
                               struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *indices = ool_saved(t, node, 0);
    struct ool_tensor shape = {.n_dims = 2, .shape = {node->i[0], node->i[1]}};
    struct ool_tensor *grad = grads[0], *copy = NULL, *index_copy = NULL;
    struct ids ids;

    if (!ool_needs(node, 0) || grad == NULL || indices == NULL)
        return;
    ids = (struct ids){(uint64_t)ool_numel(indices), (uint64_t)node->i[0], (uint64_t)node->i[1],
                       (enum ool_dtype)grad->dtype};
    if (!ool_is_contiguous(grad))
        ool_set(t, &copy, ool_make_contiguous(t, grad, ids.dtype));
    if (!ool_is_contiguous(indices))
        ool_set(t, &index_copy, ool_make_contiguous(t, indices, (enum ool_dtype)indices->dtype));
    if (ids.n <= ATOMIC_INDICES)
        out[0] = ool_make_contiguous(t, &shape, ids.dtype);
    else
        out[0] = sort_and_sum(t, &ids, &shape);
    ool_kernel_call(t, "embedding_backward", NULL, 2, (struct ool_tensor *[]){grad, indices}, 1,
                    &out[0]);
    ool_del(t, &index_copy);
    ool_del(t, &copy);
}

static const struct ool_node_class embedding_class = {"EmbeddingBackward0", embedding_backward,
                                                      NULL};

/* --- forward -------------------------------------------------------------------------------------------- */

/* Can it be seen as one dimension? An expanded column can, at a stride of 0. */
static bool is_flat(const struct ool_tensor *ids)
{
    int64_t stride = 0;
    bool first = true;

    for (int i = ids->n_dims - 1; i >= 0; i--) {
        if (ids->shape[i] == 1)
            continue;
        if (!first && ids->strides[i] != stride)
            return false;
        stride = ids->strides[i] * ids->shape[i];
        first = false;
    }
    return true;
}

struct ool_tensor *ool_embedding(struct ool_tape *t, struct ool_tensor *ids, struct ool_tensor *w,
                                 bool padding)
{
    struct ool_node *node;
    struct ool_tensor *y, *index_copy = NULL;
    int64_t shape[OOL_MAX_DIMS + 1];

    if (!ool_usable(t, OOL_T(ids, w)))
        return NULL;
    if (w == NULL || w->n_dims != 2 || ids->n_dims >= OOL_MAX_DIMS)
        return ool_fail(t, OOL_E_COMBINATION, "embedding needs indices and a matrix");
    for (int i = 0; i < ids->n_dims; i++)
        shape[i] = ids->shape[i];
    shape[ids->n_dims] = w->shape[1];
    node = ool_node_make(t, &embedding_class, OOL_T(w));
    ool_node_save(t, node, ids);
    if (node != NULL) {
        node->i[0] = w->shape[0];
        node->i[1] = w->shape[1];
    }
    if (!is_flat(ids)) /* index_select of a flat list */
        ool_set(t, &index_copy, ool_make_contiguous(t, ids, (enum ool_dtype)ids->dtype));
    y = ool_make(t, (enum ool_dtype)w->dtype, OOL_PLACE_DEVICE, ids->n_dims + 1, shape, NULL);
    ool_kernel_call(t, "embedding", padding ? "padding=0" : NULL, 2,
                    (struct ool_tensor *[]){ids, w}, 1, &y);
    ool_del(t, &index_copy);
    return ool_finish(t, node, y, OOL_T(ids, w));
}
