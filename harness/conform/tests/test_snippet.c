/*
 * test_snippet.c - Python's lifetimes as PyTorch's allocator saw them, and texts that are refused.
 */
#include "ool_snippet.h"
#include "ool_test.h"
#include "ool_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

/* The streams were recorded with PyTorch 2.11; x is a tensor of 256 numbers, w one with a gradient. */
struct row {
    const char *name, *text, *stream;
};

static struct row rows[] = {
    {"temporary of a call", "y = torch.exp(torch.neg(x))", "+1024 +1024 -0"},
    {"operands from left to right", "y = torch.exp(x) + torch.neg(x)", "+1024 +1024 +1024 -0 -1"},
    {"rebinding frees the old value after the new one",
     "y = torch.exp(x)\ny = torch.neg(y)\ny = y * 2.0", "+1024 +1024 -0 +1024 -1"},
    {"tuple unpacking keeps all items until stored",
     "a, b = torch.exp(x), torch.neg(x)\na, b = b, a\ndel a\ndel b", "+1024 +1024 -1 -0"},
    {"an unpacked generator", "a, b = (torch.exp(t) for t in (x, x))\na = None", "+1024 +1024 -0"},
    {"list comprehension, ends from its last item", "l = [torch.exp(x) for _ in range(3)]\ndel l",
     "+1024 +1024 +1024 -2 -1 -0"},
    {"clear of a list", "l = [torch.exp(x)]\nl.append(torch.neg(x))\nl.clear()",
     "+1024 +1024 -1 -0"},
    {"loop variable lives on", "for t in (torch.exp(x), torch.neg(x)):\n u = t * 2.0\ndel u\ndel t",
     "+1024 +1024 +1024 +1024 -2 -0 -3 -1"},
    {"locals of a function",
     "def f(a):\n b = torch.exp(a)\n c = torch.neg(b)\n return c * 2.0\ny = f(torch.exp(x))",
     "+1024 +1024 +1024 +1024 -0 -1 -2"},
    {"a parameter that is rebound",
     "def f(a):\n a = torch.exp(a)\n a = torch.neg(a)\n return a\ny = f(torch.exp(x))",
     "+1024 +1024 -0 +1024 -1"},
    {"lambda and default",
     "f = lambda a, b=2.0: torch.exp(a) * b\ny = f(x)\nz = f(torch.neg(x), b=3.0)",
     "+1024 +1024 -0 +1024 +1024 +1024 -3 -2"},
    {"a closure keeps what it uses",
     "def f(a):\n b = torch.exp(a)\n c = torch.neg(a)\n return lambda: b * 2.0\ng = f(x)\ny = "
     "g()\ndel g",
     "+1024 +1024 -1 +1024 -0"},
    {"sum of tensors starts at zero", "y = sum([torch.exp(x), torch.neg(x)])",
     "+1024 +1024 +1024 +1024 -2 -1 -0"},
    {"sum over a generator", "y = sum(torch.exp(x) for _ in range(3))",
     "+1024 +1024 -0 +1024 +1024 -1 -2 +1024 +1024 -3 -4"},
    {"augmented assignment", "y = torch.exp(x)\ny += torch.neg(x)\ny *= y", "+1024 +1024 -1"},
    {"attribute of a temporary", "n = torch.exp(x).shape[0]", "+1024 -0"},
    {"conditional",
     "y = torch.exp(x) if x.shape[0] > 2 else torch.neg(x)\nif x.ndim == 3:\n y = None\nelif "
     "x.ndim == 1:\n z = y * 2.0\nelse:\n del y",
     "+1024 +1024"},
    {"chained assignment", "a = b = torch.exp(x)\na = None\nb = None", "+1024 -0"},
    {"starred arguments", "y = torch.cat(*[[torch.exp(x), torch.neg(x)]])",
     "+1024 +1024 +2048 -1 -0"},
    {"nested call arguments", "y = torch.where(torch.exp(x) > torch.neg(x), torch.exp(x), x * 2.0)",
     "+1024 +1024 +256 -0 -1 +1024 +1024 +1024 -2 -3 -4"},
    {"with block",
     "with torch.no_grad():\n y = torch.exp(w) * torch.exp(w)\nz = torch.exp(w) * "
     "torch.exp(w)\ndel z",
     "+1024 +1024 +1024 -0 -1 +1024 +1024 +1024 -4 -3 -5"},
    {"gradient is set and freed",
     "w.grad = torch.empty_like(w)\nw.grad = torch.empty_like(w)\nw.grad = None",
     "+1024 +1024 -0 -1"},
    {"backward frees the graph", "y = torch.exp(w).sum()\ny.backward()\ndel y",
     "+1024 +4 +4 +1024 -0 -2 -1"},
    {"a graph that is never used", "y = torch.exp(w)\nz = torch.exp(y)\nz = z.sum()\ndel y\ndel z",
     "+1024 +1024 +4 -1 -0 -2"},
    {"values of topk", "y = x.max(-1)[0]\nz = x.max()", "+4 +8 -1 +4"},
};

static enum ool_status bind(struct ool_tape *t, struct ool_snippet *s, const char *name, bool grad,
                            struct ool_error *err)
{
    struct ool_tensor *x = NULL;
    enum ool_status status;

    ool_set(t, &x, ool_empty(t, OOL_F32, OOL_SHAPE(256)));
    if (x == NULL)
        return ool_tape_status(t, err);
    if (grad)
        ool_require_grad(x, true);
    status = ool_snippet_bind(s, name, x, err);
    ool_del(t, &x);
    return status;
}

/* Runs a text; *stream gets its events, "+1024 -0". */
static enum ool_status run(const char *text, struct ool_text *stream, struct ool_error *err)
{
    struct ool_tape_config config = {0};
    struct ool_program program;
    struct ool_snippet *s = NULL;
    struct ool_tape *t;
    enum ool_status status = OOL_E_HOST_OOM;
    size_t from, n = 0, ids[4096];

    ool_program_init(&program);
    t = ool_tape_open(&config, &program, err);
    if (t != NULL && (s = ool_snippet_open(t, err)) != NULL) {
        status = bind(t, s, "x", false, err);
        if (status == OOL_OK)
            status = bind(t, s, "w", true, err);
        from = program.n_ops;
        if (status == OOL_OK)
            status = ool_snippet_run(s, text, err);
        for (size_t i = from; i < program.n_ops; i++) {
            const struct ool_op *op = &program.ops[i];
            const char *blank = stream->length > 0 ? " " : "";

            if (op->kind == OOL_OP_ALLOC && op->id < 4096) {
                ids[op->id] = n++;
                ool_text_printf(stream, "%s+%" PRIu64, blank, program.storages[op->id].bytes);
            } else if (op->kind == OOL_OP_FREE && op->id < 4096) {
                ool_text_printf(stream, "%s-%zu", blank, ids[op->id]);
            }
        }
        if (status == OOL_OK && stream->failed)
            status = OOL_E_HOST_OOM;
    }
    ool_snippet_close(s);
    ool_tape_close(t);
    ool_program_fini(&program);
    return status;
}

static void check_row(void **state)
{
    const struct row *row = *state;
    struct ool_error err = {.status = OOL_OK};
    struct ool_text stream;

    ool_text_init(&stream, 1 << 20);
    if (run(row->text, &stream, &err) != OOL_OK)
        fail_msg("%s", err.text);
    assert_string_equal(ool_text_data(&stream), row->stream);
    ool_text_fini(&stream);
}

static void check_refusals(void **state)
{
    static const char *const texts[] = {
        "y = ",
        "y = (x",
        "if x.ndim == 1:\ny = x",
        "for t in (x,):\n  y = t\n z = t",
        "while True: pass",
        "class A: pass",
        "y = x + unknown",
        "y = torch.no_such_function(x)",
        "y = torch.exp(x, out=x)",
        "y = torch.exp()",
        "y = 1 < 2 < 3",
        "a, b = x, x, x",
        "return x",
        "import os",
        "y = 'a' 'b'",
        "y = 'it\\'s'",
        "y = x if x else x",
        "y = x.no_such_method()",
        "y = 99999999999999999999",
        "y = 3 // 0",
        "y = x[1:2:2]",
        "y = [1][1]",
        "del y",
        "x.grad = 3",
        "f = lambda a: a\ny = f()",
        "f = lambda a: f(a)\ny = f(x)",
        "y = range(100000000)",
        "v, i = x.max(-1)",
        "with x: pass",
        "y = nn.Linear(2, 3)(x)",
        "y = 3\n$",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ool_error err = {.status = OOL_OK};
        struct ool_text stream;
        enum ool_status status;

        ool_text_init(&stream, 1 << 20);
        status = run(texts[i], &stream, &err);
        if (status != OOL_E_UNSUPPORTED && status != OOL_E_LIMIT)
            fail_msg("%s: %s", texts[i], ool_status_name(status));
        assert_int_not_equal(err.text[0], '\0');
        ool_text_fini(&stream);
    }
}

/* Brackets, operators and attributes in a row nest the tree: all are bounded. */
static void check_depth(void **state)
{
    static const char *const units[][3] = {
        {"y = ", "(", ""},      {"y = x", ".T", ""},           {"y = 1", " + 1", ""},
        {"y = ", "-", "1"},     {"y = ", "not ", "1"},         {"y = ", "lambda: ", "1"},
        {"", "if 1: ", "pass"}, {"y = ", "1 if 1 else ", "1"}, {"y = ", "2 ** ", "2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        struct ool_error err = {.status = OOL_OK};
        struct ool_text text, stream;

        ool_text_init(&text, 1 << 20);
        ool_text_init(&stream, 1 << 20);
        ool_text_puts(&text, units[i][0]);
        for (int n = 0; n < 20000; n++)
            ool_text_puts(&text, units[i][1]);
        ool_text_puts(&text, units[i][2]);
        assert_int_not_equal(run(ool_text_data(&text), &stream, &err), OOL_OK);
        ool_text_fini(&text);
        ool_text_fini(&stream);
    }
}

/* Values nest as deep as a loop makes them; their end needs no deep stack. */
static void check_deep_values(void **state)
{
    struct ool_error err = {.status = OOL_OK};
    struct ool_text stream;

    (void)state;
    ool_text_init(&stream, 1 << 20);
    assert_int_equal(
        run("a = []\nfor i in range(200000):\n a = [a]\ndel a\ny = torch.exp(x)", &stream, &err),
        OOL_OK);
    assert_string_equal(ool_text_data(&stream), "+1024");
    ool_text_fini(&stream);
}

static enum ool_status run_all(void *state)
{
    static const char text[] =
        "net = nn.Sequential(nn.Linear(256, 32), nn.GELU()).to('cuda')\n"
        "o = torch.optim.AdamW(net.parameters(), lr=1e-3)\n"
        "f = lambda a, b=2: net(a) * b\n"
        "from torch.utils.checkpoint import checkpoint\n"
        "l = [checkpoint(f, w.view(1, 256), use_reentrant=False).sum() for _ in range(2)]\n"
        "with torch.autocast('cuda', dtype=torch.bfloat16):\n"
        " y, z = (torch.exp(t)[None, 3:5] for t in (x, w))\n"
        "l[0].backward()\no.step()\no.zero_grad()\nl.clear()\n";
    struct ool_text stream;
    struct ool_error err = {.status = OOL_OK};
    enum ool_status status;

    (void)state;
    ool_text_init(&stream, 1 << 20);
    status = run(text, &stream, &err);
    ool_text_fini(&stream);
    return status;
}

static void check_faults(void **state)
{
    ool_test_each_fault(run_all, *state, 5000);
}

int main(void)
{
    struct CMUnitTest tests[sizeof(rows) / sizeof(rows[0]) + 4];
    size_t n = 0;

    for (; n < sizeof(rows) / sizeof(rows[0]); n++)
        tests[n] = (struct CMUnitTest){rows[n].name, check_row, NULL, NULL, &rows[n]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_refusals);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_depth);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_deep_values);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_faults);
    return _cmocka_run_group_tests("snippet", tests, n, NULL, NULL);
}
