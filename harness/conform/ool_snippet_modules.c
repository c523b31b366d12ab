/*
 * ool_snippet_modules.c - the table's lines about nn.Module: making, moving and calling them.
 */
#include "ool_snippet_calls.h"

#include "ool_mem.h"

#include <stdio.h>
#include <string.h>

/* --- making ------------------------------------------------------------------------------------------ */

static struct ool_value *make(struct ool_call *c, const char *type)
{
    struct ool_value *value = ool_value_make(c->s, OOL_VALUE_MODULE);

    if (value == NULL)
        return NULL;
    value->module = ool_calloc(1, sizeof(*value->module));
    if (value->module == NULL) {
        ool_value_drop(c->s, value);
        return ool_snippet_fail(c->s, OOL_E_HOST_OOM, "no memory for a module");
    }
    value->module->type = type;
    value->module->training = true;
    return value;
}

/* Makes the parameter where it belongs: a leaf on the card, or a shape. */
static bool place(struct ool_snippet *s, struct ool_module_param *param, bool on_card)
{
    struct ool_tensor *tensor;

    if (!on_card)
        return true;
    tensor = ool_parameter(s->t, param->name, param->dtype, param->n_dims, param->shape);
    param->tensor = ool_value_tensor(s, tensor);
    ool_drop(s->t, tensor); /* the value holds it now */
    if (param->tensor == NULL)
        return false;
    ool_require_grad(param->tensor->tensor, param->requires_grad);
    return true;
}

/* The i-th parameter of a module being made; @n_dims 0: it has none of that name. */
static bool add_param(struct ool_call *c, struct ool_value *module, int i, const char *name,
                      int n_dims, int64_t rows, int64_t columns, int device, int dtype)
{
    struct ool_module_param *param = &module->module->params[i];

    if (n_dims == 0 || c->s->failed)
        return !c->s->failed;
    param->name = name;
    param->dtype = ool_arg_dtype(c, dtype, OOL_F32);
    param->n_dims = n_dims;
    param->shape[0] = rows;
    param->shape[1] = columns;
    param->requires_grad = true;
    return place(c->s, param, ool_arg_on_card(c, device, false)) && !c->s->failed;
}

static struct ool_value *finish(struct ool_call *c, struct ool_value *module, bool good)
{
    if (good && !c->s->failed)
        return module;
    ool_value_drop(c->s, module);
    return NULL;
}

/* in_features out_features bias device dtype */
static struct ool_value *call_linear(struct ool_call *c)
{
    struct ool_value *module = make(c, "Linear");
    int64_t in = ool_arg_int(c, 0, 0), out = ool_arg_int(c, 1, 0);
    bool bias = ool_arg_bool(c, 2, true);

    if (module == NULL)
        return NULL;
    return finish(c, module,
                  add_param(c, module, 0, "weight", 2, out, in, 3, 4) &&
                      add_param(c, module, 1, "bias", bias ? 1 : 0, out, 0, 3, 4));
}

/* num_embeddings embedding_dim padding_idx device dtype */
static struct ool_value *call_embedding(struct ool_call *c)
{
    struct ool_value *module = make(c, "Embedding");

    if (module == NULL)
        return NULL;
    module->module->flag = c->arg[2] != NULL;
    return finish(
        c, module,
        add_param(c, module, 0, "weight", 2, ool_arg_int(c, 0, 0), ool_arg_int(c, 1, 0), 3, 4));
}

enum norm { NORM_LAYER, NORM_RMS, NORM_GROUP };

/* normalized_shape elementwise_affine bias device dtype */
static struct ool_value *call_norm(struct ool_call *c)
{
    struct ool_value *module = make(c, c->variant == NORM_RMS ? "RMSNorm" : "LayerNorm");
    bool affine = ool_arg_bool(c, 2, true), bias = ool_arg_bool(c, 3, true);
    int64_t size[OOL_MAX_DIMS];

    if (module == NULL)
        return NULL;
    if (ool_arg_ints(c, 0, size, OOL_MAX_DIMS) != 1) {
        ool_value_drop(c->s, module);
        return ool_call_refuse(c, "over more than the last dimension");
    }
    module->module->integer = size[0];
    bias = affine && bias && c->variant == NORM_LAYER;
    return finish(c, module,
                  add_param(c, module, 0, "weight", affine ? 1 : 0, size[0], 0, 4, 5) &&
                      add_param(c, module, 1, "bias", bias ? 1 : 0, size[0], 0, 4, 5));
}

/* num_groups num_channels affine device dtype */
static struct ool_value *call_group_norm(struct ool_call *c)
{
    struct ool_value *module = make(c, "GroupNorm");
    int64_t channels = ool_arg_int(c, 1, 1);
    bool affine = ool_arg_bool(c, 3, true);

    if (module == NULL)
        return NULL;
    module->module->integer = ool_arg_int(c, 0, 1);
    return finish(c, module,
                  add_param(c, module, 0, "weight", affine ? 1 : 0, channels, 0, 4, 5) &&
                      add_param(c, module, 1, "bias", affine ? 1 : 0, channels, 0, 4, 5));
}

/* Activations: the unary operator and its name; inplace or approximate is the last argument. */
static const struct activation {
    const char *type;
    enum ool_unary op;
} activations[] = {
    {"ReLU", OOL_RELU},         {"SiLU", OOL_SILU},           {"Mish", OOL_MISH},
    {"ReLU6", OOL_RELU6},       {"Hardswish", OOL_HARDSWISH}, {"LeakyReLU", OOL_LEAKY_RELU},
    {"ELU", OOL_ELU},           {"Tanh", OOL_TANH},           {"Sigmoid", OOL_SIGMOID},
    {"Softplus", OOL_SOFTPLUS}, {"GELU", OOL_GELU_ERF},
};

/* inplace */
static struct ool_value *call_activation(struct ool_call *c)
{
    struct ool_value *module = make(c, activations[c->variant].type);

    if (module != NULL)
        module->module->flag = ool_arg_bool(c, 0, false);
    return module;
}

static struct ool_value *call_gelu(struct ool_call *c)
{
    struct ool_value *module = make(c, "GELU");
    const char *kind = ool_arg_text(c, 0, "none");

    if (module == NULL)
        return NULL;
    module->module->flag = strcmp(kind, "tanh") == 0;
    if (!module->module->flag && strcmp(kind, "none") != 0)
        ool_call_refuse(c, "an approximation other than tanh");
    return finish(c, module, true);
}

/* p inplace */
static struct ool_value *call_dropout(struct ool_call *c)
{
    struct ool_value *module = make(c, "Dropout");

    if (module == NULL)
        return NULL;
    module->module->real = ool_arg_number(c, 0, 0.5);
    if (ool_arg_bool(c, 1, false))
        ool_call_refuse(c, "in place");
    return finish(c, module, true);
}

static struct ool_value *call_identity(struct ool_call *c)
{
    return make(c, "Identity");
}

/* *modules */
static struct ool_value *call_sequential(struct ool_call *c)
{
    struct ool_value *value = make(c, "Sequential");
    size_t n = c->arg[0] != NULL ? c->arg[0]->n_items : 0;

    if (value == NULL)
        return NULL;
    value->module->children = ool_calloc(n + 1, sizeof(struct ool_value *));
    if (value->module->children == NULL)
        ool_snippet_fail(c->s, OOL_E_HOST_OOM, "no memory for a module");
    for (size_t i = 0; !c->s->failed && i < n; i++) {
        struct ool_value *child = c->arg[0]->items[i];

        if (child->kind != OOL_VALUE_MODULE)
            ool_call_refuse(c, "something that is no module");
        else
            value->module->children[value->module->n_children++] = ool_value_share(child);
    }
    return finish(c, value, true);
}

/* --- moving ------------------------------------------------------------------------------------------- */

struct move {
    bool has_dtype, to_card;
    enum ool_dtype dtype;
};

static bool move_param(struct ool_snippet *s, struct ool_module_param *param,
                       const struct move *move)
{
    enum ool_dtype dtype = move->has_dtype ? move->dtype : param->dtype;

    if (param->tensor == NULL) {
        param->dtype = dtype;
        return place(s, param, move->to_card);
    }
    if (dtype == param->dtype)
        return true;
    ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a cast of a module that is on the card");
    return false;
}

/* Children first, each module's own parameters in order, as Module._apply goes. */
static bool move_module(struct ool_snippet *s, struct ool_module *module, const struct move *move)
{
    for (size_t i = 0; i < module->n_children; i++)
        if (!move_module(s, module->children[i]->module, move))
            return false;
    for (int i = 0; i < OOL_MODULE_PARAMS; i++)
        if (module->params[i].name != NULL && !move_param(s, &module->params[i], move))
            return false;
    return true;
}

static struct ool_value *moved(struct ool_call *c, const struct move *move)
{
    if (c->s->failed || !move_module(c->s, c->arg[0]->module, move))
        return NULL;
    return ool_value_share(c->arg[0]);
}

/* module, then a device, a dtype, or both */
static struct ool_value *call_to(struct ool_call *c)
{
    bool dtype_first = c->arg[1] != NULL && c->arg[1]->kind == OOL_VALUE_DTYPE;
    int device = dtype_first ? 2 : 1, dtype = dtype_first ? 1 : 2;
    struct move move = {.has_dtype = c->arg[dtype] != NULL,
                        .to_card = ool_arg_on_card(c, device, false),
                        .dtype = ool_arg_dtype(c, dtype, OOL_F32)};

    return moved(c, &move);
}

static struct ool_value *call_cast(struct ool_call *c)
{
    struct move move = {.has_dtype = true, .dtype = (enum ool_dtype)c->variant};

    return moved(c, &move);
}

static struct ool_value *call_cuda(struct ool_call *c)
{
    struct move move = {.to_card = true};

    return moved(c, &move);
}

static void set_training(struct ool_module *module, bool training)
{
    module->training = training;
    for (size_t i = 0; i < module->n_children; i++)
        set_training(module->children[i]->module, training);
}

static struct ool_value *call_train(struct ool_call *c)
{
    set_training(c->arg[0]->module, ool_arg_bool(c, 1, c->variant != 0));
    return ool_value_share(c->arg[0]);
}

static void set_requires_grad(struct ool_module *module, bool on)
{
    for (int i = 0; i < OOL_MODULE_PARAMS; i++) {
        module->params[i].requires_grad = on;
        if (module->params[i].tensor != NULL)
            ool_require_grad(module->params[i].tensor->tensor, on);
    }
    for (size_t i = 0; i < module->n_children; i++)
        set_requires_grad(module->children[i]->module, on);
}

static struct ool_value *call_requires_grad(struct ool_call *c)
{
    set_requires_grad(c->arg[0]->module, ool_arg_bool(c, 1, true));
    return ool_value_share(c->arg[0]);
}

/* --- parameters --------------------------------------------------------------------------------------- */

bool ool_module_each(struct ool_snippet *s, const struct ool_module *module, const char *prefix,
                     bool (*visit)(const char *name, struct ool_value *tensor, void *state),
                     void *state)
{
    char name[256];
    int length;

    for (int i = 0; i < OOL_MODULE_PARAMS; i++) {
        if (module->params[i].tensor == NULL)
            continue;
        length = snprintf(name, sizeof(name), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "",
                          module->params[i].name);
        if (length < 0 || (size_t)length >= sizeof(name)) {
            ool_snippet_fail(s, OOL_E_LIMIT, "a parameter with a long name");
            return false;
        }
        if (!visit(name, module->params[i].tensor, state))
            return false;
    }
    for (size_t i = 0; i < module->n_children; i++) {
        length = snprintf(name, sizeof(name), "%s%s%zu", prefix, prefix[0] != '\0' ? "." : "", i);
        if (length < 0 || (size_t)length >= sizeof(name)) {
            ool_snippet_fail(s, OOL_E_LIMIT, "a module with a long name");
            return false;
        }
        if (!ool_module_each(s, module->children[i]->module, name, visit, state))
            return false;
    }
    return true;
}

struct collect {
    struct ool_snippet *s;
    struct ool_value *list;
};

static bool collect_param(const char *name, struct ool_value *tensor, void *state)
{
    struct collect *collect = state;

    (void)name;
    return ool_value_append_take(collect->s, collect->list, ool_value_share(tensor));
}

static struct ool_value *call_parameters(struct ool_call *c)
{
    struct collect collect = {c->s, ool_value_make(c->s, OOL_VALUE_LIST)};

    if (collect.list != NULL)
        ool_module_each(c->s, c->arg[0]->module, "", collect_param, &collect);
    return collect.list;
}

/* --- calling ------------------------------------------------------------------------------------------- */

static struct ool_tensor *param(const struct ool_module *module, int i)
{
    return module->params[i].tensor != NULL ? module->params[i].tensor->tensor : NULL;
}

/* Each child gets what the one before gave, which dies when the next result is there. */
static struct ool_value *call_children(struct ool_snippet *s, const struct ool_module *module,
                                       struct ool_value *x)
{
    struct ool_value *current = ool_value_share(x);

    for (size_t i = 0; current != NULL && i < module->n_children; i++) {
        const char *name = NULL;
        struct ool_arguments one = {&current, &name, 1, 1};
        struct ool_value *next = ool_snippet_call(s, module->children[i], &one);

        ool_value_drop(s, current);
        current = next;
    }
    return current;
}

static struct ool_tensor *activate(struct ool_tape *t, const struct ool_module *module,
                                   const struct activation *activation, struct ool_tensor *x)
{
    if (activation->op == OOL_GELU_ERF && module->flag)
        return ool_unary(t, OOL_GELU_TANH, x);
    return module->flag ? ool_unary_inplace(t, activation->op, x) : ool_unary(t, activation->op, x);
}

struct ool_value *ool_module_call(struct ool_snippet *s, struct ool_value *value,
                                  struct ool_arguments *arguments)
{
    const struct ool_module *module = value->module;
    struct ool_value *argument = arguments->n == 1 ? arguments->values[0] : NULL;
    struct ool_tensor *x, *y = NULL;

    if (argument == NULL || argument->kind != OOL_VALUE_TENSOR)
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "%s without one tensor", module->type);
    for (int i = 0; i < OOL_MODULE_PARAMS; i++)
        if (module->params[i].name != NULL && module->params[i].tensor == NULL)
            return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "%s on the host", module->type);
    x = argument->tensor;
    for (size_t i = 0; i < sizeof(activations) / sizeof(activations[0]); i++)
        if (strcmp(module->type, activations[i].type) == 0)
            return ool_value_tensor(s, activate(s->t, module, &activations[i], x));
    if (strcmp(module->type, "Sequential") == 0)
        return call_children(s, module, argument);
    if (strcmp(module->type, "Identity") == 0)
        return ool_value_share(argument);
    if (strcmp(module->type, "Linear") == 0)
        y = ool_linear(s->t, x, param(module, 0), param(module, 1));
    else if (strcmp(module->type, "Embedding") == 0)
        y = ool_embedding(s->t, x, param(module, 0), module->flag);
    else if (strcmp(module->type, "LayerNorm") == 0)
        y = ool_layer_norm(s->t, x, 1, param(module, 0), param(module, 1));
    else if (strcmp(module->type, "RMSNorm") == 0)
        y = ool_rms_norm(s->t, x, param(module, 0));
    else if (strcmp(module->type, "GroupNorm") == 0 && module->integer > 0 &&
             module->integer <= INT32_MAX)
        y = ool_group_norm(s->t, x, (int)module->integer, param(module, 0), param(module, 1));
    else if (strcmp(module->type, "Dropout") == 0)
        y = ool_dropout(s->t, x, module->real, module->training);
    else
        return ool_snippet_fail(s, OOL_E_UNSUPPORTED, "%s as it was made", module->type);
    return ool_value_tensor(s, y);
}

/* clang-format off */
const struct ool_call_line ool_module_calls[] = {
    {"torch.nn.Linear", "in_features out_features bias? device? dtype?", call_linear, 0},
    {"torch.nn.Embedding", "num_embeddings embedding_dim padding_idx? device? dtype?", call_embedding, 0},
    {"torch.nn.LayerNorm", "normalized_shape ~eps elementwise_affine? bias? device? dtype?", call_norm, NORM_LAYER},
    {"torch.nn.RMSNorm", "normalized_shape ~eps elementwise_affine? bias? device? dtype?", call_norm, NORM_RMS},
    {"torch.nn.GroupNorm", "num_groups num_channels ~eps affine? device? dtype?", call_group_norm, NORM_GROUP},
    {"torch.nn.ReLU", "inplace?", call_activation, 0},
    {"torch.nn.SiLU", "inplace?", call_activation, 1},
    {"torch.nn.Mish", "inplace?", call_activation, 2},
    {"torch.nn.ReLU6", "inplace?", call_activation, 3},
    {"torch.nn.Hardswish", "inplace?", call_activation, 4},
    {"torch.nn.Tanh", "", call_activation, 7},
    {"torch.nn.Sigmoid", "", call_activation, 8},
    {"torch.nn.GELU", "approximate?", call_gelu, 0},
    {"torch.nn.Dropout", "p? inplace?", call_dropout, 0},
    {"torch.nn.Identity", "", call_identity, 0},
    {"torch.nn.Sequential", "*modules", call_sequential, 0},
    {"Module.to", "module device? dtype? ~non_blocking", call_to, 0},
    {"Module.cuda", "module ~device", call_cuda, 0},
    {"Module.float", "module", call_cast, OOL_F32},
    {"Module.half", "module", call_cast, OOL_F16},
    {"Module.bfloat16", "module", call_cast, OOL_BF16},
    {"Module.train", "module mode?", call_train, 1},
    {"Module.eval", "module", call_train, 0},
    {"Module.requires_grad_", "module requires_grad?", call_requires_grad, 0},
    {"Module.parameters", "module ~recurse", call_parameters, 0},
    {NULL, NULL, NULL, 0},
};
/* clang-format on */
