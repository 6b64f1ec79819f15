"""What cbflash uses of FlashInfer, in plain PyTorch on any device: the same arguments, the same
tables, the same refusals.

It stands in for the module `flashinfer` where there is no NVIDIA GPU. It knows the arguments
that cbflash gives and no others, and works from the buffers it was made with, as a captured
kernel does. What a plan takes of the workspaces is that of FlashInfer 0.6.18 (`PrefillPlan` in
its scheduler.cuh). Unlike FlashInfer it takes float32.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

ALIGNMENT = 16  # bytes


class StandIn:
    """The module. multiprocessors: of the GPU it pretends to run on."""

    def __init__(self, multiprocessors: int = 132) -> None:
        self.BatchPrefillWithPagedKVCacheWrapper = partial(PagedWrapper, multiprocessors)


class PagedWrapper:
    """Attention of a ragged batch of queries over pages of keys and values, without a mask."""

    def __init__(
        self,
        multiprocessors: int,
        float_workspace_buffer: Tensor,
        kv_layout: str = "NHD",
        use_cuda_graph: bool = False,
        *,
        qo_indptr_buf: Tensor,
        paged_kv_indptr_buf: Tensor,
        paged_kv_indices_buf: Tensor,
        paged_kv_last_page_len_buf: Tensor,
        backend: str = "auto",
    ) -> None:
        assert kv_layout == "NHD"
        assert use_cuda_graph, "without it the tables would lie elsewhere after each plan"
        assert backend == "fa2"
        self._requests = len(qo_indptr_buf) - 1
        assert len(paged_kv_indptr_buf) == self._requests + 1
        assert len(paged_kv_last_page_len_buf) == self._requests
        self._multiprocessors = multiprocessors
        self._float_workspace = _workspace(float_workspace_buffer)
        self._int_workspace = 8 * 2**20
        self._bounds = _table(qo_indptr_buf)
        self._page_bounds = _table(paged_kv_indptr_buf)
        self._pages = _table(paged_kv_indices_buf)
        self._last = _table(paged_kv_last_page_len_buf)
        self._most_queries: int | None = None

    def reset_workspace_buffer(
        self, float_workspace_buffer: Tensor, int_workspace_buffer: Tensor
    ) -> None:
        self._float_workspace = _workspace(float_workspace_buffer)
        self._int_workspace = _workspace(int_workspace_buffer)

    def plan(
        self,
        qo_indptr: Tensor,
        paged_kv_indptr: Tensor,
        paged_kv_indices: Tensor,
        paged_kv_last_page_len: Tensor,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim_qk: int,
        page_size: int,
        *,
        q_data_type: torch.dtype = torch.float16,
        kv_data_type: torch.dtype | None = None,
    ) -> None:
        host = torch.device("cpu")
        for numbers in (qo_indptr, paged_kv_indptr, paged_kv_last_page_len):
            assert _table(numbers).device == host, "a plan would wait for the device"
        assert len(qo_indptr) == len(paged_kv_indptr) == self._requests + 1
        assert len(paged_kv_last_page_len) == self._requests
        for bounds in (qo_indptr, paged_kv_indptr):
            assert bounds[0] == 0
            assert (bounds.diff() > 0).all()
        assert ((paged_kv_last_page_len >= 1) & (paged_kv_last_page_len <= page_size)).all()
        assert len(_table(paged_kv_indices)) == paged_kv_indptr[-1] <= len(self._pages)
        queries = int(qo_indptr[-1])
        if self._most_queries is None:
            self._most_queries = queries
        assert queries <= self._most_queries
        self._heads, self._head_dim, self._page = num_qo_heads, head_dim_qk, page_size
        self._dtypes = (q_data_type, kv_data_type or q_data_type)
        assert num_qo_heads == num_kv_heads, "not in use here"
        self._check_workspaces()
        self._bounds.copy_(qo_indptr)
        self._page_bounds.copy_(paged_kv_indptr)
        self._pages[: len(paged_kv_indices)] = paged_kv_indices
        self._last.copy_(paged_kv_last_page_len)

    def run(self, q: Tensor, paged_kv_cache: tuple[Tensor, Tensor], *, out: Tensor) -> Tensor:
        keys, values = paged_kv_cache
        assert q.shape == out.shape == (self._bounds[-1], self._heads, self._head_dim)
        assert q.stride(-1) == 1
        assert out.is_contiguous()
        assert keys.shape == values.shape
        assert keys.shape[1:] == (self._page, self._heads, self._head_dim)
        assert keys.is_contiguous()
        assert values.is_contiguous()
        assert (q.dtype, keys.dtype, values.dtype) == (*self._dtypes, self._dtypes[1])
        assert out.dtype == q.dtype
        spans = zip(
            pairwise(self._bounds.tolist()),
            pairwise(self._page_bounds.tolist()),
            self._last.tolist(),
            strict=True,
        )
        for (first, end), (first_page, end_page), last in spans:
            pages = self._pages[first_page:end_page]
            seen = (len(pages) - 1) * self._page + last
            k, v = (x[pages].flatten(0, 1)[:seen].float() for x in (keys, values))
            scores = torch.einsum("qhd,khd->hqk", q[first:end].float(), k)
            weights = torch.softmax(scores / self._head_dim**0.5, dim=-1)
            out[first:end] = torch.einsum("hqk,khd->qhd", weights, v).to(out.dtype)
        return out

    def _check_workspaces(self) -> None:
        """Thread blocks are planned for the most queries there may ever be, in one tile size."""
        queries, requests = self._most_queries or 0, self._requests
        longest = queries - requests + 1
        tile = 128 if longest > 64 else 64 if longest > 16 else 16
        tiles = max(2 * self._multiprocessors // self._heads, -(-queries // tile) + requests - 1)
        parts = self._heads * tiles * tile * 4
        assert self._float_workspace >= _aligned(parts * self._head_dim) + parts
        numbers = [tiles, tiles, tiles, requests + 2, 1, queries + 1]
        assert self._int_workspace >= sum(_aligned(4 * n) for n in numbers) + tiles


def _table(numbers: Tensor) -> Tensor:
    assert numbers.dtype == torch.int32
    assert numbers.ndim == 1
    assert numbers.is_contiguous()
    return numbers


def _workspace(buffer: Tensor) -> int:
    """Its bytes."""
    assert buffer.dtype == torch.uint8
    assert buffer.data_ptr() % ALIGNMENT == 0
    return len(buffer)


def _aligned(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT
