"""A model at work: clips in, logits out, in whatever memory there is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidattn.device import Runtime, inference
from vidattn.errors import MemoryLimitError, VideoError
from vidattn.models.classifier import Classifier
from vidattn.models.folded import multiplies_bf16


class Scorer:
    """Runs a classifier's model on lists of clips; needs no more memory than there is."""

    def __init__(self, classifier: Classifier, runtime: Runtime) -> None:
        self.device = runtime.torch_device()
        self.precision = runtime.resolved_precision()
        self.model = classifier.model.eval().to(self.device)
        # Autocast casts weights anew in every call; a folded model holds them as it needs them.
        self.autocast = self.precision
        if self.device.type == "cpu" and (self.precision == "fp32" or multiplies_bf16()):
            dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
            self.model = classifier.fast(dtype)
            if self.model is not classifier.model:
                self.autocast = "fp32"

    def __call__(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Clips [3, T, H, W] to float32 logits [K] on the CPU, one for each, in order.

        When memory runs out the batch is halved, down to single clips; then MemoryLimitError.
        """
        if not clips:
            return []
        try:
            with inference(self.device, self.autocast):
                logits = self.model(torch.stack(list(clips)).to(self.device)).float().cpu()
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            if len(clips) == 1:
                raise MemoryLimitError(
                    "out of memory with a single clip",
                    hint="try fewer --frames, a smaller model, or --device cpu",
                ) from None
            half = len(clips) // 2
            return self(clips[:half]) + self(clips[half:])
        if not logits.isfinite().all():
            raise VideoError(
                "the model's output is not finite", code="E_NONFINITE", hint="try --precision fp32"
            )
        return list(logits)


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory; on a CPU it says so in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
