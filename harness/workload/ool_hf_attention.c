/* The attention interfaces of transformers (sdpa and eager) and its key/value caches. */
#include "ool_hf.h"

#include <math.h>

static struct ool_tensor *repeat_kv(struct ool_tape *t, struct ool_tensor *x, int64_t groups)
{
    int64_t b, h, s, d;

    if (!x || groups == 1)
        return x;
    b = ool_size(x, 0);
    h = ool_size(x, 1);
    s = ool_size(x, 2);
    d = ool_size(x, 3);
    x = ool_expand(t, ool_unsqueeze(t, x, 2), OOL_SHAPE(b, h, groups, s, d));
    return ool_reshape(t, x, OOL_SHAPE(b, h * groups, s, d));
}

static struct ool_tensor *attend_eagerly(struct ool_net *net, struct ool_tensor *q,
                                         struct ool_tensor *k, struct ool_tensor *v,
                                         const struct ool_hf_attention *args,
                                         struct ool_tensor **weights)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *keys = NULL, *values = NULL, *w = NULL, *y = NULL;

    ool_set(t, &keys, repeat_kv(t, k, args->groups));
    ool_set(t, &values, repeat_kv(t, v, args->groups));
    w = ool_matmul(t, q, ool_transpose(t, keys, 2, 3));
    w = ool_scale(t, w, 1 / sqrt((double)ool_size(q, -1)));
    if (args->bias)
        w = ool_add(t, w, args->bias);
    if (args->mask)
        w = ool_add(t, w, args->mask);
    ool_set(t, weights, w);
    if (args->softmax == OOL_HF_SOFTMAX_F32)
        ool_set(t, weights, ool_to(t, ool_softmax_to(t, *weights, -1, OOL_F32), ool_dtype(q)));
    else
        ool_set(t, weights, ool_softmax(t, *weights, -1));
    if (args->softmax == OOL_HF_SOFTMAX_AS_VALUE)
        ool_set(t, weights, ool_to(t, *weights, ool_dtype(v)));
    ool_set(t, weights, ool_dropout_call(net, *weights, args->dropout));
    ool_set(t, &y, ool_matmul(t, *weights, values));
    ool_set(t, &y, ool_contiguous(t, ool_transpose(t, y, 1, 2)));
    ool_del(t, &keys);
    ool_del(t, &values);
    return ool_return(t, &y);
}

/* create_position_bias_mask(): one additive mask from the bias and the mask or causality */
static struct ool_tensor *bias_mask(struct ool_net *net, const struct ool_hf_attention *args,
                                    bool causal, int64_t n, int64_t length)
{
    struct ool_tape *t = net->tape;
    struct ool_tensor *seen = NULL, *mask = NULL, *x;

    if (args->mask) {
        ool_set(t, &seen, args->mask);
    } else if (causal) {
        x = ool_unsqueeze(t, ool_arange(t, n), 1);
        x = ool_binary(t, OOL_GE, x, ool_unsqueeze(t, ool_arange(t, length), 0));
        ool_set(t, &seen, ool_view(t, x, OOL_SHAPE(1, 1, n, length)));
    }
    x = args->bias;
    if (seen)
        x = ool_where(t, seen, x, ool_full(t, ool_dtype(x), -1e30, 0, NULL));
    ool_set(t, &mask, x);
    x = ool_contiguous(t, mask);
    if (x == mask) /* the result is the variable itself */
        x = ool_return(t, &mask);
    ool_del(t, &seen);
    ool_del(t, &mask);
    return x;
}

static struct ool_tensor *attend_sdpa(struct ool_net *net, struct ool_tensor *q,
                                      struct ool_tensor *k, struct ool_tensor *v,
                                      const struct ool_hf_attention *args)
{
    struct ool_tape *t = net->tape;
    struct ool_sdpa_args sdpa = {.dropout = args->dropout};
    struct ool_tensor *query = NULL, *key = NULL, *value = NULL, *mask = NULL, *y = NULL;
    int64_t b = ool_size(q, 0), n = ool_size(q, 2), length = ool_size(k, 2), d = ool_size(v, 3);

    ool_set(t, &query, q);
    ool_set(t, &key, k);
    ool_set(t, &value, v);
    sdpa.gqa = args->groups > 1 && !args->mask && ool_size(k, 3) == d && d <= 256;
    if (args->groups > 1 && !sdpa.gqa && n == 1) {
        ool_set(t, &query,
                ool_reshape(t, q, OOL_SHAPE(b, ool_size(k, 1), args->groups, ool_size(q, 3))));
    } else if (!sdpa.gqa) {
        ool_set(t, &key, repeat_kv(t, k, args->groups));
        ool_set(t, &value, repeat_kv(t, v, args->groups));
    }
    sdpa.causal = n > 1 && !args->mask && args->causal;
    if (sdpa.causal && length > n) { /* the rest of a static cache is still empty */
        ool_set(t, &key, ool_slice(t, key, 2, 0, n));
        ool_set(t, &value, ool_slice(t, value, 2, 0, n));
        length = n;
    }
    ool_set(t, &mask, args->mask);
    if (args->bias) {
        ool_set(t, &mask, bias_mask(net, args, sdpa.causal, n, length));
        sdpa.causal = false;
    }
    sdpa.mask = mask;
    ool_set(t, &y, ool_sdpa(t, query, key, value, &sdpa));
    ool_set(t, &y, ool_reshape(t, y, OOL_SHAPE(b, -1, n, d)));
    ool_set(t, &y, ool_contiguous(t, ool_transpose(t, y, 1, 2)));
    ool_del(t, &query);
    ool_del(t, &key);
    ool_del(t, &value);
    ool_del(t, &mask);
    return ool_return(t, &y);
}

struct ool_tensor *ool_hf_attend(struct ool_net *net, struct ool_tensor *q, struct ool_tensor *k,
                                 struct ool_tensor *v, const struct ool_hf_attention *args,
                                 struct ool_tensor **weights)
{
    ool_del(net->tape, weights);
    if (!q || !k || !v)
        return NULL;
    if (net->model.attention == OOL_ATTENTION_EAGER)
        return attend_eagerly(net, q, k, v, args, weights);
    return attend_sdpa(net, q, k, v, args);
}

struct ool_tensor *ool_hf_self_attention(struct ool_net *net, const struct ool_hf_projections *p,
                                         struct ool_tensor *x, const struct ool_hf_attention *args,
                                         struct ool_tensor **weights)
{
    struct ool_tape *t = net->tape;
    int64_t d = net->model.hidden / net->model.heads;
    struct ool_tensor *q = NULL, *k = NULL, *v = NULL, *y = NULL;

    ool_set(t, &q, ool_hf_heads(net, p->q, x, d));
    ool_set(t, &k, ool_hf_heads(net, p->k, x, d));
    ool_set(t, &v, ool_hf_heads(net, p->v, x, d));
    ool_set(t, &y, ool_hf_attend(net, q, k, v, args, weights));
    ool_set(t, &y, ool_reshape(t, y, OOL_SHAPE(ool_size(x, 0), ool_size(x, 1), -1)));
    if (p->o)
        ool_set(t, &y, ool_linear_call(net, p->o, y));
    ool_del(t, &q);
    ool_del(t, &k);
    ool_del(t, &v);
    return ool_return(t, &y);
}

/* --- caches ----------------------------------------------------------------------------------- */

/* DynamicLayer: the states of this call behind those before it, which at first are none, of the
 * keys' type */
static void append(struct ool_tape *t, struct ool_tensor **cached, struct ool_tensor *states,
                   enum ool_dtype dtype)
{
    if (!*cached)
        ool_set(
            t, cached,
            ool_empty(t, dtype,
                      OOL_SHAPE(ool_size(states, 0), ool_size(states, 1), 0, ool_size(states, 3))));
    ool_set(t, cached, ool_cat(t, (struct ool_tensor *[]){*cached, states}, 2, -2));
}

/* StaticLayer: room for everything from the first call on, written in place */
static void write_static(struct ool_net *net, struct ool_kv *cache, int64_t layer,
                         struct ool_tensor *k, struct ool_tensor *v)
{
    struct ool_tape *t = net->tape;
    int64_t n = ool_size(k, 2);
    struct ool_tensor *places = NULL;

    if (!cache->k[layer]) {
        ool_set(t, &cache->k[layer],
                ool_zeros(t, ool_dtype(k),
                          OOL_SHAPE(ool_size(k, 0), ool_size(k, 1), cache->max, ool_size(k, 3))));
        ool_set(t, &cache->v[layer],
                ool_zeros(t, ool_dtype(k),
                          OOL_SHAPE(ool_size(v, 0), ool_size(v, 1), cache->max, ool_size(v, 3))));
        ool_set(t, &cache->length[layer], ool_empty(t, OOL_I64, 0, NULL));
    }
    ool_set(t, &places, ool_add(t, ool_arange(t, n), cache->length[layer]));
    ool_index_copy(t, cache->k[layer], 2, places, k);
    ool_index_copy(t, cache->v[layer], 2, places, v);
    ool_del(t, &places);
}

void ool_hf_cache_update(struct ool_net *net, struct ool_kv *cache, int64_t layer,
                         struct ool_tensor **k, struct ool_tensor **v)
{
    enum ool_category old;

    if (!cache || !*k || !*v || (cache->kind == OOL_CACHE_STATIC && !cache->length))
        return;
    old = ool_categorize(net->tape, OOL_CATEGORY_KV_CACHE);
    if (cache->kind == OOL_CACHE_STATIC) {
        write_static(net, cache, layer, *k, *v);
    } else {
        append(net->tape, &cache->k[layer], *k, ool_dtype(*k));
        append(net->tape, &cache->v[layer], *v, ool_dtype(*k));
    }
    ool_categorize(net->tape, old);
    ool_set(net->tape, k, cache->k[layer]);
    ool_set(net->tape, v, cache->v[layer]);
}

struct ool_kv *ool_hf_cache_add(struct ool_net *net, int64_t n_layers)
{
    struct ool_kv *cache = ool_net_alloc(net, 1, sizeof(*cache));

    if (!cache)
        return NULL;
    cache->kind = OOL_CACHE_DYNAMIC;
    cache->n_layers = n_layers;
    cache->k = ool_net_alloc(net, (size_t)n_layers, sizeof(*cache->k));
    cache->v = ool_net_alloc(net, (size_t)n_layers, sizeof(*cache->v));
    return cache->k && cache->v ? cache : NULL;
}

struct ool_kv *ool_hf_cache_of(const struct ool_net *net, const struct ool_call *call,
                               struct ool_kv *own)
{
    if (net->workload->checkpoint != OOL_CHECKPOINT_NONE && net->training)
        return NULL;
    if (call->cache)
        return call->cache;
    return call->use_cache ? own : NULL;
}

void ool_hf_cache_keep(struct ool_net *net, struct ool_output *out, struct ool_kv *cache)
{
    /* a Python list lets go of its last item first */
    for (int64_t i = cache ? cache->n_layers - 1 : -1; i >= 0; i--) {
        ool_output_keep(net, out, cache->k[i]);
        ool_del(net->tape, &cache->k[i]);
        ool_output_keep(net, out, cache->v[i]);
        ool_del(net->tape, &cache->v[i]);
    }
}

void ool_hf_cache_open(struct ool_net *net, struct ool_kv *cache)
{
    /* both kinds make their tensors in the first call */
    cache->length = ool_net_alloc(net, (size_t)cache->n_layers, sizeof(*cache->length));
}
