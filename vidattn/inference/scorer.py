"""A model at work: clips in, logits out, in whatever memory there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from vidattn.errors import MemoryLimitError, UsageError, VideoError
from vidattn.models.classifier import Classifier
from vidattn.models.device import Precision, Runtime, inference_mode, is_out_of_memory, to_device
from vidattn.models.flops import count_frame_macs, count_macs
from vidattn.models.fused import has_bf16_instructions
from vidattn.models.int8 import can_multiply_int8
from vidattn.models.protocols import EmbeddingModel, FramewiseModel
from vidattn.models.stam import Stam
from vidattn.models.temporal_head import TemporalHead
from vidattn.models.timesformer import TimeSformer

LARGE = 20_000_000
"""Parameters from which on a CPU is asked for bf16 by itself; smaller models are not held up by
their products."""

BATCH = 8
"""Clips per forward pass on a GPU, and of models that cannot be counted."""
CPU_BATCH_MACS, CPU_BATCH = 25e9, 16
"""On a CPU a batch pays until it is this much work: what a model computes of one ViT-B clip of 8 x
224 (196e9) is more than its caches hold. In batches of 8 that takes 1.1 times as long as alone, in
8-bit integers 1.5 times, and 0.6 GB more; a clip of motion-tiny (0.03e9) alone takes 2.7 times as
long as in a batch of 16, beyond which nothing is gained (`examples/benchmarks/batches.py`)."""


class Scorer:
    """Runs a classifier's model on lists of clips; needs no more memory than there is.

    embeddings: whether `classify_frames` returns embeddings, too. Raises UsageError for a model
    that has none.
    """

    def __init__(
        self, classifier: Classifier, runtime: Runtime, *, embeddings: bool = False
    ) -> None:
        self.device = runtime.torch_device()
        self._size_of = partial(batch_size_of, classifier, runtime)
        self.precision = precision_of(classifier, runtime)
        if isinstance(classifier.model, TemporalHead):
            raise UsageError(
                f"{classifier.card.name}: takes what another model saw of windows, no clips",
                hint="vidattn classify FILM --pool head=RUN",
            )
        self.model = classifier.model.eval().to(self.device)
        # Autocast casts weights anew in every call; a folded model holds them as it needs them.
        self.autocast = self.precision
        if self.precision == "int8":
            if runtime.compile:
                raise UsageError(
                    "--compile is not for --precision int8", hint="leave one of them out"
                )
            self.model = _in_int8(classifier)
        elif self.device.type == "cuda" or (
            self.device.type == "cpu" and (self.precision == "fp32" or has_bf16_instructions())
        ):
            dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
            self.model = classifier.fused_model(dtype)
            if self.model is not classifier.model:
                self.autocast = "fp32"
        self.parts: FramewiseModel = (
            self.model if isinstance(self.model, FramewiseModel) else _Whole(self.model)
        )
        self.width = 0
        """Numbers in the vector of a clip; 0 where none are wanted."""
        if embeddings:
            if not isinstance(self.parts, EmbeddingModel):
                raise UsageError(f"{classifier.card.name}: a model that has no embeddings")
            self.width = self.parts.head.in_features
            self.parts = _WithEmbeddings(self.parts)
        self._encode: Callable[[Tensor], Tensor] = self.parts.encode_frames
        self._classify: Callable[[Tensor], Tensor] = self.parts.classify_frames
        self.compiled = runtime.compile
        if self.compiled:
            self._compile(classifier)

    def batch_size(self, frames: int) -> int:
        """How many clips of so many frames to score at once."""
        return self._size_of(frames)

    def __call__(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Clips [3, T, H, W] to float32 logits [K] on the CPU, one for each, in order.

        When memory runs out the batch is halved, down to single clips; then MemoryLimitError.
        """
        return self._logits(self.model, clips)

    def encode_frames(self, frames: Sequence[Tensor]) -> list[Tensor]:
        """Frames [3, H, W] to what the model computes of each alone, on its device.

        Errors as of a call.
        """
        return self._run(self._encode, frames)

    def classify_frames(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Tokens of each clip, [T, ...], from `encode_frames` to logits [K]; with `embeddings` to
        [K + D], the logits and then the embedding."""
        return self._logits(self._classify, clips)

    def _compile(self, classifier: Classifier) -> None:
        """Compile the half of the model that has most of the work."""
        from vidattn.inference.compile import CompiledModel  # it loads much

        frames = classifier.clip.frames
        if _works_by_frame(classifier):
            # Small lots, of what windows that overlap by three quarters have not in common.
            few = max(frames // 4, 1)
            self._encode = CompiledModel(self._encode, lambda _: few, self.device.type)
        else:
            self._classify = CompiledModel(
                self._classify,
                lambda tokens: self.batch_size(tokens.shape[1]),
                self.device.type,
            )

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
            with inference_mode(self.device, self.autocast):
                return list(function(to_device(torch.stack(list(items)), self.device)))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(items) == 1:
                raise MemoryLimitError(
                    "out of memory with a single clip",
                    hint="try fewer --frames, a smaller model, or --device cpu",
                ) from None
        half = len(items) // 2
        return self._run(function, items[:half]) + self._run(function, items[half:])


def precision_of(classifier: Classifier, runtime: Runtime) -> Precision:
    """What `auto` stands for with this model, or what was asked for."""
    device = runtime.torch_device()
    if runtime.precision == "auto" and device.type == "cpu" and has_bf16_instructions():
        size = sum(parameter.numel() for parameter in classifier.model.parameters())
        return "bf16" if size >= LARGE else "fp32"
    return runtime.resolved_precision()


def batch_size_of(classifier: Classifier, runtime: Runtime, frames: int) -> int:
    """How many clips of `frames` frames to score at once: as many as were asked for, or as many as
    are fastest."""
    if runtime.batch_size is not None:
        return runtime.batch_size
    model = classifier.model
    if runtime.torch_device().type != "cpu" or not isinstance(model, TimeSformer | Stam):
        return BATCH
    work = count_macs(model.config, frames, classifier.clip.crop)
    return int(min(max(CPU_BATCH_MACS // work, 1), CPU_BATCH))


def _works_by_frame(classifier: Classifier) -> bool:
    """Whether most of what a model computes of a clip, it computes of single frames."""
    model = classifier.model
    if not isinstance(model, TimeSformer | Stam):
        return False
    return 2 * model.config.frames * count_frame_macs(model.config) > count_macs(model.config)


def _in_int8(classifier: Classifier) -> nn.Module:
    """The model with linear layers in 8-bit integers. Raises UsageError where that cannot be."""
    hint = "leave --precision out"
    if not can_multiply_int8():
        raise UsageError("this build of torch multiplies no 8-bit integers", hint=hint)
    model = classifier.fused_model(torch.int8)
    if model is classifier.model:
        raise UsageError(f"--precision int8: not for a {type(model).__name__}", hint=hint)
    return model


class _WithEmbeddings(nn.Module):
    """A model whose logits are followed by what its head made them of."""

    def __init__(self, model: EmbeddingModel) -> None:
        super().__init__()
        self.model = model

    def encode_frames(self, frames: Tensor) -> Tensor:
        """As the model's."""
        return self.model.encode_frames(frames)

    def classify_frames(self, tokens: Tensor) -> Tensor:
        """tokens: as the model's. Returns float32 [B, K + D]."""
        vectors = self.model.embeddings(tokens)
        return torch.cat([self.model.head(vectors).float(), vectors.float()], dim=1)


class _Whole(nn.Module):
    """A model of another make, as one that shares nothing between clips but the pixels."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: [N, 3, H, W]; returns them."""
        return frames

    def classify_frames(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, 3, H, W]. Returns logits [B, K]."""
        logits: Tensor = self.model(tokens.transpose(1, 2).contiguous())
        return logits
