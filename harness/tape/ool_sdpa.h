/*
 * ool_sdpa.h - shared by the files of scaled_dot_product_attention.
 */
#ifndef OOL_SDPA_H
#define OOL_SDPA_H

#include "ool_tape_internal.h"

/* [b, heads, s, d] seen as [b, s, heads, d], as the fused kernels want it; a floating view. */
struct ool_tensor *ool_sdpa_swapped(struct ool_tape *t, const struct ool_tensor *x);
/* The same of a tensor that was just made: takes the floating @x over. */
struct ool_tensor *ool_sdpa_swap(struct ool_tape *t, struct ool_tensor *x);

/* Each takes what ool_sdpa() takes, after autocast; inside a scope. */
struct ool_tensor *ool_sdpa_flash(struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                                  struct ool_tensor *v, const struct ool_sdpa_args *args);
struct ool_tensor *ool_sdpa_efficient(struct ool_tape *t, struct ool_tensor *q,
                                      struct ool_tensor *k, struct ool_tensor *v,
                                      const struct ool_sdpa_args *args);
struct ool_tensor *ool_sdpa_math(struct ool_tape *t, struct ool_tensor *q, struct ool_tensor *k,
                                 struct ool_tensor *v, const struct ool_sdpa_args *args);

/* The mask over all batches and heads, for the efficient form: one whose rows do not start at multiples
 * of 8 elements is copied into one with longer rows. NULL stays. */
struct ool_tensor *ool_sdpa_align(struct ool_tape *t, struct ool_tensor *mask,
                                  const struct ool_tensor *q, const struct ool_tensor *k);
/* A boolean mask as the additive one of @dtype; others unchanged. */
struct ool_tensor *ool_sdpa_additive(struct ool_tape *t, struct ool_tensor *mask,
                                     enum ool_dtype dtype);

#endif
