#include "ool_data.h"
#include "ool_file.h"
#include "ool_scenario.h"
#include "ool_scenario_internal.h"
#include "ool_test.h"

#include <jansson.h>
#include <math.h>

#define PATH "tests/data/scenario/good/here.json"
#define CARD "\"format\": 1, \"card\": {\"total\": \"24GiB\", \"capability\": \"8.9\"}"
#define MODEL                                                                                      \
    "\"model\": {\"family\": \"mlp\", \"inputs\": 8, \"hidden\": 16, \"layers\": 2, \"classes\": " \
    "4}"

static struct ool_scenario *parse(const char *text)
{
    struct ool_problems problems = {0};
    struct ool_scenario *s = NULL;
    enum ool_status status = ool_scenario_parse(PATH, text, strlen(text), &s, &problems);

    if (status != OOL_OK)
        fail_msg("%s: %s", problems.errors[0].path, problems.errors[0].text);
    ool_problems_fini(&problems);
    return s;
}

static void cases_are_named_by_point_and_stack(void **state)
{
    static const char *const ids[] = {
        "here[batch=1,optimizer=sgd]",       "here[batch=1,optimizer=sgd]+a",
        "here[batch=1,optimizer=sgd]+a+b=2", "here[batch=1,optimizer=adamw]",
        "here[batch=1,optimizer=adamw]+a",   "here[batch=1,optimizer=adamw]+a+b=2",
        "here[batch=4,optimizer=sgd]",       "here[batch=4,optimizer=sgd]+a",
        "here[batch=4,optimizer=sgd]+a+b=2", "here[batch=4,optimizer=adamw]",
        "here[batch=4,optimizer=adamw]+a",   "here[batch=4,optimizer=adamw]+a+b=2"};
    struct ool_scenario *s = parse("{" CARD ", \"workload\": {" MODEL
                                   ", \"optimizer\": [\"sgd\", \"adamw\"], \"batch\": [1, 4]},"
                                   " \"mitigations\": [{\"ladder\": [\"a\", \"b=2\"]}, \"a\"]}");
    struct ool_case *cases = NULL;
    size_t n = 0;

    (void)state;
    assert_int_equal(ool_scenario_cases(s, &cases, &n, NULL), OOL_OK);
    assert_int_equal(n, 12);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(cases[i].id, ids[i]);
        assert_int_equal(cases[i].baseline, i / 3 * 3);
        assert_int_equal(cases[i].jobs[0].workload.batch, i < 6 ? 1 : 4);
        assert_int_equal(cases[i].jobs[0].workload.optimizer.kind,
                         i / 3 % 2 == 0 ? OOL_SGD : OOL_ADAMW);
    }
    assert_string_equal(cases[2].stack, "a+b=2");
    assert_string_equal(cases[2].steps.steps[1].value, "2");
    ool_cases_close(cases, n);
    ool_scenario_close(s);
}

static void expectations_match_by_pattern(void **state)
{
    static const struct {
        const char *pattern, *point, *stack;
        bool matches;
    } rows[] = {{"batch=4", "batch=4", "", true},
                {"batch=4", "batch=4", "a", false},
                {"batch=4+*", "batch=4", "a+b", true},
                {"batch=4+*", "batch=4", "", false},
                {"batch=4+a", "batch=4", "a", true},
                {"batch=[14]+a", "batch=4", "a", true},
                {"*", "batch=4", "", true},
                {"baseline", "", "", true},
                {"baseline", "", "a", false},
                {"a+b", "", "a+b", true},
                {"*+a", "batch=4", "a", true},
                {NULL, "batch=4", "a", true}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char point[32], stack[32];
        struct ool_case c = {.point = point, .stack = stack};
        struct ool_expectation e = {.pattern = rows[i].pattern};
        strcpy(point, rows[i].point);
        strcpy(stack, rows[i].stack);
        assert_int_equal(ool_expectation_matches(&e, &c), rows[i].matches);
    }
}

static void jobs_and_matrix_keys(void **state)
{
    struct ool_scenario *s =
        parse("{" CARD ", \"jobs\": [{\"name\": \"chat\", \"process\": 1, \"workload\": {" MODEL
              ", \"batch\": [1, 2]}},"
              " {\"operations\": [{\"op\": \"alloc\", \"name\": \"w\", \"bytes\": [\"1KiB\", "
              "\"2KiB\"]}]}]}");

    (void)state;
    assert_int_equal(s->n_points, 4);
    assert_string_equal(s->points[1].id, "here[chat.batch=1,w.bytes=2KiB]");
    assert_int_equal(s->points[1].n_jobs, 2);
    assert_int_equal(s->points[1].jobs[0].process, 1);
    assert_string_equal(s->points[1].jobs[1].name, "job2");
    assert_true(s->points[1].jobs[1].explicit_operations);
    assert_int_equal(s->points[1].jobs[1].operations[0].value, 2048);
    ool_scenario_close(s);
}

static void the_id_is_the_path_below_the_suite(void **state)
{
    static const struct {
        const char *path, *id;
    } rows[] = {{"a.json", "a"},
                {"x/scenarios/leak/a.json", "leak/a"},
                {"scenarios/scenarios/leak/a.json", "leak/a"},
                {"my-scenarios/leak/a.json", "a"},
                {"/tmp/b", "b"}};
    const char *text = "{" CARD ", \"workload\": {" MODEL "}}";

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ool_problems problems = {0};
        struct ool_scenario *s = NULL;
        assert_int_equal(ool_scenario_parse(rows[i].path, text, strlen(text), &s, &problems),
                         OOL_OK);
        assert_string_equal(s->id, rows[i].id);
        ool_scenario_close(s);
    }
}

static void sha256_vectors(void **state)
{
    static const struct {
        const char *text, *hash;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrl"
         "mnopqrsmnopqrst"
         "nopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"}};
    char out[65];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ool_sha256(rows[i].text, strlen(rows[i].text), out);
        assert_string_equal(out, rows[i].hash);
    }
}

/* What the table states as a default is what a workload has without the key. */
static void stated_defaults_are_the_defaults(void **state)
{
    const struct ool_keys *keys = &ool_keys_workload;

    (void)state;
    for (size_t i = 0; i < keys->n_keys; i++) {
        struct ool_workload plain, given;
        struct ool_scenario_memory *memory = NULL;
        struct ool_problems problems = {0};
        json_t *object = json_pack("{s:{s:s}}", "model", "family", "gpt");

        if (keys->keys[i].fallback == NULL) {
            json_decref(object);
            continue;
        }
        memset(&plain, 0, sizeof plain);
        memset(&given, 0, sizeof given);
        assert_int_equal(ool_workload_read(object, &plain, &memory, &problems), OOL_OK);
        ool_scenario_memory_close(memory);
        json_object_set_new(object, keys->keys[i].name,
                            json_loads(keys->keys[i].fallback, JSON_DECODE_ANY, NULL));
        assert_int_equal(ool_workload_read(object, &given, &memory, &problems), OOL_OK);
        ool_scenario_memory_close(memory);
        plain.optimizer.weight_decay = given.optimizer.weight_decay = 0; /* NAN */
        if (memcmp(&plain, &given, sizeof plain) != 0)
            fail_msg("\"%s\" is not %s by default", keys->keys[i].name, keys->keys[i].fallback);
        json_decref(object);
    }
}

static void workload_alone(void **state)
{
    json_t *object = json_loads(
        "{\"model\": {\"family\": \"gpt\", \"impl\": 1}, \"optimizer\": \"none\"}", 0, NULL);
    struct ool_scenario_memory *memory = NULL;
    struct ool_problems problems = {0};
    struct ool_workload w;

    (void)state;
    assert_int_equal(ool_workload_read(object, &w, &memory, &problems), OOL_E_KEY);
    assert_string_equal(problems.errors[0].path, "/model/impl");
    assert_null(memory);
    ool_problems_fini(&problems);
    json_object_del(json_object_get(object, "model"), "impl");
    json_object_set_new(object, "adapter",
                        json_pack("{s:i, s:[s, s]}", "rank", 8, "targets", "q", "v"));
    json_object_set_new(object, "frozen", json_string("trunk"));
    json_object_set_new(object, "zero_grad", json_string("zero"));
    assert_int_equal(ool_workload_read(object, &w, &memory, &problems), OOL_OK);
    assert_false(w.has_optimizer);
    assert_int_equal(w.lora.rank, 8);
    assert_string_equal(w.lora.targets[1], "v");
    assert_null(w.lora.targets[2]);
    assert_int_equal(w.frozen_blocks, OOL_FROZEN_TRUNK);
    assert_true(w.keep_gradients);
    ool_scenario_memory_close(memory);
    json_object_set_new(object, "batch", json_pack("[i, i]", 1, 2));
    assert_int_equal(ool_workload_read(object, &w, &memory, &problems),
                     OOL_E_TYPE); /* no matrix here */
    ool_problems_fini(&problems);
    json_decref(object);
}

static void operations_become_a_program(void **state)
{
    struct ool_scenario *s =
        parse("{" CARD ", \"operations\": [\n"
              " {\"op\": \"alloc\", \"name\": \"a\", \"bytes\": 100, \"category\": \"parameter\", "
              "\"stream\": 3},\n"
              " {\"op\": \"loop\", \"times\": 5, \"body\": [{\"op\": \"alloc\", \"name\": \"l\", "
              "\"bytes\": 8, \"leak\": true,"
              " \"origin\": \"x/y\"}]},\n"
              " {\"op\": \"free\", \"name\": \"a\"},\n"
              " {\"op\": \"alloc\", \"name\": \"a\", \"bytes\": 200, \"place\": \"pinned\"},\n"
              " {\"op\": \"copy\", \"name\": \"a\", \"to\": \"l\"},\n"
              " {\"op\": \"set_fraction\", \"fraction\": 0.5},\n"
              " {\"op\": \"event_record\", \"name\": \"a\"}, {\"op\": \"event_wait\", \"name\": "
              "\"a\", \"stream\": 1},\n"
              " {\"op\": \"kernel\", \"name\": \"k\"},\n"
              " {\"op\": \"mark\", \"name\": \"end\"}]}");
    static const enum ool_op_kind kinds[] = {
        OOL_OP_ALLOC,        OOL_OP_LOOP,       OOL_OP_ALLOC,  OOL_OP_END,
        OOL_OP_FREE,         OOL_OP_ALLOC,      OOL_OP_COPY,   OOL_OP_SET_FRACTION,
        OOL_OP_EVENT_RECORD, OOL_OP_EVENT_WAIT, OOL_OP_KERNEL, OOL_OP_MARK};
    struct ool_program p;
    double fraction;

    (void)state;
    ool_program_init(&p);
    assert_int_equal(ool_case_lower(&s->points[0], &p, NULL, NULL), OOL_OK);
    assert_int_equal(ool_program_validate(&p, NULL), OOL_OK);
    assert_int_equal(p.n_ops, sizeof kinds / sizeof *kinds);
    for (size_t i = 0; i < p.n_ops; i++)
        assert_int_equal(p.ops[i].kind, kinds[i]);
    assert_int_equal(p.ops[0].line, 2);
    assert_int_equal(p.ops[0].stream, 3);
    assert_int_equal(p.ops[1].value, 5);
    assert_string_equal(ool_program_text_of(&p, p.storages[1].origin), "x/y");
    assert_int_equal(p.ops[4].id, 0);
    assert_int_equal(p.storages[2].place, OOL_PLACE_PINNED);
    assert_int_equal(p.ops[6].id, 2);
    assert_int_equal(p.ops[6].value, 1);
    memcpy(&fraction, &p.ops[7].value, sizeof fraction);
    assert_true(fraction == 0.5);
    assert_int_equal(p.ops[8].id, p.ops[9].id);
    assert_string_equal(ool_program_text_of(&p, p.ops[11].id), "end");
    ool_program_fini(&p);
    ool_scenario_close(s);
}

static void several_jobs_name_their_phases(void **state)
{
    struct ool_scenario *s = parse(
        "{" CARD ", \"jobs\": ["
        "{\"name\": \"one\", \"operations\": [{\"op\": \"alloc\", \"name\": \"a\", \"bytes\": 1},"
        " {\"op\": \"mark\", \"name\": \"end\"}]},"
        "{\"name\": \"two\", \"process\": 1, \"operations\": [{\"op\": \"alloc\", \"name\": \"a\","
        " \"bytes\": 1}, {\"op\": \"mark\", \"name\": \"end\"}]}]}");
    struct ool_program p;

    (void)state;
    ool_program_init(&p);
    assert_int_equal(ool_case_lower(&s->points[0], &p, NULL, NULL), OOL_OK);
    assert_string_equal(ool_program_text_of(&p, p.ops[1].id), "one/end");
    assert_string_equal(ool_program_text_of(&p, p.ops[3].id), "two/end");
    assert_string_equal(ool_program_text_of(&p, p.storages[1].origin), "two/a");
    assert_int_equal(p.ops[2].process, 1);
    assert_int_equal(p.n_processes, 2);
    ool_program_fini(&p);
    ool_scenario_close(s);
}

static void problems_are_printed_with_their_place(void **state)
{
    static const char text[] = "{\n  \"format\": 1, \"card\": {\"total\": \"24GB\"},\n  \"title\": "
                               "\"\xc3\xa4\", \"tags\": 3,\n"
                               "  \"workload\": {" MODEL ", \"batsh\": 1}\n}\n";
    struct ool_problems problems = {0};
    struct ool_scenario *s = NULL;
    struct ool_text out;
    json_t *json;

    (void)state;
    ool_text_init(&out, 65536);
    assert_int_equal(ool_scenario_parse("a.json", text, strlen(text), &s, &problems), OOL_E_SIZE);
    assert_int_equal(problems.n, 3);
    ool_problems_print(&problems, text, strlen(text), false, &out);
    assert_non_null(
        strstr(out.data, "a.json:2:34: error[E203]: \"total\": size \"24GB\" is ambiguous"));
    assert_non_null(strstr(out.data, "   at /card/total\n"));
    assert_non_null(strstr(out.data, "      |                                  ^^^^^^ sizes read"));
    assert_non_null(strstr(out.data, "a.json:3:25: error[E103]")); /* columns count characters */
    assert_non_null(strstr(out.data, "^^^^^^^ did you mean \"batch\"?"));
    assert_non_null(strstr(out.data, "3 errors; \"oomlab explain E203\" says more\n"));
    ool_text_clear(&out);
    ool_problems_print(&problems, text, strlen(text), true, &out);
    json = json_loads(out.data, 0, NULL);
    assert_int_equal(json_array_size(json), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(json, 2), "code")),
                        "E101");
    assert_string_equal(json_string_value(json_object_get(json_array_get(json, 2), "pointer")),
                        "/workload/batsh");
    json_decref(json);
    ool_text_fini(&out);
    ool_problems_fini(&problems);
}

static void the_checked_in_schema_is_the_printed_one(void **state)
{
    struct ool_text text;
    char *file = NULL;
    size_t length = 0;

    (void)state;
    ool_text_init(&text, (size_t)1 << 24);
    assert_int_equal(ool_scenario_schema(&text), OOL_OK);
    assert_int_equal(
        ool_file_read("scenarios/schema/scenario-1.json", (size_t)1 << 24, &file, &length, NULL),
        OOL_OK);
    assert_int_equal(length, text.length);
    assert_memory_equal(file, text.data, length);
    ool_free(file);
    ool_text_fini(&text);
}

static void every_status_is_explained(void **state)
{
    (void)state;
#define XX(name, code, text) assert_non_null(ool_explain(OOL_##name));
    OOL_STATUS_MAP(XX)
#undef XX
    assert_null(ool_explain((enum ool_status)7));
}

/* --- limits: at the limit and one beyond ------------------------------------------------------------- */

static enum ool_status parse_status(const char *text, size_t length)
{
    struct ool_problems problems = {0};
    struct ool_scenario *s = NULL;
    enum ool_status status = ool_scenario_parse(PATH, text, length, &s, &problems);

    ool_problems_fini(&problems);
    if (status == OOL_OK)
        ool_scenario_close(s);
    return status;
}

static enum ool_status with_operations(size_t n)
{
    struct ool_text text;
    enum ool_status status;

    ool_text_init(&text, (size_t)1 << 25);
    ool_text_puts(&text, "{" CARD ", \"operations\": [");
    for (size_t i = 0; i < n; i++)
        ool_text_printf(&text, "%s{\"op\": \"reset_peak\"}", i > 0 ? "," : "");
    ool_text_puts(&text, "]}");
    status = parse_status(text.data, text.length);
    ool_text_fini(&text);
    return status;
}

static enum ool_status with_padding(size_t length)
{
    struct ool_text text;
    enum ool_status status;
    char *blanks = ool_malloc(length);

    memset(blanks, ' ', length);
    ool_text_init(&text, (size_t)1 << 26);
    ool_text_puts(&text, "{" CARD ", \"operations\": [{\"op\": \"reset_peak\"}]}");
    ool_text_add(&text, blanks, length - text.length);
    status = parse_status(text.data, text.length);
    ool_text_fini(&text);
    ool_free(blanks);
    return status;
}

static enum ool_status with_depth(int depth)
{
    struct ool_text text;
    enum ool_status status;

    ool_text_init(&text, 65536);
    ool_text_puts(&text, "{" CARD ", \"operations\": [{\"op\": \"reset_peak\"}], \"x-deep\": ");
    for (int i = 1; i < depth; i++)
        ool_text_puts(&text, "[");
    for (int i = 1; i < depth; i++)
        ool_text_puts(&text, "]");
    ool_text_puts(&text, "}");
    status = parse_status(text.data, text.length);
    ool_text_fini(&text);
    return status;
}

static void limits(void **state)
{
    (void)state;
    assert_int_equal(with_operations(OOL_MAX_OPERATIONS), OOL_OK);
    assert_int_equal(with_operations(OOL_MAX_OPERATIONS + 1), OOL_E_LIMIT);
    assert_int_equal(with_padding(OOL_LAYOUT_BYTES), OOL_OK);
    assert_int_equal(with_padding(OOL_LAYOUT_BYTES + 1), OOL_E_LIMIT);
    assert_int_equal(with_depth(OOL_LAYOUT_DEPTH), OOL_OK);
    assert_int_equal(with_depth(OOL_LAYOUT_DEPTH + 1), OOL_E_LIMIT);
}

/* --- host memory runs short --------------------------------------------------------------------------- */

static enum ool_status load_all(void *state)
{
    const char *text = state;
    struct ool_problems problems = {0};
    struct ool_scenario *s = NULL;
    struct ool_case *cases = NULL;
    struct ool_program p;
    size_t n = 0;
    enum ool_status status = ool_scenario_parse(PATH, text, strlen(text), &s, &problems);

    ool_program_init(&p);
    if (status == OOL_OK)
        status = ool_scenario_cases(s, &cases, &n, NULL);
    if (status == OOL_OK)
        status = ool_case_lower(&cases[0], &p, NULL, NULL);
    ool_program_fini(&p);
    ool_cases_close(cases, n);
    if (s != NULL)
        ool_scenario_close(s);
    ool_problems_fini(&problems);
    return status;
}

/* A text with problems ends with them or with a lack of memory, never with something else. */
static enum ool_status load_bad(void *state)
{
    const char *text = state;
    struct ool_problems problems = {0};
    struct ool_scenario *s = NULL;
    struct ool_text out;
    enum ool_status status = ool_scenario_parse(PATH, text, strlen(text), &s, &problems);

    assert_int_not_equal(status, OOL_OK);
    assert_null(s);
    ool_text_init(&out, 65536);
    ool_problems_print(&problems, text, strlen(text), false, &out);
    if (out.failed)
        status = OOL_E_HOST_OOM;
    ool_text_fini(&out);
    ool_problems_fini(&problems);
    return status == OOL_E_HOST_OOM ? status : OOL_OK;
}

static enum ool_status print_schema(void *state)
{
    struct ool_text text;
    enum ool_status status;

    (void)state;
    ool_text_init(&text, (size_t)1 << 24);
    status = ool_scenario_schema(&text);
    ool_text_fini(&text);
    return status;
}

static enum ool_status find_card(void *state)
{
    struct ool_card *card = NULL;
    enum ool_status status = ool_card_find(state, PATH, &card, NULL);

    ool_card_close(card);
    return status;
}

static void host_memory_runs_short(void **state)
{
    static char operations[] = "{" CARD ", \"operations\": [{\"op\": \"alloc\", \"name\": \"a\", "
                               "\"bytes\": [1, 2]}, {\"op\": \"loop\","
                               " \"times\": 2, \"body\": [{\"op\": \"kernel\", \"name\": \"k\"}]}, "
                               "{\"op\": \"free\", \"name\": \"a\"}],"
                               " \"mitigations\": [\"a\", {\"ladder\": [\"b\", \"c=1\"]}], "
                               "\"expect\": [{\"case\": \"*+a\","
                               " \"outcome\": \"fits\"}]}";
    static char bad[] = "{\"format\": 1, \"card\": \"nope\", \"workload\": {\"model\": "
                        "{\"family\": \"gpt\", \"hiden\": 3},"
                        " \"batch\": 1, \"batch\": [1, \"x\"]}}";

    (void)state;
    ool_test_each_fault(load_all, operations, 20000);
    ool_test_each_fault(load_bad, bad, 20000);
    ool_test_each_fault(find_card, (void *)(uintptr_t) "t4", 20000);
}

static void the_schema_when_host_memory_runs_short(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 40000; n += 97) { /* every 97th allocation: all would take a minute */
        uint64_t before = ool_live_blocks();
        enum ool_status status;

        ool_fault_arm(n, true);
        status = print_schema(NULL);
        if (ool_fault_disarm() == 0)
            break;
        assert_int_equal(status, OOL_E_HOST_OOM);
        assert_int_equal(ool_live_blocks(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_are_named_by_point_and_stack),
        cmocka_unit_test(expectations_match_by_pattern),
        cmocka_unit_test(jobs_and_matrix_keys),
        cmocka_unit_test(the_id_is_the_path_below_the_suite),
        cmocka_unit_test(sha256_vectors),
        cmocka_unit_test(stated_defaults_are_the_defaults),
        cmocka_unit_test(workload_alone),
        cmocka_unit_test(operations_become_a_program),
        cmocka_unit_test(several_jobs_name_their_phases),
        cmocka_unit_test(problems_are_printed_with_their_place),
        cmocka_unit_test(the_checked_in_schema_is_the_printed_one),
        cmocka_unit_test(every_status_is_explained),
        cmocka_unit_test(limits),
        cmocka_unit_test(host_memory_runs_short),
        cmocka_unit_test(the_schema_when_host_memory_runs_short),
    };

    json_set_alloc_funcs(ool_malloc,
                         ool_free); /* so that the loops reach jansson's allocations too */
    return cmocka_run_group_tests_name("scenario", tests, NULL, NULL);
}
