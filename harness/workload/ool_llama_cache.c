#include "ool_llama_cache.h"

void ool_llama_cache_open(struct ool_net *net, struct ool_kv *cache)
{
    struct ool_tape *t = net->tape;

    for (int64_t i = 0; cache->kind == OOL_CACHE_STATIC && i < cache->n_layers; i++) {
        ool_set(t, &cache->k[i],
                ool_empty(t, net->dtype,
                          OOL_SHAPE(cache->batch, cache->kv_heads, cache->max, cache->head_dim)));
        ool_set(t, &cache->v[i],
                ool_empty(t, net->dtype,
                          OOL_SHAPE(cache->batch, cache->kv_heads, cache->max, cache->head_dim)));
    }
}

/* new = cat(old, step): the old ones live until both new ones are there. */
static void grow(struct ool_net *net, struct ool_kv *cache, int64_t layer, struct ool_tensor **k,
                 struct ool_tensor **v)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *new_k, *new_v;

    if (!cache->k[layer]) {
        ool_set(t, &cache->k[layer], *k);
        ool_set(t, &cache->v[layer], *v);
        return;
    }
    new_k = ool_cat(t, (struct ool_tensor *[]){cache->k[layer], *k}, 2, 2);
    new_v = ool_cat(t, (struct ool_tensor *[]){cache->v[layer], *v}, 2, 2);
    ool_set(t, &cache->v[layer], new_v); /* a tuple lets go of its last item first */
    ool_set(t, &cache->k[layer], new_k);
    ool_set(t, k, cache->k[layer]);
    ool_set(t, v, cache->v[layer]);
}

/* K[:, :, from:to] */
static struct ool_tensor *tokens(struct ool_tape *t, struct ool_tensor *x, int64_t from, int64_t to)
{
    return ool_slice(t, x, 2, from, to);
}

void ool_llama_cache_update(struct ool_net *net, struct ool_kv *cache, int64_t layer,
                            struct ool_tensor **k, struct ool_tensor **v)
{
    struct ool_tape *t = net->tape;
    enum ool_category old;
    int64_t end;

    if (!*k || !*v)
        return;
    old = ool_categorize(t, OOL_CATEGORY_KV_CACHE);
    if (cache->kind == OOL_CACHE_DYNAMIC) {
        grow(net, cache, layer, k, v);
    } else {
        end = cache->position + ool_size(*k, 2);
        ool_copy_into(t, tokens(t, cache->k[layer], cache->position, end), *k);
        ool_copy_into(t, tokens(t, cache->v[layer], cache->position, end), *v);
        ool_set(t, k, tokens(t, cache->k[layer], 0, end));
        ool_set(t, v, tokens(t, cache->v[layer], 0, end));
    }
    ool_categorize(t, old);
}
