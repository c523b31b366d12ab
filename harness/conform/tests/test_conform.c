/*
 * test_conform.c - rows, summary, printers, the recogniser, and the operator rows.
 */
#include "ool_conform.h"
#include "ool_file.h"
#include "ool_test.h"

#include <stdlib.h>
#include <unistd.h>

#define DATA "harness/conform/tests/data/"

/* --- recorded operators ------------------------------------------------------------------------- */

struct file {
    const char *name;
    size_t rows;
};

/* operators.json.gz and the releases' are recordings of PyTorch's operators; operators-drawn.json.gz
 * holds other shapes, types and optimizers, recorded with 2.11 in the same way. */
static struct file files[] = {
    {"operators", 1719},    {"operators-drawn", 543}, {"operators-2.2", 82},
    {"operators-2.4", 180}, {"operators-2.6", 172},   {"operators-2.8", 96},
    {"operators-2.13", 53}, {"operators-2.15", 152},
};

static void check_file(void **state)
{
    const struct file *file = *state;
    struct ool_conform conform;
    struct ool_error err = {.status = OOL_OK};
    char path[128];

    snprintf(path, sizeof(path), DATA "%s.json.gz", file->name);
    ool_conform_init(&conform);
    if (ool_conform_file(path, &conform, &err) != OOL_OK)
        fail_msg("%s", err.text);
    assert_int_equal(conform.n_rows, file->rows);
    for (size_t i = 0; i < conform.n_rows; i++)
        if (conform.rows[i].status != OOL_ROW_EXACT)
            fail_msg("%s: %s", conform.rows[i].id, conform.rows[i].detail);
    ool_conform_fini(&conform);
}

#define HEAD                                                                                      \
    "{\"torch\": \"2.11.0\", \"gpus\": {\"a100\": {\"compute_capability\": 80, "                  \
    "\"multiprocessors\": 108, \"threads_per_multiprocessor\": 2048}}, \"operators\": [{\"id\": " \
    "7, \"name\": \"exp\", \"dtype\": \"f32\", \"inputs\": {\"x\": [[256], \"f32\", true]}, "
#define ROW(gpu, code, forward, out, saved, backward, grads)                     \
    HEAD "\"gpu\": \"" gpu "\", \"code\": \"" code "\", \"forward\": \"" forward \
         "\", \"forward_end\": \"\", \"out\": [" out "], \"saved\": [" saved     \
         "], \"backward\": \"" backward "\", \"grads\": {" grads "}}]}"
#define OUT "[0, \"f32\", [256], [1]]"
#define SAVED "[\"ExpBackward0\", \"result\", \"f32\", [256], 0]"

static const struct {
    const char *text;
    enum ool_row_status status;
    const char *detail; /* a part of it */
} rows[] = {
    {ROW("a100", "out = torch.exp(x)", "+1024", OUT, SAVED, "+1024", "\"x\": 2"), OOL_ROW_EXACT,
     NULL},
    {ROW("a100", "out = torch.exp(x)", "+1024 -0", OUT, SAVED, "+1024", "\"x\": 2"), OOL_ROW_MISSED,
     "forward differs at event 1"},
    {ROW("a100", "out = torch.exp(x)", "+512", OUT, SAVED, "+1024", "\"x\": 2"), OOL_ROW_MISSED,
     "recorded: [+512]"},
    {ROW("a100", "out = torch.exp(x)", "+1024", "[0, \"f16\", [256], [1]]", SAVED, "+1024",
         "\"x\": 2"),
     OOL_ROW_MISSED, "out differs"},
    {ROW("a100", "out = torch.exp(x)", "+1024", "[0, \"f32\", [256], [2]]", SAVED, "+1024",
         "\"x\": 2"),
     OOL_ROW_MISSED, "out differs"},
    {ROW("a100", "out = torch.exp(x)", "+1024", OUT, "", "+1024", "\"x\": 2"), OOL_ROW_MISSED,
     "saved differs"},
    {ROW("a100", "out = torch.exp(x)", "+1024", OUT, SAVED, "+1024 +4", "\"x\": 2"), OOL_ROW_MISSED,
     "backward differs at event 1"},
    {ROW("a100", "out = torch.exp(x)", "+1024", OUT, SAVED, "+1024", "\"x\": 3"), OOL_ROW_MISSED,
     "grads differs"},
    {ROW("a100", "out = torch.fancy(x)", "", "", "", "", ""), OOL_ROW_SKIPPED,
     "torch.fancy is not known"},
    {ROW("a100", "out = torch.exp(", "", "", "", "", ""), OOL_ROW_SKIPPED, "line 1"},
    {ROW("abacus", "out = torch.exp(x)", "", "", "", "", ""), OOL_ROW_SKIPPED, "no card abacus"},
};

static enum ool_status conform_text(const char *text, struct ool_conform *conform,
                                    struct ool_error *err)
{
    char path[] = "/tmp/ool_test_conform_XXXXXX";
    enum ool_status status;
    int handle = mkstemp(path);

    assert_true(handle >= 0);
    assert_int_equal(write(handle, text, strlen(text)), strlen(text));
    close(handle);
    status = ool_conform_file(path, conform, err);
    unlink(path);
    return status;
}

static void check_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ool_conform conform;
        struct ool_error err = {.status = OOL_OK};

        ool_conform_init(&conform);
        if (conform_text(rows[i].text, &conform, &err) != OOL_OK)
            fail_msg("row %zu: %s", i, err.text);
        assert_int_equal(conform.n_rows, 1);
        if (conform.rows[0].status != rows[i].status ||
            (rows[i].detail != NULL && strstr(conform.rows[0].detail, rows[i].detail) == NULL))
            fail_msg("row %zu: %s", i, conform.rows[0].detail);
        ool_conform_fini(&conform);
    }
}

/* --- files ------------------------------------------------------------------------------------------ */

static void check_refused_files(void **state)
{
    static const char *const texts[] = {"",        "{",       "[1, 2", "{}", "[]", "{\"rows\": 3}",
                                        "{} {} x", "nonsense"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ool_conform conform;
        struct ool_error err = {.status = OOL_OK};

        ool_conform_init(&conform);
        assert_int_equal(conform_text(texts[i], &conform, &err), OOL_E_DATA);
        assert_int_equal(conform.n_rows, 0);
        assert_int_not_equal(err.text[0], '\0');
        ool_conform_fini(&conform);
    }
}

static void check_missing_file(void **state)
{
    struct ool_conform conform;
    struct ool_error err = {.status = OOL_OK};

    (void)state;
    ool_conform_init(&conform);
    assert_int_equal(ool_conform_file("/no/such/file", &conform, &err), OOL_E_FILE);
    ool_conform_fini(&conform);
}

static void check_only(void **state)
{
    struct ool_conform conform;
    struct ool_error err = {.status = OOL_OK};

    (void)state;
    ool_conform_init(&conform);
    conform.only = "sweep a100 sum_all bf16 *";
    assert_int_equal(ool_conform_file(DATA "operators.json.gz", &conform, &err), OOL_OK);
    assert_int_equal(conform.n_rows, 7);
    ool_conform_fini(&conform);
}

/* --- summary and printers ------------------------------------------------------------------------------ */

static enum ool_status fill(struct ool_conform *conform)
{
    static const struct {
        const char *id;
        enum ool_row_status status;
        double error;
        const char *detail;
    } results[] = {
        {"a", OOL_ROW_EXACT, 0, NULL},
        {"b", OOL_ROW_WITHIN, 0.01, NULL},
        {"c", OOL_ROW_MISSED, 0.5, "first line\nsecond"},
        {"d", OOL_ROW_SKIPPED, 0, "cannot be expressed"},
        {"e", OOL_ROW_UNSCORED, 9, NULL},
        {"f", OOL_ROW_EXACT, 0, NULL},
    };

    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        enum ool_status status = ool_conform_add(conform, results[i].id, results[i].status,
                                                 results[i].error, results[i].detail, NULL);

        if (status != OOL_OK)
            return status;
    }
    conform->rows[5].has_verdict = conform->rows[5].wrong_verdict = true;
    return OOL_OK;
}

static void check_table(void **state)
{
    struct ool_conform conform;
    struct ool_text text;

    (void)state;
    ool_conform_init(&conform);
    ool_text_init(&text, 1 << 20);
    assert_int_equal(fill(&conform), OOL_OK);
    ool_conform_print(&conform, 0, &text);
    assert_string_equal(ool_text_data(&text),
                        "result        error  row\n"
                        "exact       0.000 %  a\n"
                        "within      1.000 %  b\n"
                        "missed     50.000 %  c   first line\n"
                        "skipped         n/a  d   cannot be expressed\n"
                        "unscored        n/a  e\n"
                        "exact       0.000 %  f  (wrong verdict)\n"
                        "5 rows: 2 exact, 1 within, 1 missed, 1 skipped; median error 0.500 %, "
                        "largest 50.000 %; wrong verdicts 1\n");
    ool_text_clear(&text);
    ool_conform_print(&conform, 2, &text);
    assert_string_equal(ool_text_data(&text),
                        "result        error  row\n"
                        "exact       0.000 %  f  (wrong verdict)\n"
                        "missed     50.000 %  c\n"
                        "    first line\n"
                        "    second\n"
                        "5 rows: 2 exact, 1 within, 1 missed, 1 skipped; median error 0.500 %, "
                        "largest 50.000 %; wrong verdicts 1\n");
    ool_text_fini(&text);
    ool_conform_fini(&conform);
}

static void check_json(void **state)
{
    struct ool_conform conform;
    json_t *root, *summary, *row;

    (void)state;
    ool_conform_init(&conform);
    assert_int_equal(fill(&conform), OOL_OK);
    root = ool_conform_json(&conform);
    assert_non_null(root);
    summary = json_object_get(root, "summary");
    assert_int_equal(json_integer_value(json_object_get(summary, "rows")), 5);
    assert_int_equal(json_integer_value(json_object_get(summary, "exact")), 2);
    assert_int_equal(json_integer_value(json_object_get(summary, "within")), 1);
    assert_int_equal(json_integer_value(json_object_get(summary, "missed")), 1);
    assert_int_equal(json_integer_value(json_object_get(summary, "skipped")), 1);
    assert_int_equal(json_integer_value(json_object_get(summary, "wrong_verdicts")), 1);
    assert_true(json_real_value(json_object_get(summary, "median_error")) == 0.005);
    assert_true(json_real_value(json_object_get(summary, "max_error")) == 0.5);
    assert_int_equal(json_array_size(json_object_get(root, "rows")), 6);
    row = json_array_get(json_object_get(root, "rows"), 2);
    assert_string_equal(json_string_value(json_object_get(row, "status")), "missed");
    json_decref(root);
    ool_conform_fini(&conform);
}

static void check_failed(void **state)
{
    static const struct {
        enum ool_row_status status;
        bool wrong, plain, strict;
    } cases[] = {
        {OOL_ROW_EXACT, false, false, false},   {OOL_ROW_WITHIN, false, false, false},
        {OOL_ROW_MISSED, false, true, true},    {OOL_ROW_SKIPPED, false, false, true},
        {OOL_ROW_UNSCORED, true, false, false}, {OOL_ROW_EXACT, true, true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ool_conform conform;

        ool_conform_init(&conform);
        assert_int_equal(ool_conform_add(&conform, "x", cases[i].status, 0, NULL, NULL), OOL_OK);
        conform.rows[0].has_verdict = conform.rows[0].wrong_verdict = cases[i].wrong;
        assert_int_equal(ool_conform_failed(&conform, false), cases[i].plain);
        assert_int_equal(ool_conform_failed(&conform, true), cases[i].strict);
        ool_conform_fini(&conform);
    }
}

/* --- faults ------------------------------------------------------------------------------------------------ */

static enum ool_status run_all(void *state)
{
    struct ool_conform conform;
    struct ool_error err = {.status = OOL_OK};
    struct ool_text text;
    enum ool_status status;
    json_t *root = NULL;

    ool_conform_init(&conform);
    ool_text_init(&text, 1 << 20);
    status = ool_conform_file(state, &conform, &err);
    if (status == OOL_OK)
        status = fill(&conform);
    if (status == OOL_OK) {
        ool_conform_print(&conform, 3, &text);
        root = ool_conform_json(&conform);
        if (text.failed || root == NULL)
            status = OOL_E_HOST_OOM;
    }
    json_decref(root);
    ool_text_fini(&text);
    ool_conform_fini(&conform);
    return status;
}

static void check_faults(void **state)
{
    char path[] = "/tmp/ool_test_conform_XXXXXX";
    int handle = mkstemp(path);
    const char *text = rows[0].text;

    (void)state;
    assert_true(handle >= 0);
    assert_int_equal(write(handle, text, strlen(text)), strlen(text));
    close(handle);
    ool_test_each_fault(run_all, path, 5000);
    unlink(path);
}

int main(void)
{
    struct CMUnitTest tests[sizeof(files) / sizeof(files[0]) + 8];
    size_t n = 0;

    for (; n < sizeof(files) / sizeof(files[0]); n++)
        tests[n] = (struct CMUnitTest){files[n].name, check_file, NULL, NULL, &files[n]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_rows);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_refused_files);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_missing_file);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_only);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_table);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_json);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_failed);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_faults);
    return _cmocka_run_group_tests("conform", tests, n, NULL, NULL);
}
