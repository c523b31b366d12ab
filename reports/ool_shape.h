/*
 * ool_shape.h - a timeline and what is alive at its peak, as a few lines of text.
 */
#ifndef OOL_SHAPE_H
#define OOL_SHAPE_H

#include "ool_results.h"

/* The module path, or what stands for none. */
const char *ool_shape_origin(const char *origin);

/* A line of blocks for allocated and one for reserved bytes, scaled to the card or to the peak. */
void ool_shape_timeline(const struct ool_record *record, struct ool_text *out);
/* A line for each of the largest, "  1.2 GiB  activation  layers.3/attn/scores". */
void ool_shape_alive(const struct ool_record *record, struct ool_text *out);
/* Peaks, needs, failure: "key=value" lines. */
void ool_shape_numbers(const struct ool_record *record, struct ool_text *out);

#endif
