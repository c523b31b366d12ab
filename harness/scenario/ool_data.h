/*
 * ool_data.h - files that scenarios name without a path: profiles/NAME.json and models/NAME.json.
 *
 * Looked for beside a scenario and in each folder above it, then in $OOMLAB_DATA, then in the
 * installed data folder, then in the folder that this build was made from.
 */
#ifndef OOL_DATA_H
#define OOL_DATA_H

#include "ool_reader.h"

/**
 * ool_data_find - the path of folder/NAME.json
 *
 * @beside: a file that anchors the search; NULL = none
 * @path: initialised by the caller; receives the path
 * Errors: OOL_E_REFERENCE with the nearest name as hint, OOL_E_HOST_OOM.
 */
enum ool_status ool_data_find(const char *folder, const char *name, const char *beside,
                              struct ool_text *path, struct ool_error *err);
/* All names of a folder over all places, sorted; the caller frees with ool_data_names_free(). */
enum ool_status ool_data_names(const char *folder, const char *beside, char ***names, size_t *n,
                               struct ool_error *err);
void ool_data_names_free(char **names, size_t n);

/* A JSON text with its layout. */
struct ool_source {
    json_t *root;
    struct ool_layout layout;
};
/* Parses; every problem goes to the reader's list. @source borrows @text. False = there was a problem. */
bool ool_source_open(struct ool_source *source, struct ool_reader *reader, const char *text,
                     size_t length);
void ool_source_close(struct ool_source *source);

/* A profile or preset read from its file; texts live in @memory. The error names the place in the file. */
enum ool_status ool_data_card(const char *path, const char *name,
                              struct ool_scenario_memory *memory, struct ool_card *card,
                              struct ool_error *err);
enum ool_status ool_data_preset(const char *path, struct ool_scenario_memory *memory,
                                struct ool_preset *preset, struct ool_error *err);

#endif
