#include "ool_torch_facts.h"

#include <stddef.h>

static const struct ool_torch_facts table[] = {
    {.torch = OOL_TORCH_2_2, .cublaslt = OOL_WORKSPACE_CALL, .full_slice_nodes = true},
    {.torch = OOL_TORCH_2_4,
     .cublaslt = OOL_WORKSPACE_CALL,
     .cublaslt_zero_fails = true,
     .has_rms_norm = true,
     .full_slice_nodes = true},
    {.torch = OOL_TORCH_2_6,
     .cublaslt = OOL_WORKSPACE_CALL,
     .has_rms_norm = true,
     .full_slice_nodes = true,
     .flash_two_blocks = true,
     .safe_softmax = true,
     .has_gqa = true},
    {.torch = OOL_TORCH_2_8,
     .cublaslt = OOL_WORKSPACE_CALL,
     .has_rms_norm = true,
     .full_slice_nodes = true,
     .flash_rng_state = true,
     .flash_two_blocks = true,
     .safe_softmax = true,
     .has_gqa = true},
    {.torch = OOL_TORCH_2_11,
     .cublaslt_limited = true,
     .has_rms_norm = true,
     .fused_rms_norm = true,
     .flash_rng_state = true,
     .flash_rounds_head = true,
     .flash_two_blocks = true,
     .safe_softmax = true,
     .has_gqa = true},
    {.torch = OOL_TORCH_2_13,
     .cublaslt = OOL_WORKSPACE_SHARED,
     .cublaslt_limited = true,
     .has_rms_norm = true,
     .fused_rms_norm = true,
     .flash_rng_state = true,
     .flash_rounds_head = true,
     .flash_two_blocks = true,
     .safe_softmax = true,
     .has_gqa = true},
    {.torch = OOL_TORCH_2_15,
     .cublas = OOL_WORKSPACE_CALL,
     .cublaslt = OOL_WORKSPACE_CALL,
     .has_rms_norm = true,
     .fused_rms_norm = true,
     .flash_rng_state = true,
     .flash_rounds_head = true,
     .flash_two_blocks = true,
     .efficient_seed = true,
     .safe_softmax = true,
     .has_gqa = true,
     .efficient_gqa = true},
};

const struct ool_torch_facts *ool_torch_facts_of(enum ool_torch torch)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].torch == torch)
            return &table[i];
    }
    return NULL;
}
