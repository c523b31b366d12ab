#include "ool_replay.h"

#include "ool_health.h"
#include "ool_mem.h"
#include "ool_phase.h"
#include "ool_tap.h"

#include <stdatomic.h>
#include <string.h>

/* A card without end. Allocators reserve a little more address space than the card has, several
 * times, so it must stay far below 2^64. */
#define UNLIMITED_BYTES (UINT64_C(1) << 52)
#define FIRST_CREDIT 100000 /* a short loop is looked at as well */
#define OPS_PER_LOOK 4096   /* operations between two looks at the interrupt flag */
#define CONTEXT_MESSAGE "CUDA error: out of memory"

static atomic_bool interrupted;

void ool_run_interrupt(void)
{
    atomic_store(&interrupted, true);
}

bool ool_run_interrupted(void)
{
    return atomic_load_explicit(&interrupted, memory_order_relaxed);
}

static enum ool_status no_memory(struct ool_replay *r)
{
    return ool_error_set(r->err, OOL_E_HOST_OOM, "no memory to replay a program of %zu operations",
                         r->program->n_ops);
}

static enum ool_status wrong(struct ool_replay *r, const char *what)
{
    const struct ool_op *op = &r->program->ops[r->at];
    enum ool_status status =
        ool_error_set(r->err, OOL_E_PROGRAM, "operation %zu (%s of %u): %s", r->at,
                      ool_op_name((enum ool_op_kind)op->kind), op->id, what);

    if (r->err != NULL && r->err->line == 0)
        r->err->line = (int)op->line;
    return status;
}

uint64_t ool_replay_device_used(const struct ool_replay *r)
{
    uint64_t free_bytes, total_bytes;

    r->sim->ops->info(r->sim, &free_bytes, &total_bytes);
    return total_bytes - free_bytes;
}

static void note_device(struct ool_replay *r)
{
    r->device_used = ool_replay_device_used(r);
    if (r->device_used > r->result->peak_device)
        r->result->peak_device = r->device_used;
    if (r->n_frames > 0 && r->device_used > r->frames[r->n_frames - 1].most_device)
        r->frames[r->n_frames - 1].most_device = r->device_used;
}

/* Takes the counters of @p over into the totals. */
static void note_counters(struct ool_replay *r, struct ool_process *p)
{
    uint64_t allocated, reserved;

    ool_allocator_totals(p->allocator, &allocated, &reserved);
    r->allocated += allocated - p->allocated;
    p->allocated = allocated;
    if (reserved != p->reserved) {
        r->reserved += reserved - p->reserved;
        p->reserved = reserved;
        note_device(r);
    }
}

void ool_replay_refresh(struct ool_replay *r)
{
    for (uint16_t i = 0; i < r->program->n_processes; i++)
        if (r->processes[i].allocator != NULL)
            note_counters(r, &r->processes[i]);
    note_device(r);
}

static void note_point(struct ool_replay *r)
{
    struct ool_point point = {r->n_ops, r->allocated, r->reserved, r->device_used};

    if (r->timeline != NULL)
        ool_timeline_add(r->timeline, &point);
}

static void note_peaks(struct ool_replay *r, const struct ool_storage *storage)
{
    struct ool_result *result = r->result;

    if (r->requested > result->peak_requested)
        result->peak_requested = r->requested;
    if (r->reserved > result->peak_reserved)
        result->peak_reserved = r->reserved;
    if (r->allocated > result->peak_allocated) {
        result->peak_allocated = r->allocated;
        r->peak_origin = storage->origin;
        r->peak_process = storage->process;
        r->peak_open = true;
        ool_ledger_peak(&r->ledger);
    }
}

static bool take_text(char **slot, const char *text)
{
    ool_free(*slot);
    *slot = ool_strdup(text);
    return *slot != NULL;
}

/* The end of the program as an uncaught exception makes it. */
static enum ool_status stop(struct ool_replay *r, enum ool_outcome outcome, uint16_t process,
                            const char *origin, uint64_t bytes, const char *message)
{
    struct ool_result *result = r->result;
    uint64_t total_bytes;

    r->stopped = true;
    result->outcome = outcome;
    result->failed_bytes = bytes;
    r->sim->ops->info(r->sim, &result->free_bytes, &total_bytes);
    if (!take_text(&result->phase, ool_phase_next(r, process)) ||
        !take_text(&result->origin, origin) || !take_text(&result->message, message))
        return no_memory(r);
    r->peak_open = false;
    return OOL_OK;
}

/* Garbage collection counts how long a block was idle. */
static bool collects(const char *conf)
{
    return conf != NULL && strstr(conf, "garbage_collection") != NULL;
}

/* Context and allocator of a process, at its first operation. */
static enum ool_status start_process(struct ool_replay *r, uint16_t process)
{
    struct ool_process *p = &r->processes[process];
    const struct ool_allocator_choice *choice = &r->c->allocator;
    struct ool_allocator_config config = {
        .kind = choice->kind, .version = choice->version, .conf = choice->conf};
    enum ool_status status = ool_sim_hold(r->sim, r->context_bytes, r->err);

    if (status == OOL_E_DEV_OOM)
        return stop(r, OOL_OUTCOME_OOM, process, "context", r->context_bytes, CONTEXT_MESSAGE);
    if (status != OOL_OK)
        return status;
    status = ool_allocator_open(&config, r->device, &p->allocator, r->err);
    if (status != OOL_OK)
        return status;
    p->fraction = 1;
    p->unseen = !ool_allocator_can_skip(p->allocator) || collects(choice->conf);
    if (choice->fraction > 0 && choice->fraction < 1) {
        p->fraction = choice->fraction;
        status = ool_allocator_set_fraction(p->allocator, choice->fraction, r->err);
    }
    note_device(r);
    return status;
}

static enum ool_status alloc_on_host(struct ool_replay *r, const struct ool_op *op,
                                     const struct ool_storage *storage)
{
    uint64_t most = r->c->card.host_bytes;

    if (storage->bytes > UINT64_MAX - r->host)
        return wrong(r, "more host memory than 64 bits count");
    if (most != 0 && r->host + storage->bytes > most)
        return stop(r, OOL_OUTCOME_HOST_OOM, op->process,
                    ool_program_text_of(r->program, storage->origin), storage->bytes,
                    "the machine's memory is used up");
    r->host += storage->bytes;
    if (r->host > r->result->host_peak)
        r->result->host_peak = r->host;
    r->instances[op->id].alive = true;
    return OOL_OK;
}

static enum ool_status run_alloc(struct ool_replay *r, const struct ool_op *op)
{
    const struct ool_storage *storage = &r->program->storages[op->id];
    struct ool_process *p = &r->processes[op->process];
    struct ool_instance *instance = &r->instances[op->id];
    struct ool_block block;
    enum ool_status status;

    if (storage->place != OOL_PLACE_DEVICE)
        return alloc_on_host(r, op, storage);
    status = ool_allocator_alloc(p->allocator, storage->bytes, storage->stream, &block, r->err);
    if (status == OOL_E_DEV_OOM) {
        if (r->err != NULL) /* a result, not an error */
            memset(r->err, 0, sizeof *r->err);
        note_counters(r, p);
        note_point(r);
        if (r->observer != NULL && r->observer->event != NULL)
            r->observer->event(r->observer->state, op, storage->bytes, true);
        return stop(r, OOL_OUTCOME_OOM, op->process,
                    ool_program_text_of(r->program, storage->origin), storage->bytes,
                    ool_allocator_message(p->allocator));
    }
    if (status != OOL_OK)
        return status;
    instance->block = block;
    instance->alive = true;
    p->requested += storage->bytes;
    r->requested += storage->bytes;
    p->n_allocs++;
    note_counters(r, p);
    ool_ledger_change(&r->ledger, r->ledger.account_of[op->id], block.bytes);
    ool_phase_note(p);
    note_peaks(r, storage);
    note_point(r);
    if (r->observer != NULL && r->observer->event != NULL)
        r->observer->event(r->observer->state, op, storage->bytes, false);
    return OOL_OK;
}

static void run_free(struct ool_replay *r, const struct ool_op *op)
{
    const struct ool_storage *storage = &r->program->storages[op->id];
    struct ool_process *p = &r->processes[storage->process];
    struct ool_instance *instance = &r->instances[op->id];

    instance->alive = false;
    if (storage->place != OOL_PLACE_DEVICE) {
        r->host -= storage->bytes;
        return;
    }
    if (instance->block.handle != NULL)
        ool_allocator_free(p->allocator, &instance->block);
    p->requested -= storage->bytes;
    r->requested -= storage->bytes;
    p->n_frees++;
    note_counters(r, p);
    ool_ledger_change(&r->ledger, r->ledger.account_of[op->id], 0 - instance->block.bytes);
    note_point(r);
    if (r->observer != NULL && r->observer->event != NULL)
        r->observer->event(r->observer->state, op, storage->bytes, false);
}

static enum ool_status run_mark(struct ool_replay *r, const struct ool_op *op)
{
    const char *name = ool_program_text_of(r->program, op->id);

    if (op->value == OOL_MARK_STEP && r->steps.number == 0) {
        r->steps.latest = r->requested;
        ool_steps_end(&r->steps);
    }
    if (op->value != OOL_MARK_PHASE)
        return OOL_OK;
    if (r->observer != NULL && r->observer->mark != NULL)
        r->observer->mark(r->observer->state, name);
    return ool_phase_close(r, &r->processes[op->process], name);
}

static enum ool_status run_set_fraction(struct ool_replay *r, const struct ool_op *op)
{
    struct ool_process *p = &r->processes[op->process];
    double fraction;

    memcpy(&fraction, &op->value, sizeof fraction);
    p->fraction = fraction;
    return ool_allocator_set_fraction(p->allocator, fraction, r->err);
}

static enum ool_status run_set_conf(struct ool_replay *r, const struct ool_op *op)
{
    struct ool_process *p = &r->processes[op->process];
    const char *conf = ool_program_text_of(r->program, op->id);

    p->unseen = p->unseen || collects(conf);
    return ool_allocator_set_conf(p->allocator, conf, r->err);
}

/* Goes behind the END that belongs to the LOOP under way. */
static enum ool_status leave_loop(struct ool_replay *r)
{
    size_t depth = 1;

    while (depth > 0) {
        if (++r->at >= r->program->n_ops)
            return wrong(r, "the loop is not closed");
        if (r->program->ops[r->at].kind == OOL_OP_LOOP)
            depth++;
        else if (r->program->ops[r->at].kind == OOL_OP_END)
            depth--;
    }
    return OOL_OK;
}

static enum ool_status begin_loop(struct ool_replay *r, const struct ool_op *op)
{
    struct ool_frame *frame;

    if (op->value == 0)
        return leave_loop(r);
    if (!ool_grow(&r->frames, &r->frames_capacity, r->n_frames, sizeof *r->frames))
        return no_memory(r);
    frame = &r->frames[r->n_frames++];
    *frame = (struct ool_frame){.body = r->at + 1, .total = op->value};
    frame->requested = r->requested;
    frame->started = r->n_ops;
    return OOL_OK;
}

/* An outermost loop is over: the one that leaks most is told of. */
static void note_loop(struct ool_result *result, const struct ool_frame *frame)
{
    if (result->iterations != 0 && frame->leak <= result->leak)
        return;
    result->leak = frame->leak;
    result->iterations = frame->done;
}

static void end_loop(struct ool_replay *r)
{
    struct ool_frame *frame = &r->frames[--r->n_frames];

    if (r->n_frames == 0)
        note_loop(r->result, frame);
    if (r->n_frames > 0 && frame->most_device > r->frames[r->n_frames - 1].most_device)
        r->frames[r->n_frames - 1].most_device = frame->most_device;
    ool_repeat_close(frame->repeat);
}

static enum ool_status end_iteration(struct ool_replay *r)
{
    struct ool_frame *frame;
    enum ool_status status = OOL_OK;

    if (r->n_frames == 0)
        return wrong(r, "no loop is open");
    frame = &r->frames[r->n_frames - 1];
    frame->done++;
    if (!frame->counted)
        frame->leak = (int64_t)(r->requested - frame->requested);
    if (frame->done < frame->total)
        status = ool_repeat_check(r, frame);
    frame->requested = r->requested;
    frame->started = r->n_ops;
    if (frame->done >= frame->total)
        end_loop(r);
    else
        r->at = frame->body - 1;
    return status;
}

/* What an operation names must be there; the rest of the interpreter relies on it. */
static enum ool_status check_references(struct ool_replay *r, const struct ool_op *op)
{
    const struct ool_program *program = r->program;

    switch ((enum ool_op_kind)op->kind) {
    case OOL_OP_ALLOC:
    case OOL_OP_FREE:
    case OOL_OP_RECORD_STREAM:
        if (op->id >= program->n_storages)
            return wrong(r, "no such storage");
        if (program->storages[op->id].process != op->process)
            return wrong(r, "the storage belongs to another process");
        if (op->kind != OOL_OP_ALLOC && !r->instances[op->id].alive)
            return wrong(r, "the storage is not allocated here");
        return OOL_OK;
    case OOL_OP_SET_CONF:
    case OOL_OP_MARK:
        return op->id < program->n_texts ? OOL_OK : wrong(r, "no such text");
    default:
        return OOL_OK;
    }
}

/* Operations that are the allocator's alone. */
static void run_on_allocator(struct ool_replay *r, const struct ool_op *op)
{
    struct ool_process *p = &r->processes[op->process];
    const struct ool_instance *instance;

    switch ((enum ool_op_kind)op->kind) {
    case OOL_OP_EMPTY_CACHE:
        ool_allocator_empty_cache(p->allocator);
        break;
    case OOL_OP_SYNCHRONIZE:
        ool_allocator_synchronize(p->allocator);
        break;
    case OOL_OP_RECORD_STREAM:
        instance = &r->instances[op->id];
        if (instance->block.handle != NULL)
            ool_allocator_record_stream(p->allocator, &instance->block, (uint32_t)op->value);
        break;
    case OOL_OP_STREAM_BUSY:
        ool_allocator_stream_busy(p->allocator, op->stream);
        break;
    case OOL_OP_STREAM_STEP:
        ool_allocator_stream_step(p->allocator, op->stream, op->value);
        break;
    case OOL_OP_STREAM_IDLE:
        ool_allocator_stream_idle(p->allocator, op->stream);
        break;
    case OOL_OP_RESET_PEAK:
        ool_allocator_reset_peak(p->allocator);
        break;
    default: /* kernels, copies and events between streams use no memory of their own */
        return;
    }
    note_counters(r, p);
    note_point(r);
}

static enum ool_status run_op(struct ool_replay *r, const struct ool_op *op)
{
    enum ool_status status = check_references(r, op);

    if (status != OOL_OK)
        return status;
    if (op->device != 0)
        return ool_error_set(
            r->err, OOL_E_UNSUPPORTED,
            "operation %zu is on card %u: one simulated card is replayed at a time", r->at,
            op->device);
    if (r->processes[op->process].allocator == NULL) {
        status = start_process(r, op->process);
        if (status != OOL_OK || r->stopped)
            return status;
    }
    switch ((enum ool_op_kind)op->kind) {
    case OOL_OP_ALLOC:
        return run_alloc(r, op);
    case OOL_OP_FREE:
        run_free(r, op);
        return OOL_OK;
    case OOL_OP_MARK:
        return run_mark(r, op);
    case OOL_OP_LOOP:
        return begin_loop(r, op);
    case OOL_OP_END:
        return end_iteration(r);
    case OOL_OP_SET_FRACTION:
        return run_set_fraction(r, op);
    case OOL_OP_SET_CONF:
        return run_set_conf(r, op);
    default:
        run_on_allocator(r, op);
        return OOL_OK;
    }
}

static enum ool_status run_ops(struct ool_replay *r)
{
    const struct ool_program *program = r->program;
    enum ool_status status = OOL_OK;

    for (r->at = 0; status == OOL_OK && !r->stopped && r->at < program->n_ops; r->at++) {
        if (++r->n_ops % OPS_PER_LOOK == 0 && ool_run_interrupted())
            return ool_error_set(r->err, OOL_E_INTERRUPTED, "interrupted at operation %zu", r->at);
        status = run_op(r, &program->ops[r->at]);
    }
    if (status == OOL_OK && !r->stopped && r->n_frames > 0)
        return ool_error_set(r->err, OOL_E_PROGRAM, "%zu loops are not closed", r->n_frames);
    return status;
}

static enum ool_status open_card(struct ool_replay *r, bool unlimited)
{
    const struct ool_card *card = &r->c->card;
    struct ool_sim_config config = {
        .total_bytes = card->total_bytes, .other_bytes = r->c->other_bytes, .small_sharing = true};
    enum ool_status status;

    if (unlimited || card->total_bytes == 0)
        config.total_bytes = UNLIMITED_BYTES;
    else
        r->result->capacity = card->total_bytes;
    r->context_bytes = card->context_bytes;
    status = ool_sim_open(&config, &r->sim, r->err);
    if (status != OOL_OK)
        return status;
    r->device = r->sim;
    if (r->observer != NULL && r->observer->segment != NULL)
        return ool_tap_open(r->sim, r->observer, &r->device, r->err);
    return OOL_OK;
}

static enum ool_status open_replay(struct ool_replay *r, const struct ool_replay_config *config)
{
    enum ool_status status = open_card(r, config->unlimited);

    if (status != OOL_OK)
        return status;
    r->processes = ool_calloc((size_t)r->program->n_processes + 1, sizeof *r->processes);
    r->instances = ool_calloc(r->program->n_storages, sizeof *r->instances);
    if (!config->brief)
        r->timeline = ool_malloc(sizeof *r->timeline);
    if (r->processes == NULL || r->instances == NULL || (!config->brief && r->timeline == NULL))
        return no_memory(r);
    if (r->timeline != NULL)
        ool_timeline_init(r->timeline);
    return ool_ledger_init(&r->ledger, r->program, r->err);
}

static void close_replay(struct ool_replay *r)
{
    for (size_t i = 0; i < r->n_frames; i++)
        ool_repeat_close(r->frames[i].repeat);
    for (uint16_t i = 0; r->processes != NULL && i < r->program->n_processes; i++)
        ool_allocator_close(r->processes[i].allocator);
    ool_ledger_fini(&r->ledger);
    ool_free(r->processes);
    ool_free(r->instances);
    ool_free(r->timeline);
    ool_free(r->frames);
    ool_free(r->phase_of_op);
    if (r->device != NULL && r->device != r->sim)
        r->device->ops->close(r->device);
    if (r->sim != NULL)
        r->sim->ops->close(r->sim);
}

static enum ool_status finish_timeline(struct ool_replay *r)
{
    struct ool_result *result = r->result;

    if (r->timeline == NULL)
        return OOL_OK;
    result->timeline = ool_calloc(OOL_TIMELINE_POINTS, sizeof *result->timeline);
    if (result->timeline == NULL)
        return no_memory(r);
    result->n_timeline = ool_timeline_points(r->timeline, result->timeline);
    return OOL_OK;
}

/* A leak is a growth that stays the same: of a loop's last iteration, or of the last two steps. */
static void note_leak(struct ool_replay *r)
{
    const uint64_t *requested = r->steps.requested;
    struct ool_result *result = r->result;

    if (r->steps.number != 0)
        ool_steps_end(&r->steps);
    if (result->iterations == 0 && r->steps.ends >= 3 &&
        requested[0] - requested[1] == requested[1] - requested[2])
        result->leak = (int64_t)(requested[0] - requested[1]);
    if (!r->stopped && result->leak > 0 && result->iterations != 1)
        result->outcome = OOL_OUTCOME_LEAK;
}

static enum ool_status finish(struct ool_replay *r, bool brief)
{
    struct ool_result *result = r->result;
    enum ool_status status = ool_phase_finish(r);

    if (status != OOL_OK)
        return status;
    note_leak(r);
    if (r->stopped && r->n_frames > 0) {
        result->leak = r->frames[0].leak;
        result->iterations = r->frames[0].done + 1;
    }
    if (!r->stopped && !take_text(&result->origin, ool_program_text_of(r->program, r->peak_origin)))
        return no_memory(r);
    if (result->phase == NULL && !take_text(&result->phase, ""))
        return no_memory(r);
    if (r->program->n_processes > 0 && r->processes[0].allocator != NULL)
        result->stats = *ool_allocator_stats(r->processes[0].allocator);
    result->n_ops = r->n_ops;
    for (uint16_t i = 0; i < r->program->n_processes; i++) {
        result->n_allocs += r->processes[i].n_allocs;
        result->n_frees += r->processes[i].n_frees;
    }
    status = ool_ledger_result(&r->ledger, r->stopped, result, r->err);
    if (status == OOL_OK)
        status = finish_timeline(r);
    if (status == OOL_OK && r->stopped && !brief)
        status = ool_health_check(r);
    return status;
}

enum ool_status ool_replay_program(const struct ool_program *program,
                                   const struct ool_replay_config *config,
                                   struct ool_result *result, struct ool_error *err)
{
    struct ool_replay r = {
        .program = program, .c = config->c, .observer = config->observer, .err = err};
    struct ool_result made = {.outcome = OOL_OUTCOME_FITS};
    enum ool_status status;

    r.result = &made;
    r.peak_origin = OOL_NONE;
    r.credit = FIRST_CREDIT;
    status = open_replay(&r, config);
    if (status == OOL_OK)
        status = run_ops(&r);
    if (status == OOL_OK)
        status = finish(&r, config->brief);
    close_replay(&r);
    if (status != OOL_OK) {
        ool_result_fini(&made);
        return status;
    }
    *result = made;
    return OOL_OK;
}
