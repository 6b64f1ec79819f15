"""A converted model beside its source: the same questions, the answers compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx

from cbflash.checkpoint import Checkpoint
from cbflash.errors import ModelError
from convert.metrics import agreement, cosine, divergence, log_mel_distance, top_agreement
from convert.probe import Answers, ask
from mlx_port.weights import load_model

BROKEN = 0.5  # a likeness below this is no loss of precision but a fault


@dataclass(frozen=True)
class Line:
    """One comparison. likeness: 1 where nothing was lost, a cosine or a share of tokens.

    details: what else there is to say, by name.
    """

    network: str
    likeness: float
    details: str

    @property
    def broken(self) -> bool:
        return not self.likeness >= BROKEN  # so that NaN is broken too


def verify(
    source: Checkpoint, result: Checkpoint, progress: Callable[[str], None] | None = None
) -> list[Line]:
    """Run both models in float32 on fixed inputs. One is in memory at a time.

    progress: called with what is done next, in words.
    """
    say = progress or (lambda _: None)
    say("comparing, 1 of 2: the source answers")
    reference = ask(load_model(source, mx.float32), source.config)
    mx.clear_cache()
    say("comparing, 2 of 2: the result answers")
    other = ask(load_model(result, mx.float32), result.config, reference.mel)
    return list(compare(reference, other))


def compare(reference: Answers, other: Answers) -> Iterator[Line]:
    kl = divergence(reference.logits, other.logits)
    top = top_agreement(reference.logits, other.logits)
    yield Line(
        "decoder",
        cosine(reference.logits, other.logits),
        f"KL mean {kl.mean():.2e}, max {kl.max():.2e}, same top token {top:.1%}",
    )
    same = agreement(reference.speech_tokens, other.speech_tokens)
    yield Line("speech tokenizer", same, f"{same:.1%} of tokens equal")
    yield Line("x-vector", cosine(reference.x_vector, other.x_vector), "")
    speaker = cosine(reference.speaker_embedding, other.speaker_embedding)
    yield Line("speaker embedding", speaker, "")
    distance = log_mel_distance(reference.mel, other.mel)
    yield Line("flow", cosine(reference.mel, other.mel), f"log-mel {distance:.3f} dB")
    distance = log_mel_distance(reference.sound_mel, other.sound_mel)
    likeness = cosine(reference.sound_mel, other.sound_mel)
    yield Line("vocoder", likeness, f"log-mel {distance:.3f} dB")


def table(lines: Sequence[Line]) -> str:
    """Markdown."""
    rows = [f"| {line.network} | {line.likeness:.6f} | {line.details} |" for line in lines]
    return "\n".join(["| network | likeness | |", "|---|---:|---|", *rows])


def require_sound(lines: Sequence[Line]) -> None:
    """Raise ModelError where a network is not itself any more."""
    broken = [line for line in lines if line.broken]
    if broken:
        names = ", ".join(
            f"{line.network} ({'not a number' if math.isnan(line.likeness) else line.likeness})"
            for line in broken
        )
        raise ModelError(
            f"The conversion does not answer as its source does: {names}.",
            "Use more bits or smaller groups; if that does not help, report it.",
        )
