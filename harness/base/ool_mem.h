/*
 * ool_mem.h - host memory: the only road to malloc, so that tests can make any call fail.
 *
 * Owner:  the caller frees with ool_free(). ool_free(NULL) is legal.
 * Errors: NULL when memory is short or when an armed fault hits; nothing is printed.
 * Threads: the functions are safe from any thread; arming is for single-threaded tests.
 */
#ifndef OOL_MEM_H
#define OOL_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *ool_malloc(size_t size);               /* size 0 gives a unique pointer */
void *ool_calloc(size_t count, size_t size); /* zeroed; NULL if the product overflows */
void *ool_realloc(void *ptr, size_t size);
void *ool_reallocarray(void *ptr, size_t count, size_t size); /* NULL if the product overflows */
char *ool_strdup(const char *text);
char *ool_strndup(const char *text, size_t length);
void ool_free(void *ptr);

/**
 * ool_grow - make room for one more element in a growing array
 *
 * @array: the address of the array's pointer; may point to NULL
 * @capacity: elements that the array has room for; updated
 * @count: elements in use; on return count < capacity
 * @size: bytes of one element
 *
 * Doubles, so n appends cost O(n). False leaves everything as it was.
 */
bool ool_grow(void *array, size_t *capacity, size_t count, size_t size);

/*
 * Fault injection. ool_fault_arm(n, false) lets n allocations succeed and fails the next one only;
 * with `persistent` every later one fails too. Counts start anew. ool_fault_disarm() ends it and
 * returns how many allocations failed. ool_live_blocks() counts what was allocated
 * here and not yet freed, in this whole process.
 */
void ool_fault_arm(uint64_t after, bool persistent);
uint64_t ool_fault_disarm(void);
uint64_t ool_live_blocks(void);

#endif
