#include "ool_xml.h"

#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */
#define NO_CHARACTER UINT32_MAX

/* The character at @p and its bytes; NO_CHARACTER and 1 for what is not UTF-8. */
static uint32_t decode(const unsigned char *p, size_t *length)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t c;
    size_t n;

    *length = 1;
    if (p[0] < 0x80)
        return p[0];
    n = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return NO_CHARACTER;
    c = p[0] & (0x7FU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) /* also the end of the text */
            return NO_CHARACTER;
        c = c << 6 | (p[i] & 0x3FU);
    }
    if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return NO_CHARACTER;
    *length = n;
    return c;
}

/* The bytes of a terminal's control sequence at @p, ESC [ ... letter; 0 = none. */
static size_t sequence(const char *p)
{
    size_t n = 2;

    if (p[0] != '\x1B' || p[1] != '[')
        return 0;
    while (p[n] >= 0x20 && p[n] <= 0x3F)
        n++;
    return p[n] >= 0x40 && p[n] <= 0x7E ? n + 1 : 0;
}

static bool forbidden(uint32_t c)
{
    return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0xFFFE || c == 0xFFFF;
}

static const char *entity(uint32_t c, bool attribute)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return attribute ? "&quot;" : NULL;
    case '\t':
        return attribute ? "&#9;" : NULL;
    case '\n':
        return attribute ? "&#10;" : NULL;
    case '\r':
        return "&#13;";
    default:
        return NULL;
    }
}

void ool_xml_escape(struct ool_text *out, const char *text, bool attribute)
{
    while (*text != '\0') {
        size_t length = sequence(text);
        const char *name;
        uint32_t c;

        if (length > 0) {
            text += length;
            continue;
        }
        c = decode((const unsigned char *)text, &length);
        name = entity(c, attribute);
        if (c == NO_CHARACTER)
            ool_text_puts(out, REPLACEMENT);
        else if (forbidden(c))
            ool_text_printf(out, "\\x%02X", (unsigned)c);
        else if (name != NULL)
            ool_text_puts(out, name);
        else
            ool_text_add(out, text, length);
        text += length;
    }
}
