#include "ool_tape_rows.h"

static enum ool_sdpa_backend backend_named(const char *name)
{
    return strcmp(name, "flash") == 0  ? OOL_SDPA_FLASH
           : strcmp(name, "math") == 0 ? OOL_SDPA_MATH
                                       : OOL_SDPA_EFFICIENT;
}

static struct ool_tensor *make(struct ool_tape *t, enum ool_dtype dtype, int64_t b, int64_t h,
                               int64_t s, int64_t d, const char *layout, bool grad)
{
    struct ool_tensor *base = NULL, *x = NULL;

    if (layout != NULL && strcmp(layout, "bshd") == 0) {
        ool_set(t, &base, ool_empty(t, dtype, OOL_SHAPE(b, s, h, d)));
        ool_set(t, &x, ool_transpose(t, base, 1, 2));
    } else if (layout != NULL && strcmp(layout, "bhds") == 0) {
        ool_set(t, &base, ool_empty(t, dtype, OOL_SHAPE(b, h, d, s)));
        ool_set(t, &x, ool_transpose(t, base, 2, 3));
    } else {
        ool_set(t, &x, ool_empty(t, dtype, OOL_SHAPE(b, h, s, d)));
    }
    ool_del(t, &base);
    if (grad && x != NULL)
        ool_require_grad(x, true);
    return x;
}

struct inputs {
    struct ool_tensor *q, *k, *v, *mask;
};

static void make_inputs(struct rig *rig, const json_t *row, struct inputs *in)
{
    struct ool_tape *t = rig->tape;
    enum ool_dtype dtype = dtype_named(row_text(row, "dtype"));
    int64_t b = row_int(row, "b", 1), bk = row_int(row, "bk", b), h = row_int(row, "h", 1),
            hk = row_int(row, "hk", h);
    int64_t sk = row_int(row, "sk", 1), d = row_int(row, "d", 1), shape[OOL_MAX_DIMS];
    const char *layout = row_text(row, "layout");

    in->q = make(t, dtype, b, h, row_int(row, "sq", 1), d, layout, row_int(row, "rq", 1));
    in->k = make(t, dtype, bk, hk, sk, d, layout, row_int(row, "rk", 1));
    in->v = make(t, dtype, bk, hk, sk, row_int(row, "dv", d), layout, row_int(row, "rv", 1));
    if (json_object_get(row, "mask") != NULL) {
        int n = row_shape(json_object_get(row, "mask"), shape);

        ool_set(t, &in->mask, ool_empty(t, dtype_named(row_text(row, "mdt")), n, shape));
        ool_require_grad(in->mask, row_int(row, "rm", 0));
    }
    rig_name(rig, in->q, "q");
    rig_name(rig, in->k, "k");
    rig_name(rig, in->v, "v");
    rig_name(rig, in->mask, "m");
}

static void check_layout(const json_t *row, const struct ool_tensor *y)
{
    int64_t shape[OOL_MAX_DIMS], strides[OOL_MAX_DIMS];
    int n = row_shape(json_object_get(row, "shape"), shape);

    row_shape(json_object_get(row, "strides"), strides);
    assert_int_equal(ool_dims(y), n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(ool_size(y, i), shape[i]);
        if (shape[i] > 1)
            assert_int_equal(ool_stride(y, i), strides[i]);
    }
}

static void check_row(const json_t *row)
{
    struct ool_tape_config config = card(row_text(row, "gpu"));
    struct ool_sdpa_args args = {.dropout = json_number_value(json_object_get(row, "dropout")),
                                 .causal = row_int(row, "causal", 0),
                                 .gqa = row_int(row, "gqa", 0)};
    struct inputs in = {NULL, NULL, NULL, NULL};
    struct ool_tensor *y = NULL, *gradient;
    struct rig rig;

    rig_open(&rig, &config);
    make_inputs(&rig, row, &in);
    rig_warm(&rig);
    rig_start(&rig);
    args.mask = in.mask;
    if (row_text(row, "backend") != NULL)
        ool_set_sdpa(rig.tape, backend_named(row_text(row, "backend")));
    if (row_int(row, "nograd", 0))
        ool_set_grad_mode(rig.tape, OOL_NO_GRAD);
    if (row_text(row, "ac") != NULL)
        ool_autocast_enter(rig.tape, dtype_named(row_text(row, "ac")), true);
    ool_set(rig.tape, &y, ool_sdpa(rig.tape, in.q, in.k, in.v, &args));
    if (row_int(row, "refused", 0)) {
        assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_UNSUPPORTED);
        rig_close(&rig);
        return;
    }
    expect_stream(&rig, row, "forward", row_text(row, "forward"));
    check_layout(row, y);
    if (row_text(row, "ac") != NULL)
        ool_autocast_leave(rig.tape);
    if (row_text(row, "backward") != NULL) {
        gradient = gradient_of(rig.tape, y);
        rig_name(&rig, gradient, "g");
        rig_take(&rig);
        ool_backward(rig.tape, y, gradient, false);
        expect_stream(&rig, row, "backward", row_text(row, "backward"));
    }
    rig_close(&rig);
}

static void recorded_rows(void **state)
{
    (void)state;
    each_row("harness/tape/tests/data/attention.jsonl.gz", check_row);
}

/* Streams of other releases: b 2, a 8, s 512, d 80 in bf16 on the a100, and f32 with a mask. */
struct release {
    const char *name;
    enum ool_torch torch;
    enum ool_dtype dtype;
    int64_t head;
    bool mask;
    const char *forward, *backward;
};

static struct release releases[] = {
    {"2.4 flash makes no state and no split", OOL_TORCH_2_4, OOL_BF16, 80, false, "+1310720 +32768",
     "+1310720 +1310720 +1310720 +1310720 +1310720 +32768 +3145728 -9 -8 -4 -3 -1"},
    {"2.6 flash splits", OOL_TORCH_2_6, OOL_BF16, 80, false,
     "+1310720 +32768 +131072 +12582912 -3 -2",
     "+1310720 +1310720 +1310720 +1310720 +1310720 +32768 +3145728 -11 -10 -6 -5 -1"},
    {"2.8 flash rounds no head of 160", OOL_TORCH_2_8, OOL_BF16, 160, false,
     "+2621440 +32768 +98304 +15728640 +16 +8 -2 -3",
     "+2621440 +2621440 +2621440 +2621440 +2621440 +32768 +5242880 -13 -12 -8 -7 -1 -4 -5"},
    {"2.15 efficient keeps its seed", OOL_TORCH_2_15, OOL_F32, 80, false, "+8 +8 +2621440 +32768",
     "+2621440 +2621440 +2621440 +2621440 +32768 +32768 -9 -8 +4198400 -10 -11 -3 -1 -0 +2621440 "
     "-5 +2621440 -6 "
     "+2621440 -7"},
    {"2.4 boolean mask", OOL_TORCH_2_4, OOL_F32, 80, true, "+2097152 +524288 -1 +2621440 +32768",
     NULL},
};

static void check_release(void **state)
{
    const struct release *row = *state;
    struct ool_tape_config config = card("a100");
    struct ool_tensor *x[3] = {NULL, NULL, NULL}, *y = NULL, *gradient;
    struct ool_sdpa_args args = {.mask = NULL};
    struct rig rig;

    config.torch = row->torch;
    rig_open(&rig, &config);
    for (int i = 0; i < 3; i++) {
        ool_set(rig.tape, &x[i], ool_empty(rig.tape, row->dtype, OOL_SHAPE(2, 8, 512, row->head)));
        ool_require_grad(x[i], true);
    }
    if (row->mask)
        args.mask = ool_hold(rig.tape, ool_empty(rig.tape, OOL_BOOL, OOL_SHAPE(2, 1, 512, 512)));
    rig_start(&rig);
    ool_set(rig.tape, &y, ool_sdpa(rig.tape, x[0], x[1], x[2], &args));
    assert_string_equal(rig_take(&rig), row->forward);
    if (row->backward != NULL) {
        gradient = gradient_of(rig.tape, y);
        rig_take(&rig);
        ool_backward(rig.tape, y, gradient, false);
        assert_string_equal(rig_take(&rig), row->backward);
    }
    rig_close(&rig);
}

static void refused_arguments(void **state)
{
    struct ool_tape_config config = card("a100");
    struct ool_tensor *q, *k;
    struct ool_sdpa_args args = {.mask = NULL};
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    q = ool_empty(rig.tape, OOL_F32, OOL_SHAPE(2, 8, 16, 16));
    k = ool_empty(rig.tape, OOL_BF16, OOL_SHAPE(2, 8, 16, 16));
    assert_null(ool_sdpa(rig.tape, q, k, k, &args));
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_COMBINATION);
    rig_close(&rig);
    config.torch = OOL_TORCH_2_4;
    rig_open(&rig, &config);
    q = ool_hold(rig.tape, ool_empty(rig.tape, OOL_F32, OOL_SHAPE(2, 8, 16, 16)));
    args.gqa = true;
    assert_null(ool_sdpa(rig.tape, q, q, q, &args));
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_UNSUPPORTED);
    rig_close(&rig);
}

/* All three forms, with the padding and the mask that make the most. */
static enum ool_status attend_all(void *state)
{
    struct ool_tape_config config = card("a100");
    struct ool_program program;
    struct ool_tape *t;
    enum ool_status status = OOL_E_HOST_OOM;

    (void)state;
    ool_program_init(&program);
    t = ool_tape_open(&config, &program, NULL);
    for (int form = OOL_SDPA_FLASH; t != NULL && form <= OOL_SDPA_MATH; form++) {
        struct ool_tensor *q =
            ool_parameter(t, "q", OOL_BF16, OOL_SHAPE(2, 4, 32, form == OOL_SDPA_FLASH ? 20 : 24));
        struct ool_tensor *k =
            ool_parameter(t, "k", OOL_BF16, OOL_SHAPE(2, 4, 36, form == OOL_SDPA_FLASH ? 20 : 24));
        struct ool_tensor *mask = ool_hold(t, ool_empty(t, OOL_BOOL, OOL_SHAPE(32, 36))), *y = NULL;
        struct ool_sdpa_args args = {.mask = form == OOL_SDPA_FLASH ? NULL : mask, .dropout = 0.1};

        ool_set_sdpa(t, (enum ool_sdpa_backend)form);
        ool_set(t, &y, ool_sdpa(t, q, k, k, &args));
        ool_set(t, &y, ool_reduce(t, OOL_SUM, y, OOL_ALL_DIMS, false));
        ool_backward(t, y, NULL, false);
        ool_del(t, &y);
        ool_del(t, &mask);
        ool_del(t, &k);
        ool_del(t, &q);
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
    ool_test_each_fault(attend_all, NULL, 2000);
}

int main(void)
{
    struct CMUnitTest tests[3 + sizeof releases / sizeof *releases] = {
        cmocka_unit_test(recorded_rows), cmocka_unit_test(refused_arguments),
        cmocka_unit_test(every_fault)};

    for (size_t i = 0; i < sizeof releases / sizeof *releases; i++)
        tests[3 + i] =
            (struct CMUnitTest){releases[i].name, check_release, NULL, NULL, &releases[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
