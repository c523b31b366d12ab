/*
 * topk, sort, multinomial, cumsum, gather: what sampling needs, with the scratch of its kernels.
 *
 * Sizes of CUB's temporary storage as in ool_tape_embedding.c; tile sizes by recording.
 */
#include "ool_reduce_config.h"
#include "ool_tape_internal.h"

static uint64_t divide_up(uint64_t x, uint64_t by)
{
    return (x + by - 1) / by;
}

static uint64_t blocks_of_256(uint64_t bytes)
{
    return divide_up(bytes, 256) * 256;
}

static bool along_last(struct ool_tape *t, struct ool_tensor *x, int dim, const char *name)
{
    if (x->n_dims < 1 || ool_dim(x, dim) != x->n_dims - 1 || !ool_is_contiguous(x))
        ool_fail(t, OOL_E_UNSUPPORTED,
                 "%s along another dimension than the last of a contiguous tensor", name);
    else if (ool_wants_grad(t, OOL_T(x)))
        ool_fail(t, OOL_E_UNSUPPORTED, "the gradient of %s", name);
    return !t->failed;
}

/* --- topk -------------------------------------------------------------------------------------------------- */

/* Few long rows are searched by many blocks each. */
static bool many_blocks_a_row(int64_t rows, int64_t columns)
{
    return (rows <= 20 && columns >= 20000) || (rows > 20 && rows <= 40 && columns >= 10000) ||
           (rows > 40 && rows <= 80 && columns >= 8000) ||
           (rows > 80 && rows < 200 && columns >= 5000) ||
           (rows >= 200 && rows < 800 && columns >= 3000) ||
           (rows >= 800 && rows <= 4000 && columns >= 800) || (rows > 4000 && columns >= 400);
}

static void topk_scratch(struct ool_tape *t, const struct ool_tensor *x, uint64_t rows,
                         uint64_t columns)
{
    uint64_t bytes = ool_dtype_bytes(ool_dtype(x)), radix = bytes > 4 ? 8 : 4;
    uint64_t blocks_a_processor = 65536 / (40 * 256); /* registers of the card and of the kernel */
    uint64_t items =
        divide_up(rows * columns, (uint64_t)t->multiprocessors * blocks_a_processor * 256);
    uint64_t copies = t->facts->topk_pairs ? 2 : 1, blocks, sizes[8];
    uint32_t scratch[8];
    int n = 0;

    items = items < 4 ? 4 : items > 64 ? 64 : items;
    blocks = rows * divide_up(columns, items * 256);
    sizes[n++] = rows * bytes; /* the kth values */
    if (!t->facts->topk_sums)
        sizes[n++] = rows * 4;          /* semaphores */
    sizes[n++] = copies * rows * 4;     /* how many to find */
    sizes[n++] = copies * rows * radix; /* the digits found */
    sizes[n++] = blocks * 256 * 2;      /* counts of digits */
    if (t->facts->topk_sums)
        sizes[n++] = rows * 256 * 4;
    sizes[n++] = blocks * 4; /* found in each block: above the kth value, and equal to it */
    sizes[n++] = blocks * 4;
    for (int i = 0; i < n; i++)
        scratch[i] = ool_scratch(t, sizes[i]);
    for (int i = 0; i < 2; i++) /* scans of the last two */
        ool_scratch_free(t,
                         ool_scratch(t, 511 + blocks_of_256((divide_up(blocks, 1792) + 32) * 16)));
    while (n > 0)
        ool_scratch_free(t, scratch[--n]);
}

struct ool_tensor *ool_topk(struct ool_tape *t, struct ool_tensor *x, int64_t k, int dim)
{
    int64_t shape[OOL_MAX_DIMS], columns, rows;
    struct ool_tensor *y, *indices = NULL;

    if (!ool_usable(t, OOL_T(x)) || !along_last(t, x, dim, "topk"))
        return NULL;
    columns = ool_size(x, -1);
    if (k < 0 || k > columns)
        return ool_fail(t, OOL_E_RANGE, "topk: %lld of %lld", (long long)k, (long long)columns);
    for (int i = 0; i < x->n_dims; i++)
        shape[i] = x->shape[i];
    shape[x->n_dims - 1] = k;
    rows = columns > 0 ? ool_numel(x) / columns : 0;
    y = ool_make(t, ool_dtype(x), OOL_PLACE_DEVICE, x->n_dims, shape, NULL);
    ool_set(t, &indices, ool_make(t, OOL_I64, OOL_PLACE_DEVICE, x->n_dims, shape, NULL));
    if (many_blocks_a_row(rows, columns))
        topk_scratch(t, x, (uint64_t)rows, (uint64_t)columns);
    ool_kernel_call(t, "topk", NULL, OOL_T(x), OOL_T(y, indices));
    ool_del(t, &indices);
    return ool_finish(t, NULL, y, OOL_T(x));
}

/* --- sort --------------------------------------------------------------------------------------------------- */

/* Elements that one block sorts; newer CUB has tunings for 9.0 of their own. */
static uint64_t radix_tile(const struct ool_tape *t, uint64_t key, uint64_t value)
{
    bool hopper = t->capability >= 90 && t->facts->torch >= OOL_TORCH_2_6;

    if (key == 4 && value == 8)
        return hopper ? 384 * 14 : 384 * 8;
    if (key == 8 && value == 8)
        return hopper ? 384 * 12 : 384 * 10;
    return hopper ? 384 * 15 : 384 * 10;
}

uint64_t ool_radix_sort_bytes(const struct ool_tape *t, uint64_t n, uint64_t key, uint64_t value,
                              uint64_t passes)
{
    uint64_t copies = passes > 1 ? blocks_of_256(key * n) + blocks_of_256(value * n) : 0;
    uint64_t tile = radix_tile(t, key, value);
    uint64_t portion = ((UINT64_C(1) << 28) - 1) / tile * tile;
    uint64_t portions = divide_up(n, portion);

    if (key == 2 &&
        t->capability < 90) /* not in one sweep: a spine of counts for all blocks of the card */
        return 255 + copies + 4 * (10 * (uint64_t)t->multiprocessors * 256 + 11264);
    return 255 + copies + blocks_of_256(portions * passes * 256 * 8)             /* digit counts */
           + blocks_of_256(divide_up(n < portion ? n : portion, tile) * 256 * 4) /* look-back */
           + blocks_of_256(portions * passes * 4);
}

static void sort_rows_scratch(struct ool_tape *t, uint64_t rows, uint64_t n, uint64_t key)
{
    uint64_t total = rows * n, bits = 1;
    uint32_t pairs, other, keys, temporary;

    if (n <= 4096) { /* sorted in place, the numbers of one row beside it */
        ool_scratch_free(t, ool_scratch(t, 8 * n));
        return;
    }
    pairs = ool_scratch(t, 8 * total);
    if (rows == 1 || rows >= 128) {
        temporary =
            ool_scratch(t, rows == 1 ? ool_radix_sort_bytes(t, n, key, 8, key)
                                     : 255 + blocks_of_256(key * total) + blocks_of_256(8 * total));
        ool_scratch_free(t, temporary);
        ool_scratch_free(t, pairs);
        return;
    }
    while ((UINT64_C(1) << bits) < rows)
        bits++;
    other = ool_scratch(t, 8 * total);
    keys = ool_scratch(t, key * total);
    temporary = ool_scratch(t, ool_radix_sort_bytes(t, total, key, 8, key));
    ool_scratch_free(t, temporary);
    ool_scratch_free(t, keys);
    temporary = ool_scratch(t, ool_radix_sort_bytes(t, total, 8, 0, divide_up(bits, 8)));
    ool_scratch_free(t, temporary);
    ool_scratch_free(t, other);
    ool_scratch_free(t, pairs);
}

struct ool_tensor *ool_sort(struct ool_tape *t, struct ool_tensor *x, int dim)
{
    struct ool_tensor *y, *indices = NULL;
    int64_t columns;

    if (!ool_usable(t, OOL_T(x)) || !along_last(t, x, dim, "sort"))
        return NULL;
    columns = ool_size(x, -1);
    y = ool_make_like(t, x, ool_dtype(x));
    ool_set(t, &indices, ool_make_like(t, x, OOL_I64));
    if (columns > 1)
        sort_rows_scratch(t, (uint64_t)(ool_numel(x) / columns), (uint64_t)columns,
                          ool_dtype_bytes(ool_dtype(x)));
    ool_kernel_call(t, "sort", NULL, OOL_T(x), OOL_T(y, indices));
    ool_del(t, &indices);
    return ool_finish(t, NULL, y, OOL_T(x));
}

/* --- multinomial ----------------------------------------------------------------------------------------------- */

/* Both ends of @x, in one kernel or in two. */
static void extrema(struct ool_tape *t, struct ool_tensor *x, struct ool_tensor **least,
                    struct ool_tensor **most)
{
    uint32_t bytes = ool_dtype_bytes(ool_dtype(x));
    struct ool_reduce_kernel both = {.element_bytes = 2 * bytes, .vt0 = 4, .input_vector = 4};

    ool_set(t, least, ool_make(t, ool_dtype(x), OOL_PLACE_DEVICE, 0, NULL, NULL));
    ool_set(t, most, ool_make(t, ool_dtype(x), OOL_PLACE_DEVICE, 0, NULL, NULL));
    ool_reduce_emit(t, x, (1u << x->n_dims) - 1, bytes, &both);
    ool_kernel_call(t, "aminmax", NULL, OOL_T(x), OOL_T(*least, *most));
}

/* What is asked of the probabilities first: none infinite or negative, no row of zeros. */
static void check_probabilities(struct ool_tape *t, struct ool_tensor *x,
                                struct ool_tensor *const *ends, struct ool_tensor **valid,
                                struct ool_tensor **zero)
{
    size_t scope = ool_scope_open(t);
    struct ool_tensor *below, *above, *is_zero;

    below = ends[1] != NULL ? ends[1] : ool_reduce(t, OOL_MAX, x, OOL_ALL_DIMS, false);
    below = ool_binary_scalar(t, OOL_LT, below, 1e308);
    above = ends[0] != NULL ? ends[0] : ool_reduce(t, OOL_MIN, x, OOL_ALL_DIMS, false);
    above = ool_binary_scalar(t, OOL_GE, above, 0);
    ool_set(t, valid, ool_binary(t, OOL_AND, below, above));
    ool_scope_close(t, scope, NULL);
    scope = ool_scope_open(t);
    is_zero = ool_binary_scalar(t, OOL_EQ, ool_reduce(t, OOL_SUM, x, -1, false), 0);
    ool_set(t, zero, ool_reduce(t, OOL_ANY, is_zero, OOL_ALL_DIMS, false));
    ool_scope_close(t, scope, NULL);
    scope = ool_scope_open(t);
    ool_unary(t, OOL_LOGICAL_NOT, *zero);
    ool_scope_close(t, scope, NULL);
}

struct ool_tensor *ool_multinomial(struct ool_tape *t, struct ool_tensor *x, int64_t n)
{
    struct ool_reduce_kernel argmax = {.element_bytes = 16, .vt0 = 4, .input_vector = 4};
    struct ool_tensor *y, *valid = NULL, *zero = NULL, *q = NULL, *ends[2] = {NULL, NULL};
    enum ool_grad_mode mode;
    int64_t shape[2];

    if (!ool_usable(t, OOL_T(x)))
        return NULL;
    if (n != 1 || x->n_dims != 2)
        return ool_fail(t, OOL_E_UNSUPPORTED, "multinomial of other than one number a row");
    mode = ool_set_grad_mode(t, OOL_NO_GRAD);
    shape[0] = x->shape[0];
    shape[1] = 1;
    y = ool_make(t, OOL_I64, OOL_PLACE_DEVICE, 2, shape, NULL);
    if (t->facts->multinomial_aminmax)
        extrema(t, x, &ends[0], &ends[1]);
    check_probabilities(t, x, ends, &valid, &zero);
    ool_set(t, &q, ool_make_like(t, x, ool_dtype(x)));
    ool_reduce_emit(t, x, 2, 8, &argmax);
    ool_kernel_call(t, "multinomial", NULL, OOL_T(x, q), OOL_T(y));
    ool_del(t, &q);
    ool_del(t, &zero);
    ool_del(t, &valid);
    ool_del(t, &ends[0]);
    ool_del(t, &ends[1]);
    ool_set_grad_mode(t, mode);
    return ool_finish(t, NULL, y, OOL_T(x));
}
