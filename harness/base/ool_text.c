#include "ool_text.h"

#include "ool_mem.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ool_text_init(struct ool_text *text, size_t maximum)
{
    memset(text, 0, sizeof *text);
    text->maximum = maximum;
}

void ool_text_fini(struct ool_text *text)
{
    ool_free(text->data);
    ool_text_init(text, text->maximum);
}

void ool_text_clear(struct ool_text *text)
{
    text->length = 0;
    text->failed = false;
    if (text->data != NULL)
        text->data[0] = '\0';
}

static bool reserve(struct ool_text *text, size_t extra)
{
    size_t wanted;
    char *bigger;

    if (text->failed)
        return false;
    if (extra > text->maximum || text->length > text->maximum - extra)
        goto fail;
    wanted = text->length + extra + 1;
    if (wanted <= text->capacity)
        return true;
    if (wanted < 2 * text->capacity)
        wanted = 2 * text->capacity;
    if (wanted < 64)
        wanted = 64;
    bigger = ool_realloc(text->data, wanted);
    if (bigger == NULL)
        goto fail;
    text->data = bigger;
    text->capacity = wanted;
    return true;
fail:
    ool_text_fini(text);
    text->failed = true;
    return false;
}

void ool_text_add(struct ool_text *text, const char *data, size_t length)
{
    if (!reserve(text, length))
        return;
    memcpy(text->data + text->length, data, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void ool_text_puts(struct ool_text *text, const char *string)
{
    ool_text_add(text, string, strlen(string));
}

void ool_text_printf(struct ool_text *text, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0 || !reserve(text, (size_t)length))
        return;
    va_start(args, format);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, args);
    va_end(args);
    text->length += (size_t)length;
}

const char *ool_text_data(const struct ool_text *text)
{
    return text->data != NULL ? text->data : "";
}

char *ool_size_print(uint64_t bytes, char out[OOL_SIZE_TEXT])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024.0;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(out, OOL_SIZE_TEXT, "%" PRIu64 " B", bytes);
        return out;
    }
    while (value >= 1023.95 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024.0;
        unit++;
    }
    snprintf(out, OOL_SIZE_TEXT, "%.1f %s", value, units[unit]);
    return out;
}

static bool unit_shift(const char *text, unsigned *shift)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(text, units[i].name) == 0) {
            *shift = units[i].shift;
            return true;
        }
    }
    return false;
}

/* The digits after the point, as a count of bytes below one unit; false if they are not whole bytes. */
static bool fraction_bytes(const char *digits, size_t length, unsigned shift, uint64_t *bytes)
{
    uint64_t numerator = 0, denominator = 1;

    for (size_t i = 0; i < length; i++) {
        if (denominator > UINT64_C(10000000))
            return false;
        numerator = numerator * 10 + (uint64_t)(digits[i] - '0');
        denominator *= 10;
    }
    while (shift > 0 && denominator % 2 == 0) {
        denominator /= 2;
        shift--;
    }
    if (numerator % denominator !=
        0) /* what is left of the denominator is odd or shift is used up */
        return false;
    numerator /= denominator;
    *bytes = numerator << shift;
    return true;
}

enum ool_status ool_size_parse(const char *text, uint64_t *bytes, struct ool_error *err)
{
    const char *p = text, *digits = NULL;
    uint64_t whole = 0, part = 0;
    size_t fraction = 0;
    unsigned shift;

    if (!isdigit((unsigned char)*p))
        return ool_error_set(err, OOL_E_SIZE, "expected a size such as \"512MiB\", found \"%.40s\"",
                             text);
    for (; isdigit((unsigned char)*p); p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (whole > (UINT64_MAX - digit) / 10)
            return ool_error_set(err, OOL_E_OVERFLOW, "\"%.40s\" does not fit in 64 bits", text);
        whole = whole * 10 + digit;
    }
    if (*p == '.') {
        digits = ++p;
        while (isdigit((unsigned char)*p))
            p++;
        fraction = (size_t)(p - digits);
    }
    while (*p == ' ')
        p++;
    if (!unit_shift(p, &shift)) {
        if (strcmp(p, "KB") == 0 || strcmp(p, "MB") == 0 || strcmp(p, "GB") == 0 ||
            strcmp(p, "TB") == 0)
            return ool_error_set(
                err, OOL_E_SIZE,
                "size \"%.40s\" is ambiguous: write %ciB (2^10 units) or plain bytes", text, *p);
        return ool_error_set(err, OOL_E_SIZE, "expected B, KiB, MiB, GiB or TiB, found \"%.40s\"",
                             p);
    }
    if (whole > UINT64_MAX >> shift)
        return ool_error_set(err, OOL_E_OVERFLOW, "\"%.40s\" does not fit in 64 bits", text);
    if (digits != NULL && (fraction == 0 || !fraction_bytes(digits, fraction, shift, &part)))
        return ool_error_set(err, OOL_E_SIZE, "\"%.40s\" is not a whole number of bytes", text);
    *bytes = (whole << shift) + part;
    return OOL_OK;
}
