/*
 * ool_hf.h - what the families in the formulation of Hugging Face transformers (5.23) share.
 *
 * A function here or in ool_hf_*.c stands for one Python function; its variables are that
 * function's local variables, dropped at its end in the order in which Python drops them:
 * arguments that it assigned to, then locals by their first appearance.
 */
#ifndef OOL_HF_H
#define OOL_HF_H

#include "ool_module.h"

/* --- building --------------------------------------------------------------------------------- */

/* Modules under the root are made with `deferred` set and allocated by ool_net_materialize(). */
struct ool_module *ool_hf_list_add(struct ool_net *net, struct ool_module *parent, const char *name,
                                   int64_t index, enum ool_role role);
/* A norm without bias (RMSNorm), one weight of `size`. */
struct ool_module *ool_hf_rms_norm_add(struct ool_net *net, struct ool_module *parent,
                                       const char *name, int64_t size);
/* Fails the tape if @heads does not divide @hidden. */
void ool_hf_check_heads(struct ool_net *net, int64_t hidden, int64_t heads);
/* Of learned positions: refuses a sequence that is longer than their table. */
void ool_hf_check_positions(struct ool_net *net, const struct ool_model *m);
void ool_hf_default(int64_t *field, int64_t value);

/* --- inputs of the blocks --------------------------------------------------------------------- */

/* nn.Embedding with padding_idx; with checkpoints the result requires a gradient even where the
 * weight is frozen (enable_input_require_grads). */
struct ool_tensor *ool_hf_embedding_call(struct ool_net *net, struct ool_module *embedding,
                                         struct ool_tensor *ids, bool padding);
/* The first position of a call with what is in the cache: a number, or a tensor of a static cache.
 */
struct ool_hf_past {
    int64_t length;            /* tokens; with a tensor as far as it is known here */
    struct ool_tensor *tensor; /* of an initialized static cache, borrowed; NULL = length counts */
};
struct ool_hf_past ool_hf_past_of(const struct ool_kv *cache);
/* (arange(n) + past).unsqueeze(0) */
struct ool_tensor *ool_hf_positions(struct ool_net *net, int64_t n, struct ool_hf_past past);
/* create_causal_mask(): NULL where attention can go without. @positions NULL = not passed; with
 * them and no cache the search for packed sequences runs. */
struct ool_tensor *ool_hf_causal_mask(struct ool_net *net, struct ool_tensor *embeds,
                                      const struct ool_kv *cache, struct ool_tensor *positions);

/* A linear's result as (b, heads, s, head_dim). */
struct ool_tensor *ool_hf_heads(struct ool_net *net, struct ool_module *linear,
                                struct ool_tensor *x, int64_t head_dim);

/* --- attention -------------------------------------------------------------------------------- */

enum ool_hf_softmax {
    OOL_HF_SOFTMAX,          /* softmax(x, dim) */
    OOL_HF_SOFTMAX_AS_VALUE, /* ... .type(value.dtype) */
    OOL_HF_SOFTMAX_F32       /* softmax(x, dim, dtype=float32).to(query.dtype) */
};
struct ool_hf_attention {
    enum ool_hf_softmax softmax;
    int64_t groups; /* query heads per key head */
    bool causal;    /* module.is_causal */
    double dropout; /* already 0 outside training */
    struct ool_tensor *mask, *bias;
};
/* The attention interface of the model (sdpa or eager) over (b, heads, s, d), held by the caller.
 * The result is (b, s, heads, d), contiguous; the variable *weights gets the weights, NULL
 * under sdpa. */
struct ool_tensor *ool_hf_attend(struct ool_net *net, struct ool_tensor *q, struct ool_tensor *k,
                                 struct ool_tensor *v, const struct ool_hf_attention *args,
                                 struct ool_tensor **weights);
/* A whole attention module without a cache: query, key and value of @x (b, s, hidden), the interface,
 * and @o over its result, NULL = none. */
struct ool_hf_projections {
    struct ool_module *q, *k, *v, *o;
};
struct ool_tensor *ool_hf_self_attention(struct ool_net *net, const struct ool_hf_projections *p,
                                         struct ool_tensor *x, const struct ool_hf_attention *args,
                                         struct ool_tensor **weights);
/* past_key_values.update(): *k and *v become the cached ones. */
void ool_hf_cache_update(struct ool_net *net, struct ool_kv *cache, int64_t layer,
                         struct ool_tensor **k, struct ool_tensor **v);
void ool_hf_cache_open(struct ool_net *net, struct ool_kv *cache);
/* A dynamic cache that a call makes for itself (use_cache); emptied by ool_hf_cache_keep(). */
struct ool_kv *ool_hf_cache_add(struct ool_net *net, int64_t n_layers);
/* The cache that the blocks of a call write to: the one it brings, else @own if it wants any; none
 * under checkpoints, which would write twice. */
struct ool_kv *ool_hf_cache_of(const struct ool_net *net, const struct ool_call *call,
                               struct ool_kv *own);
/* The cache of this call's own becomes a part of what the output keeps. */
void ool_hf_cache_keep(struct ool_net *net, struct ool_output *out, struct ool_kv *cache);

/* --- activations, head and loss --------------------------------------------------------------- */

/* ACT2FN of the configured GELU; the family's own one where none is configured. */
struct ool_tensor *ool_hf_gelu(struct ool_net *net, struct ool_tensor *x, int own);
/* hidden[:, -n:, :]; n = 0 keeps all */
struct ool_tensor *ool_hf_slice_logits(struct ool_net *net, struct ool_tensor *hidden, int64_t n);
/* The end of a ...ForCausalLM: logits, shifted loss, what the output object keeps. @hidden: the
 * trunk's output, floating or held. */
void ool_hf_causal_head(struct ool_net *net, struct ool_module *head, struct ool_tensor *hidden,
                        const struct ool_call *call, struct ool_kv *own_cache,
                        struct ool_output *out);
/* loss and logits become the output's; takes over both. @loss NULL = none */
void ool_hf_output(struct ool_net *net, struct ool_output *out, struct ool_tensor *loss,
                   struct ool_tensor *logits);

/* --- the families ----------------------------------------------------------------------------- */

extern const struct ool_family_ops ool_hf_gpt, ool_hf_llama, ool_hf_qwen2, ool_hf_bert, ool_hf_vit,
    ool_hf_opt, ool_hf_t5, ool_hf_t5_encoder, ool_hf_clip_text, ool_hf_whisper;

#endif
