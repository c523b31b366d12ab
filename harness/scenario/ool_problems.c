#include "ool_problems.h"

#include "ool_mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORD 64   /* longer words get no suggestion */
#define MAX_SHOWN 100 /* bytes of a source line around the caret */

static bool same(const struct ool_error *a, const struct ool_error *b)
{
    return a->offset == b->offset && a->status == b->status && strcmp(a->text, b->text) == 0 &&
           strcmp(a->path, b->path) == 0;
}

bool ool_problems_add(struct ool_problems *problems, const struct ool_error *error)
{
    if (problems->n > OOL_MAX_PROBLEMS)
        return true;
    for (size_t i = 0; i < problems->n; i++)
        if (same(&problems->errors[i], error))
            return true;
    if (!ool_grow(&problems->errors, &problems->capacity, problems->n, sizeof *problems->errors))
        return false;
    problems->errors[problems->n] = *error;
    if (problems->n == OOL_MAX_PROBLEMS) { /* the last place says that there are more */
        struct ool_error *last = &problems->errors[problems->n];
        last->status = OOL_E_LIMIT;
        snprintf(last->text, sizeof last->text, "more than %d problems: the rest is not shown",
                 OOL_MAX_PROBLEMS);
        last->hint[0] = '\0';
    }
    problems->n++;
    return true;
}

void ool_problems_fini(struct ool_problems *problems)
{
    ool_free(problems->errors);
    memset(problems, 0, sizeof *problems);
}

static int by_place(const void *a, const void *b)
{
    const struct ool_error *x = a, *y = b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return strcmp(x->text, y->text);
}

static bool is_character_start(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

void ool_problems_settle(struct ool_problems *problems, const char *text, size_t length)
{
    size_t at = 0;
    int line = 1, column = 1;

    if (problems->n > 1)
        qsort(problems->errors, problems->n, sizeof *problems->errors, by_place);
    for (size_t i = 0; i < problems->n; i++) {
        struct ool_error *e = &problems->errors[i];
        for (; at < length && at < e->offset; at++) {
            if (text[at] == '\n') {
                line++;
                column = 1;
            } else if (is_character_start(text[at + 1 < length ? at + 1 : at])) {
                column++;
            }
        }
        e->line = line;
        e->column = column;
    }
}

/* Optimal string alignment over three rows. */
size_t ool_edit_distance(const char *a, const char *b, size_t most)
{
    size_t rows[3][MAX_WORD + 1];
    size_t n = strlen(a), m = strlen(b);

    if (n > MAX_WORD || m > MAX_WORD || (n > m ? n - m : m - n) > most)
        return most + 1;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = before[j - 1] + (a[i - 1] != b[j - 1]);
            if (before[j] + 1 < best)
                best = before[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                second[j - 2] + 1 < best)
                best = second[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[n % 3][m];
}

void ool_nearest_offer(struct ool_nearest *nearest, const char *word)
{
    size_t length = strlen(nearest->wanted);
    size_t most = length < 3 ? 0 : length < 5 ? 1 : 2;
    size_t distance = ool_edit_distance(nearest->wanted, word, most);

    if (distance <= most && (nearest->best == NULL || distance < nearest->distance)) {
        nearest->best = word;
        nearest->distance = distance;
    }
}

/* The culprit's line, cut around it, and a caret line below. */
static void print_line(const struct ool_error *e, const char *text, size_t length,
                       struct ool_text *out)
{
    size_t start = e->offset, end = e->offset, from, to, width = 0, marks = 0;

    while (start > 0 && text[start - 1] != '\n')
        start--;
    while (end < length && text[end] != '\n' && text[end] != '\r')
        end++;
    from = e->offset - start > MAX_SHOWN / 2 ? e->offset - MAX_SHOWN / 2 : start;
    while (from < e->offset && !is_character_start(text[from]))
        from++;
    to = end - from > MAX_SHOWN ? from + MAX_SHOWN : end;
    while (to < end && !is_character_start(text[to]))
        to++;
    ool_text_printf(out, "%5d | %s", e->line, from > start ? "... " : "");
    for (size_t i = from; i < to; i++)
        ool_text_add(out, (unsigned char)text[i] < ' ' || text[i] == 127 ? " " : text + i, 1);
    ool_text_puts(out, to < end ? " ...\n" : "\n");
    ool_text_printf(out, "      | %s", from > start ? "    " : "");
    for (size_t i = from; i < e->offset && i < to; i++)
        width += is_character_start(text[i]);
    for (size_t i = e->offset; i < e->offset + e->length && i < to; i++)
        marks += is_character_start(text[i]);
    for (size_t i = 0; i < width; i++)
        ool_text_puts(out, " ");
    for (size_t i = 0; i == 0 || i < marks; i++)
        ool_text_puts(out, "^");
    if (e->hint[0] != '\0')
        ool_text_printf(out, " %s", e->hint);
    ool_text_puts(out, "\n");
}

static void print_human(const struct ool_problems *problems, const char *text, size_t length,
                        struct ool_text *out)
{
    for (size_t i = 0; i < problems->n; i++) {
        const struct ool_error *e = &problems->errors[i];
        bool shown = text != NULL && e->line > 0 && e->offset <= length;

        ool_text_puts(out, e->source[0] != '\0' ? e->source : "scenario");
        if (e->line > 0)
            ool_text_printf(out, ":%d:%d", e->line, e->column);
        ool_text_printf(out, ": error[E%03d]: %s", (int)e->status, e->text);
        if (!shown && e->hint[0] != '\0')
            ool_text_printf(out, " (%s)", e->hint);
        ool_text_puts(out, "\n");
        if (e->path[0] != '\0')
            ool_text_printf(out, "   at %s\n", e->path);
        if (shown)
            print_line(e, text, length, out);
    }
    if (problems->n > 0)
        ool_text_printf(out, "%zu error%s; \"oomlab explain E%03d\" says more\n", problems->n,
                        problems->n == 1 ? "" : "s", (int)problems->errors[0].status);
}

/* A text that was cut may end within a character, which JSON cannot hold. */
static json_t *text_value(const char *text)
{
    char plain[sizeof((struct ool_error *)0)->text];
    json_t *value = json_string(text);
    size_t n = 0;

    if (value != NULL)
        return value;
    for (; text[n] != '\0' && n + 1 < sizeof plain; n++)
        plain[n] = (unsigned char)text[n] < 128 ? text[n] : '?';
    plain[n] = '\0';
    return json_string(plain);
}

static json_t *problem_object(const struct ool_error *e)
{
    char code[16];

    snprintf(code, sizeof code, "E%03d", (int)e->status);
    return json_pack("{s:s, s:o, s:i, s:i, s:I, s:I, s:o, s:o, s:o}", "code", code, "file",
                     text_value(e->source), "line", e->line, "column", e->column, "offset",
                     (json_int_t)e->offset, "length", (json_int_t)e->length, "pointer",
                     text_value(e->path), "message", text_value(e->text), "hint",
                     text_value(e->hint));
}

static void print_json(const struct ool_problems *problems, struct ool_text *out)
{
    json_t *array = json_array();
    char *dump = NULL;
    bool ok = array != NULL;

    for (size_t i = 0; ok && i < problems->n; i++)
        ok = json_array_append_new(array, problem_object(&problems->errors[i])) == 0;
    if (ok)
        dump = json_dumps(array, JSON_INDENT(1));
    if (dump != NULL) {
        json_free_t release;
        json_get_alloc_funcs(NULL, &release);
        ool_text_puts(out, dump);
        ool_text_puts(out, "\n");
        release(dump);
    } else {
        out->failed = true;
    }
    json_decref(array);
}

void ool_problems_print(const struct ool_problems *problems, const char *text, size_t length,
                        bool json, struct ool_text *out)
{
    if (json)
        print_json(problems, out);
    else
        print_human(problems, text, length, out);
}
