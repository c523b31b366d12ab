/*
 * ool_describe.h - the table of keys, printed.
 */
#ifndef OOL_DESCRIBE_H
#define OOL_DESCRIBE_H

#include "ool_reader.h"

/* By the name of an object ("workload", "optimizer") or of an operation ("alloc"); NULL = unknown. */
const struct ool_keys *ool_keys_named(const char *name);
void ool_keys_describe(const struct ool_keys *keys, struct ool_text *out);
json_t *ool_keys_json(const struct ool_keys *keys); /* NULL = host memory is short */

#endif
