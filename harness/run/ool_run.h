/*
 * ool_run.h - replay a program: program x allocator x device -> what happened.
 */
#ifndef OOL_RUN_H
#define OOL_RUN_H

#include "ool_allocator.h"
#include "ool_device.h"
#include "ool_error.h"
#include "ool_program.h"
#include "ool_scenario.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OOL_TIMELINE_POINTS 512
#define OOL_TOP_ALIVE 10

struct ool_point {
    uint64_t op; /* number of the operation executed last (loops unrolled) */
    uint64_t allocated, reserved, device; /* bytes */
};
struct ool_phase_result {
    char *name;
    uint64_t allocated, reserved, requested;                /* at its end */
    uint64_t peak_allocated, peak_reserved, peak_requested; /* within it */
    uint64_t n_allocs, n_frees;
    uint64_t segments, retries; /* at its end */
};
struct ool_alive_result {
    char *origin;
    enum ool_category category;
    uint64_t bytes;
};

enum ool_case_status { OOL_CASE_RAN, OOL_CASE_SKIPPED, OOL_CASE_INTERRUPTED };
struct ool_result {
    enum ool_case_status status;
    char *reason; /* of a skip */
    enum ool_outcome outcome;
    char *phase, *origin;              /* of an oom; otherwise of the peak */
    char *message;                     /* the framework's text of an oom */
    uint64_t failed_bytes, free_bytes; /* of an oom: the request, what the card had */
    uint64_t capacity, peak_allocated, peak_requested, peak_reserved, peak_device;
    struct ool_alive_result alive[OOL_TOP_ALIVE]; /* at the allocated peak, or at the failure */
    size_t n_alive;
    uint64_t by_category[OOL_N_CATEGORIES];
    int64_t leak; /* requested bytes per iteration (of a loop, or a training step) that stay */
    bool
        extrapolated; /* a loop's state repeated up to its growth, and iterations were counted, not run */
    uint64_t iterations; /* of the outermost loop: done, or at which it fails */
    struct ool_point *timeline;
    size_t n_timeline;
    struct ool_phase_result *phases;
    size_t n_phases;
    struct ool_snapshot segments;     /* at a failure */
    struct ool_allocator_stats stats; /* of the first process */
    uint64_t n_ops, n_allocs, n_frees;
    uint64_t host_peak; /* bytes in host memory, pageable and pinned */
    bool healthy;       /* of an oom: the books agree and the allocator still serves */
    bool has_needs;     /* ool_run_needs() filled these */
    uint64_t need_requested, need_allocated, need_reserved, need_device; /* on a card without end */
};

/* Called for every executed operation that allocates or frees; for event-by-event comparison. NULL = none. */
struct ool_run_observer {
    void (*event)(void *state, const struct ool_op *op, uint64_t bytes, bool failed);
    void (*segment)(void *state, uint64_t bytes,
                    bool taken);                  /* a segment taken from or given to the device */
    void (*mark)(void *state, const char *phase); /* the end of a phase; NULL = not wanted */
    void *state;
};

/**
 * ool_run_program - replay @program on the case's simulated card with the case's allocator
 *
 * One allocator a process. Stops at the first out-of-memory that is final (as an uncaught exception would).
 * Errors: OOL_E_CONF, OOL_E_UNSUPPORTED, OOL_E_PROGRAM, OOL_E_INTERRUPTED, OOL_E_HOST_OOM; an oom is a result.
 */
enum ool_status ool_run_program(const struct ool_program *program, const struct ool_case *c,
                                const struct ool_run_observer *observer, struct ool_result *result,
                                struct ool_error *err);
void ool_result_fini(struct ool_result *result);

/**
 * ool_run_needs - what the program would take on a card without end: @result's need_* fields
 *
 * Where the result fits, these are its peaks; otherwise the program is replayed once more.
 */
enum ool_status ool_run_needs(const struct ool_program *program, const struct ool_case *c,
                              struct ool_result *result, struct ool_error *err);

/* Set from a signal handler: running programs stop with OOL_E_INTERRUPTED. */
void ool_run_interrupt(void);
bool ool_run_interrupted(void);

#endif
