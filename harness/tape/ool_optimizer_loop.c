/*
 * What the single-tensor form of each optimizer allocates for one parameter; its locals live on
 * until the next parameter reassigns them. Source: torch/optim of 2.11.0, functions _single_tensor_*.
 *
 * The letters: g the gradient if it was changed, x y v w z temporaries of expressions, the others the
 * locals in the order of the source.
 */
#include "ool_optimizer_internal.h"

/* Scalars on the device. A number to the power of one puts the number there as f64; a number divided
 * by one is a reciprocal and a product. */
#define POWER_MINUS(v) "x=s y=d -y w=s -x" #v "<w" /* v = 1 - beta ** step */

static bool decays(const struct ool_optimizer *o)
{
    return o->config.weight_decay != 0;
}

/* grad = -grads[i]: the new one is made before the old one dies. */
static void gradient(struct ool_optimizer *o)
{
    ool_text_puts(&o->before, o->config.maximize ? "g=P" : "g=0");
}

/* grad = grads[i], then grad = -grad: the old one dies first. */
static void gradient_late(struct ool_optimizer *o)
{
    ool_text_puts(&o->before, "-g");
    gradient(o);
}

static void decay(struct ool_optimizer *o)
{
    if (decays(o))
        ool_text_puts(&o->before, "g=P");
}

static void sgd(struct ool_optimizer *o)
{
    gradient(o);
    decay(o);
    if (o->config.momentum != 0)
        ool_text_puts(&o->body, o->config.nesterov ? "g=P" : "g=0");
    ool_text_puts(&o->end, "-g");
}

static void adam(struct ool_optimizer *o)
{
    gradient(o);
    if (o->config.kind == OOL_ADAM)
        decay(o);
    if (o->config.capturable) {
        ool_text_puts(&o->body, POWER_MINUS(a) POWER_MINUS(b));
        ool_text_puts(&o->body,
                      o->config.tensor_lr ? "s=s" : "x=s w=s -x s<w"); /* lr / bias correction */
        ool_text_puts(&o->body, "n=s q=s");
        if (o->config.amsgrad)
            ool_text_puts(&o->body, "x=P -x");
        ool_text_puts(&o->body, "x=P y=s w=P -x-y x=s y=s -x-y d<w");
    } else {
        ool_text_puts(&o->body, "x=P w=P -x d<w");
    }
    ool_text_puts(&o->end, "-g-a-b-s-n-q-d");
}

static void rmsprop(struct ool_optimizer *o)
{
    gradient_late(o);
    decay(o);
    ool_text_puts(&o->body, "q=P");
    ool_text_puts(&o->end, "-g-q");
}

static void adadelta(struct ool_optimizer *o)
{
    gradient_late(o);
    decay(o);
    ool_text_puts(&o->body, "q=P d=P");
    ool_text_puts(&o->end, "-g-q-d");
}

static void adamax(const struct ool_tape *t, struct ool_optimizer *o)
{
    gradient_late(o);
    decay(o);
    ool_text_puts(&o->body, t->facts->torch < OOL_TORCH_2_4 ? "x=P w=C -x n<w" : "x=P -x");
    if (o->config.capturable)
        ool_text_puts(&o->body, POWER_MINUS(b) "d=P");
    ool_text_puts(&o->end, "-g-n-b-d");
}

static void nadam(struct ool_optimizer *o)
{
    gradient(o);
    ool_text_puts(&o->before, "e=0");
    if (o->config.capturable)
        ool_text_puts(&o->before, POWER_MINUS(b));
    if (!o->config.decoupled)
        decay(o);
    if (!o->config.capturable) {
        ool_text_puts(&o->body, "x=P w=P -x d<w");
    } else {
        ool_text_puts(&o->body, "x=s w=s y=d -y-x x=s -w w=s -x x=s -w m<x"        /* mu */
                                "x=s w=s -x x=s y=d -y-w w=s -x x=s -w w=s -x n<w" /* mu_next */
                                "x=P w=P -x d<w d=P p=s"
                                "x=s w=s -x x=s v=s -w-x x=P -v g<x"
                                "x=s w=s v=s -x-w x=P -v e<x");
    }
    ool_text_puts(&o->end, "-g-e-b-m-n-d-p");
}

static void radam(const struct ool_tape *t, struct ool_optimizer *o)
{
    gradient(o);
    if (!o->config.decoupled)
        decay(o);
    if (o->config.capturable) {
        ool_text_puts(
            &o->body,
            POWER_MINUS(a) POWER_MINUS(
                b) "e=P"
                   "x=s w=s y=d -y v=s -x-w w=s -v v=s -w r<v"       /* rho_t */
                   "i=t x=s w=s v=s -x-w w=s -v v=s x=s -w-v w=s -x" /* the rectification */
                   "y=P x=s v=P -x-y y=P -w-v x=p v=P -x-i-y u<v"    /* where(rho_t > 5, ..) */
                   "x=P y=P -x-y");
    } else {
        ool_text_puts(&o->body, "e=P x=P -x");
        ool_text_puts(&o->rectified, t->facts->torch < OOL_TORCH_2_4
                                         ? "e=P q=P x=P w=P -x u<w x=P y=P -x x=P -y-x"
                                         : "e=P x=P y=P w=P v=P -w-y w=P -x-v x=P -w-x");
    }
    ool_text_puts(&o->end, "-g-a-e-q-u-b-r");
}

static void rprop(const struct ool_tape *t, struct ool_optimizer *o)
{
    gradient_late(o);
    ool_text_puts(&o->body, "x=P w=P -x s<w");
    if (o->config.capturable)
        ool_text_puts(&o->body, "x=b y=p z=P -y-x-z x=b y=p z=P -y-x-z x=b y=p z=P -y-x-z"
                                "g=P x=b y=p z=P -y-x-z");
    else
        ool_text_puts(&o->body, t->facts->torch < OOL_TORCH_2_15
                                    ? "x=b y=o -y-x x=b y=o -y-x x=b y=o -y-x g=P x=b y=o -y-x"
                                    : "x=b -x x=b -x x=b -x g=P x=b -x");
    ool_text_puts(&o->body, "x=P -x");
    ool_text_puts(&o->end, "-g-s");
}

static void asgd(const struct ool_tape *t, struct ool_optimizer *o)
{
    gradient_late(o);
    decay(o);
    if (o->config.capturable)
        ool_text_puts(&o->body, "x=s w=s -x-w");
    /* mu is read back; on a device that computes it is 1 in the first million steps and this
     * temporary is not made. The recordings read 0. */
    ool_text_puts(&o->body, t->facts->torch < OOL_TORCH_2_4 ? "x=P y=P -x-y" : "x=P -x");
    if (o->config.capturable) {
        ool_text_puts(&o->body, o->config.tensor_lr ? "x=s w=s -x x=s -w w=s -x-w"
                                                    : "x=s w=s -x x=s -w w=s v=s -w-x-v");
        ool_text_puts(&o->body, "x=s w=s v=s -x-w w=s x=s -w-v-x");
    }
    ool_text_puts(&o->end, "-g");
}

void ool_optimizer_loop(const struct ool_tape *t, struct ool_optimizer *optimizer)
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
    case OOL_ADAGRAD:
        rmsprop(optimizer);
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
        radam(t, optimizer);
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
