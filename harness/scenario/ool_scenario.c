#include "ool_scenario.h"

#include "ool_data.h"
#include "ool_file.h"
#include "ool_mem.h"
#include "ool_scenario_internal.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CASES 20000
#define MAX_POINT_OPERATIONS 1000000 /* operations of all points together */

const char *ool_outcome_name(enum ool_outcome outcome)
{
    static const char *const names[OOL_N_OUTCOMES] = {"fits", "oom", "host-oom", "leak", "error"};

    return (unsigned)outcome < OOL_N_OUTCOMES ? names[outcome] : "unknown";
}

/* --- points of the matrix -------------------------------------------------------------------------- */

static int by_axis_name(const void *a, const void *b)
{
    return strcmp(((const struct ool_axis *)a)->name, ((const struct ool_axis *)b)->name);
}

/* Sorts the axes and counts the points; 0 = there was a problem. */
static size_t count_points(struct ool_reader *reader)
{
    size_t points = 1;

    if (reader->n_axes > 1)
        qsort(reader->axes, reader->n_axes, sizeof *reader->axes, by_axis_name);
    for (size_t i = 0; i < reader->n_axes; i++) {
        const struct ool_axis *axis = &reader->axes[i];
        if (i > 0 && strcmp(axis->name, reader->axes[i - 1].name) == 0)
            ool_reader_problem(reader, axis->node, false, OOL_E_DUPLICATE, NULL,
                               "two matrix keys are called \"%.60s\"", axis->name);
        points *= axis->n;
        if (points > OOL_MAX_POINTS) {
            ool_reader_problem(reader, axis->node, false, OOL_E_LIMIT, NULL,
                               "the matrix has more than %d points", OOL_MAX_POINTS);
            return 0;
        }
    }
    return points;
}

/* The point's number in the base of the axes' lengths, the last axis fastest. */
static void choose_point(struct ool_reader *reader, size_t point)
{
    for (size_t i = reader->n_axes; i-- > 0;) {
        reader->axes[i].at = point % reader->axes[i].n;
        point /= reader->axes[i].n;
    }
}

/* A value within a case id; what separates its parts is replaced. */
static void add_label(struct ool_text *out, const json_t *value)
{
    const char *text = json_string_value(value);
    char number[80];
    double real;

    if (text == NULL) {
        real = json_is_real(value) ? json_real_value(value) : 0;
        if (json_is_real(value) && real >= -1e15 && real <= 1e15 && real == (double)(int64_t)real)
            ool_text_printf(out, "%lld", (long long)real);
        else if (json_is_real(value))
            ool_text_printf(out, "%.12g", real);
        else
            ool_text_puts(out, ool_reader_found(value, number));
        return;
    }
    for (; *text != '\0'; text++) {
        char c = *text == ','                                                   ? ';'
                 : strchr("[]+=", *text) != NULL || (unsigned char)*text <= ' ' ? '_'
                                                                                : *text;
        ool_text_add(out, &c, 1);
    }
}

static char *point_text(const struct ool_reader *reader)
{
    struct ool_text out;

    ool_text_init(&out, 65536);
    ool_text_puts(&out, "");
    for (size_t i = 0; i < reader->n_axes; i++) {
        ool_text_printf(&out, "%s%s=", i > 0 ? "," : "", reader->axes[i].name);
        add_label(&out, json_array_get(reader->axes[i].array, reader->axes[i].at));
    }
    return out.data;
}

static bool make_point(struct ool_reader *reader, const struct ool_document *d,
                       struct ool_scenario *s)
{
    struct ool_case *c = &s->points[s->n_points];
    struct ool_text id;

    *c = (struct ool_case){
        .scenario = s, .card = d->card, .other_bytes = d->other_bytes, .allocator = d->allocator};
    s->n_points++; /* half made is fine: it is released with the others */
    c->point = point_text(reader);
    c->stack = ool_strdup("");
    c->jobs = ool_reallocarray(NULL, d->n_jobs, sizeof *c->jobs);
    ool_text_init(&id, 65536);
    if (c->point != NULL)
        ool_text_printf(&id, c->point[0] != '\0' ? "%s[%s]" : "%s%s", s->id, c->point);
    c->id = id.data;
    if (c->point == NULL || c->stack == NULL || c->jobs == NULL || c->id == NULL)
        return ool_reader_memory(reader, NULL);
    memcpy(c->jobs, d->jobs, d->n_jobs * sizeof *c->jobs);
    c->n_jobs = d->n_jobs;
    return true;
}

static void read_points(struct ool_reader *reader, const struct ool_cursor *root,
                        struct ool_document *first, struct ool_scenario *s)
{
    size_t n = count_points(reader);

    if (reader->n_problems > 0)
        return;
    if (reader->n_operations * n > MAX_POINT_OPERATIONS || n * (first->n_stacks + 1) > MAX_CASES) {
        ool_reader_problem(reader, 0, false, OOL_E_LIMIT, NULL,
                           "%zu points, %zu stacks and %zu operations make too much: at most %d "
                           "cases and %d operations",
                           n, first->n_stacks, reader->n_operations, MAX_CASES,
                           MAX_POINT_OPERATIONS);
        return;
    }
    s->points = ool_calloc(n, sizeof *s->points);
    if (!ool_reader_memory(reader, s->points))
        return;
    reader->collecting = false;
    for (size_t i = 0; i < n && !reader->short_of_memory; i++) {
        struct ool_document d;
        choose_point(reader, i);
        reader->n_operations = 0;
        if (ool_reader_object(reader, &ool_keys_scenario, root, &d) && !make_point(reader, &d, s))
            return;
        if (i < s->n_points)
            s->points[i].baseline = i * (first->n_stacks + 1);
    }
}

/* --- expectations ---------------------------------------------------------------------------------- */

bool ool_expectation_matches(const struct ool_expectation *expectation, const struct ool_case *c)
{
    char subject[1024];

    if (expectation->pattern == NULL)
        return true;
    if (c->point[0] == '\0' && c->stack[0] == '\0')
        return fnmatch(expectation->pattern, "baseline", 0) == 0;
    snprintf(subject, sizeof subject, "%s%s%s", c->point,
             c->point[0] != '\0' && c->stack[0] != '\0' ? "+" : "", c->stack);
    return fnmatch(expectation->pattern, subject, 0) == 0;
}

static char *stack_text(const struct ool_stack *stack)
{
    struct ool_text out;

    ool_text_init(&out, 65536);
    ool_text_puts(&out, "");
    for (size_t i = 0; i < stack->n_steps; i++)
        ool_text_printf(&out, "%s%s%s%s", i > 0 ? "+" : "", stack->steps[i].name,
                        stack->steps[i].value[0] != '\0' ? "=" : "", stack->steps[i].value);
    return out.data;
}

static bool matches_any(const struct ool_scenario *s, const struct ool_expectation *e,
                        char *const *stacks)
{
    for (size_t p = 0; p < s->n_points; p++) {
        struct ool_case c = s->points[p];
        for (size_t k = 0; k <= s->n_stacks; k++) {
            c.stack = stacks[k];
            if (ool_expectation_matches(e, &c))
                return true;
        }
    }
    return false;
}

/* An expectation that speaks of no case would pass for ever. */
static void check_expectations(struct ool_reader *reader, const struct ool_cursor *root,
                               const struct ool_scenario *s)
{
    static const struct ool_stack none = {NULL, 0};
    struct ool_cursor child = {NULL, OOL_NO_NODE},
                      expect = {json_object_get(root->value, "expect"), OOL_NO_NODE};
    char **stacks = ool_calloc(s->n_stacks + 1, sizeof *stacks);

    for (size_t k = 0; stacks != NULL && k <= s->n_stacks; k++)
        if (!ool_reader_memory(reader, stacks[k] = stack_text(k == 0 ? &none : &s->stacks[k - 1])))
            break;
    if (!ool_reader_memory(reader, stacks))
        return;
    while (expect.value != NULL && expect.node == OOL_NO_NODE &&
           ool_reader_child(reader, root, &child)) {
        const struct ool_layout_node *n = &reader->layout->nodes[child.node];
        if (n->key_length == 8 && memcmp(reader->layout->text + n->key, "\"expect\"", 8) == 0)
            expect.node = child.node;
    }
    child.node = OOL_NO_NODE;
    for (size_t i = 0; !reader->short_of_memory && expect.node != OOL_NO_NODE &&
                       ool_reader_child(reader, &expect, &child);
         i++)
        if (!matches_any(s, &s->expectations[i], stacks))
            ool_reader_problem(reader, child.node, false, OOL_E_REFERENCE, NULL,
                               "\"case\": \"%.80s\" matches no case; the first point is \"%.80s\"",
                               s->expectations[i].pattern,
                               s->points[0].point[0] != '\0' ? s->points[0].point : "baseline");
    for (size_t k = 0; k <= s->n_stacks; k++)
        ool_free(stacks[k]);
    ool_free(stacks);
}

/* --- loading --------------------------------------------------------------------------------------- */

/* The path below the last folder called "scenarios", without ".json"; the file's name alone if there is none. */
static char *scenario_id(struct ool_scenario_memory *memory, const char *path)
{
    const char *start = strrchr(path, '/'), *p = path;
    size_t length;

    start = start != NULL ? start + 1 : path;
    while ((p = strstr(p, "scenarios/")) != NULL) {
        if (p == path || p[-1] == '/')
            start = p + strlen("scenarios/");
        p++;
    }
    length = strlen(start);
    if (length > 5 && strcmp(start + length - 5, ".json") == 0)
        length -= 5;
    return ool_arena_text(memory, start, length);
}

static void describe(struct ool_scenario *s, const struct ool_document *d)
{
    s->title = d->title;
    s->description = d->description;
    s->tags = d->tags;
    s->n_tags = d->n_tags;
    s->stacks = d->stacks;
    s->n_stacks = d->n_stacks;
    s->expectations = d->expectations;
    s->n_expectations = d->n_expectations;
}

static struct ool_scenario *open_scenario(const char *path, const char *text, size_t length)
{
    struct ool_scenario *s = ool_calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->memory = ool_scenario_memory_open();
    if (s->memory != NULL) {
        s->path = ool_arena_text(s->memory, path, strlen(path));
        s->id = scenario_id(s->memory, path);
        s->hash = ool_arena(s->memory, 65, 1);
    }
    if (s->path == NULL || s->id == NULL || s->hash == NULL) {
        ool_scenario_close(s);
        return NULL;
    }
    ool_sha256(text, length, s->hash);
    return s;
}

static void read_document(struct ool_reader *reader, struct ool_source *source,
                          struct ool_scenario *s)
{
    struct ool_cursor root = {source->root, 0};
    struct ool_document first;

    reader->matrix = reader->collecting = true;
    if (ool_reader_object(reader, &ool_keys_scenario, &root, &first)) {
        describe(s, &first);
        read_points(reader, &root, &first, s);
        if (reader->n_problems == 0)
            check_expectations(reader, &root, s);
    }
    for (size_t i = 0; i < reader->n_axes; i++)
        ool_free(reader->axes[i].name);
}

/* Reports a lack of memory in the same list as all else, where there is room for it. */
static enum ool_status short_of_memory(const char *path, struct ool_problems *problems)
{
    struct ool_error error = {.status = OOL_E_HOST_OOM};

    snprintf(error.source, sizeof error.source, "%.100s", path);
    snprintf(error.text, sizeof error.text, "no memory to read a scenario");
    ool_problems_fini(problems);
    (void)ool_problems_add(problems, &error);
    return OOL_E_HOST_OOM;
}

static enum ool_status parse(const char *path, const char *text, size_t length,
                             ool_step_check *check, struct ool_scenario **scenario,
                             struct ool_problems *problems)
{
    struct ool_reader reader = {
        .source = path, .beside = path, .check = check, .problems = problems};
    struct ool_scenario *s = open_scenario(path, text, length);
    struct ool_source source = {0};

    if (s == NULL)
        return short_of_memory(path, problems);
    reader.memory = s->memory;
    if (ool_source_open(&source, &reader, text, length) || source.root != NULL)
        read_document(&reader, &source, s);
    ool_source_close(&source);
    if (reader.short_of_memory) {
        ool_scenario_close(s);
        return short_of_memory(path, problems);
    }
    if (problems->n > 0) {
        ool_scenario_close(s);
        ool_problems_settle(problems, text, length);
        return problems->errors[0].status;
    }
    *scenario = s;
    return OOL_OK;
}

enum ool_status ool_scenario_parse(const char *path, const char *text, size_t length,
                                   struct ool_scenario **scenario, struct ool_problems *problems)
{
    return parse(path, text, length, NULL, scenario, problems);
}

enum ool_status ool_scenario_load(const char *path, struct ool_scenario **scenario,
                                  struct ool_problems *problems)
{
    return ool_scenario_load_checked(path, NULL, scenario, problems);
}

enum ool_status ool_scenario_load_checked(const char *path, ool_step_check *check,
                                          struct ool_scenario **scenario,
                                          struct ool_problems *problems)
{
    struct ool_error error = {.status = OOL_OK};
    size_t length = 0;
    char *text = NULL;
    enum ool_status status = ool_file_read(path, OOL_LAYOUT_BYTES, &text, &length, &error);

    if (status == OOL_E_HOST_OOM)
        return short_of_memory(path, problems);
    if (status != OOL_OK) {
        snprintf(error.source, sizeof error.source, "%.100s", path);
        return ool_problems_add(problems, &error) ? status : OOL_E_HOST_OOM;
    }
    status = parse(path, text, length, check, scenario, problems);
    ool_free(text);
    return status;
}

void ool_scenario_close(struct ool_scenario *scenario)
{
    if (scenario == NULL)
        return;
    for (size_t i = 0; i < scenario->n_points; i++)
        ool_case_release(&scenario->points[i]);
    ool_free(scenario->points);
    ool_scenario_memory_close(scenario->memory);
    ool_free(scenario);
}

/* --- cases ----------------------------------------------------------------------------------------- */

void ool_case_release(struct ool_case *c)
{
    for (size_t i = 0; i < c->n_owned; i++)
        ool_free(c->owned[i]);
    ool_free(c->owned);
    ool_free(c->id);
    ool_free(c->point);
    ool_free(c->stack);
    ool_free(c->jobs);
    memset(c, 0, sizeof *c);
}

enum ool_status ool_case_copy(const struct ool_case *c, struct ool_case *copy,
                              struct ool_error *err)
{
    struct ool_case fresh = *c;

    fresh.owned = NULL;
    fresh.n_owned = fresh.owned_capacity = 0;
    fresh.id = ool_strdup(c->id);
    fresh.point = ool_strdup(c->point);
    fresh.stack = ool_strdup(c->stack);
    fresh.jobs = ool_reallocarray(NULL, c->n_jobs, sizeof *c->jobs);
    if (fresh.id == NULL || fresh.point == NULL || fresh.stack == NULL || fresh.jobs == NULL) {
        ool_case_release(&fresh);
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory to copy a case");
    }
    memcpy(fresh.jobs, c->jobs, c->n_jobs * sizeof *c->jobs);
    *copy = fresh;
    return OOL_OK;
}

void ool_case_fini(struct ool_case *c)
{
    ool_case_release(c);
}

static enum ool_status make_case(const struct ool_scenario *s, size_t point, size_t stack,
                                 struct ool_case *c, struct ool_error *err)
{
    enum ool_status status = ool_case_copy(&s->points[point], c, err);
    struct ool_text id;

    if (status != OOL_OK || stack == 0)
        return status;
    c->steps = s->stacks[stack - 1];
    ool_free(c->stack);
    c->stack = stack_text(&c->steps);
    ool_text_init(&id, 65536);
    if (c->stack != NULL)
        ool_text_printf(&id, "%s+%s", c->id, c->stack);
    ool_free(c->id);
    c->id = id.data;
    return c->id != NULL
               ? OOL_OK
               : ool_error_set(err, OOL_E_HOST_OOM, "no memory for the cases of %.100s", s->path);
}

enum ool_status ool_scenario_cases(const struct ool_scenario *scenario, struct ool_case **cases,
                                   size_t *n_cases, struct ool_error *err)
{
    size_t stacks = scenario->n_stacks + 1, n = 0;
    struct ool_case *made = ool_calloc(scenario->n_points * stacks, sizeof *made);
    enum ool_status status = OOL_OK;

    if (made == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for the cases of %.100s",
                             scenario->path);
    for (; status == OOL_OK && n < scenario->n_points * stacks; n++)
        status = make_case(scenario, n / stacks, n % stacks, &made[n], err);
    if (status != OOL_OK) {
        ool_cases_close(made, n);
        return status;
    }
    *cases = made;
    *n_cases = n;
    return OOL_OK;
}

void ool_cases_close(struct ool_case *cases, size_t n_cases)
{
    for (size_t i = 0; i < n_cases; i++)
        ool_case_release(&cases[i]);
    ool_free(cases);
}

/* --- a workload alone ------------------------------------------------------------------------------ */

enum ool_status ool_workload_read(json_t *object, struct ool_workload *workload,
                                  struct ool_scenario_memory **memory,
                                  struct ool_problems *problems)
{
    struct ool_reader reader = {.source = "workload", .problems = problems};
    struct ool_source source = {0};
    struct ool_workload found;
    json_free_t release;
    char *text = json_dumps(object, JSON_ENCODE_ANY | JSON_COMPACT);
    enum ool_status status = OOL_OK;

    json_get_alloc_funcs(NULL, &release);
    reader.memory = ool_scenario_memory_open();
    *memory = NULL;
    if (text != NULL && reader.memory != NULL &&
        ool_source_open(&source, &reader, text, strlen(text))) {
        struct ool_cursor root = {source.root, 0};
        ool_reader_object(&reader, &ool_keys_workload, &root, &found);
    }
    if (text == NULL || reader.memory == NULL || reader.short_of_memory)
        status = short_of_memory("workload", problems);
    else if (problems->n > 0)
        status = problems->errors[0].status;
    for (size_t i = 0; i < problems->n; i++) /* places in a text that nobody has seen say nothing */
        problems->errors[i].line = problems->errors[i].column = 0;
    ool_source_close(&source);
    if (text != NULL)
        release(text);
    if (status != OOL_OK) {
        ool_scenario_memory_close(reader.memory);
        return status;
    }
    *workload = found;
    *memory = reader.memory;
    return OOL_OK;
}
