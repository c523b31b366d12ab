#include "ool_mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool armed;
static atomic_bool persistent_fault;
static atomic_ullong countdown;
static atomic_ullong failed;
static atomic_ullong live_blocks;

/* A breakpoint for debugging injected faults; does nothing. */
static void fault_hit(void)
{
    atomic_fetch_add(&failed, 1);
}

static bool fault_now(void)
{
    if (!atomic_load_explicit(&armed, memory_order_relaxed))
        return false;
    if (atomic_load(&countdown) > 0) {
        atomic_fetch_sub(&countdown, 1);
        return false;
    }
    if (!atomic_load(&persistent_fault) && atomic_load(&failed) > 0)
        return false;
    fault_hit();
    return true;
}

void *ool_malloc(size_t size)
{
    void *ptr;

    if (fault_now())
        return NULL;
    ptr = malloc(size != 0 ? size : 1);
    if (ptr != NULL)
        atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    return ptr;
}

void *ool_calloc(size_t count, size_t size)
{
    void *ptr;

    if (fault_now())
        return NULL;
    if (count == 0 || size == 0)
        count = size = 1;
    ptr = calloc(count, size);
    if (ptr != NULL)
        atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    return ptr;
}

void *ool_realloc(void *ptr, size_t size)
{
    if (ptr == NULL)
        return ool_malloc(size);
    if (fault_now())
        return NULL;
    return realloc(ptr, size != 0 ? size : 1);
}

void *ool_reallocarray(void *ptr, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    return ool_realloc(ptr, count * size);
}

char *ool_strndup(const char *text, size_t length)
{
    char *copy = ool_malloc(length + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *ool_strdup(const char *text)
{
    return ool_strndup(text, strlen(text));
}

void ool_free(void *ptr)
{
    if (ptr == NULL)
        return;
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    free(ptr);
}

bool ool_grow(void *array, size_t *capacity, size_t count, size_t size)
{
    void **slot = array;
    size_t wanted;
    void *bigger;

    if (count < *capacity)
        return true;
    if (*capacity > SIZE_MAX / 2)
        return false;
    wanted = *capacity < 8 ? 8 : *capacity * 2;
    bigger = ool_reallocarray(*slot, wanted, size);
    if (bigger == NULL)
        return false;
    *slot = bigger;
    *capacity = wanted;
    return true;
}

void ool_fault_arm(uint64_t after, bool persistent)
{
    atomic_store(&countdown, after);
    atomic_store(&failed, 0);
    atomic_store(&persistent_fault, persistent);
    atomic_store(&armed, true);
}

uint64_t ool_fault_disarm(void)
{
    atomic_store(&armed, false);
    return atomic_load(&failed);
}

uint64_t ool_live_blocks(void)
{
    return atomic_load(&live_blocks);
}
