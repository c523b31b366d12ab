/*
 * ool_replay.h - the interpreter under `run` and `plan`: a program's operations, one by one.
 *
 * Each process has a context on the card and an allocator. The state is open to ool_repeat.c, which
 * looks at it between a loop's iterations.
 */
#ifndef OOL_REPLAY_H
#define OOL_REPLAY_H

#include "ool_ledger.h"
#include "ool_run.h"
#include "ool_timeline.h"

/* What a process held and did; a growth is the difference of two. */
struct ool_tally {
    struct ool_allocator_stats stats;
    uint64_t requested, n_allocs, n_frees;
};

struct ool_process {
    struct ool_allocator *allocator;         /* NULL before the process's first operation */
    uint64_t allocated, reserved, requested; /* bytes as last seen */
    double fraction;                         /* of the card that it may take; 1 = all */
    bool unseen; /* the allocator decides by more than its blocks show */
    uint64_t skipped_allocated, skipped_reserved; /* counted by extrapolation, in no segment */
    uint64_t n_allocs, n_frees;
    struct ool_phase_result phase; /* the open one: its peaks, and the counts when it began */
};

/* The storage's latest instance. */
struct ool_instance {
    struct ool_block block;
    bool alive;
};

/* Growth per training step, from the ends of the last steps. */
struct ool_steps {
    uint64_t number, ends; /* the step under way; steps that ended */
    uint64_t requested[3]; /* at the end of the last three, newest first */
    uint64_t latest;       /* at the end of the latest phase of the step under way */
};

struct ool_repeat;
struct ool_frame {
    size_t body;          /* index of the first operation */
    uint64_t total, done; /* iterations */
    uint64_t started;     /* operation number at the start of this iteration */
    uint64_t requested;   /* bytes at the start of this iteration */
    int64_t leak;         /* requested bytes that an iteration leaves behind */
    bool counted;         /* iterations were counted on: the leak is the period's mean */
    uint64_t most_device; /* device bytes at the most since the repeat's anchor */
    struct ool_repeat *repeat;
};

struct ool_replay {
    const struct ool_program *program;
    const struct ool_case *c;
    const struct ool_run_observer *observer;
    struct ool_error *err;
    struct ool_device *sim;    /* the card */
    struct ool_device *device; /* what allocators see: the card, or the observer's tap on it */
    uint64_t context_bytes;
    struct ool_process *processes;
    struct ool_instance *instances;
    struct ool_ledger ledger;
    struct ool_timeline *timeline; /* NULL = not wanted */
    struct ool_frame *frames;      /* open loops, outermost first */
    size_t n_frames, frames_capacity;
    uint64_t credit, look_cost; /* what looking for repeating states may cost, and cost last */
    uint32_t
        *phase_of_op; /* 1 + phase closed by a mark in a loop; NULL before the first such mark */
    size_t phases_capacity;
    struct ool_steps steps;
    size_t at;                                                  /* operation under way */
    uint64_t n_ops;                                             /* executed, loops unrolled */
    uint64_t allocated, reserved, requested, device_used, host; /* bytes, all processes */
    uint32_t peak_origin;
    uint16_t peak_process;
    bool peak_open; /* the phase of the peak is not closed yet */
    bool stopped;   /* out of memory */
    struct ool_result *result;
};

struct ool_replay_config {
    const struct ool_case *c;
    const struct ool_run_observer *observer; /* NULL = none */
    bool unlimited;                          /* a card without end instead of the case's */
    bool brief;                              /* neither timeline nor segments: what a plan needs */
};

/* The work of ool_run_program() and ool_plan_case(). On error @result is empty. */
enum ool_status ool_replay_program(const struct ool_program *program,
                                   const struct ool_replay_config *config,
                                   struct ool_result *result, struct ool_error *err);

/* Bytes in use on the card, contexts and other processes included, as it is now. */
uint64_t ool_replay_device_used(const struct ool_replay *replay);
/* The totals anew from the processes' counters. */
void ool_replay_refresh(struct ool_replay *replay);

/**
 * ool_repeat_check - at the end of an iteration: does the state repeat up to its growth?
 *
 * Where it does, iterations are counted on (frame->done grows) as far as the loop and the card
 * allow with at least one period left to run.
 */
enum ool_status ool_repeat_check(struct ool_replay *replay, struct ool_frame *frame);
void ool_repeat_close(struct ool_repeat *repeat);

#endif
