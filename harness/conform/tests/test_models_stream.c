/* Reading recorded streams and finding the first difference. */
#include "ool_test.h"

#include "ool_models_stream.h"

static bool same(const char *truth_text, const char *here_text, bool sets, struct ool_text *detail)
{
    struct ool_program program;
    struct ool_stream truth, here;
    bool result;

    ool_program_init(&program);
    assert_int_equal(ool_stream_parse(&truth, truth_text, NULL), OOL_OK);
    assert_int_equal(ool_stream_parse(&here, here_text, NULL), OOL_OK);
    result = ool_stream_compare(&truth, &here, &program, sets, detail);
    ool_stream_fini(&truth);
    ool_stream_fini(&here);
    ool_program_fini(&program);
    return result;
}

static void differences_are_found(void **state)
{
    struct ool_text detail;

    (void)state;
    ool_text_init(&detail, 4096);
    assert_true(same("", "+1", false, &detail));
    assert_true(same("+1 +2 |a -0", "+1 +2 |a -0 -1", false, &detail));
    assert_true(same("S+8 +1 +2 -0 -1 |a", "S+8 +1 +2 -1 -0 |a", true, &detail));
    assert_true(same("+1 OOM5 -0 |a", "+1 OOM5", false, &detail));
    assert_int_equal(detail.length, 0);
    assert_false(same("+1 +2 -0 -1 |a", "+1 +2 -1 -0 |a", false, &detail));
    assert_non_null(strstr(ool_text_data(&detail), "event 2, in a:"));
    assert_false(same("+1 +2 -0 |a", "+1 +2 -1 |a", true, &detail));
    assert_false(same("+1 +2", "+1", false, &detail));
    assert_false(same("|a", "|ab", false, &detail));
    assert_false(same("OOM5", "+5", false, &detail));
    ool_text_fini(&detail);
}

static void broken_texts_are_refused(void **state)
{
    static const char *const texts[] = {"-0", "+1 -1", "+", "+1x", "x", "S+", "S1", "OOM"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ool_stream stream;

        assert_int_equal(ool_stream_parse(&stream, texts[i], NULL), OOL_E_DATA);
        ool_stream_fini(&stream);
    }
}

static enum ool_status parse_body(void *state)
{
    struct ool_stream stream;
    enum ool_status status = ool_stream_parse(&stream, state, NULL);

    ool_stream_fini(&stream);
    return status;
}

static void reading_survives_each_fault(void **state)
{
    char text[] = "+1 +2 +3 +4 +5 |a -0 -1 -2 -3 -4 |b";

    (void)state;
    ool_test_each_fault(parse_body, text, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences_are_found),
        cmocka_unit_test(broken_texts_are_refused),
        cmocka_unit_test(reading_survives_each_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
