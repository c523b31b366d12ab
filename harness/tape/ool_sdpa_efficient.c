/*
 * Memory-efficient attention (CUTLASS). Source: ATen's attention.cu, attention_backward.cu and
 * mem_eff_attention/kernel_backward.h; which kernel runs follows from the shared memory that the
 * kernels need, found by recording every kind of card.
 */
#include "ool_sdpa.h"

#include <stdio.h>

static int64_t divide_up(int64_t x, int64_t by)
{
    return (x + by - 1) / by;
}

static int64_t round_up(int64_t x, int64_t to)
{
    return divide_up(x, to) * to;
}

static bool is_half(const struct ool_tensor *x)
{
    return x->dtype == OOL_F16 || x->dtype == OOL_BF16;
}

/* --- the workspace of backward ------------------------------------------------------------------------------- */

struct kernel {
    int64_t rows, columns; /* of queries and keys in a block */
    bool in_registers;     /* the sums of dk and dv need no memory */
};

/*
 * The first kernel that the head dimension, the card's shared memory and dropout admit. Cards of
 * capability 9.0 and 10.0 have room for large blocks. (So has a physical 8.0; the recordings of
 * that card offered 101,376 bytes a block, and the numbers here are theirs.)
 */
static struct kernel kernel_of(const struct ool_tape *t, bool half, int64_t head, bool dropout)
{
    bool roomy = t->capability >= 90 && t->capability < 120;
    bool diffusion =
        t->capability == 86 || t->capability == 89; /* a kernel made for a head of 80 */

    if (head <= 64)
        return (struct kernel){64, 64, true};
    if (!half)
        return (struct kernel){roomy ? 128 : 64, 64, true};
    if (head > 128)
        return (struct kernel){128, 64, false};
    if (roomy)
        return (struct kernel){128, 128, true};
    if (t->capability < 80 || (diffusion && head <= 96 && !dropout))
        return (struct kernel){128, 64, true};
    return (struct kernel){64, 64, false};
}

struct sizes {
    int64_t batch, heads, queries, keys, head, value;
};

static int64_t key_splits(const struct ool_tape *t, const struct kernel *kernel,
                          const struct sizes *s)
{
    int64_t splits = divide_up(s->keys, kernel->columns);
    int64_t heads = s->batch * s->heads, most = heads > 0 ? 200 / heads : 0;

    if (heads >= 256 && s->keys <= 2 * kernel->columns)
        splits = 1;
    if (!kernel->in_registers && splits > most && t->facts->torch >= OOL_TORCH_2_4)
        splits = most;
    return splits < 1 ? 1 : splits;
}

/* Sums of dk and dv per split (of one block of keys; of all keys in 2.2), and of dq with a lock per
 * block; a multiple of 16 bytes per head. */
static uint64_t workspace_bytes(const struct ool_tape *t, const struct sizes *s, bool half,
                                bool dropout)
{
    struct kernel kernel = kernel_of(t, half, s->head > s->value ? s->head : s->value, dropout);
    int64_t tile = 4 + kernel.rows * kernel.columns; /* floats, the lock among them */
    int64_t floats = divide_up(s->queries, kernel.rows) * divide_up(s->head, kernel.columns) * tile;
    int64_t keys =
        t->facts->torch < OOL_TORCH_2_4 ? round_up(s->keys, kernel.columns) : kernel.columns;

    if (!kernel.in_registers)
        floats += key_splits(t, &kernel, s) * keys *
                  (round_up(s->head, kernel.rows) + round_up(s->value, kernel.rows));
    return (uint64_t)(s->batch * s->heads * round_up(floats, 4)) * 4;
}

/* --- backward -------------------------------------------------------------------------------------------------- */

enum { BIAS, KEY, QUERY, VALUE, LSE, OUT };

static struct ool_tensor *make_swapped(struct ool_tape *t, const struct ool_tensor *x)
{
    int64_t shape[4] = {x->shape[0], x->shape[2], x->shape[1], x->shape[3]};

    return ool_sdpa_swap(t,
                         ool_make(t, (enum ool_dtype)x->dtype, OOL_PLACE_DEVICE, 4, shape, NULL));
}

/* Gradients of keys and values that several heads share: one per head first. */
static void make_expanded(struct ool_tape *t, const struct sizes *s, const struct ool_tensor *k,
                          struct ool_tensor **expanded)
{
    int64_t shapes[2][4] = {{s->batch, s->keys, s->heads, s->head},
                            {s->batch, s->keys, s->heads, s->value}};

    for (int i = 0; i < 2 && k->shape[1] != s->heads; i++)
        ool_set(t, &expanded[i],
                ool_make(t, (enum ool_dtype)k->dtype, OOL_PLACE_DEVICE, 4, shapes[i], NULL));
}

/* The mask's gradient has rows of a multiple of 16 elements. */
static struct ool_tensor *make_bias_gradient(struct ool_tape *t, const struct ool_tensor *bias)
{
    int64_t shape[4] = {bias->shape[0], bias->shape[1], bias->shape[2],
                        round_up(bias->shape[3], 16)};
    struct ool_tensor *whole = NULL, *y;

    ool_set(t, &whole, ool_make(t, (enum ool_dtype)bias->dtype, OOL_PLACE_DEVICE, 4, shape, NULL));
    if (whole == NULL)
        return NULL;
    y = ool_make_view(t, whole, 4, bias->shape, whole->strides, 0);
    ool_del(t, &whole);
    return y;
}

/* sum(grad * out, -1) per query: in the kernel for 16-bit types, by operators for f32. Owned. */
static struct ool_tensor *make_delta(struct ool_tape *t, const struct sizes *s, bool half)
{
    int64_t shape[3] = {s->batch, s->heads, s->queries};
    int64_t wide[4] = {s->batch, s->queries, s->heads, s->value};
    struct ool_tensor *product = NULL, *sum = NULL, *delta = NULL;

    if (half) {
        ool_set(t, &delta, ool_make(t, OOL_F32, OOL_PLACE_DEVICE, 3, shape, NULL));
        return delta;
    }
    ool_set(t, &product, ool_make(t, OOL_F32, OOL_PLACE_DEVICE, 4, wide, NULL));
    if (product != NULL)
        ool_set(t, &sum, ool_sum_dims(t, product, 1u << 3, false, OOL_F32));
    if (s->heads == 1 || s->queries == 1) /* its transpose is contiguous already */
        delta = ool_hold(t, sum);
    else
        ool_set(t, &delta, ool_make(t, OOL_F32, OOL_PLACE_DEVICE, 3, shape, NULL));
    ool_del(t, &sum);
    ool_del(t, &product);
    return delta;
}

static void efficient_backward(struct ool_tape *t, struct ool_node *node,
                               struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *q = ool_saved(t, node, QUERY), *k = ool_saved(t, node, KEY),
                      *v = ool_saved(t, node, VALUE);
    struct ool_tensor *bias = ool_saved(t, node, BIAS), *y = ool_saved(t, node, OUT);
    struct ool_tensor *made[4] = {NULL, NULL, NULL, NULL}, *view = NULL, *copy = NULL, *delta;
    struct ool_tensor *expanded[2] = {NULL, NULL};
    uint32_t workspace;
    struct sizes sizes;

    if (grads[0] == NULL || q == NULL || k == NULL || v == NULL || y == NULL)
        return;
    sizes = (struct sizes){q->shape[0], q->shape[1], q->shape[2],
                           k->shape[2], q->shape[3], v->shape[3]};
    ool_set(t, &view, ool_sdpa_swapped(t, grads[0]));
    if (view != NULL && !ool_is_contiguous(view))
        ool_set(t, &copy, ool_make_contiguous(t, view, (enum ool_dtype)view->dtype));
    ool_set(t, &made[0], make_swapped(t, q));
    ool_set(t, &made[1], make_swapped(t, k));
    ool_set(t, &made[2], make_swapped(t, v));
    if (bias != NULL && ool_needs(node, 3))
        ool_set(t, &made[3], make_bias_gradient(t, bias));
    make_expanded(t, &sizes, k, expanded);
    delta = make_delta(t, &sizes, is_half(q));
    workspace = ool_scratch(t, workspace_bytes(t, &sizes, is_half(q), node->d[0] > 0));
    ool_kernel_call(t, "sdpa_backward", node->i[0] != 0 ? "causal=1" : NULL, 7,
                    (struct ool_tensor *[]){grads[0], q, k, v, y, ool_saved(t, node, LSE), bias}, 4,
                    made);
    ool_del(t, &delta);
    ool_scratch_free(t, workspace);
    ool_del(t, &expanded[1]);
    ool_del(t, &expanded[0]);
    ool_del(t, &copy);
    ool_del(t, &view);
    for (int i = 0; i < 4; i++) {
        if (ool_needs(node, i))
            out[i] = ool_return(t, &made[i]);
        else
            ool_del(t, &made[i]);
    }
}

static const struct ool_node_class efficient_class = {"ScaledDotProductEfficientAttentionBackward0",
                                                      efficient_backward, NULL};

/* --- forward --------------------------------------------------------------------------------------------------- */

struct efficient {
    struct ool_tensor *seed, *offset, *lse;
};

/* With dropout the random state stays on the host. */
static void make_seed(struct ool_tape *t, double dropout, struct ool_tensor **word)
{
    if (t->facts->efficient_seed && dropout == 0)
        ool_set(t, word, ool_make(t, OOL_I64, OOL_PLACE_DEVICE, 0, NULL, NULL));
}

static struct ool_tensor *forward(struct ool_tape *t, const struct ool_tensor *q,
                                  const struct ool_tensor *v, bool with_lse, double dropout,
                                  struct efficient *e)
{
    int64_t shape[4] = {q->shape[0], q->shape[2], q->shape[1], v->shape[3]};
    int64_t rows[3] = {q->shape[0], q->shape[1], round_up(q->shape[2], 32)};
    struct ool_tensor *sums = NULL, *y;

    make_seed(t, dropout, &e->seed);
    make_seed(t, dropout, &e->offset);
    y = ool_sdpa_swap(t, ool_make(t, (enum ool_dtype)q->dtype, OOL_PLACE_DEVICE, 4, shape, NULL));
    if (with_lse)
        ool_set(t, &e->lse, ool_make(t, OOL_F32, OOL_PLACE_DEVICE, 3, rows, NULL));
    if (is_half(q) &&
        (q->shape[3] > 128 || v->shape[3] > 128)) /* too wide for registers: f32 sums in memory */
        ool_set(t, &sums, ool_make(t, OOL_F32, OOL_PLACE_DEVICE, 4, shape, NULL));
    ool_del(t, &sums);
    return y;
}

struct ool_tensor *ool_sdpa_efficient(struct ool_tape *t, struct ool_tensor *q,
                                      struct ool_tensor *k, struct ool_tensor *v,
                                      const struct ool_sdpa_args *args)
{
    struct ool_node *node = ool_node_make(t, &efficient_class, OOL_T(q, k, v, args->mask));
    struct efficient e = {NULL, NULL, NULL};
    bool with_lse = ool_wants_grad(t, OOL_T(q, k, v));
    struct ool_tensor *y;
    char attributes[64];

    if (t->facts->torch < OOL_TORCH_2_4) /* did not look at the grad mode */
        with_lse = ool_requires_grad(q) || ool_requires_grad(k) || ool_requires_grad(v);
    ool_node_save(t, node, args->mask);
    ool_node_save(t, node, k);
    ool_node_save(t, node, q);
    ool_node_save(t, node, v);
    y = forward(t, q, v, with_lse, args->dropout, &e);
    ool_node_save_output(t, node, e.lse);
    ool_node_save_output(t, node, y);
    ool_node_save_output(t, node, e.offset);
    ool_node_save_output(t, node, e.seed);
    if (node != NULL) {
        node->i[0] = args->causal;
        node->d[0] = args->dropout;
    }
    snprintf(attributes, sizeof attributes, "causal=%d dropout=%g", args->causal, args->dropout);
    ool_kernel_call(t, "sdpa", attributes, 4, (struct ool_tensor *[]){q, k, v, args->mask}, 2,
                    (struct ool_tensor *[]){y, e.lse});
    y = ool_finish(t, node, y, OOL_T(q, k, v, args->mask));
    ool_del(t, &e.lse);
    ool_del(t, &e.seed);
    ool_del(t, &e.offset);
    return y;
}

static bool aligned(const struct ool_tensor *mask)
{
    for (int i = 0; i < mask->n_dims - 1; i++) {
        if (mask->strides[i] % 8 != 0)
            return false;
    }
    return true;
}

struct ool_tensor *ool_sdpa_align(struct ool_tape *t, struct ool_tensor *mask,
                                  const struct ool_tensor *q, const struct ool_tensor *k)
{
    int64_t shape[4] = {q->shape[0], q->shape[1], q->shape[2], k->shape[2]};

    if (mask != NULL && !aligned(mask)) {
        int64_t keys = mask->shape[mask->n_dims - 1];
        int64_t pads[2] = {0, 8 - keys % 8};

        mask = ool_pad(t, mask, 2, pads, 0);
        if (mask != NULL)
            mask = ool_slice(t, mask, -1, 0, keys);
    }
    return mask == NULL ? NULL : ool_expand(t, mask, 4, shape);
}
