/* A loop that is counted on has to end as one whose every iteration runs. */
#include "ool_build.h"
#include "ool_run.h"
#include "ool_test.h"

#include <stdlib.h>

struct row {
    const char *name;
    uint64_t leak, times, total; /* bytes an iteration, iterations, of the card */
    const char *conf;
    double fraction;
    bool counted; /* expected to be extrapolated */
};

/* 100 MiB of weights, then a loop of a temporary, what leaks and another temporary. With @watched the
 * body does what forbids counting on, and nothing else changes. */
static void make_loop(struct build *b, const struct row *row, bool watched)
{
    uint32_t temporary, leaked, other;

    build_init(b);
    build_tensor(b, 100 * MIB, OOL_CATEGORY_PARAMETER, "weights");
    build_mark(b, "load");
    temporary = build_storage(b, 30 * MIB, OOL_CATEGORY_ACTIVATION, "temporary");
    leaked = build_storage(b, row->leak, OOL_CATEGORY_LEAK, "leaked");
    other = build_storage(b, row->leak * 2 + 512, OOL_CATEGORY_ACTIVATION, "other");
    build_loop(b, row->times);
    build_alloc(b, temporary);
    build_alloc(b, leaked);
    build_alloc(b, other);
    build_free(b, temporary);
    build_free(b, other);
    if (watched)
        build_op(b, OOL_OP_STREAM_IDLE, 0, OOL_NONE, 0);
    build_end(b);
    build_mark(b, "loop");
    assert_false(b->failed);
}

static void replay(const struct row *row, bool watched, struct ool_result *result)
{
    struct ool_case c = build_case(row->total, row->conf);
    struct ool_error err = {0};
    struct build b;

    make_loop(&b, row, watched);
    c.allocator.fraction = row->fraction;
    c.card.context_bytes = 450 * MIB;
    assert_int_equal(ool_run_program(&b.program, &c, NULL, result, &err), OOL_OK);
    assert_int_equal(err.status, OOL_OK);
    ool_program_fini(&b.program);
}

static void check_stat(const struct ool_stat *a, const struct ool_stat *b)
{
    assert_int_equal(a->current, b->current);
    assert_int_equal(a->allocated, b->allocated);
    assert_int_equal(a->freed, b->freed);
    assert_int_equal(a->peak, b->peak);
}

static void check_same(const struct ool_result *a, const struct ool_result *b, uint64_t extra_ops)
{
    assert_int_equal(a->outcome, b->outcome);
    assert_string_equal(a->phase, b->phase);
    assert_string_equal(a->origin, b->origin);
    assert_int_equal(a->iterations, b->iterations);
    assert_int_equal(a->leak, b->leak);
    assert_int_equal(a->peak_allocated, b->peak_allocated);
    assert_int_equal(a->peak_reserved, b->peak_reserved);
    assert_int_equal(a->peak_requested, b->peak_requested);
    assert_int_equal(a->peak_device, b->peak_device);
    assert_int_equal(a->free_bytes, b->free_bytes);
    assert_int_equal(a->n_allocs, b->n_allocs);
    assert_int_equal(a->n_frees, b->n_frees);
    assert_int_equal(a->n_ops + extra_ops, b->n_ops);
    assert_int_equal(a->healthy, b->healthy);
    assert_int_equal(a->n_alive, b->n_alive);
    for (size_t i = 0; i < a->n_alive; i++) {
        assert_string_equal(a->alive[i].origin, b->alive[i].origin);
        assert_int_equal(a->alive[i].bytes, b->alive[i].bytes);
    }
    if (a->message != NULL)
        assert_string_equal(a->message, b->message);
    for (int pool = 0; pool < OOL_N_POOLS; pool++) {
        check_stat(&a->stats.allocated_bytes[pool], &b->stats.allocated_bytes[pool]);
        check_stat(&a->stats.reserved_bytes[pool], &b->stats.reserved_bytes[pool]);
        check_stat(&a->stats.requested_bytes[pool], &b->stats.requested_bytes[pool]);
        check_stat(&a->stats.segment[pool], &b->stats.segment[pool]);
        check_stat(&a->stats.inactive_split_bytes[pool], &b->stats.inactive_split_bytes[pool]);
    }
    assert_int_equal(a->stats.num_alloc_retries, b->stats.num_alloc_retries);
    assert_int_equal(a->stats.num_device_alloc, b->stats.num_device_alloc);
    assert_int_equal(a->n_phases, b->n_phases);
    for (size_t i = 0; i < a->n_phases; i++) {
        assert_int_equal(a->phases[i].peak_allocated, b->phases[i].peak_allocated);
        assert_int_equal(a->phases[i].n_allocs, b->phases[i].n_allocs);
    }
}

static void check_row(void **state)
{
    const struct row *row = *state;
    struct ool_result counted, run;

    replay(row, false, &counted);
    replay(row, true, &run);
    assert_false(run.extrapolated);
    assert_int_equal(counted.extrapolated, row->counted);
    check_same(&counted, &run,
               run.outcome == OOL_OUTCOME_OOM ? run.iterations - 1 : run.iterations);
    ool_result_fini(&counted);
    ool_result_fini(&run);
}

static struct row rows[] = {
    {"a million times fits a petabyte", MIB, 1000000, UINT64_C(1) << 50, "", 1, true},
    {"one MiB until full", MIB, 1000000, 8 * GIB, "", 1, true},
    {"twelve MiB and a bit leave gaps", 12 * MIB + 300 * KIB, 1000000, 80 * GIB, "", 1, true},
    {"700 KiB in segments of 2 MiB", 700 * KIB, 1000000, 24 * GIB, "", 1, true},
    {"expandable segments", 3 * MIB, 1000000, 24 * GIB, "expandable_segments:True", 1, true},
    {"expandable segments at odd places", 3 * MIB + 512, 10000, 24 * GIB,
     "expandable_segments:True", 1, false},
    {"expandable segments with small blocks", 300 * KIB, 100000, 8 * GIB,
     "expandable_segments:True", 1, true},
    {"a memory fraction ends it", 5 * MIB, 1000000, 80 * GIB, "", 0.3, true},
    {"no growth", 0, 1000000, 8 * GIB, "", 1, true},
    {"three iterations", MIB, 3, 8 * GIB, "", 1, false},
    {"garbage collection runs all", 9 * MIB, 2000, 80 * GIB, "garbage_collection_threshold:0.8",
     0.5, false},
    {"splitting is limited", 25 * MIB, 3000, 80 * GIB, "max_split_size_mb:40", 1, true},
    {"rounded to powers", 3 * MIB + 1000, 30000, 40 * GIB, "roundup_power2_divisions:4", 1, true},
};

static enum ool_status fault_body(void *state)
{
    static const struct row row = {"", MIB, 100, 8 * GIB, "", 1, true};
    struct ool_case c = build_case(row.total, row.conf);
    struct ool_error err = {0};
    struct ool_result result;
    enum ool_status status;

    (void)c;
    status = ool_run_program(state, &c, NULL, &result, &err);
    if (status == OOL_OK) {
        assert_true(result.extrapolated);
        ool_result_fini(&result);
    } else {
        assert_int_equal(err.status, status);
    }
    return status;
}

static void test_faults(void **state)
{
    static const struct row row = {"", MIB, 100, 8 * GIB, "", 1, true};
    struct build b;

    (void)state;
    make_loop(&b, &row, false);
    ool_test_each_fault(fault_body, &b.program, 10000);
    ool_program_fini(&b.program);
}

int main(void)
{
    struct CMUnitTest tests[sizeof rows / sizeof *rows + 1];
    size_t n = 0;

    for (; n < sizeof rows / sizeof *rows; n++)
        tests[n] = (struct CMUnitTest){rows[n].name, check_row, NULL, NULL, &rows[n]};
    tests[n] = (struct CMUnitTest)cmocka_unit_test(test_faults);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
