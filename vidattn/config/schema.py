"""Settings of a clip and a training run: frozen values, exchanged as JSON.

Every class is plain data that checks its own values, so a recipe can be read, compared, saved
beside a run and stored in the header of a weights file.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from vidattn.config.models import ModelConfig, TemporalConfig, TimeSformerConfig
from vidattn.config.serialization import MAX_COUNT, check_fields, require
from vidattn.errors import RecipeError, UsageError
from vidattn.types import Framing, named_areas

Averaging = Literal["logit", "probability"]
Activation = Literal["softmax", "sigmoid"]
"""From logits to scores: one of the labels, or any of them at once."""

MAX_FRAMES = 100_000
MAX_STEP = 3600.0  # seconds
MAX_SIDE = 1 << 14  # pixels
RANDAUGMENT = re.compile(r"rand(-(m\d+|n\d+|p[01]?(\.\d+)?|mstd\d+(\.\d+)?|mmax\d+|inc[01]))*")
"""timm's notation, without its text options: they could name operations that differ by frame."""


@dataclass(frozen=True)
class ClipConfig:
    """Sampling and preprocessing of frames to a clip, as a model was trained."""

    frames: int = 8
    step_seconds: float = 32 / 30
    """Seconds between neighboring frames of a clip; 8x32 at 30 fps is 32/30. 0 in a recipe: chosen
    by training from the durations of the clips."""
    short_side: int = 224
    """Pixels of the shorter side before cropping, at test time."""
    crop: int = 224
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    channels: Literal["rgb", "bgr"] = "rgb"
    sampling: Literal["uniform", "dense"] = "uniform"
    """Default of `classify`: frames spread over the whole file, or, where tempo matters, in clips
    that keep `step_seconds`."""
    train_sampling: Literal["dense", "bins"] = "dense"
    """Clips of trimmed videos: `step_seconds` between frames, or one frame of each of `frames`
    equal bins. Training draws start or frames at random; `eval` centers them."""

    area: str = ""
    """Where in the picture the model looks: "X,Y,W,H" in pixels or percent, a file of boxes to
    follow, or areas "NAME=X,Y,W,H;NAME=X,Y,W,H" one by one; empty: everywhere."""
    mask: str = ""
    """Areas that are black to the model, separated by semicolons."""

    def __post_init__(self) -> None:
        step, side = self.step_seconds, self.short_side
        rules = {
            "frames": (0 < self.frames <= MAX_FRAMES, f"> 0 and at most {MAX_FRAMES}"),
            "step_seconds": (0 <= step <= MAX_STEP, f"from 0 to {MAX_STEP:g}"),
            "short_side": (0 < side <= MAX_SIDE, f"> 0 and at most {MAX_SIDE}"),
            "crop": (self.crop > 0, "> 0"),
            "mean": (all(map(math.isfinite, self.mean)), "finite"),
            "std": (all(0 < s < math.inf for s in self.std), "> 0 and finite"),
        }
        require("clip.", self, rules)
        if self.crop > self.short_side:
            raise RecipeError(f"clip.crop {self.crop} exceeds clip.short_side {self.short_side}")
        try:
            Framing.parse("" if self.rois else self.area, self.mask)
        except ValueError as error:
            raise RecipeError(f"clip.area or clip.mask: {error}") from None

    @property
    def rois(self) -> dict[str, str]:
        """The areas of `area` by name, where it has several."""
        return named_areas(self.area)

    @property
    def framing(self) -> Framing | None:
        """`area` and `mask`; None for the whole picture. Raises UsageError for several areas."""
        if self.rois:
            raise UsageError(
                f"the model looks at the areas {', '.join(self.rois)} one by one",
                hint="`vidattn segment` and `vidattn classify` do so; `vidattn explain "
                "--crop X,Y,W,H` names one, in Python classifier.look_at('X,Y,W,H')",
            )
        return Framing.parse(self.area, self.mask)

    @property
    def boxes(self) -> str:
        """The file of boxes that `area` names; empty for none."""
        framing = None if self.rois else self.framing
        return framing.boxes if framing else ""

    def framing_of(self, roi: str) -> Framing | None:
        """`framing`; for several areas, that of the one with a name."""
        return Framing.parse(self.rois[roi], self.mask) if self.rois else self.framing

    @property
    def span_seconds(self) -> float:
        """Seconds of video in one clip: each frame covers one step."""
        return self.frames * self.step_seconds


@dataclass(frozen=True)
class OptimConfig:
    """Optimizer and schedule."""

    kind: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.005
    """Peak learning rate at `batch_size`."""
    batch_size: int = 64
    epochs: int = 15
    weight_decay: float = 1e-4
    momentum: float = 0.9
    """Of `sgd`, with Nesterov's correction when above 0."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Of `adamw`: decay of the running means of the gradient and of its square."""
    eps: float = 1e-8
    """Of `adamw`: added to the root of the mean square."""
    schedule: Literal["steps", "cosine"] = "steps"
    milestones: tuple[int, ...] = (11, 14)
    """Epochs at which `steps` divides the learning rate by 10."""
    warmup_epochs: float = 0.0
    clip_norm: float = 0.0
    """Largest gradient norm; 0: no clipping."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    balance: bool = False
    """Whether samples of rare classes weigh more in the loss, so that all classes weigh the same as
    far as `class_weights` can: those are set from the training samples, and at most 10."""
    class_weights: tuple[float, ...] = ()
    """Of the loss of each class; empty: 1."""
    activation_checkpointing: bool = False
    """Recompute blocks in the backward pass: a third more time, and memory for long clips."""
    flow_weight: float = 0.0
    """Weight of the auxiliary loss on the motion of every patch, where the dataset knows it."""
    accumulate: int = 1
    """Micro-batches of an optimizer step: the memory of a smaller batch, the same gradient."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of matrix products; parameters and optimizer stay in fp32."""
    layer_decay: float = 1.0
    """Learning rate of each block relative to the block above it; 1: the same for all."""
    ema: float = 0.0
    """Decay per step of the running mean of the weights, which is then evaluated and saved (0.9999
    is usual); 0: none."""
    mixup: float = 0.0
    """Alpha of mixup (arXiv:1710.09412): clips are blended in pairs, share ~ Beta(alpha, alpha)."""
    cutmix: float = 0.0
    """Alpha of CutMix (arXiv:1905.04899): one box of a clip shows another, in all its frames. With
    `mixup` too, each batch gets one of them, with even odds."""
    evaluate_every: int = 1
    """Epochs between evaluations on the validation clips; the last one is always evaluated."""
    trainable: Literal["full", "head", "temporal"] = "full"
    """Trainable parameters: all, the head, or the temporal layers and the head."""

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.milestones))
        mixes = self.mixup > 0 or self.cutmix > 0
        rules = {
            "lr": (0 < self.lr < math.inf, "> 0 and finite"),
            "batch_size": (1 <= self.batch_size <= MAX_COUNT, f"from 1 to {MAX_COUNT}"),
            "epochs": (1 <= self.epochs <= MAX_COUNT, f"from 1 to {MAX_COUNT}"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "0 or more, and finite"),
            "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
            "betas": (all(0 <= b < 1 for b in self.betas), "in [0, 1)"),
            "eps": (0 < self.eps < math.inf, "> 0 and finite"),
            "milestones": (rising and min(self.milestones, default=0) >= 0, "rising, from 0 on"),
            "warmup_epochs": (0 <= self.warmup_epochs < math.inf, "0 or more, and finite"),
            "clip_norm": (0 <= self.clip_norm < math.inf, "0 or more, and finite"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "in [0, 1)"),
            "class_weights": (all(0 < w < math.inf for w in self.class_weights), "> 0 and finite"),
            "flow_weight": (
                0 <= self.flow_weight < math.inf and not (self.flow_weight and mixes),
                "0 or more, and finite; 0 with optim.mixup or optim.cutmix",
            ),
            "accumulate": (1 <= self.accumulate <= self.batch_size, "from 1 to optim.batch_size"),
            "layer_decay": (0 < self.layer_decay <= 1, "> 0 and at most 1"),
            "ema": (0 <= self.ema < 1, "in [0, 1)"),
            "evaluate_every": (1 <= self.evaluate_every <= MAX_COUNT, f"from 1 to {MAX_COUNT}"),
            "mixup": (0 <= self.mixup <= 100, "from 0 to 100"),
            "cutmix": (0 <= self.cutmix <= 100, "from 0 to 100"),
        }
        require("optim.", self, rules)


@dataclass(frozen=True)
class DataConfig:
    """A dataset, and the sampling and augmentation of its clips."""

    dataset: str = "k400"
    """A known name or the path of a folder."""
    clips_per_epoch: int = 0
    """Training clips per epoch of a procedural dataset. Of a finite one the least number, which
    small datasets reach in several passes; 0: one pass."""
    val_clips: int = 2000
    """Validation clips of a procedural dataset."""
    textures: str = ""
    """Folder of images or videos for the textures of a procedural dataset; empty: drawn ones."""
    workers: int = 0
    """Processes that make clips; 0: the training process itself."""
    cache_mb: int = 0
    """MB of decoded short videos that each of these processes may cache, for small datasets; 0:
    every epoch decodes again."""
    flip: bool = True
    """Mirror every second training clip; not where left and right are classes."""
    short_side_range: tuple[int, int] = (0, 0)
    """Range of the short side in training, in pixels; (0, 0): 8/7 to 10/7 of clip.crop."""
    short_side_sampling: Literal["uniform", "inverse"] = "uniform"
    """Distribution of the short side or of its inverse, which prefers small ones."""
    randaugment: str = ""
    """RandAugment of training clips (arXiv:1909.13719) in timm's notation, such as
    "rand-m9-n2-mstd0.5"; the same for all frames of a clip. Empty: none."""
    max_unreadable: float = 0.01
    """Share of training videos that may fail to decode before a run stops; nine always may."""
    min_difficulty: float = 1.0
    """Difficulty at the start of a run on a procedural dataset, from 0 to 1 (full)."""
    curriculum: float = 0.0
    """Share of the run over which the difficulty rises to 1."""
    group_by: str = ""
    """What keeps samples of a dataset without splits together: a column, or a pattern in paths."""

    def __post_init__(self) -> None:
        least, most = self.short_side_range
        rules = {
            "clips_per_epoch": (0 <= self.clips_per_epoch < 2**40, "0 or more, and below 2^40"),
            "val_clips": (1 <= self.val_clips <= MAX_COUNT, f"from 1 to {MAX_COUNT}"),
            "workers": (0 <= self.workers <= 1024, "from 0 to 1024"),
            "cache_mb": (0 <= self.cache_mb <= MAX_COUNT, f"from 0 to {MAX_COUNT}"),
            "short_side_range": (
                0 <= least <= most <= MAX_SIDE,
                f"rising, from 0 to {MAX_SIDE}",
            ),
            "randaugment": (
                not self.randaugment or RANDAUGMENT.fullmatch(self.randaugment) is not None,
                'empty or timm\'s notation, such as "rand-m9-n2-mstd0.5"',
            ),
            "max_unreadable": (0 <= self.max_unreadable <= 1, "from 0 to 1"),
            "min_difficulty": (0 <= self.min_difficulty <= 1, "from 0 to 1"),
            "curriculum": (0 <= self.curriculum <= 1, "from 0 to 1"),
        }
        require("data.", self, rules)


@dataclass(frozen=True)
class ViewConfig:
    """Test-time views: `spatial` crops of `clips` temporal clips."""

    spatial: int = 3
    clips: int = 1

    def __post_init__(self) -> None:
        check_fields(self)
        if self.spatial not in (1, 3) or self.clips < 1:
            swapped = self.clips in (1, 3) and self.spatial > 0
            hint = f"did you mean {self.clips}x{self.spatial}?" if swapped else None
            raise RecipeError(
                f"views {self.spatial}x{self.clips}: spatial crops are 1 or 3, clips at least 1",
                hint=hint,
            )


@dataclass(frozen=True)
class Expected:
    """Scores of a recipe with its views, in percent of the validation videos."""

    top1: float
    """As published; as measured for our own recipes."""
    top5: float | None = None
    zoo_top1: float | None = None
    """Of the weights that the authors published, from another run."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 <= value <= 100:
                raise RecipeError(f"expect.{name} must be from 0 to 100, got {value}")


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run but paths and devices."""

    name: str
    model: ModelConfig = field(default_factory=TimeSformerConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    """Default views of `eval` with the trained model."""
    averaging: Averaging = "logit"
    activation: Activation = "softmax"
    """sigmoid: several labels may hold at once, as set where a dataset says so."""
    init_scheme: Literal["paper", "scratch"] = "paper"
    """Initial values: those of the paper, for image weights, or for training from nothing."""
    init: str = ""
    """Default of `--init`: weights to start from; empty: none."""
    seed: int = 0
    source: str = ""
    """Origin of the values: a table of a paper, an official configuration file, or ours."""
    expect: Expected | None = None
    """The known score on its own dataset."""
    temporal_head: TemporalConfig | None = None
    """The head to train on embeddings of videos, instead of `model`."""

    def __post_init__(self) -> None:
        require("", self, {"seed": (0 <= self.seed < 2**63, "from 0 to 2^63 - 1")})
        optim = self.optim
        if self.temporal_head and self.activation == "sigmoid":
            raise RecipeError("a temporal head learns one label for each video, not several")
        if self.temporal_head and (optim.mixup or optim.cutmix or optim.flow_weight or self.init):
            raise RecipeError(
                "a temporal head has no frames to mix: optim.mixup, optim.cutmix and "
                "optim.flow_weight must be 0, and init empty"
            )
