/*
 * ool_program.h - the narrow waist: what a workload does to memory, as a linear list of operations.
 *
 * Everything before it makes a program (models on the tape, explicit operations, imported traces);
 * everything after it reads one (plan, run, kernels). A program is append-only; storages, tensors,
 * kernels and texts are numbered from 0 in the order in which they were added.
 */
#ifndef OOL_PROGRAM_H
#define OOL_PROGRAM_H

#include "ool_error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OOL_NONE UINT32_MAX /* no storage, tensor, text or kernel */
#define OOL_MAX_DIMS 8

#define OOL_DTYPE_MAP(XX) \
    XX(F32, "f32", 4)     \
    XX(F16, "f16", 2)     \
    XX(BF16, "bf16", 2)   \
    XX(F64, "f64", 8)     \
    XX(I64, "i64", 8)     \
    XX(I32, "i32", 4)     \
    XX(I16, "i16", 2)     \
    XX(I8, "i8", 1)       \
    XX(U8, "u8", 1)       \
    XX(U64, "u64", 8)     \
    XX(BOOL, "bool", 1)
enum ool_dtype {
#define XX(name, text, bytes) OOL_##name,
    OOL_DTYPE_MAP(XX)
#undef XX
        OOL_N_DTYPES
};
const char *ool_dtype_name(enum ool_dtype dtype);
uint32_t ool_dtype_bytes(enum ool_dtype dtype);
bool ool_dtype_parse(const char *name, enum ool_dtype *dtype);
bool ool_dtype_is_float(enum ool_dtype dtype);

/* What a storage is for; the words of reports and of "what is alive at the peak". */
#define OOL_CATEGORY_MAP(XX)     \
    XX(PARAMETER, "parameter")   \
    XX(BUFFER, "buffer")         \
    XX(GRADIENT, "gradient")     \
    XX(OPTIMIZER, "optimizer")   \
    XX(ACTIVATION, "activation") \
    XX(WORKSPACE, "workspace")   \
    XX(INPUT, "input")           \
    XX(KV_CACHE, "kv-cache")     \
    XX(LEAK, "leak")             \
    XX(OTHER, "other")
enum ool_category {
#define XX(name, text) OOL_CATEGORY_##name,
    OOL_CATEGORY_MAP(XX)
#undef XX
        OOL_N_CATEGORIES
};
const char *ool_category_name(enum ool_category category);
bool ool_category_parse(const char *name, enum ool_category *category);

enum ool_place { OOL_PLACE_DEVICE, OOL_PLACE_HOST, OOL_PLACE_PINNED };

struct ool_storage {
    uint64_t bytes;  /* as requested, before any rounding */
    uint32_t origin; /* text: the path of the module that made it, "layers.12/attn/scores" */
    uint32_t stream; /* the stream that it was allocated on */
    uint16_t process;
    uint8_t device;   /* index of the card; meaningless for host places */
    uint8_t place;    /* enum ool_place */
    uint8_t category; /* enum ool_category */
    uint8_t reserved[3];
};

struct ool_view {
    uint32_t storage;
    uint8_t dtype; /* enum ool_dtype */
    uint8_t n_dims;
    uint8_t reserved[2];
    int64_t offset;                /* elements from the start of the storage */
    int64_t shape[OOL_MAX_DIMS];   /* elements */
    int64_t strides[OOL_MAX_DIMS]; /* elements */
};

/* One kernel call: tensors (views) read and written, and its attributes as "key=value" words. */
struct ool_kernel {
    uint32_t name;       /* text, "linear", "softmax_backward" */
    uint32_t attributes; /* text, "p=0.1 causal=1"; OOL_NONE = none */
    uint32_t operands; /* index into ool_program.operands: n_inputs then n_outputs tensor numbers */
    uint16_t n_inputs, n_outputs;
    uint64_t seed; /* of a random kernel; 0 otherwise */
};

#define OOL_OP_MAP(XX)                                                                            \
    XX(ALLOC, "alloc")                 /* id: storage; value: bytes (those of the storage) */     \
    XX(FREE, "free")                   /* id: storage */                                          \
    XX(KERNEL, "kernel")               /* id: kernel */                                           \
    XX(COPY, "copy")                   /* id: source storage; value: target storage */            \
    XX(EMPTY_CACHE, "empty_cache")     /* give cached memory back to the device */                \
    XX(SYNCHRONIZE, "synchronize")     /* all streams of the device done */                       \
    XX(RECORD_STREAM, "record_stream") /* id: storage; value: the other stream that uses it */    \
    XX(EVENT_RECORD, "event_record")   /* id: event number; on op.stream */                       \
    XX(EVENT_WAIT, "event_wait")       /* id: event number; op.stream waits */                    \
    XX(STREAM_BUSY, "stream_busy")     /* op.stream becomes busy: later events stay incomplete */ \
    XX(STREAM_STEP, "stream_step")     /* value: so many oldest events of op.stream complete */   \
    XX(STREAM_IDLE, "stream_idle")     /* op.stream has done all its work */                      \
    XX(SET_FRACTION, "set_fraction")   /* value: the bits of a double, memory fraction 0..1 */    \
    XX(SET_CONF, "set_conf")           /* id: text, allocator settings given at run time */       \
    XX(RESET_PEAK, "reset_peak")                                                                  \
    XX(MARK, "mark") /* id: text; value: enum ool_mark */                                         \
    XX(LOOP, "loop") /* value: iterations of what follows up to the matching END */               \
    XX(END, "end")
enum ool_op_kind {
#define XX(name, text) OOL_OP_##name,
    OOL_OP_MAP(XX)
#undef XX
        OOL_N_OPS
};
const char *ool_op_name(enum ool_op_kind kind);

/* A phase ends where its mark stands ("s1.forward"); a module's mark says where the next ops belong. */
enum ool_mark { OOL_MARK_PHASE, OOL_MARK_STEP, OOL_MARK_MODULE };

struct ool_op {
    uint8_t kind; /* enum ool_op_kind */
    uint8_t device;
    uint16_t process;
    uint32_t stream;
    uint32_t id;
    uint32_t line; /* of a trace or scenario, 0 = none */
    uint64_t value;
};

/*
 * A storage may be allocated more than once (in a loop): an alloc of a storage that is alive leaves
 * the earlier instance unreachable, which is what a leak is. Freeing what is not alive is an
 * E_PROGRAM error at validation.
 */
struct ool_program {
    struct ool_op *ops;
    size_t n_ops, ops_capacity;
    struct ool_storage *storages;
    size_t n_storages, storages_capacity;
    struct ool_view *views;
    size_t n_views, views_capacity;
    struct ool_kernel *kernels;
    size_t n_kernels, kernels_capacity;
    uint32_t *operands;
    size_t n_operands, operands_capacity;
    char **texts; /* interned: equal texts have equal numbers */
    size_t n_texts, texts_capacity;
    uint32_t *text_slots; /* hash table of text numbers */
    size_t n_text_slots;
    uint16_t n_processes; /* highest process + 1 */
    uint8_t n_devices;    /* highest device + 1 */
};

void ool_program_init(struct ool_program *program);
void ool_program_fini(struct ool_program *program);

/* Each appends and, for the numbered things, gives the number; false = host memory is short. */
bool ool_program_text(struct ool_program *program, const char *text, uint32_t *id);
bool ool_program_storage(struct ool_program *program, const struct ool_storage *storage,
                         uint32_t *id);
bool ool_program_view(struct ool_program *program, const struct ool_view *view, uint32_t *id);
bool ool_program_kernel(struct ool_program *program, const struct ool_kernel *kernel,
                        const uint32_t *inputs, const uint32_t *outputs, uint32_t *id);
bool ool_program_op(struct ool_program *program, const struct ool_op *op);
const char *ool_program_text_of(const struct ool_program *program,
                                uint32_t id); /* "" for OOL_NONE */

/**
 * ool_program_validate - every reference exists, frees match allocs, loops are closed
 *
 * Errors: OOL_E_PROGRAM naming the operation's number and line.
 */
enum ool_status ool_program_validate(const struct ool_program *program, struct ool_error *err);

#endif
