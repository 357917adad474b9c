"""A model at work: clips in, logits out, in whatever memory there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vidattn.device import Runtime, inference, out_of_memory
from vidattn.errors import MemoryLimitError, VideoError
from vidattn.models.classifier import Classifier
from vidattn.models.folded import multiplies_bf16
from vidattn.models.frames import FrameWise


class Scorer:
    """Runs a classifier's model on lists of clips; needs no more memory than there is."""

    def __init__(self, classifier: Classifier, runtime: Runtime) -> None:
        self.device = runtime.torch_device()
        self.batch_size = runtime.batch_size
        self.precision = runtime.resolved_precision()
        self.model = classifier.model.eval().to(self.device)
        # Autocast casts weights anew in every call; a folded model holds them as it needs them.
        self.autocast = self.precision
        if self.device.type == "cpu" and (self.precision == "fp32" or multiplies_bf16()):
            dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
            self.model = classifier.fast(dtype)
            if self.model is not classifier.model:
                self.autocast = "fp32"
        self.parts: FrameWise = (
            self.model if isinstance(self.model, FrameWise) else _Whole(self.model)
        )

    def __call__(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Clips [3, T, H, W] to float32 logits [K] on the CPU, one for each, in order.

        When memory runs out the batch is halved, down to single clips; then MemoryLimitError.
        """
        return self._logits(self.model, clips)

    def per_frame(self, frames: Sequence[Tensor]) -> list[Tensor]:
        """Frames [3, H, W] to what the model computes of each alone, on its device.

        Errors as of a call.
        """
        return self._run(self.parts.per_frame, frames)

    def from_frames(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """What `per_frame` gave for the frames of each clip, [T, ...], to logits as of a call."""
        return self._logits(self.parts.from_frames, clips)

    def _logits(
        self, function: Callable[[Tensor], Tensor], items: Sequence[Tensor]
    ) -> list[Tensor]:
        logits = self._run(lambda batch: function(batch).float().cpu(), items)
        if not all(one.isfinite().all() for one in logits):
            raise VideoError(
                "the model's output is not finite", code="E_NONFINITE", hint="try --precision fp32"
            )
        return logits

    def _run(self, function: Callable[[Tensor], Tensor], items: Sequence[Tensor]) -> list[Tensor]:
        """`function` of a batch of items, or of its halves where there is no memory for more."""
        if not items:
            return []
        try:
            with inference(self.device, self.autocast):
                return list(function(torch.stack(list(items)).to(self.device)))
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(items) == 1:
                raise MemoryLimitError(
                    "out of memory with a single clip",
                    hint="try fewer --frames, a smaller model, or --device cpu",
                ) from None
        half = len(items) // 2
        return self._run(function, items[:half]) + self._run(function, items[half:])


class _Whole(nn.Module):
    """A model of another make, as one that shares nothing between clips but the pixels."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def per_frame(self, frames: Tensor) -> Tensor:
        """frames: [N, 3, H, W]; returns them."""
        return frames

    def from_frames(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, 3, H, W]. Returns logits [B, K]."""
        logits: Tensor = self.model(tokens.transpose(1, 2).contiguous())
        return logits
