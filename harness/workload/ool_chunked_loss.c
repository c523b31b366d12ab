#include "ool_chunked_loss.h"

static struct ool_tensor *slice_loss(struct ool_tape *t, struct ool_tensor *const *inputs, int n,
                                     void *state)
{
    struct ool_net *net = state;
    struct ool_tensor *logits = net->ops->head(net, inputs[0]), *loss;

    (void)n;
    ool_push(t, "loss");
    loss = ool_cross_entropy(t, logits, inputs[1], 0.0, OOL_LOSS_SUM);
    ool_pop(t);
    return loss;
}

/* The sum over the slices. Floating. */
static struct ool_tensor *sum(struct ool_net *net, struct ool_tensor **h, struct ool_tensor **y,
                              int n)
{
    struct ool_tape *t = net->tape;
    enum ool_checkpoint kind =
        net->workload->chunk_no_checkpoint ? OOL_CHECKPOINT_NONE : OOL_CHECKPOINT_NONREENTRANT;
    struct ool_tensor *total = NULL;

    for (int i = 0; i < n; i++) {
        struct ool_tensor *slice[2] = {h[i], y[i]}, *loss;

        loss = kind == OOL_CHECKPOINT_NONE ? slice_loss(t, slice, 2, net)
                                           : ool_checkpoint(t, kind, slice_loss, net, slice, 2);
        ool_set(t, &total,
                total ? ool_add(t, total, loss) : ool_binary_scalar(t, OOL_ADD, loss, 0.0));
    }
    return ool_return(t, &total);
}

struct ool_tensor *ool_chunked_loss(struct ool_net *net, const struct ool_call *call)
{
    struct ool_tape *t = net->tape;
    int64_t slices = net->workload->chunked_loss;
    struct ool_tensor **h, **y, *hidden = NULL, *loss;
    int n, n_targets;

    if (!net->ops->trunk || !net->ops->head)
        return ool_fail(t, OOL_E_UNSUPPORTED,
                        "a chunked loss needs a model whose head can be called alone");
    if (slices > 65536)
        return ool_fail(t, OOL_E_RANGE, "a loss in %lld slices", (long long)slices);
    h = ool_net_alloc(net, (size_t)slices, sizeof(struct ool_tensor *));
    y = ool_net_alloc(net, (size_t)slices, sizeof(struct ool_tensor *));
    net->call = call;
    ool_set(t, &hidden, net->ops->trunk(net, call));
    net->call = NULL;
    if (!h || !y || !hidden)
        return NULL;
    n = ool_chunk(t, ool_reshape(t, hidden, OOL_SHAPE(-1, ool_size(hidden, -1))), (int)slices, 0, h,
                  (int)slices);
    n_targets =
        ool_chunk(t, ool_reshape(t, call->y, OOL_SHAPE(-1)), (int)slices, 0, y, (int)slices);
    for (int i = 0; i < n; i++)
        h[i] = ool_hold(t, h[i]);
    for (int i = 0; i < n_targets; i++)
        y[i] = ool_hold(t, y[i]);
    if (n != n_targets)
        return ool_fail(t, OOL_E_COMBINATION, "%d slices of rows, but %d of targets", n, n_targets);
    loss = ool_binary_scalar(t, OOL_DIV, sum(net, h, y, n), (double)ool_numel(call->y));
    ool_del(t, &hidden);
    for (int i = 0; i < n; i++)
        ool_drop(t, h[i]);
    for (int i = 0; i < n_targets; i++)
        ool_drop(t, y[i]);
    return loss;
}
