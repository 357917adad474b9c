"""A model compiled by torch: after a minute in which nothing comes it may be faster."""

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


class CompiledModel:
    """A function of batches [N, ...], compiled for batches of one size.

    Larger ones are cut; what is left over is computed as ever, since each size would be compiled
    anew. On GPUs what is compiled is replayed as a CUDA graph. A call raises UsageError where torch
    cannot compile.
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], size: Callable[[Tensor], int], device: str
    ) -> None:
        """size: how many items of a batch go through at once. device: "cpu", "cuda" or "mps"."""
        mode = "reduce-overhead" if device == "cuda" else "default"
        self._plain, self._size = function, size
        self._compiled: Any = torch.compile(function, dynamic=False, mode=mode)

    def __call__(self, batch: Tensor) -> Tensor:
        """As the function."""
        size = self._size(batch)
        lots = torch.split(batch, size)
        return torch.cat(
            [self._full(lot) if len(lot) == size else self._plain(lot) for lot in lots]
        )

    def _full(self, lot: Tensor) -> Tensor:
        try:
            found: Tensor = self._compiled(lot.contiguous())
        except TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            needs = "; on a CPU it takes a C++ compiler (g++)" if "compiler" in reason else ""
            raise UsageError(
                f"--compile: torch cannot compile this model here: {reason}",
                hint=f"leave --compile out{needs}",
            ) from error
        return found.clone()  # a graph writes where it wrote the last time
