/*
 * ool_torch_conf_parse.h - what the two settings parsers share; private to ool_torch_conf*.c.
 */
#ifndef OOL_TORCH_CONF_PARSE_H
#define OOL_TORCH_CONF_PARSE_H

#include "ool_torch_conf.h"

#include <stddef.h>

#define OOL_TORCH_MIB UINT64_C(1048576)

struct ool_torch_parser {
    struct ool_torch_conf *conf;
    const struct ool_torch_release *release;
    bool start;
    char **tokens; /* words and the separators , : [ ] */
    size_t n_tokens;
    struct ool_torch_fault *fault;
};

/* Sets the fault; returns false, so that `return ool_torch_fault(...)` reads well. */
bool ool_torch_fault(struct ool_torch_parser *parser, const char *type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* C++'s stoi, stoull and stod: the longest prefix that is a number. 1 ok, 0 no number, -1 too large. */
int ool_torch_stoi(const char *text, int *value);
int ool_torch_stoull(const char *text, uint64_t *value);
int ool_torch_stod(const char *text, double *value);

bool ool_torch_token_is(const struct ool_torch_parser *parser, size_t i, const char *word);
bool ool_torch_power_of_two(uint64_t n);

/* One pair of a roundup list: entries from a key in MiB on, or up to the end for '>'. */
struct ool_torch_roundup_list {
    bool any;    /* a pair with a key was seen: the first one also fills the entries below */
    size_t last; /* its entry */
};
void ool_torch_roundup_set(struct ool_torch_conf *conf, struct ool_torch_roundup_list *list,
                           uint64_t key_mib, uint64_t divisions);

/* MiB to bytes; more than 64 bits hold becomes the largest whole MiB. */
uint64_t ool_torch_mib(uint64_t n);

bool ool_torch_parse_old(struct ool_torch_parser *parser); /* 2.8 and before */
bool ool_torch_parse_new(struct ool_torch_parser *parser); /* since 2.9 */

#endif
