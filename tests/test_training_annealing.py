"""From causal to blocks: how large they are, and what is hidden of them."""

from __future__ import annotations

import pytest
import torch

from training.annealing import Annealing, annealed_masks

ROWS, SIZE, BLOCKS = 200, 8, 5


def drawn(done: float, size: int = SIZE) -> torch.Tensor:
    random = torch.Generator().manual_seed(3)
    return annealed_masks(ROWS, size * BLOCKS, size, done, random)


@pytest.mark.parametrize("block", [2, 16, 24])
def test_blocks_grow_from_one_token(block: int) -> None:
    annealing = Annealing(block, 100)
    sizes = [annealing.size(step) for step in range(120)]
    assert sizes[0] == 1
    assert sizes == sorted(sizes)
    assert sizes[99] < sizes[100] == sizes[-1] == block
    assert [annealing.done(step) for step in (0, 50, 100, 110)] == [0, 0.5, 1, 1]


def test_without_annealing_blocks_are_whole_at_once() -> None:
    assert Annealing(16).size(0) == 16
    assert Annealing(16).done(0) == 1


@pytest.mark.parametrize("done", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [1, 2, SIZE])
def test_each_position_is_hidden_once(done: float, size: int) -> None:
    masks = drawn(done, size)
    assert masks.shape == (ROWS, 2, size * BLOCKS)
    assert bool((masks[:, 0] ^ masks[:, 1]).all())


def test_at_first_the_end_is_hidden_and_half_of_a_block() -> None:
    first = drawn(0.0)[:, 0].reshape(-1, SIZE)
    assert torch.equal(first, (torch.arange(SIZE) >= SIZE // 2).expand_as(first))


def test_at_last_any_part_is_hidden() -> None:
    first = drawn(1.0)[:, 0].reshape(-1, SIZE).float()
    assert (first.mean(dim=0) - 0.5).abs().max() < 0.06  # no place is likelier
    shares = first.mean(dim=1)
    counts = torch.bincount((shares * SIZE).round().long(), minlength=SIZE + 1)
    assert counts.min() > 20  # from none to all
    assert counts[0] < counts[1:-1].min()  # the ends are rounded to from one side alone


def test_between_them_the_end_is_likelier_and_the_shares_are_nearer_to_half() -> None:
    first = drawn(0.5)[:, 0].reshape(-1, SIZE).float()
    likely = first.mean(dim=0)
    assert likely[-1] > 0.8 > 0.2 > likely[0] > 0.0
    shares = first.mean(dim=1)
    assert 0.25 <= shares.min() < 0.375
    assert 0.625 < shares.max() <= 0.75
