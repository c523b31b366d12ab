/*
 * ool_snippet_objects.c - the table's lines about everything that is no tensor: optimizers, clipping,
 * scaling, checkpoints, context managers, streams, Python's own functions.
 */
#include "ool_snippet_calls.h"

#include "ool_mem.h"

#include <math.h>
#include <string.h>

static struct ool_value *none(struct ool_call *c)
{
    return ool_snippet_good(c->s) ? ool_value_none(c->s) : NULL;
}

/* The tensors of a list of values in an array of its own; the caller frees it. */
static struct ool_tensor **tensors_of(struct ool_call *c, const struct ool_value *list)
{
    struct ool_tensor **tensors;

    if (list == NULL)
        return NULL;
    tensors = ool_calloc(list->n_items + 1, sizeof(struct ool_tensor *));
    if (tensors == NULL)
        return ool_snippet_fail(c->s, OOL_E_HOST_OOM, "no memory for a list of tensors");
    for (size_t i = 0; i < list->n_items; i++)
        tensors[i] = list->items[i]->tensor;
    return tensors;
}

/* --- optimizers --------------------------------------------------------------------------------------- */

/* foreach and fused as PyTorch reads them: both missing leave the choice to it. */
static enum ool_implementation implementation(struct ool_call *c, int foreach, int fused)
{
    if (ool_arg_bool(c, foreach, false))
        return OOL_FOREACH;
    if (fused >= 0 && ool_arg_bool(c, fused, false))
        return OOL_FUSED;
    if (c->arg[foreach] != NULL || (fused >= 0 && c->arg[fused] != NULL))
        return OOL_LOOP;
    return OOL_IMPL_DEFAULT;
}

/* params lr weight_decay momentum nesterov amsgrad foreach fused capturable maximize centered decoupled */
static struct ool_value *call_optimizer(struct ool_call *c)
{
    struct ool_optimizer_config config = {
        .kind = (enum ool_optimizer_kind)c->variant,
        .implementation = implementation(c, 6, 7),
        .momentum = ool_arg_number(c, 3, 0),
        .weight_decay = ool_arg_number(c, 2, (double)NAN),
        .nesterov = ool_arg_bool(c, 4, false),
        .amsgrad = ool_arg_bool(c, 5, false),
        .capturable = ool_arg_bool(c, 8, false),
        .maximize = ool_arg_bool(c, 9, false),
        .tensor_lr = c->arg[1] != NULL && c->arg[1]->kind == OOL_VALUE_TENSOR,
        .centered = ool_arg_bool(c, 10, false),
        .decoupled = ool_arg_bool(c, 11, false),
    };
    struct ool_value *list = ool_arg_tensors(c, 0), *value = NULL;
    struct ool_tensor **params = tensors_of(c, list);

    if (config.tensor_lr && ool_on_device(c->arg[1]->tensor))
        ool_call_refuse(c, "a learning rate on the card");
    if (params != NULL && !c->s->failed)
        value = ool_value_make(c->s, OOL_VALUE_OPTIMIZER);
    if (value != NULL) {
        value->optimizer = ool_optimizer_open(c->t, &config, params, list->n_items);
        if (!ool_snippet_good(c->s)) {
            ool_value_drop(c->s, value);
            value = NULL;
        } else {
            ool_value_append_take(c->s, value, ool_value_share(list));
        }
    }
    ool_free(params);
    ool_value_drop(c->s, list);
    return value;
}

static struct ool_optimizer *optimizer(struct ool_call *c, int i)
{
    if (c->arg[i] == NULL || c->arg[i]->kind != OOL_VALUE_OPTIMIZER) {
        ool_call_refuse(c, "an optimizer was expected");
        return NULL;
    }
    return c->arg[i]->optimizer;
}

static struct ool_value *call_step(struct ool_call *c)
{
    ool_optimizer_step(c->t, c->arg[0]->optimizer);
    return none(c);
}

static struct ool_value *call_zero_grad(struct ool_call *c)
{
    ool_optimizer_zero_grad(c->t, c->arg[0]->optimizer, ool_arg_bool(c, 1, true));
    return none(c);
}

enum clip { CLIP_NORM, CLIP_VALUE, CLIP_TOTAL };

/* tensors, the bound (not of the total), norm_type error_if_nonfinite (not of a value), foreach */
static struct ool_value *call_clip(struct ool_call *c)
{
    static const struct {
        int norm, foreach;
    } places[] = {[CLIP_NORM] = {2, 4}, [CLIP_VALUE] = {-1, 2}, [CLIP_TOTAL] = {1, 3}};
    int norm = places[c->variant].norm;
    enum ool_implementation kind = implementation(c, places[c->variant].foreach, -1);
    struct ool_value *list, *result = NULL;
    struct ool_tensor **tensors;

    if (norm >= 0 && (ool_arg_number(c, norm, 2) < 2 || ool_arg_number(c, norm, 2) > 2 ||
                      ool_arg_bool(c, norm + 1, false)))
        return ool_call_refuse(c, "another norm, or error_if_nonfinite");
    list = ool_arg_tensors(c, 0);
    tensors = tensors_of(c, list);
    if (tensors != NULL && c->variant == CLIP_VALUE) {
        ool_clip_grad_value(c->t, tensors, list->n_items);
        result = none(c);
    } else if (tensors != NULL && c->variant == CLIP_TOTAL) {
        result = ool_value_tensor(c->s, ool_total_norm(c->t, tensors, list->n_items, kind));
    } else if (tensors != NULL) {
        result = ool_value_tensor(c->s, ool_clip_grad_norm(c->t, tensors, list->n_items, kind));
    }
    ool_free(tensors);
    ool_value_drop(c->s, list);
    return result;
}

/* --- GradScaler --------------------------------------------------------------------------------------- */

/* device enabled */
static struct ool_value *call_scaler(struct ool_call *c)
{
    struct ool_value *value;

    if (!ool_arg_bool(c, 1, true))
        return ool_call_refuse(c, "enabled=False");
    value = ool_value_make(c->s, OOL_VALUE_SCALER);
    if (value != NULL)
        value->scaler = ool_scaler_open(c->t);
    return value;
}

enum scaling { SCALER_SCALE, SCALER_UNSCALE, SCALER_STEP, SCALER_UPDATE };

static struct ool_value *call_scaling(struct ool_call *c)
{
    struct ool_scaler *scaler = c->arg[0]->scaler;

    switch (c->variant) {
    case SCALER_SCALE:
        return ool_value_tensor(c->s, ool_scaler_scale(c->t, scaler, ool_arg_tensor(c, 1)));
    case SCALER_UNSCALE:
        ool_scaler_unscale(c->t, scaler, optimizer(c, 1));
        break;
    case SCALER_STEP:
        ool_scaler_step(c->t, scaler, optimizer(c, 1));
        break;
    default:
        ool_scaler_update(c->t, scaler);
    }
    return none(c);
}

/* --- checkpoints -------------------------------------------------------------------------------------- */

static struct ool_tensor *recompute(struct ool_tape *t, struct ool_tensor *const *inputs, int n,
                                    void *state)
{
    struct ool_recompute *run = state;
    struct ool_snippet *s = run->snippet;
    struct ool_value *values[OOL_CALL_ARGUMENTS] = {NULL}, *result = NULL;
    const char *names[OOL_CALL_ARGUMENTS] = {NULL};
    struct ool_arguments arguments = {values, names, (size_t)n, OOL_CALL_ARGUMENTS};
    struct ool_tensor *tensor = NULL;

    for (int i = 0; i < n; i++)
        values[i] = ool_value_tensor(s, inputs[i]);
    if (!s->failed)
        result = ool_snippet_call(s, run->function, &arguments);
    for (int i = 0; i < n; i++)
        ool_value_drop(s, values[i]);
    if (result != NULL && result->kind != OOL_VALUE_TENSOR)
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "a checkpoint's function that gives a %s",
                         ool_value_kind_name(result));
    else if (result != NULL && result->refs == 1)
        tensor = ool_return(t, &result->tensor);
    else if (result != NULL)
        tensor = result->tensor;
    ool_value_drop(s, result);
    if (s->stopped) {
        s->failed = s->stopped = false;
        return NULL;
    }
    return s->failed ? ool_fail(t, s->error.status, "%s", s->error.text) : tensor;
}

/* function *args use_reentrant */
static struct ool_value *call_checkpoint(struct ool_call *c)
{
    struct ool_tensor *inputs[OOL_CALL_ARGUMENTS];
    const struct ool_value *args = c->arg[1];
    size_t n = args != NULL ? args->n_items : 0;
    struct ool_recompute *run;

    if (c->arg[0] == NULL ||
        (c->arg[0]->kind != OOL_VALUE_MODULE && c->arg[0]->kind != OOL_VALUE_FUNCTION))
        return ool_call_refuse(c, "a function that cannot be called again");
    if (c->arg[2] == NULL || n > OOL_CALL_ARGUMENTS)
        return ool_call_refuse(c, "without use_reentrant, or with too many arguments");
    for (size_t i = 0; i < n; i++) {
        if (args->items[i]->kind != OOL_VALUE_TENSOR)
            return ool_call_refuse(c, "an argument that is no tensor");
        inputs[i] = args->items[i]->tensor;
    }
    run = ool_calloc(1, sizeof(*run));
    if (run == NULL)
        return ool_snippet_fail(c->s, OOL_E_HOST_OOM, "no memory for a checkpoint");
    run->snippet = c->s;
    run->function = ool_value_share(c->arg[0]);
    run->older = c->s->recomputes;
    c->s->recomputes = run;
    return ool_value_tensor(c->s,
                            ool_checkpoint(c->t,
                                           ool_arg_bool(c, 2, true) ? OOL_CHECKPOINT_REENTRANT
                                                                    : OOL_CHECKPOINT_NONREENTRANT,
                                           recompute, run, inputs, (int)n));
}

/* --- context managers ----------------------------------------------------------------------------------- */

static struct ool_value *context(struct ool_call *c, enum ool_context_kind kind, uint32_t wish)
{
    struct ool_value *value = ool_value_make(c->s, OOL_VALUE_CONTEXT);

    if (value != NULL) {
        value->context.kind = kind;
        value->context.wish = wish;
    }
    return value;
}

static struct ool_value *call_null_context(struct ool_call *c)
{
    return context(c, OOL_CONTEXT_NULL, 0);
}

static struct ool_value *call_grad_mode(struct ool_call *c)
{
    return context(c, OOL_CONTEXT_GRAD_MODE, (uint32_t)c->variant);
}

/* mode: torch.set_grad_enabled as a context manager */
static struct ool_value *call_set_grad_enabled(struct ool_call *c)
{
    return context(c, OOL_CONTEXT_GRAD_MODE, ool_arg_bool(c, 0, true) ? OOL_GRAD : OOL_NO_GRAD);
}

/* device_type dtype enabled cache_enabled */
static struct ool_value *call_autocast(struct ool_call *c)
{
    enum ool_dtype dtype = ool_arg_dtype(c, 1, OOL_F16);
    struct ool_value *value;

    if (!ool_arg_on_card(c, 0, true) || !ool_arg_bool(c, 2, true))
        return ool_call_refuse(c, "on the host, or enabled=False");
    value = context(c, OOL_CONTEXT_AUTOCAST, (uint32_t)dtype);
    if (value != NULL)
        value->context.cache = ool_arg_bool(c, 3, true);
    return value;
}

static struct ool_value *call_save_on_cpu(struct ool_call *c)
{
    return context(c, OOL_CONTEXT_SAVE_ON_CPU, 0);
}

/* backends: one, or a list of one */
static struct ool_value *call_sdpa_kernel(struct ool_call *c)
{
    int64_t backend;

    if (ool_arg_ints(c, 0, &backend, 1) != 1)
        return ool_call_refuse(c, "several backends");
    return context(c, OOL_CONTEXT_SDPA, (uint32_t)backend);
}

/* enabled */
static struct ool_value *call_cudnn_flags(struct ool_call *c)
{
    return context(c, OOL_CONTEXT_CUDNN, ool_arg_bool(c, 0, false));
}

static struct ool_value *call_stream(struct ool_call *c)
{
    struct ool_value *value = ool_value_make(c->s, OOL_VALUE_STREAM);

    if (value != NULL)
        value->integer = ++c->s->n_streams;
    return value;
}

static struct ool_value *call_use_stream(struct ool_call *c)
{
    if (c->arg[0] == NULL || c->arg[0]->kind != OOL_VALUE_STREAM)
        return ool_call_refuse(c, "a stream was expected");
    return context(c, OOL_CONTEXT_STREAM, (uint32_t)c->arg[0]->integer);
}

bool ool_context_enter(struct ool_snippet *s, struct ool_value *manager)
{
    struct ool_context *context = &manager->context;

    if (manager->kind != OOL_VALUE_CONTEXT) {
        ool_snippet_fail(s, OOL_E_UNSUPPORTED, "with a %s", ool_value_kind_name(manager));
        return false;
    }
    switch (context->kind) {
    case OOL_CONTEXT_GRAD_MODE:
        context->old = ool_set_grad_mode(s->t, (enum ool_grad_mode)context->wish);
        break;
    case OOL_CONTEXT_AUTOCAST:
        ool_autocast_enter(s->t, (enum ool_dtype)context->wish, context->cache);
        break;
    case OOL_CONTEXT_SAVE_ON_CPU:
        ool_save_on_cpu(s->t, true);
        break;
    case OOL_CONTEXT_SDPA:
        context->old = ool_set_sdpa(s->t, (enum ool_sdpa_backend)context->wish);
        break;
    case OOL_CONTEXT_CUDNN:
        ool_set_cudnn(s->t, context->wish != 0);
        break;
    case OOL_CONTEXT_STREAM:
        context->old = ool_stream(s->t, context->wish);
        break;
    default:
        break;
    }
    return ool_snippet_good(s);
}

bool ool_context_leave(struct ool_snippet *s, struct ool_value *manager)
{
    const struct ool_context *context = &manager->context;

    switch (context->kind) {
    case OOL_CONTEXT_GRAD_MODE:
        ool_set_grad_mode(s->t, (enum ool_grad_mode)context->old);
        break;
    case OOL_CONTEXT_AUTOCAST:
        ool_autocast_leave(s->t);
        s->left_autocast = true;
        break;
    case OOL_CONTEXT_SAVE_ON_CPU:
        ool_save_on_cpu(s->t, false);
        break;
    case OOL_CONTEXT_SDPA:
        ool_set_sdpa(s->t, (enum ool_sdpa_backend)context->old);
        break;
    case OOL_CONTEXT_CUDNN:
        ool_set_cudnn(s->t, true);
        break;
    case OOL_CONTEXT_STREAM:
        ool_stream(s->t, context->old);
        break;
    default:
        break;
    }
    return ool_snippet_good(s);
}

/* --- the card ---------------------------------------------------------------------------------------------- */

static struct ool_value *call_clear_workspaces(struct ool_call *c)
{
    ool_clear_workspaces(c->t);
    return none(c);
}

static struct ool_value *call_empty_cache(struct ool_call *c)
{
    ool_tape_empty_cache(c->t);
    return none(c);
}

static struct ool_value *call_nothing(struct ool_call *c)
{
    return none(c);
}

/* --- Python's own -------------------------------------------------------------------------------------------- */

/* list clear */
static struct ool_value *call_append(struct ool_call *c)
{
    if (c->arg[1] == NULL) /* None itself: c->arg cannot tell it from a missing one */
        return ool_call_refuse(c, "None");
    if (!ool_value_append_take(c->s, c->arg[0], ool_value_share(c->arg[1])))
        return NULL;
    return none(c);
}

static struct ool_value *call_clear(struct ool_call *c)
{
    struct ool_value *list = c->arg[0], **items = list->items;
    size_t n = list->n_items;

    list->items = NULL;
    list->n_items = list->capacity = 0;
    while (n-- > 0)
        ool_value_drop(c->s, items[n]);
    ool_free(items);
    return none(c);
}

static struct ool_value *call_pop(struct ool_call *c)
{
    struct ool_value *list = c->arg[0], *item;
    int64_t at = ool_arg_int(c, 1, -1);

    at += at < 0 ? (int64_t)list->n_items : 0;
    if (c->s->failed || at < 0 || at >= (int64_t)list->n_items)
        return ool_call_refuse(c, "an index out of range");
    item = list->items[at];
    list->n_items--;
    memmove(&list->items[at], &list->items[at + 1],
            (list->n_items - (size_t)at) * sizeof(struct ool_value *));
    return item;
}

static struct ool_value *call_float(struct ool_call *c)
{
    const char *text;

    if (c->arg[0] != NULL && ool_value_is_number(c->arg[0]))
        return ool_value_float(c->s, ool_value_number(c->arg[0]));
    text = ool_arg_text(c, 0, "");
    text += text[0] == '-' || text[0] == '+';
    if (strcmp(text, "inf") != 0)
        return ool_call_refuse(c, "a text other than inf");
    return ool_value_float(c->s, c->arg[0]->text[0] == '-' ? (double)-INFINITY : (double)INFINITY);
}

static struct ool_value *call_int(struct ool_call *c)
{
    double number = ool_arg_number(c, 0, 0);

    if (!(number > -9e15 && number < 9e15))
        return ool_call_refuse(c, "a number out of range");
    return ool_value_int(c->s, (int64_t)number);
}

static struct ool_value *call_len(struct ool_call *c)
{
    const struct ool_value *x = c->arg[0];

    if (x != NULL && (x->kind == OOL_VALUE_LIST || x->kind == OOL_VALUE_TUPLE))
        return ool_value_int(c->s, (int64_t)x->n_items);
    if (x != NULL && x->kind == OOL_VALUE_TENSOR && ool_dims(x->tensor) > 0)
        return ool_value_int(c->s, ool_size(x->tensor, 0));
    return ool_call_refuse(c, "of this kind of value");
}

/* start stop step */
static struct ool_value *call_range(struct ool_call *c)
{
    int64_t start = ool_arg_int(c, 0, 0), stop = ool_arg_int(c, 1, 0), step = ool_arg_int(c, 2, 1);
    struct ool_value *list;

    if (c->arg[1] == NULL) {
        stop = start;
        start = 0;
    }
    if (c->s->failed || step <= 0 || start < -1000000 || stop > 1000000)
        return ool_call_refuse(c, "bounds that do not rise, or a million steps");
    list = ool_value_make(c->s, OOL_VALUE_LIST);
    for (; list != NULL && start < stop; start += step)
        if (!ool_value_append_take(c->s, list, ool_value_int(c->s, start))) {
            ool_value_drop(c->s, list);
            return NULL;
        }
    return list;
}

/* An int 0 first: sum(tensors) adds the first one to it, which makes a tensor. */
static struct ool_value *call_sum(struct ool_call *c)
{
    struct ool_value *sum = c->arg[1] != NULL ? ool_value_share(c->arg[1]) : ool_value_int(c->s, 0);
    struct ool_value *item;
    size_t position = 0;

    while (sum != NULL && c->arg[0] != NULL &&
           (item = ool_value_next(c->s, c->arg[0], &position)) != NULL) {
        struct ool_value *next = ool_snippet_binary(c->s, OOL_SYNTAX_ADD, sum, item);

        ool_value_drop(c->s, sum);
        ool_value_drop(c->s, item);
        sum = next;
    }
    if (c->s->failed || c->arg[0] == NULL) {
        ool_value_drop(c->s, sum);
        return NULL;
    }
    return sum;
}

/* list and tuple of anything that can be iterated */
static struct ool_value *call_sequence(struct ool_call *c)
{
    struct ool_value *list = ool_value_make(c->s, (enum ool_value_kind)c->variant), *item;
    size_t position = 0;

    if (list == NULL || c->arg[0] == NULL)
        return list;
    while ((item = ool_value_next(c->s, c->arg[0], &position)) != NULL)
        if (!ool_value_append_take(c->s, list, item))
            break;
    if (c->s->failed) {
        ool_value_drop(c->s, list);
        return NULL;
    }
    return list;
}

static struct ool_value *call_square_root(struct ool_call *c)
{
    double number = ool_arg_number(c, 0, 0);

    if (!(number >= 0))
        return ool_call_refuse(c, "of a negative number");
    return ool_value_float(c->s, sqrt(number));
}

#define OPTIMIZER_ARGUMENTS                                                                   \
    " foreach? fused? capturable? maximize? centered? decoupled_weight_decay? ~betas ~eps "   \
    "~differentiable ~dampening ~rho ~alpha ~lr_decay ~initial_accumulator_value ~lambd ~t0 " \
    "~etas ~step_sizes ~momentum_decay ~beta2_decay ~d"
#define OPTIMIZER "params lr? weight_decay? momentum? nesterov? amsgrad?" OPTIMIZER_ARGUMENTS

/* clang-format off */
const struct ool_call_line ool_object_calls[] = {
    {"torch.optim.SGD", OPTIMIZER, call_optimizer, OOL_SGD},
    {"torch.optim.Adam", OPTIMIZER, call_optimizer, OOL_ADAM},
    {"torch.optim.AdamW", OPTIMIZER, call_optimizer, OOL_ADAMW},
    {"torch.optim.RMSprop", OPTIMIZER, call_optimizer, OOL_RMSPROP},
    {"torch.optim.Adagrad", OPTIMIZER, call_optimizer, OOL_ADAGRAD},
    {"torch.optim.Adadelta", OPTIMIZER, call_optimizer, OOL_ADADELTA},
    {"torch.optim.Adamax", OPTIMIZER, call_optimizer, OOL_ADAMAX},
    {"torch.optim.NAdam", OPTIMIZER, call_optimizer, OOL_NADAM},
    {"torch.optim.RAdam", OPTIMIZER, call_optimizer, OOL_RADAM},
    {"torch.optim.Adafactor", OPTIMIZER, call_optimizer, OOL_ADAFACTOR},
    {"torch.optim.Rprop", OPTIMIZER, call_optimizer, OOL_RPROP},
    {"torch.optim.ASGD", OPTIMIZER, call_optimizer, OOL_ASGD},
    {"Optimizer.step", "optimizer", call_step, 0},
    {"Optimizer.zero_grad", "optimizer set_to_none?", call_zero_grad, 0},
    {"torch.nn.utils.clip_grad_norm_", "parameters max_norm norm_type? error_if_nonfinite? foreach?", call_clip, CLIP_NORM},
    {"torch.nn.utils.clip_grad_value_", "parameters clip_value foreach?", call_clip, CLIP_VALUE},
    {"torch.nn.utils.get_total_norm", "tensors norm_type? error_if_nonfinite? foreach?", call_clip, CLIP_TOTAL},
    {"torch.amp.GradScaler torch.cuda.amp.GradScaler", "device? enabled? ~init_scale ~growth_factor ~backoff_factor ~growth_interval", call_scaler, 0},
    {"GradScaler.scale", "scaler outputs", call_scaling, SCALER_SCALE},
    {"GradScaler.unscale_", "scaler optimizer", call_scaling, SCALER_UNSCALE},
    {"GradScaler.step", "scaler optimizer", call_scaling, SCALER_STEP},
    {"GradScaler.update", "scaler", call_scaling, SCALER_UPDATE},
    {"torch.utils.checkpoint.checkpoint", "function *args use_reentrant? ~preserve_rng_state", call_checkpoint, 0},

    {"contextlib.nullcontext", "~enter_result", call_null_context, 0},
    {"torch.no_grad", "", call_grad_mode, OOL_NO_GRAD},
    {"torch.inference_mode", "", call_grad_mode, OOL_INFERENCE},
    {"torch.enable_grad", "", call_grad_mode, OOL_GRAD},
    {"torch.set_grad_enabled", "mode", call_set_grad_enabled, 0},
    {"torch.autocast torch.amp.autocast", "device_type dtype? enabled? cache_enabled?", call_autocast, 0},
    {"torch.autograd.graph.save_on_cpu", "~pin_memory ~device_type", call_save_on_cpu, 0},
    {"torch.nn.attention.sdpa_kernel", "backends", call_sdpa_kernel, 0},
    {"torch.backends.cudnn.flags", "enabled? ~benchmark ~deterministic ~allow_tf32", call_cudnn_flags, 0},
    {"torch.cuda.Stream", "~device ~priority", call_stream, 0},
    {"torch.cuda.stream", "stream", call_use_stream, 0},
    {"torch._C._cuda_clearCublasWorkspaces", "", call_clear_workspaces, 0},
    {"torch.cuda.empty_cache", "", call_empty_cache, 0},
    {"torch.cuda.synchronize torch.manual_seed torch.cuda.manual_seed gc.collect", "~argument", call_nothing, 0},

    {"list.append", "list item", call_append, 0},
    {"list.clear", "list", call_clear, 0},
    {"list.pop", "list index?", call_pop, 0},
    {"builtins.float", "number", call_float, 0},
    {"builtins.int", "number", call_int, 0},
    {"builtins.len", "sequence", call_len, 0},
    {"builtins.range", "start stop? step?", call_range, 0},
    {"builtins.sum", "iterable start?", call_sum, 0},
    {"builtins.list", "iterable?", call_sequence, OOL_VALUE_LIST},
    {"builtins.tuple", "iterable?", call_sequence, OOL_VALUE_TUPLE},
    {"math.sqrt", "number", call_square_root, 0},
    {NULL, NULL, NULL, 0},
};
/* clang-format on */
