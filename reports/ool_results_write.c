#include "ool_results.h"

#include "ool_mem.h"

#include <string.h>

#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(6))

static const char *const statuses[] = {"ran", "skipped", "interrupted"};
static const char *const passes[] = {"none", "pass", "fail"};

static json_t *integer(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* Bytes that are not UTF-8 (an origin is a name from a trace) become "?", so that the file is JSON. */
static json_t *text_of(const char *text)
{
    json_t *value;
    char *copy;

    if (text == NULL)
        return json_null();
    value = json_string(text);
    if (value != NULL)
        return value;
    copy = ool_strdup(text);
    if (copy == NULL)
        return NULL;
    for (char *p = copy; *p != '\0'; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    value = json_string(copy);
    ool_free(copy);
    return value;
}

static json_t *quantity(uint64_t value, enum ool_provenance provenance)
{
    return json_pack("{s:o, s:s}", "value", integer(value), "origin",
                     ool_provenance_name(provenance));
}

static json_t *bytes_of(const struct ool_record *r)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "requested",
                     quantity(r->result.peak_requested, r->provenance), "allocated",
                     quantity(r->result.peak_allocated, r->provenance), "reserved",
                     quantity(r->result.peak_reserved, r->provenance), "device",
                     quantity(r->result.peak_device, r->provenance));
}

static json_t *needs_of(const struct ool_record *r)
{
    if (!r->result.has_needs)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o}", "requested",
                     quantity(r->result.need_requested, OOL_PREDICTED), "allocated",
                     quantity(r->result.need_allocated, OOL_PREDICTED), "reserved",
                     quantity(r->result.need_reserved, OOL_PREDICTED), "device",
                     quantity(r->result.need_device, OOL_PREDICTED));
}

static json_t *alive_of(const struct ool_result *result)
{
    json_t *array = json_array();

    for (size_t i = 0; i < result->n_alive; i++)
        if (json_array_append_new(array, json_pack("{s:o, s:s, s:o}", "origin",
                                                   text_of(result->alive[i].origin), "category",
                                                   ool_category_name(result->alive[i].category),
                                                   "bytes", integer(result->alive[i].bytes))) != 0)
            goto fail;
    return array;
fail:
    json_decref(array);
    return NULL;
}

static json_t *categories_of(const struct ool_result *result)
{
    json_t *object = json_object();

    for (int i = 0; i < OOL_N_CATEGORIES; i++)
        if (result->by_category[i] != 0 &&
            json_object_set_new(object, ool_category_name((enum ool_category)i),
                                integer(result->by_category[i])) != 0)
            goto fail;
    return object;
fail:
    json_decref(object);
    return NULL;
}

static json_t *timeline_of(const struct ool_result *result)
{
    json_t *array = json_array();

    for (size_t i = 0; i < result->n_timeline; i++) {
        const struct ool_point *p = &result->timeline[i];
        json_t *point = json_array();

        if (json_array_append_new(array, point) != 0 ||
            json_array_append_new(point, integer(p->op)) != 0 ||
            json_array_append_new(point, integer(p->allocated)) != 0 ||
            json_array_append_new(point, integer(p->reserved)) != 0 ||
            json_array_append_new(point, integer(p->device)) != 0)
            goto fail;
    }
    return array;
fail:
    json_decref(array);
    return NULL;
}

/* Blocks in the order of their addresses: allocated ones as they are, free ones negative. */
static json_t *blocks_of(const struct ool_snapshot *snapshot,
                         const struct ool_segment_info *segment)
{
    json_t *array = json_array();

    for (size_t i = 0; i < segment->n_blocks; i++) {
        const struct ool_block_info *block = &snapshot->blocks[segment->first_block + i];
        json_int_t bytes = (json_int_t)block->bytes;

        if (json_array_append_new(
                array, json_integer(block->state == OOL_BLOCK_FREE ? -bytes : bytes)) != 0)
            goto fail;
    }
    return array;
fail:
    json_decref(array);
    return NULL;
}

static json_t *segments_of(const struct ool_record *r)
{
    const struct ool_snapshot *snapshot = &r->result.segments;
    json_t *array = json_array();

    for (size_t i = 0; i < snapshot->n_segments; i++) {
        const struct ool_segment_info *s = &snapshot->segments[i];

        if (json_array_append_new(array, json_pack("{s:o, s:i, s:b, s:b, s:o}", "bytes",
                                                   integer(s->bytes), "stream", (int)s->stream,
                                                   "small", s->small, "expandable", s->expandable,
                                                   "blocks", blocks_of(snapshot, s))) != 0)
            goto fail;
    }
    return array;
fail:
    json_decref(array);
    return NULL;
}

static json_t *failures_of(const struct ool_record *r)
{
    json_t *array = json_array();

    for (size_t i = 0; i < r->n_failures; i++)
        if (json_array_append_new(array, text_of(r->failures[i])) != 0)
            goto fail;
    return array;
fail:
    json_decref(array);
    return NULL;
}

/* Sets a member and remembers a failure. */
static void set(json_t *object, const char *key, json_t *value, bool *failed)
{
    if (json_object_set_new(object, key, value) != 0)
        *failed = true;
}

static void set_identity(json_t *o, const struct ool_record *r, bool *failed)
{
    set(o, "id", text_of(r->id), failed);
    set(o, "scenario", text_of(r->scenario), failed);
    set(o, "hash", text_of(r->hash), failed);
    set(o, "title", text_of(r->title), failed);
    set(o, "point", text_of(r->point), failed);
    set(o, "stack", text_of(r->stack), failed);
    set(o, "device",
        json_pack("{s:s, s:o, s:o, s:o, s:o}", "kind", "sim", "card", text_of(r->card), "capacity",
                  integer(r->capacity), "context", integer(r->context_bytes), "other",
                  integer(r->other_bytes)),
        failed);
    set(o, "allocator",
        json_pack("{s:o, s:o, s:o}", "kind", text_of(r->allocator), "version", text_of(r->version),
                  "conf", text_of(r->conf)),
        failed);
}

static void set_outcome(json_t *o, const struct ool_record *r, bool *failed)
{
    const struct ool_result *result = &r->result;

    set(o, "status", json_string(statuses[result->status]), failed);
    set(o, "reason", text_of(result->reason), failed);
    set(o, "outcome",
        result->status == OOL_CASE_RAN ? json_string(ool_outcome_name(result->outcome))
                                       : json_null(),
        failed);
    set(o, "effect", json_string(ool_effect_name(r->effect)), failed);
    set(o, "verdict", json_string(passes[r->pass]), failed);
    set(o, "expectations", integer(r->n_expectations), failed);
    set(o, "failures", failures_of(r), failed);
    set(o, "price",
        json_pack("{s:f, s:f, s:o, s:o}", "flops", r->flops, "launches", r->launches, "moved_bytes",
                  integer(r->moved_bytes), "quality", text_of(r->quality)),
        failed);
}

static void set_bytes(json_t *o, const struct ool_record *r, bool *failed)
{
    const struct ool_result *result = &r->result;

    set(o, "phase", text_of(result->phase), failed);
    set(o, "origin", text_of(result->origin), failed);
    set(o, "bytes", bytes_of(r), failed);
    set(o, "needs", needs_of(r), failed);
    set(o, "host_peak", integer(result->host_peak), failed);
    set(o, "leak", json_integer((json_int_t)result->leak), failed);
    set(o, "iterations", integer(result->iterations), failed);
    set(o, "extrapolated", json_boolean(result->extrapolated), failed);
    set(o, "operations",
        json_pack("{s:o, s:o, s:o}", "all", integer(result->n_ops), "allocs",
                  integer(result->n_allocs), "frees", integer(result->n_frees)),
        failed);
    set(o, "retries", integer((uint64_t)result->stats.num_alloc_retries), failed);
    set(o, "by_category", categories_of(result), failed);
    set(o, "alive", alive_of(result), failed);
    set(o, "timeline", timeline_of(result), failed);
    if (result->outcome != OOL_OUTCOME_OOM && result->outcome != OOL_OUTCOME_HOST_OOM)
        return;
    set(o, "failure",
        json_pack("{s:o, s:o, s:o, s:b, s:o, s:o}", "message", text_of(result->message),
                  "requested", integer(result->failed_bytes), "free", integer(result->free_bytes),
                  "healthy", result->healthy, "n_segments", integer(r->n_segments), "segments",
                  segments_of(r)),
        failed);
}

static int append(const char *data, size_t length, void *out)
{
    ool_text_add(out, data, length);
    return ((struct ool_text *)out)->failed ? -1 : 0;
}

static enum ool_status write_record(const struct ool_record *r, struct ool_text *out,
                                    struct ool_error *err)
{
    json_t *object = json_object();
    bool failed = object == NULL;

    set_identity(object, r, &failed);
    set_outcome(object, r, &failed);
    if (r->result.status == OOL_CASE_RAN && r->result.outcome != OOL_OUTCOME_ERROR)
        set_bytes(object, r, &failed);
    failed = failed || json_dump_callback(object, append, out, DUMP_FLAGS) != 0;
    json_decref(object);
    return failed ? ool_error_set(err, OOL_E_HOST_OOM, "no memory to write a result") : OOL_OK;
}

static enum ool_status write_head(const struct ool_results *results, struct ool_text *out,
                                  struct ool_error *err)
{
    json_t *environment = json_pack("{s:o, s:s, s:o}", "oomlab", text_of(results->version),
                                    "device", "sim", "system", text_of(results->system));
    bool failed = environment == NULL;

    ool_text_printf(out, "{\"format\":%d,\n\"environment\":", OOL_RESULTS_FORMAT);
    failed = failed || json_dump_callback(environment, append, out, DUMP_FLAGS) != 0;
    json_decref(environment);
    ool_text_printf(out, ",\n\"interrupted\":%s,\n\"cases\":[",
                    results->interrupted ? "true" : "false");
    return failed ? ool_error_set(err, OOL_E_HOST_OOM, "no memory to write results") : OOL_OK;
}

enum ool_status ool_results_write(const struct ool_results *results, struct ool_text *out,
                                  struct ool_error *err)
{
    enum ool_status status = write_head(results, out, err);

    for (size_t i = 0; status == OOL_OK && i < results->n_records; i++) {
        ool_text_puts(out, i == 0 ? "\n" : ",\n");
        status = write_record(&results->records[i], out, err);
    }
    ool_text_puts(out, "\n]}\n");
    if (status == OOL_OK && out->failed)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory to write results");
    return status;
}
