#include "ool_phase.h"

#include "ool_mem.h"

#include <ctype.h>
#include <string.h>

#define ONLY_PHASE "run"
#define LAST_PHASE "end"

void ool_phase_note(struct ool_process *process)
{
    struct ool_phase_result *phase = &process->phase;

    if (process->allocated > phase->peak_allocated)
        phase->peak_allocated = process->allocated;
    if (process->reserved > phase->peak_reserved)
        phase->peak_reserved = process->reserved;
    if (process->requested > phase->peak_requested)
        phase->peak_requested = process->requested;
}

/* The next phase starts: its peaks are what there is now. */
static void reopen(struct ool_process *process)
{
    struct ool_phase_result *phase = &process->phase;

    memset(phase, 0, sizeof *phase);
    phase->n_allocs = process->n_allocs;
    phase->n_frees = process->n_frees;
    ool_phase_note(process);
}

/* "s12.forward" or "job/s12.m0.forward" is part of step 12; 0 = no step's name. */
static uint64_t step_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *p = slash != NULL ? slash + 1 : name;
    uint64_t number = 0;

    if (*p++ != 's')
        return 0;
    for (; isdigit((unsigned char)*p) && number < UINT64_MAX / 100; p++)
        number = number * 10 + (uint64_t)(*p - '0');
    return *p == '.' ? number : 0;
}

void ool_steps_end(struct ool_steps *steps)
{
    steps->requested[2] = steps->requested[1];
    steps->requested[1] = steps->requested[0];
    steps->requested[0] = steps->latest;
    steps->ends++;
}

static void note_step(struct ool_replay *r, const char *name)
{
    uint64_t step = step_of(name);

    if (step != r->steps.number && r->steps.number != 0)
        ool_steps_end(&r->steps);
    r->steps.number = step;
    r->steps.latest = r->requested;
}

/* The record that the mark under way fills: a mark in a loop fills the same one each time. */
static struct ool_phase_result *record_of(struct ool_replay *r)
{
    struct ool_result *result = r->result;

    if (r->n_frames > 0 && r->phase_of_op == NULL) {
        r->phase_of_op = ool_calloc(r->program->n_ops, sizeof *r->phase_of_op);
        if (r->phase_of_op == NULL)
            return NULL;
    }
    if (r->n_frames > 0 && r->phase_of_op[r->at] != 0) /* the iterations before left it */
        return &result->phases[r->phase_of_op[r->at] - 1];
    if (!ool_grow(&result->phases, &r->phases_capacity, result->n_phases, sizeof *result->phases))
        return NULL;
    memset(&result->phases[result->n_phases], 0, sizeof *result->phases);
    if (r->n_frames > 0)
        r->phase_of_op[r->at] = (uint32_t)result->n_phases + 1;
    return &result->phases[result->n_phases++];
}

static void keep_peaks(struct ool_phase_result *phase, const struct ool_phase_result *earlier)
{
    if (earlier->peak_allocated > phase->peak_allocated)
        phase->peak_allocated = earlier->peak_allocated;
    if (earlier->peak_reserved > phase->peak_reserved)
        phase->peak_reserved = earlier->peak_reserved;
    if (earlier->peak_requested > phase->peak_requested)
        phase->peak_requested = earlier->peak_requested;
    phase->n_allocs += earlier->n_allocs;
    phase->n_frees += earlier->n_frees;
}

enum ool_status ool_phase_close(struct ool_replay *r, struct ool_process *p, const char *name)
{
    struct ool_phase_result *record = record_of(r), phase = p->phase;
    char *copy = NULL;

    if (record != NULL && record->name == NULL)
        copy = ool_strdup(name);
    if (record == NULL || (record->name == NULL && copy == NULL))
        return ool_error_set(r->err, OOL_E_HOST_OOM, "no memory for the phases");
    phase.name = record->name != NULL ? record->name : copy;
    phase.allocated = p->allocated;
    phase.reserved = p->reserved;
    phase.requested = p->requested;
    phase.n_allocs = p->n_allocs - phase.n_allocs;
    phase.n_frees = p->n_frees - phase.n_frees;
    if (p->allocator != NULL) {
        const struct ool_allocator_stats *stats = ool_allocator_stats(p->allocator);

        phase.segments = (uint64_t)stats->segment[OOL_POOL_ALL].current;
        phase.retries = (uint64_t)stats->num_alloc_retries;
    }
    keep_peaks(&phase, record);
    *record = phase;
    if (r->peak_open && &r->processes[r->peak_process] == p) {
        ool_free(r->result->phase);
        r->peak_open = false;
        r->result->phase = ool_strdup(name);
        if (r->result->phase == NULL)
            return ool_error_set(r->err, OOL_E_HOST_OOM, "no memory for a phase's name");
    }
    reopen(p);
    note_step(r, name);
    return OOL_OK;
}

enum ool_status ool_phase_finish(struct ool_replay *r)
{
    for (uint16_t i = 0; i < r->program->n_processes; i++) {
        struct ool_process *p = &r->processes[i];
        enum ool_status status;

        if (p->n_allocs == p->phase.n_allocs && p->n_frees == p->phase.n_frees)
            continue;
        status = ool_phase_close(r, p, ool_phase_next(r, i));
        if (status != OOL_OK)
            return status;
    }
    return OOL_OK;
}

const char *ool_phase_next(const struct ool_replay *r, uint16_t process)
{
    for (size_t i = r->at; i < r->program->n_ops; i++) {
        const struct ool_op *op = &r->program->ops[i];

        if (op->kind == OOL_OP_MARK && op->value == OOL_MARK_PHASE && op->process == process)
            return ool_program_text_of(r->program, op->id);
    }
    return r->result->n_phases == 0 ? ONLY_PHASE : LAST_PHASE;
}
