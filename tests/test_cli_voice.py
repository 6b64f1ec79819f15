"""cbflash voice: making and keeping voices."""

from __future__ import annotations

import numpy as np
import pytest

from cbflash.audio import write_audio
from cbflash.fake import FakeBackend
from cbflash.voice import load_voice
from tests.fake_cli import Program
from tests.signals import voice_like


def names(program: Program) -> list[str]:
    return [row["name"] for row in program.run("voice", "list", "--json").records]


def test_a_clip_becomes_a_voice(program: Program) -> None:
    done = program.run("voice", "add", "me", str(program.clip()))
    assert done.code == 0
    assert done.err == ""
    for words in ("9.0 s", "of sound at -", "dB above the background: a good clip"):
        assert words in done.out
    assert 'cbflash say "Hello." --voice "me"' in done.out
    voice = load_voice(program.home / "voices" / "me.safetensors")
    assert (voice.name, voice.seconds) == ("me", 9.0)


def test_the_verdict_comes_before_the_work(program: Program) -> None:
    loaded: list[str] = []
    program.backend = FakeBackend(watch=loaded.append)
    noise = 0.1 * np.random.default_rng(0).standard_normal(9 * 24_000)
    write_audio(program.work / "noisy.wav", voice_like(9.0, 24_000) + noise)
    done = program.run("voice", "add", "me", "noisy.wav")
    assert done.code == 0
    assert "above the background." in done.err
    assert "quiet room" in done.err
    assert "a good clip" not in done.out
    write_audio(program.work / "silent.wav", np.zeros(150_000, np.float32))
    loaded.clear()
    assert program.run("voice", "add", "other", "silent.wav").code == 3
    assert loaded == []
    assert names(program) == ["me"]


def test_a_taken_name_is_refused_before_the_work(program: Program) -> None:
    program.add_voice("me")
    loaded: list[str] = []
    program.backend = FakeBackend(watch=loaded.append)
    done = program.run("voice", "add", "Me", str(program.clip()))
    assert done.code == 4
    assert "already" in done.err
    assert "--force" in done.err
    assert loaded == []
    assert program.run("voice", "add", "Me", str(program.clip()), "--force").code == 0
    assert names(program) == ["me"]


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a.b", " me", "con"])
def test_names_that_cannot_be_are_refused(program: Program, name: str) -> None:
    done = program.run("voice", "add", name, str(program.clip()))
    assert done.code == 4
    assert names(program) == []


def test_voices_are_listed(program: Program) -> None:
    assert "cbflash voice add" in program.run("voice", "list").err
    program.add_voice("Zoë")
    program.add_voice("anna")
    listed = program.run("voice", "list")
    assert [line.split("  ")[0] for line in listed.out.splitlines()] == ["anna", "Zoë"]
    assert names(program) == ["anna", "Zoë"]
    assert program.run("voices", "list").out == listed.out, "the plural will do too"


def test_a_damaged_voice_hides_no_other(program: Program) -> None:
    program.add_voice("me")
    (program.home / "voices" / "bad.safetensors").write_bytes(b"nonsense")
    listed = program.run("voice", "list")
    assert listed.out.startswith("me ")
    assert "bad.safetensors cannot be used" in listed.err
    assert program.run("voice", "add", "bad", str(program.clip())).code == 4
    assert program.run("voice", "remove", "bad", "--yes").code == 0
    assert program.run("voice", "list").err == ""


def test_a_voice_is_shown(program: Program) -> None:
    program.add_voice("me")
    shown = dict(
        line.split(None, 1) for line in program.run("voice", "show", "me").out.splitlines()
    )
    assert shown["name"] == "me"
    assert shown["clip_seconds"] == "9.0"
    assert shown["model_id"].startswith("sha256:")
    assert program.run("voice", "show", "mo").code == 4


def test_a_voice_is_renamed(program: Program) -> None:
    program.add_voice("me")
    program.add_voice("you")
    assert program.run("voice", "rename", "me", "myself").code == 0
    assert names(program) == ["myself", "you"]
    taken = program.run("voice", "rename", "myself", "You")
    assert taken.code == 4
    assert "already" in taken.err
    assert names(program) == ["myself", "you"]


def test_a_voice_is_removed_only_when_told_so(program: Program) -> None:
    program.add_voice("me")
    asked = program.spawn("voice", "remove", "me", stdin=b"y\n")
    assert asked.code == 2
    assert "--yes" in asked.err
    assert names(program) == ["me"]
    assert program.run("voice", "remove", "nobody", "--yes").code == 4
    assert program.run("voice", "remove", "me", "--yes").code == 0
    assert names(program) == []


def test_a_voice_travels_as_a_file(program: Program) -> None:
    program.add_voice("me")
    assert program.run("voice", "export", "me", "me.safetensors").code == 0
    again = program.run("voice", "export", "me", "me.safetensors")
    assert again.code == 8
    assert "--force" in again.err
    assert program.run("voice", "export", "me", "me.safetensors", "--force").code == 0
    assert program.run("voice", "import", "me.safetensors").code == 4
    assert program.run("voice", "import", "me.safetensors", "--name", "twin").code == 0
    assert names(program) == ["me", "twin"]
    program.write("no.safetensors", "not a voice")
    assert program.run("voice", "import", "no.safetensors").code == 4
