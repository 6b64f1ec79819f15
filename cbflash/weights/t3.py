"""The decoder's tensors (t3_flash.safetensors) and the parameters of `t3.T3` they fill."""

from __future__ import annotations

from cbflash.weights.table import Rule, rule

_LAYER = "tfmr.layers.{i}"

# Matrices with the same input are joined: the fewer and larger the products, the better.
_LAYERS = (
    rule(
        tuple(f"{_LAYER}.self_attn.{name}.weight" for name in ("q_proj", "k_proj", "v_proj")),
        "t3.layers.{i}.attention.qkv_proj.weight",
        "join3",
    ),
    rule(f"{_LAYER}.self_attn.o_proj.weight", "t3.layers.{i}.attention.o_proj.weight"),
    rule(
        tuple(f"{_LAYER}.mlp.{name}.weight" for name in ("gate_proj", "up_proj")),
        "t3.layers.{i}.mlp.gate_up_proj.weight",
        "join2",
    ),
    rule(f"{_LAYER}.mlp.down_proj.weight", "t3.layers.{i}.mlp.down_proj.weight"),
    rule(f"{_LAYER}.input_layernorm.weight", "t3.layers.{i}.attention_norm.weight"),
    rule(f"{_LAYER}.post_attention_layernorm.weight", "t3.layers.{i}.mlp_norm.weight"),
)
_PERCEIVER = tuple(
    rule(
        f"cond_enc.perceiver.attn.{name}.{kind}",
        f"t3.conditioning.perceiver.{name}.{kind}",
    )
    for name in ("norm", "to_q", "to_k", "to_v", "proj_out")
    for kind in ("weight", "bias")
)

RULES: tuple[Rule, ...] = (
    rule("text_emb.weight", "t3.text_embedding.weight"),
    rule("text_pos_emb.emb.weight", "t3.text_positions.weight"),
    rule("speech_emb.weight", "t3.speech_embedding.weight"),
    rule("speech_pos_emb.emb.weight", "t3.speech_positions.weight"),
    rule("cond_enc.spkr_enc.weight", "t3.conditioning.speaker.weight"),
    rule("cond_enc.spkr_enc.bias", "t3.conditioning.speaker.bias"),
    rule("cond_enc.emotion_adv_fc.weight", "t3.conditioning.emotion.weight"),
    rule("cond_enc.perceiver.pre_attention_query", "t3.conditioning.perceiver.queries"),
    *_PERCEIVER,
    *_LAYERS,
    rule("tfmr.norm.weight", "t3.norm.weight"),
    rule("speech_head.weight", "t3.speech_head.weight"),
    # Left from the autoregressive model: text prediction was a training loss only, and the
    # backbone is fed embeddings, so its own table (8 rows) is never looked up.
    rule("text_head.weight", None),
    rule("tfmr.embed_tokens.weight", None),
)
