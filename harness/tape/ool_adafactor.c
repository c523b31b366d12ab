/*
 * Adafactor: states of a row and a column, and a step that reduces and multiplies. Source:
 * torch/optim/_adafactor.py of 2.11.0; locals live on as in the other optimizers.
 */
#include "ool_optimizer_internal.h"

#include "ool_mem.h"

static struct ool_tensor *zeros(struct ool_tape *t, const struct ool_tensor *grad, int dim)
{
    int64_t shape[OOL_MAX_DIMS];

    for (int i = 0; i < grad->n_dims; i++)
        shape[i] = i == dim ? 1 : grad->shape[i];
    return ool_make(t, (enum ool_dtype)grad->dtype, OOL_PLACE_DEVICE, grad->n_dims, shape, NULL);
}

void ool_adafactor_states(struct ool_tape *t, struct ool_slot *slot)
{
    const struct ool_tensor *grad = slot->param->grad;

    if (grad->n_dims > 1) {
        ool_slot_keep(t, slot, zeros(t, grad, grad->n_dims - 1));
        ool_slot_keep(t, slot, zeros(t, grad, grad->n_dims - 2));
    } else {
        ool_slot_keep(t, slot, ool_make_like(t, grad, (enum ool_dtype)grad->dtype));
    }
}

static void norm_item(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_tensor *norm = NULL;

    if (x == NULL)
        return;
    ool_set(t, &norm, ool_vector_norm(t, x, ool_every_dim(x), false));
    ool_del(t, &norm);
}

static struct ool_tensor *norm_along(struct ool_tape *t, struct ool_tensor *x, int dim)
{
    return x == NULL ? NULL : ool_vector_norm(t, x, UINT32_C(1) << (x->n_dims + dim), true);
}

static struct ool_tensor *like(struct ool_tape *t, const struct ool_tensor *x)
{
    return x == NULL ? NULL : ool_make_like(t, x, (enum ool_dtype)x->dtype);
}

/* --- the loop ------------------------------------------------------------------------------------------- */

struct locals {
    struct ool_tensor *grad, *row_mean, *col_mean, *estimate, *squared, *update;
};

static void step_matrix(struct ool_tape *t, const struct ool_slot *slot, struct ool_tensor *grad,
                        struct locals *l)
{
    struct ool_tensor *mean = NULL;

    ool_set(t, &l->row_mean, norm_along(t, grad, -1));
    ool_set(t, &l->col_mean, norm_along(t, grad, -2));
    ool_set(t, &l->estimate, ool_matmul(t, slot->states[0], slot->states[1]));
    ool_set(t, &mean, ool_reduce(t, OOL_MEAN, slot->states[0], -2, true));
    ool_del(t, &mean);
}

static void step_vector(struct ool_tape *t, const struct ool_slot *slot, struct ool_tensor *grad,
                        struct locals *l)
{
    ool_set(t, &l->squared, like(t, grad));
    ool_set(t, &l->estimate, like(t, slot->states[0]));
}

void ool_adafactor_loop(struct ool_tape *t, struct ool_optimizer *o)
{
    struct locals l = {NULL, NULL, NULL, NULL, NULL, NULL};

    for (size_t i = 0; i < o->n_slots && !t->failed; i++) {
        const struct ool_slot *slot = &o->slots[i];
        struct ool_tensor *grad = slot->param->grad;

        if (grad == NULL)
            continue;
        ool_set(t, &l.grad, o->config.maximize ? like(t, grad) : NULL);
        norm_item(t, slot->param);
        if (grad->n_dims > 1)
            step_matrix(t, slot, grad, &l);
        else
            step_vector(t, slot, grad, &l);
        ool_set(t, &l.update, l.estimate);
        norm_item(t, l.update);
    }
    ool_del(t, &l.grad);
    ool_del(t, &l.row_mean);
    ool_del(t, &l.col_mean);
    ool_del(t, &l.estimate);
    ool_del(t, &l.squared);
    ool_del(t, &l.update);
}

/* --- foreach ---------------------------------------------------------------------------------------------- */

struct group {
    struct ool_slot **slots;
    size_t n;
};

struct list {
    struct ool_tensor **items;
    size_t n;
};

static void list_clear(struct ool_tape *t, struct list *list)
{
    while (list->n > 0)
        ool_drop(t, list->items[--list->n]);
    ool_free(list->items);
    list->items = NULL;
}

/* What makes the new list's tensor of one parameter. */
typedef struct ool_tensor *maker(struct ool_tape *t, const struct ool_slot *slot);

static struct ool_tensor *make_grad(struct ool_tape *t, const struct ool_slot *slot)
{
    return like(t, slot->param->grad);
}

static struct ool_tensor *make_row_mean(struct ool_tape *t, const struct ool_slot *slot)
{
    return norm_along(t, slot->param->grad, -1);
}

static struct ool_tensor *make_col_mean(struct ool_tape *t, const struct ool_slot *slot)
{
    return norm_along(t, slot->param->grad, -2);
}

static struct ool_tensor *make_estimate(struct ool_tape *t, const struct ool_slot *slot)
{
    return ool_matmul(t, slot->states[0], slot->states[1]);
}

static struct ool_tensor *make_mean(struct ool_tape *t, const struct ool_slot *slot)
{
    return ool_reduce(t, OOL_MEAN, slot->states[0], -2, true);
}

static struct ool_tensor *make_variance(struct ool_tape *t, const struct ool_slot *slot)
{
    return like(t, slot->states[0]);
}

/* list = [make(slot) for slot in group]: the old list dies when the new one is complete. */
static void list_set(struct ool_tape *t, struct list *list, const struct group *group, maker *make)
{
    struct list made = {ool_calloc(group->n, sizeof(struct ool_tensor *)), 0};

    if (made.items == NULL) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for an optimizer's lists");
        return;
    }
    for (size_t i = 0; i < group->n && !t->failed; i++) {
        struct ool_tensor *x = make(t, group->slots[i]);

        ool_claim(t, x);
        if (x != NULL)
            made.items[made.n++] = x;
    }
    list_clear(t, list);
    *list = made;
}

struct lists {
    struct list grads, scratch, estimates, updates;
};

static void list_make_drop(struct ool_tape *t, struct lists *l, const struct group *group,
                           maker *make)
{
    list_set(t, &l->scratch, group, make);
    list_clear(t, &l->scratch);
}

static void step_group(struct ool_tape *t, const struct ool_optimizer *o, const struct group *group,
                       struct lists *l)
{
    bool matrices = group->slots[0]->param->grad->n_dims > 1;

    list_clear(t, &l->grads);
    if (o->config.maximize)
        list_set(t, &l->grads, group, make_grad);
    for (size_t i = 0; i < group->n; i++)
        norm_item(t, group->slots[i]->param);
    if (matrices) {
        list_make_drop(t, l, group, make_row_mean);
        list_make_drop(t, l, group, make_col_mean);
        list_set(t, &l->estimates, group, make_estimate);
        list_make_drop(t, l, group, make_mean);
    } else {
        list_make_drop(t, l, group, make_grad);
        list_set(t, &l->estimates, group, make_variance);
    }
    list_clear(t, &l->updates); /* updates = var_estimates: the same list, now the older one dies */
    l->updates = l->estimates;
    l->estimates = (struct list){NULL, 0};
    for (size_t i = 0; i < l->updates.n; i++)
        norm_item(t, l->updates.items[i]);
}

void ool_adafactor_foreach(struct ool_tape *t, struct ool_optimizer *o)
{
    struct lists l = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
    struct group group = {ool_calloc(o->n_slots, sizeof(struct ool_slot *)), 0};
    enum ool_dtype dtypes[OOL_N_DTYPES];
    size_t n_dtypes;

    if (group.slots == NULL) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for an optimizer's lists");
        return;
    }
    n_dtypes = ool_optimizer_groups(t, o, dtypes);
    for (size_t k = 0; k < n_dtypes; k++) {
        int first = -1; /* of a type, the kind met first: matrices or vectors */

        for (int pass = 0; pass < 2; pass++) {
            group.n = 0;
            for (size_t i = 0; i < o->n_slots; i++) {
                const struct ool_tensor *grad = o->slots[i].param->grad;
                int matrix;

                if (grad == NULL || grad->dtype != dtypes[k])
                    continue;
                matrix = grad->n_dims > 1;
                if (first < 0)
                    first = matrix;
                if ((matrix == first) == (pass == 0))
                    group.slots[group.n++] = &o->slots[i];
            }
            if (group.n > 0 && !t->failed)
                step_group(t, o, &group, &l);
        }
    }
    list_clear(t, &l.grads);
    list_clear(t, &l.scratch);
    list_clear(t, &l.estimates);
    list_clear(t, &l.updates);
    ool_free(group.slots);
}
