/*
 * ool_cmd_list.c - oomlab list: the scenarios, cards, models and mitigations that there are.
 *
 * Each list is made once as JSON; the table prints some of its columns.
 */
#include "ool_commands.h"

#include "ool_data.h"
#include "ool_mem.h"
#include "ool_mitigation.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_PATH 8192
#define MAX_DEPTH 16 /* of folders */

/* --- lists ----------------------------------------------------------------------------------------- */

static bool add(json_t *list, json_t *row)
{
    return json_array_append_new(list, row) == 0;
}

static bool add_card(json_t *list, const char *name, const char *path, struct ool_error *err)
{
    struct ool_scenario_memory *memory = ool_scenario_memory_open();
    struct ool_card card;
    char size[OOL_SIZE_TEXT], capability[16] = "";
    bool ok = memory != NULL && ool_data_card(path, name, memory, &card, err) == OOL_OK;

    if (ok && card.capability > 0)
        snprintf(capability, sizeof capability, "%d.%d", card.capability / 10,
                 card.capability % 10);
    if (ok)
        ok = add(list, json_pack("{s:s, s:s, s:I, s:s, s:I, s:s}", "name", name, "title",
                                 card.title, "total_bytes", (json_int_t)card.total_bytes, "total",
                                 ool_size_print(card.total_bytes, size), "context_bytes",
                                 (json_int_t)card.context_bytes, "capability", capability));
    ool_scenario_memory_close(memory);
    return ok;
}

static bool add_model(json_t *list, const char *name, const char *path, struct ool_error *err)
{
    struct ool_scenario_memory *memory = ool_scenario_memory_open();
    struct ool_preset preset;
    char params[32] = "";
    bool ok = memory != NULL && ool_data_preset(path, memory, &preset, err) == OOL_OK;

    if (ok && preset.params > 0)
        snprintf(params, sizeof params, "%.1f M", (double)preset.params / 1e6);
    if (ok)
        ok = add(list,
                 json_pack("{s:s, s:s, s:I, s:s, s:s, s:s}", "name", name, "title", preset.title,
                           "parameters", (json_int_t)preset.params, "size", params, "family",
                           ool_family_name(preset.model.family), "formulation",
                           preset.model.formulation == OOL_HF ? "hf" : "plain"));
    ool_scenario_memory_close(memory);
    return ok;
}

static bool list_files(json_t *list, const char *folder,
                       bool (*add_file)(json_t *, const char *, const char *, struct ool_error *),
                       struct ool_error *err)
{
    struct ool_text path;
    char **names = NULL;
    size_t n = 0;
    bool ok = ool_data_names(folder, "scenarios/here", &names, &n, err) == OOL_OK;

    ool_text_init(&path, MAX_PATH);
    for (size_t i = 0; ok && i < n; i++)
        ok = ool_data_find(folder, names[i], "scenarios/here", &path, err) == OOL_OK &&
             add_file(list, names[i], path.data, err);
    ool_text_fini(&path);
    ool_data_names_free(names, n);
    return ok;
}

static bool list_cards(json_t *list, struct ool_error *err)
{
    return list_files(list, "profiles", add_card, err);
}

static bool list_models(json_t *list, struct ool_error *err)
{
    return list_files(list, "models", add_model, err);
}

static bool list_mitigations(json_t *list, struct ool_error *err)
{
    size_t n = 0;
    const struct ool_mitigation *const *all = ool_mitigations(&n);
    bool ok = true;

    (void)err;
    for (size_t i = 0; ok && i < n; i++)
        ok = add(list,
                 json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", all[i]->name, "value",
                           all[i]->value != NULL ? all[i]->value : "", "summary", all[i]->summary,
                           "mechanism", all[i]->mechanism, "aliases", all[i]->aliases));
    return ok;
}

/* A file that cannot be read as a scenario is listed with its first problem. */
static bool add_scenario(json_t *list, const char *path)
{
    struct ool_problems problems = {0};
    struct ool_scenario *s = NULL;
    bool ok;

    if (ool_scenario_load(path, &s, &problems) == OOL_OK) {
        json_t *tags = json_array();
        for (size_t i = 0; i < s->n_tags; i++)
            json_array_append_new(tags, json_string(s->tags[i]));
        ok = add(list, json_pack("{s:s, s:s, s:s, s:o, s:I}", "id", s->id, "path", path, "title",
                                 s->title, "tags", tags, "cases",
                                 (json_int_t)(s->n_points * (s->n_stacks + 1))));
    } else {
        ok = add(list, json_pack("{s:s, s:s, s:s, s:s}", "id", path, "path", path, "title",
                                 "(cannot be read)", "error",
                                 problems.n > 0 ? problems.errors[0].text : ""));
    }
    ool_scenario_close(s);
    ool_problems_fini(&problems);
    return ok;
}

static bool is_suite_folder(const char *name)
{
    return name[0] != '.' && strcmp(name, "profiles") != 0 && strcmp(name, "models") != 0 &&
           strcmp(name, "schema") != 0;
}

static bool list_folder(json_t *list, const char *folder, int depth)
{
    struct dirent **entries = NULL;
    int n = depth < MAX_DEPTH ? scandir(folder, &entries, NULL, alphasort) : 0;
    bool ok = true;

    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        size_t length = strlen(name);
        struct ool_text path;
        struct stat info;

        ool_text_init(&path, MAX_PATH);
        ool_text_printf(&path, "%s/%s", folder, name);
        if (ok && !path.failed && is_suite_folder(name) && stat(path.data, &info) == 0) {
            if (S_ISDIR(info.st_mode))
                ok = list_folder(list, path.data, depth + 1);
            else if (length > 5 && strcmp(name + length - 5, ".json") == 0)
                ok = add_scenario(list, path.data);
        }
        ool_text_fini(&path);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

static bool list_scenarios(json_t *list, struct ool_error *err)
{
    (void)err;
    return list_folder(list, "scenarios", 0);
}

/* --- printing -------------------------------------------------------------------------------------- */

static const struct list {
    const char *name;
    bool (*make)(json_t *list, struct ool_error *err);
    const char *columns[5]; /* keys, the last one unpadded */
} lists[] = {{"scenarios", list_scenarios, {"id", "cases", "title", NULL}},
             {"cards", list_cards, {"name", "total", "capability", "title"}},
             {"models", list_models, {"name", "size", "formulation", "title"}},
             {"mitigations", list_mitigations, {"name", "summary", NULL}}};
#define N_LISTS (sizeof lists / sizeof *lists)

static const char *cell(const json_t *row, const char *key, char number[32])
{
    const json_t *value = json_object_get(row, key);

    if (json_is_integer(value)) {
        snprintf(number, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return number;
    }
    return json_is_string(value) ? json_string_value(value) : "";
}

static void print_table(const struct list *list, const json_t *rows)
{
    int widths[5] = {0};
    const json_t *row;
    char number[32];
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        for (size_t c = 0; c < 5 && list->columns[c] != NULL; c++) {
            int width = (int)strlen(cell(row, list->columns[c], number));
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        for (size_t c = 0; c < 5 && list->columns[c] != NULL; c++) {
            bool last = c == 4 || list->columns[c + 1] == NULL;
            printf("%-*s%s", last ? 0 : widths[c], cell(row, list->columns[c], number),
                   last ? "\n" : "  ");
        }
    }
}

static int print_list(const struct list *list, bool json)
{
    struct ool_error err = {.status = OOL_OK};
    json_t *rows = json_array();
    int code = OOL_EXIT_OK;

    if (rows == NULL || !list->make(rows, &err)) {
        fprintf(stderr, "oomlab list: %s\n", err.text[0] != '\0' ? err.text : "no memory");
        code =
            err.status == OOL_OK || err.status == OOL_E_HOST_OOM ? OOL_EXIT_INFRA : OOL_EXIT_USAGE;
    } else if (json) {
        json_dumpf(rows, stdout, JSON_INDENT(1));
        puts("");
    } else {
        print_table(list, rows);
    }
    json_decref(rows);
    return code;
}

static void print_usage(FILE *out)
{
    fputs("Usage: oomlab list [WHAT] [--json]\n\n"
          "WHAT is scenarios (those below scenarios/ here), cards, models or mitigations; without "
          "it the\n"
          "table shows all four. \"oomlab show NAME\" says more about one.\n",
          out);
}

int ool_cmd_list(int argc, char **argv)
{
    const struct list *chosen = NULL;
    bool json = false;

    for (int i = 1; i < argc; i++) {
        size_t n = 0;
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
            continue;
        }
        while (n < N_LISTS && strcmp(argv[i], lists[n].name) != 0)
            n++;
        if (n == N_LISTS || chosen != NULL) {
            bool help = strcmp(argv[i], "--help") == 0;
            print_usage(help ? stdout : stderr);
            return help ? OOL_EXIT_OK : OOL_EXIT_USAGE;
        }
        chosen = &lists[n];
    }
    if (chosen != NULL)
        return print_list(chosen, json);
    if (json) {
        fputs("oomlab list: --json needs WHAT\n", stderr);
        return OOL_EXIT_USAGE;
    }
    for (size_t n = 0; n < N_LISTS; n++) {
        int code;
        printf("%s%s:\n", n > 0 ? "\n" : "", lists[n].name);
        code = print_list(&lists[n], false);
        if (code != OOL_EXIT_OK)
            return code;
    }
    return OOL_EXIT_OK;
}
