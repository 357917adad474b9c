"""Runs models: clips in, logits out, within the available memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from vidattn.config import Int8Calibration
from vidattn.errors import MemoryLimitError, UsageError, VideoError
from vidattn.models.classifier import Classifier, Model
from vidattn.models.device import (
    Precision,
    Runtime,
    inference_mode,
    is_out_of_memory,
    is_small,
    suitable_threads,
    to_device,
)
from vidattn.models.flops import count_frame_macs, count_macs
from vidattn.models.fused import has_bf16_instructions
from vidattn.models.int8 import calibrate, can_multiply_int8, token_levels, use_ranges
from vidattn.models.layers import ClipModel
from vidattn.models.temporal_head import TemporalHead

LARGE = 20_000_000
"""Parameters from which `auto` means bf16 on a CPU; smaller models gain nothing from it."""

BATCH = 8
"""Clips per forward pass for models whose operations cannot be counted, and the most on a GPU."""
GPU_BATCH_MACS = 1.6e12
"""Work per forward pass on a GPU: that of eight clips of a ViT-B, 8 x 224. A clip of 96 frames has
more by itself, and eight of them need memory that many GPUs lack. Free memory would not do as a
measure: a run resumed beside other programs would round differently. No GPU was measured."""
CPU_BATCH_MACS, CPU_BATCH = 25e9, 16
"""On a CPU larger batches pay up to this much work: the activations of one ViT-B clip of 8 x 224
(196e9) exceed the caches. In batches of 8 such a clip takes 1.1 times as long as alone
and 0.6 GB more; a clip of motion-tiny (0.03e9) alone takes twice as long as in a batch of
16, beyond which nothing is gained (`examples/benchmarks/batches.py`)."""

T = TypeVar("T")


class Scorer:
    """Runs the model of a classifier on lists of clips, in batches that fit into memory.

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
                f"{classifier.card.name}: takes embeddings of windows, not clips",
                hint="vidattn classify VIDEO --pool head=RUN",
            )
        self.model = classifier.model.eval().to(self.device)
        self._small = is_small(classifier.model)
        self._too_many: dict[torch.Size, float] = {}
        """By the shape of an item: how many at once have made memory run out."""
        # Autocast casts weights in every call; a fused model stores them in the right precision.
        self.autocast = self.precision
        self.calibration: Int8Calibration | None = None
        """For int8, that of the classifier, if it counts here."""
        if self.precision == "int8":
            if runtime.compile:
                raise UsageError(
                    "--compile does not work with --precision int8", hint="leave one of them out"
                )
            self.model = self._uncalibrated = _int8_model(classifier)
            self.calibration = _find_calibration(classifier)
            if self.calibration is not None and self.calibration.ranges:
                ranges, name = self.calibration.ranges, classifier.path or classifier.card.name
                self.model = use_ranges(self.model, ranges, name)
        elif self.device.type == "cuda" or (
            self.device.type == "cpu" and (self.precision == "fp32" or has_bf16_instructions())
        ):
            dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
            self.model = classifier.fused_model(dtype)
            if self.model is not classifier.model:
                self.autocast = "fp32"
        self.width = 0
        """Length of an embedding; 0 without embeddings."""
        if embeddings:
            head = getattr(self.model, "head", None)
            if not isinstance(self.model, ClipModel) and not isinstance(head, nn.Linear):
                raise UsageError(f"{classifier.card.name}: the model has no embeddings")
            assert head is not None
            self.width = head.in_features
        self._use(self.model)
        self.compiled = runtime.compile
        if self.compiled:
            self._compile(classifier)

    def _use(self, model: nn.Module) -> None:
        """Compute with `model` from now on."""
        self.model = model
        parts: ClipModel | _WithEmbeddings | _Whole
        if self.width and isinstance(model, ClipModel):
            parts = _WithEmbeddings(model)
        elif isinstance(model, ClipModel) and not self.width:
            parts = model
        else:
            parts = _Whole(model, embeddings=self.width > 0)
        self._encode: Callable[[Tensor], Tensor] = parts.encode_frames
        self._classify: Callable[[Tensor], Tensor] = parts.classify_frames

    def calibrated(self, clips: Sequence[Tensor]) -> tuple[Scorer, list[Tensor]]:
        """A faster scorer in int8, with one range of values for all tokens of a layer, the range in
        these clips [3, T, H, W]; and the logits of the clips with a range for each token."""
        scorer = copy.copy(self)
        logits: list[Tensor] = []

        def run(model: nn.Module) -> None:
            scorer._use(model)
            logits.extend(scorer([clip])[0] for clip in clips)

        scorer._use(calibrate(self.model, run))
        return scorer, logits

    def uncalibrated(self) -> Scorer:
        """The same scorer in int8 without the calibration of its classifier."""
        scorer = copy.copy(self)
        scorer.calibration = None
        scorer._use(self._uncalibrated)
        return scorer

    def batch_size(self, frames: int) -> int:
        """The number of clips of so many frames to score at once."""
        return self._size_of(frames)

    def batches(self, items: Sequence[T], frames: int) -> Iterator[Sequence[T]]:
        """Parts of a sequence that stands for clips of `frames` frames, each to score at once."""
        size = self.batch_size(frames)
        return (items[i : i + size] for i in range(0, len(items), size))

    def __call__(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Float32 logits [K] on the CPU of each clip [3, T, H, W], in order.

        When memory runs out, the batch is halved. Raises MemoryLimitError for a single clip, and
        VideoError E_NONFINITE.
        """
        return self._logits(self.model, clips)

    def encode_frames(self, frames: Sequence[Tensor]) -> list[Tensor]:
        """The tokens of each frame [3, H, W], on the device of the model. Errors as of a call."""
        return self._run(self._encode, frames)

    def classify_frames(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Tokens of each clip, [T, ...], from `encode_frames` to logits [K]; with `embeddings` to
        [K + D], the logits and then the embedding."""
        return self._logits(self._classify, clips)

    def _compile(self, classifier: Classifier) -> None:
        """Compile the part of the model that does most of the work."""
        from vidattn.inference.compile import CompiledModel  # imports much

        frames = classifier.clip.frames
        if _is_mostly_framewise(classifier):
            # Small batches: the frames that windows with 75 % overlap do not share.
            few = max(frames // 4, 1)
            self._encode = CompiledModel(self._encode, lambda _: few, self.device.type)
        else:
            self._classify = CompiledModel(
                self._classify, lambda tokens: self.batch_size(tokens.shape[1]), self.device.type
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
        """`function` of a batch of items, or of its halves where memory runs out."""
        if not items:
            return []
        if len(items) >= self._too_many.get(items[0].shape, math.inf):
            return self._run_halves(function, items)
        try:
            with (
                suitable_threads(self._small, self.device),
                inference_mode(self.device, self.autocast),
            ):
                return list(function(to_device(torch.stack(list(items)), self.device)))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(items) == 1:
                raise MemoryLimitError(
                    "out of memory with a single clip",
                    hint="try fewer --frames, a smaller model, or --device cpu",
                ) from None
        self._too_many[items[0].shape] = len(items)
        return self._run_halves(function, items)

    def _run_halves(
        self, function: Callable[[Tensor], Tensor], items: Sequence[Tensor]
    ) -> list[Tensor]:
        half = len(items) // 2
        return self._run(function, items[:half]) + self._run(function, items[half:])


def precision_of(classifier: Classifier, runtime: Runtime) -> Precision:
    """The precision of a model: the one asked for, or the choice of `auto`."""
    device, requested = runtime.torch_device(), runtime.requested_precision()
    if requested != "auto":
        return requested
    if device.type == "cpu" and has_bf16_instructions():
        size = sum(parameter.numel() for parameter in classifier.model.parameters())
        return "bf16" if size >= LARGE else "fp32"
    return "bf16" if device.type == "cuda" else "fp32"


def batch_size_of(classifier: Classifier, runtime: Runtime, frames: int) -> int:
    """The number of clips of `frames` frames to score at once: as asked for, or the fastest."""
    if runtime.batch_size is not None:
        return runtime.batch_size
    model = classifier.model
    if not isinstance(model, Model):
        return BATCH
    on_cpu = runtime.torch_device().type == "cpu"
    enough, most = (CPU_BATCH_MACS, CPU_BATCH) if on_cpu else (GPU_BATCH_MACS, BATCH)
    work = count_macs(model.config, frames, classifier.clip.crop)
    return int(min(max(enough // work, 1), most))


def _is_mostly_framewise(classifier: Classifier) -> bool:
    """Whether a model spends most of its operations on single frames."""
    model = classifier.model
    if not isinstance(model, Model):
        return False
    return 2 * model.config.frames * count_frame_macs(model.config) > count_macs(model.config)


def _int8_model(classifier: Classifier) -> nn.Module:
    """The model with linear layers in int8. Raises UsageError where that is impossible."""
    hint = "leave --precision out"
    if not can_multiply_int8():
        raise UsageError("this build of torch cannot multiply 8-bit integers", hint=hint)
    model = classifier.fused_model(torch.int8)
    if model is classifier.model:
        name = classifier.card.name
        raise UsageError(f"{name}: this kind of model cannot run in 8-bit integers", hint=hint)
    return model


def _find_calibration(classifier: Classifier) -> Int8Calibration | None:
    """The calibration of a classifier; None where this processor rounds more coarsely than the one
    that compared it with float32."""
    found = classifier.int8_calibration()
    return found if found is not None and found.levels <= token_levels() else None


class _WithEmbeddings(nn.Module):
    """A model that returns its logits followed by the embedding."""

    def __init__(self, model: ClipModel) -> None:
        super().__init__()
        self.model = model

    def encode_frames(self, frames: Tensor) -> Tensor:
        """As of the model."""
        return self.model.encode_frames(frames)

    def classify_frames(self, tokens: Tensor) -> Tensor:
        """tokens: as of the model. Returns float32 [B, K + D]."""
        vectors = self.model.embeddings(tokens)
        return torch.cat([self.model.head(vectors).float(), vectors.float()], dim=1)


class _Whole(nn.Module):
    """Any other model, as one whose tokens are the frames themselves."""

    def __init__(self, model: nn.Module, *, embeddings: bool) -> None:
        super().__init__()
        self.model = model
        self.embeddings = embeddings

    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: [N, 3, H, W]; returns them."""
        return frames

    def classify_frames(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, 3, H, W]. Returns logits [B, K]; with `embeddings` float32 [B, K + D],
        the input of the head behind them, averaged where the head scores several places."""
        clips = tokens.transpose(1, 2).contiguous()
        if not self.embeddings:
            logits: Tensor = self.model(clips)
            return logits
        head, found = self.model.head, list[Tensor]()
        assert isinstance(head, nn.Linear)
        hook = head.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
        try:
            logits = self.model(clips)
        finally:
            hook.remove()
        vectors = found[0].mean(1) if found[0].ndim == 3 else found[0]
        return torch.cat([logits.float(), vectors.float()], dim=1)
