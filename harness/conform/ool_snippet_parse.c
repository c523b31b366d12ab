/*
 * ool_snippet_parse.c - the syntax tree of the Python subset, by recursive descent.
 */
#include "ool_snippet_tokens.h"

#include "ool_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LENGTH ((size_t)1 << 16)
#define MAX_DEPTH 64  /* of expressions and of blocks, together */
#define MAX_CHAIN 256 /* operators in a row without brackets: a.b.c, a + b + c */

/* --- expressions ------------------------------------------------------------------------------------ */

/* Levels from loose to tight: 1 or, 2 and, 3 not, 4 comparisons, then the arithmetic ones. */
#define LEVEL_NOT 3
#define LEVEL_COMPARE 4

static struct ool_syntax *parse_test(struct ool_parser *p);
static struct ool_syntax *parse_tests(struct ool_parser *p);
static struct ool_syntax *parse_binary(struct ool_parser *p, int level);

static bool enter(struct ool_parser *p)
{
    if (++p->depth > MAX_DEPTH)
        ool_parser_fail(p, OOL_E_LIMIT, "nests too deeply");
    return p->status == OOL_OK;
}

static struct ool_syntax *parse_name(struct ool_parser *p, enum ool_syntax_kind kind)
{
    struct ool_syntax *node;

    if (p->status != OOL_OK)
        return NULL;
    if (p->token != OOL_TOKEN_NAME || ool_parser_is_keyword(p))
        return ool_parser_fail(p, OOL_E_UNSUPPORTED, "a name was expected");
    node = ool_parser_make_text(p, kind, p->start, p->length);
    ool_parser_advance(p);
    return node;
}

static struct ool_syntax *parse_number(struct ool_parser *p)
{
    struct ool_syntax *node =
        ool_parser_make(p, p->token == OOL_TOKEN_INT ? OOL_SYNTAX_INT : OOL_SYNTAX_FLOAT);
    char text[64], *end;
    size_t n = 0;

    if (node == NULL)
        return NULL;
    for (size_t i = 0; i < p->length; i++)
        if (p->start[i] != '_') {
            if (n + 1 == sizeof(text))
                return ool_parser_fail(p, OOL_E_UNSUPPORTED, "a number that is too long");
            text[n++] = p->start[i];
        }
    text[n] = '\0';
    errno = 0;
    if (p->token == OOL_TOKEN_INT)
        node->integer = strtoll(text, &end, text[0] == '0' && n > 1 && text[1] != '.' ? 16 : 10);
    else
        node->real = strtod(text, &end);
    if (*end != '\0' || (errno != 0 && p->token == OOL_TOKEN_INT))
        return ool_parser_fail(p, OOL_E_UNSUPPORTED, "a number that is not read");
    ool_parser_advance(p);
    return node;
}

static struct ool_syntax *parse_string(struct ool_parser *p)
{
    struct ool_syntax *node =
        ool_parser_make_text(p, OOL_SYNTAX_STRING, p->start + 1, p->length - 2);

    if (node == NULL)
        return NULL;
    if (strchr(node->text, '\\') != NULL)
        return ool_parser_fail(p, OOL_E_UNSUPPORTED, "an escape in a string");
    ool_parser_advance(p);
    if (p->status == OOL_OK && p->token == OOL_TOKEN_STRING)
        return ool_parser_fail(p, OOL_E_UNSUPPORTED, "strings side by side");
    return node;
}

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

/* Of a loop or comprehension: no test, since `in` would be read as an operator. */
static struct ool_syntax *parse_target(struct ool_parser *p)
{
    struct ool_syntax *node = parse_binary(p, LEVEL_COMPARE + 1);

    if (ool_parser_at_operator(p, ",")) {
        struct ool_syntax *tuple = ool_parser_make(p, OOL_SYNTAX_TUPLE), **tail;

        if (tuple == NULL)
            return NULL;
        tail = &tuple->first;
        ool_parser_append(&tail, node);
        while (ool_parser_accept(p, ",") && !ool_parser_at_word(p, "in"))
            ool_parser_append(&tail, parse_binary(p, LEVEL_COMPARE + 1));
        node = tuple;
    }
    if (p->status == OOL_OK && !is_target(node))
        return ool_parser_fail(p, OOL_E_UNSUPPORTED, "a target of an assignment was expected");
    return p->status == OOL_OK ? node : NULL;
}

/* After an element: `for target in iterable [if condition]...` */
static struct ool_syntax *parse_comprehension(struct ool_parser *p, enum ool_syntax_kind kind,
                                              struct ool_syntax *element)
{
    struct ool_syntax *node = ool_parser_make(p, kind), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    ool_parser_append(&tail, element);
    ool_parser_expect(p, "for");
    ool_parser_append(&tail, parse_target(p));
    ool_parser_expect(p, "in");
    ool_parser_append(&tail, parse_binary(p, 1));
    while (ool_parser_accept(p, "if"))
        ool_parser_append(&tail, parse_binary(p, 1));
    if (ool_parser_at_word(p, "for"))
        return ool_parser_fail(p, OOL_E_UNSUPPORTED, "a comprehension over two iterables");
    return p->status == OOL_OK ? node : NULL;
}

/* ( ... ) and [ ... ] as a display; the opening bracket is taken. */
static struct ool_syntax *parse_display(struct ool_parser *p, bool list)
{
    const char *close = list ? "]" : ")";
    struct ool_syntax *node, *element, **tail;
    bool comma = false;

    if (ool_parser_accept(p, close))
        return ool_parser_make(p, list ? OOL_SYNTAX_LIST : OOL_SYNTAX_TUPLE);
    element = parse_test(p);
    if (ool_parser_at_word(p, "for")) {
        node = parse_comprehension(p, list ? OOL_SYNTAX_LIST_OF : OOL_SYNTAX_GENERATOR, element);
        ool_parser_expect(p, close);
        return node;
    }
    node = ool_parser_make(p, list ? OOL_SYNTAX_LIST : OOL_SYNTAX_TUPLE);
    if (node == NULL)
        return NULL;
    tail = &node->first;
    ool_parser_append(&tail, element);
    while (ool_parser_accept(p, ",")) {
        comma = true;
        if (ool_parser_at_operator(p, close))
            break;
        ool_parser_append(&tail, parse_test(p));
    }
    ool_parser_expect(p, close);
    return list || comma ? node : element;
}

static struct ool_syntax *parse_lambda(struct ool_parser *p)
{
    struct ool_syntax *node = ool_parser_make(p, OOL_SYNTAX_LAMBDA), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    while (p->status == OOL_OK && !ool_parser_at_operator(p, ":")) {
        struct ool_syntax *parameter = parse_name(p, OOL_SYNTAX_PARAMETER);

        if (parameter != NULL && ool_parser_accept(p, "="))
            parameter->first = parse_test(p);
        ool_parser_append(&tail, parameter);
        if (!ool_parser_accept(p, ","))
            break;
    }
    ool_parser_expect(p, ":");
    ool_parser_append(&tail, parse_test(p));
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_atom(struct ool_parser *p)
{
    struct ool_syntax *node;

    if (p->status != OOL_OK)
        return NULL;
    if (p->token == OOL_TOKEN_INT || p->token == OOL_TOKEN_FLOAT)
        return parse_number(p);
    if (p->token == OOL_TOKEN_STRING)
        return parse_string(p);
    if (ool_parser_accept(p, "("))
        return parse_display(p, false);
    if (ool_parser_accept(p, "["))
        return parse_display(p, true);
    if (ool_parser_accept(p, "..."))
        return ool_parser_make(p, OOL_SYNTAX_ELLIPSIS);
    if (ool_parser_accept(p, "None"))
        return ool_parser_make(p, OOL_SYNTAX_NONE);
    if (ool_parser_at_word(p, "True") || ool_parser_at_word(p, "False")) {
        node = ool_parser_make(p, OOL_SYNTAX_BOOL);
        if (node != NULL)
            node->integer = ool_parser_at_word(p, "True");
        ool_parser_advance(p);
        return node;
    }
    return parse_name(p, OOL_SYNTAX_NAME);
}

static struct ool_syntax *parse_arguments(struct ool_parser *p, struct ool_syntax *callee)
{
    struct ool_syntax *node = ool_parser_make_with(p, OOL_SYNTAX_CALL, callee, NULL), **tail;

    if (node == NULL)
        return NULL;
    tail = &callee->next;
    while (p->status == OOL_OK && !ool_parser_at_operator(p, ")")) {
        struct ool_syntax *argument;

        if (ool_parser_accept(p, "*")) {
            argument = ool_parser_make_with(p, OOL_SYNTAX_STAR, parse_test(p), NULL);
        } else {
            argument = parse_test(p);
            if (argument != NULL && argument->kind == OOL_SYNTAX_NAME &&
                ool_parser_accept(p, "=")) {
                argument->kind = OOL_SYNTAX_KEYWORD;
                argument->first = parse_test(p);
            } else if (ool_parser_at_word(p, "for")) {
                argument = parse_comprehension(p, OOL_SYNTAX_GENERATOR, argument);
            }
        }
        ool_parser_append(&tail, argument);
        if (!ool_parser_accept(p, ","))
            break;
    }
    ool_parser_expect(p, ")");
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_slice_part(struct ool_parser *p)
{
    if (ool_parser_at_operator(p, ":") || ool_parser_at_operator(p, "]") ||
        ool_parser_at_operator(p, ","))
        return ool_parser_make(p, OOL_SYNTAX_ABSENT);
    return parse_test(p);
}

static struct ool_syntax *parse_subscript(struct ool_parser *p)
{
    struct ool_syntax *node, *start, **tail;

    start = parse_slice_part(p);
    if (!ool_parser_at_operator(p, ":")) {
        if (start != NULL && start->kind == OOL_SYNTAX_ABSENT)
            return ool_parser_fail(p, OOL_E_UNSUPPORTED, "an index was expected");
        return start;
    }
    node = ool_parser_make(p, OOL_SYNTAX_SLICE);
    if (node == NULL)
        return NULL;
    tail = &node->first;
    ool_parser_append(&tail, start);
    for (int i = 0; i < 2; i++)
        ool_parser_append(&tail, ool_parser_accept(p, ":") ? parse_slice_part(p)
                                                           : ool_parser_make(p, OOL_SYNTAX_ABSENT));
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_subscripts(struct ool_parser *p, struct ool_syntax *object)
{
    struct ool_syntax *index = parse_subscript(p);

    if (ool_parser_at_operator(p, ",")) {
        struct ool_syntax *tuple = ool_parser_make(p, OOL_SYNTAX_TUPLE), **tail;

        if (tuple == NULL)
            return NULL;
        tail = &tuple->first;
        ool_parser_append(&tail, index);
        while (ool_parser_accept(p, ",") && !ool_parser_at_operator(p, "]"))
            ool_parser_append(&tail, parse_subscript(p));
        index = tuple;
    }
    ool_parser_expect(p, "]");
    return ool_parser_make_with(p, OOL_SYNTAX_SUBSCRIPT, object, index);
}

static struct ool_syntax *parse_postfix(struct ool_parser *p)
{
    struct ool_syntax *node = parse_atom(p);

    for (int n = 0; p->status == OOL_OK; n++) {
        if (n == MAX_CHAIN)
            return ool_parser_fail(p, OOL_E_LIMIT, "nests too deeply");
        if (ool_parser_accept(p, ".")) {
            struct ool_syntax *attribute = parse_name(p, OOL_SYNTAX_ATTRIBUTE);

            if (attribute == NULL)
                return NULL;
            attribute->first = node;
            node = attribute;
        } else if (ool_parser_accept(p, "(")) {
            node = parse_arguments(p, node);
        } else if (ool_parser_accept(p, "[")) {
            node = parse_subscripts(p, node);
        } else {
            return node;
        }
    }
    return NULL;
}

/* Unary operators and **, which binds tighter on its left than on its right. */
static struct ool_syntax *parse_unary(struct ool_parser *p)
{
    static const struct {
        const char *text;
        enum ool_syntax_op op;
    } unary[] = {
        {"-", OOL_SYNTAX_NEG},
        {"+", OOL_SYNTAX_PLUS},
        {"~", OOL_SYNTAX_INVERT},
    };
    struct ool_syntax *node = NULL, *left;

    if (!enter(p))
        return NULL;
    for (size_t i = 0; i < sizeof(unary) / sizeof(unary[0]); i++)
        if (ool_parser_accept(p, unary[i].text)) {
            node = ool_parser_make_with(p, OOL_SYNTAX_UNARY, parse_unary(p), NULL);
            if (node != NULL)
                node->op = unary[i].op;
            p->depth--;
            return node;
        }
    left = parse_postfix(p);
    if (ool_parser_accept(p, "**")) {
        struct ool_syntax *right = parse_unary(p);

        node = ool_parser_make_with(p, OOL_SYNTAX_BINARY, left, right);
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

static const struct infix operators[] = {
    {"==", 4, OOL_SYNTAX_EQ},          {"!=", 4, OOL_SYNTAX_NE},
    {"<=", 4, OOL_SYNTAX_LE},          {">=", 4, OOL_SYNTAX_GE},
    {"<", 4, OOL_SYNTAX_LT},           {">", 4, OOL_SYNTAX_GT},
    {"is", 4, OOL_SYNTAX_IS},          {"in", 4, OOL_SYNTAX_IN},
    {"|", 5, OOL_SYNTAX_BIT_OR},       {"^", 6, OOL_SYNTAX_BIT_XOR},
    {"&", 7, OOL_SYNTAX_BIT_AND},      {"<<", 8, OOL_SYNTAX_SHIFT_LEFT},
    {">>", 8, OOL_SYNTAX_SHIFT_RIGHT}, {"+", 9, OOL_SYNTAX_ADD},
    {"-", 9, OOL_SYNTAX_SUB},          {"*", 10, OOL_SYNTAX_MUL},
    {"/", 10, OOL_SYNTAX_DIV},         {"//", 10, OOL_SYNTAX_FLOOR_DIV},
    {"%", 10, OOL_SYNTAX_MOD},         {"@", 10, OOL_SYNTAX_MATMUL},
};

static const struct infix *accept_operator(struct ool_parser *p, int level)
{
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
        if (operators[i].level == level && ool_parser_accept(p, operators[i].text))
            return &operators[i];
    return NULL;
}

static struct ool_syntax *parse_compare(struct ool_parser *p)
{
    struct ool_syntax *left = parse_binary(p, LEVEL_COMPARE + 1), *node;
    const struct infix *found;
    enum ool_syntax_op op;

    if (ool_parser_at_word(p, "not")) {
        ool_parser_advance(p);
        ool_parser_expect(p, "in");
        op = OOL_SYNTAX_NOT_IN;
    } else if ((found = accept_operator(p, LEVEL_COMPARE)) != NULL) {
        op = found->op;
        if (op == OOL_SYNTAX_IS && ool_parser_accept(p, "not"))
            op = OOL_SYNTAX_IS_NOT;
    } else {
        return left;
    }
    node = ool_parser_make_with(p, OOL_SYNTAX_BINARY, left, parse_binary(p, LEVEL_COMPARE + 1));
    if (node != NULL)
        node->op = op;
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
        if (operators[i].level == LEVEL_COMPARE && (ool_parser_at_operator(p, operators[i].text) ||
                                                    ool_parser_at_word(p, operators[i].text)))
            return ool_parser_fail(p, OOL_E_UNSUPPORTED, "a chain of comparisons");
    return node;
}

static struct ool_syntax *parse_binary(struct ool_parser *p, int level)
{
    struct ool_syntax *node;

    if (level > 10)
        return parse_unary(p);
    if (level == LEVEL_COMPARE)
        return parse_compare(p);
    if (level == LEVEL_NOT && ool_parser_at_word(p, "not")) {
        if (!enter(p))
            return NULL;
        ool_parser_advance(p);
        node = ool_parser_make_with(p, OOL_SYNTAX_UNARY, parse_binary(p, LEVEL_NOT), NULL);
        if (node != NULL)
            node->op = OOL_SYNTAX_NOT;
        p->depth--;
        return node;
    }
    node = parse_binary(p, level + 1);
    for (int n = 0; p->status == OOL_OK; n++) {
        const struct infix *found = NULL;
        enum ool_syntax_kind kind = OOL_SYNTAX_BINARY;

        if (level == 1 && ool_parser_accept(p, "or"))
            kind = OOL_SYNTAX_OR;
        else if (level == 2 && ool_parser_accept(p, "and"))
            kind = OOL_SYNTAX_AND;
        else if (level <= LEVEL_COMPARE || (found = accept_operator(p, level)) == NULL)
            return node;
        if (n == MAX_CHAIN)
            return ool_parser_fail(p, OOL_E_LIMIT, "nests too deeply");
        node = ool_parser_make_with(p, kind, node, parse_binary(p, level + 1));
        if (node != NULL && found != NULL)
            node->op = found->op;
    }
    return NULL;
}

static struct ool_syntax *parse_test(struct ool_parser *p)
{
    struct ool_syntax *node;

    if (!enter(p))
        return NULL;
    if (ool_parser_accept(p, "lambda")) {
        node = parse_lambda(p);
    } else {
        node = parse_binary(p, 1);
        if (ool_parser_accept(p, "if")) {
            struct ool_syntax *condition = parse_binary(p, 1), *otherwise;

            ool_parser_expect(p, "else");
            otherwise = parse_test(p);
            if (condition != NULL)
                condition->next = otherwise;
            node = ool_parser_make_with(p, OOL_SYNTAX_CONDITION, node, condition);
        }
    }
    p->depth--;
    return p->status == OOL_OK ? node : NULL;
}

/* One expression, or several with commas: a tuple. */
static struct ool_syntax *parse_tests(struct ool_parser *p)
{
    struct ool_syntax *node = parse_test(p), *tuple, **tail;

    if (!ool_parser_at_operator(p, ","))
        return node;
    tuple = ool_parser_make(p, OOL_SYNTAX_TUPLE);
    if (tuple == NULL)
        return NULL;
    tail = &tuple->first;
    ool_parser_append(&tail, node);
    while (ool_parser_accept(p, ",")) {
        if (p->token == OOL_TOKEN_NEWLINE || ool_parser_at_operator(p, "=") ||
            ool_parser_at_operator(p, ";"))
            break;
        ool_parser_append(&tail, parse_test(p));
    }
    return p->status == OOL_OK ? tuple : NULL;
}

/* --- statements -------------------------------------------------------------------------------------- */

static struct ool_syntax *parse_assignment(struct ool_parser *p)
{
    static const struct {
        const char *text;
        enum ool_syntax_op op;
    } augmented[] = {
        {"+=", OOL_SYNTAX_ADD},    {"-=", OOL_SYNTAX_SUB},        {"*=", OOL_SYNTAX_MUL},
        {"/=", OOL_SYNTAX_DIV},    {"//=", OOL_SYNTAX_FLOOR_DIV}, {"%=", OOL_SYNTAX_MOD},
        {"**=", OOL_SYNTAX_POW},   {"@=", OOL_SYNTAX_MATMUL},     {"&=", OOL_SYNTAX_BIT_AND},
        {"|=", OOL_SYNTAX_BIT_OR}, {"^=", OOL_SYNTAX_BIT_XOR},
    };
    struct ool_syntax *value = parse_tests(p), *node, *targets = NULL, **tail = &targets;

    for (size_t i = 0; i < sizeof(augmented) / sizeof(augmented[0]); i++)
        if (is_target(value) && ool_parser_accept(p, augmented[i].text)) {
            node = ool_parser_make_with(p, OOL_SYNTAX_AUGMENT, value, parse_tests(p));
            if (node != NULL)
                node->op = augmented[i].op;
            return node;
        }
    while (p->status == OOL_OK && ool_parser_at_operator(p, "=")) {
        if (!is_target(value))
            return ool_parser_fail(p, OOL_E_UNSUPPORTED, "a target of an assignment was expected");
        ool_parser_advance(p);
        ool_parser_append(&tail, value);
        value = parse_tests(p);
    }
    return ool_parser_make_with(p, targets != NULL ? OOL_SYNTAX_ASSIGN : OOL_SYNTAX_EXPRESSION,
                                value, targets);
}

/* A dotted name's text, from its first name to its last. */
static struct ool_syntax *parse_dotted(struct ool_parser *p)
{
    const char *start = p->start, *end = p->start + p->length;

    if (parse_name(p, OOL_SYNTAX_NAME) == NULL)
        return NULL;
    while (ool_parser_accept(p, ".")) {
        end = p->start + p->length;
        if (parse_name(p, OOL_SYNTAX_NAME) == NULL)
            return NULL;
    }
    return ool_parser_make_text(p, OOL_SYNTAX_IMPORT, start, (size_t)(end - start));
}

/* import a.b [as c] binds a (or c); from a.b import c [as d] binds c (or d) to a.b.c. */
static struct ool_syntax *parse_import(struct ool_parser *p, bool from)
{
    struct ool_syntax *block = ool_parser_make(p, OOL_SYNTAX_BLOCK), *module, **tail;

    module = parse_dotted(p);
    if (block == NULL || module == NULL)
        return NULL;
    tail = &block->first;
    if (!from) {
        if (ool_parser_accept(p, "as")) {
            module->first = parse_name(p, OOL_SYNTAX_NAME);
        } else {
            module->first =
                ool_parser_make_text(p, OOL_SYNTAX_NAME, module->text, strcspn(module->text, "."));
            module->text[strcspn(module->text, ".")] = '\0';
        }
        ool_parser_append(&tail, module);
        return p->status == OOL_OK ? block : NULL;
    }
    ool_parser_expect(p, "import");
    do {
        struct ool_syntax *name = parse_name(p, OOL_SYNTAX_NAME), *import;
        size_t length;

        if (name == NULL)
            return NULL;
        length = strlen(module->text) + 1 + strlen(name->text);
        import = ool_parser_make_text(p, OOL_SYNTAX_IMPORT, "", 0);
        if (import == NULL)
            return NULL;
        ool_free(import->text);
        import->text = ool_calloc(length + 1, 1);
        if (import->text == NULL)
            return ool_parser_fail(p, OOL_E_HOST_OOM, "no memory for the tree");
        strcat(strcat(strcpy(import->text, module->text), "."), name->text);
        import->first = ool_parser_accept(p, "as") ? parse_name(p, OOL_SYNTAX_NAME) : name;
        ool_parser_append(&tail, import);
    } while (ool_parser_accept(p, ","));
    return p->status == OOL_OK ? block : NULL;
}

static struct ool_syntax *parse_del(struct ool_parser *p)
{
    struct ool_syntax *node = ool_parser_make(p, OOL_SYNTAX_DEL), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    do {
        struct ool_syntax *target = parse_test(p);

        if (p->status == OOL_OK && !is_target(target))
            return ool_parser_fail(p, OOL_E_UNSUPPORTED, "a target of del was expected");
        ool_parser_append(&tail, target);
    } while (ool_parser_accept(p, ","));
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_simple(struct ool_parser *p)
{
    struct ool_syntax *node;

    if (ool_parser_accept(p, "pass"))
        return ool_parser_make(p, OOL_SYNTAX_PASS);
    if (ool_parser_accept(p, "del"))
        return parse_del(p);
    if (ool_parser_accept(p, "import"))
        return parse_import(p, false);
    if (ool_parser_accept(p, "from"))
        return parse_import(p, true);
    if (ool_parser_accept(p, "return")) {
        node = ool_parser_make(p, OOL_SYNTAX_RETURN);
        if (node != NULL && p->token != OOL_TOKEN_NEWLINE && !ool_parser_at_operator(p, ";"))
            node->first = parse_tests(p);
        return p->status == OOL_OK ? node : NULL;
    }
    return parse_assignment(p);
}

static void parse_line(struct ool_parser *p, struct ool_syntax ***tail)
{
    do {
        if (p->token == OOL_TOKEN_NEWLINE)
            break;
        ool_parser_append(tail, parse_simple(p));
    } while (ool_parser_accept(p, ";"));
    if (p->status == OOL_OK && p->token != OOL_TOKEN_NEWLINE)
        ool_parser_fail(p, OOL_E_UNSUPPORTED, "the end of the statement was expected");
    ool_parser_advance(p);
}

static void parse_statement(struct ool_parser *p, struct ool_syntax ***tail);

static struct ool_syntax *parse_suite(struct ool_parser *p)
{
    struct ool_syntax *block = ool_parser_make(p, OOL_SYNTAX_BLOCK), **tail;

    ool_parser_expect(p, ":");
    if (block == NULL || !enter(p))
        return NULL;
    tail = &block->first;
    if (p->token != OOL_TOKEN_NEWLINE) {
        parse_line(p, &tail);
    } else {
        ool_parser_advance(p);
        if (p->token != OOL_TOKEN_INDENT)
            return ool_parser_fail(p, OOL_E_UNSUPPORTED, "an indented block was expected");
        ool_parser_advance(p);
        while (p->status == OOL_OK && p->token != OOL_TOKEN_DEDENT && p->token != OOL_TOKEN_END)
            parse_statement(p, &tail);
        if (p->token == OOL_TOKEN_DEDENT)
            ool_parser_advance(p);
    }
    p->depth--;
    return p->status == OOL_OK ? block : NULL;
}

static struct ool_syntax *parse_if(struct ool_parser *p)
{
    struct ool_syntax *node, *block = NULL, *condition = parse_test(p);

    node = ool_parser_make_with(p, OOL_SYNTAX_IF, condition, NULL);
    if (node == NULL || (block = parse_suite(p)) == NULL)
        return NULL;
    condition->next = block;
    if (ool_parser_accept(p, "else")) {
        block->next = parse_suite(p);
    } else if (ool_parser_accept(p, "elif")) {
        if (!enter(p))
            return NULL;
        block->next = parse_if(p);
        p->depth--;
    }
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_for(struct ool_parser *p)
{
    struct ool_syntax *node = ool_parser_make(p, OOL_SYNTAX_FOR), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    ool_parser_append(&tail, parse_target(p));
    ool_parser_expect(p, "in");
    ool_parser_append(&tail, parse_tests(p));
    ool_parser_append(&tail, parse_suite(p));
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_with(struct ool_parser *p)
{
    struct ool_syntax *node = ool_parser_make(p, OOL_SYNTAX_WITH), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    do {
        struct ool_syntax *manager = parse_test(p);

        ool_parser_append(&tail, ool_parser_make_with(p, OOL_SYNTAX_ITEM, manager,
                                                      ool_parser_accept(p, "as")
                                                          ? parse_name(p, OOL_SYNTAX_NAME)
                                                          : NULL));
    } while (ool_parser_accept(p, ","));
    ool_parser_append(&tail, parse_suite(p));
    return p->status == OOL_OK ? node : NULL;
}

static struct ool_syntax *parse_def(struct ool_parser *p)
{
    struct ool_syntax *node = parse_name(p, OOL_SYNTAX_DEF), **tail;

    if (node == NULL)
        return NULL;
    tail = &node->first;
    ool_parser_expect(p, "(");
    while (p->status == OOL_OK && !ool_parser_at_operator(p, ")")) {
        struct ool_syntax *parameter = parse_name(p, OOL_SYNTAX_PARAMETER);

        if (parameter != NULL && ool_parser_accept(p, "="))
            parameter->first = parse_test(p);
        ool_parser_append(&tail, parameter);
        if (!ool_parser_accept(p, ","))
            break;
    }
    ool_parser_expect(p, ")");
    ool_parser_append(&tail, parse_suite(p));
    return p->status == OOL_OK ? node : NULL;
}

static void parse_statement(struct ool_parser *p, struct ool_syntax ***tail)
{
    if (ool_parser_accept(p, "if"))
        ool_parser_append(tail, parse_if(p));
    else if (ool_parser_accept(p, "for"))
        ool_parser_append(tail, parse_for(p));
    else if (ool_parser_accept(p, "with"))
        ool_parser_append(tail, parse_with(p));
    else if (ool_parser_accept(p, "def"))
        ool_parser_append(tail, parse_def(p));
    else
        parse_line(p, tail);
}

enum ool_status ool_snippet_parse(const char *text, struct ool_syntax **block,
                                  struct ool_syntax **tree, struct ool_error *err)
{
    struct ool_parser p = {
        .at = text, .start = text, .line = 1, .n_indents = 1, .line_start = true, .err = err};
    struct ool_syntax *root, **tail;

    if (strlen(text) > MAX_LENGTH)
        return ool_error_set(err, OOL_E_LIMIT, "a text of more than %zu bytes", MAX_LENGTH);
    p.token = OOL_TOKEN_END;
    root = ool_parser_make(&p, OOL_SYNTAX_BLOCK);
    if (root != NULL) {
        tail = &root->first;
        ool_parser_advance(&p);
        while (p.status == OOL_OK && p.token != OOL_TOKEN_END)
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
