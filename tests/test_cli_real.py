"""The program with the engine of this machine, on a tiny model with seeded weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cbflash.audio import write_audio
from tests.fake_cli import ROOT
from tests.seeded_models import write_tiny
from tests.signals import voice_like
from tests.synthesisers import require_sphinx

CODE = "import sys; from app.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_tiny(home / "models" / "tiny")
    return home


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_audio(tmp_path / "clip.wav", voice_like(8.0, 44_100), 44_100)
    return tmp_path / "clip.wav"


def start(home: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"CBFLASH_HOME": str(home), "PYTHONPATH": str(ROOT)},
    )


def cbflash(home: Path, folder: Path, *arguments: str) -> str:
    """Run a command that must succeed; give what it prints."""
    process = start(home, folder, *arguments)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize("engine", ["mlx", "cpu"])
def test_from_a_clip_to_a_spoken_file(home: Path, clip: Path, engine: str) -> None:
    """Each engine speaks with a voice that it did not make."""
    folder = clip.parent
    maker = {"mlx": "cpu", "cpu": "mlx"}[engine]
    cbflash(home, folder, "voice", "add", "me", str(clip), "--force", "--backend", maker)
    say = ("say", "Good morning.", "--backend", engine, "--voice", "me", "--seed", "1")
    told = cbflash(home, folder, *say)
    assert f"model tiny, {engine} on " in told
    samples, rate = soundfile.read(folder / "speech.wav")
    assert rate == 24_000
    assert len(samples) % 960 == 0
    assert np.abs(samples).max() > 0
    assert cbflash(home, folder, *say, "--out", "again.wav", "--quiet") == ""
    assert (folder / "again.wav").read_bytes() == (folder / "speech.wav").read_bytes()


def test_lines_are_spoken_together(home: Path, clip: Path) -> None:
    folder = clip.parent
    (folder / "lines.txt").write_text("One line.\nAnother, somewhat longer line.\nThree.\n")
    arguments = ("say", "--file", "lines.txt", "--voice", str(clip), "--seed", "3")
    arguments += ("--dtype", "float32")  # in less, rows are rounded by the size of their batch
    for batch in ("1", "3"):
        cbflash(home, folder, *arguments, "--batch", batch, "--out-dir", batch)
    for name in ("0001.wav", "0002.wav", "0003.wav"):
        alone, together = (soundfile.info(folder / batch / name).frames for batch in "13")
        assert alone == together > 0


@pytest.mark.parametrize("engine", ["mlx", "cpu"])
def test_an_evaluation_hears_what_the_codec_makes_of_a_recording(
    home: Path, clip: Path, engine: str
) -> None:
    require_sphinx()
    folder = clip.parent
    write_audio(folder / "said.wav", voice_like(2.0, 16_000), 16_000)
    row = {"id": "a", "text": "Where is the red letter?", "ref_audio": "clip.wav"}
    (folder / "list.jsonl").write_text(json.dumps(row | {"speech": "said.wav"}))
    arguments = ("--resynthesise", "--backend", engine, "--out", "codec", "--json")
    told = json.loads(cbflash(home, folder, "eval", "list.jsonl", *arguments))
    assert told["settings"]["engine"] == engine
    assert {figure["key"] for figure in told["figures"]} >= {"wer.closed", "cosine.own", "rtf"}
    assert soundfile.info(folder / "codec" / "a.wav").frames == 2 * 24_000


def test_info_finds_the_engine(home: Path, tmp_path: Path) -> None:
    told = cbflash(home, tmp_path, "info")
    assert all(f"  {engine}" in told for engine in ("mlx", "cpu", "gpu", "flashinfer"))
    assert "tiny (" in told


def test_ctrl_c_while_speaking(home: Path, clip: Path) -> None:
    folder = clip.parent
    (folder / "lines.txt").write_text("A line that is spoken.\n" * 500)
    arguments = ("say", "--file", "lines.txt", "--voice", str(clip), "--out-dir", "out")
    process = start(home, folder, *arguments)
    assert process.stdout is not None
    assert "0001.wav" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "Stopped."
    assert "done and kept" in err
    made = sorted(path.name for path in (folder / "out").iterdir())
    assert made[0] == "0001.wav"
    assert all(name.endswith((".wav", ".jsonl")) for name in made)
    assert len((folder / "out" / "manifest.jsonl").read_text().splitlines()) <= len(made) - 1
    assert all(soundfile.info(path).frames for path in (folder / "out").glob("*.wav"))
