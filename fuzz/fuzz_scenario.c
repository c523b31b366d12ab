/*
 * Property: any bytes are a scenario, whose cases can be made and whose explicit operations are a valid program,
 * or a list of problems that can be printed.
 */
#include "ool_scenario.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Model workloads are the tape's matter: lowering a large one says nothing about this text. */
static bool is_explicit(const struct ool_case *c)
{
    for (size_t i = 0; i < c->n_jobs; i++)
        if (!c->jobs[i].explicit_operations)
            return false;
    return true;
}

static void lower(const struct ool_case *c)
{
    struct ool_program program;

    ool_program_init(&program);
    if (ool_case_lower(c, &program, NULL, NULL) != OOL_OK ||
        ool_program_validate(&program, NULL) != OOL_OK)
        abort();
    ool_program_fini(&program);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ool_problems problems = {0};
    struct ool_scenario *scenario = NULL;
    struct ool_case *cases = NULL;
    struct ool_text out;
    size_t n = 0;

    if (ool_scenario_parse("fuzz.json", (const char *)data, size, &scenario, &problems) == OOL_OK) {
        if (problems.n != 0 || ool_scenario_cases(scenario, &cases, &n, NULL) != OOL_OK || n == 0)
            abort();
        if (is_explicit(&cases[n - 1]))
            lower(&cases[n - 1]);
        ool_cases_close(cases, n);
        ool_scenario_close(scenario);
    } else if (problems.n == 0) {
        abort();
    }
    ool_text_init(&out, (size_t)1 << 24);
    ool_problems_print(&problems, (const char *)data, size, false, &out);
    ool_text_clear(&out);
    ool_problems_print(&problems, (const char *)data, size, true, &out);
    ool_text_fini(&out);
    ool_problems_fini(&problems);
    return 0;
}
