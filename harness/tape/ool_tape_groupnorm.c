/*
 * Group and batch normalization, interpolation: what nets of images use.
 */
#include "ool_tape_internal.h"

#include <string.h>

static struct ool_tensor *vector(struct ool_tape *t, enum ool_dtype dtype, int64_t n)
{
    return ool_make(t, dtype, OOL_PLACE_DEVICE, 1, &n, NULL);
}

/* --- group norm -------------------------------------------------------------------------------------------- */

struct groups {
    int64_t batch, channels, groups, pixels;
};

static struct groups groups_of(const struct ool_tensor *x, int groups)
{
    struct groups g = {
        .batch = x->shape[0], .channels = x->shape[1], .groups = groups, .pixels = 1};

    for (int i = 2; i < x->n_dims; i++)
        g.pixels *= x->shape[i];
    return g;
}

/* Saved: input, weight, mean, rstd. Edges: input, weight, bias. node->i[0]: groups. */
static void group_norm_backward(struct ool_tape *t, struct ool_node *node,
                                struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *x = ool_saved(t, node, 0), *w = ool_saved(t, node, 1), *grad;
    uint32_t sums[2], terms[3] = {OOL_NONE, OOL_NONE, OOL_NONE};
    struct groups g;
    uint64_t size;

    if (t->failed)
        return;
    g = groups_of(x, (int)node->i[0]);
    size = ool_dtype_bytes(ool_accumulate_type(ool_dtype(x)));
    grad = ool_contiguous(t, grads[0]);
    if (ool_needs(node, 0))
        out[0] = ool_make_contiguous(t, x, ool_dtype(x));
    if (ool_needs(node, 1))
        out[1] = ool_make_contiguous(t, w, ool_dtype(w));
    if (ool_needs(node, 2))
        out[2] = vector(t, ool_dtype(w != NULL ? w : x), g.channels);
    for (int i = 0; i < 2; i++)
        sums[i] = ool_scratch(t, size * (uint64_t)(g.batch * g.channels));
    if (ool_needs(node, 0)) {
        terms[0] = ool_scratch(t, size * (uint64_t)(g.batch * g.groups));
        terms[1] = ool_scratch(t, size * (uint64_t)(g.batch * g.groups));
        if (w != NULL && g.pixels > 1)
            terms[2] = ool_scratch(t, size * (uint64_t)(g.batch * g.channels));
    }
    ool_kernel_call(t, "group_norm_backward", NULL,
                    OOL_T(grad, x, ool_saved(t, node, 2), ool_saved(t, node, 3), w),
                    OOL_T(out[0], out[1], out[2]));
    ool_scratch_free(t, terms[1]);
    ool_scratch_free(t, terms[0]);
    ool_scratch_free(t, terms[2]);
    ool_scratch_free(t, sums[1]);
    ool_scratch_free(t, sums[0]);
}
static const struct ool_node_class group_norm_class = {"NativeGroupNormBackward0",
                                                       group_norm_backward, NULL};

static struct ool_tensor *native_group_norm(struct ool_tape *t, struct ool_tensor *x, int groups,
                                            struct ool_tensor *w, struct ool_tensor *b)
{
    struct ool_node *node = ool_node_make(t, &group_norm_class, OOL_T(x, w, b));
    struct groups g = groups_of(x, groups);
    uint64_t size = ool_dtype_bytes(ool_accumulate_type(ool_dtype(x)));
    struct ool_tensor *y, *mean = NULL, *rstd = NULL;
    uint32_t scale = OOL_NONE, shift = OOL_NONE, wide[2];

    if (node != NULL)
        node->i[0] = groups;
    ool_node_save(t, node, x);
    ool_node_save(t, node, w);
    y = ool_make_contiguous(t, x, ool_dtype(x));
    ool_set(t, &mean,
            ool_make(t, ool_dtype(x), OOL_PLACE_DEVICE, OOL_SHAPE(g.batch, g.groups), NULL));
    ool_set(t, &rstd,
            ool_make(t, ool_dtype(x), OOL_PLACE_DEVICE, OOL_SHAPE(g.batch, g.groups), NULL));
    for (int i = 0; i < 2; i++)
        wide[i] = t->facts->group_norm_wide && size != ool_dtype_bytes(ool_dtype(x))
                      ? ool_scratch(t, size * (uint64_t)(g.batch * g.groups))
                      : OOL_NONE;
    if (g.pixels > 1 && (w != NULL || b != NULL)) {
        scale = ool_scratch(t, size * (uint64_t)(g.batch * g.channels));
        shift = ool_scratch(t, size * (uint64_t)(g.batch * g.channels));
    }
    ool_kernel_call(t, "group_norm", NULL, OOL_T(x, w, b), OOL_T(y, mean, rstd));
    ool_scratch_free(t, shift);
    ool_scratch_free(t, scale);
    ool_scratch_free(t, wide[1]);
    ool_scratch_free(t, wide[0]);
    ool_node_save_output(t, node, mean);
    ool_node_save_output(t, node, rstd);
    y = ool_finish(t, node, y, 0, NULL);
    ool_del(t, &mean);
    ool_del(t, &rstd);
    return y;
}

struct ool_tensor *ool_group_norm(struct ool_tape *t, struct ool_tensor *x, int groups,
                                  struct ool_tensor *w, struct ool_tensor *b)
{
    struct ool_tensor *y = NULL, *given[3] = {x, w, b};
    size_t scope;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (x->n_dims < 2 || groups < 1 || x->shape[1] % groups != 0)
        return ool_fail(t, OOL_E_COMBINATION, "group_norm: %lld channels in %d groups",
                        (long long)ool_size(x, 1), groups);
    scope = ool_scope_open(t);
    if (ool_autocast_on(t)) {
        b = ool_cast_f32(t, b);
        w = ool_cast_f32(t, w);
        x = ool_cast_f32(t, x);
    }
    x = ool_contiguous(t, x);
    if (!t->failed)
        y = native_group_norm(t, x, groups, w, b);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, 3, given);
}

/* --- batch norm ------------------------------------------------------------------------------------------------- */

/* cuDNN's, PyTorch's own for channels in their own planes, and its own for channels side by side */
enum batch_norm { BATCH_NORM_CUDNN, BATCH_NORM_PLANES, BATCH_NORM_COLUMNS };

static enum batch_norm batch_norm_kind(const struct ool_tape *t, const struct ool_tensor *x,
                                       const struct ool_tensor *mean, const struct ool_tensor *w,
                                       const struct ool_tensor *b, bool training)
{
    bool dtypes = x->dtype != OOL_BF16 && w != NULL && b != NULL && w->dtype != OOL_BF16 &&
                  (x->dtype != OOL_F16 || w->dtype == OOL_F32);

    if (t->cudnn && dtypes && x->n_dims >= 3 && (mean != NULL || training) &&
        x->shape[0] <= (training ? 880801 : 65535) && ool_numel(x) < INT32_MAX)
        return BATCH_NORM_CUDNN;
    return x->n_dims == 2 ? BATCH_NORM_COLUMNS : BATCH_NORM_PLANES;
}

static int64_t power_of_2_in(int64_t n)
{
    int64_t power = 1;

    while (power <= n / 2)
        power *= 2;
    return power;
}

/* Columns are reduced by a grid of blocks, which share their sums through memory when there are many. */
static void column_scratch(struct ool_tape *t, const struct ool_tensor *x, uint64_t values)
{
    int64_t columns = x->shape[1], rows = ool_numel(x) / columns;
    int64_t width = columns < 32 ? power_of_2_in(columns) : 32;
    int64_t height = power_of_2_in((rows + 15) / 16), blocks_down, blocks_across;
    uint32_t staging, semaphores;

    if (height > 512 / width)
        height = 512 / width;
    if (width * height != 512) {
        width = power_of_2_in(columns);
        width = width < 512 / height ? width : 512 / height;
    }
    blocks_across = (columns + width - 1) / width;
    blocks_down = (rows + height * 16 - 1) / (height * 16);
    blocks_down = blocks_down > 128 ? 128 : blocks_down;
    if (blocks_down < 8)
        return;
    staging = ool_scratch(t, values * 4 * (uint64_t)(columns * blocks_down));
    semaphores = ool_scratch(t, 4 * (uint64_t)blocks_across);
    ool_scratch_free(t, semaphores);
    ool_scratch_free(t, staging);
}

static void affine_gradients(struct ool_tape *t, struct ool_node *node, struct ool_tensor *w,
                             struct ool_tensor **out)
{
    if (ool_needs(node, 1))
        out[1] = ool_make_contiguous(t, w, ool_dtype(w));
    if (ool_needs(node, 2))
        out[2] = ool_make_contiguous(t, w, ool_dtype(w));
}

/* Saved: input, running_mean, running_var, weight, mean, invstd. Edges: input, weight, bias. */
static void batch_norm_backward(struct ool_tape *t, struct ool_node *node,
                                struct ool_tensor *const *grads, struct ool_tensor **out)
{
    struct ool_tensor *x = ool_saved(t, node, 0), *w = ool_saved(t, node, 3), *grad,
                      *sums[2] = {NULL, NULL};

    if (t->failed)
        return;
    grad = ool_contiguous(t, grads[0]);
    if (node->i[0] == BATCH_NORM_COLUMNS) {
        for (int i = 0; i < 2; i++)
            ool_set(t, &sums[i], vector(t, ool_accumulate_type(ool_dtype(x)), x->shape[1]));
        affine_gradients(t, node, w, out);
        column_scratch(t, x, 2);
        if (ool_needs(node, 0))
            out[0] = ool_make_contiguous(t, x, ool_dtype(x));
    } else {
        if (ool_needs(node, 0) || node->i[0] == BATCH_NORM_CUDNN)
            out[0] = ool_make_contiguous(t, x, ool_dtype(x));
        affine_gradients(t, node, w, out);
    }
    ool_kernel_call(t, "batch_norm_backward", node->i[1] != 0 ? "training=1" : "training=0",
                    OOL_T(grad, x, ool_saved(t, node, 4), ool_saved(t, node, 5), w),
                    OOL_T(out[0], out[1], out[2]));
    ool_del(t, &sums[1]);
    ool_del(t, &sums[0]);
}
static const struct ool_node_class cudnn_class = {"CudnnBatchNormBackward0", batch_norm_backward,
                                                  NULL};
static const struct ool_node_class native_class = {"NativeBatchNormBackward0", batch_norm_backward,
                                                   NULL};

struct ool_tensor *ool_batch_norm(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor *mean,
                                  struct ool_tensor *var, struct ool_tensor *w,
                                  struct ool_tensor *b, bool training)
{
    struct ool_tensor *y, *used_mean = NULL, *used_invstd = NULL, *given = x;
    enum ool_dtype statistics;
    struct ool_node *node;
    enum batch_norm kind;
    size_t scope;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (x->n_dims < 2)
        return ool_fail(t, OOL_E_COMBINATION, "batch_norm of %d dimensions", x->n_dims);
    scope = ool_scope_open(t);
    x = ool_contiguous(t, x);
    if (t->failed)
        return NULL;
    kind = batch_norm_kind(t, x, mean, w, b, training);
    statistics = ool_accumulate_type(ool_dtype(x));
    node =
        ool_node_make(t, kind == BATCH_NORM_CUDNN ? &cudnn_class : &native_class, OOL_T(x, w, b));
    if (node != NULL) {
        node->i[0] = kind;
        node->i[1] = training;
    }
    ool_node_save(t, node, x);
    ool_node_save(t, node, mean);
    ool_node_save(t, node, var);
    ool_node_save(t, node, w);
    y = ool_make_contiguous(t, x, ool_dtype(x));
    if (training || kind != BATCH_NORM_CUDNN) {
        ool_set(t, &used_mean, vector(t, statistics, x->shape[1]));
        ool_set(t, &used_invstd, vector(t, statistics, x->shape[1]));
    }
    if (training && kind == BATCH_NORM_COLUMNS)
        column_scratch(t, x, 4);
    ool_kernel_call(t, "batch_norm", training ? "training=1" : "training=0",
                    OOL_T(x, w, b, mean, var), OOL_T(y, used_mean, used_invstd));
    ool_node_save_output(t, node, used_mean);
    ool_node_save_output(t, node, used_invstd);
    y = ool_finish(t, node, y, 0, NULL);
    ool_del(t, &used_mean);
    ool_del(t, &used_invstd);
    y = ool_scope_close(t, scope, y);
    return ool_finish(t, NULL, y, OOL_T(given, w, b));
}

/* --- interpolation ------------------------------------------------------------------------------------------------ */

static const char *const interpolations[] = {
    [OOL_NEAREST] = "upsample_nearest",
    [OOL_BILINEAR] = "upsample_bilinear",
    [OOL_BICUBIC] = "upsample_bicubic",
};

/* node->i: [0] n_dims, [1..8] the shape of the input */
static void interpolate_backward(struct ool_tape *t, struct ool_node *node,
                                 struct ool_tensor *const *grads, struct ool_tensor **out)
{
    out[0] = ool_make(t, ool_dtype(grads[0]), OOL_PLACE_DEVICE, (int)node->i[0], &node->i[1], NULL);
    ool_kernel_call(t, "upsample_backward", NULL, OOL_T(grads[0]), OOL_T(out[0]));
}
static const struct ool_node_class interpolate_class = {"UpsampleBackward0", interpolate_backward,
                                                        NULL};

struct ool_tensor *ool_interpolate(struct ool_tape *t, struct ool_tensor *x,
                                   enum ool_interpolation kind, int n, const int64_t *size)
{
    struct ool_tensor *y = NULL, *given = x;
    struct ool_node *node;
    int64_t shape[OOL_MAX_DIMS];
    size_t scope;

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (n < 1 || x->n_dims != n + 2)
        return ool_fail(t, OOL_E_COMBINATION, "interpolate: %d sizes for %d dimensions", n,
                        x->n_dims);
    memcpy(shape, x->shape, sizeof shape);
    memcpy(shape + 2, size, (size_t)n * sizeof *size);
    scope = ool_scope_open(t);
    if (ool_autocast_on(t))
        x = ool_cast_f32(t, x);
    node = x == NULL ? NULL : ool_node_make(t, &interpolate_class, OOL_T(x));
    if (node != NULL) {
        node->i[0] = x->n_dims;
        memcpy(&node->i[1], x->shape, sizeof x->shape);
    }
    if (!t->failed)
        y = ool_make(t, ool_dtype(x), OOL_PLACE_DEVICE, x->n_dims, shape, NULL);
    ool_kernel_call(t, interpolations[kind], NULL, OOL_T(x), OOL_T(y));
    y = ool_scope_close(t, scope, ool_finish(t, node, y, 0, NULL));
    return ool_finish(t, NULL, y, OOL_T(given));
}
