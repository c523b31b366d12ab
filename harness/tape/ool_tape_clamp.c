/*
 * clamp between two tensors, which need no gradient themselves.
 */
#include "ool_tape_internal.h"

/* where(self >= low and self <= high, grad, 0); saved: high, low, self */
static void clamp_backward(struct ool_tape *t, struct ool_node *node,
                           struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *high = ool_saved(t, node, 0), *low = ool_saved(t, node, 1);
    struct ool_tensor *x = ool_saved(t, node, 2), *zero = NULL, *above = NULL, *below = NULL;

    ool_set(t, &zero, ool_full(t, ool_dtype(grads[0]), 0, 0, NULL));
    ool_set(t, &above, ool_binary(t, OOL_GE, x, low));
    ool_set(t, &below, ool_binary(t, OOL_LE, x, high));
    ool_kernel_call(t, "logical_and", NULL, OOL_T(above, below), OOL_T(above));
    OOL_EXPRESSION(t, out[0], ool_where(t, above, grads[0], zero));
    ool_del(t, &below);
    ool_del(t, &above);
    ool_del(t, &zero);
}
static const struct ool_node_class clamp_class = {"ClampBackward1", clamp_backward, NULL};

struct ool_tensor *ool_clamp_between(struct ool_tape *t, struct ool_tensor *x,
                                     struct ool_tensor *low, struct ool_tensor *high)
{
    struct ool_node *node;
    struct ool_tensor *y;

    if (!ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(low)) || !ool_usable(t, OOL_T(high)))
        return NULL;
    if (ool_wants_grad(t, OOL_T(low, high)))
        return ool_fail(t, OOL_E_UNSUPPORTED, "the bounds of clamp get no gradient here");
    node = ool_node_make(t, &clamp_class, OOL_T(x));
    ool_node_save(t, node, high);
    ool_node_save(t, node, low);
    ool_node_save(t, node, x);
    y = ool_make_iterated(t, ool_promote(OOL_T(x, low, high)), OOL_T(x, low, high));
    ool_kernel_call(t, "clamp", NULL, OOL_T(x, low, high), OOL_T(y));
    return ool_finish(t, node, y, OOL_T(x, low, high));
}
