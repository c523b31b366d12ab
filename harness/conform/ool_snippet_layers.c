/*
 * ool_snippet_layers.c - the table's lines about layers, losses and autograd.
 */
#include "ool_snippet_calls.h"

#include <math.h>
#include <string.h>

#define MAX_INPUTS 256 /* of autograd.grad */

static struct ool_value *tensor(struct ool_call *c, struct ool_tensor *x)
{
    return ool_value_tensor(c->s, x);
}

/* --- layers ------------------------------------------------------------------------------------------------ */

static struct ool_value *call_linear(struct ool_call *c)
{
    return tensor(c, ool_linear(c->t, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1),
                                ool_arg_tensor_or_none(c, 2)));
}

enum product { PRODUCT_MATMUL, PRODUCT_BMM };

static struct ool_value *call_product(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0), *y = ool_arg_tensor(c, 1);

    return tensor(c, c->variant == PRODUCT_BMM ? ool_bmm(c->t, x, y) : ool_matmul(c->t, x, y));
}

static struct ool_value *call_addmm(struct ool_call *c)
{
    return tensor(
        c, ool_addmm(c->t, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1), ool_arg_tensor(c, 2)));
}

static struct ool_value *call_baddbmm(struct ool_call *c)
{
    return tensor(c, ool_baddbmm(c->t, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1),
                                 ool_arg_tensor(c, 2), ool_arg_number(c, 3, 1),
                                 ool_arg_number(c, 4, 1)));
}

static struct ool_value *call_einsum(struct ool_call *c)
{
    return tensor(
        c, ool_einsum(c->t, ool_arg_text(c, 0, ""), ool_arg_tensor(c, 1), ool_arg_tensor(c, 2)));
}

/* x normalized_shape weight bias */
static struct ool_value *call_layer_norm(struct ool_call *c)
{
    int64_t shape[OOL_MAX_DIMS];
    int n = ool_arg_ints(c, 1, shape, OOL_MAX_DIMS);

    return tensor(c, ool_layer_norm(c->t, ool_arg_tensor(c, 0), n, ool_arg_tensor_or_none(c, 2),
                                    ool_arg_tensor_or_none(c, 3)));
}

static struct ool_value *call_rms_norm(struct ool_call *c)
{
    int64_t shape[OOL_MAX_DIMS];

    if (ool_arg_ints(c, 1, shape, OOL_MAX_DIMS) != 1)
        return ool_call_refuse(c, "over more than the last dimension");
    return tensor(c, ool_rms_norm(c->t, ool_arg_tensor(c, 0), ool_arg_tensor_or_none(c, 2)));
}

static struct ool_value *call_group_norm(struct ool_call *c)
{
    int64_t groups = ool_arg_int(c, 1, 1);

    if (groups < 1 || groups > INT32_MAX)
        return ool_call_refuse(c, "a number of groups out of range");
    return tensor(c, ool_group_norm(c->t, ool_arg_tensor(c, 0), (int)groups,
                                    ool_arg_tensor_or_none(c, 2), ool_arg_tensor_or_none(c, 3)));
}

/* x running_mean running_var weight bias training */
static struct ool_value *call_batch_norm(struct ool_call *c)
{
    return tensor(c, ool_batch_norm(c->t, ool_arg_tensor(c, 0), ool_arg_tensor_or_none(c, 1),
                                    ool_arg_tensor_or_none(c, 2), ool_arg_tensor_or_none(c, 3),
                                    ool_arg_tensor_or_none(c, 4), ool_arg_bool(c, 5, false)));
}

static struct ool_value *call_embedding(struct ool_call *c)
{
    if (ool_arg_bool(c, 4, false) || ool_arg_bool(c, 5, false) || c->arg[3] != NULL)
        return ool_call_refuse(c, "max_norm, scale_grad_by_freq or sparse");
    return tensor(
        c, ool_embedding(c->t, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1), c->arg[2] != NULL));
}

/* x size scale_factor mode */
static struct ool_value *call_interpolate(struct ool_call *c)
{
    static const char *const modes[] = {
        [OOL_NEAREST] = "nearest", [OOL_BILINEAR] = "bilinear", [OOL_BICUBIC] = "bicubic"};
    struct ool_tensor *x = ool_arg_tensor(c, 0);
    const char *mode = ool_arg_text(c, 3, "nearest");
    int64_t size[OOL_MAX_DIMS];
    int n = ool_arg_ints(c, 1, size, OOL_MAX_DIMS), kind = 0;

    while (kind < 3 && strcmp(modes[kind], mode) != 0)
        kind++;
    if (c->s->failed || kind == 3 || ool_dims(x) < 3)
        return ool_call_refuse(c, "a mode that is not known");
    if (c->arg[1] == NULL) {
        double factor = ool_arg_number(c, 2, 1);

        n = ool_dims(x) - 2;
        for (int i = 0; i < n; i++) {
            double wish = floor((double)ool_size(x, i + 2) * factor);

            if (!(wish >= 1 && wish < 1e15))
                return ool_call_refuse(c, "a scale out of range");
            size[i] = (int64_t)wish;
        }
    } else if (n == 1 && c->arg[1]->kind == OOL_VALUE_INT) {
        for (; n < ool_dims(x) - 2; n++)
            size[n] = size[0];
    }
    return tensor(c, ool_interpolate(c->t, x, (enum ool_interpolation)kind, n, size));
}

/* q k v attn_mask dropout_p is_causal enable_gqa */
static struct ool_value *call_sdpa(struct ool_call *c)
{
    struct ool_sdpa_args args = {ool_arg_tensor_or_none(c, 3), ool_arg_number(c, 4, 0),
                                 ool_arg_bool(c, 5, false), ool_arg_bool(c, 7, false)};

    return tensor(
        c, ool_sdpa(c->t, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1), ool_arg_tensor(c, 2), &args));
}

/* --- losses ------------------------------------------------------------------------------------------------ */

static bool reduction(struct ool_call *c, int i, enum ool_loss_reduction *out)
{
    const char *word = ool_arg_text(c, i, "mean");

    if (strcmp(word, "mean") == 0)
        *out = OOL_LOSS_MEAN;
    else if (strcmp(word, "sum") == 0)
        *out = OOL_LOSS_SUM;
    else if (strcmp(word, "none") == 0)
        *out = OOL_LOSS_NONE;
    else
        ool_call_refuse(c, "a reduction that is not known");
    return !c->s->failed;
}

/* x target weight reduction label_smoothing */
static struct ool_value *call_cross_entropy(struct ool_call *c)
{
    enum ool_loss_reduction kind = OOL_LOSS_MEAN;

    if (c->arg[2] != NULL)
        return ool_call_refuse(c, "class weights");
    if (!reduction(c, 6, &kind))
        return NULL;
    return tensor(c, ool_cross_entropy(c->t, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1),
                                       ool_arg_number(c, 7, 0), kind));
}

/* x target weight ... reduction: the mean is what the tape knows */
static struct ool_value *call_loss(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0), *target = ool_arg_tensor(c, 1);
    enum ool_loss_reduction kind = OOL_LOSS_MEAN;

    if (c->arg[2] != NULL)
        return ool_call_refuse(c, "weights");
    if (!reduction(c, 3, &kind))
        return NULL;
    if (kind != OOL_LOSS_MEAN)
        return ool_call_refuse(c, "a reduction other than the mean");
    if (c->variant == 0)
        return tensor(c, ool_nll_loss(c->t, x, target));
    if (c->variant == 1)
        return tensor(c, ool_mse_loss(c->t, x, target));
    return tensor(c, ool_bce_with_logits(c->t, x, target));
}

/* --- autograd ------------------------------------------------------------------------------------------------ */

/* x gradient retain_graph create_graph */
static struct ool_value *call_backward(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);

    if (ool_arg_bool(c, 3, false))
        return ool_call_refuse(c, "create_graph");
    ool_backward(c->t, x, ool_arg_tensor_or_none(c, 1), ool_arg_bool(c, 2, false));
    return ool_snippet_good(c->s) ? ool_value_none(c->s) : NULL;
}

/* outputs inputs grad_outputs retain_graph */
static struct ool_value *call_grad(struct ool_call *c)
{
    struct ool_tensor *inputs[MAX_INPUTS], *grads[MAX_INPUTS] = {NULL};
    struct ool_tensor *root = ool_arg_tensor(c, 0), *gradient = ool_arg_tensor_or_none(c, 2);
    struct ool_value *list = ool_arg_tensors(c, 1), *result = NULL;

    if (list == NULL)
        return NULL;
    if (list->n_items > MAX_INPUTS || ool_arg_bool(c, 3, false)) {
        ool_call_refuse(c, "too many inputs, or retain_graph");
    } else {
        for (size_t i = 0; i < list->n_items; i++)
            inputs[i] = list->items[i]->tensor;
        ool_gradients(c->t, root, gradient, inputs, list->n_items, grads);
        if (ool_snippet_good(c->s))
            result = ool_call_tuple(c, grads, (int)list->n_items);
    }
    ool_value_drop(c->s, list);
    return result;
}

static struct ool_value *call_requires_grad(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);

    if (c->s->failed)
        return NULL;
    if (!ool_is_leaf(x))
        return ool_call_refuse(c, "of a tensor that is no leaf");
    ool_require_grad(x, ool_arg_bool(c, 1, true));
    return ool_snippet_good(c->s) ? ool_value_share(c->arg[0]) : NULL;
}

/* clang-format off */
const struct ool_call_line ool_layer_calls[] = {
    {"F.linear", "input weight bias?", call_linear, 0},
    {"torch.matmul Tensor.matmul torch.mm Tensor.mm", "input other", call_product, PRODUCT_MATMUL},
    {"torch.bmm Tensor.bmm", "input mat2", call_product, PRODUCT_BMM},
    {"torch.addmm", "input mat1 mat2", call_addmm, 0},
    {"torch.baddbmm", "input batch1 batch2 beta? alpha?", call_baddbmm, 0},
    {"torch.einsum", "equation x y", call_einsum, 0},
    {"F.layer_norm", "input normalized_shape weight? bias? ~eps", call_layer_norm, 0},
    {"F.rms_norm", "input normalized_shape weight? ~eps", call_rms_norm, 0},
    {"F.group_norm", "input num_groups weight? bias? ~eps", call_group_norm, 0},
    {"F.batch_norm", "input running_mean? running_var? weight? bias? training? ~momentum ~eps", call_batch_norm, 0},
    {"F.embedding", "input weight padding_idx? max_norm? scale_grad_by_freq? sparse?", call_embedding, 0},
    {"F.interpolate", "input size? scale_factor? mode? ~align_corners", call_interpolate, 0},
    {"F.scaled_dot_product_attention", "query key value attn_mask? dropout_p? is_causal? ~scale enable_gqa?", call_sdpa, 0},

    {"F.cross_entropy", "input target weight? ~size_average ~ignore_index ~reduce reduction? label_smoothing?", call_cross_entropy, 0},
    {"F.nll_loss", "input target weight? reduction? ~ignore_index", call_loss, 0},
    {"F.mse_loss", "input target weight? reduction?", call_loss, 1},
    {"F.binary_cross_entropy_with_logits", "input target weight? reduction?", call_loss, 2},

    {"Tensor.backward", "input gradient? retain_graph? create_graph?", call_backward, 0},
    {"torch.autograd.grad", "outputs inputs grad_outputs? retain_graph?", call_grad, 0},
    {"Tensor.requires_grad_", "input requires_grad?", call_requires_grad, 0},
    {NULL, NULL, NULL, 0},
};
/* clang-format on */
