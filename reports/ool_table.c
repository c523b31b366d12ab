#include "ool_table.h"

#include "ool_mem.h"
#include "ool_shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PRICE_TEXT 256

/* Bytes as the group's table shows them. */
struct unit {
    const char *name;
    double bytes;
    int digits;
};

static bool ran(const struct ool_record *r)
{
    return r->result.status == OOL_CASE_RAN && r->result.outcome != OOL_OUTCOME_ERROR;
}

static bool failed_for_memory(const struct ool_record *r)
{
    return r->result.outcome == OOL_OUTCOME_OOM || r->result.outcome == OOL_OUTCOME_HOST_OOM;
}

static bool cheaper(const struct ool_record *a, const struct ool_record *b)
{
    if (a->flops < b->flops || a->flops > b->flops)
        return a->flops < b->flops;
    if (a->moved_bytes != b->moved_bytes)
        return a->moved_bytes < b->moved_bytes;
    if (a->launches < b->launches || a->launches > b->launches)
        return a->launches < b->launches;
    return *a->quality == '\0' && *b->quality != '\0';
}

const struct ool_record *ool_group_cheapest(const struct ool_group *group)
{
    const struct ool_record *best = NULL;

    for (size_t i = 0; i < group->n; i++) {
        const struct ool_record *r = &group->records[i];

        if (r->effect == OOL_EFFECT_RESOLVES && (best == NULL || cheaper(r, best)))
            best = r;
    }
    return best;
}

/* --- cells ---------------------------------------------------------------------------------- */

static enum ool_tint tint_of(const struct ool_record *r)
{
    if (!ran(r))
        return OOL_TINT_WARN;
    if (failed_for_memory(r))
        return OOL_TINT_BAD;
    return r->result.outcome == OOL_OUTCOME_FITS ? OOL_TINT_GOOD : OOL_TINT_WARN;
}

static const char *outcome_of(const struct ool_record *r)
{
    if (r->result.status == OOL_CASE_SKIPPED)
        return "skipped";
    if (r->result.status == OOL_CASE_INTERRUPTED)
        return "interrupted";
    return ool_outcome_name(r->result.outcome);
}

static void add_bytes(struct ool_cells *cells, const struct unit *unit, double bytes)
{
    ool_cells_add(cells, OOL_TINT_NONE, "%.*f", unit->digits, bytes / unit->bytes);
}

/* What is left of the card; where it ran out, what is missing (below zero). */
static double headroom(const struct ool_record *r)
{
    uint64_t used = r->result.outcome == OOL_OUTCOME_OOM && r->result.has_needs
                        ? r->result.need_device
                        : r->result.peak_device;

    return (double)r->capacity - (double)used;
}

/* What the effect goes by. */
static bool saving(const struct ool_record *r, const struct ool_record *baseline, double *bytes,
                   double *percent)
{
    struct ool_saving saved;

    if (r->effect == OOL_EFFECT_NONE || baseline == NULL)
        return false;
    saved = ool_saving_of(&r->result, &baseline->result);
    *bytes = saved.bytes;
    *percent = 100 * saved.share;
    return true;
}

/* "+33 % FLOPs, +300 % launches, 1.2 GiB moved: noisier gradients" */
static void price_text(const struct ool_record *r, char out[PRICE_TEXT])
{
    char size[OOL_SIZE_TEXT];
    struct ool_text text;

    ool_text_init(&text, PRICE_TEXT - 1);
    if (r->flops > 0 || r->flops < 0)
        ool_text_printf(&text, "%+.0f %% FLOPs", 100 * r->flops);
    if (r->launches > 0 || r->launches < 0)
        ool_text_printf(&text, "%s%+.0f %% launches", text.length > 0 ? ", " : "",
                        100 * r->launches);
    if (r->moved_bytes > 0)
        ool_text_printf(&text, "%s%s moved", text.length > 0 ? ", " : "",
                        ool_size_print(r->moved_bytes, size));
    if (*r->quality != '\0')
        ool_text_printf(&text, "%s%s", text.length > 0 ? "; " : "", r->quality);
    snprintf(out, PRICE_TEXT, "%s", ool_text_data(&text));
    ool_text_fini(&text);
}

static const char *verdict_of(const struct ool_record *r)
{
    if (r->pass == OOL_PASS_NONE)
        return "";
    if (r->pass == OOL_FAIL)
        return "FAIL";
    return r->n_expectations > 0 ? "pass" : "";
}

/* --- a scenario's table --------------------------------------------------------------------- */

static void add_quantities(struct ool_cells *cells, const struct ool_record *r,
                           const struct ool_record *baseline, const struct unit *unit)
{
    double bytes, percent;

    if (!ran(r)) {
        for (int i = 0; i < 6; i++)
            ool_cells_add(cells, OOL_TINT_NONE, "n/a");
        return;
    }
    add_bytes(cells, unit, (double)r->result.peak_allocated);
    add_bytes(cells, unit, (double)r->result.peak_reserved);
    add_bytes(cells, unit, (double)r->result.peak_device);
    if (r->capacity > 0)
        add_bytes(cells, unit, headroom(r));
    else
        ool_cells_add(cells, OOL_TINT_NONE, "n/a");
    if (!saving(r, baseline, &bytes, &percent)) {
        ool_cells_add(cells, OOL_TINT_NONE, "%s", "");
        ool_cells_add(cells, OOL_TINT_NONE, "%s", "");
        return;
    }
    add_bytes(cells, unit, bytes);
    ool_cells_add(cells, OOL_TINT_NONE, "%.1f", percent);
}

static void add_where(struct ool_cells *cells, const struct ool_record *r)
{
    char size[OOL_SIZE_TEXT];

    if (!ran(r))
        ool_cells_add(cells, OOL_TINT_NONE, "%s", r->result.reason != NULL ? r->result.reason : "");
    else if (failed_for_memory(r))
        ool_cells_add(cells, OOL_TINT_NONE, "%s at %s %s",
                      ool_size_print(r->result.failed_bytes, size), r->result.phase,
                      ool_shape_origin(r->result.origin));
    else if (r->result.outcome == OOL_OUTCOME_LEAK)
        ool_cells_add(cells, OOL_TINT_NONE, "%s an iteration",
                      ool_size_print((uint64_t)r->result.leak, size));
    else
        ool_cells_add(cells, OOL_TINT_NONE, "%s", "");
}

static void add_row(struct ool_cells *cells, const struct ool_record *r,
                    const struct ool_record *baseline, const struct unit *unit)
{
    char price[PRICE_TEXT];

    price_text(r, price);
    ool_cells_add(cells, OOL_TINT_NONE, "%s", *r->stack != '\0' ? r->stack : "baseline");
    ool_cells_add(cells, tint_of(r), "%s", outcome_of(r));
    add_quantities(cells, r, baseline, unit);
    ool_cells_add(cells,
                  r->effect == OOL_EFFECT_RESOLVES ? OOL_TINT_GOOD
                  : r->effect == OOL_EFFECT_WORSE  ? OOL_TINT_BAD
                                                   : OOL_TINT_NONE,
                  "%s", ool_effect_name(r->effect));
    ool_cells_add(cells, r->pass == OOL_FAIL ? OOL_TINT_BAD : OOL_TINT_NONE, "%s", verdict_of(r));
    ool_cells_add(cells, OOL_TINT_NONE, "%s", price);
    add_where(cells, r);
}

static struct unit unit_of(const struct ool_group *group)
{
    for (size_t i = 0; i < group->n; i++)
        if (group->records[i].result.peak_reserved >= UINT64_C(1) << 30)
            return (struct unit){"GiB", 1073741824.0, 2};
    return (struct unit){"MiB", 1048576.0, 1};
}

/* "2 of 3 resolve; cheapest: checkpointing" and how the expectations fared. */
static void add_conclusion(const struct ool_group *group, struct ool_text *out)
{
    const struct ool_record *cheapest = ool_group_cheapest(group);
    size_t tried = 0, counts[OOL_EFFECT_WORSE + 1] = {0}, expected = 0, met = 0;

    for (size_t i = 0; i < group->n; i++) {
        const struct ool_record *r = &group->records[i];

        tried += r->effect != OOL_EFFECT_NONE;
        counts[r->effect]++;
        expected += r->n_expectations > 0 && r->pass != OOL_PASS_NONE;
        met += r->n_expectations > 0 && r->pass == OOL_PASS;
    }
    if (group->baseline == NULL || !ran(group->baseline) || tried == 0)
        ool_text_printf(out, "nothing to compare");
    else if (group->baseline->result.outcome != OOL_OUTCOME_FITS)
        ool_text_printf(out, "%zu of %zu resolve%s%s", counts[OOL_EFFECT_RESOLVES], tried,
                        cheapest != NULL ? "; cheapest: " : "",
                        cheapest != NULL ? cheapest->stack : "");
    else
        ool_text_printf(out, "fits as it is; %zu of %zu save, %zu inert, %zu worse",
                        counts[OOL_EFFECT_SAVES], tried, counts[OOL_EFFECT_INERT],
                        counts[OOL_EFFECT_WORSE]);
    if (expected > 0)
        ool_text_printf(out, "; expectations: %zu of %zu cases pass", met, expected);
    ool_text_puts(out, "\n");
}

static void add_heading(const struct ool_group *group, enum ool_table_format format,
                        struct ool_text *out)
{
    const struct ool_record *r = group->records;
    char total[OOL_SIZE_TEXT], context[OOL_SIZE_TEXT];

    if (format == OOL_TABLE_MARKDOWN)
        ool_text_puts(out, "### ");
    ool_text_printf(out, "%s%s%s%s", r->scenario, *r->point != '\0' ? "[" : "", r->point,
                    *r->point != '\0' ? "]" : "");
    ool_text_puts(out, format == OOL_TABLE_MARKDOWN ? "\n\n" : "  ");
    if (format == OOL_TABLE_MARKDOWN && *r->title != '\0')
        ool_text_printf(out, "%s\n\n", r->title);
    ool_text_printf(out, "%s %s (context %s)  %s %s%s%s  %s\n", r->card,
                    r->capacity > 0 ? ool_size_print(r->capacity, total) : "of unknown size",
                    r->context_bytes > 0 ? ool_size_print(r->context_bytes, context)
                                         : "unknown, taken as 0",
                    r->allocator, r->version, *r->conf != '\0' ? " " : "", r->conf,
                    ool_provenance_name(r->provenance));
    if (format == OOL_TABLE_MARKDOWN)
        ool_text_puts(out, "\n");
}

static bool write_group(const struct ool_group *group, enum ool_table_format format, bool colour,
                        struct ool_text *out)
{
    struct unit unit = unit_of(group);
    bool gib = unit.name[0] == 'G', fine;
    const struct ool_column columns[] = {
        {"case", false},
        {"outcome", false},
        {gib ? "allocated GiB" : "allocated MiB", true},
        {gib ? "reserved GiB" : "reserved MiB", true},
        {gib ? "device GiB" : "device MiB", true},
        {gib ? "headroom GiB" : "headroom MiB", true},
        {gib ? "saved GiB" : "saved MiB", true},
        {"saved %", true},
        {"effect", false},
        {"verdict", false},
        {"price", false},
        {"where", false},
    };
    struct ool_cells cells;

    ool_cells_init(&cells, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < group->n; i++)
        add_row(&cells, &group->records[i], group->baseline, &unit);
    add_heading(group, format, out);
    fine = ool_cells_write(&cells, format, colour, out);
    ool_cells_fini(&cells);
    if (format == OOL_TABLE_MARKDOWN)
        ool_text_puts(out, "\n");
    add_conclusion(group, out);
    ool_text_puts(out, "\n");
    return fine;
}

/* --- CSV -------------------------------------------------------------------------------------- */

static void add_number(struct ool_cells *cells, bool known, uint64_t value)
{
    if (known)
        ool_cells_add(cells, OOL_TINT_NONE, "%" PRIu64, value);
    else
        ool_cells_add(cells, OOL_TINT_NONE, "n/a");
}

static void add_csv_row(struct ool_cells *cells, const struct ool_record *r,
                        const struct ool_record *baseline)
{
    const struct ool_result *result = &r->result;
    const char *texts[] = {r->id,        r->scenario, r->point, r->stack,     r->card,
                           r->allocator, r->version,  r->conf,  outcome_of(r)};
    double bytes, percent;
    bool known = ran(r);

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ool_cells_add(cells, OOL_TINT_NONE, "%s", texts[i]);
    ool_cells_add(cells, OOL_TINT_NONE, "%s", verdict_of(r));
    ool_cells_add(cells, OOL_TINT_NONE, "%s", ool_effect_name(r->effect));
    ool_cells_add(cells, OOL_TINT_NONE, "%s", known ? result->phase : "n/a");
    ool_cells_add(cells, OOL_TINT_NONE, "%s", known ? result->origin : "n/a");
    add_number(cells, r->capacity > 0, r->capacity);
    add_number(cells, known, result->peak_allocated);
    add_number(cells, known, result->peak_reserved);
    add_number(cells, known, result->peak_device);
    ool_cells_add(cells, OOL_TINT_NONE, "%s", ool_provenance_name(r->provenance));
    add_number(cells, known && result->has_needs, result->need_allocated);
    add_number(cells, known && result->has_needs, result->need_device);
    if (saving(r, baseline, &bytes, &percent))
        ool_cells_add(cells, OOL_TINT_NONE, "%.0f", bytes);
    else
        ool_cells_add(cells, OOL_TINT_NONE, "n/a");
    ool_cells_add(cells, OOL_TINT_NONE, "%" PRId64, result->leak);
    ool_cells_add(cells, OOL_TINT_NONE, "%.4f", r->flops);
    ool_cells_add(cells, OOL_TINT_NONE, "%.4f", r->launches);
    add_number(cells, true, r->moved_bytes);
    ool_cells_add(cells, OOL_TINT_NONE, "%s", r->quality);
    ool_cells_add(cells, OOL_TINT_NONE, "%s", result->reason != NULL ? result->reason : "");
}

static bool write_csv(const struct ool_results *results, struct ool_text *out)
{
    static const struct ool_column columns[] = {
        {"case", false},
        {"scenario", false},
        {"point", false},
        {"stack", false},
        {"card", false},
        {"allocator", false},
        {"version", false},
        {"conf", false},
        {"outcome", false},
        {"verdict", false},
        {"effect", false},
        {"phase", false},
        {"origin", false},
        {"capacity_bytes", true},
        {"allocated_bytes", true},
        {"reserved_bytes", true},
        {"device_bytes", true},
        {"bytes_origin", false},
        {"need_bytes", true},
        {"need_device_bytes", true},
        {"saved_bytes", true},
        {"leak_bytes_per_iteration", true},
        {"price_flops", true},
        {"price_launches", true},
        {"price_moved_bytes", true},
        {"price_quality", false},
        {"reason", false},
    };
    struct ool_cells cells;
    bool fine;

    ool_cells_init(&cells, columns, sizeof columns / sizeof *columns);
    for (size_t first = 0; first < results->n_records;) {
        struct ool_group group = ool_results_group(results, first);

        for (size_t i = 0; i < group.n; i++)
            add_csv_row(&cells, &group.records[i], group.baseline);
        first += group.n;
    }
    fine = ool_cells_write(&cells, OOL_TABLE_CSV, false, out);
    ool_cells_fini(&cells);
    return fine;
}

/* --- the whole ------------------------------------------------------------------------------- */

static void add_totals(const struct ool_results *results, struct ool_text *out)
{
    struct ool_summary sum = ool_results_sum(results->records, results->n_records);

    ool_text_printf(out, "%zu cases: %zu pass, %zu fail, %zu errors, %zu skipped", sum.cases,
                    sum.passed, sum.failed, sum.errors, sum.skipped);
    if (sum.interrupted > 0)
        ool_text_printf(out, ", %zu interrupted", sum.interrupted);
    ool_text_puts(out, "\n");
    for (size_t i = 0; i < results->n_records; i++) {
        const struct ool_record *r = &results->records[i];

        for (size_t k = 0; k < r->n_failures; k++)
            ool_text_printf(out, "FAIL %s: %s\n", r->id, r->failures[k]);
    }
}

enum ool_status ool_table_write(const struct ool_results *results, enum ool_table_format format,
                                bool colour, struct ool_text *out, struct ool_error *err)
{
    bool fine = true;

    if (format == OOL_TABLE_CSV) {
        fine = write_csv(results, out);
    } else {
        for (size_t first = 0; fine && first < results->n_records;) {
            struct ool_group group = ool_results_group(results, first);

            fine = write_group(&group, format, colour, out);
            first += group.n;
        }
        if (fine && ool_grid_write(results, format, colour, out, err) != OOL_OK)
            return OOL_E_HOST_OOM;
        add_totals(results, out);
    }
    return fine && !out->failed ? OOL_OK
                                : ool_error_set(err, OOL_E_HOST_OOM, "no memory for a table");
}
