/*
 * ool_cells.h - a table of texts, written for a terminal, as Markdown or as CSV.
 */
#ifndef OOL_CELLS_H
#define OOL_CELLS_H

#include "ool_text.h"

enum ool_table_format { OOL_TABLE_TEXT, OOL_TABLE_MARKDOWN, OOL_TABLE_CSV };

/* Colours of a terminal; they are no part of a cell's text. */
enum ool_tint { OOL_TINT_NONE, OOL_TINT_GOOD, OOL_TINT_BAD, OOL_TINT_WARN };

struct ool_column {
    const char *heading; /* with the unit; borrowed */
    bool right;          /* numbers */
};
struct ool_cell {
    char *text;
    enum ool_tint tint;
};
struct ool_cells {
    const struct ool_column *columns;
    size_t n_columns;
    struct ool_cell *cells; /* row by row */
    size_t n_cells, capacity;
    bool failed; /* host memory was short once */
};

void ool_cells_init(struct ool_cells *cells, const struct ool_column *columns, size_t n_columns);
void ool_cells_fini(struct ool_cells *cells);
/* The next cell, from left to right and from top to bottom. */
void ool_cells_add(struct ool_cells *cells, enum ool_tint tint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * ool_cells_write - append the table to @out
 *
 * @colour: tints become terminal colours (text format only)
 * A terminal's columns are as wide as their widest cell, two blanks apart, without blanks at the end
 * of a line. CSV is RFC 4180's with "\n". Returns false when memory was short.
 */
bool ool_cells_write(const struct ool_cells *cells, enum ool_table_format format, bool colour,
                     struct ool_text *out);

#endif
