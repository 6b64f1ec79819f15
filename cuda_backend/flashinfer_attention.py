"""Attention of the decoder with FlashInfer's kernels, which read the cache as pages.

A request is a run of queries over a list of pages, of whose slots it sees the first so many.
That is all there is to visibility, and no mask is made: where a row settles tokens, these and
the block behind them are two requests over the same pages.

The zero scores that stand in front of a null row are real zero slots here, and cost nearly
nothing: whole pages of them are the row's own first page, listed as often as it takes. What is
left over lies at the beginning of the next page. (The weight of two sinks could also be put
right afterwards, by the log-sum-exp that FlashInfer returns. That takes three more kernels in
every layer, and these passes live on having few.)

Written against FlashInfer 0.6.18; what is used of it is the same in 0.2.14, 0.6.0 and 0.7.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from cuda_backend.attention import BlockShape, Place, Starts, staged
from cuda_backend.cache import PAGE, SINKS, Buffers, KVCache, whole_pages

TILE = 128  # FlashInfer gives up to so many queries to a thread block
LAUNCHED = 1024  # it plans for two thread blocks on each multiprocessor; no GPU has half as many


class FlashInfer:
    """`Attention` with the module `flashinfer`; bfloat16 and float16 on NVIDIA GPUs.

    All blocks share a workspace, so their passes must come one after the other on one stream.
    """

    by_head = False

    def __init__(self, kernels: Any) -> None:
        self.kernels = kernels
        self.workspace = torch.empty(0, dtype=torch.uint8)
        self._fetched: Callable[[], None] = _nothing

    def reach(self, used: int, slots: int) -> int:
        return slots  # lengths are data: one captured block serves them all

    def block(self, shape: BlockShape, cache: KVCache) -> FlashInferBlock:
        needed = _workspace_bytes(shape, cache.buffers)
        if len(self.workspace) < needed:
            # Blocks that were made earlier keep the one they know.
            device = cache.buffers.keys[0].device
            self.workspace = torch.empty(needed, dtype=torch.uint8, device=device)
        return FlashInferBlock(shape, cache, self)

    @contextmanager
    def planning(self, device: torch.device) -> Iterator[None]:
        """FlashInfer plans in memory of the host, from where the device fetches it later. It
        must have done so before that memory is used for the next plan."""
        self._fetched()
        yield
        self._fetched = _so_far(device)


class FlashInferBlock:
    """`BlockAttention` with FlashInfer's kernels. Looks at whatever slots its rows have."""

    def __init__(self, shape: BlockShape, cache: KVCache, attention: FlashInfer) -> None:
        before, length = shape.before, shape.length
        self._shape = shape
        self._buffers = cache.buffers
        self._device = cache.buffers.keys[0].device
        self._starts = Starts(shape.rows, self._device)
        self._attention = attention
        settling, block = Queries(before, before), Queries(length, before + length)
        self._settle, self._step = (
            Requests(shape.rows, queries, cache.buffers, attention)
            for queries in ((settling, block), (block,))
        )

    def update(self, cache: KVCache) -> None:
        slots = cache.buffers.slots
        columns = (cache.rows, cache.lengths, cache.sinks)
        rows = [PagedRow.of(slots, *row) for row in zip(*columns, strict=True)]
        self._starts.update(cache, [row.settled for row in rows])
        with self._attention.planning(self._device):
            self._settle.plan(rows)
            self._step.plan(rows)

    def settle(self) -> Place:
        return self._place(0, self._settle)

    def step(self) -> Place:
        return self._place(self._shape.before, self._step)

    def _place(self, first: int, requests: Requests) -> Place:
        """Queries from slot `first` behind the settled ones."""
        end = self._shape.before + self._shape.length
        offsets = torch.arange(first, end, device=self._device)
        slots = (self._starts.slots[:, None] + offsets).flatten()
        positions = self._starts.positions[:, None] + offsets
        return Place(positions, _Paged(self._buffers, slots, requests))


@dataclass(frozen=True)
class PagedRow:
    """A row of the batch, in pages.

    first: its first page; zeros: how often that page, all zero, is listed in front of the row;
    settled: slots of the row that are taken, its own zeros included.
    """

    first: int
    zeros: int
    settled: int

    @classmethod
    def of(cls, slots: int, row: int, length: int, sinks: int) -> PagedRow:
        """`row` of buffers with `slots` a row; length and sinks as in `KVCache`."""
        first = row * slots // PAGE
        if sinks == 0:
            return cls(first, 0, length)
        whole, rest = divmod(sinks, PAGE)
        own = rest + PAGE * min(whole, 1)
        return cls(first, max(whole - 1, 0), length - SINKS + own)

    def pages(self, end: int) -> list[int]:
        """The pages up to slot `end` behind the settled ones."""
        own = whole_pages(self.settled + end)
        return [self.first] * self.zeros + list(range(self.first, self.first + own))

    def last(self, end: int) -> int:
        """Slots of the last of these pages, 1 to PAGE."""
        return (self.settled + end - 1) % PAGE + 1


@dataclass(frozen=True)
class Queries:
    """`count` queries of a row that see the same: up to slot `end` behind the settled ones."""

    count: int
    end: int


class Requests:
    """A pass in which every row has the same groups of queries, each of which is a request."""

    def __init__(
        self,
        rows: int,
        queries: Sequence[Queries],
        buffers: Buffers,
        attention: FlashInfer,
    ) -> None:
        self._queries = queries
        self._pages = (-1, PAGE, *buffers.keys[0].shape[2:])
        self._dtype = buffers.keys[0].dtype
        self._device = buffers.keys[0].device
        counts = [group.count for group in queries] * rows
        self._bounds = self._staged([0, *accumulate(counts)])
        requests = len(counts)
        # One family of kernels for all cards. On Hopper FlashInfer would choose another, which
        # wants 128 queries a row and gives a row to one thread block; these share it out.
        self._wrapper = attention.kernels.BatchPrefillWithPagedKVCacheWrapper(
            attention.workspace,
            "NHD",
            use_cuda_graph=True,
            qo_indptr_buf=self._numbers(requests + 1),
            paged_kv_indptr_buf=self._numbers(requests + 1),
            paged_kv_indices_buf=self._numbers(requests * (buffers.slots // PAGE)),
            paged_kv_last_page_len_buf=self._numbers(requests),
            backend="fa2",
        )
        # It comes with 8 MiB for plans, on the host and on the device. A hundredth will do.
        plans = torch.empty(
            _plan_bytes(requests, sum(counts)), dtype=torch.uint8, device=self._device
        )
        self._wrapper.reset_workspace_buffer(attention.workspace, plans)

    def plan(self, rows: Sequence[PagedRow]) -> None:
        """The host's part, for rows that lie and end here."""
        requests = [(row, group.end) for row in rows for group in self._queries]
        pages = [row.pages(end) for row, end in requests]
        # The page numbers are the one thing that FlashInfer waits for if it has to fetch them.
        numbers = self._staged([page for some in pages for page in some])
        *_, heads, head_dim = self._pages
        self._wrapper.plan(
            qo_indptr=self._bounds,
            paged_kv_indptr=self._staged([0, *accumulate(map(len, pages))]),
            paged_kv_indices=numbers.to(self._device, non_blocking=True),
            paged_kv_last_page_len=self._staged([row.last(end) for row, end in requests]),
            num_qo_heads=heads,
            num_kv_heads=heads,
            head_dim_qk=head_dim,
            page_size=PAGE,
            q_data_type=self._dtype,
            kv_data_type=self._dtype,
        )

    def attend(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """q [R, Q, H, D], buffers [rows, slots, H, D] -> [R, Q, H, D]."""
        packed = q.flatten(0, 1)
        # A result that FlashInfer has to make is filled with zeros first.
        mixed = torch.empty(packed.shape, dtype=packed.dtype, device=packed.device)
        self._wrapper.run(packed, (keys.view(self._pages), values.view(self._pages)), out=mixed)
        return mixed.view(q.shape)

    def _numbers(self, count: int) -> Tensor:
        return torch.zeros(count, dtype=torch.int32, device=self._device)

    def _staged(self, numbers: Sequence[int]) -> Tensor:
        return staged(numbers, torch.int32, self._device)


class _Paged:
    """A pass over pages."""

    def __init__(self, buffers: Buffers, slots: Tensor, requests: Requests) -> None:
        self._buffers = buffers
        self._slots = slots
        self._requests = requests

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        buffers = self._buffers
        buffers.write(layer, self._slots, k, v)
        return self._requests.attend(q, buffers.keys[layer], buffers.values[layer])


def _workspace_bytes(shape: BlockShape, buffers: Buffers) -> int:
    """For the parts of a shared-out row and their sums, in float32, until they are joined."""
    heads, head_dim = buffers.keys[0].shape[2:]
    requests, queries = 2 * shape.rows, shape.rows * (shape.before + shape.length)
    tiles = max(LAUNCHED // heads, -(-queries // TILE) + requests)
    return heads * tiles * TILE * (head_dim + 1) * torch.float32.itemsize + PAGE


def _plan_bytes(requests: int, queries: int) -> int:
    """A few numbers for each thread block, request and query."""
    return 32 * (LAUNCHED + requests + queries)


def _so_far(device: torch.device) -> Callable[[], None]:
    """Waits until the device has done what it was given so far."""
    if device.type != "cuda":
        return _nothing
    wait: Callable[[], None] = torch.cuda.current_stream(device).record_event().synchronize
    return wait


def _nothing() -> None:
    pass
