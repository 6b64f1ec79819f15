"""Why a GPU cannot be used, in words; and what fits into its memory."""

from __future__ import annotations

import pytest
import torch

from cbflash.config import T3Config
from cbflash.engine import EngineOptions
from cbflash.errors import EngineError
from cuda_backend.backend import CPU, FLASHINFER, GPU, TorchBackend
from cuda_backend.cache import Buffers, fitting_prompts
from cuda_backend.failures import guarded, told_failures
from cuda_backend.gpu_probe import too_old

BUILT = ["sm_75", "sm_80", "sm_90", "compute_90"]


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 1)])
def test_cards_that_can_be_used(capability: tuple[int, int]) -> None:
    """A binary serves its major version from its minor on; newer cards compile the rest."""
    assert too_old("Card", capability, BUILT) == ""


def test_a_card_too_old_for_the_program() -> None:
    assert "7.0; 7.5 or higher is needed" in too_old("Tesla V100", (7, 0), [*BUILT, "sm_70"])


@pytest.mark.parametrize("built", [["sm_90"], ["sm_75", "sm_86"], ["compute_90", "sm_90a"]])
def test_a_card_that_this_pytorch_does_not_know(built: list[str]) -> None:
    assert "no kernels for NVIDIA A100 (compute capability 8.0)" in too_old(
        "NVIDIA A100", (8, 0), built
    )


@pytest.mark.parametrize("backend", [GPU, FLASHINFER], ids=lambda backend: backend.name)
def test_without_a_driver_both_say_so(backend: TorchBackend) -> None:
    status = backend.probe()
    if status.available:
        assert torch.cuda.is_available()
        return
    assert status.reason
    assert not status.device
    with pytest.raises(EngineError, match=f"'{backend.name}' cannot run here"):
        backend.load("anywhere", EngineOptions())


def test_the_processor_is_always_there() -> None:
    status = CPU.probe()
    assert status.available
    assert not status.accelerated
    assert status.device


def test_the_batch_that_fits_is_counted_in_bytes() -> None:
    config = T3Config(layers=2, heads=4, head_dim=8)
    buffers = Buffers.allocate(config, 2, 40, torch.float16, torch.device("cpu"))
    prompt = sum(buffer.nbytes for buffer in (*buffers.keys, *buffers.values))
    free = int(3.5 * prompt / 0.8)
    assert fitting_prompts(config, torch.float16, 40, 2, free) == 3
    assert fitting_prompts(config, torch.float16, 40, 2, prompt // 2) == 0


def test_a_gpu_out_of_memory_is_told_with_a_remedy() -> None:
    with (
        pytest.raises(EngineError, match=r"not enough free memory.*A batch of 3 would fit\."),
        told_failures(lambda: "A batch of 3 would fit."),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_what_else_fails_is_told_in_its_first_line() -> None:
    with pytest.raises(EngineError, match=r"PyTorch failed: no kernel image\. "), told_failures():
        raise RuntimeError("no kernel image\nlong story")


def test_guarded_work_computes_in_inference_mode_and_its_caller_does_not() -> None:
    def work():
        for _ in range(2):
            yield torch.is_inference_mode_enabled()

    for inside in guarded(work()):
        assert inside
        assert not torch.is_inference_mode_enabled()


def test_closing_guarded_work_closes_the_work() -> None:
    closed = []

    def work():
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    items = guarded(work())
    next(items)
    items.close()
    assert closed == [True]
