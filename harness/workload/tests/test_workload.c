/* Parameter counts, refused combinations, and lowering under failing allocations. */
#include "ool_test.h"

#include "ool_workload.h"

/* --- counts: published totals, or counted by hand from the constructors --------------------- */

struct count_row {
    const char *name;
    enum ool_family family;
    int64_t vocab, layers, hidden, heads, kv_heads, ffn, max_seq;
    int tied;
    uint64_t params;
};

static const struct count_row count_rows[] = {
    {"gpt2", OOL_FAMILY_GPT, 50257, 12, 768, 12, -1, -1, 1024, 1, 124439808},
    {"gpt2 medium", OOL_FAMILY_GPT, 50257, 24, 1024, 16, -1, -1, 1024, 1, 354823168},
    {"gpt2 large", OOL_FAMILY_GPT, 50257, 36, 1280, 20, -1, -1, 1024, 1, 774030080},
    {"gpt2 xl", OOL_FAMILY_GPT, 50257, 48, 1600, 25, -1, -1, 1024, 1, 1557611200},
    {"gpt2 untied", OOL_FAMILY_GPT, 50257, 12, 768, 12, -1, -1, 1024, 0, 163037184},
    {"llama 2 7b", OOL_FAMILY_LLAMA, 32000, 32, 4096, 32, 32, 11008, 4096, -1,
     UINT64_C(6738415616)},
    {"llama 2 13b", OOL_FAMILY_LLAMA, 32000, 40, 5120, 40, 40, 13824, 4096, -1,
     UINT64_C(13015864320)},
    {"llama 2 70b", OOL_FAMILY_LLAMA, 32000, 80, 8192, 64, 8, 28672, 4096, -1,
     UINT64_C(68976648192)},
    {"llama 3 8b", OOL_FAMILY_LLAMA, 128256, 32, 4096, 32, 8, 14336, 8192, -1,
     UINT64_C(8030261248)},
    {"llama 3 70b", OOL_FAMILY_LLAMA, 128256, 80, 8192, 64, 8, 28672, 8192, -1,
     UINT64_C(70553706496)},
    {"mistral 7b", OOL_FAMILY_LLAMA, 32000, 32, 4096, 32, 8, 14336, 8192, -1, UINT64_C(7241732096)},
    {"llama tied", OOL_FAMILY_LLAMA, 2000, 2, 256, 8, 2, 704, 96, 1, 1922304},
};

static void counts_are_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(count_rows) / sizeof(count_rows[0]); i++) {
        const struct count_row *row = &count_rows[i];
        struct ool_workload_facts facts;
        struct ool_workload w;

        ool_workload_init(&w);
        w.model.family = row->family;
        w.model.vocab = row->vocab;
        w.model.layers = row->layers;
        w.model.hidden = row->hidden;
        w.model.heads = row->heads;
        w.model.kv_heads = row->kv_heads;
        w.model.ffn = row->ffn;
        w.model.max_seq = row->max_seq;
        w.model.tied = row->tied;
        w.precision = OOL_PURE_BF16;
        if (ool_workload_count(&w, &facts, NULL) != OOL_OK || facts.params != row->params ||
            facts.trainable != row->params || facts.param_bytes != 2 * row->params)
            fail_msg("%s: %llu parameters, %llu of them trainable", row->name,
                     (unsigned long long)facts.params, (unsigned long long)facts.trainable);
    }
}

static enum ool_status count_resnet(void *state)
{
    struct ool_workload_facts facts;

    return ool_workload_count(state, &facts, NULL);
}

/* The counts that torchvision publishes. */
static void resnet_counts(void **state)
{
    static const struct {
        int64_t layers;
        uint64_t params;
    } rows[] = {{18, 11689512}, {34, 21797672}, {50, 25557032}, {101, 44549160}, {152, 60192808}};
    struct ool_workload_facts facts;
    struct ool_workload w;

    (void)state;
    ool_workload_init(&w);
    w.model.family = OOL_FAMILY_RESNET;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        w.model.layers = rows[i].layers;
        assert_int_equal(ool_workload_count(&w, &facts, NULL), OOL_OK);
        assert_int_equal(facts.params, rows[i].params);
    }
    ool_test_each_fault(count_resnet, &w, 10000);
    w.model.layers = 51;
    assert_int_equal(ool_workload_count(&w, &facts, NULL), OOL_E_UNSUPPORTED);
}

static void vision_and_mlp_counts(void **state)
{
    struct ool_workload_facts facts;
    struct ool_workload w;

    (void)state;
    ool_workload_init(&w);
    w.model.family = OOL_FAMILY_VIT; /* ViT-B/16, the defaults */
    assert_int_equal(ool_workload_count(&w, &facts, NULL), OOL_OK);
    assert_int_equal(facts.params, 86567656);
    w.model.family = OOL_FAMILY_MLP;
    assert_int_equal(ool_workload_count(&w, &facts, NULL), OOL_OK);
    assert_int_equal(facts.params, 784 * 512 + 512 + 2 * (512 * 512 + 512) + 512 * 10 + 10);
    w.model.family = OOL_FAMILY_BERT;
    assert_int_equal(ool_workload_count(&w, &facts, NULL), OOL_OK);
    /* without the pooler's 590,592; with the masked-language head's linear, norm and bias */
    assert_int_equal(facts.params, 109482240 - 590592 + 768 * 768 + 768 + 2 * 768 + 30522);
}

static void adapters_and_frozen_parts(void **state)
{
    static const char *const all[] = {"q", "k", "v", "o", "gate", "up", "down", NULL};
    struct ool_workload_facts facts;
    struct ool_workload w;

    (void)state;
    ool_workload_init(&w);
    w.model.family = OOL_FAMILY_LLAMA; /* the defaults are Llama-2-7B */
    w.lora.rank = 8;
    assert_int_equal(ool_workload_count(&w, &facts, NULL), OOL_OK);
    assert_int_equal(facts.trainable, 4194304);
    assert_int_equal(facts.params, UINT64_C(6738415616) + 4194304);
    w.lora.rank = 16;
    w.lora.targets = all;
    assert_int_equal(ool_workload_count(&w, &facts, NULL), OOL_OK);
    assert_int_equal(facts.trainable, 39976960);

    ool_workload_init(&w);
    w.frozen_blocks = 6;
    assert_int_equal(ool_workload_count(&w, &facts, NULL), OOL_OK);
    assert_int_equal(facts.trainable, 42528768);
    w.frozen_blocks = OOL_FROZEN_TRUNK;
    w.model.tied = 0;
    assert_int_equal(ool_workload_count(&w, &facts, NULL), OOL_OK);
    assert_int_equal(facts.trainable, 38597376);
}

/* --- what makes no sense is refused with a reason ---------------------------------------------- */

static enum ool_status lower(const struct ool_workload *w, struct ool_error *err)
{
    struct ool_tape_config config = {0};
    struct ool_program program;
    enum ool_status status;

    ool_program_init(&program);
    status = ool_workload_lower(w, &config, &program, NULL, err);
    if (status == OOL_OK)
        status = ool_program_validate(&program, err);
    ool_program_fini(&program);
    return status;
}

static void small(struct ool_workload *w)
{
    ool_workload_init(w);
    w->model.vocab = 64;
    w->model.layers = 2;
    w->model.hidden = 32;
    w->model.heads = 4;
    w->model.max_seq = 16;
    w->seq = 8;
    w->batch = 2;
    w->steps = 1;
}

static void impossible_ones_are_refused(void **state)
{
    struct ool_error err = {0};
    struct ool_workload w;

    (void)state;
    small(&w);
    w.seq = 17;
    assert_int_equal(lower(&w, &err), OOL_E_COMBINATION);
    assert_non_null(strstr(err.text, "17 tokens"));
    small(&w);
    w.model.heads = 5;
    assert_int_equal(lower(&w, NULL), OOL_E_COMBINATION);
    small(&w);
    w.accumulate = 3;
    assert_int_equal(lower(&w, NULL), OOL_E_COMBINATION);
    small(&w);
    w.frozen_blocks = OOL_FROZEN_ALL;
    assert_int_equal(lower(&w, NULL), OOL_E_COMBINATION);
    small(&w);
    w.cpu_offload = true;
    assert_int_equal(lower(&w, NULL), OOL_E_COMBINATION);
    small(&w);
    w.task = OOL_TASK_GENERATE;
    assert_int_equal(lower(&w, NULL), OOL_E_UNSUPPORTED);
    small(&w);
    w.checkpoint = OOL_CHECKPOINT_NONREENTRANT;
    w.checkpoint_core = true;
    w.model.family = OOL_FAMILY_MLP;
    assert_int_equal(lower(&w, NULL), OOL_E_UNSUPPORTED);
    w.model.family = OOL_FAMILY_GPT;
    w.model.formulation = OOL_HF;
    err = (struct ool_error){.status = OOL_OK};
    assert_int_equal(lower(&w, &err), OOL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "whole blocks"));
    small(&w);
    w.model.layers = INT64_C(1) << 40;
    assert_int_equal(lower(&w, NULL), OOL_E_RANGE);
    small(&w);
    w.model.family = OOL_FAMILY_RESNET;
    assert_int_equal(lower(&w, NULL), OOL_E_UNSUPPORTED);
}

/* --- every switch lowers to a valid program ------------------------------------------------------- */

static void set_amp(struct ool_workload *w)
{
    w->precision = OOL_AMP_FP16;
    w->clip = OOL_CLIP_LOOP;
}
static void set_checkpoint(struct ool_workload *w)
{
    w->checkpoint = OOL_CHECKPOINT_REENTRANT;
    w->checkpoint_every = 2;
}
static void set_checkpoint_core(struct ool_workload *w)
{
    w->checkpoint = OOL_CHECKPOINT_NONREENTRANT;
    w->checkpoint_core = true;
    w->model.attention = OOL_ATTENTION_EAGER;
    w->model.dropout = 0.1;
}
static void set_chunks(struct ool_workload *w)
{
    w->chunked_loss = 3;
    w->accumulate = 2;
}
static void set_hooks(struct ool_workload *w)
{
    w->leak = OOL_LEAK_HOOKS_STORE;
    w->unload = true;
}
static void set_in_backward(struct ool_workload *w)
{
    w->optimizer_in_backward = true;
    w->unload = true;
}
static void set_offload(struct ool_workload *w)
{
    w->task = OOL_TASK_INFER;
    w->cpu_offload = true;
    w->unload = true;
}
static void set_save_on_cpu(struct ool_workload *w)
{
    w->save_on_cpu = true;
    w->empty_cache = true;
    w->del_outputs = true;
}
static void set_lora(struct ool_workload *w)
{
    w->lora.rank = 2;
    w->lora.dropout = 0.1;
    w->lora.dtype = OOL_F32;
    w->precision = OOL_PURE_BF16;
}
static void set_llama(struct ool_workload *w)
{
    w->model.family = OOL_FAMILY_LLAMA;
    w->model.kv_heads = 2;
    w->model.ffn = 48;
    w->model.attention = OOL_ATTENTION_EAGER;
}
static void set_generate(struct ool_workload *w)
{
    set_llama(w);
    w->task = OOL_TASK_GENERATE;
    w->new_tokens = 2;
    w->unload = true;
}
static void set_static(struct ool_workload *w)
{
    set_generate(w);
    w->cache = OOL_CACHE_STATIC;
}
static void set_bert(struct ool_workload *w)
{
    w->model.family = OOL_FAMILY_BERT;
}

static void (*const switches[])(struct ool_workload *) = {
    set_amp,     set_checkpoint,  set_chunks,         set_hooks, set_in_backward,
    set_offload, set_save_on_cpu, set_lora,           set_llama, set_generate,
    set_static,  set_bert,        set_checkpoint_core};
#define N_SWITCHES (sizeof(switches) / sizeof(switches[0]))

static void switches_lower(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SWITCHES; i++) {
        struct ool_error err = {0};
        struct ool_workload w;

        small(&w);
        w.steps = 3;
        switches[i](&w);
        if (lower(&w, &err) != OOL_OK)
            fail_msg("switch %zu: %s", i, err.text);
    }
}

/* What a workload that unloads leaves alive are the library's workspaces alone. */
static void unloading_leaves_workspaces(void **state)
{
    struct ool_tape_config config = {0};

    (void)state;
    for (size_t i = 0; i < N_SWITCHES; i++) {
        struct ool_program program;
        struct ool_workload w;
        bool *alive;

        small(&w);
        switches[i](&w);
        w.unload = true;
        ool_program_init(&program);
        assert_int_equal(ool_workload_lower(&w, &config, &program, NULL, NULL), OOL_OK);
        alive = ool_calloc(program.n_storages + 1, sizeof(*alive));
        assert_non_null(alive);
        for (size_t j = 0; j < program.n_ops; j++) {
            if (program.ops[j].kind == OOL_OP_ALLOC)
                alive[program.ops[j].id] = true;
            else if (program.ops[j].kind == OOL_OP_FREE)
                alive[program.ops[j].id] = false;
        }
        for (size_t j = 0; j < program.n_storages; j++)
            if (alive[j] && program.storages[j].category != OOL_CATEGORY_WORKSPACE)
                fail_msg("switch %zu: %llu bytes of %s stay", i,
                         (unsigned long long)program.storages[j].bytes,
                         ool_program_text_of(&program, program.storages[j].origin));
        ool_free(alive);
        ool_program_fini(&program);
    }
}

static enum ool_status lower_body(void *state)
{
    return lower(state, NULL);
}

static void lowering_survives_each_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SWITCHES; i++) {
        struct ool_workload w;

        small(&w);
        w.model.layers = 1;
        switches[i](&w);
        ool_test_each_fault(lower_body, &w, 100000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_exact),
        cmocka_unit_test(vision_and_mlp_counts),
        cmocka_unit_test(resnet_counts),
        cmocka_unit_test(adapters_and_frozen_parts),
        cmocka_unit_test(impossible_ones_are_refused),
        cmocka_unit_test(switches_lower),
        cmocka_unit_test(unloading_leaves_workspaces),
        cmocka_unit_test(lowering_survives_each_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
