/*
 * ool_locate.h - where each key and value of a JSON text stands.
 *
 * jansson gives values without positions. This reads the same text once, checks its grammar and its
 * limits with exact positions, and numbers the values in the order of the text: a value's children
 * follow it. Everything is linear in the text.
 */
#ifndef OOL_LOCATE_H
#define OOL_LOCATE_H

#include "ool_error.h"
#include "ool_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OOL_LAYOUT_DEPTH 64
#define OOL_LAYOUT_BYTES ((size_t)16 << 20)
#define OOL_LAYOUT_VALUES 1000000

struct ool_layout_node {
    uint32_t parent, next;    /* next: the following child of the same parent; OOL_NO_NODE = none */
    uint32_t key, key_length; /* bytes of the member's key with its quotes; length 0 = no key */
    uint32_t start, length;   /* bytes of the value */
    uint32_t index;           /* of an array's element */
    uint32_t line;            /* of the value, from 1 */
    uint32_t first;           /* first child; OOL_NO_NODE = none */
};
#define OOL_NO_NODE UINT32_MAX

struct ool_layout {
    const char *text; /* borrowed */
    size_t length;
    struct ool_layout_node *nodes; /* node 0 is the whole document */
    size_t n_nodes, capacity;
};

/**
 * ool_layout_build - the layout of a text, or its first error
 *
 * @text: borrowed while the layout lives
 * Errors: OOL_E_JSON, OOL_E_LIMIT (both with offset and length), OOL_E_HOST_OOM.
 */
enum ool_status ool_layout_build(const char *text, size_t length, struct ool_layout *layout,
                                 struct ool_error *err);
void ool_layout_fini(struct ool_layout *layout);

/* The JSON pointer of a node, cut if it does not fit. */
void ool_layout_pointer(const struct ool_layout *layout, uint32_t node, char *out, size_t size);
/* A member's key without quotes and escapes, appended to @out. */
void ool_layout_key(const struct ool_layout *layout, uint32_t node, struct ool_text *out);
/* Calls @found for each key that stands a second time in its object. False = host memory is short. */
bool ool_layout_duplicates(const struct ool_layout *layout,
                           void (*found)(void *state, uint32_t node, uint32_t first), void *state);

#endif
