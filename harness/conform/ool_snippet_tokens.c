/*
 * ool_snippet_tokens.c - the tokens of the Python subset, with indentation, and the tree's nodes.
 */
#include "ool_snippet_tokens.h"

#include "ool_mem.h"

#include <ctype.h>
#include <string.h>

/* --- errors and nodes --------------------------------------------------------------------------- */

struct ool_syntax *ool_parser_fail(struct ool_parser *p, enum ool_status status, const char *what)
{
    if (p->status == OOL_OK) {
        p->status = status;
        ool_error_set(p->err, status, "line %d of the text: %s near \"%.*s\"", p->line, what,
                      (int)(p->length < 40 ? p->length : 40), p->start);
    }
    return NULL;
}

struct ool_syntax *ool_parser_make(struct ool_parser *p, enum ool_syntax_kind kind)
{
    struct ool_syntax *node = ool_calloc(1, sizeof(*node));

    if (node == NULL)
        return ool_parser_fail(p, OOL_E_HOST_OOM, "no memory for the tree");
    node->kind = kind;
    node->line = p->line;
    node->older = p->tree;
    p->tree = node;
    return node;
}

struct ool_syntax *ool_parser_make_text(struct ool_parser *p, enum ool_syntax_kind kind,
                                        const char *text, size_t length)
{
    struct ool_syntax *node = ool_parser_make(p, kind);

    if (node != NULL && (node->text = ool_strndup(text, length)) == NULL)
        return ool_parser_fail(p, OOL_E_HOST_OOM, "no memory for the tree");
    return node;
}

void ool_parser_append(struct ool_syntax ***tail, struct ool_syntax *node)
{
    if (node != NULL) {
        **tail = node;
        *tail = &node->next;
    }
}

struct ool_syntax *ool_parser_make_with(struct ool_parser *p, enum ool_syntax_kind kind,
                                        struct ool_syntax *a, struct ool_syntax *b)
{
    struct ool_syntax *node = ool_parser_make(p, kind);

    if (node == NULL || a == NULL)
        return NULL;
    node->first = a;
    a->next = b;
    return node;
}

void ool_snippet_forget(struct ool_syntax *tree)
{
    while (tree != NULL) {
        struct ool_syntax *older = tree->older;

        ool_free(tree->text);
        ool_free(tree);
        tree = older;
    }
}

/* --- tokens --------------------------------------------------------------------------------------- */

static bool is_name_start(char c)
{
    return isalpha((unsigned char)c) != 0 || c == '_';
}

static bool is_name(char c)
{
    return is_name_start(c) || isdigit((unsigned char)c) != 0;
}

/* At the start of a line: measures its indentation, passes over empty lines. */
static void begin_line(struct ool_parser *p)
{
    int width;

    for (;;) {
        const char *at = p->at;

        while (*at == ' ')
            at++;
        width = (int)(at - p->at);
        p->at = at;
        if (*at == '#')
            p->at += strcspn(at, "\n");
        if (*p->at != '\n')
            break;
        p->at++;
        p->line++;
    }
    p->line_start = false;
    if (*p->at == '\0')
        width = 0;
    if (width > p->indents[p->n_indents - 1]) {
        if (p->n_indents == OOL_PARSER_INDENTS) {
            ool_parser_fail(p, OOL_E_LIMIT, "blocks nest too deeply");
            return;
        }
        p->indents[p->n_indents++] = width;
        p->token = OOL_TOKEN_INDENT;
        return;
    }
    while (width < p->indents[p->n_indents - 1]) {
        p->n_indents--;
        p->dedents++;
    }
    if (width != p->indents[p->n_indents - 1])
        ool_parser_fail(p, OOL_E_UNSUPPORTED, "indentation that matches no block");
}

static void read_number(struct ool_parser *p)
{
    bool real = false, hexadecimal = p->at[0] == '0' && (p->at[1] == 'x' || p->at[1] == 'X');
    const char *at = p->at;

    for (;; at++) {
        if (*at == '.') {
            real = true;
        } else if (!hexadecimal && (*at == 'e' || *at == 'E')) {
            real = true;
            if (at[1] == '+' || at[1] == '-')
                at++;
        } else if (!isalnum((unsigned char)*at) && *at != '_') {
            break;
        }
    }
    p->length = (size_t)(at - p->at);
    p->at = at;
    p->token = real ? OOL_TOKEN_FLOAT : OOL_TOKEN_INT;
}

static void read_string(struct ool_parser *p)
{
    char quote = *p->at;
    const char *at = p->at + 1;

    while (*at != quote && *at != '\n' && *at != '\0')
        at += *at == '\\' && at[1] != '\0' && at[1] != '\n' ? 2 : 1;
    if (*at != quote) {
        p->length = (size_t)(at - p->at);
        ool_parser_fail(p, OOL_E_UNSUPPORTED, "a string without an end");
        return;
    }
    p->length = (size_t)(at + 1 - p->at);
    p->at = at + 1;
    p->token = OOL_TOKEN_STRING;
}

static void read_operator(struct ool_parser *p)
{
    static const char *const operators[] = {"**=", "//=", ">>=", "<<=", "...", "->", "**", "//",
                                            ">>",  "<<",  "<=",  ">=",  "==",  "!=", "+=", "-=",
                                            "*=",  "/=",  "%=",  "@=",  "&=",  "|=", "^="};

    p->token = OOL_TOKEN_OPERATOR;
    p->length = 1;
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
        if (strncmp(p->at, operators[i], strlen(operators[i])) == 0) {
            p->length = strlen(operators[i]);
            break;
        }
    if (p->length == 1 && strchr("+-*/%@&|^~<>=()[]{}.,:;", *p->at) == NULL) {
        ool_parser_fail(p, OOL_E_UNSUPPORTED, "a character that is not read");
        return;
    }
    if (strchr("([{", *p->at) != NULL)
        p->brackets++;
    if (strchr(")]}", *p->at) != NULL && p->brackets > 0)
        p->brackets--;
    p->at += p->length;
}

static void skip_blanks(struct ool_parser *p)
{
    for (;;) {
        if (*p->at == ' ' || *p->at == '\t' || *p->at == '\r') {
            p->at++;
        } else if (*p->at == '#') {
            p->at += strcspn(p->at, "\n");
        } else if (p->at[0] == '\\' && p->at[1] == '\n') {
            p->at += 2;
            p->line++;
        } else if (*p->at == '\n' && p->brackets > 0) {
            p->at++;
            p->line++;
        } else {
            return;
        }
    }
}

void ool_parser_advance(struct ool_parser *p)
{
    if (p->status != OOL_OK)
        return;
    p->start = p->at;
    p->length = 0;
    if (p->line_start && p->dedents == 0) {
        p->token = OOL_TOKEN_END;
        begin_line(p);
        p->start = p->at;
        if (p->token == OOL_TOKEN_INDENT || p->status != OOL_OK)
            return;
    }
    if (p->dedents > 0) {
        p->dedents--;
        p->token = OOL_TOKEN_DEDENT;
        return;
    }
    skip_blanks(p);
    p->start = p->at;
    if (*p->at == '\0') {
        /* a last line without its end gets one, which also closes the blocks */
        if (p->token != OOL_TOKEN_NEWLINE && p->token != OOL_TOKEN_END &&
            p->token != OOL_TOKEN_DEDENT) {
            p->token = OOL_TOKEN_NEWLINE;
            p->line_start = true;
        } else {
            p->token = OOL_TOKEN_END;
        }
    } else if (*p->at == '\n') {
        p->at++;
        p->line++;
        p->line_start = true;
        p->token = OOL_TOKEN_NEWLINE;
    } else if (is_name_start(*p->at)) {
        while (is_name(p->at[p->length]))
            p->length++;
        p->at += p->length;
        p->token = OOL_TOKEN_NAME;
    } else if (isdigit((unsigned char)*p->at) ||
               (*p->at == '.' && isdigit((unsigned char)p->at[1]))) {
        read_number(p);
    } else if (*p->at == '\'' || *p->at == '"') {
        read_string(p);
    } else {
        read_operator(p);
    }
}

bool ool_parser_text_is(const struct ool_parser *p, const char *text)
{
    return strlen(text) == p->length && memcmp(p->start, text, p->length) == 0;
}

bool ool_parser_at_operator(const struct ool_parser *p, const char *text)
{
    return p->status == OOL_OK && p->token == OOL_TOKEN_OPERATOR && ool_parser_text_is(p, text);
}

bool ool_parser_at_word(const struct ool_parser *p, const char *text)
{
    return p->status == OOL_OK && p->token == OOL_TOKEN_NAME && ool_parser_text_is(p, text);
}

bool ool_parser_accept(struct ool_parser *p, const char *text)
{
    if (!ool_parser_at_operator(p, text) && !ool_parser_at_word(p, text))
        return false;
    ool_parser_advance(p);
    return true;
}

void ool_parser_expect(struct ool_parser *p, const char *text)
{
    if (!ool_parser_accept(p, text))
        ool_parser_fail(p, OOL_E_UNSUPPORTED, "something else was expected");
}

bool ool_parser_is_keyword(const struct ool_parser *p)
{
    static const char *const words[] = {
        "and",    "as",   "assert", "async",  "await",  "break",   "class",    "continue",
        "def",    "del",  "elif",   "else",   "except", "finally", "for",      "from",
        "global", "if",   "import", "in",     "is",     "lambda",  "nonlocal", "not",
        "or",     "pass", "raise",  "return", "try",    "while",   "with",     "yield"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (ool_parser_text_is(p, words[i]))
            return true;
    return false;
}
