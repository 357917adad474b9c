"""Options of classifications and segmentations of many videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vidattn.config import ViewConfig
from vidattn.config.serialization import check_fields
from vidattn.data.plan import Sampling
from vidattn.data.sampling import as_views
from vidattn.data.windowing import Windowing, read_times
from vidattn.errors import UsageError
from vidattn.io.files import sha256
from vidattn.models.device import Runtime
from vidattn.timeline.decoding import Decoding
from vidattn.timeline.pooling import Pool
from vidattn.timeline.several import EVEN_ODDS

if TYPE_CHECKING:
    from vidattn.inference.batch.job import BatchJob
    from vidattn.models.classifier import Classifier

HEAD = "head="
"""Prefix of a pool that names a head over windows."""


@dataclass(frozen=True)
class ClassifyOptions:
    """Options of a classification."""

    frames: int | None = None
    sampling: Sampling = "auto"
    views: ViewConfig | None = None
    pool: str | None = None
    """Pooling of the views: mean, max or topN; or "head=RUN", a trained head over windows."""
    blank: float | None = None
    """The loss at which videos are blank (`vidattn.inference.whole_video`); None: not asked."""
    start: float = 0.0
    end: float | None = None
    """Seconds; the region of the video that is covered."""
    runtime: Runtime = Runtime()
    rois: Mapping[str, str] = field(default_factory=dict)
    """Areas of each picture that get results of their own, "X,Y,W,H" by name."""

    def __post_init__(self) -> None:
        read_times(self, "start", "end")
        object.__setattr__(self, "views", as_views(self.views))
        check_fields(self)
        fixed = self.views or self.frames or self.sampling != "auto"
        if self.head and fixed:
            raise UsageError(
                f"--pool {HEAD}RUN samples videos as that head was trained",
                hint="leave out --views, --frames and --sampling",
            )
        if self.blank is not None and (fixed or self.pool):
            raise UsageError(
                "--blank looks at all windows of a video",
                hint="leave out --views, --frames, --sampling and --pool",
            )
        if self.pool is not None and self.head is None:
            Pool.parse(self.pool)

    @property
    def head(self) -> str | None:
        """The name of the head over windows that pools them."""
        named = self.pool is not None and self.pool.startswith(HEAD)
        return self.pool.removeprefix(HEAD) if self.pool and named else None


@dataclass(frozen=True)
class SegmentOptions:
    """Options of a segmentation, which can be sent to another machine."""

    windowing: Windowing = Windowing()
    decoding: Decoding = Decoding()
    runtime: Runtime = Runtime()
    cuts: tuple[float, ...] | None = None
    """Shot cuts in seconds, for a single video; None searches for them if decoding snaps."""
    resume: bool = False
    """Whether an interrupted run is resumed; inputs that are finished are not done again."""
    explain: bool = False
    """Whether reports explain the longest segments."""
    embeddings: bool = False
    """Whether the embedding of each window is saved."""
    auto_threshold: bool = False
    """Whether the threshold is that of the model, or EVEN_ODDS."""
    rois: Mapping[str, str] = field(default_factory=dict)
    """Areas of each picture that get timelines of their own, "X,Y,W,H" by name."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.cuts is not None and not self.decoding.snap:
            object.__setattr__(self, "decoding", replace(self.decoding, snap=True))

    def require_compatible(self, job: BatchJob) -> None:
        """Raise UsageError for options that make no sense with the inputs or files of a job."""
        formats, count = job.output.formats, len(job.names)
        if self.explain and "html" not in formats:
            raise UsageError("--explain is a part of the report: add -f html")
        if self.resume and not formats:
            raise UsageError("--resume resumes from files, and none are written: add -o DIR")
        if self.cuts is not None and count != 1:
            raise UsageError(
                f"--cuts is about one video, and there are {count}", hint="name one input"
            )

    def resolve(self, classifier: Classifier) -> SegmentOptions:
        """With the threshold of a model if that is asked for, or EVEN_ODDS if it has none. Raises
        UsageError for a model that cannot be explained."""
        from vidattn.inference.patch_shares import choose_method  # loads torch

        if self.explain:
            choose_method(classifier)
        if not self.auto_threshold:
            return self
        threshold = EVEN_ODDS if classifier.threshold is None else classifier.threshold
        if classifier.activation == "sigmoid" and classifier.threshold is None:
            threshold = 0.0  # each label has its own
        return replace(self, decoding=replace(self.decoding, threshold=threshold))

    def score_settings(self, classifier: Classifier) -> dict[str, Any]:
        """All that scores depend on, besides the model."""
        from vidattn.inference.window_scoring import resolve_overlap  # loads torch

        cuts = self.cuts and sha256(str(self.cuts), 16)
        return {
            **resolve_overlap(self.windowing, classifier).to_dict(),
            "reader": self.runtime.reader,
            "precision": self.runtime.requested_precision(),
            "cuts": cuts,
            **({"compiled": True} if self.runtime.compile else {}),
            **({"embeddings": True} if self.embeddings else {}),
        }
