"""What a model begins with before it is trained."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from cuda_backend.model import Chatterbox
from cuda_backend.s3tokenizer import S3Tokenizer
from tests.closeness import assert_close
from tests.seeded_models import TINY
from training.fsq import codes, straight_through
from training.parameters import NARROW, OPEN, VOCODER, count, frozen, initialise, trainable


def made(seed: int = 0) -> Chatterbox:
    with torch.device("meta"):
        model = Chatterbox(TINY)
    return trainable(model, seed)


def test_a_seed_decides_every_parameter() -> None:
    one, again, other = made(1), made(1), made(2)
    for (name, a), b, c in zip(
        one.named_parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b), name
        # Norms, and the harmonics of the vocoder's source, begin as equals.
        if a.ndim > 1 and "affine" not in name and "excitation.merge" not in name:
            assert not torch.equal(a, c), name


def test_every_parameter_is_finite_and_asks_for_a_gradient() -> None:
    model = made()
    assert count(model) == sum(one.numel() for one in model.parameters()) > 10**6
    assert all(one.isfinite().all() and one.requires_grad for one in model.parameters())
    model.requires_grad_(False)
    assert count(model) == 0


def test_a_frozen_copy_gives_the_same_and_leaves_the_model_as_it_is() -> None:
    model = made()
    mel = torch.randn(1, 40, 128, generator=torch.Generator().manual_seed(1))
    model.s3tokenizer.project(mel).sum().backward()
    before = count(model)
    copied = frozen(model.s3tokenizer)
    with torch.inference_mode():
        found = copied.project(mel)
    assert_close(found, model.s3tokenizer.project(mel).detach().numpy(), 1e-5)
    assert count(copied) == 0
    assert count(model) == before
    assert model.s3tokenizer.conv1.weight.grad is not None


def test_kinds_begin_as_is_usual() -> None:
    model = made()
    layer = model.t3.layers[0]
    for weight, std in (
        (model.t3.speech_embedding.weight, NARROW),
        (layer.attention.qkv_proj.weight, NARROW),
        (layer.mlp.down_proj.weight, NARROW / (2 * TINY.t3.layers) ** 0.5),
        (model.hift.blocks[0].layers[0].conv1.weight, VOCODER),
        (model.hift.output.weight, VOCODER),
        (model.flow.embedding.weight, 1.0),
        (model.flow.estimator.mid[0].residual.first.conv.weight, (2 / (32 * 3)) ** 0.5),
        (model.s3tokenizer.blocks[0].mlp.up.weight, (3 * 64) ** -0.5),
    ):
        assert weight.std().item() == pytest.approx(std, rel=0.1)
    assert (model.hift.blocks[0].layers[0].snake1.alpha == 1).all()
    assert (model.t3.norm.weight == 1).all()
    assert model.xvector.embedding_norm.affine.tolist() == [[1.0] * 32, [0.0] * 32]
    bias = model.voice_encoder.lstm[1].input["bias"]
    means = bias.detach().view(4, -1).mean(dim=1).tolist()
    assert means == pytest.approx([0.0, OPEN, 0.0, 0.0], abs=0.1)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(TypeError, match=r"1\.weight"):
        initialise(nn.Sequential(nn.LayerNorm(3), nn.Bilinear(2, 2, 2)))


# -- quantisation -----------------------------------------------------------------------------


def test_codes_are_the_ids_backwards() -> None:
    config = dataclasses.replace(TINY.s3tokenizer, fsq_dims=3, fsq_levels=5)
    tokenizer = S3Tokenizer(config)
    values = codes(config)
    assert values.shape == (125, 3)
    assert tokenizer.quantise(values[None])[0].tolist() == list(range(125))


def test_rounding_lets_gradients_through() -> None:
    values = torch.tensor([0.2, 0.8, -0.6], requires_grad=True)
    rounded = straight_through(values)
    (rounded * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert rounded.tolist() == [0.0, 1.0, -1.0]
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 2.0, 3.0]
