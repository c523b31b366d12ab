/*
 * ool_llama_cache.h - key/value caches of the plain Llama: grown by concatenation, or static and written in place.
 */
#ifndef OOL_LLAMA_CACHE_H
#define OOL_LLAMA_CACHE_H

#include "ool_module.h"

/* A static cache has its tensors from the start. */
void ool_llama_cache_open(struct ool_net *net, struct ool_kv *cache);

/* k, v = cache.update(layer, k, v) on the caller's variables. */
void ool_llama_cache_update(struct ool_net *net, struct ool_kv *cache, int64_t layer,
                            struct ool_tensor **k, struct ool_tensor **v);

#endif
