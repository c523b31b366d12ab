#include "ool_verdict.h"

#include "ool_mem.h"
#include "ool_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const effects[] = {"", "resolves", "saves", "inert", "worse"};

const char *ool_effect_name(enum ool_effect effect)
{
    return effects[effect];
}

static struct ool_saving saving_of(uint64_t before, uint64_t after, bool reserved)
{
    struct ool_saving saving = {.reserved = reserved, .bytes = (double)before - (double)after};

    saving.share = before > 0 ? saving.bytes / (double)before : 0;
    return saving;
}

struct ool_saving ool_saving_of(const struct ool_result *result, const struct ool_result *baseline)
{
    struct ool_saving allocated =
        saving_of(baseline->need_allocated, result->need_allocated, false);
    struct ool_saving reserved = saving_of(baseline->need_reserved, result->need_reserved, true);

    return fabs(allocated.share) < OOL_INERT_SHARE && fabs(reserved.share) >= OOL_INERT_SHARE
               ? reserved
               : allocated;
}

/* -1, 0, 1: @result needs less than, as much as, more than @baseline. */
static int compare_needs(const struct ool_result *result, const struct ool_result *baseline)
{
    struct ool_saving saving = ool_saving_of(result, baseline);

    if (fabs(saving.share) < OOL_INERT_SHARE)
        return 0;
    return saving.bytes > 0 ? -1 : 1;
}

static bool comparable(const struct ool_result *result)
{
    return result->status == OOL_CASE_RAN && result->outcome != OOL_OUTCOME_ERROR &&
           result->has_needs;
}

enum ool_effect ool_effect_of(const struct ool_result *result, const struct ool_result *baseline)
{
    bool fits, fitted;
    int order;

    if (baseline == NULL || !comparable(result) || !comparable(baseline))
        return OOL_EFFECT_NONE;
    fits = result->outcome == OOL_OUTCOME_FITS;
    fitted = baseline->outcome == OOL_OUTCOME_FITS;
    if (fits != fitted)
        return fits ? OOL_EFFECT_RESOLVES : OOL_EFFECT_WORSE;
    order = compare_needs(result, baseline);
    if (order == 0)
        return OOL_EFFECT_INERT;
    return order < 0 ? OOL_EFFECT_SAVES : OOL_EFFECT_WORSE;
}

/* Whether @phase is @wanted as a whole or one of its parts between '/' and '.'. */
static bool is_phase(const char *phase, const char *wanted)
{
    size_t length = strlen(wanted);

    if (strcmp(phase, wanted) == 0)
        return true;
    while (*phase != '\0') {
        size_t part = strcspn(phase, "/.");

        if (part == length && strncmp(phase, wanted, length) == 0)
            return true;
        phase += part;
        if (*phase != '\0')
            phase++;
    }
    return false;
}

struct judge {
    struct ool_verdict *verdict;
    const struct ool_expectation *expectation;
    size_t capacity;
    bool failed; /* host memory is short */
};

static void fail(struct judge *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct judge *j, const char *format, ...)
{
    struct ool_verdict *verdict = j->verdict;
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!ool_grow(&verdict->failures, &j->capacity, verdict->n_failures,
                  sizeof *verdict->failures)) {
        j->failed = true;
        return;
    }
    verdict->failures[verdict->n_failures] = ool_strdup(text);
    if (verdict->failures[verdict->n_failures] == NULL)
        j->failed = true;
    else
        verdict->n_failures++;
}

static void check_bounds(struct judge *j, const char *what, const struct ool_bounds *bounds,
                         uint64_t found)
{
    char limit[OOL_SIZE_TEXT], value[OOL_SIZE_TEXT];

    if (found < bounds->min)
        fail(j, "expected %s of at least %s (%" PRIu64 "), found %s (%" PRIu64 ")", what,
             ool_size_print(bounds->min, limit), bounds->min, ool_size_print(found, value), found);
    if (found > bounds->max)
        fail(j, "expected %s of at most %s (%" PRIu64 "), found %s (%" PRIu64 ")", what,
             ool_size_print(bounds->max, limit), bounds->max, ool_size_print(found, value), found);
}

static bool effect_holds(const char *wanted, const struct ool_result *result,
                         const struct ool_result *baseline)
{
    enum ool_effect effect = ool_effect_of(result, baseline);

    if (effect == OOL_EFFECT_NONE)
        return false;
    if (strcmp(wanted, "saves") == 0) /* what resolves may save as well */
        return compare_needs(result, baseline) < 0;
    return strcmp(wanted, ool_effect_name(effect)) == 0;
}

static const char *message_of(const struct ool_result *result)
{
    if (result->reason != NULL)
        return result->reason;
    return result->message != NULL ? result->message : "";
}

static void check_outcome(struct judge *j, const struct ool_result *result)
{
    const struct ool_expectation *e = j->expectation;

    if (e->has_outcome && e->outcome != result->outcome)
        fail(j, "expected outcome %s, found %s in %s%s%s", ool_outcome_name(e->outcome),
             ool_outcome_name(result->outcome),
             result->phase != NULL && *result->phase != '\0' ? result->phase : "no phase",
             *message_of(result) != '\0' ? ": " : "", message_of(result));
    if (e->phase != NULL && (result->phase == NULL || !is_phase(result->phase, e->phase)))
        fail(j, "expected phase %s, found %s", e->phase,
             result->phase != NULL ? result->phase : "none");
}

static void check_expectation(struct judge *j, const struct ool_result *result,
                              const struct ool_result *baseline)
{
    const struct ool_expectation *e = j->expectation;
    uint64_t leak = result->leak > 0 ? (uint64_t)result->leak : 0;

    check_outcome(j, result);
    check_bounds(j, "peak allocated", &e->peak_allocated, result->peak_allocated);
    check_bounds(j, "peak reserved", &e->peak_reserved, result->peak_reserved);
    check_bounds(j, "peak on the card", &e->peak_device, result->peak_device);
    check_bounds(j, "a leak per iteration", &e->leak, leak);
    if (e->effect != NULL && !effect_holds(e->effect, result, baseline))
        fail(j, "expected the effect \"%s\", found \"%s\"", e->effect,
             ool_effect_name(ool_effect_of(result, baseline)));
}

enum ool_status ool_verdict_reach(const struct ool_case *c, const struct ool_result *result,
                                  const struct ool_result *baseline, struct ool_verdict *verdict,
                                  struct ool_error *err)
{
    struct ool_verdict made = {0};
    struct judge j = {.verdict = &made};

    for (size_t i = 0; i < c->scenario->n_expectations; i++) {
        j.expectation = &c->scenario->expectations[i];
        if (!ool_expectation_matches(j.expectation, c))
            continue;
        made.n_expectations++;
        check_expectation(&j, result, baseline);
    }
    if (made.n_expectations == 0 && result->outcome == OOL_OUTCOME_ERROR)
        fail(&j, "error: %s", message_of(result));
    if (result->outcome == OOL_OUTCOME_OOM && !result->healthy)
        fail(&j, "the allocator's books disagree after the out of memory");
    if (j.failed) {
        ool_verdict_fini(&made);
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the verdict");
    }
    made.pass = made.n_failures == 0;
    *verdict = made;
    return OOL_OK;
}

void ool_verdict_fini(struct ool_verdict *verdict)
{
    for (size_t i = 0; i < verdict->n_failures; i++)
        ool_free(verdict->failures[i]);
    ool_free(verdict->failures);
    memset(verdict, 0, sizeof *verdict);
}
