"""The command cbflash-distill on a tiny teacher: what it makes, that it goes on where it was."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.checkpoint import AUTOREGRESSIVE, Checkpoint
from cbflash.engine import EngineOptions
from cbflash.settings import Sampling
from cbflash.tensorfile import TensorFile
from cuda_backend.backend import CPU
from cuda_backend.t3 import T3
from mlx_port.backend import BACKEND as MLX
from tests.autoregressive_folders import FLASH, make_autoregressive
from tests.contract import make_clip, make_prompt, tokens_of
from tests.seeded_models import TINY
from training.autoregressive import Draw
from training.checkpoints import checkpoints_in
from training.distill import command, work
from training.distill.command import main
from training.distill.teacher import Teacher
from training.t3 import Untold
from training.teacher_speech import Voiced

SAMPLE = Path(__file__).parent.parent / "assets" / "voices" / "sample.flac"
TEXTS = "Good morning.\n\n***\nHow are you?\nThe sea is blue.\n"
UNTOLD: tuple[Untold, ...] = ("all", "text")
# Few steps of few tokens: what is tried here is the way, not what is learnt.
QUICK = ("--batch", "60", "--longest", "2", "--block", "8", "--rate", "0.02")


@dataclass(frozen=True)
class Ended:
    code: int
    said: str
    told: str

    def divergence(self, when: str) -> float:
        found = re.search(rf"{when}.*: divergence (\d+\.\d+)", self.told)
        assert found, self.told
        return float(found[1])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return make_autoregressive(tiny_model, tmp_path_factory.mktemp("teacher") / "tiny")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text(TEXTS, "utf-8")
    return path


Distil = Callable[..., Ended]


@pytest.fixture(scope="module")
def distil(teacher: Path, texts: Path) -> Distil:
    """Run the command; its signals and its clock are those of a test."""

    def run(out: Path, *options: object, clock: Callable[[], float] = float) -> Ended:
        arguments = [teacher, texts, "--voices", SAMPLE, "--out", out, *QUICK, *options]
        said, told = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
            code = main([str(one) for one in arguments], clock)
        return Ended(code, said.getvalue(), told.getvalue())

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, distil: Distil) -> tuple[Path, Ended]:
    out = tmp_path_factory.mktemp("student") / "mine"
    return out, distil(out, "--steps", 40, "--samples", 4, "--top-k", 50, "--rank", 8)


@pytest.fixture(scope="module")
def student(made: tuple[Path, Ended]) -> Path:
    return made[0]


def test_it_says_what_it_needs_and_the_divergence_falls(made: tuple[Path, Ended]) -> None:
    out, ended = made
    assert ended.code == 0
    assert ended.said == f"{out}\n"
    assert "17,472 of 1,262,272 parameters are trained; about" in ended.told
    assert "the teacher spoke 12 of 12 texts" in ended.told
    assert ended.divergence("not trained on") < 0.8 * ended.divergence("before training")


@pytest.mark.parametrize("backend", [MLX, CPU], ids=["mlx", "torch"])
def test_both_engines_open_it_and_decode(student: Path, backend: object) -> None:
    assert backend in (MLX, CPU)
    engine = (MLX if backend is MLX else CPU).load(str(student), EngineOptions(dtype="float32"))
    assert engine.info.model == "mine"
    assert engine.config.t3.block_size == 8
    voice = engine.encode_voice(make_clip())
    tokens = tokens_of(engine.decode([make_prompt(engine, voice)], Sampling(num_steps=4)))
    assert tokens
    assert max(tokens) < TINY.t3.start_speech


def test_only_what_was_adapted_differs_from_the_teacher(student: Path, teacher: Path) -> None:
    for name in ("s3gen.safetensors", "ve.safetensors", "tokenizer.json"):
        assert (student / name).read_bytes() == (teacher / name).read_bytes()
    before, after = TensorFile.open(teacher / AUTOREGRESSIVE), TensorFile.open(student / FLASH)
    assert set(before) - set(after) == {"text_head.weight", "tfmr.embed_tokens.weight"}
    for name in after:
        old, new = before.read(name), after.read(name)
        if name == "speech_emb.weight":
            assert np.array_equal(old, new[:-1])
            assert new[-1].any()
            continue
        adapted = ".self_attn." in name or ".mlp." in name
        assert np.array_equal(old, new) != adapted, name
    assert Checkpoint.open(student).model_id == Teacher.open(teacher).model_id


def test_all_weights_may_learn(tmp_path: Path, distil: Distil, teacher: Path) -> None:
    assert distil(tmp_path / "out", "--all-weights", "--steps", 2, "--bf16", "--frugal").code == 0
    before = TensorFile.open(teacher / AUTOREGRESSIVE)
    after = TensorFile.open(tmp_path / "out" / FLASH)
    for name in ("text_emb.weight", "tfmr.norm.weight", "tfmr.layers.0.mlp.up_proj.weight"):
        assert not np.array_equal(before.read(name), after.read(name)), name


class Alarm:
    """A clock that stands still until it was looked at so often; then something happens."""

    def __init__(self, looks: int, then: Callable[[int], float]) -> None:
        self.looks = looks
        self._then = then

    def __call__(self) -> float:
        self.looks -= 1
        return self._then(self.looks) if self.looks <= 0 else 0.0


def interrupt(looks: int) -> float:
    if looks == 0:
        signal.raise_signal(signal.SIGINT)
    return 0.0


def hour(looks: int) -> float:
    return 3600.0


def stopped_at(work: Path) -> int:
    return int(checkpoints_in(work / "training")[-1].name.removeprefix("step-"))


@pytest.mark.parametrize("then", [interrupt, hour], ids=["Ctrl-C", "the time is over"])
def test_a_stopped_run_goes_on_to_the_same_end(
    tmp_path: Path, distil: Distil, then: Callable[[int], float]
) -> None:
    options = ("--steps", 5, "--together", 1)
    whole = distil(tmp_path / "whole", *options)
    assert whole.code == 0
    # Two looks at the clock to begin with, two for each of three texts, and one for each step.
    alarm = Alarm(2 + 3 * 2 + 3, then)
    stopped = distil(tmp_path / "out", *options, "--minutes", 30, clock=alarm)
    assert stopped.code == 130, stopped.told
    assert "Paused, with a checkpoint." in stopped.told
    assert not (tmp_path / "out").exists()
    assert stopped_at(tmp_path / "out.work") == 3
    ended = distil(tmp_path / "out", *options)
    assert ended.code == 0
    assert "going on from step" in ended.told
    assert "before training" not in ended.told
    for name in (FLASH, "config.json"):
        one, other = ((tmp_path / folder / name).read_bytes() for folder in ("whole", "out"))
        assert one.replace(b'"whole"', b'"out"') == other


def test_the_teacher_goes_on_speaking_where_it_was(tmp_path: Path, distil: Distil) -> None:
    options = ("--steps", 1, "--together", 1, "--minutes", 30)
    paused = distil(tmp_path / "out", *options, clock=Alarm(3, hour))
    assert paused.code == 130
    assert "The time is over." in paused.told
    spoken = batches(tmp_path)
    assert len(spoken) == 1
    before = spoken[0].stat().st_mtime_ns
    assert distil(tmp_path / "out", *options).code == 0
    assert spoken[0].stat().st_mtime_ns == before
    assert len(batches(tmp_path)) == 3


def batches(folder: Path) -> list[Path]:
    """The files of what was spoken for `folder / "out"`."""
    return sorted((folder / "out.work" / "speech").rglob("*.npz"))


def test_what_spares_memory_may_change_on_the_way(
    tmp_path: Path, distil: Distil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what a run that was out of memory is told to do."""
    seeds: list[int] = []

    def voiced(teacher: T3, draw: Draw, seed: int) -> Voiced:
        seeds.append(seed)
        return Voiced(teacher, draw, seed)

    monkeypatch.setattr(work, "Voiced", voiced)
    options = ("--steps", 3, "--samples", 4, "--minutes", 30)
    speaking = distil(tmp_path / "out", *options, "--together", 5, clock=Alarm(3, hour))
    assert "spoke 5 of 12 texts" in speaking.told
    before = {path: path.stat().st_mtime_ns for path in batches(tmp_path)}
    assert len(before) == 1
    speaking = distil(tmp_path / "out", *options, "--together", 2, clock=Alarm(3, hour))
    assert "spoke 7 of 12 texts" in speaking.told
    # Two looks at the clock to begin with, two for each of two batches, and one for a step.
    learning = distil(tmp_path / "out", *options, "--together", 4, clock=Alarm(2 + 2 * 2 + 1, hour))
    assert "Paused, with a checkpoint." in learning.told
    assert stopped_at(tmp_path / "out.work") == 1
    spare = ("--together", 1, "--batch", 30, "--bf16", "--frugal")
    ended = distil(tmp_path / "out", "--steps", 3, "--samples", 4, *spare)
    assert ended.code == 0, ended.told
    assert "going on from step 1" in ended.told
    assert "the teacher spoke" not in ended.told
    found = batches(tmp_path)
    assert len(found) == 1 + 1 + 2
    assert {path: path.stat().st_mtime_ns for path in found if path in before} == before
    said = [place for path in found for place in np.load(path)["places"].tolist()]
    assert len(set(said)) == len(said) > 7
    assert seeds == [0, 5, 7], "no two batches are drawn from one"


def test_out_of_memory_names_what_may_change(
    tmp_path: Path, distil: Distil, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(command, "run", full)
    ended = distil(tmp_path / "out")
    assert ended.code == 7
    assert set(re.findall(r"--[\w-]+", ended.told)) == {
        "--together",
        "--frugal",
        "--bf16",
        "--batch",
    }
    assert "What is there is kept." in ended.told


def test_a_run_goes_on_with_its_own_settings_only(tmp_path: Path, distil: Distil) -> None:
    assert distil(tmp_path / "out", "--steps", 1).code == 0
    ended = distil(tmp_path / "out", "--steps", 1, "--force", "--rank", 2)
    assert ended.code == 5
    assert "was trained with rank.alpha = 32.0, not 4.0" in ended.told
    ended = distil(tmp_path / "out", "--steps", 1, "--force", "--samples", 2, "--seed", 1)
    assert ended.code == 2
    assert "was begun with other values of: samples, seed. Begin in another folder" in ended.told


def test_the_output_is_not_replaced_unasked(tmp_path: Path, distil: Distil) -> None:
    (tmp_path / "out").mkdir()
    ended = distil(tmp_path / "out")
    assert ended.code == 8
    assert "is already there" in ended.told
    assert not (tmp_path / "out.work").exists()


def test_a_student_never_takes_the_place_of_its_teacher(teacher: Path, distil: Distil) -> None:
    before = sorted(path.name for path in teacher.iterdir())
    ended = distil(teacher, "--force")
    assert ended.code == 8
    assert "is the teacher. Choose another name" in ended.told
    assert sorted(path.name for path in teacher.iterdir()) == before


def test_a_run_is_lengthened_where_its_annealing_stays(tmp_path: Path, distil: Distil) -> None:
    assert distil(tmp_path / "out", "--steps", 2).code == 0
    ended = distil(tmp_path / "out", "--steps", 6, "--force")
    assert ended.code == 5
    assert "was trained with annealed = 1, not 3" in ended.told
    assert distil(tmp_path / "out", "--steps", 6, "--annealed", 1, "--force").code == 0


@pytest.mark.parametrize(
    ("out", "work", "message"),
    [
        (".", "work", "is no name of a new folder"),
        ("holds/..", "work", "is no name of a new folder"),
        ("file", "work", "is a file"),
        ("holds", "work", "holds other folders, so it is not replaced"),
        ("new", "new/work", "is in new, the result. Choose another --work."),
        ("new", "new", "is in new, the result. Choose another --work."),
    ],
)
def test_a_result_that_could_not_be_written_is_told_before_anything_is_done(
    tmp_path: Path,
    distil: Distil,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    work: str,
    message: str,
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "holds" / "folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    ended = distil(Path(out), "--work", work, "--force", "--steps", 1)
    assert ended.code == 8
    assert message in ended.told
    assert ended.told.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "holds"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--steps", 0), 2, "steps is 0; it must be at least 1."),
        (("--block", 1), 2, "--block is 1; it must be at least 2, and at most 255 with this"),
        (("--block", 0), 2, "--block is 0; it must be at least 2, and at most 255 with this"),
        (("--block", 256), 2, "--block is 256; it must be at least 2, and at most 255 with this"),
        (("--rank", 0), 2, "rank is 0; it must be at least 1."),
        (("--beta", 1.5), 2, "beta is 1.5; it must be more than 0 and less than 1."),
        (("--beta", 0), 2, "beta is 0.0; it must be more than 0 and less than 1."),
        (("--beta", 1), 2, "beta is 1.0; it must be more than 0 and less than 1."),
        (("--top-k", -1), 2, "top is -1; it must be at least 0."),
        (("--annealed", -1), 2, "annealed is -1; it must be at least 0."),
        (("--rate", 0), 2, "rate is 0.0; it must be more than 0."),
        (("--period", -1), 2, "period is -1; it must be at least 0."),
        (("--top-p", 0), 2, "top-p and min-p must be between 0 and 1."),
        (("--repetition", 0), 2, "temperature, guidance and repetition must not be negative."),
        (("--longest", 0), 2, "--longest and --together must be more than 0."),
        (("--seed", -1), 2, "--seed is -1; it must be from 0 to 4294967295."),
        (("--seed", 2**32), 2, "--seed is 4294967296; it must be from 0 to 4294967295."),
        (("--minutes", 0), 2, "--minutes is 0.0; it must be more than 0."),
        (("--voices", "nobody.wav"), 3, "nobody.wav"),
    ],
)
def test_options_that_make_no_sense_are_told_first(
    tmp_path: Path, distil: Distil, options: tuple[object, ...], code: int, message: str
) -> None:
    ended = distil(tmp_path / "out", *options)
    assert ended.code == code
    assert ended.told.startswith("cbflash-distill: ")
    assert message in ended.told
    assert ended.told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option",
    [
        *("--longest", "--temperature", "--rate", "--guidance", "--alpha", "--minutes", "--top-p"),
        *("--min-p", "--repetition", "--beta", "--unconditional"),
    ],
)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_are_finite(tmp_path: Path, distil: Distil, option: str, value: str) -> None:
    ended = distil(tmp_path / "out", f"{option}={value}")
    assert ended.code == 2
    assert ended.told == f"cbflash-distill: {option} is {value}; it must be a finite number.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "holds no text"), (b"***\n \n", "holds no text"), (b"\xff\xfe", "cannot be read")],
)
def test_texts_that_are_none(
    tmp_path: Path, teacher: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(content)
    arguments = [teacher, path, "--voices", SAMPLE, "--out", tmp_path / "out"]
    assert main([str(one) for one in arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_teacher_that_never_ends_is_told(tmp_path: Path, distil: Distil) -> None:
    ended = distil(tmp_path / "out", "--longest", 0.08, "--temperature", 0)
    assert ended.code == 2
    assert "The teacher ended none of the texts." in ended.told


def test_a_card_that_is_not_there(
    tmp_path: Path, distil: Distil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ended = distil(tmp_path / "out", "--device", "cuda")
    assert ended.code == 7
    assert "PyTorch finds no NVIDIA card here." in ended.told


def test_without_pytorch_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from training.distill.__main__ import main; sys.exit(main(['--help']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 7
    assert done.stdout == ""
    assert done.stderr == (
        "cbflash-distill: PyTorch, which trains the decoder, is not installed. "
        "Install it: pip install 'cbflash[training]'.\n"
    )
