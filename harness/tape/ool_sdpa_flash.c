/*
 * Flash attention 2 as PyTorch calls it. Source: ATen's flash_attn/flash_api.cpp (sizes, the choice
 * of splits over the keys) and attention.cpp (padding of the head dimension to a multiple of 8).
 */
#include "ool_sdpa.h"

#include <stdio.h>

#define MAX_SPLITS 128

static int64_t divide_up(int64_t x, int64_t by)
{
    return (x + by - 1) / by;
}

static int64_t round_up(int64_t x, int64_t to)
{
    return divide_up(x, to) * to;
}

static int64_t rounded_head(const struct ool_tape *t, int64_t head)
{
    if (t->facts->flash_head == OOL_FLASH_HEAD_256 && head > 192)
        return 256;
    return round_up(head, t->facts->flash_head == OOL_FLASH_HEAD_64 && head > 128 ? 64 : 32);
}

/* --- split over the keys -------------------------------------------------------------------------------------- */

static bool eligible(int64_t key_blocks, int64_t splits)
{
    return splits == 1 || divide_up(key_blocks, splits) != divide_up(key_blocks, splits - 1);
}

/* The share of the card that is busy in the waves of blocks. */
static float efficiency(int64_t blocks, int64_t splits, int64_t multiprocessors)
{
    float waves = (float)(blocks * splits) / (float)multiprocessors;
    float whole = (float)(int64_t)waves;

    return waves / (whole < waves ? whole + 1 : whole);
}

/* The smallest number of splits within 85 % of the best use of the card; 1 if it is full anyway. */
static int64_t best_splits(int64_t blocks, int64_t key_blocks, int64_t multiprocessors)
{
    int64_t most = MAX_SPLITS;
    float best = 0;

    if ((float)blocks >= 0.8f * (float)multiprocessors)
        return 1;
    most = multiprocessors < most ? multiprocessors : most;
    most = key_blocks < most ? key_blocks : most;
    for (int64_t n = 1; n <= most; n++) {
        if (eligible(key_blocks, n) && efficiency(blocks, n, multiprocessors) > best)
            best = efficiency(blocks, n, multiprocessors);
    }
    for (int64_t n = 1; n <= most; n++) {
        if (eligible(key_blocks, n) && efficiency(blocks, n, multiprocessors) >= 0.85f * best)
            return n;
    }
    return 1;
}

struct sizes {
    int64_t batch, heads, kv_heads, queries, keys, head;
};

static struct sizes sizes_of(const struct ool_tensor *q, const struct ool_tensor *k)
{
    return (struct sizes){q->shape[0], q->shape[1], k->shape[1],
                          q->shape[2], k->shape[2], q->shape[3]};
}

/* One query and grouped heads: the groups take the place of the queries. Since 2.6 a block has half
 * the threads, so twice as many run at once. */
static int64_t count_splits(const struct ool_tape *t, const struct sizes *s, double dropout)
{
    bool grouped = s->queries == 1 && s->heads > s->kv_heads;
    int64_t rows = grouped ? s->heads / s->kv_heads : s->queries;
    int64_t heads = grouped ? s->kv_heads : s->heads;
    int64_t key_block = s->head <= 64 ? 256 : s->head <= 128 ? 128 : 64;
    int64_t at_once = (int64_t)t->multiprocessors * (t->facts->flash_two_blocks ? 2 : 1);

    if (dropout > 0)
        return 1;
    return best_splits(s->batch * heads * divide_up(rows, 64), divide_up(s->keys, key_block),
                       at_once);
}

/* --- forward and backward --------------------------------------------------------------------------------------- */

static struct ool_tensor *make_f32(struct ool_tape *t, int n, const int64_t *shape)
{
    return ool_make(t, OOL_F32, OOL_PLACE_DEVICE, n, shape, NULL);
}

static struct ool_tensor *make_state(struct ool_tape *t, int64_t words)
{
    return ool_make(t, OOL_U64, OOL_PLACE_DEVICE, words > 1 ? 1 : 0, &words, NULL);
}

struct flash {
    struct ool_tensor *lse, *rng_state, *unused;
};

static void make_split_buffers(struct ool_tape *t, const struct sizes *s, int64_t splits,
                               struct ool_tensor **lse, struct ool_tensor **out)
{
    int64_t shape[5] = {splits, s->batch, s->heads, s->queries, rounded_head(t, s->head)};

    if (splits <= 1)
        return;
    ool_set(t, lse, make_f32(t, 4, shape));
    ool_set(t, out, make_f32(t, 5, shape));
}

/* The output, floating; what backward needs beside it in *flash (owned). */
static struct ool_tensor *forward(struct ool_tape *t, struct ool_tensor *q, const struct sizes *s,
                                  double dropout, struct flash *flash)
{
    int64_t shape[3] = {s->batch, s->heads, s->queries};
    struct ool_tensor *lse_parts = NULL, *out_parts = NULL, *swapped = NULL, *y;
    bool states = t->facts->flash_rng_state;

    ool_set(t, &swapped, ool_sdpa_swapped(t, q));
    if (swapped == NULL)
        return NULL;
    y = ool_sdpa_swap(t, ool_make_like(t, swapped, (enum ool_dtype)q->dtype));
    ool_del(t, &swapped);
    ool_set(t, &flash->lse, make_f32(t, 3, shape));
    make_split_buffers(t, s, count_splits(t, s, dropout), &lse_parts, &out_parts);
    if (states) {
        ool_set(t, &flash->rng_state, make_state(t, 2));
        ool_set(t, &flash->unused, make_state(t, 1));
        if (dropout > 0)
            ool_set(t, &flash->rng_state, make_state(t, 2));
    }
    ool_del(t, states ? &lse_parts : &out_parts);
    ool_del(t, states ? &out_parts : &lse_parts);
    return y;
}

/* A gradient is laid out like its input seen as [b, s, heads, d]. */
static void make_gradient(struct ool_tape *t, const struct ool_tensor *x, struct ool_tensor **grad)
{
    struct ool_tensor *swapped = NULL;

    ool_set(t, &swapped, ool_sdpa_swapped(t, x));
    if (swapped != NULL)
        ool_set(t, grad, ool_sdpa_swap(t, ool_make_like(t, swapped, (enum ool_dtype)x->dtype)));
    ool_del(t, &swapped);
}

static void contiguous_copy(struct ool_tape *t, const struct ool_tensor *x,
                            struct ool_tensor **copy)
{
    struct ool_tensor *swapped = NULL;

    ool_set(t, &swapped, ool_sdpa_swapped(t, x));
    if (swapped != NULL && !ool_is_contiguous(swapped))
        ool_set(t, copy, ool_make_contiguous(t, swapped, (enum ool_dtype)x->dtype));
    ool_del(t, &swapped);
}

struct scratch {
    struct ool_tensor *grad, *out, *row_sums, *dq, *dk, *dv;
};

static void make_scratch(struct ool_tape *t, const struct sizes *s, enum ool_dtype dtype,
                         struct scratch *scratch)
{
    int64_t rows = round_up(s->queries, 128);
    int64_t sums[3] = {s->batch, s->heads, rows};
    int64_t accumulator[4] = {s->batch, rows, s->heads, rounded_head(t, s->head)};
    int64_t expanded[4] = {s->batch, s->keys, s->heads, s->head};

    ool_set(t, &scratch->row_sums, make_f32(t, 3, sums));
    ool_set(t, &scratch->dq, make_f32(t, 4, accumulator));
    if (s->heads != s->kv_heads) {
        ool_set(t, &scratch->dk, ool_make(t, dtype, OOL_PLACE_DEVICE, 4, expanded, NULL));
        ool_set(t, &scratch->dv, ool_make(t, dtype, OOL_PLACE_DEVICE, 4, expanded, NULL));
    }
}

static void drop_scratch(struct ool_tape *t, struct scratch *scratch)
{
    ool_del(t, &scratch->dv);
    ool_del(t, &scratch->dk);
    ool_del(t, &scratch->dq);
    ool_del(t, &scratch->row_sums);
    ool_del(t, &scratch->out);
    ool_del(t, &scratch->grad);
}

enum { KEY, QUERY, VALUE, LSE, OUT };

static void flash_backward(struct ool_tape *t, struct ool_node *node,
                           struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *q = ool_saved(t, node, QUERY), *k = ool_saved(t, node, KEY),
                      *v = ool_saved(t, node, VALUE);
    struct ool_tensor *y = ool_saved(t, node, OUT), *made[3] = {NULL, NULL, NULL};
    struct scratch scratch = {NULL, NULL, NULL, NULL, NULL, NULL};
    struct sizes sizes;

    if (grads[0] == NULL || q == NULL || k == NULL || v == NULL || y == NULL)
        return;
    sizes = sizes_of(q, k);
    contiguous_copy(t, grads[0], &scratch.grad);
    contiguous_copy(t, y, &scratch.out);
    make_gradient(t, q, &made[0]);
    make_gradient(t, k, &made[1]);
    make_gradient(t, v, &made[2]);
    make_scratch(t, &sizes, (enum ool_dtype)q->dtype, &scratch);
    ool_kernel_call(t, "sdpa_backward", node->i[0] != 0 ? "causal=1" : NULL, 6,
                    (struct ool_tensor *[]){grads[0], q, k, v, y, ool_saved(t, node, LSE)}, 3,
                    made);
    drop_scratch(t, &scratch);
    for (int i = 0; i < 3; i++) {
        if (ool_needs(node, i))
            out[i] = ool_return(t, &made[i]);
        else
            ool_del(t, &made[i]);
    }
}

static const struct ool_node_class flash_class = {"ScaledDotProductFlashAttentionBackward0",
                                                  flash_backward, NULL};

static struct ool_tensor *attend(struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                                 struct ool_tensor *v, const struct ool_sdpa_args *args)
{
    struct sizes sizes = sizes_of(q, k);
    struct ool_node *node = ool_node_make(t, &flash_class, OOL_T(q, k, v));
    struct flash flash = {NULL, NULL, NULL};
    struct ool_tensor *y;
    char attributes[64];

    ool_node_save(t, node, k);
    ool_node_save(t, node, q);
    ool_node_save(t, node, v);
    y = forward(t, q, &sizes, args->dropout, &flash);
    ool_node_save_output(t, node, flash.lse);
    ool_node_save_output(t, node, y);
    ool_node_save_output(t, node, flash.rng_state);
    ool_node_save_output(t, node, flash.unused);
    if (node != NULL)
        node->i[0] = args->causal;
    snprintf(attributes, sizeof attributes, "causal=%d dropout=%g", args->causal, args->dropout);
    ool_kernel_call(t, "sdpa", attributes, 3, (struct ool_tensor *[]){q, k, v}, 2,
                    (struct ool_tensor *[]){y, flash.lse});
    y = ool_finish(t, node, y, OOL_T(q, k, v));
    ool_del(t, &flash.lse);
    ool_del(t, &flash.rng_state);
    ool_del(t, &flash.unused);
    return y;
}

/* Head dimensions that are no multiple of 8 are padded, and the result is cut. */
static struct ool_tensor *padded(struct ool_tape *t, struct ool_tensor *x)
{
    int64_t pads[2] = {0, round_up(x->shape[3], 8) - x->shape[3]};

    return pads[1] == 0 ? x : ool_pad(t, x, 2, pads, 0);
}

struct ool_tensor *ool_sdpa_flash(struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                                  struct ool_tensor *v, const struct ool_sdpa_args *args)
{
    int64_t head = q->shape[3];
    struct ool_tensor *y;

    q = padded(t, q);
    k = padded(t, k);
    v = padded(t, v);
    if (t->failed)
        return NULL;
    y = attend(t, q, k, v, args);
    return y == NULL || y->shape[3] == head ? y : ool_slice(t, y, 3, 0, head);
}
