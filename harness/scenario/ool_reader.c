#include "ool_reader.h"

#include "ool_mem.h"

#include <limits.h>
#include <math.h>
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

static void wrong_type(struct ool_reader *reader, const struct ool_key *key,
                       const struct ool_cursor *cursor, const char *expected)
{
    char found[80];

    ool_reader_problem(reader, cursor->node, false, OOL_E_TYPE, NULL,
                       "\"%s\": expected %s, found %s", key->name, expected,
                       ool_reader_found(cursor->value, found));
}

/* --- values -------------------------------------------------------------------------------------- */

static void store_integer(void *base, const struct ool_key *key, int64_t value)
{
    void *field = (char *)base + key->offset;

    switch (key->width) {
    case 1:
        *(int8_t *)field = (int8_t)value;
        break;
    case 2:
        *(int16_t *)field = (int16_t)value;
        break;
    case 4:
        *(int32_t *)field = (int32_t)value;
        break;
    default:
        *(int64_t *)field = value;
        break;
    }
}

static void put_integer(struct ool_reader *reader, const struct ool_key *key,
                        const struct ool_cursor *cursor, void *base, int64_t value)
{
    if (key->take != NULL)
        key->take(reader, cursor, base, value, NULL);
    else
        store_integer(base, key, value);
}

/* A text that is kept: the scenario's JSON goes away after loading. */
static void put_text(struct ool_reader *reader, const struct ool_key *key,
                     const struct ool_cursor *cursor, void *base, const char *text)
{
    char *copy;

    if (key->take != NULL) {
        key->take(reader, cursor, base, 0, text);
        return;
    }
    copy = ool_arena_text(reader->memory, text, strlen(text));
    if (ool_reader_memory(reader, copy))
        *(const char **)(void *)((char *)base + key->offset) = copy;
}

static const struct ool_word *find_word(const struct ool_key *key, const char *text)
{
    for (const struct ool_word *w = key->words; w != NULL && w->text != NULL; w++)
        if (strcmp(w->text, text) == 0)
            return w;
    return NULL;
}

static void unknown_word(struct ool_reader *reader, const struct ool_key *key,
                         const struct ool_cursor *cursor, const char *text)
{
    struct ool_nearest nearest = {text, NULL, 0};
    char hint[120] = "", list[200] = "";
    size_t used = 0;

    for (const struct ool_word *w = key->words; w->text != NULL; w++) {
        ool_nearest_offer(&nearest, w->text);
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "",
                                     w->text);
    }
    if (nearest.best != NULL)
        snprintf(hint, sizeof hint, "did you mean \"%s\"?", nearest.best);
    ool_reader_problem(reader, cursor->node, false, OOL_E_CHOICE, hint,
                       "\"%s\": \"%.40s\": expected %s%s", key->name, text,
                       key->kind == OOL_KEY_INTEGER ? "an integer or " : "one of ", list);
}

/* An integer, also written as 4.0 or 1e3. */
static bool integral(const json_t *value, int64_t *integer)
{
    double real;

    if (json_is_integer(value)) {
        *integer = json_integer_value(value);
        return true;
    }
    if (!json_is_real(value))
        return false;
    real = json_real_value(value);
    if (real != floor(real) || fabs(real) > 9007199254740992.0)
        return false;
    *integer = (int64_t)real;
    return true;
}

static void read_integer(struct ool_reader *reader, const struct ool_key *key,
                         const struct ool_cursor *cursor, void *base)
{
    int64_t value;

    if (key->words != NULL && json_is_string(cursor->value)) {
        const struct ool_word *word = find_word(key, json_string_value(cursor->value));
        if (word == NULL)
            unknown_word(reader, key, cursor, json_string_value(cursor->value));
        else
            put_integer(reader, key, cursor, base, word->value);
        return;
    }
    if (!integral(cursor->value, &value)) {
        wrong_type(reader, key, cursor, "an integer");
        return;
    }
    if (value < key->min || value > key->max) {
        char range[80];
        if (key->min == key->max)
            snprintf(range, sizeof range, "%lld", (long long)key->min);
        else
            snprintf(range, sizeof range, "%lld to %lld", (long long)key->min, (long long)key->max);
        ool_reader_problem(reader, cursor->node, false,
                           key->range != OOL_OK ? key->range : OOL_E_RANGE, NULL,
                           "\"%s\": %lld: expected %s%s%s", key->name, (long long)value, range,
                           key->unit != NULL ? " " : "", key->unit != NULL ? key->unit : "");
        return;
    }
    put_integer(reader, key, cursor, base, value);
}

static void read_number(struct ool_reader *reader, const struct ool_key *key,
                        const struct ool_cursor *cursor, void *base)
{
    double value;

    if (!json_is_number(cursor->value)) {
        wrong_type(reader, key, cursor, "a number");
        return;
    }
    value = json_number_value(cursor->value);
    if (value < key->least || value > key->most || (key->above && value <= key->least)) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_RANGE, NULL,
                           "\"%s\": %.17g: expected %s %g to %g", key->name, value,
                           key->above ? "above" : "from", key->least, key->most);
        return;
    }
    *(double *)(void *)((char *)base + key->offset) = value;
}

static void read_size(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor, void *base)
{
    struct ool_error error = {.status = OOL_OK};
    uint64_t bytes = 0;
    int64_t value;

    if (json_is_string(cursor->value)) {
        if (ool_size_parse(json_string_value(cursor->value), &bytes, &error) != OOL_OK) {
            ool_reader_problem(reader, cursor->node, false, error.status,
                               "sizes read \"512MiB\" or 536870912", "\"%s\": %s", key->name,
                               error.text);
            return;
        }
    } else if (!integral(cursor->value, &value)) {
        wrong_type(reader, key, cursor, "a size such as \"512MiB\" or bytes");
        return;
    } else if (value < 0) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_RANGE, NULL,
                           "\"%s\": %lld: a size is not negative", key->name, (long long)value);
        return;
    } else {
        bytes = (uint64_t)value;
    }
    if (bytes < (uint64_t)key->min || bytes > INT64_MAX) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_RANGE, NULL,
                           "\"%s\": %llu bytes: expected %lld to 2^63 - 1", key->name,
                           (unsigned long long)bytes, (long long)key->min);
        return;
    }
    *(uint64_t *)(void *)((char *)base + key->offset) = bytes;
}

static void read_bool(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor, void *base)
{
    if (!json_is_boolean(cursor->value)) {
        wrong_type(reader, key, cursor, "true or false");
        return;
    }
    if (key->width == sizeof(bool))
        *(bool *)((char *)base + key->offset) = json_is_true(cursor->value);
    else
        store_integer(base, key, json_is_true(cursor->value));
}

static void read_word(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor, void *base)
{
    const struct ool_word *word;

    if (!json_is_string(cursor->value)) {
        wrong_type(reader, key, cursor, "a text");
        return;
    }
    word = find_word(key, json_string_value(cursor->value));
    if (word == NULL)
        unknown_word(reader, key, cursor, json_string_value(cursor->value));
    else if (key->take != NULL)
        key->take(reader, cursor, base, word->value, word->text);
    else if (key->width == sizeof(const char *))
        *(const char **)(void *)((char *)base + key->offset) = word->text;
    else
        store_integer(base, key, word->value);
}

static size_t characters(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void read_text(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor, void *base)
{
    if (!json_is_string(cursor->value)) {
        wrong_type(reader, key, cursor, "a text");
    } else if (characters(json_string_value(cursor->value)) > (size_t)key->max) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_LIMIT, NULL,
                           "\"%s\": more than %lld characters", key->name, (long long)key->max);
    } else if (characters(json_string_value(cursor->value)) < (size_t)key->min) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_RANGE, NULL,
                           "\"%s\": the text is empty", key->name);
    } else {
        put_text(reader, key, cursor, base, json_string_value(cursor->value));
    }
}

/* Checks a name; its problem says what is wrong. */
static bool good_name(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *text = json_string_value(cursor->value);

    if (text == NULL) {
        wrong_type(reader, key, cursor, "a name");
        return false;
    }
    if (*text == '\0' || strspn(text, allowed) != strlen(text) || strlen(text) > 128) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_NAME, NULL,
                           "\"%s\": \"%.40s\": a name is 1 to 128 of A-Z a-z 0-9 . _ -", key->name,
                           text);
        return false;
    }
    return true;
}

static void read_name(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor, void *base)
{
    if (good_name(reader, key, cursor))
        put_text(reader, key, cursor, base, json_string_value(cursor->value));
}

static void read_release(struct ool_reader *reader, const struct ool_key *key,
                         const struct ool_cursor *cursor, void *base)
{
    const char *text = json_string_value(cursor->value);
    int major = 0, minor = 0, used = 0;

    if (text == NULL) {
        wrong_type(reader, key, cursor, "a text such as \"5.23\"");
        return;
    }
    if (strlen(text) > 5 || strspn(text, "0123456789.") != strlen(text) ||
        sscanf(text, "%2d.%2d%n", &major, &minor, &used) != 2 || text[used] != '\0' ||
        (key->max == 10 && text[used - 2] != '.')) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_CHOICE, NULL,
                           "\"%s\": \"%.40s\": expected major and minor number, as in \"%s\"",
                           key->name, text, key->max == 10 ? "8.9" : "5.23");
        return;
    }
    store_integer(base, key, (int64_t)major * key->max + minor);
}

bool ool_reader_array(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor)
{
    size_t n = json_array_size(cursor->value);

    if (!json_is_array(cursor->value)) {
        wrong_type(reader, key, cursor, "an array");
        return false;
    }
    if (n > (size_t)key->max) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_LIMIT, NULL,
                           "\"%s\": more than %lld elements", key->name, (long long)key->max);
        return false;
    }
    if (n < (size_t)key->min) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_RANGE, NULL,
                           "\"%s\": the array is empty", key->name);
        return false;
    }
    return true;
}

static void store_array(const struct ool_key *key, void *base, void *array, size_t n)
{
    *(void **)(void *)((char *)base + key->offset) = array;
    if (key->count != 0)
        *(size_t *)(void *)((char *)base + key->count) = n;
}

static void read_texts(struct ool_reader *reader, const struct ool_key *key,
                       const struct ool_cursor *cursor, void *base)
{
    struct ool_cursor child = {NULL, OOL_NO_NODE};
    const char **texts;
    size_t n = 0;

    if (!ool_reader_array(reader, key, cursor))
        return;
    texts = ool_arena(reader->memory, json_array_size(cursor->value) + 1, sizeof *texts);
    if (!ool_reader_memory(reader, texts))
        return;
    while (ool_reader_child(reader, cursor, &child)) {
        if (!good_name(reader, key, &child))
            continue;
        texts[n] = ool_arena_text(reader->memory, json_string_value(child.value),
                                  json_string_length(child.value));
        if (!ool_reader_memory(reader, texts[n]))
            return;
        n++;
    }
    store_array(key, base, texts, n);
}

static void read_list(struct ool_reader *reader, const struct ool_key *key,
                      const struct ool_cursor *cursor, void *base)
{
    struct ool_cursor child = {NULL, OOL_NO_NODE};
    char *elements;
    size_t n = 0;

    if (!ool_reader_array(reader, key, cursor))
        return;
    elements = ool_arena(reader->memory, json_array_size(cursor->value) + 1, key->size);
    if (!ool_reader_memory(reader, elements))
        return;
    while (ool_reader_child(reader, cursor, &child))
        ool_reader_object(reader, key->object, &child, elements + n++ * key->size);
    store_array(key, base, elements, n);
}

static void read_plain(struct ool_reader *reader, const struct ool_key *key,
                       const struct ool_cursor *cursor, void *base)
{
    switch (key->kind) {
    case OOL_KEY_INTEGER:
        read_integer(reader, key, cursor, base);
        break;
    case OOL_KEY_NUMBER:
        read_number(reader, key, cursor, base);
        break;
    case OOL_KEY_SIZE:
        read_size(reader, key, cursor, base);
        break;
    case OOL_KEY_BOOL:
        read_bool(reader, key, cursor, base);
        break;
    case OOL_KEY_WORD:
        read_word(reader, key, cursor, base);
        break;
    case OOL_KEY_TEXT:
        read_text(reader, key, cursor, base);
        break;
    case OOL_KEY_NAME:
        read_name(reader, key, cursor, base);
        break;
    case OOL_KEY_RELEASE:
        read_release(reader, key, cursor, base);
        break;
    case OOL_KEY_TEXTS:
        read_texts(reader, key, cursor, base);
        break;
    case OOL_KEY_OBJECT:
        ool_reader_object(reader, key->object, cursor, (char *)base + key->offset);
        break;
    case OOL_KEY_LIST:
        read_list(reader, key, cursor, base);
        break;
    case OOL_KEY_OPERATIONS:
        ool_read_operations(reader, key, cursor, base);
        break;
    case OOL_KEY_STACKS:
        ool_read_stacks(reader, key, cursor, base);
        break;
    }
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
            wrong_type(reader, key, &child, "a plain value");
        else if (reader->collecting)
            read_plain(reader, key, &child, base);
    }
    if (chosen.value != NULL && !json_is_array(chosen.value) && !json_is_object(chosen.value))
        read_plain(reader, key, &chosen, base);
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
        read_plain(reader, key, cursor, base);
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
