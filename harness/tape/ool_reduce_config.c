/*
 * How the reduction kernel of PyTorch splits its work, and with that the staging and semaphore
 * buffers that it allocates (ATen/native/cuda/Reduce.cuh, setReduceConfig).
 */
#include "ool_reduce_config.h"

#include <stdlib.h>

/* Dimensions as TensorIterator leaves them: reduced ones first, fastest first, neighbours merged. */
struct iterator {
    int n_dims, n_reduced;
    int64_t shape[OOL_MAX_DIMS];
    int64_t out[OOL_MAX_DIMS], in[OOL_MAX_DIMS]; /* strides in bytes */
};

static int compare(const struct iterator *it, int dim0, int dim1)
{
    if ((it->out[dim0] == 0) != (it->out[dim1] == 0))
        return it->out[dim1] == 0 ? 1 : -1;
    for (int i = 0; i < 2; i++) {
        const int64_t *strides = i == 0 ? it->out : it->in;

        if (strides[dim0] == 0 || strides[dim1] == 0)
            continue;
        if (strides[dim0] != strides[dim1])
            return strides[dim0] < strides[dim1] ? -1 : 1;
        if (it->shape[dim0] > it->shape[dim1])
            return 1;
    }
    return 0;
}

static void sort_dims(struct iterator *it)
{
    struct iterator sorted = *it;
    int perm[OOL_MAX_DIMS];

    for (int i = 0; i < it->n_dims; i++)
        perm[i] = it->n_dims - 1 - i;
    for (int i = 1; i < it->n_dims; i++) {
        int dim1 = i;

        for (int dim0 = i - 1; dim0 >= 0; dim0--) {
            int comparison = compare(it, perm[dim0], perm[dim1]);

            if (comparison > 0) {
                int swap = perm[dim0];

                perm[dim0] = perm[dim1];
                perm[dim1] = swap;
                dim1 = dim0;
            } else if (comparison < 0) {
                break;
            }
        }
    }
    for (int i = 0; i < it->n_dims; i++) {
        sorted.shape[i] = it->shape[perm[i]];
        sorted.out[i] = it->out[perm[i]];
        sorted.in[i] = it->in[perm[i]];
    }
    *it = sorted;
}

static void copy_dim(struct iterator *it, int to, int from)
{
    it->out[to] = it->out[from];
    it->in[to] = it->in[from];
}

static void merge_dims(struct iterator *it)
{
    int last = 0;

    for (int dim = 1; dim < it->n_dims; dim++) {
        int64_t size = it->shape[last];

        if (size == 1 || it->shape[dim] == 1 ||
            (size * it->out[last] == it->out[dim] && size * it->in[last] == it->in[dim])) {
            if (size == 1)
                copy_dim(it, last, dim);
            it->shape[last] *= it->shape[dim];
        } else if (++last != dim) {
            copy_dim(it, last, dim);
            it->shape[last] = it->shape[dim];
        }
    }
    if (it->n_dims > 1)
        it->n_dims = last + 1;
    it->n_reduced = 0;
    for (int dim = 0; dim < it->n_dims; dim++)
        it->n_reduced += it->out[dim] == 0;
}

static struct iterator iterator_of(const struct ool_tensor *x, uint32_t dims, uint32_t out_bytes)
{
    struct iterator it = {.n_dims = x->n_dims};
    int64_t step = out_bytes;

    for (int i = x->n_dims; i-- > 0;) {
        it.shape[i] = x->shape[i];
        it.in[i] = x->strides[i] * (int64_t)ool_dtype_bytes((enum ool_dtype)x->dtype);
        if ((dims & (1u << i)) != 0)
            continue;
        it.out[i] = step;
        step *= x->shape[i] > 1 ? x->shape[i] : 1;
    }
    sort_dims(&it);
    merge_dims(&it);
    return it;
}

static int64_t last_pow2(int64_t n)
{
    int64_t power = 1;

    while (power <= n / 2)
        power *= 2;
    return power;
}

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* How many outputs one thread can load at once. */
static int64_t output_vector(const struct iterator *it, const struct ool_tensor *x)
{
    int64_t bytes = (int64_t)ool_dtype_bytes((enum ool_dtype)x->dtype), vector = 4;

    while (x->offset % vector != 0)
        vector /= 2;
    while (it->shape[it->n_reduced] % vector != 0)
        vector /= 2;
    for (int i = 0; i < it->n_dims; i++) {
        while (i != it->n_reduced && (it->in[i] / bytes) % vector != 0)
            vector /= 2;
    }
    return vector;
}

static void configure(const struct ool_tape *t, const struct iterator *it,
                      const struct ool_tensor *x, const struct ool_reduce_kernel *kernel,
                      struct ool_reduce_scratch *scratch)
{
    int64_t outputs = 1, inputs = 1, dim0, dim1, vector = 1, bw, bh, width, height, most, values,
            grid;
    int64_t step_input = 1, step_output, target, ctas;
    int64_t element = (int64_t)ool_dtype_bytes((enum ool_dtype)x->dtype), fastest = element;
    bool fast = true, across_warps;

    for (int i = 0; i < it->n_dims; i++)
        *(i < it->n_reduced ? &inputs : &outputs) *= it->shape[i];
    if (it->n_dims > 0) {
        fast = it->n_reduced == it->n_dims || it->in[0] < it->in[it->n_reduced];
        fastest = it->in[fast ? 0 : it->n_reduced];
    }
    dim0 = fast ? inputs : outputs;
    dim1 = fast ? outputs : inputs;
    if (fastest == element && it->n_dims > 0) {
        if (fast && dim0 > 128 && it->n_dims == 1 && kernel->vt0 >= kernel->input_vector)
            dim0 /= kernel->input_vector;
        else if (!fast)
            dim0 /= vector = output_vector(it, x);
    }
    most = 512 / vector;
    width = dim0 < most ? last_pow2(dim0) : most;
    height = dim1 < most ? last_pow2(dim1) : most;
    bw = at_most(width, 32);
    bh = at_most(height, most / bw);
    bw = at_most(width, most / bh);
    if (fast)
        step_input = bw;
    step_output = fast ? 1 : bw;
    values = div_up(inputs, step_input);
    across_warps = values >= at_most(bh * 16, 256);
    if (across_warps)
        step_input *= bh;
    else
        step_output *= bh;
    target = (int64_t)t->multiprocessors * (t->threads_per_multiprocessor / (bw * bh));
    grid = div_up(outputs / vector, step_output);
    values = div_up(inputs, step_input);
    *scratch = (struct ool_reduce_scratch){0};
    if (!across_warps || values < 256 || grid > target || grid == 0)
        return;
    ctas = at_most(div_up(target, grid), div_up(values, 16));
    if (ctas < div_up(values, 256))
        ctas = div_up(values, 256);
    if (ctas <= 1)
        return;
    scratch->staging = (uint64_t)kernel->element_bytes * (uint64_t)outputs * (uint64_t)ctas;
    if (!fast)
        scratch->staging *= (uint64_t)(bw * vector);
    scratch->semaphores = 4 * (uint64_t)grid;
}

/* --- tensors too large for 32-bit indices are reduced in halves -------------------------------------- */

static bool fits_32_bits(const struct iterator *it)
{
    int64_t numel = 1, out = 1, in = 1;

    for (int i = 0; i < it->n_dims; i++) {
        numel *= it->shape[i];
        out += (it->shape[i] - 1) * it->out[i];
        in += (it->shape[i] - 1) * it->in[i];
    }
    return numel <= INT32_MAX && out <= INT32_MAX && in <= INT32_MAX;
}

static void emit(struct ool_tape *t, const struct iterator *it, const struct ool_tensor *x,
                 const struct ool_reduce_kernel *kernel)
{
    struct ool_reduce_scratch scratch;

    if (!fits_32_bits(it)) {
        int64_t most = -1;
        int dim = 0;
        struct iterator half = *it;

        for (int i = it->n_dims - 1; i >= 0; i--) {
            int64_t out = (it->shape[i] - 1) * it->out[i], in = (it->shape[i] - 1) * it->in[i];
            int64_t extent = out > in ? out : in;

            if (it->shape[i] > 0 && extent > most) {
                most = extent;
                dim = i;
            }
        }
        if (it->shape[dim] < 2)
            return;
        half.shape[dim] = it->shape[dim] / 2;
        emit(t, &half, x, kernel);
        half.shape[dim] = it->shape[dim] - it->shape[dim] / 2;
        emit(t, &half, x, kernel);
        return;
    }
    configure(t, it, x, kernel, &scratch);
    if (scratch.staging > 0) {
        uint32_t staging = ool_scratch(t, scratch.staging);
        uint32_t semaphores = ool_scratch(t, scratch.semaphores);

        ool_scratch_free(t, semaphores);
        ool_scratch_free(t, staging);
    }
}

void ool_reduce_emit(struct ool_tape *t, const struct ool_tensor *x, uint32_t dims,
                     uint32_t out_bytes, const struct ool_reduce_kernel *kernel)
{
    struct iterator it;
    uint32_t buffer = OOL_NONE;

    if (t->failed || x->place != OOL_PLACE_DEVICE || ool_numel(x) == 0)
        return;
    it = iterator_of(x, dims, out_bytes);
    if (kernel->own_buffer && !fits_32_bits(&it)) {
        int64_t elements = out_bytes;

        for (int i = 0; i < it.n_dims; i++) {
            if (it.shape[i] * it.out[i] > elements)
                elements = it.shape[i] * it.out[i];
        }
        buffer = ool_scratch(t, (uint64_t)elements / out_bytes * kernel->element_bytes);
    }
    emit(t, &it, x, kernel);
    ool_scratch_free(t, buffer);
}

void ool_tape_reduction_scratch(struct ool_tape *t, const struct ool_tensor *x, uint32_t dims,
                                enum ool_dtype out, enum ool_dtype accumulate)
{
    bool narrow = x != NULL && x->dtype == out && (out == OOL_F16 || out == OOL_BF16);
    struct ool_reduce_kernel kernel = {.element_bytes = ool_dtype_bytes(accumulate),
                                       .vt0 = 4,
                                       .input_vector = 4,
                                       .own_buffer = narrow};

    if (x != NULL)
        ool_reduce_emit(t, x, dims, ool_dtype_bytes(out), &kernel);
}
