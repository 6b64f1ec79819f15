"""A trained model becomes a model folder that every engine opens like any release."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.checkpoint import FILES, Checkpoint
from cbflash.conditioning import make_voice
from cbflash.config import ModelConfig
from cbflash.engine import Engine, EngineOptions, Utterance
from cbflash.errors import ModelError, OutputError
from cbflash.settings import Sampling
from cbflash.tensorfile import TensorFile, from_bfloat16, to_bfloat16
from cbflash.voice import Voice
from cbflash.weights import TABLES
from cbflash.weights.table import TRANSFORMS, arrange, match, source_shapes, take_apart
from cuda_backend.backend import CPU
from cuda_backend.engine import ClipEncoders
from cuda_backend.graph import Eager
from cuda_backend.layers import pack
from cuda_backend.model import Chatterbox
from cuda_backend.render import Renderer
from cuda_backend.weights import read_model
from mlx_port.backend import BACKEND as MLX
from tests.closeness import assert_close
from tests.contract import make_clip, make_prompt, tokens_of
from tests.full_disk import files_up_to
from tests.release_tables import release
from tests.seeded_models import TINY
from tests.seeded_tokenizer import write_tokenizer
from training.export import Precision, export, take_pieces, write_config
from training.parameters import trainable

SAMPLING = Sampling(num_steps=4)
CPU_DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tiny_model: Path) -> Chatterbox:
    """Of the seeded release, whose sound is no silence, but no parameter is as it was there."""
    model = read_model(Checkpoint.open(tiny_model), torch.float32, CPU_DEVICE)
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1 + 0.05 * torch.rand(parameter.shape, generator=random)
    return model.requires_grad_(True)


def exported(model: Chatterbox, folder: Path, precision: Precision = "fp32") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer.json")
    return export(model, folder / "tokenizer.json", folder / "model", precision=precision)


@pytest.fixture(scope="module")
def folder(trained: Chatterbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(trained, tmp_path_factory.mktemp("exported"))


def reopened(folder: Path) -> Chatterbox:
    return read_model(Checkpoint.open(folder), torch.float32, CPU_DEVICE)


def test_a_folder_holds_the_model_that_was_trained(trained: Chatterbox, folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    assert (checkpoint.kind, checkpoint.config, checkpoint.name) == ("release", TINY, "tiny")
    for (name, ours), theirs in zip(
        reopened(folder).named_parameters(), trained.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-6, atol=1e-7, msg=name)


def test_in_bfloat16_matrices_are_rounded_and_nothing_else(
    trained: Chatterbox, tmp_path: Path
) -> None:
    folder = exported(trained, tmp_path, "bf16")
    for (name, ours), theirs in zip(
        reopened(folder).named_parameters(), trained.parameters(), strict=True
    ):
        exact = theirs.detach()
        if exact.ndim == 1:
            torch.testing.assert_close(ours, exact, rtol=1e-6, atol=1e-7, msg=name)
        else:
            error = (ours - exact).norm() / exact.norm()
            assert error < 2**-8, name
    names = FILES["release"]
    small = (folder / names["t3"]).stat().st_size
    large = (exported(trained, tmp_path / "other") / names["t3"]).stat().st_size
    assert small < 0.55 * large
    assert TensorFile.open(folder / names["t3"])["tfmr.norm.weight"].dtype == "F32"


def heard(model: Chatterbox) -> Voice:
    return make_voice(
        make_clip(), ClipEncoders(model), model_id="x", engine="memory", prompt_tokens_limit=150
    )


@pytest.mark.parametrize("backend", [CPU, MLX], ids=["PyTorch", "MLX"])
@torch.inference_mode()
def test_engines_give_what_the_modules_give(
    trained: Chatterbox, folder: Path, backend: type[CPU] | type[MLX]
) -> None:
    engine: Engine = backend.load(str(folder), EngineOptions(dtype="float32"))
    ours, theirs = heard(trained), engine.encode_voice(make_clip())
    for name in ("prompt_tokens", "s3_tokens"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    for name in ("speaker_embedding", "x_vector"):
        assert_close(getattr(theirs, name), getattr(ours, name), 2e-5)
    spoken = [Utterance(tuple(range(100, 120)), ours, 7)]
    runner = Eager(None, TINY.t3, torch.float32, CPU_DEVICE)
    expected = Renderer(trained, runner, 1).render(spoken, SAMPLING)[0]
    assert np.abs(expected).max() > 0.05
    # Last-bit differences of the pitch add up in the phase of the source.
    assert_close(engine.render(spoken, SAMPLING)[0], expected, 5e-3)


def test_engines_agree_on_what_is_said(folder: Path) -> None:
    engines = [one.load(str(folder), EngineOptions(dtype="float32")) for one in (CPU, MLX)]
    voice = engines[0].encode_voice(make_clip())
    one, other = (
        tokens_of(engine.decode([make_prompt(engine, voice)], SAMPLING)) for engine in engines
    )
    assert one == other
    assert one


def test_an_untrained_model_can_be_written_too(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = Chatterbox(TINY)
    folder = exported(trainable(model), tmp_path)
    assert reopened(folder).config == TINY
    sizes = json.loads((folder / "config.json").read_text("utf-8"))["sizes"]
    assert ModelConfig.from_dict(sizes) == TINY


def test_a_folder_is_not_overwritten(trained: Chatterbox, folder: Path) -> None:
    tokenizer = folder / "tokenizer.json"
    with pytest.raises(OutputError, match="already there"):
        export(trained, tokenizer, folder)


def test_a_full_disk_is_told(trained: Chatterbox, tmp_path: Path) -> None:
    tokenizer, size = tmp_path / "tokenizer.json", 1 << 26
    with tokenizer.open("wb") as file:
        file.truncate(size)
    with files_up_to(size - 1), pytest.raises(OutputError, match=r"tokenizer\.json could not be"):
        export(trained, tokenizer, tmp_path / "model")
    with files_up_to(100), pytest.raises(OutputError, match=r"config\.json could not be written"):
        write_config(tmp_path, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_a_packed_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    model = reopened(tiny_model)
    pack(model)
    with pytest.raises(ValueError, match="packed"):
        export(model, tiny_model / "tokenizer.json", tmp_path / "model")


def test_what_a_release_has_no_place_for_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    model = reopened(tiny_model)
    model.xvector.embedding_norm.affine[0, 3] = -1.0
    with pytest.raises(ModelError, match="batch norm"):
        export(model, tiny_model / "tokenizer.json", tmp_path / "model")
    assert not (tmp_path / "model").exists()


# -- the tables backwards ----------------------------------------------------------------------


@pytest.mark.parametrize("part", TABLES)
def test_a_model_of_the_release_s_sizes_would_have_its_tensors(part: str) -> None:
    """All of them but those that nothing is made of."""
    with torch.device("meta"):
        model = Chatterbox(ModelConfig())
    specs = [spec for piece in take_pieces(model, part, "fp32") for spec in piece.specs]
    tensors = release(FILES["release"][part])
    used = [name for one in match(TABLES[part], tensors, part) for name in one.sources]
    assert {spec.name: spec.shape for spec in specs} == {name: tensors[name] for name in used}
    assert len(specs) == len(used)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_transform_is_undone(transform: str) -> None:
    rng = np.random.default_rng(1)
    shape = {"conv2d": (6, 4, 3, 3), "batch_norm": (2, 6), "batch_norm_plain": (2, 6)}.get(
        transform, (6, 4, 3) if "conv" in transform else (6, 4)
    )
    array = rng.uniform(0.1, 3.0, shape).astype(np.float32)
    parts = take_apart(transform, array)
    assert tuple(part.shape for part in parts) == source_shapes(transform, shape, "torch")
    np.testing.assert_allclose(arrange(transform, parts, "torch"), array, rtol=2e-6)


def test_a_weight_of_zeros_has_a_length_of_zero() -> None:
    array = np.ones((3, 4, 2), np.float32)
    array[1] = 0.0
    parts = take_apart("weight_norm_conv1d", array)
    rounded = [from_bfloat16(to_bfloat16(part)) for part in parts]
    np.testing.assert_allclose(arrange("weight_norm_conv1d", rounded, "torch"), array, rtol=1e-2)
