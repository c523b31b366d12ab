/*
 * ool_loop.h - what runs around the model: the usual loops and the switches that change them.
 */
#ifndef OOL_LOOP_H
#define OOL_LOOP_H

#include "ool_module.h"

/* LoRA adapters on every linear whose attribute is a target; the rest is frozen (ool_lora.c). */
void ool_net_adapt(struct ool_net *net);
/* requires_grad_(False) as workload->frozen_blocks says (ool_lora.c). */
void ool_net_freeze(struct ool_net *net);
/* cpu_offload: the buffers go to the device at once, the weights wait on the host (ool_offload.c).
 */
void ool_net_offload(struct ool_net *net);

/* Training and inference: input, forward, backward, clip, step, zero_grad (ool_train.c). */
void ool_loop_train(struct ool_net *net);
/* Gives back the host memory of what lives on after training. The tape has ended. */
void ool_loop_close(struct ool_net *net);
/* Prefill and decoding with or without a cache (ool_generate.c). */
void ool_loop_generate(struct ool_net *net);

#endif
