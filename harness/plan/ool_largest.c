/*
 * ool_largest.c - the largest batch or sequence that fits a card.
 */
#include "ool_plan.h"

#include "ool_mem.h"

/* One value that was looked at. */
struct sample {
    int64_t value;
    uint64_t requested;
};

struct search {
    struct ool_case c; /* with jobs of its own */
    int64_t *axis;     /* the field of c.jobs that varies */
    uint64_t room;     /* bytes of the card for one process's tensors at the most */
    int64_t limit;
    struct sample *samples;
    size_t n_samples, capacity;
    int64_t tried;
    struct ool_error *err;
};

/* Errors that say "this value makes no sense", not "this case is broken". */
static bool refuses(enum ool_status status)
{
    return status == OOL_E_COMBINATION || status == OOL_E_RANGE;
}

static enum ool_status lower(struct search *s, int64_t value, struct ool_program *program)
{
    struct ool_error own = {0};
    enum ool_status status;

    *s->axis = value;
    ool_program_init(program);
    status = ool_case_lower(&s->c, program, NULL, &own);
    if (status != OOL_OK) {
        ool_program_fini(program);
        if (!refuses(status) && s->err != NULL && s->err->status == OOL_OK)
            *s->err = own;
    }
    return status;
}

/* Requested bytes at @value by liveness. A status that refuses() leaves no sample. */
static enum ool_status look(struct search *s, int64_t value, uint64_t *requested)
{
    struct ool_program program;
    struct ool_liveness liveness;
    enum ool_status status = lower(s, value, &program);

    s->tried++;
    if (status != OOL_OK)
        return status;
    status = ool_liveness_of(&program, &liveness, s->err);
    ool_program_fini(&program);
    if (status != OOL_OK)
        return status;
    if (!ool_grow(&s->samples, &s->capacity, s->n_samples, sizeof *s->samples))
        return ool_error_set(s->err, OOL_E_HOST_OOM, "no memory for a search");
    s->samples[s->n_samples++] = (struct sample){value, liveness.peak_requested};
    *requested = liveness.peak_requested;
    return OOL_OK;
}

/* The same for the nearest value from @value upwards that is not refused, below @end (0 = none). */
static enum ool_status look_upwards(struct search *s, int64_t *value, int64_t end,
                                    uint64_t *requested)
{
    enum ool_status status = OOL_E_RANGE;
    int64_t from = *value;

    for (; *value < end; ++*value) {
        status = look(s, *value, requested);
        if (!refuses(status))
            return status;
    }
    *value = from;
    return status;
}

static enum ool_status fits(struct search *s, int64_t value, bool *answer)
{
    struct ool_program program;
    struct ool_plan *plan = NULL;
    enum ool_status status = lower(s, value, &program);

    s->tried++;
    *answer = false;
    if (refuses(status))
        return OOL_OK;
    if (status != OOL_OK)
        return status;
    status = ool_plan_program(&program, &s->c, NULL, &plan, s->err);
    if (status != OOL_OK)
        return status;
    *answer = plan->outcome == OOL_OUTCOME_FITS || plan->outcome == OOL_OUTCOME_LEAK;
    ool_plan_close(plan);
    return OOL_OK;
}

static bool monotone(const struct search *s)
{
    for (size_t i = 0; i < s->n_samples; i++)
        for (size_t k = 0; k < s->n_samples; k++) /* some thirty samples */
            if (s->samples[i].value < s->samples[k].value &&
                s->samples[i].requested > s->samples[k].requested)
                return false;
    return true;
}

/* The first value whose requested bytes exceed the card: doubling, then bisection. limit + 1 = none. */
static enum ool_status find_bound(struct search *s, int64_t *bound)
{
    int64_t low = 0, high = 1; /* low is possible, high is being looked at */
    uint64_t requested = 0;
    enum ool_status status;

    for (;;) {
        status = look_upwards(s, &high, s->limit + 1, &requested);
        if (refuses(status)) { /* nothing from here on makes sense */
            high = s->limit + 1;
            break;
        }
        if (status != OOL_OK)
            return status;
        if (requested > s->room)
            break;
        low = high;
        if (high > s->limit / 2) {
            if (high == s->limit) {
                *bound = s->limit + 1;
                return OOL_OK;
            }
            high = s->limit;
        } else {
            high *= 2;
        }
    }
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2, at = middle;

        status = look_upwards(s, &at, high, &requested);
        if (!refuses(status) && status != OOL_OK)
            return status;
        if (refuses(status) || requested > s->room)
            high = middle;
        else
            low = at;
    }
    *bound = high;
    return OOL_OK;
}

/* The largest value below @from that fits; 0 = none. */
static enum ool_status descend(struct search *s, int64_t from, int64_t *value)
{
    for (int64_t v = from - 1; v >= 1; v--) {
        bool answer;
        enum ool_status status = fits(s, v, &answer);

        if (status != OOL_OK)
            return status;
        if (answer) {
            *value = v;
            return OOL_OK;
        }
    }
    *value = 0;
    return OOL_OK;
}

static enum ool_status search(struct search *s, struct ool_largest *largest)
{
    int64_t bound;
    enum ool_status status = find_bound(s, &bound);

    if (status != OOL_OK)
        return status;
    largest->exhaustive = !monotone(s);
    if (largest->exhaustive)
        bound = bound > s->limit / 2 ? s->limit + 1 : 2 * bound;
    status = descend(s, bound, &largest->value);
    largest->limited = largest->value == s->limit;
    largest->tried = s->tried;
    return status;
}

static int64_t *axis_of(struct ool_case *c, enum ool_size_axis axis)
{
    for (size_t i = 0; i < c->n_jobs; i++) {
        struct ool_workload *workload = &c->jobs[i].workload;

        if (!c->jobs[i].explicit_operations)
            return axis == OOL_AXIS_BATCH ? &workload->batch : &workload->seq;
    }
    return NULL;
}

enum ool_status ool_plan_largest(const struct ool_case *c, enum ool_size_axis axis, int64_t limit,
                                 struct ool_largest *largest, struct ool_error *err)
{
    struct search s = {.c = *c, .limit = limit, .err = err};
    uint64_t held = c->card.context_bytes;
    struct ool_largest made = {0};
    enum ool_status status;

    if (c->card.total_bytes == 0)
        return ool_error_set(err, OOL_E_UNSUPPORTED, "the card's size is not known");
    if (limit < 1 || limit > INT64_MAX / 4)
        return ool_error_set(err, OOL_E_RANGE, "the limit of a search has to be a positive number");
    held = held > UINT64_MAX - c->other_bytes ? UINT64_MAX : held + c->other_bytes;
    s.room = held < c->card.total_bytes ? c->card.total_bytes - held : 0;
    s.c.jobs = ool_calloc(c->n_jobs, sizeof *s.c.jobs);
    if (s.c.jobs == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a search");
    for (size_t i = 0; i < c->n_jobs; i++)
        s.c.jobs[i] = c->jobs[i];
    s.axis = axis_of(&s.c, axis);
    status = s.axis != NULL ? search(&s, &made)
                            : ool_error_set(err, OOL_E_UNSUPPORTED,
                                            "explicit operations have neither batch nor sequence");
    ool_free(s.c.jobs);
    ool_free(s.samples);
    if (status == OOL_OK)
        *largest = made;
    return status;
}
