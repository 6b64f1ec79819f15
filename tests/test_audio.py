"""Reading, resampling and writing sound."""

from __future__ import annotations

import hashlib
import io
import math
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from cbflash.audio import LONGEST_CLIP, Encoding, read_clip, resample, write_audio
from cbflash.errors import AudioError, OutputError
from tests.signals import RATES, stereo, voice_like

GOLDEN = np.load(Path(__file__).parent / "golden" / "features.npz")


def test_read_clip(tmp_path: Path) -> None:
    path = tmp_path / "my voice.wav"
    sound = voice_like(0.5, 24_000)
    soundfile.write(path, sound, 24_000, subtype="FLOAT")
    clip = read_clip(path)
    np.testing.assert_array_equal(clip.samples, sound)
    assert clip.samples.dtype == np.float32
    assert (clip.sample_rate, clip.name, clip.seconds) == (24_000, "my voice", 0.5)
    assert clip.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not clip.truncated


def test_channels_are_averaged(tmp_path: Path) -> None:
    sound = stereo(0.5, 48_000)
    soundfile.write(tmp_path / "two.wav", sound, 48_000, subtype="FLOAT")
    np.testing.assert_allclose(
        read_clip(tmp_path / "two.wav").samples, (sound[:, 0] + sound[:, 1]) / 2, atol=1e-7
    )


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 1 / 100),
        ("a.wav", "PCM_24", 1e-4),
        ("a.flac", "PCM_16", 1e-4),
        ("a.aiff", "PCM_16", 1e-4),
        ("no extension", "PCM_16", 1e-4),
    ],
)
def test_formats(tmp_path: Path, name: str, subtype: str, tolerance: float) -> None:
    sound = voice_like(0.5, 16_000)
    known = {"flac": "FLAC", "aiff": "AIFF"}.get(name.rpartition(".")[2], "WAV")
    soundfile.write(tmp_path / name, sound, 16_000, subtype=subtype, format=known)
    np.testing.assert_allclose(read_clip(tmp_path / name).samples, sound, atol=tolerance)


@pytest.mark.parametrize("rate", [8_000, 96_000])
def test_rates(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.ogg", voice_like(0.5, rate), rate, format="OGG")
    clip = read_clip(tmp_path / "a.ogg")
    assert clip.sample_rate == rate
    assert clip.seconds == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("extra", "truncated"), [(0, False), (1, True), (70_000, True)])
def test_at_most_five_minutes_are_read(tmp_path: Path, extra: int, truncated: bool) -> None:
    longest = int(LONGEST_CLIP) * 1000
    sound = np.linspace(-0.5, 0.5, longest + extra, dtype=np.float32)
    soundfile.write(tmp_path / "long.wav", sound, 1000, subtype="FLOAT")
    clip = read_clip(tmp_path / "long.wav")
    np.testing.assert_array_equal(clip.samples, sound[:longest])
    assert clip.truncated is truncated


def write_bytes(data: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_bytes(data)
        return path

    return make


def write_values(*values: float) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        soundfile.write(path, np.array(values, np.float32), 24_000, subtype="FLOAT")
        return path

    return make


def claim_rate(path: Path) -> Path:
    soundfile.write(path, np.zeros(100), 24_000)
    data = bytearray(path.read_bytes())
    data[24:28] = (2_000_000_000).to_bytes(4, "little")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "There is no file"),
        (lambda path: path.parent, "not a file"),
        (lambda path: path / "inside.wav", "There is no file"),
        (lambda path: Path("/dev/zero"), "not a file"),
        (lambda path: "a\0b.wav", "null"),
        (lambda path: "x" * 5000, "too long"),
        (write_bytes(b""), "empty"),
        (write_bytes(b"This is not a sound. " * 50), "not a sound file"),
        (write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt "), "not a sound file"),
        (lambda path: write_bytes(bytes(1000))(path.with_suffix(".raw")), "not a sound file"),
        (write_values(), "length is zero"),
        (write_values(0.0, np.nan), "not numbers"),
        (write_values(0.0, np.inf), "not numbers"),
        (claim_rate, "2000000000 samples a second"),
    ],
)
def test_what_is_no_clip_is_refused(
    tmp_path: Path, make: Callable[[Path], Path | str], words: str
) -> None:
    with pytest.raises(AudioError, match=words) as raised:
        read_clip(make(tmp_path / "clip.wav"))
    assert raised.value.hint


@pytest.mark.parametrize(("source", "target"), RATES)
def test_resample_is_librosas(source: int, target: int) -> None:
    changed = resample(voice_like(0.4, source)[:-1], source, target)
    assert changed.dtype == np.float32
    np.testing.assert_allclose(changed, GOLDEN[f"soxr_{source}"], atol=1e-6)


def test_resample_to_the_same_rate_is_the_same() -> None:
    sound = voice_like(0.1, 24_000)
    np.testing.assert_array_equal(resample(sound, 24_000, 24_000), sound)


@given(
    length=st.integers(1, 3000),
    source=st.sampled_from([8_000, 11_025, 44_100, 48_000, 96_000]),
    target=st.sampled_from([16_000, 24_000]),
)
def test_resampled_length(length: int, source: int, target: int) -> None:
    changed = resample(np.zeros(length, np.float32), source, target)
    assert len(changed) == math.ceil(length * (target / source))


@pytest.mark.parametrize(
    ("name", "encoding", "container", "subtype"),
    [
        ("a.wav", None, "WAV", "PCM_16"),
        ("a.WAV", "wav", "WAV", "PCM_16"),
        ("a.wav", "wav-float", "WAV", "FLOAT"),
        ("a.flac", None, "FLAC", "PCM_16"),
    ],
)
def test_write_audio(
    tmp_path: Path, name: str, encoding: Encoding | None, container: str, subtype: str
) -> None:
    sound = voice_like(0.5, 24_000)
    write_audio(tmp_path / name, sound, encoding=encoding)
    found = soundfile.info(tmp_path / name)
    assert (found.format, found.subtype, found.samplerate) == (container, subtype, 24_000)
    read, _ = soundfile.read(tmp_path / name)
    np.testing.assert_allclose(read, sound, atol=1e-7 if subtype == "FLOAT" else 1e-4)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_too_loud_is_clipped(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.array([1.5, -1.5, 0.0], np.float32))
    read, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert read.tolist() == [32767, -32768, 0]


def test_stream_need_not_seek() -> None:
    sound = voice_like(0.5, 24_000)
    reader, writer = os.pipe()
    child = subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.PIPE)
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as stream:
        write_audio(stream, sound)
    data, _ = child.communicate()
    read, rate = soundfile.read(io.BytesIO(data))
    assert rate == 24_000
    np.testing.assert_allclose(read, sound, atol=1e-4)


class Trickle(io.RawIOBase):
    """A stream that takes a thousand bytes at a time, as a socket may."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)[:1000]
        self.taken += part
        return len(part)


def test_stream_may_take_a_part() -> None:
    whole = io.BytesIO()
    write_audio(whole, voice_like(0.5, 24_000))
    trickle = Trickle()
    write_audio(trickle, voice_like(0.5, 24_000))
    assert trickle.taken == whole.getvalue()


@pytest.mark.parametrize(("buffering", "seconds"), [(0, 0.5), (-1, 0.5), (-1, 0.05)])
def test_full_disk_behind_a_stream(buffering: int, seconds: float) -> None:
    failures = []
    # What lies in the buffer fails once more when the stream is closed.
    with suppress(OSError), Path("/dev/full").open("wb", buffering=buffering) as stream:
        try:
            write_audio(stream, voice_like(seconds, 24_000))
        except OutputError as error:
            failures.append(error)
    (failure,) = failures
    assert "No space left" in str(failure)
    assert failure.hint


@pytest.mark.parametrize(
    ("name", "encoding", "words"),
    [
        ("a.mp3", None, "mp3"),
        ("a", None, "without extension"),
        ("a.wav", "flac", "flac"),
        ("a.flac", "wav-float", "wav-float"),
        ("missing/a.wav", None, "folder"),
        ("folder.wav", None, "folder"),
        ("a\0.wav", None, "not a file name"),
        ("x" * 300 + ".wav", None, "long"),
    ],
)
def test_names_that_cannot_be_written(
    tmp_path: Path, name: str, encoding: Encoding | None, words: str
) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(OutputError, match=words) as raised:
        write_audio(tmp_path / name, voice_like(0.1, 24_000), encoding=encoding)
    assert raised.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["folder.wav"]


WRITE = """
import sys
import numpy as np
from cbflash.audio import write_audio
from cbflash.errors import OutputError
try:
    write_audio(sys.argv[1], np.zeros(24_000, np.float32))
except OutputError as error:
    sys.exit(f"OutputError: {error}")
"""


def write_with_limit(path: Path, limit: int) -> str:
    """What a program says that writes a second of silence where files end at `limit` bytes."""
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(path)],
        cwd=Path(__file__).parents[1],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    return done.stderr


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    said = write_with_limit(path, 10_000)
    assert said.startswith(f"OutputError: {path} could not be written")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.wav"]
    assert write_with_limit(path, 100_000) == ""
    assert path.stat().st_size == 44 + 48_000


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write everywhere: become nobody for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    with without_privileges(), pytest.raises(OutputError, match="not permitted") as raised:
        write_audio(folder / "a.wav", voice_like(0.1, 24_000))
    assert raised.value.hint
    assert not list(folder.iterdir())


def test_clip_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, voice_like(0.1, 24_000), 24_000)
    path.chmod(0)
    with without_privileges(), pytest.raises(AudioError, match="may not be read"):
        read_clip(path)
