"""Adapters: what learns, what stays, and that they are matrices in the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cuda_backend.layers import Linear
from cuda_backend.t3 import T3
from tests.closeness import assert_close
from tests.seeded_models import TINY
from training.distill.lesson import share
from training.frugal import make_frugal
from training.lora import Adapter, Rank, adapt, merge
from training.parameters import trainable
from training.t3 import Layout, Prefix, hidden_states, logits

RANK = Rank(rank=4, alpha=8.0, seed=1)


@pytest.fixture(scope="module")
def base() -> T3:
    return trainable(T3(TINY.t3), seed=3).requires_grad_(False)


def prefix() -> Prefix:
    random = torch.Generator().manual_seed(7)
    return Prefix(
        text=torch.tensor([[255, 5, 6, 0], [255, 7, 0, 0]]),
        lengths=torch.tensor([4, 3]),
        speaker=torch.randn(2, TINY.t3.speaker_dim, generator=random),
        prompt=torch.arange(20).view(2, 10),
        exaggeration=torch.tensor([0.5, 0.8]),
    )


def scores(model: T3) -> Tensor:
    """Of two rows of 16 ids, every third of which is masked."""
    speech = torch.arange(32).view(2, 16)
    speech[:, ::3] = TINY.t3.mask
    layout = Layout.of_blocks(16, 16)
    return logits(model, hidden_states(model, prefix(), speech, layout))


def learn(model: T3, trained: nn.Module, steps: int = 3) -> None:
    optimiser = torch.optim.AdamW(trained.parameters(), lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        scores(model).logsumexp(dim=-1).mean().backward()
        optimiser.step()


def test_it_begins_as_the_model_it_adapts(base: T3) -> None:
    student = share(base)
    trained = adapt(student, RANK)
    assert torch.equal(scores(student), scores(base))
    drawn = [one.down for one in trained.values() if isinstance(one, Adapter)]
    assert len(drawn) == 4 * TINY.t3.layers
    assert all(one.std() > 0 for one in drawn)


def test_only_adapters_and_the_mask_learn(base: T3) -> None:
    before = {name: one.clone() for name, one in base.named_parameters()}
    student = share(base)
    trained = adapt(student, RANK)
    asked = {id(one) for one in student.parameters() if one.requires_grad}
    assert asked == {id(one) for one in trained.parameters()}
    width, mlp = TINY.t3.width, TINY.t3.mlp
    layer = 4 * (width + width) + 3 * (width + mlp)  # seven matrices of a release
    count = sum(one.numel() for one in trained.parameters())
    assert count == TINY.t3.layers * RANK.rank * layer + width
    learn(student, trained)
    assert all(bool((one != 0).any()) for one in trained.parameters())
    for name, one in base.named_parameters():
        assert torch.equal(one, before[name]), name


def test_merged_it_says_the_same_and_is_a_plain_decoder(base: T3) -> None:
    student = share(base)
    learn(student, adapt(student, RANK))
    with torch.no_grad():
        told = scores(student)
        merged = merge(student)
        assert_close(scores(merged).numpy(), told.numpy(), 1e-5)
        assert (told - scores(base)).abs().max() > 0.1
    assert [name for name, _ in merged.named_parameters()] == [
        name for name, _ in base.named_parameters()
    ]
    others = ("text_embedding", "speech_head", "norm", "conditioning", "positions")
    for name, one in base.named_parameters():
        same = torch.equal(one, merged.get_parameter(name))
        assert same == any(part in name for part in others), name
    rows = merged.speech_embedding.weight != base.speech_embedding.weight
    assert rows.any(dim=1).nonzero().tolist() == [[TINY.t3.mask]]


def test_joined_matrices_have_products_of_their_own() -> None:
    with torch.device("meta"):
        linear = Linear(8, 12, bias=False)
    linear.to_empty(device="cpu")
    adapter = Adapter(linear, Rank(2, 4.0), 3, torch.Generator().manual_seed(0))
    with torch.no_grad():
        adapter.up[4:8] = 1.0  # the second of three matrices of four rows
    product = adapter.product().detach()
    assert product[4:8].abs().min() > 0
    assert not product[:4].any()
    assert not product[8:].any()
    expected = 2.0 * adapter.down[2:4].sum(dim=0)
    assert_close(product[5].numpy(), expected.detach().numpy(), 1e-6)
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    assert_close(adapter(x).detach().numpy(), (x @ product.T).numpy(), 1e-5)


def test_values_depend_on_the_seed_and_the_name(base: T3) -> None:
    one, same, other = (adapt(share(base), Rank(4, 8.0, seed)).state_dict() for seed in (1, 1, 2))
    downs = [name for name in one if name.endswith("down")]
    assert all(torch.equal(one[name], same[name]) for name in downs)
    assert not any(torch.equal(one[name], other[name]) for name in downs)
    assert len({float(one[name][0, 0]) for name in downs}) == len(downs)


def kept(model: T3, trained: nn.Module) -> tuple[int, list[Tensor]]:
    """Numbers that the layers keep for the backward pass, and the gradients."""
    weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
    sizes: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        sizes[x.untyped_storage().data_ptr()] = x.numel()
        return x

    speech = torch.full((2, 33), TINY.t3.mask)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        hidden = hidden_states(model, prefix(), speech, Layout.of_blocks(33, 16))
    torch.autograd.backward(hidden.square().mean())
    for one in weights & sizes.keys():
        del sizes[one]
    return sum(sizes.values()), [one.grad for one in trained.parameters() if one.grad is not None]


def test_frugal_layers_give_the_same_gradients_of_less_memory(base: T3) -> None:
    plain, frugal = share(base), share(base)
    trained, also = adapt(plain, RANK), adapt(frugal, RANK)
    names = [name for name, _ in plain.named_parameters()]
    make_frugal(frugal)
    assert [name for name, _ in frugal.named_parameters()] == names
    numbers, gradients = kept(plain, trained)
    fewer, same = kept(frugal, also)
    assert fewer < numbers / 2
    assert len(gradients) == len(same) > 0
    for one, other in zip(gradients, same, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-9)
