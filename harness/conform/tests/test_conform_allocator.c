#include "ool_conform.h"
#include "ool_file.h"
#include "ool_test.h"

#define DATA "harness/conform/tests/data/"

/* Every row of a file must come out exact; the first that does not is printed with its reason. */
static void all_exact(const char *path, size_t n_rows)
{
    struct ool_conform conform;
    struct ool_error err = {0};

    ool_conform_init(&conform);
    if (ool_conform_file(path, &conform, &err) != OOL_OK)
        fail_msg("%s", err.text);
    assert_int_equal(conform.n_rows, n_rows);
    for (size_t i = 0; i < conform.n_rows; i++) {
        if (conform.rows[i].status != OOL_ROW_EXACT)
            fail_msg("%s: %s", conform.rows[i].id, conform.rows[i].detail);
    }
    ool_conform_fini(&conform);
}

static void traces_are_exact(void **state)
{
    (void)state;
    all_exact(DATA "allocator-traces.jsonl.gz", 98);
}

static void traces_of_other_releases_are_exact(void **state)
{
    (void)state;
    all_exact(DATA "allocator-releases.jsonl.gz", 19);
}

static void settings_are_exact(void **state)
{
    (void)state;
    all_exact(DATA "allocator-settings.json.gz", 328);
}

static void refused_settings_are_exact(void **state)
{
    (void)state;
    all_exact(DATA "allocator-refused.json.gz", 78);
}

/* A small trace; each row changes one recorded value, and the difference must be seen. */
static const char small[] =
    "{\"name\":\"small\",\"torch\":\"2.11.0\",\"conf\":\"\",\"total\":104857600,\"context\":0,"
    "\"ops\":[[\"a\",1,62914560,0,0,0],[\"f\",1],[\"a\",2,73400320,0,1,0],[\"c\",0],"
    "[\"a\",3,104857600,0,-1,0]],\"messages\":[\"CUDA out of memory. Tried to allocate 100.00 MiB. "
    "GPU "
    "0 has a total capacity of 100.00 MiB of which 30.00 MiB is free. Of the allocated memory "
    "70.00 "
    "MiB is allocated by PyTorch, and 0 bytes is reserved by PyTorch but unallocated. If reserved "
    "but "
    "unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to "
    "avoid "
    "fragmentation.  See documentation for Memory Management  "
    "(https://docs.pytorch.org/docs/stable/notes/"
    "cuda.html#optimizing-memory-usage-with-pytorch-cuda-"
    "alloc-conf)\"],\"device\":[[0,\"M\",62914560,0],[2,\"m\",73400320],[2,\"F\",0],"
    "[2,\"M\",73400320,1],[4,\"m\",104857600],[4,\"m\",104857600]],\"stats\":[{\"allocation\":"
    "[[1,1,2,1],[0,0,0,0],[1,1,2,1]],\"num_alloc_retries\":1,\"free\":31457280}],\"segments\":"
    "[{\"seg\":1,\"off\":0,\"size\":73400320,\"pool\":\"large\",\"stream\":0,\"expandable\":0,"
    "\"blocks\":[[73400320,\"A\",73400320]]}]}";

struct change {
    const char *name, *from, *to, *told;
};

static struct change changes[] = {
    {"nothing", "", "", NULL},
    {"a placement", "73400320,0,1,0]", "73400320,0,0,0]", "placement"},
    {"an offset", "62914560,0,0,0]", "62914560,0,0,512]", "placement"},
    {"a failure", "104857600,0,-1,0]", "104857600,0,2,0]", "here -1"},
    {"a message", "30.00 MiB is free", "30.01 MiB is free", "message"},
    {"a device call", "[2,\"F\",0],", "", "here [\"F\",0]"},
    {"a call too many", "[4,\"m\",104857600]]", "[4,\"m\",104857600],[4,\"F\",1]]", "here none"},
    {"a retry", "retries\":1", "retries\":2", "num_alloc_retries"},
    {"a peak", "[[1,1,2,1],", "[[1,2,2,1],", "allocation.all.peak"},
    {"free bytes", "\"free\":31457280", "\"free\":31457279", "free: recorded"},
    {"a stale size", "\"A\",73400320]", "\"A\",73400321]", "block: recorded"},
    {"a state", "\"A\",73400320]", "\"P\",73400320]", "block: recorded"},
    {"a pool", "\"large\"", "\"small\"", "small pool"},
    {"a release", "\"2.11.0\"", "\"2.8.0\"", "message"},
};

static json_t *changed(const char *from, const char *to)
{
    static char text[sizeof small + 100];
    const char *at = strstr(small, from);
    json_t *root;

    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - small), small, to, at + strlen(from));
    root = json_loads(text, 0, NULL);
    assert_non_null(root);
    return root;
}

static void check_change(void **state)
{
    const struct change *change = *state;
    json_t *root = changed(change->from, change->to);
    struct ool_conform conform;

    ool_conform_init(&conform);
    assert_int_equal(ool_conform_allocator("small", root, &conform, NULL), OOL_OK);
    assert_int_equal(conform.n_rows, 1);
    if (change->told == NULL) {
        assert_int_equal(conform.rows[0].status, OOL_ROW_EXACT);
        assert_null(conform.rows[0].detail);
    } else {
        assert_int_equal(conform.rows[0].status, OOL_ROW_MISSED);
        if (strstr(conform.rows[0].detail, change->told) == NULL)
            fail_msg("expected \"%s\" in: %s", change->told, conform.rows[0].detail);
    }
    ool_conform_fini(&conform);
    json_decref(root);
}

static void an_unknown_release_is_skipped(void **state)
{
    json_t *root = changed("\"2.11.0\"", "\"2.9.1\"");
    struct ool_conform conform;

    (void)state;
    ool_conform_init(&conform);
    assert_int_equal(ool_conform_allocator("small", root, &conform, NULL), OOL_OK);
    assert_int_equal(conform.rows[0].status, OOL_ROW_SKIPPED);
    assert_non_null(strstr(conform.rows[0].detail, "2.15"));
    ool_conform_fini(&conform);
    json_decref(root);
}

/* Files that follow no format are refused, whatever is wrong with them. */
static void broken_traces_are_refused(void **state)
{
    static const char *const broken[][2] = {
        {"[\"f\",1]", "[\"f\",7]"},
        {"[\"f\",1]", "[\"f\",-1]"},
        {"[\"f\",1]", "[\"f\",99999999]"},
        {"[\"f\",1]", "[\"q\",1]"},
        {"[\"f\",1]", "17"},
        {"[\"f\",1]", "[]"},
        {"[\"c\",0]", "[\"c\",1]"},
        {"104857600,0,-1,0]", "104857600,0,-1,1]"},
        {"\"a\",2,", "\"r\",2,"},
        {"\"name\"", "\"nome\""},
        {"\"total\":104857600,\"context\":0", "\"total\":1,\"context\":2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        json_t *root = changed(broken[i][0], broken[i][1]);
        struct ool_error err = {0};
        struct ool_conform conform;

        ool_conform_init(&conform);
        assert_int_not_equal(ool_conform_allocator("small", root, &conform, &err), OOL_OK);
        assert_true(err.text[0] != '\0');
        ool_conform_fini(&conform);
        json_decref(root);
    }
}

static enum ool_status replay_small(void *root)
{
    struct ool_conform conform;
    enum ool_status status;

    ool_conform_init(&conform);
    status = ool_conform_allocator("small", root, &conform, NULL);
    ool_conform_fini(&conform);
    return status;
}

static void survives_every_fault(void **state)
{
    json_t *root = changed("", "");

    (void)state;
    ool_test_each_fault(replay_small, root, 1000);
    json_decref(root);
}

int main(void)
{
    struct CMUnitTest tests[sizeof changes / sizeof *changes + 7];
    size_t n = 0;

    for (; n < sizeof changes / sizeof *changes; n++)
        tests[n] = (struct CMUnitTest){changes[n].name, check_change, NULL, NULL, &changes[n]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(an_unknown_release_is_skipped);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(broken_traces_are_refused);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(survives_every_fault);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(traces_are_exact);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(traces_of_other_releases_are_exact);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(settings_are_exact);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(refused_settings_are_exact);
    return cmocka_run_group_tests_name("conform_allocator", tests, NULL, NULL);
}
