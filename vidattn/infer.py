"""From a video and a classifier to a timeline: windows over a long file, or one answer for it.

`stream` yields events while it works and prints nothing; `segment` and `classify` return the
timeline. Memory is set by the window, not by the length of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidattn import __version__, plan
from vidattn.clock import Clock
from vidattn.config import ClipConfig, ViewConfig
from vidattn.data.views import readable_end, view_clips
from vidattn.device import Runtime, inference
from vidattn.errors import MemoryLimitError, VideoError
from vidattn.models.classifier import Classifier
from vidattn.models.folded import multiplies_bf16
from vidattn.segments import islands, without
from vidattn.timeline import Decoding, Timeline
from vidattn.types import Window
from vidattn.video import Facts, Unreadable, Video, open_video

T = TypeVar("T")
Frames = NDArray[np.uint8]
Scores = NDArray[np.float32]
Source = str | os.PathLike[str] | Video


@dataclass(frozen=True)
class Started:
    """The file is open and the work is planned."""

    source: str
    task: Literal["segment", "classify"]
    facts: Facts
    times: NDArray[np.float64]
    """PTS seconds of every frame."""
    windows: tuple[Window, ...]
    """What each score stands for."""
    seen: tuple[tuple[Window, ...], ...]
    """The stretches of the file that the score of each window rests on."""
    settings: dict[str, Any]
    notes: tuple[str, ...]
    """What the user should know about how their request was read, one sentence each."""


@dataclass(frozen=True)
class Scored:
    """One window is done. `scores`: probabilities [K], or None where too little could be read."""

    index: int
    window: Window
    scores: Scores | None


@dataclass(frozen=True)
class Finished:
    """The last event."""

    timeline: Timeline


Event = Started | Scored | Finished


def stream(
    source: Source,
    classifier: Classifier,
    *,
    frames: int | None = None,
    window: float | None = None,
    stride: float | None = None,
    overlap: float = 0.0,
    start: float = 0.0,
    end: float | None = None,
    decoding: Decoding = Decoding(),
    runtime: Runtime = Runtime(),
) -> Iterator[Event]:
    """Slide a window over a file and score each position: Started, Scored per window, Finished.

    frames: clip length, the classifier's own by default. window: seconds of one window, by default
    frames x the step the classifier was trained with. stride: seconds between windows, by default
    window x (1 - overlap). The last window is moved back to end with the file, so nothing is left
    out. start, end: seconds, to look at a part of the file only.

    Raises VideoError when the file cannot be read and UsageError when the numbers make no sense.
    Stopping early is fine: `collect` makes a valid timeline of the events so far.
    """
    clock = Clock()
    scorer = Scorer(classifier, runtime)
    with _opened(source, classifier.clip, runtime) as video:
        region = plan.region_of(video.path, readable_end(video), start, end)
        planned = plan.plan_windows(
            video.times,
            region,
            classifier.clip,
            frames=frames,
            window=window,
            stride=stride,
            overlap=overlap,
        )
        seen = tuple((window,) for window in planned.seen)
        started = _started(video, "segment", planned.windows, seen, planned, scorer)
        yield started
        done: list[Scored] = []
        # One table for all scores: small arrays that outlive large ones would fragment the heap.
        table = np.empty((len(planned.windows), len(classifier.labels)), np.float32)
        clips = clock.timed("decode_s", view_clips(video, planned.views, classifier.clip))
        for batch in _chunks(enumerate(clips), runtime.batch_size):
            with clock("model_s"):
                logits = iter(scorer([clip for _, clip in batch if clip is not None]))
            for i, clip in batch:
                if clip is not None:
                    table[i] = _probabilities(classifier, [next(logits)])
                done.append(Scored(i, planned.windows[i], None if clip is None else table[i]))
                yield done[-1]
        yield Finished(
            collect(started, done, classifier, decoding, video.unreadable, run=clock.report())
        )


def segment(
    source: Source,
    classifier: Classifier,
    *,
    frames: int | None = None,
    window: float | None = None,
    stride: float | None = None,
    overlap: float = 0.0,
    start: float = 0.0,
    end: float | None = None,
    decoding: Decoding = Decoding(),
    runtime: Runtime = Runtime(),
) -> Timeline:
    """The timeline of a file: what happens, from when to when. Arguments and errors as `stream`."""
    *_, last = stream(
        source,
        classifier,
        frames=frames,
        window=window,
        stride=stride,
        overlap=overlap,
        start=start,
        end=end,
        decoding=decoding,
        runtime=runtime,
    )
    assert isinstance(last, Finished)
    return last.timeline


def classify(
    source: Source,
    classifier: Classifier,
    *,
    frames: int | None = None,
    sampling: plan.Sampling = "auto",
    views: ViewConfig | None = None,
    start: float = 0.0,
    end: float | None = None,
    runtime: Runtime = Runtime(),
) -> Timeline:
    """One answer for a whole file: a timeline with a single window.

    sampling: "uniform" spreads the frames of each clip over the whole file; "dense" keeps the step
    the classifier was trained with, in clips spread evenly over the file; "auto" is what the
    weights ask for (`ClipConfig.sampling`). frames: how many are looked at. A uniform clip has just
    as many, and the time embedding is stretched to it; dense clips keep the trained length, and
    more frames mean more clips. views: spatial crops x temporal clips.

    Raises VideoError when the file cannot be read, or no view of it can.
    """
    clock = Clock()
    scorer = Scorer(classifier, runtime)
    with _opened(source, classifier.clip, runtime) as video:
        region = plan.region_of(video.path, readable_end(video), start, end)
        planned = plan.plan_views(
            video.times, region, classifier.clip, frames=frames, mode=sampling, views=views
        )
        started = _started(video, "classify", (region,), (planned.seen,), planned, scorer)
        logits: list[Tensor] = []
        clips = clock.timed("decode_s", view_clips(video, planned.views, classifier.clip))
        for batch in _chunks((clip for clip in clips if clip is not None), runtime.batch_size):
            with clock("model_s"):
                logits.extend(scorer(batch))
        scores = _probabilities(classifier, logits) if logits else None
        done = [Scored(0, region, scores)]
        return collect(
            started,
            done,
            classifier,
            unreadable=video.unreadable,
            run=clock.report(),
        )


def _started(
    video: Video,
    task: Literal["segment", "classify"],
    windows: tuple[Window, ...],
    seen: tuple[tuple[Window, ...], ...],
    planned: plan.WindowPlan | plan.ViewPlan,
    scorer: Scorer,
) -> Started:
    """The first event of either act."""
    settings = planned.settings | {"reader": video.reader, "precision": scorer.precision}
    return Started(
        video.path, task, video.facts, video.times, windows, seen, settings, planned.notes
    )


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


def collect(
    started: Started,
    done: Sequence[Scored],
    classifier: Classifier,
    decoding: Decoding = Decoding(),
    unreadable: Sequence[Unreadable] = (),
    *,
    run: dict[str, float] | None = None,
) -> Timeline:
    """A timeline of the windows scored so far; what is missing is named, not guessed."""
    scored = [event for event in done if event.scores is not None]
    if not scored:
        raise VideoError(
            f"{started.source}: too few frames decode to say anything",
            code="E_DECODE",
            hint="the file is damaged; try a part of it with --start and --end",
        )
    covered = [event.window for event in scored]
    lost = [(u.window, u.code) for u in unreadable]
    lost += _unscored(started.windows, done, [*covered, *(window for window, _ in lost)])
    seen = tuple(window for event in scored for window in started.seen[event.index])
    facts, clip = started.facts, classifier.clip
    return Timeline(
        source=started.source,
        labels=classifier.labels,
        windows=tuple(covered),
        scores=np.stack([event.scores for event in scored if event.scores is not None]),
        task=started.task,
        duration=facts.duration,
        input={
            "fps": [facts.fps.numerator, facts.fps.denominator],
            "vfr": facts.vfr,
            "width": facts.width,
            "height": facts.height,
            "rotation": facts.rotation,
            "codec": facts.codec,
            "frames": facts.frames,
        },
        model={
            "name": classifier.card.name,
            "sha256": classifier.card.sha256,
            "license": classifier.card.license,
            "frames": clip.frames,
            "step_seconds": round(clip.step_seconds, 6),
        },
        settings=started.settings,
        decoding=decoding,
        warnings=facts.warnings + started.notes,
        unreadable=tuple(sorted(lost)),
        seen=None if seen == tuple(covered) else seen,
        run={"version": __version__, **(run or {})},
        frame_times=started.times,
    )


def _unscored(
    windows: Sequence[Window], done: Sequence[Scored], known: Sequence[Window]
) -> Iterator[tuple[Window, str]]:
    """What the windows without scores leave dark beyond `known`, and why."""
    known, failed = list(known), [event.window for event in done if event.scores is None]
    for dark, code in ((failed, "E_DECODE"), (windows[len(done) :], "E_INTERRUPTED")):
        parts = [part for parts in without(islands(dark), known) for part in parts]
        yield from ((part, code) for part in parts)
        known += parts


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory; on a CPU it says so in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _probabilities(classifier: Classifier, logits: Sequence[Tensor]) -> Scores:
    scores: Scores = classifier.scores(torch.stack(list(logits))).numpy()
    return scores


def _opened(source: Source, clip: ClipConfig, runtime: Runtime) -> AbstractContextManager[Video]:
    """A path is opened, and closed afterwards; a video stays open for its owner."""
    if isinstance(source, str | os.PathLike):
        return open_video(source, reader=runtime.reader, short_side=clip.short_side)
    return nullcontext(source)


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
