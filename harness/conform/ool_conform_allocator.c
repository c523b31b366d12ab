/*
 * ool_conform_allocator.c - recorded allocator traces: every placement, every device call in order,
 * the statistics at each checkpoint, the messages and the final blocks.
 *
 * One trace is one row. It is replayed up to the first difference, which becomes the row's detail.
 */
#include "ool_conform.h"

#include "ool_allocator.h"
#include "ool_conform_calls.h"
#include "ool_mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct replay {
    const json_t *root, *ops, *messages, *device, *stats;
    const char *path;
    struct ool_calls calls;
    struct ool_allocator *allocator;
    struct ool_block *blocks; /* by the trace's id */
    bool *live;
    size_t n_ids;
    size_t next_call; /* in `device` */
    struct ool_text difference;
    struct ool_error *err;
};

/* What an op or a check came to. */
enum outcome { SAME, DIFFERENT, BROKEN /* the file or host memory; in err */ };

static enum outcome data_error(struct replay *r, const char *what)
{
    ool_error_set(r->err, OOL_E_DATA, "%s: %s", r->path, what);
    return BROKEN;
}

static int64_t number_at(const json_t *array, size_t i)
{
    return json_integer_value(json_array_get(array, i));
}

static void add_json(struct ool_text *text, const json_t *value)
{
    char *dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    ool_text_puts(text, dumped != NULL ? dumped : "?");
    free(dumped);
}

static enum outcome differs_number(struct replay *r, const char *what, int64_t recorded,
                                   int64_t here)
{
    if (recorded == here)
        return SAME;
    ool_text_printf(&r->difference, "%s: recorded %" PRId64 ", here %" PRId64, what, recorded,
                    here);
    return DIFFERENT;
}

/* ---- device calls ---- */

static void add_call(struct ool_text *text, const struct ool_call *call)
{
    ool_text_printf(text, "[\"%c\"", call->kind);
    for (int i = 0; i < call->n_values; i++)
        ool_text_printf(text, ",%" PRIu64, call->values[i]);
    ool_text_puts(text, "]");
}

static bool same_call(const json_t *recorded, const struct ool_call *call)
{
    const char *kind = json_string_value(json_array_get(recorded, 1));

    if (kind == NULL || kind[0] != call->kind ||
        json_array_size(recorded) != (size_t)call->n_values + 2)
        return false;
    for (int i = 0; i < call->n_values; i++) {
        if ((uint64_t)number_at(recorded, (size_t)i + 2) != call->values[i])
            return false;
    }
    return true;
}

/* The calls made during op k against those recorded for it. */
static enum outcome check_calls(struct replay *r, size_t k)
{
    size_t i = 0;

    for (;; i++) {
        const json_t *recorded = json_array_get(r->device, r->next_call);
        if (recorded != NULL && (size_t)number_at(recorded, 0) != k)
            recorded = NULL;
        if (recorded == NULL && i == r->calls.n_calls)
            break;
        if (recorded != NULL && i < r->calls.n_calls && same_call(recorded, &r->calls.calls[i])) {
            r->next_call++;
            continue;
        }
        ool_text_printf(&r->difference, "device call %zu of this op: recorded ", i);
        if (recorded != NULL)
            add_json(&r->difference, recorded);
        else
            ool_text_puts(&r->difference, "none");
        ool_text_puts(&r->difference, ", here ");
        if (i < r->calls.n_calls)
            add_call(&r->difference, &r->calls.calls[i]);
        else
            ool_text_puts(&r->difference, "none");
        return DIFFERENT;
    }
    ool_calls_clear(&r->calls);
    return SAME;
}

/* ---- operations ---- */

static enum outcome check_message(struct replay *r, int64_t index)
{
    const char *recorded = json_string_value(json_array_get(r->messages, (size_t)index));
    const char *here = ool_allocator_message(r->allocator);

    if (recorded == NULL)
        return data_error(r, "an op names a message that is not there");
    if (strcmp(recorded, here) == 0)
        return SAME;
    ool_text_printf(&r->difference, "message:\nrecorded %s\nhere     %s", recorded, here);
    return DIFFERENT;
}

/* ["a", id, size, stream, segment, offset] or -1 and a message, or -2 for zero bytes. */
static enum outcome do_alloc(struct replay *r, const json_t *op, size_t id)
{
    struct ool_error err = {0};
    struct ool_block *block = &r->blocks[id];
    int64_t segment = number_at(op, 4), offset = number_at(op, 5), here_segment, here_offset;
    enum ool_status status;

    status = ool_allocator_alloc(r->allocator, (uint64_t)number_at(op, 2),
                                 (uint32_t)number_at(op, 3), block, &err);
    if (status == OOL_E_HOST_OOM) {
        ool_error_set(r->err, status, "%s", err.text);
        return BROKEN;
    }
    if (status != OOL_OK && status != OOL_E_DEV_OOM) {
        ool_text_printf(&r->difference, "allocation: recorded an answer, here an error: %s",
                        err.text);
        return DIFFERENT;
    }
    here_segment = status != OOL_OK ? -1 : block->handle == NULL ? -2 : (int64_t)block->segment;
    here_offset = here_segment < 0 ? 0 : (int64_t)block->offset;
    r->live[id] = status == OOL_OK;
    if (segment == -1 && here_segment == -1)
        return check_message(r, offset);
    if (segment == here_segment && (segment < 0 || offset == here_offset))
        return SAME;
    ool_text_printf(&r->difference,
                    "placement (segment, offset): recorded %" PRId64 ", %" PRId64 ", here %" PRId64
                    ", %" PRId64,
                    segment, segment < 0 ? 0 : offset, here_segment, here_offset);
    if (here_segment == -1)
        ool_text_printf(&r->difference, "\nhere %s", ool_allocator_message(r->allocator));
    return DIFFERENT;
}

static enum outcome do_on_block(struct replay *r, const json_t *op, char kind)
{
    size_t id = (size_t)number_at(op, 1);

    if (number_at(op, 1) < 0 || id >= r->n_ids)
        return data_error(r, "an id is negative or not dense");
    if (kind == 'a')
        return r->live[id] ? data_error(r, "an id is used twice") : do_alloc(r, op, id);
    if (!r->live[id])
        return data_error(r, "an op names an id that is not live");
    if (kind == 'f') {
        ool_allocator_free(r->allocator, &r->blocks[id]);
        r->live[id] = false;
    } else {
        ool_allocator_record_stream(r->allocator, &r->blocks[id], (uint32_t)number_at(op, 2));
    }
    return SAME;
}

static enum outcome do_setting(struct replay *r, const json_t *op, char kind)
{
    struct ool_error err = {0};
    const json_t *value = json_array_get(op, 1);
    enum ool_status status;

    if (kind == 'S' && !json_is_string(value))
        return data_error(r, "a settings string is missing");
    if (kind == 'S')
        status = ool_allocator_set_conf(r->allocator, json_string_value(value), &err);
    else
        status = ool_allocator_set_fraction(r->allocator, json_number_value(value), &err);
    if (status == OOL_OK)
        return SAME;
    ool_text_printf(&r->difference, "setting: recorded no error, here %s", err.text);
    return DIFFERENT;
}

static enum outcome check_stats(struct replay *r, const json_t *recorded);

static enum outcome do_op(struct replay *r, const json_t *op)
{
    const char *kind = json_string_value(json_array_get(op, 0));
    uint32_t stream = (uint32_t)number_at(op, 1);

    if (kind == NULL || kind[0] == '\0' || kind[1] != '\0')
        return data_error(r, "an op has no kind of one letter");
    switch (kind[0]) {
    case 'a':
    case 'f':
    case 'r':
        return do_on_block(r, op, kind[0]);
    case 'F':
    case 'S':
        return do_setting(r, op, kind[0]);
    case 'c':
        return check_stats(r, json_array_get(r->stats, (size_t)number_at(op, 1)));
    case 'e':
        ool_allocator_empty_cache(r->allocator);
        return SAME;
    case 's':
        ool_allocator_synchronize(r->allocator);
        return SAME;
    case 'p':
        ool_allocator_reset_peak(r->allocator);
        return SAME;
    case 'b':
        ool_allocator_stream_busy(r->allocator, stream);
        return SAME;
    case 't':
        ool_allocator_stream_step(r->allocator, stream, (uint64_t)number_at(op, 2));
        return SAME;
    case 'i':
        ool_allocator_stream_idle(r->allocator, stream);
        return SAME;
    default:
        return data_error(r, "an op is of no known kind");
    }
}

/* ---- statistics ---- */

static enum outcome check_stat(struct replay *r, const char *key, const char *pool,
                               const json_t *recorded, const struct ool_stat *stat)
{
    static const char *const fields[] = {"current", "peak", "allocated", "freed"};
    const int64_t here[] = {stat->current, stat->peak, stat->allocated, stat->freed};
    char what[80];

    for (size_t i = 0; i < 4; i++) {
        snprintf(what, sizeof what, "%s%s.%s", key, pool, fields[i]);
        if (differs_number(r, what, number_at(recorded, i), here[i]) != SAME)
            return DIFFERENT;
    }
    return SAME;
}

static enum outcome check_arrays(struct replay *r, const json_t *recorded,
                                 const struct ool_allocator_stats *s)
{
    static const char *const pools[OOL_N_POOLS] = {".all", ".small_pool", ".large_pool"};
    const struct {
        const char *key;
        const struct ool_stat *here;
    } arrays[] = {
        {"allocation", s->allocation},
        {"segment", s->segment},
        {"active", s->active},
        {"inactive_split", s->inactive_split},
        {"allocated_bytes", s->allocated_bytes},
        {"reserved_bytes", s->reserved_bytes},
        {"active_bytes", s->active_bytes},
        {"inactive_split_bytes", s->inactive_split_bytes},
        {"requested_bytes", s->requested_bytes},
    };

    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        const json_t *array = json_object_get(recorded, arrays[i].key);
        for (size_t pool = 0; array != NULL && pool < OOL_N_POOLS; pool++) {
            if (check_stat(r, arrays[i].key, pools[pool], json_array_get(array, pool),
                           &arrays[i].here[pool]) != SAME)
                return DIFFERENT;
        }
    }
    return SAME;
}

static enum outcome check_scalars(struct replay *r, const json_t *recorded,
                                  const struct ool_allocator_stats *s)
{
    uint64_t free_bytes, total_bytes;
    const json_t *oversize = json_object_get(recorded, "oversize_allocations");

    if (oversize != NULL &&
        check_stat(r, "oversize_allocations", "", oversize, &s->oversize_allocations) != SAME)
        return DIFFERENT;
    oversize = json_object_get(recorded, "oversize_segments");
    if (oversize != NULL &&
        check_stat(r, "oversize_segments", "", oversize, &s->oversize_segments) != SAME)
        return DIFFERENT;
    r->calls.base.ops->info(&r->calls.base, &free_bytes, &total_bytes);
    const struct {
        const char *key;
        int64_t here;
    } numbers[] = {
        {"num_alloc_retries", s->num_alloc_retries},
        {"num_ooms", s->num_ooms},
        {"num_sync_all_streams", s->num_sync_all_streams},
        {"num_device_alloc", s->num_device_alloc},
        {"num_device_free", s->num_device_free},
        {"num_oom_rejections", s->num_oom_rejections},
        {"max_split_size", s->max_split_size},
        {"free", (int64_t)free_bytes},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const json_t *value = json_object_get(recorded, numbers[i].key);
        if (value != NULL &&
            differs_number(r, numbers[i].key, json_integer_value(value), numbers[i].here) != SAME)
            return DIFFERENT;
    }
    return SAME;
}

/* What a release does not have is absent from the record and not compared. */
static enum outcome check_stats(struct replay *r, const json_t *recorded)
{
    const struct ool_allocator_stats *stats = ool_allocator_stats(r->allocator);

    if (!json_is_object(recorded))
        return data_error(r, "a checkpoint has no statistics");
    if (check_arrays(r, recorded, stats) != SAME)
        return DIFFERENT;
    return check_scalars(r, recorded, stats);
}

/* ---- final blocks ---- */

static enum outcome check_block(struct replay *r, const json_t *recorded,
                                const struct ool_block_info *block)
{
    static const char states[] = {
        [OOL_BLOCK_FREE] = 'f', [OOL_BLOCK_ALLOCATED] = 'A', [OOL_BLOCK_PENDING] = 'P'};
    const char *state = json_string_value(json_array_get(recorded, 1));

    if ((uint64_t)number_at(recorded, 0) == block->bytes && state != NULL &&
        state[0] == states[block->state] && (uint64_t)number_at(recorded, 2) == block->requested)
        return SAME;
    ool_text_puts(&r->difference, "block: recorded ");
    add_json(&r->difference, recorded);
    ool_text_printf(&r->difference, ", here [%" PRIu64 ",\"%c\",%" PRIu64 "]", block->bytes,
                    states[block->state], block->requested);
    return DIFFERENT;
}

static enum outcome check_segment(struct replay *r, const json_t *recorded,
                                  const struct ool_snapshot *snapshot, size_t i)
{
    const struct ool_segment_info *segment = &snapshot->segments[i];
    const json_t *blocks = json_object_get(recorded, "blocks"), *flag;
    const char *pool = json_string_value(json_object_get(recorded, "pool"));
    const struct {
        const char *key;
        uint64_t here;
    } numbers[] = {
        {"seg", segment->number},
        {"off", segment->offset},
        {"size", segment->bytes},
        {"stream", segment->stream},
    };

    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        if (differs_number(r, numbers[k].key,
                           json_integer_value(json_object_get(recorded, numbers[k].key)),
                           (int64_t)numbers[k].here) != SAME)
            return DIFFERENT;
    }
    flag = json_object_get(recorded, "expandable");
    if (differs_number(r, "expandable", json_is_true(flag) || json_integer_value(flag) != 0,
                       segment->expandable) != SAME ||
        differs_number(r, "small pool", pool != NULL && strcmp(pool, "small") == 0,
                       segment->small) != SAME ||
        differs_number(r, "number of blocks", (int64_t)json_array_size(blocks),
                       (int64_t)segment->n_blocks) != SAME)
        return DIFFERENT;
    for (size_t k = 0; k < segment->n_blocks; k++) {
        if (check_block(r, json_array_get(blocks, k),
                        &snapshot->blocks[segment->first_block + k]) != SAME)
            return DIFFERENT;
    }
    return SAME;
}

static enum outcome check_segments(struct replay *r)
{
    const json_t *segments = json_object_get(r->root, "segments");
    struct ool_snapshot snapshot;
    enum outcome outcome;

    if (segments == NULL) /* a run that an error ended has none */
        return SAME;
    if (ool_allocator_snapshot(r->allocator, &snapshot, r->err) != OOL_OK)
        return BROKEN;
    outcome = differs_number(r, "number of segments", (int64_t)json_array_size(segments),
                             (int64_t)snapshot.n_segments);
    for (size_t i = 0; outcome == SAME && i < snapshot.n_segments; i++) {
        outcome = check_segment(r, json_array_get(segments, i), &snapshot, i);
        if (outcome == DIFFERENT)
            ool_text_printf(&r->difference, " (final segment %zu)", i);
    }
    ool_snapshot_fini(&snapshot);
    return outcome;
}

/* ---- rows ---- */

static enum outcome run_ops(struct replay *r)
{
    size_t n = json_array_size(r->ops);
    enum outcome outcome = SAME;

    for (size_t k = 0; outcome == SAME && k < n; k++) {
        const json_t *op = json_array_get(r->ops, k);
        outcome = do_op(r, op);
        if (outcome == SAME)
            outcome = check_calls(r, k);
        if (r->calls.failed) {
            ool_error_set(r->err, OOL_E_HOST_OOM, "no memory for the device calls");
            return BROKEN;
        }
        if (outcome == DIFFERENT) {
            ool_text_printf(&r->difference, "\nat op %zu: ", k);
            add_json(&r->difference, op);
        }
    }
    return outcome == SAME ? check_segments(r) : outcome;
}

/* Ids are new each time, so an array by id is as long as the list of ops, or little longer. */
static bool make_ids(struct replay *r)
{
    r->n_ids = 2 * json_array_size(r->ops) + 1024;
    r->blocks = ool_calloc(r->n_ids, sizeof *r->blocks);
    r->live = ool_calloc(r->n_ids, sizeof *r->live);
    return r->blocks != NULL && r->live != NULL;
}

static enum ool_status add_row(struct replay *r, struct ool_conform *conform, const char *id,
                               enum outcome outcome)
{
    if (outcome == BROKEN)
        return r->err->status;
    if (r->difference.failed)
        return ool_error_set(r->err, OOL_E_HOST_OOM, "no memory for the difference of %s", id);
    return ool_conform_add(conform, id, outcome == SAME ? OOL_ROW_EXACT : OOL_ROW_MISSED,
                           outcome == SAME ? 0 : 1,
                           outcome == SAME ? NULL : ool_text_data(&r->difference), r->err);
}

static enum ool_status replay_trace(struct replay *r, struct ool_conform *conform, const char *id)
{
    const json_t *total = json_object_get(r->root, "total"),
                 *context = json_object_get(r->root, "context");
    struct ool_sim_config card = {.total_bytes = (uint64_t)json_integer_value(total),
                                  .context_bytes = (uint64_t)json_integer_value(context)};
    struct ool_allocator_config config = {
        .kind = "torch",
        .version = json_string_value(json_object_get(r->root, "torch")),
        .conf = json_string_value(json_object_get(r->root, "conf")),
    };
    struct ool_error err = {0};
    struct ool_device *sim = NULL;
    enum ool_status status;

    status = ool_sim_open(&card, &sim, r->err);
    if (status != OOL_OK)
        return status;
    ool_calls_init(&r->calls, sim);
    status = ool_allocator_open(&config, &r->calls.base, &r->allocator, &err);
    if (status == OOL_E_UNSUPPORTED || status == OOL_E_CONF) {
        status =
            ool_conform_add(conform, id, status == OOL_E_CONF ? OOL_ROW_MISSED : OOL_ROW_SKIPPED, 1,
                            err.text, r->err);
    } else if (status != OOL_OK || !make_ids(r)) {
        status = ool_error_set(r->err, OOL_E_HOST_OOM, "no memory to replay %s", id);
    } else {
        status = add_row(r, conform, id, run_ops(r));
    }
    ool_allocator_close(r->allocator);
    ool_calls_fini(&r->calls);
    sim->ops->close(sim);
    return status;
}

static enum ool_status check_trace(const char *path, const json_t *root,
                                   struct ool_conform *conform, struct ool_error *err)
{
    struct ool_error own = {0};
    struct replay r = {.root = root, .path = path, .err = err != NULL ? err : &own};
    const char *id = json_string_value(json_object_get(root, "name"));
    enum ool_status status;

    if (json_object_get(root, "file") != NULL && !json_is_array(json_object_get(root, "ops")))
        return OOL_OK; /* a line of the index */
    r.ops = json_object_get(root, "ops");
    r.messages = json_object_get(root, "messages");
    r.device = json_object_get(root, "device");
    r.stats = json_object_get(root, "stats");
    if (id == NULL || !json_is_array(r.ops))
        return ool_error_set(err, OOL_E_DATA, "%s: an allocator trace needs \"name\" and \"ops\"",
                             path);
    if (!ool_conform_wants(conform, id))
        return OOL_OK;
    ool_text_init(&r.difference, 1 << 20);
    status = replay_trace(&r, conform, id);
    ool_text_fini(&r.difference);
    ool_free(r.blocks);
    ool_free(r.live);
    return status;
}

/* @root: one trace, or an array of them. */
enum ool_status ool_conform_allocator(const char *path, const json_t *root,
                                      struct ool_conform *conform, struct ool_error *err)
{
    enum ool_status status = OOL_OK;

    if (json_is_object(root))
        return check_trace(path, root, conform, err);
    for (size_t i = 0; status == OOL_OK && i < json_array_size(root); i++)
        status = check_trace(path, json_array_get(root, i), conform, err);
    return status;
}
