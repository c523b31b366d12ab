#include "ool_results.h"

#include "ool_mem.h"

#include <string.h>

static const char *const provenances[] = {"measured", "simulated", "predicted", "published"};

const char *ool_provenance_name(enum ool_provenance provenance)
{
    return provenances[provenance];
}

void ool_results_init(struct ool_results *results)
{
    memset(results, 0, sizeof *results);
}

void ool_record_fini(struct ool_record *record)
{
    ool_free(record->id);
    ool_free(record->scenario);
    ool_free(record->hash);
    ool_free(record->title);
    ool_free(record->point);
    ool_free(record->stack);
    ool_free(record->card);
    ool_free(record->allocator);
    ool_free(record->version);
    ool_free(record->conf);
    ool_free(record->quality);
    for (size_t i = 0; i < record->n_failures; i++)
        ool_free(record->failures[i]);
    ool_free(record->failures);
    ool_result_fini(&record->result);
    memset(record, 0, sizeof *record);
}

void ool_results_fini(struct ool_results *results)
{
    for (size_t i = 0; i < results->n_records; i++)
        ool_record_fini(&results->records[i]);
    ool_free(results->records);
    ool_free(results->version);
    ool_free(results->system);
    memset(results, 0, sizeof *results);
}

static char *copy(const char *text)
{
    return ool_strdup(text != NULL ? text : "");
}

enum ool_status ool_record_init(struct ool_record *record, const struct ool_case *c,
                                const struct ool_price *price, struct ool_error *err)
{
    const struct ool_scenario *scenario = c->scenario;

    memset(record, 0, sizeof *record);
    record->id = copy(c->id);
    record->scenario = copy(scenario->id);
    record->hash = copy(scenario->hash);
    record->title = copy(scenario->title);
    record->point = copy(c->point);
    record->stack = copy(c->stack);
    record->card = copy(c->card.name);
    record->allocator = copy(c->allocator.kind);
    record->version = copy(c->allocator.version);
    record->conf = copy(c->allocator.conf);
    record->quality = copy(price != NULL ? price->quality : NULL);
    record->capacity = c->card.total_bytes;
    record->context_bytes = c->card.context_bytes;
    record->other_bytes = c->other_bytes;
    record->provenance = OOL_SIMULATED;
    if (price != NULL) {
        record->flops = price->flops;
        record->launches = price->launches;
        record->moved_bytes = price->moved_bytes;
    }
    if (record->id != NULL && record->scenario != NULL && record->hash != NULL &&
        record->title != NULL && record->point != NULL && record->stack != NULL &&
        record->card != NULL && record->allocator != NULL && record->version != NULL &&
        record->conf != NULL && record->quality != NULL)
        return OOL_OK;
    ool_record_fini(record);
    return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a record");
}

/* Gives back what an array has too much; where that fails, it stays as it is. */
static void shrink(void **array, size_t n, size_t size)
{
    void *smaller = n > 0 ? ool_reallocarray(*array, n, size) : NULL;

    if (smaller != NULL)
        *array = smaller;
}

/* Keeps whole segments as long as their blocks fit. */
static void trim_segments(struct ool_snapshot *snapshot)
{
    size_t n = 0, n_blocks = 0;

    while (n < snapshot->n_segments && n_blocks + snapshot->segments[n].n_blocks <= OOL_MOST_BLOCKS)
        n_blocks += snapshot->segments[n++].n_blocks;
    snapshot->n_segments = n;
    snapshot->n_blocks = n_blocks;
    shrink((void **)&snapshot->segments, n, sizeof *snapshot->segments);
    shrink((void **)&snapshot->blocks, n_blocks, sizeof *snapshot->blocks);
}

void ool_record_take(struct ool_record *record, struct ool_result *result)
{
    ool_result_fini(&record->result);
    record->result = *result;
    memset(result, 0, sizeof *result);
    for (size_t i = 0; i < record->result.n_phases; i++)
        ool_free(record->result.phases[i].name);
    ool_free(record->result.phases);
    record->result.phases = NULL;
    record->result.n_phases = 0;
    record->n_segments = record->result.segments.n_segments;
    trim_segments(&record->result.segments);
}

void ool_record_judge(struct ool_record *record, struct ool_verdict *verdict)
{
    record->pass = verdict->pass ? OOL_PASS : OOL_FAIL;
    record->n_expectations = verdict->n_expectations;
    record->failures = verdict->failures;
    record->n_failures = verdict->n_failures;
    memset(verdict, 0, sizeof *verdict);
}

struct ool_summary ool_results_sum(const struct ool_record *records, size_t n)
{
    struct ool_summary sum = {.cases = n};

    for (size_t i = 0; i < n; i++) {
        const struct ool_record *r = &records[i];

        sum.expectations += r->n_expectations;
        sum.unmet += r->n_failures;
        if (r->result.status == OOL_CASE_SKIPPED)
            sum.skipped++;
        else if (r->result.status == OOL_CASE_INTERRUPTED)
            sum.interrupted++;
        else if (r->pass == OOL_PASS)
            sum.passed++;
        else if (r->result.outcome == OOL_OUTCOME_ERROR)
            sum.errors++;
        else
            sum.failed++;
    }
    return sum;
}

struct ool_group ool_results_group(const struct ool_results *results, size_t first)
{
    struct ool_group group = {.records = &results->records[first]};

    while (first + group.n < results->n_records) {
        const struct ool_record *r = &group.records[group.n];

        if (strcmp(r->scenario, group.records->scenario) != 0 ||
            strcmp(r->point, group.records->point) != 0)
            break;
        if (*r->stack == '\0')
            group.baseline = r;
        group.n++;
    }
    return group;
}
