#include "ool_glob.h"
#include "ool_test.h"
#include "ool_verdict.h"

#include <string.h>

#define ANY           \
    {                 \
        0, UINT64_MAX \
    }

static struct ool_expectation expectation(const char *pattern)
{
    struct ool_expectation e = {.pattern = pattern,
                                .peak_allocated = ANY,
                                .peak_reserved = ANY,
                                .peak_device = ANY,
                                .leak = ANY};

    return e;
}

static struct ool_case a_case(const struct ool_scenario *scenario, const char *point,
                              const char *stack)
{
    struct ool_case c;

    memset(&c, 0, sizeof c);
    c.scenario = scenario;
    c.point = (char *)(uintptr_t)point;
    c.stack = (char *)(uintptr_t)stack;
    return c;
}

static void test_globs(void **state)
{
    (void)state;
    assert_true(ool_glob_match("", ""));
    assert_false(ool_glob_match("", "a"));
    assert_true(ool_glob_match("*", ""));
    assert_true(ool_glob_match("a*b*c", "aXXbYYbZc"));
    assert_false(ool_glob_match("a*b*c", "aXXbYYbZ"));
    assert_true(ool_glob_match("x[batch=4]*", "x[batch=4]+amp"));
    assert_true(ool_glob_match("?", "a"));
    assert_false(ool_glob_match("?", ""));
    assert_false(ool_glob_match("ab", "a"));
}

static struct ool_result a_result(enum ool_outcome outcome, uint64_t need)
{
    struct ool_result r;

    memset(&r, 0, sizeof r);
    r.outcome = outcome;
    r.healthy = true;
    r.has_needs = true;
    r.need_allocated = r.peak_allocated = need;
    r.need_reserved = r.peak_reserved = need + 10;
    return r;
}

static void test_effects(void **state)
{
    struct ool_result oom = a_result(OOL_OUTCOME_OOM, 100), fits = a_result(OOL_OUTCOME_FITS, 50);
    struct ool_result less = a_result(OOL_OUTCOME_OOM, 90), same = a_result(OOL_OUTCOME_OOM, 100);
    struct ool_result leak = a_result(OOL_OUTCOME_LEAK, 50);
    struct ool_result skipped = {.status = OOL_CASE_SKIPPED};

    (void)state;
    assert_int_equal(ool_effect_of(&fits, &oom), OOL_EFFECT_RESOLVES);
    assert_int_equal(ool_effect_of(&fits, &leak), OOL_EFFECT_RESOLVES);
    assert_int_equal(ool_effect_of(&oom, &fits), OOL_EFFECT_WORSE);
    assert_int_equal(ool_effect_of(&less, &oom), OOL_EFFECT_SAVES);
    assert_int_equal(ool_effect_of(&oom, &less), OOL_EFFECT_WORSE);
    assert_int_equal(ool_effect_of(&same, &oom), OOL_EFFECT_INERT);
    same.need_reserved -= 2;
    assert_int_equal(ool_effect_of(&same, &oom), OOL_EFFECT_SAVES);
    assert_int_equal(ool_effect_of(&oom, NULL), OOL_EFFECT_NONE);
    assert_int_equal(ool_effect_of(&oom, &skipped), OOL_EFFECT_NONE);
    assert_int_equal(ool_effect_of(&skipped, &oom), OOL_EFFECT_NONE);
}

struct trial {
    struct ool_scenario scenario;
    struct ool_expectation e;
    struct ool_case c;
};

static size_t failures(struct trial *t, const struct ool_result *result,
                       const struct ool_result *baseline)
{
    struct ool_verdict verdict;
    struct ool_error err = {0};
    size_t n;

    t->scenario.expectations = &t->e;
    t->scenario.n_expectations = 1;
    t->c = a_case(&t->scenario, "", "amp");
    assert_int_equal(ool_verdict_reach(&t->c, result, baseline, &verdict, &err), OOL_OK);
    n = verdict.n_failures;
    assert_int_equal(verdict.pass, n == 0);
    ool_verdict_fini(&verdict);
    return n;
}

static void test_expectations(void **state)
{
    static char phase[] = "chat/s1.m0.forward";
    struct ool_result oom = a_result(OOL_OUTCOME_OOM, 100), fits = a_result(OOL_OUTCOME_FITS, 50);
    struct trial t = {.e = expectation("amp")};

    (void)state;
    oom.phase = phase;
    t.e.has_outcome = true;
    t.e.outcome = OOL_OUTCOME_OOM;
    assert_int_equal(failures(&t, &oom, NULL), 0);
    assert_int_equal(failures(&t, &fits, NULL), 1);
    t.e.phase = "forward";
    assert_int_equal(failures(&t, &oom, NULL), 0);
    t.e.phase = "chat/s1.m0.forward";
    assert_int_equal(failures(&t, &oom, NULL), 0);
    t.e.phase = "back";
    assert_int_equal(failures(&t, &oom, NULL), 1);
    t.e = expectation(NULL);
    t.e.peak_allocated = (struct ool_bounds){0, 49};
    assert_int_equal(failures(&t, &fits, NULL), 1);
    t.e.peak_allocated = (struct ool_bounds){50, 50};
    assert_int_equal(failures(&t, &fits, NULL), 0);
    t.e.peak_reserved = (struct ool_bounds){61, UINT64_MAX};
    assert_int_equal(failures(&t, &fits, NULL), 1);
    t.e = expectation(NULL);
    t.e.leak = (struct ool_bounds){1, UINT64_MAX};
    assert_int_equal(failures(&t, &fits, NULL), 1);
    fits.leak = 4;
    assert_int_equal(failures(&t, &fits, NULL), 0);
    t.e = expectation(NULL);
    t.e.effect = "resolves";
    assert_int_equal(failures(&t, &fits, &oom), 0);
    assert_int_equal(failures(&t, &fits, NULL), 1);
    t.e.effect = "saves";
    assert_int_equal(failures(&t, &fits, &oom), 0);
    t.e.effect = "inert";
    assert_int_equal(failures(&t, &fits, &oom), 1);
    assert_int_equal(failures(&t, &oom, &oom), 0);
    oom.healthy = false;
    assert_int_equal(failures(&t, &oom, &oom), 1);
}

static void test_an_error_passes_only_where_expected(void **state)
{
    struct ool_result error = {.outcome = OOL_OUTCOME_ERROR};
    struct trial t = {.e = expectation("another")};

    (void)state;
    assert_int_equal(failures(&t, &error, NULL), 1);
    t.e = expectation("amp");
    t.e.has_outcome = true;
    t.e.outcome = OOL_OUTCOME_ERROR;
    assert_int_equal(failures(&t, &error, NULL), 0);
}

static enum ool_status fault_body(void *state)
{
    struct ool_result fits = a_result(OOL_OUTCOME_FITS, 50);
    struct trial *t = state;
    struct ool_verdict verdict;
    struct ool_error err = {0};
    enum ool_status status = ool_verdict_reach(&t->c, &fits, NULL, &verdict, &err);

    if (status == OOL_OK)
        ool_verdict_fini(&verdict);
    return status;
}

static void test_faults(void **state)
{
    struct trial t = {.e = expectation(NULL)};

    (void)state;
    t.e.has_outcome = true;
    t.e.outcome = OOL_OUTCOME_OOM;
    t.e.peak_allocated = (struct ool_bounds){0, 1};
    t.scenario.expectations = &t.e;
    t.scenario.n_expectations = 1;
    t.c = a_case(&t.scenario, "batch=4", "amp");
    ool_test_each_fault(fault_body, &t, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_effects),
        cmocka_unit_test(test_expectations),
        cmocka_unit_test(test_an_error_passes_only_where_expected),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
