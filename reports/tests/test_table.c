#include "ool_sample.h"
#include "ool_table.h"
#include "ool_test.h"

static void make(enum ool_table_format format, bool colour, struct ool_text *text)
{
    struct ool_results results;

    assert_true(sample_results(&results));
    ool_text_init(text, OOL_RESULTS_LIMIT);
    assert_int_equal(ool_table_write(&results, format, colour, text, NULL), OOL_OK);
    ool_results_fini(&results);
}

static void test_text(void **state)
{
    struct ool_text text;

    (void)state;
    make(OOL_TABLE_TEXT, false, &text);
    assert_non_null(strstr(
        text.data,
        "big/llama[batch=4]  rtx-4090 24.0 GiB (context 512.0 MiB)  torch 2.11  simulated\n"));
    assert_non_null(
        strstr(text.data, "2 of 3 resolve; cheapest: sdpa; expectations: 3 of 4 cases pass\n"));
    assert_non_null(strstr(text.data, "fits as it is; 0 of 1 save, 1 inert, 0 worse"));
    assert_non_null(strstr(text.data, "8 cases: 5 pass, 1 fail, 1 errors, 1 skipped\n"));
    assert_non_null(
        strstr(text.data, "FAIL big/llama[batch=4]+amp: expected outcome fits, found oom\n"));
    assert_null(strstr(text.data, " \n"));
    assert_null(strstr(text.data, "\x1B"));
    ool_text_fini(&text);
}

static void test_saving_and_headroom(void **state)
{
    struct ool_text text;

    (void)state;
    make(OOL_TABLE_CSV, false, &text);
    assert_non_null(strstr(text.data,
                           "big/llama[batch=4]+checkpointing,big/llama,batch=4,checkpointing,"
                           "rtx-4090,torch,2.11,,fits,pass,resolves,s1.forward,"
                           "layers.0/attn/scores,25769803776,12884901888,12885950464,13422821376,"
                           "simulated,12884901888,13422821376,30064771072,0,0.3300,0.0000,0,,\n"));
    assert_non_null(
        strstr(text.data, "small+lora,small,,lora,rtx-4090,torch,2.11,,skipped,,,n/a,n/a,"));
    ool_text_fini(&text);
    make(OOL_TABLE_TEXT, false, &text);
    assert_non_null(strstr(text.data,
                           "  checkpointing  fits             12.00         12.00       12.50"
                           "         11.50      28.00     70.0  resolves  pass     +33 % FLOPs\n"));
    ool_text_fini(&text);
}

static void test_colour_is_no_part_of_the_widths(void **state)
{
    struct ool_text plain, coloured;
    size_t n = 0;

    (void)state;
    make(OOL_TABLE_TEXT, false, &plain);
    make(OOL_TABLE_TEXT, true, &coloured);
    assert_non_null(strstr(coloured.data, "\x1B[31moom\x1B[0m"));
    for (const char *p = coloured.data; *p != '\0'; p++) {
        if (*p == '\x1B')
            p = strchr(p, 'm');
        else
            assert_int_equal(*p, plain.data[n++]);
    }
    assert_int_equal(n, plain.length);
    ool_text_fini(&plain);
    ool_text_fini(&coloured);
}

static void test_markdown(void **state)
{
    struct ool_text text;

    (void)state;
    make(OOL_TABLE_MARKDOWN, true, &text);
    assert_non_null(strstr(text.data, "### big/llama[batch=4]\n"));
    assert_non_null(strstr(text.data, "| case | outcome | allocated GiB |"));
    assert_non_null(strstr(text.data, "|---|---|---:|"));
    assert_non_null(strstr(text.data, "### Scenarios and mitigations\n"));
    assert_null(strstr(text.data, "\x1B"));
    ool_text_fini(&text);
}

static void test_grid(void **state)
{
    struct ool_results results;
    struct ool_text text;

    (void)state;
    assert_true(sample_results(&results));
    ool_text_init(&text, OOL_RESULTS_LIMIT);
    assert_int_equal(ool_grid_write(&results, OOL_TABLE_CSV, false, &text, NULL), OOL_OK);
    assert_string_equal(text.data, "scenario,baseline,amp,checkpointing,empty-cache,lora,sdpa,sgd\n"
                                   "big/llama[batch=4],oom,worse,resolves,,,resolves,\n"
                                   "small,fits,,,inert,,,\n");
    ool_text_fini(&text);
    ool_results_fini(&results);
}

static void test_cells_that_need_quotes(void **state)
{
    static const struct ool_column columns[] = {{"a,b", false}, {"n", true}};
    struct ool_cells cells;
    struct ool_text text;

    (void)state;
    ool_cells_init(&cells, columns, 2);
    ool_cells_add(&cells, OOL_TINT_NONE, "say \"x\"\nthen y");
    ool_cells_add(&cells, OOL_TINT_NONE, "%d", 7);
    ool_text_init(&text, 1000);
    assert_true(ool_cells_write(&cells, OOL_TABLE_CSV, false, &text));
    assert_string_equal(text.data, "\"a,b\",n\n\"say \"\"x\"\"\nthen y\",7\n");
    ool_text_clear(&text);
    assert_true(ool_cells_write(&cells, OOL_TABLE_MARKDOWN, false, &text));
    assert_string_equal(text.data, "| a,b | n |\n|---|---:|\n| say \"x\" then y | 7 |\n");
    ool_text_fini(&text);
    ool_cells_fini(&cells);
}

static enum ool_status fault_body(void *state)
{
    const enum ool_table_format *format = state;
    struct ool_results results;
    struct ool_error err = {0};
    struct ool_text text;
    enum ool_status status = OOL_E_HOST_OOM;

    ool_text_init(&text, OOL_RESULTS_LIMIT);
    if (sample_results(&results))
        status = ool_table_write(&results, *format, true, &text, &err);
    ool_text_fini(&text);
    ool_results_fini(&results);
    return status;
}

static void test_faults(void **state)
{
    static const enum ool_table_format formats[] = {OOL_TABLE_TEXT, OOL_TABLE_MARKDOWN,
                                                    OOL_TABLE_CSV};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        enum ool_table_format format = formats[i];

        ool_test_each_fault(fault_body, &format, 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_saving_and_headroom),
        cmocka_unit_test(test_colour_is_no_part_of_the_widths),
        cmocka_unit_test(test_markdown),
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_cells_that_need_quotes),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
