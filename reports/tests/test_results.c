#include "ool_sample.h"
#include "ool_test.h"

#include <jansson.h>
#include <stdlib.h>

static void test_what_is_written_reads_back(void **state)
{
    struct ool_results results, again;
    struct ool_text first, second;
    struct ool_error err = {0};

    (void)state;
    assert_true(sample_results(&results));
    results.interrupted = true;
    ool_text_init(&first, OOL_RESULTS_LIMIT);
    ool_text_init(&second, OOL_RESULTS_LIMIT);
    assert_int_equal(ool_results_write(&results, &first, &err), OOL_OK);
    assert_int_equal(ool_results_read("r.json", first.data, first.length, &again, &err), OOL_OK);
    assert_int_equal(again.n_records, results.n_records);
    assert_int_equal(ool_results_write(&again, &second, &err), OOL_OK);
    assert_string_equal(first.data, second.data);
    assert_true(again.interrupted);
    assert_int_equal(again.records[0].result.segments.blocks[1].bytes, 2096640);
    ool_text_fini(&first);
    ool_text_fini(&second);
    ool_results_fini(&results);
    ool_results_fini(&again);
}

static void test_bytes_that_are_no_text(void **state)
{
    struct ool_results results;
    struct ool_text text;
    json_t *root;

    (void)state;
    assert_true(sample_results(&results));
    memcpy(results.records[0].result.origin, "\xff\x01\"", 4);
    ool_text_init(&text, OOL_RESULTS_LIMIT);
    assert_int_equal(ool_results_write(&results, &text, NULL), OOL_OK);
    root = json_loads(text.data, 0, NULL);
    assert_non_null(root);
    json_decref(root);
    ool_text_fini(&text);
    ool_results_fini(&results);
}

struct wrong {
    const char *name, *from, *to;
    enum ool_status status;
    const char *path;
};

/* The sample's text with one thing changed. */
static void check_wrong(void **state)
{
    const struct wrong *row = *state;
    struct ool_results results, again = {0};
    struct ool_error err = {0};
    struct ool_text text, changed;
    const char *at;

    assert_true(sample_results(&results));
    ool_text_init(&text, OOL_RESULTS_LIMIT);
    ool_text_init(&changed, OOL_RESULTS_LIMIT);
    assert_int_equal(ool_results_write(&results, &text, NULL), OOL_OK);
    at = strstr(text.data, row->from);
    assert_non_null(at);
    ool_text_add(&changed, text.data, (size_t)(at - text.data));
    ool_text_puts(&changed, row->to);
    ool_text_puts(&changed, at + strlen(row->from));
    assert_int_equal(ool_results_read("r.json", changed.data, changed.length, &again, &err),
                     row->status);
    assert_int_equal(err.status, row->status);
    assert_string_equal(err.source, "r.json");
    if (row->path != NULL)
        assert_string_equal(err.path, row->path);
    assert_null(again.records);
    ool_text_fini(&text);
    ool_text_fini(&changed);
    ool_results_fini(&results);
}

static struct wrong wrongs[] = {
    {"not JSON", "\"cases\":[", "\"cases\":", OOL_E_JSON, NULL},
    {"another format", "{\"format\":1", "{\"format\":2", OOL_E_FORMAT, NULL},
    {"no environment", "\"environment\"", "\"environs\"", OOL_E_DATA, NULL},
    {"twice the same key", "\"hash\":\"00ff\"", "\"hash\":\"00ff\",\"hash\":\"\"", OOL_E_JSON,
     NULL},
    {"no scenario", "\"scenario\":\"big/llama\"", "\"scenario\":7", OOL_E_DATA,
     "/cases/0/scenario"},
    {"an unknown status", "\"status\":\"ran\"", "\"status\":\"walked\"", OOL_E_DATA,
     "/cases/0/status"},
    {"an unknown outcome", "\"outcome\":\"oom\"", "\"outcome\":\"ok\"", OOL_E_DATA,
     "/cases/0/outcome"},
    {"an unknown effect", "\"effect\":\"\"", "\"effect\":\"x\"", OOL_E_DATA, "/cases/0/effect"},
    {"an unknown verdict", "\"verdict\":\"pass\"", "\"verdict\":\"x\"", OOL_E_DATA,
     "/cases/0/verdict"},
    {"negative bytes", "\"host_peak\":0", "\"host_peak\":-1", OOL_E_DATA, "/cases/0/host_peak"},
    {"an unknown source", "\"simulated\"", "\"guessed\"", OOL_E_DATA, "/cases/0/origin"},
    {"a point of three", "\"timeline\":[[1,", "\"timeline\":[[", OOL_E_DATA, "/cases/0/timeline"},
    {"an unknown category", "\"category\":\"activation\"", "\"category\":\"x\"", OOL_E_DATA,
     "/cases/0/alive"},
    {"no message", "\"message\":", "\"massage\":", OOL_E_DATA, "/cases/0/message"},
    {"a price that is no number", "\"flops\":0.0", "\"flops\":\"\"", OOL_E_DATA, "/cases/0/flops"},
};

static enum ool_status fault_body(void *state)
{
    struct ool_results results, again;
    struct ool_text text;
    struct ool_error err = {0};
    enum ool_status status = OOL_E_HOST_OOM;

    (void)state;
    ool_text_init(&text, OOL_RESULTS_LIMIT);
    if (sample_results(&results))
        status = ool_results_write(&results, &text, &err);
    if (status == OOL_OK)
        status = ool_results_read("r.json", text.data, text.length, &again, &err);
    if (status == OOL_OK)
        ool_results_fini(&again);
    ool_text_fini(&text);
    ool_results_fini(&results);
    return status;
}

static void test_faults(void **state)
{
    (void)state;
    ool_test_each_fault(fault_body, NULL, 100000);
}

/* jansson tells some of its failures as a fault of the text. */
static enum ool_status json_fault_body(void *state)
{
    enum ool_status status = fault_body(state);

    return status == OOL_E_JSON ? OOL_E_HOST_OOM : status;
}

/* jansson's own memory comes from the same place, so that its failures are met as well. */
static void test_faults_of_json(void **state)
{
    (void)state;
    json_set_alloc_funcs(ool_malloc, ool_free);
    ool_test_each_fault(json_fault_body, NULL, 100000);
    json_set_alloc_funcs(malloc, free);
}

/* For the schema's test: the sample's file on standard output. */
static int print_sample(void)
{
    struct ool_results results;
    struct ool_text text;
    int failed = 1;

    ool_text_init(&text, OOL_RESULTS_LIMIT);
    if (sample_results(&results) && ool_results_write(&results, &text, NULL) == OOL_OK)
        failed = fputs(ool_text_data(&text), stdout) == EOF;
    ool_text_fini(&text);
    ool_results_fini(&results);
    return failed;
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[sizeof wrongs / sizeof *wrongs + 4];
    size_t n = 0;

    if (argc > 1 && strcmp(argv[1], "--print") == 0)
        return print_sample();
    for (; n < sizeof wrongs / sizeof *wrongs; n++)
        tests[n] = (struct CMUnitTest){wrongs[n].name, check_wrong, NULL, NULL, &wrongs[n]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_what_is_written_reads_back);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_bytes_that_are_no_text);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_faults);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_faults_of_json);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
