#include "ool_shape.h"

#include <inttypes.h>

#define COLUMNS 60
#define LEVELS 8

const char *ool_shape_origin(const char *origin)
{
    return *origin != '\0' ? origin : "(no module)";
}

static uint64_t value_of(const struct ool_point *point, bool reserved)
{
    return reserved ? point->reserved : point->allocated;
}

/* The most within each column's share of the operations; a column without a point keeps the last. */
static void fill(const struct ool_result *result, bool reserved, uint64_t columns[COLUMNS])
{
    uint64_t end = result->timeline[result->n_timeline - 1].op + 1, last = 0;
    size_t k = 0;

    for (uint64_t i = 0; i < COLUMNS; i++) {
        double bound = (double)end * (double)(i + 1) / COLUMNS;
        uint64_t most = 0;
        bool any = false;

        for (; k < result->n_timeline && (double)result->timeline[k].op < bound; k++) {
            last = value_of(&result->timeline[k], reserved);
            most = last > most ? last : most;
            any = true;
        }
        columns[i] = any ? most : last;
    }
}

static void put_line(const struct ool_result *result, bool reserved, uint64_t scale,
                     struct ool_text *out)
{
    static const char *const blocks[LEVELS + 1] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    uint64_t columns[COLUMNS];
    char size[OOL_SIZE_TEXT];

    fill(result, reserved, columns);
    ool_text_puts(out, reserved ? "reserved  |" : "allocated |");
    for (size_t i = 0; i < COLUMNS; i++) {
        double level = (double)columns[i] / (double)scale * LEVELS;
        size_t step = level > LEVELS - 0.5 ? LEVELS : (size_t)(level + 0.5);

        ool_text_puts(out, blocks[columns[i] > 0 && step == 0 ? 1 : step]);
    }
    ool_text_printf(
        out, "| peak %s\n",
        ool_size_print(reserved ? result->peak_reserved : result->peak_allocated, size));
}

void ool_shape_timeline(const struct ool_record *record, struct ool_text *out)
{
    const struct ool_result *result = &record->result;

    if (result->n_timeline == 0 || result->peak_reserved == 0)
        return;
    put_line(result, false, result->peak_reserved, out);
    put_line(result, true, result->peak_reserved, out);
}

void ool_shape_alive(const struct ool_record *record, struct ool_text *out)
{
    const struct ool_result *result = &record->result;
    char size[OOL_SIZE_TEXT];

    for (size_t i = 0; i < result->n_alive; i++)
        ool_text_printf(out, "  %10s  %-10s  %s\n", ool_size_print(result->alive[i].bytes, size),
                        ool_category_name(result->alive[i].category),
                        ool_shape_origin(result->alive[i].origin));
}

static void put_bytes(struct ool_text *out, const char *key, uint64_t bytes,
                      enum ool_provenance provenance)
{
    char size[OOL_SIZE_TEXT];

    ool_text_printf(out, "%s=%" PRIu64 " (%s, %s)\n", key, bytes, ool_size_print(bytes, size),
                    ool_provenance_name(provenance));
}

void ool_shape_numbers(const struct ool_record *record, struct ool_text *out)
{
    const struct ool_result *result = &record->result;

    ool_text_printf(out, "outcome=%s\n", ool_outcome_name(result->outcome));
    ool_text_printf(out, "phase=%s\norigin=%s\n", result->phase, result->origin);
    put_bytes(out, "peak_allocated", result->peak_allocated, record->provenance);
    put_bytes(out, "peak_reserved", result->peak_reserved, record->provenance);
    put_bytes(out, "peak_device", result->peak_device, record->provenance);
    if (result->outcome == OOL_OUTCOME_OOM && result->has_needs)
        put_bytes(out, "need_device", result->need_device, OOL_PREDICTED);
    if (result->leak != 0)
        ool_text_printf(out, "leak_per_iteration=%" PRId64 "\n", result->leak);
    if (result->iterations != 0)
        ool_text_printf(out, "iterations=%" PRIu64 "%s\n", result->iterations,
                        result->extrapolated ? " (counted on from a repeating state)" : "");
}
