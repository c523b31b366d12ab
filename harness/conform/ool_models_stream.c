#include "ool_models_stream.h"

#include "ool_mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 512 /* blocks are multiples of this */
#define AROUND 10       /* events shown on each side of a difference */

/* --- making ------------------------------------------------------------------------------------- */

static void add(struct ool_stream *stream, const struct ool_event *event)
{
    if (stream->failed)
        return;
    if (!ool_grow(&stream->events, &stream->capacity, stream->n, sizeof(*event))) {
        stream->failed = true;
        return;
    }
    stream->events[stream->n++] = *event;
    if (event->kind != OOL_EVENT_ALLOC)
        return;
    if (!ool_grow(&stream->sizes, &stream->sizes_capacity, stream->n_ids, sizeof(uint64_t))) {
        stream->failed = true;
        return;
    }
    stream->sizes[stream->n_ids++] = event->value;
}

static bool parse_event(const char *text, size_t length, struct ool_event *event)
{
    static const struct {
        const char *prefix;
        enum ool_event_kind kind;
    } kinds[] = {{"S+", OOL_EVENT_SEGMENT_TAKEN},
                 {"S-", OOL_EVENT_SEGMENT_GIVEN},
                 {"OOM", OOL_EVENT_OOM},
                 {"+", OOL_EVENT_ALLOC},
                 {"-", OOL_EVENT_FREE}};

    *event = (struct ool_event){.storage = OOL_NONE};
    if (text[0] == '|') {
        event->kind = OOL_EVENT_PHASE;
        event->phase = text + 1;
        event->phase_length = length - 1;
        return true;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t n = strlen(kinds[i].prefix);
        char *end;

        if (strncmp(text, kinds[i].prefix, n) != 0)
            continue;
        event->kind = kinds[i].kind;
        event->value = strtoull(text + n, &end, 10);
        return end == text + length && length > n;
    }
    return false;
}

/* A mark without an allocation or free since the one before is recorded late, behind an out of
 * memory that came after it. */
static void before_oom(struct ool_stream *stream)
{
    struct ool_event *last = stream->events + stream->n - 1, mark = *last;

    if (stream->n < 2 || last[-1].kind != OOL_EVENT_OOM)
        return;
    *last = last[-1];
    last[-1] = mark;
}

enum ool_status ool_stream_parse(struct ool_stream *stream, const char *text, struct ool_error *err)
{
    struct ool_event event;

    memset(stream, 0, sizeof(*stream));
    for (text += strspn(text, " "); *text && !stream->failed; text += strspn(text, " ")) {
        size_t length = strcspn(text, " ");

        if (!parse_event(text, length, &event))
            return ool_error_set(err, OOL_E_DATA, "\"%.*s\" is no event",
                                 (int)(length > 40 ? 40 : length), text);
        if (event.kind == OOL_EVENT_FREE && event.value >= stream->n_ids)
            return ool_error_set(err, OOL_E_DATA, "id %" PRIu64 " is freed before it is there",
                                 event.value);
        text += length;
        if (event.kind == OOL_EVENT_PHASE && event.phase_length > 4 &&
            strncmp(event.phase, "oom:", 4) == 0)
            continue; /* the recorder's own, where it counted once more */
        add(stream, &event);
        if (event.kind == OOL_EVENT_PHASE && !stream->failed)
            before_oom(stream);
    }
    return stream->failed ? ool_error_set(err, OOL_E_HOST_OOM, "no memory for an event stream")
                          : OOL_OK;
}

static void see_event(void *state, const struct ool_op *op, uint64_t bytes, bool failed)
{
    struct ool_stream *stream = state;
    struct ool_event event = {.storage = op->id, .value = bytes};

    if (op->id >= stream->n_storages)
        return;
    if (op->kind == OOL_OP_ALLOC) {
        event.kind = failed ? OOL_EVENT_OOM : OOL_EVENT_ALLOC;
        if (failed) /* recorded as the block that could not be had */
            event.value = (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
        else
            stream->ids[op->id] = stream->n_ids;
    } else {
        event.kind = OOL_EVENT_FREE;
        event.value = stream->ids[op->id];
    }
    add(stream, &event);
}

static void see_segment(void *state, uint64_t bytes, bool taken)
{
    add(state,
        &(struct ool_event){.kind = taken ? OOL_EVENT_SEGMENT_TAKEN : OOL_EVENT_SEGMENT_GIVEN,
                            .storage = OOL_NONE,
                            .value = bytes});
}

/* A recorded mark stands right behind the last allocation or free before it, in front of segments
 * that came and went since. */
static void see_mark(void *state, const char *phase)
{
    struct ool_stream *stream = state;
    struct ool_event mark = {.kind = OOL_EVENT_PHASE,
                             .storage = OOL_NONE,
                             .phase = phase,
                             .phase_length = strlen(phase)};
    size_t at;

    add(stream, &mark);
    if (stream->failed)
        return;
    for (at = stream->n - 1; at > 0; at--) {
        enum ool_event_kind before = stream->events[at - 1].kind;

        if (before != OOL_EVENT_SEGMENT_TAKEN && before != OOL_EVENT_SEGMENT_GIVEN)
            break;
        stream->events[at] = stream->events[at - 1];
    }
    stream->events[at] = mark;
}

enum ool_status ool_stream_observe(struct ool_stream *stream, const struct ool_program *program,
                                   struct ool_run_observer *observer, struct ool_error *err)
{
    memset(stream, 0, sizeof(*stream));
    stream->ids = ool_calloc(program->n_storages + 1, sizeof(uint64_t));
    if (!stream->ids)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for an event stream");
    stream->n_storages = program->n_storages;
    *observer = (struct ool_run_observer){see_event, see_segment, see_mark, stream};
    return OOL_OK;
}

void ool_stream_fini(struct ool_stream *stream)
{
    ool_free(stream->events);
    ool_free(stream->sizes);
    ool_free(stream->ids);
    memset(stream, 0, sizeof(*stream));
}

/* --- comparing ------------------------------------------------------------------------------------ */

static bool equal(const struct ool_event *a, const struct ool_event *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == OOL_EVENT_PHASE)
        return a->phase_length == b->phase_length &&
               memcmp(a->phase, b->phase, a->phase_length) == 0;
    return a->value == b->value;
}

static size_t frees_from(const struct ool_stream *stream, size_t at)
{
    size_t n = 0;

    while (at + n < stream->n && stream->events[at + n].kind == OOL_EVENT_FREE)
        n++;
    return n;
}

static int by_value(const void *a, const void *b)
{
    const struct ool_event *x = a, *y = b;

    return x->value < y->value ? -1 : x->value > y->value;
}

/* The n frees from @at are the same set in both. */
static bool same_set(const struct ool_stream *a, const struct ool_stream *b, size_t at, size_t n)
{
    struct ool_event *copy = ool_reallocarray(NULL, 2 * n, sizeof(*copy));
    bool same = copy != NULL;

    if (!copy)
        return false;
    memcpy(copy, a->events + at, n * sizeof(*copy));
    memcpy(copy + n, b->events + at, n * sizeof(*copy));
    qsort(copy, n, sizeof(*copy), by_value);
    qsort(copy + n, n, sizeof(*copy), by_value);
    for (size_t i = 0; same && i < n; i++)
        same = copy[i].value == copy[n + i].value;
    ool_free(copy);
    return same;
}

static void show(const struct ool_stream *stream, size_t at, char *out, size_t size)
{
    const struct ool_event *event;

    out[0] = '\0';
    if (at >= stream->n)
        return;
    event = &stream->events[at];
    switch (event->kind) {
    case OOL_EVENT_ALLOC:
        snprintf(out, size, "+%" PRIu64, event->value);
        break;
    case OOL_EVENT_FREE:
        snprintf(out, size, "-%" PRIu64 " (%" PRIu64 ")", event->value,
                 event->value < stream->n_ids ? stream->sizes[event->value] : 0);
        break;
    case OOL_EVENT_SEGMENT_TAKEN:
        snprintf(out, size, "S+%" PRIu64, event->value);
        break;
    case OOL_EVENT_SEGMENT_GIVEN:
        snprintf(out, size, "S-%" PRIu64, event->value);
        break;
    case OOL_EVENT_OOM:
        snprintf(out, size, "OOM%" PRIu64, event->value);
        break;
    case OOL_EVENT_PHASE:
        snprintf(out, size, "|%.*s", (int)event->phase_length, event->phase);
        break;
    }
}

static void explain(const struct ool_stream *truth, const struct ool_stream *here,
                    const struct ool_program *program, size_t at, struct ool_text *detail)
{
    size_t end = at, from = at > AROUND ? at - AROUND : 0, ids = 0;
    char left[64], right[64];

    while (end < truth->n && truth->events[end].kind != OOL_EVENT_PHASE)
        end++;
    for (size_t i = 0; i < from; i++)
        ids += truth->events[i].kind == OOL_EVENT_ALLOC;
    ool_text_printf(detail, "event %zu, in %.*s:\n", at,
                    end < truth->n ? (int)truth->events[end].phase_length : 3,
                    end < truth->n ? truth->events[end].phase : "end");
    ool_text_printf(detail, "  %6s  %-28s %-28s %s\n", "id", "recorded", "here", "made by");
    for (size_t i = from; i < at + AROUND && (i < truth->n || i < here->n); i++) {
        uint32_t storage = i < here->n ? here->events[i].storage : OOL_NONE;
        char id[16] = "";

        if (i < truth->n && truth->events[i].kind == OOL_EVENT_ALLOC)
            snprintf(id, sizeof(id), "%zu", ids++);
        show(truth, i, left, sizeof(left));
        show(here, i, right, sizeof(right));
        ool_text_printf(detail, "%c %6s  %-28s %-28s %s\n", i == at ? '>' : ' ', id, left, right,
                        storage == OOL_NONE
                            ? ""
                            : ool_program_text_of(program, program->storages[storage].origin));
    }
}

bool ool_stream_compare(const struct ool_stream *truth, const struct ool_stream *here,
                        const struct ool_program *program, bool sets, struct ool_text *detail)
{
    for (size_t i = 0; i < truth->n; i++) {
        size_t n;

        if (i < here->n && equal(&truth->events[i], &here->events[i])) {
            if (truth->events[i].kind == OOL_EVENT_OOM)
                return true; /* what the recorder's process freed while it ended is not the workload's */
            continue;
        }
        n = sets && i < here->n ? frees_from(truth, i) : 0;
        if (n > 0 && n == frees_from(here, i) && same_set(truth, here, i, n)) {
            i += n - 1;
            continue;
        }
        explain(truth, here, program, i, detail);
        return false;
    }
    return true;
}
