"""Voices: what is accepted, the file, and the user's collection."""

from __future__ import annotations

import dataclasses
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbflash.environment import read_environment
from cbflash.errors import OutputError, VoiceError
from cbflash.tensorfile import TensorFile, TensorSpec, write_tensors
from cbflash.voice import Voice, load_voice, require_model, save_voice
from cbflash.voice_library import VoiceLibrary, check_name


def make_voice(name: str = "Anna", **changes: Any) -> Voice:
    rng = np.random.default_rng(7)
    values: dict[str, Any] = {
        "name": name,
        "created": "2026-01-02T03:04:05+00:00",
        "model_id": "sha256:0123456789abcdef",
        "source_hash": "ab" * 32,
        "engine": "mlx on a test",
        "seconds": 6.72,
        "speaker_embedding": rng.standard_normal(256).astype(np.float32),
        "prompt_tokens": rng.integers(0, 6561, 150).astype(np.int32),
        "s3_tokens": rng.integers(0, 6561, 20).astype(np.int32),
        "s3_mel": rng.standard_normal((40, 80)).astype(np.float32),
        "x_vector": rng.standard_normal(192).astype(np.float32),
    }
    return Voice(**(values | changes))


def rewrite(path: Path, metadata: dict[str, str | None], arrays: dict[str, Any]) -> None:
    """Change entries of a voice's file; None takes one away."""
    file = TensorFile.open(path)
    texts = {k: v for k, v in (file.metadata | metadata).items() if v is not None}
    found = {name: file.read(name).copy() for name in file} | arrays
    kept = {name: array for name, array in found.items() if array is not None}
    kinds = {"float32": "F32", "int32": "I32", "float64": "F64"}
    specs = [TensorSpec(n, kinds[str(a.dtype)], a.shape) for n, a in kept.items()]
    write_tensors(path, specs, kept.values(), texts)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "voice.safetensors"
    save_voice(make_voice(), path)
    return path


@pytest.fixture
def library(tmp_path: Path) -> VoiceLibrary:
    return VoiceLibrary(tmp_path / "voices")


def test_a_voice_comes_back_equal(file: Path) -> None:
    loaded = load_voice(file)
    assert loaded == make_voice()
    assert hash(loaded) == hash(make_voice())
    assert loaded.s3_mel.dtype == np.float32
    assert loaded.prompt_tokens.dtype == np.int32


@pytest.mark.parametrize("field", ["speaker_embedding", "prompt_tokens", "s3_mel"])
def test_voices_differ_by_one_value(field: str) -> None:
    voice = make_voice()
    array = getattr(voice, field).copy()
    array.reshape(-1)[3] += 1
    assert dataclasses.replace(voice, **{field: array}) != voice
    assert dataclasses.replace(voice, seconds=1.0) != voice
    assert voice != "Anna"


def test_sizes_are_free() -> None:
    voice = make_voice(
        speaker_embedding=np.ones(16, np.float32), s3_mel=np.ones((4, 20), np.float32)
    )
    assert voice.s3_mel.shape == (4, 20)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speaker_embedding": np.full(256, np.nan, np.float32)}, "speaker_embedding .*not finite"),
        ({"s3_mel": np.full((4, 80), np.inf, np.float32)}, "s3_mel .*not finite"),
        ({"x_vector": np.ones((1, 192), np.float32)}, "x_vector is float32"),
        ({"x_vector": np.ones(192)}, "x_vector is float64"),
        ({"s3_tokens": np.ones(4, np.int64)}, "s3_tokens is int64"),
        ({"s3_tokens": np.array([1, -1], np.int32)}, "negative tokens"),
        ({"prompt_tokens": np.ones(0, np.int32)}, "prompt_tokens is empty"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"seconds": -1.0}, "seconds is -1"),
    ],
)
def test_unusable_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(VoiceError, match=message):
        make_voice(**changes)


@pytest.mark.parametrize(
    ("metadata", "arrays", "message"),
    [
        ({"format": "else"}, {}, "is not a cbflash voice"),
        ({"format": None}, {}, "is not a cbflash voice"),
        ({"version": "2"}, {}, "format version 2; this cbflash reads up to 1"),
        ({"version": "9" * 5000}, {}, "this cbflash reads up to 1"),
        ({"version": "x"}, {}, "format version 'x'"),
        ({"version": None}, {}, "format version ''"),
        ({"model_id": None, "seconds": None}, {}, "lacks model_id, seconds"),
        ({"seconds": "six"}, {}, "seconds is nan"),
        ({}, {"s3_mel": None}, "lacks s3_mel"),
        ({}, {"s3_mel": np.full((2, 80), np.nan, np.float32)}, "s3_mel holds values"),
        ({}, {"s3_mel": np.ones(160, np.float32)}, "s3_mel is float32"),
        ({}, {"x_vector": np.ones(192)}, "x_vector is F64, not F32"),
    ],
)
def test_bad_files_are_refused(
    file: Path, metadata: dict[str, str | None], arrays: dict[str, Any], message: str
) -> None:
    rewrite(file, metadata, arrays)
    with pytest.raises(VoiceError, match=message):
        load_voice(file)


def test_damaged_and_missing_files_are_voice_errors(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(VoiceError, match="5 bytes are missing"):
        load_voice(file)
    with pytest.raises(VoiceError, match="does not exist"):
        load_voice(file.with_name("none.safetensors"))


def test_a_voice_belongs_to_its_model() -> None:
    voice = make_voice()
    require_model(voice, "sha256:0123456789abcdef", "mine")
    with pytest.raises(VoiceError, match="'Anna' was made for model sha256:0123") as caught:
        require_model(voice, "sha256:ffff", "other")
    assert "this is other (sha256:ffff)" in str(caught.value)
    assert 'cbflash voice add "Anna"' in caught.value.hint


@pytest.mark.parametrize(
    "name", ["Anna", "my voice-2_b", "Zoë", "हिन्दी", "声", "x" * 80, "声" * 80]
)
def test_good_names(name: str, library: VoiceLibrary) -> None:
    library.add(make_voice(name))
    assert library.get(name).name == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "name",
    ["", " ", "a/b", "..", "../a", "a\\b", "a.b", "a\0", "a\n", " a", "a ", "-rf", "x" * 81,
     "C:", "con", "Lpt1", "a*", "👍", "𠀀" * 61],
)  # fmt: skip
def test_bad_names(name: str, library: VoiceLibrary) -> None:
    with pytest.raises(VoiceError):
        library.add(make_voice(name))
    assert not library.folder.exists()


def test_names_are_one_in_any_unicode_form(library: VoiceLibrary) -> None:
    library.add(make_voice("Zoe\u0308"))
    assert library.get("Zo\u00eb").name == "Zo\u00eb"
    assert check_name("Zoe\u0308") == "Zo\u00eb"


def test_library_lists_by_name(library: VoiceLibrary) -> None:
    assert library.list().voices == ()
    for name in ("bea", "Anna", "Carl"):
        library.add(make_voice(name))
    assert [voice.name for voice in library.list().voices] == ["Anna", "bea", "Carl"]


def test_nothing_is_overwritten_without_force(library: VoiceLibrary) -> None:
    library.add(make_voice("Anna"))
    with pytest.raises(VoiceError, match="There is a voice 'Anna' already"):
        library.add(make_voice("ANNA", seconds=1.0))
    assert library.get("anna").seconds == 6.72
    library.add(make_voice("ANNA", seconds=1.0), force=True)
    assert [(v.name, v.seconds) for v in library.list().voices] == [("Anna", 1.0)]


def test_damaged_files_hide_no_voice(library: VoiceLibrary) -> None:
    library.add(make_voice("Anna"))
    library.add(make_voice("Bea"))
    (library.folder / "Bea.safetensors").write_bytes(b"junk")
    (library.folder / "notes.txt").write_text("not a voice")
    (library.folder / ".hidden.safetensors").write_bytes(b"")
    listed = library.list()
    assert [voice.name for voice in listed.voices] == ["Anna"]
    assert [damaged.path.name for damaged in listed.damaged] == ["Bea.safetensors"]
    assert "only 4 bytes" in listed.damaged[0].message
    library.remove("Bea")
    assert library.list().damaged == ()


def test_unknown_names_get_the_nearest(library: VoiceLibrary) -> None:
    library.add(make_voice("Annabel"))
    with pytest.raises(VoiceError, match=r"no voice 'Anabel'.*Did you mean 'Annabel'"):
        library.get("Anabel")
    with pytest.raises(VoiceError, match="cbflash voice list"):
        library.remove("xyz")


def test_rename(library: VoiceLibrary) -> None:
    library.add(make_voice("Anna"))
    library.add(make_voice("Bea"))
    library.rename("anna", "ANNA")
    library.rename("ANNA", "Carla")
    assert [voice.name for voice in library.list().voices] == ["Bea", "Carla"]
    with pytest.raises(VoiceError, match="There is a voice 'Bea' already"):
        library.rename("Carla", "bea")
    with pytest.raises(VoiceError, match="holds '/'"):
        library.rename("Carla", "a/b")
    with pytest.raises(VoiceError, match="no voice 'Nobody'"):
        library.rename("Nobody", "x")
    assert len(library.list().voices) == 2


def test_export_and_import(library: VoiceLibrary, tmp_path: Path) -> None:
    library.add(make_voice("Anna"))
    library.rename("Anna", "Bea")
    target = tmp_path / "out.safetensors"
    library.export("Bea", target)
    assert load_voice(target).name == "Bea"
    with pytest.raises(OutputError, match="already there"):
        library.export("Bea", target)
    library.export("Bea", target, force=True)
    with pytest.raises(VoiceError, match="There is a voice 'Bea' already"):
        library.import_file(target)
    other = VoiceLibrary(tmp_path / "others")
    assert other.import_file(target) == library.get("Bea")
    assert other.import_file(target, name="Cleo").name == "Cleo"
    assert [voice.name for voice in other.list().voices] == ["Bea", "Cleo"]


def test_imported_names_play_no_tricks(library: VoiceLibrary, tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    save_voice(make_voice("../../evil"), path)
    with pytest.raises(VoiceError, match=r"holds '\.'"):
        library.import_file(path)


def test_data_folder_by_platform() -> None:
    def data(platform: str, **variables: str) -> str:
        return read_environment(variables, platform).data.as_posix()

    home = Path.home().as_posix()
    assert data("darwin") == f"{home}/Library/Application Support/cbflash"
    assert data("linux") == f"{home}/.local/share/cbflash"
    assert data("linux", XDG_DATA_HOME="/x") == "/x/cbflash"
    assert data("win32", LOCALAPPDATA="/l") == "/l/cbflash"
    assert data("darwin", CBFLASH_HOME="/mine") == "/mine"


@pytest.mark.parametrize(
    ("variables", "offline"),
    [
        ({}, False),
        ({"CBFLASH_OFFLINE": "1"}, True),
        ({"HF_HUB_OFFLINE": "ON"}, True),
        ({"CBFLASH_OFFLINE": "0", "HF_HUB_OFFLINE": ""}, False),
    ],
)
def test_offline_switch(variables: dict[str, str], offline: bool) -> None:
    assert read_environment(variables).offline is offline


def test_token_stays_out_of_logs() -> None:
    environment = read_environment({"HF_TOKEN": "hf_secret"})
    assert environment.token == "hf_secret"
    assert "secret" not in repr(environment)
