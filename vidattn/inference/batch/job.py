"""What a batch run does: its options, its inputs, the files of each, and what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.config import ViewConfig
from vidattn.config.run_options import BatchOptions
from vidattn.config.serialization import check_fields
from vidattn.data.plan import Sampling, Windowing, read_times
from vidattn.data.sampling import as_views
from vidattn.errors import UsageError
from vidattn.inference.batch.inputs import VideoInput, name_results, parse_shard, select_shard
from vidattn.inference.batch.joining import join_recordings
from vidattn.inference.batch.output_files import OutputFiles
from vidattn.inference.batch.start_times import StartTimes
from vidattn.io.files import sha256
from vidattn.io.search import is_video
from vidattn.models.device import Runtime
from vidattn.timeline import Timeline
from vidattn.timeline.decoding import Decoding
from vidattn.timeline.pooling import Pool
from vidattn.timeline.several import EVEN_ODDS
from vidattn.timeline.shot_cuts import CutList

if TYPE_CHECKING:
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
    cuts: CutList | None = None
    """Shot cuts, for a single video; None searches for them if decoding snaps."""
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
        self.decoding.require_effect()
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


@dataclass(frozen=True)
class BatchJob:
    """The inputs of a batch run, and the ones that are left out."""

    paths: tuple[str, ...]
    names: Mapping[str, str]
    """As of `name_results`, for the inputs of all shards."""
    output: OutputFiles
    skip_existing: bool = False
    """Skip inputs with a complete result or a permanent failure."""
    retry_failed: bool = False
    """Skip only inputs with a complete result."""
    areas: tuple[str, ...] = ()
    """Names of several areas of each picture that get results of their own."""
    area: str = ""
    """The name of the only area that this job is about."""
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The files of recordings that were split, by the first, which is the input."""
    start_times: StartTimes | None = None
    """When the videos were recorded; None: nothing is added to results."""
    sources: tuple[str, ...] = ()
    """Folders and patterns that are watched for more inputs."""
    settle: float | None = None
    """Seconds without growth after which a watched file is complete; None: not to watch now."""
    notes: tuple[str, ...] = ()
    """Sentences for the user on what was joined."""

    def of_area(self, name: str) -> BatchJob:
        """The job of one of the areas; the job itself for an empty name."""
        names = {path: f"{own}.{name}" for path, own in self.names.items()}
        return replace(self, names=names, areas=(), area=name) if name else self

    def add_start_time(self, timeline: Timeline) -> Timeline:
        """The timeline with the time at which its video was recorded, if that is asked for."""
        return timeline if self.start_times is None else self.start_times.apply(timeline)

    @property
    def results(self) -> int:
        """The number of results."""
        return len(self.paths) * max(len(self.areas), 1)

    @classmethod
    def create(
        cls,
        inputs: Sequence[VideoInput],
        output: OutputFiles,
        options: BatchOptions = BatchOptions(),
        *,
        areas: Iterable[str] = (),
        sources: Iterable[str] = (),
    ) -> BatchJob:
        """The job for areas with these names. Raises UsageError for a shard that does not exist,
        and where no file could prove that a result is complete; DataError for a video with several
        start times."""
        shard, watch = options.shard, options.watch
        skip = options.skip_existing or options.retry_failed or watch
        if skip and "json" not in output.formats:
            raise UsageError(
                "complete results are recognized by their json files, and none are written",
                hint="add json to -f, or leave out --skip-existing and --retry-failed",
            )
        if shard is not None and output.tables and "json" not in output.formats:
            raise UsageError(
                "the tables of a shard take the results of the others from their json files",
                hint="add json to -f; or merge: vidattn timeline *.json --table FILE",
            )
        notes = list[str]()
        inputs, joined = join_recordings(inputs, notes.append) if options.join else (inputs, {})
        if joined and (output.has_videos or watch):
            name = "--watch" if watch else "-f mp4 and --excerpts"
            raise UsageError(f"{name} take single files, and --join makes one of several")
        mine = inputs if shard is None else select_shard(inputs, *parse_shard(shard))
        paths = tuple(one.path for one in mine)
        if watch and shard is not None:
            raise UsageError(
                "--watch and --shard exclude each other",
                hint="processes that watch the same folder share its videos",
            )
        starts = StartTimes.parse(options.start_time) if options.start_time else None
        if starts is not None and starts.time is not None and (watch or len(inputs) > 1):
            raise UsageError(
                "--start-time names one time, and there are several videos",
                hint="give file, for the times that files state, or a csv of path,start",
            )
        for path in paths:
            if starts is not None and is_video(Path(path).name):
                starts.find(path)  # an error comes before the work
        watching = (tuple(sources), options.settle) if watch else ((), None)
        names, skips = name_results(inputs), (skip, options.retry_failed)
        rest = (joined, starts, *watching, tuple(notes))
        return cls(paths, names, output, *skips, tuple(areas), "", *rest)

    @property
    def several(self) -> bool:
        """Whether there is more than one input, in all shards together."""
        return len(self.names) > 1 or len(self.areas) > 1 or bool(self.sources)

    @property
    def folder(self) -> Path:
        """The output folder."""
        return self.output.folder or Path()

    def place(self, path: str, extension: str) -> Path:
        """A file of an input."""
        return self.output.place(self.names[path], extension)

    def files(self, path: str) -> dict[str, Path]:
        """The text files of an input, by format."""
        return self.output.files(self.names[path])
