/*
 * ool_torch_conf_old.c - the settings parser of PyTorch 2.2 to 2.8.
 */
#include "ool_torch_conf_parse.h"

#include <string.h>

static bool fail(struct ool_torch_parser *parser, const char *text)
{
    return ool_torch_fault(parser, "RuntimeError", "%s", text);
}

static bool consume(struct ool_torch_parser *parser, size_t i, const char *separator)
{
    if (ool_torch_token_is(parser, i, separator))
        return true;
    return ool_torch_fault(parser, "RuntimeError",
                           "Error parsing CachingAllocator settings, expected %s", separator);
}

static bool to_int(struct ool_torch_parser *parser, size_t i, uint64_t *value)
{
    int n, found = ool_torch_stoi(parser->tokens[i], &n);

    *value = (uint64_t)(int64_t)n; /* negative numbers become huge, as there */
    return found == 1 || fail(parser, "stoi");
}

/* The colon and the value behind a key; *i moves from the key to the value. */
static bool value_of(struct ool_torch_parser *parser, size_t *i, const char *key)
{
    if (!consume(parser, ++*i, ":"))
        return false;
    if (++*i < parser->n_tokens)
        return true;
    return ool_torch_fault(parser, "RuntimeError", "Error, expecting %s value", key);
}

static bool parse_mib(struct ool_torch_parser *parser, size_t *i, const char *key, uint64_t *bytes)
{
    uint64_t n = 0, least = OOL_TORCH_LARGE_SEGMENT / OOL_TORCH_MIB;

    if (!value_of(parser, i, key) || !to_int(parser, *i, &n))
        return false;
    if (n <= least)
        return ool_torch_fault(parser, "RuntimeError",
                               "CachingAllocator option %s too small, must be > %d", key,
                               (int)least);
    *bytes = ool_torch_mib(n);
    return true;
}

static bool parse_threshold(struct ool_torch_parser *parser, size_t *i, const char *key)
{
    double value;

    if (!value_of(parser, i, key))
        return false;
    if (ool_torch_stod(parser->tokens[*i], &value) != 1)
        return fail(parser, "stod");
    if (!(value > 0))
        return fail(parser, "garbage_collect_threshold too small, set it 0.0~1.0");
    if (!(value < 1))
        return fail(parser, "garbage_collect_threshold too big, set it 0.0~1.0");
    parser->conf->gc_threshold = value;
    return true;
}

static const char *divisions_word(const struct ool_torch_parser *parser)
{
    return parser->release->divisions_spelt ? "divisions" : "divisons";
}

static bool refuse_divisions(struct ool_torch_parser *parser, bool in_list)
{
    return ool_torch_fault(parser, "RuntimeError", "For roundups, the %s has to be power of 2 %s",
                           divisions_word(parser),
                           in_list && parser->release->list_zero ? "or 0 to disable roundup " : "");
}

static bool set_pair(struct ool_torch_parser *parser, struct ool_torch_roundup_list *list,
                     const char *key, uint64_t divisions)
{
    uint64_t mib;

    if (!ool_torch_power_of_two(divisions) && !(divisions == 0 && parser->release->list_zero))
        return refuse_divisions(parser, true);
    if (strcmp(key, ">") == 0) {
        for (size_t i = list->last; i < OOL_TORCH_DIVISIONS; i++)
            parser->conf->divisions[i] = divisions; /* the last pair's entry, too */
        return true;
    }
    if (ool_torch_stoull(key, &mib) != 1)
        return fail(parser, "stoul");
    if (!ool_torch_power_of_two(mib))
        return fail(parser, "For roundups, the intervals have to be power of 2 ");
    ool_torch_roundup_set(parser->conf, list, mib, divisions);
    return true;
}

/* From the opening bracket to the closing one. */
static bool parse_list(struct ool_torch_parser *parser, size_t *i)
{
    struct ool_torch_roundup_list list = {false, 0};
    uint64_t divisions = 0;

    while (++*i < parser->n_tokens && !ool_torch_token_is(parser, *i, "]")) {
        const char *key = parser->tokens[*i];
        if (!consume(parser, ++*i, ":"))
            return false;
        if (++*i >= parser->n_tokens)
            return fail(parser, "Error parsing roundup_power2_divisions value");
        if (!to_int(parser, *i, &divisions) || !set_pair(parser, &list, key, divisions))
            return false;
        if (*i + 1 >= parser->n_tokens && !parser->release->unclosed_list_refused)
            return ool_torch_fault(parser, "crash", "reads past the end");
        if (!ool_torch_token_is(parser, *i + 1, "]") && !consume(parser, ++*i, ","))
            return false;
    }
    return true;
}

static bool parse_roundup(struct ool_torch_parser *parser, size_t *i, const char *key)
{
    uint64_t divisions = 0;

    if (!value_of(parser, i, key))
        return false;
    if (ool_torch_token_is(parser, *i, "["))
        return parse_list(parser, i);
    if (!to_int(parser, *i, &divisions))
        return false;
    if (!ool_torch_power_of_two(divisions))
        return refuse_divisions(parser, false);
    for (size_t k = 0; k < OOL_TORCH_DIVISIONS; k++)
        parser->conf->divisions[k] = divisions;
    return true;
}

/* @missing: how a string that ends behind the colon is refused; some options have a text for it. */
static bool parse_bool(struct ool_torch_parser *parser, size_t *i, const char *key, bool missing,
                       bool *value)
{
    if (missing ? !value_of(parser, i, key) : !consume(parser, ++*i, ":"))
        return false;
    if (!missing)
        ++*i;
    *value = ool_torch_token_is(parser, *i, "True");
    if (*value || ool_torch_token_is(parser, *i, "False"))
        return true;
    return ool_torch_fault(parser, "RuntimeError", "Expected a single True/False argument for %s",
                           key);
}

static bool parse_threads(struct ool_torch_parser *parser, size_t *i, const char *key)
{
    uint64_t n = 0;

    if (!value_of(parser, i, key) || !to_int(parser, *i, &n))
        return false;
    if (!ool_torch_power_of_two(n))
        return fail(parser, "Number of register threads has to be power of 2 ");
    if (n > 128)
        return fail(parser, "Number of register threads should be less than or equal to 128");
    return true;
}

static bool parse_backend(struct ool_torch_parser *parser, size_t *i)
{
    bool async;

    if (!consume(parser, ++*i, ":"))
        return false;
    if (++*i >= parser->n_tokens)
        return fail(parser, "Error parsing backend value");
    async = ool_torch_token_is(parser, *i, "cudaMallocAsync");
    if (!async && !ool_torch_token_is(parser, *i, "native"))
        return fail(parser, "Unknown allocator backend, options are native and cudaMallocAsync");
    if (async == parser->conf->async_backend)
        return true;
    return ool_torch_fault(parser, "RuntimeError",
                           "config[i] == get()->name() INTERNAL ASSERT FAILED at "
                           "\"c10/cuda/CUDAAllocatorConfig.cpp\":%d, please report a bug to "
                           "PyTorch. Allocator backend parsed at runtime != allocator backend "
                           "parsed at load time",
                           parser->release->lines.backend);
}

static bool parse_option(struct ool_torch_parser *parser, size_t *i)
{
    const struct ool_torch_release *release = parser->release;
    const char *key = parser->tokens[*i];
    struct ool_torch_conf *conf = parser->conf;
    bool checked_only;

    if (strcmp(key, "backend") == 0)
        return parse_backend(parser, i);
    if (strcmp(key, "max_split_size_mb") == 0)
        return parse_mib(parser, i, key, &conf->max_split_size);
    if (strcmp(key, "max_non_split_rounding_mb") == 0 && release->non_split_rounding)
        return parse_mib(parser, i, key, &conf->max_non_split_rounding);
    if (strcmp(key, "garbage_collection_threshold") == 0)
        return parse_threshold(parser, i, key);
    if (strcmp(key, "roundup_power2_divisions") == 0)
        return parse_roundup(parser, i, key);
    if (strcmp(key, "expandable_segments") == 0)
        return parse_bool(parser, i, key, false, &conf->expandable);
    if (strcmp(key, "release_lock_on_cudamalloc") == 0 ||
        strcmp(key, "release_lock_on_hipmalloc") == 0)
        return parse_bool(parser, i, "release_lock_on_cudamalloc", false, &checked_only);
    if (strcmp(key, "pinned_use_cuda_host_register") == 0 ||
        strcmp(key, "pinned_use_hip_host_register") == 0)
        return parse_bool(parser, i, "pinned_use_cuda_host_register", true, &checked_only);
    if (strcmp(key, "pinned_use_background_threads") == 0 && release->background_threads)
        return parse_bool(parser, i, key, true, &checked_only);
    if (strcmp(key, "pinned_num_register_threads") == 0)
        return parse_threads(parser, i, key);
    return ool_torch_fault(parser, "RuntimeError", "Unrecognized CachingAllocator option: %s", key);
}

bool ool_torch_parse_old(struct ool_torch_parser *parser)
{
    for (size_t i = 0; i < parser->n_tokens; i++) {
        if (!parse_option(parser, &i))
            return false;
        if (i + 1 < parser->n_tokens && !consume(parser, ++i, ","))
            return false;
    }
    return true;
}
