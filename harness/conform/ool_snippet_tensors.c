/*
 * ool_snippet_tensors.c - the table's lines about tensors: making, viewing, computing.
 */
#include "ool_snippet_calls.h"

#include <math.h>
#include <string.h>

#define MAX_PARTS 256 /* of split and chunk */

static struct ool_value *tensor(struct ool_call *c, struct ool_tensor *x)
{
    return ool_value_tensor(c->s, x);
}

/* The object itself, after a call that changed it. */
static struct ool_value *itself(struct ool_call *c)
{
    return ool_snippet_good(c->s) ? ool_value_share(c->arg[0]) : NULL;
}

/* --- making ------------------------------------------------------------------------------------------ */

enum make { MAKE_EMPTY, MAKE_ZEROS, MAKE_ONES };

static struct ool_value *finish_made(struct ool_call *c, struct ool_tensor *x, int requires_grad)
{
    struct ool_value *value = tensor(c, x);

    if (value != NULL && ool_arg_bool(c, requires_grad, false))
        ool_require_grad(value->tensor, true);
    return value;
}

/* *size dtype device requires_grad */
static struct ool_value *call_make(struct ool_call *c)
{
    int64_t shape[OOL_MAX_DIMS];
    int n = ool_arg_ints(c, 0, shape, OOL_MAX_DIMS);
    enum ool_dtype dtype = ool_arg_dtype(c, 1, OOL_F32);
    struct ool_tensor *x;

    if (c->s->failed)
        return NULL;
    if (!ool_arg_on_card(c, 2, false))
        x = ool_empty_on_host(c->t, dtype, n, shape);
    else if (c->variant == MAKE_ZEROS)
        x = ool_zeros(c->t, dtype, n, shape);
    else if (c->variant == MAKE_ONES)
        x = ool_ones(c->t, dtype, n, shape);
    else
        x = ool_empty(c->t, dtype, n, shape);
    return finish_made(c, x, 3);
}

/* low high size dtype device */
static struct ool_value *call_randint(struct ool_call *c)
{
    int64_t shape[OOL_MAX_DIMS];
    int sizes = c->arg[2] != NULL ? 2 : 1; /* randint(high, size) leaves out low */
    int n = ool_arg_ints(c, sizes, shape, OOL_MAX_DIMS);
    enum ool_dtype dtype = ool_arg_dtype(c, 3, OOL_I64);

    if (c->s->failed)
        return NULL;
    return tensor(c, ool_arg_on_card(c, 4, false) ? ool_empty(c->t, dtype, n, shape)
                                                  : ool_empty_on_host(c->t, dtype, n, shape));
}

static enum ool_dtype dtype_of_number(const struct ool_value *value)
{
    return value->kind == OOL_VALUE_BOOL  ? OOL_BOOL
           : value->kind == OOL_VALUE_INT ? OOL_I64
                                          : OOL_F32;
}

/* size fill_value dtype device requires_grad */
static struct ool_value *call_full(struct ool_call *c)
{
    int64_t shape[OOL_MAX_DIMS];
    int n = ool_arg_ints(c, 0, shape, OOL_MAX_DIMS);
    double value = ool_arg_number(c, 1, 0);
    enum ool_dtype dtype;

    if (c->s->failed)
        return NULL;
    dtype = ool_arg_dtype(c, 2, dtype_of_number(c->arg[1]));
    return finish_made(c,
                       ool_arg_on_card(c, 3, false) ? ool_full(c->t, dtype, value, n, shape)
                                                    : ool_empty_on_host(c->t, dtype, n, shape),
                       4);
}

/* start end step dtype device */
static struct ool_value *call_arange(struct ool_call *c)
{
    int64_t start = ool_arg_int(c, 0, 0), end = ool_arg_int(c, 1, 0), step = ool_arg_int(c, 2, 1);
    int64_t n;

    if (c->arg[1] == NULL) {
        end = start;
        start = 0;
    }
    if (c->s->failed || step <= 0 || start < 0 || end < start)
        return ool_call_refuse(c, "bounds that do not rise");
    n = (end - start + step - 1) / step;
    if (!ool_arg_on_card(c, 4, false))
        return tensor(c, ool_empty_on_host(c->t, ool_arg_dtype(c, 3, OOL_I64), 1, &n));
    if (ool_arg_dtype(c, 3, OOL_I64) != OOL_I64)
        return ool_call_refuse(c, "a dtype other than int64");
    return tensor(c, ool_arange(c->t, n));
}

/* x dtype requires_grad */
static struct ool_value *call_make_like(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);

    if (c->s->failed)
        return NULL;
    if (ool_arg_dtype(c, 1, ool_dtype(x)) != ool_dtype(x))
        return ool_call_refuse(c, "another dtype");
    if (c->variant == MAKE_ZEROS)
        return finish_made(c, ool_zeros_like(c->t, x), 2);
    return finish_made(c, ool_empty_like(c->t, x), 2);
}

/* data dtype device requires_grad: made on the host, then copied */
static struct ool_value *call_tensor(struct ool_call *c)
{
    struct ool_value *data = c->arg[0];
    struct ool_tensor *x;
    int64_t n = 0;

    if (data == NULL || (!ool_value_is_number(data) && data->kind != OOL_VALUE_LIST &&
                         data->kind != OOL_VALUE_TUPLE))
        return ool_call_refuse(c, "data of this kind");
    for (size_t i = 0; !ool_value_is_number(data) && i < data->n_items; i++, n++)
        if (!ool_value_is_number(data->items[i]))
            return ool_call_refuse(c, "nested data");
    x = ool_empty_on_host(c->t, ool_arg_dtype(c, 1, dtype_of_number(n > 0 ? data->items[0] : data)),
                          ool_value_is_number(data) ? 0 : 1, &n);
    if (ool_arg_on_card(c, 2, false))
        x = ool_to_device(c->t, x);
    return finish_made(c, x, 3);
}

/* --- views ------------------------------------------------------------------------------------------- */

enum view { VIEW_VIEW, VIEW_RESHAPE, VIEW_EXPAND, VIEW_PERMUTE, VIEW_REPEAT };

static struct ool_value *call_view(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);
    int64_t shape[OOL_MAX_DIMS];
    int n = ool_arg_ints(c, 1, shape, OOL_MAX_DIMS);

    if (c->s->failed)
        return NULL;
    switch (c->variant) {
    case VIEW_VIEW:
        return tensor(c, ool_view(c->t, x, n, shape));
    case VIEW_RESHAPE:
        return tensor(c, ool_reshape(c->t, x, n, shape));
    case VIEW_EXPAND:
        return tensor(c, ool_expand(c->t, x, n, shape));
    case VIEW_PERMUTE:
        return tensor(c, ool_permute(c->t, x, n, shape));
    default:
        return tensor(c, ool_repeat(c->t, x, n, shape));
    }
}

/* x other: view_as, expand_as, reshape_as */
static struct ool_value *call_view_as(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0), *y = ool_arg_tensor(c, 1);
    int64_t shape[OOL_MAX_DIMS];

    if (c->s->failed)
        return NULL;
    for (int i = 0; i < ool_dims(y); i++)
        shape[i] = ool_size(y, i);
    if (c->variant == VIEW_EXPAND)
        return tensor(c, ool_expand(c->t, x, ool_dims(y), shape));
    if (c->variant == VIEW_RESHAPE)
        return tensor(c, ool_reshape(c->t, x, ool_dims(y), shape));
    return tensor(c, ool_view(c->t, x, ool_dims(y), shape));
}

static struct ool_value *call_transpose(struct ool_call *c)
{
    return tensor(
        c, ool_transpose(c->t, ool_arg_tensor(c, 0), ool_arg_dim(c, 1, 0), ool_arg_dim(c, 2, 0)));
}

static struct ool_value *call_t(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);

    if (c->s->failed)
        return NULL;
    if (ool_dims(x) > 2)
        return ool_call_refuse(c, "more than two dimensions");
    return ool_dims(x) < 2 ? itself(c) : tensor(c, ool_transpose(c->t, x, 0, 1));
}

static struct ool_value *call_unsqueeze(struct ool_call *c)
{
    return tensor(c, ool_unsqueeze(c->t, ool_arg_tensor(c, 0), ool_arg_dim(c, 1, 0)));
}

static struct ool_value *call_squeeze(struct ool_call *c)
{
    if (c->arg[1] == NULL)
        return ool_call_refuse(c, "without a dimension");
    return tensor(c, ool_squeeze(c->t, ool_arg_tensor(c, 0), ool_arg_dim(c, 1, 0)));
}

/* x start_dim end_dim: a reshape that joins dimensions */
static struct ool_value *call_flatten(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);
    int64_t shape[OOL_MAX_DIMS];
    int first = ool_arg_dim(c, 1, 0), last = ool_arg_dim(c, 2, -1), n = 0;

    if (c->s->failed)
        return NULL;
    first += first < 0 ? ool_dims(x) : 0;
    last += last < 0 ? ool_dims(x) : 0;
    if (first < 0 || last >= ool_dims(x) || first > last)
        return ool_call_refuse(c, "dimensions out of range");
    if (first == last)
        return itself(c);
    for (int i = 0; i < ool_dims(x); i++) {
        if (i > first && i <= last)
            continue;
        shape[n++] = i == first ? -1 : ool_size(x, i);
    }
    return tensor(c, ool_reshape(c->t, x, n, shape));
}

static struct ool_value *call_select(struct ool_call *c)
{
    return tensor(
        c, ool_select(c->t, ool_arg_tensor(c, 0), ool_arg_dim(c, 1, 0), ool_arg_int(c, 2, 0)));
}

static struct ool_value *call_narrow(struct ool_call *c)
{
    int64_t start = ool_arg_int(c, 2, 0), length = ool_arg_int(c, 3, 0);

    if (start < 0 || length < 0 || length > INT64_MAX - start)
        return ool_call_refuse(c, "bounds out of range");
    return tensor(
        c, ool_slice(c->t, ool_arg_tensor(c, 0), ool_arg_dim(c, 1, 0), start, start + length));
}

enum parts { PARTS_SPLIT, PARTS_CHUNK, PARTS_UNBIND };

/* x size dim */
static struct ool_value *call_parts(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0), *parts[MAX_PARTS];
    int64_t size = ool_arg_int(c, 1, 1);
    int dim = ool_arg_dim(c, 2, 0), n;

    if (c->s->failed)
        return NULL;
    if (size <= 0)
        return ool_call_refuse(c, "parts without a size");
    if (dim >= ool_dims(x) || dim < -ool_dims(x))
        return ool_call_refuse(c, "a dimension out of range");
    if (c->variant == PARTS_SPLIT ? ool_size(x, dim) / size >= MAX_PARTS : size > MAX_PARTS)
        return ool_call_refuse(c, "too many parts");
    if (c->variant == PARTS_SPLIT)
        n = ool_split(c->t, x, size, dim, parts, MAX_PARTS);
    else
        n = ool_chunk(c->t, x, (int)size, dim, parts, MAX_PARTS);
    return ool_snippet_good(c->s) ? ool_call_tuple(c, parts, n) : NULL;
}

/* x dim */
static struct ool_value *call_unbind(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0), *parts[MAX_PARTS];
    int dim = ool_arg_dim(c, 1, 0);

    if (c->s->failed)
        return NULL;
    if (dim >= ool_dims(x) || dim < -ool_dims(x) || ool_size(x, dim) > MAX_PARTS)
        return ool_call_refuse(c, "a dimension out of range, or too many parts");
    for (int i = 0; i < ool_size(x, dim); i++)
        parts[i] = ool_select(c->t, x, dim, i);
    return ool_snippet_good(c->s) ? ool_call_tuple(c, parts, (int)ool_size(x, dim)) : NULL;
}

static struct ool_value *call_detach(struct ool_call *c)
{
    return tensor(c, ool_detach(c->t, ool_arg_tensor(c, 0)));
}

/* --- copies and casts ------------------------------------------------------------------------------------ */

static struct ool_value *call_contiguous(struct ool_call *c)
{
    return tensor(c, ool_contiguous(c->t, ool_arg_tensor(c, 0)));
}

static struct ool_value *call_clone(struct ool_call *c)
{
    return tensor(c, ool_clone(c->t, ool_arg_tensor(c, 0)));
}

/* x: to the dtype of the line */
static struct ool_value *call_cast(struct ool_call *c)
{
    return tensor(c, ool_to(c->t, ool_arg_tensor(c, 0), (enum ool_dtype)c->variant));
}

static struct ool_value *call_place(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);

    return tensor(c, c->variant != 0 ? ool_to_device(c->t, x) : ool_to_host(c->t, x));
}

/* x, then a dtype, a device, or a device and a dtype; keywords dtype and device */
static struct ool_value *call_to(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);
    int dtype = 2, device = 1;
    enum ool_dtype wish;
    bool on_card;

    if (c->s->failed)
        return NULL;
    if (c->arg[1] != NULL && c->arg[1]->kind == OOL_VALUE_TENSOR)
        return tensor(c, ool_to(c->t, x, ool_dtype(c->arg[1]->tensor)));
    if (c->arg[1] != NULL && c->arg[1]->kind == OOL_VALUE_DTYPE) {
        dtype = 1;
        device = 2;
    }
    wish = ool_arg_dtype(c, dtype, ool_dtype(x));
    on_card = ool_arg_on_card(c, device, ool_on_device(x));
    if (c->s->failed)
        return NULL;
    if (on_card == ool_on_device(x))
        return tensor(c, ool_to(c->t, x, wish));
    if (wish != ool_dtype(x))
        return ool_call_refuse(c, "another place and another dtype at once");
    return tensor(c, on_card ? ool_to_device(c->t, x) : ool_to_host(c->t, x));
}

static struct ool_value *call_copy(struct ool_call *c)
{
    ool_copy_into(c->t, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1));
    return itself(c);
}

/* Sets every element: no memory moves, unless autograd has to follow it. */
static struct ool_value *call_fill(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);

    if (c->s->failed)
        return NULL;
    if (ool_requires_grad(x) && ool_grad_mode(c->t) == OOL_GRAD)
        return ool_call_refuse(c, "of a tensor that requires a gradient");
    return itself(c);
}

/* --- elementwise ------------------------------------------------------------------------------------------ */

static struct ool_value *call_unary(struct ool_call *c)
{
    return tensor(c, ool_unary(c->t, (enum ool_unary)c->variant, ool_arg_tensor(c, 0)));
}

static struct ool_value *call_unary_inplace(struct ool_call *c)
{
    ool_unary_inplace(c->t, (enum ool_unary)c->variant, ool_arg_tensor(c, 0));
    return itself(c);
}

/* x inplace, perhaps with numbers between them */
static struct ool_value *activation(struct ool_call *c, enum ool_unary op, bool inplace)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);

    if (c->s->failed)
        return NULL;
    if (!inplace)
        return tensor(c, ool_unary(c->t, op, x));
    ool_unary_inplace(c->t, op, x);
    return itself(c);
}

static struct ool_value *call_activation(struct ool_call *c)
{
    return activation(c, (enum ool_unary)c->variant, ool_arg_bool(c, 1, false));
}

/* x (a number) inplace */
static struct ool_value *call_activation_number(struct ool_call *c)
{
    return activation(c, (enum ool_unary)c->variant, ool_arg_bool(c, 2, false));
}

static struct ool_value *call_gelu(struct ool_call *c)
{
    const char *kind = ool_arg_text(c, 1, "none");

    if (strcmp(kind, "none") != 0 && strcmp(kind, "tanh") != 0)
        return ool_call_refuse(c, "an approximation other than tanh");
    return tensor(
        c, ool_unary(c->t, kind[0] == 't' ? OOL_GELU_TANH : OOL_GELU_ERF, ool_arg_tensor(c, 0)));
}

static struct ool_value *call_binary(struct ool_call *c)
{
    enum ool_binary op = (enum ool_binary)c->variant;

    if (c->arg[0] == NULL || c->arg[1] == NULL)
        return ool_call_refuse(c, "an operand is missing");
    if (ool_value_is_number(c->arg[0]))
        return tensor(
            c, ool_scalar_binary(c->t, op, ool_value_number(c->arg[0]), ool_arg_tensor(c, 1)));
    if (ool_value_is_number(c->arg[1]))
        return tensor(
            c, ool_binary_scalar(c->t, op, ool_arg_tensor(c, 0), ool_value_number(c->arg[1])));
    return tensor(c, ool_binary(c->t, op, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1)));
}

static struct ool_value *call_binary_inplace(struct ool_call *c)
{
    enum ool_binary op = (enum ool_binary)c->variant;
    struct ool_tensor *x = ool_arg_tensor(c, 0);

    if (c->arg[1] != NULL && ool_value_is_number(c->arg[1]))
        ool_binary_scalar_inplace(c->t, op, x, ool_value_number(c->arg[1]));
    else
        ool_binary_inplace(c->t, op, x, ool_arg_tensor(c, 1));
    return itself(c);
}

static struct ool_value *call_masked_fill(struct ool_call *c)
{
    return tensor(c, ool_masked_fill(c->t, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1),
                                     ool_arg_number(c, 2, 0)));
}

static struct ool_value *call_where(struct ool_call *c)
{
    return tensor(
        c, ool_where(c->t, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1), ool_arg_tensor(c, 2)));
}

static struct ool_value *call_dropout(struct ool_call *c)
{
    if (ool_arg_bool(c, 3, false))
        return ool_call_refuse(c, "in place");
    return tensor(c, ool_dropout(c->t, ool_arg_tensor(c, 0), ool_arg_number(c, 1, 0.5),
                                 ool_arg_bool(c, 2, true)));
}

static struct ool_value *call_triangle(struct ool_call *c)
{
    int64_t diagonal = ool_arg_int(c, 1, 0);

    if (c->variant == 1)
        return tensor(c, ool_triu(c->t, ool_arg_tensor(c, 0), diagonal));
    if (diagonal != 0)
        return ool_call_refuse(c, "another diagonal");
    return tensor(c, ool_tril(c->t, ool_arg_tensor(c, 0)));
}

static struct ool_value *call_clamp(struct ool_call *c)
{
    return tensor(c, ool_clamp(c->t, ool_arg_tensor(c, 0), ool_arg_number(c, 1, (double)NAN),
                               ool_arg_number(c, 2, (double)NAN)));
}

/* tensors dim */
static struct ool_value *call_join(struct ool_call *c)
{
    struct ool_tensor *parts[MAX_PARTS], *x = NULL;
    struct ool_value *list = ool_arg_tensors(c, 0);
    int dim = ool_arg_dim(c, 1, 0);

    if (list == NULL)
        return NULL;
    if (list->n_items == 0 || list->n_items > MAX_PARTS) {
        ool_call_refuse(c, "no parts, or too many");
    } else {
        for (size_t i = 0; i < list->n_items; i++)
            parts[i] = list->items[i]->tensor;
        x = c->variant == 0 ? ool_cat(c->t, parts, (int)list->n_items, dim)
                            : ool_stack(c->t, parts, (int)list->n_items, dim);
    }
    ool_value_drop(c->s, list);
    return tensor(c, x);
}

static struct ool_value *call_repeat_interleave(struct ool_call *c)
{
    if (c->arg[2] == NULL)
        return ool_call_refuse(c, "without a dimension");
    return tensor(c, ool_repeat_interleave(c->t, ool_arg_tensor(c, 0), ool_arg_int(c, 1, 1),
                                           ool_arg_dim(c, 2, 0)));
}

static struct ool_value *call_pad(struct ool_call *c)
{
    int64_t pads[2 * OOL_MAX_DIMS];
    int n = ool_arg_ints(c, 1, pads, 2 * OOL_MAX_DIMS);

    if (strcmp(ool_arg_text(c, 2, "constant"), "constant") != 0)
        return ool_call_refuse(c, "a mode other than constant");
    return tensor(c, ool_pad(c->t, ool_arg_tensor(c, 0), n, pads, ool_arg_number(c, 3, 0)));
}

static struct ool_value *call_cumsum(struct ool_call *c)
{
    return tensor(c, ool_cumsum(c->t, ool_arg_tensor(c, 0), ool_arg_dim(c, 1, 0)));
}

static struct ool_value *call_gather(struct ool_call *c)
{
    return tensor(
        c, ool_gather(c->t, ool_arg_tensor(c, 0), ool_arg_dim(c, 1, 0), ool_arg_tensor(c, 2)));
}

/* --- reductions ------------------------------------------------------------------------------------------- */

static struct ool_value *pair_of(struct ool_call *c, struct ool_tensor *x)
{
    struct ool_value *values = tensor(c, x), *pair;

    if (values == NULL)
        return NULL;
    pair = ool_value_make(c->s, OOL_VALUE_PAIR);
    if (pair == NULL)
        ool_value_drop(c->s, values);
    else
        ool_value_append_take(c->s, pair, values);
    return pair;
}

/* x dim keepdim */
static struct ool_value *call_reduce(struct ool_call *c)
{
    enum ool_reduction op = (enum ool_reduction)c->variant;
    struct ool_tensor *x;

    if (c->arg[1] != NULL && c->arg[1]->kind == OOL_VALUE_TENSOR && op == OOL_MAX)
        return tensor(c, ool_binary(c->t, OOL_MAXIMUM, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1)));
    if (c->arg[1] != NULL && c->arg[1]->kind == OOL_VALUE_TENSOR && op == OOL_MIN)
        return tensor(c, ool_binary(c->t, OOL_MINIMUM, ool_arg_tensor(c, 0), ool_arg_tensor(c, 1)));
    x = ool_reduce(c->t, op, ool_arg_tensor(c, 0), ool_arg_dim(c, 1, OOL_ALL_DIMS),
                   ool_arg_bool(c, 2, false));
    if (c->arg[1] != NULL && (op == OOL_MAX || op == OOL_MIN))
        return pair_of(c, x);
    return tensor(c, x);
}

static struct ool_value *call_topk(struct ool_call *c)
{
    return pair_of(
        c, ool_topk(c->t, ool_arg_tensor(c, 0), ool_arg_int(c, 1, 1), ool_arg_dim(c, 2, -1)));
}

static struct ool_value *call_sort(struct ool_call *c)
{
    return pair_of(c, ool_sort(c->t, ool_arg_tensor(c, 0), ool_arg_dim(c, 1, -1)));
}

static struct ool_value *call_multinomial(struct ool_call *c)
{
    return tensor(c, ool_multinomial(c->t, ool_arg_tensor(c, 0), ool_arg_int(c, 1, 1)));
}

/* x dim dtype */
static struct ool_value *call_softmax(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);
    int dim = ool_arg_dim(c, 1, 0);

    if (c->arg[1] == NULL)
        return ool_call_refuse(c, "without a dimension");
    if (c->arg[2] != NULL)
        return tensor(c, ool_softmax_to(c->t, x, dim, ool_arg_dtype(c, 2, OOL_F32)));
    return tensor(c, ool_softmax(c->t, x, dim));
}

static struct ool_value *call_log_softmax(struct ool_call *c)
{
    if (c->arg[1] == NULL || c->arg[2] != NULL)
        return ool_call_refuse(c, "without a dimension, or with a dtype");
    return tensor(c, ool_log_softmax(c->t, ool_arg_tensor(c, 0), ool_arg_dim(c, 1, 0)));
}

/* --- facts ---------------------------------------------------------------------------------------------------- */

static struct ool_value *call_size(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);
    int dim = ool_arg_dim(c, 1, 0);

    if (c->s->failed)
        return NULL;
    if (c->arg[1] == NULL)
        return ool_snippet_attribute(c->s, c->arg[0], "shape");
    if (dim >= ool_dims(x) || dim < -ool_dims(x))
        return ool_call_refuse(c, "a dimension out of range");
    return ool_value_int(c->s, ool_size(x, dim));
}

enum fact { FACT_NUMEL, FACT_DIM, FACT_ELEMENT_SIZE };

static struct ool_value *call_fact(struct ool_call *c)
{
    struct ool_tensor *x = ool_arg_tensor(c, 0);

    if (c->s->failed)
        return NULL;
    if (c->variant == FACT_NUMEL)
        return ool_value_int(c->s, ool_numel(x));
    if (c->variant == FACT_DIM)
        return ool_value_int(c->s, ool_dims(x));
    return ool_value_int(c->s, (int64_t)ool_dtype_bytes(ool_dtype(x)));
}

/* clang-format off */
const struct ool_call_line ool_tensor_calls[] = {
    {"torch.empty torch.rand torch.randn", "*size dtype? device? requires_grad? ~generator", call_make, MAKE_EMPTY},
    {"torch.zeros", "*size dtype? device? requires_grad?", call_make, MAKE_ZEROS},
    {"torch.ones", "*size dtype? device? requires_grad?", call_make, MAKE_ONES},
    {"torch.randint", "low high size? dtype? device?", call_randint, 0},
    {"torch.full", "size fill_value dtype? device? requires_grad?", call_full, 0},
    {"torch.arange", "start end? step? dtype? device?", call_arange, 0},
    {"torch.empty_like torch.rand_like torch.randn_like", "input dtype? requires_grad?", call_make_like, MAKE_EMPTY},
    {"torch.zeros_like torch.ones_like", "input dtype? requires_grad?", call_make_like, MAKE_ZEROS},
    {"torch.tensor", "data dtype? device? requires_grad?", call_tensor, 0},

    {"Tensor.view", "input *shape", call_view, VIEW_VIEW},
    {"Tensor.reshape torch.reshape", "input *shape", call_view, VIEW_RESHAPE},
    {"Tensor.expand", "input *size", call_view, VIEW_EXPAND},
    {"Tensor.permute torch.permute", "input *dims", call_view, VIEW_PERMUTE},
    {"Tensor.repeat", "input *repeats", call_view, VIEW_REPEAT},
    {"Tensor.view_as", "input other", call_view_as, VIEW_VIEW},
    {"Tensor.reshape_as", "input other", call_view_as, VIEW_RESHAPE},
    {"Tensor.expand_as", "input other", call_view_as, VIEW_EXPAND},
    {"Tensor.transpose torch.transpose Tensor.swapaxes torch.swapaxes", "input dim0 dim1", call_transpose, 0},
    {"Tensor.t torch.t", "input", call_t, 0},
    {"Tensor.unsqueeze torch.unsqueeze", "input dim", call_unsqueeze, 0},
    {"Tensor.squeeze torch.squeeze", "input dim?", call_squeeze, 0},
    {"Tensor.flatten torch.flatten", "input start_dim? end_dim?", call_flatten, 0},
    {"Tensor.select torch.select", "input dim index", call_select, 0},
    {"Tensor.narrow torch.narrow", "input dim start length", call_narrow, 0},
    {"Tensor.split torch.split", "input split_size dim?", call_parts, PARTS_SPLIT},
    {"Tensor.chunk torch.chunk", "input chunks dim?", call_parts, PARTS_CHUNK},
    {"Tensor.unbind torch.unbind", "input dim?", call_unbind, 0},
    {"Tensor.detach", "input", call_detach, 0},

    {"Tensor.contiguous", "input", call_contiguous, 0},
    {"Tensor.clone torch.clone", "input", call_clone, 0},
    {"Tensor.float", "input", call_cast, OOL_F32},
    {"Tensor.half", "input", call_cast, OOL_F16},
    {"Tensor.bfloat16", "input", call_cast, OOL_BF16},
    {"Tensor.double", "input", call_cast, OOL_F64},
    {"Tensor.long", "input", call_cast, OOL_I64},
    {"Tensor.int", "input", call_cast, OOL_I32},
    {"Tensor.bool", "input", call_cast, OOL_BOOL},
    {"Tensor.cpu", "input", call_place, 0},
    {"Tensor.cuda", "input ~device ~non_blocking", call_place, 1},
    {"Tensor.to", "input device? dtype? ~non_blocking", call_to, 0},
    {"Tensor.copy_", "input src ~non_blocking", call_copy, 0},
    {"Tensor.zero_", "input", call_fill, 0},
    {"Tensor.fill_", "input ~value", call_fill, 0},
    {"Tensor.normal_ Tensor.uniform_", "input ~a ~b", call_fill, 0},

    {"torch.neg Tensor.neg torch.negative Tensor.negative", "input", call_unary, OOL_NEG},
    {"torch.abs Tensor.abs torch.absolute Tensor.absolute", "input", call_unary, OOL_ABS},
    {"torch.exp Tensor.exp", "input", call_unary, OOL_EXP},
    {"torch.sqrt Tensor.sqrt", "input", call_unary, OOL_SQRT},
    {"torch.rsqrt Tensor.rsqrt", "input", call_unary, OOL_RSQRT},
    {"torch.tanh Tensor.tanh F.tanh", "input", call_unary, OOL_TANH},
    {"torch.sigmoid Tensor.sigmoid F.sigmoid", "input", call_unary, OOL_SIGMOID},
    {"torch.cos Tensor.cos", "input", call_unary, OOL_COS},
    {"torch.sin Tensor.sin", "input", call_unary, OOL_SIN},
    {"torch.log Tensor.log", "input", call_unary, OOL_LOG},
    {"torch.square Tensor.square", "input", call_unary, OOL_SQUARE},
    {"torch.relu Tensor.relu", "input", call_unary, OOL_RELU},
    {"torch.logical_not Tensor.logical_not", "input", call_unary, OOL_LOGICAL_NOT},
    {"Tensor.neg_", "input", call_unary_inplace, OOL_NEG},
    {"Tensor.abs_", "input", call_unary_inplace, OOL_ABS},
    {"Tensor.exp_", "input", call_unary_inplace, OOL_EXP},
    {"Tensor.sqrt_", "input", call_unary_inplace, OOL_SQRT},
    {"Tensor.rsqrt_", "input", call_unary_inplace, OOL_RSQRT},
    {"Tensor.tanh_ torch.tanh_", "input", call_unary_inplace, OOL_TANH},
    {"Tensor.sigmoid_ torch.sigmoid_", "input", call_unary_inplace, OOL_SIGMOID},
    {"Tensor.relu_ torch.relu_ F.relu_", "input", call_unary_inplace, OOL_RELU},
    {"F.relu", "input inplace?", call_activation, OOL_RELU},
    {"F.relu6", "input inplace?", call_activation, OOL_RELU6},
    {"F.silu", "input inplace?", call_activation, OOL_SILU},
    {"F.mish", "input inplace?", call_activation, OOL_MISH},
    {"F.hardswish", "input inplace?", call_activation, OOL_HARDSWISH},
    {"F.hardsigmoid", "input inplace?", call_activation, OOL_HARDSIGMOID},
    {"F.leaky_relu", "input ~negative_slope inplace?", call_activation_number, OOL_LEAKY_RELU},
    {"F.elu", "input ~alpha inplace?", call_activation_number, OOL_ELU},
    {"F.softplus", "input ~beta ~threshold", call_unary, OOL_SOFTPLUS},
    {"F.gelu", "input approximate?", call_gelu, 0},

    {"torch.add Tensor.add", "input other ~alpha", call_binary, OOL_ADD},
    {"torch.sub Tensor.sub torch.subtract Tensor.subtract", "input other ~alpha", call_binary, OOL_SUB},
    {"torch.mul Tensor.mul torch.multiply Tensor.multiply", "input other", call_binary, OOL_MUL},
    {"torch.div Tensor.div torch.divide torch.true_divide", "input other", call_binary, OOL_DIV},
    {"torch.pow Tensor.pow", "input exponent", call_binary, OOL_POW},
    {"torch.maximum Tensor.maximum", "input other", call_binary, OOL_MAXIMUM},
    {"torch.minimum Tensor.minimum", "input other", call_binary, OOL_MINIMUM},
    {"torch.eq Tensor.eq", "input other", call_binary, OOL_EQ},
    {"torch.ne Tensor.ne", "input other", call_binary, OOL_NE},
    {"torch.lt Tensor.lt", "input other", call_binary, OOL_LT},
    {"torch.le Tensor.le", "input other", call_binary, OOL_LE},
    {"torch.gt Tensor.gt", "input other", call_binary, OOL_GT},
    {"torch.ge Tensor.ge", "input other", call_binary, OOL_GE},
    {"torch.logical_and Tensor.logical_and", "input other", call_binary, OOL_AND},
    {"torch.logical_or Tensor.logical_or", "input other", call_binary, OOL_OR},
    {"Tensor.add_", "input other ~alpha", call_binary_inplace, OOL_ADD},
    {"Tensor.sub_", "input other ~alpha", call_binary_inplace, OOL_SUB},
    {"Tensor.mul_", "input other", call_binary_inplace, OOL_MUL},
    {"Tensor.div_", "input other", call_binary_inplace, OOL_DIV},
    {"Tensor.pow_", "input exponent", call_binary_inplace, OOL_POW},
    {"Tensor.masked_fill torch.masked_fill", "input mask value", call_masked_fill, 0},
    {"torch.where", "condition input other", call_where, 0},
    {"F.dropout torch.dropout", "input p? training? inplace?", call_dropout, 0},
    {"torch.tril Tensor.tril", "input diagonal?", call_triangle, 0},
    {"torch.triu Tensor.triu", "input diagonal?", call_triangle, 1},
    {"torch.clamp Tensor.clamp torch.clip Tensor.clip", "input min? max?", call_clamp, 0},
    {"torch.cat torch.concat torch.concatenate", "tensors dim?", call_join, 0},
    {"torch.stack", "tensors dim?", call_join, 1},
    {"torch.repeat_interleave Tensor.repeat_interleave", "input repeats dim?", call_repeat_interleave, 0},
    {"F.pad", "input pad mode? value?", call_pad, 0},
    {"torch.cumsum Tensor.cumsum", "input dim", call_cumsum, 0},
    {"torch.gather Tensor.gather", "input dim index", call_gather, 0},

    {"torch.sum Tensor.sum", "input dim? keepdim?", call_reduce, OOL_SUM},
    {"torch.mean Tensor.mean", "input dim? keepdim?", call_reduce, OOL_MEAN},
    {"torch.var Tensor.var", "input dim? keepdim? ~correction ~unbiased", call_reduce, OOL_VAR},
    {"torch.max Tensor.max", "input dim? keepdim?", call_reduce, OOL_MAX},
    {"torch.min Tensor.min", "input dim? keepdim?", call_reduce, OOL_MIN},
    {"torch.argmax Tensor.argmax", "input dim? keepdim?", call_reduce, OOL_ARGMAX},
    {"torch.any Tensor.any", "input dim? keepdim?", call_reduce, OOL_ANY},
    {"torch.all Tensor.all", "input dim? keepdim?", call_reduce, OOL_ALL},
    {"torch.topk Tensor.topk", "input k dim? ~largest ~sorted", call_topk, 0},
    {"torch.sort Tensor.sort", "input dim? ~descending", call_sort, 0},
    {"torch.multinomial Tensor.multinomial", "input num_samples ~replacement", call_multinomial, 0},
    {"F.softmax torch.softmax Tensor.softmax", "input dim? dtype? ~_stacklevel", call_softmax, 0},
    {"F.log_softmax torch.log_softmax Tensor.log_softmax", "input dim? dtype? ~_stacklevel", call_log_softmax, 0},

    {"Tensor.size", "input dim?", call_size, 0},
    {"Tensor.numel torch.numel", "input", call_fact, FACT_NUMEL},
    {"Tensor.dim Tensor.ndimension", "input", call_fact, FACT_DIM},
    {"Tensor.element_size", "input", call_fact, FACT_ELEMENT_SIZE},
    {NULL, NULL, NULL, 0},
};
/* clang-format on */
