#include "ool_leak.h"

#include "ool_mem.h"

/* bag.append(x) */
static void append(struct ool_bag *bag, struct ool_tensor *x)
{
    struct ool_tape *t = bag->net->tape;

    if (!x)
        return;
    if (!ool_grow(&bag->kept, &bag->capacity, bag->n, sizeof(struct ool_tensor *))) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for what a leak keeps");
        return;
    }
    bag->kept[bag->n] = NULL;
    ool_set(t, &bag->kept[bag->n++], x);
}

static void keep_output(struct ool_net *net, struct ool_tensor *output, void *state)
{
    (void)net;
    append(state, output);
}

static void keep_detached(struct ool_net *net, struct ool_tensor *output, void *state)
{
    append(state, ool_detach(net->tape, output));
}

void ool_bag_open(struct ool_bag *bag, struct ool_net *net)
{
    *bag = (struct ool_bag){.net = net};
    if (net->workload->leak == OOL_LEAK_HOOKS_STORE)
        net->hook = keep_output;
    else if (net->workload->leak == OOL_LEAK_HOOKS_STORE_DETACH)
        net->hook = keep_detached;
    net->hook_state = bag;
}

void ool_bag_fini(struct ool_bag *bag)
{
    ool_free(bag->kept);
    bag->kept = NULL;
}

void ool_bag_drop(struct ool_bag *bag)
{
    for (size_t i = 0; i < bag->n; i++)
        ool_del(bag->net->tape, &bag->kept[i]);
    bag->n = 0;
    ool_del(bag->net->tape, &bag->total);
}

/* total = total + loss */
static void add_up(struct ool_bag *bag, struct ool_tensor *loss)
{
    struct ool_tape *t = bag->net->tape;

    if (!loss)
        return;
    ool_set(t, &bag->total,
            bag->total ? ool_add(t, bag->total, loss) : ool_binary_scalar(t, OOL_ADD, loss, 0.0));
}

void ool_bag_forward(struct ool_bag *bag, const struct ool_output *out)
{
    struct ool_net *net = bag->net;

    switch (net->workload->leak) {
    case OOL_LEAK_APPEND_LOSS_NO_BACKWARD:
        append(bag, out->loss);
        break;
    case OOL_LEAK_TOTAL_LOSS_NO_BACKWARD:
        add_up(bag, out->loss);
        break;
    case OOL_LEAK_APPEND_OUTPUTS:
        for (size_t i = 0; i < out->n_kept; i++)
            append(bag, out->kept[i]);
        break;
    case OOL_LEAK_APPEND_OUTPUTS_DETACH:
        if (out->n_kept > 0 && out->logits)
            append(bag, ool_detach(net->tape, out->logits));
        break;
    default:
        break;
    }
}

void ool_bag_backward(struct ool_bag *bag, const struct ool_output *out)
{
    switch (bag->net->workload->leak) {
    case OOL_LEAK_APPEND_LOSS:
    case OOL_LEAK_RETAIN_GRAPH_APPEND:
        append(bag, out->loss);
        break;
    case OOL_LEAK_TOTAL_LOSS:
        add_up(bag, out->loss);
        break;
    default:
        break;
    }
}

bool ool_leak_has_no_backward(enum ool_leak leak)
{
    return leak == OOL_LEAK_APPEND_LOSS_NO_BACKWARD || leak == OOL_LEAK_TOTAL_LOSS_NO_BACKWARD;
}

bool ool_leak_retains_graph(enum ool_leak leak)
{
    return leak == OOL_LEAK_RETAIN_GRAPH || leak == OOL_LEAK_RETAIN_GRAPH_APPEND;
}
