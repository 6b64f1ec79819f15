"""The voice encoder's tensors (ve.safetensors) and the parameters of
`voice_encoder.VoiceEncoder` they fill."""

from __future__ import annotations

from cbflash.weights.table import Rule, rule

RULES: tuple[Rule, ...] = (
    rule("lstm.weight_ih_l{i}", "voice_encoder.lstm.{i}.input.weight"),
    rule("lstm.weight_hh_l{i}", "voice_encoder.lstm.{i}.recurrent.weight"),
    # torch keeps two biases that are only ever added.
    rule(("lstm.bias_ih_l{i}", "lstm.bias_hh_l{i}"), "voice_encoder.lstm.{i}.input.bias", "sum"),
    rule("proj.weight", "voice_encoder.projection.weight"),
    rule("proj.bias", "voice_encoder.projection.bias"),
    # Scale and offset of the cosine similarity in the training loss.
    rule("similarity_weight", None),
    rule("similarity_bias", None),
)
