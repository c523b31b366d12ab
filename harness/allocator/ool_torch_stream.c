/*
 * ool_torch_stream.c - streams, the events on them, and blocks that wait for events.
 *
 * PyTorch keeps the streams that have events, and the streams that used a block, in hash tables and
 * walks them in slot order (ska::flat_hash_map: Fibonacci hashing, robin-hood probing). That order
 * decides which of two neighbouring blocks is freed first when events of several streams are complete
 * at once, so the tables are kept here as they are there.
 */
#include "ool_torch.h"

#include "ool_mem.h"

#include <string.h>

#define FEWEST_PROBES 4

/* ---- tables ---- */

static void table_fini(struct ool_torch_table *table)
{
    ool_free(table->slots);
    memset(table, 0, sizeof *table);
}

static uint32_t table_length(const struct ool_torch_table *table)
{
    return table->n_slots == 0 ? 0 : table->n_slots + table->most_probes;
}

static bool table_insert(struct ool_torch_table *table, struct ool_torch_stream *stream);

static bool table_grow(struct ool_torch_table *table)
{
    struct ool_torch_table bigger = {NULL, table->n_slots < 2 ? 4 : 2 * table->n_slots, 0, 0};

    bigger.most_probes = 31 - (uint32_t)__builtin_clz(bigger.n_slots);
    if (bigger.most_probes < FEWEST_PROBES)
        bigger.most_probes = FEWEST_PROBES;
    bigger.slots = ool_reallocarray(NULL, table_length(&bigger), sizeof *bigger.slots);
    if (bigger.slots == NULL)
        return false;
    for (uint32_t i = 0; i < table_length(&bigger); i++)
        bigger.slots[i] = (struct ool_torch_slot){NULL, -1};
    for (uint32_t i = 0; i < table_length(table); i++) {
        if (table->slots[i].distance >= 0 && !table_insert(&bigger, table->slots[i].stream)) {
            table_fini(&bigger);
            return false;
        }
    }
    ool_free(table->slots);
    *table = bigger;
    return true;
}

static uint32_t home_slot(const struct ool_torch_table *table,
                          const struct ool_torch_stream *stream)
{
    return (uint32_t)(UINT64_C(11400714819323198485) * stream->slot_hash >>
                      (64 - (31 - __builtin_clz(table->n_slots))));
}

/* Carries what it displaced up to an empty slot; false: the probe limit was hit, table must grow. */
static bool displace(struct ool_torch_table *table, struct ool_torch_slot *at,
                     struct ool_torch_slot carried)
{
    struct ool_torch_slot *first = at, held = *at;

    *at = carried;
    carried = held;
    for (;;) {
        at++;
        if (++carried.distance == (int)table->most_probes) {
            first->stream = carried.stream; /* the new one leaves again, the carried one stays */
            return false;
        }
        if (at->distance < 0) {
            *at = carried;
            table->n_used++;
            return true;
        }
        if (at->distance < carried.distance) {
            held = *at;
            *at = carried;
            carried = held;
        }
    }
}

/* Nothing happens if the stream is there already; false when memory is short. */
static bool table_insert(struct ool_torch_table *table, struct ool_torch_stream *stream)
{
    struct ool_torch_slot *at, fresh = {stream, 0};

    for (;;) {
        if (table->n_slots > 0) {
            at = &table->slots[home_slot(table, stream)];
            for (fresh.distance = 0; at->distance >= fresh.distance; at++, fresh.distance++) {
                if (at->stream == stream)
                    return true;
            }
            if (fresh.distance < (int)table->most_probes &&
                2 * (table->n_used + 1) <= table->n_slots) {
                if (at->distance < 0) {
                    *at = fresh;
                    table->n_used++;
                    return true;
                }
                if (displace(table, at, fresh))
                    return true;
            }
        }
        if (!table_grow(table))
            return false;
    }
}

/* Displaced entries that follow move back by one, so the next one to visit is at the same index. */
static void table_erase(struct ool_torch_table *table, uint32_t index)
{
    struct ool_torch_slot *at = &table->slots[index];

    table->n_used--;
    for (; at[1].distance > 0; at++) {
        at->stream = at[1].stream;
        at->distance = at[1].distance - 1;
    }
    *at = (struct ool_torch_slot){NULL, -1};
}

/* ---- streams ---- */

/* c10's StreamId of the k-th stream taken from the pool of the default priority is 32 k + 3. */
static uint64_t slot_hash(int device_index, uint32_t number)
{
    uint64_t id = number == 0 ? 0 : (uint64_t)(number - 1) * 32 + 3;

    return UINT64_C(1) << 56 | (uint64_t)(uint8_t)device_index << 48 | id;
}

struct ool_torch_stream *ool_torch_stream_get(struct ool_torch *torch, uint32_t number)
{
    size_t low = 0, high = torch->n_streams;
    struct ool_torch_stream *stream;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (torch->streams[middle]->number == number)
            return torch->streams[middle];
        if (torch->streams[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (!ool_grow(&torch->streams, &torch->streams_capacity, torch->n_streams,
                  sizeof *torch->streams))
        return NULL;
    stream = ool_calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->number = number;
    stream->slot_hash = slot_hash(torch->device_index, number);
    memmove(&torch->streams[low + 1], &torch->streams[low],
            (torch->n_streams - low) * sizeof *torch->streams);
    torch->streams[low] = stream;
    torch->n_streams++;
    return stream;
}

struct ool_torch_heap *ool_torch_heap_new(struct ool_torch_stream *stream, bool small)
{
    struct ool_torch_heap *heap = ool_calloc(1, sizeof *heap);

    if (heap != NULL) {
        heap->stream = stream;
        heap->small = small;
    }
    return heap;
}

struct ool_torch_heap *ool_torch_heap_get(struct ool_torch_stream *stream, bool small)
{
    struct ool_torch_heap *heap = stream->heaps[small];

    if (heap != NULL)
        return heap;
    return stream->heaps[small] = ool_torch_heap_new(stream, small);
}

void ool_torch_streams_fini(struct ool_torch *torch)
{
    struct ool_torch_event *event;

    for (size_t i = 0; i < torch->n_streams; i++) {
        struct ool_torch_stream *stream = torch->streams[i];
        while ((event = stream->first) != NULL) {
            stream->first = event->next;
            ool_free(event);
        }
        ool_free(stream->heaps[0]);
        ool_free(stream->heaps[1]);
        ool_free(stream);
    }
    ool_free(torch->streams);
    while ((event = torch->spare_events) != NULL) {
        torch->spare_events = event->next;
        ool_free(event);
    }
    table_fini(&torch->waiting);
}

/* ---- uses and events ---- */

static void give_event(struct ool_torch *torch, struct ool_torch_event *event)
{
    event->next = torch->spare_events;
    torch->spare_events = event;
    torch->n_spare_events++;
}

bool ool_torch_uses_add(struct ool_torch *torch, struct ool_torch_block *block,
                        struct ool_torch_stream *stream)
{
    struct ool_torch_event *event;
    uint32_t n_before;

    if (torch->n_spare_events <= torch->n_promised) {
        event = ool_malloc(sizeof *event);
        if (event == NULL)
            return false;
        give_event(torch, event);
    }
    if (block->uses == NULL) {
        block->uses = ool_calloc(1, sizeof *block->uses);
        if (block->uses == NULL)
            return false;
    }
    n_before = block->uses->n_used;
    if (!table_insert(block->uses, stream))
        return false;
    torch->n_promised += block->uses->n_used - n_before;
    return true;
}

void ool_torch_uses_fini(struct ool_torch_block *block)
{
    if (block->uses != NULL)
        table_fini(block->uses);
    ool_free(block->uses);
    block->uses = NULL;
}

static void record_event(struct ool_torch *torch, struct ool_torch_stream *stream,
                         struct ool_torch_block *block)
{
    struct ool_torch_event *event = torch->spare_events;

    torch->n_promised--;
    if (!table_insert(&torch->waiting, stream)) {
        torch->short_of_memory = true; /* the block does not wait for this stream */
        return;
    }
    torch->spare_events = event->next;
    torch->n_spare_events--;
    *event = (struct ool_torch_event){block, ++stream->n_recorded, NULL};
    if (!stream->busy)
        stream->n_complete = stream->n_recorded;
    if (stream->first == NULL)
        stream->first = event;
    else
        stream->last->next = event;
    stream->last = event;
    block->n_events++;
}

void ool_torch_uses_wait(struct ool_torch *torch, struct ool_torch_block *block)
{
    struct ool_torch_table *uses = block->uses;

    for (uint32_t i = 0; i < table_length(uses); i++) {
        if (uses->slots[i].distance >= 0)
            record_event(torch, uses->slots[i].stream, block);
    }
    ool_torch_uses_fini(block);
    if (block->n_events == 0)
        ool_torch_free_block(torch, block);
}

void ool_torch_uses_defer(struct ool_torch *torch, struct ool_torch_block *block)
{
    block->left = NULL;
    if (torch->deferred == NULL)
        torch->deferred = block;
    else
        torch->last_deferred->left = block;
    torch->last_deferred = block;
}

static void record_deferred(struct ool_torch *torch)
{
    struct ool_torch_block *block;

    while ((block = torch->deferred) != NULL) {
        torch->deferred = block->left;
        ool_torch_uses_wait(torch, block);
    }
}

static void finish_first(struct ool_torch *torch, struct ool_torch_stream *stream)
{
    struct ool_torch_event *event = stream->first;
    struct ool_torch_block *block = event->block;

    stream->first = event->next;
    give_event(torch, event);
    if (--block->n_events == 0)
        ool_torch_free_block(torch, block);
}

void ool_torch_events_poll(struct ool_torch *torch)
{
    uint32_t i = 0;

    record_deferred(torch);
    while (i < table_length(&torch->waiting)) {
        struct ool_torch_stream *stream = torch->waiting.slots[i].stream;
        while (stream != NULL && stream->first != NULL &&
               stream->first->number <= stream->n_complete)
            finish_first(torch, stream);
        if (stream != NULL && stream->first == NULL)
            table_erase(&torch->waiting, i);
        else
            i++;
    }
}

void ool_torch_events_finish(struct ool_torch *torch)
{
    record_deferred(torch);
    for (uint32_t i = 0; i < table_length(&torch->waiting); i++) {
        struct ool_torch_stream *stream = torch->waiting.slots[i].stream;
        while (stream != NULL && stream->first != NULL) {
            if (stream->n_complete < stream->first->number)
                stream->n_complete = stream->first->number;
            finish_first(torch, stream);
        }
        torch->waiting.slots[i] = (struct ool_torch_slot){NULL, -1};
    }
    torch->waiting.n_used = 0;
}
