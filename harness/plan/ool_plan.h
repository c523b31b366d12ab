/*
 * ool_plan.h - what a program needs, without a device: liveness, peaks, verdicts, largest sizes, growth.
 *
 * Liveness alone gives the requested bytes and the growth per iteration. `plan` then drives the
 * allocator's own policy over a card's books, without pages, observers or a timeline, so that reserved
 * bytes are the policy's, not a guess: over the case's card for the verdict, and where that ends in an out
 * of memory once more over a card without end for what would be needed.
 */
#ifndef OOL_PLAN_H
#define OOL_PLAN_H

#include "ool_error.h"
#include "ool_program.h"
#include "ool_scenario.h"

#define OOL_TOP 10

struct ool_alive {
    const char *origin; /* module path; borrowed from the program */
    enum ool_category category;
    uint64_t bytes;
};

struct ool_plan {
    enum ool_outcome outcome;
    uint64_t peak_requested; /* bytes that were asked for, at the most */
    uint64_t peak_allocated, peak_reserved,
        peak_device; /* on the card, up to its end or failure: as `run` has them */
    uint64_t need_requested, need_allocated, need_reserved,
        need_device;                        /* on a card without end; the same if it fits */
    char *peak_phase;                       /* where need_allocated is reached */
    uint64_t by_category[OOL_N_CATEGORIES]; /* allocated there */
    struct ool_alive top[OOL_TOP];
    size_t n_top;
    char *failed_phase, *failed_origin; /* of an oom; NULL = it fits */
    uint64_t failed_bytes;
    uint64_t capacity, context; /* of the card; capacity 0 = unknown, nothing can fail */
    int64_t
        growth; /* requested bytes per iteration of the outermost loop or step that stay; 0 = none */
    uint64_t params, trainable;
    uint64_t n_ops;              /* of the program */
    struct ool_program *program; /* owned */
};

/**
 * ool_plan_case - the plan of a case whose mitigations are applied
 *
 * Lowers the case; the plan owns the program that its texts come from.
 * Errors: those of ool_case_lower() and of the allocator's settings. Not fitting is no error.
 */
enum ool_status ool_plan_case(const struct ool_case *c, struct ool_plan **plan,
                              struct ool_error *err);
void ool_plan_close(struct ool_plan *plan);

/**
 * ool_plan_program - the same for a program that is lowered already
 *
 * Takes @program over, also on error.
 */
enum ool_status ool_plan_program(struct ool_program *program, const struct ool_case *c,
                                 const struct ool_workload_facts *facts, struct ool_plan **plan,
                                 struct ool_error *err);

/* Liveness: what a program asks for, from its operations alone. */
struct ool_liveness {
    uint64_t peak_requested; /* bytes on the card, loops at their full count */
    int64_t growth; /* of the outermost loop that grows most, bytes per iteration; 0 = none */
    uint64_t n_ops; /* loops unrolled */
};

/**
 * ool_liveness_of - the requested bytes of @program at their peak, and what its loops leave behind
 *
 * A loop's body is walked twice (the first iteration may replace what stood before the loop) and then
 * multiplied: linear in the operations written down, not in those executed.
 * Errors: OOL_E_PROGRAM, OOL_E_OVERFLOW (more than 2^63 bytes), OOL_E_HOST_OOM.
 */
enum ool_status ool_liveness_of(const struct ool_program *program, struct ool_liveness *liveness,
                                struct ool_error *err);

/* The largest value of batch (or of sequence) that fits; 0 = not even 1. */
struct ool_largest {
    int64_t value;
    bool
        exhaustive; /* every value was tried, since the need is not monotone; otherwise bisection */
    bool limited;   /* the value is the limit: more may fit */
    int64_t tried;  /* values that were looked at */
};
enum ool_size_axis { OOL_AXIS_BATCH, OOL_AXIS_SEQUENCE };
/**
 * ool_plan_largest - of the case's first workload
 *
 * Bisection over the requested bytes (by liveness) finds the first value that cannot fit; from there
 * values are planned downwards until one fits. Where the requested bytes of the values tried are not
 * monotone, every value up to twice that bound is planned instead. Values that the workload refuses (a
 * batch that micro-batches don't divide) are passed over.
 * @limit: the largest value looked at
 * Errors: OOL_E_UNSUPPORTED (no workload with such an axis, no card of known size), those of ool_plan_case().
 */
enum ool_status ool_plan_largest(const struct ool_case *c, enum ool_size_axis axis, int64_t limit,
                                 struct ool_largest *largest, struct ool_error *err);

#endif
