/*
 * ool_scenario.h - a scenario file as data: the card, the allocator, the jobs, what to try and what to expect.
 *
 * A scenario owns every text and array that its parts point to; parts are plain structs that may be
 * copied by assignment while the scenario lives. ool_scenario_cases() makes its cases: one for each
 * point of the matrix and each mitigation stack (the empty stack, the baseline, comes first).
 */
#ifndef OOL_SCENARIO_H
#define OOL_SCENARIO_H

#include "ool_error.h"
#include "ool_text.h"
#include "ool_workload.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OOL_SCENARIO_FORMAT 1

struct ool_scenario_memory;

/* A card's facts, from scenarios/profiles/NAME.json or written in the scenario; 0 = unknown. */
struct ool_card {
    const char *name;       /* "rtx-4090" */
    const char *title;      /* "NVIDIA GeForce RTX 4090" */
    uint64_t total_bytes;   /* as the driver reports it (cudaMemGetInfo) */
    uint64_t context_bytes; /* what a process's context takes before its first allocation */
    uint64_t host_bytes;    /* RAM of the machine; unlimited if 0 */
    int capability;         /* 89 = 8.9 */
    int multiprocessors, threads_per_multiprocessor;
    double memory_bandwidth;        /* bytes per second */
    double host_bandwidth;          /* bytes per second over the bus, one way */
    double flops_fp32, flops_half;  /* dense, per second */
    uint64_t convolution_workspace; /* bytes per convolution call */
};

struct ool_allocator_choice {
    const char *kind;    /* "torch", "direct", "async" */
    const char *version; /* also chooses the eager behaviour of the tape */
    const char *conf;    /* settings string; "" = none */
    double fraction;     /* per-process memory fraction; 1 = all */
};

/* Explicit operations, for what no model describes. */
enum ool_operation_kind {
    OOL_DO_ALLOC,
    OOL_DO_FREE,
    OOL_DO_KERNEL,
    OOL_DO_COPY,
    OOL_DO_EMPTY_CACHE,
    OOL_DO_SYNCHRONIZE,
    OOL_DO_RECORD_STREAM,
    OOL_DO_EVENT_RECORD,
    OOL_DO_EVENT_WAIT,
    OOL_DO_STREAM_BUSY,
    OOL_DO_STREAM_IDLE,
    OOL_DO_SET_FRACTION,
    OOL_DO_SET_CONF,
    OOL_DO_RESET_PEAK,
    OOL_DO_MARK,
    OOL_DO_LOOP,
    OOL_DO_END
};
struct ool_operation {
    enum ool_operation_kind kind;
    const char *name;   /* of the tensor, kernel, event, mark or the settings string */
    const char *other;  /* COPY: the target's name */
    const char *origin; /* ALLOC: as reports name it; NULL = name */
    uint64_t value;     /* ALLOC: bytes; LOOP: iterations; RECORD_STREAM: stream */
    double fraction;
    enum ool_category category;
    enum ool_place place;
    uint32_t stream;
    bool leak; /* ALLOC in a loop: the earlier instance is never freed */
    int line;
};

/* One workload of one process. Jobs of one process run in their order and share an allocator; what an earlier job holds
 * stays alive unless its workload says `unload`. Processes run in their order on the same card; each keeps what it holds. */
struct ool_job {
    const char *name;
    uint16_t process;
    bool explicit_operations;
    struct ool_workload workload;
    const struct ool_operation *operations;
    size_t n_operations;
    int line;
};

/* One mitigation of a stack, "accumulate=4": the name and its value ("" = none). */
struct ool_step {
    const char *name, *value;
};
struct ool_stack {
    const struct ool_step *steps;
    size_t n_steps;
};

enum ool_outcome {
    OOL_OUTCOME_FITS,
    OOL_OUTCOME_OOM,
    OOL_OUTCOME_HOST_OOM,
    OOL_OUTCOME_LEAK,
    OOL_OUTCOME_ERROR,
    OOL_N_OUTCOMES
};
const char *
ool_outcome_name(enum ool_outcome outcome); /* "fits", "oom", "host-oom", "leak", "error" */

/* Bounds in bytes, both inclusive; 0 and UINT64_MAX = none. */
struct ool_bounds {
    uint64_t min, max;
};
struct ool_expectation {
    const char *
        pattern; /* of the case id after the scenario's name, fnmatch style: "batch=4+*"; NULL = every case */
    bool has_outcome;
    enum ool_outcome outcome;
    const char
        *phase; /* the last component or the whole name of the phase, "forward"; NULL = any */
    struct ool_bounds peak_allocated, peak_reserved, peak_device;
    struct ool_bounds leak; /* bytes per iteration */
    const char *effect; /* of the mitigation: "saves", "inert", "worse", "resolves"; NULL = any */
    int line;
};

/* What is run: mitigations change a case and nothing else. */
struct ool_case {
    const struct ool_scenario *scenario;
    char *id;    /* "scenario[batch=4]+checkpointing"; owned */
    char *point; /* "batch=4", "" without a matrix; owned */
    char *stack; /* "checkpointing+accumulate=4", "" = baseline; owned */
    struct ool_card card;
    uint64_t other_bytes; /* held on the card by other processes */
    struct ool_allocator_choice allocator;
    struct ool_job *jobs; /* owned copy */
    size_t n_jobs;
    struct ool_stack steps; /* the stack to apply; not yet applied by ool_scenario_cases() */
    void **
        owned; /* what mitigations made for this case: ool_cases_close() frees each with ool_free() */
    size_t n_owned, owned_capacity;
    size_t baseline; /* index of the case with the same point and the empty stack */
};

struct ool_scenario {
    char *path, *id; /* id: the file's path below the suite, without ".json" */
    char *hash;      /* SHA-256 of the file's bytes, hex */
    const char *title, *description;
    const char *const *tags;
    size_t n_tags;
    const struct ool_stack *stacks;
    size_t n_stacks;
    const struct ool_expectation *expectations;
    size_t n_expectations;
    struct ool_case *points; /* one per point of the matrix, without a stack */
    size_t n_points;
    struct ool_scenario_memory *memory;
};

/* Every problem of a file, in the order of the text. */
struct ool_problems {
    struct ool_error *errors;
    size_t n, capacity;
};
void ool_problems_fini(struct ool_problems *problems);
/* GNU form with the source line and a caret under the culprit; `json` = a JSON array instead. */
void ool_problems_print(const struct ool_problems *problems, const char *text, size_t length,
                        bool json, struct ool_text *out);

/**
 * ool_scenario_load - read and check a scenario file
 *
 * @path: the file; profiles and models are looked for in "profiles/" and "models/" beside it and in each folder
 *        above it, then in $OOMLAB_DATA, then in the installed data folder
 * @problems: receives all that is wrong; the return value is the first problem's status
 *
 * Errors: OOL_E_1xx to OOL_E_3xx (the file), OOL_E_FILE, OOL_E_HOST_OOM. On error @scenario is untouched.
 */
enum ool_status ool_scenario_load(const char *path, struct ool_scenario **scenario,
                                  struct ool_problems *problems);
/* Looks at one step of a stack and says what is wrong with it, in @err with a hint. Scenarios know no mitigation. */
typedef enum ool_status ool_step_check(const struct ool_step *step, struct ool_error *err);
/* ool_scenario_load() that also has @check look at each mitigation; NULL = none is looked at. */
enum ool_status ool_scenario_load_checked(const char *path, ool_step_check *check,
                                          struct ool_scenario **scenario,
                                          struct ool_problems *problems);
/* The same from memory; @path names the text in messages and anchors the search for profiles. */
enum ool_status ool_scenario_parse(const char *path, const char *text, size_t length,
                                   struct ool_scenario **scenario, struct ool_problems *problems);
void ool_scenario_close(struct ool_scenario *scenario);

/* The cases, ordered by point, then stack, each with jobs of its own. ool_cases_close() frees them. */
enum ool_status ool_scenario_cases(const struct ool_scenario *scenario, struct ool_case **cases,
                                   size_t *n_cases, struct ool_error *err);
void ool_cases_close(struct ool_case *cases, size_t n_cases);
/* A case of its own with the same content (jobs copied; `owned` stays with the original, which must outlive it). */
enum ool_status ool_case_copy(const struct ool_case *c, struct ool_case *copy,
                              struct ool_error *err);
void ool_case_fini(struct ool_case *c); /* of one made by ool_case_copy() */

/**
 * ool_workload_read - a workload object alone: what a scenario's "workload" holds, without a matrix
 *
 * The road that recorded rows take too. Presets are looked for in $OOMLAB_DATA and the installed data folder.
 * @memory: receives what @workload points to; ool_scenario_memory_close() frees it. NULL on error.
 * @problems: receives all that is wrong, without positions.
 */
enum ool_status ool_workload_read(json_t *object, struct ool_workload *workload,
                                  struct ool_scenario_memory **memory,
                                  struct ool_problems *problems);
void ool_scenario_memory_close(struct ool_scenario_memory *memory); /* NULL is fine */

/* Does the expectation speak of this case? Its pattern is matched against point and stack joined by "+"; the
 * empty stack of a scenario without a matrix is called "baseline". */
bool ool_expectation_matches(const struct ool_expectation *expectation, const struct ool_case *c);

/**
 * ool_case_lower - the case's program: its jobs in their order, marks named by phase
 *
 * With one job the phases are the workload's ("s1.forward"); with several they carry the job's name before them,
 * "chat/s1.forward". The workloads of one process share a session: its libraries' workspaces are made once.
 * Errors: those of ool_workload_lower().
 */
enum ool_status ool_case_lower(const struct ool_case *c, struct ool_program *program,
                               struct ool_workload_facts *facts, struct ool_error *err);

/* Appends the JSON schema: draft-07, valid under 2020-12 too. OOL_E_HOST_OOM. */
enum ool_status ool_scenario_schema(struct ool_text *out);
/* What a status means, what causes it and how to mend it; for `oomlab explain`. NULL = unknown code. */
const char *ool_explain(enum ool_status status);

/* A card's profile by name, texts owned by the result; ool_card_close frees. */
enum ool_status ool_card_find(const char *name, const char *beside, struct ool_card **card,
                              struct ool_error *err);
void ool_card_close(struct ool_card *card);

#endif
