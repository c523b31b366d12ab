#include "ool_plain.h"

#include <math.h>

void ool_plain_default(int64_t *dimension, int64_t value)
{
    if (*dimension < 0)
        *dimension = value;
}

void ool_plain_check(struct ool_net *net, struct ool_model *m, double dropout)
{
    const int64_t most = INT64_C(1) << 31; /* of any one dimension */
    int64_t sizes[] = {m->layers, m->hidden, m->heads, m->kv_heads, m->ffn};

    if (m->dropout < 0)
        m->dropout = dropout;
    if (m->attention_dropout < 0)
        m->attention_dropout = m->dropout;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i] < 1 || sizes[i] > most)
            ool_fail(net->tape, OOL_E_RANGE, "a dimension of %lld is out of range",
                     (long long)sizes[i]);
    if (m->heads < 1 || m->kv_heads < 1)
        return;
    if (m->hidden % m->heads != 0)
        ool_fail(net->tape, OOL_E_COMBINATION, "%lld heads do not divide a width of %lld",
                 (long long)m->heads, (long long)m->hidden);
    else if (m->head_dim >= 0 && m->head_dim != m->hidden / m->heads)
        ool_fail(net->tape, OOL_E_UNSUPPORTED,
                 "the plain formulation has heads of width / heads = %lld, not %lld",
                 (long long)(m->hidden / m->heads), (long long)m->head_dim);
    else if (m->heads % m->kv_heads != 0)
        ool_fail(net->tape, OOL_E_COMBINATION, "%lld key/value heads do not divide %lld heads",
                 (long long)m->kv_heads, (long long)m->heads);
    else if (m->window >= 0)
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "the plain formulation has no sliding window");
    m->head_dim = m->hidden / m->heads;
}

void ool_plain_check_positions(struct ool_net *net, const struct ool_model *m)
{
    const struct ool_workload *w = net->workload;
    int64_t last = w->seq + (w->task == OOL_TASK_GENERATE ? w->new_tokens : 0);

    if (net->counting)
        return;
    if (last > m->max_seq)
        ool_fail(net->tape, OOL_E_COMBINATION, "%lld tokens, but the model has %lld positions",
                 (long long)last, (long long)m->max_seq);
    if (w->tgt_seq >= 0 && w->tgt_seq != w->seq)
        ool_fail(net->tape, OOL_E_COMBINATION, "targets of %lld tokens for %lld tokens",
                 (long long)w->tgt_seq, (long long)w->seq);
}

void ool_plain_forward(struct ool_net *net, const struct ool_call *call, struct ool_output *out)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *logits = NULL;

    net->call = call;
    ool_set(t, &logits, net->ops->head(net, net->ops->trunk(net, call)));
    net->call = NULL;
    ool_output_keep(net, out, logits);
    out->logits = logits;
    if (call->loss)
        ool_set(t, &out->loss, ool_loss_call(net, logits, call->y));
    ool_del(t, &logits); /* kept holds it */
}

struct ool_tensor *ool_plain_split_heads(struct ool_tape *t, struct ool_tensor *x, int64_t heads,
                                         int64_t head_dim)
{
    if (!x)
        return NULL;
    return ool_transpose(
        t, ool_view(t, x, OOL_SHAPE(ool_size(x, 0), ool_size(x, 1), heads, head_dim)), 1, 2);
}

struct ool_tensor *ool_plain_join_heads(struct ool_tape *t, struct ool_tensor *y)
{
    if (!y)
        return NULL;
    return ool_reshape(t, ool_contiguous(t, ool_transpose(t, y, 1, 2)),
                       OOL_SHAPE(ool_size(y, 0), ool_size(y, 2), ool_size(y, 1) * ool_size(y, 3)));
}

struct ool_tensor *ool_plain_gelu(struct ool_net *net, struct ool_tensor *x)
{
    const double pi = 3.14159265358979323846;
    struct ool_tape *t = net->tape;
    struct ool_tensor *half, *y;

    if (net->model.gelu == OOL_GELU_KIND_ERF)
        return ool_unary(t, OOL_GELU_ERF, x);
    if (net->model.gelu == OOL_GELU_KIND_TANH)
        return ool_unary(t, OOL_GELU_TANH, x);
    /* 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))), an operator each */
    ool_enter(t, x);
    half = ool_scale(t, x, 0.5);
    y = ool_scale(t, ool_binary_scalar(t, OOL_POW, x, 3.0), 0.044715);
    y = ool_scale(t, ool_add(t, x, y), sqrt(2.0 / pi));
    y = ool_binary_scalar(t, OOL_ADD, ool_unary(t, OOL_TANH, y), 1.0);
    y = ool_mul(t, half, y);
    ool_leave(t, x);
    return y;
}
