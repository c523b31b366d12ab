/*
 * ool_text.h - a growing text with a hard maximum, and numbers as people read them.
 *
 * A text that failed once (memory, or more than its maximum) stays failed and empty: append as much
 * as is needed, then look once.
 */
#ifndef OOL_TEXT_H
#define OOL_TEXT_H

#include "ool_error.h"

#include <stdbool.h>
#include <stdint.h>

struct ool_text {
    char *data; /* NUL-terminated once anything was appended; NULL before */
    size_t length, capacity, maximum;
    bool failed;
};

void ool_text_init(struct ool_text *text, size_t maximum);
void ool_text_fini(struct ool_text *text);
void ool_text_clear(struct ool_text *text); /* keeps the memory */
void ool_text_add(struct ool_text *text, const char *data, size_t length);
void ool_text_puts(struct ool_text *text, const char *string);
void ool_text_printf(struct ool_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The text, "" if nothing was appended; borrowed until the next change. */
const char *ool_text_data(const struct ool_text *text);

#define OOL_SIZE_TEXT 32

/* Bytes with a binary unit and one decimal, "21.4 GiB"; below 1 KiB "512 B". Returns @out. */
char *ool_size_print(uint64_t bytes, char out[OOL_SIZE_TEXT]);

/**
 * ool_size_parse - read a size such as "1536", "512MiB", "1.5GiB" or "80GiB"
 *
 * @text:  NUL-terminated, borrowed, not NULL
 * @bytes: receives the size in bytes; left untouched on error
 *
 * Units:  binary suffixes only (B, KiB, MiB, GiB, TiB), a fraction only if it is whole bytes; "GB" is
 *         refused, since tools read it two ways, 7 % apart.
 * Errors: OOL_E_SIZE (bad text), OOL_E_OVERFLOW (more than UINT64_MAX).
 * Source: IEC 80000-13 for KiB, MiB, GiB.
 */
enum ool_status ool_size_parse(const char *text, uint64_t *bytes, struct ool_error *err);

#endif
