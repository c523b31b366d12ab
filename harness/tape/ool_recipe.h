/*
 * ool_recipe.h - what a piece of Python allocates and frees, as a short text.
 *
 * An optimizer's arithmetic makes nothing but temporaries. A recipe lists them as the interpreter
 * would make and drop them, so that a formula of ten operators is one line. Variables are the letters
 * a to z; each holds a list of tensors, one per parameter (a loop over parameters runs the recipe
 * with one parameter at a time). Blanks separate nothing and are skipped.
 *
 *     v=T  a new list in v, made in order; then what v held before dies, last tensor first
 *     v=0  what v held dies                  -v   the same, for `del v`
 *     v<w  v takes over w's tensors, what v held dies; w is empty then
 *     v+w  v gets w's tensors at its end; w is empty then
 *     v|w  v takes over the last tensor of w (a loop variable that outlives its list)
 *     {..} for each parameter in turn; T is one tensor there
 *
 * Types T: P like the parameter, C two of them, b and l the same shape of bool and int64;
 *          s and d scalars on the device of f32 and f64, t one of bool, p one of the parameter's type,
 *          o the same, but nothing for a parameter that is no scalar itself.
 */
#ifndef OOL_RECIPE_H
#define OOL_RECIPE_H

#include "ool_tape_internal.h"

#include <stddef.h>

struct ool_recipe_list {
    struct ool_tensor **items; /* owned references */
    size_t n, capacity;
};

/* The local variables of one call; zero it before the first use. */
struct ool_recipe_locals {
    struct ool_recipe_list lists[26];
};

/* Runs @recipe over @params. Failures are the tape's. */
void ool_recipe_run(struct ool_tape *t, struct ool_recipe_locals *locals, const char *recipe,
                    struct ool_tensor *const *params, size_t n);
/* Frees the arrays; what is still held is forgotten, so drop it in the recipe. */
void ool_recipe_fini(struct ool_recipe_locals *locals);

#endif
