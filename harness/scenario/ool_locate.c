#include "ool_locate.h"

#include "ool_mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scanner {
    struct ool_layout *layout;
    const char *text;
    size_t at, length;
    uint32_t line;
    int depth;
    struct ool_error *err;
};

static enum ool_status fail(struct scanner *s, enum ool_status status, size_t at, size_t length,
                            const char *text, const char *hint)
{
    if (s->err != NULL && s->err->status == OOL_OK) {
        ool_error_set(s->err, status, "%s", text);
        s->err->offset = at;
        s->err->length = length;
        strncpy(s->err->hint, hint, sizeof s->err->hint - 1);
    }
    return status;
}

static enum ool_status wrong(struct scanner *s, const char *text, const char *hint)
{
    return fail(s, OOL_E_JSON, s->at, 1, text, hint);
}

static int peek(const struct scanner *s)
{
    return s->at < s->length ? (unsigned char)s->text[s->at] : -1;
}

static void skip_blanks(struct scanner *s)
{
    for (; s->at < s->length; s->at++) {
        char c = s->text[s->at];
        if (c == '\n')
            s->line++;
        else if (c != ' ' && c != '\t' && c != '\r')
            break;
    }
}

/* What stands where something else was expected, in words of its own where it is a habit of other formats. */
static enum ool_status unexpected(struct scanner *s, const char *expected)
{
    char text[120];
    int c = peek(s);

    if (c < 0)
        return wrong(s, "the text ends too early", "a closing bracket or quote is missing");
    if (c == '/' || c == '#')
        return wrong(s, "JSON has no comments", "put remarks into \"$comment\": \"...\"");
    if (c == '\'')
        return wrong(s, "JSON quotes texts with \" only", "write \"...\" instead of '...'");
    if (c == '\0')
        return wrong(s, "a NUL byte stands in the text", "");
    if (c > ' ' && c < 127)
        snprintf(text, sizeof text, "expected %s, found '%c'", expected, c);
    else
        snprintf(text, sizeof text, "expected %s, found byte 0x%02x", expected, (unsigned)c);
    return wrong(s, text, "");
}

static enum ool_status scan_string(struct scanner *s)
{
    size_t start = s->at++;

    for (; s->at < s->length; s->at++) {
        unsigned char c = (unsigned char)s->text[s->at];
        if (c == '"') {
            s->at++;
            return OOL_OK;
        }
        if (c < ' ')
            return wrong(s,
                         c == '\n' ? "a text is not closed on its line"
                                   : "a control character stands in a text",
                         c == '\0' ? "" : "write \\n or \\t for line ends and tabs");
        if (c == '\\')
            s->at++;
    }
    s->at = start;
    return wrong(s, "a text is not closed", "add the closing \"");
}

static size_t digits(struct scanner *s)
{
    size_t start = s->at;

    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at - start;
}

static enum ool_status scan_number(struct scanner *s)
{
    size_t start = s->at;
    size_t n;

    if (peek(s) == '-')
        s->at++;
    n = digits(s);
    if (n == 0)
        return unexpected(s, "a digit");
    if (n > 1 && s->text[s->at - n] == '0')
        return fail(s, OOL_E_JSON, start, s->at - start, "a number begins with 0",
                    "leave the leading zero out");
    if (peek(s) == '.') {
        s->at++;
        if (digits(s) == 0)
            return unexpected(s, "a digit after the point");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (digits(s) == 0)
            return unexpected(s, "a digit of the exponent");
    }
    return OOL_OK;
}

static enum ool_status scan_word(struct scanner *s)
{
    static const char *const words[] = {"true", "false", "null"};
    size_t start = s->at, length = 0;

    while (start + length < s->length &&
           ((s->text[start + length] | 32) >= 'a' && (s->text[start + length] | 32) <= 'z'))
        length++;
    for (size_t i = 0; i < 3; i++) {
        if (strlen(words[i]) == length && memcmp(s->text + start, words[i], length) == 0) {
            s->at += length;
            return OOL_OK;
        }
    }
    if (length > 0)
        return fail(s, OOL_E_JSON, start, length, "this word is no JSON value",
                    "texts stand in \"...\"; the words of JSON are true, false and null");
    return unexpected(s, "a value");
}

static enum ool_status add_node(struct scanner *s, uint32_t parent, uint32_t *node)
{
    struct ool_layout *layout = s->layout;
    struct ool_layout_node fresh = {.parent = parent, .next = OOL_NO_NODE, .first = OOL_NO_NODE};

    if (layout->n_nodes >= OOL_LAYOUT_VALUES)
        return fail(s, OOL_E_LIMIT, s->at, 1, "more than 1000000 values in one file", "");
    if (!ool_grow(&layout->nodes, &layout->capacity, layout->n_nodes, sizeof *layout->nodes))
        return fail(s, OOL_E_HOST_OOM, s->at, 1, "no memory to read a file", "");
    *node = (uint32_t)layout->n_nodes++;
    layout->nodes[*node] = fresh;
    return OOL_OK;
}

static enum ool_status scan_value(struct scanner *s, uint32_t node);

static enum ool_status scan_key(struct scanner *s, uint32_t node)
{
    enum ool_status status;
    size_t start = s->at;

    if (peek(s) != '"')
        return unexpected(s, "a key in quotes");
    status = scan_string(s);
    if (status != OOL_OK)
        return status;
    s->layout->nodes[node].key = (uint32_t)start;
    s->layout->nodes[node].key_length = (uint32_t)(s->at - start);
    skip_blanks(s);
    if (peek(s) != ':')
        return unexpected(s, "':' after the key");
    s->at++;
    return OOL_OK;
}

/* The members of an object or the elements of an array, up to @close. */
static enum ool_status scan_children(struct scanner *s, uint32_t parent, char close)
{
    uint32_t last = OOL_NO_NODE;

    s->at++;
    for (uint32_t index = 0;; index++) {
        enum ool_status status;
        uint32_t node;

        skip_blanks(s);
        if (peek(s) == close && index == 0)
            break;
        if (peek(s) == close)
            return wrong(s, "a comma stands before the closing bracket",
                         "JSON allows no trailing comma");
        status = add_node(s, parent, &node);
        if (status != OOL_OK)
            return status;
        if (last == OOL_NO_NODE)
            s->layout->nodes[parent].first = node;
        else
            s->layout->nodes[last].next = node;
        last = node;
        s->layout->nodes[node].index = index;
        if (close == '}' && (status = scan_key(s, node)) != OOL_OK)
            return status;
        status = scan_value(s, node);
        if (status != OOL_OK)
            return status;
        skip_blanks(s);
        if (peek(s) == close)
            break;
        if (peek(s) != ',')
            return unexpected(s, close == '}' ? "',' or '}'" : "',' or ']'");
        s->at++;
    }
    s->at++;
    return OOL_OK;
}

static enum ool_status scan_value(struct scanner *s, uint32_t node)
{
    enum ool_status status;
    size_t start;
    int c;

    skip_blanks(s);
    start = s->at;
    c = peek(s);
    s->layout->nodes[node].start = (uint32_t)start;
    s->layout->nodes[node].line = s->line;
    if (c == '{' || c == '[') {
        if (++s->depth > OOL_LAYOUT_DEPTH)
            return fail(s, OOL_E_LIMIT, start, 1, "brackets nest deeper than 64", "");
        status = scan_children(s, node, c == '{' ? '}' : ']');
        s->depth--;
    } else if (c == '"') {
        status = scan_string(s);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        status = scan_number(s);
    } else {
        status = scan_word(s);
    }
    s->layout->nodes[node].length = (uint32_t)(s->at - start);
    return status;
}

static enum ool_status scan_document(struct scanner *s)
{
    enum ool_status status;
    uint32_t root;

    if (s->length > OOL_LAYOUT_BYTES)
        return fail(s, OOL_E_LIMIT, 0, 1, "the file is larger than 16 MiB", "");
    if (s->length >= 3 && memcmp(s->text, "\xef\xbb\xbf", 3) == 0)
        return fail(s, OOL_E_JSON, 0, 3, "the text begins with a byte order mark",
                    "save the file as UTF-8 without BOM");
    status = add_node(s, OOL_NO_NODE, &root);
    if (status == OOL_OK)
        status = scan_value(s, root);
    if (status != OOL_OK)
        return status;
    skip_blanks(s);
    return s->at == s->length ? OOL_OK : unexpected(s, "the end of the text");
}

enum ool_status ool_layout_build(const char *text, size_t length, struct ool_layout *layout,
                                 struct ool_error *err)
{
    struct scanner s = {layout, text, 0, length, 1, 0, err};
    enum ool_status status;

    memset(layout, 0, sizeof *layout);
    layout->text = text;
    layout->length = length;
    status = scan_document(&s);
    if (status != OOL_OK)
        ool_layout_fini(layout);
    return status;
}

void ool_layout_fini(struct ool_layout *layout)
{
    ool_free(layout->nodes);
    memset(layout, 0, sizeof *layout);
}

static unsigned hex4(const char *p)
{
    unsigned value = 0;

    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i];
        value = value * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10) % 16;
    }
    return value;
}

static void add_utf8(struct ool_text *out, unsigned code)
{
    char bytes[4];

    if (code < 0x80) {
        bytes[0] = (char)code;
        ool_text_add(out, bytes, 1);
    } else if (code < 0x800) {
        bytes[0] = (char)(0xc0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 63));
        ool_text_add(out, bytes, 2);
    } else if (code < 0x10000) {
        bytes[0] = (char)(0xe0 | code >> 12);
        bytes[1] = (char)(0x80 | (code >> 6 & 63));
        bytes[2] = (char)(0x80 | (code & 63));
        ool_text_add(out, bytes, 3);
    } else {
        bytes[0] = (char)(0xf0 | code >> 18);
        bytes[1] = (char)(0x80 | (code >> 12 & 63));
        bytes[2] = (char)(0x80 | (code >> 6 & 63));
        bytes[3] = (char)(0x80 | (code & 63));
        ool_text_add(out, bytes, 4);
    }
}

/* One escape sequence at @p ("\n", "\u00e9", a surrogate pair); returns where it ends. */
static const char *add_escape(const char *p, const char *end, struct ool_text *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *name;

    if (p[1] == 'u' && end - p >= 6) {
        unsigned code = hex4(p + 2);
        p += 6;
        if (code >= 0xd800 && code < 0xdc00 && end - p >= 6 && p[0] == '\\') {
            code = 0x10000 + ((code - 0xd800) << 10) + ((hex4(p + 2) - 0xdc00) & 0x3ff);
            p += 6;
        }
        add_utf8(out, code);
        return p;
    }
    name = strchr(names, p[1]);
    if (name != NULL && *name != '\0')
        ool_text_add(out, &values[name - names], 1);
    return p + 2;
}

void ool_layout_key(const struct ool_layout *layout, uint32_t node, struct ool_text *out)
{
    const struct ool_layout_node *n = &layout->nodes[node];
    const char *p, *end;

    if (n->key_length < 2)
        return;
    p = layout->text + n->key + 1;
    end = layout->text + n->key + n->key_length - 1;
    while (p < end) {
        const char *stop = memchr(p, '\\', (size_t)(end - p));
        if (stop == NULL)
            stop = end;
        ool_text_add(out, p, (size_t)(stop - p));
        p = stop < end ? add_escape(stop, end, out) : end;
    }
}

/* One component, put in front of what @out already ends with: pointers are built from the leaf up. */
static size_t prepend(char *out, size_t at, const char *data, size_t length)
{
    while (length > 0 && at > 0) {
        char c = data[--length];
        if (c == '~' || (c == '/' && length > 0)) {
            out[--at] = c == '~' ? '0' : '1';
            c = '~';
        }
        if (at > 0)
            out[--at] = c;
    }
    return at;
}

void ool_layout_pointer(const struct ool_layout *layout, uint32_t node, char *out, size_t size)
{
    size_t at = size - 1;

    out[at] = '\0';
    for (; node != OOL_NO_NODE && layout->nodes[node].parent != OOL_NO_NODE && at > 0;
         node = layout->nodes[node].parent) {
        struct ool_text part;
        ool_text_init(&part, OOL_LAYOUT_BYTES);
        if (layout->nodes[node].key_length > 0) {
            ool_text_puts(&part, "/");
            ool_layout_key(layout, node, &part);
        } else {
            ool_text_printf(&part, "/%u", (unsigned)layout->nodes[node].index);
        }
        at = prepend(out, at, ool_text_data(&part), part.length);
        ool_text_fini(&part);
    }
    memmove(out, out + at, size - at);
}

struct named {
    char *key;
    uint32_t node;
};

static int by_key(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = strcmp(x->key, y->key);

    return order != 0 ? order : (x->node > y->node) - (x->node < y->node);
}

static bool object_duplicates(const struct ool_layout *layout, uint32_t object,
                              void (*found)(void *, uint32_t, uint32_t), void *state)
{
    struct named *names = NULL;
    size_t n = 0, capacity = 0;
    bool ok = true;

    for (uint32_t c = layout->nodes[object].first; ok && c != OOL_NO_NODE;
         c = layout->nodes[c].next) {
        struct ool_text key;

        ool_text_init(&key, OOL_LAYOUT_BYTES);
        ool_text_puts(&key, "");
        ool_layout_key(layout, c, &key);
        ok = !key.failed && ool_grow(&names, &capacity, n, sizeof *names);
        if (ok)
            names[n++] = (struct named){key.data, c};
        else
            ool_text_fini(&key);
    }
    if (ok && n > 1) {
        size_t first = 0;
        qsort(names, n, sizeof *names, by_key);
        for (size_t i = 1; i < n; i++) {
            if (strcmp(names[i].key, names[first].key) == 0)
                found(state, names[i].node, names[first].node);
            else
                first = i;
        }
    }
    for (size_t i = 0; i < n; i++)
        ool_free(names[i].key);
    ool_free(names);
    return ok;
}

bool ool_layout_duplicates(const struct ool_layout *layout,
                           void (*found)(void *state, uint32_t node, uint32_t first), void *state)
{
    for (uint32_t i = 0; i < layout->n_nodes; i++) {
        uint32_t first = layout->nodes[i].first;
        if (first != OOL_NO_NODE && layout->nodes[first].key_length > 0 &&
            !object_duplicates(layout, i, found, state))
            return false;
    }
    return true;
}
