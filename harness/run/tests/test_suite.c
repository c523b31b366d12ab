#include "ool_suite.h"
#include "ool_test.h"

#include <stdlib.h>

static char folder[] = "harness/run/tests/data/suite";
static char bad[] = "harness/run/tests/data/bad/expects-wrong.json";
static char none[] = "harness/run/tests/data/none.json";
static char wrong[] = "harness/run/tests/data/bad/speaks-of-none.json";
static char unknown[] = "harness/run/tests/data/bad/unknown-mitigation.json";

static enum ool_status load(char *const *paths, size_t n, struct ool_suite *suite)
{
    struct ool_text problems;
    struct ool_error err = {0};
    enum ool_status status;

    ool_text_init(&problems, 1 << 20);
    status = ool_suite_load(paths, n, false, suite, &problems, &err);
    assert_int_equal(err.status, status);
    if (status != OOL_OK && status != OOL_E_HOST_OOM)
        assert_true(problems.length > 0);
    ool_text_fini(&problems);
    return status;
}

static size_t select_by(struct ool_suite *suite, char *tag, char *name, char *mitigation)
{
    struct ool_selection selection = {&tag,         tag != NULL, &name,
                                      name != NULL, &mitigation, mitigation != NULL};

    return ool_suite_select(suite, &selection);
}

static void test_selection(void **state)
{
    static char leak[] = "leak", fits[] = "fits", both[] = "*", cache[] = "empty-cache";
    static char baseline[] = "baseline", one[] = "leak+expand*", nothing[] = "nothing";
    char *paths[] = {folder, folder};
    struct ool_suite suite;

    (void)state;
    assert_int_equal(load(paths, 2, &suite), OOL_OK);
    assert_int_equal(suite.n_files, 2); /* each once, profiles/ not */
    assert_string_equal(suite.files[0].scenario->id, "fits");
    assert_int_equal(suite.n_cases, 4);
    assert_int_equal(select_by(&suite, NULL, NULL, NULL), 4);
    assert_int_equal(select_by(&suite, leak, NULL, NULL), 3);
    assert_int_equal(select_by(&suite, NULL, fits, NULL), 1);
    assert_int_equal(select_by(&suite, NULL, both, NULL), 4);
    assert_int_equal(select_by(&suite, NULL, NULL, cache), 2); /* and its baseline */
    assert_int_equal(select_by(&suite, NULL, one, NULL), 2);
    assert_int_equal(select_by(&suite, NULL, NULL, baseline), 2);
    assert_int_equal(select_by(&suite, leak, fits, NULL), 0);
    assert_int_equal(select_by(&suite, nothing, NULL, NULL), 0);
    ool_suite_close(&suite);
}

static void test_bad_files(void **state)
{
    char *missing[] = {folder, none}, *refused[] = {wrong}, *misspelt[] = {unknown};
    struct ool_suite suite;

    (void)state;
    assert_int_equal(load(missing, 2, &suite), OOL_E_FILE);
    assert_int_equal(load(refused, 1, &suite), OOL_E_REFERENCE);
    assert_int_equal(load(misspelt, 1, &suite), OOL_E_REFERENCE);
}

struct count {
    size_t calls;
};

static void count_calls(void *state, size_t done, size_t all, const struct ool_record *record)
{
    struct count *count = state;

    assert_int_equal(done, ++count->calls); /* in order, one at a time */
    assert_true(done <= all);
    assert_non_null(record->id);
}

static void run_text(unsigned jobs, bool fail_fast, struct ool_results *results,
                     struct ool_text *text)
{
    char *paths[] = {bad, folder};
    struct count count = {0};
    struct ool_suite_options options = {jobs, fail_fast, count_calls, &count};
    struct ool_suite suite;
    bool infrastructure = true;

    assert_int_equal(load(paths, 2, &suite), OOL_OK);
    select_by(&suite, NULL, NULL, NULL);
    ool_results_init(results);
    assert_int_equal(ool_suite_run(&suite, &options, results, &infrastructure, NULL), OOL_OK);
    assert_int_equal(count.calls, results->n_records);
    assert_false(infrastructure);
    ool_text_init(text, OOL_RESULTS_LIMIT);
    assert_int_equal(ool_results_write(results, text, NULL), OOL_OK);
    ool_suite_close(&suite);
}

static void test_order_whatever_the_number_of_threads(void **state)
{
    struct ool_results one, many;
    struct ool_text first, second;
    struct ool_summary sum;

    (void)state;
    run_text(1, false, &one, &first);
    run_text(5, false, &many, &second);
    assert_string_equal(first.data, second.data);
    sum = ool_results_sum(one.records, one.n_records);
    assert_int_equal(sum.cases, 6);
    assert_int_equal(sum.passed, 5);
    assert_int_equal(sum.failed, 1);
    ool_text_fini(&first);
    ool_text_fini(&second);
    ool_results_fini(&one);
    ool_results_fini(&many);
}

static void test_fail_fast(void **state)
{
    struct ool_results one, many;
    struct ool_text first, second;
    struct ool_summary sum;

    (void)state;
    run_text(1, true, &one, &first);
    run_text(5, true, &many, &second);
    assert_string_equal(first.data, second.data);
    sum = ool_results_sum(one.records, one.n_records);
    assert_int_equal(sum.failed, 1);
    assert_int_equal(sum.skipped, 5);
    ool_text_fini(&first);
    ool_text_fini(&second);
    ool_results_fini(&one);
    ool_results_fini(&many);
}

static enum ool_status fault_body(void *state)
{
    char *paths[] = {folder};
    struct ool_suite_options options = {.jobs = 1};
    struct ool_suite suite;
    struct ool_results results;
    struct ool_error err = {0};
    bool infrastructure = false;
    enum ool_status status;

    (void)state;
    status = load(paths, 1, &suite);
    if (status != OOL_OK)
        return status;
    select_by(&suite, NULL, NULL, NULL);
    ool_results_init(&results);
    status = ool_suite_run(&suite, &options, &results, &infrastructure, &err);
    if (status == OOL_OK && infrastructure) /* a case met it: the run goes on */
        status = OOL_E_HOST_OOM;
    ool_results_fini(&results);
    ool_suite_close(&suite);
    return status;
}

static void test_faults(void **state)
{
    (void)state;
    ool_test_each_fault(fault_body, NULL, 100000);
}

static void test_interrupt(void **state) /* the last one: nothing runs after it */
{
    struct ool_results results;
    struct ool_text text;
    struct ool_summary sum;

    (void)state;
    ool_run_interrupt();
    run_text(2, false, &results, &text);
    sum = ool_results_sum(results.records, results.n_records);
    assert_int_equal(sum.interrupted, 6);
    assert_true(results.interrupted);
    ool_text_fini(&text);
    ool_results_fini(&results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selection),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_order_whatever_the_number_of_threads),
        cmocka_unit_test(test_fail_fast),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_interrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
