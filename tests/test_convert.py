"""The converter: from a tiny release to a small folder, and everything that can go wrong."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbflash.checkpoint import Checkpoint
from cbflash.checkpoint import verify as verify_files
from cbflash.environment import Environment
from cbflash.errors import ModelError, OutputError, UsageError
from cbflash.manifest import describe, hash_file
from cbflash.tensorfile import TensorFile, TensorSpec, write_tensors
from convert import Progress, convert
from convert.__main__ import main
from convert.metrics import agreement, cosine, divergence, log_mel_distance, top_agreement
from convert.progress import ProgressLine
from convert.recipe import Options, recipe
from convert.upload import check_ready, upload
from convert.verify import Line, require_sound, table, verify
from mlx_port.model import Chatterbox
from mlx_port.weights import parameter_shapes
from tests.hub_server import HubServer
from tests.seeded_models import TINY, write_tiny


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CBFLASH_OFFLINE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CBFLASH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def four_bits(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return convert(tiny_model, tmp_path_factory.mktemp("four") / "4bit")


@pytest.fixture
def release(tmp_path: Path, tiny_model: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "release"))


# -- the result ------------------------------------------------------------------------------


def test_the_result_is_a_whole_model_folder(tiny_model: Path, four_bits: Path) -> None:
    source, result = Checkpoint.open(tiny_model), Checkpoint.open(four_bits)
    assert result.kind == "converted"
    assert result.config == source.config == TINY
    assert (result.model_id, result.name) == (source.model_id, "tiny")
    assert all(line.ok for line in verify_files(four_bits))
    tokenizer = (tiny_model / "tokenizer.json").read_bytes()
    assert (four_bits / "tokenizer.json").read_bytes() == tokenizer
    recorded = json.loads((four_bits / "config.json").read_text("utf-8"))["source"]
    assert recorded["name"] == "tiny"
    assert recorded["sha256"] == {
        path.name: hash_file(path) for path in tiny_model.iterdir() if path.name != "config.json"
    }


def test_only_the_decoder_s_matrices_are_quantised(four_bits: Path) -> None:
    t3 = TensorFile.open(four_bits / "t3.safetensors")
    codes = {name for name in t3 if t3[name].dtype == "U32"}
    assert len(codes) == 7 * TINY.t3.layers + 1
    assert t3["t3.speech_head.weight"].shape == (8194, 64 * 4 // 32)
    assert {t3[name].dtype for name in set(t3) - codes} == {"BF16"}
    s3gen = TensorFile.open(four_bits / "s3gen.safetensors")
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


def test_eight_bits_lose_little(tmp_path: Path, tiny_model: Path, four_bits: Path) -> None:
    source = Checkpoint.open(tiny_model)
    eight = verify(source, Checkpoint.open(convert(tiny_model, tmp_path / "8bit", bits=8)))
    four = verify(source, Checkpoint.open(four_bits))
    assert eight[0].network == "decoder"
    assert eight[0].likeness > 0.999 > 0.99 > four[0].likeness > 0.8
    for line in [*eight[1:], *four[1:]]:
        assert line.likeness > 0.999, line
    require_sound([*eight, *four])


def test_groups_that_do_not_fit_leave_a_matrix_alone() -> None:
    parameters = parameter_shapes(Chatterbox(TINY))
    small, large = (recipe(Options(group_size=size), parameters)["t3"] for size in (64, 128))
    assert small.quantises("t3.layers.1.attention.q_proj")
    assert small.quantises("t3.layers.1.mlp.down_proj")
    assert not large.quantises("t3.layers.1.attention.q_proj")  # rows of 64
    assert large.quantises("t3.layers.1.mlp.down_proj")  # rows of 128
    for name in ("t3.text_embedding", "t3.speech_positions", "t3.conditioning.speaker", "t3.norm"):
        assert not small.quantises(name)


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


# -- what can go wrong -----------------------------------------------------------------------


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_left_when_it_is_stopped(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


def replace_tensor(path: Path, name: str, value: float) -> None:
    source = TensorFile.open(path)
    specs = [TensorSpec(n, source[n].dtype, source[n].shape) for n in source]
    arrays = {n: source.raw(n).copy() for n in source}
    arrays[name].reshape(-1)[0] = value
    write_tensors(path, specs, [arrays[n] for n in source])


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


def test_a_source_that_changed_since_its_download_is_refused(tmp_path: Path, release: Path) -> None:
    names = [path.name for path in release.iterdir()]
    describe(release, names, {"repo": "org/model", "commit": "c" * 40}).write(release)
    result = convert(release, tmp_path / "good")
    recorded = json.loads((result / "config.json").read_text("utf-8"))["source"]
    assert (recorded["name"], recorded["revision"]) == ("org/model", "c" * 40)
    replace_tensor(release / "ve.safetensors", "proj.bias", 1.0)
    with pytest.raises(ModelError, match=r"ve\.safetensors has changed"):
        convert(release, tmp_path / "bad")


# -- the command -----------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_converts_verifies_and_says_so(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "8bit"
    code, said, told = run(capsys, tiny_model, "--bits", 8, "--out", out, "--verify")
    assert code == 0
    assert Checkpoint.open(out).kind == "converted"
    assert f"{out}: 4 MB -> " in said
    assert "| decoder | 0.999" in said
    assert "decoder: 38/38 parameters, 100%" in told


def test_the_result_goes_to_the_models_folder(
    home: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, _ = run(capsys, tiny_model, "--bits", 16, "--dtype", "fp16")
    assert code == 0
    assert Checkpoint.open(home / "models" / "tiny-fp16").kind == "converted"


def test_a_hub_id_is_downloaded_once(
    home: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with HubServer("org/tiny", {"main": ("a" * 40, tiny_model)}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        assert run(capsys, "org/tiny")[0] == 0
        asked = len(hub.log)
        assert run(capsys, "org/tiny", "--bits", 8)[0] == 0
        assert len(hub.log) == asked
    result = json.loads((home / "models" / "org--tiny-8bit" / "config.json").read_text("utf-8"))
    assert result["source"]["name"] == "org/tiny"
    assert result["source"]["revision"] == "a" * 40


def truncated(release: Path) -> Path:
    path = release / "s3gen.safetensors"
    os.truncate(path, path.stat().st_size - 100)
    return release


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere/at/all",), 2, "no folder nowhere/at/all"),
        (("./nowhere",), 2, "no folder ./nowhere"),
        (("{tiny}", "--bits", "5"), 2, "bits is 5. It must be one of 4, 8, 16"),
        (("{tiny}", "--group-size", "48"), 2, "It must be one of 32, 64, 128"),
        (("{tiny}", "--dtype", "int8"), 2, "dtype is 'int8'"),
        (("{tiny}", "--out", "{tiny}", "--force"), 2, "is the source itself"),
        (("{four}", "--out", "{place}/out"), 2, "is converted already"),
        (("{tiny}", "--out", "{place}"), 8, "is already there"),
        (("{truncated}", "--out", "{place}/out"), 5, "100 bytes are missing"),
        (("{place}", "--out", "{place}/out"), 5, "is no complete model"),
        (("{tiny}", "--upload", "me/model"), 2, "needs an access token"),
    ],
)
def test_a_mistake_gets_one_plain_sentence(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    tmp_path: Path,
    tiny_model: Path,
    four_bits: Path,
    release: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    filled = [
        argument.format(tiny=tiny_model, four=four_bits, place=place, truncated=release)
        for argument in arguments
    ]
    if "{truncated}" in arguments:
        truncated(release)
    found, said, told = run(capsys, *filled)
    assert found == code
    assert said == ""
    assert words in told
    assert "Traceback" not in told
    assert leftovers(place) == []
    assert sorted(tiny_model.iterdir())  # the source is untouched


def test_force_replaces_an_old_result(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(capsys, tiny_model, "--out", out)[0] == 0
    assert run(capsys, tiny_model, "--out", out, "--bits", 8)[0] == 8
    assert run(capsys, tiny_model, "--out", out, "--bits", 8, "--force")[0] == 0
    t3 = TensorFile.open(out / "t3.safetensors")
    assert t3["t3.speech_head.weight"].shape == (8194, 64 * 8 // 32)


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    for word in ("--bits", "--group-size", "--verify", "--upload", "ResembleAI/chatterbox-flash"):
        assert word in said


# -- progress --------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ticking() -> Iterator[float]:
    seconds = 0.0
    while True:
        yield seconds
        seconds += 1.0


def test_progress_says_how_fast_and_how_long() -> None:
    terminal, time = Terminal(), ticking()
    line = ProgressLine(terminal, lambda: next(time))
    for done in range(5):
        line(Progress("t3", done, 4, done * 10_000_000, 40_000_000))
    assert "decoder: 2/4 parameters, 50%, 10 MB/s, 2 s left" in terminal.getvalue()
    assert terminal.getvalue().endswith("decoder: 4/4 parameters, 100%, 10 MB/s, 4.0 s\n")


def test_progress_in_a_file_is_a_line_a_stage() -> None:
    file, time = io.StringIO(), ticking()
    line = ProgressLine(file, lambda: next(time))
    for stage in ("check", "t3"):
        for done in range(5):
            line(Progress(stage, done, 4, done * 10_000_000, 40_000_000))
    assert [text.partition(":")[0] for text in file.getvalue().splitlines()] == [
        "checking the source",
        "decoder",
    ]


def test_progress_counts_everything_once(tmp_path: Path, tiny_model: Path) -> None:
    seen: list[Progress] = []
    convert(tiny_model, tmp_path / "out", progress=seen.append)
    assert list(dict.fromkeys(one.stage for one in seen)) == ["check", "t3", "s3gen", "ve"]
    for stage in ("check", "t3", "s3gen", "ve"):
        mine = [one for one in seen if one.stage == stage]
        assert mine[-1].done == mine[-1].total
        assert mine[-1].read == mine[-1].size
        assert [one.read for one in mine] == sorted(one.read for one in mine)


# -- comparing -------------------------------------------------------------------------------


def test_metrics_of_known_arrays() -> None:
    one, other = np.array([3.0, 4.0], np.float32), np.array([4.0, 3.0], np.float32)
    assert cosine(one, other) == pytest.approx(24 / 25)
    assert cosine(one, 0 * other) == 0.0
    logits = np.log(np.array([[0.5, 0.5], [0.25, 0.75]], np.float32))
    expected = 0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5)
    assert divergence(logits, logits).tolist() == [0.0, 0.0]
    assert divergence(logits[1:], logits[:1] + 7.0)[0] == pytest.approx(expected, rel=1e-5)
    assert top_agreement(logits, logits[:, ::-1]) == 0.5
    assert agreement(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 4])) == 0.75
    tenfold = np.zeros((2, 3), np.float32), np.full((2, 3), np.log(10.0), np.float32)
    assert log_mel_distance(*tenfold) == pytest.approx(20.0)


@pytest.mark.parametrize("likeness", [0.2, -1.0, float("nan")])
def test_a_broken_network_is_an_error(likeness: float) -> None:
    lines = [Line("decoder", 0.9, ""), Line("flow", likeness, "log-mel 30 dB")]
    with pytest.raises(ModelError, match="flow"):
        require_sound(lines)
    require_sound(lines[:1])
    assert "| flow |" in table(lines)


def test_verify_finds_a_broken_result(tmp_path: Path, tiny_model: Path, four_bits: Path) -> None:
    broken = Path(shutil.copytree(four_bits, tmp_path / "broken"))
    replace_tensor(broken / "t3.safetensors", "t3.norm.weight", 0x7FC0)  # NaN in bfloat16
    lines = verify(Checkpoint.open(tiny_model), Checkpoint.open(broken))
    with pytest.raises(ModelError, match="decoder"):
        require_sound(lines)


# -- publishing ------------------------------------------------------------------------------


class FakeHub:
    """Notes what it is asked for; refuses if it shall."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.calls: list[tuple[str, str]] = []
        self.files: list[str] = []
        self._refusal = refusal

    def create_repo(self, repo_id: str, *, repo_type: str, exist_ok: bool) -> None:
        assert exist_ok
        self.calls.append(("create", f"{repo_type} {repo_id}"))

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: str,
        repo_type: str,
        commit_message: str,
        allow_patterns: list[str],
    ) -> None:
        if self._refusal is not None:
            raise self._refusal
        assert commit_message
        self.calls.append(("upload", f"{repo_type} {repo_id}"))
        self.files = sorted(
            path.name for path in Path(folder_path).iterdir() if path.name in allow_patterns
        )


def test_upload_sends_what_the_manifest_names(tmp_path: Path, four_bits: Path) -> None:
    folder = Path(shutil.copytree(four_bits, tmp_path / "folder"))
    (folder / "private.wav").write_bytes(b"mine")
    hub = FakeHub()
    upload(folder, "me/tiny-4bit", hub)
    assert hub.calls == [("create", "model me/tiny-4bit"), ("upload", "model me/tiny-4bit")]
    assert hub.files == leftovers(four_bits)


@pytest.mark.parametrize("refusal", [OSError("403 Forbidden"), ValueError("bad name")])
def test_a_refusal_leaves_the_folder_and_says_what_to_do(
    four_bits: Path, refusal: Exception
) -> None:
    before = leftovers(four_bits)
    with pytest.raises(OutputError, match=f"me/tiny.*{refusal}.*try again"):
        upload(four_bits, "me/tiny", FakeHub(refusal))
    assert leftovers(four_bits) == before


def test_what_is_no_result_is_not_uploaded(tiny_model: Path) -> None:
    hub = FakeHub()
    with pytest.raises(UsageError, match="cbflash-manifest"):
        upload(tiny_model, "me/tiny", hub)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("repo", "offline", "token", "words"),
    [
        ("me/tiny", True, "secret", "Offline"),
        ("me/tiny", False, None, "HF_TOKEN"),
        ("tiny", False, "secret", "no repository"),
    ],
)
def test_an_upload_that_cannot_be_is_refused_at_once(
    repo: str, offline: bool, token: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check_ready(repo, Environment(Path(), offline=offline, token=token))
    assert "secret" not in str(caught.value)


def test_the_card_says_what_it_is(four_bits: Path) -> None:
    card = (four_bits / "README.md").read_text("utf-8")
    header, text = card.split("---\n", 2)[1:]
    assert "license: mit\n" in header
    assert "base_model: ResembleAI/chatterbox-flash\n" in header
    assert "library_name: mlx\n" in header
    assert "| 4 bits in groups of 64, the rest bf16 |" in text
    assert "| fp16, in part fp32 |" in text
    assert "cbflash say --model" in text
    size = (four_bits / "t3.safetensors").stat().st_size
    assert f"| `t3.safetensors` | {size / 1e6:,.1f} MB |" in text
