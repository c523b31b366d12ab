/*
 * ool_reduce_config.h - scratch of PyTorch's reduction kernel.
 */
#ifndef OOL_REDUCE_CONFIG_H
#define OOL_REDUCE_CONFIG_H

#include "ool_tape_internal.h"

struct ool_reduce_kernel {
    uint32_t element_bytes; /* of what a thread accumulates */
    int vt0, input_vector;  /* values a thread loads at once */
    bool own_buffer;        /* cannot accumulate in its output */
};

struct ool_reduce_scratch {
    uint64_t staging, semaphores; /* 0 = none */
};

/* Makes and frees what a reduction of @x over @dims (a bit mask) needs beside its output. */
void ool_reduce_emit(struct ool_tape *t, const struct ool_tensor *x, uint32_t dims,
                     uint32_t out_bytes, const struct ool_reduce_kernel *kernel);

#endif
