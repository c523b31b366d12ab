/*
 * What a graph keeps, as Python sees it: grad_fn._saved_x of every node.
 */
#include "ool_tape_internal.h"

#include "ool_mem.h"

/* The nodes found so far are their own work list; a node that was found has its slot set. */
struct walk {
    struct ool_node **nodes;
    size_t n, nodes_capacity;
};

static void find(struct ool_tape *t, struct walk *walk, struct ool_node *node)
{
    if (node == NULL || node->slot != 0 || t->failed)
        return;
    if (!ool_grow(&walk->nodes, &walk->nodes_capacity, walk->n, sizeof(struct ool_node *))) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory to walk a graph");
        return;
    }
    walk->nodes[walk->n++] = node;
    node->slot = 1;
}

/* Reading an attribute runs the hook that keeps it; the value dies when the next one is read. */
static void visit_slot(struct ool_tape *t, struct ool_node *node, struct ool_saved *slot,
                       ool_saved_visit *visit, void *state)
{
    struct ool_tensor *value = NULL;
    uint64_t task = t->task;

    t->task = ++t->tasks; /* outside of backward every reading recomputes for itself */
    if (slot->run != NULL)
        value = ool_checkpoint_unpack(t, slot);
    else if (slot->tensor != NULL)
        ool_set(t, &value, slot->on_host ? ool_saved_from_host(t, slot) : slot->tensor);
    t->task = task;
    if (value != NULL)
        visit(node->class->name, value, state);
    ool_del(t, &value);
}

void ool_each_saved(struct ool_tape *t, struct ool_tensor *const *roots, size_t n,
                    ool_saved_visit *visit, void *state)
{
    struct walk walk = {0};

    for (size_t i = 0; i < n; i++)
        find(t, &walk, roots[i]->node);
    for (size_t at = 0; at < walk.n && !t->failed; at++) {
        struct ool_node *node = walk.nodes[at];

        for (uint32_t i = 0; i < node->n_saved && !t->failed; i++)
            visit_slot(t, node, &node->saved[i], visit, state);
        for (uint32_t i = 0; i < node->n_edges; i++)
            find(t, &walk, node->edges[i].node);
    }
    for (size_t i = 0; i < walk.n; i++)
        walk.nodes[i]->slot = 0;
    ool_free(walk.nodes);
}
