/* The formulations of transformers: recorded streams, parameter counts, refusals, failing allocations. */
#include "ool_test.h"

#include "ool_conform.h"
#include "ool_workload.h"

#define DATA "harness/workload/tests/data/"

static void check_rows(const char *path, size_t n_rows)
{
    struct ool_conform conform;
    struct ool_error err = {0};

    ool_conform_init(&conform);
    if (ool_conform_file(path, &conform, &err) != OOL_OK)
        fail_msg("%s", err.text);
    assert_int_equal(conform.n_rows, n_rows);
    for (size_t i = 0; i < conform.n_rows; i++)
        if (conform.rows[i].status != OOL_ROW_EXACT)
            fail_msg("%s: %s", conform.rows[i].id, conform.rows[i].detail);
    ool_conform_fini(&conform);
}

static void recorded_rows_are_exact(void **state)
{
    (void)state;
    check_rows(DATA "hf.json.gz", 69);
    check_rows(DATA "hf-heads.json.gz", 15);
}

/* --- counts: the published models ---------------------------------------------------------------- */

struct count_row {
    const char *name;
    struct ool_model model;
    uint64_t params;
};

static struct ool_model of(enum ool_family family, int64_t vocab, int64_t layers, int64_t hidden,
                           int64_t heads, int64_t kv_heads, int64_t ffn)
{
    struct ool_model m;

    ool_model_init(&m);
    m.family = family;
    m.formulation = OOL_HF;
    m.vocab = vocab;
    m.layers = layers;
    m.hidden = hidden;
    m.heads = heads;
    m.kv_heads = kv_heads;
    m.ffn = ffn;
    return m;
}

static void check_count(const char *name, struct ool_model model, uint64_t params)
{
    struct ool_workload_facts facts;
    struct ool_workload w;

    ool_workload_init(&w);
    w.model = model;
    w.seq = 8;
    print_message("%s\n", name);
    assert_int_equal(ool_workload_count(&w, &facts, NULL), OOL_OK);
    assert_int_equal(facts.params, params);
}

static void counts_are_exact(void **state)
{
    struct ool_model m;

    (void)state;
    check_count("gpt2", of(OOL_FAMILY_GPT, -1, -1, -1, -1, -1, -1), 124439808);
    check_count("bert base", of(OOL_FAMILY_BERT, -1, -1, -1, -1, -1, -1), 109514298);
    m = of(OOL_FAMILY_BERT, -1, -1, -1, -1, -1, -1);
    m.head = OOL_HEAD_NONE;
    check_count("bert base, the bare model", m, 109482240);
    m = of(OOL_FAMILY_BERT, -1, 24, 1024, 16, -1, 4096);
    m.classes = 2;
    check_count("bert large with two classes", m, 335143938);
    check_count("opt 125m", of(OOL_FAMILY_OPT, -1, -1, -1, -1, -1, -1), 125239296);
    check_count("t5 small", of(OOL_FAMILY_T5, -1, -1, -1, -1, -1, -1), 60506624);
    check_count("llama 2 7b", of(OOL_FAMILY_LLAMA, -1, -1, -1, -1, -1, -1), UINT64_C(6738415616));
    m = of(OOL_FAMILY_QWEN2, 151936, 24, 896, 14, 2, 4864);
    m.tied = 1;
    check_count("qwen2 0.5b", m, 494032768);
    m = of(OOL_FAMILY_VIT, -1, -1, -1, -1, -1, -1);
    m.classes = 1000;
    check_count("vit b 16", m, 86567656);
    m = of(OOL_FAMILY_OPT, 50272, 24, 1024, 16, -1, 4096);
    m.embedding = 512;
    m.post_norm = true;
    check_count("opt 350m", m, 331196416);
    check_count("clip vit-l text", of(OOL_FAMILY_CLIP_TEXT, -1, 12, 768, 12, -1, 3072), 123060480);
    m = of(OOL_FAMILY_CLIP_TEXT, -1, 32, 1280, 20, -1, 5120);
    m.embedding = 1280;
    check_count("clip vit-bigg text", m, 694659840);
    m = of(OOL_FAMILY_WHISPER, 51866, 32, 1280, 20, -1, 5120);
    m.channels = 128;
    check_count("whisper large v3", m, 1543490560);
    m = of(OOL_FAMILY_T5_ENCODER, -1, 24, 4096, 64, -1, 10240);
    m.gated = true;
    check_count("t5 v1.1 xxl encoder", m, UINT64_C(4762310656));
}

/* --- lowering -------------------------------------------------------------------------------------- */

static enum ool_status lower(void *state)
{
    struct ool_tape_config config = {0};
    struct ool_program program;
    enum ool_status status;

    ool_program_init(&program);
    status = ool_workload_lower(state, &config, &program, NULL, NULL);
    if (status == OOL_OK)
        status = ool_program_validate(&program, NULL);
    ool_program_fini(&program);
    return status;
}

static struct ool_workload small(enum ool_family family)
{
    struct ool_workload w;

    ool_workload_init(&w);
    w.model = of(family, 64, 1, 32, 4, 4, 48);
    w.model.head_dim = 8;
    w.model.max_seq = 16;
    w.model.resolution = 16;
    w.model.patch = 8;
    w.seq = 8;
    w.batch = 2;
    w.steps = 1;
    w.unload = true;
    return w;
}

static void set_eager(struct ool_workload *w)
{
    w->model.attention = OOL_ATTENTION_EAGER;
    w->precision = OOL_AMP_FP16;
}
static void set_checkpoint(struct ool_workload *w)
{
    w->checkpoint = OOL_CHECKPOINT_NONREENTRANT;
    w->lora.rank = 2;
}
static void set_infer(struct ool_workload *w)
{
    w->task = OOL_TASK_INFER;
    w->precision = OOL_PURE_FP16;
}
static void set_static(struct ool_workload *w)
{
    w->task = OOL_TASK_GENERATE;
    w->cache = OOL_CACHE_STATIC;
    w->new_tokens = 2;
}

static void set_classes(struct ool_workload *w)
{
    w->model.classes = 3;
    w->clip = OOL_CLIP_FOREACH;
}

static const struct {
    enum ool_family family;
    void (*set)(struct ool_workload *w);
} variants[] = {
    {OOL_FAMILY_GPT, set_eager},       {OOL_FAMILY_GPT, set_static},
    {OOL_FAMILY_LLAMA, set_eager},     {OOL_FAMILY_LLAMA, set_checkpoint},
    {OOL_FAMILY_QWEN2, set_static},    {OOL_FAMILY_BERT, set_eager},
    {OOL_FAMILY_VIT, set_checkpoint},  {OOL_FAMILY_OPT, set_eager},
    {OOL_FAMILY_T5, set_eager},        {OOL_FAMILY_T5, set_checkpoint},
    {OOL_FAMILY_T5, set_infer},        {OOL_FAMILY_T5_ENCODER, set_infer},
    {OOL_FAMILY_CLIP_TEXT, set_infer}, {OOL_FAMILY_BERT, set_classes},
    {OOL_FAMILY_BERT, set_infer},
};
#define N_VARIANTS (sizeof(variants) / sizeof(variants[0]))

/* What stays alive of a workload that unloads are the library's workspaces alone. */
static void unloading_leaves_workspaces(void **state)
{
    struct ool_tape_config config = {0};

    (void)state;
    for (size_t i = 0; i < N_VARIANTS; i++) {
        struct ool_workload w = small(variants[i].family);
        struct ool_error err = {0};
        struct ool_program program;
        bool *alive;

        variants[i].set(&w);
        ool_program_init(&program);
        if (ool_workload_lower(&w, &config, &program, NULL, &err) != OOL_OK)
            fail_msg("variant %zu: %s", i, err.text);
        alive = ool_calloc(program.n_storages + 1, sizeof(*alive));
        assert_non_null(alive);
        for (size_t j = 0; j < program.n_ops; j++)
            if (program.ops[j].kind == OOL_OP_ALLOC || program.ops[j].kind == OOL_OP_FREE)
                alive[program.ops[j].id] = program.ops[j].kind == OOL_OP_ALLOC;
        for (size_t j = 0; j < program.n_storages; j++)
            if (alive[j] && program.storages[j].category != OOL_CATEGORY_WORKSPACE)
                fail_msg("variant %zu: %llu bytes of %s stay", i,
                         (unsigned long long)program.storages[j].bytes,
                         ool_program_text_of(&program, program.storages[j].origin));
        ool_free(alive);
        ool_program_fini(&program);
    }
}

static void lowering_survives_each_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_VARIANTS; i++) {
        struct ool_workload w = small(variants[i].family);

        variants[i].set(&w);
        ool_test_each_fault(lower, &w, 100000);
    }
}

static enum ool_status count(void *state)
{
    struct ool_workload_facts facts;

    return ool_workload_count(state, &facts, NULL);
}

static void counting_survives_each_fault(void **state)
{
    struct ool_workload w = small(OOL_FAMILY_WHISPER);

    (void)state;
    ool_test_each_fault(count, &w, 10000);
}

static void impossible_ones_are_refused(void **state)
{
    struct ool_workload w = small(OOL_FAMILY_BERT);

    (void)state;
    w.seq = 17;
    assert_int_equal(lower(&w), OOL_E_COMBINATION);
    w = small(OOL_FAMILY_BERT);
    w.model.head = OOL_HEAD_NONE; /* nothing to train on */
    assert_int_equal(lower(&w), OOL_E_COMBINATION);
    w = small(OOL_FAMILY_BERT);
    w.model.head = OOL_HEAD_MASKED_LM;
    w.model.classes = 2;
    assert_int_equal(lower(&w), OOL_E_COMBINATION);
    w = small(OOL_FAMILY_BERT);
    w.model.classes = 1;
    assert_int_equal(lower(&w), OOL_E_UNSUPPORTED);
    w = small(OOL_FAMILY_GPT);
    w.model.classes = 2;
    assert_int_equal(lower(&w), OOL_E_COMBINATION);
    w = small(OOL_FAMILY_VIT);
    w.model.head = OOL_HEAD_NONE;
    assert_int_equal(lower(&w), OOL_E_COMBINATION);
    w = small(OOL_FAMILY_GPT);
    w.model.heads = 5;
    assert_int_equal(lower(&w), OOL_E_COMBINATION);
    w = small(OOL_FAMILY_LLAMA);
    w.model.kv_heads = 3;
    assert_int_equal(lower(&w), OOL_E_COMBINATION);
    w = small(OOL_FAMILY_LLAMA);
    w.model.window = 4;
    assert_int_equal(lower(&w), OOL_E_UNSUPPORTED);
    w = small(OOL_FAMILY_VIT);
    w.model.patch = 7;
    assert_int_equal(lower(&w), OOL_E_COMBINATION);
    w = small(OOL_FAMILY_OPT);
    set_static(&w);
    assert_int_equal(lower(&w), OOL_E_UNSUPPORTED);
    w = small(OOL_FAMILY_T5);
    w.checkpoint = OOL_CHECKPOINT_REENTRANT;
    assert_int_equal(lower(&w), OOL_E_UNSUPPORTED);
    w = small(OOL_FAMILY_CLIP_TEXT);
    assert_int_equal(lower(&w), OOL_E_UNSUPPORTED);
    w = small(OOL_FAMILY_BERT);
    w.task = OOL_TASK_GENERATE;
    assert_int_equal(lower(&w), OOL_E_UNSUPPORTED);
    w = small(OOL_FAMILY_WHISPER);
    assert_int_equal(lower(&w), OOL_E_UNSUPPORTED);
    w = small(OOL_FAMILY_GPT);
    w.chunked_loss = 4;
    assert_int_equal(lower(&w), OOL_E_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_rows_are_exact),
        cmocka_unit_test(counts_are_exact),
        cmocka_unit_test(unloading_leaves_workspaces),
        cmocka_unit_test(lowering_survives_each_fault),
        cmocka_unit_test(counting_survives_each_fault),
        cmocka_unit_test(impossible_ones_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
