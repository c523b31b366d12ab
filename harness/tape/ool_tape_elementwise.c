/*
 * Elementwise operators of one and two tensors, with their derivatives.
 */
#include "ool_tape_internal.h"

#include <math.h>
#include <stdio.h>

struct ool_tensor *ool_pointwise(struct ool_tape *t, const char *name, enum ool_dtype dtype, int n,
                                 struct ool_tensor *const *operands)
{
    struct ool_tensor *y;

    if (!ool_usable(t, n, operands))
        return NULL;
    y = ool_make_iterated(t, dtype, n, operands);
    ool_kernel_call(t, name, NULL, n, operands, OOL_T(y));
    return y;
}

void ool_accumulate_into(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *y)
{
    if (ool_usable(t, OOL_T(x)) && ool_usable(t, OOL_T(y)))
        ool_kernel_call(t, "add", NULL, OOL_T(x, y), OOL_T(x));
}

/* --- one tensor ------------------------------------------------------------------------------------------ */

enum keeps { KEEPS_NOTHING, KEEPS_INPUT, KEEPS_RESULT };

struct unary {
    const char *name;
    enum keeps keeps;
    bool f32_under_autocast;
    bool in_place_keeps_result; /* its in-place form saves the result, else it clones its input */
};

static const struct unary unaries[] = {
    [OOL_NEG] = {"neg", KEEPS_NOTHING, false, false},
    [OOL_ABS] = {"abs", KEEPS_INPUT, false, false},
    [OOL_EXP] = {"exp", KEEPS_RESULT, true, true},
    [OOL_SQRT] = {"sqrt", KEEPS_RESULT, false, true},
    [OOL_RSQRT] = {"rsqrt", KEEPS_RESULT, true, true},
    [OOL_TANH] = {"tanh", KEEPS_RESULT, false, true},
    [OOL_SIGMOID] = {"sigmoid", KEEPS_RESULT, false, true},
    [OOL_RELU] = {"relu", KEEPS_RESULT, false, true},
    [OOL_SILU] = {"silu", KEEPS_INPUT, false, false},
    [OOL_GELU_ERF] = {"gelu", KEEPS_INPUT, false, false},
    [OOL_GELU_TANH] = {"gelu_tanh", KEEPS_INPUT, false, false},
    [OOL_LEAKY_RELU] = {"leaky_relu", KEEPS_INPUT, false, true},
    [OOL_ELU] = {"elu", KEEPS_INPUT, false, true},
    [OOL_SOFTPLUS] = {"softplus", KEEPS_INPUT, true, false},
    [OOL_COS] = {"cos", KEEPS_INPUT, false, false},
    [OOL_SIN] = {"sin", KEEPS_INPUT, false, false},
    [OOL_LOG] = {"log", KEEPS_INPUT, true, false},
    [OOL_MISH] = {"mish", KEEPS_INPUT, false, false},
    [OOL_HARDSWISH] = {"hardswish", KEEPS_INPUT, false, false},
    [OOL_HARDSIGMOID] = {"hardsigmoid", KEEPS_INPUT, false, false},
    [OOL_RELU6] = {"relu6", KEEPS_INPUT, false, false},
    [OOL_LOGICAL_NOT] = {"logical_not", KEEPS_NOTHING, false, false},
    [OOL_SQUARE] = {"square", KEEPS_INPUT, true, false},
};

/* One kernel over the gradient and what was saved, "<name>_backward". */
static struct ool_tensor *fused_backward(struct ool_tape *t, const char *name,
                                         struct ool_tensor *grad, struct ool_tensor *saved)
{
    char text[48];
    enum ool_dtype dtype = ool_promote(OOL_T(grad, saved));

    snprintf(text, sizeof text, "%s_backward", name);
    return ool_pointwise(t, text, dtype, OOL_T(grad, saved));
}

static struct ool_tensor *composed_backward(struct ool_tape *t, enum ool_unary op,
                                            struct ool_tensor *grad, struct ool_tensor *x)
{
    struct ool_tensor *a, *b;

    switch (op) {
    case OOL_NEG:
        return ool_unary(t, OOL_NEG, grad);
    case OOL_ABS:
        a = ool_pointwise(t, "sgn", ool_dtype(x), OOL_T(x));
        return ool_mul(t, grad, a);
    case OOL_EXP:
        return ool_mul(t, grad, x);
    case OOL_SQRT:
        a = ool_scale(t, x, 2);
        return ool_binary(t, OOL_DIV, grad, a);
    case OOL_RSQRT:
        a = ool_scale(t, grad, -0.5);
        b = ool_binary_scalar(t, OOL_POW, x, 3);
        return ool_mul(t, a, b);
    case OOL_COS:
        a = ool_unary(t, OOL_SIN, x);
        b = ool_unary(t, OOL_NEG, a);
        return ool_mul(t, grad, b);
    case OOL_SIN:
        a = ool_unary(t, OOL_COS, x);
        return ool_mul(t, grad, a);
    case OOL_LOG:
        return ool_binary(t, OOL_DIV, grad, x);
    case OOL_SQUARE:
        a = ool_binary_scalar(t, OOL_POW, x, 1);
        b = ool_scale(t, a, 2);
        return ool_mul(t, grad, b);
    default:
        return fused_backward(t, unaries[op].name, grad, x);
    }
}

static void unary_backward(struct ool_tape *t, struct ool_node *node,
                           struct ool_tensor *const *grads, struct ool_tensor **out)
{
    enum ool_unary op = (enum ool_unary)node->i[0];

    OOL_EXPRESSION(t, out[0], composed_backward(t, op, grads[0], ool_saved(t, node, 0)));
}
static const struct ool_node_class unary_classes[] = {
    [OOL_NEG] = {"NegBackward0", unary_backward, NULL},
    [OOL_ABS] = {"AbsBackward0", unary_backward, NULL},
    [OOL_EXP] = {"ExpBackward0", unary_backward, NULL},
    [OOL_SQRT] = {"SqrtBackward0", unary_backward, NULL},
    [OOL_RSQRT] = {"RsqrtBackward0", unary_backward, NULL},
    [OOL_TANH] = {"TanhBackward0", unary_backward, NULL},
    [OOL_SIGMOID] = {"SigmoidBackward0", unary_backward, NULL},
    [OOL_RELU] = {"ReluBackward0", unary_backward, NULL},
    [OOL_SILU] = {"SiluBackward0", unary_backward, NULL},
    [OOL_GELU_ERF] = {"GeluBackward0", unary_backward, NULL},
    [OOL_GELU_TANH] = {"GeluBackward0", unary_backward, NULL},
    [OOL_LEAKY_RELU] = {"LeakyReluBackward0", unary_backward, NULL},
    [OOL_ELU] = {"EluBackward0", unary_backward, NULL},
    [OOL_SOFTPLUS] = {"SoftplusBackward0", unary_backward, NULL},
    [OOL_COS] = {"CosBackward0", unary_backward, NULL},
    [OOL_SIN] = {"SinBackward0", unary_backward, NULL},
    [OOL_LOG] = {"LogBackward0", unary_backward, NULL},
    [OOL_MISH] = {"MishBackward0", unary_backward, NULL},
    [OOL_HARDSWISH] = {"HardswishBackward0", unary_backward, NULL},
    [OOL_HARDSIGMOID] = {"HardsigmoidBackward0", unary_backward, NULL},
    [OOL_RELU6] = {"HardtanhBackward0", unary_backward, NULL},
    [OOL_SQUARE] = {"PowBackward0", unary_backward, NULL},
};

static enum ool_dtype unary_type(enum ool_unary op, const struct ool_tensor *x)
{
    enum ool_dtype dtype = ool_dtype(x);

    if (op == OOL_LOGICAL_NOT)
        return OOL_BOOL;
    if (ool_dtype_is_float(dtype) || op == OOL_NEG || op == OOL_ABS || op == OOL_SQUARE ||
        op == OOL_RELU)
        return dtype;
    return OOL_F32;
}

struct ool_node *ool_unary_node(struct ool_tape *t, enum ool_unary op, struct ool_tensor *x)
{
    struct ool_node *node =
        op == OOL_LOGICAL_NOT ? NULL : ool_node_make(t, &unary_classes[op], OOL_T(x));

    if (node != NULL)
        node->i[0] = op;
    return node;
}

struct ool_tensor *ool_unary(struct ool_tape *t, enum ool_unary op, struct ool_tensor *x)
{
    struct ool_tensor *y, *given = x;
    struct ool_node *node;
    size_t scope;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (unaries[op].f32_under_autocast && ool_autocast_on(t)) {
        bool was = ool_autocast_set(t, false);

        scope = ool_scope_open(t);
        x = ool_cast_f32(t, x);
        y = ool_scope_close(t, scope, ool_unary(t, op, x));
        ool_autocast_set(t, was);
        return ool_finish(t, NULL, y, OOL_T(given));
    }
    node = ool_unary_node(t, op, x);
    if (unaries[op].keeps == KEEPS_INPUT)
        ool_node_save(t, node, x);
    y = ool_make_iterated(t, unary_type(op, x), OOL_T(x));
    ool_kernel_call(t, unaries[op].name, NULL, OOL_T(x), OOL_T(y));
    if (unaries[op].keeps == KEEPS_RESULT)
        ool_node_save_output(t, node, y);
    return ool_finish(t, node, y, OOL_T(x));
}

const char *ool_unary_name(enum ool_unary op)
{
    return unaries[op].name;
}

bool ool_unary_saves_result(enum ool_unary op)
{
    return unaries[op].in_place_keeps_result;
}

/* --- two tensors ----------------------------------------------------------------------------------------- */

static const char *const binaries[] = {
    [OOL_ADD] = "add", [OOL_SUB] = "sub",         [OOL_MUL] = "mul",         [OOL_DIV] = "div",
    [OOL_POW] = "pow", [OOL_MAXIMUM] = "maximum", [OOL_MINIMUM] = "minimum", [OOL_EQ] = "eq",
    [OOL_NE] = "ne",   [OOL_LT] = "lt",           [OOL_LE] = "le",           [OOL_GT] = "gt",
    [OOL_GE] = "ge",   [OOL_AND] = "and",         [OOL_OR] = "or",
};

const char *ool_binary_name(enum ool_binary op)
{
    return binaries[op];
}

static bool differentiable(enum ool_binary op)
{
    return op <= OOL_MINIMUM;
}

/* node->i: [0] operator; node->d[0]: the number in place of the second tensor. Saved: other, self. */
static struct ool_tensor *other_gradient(struct ool_tape *t, struct ool_node *node,
                                         struct ool_tensor *grad)
{
    struct ool_tensor *other = ool_saved(t, node, 0), *self = ool_saved(t, node, 1), *a, *b;

    switch ((enum ool_binary)node->i[0]) {
    case OOL_ADD:
        return grad;
    case OOL_SUB:
        return ool_unary(t, OOL_NEG, grad);
    case OOL_MUL:
        return ool_mul(t, grad, self);
    case OOL_DIV:
        a = ool_unary(t, OOL_NEG, grad);
        b = ool_binary(t, OOL_DIV, ool_binary(t, OOL_DIV, self, other), other);
        return ool_mul(t, a, b);
    default:
        return ool_fail(t, OOL_E_UNSUPPORTED, "the gradient of %s to its second operand",
                        binaries[node->i[0]]);
    }
}

static struct ool_tensor *pow_gradient(struct ool_tape *t, struct ool_node *node,
                                       struct ool_tensor *grad)
{
    double exponent = node->d[0];
    struct ool_tensor *self = ool_saved(t, node, 1), *a, *b;

    if (exponent == 0)
        return ool_zeros_like(t, self);
    a = ool_binary_scalar(t, OOL_POW, self, exponent - 1);
    b = ool_scale(t, a, exponent);
    return ool_mul(t, grad, b);
}

/* where(self == other, grad / 2, grad) with zeros where the other one won */
static struct ool_tensor *extremum_gradient(struct ool_tape *t, struct ool_node *node,
                                            struct ool_tensor *grad, bool of_other)
{
    struct ool_tensor *other = ool_saved(t, node, 0), *self = ool_saved(t, node, 1);
    struct ool_tensor *half = ool_binary_scalar(t, OOL_DIV, grad, 2);
    struct ool_tensor *equal = ool_binary(t, OOL_EQ, self, other);
    struct ool_tensor *y = ool_where(t, equal, half, grad);
    bool less = (node->i[0] == OOL_MAXIMUM) != of_other;
    struct ool_tensor *lost = ool_binary(t, less ? OOL_LT : OOL_GT, self, other);

    ool_kernel_call(t, "masked_fill", "value=0", OOL_T(y, lost), OOL_T(y));
    return y;
}

static struct ool_tensor *self_gradient(struct ool_tape *t, struct ool_node *node,
                                        struct ool_tensor *grad)
{
    struct ool_tensor *other = ool_saved(t, node, 0);

    switch ((enum ool_binary)node->i[0]) {
    case OOL_MUL:
        return other != NULL ? ool_mul(t, grad, other) : ool_scale(t, grad, node->d[0]);
    case OOL_DIV:
        return other != NULL ? ool_binary(t, OOL_DIV, grad, other)
                             : ool_binary_scalar(t, OOL_DIV, grad, node->d[0]);
    case OOL_POW:
        return pow_gradient(t, node, grad);
    case OOL_MAXIMUM:
    case OOL_MINIMUM:
        return extremum_gradient(t, node, grad, false);
    default:
        return grad;
    }
}

static void binary_backward(struct ool_tape *t, struct ool_node *node,
                            struct ool_tensor *const *grads, struct ool_tensor **out)
{
    bool extremum = node->i[0] == OOL_MAXIMUM || node->i[0] == OOL_MINIMUM;

    if (ool_needs(node, 1) && extremum)
        OOL_EXPRESSION(t, out[1], extremum_gradient(t, node, grads[0], true));
    else if (ool_needs(node, 1))
        OOL_EXPRESSION(t, out[1], other_gradient(t, node, grads[0]));
    if (ool_needs(node, 0))
        OOL_EXPRESSION(t, out[0], self_gradient(t, node, grads[0]));
}
static const struct ool_node_class add_class = {"AddBackward0", binary_backward, NULL};
static const struct ool_node_class sub_class = {"SubBackward0", binary_backward, NULL};
static const struct ool_node_class mul_class = {"MulBackward0", binary_backward, NULL};
static const struct ool_node_class div_class = {"DivBackward0", binary_backward, NULL};
static const struct ool_node_class pow_class = {"PowBackward0", binary_backward, NULL};
static const struct ool_node_class maximum_class = {"MaximumBackward0", binary_backward, NULL};
static const struct ool_node_class minimum_class = {"MinimumBackward0", binary_backward, NULL};

static const struct ool_node_class *const binary_classes[] = {
    [OOL_ADD] = &add_class,         [OOL_SUB] = &sub_class, [OOL_MUL] = &mul_class,
    [OOL_DIV] = &div_class,         [OOL_POW] = &pow_class, [OOL_MAXIMUM] = &maximum_class,
    [OOL_MINIMUM] = &minimum_class,
};

struct ool_node *ool_binary_node(struct ool_tape *t, enum ool_binary op, struct ool_tensor *x,
                                 struct ool_tensor *y, struct ool_tensor *saved_x)
{
    struct ool_node *node =
        differentiable(op) ? ool_node_make(t, binary_classes[op], OOL_T(x, y)) : NULL;
    bool x_needs, y_needs, extremum = op == OOL_MAXIMUM || op == OOL_MINIMUM;

    if (node == NULL)
        return NULL;
    node->i[0] = op;
    x_needs = ool_needs(node, 0);
    y_needs = ool_needs(node, 1);
    ool_node_save_if(t, node, extremum || op == OOL_DIV || (op == OOL_MUL && x_needs), y);
    ool_node_save_if(t, node,
                     extremum || op == OOL_POW || ((op == OOL_MUL || op == OOL_DIV) && y_needs),
                     saved_x);
    return node;
}

static enum ool_dtype binary_type(enum ool_binary op, int n, struct ool_tensor *const *operands)
{
    enum ool_dtype dtype;

    if (op >= OOL_EQ && op <= OOL_GE)
        return OOL_BOOL;
    dtype = ool_promote(n, operands);
    if (op == OOL_DIV && !ool_dtype_is_float(dtype))
        return OOL_F32;
    return dtype;
}

struct ool_tensor *ool_binary(struct ool_tape *t, enum ool_binary op, struct ool_tensor *x,
                              struct ool_tensor *y)
{
    struct ool_node *node;
    struct ool_tensor *z;

    if (!ool_usable(t, OOL_T(x)) || !ool_usable(t, OOL_T(y)))
        return NULL;
    node = ool_binary_node(t, op, x, y, x);
    z = ool_pointwise(t, binaries[op], binary_type(op, OOL_T(x, y)), OOL_T(x, y));
    return ool_finish(t, node, z, OOL_T(x, y));
}

/* A Python number beside a tensor of @dtype: a float makes an integer tensor a float one. */
static enum ool_dtype number_type(enum ool_dtype dtype, double number)
{
    if (ool_dtype_is_float(dtype) || number != floor(number))
        return OOL_F32;
    return OOL_I64;
}

struct ool_tensor *ool_binary_scalar(struct ool_tape *t, enum ool_binary op, struct ool_tensor *x,
                                     double number)
{
    struct ool_tensor *y, *given = x, *beside;
    struct ool_node *node;
    char text[48];
    size_t scope;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (op == OOL_POW && ool_autocast_on(t)) {
        bool was = ool_autocast_set(t, false);

        scope = ool_scope_open(t);
        x = ool_cast_f32(t, x);
        y = ool_scope_close(t, scope, ool_binary_scalar(t, op, x, number));
        ool_autocast_set(t, was);
        return ool_finish(t, NULL, y, OOL_T(given));
    }
    scope = ool_scope_open(t);
    beside = ool_make_number(t, number_type(ool_dtype(x), number));
    node = ool_binary_node(t, op, x, beside, x);
    if (node != NULL)
        node->d[0] = number;
    y = ool_make_iterated(t, binary_type(op, OOL_T(x, beside)), OOL_T(x, beside));
    snprintf(text, sizeof text, "value=%.17g", number);
    ool_kernel_call(t, binaries[op], text, OOL_T(x), OOL_T(y));
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, node, y, OOL_T(given));
}

/* --- number op tensor ---------------------------------------------------------------------------------------- */

static void rsub_backward(struct ool_tape *t, struct ool_node *node,
                          struct ool_tensor *const *grads, struct ool_tensor **out)
{
    (void)node;
    out[0] = ool_unary(t, OOL_NEG, grads[0]);
}
static const struct ool_node_class rsub_class = {"RsubBackward1", rsub_backward, NULL};

/* -grad * (result * result) */
static struct ool_tensor *reciprocal_gradient(struct ool_tape *t, struct ool_tensor *grad,
                                              struct ool_tensor *result)
{
    struct ool_tensor *a = ool_unary(t, OOL_NEG, grad);
    struct ool_tensor *b = ool_mul(t, result, result);

    return ool_mul(t, a, b);
}

static void reciprocal_backward(struct ool_tape *t, struct ool_node *node,
                                struct ool_tensor *const *grads, struct ool_tensor **out)
{
    OOL_EXPRESSION(t, out[0], reciprocal_gradient(t, grads[0], ool_saved(t, node, 0)));
}
static const struct ool_node_class reciprocal_class = {"ReciprocalBackward0", reciprocal_backward,
                                                       NULL};

static struct ool_tensor *reciprocal(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_node *node = ool_node_make(t, &reciprocal_class, OOL_T(x));
    struct ool_tensor *y =
        ool_make_iterated(t, ool_dtype_is_float(ool_dtype(x)) ? ool_dtype(x) : OOL_F32, OOL_T(x));

    ool_kernel_call(t, "reciprocal", NULL, OOL_T(x), OOL_T(y));
    ool_node_save_output(t, node, y);
    return ool_finish(t, node, y, OOL_T(x));
}

struct ool_tensor *ool_scalar_binary(struct ool_tape *t, enum ool_binary op, double x,
                                     struct ool_tensor *y)
{
    struct ool_node *node;
    struct ool_tensor *z;
    char text[48];

    if (!ool_usable(t, OOL_T(y)))
        return NULL;
    switch (op) {
    case OOL_ADD:
    case OOL_MUL:
    case OOL_EQ:
    case OOL_NE:
        return ool_binary_scalar(t, op, y, x);
    case OOL_LT:
        return ool_binary_scalar(t, OOL_GT, y, x);
    case OOL_LE:
        return ool_binary_scalar(t, OOL_GE, y, x);
    case OOL_GT:
        return ool_binary_scalar(t, OOL_LT, y, x);
    case OOL_GE:
        return ool_binary_scalar(t, OOL_LE, y, x);
    case OOL_SUB:
        node = ool_node_make(t, &rsub_class, OOL_T(y));
        z = ool_make_iterated(t, ool_dtype(y), OOL_T(y));
        snprintf(text, sizeof text, "value=%.17g", x);
        ool_kernel_call(t, "rsub", text, OOL_T(y), OOL_T(z));
        return ool_finish(t, node, z, OOL_T(y));
    case OOL_DIV:
        return ool_scale(t, reciprocal(t, y), x);
    case OOL_POW: /* number ** tensor, as in rotary frequencies: no gradient is asked of it */
        if (ool_wants_grad(t, OOL_T(y)))
            return ool_fail(t, OOL_E_UNSUPPORTED, "the gradient of number ** tensor");
        z = ool_make_iterated(t, ool_dtype_is_float(ool_dtype(y)) ? ool_dtype(y) : OOL_F32,
                              OOL_T(y));
        ool_kernel_call(t, "exponential", NULL, OOL_T(y), OOL_T(z));
        return ool_finish(t, NULL, z, OOL_T(y));
    default:
        return ool_fail(t, OOL_E_UNSUPPORTED, "number %s tensor", binaries[op]);
    }
}
