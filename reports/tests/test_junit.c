#include "ool_junit.h"
#include "ool_sample.h"
#include "ool_test.h"
#include "ool_xml.h"

#include <stdlib.h>

static void test_escape(void **state)
{
    static const struct {
        const char *text, *attribute, *element;
    } rows[] = {
        {"plain", "plain", "plain"},
        {"<a href=\"x\">&]]>", "&lt;a href=&quot;x&quot;&gt;&amp;]]&gt;",
         "&lt;a href=\"x\"&gt;&amp;]]&gt;"},
        {"a\tb\nc\rd", "a&#9;b&#10;c&#13;d", "a\tb\nc&#13;d"},
        {"\x1B[31mred\x1B[0m", "red", "red"},
        {"\x1B"
         "x\x01\x7F",
         "\\x1Bx\\x01\x7F", "\\x1Bx\\x01\x7F"},
        {"\xC3\xA4 \xE2\x96\x88 \xF0\x9F\x98\x80", "\xC3\xA4 \xE2\x96\x88 \xF0\x9F\x98\x80",
         "\xC3\xA4 \xE2\x96\x88 \xF0\x9F\x98\x80"},
        {"\xC3", "\xEF\xBF\xBD", "\xEF\xBF\xBD"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD",
         "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xEF\xBF\xBE", "\\xFFFE", "\\xFFFE"},
        {"\xF5\x80", "\xEF\xBF\xBD\xEF\xBF\xBD", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ool_text text;

        ool_text_init(&text, 1000);
        ool_xml_escape(&text, rows[i].text, true);
        assert_string_equal(ool_text_data(&text), rows[i].attribute);
        ool_text_clear(&text);
        ool_xml_escape(&text, rows[i].text, false);
        assert_string_equal(ool_text_data(&text), rows[i].element);
        ool_text_fini(&text);
    }
}

static const struct ool_junit_options loose = {false, "2026-01-02T03:04:05", "a host"};
static const struct ool_junit_options strict = {true, "2026-01-02T03:04:05", "a host"};

static void test_document(void **state)
{
    struct ool_results results;
    struct ool_text text;

    (void)state;
    assert_true(sample_results(&results));
    ool_text_init(&text, OOL_RESULTS_LIMIT);
    assert_int_equal(ool_junit_write(&results, &loose, &text, NULL), OOL_OK);
    assert_non_null(
        strstr(text.data, "<testsuites name=\"oomlab\" tests=\"8\" failures=\"1\" errors=\"1\""));
    assert_non_null(strstr(
        text.data, "<testcase classname=\"big.llama\" name=\"batch=4+baseline\" time=\"1.234\">"));
    assert_non_null(strstr(text.data, "<skipped message=\"lora: nothing to adapt\"/>"));
    assert_non_null(strstr(text.data, "type=\"expectation.oom\""));
    assert_non_null(strstr(text.data, "repeat: oomlab run --name 'big/llama[batch=4]+amp'"));
    assert_non_null(strstr(text.data, "alive at the failure:"));
    assert_non_null(strstr(text.data, "<property name=\"numbers.peaks\" value=\"simulated\"/>"));
    ool_text_clear(&text);
    assert_int_equal(ool_junit_write(&results, &strict, &text, NULL), OOL_OK);
    assert_non_null(strstr(text.data, "<testsuites>"));
    assert_null(strstr(text.data, "</failure><system-out>"));
    ool_text_fini(&text);
    ool_results_fini(&results);
}

static enum ool_status fault_body(void *state)
{
    struct ool_results results;
    struct ool_error err = {0};
    struct ool_text text;
    enum ool_status status = OOL_E_HOST_OOM;

    ool_text_init(&text, OOL_RESULTS_LIMIT);
    if (sample_results(&results))
        status = ool_junit_write(&results, state, &text, &err);
    if (status == OOL_OK)
        assert_non_null(strstr(text.data, "</testsuites>"));
    ool_text_fini(&text);
    ool_results_fini(&results);
    return status;
}

static void test_faults(void **state)
{
    struct ool_junit_options options = loose;

    (void)state;
    ool_test_each_fault(fault_body, &options, 10000);
}

/* --- the schemas, by xmllint ------------------------------------------------------------------ */

static void write_file(const char *path, const struct ool_text *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text->data, 1, text->length, file), text->length);
    assert_int_equal(fclose(file), 0);
}

static void validate(const struct ool_results *results, const struct ool_junit_options *options,
                     const char *schema)
{
    char path[] = "/tmp/ool_junit_XXXXXX", command[256];
    struct ool_text text;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    ool_text_init(&text, OOL_RESULTS_LIMIT);
    assert_int_equal(ool_junit_write(results, options, &text, NULL), OOL_OK);
    write_file(path, &text);
    snprintf(command, sizeof command,
             "xmllint --nonet --noout --schema reports/tests/data/%s %s 2>&1", schema, path);
    assert_int_equal(system(command), 0);
    remove(path);
    ool_text_fini(&text);
}

static void spoil(struct ool_results *results)
{
    /* what a trace or a message may bring along */
    memcpy(results->records[3].result.message, "\x1B[1m<\xff]]>\x02&", 11);
    memcpy(results->records[1].result.alive[0].origin, "\xC3\x28\t\n<", 6);
}

static void test_schemas(void **state)
{
    struct ool_results results, none;

    (void)state;
    if (system("xmllint --version >/dev/null 2>&1") != 0)
        skip();
    assert_true(sample_results(&results));
    spoil(&results);
    results.records[5].result.status = OOL_CASE_INTERRUPTED;
    validate(&results, &loose, "junit-10.xsd");
    validate(&results, &strict, "junit-10.xsd");
    validate(&results, &strict, "junit-ant.xsd");
    ool_results_init(&none);
    none.version = ool_strdup("0.1.0");
    none.system = ool_strdup("Linux");
    validate(&none, &loose, "junit-10.xsd");
    validate(&none, &strict, "junit-ant.xsd");
    ool_results_fini(&none);
    ool_results_fini(&results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_schemas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
