#include "ool_test.h"
#include "ool_text.h"

struct row {
    const char *name, *text;
    enum ool_status status;
    uint64_t bytes;
};

static struct row rows[] = {
    {"plain bytes", "1536", OOL_OK, 1536},
    {"binary suffix", "512MiB", OOL_OK, UINT64_C(512) << 20},
    {"blank before unit", "2 GiB", OOL_OK, UINT64_C(2) << 30},
    {"fraction", "1.5GiB", OOL_OK, UINT64_C(3) << 29},
    {"fraction of a quarter", "0.25KiB", OOL_OK, 256},
    {"fraction not whole", "0.1KiB", OOL_E_SIZE, 0},
    {"half a byte", "1.5", OOL_E_SIZE, 0},
    {"point without digits", "1.GiB", OOL_E_SIZE, 0},
    {"decimal suffix", "80GB", OOL_E_SIZE, 0},
    {"unknown unit", "80Gi", OOL_E_SIZE, 0},
    {"negative", "-1", OOL_E_SIZE, 0},
    {"empty", "", OOL_E_SIZE, 0},
    {"largest", "18446744073709551615", OOL_OK, UINT64_MAX},
    {"one more", "18446744073709551616", OOL_E_OVERFLOW, 0},
    {"wraps 64 bits", "17179869184GiB", OOL_E_OVERFLOW, 0},
};

static void check_row(void **state)
{
    struct row *row = *state;
    struct ool_error err = {0};
    uint64_t bytes = 7;

    assert_int_equal(ool_size_parse(row->text, &bytes, &err), row->status);
    assert_int_equal(err.status, row->status);
    assert_true(bytes == (row->status == OOL_OK ? row->bytes : 7));
}

static void prints_sizes(void **state)
{
    char out[OOL_SIZE_TEXT];

    (void)state;
    assert_string_equal(ool_size_print(0, out), "0 B");
    assert_string_equal(ool_size_print(1023, out), "1023 B");
    assert_string_equal(ool_size_print(1024, out), "1.0 KiB");
    assert_string_equal(ool_size_print(UINT64_C(1048575), out), "1.0 MiB");
    assert_string_equal(ool_size_print(UINT64_MAX, out), "16.0 EiB");
}

static void stops_at_its_maximum(void **state)
{
    struct ool_text text;

    (void)state;
    ool_text_init(&text, 8);
    ool_text_printf(&text, "%s", "12345678");
    assert_string_equal(ool_text_data(&text), "12345678");
    ool_text_puts(&text, "9");
    assert_true(text.failed);
    assert_string_equal(ool_text_data(&text), "");
    ool_text_puts(&text, "stays failed");
    assert_true(text.failed);
    ool_text_fini(&text);
}

static enum ool_status appends(void *state)
{
    struct ool_text text;
    enum ool_status status;

    (void)state;
    ool_text_init(&text, 1 << 20);
    for (int i = 0; i < 100; i++)
        ool_text_printf(&text, "%d ", i);
    status = text.failed ? OOL_E_HOST_OOM : OOL_OK;
    ool_text_fini(&text);
    return status;
}

static void survives_every_fault(void **state)
{
    (void)state;
    ool_test_each_fault(appends, NULL, 100);
}

int main(void)
{
    struct CMUnitTest tests[sizeof rows / sizeof *rows + 3];
    size_t n = 0;

    for (; n < sizeof rows / sizeof *rows; n++)
        tests[n] = (struct CMUnitTest){rows[n].name, check_row, NULL, NULL, &rows[n]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(prints_sizes);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(stops_at_its_maximum);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(survives_every_fault);
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
