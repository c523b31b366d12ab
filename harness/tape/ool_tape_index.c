/*
 * Subscripts: x[a, b:c, None, ...] as views, x[tensor] with the scratch of its gradient.
 */
#include "ool_tape_internal.h"

#include <string.h>

/* --- rows by number --------------------------------------------------------------------------------------- */

#define SORTED_BY_ONE_BLOCK 2304

/* The indices are sorted, so that rows which meet are added in one place. */
static void index_put_scratch(struct ool_tape *t, uint64_t n, uint64_t rows)
{
    uint64_t bits = 1, temporary = 1;
    uint32_t linear, wrapped, held[3];

    while (bits < 63 && (UINT64_C(1) << bits) < rows)
        bits++;
    if (n > SORTED_BY_ONE_BLOCK)
        temporary = ool_radix_sort_bytes(t, n, 8, 8, (bits + 7) / 8);
    wrapped = ool_scratch(t, 8 * n);
    linear = ool_scratch(t, 8 * n);
    ool_scratch_free(t, wrapped);
    for (int i = 0; i < 3; i++)
        held[i] = ool_scratch(t, 8 * n);
    ool_scratch_free(t, ool_scratch(t, temporary));
    for (int i = 3; i-- > 0;)
        ool_scratch_free(t, held[i]);
    ool_scratch_free(t, linear);
}

/* Saved: the indices. node->i: [0] n_dims, [1..8] shape of x */
static void index_backward(struct ool_tape *t, struct ool_node *node,
                           struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *ids = ool_saved(t, node, 0);
    struct ool_tensor *x = ool_zeros(t, ool_dtype(grads[0]), (int)node->i[0], &node->i[1]);

    if (t->failed)
        return;
    if (ool_numel(ids) > 0)
        index_put_scratch(t, (uint64_t)ool_numel(ids), (uint64_t)node->i[1]);
    ool_kernel_call(t, "index_add", NULL, OOL_T(grads[0], ids), OOL_T(x));
    out[0] = x;
}
static const struct ool_node_class index_class = {"IndexBackward0", index_backward, NULL};

struct ool_tensor *ool_index_rows(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *ids)
{
    struct ool_node *node;
    struct ool_tensor *y;
    int64_t shape[2 * OOL_MAX_DIMS];
    int n = 0;

    if (!ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(ids)))
        return NULL;
    if (x->n_dims < 1)
        return ool_fail(t, OOL_E_COMBINATION, "a subscript of a scalar");
    node = ool_node_make(t, &index_class, OOL_T(x));
    ool_node_save(t, node, ids);
    if (node != NULL) {
        node->i[0] = x->n_dims;
        memcpy(&node->i[1], x->shape, sizeof x->shape);
    }
    for (int i = 0; i < ids->n_dims; i++)
        shape[n++] = ids->shape[i];
    for (int i = 1; i < x->n_dims; i++)
        shape[n++] = x->shape[i];
    y = ool_make(t, ool_dtype(x), (enum ool_place)x->place, n, shape, NULL);
    ool_kernel_call(t, "index", NULL, OOL_T(x, ids), OOL_T(y));
    return ool_finish(t, node, y, OOL_T(x, ids));
}

static void index_pairs_backward(struct ool_tape *t, struct ool_node *node,
                                 struct ool_tensor *const *grads, struct ool_tensor **out)
{
    (void)node;
    (void)grads;
    (void)out;
    ool_fail(t, OOL_E_UNSUPPORTED, "the gradient of a subscript with two tensors");
}
static const struct ool_node_class index_pairs_class = {"IndexBackward0", index_pairs_backward,
                                                        NULL};

/* x[rows, columns]; a tuple lets go of its last item first */
static struct ool_tensor *index_pairs(struct ool_tape *t, struct ool_tensor *x,
                                      struct ool_tensor *rows, struct ool_tensor *columns)
{
    struct ool_node *node;
    struct ool_tensor *y;
    int64_t shape[2 * OOL_MAX_DIMS];
    int n = 0;

    if (!ool_usable(t, OOL_T(rows)) || !ool_usable(t, OOL_T(columns)))
        return NULL;
    if (x->n_dims < 2 || !ool_same_shape(rows, columns))
        return ool_fail(t, OOL_E_COMBINATION, "a subscript whose two tensors do not fit");
    node = ool_node_make(t, &index_pairs_class, OOL_T(x));
    ool_node_save(t, node, rows);
    ool_node_save(t, node, columns);
    for (int i = 0; i < rows->n_dims; i++)
        shape[n++] = rows->shape[i];
    for (int i = 2; i < x->n_dims; i++)
        shape[n++] = x->shape[i];
    y = ool_make(t, ool_dtype(x), (enum ool_place)x->place, n, shape, NULL);
    ool_kernel_call(t, "index", NULL, OOL_T(x, rows, columns), OOL_T(y));
    return ool_finish(t, node, y, OOL_T(columns, rows, x));
}

/* --- subscripts -------------------------------------------------------------------------------------------------- */

/* Dimensions that the items after @at take. */
static int dims_after(int n, const struct ool_index *items, int at)
{
    int dims = 0;

    for (int i = at + 1; i < n; i++)
        dims += items[i].kind != OOL_INDEX_NEW;
    return dims;
}

static struct ool_tensor *subscript_views(struct ool_tape *t, struct ool_tensor *x, int n,
                                          const struct ool_index *items)
{
    bool every = t->facts->full_slice_nodes;
    int dim = 0;

    for (int i = 0; i < n && x != NULL; i++) {
        switch (items[i].kind) {
        case OOL_INDEX_ALL:
            if (every)
                x = ool_slice(t, x, dim, 0, INT64_MAX);
            dim++;
            break;
        case OOL_INDEX_SLICE:
            if (every || items[i].start != 0 || items[i].end < ool_size(x, dim))
                x = ool_slice(t, x, dim, items[i].start, items[i].end);
            dim++;
            break;
        case OOL_INDEX_AT:
            x = ool_select(t, x, dim, items[i].start);
            break;
        case OOL_INDEX_NEW:
            x = ool_unsqueeze(t, x, dim++);
            break;
        case OOL_INDEX_REST:
            dim = x->n_dims - dims_after(n, items, i);
            break;
        case OOL_INDEX_TENSOR:
            return ool_fail(t, OOL_E_UNSUPPORTED, "a tensor beside other items of a subscript");
        }
    }
    return x;
}

struct ool_tensor *ool_subscript(struct ool_tape *t, struct ool_tensor *x, int n,
                                 const struct ool_index *items)
{
    struct ool_tensor *y;
    size_t scope;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (n == 1 && items[0].kind == OOL_INDEX_TENSOR)
        return ool_index_rows(t, x, items[0].tensor);
    if (n == 2 && items[0].kind == OOL_INDEX_TENSOR && items[1].kind == OOL_INDEX_TENSOR)
        return index_pairs(t, x, items[0].tensor, items[1].tensor);
    scope = ool_scope_open(t);
    y = subscript_views(t, x, n, items);
    if (y == x)
        y = ool_view(t, x, x->n_dims, x->shape);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(x));
}
