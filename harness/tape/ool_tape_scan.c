/*
 * cumsum with CUB's scratch; gather, which has no gradient here.
 */
#include "ool_tape_internal.h"

/* A scan's tile descriptors; since 2.11 one more, empty, allocation comes with them. */
uint64_t ool_scan_bytes(const struct ool_tape *t, uint64_t n, uint64_t tile, uint64_t descriptor)
{
    uint64_t tiles = (n + tile - 1) / tile + 32;
    uint64_t extra = t->facts->torch >= OOL_TORCH_2_11 ? 256 : 0;

    return 255 + (tiles * descriptor + 255) / 256 * 256 + extra;
}

/* One row is CUB's scan of the whole, with tiles of 15 or 7 elements a thread (measured with 100,000
 * and 1,000,000 elements on 8.0, 8.9 and 9.0); several rows need no scratch. */
static void scan(struct ool_tape *t, const struct ool_tensor *x, int dim)
{
    uint64_t n = (uint64_t)ool_numel(x);
    bool wide = ool_dtype_bytes(ool_dtype(x)) == 8;

    if (n == 0 || (int64_t)n != x->shape[dim])
        return;
    ool_scratch_free(t, ool_scratch(t, ool_scan_bytes(t, n, 128 * (wide ? 7 : 15), wide ? 16 : 8)));
}

static struct ool_tensor *cumsum_raw(struct ool_tape *t, struct ool_tensor *x, int dim)
{
    enum ool_dtype dtype = ool_dtype_is_float(ool_dtype(x)) ? ool_dtype(x) : OOL_I64;
    struct ool_tensor *y = ool_make_contiguous(t, x, dtype), *same;

    same = ool_to(t, x, dtype);
    if (!t->failed)
        scan(t, same, dim);
    ool_kernel_call(t, "cumsum", NULL, OOL_T(same), OOL_T(y));
    return y;
}

static struct ool_tensor *flip(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_tensor *y = t->failed ? NULL : ool_make_contiguous(t, x, ool_dtype(x));

    ool_kernel_call(t, "flip", NULL, OOL_T(x), OOL_T(y));
    return y;
}

/* grad.flip(dim).cumsum(dim).flip(dim) */
static void cumsum_backward(struct ool_tape *t, struct ool_node *node,
                            struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *flipped = flip(t, grads[0]);

    if (flipped != NULL)
        OOL_EXPRESSION(t, out[0], flip(t, cumsum_raw(t, flipped, (int)node->i[0])));
}
static const struct ool_node_class cumsum_class = {"CumsumBackward0", cumsum_backward, NULL};

struct ool_tensor *ool_cumsum(struct ool_tape *t, struct ool_tensor *x, int dim)
{
    struct ool_tensor *y, *given = x;
    bool was = ool_autocast_on(t);
    struct ool_node *node;
    size_t scope;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    dim = ool_dim(x, dim);
    if (dim < 0)
        return ool_fail(t, OOL_E_RANGE, "cumsum over a dimension that is not there");
    scope = ool_scope_open(t);
    if (was) {
        x = ool_cast_f32(t, x);
        ool_autocast_set(t, false);
    }
    node = x == NULL ? NULL : ool_node_make(t, &cumsum_class, OOL_T(x));
    if (node != NULL)
        node->i[0] = dim;
    y = t->failed ? NULL : ool_finish(t, node, cumsum_raw(t, x, dim), 0, NULL);
    ool_autocast_set(t, was);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(given));
}

struct ool_tensor *ool_gather(struct ool_tape *t, struct ool_tensor *x, int dim,
                              struct ool_tensor *index)
{
    struct ool_tensor *y;

    if (!ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(index)))
        return NULL;
    if (ool_wants_grad(t, OOL_T(x)))
        return ool_fail(t, OOL_E_UNSUPPORTED, "gather has no gradient here");
    if (ool_dim(x, dim) < 0 || x->n_dims != index->n_dims)
        return ool_fail(t, OOL_E_COMBINATION, "gather: the index does not fit");
    y = ool_make_contiguous(t, index, ool_dtype(x));
    ool_kernel_call(t, "gather", NULL, OOL_T(x, index), OOL_T(y));
    return ool_finish(t, NULL, y, OOL_T(x, index));
}
