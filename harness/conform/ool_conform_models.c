/*
 * ool_conform_models.c - rows of truth/models: event streams, phases, peaks, counters, verdicts.
 */
#include "ool_conform.h"

#include "ool_models_cfg.h"
#include "ool_models_stream.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCATED_TOLERANCE 0.001
#define RESERVED_TOLERANCE 0.005
#define DETAIL_LIMIT ((size_t)64 << 10)

/* One row's comparison as it goes on. */
struct check {
    const json_t *root, *row;
    struct ool_text detail;
    bool differs; /* something is not equal */
    bool beyond;  /* and outside its tolerance */
    bool has_verdict, wrong_verdict;
    double error;
};

static void differ(struct check *check, bool beyond, const char *what, const char *where,
                   uint64_t recorded, uint64_t here)
{
    if (recorded == here)
        return;
    if (!check->differs || (beyond && !check->beyond))
        ool_text_printf(&check->detail, "%s%s%s: recorded %" PRIu64 ", here %" PRIu64 "\n", where,
                        *where ? " " : "", what, recorded, here);
    check->differs = true;
    check->beyond |= beyond;
}

/* A value that has a tolerance: its relative error counts. */
static void measure(struct check *check, double tolerance, const char *what, const char *where,
                    uint64_t recorded, uint64_t here)
{
    double error = recorded ? fabs((double)here - (double)recorded) / (double)recorded : here != 0;

    if (error > check->error)
        check->error = error;
    differ(check, error > tolerance, what, where, recorded, here);
}

static uint64_t number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* --- one run -------------------------------------------------------------------------------------- */

struct run {
    struct ool_models_case mc;
    struct ool_program program;
    struct ool_workload_facts facts;
    struct ool_stream stream;
    struct ool_result result;
};

static void run_fini(struct run *run)
{
    ool_result_fini(&run->result);
    ool_stream_fini(&run->stream);
    ool_program_fini(&run->program);
    ool_models_case_fini(&run->mc);
}

/* Lowers and replays a cfg. The caller finishes @run whatever comes back. */
static enum ool_status run_cfg(const struct check *check, const json_t *cfg, int64_t batch,
                               uint64_t total_mib, bool observed, struct run *run,
                               struct ool_error *err)
{
    struct ool_run_observer observer;
    enum ool_status status;

    memset(run, 0, sizeof(*run));
    ool_program_init(&run->program);
    status = ool_models_case_open(check->root, cfg, batch, total_mib, &run->mc, err);
    if (status == OOL_OK)
        status = ool_case_lower(&run->mc.c, &run->program, &run->facts, err);
    if (status == OOL_OK && observed)
        status = ool_stream_observe(&run->stream, &run->program, &observer, err);
    if (status == OOL_OK)
        status = ool_run_program(&run->program, &run->mc.c, observed ? &observer : NULL,
                                 &run->result, err);
    if (status == OOL_OK && run->stream.failed)
        status = ool_error_set(err, OOL_E_HOST_OOM, "no memory for an event stream");
    return status;
}

/* --- phases, counters, streams ---------------------------------------------------------------------- */

/* Column of a phase's row by its name in the file's phase_fields. */
static void compare_phase(struct check *check, const json_t *fields, const json_t *recorded,
                          const struct ool_phase_result *here)
{
    const struct {
        const char *field;
        uint64_t value;
    } values[] = {
        {"alloc", here->allocated},     {"alloc_peak", here->peak_allocated},
        {"reserved", here->reserved},   {"reserved_peak", here->peak_reserved},
        {"requested", here->requested}, {"requested_peak", here->peak_requested},
        {"n_alloc", here->n_allocs},    {"n_free", here->n_frees},
        {"segments", here->segments},   {"retries", here->retries},
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        size_t column;
        json_t *field;

        json_array_foreach(fields, column, field)
        {
            if (strcmp(json_string_value(field), values[i].field) == 0)
                differ(check, false, values[i].field, here->name,
                       (uint64_t)json_integer_value(json_array_get(recorded, column)),
                       values[i].value);
        }
    }
}

static void compare_phases(struct check *check, const struct ool_result *result)
{
    const json_t *fields = json_object_get(check->root, "phase_fields");
    const json_t *phases = json_object_get(check->row, "phases");
    size_t i, n = 0;
    json_t *phase;

    json_array_foreach(phases, i, phase)
    {
        const char *name = json_string_value(json_array_get(phase, 0));

        if (!name || strncmp(name, "oom:", 4) == 0)
            continue;
        if (n == result->n_phases || strcmp(result->phases[n].name, name) != 0) {
            if (!check->differs)
                ool_text_printf(&check->detail, "phase %s: here %s\n", name ? name : "?",
                                n < result->n_phases ? result->phases[n].name : "nothing");
            check->differs = true;
            return;
        }
        compare_phase(check, fields, phase, &result->phases[n++]);
    }
}

static void compare_final(struct check *check, const struct ool_allocator_stats *stats)
{
    const json_t *final = json_object_get(check->row, "final");
    const struct {
        const char *key;
        int64_t value;
    } values[] = {
        {"active", stats->active_bytes[OOL_POOL_ALL].current},
        {"inactive_split", stats->inactive_split_bytes[OOL_POOL_ALL].current},
        {"n_alloc", stats->allocation[OOL_POOL_ALL].allocated},
        {"n_free", stats->allocation[OOL_POOL_ALL].freed},
        {"segments", stats->segment[OOL_POOL_ALL].current},
        {"segments_allocated", stats->segment[OOL_POOL_ALL].allocated},
        {"retries", stats->num_alloc_retries},
        {"ooms", stats->num_ooms},
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        if (json_object_get(final, values[i].key))
            differ(check, false, values[i].key, "final", number(final, values[i].key),
                   (uint64_t)values[i].value);
}

static enum ool_status compare_stream(struct check *check, const struct run *run,
                                      struct ool_error *err)
{
    const char *text = json_string_value(json_object_get(check->row, "events"));
    enum ool_precision precision = run->mc.job.workload.precision;
    struct ool_stream truth;
    enum ool_status status;

    if (!text)
        return OOL_OK;
    status = ool_stream_parse(&truth, text, err);
    if (status == OOL_OK &&
        !ool_stream_compare(&truth, &run->stream, &run->program,
                            precision == OOL_AMP_BF16 || precision == OOL_AMP_FP16, &check->detail))
        check->differs = true;
    ool_stream_fini(&truth);
    return status;
}

static void compare_oom(struct check *check, const json_t *recorded,
                        const struct ool_result *result, const char *where)
{
    const char *phase = json_string_value(json_object_get(recorded, "phase"));
    const char *message = json_string_value(json_object_get(recorded, "message"));
    bool here = result->outcome == OOL_OUTCOME_OOM;

    check->has_verdict = true;
    if ((phase != NULL) != here) {
        ool_text_printf(&check->detail, "%s: recorded %s%s, here %s%s\n", where,
                        phase ? "oom in " : "fits", phase ? phase : "", here ? "oom in " : "fits",
                        here ? result->phase : "");
        check->differs = check->wrong_verdict = true;
        return;
    }
    if (!here)
        return;
    if (strcmp(phase, result->phase) != 0) {
        ool_text_printf(&check->detail, "%s: recorded oom in %s, here in %s\n", where, phase,
                        result->phase);
        check->differs = true;
    }
    if (message && strcmp(message, result->message) != 0) {
        ool_text_printf(&check->detail, "%s:\n  recorded: %s\n  here:     %s\n", where, message,
                        result->message);
        check->differs = true;
    }
}

static enum ool_status check_events(struct check *check, struct ool_error *err)
{
    const json_t *cfg = json_object_get(check->row, "cfg");
    const json_t *peak = json_object_get(check->row, "peak");
    struct run run;
    enum ool_status status = run_cfg(check, cfg, 0, 0, true, &run, err);

    if (status == OOL_OK)
        status = compare_stream(check, &run, err);
    if (status == OOL_OK) {
        const struct ool_result *result = &run.result;

        if (json_object_get(check->row, "params")) {
            differ(check, true, "params", "", number(check->row, "params"), run.facts.params);
            differ(check, true, "trainable", "", number(check->row, "trainable"),
                   run.facts.trainable);
        }
        measure(check, ALLOCATED_TOLERANCE, "peak allocated", "", number(peak, "alloc"),
                result->peak_allocated);
        measure(check, RESERVED_TOLERANCE, "peak reserved", "", number(peak, "reserved"),
                result->peak_reserved);
        measure(check, ALLOCATED_TOLERANCE, "peak requested", "", number(peak, "requested"),
                result->peak_requested);
        compare_phases(check, result);
        if (json_object_get(check->row, "oom") || result->outcome == OOL_OUTCOME_OOM)
            compare_oom(check, json_object_get(check->row, "oom"), result, "outcome");
        else
            compare_final(check, &result->stats);
    }
    run_fini(&run);
    return status;
}

/* --- verdicts ----------------------------------------------------------------------------------------- */

static enum ool_status check_capacities(struct check *check, struct ool_error *err)
{
    const json_t *cfg = json_object_get(check->row, "cfg");
    enum ool_status status = OOL_OK;
    json_t *recorded;
    size_t i;

    json_array_foreach(json_object_get(check->row, "capacities"), i, recorded)
    {
        struct run run;
        char where[48];

        status = run_cfg(check, cfg, 0, number(recorded, "total_mib"), false, &run, err);
        snprintf(where, sizeof(where), "%" PRIu64 " MiB", number(recorded, "total_mib"));
        if (status == OOL_OK) {
            compare_oom(check, recorded, &run.result, where);
            measure(check, ALLOCATED_TOLERANCE, "peak allocated", where,
                    number(recorded, "peak_alloc"), run.result.peak_allocated);
            measure(check, RESERVED_TOLERANCE, "peak reserved", where,
                    number(recorded, "peak_reserved"), run.result.peak_reserved);
            differ(check, false, "retries", where, number(recorded, "retries"),
                   (uint64_t)run.result.stats.num_alloc_retries);
        }
        run_fini(&run);
        if (status != OOL_OK)
            break;
    }
    return status;
}

/* Every batch that was tried fits here exactly if it did there; the largest follows. */
static enum ool_status check_tried(struct check *check, const json_t *cfg, const json_t *recorded,
                                   struct ool_error *err)
{
    uint64_t total_mib = number(recorded, "total_mib");
    enum ool_status status = OOL_OK;
    int64_t largest = 0;
    const char *key;
    json_t *fits;

    json_object_foreach(json_object_get(recorded, "tried"), key, fits)
    {
        int64_t batch = strtoll(key, NULL, 10);
        struct run run;
        bool here;

        status = run_cfg(check, cfg, batch, total_mib, false, &run, err);
        here = run.result.outcome == OOL_OUTCOME_FITS;
        run_fini(&run);
        if (status != OOL_OK)
            return status;
        if (here && batch > largest)
            largest = batch;
        if (here == json_is_true(fits))
            continue;
        ool_text_printf(&check->detail, "%" PRIu64 " MiB: recorded that a batch of %s %s\n",
                        total_mib, key, here ? "does not fit" : "fits");
        check->differs = check->wrong_verdict = true;
    }
    check->has_verdict = true;
    if (largest != json_integer_value(json_object_get(recorded, "largest_batch")))
        check->differs = check->wrong_verdict = true;
    return OOL_OK;
}

static enum ool_status check_largest(struct check *check, struct ool_error *err)
{
    enum ool_status status = OOL_OK;
    json_t *recorded;
    size_t i;

    json_array_foreach(json_object_get(check->row, "largest"), i, recorded)
    {
        status = check_tried(check, json_object_get(check->row, "cfg"), recorded, err);
        if (status != OOL_OK)
            break;
    }
    return status;
}

/* --- rows ------------------------------------------------------------------------------------------------ */

static enum ool_status add_row(struct check *check, struct ool_conform *conform, const char *id,
                               struct ool_error *err)
{
    enum ool_row_status kind = OOL_ROW_EXACT;
    enum ool_status status;

    if (check->beyond || check->wrong_verdict)
        kind = OOL_ROW_MISSED;
    else if (check->differs)
        kind = OOL_ROW_WITHIN;
    status = ool_conform_add(conform, id, kind, check->error,
                             check->differs ? ool_text_data(&check->detail) : NULL, err);
    if (status == OOL_OK && conform->n_rows > 0) {
        conform->rows[conform->n_rows - 1].has_verdict = check->has_verdict;
        conform->rows[conform->n_rows - 1].wrong_verdict = check->wrong_verdict;
    }
    return status;
}

/* Host memory, an interruption and broken files end the check; anything else is this row's own. */
static bool ends_all(enum ool_status status)
{
    return status == OOL_E_HOST_OOM || status == OOL_E_INTERRUPTED || status == OOL_E_DATA;
}

static enum ool_status check_row(const json_t *root, const json_t *row, struct ool_conform *conform,
                                 struct ool_error *err)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    struct check check = {.root = root, .row = row};
    struct ool_error reason = {0};
    enum ool_status status;

    if (!id)
        return ool_error_set(err, OOL_E_DATA, "a row without an id");
    if (!ool_conform_wants(conform, id))
        return OOL_OK;
    ool_text_init(&check.detail, DETAIL_LIMIT);
    if (json_object_get(row, "capacities"))
        status = check_capacities(&check, &reason);
    else if (json_object_get(row, "largest"))
        status = check_largest(&check, &reason);
    else
        status = check_events(&check, &reason);
    if (status == OOL_OK)
        status = add_row(&check, conform, id, err);
    else if (ends_all(status))
        status = ool_error_set(err, status, "row %.60s: %s", id, reason.text);
    else
        status = ool_conform_add(conform, id, OOL_ROW_SKIPPED, 0, reason.text, err);
    ool_text_fini(&check.detail);
    return status;
}

enum ool_status ool_conform_models(const char *path, const json_t *root,
                                   struct ool_conform *conform, struct ool_error *err)
{
    enum ool_status status = OOL_OK;
    json_t *row;
    size_t i;

    (void)path;
    json_array_foreach(json_object_get(root, "rows"), i, row)
    {
        status = check_row(root, row, conform, err);
        if (status != OOL_OK)
            break;
    }
    return status;
}
