/*
 * ool_suite_run.c - cases on several threads, judged in order.
 *
 * A thread takes the next case, applies its mitigations, lowers and replays it, and gives its memory back.
 * Whoever finishes judges what is complete from the front on: a baseline stands before what is compared with it.
 */
#include "ool_mem.h"
#include "ool_suite.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define MOST_THREADS 256

struct crew {
    struct ool_suite *suite;
    const struct ool_suite_options *options;
    const size_t *chosen; /* indexes of the suite's cases */
    size_t n;
    size_t *slot_of; /* of a suite's case: its record; SIZE_MAX = none */
    struct ool_record *records;
    bool *complete;
    pthread_mutex_t lock; /* of what follows */
    size_t taken, judged;
    bool stop, infrastructure;
    enum ool_status status;
    struct ool_error *err;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static bool expects_error(const struct ool_case *c)
{
    for (size_t i = 0; i < c->scenario->n_expectations; i++) {
        const struct ool_expectation *e = &c->scenario->expectations[i];

        if (e->has_outcome && e->outcome == OOL_OUTCOME_ERROR && ool_expectation_matches(e, c))
            return true;
    }
    return false;
}

/* Lowered, replayed, and what it needs; the program lives no longer than this. */
static enum ool_status replay(const struct ool_case *c, struct ool_result *result,
                              struct ool_error *err)
{
    struct ool_program program;
    enum ool_status status;

    ool_program_init(&program);
    status = ool_case_lower(c, &program, NULL, err);
    if (status == OOL_OK)
        status = ool_run_program(&program, c, NULL, result, err);
    if (status == OOL_OK)
        status = ool_run_needs(&program, c, result, err);
    ool_program_fini(&program);
    return status;
}

/* What a case that could not be run is told of: skipped where it makes no sense, an error otherwise. */
static enum ool_status note_error(const struct ool_case *c, enum ool_status status,
                                  const struct ool_error *why, struct ool_result *result)
{
    ool_result_fini(result);
    result->outcome = OOL_OUTCOME_ERROR;
    if (status == OOL_E_INTERRUPTED) {
        result->status = OOL_CASE_INTERRUPTED;
        return OOL_OK;
    }
    if ((status == OOL_E_COMBINATION || status == OOL_E_UNSUPPORTED) && !expects_error(c))
        result->status = OOL_CASE_SKIPPED;
    result->reason = ool_strdup(why->text[0] != '\0' ? why->text : ool_status_text(status));
    return result->reason != NULL ? OOL_OK : OOL_E_HOST_OOM;
}

static bool is_infrastructure(enum ool_status status)
{
    return status == OOL_E_HOST_OOM || status == OOL_E_DEVICE || status == OOL_E_INTERNAL ||
           status == OOL_E_FILE;
}

/* One case from its mitigations to its record. */
static enum ool_status run_case(struct ool_case *c, struct ool_record *record, bool *infrastructure)
{
    struct ool_price price = {.quality = ""};
    struct ool_result result = {0};
    struct ool_error why = {0};
    uint64_t start = now_ns();
    enum ool_status status = ool_mitigation_apply(c, &price, &why);

    if (status == OOL_OK)
        status = ool_run_interrupted() ? OOL_E_INTERRUPTED : replay(c, &result, &why);
    *infrastructure = is_infrastructure(status);
    if (status != OOL_OK) {
        status = note_error(c, status, &why, &result);
        if (status != OOL_OK)
            return status;
    }
    status = ool_record_init(record, c, &price, NULL);
    if (status == OOL_OK)
        ool_record_take(record, &result);
    record->elapsed_ns = now_ns() - start;
    ool_result_fini(&result);
    return status;
}

/* The lock is held. What the fail-fast option stops is skipped, though a thread may have run it. */
static enum ool_status skip_rest(struct ool_record *record)
{
    ool_result_fini(&record->result);
    record->result.status = OOL_CASE_SKIPPED;
    record->result.reason = ool_strdup("stopped after the first failure");
    return record->result.reason != NULL ? OOL_OK : OOL_E_HOST_OOM;
}

/* The lock is held. */
static enum ool_status judge(struct crew *crew, size_t slot)
{
    const struct ool_suite_case *suite_case = &crew->suite->cases[crew->chosen[slot]];
    struct ool_record *record = &crew->records[slot];
    const struct ool_result *baseline = NULL;
    struct ool_verdict verdict;
    enum ool_status status = OOL_OK;

    if (crew->stop)
        status = skip_rest(record);
    if (suite_case->baseline != crew->chosen[slot])
        baseline = &crew->records[crew->slot_of[suite_case->baseline]].result;
    if (status == OOL_OK && record->result.status == OOL_CASE_RAN) {
        record->effect = ool_effect_of(&record->result, baseline);
        status = ool_verdict_reach(suite_case->c, &record->result, baseline, &verdict, crew->err);
        if (status == OOL_OK)
            ool_record_judge(record, &verdict);
    }
    if (status == OOL_OK && record->pass == OOL_FAIL && crew->options->fail_fast)
        crew->stop = true;
    if (status == OOL_OK && crew->options->judged != NULL)
        crew->options->judged(crew->options->state, slot + 1, crew->n, record);
    return status;
}

static void judge_complete(struct crew *crew)
{
    while (crew->status == OOL_OK && crew->judged < crew->n && crew->complete[crew->judged]) {
        crew->status = judge(crew, crew->judged);
        crew->judged++;
    }
}

/* After a stop or an interrupt the rest is not run, but gets the records that it would have: mitigations change
 * what a record says of its case. */
static enum ool_status pass_over(struct ool_case *c, struct ool_record *record)
{
    struct ool_price price = {.quality = ""};
    enum ool_status status;

    (void)ool_mitigation_apply(c, &price, NULL);
    status = ool_record_init(record, c, &price, NULL);
    record->result.outcome = OOL_OUTCOME_ERROR;
    record->result.status = OOL_CASE_INTERRUPTED;
    return status;
}

static void *work(void *state)
{
    struct crew *crew = state;

    pthread_mutex_lock(&crew->lock);
    while (crew->taken < crew->n && crew->status == OOL_OK) {
        size_t slot = crew->taken++;
        struct ool_case *c = crew->suite->cases[crew->chosen[slot]].c;
        bool pass = crew->stop || ool_run_interrupted(), infrastructure = false;
        enum ool_status status;

        pthread_mutex_unlock(&crew->lock);
        status = pass ? pass_over(c, &crew->records[slot])
                      : run_case(c, &crew->records[slot], &infrastructure);
        pthread_mutex_lock(&crew->lock);
        crew->complete[slot] = true;
        crew->infrastructure = crew->infrastructure || infrastructure;
        if (status != OOL_OK && crew->status == OOL_OK)
            crew->status = ool_error_set(crew->err, status, "no memory for a result");
        judge_complete(crew);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static void run_crew(struct crew *crew)
{
    pthread_t threads[MOST_THREADS];
    unsigned wanted = crew->options->jobs, n = 0;

    if (wanted > MOST_THREADS)
        wanted = MOST_THREADS;
    while (n + 1 < wanted && pthread_create(&threads[n], NULL, work, crew) == 0)
        n++;
    work(crew); /* this thread is one of them */
    while (n > 0)
        pthread_join(threads[--n], NULL);
}

/* The selected cases, and where each one's record is. */
static bool choose(struct ool_suite *suite, struct crew *crew, size_t **chosen)
{
    size_t n = 0;

    for (size_t i = 0; i < suite->n_cases; i++)
        n += suite->cases[i].selected;
    *chosen = ool_calloc(n, sizeof **chosen);
    crew->slot_of = ool_calloc(suite->n_cases, sizeof *crew->slot_of);
    crew->complete = ool_calloc(n, sizeof *crew->complete);
    crew->records = ool_calloc(n, sizeof *crew->records);
    if (*chosen == NULL || crew->slot_of == NULL || crew->complete == NULL || crew->records == NULL)
        return false;
    for (size_t i = 0; i < suite->n_cases; i++) {
        crew->slot_of[i] = crew->n;
        if (suite->cases[i].selected)
            (*chosen)[crew->n++] = i;
    }
    crew->chosen = *chosen;
    return true;
}

enum ool_status ool_suite_run(struct ool_suite *suite, const struct ool_suite_options *options,
                              struct ool_results *results, bool *infrastructure,
                              struct ool_error *err)
{
    struct crew crew = {.suite = suite, .options = options, .err = err, .status = OOL_OK};
    size_t *chosen = NULL;

    if (!choose(suite, &crew, &chosen)) {
        crew.status = ool_error_set(err, OOL_E_HOST_OOM, "no memory for %zu cases", suite->n_cases);
    } else {
        pthread_mutex_init(&crew.lock, NULL);
        run_crew(&crew);
        pthread_mutex_destroy(&crew.lock);
    }
    if (crew.status == OOL_OK) {
        results->records = crew.records;
        results->n_records = results->capacity = crew.n;
        for (size_t i = 0; i < crew.n; i++)
            results->interrupted =
                results->interrupted || crew.records[i].result.status == OOL_CASE_INTERRUPTED;
        *infrastructure = crew.infrastructure;
    } else {
        for (size_t i = 0; i < crew.n; i++)
            ool_record_fini(&crew.records[i]);
        ool_free(crew.records);
    }
    ool_free(chosen);
    ool_free(crew.slot_of);
    ool_free(crew.complete);
    return crew.status;
}
