/*
 * Copies and casts: contiguous, clone, to.
 */
#include "ool_tape_internal.h"

static void copy_backward(struct ool_tape *t, struct ool_node *node,
                          struct ool_tensor *const *grads, struct ool_tensor **out)
{
    (void)t;
    (void)node;
    out[0] = grads[0];
}
static const struct ool_node_class clone_class = {"CloneBackward0", copy_backward, NULL};

/* grad.to(the dtype and device that x had) */
static void to_copy_backward(struct ool_tape *t, struct ool_node *node,
                             struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *x;

    if (node->i[1] == (int64_t)grads[0]->place) {
        out[0] = ool_to(t, grads[0], (enum ool_dtype)node->i[0]);
        return;
    }
    x = ool_make_like_at(t, grads[0], (enum ool_dtype)node->i[0], (enum ool_place)node->i[1]);
    ool_kernel_call(t, "copy", NULL, OOL_T(grads[0]), OOL_T(x));
    out[0] = x;
}
static const struct ool_node_class to_copy_class = {"ToCopyBackward0", to_copy_backward, NULL};

struct ool_tensor *ool_contiguous(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_node *node;
    struct ool_tensor *y;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (ool_is_contiguous(x))
        return x;
    node = ool_node_make(t, &clone_class, OOL_T(x));
    y = ool_make_contiguous(t, x, (enum ool_dtype)x->dtype);
    ool_kernel_call(t, "copy", NULL, OOL_T(x), OOL_T(y));
    return ool_finish(t, node, y, OOL_T(x));
}

struct ool_tensor *ool_clone(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_node *node;
    struct ool_tensor *y;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    node = ool_node_make(t, &clone_class, OOL_T(x));
    y = ool_make_like(t, x, (enum ool_dtype)x->dtype);
    ool_kernel_call(t, "copy", NULL, OOL_T(x), OOL_T(y));
    return ool_finish(t, node, y, OOL_T(x));
}

static struct ool_tensor *converted(struct ool_tape *t, struct ool_tensor *x, enum ool_dtype dtype,
                                    enum ool_place place)
{
    struct ool_node *node = NULL;
    struct ool_tensor *y;

    if (ool_dtype_is_float(dtype))
        node = ool_node_make(t, &to_copy_class, OOL_T(x));
    if (node != NULL) {
        node->i[0] = x->dtype;
        node->i[1] = x->place;
    }
    y = ool_make_like_at(t, x, dtype, place);
    ool_kernel_call(t, "copy", NULL, OOL_T(x), OOL_T(y));
    return ool_finish(t, node, y, OOL_T(x));
}

struct ool_tensor *ool_to(struct ool_tape *t, struct ool_tensor *x, enum ool_dtype dtype)
{
    if (!ool_usable(t, OOL_T(x)) || x->dtype == dtype)
        return t->failed ? NULL : x;
    return converted(t, x, dtype, (enum ool_place)x->place);
}

struct ool_tensor *ool_to_host(struct ool_tape *t, struct ool_tensor *x)
{
    if (!ool_usable(t, OOL_T(x)) || x->place != OOL_PLACE_DEVICE)
        return t->failed ? NULL : x;
    return converted(t, x, (enum ool_dtype)x->dtype, OOL_PLACE_HOST);
}

struct ool_tensor *ool_to_device(struct ool_tape *t, struct ool_tensor *x)
{
    if (!ool_usable(t, OOL_T(x)) || x->place == OOL_PLACE_DEVICE)
        return t->failed ? NULL : x;
    return converted(t, x, (enum ool_dtype)x->dtype, OOL_PLACE_DEVICE);
}

/* Between the host and the device, a cast is made where the source is. */
static void copy_across(struct ool_tape *t, struct ool_tensor *target, struct ool_tensor *source)
{
    struct ool_tensor *cast = NULL;

    if (source->place == OOL_PLACE_DEVICE && source->dtype != target->dtype) {
        cast = ool_make_contiguous(t, source, (enum ool_dtype)target->dtype);
        ool_kernel_call(t, "copy", NULL, OOL_T(source), OOL_T(cast));
        ool_claim(t, cast);
        source = cast;
    }
    ool_kernel_call(t, "copy", NULL, OOL_T(source), OOL_T(target));
    ool_drop(t, cast);
}

void ool_copy_into(struct ool_tape *t, struct ool_tensor *target, struct ool_tensor *source)
{
    if (!ool_usable(t, OOL_T(target)) || !ool_usable(t, OOL_T(source)))
        return;
    if (target->place != source->place)
        copy_across(t, target, source);
    else
        ool_kernel_call(t, "copy", NULL, OOL_T(source), OOL_T(target));
    ool_copy_history(t, target, source);
    ool_done(t, OOL_T(source, target));
}
