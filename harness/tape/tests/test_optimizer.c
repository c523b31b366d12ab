#include "ool_tape_rows.h"

#include <math.h>

#define MOST_PARAMS 16

static enum ool_optimizer_kind kind_named(const char *name)
{
    static const char *const names[] = {"SGD",     "Adam",      "AdamW",  "RMSprop",
                                        "Adagrad", "Adadelta",  "Adamax", "NAdam",
                                        "RAdam",   "Adafactor", "Rprop",  "ASGD"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0)
            return (enum ool_optimizer_kind)i;
    }
    fail_msg("no optimizer %s", name);
    return OOL_SGD;
}

static struct ool_optimizer_config config_of(const json_t *row)
{
    const json_t *args = json_object_get(row, "args"), *foreach = json_object_get(args, "foreach");
    struct ool_optimizer_config config = {.kind = kind_named(row_text(row, "kind")),
                                          .implementation = OOL_IMPL_DEFAULT,
                                          .momentum =
                                              json_number_value(json_object_get(args, "momentum")),
                                          .weight_decay = NAN,
                                          .nesterov = row_int(args, "nesterov", 0),
                                          .amsgrad = row_int(args, "amsgrad", 0),
                                          .capturable = row_int(args, "capturable", 0),
                                          .maximize = row_int(args, "maximize", 0),
                                          .tensor_lr = row_int(row, "tensor_lr", 0),
                                          .centered = row_int(args, "centered", 0),
                                          .decoupled = row_int(args, "decoupled_weight_decay", 0)};

    if (json_is_boolean(foreach))
        config.implementation = json_is_true(foreach) ? OOL_FOREACH : OOL_LOOP;
    if (row_int(args, "fused", 0))
        config.implementation = OOL_FUSED;
    if (json_object_get(args, "weight_decay") != NULL)
        config.weight_decay = json_number_value(json_object_get(args, "weight_decay"));
    return config;
}

static bool skipped(const json_t *row, size_t param)
{
    const json_t *list = json_object_get(row, "skip");

    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_integer_value(json_array_get(list, i)) == (json_int_t)param)
            return true;
    }
    return false;
}

static void make_gradients(struct ool_tape *t, const json_t *row, struct ool_tensor *const *params,
                           size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!skipped(row, i))
            ool_set_grad(t, params[i], ool_empty_like(t, params[i]));
    }
}

static void clip(struct ool_tape *t, struct ool_tensor *const *params, size_t n,
                 enum ool_implementation implementation)
{
    struct ool_tensor *norm = NULL;

    ool_set(t, &norm, ool_clip_grad_norm(t, params, n, implementation));
    ool_del(t, &norm);
}

static void perform(struct ool_tape *t, const json_t *row, const char *what,
                    struct ool_optimizer *optimizer, struct ool_tensor *const *params, size_t n)
{
    if (strcmp(what, "grads") == 0)
        make_gradients(t, row, params, n);
    else if (strcmp(what, "step") == 0)
        ool_optimizer_step(t, optimizer);
    else if (strcmp(what, "zero") == 0 || strcmp(what, "none") == 0)
        ool_optimizer_zero_grad(t, optimizer, what[0] == 'n');
    else if (strcmp(what, "clip") == 0 || strcmp(what, "clip_loop") == 0)
        clip(t, params, n, what[4] == '_' ? OOL_LOOP : OOL_IMPL_DEFAULT);
    else if (strcmp(what, "clip_value") == 0)
        ool_clip_grad_value(t, params, n);
}

static void check_row(const json_t *row)
{
    struct ool_tape_config card_config = card(row_text(row, "gpu"));
    struct ool_optimizer_config config = config_of(row);
    const json_t *list = json_object_get(row, "params"), *streams = json_object_get(row, "streams");
    struct ool_tensor *params[MOST_PARAMS];
    size_t n = json_array_size(list);
    struct ool_optimizer *optimizer;
    struct rig rig;

    assert_true(n <= MOST_PARAMS);
    rig_open(&rig, &card_config);
    for (size_t i = 0; i < n; i++) {
        const json_t *param = json_array_get(list, i);
        int64_t shape[OOL_MAX_DIMS];
        int n_dims = row_shape(json_array_get(param, 0), shape);

        params[i] = ool_parameter(
            rig.tape, "p", dtype_named(json_string_value(json_array_get(param, 1))), n_dims, shape);
    }
    rig_warm(&rig);
    rig_start(&rig);
    optimizer = ool_optimizer_open(rig.tape, &config, params, n);
    if (row_int(row, "refused", 0))
        assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_UNSUPPORTED);
    for (size_t i = 0; i < json_array_size(streams); i++) {
        const json_t *step = json_array_get(streams, i);
        const char *what = json_string_value(json_array_get(step, 0));

        perform(rig.tape, row, what, optimizer, params, n);
        expect_stream(&rig, row, what, json_string_value(json_array_get(step, 1)));
    }
    ool_optimizer_close(rig.tape, optimizer);
    rig_close(&rig);
}

static void recorded_rows(void **state)
{
    (void)state;
    each_row("harness/tape/tests/data/optimizers.jsonl.gz", check_row);
}

/* Combinations that PyTorch refuses, or has no such argument for. */
struct refusal {
    const char *name;
    enum ool_torch torch;
    struct ool_optimizer_config config;
};

static struct refusal refusals[] = {
    {"fused Adagrad", OOL_TORCH_2_11, {.kind = OOL_ADAGRAD, .implementation = OOL_FUSED}},
    {"fused SGD of 2.2", OOL_TORCH_2_2, {.kind = OOL_SGD, .implementation = OOL_FUSED}},
    {"Adafactor of 2.4",
     OOL_TORCH_2_4,
     {.kind = OOL_ADAFACTOR, .implementation = OOL_IMPL_DEFAULT}},
    {"momentum of Adam", OOL_TORCH_2_11, {.kind = OOL_ADAM, .momentum = 0.9}},
    {"Nesterov without momentum", OOL_TORCH_2_11, {.kind = OOL_SGD, .nesterov = true}},
    {"weight decay of Rprop", OOL_TORCH_2_11, {.kind = OOL_RPROP, .weight_decay = 0.1}},
    {"amsgrad of SGD", OOL_TORCH_2_11, {.kind = OOL_SGD, .amsgrad = true}},
    {"capturable SGD", OOL_TORCH_2_11, {.kind = OOL_SGD, .capturable = true}},
    {"centered Adam", OOL_TORCH_2_11, {.kind = OOL_ADAM, .centered = true}},
    {"decoupled Adam", OOL_TORCH_2_11, {.kind = OOL_ADAM, .decoupled = true}},
    {"no such kind", OOL_TORCH_2_11, {.kind = (enum ool_optimizer_kind)99}},
};

static void check_refusal(void **state)
{
    const struct refusal *row = *state;
    struct ool_tape_config config = {.torch = row->torch};
    struct ool_error err = {.status = OOL_OK};
    struct rig rig;

    rig_open(&rig, &config);
    assert_null(ool_optimizer_open(rig.tape, &row->config, NULL, 0));
    assert_int_equal(ool_tape_status(rig.tape, &err), OOL_E_UNSUPPORTED);
    assert_true(err.text[0] != '\0');
    rig_close(&rig);
}

/* GradScaler around two steps, the second one unscaled by hand; a loss of 4 bytes exists before. */
struct scaling {
    const char *name;
    enum ool_torch torch;
    enum ool_implementation implementation;
    const char *scale, *step, *update, *second;
};

static struct scaling scalings[] = {
    {"foreach", OOL_TORCH_2_11, OOL_FOREACH, "+4 +4 +4",
     "+8 +8 -3 +4 -4 +4 +4 +4 -8 -5 -6 +4000 +4000 +132 +132 +4000 +132 -14 -13", "-7",
     "+8 +8 -16 +4 -17 +4 +4 +4 -21 -18 -19 +4000 +132 -23 -22"},
    {"fused", OOL_TORCH_2_11, OOL_FUSED, "+4 +4 +4",
     "+4 +4 +4 +4 -6 -3 -4 +4 +4 +4 +4000 +4000 +4 +132 +132 -8 -7", "-5",
     "+8 +8 -16 +4 -17 +4 +4 +4 -21 -18 -19 +4 -22"},
    {"fused of 2.4", OOL_TORCH_2_4, OOL_FUSED, "+4 +4 +4",
     "+4 +4 +4 +4 -6 -3 -4 +4 +4 +4000 +4000 +4 +132 +132 -7", "-5",
     "+8 +8 -15 +4 -16 +4 +4 +4 -20 -17 -18 +4 -21"},
};

static void check_scaling(void **state)
{
    const struct scaling *row = *state;
    struct ool_tape_config config = card("a100");
    struct ool_optimizer_config adamw = {
        .kind = OOL_ADAMW, .implementation = row->implementation, .weight_decay = NAN};
    struct ool_tensor *params[2], *loss, *scaled = NULL;
    struct ool_optimizer *optimizer;
    struct ool_scaler *scaler;
    struct rig rig;

    config.torch = row->torch;
    rig_open(&rig, &config);
    params[0] = ool_parameter(rig.tape, "p", OOL_F32, OOL_SHAPE(100, 10));
    params[1] = ool_parameter(rig.tape, "p", OOL_F32, OOL_SHAPE(33));
    loss = ool_hold(rig.tape, ool_empty(rig.tape, OOL_F32, OOL_SHAPE(1)));
    make_gradients(rig.tape, NULL, params, 2);
    optimizer = ool_optimizer_open(rig.tape, &adamw, params, 2);
    scaler = ool_scaler_open(rig.tape);
    rig_start(&rig);
    ool_set(rig.tape, &scaled, ool_scaler_scale(rig.tape, scaler, loss));
    assert_string_equal(rig_take(&rig), row->scale);
    ool_scaler_step(rig.tape, scaler, optimizer);
    assert_string_equal(rig_take(&rig), row->step);
    ool_scaler_update(rig.tape, scaler);
    assert_string_equal(rig_take(&rig), row->update);
    ool_set(rig.tape, &scaled, ool_scaler_scale(rig.tape, scaler, loss));
    rig_take(&rig);
    ool_scaler_unscale(rig.tape, scaler, optimizer);
    ool_scaler_step(rig.tape, scaler, optimizer);
    assert_string_equal(rig_take(&rig), row->second);
    ool_scaler_unscale(rig.tape, scaler, optimizer);
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_REFERENCE); /* twice between updates */
    ool_scaler_close(rig.tape, scaler);
    ool_optimizer_close(rig.tape, optimizer);
    rig_close(&rig);
}

static void scaler_refuses_f16(void **state)
{
    struct ool_tape_config config = card("a100");
    struct ool_optimizer_config sgd = {.kind = OOL_SGD, .implementation = OOL_FOREACH};
    struct ool_tensor *param, *scaled = NULL;
    struct ool_optimizer *optimizer;
    struct ool_scaler *scaler;
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    param = ool_parameter(rig.tape, "p", OOL_F16, OOL_SHAPE(8));
    optimizer = ool_optimizer_open(rig.tape, &sgd, &param, 1);
    scaler = ool_scaler_open(rig.tape);
    ool_set(rig.tape, &scaled,
            ool_scaler_scale(rig.tape, scaler, ool_ones(rig.tape, OOL_F32, OOL_SHAPE(1))));
    make_gradients(rig.tape, NULL, &param, 1);
    ool_scaler_step(rig.tape, scaler, optimizer);
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_UNSUPPORTED);
    ool_scaler_close(rig.tape, scaler);
    ool_optimizer_close(rig.tape, optimizer);
    rig_close(&rig);
}

/* Two steps of every kind and form, clipped and scaled. */
static enum ool_status step_all(void *state)
{
    struct ool_tape_config config = card("a100");
    enum ool_status status = OOL_E_HOST_OOM;
    struct ool_program program;
    struct ool_tape *t;

    (void)state;
    ool_program_init(&program);
    t = ool_tape_open(&config, &program, NULL);
    for (int i = 0; t != NULL && i < 24; i++) {
        struct ool_optimizer_config kind = {.kind = (enum ool_optimizer_kind)(i / 2),
                                            .implementation = i % 2 == 0 ? OOL_FOREACH : OOL_LOOP,
                                            .maximize = true};
        struct ool_tensor *params[] = {ool_parameter(t, "p", OOL_F32, OOL_SHAPE(4, 4)),
                                       ool_parameter(t, "p", OOL_BF16, OOL_SHAPE(4))};
        struct ool_optimizer *optimizer = ool_optimizer_open(t, &kind, params, 2);
        struct ool_scaler *scaler = ool_scaler_open(t);
        struct ool_tensor *scaled = NULL;

        ool_set(t, &scaled, ool_scaler_scale(t, scaler, ool_ones(t, OOL_F32, OOL_SHAPE(1))));
        for (int j = 0; j < 2 && ool_tape_status(t, NULL) == OOL_OK; j++) {
            make_gradients(t, NULL, params, 2);
            ool_scaler_unscale(t, scaler, optimizer);
            clip(t, params, 2, kind.implementation);
            ool_scaler_step(t, scaler, optimizer);
            ool_scaler_update(t, scaler);
            ool_optimizer_zero_grad(t, optimizer, true);
        }
        ool_del(t, &scaled);
        ool_scaler_close(t, scaler);
        ool_optimizer_close(t, optimizer);
        ool_del(t, &params[0]);
        ool_del(t, &params[1]);
    }
    if (t != NULL)
        status = ool_tape_status(t, NULL);
    ool_tape_close(t);
    ool_program_fini(&program);
    return status;
}

static void every_fault(void **state)
{
    (void)state;
    ool_test_each_fault(step_all, NULL, 20000);
}

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

int main(void)
{
    struct CMUnitTest tests[3 + COUNT(refusals) + COUNT(scalings)] = {
        cmocka_unit_test(recorded_rows), cmocka_unit_test(scaler_refuses_f16),
        cmocka_unit_test(every_fault)};
    size_t n = 3;

    for (size_t i = 0; i < COUNT(refusals); i++)
        tests[n++] = (struct CMUnitTest){refusals[i].name, check_refusal, NULL, NULL, &refusals[i]};
    for (size_t i = 0; i < COUNT(scalings); i++)
        tests[n++] = (struct CMUnitTest){scalings[i].name, check_scaling, NULL, NULL, &scalings[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
