/*
 * ool_torch_release.h - what differs between the releases of PyTorch that are reproduced.
 *
 * Each was held against recordings; a release between two of them is refused, since the change lies
 * somewhere in between.
 */
#ifndef OOL_TORCH_RELEASE_H
#define OOL_TORCH_RELEASE_H

#include "ool_error.h"

#include <stdbool.h>

enum ool_torch_advice {
    OOL_ADVICE_OLD,      /* ... environment-variables) */
    OOL_ADVICE_OPTIMIZE, /* ... optimizing-memory-usage-with-pytorch-cuda-alloc-conf) */
    OOL_ADVICE_RESERVE   /* the same, but another one while expandable segments are on */
};

struct ool_torch_release {
    const char *name; /* "2.11" */

    /* Sizes and settings */
    bool one_division_keeps_size; /* divisions = 1: a size is not rounded at all */
    bool new_settings;            /* the settings parser of 2.9 and later */
    bool list_zero;               /* a roundup list may hold 0 */
    bool divisions_spelt;         /* "divisions", not "divisons" */
    bool unclosed_list_refused;   /* by a text; before, the parser ran past the end */
    bool non_split_rounding;      /* knows max_non_split_rounding_mb */
    bool background_threads;      /* knows pinned_use_background_threads */
    bool pinned_limits;   /* knows throw_on_cudamalloc_oom and three options of pinned memory */
    bool segment_reserve; /* knows expandable_segments_reserve and its list form */
    /* Lines of the internal assertions that a malformed string hits. */
    struct ool_torch_lines {
        int token, index, bracket; /* AllocatorConfig.h */
        int list;                  /* AllocatorConfig.cpp */
        int backend;               /* CUDAAllocatorConfig.cpp */
    } lines;

    /* Policy */
    int release_block_line; /* of the assertion that an expandable block hits; 0 = it is skipped */
    bool whole_fraction_clears;    /* a memory fraction of 1.0 is no limit */
    bool fraction_rounds;          /* to the nearest byte; otherwise down */
    bool oldest_segment_first;     /* breaks ties of size; otherwise the lowest address */
    bool pools_without_expandable; /* private pools are always served by cudaMalloc */
    bool pools_like_captures;      /* a MemPool under way forbids what a capture forbids */
    bool short_range_given_back;   /* a fresh range smaller than the request */

    /* The message */
    bool private_pools_told, allowed_told;
    enum ool_torch_advice advice;

    /* backend:cudaMallocAsync */
    bool async_oom_told; /* how much was asked for, and of what */
    bool async_trims;    /* the pool before it gives up */
};

/**
 * ool_torch_release_find - the release that a version names
 *
 * @version: "2.11" or with a patch level, "2.11.0"; NULL = the default, 2.11
 * Errors: OOL_E_UNSUPPORTED; the text lists the releases there are.
 */
enum ool_status ool_torch_release_find(const char *version,
                                       const struct ool_torch_release **release,
                                       struct ool_error *err);

#endif
