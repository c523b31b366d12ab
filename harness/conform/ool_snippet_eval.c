/*
 * ool_snippet_eval.c - evaluates the syntax tree of a snippet.
 *
 * References are dropped where CPython 3.11 drops them: an operator's operands and a call's callee
 * and arguments from left to right once the result is there, an iterable at the end of its loop,
 * the locals of a function, in order, when its result is there.
 */
#include "ool_snippet_value.h"

#include "ool_mem.h"

#include <string.h>

#define MAX_DEPTH 400

/* --- calls ---------------------------------------------------------------------------------------- */

static void fini_arguments(struct ool_snippet *s, struct ool_arguments *arguments)
{
    for (size_t i = 0; i < arguments->n; i++)
        ool_value_drop(s, arguments->values[i]);
    ool_free(arguments->values);
    ool_free(arguments->names);
}

/* Takes over the reference, even on failure. */
static bool add_argument(struct ool_snippet *s, struct ool_arguments *arguments, const char *name,
                         struct ool_value *value)
{
    if (value == NULL)
        return false;
    if (arguments->n == arguments->capacity) {
        size_t capacity = arguments->capacity == 0 ? 8 : 2 * arguments->capacity;
        struct ool_value **values =
            ool_reallocarray(arguments->values, capacity, sizeof(struct ool_value *));
        const char **names;

        if (values != NULL)
            arguments->values = values;
        names = ool_reallocarray(arguments->names, capacity, sizeof(*names));
        if (names != NULL)
            arguments->names = names;
        if (values == NULL || names == NULL) {
            ool_value_drop(s, value);
            ool_snippet_fail(s, OOL_E_HOST_OOM, "no memory for the arguments of a call");
            return false;
        }
        arguments->capacity = capacity;
    }
    arguments->values[arguments->n] = value;
    arguments->names[arguments->n++] = name;
    return true;
}

static bool add_starred(struct ool_snippet *s, struct ool_arguments *arguments,
                        const struct ool_syntax *syntax)
{
    struct ool_value *source = ool_snippet_eval(s, syntax), *item;
    size_t position = 0;

    if (source == NULL)
        return false;
    while ((item = ool_value_next(s, source, &position)) != NULL)
        if (!add_argument(s, arguments, NULL, item))
            break;
    ool_value_drop(s, source);
    return !s->failed;
}

static struct ool_value *eval_call(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_arguments arguments = {0};
    struct ool_value *callee = ool_snippet_eval(s, syntax->first), *result = NULL;
    bool good = callee != NULL;

    for (const struct ool_syntax *a = syntax->first->next; good && a != NULL; a = a->next) {
        if (a->kind == OOL_SYNTAX_STAR)
            good = add_starred(s, &arguments, a->first);
        else if (a->kind == OOL_SYNTAX_KEYWORD)
            good = add_argument(s, &arguments, a->text, ool_snippet_eval(s, a->first));
        else if (arguments.n > 0 && arguments.names[arguments.n - 1] != NULL)
            good = ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a positional argument after keywords");
        else
            good = add_argument(s, &arguments, NULL, ool_snippet_eval(s, a));
    }
    if (good)
        result = ool_snippet_call(s, callee, &arguments);
    ool_value_drop(s, callee);
    fini_arguments(s, &arguments);
    return result;
}

/* Moves the arguments into the parameters of a function, in their order. */
static bool bind_parameters(struct ool_snippet *s, const struct ool_value *function,
                            struct ool_scope *locals, struct ool_arguments *arguments)
{
    size_t position = 0, taken = 0;

    for (const struct ool_syntax *p = function->syntax->first;
         p != NULL && p->kind == OOL_SYNTAX_PARAMETER; p = p->next) {
        struct ool_value *value = NULL;

        if (position < arguments->n && arguments->names[position] == NULL) {
            value = arguments->values[position];
            arguments->values[position++] = NULL;
        } else {
            for (size_t i = position; i < arguments->n; i++)
                if (arguments->values[i] != NULL && strcmp(arguments->names[i], p->text) == 0) {
                    value = arguments->values[i];
                    arguments->values[i] = NULL;
                    break;
                }
        }
        if (value != NULL)
            taken++;
        else if (p->first != NULL)
            value = ool_snippet_eval(s, p->first);
        else
            ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a call without its argument %s", p->text);
        if (value == NULL || !ool_scope_set_take(s, locals, p->text, value))
            return false;
    }
    if (taken < arguments->n)
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a call with more arguments than parameters");
    return !s->failed;
}

/* True if a function within @syntax uses @name: then the variable outlives its call. */
static bool is_captured(const struct ool_syntax *syntax, const char *name, bool inside)
{
    for (; syntax != NULL; syntax = syntax->next) {
        bool nested = inside || syntax->kind == OOL_SYNTAX_LAMBDA ||
                      syntax->kind == OOL_SYNTAX_DEF || syntax->kind == OOL_SYNTAX_GENERATOR;

        if (inside && syntax->kind == OOL_SYNTAX_NAME && strcmp(syntax->text, name) == 0)
            return true;
        if (is_captured(syntax->first, name, nested))
            return true;
    }
    return false;
}

/* The end of a call: locals die, in order, but for what a function that lives on has captured. */
static void leave_scope(struct ool_snippet *s, struct ool_scope *locals,
                        const struct ool_syntax *body)
{
    if (locals->refs > 1) {
        for (size_t i = 0; i < locals->n;) {
            if (is_captured(body, locals->variables[i].name, false))
                i++;
            else
                ool_scope_remove(s, locals, locals->variables[i].name);
        }
    }
    ool_scope_drop(s, locals);
}

static struct ool_value *call_function(struct ool_snippet *s, struct ool_value *function,
                                       struct ool_arguments *arguments)
{
    struct ool_scope *outer = s->scope, *locals = ool_scope_make(s, function->scope);
    const struct ool_syntax *body = function->syntax->first;
    struct ool_value *result = NULL;

    if (locals == NULL)
        return NULL;
    ool_value_share(function);
    if (bind_parameters(s, function, locals, arguments)) {
        while (body->kind == OOL_SYNTAX_PARAMETER)
            body = body->next;
        s->scope = locals;
        if (function->syntax->kind == OOL_SYNTAX_LAMBDA)
            result = ool_snippet_eval(s, body);
        else if (ool_snippet_block(s, body, &result) == OOL_FLOW_NEXT)
            result = ool_value_none(s);
        s->scope = outer;
    }
    leave_scope(s, locals, function->syntax->first);
    ool_value_drop(s, function);
    return result;
}

static struct ool_value *call_method(struct ool_snippet *s, struct ool_value *method,
                                     struct ool_arguments *arguments)
{
    struct ool_arguments all = {0};
    struct ool_value *result = NULL;
    char path[128];

    /* the method's name stands for a function whose first argument is the object */
    if (strlen(method->text) > 100)
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a method with a long name");
    strcpy(path, ool_value_kind_name(method->items[0]));
    strcat(strcat(path, "."), method->text);
    if (!add_argument(s, &all, NULL, ool_value_share(method->items[0])))
        goto out;
    for (size_t i = 0; i < arguments->n; i++)
        if (!add_argument(s, &all, arguments->names[i], ool_value_share(arguments->values[i])))
            goto out;
    result = ool_snippet_call_path(s, path, &all);
out:
    fini_arguments(s, &all);
    return result;
}

struct ool_value *ool_snippet_call(struct ool_snippet *s, struct ool_value *callee,
                                   struct ool_arguments *arguments)
{
    struct ool_value *result = NULL;

    if (s->failed)
        return NULL;
    if (++s->depth > MAX_DEPTH)
        return ool_snippet_fail(s, OOL_E_LIMIT, "calls nest too deeply");
    switch (callee->kind) {
    case OOL_VALUE_FUNCTION:
        result = call_function(s, callee, arguments);
        break;
    case OOL_VALUE_METHOD:
        result = call_method(s, callee, arguments);
        break;
    case OOL_VALUE_PATH:
        result = ool_snippet_call_path(s, callee->text, arguments);
        break;
    case OOL_VALUE_MODULE:
        result = ool_module_call(s, callee, arguments);
        break;
    default:
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "calling a %s", ool_value_kind_name(callee));
    }
    s->depth--;
    return result;
}

/* --- expressions ------------------------------------------------------------------------------------ */

static struct ool_value *eval_items(struct ool_snippet *s, const struct ool_syntax *syntax,
                                    enum ool_value_kind kind)
{
    struct ool_value *list = ool_value_make(s, kind);

    if (list == NULL)
        return NULL;
    for (const struct ool_syntax *item = syntax->first; item != NULL; item = item->next)
        if (!ool_value_append_take(s, list, ool_snippet_eval(s, item))) {
            ool_value_drop(s, list);
            return NULL;
        }
    return list;
}

static struct ool_value *make_function(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *function = ool_value_make(s, OOL_VALUE_FUNCTION);

    if (function == NULL)
        return NULL;
    function->syntax = syntax;
    function->scope = s->scope;
    function->scope->refs++;
    return function;
}

static struct ool_value *make_generator(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *generator, *source;

    source = ool_snippet_eval(s, syntax->first->next->next);
    if (source == NULL)
        return NULL;
    generator = ool_value_make(s, OOL_VALUE_GENERATOR);
    if (generator == NULL) {
        ool_value_drop(s, source);
        return NULL;
    }
    generator->syntax = syntax;
    generator->scope = ool_scope_make(s, s->scope);
    if (generator->scope == NULL || !ool_value_append_take(s, generator, source)) {
        if (generator->scope == NULL)
            ool_value_drop(s, source);
        ool_value_drop(s, generator);
        return NULL;
    }
    return generator;
}

/* A generator that is done forgets its variables, then what it ran over. */
static void finish_generator(struct ool_snippet *s, struct ool_value *generator)
{
    struct ool_scope *scope = generator->scope;

    generator->scope = NULL;
    ool_scope_drop(s, scope);
    if (generator->n_items > 0) {
        generator->n_items = 0;
        ool_value_drop(s, generator->items[0]);
    }
}

struct ool_value *ool_snippet_advance(struct ool_snippet *s, struct ool_value *generator)
{
    struct ool_scope *outer = s->scope;
    const struct ool_syntax *element = generator->syntax->first, *target = element->next;
    struct ool_value *item, *result = NULL;

    while (result == NULL && generator->n_items > 0 && !s->failed) {
        size_t position = (size_t)generator->integer;
        bool wanted = true;

        item = ool_value_next(s, generator->items[0], &position);
        generator->integer = (int64_t)position;
        if (item == NULL) {
            finish_generator(s, generator);
            break;
        }
        s->scope = generator->scope;
        wanted = ool_snippet_store_take(s, target, item);
        for (const struct ool_syntax *c = target->next->next; wanted && c != NULL; c = c->next) {
            struct ool_value *truth = ool_snippet_eval(s, c);

            wanted = truth != NULL && ool_snippet_truth(s, truth);
            ool_value_drop(s, truth);
        }
        if (wanted)
            result = ool_snippet_eval(s, element);
        s->scope = outer;
    }
    return result;
}

static struct ool_value *eval_list_of(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *generator = make_generator(s, syntax), *list, *item;

    if (generator == NULL)
        return NULL;
    list = ool_value_make(s, OOL_VALUE_LIST);
    while (list != NULL && (item = ool_snippet_advance(s, generator)) != NULL)
        if (!ool_value_append_take(s, list, item))
            break;
    ool_value_drop(s, generator);
    if (s->failed) {
        ool_value_drop(s, list);
        return NULL;
    }
    return list;
}

static struct ool_value *eval_name(struct ool_snippet *s, const char *name)
{
    struct ool_value *value = ool_scope_find(s->scope, name);
    char path[128] = "builtins.";

    if (value != NULL)
        return ool_value_share(value);
    if (strlen(name) < 100 && ool_snippet_knows(strcat(path, name)))
        return ool_value_text(s, OOL_VALUE_PATH, path);
    return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "the name %.60s is not defined", name);
}

static struct ool_value *eval_unary(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *x = ool_snippet_eval(s, syntax->first), *result;

    if (x == NULL)
        return NULL;
    result = ool_snippet_unary(s, syntax->op, x);
    ool_value_drop(s, x);
    return result;
}

static struct ool_value *eval_binary(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *x = ool_snippet_eval(s, syntax->first), *y, *result = NULL;

    if (x == NULL)
        return NULL;
    y = ool_snippet_eval(s, syntax->first->next);
    if (y != NULL)
        result = ool_snippet_binary(s, syntax->op, x, y);
    ool_value_drop(s, x);
    ool_value_drop(s, y);
    return result;
}

static struct ool_value *eval_and_or(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *x = ool_snippet_eval(s, syntax->first);

    if (x == NULL || ool_snippet_truth(s, x) == (syntax->kind == OOL_SYNTAX_OR))
        return x;
    ool_value_drop(s, x);
    return ool_snippet_eval(s, syntax->first->next);
}

static struct ool_value *eval_condition(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    const struct ool_syntax *yes = syntax->first, *condition = yes->next, *no = condition->next;
    struct ool_value *value = ool_snippet_eval(s, condition);
    bool truth;

    if (value == NULL)
        return NULL;
    truth = ool_snippet_truth(s, value);
    ool_value_drop(s, value);
    return ool_snippet_eval(s, truth ? yes : no);
}

static struct ool_value *eval_subscript(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *x = ool_snippet_eval(s, syntax->first), *index, *result = NULL;

    if (x == NULL)
        return NULL;
    index = ool_snippet_eval(s, syntax->first->next);
    if (index != NULL)
        result = ool_snippet_subscript(s, x, index);
    ool_value_drop(s, x);
    ool_value_drop(s, index);
    return result;
}

static struct ool_value *eval_attribute(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *x = ool_snippet_eval(s, syntax->first), *result;

    if (x == NULL)
        return NULL;
    result = ool_snippet_attribute(s, x, syntax->text);
    ool_value_drop(s, x);
    return result;
}

static struct ool_value *eval(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    switch (syntax->kind) {
    case OOL_SYNTAX_NONE:
    case OOL_SYNTAX_ABSENT:
        return ool_value_none(s);
    case OOL_SYNTAX_BOOL:
        return ool_value_bool(s, syntax->integer != 0);
    case OOL_SYNTAX_INT:
        return ool_value_int(s, syntax->integer);
    case OOL_SYNTAX_FLOAT:
        return ool_value_float(s, syntax->real);
    case OOL_SYNTAX_STRING:
        return ool_value_text(s, OOL_VALUE_STRING, syntax->text);
    case OOL_SYNTAX_ELLIPSIS:
        return ool_value_make(s, OOL_VALUE_ELLIPSIS);
    case OOL_SYNTAX_NAME:
        return eval_name(s, syntax->text);
    case OOL_SYNTAX_ATTRIBUTE:
        return eval_attribute(s, syntax);
    case OOL_SYNTAX_CALL:
        return eval_call(s, syntax);
    case OOL_SYNTAX_SUBSCRIPT:
        return eval_subscript(s, syntax);
    case OOL_SYNTAX_SLICE:
        return eval_items(s, syntax, OOL_VALUE_SLICE);
    case OOL_SYNTAX_TUPLE:
        return eval_items(s, syntax, OOL_VALUE_TUPLE);
    case OOL_SYNTAX_LIST:
        return eval_items(s, syntax, OOL_VALUE_LIST);
    case OOL_SYNTAX_UNARY:
        return eval_unary(s, syntax);
    case OOL_SYNTAX_BINARY:
        return eval_binary(s, syntax);
    case OOL_SYNTAX_AND:
    case OOL_SYNTAX_OR:
        return eval_and_or(s, syntax);
    case OOL_SYNTAX_CONDITION:
        return eval_condition(s, syntax);
    case OOL_SYNTAX_LAMBDA:
    case OOL_SYNTAX_DEF:
        return make_function(s, syntax);
    case OOL_SYNTAX_LIST_OF:
        return eval_list_of(s, syntax);
    case OOL_SYNTAX_GENERATOR:
        return make_generator(s, syntax);
    default:
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "line %d: no expression", syntax->line);
    }
}

struct ool_value *ool_snippet_eval(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *value;

    if (s->failed)
        return NULL;
    if (s->depth >= MAX_DEPTH || s->work >= OOL_SNIPPET_WORK)
        return ool_snippet_fail(s, OOL_E_LIMIT, "line %d: the text asks for too much",
                                syntax->line);
    s->depth++;
    s->work++;
    value = eval(s, syntax);
    s->depth--;
    return value;
}
