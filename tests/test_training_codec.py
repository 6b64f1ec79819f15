"""The codec's training: what a step is given, what it changes, and what is made of the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from cbflash.errors import ModelError
from cuda_backend.model import Chatterbox
from tests.closeness import assert_close
from tests.spoken_corpus import CODES, SIZES, make_recipe, speaker_number, stop_at
from training.assemble import take_codec
from training.codec import (
    Batch,
    Codec,
    CodecSettings,
    CodecStage,
    Material,
    main,
    write_tokens,
)
from training.features import FBANK_FRAMES, Features
from training.letters import LetterIds
from training.parameters import trainable

PLACES = [0, 15, 7, 3]
# A key's bias adds the same to all scores of a query, which softmax does not notice.
# And whatever is added in front of the balance is taken away behind it.
UNMOVED = ("k_proj.bias", "tokenizer.project_down.bias")


@pytest.fixture(scope="module")
def features(spoken_features: Path) -> Features:
    return Features(spoken_features)


@pytest.fixture(scope="module")
def material(features: Features) -> Material:
    return Material(features, SIZES, CodecSettings(prompt=9))


@pytest.fixture(scope="module")
def batch(material: Material) -> Batch:
    found = material.batch(PLACES, np.random.default_rng(4))
    assert found.prompt_log_mel.shape[1] > 0
    return found


def stage(features: Features, folder: Path, **settings: object) -> CodecStage:
    return CodecStage(make_recipe(codec={"tokens": 80, **settings}), features, folder)


def begun(batch: Batch) -> Codec:
    """Its balance has seen a batch often enough to know it."""
    codec = trainable(Codec(SIZES, 3), 1)
    codec.begin_at(batch.mel.mean(dim=(0, 1)))
    with torch.no_grad():
        for _ in range(30):
            codec.project(batch.log_mel)
    return codec


def mel_loss(codec: Codec, batch: Batch) -> float:
    codec.eval()
    with torch.no_grad():
        mel, _, _ = codec(batch.log_mel, batch.prompt_log_mel, batch.known, batch.fbank)
    return F.l1_loss(mel, batch.mel).item()


# -- what a step is given ---------------------------------------------------------------------


def test_a_batch_is_the_beginnings_of_its_utterances(features: Features, batch: Batch) -> None:
    items = [features.items[place] for place in PLACES]
    tokens = min(item.tokens for item in items)
    assert batch.log_mel.shape == (4, 4 * tokens, 128)
    assert batch.mel.shape == (4, 2 * tokens, 80)
    ids = LetterIds(SIZES.t3)
    for row, (place, item) in enumerate(zip(PLACES, items, strict=True)):
        log_mel = features.read("log_mel", place)[: 4 * tokens].astype(np.float32)
        assert np.array_equal(batch.log_mel[row], log_mel)
        mel = features.read("mel", place)[: 2 * tokens].astype(np.float32)
        assert np.array_equal(batch.mel[row], mel)
        assert torch.equal(batch.letters[row], ids(item.text))
    assert batch.speakers.tolist() == [speaker_number(item.speaker) for item in items]
    assert all(one.dtype == torch.float32 for one in (batch.log_mel, batch.mel, batch.known))


def found_in(features: Features, place: int, log_mel: Tensor, known: Tensor) -> bool:
    """Whether both are cut from the same tokens of an utterance."""
    whole = features.read("log_mel", place).astype(np.float32)
    cuts = range(features.items[place].tokens - len(log_mel) // 4 + 1)
    mel = features.read("mel", place).astype(np.float32)
    return any(
        np.array_equal(whole[4 * cut : 4 * cut + len(log_mel)], log_mel)
        and np.array_equal(mel[2 * cut : 2 * cut + len(known)], known)
        for cut in cuts
    )


@pytest.mark.parametrize("part", ["train", "test"])
def test_prompts_and_references_are_of_the_same_speaker(
    features: Features, material: Material, part: str
) -> None:
    said = features.speakers("train" if part == "train" else "test")
    places = [places[0] for places in said.values()]
    lengths = set()
    for seed in range(8):
        batch = material.batch(places, np.random.default_rng(seed))
        prompt = batch.prompt_log_mel.shape[1] // 4
        lengths.add(prompt)
        assert batch.known.shape[1] == batch.mel.shape[1] + 2 * prompt
        assert (batch.known[:, 2 * prompt :] == 0).all()
        assert batch.fbank.shape == (len(places), FBANK_FRAMES, 80)
        for row, others in enumerate(said.values()):
            given = batch.prompt_log_mel[row], batch.known[row, : 2 * prompt]
            assert any(found_in(features, other, *given) for other in others)
            references = material.features.references(others)
            assert any(np.array_equal(batch.fbank[row], one) for one in references)
    assert len(lengths) > 3
    assert max(lengths) <= 9
    if part == "test":
        assert set(batch.speakers.tolist()) == {-1}


def test_what_the_tokenizer_hears_may_be_disguised(material: Material, batch: Batch) -> None:
    found = material.batch(PLACES, np.random.default_rng(4), disguised=True)
    for name in ("known", "fbank", "mel", "speakers"):
        assert torch.equal(vars(found)[name], vars(batch)[name]), name
    for name in ("log_mel", "prompt_log_mel"):
        ours, theirs = vars(found)[name], vars(batch)[name]
        assert ours.shape == theirs.shape
        assert ours.dtype == torch.float32
        assert not torch.equal(ours, theirs), name


def test_voices_are_disguised_in_training_alone(
    features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, asked = Material.batch, []

    def remember(
        self: Material, places: Sequence[int], numbers: Generator, disguised: bool = False
    ) -> Batch:
        asked.append((disguised, {features.items[place].part for place in places}))
        return draw(self, places, numbers, disguised)

    monkeypatch.setattr(Material, "batch", remember)
    assert stage(features, tmp_path, steps=2).train()
    assert [part for _, part in asked] == [{"train"}, {"train"}, {"train"}, {"test"}]
    assert [disguised for disguised, _ in asked] == [False, True, True, False]


# -- what it begins with ----------------------------------------------------------------------


def test_mels_begin_at_their_mean(batch: Batch) -> None:
    codec, mean = begun(batch), batch.mel.mean(dim=(0, 1))
    assert torch.equal(codec.flow.mean.bias, mean)
    assert torch.equal(codec.flow.estimator.output.bias, mean)
    other = begun(batch)
    other.begin_at(torch.zeros(80))
    assert mel_loss(codec, batch) < 0.5 * mel_loss(other, batch)


@torch.no_grad()
def test_all_levels_of_a_token_are_used_whatever_comes(batch: Batch) -> None:
    codec = begun(batch)
    codec.tokenizer.project_down.bias += 30
    levels = torch.round(codec.project(batch.log_mel)).flatten(0, 1)
    for level in (-1, 0, 1):
        assert ((levels == level).float().mean(dim=0) > 0.1).all()


@torch.no_grad()
def test_the_balance_becomes_part_of_the_tokenizer(batch: Batch) -> None:
    codec = begun(batch).eval()
    expected = codec.project(batch.log_mel)
    found = codec.trained_tokenizer().project(batch.log_mel)
    assert_close(found, expected.numpy(), 1e-5)
    assert (codec.tokenizer.project(batch.log_mel) - expected).abs().max() > 0.1


# -- what it is in the product ----------------------------------------------------------------


@torch.inference_mode()
def test_the_flow_says_of_ids_what_was_trained_with_values(batch: Batch) -> None:
    """Of a prompt and an utterance, in one step from no noise."""
    codec = begun(batch).eval()
    mel, values, x_vector = codec(batch.log_mel, batch.prompt_log_mel, batch.known, batch.fbank)
    tokenizer = codec.trained_tokenizer()
    parts = [tokenizer(one) for one in (batch.prompt_log_mel, batch.log_mel)]
    assert torch.equal(tokenizer.quantise(values), parts[1])
    ids = torch.cat(parts, dim=1)
    assert len(ids.unique()) > 10

    def said() -> Tensor:
        noise = torch.zeros_like(batch.known)
        whole: Tensor = codec.flow(ids, batch.known, x_vector, noise, steps=1)
        return whole[:, -mel.shape[1] :]

    assert (said() - mel).abs().max() > 0.01, "its embedding is written in the end"
    codec.write_embedding()
    assert_close(said(), mel.numpy(), 1e-4)


def test_tokens_are_written_for_every_utterance(
    features: Features, batch: Batch, tmp_path: Path
) -> None:
    trained = stage(features, tmp_path / "codec", steps=2)
    assert trained.train()
    write_tokens(trained, features, tmp_path)
    tokenizer = trained.codec.trained_tokenizer()
    tokens, alignment = (np.load(tmp_path / f"{name}.npy") for name in ("tokens", "alignment"))
    letters = LetterIds(SIZES.t3)
    assert tokens.dtype == np.uint16
    assert len(tokens) == sum(item.tokens for item in features.items)
    assert 5 < len(set(tokens.tolist())) <= CODES
    end = 0
    for place, item in enumerate(features.items):
        log_mel = torch.from_numpy(features.read("log_mel", place).astype(np.float32))
        with torch.no_grad():
            [ids] = tokenizer(log_mel[None])
        begin, end = end, end + item.tokens
        # Weights that are laid out for the processor round differently, now and then.
        assert (tokens[begin:end] == ids.numpy()).mean() > 0.9
        spoken = alignment[begin:end].astype(int)
        assert (spoken[0], spoken[-1]) == (0, len(letters(item.text)) - 1)
        assert (np.diff(spoken) >= 0).all()
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == ["alignment.npy", "tokens.npy"]


# -- the run ----------------------------------------------------------------------------------


def test_a_model_takes_what_was_trained(features: Features, batch: Batch, tmp_path: Path) -> None:
    trained = stage(features, tmp_path / "codec", steps=2)
    assert trained.train()
    model = Chatterbox(SIZES)
    take_codec(tmp_path, SIZES, model)
    codec = trained.codec.eval()
    with torch.inference_mode():
        values = torch.round(codec.project(batch.log_mel))
        ids = model.s3tokenizer(batch.log_mel)
        assert torch.equal(ids, model.s3tokenizer.quantise(values))
        expected = codec.flow.mean(codec.flow.encoder(codec.heads.embedding(values)))
        assert_close(model.flow.encode(ids), expected.numpy(), 1e-4)
        assert_close(model.xvector(batch.fbank), codec.x_vector(batch.fbank).numpy(), 1e-5)


def test_a_step_changes_every_parameter(features: Features, tmp_path: Path) -> None:
    """But the embedding, which has a stand-in."""
    still = stage(features, tmp_path / "still", steps=0)
    moved = stage(features, tmp_path / "moved", steps=1)
    assert still.train()
    assert moved.train()
    before = dict(still.codec.named_parameters())
    for name, parameter in moved.codec.named_parameters():
        assert parameter.isfinite().all(), name
        if name == "flow.embedding.weight":
            assert torch.equal(parameter, before[name])
        elif not name.endswith(UNMOVED):
            assert not torch.equal(parameter, before[name]), name


def test_it_learns(features: Features, batch: Batch, tmp_path: Path) -> None:
    trained = stage(features, tmp_path, steps=15)
    untrained = stage(features, tmp_path / "none", steps=0)
    assert untrained.train()
    assert trained.train()
    assert mel_loss(trained.codec, batch) < 0.9 * mel_loss(untrained.codec, batch)


def test_without_unseen_speakers_it_is_not_judged(
    features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained = stage(features, tmp_path)
    monkeypatch.setattr(Features, "part", lambda self, part: [])
    assert untrained.judge() == {}


def test_it_is_judged_on_unseen_speakers(features: Features, tmp_path: Path) -> None:
    trained = stage(features, tmp_path, steps=0)
    assert trained.train()
    found = trained.judge()
    assert found == trained.judge(), "it is always judged on the same"
    assert set(found) == {"mel", "letters", "used", "entropy"}
    assert trained.codec.balance.training, "and trained on afterwards"
    tokens = min(features.items[place].tokens for place in features.part("test"))
    log_mels = [features.read("log_mel", place)[: 4 * tokens] for place in features.part("test")]
    with torch.no_grad():
        heard = torch.from_numpy(np.stack(log_mels).astype(np.float32))
        ids = trained.codec.trained_tokenizer()(heard)
    _, counts = np.unique(ids.numpy(), return_counts=True)
    shares = counts / counts.sum()
    assert found["used"] == len(counts)
    assert found["entropy"] == pytest.approx(-(shares * np.log2(shares)).sum())


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(
    features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(folder: str) -> tuple[bool, list[float]]:
        trained = stage(features, tmp_path / folder, steps=5)
        finished = trained.train()
        values = [one.detach().flatten() for one in trained.codec.state_dict().values()]
        return finished, torch.cat(values).tolist()

    finished, whole = run("whole")
    assert finished
    with monkeypatch.context() as patch:
        stop_at(patch, Material, 4)  # the first one is what it begins with
        assert not run("stopped")[0]
    assert run("stopped") == (True, whole)


def test_a_run_may_be_lengthened_but_not_changed(features: Features, tmp_path: Path) -> None:
    assert stage(features, tmp_path, steps=1).train()
    longer = stage(features, tmp_path, steps=2)
    assert longer.resume()
    assert longer.train()
    with pytest.raises(ModelError, match=r"trained with rate = 0\.003, not 0\.1"):
        stage(features, tmp_path, rate=0.1).resume()


def test_sizes_of_other_parts_may_be_changed_behind_it(features: Features, tmp_path: Path) -> None:
    assert stage(features, tmp_path, steps=1).train()
    sizes, settings = make_recipe().sizes, {"tokens": 80, "steps": 1}
    deeper = replace(sizes, t3=replace(sizes.t3, layers=sizes.t3.layers + 1))
    recipe = make_recipe(codec=settings)
    assert CodecStage(replace(recipe, sizes=deeper), features, tmp_path).resume()
    wider = replace(sizes, flow=replace(sizes.flow, channels=2 * sizes.flow.channels))
    with pytest.raises(ModelError, match=r"trained with sizes\.flow\.channels"):
        CodecStage(replace(recipe, sizes=wider), features, tmp_path).resume()


# -- what is thrown away ----------------------------------------------------------------------


def test_heads_tell_letters_and_speakers(batch: Batch) -> None:
    codec = begun(batch)
    values = codec.project(batch.log_mel)
    letters = codec.heads.letters(values)
    assert letters.shape == (*values.shape[:2], SIZES.t3.text_vocab)
    assert (letters.exp().sum(dim=-1) - 1).abs().max() < 1e-4
    x_vector = codec.x_vector(batch.fbank)
    assert codec.heads.who(x_vector).shape == (4, 3)
    assert_close(codec.heads.who(9 * x_vector).detach(), codec.heads.who(x_vector).detach().numpy())


def test_what_lacks_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "features holds no features" in capsys.readouterr().err
