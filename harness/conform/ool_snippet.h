/*
 * ool_snippet.h - runs short texts of Python on the tape, with Python's lifetimes.
 *
 * Recorded rows describe themselves by the text that was run: `out = F.linear(x, w, b)`. The subset
 * that such texts use is parsed (ool_snippet_parse.c), evaluated (ool_snippet_eval.c), and its calls
 * are mapped to tape calls by one table (ool_snippet_calls.c). A temporary dies when the expression
 * or the call that uses it is done, a rebound name drops its old value after the new one is there,
 * the locals of a function die when it returns: what the tape emits depends on it.
 *
 * Subset: assignment (tuples, attributes), augmented assignment, del, for, if, with, def, return,
 * import, pass; numbers, strings, tuples, lists, comprehensions, generators, lambda, calls with
 * keywords, subscripts, all operators. No classes, no exceptions, no while: every text ends.
 */
#ifndef OOL_SNIPPET_H
#define OOL_SNIPPET_H

#include "ool_error.h"
#include "ool_tape.h"

#include <stdbool.h>
#include <stddef.h>

struct ool_snippet; /* one process: its variables and what they hold */

/**
 * ool_snippet_open - a process without variables but `torch`, `nn` and `F`
 *
 * @t: borrowed; must outlive the snippet
 */
struct ool_snippet *ool_snippet_open(struct ool_tape *t, struct ool_error *err);
/* Forgets all; like the end of a process it is no event of the tape's program. NULL is fine. */
void ool_snippet_close(struct ool_snippet *s);

/* A variable that holds @tensor (shared, as ool_hold() does). */
enum ool_status ool_snippet_bind(struct ool_snippet *s, const char *name, struct ool_tensor *tensor,
                                 struct ool_error *err);

/**
 * ool_snippet_run - run statements
 *
 * Errors: OOL_E_UNSUPPORTED (text that is not in the subset, a call or an argument that the table
 *         does not know; the text says which), OOL_E_HOST_OOM, and what the tape reports. After an
 *         error the snippet can only be closed.
 */
enum ool_status ool_snippet_run(struct ool_snippet *s, const char *text, struct ool_error *err);
/* Enters the context manager that the expression @text makes; leave them in reverse order. */
enum ool_status ool_snippet_enter(struct ool_snippet *s, const char *text, struct ool_error *err);
enum ool_status ool_snippet_leave(struct ool_snippet *s, struct ool_error *err);

/* True if a text left an autocast region since this was asked last: the frees at that point have no
 * defined order in PyTorch. */
bool ool_snippet_left_autocast(struct ool_snippet *s);

/* The @index-th tensor of a variable that is one or a tuple or list of them; NULL if there is none. */
struct ool_tensor *ool_snippet_tensor(const struct ool_snippet *s, const char *name, size_t index);

/* Every tensor that a variable holds by itself, and the parameters of every module ("net.0.weight"),
 * in the order in which the variables were made. A false return ends it. */
typedef bool ool_snippet_visit(const char *name, struct ool_tensor *tensor, void *state);
enum ool_status ool_snippet_each(struct ool_snippet *s, ool_snippet_visit *visit, void *state,
                                 struct ool_error *err);

#endif
