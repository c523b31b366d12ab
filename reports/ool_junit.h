/*
 * ool_junit.h - results as JUnit XML: a suite a scenario, a test case a case.
 *
 * The default dialect is valid against Jenkins' junit-10.xsd: each case carries its numbers, the
 * shape of its timeline and what is alive at the peak in system-out. `strict` is valid against Ant's
 * schema as well, which knows no output of a case: there it moves to the suite.
 */
#ifndef OOL_JUNIT_H
#define OOL_JUNIT_H

#include "ool_results.h"

struct ool_junit_options {
    bool strict;
    const char *timestamp; /* "2026-01-02T03:04:05", UTC */
    const char *hostname;  /* not empty */
};

/* Appends the document to @out. Without a record it holds one skipped case, "nothing to run". */
enum ool_status ool_junit_write(const struct ool_results *results,
                                const struct ool_junit_options *options, struct ool_text *out,
                                struct ool_error *err);

#endif
