/*
 * Views: other forms of the same storage, and the gradients that lead back.
 */
#include "ool_tape_internal.h"

#include <string.h>

/* node->i: [0] dimensions of the input, [1..8] its shape, from VIEW_ARGS on what the view needs. */
#define VIEW_ARGS (1 + OOL_MAX_DIMS)

static struct ool_node *view_node(struct ool_tape *t, const struct ool_node_class *class,
                                  struct ool_tensor *x)
{
    struct ool_node *node = ool_node_make(t, class, OOL_T(x));

    if (node != NULL) {
        node->i[0] = x->n_dims;
        memcpy(&node->i[1], x->shape, sizeof x->shape);
    }
    return node;
}

/* A view that PyTorch tracks: it keeps the tensor that it is a view of alive. */
static struct ool_tensor *tracked(struct ool_tape *t, struct ool_node *node, struct ool_tensor *x,
                                  struct ool_tensor *y)
{
    if (y != NULL && !x->inference) {
        y->base = x->base != NULL ? x->base : x;
        y->base->refs++;
    }
    return ool_finish(t, node, y, OOL_T(x));
}

/* --- view, reshape ----------------------------------------------------------------------------------- */

/* Fills in a -1; false if the sizes do not fit. */
static bool infer_shape(int64_t numel, int n_dims, const int64_t *asked, int64_t *shape)
{
    int64_t known = 1;
    int hole = -1;

    for (int i = 0; i < n_dims; i++) {
        shape[i] = asked[i];
        if (asked[i] == -1 && hole < 0)
            hole = i;
        else if (asked[i] < 0)
            return false;
        else
            known *= asked[i];
    }
    if (hole < 0)
        return known == numel;
    if (known == 0 || numel % known != 0)
        return false;
    shape[hole] = numel / known;
    return true;
}

/* Strides of @x seen as @shape, without a copy; false if that is impossible. */
static bool view_strides(const struct ool_tensor *x, int n_dims, const int64_t *shape,
                         int64_t *strides)
{
    int64_t base, tensor_numel = 1, view_numel = 1;
    int view_dim = n_dims - 1;

    if (ool_numel(x) == 0) {
        ool_contiguous_strides(n_dims, shape, strides);
        return true;
    }
    base = x->n_dims > 0 ? x->strides[x->n_dims - 1] : 1;
    if (x->n_dims == 0)
        ool_contiguous_strides(n_dims, shape, strides);
    for (int d = x->n_dims - 1; d >= 0; d--) {
        tensor_numel *= x->shape[d];
        /* the end of a block of dimensions that lie one behind the other? */
        if (d == 0 || (x->shape[d - 1] != 1 && x->strides[d - 1] != tensor_numel * base)) {
            while (view_dim >= 0 && (view_numel < tensor_numel || shape[view_dim] == 1)) {
                strides[view_dim] = view_numel * base;
                view_numel *= shape[view_dim--];
            }
            if (view_numel != tensor_numel)
                return false;
            if (d > 0) {
                base = x->strides[d - 1];
                tensor_numel = view_numel = 1;
            }
        }
    }
    return view_dim == -1 || x->n_dims == 0;
}

static void view_backward(struct ool_tape *t, struct ool_node *node,
                          struct ool_tensor *const *grads, struct ool_tensor **out)
{
    out[0] = ool_reshape(t, grads[0], (int)node->i[0], &node->i[1]);
}
static const struct ool_node_class view_class = {"ViewBackward0", view_backward, NULL};
static const struct ool_node_class unsafe_view_class = {"UnsafeViewBackward0", view_backward, NULL};

struct ool_tensor *ool_view(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                            const int64_t *asked)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (n_dims > OOL_MAX_DIMS || !infer_shape(ool_numel(x), n_dims, asked, shape))
        return ool_fail(t, OOL_E_COMBINATION, "view: the sizes do not fit %lld elements",
                        (long long)ool_numel(x));
    if (!view_strides(x, n_dims, shape, strides))
        return ool_fail(t, OOL_E_COMBINATION,
                        "view: the strides do not allow it, reshape would copy");
    return tracked(t, view_node(t, &view_class, x), x,
                   ool_make_view(t, x, n_dims, shape, strides, x->offset));
}

struct ool_tensor *ool_unsafe_view(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                                   const int64_t *asked)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    struct ool_node *node;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (!infer_shape(ool_numel(x), n_dims, asked, shape) ||
        !view_strides(x, n_dims, shape, strides))
        return ool_fail(t, OOL_E_COMBINATION, "view: the sizes or strides do not fit");
    node = view_node(t, &unsafe_view_class, x);
    return ool_finish(t, node, ool_make_view(t, x, n_dims, shape, strides, x->offset), OOL_T(x));
}

struct ool_tensor *ool_reshape(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                               const int64_t *asked)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    struct ool_tensor *y;
    size_t scope;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (n_dims > OOL_MAX_DIMS || !infer_shape(ool_numel(x), n_dims, asked, shape))
        return ool_fail(t, OOL_E_COMBINATION, "reshape: the sizes do not fit %lld elements",
                        (long long)ool_numel(x));
    if (view_strides(x, n_dims, shape, strides))
        return tracked(t, view_node(t, &view_class, x), x,
                       ool_make_view(t, x, n_dims, shape, strides, x->offset));
    scope = ool_scope_open(t);
    y = ool_unsafe_view(t, ool_contiguous(t, x), n_dims, shape);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(x));
}

/* --- the order of dimensions ---------------------------------------------------------------------------- */

static void transpose_backward(struct ool_tape *t, struct ool_node *node,
                               struct ool_tensor *const *grads, struct ool_tensor **out)
{
    out[0] = ool_transpose(t, grads[0], (int)node->i[VIEW_ARGS], (int)node->i[VIEW_ARGS + 1]);
}
static const struct ool_node_class transpose_class = {"TransposeBackward0", transpose_backward,
                                                      NULL};

struct ool_tensor *ool_transpose(struct ool_tape *t, struct ool_tensor *x, int dim0, int dim1)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    struct ool_node *node;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    dim0 = ool_dim(x, dim0);
    dim1 = ool_dim(x, dim1);
    if (dim0 < 0 || dim1 < 0)
        return ool_fail(t, OOL_E_RANGE, "transpose: no such dimension");
    node = view_node(t, &transpose_class, x);
    if (node != NULL) {
        node->i[VIEW_ARGS] = dim0;
        node->i[VIEW_ARGS + 1] = dim1;
    }
    memcpy(shape, x->shape, sizeof shape);
    memcpy(strides, x->strides, sizeof strides);
    shape[dim0] = x->shape[dim1];
    shape[dim1] = x->shape[dim0];
    strides[dim0] = x->strides[dim1];
    strides[dim1] = x->strides[dim0];
    return tracked(t, node, x, ool_make_view(t, x, x->n_dims, shape, strides, x->offset));
}

static void permute_backward(struct ool_tape *t, struct ool_node *node,
                             struct ool_tensor *const *grads, struct ool_tensor **out)
{
    int64_t inverse[OOL_MAX_DIMS] = {0};

    for (int i = 0; i < (int)node->i[0]; i++)
        inverse[node->i[VIEW_ARGS + i]] = i;
    out[0] = ool_permute(t, grads[0], (int)node->i[0], inverse);
}
static const struct ool_node_class permute_class = {"PermuteBackward0", permute_backward, NULL};

struct ool_tensor *ool_permute(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                               const int64_t *dims)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    unsigned seen = 0;
    struct ool_node *node;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (n_dims != x->n_dims)
        return ool_fail(t, OOL_E_COMBINATION, "permute: %d dimensions, the tensor has %d", n_dims,
                        x->n_dims);
    node = view_node(t, &permute_class, x);
    for (int i = 0; i < n_dims; i++) {
        int dim = ool_dim(x, (int)dims[i]);

        if (dim < 0 || (seen & (1u << dim)) != 0)
            return ool_fail(t, OOL_E_RANGE, "permute: no permutation");
        seen |= 1u << dim;
        shape[i] = x->shape[dim];
        strides[i] = x->strides[dim];
        if (node != NULL)
            node->i[VIEW_ARGS + i] = dim;
    }
    return tracked(t, node, x, ool_make_view(t, x, n_dims, shape, strides, x->offset));
}

/* --- parts ------------------------------------------------------------------------------------------------ */

/* zeros of the input's shape into which the gradient of a part is copied */
static struct ool_tensor *part_gradient(struct ool_tape *t, struct ool_node *node,
                                        struct ool_tensor *grad)
{
    struct ool_tensor *x = ool_zeros(t, (enum ool_dtype)grad->dtype, (int)node->i[0], &node->i[1]);
    struct ool_tensor *part;
    int64_t start = node->i[VIEW_ARGS + 1];
    int dim = (int)node->i[VIEW_ARGS];

    if (!t->kernels || x == NULL)
        return x;
    part = node->i[VIEW_ARGS + 2] < 0 ? ool_select(t, x, dim, start)
                                      : ool_slice(t, x, dim, start, node->i[VIEW_ARGS + 2]);
    if (part != NULL)
        ool_kernel_call(t, "copy", NULL, OOL_T(grad), OOL_T(part));
    return x;
}

static void part_backward(struct ool_tape *t, struct ool_node *node,
                          struct ool_tensor *const *grads, struct ool_tensor **out)
{
    out[0] = part_gradient(t, node, grads[0]);
}
static const struct ool_node_class slice_class = {"SliceBackward0", part_backward, NULL};
static const struct ool_node_class select_class = {"SelectBackward0", part_backward, NULL};

static struct ool_node *part_node(struct ool_tape *t, const struct ool_node_class *class,
                                  struct ool_tensor *x, int dim, int64_t start, int64_t end)
{
    struct ool_node *node = view_node(t, class, x);

    if (node != NULL) {
        node->i[VIEW_ARGS] = dim;
        node->i[VIEW_ARGS + 1] = start;
        node->i[VIEW_ARGS + 2] = end;
    }
    return node;
}

struct ool_tensor *ool_slice(struct ool_tape *t, struct ool_tensor *x, int dim, int64_t start,
                             int64_t end)
{
    int64_t shape[OOL_MAX_DIMS], size;
    struct ool_node *node;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    dim = ool_dim(x, dim);
    if (dim < 0 || x->n_dims == 0)
        return ool_fail(t, OOL_E_RANGE, "slice: no such dimension");
    size = x->shape[dim];
    if (start < 0)
        start = start + size < 0 ? 0 : start + size;
    if (end < 0)
        end += size;
    if (end > size)
        end = size;
    if (start > size)
        start = size;
    if (end < start)
        end = start;
    node = part_node(t, &slice_class, x, dim, start, end);
    memcpy(shape, x->shape, sizeof shape);
    shape[dim] = end - start;
    return tracked(
        t, node, x,
        ool_make_view(t, x, x->n_dims, shape, x->strides, x->offset + start * x->strides[dim]));
}

struct ool_tensor *ool_select(struct ool_tape *t, struct ool_tensor *x, int dim, int64_t index)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    struct ool_node *node;
    int n = 0;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    dim = ool_dim(x, dim);
    if (dim < 0 || x->n_dims == 0)
        return ool_fail(t, OOL_E_RANGE, "select: no such dimension");
    if (index < 0)
        index += x->shape[dim];
    if (index < 0 || index >= x->shape[dim])
        return ool_fail(t, OOL_E_RANGE, "select: no such index");
    node = part_node(t, &select_class, x, dim, index, -1);
    for (int i = 0; i < x->n_dims; i++) {
        if (i == dim)
            continue;
        shape[n] = x->shape[i];
        strides[n++] = x->strides[i];
    }
    return tracked(t, node, x,
                   ool_make_view(t, x, n, shape, strides, x->offset + index * x->strides[dim]));
}

/* cat of the parts' gradients; zeros for parts without one */
static void split_backward(struct ool_tape *t, struct ool_node *node,
                           struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *parts[64], *zeros[64] = {NULL};
    const struct ool_tensor *some = NULL;

    for (uint32_t i = 0; i < node->n_outputs && some == NULL; i++)
        some = grads[i];
    if (node->n_outputs > 64 || some == NULL) {
        ool_fail(t, OOL_E_UNSUPPORTED, "split into more than 64 parts");
        return;
    }
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        parts[i] = grads[i];
        if (parts[i] == NULL) {
            ool_set(t, &zeros[i],
                    ool_zeros(t, (enum ool_dtype)some->dtype, node->outputs[i].n_dims,
                              node->outputs[i].shape));
            parts[i] = zeros[i];
        }
    }
    out[0] = ool_cat(t, parts, (int)node->n_outputs, (int)node->i[VIEW_ARGS]);
    for (uint32_t i = 0; i < node->n_outputs; i++) /* a std::vector ends from its first item on */
        ool_del(t, &zeros[i]);
}
static const struct ool_node_class split_class = {"SplitBackward0", split_backward, NULL};

int ool_split(struct ool_tape *t, struct ool_tensor *x, int64_t size, int dim,
              struct ool_tensor **parts, int max)
{
    struct ool_node *node;
    int64_t total;
    int n = 0;

    if (!ool_usable(t, OOL_T(x)))
        return 0;
    dim = ool_dim(x, dim);
    if (dim < 0 || x->n_dims == 0 || size <= 0) {
        ool_fail(t, OOL_E_RANGE, "split: no such dimension or size");
        return 0;
    }
    total = x->shape[dim];
    if ((total + size - 1) / size > max) {
        ool_fail(t, OOL_E_LIMIT, "split: more than %d parts", max);
        return 0;
    }
    node = view_node(t, &split_class, x);
    if (node != NULL)
        node->i[VIEW_ARGS] = dim;
    for (int64_t start = 0; start < total && !t->failed; start += size) {
        int64_t shape[OOL_MAX_DIMS];
        struct ool_tensor *part;

        memcpy(shape, x->shape, sizeof shape);
        shape[dim] = total - start < size ? total - start : size;
        part =
            ool_make_view(t, x, x->n_dims, shape, x->strides, x->offset + start * x->strides[dim]);
        if (part == NULL)
            return 0;
        if (!x->inference) {
            part->base = x->base != NULL ? x->base : x;
            part->base->refs++;
        }
        ool_node_output(t, node, part);
        parts[n++] = part;
    }
    ool_node_drop(t, node);
    ool_done(t, OOL_T(x));
    return t->failed ? 0 : n;
}

int ool_chunk(struct ool_tape *t, struct ool_tensor *x, int n, int dim, struct ool_tensor **parts,
              int max)
{
    int64_t size;

    if (!ool_usable(t, OOL_T(x)))
        return 0;
    size = ool_size(x, dim);
    if (n <= 0 || size <= 0) {
        ool_fail(t, OOL_E_RANGE, "chunk: nothing to cut");
        return 0;
    }
    return ool_split(t, x, (size + n - 1) / n, dim, parts, max);
}

/* --- dimensions of one element, broadcasting ----------------------------------------------------------------- */

static void unsqueeze_backward(struct ool_tape *t, struct ool_node *node,
                               struct ool_tensor *const *grads, struct ool_tensor **out)
{
    out[0] = ool_squeeze(t, grads[0], (int)node->i[VIEW_ARGS]);
}
static const struct ool_node_class unsqueeze_class = {"UnsqueezeBackward0", unsqueeze_backward,
                                                      NULL};

struct ool_tensor *ool_unsqueeze(struct ool_tape *t, struct ool_tensor *x, int dim)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    struct ool_node *node;
    int n;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    n = x->n_dims + 1;
    if (dim < 0)
        dim += n;
    if (dim < 0 || dim >= n || n > OOL_MAX_DIMS)
        return ool_fail(t, OOL_E_RANGE, "unsqueeze: no such dimension");
    node = view_node(t, &unsqueeze_class, x);
    if (node != NULL)
        node->i[VIEW_ARGS] = dim;
    for (int i = 0, j = 0; i < n; i++) {
        if (i == dim) {
            shape[i] = 1;
            strides[i] = j < x->n_dims ? x->shape[j] * x->strides[j] : 1;
        } else {
            shape[i] = x->shape[j];
            strides[i] = x->strides[j++];
        }
    }
    return tracked(t, node, x, ool_make_view(t, x, n, shape, strides, x->offset));
}

static void squeeze_backward(struct ool_tape *t, struct ool_node *node,
                             struct ool_tensor *const *grads, struct ool_tensor **out)
{
    out[0] = (int)node->i[0] == grads[0]->n_dims
                 ? ool_view(t, grads[0], (int)node->i[0], &node->i[1])
                 : ool_unsqueeze(t, grads[0], (int)node->i[VIEW_ARGS]);
}
static const struct ool_node_class squeeze_class = {"SqueezeBackward1", squeeze_backward, NULL};

struct ool_tensor *ool_squeeze(struct ool_tape *t, struct ool_tensor *x, int dim)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    struct ool_node *node;
    int n = 0;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    dim = ool_dim(x, dim);
    if (dim < 0)
        return ool_fail(t, OOL_E_RANGE, "squeeze: no such dimension");
    node = view_node(t, &squeeze_class, x);
    if (node != NULL)
        node->i[VIEW_ARGS] = dim;
    for (int i = 0; i < x->n_dims; i++) {
        if (i == dim && x->shape[i] == 1)
            continue;
        shape[n] = x->shape[i];
        strides[n++] = x->strides[i];
    }
    return tracked(t, node, x, ool_make_view(t, x, n, shape, strides, x->offset));
}

static void expand_backward(struct ool_tape *t, struct ool_node *node,
                            struct ool_tensor *const *grads, struct ool_tensor **out)
{
    out[0] = ool_sum_to(t, grads[0], (int)node->i[0], &node->i[1]);
}
static const struct ool_node_class expand_class = {"ExpandBackward0", expand_backward, NULL};

struct ool_tensor *ool_expand(struct ool_tape *t, struct ool_tensor *x, int n_dims,
                              const int64_t *asked)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    int offset;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    offset = n_dims - x->n_dims;
    if (offset < 0 || n_dims > OOL_MAX_DIMS)
        return ool_fail(t, OOL_E_COMBINATION, "expand: fewer sizes than dimensions");
    for (int i = n_dims; i-- > 0;) {
        int64_t have = i < offset ? 1 : x->shape[i - offset];

        shape[i] = asked[i] == -1 && i >= offset ? have : asked[i];
        if (shape[i] < 0 || (have != 1 && have != shape[i]))
            return ool_fail(t, OOL_E_COMBINATION, "expand: size %lld to %lld", (long long)have,
                            (long long)asked[i]);
        if (i >= offset && have == shape[i])
            strides[i] = x->strides[i - offset];
        else if (i < offset && shape[i] == 1 && i + 1 < n_dims)
            strides[i] = shape[i + 1] * strides[i + 1];
        else
            strides[i] = 0;
    }
    return tracked(t, view_node(t, &expand_class, x), x,
                   ool_make_view(t, x, n_dims, shape, strides, x->offset));
}

struct ool_tensor *ool_detach(struct ool_tape *t, struct ool_tensor *x)
{
    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    return ool_finish(t, NULL, ool_make_alias(t, x), OOL_T(x)); /* knows nothing of x's graph */
}
