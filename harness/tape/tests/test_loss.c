#include "ool_tape_rows.h"

struct inputs {
    struct ool_tensor *x, *y, *target, *indices, *weight;
};

static struct ool_tensor *input(struct rig *rig, const json_t *row, const char *name)
{
    const json_t *spec = json_object_get(json_object_get(row, "inputs"), name);
    int64_t shape[OOL_MAX_DIMS];
    struct ool_tensor *x = NULL;
    int n;

    if (spec == NULL)
        return NULL;
    n = row_shape(json_array_get(spec, 0), shape);
    ool_set(
        rig->tape, &x,
        ool_empty(rig->tape, dtype_named(json_string_value(json_array_get(spec, 1))), n, shape));
    ool_require_grad(x, json_is_true(json_array_get(spec, 2)));
    rig_name(rig, x, name);
    return x;
}

static enum ool_loss_reduction reduction_of(const json_t *row)
{
    const char *name = row_text(row, "reduction");

    if (name != NULL && strcmp(name, "sum") == 0)
        return OOL_LOSS_SUM;
    return name != NULL && strcmp(name, "none") == 0 ? OOL_LOSS_NONE : OOL_LOSS_MEAN;
}

static struct ool_tensor *call(struct ool_tape *t, const json_t *row, const struct inputs *in)
{
    const char *name = row_text(row, "call"), *then = row_text(row, "then");
    struct ool_tensor *y;

    if (strcmp(name, "cross_entropy") == 0)
        return ool_cross_entropy(t, in->x, in->target,
                                 json_number_value(json_object_get(row, "smoothing")),
                                 reduction_of(row));
    if (strcmp(name, "nll_loss") == 0)
        return ool_nll_loss(t, in->x, in->target);
    if (strcmp(name, "mse_loss") == 0)
        return ool_mse_loss(t, in->x, in->y);
    if (strcmp(name, "binary_cross_entropy_with_logits") == 0)
        return ool_bce_with_logits(t, in->x, in->y);
    y = row_int(row, "indices_transposed", 0) ? ool_transpose(t, in->indices, 0, 1) : in->indices;
    y = ool_embedding(t, y, in->weight, false);
    if (then != NULL)
        y = ool_transpose(t, y, 0, 1);
    return then != NULL && strcmp(then, "contiguous") == 0 ? ool_contiguous(t, y) : y;
}

static void check_row(const json_t *row)
{
    struct ool_tape_config config = card(row_text(row, "gpu"));
    struct ool_tensor *y = NULL, *gradient;
    struct inputs in;
    struct rig rig;

    rig_open(&rig, &config);
    in = (struct inputs){input(&rig, row, "x"), input(&rig, row, "y"), input(&rig, row, "t"),
                         input(&rig, row, "i"), input(&rig, row, "w")};
    rig_warm(&rig);
    rig_start(&rig);
    if (row_int(row, "no_grad", 0))
        ool_set_grad_mode(rig.tape, OOL_NO_GRAD);
    if (row_text(row, "autocast") != NULL)
        ool_autocast_enter(rig.tape, dtype_named(row_text(row, "autocast")), true);
    ool_set(rig.tape, &y, call(rig.tape, row, &in));
    expect_stream(&rig, row, "forward", row_text(row, "forward"));
    if (row_text(row, "autocast") != NULL)
        ool_autocast_leave(rig.tape);
    if (row_text(row, "backward") != NULL) {
        gradient = gradient_of(rig.tape, y);
        rig_name(&rig, gradient, "grad_out");
        rig_take(&rig);
        ool_backward(rig.tape, y, gradient, false);
        expect_stream(&rig, row, "backward", row_text(row, "backward"));
    }
    rig_close(&rig);
}

static void recorded_rows(void **state)
{
    (void)state;
    each_row("harness/tape/tests/data/losses.jsonl.gz", check_row);
}

/* The gradient of 8,192 indices into [50257, 768] on the a100: the scratch of sorting by release. */
struct release {
    const char *name;
    enum ool_torch torch;
    int64_t sort, unique, scan;
};

static struct release releases[] = {
    {"2.2", OOL_TORCH_2_2, 151039, 767, 1023},    {"2.6", OOL_TORCH_2_6, 151039, 767, 1023},
    {"2.8", OOL_TORCH_2_8, 151039, 1023, 1023},   {"2.11", OOL_TORCH_2_11, 151039, 1279, 1279},
    {"2.13", OOL_TORCH_2_13, 138751, 1279, 1279}, {"2.15", OOL_TORCH_2_15, 138751, 1279, 1279},
};

static void check_release(void **state)
{
    const struct release *row = *state;
    struct ool_tape_config config = card("a100");
    struct ool_tensor *indices, *weight, *y = NULL, *gradient;
    char expected[512];
    struct rig rig;

    config.torch = row->torch;
    rig_open(&rig, &config);
    indices = ool_hold(rig.tape, ool_empty(rig.tape, OOL_I64, OOL_SHAPE(8192)));
    weight = ool_parameter(rig.tape, "w", OOL_F32, OOL_SHAPE(50257, 768));
    ool_set(rig.tape, &y, ool_embedding(rig.tape, indices, weight, false));
    gradient = gradient_of(rig.tape, y);
    rig_start(&rig);
    ool_backward(rig.tape, y, gradient, false);
    snprintf(expected, sizeof expected,
             "+65536 +65536 +65536 +%d -3 -2 +154389504 +65536 +8 +65536 +%d -8 -7 +65536 +65536 "
             "+%d -11 +8 +72088 "
             "+27681792 -14 -13 -12 -10 -9 -6 -5 -1 -0",
             (int)row->sort, (int)row->unique, (int)row->scan);
    assert_string_equal(rig_take(&rig), expected);
    rig_close(&rig);
}

static void refused_shapes(void **state)
{
    struct ool_tape_config config = card("a100");
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    assert_null(ool_cross_entropy(rig.tape, ool_empty(rig.tape, OOL_F32, OOL_SHAPE(4, 5)),
                                  ool_empty(rig.tape, OOL_I64, OOL_SHAPE(5)), 0, OOL_LOSS_MEAN));
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_COMBINATION);
    rig_close(&rig);
    rig_open(&rig, &config);
    assert_null(ool_mse_loss(rig.tape, ool_empty(rig.tape, OOL_F32, OOL_SHAPE(4)),
                             ool_empty(rig.tape, OOL_F32, OOL_SHAPE(4, 1))));
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_UNSUPPORTED);
    rig_close(&rig);
}

static void backward_of(struct ool_tape *t, struct ool_tensor *loss)
{
    struct ool_tensor *y = NULL;

    ool_set(t, &y, loss);
    ool_backward(t, y, NULL, false);
    ool_del(t, &y);
}

static enum ool_status lose_all(void *state)
{
    struct ool_tape_config config = card("a100");
    enum ool_status status = OOL_E_HOST_OOM;
    struct ool_program program;
    struct ool_tape *t;

    (void)state;
    ool_program_init(&program);
    t = ool_tape_open(&config, &program, NULL);
    if (t != NULL) {
        struct ool_tensor *w = ool_parameter(t, "w", OOL_F32, OOL_SHAPE(50, 8)), *e = NULL;
        struct ool_tensor *ids = ool_hold(t, ool_empty(t, OOL_I64, OOL_SHAPE(4000)));
        struct ool_tensor *y = ool_hold(t, ool_empty(t, OOL_F32, OOL_SHAPE(4000, 8)));

        ool_autocast_enter(t, OOL_BF16, true);
        for (int i = 0; i < 4; i++) {
            ool_set(t, &e, ool_embedding(t, ids, w, true));
            backward_of(t, i < 2    ? ool_cross_entropy(t, e, ids, i * 0.1, OOL_LOSS_MEAN)
                           : i == 2 ? ool_mse_loss(t, e, y)
                                    : ool_bce_with_logits(t, e, y));
        }
        ool_autocast_leave(t);
        status = ool_tape_status(t, NULL);
    }
    ool_tape_close(t);
    ool_program_fini(&program);
    return status;
}

static void every_fault(void **state)
{
    (void)state;
    ool_test_each_fault(lose_all, NULL, 2000);
}

int main(void)
{
    struct CMUnitTest tests[3 + sizeof releases / sizeof *releases] = {
        cmocka_unit_test(recorded_rows), cmocka_unit_test(refused_shapes),
        cmocka_unit_test(every_fault)};

    for (size_t i = 0; i < sizeof releases / sizeof *releases; i++)
        tests[3 + i] =
            (struct CMUnitTest){releases[i].name, check_release, NULL, NULL, &releases[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
