#include "ool_program.h"

#include "ool_mem.h"

#include <string.h>

static const struct {
    const char *name;
    uint32_t bytes;
} dtypes[] = {
#define XX(name, text, bytes) {text, bytes},
    OOL_DTYPE_MAP(XX)
#undef XX
};

static const char *const categories[] = {
#define XX(name, text) text,
    OOL_CATEGORY_MAP(XX)
#undef XX
};

static const char *const op_names[] = {
#define XX(name, text) text,
    OOL_OP_MAP(XX)
#undef XX
};

const char *ool_dtype_name(enum ool_dtype dtype)
{
    return dtypes[dtype].name;
}

uint32_t ool_dtype_bytes(enum ool_dtype dtype)
{
    return dtypes[dtype].bytes;
}

bool ool_dtype_parse(const char *name, enum ool_dtype *dtype)
{
    for (int i = 0; i < OOL_N_DTYPES; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *dtype = (enum ool_dtype)i;
            return true;
        }
    }
    return false;
}

bool ool_dtype_is_float(enum ool_dtype dtype)
{
    return dtype == OOL_F32 || dtype == OOL_F16 || dtype == OOL_BF16 || dtype == OOL_F64;
}

const char *ool_category_name(enum ool_category category)
{
    return categories[category];
}

bool ool_category_parse(const char *name, enum ool_category *category)
{
    for (int i = 0; i < OOL_N_CATEGORIES; i++) {
        if (strcmp(name, categories[i]) == 0) {
            *category = (enum ool_category)i;
            return true;
        }
    }
    return false;
}

const char *ool_op_name(enum ool_op_kind kind)
{
    return op_names[kind];
}

void ool_program_init(struct ool_program *program)
{
    memset(program, 0, sizeof *program);
}

void ool_program_fini(struct ool_program *program)
{
    for (size_t i = 0; i < program->n_texts; i++)
        ool_free(program->texts[i]);
    ool_free(program->texts);
    ool_free(program->text_slots);
    ool_free(program->operands);
    ool_free(program->kernels);
    ool_free(program->views);
    ool_free(program->storages);
    ool_free(program->ops);
    ool_program_init(program);
}

static uint32_t hash_text(const char *text)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

/* The slot that holds @text, or the empty one where it belongs. */
static size_t text_slot(const struct ool_program *program, const char *text)
{
    size_t mask = program->n_text_slots - 1;
    size_t slot = hash_text(text) & mask;

    while (program->text_slots[slot] != OOL_NONE &&
           strcmp(program->texts[program->text_slots[slot]], text) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static bool grow_text_slots(struct ool_program *program)
{
    size_t wanted = program->n_text_slots == 0 ? 64 : program->n_text_slots * 2;
    uint32_t *slots = ool_malloc(wanted * sizeof *slots);

    if (slots == NULL)
        return false;
    memset(slots, 0xff, wanted * sizeof *slots); /* OOL_NONE */
    ool_free(program->text_slots);
    program->text_slots = slots;
    program->n_text_slots = wanted;
    for (size_t i = 0; i < program->n_texts; i++)
        slots[text_slot(program, program->texts[i])] = (uint32_t)i;
    return true;
}

bool ool_program_text(struct ool_program *program, const char *text, uint32_t *id)
{
    size_t slot;
    char *copy;

    if (2 * (program->n_texts + 1) > program->n_text_slots && !grow_text_slots(program))
        return false;
    slot = text_slot(program, text);
    if (program->text_slots[slot] != OOL_NONE) {
        *id = program->text_slots[slot];
        return true;
    }
    if (!ool_grow(&program->texts, &program->texts_capacity, program->n_texts,
                  sizeof *program->texts))
        return false;
    copy = ool_strdup(text);
    if (copy == NULL)
        return false;
    *id = (uint32_t)program->n_texts;
    program->text_slots[slot] = *id;
    program->texts[program->n_texts++] = copy;
    return true;
}

bool ool_program_storage(struct ool_program *program, const struct ool_storage *storage,
                         uint32_t *id)
{
    if (!ool_grow(&program->storages, &program->storages_capacity, program->n_storages,
                  sizeof *program->storages))
        return false;
    *id = (uint32_t)program->n_storages;
    program->storages[program->n_storages++] = *storage;
    return true;
}

bool ool_program_view(struct ool_program *program, const struct ool_view *view, uint32_t *id)
{
    if (!ool_grow(&program->views, &program->views_capacity, program->n_views,
                  sizeof *program->views))
        return false;
    *id = (uint32_t)program->n_views;
    program->views[program->n_views++] = *view;
    return true;
}

bool ool_program_kernel(struct ool_program *program, const struct ool_kernel *kernel,
                        const uint32_t *inputs, const uint32_t *outputs, uint32_t *id)
{
    size_t n = (size_t)kernel->n_inputs + kernel->n_outputs;

    while (program->operands_capacity < program->n_operands + n) {
        if (!ool_grow(&program->operands, &program->operands_capacity, program->operands_capacity,
                      sizeof *program->operands))
            return false;
    }
    if (!ool_grow(&program->kernels, &program->kernels_capacity, program->n_kernels,
                  sizeof *program->kernels))
        return false;
    if (kernel->n_inputs > 0)
        memcpy(program->operands + program->n_operands, inputs, kernel->n_inputs * sizeof *inputs);
    if (kernel->n_outputs > 0)
        memcpy(program->operands + program->n_operands + kernel->n_inputs, outputs,
               kernel->n_outputs * sizeof *outputs);
    *id = (uint32_t)program->n_kernels;
    program->kernels[program->n_kernels] = *kernel;
    program->kernels[program->n_kernels++].operands = (uint32_t)program->n_operands;
    program->n_operands += n;
    return true;
}

bool ool_program_op(struct ool_program *program, const struct ool_op *op)
{
    if (!ool_grow(&program->ops, &program->ops_capacity, program->n_ops, sizeof *program->ops))
        return false;
    program->ops[program->n_ops++] = *op;
    if (op->process >= program->n_processes)
        program->n_processes = (uint16_t)(op->process + 1);
    if (op->device >= program->n_devices)
        program->n_devices = (uint8_t)(op->device + 1);
    return true;
}

const char *ool_program_text_of(const struct ool_program *program, uint32_t id)
{
    return id == OOL_NONE ? "" : program->texts[id];
}

struct checker {
    const struct ool_program *program;
    uint8_t *alive; /* per storage */
    size_t depth;   /* open loops */
    size_t at;
    struct ool_error *err;
};

static enum ool_status wrong(const struct checker *c, const char *what)
{
    const struct ool_op *op = &c->program->ops[c->at];
    enum ool_status status =
        ool_error_set(c->err, OOL_E_PROGRAM, "operation %zu (%s of %u): %s", c->at,
                      ool_op_name((enum ool_op_kind)op->kind), op->id, what);

    if (c->err != NULL && c->err->line == 0)
        c->err->line = (int)op->line;
    return status;
}

static enum ool_status check_op(struct checker *c, const struct ool_op *op)
{
    const struct ool_program *program = c->program;

    switch ((enum ool_op_kind)op->kind) {
    case OOL_OP_ALLOC:
        if (op->id >= program->n_storages)
            return wrong(c, "no such storage");
        c->alive[op->id] = 1;
        return OOL_OK;
    case OOL_OP_FREE:
    case OOL_OP_RECORD_STREAM:
        if (op->id >= program->n_storages)
            return wrong(c, "no such storage");
        if (!c->alive[op->id])
            return wrong(c, "the storage is not allocated here");
        if (op->kind == OOL_OP_FREE)
            c->alive[op->id] = 0;
        return OOL_OK;
    case OOL_OP_KERNEL:
        return op->id < program->n_kernels ? OOL_OK : wrong(c, "no such kernel");
    case OOL_OP_COPY:
        if (op->id >= program->n_storages || op->value >= program->n_storages)
            return wrong(c, "no such storage");
        return c->alive[op->id] && c->alive[op->value]
                   ? OOL_OK
                   : wrong(c, "a side of the copy is not allocated here");
    case OOL_OP_SET_CONF:
    case OOL_OP_MARK:
        return op->id < program->n_texts ? OOL_OK : wrong(c, "no such text");
    case OOL_OP_LOOP:
        c->depth++;
        return OOL_OK;
    case OOL_OP_END:
        if (c->depth == 0)
            return wrong(c, "no loop is open");
        c->depth--;
        return OOL_OK;
    case OOL_OP_EMPTY_CACHE:
    case OOL_OP_SYNCHRONIZE:
    case OOL_OP_EVENT_RECORD:
    case OOL_OP_EVENT_WAIT:
    case OOL_OP_STREAM_BUSY:
    case OOL_OP_STREAM_STEP:
    case OOL_OP_STREAM_IDLE:
    case OOL_OP_SET_FRACTION:
    case OOL_OP_RESET_PEAK:
        return OOL_OK;
    case OOL_N_OPS:
        break;
    }
    return wrong(c, "unknown kind");
}

enum ool_status ool_program_validate(const struct ool_program *program, struct ool_error *err)
{
    struct checker c = {.program = program, .err = err};
    enum ool_status status = OOL_OK;

    c.alive = ool_calloc(program->n_storages + 1, 1);
    if (c.alive == NULL)
        return ool_error_set(err, OOL_E_HOST_OOM, "no memory to check a program");
    for (c.at = 0; status == OOL_OK && c.at < program->n_ops; c.at++)
        status = check_op(&c, &program->ops[c.at]);
    if (status == OOL_OK && c.depth > 0)
        status = ool_error_set(err, OOL_E_PROGRAM, "%zu loops are not closed", c.depth);
    ool_free(c.alive);
    return status;
}
