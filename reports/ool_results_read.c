#include "ool_results.h"

#include "ool_mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One record's reading; the first problem stays. */
struct reading {
    size_t n; /* of the record */
    struct ool_error *err;
    enum ool_status status;
};

static void bad(struct reading *r, const char *key, const char *expected)
{
    if (r->status != OOL_OK)
        return;
    r->status = ool_error_set(r->err, OOL_E_DATA, "expected %s", expected);
    if (r->err != NULL && r->err->path[0] == '\0')
        snprintf(r->err->path, sizeof r->err->path, "/cases/%zu/%s", r->n, key);
}

static void short_of_memory(struct reading *r)
{
    if (r->status == OOL_OK)
        r->status = ool_error_set(r->err, OOL_E_HOST_OOM, "no memory to read results");
}

/* Texts of an absent or null member are NULL. */
static char *get_text(struct reading *r, const json_t *o, const char *key, bool required)
{
    const json_t *value = json_object_get(o, key);
    char *copy;

    if (!json_is_string(value)) {
        if (required || (value != NULL && !json_is_null(value)))
            bad(r, key, "a text");
        return NULL;
    }
    copy = ool_strdup(json_string_value(value));
    if (copy == NULL)
        short_of_memory(r);
    return copy;
}

static uint64_t get_bytes(struct reading *r, const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);

    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        bad(r, key, "a number of at least 0");
        return 0;
    }
    return (uint64_t)json_integer_value(value);
}

static double get_real(struct reading *r, const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);

    if (!json_is_number(value))
        bad(r, key, "a number");
    return json_number_value(value);
}

static bool get_flag(struct reading *r, const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);

    if (!json_is_boolean(value))
        bad(r, key, "true or false");
    return json_is_true(value);
}

/* The index of a member's word; the words end with NULL. */
static int get_word(struct reading *r, const json_t *o, const char *key, const char *const *words)
{
    const char *text = json_string_value(json_object_get(o, key));

    for (int i = 0; text != NULL && words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    bad(r, key, "one of the known words");
    return 0;
}

static const json_t *get_object(struct reading *r, const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);

    if (!json_is_object(value))
        bad(r, key, "an object");
    return value;
}

/* An array of at most @most; counts 0 where it is none. */
static const json_t *get_array(struct reading *r, const json_t *o, const char *key, size_t most)
{
    const json_t *value = json_object_get(o, key);

    if (!json_is_array(value) || json_array_size(value) > most) {
        bad(r, key, "an array that is not too long");
        return NULL;
    }
    return value;
}

static void *get_room(struct reading *r, size_t n, size_t size)
{
    void *room = ool_calloc(n, size);

    if (room == NULL)
        short_of_memory(r);
    return room;
}

static void read_identity(struct reading *r, const json_t *o, struct ool_record *record)
{
    const json_t *device = get_object(r, o, "device"), *allocator = get_object(r, o, "allocator");

    record->id = get_text(r, o, "id", true);
    record->scenario = get_text(r, o, "scenario", true);
    record->hash = get_text(r, o, "hash", true);
    record->title = get_text(r, o, "title", true);
    record->point = get_text(r, o, "point", true);
    record->stack = get_text(r, o, "stack", true);
    record->card = get_text(r, device, "card", true);
    record->capacity = get_bytes(r, device, "capacity");
    record->context_bytes = get_bytes(r, device, "context");
    record->other_bytes = get_bytes(r, device, "other");
    record->allocator = get_text(r, allocator, "kind", true);
    record->version = get_text(r, allocator, "version", true);
    record->conf = get_text(r, allocator, "conf", true);
}

static enum ool_outcome get_outcome(struct reading *r, const json_t *o)
{
    const char *text = json_string_value(json_object_get(o, "outcome"));

    for (int i = 0; text != NULL && i < OOL_N_OUTCOMES; i++)
        if (strcmp(ool_outcome_name((enum ool_outcome)i), text) == 0)
            return (enum ool_outcome)i;
    bad(r, "outcome", "an outcome");
    return OOL_OUTCOME_ERROR;
}

static enum ool_effect get_effect(struct reading *r, const json_t *o)
{
    const char *text = json_string_value(json_object_get(o, "effect"));

    for (int i = 0; text != NULL && i <= (int)OOL_EFFECT_WORSE; i++)
        if (strcmp(ool_effect_name((enum ool_effect)i), text) == 0)
            return (enum ool_effect)i;
    bad(r, "effect", "an effect");
    return OOL_EFFECT_NONE;
}

static void read_failures(struct reading *r, const json_t *o, struct ool_record *record)
{
    const json_t *array = get_array(r, o, "failures", SIZE_MAX);
    size_t n = json_array_size(array);

    record->failures = n > 0 ? get_room(r, n, sizeof *record->failures) : NULL;
    for (size_t i = 0; record->failures != NULL && i < n; i++) {
        const char *text = json_string_value(json_array_get(array, i));

        if (text == NULL) {
            bad(r, "failures", "texts");
            return;
        }
        record->failures[i] = ool_strdup(text);
        if (record->failures[i] == NULL) {
            short_of_memory(r);
            return;
        }
        record->n_failures++;
    }
}

static void read_outcome(struct reading *r, const json_t *o, struct ool_record *record)
{
    static const char *const statuses[] = {"ran", "skipped", "interrupted", NULL};
    static const char *const passes[] = {"none", "pass", "fail", NULL};
    const json_t *price = get_object(r, o, "price");
    struct ool_result *result = &record->result;

    result->status = (enum ool_case_status)get_word(r, o, "status", statuses);
    result->reason = get_text(r, o, "reason", false);
    if (result->status == OOL_CASE_RAN)
        result->outcome = get_outcome(r, o);
    record->effect = get_effect(r, o);
    record->pass = (enum ool_pass)get_word(r, o, "verdict", passes);
    record->n_expectations = (size_t)get_bytes(r, o, "expectations");
    read_failures(r, o, record);
    record->flops = get_real(r, price, "flops");
    record->launches = get_real(r, price, "launches");
    record->moved_bytes = get_bytes(r, price, "moved_bytes");
    record->quality = get_text(r, price, "quality", true);
}

static uint64_t read_quantity(struct reading *r, const json_t *set, const char *key,
                              enum ool_provenance *provenance)
{
    static const char *const words[] = {"measured", "simulated", "predicted", "published", NULL};
    const json_t *quantity = get_object(r, set, key);

    *provenance = (enum ool_provenance)get_word(r, quantity, "origin", words);
    return get_bytes(r, quantity, "value");
}

static void read_quantities(struct reading *r, const json_t *o, struct ool_record *record)
{
    const json_t *bytes = get_object(r, o, "bytes"), *needs = json_object_get(o, "needs");
    struct ool_result *result = &record->result;
    enum ool_provenance predicted;

    result->peak_requested = read_quantity(r, bytes, "requested", &record->provenance);
    result->peak_allocated = read_quantity(r, bytes, "allocated", &record->provenance);
    result->peak_reserved = read_quantity(r, bytes, "reserved", &record->provenance);
    result->peak_device = read_quantity(r, bytes, "device", &record->provenance);
    result->has_needs = json_is_object(needs);
    if (!result->has_needs)
        return;
    result->need_requested = read_quantity(r, needs, "requested", &predicted);
    result->need_allocated = read_quantity(r, needs, "allocated", &predicted);
    result->need_reserved = read_quantity(r, needs, "reserved", &predicted);
    result->need_device = read_quantity(r, needs, "device", &predicted);
}

static void read_alive(struct reading *r, const json_t *o, struct ool_result *result)
{
    const json_t *array = get_array(r, o, "alive", OOL_TOP_ALIVE);
    const json_t *categories = get_object(r, o, "by_category");

    for (size_t i = 0; r->status == OOL_OK && i < json_array_size(array); i++) {
        const json_t *entry = json_array_get(array, i);
        struct ool_alive_result *alive = &result->alive[i];
        const char *category = json_string_value(json_object_get(entry, "category"));

        alive->origin = get_text(r, entry, "origin", true);
        result->n_alive = i + 1;
        alive->bytes = get_bytes(r, entry, "bytes");
        if (category == NULL || !ool_category_parse(category, &alive->category))
            bad(r, "alive", "categories");
    }
    for (int i = 0; i < OOL_N_CATEGORIES; i++) {
        const char *name = ool_category_name((enum ool_category)i);

        if (json_object_get(categories, name) != NULL)
            result->by_category[i] = get_bytes(r, categories, name);
    }
}

static void read_timeline(struct reading *r, const json_t *o, struct ool_result *result)
{
    const json_t *array = get_array(r, o, "timeline", OOL_TIMELINE_POINTS);
    size_t n = json_array_size(array);

    result->timeline = n > 0 ? get_room(r, n, sizeof *result->timeline) : NULL;
    if (result->timeline == NULL)
        return;
    for (size_t i = 0; i < n; i++) {
        const json_t *point = json_array_get(array, i);
        uint64_t values[4];

        for (size_t k = 0; k < 4; k++) {
            const json_t *value = json_array_get(point, k);

            if (!json_is_integer(value) || json_integer_value(value) < 0) {
                bad(r, "timeline", "points of four numbers");
                return;
            }
            values[k] = (uint64_t)json_integer_value(value);
        }
        result->timeline[i] = (struct ool_point){values[0], values[1], values[2], values[3]};
        result->n_timeline = i + 1;
    }
}

static void read_blocks(struct reading *r, const json_t *array, struct ool_snapshot *snapshot,
                        struct ool_segment_info *segment)
{
    segment->first_block = snapshot->n_blocks;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);
        json_int_t bytes = json_integer_value(value);
        struct ool_block_info *block = &snapshot->blocks[snapshot->n_blocks];

        if (!json_is_integer(value) || bytes == INT64_MIN ||
            snapshot->n_blocks == OOL_MOST_BLOCKS) {
            bad(r, "failure/segments", "blocks, not too many of them");
            return;
        }
        block->bytes = (uint64_t)(bytes < 0 ? -bytes : bytes);
        block->state = bytes < 0 ? OOL_BLOCK_FREE : OOL_BLOCK_ALLOCATED;
        snapshot->n_blocks++;
        segment->n_blocks++;
    }
}

static void read_segments(struct reading *r, const json_t *failure, struct ool_snapshot *snapshot)
{
    const json_t *array = get_array(r, failure, "segments", SIZE_MAX);
    size_t n = json_array_size(array);

    if (n == 0)
        return;
    snapshot->segments = get_room(r, n, sizeof *snapshot->segments);
    snapshot->blocks = get_room(r, OOL_MOST_BLOCKS, sizeof *snapshot->blocks);
    for (size_t i = 0; r->status == OOL_OK && i < n; i++) {
        const json_t *entry = json_array_get(array, i);
        struct ool_segment_info *segment = &snapshot->segments[i];

        segment->bytes = get_bytes(r, entry, "bytes");
        segment->stream = (uint32_t)get_bytes(r, entry, "stream");
        segment->small = get_flag(r, entry, "small");
        segment->expandable = get_flag(r, entry, "expandable");
        snapshot->n_segments = i + 1;
        read_blocks(r, get_array(r, entry, "blocks", SIZE_MAX), snapshot, segment);
    }
}

static void read_failure(struct reading *r, const json_t *o, struct ool_record *record)
{
    const json_t *failure = get_object(r, o, "failure");
    struct ool_result *result = &record->result;

    result->message = get_text(r, failure, "message", true);
    result->failed_bytes = get_bytes(r, failure, "requested");
    result->free_bytes = get_bytes(r, failure, "free");
    result->healthy = get_flag(r, failure, "healthy");
    record->n_segments = (size_t)get_bytes(r, failure, "n_segments");
    read_segments(r, failure, &result->segments);
}

static void read_bytes(struct reading *r, const json_t *o, struct ool_record *record)
{
    const json_t *operations = get_object(r, o, "operations");
    struct ool_result *result = &record->result;

    result->capacity = record->capacity;
    result->phase = get_text(r, o, "phase", true);
    result->origin = get_text(r, o, "origin", true);
    read_quantities(r, o, record);
    result->host_peak = get_bytes(r, o, "host_peak");
    result->leak = json_integer_value(json_object_get(o, "leak"));
    result->iterations = get_bytes(r, o, "iterations");
    result->extrapolated = get_flag(r, o, "extrapolated");
    result->n_ops = get_bytes(r, operations, "all");
    result->n_allocs = get_bytes(r, operations, "allocs");
    result->n_frees = get_bytes(r, operations, "frees");
    result->stats.num_alloc_retries = (int64_t)get_bytes(r, o, "retries");
    read_alive(r, o, result);
    read_timeline(r, o, result);
    if (result->outcome == OOL_OUTCOME_OOM || result->outcome == OOL_OUTCOME_HOST_OOM)
        read_failure(r, o, record);
}

static enum ool_status read_record(const json_t *o, size_t n, struct ool_record *record,
                                   struct ool_error *err)
{
    struct reading r = {.n = n, .err = err, .status = OOL_OK};

    if (!json_is_object(o)) {
        bad(&r, "", "an object");
        return r.status;
    }
    read_identity(&r, o, record);
    read_outcome(&r, o, record);
    if (r.status == OOL_OK && record->result.status == OOL_CASE_RAN &&
        record->result.outcome != OOL_OUTCOME_ERROR)
        read_bytes(&r, o, record);
    return r.status;
}

static enum ool_status read_root(const json_t *root, struct ool_results *results,
                                 struct ool_error *err)
{
    struct reading r = {.err = err, .status = OOL_OK};
    const json_t *environment = json_object_get(root, "environment");
    const json_t *cases = json_object_get(root, "cases");
    const json_t *format = json_object_get(root, "format");

    if (!json_is_integer(format) || json_integer_value(format) != OOL_RESULTS_FORMAT)
        return ool_error_set(err, OOL_E_FORMAT, "expected results of format %d",
                             OOL_RESULTS_FORMAT);
    if (!json_is_object(environment) || !json_is_array(cases))
        return ool_error_set(err, OOL_E_DATA, "expected \"environment\" and \"cases\"");
    results->version = get_text(&r, environment, "oomlab", true);
    results->system = get_text(&r, environment, "system", true);
    results->interrupted = get_flag(&r, root, "interrupted");
    if (r.status != OOL_OK)
        return r.status;
    results->capacity = json_array_size(cases);
    results->records = ool_calloc(results->capacity, sizeof *results->records);
    if (results->records == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory to read results");
    for (size_t i = 0; r.status == OOL_OK && i < results->capacity; i++) {
        results->n_records = i + 1;
        r.status = read_record(json_array_get(cases, i), i, &results->records[i], err);
    }
    return r.status;
}

enum ool_status ool_results_read(const char *path, const char *text, size_t length,
                                 struct ool_results *results, struct ool_error *err)
{
    struct ool_results made;
    enum ool_status status;
    json_error_t problem;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);

    if (root == NULL) {
        bool short_of_room =
            json_error_code(&problem) == json_error_out_of_memory || problem.text[0] == '\0';

        status = short_of_room ? ool_error_set(err, OOL_E_HOST_OOM, "no memory to read results")
                               : ool_error_set(err, OOL_E_JSON, "%s", problem.text);
        if (err != NULL && err->line == 0 && status == OOL_E_JSON) {
            err->line = problem.line;
            err->column = problem.column;
        }
    } else {
        ool_results_init(&made);
        status = read_root(root, &made, err);
        json_decref(root);
        if (status == OOL_OK)
            *results = made;
        else
            ool_results_fini(&made);
    }
    if (status != OOL_OK && err != NULL && err->source[0] == '\0')
        snprintf(err->source, sizeof err->source, "%s", path);
    return status;
}
