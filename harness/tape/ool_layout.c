/*
 * Shapes, strides and types: what PyTorch's TensorIterator decides about an operator's output.
 */
#include "ool_tape_internal.h"

#include <string.h>

void ool_contiguous_strides(int n_dims, const int64_t *shape, int64_t *strides)
{
    int64_t step = 1;

    for (int i = n_dims; i-- > 0;) {
        strides[i] = step;
        step *= shape[i] > 1 ? shape[i] : 1;
    }
}

int64_t ool_numel(const struct ool_tensor *x)
{
    int64_t n = 1;

    if (x == NULL)
        return 0;
    for (int i = 0; i < x->n_dims; i++)
        n *= x->shape[i];
    return n;
}

bool ool_is_contiguous(const struct ool_tensor *x)
{
    int64_t step = 1;

    if (x == NULL || ool_numel(x) == 0)
        return true;
    for (int i = x->n_dims; i-- > 0;) {
        if (x->shape[i] == 1)
            continue;
        if (x->strides[i] != step)
            return false;
        step *= x->shape[i];
    }
    return true;
}

bool ool_is_dense(const struct ool_tensor *x)
{
    int order[OOL_MAX_DIMS];
    int64_t step = 1;

    if (x->n_dims == 1)
        return x->shape[0] < 2 || x->strides[0] == 1;
    for (int i = 0; i < x->n_dims; i++) {
        int j = i;

        /* by stride, dimensions of one element last */
        for (; j > 0; j--) {
            int64_t other = x->strides[order[j - 1]];

            if (x->shape[i] < 2 || (x->shape[order[j - 1]] >= 2 && other <= x->strides[i]))
                break;
            order[j] = order[j - 1];
        }
        order[j] = i;
    }
    for (int i = 0; i < x->n_dims; i++) {
        int dim = order[i];

        if (x->shape[dim] < 2)
            return true;
        if (x->strides[dim] != step)
            return false;
        step *= x->shape[dim];
    }
    return true;
}

bool ool_same_shape(const struct ool_tensor *x, const struct ool_tensor *y)
{
    return x->n_dims == y->n_dims &&
           memcmp(x->shape, y->shape, (size_t)x->n_dims * sizeof *x->shape) == 0;
}

int ool_dim(const struct ool_tensor *x, int dim)
{
    int n = x->n_dims > 0 ? x->n_dims : 1;

    if (dim < 0)
        dim += n;
    return dim >= 0 && dim < n ? dim : -1;
}

bool ool_broadcast(int n, struct ool_tensor *const *operands, int *n_dims, int64_t *shape)
{
    int most = 0;

    for (int i = 0; i < n; i++) {
        if (operands[i] != NULL && operands[i]->n_dims > most)
            most = operands[i]->n_dims;
    }
    for (int d = 0; d < most; d++)
        shape[d] = 1;
    for (int i = 0; i < n; i++) {
        if (operands[i] == NULL)
            continue;
        for (int d = 0; d < operands[i]->n_dims; d++) {
            int64_t have = operands[i]->shape[d];
            int64_t *want = &shape[most - operands[i]->n_dims + d];

            if (*want == 1)
                *want = have;
            else if (have != 1 && have != *want)
                return false;
        }
    }
    *n_dims = most;
    return true;
}

/* --- strides of a new output --------------------------------------------------------------------------- */

struct iterated {
    int n_dims, n_operands;
    int64_t shape[OOL_MAX_DIMS];
    int64_t strides[8][OOL_MAX_DIMS]; /* of the operands, broadcast */
};

/* > 0: dim0 belongs after dim1; 0: nothing tells. */
static int compare_dims(const struct iterated *it, int dim0, int dim1)
{
    for (int i = 0; i < it->n_operands; i++) {
        int64_t stride0 = it->strides[i][dim0], stride1 = it->strides[i][dim1];

        if (stride0 == 0 || stride1 == 0)
            continue;
        if (stride0 != stride1)
            return stride0 < stride1 ? -1 : 1;
        if (it->shape[dim0] > it->shape[dim1])
            return 1;
    }
    return 0;
}

/* Strides that are dense in the order which the operands' strides suggest. */
static void iterated_strides(const struct iterated *it, int64_t *strides)
{
    int perm[OOL_MAX_DIMS];
    int64_t step = 1;

    for (int i = 0; i < it->n_dims; i++)
        perm[i] = it->n_dims - 1 - i;
    for (int i = 1; i < it->n_dims; i++) {
        int dim1 = i;

        for (int dim0 = i - 1; dim0 >= 0; dim0--) {
            int comparison = compare_dims(it, perm[dim0], perm[dim1]);

            if (comparison > 0) {
                int swap = perm[dim0];

                perm[dim0] = perm[dim1];
                perm[dim1] = swap;
                dim1 = dim0;
            } else if (comparison < 0) {
                break;
            }
        }
    }
    for (int i = 0; i < it->n_dims; i++) {
        strides[perm[i]] = step;
        step *= it->shape[perm[i]];
    }
}

static void iterated_add(struct iterated *it, const struct ool_tensor *x)
{
    int64_t *strides = it->strides[it->n_operands++];
    int offset = it->n_dims - x->n_dims;

    for (int d = 0; d < it->n_dims; d++) {
        bool broadcast = d < offset || (x->shape[d - offset] == 1 && it->shape[d] != 1);

        strides[d] = broadcast ? 0 : x->strides[d - offset];
    }
}

struct ool_tensor *ool_make_iterated(struct ool_tape *t, enum ool_dtype dtype, int n,
                                     struct ool_tensor *const *operands)
{
    struct iterated it = {0};
    const struct ool_tensor *first = NULL;
    int64_t strides[OOL_MAX_DIMS];
    enum ool_place place = OOL_PLACE_DEVICE;
    bool same = true, contiguous = true, device = false;

    if (t->failed)
        return NULL;
    if (n > 8 || !ool_broadcast(n, operands, &it.n_dims, it.shape))
        return ool_fail(t, OOL_E_COMBINATION, "shapes cannot be broadcast together");
    for (int i = 0; i < n; i++) {
        if (operands[i] == NULL)
            continue;
        if (operands[i]->number) { /* of another shape: the short cuts below do not hold */
            same = contiguous = false;
            continue;
        }
        if (operands[i]->place == OOL_PLACE_DEVICE)
            device = true;
        else
            place = (enum ool_place)operands[i]->place;
        iterated_add(&it, operands[i]);
        contiguous = contiguous && ool_is_contiguous(operands[i]);
        if (first == NULL)
            first = operands[i];
        else if (!ool_same_shape(first, operands[i]))
            same = contiguous = false;
        else if (memcmp(first->strides, operands[i]->strides, sizeof first->strides) != 0)
            same = false;
    }
    if (device)
        place = OOL_PLACE_DEVICE;
    if (first != NULL && contiguous && first->n_dims == it.n_dims)
        ool_contiguous_strides(it.n_dims, it.shape, strides);
    else if (first != NULL && same && first->n_dims == it.n_dims && ool_is_dense(first) &&
             memcmp(first->shape, it.shape, (size_t)it.n_dims * sizeof *it.shape) == 0)
        memcpy(strides, first->strides, sizeof strides);
    else
        iterated_strides(&it, strides);
    return ool_make(t, dtype, place, it.n_dims, it.shape, strides);
}

struct ool_tensor *ool_make_like_at(struct ool_tape *t, const struct ool_tensor *x,
                                    enum ool_dtype dtype, enum ool_place place)
{
    struct iterated it = {0};
    int64_t strides[OOL_MAX_DIMS];

    if (t->failed || x == NULL)
        return NULL;
    if (ool_is_dense(x))
        return ool_make(t, dtype, place, x->n_dims, x->shape, x->strides);
    it.n_dims = x->n_dims;
    memcpy(it.shape, x->shape, sizeof it.shape);
    iterated_add(&it, x);
    iterated_strides(&it, strides);
    return ool_make(t, dtype, place, x->n_dims, x->shape, strides);
}

struct ool_tensor *ool_make_like(struct ool_tape *t, const struct ool_tensor *x,
                                 enum ool_dtype dtype)
{
    return x == NULL ? NULL : ool_make_like_at(t, x, dtype, (enum ool_place)x->place);
}

struct ool_tensor *ool_make_contiguous(struct ool_tape *t, const struct ool_tensor *x,
                                       enum ool_dtype dtype)
{
    if (t->failed || x == NULL)
        return NULL;
    return ool_make(t, dtype, (enum ool_place)x->place, x->n_dims, x->shape, NULL);
}

/* --- type promotion ------------------------------------------------------------------------------------- */

/* 0 bool, 1 integer, 2 float */
static int type_class(enum ool_dtype dtype)
{
    if (dtype == OOL_BOOL)
        return 0;
    return ool_dtype_is_float(dtype) ? 2 : 1;
}

static enum ool_dtype promote_pair(enum ool_dtype a, enum ool_dtype b)
{
    uint32_t bytes_a = ool_dtype_bytes(a), bytes_b = ool_dtype_bytes(b);

    if (a == b)
        return a;
    if (type_class(a) != type_class(b))
        return type_class(a) > type_class(b) ? a : b;
    if (bytes_a == bytes_b) /* f16 with bf16, signed with unsigned of the same width */
        return type_class(a) == 2 ? OOL_F32 : bytes_a == 1 ? OOL_I16 : OOL_I64;
    return bytes_a > bytes_b ? a : b;
}

/* -1 = nothing yet */
static int promote_into(int have, enum ool_dtype dtype)
{
    return have < 0 ? (int)dtype : (int)promote_pair((enum ool_dtype)have, dtype);
}

static int combine(int higher, int lower)
{
    if (higher < 0)
        return lower;
    if (lower < 0 || type_class((enum ool_dtype)higher) >= type_class((enum ool_dtype)lower))
        return higher;
    return (int)promote_pair((enum ool_dtype)higher, (enum ool_dtype)lower);
}

enum ool_dtype ool_promote(int n, struct ool_tensor *const *operands)
{
    int dims = -1, scalars = -1, numbers = -1, result;

    for (int i = 0; i < n; i++) {
        if (operands[i] == NULL)
            continue;
        if (operands[i]->number)
            numbers = promote_into(numbers, (enum ool_dtype)operands[i]->dtype);
        else if (operands[i]->n_dims == 0)
            scalars = promote_into(scalars, (enum ool_dtype)operands[i]->dtype);
        else
            dims = promote_into(dims, (enum ool_dtype)operands[i]->dtype);
    }
    result = combine(combine(dims, scalars), numbers);
    return result < 0 ? OOL_F32 : (enum ool_dtype)result;
}

enum ool_dtype ool_accumulate_type(enum ool_dtype dtype)
{
    return dtype == OOL_F16 || dtype == OOL_BF16 ? OOL_F32 : dtype;
}
