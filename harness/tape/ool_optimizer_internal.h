/*
 * ool_optimizer_internal.h - shared by the files of the optimizers and the scaler.
 */
#ifndef OOL_OPTIMIZER_INTERNAL_H
#define OOL_OPTIMIZER_INTERNAL_H

#include "ool_recipe.h"
#include "ool_text.h"

#define OOL_OPTIMIZER_STATES 5

/* A parameter and what the optimizer keeps for it. A step counter on the host has no tensor. */
struct ool_slot {
    struct ool_tensor *param;
    struct ool_tensor *states[OOL_OPTIMIZER_STATES]; /* in the order of their making */
    uint32_t n_states;
    uint32_t steps;
};

struct ool_optimizer {
    struct ool_optimizer_config
        config; /* completed: weight_decay and implementation are definite */
    struct ool_slot *slots;
    size_t n_slots;
    /* Temporaries of a step, see ool_recipe.h: over all parameters of a type (foreach) or over each
     * parameter (loop). `before` ends where SGD makes its momentum buffers. */
    struct ool_text before, body, end;
    struct ool_text rectified; /* RAdam's loop: body once its variance is tractable */
    struct ool_recipe_locals locals;
    struct ool_tensor **params; /* scratch of a step: those with a gradient, one type at a time */
};

/* Fill @optimizer's recipes for its configuration. */
void ool_optimizer_foreach(const struct ool_tape *t, struct ool_optimizer *optimizer);
void ool_optimizer_loop(const struct ool_tape *t, struct ool_optimizer *optimizer);
/* The types of the gradients that a step finds, as ool_group_dtypes(); uses optimizer->params. */
size_t ool_optimizer_groups(const struct ool_tape *t, struct ool_optimizer *optimizer,
                            enum ool_dtype *dtypes);
/* Adafactor reduces and multiplies, so it is code of its own. */
void ool_adafactor_states(struct ool_tape *t, struct ool_slot *slot);
void ool_adafactor_loop(struct ool_tape *t, struct ool_optimizer *optimizer);
void ool_adafactor_foreach(struct ool_tape *t, struct ool_optimizer *optimizer);

/* A state of @slot from a floating @x (taken over). */
void ool_slot_keep(struct ool_tape *t, struct ool_slot *slot, struct ool_tensor *x);
/* optimizer.step() with the scaler's tensors attached */
void ool_optimizer_run(struct ool_tape *t, struct ool_optimizer *optimizer);

/* torch.linalg.vector_norm(x, dim=dims, keepdim), no gradient; dims is a bit mask. */
struct ool_tensor *ool_vector_norm(struct ool_tape *t, struct ool_tensor *x, uint32_t dims,
                                   bool keepdim);
uint32_t ool_every_dim(const struct ool_tensor *x);

/*
 * The types of @tensors (NULL ones do not count), in the order in which grouping by device and type
 * yields them: the last one met comes first (each new key goes to the head of the hash table's list);
 * 2.2 yields them in the order in which they are met.
 * Returns how many; @dtypes has room for OOL_N_DTYPES.
 */
size_t ool_group_dtypes(const struct ool_tape *t, struct ool_tensor *const *tensors, size_t n,
                        enum ool_dtype *dtypes);

#endif
