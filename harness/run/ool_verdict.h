/*
 * ool_verdict.h - what happened against what the scenario expects, and what a mitigation did.
 */
#ifndef OOL_VERDICT_H
#define OOL_VERDICT_H

#include "ool_run.h"

enum ool_effect {
    OOL_EFFECT_NONE,     /* the baseline itself, or there is nothing to compare with */
    OOL_EFFECT_RESOLVES, /* the baseline does not fit, this case does */
    OOL_EFFECT_SAVES,    /* the peak is lower */
    OOL_EFFECT_INERT,    /* nothing changed that is worth a word: see OOL_INERT_SHARE */
    OOL_EFFECT_WORSE     /* the peak is higher, or what fitted no longer does */
};
const char *ool_effect_name(enum ool_effect effect); /* "" for none */

/* A change of less than this share of the baseline's need is none: another split, another rounding. */
#define OOL_INERT_SHARE 0.01

/* What a case needs less than its baseline (below zero: more). */
struct ool_saving {
    bool
        reserved; /* of reserved bytes, since the allocated ones are the same; otherwise of allocated */
    double bytes;
    double share; /* of the baseline's need */
};

/**
 * ool_saving_of - what both need on a card without end (ool_run_needs()), compared
 *
 * The peak of a case that ran out of memory says nothing about its needs. Allocated bytes decide, and where these are
 * the same within OOL_INERT_SHARE, reserved bytes.
 */
struct ool_saving ool_saving_of(const struct ool_result *result, const struct ool_result *baseline);

/**
 * ool_effect_of - what a mitigation did, by its saving and by whether it fits
 *
 * @baseline: NULL or a case that was not run = OOL_EFFECT_NONE
 */
enum ool_effect ool_effect_of(const struct ool_result *result, const struct ool_result *baseline);

struct ool_verdict {
    bool pass;
    size_t n_expectations; /* that speak of this case */
    char **failures;       /* one text each */
    size_t n_failures;
};

/**
 * ool_verdict_reach - hold @result against the expectations of the case's scenario
 *
 * All that speak of the case have to hold. Where none does, every outcome but an error passes. An allocator whose
 * books disagree after an out of memory fails in any case.
 * @baseline: for expected effects; NULL = the case is the baseline
 */
enum ool_status ool_verdict_reach(const struct ool_case *c, const struct ool_result *result,
                                  const struct ool_result *baseline, struct ool_verdict *verdict,
                                  struct ool_error *err);
void ool_verdict_fini(struct ool_verdict *verdict);

#endif
