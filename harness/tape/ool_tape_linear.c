/*
 * Matrix products: linear, matmul, bmm, addmm, baddbmm as PyTorch takes them apart.
 */
#include "ool_tape_internal.h"

#include <stdio.h>
#include <string.h>

/* --- kernels ------------------------------------------------------------------------------------------ */

/* The library reads rows or columns that lie dense; anything else is copied for the call. */
static bool readable(const struct ool_tensor *x, int rows, int columns)
{
    int64_t row = x->strides[rows], column = x->strides[columns];
    int64_t n_rows = x->shape[rows] > 1 ? x->shape[rows] : 1;
    int64_t n_columns = x->shape[columns] > 1 ? x->shape[columns] : 1;

    if (x->n_dims == 2 && ool_is_dense(x))
        return true;
    if ((column == 1 && row >= n_columns) || (row == 1 && column >= n_rows))
        return true;
    return x->n_dims == 3 && ool_is_contiguous(x) && row != 0 && column != 0;
}

static struct ool_tensor *operand_copy(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_tensor *copy;

    if (t->failed || readable(x, x->n_dims - 2, x->n_dims - 1))
        return NULL;
    copy = ool_make_contiguous(t, x, ool_dtype(x));
    ool_claim(t, copy);
    ool_kernel_call(t, "copy", NULL, OOL_T(x), OOL_T(copy));
    return copy;
}

/* @right is looked at first: the row-major result is computed as its transpose. */
static void product(struct ool_tape *t, const char *name, const char *attributes, bool lt,
                    struct ool_tensor *added, struct ool_tensor *a, struct ool_tensor *b,
                    struct ool_tensor *y)
{
    struct ool_tensor *right = operand_copy(t, b), *left = operand_copy(t, a);

    if (lt)
        ool_cublaslt(t);
    else
        ool_cublas(t);
    ool_kernel_call(t, name, attributes,
                    OOL_T(left != NULL ? left : a, right != NULL ? right : b, added), OOL_T(y));
    if (lt)
        ool_cublaslt_end(t);
    else
        ool_cublas_end(t);
    ool_drop(t, left);
    ool_drop(t, right);
}

static bool matrices_fit(struct ool_tape *t, const struct ool_tensor *a, const struct ool_tensor *b,
                         int n_dims)
{
    if (a->n_dims != n_dims || b->n_dims != n_dims ||
        a->shape[n_dims - 1] != b->shape[n_dims - 2] || (n_dims == 3 && a->shape[0] != b->shape[0]))
        ool_fail(t, OOL_E_COMBINATION, "a matrix product of shapes that do not fit");
    else if (a->dtype != b->dtype)
        ool_fail(t, OOL_E_COMBINATION, "a matrix product of %s and %s",
                 ool_dtype_name(ool_dtype(a)), ool_dtype_name(ool_dtype(b)));
    return !t->failed;
}

struct ool_tensor *ool_mm_raw(struct ool_tape *t, struct ool_tensor *a, struct ool_tensor *b)
{
    struct ool_tensor *y;
    int64_t shape[2];

    if (!ool_usable(t, OOL_T(a)) || !ool_usable(t, OOL_T(b)) || !matrices_fit(t, a, b, 2))
        return NULL;
    shape[0] = a->shape[0];
    shape[1] = b->shape[1];
    y = ool_make(t, ool_dtype(a), (enum ool_place)a->place, 2, shape, NULL);
    product(t, "mm", NULL, false, NULL, a, b, y);
    return y;
}

struct ool_tensor *ool_bmm_raw(struct ool_tape *t, struct ool_tensor *a, struct ool_tensor *b)
{
    struct ool_tensor *y;
    int64_t shape[3];

    if (!ool_usable(t, OOL_T(a)) || !ool_usable(t, OOL_T(b)) || !matrices_fit(t, a, b, 3))
        return NULL;
    shape[0] = a->shape[0];
    shape[1] = a->shape[1];
    shape[2] = b->shape[2];
    y = ool_make(t, ool_dtype(a), (enum ool_place)a->place, 3, shape, NULL);
    product(t, "bmm", NULL, false, NULL, a, b, y);
    return y;
}

/* --- gradients of mm and addmm -------------------------------------------------------------------------- */

/* node->i: [0..1] whether mat1 and mat2 are column-major: their gradients then are, too. */
static bool column_major(const struct ool_tensor *x)
{
    return x->strides[0] == 1 && x->strides[1] == x->shape[0];
}

static struct ool_tensor *mat1_gradient(struct ool_tape *t, struct ool_node *node,
                                        struct ool_tensor *grad, struct ool_tensor *mat2)
{
    if (node->i[0] != 0) {
        struct ool_tensor *transposed = ool_transpose(t, grad, 0, 1);

        return ool_transpose(t, ool_mm_raw(t, mat2, transposed), 0, 1);
    }
    return ool_mm_raw(t, grad, ool_transpose(t, mat2, 0, 1));
}

static struct ool_tensor *mat2_gradient(struct ool_tape *t, struct ool_node *node,
                                        struct ool_tensor *grad, struct ool_tensor *mat1)
{
    if (node->i[1] != 0) {
        struct ool_tensor *transposed = ool_transpose(t, grad, 0, 1);

        return ool_transpose(t, ool_mm_raw(t, transposed, mat1), 0, 1);
    }
    return ool_mm_raw(t, ool_transpose(t, mat1, 0, 1), grad);
}

static void mm_backward(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                        struct ool_tensor **out)
{
    if (ool_needs(node, 1))
        OOL_EXPRESSION(t, out[1], mat2_gradient(t, node, grads[0], ool_saved(t, node, 1)));
    if (ool_needs(node, 0))
        OOL_EXPRESSION(t, out[0], mat1_gradient(t, node, grads[0], ool_saved(t, node, 0)));
}
static const struct ool_node_class mm_class = {"MmBackward0", mm_backward, NULL};

static void addmm_backward(struct ool_tape *t, struct ool_node *node,
                           struct ool_tensor *const *grads, struct ool_tensor **out)
{
    if (ool_needs(node, 1))
        OOL_EXPRESSION(t, out[1], mat1_gradient(t, node, grads[0], ool_saved(t, node, 1)));
    if (ool_needs(node, 2))
        OOL_EXPRESSION(t, out[2], mat2_gradient(t, node, grads[0], ool_saved(t, node, 0)));
    if (ool_needs(node, 0))
        out[0] = grads[0];
}
static const struct ool_node_class addmm_class = {"AddmmBackward0", addmm_backward, NULL};

static struct ool_tensor *mm(struct ool_tape *t, struct ool_tensor *a, struct ool_tensor *b)
{
    struct ool_node *node;
    struct ool_tensor *y;

    if (!ool_usable(t, OOL_T(a)) || !ool_usable(t, OOL_T(b)))
        return NULL;
    node = ool_node_make(t, &mm_class, OOL_T(a, b));
    if (node != NULL) {
        node->i[0] = column_major(a);
        node->i[1] = column_major(b);
        ool_node_save_if(t, node, ool_needs(node, 0), b);
        ool_node_save_if(t, node, ool_needs(node, 1), a);
    }
    y = ool_mm_raw(t, a, b);
    return ool_finish(t, node, y, OOL_T(a, b));
}

static bool is_half(const struct ool_tensor *x)
{
    return x->dtype == OOL_F16 || x->dtype == OOL_BF16;
}

static bool gapless(const struct ool_tensor *x)
{
    return column_major(x) || (x->strides[1] == 1 && x->strides[0] == x->shape[1]);
}

static struct ool_tensor *addmm(struct ool_tape *t, struct ool_tensor *bias, struct ool_tensor *a,
                                struct ool_tensor *b)
{
    struct ool_node *node;
    struct ool_tensor *y;
    int64_t shape[2];
    bool lt;

    if (!ool_usable(t, OOL_T(a)) || !ool_usable(t, OOL_T(b)) || !matrices_fit(t, a, b, 2))
        return NULL;
    node = ool_node_make(t, &addmm_class, OOL_T(bias, a, b));
    if (node != NULL) {
        node->i[0] = column_major(a);
        node->i[1] = column_major(b);
        ool_node_save_if(t, node, ool_needs(node, 2), a);
        ool_node_save_if(t, node, ool_needs(node, 1), b);
    }
    shape[0] = a->shape[0];
    shape[1] = b->shape[1];
    lt = (!t->facts->lt_wants_dense || !is_half(a) || (gapless(a) && gapless(b))) &&
         bias->n_dims == 1 && bias->shape[0] == shape[1] && ool_is_contiguous(bias) &&
         b->shape[0] > 1 && b->shape[1] > 1;
    y = ool_make(t, ool_dtype(a), (enum ool_place)a->place, 2, shape, NULL);
    product(t, "addmm", NULL, lt, bias, a, b, y);
    return ool_finish(t, node, y, OOL_T(bias, a, b));
}

struct ool_tensor *ool_addmm(struct ool_tape *t, struct ool_tensor *input, struct ool_tensor *x,
                             struct ool_tensor *y)
{
    struct ool_tensor *z, *input_given = input, *x_given = x, *y_given = y;
    bool was = ool_autocast_on(t);
    size_t scope;

    if (!ool_usable(t, OOL_T(input)) || !ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(y)))
        return NULL;
    scope = ool_scope_open(t);
    if (was) {
        y = ool_cast_lower(t, y);
        x = ool_cast_lower(t, x);
        input = ool_cast_lower(t, input);
        ool_autocast_set(t, false);
    }
    z = t->failed ? NULL : addmm(t, input, x, y);
    ool_autocast_set(t, was);
    z = ool_scope_close(t, scope, z);
    return ool_finish(t, NULL, z, OOL_T(input_given, x_given, y_given));
}

/* --- linear ------------------------------------------------------------------------------------------------ */

static struct ool_tensor *flat_linear(struct ool_tape *t, struct ool_tensor *x,
                                      struct ool_tensor *w, struct ool_tensor *b)
{
    int64_t shape[OOL_MAX_DIMS];
    struct ool_tensor *flat, *transposed, *y;

    memcpy(shape, x->shape, sizeof shape);
    shape[x->n_dims - 1] = w->shape[0];
    flat = ool_reshape(t, x, OOL_SHAPE(-1, x->shape[x->n_dims - 1]));
    transposed = ool_transpose(t, w, 0, 1);
    y = addmm(t, b, flat, transposed);
    return t->facts->linear_is_view ? ool_view(t, y, x->n_dims, shape)
                                    : ool_unsafe_view(t, y, x->n_dims, shape);
}

static struct ool_tensor *plain_linear(struct ool_tape *t, struct ool_tensor *x,
                                       struct ool_tensor *w, struct ool_tensor *b)
{
    struct ool_tensor *y;

    if (b != NULL && x->n_dims == 2)
        return addmm(t, b, x, ool_transpose(t, w, 0, 1));
    if (b != NULL && ool_is_contiguous(x))
        return flat_linear(t, x, w, b);
    y = ool_matmul(t, x, ool_transpose(t, w, 0, 1));
    if (b != NULL)
        ool_binary_inplace(t, OOL_ADD, y, b);
    return y;
}

struct ool_tensor *ool_linear(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *w,
                              struct ool_tensor *b)
{
    struct ool_tensor *y, *x_given = x, *w_given = w, *b_given = b;
    bool was = ool_autocast_on(t);
    size_t scope;

    if (!ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(w)))
        return NULL;
    if (w->n_dims != 2 || x->n_dims < 1 || x->shape[x->n_dims - 1] != w->shape[1])
        return ool_fail(t, OOL_E_COMBINATION, "linear: %lld features, the weight takes %lld",
                        (long long)ool_size(x, -1), (long long)ool_size(w, -1));
    scope = ool_scope_open(t);
    if (was) {
        b = ool_cast_lower(t, b);
        w = ool_cast_lower(t, w);
        x = ool_cast_lower(t, x);
        ool_autocast_set(t, false);
    }
    y = t->failed ? NULL : plain_linear(t, x, w, b);
    ool_autocast_set(t, was);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(x_given, w_given, b_given));
}

/* --- batches ---------------------------------------------------------------------------------------------------- */

static struct ool_tensor *bmm_left_gradient(struct ool_tape *t, struct ool_tensor *grad,
                                            struct ool_tensor *right)
{
    return ool_bmm_raw(t, grad, ool_transpose(t, right, 1, 2));
}

static struct ool_tensor *bmm_right_gradient(struct ool_tape *t, struct ool_tensor *grad,
                                             struct ool_tensor *left)
{
    return ool_bmm_raw(t, ool_transpose(t, left, 1, 2), grad);
}

static void bmm_backward(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                         struct ool_tensor **out)
{
    if (ool_needs(node, 1))
        OOL_EXPRESSION(t, out[1], bmm_right_gradient(t, grads[0], ool_saved(t, node, 1)));
    if (ool_needs(node, 0))
        OOL_EXPRESSION(t, out[0], bmm_left_gradient(t, grads[0], ool_saved(t, node, 0)));
}
static const struct ool_node_class bmm_class = {"BmmBackward0", bmm_backward, NULL};

static struct ool_tensor *bmm(struct ool_tape *t, struct ool_tensor *a, struct ool_tensor *b)
{
    struct ool_node *node;
    struct ool_tensor *y;

    if (!ool_usable(t, OOL_T(a)) || !ool_usable(t, OOL_T(b)))
        return NULL;
    node = ool_node_make(t, &bmm_class, OOL_T(a, b));
    if (node != NULL) {
        ool_node_save_if(t, node, ool_needs(node, 0), b);
        ool_node_save_if(t, node, ool_needs(node, 1), a);
    }
    y = ool_bmm_raw(t, a, b);
    return ool_finish(t, node, y, OOL_T(a, b));
}

typedef struct ool_tensor *pair_operator(struct ool_tape *t, struct ool_tensor *a,
                                         struct ool_tensor *b);

/* The operator on casts of its arguments, if autocast is on. */
static struct ool_tensor *lowered(struct ool_tape *t, pair_operator *op, struct ool_tensor *a,
                                  struct ool_tensor *b)
{
    struct ool_tensor *y, *a_given = a, *b_given = b;
    bool was = ool_autocast_on(t);
    size_t scope;

    if (!ool_usable(t, OOL_T(a)) || !ool_usable(t, OOL_T(b)))
        return NULL;
    scope = ool_scope_open(t);
    if (was) {
        b = ool_cast_lower(t, b);
        a = ool_cast_lower(t, a);
        ool_autocast_set(t, false);
    }
    y = t->failed ? NULL : op(t, a, b);
    ool_autocast_set(t, was);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(a_given, b_given));
}

struct ool_tensor *ool_bmm(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *y)
{
    return lowered(t, bmm, x, y);
}

/* --- matmul: which product it is ----------------------------------------------------------------------------------- */

/* tensor.requires_grad: of a view it is also its base's, even if the view was made without grad. */
static bool wants_gradient(const struct ool_tensor *x)
{
    return ool_requires_grad(x) || (x->base != NULL && ool_requires_grad(x->base));
}

/* Whether the larger operand becomes one matrix. It does even at the price of a copy if the smaller one
 * requires a gradient, which else would be made once for each matrix of the batch. */
static bool should_fold(const struct ool_tensor *a, const struct ool_tensor *b)
{
    bool a_larger = a->n_dims >= b->n_dims;
    const struct ool_tensor *large = a_larger ? a : b;
    const struct ool_tensor *small = a_larger ? b : a;
    int n = large->n_dims;

    if (n < 3 || small->n_dims > 2)
        return false;
    if (wants_gradient(small))
        return true;
    if (a->n_dims == 2)
        return false;
    if (ool_numel(large) == 0)
        return true;
    for (int i = 0; i < n - 2; i++) {
        if (large->strides[i] != large->strides[i + 1] * large->shape[i + 1])
            return false;
    }
    return true;
}

static struct ool_tensor *folded(struct ool_tape *t, struct ool_tensor *a, struct ool_tensor *b)
{
    bool transpose = b->n_dims > a->n_dims;
    struct ool_tensor *large = transpose ? ool_transpose(t, b, -2, -1) : a;
    struct ool_tensor *small = transpose ? ool_transpose(t, a, 0, 1) : b, *flat, *y;
    int64_t shape[OOL_MAX_DIMS];
    int n;

    if (t->failed)
        return NULL;
    n = large->n_dims;
    memcpy(shape, large->shape, sizeof shape);
    shape[n - 1] = small->shape[1];
    flat = ool_reshape(t, large,
                       OOL_SHAPE(ool_numel(large) / large->shape[n - 1], large->shape[n - 1]));
    y = ool_unsafe_view(t, mm(t, flat, small), n, shape);
    return transpose ? ool_contiguous(t, ool_transpose(t, y, -2, -1)) : y;
}

/* The operand broadcast to the batch and as one batch dimension. */
static struct ool_tensor *batched(struct ool_tape *t, struct ool_tensor *x, int n_batch,
                                  const int64_t *batch, int64_t product_of_batch)
{
    int64_t shape[OOL_MAX_DIMS];
    int64_t rows = x->shape[x->n_dims - 2], columns = x->shape[x->n_dims - 1];

    memcpy(shape, batch, (size_t)n_batch * sizeof *batch);
    shape[n_batch] = rows;
    shape[n_batch + 1] = columns;
    x = ool_expand(t, x, n_batch + 2, shape);
    return ool_reshape(t, x, OOL_SHAPE(product_of_batch, rows, columns));
}

static struct ool_tensor *batch_product(struct ool_tape *t, struct ool_tensor *a,
                                        struct ool_tensor *b)
{
    int n_batch = (a->n_dims > b->n_dims ? a->n_dims : b->n_dims) - 2;
    int64_t shape[OOL_MAX_DIMS], total = 1;
    struct ool_tensor *left, *right;

    for (int i = 0; i < n_batch; i++) {
        int ia = a->n_dims - 2 - n_batch + i, ib = b->n_dims - 2 - n_batch + i;
        int64_t size_a = ia < 0 ? 1 : a->shape[ia], size_b = ib < 0 ? 1 : b->shape[ib];

        if (size_a != size_b && size_a != 1 && size_b != 1)
            return ool_fail(t, OOL_E_COMBINATION, "matmul: batches of %lld and %lld",
                            (long long)size_a, (long long)size_b);
        shape[i] = size_a == 1 ? size_b : size_a;
        total *= shape[i];
    }
    left = batched(t, a, n_batch, shape, total);
    right = batched(t, b, n_batch, shape, total);
    shape[n_batch] = a->shape[a->n_dims - 2];
    shape[n_batch + 1] = b->shape[b->n_dims - 1];
    return ool_unsafe_view(t, bmm(t, left, right), n_batch + 2, shape);
}

/* Saved: matrix, vector. Edges: the same. */
static void mv_backward(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                        struct ool_tensor **out)
{
    struct ool_tensor *matrix = ool_saved(t, node, 0), *vector = ool_saved(t, node, 1);

    if (ool_needs(node, 0))
        out[0] = ool_make_contiguous(t, matrix, ool_dtype(grads[0]));
    if (ool_needs(node, 1)) {
        out[1] = ool_make_contiguous(t, vector, ool_dtype(grads[0]));
        ool_cublas(t);
    }
    ool_kernel_call(t, "mv_backward", NULL, OOL_T(grads[0], matrix, vector), OOL_T(out[0], out[1]));
    if (ool_needs(node, 1))
        ool_cublas_end(t);
}
static const struct ool_node_class mv_class = {"MvBackward0", mv_backward, NULL};

/* A matrix by a vector; more dimensions are folded into the matrix's rows. */
static struct ool_tensor *mv(struct ool_tape *t, struct ool_tensor *a, struct ool_tensor *b)
{
    struct ool_tensor *matrix = a, *y;
    struct ool_node *node;

    if (a->shape[a->n_dims - 1] != b->shape[0])
        return ool_fail(t, OOL_E_COMBINATION, "matmul: %lld columns, %lld rows",
                        (long long)ool_size(a, -1), (long long)b->shape[0]);
    if (a->n_dims > 2)
        matrix = ool_reshape(t, a, OOL_SHAPE(-1, b->shape[0]));
    if (t->failed)
        return NULL;
    node = ool_node_make(t, &mv_class, OOL_T(matrix, b));
    ool_node_save(t, node, matrix);
    ool_node_save(t, node, b);
    y = ool_make(t, ool_dtype(a), OOL_PLACE_DEVICE, 1, matrix->shape, NULL);
    ool_cublas(t);
    ool_kernel_call(t, "mv", NULL, OOL_T(matrix, b), OOL_T(y));
    ool_cublas_end(t);
    y = ool_finish(t, node, y, OOL_T(matrix, b));
    return a->n_dims > 2 ? ool_unsafe_view(t, y, a->n_dims - 1, a->shape) : y;
}

static struct ool_tensor *matmul(struct ool_tape *t, struct ool_tensor *a, struct ool_tensor *b)
{
    if (a->n_dims >= 2 && b->n_dims == 1)
        return mv(t, a, b);
    if (a->n_dims == 1 && b->n_dims == 2)
        return ool_squeeze(t, matmul(t, ool_unsqueeze(t, a, 0), b), 0);
    if (a->n_dims < 2 || b->n_dims < 2)
        return ool_fail(t, OOL_E_UNSUPPORTED, "matmul of a vector by a vector");
    if (a->shape[a->n_dims - 1] != b->shape[b->n_dims - 2])
        return ool_fail(t, OOL_E_COMBINATION, "matmul: %lld columns, %lld rows",
                        (long long)ool_size(a, -1), (long long)ool_size(b, -2));
    if (a->n_dims == 2 && b->n_dims == 2)
        return mm(t, a, b);
    if (should_fold(a, b))
        return folded(t, a, b);
    if (a->n_dims == 3 && b->n_dims == 3 && a->shape[0] != b->shape[0]) {
        if (a->shape[0] == 1 && wants_gradient(a))
            return matmul(t, ool_squeeze(t, a, 0), b);
        if (b->shape[0] == 1 && wants_gradient(b))
            return matmul(t, a, ool_squeeze(t, b, 0));
    }
    return batch_product(t, a, b);
}

struct ool_tensor *ool_matmul(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *y)
{
    return lowered(t, matmul, x, y);
}

/* --- baddbmm ------------------------------------------------------------------------------------------------------------ */

static struct ool_tensor *scaled(struct ool_tape *t, struct ool_tensor *x, double factor)
{
    return factor == 1 ? x : ool_scale(t, x, factor);
}

/* Saved: batch1, batch2. node->d: beta, alpha. */
static void baddbmm_backward(struct ool_tape *t, struct ool_node *node,
                             struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *batch1 = ool_saved(t, node, 0), *batch2 = ool_saved(t, node, 1);

    if (ool_needs(node, 1))
        OOL_EXPRESSION(t, out[1], scaled(t, bmm_left_gradient(t, grads[0], batch2), node->d[1]));
    if (ool_needs(node, 2))
        OOL_EXPRESSION(t, out[2], scaled(t, bmm_right_gradient(t, grads[0], batch1), node->d[1]));
    if (ool_needs(node, 0))
        OOL_EXPRESSION(t, out[0], scaled(t, grads[0], node->d[0]));
}
static const struct ool_node_class baddbmm_class = {"BaddbmmBackward0", baddbmm_backward, NULL};

struct ool_tensor *ool_baddbmm(struct ool_tape *t, struct ool_tensor *input, struct ool_tensor *x,
                               struct ool_tensor *y, double beta, double alpha)
{
    struct ool_tensor *z, *given[3] = {input, x, y};
    bool was = ool_autocast_on(t);
    struct ool_node *node;
    char text[96];
    size_t scope;

    if (!ool_usable(t, OOL_T(input)) || !ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(y)))
        return NULL;
    scope = ool_scope_open(t);
    if (was) {
        y = ool_cast_lower(t, y);
        x = ool_cast_lower(t, x);
        input = ool_cast_lower(t, input);
    }
    if (t->failed || !matrices_fit(t, x, y, 3))
        return NULL;
    node = ool_node_make(t, &baddbmm_class, OOL_T(input, x, y));
    if (node != NULL) {
        node->d[0] = beta;
        node->d[1] = alpha;
        ool_node_save_if(t, node, ool_needs(node, 2), x);
        ool_node_save_if(t, node, ool_needs(node, 1), y);
    }
    z = ool_make(t, ool_dtype(x), (enum ool_place)x->place,
                 OOL_SHAPE(x->shape[0], x->shape[1], y->shape[2]), NULL);
    snprintf(text, sizeof text, "beta=%.17g alpha=%.17g", beta, alpha);
    product(t, "baddbmm", text, false, input, x, y, z);
    z = ool_scope_close(t, scope, ool_finish(t, node, z, 0, NULL));
    return ool_finish(t, NULL, z, 3, given);
}
