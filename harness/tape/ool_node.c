/*
 * Nodes of the graph: edges, saved tensors, and how a graph that nobody needs any more dies.
 */
#include "ool_tape_internal.h"

#include "ool_mem.h"

#include <string.h>

static const struct ool_node_class accumulate_class = {"AccumulateGrad", NULL, NULL};

void ool_node_free_arrays(struct ool_node *node)
{
    if (node->edges != node->few_edges)
        ool_free(node->edges);
    if (node->outputs != &node->one_output)
        ool_free(node->outputs);
    node->edges = node->few_edges;
    node->outputs = &node->one_output;
}

static struct ool_node *node_new(struct ool_tape *t, const struct ool_node_class *class,
                                 uint32_t n_edges)
{
    struct ool_node *node = ool_node_take(t);

    if (node == NULL)
        return NULL;
    node->edges = node->few_edges;
    node->outputs = &node->one_output;
    node->outputs_capacity = 1;
    if (n_edges > OOL_NODE_EDGES) {
        node->edges = ool_calloc(n_edges, sizeof *node->edges);
        if (node->edges == NULL) {
            node->edges = node->few_edges;
            ool_node_give(t, node);
            ool_fail(t, OOL_E_HOST_OOM, "no memory for the tape");
            return NULL;
        }
    }
    node->class = class;
    node->n_edges = n_edges;
    node->refs = 1;
    node->origin = ool_origin(t);
    node->stream = t->stream;
    return node;
}

void ool_node_keep(struct ool_node *node)
{
    node->refs++;
}

struct ool_node *ool_accumulator(struct ool_tape *t, struct ool_tensor *leaf)
{
    struct ool_node *node = leaf->accumulate;

    if (node != NULL) {
        node->refs++;
        return node;
    }
    node = node_new(t, &accumulate_class, 0);
    if (node == NULL)
        return NULL;
    node->sequence = UINT64_MAX;
    node->variable = leaf;
    leaf->refs++;
    leaf->accumulate = node;
    node->n_outputs = 1;
    node->one_output = (struct ool_node_output){
        .dtype = leaf->dtype, .n_dims = leaf->n_dims, .place = leaf->place};
    memcpy(node->one_output.shape, leaf->shape, sizeof leaf->shape);
    return node;
}

bool ool_wants_grad(const struct ool_tape *t, int n, struct ool_tensor *const *inputs)
{
    if (t->grad_mode != OOL_GRAD)
        return false;
    for (int i = 0; i < n; i++) {
        if (ool_requires_grad(inputs[i]))
            return true;
    }
    return false;
}

struct ool_node *ool_node_blank(struct ool_tape *t, const struct ool_node_class *class,
                                uint32_t n_edges)
{
    struct ool_node *node = node_new(t, class, n_edges);

    if (node != NULL)
        node->sequence = t->sequence++;
    return node;
}

struct ool_node *ool_node_make(struct ool_tape *t, const struct ool_node_class *class, int n,
                               struct ool_tensor *const *inputs)
{
    struct ool_node *node;

    if (t->failed || !ool_wants_grad(t, n, inputs))
        return NULL;
    node = node_new(t, class, (uint32_t)n);
    if (node == NULL)
        return NULL;
    node->sequence = t->sequence++;
    for (int i = 0; i < n; i++) {
        struct ool_tensor *x = inputs[i];

        if (!ool_requires_grad(x))
            continue;
        if (x->node != NULL) {
            x->node->refs++;
            node->edges[i] = (struct ool_edge){.node = x->node, .input = x->output};
        } else {
            node->edges[i] = (struct ool_edge){.node = ool_accumulator(t, x)};
        }
    }
    return node;
}

bool ool_needs(const struct ool_node *node, int edge)
{
    return (uint32_t)edge < node->n_edges && node->edges[edge].node != NULL;
}

/* --- saved tensors ----------------------------------------------------------------------------------- */

static struct ool_saved *next_slot(struct ool_tape *t, struct ool_node *node)
{
    if (node->n_saved == OOL_NODE_SAVED) {
        ool_fail(t, OOL_E_INTERNAL, "%s saves too many tensors", node->class->name);
        return NULL;
    }
    return &node->saved[node->n_saved++];
}

/* save_on_cpu() keeps tensor.cpu(). */
void ool_saved_pack(struct ool_tape *t, struct ool_saved *slot, struct ool_tensor *x)
{
    if (t->save_on_cpu && x->place == OOL_PLACE_DEVICE) {
        if (!ool_is_dense(x)) /* a copy over the bus wants one piece on either side */
            ool_drop(t, ool_hold(t, ool_make_contiguous(t, x, ool_dtype(x))));
        slot->tensor = ool_hold(t, ool_make_like_at(t, x, ool_dtype(x), OOL_PLACE_HOST));
        slot->on_host = true;
        ool_kernel_call(t, "copy", NULL, OOL_T(x), OOL_T(slot->tensor));
    } else {
        x->refs++; /* a floating one stays floating: it has one more holder */
        slot->tensor = x;
    }
}

struct ool_tensor *ool_saved_from_host(struct ool_tape *t, const struct ool_saved *slot)
{
    struct ool_tensor *x =
        ool_make_like_at(t, slot->tensor, ool_dtype(slot->tensor), OOL_PLACE_DEVICE);

    ool_kernel_call(t, "copy", NULL, OOL_T(slot->tensor), OOL_T(x));
    return x;
}

static void save(struct ool_tape *t, struct ool_node *node, struct ool_tensor *x, bool output)
{
    struct ool_saved *slot = next_slot(t, node);

    if (slot == NULL || x == NULL || x->number)
        return;
    if (t->checkpoint != NULL)
        ool_checkpoint_pack(t, slot, x);
    else if (output && !t->save_on_cpu)
        slot->tensor = ool_hold(t, ool_make_alias(t, x));
    else
        ool_saved_pack(t, slot, x);
}

void ool_node_save(struct ool_tape *t, struct ool_node *node, struct ool_tensor *x)
{
    if (node != NULL && !t->failed)
        save(t, node, x, false);
}

void ool_node_save_if(struct ool_tape *t, struct ool_node *node, bool condition,
                      struct ool_tensor *x)
{
    ool_node_save(t, node, condition ? x : NULL);
}

void ool_node_save_output(struct ool_tape *t, struct ool_node *node, struct ool_tensor *y)
{
    if (node != NULL && !t->failed)
        save(t, node, y, true);
}

struct ool_tensor *ool_saved(struct ool_tape *t, struct ool_node *node, int slot)
{
    if (t->failed || (uint32_t)slot >= node->n_saved)
        return NULL;
    return node->saved[slot].unpacked != NULL ? node->saved[slot].unpacked
                                              : node->saved[slot].tensor;
}

void ool_node_output(struct ool_tape *t, struct ool_node *node, struct ool_tensor *y)
{
    struct ool_node_output *form;

    if (node == NULL || y == NULL || t->failed)
        return;
    if (node->n_outputs > 0 && node->outputs == &node->one_output) {
        size_t capacity = 8;

        form = ool_reallocarray(NULL, capacity, sizeof *form);
        if (form == NULL) {
            ool_fail(t, OOL_E_HOST_OOM, "no memory for the tape");
            return;
        }
        form[0] = node->one_output;
        node->outputs = form;
        node->outputs_capacity = capacity;
    } else if (node->n_outputs > 0 &&
               !ool_grow(&node->outputs, &node->outputs_capacity, node->n_outputs, sizeof *form)) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for the tape");
        return;
    }
    form = &node->outputs[node->n_outputs];
    *form = (struct ool_node_output){.dtype = y->dtype, .n_dims = y->n_dims, .place = y->place};
    memcpy(form->shape, y->shape, sizeof form->shape);
    y->node = node;
    y->output = node->n_outputs++;
    node->refs++;
}

/* --- the end of nodes ----------------------------------------------------------------------------------- */

void ool_node_release(struct ool_tape *t, struct ool_node *node)
{
    node->released = true;
    for (uint32_t i = 0; i < node->n_saved; i++) {
        struct ool_saved slot = node->saved[i];

        node->saved[i] = (struct ool_saved){0};
        if (slot.run != NULL)
            ool_checkpoint_drop(t, &slot);
        ool_drop(t, slot.tensor);
    }
    if (node->class->release != NULL)
        node->class->release(t, node);
}

/* Moves the nodes that only @node leads to onto the stack (a chain through their slot-free `next`). */
static void gather(struct ool_tape *t, struct ool_node *node, struct ool_node **stack)
{
    ool_node_release(t, node);
    for (uint32_t i = 0; i < node->n_edges; i++) {
        struct ool_node *next = node->edges[i].node;

        node->edges[i].node = NULL;
        if (next == NULL)
            continue;
        if (--next->refs == 0) {
            next->next = *stack;
            *stack = next;
        }
    }
}

static void finish_node(struct ool_tape *t, struct ool_node *node)
{
    struct ool_tensor *variable = node->variable;

    if (variable != NULL)
        variable->accumulate = NULL;
    ool_node_give(t, node);
    ool_drop(t, variable);
}

/* A deep graph dies without recursion: depth first, the last edge first. */
void ool_node_drop(struct ool_tape *t, struct ool_node *node)
{
    struct ool_node *stack = NULL;

    if (node == NULL || (t->failed && !t->stopped) || --node->refs > 0)
        return;
    gather(t, node, &stack);
    finish_node(t, node);
    while (stack != NULL) {
        struct ool_node *top = stack;

        stack = top->next;
        gather(t, top, &stack);
        finish_node(t, top);
    }
}
