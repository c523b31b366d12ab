/*
 * ool_models_stream.h - event streams: the recorded text, what a run made, and their first difference.
 */
#ifndef OOL_MODELS_STREAM_H
#define OOL_MODELS_STREAM_H

#include "ool_run.h"

enum ool_event_kind {
    OOL_EVENT_ALLOC,         /* value: bytes; the n-th has id n */
    OOL_EVENT_FREE,          /* value: id */
    OOL_EVENT_SEGMENT_TAKEN, /* value: bytes */
    OOL_EVENT_SEGMENT_GIVEN,
    OOL_EVENT_OOM, /* value: bytes */
    OOL_EVENT_PHASE
};
struct ool_event {
    enum ool_event_kind kind;
    uint32_t storage; /* in the program that made it; OOL_NONE in a recorded one */
    uint64_t value;
    const char *phase; /* borrowed, with its length: recorded text is not cut into pieces */
    size_t phase_length;
};
struct ool_stream {
    struct ool_event *events;
    size_t n, capacity;
    uint64_t *sizes; /* bytes of each id */
    size_t n_ids, sizes_capacity;
    uint64_t *ids; /* of each storage, the id of its living instance */
    size_t n_storages;
    bool failed; /* memory was short */
};

/* Reads a recorded text, which must outlive the stream. OOL_E_DATA or OOL_E_HOST_OOM. */
enum ool_status ool_stream_parse(struct ool_stream *stream, const char *text,
                                 struct ool_error *err);
/* Prepares to record a run of @program; the observer writes into the stream. */
enum ool_status ool_stream_observe(struct ool_stream *stream, const struct ool_program *program,
                                   struct ool_run_observer *observer, struct ool_error *err);
void ool_stream_fini(struct ool_stream *stream);

/**
 * ool_stream_compare - are the events of @here those of @truth, as far as @truth goes?
 *
 * An out of memory ends both.
 * @sets: runs of frees may come in another order (autocast's exits)
 * @detail: the first difference with both streams side by side around it
 */
bool ool_stream_compare(const struct ool_stream *truth, const struct ool_stream *here,
                        const struct ool_program *program, bool sets, struct ool_text *detail);

#endif
