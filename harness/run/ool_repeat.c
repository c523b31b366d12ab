/*
 * ool_repeat.c - loops whose state repeats up to its growth.
 *
 * Between two iterations the allocators' state is written down as words. A block that is allocated
 * but belongs to no storage that the program can reach stays for good, whatever the loop does: such
 * blocks are walls, and how many there are is left out. A free block between walls that is smaller
 * than anything the loop asks for can never be used and counts as wall too. Two iterations with the
 * same words have the same future, except that the walls grow by the same amount each period, until
 * the card, the memory fraction or the machine's memory is used up. So whole periods are counted on
 * without doing them, and at least the last one is run, where peaks and failures are.
 *
 * One state is kept as an anchor, for twice as many iterations each time (Brent), and looking is
 * paid for by the operations run, all loops together, so that it stays linear where nothing ever
 * repeats and where loops are entered again and again.
 */
#include "ool_mem.h"
#include "ool_replay.h"

#include <stdlib.h>
#include <string.h>

#define CREDIT_PER_OP 2
#define PLENTY 10000                 /* credit to spare: look also where a repeat is unlikely */
#define MOST_OPS (UINT64_C(1) << 60) /* operation numbers stay below */
/* Handles of expandable segments are 2 or 20 MiB: only the remainder of a wall matters. */
#define WALL_REMAINDER (UINT64_C(20) << 20)

enum word { WORD_SEGMENT = 1, WORD_WALL, WORD_FREE, WORD_ALIVE, WORD_ELSEWHERE };

struct words {
    uint64_t *data;
    size_t n, capacity;
};

struct address {
    uint64_t address;
    uint32_t storage;
};

struct anchor {
    bool set;
    struct words state;
    uint64_t iteration, n_ops, device_used, reserved, allocated, host, requested;
    struct ool_tally *tallies; /* per process */
    uint64_t *balances;        /* per account */
};

struct ool_repeat {
    bool hopeless;  /* the loop does what the words do not show, or was counted on already */
    uint64_t least; /* bytes of the smallest request in the body */
    uint64_t power, since;
    struct words state;
    struct address *addresses;
    size_t n_addresses, addresses_capacity;
    struct anchor anchor;
};

void ool_repeat_close(struct ool_repeat *repeat)
{
    if (repeat == NULL)
        return;
    ool_free(repeat->state.data);
    ool_free(repeat->anchor.state.data);
    ool_free(repeat->anchor.tallies);
    ool_free(repeat->anchor.balances);
    ool_free(repeat->addresses);
    ool_free(repeat);
}

/* Looks over the body once: its smallest request, and whether it does what no words show. */
static void survey(struct ool_repeat *repeat, const struct ool_replay *r, const struct ool_frame *f)
{
    repeat->least = UINT64_MAX;
    for (uint16_t i = 0; i < r->program->n_processes; i++)
        repeat->hopeless = repeat->hopeless || r->processes[i].unseen;
    for (size_t i = f->body; i < r->at; i++) {
        const struct ool_op *op = &r->program->ops[i];

        switch ((enum ool_op_kind)op->kind) {
        case OOL_OP_ALLOC:
            if (r->program->storages[op->id].bytes < repeat->least)
                repeat->least = r->program->storages[op->id].bytes;
            break;
        case OOL_OP_RECORD_STREAM:
        case OOL_OP_STREAM_BUSY:
        case OOL_OP_STREAM_STEP:
        case OOL_OP_STREAM_IDLE:
        case OOL_OP_SET_FRACTION:
        case OOL_OP_SET_CONF:
            repeat->hopeless = true;
            break;
        default:
            break;
        }
    }
}

static struct ool_repeat *open_repeat(const struct ool_replay *r, const struct ool_frame *frame)
{
    struct ool_repeat *repeat = ool_calloc(1, sizeof *repeat);

    if (repeat == NULL)
        return NULL;
    repeat->power = 1;
    survey(repeat, r, frame);
    repeat->anchor.tallies =
        ool_calloc((size_t)r->program->n_processes + 1, sizeof *repeat->anchor.tallies);
    repeat->anchor.balances = ool_calloc(r->ledger.n_accounts, sizeof *repeat->anchor.balances);
    if (repeat->anchor.tallies == NULL || repeat->anchor.balances == NULL) {
        ool_repeat_close(repeat);
        return NULL;
    }
    return repeat;
}

static bool put(struct words *words, uint64_t word, uint64_t value)
{
    if (!ool_grow(&words->data, &words->capacity, words->n, sizeof *words->data))
        return false;
    words->data[words->n++] = word;
    if (!ool_grow(&words->data, &words->capacity, words->n, sizeof *words->data))
        return false;
    words->data[words->n++] = value;
    return true;
}

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const struct address *)a)->address, y = ((const struct address *)b)->address;

    return x < y ? -1 : x > y;
}

/* The reachable blocks of a process by address; storages without a block go to the words. */
static bool collect_addresses(struct ool_repeat *repeat, const struct ool_replay *r,
                              uint16_t process)
{
    repeat->n_addresses = 0;
    for (size_t i = 0; i < r->program->n_storages; i++) {
        const struct ool_instance *instance = &r->instances[i];
        const struct ool_storage *storage = &r->program->storages[i];

        if (!instance->alive || storage->process != process)
            continue;
        if (storage->place != OOL_PLACE_DEVICE || instance->block.handle == NULL) {
            if (!put(&repeat->state, WORD_ELSEWHERE, i))
                return false;
            continue;
        }
        if (!ool_grow(&repeat->addresses, &repeat->addresses_capacity, repeat->n_addresses,
                      sizeof *repeat->addresses))
            return false;
        repeat->addresses[repeat->n_addresses++] =
            (struct address){instance->block.address, (uint32_t)i};
    }
    if (repeat->n_addresses > 0)
        qsort(repeat->addresses, repeat->n_addresses, sizeof *repeat->addresses, by_address);
    return true;
}

/* Whether a free block can never be used again; both neighbours have to be walls or the rim. */
static bool is_dead(const struct ool_repeat *repeat, const struct ool_segment_info *segment,
                    const struct ool_block_info *block)
{
    return !segment->expandable && block->state == OOL_BLOCK_FREE && block->bytes < repeat->least;
}

/* The storage whose block starts at @address, or OOL_NONE; @next moves along. */
static uint32_t reachable(const struct ool_repeat *repeat, uint64_t address, size_t *next)
{
    while (*next < repeat->n_addresses && repeat->addresses[*next].address < address)
        ++*next;
    return *next < repeat->n_addresses && repeat->addresses[*next].address == address
               ? repeat->addresses[*next].storage
               : OOL_NONE;
}

/* Walls beside each other are one. */
struct run {
    uint64_t bytes;
    bool open;
};

static bool end_run(struct words *words, const struct ool_segment_info *segment, struct run *run)
{
    bool fine = true;

    if (run->open)
        fine = put(words, WORD_WALL, segment->expandable ? run->bytes % WALL_REMAINDER : 0);
    *run = (struct run){0};
    return fine;
}

/* A dead block counts as wall only between walls (or the segment's rim), at least one of them a wall. */
static bool joins_run(const struct ool_repeat *repeat, const struct ool_segment_info *segment,
                      const struct ool_block_info *blocks, size_t i, bool before, size_t next)
{
    size_t end = segment->first_block + segment->n_blocks;
    bool after_rim = i + 1 == end, before_rim = i == segment->first_block;
    bool after = false;

    if (!is_dead(repeat, segment, &blocks[i]))
        return false;
    if (!after_rim)
        after = blocks[i + 1].state == OOL_BLOCK_ALLOCATED &&
                reachable(repeat, blocks[i + 1].address, &next) == OOL_NONE;
    return (before || before_rim) && (after || after_rim) && (before || after);
}

static bool put_segment(struct ool_repeat *repeat, const struct ool_segment_info *segment,
                        const struct ool_block_info *blocks, size_t *next)
{
    struct words *words = &repeat->state;
    size_t start = words->n;
    struct run run = {0};
    bool only_walls = true;

    if (!put(words, WORD_SEGMENT,
             (uint64_t)segment->stream << 2 | (segment->small ? 2U : 0U) |
                 (segment->expandable ? 1U : 0U)))
        return false;
    for (size_t i = segment->first_block; i < segment->first_block + segment->n_blocks; i++) {
        uint32_t storage = OOL_NONE;
        bool wall;

        if (blocks[i].state == OOL_BLOCK_ALLOCATED)
            storage = reachable(repeat, blocks[i].address, next);
        else if (blocks[i].state == OOL_BLOCK_PENDING)
            repeat->hopeless = true; /* waits for an event */
        wall = (blocks[i].state == OOL_BLOCK_ALLOCATED && storage == OOL_NONE) ||
               joins_run(repeat, segment, blocks, i, run.open, *next);
        if (wall) {
            run.open = true;
            run.bytes += blocks[i].bytes;
            continue;
        }
        only_walls = false;
        if (!end_run(words, segment, &run) ||
            !put(words, storage == OOL_NONE ? WORD_FREE : WORD_ALIVE, blocks[i].bytes) ||
            (storage != OOL_NONE && !put(words, WORD_ELSEWHERE, storage)))
            return false;
    }
    if (only_walls && !segment->expandable) {
        words->n = start;
        return true;
    }
    return end_run(words, segment, &run);
}

static enum ool_status write_state(struct ool_repeat *repeat, struct ool_replay *r)
{
    enum ool_status status = OOL_OK;
    bool fine = true;

    repeat->state.n = 0;
    r->look_cost = 0;
    for (uint16_t i = 0; status == OOL_OK && fine && i < r->program->n_processes; i++) {
        struct ool_snapshot snapshot = {0};
        size_t next = 0;

        if (r->processes[i].allocator == NULL)
            continue;
        status = ool_allocator_snapshot(r->processes[i].allocator, &snapshot, r->err);
        if (status != OOL_OK)
            return status;
        fine = collect_addresses(repeat, r, i);
        for (size_t k = 0; fine && k < snapshot.n_segments; k++)
            fine = put_segment(repeat, &snapshot.segments[k], snapshot.blocks, &next);
        r->look_cost += snapshot.n_blocks + snapshot.n_segments + r->program->n_storages;
        ool_snapshot_fini(&snapshot);
    }
    return fine ? status
                : ool_error_set(r->err, OOL_E_HOST_OOM, "no memory to compare a loop's iterations");
}

static void tally(const struct ool_process *p, struct ool_tally *into)
{
    if (p->allocator != NULL)
        into->stats = *ool_allocator_stats(p->allocator);
    into->requested = p->requested;
    into->n_allocs = p->n_allocs;
    into->n_frees = p->n_frees;
}

static void set_anchor(struct ool_repeat *repeat, struct ool_replay *r, struct ool_frame *frame)
{
    struct anchor *anchor = &repeat->anchor;
    struct words state = anchor->state;

    anchor->state = repeat->state;
    repeat->state = state;
    anchor->set = true;
    anchor->iteration = frame->done;
    anchor->n_ops = r->n_ops;
    anchor->device_used = r->device_used;
    anchor->reserved = r->reserved;
    anchor->allocated = r->allocated;
    anchor->requested = r->requested;
    anchor->host = r->host;
    for (uint16_t i = 0; i < r->program->n_processes; i++)
        tally(&r->processes[i], &anchor->tallies[i]);
    for (size_t i = 0; i < r->ledger.n_accounts; i++)
        anchor->balances[i] = r->ledger.accounts[i].now;
    frame->most_device = r->device_used;
    repeat->since = 0;
    repeat->power *= 2;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Periods of @growth that stay at least @peak (which one period needs at the most) below @limit. */
static uint64_t periods_within(uint64_t limit, uint64_t now, uint64_t peak, uint64_t growth)
{
    if (growth == 0)
        return UINT64_MAX;
    if (now > limit || peak > limit - now)
        return 0;
    return (limit - now - peak) / growth;
}

/* How many periods can be counted on, with one left to run where something grows. */
static uint64_t periods_ahead(const struct ool_repeat *repeat, const struct ool_replay *r,
                              const struct ool_frame *frame)
{
    const struct anchor *anchor = &repeat->anchor;
    uint64_t period = frame->done - anchor->iteration;
    uint64_t n = (frame->total - frame->done) / period;
    uint64_t rise = frame->most_device - anchor->device_used, free_bytes, total_bytes;
    bool grows = r->requested != anchor->requested || r->reserved != anchor->reserved ||
                 r->allocated != anchor->allocated || r->host != anchor->host;

    if (grows && n > 0)
        n--;
    r->sim->ops->info(r->sim, &free_bytes, &total_bytes);
    n = least_of(
        n, periods_within(total_bytes, r->device_used, rise, r->device_used - anchor->device_used));
    if (r->c->card.host_bytes != 0)
        n = least_of(n, periods_within(r->c->card.host_bytes, r->result->host_peak, 0,
                                       r->host - anchor->host));
    for (uint16_t i = 0; i < r->program->n_processes; i++) {
        const struct ool_process *p = &r->processes[i];
        uint64_t before = (uint64_t)anchor->tallies[i].stats.reserved_bytes[OOL_POOL_ALL].current;

        if (p->allocator != NULL && p->fraction < 1)
            n = least_of(n, periods_within((uint64_t)((double)total_bytes * p->fraction),
                                           p->reserved, rise, p->reserved - before));
    }
    return least_of(n, (MOST_OPS - least_of(r->n_ops, MOST_OPS)) / (r->n_ops - anchor->n_ops));
}

static void grow_stat(struct ool_stat *stat, const struct ool_stat *before)
{
    stat->current -= before->current;
    stat->allocated -= before->allocated;
    stat->freed -= before->freed;
}

/* What the counters gained since @before. */
static struct ool_allocator_stats stats_growth(const struct ool_allocator_stats *now,
                                               const struct ool_allocator_stats *before)
{
    struct ool_allocator_stats growth = *now;

    for (int pool = 0; pool < OOL_N_POOLS; pool++) {
        grow_stat(&growth.allocation[pool], &before->allocation[pool]);
        grow_stat(&growth.segment[pool], &before->segment[pool]);
        grow_stat(&growth.active[pool], &before->active[pool]);
        grow_stat(&growth.inactive_split[pool], &before->inactive_split[pool]);
        grow_stat(&growth.allocated_bytes[pool], &before->allocated_bytes[pool]);
        grow_stat(&growth.reserved_bytes[pool], &before->reserved_bytes[pool]);
        grow_stat(&growth.active_bytes[pool], &before->active_bytes[pool]);
        grow_stat(&growth.inactive_split_bytes[pool], &before->inactive_split_bytes[pool]);
        grow_stat(&growth.requested_bytes[pool], &before->requested_bytes[pool]);
    }
    grow_stat(&growth.oversize_allocations, &before->oversize_allocations);
    grow_stat(&growth.oversize_segments, &before->oversize_segments);
    growth.num_alloc_retries -= before->num_alloc_retries;
    growth.num_ooms -= before->num_ooms;
    growth.num_sync_all_streams -= before->num_sync_all_streams;
    growth.num_device_alloc -= before->num_device_alloc;
    growth.num_device_free -= before->num_device_free;
    return growth;
}

static void skip_process(struct ool_process *p, const struct ool_tally *before, uint64_t n)
{
    struct ool_allocator_stats growth =
        stats_growth(ool_allocator_stats(p->allocator), &before->stats);

    p->skipped_allocated += n * (uint64_t)growth.allocated_bytes[OOL_POOL_ALL].current;
    p->skipped_reserved += n * (uint64_t)growth.reserved_bytes[OOL_POOL_ALL].current;
    p->requested += n * (p->requested - before->requested);
    p->n_allocs += n * (p->n_allocs - before->n_allocs);
    p->n_frees += n * (p->n_frees - before->n_frees);
    ool_allocator_skip(p->allocator, &growth, n);
}

static enum ool_status count_on(const struct ool_repeat *repeat, struct ool_replay *r,
                                struct ool_frame *frame, uint64_t n)
{
    const struct anchor *anchor = &repeat->anchor;
    uint64_t period = frame->done - anchor->iteration;
    enum ool_status status =
        ool_sim_hold(r->sim, n * (r->device_used - anchor->device_used), r->err);

    if (status != OOL_OK)
        return ool_error_set(r->err, OOL_E_INTERNAL, "a loop's growth was counted beyond the card");
    for (uint16_t i = 0; i < r->program->n_processes; i++)
        if (r->processes[i].allocator != NULL)
            skip_process(&r->processes[i], &anchor->tallies[i], n);
    for (size_t i = 0; i < r->ledger.n_accounts; i++) {
        uint64_t growth = r->ledger.accounts[i].now - anchor->balances[i];

        if (growth != 0)
            ool_ledger_change(&r->ledger, (uint32_t)i, n * growth);
    }
    frame->leak = (int64_t)((r->requested - anchor->requested) / period);
    frame->counted = true;
    frame->done += n * period;
    r->requested += n * (r->requested - anchor->requested);
    r->host += n * (r->host - anchor->host);
    r->n_ops += n * (r->n_ops - anchor->n_ops);
    r->result->extrapolated = true;
    ool_replay_refresh(r);
    return OOL_OK;
}

/* A cheap look: could the words be those of the anchor? */
static bool may_equal(const struct ool_repeat *repeat, const struct ool_replay *r)
{
    const struct anchor *anchor = &repeat->anchor;

    return anchor->set && r->device_used - r->reserved == anchor->device_used - anchor->reserved;
}

/* The cached bytes are the anchor's: worth a look even on credit. */
static bool looks_equal(const struct ool_repeat *repeat, const struct ool_replay *r)
{
    const struct anchor *anchor = &repeat->anchor;

    return r->reserved - r->allocated == anchor->reserved - anchor->allocated;
}

enum ool_status ool_repeat_check(struct ool_replay *r, struct ool_frame *frame)
{
    struct ool_repeat *repeat = frame->repeat;
    enum ool_status status;
    uint64_t n;
    bool due;

    if (repeat == NULL)
        repeat = frame->repeat = open_repeat(r, frame);
    if (repeat == NULL)
        return ool_error_set(r->err, OOL_E_HOST_OOM, "no memory to watch a loop");
    if (repeat->hopeless)
        return OOL_OK;
    r->credit += CREDIT_PER_OP * (r->n_ops - frame->started);
    due = ++repeat->since >= repeat->power || !repeat->anchor.set;
    if (r->credit < r->look_cost ||
        (!due && (!may_equal(repeat, r) ||
                  (!looks_equal(repeat, r) && r->credit < 2 * r->look_cost + PLENTY))))
        return OOL_OK;
    status = write_state(repeat, r);
    if (status != OOL_OK)
        return status;
    r->credit -= least_of(r->credit, r->look_cost);
    if (repeat->hopeless)
        return OOL_OK;
    if (may_equal(repeat, r) && repeat->state.n == repeat->anchor.state.n &&
        (repeat->state.n == 0 || memcmp(repeat->state.data, repeat->anchor.state.data,
                                        repeat->state.n * sizeof *repeat->state.data) == 0)) {
        repeat->hopeless = true; /* once is enough: what is left has to be run */
        n = periods_ahead(repeat, r, frame);
        return n > 0 ? count_on(repeat, r, frame, n) : OOL_OK;
    }
    if (due)
        set_anchor(repeat, r, frame);
    return OOL_OK;
}
