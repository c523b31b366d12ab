/* Mitigations change what they say and refuse what makes no sense. */
#include "ool_test.h"

#include "ool_fix.h"

#include <stdlib.h>

static char empty[] = "";

static void make_case(struct ool_case *c, struct ool_job *job)
{
    *job = (struct ool_job){.name = "job"};
    ool_workload_init(&job->workload);
    job->workload.batch = 8;
    job->workload.seq = 128;
    job->workload.has_optimizer = true;
    job->workload.optimizer.kind = OOL_ADAMW;
    *c = (struct ool_case){.id = empty, .point = empty, .stack = empty, .jobs = job, .n_jobs = 1};
    c->card.capability = 80;
    c->allocator = (struct ool_allocator_choice){"torch", "2.11", "", 1.0};
}

static void free_owned(struct ool_case *c)
{
    for (size_t i = 0; i < c->n_owned; i++)
        ool_free(c->owned[i]);
    ool_free(c->owned);
}

/* Applies a stack written as name, value pairs that end with NULL. */
static enum ool_status apply(struct ool_case *c, const char *const *words, struct ool_price *price,
                             struct ool_error *err)
{
    struct ool_step steps[8];
    size_t n = 0;

    for (; words[2 * n] != NULL; n++)
        steps[n] = (struct ool_step){words[2 * n], words[2 * n + 1]};
    c->steps = (struct ool_stack){steps, n};
    return ool_mitigation_apply(c, price, err);
}
#define STACK(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_table(void **state)
{
    size_t n;
    const struct ool_mitigation *const *all = ool_mitigations(&n);

    (void)state;
    assert_true(n >= 17);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(ool_mitigation_find(all[i]->name), all[i]);
        assert_non_null(all[i]->apply);
        assert_true(strlen(all[i]->summary) > 0 && strlen(all[i]->mechanism) > 0);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(all[i]->name, all[k]->name);
    }
    assert_null(ool_mitigation_find(""));
    assert_null(ool_mitigation_find("nothing"));
    assert_string_equal(ool_mitigation_suggest("chekpointing"), "checkpointing");
    assert_null(ool_mitigation_suggest("zzzzzzzzzzzzzzzzzz"));
}

static void test_each_changes_its_field(void **state)
{
    struct ool_case c;
    struct ool_job job;
    struct ool_price price;

    (void)state;
    make_case(&c, &job);
    assert_int_equal(
        apply(&c, STACK("smaller-batch", "4", "accumulation", "2", "checkpointing", "2", "amp", ""),
              &price, NULL),
        OOL_OK);
    assert_int_equal(job.workload.batch, 4);
    assert_int_equal(job.workload.accumulate, 2);
    assert_int_equal(job.workload.checkpoint, OOL_CHECKPOINT_NONREENTRANT);
    assert_int_equal(job.workload.checkpoint_every, 2);
    assert_int_equal(job.workload.precision, OOL_AMP_BF16);
    assert_true(price.flops > 0.16 && price.flops < 0.17);

    make_case(&c, &job);
    job.workload.model.hidden = 64;
    job.workload.model.heads = 4;
    job.workload.model.ffn = 256;
    job.workload.seq = 128;
    assert_int_equal(apply(&c, STACK("checkpointing", "selective"), &price, NULL), OOL_OK);
    assert_int_equal(job.workload.checkpoint, OOL_CHECKPOINT_NONREENTRANT);
    assert_true(job.workload.checkpoint_core);
    /* 4 s h / (3 (24 h^2 + 4 s h)) = s / (18 h + 3 s) */
    assert_float_equal(price.flops, 128.0 / (18 * 64 + 3 * 128), 1e-9);
    make_case(&c, &job);
    job.workload.model.family = OOL_FAMILY_MLP;
    assert_int_equal(apply(&c, STACK("checkpointing", "selective"), NULL, NULL), OOL_E_COMBINATION);

    make_case(&c, &job);
    assert_int_equal(apply(&c,
                           STACK("half-weights", "fp16", "flash-attention", "", "optimizer", "sgd"),
                           &price, NULL),
                     OOL_OK);
    assert_int_equal(job.workload.precision, OOL_PURE_FP16);
    assert_int_equal(job.workload.sdpa, OOL_SDPA_FLASH);
    assert_int_equal(job.workload.optimizer.kind, OOL_SGD);

    make_case(&c, &job);
    job.workload.leak = OOL_LEAK_APPEND_OUTPUTS;
    assert_int_equal(apply(&c, STACK("detach", ""), &price, NULL), OOL_OK);
    assert_int_equal(job.workload.leak, OOL_LEAK_APPEND_OUTPUTS_DETACH);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *stack[5];
        enum ool_status status;
        const char *says;
    } cases[] = {
        {{"no-grad", ""}, OOL_E_COMBINATION, "training"},
        {{"flash-attention", ""}, OOL_E_COMBINATION, "16-bit"},
        {{"amp", "", "half-weights", ""}, OOL_E_COMBINATION, "exclude"},
        {{"checkpointing", "", "checkpointing", ""}, OOL_E_COMBINATION, "twice"},
        {{"accumulation", "2", "smaller-batch", "4"}, OOL_E_COMBINATION, "after accumulation"},
        {{"accumulation", "3"}, OOL_E_COMBINATION, "divided"},
        {{"accumulation", "x"}, OOL_E_RANGE, "whole number"},
        {{"smaller-batch", "8"}, OOL_E_COMBINATION, "not smaller"},
        {{"amp", "fp8"}, OOL_E_CHOICE, "bf16, fp16"},
        {{"acumulation", "2"}, OOL_E_REFERENCE, "no mitigation is called"},
        {{"no-grad", "1"}, OOL_E_RANGE, "takes no value"},
        {{"detach", ""}, OOL_E_COMBINATION, "keeps tensors"},
        {{"unload", ""}, OOL_E_COMBINATION, "earlier model"},
        {{"max-split-size", "20"}, OOL_E_RANGE, "at least 21"},
        {{"gc-threshold", "100"}, OOL_E_RANGE, "at most 99"},
        {{"optimizer-in-backward", "", "accumulation", "2"}, OOL_E_COMBINATION, "accumulate"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ool_case c;
        struct ool_job job;
        struct ool_error err = {0};

        make_case(&c, &job);
        assert_int_equal(apply(&c, cases[i].stack, NULL, &err), cases[i].status);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("case %zu says: %s", i, err.text);
        free_owned(&c);
    }
}

/* Before any case is there: the name, and values that are right for none. */
static void test_check(void **state)
{
    static const struct {
        struct ool_step step;
        enum ool_status status;
        const char *hint;
    } steps[] = {
        {{"accumulation", "2"}, OOL_OK, ""},
        {{"accumulation", "1"}, OOL_E_RANGE, ""},
        {{"acumulation", "2"}, OOL_E_REFERENCE, "accumulation"},
        {{"zzzzzzzzzzzzzzzzzz", ""}, OOL_E_REFERENCE, ""},
        {{"checkpointing", "selective"}, OOL_OK, ""},
        {{"checkpointing", "2"}, OOL_OK, ""},
        {{"checkpointing", "0"}, OOL_E_RANGE, ""},
        {{"amp", "fp8"}, OOL_E_CHOICE, ""},
        {{"gc-threshold", "99"}, OOL_OK, ""},
        {{"gc-threshold", "100"}, OOL_E_RANGE, ""},
        {{"no-grad", "1"}, OOL_E_RANGE, ""},
        {{"smaller-batch", "1000000"}, OOL_OK, ""}, /* right for a larger batch */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct ool_error err = {.status = OOL_OK};

        print_message("%s=%s\n", steps[i].step.name, steps[i].step.value);
        assert_int_equal(ool_mitigation_check(&steps[i].step, &err), steps[i].status);
        assert_string_equal(err.hint, steps[i].hint);
        assert_int_equal(ool_mitigation_check(&steps[i].step, NULL), steps[i].status);
    }
}

/* Every mitigation that takes a value says which. */
static void test_values_are_told(void **state)
{
    const struct ool_mitigation *const *all;
    size_t n;

    (void)state;
    all = ool_mitigations(&n);
    for (size_t i = 0; i < n; i++)
        if ((all[i]->value != NULL) != (all[i]->words != NULL || all[i]->least > 0))
            fail_msg("%s", all[i]->name);
}

static void test_settings_string(void **state)
{
    struct ool_case c;
    struct ool_job job;

    (void)state;
    make_case(&c, &job);
    c.allocator.conf = "max_split_size_mb:64,roundup_power2_divisions:[256:1,>:4]";
    assert_int_equal(
        apply(&c, STACK("max-split-size", "256", "expandable-segments", ""), NULL, NULL), OOL_OK);
    assert_string_equal(
        c.allocator.conf,
        "roundup_power2_divisions:[256:1,>:4],max_split_size_mb:256,expandable_segments:True");
    free_owned(&c);
}

static void test_empty_cache_of_operations(void **state)
{
    static const struct ool_operation operations[] = {
        {.kind = OOL_DO_LOOP, .value = 3},
        {.kind = OOL_DO_ALLOC, .name = "x", .value = 1024},
        {.kind = OOL_DO_FREE, .name = "x"},
        {.kind = OOL_DO_END},
    };
    struct ool_case c;
    struct ool_job job;

    (void)state;
    make_case(&c, &job);
    job.explicit_operations = true;
    job.operations = operations;
    job.n_operations = 4;
    assert_int_equal(apply(&c, STACK("empty-cache", ""), NULL, NULL), OOL_OK);
    assert_int_equal(job.n_operations, 6);
    assert_int_equal(job.operations[3].kind, OOL_DO_EMPTY_CACHE);
    assert_int_equal(job.operations[4].kind, OOL_DO_END);
    assert_int_equal(job.operations[5].kind, OOL_DO_EMPTY_CACHE);
    free_owned(&c);
}

static enum ool_status apply_once(void *state)
{
    struct ool_case c;
    struct ool_job job;
    enum ool_status status;

    (void)state;
    make_case(&c, &job);
    status = apply(&c, STACK("checkpointing", "", "expandable-segments", "", "max-split-size", ""),
                   NULL, NULL);
    free_owned(&c);
    return status;
}

static void test_faults(void **state)
{
    (void)state;
    ool_test_each_fault(apply_once, NULL, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_each_changes_its_field),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_values_are_told),
        cmocka_unit_test(test_settings_string),
        cmocka_unit_test(test_empty_cache_of_operations),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
