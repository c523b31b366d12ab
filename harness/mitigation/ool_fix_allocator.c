#include "ool_fix.h"

#include <stdio.h>
#include <string.h>

/*
 * Mechanism: expandable segments map pages into one address range for each stream and pool, so a
 * hole can grow instead of waiting for a block that fits; max_split_size keeps large blocks whole;
 * garbage_collection_threshold frees old cached blocks before the card is full. All three cure
 * fragmentation (reserved far above allocated), none a lack of capacity. Source: PyTorch
 * c10/cuda/CUDACachingAllocator.cpp.
 */
static enum ool_status set(struct ool_case *c, const char *name, const char *option,
                           const char *value, struct ool_error *err)
{
    if (c->allocator.kind != NULL && strcmp(c->allocator.kind, "torch") != 0)
        return ool_fix_refuse(err, name, "only the torch allocator has this setting");
    return ool_fix_conf(c, option, value, err);
}

static enum ool_status apply_expandable(struct ool_case *c, const char *value,
                                        struct ool_error *err)
{
    (void)value;
    return set(c, "expandable-segments", "expandable_segments", "True", err);
}

static enum ool_status apply_split(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    int64_t mib;
    char text[32];

    /* PyTorch refuses values that are not above its large buffer of 20 MiB. */
    status = ool_fix_number("max-split-size", value, 21, 128, &mib, err);
    if (status != OOL_OK)
        return status;
    snprintf(text, sizeof(text), "%lld", (long long)mib);
    return set(c, "max-split-size", "max_split_size_mb", text, err);
}

static enum ool_status apply_gc(struct ool_case *c, const char *value, struct ool_error *err)
{
    enum ool_status status;
    int64_t percent;
    char text[32];

    status = ool_fix_number("gc-threshold", value, 1, 80, &percent, err);
    if (status != OOL_OK)
        return status;
    snprintf(text, sizeof(text), "0.%02lld", (long long)percent);
    return set(c, "gc-threshold", "garbage_collection_threshold", text, err);
}

const struct ool_mitigation ool_fix_expandable_segments = {
    .name = "expandable-segments",
    .aliases = "expandable_segments",
    .summary = "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True",
    .mechanism = "segments grow page by page: cures fragmentation, not a lack of capacity",
    .value = NULL,
    .group = "",
    .apply = apply_expandable,
    .price = NULL,
};

const struct ool_mitigation ool_fix_max_split_size = {
    .name = "max-split-size",
    .aliases = "max_split_size_mb",
    .summary = "PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:N",
    .mechanism = "blocks above the limit are not split, so large holes stay whole",
    .value = "MiB, above 20; 128 if left out",
    .least = 21,
    .group = "",
    .apply = apply_split,
    .price = NULL,
};

const struct ool_mitigation ool_fix_garbage_collection = {
    .name = "gc-threshold",
    .aliases = "garbage_collection_threshold",
    .summary = "PYTORCH_CUDA_ALLOC_CONF=garbage_collection_threshold:0.N",
    .mechanism =
        "old cached blocks are freed once the process holds more than this share of the card",
    .value = "percent; 80 if left out",
    .least = 1,
    .most = 99,
    .group = "",
    .apply = apply_gc,
    .price = NULL,
};
