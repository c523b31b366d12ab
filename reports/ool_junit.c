#include "ool_junit.h"

#include "ool_mem.h"
#include "ool_shape.h"
#include "ool_xml.h"

#include <inttypes.h>
#include <string.h>

#define MOST_NAME 200     /* bytes */
#define MOST_MESSAGE 1000 /* bytes */
#define MOST_OUTPUT (64 << 10)

struct writer {
    const struct ool_results *results;
    const struct ool_junit_options *options;
    struct ool_text *out;
    struct ool_text scratch; /* what is escaped next */
    bool failed;             /* the scratch once did */
};

/* The scratch, empty. */
static struct ool_text *fresh(struct writer *w)
{
    w->failed = w->failed || w->scratch.failed;
    ool_text_clear(&w->scratch);
    return &w->scratch;
}

static void put(struct writer *w, const char *text)
{
    ool_text_puts(w->out, text);
}

static void put_attribute(struct writer *w, const char *name, const char *value)
{
    ool_text_printf(w->out, " %s=\"", name);
    ool_xml_escape(w->out, value, true);
    put(w, "\"");
}

/* Cuts @text where a character of UTF-8 starts. */
static void cut(struct ool_text *text, size_t most)
{
    if (text->length <= most)
        return;
    while (most > 0 && ((unsigned char)text->data[most] & 0xC0) == 0x80)
        most--;
    text->length = most;
    text->data[most] = '\0';
}

static const char *status_element(const struct ool_record *r)
{
    if (r->result.status != OOL_CASE_RAN)
        return "skipped";
    if (r->pass == OOL_PASS)
        return NULL;
    return r->result.outcome == OOL_OUTCOME_ERROR ? "error" : "failure";
}

struct counts {
    size_t tests, failures, errors, skipped;
    uint64_t elapsed_ns;
};

static struct counts count(const struct ool_record *records, size_t n)
{
    struct counts c = {.tests = n};

    for (size_t i = 0; i < n; i++) {
        const char *element = status_element(&records[i]);

        c.elapsed_ns += records[i].elapsed_ns;
        if (element == NULL)
            continue;
        c.skipped += *element == 's';
        c.errors += *element == 'e';
        c.failures += *element == 'f';
    }
    return c;
}

static void put_time(struct writer *w, uint64_t elapsed_ns)
{
    ool_text_printf(w->out, " time=\"%" PRIu64 ".%03" PRIu64 "\"", elapsed_ns / 1000000000,
                    elapsed_ns / 1000000 % 1000);
}

/* "leak.list-of-tensors" for "leak/list-of-tensors"; @most 0 = whole. */
static void put_class(struct writer *w, const char *attribute, const char *scenario)
{
    ool_text_puts(fresh(w), *scenario != '\0' ? scenario : "oomlab");
    cut(&w->scratch, 2 * MOST_NAME);
    for (char *p = w->scratch.data; p != NULL && *p != '\0'; p++)
        if (*p == '/')
            *p = '.';
    put_attribute(w, attribute, ool_text_data(&w->scratch));
}

/* What follows the scenario in the id, "batch=4+checkpointing", "baseline". Long ones get their
 * number, since names must not repeat. */
static void put_name(struct writer *w, const struct ool_record *r, size_t number)
{
    struct ool_text *name = fresh(w);

    ool_text_printf(name, "%s%s%s", r->point, *r->point != '\0' ? "+" : "",
                    *r->stack != '\0' ? r->stack : "baseline");
    if (name->length > MOST_NAME) {
        cut(name, MOST_NAME - 20);
        ool_text_printf(name, "~%zu", number);
    }
    put_attribute(w, "name", ool_text_data(name));
}

static void put_property(struct writer *w, const char *name, const char *value)
{
    put(w, "<property");
    put_attribute(w, "name", name);
    put_attribute(w, "value", value);
    put(w, "/>");
}

static void put_number_property(struct writer *w, const char *name, uint64_t value)
{
    ool_text_printf(fresh(w), "%" PRIu64, value);
    put_property(w, name, ool_text_data(&w->scratch));
}

static void put_properties(struct writer *w, const struct ool_record *r)
{
    put(w, "<properties>");
    put_property(w, "oomlab.version", w->results->version);
    put_property(w, "oomlab.system", w->results->system);
    if (r != NULL) {
        put_property(w, "scenario.hash", r->hash);
        put_property(w, "scenario.title", r->title);
        put_property(w, "device.kind", "sim");
        put_property(w, "device.card", r->card);
        put_number_property(w, "device.capacity_bytes", r->capacity);
        put_number_property(w, "device.context_bytes", r->context_bytes);
        put_property(w, "allocator", r->allocator);
        put_property(w, "allocator.version", r->version);
        put_property(w, "numbers.peaks", ool_provenance_name(r->provenance));
        put_property(w, "numbers.needs", ool_provenance_name(OOL_PREDICTED));
    }
    put(w, "</properties>\n");
}

/* The numbers, the timeline's shape, and what is alive; empty for a case that did not run. */
static void add_output(struct ool_text *out, const struct ool_record *r)
{
    if (r->result.status != OOL_CASE_RAN || r->result.outcome == OOL_OUTCOME_ERROR)
        return;
    if (*r->conf != '\0')
        ool_text_printf(out, "settings=%s\n", r->conf);
    ool_shape_numbers(r, out);
    if (r->effect != OOL_EFFECT_NONE)
        ool_text_printf(out, "effect=%s\n", ool_effect_name(r->effect));
    ool_shape_timeline(r, out);
    ool_text_puts(out, r->result.outcome == OOL_OUTCOME_OOM ? "alive at the failure:\n"
                                                            : "alive at the peak:\n");
    ool_shape_alive(r, out);
}

static void put_status(struct writer *w, const struct ool_record *r, const char *element)
{
    const char *reason = r->result.reason != NULL ? r->result.reason : "";
    struct ool_text *text = fresh(w);

    if (r->result.status == OOL_CASE_INTERRUPTED)
        ool_text_puts(text, "interrupted");
    else
        ool_text_puts(text, r->n_failures > 0 ? r->failures[0] : reason);
    cut(text, MOST_MESSAGE);
    ool_text_printf(w->out, "<%s", element);
    put_attribute(w, "message", ool_text_data(text));
    if (r->result.status != OOL_CASE_RAN) {
        put(w, "/>");
        return;
    }
    ool_text_printf(w->out, " type=\"expectation.%s\">", ool_outcome_name(r->result.outcome));
    fresh(w);
    for (size_t i = 0; i < r->n_failures; i++)
        ool_text_printf(text, "%s\n", r->failures[i]);
    if (r->result.message != NULL)
        ool_text_printf(text, "%s\n", r->result.message);
    cut(text, MOST_OUTPUT);
    ool_text_printf(text, "repeat: oomlab run --name '%s'\n", r->id);
    ool_xml_escape(w->out, ool_text_data(text), false);
    ool_text_printf(w->out, "</%s>", element);
}

static void put_case(struct writer *w, const struct ool_record *r, size_t number)
{
    const char *element = status_element(r);

    put(w, "<testcase");
    put_class(w, "classname", r->scenario);
    put_name(w, r, number);
    put_time(w, r->elapsed_ns);
    put(w, ">");
    if (element != NULL)
        put_status(w, r, element);
    if (!w->options->strict) {
        add_output(fresh(w), r);
        put(w, "<system-out>");
        ool_xml_escape(w->out, ool_text_data(&w->scratch), false);
        put(w, "</system-out>");
    }
    put(w, "</testcase>\n");
}

static void put_suite_output(struct writer *w, const struct ool_record *records, size_t n)
{
    put(w, "<system-out>");
    for (size_t i = 0; w->options->strict && i < n; i++) {
        ool_text_printf(fresh(w), "%s\n", records[i].id);
        add_output(&w->scratch, &records[i]);
        ool_xml_escape(w->out, ool_text_data(&w->scratch), false);
    }
    put(w, "</system-out>\n<system-err></system-err>\n");
}

static void open_suite(struct writer *w, const char *scenario, size_t number, struct counts c)
{
    put(w, "<testsuite");
    put_class(w, "name", scenario);
    ool_text_printf(w->out,
                    " id=\"%zu\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\"",
                    number, c.tests, c.failures, c.errors, c.skipped);
    put_time(w, c.elapsed_ns);
    put_attribute(w, "timestamp", w->options->timestamp);
    put_attribute(w, "hostname", w->options->hostname);
    if (w->options->strict)
        put(w, " package=\"oomlab\"");
    put(w, ">\n");
}

static void put_suite(struct writer *w, const struct ool_record *records, size_t n, size_t number)
{
    open_suite(w, records->scenario, number, count(records, n));
    put_properties(w, records);
    for (size_t i = 0; i < n; i++)
        put_case(w, &records[i], i);
    put_suite_output(w, records, n);
    put(w, "</testsuite>\n");
}

static void put_empty_suite(struct writer *w)
{
    open_suite(w, "oomlab", 0, (struct counts){.tests = 1, .skipped = 1});
    put_properties(w, NULL);
    put(w, "<testcase classname=\"oomlab\" name=\"nothing to run\" time=\"0.000\">"
           "<skipped message=\"nothing was selected\"/></testcase>\n");
    put_suite_output(w, NULL, 0);
    put(w, "</testsuite>\n");
}

static void put_root(struct writer *w)
{
    struct counts c = count(w->results->records, w->results->n_records);

    put(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
    if (!w->options->strict) {
        if (c.tests == 0)
            c.tests = 1;
        ool_text_printf(w->out, " name=\"oomlab\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\"",
                        c.tests, c.failures, c.errors);
        put_time(w, c.elapsed_ns);
    }
    put(w, ">\n");
}

enum ool_status ool_junit_write(const struct ool_results *results,
                                const struct ool_junit_options *options, struct ool_text *out,
                                struct ool_error *err)
{
    struct writer w = {.results = results, .options = options, .out = out};
    size_t first = 0, number = 0;
    bool failed;

    ool_text_init(&w.scratch, OOL_RESULTS_LIMIT);
    put_root(&w);
    if (results->n_records == 0)
        put_empty_suite(&w);
    while (first < results->n_records) {
        const struct ool_record *r = &results->records[first];
        size_t n = 1;

        while (first + n < results->n_records && strcmp(r[n].scenario, r->scenario) == 0)
            n++;
        put_suite(&w, r, n, number++);
        first += n;
    }
    put(&w, "</testsuites>\n");
    failed = out->failed || w.failed || w.scratch.failed;
    ool_text_fini(&w.scratch);
    return failed ? ool_error_set(err, OOL_E_HOST_OOM, "no memory for a JUnit report") : OOL_OK;
}
