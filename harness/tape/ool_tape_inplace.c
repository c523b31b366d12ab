/*
 * In-place operators: the tensor gets a new history; on a view its base does too (CopySlices).
 */
#include "ool_tape_internal.h"

#include <stdio.h>
#include <string.h>

/*
 * The gradient of the base is copied, the part that the view covers goes through the operator, and
 * what comes out replaces that part. node->state is the operator's own node; node->i: where the view
 * starts, its strides, the base's strides.
 */
static void copy_slices_backward(struct ool_tape *t, struct ool_node *node,
                                 struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_node *inner = node->state;
    struct ool_tensor *inner_out[OOL_NODE_EDGES] = {0};
    struct ool_tensor *result, *part, *given = NULL;

    result = ool_make(t, ool_dtype(grads[0]), (enum ool_place)grads[0]->place, grads[0]->n_dims,
                      grads[0]->shape, &node->i[1 + OOL_MAX_DIMS]);
    ool_kernel_call(t, "copy", NULL, OOL_T(grads[0]), OOL_T(result));
    part = ool_make_view(t, result, inner->outputs[0].n_dims, inner->outputs[0].shape, &node->i[1],
                         node->i[0]);
    ool_set(t, &given, ool_clone(t, part));
    if (t->failed)
        return;
    inner->class->backward(t, inner, &given, inner_out);
    for (uint32_t i = 0; i < inner->n_edges; i++)
        ool_claim(t, inner_out[i]);
    ool_del(t, &given);
    if (inner_out[0] != NULL)
        ool_kernel_call(t, "copy", NULL, OOL_T(inner_out[0]), OOL_T(part));
    out[0] = result;
    for (uint32_t i = 1; i < inner->n_edges; i++)
        out[i] = ool_return(t, &inner_out[i]);
    ool_del(t, &inner_out[0]);
}

static void copy_slices_release(struct ool_tape *t, struct ool_node *node)
{
    struct ool_node *inner = node->state;

    node->state = NULL;
    ool_node_drop(t, inner);
}
static const struct ool_node_class copy_slices_class = {"CopySlices", copy_slices_backward,
                                                        copy_slices_release};

/* zeros as large as the base's storage, the gradient copied to where the view lies */
static void as_strided_backward(struct ool_tape *t, struct ool_node *node,
                                struct ool_tensor *const *grads, struct ool_tensor **out)
{
    const int64_t *shape = &node->i[2], *strides = &node->i[2 + OOL_MAX_DIMS];
    int n_dims = (int)node->i[0];
    int64_t size = 1;
    struct ool_tensor *storage, *part;

    for (int i = 0; i < n_dims; i++)
        size += (shape[i] - 1) * strides[i];
    storage = ool_zeros(t, ool_dtype(grads[0]), 1, &size);
    part = ool_make_view(t, storage, grads[0]->n_dims, grads[0]->shape, NULL, 0);
    ool_kernel_call(t, "copy", NULL, OOL_T(grads[0]), OOL_T(part));
    out[0] = ool_make_view(t, storage, n_dims, shape, strides, 0);
}
static const struct ool_node_class as_strided_class = {"AsStridedBackward0", as_strided_backward,
                                                       NULL};

/* The view's own history, made anew on top of its base's. */
static void regenerate(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_node *node = ool_node_make(t, &as_strided_class, OOL_T(x->base)), *old = x->node;

    if (node == NULL)
        return;
    node->i[0] = x->base->n_dims;
    memcpy(&node->i[2], x->base->shape, sizeof x->base->shape);
    memcpy(&node->i[2 + OOL_MAX_DIMS], x->base->strides, sizeof x->base->strides);
    ool_node_output(t, node, x);
    ool_node_drop(t, old);
    ool_node_drop(t, node);
}

static void rebase_view(struct ool_tape *t, struct ool_node *inner, struct ool_tensor *x)
{
    struct ool_tensor *base = x->base, *inputs[OOL_NODE_EDGES] = {base};
    struct ool_node *node, *old = base->node;
    uint32_t x_output = x->output;
    struct ool_node *x_old = x->node;

    ool_node_output(t, inner, x); /* its form */
    x->node = x_old;
    x->output = x_output;
    inner->refs--; /* x does not own it */
    node = ool_node_make(t, &copy_slices_class, (int)inner->n_edges, inputs);
    if (node == NULL) /* the base wants no gradient, another input does */
        node = ool_node_blank(t, &copy_slices_class, inner->n_edges);
    if (node == NULL)
        return;
    for (uint32_t i = 1; i < inner->n_edges; i++) {
        node->edges[i] = inner->edges[i];
        if (node->edges[i].node != NULL)
            ool_node_keep(node->edges[i].node);
    }
    node->state = inner;
    node->i[0] = x->offset - base->offset;
    memcpy(&node->i[1], x->strides, sizeof x->strides);
    memcpy(&node->i[1 + OOL_MAX_DIMS], base->strides, sizeof base->strides);
    ool_node_output(t, node, base);
    ool_node_drop(t, old);
    ool_node_drop(t, node);
    regenerate(t, x);
}

/* @node becomes the history of @x, which was changed in place. Takes @node over; NULL is fine. */
static void rebase(struct ool_tape *t, struct ool_node *node, struct ool_tensor *x)
{
    struct ool_node *old = x->node;

    if (node == NULL || t->failed) {
        ool_node_drop(t, node); /* of a recomputation that stopped here */
        return;
    }
    if (x->base != NULL) {
        rebase_view(t, node, x);
        return;
    }
    ool_node_output(t, node, x);
    ool_node_drop(t, old);
    ool_node_drop(t, node);
}

static bool may_change(struct ool_tape *t, const struct ool_tensor *x)
{
    if (t->grad_mode == OOL_GRAD && x->requires_grad && x->node == NULL)
        ool_fail(t, OOL_E_COMBINATION, "an in-place operator on a leaf that requires a gradient");
    return !t->failed;
}

struct ool_tensor *ool_unary_inplace(struct ool_tape *t, enum ool_unary op, struct ool_tensor *x)
{
    struct ool_tensor *copy = NULL;
    struct ool_node *node;

    if (!ool_usable(t, OOL_T(x)) || !may_change(t, x))
        return NULL;
    node = ool_unary_node(t, op, x);
    if (node != NULL && !ool_unary_saves_result(op)) {
        ool_set(t, &copy, ool_make_like(t, x, ool_dtype(x)));
        ool_kernel_call(t, "copy", NULL, OOL_T(x), OOL_T(copy));
        ool_node_save(t, node, copy);
        ool_del(t, &copy);
    }
    ool_kernel_call(t, ool_unary_name(op), NULL, OOL_T(x), OOL_T(x));
    if (node != NULL && ool_unary_saves_result(op))
        ool_node_save_output(t, node, x);
    rebase(t, node, x);
    if (!t->failed)
        return x;
    ool_done(t, OOL_T(x));
    return NULL;
}

void ool_binary_inplace(struct ool_tape *t, enum ool_binary op, struct ool_tensor *x,
                        struct ool_tensor *y)
{
    struct ool_node *node;
    struct ool_tensor *copy = NULL;

    if (!ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(y)) || !may_change(t, x))
        return;
    if (ool_wants_grad(t, OOL_T(x, y)) && ool_requires_grad(y) && op != OOL_ADD && op != OOL_SUB) {
        ool_set(t, &copy, ool_make_like(t, x, ool_dtype(x)));
        ool_kernel_call(t, "copy", NULL, OOL_T(x), OOL_T(copy));
    }
    node = ool_binary_node(t, op, x, y, copy != NULL ? copy : x);
    ool_del(t, &copy);
    ool_kernel_call(t, ool_binary_name(op), NULL, OOL_T(x, y), OOL_T(x));
    rebase(t, node, x);
    if (x != y)
        ool_done(t, OOL_T(y));
}

void ool_binary_scalar_inplace(struct ool_tape *t, enum ool_binary op, struct ool_tensor *x,
                               double number)
{
    struct ool_node *node;
    struct ool_tensor *beside;
    char text[48];
    size_t scope;

    if (!ool_usable(t, OOL_T(x)) || !may_change(t, x))
        return;
    scope = ool_scope_open(t);
    beside = ool_make_number(t, ool_dtype(x));
    node = beside == NULL ? NULL : ool_binary_node(t, op, x, beside, x);
    if (node != NULL)
        node->d[0] = number;
    snprintf(text, sizeof text, "value=%.17g", number);
    ool_kernel_call(t, ool_binary_name(op), text, OOL_T(x), OOL_T(x));
    ool_scope_close(t, scope, NULL);
    rebase(t, node, x);
}

/* --- copy_ ------------------------------------------------------------------------------------------------- */

static void copy_into_backward(struct ool_tape *t, struct ool_node *node,
                               struct ool_tensor *const *grads, struct ool_tensor **out)
{
    if (ool_needs(node, 0))
        out[0] = ool_zeros_like(t, grads[0]);
    if (ool_needs(node, 1))
        out[1] = ool_to(t, grads[0], (enum ool_dtype)node->i[0]);
}
static const struct ool_node_class copy_into_class = {"CopyBackwards", copy_into_backward, NULL};

void ool_copy_history(struct ool_tape *t, struct ool_tensor *target, struct ool_tensor *source)
{
    struct ool_node *node = ool_node_make(t, &copy_into_class, OOL_T(target, source));

    if (node == NULL || !may_change(t, target))
        return;
    node->i[0] = (int64_t)ool_dtype(source);
    rebase(t, node, target);
}

/* --- index_copy_ ------------------------------------------------------------------------------------------ */

/* Saved: index, source. node->i: the dimension. */
static void index_copy_backward(struct ool_tape *t, struct ool_node *node,
                                struct ool_tensor *const *grads, struct ool_tensor **out)
{
    const struct ool_tensor *source = ool_saved(t, node, 1);

    if (ool_needs(node, 0)) { /* grad.index_fill(dim, index, 0) */
        out[0] = ool_make_like(t, grads[0], ool_dtype(grads[0]));
        ool_kernel_call(t, "index_fill", NULL, OOL_T(grads[0], ool_saved(t, node, 0)),
                        OOL_T(out[0]));
    }
    if (ool_needs(node, 1) && source != NULL) { /* grad.index_select(dim, index) */
        out[1] = ool_make_contiguous(t, source, ool_dtype(grads[0]));
        ool_kernel_call(t, "index_select", NULL, OOL_T(grads[0], ool_saved(t, node, 0)),
                        OOL_T(out[1]));
    }
}
static const struct ool_node_class index_copy_class = {"IndexCopyBackward0", index_copy_backward,
                                                       NULL};

void ool_index_copy(struct ool_tape *t, struct ool_tensor *x, int dim, struct ool_tensor *index,
                    struct ool_tensor *source)
{
    struct ool_node *node;

    if (!ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(index)) || !ool_usable(t, OOL_T(source)) ||
        !may_change(t, x))
        return;
    if (ool_dim(x, dim) < 0 || x->n_dims != source->n_dims || x->dtype != source->dtype) {
        ool_fail(t, OOL_E_COMBINATION, "index_copy_: the source does not fit");
        return;
    }
    node = ool_node_make(t, &index_copy_class, OOL_T(x, source));
    ool_node_save(t, node, index);
    ool_node_save_if(t, node, node != NULL && ool_needs(node, 1), source);
    ool_kernel_call(t, "index_copy", NULL, OOL_T(index, source), OOL_T(x));
    rebase(t, node, x);
    ool_done(t, OOL_T(x, index, source));
}
