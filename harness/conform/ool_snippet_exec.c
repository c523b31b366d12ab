/*
 * ool_snippet_exec.c - runs the statements of a snippet, and what the outside asks of one.
 */
#include "ool_snippet_value.h"

#include "ool_mem.h"

#include <string.h>

/* --- statements ---------------------------------------------------------------------------------------- */

/* All items are there, and the source is gone, before the first one is stored. */
static bool unpack_take(struct ool_snippet *s, const struct ool_syntax *target,
                        struct ool_value *source)
{
    struct ool_value *items = ool_value_make(s, OOL_VALUE_LIST), *item;
    const struct ool_syntax *t = target->first;
    size_t position = 0, n_targets = 0;

    while (items != NULL && (item = ool_value_next(s, source, &position)) != NULL)
        if (!ool_value_append_take(s, items, item))
            break;
    ool_value_drop(s, source);
    for (; t != NULL; t = t->next)
        n_targets++;
    if (!s->failed && items->n_items != n_targets)
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "unpacking %zu values into %zu targets",
                         items->n_items, n_targets);
    t = target->first;
    for (size_t i = 0; !s->failed && i < n_targets; i++, t = t->next) {
        item = items->items[i];
        items->items[i] = NULL;
        ool_snippet_store_take(s, t, item);
    }
    ool_value_drop(s, items);
    return !s->failed;
}

static bool store_item(struct ool_snippet *s, struct ool_value *list, struct ool_value *index,
                       struct ool_value *value)
{
    struct ool_value *old;
    int64_t at = index->integer;

    if (list->kind != OOL_VALUE_LIST || index->kind != OOL_VALUE_INT) {
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "assigning to an item of a %s",
                         ool_value_kind_name(list));
        return false;
    }
    at += at < 0 ? (int64_t)list->n_items : 0;
    if (at < 0 || at >= (int64_t)list->n_items) {
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "an index out of range");
        return false;
    }
    old = list->items[at];
    list->items[at] = ool_value_share(value);
    ool_value_drop(s, old);
    return true;
}

/* Attributes and items: the value first, then the object, as in `object.name = value`. */
static bool store_into(struct ool_snippet *s, const struct ool_syntax *target,
                       struct ool_value *value)
{
    struct ool_value *object = ool_snippet_eval(s, target->first), *index = NULL;
    bool good = object != NULL;

    if (good && target->kind == OOL_SYNTAX_ATTRIBUTE) {
        good = ool_snippet_set_attribute(s, object, target->text, value);
    } else if (good) {
        index = ool_snippet_eval(s, target->first->next);
        good = index != NULL && store_item(s, object, index, value);
    }
    ool_value_drop(s, value);
    ool_value_drop(s, object);
    ool_value_drop(s, index);
    return good;
}

bool ool_snippet_store_take(struct ool_snippet *s, const struct ool_syntax *target,
                            struct ool_value *value)
{
    if (value == NULL)
        return false;
    if (target->kind == OOL_SYNTAX_NAME)
        return ool_scope_set_take(s, s->scope, target->text, value);
    if (target->kind == OOL_SYNTAX_TUPLE || target->kind == OOL_SYNTAX_LIST)
        return unpack_take(s, target, value);
    return store_into(s, target, value);
}

static bool run_assign(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *value = ool_snippet_eval(s, syntax->first);

    for (const struct ool_syntax *target = syntax->first->next; target != NULL;
         target = target->next) {
        bool last = target->next == NULL;

        if (value == NULL)
            return false;
        if (!ool_snippet_store_take(s, target, last ? value : ool_value_share(value))) {
            if (!last)
                ool_value_drop(s, value);
            return false;
        }
    }
    return true;
}

static bool run_augment(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    struct ool_value *x = ool_snippet_eval(s, syntax->first), *y, *result = NULL;

    if (x == NULL)
        return false;
    y = ool_snippet_eval(s, syntax->first->next);
    if (y != NULL)
        result = ool_snippet_augment(s, syntax->op, x, y);
    ool_value_drop(s, x);
    ool_value_drop(s, y);
    return ool_snippet_store_take(s, syntax->first, result);
}

static bool run_del(struct ool_snippet *s, const struct ool_syntax *target)
{
    if (target->kind == OOL_SYNTAX_TUPLE || target->kind == OOL_SYNTAX_LIST) {
        for (const struct ool_syntax *t = target->first; t != NULL; t = t->next)
            if (!run_del(s, t))
                return false;
        return true;
    }
    if (target->kind == OOL_SYNTAX_NAME) {
        if (ool_scope_remove(s, s->scope, target->text))
            return true;
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "del of %.60s, which is not defined", target->text);
        return false;
    }
    if (target->kind == OOL_SYNTAX_ATTRIBUTE && strcmp(target->text, "grad") == 0) {
        struct ool_value *none = ool_value_none(s);

        return none != NULL && store_into(s, target, none);
    }
    ool_snippet_fail(s, OOL_E_UNSUPPORTED, "del of an attribute or an item");
    return false;
}

static enum ool_flow run_for(struct ool_snippet *s, const struct ool_syntax *syntax,
                             struct ool_value **result)
{
    const struct ool_syntax *target = syntax->first, *block = target->next->next;
    struct ool_value *source = ool_snippet_eval(s, target->next), *item;
    enum ool_flow flow = OOL_FLOW_NEXT;
    size_t position = 0;

    if (source == NULL)
        return OOL_FLOW_FAILED;
    while (flow == OOL_FLOW_NEXT && (item = ool_value_next(s, source, &position)) != NULL)
        flow = ool_snippet_store_take(s, target, item) ? ool_snippet_block(s, block, result)
                                                       : OOL_FLOW_FAILED;
    ool_value_drop(s, source);
    return s->failed ? OOL_FLOW_FAILED : flow;
}

static enum ool_flow run_if(struct ool_snippet *s, const struct ool_syntax *syntax,
                            struct ool_value **result)
{
    const struct ool_syntax *yes = syntax->first->next, *no = yes->next;
    struct ool_value *value = ool_snippet_eval(s, syntax->first);
    bool truth;

    if (value == NULL)
        return OOL_FLOW_FAILED;
    truth = ool_snippet_truth(s, value);
    ool_value_drop(s, value);
    if (s->failed)
        return OOL_FLOW_FAILED;
    if (truth)
        return ool_snippet_block(s, yes, result);
    if (no == NULL)
        return OOL_FLOW_NEXT;
    return no->kind == OOL_SYNTAX_IF ? run_if(s, no, result) : ool_snippet_block(s, no, result);
}

static enum ool_flow run_with(struct ool_snippet *s, const struct ool_syntax *item,
                              struct ool_value **result)
{
    struct ool_value *manager;
    enum ool_flow flow = OOL_FLOW_FAILED;

    if (item->kind == OOL_SYNTAX_BLOCK)
        return ool_snippet_block(s, item, result);
    manager = ool_snippet_eval(s, item->first);
    if (manager != NULL && ool_context_enter(s, manager)) {
        if (item->first->next == NULL ||
            ool_snippet_store_take(s, item->first->next, ool_value_share(manager)))
            flow = run_with(s, item->next, result);
        if (!ool_context_leave(s, manager))
            flow = OOL_FLOW_FAILED;
    }
    ool_value_drop(s, manager);
    return flow;
}

static bool run_import(struct ool_snippet *s, const struct ool_syntax *syntax)
{
    static const char *const packages[] = {"torch", "math", "contextlib", "gc"};
    size_t length = strcspn(syntax->text, "."), i = 0;
    struct ool_value *value;

    while (i < 4 && (strlen(packages[i]) != length || strncmp(packages[i], syntax->text, length)))
        i++;
    if (i == 4) {
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "import of %.60s", syntax->text);
        return false;
    }
    value = ool_snippet_constant(s, syntax->text);
    if (value == NULL && !s->failed)
        value = ool_value_text(s, OOL_VALUE_PATH, syntax->text);
    return value != NULL && ool_scope_set_take(s, s->scope, syntax->first->text, value);
}

static enum ool_flow run_return(struct ool_snippet *s, const struct ool_syntax *syntax,
                                struct ool_value **result)
{
    if (s->scope == s->globals) {
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "return outside of a function");
        return OOL_FLOW_FAILED;
    }
    *result = syntax->first != NULL ? ool_snippet_eval(s, syntax->first) : ool_value_none(s);
    return *result != NULL ? OOL_FLOW_RETURN : OOL_FLOW_FAILED;
}

static enum ool_flow run_statement(struct ool_snippet *s, const struct ool_syntax *syntax,
                                   struct ool_value **result)
{
    struct ool_value *value;
    bool good = true;

    switch (syntax->kind) {
    case OOL_SYNTAX_EXPRESSION:
        value = ool_snippet_eval(s, syntax->first);
        ool_value_drop(s, value);
        good = value != NULL;
        break;
    case OOL_SYNTAX_ASSIGN:
        good = run_assign(s, syntax);
        break;
    case OOL_SYNTAX_AUGMENT:
        good = run_augment(s, syntax);
        break;
    case OOL_SYNTAX_DEL:
        for (const struct ool_syntax *t = syntax->first; good && t != NULL; t = t->next)
            good = run_del(s, t);
        break;
    case OOL_SYNTAX_FOR:
        return run_for(s, syntax, result);
    case OOL_SYNTAX_IF:
        return run_if(s, syntax, result);
    case OOL_SYNTAX_WITH:
        return run_with(s, syntax->first, result);
    case OOL_SYNTAX_DEF:
        value = ool_snippet_eval(s, syntax);
        good = value != NULL && ool_scope_set_take(s, s->scope, syntax->text, value);
        break;
    case OOL_SYNTAX_RETURN:
        return run_return(s, syntax, result);
    case OOL_SYNTAX_IMPORT:
        good = run_import(s, syntax);
        break;
    case OOL_SYNTAX_BLOCK: /* of imports */
        return ool_snippet_block(s, syntax, result);
    default:
        break;
    }
    return good ? OOL_FLOW_NEXT : OOL_FLOW_FAILED;
}

enum ool_flow ool_snippet_block(struct ool_snippet *s, const struct ool_syntax *block,
                                struct ool_value **result)
{
    enum ool_flow flow = OOL_FLOW_NEXT;

    for (const struct ool_syntax *x = block->first; flow == OOL_FLOW_NEXT && x != NULL;
         x = x->next) {
        if (s->failed || ++s->work >= OOL_SNIPPET_WORK) {
            ool_snippet_fail(s, OOL_E_LIMIT, "line %d: the text asks for too much", x->line);
            return OOL_FLOW_FAILED;
        }
        flow = run_statement(s, x, result);
    }
    return s->failed ? OOL_FLOW_FAILED : flow;
}

/* --- from outside ------------------------------------------------------------------------------------------ */

static enum ool_status report(const struct ool_snippet *s, struct ool_error *err)
{
    return ool_error_set(err, s->error.status, "%s", s->error.text);
}

/* Parses and keeps the tree: functions of the snippet point into it. */
static const struct ool_syntax *parse(struct ool_snippet *s, const char *text)
{
    struct ool_error err = {.status = OOL_OK};
    struct ool_syntax *block = NULL, *tree = NULL;

    if (s->failed)
        return NULL;
    if (!ool_grow(&s->trees, &s->trees_capacity, s->n_trees, sizeof(struct ool_syntax *)))
        return ool_snippet_fail(s, OOL_E_HOST_OOM, "no memory for the text");
    if (ool_snippet_parse(text, &block, &tree, &err) != OOL_OK)
        return ool_snippet_fail(s, err.status, "%s", err.text);
    s->trees[s->n_trees++] = tree;
    return block;
}

enum ool_status ool_snippet_run(struct ool_snippet *s, const char *text, struct ool_error *err)
{
    const struct ool_syntax *block = parse(s, text);
    struct ool_value *result = NULL;

    if (block == NULL || ool_snippet_block(s, block, &result) == OOL_FLOW_FAILED ||
        !ool_snippet_good(s))
        return report(s, err);
    return OOL_OK;
}

enum ool_status ool_snippet_enter(struct ool_snippet *s, const char *text, struct ool_error *err)
{
    const struct ool_syntax *block = parse(s, text);
    struct ool_value *manager;

    if (block == NULL)
        return report(s, err);
    if (block->first == NULL || block->first->kind != OOL_SYNTAX_EXPRESSION ||
        block->first->next != NULL) {
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a context manager was expected: %.100s", text);
        return report(s, err);
    }
    if (!ool_grow(&s->entered, &s->entered_capacity, s->n_entered, sizeof(struct ool_value *)))
        ool_snippet_fail(s, OOL_E_HOST_OOM, "no memory for a context manager");
    manager = ool_snippet_eval(s, block->first->first);
    if (manager == NULL || !ool_context_enter(s, manager)) {
        ool_value_drop(s, manager);
        return report(s, err);
    }
    s->entered[s->n_entered++] = manager;
    return OOL_OK;
}

enum ool_status ool_snippet_leave(struct ool_snippet *s, struct ool_error *err)
{
    struct ool_value *manager;

    if (s->n_entered == 0)
        return ool_error_set(err, OOL_E_INTERNAL, "no context manager to leave");
    manager = s->entered[--s->n_entered];
    ool_context_leave(s, manager);
    ool_value_drop(s, manager);
    return ool_snippet_good(s) ? OOL_OK : report(s, err);
}

enum ool_status ool_snippet_bind(struct ool_snippet *s, const char *name, struct ool_tensor *tensor,
                                 struct ool_error *err)
{
    struct ool_value *value = ool_value_tensor(s, tensor);

    if (value == NULL || !ool_scope_set_take(s, s->globals, name, value))
        return report(s, err);
    return OOL_OK;
}

bool ool_snippet_left_autocast(struct ool_snippet *s)
{
    bool left = s->left_autocast;

    s->left_autocast = false;
    return left;
}

struct ool_tensor *ool_snippet_tensor(const struct ool_snippet *s, const char *name, size_t index)
{
    const struct ool_value *value = ool_scope_find(s->globals, name);

    if (value == NULL)
        return NULL;
    if (value->kind == OOL_VALUE_TENSOR)
        return index == 0 ? value->tensor : NULL;
    if (value->kind != OOL_VALUE_TUPLE && value->kind != OOL_VALUE_LIST)
        return NULL;
    for (size_t i = 0; i < value->n_items; i++)
        if (value->items[i]->kind == OOL_VALUE_TENSOR && index-- == 0)
            return value->items[i]->tensor;
    return NULL;
}

struct visit {
    ool_snippet_visit *visit;
    void *state;
};

static bool visit_parameter(const char *name, struct ool_value *tensor, void *state)
{
    const struct visit *visit = state;

    return visit->visit(name, tensor->tensor, visit->state);
}

enum ool_status ool_snippet_each(struct ool_snippet *s, ool_snippet_visit *visit, void *state,
                                 struct ool_error *err)
{
    struct visit inner = {visit, state};

    for (size_t i = 0; i < s->globals->n; i++) {
        const struct ool_variable *variable = &s->globals->variables[i];

        if (variable->value->kind == OOL_VALUE_TENSOR) {
            if (!visit(variable->name, variable->value->tensor, state))
                break;
        } else if (variable->value->kind == OOL_VALUE_MODULE) {
            if (!ool_module_each(s, variable->value->module, variable->name, visit_parameter,
                                 &inner))
                break;
        }
    }
    return s->failed ? report(s, err) : OOL_OK;
}
