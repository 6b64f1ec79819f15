"""The weight tables are total, and loading takes a folder exactly or not at all."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from cbflash.checkpoint import FILES, Checkpoint
from cbflash.config import ModelConfig
from cbflash.errors import ModelError, UsageError
from cbflash.tensorfile import Array, TensorFile, TensorSpec, write_tensors
from cbflash.weights import TABLES
from cbflash.weights.storage import PartStorage, fitting, read_storage
from cbflash.weights.table import match, source_shapes
from convert import convert
from mlx_port.device import default_dtype
from mlx_port.model import Chatterbox
from mlx_port.quantise import dequantise, dequantise_modules, quantise
from mlx_port.weights import decoder_bits, load_model, parameter_shapes
from tests.release_tables import release

Tensors = dict[str, tuple[str, Array]]


# -- the tables ------------------------------------------------------------------------------


def test_every_tensor_of_the_release_is_used_once_or_dropped_on_purpose() -> None:
    listed, used, dropped = 0, 0, Counter[str]()
    for part, rules in TABLES.items():
        tensors = release(FILES["release"][part])
        sources = [name for one in match(rules, tensors, part) for name in one.sources]
        assert len(sources) == len(set(sources))
        listed, used = listed + len(tensors), used + len(sources)
        dropped.update(name.rpartition(".")[2] for name in set(tensors) - set(sources))
        kept = [one for one in rules if one.target is not None]
        with pytest.raises(ModelError, match="unknown tensors"):
            match(kept, tensors, part)  # what is dropped is named by a rule, not forgotten
    assert listed == 2799
    assert used == 2799 - dropped.total()
    batch_norms = len([name for name in release("s3gen.safetensors") if "running_mean" in name])
    assert dropped == {
        "num_batches_tracked": batch_norms,
        "weight": 2,  # text head, the backbone's own embedding
        "_mel_filters": 1,
        "window": 1,
        "similarity_weight": 1,
        "similarity_bias": 1,
    }


def test_every_parameter_is_filled_once_with_its_shape() -> None:
    parameters = parameter_shapes(Chatterbox(ModelConfig()))
    filled: list[str] = []
    for part, rules in TABLES.items():
        tensors = release(FILES["release"][part])
        for one in match(rules, tensors, part):
            given = tuple(tensors[source] for source in one.sources)
            expected = source_shapes(one.transform, parameters[one.target], "mlx")
            assert given == expected, one.target
            filled.append(one.target)
    assert len(filled) == len(set(filled))
    assert set(filled) == set(parameters)


# -- a release folder ------------------------------------------------------------------------


def opened(folder: Path) -> Checkpoint:
    return Checkpoint.open(folder)


def test_a_release_is_loaded_tensor_for_tensor(tiny_model: Path) -> None:
    model = load_model(opened(tiny_model))
    assert model.t3.dtype == default_dtype()
    file = TensorFile.open(tiny_model / "t3_flash.safetensors")
    for source, target in (
        ("speech_emb.weight", model.t3.speech_embedding.weight),
        ("tfmr.layers.1.mlp.down_proj.weight", model.t3.layers[1].mlp.down_proj.weight),
    ):
        np.testing.assert_array_equal(np.array(target.astype(mx.float32)), file.read(source))
    conv = TensorFile.open(tiny_model / "s3gen.safetensors").read("tokenizer.encoder.conv1.weight")
    np.testing.assert_array_equal(
        np.array(model.s3tokenizer.conv1.weight), conv.transpose(0, 2, 1).astype(np.float32)
    )
    dtypes = {array.dtype for _, array in tree_flatten(model.flow.parameters())}
    assert dtypes == {mx.float32}


def test_the_decoder_runs_in_the_dtype_asked_for(tiny_model: Path) -> None:
    model = load_model(opened(tiny_model), mx.float16)
    assert {array.dtype for _, array in tree_flatten(model.t3.parameters())} == {mx.float16}
    assert model.hift.input.weight.dtype == mx.float32


@pytest.mark.parametrize("bits", [4, 8])
def test_the_decoder_is_quantised_while_loading(tiny_model: Path, bits: int) -> None:
    plain = load_model(opened(tiny_model))
    model = load_model(opened(tiny_model), bits=bits)
    assert decoder_bits(model) == bits
    assert decoder_bits(plain) is None
    quantised = {
        path for path, module in model.named_modules() if isinstance(module, nn.QuantizedLinear)
    }
    layers = opened(tiny_model).config.t3.layers
    assert quantised >= {"t3.speech_head", "t3.layers.1.attention.o_proj"}
    assert len(quantised) == 4 * layers + 1
    dequantise_modules(model)
    again, before = (
        model.t3.layers[0].mlp.gate_up_proj.weight,
        plain.t3.layers[0].mlp.gate_up_proj.weight,
    )
    error = mx.sqrt(mx.mean(mx.square(again - before))) / mx.std(before)
    assert error < {4: 0.12, 8: 0.008}[bits]


def damage(folder: Path, tiny: Path, file: str, change: Callable[[Tensors], None]) -> Checkpoint:
    """A copy of the tiny model with one file changed."""
    shutil.copytree(tiny, folder)
    source = TensorFile.open(folder / file)
    tensors = {name: (source[name].dtype, source.raw(name).copy()) for name in source}
    change(tensors)
    specs = [TensorSpec(name, dtype, array.shape) for name, (dtype, array) in tensors.items()]
    write_tensors(folder / file, specs, [array for _, array in tensors.values()])
    return opened(folder)


NORM = "tfmr.layers.1.input_layernorm.weight"


def lose_norm(tensors: Tensors) -> None:
    del tensors[NORM]


def add_extra(tensors: Tensors) -> None:
    tensors["tfmr.extra.weight"] = tensors[NORM]


def add_layer(tensors: Tensors) -> None:
    for name in [name for name in tensors if name.startswith("tfmr.layers.1.")]:
        tensors[name.replace("layers.1", "layers.2")] = tensors[name]


def shorten_norm(tensors: Tensors) -> None:
    dtype, array = tensors[NORM]
    tensors[NORM] = (dtype, array[:-1])


def make_ints(tensors: Tensors) -> None:
    tensors[NORM] = ("I32", tensors[NORM][1].astype(np.int32))


def unmask(tensors: Tensors) -> None:
    dtype, array = tensors["speech_emb.weight"]
    tensors["speech_emb.weight"] = (dtype, array[:-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lose_norm, (NORM, "lacks", "t3.layers.1.attention_norm.weight")),
        (add_extra, ("unknown", "tfmr.extra.weight")),
        (add_layer, ("tfmr.layers.2", "no place")),
        (shorten_norm, (NORM, "[63]", "[64]")),
        (make_ints, (NORM, "I32")),
        (unmask, ("8194 rows", "autoregressive", "Flash")),
    ],
)
def test_what_is_not_exactly_the_model_is_refused(
    tmp_path: Path, tiny_model: Path, change: Callable[[Tensors], None], words: tuple[str, ...]
) -> None:
    checkpoint = damage(tmp_path / "damaged", tiny_model, "t3_flash.safetensors", change)
    with pytest.raises(ModelError) as caught:
        load_model(checkpoint)
    for word in ("t3_flash.safetensors", *words):
        assert word in str(caught.value)


# -- a converted folder ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return convert(tiny_model, tmp_path_factory.mktemp("converted") / "8bit", bits=8)


def test_a_converted_folder_is_what_quantising_while_loading_gives(
    tiny_model: Path, converted: Path
) -> None:
    ours = dict(tree_flatten(load_model(opened(converted)).parameters()))
    other = dict(tree_flatten(load_model(opened(tiny_model), bits=8).parameters()))
    assert ours.keys() == other.keys()
    for name, array in ours.items():
        assert array.dtype == other[name].dtype, name
    for name in ("t3.norm.weight", "xvector.embedding.weight", "flow.embedding.weight"):
        np.testing.assert_array_equal(np.array(ours[name]), np.array(other[name]))


def test_a_converted_folder_can_be_quantised_while_loading(
    tmp_path: Path, tiny_model: Path
) -> None:
    folder = convert(tiny_model, tmp_path / "bf16", bits=16)
    assert decoder_bits(load_model(opened(folder))) is None
    assert decoder_bits(load_model(opened(folder), bits=4)) == 4


def test_bits_that_a_converted_folder_has_not_are_refused(converted: Path) -> None:
    assert decoder_bits(load_model(opened(converted), bits=8)) == 8
    with pytest.raises(UsageError, match="8 bits"):
        load_model(opened(converted), bits=4)


HEAD = "t3.speech_head.scales"


def lose_scales(tensors: Tensors) -> None:
    del tensors[HEAD]


def add_unknown(tensors: Tensors) -> None:
    tensors["t3.extra"] = tensors[HEAD]


def cut_scales(tensors: Tensors) -> None:
    dtype, array = tensors[HEAD]
    tensors[HEAD] = (dtype, array[:-1])


def float_codes(tensors: Tensors) -> None:
    codes = tensors["t3.speech_head.weight"][1]
    tensors["t3.speech_head.weight"] = ("F32", codes.astype(np.float32))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lose_scales, ("lacks tensor t3.speech_head.scales",)),
        (add_unknown, ("unknown tensor t3.extra",)),
        (cut_scales, (HEAD, "[8193, 1]", "[8194, 1]")),
        (float_codes, ("t3.speech_head.weight", "F32", "U32")),
    ],
)
def test_a_damaged_converted_folder_is_refused(
    tmp_path: Path, converted: Path, change: Callable[[Tensors], None], words: tuple[str, ...]
) -> None:
    checkpoint = damage(tmp_path / "damaged", converted, "t3.safetensors", change)
    with pytest.raises(ModelError) as caught:
        load_model(checkpoint)
    for word in ("t3.safetensors", "cbflash-convert", *words):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bits": 3},
        {"group_size": 48},
        {"dtype": "int8"},
        {"quantised": "all"},
        {"extra": 1},
        {"quantised": []},
        {"quantised": ["t3.text_embedding"]},
        {"group_size": 128},
    ],
)
def test_a_storage_that_makes_no_sense_is_refused(
    tmp_path: Path, converted: Path, wrong: dict[str, object]
) -> None:
    folder = tmp_path / "wrong"
    shutil.copytree(converted, folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["storage"]["t3"] |= wrong
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError, match=r"config\.json|lacks|unknown"):
        load_model(opened(folder))


def test_storage_names_all_networks_and_no_other() -> None:
    plain = PartStorage("fp16").to_dict() | {"quantised": [], "exact": []}
    networks = ("t3", "s3tokenizer", "xvector", "flow", "hift", "voice_encoder")
    storage = dict.fromkeys(networks, plain)
    assert read_storage(storage, "here")["flow"] == PartStorage("fp16")
    with pytest.raises(ModelError, match="hift"):
        read_storage({name: plain for name in networks if name != "hift"}, "here")
    with pytest.raises(ModelError, match="other"):
        read_storage(storage | {"other": plain}, "here")


# -- quantisation ----------------------------------------------------------------------------


def test_patterns_fit_where_all_their_rows_divide() -> None:
    shapes = {"a.0.x.weight": (8, 64), "a.1.x.weight": (8, 96), "b.weight": (3, 128)}
    assert fitting(("a.{i}.x", "b"), shapes, 64) == ("b",)
    assert fitting(("a.{i}.x", "b"), shapes, 32) == ("a.{i}.x", "b")


def normal(rows: int, columns: int) -> mx.array:
    rng = np.random.default_rng(3)
    return mx.array(rng.standard_normal((rows, columns)).astype(np.float32))


def root_mean_square(x: mx.array) -> float:
    return float(mx.sqrt(mx.mean(mx.square(x))))


@pytest.mark.parametrize("group_size", [32, 64, 128])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantised_matrix_is_mlx_s_own_format(bits: int, group_size: int) -> None:
    weight, x = normal(96, 256), normal(5, 256)
    ours = quantise(weight, bits, group_size, mx.float32)
    theirs = mx.quantize(weight, group_size, bits)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(np.array(one), np.array(other))
    product = mx.quantized_matmul(x, *ours, group_size=group_size, bits=bits)
    np.testing.assert_allclose(np.array(product), np.array(x @ dequantise(ours, bits).T), atol=1e-4)


def test_codes_fit_the_rounded_scales() -> None:
    weight = normal(256, 512)
    ours = dequantise(quantise(weight, 8, 64, mx.bfloat16), 8)
    exact = dequantise(quantise(weight, 8, 64, mx.float32), 8)
    codes, *affine = mx.quantize(weight, 64, 8)
    scales, biases = (values.astype(mx.bfloat16) for values in affine)
    late = dequantise((codes, scales, biases), 8)
    assert root_mean_square(ours - weight) < 1.05 * root_mean_square(exact - weight)
    assert root_mean_square(late - weight) > 1.3 * root_mean_square(ours - weight)


def test_a_group_of_equal_weights_stays_itself() -> None:
    weight = mx.concatenate([mx.full((1, 64), 0.25), mx.zeros((1, 64))])
    parts = quantise(weight, 4, 64, mx.bfloat16)
    np.testing.assert_array_equal(np.array(dequantise(parts, 4)), np.array(weight))


def test_sizes_come_from_the_config(tiny_model: Path) -> None:
    checkpoint = opened(tiny_model)
    other = dataclasses.replace(checkpoint, config=ModelConfig())
    with pytest.raises(ModelError, match=r"config\.json"):
        load_model(other)
