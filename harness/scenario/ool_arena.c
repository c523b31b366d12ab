#include "ool_reader.h"

#include "ool_mem.h"

#include <stdalign.h>
#include <string.h>

#define CHUNK 16384

struct chunk {
    struct chunk *next;
    size_t used, size;
    alignas(max_align_t) unsigned char data[];
};

struct ool_scenario_memory {
    struct chunk *chunks;
};

struct ool_scenario_memory *ool_scenario_memory_open(void)
{
    return ool_calloc(1, sizeof(struct ool_scenario_memory));
}

void ool_scenario_memory_close(struct ool_scenario_memory *memory)
{
    if (memory == NULL)
        return;
    while (memory->chunks != NULL) {
        struct chunk *next = memory->chunks->next;
        ool_free(memory->chunks);
        memory->chunks = next;
    }
    ool_free(memory);
}

void *ool_arena(struct ool_scenario_memory *memory, size_t count, size_t size)
{
    const size_t align = alignof(max_align_t);
    struct chunk *chunk = memory->chunks;
    size_t bytes;
    void *result;

    if (size != 0 && count > (SIZE_MAX / 4) / size)
        return NULL;
    bytes = (count * size + align - 1) / align * align;
    if (chunk == NULL || chunk->size - chunk->used < bytes) {
        size_t room = bytes > CHUNK ? bytes : CHUNK;
        chunk = ool_calloc(1, sizeof *chunk + room);
        if (chunk == NULL)
            return NULL;
        chunk->size = room;
        chunk->next = memory->chunks;
        memory->chunks = chunk;
    }
    result = chunk->data + chunk->used;
    chunk->used += bytes;
    return result;
}

char *ool_arena_text(struct ool_scenario_memory *memory, const char *text, size_t length)
{
    char *copy = ool_arena(memory, length + 1, 1);

    if (copy != NULL)
        memcpy(copy, text, length);
    return copy;
}
