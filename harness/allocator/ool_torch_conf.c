#include "ool_torch_conf_parse.h"

#include "ool_mem.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ool_torch_conf_init(struct ool_torch_conf *conf)
{
    memset(conf, 0, sizeof *conf);
    conf->max_split_size = UINT64_MAX;
    conf->large_segment_size = OOL_TORCH_LARGE_SEGMENT;
    conf->max_non_split_rounding = OOL_TORCH_LARGE_SEGMENT;
    conf->fraction = 1;
}

bool ool_torch_fault(struct ool_torch_parser *parser, const char *type, const char *format, ...)
{
    va_list args;

    parser->fault->type = type;
    va_start(args, format);
    vsnprintf(parser->fault->text, sizeof parser->fault->text, format, args);
    va_end(args);
    return false;
}

int ool_torch_stoi(const char *text, int *value)
{
    char *end;
    long n;

    errno = 0;
    *value = 0;
    n = strtol(text, &end, 10);
    if (end == text)
        return 0;
    if (errno == ERANGE || n < INT_MIN || n > INT_MAX)
        return -1;
    *value = (int)n;
    return 1;
}

int ool_torch_stoull(const char *text, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(text, &end, 10);
    if (end == text)
        return 0;
    return errno == ERANGE ? -1 : 1;
}

int ool_torch_stod(const char *text, double *value)
{
    char *end;

    errno = 0;
    *value = strtod(text, &end);
    if (end == text)
        return 0;
    return errno == ERANGE ? -1 : 1;
}

bool ool_torch_token_is(const struct ool_torch_parser *parser, size_t i, const char *word)
{
    return i < parser->n_tokens && strcmp(parser->tokens[i], word) == 0;
}

bool ool_torch_power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

uint64_t ool_torch_mib(uint64_t n)
{
    return (n < UINT64_MAX / OOL_TORCH_MIB ? n : UINT64_MAX / OOL_TORCH_MIB) * OOL_TORCH_MIB;
}

void ool_torch_roundup_set(struct ool_torch_conf *conf, struct ool_torch_roundup_list *list,
                           uint64_t key_mib, uint64_t divisions)
{
    size_t entry = 63 - (size_t)__builtin_clzll(key_mib);

    if (entry >= OOL_TORCH_DIVISIONS)
        entry = OOL_TORCH_DIVISIONS - 1;
    for (size_t i = list->any ? entry : 0; i <= entry; i++)
        conf->divisions[i] = divisions;
    list->any = true;
    list->last = entry;
}

static bool is_separator(char c)
{
    return c == ',' || c == ':' || c == '[' || c == ']';
}

/* Words without their blanks, each with a NUL, into `buffer` (2 bytes a character and 1 suffice). */
static void tokenise(struct ool_torch_parser *parser, const char *text, char *buffer)
{
    bool in_word = false;

    for (; *text != '\0'; text++) {
        bool blank =
            parser->release->new_settings ? isspace((unsigned char)*text) != 0 : *text == ' ';
        if (blank)
            continue;
        if (is_separator(*text) && in_word)
            *buffer++ = '\0';
        if (is_separator(*text) || !in_word)
            parser->tokens[parser->n_tokens++] = buffer;
        *buffer++ = *text;
        in_word = !is_separator(*text);
        if (!in_word)
            *buffer++ = '\0';
    }
    *buffer = '\0';
}

/* The first backend named is the one that is loaded. */
static bool names_async(const struct ool_torch_parser *parser)
{
    for (size_t i = 0; i + 2 < parser->n_tokens; i++) {
        if (ool_torch_token_is(parser, i, "backend"))
            return ool_torch_token_is(parser, i + 2, "cudaMallocAsync");
    }
    return false;
}

enum ool_status ool_torch_conf_parse(struct ool_torch_conf *conf,
                                     const struct ool_torch_release *release, const char *text,
                                     bool start, struct ool_torch_fault *fault,
                                     struct ool_error *err)
{
    struct ool_torch_parser parser = {conf, release, start, NULL, 0, fault};
    size_t length = strlen(text);
    char *buffer;
    bool ok = true;

    fault->type = NULL;
    fault->text[0] = '\0';
    parser.tokens = ool_reallocarray(NULL, length + 1, sizeof *parser.tokens);
    buffer = ool_reallocarray(NULL, length + 1, 2);
    if (parser.tokens == NULL || buffer == NULL) {
        ool_free(parser.tokens);
        ool_free(buffer);
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the allocator's settings");
    }
    tokenise(&parser, text, buffer);
    conf->max_split_size = UINT64_MAX;
    memset(conf->divisions, 0, sizeof conf->divisions);
    conf->gc_threshold = 0;
    if (start)
        conf->async_backend = names_async(&parser);
    if (!start || !conf->async_backend) /* that backend never looks at the others at start */
        ok = release->new_settings ? ool_torch_parse_new(&parser) : ool_torch_parse_old(&parser);
    conf->rounds_up = false;
    for (size_t i = 0; i < OOL_TORCH_DIVISIONS; i++)
        conf->rounds_up = conf->rounds_up || conf->divisions[i] != 0;
    ool_free(parser.tokens);
    ool_free(buffer);
    return ok ? OOL_OK : ool_error_set(err, OOL_E_CONF, "%s", fault->text);
}
