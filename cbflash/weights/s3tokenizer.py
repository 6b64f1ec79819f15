"""The speech tokenizer's tensors (s3gen.safetensors, "tokenizer.") and the parameters of
`s3tokenizer.S3Tokenizer` they fill."""

from __future__ import annotations

from cbflash.weights.table import Rule, rule

_LAYER = "tokenizer.encoder.blocks.{i}"
_BLOCK = "s3tokenizer.blocks.{i}"

_CONVOLUTIONS = tuple(
    part
    for name in ("conv1", "conv2")
    for part in (
        rule(f"tokenizer.encoder.{name}.weight", f"s3tokenizer.{name}.weight", "conv1d"),
        rule(f"tokenizer.encoder.{name}.bias", f"s3tokenizer.{name}.bias"),
    )
)
_LAYERS = tuple(
    rule(f"{_LAYER}.{source}.{kind}", f"{_BLOCK}.{target}.{kind}")
    for source, target in (
        ("attn_ln", "attention_norm"),
        ("attn.query", "attention.query"),
        ("attn.value", "attention.value"),
        ("attn.out", "attention.out"),
        ("mlp_ln", "mlp_norm"),
        ("mlp.0", "mlp.up"),
        ("mlp.2", "mlp.down"),
    )
    for kind in ("weight", "bias")
)

RULES: tuple[Rule, ...] = (
    *_CONVOLUTIONS,
    *_LAYERS,
    rule(f"{_LAYER}.attn.key.weight", f"{_BLOCK}.attention.key.weight"),
    rule(f"{_LAYER}.attn.fsmn_block.weight", f"{_BLOCK}.attention.memory.weight", "conv1d"),
    rule("tokenizer.quantizer._codebook.project_down.weight", "s3tokenizer.project_down.weight"),
    rule("tokenizer.quantizer._codebook.project_down.bias", "s3tokenizer.project_down.bias"),
    # The mel filters and the Hann window of the front end: formulas, not training;
    # `features.py` computes them.
    rule("tokenizer._mel_filters", None),
    rule("tokenizer.window", None),
)
