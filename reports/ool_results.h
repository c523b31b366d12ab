/*
 * ool_results.h - results.json: one record a case, from which every report is made.
 *
 * A report reads records and nothing else, so each can be made again from a stored file. The file's
 * schema is reports/schema/results-1.json. No clock is in it: the same input gives the same bytes.
 */
#ifndef OOL_RESULTS_H
#define OOL_RESULTS_H

#include "ool_mitigation.h"
#include "ool_run.h"
#include "ool_text.h"
#include "ool_verdict.h"

#include <jansson.h>

#define OOL_RESULTS_FORMAT 1
#define OOL_RESULTS_LIMIT (SIZE_MAX / 4) /* bytes of a file */
#define OOL_MOST_BLOCKS 4096             /* of a failure's segments that a record lists */

/* Where a number comes from. */
enum ool_provenance { OOL_MEASURED, OOL_SIMULATED, OOL_PREDICTED, OOL_PUBLISHED };
const char *ool_provenance_name(enum ool_provenance provenance);

enum ool_pass { OOL_PASS_NONE, OOL_PASS, OOL_FAIL }; /* none: the case did not run */

struct ool_record {
    char *id, *scenario, *hash, *title;
    char *point, *stack; /* "batch=4"; "checkpointing+accumulate=4", "" = the baseline */
    char *card, *allocator, *version, *conf;
    uint64_t capacity, context_bytes, other_bytes;
    enum ool_provenance provenance; /* of the bytes; needs are predicted */
    struct ool_result result;       /* without phases and counters, which the file leaves out */
    size_t n_segments;              /* at the failure; result.segments lists as many as fit */
    enum ool_effect effect;
    enum ool_pass pass;
    size_t n_expectations;
    char **failures;
    size_t n_failures;
    double flops, launches; /* the price, see struct ool_price */
    uint64_t moved_bytes;
    char *quality;
    uint64_t elapsed_ns; /* of the run; not in the file */
};

struct ool_results {
    char *version, *system; /* of oomlab; the machine's "Linux x86_64" */
    bool interrupted;       /* some cases are missing or marked so */
    struct ool_record *records;
    size_t n_records, capacity;
};

void ool_results_init(struct ool_results *results);
void ool_results_fini(struct ool_results *results);
void ool_record_fini(struct ool_record *record);

/* Who a case is: everything but what happened. @price may be NULL. On error @record is empty. */
enum ool_status ool_record_init(struct ool_record *record, const struct ool_case *c,
                                const struct ool_price *price, struct ool_error *err);
/* Takes @result over (it is empty afterwards) and trims it to what the file holds. */
void ool_record_take(struct ool_record *record, struct ool_result *result);
/* Takes @verdict over. */
void ool_record_judge(struct ool_record *record, struct ool_verdict *verdict);

/**
 * ool_results_write - the file's text, a line a case
 *
 * Appends to @out, which fails when its maximum is reached.
 */
enum ool_status ool_results_write(const struct ool_results *results, struct ool_text *out,
                                  struct ool_error *err);

/**
 * ool_results_read - read a file's text
 *
 * @path: for messages
 * Errors: OOL_E_JSON, OOL_E_FORMAT, OOL_E_DATA (with the JSON pointer), OOL_E_HOST_OOM. On error
 *         @results is untouched.
 */
enum ool_status ool_results_read(const char *path, const char *text, size_t length,
                                 struct ool_results *results, struct ool_error *err);

/* How many passed, failed, were skipped, could not be run. */
struct ool_summary {
    size_t cases, passed, failed, errors, skipped, interrupted;
    size_t expectations, unmet; /* unmet: failure texts */
};
struct ool_summary ool_results_sum(const struct ool_record *records, size_t n);

/* Records of one scenario and one point of its matrix stand together; the baseline is the one
 * without a stack. */
struct ool_group {
    const struct ool_record *records; /* of one scenario and point */
    size_t n;
    const struct ool_record *baseline; /* NULL = it was not run */
};
/* The group that starts at @records[@first]; the next one starts at first + n. */
struct ool_group ool_results_group(const struct ool_results *results, size_t first);

#endif
