"""The PyTorch flow against the released one: full size, seeded weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.config import FlowConfig
from cbflash.weights.flow import RULES
from cbflash.weights.table import match, source_shapes
from cuda_backend import conformer
from cuda_backend.conformer import EncoderLayer, by_pair
from cuda_backend.flow import Flow
from cuda_backend.layers import pack
from tests.closeness import assert_close
from tests.golden.vocoder_cases import ESTIMATED, GUIDED_STEPS, MEANFLOW_STEPS, flow_case
from tests.seeded_torch import fill

ROOT = Path(__file__).parent
GOLDEN = np.load(ROOT / "golden" / "flow.npz")
CASE = {name: torch.from_numpy(array) for name, array in flow_case()._asdict().items()}
TINY = FlowConfig(
    codebook=50,
    width=32,
    heads=2,
    mlp=48,
    layers=1,
    up_layers=1,
    lookahead=2,
    mels=10,
    xvector=12,
    channels=16,
    estimator_heads=2,
    estimator_head_dim=8,
    estimator_mlp=24,
    time_dim=20,
    mid_blocks=1,
    transformers=1,
)
# Tokens of the rows of a batch: all of them, and those of the prompt.
LENGTHS = (9, 4, 6)
PROMPTS = (3, 1, 5)


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=["plain", "packed"])
def packed(request: pytest.FixtureRequest) -> bool:
    return request.param == "packed"


def build(config: FlowConfig, packed: bool) -> Flow:
    with torch.device("meta"):
        flow = Flow(config)
    fill(flow, RULES, "flow.")
    if packed:
        pack(flow)
    return flow


def tiny(meanflow: bool) -> FlowConfig:
    return FlowConfig(**(vars(TINY) | {"meanflow": meanflow}))


@pytest.fixture(scope="module")
def flow(packed: bool) -> Flow:
    return build(FlowConfig(), packed)


def test_speaker(flow: Flow) -> None:
    assert_close(flow.embed_speaker(CASE["x_vector"]), GOLDEN["speaker"], 1e-6)


@pytest.mark.parametrize("queries", [conformer.QUERIES, 30])
def test_encoder(flow: Flow, queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformer, "QUERIES", queries)
    tokens = torch.cat([CASE["prompt_tokens"], CASE["tokens"]], dim=1)
    assert_close(flow.encode(tokens), GOLDEN["mu"], 1e-5)


def test_estimator(flow: Flow) -> None:
    mu, speaker = (torch.from_numpy(GOLDEN[name]) for name in ("mu", "speaker"))
    known = flow.conditions(CASE["prompt_mel"], mu.shape[1])
    t, r = (torch.tensor([time]) for time in ESTIMATED)
    velocity = flow.estimator(CASE["noise"], mu, speaker, known, t, r)
    assert_close(velocity, GOLDEN["velocity"], 1e-5)


def test_meanflow(flow: Flow) -> None:
    assert_close(flow.utterance(**CASE, steps=MEANFLOW_STEPS), GOLDEN["meanflow_mel"], 1e-5)


def test_guided_flow(packed: bool) -> None:
    flow = build(FlowConfig(meanflow=False), packed)
    assert_close(flow.utterance(**CASE, steps=GUIDED_STEPS), GOLDEN["guided_mel"], 2e-5)


def test_more_steps_change_the_mel(flow: Flow) -> None:
    one, two = (flow.utterance(**CASE, steps=steps) for steps in (1, 2))
    assert (one - two).abs().max() > 0.01


def test_an_odd_prompt_frame_comes_off_the_front(flow: Flow) -> None:
    longer = torch.nn.functional.pad(CASE["prompt_mel"], (0, 0, 0, 1))
    mel = flow.utterance(**CASE | {"prompt_mel": longer}, steps=1)
    assert mel.shape == (1, 2 * CASE["tokens"].shape[1] - 1, 80)


@pytest.mark.parametrize("meanflow", [True, False])
def test_tiny_sizes(meanflow: bool, packed: bool) -> None:
    mel = build(tiny(meanflow), packed).utterance(
        tokens=torch.tensor([[1, 2, 3]]),
        prompt_tokens=torch.tensor([[4]]),
        prompt_mel=torch.ones(1, 2, 10),
        x_vector=torch.ones(1, 12),
        noise=torch.randn(1, 8, 10, generator=torch.Generator().manual_seed(0)),
        steps=2,
    )
    assert mel.shape == (1, 6, 10)
    assert torch.isfinite(mel).all()


def ragged(token: int, number: float) -> dict[str, torch.Tensor]:
    """Three rows of different lengths, prompts and voices, padded with what is given."""
    random = torch.Generator().manual_seed(1)
    rows, tokens = len(LENGTHS), max(LENGTHS)
    frames = (rows, 2 * tokens, TINY.mels)
    batch = {
        "tokens": torch.randint(TINY.codebook, (rows, tokens), generator=random),
        "conditions": torch.randn(frames, generator=random),
        "x_vector": torch.randn(rows, TINY.xvector, generator=random),
        "noise": torch.randn(frames, generator=random),
    }
    for row, (length, prompt) in enumerate(zip(LENGTHS, PROMPTS, strict=True)):
        batch["conditions"][row, 2 * prompt :] = 0.0
        batch["tokens"][row, length:] = token
        for name in ("conditions", "noise"):
            batch[name][row, 2 * length :] = number
    return batch


@pytest.mark.parametrize("meanflow", [True, False])
def test_rows_of_a_batch_are_what_they_are_alone(
    meanflow: bool, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformer, "QUERIES", 4)
    flow = build(tiny(meanflow), packed)
    batch = ragged(token=7, number=1000.0)
    together = flow(**batch, steps=2, lengths=torch.tensor(LENGTHS))
    assert together.shape == batch["noise"].shape
    for row, length in enumerate(LENGTHS):
        alone = flow(
            batch["tokens"][[row], :length],
            batch["conditions"][[row], : 2 * length],
            batch["x_vector"][[row]],
            batch["noise"][[row], : 2 * length],
            steps=2,
        )
        assert_close(together[[row], : 2 * length], alone.numpy(), 2e-6)


@pytest.mark.parametrize("meanflow", [True, False])
def test_padding_may_hold_anything(meanflow: bool, packed: bool) -> None:
    flow = build(tiny(meanflow), packed)
    nothing, nonsense = (
        flow(**ragged(token, number), steps=2, lengths=torch.tensor(LENGTHS))
        for token, number in ((0, 0.0), (49, torch.nan))
    )
    for row, length in enumerate(LENGTHS):
        assert torch.equal(nothing[row, : 2 * length], nonsense[row, : 2 * length])


def test_norms_inside_a_layer_leave_small_values_alone() -> None:
    """Their epsilon is the released 1e-12, not the usual 1e-5."""
    layer = EncoderLayer(TINY)
    x = torch.randn(1, 3, TINY.width, generator=torch.Generator().manual_seed(1))
    for norm in (layer.attention_norm, layer.mlp_norm):
        assert torch.allclose(norm(1e-4 * x), norm(x), atol=1e-3)


@pytest.mark.parametrize(
    ("queries", "length"),
    [(range(1), 1), (range(2), 2), (range(5), 5), (range(1, 4), 5), (range(4, 5), 5)],
)
def test_by_pair_reads_the_distance_of_each_pair(queries: range, length: int) -> None:
    distances = torch.arange(queries[-1], queries[0] - length, -1)
    scores = distances.expand(1, 2, len(queries), len(distances))
    expected = torch.tensor(queries)[:, None] - torch.arange(length)
    assert torch.equal(by_pair(scores)[0, 1], expected)


@pytest.mark.parametrize("meanflow", [True, False])
def test_the_table_is_total(meanflow: bool) -> None:
    """Every tensor of the release fills a parameter, each of its shape; none is left over."""
    listed = json.loads((ROOT.parent / "assets" / "release_tensors.json").read_text("utf-8"))
    release = {
        name: tuple(shape)
        for name, shape in listed["s3gen.safetensors"].items()
        if name.startswith("flow.") and (meanflow or "time_embed_mixer" not in name)
    }
    with torch.device("meta"):
        parameters = Flow(FlowConfig(meanflow=meanflow)).named_parameters()
    targets = {f"flow.{path}": tuple(parameter.shape) for path, parameter in parameters}
    assignments = match(RULES, release, "the release")
    assert sorted(one.target for one in assignments) == sorted(targets)
    for one in assignments:
        shapes = source_shapes(one.transform, targets[one.target], "torch")
        assert shapes == tuple(release[name] for name in one.sources)
