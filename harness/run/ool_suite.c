#include "ool_suite.h"

#include "ool_file.h"
#include "ool_glob.h"
#include "ool_mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_TEXT (16 << 20)
#define MOST_DEPTH 32
#define MOST_PATH 4096

struct paths {
    char **names;
    size_t n, capacity;
};

static void paths_fini(struct paths *paths)
{
    for (size_t i = 0; i < paths->n; i++)
        ool_free(paths->names[i]);
    ool_free(paths->names);
}

static enum ool_status no_memory(struct ool_error *err)
{
    return ool_error_set(err, OOL_E_HOST_OOM, "no memory to load scenarios");
}

static enum ool_status add_path(struct paths *paths, const char *path, struct ool_error *err)
{
    char *copy = ool_strdup(path);

    if (copy == NULL ||
        !ool_grow(&paths->names, &paths->capacity, paths->n, sizeof *paths->names)) {
        ool_free(copy);
        return no_memory(err);
    }
    paths->names[paths->n++] = copy;
    return OOL_OK;
}

static bool is_data_folder(const char *name)
{
    return strcmp(name, "profiles") == 0 || strcmp(name, "models") == 0 ||
           strcmp(name, "schema") == 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), n = strlen(end);

    return length > n && strcmp(text + length - n, end) == 0;
}

static enum ool_status search(struct paths *paths, const char *folder, int depth,
                              struct ool_error *err);

static enum ool_status visit(struct paths *paths, const char *folder, const char *name, int depth,
                             struct ool_error *err)
{
    enum ool_status status = OOL_OK;
    struct ool_text path;
    struct stat info;

    if (*name == '.')
        return OOL_OK;
    if (strlen(folder) + strlen(name) > MOST_PATH)
        return ool_error_set(err, OOL_E_FILE, "a path below %s is too long", folder);
    ool_text_init(&path, MOST_PATH + 2);
    ool_text_printf(&path, "%s%s%s", folder, ends_with(folder, "/") ? "" : "/", name);
    if (path.failed)
        status = no_memory(err);
    else if (stat(path.data, &info) != 0)
        status = ool_error_set(err, OOL_E_FILE, "cannot read %s: %s", path.data, strerror(errno));
    else if (S_ISDIR(info.st_mode))
        status = is_data_folder(name) ? OOL_OK : search(paths, path.data, depth + 1, err);
    else if (ends_with(name, ".json"))
        status = add_path(paths, path.data, err);
    ool_text_fini(&path);
    return status;
}

static enum ool_status search(struct paths *paths, const char *folder, int depth,
                              struct ool_error *err)
{
    enum ool_status status = OOL_OK;
    struct dirent *entry;
    DIR *dir;

    if (depth > MOST_DEPTH)
        return ool_error_set(err, OOL_E_LIMIT, "%s lies too deep", folder);
    dir = opendir(folder);
    if (dir == NULL)
        return ool_error_set(err, OOL_E_FILE, "cannot read %s: %s", folder, strerror(errno));
    while (status == OOL_OK && (entry = readdir(dir)) != NULL)
        status = visit(paths, folder, entry->d_name, depth, err);
    closedir(dir);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum ool_status find_files(char *const *names, size_t n, struct paths *paths,
                                  struct ool_error *err)
{
    enum ool_status status = OOL_OK;

    for (size_t i = 0; status == OOL_OK && i < n; i++) {
        struct stat info;

        if (stat(names[i], &info) == 0 && S_ISDIR(info.st_mode))
            status = search(paths, names[i], 0, err);
        else
            status = add_path(paths, names[i], err);
    }
    if (paths->n > 0)
        qsort(paths->names, paths->n, sizeof *paths->names, by_name);
    return status;
}

void ool_suite_problems(const char *path, const struct ool_problems *problems, bool json,
                        struct ool_text *out)
{
    size_t length = 0;
    char *text = NULL;

    if (ool_file_read(path, MOST_TEXT, &text, &length, NULL) != OOL_OK)
        text = NULL;
    ool_problems_print(problems, text != NULL ? text : "", length, json, out);
    ool_free(text);
}

static enum ool_status load_file(struct ool_suite *suite, const char *path, bool json,
                                 struct ool_text *problems, struct ool_error *err)
{
    struct ool_problems found = {0};
    struct ool_suite_file file = {0};
    enum ool_status status =
        ool_scenario_load_checked(path, ool_mitigation_check, &file.scenario, &found);

    if (status != OOL_OK) {
        ool_suite_problems(path, &found, json, problems);
        ool_problems_fini(&found);
        return ool_error_set(err, status, "%s is no scenario", path);
    }
    ool_problems_fini(&found);
    status = ool_scenario_cases(file.scenario, &file.cases, &file.n_cases, err);
    if (status == OOL_OK &&
        !ool_grow(&suite->files, &suite->files_capacity, suite->n_files, sizeof file))
        status = no_memory(err);
    if (status != OOL_OK) {
        ool_cases_close(file.cases, file.n_cases);
        ool_scenario_close(file.scenario);
        return status;
    }
    suite->files[suite->n_files++] = file;
    return OOL_OK;
}

static enum ool_status gather_cases(struct ool_suite *suite, struct ool_error *err)
{
    size_t n = 0;

    for (size_t i = 0; i < suite->n_files; i++)
        n += suite->files[i].n_cases;
    suite->cases = ool_calloc(n, sizeof *suite->cases);
    if (suite->cases == NULL)
        return no_memory(err);
    for (size_t i = 0; i < suite->n_files; i++) {
        const struct ool_suite_file *file = &suite->files[i];
        size_t first = suite->n_cases;

        for (size_t k = 0; k < file->n_cases; k++)
            suite->cases[suite->n_cases++] =
                (struct ool_suite_case){&file->cases[k], first + file->cases[k].baseline, false};
    }
    return OOL_OK;
}

enum ool_status ool_suite_load(char *const *names, size_t n_names, bool json,
                               struct ool_suite *suite, struct ool_text *problems,
                               struct ool_error *err)
{
    struct ool_suite made = {0};
    struct paths paths = {0};
    enum ool_status status = find_files(names, n_names, &paths, err);

    for (size_t i = 0; i < paths.n && status != OOL_E_HOST_OOM; i++) {
        enum ool_status here;

        if (i > 0 && strcmp(paths.names[i], paths.names[i - 1]) == 0)
            continue;
        here = load_file(&made, paths.names[i], json, problems, err);
        if (status == OOL_OK)
            status = here;
    }
    if (status == OOL_OK)
        status = gather_cases(&made, err);
    paths_fini(&paths);
    if (status != OOL_OK) {
        ool_suite_close(&made);
        return ool_error_set(err, status, "the scenarios cannot be used");
    }
    *suite = made;
    return OOL_OK;
}

void ool_suite_close(struct ool_suite *suite)
{
    for (size_t i = 0; i < suite->n_files; i++) {
        ool_cases_close(suite->files[i].cases, suite->files[i].n_cases);
        ool_scenario_close(suite->files[i].scenario);
    }
    ool_free(suite->files);
    ool_free(suite->cases);
    memset(suite, 0, sizeof *suite);
}

static bool has_tag(const struct ool_scenario *scenario, const struct ool_selection *selection)
{
    for (size_t i = 0; i < selection->n_tags; i++)
        for (size_t k = 0; k < scenario->n_tags; k++)
            if (strcmp(selection->tags[i], scenario->tags[k]) == 0)
                return true;
    return selection->n_tags == 0;
}

static bool has_name(const struct ool_case *c, const struct ool_selection *selection)
{
    for (size_t i = 0; i < selection->n_names; i++)
        if (ool_glob_match(selection->names[i], c->id) ||
            ool_glob_match(selection->names[i], c->scenario->id))
            return true;
    return selection->n_names == 0;
}

/* "checkpointing" is in a stack also as "checkpointing=2" or under another of its names. */
static bool has_mitigation(const struct ool_case *c, const struct ool_selection *selection)
{
    for (size_t i = 0; i < selection->n_mitigations; i++) {
        const struct ool_mitigation *wanted = ool_mitigation_find(selection->mitigations[i]);

        if (c->steps.n_steps == 0 && strcmp(selection->mitigations[i], "baseline") == 0)
            return true;
        for (size_t k = 0; k < c->steps.n_steps; k++)
            if (wanted != NULL && ool_mitigation_find(c->steps.steps[k].name) == wanted)
                return true;
    }
    return selection->n_mitigations == 0;
}

size_t ool_suite_select(struct ool_suite *suite, const struct ool_selection *selection)
{
    size_t n = 0;

    for (size_t i = 0; i < suite->n_cases; i++)
        suite->cases[i].selected = false;
    for (size_t i = 0; i < suite->n_cases; i++) {
        const struct ool_case *c = suite->cases[i].c;

        if (!has_tag(c->scenario, selection) || !has_name(c, selection) ||
            !has_mitigation(c, selection))
            continue;
        suite->cases[i].selected = true;
        suite->cases[suite->cases[i].baseline].selected = true;
    }
    for (size_t i = 0; i < suite->n_cases; i++)
        n += suite->cases[i].selected;
    return n;
}
