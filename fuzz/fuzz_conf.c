/*
 * fuzz_conf.c - any bytes are a settings string or a clean error, in every release; and an allocator
 * that took them still allocates and frees.
 *
 * The first byte chooses the release and whether the string comes at start or later.
 */
#include "ool_allocator.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct ool_allocator *allocator)
{
    static const uint64_t sizes[] = {1, 600, 5000, 1 << 20, 3 << 20, 12345678, 60 << 20};
    struct ool_block blocks[sizeof sizes / sizeof *sizes];
    size_t n = sizeof sizes / sizeof *sizes;

    for (size_t i = 0; i < n; i++) {
        if (ool_allocator_alloc(allocator, sizes[i], i % 2, &blocks[i], NULL) != OOL_OK)
            blocks[i].handle = NULL;
    }
    for (size_t i = 0; i < n; i++)
        ool_allocator_free(allocator, &blocks[i]);
    ool_allocator_empty_cache(allocator);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const versions[] = {"2.2", "2.4", "2.6", "2.8", "2.11", "2.13", "2.15"};
    struct ool_sim_config card = {.total_bytes = UINT64_C(100) << 20};
    struct ool_allocator_config config = {.kind = "torch"};
    struct ool_allocator *allocator = NULL;
    struct ool_device *dev;
    char *text;

    if (size == 0 || ool_sim_open(&card, &dev, NULL) != OOL_OK)
        return 0;
    text = malloc(size);
    if (text != NULL) {
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        config.version = versions[data[0] / 2 % 7];
        config.conf = data[0] % 2 == 0 ? text : "";
        if (ool_allocator_open(&config, dev, &allocator, NULL) == OOL_OK) {
            use(allocator);
            (void)ool_allocator_set_conf(allocator, text, NULL);
            use(allocator);
        }
        ool_allocator_close(allocator);
    }
    free(text);
    dev->ops->close(dev);
    return 0;
}
