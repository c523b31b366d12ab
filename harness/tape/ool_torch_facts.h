/*
 * ool_torch_facts.h - in what the eager mode of PyTorch's releases differs, one row a release.
 */
#ifndef OOL_TORCH_FACTS_H
#define OOL_TORCH_FACTS_H

#include "ool_tape.h"

#include <stdbool.h>

/* How long a workspace lives. */
enum ool_workspace_life {
    OOL_WORKSPACE_KEPT,  /* one per thread and stream */
    OOL_WORKSPACE_CALL,  /* made after the output, freed at the end of the call */
    OOL_WORKSPACE_SHARED /* cublasLt uses the one of cuBLAS */
};

/* To what flash attention rounds a head dimension in its scratch. */
enum ool_flash_head {
    OOL_FLASH_HEAD_32,  /* multiples of 32 */
    OOL_FLASH_HEAD_256, /* the same up to 192, then 256 */
    OOL_FLASH_HEAD_64   /* the same up to 128, then multiples of 64 */
};

struct ool_torch_facts {
    enum ool_torch torch;
    enum ool_workspace_life cublas, cublaslt;
    bool cublaslt_limited;    /* cublasLt never asks for more than cuBLAS has */
    bool cublaslt_zero_fails; /* CUBLASLT_WORKSPACE_SIZE=0 is a run-time error */
    bool has_rms_norm, fused_rms_norm;
    bool full_slice_nodes; /* a plain `:` in a subscript makes a SliceBackward */
    enum ool_flash_head flash_head;
    bool flash_rng_state;  /* flash attention's forward makes 16 + 8 B */
    bool flash_two_blocks; /* counts two blocks a multiprocessor when it splits over the keys */
    bool efficient_seed;   /* efficient attention makes 8 + 8 B before its output */
    bool safe_softmax;     /* math attention uses _safe_softmax and 32-bit copies */
    bool has_gqa, efficient_gqa;
    bool rms_norm_upcasts;    /* the composed one works in 32 bits */
    bool rms_norm_casts_last; /* ... and multiplies with the weight before it casts back */
    bool lt_wants_dense;      /* cublasLt takes 16-bit matrices only without gaps */
    bool layer_norm_partials; /* weight gradients of very many rows are summed in two steps */
    bool linear_is_view;      /* a linear with bias of 3-D input returns a tracked view */
    bool group_norm_wide;     /* 16-bit inputs: statistics are made in 32 bits first */
    bool multinomial_aminmax; /* looks at minimum and maximum in one kernel */
    bool topk_pairs,
        topk_sums; /* topk's buffers: two values a row; sums of digits, no semaphores */
};

/* NULL if the release is not known. */
const struct ool_torch_facts *ool_torch_facts_of(enum ool_torch torch);

#endif
