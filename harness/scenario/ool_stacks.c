/*
 * Mitigations to try: single names, stacks and ladders become one list of stacks without repetition.
 */
#include "ool_scenario_internal.h"

#include <string.h>

/* Is there such a mitigation, and does it take such a value? */
static bool check_step(struct ool_reader *reader, const struct ool_cursor *cursor,
                       const struct ool_step *step)
{
    struct ool_error error = {.status = OOL_OK};

    if (reader->check == NULL || reader->check(step, &error) == OOL_OK)
        return true;
    ool_reader_problem(reader, cursor->node, false, error.status, error.hint, "%s", error.text);
    return false;
}

/* "name" or "name=value"; a problem otherwise. */
static bool read_step(struct ool_reader *reader, const struct ool_cursor *cursor,
                      struct ool_step *step)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *text = json_string_value(cursor->value);
    size_t name, value;
    char found[80];

    if (text == NULL) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_TYPE, NULL,
                           "expected a mitigation's name, found %s",
                           ool_reader_found(cursor->value, found));
        return false;
    }
    name = strspn(text, allowed);
    value = text[name] == '=' ? strspn(text + name + 1, allowed) : 0;
    if (name == 0 || name > 64 || value > 64 || (text[name] == '=' && value == 0) ||
        text[name + (text[name] == '=') + value] != '\0') {
        ool_reader_problem(reader, cursor->node, false, OOL_E_NAME, NULL,
                           "\"%.60s\": a mitigation reads \"name\" or \"name=value\", each up to "
                           "64 of A-Z a-z 0-9 . _ -",
                           text);
        return false;
    }
    step->name = ool_arena_text(reader->memory, text, name);
    step->value = ool_arena_text(reader->memory, text + name + (text[name] == '='), value);
    return ool_reader_memory(reader, step->name) && ool_reader_memory(reader, step->value) &&
           check_step(reader, cursor, step);
}

/* The steps of an array. 0 = there was a problem. */
static size_t read_steps(struct ool_reader *reader, const struct ool_cursor *cursor,
                         struct ool_step **steps)
{
    struct ool_cursor child = {NULL, OOL_NO_NODE};
    size_t n = json_array_size(cursor->value), done = 0;

    if (n == 0 || n > OOL_MAX_STEPS) {
        ool_reader_problem(reader, cursor->node, false, n == 0 ? OOL_E_RANGE : OOL_E_LIMIT, NULL,
                           "a stack has 1 to %d mitigations, found %zu", OOL_MAX_STEPS, n);
        return 0;
    }
    *steps = ool_arena(reader->memory, n, sizeof **steps);
    if (!ool_reader_memory(reader, *steps))
        return 0;
    while (ool_reader_child(reader, cursor, &child))
        done += read_step(reader, &child, &(*steps)[done]);
    return done == n ? n : 0;
}

static bool equal_stacks(const struct ool_stack *a, const struct ool_stack *b)
{
    if (a->n_steps != b->n_steps)
        return false;
    for (size_t i = 0; i < a->n_steps; i++)
        if (strcmp(a->steps[i].name, b->steps[i].name) != 0 ||
            strcmp(a->steps[i].value, b->steps[i].value) != 0)
            return false;
    return true;
}

static void add_stack(struct ool_reader *reader, const struct ool_cursor *cursor,
                      struct ool_document *d, const struct ool_step *steps, size_t n_steps)
{
    struct ool_stack stack = {steps, n_steps};

    for (size_t i = 0; i < d->n_stacks; i++)
        if (equal_stacks(&d->stacks[i], &stack))
            return;
    if (d->n_stacks == OOL_MAX_STACKS)
        ool_reader_problem(reader, cursor->node, false, OOL_E_LIMIT, NULL, "more than %d stacks",
                           OOL_MAX_STACKS);
    else
        d->stacks[d->n_stacks++] = stack;
}

/* {"ladder": [a, b, c]}: a, then a and b, then all three. */
static void read_ladder(struct ool_reader *reader, const struct ool_cursor *cursor,
                        struct ool_document *d)
{
    struct ool_cursor child = {NULL, OOL_NO_NODE}, ladder = {NULL, OOL_NO_NODE};
    struct ool_step *steps = NULL;
    size_t n;

    while (ool_reader_child(reader, cursor, &child)) {
        const struct ool_layout_node *node = &reader->layout->nodes[child.node];
        const char *key = reader->layout->text + node->key;
        if (node->key_length == 8 && memcmp(key, "\"ladder\"", 8) == 0)
            ladder = (struct ool_cursor){json_object_get(cursor->value, "ladder"), child.node};
        else if (!(node->key_length == 10 && memcmp(key, "\"$comment\"", 10) == 0) &&
                 !(node->key_length >= 4 && memcmp(key, "\"x-", 3) == 0))
            ool_reader_problem(reader, child.node, true, OOL_E_KEY, NULL,
                               "a mitigation as an object has the key \"ladder\" only");
    }
    if (ladder.value == NULL) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_MISSING, NULL,
                           "\"ladder\" is missing");
    } else if (!json_is_array(ladder.value)) {
        char found[80];
        ool_reader_problem(reader, ladder.node, false, OOL_E_TYPE, NULL,
                           "\"ladder\": expected an array, found %s",
                           ool_reader_found(ladder.value, found));
    } else {
        n = read_steps(reader, &ladder, &steps);
        for (size_t i = 1; i <= n; i++)
            add_stack(reader, cursor, d, steps, i);
    }
}

void ool_read_stacks(struct ool_reader *reader, const struct ool_key *key,
                     const struct ool_cursor *cursor, void *base)
{
    struct ool_cursor child = {NULL, OOL_NO_NODE};
    struct ool_document *d = base;

    if (!ool_reader_array(reader, key, cursor))
        return;
    d->stacks = ool_arena(reader->memory, OOL_MAX_STACKS, sizeof *d->stacks);
    if (!ool_reader_memory(reader, d->stacks))
        return;
    while (ool_reader_child(reader, cursor, &child)) {
        struct ool_step *steps = NULL;
        size_t n = 0;
        if (json_is_object(child.value)) {
            read_ladder(reader, &child, d);
        } else if (json_is_array(child.value)) {
            n = read_steps(reader, &child, &steps);
        } else {
            steps = ool_arena(reader->memory, 1, sizeof *steps);
            n = ool_reader_memory(reader, steps) && read_step(reader, &child, steps);
        }
        if (n > 0)
            add_stack(reader, &child, d, steps, n);
    }
}
