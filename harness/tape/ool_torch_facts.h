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

struct ool_torch_facts {
    enum ool_torch torch;
    enum ool_workspace_life cublas, cublaslt;
    bool cublaslt_limited;    /* cublasLt never asks for more than cuBLAS has */
    bool cublaslt_zero_fails; /* CUBLASLT_WORKSPACE_SIZE=0 is a run-time error */
    bool has_rms_norm, fused_rms_norm;
    bool full_slice_nodes;  /* a plain `:` in a subscript makes a SliceBackward */
    bool flash_rng_state;   /* flash attention's forward makes 16 + 8 B */
    bool flash_rounds_head; /* rounds head dimensions above 128 to 64, not to 32 */
    bool flash_two_blocks;  /* counts two blocks a multiprocessor when it splits over the keys */
    bool efficient_seed;    /* efficient attention makes 8 + 8 B before its output */
    bool safe_softmax;      /* math attention uses _safe_softmax and 32-bit copies */
    bool has_gqa, efficient_gqa;
};

/* NULL if the release is not known. */
const struct ool_torch_facts *ool_torch_facts_of(enum ool_torch torch);

#endif
