/*
 * ool_plan.h - what a program needs, without a device: liveness, peaks, verdicts, largest sizes, growth.
 *
 * `plan` drives the allocator's own policy over a device of unlimited size that keeps no pages (or over a
 * sim card of the case's capacity for the verdict), so that reserved bytes are the policy's, not a guess.
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
    uint64_t peak_allocated, peak_reserved, peak_device;
    char *peak_phase;        /* where allocated is largest */
    uint64_t by_category[OOL_N_CATEGORIES]; /* allocated at the peak */
    struct ool_alive top[OOL_TOP];
    size_t n_top;
    char *failed_phase, *failed_origin; /* of an oom; NULL = it fits */
    uint64_t failed_bytes;
    int64_t growth;          /* bytes per iteration of the outermost loop or step that stay; 0 = none */
    uint64_t params, trainable;
    struct ool_program *program; /* owned */
};

/**
 * ool_plan_case - the plan of a case whose mitigations are applied
 *
 * Lowers the case; the plan owns the program that its texts come from.
 * Errors: those of ool_case_lower() and of the allocator's settings. Not fitting is no error.
 */
enum ool_status ool_plan_case(const struct ool_case *c, struct ool_plan **plan, struct ool_error *err);
void ool_plan_close(struct ool_plan *plan);

/* The largest value of batch (or of sequence) that fits; 0 = not even 1. */
struct ool_largest {
    int64_t value;
    bool exhaustive; /* every value was tried, since the need is not monotone; otherwise bisection */
    int64_t tried;
};
enum ool_size_axis { OOL_AXIS_BATCH, OOL_AXIS_SEQUENCE };
enum ool_status ool_plan_largest(const struct ool_case *c, enum ool_size_axis axis, int64_t limit,
                                 struct ool_largest *largest, struct ool_error *err);

#endif
