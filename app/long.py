"""A text of any length: what was spoken is kept, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from app.console import Console
from app.progress import SpeakingProgress
from cbflash.errors import CbflashError
from cbflash.settings import Sampling
from cbflash.speech import Speech, join_speech
from cbflash.synth import ChatterboxFlash
from cbflash.voice import Voice


@dataclass
class LongJob:
    """One long text for one file.

    When the work ends before the text does (Ctrl-C, an engine that fails), the pieces spoken
    so far go to a file of their own beside `path`, and the reason goes on its way.
    """

    text: str
    path: Path
    batch: int
    console: Console
    _spoken: list[Speech] = field(default_factory=list, init=False)

    @property
    def rest(self) -> Path:
        """Where an unfinished text goes."""
        return self.path.with_name(f"{self.path.stem}.unfinished{self.path.suffix}")

    def run(self, speaker: ChatterboxFlash, voice: Voice, sampling: Sampling) -> Speech:
        """Speak all of it."""
        progress = SpeakingProgress(self.console, total=len(self.text))

        def on_piece(number: int, count: int, speech: Speech) -> None:
            self._spoken.append(speech)
            progress.on_text(number, count, speech)

        try:
            return speaker.generate_long(
                self.text,
                voice=voice,
                sampling=sampling,
                batch=self.batch,
                on_result=progress.on_result,
                on_piece=on_piece,
            )
        except (KeyboardInterrupt, CbflashError):
            self._keep()
            raise

    def _keep(self) -> None:
        if not self._spoken:
            return
        part = join_speech(self.text, self._spoken, sum(one.seconds for one in self._spoken))
        part.save(self.rest)
        self.console.note(
            f"What was spoken so far, {part.duration:.1f} s, is in {self.rest}; "
            f"its last words are: ...{self._spoken[-1].text[-40:]!r}"
        )
