"""Where a model runs and in which precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vidattn.errors import UsageError

if TYPE_CHECKING:  # torch is imported in functions: the options of every command come from here
    import torch
    from torch import Tensor

Precision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True)
class Runtime:
    """Where and how a model runs; none of it changes what is computed beyond rounding."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps; auto takes the first that is there of cuda, mps, cpu."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """auto is bf16 on CUDA, and on CPUs that multiply it for large models, where it agrees with
    fp32; otherwise fp32. int8 is for CPUs, and an approximation."""
    batch_size: int | None = None
    """Clips per forward pass, by default as many as are fastest; halved by itself when memory runs
    out."""
    reader: str = "auto"
    """Which video reader, see `vidattn.open_video`."""
    compile: bool = False
    """Whether torch compiles the model first, which takes a minute or more."""

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"the batch size must be at least 1, got {self.batch_size}")

    def torch_device(self) -> torch.device:
        """The device to use. Raises UsageError when the one asked for is not there."""
        import torch

        if self.device == "auto":
            found = (
                "cuda"
                if torch.cuda.is_available()
                else "mps"
                if torch.backends.mps.is_available()
                else "cpu"
            )
            return torch.device(found)
        try:
            device = torch.device(self.device)
        except RuntimeError:
            raise UsageError(
                f"--device {self.device}: no such device", hint="auto, cpu, cuda, cuda:1 or mps"
            ) from None
        if device.type not in ("cpu", "cuda", "mps"):
            raise UsageError(
                f"--device {self.device}: not a device vidattn runs on",
                hint="auto, cpu, cuda, cuda:1 or mps",
            )
        missing = (device.type == "cuda" and not torch.cuda.is_available()) or (
            device.type == "mps" and not torch.backends.mps.is_available()
        )
        if missing:
            raise UsageError(
                f"--device {self.device}: this machine has none that torch can use",
                hint="leave --device out to take what is there",
            )
        return device

    def resolved_precision(self) -> Precision:
        """fp32, bf16 or int8, before a model is known. Raises UsageError for int8 elsewhere than on
        a CPU."""
        device = self.torch_device().type
        if self.precision == "auto":
            return "bf16" if device == "cuda" else "fp32"
        if self.precision == "int8" and device != "cpu":
            raise UsageError(
                f"--precision int8 runs on CPUs, not on {device}",
                hint="add --device cpu, or take --precision bf16",
            )
        return self.precision


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """A batch on a device; to a GPU it goes while the processor goes on."""
    if device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)


@contextmanager
def inference_mode(device: torch.device, precision: Precision) -> Iterator[None]:
    """No gradients; matrix products in bf16 where `precision` says so."""
    import torch

    with (
        torch.inference_mode(),
        torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        yield


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory; on a CPU it says so in words only."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
