/*
 * ool_train.c - the usual loop of training and of inference, with every switch that changes it.
 */
#include "ool_chunked_loss.h"
#include "ool_leak.h"
#include "ool_loop.h"

#include "ool_mem.h"

#include <stdio.h>

struct ool_loop {
    struct ool_net *net;
    struct ool_tensor **params;
    size_t n_params;
    struct ool_optimizer *optimizer;
    struct ool_optimizer **per_param; /* optimizer_in_backward: one each */
    size_t n_per_param;
    struct ool_scaler *scaler;
    struct ool_bag bag;
    struct ool_output out; /* the variables logits (or o) and loss */
    char prefix[64];       /* "s1." or "s1.m0." */
};

static bool failed(const struct ool_loop *l)
{
    return ool_tape_status(l->net->tape, NULL) != OOL_OK;
}

/* --- before the first step --------------------------------------------------------------------- */

static void step_in_backward(struct ool_tape *t, struct ool_tensor *leaf, void *state)
{
    (void)leaf;
    ool_optimizer_step(t, state);
    ool_optimizer_zero_grad(t, state, true);
}

static void open_per_param(struct ool_loop *l)
{
    struct ool_tape *t = l->net->tape;

    l->per_param = ool_net_alloc(l->net, l->n_params, sizeof(struct ool_optimizer *));
    for (size_t i = 0; l->per_param && i < l->n_params; i++) {
        struct ool_optimizer *one;

        if (!ool_requires_grad(l->params[i]))
            continue;
        one = ool_optimizer_open(t, &l->net->workload->optimizer, &l->params[i], 1);
        if (!one)
            return;
        l->per_param[l->n_per_param++] = one;
        ool_set_leaf_hook(l->params[i], step_in_backward, one);
    }
}

static void loop_open(struct ool_loop *l)
{
    const struct ool_workload *w = l->net->workload;
    struct ool_tape *t = l->net->tape;
    bool any = false;

    l->params = ool_net_parameters(l->net, &l->n_params);
    ool_bag_open(&l->bag, l->net);
    if (w->task != OOL_TASK_TRAIN)
        return;
    for (size_t i = 0; i < l->n_params; i++)
        any |= ool_requires_grad(l->params[i]);
    if (!any)
        ool_fail(t, OOL_E_COMBINATION, "nothing that is trained requires a gradient");
    if (w->has_optimizer)
        l->optimizer = ool_optimizer_open(t, &w->optimizer, l->params, l->n_params);
    if (w->has_optimizer && w->optimizer_in_backward) { /* the usual one is replaced */
        open_per_param(l);
        ool_optimizer_close(t, l->optimizer);
        l->optimizer = NULL;
    }
    if (w->precision == OOL_AMP_FP16)
        l->scaler = ool_scaler_open(t);
}

/* --- one micro-batch ------------------------------------------------------------------------------ */

static void drop_output(struct ool_loop *l, struct ool_output *out)
{
    for (size_t i = 0; i < out->n_kept; i++)
        ool_del(l->net->tape, &out->kept[i]);
    out->n_kept = 0;
    out->logits = NULL;
    ool_del(l->net->tape, &out->loss);
}

/* logits, loss = forward(x, y): the old values go when the new ones are there */
static void forward(struct ool_loop *l, struct ool_tensor *x, struct ool_tensor *y)
{
    struct ool_net *net = l->net;
    struct ool_tape *t = net->tape;
    const struct ool_workload *w = net->workload;
    struct ool_call call = {
        .x = x, .y = y, .loss = w->task == OOL_TASK_TRAIN, .use_cache = w->use_cache};
    struct ool_output out = {.loss = NULL};

    if (w->del_before_forward)
        drop_output(l, &l->out);
    if (w->chunked_loss > 0)
        ool_set(t, &out.loss, ool_chunked_loss(net, &call));
    else
        net->ops->forward(net, &call, &out);
    if (w->del_logits && call.loss) {
        for (size_t i = 0; i < out.n_kept; i++)
            ool_del(t, &out.kept[i]);
        out.n_kept = 0;
        out.logits = NULL;
    }
    drop_output(l, &l->out);
    ool_free(l->out.kept);
    l->out = out;
    if (w->accumulate > 1 && out.loss)
        ool_set(t, &l->out.loss, ool_binary_scalar(t, OOL_DIV, l->out.loss, (double)w->accumulate));
    ool_bag_forward(&l->bag, &l->out);
}

static void backward(struct ool_loop *l)
{
    struct ool_tape *t = l->net->tape;
    struct ool_tensor *root = NULL;

    ool_set(t, &root, l->scaler ? ool_scaler_scale(t, l->scaler, l->out.loss) : l->out.loss);
    ool_backward(t, root, NULL, ool_leak_retains_graph(l->net->workload->leak));
    ool_bag_backward(&l->bag, &l->out);
    ool_del(t, &root);
}

static void empty_cache(struct ool_loop *l, int number)
{
    if (!l->net->workload->empty_cache)
        return;
    ool_tape_empty_cache(l->net->tape);
    ool_phase(l->net->tape, "%sempty_cache%d", l->prefix, number);
}

static void run_forward(struct ool_loop *l, struct ool_tensor *x, struct ool_tensor *y)
{
    struct ool_tape *t = l->net->tape;
    const struct ool_workload *w = l->net->workload;
    bool amp = w->precision == OOL_AMP_BF16 || w->precision == OOL_AMP_FP16;

    if (amp)
        ool_autocast_enter(t, w->precision == OOL_AMP_BF16 ? OOL_BF16 : OOL_F16,
                           !w->no_autocast_cache);
    if (w->save_on_cpu)
        ool_save_on_cpu(t, true);
    forward(l, x, y);
    if (w->save_on_cpu)
        ool_save_on_cpu(t, false);
    if (amp)
        ool_autocast_leave(t);
    ool_phase(t, "%sforward", l->prefix);
}

static enum ool_grad_mode grad_mode(const struct ool_workload *w)
{
    if (w->task == OOL_TASK_TRAIN)
        return OOL_GRAD;
    switch (w->infer) {
    case OOL_INFER_NO_GRAD:
        return OOL_NO_GRAD;
    case OOL_INFER_INFERENCE_MODE:
        return OOL_INFERENCE;
    default:
        return OOL_GRAD;
    }
}

static void micro_batch(struct ool_loop *l)
{
    struct ool_net *net = l->net;
    struct ool_tape *t = net->tape;
    const struct ool_workload *w = net->workload;
    struct ool_tensor *x = NULL, *y = NULL;
    enum ool_grad_mode old;

    net->ops->inputs(net, w->batch / w->accumulate, &x, &y);
    ool_phase(t, "%sinput", l->prefix);
    old = ool_set_grad_mode(t, grad_mode(w));
    run_forward(l, x, y);
    empty_cache(l, 1);
    if (w->task == OOL_TASK_TRAIN && !ool_leak_has_no_backward(w->leak) && !failed(l)) {
        backward(l);
        ool_phase(t, "%sbackward", l->prefix);
        empty_cache(l, 2);
    }
    ool_set_grad_mode(t, old);
    ool_del(t, &x);
    ool_del(t, &y);
    if (w->del_outputs) {
        drop_output(l, &l->out);
        ool_phase(t, "%sdel", l->prefix);
    }
}

/* --- the step of the optimizer --------------------------------------------------------------------- */

static void clip(struct ool_loop *l)
{
    struct ool_tape *t = l->net->tape;
    enum ool_implementation how =
        l->net->workload->clip == OOL_CLIP_LOOP ? OOL_LOOP : OOL_IMPL_DEFAULT;

    if (l->scaler)
        ool_scaler_unscale(t, l->scaler, l->optimizer);
    ool_drop(t, ool_hold(t, ool_clip_grad_norm(t, l->params, l->n_params, how)));
    ool_phase(t, "%sclip", l->prefix);
}

static void optimizer_step(struct ool_loop *l)
{
    struct ool_tape *t = l->net->tape;
    const struct ool_workload *w = l->net->workload;

    if (w->clip != OOL_CLIP_NONE)
        clip(l);
    if (l->scaler) {
        ool_scaler_step(t, l->scaler, l->optimizer);
        ool_scaler_update(t, l->scaler);
    } else {
        ool_optimizer_step(t, l->optimizer);
    }
    ool_phase(t, "%sstep", l->prefix);
    if (!w->no_zero_grad)
        ool_optimizer_zero_grad(t, l->optimizer, !w->keep_gradients);
    ool_phase(t, "%szero_grad", l->prefix);
    empty_cache(l, 3);
}

static void step(struct ool_loop *l, int64_t number)
{
    const struct ool_workload *w = l->net->workload;

    for (int64_t i = 0; i < w->accumulate && !failed(l); i++) {
        if (w->accumulate > 1)
            snprintf(l->prefix, sizeof(l->prefix), "s%lld.m%lld.", (long long)number, (long long)i);
        else
            snprintf(l->prefix, sizeof(l->prefix), "s%lld.", (long long)number);
        micro_batch(l);
    }
    snprintf(l->prefix, sizeof(l->prefix), "s%lld.", (long long)number);
    if (l->optimizer && !ool_leak_has_no_backward(w->leak) && !failed(l))
        optimizer_step(l);
}

/* --- the whole ---------------------------------------------------------------------------------------- */

static void close_optimizers(struct ool_loop *l)
{
    struct ool_tape *t = l->net->tape;

    ool_optimizer_close(t, l->optimizer);
    for (size_t i = 0; i < l->n_per_param; i++)
        ool_optimizer_close(t, l->per_param[i]);
    l->optimizer = NULL;
    l->n_per_param = 0;
}

/* The loop's function returns: its locals go; model, optimizer, outputs and loss live on. */
static void leave(struct ool_loop *l)
{
    ool_scaler_close(l->net->tape, l->scaler);
    ool_del(l->net->tape, &l->bag.total);
    l->scaler = NULL;
}

static void unload(struct ool_loop *l)
{
    struct ool_tape *t = l->net->tape;

    drop_output(l, &l->out);
    ool_bag_drop(&l->bag);
    for (size_t i = 0; i < l->n_params; i++)
        ool_set_grad(t, l->params[i], NULL);
    close_optimizers(l);
    ool_net_drop(l->net, l->net->root);
    ool_phase(t, "unload");
}

void ool_loop_train(struct ool_net *net)
{
    struct ool_loop *l = ool_net_alloc(net, 1, sizeof(*l));
    struct ool_tape *t = net->tape;
    enum ool_sdpa_backend old;

    if (!l)
        return;
    net->loop = l;
    l->net = net;
    loop_open(l);
    ool_phase(t, "load");
    old = ool_set_sdpa(t, net->workload->sdpa);
    for (int64_t i = 1; i <= net->workload->steps && !failed(l); i++)
        step(l, i);
    ool_set_sdpa(t, old);
    leave(l);
    if (net->workload->unload && !failed(l))
        unload(l);
    net->hook = NULL;
}

void ool_loop_close(struct ool_net *net)
{
    if (!net->loop)
        return;
    close_optimizers(net->loop);
    ool_bag_fini(&net->loop->bag);
    ool_free(net->loop->out.kept);
    net->loop = NULL;
}
