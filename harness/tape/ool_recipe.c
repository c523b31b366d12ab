#include "ool_recipe.h"

#include "ool_mem.h"

#include <string.h>

static bool append(struct ool_tape *t, struct ool_recipe_list *list, struct ool_tensor *x)
{
    if (!ool_grow(&list->items, &list->capacity, list->n, sizeof *list->items)) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for an optimizer's lists");
        return false;
    }
    list->items[list->n++] = x;
    return true;
}

/* A list dies from its end. */
static void clear(struct ool_tape *t, struct ool_recipe_list *list)
{
    while (list->n > 0)
        ool_drop(t, list->items[--list->n]);
}

/* @to's old tensors die; @from is empty afterwards. */
static void move(struct ool_tape *t, struct ool_recipe_list *to, struct ool_recipe_list *from)
{
    struct ool_recipe_list old = *to;

    *to = *from;
    clear(t, &old);
    *from = old;
}

static struct ool_tensor *make(struct ool_tape *t, char type, const struct ool_tensor *param)
{
    enum ool_dtype dtype = (enum ool_dtype)param->dtype;
    int64_t shape[OOL_MAX_DIMS + 1] = {2};

    switch (type) {
    case 'P':
        return ool_make_like(t, param, dtype);
    case 'b':
        return ool_make_like(t, param, OOL_BOOL);
    case 'l':
        return ool_make_like(t, param, OOL_I64);
    case 'C':
        memcpy(shape + 1, param->shape, param->n_dims * sizeof *shape);
        return ool_make(t, dtype, OOL_PLACE_DEVICE, param->n_dims + 1, shape, NULL);
    case 's':
        return ool_make(t, OOL_F32, OOL_PLACE_DEVICE, 0, NULL, NULL);
    case 'd':
        return ool_make(t, OOL_F64, OOL_PLACE_DEVICE, 0, NULL, NULL);
    case 't':
        return ool_make(t, OOL_BOOL, OOL_PLACE_DEVICE, 0, NULL, NULL);
    case 'p':
    case 'o':
        return ool_make(t, dtype, OOL_PLACE_DEVICE, 0, NULL, NULL);
    default:
        return ool_fail(t, OOL_E_PROGRAM, "recipe: no type '%c'", type);
    }
}

static void make_list(struct ool_tape *t, struct ool_recipe_list *list, char type,
                      struct ool_tensor *const *params, size_t n)
{
    struct ool_recipe_list made = {NULL, 0, 0};

    for (size_t i = 0; i < n && type != '0' && !t->failed; i++) {
        struct ool_tensor *x;

        if (type == 'o' && params[i]->n_dims > 0)
            continue;
        x = make(t, type, params[i]);
        ool_claim(t, x);
        if (x == NULL || !append(t, &made, x))
            break;
    }
    move(t, list, &made);
    ool_free(made.items);
}

/* One statement of three characters: variable, operator, operand. */
static void statement(struct ool_tape *t, struct ool_recipe_locals *locals, const char *text,
                      struct ool_tensor *const *params, size_t n)
{
    struct ool_recipe_list *to = &locals->lists[text[0] - 'a'];
    struct ool_recipe_list *from;

    if (text[1] == '=') {
        make_list(t, to, text[2], params, n);
        return;
    }
    from = &locals->lists[text[2] - 'a'];
    if (text[1] == '<') {
        move(t, to, from);
        return;
    }
    if (text[1] == '|') {
        struct ool_tensor *last = from->n > 0 ? from->items[--from->n] : NULL;

        clear(t, to);
        if (last != NULL)
            append(t, to, last);
        return;
    }
    for (size_t i = 0; i < from->n; i++) {
        if (!append(t, to, from->items[i]))
            return;
    }
    from->n = 0;
}

void ool_recipe_run(struct ool_tape *t, struct ool_recipe_locals *locals, const char *recipe,
                    struct ool_tensor *const *params, size_t n)
{
    const char *body = NULL; /* of the braces that are open */
    size_t at = 0;

    while (*recipe != '\0' && !t->failed) {
        struct ool_tensor *const *items = body != NULL ? params + at : params;

        if (*recipe == ' ') {
            recipe++;
        } else if (*recipe == '{') {
            body = ++recipe;
            at = 0;
        } else if (*recipe == '}') {
            at++;
            recipe = at < n ? body : recipe + 1;
            body = at < n ? body : NULL;
        } else if (*recipe == '-') {
            clear(t, &locals->lists[recipe[1] - 'a']);
            recipe += 2;
        } else {
            statement(t, locals, recipe, items, body != NULL ? 1 : n);
            recipe += 3;
        }
    }
}

void ool_recipe_fini(struct ool_recipe_locals *locals)
{
    for (size_t i = 0; i < sizeof locals->lists / sizeof *locals->lists; i++)
        ool_free(locals->lists[i].items);
}
