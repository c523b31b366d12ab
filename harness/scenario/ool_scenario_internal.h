/*
 * ool_scenario_internal.h - a scenario's document as the table of keys fills it, once for each point.
 */
#ifndef OOL_SCENARIO_INTERNAL_H
#define OOL_SCENARIO_INTERNAL_H

#include "ool_reader.h"

struct ool_document {
    int64_t format;
    const char *title, *description;
    const char *const *tags;
    size_t n_tags;
    struct ool_card card;
    uint64_t other_bytes;
    struct ool_allocator_choice allocator;
    struct ool_job single; /* "workload" or "operations" without "jobs" */
    struct ool_job *jobs;
    size_t n_jobs;
    struct ool_stack *stacks;
    size_t n_stacks;
    struct ool_expectation *expectations;
    size_t n_expectations;
};

#define OOL_MAX_STACKS 256
#define OOL_MAX_STEPS 16 /* of one stack */
#define OOL_MAX_JOBS 64
#define OOL_MAX_LOOPS 4 /* loops within loops */

/* 64 hexadecimal digits and a NUL. */
void ool_sha256(const void *data, size_t length, char out[65]);

/* The operations of an explicit job as a program. Names were checked when the scenario was loaded. */
enum ool_status ool_operations_lower(const struct ool_job *job, struct ool_program *program,
                                     struct ool_error *err);

/* Frees what a case owns; it may be half made. */
void ool_case_release(struct ool_case *c);

#endif
