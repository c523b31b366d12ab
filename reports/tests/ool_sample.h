/*
 * ool_sample.h - results written by hand, for tests of the reports.
 */
#ifndef OOL_SAMPLE_H
#define OOL_SAMPLE_H

#include "ool_mem.h"
#include "ool_results.h"

#include <string.h>

#define SAMPLE_GIB (UINT64_C(1) << 30)

static inline bool sample_texts(struct ool_record *r, const char *scenario, const char *point,
                                const char *stack)
{
    char id[256];

    snprintf(id, sizeof id, "%s%s%s%s%s%s", scenario, *point != '\0' ? "[" : "", point,
             *point != '\0' ? "]" : "", *stack != '\0' ? "+" : "", stack);
    r->id = ool_strdup(id);
    r->scenario = ool_strdup(scenario);
    r->hash = ool_strdup("00ff");
    r->title = ool_strdup("A title with <markup> & \"quotes\"");
    r->point = ool_strdup(point);
    r->stack = ool_strdup(stack);
    r->card = ool_strdup("rtx-4090");
    r->allocator = ool_strdup("torch");
    r->version = ool_strdup("2.11");
    r->conf = ool_strdup("");
    r->quality = ool_strdup("");
    r->capacity = 24 * SAMPLE_GIB;
    r->context_bytes = SAMPLE_GIB / 2;
    r->provenance = OOL_SIMULATED;
    return r->id != NULL && r->scenario != NULL && r->hash != NULL && r->title != NULL &&
           r->point != NULL && r->stack != NULL && r->card != NULL && r->allocator != NULL &&
           r->version != NULL && r->conf != NULL && r->quality != NULL;
}

/* A case that ran: @need bytes, and out of memory where that is more than the card's. */
static inline bool sample_result(struct ool_record *r, uint64_t need)
{
    struct ool_result *result = &r->result;
    bool fits = need <= 23 * SAMPLE_GIB;

    result->outcome = fits ? OOL_OUTCOME_FITS : OOL_OUTCOME_OOM;
    result->phase = ool_strdup("s1.forward");
    result->origin = ool_strdup("layers.0/attn/scores");
    result->message = fits ? NULL : ool_strdup("CUDA out of memory. Tried to allocate 1.00 GiB.");
    result->capacity = r->capacity;
    result->healthy = !fits;
    result->has_needs = true;
    result->need_requested = result->need_allocated = need;
    result->need_reserved = need + (1 << 20);
    result->need_device = result->need_reserved + r->context_bytes;
    result->peak_requested = result->peak_allocated = fits ? need : 23 * SAMPLE_GIB;
    result->peak_reserved = result->peak_allocated + (1 << 20);
    result->peak_device = result->peak_reserved + r->context_bytes;
    result->by_category[OOL_CATEGORY_ACTIVATION] = result->peak_allocated;
    result->alive[0].origin = ool_strdup("layers.0/attn/scores");
    result->alive[0].category = OOL_CATEGORY_ACTIVATION;
    result->alive[0].bytes = result->peak_allocated;
    result->n_alive = 1;
    result->n_ops = 3;
    result->timeline = ool_calloc(3, sizeof *result->timeline);
    if (result->timeline == NULL)
        return false;
    for (size_t i = 0; i < 3; i++)
        result->timeline[i] = (struct ool_point){i + 1, result->peak_allocated / 3 * (i + 1),
                                                 result->peak_reserved, result->peak_device};
    result->n_timeline = 3;
    return result->phase != NULL && result->origin != NULL && result->alive[0].origin != NULL &&
           (fits || result->message != NULL);
}

static inline bool sample_segments(struct ool_record *r)
{
    struct ool_snapshot *s = &r->result.segments;

    s->segments = ool_calloc(1, sizeof *s->segments);
    s->blocks = ool_calloc(2, sizeof *s->blocks);
    if (s->segments == NULL || s->blocks == NULL)
        return false;
    s->segments[0] = (struct ool_segment_info){.bytes = 2097152, .small = true, .n_blocks = 2};
    s->blocks[0] = (struct ool_block_info){.bytes = 512, .state = OOL_BLOCK_ALLOCATED};
    s->blocks[1] = (struct ool_block_info){.bytes = 2096640};
    s->n_segments = r->n_segments = 1;
    s->n_blocks = 2;
    return true;
}

static inline bool sample_failure(struct ool_record *r, const char *text)
{
    r->failures = ool_calloc(1, sizeof *r->failures);
    if (r->failures == NULL)
        return false;
    r->failures[0] = ool_strdup(text);
    r->n_failures = r->failures[0] != NULL;
    return r->n_failures == 1;
}

/* Two scenarios; one of each status, outcome and verdict. False = host memory is short. */
static inline bool sample_results(struct ool_results *results)
{
    static const struct {
        const char *scenario, *point, *stack;
        uint64_t need;
        enum ool_effect effect;
        enum ool_pass pass;
        double flops;
    } rows[] = {
        {"big/llama", "batch=4", "", 40 * SAMPLE_GIB, OOL_EFFECT_NONE, OOL_PASS, 0},
        {"big/llama", "batch=4", "checkpointing", 12 * SAMPLE_GIB, OOL_EFFECT_RESOLVES, OOL_PASS,
         0.33},
        {"big/llama", "batch=4", "sdpa", 20 * SAMPLE_GIB, OOL_EFFECT_RESOLVES, OOL_PASS, 0},
        {"big/llama", "batch=4", "amp", 41 * SAMPLE_GIB, OOL_EFFECT_WORSE, OOL_FAIL, 0},
        {"small", "", "", 3 << 20, OOL_EFFECT_NONE, OOL_PASS, 0},
        {"small", "", "empty-cache", 3 << 20, OOL_EFFECT_INERT, OOL_PASS, 0},
        {"small", "", "lora", 0, OOL_EFFECT_NONE, OOL_PASS_NONE, 0},
        {"small", "", "sgd", 0, OOL_EFFECT_NONE, OOL_FAIL, 0},
    };

    ool_results_init(results);
    results->records = ool_calloc(sizeof rows / sizeof *rows, sizeof *results->records);
    results->version = ool_strdup("0.1.0");
    results->system = ool_strdup("Linux x86_64");
    if (results->records == NULL || results->version == NULL || results->system == NULL)
        return false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ool_record *r = &results->records[results->n_records++];

        if (!sample_texts(r, rows[i].scenario, rows[i].point, rows[i].stack))
            return false;
        r->effect = rows[i].effect;
        r->pass = rows[i].pass;
        r->flops = rows[i].flops;
        r->n_expectations = 1;
        r->elapsed_ns = 1234567890;
        if (rows[i].need > 0 && !sample_result(r, rows[i].need))
            return false;
    }
    results->records[6].result.status = OOL_CASE_SKIPPED;
    results->records[6].result.reason = ool_strdup("lora: nothing to adapt");
    results->records[7].result.outcome = OOL_OUTCOME_ERROR;
    results->records[7].result.reason = ool_strdup("no such option");
    return results->records[6].result.reason != NULL && results->records[7].result.reason != NULL &&
           sample_segments(&results->records[0]) &&
           sample_failure(&results->records[3], "expected outcome fits, found oom") &&
           sample_failure(&results->records[7], "error: no such option");
}

#endif
