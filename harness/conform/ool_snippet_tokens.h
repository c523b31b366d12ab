/*
 * ool_snippet_tokens.h - tokens of a snippet's text and the nodes of its tree; for the parser only.
 */
#ifndef OOL_SNIPPET_TOKENS_H
#define OOL_SNIPPET_TOKENS_H

#include "ool_snippet_parse.h"

#include <stdbool.h>
#include <stddef.h>

#define OOL_PARSER_INDENTS 32

enum ool_token {
    OOL_TOKEN_NAME,
    OOL_TOKEN_INT,
    OOL_TOKEN_FLOAT,
    OOL_TOKEN_STRING,
    OOL_TOKEN_OPERATOR, /* punctuation too */
    OOL_TOKEN_NEWLINE,
    OOL_TOKEN_INDENT,
    OOL_TOKEN_DEDENT,
    OOL_TOKEN_END
};

struct ool_parser {
    const char *at;
    int line;
    int brackets; /* open ones: line ends inside them mean nothing */
    int indents[OOL_PARSER_INDENTS], n_indents;
    int dedents; /* to be given before the next token */
    bool line_start;
    /* the current token */
    enum ool_token token;
    const char *start;
    size_t length;
    int depth;
    struct ool_syntax *tree; /* newest node */
    struct ool_error *err;
    enum ool_status status; /* of the first failure */
};

/* Keeps the first failure, with the current token; returns NULL. */
struct ool_syntax *ool_parser_fail(struct ool_parser *p, enum ool_status status, const char *what);

/* A node of the tree, NULL after a failure; with a text of its own; with one or two children. */
struct ool_syntax *ool_parser_make(struct ool_parser *p, enum ool_syntax_kind kind);
struct ool_syntax *ool_parser_make_text(struct ool_parser *p, enum ool_syntax_kind kind,
                                        const char *text, size_t length);
struct ool_syntax *ool_parser_make_with(struct ool_parser *p, enum ool_syntax_kind kind,
                                        struct ool_syntax *a, struct ool_syntax *b);
/* Appends behind *tail, which is the address of the last `next`. NULL is fine. */
void ool_parser_append(struct ool_syntax ***tail, struct ool_syntax *node);

void ool_parser_advance(struct ool_parser *p);                         /* to the next token */
bool ool_parser_text_is(const struct ool_parser *p, const char *text); /* the current one */
bool ool_parser_at_operator(const struct ool_parser *p, const char *text);
bool ool_parser_at_word(const struct ool_parser *p, const char *text);
bool ool_parser_accept(struct ool_parser *p, const char *text); /* advances if it is that */
void ool_parser_expect(struct ool_parser *p, const char *text); /* fails if it is not */
bool ool_parser_is_keyword(const struct ool_parser *p);

#endif
