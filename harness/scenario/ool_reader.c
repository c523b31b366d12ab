#include "ool_reader.h"

#include "ool_mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEYS 80 /* of one table */

/* --- problems ------------------------------------------------------------------------------------ */

static void printable(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            *text = '?';
}

void ool_reader_problem(struct ool_reader *reader, uint32_t node, bool on_key,
                        enum ool_status status, const char *hint, const char *format, ...)
{
    struct ool_error error;
    const struct ool_layout_node *n = &reader->layout->nodes[node];
    size_t tail = strlen(reader->source);
    va_list args;

    memset(&error, 0, sizeof error);
    error.status = status;
    error.offset = on_key ? n->key : n->start;
    error.length = on_key ? n->key_length : n->length;
    error.line = (int)n->line;
    tail = tail < sizeof error.source ? 0 : tail - sizeof error.source + 1;
    snprintf(error.source, sizeof error.source, "%s", reader->source + tail);
    ool_layout_pointer(reader->layout, node, error.path, sizeof error.path);
    va_start(args, format);
    vsnprintf(error.text, sizeof error.text, format, args);
    va_end(args);
    printable(error.text);
    snprintf(error.hint, sizeof error.hint, "%s", hint != NULL ? hint : "");
    printable(error.hint);
    reader->n_problems++;
    if (!ool_problems_add(reader->problems, &error))
        reader->short_of_memory = true;
}

bool ool_reader_memory(struct ool_reader *reader, const void *pointer)
{
    if (pointer == NULL && !reader->short_of_memory) {
        reader->short_of_memory = true;
        reader->n_problems++;
    }
    return pointer != NULL;
}

const char *ool_reader_found(const json_t *value, char out[80])
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        snprintf(out, 80, "the text \"%.40s\"", json_string_value(value));
        return out;
    case JSON_INTEGER:
        snprintf(out, 80, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return out;
    case JSON_REAL:
        snprintf(out, 80, "%.17g", json_real_value(value));
        return out;
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        break;
    }
    return "null";
}

/* --- the matrix ---------------------------------------------------------------------------------- */

/* One step down the path: a member's key, an element's index; an element with a name begins the axis's name anew. */
static json_t *axis_step(const struct ool_reader *reader, json_t *value, uint32_t node, bool last,
                         struct ool_text *out)
{
    const struct ool_layout_node *n = &reader->layout->nodes[node];
    struct ool_text part;
    const char *name;

    if (n->key_length == 0) {
        value = json_array_get(value, n->index);
        name = json_string_value(json_object_get(value, "name"));
        if (name != NULL)
            ool_text_clear(out);
        if (name != NULL)
            ool_text_puts(out, name);
        else
            ool_text_printf(out, "%s%u", out->length > 0 ? "." : "", (unsigned)n->index);
        return value;
    }
    ool_text_init(&part, OOL_LAYOUT_BYTES);
    ool_layout_key(reader->layout, node, &part);
    value = json_object_get(value, ool_text_data(&part));
    if (last || strcmp(ool_text_data(&part), "workload") != 0)
        ool_text_printf(out, "%s%s", out->length > 0 ? "." : "", ool_text_data(&part));
    if (part.failed)
        out->failed = true;
    ool_text_fini(&part);
    return value;
}

/* "batch", "model.hidden", "chat.batch": the path to the array, without "workload". */
static void axis_name(const struct ool_reader *reader, uint32_t node, struct ool_text *out)
{
    uint32_t path[OOL_LAYOUT_DEPTH + 1];
    json_t *value = reader->root;
    size_t n = 0;

    for (; node != 0; node = reader->layout->nodes[node].parent)
        path[n++] = node;
    while (n > 0) {
        n--;
        value = axis_step(reader, value, path[n], n == 0, out);
    }
}

static struct ool_axis *find_axis(struct ool_reader *reader, const json_t *array)
{
    for (size_t i = 0; i < reader->n_axes; i++)
        if (reader->axes[i].array == array)
            return &reader->axes[i];
    return NULL;
}

static void add_axis(struct ool_reader *reader, const struct ool_cursor *cursor)
{
    struct ool_axis *axis = &reader->axes[reader->n_axes];
    struct ool_text name;

    if (reader->n_axes == OOL_MAX_AXES) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_LIMIT, NULL,
                           "more than %d keys are arrays", OOL_MAX_AXES);
        return;
    }
    ool_text_init(&name, 1024);
    axis_name(reader, cursor->node, &name);
    if (!ool_reader_memory(reader, name.data))
        return;
    *axis = (struct ool_axis){name.data, cursor->value, cursor->node,
                              json_array_size(cursor->value), 0};
    reader->n_axes++;
}

/* Are two elements the same value? JSON knows one kind of number. */
static bool equal_values(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b) != 0;
}

static void check_elements(struct ool_reader *reader, const struct ool_key *key,
                           const struct ool_cursor *cursor)
{
    struct ool_cursor child = {NULL, OOL_NO_NODE};
    size_t n = json_array_size(cursor->value);

    if (n == 0)
        ool_reader_problem(reader, cursor->node, false, OOL_E_RANGE, NULL,
                           "\"%s\": an empty array makes no case", key->name);
    if (n > 1000) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_LIMIT, NULL,
                           "\"%s\": more than 1000 elements", key->name);
        return;
    }
    for (size_t i = 0; ool_reader_child(reader, cursor, &child); i++) {
        for (size_t j = 0; j < i; j++) {
            if (equal_values(json_array_get(cursor->value, j), child.value)) {
                ool_reader_problem(reader, child.node, false, OOL_E_DUPLICATE, NULL,
                                   "\"%s\": the value stands twice", key->name);
                break;
            }
        }
    }
}

/* A key that is given as an array: each element is checked once, then the point's element is read. */
static void read_matrix(struct ool_reader *reader, const struct ool_key *key,
                        const struct ool_cursor *cursor, void *base)
{
    struct ool_cursor child = {NULL, OOL_NO_NODE}, chosen = {NULL, OOL_NO_NODE};
    struct ool_axis *axis;

    if (!reader->matrix) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_TYPE, NULL,
                           "\"%s\": an array makes a matrix, which is not possible here",
                           key->name);
        return;
    }
    if (reader->collecting) {
        size_t before = reader->n_problems;
        check_elements(reader, key, cursor);
        if (reader->n_problems > before)
            return;
        add_axis(reader, cursor);
    }
    axis = find_axis(reader, cursor->value);
    for (size_t i = 0; ool_reader_child(reader, cursor, &child); i++) {
        if (axis != NULL && i == axis->at)
            chosen = child;
        if (json_is_array(child.value) || json_is_object(child.value))
            ool_reader_type(reader, key, &child, "a plain value");
        else if (reader->collecting)
            ool_reader_plain(reader, key, &child, base);
    }
    if (chosen.value != NULL && !json_is_array(chosen.value) && !json_is_object(chosen.value))
        ool_reader_plain(reader, key, &chosen, base);
}

void ool_reader_value(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor, void *base)
{
    if (reader->short_of_memory || (key->once && reader->matrix && !reader->collecting))
        return;
    if (key->nullable && json_is_null(cursor->value))
        return;
    if (key->matrix && json_is_array(cursor->value))
        read_matrix(reader, key, cursor, base);
    else
        ool_reader_plain(reader, key, cursor, base);
}

/* --- objects ------------------------------------------------------------------------------------- */

static bool is_name_of(const struct ool_key *key, const char *name)
{
    const char *p = key->aliases;
    size_t length = strlen(name);

    if (strcmp(key->name, name) == 0)
        return true;
    while (p != NULL && *p != '\0') {
        size_t word = strcspn(p, " ");
        if (word == length && memcmp(p, name, length) == 0)
            return true;
        p += word + (p[word] == ' ');
    }
    return false;
}

const struct ool_key *ool_keys_find(const struct ool_keys *keys, const char *name)
{
    for (size_t i = 0; i < keys->n_keys; i++)
        if (is_name_of(&keys->keys[i], name))
            return &keys->keys[i];
    return NULL;
}

bool ool_reader_child(const struct ool_reader *reader, const struct ool_cursor *parent,
                      struct ool_cursor *child)
{
    const struct ool_layout_node *nodes = reader->layout->nodes;

    child->node = child->node == OOL_NO_NODE ? nodes[parent->node].first : nodes[child->node].next;
    if (child->node == OOL_NO_NODE)
        return false;
    child->value = NULL;
    if (json_is_object(parent->value))
        return true;
    child->value = json_array_get(parent->value, nodes[child->node].index);
    return child->value != NULL;
}

static void unknown_key(struct ool_reader *reader, const struct ool_keys *keys, uint32_t node,
                        const char *name)
{
    struct ool_nearest nearest = {name, NULL, 0};
    char hint[120] = "";

    for (size_t i = 0; i < keys->n_keys; i++)
        ool_nearest_offer(&nearest, keys->keys[i].name);
    if (nearest.best != NULL)
        snprintf(hint, sizeof hint, "did you mean \"%s\"?", nearest.best);
    ool_reader_problem(reader, node, true, OOL_E_KEY, hint, "unknown key \"%.60s\" in %s", name,
                       keys->doc);
}

/* Puts each member into its row's slot. */
static void sort_members(struct ool_reader *reader, const struct ool_keys *keys,
                         const struct ool_cursor *cursor, struct ool_cursor *slots)
{
    struct ool_cursor child = {NULL, OOL_NO_NODE};
    struct ool_text name;

    ool_text_init(&name, OOL_LAYOUT_BYTES);
    while (!reader->short_of_memory && ool_reader_child(reader, cursor, &child)) {
        const struct ool_key *key;
        struct ool_cursor *slot;
        json_t *value;

        ool_text_clear(&name);
        ool_text_puts(&name, "");
        ool_layout_key(reader->layout, child.node, &name);
        if (!ool_reader_memory(reader, name.data))
            break;
        key = ool_keys_find(keys, name.data);
        value = json_object_get(cursor->value, name.data);
        if (key == NULL) {
            if (strcmp(name.data, "$comment") != 0 && strncmp(name.data, "x-", 2) != 0)
                unknown_key(reader, keys, child.node, name.data);
            continue;
        }
        slot = &slots[key - keys->keys];
        if (slot->value != NULL &&
            slot->value != value) /* the same key twice is reported over the whole text */
            ool_reader_problem(reader, child.node, true, OOL_E_DUPLICATE, NULL,
                               "\"%s\" is given a second time, under another name", key->name);
        else
            *slot = (struct ool_cursor){
                value, child.node}; /* of the same key twice the last counts, as in jansson */
    }
    ool_text_fini(&name);
}

static size_t count_given(const struct ool_keys *keys, const struct ool_cursor *slots,
                          const char *const *names, char list[200])
{
    size_t n = 0, used = 0;

    for (; *names != NULL; names++) {
        const struct ool_key *key = ool_keys_find(keys, *names);
        n += slots[key - keys->keys].value != NULL;
        if (used < 200)
            used +=
                (size_t)snprintf(list + used, 200 - used, "%s\"%s\"", used > 0 ? ", " : "", *names);
    }
    return n;
}

static void check_rules(struct ool_reader *reader, const struct ool_keys *keys,
                        const struct ool_cursor *cursor, const struct ool_cursor *slots)
{
    char list[200] = "";
    size_t given;

    for (size_t i = 0; i < keys->n_keys; i++)
        if (keys->keys[i].required && slots[i].value == NULL)
            ool_reader_problem(reader, cursor->node, false, OOL_E_MISSING, NULL,
                               "\"%s\" is missing in %s: %s", keys->keys[i].name, keys->doc,
                               keys->keys[i].doc);
    if (keys->one_of != NULL) {
        given = count_given(keys, slots, keys->one_of, list);
        if (given == 0)
            ool_reader_problem(reader, cursor->node, false, OOL_E_MISSING, NULL,
                               "one of %s is required in %s", list, keys->doc);
        else if (given > 1)
            ool_reader_problem(reader, cursor->node, false, OOL_E_COMBINATION, NULL,
                               "only one of %s is possible in %s", list, keys->doc);
    }
    if (keys->any_of != NULL && count_given(keys, slots, keys->any_of, list) == 0)
        ool_reader_problem(reader, cursor->node, false, OOL_E_MISSING, NULL,
                           "at least one of %s is required in %s", list, keys->doc);
}

bool ool_reader_object(struct ool_reader *reader, const struct ool_keys *keys,
                       const struct ool_cursor *cursor, void *base)
{
    struct ool_cursor slots[MAX_KEYS];
    size_t before = reader->n_problems;

    memset(slots, 0, sizeof slots);
    if (keys->begin != NULL)
        keys->begin(base);
    if (json_is_object(cursor->value)) {
        sort_members(reader, keys, cursor, slots);
        check_rules(reader, keys, cursor, slots);
        for (size_t i = 0; i < keys->n_keys; i++)
            if (slots[i].value != NULL)
                ool_reader_value(reader, &keys->keys[i], &slots[i], base);
    } else if (keys->shorthand != NULL && !json_is_null(cursor->value)) {
        ool_reader_value(reader, ool_keys_find(keys, keys->shorthand), cursor, base);
    } else {
        char found[80];
        ool_reader_problem(reader, cursor->node, false, OOL_E_TYPE, NULL,
                           "expected %s as an object, found %s", keys->doc,
                           ool_reader_found(cursor->value, found));
    }
    if (reader->n_problems == before && keys->finish != NULL)
        keys->finish(reader, cursor, base);
    return reader->n_problems == before;
}
