"""torch.compile for fixed batch sizes, with an eager fallback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from vidattn.errors import UsageError

# Silences a warning about a missing CUDA compiler on machines without a GPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


class CompiledModel:
    """A function of batches [N, ...], compiled for batches of one size.

    Larger batches are split; the rest runs eagerly, since each size would be compiled anew. On GPUs
    the compiled function is a CUDA graph. A call raises UsageError where torch cannot compile.
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], size: Callable[[Tensor], int], device: str
    ) -> None:
        """size: gives the batch size to compile for. device: "cpu", "cuda" or "mps"."""
        mode = "reduce-overhead" if device == "cuda" else "default"
        self._plain, self._size = function, size
        self._compiled: Any = torch.compile(function, dynamic=False, mode=mode)

    def __call__(self, batch: Tensor) -> Tensor:
        """The result of the function."""
        size = self._size(batch)
        chunks = torch.split(batch, size)
        return torch.cat(
            [self._run(chunk) if len(chunk) == size else self._plain(chunk) for chunk in chunks]
        )

    def _run(self, chunk: Tensor) -> Tensor:
        try:
            result: Tensor = self._compiled(chunk.contiguous())
        except TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            needs = "; on a CPU it needs a C++ compiler (g++)" if "compiler" in reason else ""
            raise UsageError(
                f"--compile: torch cannot compile this model here: {reason}",
                hint=f"leave --compile out{needs}",
            ) from error
        return result.clone()  # a CUDA graph overwrites its last result
