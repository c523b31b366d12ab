/*
 * ool_problems.h - collecting what is wrong with a text; how the reader fills a struct ool_problems.
 */
#ifndef OOL_PROBLEMS_H
#define OOL_PROBLEMS_H

#include "ool_scenario.h"

#define OOL_MAX_PROBLEMS 1000

/* Keeps a copy unless an equal one (place and text) is there. False = host memory is short. */
bool ool_problems_add(struct ool_problems *problems, const struct ool_error *error);
/* Sorts by place and fills line and column from the offsets. */
void ool_problems_settle(struct ool_problems *problems, const char *text, size_t length);
/* The smallest number of edits (also of swapped neighbours) from @a to @b; a large number beyond @most. */
size_t ool_edit_distance(const char *a, const char *b, size_t most);

/* The nearest of some words: offer each, then look at best (NULL = none is near). */
struct ool_nearest {
    const char *wanted, *best;
    size_t distance;
};
void ool_nearest_offer(struct ool_nearest *nearest, const char *word);

#endif
