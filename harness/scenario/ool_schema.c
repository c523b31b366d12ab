/*
 * The JSON schema, made from the table of keys: draft-07, and only what means the same in 2020-12.
 */
#include "ool_reader.h"

#include <stdio.h>
#include <string.h>

#define NAME_PATTERN "^[A-Za-z0-9._-]{1,128}$"
#define STEP_PATTERN "^[A-Za-z0-9._-]{1,64}(=[A-Za-z0-9._-]{1,64})?$"
#define SIZE_PATTERN "^[0-9]+(\\.[0-9]+)? *(B|KiB|MiB|GiB|TiB)?$"

/* $defs fills as tables are met; a failure anywhere makes the whole fail. */
struct printer {
    json_t *defs;
    bool failed;
};

static json_t *check(struct printer *p, json_t *value)
{
    if (value == NULL)
        p->failed = true;
    return value;
}

static void put(struct printer *p, json_t *object, const char *key, json_t *value)
{
    if (object == NULL || json_object_set_new(object, key, value) != 0)
        p->failed = true;
}

static void append(struct printer *p, json_t *array, json_t *value)
{
    if (array == NULL || json_array_append_new(array, value) != 0)
        p->failed = true;
}

static json_t *reference(struct printer *p, const char *name)
{
    return check(p, json_pack("{s:s+}", "$ref", "#/$defs/", name));
}

static json_t *object_schema(struct printer *p, const struct ool_keys *keys, const char *op);

/* A table's definition is made when it is first referred to. */
static json_t *table(struct printer *p, const struct ool_keys *keys)
{
    if (json_object_get(p->defs, keys->name) == NULL) {
        put(p, p->defs, keys->name, json_object()); /* holds its place while it is made */
        put(p, p->defs, keys->name, object_schema(p, keys, NULL));
    }
    return reference(p, keys->name);
}

static json_t *words(struct printer *p, const struct ool_word *word)
{
    json_t *list = check(p, json_array());

    for (; word->text != NULL; word++)
        append(p, list, json_pack("{s:s, s:s}", "const", word->text, "description", word->doc));
    return check(p, json_pack("{s:o}", "oneOf", list));
}

static json_t *integer(struct printer *p, const struct ool_key *key)
{
    json_t *plain;

    if (key->min == key->max)
        return check(p, json_pack("{s:I}", "const", (json_int_t)key->min));
    plain = check(p, json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum",
                               (json_int_t)key->min, "maximum", (json_int_t)key->max));
    if (key->words == NULL)
        return plain;
    return check(p, json_pack("{s:[o, o]}", "anyOf", plain, words(p, key->words)));
}

static json_t *operations(struct printer *p, const struct ool_key *key)
{
    if (json_object_get(p->defs, "operation") == NULL) {
        json_t *variants = check(p, json_array());
        put(p, p->defs, "operation", json_object());
        for (size_t i = 0; i < ool_n_variants; i++)
            append(p, variants, object_schema(p, ool_variants[i].keys, ool_variants[i].word));
        put(p, p->defs, "operation", json_pack("{s:o}", "oneOf", variants));
    }
    return check(p, json_pack("{s:s, s:o, s:I, s:I}", "type", "array", "items",
                              reference(p, "operation"), "minItems", (json_int_t)key->min,
                              "maxItems", (json_int_t)key->max));
}

static json_t *stacks(struct printer *p, const struct ool_key *key)
{
    put(p, p->defs, "mitigation",
        json_pack("{s:s, s:s, s:s}", "type", "string", "pattern", STEP_PATTERN, "description",
                  "name or name=value"));
    put(p, p->defs, "stack",
        json_pack("{s:s, s:o, s:i, s:i}", "type", "array", "items", reference(p, "mitigation"),
                  "minItems", 1, "maxItems", 16));
    put(p, p->defs, "ladder",
        json_pack("{s:s, s:{s:o}, s:{s:{}, s:{}}, s:[s], s:b}", "type", "object", "properties",
                  "ladder", reference(p, "stack"), "patternProperties", "^x-", "^\\$comment$",
                  "required", "ladder", "additionalProperties", 0));
    return check(p, json_pack("{s:s, s:I, s:{s:[o, o, o]}}", "type", "array", "maxItems",
                              (json_int_t)key->max, "items", "anyOf", reference(p, "mitigation"),
                              reference(p, "stack"), reference(p, "ladder")));
}

/* One value, without the array of a matrix. */
static json_t *value_schema(struct printer *p, const struct ool_key *key)
{
    json_t *schema;

    switch (key->kind) {
    case OOL_KEY_INTEGER:
        return integer(p, key);
    case OOL_KEY_NUMBER:
        schema = check(p, json_pack("{s:s, s:f}", "type", "number", "maximum", key->most));
        put(p, schema, key->above ? "exclusiveMinimum" : "minimum", json_real(key->least));
        return schema;
    case OOL_KEY_SIZE:
        return check(p, json_pack("{s:[{s:s, s:I, s:I}, {s:s, s:s}]}", "anyOf", "type", "integer",
                                  "minimum", (json_int_t)key->min, "maximum", (json_int_t)INT64_MAX,
                                  "type", "string", "pattern", SIZE_PATTERN));
    case OOL_KEY_BOOL:
        return check(p, json_pack("{s:s}", "type", "boolean"));
    case OOL_KEY_WORD:
        return words(p, key->words);
    case OOL_KEY_TEXT:
        return check(p, json_pack("{s:s, s:I, s:I}", "type", "string", "minLength",
                                  (json_int_t)key->min, "maxLength", (json_int_t)key->max));
    case OOL_KEY_NAME:
        return check(p, json_pack("{s:s, s:s}", "type", "string", "pattern", NAME_PATTERN));
    case OOL_KEY_RELEASE:
        return check(
            p, json_pack("{s:s, s:s}", "type", "string", "pattern",
                         key->max == 10 ? "^[0-9]{1,2}\\.[0-9]$" : "^[0-9]{1,2}\\.[0-9]{1,2}$"));
    case OOL_KEY_TEXTS:
        return check(p, json_pack("{s:s, s:{s:s, s:s}, s:I, s:I}", "type", "array", "items", "type",
                                  "string", "pattern", NAME_PATTERN, "minItems",
                                  (json_int_t)key->min, "maxItems", (json_int_t)key->max));
    case OOL_KEY_OBJECT:
        return table(p, key->object);
    case OOL_KEY_LIST:
        return check(p, json_pack("{s:s, s:o, s:I, s:I}", "type", "array", "items",
                                  table(p, key->object), "minItems", (json_int_t)key->min,
                                  "maxItems", (json_int_t)key->max));
    case OOL_KEY_OPERATIONS:
        return operations(p, key);
    case OOL_KEY_STACKS:
        return stacks(p, key);
    }
    return NULL;
}

/* "anyOf" of one value, an array of values where a matrix is possible, and null where that is. */
static json_t *choices(struct printer *p, const struct ool_keys *keys, const struct ool_key *key)
{
    char name[128];
    json_t *list;

    if (!key->matrix && !key->nullable)
        return value_schema(p, key);
    snprintf(name, sizeof name, "%s.%s", keys->name, key->name);
    if (json_object_get(p->defs, name) == NULL)
        put(p, p->defs, name, value_schema(p, key));
    list = check(p, json_pack("[o]", reference(p, name)));
    if (key->matrix)
        append(p, list,
               json_pack("{s:s, s:o, s:i, s:i, s:b}", "type", "array", "items", reference(p, name),
                         "minItems", 1, "maxItems", 1000, "uniqueItems", 1));
    if (key->nullable)
        append(p, list, json_pack("{s:s}", "type", "null"));
    return check(p, json_pack("{s:o}", "anyOf", list));
}

static json_t *property(struct printer *p, const struct ool_keys *keys, const struct ool_key *key)
{
    json_t *schema =
        p->failed ? NULL
                  : choices(p, keys, key); /* a failed one has no place held: it would not end */
    char doc[400];

    if (json_object_get(schema, "$ref") != NULL) /* nothing may stand beside a reference */
        schema = check(p, json_pack("{s:[o]}", "allOf", schema));
    snprintf(doc, sizeof doc, "%s%s%s%s", key->doc, key->unit != NULL ? " [" : "",
             key->unit != NULL ? key->unit : "", key->unit != NULL ? "]" : "");
    put(p, schema, "description", json_string(doc));
    if (key->fallback != NULL)
        put(p, schema, "default", json_loads(key->fallback, JSON_DECODE_ANY, NULL));
    return schema;
}

static void add_aliases(struct printer *p, const struct ool_keys *keys, const struct ool_key *key,
                        json_t *properties)
{
    const char *at = key->aliases;

    while (at != NULL && *at != '\0') {
        size_t length = strcspn(at, " ");
        json_t *schema = property(p, keys, key);
        char name[64], doc[128];

        snprintf(name, sizeof name, "%.*s", (int)length, at);
        snprintf(doc, sizeof doc, "the same as \"%s\"", key->name);
        put(p, schema, "description", json_string(doc));
        put(p, properties, name, schema);
        at += length + (at[length] == ' ');
    }
}

/* [{"required": [a]}, {"required": [b]}, ...] */
static json_t *requirements(struct printer *p, const char *const *names)
{
    json_t *list = check(p, json_array());

    for (; *names != NULL; names++)
        append(p, list, json_pack("{s:[s]}", "required", *names));
    return list;
}

static json_t *members(struct printer *p, const struct ool_keys *keys, const char *op)
{
    json_t *properties = check(p, json_object()), *required = check(p, json_array());
    json_t *schema =
        check(p, json_pack("{s:s, s:s, s:O, s:{s:{}, s:{}}, s:b}", "type", "object", "description",
                           keys->doc, "properties", properties, "patternProperties", "^x-",
                           "^\\$comment$", "additionalProperties", 0));

    for (size_t i = 0; i < keys->n_keys; i++) {
        const struct ool_key *key = &keys->keys[i];
        if (op != NULL && strcmp(key->name, "op") == 0)
            put(p, properties, "op", json_pack("{s:s}", "const", op));
        else
            put(p, properties, key->name, property(p, keys, key));
        add_aliases(p, keys, key, properties);
        if (key->required)
            append(p, required, json_string(key->name));
    }
    if (json_array_size(required) > 0)
        put(p, schema, "required", json_incref(required));
    if (keys->one_of != NULL)
        put(p, schema, "oneOf", requirements(p, keys->one_of));
    if (keys->any_of != NULL)
        put(p, schema, "anyOf", requirements(p, keys->any_of));
    json_decref(required);
    json_decref(properties);
    return schema;
}

static json_t *object_schema(struct printer *p, const struct ool_keys *keys, const char *op)
{
    json_t *object = members(p, keys, op);

    if (keys->shorthand == NULL)
        return object;
    return check(p, json_pack("{s:[o, o]}", "anyOf",
                              choices(p, keys, ool_keys_find(keys, keys->shorthand)), object));
}

enum ool_status ool_scenario_schema(struct ool_text *out)
{
    struct printer p = {json_object(), false};
    json_t *root = members(&p, &ool_keys_scenario, NULL), *schema;
    json_free_t release;
    char *dump = NULL;

    schema = json_pack("{s:s, s:s}", "$schema", "http://json-schema.org/draft-07/schema#", "title",
                       "oomlab scenario, format 1");
    if (schema == NULL || json_object_update(schema, root) != 0 ||
        json_object_set(schema, "$defs", p.defs) != 0)
        p.failed = true;
    if (!p.failed)
        dump = json_dumps(schema, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    if (dump != NULL) {
        json_get_alloc_funcs(NULL, &release);
        ool_text_puts(out, dump);
        ool_text_puts(out, "\n");
        release(dump);
    }
    json_decref(schema);
    json_decref(root);
    json_decref(p.defs);
    return dump != NULL && !out->failed ? OOL_OK : OOL_E_HOST_OOM;
}
