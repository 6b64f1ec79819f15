"""Speaking lines: whole ones together, or one of them while it is being decoded.

Both look at what the model made. What is held back until it is whole can be spoken again; what
somebody hears already cannot, and is stopped where it goes wrong.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from cbflash.care import Checked, severity
from cbflash.engine import BlockResult, Engine, FloatArray, StepResult, Vocoder
from cbflash.pacing import Pace
from cbflash.settings import Sampling
from cbflash.silence import SilenceGate, fade_end
from cbflash.speech import Speech
from cbflash.takes import Candidate, Line, Take, notes_on
from cbflash.tokens import SAMPLES_PER_TOKEN, TOKEN_RATE
from cbflash.vocoding import require_finite

TAKES = 3  # at most; a line is spoken again, with the next seed, when something is wrong
_SILENT_SECONDS = 2.0  # of held silence behind a text that may be over: it is over


@dataclass(frozen=True)
class TakeBegun:
    """A line begins to be spoken, or begins again: the `take`-th time, counted from 0."""

    row: int  # of the lines that are spoken together
    take: int


Tell = Callable[[TakeBegun | StepResult | BlockResult], None]


@dataclass(frozen=True)
class Part:
    """Some sound of a line; the last one has its result.

    block: the last one whose sound is in here. tokens, steps: since the part before.
    """

    samples: FloatArray
    block: int
    tokens: tuple[int, ...]
    steps: int
    speech: Speech | None


@dataclass(frozen=True)
class Speaking:
    """What all lines of a job have in common.

    care: look at every utterance, and trim it or speak it again where that helps.
    tell: hears of every take, step and block.
    """

    engine: Engine
    sampling: Sampling
    pace: Pace
    care: bool
    tell: Tell

    # -- whole lines -------------------------------------------------------------------

    def together(self, lines: Sequence[Line]) -> list[Speech]:
        """Decode and render lines together; those that went wrong again, up to `TAKES` times,
        as long as the pace has time for it."""
        begun = time.perf_counter()
        best: dict[int, Candidate] = {}
        waiting = list(range(len(lines)))
        tried = [0] * len(lines)
        for number in range(self._takes):
            takes = [lines[row].take(number) for row in waiting]
            if number and not self.pace.again(sum(take.expected.typical for take in takes)):
                break
            for row, candidate in zip(waiting, self._attempt(waiting, takes, begun), strict=True):
                tried[row] += 1
                if row not in best or candidate.severity < best[row].severity:
                    best[row] = candidate
            waiting = [row for row in waiting if best[row].severity]
            if not waiting:
                break
        seconds = time.perf_counter() - begun
        return [best[row].speech(seconds, tried[row]) for row in range(len(lines))]

    @property
    def _takes(self) -> int:
        # Without any randomness the next seed says the same.
        random = self.sampling.temperature > 0 or self.sampling.position_temperature > 0
        return TAKES if self.care and random else 1

    def _attempt(self, rows: Sequence[int], takes: Sequence[Take], begun: float) -> list[Candidate]:
        prompts = [take.prompt for take in takes]
        for row, take in zip(rows, takes, strict=True):
            self.tell(TakeBegun(row, take.number))
        told = -1  # blocks
        with closing(self.engine.decode(prompts, self.sampling, self.pace.steps)) as results:
            for result in results:
                self.tell(_in_row(result, rows))
                if isinstance(result, StepResult):
                    continue
                takes[result.row].add(result, time.perf_counter() - begun)
                if result.block > told:  # the others of a batch took the same time, not more
                    told = result.block
                    self.pace.decoded(len(result.tokens), result.steps, result.seconds)
                if self.care and len(takes) == 1 and takes[0].lost:
                    break  # nothing good can follow
        rendering = time.perf_counter()
        sounds = self.engine.render([take.utterance() for take in takes], self.sampling)
        sounds = [require_finite(sound) for sound in sounds]
        tokens = sum(len(take.tokens) for take in takes)
        self.pace.rendered(tokens, time.perf_counter() - rendering)
        return [
            Candidate.of(take, sound, self.care) for take, sound in zip(takes, sounds, strict=True)
        ]

    # -- one line, as it comes ---------------------------------------------------------

    def live(self, line: Line) -> Generator[Part, None, None]:
        """Speak a line, giving its sound as early as the pace wants it.

        It can be begun anew only while nothing of it was given.
        """
        best: _Stream | None = None  # of those that ended before anything was given
        tried = 0
        for number in range(self._takes):
            take = line.take(number)
            if best is not None and not self.pace.again(take.expected.typical):
                break
            tried += 1
            self.tell(TakeBegun(0, number))
            stream = self._stream(take)
            with closing(self._windows(stream)) as parts:
                first = next(parts)
                if first.speech is None or not stream.severity:
                    yield stream.retold(first, tried)
                    for part in parts:
                        yield stream.retold(part, tried)
                    return
            if best is None or stream.severity < best.severity:
                best, ending = stream, first
        if best is not None:
            yield best.retold(ending, tried)

    def _stream(self, take: Take) -> _Stream:
        vocoder = self.engine.vocoder(take.prompt.voice, self.sampling, take.prompt.seed)
        return _Stream(take, vocoder, SilenceGate() if self.care else None)

    def _windows(self, stream: _Stream) -> Generator[Part, None, None]:
        """The parts of one take, the last one with its result."""
        take, pace = stream.take, self.pace
        resumed = time.perf_counter()
        with closing(self.engine.decode([take.prompt], self.sampling, pace.steps)) as results:
            for result in results:
                self.tell(result)
                if isinstance(result, StepResult):
                    continue
                take.add(result, stream.worked + time.perf_counter() - resumed)
                pace.decoded(len(result.tokens), result.steps, result.seconds)
                last = result.end is not None or stream.should_end()
                if not last and stream.pending < pace.width(stream.windows):
                    continue
                tokens, rendering = stream.pending, time.perf_counter()
                samples = stream.push(last)
                pace.rendered(tokens, time.perf_counter() - rendering)
                # What the caller does with a part is not the work of this one.
                stream.worked += time.perf_counter() - resumed
                if last or len(samples):
                    yield stream.part(samples, last)
                if last:
                    return
                resumed = time.perf_counter()


@dataclass
class _Stream:
    """The sound of one take, as far as it was made. worked: seconds."""

    take: Take
    vocoder: Vocoder
    gate: SilenceGate | None
    windows: int = 0
    worked: float = 0.0
    _pushed: int = 0  # tokens
    _told: int = 0
    _steps: int = 0
    _keep: int | None = None  # tokens, where the rest is cut off
    _notes: list[str] = field(default_factory=list)
    _parts: list[FloatArray] = field(default_factory=list)

    @property
    def pending(self) -> int:
        """Tokens that wait for the vocoder."""
        return len(self.take.tokens) - self._pushed

    @property
    def severity(self) -> int:
        """Of what is wrong with a take that is complete."""
        return 0 if self.gate is None else severity(self.take.check(None))

    def should_end(self) -> bool:
        """Whether what follows is not worth decoding."""
        if self.gate is None:
            return False
        loop = self.take.loop()
        if loop is not None or self.take.overlong:
            self._keep = max(self._pushed, len(self.take.tokens) if loop is None else loop)
            why = "it did not come to an end" if loop is None else "it repeats itself"
            self._notes.append(f"It was stopped after {self._keep / TOKEN_RATE:.1f} s: {why}.")
            return True
        over = self.take.seconds - self.gate.held >= self.take.expected.least
        return over and self.gate.held >= _SILENT_SECONDS

    def push(self, last: bool) -> FloatArray:
        """Render what waits; the samples that may be heard by now."""
        tokens = self.take.tokens[self._pushed : self._keep]
        samples = require_finite(self.vocoder.push(tokens, last))
        if self._keep is not None:  # in the middle of a sound
            samples = fade_end(samples)
        self._pushed += len(tokens)
        self.windows += 1
        if self.gate is not None:
            samples = self.gate.push(samples, last)
        self._parts.append(samples)
        return samples

    def part(self, samples: FloatArray, last: bool) -> Part:
        """The samples with what they are made of."""
        speech = self._speech() if last else None
        told, steps = self._told, self.take.steps - self._steps
        self._told, self._steps = len(self.take.tokens), self.take.steps
        given = -(-sum(map(len, self._parts)) // SAMPLES_PER_TOKEN)
        block = self.take.block_of(given)
        return Part(samples, block, tuple(self.take.tokens[told:]), steps, speech)

    def retold(self, part: Part, tried: int) -> Part:
        """With what there is to tell of the takes before, where its result is in it."""
        if part.speech is None or self.gate is None:
            return part
        notes = notes_on(self.take, self.take.check(None), tried)
        speech = dataclasses.replace(part.speech, notes=(*notes, *part.speech.notes))
        return dataclasses.replace(part, speech=speech)

    def _speech(self) -> Speech:
        samples = np.concatenate(self._parts)
        checked = Checked(len(self.take.tokens), (), ())
        if self.gate is not None:
            checked = self._checked(self.gate, len(samples) // SAMPLES_PER_TOKEN)
        return self.take.speech(samples, checked, self.worked)

    def _checked(self, gate: SilenceGate, given: int) -> Checked:
        """The verdict on what was given: nothing can be made good any more, but it is told."""
        if gate.dropped:
            self._notes.append(f"{gate.dropped:.1f} s of silence at its end were left out.")
        del self.take.tokens[given:]
        self.take.ended = self.take.ended or bool(self._notes)
        return Checked(given, self.take.check(None).faults, tuple(self._notes))


def _in_row(result: StepResult | BlockResult, rows: Sequence[int]) -> StepResult | BlockResult:
    """A result of a batch, told with the row that the caller knows."""
    if rows[result.row] == result.row:
        return result
    return dataclasses.replace(result, row=rows[result.row])
