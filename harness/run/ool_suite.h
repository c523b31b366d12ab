/*
 * ool_suite.h - many scenarios: found, selected, run on several threads, judged in order.
 */
#ifndef OOL_SUITE_H
#define OOL_SUITE_H

#include "ool_results.h"
#include "ool_scenario.h"

struct ool_suite_file {
    struct ool_scenario *scenario;
    struct ool_case *cases;
    size_t n_cases;
};
struct ool_suite_case {
    struct ool_case *c;
    size_t baseline; /* index in the suite's cases, of itself if it is one */
    bool selected;
};
struct ool_suite {
    struct ool_suite_file *files; /* in the order of their paths */
    size_t n_files, files_capacity;
    struct ool_suite_case *cases; /* of all files, points before stacks */
    size_t n_cases;
};

/**
 * ool_suite_load - read scenario files and all that folders hold
 *
 * @paths: files, and folders that are searched for "*.json" (folders named profiles, models or schema and hidden
 *         ones are passed over); each file is read once, in the order of the paths
 * @json: problems as JSON instead of GNU form
 * @problems: receives the texts of all problems of all files
 *
 * Errors: the first problem's status; then @suite is empty.
 */
enum ool_status ool_suite_load(char *const *paths, size_t n_paths, bool json,
                               struct ool_suite *suite, struct ool_text *problems,
                               struct ool_error *err);
void ool_suite_close(struct ool_suite *suite);

/* The problems of the file @path as people read them, or as JSON. */
void ool_suite_problems(const char *path, const struct ool_problems *problems, bool json,
                        struct ool_text *out);

/* Each list narrows; an empty one does not. Patterns are ool_glob.h's. */
struct ool_selection {
    char *const *tags; /* one of them is the scenario's */
    size_t n_tags;
    char *const *names; /* one of them matches the case's id or its scenario's */
    size_t n_names;
    char *const *mitigations; /* one of them is in the stack; "baseline" selects baselines */
    size_t n_mitigations;
};
/* Marks what is selected, and the baseline that each selected case is compared with. Returns how many. */
size_t ool_suite_select(struct ool_suite *suite, const struct ool_selection *selection);

struct ool_suite_options {
    unsigned jobs;  /* threads; 0 = 1 */
    bool fail_fast; /* what comes after the first failure is skipped */
    /* Called in the order of the cases, one call at a time; NULL = not wanted. */
    void (*judged)(void *state, size_t done, size_t all, const struct ool_record *record);
    void *state;
};

/**
 * ool_suite_run - run what is selected
 *
 * Adds a record for each selected case to @results, in the suite's order whatever the number of threads. An
 * interrupt (ool_run_interrupt()) marks what is not complete.
 * @infrastructure: set when a case failed for a reason outside its scenario (host memory)
 *
 * Errors: OOL_E_HOST_OOM. What a case does is no error.
 */
enum ool_status ool_suite_run(struct ool_suite *suite, const struct ool_suite_options *options,
                              struct ool_results *results, bool *infrastructure,
                              struct ool_error *err);

#endif
