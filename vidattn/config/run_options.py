"""Options of runs: over many inputs, of a training, of teaching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidattn.config.schema import ViewConfig
from vidattn.config.serialization import check_fields
from vidattn.errors import UsageError

Strategy = Literal["ddp", "fsdp"]
EvalSampling = Literal["auto", "uniform", "dense", "official"]
LabelsAtOnce = Literal["auto", "one", "several"]


@dataclass(frozen=True)
class RunOptions:
    """How a training run is carried out, with the same outcome but for rounding.

    Raises UsageError for fsdp with `auto_micro_batch`.
    """

    strategy: Strategy = "ddp"
    """ddp: each process holds a copy of the model; fsdp: each process holds a shard of it."""
    auto_micro_batch: bool = False
    """Whether to find the largest micro-batch that fits into memory."""
    save_every: int = 0
    """Steps between checkpoints within an epoch; 0: one every ten minutes."""
    keep: int = 2
    """Number of checkpoints to keep."""
    timeout: float = 120.0
    """Seconds that processes wait for one another."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.strategy == "fsdp" and self.auto_micro_batch:
            raise UsageError(
                "--strategy fsdp cannot choose micro-batches by itself",
                hint="--set optim.accumulate=N splits batches into N",
            )


@dataclass(frozen=True)
class BatchOptions:
    """Which of many inputs a run works on."""

    skip_existing: bool = False
    """Skip inputs with a complete result or a permanent failure; resume unfinished ones."""
    retry_failed: bool = False
    """Skip only inputs with a complete result."""
    shard: str | None = None
    """ "I/N": one of N parts of the inputs, counted from 0."""
    watch: bool = False
    """Whether to go on with every video that comes into the folders."""
    settle: float = 10.0
    """Seconds without growth after which a watched file is complete."""
    start_time: str | None = None
    """When videos begin: an ISO time, "file", or a csv of path,start."""
    join: bool = False
    """Whether files with consecutive numbers are one recording."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.settle != BatchOptions.settle and not self.watch:
            raise UsageError("--settle has no effect without --watch")


@dataclass(frozen=True)
class EvalViews:
    """The frames of a video that its prediction in an evaluation is made of."""

    views: ViewConfig | None = None
    """None: those of the recipe that trained the model, or 3x1."""
    frames: int | None = None
    """Frames of a clip that is not dense; of dense ones those in all, which decide how many whole
    clips are seen, whatever `views` says."""
    sampling: EvalSampling = "auto"
    """As of `vidattn.classify`; "auto" is how the weights were trained
    (`ClipConfig.train_sampling`): dense clips, or frames spread over the video; "official" takes
    the frames that the official loaders take for such weights."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class TeachOptions:
    """How classes are taught."""

    window: float | None = None
    """Seconds of a window; None: chosen from the durations of the samples."""
    zoom: Literal["auto", "on", "off"] = "auto"
    """Whether the backbone sees the part of the frame that moves: auto tries both where that costs
    little."""
    flow: Literal["auto", "on", "off"] = "auto"
    """Whether heads see optical flow instead of what the backbone makes of a window: auto tries
    both."""
    labels_at_once: LabelsAtOnce = "auto"
    """Whether one label holds at a time, or several may; auto: as the samples have them."""
    balance: bool = False
    """Whether rare labels weigh more."""
    group_by: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
