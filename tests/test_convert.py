"""The converter: from a tiny release to a small folder, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbflash.checkpoint import Checkpoint
from cbflash.checkpoint import verify as verify_files
from cbflash.errors import ModelError, OutputError, UsageError
from cbflash.manifest import describe, hash_file
from cbflash.tensorfile import TensorFile
from convert import Progress, convert
from convert.card import model_card
from convert.recipe import Options, recipe
from convert.verify import require_sound, verify
from mlx_port.model import Chatterbox
from mlx_port.weights import parameter_shapes
from tests.folders import leftovers, replace_tensor
from tests.seeded_models import TINY, write_tiny


@pytest.fixture
def release(tmp_path: Path, tiny_model: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "release"))


def test_the_result_is_a_whole_model_folder(tiny_model: Path, tiny_4bit: Path) -> None:
    source, result = Checkpoint.open(tiny_model), Checkpoint.open(tiny_4bit)
    assert result.kind == "converted"
    assert result.config == source.config == TINY
    assert (result.model_id, result.name) == (source.model_id, "tiny")
    assert all(line.ok for line in verify_files(tiny_4bit))
    tokenizer = (tiny_model / "tokenizer.json").read_bytes()
    assert (tiny_4bit / "tokenizer.json").read_bytes() == tokenizer
    recorded = json.loads((tiny_4bit / "config.json").read_text("utf-8"))["source"]
    assert recorded["name"] == "tiny"
    assert recorded["sha256"] == {
        path.name: hash_file(path) for path in tiny_model.iterdir() if path.name != "config.json"
    }


def test_only_the_decoder_s_matrices_are_quantised(tiny_4bit: Path) -> None:
    t3 = TensorFile.open(tiny_4bit / "t3.safetensors")
    codes = {name for name in t3 if t3[name].dtype == "U32"}
    assert len(codes) == 4 * TINY.t3.layers + 1
    assert t3["t3.speech_head.weight"].shape == (8194, 64 * 4 // 32)
    assert {t3[name].dtype for name in set(t3) - codes} == {"BF16"}
    s3gen = TensorFile.open(tiny_4bit / "s3gen.safetensors")
    dtypes = {name: s3gen[name].dtype for name in s3gen}
    assert dtypes["flow.mean.weight"] == dtypes["s3tokenizer.conv1.weight"] == "F16"
    assert dtypes["s3tokenizer.project_down.weight"] == "F32"
    assert dtypes["hift.f0_predictor.layers.0.weight"] == "F32"
    assert dtypes["hift.excitation.merge.weight"] == "F32"
    assert dtypes["hift.input.weight"] == "F16"
    assert {dtype for name, dtype in dtypes.items() if name.startswith("xvector")} == {"F32"}


@pytest.mark.parametrize(
    ("options", "stored"),
    [({"bits": 16}, "BF16"), ({"bits": 16, "dtype": "fp16"}, "F16"), ({"dtype": "fp32"}, "F32")],
)
def test_the_decoder_is_stored_as_asked(
    tmp_path: Path, tiny_model: Path, options: dict[str, Any], stored: str
) -> None:
    t3 = TensorFile.open(convert(tiny_model, tmp_path / "out", **options) / "t3.safetensors")
    assert t3["t3.norm.weight"].dtype == stored
    assert ("t3.speech_head.scales" in t3) == ("bits" not in options)


def test_eight_bits_lose_little(tmp_path: Path, tiny_model: Path, tiny_4bit: Path) -> None:
    source = Checkpoint.open(tiny_model)
    eight = verify(source, Checkpoint.open(convert(tiny_model, tmp_path / "8bit", bits=8)))
    four = verify(source, Checkpoint.open(tiny_4bit))
    assert eight[0].network == "decoder"
    assert eight[0].likeness > 0.999 > 0.99 > four[0].likeness > 0.8
    for line in [*eight[1:], *four[1:]]:
        assert line.likeness > 0.999, line
    require_sound([*eight, *four])


def test_groups_that_do_not_fit_leave_a_matrix_alone() -> None:
    parameters = parameter_shapes(Chatterbox(TINY))
    small, large = (recipe(Options(group_size=size), parameters)["t3"] for size in (64, 128))
    assert small.quantises("t3.layers.1.attention.qkv_proj")
    assert small.quantises("t3.layers.1.mlp.down_proj")
    assert not large.quantises("t3.layers.1.attention.qkv_proj")  # rows of 64
    assert large.quantises("t3.layers.1.mlp.down_proj")  # rows of 128
    for name in ("t3.text_embedding", "t3.speech_positions", "t3.conditioning.speaker", "t3.norm"):
        assert not small.quantises(name)


def test_a_decoder_without_a_group_is_refused() -> None:
    narrow = dataclasses.replace(TINY.t3, width=48, heads=3, head_dim=16, mlp=80)
    parameters = parameter_shapes(Chatterbox(dataclasses.replace(TINY, t3=narrow)))
    with pytest.raises(UsageError, match="divides into groups of 64"):
        recipe(Options(), parameters)
    assert not recipe(Options(bits=16), parameters)["t3"].quantised


def test_groups_of_128_can_be_loaded(tmp_path: Path, tiny_model: Path) -> None:
    folder = convert(tiny_model, tmp_path / "128", group_size=128)
    lines = verify(Checkpoint.open(tiny_model), Checkpoint.open(folder))
    assert lines[0].likeness > 0.8


CONVERT_AND_MEASURE = """
import resource, sys
from convert import convert
convert(sys.argv[1], sys.argv[2], bits=8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory(tmp_path: Path, layers: int) -> int:
    """The most memory that a conversion needs, in a process of its own."""
    decoder = dataclasses.replace(TINY.t3, width=512, mlp=2048, layers=layers)
    release = write_tiny(tmp_path / f"release{layers}", dataclasses.replace(TINY, t3=decoder))
    command = [sys.executable, "-c", CONVERT_AND_MEASURE, release, tmp_path / str(layers)]
    done = subprocess.run(command, text=True, check=True, capture_output=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    small, large = peak_memory(tmp_path, 1), peak_memory(tmp_path, 16)
    files = [tmp_path / f"release{layers}" / "t3_flash.safetensors" for layers in (1, 16)]
    more = files[1].stat().st_size - files[0].stat().st_size
    assert more > 90e6
    assert large - small < 0.2 * more


def test_nothing_is_left_when_it_is_stopped(tmp_path: Path, tiny_model: Path) -> None:
    place = tmp_path / "place"

    def stop(progress: Progress) -> None:
        if progress.stage == "s3gen":
            assert leftovers(place) != []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(tiny_model, place / "out", progress=stop)
    assert leftovers(place) == []


def test_the_disk_is_looked_at_first(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    seen: list[Progress] = []
    with pytest.raises(OutputError, match=r"20 MB .* 1 MB are free"):
        convert(tiny_model, tmp_path / "place" / "out", progress=seen.append)
    assert seen == []
    assert leftovers(tmp_path / "place") == []


def test_values_that_no_number_can_hold_are_found(tmp_path: Path, release: Path) -> None:
    name = "flow.encoder_proj.bias"
    replace_tensor(release / "s3gen.safetensors", name, np.nan)
    with pytest.raises(ModelError, match=name):
        convert(release, tmp_path / "out")
    assert leftovers(tmp_path) == ["release"]


def test_values_too_large_for_half_precision_are_found(tmp_path: Path, release: Path) -> None:
    file = release / "t3_flash.safetensors"
    bits_of_1e6 = 0x4974  # in bfloat16
    replace_tensor(file, "text_emb.weight", bits_of_1e6)
    convert(release, tmp_path / "bf16", bits=16)
    with pytest.raises(ModelError, match=r"text_emb\.weight.*--dtype bf16"):
        convert(release, tmp_path / "fp16", bits=16, dtype="fp16")


@pytest.mark.parametrize("text", ["{", '{"model": {"type": "BPE", "vocab": {}, "merges": []}}'])
def test_a_source_whose_tokenizer_nobody_could_open_is_refused(
    tmp_path: Path, release: Path, text: str
) -> None:
    (release / "tokenizer.json").write_text(text, "utf-8")
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        convert(release, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_that_changed_since_its_download_is_refused(tmp_path: Path, release: Path) -> None:
    names = [path.name for path in release.iterdir()]
    describe(release, names, {"repo": "org/model", "commit": "c" * 40}).write(release)
    result = convert(release, tmp_path / "good")
    recorded = json.loads((result / "config.json").read_text("utf-8"))["source"]
    assert (recorded["name"], recorded["revision"]) == ("org/model", "c" * 40)
    replace_tensor(release / "ve.safetensors", "proj.bias", 1.0)
    with pytest.raises(ModelError, match=r"ve\.safetensors has changed"):
        convert(release, tmp_path / "bad")


def test_the_card_says_what_it_is(tiny_4bit: Path) -> None:
    card = (tiny_4bit / "README.md").read_text("utf-8")
    header, text = card.split("---\n", 2)[1:]
    assert "license" not in header, "nobody said which"
    assert "base_model" not in header, "it is on no hub"
    assert "library_name: mlx\n" in header
    assert "A conversion of tiny, made with" in text
    assert "| 4 bits in groups of 64, the rest bf16 |" in text
    assert "| fp16, in part fp32 |" in text
    assert "cbflash say --model" in text
    size = (tiny_4bit / "t3.safetensors").stat().st_size
    assert f"| `t3.safetensors` | {size / 1e6:,.1f} MB |" in text


@pytest.mark.parametrize(
    ("source", "base"), [("release", "ResembleAI/chatterbox-flash"), ("org/copy", "org/copy")]
)
def test_the_card_of_the_released_model_says_whose_it_is(source: str, base: str) -> None:
    storage = recipe(Options(bits=16), {})
    card = model_card("chatterbox-flash", source, "c" * 40, storage, {})
    header, text = card.split("---\n", 2)[1:]
    assert header.startswith(f"license: mit\nbase_model: {base}\nbase_model_relation: quantized\n")
    assert f"A conversion of {source} at revision `{'c' * 40}`, Resemble AI's" in text
