#include "ool_torch_release.h"

#include <ctype.h>
#include <string.h>

#define DEFAULT_VERSION "2.11"

static const struct ool_torch_release release_2_2 = {
    .name = "2.2",
    .pools_without_expandable = true,
    .pools_like_captures = true,
    .one_division_keeps_size = true,
    .lines = {.backend = 225},
    .release_block_line = 2525,
    .advice = OOL_ADVICE_OLD,
    .async_oom_told = true,
};

static const struct ool_torch_release release_2_4 = {
    .name = "2.4",
    .pools_without_expandable = true,
    .pools_like_captures = true,
    .list_zero = true,
    .lines = {.backend = 227},
    .release_block_line = 2586,
    .private_pools_told = true,
    .advice = OOL_ADVICE_OLD,
};

static const struct ool_torch_release release_2_6 = {
    .name = "2.6",
    .pools_like_captures = true,
    .list_zero = true,
    .non_split_rounding = true,
    .background_threads = true,
    .lines = {.backend = 250},
    .private_pools_told = true,
    .allowed_told = true,
    .advice = OOL_ADVICE_OLD,
};

static const struct ool_torch_release release_2_8 = {
    .name = "2.8",
    .pools_like_captures = true,
    .list_zero = true,
    .divisions_spelt = true,
    .unclosed_list_refused = true,
    .non_split_rounding = true,
    .background_threads = true,
    .lines = {.backend = 287},
    .private_pools_told = true,
    .allowed_told = true,
    .advice = OOL_ADVICE_OLD,
};

static const struct ool_torch_release release_2_11 = {
    .name = "2.11",
    .pools_like_captures = true,
    .new_settings = true,
    .lines = {.token = 55, .index = 124, .bracket = 115, .list = 185, .backend = 44},
    .whole_fraction_clears = true,
    .private_pools_told = true,
    .allowed_told = true,
    .advice = OOL_ADVICE_OPTIMIZE,
    .async_oom_told = true,
};

static const struct ool_torch_release release_2_13 = {
    .name = "2.13",
    .new_settings = true,
    .pinned_limits = true,
    .lines = {.token = 55, .index = 124, .bracket = 115, .list = 211, .backend = 44},
    .whole_fraction_clears = true,
    .fraction_rounds = true,
    .oldest_segment_first = true,
    .private_pools_told = true,
    .allowed_told = true,
    .advice = OOL_ADVICE_OPTIMIZE,
    .async_oom_told = true,
};

static const struct ool_torch_release release_2_15 = {
    .name = "2.15",
    .new_settings = true,
    .pinned_limits = true,
    .segment_reserve = true,
    .lines = {.token = 54, .index = 123, .bracket = 114, .list = 213, .backend = 64},
    .whole_fraction_clears = true,
    .fraction_rounds = true,
    .oldest_segment_first = true,
    .short_range_given_back = true,
    .private_pools_told = true,
    .allowed_told = true,
    .advice = OOL_ADVICE_RESERVE,
    .async_oom_told = true,
    .async_trims = true,
};

static const struct ool_torch_release *const releases[] = {
    &release_2_2,  &release_2_4,  &release_2_6, &release_2_8,
    &release_2_11, &release_2_13, &release_2_15};

/* "2.11" matches "2.11" and "2.11.0", not "2.1" and not "2.110". */
static bool matches(const char *version, const char *name)
{
    size_t length = strlen(name);

    if (strncmp(version, name, length) != 0)
        return false;
    version += length;
    if (*version == '\0')
        return true;
    if (*version++ != '.' || *version == '\0')
        return false;
    while (isdigit((unsigned char)*version))
        version++;
    return *version == '\0';
}

enum ool_status ool_torch_release_find(const char *version,
                                       const struct ool_torch_release **release,
                                       struct ool_error *err)
{
    if (version == NULL)
        version = DEFAULT_VERSION;
    for (size_t i = 0; i < sizeof releases / sizeof *releases; i++) {
        if (matches(version, releases[i]->name)) {
            *release = releases[i];
            return OOL_OK;
        }
    }
    return ool_error_set(
        err, OOL_E_UNSUPPORTED,
        "no recording of PyTorch %.20s: expected 2.2, 2.4, 2.6, 2.8, 2.11, 2.13 or "
        "2.15",
        version);
}
