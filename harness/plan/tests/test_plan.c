#include "ool_build.h"
#include "ool_plan.h"
#include "ool_run.h"
#include "ool_test.h"

#include <stdlib.h>

/* A random program: phases, loops (nested now and then), leaks, cache flushes; the same for a seed. */
struct maker {
    struct build b;
    uint32_t live[64];
    size_t n_live;
    uint64_t seed;
};

static uint64_t next(struct maker *m, uint64_t below)
{
    m->seed = m->seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (m->seed >> 33) % below;
}

static uint64_t a_size(struct maker *m)
{
    static const uint64_t scales[] = {1, 700, 100 * KIB, 3 * MIB, 40 * MIB};

    return 1 + next(m, 20) * scales[next(m, 5)];
}

static void add_body(struct maker *m, int depth)
{
    uint32_t own[8];
    size_t n = 1 + next(m, 8);

    for (size_t i = 0; i < n; i++)
        own[i] =
            build_tensor(&m->b, a_size(m), (enum ool_category)next(m, OOL_N_CATEGORIES), "loop");
    if (depth > 0 && next(m, 2) == 0) {
        build_loop(&m->b, next(m, 4));
        add_body(m, depth - 1);
        build_end(&m->b);
    }
    for (size_t i = next(m, 4) == 0 ? 1 : 0; i < n; i++) /* now and then one stays */
        build_free(&m->b, own[i]);
}

static void make(struct maker *m, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    m->seed = seed;
    build_init(&m->b);
    for (int i = 0; i < 200; i++) {
        uint64_t what = next(m, 20);
        char name[32];

        if (what < 9 && m->n_live < 64) {
            m->live[m->n_live++] = build_tensor(&m->b, a_size(m), OOL_CATEGORY_ACTIVATION, "free");
        } else if (what < 17 && m->n_live > 0) {
            size_t at = next(m, m->n_live);

            build_free(&m->b, m->live[at]);
            m->live[at] = m->live[--m->n_live];
        } else if (what == 17) {
            snprintf(name, sizeof name, "p%d", i);
            build_mark(&m->b, name);
        } else if (what == 18) {
            build_op(&m->b, OOL_OP_EMPTY_CACHE, 0, OOL_NONE, 0);
        } else {
            build_loop(&m->b, next(m, 300));
            add_body(m, 2);
            build_end(&m->b);
        }
    }
    assert_false(m->b.failed);
}

static void check_agreement(struct maker *m, const struct ool_case *c)
{
    struct ool_plan *plan = NULL;
    struct ool_error err = {0};
    struct ool_liveness liveness;
    struct ool_result r;

    assert_int_equal(ool_run_program(&m->b.program, c, NULL, &r, &err), OOL_OK);
    assert_int_equal(ool_run_needs(&m->b.program, c, &r, &err), OOL_OK);
    assert_int_equal(ool_liveness_of(&m->b.program, &liveness, &err), OOL_OK);
    assert_int_equal(ool_plan_program(&m->b.program, c, NULL, &plan, &err), OOL_OK);
    assert_int_equal(plan->outcome, r.outcome);
    assert_int_equal(plan->peak_requested, r.peak_requested);
    assert_int_equal(plan->peak_allocated, r.peak_allocated);
    assert_int_equal(plan->peak_reserved, r.peak_reserved);
    assert_int_equal(plan->peak_device, r.peak_device);
    assert_int_equal(plan->need_allocated, r.need_allocated);
    assert_int_equal(plan->need_reserved, r.need_reserved);
    assert_int_equal(plan->need_requested, liveness.peak_requested);
    if (r.outcome == OOL_OUTCOME_OOM) {
        assert_string_equal(plan->failed_phase, r.phase);
        assert_string_equal(plan->failed_origin, r.origin);
        assert_int_equal(plan->failed_bytes, r.failed_bytes);
    } else {
        assert_int_equal(r.peak_requested, liveness.peak_requested);
        assert_int_equal(r.n_ops, liveness.n_ops);
        assert_int_equal(plan->n_top, r.n_alive);
        for (size_t i = 0; i < plan->n_top; i++)
            assert_int_equal(plan->top[i].bytes, r.alive[i].bytes);
        if (r.iterations > 1)
            assert_int_equal(plan->growth, r.leak);
    }
    ool_plan_close(plan);
    ool_result_fini(&r);
}

static void test_plan_and_run_agree(void **state)
{
    static const uint64_t cards[] = {600 * MIB, 2 * GIB, 80 * GIB};
    static const char *const confs[] = {
        "", "expandable_segments:True", "max_split_size_mb:50",
        "garbage_collection_threshold:0.5,roundup_power2_divisions:4"};

    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        for (size_t i = 0; i < 3; i++) {
            struct ool_case c = build_case(cards[i], confs[(seed + i) % 4]);
            struct maker m;

            if (seed % 7 == 0)
                c.allocator = (struct ool_allocator_choice){"direct", "2.11", "", 1};
            else if (seed % 11 == 0)
                c.allocator =
                    (struct ool_allocator_choice){"async", "2.11", "release_threshold:64MiB", 1};
            else if (seed % 13 == 0)
                c.allocator.conf = "backend:cudaMallocAsync";
            else if (seed % 5 == 0) /* a fraction is the caching allocator's */
                c.allocator.fraction = 0.8;
            c.card.context_bytes = 100 * MIB;
            make(&m, seed);
            check_agreement(&m, &c);
            ool_program_fini(&m.b.program);
        }
    }
}

static void test_liveness_multiplies_loops(void **state)
{
    struct ool_liveness liveness;
    struct build b;
    uint32_t leaked, inner;

    (void)state;
    build_init(&b);
    build_tensor(&b, 1000, OOL_CATEGORY_PARAMETER, "w");
    leaked = build_storage(&b, 10, OOL_CATEGORY_LEAK, "leaked");
    inner = build_storage(&b, 7, OOL_CATEGORY_LEAK, "inner");
    build_loop(&b, 1000000);
    build_alloc(&b, leaked);
    build_loop(&b, 5);
    build_alloc(&b, inner);
    build_end(&b);
    build_end(&b);
    assert_int_equal(ool_liveness_of(&b.program, &liveness, NULL), OOL_OK);
    assert_int_equal(liveness.peak_requested, 1000 + 45 * 1000000);
    assert_int_equal(liveness.growth, 45);
    assert_int_equal(liveness.n_ops, 1 + 1 + UINT64_C(1000000) * (1 + 1 + 1 + 5 * 2));
    ool_program_fini(&b.program);
}

static void test_liveness_of_absurd_sizes(void **state)
{
    struct ool_liveness liveness;
    struct build b;
    uint32_t x;

    (void)state;
    build_init(&b);
    x = build_storage(&b, UINT64_C(1) << 40, OOL_CATEGORY_LEAK, "x");
    build_loop(&b, UINT64_MAX);
    build_alloc(&b, x);
    build_end(&b);
    assert_int_equal(ool_liveness_of(&b.program, &liveness, NULL), OOL_E_OVERFLOW);
    ool_program_fini(&b.program);
    build_init(&b);
    build_tensor(&b, UINT64_MAX, OOL_CATEGORY_LEAK, "x");
    assert_int_equal(ool_liveness_of(&b.program, &liveness, NULL), OOL_E_OVERFLOW);
    ool_program_fini(&b.program);
}

static struct ool_case model_case(struct ool_scenario *scenario, struct ool_job *job,
                                  uint64_t total)
{
    struct ool_case c = build_case(total, "");

    memset(scenario, 0, sizeof *scenario);
    memset(job, 0, sizeof *job);
    ool_workload_init(&job->workload);
    job->name = "";
    job->workload.model.vocab = 2000;
    job->workload.model.layers = 2;
    job->workload.model.hidden = 256;
    job->workload.model.heads = 8;
    job->workload.model.max_seq = 128;
    job->workload.batch = 2;
    job->workload.seq = 128;
    job->workload.steps = 2;
    c.scenario = scenario;
    c.jobs = job;
    c.n_jobs = 1;
    return c;
}

static bool fits(struct ool_case *c, int64_t batch)
{
    struct ool_plan *plan = NULL;
    bool answer;

    c->jobs[0].workload.batch = batch;
    assert_int_equal(ool_plan_case(c, &plan, NULL), OOL_OK);
    answer = plan->outcome == OOL_OUTCOME_FITS;
    assert_true(plan->params > 0 && plan->n_top > 0);
    ool_plan_close(plan);
    return answer;
}

static void test_largest_batch(void **state)
{
    static const uint64_t totals[] = {60, 100, 150, 233, 400, 777};

    (void)state;
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) {
        struct ool_scenario scenario;
        struct ool_job job;
        struct ool_case c = model_case(&scenario, &job, totals[i] * MIB);
        struct ool_largest largest;
        int64_t expected = 0;

        assert_int_equal(ool_plan_largest(&c, OOL_AXIS_BATCH, 64, &largest, NULL), OOL_OK);
        for (int64_t batch = 1; batch <= 64; batch++)
            if (fits(&c, batch))
                expected = batch;
        assert_int_equal(largest.value, expected);
        assert_int_equal(largest.limited, expected == 64);
        assert_true(largest.tried >= 1);
    }
}

static void test_largest_batch_in_micro_batches(void **state)
{
    struct ool_scenario scenario;
    struct ool_job job;
    struct ool_case c = model_case(&scenario, &job, 300 * MIB);
    struct ool_largest largest;

    (void)state;
    job.workload.accumulate = 4;
    assert_int_equal(ool_plan_largest(&c, OOL_AXIS_BATCH, 1000, &largest, NULL), OOL_OK);
    assert_true(largest.value > 0);
    assert_true(fits(&c, largest.value));
    for (int64_t more = 1; more <= 16; more++)
        assert_false(fits(&c, largest.value + more));
}

static void test_largest_needs_a_model_and_a_card(void **state)
{
    struct ool_scenario scenario;
    struct ool_job job;
    struct ool_case c = model_case(&scenario, &job, 0);
    struct ool_largest largest;

    (void)state;
    assert_int_equal(ool_plan_largest(&c, OOL_AXIS_BATCH, 64, &largest, NULL), OOL_E_UNSUPPORTED);
    c = model_case(&scenario, &job, GIB);
    assert_int_equal(ool_plan_largest(&c, OOL_AXIS_BATCH, 0, &largest, NULL), OOL_E_RANGE);
    job.explicit_operations = true;
    assert_int_equal(ool_plan_largest(&c, OOL_AXIS_BATCH, 64, &largest, NULL), OOL_E_UNSUPPORTED);
}

static enum ool_status fault_body(void *state)
{
    const struct ool_case *c = state;
    struct ool_error err = {0};
    struct ool_plan *plan = NULL;
    enum ool_status status = ool_plan_case(c, &plan, &err);

    ool_plan_close(plan);
    return status;
}

static void test_faults(void **state)
{
    struct ool_scenario scenario;
    struct ool_job job;
    struct ool_case c = model_case(&scenario, &job, 40 * MIB);

    (void)state;
    job.workload.model.layers = 1;
    job.workload.steps = 1;
    ool_test_each_fault(fault_body, &c, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_and_run_agree),
        cmocka_unit_test(test_liveness_multiplies_loops),
        cmocka_unit_test(test_liveness_of_absurd_sizes),
        cmocka_unit_test(test_largest_batch),
        cmocka_unit_test(test_largest_batch_in_micro_batches),
        cmocka_unit_test(test_largest_needs_a_model_and_a_card),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
