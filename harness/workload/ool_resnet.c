/*
 * ool_resnet.c - ResNet as torchvision builds it: its parameters. The tape has no convolution, so it is counted and
 * not run.
 */
#include "ool_plain.h"

#define N_STAGES 4

/* The networks that have a name, by their depth. */
static const struct depth {
    int64_t layers;
    bool bottleneck; /* 1x1, 3x3, 1x1 to four times the width; else 3x3, 3x3 */
    int blocks[N_STAGES];
} depths[] = {
    {18, false, {2, 2, 2, 2}},  {34, false, {3, 4, 6, 3}},  {50, true, {3, 4, 6, 3}},
    {101, true, {3, 4, 23, 3}}, {152, true, {3, 8, 36, 3}},
};
#define N_DEPTHS (sizeof(depths) / sizeof(depths[0]))

static const struct depth *depth_of(const struct ool_model *m)
{
    for (size_t i = 0; i < N_DEPTHS; i++)
        if (depths[i].layers == m->layers)
            return &depths[i];
    return NULL;
}

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_plain_default(&m->layers, 50);
    ool_plain_default(&m->resolution, 224);
    ool_plain_default(&m->channels, 3);
    ool_plain_default(&m->classes, 1000);
    if (!depth_of(m))
        ool_fail(net->tape, OOL_E_UNSUPPORTED, "ResNet has 18, 34, 50, 101 or 152 layers, not %lld",
                 (long long)m->layers);
}

/* A convolution without bias. */
static void conv_add(struct ool_net *net, struct ool_module *parent, const char *name, int64_t in,
                     int64_t out, int64_t kernel)
{
    ool_param_add(net, ool_module_add(net, parent, name, -1), "weight",
                  OOL_SHAPE(out, in, kernel, kernel));
}

static void batch_norm_add(struct ool_net *net, struct ool_module *parent, const char *name,
                           int64_t channels)
{
    struct ool_module *module = ool_module_add(net, parent, name, -1);

    ool_param_add(net, module, "weight", OOL_SHAPE(channels));
    ool_param_add(net, module, "bias", OOL_SHAPE(channels));
    ool_buffer_add(net, module, "running_mean", net->dtype, OOL_SHAPE(channels));
    ool_buffer_add(net, module, "running_var", net->dtype, OOL_SHAPE(channels));
    ool_buffer_add(net, module, "num_batches_tracked", OOL_I64, 0, (const int64_t[]){0});
}

static void block_add(struct ool_net *net, struct ool_module *block, int64_t in, int64_t width,
                      int64_t out)
{
    bool bottleneck = out != width;
    struct ool_module *shortcut;

    conv_add(net, block, "conv1", in, width, bottleneck ? 1 : 3);
    batch_norm_add(net, block, "bn1", width);
    conv_add(net, block, "conv2", width, width, 3);
    batch_norm_add(net, block, "bn2", width);
    if (bottleneck) {
        conv_add(net, block, "conv3", width, out, 1);
        batch_norm_add(net, block, "bn3", out);
    }
    if (in == out)
        return;
    shortcut = ool_module_add(net, block, "downsample", -1);
    conv_add(net, shortcut, "0", in, out, 1);
    batch_norm_add(net, shortcut, "1", out);
}

static void build(struct ool_net *net)
{
    static const char *const names[N_STAGES] = {"layer1", "layer2", "layer3", "layer4"};
    const struct ool_model *m = &net->model;
    const struct depth *depth = depth_of(m);
    int64_t in = 64, width = 64;
    struct ool_module *head;

    conv_add(net, net->root, "conv1", m->channels, in, 7);
    batch_norm_add(net, net->root, "bn1", in);
    for (int stage = 0; stage < N_STAGES; stage++, width *= 2) {
        int64_t out = depth->bottleneck ? 4 * width : width;

        for (int i = 0; i < depth->blocks[stage]; i++, in = out) {
            struct ool_module *block = ool_module_add(net, net->root, names[stage], i);

            if (!block)
                return;
            block->role = OOL_ROLE_BLOCK;
            block_add(net, block, in, width, out);
        }
    }
    head = ool_linear_add(net, net->root, "fc", in, m->classes, true);
    if (head)
        head->role = OOL_ROLE_HEAD;
}

const struct ool_family_ops ool_resnet = {.family = OOL_FAMILY_RESNET,
                                          .formulation = OOL_PLAIN,
                                          .heads = 1u << OOL_HEAD_CLASSES,
                                          .defaults = defaults,
                                          .build = build};
