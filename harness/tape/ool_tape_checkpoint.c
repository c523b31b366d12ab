/*
 * torch.utils.checkpoint, with and without reentrant backward.
 *
 * Without: inside the region every saved tensor is only counted. The first node that needs one runs
 * the function again with gradients; what that run saves is kept under the same counts, and the run
 * is stopped at the last one. Each backward has a recomputation of its own.
 */
#include "ool_tape_internal.h"

#include "ool_mem.h"

#include <string.h>

/* What one backward recomputed. */
struct recomputation {
    struct recomputation *next; /* in the order in which they were made */
    uint64_t task;
    uint32_t n;                   /* saved so far */
    struct ool_tensor *tensors[]; /* one per saved tensor of the region; owned */
};

/* What is needed to call the function again. */
struct rerun {
    ool_forward *function;
    void *state;
    uint32_t path;
    struct ool_autocast_state autocast;
    enum ool_sdpa_backend sdpa;
    int n, n_arguments; /* the others are part of the function */
    uint32_t with_grad; /* bit i: input i requires a gradient */
    struct rerun_input {
        struct ool_saved saved; /* an argument as save_for_backward keeps it */
        struct ool_node *node;  /* grad_fn of one that waits on the host; owned */
        uint32_t output;        /* which output of it */
    } inputs[];
};

struct ool_checkpoint_run {
    uint32_t refs; /* saved tensors that it stands for, and the region while it is open */
    uint32_t n_saved;
    bool *forgotten; /* per saved tensor: nobody can ask for it any more */
    size_t forgotten_capacity;
    struct recomputation *recomputations, *current;
    struct rerun *rerun;                        /* NULL while the inputs cannot be kept */
    struct ool_checkpoint_run *next, *previous; /* of all runs of the tape */
};

/* --- inputs ------------------------------------------------------------------------------------------------ */

static struct rerun *rerun_new(struct ool_tape *t, ool_forward *function, void *state,
                               struct ool_tensor *const *inputs, int n, int n_arguments)
{
    struct rerun *rerun = ool_calloc(1, sizeof *rerun + (size_t)n * sizeof rerun->inputs[0]);

    if (rerun == NULL) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for a checkpoint");
        return NULL;
    }
    rerun->function = function;
    rerun->state = state;
    rerun->path = ool_origin(t);
    rerun->autocast = (struct ool_autocast_state){
        .on = t->autocast, .cache = t->autocast_cache, .dtype = t->autocast_dtype};
    rerun->sdpa = t->sdpa;
    rerun->n = n;
    rerun->n_arguments = n_arguments;
    for (int i = 0; i < n; i++) {
        if (i < n_arguments)
            ool_saved_pack(t, &rerun->inputs[i].saved, inputs[i]);
        else
            ool_set(t, &rerun->inputs[i].saved.tensor, inputs[i]);
        if (ool_requires_grad(inputs[i]))
            rerun->with_grad |= UINT32_C(1) << i;
        if (rerun->inputs[i].saved.on_host && inputs[i]->node != NULL) {
            ool_node_keep(inputs[i]->node);
            rerun->inputs[i].node = inputs[i]->node;
            rerun->inputs[i].output = inputs[i]->output;
        }
    }
    return rerun;
}

/* The arguments die; what is part of the function stays. */
static void rerun_forget(struct ool_tape *t, struct rerun *rerun)
{
    for (int i = 0; i < rerun->n_arguments; i++) {
        ool_del(t, &rerun->inputs[i].saved.tensor);
        ool_node_drop(t, rerun->inputs[i].node);
        rerun->inputs[i].node = NULL;
    }
}

static void rerun_free(struct ool_tape *t, struct rerun *rerun)
{
    if (rerun == NULL)
        return;
    for (int i = rerun->n_arguments; i < rerun->n; i++)
        ool_drop(t, rerun->inputs[i].saved.tensor);
    rerun_forget(t, rerun);
    ool_free(rerun);
}

/* ctx.saved_tensors: those that were kept on the host are copied back, with their grad_fn. Owned by
 * the caller. */
static void rerun_inputs(struct ool_tape *t, const struct rerun *rerun, struct ool_tensor **inputs)
{
    for (int i = 0; i < rerun->n; i++) {
        const struct rerun_input *input = &rerun->inputs[i];

        if (!input->saved.on_host) {
            inputs[i] = ool_hold(t, input->saved.tensor);
            continue;
        }
        inputs[i] = ool_hold(t, ool_saved_from_host(t, &input->saved));
        if (inputs[i] == NULL)
            continue;
        if (input->node != NULL) {
            ool_node_keep(input->node);
            inputs[i]->node = input->node;
            inputs[i]->output = input->output;
        } else if (rerun->with_grad & UINT32_C(1) << i) {
            ool_require_grad(inputs[i], true);
        }
    }
}

/* Calls the function as Python would, with the modes of the first time. */
static struct ool_tensor *rerun_call(struct ool_tape *t, const struct rerun *rerun,
                                     struct ool_tensor *const *inputs)
{
    struct ool_frame frame = ool_frame_open(t);
    enum ool_grad_mode mode = ool_set_grad_mode(t, OOL_GRAD);
    enum ool_sdpa_backend sdpa = ool_set_sdpa(t, rerun->sdpa);
    struct ool_tensor *y = NULL;

    ool_path_set(t, rerun->path);
    if (rerun->autocast.on)
        ool_autocast_enter(t, rerun->autocast.dtype, rerun->autocast.cache);
    if (!t->failed)
        ool_set(t, &y, rerun->function(t, inputs, rerun->n, rerun->state));
    if (rerun->autocast.on)
        ool_autocast_leave(t);
    ool_set_sdpa(t, sdpa);
    ool_set_grad_mode(t, mode);
    ool_frame_close(t, frame);
    return y;
}

/* --- without reentrant backward ------------------------------------------------------------------------------ */

static void run_free(struct ool_tape *t, struct ool_checkpoint_run *run)
{
    struct recomputation *next;

    if (run->previous != NULL)
        run->previous->next = run->next;
    else
        t->checkpoints = run->next;
    if (run->next != NULL)
        run->next->previous = run->previous;
    rerun_free(t, run->rerun);
    for (struct recomputation *r = run->recomputations; r != NULL; r = next) {
        next = r->next;
        for (uint32_t i = 0; i < run->n_saved; i++)
            ool_drop(t, r->tensors[i]);
        ool_free(r);
    }
    ool_free(run->forgotten);
    ool_free(run);
}

void ool_checkpoint_close(struct ool_tape *t)
{
    while (t->checkpoints != NULL)
        run_free(t, t->checkpoints);
}

/* One saved tensor less: what was recomputed for it dies. */
void ool_checkpoint_drop(struct ool_tape *t, struct ool_saved *slot)
{
    struct ool_checkpoint_run *run = slot->run;

    if (t->failed && !t->stopped)
        return;
    run->forgotten[slot->index] = true;
    if (--run->refs == 0) { /* its inputs die first */
        run_free(t, run);
        return;
    }
    for (struct recomputation *r = run->recomputations; r != NULL; r = r->next)
        ool_del(t, &r->tensors[slot->index]);
}

static void pack_recomputed(struct ool_tape *t, struct ool_checkpoint_run *run,
                            struct ool_saved *slot, struct ool_tensor *x)
{
    struct recomputation *r = run->current;
    uint32_t index = r->n++;

    if (index >= run->n_saved) {
        ool_fail(t, OOL_E_COMBINATION, "a checkpoint's function saves more when it runs again");
        return;
    }
    slot->tensor =
        ool_hold(t, ool_make_alias(t, x)); /* detach(): an output will get this very node */
    if (!run->forgotten[index] && slot->tensor != NULL) {
        r->tensors[index] = slot->tensor;
        slot->tensor->refs++;
    }
    if (r->n == run->n_saved) /* the early stop: nothing more happens in this run */
        t->failed = t->stopped = true;
}

void ool_checkpoint_pack(struct ool_tape *t, struct ool_saved *slot, struct ool_tensor *x)
{
    struct ool_checkpoint_run *run = t->checkpoint;

    if (run->current != NULL) {
        pack_recomputed(t, run, slot, x);
        return;
    }
    if (!ool_grow(&run->forgotten, &run->forgotten_capacity, run->n_saved,
                  sizeof *run->forgotten)) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for a checkpoint");
        return;
    }
    slot->run = run;
    slot->index = run->n_saved;
    run->forgotten[run->n_saved++] = false;
    run->refs++;
}

static struct recomputation *recompute(struct ool_tape *t, struct ool_checkpoint_run *run)
{
    struct recomputation *r, **end = &run->recomputations;
    struct ool_checkpoint_run *outer = t->checkpoint;
    struct ool_tensor *inputs[16] = {0}, *y;

    r = ool_calloc(1, sizeof *r + run->n_saved * sizeof(struct ool_tensor *));
    if (r == NULL) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for a checkpoint");
        return NULL;
    }
    r->task = t->task;
    while (*end != NULL)
        end = &(*end)->next;
    *end = r;
    rerun_inputs(t, run->rerun, inputs);
    run->current = r;
    t->checkpoint = run;
    y = t->failed ? NULL : rerun_call(t, run->rerun, inputs);
    t->checkpoint = outer;
    run->current = NULL;
    if (t->stopped)
        t->failed = t->stopped = false;
    else if (!t->failed && r->n != run->n_saved)
        ool_fail(t, OOL_E_COMBINATION, "a checkpoint's function saves less when it runs again");
    ool_drop(t, y);
    for (int i = run->rerun->n; i > 0; i--) /* a list lets go of its last item first */
        ool_drop(t, inputs[i - 1]);
    return r;
}

struct ool_tensor *ool_checkpoint_unpack(struct ool_tape *t, struct ool_saved *slot)
{
    struct ool_checkpoint_run *run = slot->run;
    struct recomputation *r = run->recomputations;
    struct ool_tensor *x;

    while (r != NULL && r->task != t->task)
        r = r->next;
    if (r == NULL)
        r = recompute(t, run);
    if (r == NULL || t->failed)
        return NULL;
    x = r->tensors[slot->index];
    if (x == NULL)
        ool_fail(t, OOL_E_COMBINATION, "a tensor of a checkpoint is asked for a second time");
    r->tensors[slot->index] = NULL;
    return x;
}

static struct ool_tensor *checkpoint_nonreentrant(struct ool_tape *t, ool_forward *function,
                                                  void *state, struct ool_tensor *const *inputs,
                                                  int n, int n_arguments)
{
    struct ool_checkpoint_run *run, *outer = t->checkpoint;
    struct ool_tensor *y;

    if (t->grad_mode != OOL_GRAD)
        return function(t, inputs, n, state);
    if (outer != NULL)
        return ool_fail(t, OOL_E_UNSUPPORTED, "a checkpoint inside a checkpoint");
    run = ool_calloc(1, sizeof *run);
    if (run == NULL)
        return ool_fail(t, OOL_E_HOST_OOM, "no memory for a checkpoint");
    run->refs = 1;
    run->next = t->checkpoints;
    if (run->next != NULL)
        run->next->previous = run;
    t->checkpoints = run;
    run->rerun = rerun_new(t, function, state, inputs, n, n_arguments);
    t->checkpoint = run;
    y = t->failed ? NULL : function(t, inputs, n, state);
    t->checkpoint = NULL;
    if (!t->failed && --run->refs == 0)
        run_free(t, run);
    return y;
}

bool ool_stopped(const struct ool_tape *t)
{
    return t->stopped;
}

/* --- with reentrant backward ---------------------------------------------------------------------------------- */

static void reentrant_backward(struct ool_tape *t, struct ool_node *node,
                               struct ool_tensor *const *grads, struct ool_tensor **out)
{
    const struct rerun *rerun = node->state;
    struct ool_tensor *inputs[16] = {0}, *detached[16] = {0}, *y = NULL;
    struct ool_frame frame = ool_frame_open(t);

    rerun_inputs(t, rerun, inputs);
    for (int i = 0; i < rerun->n && !t->failed; i++) {
        if (i >= rerun->n_arguments) {
            detached[i] = ool_hold(t, inputs[i]);
            continue;
        }
        detached[i] = ool_hold(t, ool_make_alias(t, inputs[i]));
        ool_require_grad(detached[i],
                         ool_requires_grad(rerun->inputs[i].saved.tensor) || ool_needs(node, i));
    }
    if (!t->failed)
        y = rerun_call(t, rerun, detached);
    if (!t->failed && !ool_requires_grad(y))
        ool_fail(t, OOL_E_COMBINATION, "nothing in a checkpoint requires a gradient");
    if (!t->failed)
        ool_backward(t, y, grads[0], false);
    for (int i = 0; i < rerun->n_arguments && !t->failed; i++) {
        if (detached[i]->grad != NULL && ool_needs(node, i))
            out[i] = ool_hold(t, detached[i]->grad);
    }
    for (int i = rerun->n; i > 0; i--) /* tuples let go of their last item first */
        ool_drop(t, inputs[i - 1]);
    for (int i = rerun->n; i > 0; i--)
        ool_drop(t, detached[i - 1]);
    ool_drop(t, y);
    ool_frame_close(t, frame);
    for (int i = 0; i < rerun->n_arguments;
         i++) { /* handed over: the engine takes a reference of its own */
        if (out[i] != NULL)
            out[i] = ool_return(t, &out[i]);
    }
}

static void reentrant_release(struct ool_tape *t, struct ool_node *node)
{
    struct rerun *rerun = node->state;

    if (rerun == NULL)
        return;
    rerun_forget(t, rerun);
    if (node->refs > 0) /* after backward: the function lives as long as the node */
        return;
    node->state = NULL;
    rerun_free(t, rerun);
}
static const struct ool_node_class reentrant_class = {"CheckpointFunctionBackward",
                                                      reentrant_backward, reentrant_release};

static struct ool_tensor *checkpoint_reentrant(struct ool_tape *t, ool_forward *function,
                                               void *state, struct ool_tensor *const *inputs, int n,
                                               int n_arguments)
{
    struct ool_node *node = ool_node_make(t, &reentrant_class, n_arguments, inputs);
    enum ool_grad_mode mode;
    struct ool_tensor *y = NULL;

    if (node != NULL)
        node->state = rerun_new(t, function, state, inputs, n, n_arguments);
    if (t->failed)
        return NULL;
    mode = ool_set_grad_mode(t, t->grad_mode == OOL_INFERENCE ? OOL_INFERENCE : OOL_NO_GRAD);
    y = function(t, inputs, n, state);
    ool_set_grad_mode(t, mode);
    return ool_finish(t, node, y, 0, NULL);
}

struct ool_tensor *ool_checkpoint(struct ool_tape *t, enum ool_checkpoint kind,
                                  ool_forward *function, void *state,
                                  struct ool_tensor *const *inputs, int n)
{
    return ool_checkpoint_partial(t, kind, function, state, inputs, n, n);
}

struct ool_tensor *ool_checkpoint_partial(struct ool_tape *t, enum ool_checkpoint kind,
                                          ool_forward *function, void *state,
                                          struct ool_tensor *const *inputs, int n, int n_arguments)
{
    struct ool_tensor *y;

    if (!ool_usable(t, n, inputs))
        return NULL;
    if (n_arguments < 1 || n_arguments > n || n > 16)
        return ool_fail(t, OOL_E_UNSUPPORTED, "a checkpoint of %d inputs", n);
    for (int i = 0; i < n; i++)
        ool_enter(t, inputs[i]);
    if (kind == OOL_CHECKPOINT_NONE)
        y = function(t, inputs, n, state);
    else if (kind == OOL_CHECKPOINT_REENTRANT)
        y = checkpoint_reentrant(t, function, state, inputs, n, n_arguments);
    else
        y = checkpoint_nonreentrant(t, function, state, inputs, n, n_arguments);
    if (y != NULL)
        ool_enter(t, y);
    for (int i = 0; i < n; i++) {
        if (inputs[i] != y)
            ool_leave(t, inputs[i]);
        else if (y != NULL)
            y->pins--;
    }
    if (y != NULL)
        y->pins--;
    return y;
}
