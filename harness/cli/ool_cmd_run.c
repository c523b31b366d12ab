/*
 * ool_cmd_run.c - oomlab run: scenarios, their verdicts and their reports.
 */
#include "ool_commands.h"

#include "ool_file.h"
#include "ool_junit.h"
#include "ool_mem.h"
#include "ool_suite.h"
#include "ool_table.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_PATH "scenarios"
#define MOST_REPEATS 64 /* of one option */

struct list {
    char *values[MOST_REPEATS];
    size_t n;
};

struct options {
    struct list tags, names, mitigations;
    bool list, fail_fast, json, errors_json;
    unsigned jobs;
    const char *results, *junit, *junit_strict, *table, *grid;
    enum ool_table_format format;
};

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
    ool_run_interrupt();
}

static void catch_signals(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)(SA_RESETHAND | SA_RESTART); /* a second one ends the program */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void print_usage(FILE *out)
{
    fputs("Usage: oomlab run [OPTION...] [PATH...]\n\n"
          "Runs scenario files, and those in folders (default: " DEFAULT_PATH
          "/): each point of the matrix as it\n"
          "is and with each stack of mitigations, on the simulated card, against what is "
          "expected.\n\n"
          "Selection (a case brings its baseline along)\n"
          "  --tag TAG            scenarios with this tag\n"
          "  --name GLOB          cases or scenarios whose id matches; * and ? are wild\n"
          "  --mitigation NAME    cases with this mitigation; \"baseline\" for those without\n"
          "  --list               print the ids of what is selected and run nothing\n"
          "Running\n"
          "  --jobs N             threads (default: the processors there are)\n"
          "  --fail-fast          skip what comes after the first failure\n"
          "Reports\n"
          "  --results FILE       results.json, from which every report can be made\n"
          "  --junit FILE         JUnit XML (Jenkins' schema)\n"
          "  --junit-strict FILE  JUnit XML (Jenkins' and Ant's schema)\n"
          "  --table FILE         the comparison tables (default: - for standard output)\n"
          "  --grid FILE          the grid of scenarios and mitigations alone\n"
          "  --format FORMAT      of tables and grid: text, markdown or csv\n"
          "  --json               results.json on standard output instead of the tables\n"
          "  --error-format FORMAT  of scenario errors: text or json\n\n"
          "Exit codes: 0 as expected, 1 an expectation failed, 2 usage or scenario error,\n"
          "3 infrastructure, 4 nothing selected, 77 everything skipped, 130 interrupted.\n",
          out);
}

static bool add_value(struct list *list, char *value)
{
    if (list->n == MOST_REPEATS)
        return false;
    list->values[list->n++] = value;
    return true;
}

static bool parse_jobs(const char *text, unsigned *jobs)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < 1 || value > 256)
        return false;
    *jobs = (unsigned)value;
    return true;
}

static bool parse_format(const char *text, enum ool_table_format *format)
{
    static const char *const words[] = {"text", "markdown", "csv"};

    for (int i = 0; i < 3; i++)
        if (strcmp(text, words[i]) == 0) {
            *format = (enum ool_table_format)i;
            return true;
        }
    return false;
}

enum {
    OPT_TAG = 256,
    OPT_NAME,
    OPT_MITIGATION,
    OPT_LIST,
    OPT_JOBS,
    OPT_FAIL_FAST,
    OPT_RESULTS,
    OPT_JUNIT,
    OPT_JUNIT_STRICT,
    OPT_TABLE,
    OPT_GRID,
    OPT_FORMAT,
    OPT_JSON,
    OPT_ERROR_FORMAT
};

static const struct option known[] = {
    {"tag", required_argument, NULL, OPT_TAG},
    {"name", required_argument, NULL, OPT_NAME},
    {"mitigation", required_argument, NULL, OPT_MITIGATION},
    {"list", no_argument, NULL, OPT_LIST},
    {"jobs", required_argument, NULL, OPT_JOBS},
    {"fail-fast", no_argument, NULL, OPT_FAIL_FAST},
    {"results", required_argument, NULL, OPT_RESULTS},
    {"junit", required_argument, NULL, OPT_JUNIT},
    {"junit-strict", required_argument, NULL, OPT_JUNIT_STRICT},
    {"table", required_argument, NULL, OPT_TABLE},
    {"grid", required_argument, NULL, OPT_GRID},
    {"format", required_argument, NULL, OPT_FORMAT},
    {"json", no_argument, NULL, OPT_JSON},
    {"error-format", required_argument, NULL, OPT_ERROR_FORMAT},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* False: the value is not one that the option takes. */
static bool take_option(struct options *o, int option, char *value)
{
    switch (option) {
    case OPT_TAG:
        return add_value(&o->tags, value);
    case OPT_NAME:
        return add_value(&o->names, value);
    case OPT_MITIGATION:
        return (strcmp(value, "baseline") == 0 || ool_mitigation_find(value) != NULL) &&
               add_value(&o->mitigations, value);
    case OPT_LIST:
        return o->list = true;
    case OPT_JOBS:
        return parse_jobs(value, &o->jobs);
    case OPT_FAIL_FAST:
        return o->fail_fast = true;
    case OPT_RESULTS:
        o->results = value;
        return true;
    case OPT_JUNIT:
        o->junit = value;
        return true;
    case OPT_JUNIT_STRICT:
        o->junit_strict = value;
        return true;
    case OPT_TABLE:
        o->table = value;
        return true;
    case OPT_GRID:
        o->grid = value;
        return true;
    case OPT_FORMAT:
        return parse_format(value, &o->format);
    case OPT_JSON:
        return o->json = true;
    default:
        o->errors_json = strcmp(value, "json") == 0;
        return o->errors_json || strcmp(value, "text") == 0;
    }
}

/* -1 = go on; otherwise the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
    int option, index = 0;

    optind = 1;
    while ((option = getopt_long(argc, argv, "h", known, &index)) != -1) {
        if (option == 'h') {
            print_usage(stdout);
            return OOL_EXIT_OK;
        }
        if (option == '?') {
            fputs("\"oomlab run --help\" lists the options\n", stderr);
            return OOL_EXIT_USAGE;
        }
        if (!take_option(o, option, optarg)) {
            fprintf(stderr, "oomlab run: --%s does not take \"%s\"\n", known[index].name, optarg);
            return OOL_EXIT_USAGE;
        }
    }
    if (o->json && o->table != NULL && strcmp(o->table, "-") == 0) {
        fputs("oomlab run: --json and --table - both want standard output\n", stderr);
        return OOL_EXIT_USAGE;
    }
    if (o->table == NULL && !o->json)
        o->table = "-";
    return -1;
}

static int fail(const struct ool_error *err)
{
    fprintf(stderr, "oomlab run: %s\n", err->text);
    return err->status == OOL_E_HOST_OOM || err->status == OOL_E_INTERNAL ? OOL_EXIT_INFRA
                                                                          : OOL_EXIT_USAGE;
}

/* --- progress --------------------------------------------------------------------------------- */

static bool is_set(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0';
}

static bool shows_progress(void)
{
    const char *term = getenv("TERM");

    return isatty(STDERR_FILENO) && !is_set("CI") && term != NULL && strcmp(term, "dumb") != 0;
}

static void show_progress(void *state, size_t done, size_t all, const struct ool_record *record)
{
    (void)state;
    fprintf(stderr, "\r\x1B[K[%zu/%zu] %.60s", done, all, record->id);
    if (done == all)
        fputs("\r\x1B[K", stderr);
}

static bool wants_colour(const char *path)
{
    if (strcmp(path, "-") != 0 || is_set("NO_COLOR"))
        return false;
    return is_set("FORCE_COLOR") || isatty(STDOUT_FILENO);
}

/* --- reports ---------------------------------------------------------------------------------- */

static void now_text(char out[32])
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    time_t now = epoch != NULL ? (time_t)strtoll(epoch, NULL, 10) : time(NULL);
    struct tm parts;

    if (gmtime_r(&now, &parts) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        snprintf(out, 32, "1970-01-01T00:00:00");
}

static enum ool_status make_junit(const struct ool_results *results, bool strict,
                                  struct ool_text *out, struct ool_error *err)
{
    struct ool_junit_options options = {.strict = strict};
    char timestamp[32], hostname[256];

    now_text(timestamp);
    if (gethostname(hostname, sizeof hostname) != 0 || hostname[0] == '\0')
        snprintf(hostname, sizeof hostname, "localhost");
    hostname[sizeof hostname - 1] = '\0';
    options.timestamp = timestamp;
    options.hostname = hostname;
    return ool_junit_write(results, &options, out, err);
}

enum report { REPORT_RESULTS, REPORT_JUNIT, REPORT_JUNIT_STRICT, REPORT_TABLE, REPORT_GRID };

static enum ool_status make_report(enum report report, const struct ool_results *results,
                                   const char *path, const struct options *o, struct ool_text *out,
                                   struct ool_error *err)
{
    switch (report) {
    case REPORT_RESULTS:
        return ool_results_write(results, out, err);
    case REPORT_JUNIT:
        return make_junit(results, false, out, err);
    case REPORT_JUNIT_STRICT:
        return make_junit(results, true, out, err);
    case REPORT_TABLE:
        return ool_table_write(results, o->format, wants_colour(path), out, err);
    case REPORT_GRID:
        return ool_grid_write(results, o->format, wants_colour(path), out, err);
    }
    return OOL_E_INTERNAL;
}

/* Each file whole or not at all. False: one could not be written. */
static bool write_report(enum report report, const struct ool_results *results, const char *path,
                         const struct options *o)
{
    struct ool_error err = {0};
    struct ool_text text;
    enum ool_status status;

    if (path == NULL)
        return true;
    ool_text_init(&text, OOL_RESULTS_LIMIT);
    status = make_report(report, results, path, o, &text, &err);
    if (status == OOL_OK)
        status = ool_file_write(path, ool_text_data(&text), text.length, &err);
    ool_text_fini(&text);
    if (status != OOL_OK)
        fprintf(stderr, "oomlab run: %s\n", err.text);
    return status == OOL_OK;
}

static bool write_reports(const struct ool_results *results, const struct options *o)
{
    bool fine = write_report(REPORT_RESULTS, results, o->results, o);

    fine = write_report(REPORT_JUNIT, results, o->junit, o) && fine;
    fine = write_report(REPORT_JUNIT_STRICT, results, o->junit_strict, o) && fine;
    fine = write_report(REPORT_GRID, results, o->grid, o) && fine;
    if (results->n_records > 0)
        fine = write_report(REPORT_TABLE, results, o->table, o) && fine;
    return write_report(REPORT_RESULTS, results, o->json ? "-" : NULL, o) && fine;
}

/* --- the command ------------------------------------------------------------------------------ */

static bool name_environment(struct ool_results *results)
{
    struct utsname name;
    char system[256];

    if (uname(&name) == 0)
        snprintf(system, sizeof system, "%.100s %.100s", name.sysname, name.machine);
    else
        snprintf(system, sizeof system, "unknown");
    results->version = ool_strdup(OOL_VERSION);
    results->system = ool_strdup(system);
    return results->version != NULL && results->system != NULL;
}

static int exit_code(const struct ool_results *results, bool infrastructure)
{
    struct ool_summary sum = ool_results_sum(results->records, results->n_records);

    if (stop_signal != 0)
        return 128 + (int)stop_signal;
    if (infrastructure)
        return OOL_EXIT_INFRA;
    if (sum.cases == 0)
        return OOL_EXIT_NOTHING;
    if (sum.failed > 0)
        return OOL_EXIT_FAILED;
    if (sum.errors > 0)
        return OOL_EXIT_USAGE;
    return sum.skipped == sum.cases ? OOL_EXIT_SKIPPED : OOL_EXIT_OK;
}

static int list_cases(const struct ool_suite *suite)
{
    for (size_t i = 0; i < suite->n_cases; i++)
        if (suite->cases[i].selected)
            puts(suite->cases[i].c->id);
    return OOL_EXIT_OK;
}

static int run_suite(struct ool_suite *suite, const struct options *o)
{
    struct ool_suite_options options = {.jobs = o->jobs, .fail_fast = o->fail_fast};
    struct ool_error err = {0};
    struct ool_results results;
    bool infrastructure = false;
    enum ool_status status;
    int code;

    if (options.jobs == 0) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        options.jobs = n > 0 && n < 256 ? (unsigned)n : 1;
    }
    if (shows_progress())
        options.judged = show_progress;
    ool_results_init(&results);
    status = name_environment(&results)
                 ? ool_suite_run(suite, &options, &results, &infrastructure, &err)
                 : ool_error_set(&err, OOL_E_HOST_OOM, "no memory for results");
    if (status != OOL_OK)
        code = fail(&err);
    else if (!write_reports(&results, o))
        code = OOL_EXIT_INFRA;
    else
        code = exit_code(&results, infrastructure);
    ool_results_fini(&results);
    return code;
}

static int load_and_run(char *const *paths, size_t n_paths, const struct options *o)
{
    struct ool_selection selection = {o->tags.values,        o->tags.n,
                                      o->names.values,       o->names.n,
                                      o->mitigations.values, o->mitigations.n};
    struct ool_error err = {0};
    struct ool_text problems;
    struct ool_suite suite;
    enum ool_status status;
    size_t selected;
    int code;

    ool_text_init(&problems, OOL_RESULTS_LIMIT);
    status = ool_suite_load(paths, n_paths, o->errors_json, &suite, &problems, &err);
    fputs(ool_text_data(&problems), stderr);
    ool_text_fini(&problems);
    if (status != OOL_OK)
        return fail(&err);
    selected = ool_suite_select(&suite, &selection);
    if (selected == 0)
        fputs("oomlab run: nothing is selected\n", stderr);
    if (o->list)
        code = selected > 0 ? list_cases(&suite) : OOL_EXIT_NOTHING;
    else
        code = run_suite(&suite, o);
    ool_suite_close(&suite);
    return code;
}

int ool_cmd_run(int argc, char **argv)
{
    static char fallback[] = DEFAULT_PATH;
    char *const fallbacks[] = {fallback};
    struct options o = {0};
    struct stat info;
    int code = parse_options(argc, argv, &o);

    if (code >= 0)
        return code;
    if (optind == argc && stat(DEFAULT_PATH, &info) != 0) {
        fputs("oomlab run: there is no " DEFAULT_PATH "/ here: name scenario files or folders\n",
              stderr);
        return OOL_EXIT_USAGE;
    }
    catch_signals();
    json_object_seed(0); /* before there are threads */
    if (optind == argc)
        return load_and_run(fallbacks, 1, &o);
    return load_and_run(argv + optind, (size_t)(argc - optind), &o);
}
