"""A corpus of a few utterances and small sizes: what stages of training are tested on.

What is heard is noise. Texts are short, and each is there once.
"""

from __future__ import annotations

import itertools
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.seeded_models import TINY
from training import voice_encoder
from training.codec import Material
from training.corpus.description import Description, claim_folder
from training.corpus.shards import Row, encode, write_shard
from training.features import Features
from training.letters import LetterIds
from training.recipe import Recipe
from training.spoken import Speech

Floats = npt.NDArray[np.float32]

RATE = 24_000
SHARDS = 2
TRAIN, TEST = ("ann", "bob", "cat"), ("xia", "yan")
PARTS = ("train", "train", "train", "train", "valid"), ("test", "test", "closed")

CODES = 81
SIZES = replace(
    TINY,
    name="small",
    t3=replace(
        TINY.t3, width=48, heads=2, head_dim=24, mlp=96, text_vocab=80, start_text=2, stop_text=0,
        speech_vocab=CODES + 3, start_speech=CODES, stop_speech=CODES + 1, prompt_tokens=60,
    ),
    s3tokenizer=replace(TINY.s3tokenizer, width=32, mlp=64, fsq_dims=4),
    flow=replace(TINY.flow, codebook=CODES),
)  # fmt: skip


def write_recipe(path: Path, **tables: dict[str, object]) -> str:
    """The same as a file."""
    sizes = {f"sizes.{name}": table for name, table in SIZES.to_dict().items() if name != "name"}
    lines = ['name = "small"', "seed = 3"]
    for name, table in (sizes | tables).items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines), "utf-8")
    return str(path)


def write_work(work: Path, features: Path) -> None:
    """What stages leave for those of decoders: features, tokens and embeddings."""
    (work / "features").symlink_to(features)
    tokens, embeddings = made_up(Features(features))
    (work / "codec").mkdir()
    np.save(work / "codec" / "tokens.npy", tokens)
    np.save(work / "codec" / "alignment.npy", made_up_places(Features(features)))
    (work / voice_encoder.STAGE).mkdir()
    np.save(work / voice_encoder.STAGE / voice_encoder.EMBEDDINGS, embeddings)


def make_recipe(**tables: dict[str, object]) -> Recipe:
    return Recipe("small", 3, SIZES, tables)


def write_corpus(folder: Path) -> Path:
    """Three speakers to be trained on and two others, in two shards."""
    folder.mkdir(parents=True)
    claim_folder(folder, Description(0.01, 1, SHARDS, {"flite": "1"}, "", {}))
    said = [
        (speaker, part)
        for speakers, parts in zip((TRAIN, TEST), PARTS, strict=True)
        for part in parts
        for speaker in speakers
    ]
    for shard in range(SHARDS):
        sounds, rows, begin = [], [], 0
        for index, (speaker, part) in enumerate(said):
            if index % SHARDS != shard:
                continue
            samples = murmur(index)
            sounds.append(encode(samples))
            text = f"{chr(97 + index)}, {speaker}."
            size = len(sounds[-1])
            rows.append(Row(index, part, "closed", speaker, text, len(samples), begin, size))
            begin += size
        write_shard(folder, shard, sounds, rows)
    return folder


def murmur(seed: int) -> Floats:
    """Noise of 0.4 to 0.9 seconds, loud in the middle; no whole number of tokens."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(10_000, 22_000))
    loud = np.sin(np.linspace(0, np.pi, n)) ** 2
    return (0.1 * loud * rng.standard_normal(n)).astype(np.float32)


def make_speech(features: Features, pairs: float = 0.0, unconditional: float = 0.0) -> Speech:
    """The utterances as a decoder sees them, see `made_up`."""
    tokens, embeddings = made_up(features)
    return Speech(
        features,
        tokens,
        embeddings,
        SIZES.t3,
        alignment=made_up_places(features),
        pairs=pairs,
        unconditional=unconditional,
    )


def made_up_places(features: Features) -> npt.NDArray[np.uint16]:
    """The letter that each token is spoken in: as many tokens for one as for another."""
    letters = LetterIds(SIZES.t3)
    places = [
        np.arange(item.tokens) * len(letters(item.text)) // item.tokens for item in features.items
    ]
    return np.concatenate(places).astype(np.uint16)


def made_up(features: Features) -> tuple[npt.NDArray[np.uint16], Floats]:
    """Tokens and embeddings: a speaker has ids of its own, and is about an axis of its own."""
    rng = np.random.default_rng(5)
    who = [speaker_number(item.speaker) for item in features.items]
    tokens = [
        rng.integers(16 * one, 16 * one + 16, item.tokens)
        for one, item in zip(who, features.items, strict=True)
    ]
    embeddings = rng.normal(0, 0.01, (len(who), SIZES.t3.speaker_dim))
    embeddings[np.arange(len(who)), who] += 1
    return np.concatenate(tokens).astype(np.uint16), embeddings.astype(np.float32)


def stop_at(patch: pytest.MonkeyPatch, kind: type[Speech | Material], call: int) -> None:
    """Somebody asks a run to end while its `call`th batch is drawn, from 1."""
    draw, calls = kind.batch, itertools.count(1)

    def batch(self: Speech | Material, *given: Any) -> Any:
        if next(calls) == call:
            signal.raise_signal(signal.SIGTERM)
        return draw(self, *given)

    patch.setattr(kind, "batch", batch)


def speaker_number(name: str) -> int:
    return (*TRAIN, *TEST).index(name)
