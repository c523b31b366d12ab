/*
 * ool_snippet_calls.h - a line of the table that maps Python's calls to the tape's.
 *
 * A line's @paths are the names of a call, separated by blanks; "F." stands for
 * torch.nn.functional, "Tensor." and the like for a method, whose first argument is its object. Its
 * @signature are the parameters: `x` must be given, `dim?` may be missing or None (NULL), `~eps`
 * may be given and has no effect on memory, `*size` takes all further positional arguments as a
 * tuple, or the one that is a tuple or list. Whatever else is given is refused.
 */
#ifndef OOL_SNIPPET_CALLS_H
#define OOL_SNIPPET_CALLS_H

#include "ool_snippet_value.h"

#define OOL_CALL_ARGUMENTS 32

struct ool_call {
    struct ool_snippet *s;
    struct ool_tape *t;
    const char *path;
    int variant;                               /* of the line */
    struct ool_value *arg[OOL_CALL_ARGUMENTS]; /* borrowed; NULL = missing or None */
};

struct ool_call_line {
    const char *paths, *signature;
    struct ool_value *(*call)(struct ool_call *c);
    int variant;
};

/* Each ends with a line without paths. */
extern const struct ool_call_line ool_tensor_calls[];
extern const struct ool_call_line ool_layer_calls[];
extern const struct ool_call_line ool_module_calls[];
extern const struct ool_call_line ool_object_calls[];

/* The i-th argument as what it must be; a failure of the snippet otherwise. */
struct ool_tensor *ool_arg_tensor(struct ool_call *c, int i);
struct ool_tensor *ool_arg_tensor_or_none(struct ool_call *c, int i);
int64_t ool_arg_int(struct ool_call *c, int i, int64_t otherwise);
double ool_arg_number(struct ool_call *c, int i, double otherwise);
bool ool_arg_bool(struct ool_call *c, int i, bool otherwise);
const char *ool_arg_text(struct ool_call *c, int i, const char *otherwise);
enum ool_dtype ool_arg_dtype(struct ool_call *c, int i, enum ool_dtype otherwise);
bool ool_arg_on_card(struct ool_call *c, int i, bool otherwise);
int ool_arg_dim(struct ool_call *c, int i, int otherwise);
/* Whole numbers of a tuple, list or a single one; returns how many, at most @most. */
int ool_arg_ints(struct ool_call *c, int i, int64_t *out, int most);
/* Tensors of a list, tuple, generator or a single one: a list of its own, for the caller to drop. */
struct ool_value *ool_arg_tensors(struct ool_call *c, int i);
/* Floating tensors as a tuple. */
struct ool_value *ool_call_tuple(struct ool_call *c, struct ool_tensor **parts, int n);
struct ool_value *ool_call_refuse(struct ool_call *c, const char *what);

#endif
