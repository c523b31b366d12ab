/*
 * ool_mitigation.h - fixes as functions from case to case, each with its mechanism and its price.
 *
 * Every mitigation stands in a file of its own with one `const struct ool_mitigation`; the table in
 * ool_mitigation.c lists them in the order in which `oomlab list` shows them.
 */
#ifndef OOL_MITIGATION_H
#define OOL_MITIGATION_H

#include "ool_error.h"
#include "ool_scenario.h"

/* What a case costs more than its baseline; fractions of the baseline's work, 0.33 = a third more.
 */
struct ool_price {
    double flops;         /* recomputed work */
    double launches;      /* more kernel launches and micro-batches */
    uint64_t moved_bytes; /* over the bus, the whole run */
    const char *
        quality; /* what changes in the results: "smaller batch: noisier gradients"; "" = nothing */
};

struct ool_mitigation {
    const char *name;         /* "gradient-checkpointing" */
    const char *aliases;      /* words also accepted, separated by spaces; "" = none */
    const char *summary;      /* one line for the list */
    const char *mechanism;    /* why it helps and when not, with the source */
    const char *value;        /* how a value reads, "k >= 2"; NULL = takes none */
    const char *const *words; /* what a value may be, NULL-terminated; NULL = no word */
    int64_t least, most; /* or a whole number in these bounds; 0 = no number, most 0 = no bound */
    const char *group;   /* two of one group exclude each other, "precision"; "" = none */
    /* Changes @c; OOL_E_COMBINATION with the reason where it makes no sense for this case. */
    enum ool_status (*apply)(struct ool_case *c, const char *value, struct ool_error *err);
    /* Adds to @price what this step costs, @before and @after being the case around apply(). */
    void (*price)(const struct ool_case *before, const struct ool_case *after,
                  struct ool_price *price);
};

const struct ool_mitigation *const *ool_mitigations(size_t *n);
const struct ool_mitigation *ool_mitigation_find(const char *name); /* or an alias; NULL = none */
/* The nearest name for a misspelt one; NULL = none is near. */
const char *ool_mitigation_suggest(const char *name);
/* What is wrong with a step whatever the case: OOL_E_REFERENCE (unknown name, the hint is a near one),
 * OOL_E_RANGE or OOL_E_CHOICE (a value that it never takes). For ool_scenario_load_checked(). */
enum ool_status ool_mitigation_check(const struct ool_step *step, struct ool_error *err);

/**
 * ool_mitigation_apply - apply the case's whole stack, in its order
 *
 * Rules: a mitigation may stand once in a stack; smaller-batch before accumulation; two of one kind
 * (two precisions, two attention kernels, two optimizers) exclude each other. Errors:
 * OOL_E_REFERENCE (unknown name, with a suggestion), OOL_E_COMBINATION, OOL_E_RANGE (value).
 */
enum ool_status ool_mitigation_apply(struct ool_case *c, struct ool_price *price,
                                     struct ool_error *err);

#endif
