/*
 * ool_snippet_parse.c - tokens and syntax tree of the Python subset, by recursive descent.
 */
#include "ool_snippet_parse.h"

#include "ool_mem.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LENGTH ((size_t)1 << 20)
#define MAX_DEPTH 64  /* of expressions and of blocks, together */
#define MAX_CHAIN 256 /* operators in a row without brackets: a.b.c, a + b + c */
#define MAX_INDENTS 32

enum token {
    T_NAME,
    T_INT,
    T_FLOAT,
    T_STRING,
    T_OPERATOR, /* punctuation too */
    T_NEWLINE,
    T_INDENT,
    T_DEDENT,
    T_END
};

struct parser {
    const char *at;
    int line;
    int brackets; /* open ones: line ends inside them mean nothing */
    int indents[MAX_INDENTS], n_indents;
    int dedents; /* to be given before the next token */
    bool line_start;
    /* the current token */
    enum token token;
    const char *start;
    size_t length;
    int depth;
    struct ool_syntax *tree; /* newest node */
    struct ool_error *err;
    enum ool_status status; /* of the first failure */
};

/* --- errors and nodes --------------------------------------------------------------------------- */

static struct ool_syntax *fail(struct parser *p, enum ool_status status, const char *what)
{
    if (p->status == OOL_OK) {
        p->status = status;
        ool_error_set(p->err, status, "line %d of the text: %s near \"%.*s\"", p->line, what,
                      (int)(p->length < 40 ? p->length : 40), p->start);
    }
    return NULL;
}

static struct ool_syntax *make(struct parser *p, enum ool_syntax_kind kind)
{
    struct ool_syntax *node = ool_calloc(1, sizeof(*node));

    if (node == NULL)
        return fail(p, OOL_E_HOST_OOM, "no memory for the tree");
    node->kind = kind;
    node->line = p->line;
    node->older = p->tree;
    p->tree = node;
    return node;
}

static struct ool_syntax *make_text(struct parser *p, enum ool_syntax_kind kind, const char *text,
                                    size_t length)
{
    struct ool_syntax *node = make(p, kind);

    if (node != NULL && (node->text = ool_strndup(text, length)) == NULL)
        return fail(p, OOL_E_HOST_OOM, "no memory for the tree");
    return node;
}

/* Appends behind *tail, which is the address of the last `next`. */
static void append(struct ool_syntax ***tail, struct ool_syntax *node)
{
    if (node != NULL) {
        **tail = node;
        *tail = &node->next;
    }
}

static struct ool_syntax *make_with(struct parser *p, enum ool_syntax_kind kind,
                                    struct ool_syntax *a, struct ool_syntax *b)
{
    struct ool_syntax *node = make(p, kind);

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
static void begin_line(struct parser *p)
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
        if (p->n_indents == MAX_INDENTS) {
            fail(p, OOL_E_LIMIT, "blocks nest too deeply");
            return;
        }
        p->indents[p->n_indents++] = width;
        p->token = T_INDENT;
        return;
    }
    while (width < p->indents[p->n_indents - 1]) {
        p->n_indents--;
        p->dedents++;
    }
    if (width != p->indents[p->n_indents - 1])
        fail(p, OOL_E_UNSUPPORTED, "indentation that matches no block");
}

static void read_number(struct parser *p)
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
    p->token = real ? T_FLOAT : T_INT;
}

static void read_string(struct parser *p)
{
    char quote = *p->at;
    const char *at = p->at + 1;

    while (*at != quote && *at != '\n' && *at != '\0')
        at += *at == '\\' && at[1] != '\0' && at[1] != '\n' ? 2 : 1;
    if (*at != quote) {
        p->length = (size_t)(at - p->at);
        fail(p, OOL_E_UNSUPPORTED, "a string without an end");
        return;
    }
    p->length = (size_t)(at + 1 - p->at);
    p->at = at + 1;
    p->token = T_STRING;
}

static void read_operator(struct parser *p)
{
    static const char *const operators[] = {"**=", "//=", ">>=", "<<=", "...", "->", "**", "//",
                                            ">>",  "<<",  "<=",  ">=",  "==",  "!=", "+=", "-=",
                                            "*=",  "/=",  "%=",  "@=",  "&=",  "|=", "^="};

    p->token = T_OPERATOR;
    p->length = 1;
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
        if (strncmp(p->at, operators[i], strlen(operators[i])) == 0) {
            p->length = strlen(operators[i]);
            break;
        }
    if (p->length == 1 && strchr("+-*/%@&|^~<>=()[]{}.,:;", *p->at) == NULL) {
        fail(p, OOL_E_UNSUPPORTED, "a character that is not read");
        return;
    }
    if (strchr("([{", *p->at) != NULL)
        p->brackets++;
    if (strchr(")]}", *p->at) != NULL && p->brackets > 0)
        p->brackets--;
    p->at += p->length;
}

static void skip_blanks(struct parser *p)
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

static void advance(struct parser *p)
{
    if (p->status != OOL_OK)
        return;
    p->start = p->at;
    p->length = 0;
    if (p->line_start && p->dedents == 0) {
        p->token = T_END;
        begin_line(p);
        p->start = p->at;
        if (p->token == T_INDENT || p->status != OOL_OK)
            return;
    }
    if (p->dedents > 0) {
        p->dedents--;
        p->token = T_DEDENT;
        return;
    }
    skip_blanks(p);
    p->start = p->at;
    if (*p->at == '\0') {
        /* a last line without its end gets one, which also closes the blocks */
        if (p->token != T_NEWLINE && p->token != T_END && p->token != T_DEDENT) {
            p->token = T_NEWLINE;
            p->line_start = true;
        } else {
            p->token = T_END;
        }
    } else if (*p->at == '\n') {
        p->at++;
        p->line++;
        p->line_start = true;
        p->token = T_NEWLINE;
    } else if (is_name_start(*p->at)) {
        while (is_name(p->at[p->length]))
            p->length++;
        p->at += p->length;
        p->token = T_NAME;
    } else if (isdigit((unsigned char)*p->at) ||
               (*p->at == '.' && isdigit((unsigned char)p->at[1]))) {
        read_number(p);
    } else if (*p->at == '\'' || *p->at == '"') {
        read_string(p);
    } else {
        read_operator(p);
    }
}

static bool text_is(const struct parser *p, const char *text)
{
    return strlen(text) == p->length && memcmp(p->start, text, p->length) == 0;
}

static bool at_operator(const struct parser *p, const char *text)
{
    return p->status == OOL_OK && p->token == T_OPERATOR && text_is(p, text);
}

static bool at_word(const struct parser *p, const char *text)
{
    return p->status == OOL_OK && p->token == T_NAME && text_is(p, text);
}

static bool accept(struct parser *p, const char *text)
{
    if (!at_operator(p, text) && !at_word(p, text))
        return false;
    advance(p);
    return true;
}

static void expect(struct parser *p, const char *text)
{
    if (!accept(p, text))
        fail(p, OOL_E_UNSUPPORTED, "something else was expected");
}

static bool is_keyword(const struct parser *p)
{
    static const char *const words[] = {
        "and",    "as",   "assert", "async",  "await",  "break",   "class",    "continue",
        "def",    "del",  "elif",   "else",   "except", "finally", "for",      "from",
        "global", "if",   "import", "in",     "is",     "lambda",  "nonlocal", "not",
        "or",     "pass", "raise",  "return", "try",    "while",   "with",     "yield"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (text_is(p, words[i]))
            return true;
    return false;
}

/* --- expressions ------------------------------------------------------------------------------------ */

static struct ool_syntax *parse_test(struct parser *p);
static struct ool_syntax *parse_tests(struct parser *p);
static struct ool_syntax *parse_binary(struct parser *p, int level);

static bool enter(struct parser *p)
{
    if (++p->depth > MAX_DEPTH)
        fail(p, OOL_E_LIMIT, "nests too deeply");
    return p->status == OOL_OK;
}

static struct ool_syntax *parse_name(struct parser *p, enum ool_syntax_kind kind)
{
    struct ool_syntax *node;

    if (p->status != OOL_OK)
        return NULL;
    if (p->token != T_NAME || is_keyword(p))
        return fail(p, OOL_E_UNSUPPORTED, "a name was expected");
    node = make_text(p, kind, p->start, p->length);
    advance(p);
    return node;
}

static struct ool_syntax *parse_number(struct parser *p)
{
    struct ool_syntax *node = make(p, p->token == T_INT ? OOL_SYNTAX_INT : OOL_SYNTAX_FLOAT);
    char text[64], *end;
    size_t n = 0;

    if (node == NULL)
        return NULL;
    for (size_t i = 0; i < p->length; i++)
        if (p->start[i] != '_') {
            if (n + 1 == sizeof(text))
                return fail(p, OOL_E_UNSUPPORTED, "a number that is too long");
            text[n++] = p->start[i];
        }
    text[n] = '\0';
    errno = 0;
    if (p->token == T_INT)
        node->integer = strtoll(text, &end, text[0] == '0' && n > 1 && text[1] != '.' ? 16 : 10);
    else
        node->real = strtod(text, &end);
    if (*end != '\0' || (errno != 0 && p->token == T_INT))
        return fail(p, OOL_E_UNSUPPORTED, "a number that is not read");
    advance(p);
    return node;
}

static struct ool_syntax *parse_string(struct parser *p)
{
    struct ool_syntax *node = make_text(p, OOL_SYNTAX_STRING, p->start + 1, p->length - 2);

    if (node == NULL)
        return NULL;
    if (strchr(node->text, '\\') != NULL)
        return fail(p, OOL_E_UNSUPPORTED, "an escape in a string");
    advance(p);
    if (p->status == OOL_OK && p->token == T_STRING)
        return fail(p, OOL_E_UNSUPPORTED, "strings side by side");
    return node;
}

/* After an element: `for target in iterable [if condition]...` */
static struct ool_syntax *parse_comprehension(struct parser *p, enum ool_syntax_kind kind,
                                              struct ool_syntax *element)
{
    struct ool_syntax *node = make(p, kind), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    append(&tail, element);
    expect(p, "for");
    /* a target is no test: `in` would be read as an operator */
    struct ool_syntax *target = parse_binary(p, 5);
    if (at_operator(p, ",")) {
        struct ool_syntax *tuple = make(p, OOL_SYNTAX_TUPLE), **end;

        if (tuple == NULL)
            return NULL;
        end = &tuple->first;
        append(&end, target);
        while (accept(p, ",") && !at_word(p, "in"))
            append(&end, parse_binary(p, 5));
        target = tuple;
    }
    append(&tail, target);
    expect(p, "in");
    append(&tail, parse_binary(p, 1));
    while (accept(p, "if"))
        append(&tail, parse_binary(p, 1));
    if (at_word(p, "for"))
        return fail(p, OOL_E_UNSUPPORTED, "a comprehension over two iterables");
    return p->status == OOL_OK ? node : NULL;
}

/* ( ... ) and [ ... ] as a display; the opening bracket is taken. */
static struct ool_syntax *parse_display(struct parser *p, bool list)
{
    const char *close = list ? "]" : ")";
    struct ool_syntax *node, *element, **tail;
    bool comma = false;

    if (accept(p, close))
        return make(p, list ? OOL_SYNTAX_LIST : OOL_SYNTAX_TUPLE);
    element = parse_test(p);
    if (at_word(p, "for")) {
        node = parse_comprehension(p, list ? OOL_SYNTAX_LIST_OF : OOL_SYNTAX_GENERATOR, element);
        expect(p, close);
        return node;
    }
    node = make(p, list ? OOL_SYNTAX_LIST : OOL_SYNTAX_TUPLE);
    if (node == NULL)
        return NULL;
    tail = &node->first;
    append(&tail, element);
    while (accept(p, ",")) {
        comma = true;
        if (at_operator(p, close))
            break;
        append(&tail, parse_test(p));
    }
    expect(p, close);
    return list || comma ? node : element;
}

static struct ool_syntax *parse_lambda(struct parser *p)
{
    struct ool_syntax *node = make(p, OOL_SYNTAX_LAMBDA), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    while (p->status == OOL_OK && !at_operator(p, ":")) {
        struct ool_syntax *parameter = parse_name(p, OOL_SYNTAX_PARAMETER);

        if (parameter != NULL && accept(p, "="))
            parameter->first = parse_test(p);
        append(&tail, parameter);
        if (!accept(p, ","))
            break;
    }
    expect(p, ":");
    append(&tail, parse_test(p));
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_atom(struct parser *p)
{
    struct ool_syntax *node;

    if (p->status != OOL_OK)
        return NULL;
    if (p->token == T_INT || p->token == T_FLOAT)
        return parse_number(p);
    if (p->token == T_STRING)
        return parse_string(p);
    if (accept(p, "("))
        return parse_display(p, false);
    if (accept(p, "["))
        return parse_display(p, true);
    if (accept(p, "..."))
        return make(p, OOL_SYNTAX_ELLIPSIS);
    if (accept(p, "None"))
        return make(p, OOL_SYNTAX_NONE);
    if (at_word(p, "True") || at_word(p, "False")) {
        node = make(p, OOL_SYNTAX_BOOL);
        if (node != NULL)
            node->integer = at_word(p, "True");
        advance(p);
        return node;
    }
    return parse_name(p, OOL_SYNTAX_NAME);
}

static struct ool_syntax *parse_arguments(struct parser *p, struct ool_syntax *callee)
{
    struct ool_syntax *node = make_with(p, OOL_SYNTAX_CALL, callee, NULL), **tail;

    if (node == NULL)
        return NULL;
    tail = &callee->next;
    while (p->status == OOL_OK && !at_operator(p, ")")) {
        struct ool_syntax *argument;

        if (accept(p, "*")) {
            argument = make_with(p, OOL_SYNTAX_STAR, parse_test(p), NULL);
        } else {
            argument = parse_test(p);
            if (argument != NULL && argument->kind == OOL_SYNTAX_NAME && accept(p, "=")) {
                argument->kind = OOL_SYNTAX_KEYWORD;
                argument->first = parse_test(p);
            } else if (at_word(p, "for")) {
                argument = parse_comprehension(p, OOL_SYNTAX_GENERATOR, argument);
            }
        }
        append(&tail, argument);
        if (!accept(p, ","))
            break;
    }
    expect(p, ")");
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_slice_part(struct parser *p)
{
    if (at_operator(p, ":") || at_operator(p, "]") || at_operator(p, ","))
        return make(p, OOL_SYNTAX_ABSENT);
    return parse_test(p);
}

static struct ool_syntax *parse_subscript(struct parser *p)
{
    struct ool_syntax *node, *start, **tail;

    start = parse_slice_part(p);
    if (!at_operator(p, ":")) {
        if (start != NULL && start->kind == OOL_SYNTAX_ABSENT)
            return fail(p, OOL_E_UNSUPPORTED, "an index was expected");
        return start;
    }
    node = make(p, OOL_SYNTAX_SLICE);
    if (node == NULL)
        return NULL;
    tail = &node->first;
    append(&tail, start);
    for (int i = 0; i < 2; i++)
        append(&tail, accept(p, ":") ? parse_slice_part(p) : make(p, OOL_SYNTAX_ABSENT));
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_subscripts(struct parser *p, struct ool_syntax *object)
{
    struct ool_syntax *index = parse_subscript(p);

    if (at_operator(p, ",")) {
        struct ool_syntax *tuple = make(p, OOL_SYNTAX_TUPLE), **tail;

        if (tuple == NULL)
            return NULL;
        tail = &tuple->first;
        append(&tail, index);
        while (accept(p, ",") && !at_operator(p, "]"))
            append(&tail, parse_subscript(p));
        index = tuple;
    }
    expect(p, "]");
    return make_with(p, OOL_SYNTAX_SUBSCRIPT, object, index);
}

static struct ool_syntax *parse_postfix(struct parser *p)
{
    struct ool_syntax *node = parse_atom(p);

    for (int n = 0; p->status == OOL_OK; n++) {
        if (n == MAX_CHAIN)
            return fail(p, OOL_E_LIMIT, "nests too deeply");
        if (accept(p, ".")) {
            struct ool_syntax *attribute = parse_name(p, OOL_SYNTAX_ATTRIBUTE);

            if (attribute == NULL)
                return NULL;
            attribute->first = node;
            node = attribute;
        } else if (accept(p, "(")) {
            node = parse_arguments(p, node);
        } else if (accept(p, "[")) {
            node = parse_subscripts(p, node);
        } else {
            return node;
        }
    }
    return NULL;
}

/* Unary operators and **, which binds tighter on its left than on its right. */
static struct ool_syntax *parse_unary(struct parser *p)
{
    static const struct {
        const char *text;
        enum ool_syntax_op op;
    } unary[] = {
        {"-", OOL_SYNTAX_NEG   },
        {"+", OOL_SYNTAX_PLUS  },
        {"~", OOL_SYNTAX_INVERT},
    };
    struct ool_syntax *node = NULL, *left;

    if (!enter(p))
        return NULL;
    for (size_t i = 0; i < sizeof(unary) / sizeof(unary[0]); i++)
        if (accept(p, unary[i].text)) {
            node = make_with(p, OOL_SYNTAX_UNARY, parse_unary(p), NULL);
            if (node != NULL)
                node->op = unary[i].op;
            p->depth--;
            return node;
        }
    left = parse_postfix(p);
    if (accept(p, "**")) {
        struct ool_syntax *right = parse_unary(p);

        node = make_with(p, OOL_SYNTAX_BINARY, left, right);
        if (node != NULL)
            node->op = OOL_SYNTAX_POW;
        left = node;
    }
    p->depth--;
    return p->status == OOL_OK ? left : NULL;
}

struct infix {
    const char *text;
    int level;
    enum ool_syntax_op op;
};

/* Levels from loose to tight: 1 or, 2 and, 3 not, 4 comparisons, then the arithmetic ones. */
#define LEVEL_NOT 3
#define LEVEL_COMPARE 4

static const struct infix operators[] = {
    {"==", 4,  OOL_SYNTAX_EQ         },
    {"!=", 4,  OOL_SYNTAX_NE         },
    {"<=", 4,  OOL_SYNTAX_LE         },
    {">=", 4,  OOL_SYNTAX_GE         },
    {"<",  4,  OOL_SYNTAX_LT         },
    {">",  4,  OOL_SYNTAX_GT         },
    {"is", 4,  OOL_SYNTAX_IS         },
    {"in", 4,  OOL_SYNTAX_IN         },
    {"|",  5,  OOL_SYNTAX_BIT_OR     },
    {"^",  6,  OOL_SYNTAX_BIT_XOR    },
    {"&",  7,  OOL_SYNTAX_BIT_AND    },
    {"<<", 8,  OOL_SYNTAX_SHIFT_LEFT },
    {">>", 8,  OOL_SYNTAX_SHIFT_RIGHT},
    {"+",  9,  OOL_SYNTAX_ADD        },
    {"-",  9,  OOL_SYNTAX_SUB        },
    {"*",  10, OOL_SYNTAX_MUL        },
    {"/",  10, OOL_SYNTAX_DIV        },
    {"//", 10, OOL_SYNTAX_FLOOR_DIV  },
    {"%",  10, OOL_SYNTAX_MOD        },
    {"@",  10, OOL_SYNTAX_MATMUL     },
};

static const struct infix *accept_operator(struct parser *p, int level)
{
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
        if (operators[i].level == level && accept(p, operators[i].text))
            return &operators[i];
    return NULL;
}

static struct ool_syntax *parse_compare(struct parser *p)
{
    struct ool_syntax *left = parse_binary(p, LEVEL_COMPARE + 1), *node;
    const struct infix *found;
    enum ool_syntax_op op;

    if (at_word(p, "not")) {
        advance(p);
        expect(p, "in");
        op = OOL_SYNTAX_NOT_IN;
    } else if ((found = accept_operator(p, LEVEL_COMPARE)) != NULL) {
        op = found->op;
        if (op == OOL_SYNTAX_IS && accept(p, "not"))
            op = OOL_SYNTAX_IS_NOT;
    } else {
        return left;
    }
    node = make_with(p, OOL_SYNTAX_BINARY, left, parse_binary(p, LEVEL_COMPARE + 1));
    if (node != NULL)
        node->op = op;
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
        if (operators[i].level == LEVEL_COMPARE &&
            (at_operator(p, operators[i].text) || at_word(p, operators[i].text)))
            return fail(p, OOL_E_UNSUPPORTED, "a chain of comparisons");
    return node;
}

static struct ool_syntax *parse_binary(struct parser *p, int level)
{
    struct ool_syntax *node;

    if (level > 10)
        return parse_unary(p);
    if (level == LEVEL_COMPARE)
        return parse_compare(p);
    if (level == LEVEL_NOT && at_word(p, "not")) {
        if (!enter(p))
            return NULL;
        advance(p);
        node = make_with(p, OOL_SYNTAX_UNARY, parse_binary(p, LEVEL_NOT), NULL);
        if (node != NULL)
            node->op = OOL_SYNTAX_NOT;
        p->depth--;
        return node;
    }
    node = parse_binary(p, level + 1);
    for (int n = 0; p->status == OOL_OK; n++) {
        const struct infix *found = NULL;
        enum ool_syntax_kind kind = OOL_SYNTAX_BINARY;

        if (level == 1 && accept(p, "or"))
            kind = OOL_SYNTAX_OR;
        else if (level == 2 && accept(p, "and"))
            kind = OOL_SYNTAX_AND;
        else if (level <= LEVEL_COMPARE || (found = accept_operator(p, level)) == NULL)
            return node;
        if (n == MAX_CHAIN)
            return fail(p, OOL_E_LIMIT, "nests too deeply");
        node = make_with(p, kind, node, parse_binary(p, level + 1));
        if (node != NULL && found != NULL)
            node->op = found->op;
    }
    return NULL;
}

static struct ool_syntax *parse_test(struct parser *p)
{
    struct ool_syntax *node;

    if (!enter(p))
        return NULL;
    if (accept(p, "lambda")) {
        node = parse_lambda(p);
    } else {
        node = parse_binary(p, 1);
        if (accept(p, "if")) {
            struct ool_syntax *condition = parse_binary(p, 1), *otherwise;

            expect(p, "else");
            otherwise = parse_test(p);
            if (condition != NULL)
                condition->next = otherwise;
            node = make_with(p, OOL_SYNTAX_CONDITION, node, condition);
        }
    }
    p->depth--;
    return p->status == OOL_OK ? node : NULL;
}

/* One expression, or several with commas: a tuple. */
static struct ool_syntax *parse_tests(struct parser *p)
{
    struct ool_syntax *node = parse_test(p), *tuple, **tail;

    if (!at_operator(p, ","))
        return node;
    tuple = make(p, OOL_SYNTAX_TUPLE);
    if (tuple == NULL)
        return NULL;
    tail = &tuple->first;
    append(&tail, node);
    while (accept(p, ",")) {
        if (p->token == T_NEWLINE || at_operator(p, "=") || at_operator(p, ";"))
            break;
        append(&tail, parse_test(p));
    }
    return p->status == OOL_OK ? tuple : NULL;
}

/* --- statements -------------------------------------------------------------------------------------- */

static bool is_target(const struct ool_syntax *node)
{
    if (node == NULL)
        return false;
    if (node->kind == OOL_SYNTAX_TUPLE || node->kind == OOL_SYNTAX_LIST) {
        for (const struct ool_syntax *item = node->first; item != NULL; item = item->next)
            if (!is_target(item))
                return false;
        return node->first != NULL;
    }
    return node->kind == OOL_SYNTAX_NAME || node->kind == OOL_SYNTAX_ATTRIBUTE ||
           node->kind == OOL_SYNTAX_SUBSCRIPT;
}

static struct ool_syntax *parse_target(struct parser *p)
{
    struct ool_syntax *node = parse_binary(p, LEVEL_COMPARE + 1);

    if (at_operator(p, ",")) {
        struct ool_syntax *tuple = make(p, OOL_SYNTAX_TUPLE), **tail;

        if (tuple == NULL)
            return NULL;
        tail = &tuple->first;
        append(&tail, node);
        while (accept(p, ",") && !at_word(p, "in"))
            append(&tail, parse_binary(p, LEVEL_COMPARE + 1));
        node = tuple;
    }
    if (p->status == OOL_OK && !is_target(node))
        return fail(p, OOL_E_UNSUPPORTED, "a target of an assignment was expected");
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_assignment(struct parser *p)
{
    static const struct {
        const char *text;
        enum ool_syntax_op op;
    } augmented[] = {
        {"+=",  OOL_SYNTAX_ADD      },
        {"-=",  OOL_SYNTAX_SUB      },
        {"*=",  OOL_SYNTAX_MUL      },
        {"/=",  OOL_SYNTAX_DIV      },
        {"//=", OOL_SYNTAX_FLOOR_DIV},
        {"%=",  OOL_SYNTAX_MOD      },
        {"**=", OOL_SYNTAX_POW      },
        {"@=",  OOL_SYNTAX_MATMUL   },
        {"&=",  OOL_SYNTAX_BIT_AND  },
        {"|=",  OOL_SYNTAX_BIT_OR   },
        {"^=",  OOL_SYNTAX_BIT_XOR  },
    };
    struct ool_syntax *value = parse_tests(p), *node, *targets = NULL, **tail = &targets;

    for (size_t i = 0; i < sizeof(augmented) / sizeof(augmented[0]); i++)
        if (is_target(value) && accept(p, augmented[i].text)) {
            node = make_with(p, OOL_SYNTAX_AUGMENT, value, parse_tests(p));
            if (node != NULL)
                node->op = augmented[i].op;
            return node;
        }
    while (p->status == OOL_OK && at_operator(p, "=")) {
        if (!is_target(value))
            return fail(p, OOL_E_UNSUPPORTED, "a target of an assignment was expected");
        advance(p);
        append(&tail, value);
        value = parse_tests(p);
    }
    return make_with(p, targets != NULL ? OOL_SYNTAX_ASSIGN : OOL_SYNTAX_EXPRESSION, value,
                     targets);
}

/* A dotted name's text, from its first name to its last. */
static struct ool_syntax *parse_dotted(struct parser *p)
{
    const char *start = p->start, *end = p->start + p->length;

    if (parse_name(p, OOL_SYNTAX_NAME) == NULL)
        return NULL;
    while (accept(p, ".")) {
        end = p->start + p->length;
        if (parse_name(p, OOL_SYNTAX_NAME) == NULL)
            return NULL;
    }
    return make_text(p, OOL_SYNTAX_IMPORT, start, (size_t)(end - start));
}

/* import a.b [as c] binds a (or c); from a.b import c [as d] binds c (or d) to a.b.c. */
static struct ool_syntax *parse_import(struct parser *p, bool from)
{
    struct ool_syntax *block = make(p, OOL_SYNTAX_BLOCK), *module, **tail;

    module = parse_dotted(p);
    if (block == NULL || module == NULL)
        return NULL;
    tail = &block->first;
    if (!from) {
        if (accept(p, "as")) {
            module->first = parse_name(p, OOL_SYNTAX_NAME);
        } else {
            module->first = make_text(p, OOL_SYNTAX_NAME, module->text, strcspn(module->text, "."));
            module->text[strcspn(module->text, ".")] = '\0';
        }
        append(&tail, module);
        return p->status == OOL_OK ? block : NULL;
    }
    expect(p, "import");
    do {
        struct ool_syntax *name = parse_name(p, OOL_SYNTAX_NAME), *import;
        size_t length;

        if (name == NULL)
            return NULL;
        length = strlen(module->text) + 1 + strlen(name->text);
        import = make_text(p, OOL_SYNTAX_IMPORT, "", 0);
        if (import == NULL)
            return NULL;
        ool_free(import->text);
        import->text = ool_calloc(length + 1, 1);
        if (import->text == NULL)
            return fail(p, OOL_E_HOST_OOM, "no memory for the tree");
        strcat(strcat(strcpy(import->text, module->text), "."), name->text);
        import->first = accept(p, "as") ? parse_name(p, OOL_SYNTAX_NAME) : name;
        append(&tail, import);
    } while (accept(p, ","));
    return p->status == OOL_OK ? block : NULL;
}

static struct ool_syntax *parse_del(struct parser *p)
{
    struct ool_syntax *node = make(p, OOL_SYNTAX_DEL), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    do {
        struct ool_syntax *target = parse_test(p);

        if (p->status == OOL_OK && !is_target(target))
            return fail(p, OOL_E_UNSUPPORTED, "a target of del was expected");
        append(&tail, target);
    } while (accept(p, ","));
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_simple(struct parser *p)
{
    struct ool_syntax *node;

    if (accept(p, "pass"))
        return make(p, OOL_SYNTAX_PASS);
    if (accept(p, "del"))
        return parse_del(p);
    if (accept(p, "import"))
        return parse_import(p, false);
    if (accept(p, "from"))
        return parse_import(p, true);
    if (accept(p, "return")) {
        node = make(p, OOL_SYNTAX_RETURN);
        if (node != NULL && p->token != T_NEWLINE && !at_operator(p, ";"))
            node->first = parse_tests(p);
        return p->status == OOL_OK ? node : NULL;
    }
    return parse_assignment(p);
}

static void parse_line(struct parser *p, struct ool_syntax ***tail)
{
    do {
        if (p->token == T_NEWLINE)
            break;
        append(tail, parse_simple(p));
    } while (accept(p, ";"));
    if (p->status == OOL_OK && p->token != T_NEWLINE)
        fail(p, OOL_E_UNSUPPORTED, "the end of the statement was expected");
    advance(p);
}

static void parse_statement(struct parser *p, struct ool_syntax ***tail);

static struct ool_syntax *parse_suite(struct parser *p)
{
    struct ool_syntax *block = make(p, OOL_SYNTAX_BLOCK), **tail;

    expect(p, ":");
    if (block == NULL || !enter(p))
        return NULL;
    tail = &block->first;
    if (p->token != T_NEWLINE) {
        parse_line(p, &tail);
    } else {
        advance(p);
        if (p->token != T_INDENT)
            return fail(p, OOL_E_UNSUPPORTED, "an indented block was expected");
        advance(p);
        while (p->status == OOL_OK && p->token != T_DEDENT && p->token != T_END)
            parse_statement(p, &tail);
        if (p->token == T_DEDENT)
            advance(p);
    }
    p->depth--;
    return p->status == OOL_OK ? block : NULL;
}

static struct ool_syntax *parse_if(struct parser *p)
{
    struct ool_syntax *node, *block = NULL, *condition = parse_test(p);

    node = make_with(p, OOL_SYNTAX_IF, condition, NULL);
    if (node == NULL || (block = parse_suite(p)) == NULL)
        return NULL;
    condition->next = block;
    if (accept(p, "else")) {
        block->next = parse_suite(p);
    } else if (accept(p, "elif")) {
        if (!enter(p))
            return NULL;
        block->next = parse_if(p);
        p->depth--;
    }
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_for(struct parser *p)
{
    struct ool_syntax *node = make(p, OOL_SYNTAX_FOR), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    append(&tail, parse_target(p));
    expect(p, "in");
    append(&tail, parse_tests(p));
    append(&tail, parse_suite(p));
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_with(struct parser *p)
{
    struct ool_syntax *node = make(p, OOL_SYNTAX_WITH), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    do {
        struct ool_syntax *manager = parse_test(p);

        append(&tail, make_with(p, OOL_SYNTAX_ITEM, manager,
                                accept(p, "as") ? parse_name(p, OOL_SYNTAX_NAME) : NULL));
    } while (accept(p, ","));
    append(&tail, parse_suite(p));
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_def(struct parser *p)
{
    struct ool_syntax *node = parse_name(p, OOL_SYNTAX_DEF), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    expect(p, "(");
    while (p->status == OOL_OK && !at_operator(p, ")")) {
        struct ool_syntax *parameter = parse_name(p, OOL_SYNTAX_PARAMETER);

        if (parameter != NULL && accept(p, "="))
            parameter->first = parse_test(p);
        append(&tail, parameter);
        if (!accept(p, ","))
            break;
    }
    expect(p, ")");
    append(&tail, parse_suite(p));
    return p->status == OOL_OK ? node : NULL;
}

static void parse_statement(struct parser *p, struct ool_syntax ***tail)
{
    if (accept(p, "if"))
        append(tail, parse_if(p));
    else if (accept(p, "for"))
        append(tail, parse_for(p));
    else if (accept(p, "with"))
        append(tail, parse_with(p));
    else if (accept(p, "def"))
        append(tail, parse_def(p));
    else
        parse_line(p, tail);
}

enum ool_status ool_snippet_parse(const char *text, struct ool_syntax **block,
                                  struct ool_syntax **tree, struct ool_error *err)
{
    struct parser p = {
        .at = text, .start = text, .line = 1, .n_indents = 1, .line_start = true, .err = err};
    struct ool_syntax *root, **tail;

    if (strlen(text) > MAX_LENGTH)
        return ool_error_set(err, OOL_E_LIMIT, "a text of more than %zu bytes", MAX_LENGTH);
    p.token = T_END;
    root = make(&p, OOL_SYNTAX_BLOCK);
    if (root != NULL) {
        tail = &root->first;
        advance(&p);
        while (p.status == OOL_OK && p.token != T_END)
            parse_statement(&p, &tail);
    }
    if (p.status != OOL_OK) {
        ool_snippet_forget(p.tree);
        return p.status;
    }
    *block = root;
    *tree = p.tree;
    return OOL_OK;
}
