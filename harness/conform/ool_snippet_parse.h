/*
 * ool_snippet_parse.h - the syntax tree of a text in the Python subset of ool_snippet.h.
 */
#ifndef OOL_SNIPPET_PARSE_H
#define OOL_SNIPPET_PARSE_H

#include "ool_error.h"

#include <stdint.h>

enum ool_syntax_kind {
    /* expressions */
    OOL_SYNTAX_NONE,
    OOL_SYNTAX_BOOL,
    OOL_SYNTAX_INT,
    OOL_SYNTAX_FLOAT,
    OOL_SYNTAX_STRING,
    OOL_SYNTAX_ELLIPSIS,
    OOL_SYNTAX_NAME,
    OOL_SYNTAX_ATTRIBUTE, /* object; text */
    OOL_SYNTAX_CALL,      /* callee, arguments */
    OOL_SYNTAX_KEYWORD,   /* value; text: an argument by name */
    OOL_SYNTAX_STAR,      /* iterable: *arguments */
    OOL_SYNTAX_SUBSCRIPT, /* object, index */
    OOL_SYNTAX_SLICE,     /* start, stop, step; each may be ABSENT */
    OOL_SYNTAX_ABSENT,
    OOL_SYNTAX_TUPLE,
    OOL_SYNTAX_LIST,
    OOL_SYNTAX_UNARY,
    OOL_SYNTAX_BINARY, /* op; operands */
    OOL_SYNTAX_AND,
    OOL_SYNTAX_OR,
    OOL_SYNTAX_CONDITION, /* value if true, condition, value if false */
    OOL_SYNTAX_LAMBDA,    /* parameters, body */
    OOL_SYNTAX_LIST_OF,
    OOL_SYNTAX_GENERATOR, /* element, target, iterable, conditions */
    /* statements */
    OOL_SYNTAX_EXPRESSION, /* value */
    OOL_SYNTAX_ASSIGN,     /* value, targets from left to right */
    OOL_SYNTAX_AUGMENT,    /* op; target, value */
    OOL_SYNTAX_DEL,        /* targets */
    OOL_SYNTAX_FOR,        /* target, iterable, BLOCK */
    OOL_SYNTAX_IF,         /* condition, BLOCK, optionally BLOCK or IF */
    OOL_SYNTAX_WITH,       /* ITEMs, BLOCK */
    OOL_SYNTAX_ITEM,       /* manager, optionally target */
    OOL_SYNTAX_DEF,        /* text; parameters, BLOCK */
    OOL_SYNTAX_PARAMETER,  /* text; optionally default */
    OOL_SYNTAX_RETURN,     /* optionally value */
    OOL_SYNTAX_IMPORT,     /* text: the dotted name; first: NAME that it is bound to */
    OOL_SYNTAX_PASS,
    OOL_SYNTAX_BLOCK /* statements */
};

enum ool_syntax_op {
    OOL_SYNTAX_ADD,
    OOL_SYNTAX_SUB,
    OOL_SYNTAX_MUL,
    OOL_SYNTAX_DIV,
    OOL_SYNTAX_FLOOR_DIV,
    OOL_SYNTAX_MOD,
    OOL_SYNTAX_POW,
    OOL_SYNTAX_MATMUL,
    OOL_SYNTAX_BIT_AND,
    OOL_SYNTAX_BIT_OR,
    OOL_SYNTAX_BIT_XOR,
    OOL_SYNTAX_SHIFT_LEFT,
    OOL_SYNTAX_SHIFT_RIGHT,
    OOL_SYNTAX_EQ,
    OOL_SYNTAX_NE,
    OOL_SYNTAX_LT,
    OOL_SYNTAX_LE,
    OOL_SYNTAX_GT,
    OOL_SYNTAX_GE,
    OOL_SYNTAX_IS,
    OOL_SYNTAX_IS_NOT,
    OOL_SYNTAX_IN,
    OOL_SYNTAX_NOT_IN,
    OOL_SYNTAX_PLUS,
    OOL_SYNTAX_NEG,
    OOL_SYNTAX_INVERT,
    OOL_SYNTAX_NOT
};

struct ool_syntax {
    enum ool_syntax_kind kind;
    enum ool_syntax_op op;
    int line;
    char *text;                      /* of names and strings; owned */
    int64_t integer;                 /* of INT and BOOL */
    double real;                     /* of FLOAT */
    struct ool_syntax *first, *next; /* children are a list */
    struct ool_syntax *older;        /* all nodes of a tree, for its end */
};

/**
 * ool_snippet_parse - the tree of a text, a BLOCK
 *
 * @tree: receives the newest node of the tree, which ool_snippet_forget() needs
 *
 * Errors: OOL_E_UNSUPPORTED with the line and what was found, OOL_E_LIMIT (length, depth),
 *         OOL_E_HOST_OOM; outputs untouched.
 */
enum ool_status ool_snippet_parse(const char *text, struct ool_syntax **block,
                                  struct ool_syntax **tree, struct ool_error *err);
void ool_snippet_forget(struct ool_syntax *tree);

#endif
