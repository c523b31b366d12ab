/*
 * ool_torch_conf.h - PYTORCH_CUDA_ALLOC_CONF, read as a release of PyTorch reads it.
 */
#ifndef OOL_TORCH_CONF_H
#define OOL_TORCH_CONF_H

#include "ool_torch_release.h"

#include <stdint.h>

#define OOL_TORCH_DIVISIONS 16
#define OOL_TORCH_LARGE_SEGMENT (UINT64_C(20) << 20)

/* The settings that decide something about device memory. Those of pinned host memory, the lock
 * around cudaMalloc and graph capture are checked as PyTorch checks them and decide nothing here. */
struct ool_torch_conf {
    uint64_t max_split_size; /* UINT64_MAX = unlimited */
    uint64_t max_non_split_rounding;
    uint64_t large_segment_size;
    uint64_t divisions[OOL_TORCH_DIVISIONS]; /* of [2^i MiB, 2^(i+1) MiB); 0 = off */
    bool rounds_up;                          /* some division is set */
    double gc_threshold;                     /* 0 = off */
    double fraction;                         /* per_process_memory_fraction */
    bool expandable, throw_on_oom;
    bool async_backend; /* chosen at start; the other settings decide nothing then */
    bool has_reserve, reserve_is_fraction; /* expandable_segments_reserve */
    double reserve;                        /* of the card, or GiB */
};

/* What Python would raise. */
struct ool_torch_fault {
    const char *type; /* "ValueError"; NULL = none */
    char text[320];
};

void ool_torch_conf_init(struct ool_torch_conf *conf);

/**
 * ool_torch_conf_parse - apply a settings string
 *
 * @start: true for the environment variable at start, false for a change at run time (they name
 *         unknown keys differently, and the backend can only be chosen at start)
 * @conf:  as it was before; what the string does not reset or set stays. After an error the settings
 *         before the culprit are applied, as in PyTorch.
 * Errors: OOL_E_CONF, with the framework's text in @err and its type beside it in @fault;
 *         OOL_E_HOST_OOM.
 */
enum ool_status ool_torch_conf_parse(struct ool_torch_conf *conf,
                                     const struct ool_torch_release *release, const char *text,
                                     bool start, struct ool_torch_fault *fault,
                                     struct ool_error *err);

#endif
