/*
 * ool_plain.h - what the plain families share: GPT's block, the forward pass as head(trunk(x)).
 */
#ifndef OOL_PLAIN_H
#define OOL_PLAIN_H

#include "ool_module.h"

/* Sets *dimension to @value if it is -1. */
void ool_plain_default(int64_t *dimension, int64_t value);
/* Dimensions are positive, heads divide the width; dropout's defaults. Fails the tape otherwise. */
void ool_plain_check(struct ool_net *net, struct ool_model *model, double dropout);
/* The sequence fits the positions. */
void ool_plain_check_positions(struct ool_net *net, const struct ool_model *model);

/* logits = head(trunk(x)); loss = cross_entropy(logits.view(-1, V), y.view(-1)) */
void ool_plain_forward(struct ool_net *net, const struct ool_call *call, struct ool_output *out);

/* x.view(b, s, heads, head_dim).transpose(1, 2) */
struct ool_tensor *ool_plain_split_heads(struct ool_tape *t, struct ool_tensor *x, int64_t heads,
                                         int64_t head_dim);
/* y.transpose(1, 2).contiguous().view(b, s, heads * head_dim) */
struct ool_tensor *ool_plain_join_heads(struct ool_tape *t, struct ool_tensor *y);

/* The activation module, in the form that model.gelu asks for. */
struct ool_tensor *ool_plain_gelu(struct ool_net *net, struct ool_tensor *x);

/* Pre-norm block with one fused qkv projection; GPT (causal) and ViT. */
struct ool_module *ool_gpt_block_add(struct ool_net *net, int64_t index, int64_t positions,
                                     bool causal);
struct ool_tensor *ool_gpt_block_forward(struct ool_net *net, struct ool_module *block,
                                         struct ool_tensor *const *inputs, int n);

#endif
