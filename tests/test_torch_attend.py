"""Attention as plain products is attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cuda_backend.attend import attend, products


def draw(rows: int, heads: int, length: int) -> list[torch.Tensor]:
    """Heads as they come out of a projection: next to each other in every position."""
    source = torch.Generator().manual_seed(length)
    return [
        torch.randn(rows, length, heads, 16, generator=source).transpose(1, 2) for _ in range(3)
    ]


@pytest.mark.parametrize(("rows", "heads", "length"), [(1, 8, 33), (3, 4, 7), (2, 3, 1)])
def test_products_are_attention(rows: int, heads: int, length: int) -> None:
    q, k, v = draw(rows, heads, length)
    expected = F.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(products(q, k, v), expected, atol=1e-6)
    ends = torch.arange(length, 0, -1).repeat(rows)[:rows].clamp(min=1)
    mask = torch.arange(length) < ends[:, None, None, None]
    expected = F.scaled_dot_product_attention(q, k, v, mask)
    assert torch.allclose(products(q, k, v, mask), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_dtype_attends(dtype: torch.dtype) -> None:
    q, k, v = (x.to(dtype) for x in draw(2, 4, 20))
    expected = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 2e-2}[dtype]
    assert torch.allclose(attend(q, k, v).float(), expected, atol=tolerance)
