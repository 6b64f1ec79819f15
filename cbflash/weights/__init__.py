"""The weight tables of the release, by the file they read, and the modules they fill."""

from __future__ import annotations

from cbflash.weights import flow, hift, s3tokenizer, t3, voice_encoder, xvector
from cbflash.weights.table import Rule

# Keys are the parts of `Checkpoint.files`.
TABLES: dict[str, tuple[Rule, ...]] = {
    "t3": t3.RULES,
    "s3gen": (*s3tokenizer.RULES, *xvector.RULES, *flow.RULES, *hift.RULES),
    "ve": voice_encoder.RULES,
}

# First component of a parameter's name, by the file of a model folder that holds it.
MODULES: dict[str, tuple[str, ...]] = {
    "t3": ("t3",),
    "s3gen": ("s3tokenizer", "xvector", "flow", "hift"),
    "ve": ("voice_encoder",),
}
