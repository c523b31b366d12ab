/*
 * The keys of a scenario around its workload: card, allocator, jobs, operations, expectations.
 */
#include "ool_scenario_internal.h"

#include <stdio.h>
#include <string.h>

#define AT(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
#define LIST(type, field) AT(type, field), .count = offsetof(type, n_##field)
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void take_nothing(struct ool_reader *reader, const struct ool_cursor *cursor, void *base,
                         int64_t value, const char *text)
{
    (void)reader, (void)cursor, (void)base, (void)value, (void)text;
}

/* --- the card -------------------------------------------------------------------------------------- */

#define C(field) AT(struct ool_card, field)
#define FACT_SIZE(text, field, low, about)                                          \
    {                                                                               \
        .name = text, .kind = OOL_KEY_SIZE, C(field), .min = low, .nullable = true, \
        .matrix = true, .unit = "bytes", .doc = about                               \
    }
#define FACT_RATE(text, field, measure, about)                                                   \
    {                                                                                            \
        .name = text, .kind = OOL_KEY_NUMBER, C(field), .least = 0, .most = 1e18, .above = true, \
        .nullable = true, .matrix = true, .unit = measure, .doc = about                          \
    }
#define FACT_COUNT(text, field, high, about)                                                      \
    {                                                                                             \
        .name = text, .kind = OOL_KEY_INTEGER, C(field), .min = 1, .max = high, .nullable = true, \
        .matrix = true, .doc = about                                                              \
    }
#define FACTS                                                                                     \
    FACT_SIZE("total", total_bytes, 1 << 20, "memory as the driver reports it (cudaMemGetInfo)"), \
        FACT_SIZE("context", context_bytes, 0,                                                    \
                  "what a process's context takes before its first allocation"),                  \
        FACT_SIZE("host", host_bytes, 1 << 20, "RAM of the machine; unlimited if absent"),        \
        {.name = "capability",                                                                    \
         .kind = OOL_KEY_RELEASE,                                                                 \
         C(capability),                                                                           \
         .max = 10,                                                                               \
         .nullable = true,                                                                        \
         .matrix = true,                                                                          \
         .doc = "compute capability, \"8.9\""},                                                   \
        FACT_COUNT("multiprocessors", multiprocessors, 4096, "streaming multiprocessors"),        \
        FACT_COUNT("threads_per_multiprocessor", threads_per_multiprocessor, 65536,               \
                   "most resident threads of each"),                                              \
        FACT_RATE("memory_bandwidth", memory_bandwidth, "bytes per second",                       \
                  "of the card's memory"),                                                        \
        FACT_RATE("host_bandwidth", host_bandwidth, "bytes per second", "of the bus, one way"),   \
        FACT_RATE("flops_fp32", flops_fp32, "per second",                                         \
                  "dense fp32 operations, without tensor cores"),                                 \
        FACT_RATE("flops_half", flops_half, "per second",                                         \
                  "dense 16-bit operations of the tensor cores"),                                 \
        FACT_SIZE("convolution_workspace", convolution_workspace, 0,                              \
                  "bytes each convolution call asks for")

static void take_profile(struct ool_reader *reader, const struct ool_cursor *cursor, void *base,
                         int64_t value, const char *text)
{
    (void)value;
    ool_reader_profile(reader, cursor, text, base);
}

/* clang-format off */
static const struct ool_key card_keys[] = {
    {.name = "profile", .kind = OOL_KEY_NAME, .matrix = true, .take = take_profile,
     .doc = "name of a file in profiles/; its facts hold unless given here"},
    {.name = "title", .kind = OOL_KEY_TEXT, C(title), .max = 200, .doc = "the card's full name"},
    FACTS};
/* clang-format on */

static void begin_card(void *base)
{
    static const struct ool_card unknown = {.name = "custom", .title = ""};

    *(struct ool_card *)base = unknown;
}

static void finish_card(struct ool_reader *reader, const struct ool_cursor *cursor, void *base)
{
    const struct ool_card *card = base;

    if (card->total_bytes == 0)
        ool_reader_problem(reader, cursor->node, false, OOL_E_MISSING, NULL,
                           "the card's \"total\" memory is not known");
    else if (card->context_bytes >= card->total_bytes)
        ool_reader_problem(reader, cursor->node, false, OOL_E_COMBINATION, NULL,
                           "the context takes the whole card: %llu of %llu bytes",
                           (unsigned long long)card->context_bytes,
                           (unsigned long long)card->total_bytes);
}

static const char *const card_any[] = {"profile", "total", NULL};
const struct ool_keys ool_keys_card = {.name = "card",
                                       .doc = "a card",
                                       .keys = card_keys,
                                       .n_keys = COUNT(card_keys),
                                       .shorthand = "profile",
                                       .any_of = card_any,
                                       .begin = begin_card,
                                       .finish = finish_card};

/* A file of profiles/: the facts and where each is from. */
#define SOURCE(text)                                                                     \
    {                                                                                    \
        .name = text, .kind = OOL_KEY_TEXT, .min = 1, .max = 1000, .take = take_nothing, \
        .doc = "where this fact comes from"                                              \
    }
/* clang-format off */
static const struct ool_key source_keys[] = {SOURCE("total"),
                                             SOURCE("context"),
                                             SOURCE("host"),
                                             SOURCE("capability"),
                                             SOURCE("multiprocessors"),
                                             SOURCE("threads_per_multiprocessor"),
                                             SOURCE("memory_bandwidth"),
                                             SOURCE("host_bandwidth"),
                                             SOURCE("flops_fp32"),
                                             SOURCE("flops_half"),
                                             SOURCE("convolution_workspace")};
/* clang-format on */
static const struct ool_keys sources = {.name = "sources",
                                        .doc = "the sources of a profile",
                                        .keys = source_keys,
                                        .n_keys = COUNT(source_keys)};
/* clang-format off */
static const struct ool_key profile_keys[] = {
    {.name = "title", .kind = OOL_KEY_TEXT, C(title), .min = 1, .max = 200, .required = true, .doc = "the card's full name"},
    FACTS,
    {.name = "sources", .kind = OOL_KEY_OBJECT, .required = true, .object = &sources, .doc = "where each fact comes from"}};
/* clang-format on */
const struct ool_keys ool_keys_profile = {.name = "profile",
                                          .doc = "a card's profile",
                                          .keys = profile_keys,
                                          .n_keys = COUNT(profile_keys),
                                          .begin = begin_card};

/* --- the allocator ----------------------------------------------------------------------------------- */

static const struct ool_word kinds[] = {{"torch", 0, "PyTorch's caching allocator"},
                                        {"direct", 0, "cudaMalloc and cudaFree for each request"},
                                        {"async", 0, "cudaMallocAsync on the device's memory pool"},
                                        {NULL, 0, NULL}};
static const struct ool_word versions[] = {{"2.2", 0, "PyTorch 2.2"},   {"2.4", 0, "PyTorch 2.4"},
                                           {"2.6", 0, "PyTorch 2.6"},   {"2.8", 0, "PyTorch 2.8"},
                                           {"2.11", 0, "PyTorch 2.11"}, {"2.13", 0, "PyTorch 2.13"},
                                           {"2.15", 0, "PyTorch 2.15"}, {NULL, 0, NULL}};
#define A(field) AT(struct ool_allocator_choice, field)
/* clang-format off */
static const struct ool_key allocator_keys[] = {
    {.name = "kind", .kind = OOL_KEY_WORD, A(kind), .words = kinds, .fallback = "\"torch\"", .matrix = true, .doc = "policy"},
    {.name = "version", .kind = OOL_KEY_WORD, A(version), .words = versions, .fallback = "\"2.11\"", .matrix = true,
     .doc = "release, which also decides how operators allocate"},
    {.name = "conf", .kind = OOL_KEY_TEXT, A(conf), .max = 2000, .fallback = "\"\"", .matrix = true,
     .doc = "PYTORCH_CUDA_ALLOC_CONF; of async, the pool's attributes"},
    {.name = "fraction", .kind = OOL_KEY_NUMBER, A(fraction), .least = 0, .most = 1, .above = true, .fallback = "1",
     .matrix = true, .doc = "set_per_process_memory_fraction"}};
/* clang-format on */

static void begin_allocator(void *base)
{
    *(struct ool_allocator_choice *)base = (struct ool_allocator_choice){"torch", "2.11", "", 1.0};
}

const struct ool_keys ool_keys_allocator = {.name = "allocator",
                                            .doc = "an allocator",
                                            .keys = allocator_keys,
                                            .n_keys = COUNT(allocator_keys),
                                            .shorthand = "kind",
                                            .begin = begin_allocator};

/* --- explicit operations ----------------------------------------------------------------------------- */

/* clang-format off */
static const struct ool_word categories[] = {
#define XX(name, text) {text, OOL_CATEGORY_##name, text " memory"},
    OOL_CATEGORY_MAP(XX)
#undef XX
        {NULL, 0, NULL}};
/* clang-format on */
static const struct ool_word places[] = {{"device", OOL_PLACE_DEVICE, "on the card"},
                                         {"host", OOL_PLACE_HOST, "pageable host memory"},
                                         {"pinned", OOL_PLACE_PINNED, "pinned host memory"},
                                         {NULL, 0, NULL}};

#define O(field) AT(struct ool_operation, field)
#define OP                                                                          \
    {                                                                               \
        .name = "op", .kind = OOL_KEY_NAME, .required = true, .take = take_nothing, \
        .doc = "what is done"                                                       \
    }
#define NAME(about)                                                                   \
    {                                                                                 \
        .name = "name", .kind = OOL_KEY_NAME, O(name), .required = true, .doc = about \
    }
#define STREAM                                                                               \
    {                                                                                        \
        .name = "stream", .kind = OOL_KEY_INTEGER, O(stream), .max = 65535, .fallback = "0", \
        .doc = "number of the stream, 0 = the default one"                                   \
    }

/* clang-format off */
static const struct ool_key alloc_keys[] = {
    OP,
    NAME("by which later operations know it"),
    {.name = "bytes", .kind = OOL_KEY_SIZE, O(value), .required = true, .matrix = true, .unit = "bytes", .doc = "how much"},
    {.name = "origin", .kind = OOL_KEY_TEXT, O(origin), .min = 1, .max = 200, .doc = "as reports name it; the name if absent"},
    {.name = "category", .kind = OOL_KEY_WORD, O(category), .words = categories, .fallback = "\"activation\"",
     .doc = "what it is for"},
    {.name = "place", .kind = OOL_KEY_WORD, O(place), .words = places, .fallback = "\"device\"", .doc = "where it is"},
    STREAM,
    {.name = "leak", .kind = OOL_KEY_BOOL, O(leak), .fallback = "false",
     .doc = "what the name stood for before is never freed"}};
static const struct ool_key free_keys[] = {OP, NAME("what is freed")};
static const struct ool_key kernel_keys[] = {OP, NAME("the kernel's name"), STREAM};
static const struct ool_key copy_keys[] = {
    OP, NAME("source"),
    {.name = "to", .kind = OOL_KEY_NAME, O(other), .required = true, .doc = "target"}, STREAM};
static const struct ool_key plain_keys[] = {OP};
static const struct ool_key record_stream_keys[] = {
    OP, NAME("what another stream uses"),
    {.name = "stream", .kind = OOL_KEY_INTEGER, O(value), .max = 65535, .required = true, .doc = "the other stream"}};
static const struct ool_key event_keys[] = {OP, NAME("the event's name"), STREAM};
static const struct ool_key stream_keys[] = {OP, STREAM};
static const struct ool_key fraction_keys[] = {
    OP,
    {.name = "fraction", .kind = OOL_KEY_NUMBER, O(fraction), .least = 0, .most = 1, .above = true, .required = true,
     .doc = "share of the card that the process may take"}};
static const struct ool_key conf_keys[] = {
    OP,
    {.name = "conf", .kind = OOL_KEY_TEXT, O(name), .max = 2000, .required = true, .doc = "settings given at run time"}};
static const struct ool_key mark_keys[] = {OP, NAME("the phase that ends here")};
static const struct ool_key loop_keys[] = {
    OP,
    {.name = "times", .kind = OOL_KEY_INTEGER, O(value), .min = 1, .max = INT64_C(1000000000000), .required = true,
     .matrix = true, .unit = "iterations", .doc = "how often"},
    {.name = "body", .kind = OOL_KEY_OPERATIONS, .min = 1, .max = OOL_MAX_OPERATIONS, .required = true,
     .take = take_nothing, .doc = "what is repeated"}};
/* clang-format on */

static void begin_operation(void *base)
{
    struct ool_operation *o = base;

    memset(o, 0, sizeof *o);
    o->category = OOL_CATEGORY_ACTIVATION;
}

#define OPERATION(word)                                                                \
    static const struct ool_keys word##_operation = {.name = #word,                    \
                                                     .doc = "operation \"" #word "\"", \
                                                     .keys = word##_keys,              \
                                                     .n_keys = COUNT(word##_keys),     \
                                                     .begin = begin_operation}
OPERATION(alloc);
OPERATION(free);
OPERATION(kernel);
OPERATION(copy);
OPERATION(plain);
OPERATION(record_stream);
OPERATION(event);
OPERATION(stream);
OPERATION(fraction);
OPERATION(conf);
OPERATION(mark);
OPERATION(loop);

const struct ool_variant ool_variants[] = {
    {"alloc", OOL_DO_ALLOC, &alloc_operation},
    {"free", OOL_DO_FREE, &free_operation},
    {"kernel", OOL_DO_KERNEL, &kernel_operation},
    {"copy", OOL_DO_COPY, &copy_operation},
    {"empty_cache", OOL_DO_EMPTY_CACHE, &plain_operation},
    {"synchronize", OOL_DO_SYNCHRONIZE, &plain_operation},
    {"record_stream", OOL_DO_RECORD_STREAM, &record_stream_operation},
    {"event_record", OOL_DO_EVENT_RECORD, &event_operation},
    {"event_wait", OOL_DO_EVENT_WAIT, &event_operation},
    {"stream_busy", OOL_DO_STREAM_BUSY, &stream_operation},
    {"stream_idle", OOL_DO_STREAM_IDLE, &stream_operation},
    {"set_fraction", OOL_DO_SET_FRACTION, &fraction_operation},
    {"set_conf", OOL_DO_SET_CONF, &conf_operation},
    {"reset_peak", OOL_DO_RESET_PEAK, &plain_operation},
    {"mark", OOL_DO_MARK, &mark_operation},
    {"loop", OOL_DO_LOOP, &loop_operation}};
const size_t ool_n_variants = COUNT(ool_variants);

/* --- jobs -------------------------------------------------------------------------------------------- */

#define J(field) AT(struct ool_job, field)
/* clang-format off */
static const struct ool_key job_keys[] = {
    {.name = "name", .kind = OOL_KEY_NAME, J(name), .doc = "in reports; job1, job2, ... if absent"},
    {.name = "process", .kind = OOL_KEY_INTEGER, J(process), .max = OOL_MAX_JOBS - 1, .fallback = "0",
     .doc = "jobs of one process share its allocator"},
    {.name = "workload", .kind = OOL_KEY_OBJECT, J(workload), .object = &ool_keys_workload, .doc = "a model's workload"},
    {.name = "operations", .kind = OOL_KEY_OPERATIONS, LIST(struct ool_job, operations), .min = 1,
     .max = OOL_MAX_OPERATIONS, .doc = "explicit operations, for what no model describes"}};
/* clang-format on */

static void begin_job(void *base)
{
    memset(base, 0, sizeof(struct ool_job));
}

static void finish_job(struct ool_reader *reader, const struct ool_cursor *cursor, void *base)
{
    struct ool_job *job = base;

    job->explicit_operations = job->n_operations > 0;
    job->line = (int)reader->layout->nodes[cursor->node].line;
}

static const char *const job_one[] = {"workload", "operations", NULL};
const struct ool_keys ool_keys_job = {.name = "job",
                                      .doc = "a job",
                                      .keys = job_keys,
                                      .n_keys = COUNT(job_keys),
                                      .one_of = job_one,
                                      .begin = begin_job,
                                      .finish = finish_job};

/* --- expectations ------------------------------------------------------------------------------------ */

#define B(field) AT(struct ool_bounds, field)
/* clang-format off */
static const struct ool_key bounds_keys[] = {
    {.name = "min", .kind = OOL_KEY_SIZE, B(min), .unit = "bytes", .doc = "at least"},
    {.name = "max", .kind = OOL_KEY_SIZE, B(max), .unit = "bytes", .doc = "at most"}};
/* clang-format on */

static void begin_bounds(void *base)
{
    *(struct ool_bounds *)base = (struct ool_bounds){0, UINT64_MAX};
}

static void finish_bounds(struct ool_reader *reader, const struct ool_cursor *cursor, void *base)
{
    const struct ool_bounds *b = base;

    if (b->min > b->max)
        ool_reader_problem(reader, cursor->node, false, OOL_E_COMBINATION, NULL,
                           "\"min\" is above \"max\"");
}

static const char *const bounds_any[] = {"min", "max", NULL};
static const struct ool_keys bounds = {.name = "bounds",
                                       .doc = "bounds",
                                       .keys = bounds_keys,
                                       .n_keys = COUNT(bounds_keys),
                                       .any_of = bounds_any,
                                       .begin = begin_bounds,
                                       .finish = finish_bounds};

static const struct ool_word outcomes[] = {
    {"fits", OOL_OUTCOME_FITS, "runs to its end"},
    {"oom", OOL_OUTCOME_OOM, "runs out of the card's memory"},
    {"host-oom", OOL_OUTCOME_HOST_OOM, "runs out of the machine's memory"},
    {"leak", OOL_OUTCOME_LEAK, "fits, but memory grows with each iteration"},
    {"error", OOL_OUTCOME_ERROR, "fails for another reason"},
    {NULL, 0, NULL}};
static const struct ool_word effects[] = {{"saves", 0, "lowers the peak"},
                                          {"inert", 0, "changes nothing"},
                                          {"worse", 0, "raises the peak"},
                                          {"resolves", 0, "fits where the baseline runs out"},
                                          {NULL, 0, NULL}};

static void take_outcome(struct ool_reader *reader, const struct ool_cursor *cursor, void *base,
                         int64_t value, const char *text)
{
    struct ool_expectation *e = base;

    (void)reader, (void)cursor, (void)text;
    e->has_outcome = true;
    e->outcome = (enum ool_outcome)value;
}

#define E(field) AT(struct ool_expectation, field)
#define BOUNDS(text, field, about)                                                      \
    {                                                                                   \
        .name = text, .kind = OOL_KEY_OBJECT, E(field), .object = &bounds, .doc = about \
    }
/* clang-format off */
static const struct ool_key expectation_keys[] = {
    {.name = "case", .kind = OOL_KEY_TEXT, E(pattern), .min = 1, .max = 300,
     .doc = "pattern of the case's point and stack, \"batch=4+*\"; every case if absent"},
    {.name = "outcome", .kind = OOL_KEY_WORD, .words = outcomes, .take = take_outcome, .doc = "what happens"},
    {.name = "phase", .kind = OOL_KEY_TEXT, E(phase), .min = 1, .max = 200, .doc = "where, \"forward\" or \"s1.forward\""},
    BOUNDS("peak_allocated", peak_allocated, "most bytes in tensors"),
    BOUNDS("peak_reserved", peak_reserved, "most bytes that the allocator holds"),
    BOUNDS("peak_device", peak_device, "most bytes in use on the card"),
    BOUNDS("leak", leak, "bytes that stay per iteration"),
    {.name = "effect", .kind = OOL_KEY_WORD, E(effect), .words = effects, .doc = "what the mitigations do"}};
/* clang-format on */

static void begin_expectation(void *base)
{
    static const struct ool_bounds any = {0, UINT64_MAX};
    struct ool_expectation *e = base;

    memset(e, 0, sizeof *e);
    e->peak_allocated = e->peak_reserved = e->peak_device = e->leak = any;
}

static void finish_expectation(struct ool_reader *reader, const struct ool_cursor *cursor,
                               void *base)
{
    struct ool_expectation *e = base;

    e->line = (int)reader->layout->nodes[cursor->node].line;
}

static const char *const expectation_any[] = {
    "outcome", "phase", "peak_allocated", "peak_reserved", "peak_device", "leak", "effect", NULL};
const struct ool_keys ool_keys_expectation = {.name = "expectation",
                                              .doc = "an expectation",
                                              .keys = expectation_keys,
                                              .n_keys = COUNT(expectation_keys),
                                              .any_of = expectation_any,
                                              .begin = begin_expectation,
                                              .finish = finish_expectation};

/* --- the document ------------------------------------------------------------------------------------ */

#define D(field) AT(struct ool_document, field)
/* clang-format off */
static const struct ool_key scenario_keys[] = {
    {.name = "$schema", .kind = OOL_KEY_TEXT, .max = 1000, .take = take_nothing, .doc = "for editors"},
    {.name = "format", .kind = OOL_KEY_INTEGER, D(format), .min = OOL_SCENARIO_FORMAT, .max = OOL_SCENARIO_FORMAT,
     .required = true, .range = OOL_E_FORMAT, .doc = "number of this format"},
    {.name = "title", .kind = OOL_KEY_TEXT, D(title), .max = 200, .once = true, .doc = "one line"},
    {.name = "description", .kind = OOL_KEY_TEXT, D(description), .max = 4000, .once = true, .doc = "the question it answers"},
    {.name = "tags", .kind = OOL_KEY_TEXTS, LIST(struct ool_document, tags), .max = 64, .once = true, .doc = "for selection"},
    {.name = "card", .kind = OOL_KEY_OBJECT, D(card), .required = true, .object = &ool_keys_card,
     .doc = "a profile's name, or the card's facts"},
    {.name = "other", .kind = OOL_KEY_SIZE, D(other_bytes), .fallback = "0", .matrix = true, .unit = "bytes",
     .doc = "what other processes hold on the card"},
    {.name = "allocator", .kind = OOL_KEY_OBJECT, D(allocator), .object = &ool_keys_allocator,
     .doc = "an allocator's kind, or kind and settings"},
    {.name = "workload", .kind = OOL_KEY_OBJECT, D(single.workload), .object = &ool_keys_workload,
     .doc = "what the only process runs"},
    {.name = "operations", .kind = OOL_KEY_OPERATIONS, AT(struct ool_document, single.operations),
     .count = offsetof(struct ool_document, single.n_operations), .min = 1, .max = OOL_MAX_OPERATIONS,
     .doc = "the same as explicit operations"},
    {.name = "jobs", .kind = OOL_KEY_LIST, LIST(struct ool_document, jobs), .min = 1, .max = OOL_MAX_JOBS,
     .object = &ool_keys_job, .size = sizeof(struct ool_job), .doc = "several workloads, of one process or several"},
    {.name = "mitigations", .kind = OOL_KEY_STACKS, LIST(struct ool_document, stacks), .max = OOL_MAX_STACKS,
     .once = true, .doc = "what to try: a name, a stack as an array, or a ladder of cumulative stacks"},
    {.name = "expect", .kind = OOL_KEY_LIST, LIST(struct ool_document, expectations), .max = 1000, .once = true,
     .object = &ool_keys_expectation, .size = sizeof(struct ool_expectation), .doc = "what must come out"}};
/* clang-format on */

static void begin_scenario(void *base)
{
    struct ool_document *d = base;

    memset(d, 0, sizeof *d);
    d->title = d->description = "";
    begin_allocator(&d->allocator);
}

/* Jobs get their names, which must differ. */
static void name_jobs(struct ool_reader *reader, const struct ool_cursor *cursor,
                      struct ool_document *d)
{
    for (size_t i = 0; i < d->n_jobs; i++) {
        struct ool_job *job = &d->jobs[i];
        if (job->name == NULL) {
            char name[16];
            int length = snprintf(name, sizeof name, "job%zu", i + 1);
            job->name = ool_arena_text(reader->memory, name, (size_t)length);
            if (!ool_reader_memory(reader, job->name))
                return;
        }
        for (size_t j = 0; j < i; j++)
            if (strcmp(job->name, d->jobs[j].name) == 0)
                ool_reader_problem(reader, cursor->node, false, OOL_E_DUPLICATE, NULL,
                                   "two jobs are called \"%.60s\"", job->name);
    }
}

static void finish_scenario(struct ool_reader *reader, const struct ool_cursor *cursor, void *base)
{
    struct ool_document *d = base;

    if (d->n_jobs == 0) {
        d->single.explicit_operations = d->single.n_operations > 0;
        d->single.name = "";
        d->single.line = (int)reader->layout->nodes[cursor->node].line;
        d->jobs = ool_arena(reader->memory, 1, sizeof *d->jobs);
        if (!ool_reader_memory(reader, d->jobs))
            return;
        d->jobs[0] = d->single;
        d->n_jobs = 1;
    } else {
        name_jobs(reader, cursor, d);
    }
    if (d->other_bytes > d->card.total_bytes)
        ool_reader_problem(reader, cursor->node, false, OOL_E_COMBINATION, NULL,
                           "other processes hold %llu bytes, the card has %llu",
                           (unsigned long long)d->other_bytes,
                           (unsigned long long)d->card.total_bytes);
}

static const char *const scenario_one[] = {"workload", "operations", "jobs", NULL};
const struct ool_keys ool_keys_scenario = {.name = "scenario",
                                           .doc = "a scenario",
                                           .keys = scenario_keys,
                                           .n_keys = COUNT(scenario_keys),
                                           .one_of = scenario_one,
                                           .begin = begin_scenario,
                                           .finish = finish_scenario};
