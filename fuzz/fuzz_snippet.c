/*
 * fuzz_snippet.c - any bytes are a text that runs on a tape, or a clean error: no crash, no leak, and
 * the operations that were emitted are a valid program.
 */
#include "ool_mem.h"
#include "ool_snippet.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void bind(struct ool_tape *t, struct ool_snippet *s, const char *name, bool grad)
{
    struct ool_tensor *x = NULL;

    ool_set(t, &x, ool_empty(t, OOL_F32, OOL_SHAPE(4, 8)));
    ool_require_grad(x, grad);
    if (ool_snippet_bind(s, name, x, NULL) != OOL_OK)
        abort();
    ool_del(t, &x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ool_tape_config config = {0};
    struct ool_program program;
    struct ool_tape *t;
    struct ool_snippet *s;
    char *text;

    if (size > 4096)
        return 0;
    text = ool_strndup((const char *)data, size);
    ool_program_init(&program);
    t = ool_tape_open(&config, &program, NULL);
    s = ool_snippet_open(t, NULL);
    if (text == NULL || s == NULL)
        abort();
    bind(t, s, "x", false);
    bind(t, s, "w", true);
    ool_snippet_run(s, text, NULL);
    if (ool_program_validate(&program, NULL) != OOL_OK)
        abort();
    ool_snippet_close(s);
    ool_tape_close(t);
    ool_program_fini(&program);
    ool_free(text);
    if (ool_live_blocks() != 0)
        abort();
    return 0;
}
