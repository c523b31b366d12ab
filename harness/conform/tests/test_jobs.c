/* Several jobs of one process, one after the other: recorded streams of allocations and frees. */
#include "ool_file.h"
#include "ool_mem.h"
#include "ool_models_cfg.h"
#include "ool_models_stream.h"
#include "ool_test.h"

#define DATA "harness/conform/tests/data/jobs.json.gz"
#define MAX_JOBS 4

struct row_case {
    struct ool_models_case parts[MAX_JOBS]; /* each with a case of its own */
    struct ool_job jobs[MAX_JOBS];
    struct ool_case c;
};

static void row_open(const json_t *root, const json_t *row, struct row_case *rc)
{
    json_t *jobs = json_object_get(row, "jobs"), *job;
    struct ool_error err = {.status = OOL_OK};
    size_t i;

    memset(rc, 0, sizeof(*rc));
    assert_in_range(json_array_size(jobs), 1, MAX_JOBS);
    json_array_foreach(jobs, i, job)
    {
        if (ool_models_case_open(root, json_object_get(job, "cfg"), 0, 0, &rc->parts[i], &err) !=
            OOL_OK)
            fail_msg("%s", err.text);
        rc->jobs[i] = rc->parts[i].job;
        rc->jobs[i].name = json_string_value(json_object_get(job, "name"));
        rc->jobs[i].workload.unload = json_is_true(json_object_get(job, "unload"));
    }
    rc->c = rc->parts[0].c;
    rc->c.jobs = rc->jobs;
    rc->c.n_jobs = json_array_size(jobs);
}

static void row_close(struct row_case *rc)
{
    for (size_t i = 0; i < rc->c.n_jobs; i++)
        ool_models_case_fini(&rc->parts[i]);
}

static void check_row(const json_t *root, const json_t *row)
{
    struct ool_error err = {.status = OOL_OK};
    struct ool_stream truth, here;
    struct ool_run_observer observer;
    struct ool_program program;
    struct ool_result result;
    struct ool_text detail;
    struct row_case rc;

    row_open(root, row, &rc);
    ool_program_init(&program);
    ool_text_init(&detail, 65536);
    if (ool_case_lower(&rc.c, &program, NULL, &err) != OOL_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ool_program_validate(&program, NULL), OOL_OK);
    assert_int_equal(ool_stream_observe(&here, &program, &observer, &err), OOL_OK);
    assert_int_equal(ool_run_program(&program, &rc.c, &observer, &result, &err), OOL_OK);
    assert_int_equal(
        ool_stream_parse(&truth, json_string_value(json_object_get(row, "events")), &err), OOL_OK);
    /* a script lets go of a model's parts in another order than the loop here */
    if (!ool_stream_compare(&truth, &here, &program, true, &detail))
        fail_msg("%s:\n%s", json_string_value(json_object_get(row, "id")), detail.data);
    ool_text_fini(&detail);
    ool_result_fini(&result);
    ool_stream_fini(&truth);
    ool_stream_fini(&here);
    ool_program_fini(&program);
    row_close(&rc);
}

static json_t *data_load(void)
{
    struct ool_error err = {.status = OOL_OK};
    char *text = NULL;
    size_t length = 0;
    json_t *root;

    if (ool_file_read(DATA, 1 << 24, &text, &length, &err) != OOL_OK)
        fail_msg("%s", err.text);
    root = json_loadb(text, length, 0, NULL);
    ool_free(text);
    assert_non_null(root);
    return root;
}

static void streams_are_exact(void **state)
{
    json_t *root = data_load(), *row;
    size_t i;

    (void)state;
    json_array_foreach(json_object_get(root, "rows"), i, row) check_row(root, row);
    assert_int_equal(i, 4);
    json_decref(root);
}

static enum ool_status lower(void *state)
{
    struct ool_program program;
    enum ool_status status;

    ool_program_init(&program);
    status = ool_case_lower(state, &program, NULL, NULL);
    ool_program_fini(&program);
    return status;
}

static void lowering_survives_each_fault(void **state)
{
    json_t *root = data_load();
    struct row_case rc;

    (void)state;
    row_open(root, json_array_get(json_object_get(root, "rows"), 0), &rc);
    ool_test_each_fault(lower, &rc.c, 100000);
    row_close(&rc);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_exact),
        cmocka_unit_test(lowering_survives_each_fault),
    };

    return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
