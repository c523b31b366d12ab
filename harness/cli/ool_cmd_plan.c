/*
 * ool_cmd_plan.c - oomlab plan: what a scenario needs, without running it.
 */
#include "ool_commands.h"

#include "ool_glob.h"
#include "ool_mem.h"
#include "ool_mitigation.h"
#include "ool_plan.h"
#include "ool_shape.h"
#include "ool_suite.h"
#include "ool_text.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CARDS 64
#define MOST_TEXT (64 << 20)
#define LARGEST_LIMIT 1048576 /* values that the search goes up to */

struct options {
    const char *path, *only; /* only: pattern of case ids; NULL = the baselines */
    const char *cards[MOST_CARDS];
    size_t n_cards;
    bool largest, json;
    enum ool_size_axis axis;
    size_t top;
    int64_t limit;
};

static void print_usage(FILE *out)
{
    fputs(
        "Usage: oomlab plan [OPTION...] SCENARIO\n\n"
        "Predicts, without replaying with timelines and verdicts: peaks, what is alive there, the "
        "phase,\n"
        "whether it fits, and how much each iteration leaves behind.\n"
        "  --case ID         cases whose id (or what follows the scenario's name in it) matches;\n"
        "                    * and ? are wild (default: those without mitigations)\n"
        "  --card NAME       on this card instead of the scenario's; may be given again\n"
        "  --largest AXIS    the largest batch or sequence that fits\n"
        "  --limit N         the search ends there (default: 1048576)\n"
        "  --top N           so many of the largest origins (default and most: 10)\n"
        "  --json            the same as data\n"
        "Exit codes: 0 planned (whether it fits is in the answer), 2 usage or scenario error,\n"
        "3 infrastructure, 4 no case matches.\n",
        out);
}

static bool parse_number(const char *text, int64_t most, int64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoll(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *value >= 1 &&
           *value <= most;
}

static bool take_option(struct options *o, int option, const char *value)
{
    int64_t number;

    switch (option) {
    case 'c':
        o->only = value;
        return true;
    case 'C':
        o->cards[o->n_cards] = value;
        return ++o->n_cards < MOST_CARDS;
    case 'l':
        o->largest = true;
        o->axis = strcmp(value, "sequence") == 0 ? OOL_AXIS_SEQUENCE : OOL_AXIS_BATCH;
        return o->axis == OOL_AXIS_SEQUENCE || strcmp(value, "batch") == 0;
    case 'L':
        return parse_number(value, INT32_MAX, &o->limit);
    case 't':
        if (!parse_number(value, OOL_TOP, &number))
            return false;
        o->top = (size_t)number;
        return true;
    default:
        return o->json = true;
    }
}

/* -1 = go on; otherwise the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {
        {"case", required_argument, NULL, 'c'},    {"card", required_argument, NULL, 'C'},
        {"largest", required_argument, NULL, 'l'}, {"limit", required_argument, NULL, 'L'},
        {"top", required_argument, NULL, 't'},     {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    int option, index = 0;

    optind = 1;
    while ((option = getopt_long(argc, argv, "h", known, &index)) != -1) {
        if (option == 'h') {
            print_usage(stdout);
            return OOL_EXIT_OK;
        }
        if (option == '?') {
            fputs("\"oomlab plan --help\" lists the options\n", stderr);
            return OOL_EXIT_USAGE;
        }
        if (!take_option(o, option, optarg)) {
            fprintf(stderr, "oomlab plan: --%s does not take \"%s\"\n", known[index].name, optarg);
            return OOL_EXIT_USAGE;
        }
    }
    if (optind + 1 != argc) {
        print_usage(stderr);
        return OOL_EXIT_USAGE;
    }
    o->path = argv[optind];
    return -1;
}

static int exit_of(enum ool_status status)
{
    return status == OOL_E_HOST_OOM || status == OOL_E_INTERNAL ? OOL_EXIT_INFRA : OOL_EXIT_USAGE;
}

/* --- what is printed -------------------------------------------------------------------------- */

static const char *size_of(uint64_t bytes, char text[OOL_SIZE_TEXT])
{
    return ool_size_print(bytes, text);
}

static void print_verdict(const struct ool_case *c, const struct ool_plan *plan,
                          struct ool_text *out)
{
    char a[OOL_SIZE_TEXT], b[OOL_SIZE_TEXT];

    ool_text_printf(out, "  %-24s %-8s ", c->card.name, ool_outcome_name(plan->outcome));
    if (plan->failed_phase != NULL)
        ool_text_printf(out, "%s of %s at %s %s\n", size_of(plan->failed_bytes, a),
                        size_of(plan->capacity, b), plan->failed_phase,
                        ool_shape_origin(plan->failed_origin));
    else if (plan->capacity == 0)
        ool_text_puts(out, "(the card's size is not known)\n");
    else
        ool_text_printf(out, "%s of %s used at the most\n", size_of(plan->peak_device, a),
                        size_of(plan->capacity, b));
}

static void print_plan(const struct ool_case *c, const struct ool_plan *plan,
                       const struct options *o, struct ool_text *out)
{
    char a[OOL_SIZE_TEXT], b[OOL_SIZE_TEXT], d[OOL_SIZE_TEXT], e[OOL_SIZE_TEXT];

    ool_text_printf(out, "%s  %s %s%s%s  predicted\n", c->id, c->allocator.kind,
                    c->allocator.version, *c->allocator.conf != '\0' ? " " : "", c->allocator.conf);
    if (plan->params != 0)
        ool_text_printf(out, "  parameters %" PRIu64 ", trainable %" PRIu64 "\n", plan->params,
                        plan->trainable);
    ool_text_printf(out, "  peak in %s: requested %s, allocated %s, reserved %s, on the card %s\n",
                    plan->peak_phase, size_of(plan->need_requested, a),
                    size_of(plan->need_allocated, b), size_of(plan->need_reserved, d),
                    size_of(plan->need_device, e));
    if (plan->growth != 0)
        ool_text_printf(out, "  each iteration leaves %" PRId64 " bytes behind\n", plan->growth);
    ool_text_puts(out, "  allocated there by category\n");
    for (int i = 0; i < OOL_N_CATEGORIES; i++)
        if (plan->by_category[i] != 0)
            ool_text_printf(out, "    %10s  %s\n", size_of(plan->by_category[i], a),
                            ool_category_name((enum ool_category)i));
    ool_text_puts(out, "  and by origin, the largest\n");
    for (size_t i = 0; i < plan->n_top && i < o->top; i++)
        ool_text_printf(out, "    %10s  %-10s  %s\n", size_of(plan->top[i].bytes, a),
                        ool_category_name(plan->top[i].category),
                        ool_shape_origin(plan->top[i].origin));
}

static void print_largest(const struct ool_largest *largest, enum ool_size_axis axis, int64_t limit,
                          struct ool_text *out)
{
    ool_text_printf(out, "    largest %s that fits: %" PRId64 "%s (%s, %" PRId64 " values tried",
                    axis == OOL_AXIS_BATCH ? "batch" : "sequence", largest->value,
                    largest->limited ? " or more" : "",
                    largest->exhaustive ? "exhaustive: the need is not monotone" : "bisection",
                    largest->tried);
    if (largest->limited)
        ool_text_printf(out, ", up to %" PRId64, limit);
    ool_text_puts(out, ")\n");
}

static json_t *number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *card_json(const struct ool_case *c, const struct ool_plan *plan,
                         const struct ool_largest *largest)
{
    json_t *object =
        json_pack("{s:s, s:o, s:o, s:s, s:{s:o, s:o, s:o, s:o}}", "card", c->card.name, "capacity",
                  number(plan->capacity), "context", number(plan->context), "outcome",
                  ool_outcome_name(plan->outcome), "bytes", "requested",
                  number(plan->peak_requested), "allocated", number(plan->peak_allocated),
                  "reserved", number(plan->peak_reserved), "device", number(plan->peak_device));

    if (plan->failed_phase != NULL)
        json_object_set_new(object, "failure",
                            json_pack("{s:s, s:s, s:o}", "phase", plan->failed_phase, "origin",
                                      plan->failed_origin, "requested",
                                      number(plan->failed_bytes)));
    if (largest != NULL)
        json_object_set_new(object, "largest",
                            json_pack("{s:I, s:b, s:b, s:I}", "value", (json_int_t)largest->value,
                                      "exhaustive", largest->exhaustive, "limited",
                                      largest->limited, "tried", (json_int_t)largest->tried));
    return object;
}

static json_t *plan_json(const struct ool_case *c, const struct ool_plan *plan,
                         const struct options *o)
{
    json_t *categories = json_object(), *top = json_array();

    for (int i = 0; i < OOL_N_CATEGORIES; i++)
        if (plan->by_category[i] != 0)
            json_object_set_new(categories, ool_category_name((enum ool_category)i),
                                number(plan->by_category[i]));
    for (size_t i = 0; i < plan->n_top && i < o->top; i++)
        json_array_append_new(top, json_pack("{s:s, s:s, s:o}", "origin", plan->top[i].origin,
                                             "category", ool_category_name(plan->top[i].category),
                                             "bytes", number(plan->top[i].bytes)));
    return json_pack(
        "{s:s, s:{s:s, s:s, s:s}, s:o, s:o, s:s, s:{s:o, s:o, s:o, s:o}, s:o, s:o, s:I, s:s, s:[]}",
        "id", c->id, "allocator", "kind", c->allocator.kind, "version", c->allocator.version,
        "conf", c->allocator.conf, "params", number(plan->params), "trainable",
        number(plan->trainable), "phase", plan->peak_phase, "needs", "requested",
        number(plan->need_requested), "allocated", number(plan->need_allocated), "reserved",
        number(plan->need_reserved), "device", number(plan->need_device), "by_category", categories,
        "alive", top, "growth", (json_int_t)plan->growth, "origin", "predicted", "cards");
}

/* --- a case ----------------------------------------------------------------------------------- */

struct answer {
    const struct options *options;
    struct ool_text text;
    json_t *cases;  /* with --json */
    json_t *latest; /* the case under way */
    size_t n, refused;
};

/* One card: the first also tells what is needed, which depends on the card's capability only. */
static enum ool_status plan_on(struct answer *a, const struct ool_case *c, bool first,
                               struct ool_error *err)
{
    const struct options *o = a->options;
    struct ool_largest largest = {0};
    struct ool_plan *plan = NULL;
    enum ool_status status = ool_plan_case(c, &plan, err);

    if (status == OOL_OK && o->largest)
        status = ool_plan_largest(c, o->axis, o->limit, &largest, err);
    if (status == OOL_OK && o->json) {
        if (first)
            a->latest = plan_json(c, plan, o);
        if (json_array_append_new(json_object_get(a->latest, "cards"),
                                  card_json(c, plan, o->largest ? &largest : NULL)) != 0)
            status = ool_error_set(err, OOL_E_HOST_OOM, "no memory for a plan");
    } else if (status == OOL_OK) {
        if (first)
            print_plan(c, plan, o, &a->text);
        print_verdict(c, plan, &a->text);
        if (o->largest)
            print_largest(&largest, o->axis, o->limit, &a->text);
    }
    ool_plan_close(plan);
    return status;
}

static enum ool_status plan_on_cards(struct answer *a, struct ool_case *c, struct ool_error *err)
{
    const struct options *o = a->options;
    enum ool_status status = OOL_OK;
    struct ool_card own = c->card;

    if (o->n_cards == 0)
        return plan_on(a, c, true, err);
    for (size_t i = 0; status == OOL_OK && i < o->n_cards; i++) {
        struct ool_card *card = NULL;

        status = ool_card_find(o->cards[i], o->path, &card, err);
        if (status != OOL_OK)
            break;
        c->card = *card;
        status = plan_on(a, c, i == 0, err);
        c->card = own; /* the card's texts end with it */
        ool_card_close(card);
    }
    return status;
}

static bool is_wanted(const struct ool_case *c, const char *pattern)
{
    struct ool_expectation as_expected = {.pattern = pattern};

    if (pattern == NULL)
        return c->steps.n_steps == 0;
    return ool_glob_match(pattern, c->id) || ool_expectation_matches(&as_expected, c);
}

/* A point of the matrix that makes no sense is told of; the others are planned. */
static enum ool_status tell_refusal(struct answer *a, const struct ool_case *c,
                                    struct ool_error *err)
{
    a->refused++;
    json_decref(a->latest);
    a->latest = NULL;
    if (a->options->json)
        a->latest = json_pack("{s:s, s:s}", "id", c->id, "error", err->text);
    else
        ool_text_printf(&a->text, "%s\n  cannot be planned: %s\n", c->id, err->text);
    memset(err, 0, sizeof *err);
    return OOL_OK;
}

static enum ool_status plan_cases(struct answer *a, struct ool_case *cases, size_t n,
                                  struct ool_error *err)
{
    enum ool_status status = OOL_OK;

    for (size_t i = 0; status == OOL_OK && i < n; i++) {
        struct ool_price price;

        if (!is_wanted(&cases[i], a->options->only))
            continue;
        a->n++;
        a->latest = NULL;
        status = ool_mitigation_apply(&cases[i], &price, err);
        if (status == OOL_OK)
            status = plan_on_cards(a, &cases[i], err);
        if (status == OOL_E_COMBINATION || status == OOL_E_UNSUPPORTED)
            status = tell_refusal(a, &cases[i], err);
        if (a->latest != NULL && json_array_append_new(a->cases, a->latest) != 0)
            status = ool_error_set(err, OOL_E_HOST_OOM, "no memory for a plan");
    }
    return status;
}

static int print_answer(struct answer *a)
{
    bool failed;

    if (a->n == 0) {
        fputs("oomlab plan: no case matches\n", stderr);
        return OOL_EXIT_NOTHING;
    }
    if (a->options->json) {
        json_t *root = json_pack("{s:i, s:O}", "format", 1, "cases", a->cases);

        failed = root == NULL || json_dumpf(root, stdout, JSON_INDENT(1)) != 0;
        putchar('\n');
        json_decref(root);
    } else {
        failed = a->text.failed || fputs(ool_text_data(&a->text), stdout) == EOF;
    }
    if (failed)
        return OOL_EXIT_INFRA;
    return a->refused == a->n ? OOL_EXIT_USAGE : OOL_EXIT_OK;
}

static int plan_scenario(const struct ool_scenario *scenario, const struct options *o)
{
    struct answer a = {.options = o, .cases = json_array()};
    struct ool_error err = {0};
    struct ool_case *cases = NULL;
    size_t n_cases = 0;
    enum ool_status status = ool_scenario_cases(scenario, &cases, &n_cases, &err);
    int code;

    ool_text_init(&a.text, MOST_TEXT);
    if (status == OOL_OK)
        status = plan_cases(&a, cases, n_cases, &err);
    if (status != OOL_OK) {
        fprintf(stderr, "oomlab plan: %s\n", err.text);
        code = exit_of(status);
    } else {
        code = print_answer(&a);
    }
    ool_cases_close(cases, n_cases);
    ool_text_fini(&a.text);
    json_decref(a.cases);
    return code;
}

int ool_cmd_plan(int argc, char **argv)
{
    struct options o = {.top = OOL_TOP, .limit = LARGEST_LIMIT};
    struct ool_problems problems = {0};
    struct ool_scenario *scenario = NULL;
    struct ool_text text;
    enum ool_status status;
    int code = parse_options(argc, argv, &o);

    if (code >= 0)
        return code;
    status = ool_scenario_load_checked(o.path, ool_mitigation_check, &scenario, &problems);
    if (status == OOL_OK) {
        code = plan_scenario(scenario, &o);
    } else {
        ool_text_init(&text, MOST_TEXT);
        ool_suite_problems(o.path, &problems, false, &text);
        fputs(ool_text_data(&text), stderr);
        ool_text_fini(&text);
        code = exit_of(status);
    }
    ool_scenario_close(scenario);
    ool_problems_fini(&problems);
    return code;
}
