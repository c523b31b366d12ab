/* Every file of tests/data/scenario: good ones load, bad ones have exactly the problems that bad/expected.txt lists. */
#include "ool_file.h"
#include "ool_scenario.h"
#include "ool_test.h"

#include <dirent.h>
#include <stdlib.h>

#define CORPUS "tests/data/scenario/"

static int is_json(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static void good_files_load(void **state)
{
    struct dirent **entries = NULL;
    int n = scandir(CORPUS "good", &entries, is_json, alphasort);

    (void)state;
    assert_true(n >= 60);
    for (int i = 0; i < n; i++) {
        struct ool_problems problems = {0};
        struct ool_scenario *s = NULL;
        struct ool_case *cases = NULL;
        char path[512];
        size_t n_cases = 0;

        snprintf(path, sizeof path, CORPUS "good/%s", entries[i]->d_name);
        if (ool_scenario_load(path, &s, &problems) != OOL_OK)
            fail_msg("%s: %s", path, problems.errors[0].text);
        assert_int_equal(ool_scenario_cases(s, &cases, &n_cases, NULL), OOL_OK);
        assert_true(n_cases > 0);
        ool_cases_close(cases, n_cases);
        ool_scenario_close(s);
        free(entries[i]);
    }
    free(entries);
}

/* "E101:/titel E102:" of a file's problems, as the list has them. */
static void print_problems(const struct ool_problems *problems, struct ool_text *out)
{
    for (size_t i = 0; i < problems->n; i++)
        ool_text_printf(out, " E%03d:%s", (int)problems->errors[i].status,
                        problems->errors[i].path);
}

static void check_line(char *line)
{
    struct ool_problems problems = {0};
    struct ool_scenario *s = NULL;
    struct ool_text found;
    char path[512];
    char *wanted = strchr(line, ' ');

    assert_non_null(wanted);
    snprintf(path, sizeof path, CORPUS "bad/%.*s.json", (int)(wanted - line), line);
    if (strncmp(wanted, " semantic", 9) == 0)
        wanted += 9;
    ool_text_init(&found, 65536);
    assert_int_not_equal(ool_scenario_load(path, &s, &problems), OOL_OK);
    print_problems(&problems, &found);
    if (strcmp(wanted, ool_text_data(&found)) != 0)
        fail_msg("%s\n wanted%s\n  found%s", path, wanted, ool_text_data(&found));
    ool_text_fini(&found);
    ool_problems_fini(&problems);
}

static void bad_files_have_the_problems_listed(void **state)
{
    struct dirent **entries = NULL;
    char *list = NULL, *next = NULL, *line;
    size_t length = 0;
    int files = scandir(CORPUS "bad", &entries, is_json, alphasort), lines = 0;

    (void)state;
    for (int i = 0; i < files; i++)
        free(entries[i]);
    free(entries);
    assert_int_equal(ool_file_read(CORPUS "bad/expected.txt", 1 << 20, &list, &length, NULL),
                     OOL_OK);
    for (line = strtok_r(list, "\n", &next); line != NULL; line = strtok_r(NULL, "\n", &next)) {
        if (line[0] == '#')
            continue;
        check_line(line);
        lines++;
    }
    ool_free(list);
    assert_true(lines >= 120);
    assert_int_equal(lines, files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_load),
        cmocka_unit_test(bad_files_have_the_problems_listed),
    };

    return cmocka_run_group_tests_name("corpus", tests, NULL, NULL);
}
