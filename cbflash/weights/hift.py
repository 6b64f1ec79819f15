"""The vocoder's tensors (s3gen.safetensors, "mel2wav.") and the parameters of `hift.HiFT`."""

from __future__ import annotations

from cbflash.weights.table import Rule, rule


def _conv(source: str, target: str) -> tuple[Rule, ...]:
    return (
        rule(f"{source}.weight", f"{target}.weight", "conv1d"),
        rule(f"{source}.bias", f"{target}.bias"),
    )


def _normed(source: str, target: str, transform: str = "weight_norm_conv1d") -> tuple[Rule, ...]:
    """A convolution whose weight is stored as a length and a direction."""
    parts = tuple(f"{source}.parametrizations.weight.original{part}" for part in (0, 1))
    return (
        rule((parts[0], parts[1]), f"{target}.weight", transform),
        rule(f"{source}.bias", f"{target}.bias"),
    )


def _residual_blocks(source: str, target: str) -> tuple[Rule, ...]:
    layer = f"{target}.{{i}}.layers.{{j}}"
    return tuple(
        one
        for half in (1, 2)
        for one in (
            *_normed(f"{source}.{{i}}.convs{half}.{{j}}", f"{layer}.conv{half}"),
            rule(f"{source}.{{i}}.activations{half}.{{j}}.alpha", f"{layer}.snake{half}.alpha"),
        )
    )


RULES: tuple[Rule, ...] = (
    *_normed("mel2wav.f0_predictor.condnet.{i}", "hift.f0_predictor.layers.{i}"),
    rule("mel2wav.f0_predictor.classifier.weight", "hift.f0_predictor.output.weight"),
    rule("mel2wav.f0_predictor.classifier.bias", "hift.f0_predictor.output.bias"),
    rule("mel2wav.m_source.l_linear.weight", "hift.excitation.merge.weight"),
    rule("mel2wav.m_source.l_linear.bias", "hift.excitation.merge.bias"),
    *_normed("mel2wav.conv_pre", "hift.input"),
    *_normed("mel2wav.ups.{i}", "hift.upsamplers.{i}", "weight_norm_conv_transpose1d"),
    *_conv("mel2wav.source_downs.{i}", "hift.source_convs.{i}"),
    *_residual_blocks("mel2wav.source_resblocks", "hift.source_blocks"),
    *_residual_blocks("mel2wav.resblocks", "hift.blocks"),
    *_normed("mel2wav.conv_post", "hift.output"),
)
