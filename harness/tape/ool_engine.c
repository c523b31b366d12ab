/*
 * Backward: which node runs next, where gradients meet, what dies when.
 */
#include "ool_tape_internal.h"

#include "ool_mem.h"

#include <string.h>

/* One backward(): its nodes are the tape's entries from @base on. */
struct task {
    struct ool_tape *t;
    size_t base;
    uint32_t *heap; /* entries that are ready */
    size_t n_heap, heap_capacity;
    bool keep_graph;
};

static struct ool_entry *entry_of(struct task *task, struct ool_node *node)
{
    return node->slot > task->base ? &task->t->entries[node->slot - 1] : NULL;
}

static void no_memory(struct ool_tape *t)
{
    ool_fail(t, OOL_E_HOST_OOM, "no memory for backward");
}

/* --- which nodes take part -------------------------------------------------------------------------------- */

static void add_entry(struct task *task, struct ool_node *node)
{
    struct ool_tape *t = task->t;
    struct ool_entry *entry;

    if (!ool_grow(&t->entries, &t->entries_capacity, t->n_entries, sizeof *entry)) {
        no_memory(t);
        return;
    }
    entry = &t->entries[t->n_entries++];
    *entry = (struct ool_entry){.node = node, .shadow = node->slot};
    node->slot = (uint32_t)t->n_entries;
    if (node->n_outputs > 1) {
        entry->many = ool_calloc(node->n_outputs, sizeof(struct ool_tensor *));
        if (entry->many == NULL)
            no_memory(t);
    }
}

/* How many gradients each node waits for; the entries are their own work list. */
static void count_dependencies(struct task *task, struct ool_node *root)
{
    struct ool_tape *t = task->t;

    add_entry(task, root);
    for (size_t at = task->base; at < t->n_entries && !t->failed; at++) {
        struct ool_node *node = t->entries[at].node;

        for (uint32_t i = 0; i < node->n_edges; i++) {
            struct ool_node *next = node->edges[i].node;

            if (next == NULL)
                continue;
            if (entry_of(task, next) == NULL)
                add_entry(task, next);
            if (t->failed)
                return;
            entry_of(task, next)->dependencies++;
        }
    }
}

static void forget_entries(struct task *task)
{
    struct ool_tape *t = task->t;

    while (t->n_entries > task->base) {
        struct ool_entry *entry = &t->entries[--t->n_entries];

        entry->node->slot = entry->shadow;
        ool_free(entry->many);
    }
    ool_free(task->heap);
}

/* --- the queue: a binary heap as std::priority_queue, which decides among equals ---------------------------- */

static bool before(const struct task *task, uint32_t a, uint32_t b)
{
    const struct ool_entry *entries = task->t->entries;

    return entries[a].node->sequence < entries[b].node->sequence;
}

static void sift_up(struct task *task, size_t hole, uint32_t value)
{
    while (hole > 0 && before(task, task->heap[(hole - 1) / 2], value)) {
        task->heap[hole] = task->heap[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    task->heap[hole] = value;
}

static void push_ready(struct task *task, const struct ool_entry *entry)
{
    if (!ool_grow(&task->heap, &task->heap_capacity, task->n_heap, sizeof *task->heap)) {
        no_memory(task->t);
        return;
    }
    task->n_heap++;
    sift_up(task, task->n_heap - 1, (uint32_t)(entry - task->t->entries));
}

static uint32_t pop_ready(struct task *task)
{
    uint32_t top = task->heap[0];
    size_t n = --task->n_heap;
    uint32_t value = task->heap[n];
    size_t hole = 0, child = 0;

    if (n == 0)
        return top;
    /* the hole sinks to a leaf along the larger children, then the last value rises from there */
    while (child < (n - 1) / 2) {
        child = 2 * (child + 1);
        if (before(task, task->heap[child], task->heap[child - 1]))
            child--;
        task->heap[hole] = task->heap[child];
        hole = child;
    }
    if (n % 2 == 0 && child == (n - 2) / 2) {
        child = 2 * (child + 1);
        task->heap[hole] = task->heap[child - 1];
        hole = child - 1;
    }
    sift_up(task, hole, value);
    return top;
}

/* --- gradients meet --------------------------------------------------------------------------------------------- */

static struct ool_tensor **gradient_slot(struct ool_entry *entry, uint32_t input)
{
    return entry->many != NULL ? &entry->many[input] : &entry->one;
}

static bool can_add_in_place(const struct ool_tensor *x)
{
    return x->refs == 1 && x->memory != NULL && x->memory->refs == 1 && ool_is_dense(x);
}

/* Takes over *gradient unless it was added to what is there; then the caller still owns it. */
static void add_gradient(struct ool_tape *t, struct ool_tensor **slot, struct ool_tensor **gradient)
{
    if (*gradient == NULL)
        return;
    if (*slot == NULL) {
        *slot = *gradient;
        *gradient = NULL;
    } else if (can_add_in_place(*slot)) {
        ool_accumulate_into(t, *slot, *gradient);
    } else {
        ool_set(t, slot,
                ool_pointwise(t, "add", (enum ool_dtype)(*slot)->dtype, OOL_T(*slot, *gradient)));
    }
}

static bool obeys_layout(const struct ool_tensor *grad, const struct ool_tensor *leaf)
{
    if (!ool_is_dense(leaf))
        return ool_is_contiguous(grad);
    for (int i = 0; i < grad->n_dims; i++) {
        if (grad->shape[i] != 1 && grad->strides[i] != leaf->strides[i])
            return false;
    }
    return true;
}

static void mark_gradient(struct ool_tape *t, const struct ool_tensor *grad)
{
    if (grad != NULL && grad->memory != NULL && grad->memory->id != OOL_NONE)
        t->program->storages[grad->memory->id].category = OOL_CATEGORY_GRADIENT;
}

/* A leaf's gradient: taken over, cloned into the leaf's layout, or added to the one that is there. */
static void accumulate_leaf(struct ool_tape *t, struct ool_tensor *leaf,
                            struct ool_tensor *gradient)
{
    struct ool_tensor *grad = NULL;

    if (leaf->grad != NULL) {
        ool_accumulate_into(t, leaf->grad, gradient);
    } else if (gradient->refs == 1 && obeys_layout(gradient, leaf)) {
        ool_set(t, &leaf->grad, ool_make_alias(t, gradient)); /* detach() */
        mark_gradient(t, leaf->grad);
    } else {
        if (ool_is_dense(leaf))
            grad = ool_make(t, (enum ool_dtype)gradient->dtype, (enum ool_place)gradient->place,
                            leaf->n_dims, leaf->shape, leaf->strides);
        else
            grad = ool_make_contiguous(t, gradient, (enum ool_dtype)gradient->dtype);
        ool_kernel_call(t, "copy", NULL, OOL_T(gradient), OOL_T(grad));
        ool_set(t, &leaf->grad, grad);
        mark_gradient(t, leaf->grad);
    }
    if (leaf->hook != NULL && !t->failed)
        leaf->hook(t, leaf, leaf->hook_state);
}

/* --- one node ------------------------------------------------------------------------------------------------------ */

/* The gradient in the form that the edge's target expects: summed over broadcast dims, cast. */
static void validate(struct ool_tape *t, const struct ool_edge *edge, struct ool_tensor **gradient)
{
    const struct ool_node_output *form = &edge->node->outputs[edge->input];
    struct ool_tensor *x = *gradient;

    if (x->n_dims != form->n_dims ||
        memcmp(x->shape, form->shape, (size_t)x->n_dims * sizeof *x->shape) != 0)
        ool_set(t, gradient, ool_sum_to(t, x, form->n_dims, form->shape));
    if (!t->failed && (*gradient)->dtype != form->dtype)
        ool_set(t, gradient, ool_to(t, *gradient, (enum ool_dtype)form->dtype));
}

/* Hooks give saved tensors back before the formula runs, all of them, in order. */
static void unpack(struct ool_tape *t, struct ool_node *node)
{
    for (uint32_t i = 0; i < node->n_saved && !t->failed; i++) {
        struct ool_saved *slot = &node->saved[i];

        if (slot->run == NULL && !slot->on_host)
            continue;
        if (slot->run != NULL)
            slot->unpacked = ool_checkpoint_unpack(t, slot);
        else
            slot->unpacked = ool_hold(t, ool_saved_from_host(t, slot));
    }
}

/* They were locals of the formula. */
static void drop_unpacked(struct ool_tape *t, struct ool_node *node)
{
    for (uint32_t i = node->n_saved; i-- > 0;)
        ool_del(t, &node->saved[i].unpacked);
}

static void call(struct ool_tape *t, struct ool_node *node, struct ool_tensor *const *grads,
                 struct ool_tensor **out)
{
    size_t scope;

    if (node->released) {
        ool_fail(t, OOL_E_COMBINATION,
                 "backward goes through %s a second time, after its saved tensors were freed",
                 node->class->name);
        return;
    }
    unpack(t, node);
    if (t->failed)
        return;
    scope = ool_scope_open(t);
    node->class->backward(t, node, grads, out);
    for (uint32_t i = 0; i < node->n_edges; i++) {
        if (!ool_needs(node, (int)i))
            out[i] = NULL;
        ool_claim(t, out[i]);
    }
    ool_scope_close(t, scope, NULL);
    drop_unpacked(t, node);
}

static bool any_defined(const struct ool_node *node, struct ool_tensor *const *grads)
{
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        if (grads[i] != NULL)
            return true;
    }
    return false;
}

static void propagate(struct task *task, struct ool_node *node, struct ool_tensor **out)
{
    struct ool_tape *t = task->t;

    for (uint32_t i = 0; i < node->n_edges && !t->failed; i++) {
        struct ool_edge edge = node->edges[i];
        struct ool_entry *entry;

        if (edge.node == NULL)
            continue;
        entry = entry_of(task, edge.node);
        add_gradient(t, gradient_slot(entry, edge.input), &out[i]);
        if (--entry->dependencies == 0)
            push_ready(task, entry);
    }
    for (uint32_t i = 0; i < node->n_edges; i++)
        ool_drop(t, out[i]);
}

#define FEW 16

static void run_node(struct task *task, uint32_t index)
{
    struct ool_tape *t = task->t;
    struct ool_node *node = t->entries[index].node;
    struct ool_tensor *few_grads[FEW], *few_out[FEW] = {0};
    struct ool_tensor **grads = few_grads, **out = few_out;

    if (node->n_outputs > FEW)
        grads = ool_calloc(node->n_outputs, sizeof(struct ool_tensor *));
    if (node->n_edges > FEW)
        out = ool_calloc(node->n_edges, sizeof(struct ool_tensor *));
    if (grads == NULL || out == NULL) {
        no_memory(t);
        goto done;
    }
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        struct ool_tensor **slot = gradient_slot(&t->entries[index], i);

        grads[i] = *slot;
        *slot = NULL;
    }
    t->path_text = node->origin;
    t->stream = node->stream;
    if (node->variable != NULL) {
        if (grads[0] != NULL)
            accumulate_leaf(t, node->variable, grads[0]);
    } else if (any_defined(node, grads)) {
        call(t, node, grads, out);
        for (uint32_t i = 0; i < node->n_edges && !t->failed; i++) {
            if (out[i] != NULL)
                validate(t, &node->edges[i], &out[i]);
        }
    }
    for (uint32_t i = 0; i < node->n_outputs; i++)
        ool_drop(t, grads[i]);
    if (!t->failed && !task->keep_graph && node->variable == NULL)
        ool_node_release(t, node);
    propagate(task, node, out);
done:
    if (grads != few_grads)
        ool_free(grads);
    if (out != few_out)
        ool_free(out);
}

static void run_task(struct task *task, struct ool_tensor *root, struct ool_tensor *gradient)
{
    struct ool_tape *t = task->t;
    struct ool_node *node = root->node != NULL ? root->node : ool_accumulator(t, root);
    struct ool_entry *entry;

    if (node == NULL)
        return;
    if (root->node != NULL)
        ool_node_keep(node);
    count_dependencies(task, node);
    if (!t->failed) {
        entry = entry_of(task, node);
        gradient->refs++;
        *gradient_slot(entry, root->output) = gradient;
        push_ready(task, entry);
    }
    while (task->n_heap > 0 && !t->failed)
        run_node(task, pop_ready(task));
    forget_entries(task);
    ool_node_drop(t, node);
}

/* The caller's state, which backward's own thread does not see. */
struct outside {
    enum ool_grad_mode mode;
    enum ool_category category;
    uint32_t stream, path_text;
    uint8_t thread;
    struct ool_frame frame;
    struct ool_checkpoint_run *checkpoint;
    uint64_t task;
    char path[sizeof((struct ool_tape *)0)->path];
    size_t path_length;
};

static struct outside go_inside(struct ool_tape *t)
{
    struct outside outside = {.mode = t->grad_mode,
                              .category = t->category,
                              .stream = t->stream,
                              .path_text = ool_origin(t),
                              .thread = t->thread,
                              .frame = ool_frame_open(t),
                              .checkpoint = t->checkpoint,
                              .task = t->task,
                              .path_length = t->path_length};

    memcpy(outside.path, t->path, t->path_length + 1);
    t->grad_mode = OOL_NO_GRAD;
    t->category = OOL_CATEGORY_ACTIVATION;
    t->thread = 1;
    t->backward_depth++;
    t->checkpoint = NULL;
    t->task = ++t->tasks;
    return outside;
}

static void go_outside(struct ool_tape *t, const struct outside *outside)
{
    t->grad_mode = outside->mode;
    t->category = outside->category;
    t->stream = outside->stream;
    t->thread = outside->thread;
    t->backward_depth--;
    t->checkpoint = outside->checkpoint;
    t->task = outside->task;
    memcpy(t->path, outside->path, outside->path_length + 1);
    t->path_length = outside->path_length;
    t->path_text = outside->path_text;
    ool_frame_close(t, outside->frame);
}

void ool_backward(struct ool_tape *t, struct ool_tensor *root, struct ool_tensor *gradient,
                  bool retain_graph)
{
    struct task task = {.t = t, .base = t->n_entries, .keep_graph = retain_graph};
    struct ool_tensor *given = NULL;
    struct outside outside;

    if (!ool_usable(t, OOL_T(root)))
        return;
    if (!ool_requires_grad(root)) {
        ool_fail(t, OOL_E_COMBINATION, "backward from a tensor that requires no gradient");
        return;
    }
    if (gradient == NULL && ool_numel(root) != 1) {
        ool_fail(t, OOL_E_COMBINATION, "backward without a gradient needs a scalar");
        return;
    }
    ool_enter(t, root);
    ool_enter(t, gradient);
    if (gradient == NULL) {
        gradient = ool_make_like(t, root, (enum ool_dtype)root->dtype);
        if (gradient != NULL)
            ool_kernel_call(t, "fill", "value=1", 0, NULL, OOL_T(gradient));
        ool_set(t, &given, gradient);
    }
    if (!t->failed) {
        outside = go_inside(t);
        run_task(&task, root, gradient);
        go_outside(t, &outside);
    }
    if (given == NULL)
        ool_leave(t, gradient);
    ool_del(t, &given);
    ool_leave(t, root);
}

void ool_set_leaf_hook(struct ool_tensor *leaf, ool_leaf_hook *hook, void *state)
{
    if (leaf != NULL) {
        leaf->hook = hook;
        leaf->hook_state = state;
    }
}
