/*
 * ool_file.h - whole files: read up to a limit (gzip too), write all or nothing.
 */
#ifndef OOL_FILE_H
#define OOL_FILE_H

#include "ool_error.h"

#include <stddef.h>

/**
 * ool_file_read - the whole content of a file
 *
 * @path:  file name; a gzip file is unpacked, whatever its name
 * @limit: most bytes (unpacked) that are accepted
 * @data, @length: the content with a NUL after it; the caller frees with ool_free()
 *
 * Errors: OOL_E_FILE (with the system's reason), OOL_E_LIMIT, OOL_E_HOST_OOM; outputs untouched.
 */
enum ool_status ool_file_read(const char *path, size_t limit, char **data, size_t *length,
                              struct ool_error *err);

/**
 * ool_file_write - replace a file by @data, whole or not at all
 *
 * Writes a temporary file beside it, syncs it, renames it over the name. On error the old content
 * stays and the temporary file is removed. "-" writes to standard output.
 */
enum ool_status ool_file_write(const char *path, const char *data, size_t length,
                               struct ool_error *err);

#endif
