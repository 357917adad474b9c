"""A model compiled by torch: faster for hours of footage, after a minute in which nothing comes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from vidattn.errors import UsageError

# It warns of a CUDA compiler without a GPU, which is nobody's concern here.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


class Compiled:
    """A function of batches [N, ...], compiled for batches of one size.

    Batches of any other are cut and filled up, since each size would be compiled anew. On GPUs what
    is compiled is replayed as a CUDA graph. A call raises UsageError where torch cannot compile.
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], size: Callable[[Tensor], int], device: str
    ) -> None:
        """size: how many items of a batch go through at once. device: "cpu", "cuda" or "mps"."""
        mode = "reduce-overhead" if device == "cuda" else "default"
        self._function: Any = torch.compile(function, dynamic=False, mode=mode)
        self._size = size

    def __call__(self, batch: Tensor) -> Tensor:
        """As the function."""
        size = self._size(batch)
        return torch.cat([self._lot(lot, size) for lot in batch.split(size)])  # type: ignore[no-untyped-call]

    def _lot(self, lot: Tensor, size: int) -> Tensor:
        missing = size - len(lot)
        full = torch.cat([lot, lot[-1:].expand(missing, *lot.shape[1:])]) if missing else lot
        try:
            found: Tensor = self._function(full.contiguous())
        except TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            raise UsageError(
                f"--compile: torch cannot compile this model here: {reason}",
                hint="leave --compile out; on a CPU it takes a C++ compiler (g++)",
            ) from error
        return found[: len(lot)].clone()  # a graph writes where it wrote the last time
