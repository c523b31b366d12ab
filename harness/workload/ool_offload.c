/*
 * ool_offload.c - weights that wait on the host: at load the buffers alone go to the device.
 *
 * The weights of a block follow in ool_module_enter() and go in ool_module_leave().
 */
#include "ool_loop.h"

static void buffers_to_device(struct ool_tape *t, struct ool_module *module)
{
    for (int i = 0; i < module->n_params; i++)
        if (module->params[i]->buffer)
            ool_set(t, &module->params[i]->tensor, ool_to_device(t, module->params[i]->tensor));
    for (struct ool_module *child = module->first_child; child; child = child->next)
        buffers_to_device(t, child);
}

void ool_net_offload(struct ool_net *net)
{
    enum ool_category old;

    for (int i = 0; i < net->root->n_params; i++)
        if (!net->root->params[i]->buffer)
            ool_fail(net->tape, OOL_E_COMBINATION,
                     "%s belongs to no layer, so nothing would bring it to the device",
                     net->root->params[i]->name);
    old = ool_categorize(net->tape, OOL_CATEGORY_BUFFER);
    buffers_to_device(net->tape, net->root);
    ool_categorize(net->tape, old);
}
