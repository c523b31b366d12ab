/*
 * Recorded streams of forward and backward, the engine, checkpoints, autocast, and every failing
 * allocation of a training step.
 */
#include "ool_tape_rows.h"

#define S OOL_SHAPE

/* The inputs of a row; parameters require gradients. */
struct model {
    struct ool_tape *t;
    struct ool_tensor *x, *y, *w, *b, *a;
};

typedef struct ool_tensor *expression(const struct model *m);

static struct ool_tensor *linear_bias(const struct model *m)
{
    return ool_linear(m->t, m->x, m->w, m->b);
}

static struct ool_tensor *linear_transposed(const struct model *m)
{
    return ool_linear(m->t, ool_transpose(m->t, m->x, 0, 1), m->w, m->b);
}

static struct ool_tensor *mlp(const struct model *m)
{
    struct ool_tensor *h = ool_unary(m->t, OOL_GELU_ERF, ool_linear(m->t, m->x, m->w, m->b));

    return ool_linear(m->t, h, ool_transpose(m->t, m->w, 0, 1), NULL);
}

static struct ool_tensor *relu_in_place(const struct model *m)
{
    struct ool_tensor *y = NULL, *z = NULL;

    ool_set(m->t, &y, ool_linear(m->t, m->x, m->w, m->b));
    ool_set(m->t, &z, ool_unary_inplace(m->t, OOL_RELU, y));
    ool_del(m->t, &y);
    return ool_return(m->t, &z);
}

static struct ool_tensor *reused_weight(const struct model *m)
{
    return ool_linear(m->t, ool_linear(m->t, m->x, m->a, NULL), m->a, NULL);
}

static struct ool_tensor *three_users(const struct model *m)
{
    struct ool_tensor *z = NULL, *sum;

    ool_set(m->t, &z, ool_scale(m->t, m->x, 1));
    sum = ool_add(m->t, z, ool_unary(m->t, OOL_GELU_ERF, z));
    sum = ool_add(m->t, sum, ool_unary(m->t, OOL_SILU, z));
    ool_del(m->t, &z);
    return sum;
}

static struct ool_tensor *normalized(const struct model *m)
{
    return ool_layer_norm(m->t, m->x, 1, m->a, m->a);
}

static struct ool_tensor *dropped(const struct model *m)
{
    return ool_dropout(m->t, m->x, 0.1, true);
}

static struct ool_tensor *softmaxed(const struct model *m)
{
    return ool_softmax(m->t, m->x, -1);
}

static struct ool_tensor *broadcast_product(const struct model *m)
{
    return ool_mul(m->t, m->x, m->b);
}

static struct ool_tensor *sliced(const struct model *m)
{
    struct ool_index items[] = {{.kind = OOL_INDEX_ALL}, {.kind = OOL_INDEX_SLICE, .end = -1}};

    return ool_scale(m->t, ool_subscript(m->t, m->x, 2, items), 2);
}

static struct ool_tensor *split_and_summed(const struct model *m)
{
    struct ool_tensor *parts[3], *y;

    if (ool_split(m->t, m->x, 256, 2, parts, 3) != 3)
        return NULL;
    for (int i = 0; i < 3; i++)
        ool_hold(m->t, parts[i]);
    y = ool_add(m->t, ool_add(m->t, parts[0], parts[1]), parts[2]);
    for (int i = 0; i < 3; i++)
        ool_drop(m->t, parts[i]);
    return y;
}

struct row {
    const char *name;
    expression *expression;
    int64_t w_rows, a_rows, b_size;
    bool a_vector;
    const char *forward, *backward;
};

static struct row rows[] = {
    {"linear", linear_bias, 3072, 0, 3072, false, "+25165824",
     "+6291456 +9437184 +12288 +50331648 +96 -6 -5"},
    {"linear of a transposed input", linear_transposed, 3072, 0, 3072, false, "+6291456 +25165824",
     "+12288 +50331648 +96 -5 -4 +9437184 +6291456 -0 +6291456 -7"},
    {"mlp with a shared weight", mlp, 3072, 0, 3072, false, "+25165824 +25165824 +6291456",
     "+9437184 +25165824 -1 +25165824 -5 -0 +6291456 +9437184 +12288 +50331648 +96 -11 -10 -6 "
     "+9437184 -4 -8"},
    {"relu in place on a view", relu_in_place, 3072, 0, 3072, false, "+25165824",
     "+25165824 +25165824 +25165824 +25165824 -4 -5 -2 +6291456 +9437184 +12288 +50331648 +96 -10 "
     "-9 -3"},
    {"one weight in two linears", reused_weight, 0, 768, 0, false, "+6291456 +6291456",
     "+2359296 +6291456 -0 +2359296 +6291456 -4 +2359296 -3 -5"},
    {"a residual stream", three_users, 0, 0, 0, false,
     "+6291456 +6291456 +6291456 -1 +6291456 +6291456 -2 -3",
     "+6291456 +6291456 -0 -7 +6291456 -6"},
    {"layer norm", normalized, 0, 768, 0, true, "+6291456 +8192 +8192",
     "+6291456 +3072 +3072 -1 -2 -6"},
    {"dropout", dropped, 0, 0, 0, false, "+1572864 +6291456", "+6291456 -0"},
    {"softmax", softmaxed, 0, 0, 0, false, "+6291456", "+6291456 +6291456 -3"},
    {"broadcast product", broadcast_product, 0, 0, 768, false, "+6291456",
     "+6291456 +6291456 +3072 +12582912 +24 -6 -5 -2"},
    {"slice", sliced, 0, 0, 0, false, "+6279168", "+6279168 +6291456 -2"},
    {"split", split_and_summed, 0, 0, 0, false, "+2097152 +2097152 -0", "+6291456"},
};

static void model_open(struct model *m, struct rig *rig, const struct row *row)
{
    struct ool_tape_config config = card("a100");

    rig_open(rig, &config);
    rig_warm(rig);
    *m = (struct model){.t = rig->tape};
    m->x = ool_parameter(m->t, "x", OOL_F32, S(4, 512, 768));
    if (row->w_rows > 0)
        m->w = ool_parameter(m->t, "w", OOL_F32, S(row->w_rows, 768));
    if (row->b_size > 0)
        m->b = ool_parameter(m->t, "b", OOL_F32, S(row->b_size));
    if (row->a_rows > 0)
        m->a = row->a_vector ? ool_parameter(m->t, "a", OOL_F32, S(row->a_rows))
                             : ool_parameter(m->t, "a", OOL_F32, S(row->a_rows, 768));
}

static void check_row(void **state)
{
    const struct row *row = *state;
    struct ool_tensor *y = NULL, *gradient;
    struct model m;
    struct rig rig;

    model_open(&m, &rig, row);
    rig_start(&rig);
    ool_set(m.t, &y, row->expression(&m));
    assert_string_equal(rig_take(&rig), row->forward);
    gradient = gradient_of(m.t, y);
    (void)rig_take(&rig);
    ool_backward(m.t, y, gradient, false);
    assert_string_equal(rig_take(&rig), row->backward);
    assert_int_equal(ool_tape_status(m.t, NULL), OOL_OK);
    assert_non_null(ool_grad(m.x));
    assert_int_equal(ool_program_validate(&rig.program, NULL), OOL_OK);
    rig_close(&rig);
}

static void kept_graphs_run_again(void **state)
{
    struct row row = {.w_rows = 768};
    struct ool_tensor *y = NULL;
    struct model m;
    struct rig rig;

    (void)state;
    model_open(&m, &rig, &row);
    ool_set(m.t, &y,
            ool_reduce(m.t, OOL_SUM, ool_unary(m.t, OOL_GELU_ERF, m.x), OOL_ALL_DIMS, false));
    rig_start(&rig);
    ool_backward(m.t, y, NULL, true);
    assert_string_equal(rig_take(&rig), "+4 +6291456 -0");
    ool_backward(m.t, y, NULL, false); /* adds to .grad in place, then the graph lets go */
    assert_string_equal(rig_take(&rig), "+4 +6291456 -3 -2");
    ool_backward(m.t, y, NULL, false);
    assert_int_equal(ool_tape_status(m.t, NULL), OOL_E_COMBINATION);
    rig_close(&rig);
}

/* A graph of many nodes that was never run backward dies without a deep stack. */
static void deep_graphs_die(void **state)
{
    struct ool_tape_config config = card("a100");
    struct ool_tensor *x, *y = NULL;
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    x = ool_parameter(rig.tape, "x", OOL_F32, S(16));
    ool_set(rig.tape, &y, ool_scale(rig.tape, x, 1));
    for (int i = 0; i < 200000; i++)
        ool_set(rig.tape, &y, ool_unary(rig.tape, OOL_SIN, y));
    ool_del(rig.tape, &y);
    assert_int_equal(rig.program.n_ops, 2 * 200001 + 1);
    assert_int_equal(ool_program_validate(&rig.program, NULL), OOL_OK);
    rig_close(&rig);
}

static void count_leaf(struct ool_tape *t, struct ool_tensor *leaf, void *state)
{
    ++*(int *)state;
    ool_set_grad(t, leaf, NULL); /* an optimizer in backward */
}

static void hooks_run_at_leaves(void **state)
{
    struct row row = {.a_rows = 768};
    struct ool_tensor *y = NULL;
    struct model m;
    struct rig rig;
    int n = 0;

    (void)state;
    model_open(&m, &rig, &row);
    ool_set_leaf_hook(m.a, count_leaf, &n);
    ool_set(m.t, &y, ool_reduce(m.t, OOL_SUM, reused_weight(&m), OOL_ALL_DIMS, false));
    ool_backward(m.t, y, NULL, false);
    assert_int_equal(n, 1);
    assert_null(ool_grad(m.a));
    rig_close(&rig);
}

/* --- checkpoints -------------------------------------------------------------------------------------------- */

static struct ool_tensor *block(struct ool_tape *t, struct ool_tensor *const *inputs, int n,
                                void *state)
{
    struct ool_tensor **w = state, *y = NULL;

    assert_int_equal(n, 1);
    ool_set(t, &y, ool_linear(t, inputs[0], w[0], w[1]));
    ool_set(t, &y, ool_unary(t, OOL_GELU_ERF, y));
    ool_set(t, &y, ool_linear(t, y, w[2], w[3]));
    return ool_return(t, &y);
}

struct checkpointed {
    const char *name;
    enum ool_checkpoint kind;
    const char *forward, *backward;
};

static struct checkpointed checkpoints[] = {
    {"checkpoint reentrant", OOL_CHECKPOINT_REENTRANT, "+25165824 +25165824 -0 +6291456 -1",
     "+25165824 +25165824 +6291456 +25165824 +9437184 +3072 +12582912 +24 -11 -10 -5 +25165824 -7 "
     "-4 "
     "+6291456 +9437184 +12288 +50331648 +96 -17 -16 -12 -6"},
    {"checkpoint not reentrant", OOL_CHECKPOINT_NONREENTRANT, "+25165824 +25165824 -0 +6291456 -1",
     "+25165824 +25165824 +25165824 +9437184 -5 +3072 +12582912 +24 -10 -9 +25165824 -4 -6 "
     "+6291456 "
     "+9437184 +12288 +50331648 +96 -16 -15 -11"},
    {"checkpoint off", OOL_CHECKPOINT_NONE, "+25165824 +25165824 +6291456",
     "+25165824 +9437184 +3072 +12582912 +24 -8 -7 -1 +25165824 -4 -0 +6291456 +9437184 +12288 "
     "+50331648 +96 -14 -13 -9"},
};

/* The autograd thread's own cublasLt workspace: a linear with bias that is recomputed in backward. */
static void warm_thread(struct model *m, struct ool_tensor **w)
{
    struct ool_tensor *y = NULL;

    ool_set(m->t, &y, ool_checkpoint(m->t, OOL_CHECKPOINT_REENTRANT, block, w, &m->x, 1));
    ool_set(m->t, &y, ool_reduce(m->t, OOL_SUM, y, OOL_ALL_DIMS, false));
    ool_backward(m->t, y, NULL, false);
    ool_del(m->t, &y);
    ool_set_grad(m->t, m->x, NULL);
    for (int i = 0; i < 4; i++)
        ool_set_grad(m->t, w[i], NULL);
}

static void check_checkpoint(void **state)
{
    const struct checkpointed *row = *state;
    struct row none = {0};
    struct ool_tensor *w[4], *y = NULL, *gradient;
    struct model m;
    struct rig rig;

    model_open(&m, &rig, &none);
    w[0] = ool_parameter(m.t, "0.weight", OOL_F32, S(3072, 768));
    w[1] = ool_parameter(m.t, "0.bias", OOL_F32, S(3072));
    w[2] = ool_parameter(m.t, "2.weight", OOL_F32, S(768, 3072));
    w[3] = ool_parameter(m.t, "2.bias", OOL_F32, S(768));
    warm_thread(&m, w);
    rig_start(&rig);
    ool_set(m.t, &y, ool_checkpoint(m.t, row->kind, block, w, &m.x, 1));
    assert_string_equal(rig_take(&rig), row->forward);
    gradient = gradient_of(m.t, y);
    (void)rig_take(&rig);
    ool_backward(m.t, y, gradient, false);
    assert_string_equal(rig_take(&rig), row->backward);
    rig_close(&rig);
}

/* --- a training step with all that can fail -------------------------------------------------------------------- */

struct step {
    enum ool_checkpoint kind;
    bool on_cpu, kernels;
};

static struct ool_tensor *layer(struct ool_tape *t, struct ool_tensor *const *inputs, int n,
                                void *state)
{
    struct ool_tensor **w = state, *h = NULL, *parts[3];

    (void)n;
    ool_push(t, "layer");
    ool_set(t, &h, ool_layer_norm(t, inputs[0], 1, w[0], w[1]));
    ool_set(t, &h, ool_linear(t, h, w[2], NULL));
    if (ool_chunk(t, h, 2, -1, parts, 3) == 2) {
        ool_hold(t, parts[0]);
        ool_hold(t, parts[1]);
        ool_set(t, &h, ool_mul(t, ool_unary(t, OOL_SILU, parts[0]), parts[1]));
        ool_drop(t, parts[0]);
        ool_drop(t, parts[1]);
    }
    ool_set(t, &h, ool_softmax(t, ool_dropout(t, h, 0.1, true), -1));
    ool_set(t, &h, ool_add(t, inputs[0], ool_rms_norm(t, h, w[0])));
    ool_pop(t);
    return ool_return(t, &h);
}

static enum ool_status train(void *state)
{
    const struct step *step = state;
    struct ool_tape_config config = card("a100");
    enum ool_status status = OOL_E_HOST_OOM;
    struct ool_program program;
    struct ool_tape *t;

    config.kernels = step->kernels;
    ool_program_init(&program);
    t = ool_tape_open(&config, &program, NULL);
    if (t != NULL) {
        struct ool_tensor *w[3], *x = NULL;

        w[0] = ool_parameter(t, "g", OOL_F32, S(32));
        w[1] = ool_parameter(t, "b", OOL_F32, S(32));
        w[2] = ool_parameter(t, "w", OOL_F32, S(64, 32));
        ool_set(t, &x, ool_empty(t, OOL_F32, S(2, 8, 32)));
        ool_require_grad(x, true);
        ool_autocast_enter(t, OOL_BF16, true);
        ool_save_on_cpu(t, step->on_cpu);
        ool_set(t, &x, ool_checkpoint(t, step->kind, layer, w, &x, 1));
        ool_set(t, &x, ool_checkpoint(t, step->kind, layer, w, &x, 1));
        ool_save_on_cpu(t, false);
        ool_set(t, &x, ool_reduce(t, OOL_MEAN, x, OOL_ALL_DIMS, false));
        ool_autocast_leave(t);
        ool_backward(t, x, NULL, false);
        ool_del(t, &x);
        status = ool_tape_status(t, NULL);
        if (status == OOL_OK && ool_program_validate(&program, NULL) != OOL_OK)
            status = ool_tape_status(t, NULL) == OOL_OK ? OOL_E_HOST_OOM : OOL_OK;
    }
    ool_tape_close(t);
    ool_program_fini(&program);
    return status;
}

static struct step steps[] = {
    {OOL_CHECKPOINT_NONE, false, true},
    {OOL_CHECKPOINT_NONE, true, false},
    {OOL_CHECKPOINT_NONREENTRANT, false, true},
    {OOL_CHECKPOINT_REENTRANT, true, false},
};

static void every_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        ool_test_each_fault(train, &steps[i], 3000);
}

int main(void)
{
    enum { N = sizeof rows / sizeof *rows, C = sizeof checkpoints / sizeof *checkpoints };
    struct CMUnitTest tests[4 + N + C] = {
        cmocka_unit_test(kept_graphs_run_again), cmocka_unit_test(deep_graphs_die),
        cmocka_unit_test(hooks_run_at_leaves), cmocka_unit_test(every_fault)};
    size_t n = 4;

    for (size_t i = 0; i < N; i++)
        tests[n++] = (struct CMUnitTest){rows[i].name, check_row, NULL, NULL, &rows[i]};
    for (size_t i = 0; i < C; i++)
        tests[n++] =
            (struct CMUnitTest){checkpoints[i].name, check_checkpoint, NULL, NULL, &checkpoints[i]};
    return _cmocka_run_group_tests("engine", tests, n, NULL, NULL);
}
