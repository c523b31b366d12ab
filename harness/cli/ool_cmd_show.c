/*
 * ool_cmd_show.c - oomlab show: one scenario, card, model, mitigation, object or operation in full.
 */
#include "ool_commands.h"

#include "ool_data.h"
#include "ool_describe.h"
#include "ool_file.h"
#include "ool_mem.h"
#include "ool_mitigation.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_TEXT ((size_t)1 << 24)

static int print_json(json_t *value)
{
    int code = value != NULL && json_dumpf(value, stdout, JSON_INDENT(1)) == 0 ? OOL_EXIT_OK
                                                                               : OOL_EXIT_INFRA;

    if (code == OOL_EXIT_OK)
        puts("");
    json_decref(value);
    return code;
}

static int print_text(struct ool_text *text)
{
    int code =
        text->failed || fputs(ool_text_data(text), stdout) == EOF ? OOL_EXIT_INFRA : OOL_EXIT_OK;

    ool_text_fini(text);
    return code;
}

/* --- cards and models: the file's values beside what their rows say ---------------------------------- */

static void add_value(const json_t *value, struct ool_text *out)
{
    char size[OOL_SIZE_TEXT];

    if (json_is_string(value))
        ool_text_puts(out, json_string_value(value));
    else if (json_is_integer(value) && json_integer_value(value) > 1 << 20)
        ool_text_printf(out, "%" JSON_INTEGER_FORMAT " (%s)", json_integer_value(value),
                        ool_size_print((uint64_t)json_integer_value(value), size));
    else if (json_is_integer(value))
        ool_text_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        ool_text_printf(out, "%g", json_real_value(value));
    else
        ool_text_puts(out, json_is_true(value)    ? "true"
                           : json_is_false(value) ? "false"
                                                  : "not known");
}

static void add_members(const struct ool_keys *keys, const json_t *object, const json_t *sources,
                        struct ool_text *out)
{
    for (size_t i = 0; i < keys->n_keys; i++) {
        const struct ool_key *key = &keys->keys[i];
        const json_t *value = json_object_get(object, key->name);
        const char *source = json_string_value(json_object_get(sources, key->name));

        if (value == NULL || (json_is_object(value) && strcmp(key->name, "sources") == 0))
            continue;
        if (json_is_object(value)) {
            add_members(key->object, value, NULL, out);
            continue;
        }
        ool_text_printf(out, "%-26s ", key->name);
        if (key->kind == OOL_KEY_INTEGER && json_is_integer(value))
            ool_text_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else
            add_value(value, out);
        ool_text_printf(out, "\n    %s%s%s\n", key->doc, source != NULL ? "; source: " : "",
                        source != NULL ? source : "");
    }
}

/* -1 = there is no such file. */
static int show_file(const char *folder, const struct ool_keys *keys, const char *name, bool json)
{
    struct ool_error err = {.status = OOL_OK};
    struct ool_text path, out;
    json_t *file = NULL;
    int code = -1;

    ool_text_init(&path, MAX_TEXT);
    if (strchr(name, '/') == NULL &&
        ool_data_find(folder, name, "scenarios/here", &path, &err) == OOL_OK)
        file = json_load_file(path.data, 0, NULL);
    if (file != NULL && json) {
        code = print_json(json_incref(file));
    } else if (file != NULL) {
        ool_text_init(&out, MAX_TEXT);
        ool_text_printf(&out, "%s (%s)\n", name, path.data);
        add_members(keys, file, json_object_get(file, "sources"), &out);
        code = print_text(&out);
    }
    json_decref(file);
    ool_text_fini(&path);
    return code;
}

/* --- scenarios --------------------------------------------------------------------------------------- */

static int show_scenario(const char *path, bool json)
{
    struct ool_problems problems = {0};
    struct ool_scenario *s = NULL;
    struct ool_case *cases = NULL;
    struct ool_text out;
    char size[OOL_SIZE_TEXT];
    size_t n = 0;
    json_t *ids = json_array();
    int code;

    ool_text_init(&out, MAX_TEXT);
    if (ool_scenario_load_checked(path, ool_mitigation_check, &s, &problems) != OOL_OK ||
        ool_scenario_cases(s, &cases, &n, NULL) != OOL_OK) {
        char *text = NULL;
        size_t length = 0;
        (void)ool_file_read(path, MAX_TEXT, &text, &length, NULL);
        ool_problems_print(&problems, text, length, false, &out);
        ool_free(text);
        fputs(ool_text_data(&out), stderr);
        ool_text_fini(&out);
        code = OOL_EXIT_USAGE;
        goto out;
    }
    ool_text_printf(&out, "%s\n%s\n%s%s", s->id, s->title, s->description,
                    s->description[0] != '\0' ? "\n" : "");
    ool_text_printf(&out, "card %s, %s; allocator %s %s\n", s->points[0].card.name,
                    ool_size_print(s->points[0].card.total_bytes, size),
                    s->points[0].allocator.kind, s->points[0].allocator.version);
    for (size_t i = 0; i < n; i++) {
        ool_text_printf(&out, "  %s\n", cases[i].id);
        json_array_append_new(ids, json_string(cases[i].id));
    }
    ool_text_printf(&out, "%zu cases, %zu expectations\n", n, s->n_expectations);
    if (json) {
        ool_text_fini(&out);
        code = print_json(json_pack("{s:s, s:s, s:s, s:s, s:O, s:I}", "id", s->id, "title",
                                    s->title, "description", s->description, "sha256", s->hash,
                                    "cases", ids, "expectations", (json_int_t)s->n_expectations));
    } else {
        code = print_text(&out);
    }
out:
    json_decref(ids);
    ool_cases_close(cases, n);
    ool_scenario_close(s);
    ool_problems_fini(&problems);
    return code;
}

/* --- mitigations and the format ----------------------------------------------------------------------- */

static int show_mitigation(const struct ool_mitigation *m, bool json)
{
    const char *value = m->value != NULL ? m->value : "";

    if (json)
        return print_json(json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name", m->name, "value",
                                    value, "summary", m->summary, "mechanism", m->mechanism,
                                    "aliases", m->aliases, "group", m->group));
    printf("%s%s%s\n%s\n\n%s\n", m->name, value[0] != '\0' ? "=" : "", value, m->summary,
           m->mechanism);
    if (m->aliases[0] != '\0')
        printf("\nAlso called %s.\n", m->aliases);
    if (m->group[0] != '\0')
        printf("Excludes the others of \"%s\".\n", m->group);
    return OOL_EXIT_OK;
}

static int show_keys(const struct ool_keys *keys, bool json)
{
    struct ool_text out;

    if (json)
        return print_json(ool_keys_json(keys));
    ool_text_init(&out, MAX_TEXT);
    ool_keys_describe(keys, &out);
    return print_text(&out);
}

static int show_operations(bool json)
{
    json_t *words = json_array();

    for (size_t i = 0; i < ool_n_variants; i++)
        json_array_append_new(words, json_string(ool_variants[i].word));
    if (json)
        return print_json(words);
    json_decref(words);
    for (size_t i = 0; i < ool_n_variants; i++)
        printf("%s\n", ool_variants[i].word);
    puts("\"oomlab show WORD\" lists the keys of one.");
    return OOL_EXIT_OK;
}

static int show(const char *name, bool json)
{
    const struct ool_mitigation *mitigation = ool_mitigation_find(name);
    int code;

    if (strcmp(name, "operation") == 0 || strcmp(name, "operations") == 0)
        return show_operations(json);
    if (ool_keys_named(name) != NULL)
        return show_keys(ool_keys_named(name), json);
    if (mitigation != NULL)
        return show_mitigation(mitigation, json);
    code = show_file("profiles", &ool_keys_profile, name, json);
    if (code < 0)
        code = show_file("models", &ool_keys_preset, name, json);
    if (code < 0 && access(name, R_OK) == 0)
        code = show_scenario(name, json);
    if (code >= 0)
        return code;
    fprintf(stderr,
            "oomlab show: \"%s\" is no card, model, mitigation, object of a scenario or file; "
            "\"oomlab list\" "
            "shows what there is\n",
            name);
    return OOL_EXIT_USAGE;
}

int ool_cmd_show(int argc, char **argv)
{
    const char *name = NULL;
    bool json = false, help = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--help") == 0 || argv[i][0] == '-' || name != NULL)
            help = true;
        else
            name = argv[i];
    }
    if (help || name == NULL) {
        bool asked = argc == 2 && strcmp(argv[1], "--help") == 0;
        fputs("Usage: oomlab show NAME [--json]\n\n"
              "NAME is a scenario's file, a card, a model, a mitigation, an object of the format "
              "(scenario, workload,\n"
              "model, optimizer, adapter, card, allocator, job, expectation, operation) or an "
              "operation.\n",
              asked ? stdout : stderr);
        return asked ? OOL_EXIT_OK : OOL_EXIT_USAGE;
    }
    return show(name, json);
}
