/*
 * ool_fix.h - what the files of the mitigations share. Not for other stages.
 */
#ifndef OOL_FIX_H
#define OOL_FIX_H

#include "ool_mitigation.h"

#include <stddef.h>
#include <stdint.h>

/* The workload of job @i; NULL for a job of explicit operations. */
struct ool_workload *ool_fix_workload(const struct ool_case *c, size_t i);

/* OOL_E_COMBINATION with the reason, for a mitigation that makes no sense for the case. */
enum ool_status ool_fix_refuse(struct ool_error *err, const char *name, const char *why);

/* The value as a whole number of at least @least; an empty one gives @fallback (refused if that is
 * below @least). */
enum ool_status ool_fix_number(const char *name, const char *value, int64_t least, int64_t fallback,
                               int64_t *number, struct ool_error *err);

/* The value as one of @words (NULL-terminated); an empty one is the first. *@index says which. */
enum ool_status ool_fix_word(const char *name, const char *value, const char *const *words,
                             size_t *index, struct ool_error *err);

/* Adds "option:value" to the case's settings string, in place of an earlier value of that option.
 */
enum ool_status ool_fix_conf(struct ool_case *c, const char *option, const char *value,
                             struct ool_error *err);

/* Bytes that the case moves between host and card, the whole run. */
uint64_t ool_fix_moved(const struct ool_case *c);

/* The share of the training work that is forward: one part of three, since backward costs two. */
#define OOL_FORWARD_SHARE (1.0 / 3.0)

extern const struct ool_mitigation ool_fix_smaller_batch, ool_fix_accumulation,
    ool_fix_shorter_sequence;
extern const struct ool_mitigation ool_fix_amp, ool_fix_half_weights;
extern const struct ool_mitigation ool_fix_checkpointing, ool_fix_chunked_loss,
    ool_fix_offload_activations;
extern const struct ool_mitigation ool_fix_sdpa, ool_fix_flash_attention;
extern const struct ool_mitigation ool_fix_no_grad, ool_fix_inference_mode;
extern const struct ool_mitigation ool_fix_zero_grad, ool_fix_optimizer, ool_fix_foreach_off,
    ool_fix_fused, ool_fix_optimizer_in_backward;
extern const struct ool_mitigation ool_fix_lora, ool_fix_freeze, ool_fix_offload_weights;
extern const struct ool_mitigation ool_fix_empty_cache, ool_fix_collect_garbage,
    ool_fix_expandable_segments, ool_fix_max_split_size, ool_fix_garbage_collection;
extern const struct ool_mitigation ool_fix_detach, ool_fix_del_outputs, ool_fix_unload,
    ool_fix_static_cache;

#endif
