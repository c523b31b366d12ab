/*
 * ool_lora.c - which parameters train: low-rank adapters on a frozen base, and frozen parts.
 */
#include "ool_loop.h"

#include <string.h>

static const char *const default_targets[] = {"qkv", "q", "v", "q_proj", "v_proj", NULL};

static bool is_target(const struct ool_net *net, const struct ool_module *module)
{
    const char *const *targets = net->workload->lora.targets;

    if (module->kind != OOL_MODULE_LINEAR)
        return false;
    for (targets = targets ? targets : default_targets; *targets; targets++)
        if (strcmp(*targets, module->name) == 0)
            return true;
    return false;
}

static void require_grad(struct ool_module *module, bool on)
{
    for (int i = 0; i < module->n_params; i++)
        if (!module->params[i]->buffer && module->params[i]->tensor)
            ool_require_grad(module->params[i]->tensor, on);
    for (struct ool_module *child = module->first_child; child; child = child->next)
        require_grad(child, on);
}

static void adapter_add(struct ool_net *net, struct ool_module *linear)
{
    const struct ool_lora *lora = &net->workload->lora;
    enum ool_dtype base = net->dtype;

    if (lora->dtype >= 0)
        net->dtype = (enum ool_dtype)lora->dtype;
    linear->lora_a = ool_linear_add(net, linear, "A", linear->in, lora->rank, false);
    linear->lora_b = ool_linear_add(net, linear, "B", lora->rank, linear->out, false);
    net->dtype = base;
}

/* Adapters of a module's own linears before those of its children: the order of a walk over
 * model.modules() that was listed before anything was replaced. */
static size_t adapt(struct ool_net *net, struct ool_module *module)
{
    size_t n = 0;

    for (struct ool_module *child = module->first_child; child; child = child->next) {
        if (!is_target(net, child))
            continue;
        adapter_add(net, child);
        n++;
    }
    for (struct ool_module *child = module->first_child; child; child = child->next)
        if (!child->lora_a)
            n += adapt(net, child);
    return n;
}

void ool_net_adapt(struct ool_net *net)
{
    int64_t rank = net->workload->lora.rank;

    if (rank == 0)
        return;
    if (rank < 0 || rank > INT32_MAX) {
        ool_fail(net->tape, OOL_E_RANGE, "an adapter of rank %lld", (long long)rank);
        return;
    }
    require_grad(net->root, false);
    if (adapt(net, net->root) == 0)
        ool_fail(net->tape, OOL_E_COMBINATION,
                 "no linear of this model is a target of the adapter");
}

static bool is_frozen(const struct ool_net *net, enum ool_role role, int64_t block)
{
    int64_t frozen = net->workload->frozen_blocks;

    if (frozen == OOL_FROZEN_ALL)
        return true;
    if (frozen == OOL_FROZEN_TRUNK)
        return role != OOL_ROLE_HEAD;
    return role == OOL_ROLE_EMBEDDING || (role == OOL_ROLE_BLOCK && block < frozen);
}

/* A tied parameter belongs to the module that has it first. */
static void freeze(struct ool_net *net, struct ool_module *module, enum ool_role role,
                   int64_t block)
{
    if (role == OOL_ROLE_NONE)
        role = module->role;
    if (module->role == OOL_ROLE_BLOCK)
        block = module->index;
    for (int i = 0; i < module->n_params; i++) {
        struct ool_param *param = module->params[i];
        bool frozen = is_frozen(net, param->role != OOL_ROLE_NONE ? param->role : role, block);

        if (param->buffer || param->visited)
            continue;
        param->visited = true;
        if (frozen || net->workload->frozen_blocks == OOL_FROZEN_TRUNK)
            ool_require_grad(param->tensor, !frozen);
    }
    for (struct ool_module *child = module->first_child; child; child = child->next)
        freeze(net, child, role, block);
}

static void forget_visits(struct ool_module *module)
{
    for (int i = 0; i < module->n_params; i++)
        module->params[i]->visited = false;
    for (struct ool_module *child = module->first_child; child; child = child->next)
        forget_visits(child);
}

void ool_net_freeze(struct ool_net *net)
{
    if (net->workload->frozen_blocks == OOL_FROZEN_NONE)
        return;
    freeze(net, net->root, OOL_ROLE_NONE, -1);
    forget_visits(net->root);
}
