"""The folder of an autoregressive Chatterbox: what is taken for one, and how it speaks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.checkpoint import AUTOREGRESSIVE, Checkpoint
from cbflash.errors import ModelError
from cuda_backend.weights import read_model
from tests.autoregressive_folders import FLASH, Tensors, make_autoregressive, rewrite
from tests.decoder_rows import VOICES
from tests.seeded_models import TINY
from training.autoregressive import Draw, speak
from training.distill.lesson import Lesson, Student, share
from training.distill.needs import activations
from training.distill.script import Script, SpokenScript
from training.distill.settings import Settings
from training.distill.teacher import Teacher
from training.distill.texts import read_texts
from training.export import export
from training.t3 import Layout, Prefix, Untold

UNTOLD: tuple[Untold, ...] = ("all", "text")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return make_autoregressive(tiny_model, tmp_path_factory.mktemp("teacher") / "tiny")


def test_an_ordinary_flow_is_seen_and_written_down(tmp_path: Path, teacher: Path) -> None:
    """The released model says nowhere that its flow is none of two steps."""
    folder = make_folder(tmp_path, teacher)
    mixer = "flow.decoder.estimator.time_embed_mixer.weight"
    rewrite(folder / "s3gen.safetensors", lambda tensors: tensors.pop(mixer))
    assert Teacher.open(teacher).config.flow.meanflow
    assert not Teacher.open(folder).config.flow.meanflow


def test_another_training_is_told_from_this_one(tmp_path: Path, teacher: Path) -> None:
    folder = make_folder(tmp_path, teacher)
    assert Teacher.open(folder).digest == Teacher.open(teacher).digest
    rewrite(folder / AUTOREGRESSIVE, lambda tensors: tensors["tfmr.norm.weight"].fill(0x3F81))
    assert Teacher.open(folder).digest != Teacher.open(teacher).digest


def test_the_mask_begins_as_the_mean_of_the_sounds(teacher: Path) -> None:
    opened = Teacher.open(teacher)
    rows = opened.read_decoder(CPU).speech_embedding.weight
    assert rows.shape[0] == TINY.t3.speech_vocab + 1
    assert torch.allclose(rows[-1], rows[: TINY.t3.start_speech].mean(dim=0))
    assert opened.precision == "bf16"


def make_folder(tmp_path: Path, teacher: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in teacher.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def flash(tensors: Tensors) -> None:
    rows = tensors["speech_emb.weight"]
    tensors["speech_emb.weight"] = np.concatenate([rows, rows[:1]])


def lacks_a_layer(tensors: Tensors) -> None:
    for name in [name for name in tensors if name.startswith("tfmr.layers.1.")]:
        del tensors[name]


def multilingual(tensors: Tensors) -> None:
    tensors["text_emb.weight"] = np.tile(tensors["text_emb.weight"], (4, 1))


def turbo(tensors: Tensors) -> None:
    tensors["tfmr.h.0.attn.c_attn.weight"] = tensors["text_emb.weight"]


def no_decoder(tensors: Tensors) -> None:
    del tensors["speech_emb.weight"]


def strange(tensors: Tensors) -> None:
    tensors["lora.weight"] = tensors["text_emb.weight"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flash, "has a row for the mask already: it is a Chatterbox-Flash. It can be used as"),
        (lacks_a_layer, "lacks tfmr.layers.1."),
        (multilingual, "knows 2816 text ids, not 704. Is it a model of other languages?"),
        (turbo, "is a GPT-2, the decoder of Chatterbox-Turbo"),
        (no_decoder, "holds no speech_emb.weight: it is no decoder"),
        (strange, "1 unknown tensors, the first is lora.weight"),
    ],
)
def test_other_decoders_are_told(
    tmp_path: Path, teacher: Path, change: Callable[[Tensors], None], message: str
) -> None:
    folder = make_folder(tmp_path, teacher)
    rewrite(folder / AUTOREGRESSIVE, change)
    with pytest.raises(ModelError, match=re.escape(message)):
        Teacher.open(folder)


def pickled(folder: Path) -> None:
    (folder / AUTOREGRESSIVE).rename(folder / "t3_cfg.pt")


def converted(folder: Path) -> None:
    (folder / AUTOREGRESSIVE).rename(folder / "t3.safetensors")


def without_voice(folder: Path) -> None:
    (folder / "ve.safetensors").unlink()


def damaged(folder: Path) -> None:
    (folder / AUTOREGRESSIVE).write_bytes(b"<html>")


def other_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["sizes"]["t3"]["width"] = 128
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pickled, "holds pickled files (.pt), which are never opened here"),
        (converted, "is a converted model, which cannot be trained"),
        (without_voice, "is no complete model; missing: ve.safetensors"),
        (damaged, AUTOREGRESSIVE),
        (other_sizes, "has the shape [704, 64], not [704, 128]"),
    ],
)
def test_other_folders_are_told(
    tmp_path: Path, teacher: Path, change: Callable[[Path], None], message: str
) -> None:
    folder = make_folder(tmp_path, teacher)
    change(folder)
    with pytest.raises(ModelError, match=re.escape(message)):
        Teacher.open(folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        Teacher.open(tmp_path / "nowhere")


def test_the_program_says_what_makes_a_model_of_it(teacher: Path) -> None:
    with pytest.raises(ModelError, match="cbflash-distill makes a model of it"):
        Checkpoint.open(teacher)


def test_a_decoder_is_exported_without_its_mask(tmp_path: Path, tiny_model: Path) -> None:
    model = read_model(Checkpoint.open(tiny_model), torch.float32, CPU)
    folder = export(
        model, tiny_model / "tokenizer.json", tmp_path / "ar", precision="bf16", autoregressive=True
    )
    assert not (folder / FLASH).exists()
    read = Teacher.open(folder).read_decoder(CPU)
    for name, one in model.t3.named_parameters():
        rows = slice(None, -1) if name == "speech_embedding.weight" else slice(None)
        assert torch.equal(one[rows], read.get_parameter(name)[rows]), name


# -- how the teacher speaks ------------------------------------------------------------------


def prefix() -> Prefix:
    random = torch.Generator().manual_seed(7)
    return Prefix(
        text=torch.tensor([[255, 5, 6, 7, 0], [255, 9, 0, 0, 0]]),
        lengths=torch.tensor([5, 3]),
        speaker=torch.randn(2, TINY.t3.speaker_dim, generator=random),
        prompt=torch.arange(20).view(2, 10),
        exaggeration=torch.tensor([0.5, 0.8]),
    )


def test_a_wordless_row_keeps_its_voice_and_the_positions_of_its_text(teacher: Path) -> None:
    model = Teacher.open(teacher).read_decoder(CPU)
    given = prefix()
    told = given.embed(model)
    wordless = Prefix(**(vars(given) | {"wordless": torch.tensor([False, True])})).embed(model)
    assert torch.equal(wordless[0], told[0])
    voice = TINY.t3.conditioning
    assert torch.equal(wordless[1, :voice], told[1, :voice])
    assert torch.equal(wordless[1, voice:], model.text_positions.weight[:5])


def test_repetition_likelihood_and_guidance_shape_what_is_drawn(teacher: Path) -> None:
    model = Teacher.open(teacher).read_decoder(CPU)

    def spoken(draw: Draw) -> list[list[int]]:
        generator = torch.Generator().manual_seed(1)
        return [row.tolist() for row in speak(model, prefix(), draw, generator)]

    likeliest = Draw(temperature=0.0, limit=30)
    greedy = spoken(likeliest)
    assert any(len(set(row)) < len(row) for row in greedy)
    assert spoken(Draw(1.0, 1.0, limit=30)) != greedy
    assert spoken(Draw(1.0, 1.0, limit=30, min_p=1.0)) == greedy  # only the likeliest is left
    rarer = spoken(replace(likeliest, repetition=1e6))
    assert all(len(set(row)) == len(row) > 0 for row in rarer)
    all_, text = (spoken(replace(likeliest, scale=2.0, untold=one)) for one in UNTOLD)
    assert greedy not in (all_, text)
    assert all_ != text


# -- what is said, and what it takes -----------------------------------------------------------


def test_long_lines_are_cut_and_texts_are_cleaned(tmp_path: Path, teacher: Path) -> None:
    tokenizer = Teacher.open(teacher).tokenizer()
    path = tmp_path / "texts.txt"
    path.write_text(
        "It is 5 o'clock.\n" + " ".join(f"We saw {n} seas." for n in range(40)), "utf-8"
    )
    first, *others = read_texts(path, tokenizer)
    assert first == tokenizer.encode("It is five o'clock.").ids
    assert len(others) > 1
    assert max(map(len, others)) <= tokenizer.longest_text + 2


def script() -> Script:
    texts = tuple((255, *range(5, 65), last, 0) for last in (1, 3))
    return Script(texts, tuple(VOICES), 2, TINY.t3, seed=0)


def test_an_utterance_is_the_same_wherever_it_is_asked_for() -> None:
    """The student must hear what the teacher was told."""
    whole, other = script().prefix([0, 1, 2, 3]), script().prefix([3, 1])
    assert torch.equal(whole.speaker[[3, 1]], other.speaker)
    assert torch.equal(whole.exaggeration[[3, 1]], other.exaggeration)
    assert len(set(whole.exaggeration.tolist())) == 4
    assert torch.equal(whole.text[0], whole.text[2])
    assert not torch.equal(whole.text[0], whole.text[1])


def spoken_script(tokens: int = 150, unconditional: float = 0.0) -> SpokenScript:
    drawn = np.random.default_rng(1)
    spoken = {place: drawn.integers(0, 6000, tokens) for place in range(4)}
    spoken[1][:10] = TINY.t3.start_speech + 5  # no sound
    return SpokenScript(script(), spoken, unconditional, CPU)


def test_what_is_no_sound_is_not_learnt() -> None:
    speech = spoken_script()
    assert [speech.length(place) for place in range(4)] == [150, 140, 150, 150]
    batch = speech.batch([1, 2], np.random.default_rng(0))
    assert batch.speech.shape == (2, 152)
    assert batch.speech[0, 141:].tolist() == [TINY.t3.stop_speech] * 11
    assert not (batch.speech[0, 1:141] >= TINY.t3.start_speech).any()


def test_some_texts_are_kept_for_judging_with_all_that_was_said_of_them() -> None:
    texts = tuple((255, 5 + number, 0) for number in range(45))
    many = Script(texts, tuple(VOICES), 2, TINY.t3, 0)
    spoken = {place: np.arange(5) for place in range(1, 90)}  # the first one never ended
    speech = SpokenScript(many, spoken, 0.0, CPU)
    learnt, kept = speech.places("train"), speech.places("valid")
    assert kept == [20, 40, 45, 65, 85]
    assert sorted([*learnt, *kept]) == sorted(spoken)
    assert not {many.text(place) for place in learnt} & {many.text(place) for place in kept}
    alone = SpokenScript(many, {7: np.arange(5), 52: np.arange(5)}, 0.0, CPU)
    assert alone.places("train") == alone.places("valid") == [7, 52]


def test_positions_are_those_of_whole_blocks_from_the_first_step(teacher: Path) -> None:
    settings = Settings(steps=100, annealed=50, block=4)
    decoder = Teacher.open(teacher).read_decoder(CPU)
    lesson = Lesson(share(decoder), decoder, spoken_script(), settings)
    batch = spoken_script().batch([0, 1], np.random.default_rng(0))
    for step, size in ((0, 1), (25, 2), (50, 4)):
        masked = lesson.masked(batch, step)
        assert (masked.size, masked.period) == (size, 4)
    layout = Layout.of_blocks(7, 2, period=4)
    assert layout.learned.tolist() == [0, 0, 1, 2, 3, 0, 1]
    assert layout.blocks.tolist() == [0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("frugal", [False, True])
def test_the_memory_of_a_batch_is_foretold_roughly(teacher: Path, frugal: bool) -> None:
    settings = Settings(tokens=600, frugal=frugal)
    decoder = Teacher.open(teacher).read_decoder(CPU)
    student = Student.of(decoder, settings)
    speech = spoken_script()
    lesson = Lesson(student.model, decoder, speech, settings)
    batch = lesson.masked(speech.batch([0, 1, 2, 3], np.random.default_rng(0)), settings.steps)
    kept: dict[int, int] = {}

    def remember(x: torch.Tensor) -> torch.Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda x: x):
        lesson.loss(batch)
    foretold = activations(TINY.t3, settings, scored=True)
    assert 0.8 < foretold / sum(kept.values()) < 1.45
