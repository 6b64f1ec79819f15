"""The program with the fake engine: inside a test, or as a process of its own.

    python -m tests.fake_cli FAULTS ARGUMENTS...

FAULTS is a JSON object, see `Faults`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import soundfile

from app.cli import main
from app.context import Context
from cbflash.audio import write_audio
from cbflash.fake import FakeBackend, Moment
from tests.model_folders import make_release
from tests.seeded_tokenizer import write_tokenizer
from tests.signals import voice_like

ROOT = Path(__file__).parent.parent
MODEL = "tiny"


@dataclass(frozen=True)
class Faults:
    """What goes wrong in a process of its own.

    signal: sent to itself at the `count`-th time of `moment`, a moment of the fake engine or
        the name of an audit event ("os.rename") whose arguments name a file of `suffix`.
    again: an audit event at which the signal is sent once more.
    sleep: seconds at each step.
    largest_file: bytes; a disk that fills up.
    """

    moment: str = ""
    count: int = 1
    suffix: str = ""
    signal: str = ""
    again: str = ""
    sleep: float = 0.0
    largest_file: int | None = None

    def install(self) -> FakeBackend:
        if self.largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.largest_file, self.largest_file))
        left = self.count

        def strike() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), getattr(signal, self.signal))

        def watch(moment: Moment) -> None:
            if moment == "step":
                time.sleep(self.sleep)
            if moment == self.moment:
                strike()

        def audit(event: str, arguments: tuple[object, ...]) -> None:
            if event == self.again and left <= 0:
                os.kill(os.getpid(), getattr(signal, self.signal))
            if event == self.moment and any(str(a).endswith(self.suffix) for a in arguments):
                strike()

        if "." in self.moment or self.moment == "open":
            sys.addaudithook(audit)
        return FakeBackend(watch=watch)


@dataclass(frozen=True)
class Result:
    """What a run gave."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of --json."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Program:
    """cbflash with a home, a working folder and a model of its own."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    backend: FakeBackend = field(default_factory=FakeBackend)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.model = make_release(self.home / "models" / MODEL)
        write_tokenizer(self.model / "tokenizer.json")
        self.work = self.folder / "work"
        self.work.mkdir()
        self.monkeypatch.setenv("CBFLASH_HOME", str(self.home))
        for name in ("CBFLASH_BACKEND", "CBFLASH_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN"):
            self.monkeypatch.delenv(name, raising=False)
        self.monkeypatch.chdir(self.work)

    def run(self, *arguments: str) -> Result:
        """One command, in this process."""
        self.capsys.readouterr()
        code = main(arguments, Context([self.backend]))
        return Result(code, *self.capsys.readouterr())

    def start(self, *arguments: str, faults: Faults | None = None) -> subprocess.Popen[bytes]:
        """One command in a process of its own, with pipes."""
        asked = json.dumps(dataclasses.asdict(faults or Faults()))
        return subprocess.Popen(
            [sys.executable, "-m", "tests.fake_cli", asked, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.work,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def spawn(self, *arguments: str, faults: Faults | None = None, stdin: bytes = b"") -> Result:
        """The same, to its end."""
        process = self.start(*arguments, faults=faults)
        out, err = process.communicate(stdin, timeout=60)
        return Result(process.returncode, out.decode(), err.decode())

    def clip(self, name: str = "me.wav", seconds: float = 9.0) -> Path:
        """A clip that can serve."""
        path = self.work / name
        write_audio(path, voice_like(seconds, 24_000))
        return path

    def add_voice(self, name: str = "me") -> None:
        done = self.run("voice", "add", name, str(self.clip()))
        assert done.code == 0, done.err

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.work / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def litter(self) -> list[str]:
        """Hidden and temporary files below the working folder and the home."""
        return [p.name for p in self.folder.rglob("*") if p.name.startswith(".")]


def seconds_of(path: Path) -> float:
    """The length of a sound file that is whole."""
    info = soundfile.info(path)
    assert info.samplerate == 24_000
    return float(info.duration)


if __name__ == "__main__":
    backend = Faults(**json.loads(sys.argv[1])).install()
    sys.exit(main(sys.argv[2:], Context([backend])))
