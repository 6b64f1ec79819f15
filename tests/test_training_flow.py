"""The flow's two stages: what they are given, what they ask for, and that they can be stopped."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cbflash.errors import ModelError, UsageError
from cbflash.vocoding import mel_noise, prompt_noise
from cuda_backend.flow import Flow
from tests.feature_folders import write_features
from tests.seeded_models import TINY
from training import flow as matching
from training import flow_mels, flow_table, mean_flow
from training.assemble import read_codec
from training.checkpoints import TENSORS, Checkpoints, Run, checkpoints_in
from training.codec import Codec
from training.estimator_start import begin_straight
from training.features import Features
from training.flow import FlowMatching, FlowSettings, read_flow
from training.flow_table import along, compare, in_use, judge, regression
from training.mean_flow import Distillation, MeanFlowSettings
from training.parameters import trainable
from training.prompted import Prompted, PromptedSpeech, draw_noise, judged
from training.recipe import Recipe, read_recipe
from training.told import Told
from training.velocity import between, draw_steps
from training.vocoder.tracks import Tracks

CODES = TINY.flow.codebook
SIZES = dataclasses.replace(TINY, flow=dataclasses.replace(TINY.flow, channels=88))
SHORT = {"tokens": 60, "prompt": [5, 9]}
TABLES = {
    "flow": {"steps": 4, **SHORT},
    "mean_flow": {"steps": 4, "guidance": 0.5, "temperature": 0.7, **SHORT},
}
RECIPE = Recipe("tiny", 1, SIZES, TABLES)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stages before these leave: features, a codec that was hardly trained, its tokens."""
    work = tmp_path_factory.mktemp("work")
    write_features(work / "features")
    items = Features(work / "features").items
    codec = trainable(Codec(SIZES, 4), 1)
    with torch.no_grad():
        codec.x_vector.embedding_norm.affine.normal_()
    numbers = np.random.default_rng(1)
    Checkpoints(work / "codec", {}).save(Run({"codec": codec}, {}, numbers))
    tokens = numbers.integers(0, CODES, sum(item.tokens for item in items))
    np.save(work / "codec" / "tokens.npy", tokens.astype(np.uint16))
    return work


@pytest.fixture
def copied(work: Path, tmp_path: Path) -> Path:
    """A folder to train in."""
    for name in ("features", "codec"):
        (tmp_path / name).symlink_to(work / name)
    return tmp_path


@pytest.fixture(scope="module")
def trained(work: Path) -> Path:
    """A folder with both stages done."""
    assert matching.open_stage(work, RECIPE).train()
    assert mean_flow.open_stage(work, RECIPE).train()
    return work


def heard(fbank: Tensor) -> Tensor:
    """An x-vector that tells which filter bank it was made of."""
    return fbank[:, 0, : TINY.flow.xvector]


def speech_of(work: Path, prompt: tuple[int, int] = (5, 9)) -> PromptedSpeech:
    tokens = np.load(work / "codec" / "tokens.npy")
    return PromptedSpeech(Features(work / "features"), tokens, heard, prompt)


def made_batch(rows: int = 2) -> Prompted:
    random = torch.Generator().manual_seed(1)
    return Prompted(
        torch.randint(0, CODES, (rows, 12), generator=random),
        torch.randn(rows, 24, 80, generator=random),
        torch.randn(rows, TINY.flow.xvector, generator=random),
        4,
    )


def made_flow(seed: int = 1) -> Flow:
    with torch.device("meta"):
        flow = Flow(TINY.flow)
    return trainable(flow, seed)


def still(velocity: float) -> Flow:
    """A flow with the same velocity everywhere."""
    flow = made_flow()
    with torch.no_grad():
        flow.estimator.output.weight.zero_()
        for name, parameter in flow.estimator.output.named_parameters():
            if name == "bias":
                parameter.fill_(velocity)
    return flow


def draws() -> np.random.Generator:
    return np.random.default_rng(5)


# -- what it is given --------------------------------------------------------------------------


def test_rows_are_an_utterance_behind_others_of_its_speaker(work: Path) -> None:
    features = Features(work / "features")
    speech = speech_of(work, (40, 40))
    ends = np.cumsum([item.tokens for item in features.items])
    tokens = np.split(np.load(work / "codec" / "tokens.npy").astype(np.int64), ends[:-1])
    places = [3, 9, 12]
    batch = speech.batch(places, draws())
    length = min(len(tokens[place]) for place in places)
    assert batch.prompt == 40
    assert batch.tokens.shape == (3, 40 + length)
    for row, place in enumerate(places):
        np.testing.assert_array_equal(batch.tokens[row, 40:], tokens[place][:length])
        np.testing.assert_array_equal(
            batch.mel[row, batch.spoken], features.read("mel", place)[: 2 * length]
        )
        # The front is made of pieces of other utterances, with the mel that belongs to each.
        speaker = features.items[place].speaker
        others = [
            one
            for one, item in enumerate(features.items)
            if item.speaker == speaker and one != place
        ]
        begin = 0
        while begin < 40:
            first = int(batch.tokens[row, begin])
            [other] = [one for one in others if tokens[one][0] == first]
            count = min(len(tokens[other]), 40 - begin)
            found = batch.tokens[row, begin : begin + count].numpy()
            if not np.array_equal(found, tokens[other][:count]):
                count = int(np.argmin(found == tokens[other][:count]))
                assert begin == 0  # only the piece that was drawn last is cut
            frames = slice(2 * begin, 2 * (begin + count))
            np.testing.assert_array_equal(
                batch.mel[row, frames], features.read("mel", other)[: 2 * count]
            )
            begin += count


def test_only_the_prompt_is_known(work: Path) -> None:
    batch = speech_of(work).batch([1, 3], draws())
    frames = 2 * batch.prompt
    assert batch.spoken.start == frames
    assert torch.equal(batch.known[:, :frames], batch.mel[:, :frames])
    assert not batch.known[:, frames:].any()
    assert batch.mel[:, frames:].all()


def test_voices_are_heard_in_other_utterances_of_the_speaker(work: Path) -> None:
    features = Features(work / "features")
    speech = speech_of(work)
    banks = {}
    for place in range(len(features)):
        bank = features.read("fbank", place).astype(np.float32)
        bank = np.resize(bank, (200, 80))
        banks[place] = heard(torch.from_numpy(bank - bank.mean(axis=0))[None])[0]
    for seed in range(8):
        batch = speech.batch([5], np.random.default_rng(seed))
        distances = {
            place: float((bank - batch.x_vector[0]).abs().max()) for place, bank in banks.items()
        }
        nearest = min(distances, key=lambda place: distances[place])
        assert nearest != 5
        assert features.items[nearest].speaker == features.items[5].speaker


def test_batches_depend_on_the_numbers_alone(work: Path) -> None:
    speech = speech_of(work)
    one, again, other = (speech.batch([1, 3], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.tokens, again.tokens)
    assert torch.equal(one.x_vector, again.x_vector)
    assert one.tokens.shape != other.tokens.shape or not torch.equal(one.tokens, other.tokens)


def test_all_that_is_judged_is_judged_once(work: Path) -> None:
    speech = speech_of(work)
    places = speech.places("test")
    batches = list(judged(speech, places, rows=3))
    assert sum(len(batch.tokens) for batch in batches) == len(places)
    lengths = [batch.tokens.shape[1] - batch.prompt for batch in batches]
    assert lengths == sorted(lengths)


def test_tokens_of_another_corpus_are_refused(work: Path) -> None:
    with pytest.raises(UsageError, match="There are 7 tokens"):
        PromptedSpeech(Features(work / "features"), np.zeros(7, np.uint16), heard, (5, 9))


# -- what it asks for --------------------------------------------------------------------------


def test_flow_matching_trains_the_whole_flow() -> None:
    flow = made_flow()
    torch.autograd.backward(FlowMatching(0.0)(flow, made_batch(), draws()))
    still = [
        name
        for name, one in flow.named_parameters()
        if one.grad is None or (not one.grad.any() and not name.endswith("k_proj.bias"))
    ]
    assert still == []


def test_flow_matching_asks_for_mel_minus_noise() -> None:
    """A flow that says nothing is wrong by all of it."""
    flow, batch = still(0.0), made_batch()
    noise = draw_noise(batch, draws())
    expected = (batch.mel - noise).square().mean()
    torch.testing.assert_close(FlowMatching(0.0)(flow, batch, draws()), expected)


def test_rows_without_conditions_know_nothing() -> None:
    flow, batch = made_flow(), made_batch()
    other = dataclasses.replace(
        batch, tokens=batch.tokens.flip(1), x_vector=batch.x_vector.flip(0), prompt=2
    )
    with torch.no_grad():
        losses = [
            [FlowMatching(part)(flow, one, draws()).item() for one in (batch, other)]
            for part in (0.0, 1.0)
        ]
    assert losses[0][0] != losses[0][1]
    assert losses[1][0] == losses[1][1]


def test_guidance_is_that_of_the_product() -> None:
    """An ordinary flow of the product, one Euler step; the whole of it is guided velocity."""
    config = dataclasses.replace(TINY.flow, meanflow=False)
    with torch.device("meta"):
        flow = Flow(config)
    trainable(flow, 2).requires_grad_(False)
    batch = made_batch()
    noise = draw_noise(batch, draws())
    ours = along(flow, 1, config.cfg_rate)(batch, noise)
    theirs = flow(batch.tokens, batch.known, batch.x_vector, noise, 1)
    torch.testing.assert_close(ours, theirs)
    assert (along(flow, 1)(batch, noise) - theirs).abs().max() > 0.01


def test_distillation_trains_the_estimator_alone() -> None:
    flow, teacher = made_flow(1), made_flow(2)
    settings = MeanFlowSettings()
    torch.autograd.backward(Distillation(teacher, settings)(flow, made_batch(), draws()))
    moved = {name.split(".")[0] for name, one in flow.named_parameters() if one.grad is not None}
    assert moved == {"estimator"}
    assert all(one.grad is None for one in teacher.parameters())


def test_the_teacher_is_followed_from_begin_to_end_of_a_step() -> None:
    """Of one substep without guidance, its velocity where the step begins is what is asked for:
    the loss of a student that is the teacher is what the time r makes of it."""
    flow, batch = made_flow(), made_batch()
    settings = MeanFlowSettings(counts=(1,), instant=0.0, substeps=1, guidance=0.0)
    with torch.no_grad():
        loss = Distillation(flow, settings)(flow, batch, draws())
        numbers = draws()
        draw_steps(numbers, 2, (1,), 0.0)
        noise = draw_noise(batch, numbers)
        field, begin = Told.of(flow, batch).field(flow), torch.zeros(2)
        x = between(noise, batch.mel, begin)
        expected = (field(x, begin, begin + 1) - field(x, begin, begin)).square().mean()
    torch.testing.assert_close(loss, expected)
    assert expected > 0


def test_a_mean_flow_begins_in_all_the_noise_its_teacher_in_less() -> None:
    """A teacher whose velocity is one everywhere comes from half the noise to that and one."""
    settings = MeanFlowSettings(counts=(1,), instant=0.0, temperature=0.5)
    batch, numbers = made_batch(), draws()
    student, teacher = made_flow(), still(1.0)
    draw_steps(numbers, 2, (1,), 0.0)
    noise, begin = draw_noise(batch, numbers), torch.zeros(2)
    with torch.no_grad():
        loss = Distillation(teacher, settings)(student, batch, draws())
        said = Told.of(student, batch).field(student)(noise, begin, begin + 1)
    torch.testing.assert_close(loss, (said - (0.5 * noise + 1 - noise)).square().mean())


# -- the stages --------------------------------------------------------------------------------


OPENED = {"flow": matching.open_stage, "mean flow": mean_flow.open_stage}


def lengthened(steps: int) -> Recipe:
    tables = {name: {**table, "steps": steps} for name, table in RECIPE.tables.items()}
    return dataclasses.replace(RECIPE, tables=tables)


def numbers_in(flow: Flow) -> Tensor:
    return torch.cat([one.detach().flatten() for one in flow.parameters()])


@pytest.mark.parametrize("stage", OPENED)
def test_a_run_that_goes_on_ends_as_if_it_had_not_stopped(
    stage: str, trained: Path, copied: Path
) -> None:
    if stage == "mean flow":
        (copied / "flow").mkdir()
        (copied / "flow" / "matching").symlink_to(trained / "flow" / "matching")
    first = OPENED[stage](copied, lengthened(2))
    assert first.train()
    rest = OPENED[stage](copied, RECIPE)
    assert rest.train()
    folder = trained / ("flow" if stage == "mean flow" else matching.MATCHING)
    expected = numbers_in(read_flow(folder, SIZES))
    assert torch.equal(numbers_in(rest.flow), expected)
    assert not torch.equal(numbers_in(first.flow), expected)


def test_stages_know_the_settings_of_the_built_in_model() -> None:
    recipe = read_recipe("mini")
    assert recipe.settings("flow", FlowSettings).tokens == 300
    assert recipe.settings("mean_flow", MeanFlowSettings).tokens == 300


def test_an_estimator_that_no_noise_fits_through_is_refused() -> None:
    narrow = dataclasses.replace(TINY, flow=dataclasses.replace(TINY.flow, channels=64))
    told, mel = torch.randn(9, 80), torch.randn(9, 80)
    with pytest.raises(UsageError, match="64 channels is too narrow"):
        begin_straight(Flow(narrow.flow).estimator, told, told, mel)


@torch.no_grad()
def test_an_estimator_begins_as_a_guess_of_the_mel_less_the_noise() -> None:
    with torch.device("meta"):
        flow = Flow(SIZES.flow)
    estimator = trainable(flow, 1).estimator
    random = torch.Generator().manual_seed(4)
    mu, speaker = (torch.randn(600, 80, generator=random) for _ in range(2))
    mel = -5 + mu.flip(1) + 0.5 * speaker
    begin_straight(estimator, mu, speaker, mel, seed=3)
    noise = torch.randn(1, 50, 80, generator=random)
    nothing = torch.zeros(1)
    velocity = estimator(
        noise, mu[None, :50], speaker[:1], torch.zeros_like(noise), nothing, nothing
    )
    guess = -5 + mu[:50].flip(1) + 0.5 * speaker[0]
    assert (velocity - (guess - noise)).square().mean() < 0.2
    assert (guess - noise).square().mean() > 25


def test_only_the_estimator_learns_where_the_recipe_says_so(copied: Path) -> None:
    recipe = dataclasses.replace(RECIPE, tables={"flow": {**SHORT, "steps": 1, "encoder": False}})
    before = read_codec(copied, SIZES).flow
    stage = matching.open_stage(copied, recipe)
    assert stage.train()
    moved = {
        name.split(".")[0]
        for (name, ours), theirs in zip(
            stage.flow.named_parameters(), before.parameters(), strict=True
        )
        if not torch.equal(ours, theirs)
    }
    assert moved == {"estimator"}


def test_a_mean_flow_does_not_change_its_teacher(trained: Path, copied: Path) -> None:
    shutil.copytree(trained / "flow", copied / "flow")
    [path] = checkpoints_in(copied / "flow" / "matching")
    tensors = load_file(path / TENSORS)
    tensors["model/flow/mean.bias"] += 1
    save_file(tensors, path / TENSORS)
    with pytest.raises(ModelError, match="of the flow"):
        mean_flow.open_stage(copied, RECIPE).train()


def test_a_mean_flow_needs_a_teacher(copied: Path) -> None:
    with pytest.raises(ModelError, match="holds no checkpoint"):
        mean_flow.open_stage(copied, RECIPE)


@pytest.mark.parametrize("command", [matching, mean_flow, flow_table])
def test_commands_say_what_is_missing(
    command: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([str(tmp_path)]) == ModelError.exit_code
    assert "holds no checkpoint" in capsys.readouterr().err


# -- how good it is ----------------------------------------------------------------------------


@torch.inference_mode()
def test_without_unseen_speakers_it_is_not_judged(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = matching.open_stage(copied, RECIPE)
    monkeypatch.setattr(PromptedSpeech, "places", lambda self, part: [])
    assert stage.judge() == {}


def test_what_is_judged_is_what_the_product_makes(trained: Path) -> None:
    """One utterance, with the mel, noise and steps that it has in use."""
    flow = read_flow(trained / "flow", SIZES)
    speech = speech_of(trained)
    batch = speech.batch([1], draws())
    made: list[Tensor] = []

    def way(batch: Prompted, noise: Tensor) -> Tensor:
        made.append(in_use(flow, 2)(batch, noise))
        return made[-1]

    judge(way, speech, [1])
    [batch] = judged(speech, [1])
    prompt, frames = batch.spoken.start, batch.mel.shape[1]
    noise = np.concatenate([prompt_noise(0, prompt), mel_noise(0, 0, frames - prompt)])
    mel = flow.utterance(
        batch.tokens[:, batch.prompt :],
        batch.tokens[:, : batch.prompt],
        batch.mel[:, :prompt],
        batch.x_vector,
        torch.from_numpy(noise)[None],
        2,
    )
    torch.testing.assert_close(made[0][:, batch.spoken], mel)


@torch.inference_mode()
def test_the_codec_s_way_takes_no_notice_of_noise() -> None:
    flow, batch = made_flow(), made_batch()
    one, other = (regression(flow)(batch, draw_noise(batch, draws())) for _ in range(2))
    assert torch.equal(one, other)
    told = Told.of(flow, batch)
    nothing = torch.zeros_like(batch.mel)
    whole = told.field(flow)(nothing, torch.zeros(2), torch.ones(2))
    torch.testing.assert_close(one, whole)


def test_likeness_tells_smooth_from_noisy() -> None:
    random = torch.Generator().manual_seed(2)
    true = torch.randn(2, 50, 20, generator=random)
    same, half, noisy = (compare([(made, true)]) for made in (true, true / 2, true * 2))
    assert dataclasses.astuple(same) == (0.0, 1.0, 1.0, 1.0)
    assert dataclasses.astuple(half)[1:] == pytest.approx((0.25, 0.25, 0.25))
    assert dataclasses.astuple(noisy)[1:] == pytest.approx((4, 4, 4))
    assert half.error == pytest.approx(float(true.abs().mean()) / 2)


def test_likeness_tells_where_a_mel_moves() -> None:
    true = torch.randn(1, 40, 20, generator=torch.Generator().manual_seed(3))
    bands = true.clone()
    bands[:, :, 1::2] = bands[:, :, ::2]  # every other band says nothing of its own
    frames = true.clone()
    frames[:, 1::2] = frames[:, ::2]
    one, other = compare([(bands, true)]), compare([(frames, true)])
    assert one.bands < 0.7 < one.frames
    assert other.frames < 0.7 < other.bands


def test_the_table_has_a_row_for_all_there_is(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flow_table, "read_recipe", lambda name: RECIPE)
    assert flow_table.main([str(trained), "--utterances", "3", "--prompt", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "codec, 1 step from nothing",
        "flow matching, 2 steps",
        "flow matching, 10 steps",
        "flow matching, 10 steps, as a teacher",
        "mean flow, 1 step",
        "mean flow, 2 steps",
        "mean flow, 4 steps",
    ]
    figures = [[float(cell) for cell in line.split("|")[2:-1]] for line in lines[2:]]
    assert np.isfinite(figures).all()
    assert len({tuple(row) for row in figures}) == 7


# -- mels for the vocoder ----------------------------------------------------------------------


def made_mels(folder: Path, features: Features) -> np.ndarray:
    """Read as the vocoder reads them."""
    tracks = Tracks(folder, "mel", features)
    return np.concatenate([tracks.read(place) for place in range(len(features))])


def test_mels_are_those_that_the_flow_makes_in_use(
    trained: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "flow").symlink_to(trained / "flow")
    monkeypatch.setattr(flow_mels, "read_recipe", lambda name: RECIPE)
    assert flow_mels.main([str(copied)]) == 0
    features = Features(copied / "features")
    mels = made_mels(copied / "flow_mels", features)
    assert np.isfinite(mels).all()
    place = 5
    codec = read_codec(copied, SIZES)
    speech = matching.open_speech(copied, codec, flow_mels.MelSettings().prompt)
    batch = speech.batch([place], np.random.default_rng([1, place]))
    noise = torch.from_numpy(flow_table.noise_in_use(batch, place)[None])
    with torch.inference_mode():
        way = in_use(read_flow(copied / "flow", SIZES), 2)
        wanted = way(batch, noise)[0, batch.spoken].numpy()
    found = Tracks(copied / "flow_mels", "mel", features).read(place)
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)


def test_mels_that_are_there_are_not_made_again(trained: Path, tmp_path: Path) -> None:
    features = Features(trained / "features")
    speech, way = speech_of(trained), in_use(read_flow(trained / "flow", SIZES), 2)
    for name in ("stopped", "whole"):
        (tmp_path / name).mkdir()
    begun = flow_mels.make(way, speech, features, tmp_path / "stopped")
    assert next(begun) == 1
    begun.close()
    [first] = (tmp_path / "stopped").iterdir()
    written = first.stat().st_mtime_ns
    assert list(flow_mels.make(way, speech, features, tmp_path / "stopped")) == [1, 2]
    assert first.stat().st_mtime_ns == written
    assert list(flow_mels.make(way, speech, features, tmp_path / "whole")) == [1, 2]
    stopped, whole = (made_mels(tmp_path / name, features) for name in ("stopped", "whole"))
    assert np.array_equal(stopped, whole)


def test_mels_of_another_flow_are_not_mixed(trained: Path, copied: Path) -> None:
    (copied / "flow").symlink_to(trained / "flow")
    flow_mels.write(copied, RECIPE)
    flow_mels.write(copied, RECIPE)
    other = dataclasses.replace(RECIPE, tables={**TABLES, "flow_mels": {"steps": 4}})
    with pytest.raises(UsageError, match=r"made with another steps\. Remove the folder"):
        flow_mels.write(copied, other)
    (copied / "flow").unlink()
    (copied / "flow").symlink_to(trained / "flow" / "matching")
    with pytest.raises(UsageError, match="made with another flow"):
        flow_mels.write(copied, RECIPE)
