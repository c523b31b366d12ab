/*
 * torch.autocast: which casts are made, which are kept until the outermost region ends.
 */
#include "ool_tape_internal.h"

#include "ool_mem.h"

void ool_autocast_enter(struct ool_tape *t, enum ool_dtype dtype, bool cache)
{
    size_t most = sizeof t->autocast_stack / sizeof *t->autocast_stack;

    if ((size_t)t->autocast_depth == most) {
        ool_fail(t, OOL_E_LIMIT, "autocast is nested more than %zu deep", most);
        return;
    }
    t->autocast_stack[t->autocast_depth++] = (struct ool_autocast_state){
        .on = t->autocast, .cache = t->autocast_cache, .dtype = t->autocast_dtype};
    t->autocast = true;
    t->autocast_cache = cache;
    t->autocast_dtype = dtype;
}

static void clear_cache(struct ool_tape *t)
{
    for (size_t i = 0; i < t->n_casts; i++)
        ool_drop(t, t->casts[i].cast);
    t->n_casts = 0;
}

void ool_autocast_leave(struct ool_tape *t)
{
    const struct ool_autocast_state *state;

    if (t->autocast_depth == 0)
        return;
    if (--t->autocast_depth == 0)
        clear_cache(t);
    state = &t->autocast_stack[t->autocast_depth];
    t->autocast = state->on;
    t->autocast_cache = state->cache;
    t->autocast_dtype = state->dtype;
}

bool ool_autocast_on(const struct ool_tape *t)
{
    return t->autocast;
}

bool ool_autocast_set(struct ool_tape *t, bool on)
{
    bool was = t->autocast;

    t->autocast = on;
    return was;
}

enum ool_dtype ool_autocast_dtype(const struct ool_tape *t)
{
    return t->autocast_dtype;
}

static bool eligible(const struct ool_tensor *x)
{
    return x != NULL && x->place == OOL_PLACE_DEVICE && ool_dtype_is_float(ool_dtype(x)) &&
           x->dtype != OOL_F64;
}

static struct ool_tensor *cached_cast(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_tensor *cast = NULL;

    if (x->cast > 0 && x->cast <= t->n_casts && t->casts[x->cast - 1].source == x)
        return t->casts[x->cast - 1].cast;
    if (!ool_grow(&t->casts, &t->casts_capacity, t->n_casts, sizeof *t->casts))
        return ool_fail(t, OOL_E_HOST_OOM, "no memory for the autocast cache");
    ool_set(t, &cast, ool_to(t, x, t->autocast_dtype));
    if (t->failed)
        return NULL;
    t->casts[t->n_casts++] = (struct ool_cached_cast){.source = x, .cast = cast};
    x->cast = (uint32_t)t->n_casts;
    return cast;
}

struct ool_tensor *ool_cast_lower(struct ool_tape *t, struct ool_tensor *x)
{
    if (t->failed || !eligible(x) || x->dtype == t->autocast_dtype)
        return x;
    if (t->autocast_cache && x->dtype == OOL_F32 && x->requires_grad && x->node == NULL &&
        x->base == NULL && t->grad_mode != OOL_INFERENCE)
        return cached_cast(t, x);
    return ool_to(t, x, t->autocast_dtype);
}

struct ool_tensor *ool_cast_f32(struct ool_tape *t, struct ool_tensor *x)
{
    return t->failed || !eligible(x) ? x : ool_to(t, x, OOL_F32);
}
