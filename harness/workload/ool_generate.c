/*
 * ool_generate.c - greedy decoding: one call over the prompt, then one a token.
 */
#include "ool_loop.h"

#include "ool_mem.h"

static struct ool_kv *cache_open(struct ool_net *net)
{
    const struct ool_workload *w = net->workload;
    const struct ool_model *m = &net->model;
    enum ool_category old;
    struct ool_kv *cache;

    if (w->cache == OOL_CACHE_NONE)
        return NULL;
    cache = ool_net_alloc(net, 1, sizeof(*cache));
    if (!cache)
        return NULL;
    *cache = (struct ool_kv){.kind = w->cache,
                             .n_layers = m->layers,
                             .batch = w->batch,
                             .kv_heads = m->kv_heads,
                             .head_dim = m->head_dim,
                             .max = w->seq + w->new_tokens};
    cache->k = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_tensor *));
    cache->v = ool_net_alloc(net, (size_t)m->layers, sizeof(struct ool_tensor *));
    if (!cache->k || !cache->v)
        return NULL;
    old = ool_categorize(net->tape, OOL_CATEGORY_KV_CACHE);
    net->ops->cache_open(net, cache);
    ool_categorize(net->tape, old);
    return cache;
}

/* logits[:, -1].argmax(-1, keepdim=True) */
static struct ool_tensor *next_token(struct ool_tape *t, struct ool_tensor *logits)
{
    const struct ool_index last[] = {{OOL_INDEX_ALL, 0, 0, NULL}, {OOL_INDEX_AT, -1, 0, NULL}};

    return ool_reduce(t, OOL_ARGMAX, ool_subscript(t, logits, 2, last), -1, true);
}

struct decoder {
    struct ool_net *net;
    struct ool_kv *cache;
    struct ool_tensor *ids, *next, *logits;
    int64_t position;
};

static void token(struct decoder *d)
{
    struct ool_tape *t = d->net->tape;
    struct ool_output out = {.loss = NULL};
    struct ool_call call = {.x = d->ids,
                            .cache = d->cache,
                            .start = d->position,
                            .last_logits = d->net->workload->all_logits ? 0 : 1};

    d->net->ops->forward(d->net, &call, &out);
    if (out.logits) {
        ool_set(t, &d->logits, out.logits);
        if (d->cache) {
            d->cache->position += ool_size(d->ids, 1);
            d->position += ool_size(d->ids, 1);
        }
        ool_set(t, &d->next, next_token(t, d->logits));
        for (size_t i = 0; i < out.n_kept; i++)
            ool_del(t, &out.kept[i]);
        if (d->cache)
            ool_set(t, &d->ids, d->next);
        else
            ool_set(t, &d->ids, ool_cat(t, (struct ool_tensor *[]){d->ids, d->next}, 2, 1));
    }
    ool_free(out.kept);
}

static void unload(struct decoder *d)
{
    struct ool_tape *t = d->net->tape;

    ool_del(t, &d->logits);
    ool_del(t, &d->ids);
    ool_del(t, &d->next);
    for (int64_t i = 0; d->cache && i < d->cache->n_layers; i++) {
        ool_del(t, &d->cache->k[i]);
        ool_del(t, &d->cache->v[i]);
        if (d->cache->length)
            ool_del(t, &d->cache->length[i]);
    }
    ool_net_drop(d->net, d->net->root);
    ool_phase(t, "unload");
}

void ool_loop_generate(struct ool_net *net)
{
    const struct ool_workload *w = net->workload;
    struct decoder d = {.net = net};
    struct ool_tape *t = net->tape;
    bool amp = w->precision == OOL_AMP_BF16 || w->precision == OOL_AMP_FP16;
    enum ool_category category;
    enum ool_grad_mode mode;
    enum ool_sdpa_backend backend;

    if (!net->ops->cache_open) {
        ool_fail(t, OOL_E_UNSUPPORTED, "the family %s does not generate",
                 ool_family_name(net->ops->family));
        return;
    }
    ool_phase(t, "load");
    mode = ool_set_grad_mode(t, w->generate_mode);
    backend = ool_set_sdpa(t, w->sdpa);
    if (amp)
        ool_autocast_enter(t, w->precision == OOL_AMP_BF16 ? OOL_BF16 : OOL_F16,
                           !w->no_autocast_cache);
    category = ool_categorize(t, OOL_CATEGORY_INPUT);
    ool_set(t, &d.ids, ool_empty(t, OOL_I64, OOL_SHAPE(w->batch, w->seq)));
    ool_categorize(t, category);
    d.cache = cache_open(net);
    ool_phase(t, "input");
    for (int64_t i = 0; i <= w->new_tokens && ool_tape_status(t, NULL) == OOL_OK; i++) {
        token(&d);
        if (i == 0)
            ool_phase(t, "prefill");
        else
            ool_phase(t, "decode%lld", (long long)i);
    }
    if (amp)
        ool_autocast_leave(t);
    ool_set_sdpa(t, backend);
    ool_set_grad_mode(t, mode);
    if (w->unload)
        unload(&d);
    else
        ool_del(t, &d.next); /* the loop's function returns; logits, ids and cache live on */
}
