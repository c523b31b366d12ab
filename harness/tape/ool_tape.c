#include "ool_tape_internal.h"

#include "ool_mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- pools: items are recycled, slabs are given back when the tape closes -------------------------- */

#define SLAB_ITEMS 256

/* The chain pointer of an item in its pool. */
static void **chain(void *item, size_t link)
{
    return (void **)(void *)((char *)item + link);
}

/* A zeroed item; @link is the offset of its `next`. NULL fails the tape. */
static void *pool_take(struct ool_tape *t, struct ool_pool *pool, size_t size, size_t link)
{
    void *item;

    if (pool->free == NULL) {
        struct ool_slab *slab = ool_malloc(sizeof *slab + SLAB_ITEMS * size);

        if (slab == NULL)
            return ool_fail(t, OOL_E_HOST_OOM, "no memory for the tape");
        slab->next = pool->slabs;
        pool->slabs = slab;
        for (size_t i = SLAB_ITEMS; i-- > 0;) {
            item = (char *)(slab + 1) + i * size;
            memset(item, 0, size); /* a slab is walked at close */
            *chain(item, link) = pool->free;
            pool->free = item;
        }
    }
    item = pool->free;
    pool->free = *chain(item, link);
    memset(item, 0, size);
    return item;
}

static void pool_give(struct ool_pool *pool, void *item, size_t link)
{
    *chain(item, link) = pool->free;
    pool->free = item;
}

struct ool_tensor *ool_tensor_take(struct ool_tape *t)
{
    return pool_take(t, &t->tensors, sizeof(struct ool_tensor), offsetof(struct ool_tensor, next));
}

void ool_tensor_give(struct ool_tape *t, struct ool_tensor *x)
{
    pool_give(&t->tensors, x, offsetof(struct ool_tensor, next));
}

struct ool_memory *ool_memory_take(struct ool_tape *t)
{
    return pool_take(t, &t->memories, sizeof(struct ool_memory), offsetof(struct ool_memory, next));
}

void ool_memory_give(struct ool_tape *t, struct ool_memory *memory)
{
    pool_give(&t->memories, memory, offsetof(struct ool_memory, next));
}

struct ool_node *ool_node_take(struct ool_tape *t)
{
    return pool_take(t, &t->nodes, sizeof(struct ool_node), offsetof(struct ool_node, next));
}

void ool_node_give(struct ool_tape *t, struct ool_node *node)
{
    ool_node_free_arrays(node);
    node->class = NULL;
    pool_give(&t->nodes, node, offsetof(struct ool_node, next));
}

static void pool_close(struct ool_pool *pool)
{
    while (pool->slabs != NULL) {
        struct ool_slab *slab = pool->slabs;

        pool->slabs = slab->next;
        ool_free(slab);
    }
}

/* --- open and close --------------------------------------------------------------------------------- */

static uint64_t default_cublas_bytes(int capability)
{
    return capability == 90 ? UINT64_C(33554432) : UINT64_C(8519680);
}

/* Pairs ":KiB:count", as CUBLAS_WORKSPACE_CONFIG has them; false if it is none. */
static bool parse_cublas(const char *text, uint64_t *bytes)
{
    uint64_t total = 0;

    if (*text == '\0')
        return false;
    while (*text != '\0') {
        char *end;
        unsigned long kib, count;

        if (*text != ':' || text[1] < '0' || text[1] > '9')
            return false;
        kib = strtoul(text + 1, &end, 10);
        if (*end != ':' || end[1] < '0' || end[1] > '9')
            return false;
        count = strtoul(end + 1, &end, 10);
        if (kib > (UINT64_C(1) << 30) || count > (UINT64_C(1) << 20))
            return false;
        total += (uint64_t)kib * 1024 * count;
        text = end;
    }
    *bytes = total;
    return true;
}

static enum ool_status configure_workspaces(struct ool_tape *t,
                                            const struct ool_tape_config *config,
                                            struct ool_error *err)
{
    bool unified = t->facts->cublaslt == OOL_WORKSPACE_SHARED;

    t->cublas_bytes = default_cublas_bytes(t->capability);
    if (config->cublas_workspace != NULL)
        (void)parse_cublas(config->cublas_workspace,
                           &t->cublas_bytes); /* a bad one is ignored, with a warning */
    t->cublaslt_bytes = UINT64_C(1048576);
    if (config->cublaslt_workspace != NULL) {
        char *end;
        unsigned long kib = strtoul(config->cublaslt_workspace, &end, 10);

        if (end == config->cublaslt_workspace || *end != '\0' || kib > (UINT64_C(1) << 40))
            return ool_error_set(err, OOL_E_RANGE,
                                 "CUBLASLT_WORKSPACE_SIZE is \"%s\": expected KiB",
                                 config->cublaslt_workspace);
        if (kib == 0 && t->facts->cublaslt_zero_fails)
            return ool_error_set(err, OOL_E_UNSUPPORTED,
                                 "CUBLASLT_WORKSPACE_SIZE=0 is a run-time error in this release");
        t->cublaslt_bytes = (uint64_t)kib * 1024;
    }
    if (config->cublaslt_unified != NULL && t->facts->cublaslt != OOL_WORKSPACE_CALL)
        unified = strcmp(config->cublaslt_unified, "1") == 0;
    t->cublaslt_unified = unified;
    if (t->facts->cublaslt_limited && t->cublaslt_bytes > t->cublas_bytes)
        t->cublaslt_bytes = t->cublas_bytes;
    return OOL_OK;
}

struct ool_tape *ool_tape_open(const struct ool_tape_config *config, struct ool_program *program,
                               struct ool_error *err)
{
    const struct ool_torch_facts *facts =
        ool_torch_facts_of(config->torch != 0 ? config->torch : OOL_TORCH_2_11);
    struct ool_tape *t;

    if (facts == NULL) {
        ool_error_set(err, OOL_E_UNSUPPORTED, "PyTorch %d.%d is not known", config->torch / 100,
                      config->torch % 100);
        return NULL;
    }
    t = ool_calloc(1, sizeof *t);
    if (t == NULL) {
        ool_error_set(err, OOL_E_HOST_OOM, "no memory for a tape");
        return NULL;
    }
    t->program = program;
    t->facts = facts;
    t->capability = config->capability != 0 ? config->capability : 80;
    t->multiprocessors = config->multiprocessors > 0 ? config->multiprocessors : 108;
    t->threads_per_multiprocessor =
        config->threads_per_multiprocessor > 0 ? config->threads_per_multiprocessor : 2048;
    t->convolution_workspace = config->convolution_workspace;
    t->process = config->process;
    t->device = config->device;
    t->kernels = config->kernels;
    t->category = OOL_CATEGORY_ACTIVATION;
    t->path_text = OOL_NONE;
    t->cudnn = true;
    if (configure_workspaces(t, config, err) != OOL_OK) {
        ool_free(t);
        return NULL;
    }
    return t;
}

void ool_tape_end(struct ool_tape *t)
{
    t->failed = true; /* what is left dies without a word */
    t->stopped = false;
}

void ool_tape_close(struct ool_tape *t)
{
    if (t == NULL)
        return;
    ool_tape_end(t);
    ool_checkpoint_close(t);
    for (struct ool_slab *slab = t->nodes.slabs; slab != NULL; slab = slab->next) {
        struct ool_node *nodes = (struct ool_node *)(void *)(slab + 1);

        for (size_t i = 0; i < SLAB_ITEMS; i++) {
            nodes[i].refs = 0;
            if (nodes[i].class != NULL && nodes[i].class->release != NULL)
                nodes[i].class->release(t, &nodes[i]);
            ool_node_free_arrays(&nodes[i]);
        }
    }
    pool_close(&t->tensors);
    pool_close(&t->memories);
    pool_close(&t->nodes);
    for (size_t i = 0; i < t->n_entries; i++)
        ool_free(t->entries[i].many);
    ool_free(t->entries);
    ool_free(t->casts);
    ool_free(t->temporaries);
    ool_free(t->workspaces);
    ool_free(t);
}

enum ool_status ool_tape_status(const struct ool_tape *t, struct ool_error *err)
{
    if (t->failed && err != NULL && err->status == OOL_OK)
        *err = t->error;
    return t->failed ? t->error.status : OOL_OK;
}

struct ool_tensor *ool_fail(struct ool_tape *t, enum ool_status status, const char *format, ...)
{
    char text[sizeof t->error.text];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!t->failed || (t->stopped && status == OOL_E_HOST_OOM)) {
        ool_error_set(&t->error, status, "%s", text);
        t->stopped = false;
    }
    t->failed = true;
    return NULL;
}

/* --- what is emitted --------------------------------------------------------------------------------- */

void ool_emit(struct ool_tape *t, enum ool_op_kind kind, uint32_t stream, uint32_t id,
              uint64_t value)
{
    struct ool_op op = {.kind = (uint8_t)kind,
                        .device = t->device,
                        .process = t->process,
                        .stream = stream,
                        .id = id,
                        .value = value};

    if ((!t->failed || t->stopped) && !ool_program_op(t->program, &op))
        ool_fail(t, OOL_E_HOST_OOM, "no memory for the program");
}

uint32_t ool_origin(struct ool_tape *t)
{
    if (t->path_text == OOL_NONE && !t->failed &&
        !ool_program_text(t->program, t->path, &t->path_text))
        ool_fail(t, OOL_E_HOST_OOM, "no memory for the program");
    return t->path_text;
}

uint32_t ool_storage_new(struct ool_tape *t, uint64_t bytes, enum ool_category category)
{
    struct ool_storage storage = {.bytes = bytes,
                                  .origin = ool_origin(t),
                                  .stream = t->stream,
                                  .process = t->process,
                                  .device = t->device,
                                  .place = OOL_PLACE_DEVICE,
                                  .category = (uint8_t)category};
    uint32_t id = OOL_NONE;

    if (t->failed)
        return OOL_NONE;
    if (!ool_program_storage(t->program, &storage, &id)) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for the program");
        return OOL_NONE;
    }
    ool_emit(t, OOL_OP_ALLOC, t->stream, id, bytes);
    return id;
}

void ool_storage_free(struct ool_tape *t, uint32_t id)
{
    if (id != OOL_NONE)
        ool_emit(t, OOL_OP_FREE, t->program->storages[id].stream, id, 0);
}

uint32_t ool_scratch(struct ool_tape *t, uint64_t bytes)
{
    return bytes == 0 ? OOL_NONE : ool_storage_new(t, bytes, OOL_CATEGORY_WORKSPACE);
}

void ool_scratch_free(struct ool_tape *t, uint32_t storage)
{
    ool_storage_free(t, storage);
}

/* --- where we are ------------------------------------------------------------------------------------ */

static void path_changed(struct ool_tape *t, size_t length)
{
    t->path_length = length;
    t->path[length] = '\0';
    t->path_text = OOL_NONE;
}

void ool_push(struct ool_tape *t, const char *format, ...)
{
    size_t length = t->path_length;
    size_t room = sizeof t->path - length;
    va_list args;
    int n;

    if (t->n_path_marks == sizeof t->path_marks / sizeof *t->path_marks || room < 2) {
        ool_fail(t, OOL_E_LIMIT, "the module path \"%.100s\" is too deep", t->path);
        return;
    }
    t->path_marks[t->n_path_marks++] = length;
    if (length > 0) {
        t->path[length++] = '/';
        room--;
    }
    va_start(args, format);
    n = vsnprintf(t->path + length, room, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room)
        ool_fail(t, OOL_E_LIMIT, "the module path \"%.100s\" is too long", t->path);
    else
        path_changed(t, length + (size_t)n);
}

void ool_pop(struct ool_tape *t)
{
    if (t->n_path_marks > 0)
        path_changed(t, t->path_marks[--t->n_path_marks]);
}

void ool_path_set(struct ool_tape *t, uint32_t text)
{
    const char *path = ool_program_text_of(t->program, text);
    size_t length = strlen(path);

    if (text == t->path_text || length >= sizeof t->path)
        return;
    memcpy(t->path, path, length + 1);
    t->path_length = length;
    t->path_text = text;
}

void ool_phase(struct ool_tape *t, const char *format, ...)
{
    char text[256];
    uint32_t id;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (t->failed)
        return;
    if (!ool_program_text(t->program, text, &id))
        ool_fail(t, OOL_E_HOST_OOM, "no memory for the program");
    else
        ool_emit(t, OOL_OP_MARK, t->stream, id, OOL_MARK_PHASE);
}

enum ool_category ool_categorize(struct ool_tape *t, enum ool_category category)
{
    enum ool_category old = t->category;

    t->category = category;
    return old;
}

uint32_t ool_stream(struct ool_tape *t, uint32_t stream)
{
    uint32_t old = t->stream;

    t->stream = stream;
    return old;
}

void ool_tape_empty_cache(struct ool_tape *t)
{
    ool_emit(t, OOL_OP_EMPTY_CACHE, t->stream, 0, 0);
}

enum ool_grad_mode ool_set_grad_mode(struct ool_tape *t, enum ool_grad_mode mode)
{
    enum ool_grad_mode old = t->grad_mode;

    t->grad_mode = mode;
    return old;
}

enum ool_grad_mode ool_grad_mode(const struct ool_tape *t)
{
    return t->grad_mode;
}

enum ool_sdpa_backend ool_set_sdpa(struct ool_tape *t, enum ool_sdpa_backend backend)
{
    enum ool_sdpa_backend old = t->sdpa;

    t->sdpa = backend;
    return old;
}

void ool_save_on_cpu(struct ool_tape *t, bool on)
{
    t->save_on_cpu = on;
}

void ool_set_cudnn(struct ool_tape *t, bool on)
{
    t->cudnn = on;
}

/* --- workspaces of the GEMM libraries ----------------------------------------------------------------- */

static struct ool_workspace *workspace_find(struct ool_tape *t, bool lt)
{
    for (size_t i = 0; i < t->n_workspaces; i++) {
        struct ool_workspace *w = &t->workspaces[i];

        if (w->stream == t->stream && w->thread == t->thread && w->lt == lt)
            return w;
    }
    return NULL;
}

static void workspace_make(struct ool_tape *t, bool lt, uint64_t bytes)
{
    struct ool_workspace *w;

    if (t->failed || workspace_find(t, lt) != NULL)
        return;
    if (!ool_grow(&t->workspaces, &t->workspaces_capacity, t->n_workspaces, sizeof *w)) {
        ool_fail(t, OOL_E_HOST_OOM, "no memory for the tape");
        return;
    }
    w = &t->workspaces[t->n_workspaces++];
    *w = (struct ool_workspace){.stream = t->stream, .thread = t->thread, .lt = lt};
    w->storage = ool_scratch(t, bytes);
}

static void workspace_end(struct ool_tape *t, bool lt)
{
    struct ool_workspace *w = workspace_find(t, lt);

    if (w == NULL)
        return;
    ool_scratch_free(t, w->storage);
    *w = t->workspaces[--t->n_workspaces];
}

void ool_cublas(struct ool_tape *t)
{
    workspace_make(t, false, t->cublas_bytes);
}

void ool_cublas_end(struct ool_tape *t)
{
    if (t->facts->cublas == OOL_WORKSPACE_CALL)
        workspace_end(t, false);
}

/* Which of the two is made first, and whether the plain one is made at all, differs by release. */
void ool_cublaslt(struct ool_tape *t)
{
    if (t->facts->cublaslt == OOL_WORKSPACE_CALL) {
        workspace_make(t, true, t->cublaslt_bytes);
        if (t->facts->cublas == OOL_WORKSPACE_KEPT)
            ool_cublas(t);
        return;
    }
    ool_cublas(t);
    if (!t->cublaslt_unified)
        workspace_make(t, true, t->cublaslt_bytes);
}

void ool_cublaslt_end(struct ool_tape *t)
{
    if (t->facts->cublaslt == OOL_WORKSPACE_CALL)
        workspace_end(t, true);
}

void ool_clear_workspaces(struct ool_tape *t)
{
    /* PyTorch's hash tables, first cuBLAS's, then cublasLt's, give back what came last first */
    for (int lt = 0; lt < 2; lt++)
        for (size_t i = t->n_workspaces; i-- > 0;)
            if (t->workspaces[i].lt == (lt == 1))
                ool_scratch_free(t, t->workspaces[i].storage);
    t->n_workspaces = 0;
}

/* --- kernels for replay ------------------------------------------------------------------------------ */

static bool view_number(struct ool_tape *t, struct ool_tensor *x, uint32_t *number)
{
    struct ool_view view = {.dtype = x->dtype, .n_dims = x->n_dims, .offset = x->offset};

    if (x->view == OOL_NONE) {
        view.storage = x->memory->id;
        memcpy(view.shape, x->shape, sizeof view.shape);
        memcpy(view.strides, x->strides, sizeof view.strides);
        if (!ool_program_view(t->program, &view, &x->view))
            return false;
    }
    *number = x->view;
    return true;
}

#define MOST_OPERANDS 64

/* A copy between the host and the card goes over the bus. */
static void count_moved(struct ool_tape *t, const struct ool_tensor *from,
                        const struct ool_tensor *to)
{
    if (from != NULL && to != NULL &&
        (from->place == OOL_PLACE_DEVICE) != (to->place == OOL_PLACE_DEVICE))
        t->moved_bytes += (uint64_t)ool_numel(to) * ool_dtype_bytes((enum ool_dtype)to->dtype);
}

uint64_t ool_tape_moved(const struct ool_tape *t)
{
    return t->moved_bytes;
}

void ool_kernel_call(struct ool_tape *t, const char *name, const char *attributes, int n_inputs,
                     struct ool_tensor *const *inputs, int n_outputs,
                     struct ool_tensor *const *outputs)
{
    struct ool_kernel kernel = {.attributes = OOL_NONE};
    uint32_t in[MOST_OPERANDS], out[MOST_OPERANDS], id;
    bool ok = true;

    if (n_inputs == 1 && n_outputs == 1)
        count_moved(t, inputs[0], outputs[0]);
    if (!t->kernels || t->failed)
        return;
    if (n_inputs > MOST_OPERANDS || n_outputs > MOST_OPERANDS) {
        ool_fail(t, OOL_E_UNSUPPORTED, "kernel %s has more than %d operands", name, MOST_OPERANDS);
        return;
    }
    for (int i = 0; ok && i < n_inputs; i++) {
        if (inputs[i] != NULL && inputs[i]->memory != NULL)
            ok = view_number(t, inputs[i], &in[kernel.n_inputs++]);
    }
    for (int i = 0; ok && i < n_outputs; i++) {
        if (outputs[i] != NULL && outputs[i]->memory != NULL)
            ok = view_number(t, outputs[i], &out[kernel.n_outputs++]);
    }
    ok = ok && ool_program_text(t->program, name, &kernel.name) &&
         (attributes == NULL || ool_program_text(t->program, attributes, &kernel.attributes)) &&
         ool_program_kernel(t->program, &kernel, in, out, &id);
    if (!ok)
        ool_fail(t, OOL_E_HOST_OOM, "no memory for the program");
    else
        ool_emit(t, OOL_OP_KERNEL, t->stream, id, 0);
}
