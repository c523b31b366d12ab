/*
 * ool_liveness.c - requested bytes over a program, without allocator or card.
 *
 * Each storage's bytes count from its alloc to its free. A loop of n iterations is walked twice: from
 * the second on, iterations start from what an iteration leaves behind, so they are alike, and the
 * n-th has the second's peak plus n - 2 times its growth. In nested loops the walk of an inner loop
 * stands for all its iterations.
 */
#include "ool_plan.h"

#include "ool_mem.h"

#include <string.h>

#define MOST_BYTES INT64_MAX
#define MOST_DEPTH 16 /* the walks of a nest are 2^depth times its body */

struct walk {
    const struct ool_program *program;
    uint8_t *alive;
    int64_t bytes, peak;
    uint64_t n_ops;
    int64_t growth;
    size_t depth;
    struct ool_error *err;
};

static enum ool_status wrong(struct walk *w, size_t at, const char *what)
{
    return ool_error_set(w->err, OOL_E_PROGRAM, "operation %zu (%s): %s", at,
                         ool_op_name((enum ool_op_kind)w->program->ops[at].kind), what);
}

static enum ool_status too_much(struct walk *w)
{
    return ool_error_set(w->err, OOL_E_OVERFLOW, "the program asks for more than 2^63 bytes");
}

/* base + times * each, false where 63 bits do not hold it. */
static bool add_times(int64_t base, int64_t each, uint64_t times, int64_t *sum)
{
    int64_t product;

    if (each == 0 || times == 0) {
        *sum = base;
        return true;
    }
    return times <= INT64_MAX && !__builtin_mul_overflow(each, (int64_t)times, &product) &&
           !__builtin_add_overflow(base, product, sum);
}

static enum ool_status step(struct walk *w, size_t at)
{
    const struct ool_op *op = &w->program->ops[at];
    const struct ool_storage *storage;

    if (op->kind != OOL_OP_ALLOC && op->kind != OOL_OP_FREE)
        return OOL_OK;
    if (op->id >= w->program->n_storages)
        return wrong(w, at, "no such storage");
    storage = &w->program->storages[op->id];
    if (op->kind == OOL_OP_FREE && !w->alive[op->id])
        return wrong(w, at, "the storage is not allocated here");
    w->alive[op->id] = op->kind == OOL_OP_ALLOC;
    if (storage->place != OOL_PLACE_DEVICE)
        return OOL_OK;
    if (op->kind == OOL_OP_FREE) {
        w->bytes -= (int64_t)storage->bytes;
        return OOL_OK;
    }
    if (storage->bytes > (uint64_t)(MOST_BYTES - w->bytes))
        return too_much(w);
    w->bytes += (int64_t)storage->bytes;
    if (w->bytes > w->peak)
        w->peak = w->bytes;
    return OOL_OK;
}

static size_t matching_end(const struct ool_program *program, size_t loop)
{
    size_t depth = 1, at = loop;

    while (depth > 0 && ++at < program->n_ops) {
        if (program->ops[at].kind == OOL_OP_LOOP)
            depth++;
        else if (program->ops[at].kind == OOL_OP_END)
            depth--;
    }
    return at;
}

static enum ool_status walk_range(struct walk *w, size_t from, size_t to);

static enum ool_status walk_body(struct walk *w, size_t from, size_t to)
{
    enum ool_status status = walk_range(w, from, to);

    w->n_ops++; /* its end */
    return status;
}

static enum ool_status walk_loop(struct walk *w, size_t from, size_t to, uint64_t times)
{
    int64_t before = w->bytes, outer_peak = w->peak, growth;
    uint64_t n_ops = w->n_ops;
    enum ool_status status;

    if (times == 0)
        return OOL_OK;
    if (w->depth == MOST_DEPTH)
        return ool_error_set(w->err, OOL_E_LIMIT, "loops are nested more than %d deep", MOST_DEPTH);
    w->depth++;
    status = walk_body(w, from, to);
    if (status == OOL_OK && times > 1) {
        if (w->peak > outer_peak)
            outer_peak = w->peak;
        before = w->bytes;
        n_ops = w->n_ops;
        w->peak = w->bytes;
        status = walk_body(w, from, to);
        growth = w->bytes - before;
        if (w->depth == 1 && growth > w->growth)
            w->growth = growth;
        if (status == OOL_OK && (!add_times(w->bytes, growth, times - 2, &w->bytes) ||
                                 !add_times(w->peak, growth > 0 ? growth : 0, times - 2, &w->peak)))
            status = too_much(w);
        w->n_ops += (w->n_ops - n_ops) * (times - 2);
        if (w->peak < outer_peak)
            w->peak = outer_peak;
    }
    w->depth--;
    return status;
}

static enum ool_status walk_range(struct walk *w, size_t from, size_t to)
{
    enum ool_status status = OOL_OK;

    for (size_t at = from; status == OOL_OK && at < to; at++) {
        size_t end;

        w->n_ops++;
        if (w->program->ops[at].kind != OOL_OP_LOOP) {
            status = step(w, at);
            continue;
        }
        end = matching_end(w->program, at);
        if (end >= to)
            return wrong(w, at, "the loop is not closed");
        status = walk_loop(w, at + 1, end, w->program->ops[at].value);
        at = end;
    }
    return status;
}

enum ool_status ool_liveness_of(const struct ool_program *program, struct ool_liveness *liveness,
                                struct ool_error *err)
{
    struct walk w = {.program = program, .err = err};
    enum ool_status status;

    w.alive = ool_calloc(program->n_storages, 1);
    if (w.alive == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for %zu storages",
                             program->n_storages);
    status = walk_range(&w, 0, program->n_ops);
    ool_free(w.alive);
    if (status != OOL_OK)
        return status;
    liveness->peak_requested = (uint64_t)w.peak;
    liveness->growth = w.growth;
    liveness->n_ops = w.n_ops;
    return OOL_OK;
}
