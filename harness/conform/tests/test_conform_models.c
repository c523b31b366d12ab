/* Recorded models: every family and switch event by event, an out of memory, verdicts over capacities and batches. */
#include "ool_conform.h"
#include "ool_test.h"

#define DATA "harness/conform/tests/data/models.json.gz"
#define N_ROWS 49

static void rows_are_exact(void **state)
{
    struct ool_conform conform;
    struct ool_error err = {0};

    (void)state;
    ool_conform_init(&conform);
    if (ool_conform_file(DATA, &conform, &err) != OOL_OK)
        fail_msg("%s", err.text);
    assert_int_equal(conform.n_rows, N_ROWS);
    for (size_t i = 0; i < conform.n_rows; i++)
        if (conform.rows[i].status != OOL_ROW_EXACT)
            fail_msg("%s: %s", conform.rows[i].id, conform.rows[i].detail);
    ool_conform_fini(&conform);
}

/* One row of its own making, spoilt in one place. */
static enum ool_row_status spoilt(const char *events, int64_t peak)
{
    json_error_t error;
    json_t *root = json_loads(
        "{\"torch\": \"2.11.0\", \"phase_fields\": [\"phase\", \"n_alloc\"], \"gpus\": {\"a100\": "
        "{\"compute_capability\": 80, \"multiprocessors\": 108, \"threads_per_multiprocessor\": "
        "2048}}, \"rows\": [{\"id\": \"x\", \"cfg\": {\"model\": {\"family\": \"mlp\", \"inp\": "
        "4, \"hidden\": 4, \"layers\": 1, \"classes\": 4, \"impl\": \"ref\"}, \"batch\": 2, "
        "\"dtype\": \"fp32\", \"mode\": \"train\", \"steps\": 0, \"opt\": {\"name\": \"sgd\"}, "
        "\"mit\": {}}, \"phases\": [[\"load\", 4]], \"peak\": {\"alloc\": 2048, \"reserved\": "
        "2097152, \"requested\": 160}}]}",
        0, &error);
    json_t *row = json_array_get(json_object_get(root, "rows"), 0);
    struct ool_conform conform;
    enum ool_row_status status;

    assert_non_null(row);
    json_object_set_new(row, "events", json_string(events));
    json_object_set_new(json_object_get(row, "peak"), "alloc", json_integer(peak));
    ool_conform_init(&conform);
    assert_int_equal(ool_conform_models("x", root, &conform, NULL), OOL_OK);
    assert_int_equal(conform.n_rows, 1);
    status = conform.rows[0].status;
    ool_conform_fini(&conform);
    json_decref(root);
    return status;
}

static void differences_count(void **state)
{
    const char *events = "S+2097152 +64 +16 +64 +16 |load";

    (void)state;
    assert_int_equal(spoilt(events, 2048), OOL_ROW_EXACT);
    assert_int_equal(spoilt("S+2097152 +64 +16 +16 +64 |load", 2048), OOL_ROW_WITHIN);
    assert_int_equal(spoilt(events, 2049), OOL_ROW_WITHIN);
    assert_int_equal(spoilt(events, 4096), OOL_ROW_MISSED);
}

static void what_has_no_word_is_skipped(void **state)
{
    json_t *root =
        json_pack("{s:s, s:[s], s:{s:{s:i}}, s:[{s:s, s:{s:{s:s}, s:{s:b}}}]}", "torch", "2.11.0",
                  "phase_fields", "phase", "gpus", "a100", "compute_capability", 80, "rows", "id",
                  "x", "cfg", "model", "family", "gpt", "mit", "unheard_of", 1);
    struct ool_conform conform;

    (void)state;
    assert_non_null(root);
    ool_conform_init(&conform);
    assert_int_equal(ool_conform_models("x", root, &conform, NULL), OOL_OK);
    assert_int_equal(conform.n_rows, 1);
    assert_int_equal(conform.rows[0].status, OOL_ROW_SKIPPED);
    assert_non_null(strstr(conform.rows[0].detail, "unheard_of"));
    ool_conform_fini(&conform);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_exact),
        cmocka_unit_test(differences_count),
        cmocka_unit_test(what_has_no_word_is_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
