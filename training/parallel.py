"""One run in several processes, each with a share of every batch:
python -m torch.distributed.run --nproc-per-node 2 -m training.teacher WORK

On a CPU with several cores, or on several GPUs. All processes draw the same batch, compute the
gradients of their own rows, and take the same step with the mean of all, each counted by the
positions that it has a loss of. So what is learnt is what one process would have learnt, but for
rounding, and but for the letters of the teacher: their loss is a mean over fewer positions than
those that are counted, and weighs a little more in one process and less in another. The first one
prints and saves.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from training.devices import find_device


@contextmanager
def joined(device: str = "cpu") -> Iterator[torch.device]:
    """Around a whole run: meet the other processes, if there are any, and leave with them. Gives
    the device that is this process's: of several cards each has its own.

    Threads of a group that still run when a process ends may abort it; so all end together, and
    nothing may hold the group then. Who fails waits for nobody, and what launched them ends the
    others.
    """
    own = find_device(device)
    if not launched():
        yield own
        return
    if own.type == "cuda":
        own = torch.device("cuda", dist.get_node_local_rank())
        torch.cuda.set_device(own)
    # Its functions have the group of the time when it is imported as a default, and so hold it for
    # ever: optimisers import it, and must find it imported, before there is any.
    importlib.import_module("torch.distributed.nn")
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield own
        dist.barrier()
    finally:
        dist.destroy_process_group()


def launched() -> bool:
    """Whether somebody started these processes who ends them, too."""
    return dist.is_torchelastic_launched()


def together() -> bool:
    return dist.is_available() and dist.is_initialized()


def is_first() -> bool:
    """Whether this process prints and saves."""
    return not together() or dist.get_rank() == 0


def rows_of(count: int) -> slice:
    """Which of `count` rows are this process's. Every process has at least one, if need be one
    that another has too."""
    if not together() or count < dist.get_world_size():
        return slice(None)
    return slice(dist.get_rank(), None, dist.get_world_size())


def share(parameters: Iterable[Tensor], weight: float) -> None:
    """Make gradients the mean over all processes, each counted by its weight."""
    if not together():
        return
    found = [one for one in parameters if one.requires_grad]
    parts = [torch.zeros_like(one) if one.grad is None else one.grad for one in found]
    flat = torch.cat([part.flatten() for part in parts] + [parts[0].new_ones(1)]) * weight
    dist.all_reduce(flat)
    flat /= flat[-1].clone()
    sizes = [part.numel() for part in parts]
    for one, values in zip(found, torch.split_with_sizes(flat[:-1], sizes), strict=True):
        one.grad = values.view_as(one).clone()


def any_of(flag: bool) -> bool:
    """Whether any process says so: then all do."""
    if not together():
        return flag
    told = torch.tensor([float(flag)])
    if dist.get_backend() == "nccl":
        told = told.cuda()
    dist.all_reduce(told)
    return bool(told.item() > 0)
