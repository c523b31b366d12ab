/*
 * Explicit operations: reading, checking that each name stands for something at its point, lowering.
 */
#include "ool_scenario_internal.h"

#include "ool_mem.h"

#include <stdio.h>
#include <string.h>

/* --- reading --------------------------------------------------------------------------------------- */

struct ool_operation_list {
    struct ool_operation *ops;
    uint32_t *nodes; /* of each operation, for messages */
    size_t n, capacity, nodes_capacity;
    int depth; /* open loops */
};

static bool push(struct ool_reader *reader, const struct ool_operation *op, uint32_t node)
{
    struct ool_operation_list *list = reader->operations;

    if (++reader->n_operations == OOL_MAX_OPERATIONS + 1)
        ool_reader_problem(reader, node, false, OOL_E_LIMIT, NULL, "more than %d operations",
                           OOL_MAX_OPERATIONS);
    if (reader->n_operations > OOL_MAX_OPERATIONS)
        return false;
    if (!ool_grow(&list->ops, &list->capacity, list->n, sizeof *list->ops) ||
        !ool_grow(&list->nodes, &list->nodes_capacity, list->n, sizeof *list->nodes))
        return ool_reader_memory(reader, NULL);
    list->ops[list->n] = *op;
    list->nodes[list->n++] = node;
    return true;
}

static const struct ool_variant *find_variant(struct ool_reader *reader,
                                              const struct ool_cursor *cursor)
{
    struct ool_nearest nearest = {NULL, NULL, 0};
    const json_t *word = json_object_get(cursor->value, "op");
    char hint[120] = "", found[80];

    if (!json_is_object(cursor->value) || word == NULL) {
        ool_reader_problem(
            reader, cursor->node, false,
            word == NULL && json_is_object(cursor->value) ? OOL_E_MISSING : OOL_E_TYPE, NULL,
            "expected an operation, {\"op\": \"alloc\", ...}, found %s",
            json_is_object(cursor->value) ? "no \"op\"" : ool_reader_found(cursor->value, found));
        return NULL;
    }
    if (!json_is_string(word)) {
        ool_reader_problem(reader, cursor->node, false, OOL_E_TYPE, NULL,
                           "\"op\": expected a text, found %s", ool_reader_found(word, found));
        return NULL;
    }
    nearest.wanted = json_string_value(word);
    for (size_t i = 0; i < ool_n_variants; i++) {
        if (strcmp(ool_variants[i].word, nearest.wanted) == 0)
            return &ool_variants[i];
        ool_nearest_offer(&nearest, ool_variants[i].word);
    }
    if (nearest.best != NULL)
        snprintf(hint, sizeof hint, "did you mean \"%s\"?", nearest.best);
    ool_reader_problem(reader, cursor->node, false, OOL_E_CHOICE, hint,
                       "\"op\": \"%.40s\": no such operation; \"oomlab show operation\" lists them",
                       nearest.wanted);
    return NULL;
}

/* One operation; a loop's body is read while its keys are, so its place is taken first. */
static void read_operation(struct ool_reader *reader, const struct ool_cursor *cursor)
{
    const struct ool_variant *variant = find_variant(reader, cursor);
    struct ool_operation op = {.kind = OOL_DO_END};
    size_t at = reader->operations->n;

    if (variant == NULL || !push(reader, &op, cursor->node))
        return;
    if (variant->kind == OOL_DO_LOOP && ++reader->operations->depth > OOL_MAX_LOOPS)
        ool_reader_problem(reader, cursor->node, false, OOL_E_LIMIT, NULL,
                           "loops nest deeper than %d", OOL_MAX_LOOPS);
    ool_reader_object(reader, variant->keys, cursor, &op);
    op.kind = variant->kind;
    op.line = (int)reader->layout->nodes[cursor->node].line;
    reader->operations->ops[at] = op;
    if (variant->kind == OOL_DO_LOOP) {
        struct ool_operation end = {.kind = OOL_DO_END, .line = op.line};
        reader->operations->depth--;
        push(reader, &end, cursor->node);
    }
}

/* --- checking -------------------------------------------------------------------------------------- */

struct checker {
    struct ool_reader *reader;
    const struct ool_operation_list *list;
    struct ool_program names; /* only its texts: equal names have equal numbers */
    uint32_t *name, *other;   /* of each operation */
    uint32_t *holder;         /* of each name: the allocating operation + 1, 0 = not allocated */
    uint32_t *bound;          /* of each operation: the one that allocated its name + 1 */
    bool *known;              /* of each name: it is allocated somewhere */
    bool *recorded;           /* of each name: as an event */
};

static void not_there(struct checker *c, size_t at, uint32_t name)
{
    const char *text = c->names.texts[name];
    struct ool_nearest nearest = {text, NULL, 0};
    char hint[200] = "";

    if (c->known[name]) {
        ool_reader_problem(c->reader, c->list->nodes[at], false, OOL_E_PROGRAM, NULL,
                           "\"%.60s\" is not allocated at this point", text);
        return;
    }
    for (size_t i = 0; i < c->names.n_texts; i++)
        if (c->known[i])
            ool_nearest_offer(&nearest, c->names.texts[i]);
    if (nearest.best != NULL)
        snprintf(hint, sizeof hint, "did you mean \"%.128s\"?", nearest.best);
    ool_reader_problem(c->reader, c->list->nodes[at], false, OOL_E_REFERENCE, hint,
                       "\"%.60s\" is never allocated", text);
}

static void check_use(struct checker *c, size_t at, uint32_t name)
{
    uint32_t holder = c->holder[name];

    if (holder == 0)
        not_there(c, at, name);
    else if (name == c->name[at] && c->bound[at] != 0 && c->bound[at] != holder)
        ool_reader_problem(
            c->reader, c->list->nodes[at], false, OOL_E_UNSUPPORTED, NULL,
            "\"%.60s\" is another allocation in later iterations: give the two names of their own",
            c->names.texts[name]);
    else if (name == c->name[at])
        c->bound[at] = holder;
}

static void check_operation(struct checker *c, size_t at)
{
    const struct ool_operation *op = &c->list->ops[at];
    uint32_t name = c->name[at];

    switch (op->kind) {
    case OOL_DO_ALLOC:
        if (c->holder[name] != 0 && !op->leak)
            ool_reader_problem(c->reader, c->list->nodes[at], false, OOL_E_PROGRAM,
                               "free it first, or say \"leak\": true",
                               "\"%.60s\" is allocated already at this point",
                               c->names.texts[name]);
        c->holder[name] = (uint32_t)at + 1;
        break;
    case OOL_DO_FREE:
        check_use(c, at, name);
        c->holder[name] = 0;
        break;
    case OOL_DO_COPY:
        check_use(c, at, name);
        check_use(c, at, c->other[at]);
        break;
    case OOL_DO_RECORD_STREAM:
        check_use(c, at, name);
        break;
    case OOL_DO_EVENT_RECORD:
        c->recorded[name] = true;
        break;
    case OOL_DO_EVENT_WAIT:
        if (!c->recorded[name])
            ool_reader_problem(c->reader, c->list->nodes[at], false, OOL_E_PROGRAM, NULL,
                               "event \"%.60s\" is not recorded before this point",
                               c->names.texts[name]);
        break;
    default:
        break;
    }
}

/* Runs a loop's body twice: what holds after the second iteration holds after each later one. Returns the index
 * after the loop's end. */
static size_t check_range(struct checker *c, size_t at, bool in_loop)
{
    for (; at < c->list->n; at++) {
        const struct ool_operation *op = &c->list->ops[at];
        if (op->kind == OOL_DO_END && in_loop)
            return at + 1;
        if (op->kind == OOL_DO_LOOP) {
            size_t end = check_range(c, at + 1, true);
            if (op->value > 1)
                end = check_range(c, at + 1, true);
            at = end - 1;
        } else {
            check_operation(c, at);
        }
    }
    return at;
}

static bool number_names(struct checker *c)
{
    const struct ool_operation_list *list = c->list;
    size_t n = 0;

    c->name = ool_calloc(list->n + 1, sizeof *c->name);
    c->other = ool_calloc(list->n + 1, sizeof *c->other);
    c->bound = ool_calloc(list->n + 1, sizeof *c->bound);
    if (c->name == NULL || c->other == NULL || c->bound == NULL)
        return false;
    for (size_t i = 0; i < list->n; i++) {
        const struct ool_operation *op = &list->ops[i];
        if (op->name != NULL && !ool_program_text(&c->names, op->name, &c->name[i]))
            return false;
        if (op->other != NULL && !ool_program_text(&c->names, op->other, &c->other[i]))
            return false;
    }
    n = c->names.n_texts + 1;
    c->holder = ool_calloc(n, sizeof *c->holder);
    c->known = ool_calloc(n, sizeof *c->known);
    c->recorded = ool_calloc(n, sizeof *c->recorded);
    if (c->holder == NULL || c->known == NULL || c->recorded == NULL)
        return false;
    for (size_t i = 0; i < list->n; i++)
        if (list->ops[i].kind == OOL_DO_ALLOC)
            c->known[c->name[i]] = true;
    return true;
}

static void check_names(struct ool_reader *reader, const struct ool_operation_list *list)
{
    struct checker c = {.reader = reader, .list = list};

    ool_program_init(&c.names);
    if (number_names(&c))
        check_range(&c, 0, false);
    else
        ool_reader_memory(reader, NULL);
    ool_program_fini(&c.names);
    ool_free(c.name);
    ool_free(c.other);
    ool_free(c.holder);
    ool_free(c.bound);
    ool_free(c.known);
    ool_free(c.recorded);
}

static void keep_operations(struct ool_reader *reader, const struct ool_key *key,
                            const struct ool_operation_list *list, void *base)
{
    struct ool_operation *copy = ool_arena(reader->memory, list->n + 1, sizeof *copy);

    if (!ool_reader_memory(reader, copy))
        return;
    if (list->n > 0)
        memcpy(copy, list->ops, list->n * sizeof *copy);
    *(const struct ool_operation **)(void *)((char *)base + key->offset) = copy;
    *(size_t *)(void *)((char *)base + key->count) = list->n;
}

void ool_read_operations(struct ool_reader *reader, const struct ool_key *key,
                         const struct ool_cursor *cursor, void *base)
{
    struct ool_operation_list list = {0};
    struct ool_cursor child = {NULL, OOL_NO_NODE};
    struct ool_operation_list *outer = reader->operations;
    size_t before = reader->n_problems;

    if (!ool_reader_array(reader, key, cursor))
        return;
    if (outer == NULL)
        reader->operations = &list;
    while (!reader->short_of_memory && ool_reader_child(reader, cursor, &child))
        read_operation(reader, &child);
    if (outer == NULL) {
        if (reader->n_problems == before)
            check_names(reader, &list);
        keep_operations(reader, key, &list, base);
    }
    reader->operations = outer;
    ool_free(list.ops);
    ool_free(list.nodes);
}

/* --- lowering -------------------------------------------------------------------------------------- */

struct lowering {
    const struct ool_job *job;
    struct ool_program *program;
    struct ool_program names; /* only its texts */
    uint32_t *storage;        /* of each name: what it stands for now */
    size_t capacity;
};

static bool number_of(struct lowering *l, const char *name, uint32_t *number)
{
    size_t before = l->names.n_texts;

    if (!ool_program_text(&l->names, name, number))
        return false;
    if (l->names.n_texts > before) {
        if (!ool_grow(&l->storage, &l->capacity, before, sizeof *l->storage))
            return false;
        l->storage[before] = OOL_NONE;
    }
    return true;
}

static bool lower_alloc(struct lowering *l, const struct ool_operation *o, uint32_t number,
                        struct ool_op *op)
{
    struct ool_storage storage = {.bytes = o->value,
                                  .stream = o->stream,
                                  .process = l->job->process,
                                  .place = (uint8_t)o->place,
                                  .category = (uint8_t)o->category};

    if (!ool_program_text(l->program, o->origin != NULL ? o->origin : o->name, &storage.origin) ||
        !ool_program_storage(l->program, &storage, &op->id))
        return false;
    l->storage[number] = op->id;
    op->value = o->value;
    return true;
}

static bool lower_kernel(struct lowering *l, const struct ool_operation *o, struct ool_op *op)
{
    struct ool_kernel kernel = {.attributes = OOL_NONE};

    return ool_program_text(l->program, o->name, &kernel.name) &&
           ool_program_kernel(l->program, &kernel, NULL, NULL, &op->id);
}

static bool lower_operation(struct lowering *l, const struct ool_operation *o)
{
    static const enum ool_op_kind kinds[] = {
        OOL_OP_ALLOC,       OOL_OP_FREE,        OOL_OP_KERNEL,        OOL_OP_COPY,
        OOL_OP_EMPTY_CACHE, OOL_OP_SYNCHRONIZE, OOL_OP_RECORD_STREAM, OOL_OP_EVENT_RECORD,
        OOL_OP_EVENT_WAIT,  OOL_OP_STREAM_BUSY, OOL_OP_STREAM_IDLE,   OOL_OP_SET_FRACTION,
        OOL_OP_SET_CONF,    OOL_OP_RESET_PEAK,  OOL_OP_MARK,          OOL_OP_LOOP,
        OOL_OP_END};
    struct ool_op op = {.kind = (uint8_t)kinds[o->kind],
                        .process = l->job->process,
                        .stream = o->stream,
                        .id = OOL_NONE,
                        .line = (uint32_t)o->line,
                        .value = o->value};
    uint32_t name = OOL_NONE, other;

    if (o->name != NULL && !number_of(l, o->name, &name))
        return false;
    switch (o->kind) {
    case OOL_DO_ALLOC:
        if (!lower_alloc(l, o, name, &op))
            return false;
        break;
    case OOL_DO_FREE:
    case OOL_DO_RECORD_STREAM:
        op.id = l->storage[name];
        break;
    case OOL_DO_COPY:
        if (!number_of(l, o->other, &other))
            return false;
        op.id = l->storage[name];
        op.value = l->storage[other];
        break;
    case OOL_DO_KERNEL:
        if (!lower_kernel(l, o, &op))
            return false;
        break;
    case OOL_DO_EVENT_RECORD:
    case OOL_DO_EVENT_WAIT:
        op.id = name;
        break;
    case OOL_DO_SET_FRACTION:
        memcpy(&op.value, &o->fraction, sizeof op.value);
        break;
    case OOL_DO_SET_CONF:
    case OOL_DO_MARK:
        if (!ool_program_text(l->program, o->name, &op.id))
            return false;
        op.value = OOL_MARK_PHASE;
        break;
    default:
        break;
    }
    return ool_program_op(l->program, &op);
}

enum ool_status ool_operations_lower(const struct ool_job *job, struct ool_program *program,
                                     struct ool_error *err)
{
    struct lowering l = {.job = job, .program = program};
    bool ok = true;

    ool_program_init(&l.names);
    for (size_t i = 0; ok && i < job->n_operations; i++)
        ok = lower_operation(&l, &job->operations[i]);
    ool_program_fini(&l.names);
    ool_free(l.storage);
    return ok ? OOL_OK
              : ool_error_set(err, OOL_E_HOST_OOM, "no memory for a program of %zu operations",
                              job->n_operations);
}
