/*
 * ool_build.h - programs and cases written by hand, for tests.
 */
#ifndef OOL_BUILD_H
#define OOL_BUILD_H

#include "ool_program.h"
#include "ool_scenario.h"

#include <string.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* A failed step leaves it failed; look once at the end. */
struct build {
    struct ool_program program;
    bool failed;
};

static inline void build_init(struct build *b)
{
    ool_program_init(&b->program);
    b->failed = false;
}

static inline uint32_t build_text(struct build *b, const char *text)
{
    uint32_t id = 0;

    if (!ool_program_text(&b->program, text, &id))
        b->failed = true;
    return id;
}

static inline void build_op(struct build *b, enum ool_op_kind kind, uint16_t process, uint32_t id,
                            uint64_t value)
{
    struct ool_op op = {.kind = (uint8_t)kind, .process = process, .id = id, .value = value};

    if (!ool_program_op(&b->program, &op))
        b->failed = true;
}

static inline uint32_t build_storage(struct build *b, uint64_t bytes, enum ool_category category,
                                     const char *origin)
{
    struct ool_storage storage = {
        .bytes = bytes, .origin = build_text(b, origin), .category = (uint8_t)category};
    uint32_t id = 0;

    if (!ool_program_storage(&b->program, &storage, &id))
        b->failed = true;
    return id;
}

static inline void build_alloc(struct build *b, uint32_t storage)
{
    if (!b->failed)
        build_op(b, OOL_OP_ALLOC, b->program.storages[storage].process, storage,
                 b->program.storages[storage].bytes);
}

static inline void build_free(struct build *b, uint32_t storage)
{
    if (!b->failed)
        build_op(b, OOL_OP_FREE, b->program.storages[storage].process, storage, 0);
}

static inline uint32_t build_tensor(struct build *b, uint64_t bytes, enum ool_category category,
                                    const char *origin)
{
    uint32_t id = build_storage(b, bytes, category, origin);

    build_alloc(b, id);
    return id;
}

static inline void build_mark(struct build *b, const char *phase)
{
    build_op(b, OOL_OP_MARK, 0, build_text(b, phase), OOL_MARK_PHASE);
}

static inline void build_loop(struct build *b, uint64_t times)
{
    build_op(b, OOL_OP_LOOP, 0, OOL_NONE, times);
}

static inline void build_end(struct build *b)
{
    build_op(b, OOL_OP_END, 0, OOL_NONE, 0);
}

/* A case on a card of @total bytes without a context. */
static inline struct ool_case build_case(uint64_t total, const char *conf)
{
    struct ool_case c;

    memset(&c, 0, sizeof c);
    c.card.total_bytes = total;
    c.allocator = (struct ool_allocator_choice){"torch", "2.11", conf, 1};
    return c;
}

#endif
