/*
 * ool_torch_conf_new.c - the settings parser of PyTorch 2.9 and later.
 *
 * It is two parsers that each pass over the whole string: one for the options of every accelerator,
 * one for CUDA's. At start CUDA's comes first, at run time last; that decides which of two errors
 * shows. PyTorch ignores some wrong separators; here they are refused.
 */
#include "ool_torch_conf_parse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool value_error(struct ool_torch_parser *parser, const char *text)
{
    return ool_torch_fault(parser, "ValueError", "%s", text);
}

static bool assertion(struct ool_torch_parser *parser, const char *condition, const char *file,
                      int line, const char *text)
{
    return ool_torch_fault(
        parser, "RuntimeError",
        "%s INTERNAL ASSERT FAILED at \"%s\":%d, please report a bug to PyTorch. "
        "%s",
        condition, file, line, text);
}

static bool check_index(struct ool_torch_parser *parser, size_t i, int line)
{
    if (i < parser->n_tokens)
        return true;
    return assertion(parser, "i < config_.size()", "c10/core/AllocatorConfig.h", line,
                     "Index out of bounds in ConfigTokenizer");
}

static bool check_token(struct ool_torch_parser *parser, size_t i, const char *token)
{
    if (!check_index(parser, i, parser->release->lines.index))
        return false;
    if (ool_torch_token_is(parser, i, token))
        return true;
    return ool_torch_fault(parser, "ValueError",
                           "Error parsing the allocator settings: expected '%s' but got '%.80s'",
                           token, parser->tokens[i]);
}

/* From the key to its value. */
static bool to_value(struct ool_torch_parser *parser, size_t *i)
{
    return check_token(parser, ++*i, ":") &&
           check_index(parser, ++*i, parser->release->lines.index);
}

static bool to_size(struct ool_torch_parser *parser, size_t i, uint64_t *value)
{
    int found;

    if (!check_index(parser, i, parser->release->lines.index))
        return false;
    found = ool_torch_stoull(parser->tokens[i], value);
    return found == 1 ||
           ool_torch_fault(parser, found == 0 ? "ValueError" : "IndexError", "stoull");
}

static bool parse_size(struct ool_torch_parser *parser, size_t *i, uint64_t *value)
{
    return to_value(parser, i) && to_size(parser, *i, value);
}

static bool parse_double(struct ool_torch_parser *parser, size_t *i, double *value)
{
    int found;

    if (!to_value(parser, i))
        return false;
    found = ool_torch_stod(parser->tokens[*i], value);
    return found == 1 || ool_torch_fault(parser, found == 0 ? "ValueError" : "IndexError", "stod");
}

static bool parse_bool(struct ool_torch_parser *parser, size_t *i, bool *value)
{
    if (!to_value(parser, i))
        return false;
    *value = ool_torch_token_is(parser, *i, "True");
    if (*value || ool_torch_token_is(parser, *i, "False"))
        return true;
    return ool_torch_fault(parser, "ValueError",
                           "Expected 'True' or 'False' at index %zu in ConfigTokenizer but got "
                           "'%.160s'",
                           *i, parser->tokens[*i]);
}

static bool parse_checked_bool(struct ool_torch_parser *parser, size_t *i)
{
    bool value;

    return parse_bool(parser, i, &value);
}

/* Past a value or a list that the other parser reads. */
static bool skip_value(struct ool_torch_parser *parser, size_t *i)
{
    if (!to_value(parser, i))
        return false;
    if (!ool_torch_token_is(parser, *i, "["))
        return true;
    while (++*i < parser->n_tokens) {
        if (ool_torch_token_is(parser, *i, "]"))
            return true;
    }
    return assertion(parser, "i < config_.size()", "c10/core/AllocatorConfig.h",
                     parser->release->lines.bracket,
                     "Expected closing bracket ']' in ConfigTokenizer but reached end of config");
}

/* ---- options of every accelerator ---- */

static bool parse_large_segment(struct ool_torch_parser *parser, size_t *i)
{
    uint64_t mib = 0;

    if (!parse_size(parser, i, &mib))
        return false;
    if (mib <= 10)
        return value_error(parser, "CachingAllocator option large_segment_size_mb must be > 10 MB");
    parser->conf->large_segment_size = ool_torch_mib(mib);
    return true;
}

static bool parse_mib(struct ool_torch_parser *parser, size_t *i, const char *key, uint64_t *bytes)
{
    uint64_t mib = 0, least = parser->conf->large_segment_size / OOL_TORCH_MIB;

    if (!parse_size(parser, i, &mib))
        return false;
    if (mib < least)
        return ool_torch_fault(parser, "ValueError",
                               "CachingAllocator option %s too small, must be >= %llu", key,
                               (unsigned long long)least);
    *bytes = ool_torch_mib(mib);
    return true;
}

static bool parse_threshold(struct ool_torch_parser *parser, size_t *i)
{
    double value = 0;

    if (!parse_double(parser, i, &value))
        return false;
    if (!(value > 0 && value < 1))
        return value_error(parser, "garbage_collect_threshold is invalid, set it in (0.0, 1.0)");
    parser->conf->gc_threshold = value;
    return true;
}

static bool set_pair(struct ool_torch_parser *parser, struct ool_torch_roundup_list *list,
                     size_t key, uint64_t divisions)
{
    uint64_t mib = 0;

    if (divisions != 0 && !ool_torch_power_of_two(divisions))
        return value_error(parser, "For roundups, the divisions has to be power of 2 or 0 to "
                                   "disable roundup ");
    if (ool_torch_token_is(parser, key, ">")) {
        for (size_t k = list->last + 1; k < OOL_TORCH_DIVISIONS; k++)
            parser->conf->divisions[k] = divisions;
        return true;
    }
    if (!to_size(parser, key, &mib))
        return false;
    if (!ool_torch_power_of_two(mib))
        return value_error(parser, "For roundups, the intervals have to be power of 2 ");
    ool_torch_roundup_set(parser->conf, list, mib, divisions);
    return true;
}

/* From the opening bracket to the closing one. */
static bool parse_roundup_list(struct ool_torch_parser *parser, size_t *i)
{
    const struct ool_torch_lines *lines = &parser->release->lines;
    struct ool_torch_roundup_list list = {false, 0};
    uint64_t divisions = 0;

    while (++*i < parser->n_tokens && !ool_torch_token_is(parser, *i, "]")) {
        size_t key = *i;
        if (!parse_size(parser, i, &divisions) || !set_pair(parser, &list, key, divisions) ||
            !check_index(parser, *i + 1, lines->token))
            return false;
        if (!ool_torch_token_is(parser, *i + 1, "]") && !check_token(parser, ++*i, ","))
            return false;
    }
    if (*i < parser->n_tokens)
        return true;
    return assertion(parser, "i < tokenizer.size()", "c10/core/AllocatorConfig.cpp", lines->list,
                     "Expected closing bracket ']' in ConfigTokenizer but reached end of config");
}

static bool parse_roundup(struct ool_torch_parser *parser, size_t *i)
{
    uint64_t divisions = 0;

    if (!check_token(parser, ++*i, ":") || !check_index(parser, ++*i, parser->release->lines.token))
        return false;
    if (ool_torch_token_is(parser, *i, "["))
        return parse_roundup_list(parser, i);
    if (!to_size(parser, *i, &divisions))
        return false;
    if (!ool_torch_power_of_two(divisions))
        return value_error(parser, "For roundups, the divisions has to be power of 2 ");
    for (size_t k = 0; k < OOL_TORCH_DIVISIONS; k++)
        parser->conf->divisions[k] = divisions;
    return true;
}

/* ---- options of CUDA ---- */

static bool parse_threads(struct ool_torch_parser *parser, size_t *i)
{
    uint64_t n = 0;

    if (!parse_size(parser, i, &n))
        return false;
    if (!ool_torch_power_of_two(n))
        return ool_torch_fault(parser, "ValueError",
                               "Number of register threads has to be power of 2, got %llu",
                               (unsigned long long)n);
    if (n > 128)
        return ool_torch_fault(
            parser, "ValueError",
            "Number of register threads should be less than or equal to 128, got %llu",
            (unsigned long long)n);
    return true;
}

static bool parse_reserve_segment(struct ool_torch_parser *parser, size_t *i)
{
    uint64_t mib = 0;

    if (!parse_size(parser, i, &mib))
        return false;
    return mib > 0 || value_error(parser, "Pinned reserve segment size has to be greater than 0");
}

static bool parse_checked_size(struct ool_torch_parser *parser, size_t *i)
{
    uint64_t mib = 0;

    return parse_size(parser, i, &mib);
}

static bool parse_fraction(struct ool_torch_parser *parser, size_t *i)
{
    double value = 0;

    if (!parse_double(parser, i, &value))
        return false;
    if (!(value >= 0 && value <= 1))
        return value_error(parser, "per_process_memory_fraction is invalid, set it in [0.0, 1.0]");
    parser->conf->fraction = value;
    return true;
}

static bool parse_backend(struct ool_torch_parser *parser, size_t *i)
{
    bool async;

    if (!check_token(parser, ++*i, ":") || !check_index(parser, ++*i, parser->release->lines.token))
        return false;
    async = ool_torch_token_is(parser, *i, "cudaMallocAsync");
    if (!async && !ool_torch_token_is(parser, *i, "native"))
        return value_error(parser,
                           "Unknown allocator backend, options are native and cudaMallocAsync");
    return async == parser->conf->async_backend ||
           assertion(parser, "tokenizer[i] == get()->name()", "c10/cuda/CUDAAllocatorConfig.cpp",
                     parser->release->lines.backend,
                     async ? "Allocator backend parsed at runtime != allocator backend "
                             "parsed at load time, cudaMallocAsync != native"
                           : "Allocator backend parsed at runtime != allocator backend "
                             "parsed at load time, native != cudaMallocAsync");
}

/* "0.5" of the card, or "40G" for GiB. PyTorch warns of a bad value and keeps what it had. */
static void set_reserve(struct ool_torch_conf *conf, const char *text)
{
    size_t length = strlen(text);
    bool gib = length > 0 && (text[length - 1] == 'G' || text[length - 1] == 'g');
    size_t digits = strspn(text, "0123456789.+-eE");
    double value;
    char *end;

    if (digits == 0 || digits != length - gib)
        return;
    value = strtod(text, &end);
    if (end != text + digits || !isfinite(value) || value <= 0)
        return;
    conf->has_reserve = true;
    conf->reserve_is_fraction = !gib;
    conf->reserve = value;
}

static bool parse_reserve(struct ool_torch_parser *parser, size_t *i)
{
    if (!check_token(parser, ++*i, ":") || !check_index(parser, ++*i, parser->release->lines.token))
        return false;
    set_reserve(parser->conf, parser->tokens[*i]);
    return true;
}

/* Only streams that the program has put into a class are concerned, and none can be here. */
static bool parse_reserve_by_class(struct ool_torch_parser *parser, size_t *i)
{
    const struct ool_torch_lines *lines = &parser->release->lines;

    if (!check_token(parser, ++*i, ":") || !check_token(parser, ++*i, "["))
        return false;
    for (;;) {
        if (!check_index(parser, *i + 1, lines->index))
            return false;
        if (ool_torch_token_is(parser, *i + 1, "]"))
            break;
        ++*i;
        if (!check_token(parser, ++*i, ":") || !check_index(parser, ++*i, lines->token) ||
            !check_index(parser, *i + 1, lines->index))
            return false;
        if (ool_torch_token_is(parser, *i + 1, ","))
            ++*i;
    }
    ++*i;
    return true;
}

/* ---- the two passes ---- */

enum owner { EVERY, CUDA };

typedef bool option_fn(struct ool_torch_parser *parser, size_t *i);

static bool parse_max_split(struct ool_torch_parser *parser, size_t *i)
{
    return parse_mib(parser, i, "max_split_size_mb", &parser->conf->max_split_size);
}

static bool parse_non_split(struct ool_torch_parser *parser, size_t *i)
{
    return parse_mib(parser, i, "max_non_split_rounding_mb", &parser->conf->max_non_split_rounding);
}

static bool parse_expandable(struct ool_torch_parser *parser, size_t *i)
{
    return parse_bool(parser, i, &parser->conf->expandable);
}

static bool parse_throw(struct ool_torch_parser *parser, size_t *i)
{
    return parse_bool(parser, i, &parser->conf->throw_on_oom);
}

/* In which releases an option is known. */
enum since { ALWAYS, LIMITS, RESERVE };

static const struct option {
    const char *key;
    enum owner owner;
    enum since since;
    option_fn *parse;
} options[] = {
    {"large_segment_size_mb", EVERY, ALWAYS, skip_value}, /* see below */
    {"max_split_size_mb", EVERY, ALWAYS, parse_max_split},
    {"max_non_split_rounding_mb", EVERY, ALWAYS, parse_non_split},
    {"garbage_collection_threshold", EVERY, ALWAYS, parse_threshold},
    {"roundup_power2_divisions", EVERY, ALWAYS, parse_roundup},
    {"expandable_segments", EVERY, ALWAYS, parse_expandable},
    {"pinned_use_background_threads", EVERY, ALWAYS, parse_checked_bool},
    {"pinned_max_round_threshold_mb", EVERY, LIMITS, parse_checked_size},
    {"pinned_max_cached_size_mb", EVERY, LIMITS, parse_checked_size},
    {"backend", CUDA, ALWAYS, parse_backend},
    {"release_lock_on_cudamalloc", CUDA, ALWAYS, parse_checked_bool},
    {"release_lock_on_hipmalloc", CUDA, ALWAYS, parse_checked_bool},
    {"pinned_use_cuda_host_register", CUDA, ALWAYS, parse_checked_bool},
    {"pinned_use_hip_host_register", CUDA, ALWAYS, parse_checked_bool},
    {"pinned_num_register_threads", CUDA, ALWAYS, parse_threads},
    {"pinned_reserve_segment_size_mb", CUDA, ALWAYS, parse_reserve_segment},
    {"graph_capture_record_stream_reuse", CUDA, ALWAYS, parse_checked_bool},
    {"per_process_memory_fraction", CUDA, ALWAYS, parse_fraction},
    {"pinned_free_catch_all", CUDA, LIMITS, parse_checked_bool},
    {"throw_on_cudamalloc_oom", CUDA, LIMITS, parse_throw},
    {"expandable_segments_reserve", CUDA, RESERVE, parse_reserve},
    {"expandable_segments_reserve_by_class", CUDA, RESERVE, parse_reserve_by_class},
};

static const struct option *find_option(const struct ool_torch_parser *parser, const char *key)
{
    for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
        const struct option *option = &options[k];
        if (strcmp(option->key, key) == 0 &&
            (option->since != LIMITS || parser->release->pinned_limits) &&
            (option->since != RESERVE || parser->release->segment_reserve))
            return option;
    }
    return NULL;
}

static bool parse_pass(struct ool_torch_parser *parser, enum owner owner)
{
    for (size_t i = 0; i < parser->n_tokens; i++) {
        const char *key = parser->tokens[i];
        const struct option *option = find_option(parser, key);
        if (option == NULL)
            return ool_torch_fault(parser, "ValueError",
                                   "Unrecognized key '%.200s' in %s allocator config.", key,
                                   owner == CUDA ? "CUDA" : "Accelerator");
        if (!(option->owner == owner ? option->parse : skip_value)(parser, &i))
            return false;
        if (i + 1 < parser->n_tokens && !check_token(parser, ++i, ","))
            return false;
    }
    return true;
}

/* The large segment size is the least value of two other options, so it is read before them. */
static bool parse_every(struct ool_torch_parser *parser)
{
    for (size_t i = 0; i < parser->n_tokens; i++) {
        if (ool_torch_token_is(parser, i, "large_segment_size_mb") &&
            !parse_large_segment(parser, &i))
            return false;
    }
    parser->conf->max_non_split_rounding = parser->conf->large_segment_size;
    return parse_pass(parser, EVERY);
}

bool ool_torch_parse_new(struct ool_torch_parser *parser)
{
    if (parser->start)
        return parse_pass(parser, CUDA) && parse_every(parser);
    return parse_every(parser) && parse_pass(parser, CUDA);
}
