#include "ool_module.h"

#include "ool_mem.h"

#include <stdalign.h>
#include <string.h>

#define CHUNK_BYTES 16384
#define MAX_INPUTS 8

struct ool_net_chunk {
    struct ool_net_chunk *next;
    size_t used, size;
    alignas(max_align_t) unsigned char data[];
};

void *ool_net_alloc(struct ool_net *net, size_t count, size_t size)
{
    struct ool_net_chunk *chunk = net->memory;
    size_t bytes;

    if (size > 0 && count > (SIZE_MAX / 2) / size)
        return ool_fail(net->tape, OOL_E_HOST_OOM, "%zu times %zu bytes of a model", count, size);
    bytes = (count * size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    if (!chunk || chunk->size - chunk->used < bytes) {
        size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;

        chunk = ool_calloc(1, sizeof(*chunk) + room);
        if (!chunk)
            return ool_fail(net->tape, OOL_E_HOST_OOM, "no memory for a model's modules");
        chunk->size = room;
        chunk->next = net->memory;
        net->memory = chunk;
    }
    chunk->used += bytes;
    return chunk->data + chunk->used - bytes;
}

void ool_net_fini(struct ool_net *net)
{
    while (net->memory) {
        struct ool_net_chunk *chunk = net->memory;

        net->memory = chunk->next;
        ool_free(chunk);
    }
}

/* --- building --------------------------------------------------------------------------------- */

struct ool_module *ool_module_add(struct ool_net *net, struct ool_module *parent, const char *name,
                                  int64_t index)
{
    struct ool_module *module = ool_net_alloc(net, 1, sizeof(*module));

    if (!module)
        return NULL;
    module->net = net;
    module->name = name;
    module->index = index;
    module->parent = parent;
    if (!parent)
        return module;
    if (parent->last_child)
        parent->last_child->next = module;
    else
        parent->first_child = module;
    parent->last_child = module;
    return module;
}

static void push_path(struct ool_tape *t, const struct ool_module *module)
{
    if (!module->name) /* the model itself */
        return;
    if (module->index >= 0)
        ool_push(t, "%s.%lld", module->name, (long long)module->index);
    else
        ool_push(t, "%s", module->name);
}

static int push_whole_path(struct ool_tape *t, const struct ool_module *module)
{
    int depth = 0;

    if (!module || !module->name)
        return 0;
    depth = push_whole_path(t, module->parent);
    push_path(t, module);
    return depth + 1;
}

/* The tensor of a parameter, where the model is built. */
static void param_allocate(struct ool_net *net, struct ool_module *module, struct ool_param *param)
{
    struct ool_tape *t = net->tape;
    int depth = push_whole_path(t, module);

    if (net->workload->cpu_offload) {
        enum ool_category old =
            ool_categorize(t, param->buffer ? OOL_CATEGORY_BUFFER : OOL_CATEGORY_PARAMETER);

        ool_set(t, &param->tensor, ool_empty_on_host(t, param->dtype, param->n_dims, param->shape));
        ool_categorize(t, old);
        if (param->tensor && !param->buffer)
            ool_require_grad(param->tensor, true);
    } else if (param->buffer) {
        param->tensor = ool_buffer(t, param->name, param->dtype, param->n_dims, param->shape);
    } else {
        param->tensor = ool_parameter(t, param->name, param->dtype, param->n_dims, param->shape);
    }
    while (depth-- > 0)
        ool_pop(t);
}

static struct ool_param *param_add(struct ool_net *net, struct ool_module *module, const char *name,
                                   enum ool_dtype dtype, bool buffer, int n_dims,
                                   const int64_t *shape)
{
    struct ool_param *param = module ? ool_net_alloc(net, 1, sizeof(*param)) : NULL;

    if (!param)
        return NULL;
    if (module->n_params == OOL_MODULE_PARAMS || n_dims > 4) {
        ool_fail(net->tape, OOL_E_INTERNAL, "%s: too many parameters or dimensions", name);
        return NULL;
    }
    param->name = name;
    param->dtype = dtype;
    param->buffer = buffer;
    param->n_dims = n_dims;
    memcpy(param->shape, shape, (size_t)n_dims * sizeof(*shape));
    module->params[module->n_params++] = param;
    if (!net->deferred)
        param_allocate(net, module, param);
    return param;
}

struct ool_param *ool_param_add(struct ool_net *net, struct ool_module *module, const char *name,
                                int n_dims, const int64_t *shape)
{
    return param_add(net, module, name, net->dtype, false, n_dims, shape);
}

struct ool_param *ool_buffer_add(struct ool_net *net, struct ool_module *module, const char *name,
                                 enum ool_dtype dtype, int n_dims, const int64_t *shape)
{
    return param_add(net, module, name, dtype, true, n_dims, shape);
}

struct ool_module *ool_linear_add(struct ool_net *net, struct ool_module *parent, const char *name,
                                  int64_t in, int64_t out, bool bias)
{
    struct ool_module *module = ool_module_add(net, parent, name, -1);

    if (!module)
        return NULL;
    module->kind = OOL_MODULE_LINEAR;
    module->in = in;
    module->out = out;
    ool_param_add(net, module, "weight", OOL_SHAPE(out, in));
    if (bias)
        ool_param_add(net, module, "bias", OOL_SHAPE(out));
    return module;
}

struct ool_module *ool_layer_norm_add(struct ool_net *net, struct ool_module *parent,
                                      const char *name, int64_t size)
{
    struct ool_module *module = ool_module_add(net, parent, name, -1);

    if (!module)
        return NULL;
    module->kind = OOL_MODULE_LAYER_NORM;
    ool_param_add(net, module, "weight", OOL_SHAPE(size));
    ool_param_add(net, module, "bias", OOL_SHAPE(size));
    return module;
}

struct ool_module *ool_embedding_add(struct ool_net *net, struct ool_module *parent,
                                     const char *name, int64_t rows, int64_t size)
{
    struct ool_module *module = ool_module_add(net, parent, name, -1);

    if (!module)
        return NULL;
    module->kind = OOL_MODULE_EMBEDDING;
    module->role = OOL_ROLE_EMBEDDING;
    ool_param_add(net, module, "weight", OOL_SHAPE(rows, size));
    return module;
}

void ool_module_tie(struct ool_net *net, struct ool_module *module, struct ool_module *other)
{
    if (!module || !other || module->n_params == 0 || other->n_params == 0)
        return;
    ool_del(net->tape, &module->params[0]->tensor);
    module->params[0] = other->params[0];
}

void ool_net_materialize(struct ool_net *net, struct ool_module *module)
{
    if (!module)
        return;
    net->deferred = false;
    for (struct ool_module *child = module->first_child; child; child = child->next)
        ool_net_materialize(net, child);
    for (int buffers = 0; buffers < 2; buffers++)
        for (int i = 0; i < module->n_params; i++)
            if (module->params[i]->buffer == (buffers == 1) && !module->params[i]->tensor)
                param_allocate(net, module, module->params[i]);
}

/* --- walks --------------------------------------------------------------------------------------
 */

static size_t collect(struct ool_module *module, struct ool_tensor **out, bool mark)
{
    size_t n = 0;

    for (int i = 0; i < module->n_params; i++) {
        struct ool_param *param = module->params[i];

        if (param->buffer || param->visited == mark)
            continue;
        param->visited = mark;
        if (out)
            out[n] = param->tensor;
        n++;
    }
    for (struct ool_module *child = module->first_child; child; child = child->next)
        n += collect(child, out ? out + n : NULL, mark);
    return n;
}

struct ool_tensor **ool_net_parameters(struct ool_net *net, size_t *n)
{
    struct ool_tensor **list;

    *n = collect(net->root, NULL, true);
    list = ool_net_alloc(net, *n, sizeof(struct ool_tensor *));
    if (list)
        collect(net->root, list, false);
    else
        *n = 0;
    return list;
}

void ool_net_drop(struct ool_net *net, struct ool_module *module)
{
    for (int i = 0; i < module->n_params; i++)
        ool_del(net->tape, &module->params[i]->tensor);
    for (struct ool_module *child = module->first_child; child; child = child->next)
        ool_net_drop(net, child);
}

/* --- running -------------------------------------------------------------------------------------
 */

/* A whole block travels; outside the blocks each layer does. */
static bool travels(const struct ool_net *net, const struct ool_module *module)
{
    return net->workload->cpu_offload && !net->offloaded &&
           (module->role == OOL_ROLE_BLOCK || module->kind != OOL_MODULE_CONTAINER ||
            !module->first_child);
}

static void weights_come(struct ool_tape *t, struct ool_module *module)
{
    for (int i = 0; i < module->n_params; i++) {
        struct ool_param *param = module->params[i];

        if (param->buffer || param->host)
            continue;
        param->host = param->tensor;
        param->tensor = NULL;
        ool_set(t, &param->tensor, ool_to_device(t, param->host));
        if (param->tensor &&
            ool_requires_grad(param->host)) /* the parameter itself, with other data */
            ool_require_grad(param->tensor, true);
    }
    for (struct ool_module *child = module->first_child; child; child = child->next)
        weights_come(t, child);
}

static void weights_go(struct ool_tape *t, struct ool_module *module)
{
    for (int i = 0; i < module->n_params; i++) {
        struct ool_param *param = module->params[i];

        if (!param->host)
            continue;
        ool_del(t, &param->tensor);
        param->tensor = param->host;
        param->host = NULL;
    }
    for (struct ool_module *child = module->first_child; child; child = child->next)
        weights_go(t, child);
}

void ool_module_enter(struct ool_net *net, struct ool_module *module)
{
    push_path(net->tape, module);
    if (!travels(net, module))
        return;
    net->offloaded = module;
    weights_come(net->tape, module);
}

struct ool_tensor *ool_module_leave(struct ool_net *net, struct ool_module *module,
                                    struct ool_tensor *result)
{
    if (net->offloaded == module) {
        weights_go(net->tape, module);
        net->offloaded = NULL;
    }
    if (net->hook && module->role == OOL_ROLE_BLOCK && result) {
        struct ool_tensor *output = NULL;

        ool_set(net->tape, &output, result); /* the hook does not consume it */
        net->hook(net, output, net->hook_state);
        result = ool_return(net->tape, &output);
    }
    if (module->name)
        ool_pop(net->tape);
    return result;
}

static struct ool_tensor *weight_of(const struct ool_module *module, int i)
{
    return i < module->n_params ? module->params[i]->tensor : NULL;
}

/* y = base(x) + B(A(dropout(x))) * 2 */
static struct ool_tensor *lora_call(struct ool_net *net, struct ool_module *linear,
                                    struct ool_tensor *x)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *y = NULL, *z = NULL, *r;

    ool_set(t, &y, ool_linear(t, x, weight_of(linear, 0), weight_of(linear, 1)));
    ool_set(t, &z, ool_to(t, x, linear->lora_a->params[0]->dtype));
    r = ool_linear_call(net, linear->lora_a, ool_dropout_call(net, z, net->workload->lora.dropout));
    r = ool_scale(t, ool_linear_call(net, linear->lora_b, r), 2.0);
    if (y)
        r = ool_add(t, y, ool_to(t, r, ool_dtype(y)));
    ool_del(t, &y);
    ool_del(t, &z);
    return r;
}

/* The caller's arguments live until the call is over, weights that travel go before. */
struct ool_tensor *ool_linear_call(struct ool_net *net, struct ool_module *linear,
                                   struct ool_tensor *x)
{
    struct ool_tensor *y;

    ool_module_enter(net, linear);
    ool_enter(net->tape, x);
    if (linear->lora_a)
        y = lora_call(net, linear, x);
    else
        y = ool_linear(net->tape, x, weight_of(linear, 0), weight_of(linear, 1));
    y = ool_module_leave(net, linear, y);
    ool_leave(net->tape, x);
    return y;
}

struct ool_tensor *ool_layer_norm_call(struct ool_net *net, struct ool_module *norm,
                                       struct ool_tensor *x)
{
    struct ool_tensor *y;

    ool_module_enter(net, norm);
    ool_enter(net->tape, x);
    y = ool_layer_norm(net->tape, x, 1, weight_of(norm, 0), weight_of(norm, 1));
    y = ool_module_leave(net, norm, y);
    ool_leave(net->tape, x);
    return y;
}

struct ool_tensor *ool_embedding_call(struct ool_net *net, struct ool_module *embedding,
                                      struct ool_tensor *ids)
{
    struct ool_tensor *y;

    ool_module_enter(net, embedding);
    ool_enter(net->tape, ids);
    y = ool_embedding(net->tape, ids, weight_of(embedding, 0), false);
    y = ool_module_leave(net, embedding, y);
    ool_leave(net->tape, ids);
    return y;
}

struct ool_tensor *ool_loss_call(struct ool_net *net, struct ool_tensor *logits,
                                 struct ool_tensor *targets)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *loss;

    if (!logits)
        return NULL;
    ool_push(t, "loss");
    loss = ool_cross_entropy(t, ool_view(t, logits, OOL_SHAPE(-1, ool_size(logits, -1))),
                             ool_view(t, targets, OOL_SHAPE(-1)), 0, OOL_LOSS_MEAN);
    ool_pop(t);
    return loss;
}

struct ool_tensor *ool_dropout_call(struct ool_net *net, struct ool_tensor *x, double p)
{
    return ool_dropout(net->tape, x, p, net->training);
}

/* A checkpoint's inputs are tensors: those that are not given come back as NULL here. */
static struct ool_tensor *block_in_checkpoint(struct ool_tape *t, struct ool_tensor *const *given,
                                              int n, void *state)
{
    struct ool_tensor *inputs[MAX_INPUTS] = {NULL};
    struct ool_module *block = state;
    int n_inputs = 0;

    (void)t;
    for (int used = 0; used < n && n_inputs < MAX_INPUTS; n_inputs++)
        if (block->present & (1u << n_inputs))
            inputs[n_inputs] = given[used++];
    return block->forward(block->net, block, inputs, n_inputs);
}

/* transformers checkpoints in training mode only */
static bool is_checkpoint(const struct ool_net *net, const struct ool_module *block, bool core)
{
    const struct ool_workload *w = net->workload;

    return w->checkpoint != OOL_CHECKPOINT_NONE && w->checkpoint_core == core &&
           (w->checkpoint_every < 2 || block->index % w->checkpoint_every == 0) &&
           (net->ops->formulation != OOL_HF || net->training);
}

struct ool_tensor *ool_run_block(struct ool_net *net, struct ool_module *block,
                                 ool_block_forward *forward, struct ool_tensor *const *inputs,
                                 int n)
{
    struct ool_tensor *given[MAX_INPUTS];
    int n_given = 0, n_arguments = 0;

    if (n > MAX_INPUTS)
        return ool_fail(net->tape, OOL_E_INTERNAL, "a block with %d inputs", n);
    if (!is_checkpoint(net, block, false))
        return forward(net, block, inputs, n);
    block->forward = forward;
    block->present = 0;
    for (int i = 0; i < n; i++) {
        if (!inputs[i])
            continue;
        block->present |= 1u << i;
        given[n_given++] = inputs[i];
        if (i < n - block->keywords)
            n_arguments = n_given;
    }
    return ool_checkpoint_partial(net->tape, net->workload->checkpoint, block_in_checkpoint, block,
                                  given, n_given, n_arguments);
}

/* The core as a function of its own: its variable dies when it returns. */
static struct ool_tensor *core_in_checkpoint(struct ool_tape *t, struct ool_tensor *const *given,
                                             int n, void *state)
{
    struct ool_tensor *inputs[] = {given[0], given[1], given[2], n > 3 ? given[3] : NULL};
    struct ool_tensor *weights = NULL, *y;
    struct ool_module *block = state;

    y = block->core(block->net, block, inputs, &weights);
    ool_del(t, &weights);
    return y;
}

struct ool_tensor *ool_run_core(struct ool_net *net, struct ool_module *block,
                                ool_attention_core *core, struct ool_tensor *const *inputs,
                                struct ool_tensor **weights)
{
    if (!is_checkpoint(net, block, true))
        return core(net, block, inputs, weights);
    block->core = core;
    /* the mask is no argument: the function has it from where it was made */
    return ool_checkpoint_partial(net->tape, net->workload->checkpoint, core_in_checkpoint, block,
                                  inputs, inputs[3] ? 4 : 3, 3);
}

struct ool_tensor *ool_run_blocks(struct ool_net *net, struct ool_module *const *blocks,
                                  int64_t n_blocks, ool_block_forward *forward,
                                  struct ool_tensor *x, struct ool_tensor *const *others,
                                  int n_others)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *inputs[MAX_INPUTS] = {NULL};

    if (n_others >= MAX_INPUTS)
        return ool_fail(t, OOL_E_INTERNAL, "a block with %d inputs", n_others + 1);
    if (n_others > 0)
        memcpy(inputs + 1, others, (size_t)n_others * sizeof(*others));
    ool_set(t, &inputs[0], x);
    for (int64_t i = 0; i < n_blocks; i++)
        ool_set(t, &inputs[0], ool_run_block(net, blocks[i], forward, inputs, n_others + 1));
    return ool_return(t, &inputs[0]);
}

/* --- inputs --- */

void ool_input(struct ool_net *net, struct ool_tensor **variable, enum ool_dtype dtype, int n_dims,
               const int64_t *shape)
{
    enum ool_category old = ool_categorize(net->tape, OOL_CATEGORY_INPUT);

    ool_set(net->tape, variable, ool_empty(net->tape, dtype, n_dims, shape));
    ool_categorize(net->tape, old);
}

void ool_token_inputs(struct ool_net *net, int64_t batch, struct ool_tensor **x,
                      struct ool_tensor **y)
{
    int64_t seq = net->workload->seq;

    ool_input(net, x, OOL_I64, OOL_SHAPE(batch, seq));
    ool_input(net, y, OOL_I64,
              OOL_SHAPE(batch, net->workload->tgt_seq >= 0 ? net->workload->tgt_seq : seq));
}

void ool_image_inputs(struct ool_net *net, int64_t batch, struct ool_tensor **x,
                      struct ool_tensor **y)
{
    const struct ool_model *m = &net->model;

    ool_input(net, x, net->dtype, OOL_SHAPE(batch, m->channels, m->resolution, m->resolution));
    ool_input(net, y, OOL_I64, OOL_SHAPE(batch));
}

void ool_vector_inputs(struct ool_net *net, int64_t batch, struct ool_tensor **x,
                       struct ool_tensor **y)
{
    ool_input(net, x, net->dtype, OOL_SHAPE(batch, net->model.inputs));
    ool_input(net, y, OOL_I64, OOL_SHAPE(batch));
}

void ool_output_keep(struct ool_net *net, struct ool_output *out, struct ool_tensor *x)
{
    if (!x)
        return;
    if (!ool_grow(&out->kept, &out->kept_capacity, out->n_kept, sizeof(struct ool_tensor *))) {
        ool_fail(net->tape, OOL_E_HOST_OOM, "no memory for a model's outputs");
        return;
    }
    out->kept[out->n_kept] = NULL;
    ool_set(net->tape, &out->kept[out->n_kept++], x);
}
