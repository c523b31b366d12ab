#include "ool_build.h"
#include "ool_run.h"
#include "ool_test.h"

static enum ool_status run(struct build *b, const struct ool_case *c, struct ool_result *result)
{
    struct ool_error err = {0};
    enum ool_status status;

    assert_false(b->failed);
    status = ool_run_program(&b->program, c, NULL, result, &err);
    assert_int_equal(err.status, status);
    return status;
}

static void test_phases_and_their_peaks(void **state)
{
    struct ool_case c = build_case(24 * GIB, "");
    struct ool_result r;
    struct build b;
    uint32_t x;

    (void)state;
    build_init(&b);
    build_tensor(&b, 4 * MIB, OOL_CATEGORY_PARAMETER, "fc/weight");
    build_mark(&b, "load");
    x = build_tensor(&b, 100 * MIB, OOL_CATEGORY_ACTIVATION, "fc");
    build_tensor(&b, 1000, OOL_CATEGORY_ACTIVATION, "fc");
    build_free(&b, x);
    build_mark(&b, "s1.forward");
    build_tensor(&b, 1, OOL_CATEGORY_INPUT, "");
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.outcome, OOL_OUTCOME_FITS);
    assert_int_equal(r.n_phases, 3);
    assert_string_equal(r.phases[0].name, "load");
    assert_int_equal(r.phases[0].peak_allocated, 4 * MIB);
    assert_int_equal(r.phases[0].reserved, 20 * MIB);
    assert_int_equal(r.phases[0].n_allocs, 1);
    assert_string_equal(r.phases[1].name, "s1.forward");
    assert_int_equal(r.phases[1].allocated, 4 * MIB + 1024);
    assert_int_equal(r.phases[1].requested, 4 * MIB + 1000);
    assert_int_equal(r.phases[1].peak_allocated, 104 * MIB + 1024);
    assert_int_equal(r.phases[1].n_allocs, 2);
    assert_int_equal(r.phases[1].n_frees, 1);
    assert_int_equal(r.phases[1].segments, 3);
    assert_string_equal(r.phases[2].name, "end");
    assert_int_equal(r.phases[2].peak_allocated, 4 * MIB + 1536);
    assert_string_equal(r.phase, "s1.forward");
    assert_string_equal(r.origin, "fc");
    assert_int_equal(r.peak_allocated, 104 * MIB + 1024);
    assert_int_equal(r.peak_reserved, 122 * MIB);
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

static void test_alive_at_the_peak(void **state)
{
    struct ool_case c = build_case(24 * GIB, "");
    struct ool_result r;
    struct build b;
    uint64_t sum = 0;

    (void)state;
    build_init(&b);
    for (int i = 0; i < 15; i++) {
        char origin[32];

        snprintf(origin, sizeof origin, "layers.%d", i);
        build_free(&b, build_tensor(&b, 64 * MIB, OOL_CATEGORY_ACTIVATION, origin));
        build_tensor(&b, MIB * (uint64_t)(i + 1), OOL_CATEGORY_PARAMETER, origin);
    }
    build_tensor(&b, 3 * MIB, OOL_CATEGORY_PARAMETER, "layers.13");
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.n_alive, OOL_TOP_ALIVE);
    assert_string_equal(r.alive[0].origin, "layers.14"); /* the temporary of the last layer */
    assert_int_equal(r.alive[0].bytes, 64 * MIB);
    assert_int_equal(r.alive[0].category, OOL_CATEGORY_ACTIVATION);
    assert_string_equal(r.alive[1].origin, "layers.13");
    assert_int_equal(r.alive[1].bytes, 14 * MIB);
    for (int i = 0; i < OOL_N_CATEGORIES; i++)
        sum += r.by_category[i];
    assert_int_equal(sum, r.peak_allocated);
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

static void make_oom(struct build *b)
{
    uint32_t a, kept;

    build_init(b);
    build_tensor(b, 600 * MIB, OOL_CATEGORY_PARAMETER, "fc/weight");
    build_mark(b, "load");
    a = build_tensor(b, 300 * MIB, OOL_CATEGORY_ACTIVATION, "fc");
    kept = build_tensor(b, 30 * MIB, OOL_CATEGORY_ACTIVATION, "fc/out");
    build_free(b, a);
    build_tensor(b, 310 * MIB, OOL_CATEGORY_ACTIVATION, "head"); /* after the cache is given back */
    build_tensor(b, 200 * MIB, OOL_CATEGORY_ACTIVATION, "head/scores");
    build_free(b, kept);
    build_mark(b, "s1.forward");
    build_mark(b, "s1.backward");
}

static void test_out_of_memory(void **state)
{
    struct ool_case c = build_case(GIB, "");
    struct ool_error err = {0};
    struct ool_result r;
    struct build b;

    (void)state;
    c.card.context_bytes = 20 * MIB;
    make_oom(&b);
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.outcome, OOL_OUTCOME_OOM);
    assert_string_equal(r.phase, "s1.forward");
    assert_string_equal(r.origin, "head/scores");
    assert_int_equal(r.failed_bytes, 200 * MIB);
    assert_int_equal(r.free_bytes, 64 * MIB);
    assert_int_equal(r.capacity, GIB);
    assert_true(r.healthy);
    assert_int_equal(r.stats.num_alloc_retries, 2);
    assert_int_equal(r.segments.n_segments, 3);
    assert_int_equal(r.peak_allocated, 940 * MIB);
    assert_non_null(strstr(r.message, "Tried to allocate 200.00 MiB"));
    assert_int_equal(r.by_category[OOL_CATEGORY_ACTIVATION], 340 * MIB);
    assert_int_equal(ool_run_needs(&b.program, &c, &r, &err), OOL_OK);
    assert_int_equal(r.need_allocated, 1140 * MIB);
    assert_int_equal(r.need_reserved, 1240 * MIB);
    assert_int_equal(r.need_device, 1260 * MIB);
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

static void test_context_does_not_fit(void **state)
{
    struct ool_case c = build_case(GIB, "");
    struct ool_result r;
    struct build b;

    (void)state;
    c.card.context_bytes = 600 * MIB;
    c.other_bytes = 500 * MIB;
    make_oom(&b);
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.outcome, OOL_OUTCOME_OOM);
    assert_string_equal(r.origin, "context");
    assert_string_equal(r.phase, "load");
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

static void test_two_processes_share_the_card(void **state)
{
    struct ool_case c = build_case(GIB, "");
    struct ool_storage storage = {.bytes = 300 * MIB, .process = 1};
    struct ool_result r;
    struct build b;
    uint32_t id = 0;

    (void)state;
    c.card.context_bytes = 100 * MIB;
    build_init(&b);
    build_tensor(&b, 300 * MIB, OOL_CATEGORY_PARAMETER, "one");
    storage.origin = build_text(&b, "two");
    assert_true(ool_program_storage(&b.program, &storage, &id));
    build_alloc(&b, id);
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.outcome, OOL_OUTCOME_FITS);
    assert_int_equal(r.peak_device, 800 * MIB);
    assert_int_equal(r.peak_allocated, 600 * MIB);
    ool_result_fini(&r);
    c.card.context_bytes = 220 * MIB;
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.outcome, OOL_OUTCOME_OOM);
    assert_string_equal(r.origin, "two");
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

static void test_host_memory(void **state)
{
    struct ool_case c = build_case(GIB, "");
    struct ool_storage storage = {.bytes = 300 * MIB, .place = OOL_PLACE_PINNED};
    struct ool_result r;
    struct build b;
    uint32_t first = 0, second = 0;

    (void)state;
    build_init(&b);
    storage.origin = build_text(&b, "offloaded");
    assert_true(ool_program_storage(&b.program, &storage, &first));
    assert_true(ool_program_storage(&b.program, &storage, &second));
    build_alloc(&b, first);
    build_free(&b, first);
    build_alloc(&b, first);
    build_alloc(&b, second);
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.outcome, OOL_OUTCOME_FITS);
    assert_int_equal(r.host_peak, 600 * MIB);
    assert_int_equal(r.peak_allocated, 0);
    ool_result_fini(&r);
    c.card.host_bytes = 500 * MIB;
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.outcome, OOL_OUTCOME_HOST_OOM);
    assert_string_equal(r.origin, "offloaded");
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

static void test_a_step_that_leaks(void **state)
{
    struct ool_case c = build_case(GIB, "");
    struct ool_result r;
    struct build b;

    (void)state;
    build_init(&b);
    for (int step = 1; step <= 4; step++) {
        char name[32];

        build_free(&b, build_tensor(&b, MIB, OOL_CATEGORY_ACTIVATION, "x"));
        build_tensor(&b, 100, OOL_CATEGORY_LEAK, "losses");
        snprintf(name, sizeof name, "s%d.forward", step);
        build_mark(&b, name);
        snprintf(name, sizeof name, "s%d.backward", step);
        build_mark(&b, name);
    }
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.outcome, OOL_OUTCOME_LEAK);
    assert_int_equal(r.leak, 100);
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

static void test_nested_loops(void **state)
{
    struct ool_case c = build_case(24 * GIB, "");
    struct ool_result r;
    struct build b;
    uint32_t outer, inner;

    (void)state;
    build_init(&b);
    outer = build_storage(&b, MIB, OOL_CATEGORY_LEAK, "outer");
    inner = build_storage(&b, 64 * KIB, OOL_CATEGORY_LEAK, "inner");
    build_loop(&b, 0);
    build_alloc(&b, outer);
    build_loop(&b, 3);
    build_end(&b);
    build_end(&b);
    build_loop(&b, 50);
    build_alloc(&b, outer);
    build_loop(&b, 100);
    build_alloc(&b, inner);
    build_end(&b);
    build_mark(&b, "inner");
    build_end(&b);
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.outcome, OOL_OUTCOME_LEAK);
    assert_int_equal(r.leak, MIB + 100 * 64 * KIB);
    assert_int_equal(r.iterations, 50);
    assert_int_equal(r.n_allocs, 50 + 5000);
    assert_int_equal(r.peak_allocated, 50 * (MIB + 100 * 64 * KIB));
    assert_int_equal(r.n_phases, 1);
    assert_int_equal(r.phases[0].n_allocs, 50 + 5000);
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

struct seen {
    char text[512];
};

static void see_event(void *state, const struct ool_op *op, uint64_t bytes, bool failed)
{
    struct seen *seen = state;
    size_t n = strlen(seen->text);

    snprintf(seen->text + n, sizeof seen->text - n, "%s%c%lu", n > 0 ? " " : "",
             failed                     ? '!'
             : op->kind == OOL_OP_ALLOC ? '+'
                                        : '-',
             (unsigned long)(bytes >> 20));
}

static void see_segment(void *state, uint64_t bytes, bool taken)
{
    struct seen *seen = state;
    size_t n = strlen(seen->text);

    snprintf(seen->text + n, sizeof seen->text - n, "%sS%c%lu", n > 0 ? " " : "", taken ? '+' : '-',
             (unsigned long)(bytes >> 20));
}

static void see_mark(void *state, const char *phase)
{
    struct seen *seen = state;
    size_t n = strlen(seen->text);

    snprintf(seen->text + n, sizeof seen->text - n, " |%s", phase);
}

static void test_observer(void **state)
{
    struct ool_case c = build_case(GIB, "");
    struct seen seen = {""};
    const struct ool_run_observer observer = {see_event, see_segment, see_mark, &seen};
    struct ool_error err = {0};
    struct ool_result r;
    struct build b;

    (void)state;
    make_oom(&b);
    assert_int_equal(ool_run_program(&b.program, &c, &observer, &r, &err), OOL_OK);
    seen.text[110] = '\0'; /* what the check of the books frees is not of interest */
    assert_non_null(
        strstr(seen.text, "S+600 +600 |load S+300 +300 S+30 +30 -300 S-300 S+310 +310"));
    assert_non_null(strstr(seen.text, "+310 !200"));
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

static void test_wrong_programs(void **state)
{
    struct ool_case c = build_case(GIB, "");
    struct ool_result r;
    struct build b;
    uint32_t x;

    (void)state;
    build_init(&b);
    x = build_tensor(&b, MIB, OOL_CATEGORY_OTHER, "x");
    build_free(&b, x);
    build_free(&b, x);
    assert_int_equal(run(&b, &c, &r), OOL_E_PROGRAM);
    ool_program_fini(&b.program);

    build_init(&b);
    build_loop(&b, 2);
    assert_int_equal(run(&b, &c, &r), OOL_E_PROGRAM);
    ool_program_fini(&b.program);

    build_init(&b);
    build_end(&b);
    assert_int_equal(run(&b, &c, &r), OOL_E_PROGRAM);
    ool_program_fini(&b.program);

    build_init(&b);
    build_op(&b, OOL_OP_ALLOC, 0, 7, 1);
    assert_int_equal(run(&b, &c, &r), OOL_E_PROGRAM);
    ool_program_fini(&b.program);

    build_init(&b); /* what stood before the loop can be freed once only */
    x = build_tensor(&b, MIB, OOL_CATEGORY_OTHER, "x");
    build_loop(&b, 2);
    build_free(&b, x);
    build_end(&b);
    assert_int_equal(run(&b, &c, &r), OOL_E_PROGRAM);
    ool_program_fini(&b.program);
}

static void test_wrong_cases(void **state)
{
    struct ool_case c = build_case(GIB, "no_such_option:1");
    struct ool_result r;
    struct build b;

    (void)state;
    build_init(&b);
    build_tensor(&b, MIB, OOL_CATEGORY_OTHER, "x");
    assert_int_equal(run(&b, &c, &r), OOL_E_CONF);
    c = build_case(GIB, "");
    c.allocator.kind = "none";
    assert_int_equal(run(&b, &c, &r), OOL_E_UNSUPPORTED);
    ool_program_fini(&b.program);
}

/* Some hundred operations a step; what grows with n has to be the time alone. */
static void test_a_million_operations(void **state)
{
    struct ool_case c = build_case(8 * GIB, "");
    struct ool_result r;
    struct build b;

    (void)state;
    build_init(&b);
    for (uint32_t i = 0; i < 500000; i++) {
        build_tensor(&b, 512 * (1 + i * 37 % 9000), OOL_CATEGORY_ACTIVATION, "x");
        if (i >= 200)
            build_free(&b, i - 200);
    }
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.n_ops, 500000 + 499800);
    assert_true(r.n_timeline > 200 && r.n_timeline <= OOL_TIMELINE_POINTS);
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

/* Inner loops that are entered again and again over many blocks: looking at the state must not pile up. */
static void test_loops_entered_often(void **state)
{
    struct ool_case c = build_case(80 * GIB, "");
    struct ool_result r;
    struct build b;
    uint32_t kept, odd;

    (void)state;
    build_init(&b);
    for (int i = 0; i < 5000; i++)
        build_tensor(&b, 3 * MIB, OOL_CATEGORY_PARAMETER, "w");
    kept = build_storage(&b, 1000, OOL_CATEGORY_LEAK, "kept");
    odd = build_storage(&b, 700 * KIB, OOL_CATEGORY_LEAK, "odd");
    build_loop(&b, 20000);
    build_op(&b, OOL_OP_STREAM_IDLE, 0, OOL_NONE, 0); /* every iteration runs */
    build_alloc(&b, odd);
    build_loop(&b, 10);
    build_alloc(&b, kept);
    build_end(&b);
    build_end(&b);
    assert_int_equal(run(&b, &c, &r), OOL_OK);
    assert_int_equal(r.n_allocs, 5000 + 20000 * 11);
    assert_int_equal(r.leak, 700 * KIB + 10000);
    ool_result_fini(&r);
    ool_program_fini(&b.program);
}

static enum ool_status fault_body(void *state)
{
    struct ool_case c = build_case(GIB, "");
    struct ool_error err = {0};
    struct ool_result r;
    enum ool_status status = ool_run_program(state, &c, NULL, &r, &err);

    if (status != OOL_OK)
        return status;
    status = ool_run_needs(state, &c, &r, &err);
    ool_result_fini(&r);
    return status;
}

static void test_faults(void **state)
{
    struct build b;

    (void)state;
    make_oom(&b);
    ool_test_each_fault(fault_body, &b.program, 10000);
    ool_program_fini(&b.program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases_and_their_peaks),
        cmocka_unit_test(test_alive_at_the_peak),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_context_does_not_fit),
        cmocka_unit_test(test_two_processes_share_the_card),
        cmocka_unit_test(test_host_memory),
        cmocka_unit_test(test_a_step_that_leaks),
        cmocka_unit_test(test_nested_loops),
        cmocka_unit_test(test_observer),
        cmocka_unit_test(test_wrong_programs),
        cmocka_unit_test(test_wrong_cases),
        cmocka_unit_test(test_a_million_operations),
        cmocka_unit_test(test_loops_entered_often),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
