"""The flow's tensors (s3gen.safetensors, "flow.") and the parameters of `flow.Flow` they fill."""

from __future__ import annotations

from cbflash.weights.table import Rule, rule

_ENCODER = "flow.encoder"
_ESTIMATOR = "flow.decoder.estimator"


def _pairs(source: str, target: str, transform: str = "copy") -> tuple[Rule, ...]:
    """A layer's weight, by `transform`, and its bias."""
    return (
        rule(f"{source}.weight", f"{target}.weight", transform),
        rule(f"{source}.bias", f"{target}.bias"),
    )


def _input_layer(source: str, target: str) -> tuple[Rule, ...]:
    return (
        *_pairs(f"{source}.out.0", f"{target}.linear"),
        *_pairs(f"{source}.out.1", f"{target}.norm"),
    )


def _encoder_layers(source: str, target: str) -> tuple[Rule, ...]:
    attention = f"{source}.{{i}}.self_attn"
    return (
        *_pairs(f"{source}.{{i}}.norm_mha", f"{target}.{{i}}.attention_norm"),
        *_pairs(f"{attention}.linear_q", f"{target}.{{i}}.attention.q_proj"),
        *_pairs(f"{attention}.linear_k", f"{target}.{{i}}.attention.k_proj"),
        *_pairs(f"{attention}.linear_v", f"{target}.{{i}}.attention.v_proj"),
        *_pairs(f"{attention}.linear_out", f"{target}.{{i}}.attention.o_proj"),
        rule(
            f"{attention}.linear_pos.weight",
            f"{target}.{{i}}.attention.position_proj.weight",
        ),
        rule(f"{attention}.pos_bias_u", f"{target}.{{i}}.attention.content_bias"),
        rule(f"{attention}.pos_bias_v", f"{target}.{{i}}.attention.position_bias"),
        *_pairs(f"{source}.{{i}}.norm_ff", f"{target}.{{i}}.mlp_norm"),
        *_pairs(f"{source}.{{i}}.feed_forward.w_1", f"{target}.{{i}}.mlp.up_proj"),
        *_pairs(f"{source}.{{i}}.feed_forward.w_2", f"{target}.{{i}}.mlp.down_proj"),
    )


def _conv_block(source: str, target: str) -> tuple[Rule, ...]:
    return (
        *_pairs(f"{source}.block.0", f"{target}.conv", "conv1d"),
        *_pairs(f"{source}.block.2", f"{target}.norm"),
    )


def _stage(source: str, target: str) -> tuple[Rule, ...]:
    """A residual block (0) and its transformer blocks (1)."""
    block, ours = f"{source}.1.{{j}}", f"{target}.transformers.{{j}}"
    return (
        *_conv_block(f"{source}.0.block1", f"{target}.residual.first"),
        *_pairs(f"{source}.0.mlp.1", f"{target}.residual.time"),
        *_conv_block(f"{source}.0.block2", f"{target}.residual.second"),
        *_pairs(f"{source}.0.res_conv", f"{target}.residual.shortcut", "pointwise"),
        *_pairs(f"{block}.norm1", f"{ours}.attention_norm"),
        rule(f"{block}.attn1.to_q.weight", f"{ours}.attention.q_proj.weight"),
        rule(f"{block}.attn1.to_k.weight", f"{ours}.attention.k_proj.weight"),
        rule(f"{block}.attn1.to_v.weight", f"{ours}.attention.v_proj.weight"),
        *_pairs(f"{block}.attn1.to_out.0", f"{ours}.attention.o_proj"),
        *_pairs(f"{block}.norm3", f"{ours}.mlp_norm"),
        *_pairs(f"{block}.ff.net.0.proj", f"{ours}.mlp.up_proj"),
        *_pairs(f"{block}.ff.net.2", f"{ours}.mlp.down_proj"),
    )


RULES: tuple[Rule, ...] = (
    rule("flow.input_embedding.weight", "flow.embedding.weight"),
    *_pairs("flow.spk_embed_affine_layer", "flow.speaker"),
    *_input_layer(f"{_ENCODER}.embed", "flow.encoder.input"),
    *_pairs(f"{_ENCODER}.pre_lookahead_layer.conv1", "flow.encoder.lookahead.ahead", "conv1d"),
    *_pairs(f"{_ENCODER}.pre_lookahead_layer.conv2", "flow.encoder.lookahead.behind", "conv1d"),
    *_encoder_layers(f"{_ENCODER}.encoders", "flow.encoder.layers"),
    *_pairs(f"{_ENCODER}.up_layer.conv", "flow.encoder.up_conv", "conv1d"),
    *_input_layer(f"{_ENCODER}.up_embed", "flow.encoder.up_input"),
    *_encoder_layers(f"{_ENCODER}.up_encoders", "flow.encoder.up_layers"),
    *_pairs(f"{_ENCODER}.after_norm", "flow.encoder.norm"),
    *_pairs("flow.encoder_proj", "flow.mean"),
    *_pairs(f"{_ESTIMATOR}.time_mlp.linear_1", "flow.estimator.time.mlp.up_proj"),
    *_pairs(f"{_ESTIMATOR}.time_mlp.linear_2", "flow.estimator.time.mlp.down_proj"),
    # Only a mean flow has it.
    rule(f"{_ESTIMATOR}.time_embed_mixer.weight", "flow.estimator.time.mixer.weight"),
    *_stage(f"{_ESTIMATOR}.down_blocks.0", "flow.estimator.down"),
    *_pairs(f"{_ESTIMATOR}.down_blocks.0.2", "flow.estimator.down_conv", "conv1d"),
    *_stage(f"{_ESTIMATOR}.mid_blocks.{{i}}", "flow.estimator.mid.{i}"),
    *_stage(f"{_ESTIMATOR}.up_blocks.0", "flow.estimator.up"),
    *_pairs(f"{_ESTIMATOR}.up_blocks.0.2", "flow.estimator.up_conv", "conv1d"),
    *_conv_block(f"{_ESTIMATOR}.final_block", "flow.estimator.final"),
    *_pairs(f"{_ESTIMATOR}.final_proj", "flow.estimator.output", "pointwise"),
)
