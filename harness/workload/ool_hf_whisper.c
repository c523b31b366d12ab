/*
 * ool_hf_whisper.c - WhisperForConditionalGeneration of transformers: its parameters. Its stem are convolutions, which
 * the tape does not have, so it is counted and not run.
 */
#include "ool_hf.h"

#define SOUND_POSITIONS 1500 /* thirty seconds, after the stem's stride of two */

static void defaults(struct ool_net *net, struct ool_model *m)
{
    ool_hf_default(&m->vocab, 51865);
    ool_hf_default(&m->hidden, 384);
    ool_hf_default(&m->layers, 4);
    ool_hf_default(&m->decoder_layers, m->layers);
    ool_hf_default(&m->heads, 6);
    ool_hf_default(&m->ffn, 4 * m->hidden);
    ool_hf_default(&m->max_seq, 448);
    ool_hf_default(&m->channels, 80);
    ool_hf_check_heads(net, m->hidden, m->heads);
}

static void conv_add(struct ool_net *net, struct ool_module *parent, const char *name, int64_t in,
                     int64_t out)
{
    struct ool_module *module = ool_module_add(net, parent, name, -1);

    ool_param_add(net, module, "weight", OOL_SHAPE(out, in, 3));
    ool_param_add(net, module, "bias", OOL_SHAPE(out));
}

static void attention_add(struct ool_net *net, struct ool_module *parent, const char *name)
{
    struct ool_module *module = ool_module_add(net, parent, name, -1);
    int64_t h = net->model.hidden;

    ool_linear_add(net, module, "k_proj", h, h, false);
    ool_linear_add(net, module, "v_proj", h, h, true);
    ool_linear_add(net, module, "q_proj", h, h, true);
    ool_linear_add(net, module, "out_proj", h, h, true);
}

static void blocks_add(struct ool_net *net, struct ool_module *parent, int64_t n, bool decoder)
{
    int64_t h = net->model.hidden, ffn = net->model.ffn;

    for (int64_t i = 0; i < n; i++) {
        struct ool_module *block = ool_hf_list_add(net, parent, "layers", i, OOL_ROLE_BLOCK);

        if (!block)
            return;
        attention_add(net, block, "self_attn");
        ool_layer_norm_add(net, block, "self_attn_layer_norm", h);
        if (decoder) {
            attention_add(net, block, "encoder_attn");
            ool_layer_norm_add(net, block, "encoder_attn_layer_norm", h);
        }
        ool_linear_add(net, block, "fc1", h, ffn, true);
        ool_linear_add(net, block, "fc2", ffn, h, true);
        ool_layer_norm_add(net, block, "final_layer_norm", h);
    }
    ool_layer_norm_add(net, parent, "layer_norm", h);
}

static void build(struct ool_net *net)
{
    const struct ool_model *m = &net->model;
    struct ool_module *model, *encoder, *decoder, *sound, *words, *head;

    net->deferred = true;
    model = ool_module_add(net, net->root, "model", -1);
    encoder = ool_module_add(net, model, "encoder", -1);
    conv_add(net, encoder, "conv1", m->channels, m->hidden);
    conv_add(net, encoder, "conv2", m->hidden, m->hidden);
    sound = ool_embedding_add(net, encoder, "embed_positions", SOUND_POSITIONS, m->hidden);
    blocks_add(net, encoder, m->layers, false);
    decoder = ool_module_add(net, model, "decoder", -1);
    words = ool_embedding_add(net, decoder, "embed_tokens", m->vocab, m->hidden);
    ool_embedding_add(net, decoder, "embed_positions", m->max_seq, m->hidden);
    blocks_add(net, decoder, m->decoder_layers, true);
    head = ool_linear_add(net, net->root, "proj_out", m->hidden, m->vocab, false);
    if (head)
        head->role = OOL_ROLE_HEAD;
    if (m->tied != 0)
        ool_module_tie(net, head, words);
    ool_net_materialize(net, net->root);
    if (sound && sound->n_params > 0 && sound->params[0]->tensor)
        ool_require_grad(sound->params[0]->tensor, false); /* sinusoids */
}

const struct ool_family_ops ool_hf_whisper = {
    .family = OOL_FAMILY_WHISPER,
    .formulation = OOL_HF,
    .defaults = defaults,
    .build = build,
};
