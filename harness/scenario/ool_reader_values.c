/*
 * One value by one row of the table of keys: its type, its range, where it lands.
 */
#include "ool_reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void ool_reader_type(struct ool_reader *reader, const struct ool_key *key,
                     const struct ool_cursor *cursor, const char *expected)
{
    char found[80];

    ool_reader_problem(reader, cursor->node, false, OOL_E_TYPE, NULL,
                       "\"%s\": expected %s, found %s", key->name, expected,
                       ool_reader_found(cursor->value, found));
}

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
        ool_reader_type(reader, key, cursor, "an integer");
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
        ool_reader_type(reader, key, cursor, "a number");
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
        ool_reader_type(reader, key, cursor, "a size such as \"512MiB\" or bytes");
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
        ool_reader_type(reader, key, cursor, "true or false");
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
        ool_reader_type(reader, key, cursor, "a text");
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
        ool_reader_type(reader, key, cursor, "a text");
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
        ool_reader_type(reader, key, cursor, "a name");
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
        ool_reader_type(reader, key, cursor, "a text such as \"5.23\"");
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
        ool_reader_type(reader, key, cursor, "an array");
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

void ool_reader_plain(struct ool_reader *reader, const struct ool_key *key,
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
