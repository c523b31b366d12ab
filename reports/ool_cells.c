#include "ool_cells.h"

#include "ool_mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MOST_CELL 4096 /* bytes */

void ool_cells_init(struct ool_cells *cells, const struct ool_column *columns, size_t n_columns)
{
    memset(cells, 0, sizeof *cells);
    cells->columns = columns;
    cells->n_columns = n_columns;
}

void ool_cells_fini(struct ool_cells *cells)
{
    for (size_t i = 0; i < cells->n_cells; i++)
        ool_free(cells->cells[i].text);
    ool_free(cells->cells);
    memset(cells, 0, sizeof *cells);
}

void ool_cells_add(struct ool_cells *cells, enum ool_tint tint, const char *format, ...)
{
    char text[MOST_CELL];
    va_list args;
    char *copy;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    copy = ool_strdup(text);
    if (copy == NULL ||
        !ool_grow(&cells->cells, &cells->capacity, cells->n_cells, sizeof *cells->cells)) {
        ool_free(copy);
        cells->failed = true;
        return;
    }
    cells->cells[cells->n_cells++] = (struct ool_cell){copy, tint};
}

/* Characters of UTF-8, each one column wide. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void pad(struct ool_text *out, size_t n)
{
    while (n-- > 0)
        ool_text_puts(out, " ");
}

static void put_tinted(struct ool_text *out, const char *text, enum ool_tint tint, bool colour)
{
    static const char *const codes[] = {"", "\x1B[32m", "\x1B[31m", "\x1B[33m"};

    if (!colour || tint == OOL_TINT_NONE) {
        ool_text_puts(out, text);
        return;
    }
    ool_text_printf(out, "%s%s\x1B[0m", codes[tint], text);
}

/* The last column of a row that is not empty; what is behind it is not padded. */
static size_t filled(const struct ool_cells *cells, const struct ool_cell *row)
{
    size_t n = cells->n_columns;

    while (n > 0 && row != NULL && *row[n - 1].text == '\0')
        n--;
    return n;
}

static void write_text_row(const struct ool_cells *cells, const struct ool_cell *row,
                           const size_t *widths, bool colour, struct ool_text *out)
{
    size_t n = filled(cells, row);

    for (size_t i = 0; i < n; i++) {
        const char *text = row != NULL ? row[i].text : cells->columns[i].heading;
        size_t space = widths[i] - width_of(text);

        ool_text_puts(out, "  ");
        if (cells->columns[i].right)
            pad(out, space);
        put_tinted(out, text, row != NULL ? row[i].tint : OOL_TINT_NONE, colour);
        if (!cells->columns[i].right && i + 1 < n)
            pad(out, space);
    }
    ool_text_puts(out, "\n");
}

static bool write_text(const struct ool_cells *cells, bool colour, struct ool_text *out)
{
    size_t *widths = ool_calloc(cells->n_columns, sizeof *widths);

    if (widths == NULL)
        return false;
    for (size_t i = 0; i < cells->n_columns; i++)
        widths[i] = width_of(cells->columns[i].heading);
    for (size_t i = 0; i < cells->n_cells; i++) {
        size_t width = width_of(cells->cells[i].text);

        if (width > widths[i % cells->n_columns])
            widths[i % cells->n_columns] = width;
    }
    write_text_row(cells, NULL, widths, false, out);
    for (size_t i = 0; i + cells->n_columns <= cells->n_cells; i += cells->n_columns)
        write_text_row(cells, &cells->cells[i], widths, colour, out);
    ool_free(widths);
    return true;
}

static void put_markdown(struct ool_text *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|' || *text == '\\' || *text == '<' || *text == '*' || *text == '_')
            ool_text_puts(out, "\\");
        if (*text == '\n')
            ool_text_puts(out, " ");
        else
            ool_text_add(out, text, 1);
    }
}

static void write_markdown(const struct ool_cells *cells, struct ool_text *out)
{
    for (size_t i = 0; i < cells->n_columns; i++) {
        ool_text_puts(out, "| ");
        put_markdown(out, cells->columns[i].heading);
        ool_text_puts(out, " ");
    }
    ool_text_puts(out, "|\n");
    for (size_t i = 0; i < cells->n_columns; i++)
        ool_text_puts(out, cells->columns[i].right ? "|---:" : "|---");
    ool_text_puts(out, "|\n");
    for (size_t i = 0; i < cells->n_cells; i++) {
        ool_text_puts(out, "| ");
        put_markdown(out, cells->cells[i].text);
        ool_text_puts(out, (i + 1) % cells->n_columns == 0 ? " |\n" : " ");
    }
}

static void put_csv(struct ool_text *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        ool_text_puts(out, text);
        return;
    }
    ool_text_puts(out, "\"");
    for (; *text != '\0'; text++)
        ool_text_add(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
    ool_text_puts(out, "\"");
}

static void write_csv(const struct ool_cells *cells, struct ool_text *out)
{
    for (size_t i = 0; i < cells->n_columns; i++) {
        put_csv(out, cells->columns[i].heading);
        ool_text_puts(out, i + 1 < cells->n_columns ? "," : "\n");
    }
    for (size_t i = 0; i < cells->n_cells; i++) {
        put_csv(out, cells->cells[i].text);
        ool_text_puts(out, (i + 1) % cells->n_columns == 0 ? "\n" : ",");
    }
}

bool ool_cells_write(const struct ool_cells *cells, enum ool_table_format format, bool colour,
                     struct ool_text *out)
{
    if (cells->failed)
        return false;
    if (format == OOL_TABLE_TEXT && !write_text(cells, colour, out))
        return false;
    if (format == OOL_TABLE_MARKDOWN)
        write_markdown(cells, out);
    if (format == OOL_TABLE_CSV)
        write_csv(cells, out);
    return !out->failed;
}
