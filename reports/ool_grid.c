/*
 * ool_grid.c - scenarios against mitigations: one letter where they meet.
 */
#include "ool_table.h"

#include "ool_mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The stacks of all records, each once, in the order of their names. */
struct stacks {
    const char **names;
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool collect(const struct ool_results *results, struct stacks *stacks)
{
    size_t n = 0;

    stacks->names = ool_calloc(results->n_records, sizeof *stacks->names);
    if (stacks->names == NULL)
        return false;
    for (size_t i = 0; i < results->n_records; i++)
        if (*results->records[i].stack != '\0')
            stacks->names[n++] = results->records[i].stack;
    if (n > 0)
        qsort(stacks->names, n, sizeof *stacks->names, by_name);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(stacks->names[i], stacks->names[stacks->n - 1]) != 0)
            stacks->names[stacks->n++] = stacks->names[i];
    return true;
}

static const char *letter_of(const struct ool_record *r)
{
    static const char *const letters[] = {"?", "R", "s", "=", "w"};

    return r->result.status == OOL_CASE_RAN ? letters[r->effect] : "-";
}

static enum ool_tint tint_of(const struct ool_record *r)
{
    if (r == NULL || r->result.status != OOL_CASE_RAN)
        return OOL_TINT_NONE;
    return r->effect == OOL_EFFECT_RESOLVES ? OOL_TINT_GOOD
           : r->effect == OOL_EFFECT_WORSE  ? OOL_TINT_BAD
                                            : OOL_TINT_NONE;
}

/* @cells is one row of the grid, a record (or NULL) a stack. */
static void place(const struct stacks *stacks, const struct ool_group *group,
                  const struct ool_record **row)
{
    memset(row, 0, stacks->n * sizeof(const struct ool_record *));
    for (size_t i = 0; i < group->n; i++) {
        const struct ool_record *r = &group->records[i];
        const char *name = r->stack;
        const char **found;

        if (*name == '\0')
            continue;
        found = bsearch(&name, stacks->names, stacks->n, sizeof *stacks->names, by_name);
        if (found != NULL)
            row[found - stacks->names] = r;
    }
}

static void add_row(struct ool_cells *cells, const struct stacks *stacks,
                    const struct ool_group *group, const struct ool_record **row, bool words)
{
    const struct ool_record *first = group->records, *baseline = group->baseline;

    ool_cells_add(cells, OOL_TINT_NONE, "%s%s%s%s", first->scenario,
                  *first->point != '\0' ? "[" : "", first->point, *first->point != '\0' ? "]" : "");
    ool_cells_add(cells, OOL_TINT_NONE, "%s",
                  baseline != NULL && baseline->result.status == OOL_CASE_RAN
                      ? ool_outcome_name(baseline->result.outcome)
                      : "n/a");
    for (size_t i = 0; i < stacks->n; i++) {
        const char *text = row[i] == NULL ? ""
                           : words        ? ool_effect_name(row[i]->effect)
                                          : letter_of(row[i]);

        ool_cells_add(cells, tint_of(row[i]), "%s", text);
    }
}

static void add_legend(const struct stacks *stacks, enum ool_table_format format,
                       struct ool_text *out)
{
    const char *newline = format == OOL_TABLE_MARKDOWN ? "  \n" : "\n";

    ool_text_printf(out, "%sR resolves, s saves, = inert, w worse, - skipped, ? not comparable%s",
                    format == OOL_TABLE_MARKDOWN ? "\n" : "", newline);
    for (size_t i = 0; i < stacks->n; i++)
        ool_text_printf(out, "%zu %s%s", i + 1, stacks->names[i],
                        i + 1 == stacks->n ? "\n"
                        : i % 6 == 5       ? newline
                                           : ", ");
    ool_text_puts(out, "\n");
}

/* Headings: the stacks' names where words are written, their numbers otherwise. */
static char *make_columns(const struct stacks *stacks, bool words, struct ool_column *columns)
{
    size_t room = stacks->n * 8;
    char *numbers = ool_calloc(room, 1), *p = numbers;

    if (numbers == NULL)
        return NULL;
    columns[0] = (struct ool_column){"scenario", false};
    columns[1] = (struct ool_column){"baseline", false};
    for (size_t i = 0; i < stacks->n; i++) {
        snprintf(p, 8, "%zu", (i + 1) % 10000000);
        columns[i + 2] = (struct ool_column){words ? stacks->names[i] : p, false};
        p += 8;
    }
    return numbers;
}

static bool write_grid(const struct ool_results *results, const struct stacks *stacks,
                       enum ool_table_format format, bool colour, struct ool_text *out)
{
    bool words = format == OOL_TABLE_CSV, fine = false;
    struct ool_column *columns = ool_calloc(stacks->n + 2, sizeof *columns);
    const struct ool_record **row = ool_calloc(stacks->n, sizeof(const struct ool_record *));
    char *numbers = columns != NULL ? make_columns(stacks, words, columns) : NULL;
    struct ool_cells cells;

    if (columns != NULL && row != NULL && numbers != NULL) {
        ool_cells_init(&cells, columns, stacks->n + 2);
        for (size_t first = 0; first < results->n_records;) {
            struct ool_group group = ool_results_group(results, first);

            place(stacks, &group, row);
            add_row(&cells, stacks, &group, row, words);
            first += group.n;
        }
        fine = ool_cells_write(&cells, format, colour, out);
        ool_cells_fini(&cells);
    }
    ool_free(columns);
    ool_free(row);
    ool_free(numbers);
    return fine;
}

enum ool_status ool_grid_write(const struct ool_results *results, enum ool_table_format format,
                               bool colour, struct ool_text *out, struct ool_error *err)
{
    struct stacks stacks = {0};
    bool fine = collect(results, &stacks);

    if (fine && stacks.n > 0) {
        if (format != OOL_TABLE_CSV)
            ool_text_puts(out, format == OOL_TABLE_MARKDOWN ? "### Scenarios and mitigations\n\n"
                                                            : "scenarios and mitigations\n");
        fine = write_grid(results, &stacks, format, colour, out);
        if (fine && format != OOL_TABLE_CSV)
            add_legend(&stacks, format, out);
    }
    ool_free(stacks.names);
    return fine && !out->failed ? OOL_OK
                                : ool_error_set(err, OOL_E_HOST_OOM, "no memory for the grid");
}
