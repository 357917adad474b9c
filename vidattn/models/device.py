"""The device and precision of a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vidattn.config.serialization import check_fields
from vidattn.errors import UsageError

if TYPE_CHECKING:  # torch is imported in functions: the options of every command come from here
    import torch
    from torch import Tensor, nn

Precision = Literal["fp32", "bf16", "int8"]


FEW = 5_000_000
"""Parameters below which one thread is best on a CPU: two gain nothing where they have a core each,
and wait for each other where they have not (three to nine times as long for 0.25 M and 4.7 M)."""


@dataclass(frozen=True)
class Runtime:
    """Device, precision and batching of a model; they change results by rounding only."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps; auto is the first available of cuda, mps, cpu."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """auto is bf16 on CUDA, and for large models on CPUs with bf16 instructions if it agrees with
    fp32; otherwise fp32. int8 is an approximation, for CPUs."""
    batch_size: int | None = None
    """Clips per forward pass, by default the fastest number; halved when memory runs out."""
    reader: str = "auto"
    """Video reader, see `vidattn.open_video`."""
    compile: bool = False
    """Whether to compile the model with torch first, which takes a minute or more."""

    def __post_init__(self) -> None:
        if hasattr(self.device, "type"):  # a torch.device
            object.__setattr__(self, "device", str(self.device))
        check_fields(self)
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"the batch size must be at least 1, got {self.batch_size}")

    def torch_device(self) -> torch.device:
        """The device to use. Raises UsageError when it is unavailable."""
        import torch

        available = {
            "cuda": torch.cuda.is_available(),
            "mps": torch.backends.mps.is_available(),
            "cpu": True,
        }
        if self.device == "auto":
            return torch.device(next(kind for kind, there in available.items() if there))
        hint = "auto, cpu, cuda, cuda:1 or mps"
        try:
            device = torch.device(self.device)
        except RuntimeError:
            raise UsageError(f"--device {self.device}: no such device", hint=hint) from None
        if device.type not in available:
            raise UsageError(f"--device {self.device}: unsupported device", hint=hint)
        if not available[device.type]:
            raise UsageError(
                f"--device {self.device}: torch finds no such device on this machine",
                hint="omit --device to use the best device available",
            )
        return device

    def requested_precision(self) -> Literal["auto", "fp32", "bf16", "int8"]:
        """The precision asked for (`vidattn.inference.scorer.precision_of` says what auto is for a
        model). Raises UsageError for int8 off the CPU."""
        device = self.torch_device().type
        if self.precision == "int8" and device != "cpu":
            raise UsageError(
                f"--precision int8 runs on CPUs, not on {device}",
                hint="add --device cpu, or use --precision bf16",
            )
        return self.precision


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """Move a batch to a device; asynchronously to a GPU."""
    if device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)


def is_small(model: nn.Module) -> bool:
    """Whether a model has few parameters. A fused one says nothing: packed weights are none."""
    return sum(parameter.numel() for parameter in model.parameters()) < FEW


@contextmanager
def suitable_threads(small: bool, device: torch.device) -> Iterator[None]:
    """One thread of torch for a small model on a CPU; else as many as before."""
    import torch

    before = torch.get_num_threads()
    if device.type == "cpu" and small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def inference_mode(device: torch.device, precision: Precision) -> Iterator[None]:
    """Disable gradients; autocast to bf16 if `precision` says so."""
    import torch

    with (
        torch.inference_mode(),
        torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        yield


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory; on a CPU only the message tells."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
