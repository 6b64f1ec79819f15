"""The MLX flow against the released one: full size, seeded weights."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from cbflash.config import FlowConfig
from cbflash.weights.flow import RULES
from cbflash.weights.table import match, source_shapes
from mlx_port.conformer import EncoderLayer, by_pair
from mlx_port.flow import Flow
from mlx_port.layers import mish
from tests.closeness import assert_close
from tests.golden.vocoder_cases import ESTIMATED, GUIDED_STEPS, MEANFLOW_STEPS, flow_case
from tests.seeded_mlx import fill

ROOT = Path(__file__).parent
GOLDEN = np.load(ROOT / "golden" / "flow.npz")
CASE = {name: mx.array(array) for name, array in flow_case()._asdict().items()}
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


def build(config: FlowConfig) -> Flow:
    flow = Flow(config)
    fill(flow, RULES, "flow.")
    return flow


@pytest.fixture(scope="module")
def flow() -> Flow:
    return build(FlowConfig())


def test_speaker(flow: Flow) -> None:
    assert_close(flow.embed_speaker(CASE["x_vector"]), GOLDEN["speaker"], 2e-6)


def test_encoder(flow: Flow) -> None:
    tokens = mx.concatenate([CASE["prompt_tokens"], CASE["tokens"]], axis=1)
    assert_close(flow.encode(tokens), GOLDEN["mu"], 2e-5)


def test_estimator(flow: Flow) -> None:
    mu = mx.array(GOLDEN["mu"])
    known = flow.conditions(CASE["prompt_mel"], mu.shape[1])
    t, r = (mx.array([time]) for time in ESTIMATED)
    velocity = flow.estimator(CASE["noise"], mu, mx.array(GOLDEN["speaker"]), known, t, r)
    assert_close(velocity, GOLDEN["velocity"], 2e-5)


def test_meanflow(flow: Flow) -> None:
    assert_close(flow(**CASE, steps=MEANFLOW_STEPS), GOLDEN["meanflow_mel"], 2e-5)


def test_guided_flow() -> None:
    flow = build(FlowConfig(meanflow=False))
    assert_close(flow(**CASE, steps=GUIDED_STEPS), GOLDEN["guided_mel"], 5e-5)


def test_more_steps_change_the_mel(flow: Flow) -> None:
    one, two = (np.array(flow(**CASE, steps=steps)) for steps in (1, 2))
    assert np.abs(one - two).max() > 0.01


def test_an_odd_prompt_frame_comes_off_the_front(flow: Flow) -> None:
    case = CASE | {"prompt_mel": mx.pad(CASE["prompt_mel"], [(0, 0), (0, 1), (0, 0)])}
    mel = flow(**case, steps=1)
    assert mel.shape == (1, 2 * CASE["tokens"].shape[1] - 1, 80)


@pytest.mark.parametrize("meanflow", [True, False])
def test_tiny_sizes(meanflow: bool) -> None:
    config = FlowConfig(**(vars(TINY) | {"meanflow": meanflow}))
    mel = Flow(config)(
        tokens=mx.array([[1, 2, 3]]),
        prompt_tokens=mx.array([[4]]),
        prompt_mel=mx.ones((1, 2, 10)),
        x_vector=mx.ones((1, 12)),
        noise=mx.random.normal((1, 8, 10), key=mx.random.key(0)),
        steps=2,
    )
    assert mel.shape == (1, 6, 10)
    assert np.isfinite(np.array(mel)).all()


def test_norms_inside_a_layer_leave_small_values_alone() -> None:
    """Their epsilon is the released 1e-12, not the usual 1e-5."""
    layer = EncoderLayer(TINY)
    x = mx.random.normal((1, 3, TINY.width), key=mx.random.key(1))
    for norm in (layer.attention_norm, layer.mlp_norm):
        assert np.allclose(np.array(norm(1e-4 * x)), np.array(norm(x)), atol=1e-3)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_by_pair_reads_the_distance_of_each_pair(length: int) -> None:
    distances = mx.arange(length - 1, -length, -1, dtype=mx.float32)
    scores = mx.broadcast_to(distances, (1, 2, length, 2 * length - 1))
    expected = np.arange(length)[:, None] - np.arange(length)
    assert np.array_equal(np.array(by_pair(scores))[0, 1], expected)


def test_mish() -> None:
    x = np.linspace(-100, 100, 2001)
    expected = x * np.tanh(np.logaddexp(0, x))
    assert np.allclose(np.array(mish(mx.array(x.astype(np.float32)))), expected, rtol=3e-6)


@pytest.mark.parametrize("meanflow", [True, False])
def test_the_table_is_total(meanflow: bool) -> None:
    """Every tensor of the release fills a parameter, each of its shape; none is left over."""
    listed = json.loads((ROOT.parent / "assets" / "release_tensors.json").read_text("utf-8"))
    release = {
        name: tuple(shape)
        for name, shape in listed["s3gen.safetensors"].items()
        if name.startswith("flow.") and (meanflow or "time_embed_mixer" not in name)
    }
    parameters = tree_flatten(Flow(FlowConfig(meanflow=meanflow)).parameters())
    targets = {f"flow.{path}": parameter.shape for path, parameter in parameters}
    assignments = match(RULES, release, "the release")
    assert sorted(one.target for one in assignments) == sorted(targets)
    for one in assignments:
        shapes = source_shapes(one.transform, targets[one.target], "mlx")
        assert shapes == tuple(release[name] for name in one.sources)
