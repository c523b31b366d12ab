/*
 * ool_snippet_value.c - values of a snippet, their references and scopes.
 */
#include "ool_snippet_value.h"

#include "ool_mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_DROP_DEPTH 100

/* --- failing ------------------------------------------------------------------------------------ */

void *ool_snippet_fail(struct ool_snippet *s, enum ool_status status, const char *format, ...)
{
    char text[sizeof(s->error.text)];
    va_list arguments;

    if (!s->failed) {
        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        s->failed = true;
        ool_error_set(&s->error, status, "%s", text);
    }
    return NULL;
}

bool ool_snippet_good(struct ool_snippet *s)
{
    struct ool_error err = {.status = OOL_OK};

    if (s->failed)
        return false;
    if (ool_tape_status(s->t, &err) != OOL_OK)
        ool_snippet_fail(s, err.status, "%s", err.text);
    return !s->failed;
}

static void *out_of_memory(struct ool_snippet *s)
{
    return ool_snippet_fail(s, OOL_E_HOST_OOM, "no memory for the variables");
}

/* --- values --------------------------------------------------------------------------------------- */

struct ool_value *ool_value_make(struct ool_snippet *s, enum ool_value_kind kind)
{
    struct ool_value *value = s->failed ? NULL : ool_calloc(1, sizeof(*value));

    if (value == NULL)
        return out_of_memory(s);
    value->kind = kind;
    value->refs = 1;
    value->older = s->values;
    if (s->values != NULL)
        s->values->newer = value;
    s->values = value;
    return value;
}

struct ool_value *ool_value_none(struct ool_snippet *s)
{
    return ool_value_make(s, OOL_VALUE_NONE);
}

struct ool_value *ool_value_int(struct ool_snippet *s, int64_t number)
{
    struct ool_value *value = ool_value_make(s, OOL_VALUE_INT);

    if (value != NULL)
        value->integer = number;
    return value;
}

struct ool_value *ool_value_bool(struct ool_snippet *s, bool truth)
{
    struct ool_value *value = ool_value_int(s, truth);

    if (value != NULL)
        value->kind = OOL_VALUE_BOOL;
    return value;
}

struct ool_value *ool_value_float(struct ool_snippet *s, double number)
{
    struct ool_value *value = ool_value_make(s, OOL_VALUE_FLOAT);

    if (value != NULL)
        value->real = number;
    return value;
}

struct ool_value *ool_value_text(struct ool_snippet *s, enum ool_value_kind kind, const char *text)
{
    struct ool_value *value = ool_value_make(s, kind);

    if (value == NULL)
        return NULL;
    value->text = ool_strdup(text);
    if (value->text == NULL) {
        ool_value_drop(s, value);
        return out_of_memory(s);
    }
    return value;
}

struct ool_value *ool_value_tensor(struct ool_snippet *s, struct ool_tensor *tensor)
{
    struct ool_value *value;

    if (!ool_snippet_good(s))
        return NULL;
    if (tensor == NULL && ool_stopped(s->t)) {
        s->failed = s->stopped = true; /* unwinds to where the checkpoint called */
        return NULL;
    }
    if (tensor == NULL)
        return ool_snippet_fail(s, OOL_E_INTERNAL, "the tape gave no tensor and no reason");
    value = ool_value_make(s, OOL_VALUE_TENSOR);
    if (value != NULL)
        ool_set(s->t, &value->tensor, tensor);
    return value;
}

struct ool_value *ool_value_share(struct ool_value *value)
{
    if (value != NULL)
        value->refs++;
    return value;
}

/* Its host memory; what it refers to is dropped before. */
static void release(struct ool_snippet *s, struct ool_value *value)
{
    if (value->older != NULL)
        value->older->newer = value->newer;
    if (value->newer != NULL)
        value->newer->older = value->older;
    else
        s->values = value->older;
    if (value->module != NULL)
        ool_free(value->module->children);
    ool_free(value->module);
    ool_free(value->items);
    ool_free(value->text);
    ool_free(value);
}

static void end(struct ool_snippet *s, struct ool_value *value)
{
    ool_del(s->t, &value->tensor);
    if (value->optimizer != NULL)
        ool_optimizer_close(s->t, value->optimizer);
    if (value->scaler != NULL)
        ool_scaler_close(s->t, value->scaler);
    for (size_t i = value->n_items; i-- > 0;) /* CPython's containers end from their last item on */
        ool_value_drop(s, value->items[i]);
    ool_scope_drop(s, value->scope);
    if (value->module != NULL) {
        for (size_t i = 0; i < OOL_MODULE_PARAMS; i++)
            ool_value_drop(s, value->module->params[i].tensor);
        for (size_t i = 0; i < value->module->n_children; i++)
            ool_value_drop(s, value->module->children[i]);
    }
    release(s, value);
}

/* Deeply nested values end from a list, as in CPython, so that the stack stays small. */
void ool_value_drop(struct ool_snippet *s, struct ool_value *value)
{
    if (value == NULL || --value->refs > 0)
        return;
    if (s->drop_depth >= MAX_DROP_DEPTH) {
        value->waits = s->doomed;
        s->doomed = value;
        return;
    }
    s->drop_depth++;
    end(s, value);
    s->drop_depth--;
    while (s->drop_depth == 0 && s->doomed != NULL) {
        struct ool_value *next = s->doomed;

        s->doomed = next->waits;
        s->drop_depth++;
        end(s, next);
        s->drop_depth--;
    }
}

bool ool_value_append_take(struct ool_snippet *s, struct ool_value *list, struct ool_value *item)
{
    if (item == NULL)
        return false;
    if (!ool_grow(&list->items, &list->capacity, list->n_items, sizeof(struct ool_value *))) {
        ool_value_drop(s, item);
        out_of_memory(s);
        return false;
    }
    list->items[list->n_items++] = item;
    return true;
}

struct ool_value *ool_value_next(struct ool_snippet *s, struct ool_value *source, size_t *position)
{
    switch (source->kind) {
    case OOL_VALUE_LIST:
    case OOL_VALUE_TUPLE:
        return *position < source->n_items ? ool_value_share(source->items[(*position)++]) : NULL;
    case OOL_VALUE_GENERATOR:
        return ool_snippet_advance(s, source);
    default:
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "iterating over a %s",
                                ool_value_kind_name(source));
    }
}

bool ool_value_is_number(const struct ool_value *value)
{
    return value->kind == OOL_VALUE_INT || value->kind == OOL_VALUE_FLOAT ||
           value->kind == OOL_VALUE_BOOL;
}

double ool_value_number(const struct ool_value *value)
{
    return value->kind == OOL_VALUE_FLOAT ? value->real : (double)value->integer;
}

const char *ool_value_kind_name(const struct ool_value *value)
{
    static const char *const names[] = {
        [OOL_VALUE_NONE] = "None",
        [OOL_VALUE_BOOL] = "bool",
        [OOL_VALUE_INT] = "int",
        [OOL_VALUE_FLOAT] = "float",
        [OOL_VALUE_STRING] = "str",
        [OOL_VALUE_ELLIPSIS] = "ellipsis",
        [OOL_VALUE_SLICE] = "slice",
        [OOL_VALUE_DTYPE] = "dtype",
        [OOL_VALUE_DEVICE] = "device",
        [OOL_VALUE_TENSOR] = "Tensor",
        [OOL_VALUE_TUPLE] = "tuple",
        [OOL_VALUE_LIST] = "list",
        [OOL_VALUE_GENERATOR] = "generator",
        [OOL_VALUE_FUNCTION] = "function",
        [OOL_VALUE_PATH] = "module",
        [OOL_VALUE_METHOD] = "method",
        [OOL_VALUE_MODULE] = "Module",
        [OOL_VALUE_OPTIMIZER] = "Optimizer",
        [OOL_VALUE_SCALER] = "GradScaler",
        [OOL_VALUE_STREAM] = "Stream",
        [OOL_VALUE_CONTEXT] = "context",
        [OOL_VALUE_PAIR] = "pair of values and indices",
    };

    return names[value->kind];
}

/* --- scopes ------------------------------------------------------------------------------------------ */

struct ool_scope *ool_scope_make(struct ool_snippet *s, struct ool_scope *parent)
{
    struct ool_scope *scope = ool_calloc(1, sizeof(*scope));

    if (scope == NULL)
        return out_of_memory(s);
    scope->refs = 1;
    scope->parent = parent;
    if (parent != NULL)
        parent->refs++;
    scope->older = s->scopes;
    if (s->scopes != NULL)
        s->scopes->newer = scope;
    s->scopes = scope;
    return scope;
}

static void release_scope(struct ool_snippet *s, struct ool_scope *scope)
{
    if (scope->older != NULL)
        scope->older->newer = scope->newer;
    if (scope->newer != NULL)
        scope->newer->older = scope->older;
    else
        s->scopes = scope->older;
    for (size_t i = 0; i < scope->n; i++)
        ool_free(scope->variables[i].name);
    ool_free(scope->variables);
    ool_free(scope);
}

void ool_scope_drop(struct ool_snippet *s, struct ool_scope *scope)
{
    while (scope != NULL && --scope->refs == 0) {
        struct ool_scope *parent = scope->parent;

        for (size_t i = 0; i < scope->n; i++)
            ool_value_drop(s, scope->variables[i].value);
        release_scope(s, scope);
        scope = parent;
    }
}

static struct ool_variable *find(const struct ool_scope *scope, const char *name)
{
    for (size_t i = 0; i < scope->n; i++)
        if (strcmp(scope->variables[i].name, name) == 0)
            return &scope->variables[i];
    return NULL;
}

struct ool_value *ool_scope_find(const struct ool_scope *scope, const char *name)
{
    for (; scope != NULL; scope = scope->parent) {
        const struct ool_variable *variable = find(scope, name);

        if (variable != NULL)
            return variable->value;
    }
    return NULL;
}

bool ool_scope_set_take(struct ool_snippet *s, struct ool_scope *scope, const char *name,
                        struct ool_value *value)
{
    struct ool_variable *variable = find(scope, name);
    char *copy;

    if (variable != NULL) {
        struct ool_value *old = variable->value;

        variable->value = value;
        ool_value_drop(s, old);
        return true;
    }
    copy = ool_strdup(name);
    if (copy == NULL ||
        !ool_grow(&scope->variables, &scope->capacity, scope->n, sizeof(struct ool_variable))) {
        ool_free(copy);
        ool_value_drop(s, value);
        out_of_memory(s);
        return false;
    }
    scope->variables[scope->n++] = (struct ool_variable){copy, value};
    return true;
}

bool ool_scope_remove(struct ool_snippet *s, struct ool_scope *scope, const char *name)
{
    struct ool_variable *variable = find(scope, name), gone;

    if (variable == NULL)
        return false;
    gone = *variable;
    memmove(variable, variable + 1,
            (size_t)(scope->variables + scope->n - (variable + 1)) * sizeof(*variable));
    scope->n--;
    ool_value_drop(s, gone.value);
    ool_free(gone.name);
    return true;
}

/* --- a snippet ------------------------------------------------------------------------------------------ */

static bool bind_path(struct ool_snippet *s, const char *name, const char *path)
{
    struct ool_value *value = ool_value_text(s, OOL_VALUE_PATH, path);

    return value != NULL && ool_scope_set_take(s, s->globals, name, value);
}

struct ool_snippet *ool_snippet_open(struct ool_tape *t, struct ool_error *err)
{
    struct ool_snippet *s = ool_calloc(1, sizeof(*s));

    if (s == NULL)
        goto out;
    s->t = t;
    s->globals = ool_scope_make(s, NULL);
    if (s->globals == NULL)
        goto out;
    s->scope = s->globals;
    if (bind_path(s, "torch", "torch") && bind_path(s, "nn", "torch.nn") &&
        bind_path(s, "F", "torch.nn.functional"))
        return s;
out:
    ool_snippet_close(s);
    ool_error_set(err, OOL_E_HOST_OOM, "no memory for a snippet");
    return NULL;
}

void ool_snippet_close(struct ool_snippet *s)
{
    if (s == NULL)
        return;
    while (s->values != NULL) {
        if (s->values->optimizer != NULL)
            ool_optimizer_close(s->t, s->values->optimizer);
        if (s->values->scaler != NULL)
            ool_scaler_close(s->t, s->values->scaler);
        release(s, s->values);
    }
    while (s->scopes != NULL)
        release_scope(s, s->scopes);
    for (size_t i = 0; i < s->n_trees; i++)
        ool_snippet_forget(s->trees[i]);
    while (s->recomputes != NULL) {
        struct ool_recompute *older = s->recomputes->older;

        ool_free(s->recomputes);
        s->recomputes = older;
    }
    ool_free(s->trees);
    ool_free(s->entered);
    ool_free(s);
}
