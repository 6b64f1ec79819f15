"""The model card of a converted folder: what it is, how it was made, how to use it."""

from __future__ import annotations

from collections.abc import Mapping

from cbflash.checkpoint import DEFAULT_REPO
from cbflash.weights.storage import PartStorage, Storage

CARD = "README.md"

_WHAT = {
    "t3": "text to speech tokens (T3)",
    "s3tokenizer": "speech tokenizer (S3 v2)",
    "xvector": "speaker encoder of the flow (CAMPPlus)",
    "voice_encoder": "speaker encoder of the decoder (GE2E)",
    "flow": "tokens to mel (flow matching)",
    "hift": "mel to sound (HiFT)",
}


def model_card(
    name: str, source: str, revision: str, storage: Storage, sizes: Mapping[str, int]
) -> str:
    """Markdown with the hub's header.

    source, revision: of the release it was made from; sizes: bytes of the folder's files.
    """
    base = source if "/" in source else DEFAULT_REPO
    version = f" at revision `{revision}`" if revision else ""
    networks = "\n".join(f"| {_WHAT[part]} | {_stored(how)} |" for part, how in storage.items())
    files = "\n".join(f"| `{file}` | {size / 1e6:,.1f} MB |" for file, size in sizes.items())
    return f"""---
license: mit
base_model: {base}
base_model_relation: quantized
pipeline_tag: text-to-speech
library_name: mlx
tags:
- mlx
- text-to-speech
- voice-cloning
- cbflash
---

# {name} for MLX, {_short(storage["t3"])}

A conversion of {source}{version}, Resemble AI's Chatterbox-Flash, made with `cbflash-convert`.
The weights are the release's, stored smaller; nothing was trained. Licence: MIT, as the
release.

| network | stored as |
|---|---|
{networks}

| file | size |
|---|---:|
{files}

## Use

    cbflash models download REPO
    cbflash say --model REPO --voice clip.wav "Hello from my own machine."

REPO is this repository's name. `config.json` says all sizes, how every network is stored,
and the hashes of the files it was made from. `cbflash models verify` checks the files.

Clone only voices that you may use.
"""


def _short(decoder: PartStorage) -> str:
    return f"{decoder.bits} bits" if decoder.bits else decoder.dtype


def _stored(how: PartStorage) -> str:
    if how.bits:
        return f"{how.bits} bits in groups of {how.group_size}, the rest {how.dtype}"
    return f"{how.dtype}, in part fp32" if how.exact else how.dtype
