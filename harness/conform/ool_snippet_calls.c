/*
 * ool_snippet_calls.c - finds a call's line in the table and binds its arguments.
 */
#include "ool_snippet_calls.h"

#include "ool_mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- arguments -------------------------------------------------------------------------------------- */

struct ool_value *ool_call_refuse(struct ool_call *c, const char *what)
{
    return ool_snippet_fail(c->s, OOL_E_UNSUPPORTED, "%s: %s", c->path, what);
}

static void refuse_kind(struct ool_call *c, int i, const char *expected)
{
    ool_snippet_fail(c->s, OOL_E_UNSUPPORTED, "%s: argument %d is %s, expected %s", c->path, i + 1,
                     c->arg[i] != NULL ? ool_value_kind_name(c->arg[i]) : "missing", expected);
    ool_fail(c->t, c->s->error.status, "%s", c->s->error.text); /* no call with what is missing */
}

struct ool_tensor *ool_arg_tensor_or_none(struct ool_call *c, int i)
{
    if (c->arg[i] == NULL)
        return NULL;
    if (c->arg[i]->kind != OOL_VALUE_TENSOR)
        refuse_kind(c, i, "a Tensor");
    return c->arg[i]->tensor;
}

struct ool_tensor *ool_arg_tensor(struct ool_call *c, int i)
{
    if (c->arg[i] == NULL)
        refuse_kind(c, i, "a Tensor");
    return ool_arg_tensor_or_none(c, i);
}

int64_t ool_arg_int(struct ool_call *c, int i, int64_t otherwise)
{
    if (c->arg[i] == NULL)
        return otherwise;
    if (c->arg[i]->kind != OOL_VALUE_INT && c->arg[i]->kind != OOL_VALUE_BOOL)
        refuse_kind(c, i, "a whole number");
    return c->arg[i]->integer;
}

double ool_arg_number(struct ool_call *c, int i, double otherwise)
{
    if (c->arg[i] == NULL)
        return otherwise;
    if (!ool_value_is_number(c->arg[i]))
        refuse_kind(c, i, "a number");
    return ool_value_number(c->arg[i]);
}

bool ool_arg_bool(struct ool_call *c, int i, bool otherwise)
{
    return ool_arg_int(c, i, otherwise) != 0;
}

const char *ool_arg_text(struct ool_call *c, int i, const char *otherwise)
{
    if (c->arg[i] == NULL)
        return otherwise;
    if (c->arg[i]->kind != OOL_VALUE_STRING) {
        refuse_kind(c, i, "a text");
        return "";
    }
    return c->arg[i]->text;
}

enum ool_dtype ool_arg_dtype(struct ool_call *c, int i, enum ool_dtype otherwise)
{
    if (c->arg[i] == NULL)
        return otherwise;
    if (c->arg[i]->kind != OOL_VALUE_DTYPE) {
        refuse_kind(c, i, "a dtype");
        return otherwise;
    }
    return (enum ool_dtype)c->arg[i]->integer;
}

/* "cuda", "cuda:0", "cpu" or a device. */
bool ool_arg_on_card(struct ool_call *c, int i, bool otherwise)
{
    const struct ool_value *value = c->arg[i];

    if (value == NULL)
        return otherwise;
    if (value->kind == OOL_VALUE_DEVICE)
        return value->integer != 0;
    if (value->kind == OOL_VALUE_STRING) {
        if (strcmp(value->text, "cuda") == 0 || strcmp(value->text, "cuda:0") == 0)
            return true;
        if (strcmp(value->text, "cpu") == 0)
            return false;
    }
    refuse_kind(c, i, "\"cuda\" or \"cpu\"");
    return otherwise;
}

int ool_arg_dim(struct ool_call *c, int i, int otherwise)
{
    int64_t dim = ool_arg_int(c, i, otherwise);

    if (c->arg[i] != NULL && (dim < -OOL_MAX_DIMS || dim >= OOL_MAX_DIMS)) {
        ool_call_refuse(c, "a dimension that no tensor has");
        return 0;
    }
    return (int)dim;
}

int ool_arg_ints(struct ool_call *c, int i, int64_t *out, int most)
{
    struct ool_value *value = c->arg[i];

    if (value == NULL)
        return 0;
    if (value->kind == OOL_VALUE_INT && most > 0) {
        out[0] = value->integer;
        return 1;
    }
    if ((value->kind != OOL_VALUE_TUPLE && value->kind != OOL_VALUE_LIST) ||
        value->n_items > (size_t)most) {
        refuse_kind(c, i, "whole numbers");
        return 0;
    }
    for (size_t k = 0; k < value->n_items; k++) {
        if (value->items[k]->kind != OOL_VALUE_INT) {
            refuse_kind(c, i, "whole numbers");
            return 0;
        }
        out[k] = value->items[k]->integer;
    }
    return (int)value->n_items;
}

struct ool_value *ool_arg_tensors(struct ool_call *c, int i)
{
    struct ool_value *list = ool_value_make(c->s, OOL_VALUE_LIST), *item;
    size_t position = 0;

    if (list == NULL)
        return NULL;
    if (c->arg[i] == NULL) {
        refuse_kind(c, i, "tensors");
    } else if (c->arg[i]->kind == OOL_VALUE_TENSOR) {
        ool_value_append_take(c->s, list, ool_value_share(c->arg[i]));
    } else {
        while ((item = ool_value_next(c->s, c->arg[i], &position)) != NULL) {
            bool is_tensor = item->kind == OOL_VALUE_TENSOR;

            if (!ool_value_append_take(c->s, list, item) || !is_tensor) {
                refuse_kind(c, i, "tensors");
                break;
            }
        }
    }
    if (c->s->failed) {
        ool_value_drop(c->s, list);
        return NULL;
    }
    return list;
}

struct ool_value *ool_call_tuple(struct ool_call *c, struct ool_tensor **parts, int n)
{
    struct ool_value *tuple = ool_value_make(c->s, OOL_VALUE_TUPLE);

    for (int i = 0; tuple != NULL && i < n; i++)
        if (!ool_value_append_take(c->s, tuple, ool_value_tensor(c->s, parts[i]))) {
            ool_value_drop(c->s, tuple);
            return NULL;
        }
    return tuple;
}

/* --- binding ------------------------------------------------------------------------------------------ */

struct parameter {
    const char *name;
    size_t length;
    bool optional, ignored, rest;
};

/* The next parameter of a signature; false at its end. */
static bool next_parameter(const char **at, struct parameter *out)
{
    *out = (struct parameter){0};
    *at += strspn(*at, " ");
    if (**at == '\0')
        return false;
    out->ignored = **at == '~';
    out->rest = **at == '*';
    *at += out->ignored || out->rest;
    out->name = *at;
    out->length = strcspn(*at, " ?");
    *at += out->length;
    out->optional = **at == '?' || out->ignored || out->rest;
    *at += strcspn(*at, " ");
    return true;
}

static bool is_named(const struct parameter *p, const char *name)
{
    return strlen(name) == p->length && memcmp(p->name, name, p->length) == 0;
}

/* The rest of the positional arguments as a tuple; the caller drops it. */
static struct ool_value *take_rest(struct ool_snippet *s, const struct ool_arguments *arguments,
                                   size_t *position)
{
    struct ool_value *rest;
    size_t n = *position;

    while (n < arguments->n && arguments->names[n] == NULL)
        n++;
    if (n == *position + 1 && (arguments->values[*position]->kind == OOL_VALUE_TUPLE ||
                               arguments->values[*position]->kind == OOL_VALUE_LIST))
        return ool_value_share(arguments->values[(*position)++]);
    rest = ool_value_make(s, OOL_VALUE_TUPLE);
    while (rest != NULL && *position < n)
        if (!ool_value_append_take(s, rest, ool_value_share(arguments->values[(*position)++]))) {
            ool_value_drop(s, rest);
            return NULL;
        }
    return rest;
}

static struct ool_value *find_keyword(const struct ool_arguments *arguments,
                                      const struct parameter *p, bool *used)
{
    for (size_t i = 0; i < arguments->n; i++)
        if (arguments->names[i] != NULL && !used[i] && is_named(p, arguments->names[i])) {
            used[i] = true;
            return arguments->values[i];
        }
    return NULL;
}

/* Fills c->arg. *rest: a tuple that the caller drops. */
static bool bind(struct ool_call *c, const char *signature, const struct ool_arguments *arguments,
                 bool *used, struct ool_value **rest)
{
    struct parameter p;
    size_t position = 0;

    for (int i = 0; next_parameter(&signature, &p); i++) {
        struct ool_value *value = NULL;

        if (p.rest && (position < arguments->n && arguments->names[position] == NULL)) {
            size_t from = position;

            value = *rest = take_rest(c->s, arguments, &position);
            for (; from < position; from++)
                used[from] = true;
        } else if (position < arguments->n && arguments->names[position] == NULL) {
            used[position] = true;
            value = arguments->values[position++];
        } else {
            value = find_keyword(arguments, &p, used);
        }
        if (value == NULL && !p.optional) {
            ool_snippet_fail(c->s, OOL_E_UNSUPPORTED, "%s: the argument %.*s is missing", c->path,
                             (int)p.length, p.name);
            return false;
        }
        if (!p.ignored && value != NULL && value->kind != OOL_VALUE_NONE)
            c->arg[i] = value;
    }
    for (size_t i = 0; i < arguments->n; i++)
        if (!used[i]) {
            ool_snippet_fail(c->s, OOL_E_UNSUPPORTED, "%s: the argument %s is not known", c->path,
                             arguments->names[i] != NULL ? arguments->names[i] : "at the end");
            return false;
        }
    return !c->s->failed;
}

/* --- the table ------------------------------------------------------------------------------------------ */

static bool is_in(const char *paths, const char *path, size_t length)
{
    while (*paths != '\0') {
        size_t n = strcspn(paths, " ");

        if (n == length && memcmp(paths, path, n) == 0)
            return true;
        paths += n;
        paths += strspn(paths, " ");
    }
    return false;
}

static const struct ool_call_line *find_line(const char *path)
{
    static const char functional[] = "torch.nn.functional.";
    const struct ool_call_line *const tables[] = {ool_tensor_calls, ool_layer_calls,
                                                  ool_module_calls, ool_object_calls};
    char name[160];

    if (strncmp(path, functional, sizeof(functional) - 1) == 0) {
        int n = snprintf(name, sizeof(name), "F.%s", path + sizeof(functional) - 1);

        if (n < 0 || (size_t)n >= sizeof(name))
            return NULL;
        path = name;
    }
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        for (const struct ool_call_line *line = tables[i]; line->paths != NULL; line++)
            if (is_in(line->paths, path, strlen(path)))
                return line;
    return NULL;
}

bool ool_snippet_knows(const char *path)
{
    return find_line(path) != NULL;
}

struct ool_value *ool_snippet_call_path(struct ool_snippet *s, const char *path,
                                        struct ool_arguments *arguments)
{
    const struct ool_call_line *line = find_line(path);
    struct ool_call c = {.s = s, .t = s->t, .path = path};
    struct ool_value *rest = NULL, *result = NULL;
    bool *used;

    if (line == NULL)
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "%s is not known", path);
    used = ool_calloc(arguments->n + 1, sizeof(*used));
    if (used == NULL)
        return ool_snippet_fail(s, OOL_E_HOST_OOM, "no memory for the arguments of a call");
    c.variant = line->variant;
    if (bind(&c, line->signature, arguments, used, &rest))
        result = line->call(&c);
    ool_value_drop(s, rest);
    ool_free(used);
    if (s->failed || !ool_snippet_good(s)) {
        ool_value_drop(s, result);
        return NULL;
    }
    return result;
}

/* --- constants ------------------------------------------------------------------------------------------- */

struct ool_value *ool_snippet_constant(struct ool_snippet *s, const char *path)
{
    static const struct {
        const char *name;
        enum ool_dtype dtype;
    } dtypes[] = {
        {"float32", OOL_F32},   {"float", OOL_F32},   {"float16", OOL_F16}, {"half", OOL_F16},
        {"bfloat16", OOL_BF16}, {"float64", OOL_F64}, {"double", OOL_F64},  {"int64", OOL_I64},
        {"long", OOL_I64},      {"int32", OOL_I32},   {"int", OOL_I32},     {"int16", OOL_I16},
        {"short", OOL_I16},     {"int8", OOL_I8},     {"uint8", OOL_U8},    {"bool", OOL_BOOL},
    };
    static const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"math.pi", 3.14159265358979323846},
        {"math.e", 2.7182818284590452354},
        {"math.inf", INFINITY},
        {"torch.inf", INFINITY},
    };
    static const char backends[] = "torch.nn.attention.SDPBackend.";
    static const struct {
        const char *name;
        enum ool_sdpa_backend backend;
    } kernels[] = {
        {"MATH", OOL_SDPA_MATH},
        {"FLASH_ATTENTION", OOL_SDPA_FLASH},
        {"EFFICIENT_ATTENTION", OOL_SDPA_EFFICIENT},
    };

    if (strncmp(path, "torch.", 6) == 0)
        for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++)
            if (strcmp(path + 6, dtypes[i].name) == 0) {
                struct ool_value *value = ool_value_make(s, OOL_VALUE_DTYPE);

                if (value != NULL)
                    value->integer = dtypes[i].dtype;
                return value;
            }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (strcmp(path, numbers[i].name) == 0)
            return ool_value_float(s, numbers[i].value);
    if (strncmp(path, backends, sizeof(backends) - 1) == 0)
        for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
            if (strcmp(path + sizeof(backends) - 1, kernels[i].name) == 0)
                return ool_value_int(s, kernels[i].backend);
    return NULL;
}
