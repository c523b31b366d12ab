#define _XOPEN_SOURCE 700 /* realpath */
#include "ool_data.h"

#include "ool_file.h"
#include "ool_mem.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PATH 8192

/* --- places ---------------------------------------------------------------------------------------- */

/* The places in their order; @path is changed to the next one, without "/FOLDER". */
struct places {
    char beside[PATH_MAX]; /* "" = done with the folders above */
    int next;              /* of the fixed places */
};

static void first_place(struct places *p, const char *beside)
{
    char folder[PATH_MAX];
    const char *slash = beside != NULL ? strrchr(beside, '/') : NULL;

    memset(p, 0, sizeof *p);
    if (beside == NULL)
        return;
    if (slash == NULL)
        snprintf(folder, sizeof folder, ".");
    else
        snprintf(folder, sizeof folder, "%.*s", slash == beside ? 1 : (int)(slash - beside),
                 beside);
    if (realpath(folder, p->beside) == NULL)
        snprintf(p->beside, sizeof p->beside, "%s", folder);
}

/* Writes the place into @path; false = there is none left. */
static bool next_place(struct places *p, struct ool_text *path)
{
    const char *fixed[3];
    char *slash;

    ool_text_clear(path);
    if (p->beside[0] != '\0') {
        ool_text_puts(path, p->beside);
        slash = strrchr(p->beside, '/');
        if (slash == NULL || p->beside[1] == '\0')
            p->beside[0] = '\0';
        else
            slash[slash == p->beside] = '\0';
        return true;
    }
    fixed[0] = getenv("OOMLAB_DATA");
    fixed[1] = OOL_DATA_DIR;
    fixed[2] = OOL_SOURCE_DATA_DIR;
    while (p->next < 3) {
        const char *place = fixed[p->next++];
        if (place != NULL && *place != '\0') {
            ool_text_puts(path, place);
            return true;
        }
    }
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds the names of one folder's files. False = host memory is short. */
static bool add_names(const char *path, char ***names, size_t *n, size_t *capacity)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    bool ok = true;

    if (dir == NULL)
        return true;
    while (ok && (entry = readdir(dir)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (length <= 5 || strcmp(entry->d_name + length - 5, ".json") != 0)
            continue;
        ok = ool_grow(names, capacity, *n, sizeof **names);
        if (ok)
            ok = ((*names)[*n] = ool_strndup(entry->d_name, length - 5)) != NULL;
        if (ok)
            ++*n;
    }
    closedir(dir);
    return ok;
}

void ool_data_names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ool_free(names[i]);
    ool_free(names);
}

enum ool_status ool_data_names(const char *folder, const char *beside, char ***names, size_t *n,
                               struct ool_error *err)
{
    struct places places;
    struct ool_text path;
    char **found = NULL;
    size_t count = 0, capacity = 0, kept = 0;
    bool ok = true;

    ool_text_init(&path, MAX_PATH);
    first_place(&places, beside);
    while (ok && next_place(&places, &path)) {
        ool_text_printf(&path, "/%s", folder);
        ok = !path.failed && add_names(path.data, &found, &count, &capacity);
    }
    ool_text_fini(&path);
    if (!ok) {
        ool_data_names_free(found, count);
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory to list %s", folder);
    }
    if (count > 1)
        qsort(found, count, sizeof *found, by_name);
    for (size_t i = 0; i < count; i++) { /* the same name in two places is one */
        if (kept > 0 && strcmp(found[kept - 1], found[i]) == 0)
            ool_free(found[i]);
        else
            found[kept++] = found[i];
    }
    *names = found;
    *n = kept;
    return OOL_OK;
}

static enum ool_status not_found(const char *folder, const char *name, const char *beside,
                                 struct ool_error *err)
{
    struct ool_nearest nearest = {name, NULL, 0};
    char **names = NULL;
    size_t n = 0;
    enum ool_status status = ool_data_names(folder, beside, &names, &n, err);

    if (status != OOL_OK)
        return status;
    for (size_t i = 0; i < n; i++)
        ool_nearest_offer(&nearest, names[i]);
    status = ool_error_set(err, OOL_E_REFERENCE,
                           "no file %s/%.60s.json; \"oomlab list %s\" shows what there is", folder,
                           name, strcmp(folder, "profiles") == 0 ? "cards" : folder);
    if (err != NULL && nearest.best != NULL)
        snprintf(err->hint, sizeof err->hint, "did you mean \"%.128s\"?", nearest.best);
    ool_data_names_free(names, n);
    return status;
}

enum ool_status ool_data_find(const char *folder, const char *name, const char *beside,
                              struct ool_text *path, struct ool_error *err)
{
    struct places places;

    first_place(&places, beside);
    while (next_place(&places, path)) {
        ool_text_printf(path, "/%s/%s.json", folder, name);
        if (path->failed)
            return ool_error_set(err, OOL_E_HOST_OOM, "no memory to look for %s", name);
        if (access(path->data, R_OK) == 0)
            return OOL_OK;
    }
    if (path->failed)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory to look for %s", name);
    return not_found(folder, name, beside, err);
}

/* --- JSON texts ------------------------------------------------------------------------------------ */

static void report_duplicate(void *state, uint32_t node, uint32_t first)
{
    struct ool_reader *reader = state;

    ool_reader_problem(reader, node, true, OOL_E_DUPLICATE, NULL,
                       "the key stands twice; first on line %u",
                       (unsigned)reader->layout->nodes[first].line);
}

static void add_problem(struct ool_reader *reader, const struct ool_error *error)
{
    struct ool_error copy = *error;
    size_t length = strlen(reader->source);

    if (error->status == OOL_E_HOST_OOM) {
        ool_reader_memory(reader, NULL);
        return;
    }
    snprintf(copy.source, sizeof copy.source, "%s",
             reader->source + (length < sizeof copy.source ? 0 : length - sizeof copy.source + 1));
    copy.line = 1; /* settled later from the offset */
    reader->n_problems++;
    if (!ool_problems_add(reader->problems, &copy))
        ool_reader_memory(reader, NULL);
}

/* What the layout lets pass and jansson does not: bad UTF-8, escapes, numbers too large. */
static void report_jansson(struct ool_reader *reader, const json_error_t *json, size_t length)
{
    struct ool_error error = {.status = OOL_E_JSON, .length = 1};

    /* The grammar was checked before, so that what jansson cannot name is a lack of memory. */
    if (json_error_code(json) == json_error_out_of_memory || json->text[0] == '\0' ||
        strncmp(json->text, "invalid token", 13) == 0 || strstr(json->text, " expected") != NULL) {
        ool_reader_memory(reader, NULL);
        return;
    }
    if (json_error_code(json) == json_error_numeric_overflow)
        error.status = OOL_E_RANGE;
    error.offset = json->position > 0 ? (size_t)json->position - 1 : 0;
    if (error.offset > length)
        error.offset = length;
    snprintf(error.text, sizeof error.text, "%s", json->text);
    add_problem(reader, &error);
}

bool ool_source_open(struct ool_source *source, struct ool_reader *reader, const char *text,
                     size_t length)
{
    struct ool_error error = {.status = OOL_OK};
    size_t before = reader->n_problems;
    json_error_t json;

    memset(source, 0, sizeof *source);
    if (ool_layout_build(text, length, &source->layout, &error) != OOL_OK) {
        add_problem(reader, &error);
        return false;
    }
    reader->layout = &source->layout;
    source->root = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &json);
    if (source->root == NULL && json_error_code(&json) == json_error_duplicate_key) {
        if (!ool_layout_duplicates(&source->layout, report_duplicate, reader))
            ool_reader_memory(reader, NULL);
        source->root = json_loadb(text, length, JSON_DECODE_ANY, &json);
    }
    if (source->root == NULL)
        report_jansson(reader, &json, length);
    reader->root = source->root;
    return source->root != NULL && reader->n_problems == before;
}

void ool_source_close(struct ool_source *source)
{
    json_decref(source->root);
    ool_layout_fini(&source->layout);
}

/* --- profiles and presets -------------------------------------------------------------------------- */

static enum ool_status read_file(const char *path, const struct ool_keys *keys,
                                 struct ool_scenario_memory *memory, void *base,
                                 struct ool_error *err)
{
    struct ool_problems problems = {0};
    struct ool_reader reader = {.source = path, .memory = memory, .problems = &problems};
    struct ool_source source = {0};
    size_t length = 0;
    char *text = NULL;
    enum ool_status status = ool_file_read(path, OOL_LAYOUT_BYTES, &text, &length, err);

    if (status != OOL_OK)
        return status;
    if (ool_source_open(&source, &reader, text, length)) {
        struct ool_cursor root = {source.root, 0};
        ool_reader_object(&reader, keys, &root, base);
    }
    if (reader.short_of_memory) {
        status = ool_error_set(err, OOL_E_HOST_OOM, "no memory to read %.100s", path);
    } else if (problems.n > 0) {
        ool_problems_settle(&problems, text, length);
        status =
            ool_error_set(err, OOL_E_DATA, "%.100s:%d:%d: %.180s", path, problems.errors[0].line,
                          problems.errors[0].column, problems.errors[0].text);
    }
    ool_source_close(&source);
    ool_problems_fini(&problems);
    ool_free(text);
    return status;
}

enum ool_status ool_data_card(const char *path, const char *name,
                              struct ool_scenario_memory *memory, struct ool_card *card,
                              struct ool_error *err)
{
    struct ool_card found;
    char *copy = ool_arena_text(memory, name, strlen(name));
    enum ool_status status;

    if (copy == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a card");
    status = read_file(path, &ool_keys_profile, memory, &found, err);
    if (status != OOL_OK)
        return status;
    found.name = copy;
    *card = found;
    return OOL_OK;
}

enum ool_status ool_data_preset(const char *path, struct ool_scenario_memory *memory,
                                struct ool_preset *preset, struct ool_error *err)
{
    struct ool_preset found = {0};
    enum ool_status status = read_file(path, &ool_keys_preset, memory, &found, err);

    if (status == OOL_OK)
        *preset = found;
    return status;
}

/* An error of another file, told at the place that names it. */
static void tell(struct ool_reader *reader, const struct ool_cursor *cursor,
                 const struct ool_error *error)
{
    if (error->status == OOL_E_HOST_OOM)
        ool_reader_memory(reader, NULL);
    else
        ool_reader_problem(reader, cursor->node, false, error->status, error->hint, "%s",
                           error->text);
}

bool ool_reader_profile(struct ool_reader *reader, const struct ool_cursor *cursor,
                        const char *name, struct ool_card *card)
{
    struct ool_error error = {.status = OOL_OK};
    struct ool_text path;
    enum ool_status status;

    ool_text_init(&path, MAX_PATH);
    status = ool_data_find("profiles", name, reader->beside, &path, &error);
    if (status == OOL_OK)
        status = ool_data_card(path.data, name, reader->memory, card, &error);
    if (status != OOL_OK)
        tell(reader, cursor, &error);
    ool_text_fini(&path);
    return status == OOL_OK;
}

bool ool_reader_preset(struct ool_reader *reader, const struct ool_cursor *cursor, const char *name,
                       struct ool_model *model)
{
    struct ool_preset preset = {0};
    struct ool_error error = {.status = OOL_OK};
    struct ool_text path;
    enum ool_status status;

    ool_text_init(&path, MAX_PATH);
    status = ool_data_find("models", name, reader->beside, &path, &error);
    if (status == OOL_OK)
        status = ool_data_preset(path.data, reader->memory, &preset, &error);
    if (status == OOL_OK)
        *model = preset.model;
    else
        tell(reader, cursor, &error);
    ool_text_fini(&path);
    return status == OOL_OK;
}

struct found_card {
    struct ool_card card;
    struct ool_scenario_memory *memory;
};

enum ool_status ool_card_find(const char *name, const char *beside, struct ool_card **card,
                              struct ool_error *err)
{
    struct found_card *found = ool_calloc(1, sizeof *found);
    struct ool_text path;
    enum ool_status status = OOL_OK;

    ool_text_init(&path, MAX_PATH);
    if (found == NULL || (found->memory = ool_scenario_memory_open()) == NULL)
        status = ool_error_set(err, OOL_E_HOST_OOM, "no memory for a card");
    if (status == OOL_OK)
        status = ool_data_find("profiles", name, beside, &path, err);
    if (status == OOL_OK)
        status = ool_data_card(path.data, name, found->memory, &found->card, err);
    ool_text_fini(&path);
    if (status == OOL_OK)
        *card = &found->card;
    else
        ool_card_close(found != NULL ? &found->card : NULL);
    return status;
}

void ool_card_close(struct ool_card *card)
{
    struct found_card *found = (struct found_card *)card;

    if (found == NULL)
        return;
    ool_scenario_memory_close(found->memory);
    ool_free(found);
}
