/*
 * torch.autograd.grad: a backward whose gradients go to the caller instead of into .grad.
 */
#include "ool_tape_internal.h"

#include "ool_mem.h"

void ool_gradients(struct ool_tape *t, struct ool_tensor *root, struct ool_tensor *gradient,
                   struct ool_tensor *const *inputs, size_t n, struct ool_tensor **grads)
{
    struct ool_tensor **kept = ool_calloc(n + 1, sizeof(struct ool_tensor *));

    if (kept == NULL) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for gradients");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!ool_is_leaf(inputs[i]))
            ool_fail(t, OOL_E_UNSUPPORTED, "the gradient of a tensor that is no leaf");
        kept[i] = inputs[i]->grad;
        inputs[i]->grad = NULL;
    }
    ool_backward(t, root, gradient, false);
    for (size_t i = 0; i < n; i++) {
        grads[i] = inputs[i]->grad != NULL ? ool_return(t, &inputs[i]->grad) : NULL;
        inputs[i]->grad = kept[i];
    }
    ool_free(kept);
}
