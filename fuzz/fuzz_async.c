/*
 * fuzz_async.c - any bytes are settings of a memory pool or a clean error; and a pool that took them
 * serves any sequence of requests, with books that agree with the card's.
 *
 * Up to the first NUL: the settings. Each byte after it is a request, a free or a stream's progress.
 */
#include "ool_allocator.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define N_LIVE 8
#define CARD (UINT64_C(320) << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void step(struct ool_allocator *allocator, struct ool_block *live, uint8_t byte)
{
    static const uint64_t sizes[] = {1, 4000, 3 << 20, 33554432, 33554433, 70 << 20};
    struct ool_block *block = &live[byte % N_LIVE];
    uint32_t stream = byte / N_LIVE % 3;
    uint8_t what = (uint8_t)(byte / (N_LIVE * 3)); /* 0 to 10 */

    if (what < 6 && block->handle == NULL) {
        if (ool_allocator_alloc(allocator, sizes[what], stream, block, NULL) != OOL_OK)
            block->handle = NULL;
    } else if (what < 6) {
        ool_allocator_free(allocator, block);
        block->handle = NULL;
    } else if (what == 6) {
        ool_allocator_record_stream(allocator, block, stream);
    } else if (what == 7) {
        ool_allocator_stream_busy(allocator, stream);
    } else if (what == 8) {
        ool_allocator_stream_step(allocator, stream, byte % N_LIVE);
    } else if (what == 9) {
        ool_allocator_stream_idle(allocator, stream);
    } else {
        ool_allocator_synchronize(allocator);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ool_sim_config card = {.total_bytes = CARD};
    struct ool_allocator_config config = {.kind = "async"};
    struct ool_block live[N_LIVE] = {{0}};
    struct ool_allocator *allocator;
    struct ool_device *dev;
    char *text;

    if (size == 0 || size > 10000 || ool_sim_open(&card, &dev, NULL) != OOL_OK)
        return 0;
    text = malloc(size + 1);
    if (text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    config.conf = text;
    if (ool_allocator_open(&config, dev, &allocator, NULL) == OOL_OK) {
        uint64_t used, reserved, free_bytes, total;
        for (size_t i = strlen(text); i < size; i++)
            step(allocator, live, data[i]);
        ool_allocator_totals(allocator, &used, &reserved);
        dev->ops->info(dev, &free_bytes, &total);
        assert(used <= reserved && reserved + free_bytes == CARD);
        ool_allocator_close(allocator);
    }
    free(text);
    dev->ops->close(dev);
    return 0;
}
