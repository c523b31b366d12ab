/*
 * Lifetimes, modes, workspaces and errors of the tape.
 */
#include "ool_tape_rows.h"

#include <math.h>

static struct ool_tensor *plain(struct ool_tape *t, int64_t n)
{
    return ool_empty(t, OOL_F32, OOL_SHAPE(n));
}

static void temporaries_die_in_order(void **state)
{
    struct ool_tape_config config = card("a100");
    struct ool_tensor *x, *y = NULL;
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    x = plain(rig.tape, 8); /* C does not say which argument is made first */
    ool_set(rig.tape, &y, ool_add(rig.tape, x, plain(rig.tape, 8)));
    assert_string_equal(rig_take(&rig), "+32 +32 +32 -0 -1");
    ool_set(rig.tape, &y, ool_scale(rig.tape, y, 2));
    assert_string_equal(rig_take(&rig), "+32 -2");
    ool_set(rig.tape, &y, ool_mul(rig.tape, ool_unary(rig.tape, OOL_TANH, y), y));
    assert_string_equal(rig_take(&rig), "+32 +32 -4 -3");
    ool_del(rig.tape, &y);
    assert_string_equal(rig_take(&rig), "-5");
    rig_close(&rig);
}

/* def f(x): return tanh(x * x) keeps its argument for the call */
static struct ool_tensor *function(struct ool_tape *t, struct ool_tensor *x)
{
    struct ool_tensor *y = NULL;

    ool_enter(t, x);
    ool_set(t, &y, ool_mul(t, x, x));
    ool_set(t, &y, ool_unary(t, OOL_TANH, y));
    ool_leave(t, x);
    return ool_return(t, &y);
}

static void arguments_live_for_the_call(void **state)
{
    struct ool_tape_config config = card("a100");
    struct ool_tensor *y = NULL;
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    ool_set(rig.tape, &y, function(rig.tape, plain(rig.tape, 8)));
    assert_string_equal(rig_take(&rig), "+32 +32 +32 -1 -0");
    assert_null(ool_add(rig.tape, y, NULL));
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_REFERENCE);
    ool_del(rig.tape, &y); /* nothing is emitted after a failure */
    assert_string_equal(rig_take(&rig), "");
    rig_close(&rig);
}

static void views_share_their_storage(void **state)
{
    struct ool_tape_config config = card("a100");
    struct ool_tensor *x = NULL, *y = NULL, *parts[3];
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    ool_set(rig.tape, &x, ool_empty(rig.tape, OOL_F32, OOL_SHAPE(4, 6, 8)));
    ool_set(rig.tape, &y, ool_view(rig.tape, ool_transpose(rig.tape, x, 0, 1), OOL_SHAPE(6, 4, 8)));
    assert_int_equal(ool_stride(y, 0), 8);
    assert_int_equal(ool_stride(y, 1), 48);
    assert_false(ool_is_contiguous(y));
    assert_int_equal(ool_split(rig.tape, x, 4, 1, parts, 3), 2);
    assert_int_equal(ool_size(parts[1], 1), 2);
    ool_drop(rig.tape, parts[0]);
    ool_drop(rig.tape, parts[1]);
    assert_string_equal(rig_take(&rig), "+768");
    ool_del(rig.tape, &x);
    assert_string_equal(rig_take(&rig), "");
    ool_set(rig.tape, &x, ool_reshape(rig.tape, y, OOL_SHAPE(-1, 8)));
    assert_string_equal(rig_take(&rig), "+768");
    ool_del(rig.tape, &y);
    assert_string_equal(rig_take(&rig), "-0");
    assert_null(ool_view(rig.tape, ool_transpose(rig.tape, x, 0, 1), OOL_SHAPE(192)));
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_COMBINATION);
    rig_close(&rig);
}

/* What TensorIterator makes of the operands' strides and types. */
static void outputs_follow_their_inputs(void **state)
{
    struct ool_tape_config config = card("a100");
    struct ool_tensor *x = NULL, *y = NULL;
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    ool_set(rig.tape, &x,
            ool_transpose(rig.tape, ool_empty(rig.tape, OOL_F32, OOL_SHAPE(2, 3, 4, 5)), 1, 2));
    ool_set(rig.tape, &y, ool_add(rig.tape, x, ool_empty(rig.tape, OOL_BF16, OOL_SHAPE(5))));
    assert_int_equal(ool_dtype(y), OOL_F32);
    assert_int_equal(ool_stride(y, 1), 5);
    assert_int_equal(ool_stride(y, 2), 20);
    ool_set(
        rig.tape, &y,
        ool_expand(rig.tape, ool_empty(rig.tape, OOL_F16, OOL_SHAPE(3, 1)), OOL_SHAPE(2, -1, 7)));
    ool_set(rig.tape, &y, ool_scale(rig.tape, y, 0.5));
    assert_int_equal(ool_dtype(y), OOL_F16);
    assert_true(ool_is_contiguous(y));
    ool_set(rig.tape, &y, ool_binary_scalar(rig.tape, OOL_DIV, ool_arange(rig.tape, 4), 2));
    assert_int_equal(ool_dtype(y), OOL_F32);
    ool_set(rig.tape, &y,
            ool_binary(rig.tape, OOL_ADD, ool_empty(rig.tape, OOL_F16, OOL_SHAPE(3)),
                       ool_empty(rig.tape, OOL_BF16, OOL_SHAPE(3))));
    assert_int_equal(ool_dtype(y), OOL_F32);
    assert_null(ool_add(rig.tape, x, plain(rig.tape, 4)));
    rig_close(&rig);
}

struct workspace {
    const char *name, *cublas, *cublaslt, *unified, *matmul, *linear;
    enum ool_torch torch;
};

static struct workspace workspaces[] = {
    {"workspace 2.11", NULL, NULL, NULL, "+1048576 +8519680 -0", "+1048576 +1048576 -2",
     OOL_TORCH_2_11},
    {"workspace 16 8", ":16:8", NULL, NULL, "+1048576 +131072 -0", "+1048576 +131072 -2",
     OOL_TORCH_2_11},
    {"workspace none", ":0:0", NULL, NULL, "+1048576 -0", "+1048576 -1", OOL_TORCH_2_11},
    {"workspace unified", NULL, NULL, "1", "+1048576 +8519680 -0", "+1048576 -2", OOL_TORCH_2_11},
    {"workspace 4 MiB lt", NULL, "4096", NULL, "+1048576 +8519680 -0", "+1048576 +4194304 -2",
     OOL_TORCH_2_11},
    {"workspace 2.2", NULL, NULL, NULL, "+1048576 +8519680 -0", "+1048576 +1048576 -3 -2",
     OOL_TORCH_2_2},
    {"workspace 2.13", NULL, NULL, NULL, "+1048576 +8519680 -0", "+1048576 -2", OOL_TORCH_2_13},
    {"workspace 2.15", NULL, NULL, NULL, "+1048576 +8519680 -1 -0", "+1048576 +1048576 -3 -2",
     OOL_TORCH_2_15},
};

static void check_workspaces(void **state)
{
    const struct workspace *row = *state;
    struct ool_tape_config config = card("a100");
    struct ool_tensor *x, *b, *y = NULL;
    struct rig rig;

    config.torch = row->torch;
    config.cublas_workspace = row->cublas;
    config.cublaslt_workspace = row->cublaslt;
    config.cublaslt_unified = row->unified;
    rig_open(&rig, &config);
    x = ool_hold(rig.tape, ool_empty(rig.tape, OOL_F32, OOL_SHAPE(512, 512)));
    b = ool_hold(rig.tape, plain(rig.tape, 512));
    rig_start(&rig);
    ool_set(rig.tape, &y, ool_matmul(rig.tape, x, x));
    ool_del(rig.tape, &y);
    assert_string_equal(rig_take(&rig), row->matmul);
    ool_set(rig.tape, &y, ool_linear(rig.tape, x, x, b));
    ool_del(rig.tape, &y);
    assert_string_equal(rig_take(&rig), row->linear);
    rig_close(&rig);
}

static void refused_configurations(void **state)
{
    struct ool_tape_config config = {.torch = (enum ool_torch)207};
    struct ool_error err = {.status = OOL_OK};
    struct ool_program program;

    (void)state;
    ool_program_init(&program);
    assert_null(ool_tape_open(&config, &program, &err));
    assert_int_equal(err.status, OOL_E_UNSUPPORTED);
    config = (struct ool_tape_config){.torch = OOL_TORCH_2_4, .cublaslt_workspace = "0"};
    assert_null(ool_tape_open(&config, &program, NULL));
    config = (struct ool_tape_config){.cublaslt_workspace = "1M"};
    assert_null(ool_tape_open(&config, &program, NULL));
    ool_program_fini(&program);
}

static void origins_are_module_paths(void **state)
{
    struct ool_tape_config config = card("a100");
    struct ool_tensor *w, *y = NULL;
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    w = ool_parameter(rig.tape, "weight", OOL_F32, OOL_SHAPE(4));
    ool_push(rig.tape, "layers.%d", 3);
    ool_push(rig.tape, "norm");
    ool_set(rig.tape, &y,
            ool_reduce(rig.tape, OOL_SUM, ool_mul(rig.tape, w, w), OOL_ALL_DIMS, false));
    ool_pop(rig.tape);
    ool_pop(rig.tape);
    ool_phase(rig.tape, "s%d.forward", 1);
    ool_backward(rig.tape, y, NULL, false);
    assert_string_equal(ool_program_text_of(&rig.program, rig.program.storages[0].origin),
                        "weight");
    assert_int_equal(rig.program.storages[0].category, OOL_CATEGORY_PARAMETER);
    assert_string_equal(ool_program_text_of(&rig.program, rig.program.storages[1].origin),
                        "layers.3/norm");
    for (size_t i = 0; i < rig.program.n_ops; i++) {
        if (rig.program.ops[i].kind == OOL_OP_MARK)
            assert_string_equal(ool_program_text_of(&rig.program, rig.program.ops[i].id),
                                "s1.forward");
    }
    assert_int_equal(rig.program.storages[ool_storage_id(ool_grad(w))].category,
                     OOL_CATEGORY_GRADIENT);
    assert_string_equal(
        ool_program_text_of(&rig.program, rig.program.storages[ool_storage_id(ool_grad(w))].origin),
        "layers.3/norm");
    for (int i = 0; i < 65; i++)
        ool_push(rig.tape, "x");
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_LIMIT);
    rig_close(&rig);
}

static void sizes_that_do_not_fit(void **state)
{
    struct ool_tape_config config = card("a100");
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    assert_null(ool_empty(rig.tape, OOL_F32, OOL_SHAPE(INT64_MAX, 2)));
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_OVERFLOW);
    rig_close(&rig);
    rig_open(&rig, &config);
    assert_null(ool_empty(rig.tape, OOL_F32, OOL_SHAPE(-1)));
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_E_RANGE);
    rig_close(&rig);
    rig_open(&rig, &config);
    ool_drop(rig.tape, ool_hold(rig.tape, ool_empty(rig.tape, OOL_F32, OOL_SHAPE(INT64_MAX, 0))));
    assert_string_equal(rig_take(&rig), "");
    assert_int_equal(ool_tape_status(rig.tape, NULL), OOL_OK);
    rig_close(&rig);
    ool_tape_close(NULL);
}

/* Calls outside their domain fail with a text and leave the tape usable only for closing. */
static void refused_calls(void **state)
{
    struct ool_tape_config config = card("a100");

    (void)state;
    for (int i = 0; i < 14; i++) {
        struct ool_tensor *x, *w, *parts[2];
        struct ool_tape *t;
        struct rig rig;

        rig_open(&rig, &config);
        t = rig.tape;
        x = ool_hold(t, ool_empty(t, OOL_F32, OOL_SHAPE(4, 6)));
        w = ool_parameter(t, "w", OOL_F32, OOL_SHAPE(4, 6));
        parts[0] = x;
        parts[1] = ool_hold(t, plain(t, 3));
        switch (i) {
        case 0:
            ool_linear(t, x, parts[1], NULL);
            break;
        case 1:
            ool_matmul(t, x, x);
            break;
        case 2:
            ool_transpose(t, x, 0, 2);
            break;
        case 3:
            ool_permute(t, x, OOL_SHAPE(0, 0));
            break;
        case 4:
            ool_select(t, x, 0, 4);
            break;
        case 5:
            ool_cat(t, parts, 2, 0);
            break;
        case 6:
            ool_stack(t, parts, 2, 0);
            break;
        case 7:
            ool_expand(t, x, OOL_SHAPE(5, 6));
            break;
        case 8:
            ool_layer_norm(t, x, 3, NULL, NULL);
            break;
        case 9:
            ool_dropout(t, x, 1.5, true);
            break;
        case 10:
            ool_clamp(t, x, NAN, NAN);
            break;
        case 11:
            ool_binary_inplace(t, OOL_ADD, w, x);
            break;
        case 12:
            ool_backward(t, x, NULL, false);
            break;
        default:
            ool_topk(t, x, 7, -1);
            break;
        }
        assert_int_not_equal(ool_tape_status(t, NULL), OOL_OK);
        rig_close(&rig);
    }
}

int main(void)
{
    enum { N = sizeof workspaces / sizeof *workspaces };
    struct CMUnitTest tests[9 + N] = {
        cmocka_unit_test(temporaries_die_in_order),  cmocka_unit_test(arguments_live_for_the_call),
        cmocka_unit_test(views_share_their_storage), cmocka_unit_test(outputs_follow_their_inputs),
        cmocka_unit_test(refused_configurations),    cmocka_unit_test(origins_are_module_paths),
        cmocka_unit_test(sizes_that_do_not_fit),     cmocka_unit_test(refused_calls)};
    size_t n = 8;

    for (size_t i = 0; i < N; i++)
        tests[n++] =
            (struct CMUnitTest){workspaces[i].name, check_workspaces, NULL, NULL, &workspaces[i]};
    return _cmocka_run_group_tests("tape", tests, n, NULL, NULL);
}
