/*
 * ool_conform_calls.h - a device that notes what is asked of it and passes it on.
 */
#ifndef OOL_CONFORM_CALLS_H
#define OOL_CONFORM_CALLS_H

#include "ool_device.h"

#include <stddef.h>

/* One call, as the allocator traces write it: kind and up to three numbers.
 * M size segment, m size, F segment, R size segment, A segment, + and - segment offset length,
 * x pages-created page-size. */
struct ool_call {
    char kind;
    int n_values;
    uint64_t values[3];
};

struct ool_calls {
    struct ool_device base;
    struct ool_device *inner; /* borrowed */
    struct ool_call *calls;   /* since the last clear */
    size_t n_calls, calls_capacity;
    struct ool_call_range {
        uint64_t address, bytes;
    } * ranges; /* by address; the index is the segment's number */
    size_t n_ranges, ranges_capacity;
    bool failed; /* host memory was short */
};

/* @inner must give out addresses in ascending order, as the simulated card does. */
void ool_calls_init(struct ool_calls *calls, struct ool_device *inner);
void ool_calls_fini(struct ool_calls *calls);
void ool_calls_clear(struct ool_calls *calls);

#endif
