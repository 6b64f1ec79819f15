"""Students of an autoregressive teacher: what they are asked for, and that they learn it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cbflash.errors import ModelError, UsageError
from cuda_backend.t3 import T3
from tests.spoken_corpus import SIZES, make_recipe, make_speech, stop_at
from training import student
from training.annealing import Annealing
from training.autoregressive import Draw
from training.blocks import Masked, complementary, masked_logits, to_blocks
from training.corpus.plan import Part
from training.distill.lesson import Lesson
from training.distill.script import SpokenScript
from training.distill.settings import Settings
from training.divergence import Divergence, jensen_shannon, likeliest
from training.features import Features
from training.optimisers import take_step
from training.recipe import Recipe
from training.schedule import Schedule
from training.spoken import Speech
from training.student import (
    By,
    StudentSettings,
    StudentStage,
    begin_student,
    main,
    teacher_logits,
)
from training.t3 import Layout, hidden_states, logits
from training.teacher import TeacherSettings, make_decoder

CONFIG = SIZES.t3
WAYS: tuple[By, ...] = ("paper", "distill")


@pytest.fixture(scope="module")
def speech(spoken_features: Path) -> Speech:
    return make_speech(Features(spoken_features), pairs=0.5, unconditional=0.2)


@pytest.fixture(scope="module")
def teacher() -> T3:
    """It expects some tokens more than others, and other ones each time."""
    model = make_decoder(make_recipe()).requires_grad_(False)
    for matrix in (model.speech_head.weight, model.speech_embedding.weight):
        matrix *= 10
    return model


def stage(teacher: T3, speech: Speech, folder: Path, **settings: object) -> StudentStage:
    chosen = replace(StudentSettings(tokens=150), **settings)
    return StudentStage(in_eights(make_recipe()), chosen, teacher, speech, folder)


def in_eights(recipe: Recipe) -> Recipe:
    """The same for blocks of eight tokens."""
    return replace(recipe, sizes=replace(recipe.sizes, t3=replace(recipe.sizes.t3, block_size=8)))


def some_masked(speech: Speech, size: int = 8) -> Masked:
    spoken = speech.batch([0, 15, 7, 3], np.random.default_rng(1))
    spoken = replace(spoken, unconditional=torch.tensor([False, True, False, False]))
    clean, counted = to_blocks(spoken, size, CONFIG.stop_speech)
    random = torch.Generator().manual_seed(2)
    masks = complementary(len(clean), clean.shape[1] - 1, size, random)
    return Masked(spoken, clean, masks, counted, size)


def parameters(model: T3) -> list[float]:
    return torch.cat([one.detach().flatten() for one in model.parameters()]).tolist()


def test_in_blocks_of_one_a_student_begins_as_its_teacher(speech: Speech, teacher: T3) -> None:
    """Where the teacher's learned positions begin anew as the student's will."""
    masked = replace(some_masked(speech, size=1), period=8)
    begun = masked_logits(begin_student(teacher), masked)
    told = teacher_logits(teacher, masked, narrow=False, period=8)
    never = teacher_logits(teacher, masked, narrow=False)
    assert (begun - told).abs().max() < 1e-4
    assert (begun - never).abs().max() > 0.1


# -- the divergence ---------------------------------------------------------------------------


def directly(p: Tensor, q: Tensor, beta: float) -> Tensor:
    p, q = (torch.softmax(x.double(), dim=-1) for x in (p, q))
    mixed = beta * p + (1 - beta) * q
    to_p, to_q = ((x * torch.log(x / mixed)).sum(dim=-1) for x in (p, q))
    return beta * to_p + (1 - beta) * to_q


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.8])
def test_divergence_is_that_of_its_definition(beta: float) -> None:
    p, q = (torch.randn(20, 30, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    found = jensen_shannon(3 * p, 3 * q, beta)
    assert found.shape == (20,)
    assert (found - directly(3 * p, 3 * q, beta)).abs().max() < 1e-6
    assert (jensen_shannon(3 * p, 3 * p + 5, beta)).abs().max() < 1e-6, "of equal ones it is zero"


def test_divergence_of_peaked_distributions_is_finite() -> None:
    p = torch.tensor([[1e4, 0.0, -1e4], [200.0, 0.0, 0.0]])
    q = torch.tensor([[-1e4, 0.0, 1e4], [0.0, 0.0, 200.0]], requires_grad=True)
    found = jensen_shannon(p, q, 0.5)
    assert found.tolist() == pytest.approx([np.log(2)] * 2, rel=1e-5)
    found.sum().backward()
    assert q.grad is not None
    assert q.grad.isfinite().all()


@pytest.mark.parametrize("beta", [0.2, 0.5, 0.9])
def test_divergence_falls_towards_the_teacher(beta: float) -> None:
    q = torch.zeros(1, 2, requires_grad=True)
    jensen_shannon(torch.tensor([[2.0, 0.0]]), q, beta).sum().backward()
    assert q.grad is not None
    assert q.grad[0, 0] < 0 < q.grad[0, 1]


def test_the_likeliest_ids_are_told_apart_and_the_rest_is_one() -> None:
    random = torch.Generator().manual_seed(1)
    p, q = (3 * torch.randn(50, 30, generator=random) for _ in range(2))
    coarse, also = likeliest(p, q, 4)
    assert coarse.shape == also.shape == (50, 5)
    ids = p.topk(4).indices
    chances = q.softmax(dim=-1)
    assert torch.allclose(also.softmax(dim=-1)[:, :4], chances.gather(1, ids), atol=1e-6)
    whole = Divergence(0.5)(p, q)
    assert (Divergence(0.5, 4)(p, q) <= whole + 1e-6).all()
    assert (Divergence(0.5, 4)(p, q) < whole - 1e-3).any()
    assert torch.allclose(Divergence(0.5, 29)(p, q), whole, atol=1e-5)  # the rest is one id
    assert torch.equal(Divergence(0.5, 30)(p, q), whole)


# -- blocks that grow -------------------------------------------------------------------------


def test_blocks_grow_at_equal_distances() -> None:
    sizes = [Annealing(16, 100).size(step) for step in range(200)]
    assert sizes == [*[1] * 25, *[2] * 25, *[4] * 25, *[8] * 25, *[16] * 100]
    assert {Annealing(32).size(step) for step in range(200)} == {32}
    assert sorted({Annealing(24, 60).size(step) for step in range(61)}) == [1, 3, 6, 12, 24]


def test_steps_are_taken_with_blocks_of_the_size_of_then(
    teacher: T3, speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def remember(model: T3, batch: Masked) -> Tensor:
        sizes.append(batch.size)
        return masked_logits(model, batch)

    monkeypatch.setattr(student, "masked_logits", remember)
    assert stage(teacher, speech, tmp_path, steps=8, annealed=6).train()
    assert sizes[:8] == [1, 1, 2, 2, 4, 4, 8, 8]
    assert set(sizes[8:]) == {8}, "it is judged at the size it shall have"


def test_learned_positions_are_those_of_whole_blocks_from_the_start(
    teacher: T3, speech: Speech, tmp_path: Path
) -> None:
    taught = stage(teacher, speech, tmp_path, steps=8, annealed=8)
    batch = taught.masked(some_masked(speech).spoken, 0)
    assert (batch.size, batch.period) == (1, 8)


def test_without_data_masks_are_annealed_with_the_blocks(
    teacher: T3, speech: Speech, tmp_path: Path
) -> None:
    """By the paper they are drawn evenly from the start."""
    spoken = some_masked(speech).spoken

    def hidden(by: By, step: int) -> Tensor:
        torch.manual_seed(4)
        taught = stage(teacher, speech, tmp_path, by=by, steps=400, annealed=400)
        masked = taught.masked(spoken, step)
        assert (masked.masks.sum(dim=1) == 1).all(), "each position is hidden once"
        return masked.masks[:, 0].unflatten(1, (-1, masked.size)).float().mean(dim=(0, 1))

    early, late = hidden("distill", 140), hidden("distill", 399)
    assert early[1] - early[0] > 0.5, "blocks of two, of which the end is hidden first"
    assert late.max() - late.min() < 0.5
    drawn = hidden("paper", 140)
    assert drawn[1] - drawn[0] < 0.3


@torch.no_grad()
def test_a_student_in_blocks_of_one_has_nothing_to_learn_of_its_teacher(
    teacher: T3, speech: Speech, tmp_path: Path
) -> None:
    """If positions of both begin anew together."""
    losses = {}
    for period in (0, 8):
        recipe = in_eights(make_recipe(teacher={"period": period}))
        settings = StudentSettings(by="distill", steps=8, annealed=8)
        taught = StudentStage(recipe, settings, teacher, speech, tmp_path)
        losses[period] = taught.loss(taught.masked(some_masked(speech).spoken, 0)).item()
    assert losses[8] < 1e-4 < 1e-3 < losses[0]


@torch.no_grad()
@pytest.mark.parametrize("period", [0, 8])
def test_distillation_of_a_folder_is_told_the_period(
    teacher: T3, speech: Speech, period: int
) -> None:
    settings = Settings(steps=8, annealed=8, block=8, draw=Draw(untold="all", period=period))
    lesson = Lesson(begin_student(teacher), teacher, cast(SpokenScript, speech), settings)
    loss = lesson.loss(lesson.masked(some_masked(speech).spoken, 0)).item()
    assert (loss < 1e-5) == (period == 8)


def test_a_run_goes_on_with_what_it_was_taught(teacher: T3, speech: Speech, tmp_path: Path) -> None:
    def begun(**of_the_teacher: object) -> StudentStage:
        recipe = in_eights(make_recipe(teacher=of_the_teacher))
        settings = StudentSettings(tokens=150, steps=1)
        return StudentStage(recipe, settings, teacher, speech, tmp_path)

    assert begun(voices=["ann"]).train()
    with pytest.raises(ModelError, match="period"):
        begun(voices=["ann"], period=8).resume()
    with pytest.raises(ModelError, match="voices"):
        begun(voices=["ann", "bob"]).resume()
    assert begun(voices=["ann"]).resume()


def test_a_run_goes_on_with_the_teacher_and_the_tokens_it_had(
    teacher: T3, speech: Speech, tmp_path: Path
) -> None:
    assert stage(teacher, speech, tmp_path, steps=1).train()
    other = copy.deepcopy(teacher)
    other.speech_head.weight[0] += 1
    with pytest.raises(ModelError, match="of the teacher"):
        stage(other, speech, tmp_path, steps=2).resume()
    said = {place: np.arange(5) for place in speech.places("train", pairs=False)}
    with pytest.raises(ModelError, match="of tokens and voices"):
        stage(teacher, speech.told(said), tmp_path, steps=2).resume()
    assert stage(teacher, speech, tmp_path, steps=2).resume()


def test_a_lengthened_run_does_not_grow_its_blocks_again(
    teacher: T3, speech: Speech, tmp_path: Path
) -> None:
    spoken = some_masked(speech).spoken
    assert stage(teacher, speech, tmp_path, steps=4, annealed=4).train()
    longer = stage(teacher, speech, tmp_path, steps=40, annealed=4)
    assert longer.resume()
    assert longer.masked(spoken, 4).size == 8


def test_it_is_judged_on_the_parts_there_are(
    teacher: T3, speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Speech.places

    def without(self: Speech, part: Part, pairs: bool = True) -> list[int]:
        return [] if part == "closed" else places(self, part, pairs)

    monkeypatch.setattr(Speech, "places", without)
    assert set(stage(teacher, speech, tmp_path).judge()) == {"valid", "test"}


def test_the_rate_falls_in_the_part_of_the_run_that_is_asked_for(
    teacher: T3, speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def remember(optimisers: Mapping[str, torch.optim.Optimizer], weight: float) -> float:
        rates.append(optimisers["muon"].param_groups[0]["lr"])
        return take_step(optimisers, weight)

    monkeypatch.setattr("training.stage.take_step", remember)
    monkeypatch.setattr("training.stage.Schedule", partial(Schedule, warmup=1))
    assert stage(teacher, speech, tmp_path, steps=8, decay=0.5, rate=1e-3).train()
    assert rates == pytest.approx([1e-3] * 5 + [0.75e-3, 0.5e-3, 0.25e-3])


# -- teacher and student ----------------------------------------------------------------------


def test_a_student_begins_as_its_teacher(teacher: T3) -> None:
    model = begin_student(teacher)
    mask = CONFIG.mask
    for (name, ours), theirs in zip(model.named_parameters(), teacher.parameters(), strict=True):
        assert ours.requires_grad
        if name == "speech_embedding.weight":
            assert torch.equal(ours[:mask], theirs[:mask])
            assert torch.equal(ours[mask], theirs[: CONFIG.start_speech].mean(dim=0))
        else:
            assert torch.equal(ours, theirs), name
        assert ours.data_ptr() != theirs.data_ptr()


def attentive(teacher: T3) -> T3:
    """A copy to which its prefix matters more."""
    model = copy.deepcopy(teacher)
    for matrix in (one for one in model.layers.parameters() if one.ndim == 2):
        matrix *= 5
    return model


def test_the_teacher_is_told_all_tokens_before(teacher: T3, speech: Speech) -> None:
    batch = some_masked(speech)
    teacher = attentive(teacher)
    found = teacher_logits(teacher, batch)
    rows, _, places = batch.learnt.nonzero(as_tuple=True)
    assert found.shape == (len(rows), CONFIG.speech_vocab)
    assert found.dtype == torch.float32
    layout = Layout.causal(batch.clean.shape[1])
    hidden = hidden_states(
        teacher, batch.spoken.prefix, batch.clean, layout,
        unconditional=batch.spoken.unconditional,
    )  # fmt: skip
    expected = logits(teacher, hidden)[rows, places]
    assert expected.std() > 0.5
    told = places <= batch.spoken.lengths[rows]  # up to the first stop
    assert (found - expected)[told].abs().max() < 0.15
    others = replace(batch.spoken, unconditional=~batch.spoken.unconditional)
    different = teacher_logits(teacher, replace(batch, spoken=others)) - expected
    assert different[told].abs().amax(dim=-1).min() > 0.15, "who is told matters everywhere"
    assert 0 < (~told).sum() < told.sum()
    ended = found[~told].softmax(dim=-1)
    assert (ended[:, CONFIG.stop_speech] == 1).all(), "what follows a stop it has never learnt"


def test_a_teacher_may_lack_the_text_alone(teacher: T3, speech: Speech) -> None:
    batch = some_masked(speech)
    spoken = replace(batch.spoken, unconditional=torch.ones(4, dtype=torch.bool))
    wordless = copy.deepcopy(teacher)
    torch.nn.init.zeros_(wordless.text_embedding.weight)
    told = replace(spoken, unconditional=torch.zeros(4, dtype=torch.bool))
    found = teacher_logits(teacher, replace(batch, spoken=spoken), "text", narrow=False)
    expected = teacher_logits(wordless, replace(batch, spoken=told), narrow=False)
    assert (found - expected).abs().max() < 1e-4
    silent = teacher_logits(teacher, replace(batch, spoken=spoken), "all", narrow=False)
    assert (found - silent).abs().max() > 1e-2


@pytest.mark.parametrize("by", WAYS)
def test_a_teacher_stays_as_it_is(teacher: T3, speech: Speech, tmp_path: Path, by: By) -> None:
    before = copy.deepcopy(teacher.state_dict())
    taught = stage(teacher, speech, tmp_path, by=by, steps=2)
    assert taught.teacher is teacher
    assert taught.train()
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(one.grad is None and not one.requires_grad for one in teacher.parameters())
    for name, parameter in taught.model.named_parameters():
        if not name.endswith("to_k.bias"):  # which attention does not notice
            assert not torch.equal(parameter, before[name]), name


def loss_of(by: By, model: T3, teacher: T3, batch: Masked) -> float:
    with torch.no_grad():
        scores = masked_logits(model, batch)
    if by == "paper":
        return F.cross_entropy(scores, batch.targets).item()
    return jensen_shannon(teacher_logits(teacher, batch), scores, 0.5).mean().item()


@torch.no_grad()
def test_the_loss_is_that_of_the_settings(teacher: T3, speech: Speech, tmp_path: Path) -> None:
    batch = some_masked(speech)
    told = teacher_logits(teacher, batch)
    scores = masked_logits(begin_student(teacher), batch)
    paper = F.cross_entropy(scores, batch.targets).item()
    assert stage(teacher, speech, tmp_path).loss(batch).item() == pytest.approx(paper, rel=1e-2)
    for beta in (0.2, 0.8):
        expected = jensen_shannon(told, scores, beta).mean().item()
        found = stage(teacher, speech, tmp_path, by="distill", beta=beta).loss(batch).item()
        assert found == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize(("by", "part"), [("paper", 0.8), ("distill", 0.9)])
def test_both_ways_learn(teacher: T3, speech: Speech, tmp_path: Path, by: By, part: float) -> None:
    taught = stage(teacher, speech, tmp_path, by=by, steps=30, rate=1e-2, tokens=400)
    batch = some_masked(speech)
    before = loss_of(by, taught.model, teacher, batch)
    assert taught.train()
    assert loss_of(by, taught.model, teacher, batch) < part * before


def test_it_is_judged_on_what_the_corpus_says(teacher: T3, speech: Speech, tmp_path: Path) -> None:
    one, other = (stage(teacher, speech, tmp_path, by=by).judge() for by in WAYS)
    assert one == other
    assert set(one) == {"valid", "test", "closed"}
    assert all(2 < loss < 20 for loss in one.values())


@pytest.mark.parametrize("by", WAYS)
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(
    teacher: T3, speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: By
) -> None:
    """Masks are drawn too."""

    def run(folder: str, seed: int) -> tuple[bool, list[float]]:
        torch.manual_seed(seed)
        taught = stage(teacher, speech, tmp_path / folder, by=by, steps=6, annealed=3)
        return taught.train(), parameters(taught.model)

    finished, whole = run("whole", 1)
    assert finished
    with monkeypatch.context() as patch:
        stop_at(patch, Speech, 3)
        assert not run("stopped", 1)[0]
    assert run("stopped", 99) == (True, whole)


def test_without_a_teacher_there_is_no_student(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--by", "distill"]) == 2
    assert "training.student: " in capsys.readouterr().err


def test_the_command_reads_the_students_table(
    speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, heard = tmp_path / "mine.toml", []
    path.write_text("[teacher]\npairs = 0.5\n[student_paper]\npairs = 0.25\nunconditional = 0.75")

    def remember(work: Path, recipe: Recipe, settings: TeacherSettings) -> Speech:
        heard.append((settings.pairs, settings.unconditional))
        raise UsageError("There is nothing here.")

    monkeypatch.setattr(student, "open_speech", remember)
    assert main([str(tmp_path), "--recipe", str(path)]) == 2
    assert heard == [(0.25, 0.75)]
