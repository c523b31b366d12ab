/*
 * bench_plan.c - the time that lowering and planning take, from 10^4 to 10^7 operations.
 *
 *   bench_plan SCENARIO
 *
 * The scenario's first case is made longer by its number of steps, which are all written down and planned
 * one by one. The time of one operation must not grow with their number.
 */
#include "ool_plan.h"
#include "ool_scenario.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static long peak_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Operations of the case with so many steps, and the seconds of its plan; 0 on an error. */
static uint64_t plan_steps(struct ool_case *c, int64_t steps, double *seconds,
                           struct ool_error *err)
{
    struct ool_plan *plan = NULL;
    double start = now();
    uint64_t n_ops;

    c->jobs[0].workload.steps = steps;
    if (ool_plan_case(c, &plan, err) != OOL_OK)
        return 0;
    n_ops = plan->n_ops;
    ool_plan_close(plan);
    *seconds = now() - start;
    return n_ops;
}

static int measure(struct ool_case *c, struct ool_error *err)
{
    double seconds;
    uint64_t one = plan_steps(c, 1, &seconds, err), two = plan_steps(c, 2, &seconds, err);

    if (one == 0 || two <= one)
        return 2;
    for (uint64_t target = 10000; target <= 10000000; target *= 10) {
        int64_t steps = (int64_t)(target / (two - one));
        uint64_t n = plan_steps(c, steps < 1 ? 1 : steps, &seconds, err);

        if (n == 0)
            return 2;
        printf("%9" PRIu64 " operations  %8.4f s  %6.1f ns an operation  peak %7ld KiB\n", n,
               seconds, seconds / (double)n * 1e9, peak_kib());
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct ool_problems problems = {0};
    struct ool_scenario *scenario = NULL;
    struct ool_case *cases = NULL;
    struct ool_error err = {0};
    size_t n_cases = 0;
    int code = 2;

    if (argc == 2 && ool_scenario_load(argv[1], &scenario, &problems) == OOL_OK &&
        ool_scenario_cases(scenario, &cases, &n_cases, &err) == OOL_OK && n_cases > 0)
        code = measure(&cases[0], &err);
    if (code != 0)
        fprintf(stderr, "bench_plan: %s\n", argc == 2 ? err.text : "which scenario?");
    ool_cases_close(cases, n_cases);
    ool_scenario_close(scenario);
    ool_problems_fini(&problems);
    return code;
}
