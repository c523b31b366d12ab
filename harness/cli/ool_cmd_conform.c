/*
 * ool_cmd_conform.c - oomlab conform: hold this build against recorded truth.
 */
#include "ool_commands.h"

#include "ool_conform.h"
#include "ool_mem.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_LIMIT ((size_t)1 << 30)
#define MAX_DEPTH 32 /* of folders */

struct options {
    bool json, strict;
    size_t worst;
};

static void print_usage(FILE *out)
{
    fputs("Usage: oomlab conform [OPTION...] FILE-OR-FOLDER...\n\n"
          "Runs the configuration of every row of recorded truth and compares.\n"
          "  --json         the rows and their summary as JSON\n"
          "  --worst N      only the N worst rows, with their first difference in full\n"
          "  --only GLOB    only rows whose id matches\n"
          "  --strict       a row that this build cannot express counts as missed\n"
          "Exit codes: 0 all rows hold, 1 a row misses, 2 usage or a file that is no truth,\n"
          "4 no row selected, 77 every row skipped.\n",
          out);
}

static int report(const char *path, const struct ool_error *err)
{
    fprintf(stderr, "oomlab conform: %s\n", err->text[0] != '\0' ? err->text : path);
    return err->status == OOL_E_HOST_OOM ? OOL_EXIT_INFRA : OOL_EXIT_USAGE;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);

    return n >= m && strcmp(name + n - m, suffix) == 0;
}

static bool is_data(const char *name)
{
    static const char *const suffixes[] = {".json", ".jsonl", ".json.gz", ".jsonl.gz"};

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
        if (has_suffix(name, suffixes[i]))
            return true;
    return false;
}

static int check_path(const char *path, bool named, int depth, struct ool_conform *conform);

/* All files of a folder in the order of their names. What is no truth there is passed over. */
static int check_folder(const char *path, int depth, struct ool_conform *conform)
{
    struct dirent **entries = NULL;
    int n, code = OOL_EXIT_OK;

    n = depth < MAX_DEPTH ? scandir(path, &entries, NULL, alphasort) : -1;
    if (n < 0) {
        fprintf(stderr, "oomlab conform: %s: cannot list the folder\n", path);
        return OOL_EXIT_USAGE;
    }
    for (int i = 0; i < n; i++) {
        if (code == OOL_EXIT_OK && entries[i]->d_name[0] != '.') {
            struct ool_text name;

            ool_text_init(&name, TEXT_LIMIT);
            ool_text_printf(&name, "%s/%s", path, entries[i]->d_name);
            code = name.failed ? OOL_EXIT_INFRA
                               : check_path(ool_text_data(&name), false, depth + 1, conform);
            ool_text_fini(&name);
        }
        free(entries[i]);
    }
    free(entries);
    return code;
}

/* @named: by the user, not found in a folder. */
static int check_path(const char *path, bool named, int depth, struct ool_conform *conform)
{
    struct ool_error err = {.status = OOL_OK};
    struct stat about;

    if (stat(path, &about) != 0) {
        fprintf(stderr, "oomlab conform: %s: %s\n", path, strerror(errno));
        return OOL_EXIT_USAGE;
    }
    if (S_ISDIR(about.st_mode))
        return check_folder(path, depth, conform);
    if (!named && !is_data(path))
        return OOL_EXIT_OK;
    if (ool_conform_file(path, conform, &err) == OOL_OK)
        return OOL_EXIT_OK;
    if (!named && err.status == OOL_E_DATA) {
        fprintf(stderr, "oomlab conform: passed over: %s\n", err.text);
        return OOL_EXIT_OK;
    }
    return report(path, &err);
}

static int print_rows(const struct ool_conform *conform, const struct options *options)
{
    struct ool_text text;
    int code = OOL_EXIT_OK;

    if (options->json) {
        json_t *root = ool_conform_json(conform);

        if (root == NULL || json_dumpf(root, stdout, JSON_INDENT(1)) != 0)
            code = OOL_EXIT_INFRA;
        putchar('\n');
        json_decref(root);
        return code;
    }
    ool_text_init(&text, TEXT_LIMIT);
    ool_conform_print(conform, options->worst, &text);
    if (text.failed || fputs(ool_text_data(&text), stdout) == EOF)
        code = OOL_EXIT_INFRA;
    ool_text_fini(&text);
    return code;
}

static int exit_code(const struct ool_conform *conform, bool strict)
{
    bool all_skipped = true;

    if (conform->n_rows == 0) {
        fputs("oomlab conform: no row selected\n", stderr);
        return OOL_EXIT_NOTHING;
    }
    if (ool_conform_failed(conform, strict))
        return OOL_EXIT_FAILED;
    for (size_t i = 0; i < conform->n_rows; i++)
        all_skipped = all_skipped && conform->rows[i].status == OOL_ROW_SKIPPED;
    return all_skipped ? OOL_EXIT_SKIPPED : OOL_EXIT_OK;
}

static bool parse_count(const char *text, size_t *out)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value == 0)
        return false;
    *out = (size_t)value;
    return true;
}

/* 0 = go on, otherwise the command ends with *code. */
static int parse_options(int argc, char **argv, struct options *options,
                         struct ool_conform *conform, int *code)
{
    static const struct option known[] = {
        {"json", no_argument, NULL, 'j'},        {"strict", no_argument, NULL, 's'},
        {"worst", required_argument, NULL, 'w'}, {"only", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
    };
    int option;

    optind = 1;
    *code = OOL_EXIT_USAGE;
    while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        if (option == 'j') {
            options->json = true;
        } else if (option == 's') {
            options->strict = true;
        } else if (option == 'o') {
            conform->only = optarg;
        } else if (option == 'h') {
            print_usage(stdout);
            *code = OOL_EXIT_OK;
            return 1;
        } else if (option != 'w') {
            fputs("\"oomlab conform --help\" lists the options\n", stderr);
            return 1;
        } else if (!parse_count(optarg, &options->worst)) {
            fprintf(stderr, "oomlab conform: --worst %s: expected a number above 0\n", optarg);
            return 1;
        }
    }
    if (options->json && options->worst > 0)
        fputs("oomlab conform: --worst is for the table, --json has every row\n", stderr);
    else if (optind < argc)
        return 0;
    else
        print_usage(stderr);
    return 1;
}

int ool_cmd_conform(int argc, char **argv)
{
    struct options options = {0};
    struct ool_conform conform;
    int code;

    ool_conform_init(&conform);
    if (parse_options(argc, argv, &options, &conform, &code) != 0)
        return code;
    code = OOL_EXIT_OK;
    for (int i = optind; i < argc && code == OOL_EXIT_OK; i++)
        code = check_path(argv[i], true, 0, &conform);
    if (code == OOL_EXIT_OK)
        code = print_rows(&conform, &options);
    if (code == OOL_EXIT_OK)
        code = exit_code(&conform, options.strict);
    ool_conform_fini(&conform);
    return code;
}
