/*
 * Optimizers: what they accept, the states that a first step makes, the order of a step.
 */
#include "ool_optimizer_internal.h"

#include "ool_mem.h"

#include <math.h>
#include <stdio.h>

static const char *const kind_names[] = {
    [OOL_SGD] = "SGD",         [OOL_ADAM] = "Adam",
    [OOL_ADAMW] = "AdamW",     [OOL_RMSPROP] = "RMSprop",
    [OOL_ADAGRAD] = "Adagrad", [OOL_ADADELTA] = "Adadelta",
    [OOL_ADAMAX] = "Adamax",   [OOL_NADAM] = "NAdam",
    [OOL_RADAM] = "RAdam",     [OOL_ADAFACTOR] = "Adafactor",
    [OOL_RPROP] = "Rprop",     [OOL_ASGD] = "ASGD",
};

#define BIT(kind) (UINT32_C(1) << (kind))
#define ADAMS (BIT(OOL_ADAM) | BIT(OOL_ADAMW))
#define CAPTURABLE                                                                     \
    (ADAMS | BIT(OOL_RMSPROP) | BIT(OOL_ADADELTA) | BIT(OOL_ADAMAX) | BIT(OOL_NADAM) | \
     BIT(OOL_RADAM) | BIT(OOL_RPROP) | BIT(OOL_ASGD))
#define CAPTURABLE_2_2 (ADAMS | BIT(OOL_NADAM) | BIT(OOL_RADAM) | BIT(OOL_ASGD))

/* What is wrong with the combination, in PyTorch's terms; NULL = nothing. */
static const char *refusal(const struct ool_tape *t, const struct ool_optimizer_config *c)
{
    uint32_t kind = BIT(c->kind), fused = ADAMS | BIT(OOL_SGD);
    uint32_t capturable = t->facts->torch < OOL_TORCH_2_4 ? CAPTURABLE_2_2 : CAPTURABLE;

    if (c->kind == OOL_ADAFACTOR && t->facts->torch < OOL_TORCH_2_6)
        return "does not exist in this release";
    if (t->facts->torch >= OOL_TORCH_2_15)
        fused |= BIT(OOL_ADAGRAD);
    if (c->implementation == OOL_FUSED && (kind & fused) == 0)
        return "has no fused form on a card";
    if (c->implementation == OOL_FUSED && c->kind == OOL_SGD && t->facts->torch < OOL_TORCH_2_4)
        return "has no fused form in this release";
    if (c->momentum < 0 || (c->momentum != 0 && (kind & (BIT(OOL_SGD) | BIT(OOL_RMSPROP))) == 0))
        return "takes no such momentum";
    if (c->nesterov && (c->kind != OOL_SGD || c->momentum == 0))
        return "has no Nesterov momentum here: it needs SGD with a momentum";
    if (c->weight_decay < 0 || (c->kind == OOL_RPROP && c->weight_decay > 0))
        return "takes no such weight decay";
    if (c->amsgrad && (kind & ADAMS) == 0)
        return "has no amsgrad";
    if (c->capturable && (kind & capturable) == 0)
        return "cannot be capturable";
    if (c->centered && c->kind != OOL_RMSPROP)
        return "cannot be centered";
    if (c->decoupled && (kind & (BIT(OOL_NADAM) | BIT(OOL_RADAM))) == 0)
        return "has no switch for decoupled weight decay";
    if (c->tensor_lr && c->implementation == OOL_FOREACH && (kind & ADAMS) != 0 && !c->capturable)
        return "takes no tensor as learning rate with foreach, unless it is capturable";
    return NULL;
}

/* PyTorch's own choice: foreach on a card, but for Adafactor and for a learning rate that Adam's
 * foreach form cannot take. */
static enum ool_implementation chosen(const struct ool_optimizer_config *c)
{
    if (c->implementation != OOL_IMPL_DEFAULT)
        return c->implementation;
    if (c->kind == OOL_ADAFACTOR)
        return OOL_LOOP;
    if ((BIT(c->kind) & ADAMS) != 0 && c->tensor_lr && !c->capturable)
        return OOL_LOOP;
    return OOL_FOREACH;
}

static bool complete(struct ool_tape *t, struct ool_optimizer_config *c)
{
    const char *why;

    if ((unsigned)c->kind > OOL_ASGD || (unsigned)c->implementation > OOL_IMPL_DEFAULT) {
        ool_fail(t, OOL_E_UNSUPPORTED, "optimizer %d is not known", (int)c->kind);
        return false;
    }
    if (isnan(c->weight_decay))
        c->weight_decay = c->kind == OOL_ADAMW ? 1e-2 : 0;
    why = refusal(t, c);
    if (why != NULL) {
        ool_fail(t, OOL_E_UNSUPPORTED, "%s %s", kind_names[c->kind], why);
        return false;
    }
    c->implementation = chosen(c);
    return true;
}

/* --- states ----------------------------------------------------------------------------------------- */

void ool_slot_keep(struct ool_tape *t, struct ool_slot *slot, struct ool_tensor *x)
{
    ool_claim(t, x);
    if (x != NULL)
        slot->states[slot->n_states++] = x;
}

static void keep_scalar(struct ool_tape *t, struct ool_slot *slot)
{
    ool_slot_keep(t, slot, ool_make(t, OOL_F32, OOL_PLACE_DEVICE, 0, NULL, NULL));
}

static void keep_like(struct ool_tape *t, struct ool_slot *slot, const struct ool_tensor *x, int n)
{
    for (int i = 0; i < n; i++)
        ool_slot_keep(t, slot, ool_make_like(t, x, (enum ool_dtype)x->dtype));
}

/* step, eta (a copy of a copy of the learning rate since 2.4), mu, ax */
static void asgd_states(struct ool_tape *t, struct ool_slot *slot)
{
    struct ool_tensor *lr;

    keep_scalar(t, slot);
    if (t->facts->torch >= OOL_TORCH_2_4) {
        lr = ool_make(t, OOL_F32, OOL_PLACE_DEVICE, 0, NULL, NULL);
        ool_claim(t, lr);
        keep_scalar(t, slot);
        ool_drop(t, lr);
    } else {
        keep_scalar(t, slot);
    }
    keep_scalar(t, slot);
    keep_like(t, slot, slot->param, 1);
}

static void make_states(struct ool_tape *t, const struct ool_optimizer_config *c,
                        struct ool_slot *slot)
{
    enum ool_category old = ool_categorize(t, OOL_CATEGORY_OPTIMIZER);

    if (c->capturable || (c->implementation == OOL_FUSED && c->kind != OOL_SGD)) {
        if (c->kind != OOL_ASGD)
            keep_scalar(t, slot); /* step */
        if (c->kind == OOL_NADAM)
            keep_scalar(t, slot); /* mu_product */
    }
    switch (c->kind) {
    case OOL_SGD:
        break; /* later: a clone of the first gradient */
    case OOL_ADAM:
    case OOL_ADAMW:
        keep_like(t, slot, slot->param, c->amsgrad ? 3 : 2);
        break;
    case OOL_RMSPROP:
        keep_like(t, slot, slot->param, 1 + (c->momentum > 0) + c->centered);
        break;
    case OOL_ADAGRAD:
        keep_like(t, slot, slot->param, 1);
        break;
    case OOL_ADADELTA:
    case OOL_ADAMAX:
    case OOL_NADAM:
    case OOL_RADAM:
    case OOL_RPROP:
        keep_like(t, slot, slot->param, 2);
        break;
    case OOL_ADAFACTOR:
        ool_adafactor_states(t, slot);
        break;
    case OOL_ASGD:
        asgd_states(t, slot);
        break;
    }
    ool_categorize(t, old);
}

static void make_momentum(struct ool_tape *t, const struct ool_optimizer *o, struct ool_slot *slot)
{
    enum ool_category old;

    if (o->config.kind != OOL_SGD || o->config.momentum == 0 || slot->n_states > 0)
        return;
    old = ool_categorize(t, OOL_CATEGORY_OPTIMIZER);
    keep_like(t, slot, slot->param->grad, 1);
    ool_categorize(t, old);
}

/* --- a step ------------------------------------------------------------------------------------------- */

size_t ool_group_dtypes(const struct ool_tape *t, struct ool_tensor *const *tensors, size_t n,
                        enum ool_dtype *dtypes)
{
    bool seen[OOL_N_DTYPES] = {false}, appended = t->facts->torch < OOL_TORCH_2_4;
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        if (tensors[i] == NULL || seen[tensors[i]->dtype])
            continue;
        seen[tensors[i]->dtype] = true;
        for (size_t j = count; j > 0 && !appended; j--)
            dtypes[j] = dtypes[j - 1];
        dtypes[appended ? count : 0] = (enum ool_dtype)tensors[i]->dtype;
        count++;
    }
    return count;
}

size_t ool_optimizer_groups(const struct ool_tape *t, struct ool_optimizer *o,
                            enum ool_dtype *dtypes)
{
    size_t n = 0;

    for (size_t i = 0; i < o->n_slots; i++) {
        if (o->slots[i].param->grad != NULL)
            o->params[n++] = o->slots[i].param->grad;
    }
    return ool_group_dtypes(t, o->params, n, dtypes);
}

static void recipe(struct ool_tape *t, struct ool_optimizer *o, const struct ool_text *text,
                   struct ool_tensor *const *params, size_t n)
{
    ool_recipe_run(t, &o->locals, ool_text_data(text), params, n);
}

static void step_group(struct ool_tape *t, struct ool_optimizer *o, enum ool_dtype dtype)
{
    size_t n = 0;

    for (size_t i = 0; i < o->n_slots; i++) {
        if (o->slots[i].param->grad != NULL && o->slots[i].param->dtype == dtype)
            o->params[n++] = o->slots[i].param;
    }
    recipe(t, o, &o->before, o->params, n);
    for (size_t i = 0; i < o->n_slots; i++) {
        if (o->slots[i].param->grad != NULL && o->slots[i].param->dtype == dtype)
            make_momentum(t, o, &o->slots[i]);
    }
    recipe(t, o, &o->body, o->params, n);
}

static void step_foreach(struct ool_tape *t, struct ool_optimizer *o)
{
    enum ool_dtype dtypes[OOL_N_DTYPES];
    size_t n_dtypes = ool_optimizer_groups(t, o, dtypes);

    for (size_t i = 0; i < n_dtypes; i++)
        step_group(t, o, dtypes[i]);
}

/* RAdam: is the length of the approximated moving average above 5? With the default betas. */
static bool tractable(uint32_t step)
{
    double beta2 = 0.999, power = pow(beta2, step);
    double rho_inf = 2 / (1 - beta2) - 1;

    return rho_inf - 2 * step * power / (1 - power) > 5;
}

static void step_loop(struct ool_tape *t, struct ool_optimizer *o)
{
    for (size_t i = 0; i < o->n_slots; i++) {
        struct ool_slot *slot = &o->slots[i];
        bool rectified = o->rectified.length > 0 && tractable(slot->steps);

        if (slot->param->grad == NULL)
            continue;
        recipe(t, o, &o->before, &slot->param, 1);
        make_momentum(t, o, slot);
        recipe(t, o, rectified ? &o->rectified : &o->body, &slot->param, 1);
    }
}

static void step_fused(struct ool_tape *t, struct ool_optimizer *o)
{
    for (size_t i = 0; i < o->n_slots; i++) {
        if (o->slots[i].param->grad != NULL)
            make_momentum(t, o, &o->slots[i]);
    }
}

/* For replay: one kernel per parameter, whatever the form. */
static void kernels(struct ool_tape *t, const struct ool_optimizer *o)
{
    char attributes[160];

    if (!t->kernels)
        return;
    snprintf(attributes, sizeof attributes,
             "kind=%s momentum=%g weight_decay=%g nesterov=%d amsgrad=%d maximize=%d centered=%d "
             "decoupled=%d",
             kind_names[o->config.kind], o->config.momentum, o->config.weight_decay,
             o->config.nesterov, o->config.amsgrad, o->config.maximize, o->config.centered,
             o->config.decoupled);
    for (size_t i = 0; i < o->n_slots; i++) {
        const struct ool_slot *slot = &o->slots[i];
        struct ool_tensor *operands[OOL_OPTIMIZER_STATES + 2] = {slot->param, slot->param->grad};

        if (slot->param->grad == NULL)
            continue;
        for (uint32_t j = 0; j < slot->n_states; j++)
            operands[j + 2] = slot->states[j];
        ool_kernel_call(t, "optimizer_step", attributes, (int)slot->n_states + 2, operands, 1,
                        &slot->param);
    }
}

void ool_optimizer_run(struct ool_tape *t, struct ool_optimizer *o)
{
    enum ool_grad_mode mode = ool_set_grad_mode(t, OOL_NO_GRAD);
    enum ool_category category = ool_categorize(t, OOL_CATEGORY_WORKSPACE);
    bool any = false;

    ool_push(t, "optimizer");
    for (size_t i = 0; i < o->n_slots; i++) {
        struct ool_slot *slot = &o->slots[i];

        if (slot->param->grad == NULL)
            continue;
        any = true;
        if (slot->steps++ == 0 && slot->n_states == 0)
            make_states(t, &o->config, slot);
    }
    if (any && !t->failed) {
        if (o->config.implementation == OOL_FUSED)
            step_fused(t, o);
        else if (o->config.kind == OOL_ADAFACTOR && o->config.implementation == OOL_FOREACH)
            ool_adafactor_foreach(t, o);
        else if (o->config.kind == OOL_ADAFACTOR)
            ool_adafactor_loop(t, o);
        else if (o->config.implementation == OOL_FOREACH)
            step_foreach(t, o);
        else
            step_loop(t, o);
        recipe(t, o, &o->end, NULL, 0);
        kernels(t, o);
    }
    ool_pop(t);
    ool_categorize(t, category);
    ool_set_grad_mode(t, mode);
}

void ool_optimizer_step(struct ool_tape *t, struct ool_optimizer *optimizer)
{
    if (t->failed || optimizer == NULL)
        return;
    ool_optimizer_run(t, optimizer);
}

void ool_optimizer_zero_grad(struct ool_tape *t, struct ool_optimizer *optimizer, bool set_to_none)
{
    if (t->failed || optimizer == NULL)
        return;
    for (size_t i = 0; i < optimizer->n_slots && !t->failed; i++) {
        struct ool_tensor *param = optimizer->slots[i].param;

        if (param->grad == NULL)
            continue;
        if (set_to_none)
            ool_set_grad(t, param, NULL);
        else
            ool_kernel_call(t, "zero", NULL, 0, NULL, 1, &param->grad);
    }
}

/* --- open and close ---------------------------------------------------------------------------------- */

static bool take_params(struct ool_tape *t, struct ool_optimizer *o,
                        struct ool_tensor *const *params, size_t n)
{
    o->slots = ool_calloc(n > 0 ? n : 1, sizeof *o->slots);
    o->params = ool_calloc(n > 0 ? n : 1, sizeof(struct ool_tensor *));
    if (o->slots == NULL || o->params == NULL) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for an optimizer");
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (params[i] == NULL || !ool_requires_grad(params[i]))
            continue;
        ool_claim(t, params[i]);
        o->slots[o->n_slots++].param = params[i];
    }
    return true;
}

static bool write_recipes(struct ool_tape *t, struct ool_optimizer *o)
{
    struct ool_text *const texts[] = {&o->before, &o->body, &o->end, &o->rectified};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ool_text_init(texts[i], 1024);
    if (o->config.implementation == OOL_FOREACH)
        ool_optimizer_foreach(t, o);
    else if (o->config.implementation == OOL_LOOP)
        ool_optimizer_loop(t, o);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i]->failed) {
            ool_fail(t, OOL_E_HOST_OOM, "no memory for an optimizer");
            return false;
        }
    }
    return true;
}

struct ool_optimizer *ool_optimizer_open(struct ool_tape *t,
                                         const struct ool_optimizer_config *config,
                                         struct ool_tensor *const *params, size_t n)
{
    struct ool_optimizer_config completed = *config;
    struct ool_optimizer *o;

    if (t->failed || !complete(t, &completed))
        return NULL;
    o = ool_calloc(1, sizeof *o);
    if (o == NULL) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for an optimizer");
        return NULL;
    }
    o->config = completed;
    if (!write_recipes(t, o) || !take_params(t, o, params, n)) {
        ool_optimizer_close(t, o);
        return NULL;
    }
    if (completed.kind == OOL_ADAGRAD) { /* the only one that does not wait for the first step */
        ool_push(t, "optimizer");
        for (size_t i = 0; i < o->n_slots; i++)
            make_states(t, &o->config, &o->slots[i]);
        ool_pop(t);
    }
    return o;
}

void ool_optimizer_close(struct ool_tape *t, struct ool_optimizer *optimizer)
{
    if (optimizer == NULL)
        return;
    for (size_t i = 0; i < optimizer->n_slots; i++) {
        struct ool_slot *slot = &optimizer->slots[i];

        for (uint32_t j = 0; j < slot->n_states; j++)
            ool_drop(t, slot->states[j]);
        ool_drop(t, slot->param);
    }
    ool_recipe_fini(&optimizer->locals);
    ool_text_fini(&optimizer->before);
    ool_text_fini(&optimizer->body);
    ool_text_fini(&optimizer->end);
    ool_text_fini(&optimizer->rectified);
    ool_free(optimizer->params);
    ool_free(optimizer->slots);
    ool_free(optimizer);
}
