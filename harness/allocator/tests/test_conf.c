#include "ool_test.h"
#include "ool_torch_conf.h"

#define MIB(n) ((uint64_t)(n) << 20)

static struct ool_torch_fault fault;

static enum ool_status parse(const char *version, const char *text, bool start,
                             struct ool_torch_conf *conf)
{
    const struct ool_torch_release *release;

    assert_int_equal(ool_torch_release_find(version, &release, NULL), OOL_OK);
    return ool_torch_conf_parse(conf, release, text, start, &fault, NULL);
}

/* Texts that the recordings beside the conformance test do not hold. NULL: accepted. */
struct row {
    const char *name, *version, *conf;
    bool start;
    const char *type, *text;
};

#define END                                                                                    \
    "i < config_.size() INTERNAL ASSERT FAILED at \"c10/core/AllocatorConfig.h\":124, please " \
    "report a bug to PyTorch. Index out of bounds in ConfigTokenizer"
#define BRACKET                                                                                    \
    "i < config_.size() INTERNAL ASSERT FAILED at \"c10/core/AllocatorConfig.h\":115, please "     \
    "report a bug to PyTorch. Expected closing bracket ']' in ConfigTokenizer but reached end of " \
    "config"

static struct row rows[] = {
    {"unknown key at start", "2.11", "foo:1", true, "ValueError",
     "Unrecognized key 'foo' in CUDA allocator config."},
    {"unknown key later", "2.11", "foo:1", false, "ValueError",
     "Unrecognized key 'foo' in Accelerator allocator config."},
    {"unknown key, old", "2.8", "foo:1", true, "RuntimeError",
     "Unrecognized CachingAllocator option: foo"},
    {"at start CUDA is read first", "2.11", "max_split_size_mb:5,backend:foo", true, "ValueError",
     "Unknown allocator backend, options are native and cudaMallocAsync"},
    {"at run time CUDA is read last", "2.11", "backend:foo,max_split_size_mb:5", false,
     "ValueError", "CachingAllocator option max_split_size_mb too small, must be >= 20"},
    {"the segment size is read first", "2.11", "max_split_size_mb:30,large_segment_size_mb:40",
     false, "ValueError", "CachingAllocator option max_split_size_mb too small, must be >= 40"},
    {"no colon", "2.11", "backend", false, "RuntimeError", END},
    {"no value", "2.11", "expandable_segments:", false, "RuntimeError", END},
    {"no bracket", "2.11", "pinned_reserve_segment_size_mb:[", false, "RuntimeError", BRACKET},
    {"no bracket of a list", "2.11", "roundup_power2_divisions:[", false, "RuntimeError",
     "i < tokenizer.size() INTERNAL ASSERT FAILED at \"c10/core/AllocatorConfig.cpp\":185, please "
     "report a bug to PyTorch. Expected closing bracket ']' in ConfigTokenizer but reached end of "
     "config"},
    {"list ends after a key", "2.11", "roundup_power2_divisions:[256", false, "RuntimeError", END},
    {"a list that is a word", "2.11", "roundup_power2_divisions:[256:abc]", false, "ValueError",
     "stoull"},
    {"joined by blanks", "2.11", "roundup_power2_divisions:[256:1 512:2]", false, "ValueError",
     "For roundups, the divisions has to be power of 2 or 0 to disable roundup "},
    {"a separator alone", "2.11", ",", false, "ValueError",
     "Unrecognized key ',' in Accelerator allocator config."},
    {"a wrong separator", "2.11", "max_split_size_mb,100", false, "ValueError",
     "Error parsing the allocator settings: expected ':' but got ','"},
    {"a wrong separator, old", "2.6", "max_split_size_mb,100", false, "RuntimeError",
     "Error parsing CachingAllocator settings, expected :"},
    {"too large a number", "2.11", "max_split_size_mb:99999999999999999999", false, "IndexError",
     "stoull"},
    {"too large a real", "2.11", "garbage_collection_threshold:1e999", false, "IndexError", "stod"},
    {"not a number, real", "2.11", "garbage_collection_threshold:nan", false, "ValueError",
     "garbage_collect_threshold is invalid, set it in (0.0, 1.0)"},
    {"no threads", "2.11", "pinned_num_register_threads:0", false, "ValueError",
     "Number of register threads has to be power of 2, got 0"},
    {"the backend at run time", "2.11", "backend:cudaMallocAsync", false, "RuntimeError",
     "tokenizer[i] == get()->name() INTERNAL ASSERT FAILED at "
     "\"c10/cuda/CUDAAllocatorConfig.cpp\":44, please report a bug to PyTorch. Allocator backend "
     "parsed at runtime != allocator backend parsed at load time, cudaMallocAsync != native"},
    {"the backend at start", "2.11", "backend:cudaMallocAsync", true, NULL, NULL},
    {"blanks of all kinds", "2.11", " max_split_size_mb\t:\n100 , ", false, NULL, NULL},
    {"a number with a tail", "2.11", "garbage_collection_threshold:0.5x", false, NULL, NULL},
    {"the option of 2.13", "2.11", "throw_on_cudamalloc_oom:True", true, "ValueError",
     "Unrecognized key 'throw_on_cudamalloc_oom' in CUDA allocator config."},
    {"the option of 2.15", "2.13", "expandable_segments_reserve:0.5", true, "ValueError",
     "Unrecognized key 'expandable_segments_reserve' in CUDA allocator config."},
    {"classes", "2.15", "expandable_segments_reserve_by_class:[a:0.5,b:40G]", true, NULL, NULL},
    {"classes without an end", "2.15", "expandable_segments_reserve_by_class:[a:0.5", true,
     "RuntimeError",
     "i < config_.size() INTERNAL ASSERT FAILED at \"c10/core/AllocatorConfig.h\":123, please "
     "report a bug to PyTorch. Index out of bounds in ConfigTokenizer"},
    {"2.2 has no 0 in a list", "2.2", "roundup_power2_divisions:[256:0]", true, "RuntimeError",
     "For roundups, the divisons has to be power of 2 "},
    {"2.4 has", "2.4", "roundup_power2_divisions:[256:0]", true, NULL, NULL},
    {"threads, old", "2.4", "pinned_num_register_threads:-1", true, "RuntimeError",
     "Number of register threads has to be power of 2 "},
};

static void check_row(void **state)
{
    const struct row *row = *state;
    struct ool_torch_conf conf;
    enum ool_status status;

    ool_torch_conf_init(&conf);
    status = parse(row->version, row->conf, row->start, &conf);
    assert_int_equal(status, row->text == NULL ? OOL_OK : OOL_E_CONF);
    if (row->text == NULL) {
        assert_null(fault.type);
    } else {
        assert_string_equal(fault.text, row->text);
        assert_string_equal(fault.type, row->type);
    }
}

static void values_are_stored(void **state)
{
    struct ool_torch_conf conf;

    (void)state;
    ool_torch_conf_init(&conf);
    assert_int_equal(parse("2.15",
                           "max_split_size_mb:100,max_non_split_rounding_mb:50,"
                           "large_segment_size_mb:40,garbage_collection_threshold:0.25,"
                           "expandable_segments:True,per_process_memory_fraction:0.5,"
                           "throw_on_cudamalloc_oom:True,expandable_segments_reserve:0.1G",
                           true, &conf),
                     OOL_OK);
    assert_true(conf.max_split_size == MIB(100));
    assert_true(conf.max_non_split_rounding == MIB(50));
    assert_true(conf.large_segment_size == MIB(40));
    assert_true(conf.gc_threshold == 0.25);
    assert_true(conf.fraction == 0.5);
    assert_true(conf.expandable && conf.throw_on_oom && conf.has_reserve);
    assert_true(!conf.reserve_is_fraction && conf.reserve == 0.1);
    /* what a later string does not name: some are reset, some stay */
    assert_int_equal(parse("2.15", "", false, &conf), OOL_OK);
    assert_true(conf.max_split_size == UINT64_MAX);
    assert_true(conf.max_non_split_rounding == MIB(40));
    assert_true(conf.large_segment_size == MIB(40));
    assert_true(conf.gc_threshold == 0);
    assert_true(conf.expandable && conf.throw_on_oom && conf.has_reserve);
    assert_true(conf.fraction == 0.5);
}

static void huge_sizes_are_clamped(void **state)
{
    static const char *const texts[] = {"max_split_size_mb:-1",
                                        "max_split_size_mb:18446744073709551615"};
    struct ool_torch_conf conf;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        ool_torch_conf_init(&conf);
        assert_int_equal(parse("2.11", texts[i], true, &conf), OOL_OK);
        assert_true(conf.max_split_size == UINT64_MAX - MIB(1) + 1);
    }
}

/* A bad reserve is warned of by PyTorch and changes nothing. */
static void bad_reserves_are_ignored(void **state)
{
    static const char *const bad[] = {"abc", "G", "-1", "0", "12X", "inf", "0x1p3", "1e999", "5GG"};
    struct ool_torch_conf conf;
    char text[80];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ool_torch_conf_init(&conf);
        snprintf(text, sizeof text, "expandable_segments_reserve:%s", bad[i]);
        assert_int_equal(parse("2.15", text, true, &conf), OOL_OK);
        assert_false(conf.has_reserve);
    }
}

struct list {
    const char *name, *version, *conf;
    uint64_t divisions[OOL_TORCH_DIVISIONS];
};

static struct list lists[] = {
    {"one value",
     "2.11",
     "roundup_power2_divisions:4",
     {4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}},
    {"the documented list",
     "2.11",
     "roundup_power2_divisions:[256:1,512:2,1024:4,>:8]",
     {1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 8, 8, 8, 8}},
    {"overwritten up to 2.8",
     "2.8",
     "roundup_power2_divisions:[256:1,512:2,1024:4,>:8]",
     {1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 8, 8, 8, 8, 8, 8}},
    {"gaps stay off",
     "2.11",
     "roundup_power2_divisions:[4:2,64:8]",
     {2, 2, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
    {"beyond the table",
     "2.11",
     "roundup_power2_divisions:[65536:4,>:8]",
     {4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}},
    {"only the rest",
     "2.11",
     "roundup_power2_divisions:[>:4]",
     {0, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}},
    {"only the rest, old",
     "2.4",
     "roundup_power2_divisions:[>:4]",
     {4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}},
    {"an empty list", "2.11", "roundup_power2_divisions:[]", {0}},
    {"the last one wins",
     "2.11",
     "roundup_power2_divisions:8,roundup_power2_divisions:2",
     {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}},
};

static void check_list(void **state)
{
    const struct list *list = *state;
    struct ool_torch_conf conf;

    ool_torch_conf_init(&conf);
    assert_int_equal(parse(list->version, list->conf, true, &conf), OOL_OK);
    assert_memory_equal(conf.divisions, list->divisions, sizeof conf.divisions);
}

static void releases_are_found(void **state)
{
    static const char *const good[] = {"2.2",  "2.2.2",  "2.4.1", "2.6",   "2.8.0",
                                       "2.11", "2.11.0", "2.13",  "2.15.0"};
    static const char *const bad[] = {"",      "2",      "2.1",     "2.10", "2.111",
                                      "2.11.", "2.11.x", "2.11rc1", "3.0"};
    const struct ool_torch_release *release;
    struct ool_error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(ool_torch_release_find(good[i], &release, NULL), OOL_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ool_torch_release_find(bad[i], &release, &err), OOL_E_UNSUPPORTED);
    assert_int_equal(ool_torch_release_find(NULL, &release, NULL), OOL_OK);
    assert_string_equal(release->name, "2.11");
}

static enum ool_status parse_one(void *state)
{
    struct ool_torch_conf conf;

    (void)state;
    ool_torch_conf_init(&conf);
    return parse("2.11", "max_split_size_mb:100,roundup_power2_divisions:[256:1,>:4]", true, &conf);
}

static void survives_every_fault(void **state)
{
    (void)state;
    ool_test_each_fault(parse_one, NULL, 10);
}

int main(void)
{
    enum { N_ROWS = sizeof rows / sizeof *rows, N_LISTS = sizeof lists / sizeof *lists };
    struct CMUnitTest tests[N_ROWS + N_LISTS + 5];
    size_t n = 0;

    for (size_t i = 0; i < N_ROWS; i++)
        tests[n++] = (struct CMUnitTest){rows[i].name, check_row, NULL, NULL, &rows[i]};
    for (size_t i = 0; i < N_LISTS; i++)
        tests[n++] = (struct CMUnitTest){lists[i].name, check_list, NULL, NULL, &lists[i]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(values_are_stored);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(huge_sizes_are_clamped);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(bad_reserves_are_ignored);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(releases_are_found);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(survives_every_fault);
    return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
