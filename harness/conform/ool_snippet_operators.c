/*
 * ool_snippet_operators.c - Python's operators, subscripts and attributes on the values of a snippet.
 */
#include "ool_snippet_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- numbers -------------------------------------------------------------------------------------- */

static struct ool_value *unknown(struct ool_snippet *s, const struct ool_value *x,
                                 const struct ool_value *y)
{
    return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "this operator between a %s and a %s",
                            ool_value_kind_name(x), ool_value_kind_name(y));
}

static struct ool_value *whole_numbers(struct ool_snippet *s, enum ool_syntax_op op, int64_t x,
                                       int64_t y)
{
    int64_t result = 0;
    bool overflow = false;

    switch (op) {
    case OOL_SYNTAX_ADD:
        overflow = __builtin_add_overflow(x, y, &result);
        break;
    case OOL_SYNTAX_SUB:
        overflow = __builtin_sub_overflow(x, y, &result);
        break;
    case OOL_SYNTAX_MUL:
        overflow = __builtin_mul_overflow(x, y, &result);
        break;
    case OOL_SYNTAX_FLOOR_DIV:
    case OOL_SYNTAX_MOD:
        if (y == 0 || (x == INT64_MIN && y == -1))
            return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a division of whole numbers");
        result = op == OOL_SYNTAX_MOD ? x % y : x / y;
        if (x % y != 0 && (x < 0) != (y < 0))
            result += op == OOL_SYNTAX_MOD ? y : -1;
        break;
    case OOL_SYNTAX_POW:
        if (y < 0)
            return ool_value_float(s, pow((double)x, (double)y));
        if (y > 64 && x != 0 && x != 1)
            overflow = true;
        result = 1;
        for (int64_t i = 0; i < y && i < 64 && !overflow; i++)
            overflow = __builtin_mul_overflow(result, x, &result);
        break;
    case OOL_SYNTAX_BIT_AND:
        result = x & y;
        break;
    case OOL_SYNTAX_BIT_OR:
        result = x | y;
        break;
    case OOL_SYNTAX_BIT_XOR:
        result = x ^ y;
        break;
    case OOL_SYNTAX_SHIFT_LEFT:
        if (x < 0 || y < 0 || y > 62 || x > INT64_MAX >> y)
            overflow = true;
        else
            result = x << y;
        break;
    case OOL_SYNTAX_SHIFT_RIGHT:
        if (x < 0 || y < 0 || y > 63)
            overflow = true;
        else
            result = x >> y;
        break;
    default:
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "this operator between whole numbers");
    }
    if (overflow)
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a number of more than 64 bits");
    return ool_value_int(s, result);
}

static struct ool_value *real_numbers(struct ool_snippet *s, enum ool_syntax_op op, double x,
                                      double y)
{
    switch (op) {
    case OOL_SYNTAX_ADD:
        return ool_value_float(s, x + y);
    case OOL_SYNTAX_SUB:
        return ool_value_float(s, x - y);
    case OOL_SYNTAX_MUL:
        return ool_value_float(s, x * y);
    case OOL_SYNTAX_DIV:
        if (!(y > 0 || y < 0))
            break;
        return ool_value_float(s, x / y);
    case OOL_SYNTAX_FLOOR_DIV:
        if (!(y > 0 || y < 0))
            break;
        return ool_value_float(s, floor(x / y));
    case OOL_SYNTAX_POW:
        return ool_value_float(s, pow(x, y));
    default:
        break;
    }
    return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "this operator between numbers");
}

static struct ool_value *compare(struct ool_snippet *s, enum ool_syntax_op op, double x, double y)
{
    switch (op) {
    case OOL_SYNTAX_EQ:
        return ool_value_bool(s, !(x < y) && !(x > y));
    case OOL_SYNTAX_NE:
        return ool_value_bool(s, x < y || x > y);
    case OOL_SYNTAX_LT:
        return ool_value_bool(s, x < y);
    case OOL_SYNTAX_LE:
        return ool_value_bool(s, x <= y);
    case OOL_SYNTAX_GT:
        return ool_value_bool(s, x > y);
    default:
        return ool_value_bool(s, x >= y);
    }
}

static struct ool_value *numbers(struct ool_snippet *s, enum ool_syntax_op op,
                                 const struct ool_value *x, const struct ool_value *y)
{
    if (op >= OOL_SYNTAX_EQ && op <= OOL_SYNTAX_GE)
        return compare(s, op, ool_value_number(x), ool_value_number(y));
    if (x->kind != OOL_VALUE_FLOAT && y->kind != OOL_VALUE_FLOAT && op != OOL_SYNTAX_DIV)
        return whole_numbers(s, op, x->integer, y->integer);
    return real_numbers(s, op, ool_value_number(x), ool_value_number(y));
}

/* --- tensors ---------------------------------------------------------------------------------------- */

static bool tensor_op(enum ool_syntax_op op, enum ool_binary *out)
{
    static const struct {
        enum ool_syntax_op op;
        enum ool_binary binary;
    } ops[] = {
        {OOL_SYNTAX_ADD, OOL_ADD},   {OOL_SYNTAX_SUB, OOL_SUB}, {OOL_SYNTAX_MUL, OOL_MUL},
        {OOL_SYNTAX_DIV, OOL_DIV},   {OOL_SYNTAX_POW, OOL_POW}, {OOL_SYNTAX_EQ, OOL_EQ},
        {OOL_SYNTAX_NE, OOL_NE},     {OOL_SYNTAX_LT, OOL_LT},   {OOL_SYNTAX_LE, OOL_LE},
        {OOL_SYNTAX_GT, OOL_GT},     {OOL_SYNTAX_GE, OOL_GE},   {OOL_SYNTAX_BIT_AND, OOL_AND},
        {OOL_SYNTAX_BIT_OR, OOL_OR},
    };

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        if (ops[i].op == op) {
            *out = ops[i].binary;
            return true;
        }
    return false;
}

static struct ool_value *tensors(struct ool_snippet *s, enum ool_syntax_op op,
                                 const struct ool_value *x, const struct ool_value *y)
{
    bool x_is = x->kind == OOL_VALUE_TENSOR, y_is = y->kind == OOL_VALUE_TENSOR;
    enum ool_binary binary;

    if (op == OOL_SYNTAX_MATMUL && x_is && y_is)
        return ool_value_tensor(s, ool_matmul(s->t, x->tensor, y->tensor));
    if (!tensor_op(op, &binary))
        return unknown(s, x, y);
    if (x_is && y_is)
        return ool_value_tensor(s, ool_binary(s->t, binary, x->tensor, y->tensor));
    if (x_is && ool_value_is_number(y))
        return ool_value_tensor(s, ool_binary_scalar(s->t, binary, x->tensor, ool_value_number(y)));
    if (y_is && ool_value_is_number(x))
        return ool_value_tensor(s, ool_scalar_binary(s->t, binary, ool_value_number(x), y->tensor));
    return unknown(s, x, y);
}

/* --- all kinds ---------------------------------------------------------------------------------------- */

struct ool_value *ool_snippet_unary(struct ool_snippet *s, enum ool_syntax_op op,
                                    struct ool_value *x)
{
    if (op == OOL_SYNTAX_NOT) {
        bool truth = ool_snippet_truth(s, x);

        return s->failed ? NULL : ool_value_bool(s, !truth);
    }
    if (x->kind == OOL_VALUE_TENSOR && op == OOL_SYNTAX_NEG)
        return ool_value_tensor(s, ool_unary(s->t, OOL_NEG, x->tensor));
    if (x->kind == OOL_VALUE_TENSOR && op == OOL_SYNTAX_INVERT && ool_dtype(x->tensor) == OOL_BOOL)
        return ool_value_tensor(s, ool_unary(s->t, OOL_LOGICAL_NOT, x->tensor));
    if (op == OOL_SYNTAX_PLUS && (x->kind == OOL_VALUE_TENSOR || ool_value_is_number(x)))
        return ool_value_share(x);
    if (op == OOL_SYNTAX_NEG && x->kind == OOL_VALUE_FLOAT)
        return ool_value_float(s, -x->real);
    if (op == OOL_SYNTAX_NEG && ool_value_is_number(x) && x->integer != INT64_MIN)
        return ool_value_int(s, -x->integer);
    return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "this operator on a %s", ool_value_kind_name(x));
}

static struct ool_value *concatenate(struct ool_snippet *s, const struct ool_value *x,
                                     const struct ool_value *y)
{
    struct ool_value *list = ool_value_make(s, x->kind);
    const struct ool_value *parts[] = {x, y};

    for (int p = 0; list != NULL && p < 2; p++)
        for (size_t i = 0; i < parts[p]->n_items; i++)
            if (!ool_value_append_take(s, list, ool_value_share(parts[p]->items[i]))) {
                ool_value_drop(s, list);
                return NULL;
            }
    return list;
}

static struct ool_value *repeated(struct ool_snippet *s, const struct ool_value *x, int64_t n)
{
    struct ool_value *list = ool_value_make(s, x->kind);

    for (int64_t k = 0; list != NULL && k < n && x->n_items > 0; k++)
        for (size_t i = 0; i < x->n_items; i++)
            if (++s->work > 10000000 ||
                !ool_value_append_take(s, list, ool_value_share(x->items[i]))) {
                ool_snippet_fail(s, OOL_E_LIMIT, "a list that is too long");
                ool_value_drop(s, list);
                return NULL;
            }
    return list;
}

static bool is_sequence(const struct ool_value *x)
{
    return x->kind == OOL_VALUE_LIST || x->kind == OOL_VALUE_TUPLE;
}

/* None, True, data types and texts can be compared with `is` and `==`. */
static bool same(const struct ool_value *x, const struct ool_value *y)
{
    if (x == y)
        return true;
    if (x->kind != y->kind)
        return false;
    switch (x->kind) {
    case OOL_VALUE_NONE:
        return true;
    case OOL_VALUE_BOOL:
    case OOL_VALUE_DTYPE:
    case OOL_VALUE_DEVICE:
        return x->integer == y->integer;
    case OOL_VALUE_STRING:
    case OOL_VALUE_PATH:
        return strcmp(x->text, y->text) == 0;
    case OOL_VALUE_TENSOR:
        return x->tensor == y->tensor;
    default:
        return false;
    }
}

struct ool_value *ool_snippet_binary(struct ool_snippet *s, enum ool_syntax_op op,
                                     struct ool_value *x, struct ool_value *y)
{
    if (op == OOL_SYNTAX_IS || op == OOL_SYNTAX_IS_NOT)
        return ool_value_bool(s, same(x, y) == (op == OOL_SYNTAX_IS));
    if (x->kind == OOL_VALUE_TENSOR || y->kind == OOL_VALUE_TENSOR)
        return tensors(s, op, x, y);
    if (ool_value_is_number(x) && ool_value_is_number(y))
        return numbers(s, op, x, y);
    if (op == OOL_SYNTAX_ADD && is_sequence(x) && x->kind == y->kind)
        return concatenate(s, x, y);
    if (op == OOL_SYNTAX_MUL && is_sequence(x) && y->kind == OOL_VALUE_INT)
        return repeated(s, x, y->integer);
    if (op == OOL_SYNTAX_EQ || op == OOL_SYNTAX_NE)
        return ool_value_bool(s, same(x, y) == (op == OOL_SYNTAX_EQ));
    return unknown(s, x, y);
}

struct ool_value *ool_snippet_augment(struct ool_snippet *s, enum ool_syntax_op op,
                                      struct ool_value *x, struct ool_value *y)
{
    enum ool_binary binary;

    if (x->kind != OOL_VALUE_TENSOR)
        return ool_snippet_binary(s, op, x, y);
    if (!tensor_op(op, &binary))
        return unknown(s, x, y);
    if (y->kind == OOL_VALUE_TENSOR)
        ool_binary_inplace(s->t, binary, x->tensor, y->tensor);
    else if (ool_value_is_number(y))
        ool_binary_scalar_inplace(s->t, binary, x->tensor, ool_value_number(y));
    else
        return unknown(s, x, y);
    return ool_snippet_good(s) ? ool_value_share(x) : NULL;
}

bool ool_snippet_truth(struct ool_snippet *s, const struct ool_value *x)
{
    switch (x->kind) {
    case OOL_VALUE_NONE:
        return false;
    case OOL_VALUE_BOOL:
    case OOL_VALUE_INT:
        return x->integer != 0;
    case OOL_VALUE_FLOAT:
        return x->real < 0 || x->real > 0;
    case OOL_VALUE_STRING:
        return x->text[0] != '\0';
    case OOL_VALUE_LIST:
    case OOL_VALUE_TUPLE:
        return x->n_items > 0;
    case OOL_VALUE_TENSOR:
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "the truth of a tensor, which holds no value here");
        return false;
    default:
        return true;
    }
}

/* --- subscripts ---------------------------------------------------------------------------------------- */

static bool slice_bounds(struct ool_snippet *s, const struct ool_value *slice, int64_t *start,
                         int64_t *end)
{
    int64_t *bounds[] = {start, end};

    *start = 0;
    *end = INT64_MAX;
    for (size_t i = 0; i < 3; i++) {
        const struct ool_value *part = slice->items[i];

        if (part->kind == OOL_VALUE_NONE)
            continue;
        if (part->kind != OOL_VALUE_INT || (i == 2 && part->integer != 1)) {
            ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a slice with a %s",
                             i == 2 ? "step" : ool_value_kind_name(part));
            return false;
        }
        if (i < 2)
            *bounds[i] = part->integer;
    }
    return true;
}

static bool index_item(struct ool_snippet *s, const struct ool_value *value, struct ool_index *out)
{
    memset(out, 0, sizeof(*out));
    switch (value->kind) {
    case OOL_VALUE_NONE:
        out->kind = OOL_INDEX_NEW;
        return true;
    case OOL_VALUE_ELLIPSIS:
        out->kind = OOL_INDEX_REST;
        return true;
    case OOL_VALUE_INT:
        out->kind = OOL_INDEX_AT;
        out->start = value->integer;
        return true;
    case OOL_VALUE_TENSOR:
        out->kind = OOL_INDEX_TENSOR;
        out->tensor = value->tensor;
        return true;
    case OOL_VALUE_SLICE:
        out->kind = OOL_INDEX_SLICE;
        if (!slice_bounds(s, value, &out->start, &out->end))
            return false;
        if (out->start == 0 && out->end == INT64_MAX)
            out->kind = OOL_INDEX_ALL;
        return true;
    default:
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a %s as an index of a tensor",
                         ool_value_kind_name(value));
        return false;
    }
}

static struct ool_value *tensor_item(struct ool_snippet *s, const struct ool_value *x,
                                     struct ool_value *index)
{
    struct ool_index items[2 * OOL_MAX_DIMS];
    struct ool_value *const *values = &index;
    size_t n = 1;

    if (index->kind == OOL_VALUE_TUPLE) {
        values = index->items;
        n = index->n_items;
    }
    if (n > sizeof(items) / sizeof(items[0]))
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a subscript with %zu indices", n);
    for (size_t i = 0; i < n; i++)
        if (!index_item(s, values[i], &items[i]))
            return NULL;
    return ool_value_tensor(s, ool_subscript(s->t, x->tensor, (int)n, items));
}

static int64_t clamp(int64_t at, size_t n)
{
    at += at < 0 ? (int64_t)n : 0;
    return at < 0 ? 0 : at > (int64_t)n ? (int64_t)n : at;
}

static struct ool_value *sequence_slice(struct ool_snippet *s, const struct ool_value *x,
                                        const struct ool_value *slice)
{
    struct ool_value *list;
    int64_t start, end;

    if (!slice_bounds(s, slice, &start, &end))
        return NULL;
    list = ool_value_make(s, x->kind);
    start = clamp(start, x->n_items);
    end = clamp(end, x->n_items);
    for (; list != NULL && start < end; start++)
        if (!ool_value_append_take(s, list, ool_value_share(x->items[start]))) {
            ool_value_drop(s, list);
            return NULL;
        }
    return list;
}

struct ool_value *ool_snippet_subscript(struct ool_snippet *s, struct ool_value *x,
                                        struct ool_value *index)
{
    int64_t at = index->integer;
    struct ool_value *const *items = x->items;
    size_t n = x->n_items;

    if (x->kind == OOL_VALUE_TENSOR)
        return tensor_item(s, x, index);
    if (x->kind == OOL_VALUE_MODULE) {
        items = x->module->children;
        n = x->module->n_children;
    } else if (is_sequence(x) && index->kind == OOL_VALUE_SLICE) {
        return sequence_slice(s, x, index);
    } else if (!is_sequence(x) && x->kind != OOL_VALUE_PAIR) {
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a subscript of a %s",
                                ool_value_kind_name(x));
    }
    if (index->kind != OOL_VALUE_INT)
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a %s as an index",
                                ool_value_kind_name(index));
    if (x->kind != OOL_VALUE_PAIR)
        at += at < 0 ? (int64_t)n : 0;
    if (at < 0 || at >= (int64_t)n)
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "the item %lld of a %s of %zu",
                                (long long)index->integer, ool_value_kind_name(x), n);
    return ool_value_share(items[at]);
}

/* --- attributes ------------------------------------------------------------------------------------------ */

static struct ool_value *tensor_shape(struct ool_snippet *s, const struct ool_tensor *x)
{
    struct ool_value *shape = ool_value_make(s, OOL_VALUE_TUPLE);

    for (int i = 0; shape != NULL && i < ool_dims(x); i++)
        if (!ool_value_append_take(s, shape, ool_value_int(s, ool_size(x, i)))) {
            ool_value_drop(s, shape);
            return NULL;
        }
    return shape;
}

static struct ool_value *make_word(struct ool_snippet *s, enum ool_value_kind kind, int64_t word)
{
    struct ool_value *value = ool_value_make(s, kind);

    if (value != NULL)
        value->integer = word;
    return value;
}

static struct ool_value *make_method(struct ool_snippet *s, struct ool_value *x, const char *name)
{
    struct ool_value *method = ool_value_text(s, OOL_VALUE_METHOD, name);

    if (method != NULL && !ool_value_append_take(s, method, ool_value_share(x))) {
        ool_value_drop(s, method);
        return NULL;
    }
    return method;
}

static struct ool_value *tensor_attribute(struct ool_snippet *s, struct ool_value *x,
                                          const char *name)
{
    struct ool_tensor *tensor = x->tensor, *grad;

    if (strcmp(name, "dtype") == 0)
        return make_word(s, OOL_VALUE_DTYPE, ool_dtype(tensor));
    if (strcmp(name, "device") == 0)
        return make_word(s, OOL_VALUE_DEVICE, ool_on_device(tensor));
    if (strcmp(name, "shape") == 0)
        return tensor_shape(s, tensor);
    if (strcmp(name, "ndim") == 0)
        return ool_value_int(s, ool_dims(tensor));
    if (strcmp(name, "requires_grad") == 0)
        return ool_value_bool(s, ool_requires_grad(tensor));
    if (strcmp(name, "is_cuda") == 0)
        return ool_value_bool(s, ool_on_device(tensor));
    if (strcmp(name, "is_leaf") == 0)
        return ool_value_bool(s, ool_is_leaf(tensor));
    if (strcmp(name, "data") == 0)
        return ool_value_tensor(s, ool_detach(s->t, tensor));
    if (strcmp(name, "grad") == 0) {
        grad = ool_grad(tensor);
        return grad != NULL ? ool_value_tensor(s, grad) : ool_value_none(s);
    }
    if (strcmp(name, "T") == 0 && ool_dims(tensor) <= 2)
        return ool_dims(tensor) < 2 ? ool_value_share(x)
                                    : ool_value_tensor(s, ool_transpose(s->t, tensor, 0, 1));
    if (strcmp(name, "mT") == 0)
        return ool_value_tensor(s, ool_transpose(s->t, tensor, -2, -1));
    return make_method(s, x, name);
}

static struct ool_value *module_attribute(struct ool_snippet *s, struct ool_value *x,
                                          const char *name)
{
    for (size_t i = 0; i < OOL_MODULE_PARAMS; i++) {
        const struct ool_module_param *param = &x->module->params[i];

        if (param->name != NULL && strcmp(param->name, name) == 0) {
            if (param->tensor == NULL)
                return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a parameter on the host");
            return ool_value_share(param->tensor);
        }
    }
    return make_method(s, x, name);
}

struct ool_value *ool_snippet_attribute(struct ool_snippet *s, struct ool_value *x,
                                        const char *name)
{
    struct ool_value *value;
    char path[256];
    int length;

    if (x->kind == OOL_VALUE_TENSOR)
        return tensor_attribute(s, x, name);
    if (x->kind == OOL_VALUE_MODULE)
        return module_attribute(s, x, name);
    if (x->kind == OOL_VALUE_PAIR && strcmp(name, "values") == 0)
        return ool_value_share(x->items[0]);
    if (x->kind != OOL_VALUE_PATH)
        return make_method(s, x, name);
    length = snprintf(path, sizeof(path), "%s.%s", x->text, name);
    if (length < 0 || (size_t)length >= sizeof(path))
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a long dotted name");
    value = ool_snippet_constant(s, path);
    if (value == NULL && !s->failed)
        value = ool_value_text(s, OOL_VALUE_PATH, path);
    return value;
}

bool ool_snippet_set_attribute(struct ool_snippet *s, struct ool_value *x, const char *name,
                               struct ool_value *value)
{
    if (x->kind == OOL_VALUE_TENSOR && strcmp(name, "grad") == 0 &&
        (value->kind == OOL_VALUE_TENSOR || value->kind == OOL_VALUE_NONE)) {
        ool_set_grad(s->t, x->tensor, value->tensor);
        return ool_snippet_good(s);
    }
    if (x->kind == OOL_VALUE_TENSOR && strcmp(name, "requires_grad") == 0 &&
        value->kind == OOL_VALUE_BOOL && ool_is_leaf(x->tensor)) {
        ool_require_grad(x->tensor, value->integer != 0);
        return true;
    }
    ool_snippet_fail(s, OOL_E_UNSUPPORTED, "assigning to the attribute %.40s of a %s", name,
                     ool_value_kind_name(x));
    return false;
}
