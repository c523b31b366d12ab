/*
 * The table of keys for people: what `oomlab show` prints.
 */
#include "ool_describe.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const struct ool_keys *keys;
} tables[] = {{"scenario", &ool_keys_scenario},
              {"workload", &ool_keys_workload},
              {"model", &ool_keys_model},
              {"card", &ool_keys_card},
              {"allocator", &ool_keys_allocator},
              {"job", &ool_keys_job},
              {"expectation", &ool_keys_expectation},
              {"profile", &ool_keys_profile},
              {"preset", &ool_keys_preset}};

const struct ool_keys *ool_keys_named(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const struct ool_keys *keys = tables[i].keys;
        if (strcmp(tables[i].name, name) == 0)
            return keys;
        for (size_t k = 0; k < keys->n_keys; k++) /* objects that have no row of their own here */
            if (keys->keys[k].object != NULL && strcmp(keys->keys[k].object->name, name) == 0)
                return keys->keys[k].object;
    }
    for (size_t i = 0; i < ool_n_variants; i++)
        if (strcmp(ool_variants[i].word, name) == 0)
            return ool_variants[i].keys;
    return NULL;
}

static const char *type_of(const struct ool_key *key, char out[120])
{
    static const char *const plain[] = {"integer",        "number", "size",  "true or false",
                                        "word",           "text",   "name",  "release",
                                        "array of names", "object", "array", "array of operations",
                                        "array of stacks"};

    if (key->kind == OOL_KEY_INTEGER && key->max < INT64_MAX)
        snprintf(out, 120, "integer %lld to %lld", (long long)key->min, (long long)key->max);
    else if (key->kind == OOL_KEY_NUMBER)
        snprintf(out, 120, "number %g to %g", key->least, key->most);
    else if (key->object != NULL)
        snprintf(out, 120, "%s \"%s\"", key->kind == OOL_KEY_LIST ? "array of" : "object",
                 key->object->name);
    else
        return plain[key->kind];
    return out;
}

void ool_keys_describe(const struct ool_keys *keys, struct ool_text *out)
{
    char type[120];

    for (size_t i = 0; i < keys->n_keys; i++) {
        const struct ool_key *key = &keys->keys[i];
        ool_text_printf(out, "%-24s %s", key->name, type_of(key, type));
        if (key->unit != NULL)
            ool_text_printf(out, " [%s]", key->unit);
        if (key->required)
            ool_text_puts(out, ", required");
        if (key->fallback != NULL)
            ool_text_printf(out, ", default %s", key->fallback);
        if (key->matrix)
            ool_text_puts(out, ", an array makes cases");
        ool_text_printf(out, "\n    %s\n", key->doc);
        if (key->aliases != NULL)
            ool_text_printf(out, "    also called %s\n", key->aliases);
        for (const struct ool_word *w = key->words; w != NULL && w->text != NULL; w++)
            ool_text_printf(out, "      %-24s %s\n", w->text, w->doc);
    }
    if (keys->shorthand != NULL)
        ool_text_printf(out, "A plain value instead of the object is its \"%s\".\n",
                        keys->shorthand);
}

json_t *ool_keys_json(const struct ool_keys *keys)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < keys->n_keys; i++) {
        const struct ool_key *key = &keys->keys[i];
        json_t *words = json_array();
        char type[120];

        for (const struct ool_word *w = key->words; w != NULL && w->text != NULL; w++)
            json_array_append_new(words, json_pack("{s:s, s:s}", "word", w->text, "doc", w->doc));
        if (json_array_append_new(rows,
                                  json_pack("{s:s, s:s, s:s*, s:b, s:s*, s:b, s:s, s:s*, s:o}",
                                            "key", key->name, "type", type_of(key, type), "unit",
                                            key->unit, "required", key->required, "default",
                                            key->fallback, "matrix", key->matrix, "doc", key->doc,
                                            "aliases", key->aliases, "words", words)) != 0) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows;
}
