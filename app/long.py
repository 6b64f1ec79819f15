"""A text of any length: what was spoken is kept, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from app.console import Console
from app.progress import SpeakingProgress
from cbflash.settings import Sampling
from cbflash.speech import Speech, join_speech
from cbflash.synth import ChatterboxFlash
from cbflash.voice import Voice


@dataclass
class LongJob:
    """One long text for one file.

    When the work ends before the text does (Ctrl-C, an engine that fails in any way), the
    pieces spoken so far go to a file of their own beside `path`, and the reason goes on its way.
    """

    text: str
    path: Path
    batch: int
    console: Console
    _spoken: list[Speech] = field(default_factory=list, init=False)

    def run(self, speaker: ChatterboxFlash, voice: Voice, sampling: Sampling) -> Speech:
        """Speak all of it."""
        progress = SpeakingProgress(self.console, total=len(self.text))

        def on_piece(number: int, count: int, speech: Speech) -> None:
            self._spoken.append(speech)
            progress.on_text(number, count, speech)

        finished: Speech | None = None
        try:
            finished = speaker.generate_long(
                self.text,
                voice=voice,
                sampling=sampling,
                batch=self.batch,
                on_result=progress.on_result,
                on_piece=on_piece,
            )
        finally:
            if finished is None:
                self._keep()
        return finished

    def _keep(self) -> None:
        if not self._spoken:
            return
        part = join_speech(self.text, self._spoken, sum(one.seconds for one in self._spoken))
        path = self._free_path()
        part.save(path)
        self.console.note(
            f"What was spoken so far, {part.duration:.1f} s, is in {path}; "
            f"its last words are: ...{self._spoken[-1].text[-40:]!r}"
        )

    def _free_path(self) -> Path:
        """Where an unfinished text goes: never over an earlier one, which may be longer."""
        number, mark = 1, ""
        while True:
            path = self.path.with_name(f"{self.path.stem}.unfinished{mark}{self.path.suffix}")
            if not path.exists():
                return path
            number += 1
            mark = f"-{number}"
