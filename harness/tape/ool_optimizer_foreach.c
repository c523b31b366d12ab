/*
 * What the multi-tensor form of each optimizer allocates in a step, for all parameters of one type.
 * Source: torch/optim of 2.11.0, functions _multi_tensor_*; lists die where their variable is
 * reassigned or deleted, the rest when the function returns, in the order of its locals.
 *
 * The letters: g gradients, if changed; q and others the temporaries in the order of the source.
 */
#include "ool_optimizer_internal.h"

/* maximize negates, weight decay adds: the second one reuses the first one's list. */
static void gradients(struct ool_optimizer *o, bool decay)
{
    ool_text_puts(&o->before, "g=0");
    if (o->config.maximize || decay)
        ool_text_puts(&o->before, "g=P");
}

static bool decays(const struct ool_optimizer *o)
{
    return o->config.weight_decay != 0;
}

static void sgd(struct ool_optimizer *o)
{
    gradients(o, decays(o));
    if (o->config.momentum != 0 && !o->config.nesterov)
        ool_text_puts(&o->body, "g=0"); /* the buffers take the gradients' place */
    ool_text_puts(&o->end, "-g");
}

static void adam(struct ool_optimizer *o)
{
    gradients(o, decays(o) && o->config.kind == OOL_ADAM);
    ool_text_puts(&o->body, "-g");
    if (o->config.capturable)
        ool_text_puts(&o->body, "x=s y=s a<x b<y"); /* the two bias corrections */
    ool_text_puts(&o->body, "q=P");
    ool_text_puts(&o->end, "-a-b-q");
}

static void rmsprop(struct ool_optimizer *o)
{
    gradients(o, decays(o));
    ool_text_puts(&o->body, "q=P");
    if (o->config.momentum > 0 && o->config.capturable && o->config.tensor_lr)
        ool_text_puts(&o->body, "m=P");
    ool_text_puts(&o->end, "-g-q-m");
}

static void adagrad(struct ool_optimizer *o)
{
    gradients(o, decays(o));
    ool_text_puts(&o->body, "q=P");
    ool_text_puts(&o->body, o->config.maximize || decays(o) ? "n<g" : "n=P");
    ool_text_puts(&o->end, "-g-q-n");
}

static void adadelta(struct ool_optimizer *o)
{
    gradients(o, decays(o));
    ool_text_puts(&o->body, "q=P d=P");
    ool_text_puts(&o->end, "-g-q-d");
}

static void adamax(const struct ool_tape *t, struct ool_optimizer *o)
{
    gradients(o, decays(o));
    if (t->facts->torch < OOL_TORCH_2_4)
        ool_text_puts(&o->body,
                      "-h {x=P w=C -x n<w y=l -y} h|g"); /* cat, then max with its indices */
    else if (!o->config.maximize && !decays(o))
        ool_text_puts(&o->body, "g=P");
    if (o->config.capturable)
        ool_text_puts(&o->body, "b=s n=P");
    ool_text_puts(&o->end, "-g-h-b-n");
}

static void nadam(struct ool_optimizer *o)
{
    gradients(o, decays(o) && !o->config.decoupled);
    ool_text_puts(&o->body, "q=P");
    if (o->config.capturable)
        ool_text_puts(&o->body, "e=s y=s z=s -e c=s -c d=s m<y -d d=s x<z -d n=P");
    ool_text_puts(&o->end, "-g-q-m-x-n");
}

static void radam(struct ool_optimizer *o)
{
    bool decay = decays(o) && !o->config.decoupled;

    gradients(o, false);
    if (o->config.capturable)
        ool_text_puts(&o->before, "a=s b=s");
    if (decay && !o->config.maximize)
        ool_text_puts(&o->before, "g=P");
    ool_text_puts(&o->body, "-g");
    if (o->config.capturable)
        ool_text_puts(&o->body, "u=s v=s -v d=s -d {x=t y=s z=s -y-x r+z} -u" /* rect */
                                "{x=t y=s v=s z=s -v-y-x k+z} w<k a=s b=s -r-a");
    ool_text_puts(&o->body, "f=P");
    ool_text_puts(&o->end, "-b-w-f");
}

static void rprop(const struct ool_tape *t, struct ool_optimizer *o)
{
    ool_text_puts(&o->body, "q=P -l"); /* the loop variable of the group before */
    ool_text_puts(&o->body, o->config.capturable
                                ? "{x=b y=p z=P -y-x-z x=b y=p z=P -y-x-z x=b y=p z=P -y-x-z}"
                            : t->facts->torch < OOL_TORCH_2_15
                                ? "{x=b y=o -y-x x=b y=o -y-x x=b y=o -y-x}"
                                : "{x=b -x x=b -x x=b -x}");
    ool_text_puts(&o->body,
                  t->facts->torch < OOL_TORCH_2_4 ? "{x=b y=o -y-x}" : "{x=b y=p z=P -y-x-z}");
    ool_text_puts(&o->body, "l|q -q s=P");
    ool_text_puts(&o->end, "-l-s");
}

static void asgd(const struct ool_tape *t, struct ool_optimizer *o)
{
    gradients(o, false);
    if (!(o->config.maximize && decays(o)))
        ool_text_puts(&o->body, "m=P -m");
    ool_text_puts(&o->body, "m=P -m");
    if (o->config.capturable) {
        ool_text_puts(&o->body, "u=s -u e=s");
    } else if (t->facts->torch < OOL_TORCH_2_4) {
        /* two growing lists and their loop variables, c and d; a tensor lr stays on the host */
        ool_text_puts(&o->body, "e=0 u=0 k<c j<d");
        ool_text_puts(&o->body,
                      o->config.tensor_lr ? "{y=s -j u+d d<y}" : "{x=s -k e+c c<x y=s -j u+d d<y}");
    } else {
        /* lr / ((1 + lambd * lr * step) ** alpha): a number divided is a reciprocal and a product */
        ool_text_puts(&o->body, o->config.tensor_lr ? "{x=s y=s -x x=s -y z=s -x k+z}"
                                                    : "{x=s y=s -x x=s -y y=s z=s -y-x k+z}");
        ool_text_puts(&o->body, "e<k u=s");
    }
    ool_text_puts(&o->end, "-g-u-e-c-d");
}

void ool_optimizer_foreach(const struct ool_tape *t, struct ool_optimizer *optimizer)
{
    switch (optimizer->config.kind) {
    case OOL_SGD:
        sgd(optimizer);
        break;
    case OOL_ADAM:
    case OOL_ADAMW:
        adam(optimizer);
        break;
    case OOL_RMSPROP:
        rmsprop(optimizer);
        break;
    case OOL_ADAGRAD:
        adagrad(optimizer);
        break;
    case OOL_ADADELTA:
        adadelta(optimizer);
        break;
    case OOL_ADAMAX:
        adamax(t, optimizer);
        break;
    case OOL_NADAM:
        nadam(optimizer);
        break;
    case OOL_RADAM:
        radam(optimizer);
        break;
    case OOL_RPROP:
        rprop(t, optimizer);
        break;
    case OOL_ASGD:
        asgd(t, optimizer);
        break;
    case OOL_ADAFACTOR:
        break;
    }
}
