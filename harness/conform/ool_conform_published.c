/*
 * ool_conform_published.c - published measurements against what this build predicts.
 *
 * A row's `workload_fields` become a scenario, which takes the road of any scenario: parsed, lowered, replayed on
 * the simulated card. What the words say and this build cannot express is skipped with the reason.
 */
#include "ool_conform.h"

#include "ool_mem.h"
#include "ool_run.h"
#include "ool_scenario.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define REASON 160
#define DEFAULT_TOKENS 32 /* a length that the source leaves out does not matter: at most 64 */

static const char *text_of(const json_t *fields, const char *key)
{
    const char *text = json_string_value(json_object_get(fields, key));

    return text != NULL ? text : "";
}

/* A word of one vocabulary and what a scenario calls it; NULL = not expressible. */
struct word {
    const char *from, *to;
};
static const char *translate(const struct word *words, const char *from)
{
    for (; words->from != NULL; words++)
        if (strcmp(words->from, from) == 0)
            return words->to;
    return NULL;
}

static bool skip(char reason[REASON], const char *what, const char *which)
{
    snprintf(reason, REASON, "%s%s%s", what, *which != '\0' ? " " : "", which);
    return false;
}

/* --- from the row's words to a scenario ------------------------------------------------------------ */

/* Whole fields that stand for something this build has no road for. */
static bool check_fields(const json_t *f, char reason[REASON])
{
    static const char *const impls[] = {"hf", "plain", "litgpt", "torchtune", NULL};
    const char *impl = text_of(f, "impl");
    size_t i = 0;

    if (json_object_get(f, "quant") != NULL)
        return skip(reason, "quantized weights:", text_of(json_object_get(f, "quant"), "kind"));
    if (json_object_get(f, "component") != NULL)
        return skip(reason, "a pipeline's component:", text_of(f, "component"));
    if (json_integer_value(json_object_get(f, "gpus")) > 1 ||
        json_object_get(f, "parallel") != NULL)
        return skip(reason, "several cards or their buckets:", text_of(f, "parallel"));
    if (json_object_get(f, "part") != NULL)
        return skip(reason, "a part of the memory:", text_of(f, "part"));
    while (impls[i] != NULL && strcmp(impls[i], impl) != 0)
        i++;
    if (impls[i] == NULL)
        return skip(reason, "formulation", impl);
    if (strcmp(impl, "torchtune") == 0 && strcmp(text_of(f, "task"), "load") != 0)
        return skip(reason, "torchtune's recipes", "");
    return true;
}

static json_t *model_of(const json_t *f, char reason[REASON])
{
    static const struct word dims[] = {
        {"family", "family"},
        {"layers", "layers"},
        {"hidden", "hidden"},
        {"heads", "heads"},
        {"kv_heads", "kv_heads"},
        {"head_dim", "head_dim"},
        {"ffn", "ffn"},
        {"vocab", "vocab"},
        {"tied", "tied"},
        {"positions", "max_seq"},
        {NULL, NULL},
    };
    static const struct word implied[] = {
        /* what the family means anyway */
        {"norm", ""},
        {"bias", ""},
        {"mlp", ""},
        {NULL, NULL},
    };
    const json_t *given = json_object_get(f, "dims");
    bool hf = strcmp(text_of(f, "impl"), "hf") == 0;
    json_t *model, *value;
    const char *key;

    if (given == NULL)
        return json_pack("{s:s, s:s}", "preset", text_of(f, "model"), "formulation",
                         hf ? "hf" : "plain");
    if (strcmp(text_of(given, "family"), "llama") != 0) {
        skip(reason, "model family", text_of(given, "family"));
        return NULL;
    }
    model = json_pack("{s:s}", "formulation", hf ? "hf" : "plain");
    json_object_foreach((json_t *)(uintptr_t)given, key, value)
    {
        const char *to = translate(dims, key);

        if (to != NULL) {
            json_object_set(model, to, value);
        } else if (translate(implied, key) == NULL) {
            skip(reason, "dimension", key);
            json_decref(model);
            return NULL;
        }
    }
    return model;
}

static bool add_adapter(const json_t *f, json_t *workload, char reason[REASON])
{
    static const struct word plain[] = {{"q", "wq"},      {"k", "wk"},      {"v", "wv"},
                                        {"o", "wo"},      {"gate", "gate"}, {"up", "up"},
                                        {"down", "down"}, {NULL, NULL}};
    static const struct word hf[] = {
        {"q", "q_proj"},       {"k", "k_proj"},   {"v", "v_proj"},       {"o", "o_proj"},
        {"gate", "gate_proj"}, {"up", "up_proj"}, {"down", "down_proj"}, {NULL, NULL}};
    const json_t *adapter = json_object_get(f, "adapter");
    const struct word *names = strcmp(text_of(f, "impl"), "hf") == 0 ? hf : plain;
    json_t *targets, *target;
    size_t i;

    if (adapter == NULL)
        return true;
    if (strcmp(text_of(adapter, "kind"), "lora") != 0)
        return skip(reason, "adapter", text_of(adapter, "kind"));
    if (json_object_get(adapter, "also_trains") != NULL)
        return skip(reason, "an adapter that also trains other parts", "");
    targets = json_array();
    json_array_foreach(json_object_get(adapter, "targets"), i, target)
    {
        const char *name =
            translate(names, json_string_value(target) != NULL ? json_string_value(target) : "");

        if (name == NULL) {
            json_decref(targets);
            return skip(reason, "adapter's target", json_string_value(target));
        }
        json_array_append_new(targets, json_string(name));
    }
    json_object_set_new(workload, "adapter",
                        json_pack("{s:s, s:O, s:o, s:f}", "kind", "lora", "rank",
                                  json_object_get(adapter, "rank"), "targets", targets, "dropout",
                                  json_number_value(json_object_get(adapter, "dropout"))));
    return true;
}

static bool add_mitigations(const json_t *f, json_t *workload, char reason[REASON])
{
    const json_t *list = json_object_get(f, "mitigations");
    const json_t *word;
    size_t i;
    long long n;

    json_array_foreach(list, i, word)
    {
        const char *text = json_string_value(word) != NULL ? json_string_value(word) : "";

        if (sscanf(text, "accumulate=%lld", &n) == 1) {
            json_t *batch = json_object_get(workload, "batch");

            json_object_set_new(workload, "accumulate", json_integer(n));
            /* A row's batch is that of a micro-step. */
            json_object_set_new(workload, "batch", json_integer(n * json_integer_value(batch)));
        } else if (strcmp(text, "checkpointing") == 0) {
            json_object_set_new(workload, "checkpointing", json_string("non-reentrant"));
        } else if (strcmp(text, "flash-attention") == 0) {
            json_object_set_new(workload, "sdpa", json_string("flash"));
        } else if (strcmp(text, "optimizer-in-backward") == 0) {
            json_object_set_new(workload, "optimizer_in_backward", json_true());
        } else {
            return skip(reason, "mitigation", text);
        }
    }
    return true;
}

static bool add_numbers(const json_t *f, json_t *workload, char reason[REASON])
{
    static const struct word precisions[] = {{"fp32", "fp32"},         {"fp16", "fp16"},
                                             {"bf16", "bf16"},         {"amp-fp16", "amp-fp16"},
                                             {"amp-bf16", "amp-bf16"}, {NULL, NULL}};
    static const struct word optimizers[] = {{"adamw", "adamw"},
                                             {"adam", "adam"},
                                             {"sgd", "sgd"},
                                             {"adafactor", "adafactor"},
                                             {NULL, NULL}};
    const json_t *batch = json_object_get(f, "batch"), *seq = json_object_get(f, "seq");
    const char *precision = translate(precisions, text_of(f, "precision"));
    bool trains =
        strcmp(text_of(f, "task"), "train") == 0 || strcmp(text_of(f, "task"), "finetune") == 0;

    if (precision == NULL || json_is_true(json_object_get(f, "autocast")))
        return skip(reason, "precision", text_of(f, "precision"));
    json_object_set_new(workload, "precision", json_string(precision));
    json_object_set_new(workload, "batch",
                        json_integer(batch != NULL ? json_integer_value(batch) : 1));
    if (json_object_get(f, "resolution") == NULL)
        json_object_set_new(workload, "sequence",
                            json_integer(seq != NULL ? json_integer_value(seq) : DEFAULT_TOKENS));
    if (strcmp(text_of(f, "task"), "generate") == 0)
        json_object_set_new(workload, "new_tokens",
                            json_integer(json_object_get(f, "new_tokens") != NULL
                                             ? json_integer_value(json_object_get(f, "new_tokens"))
                                             : DEFAULT_TOKENS));
    if (trains) {
        const char *optimizer = translate(optimizers, text_of(f, "optimizer"));

        if (optimizer == NULL)
            return skip(reason, "optimizer", text_of(f, "optimizer"));
        json_object_set_new(workload, "optimizer", json_string(optimizer));
        json_object_set_new(workload, "steps", json_integer(2));
    }
    return true;
}

static bool add_model(const json_t *f, json_t *workload, char reason[REASON])
{
    json_t *model = model_of(f, reason);

    if (model == NULL)
        return false;
    if (json_object_get(f, "classes") != NULL)
        json_object_set(model, "classes", json_object_get(f, "classes"));
    if (json_is_integer(json_object_get(f, "resolution")))
        json_object_set(model, "resolution", json_object_get(f, "resolution"));
    if (json_object_get(f, "attention") != NULL)
        json_object_set(model, "attention", json_object_get(f, "attention"));
    json_object_set_new(workload, "model", model);
    return true;
}

/* The row's workload object; NULL with the reason. */
static json_t *workload_of(const json_t *f, char reason[REASON])
{
    static const struct word tasks[] = {{"load", "infer"},        {"inference", "infer"},
                                        {"generate", "generate"}, {"train", "train"},
                                        {"finetune", "train"},    {NULL, NULL}};
    const char *task = translate(tasks, text_of(f, "task"));
    json_t *workload;

    if (task == NULL) {
        skip(reason, "task", text_of(f, "task"));
        return NULL;
    }
    workload = json_pack("{s:s}", "task", task);
    if (workload == NULL || !add_model(f, workload, reason) || !add_numbers(f, workload, reason) ||
        !add_adapter(f, workload, reason) || !add_mitigations(f, workload, reason)) {
        json_decref(workload);
        return NULL;
    }
    return workload;
}

/* One linear with a low-rank adapter, in_features x out_features: its three matrices. */
static json_t *linear_operations(const json_t *f)
{
    const json_t *dims = json_object_get(f, "dims");
    json_int_t in = json_integer_value(json_object_get(dims, "in_features"));
    json_int_t out = json_integer_value(json_object_get(dims, "out_features"));
    json_int_t rank = json_integer_value(json_object_get(json_object_get(f, "adapter"), "rank"));
    json_int_t bytes = strcmp(text_of(f, "precision"), "fp32") == 0 ? 4 : 2;

    return json_pack("[{s:s,s:s,s:I},{s:s,s:s,s:I},{s:s,s:s,s:I}]", "op", "alloc", "name", "weight",
                     "bytes", in * out * bytes, "op", "alloc", "name", "lora_a", "bytes",
                     rank * in * bytes, "op", "alloc", "name", "lora_b", "bytes",
                     rank * out * bytes);
}

static json_t *card_of(const json_t *f)
{
    const char *name = text_of(f, "card");
    const json_t *context = json_object_get(f, "context_mib");
    json_t *card;

    /* Without a card the verdict does not matter: one that is larger than any. */
    if (*name == '\0' || strcmp(name, "a100") == 0)
        return json_pack("{s:s, s:s, s:s, s:i, s:i}", "total", "1024GiB", "context", "0B",
                         "capability", "8.0", "multiprocessors", 108, "threads_per_multiprocessor",
                         2048);
    card = json_pack("{s:s}", "profile", name);
    if (context != NULL) {
        char text[32];

        snprintf(text, sizeof(text), "%lldMiB", (long long)json_integer_value(context));
        json_object_set_new(card, "context", json_string(text));
    }
    return card;
}

static json_t *scenario_of(const json_t *f, char reason[REASON])
{
    json_t *scenario;

    if (!check_fields(f, reason))
        return NULL;
    scenario = json_pack("{s:i, s:s, s:o}", "format", OOL_SCENARIO_FORMAT, "title",
                         "a published row", "card", card_of(f));
    if (json_object_get(json_object_get(f, "dims"), "in_features") != NULL) {
        json_object_set_new(scenario, "operations", linear_operations(f));
        return scenario;
    }
    json_object_set_new(scenario, "workload", workload_of(f, reason));
    if (json_object_get(scenario, "workload") == NULL) {
        json_decref(scenario);
        return NULL;
    }
    return scenario;
}

/* --- running and scoring --------------------------------------------------------------------------- */

static enum ool_status run_case(struct ool_case *c, struct ool_result *result,
                                struct ool_error *err)
{
    struct ool_program program;
    enum ool_status status;

    ool_program_init(&program);
    status = ool_case_lower(c, &program, NULL, err);
    if (status == OOL_OK)
        status = ool_run_program(&program, c, NULL, result, err);
    ool_program_fini(&program);
    return status;
}

static enum ool_status run_scenario(const json_t *document, struct ool_result *result,
                                    struct ool_error *err)
{
    char *text = json_dumps(document, JSON_INDENT(1));
    struct ool_scenario *scenario = NULL;
    struct ool_problems problems = {0};
    struct ool_case *cases = NULL;
    size_t n_cases = 0;
    json_free_t free_text;
    enum ool_status status;

    json_get_alloc_funcs(NULL, &free_text);
    if (text == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory for a scenario");
    status = ool_scenario_parse("published.json", text, strlen(text), &scenario, &problems);
    if (status != OOL_OK && problems.n > 0 && err != NULL)
        *err = problems.errors[0];
    if (status == OOL_OK)
        status = ool_scenario_cases(scenario, &cases, &n_cases, err);
    if (status == OOL_OK)
        status = run_case(&cases[0], result, err);
    ool_cases_close(cases, n_cases);
    ool_scenario_close(scenario);
    ool_problems_fini(&problems);
    free_text(text);
    return status;
}

/* Bytes of one unit; plain GB has two readings. */
static size_t units_of(const char *unit, double units[2])
{
    static const struct {
        const char *name;
        double first, second;
    } table[] = {{"bytes", 1, 0},        {"MiB", 1048576, 0}, {"MB", 1048576, 0},
                 {"GiB", 1073741824, 0}, {"GB(1e9)", 1e9, 0}, {"GB", 1e9, 1073741824}};

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(unit, table[i].name) == 0) {
            units[0] = table[i].first;
            units[1] = table[i].second;
            return table[i].second > 0 ? 2 : 1;
        }
    }
    return 0;
}

/* The counters that the row may mean, in bytes. */
static size_t counters_of(const json_t *f, const struct ool_result *result, double counters[3])
{
    const char *counter = text_of(f, "counter");
    const struct ool_phase_result *load = result->n_phases > 0 ? &result->phases[0] : NULL;
    bool loads = strcmp(text_of(f, "task"), "load") == 0 && load != NULL;
    double allocated = (double)(loads ? load->peak_allocated : result->peak_allocated);
    double reserved = (double)(loads ? load->peak_reserved : result->peak_reserved);
    double device = (double)result->peak_device - (double)result->peak_reserved + reserved;

    counters[0] = strcmp(counter, "reserved") == 0 ? reserved
                  : strcmp(counter, "nvml") == 0   ? device
                                                   : allocated;
    counters[1] = reserved;
    counters[2] = device;
    return strcmp(counter, "unknown") == 0 ? 3 : 1;
}

/* True if @found, printed with as many decimals as the source printed, is @value. */
static bool rounds_to(double found, double value)
{
    char printed[64], rounded[64];
    const char *point;

    snprintf(printed, sizeof(printed), "%.15g", value);
    point = strchr(printed, '.');
    snprintf(rounded, sizeof(rounded), "%.*f", point != NULL ? (int)strlen(point + 1) : 0, found);
    return strcmp(printed, rounded) == 0;
}

static double smallest_error(const json_t *row, const json_t *f, const struct ool_result *result,
                             char detail[REASON])
{
    double value = json_number_value(json_object_get(row, "value")), best = HUGE_VAL;
    double units[2], counters[3];
    size_t n_units = units_of(text_of(row, "unit"), units);
    size_t n_counters = counters_of(f, result, counters);

    for (size_t u = 0; u < n_units; u++) {
        for (size_t k = 0; k < n_counters; k++) {
            double error = fabs(counters[k] / units[u] - value) / value;

            if (rounds_to(counters[k] / units[u], value) ||
                (json_is_string(json_object_get(f, "bound")) && counters[k] / units[u] < value))
                error = 0;
            if (error < best) {
                best = error;
                snprintf(detail, REASON, "published %g %s, simulated %.6g", value,
                         text_of(row, "unit"), counters[k] / units[u]);
            }
        }
    }
    return best;
}

static enum ool_status score_row(const json_t *row, const json_t *f,
                                 const struct ool_result *result, struct ool_conform *conform,
                                 struct ool_error *err)
{
    const char *id = text_of(row, "id");
    char detail[REASON] = "";
    double error, tolerance = json_number_value(json_object_get(row, "tolerance"));

    if (strcmp(text_of(row, "metric"), "oom_bool") == 0) {
        bool ran_out = result->outcome == OOL_OUTCOME_OOM;
        bool agrees = ran_out == json_is_true(json_object_get(row, "value"));
        enum ool_status status =
            ool_conform_add(conform, id, agrees ? OOL_ROW_EXACT : OOL_ROW_MISSED, agrees ? 0 : 1,
                            agrees ? NULL : "the verdict differs", err);

        if (status == OOL_OK && conform->n_rows > 0 && ool_conform_wants(conform, id)) {
            conform->rows[conform->n_rows - 1].has_verdict = true;
            conform->rows[conform->n_rows - 1].wrong_verdict = !agrees;
        }
        return status;
    }
    error = smallest_error(row, f, result, detail);
    if (error == HUGE_VAL) {
        snprintf(detail, sizeof(detail), "unit %s is no size", text_of(row, "unit"));
        return ool_conform_add(conform, id, OOL_ROW_SKIPPED, 0, detail, err);
    }
    return ool_conform_add(conform, id,
                           error == 0           ? OOL_ROW_EXACT
                           : error <= tolerance ? OOL_ROW_WITHIN
                                                : OOL_ROW_MISSED,
                           error, detail, err);
}

static enum ool_status check_row(const json_t *row, struct ool_conform *conform,
                                 struct ool_error *err)
{
    const char *id = text_of(row, "id");
    const json_t *f = json_object_get(row, "workload_fields");
    char reason[REASON] = "";
    struct ool_result result = {0};
    struct ool_error failure = {0};
    json_t *scenario;
    enum ool_status status;

    if (strcmp(text_of(row, "tier"), "F") == 0 || !json_is_object(f))
        return ool_conform_add(conform, id, OOL_ROW_UNSCORED, 0, NULL, err);
    scenario = scenario_of(f, reason);
    if (scenario == NULL)
        return ool_conform_add(conform, id, OOL_ROW_SKIPPED, 0, reason, err);
    status = run_scenario(scenario, &result, &failure);
    json_decref(scenario);
    if (status == OOL_OK)
        status = score_row(row, f, &result, conform, err);
    else if (status != OOL_E_HOST_OOM)
        status = ool_conform_add(conform, id, OOL_ROW_SKIPPED, 0, failure.text, err);
    ool_result_fini(&result);
    return status;
}

enum ool_status ool_conform_published(const char *path, const json_t *root,
                                      struct ool_conform *conform, struct ool_error *err)
{
    const json_t *row;
    size_t i;

    (void)path;
    json_array_foreach(root, i, row)
    {
        enum ool_status status = OOL_OK;

        if (ool_conform_wants(conform, text_of(row, "id")))
            status = check_row(row, conform, err);
        if (status != OOL_OK)
            return status;
    }
    return OOL_OK;
}
