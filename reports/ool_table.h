/*
 * ool_table.h - results as tables: a scenario's baseline beside its mitigations, and the whole suite.
 */
#ifndef OOL_TABLE_H
#define OOL_TABLE_H

#include "ool_cells.h"
#include "ool_results.h"

/**
 * ool_table_write - the comparison tables, the grid of scenarios and mitigations, the totals
 *
 * Text and Markdown: a table for each scenario and point with what it says at the end ("2 of 3
 * resolve; cheapest: ..."), then the grid, then the totals. CSV: one table, a line a case, bytes.
 * @colour: for terminals
 */
enum ool_status ool_table_write(const struct ool_results *results, enum ool_table_format format,
                                bool colour, struct ool_text *out, struct ool_error *err);

/* The scenario x mitigation grid alone. */
enum ool_status ool_grid_write(const struct ool_results *results, enum ool_table_format format,
                               bool colour, struct ool_text *out, struct ool_error *err);

/* The stack that resolves at the least price: added work, then bytes moved, then launches; among
 * equals one that leaves the results alone. NULL = none resolves. */
const struct ool_record *ool_group_cheapest(const struct ool_group *group);

#endif
