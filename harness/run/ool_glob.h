/*
 * ool_glob.h - patterns with * (any text) and ? (any one byte); every other character is itself.
 *
 * Case ids hold brackets, which fnmatch() would read as sets.
 */
#ifndef OOL_GLOB_H
#define OOL_GLOB_H

#include <stdbool.h>

bool ool_glob_match(const char *pattern, const char *text);

#endif
