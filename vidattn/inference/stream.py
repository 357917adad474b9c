"""From a video and a classifier to a timeline: windows over a long file, or one window for it all.

`stream` yields events while it works and prints nothing; `segment` and `classify` return the
timeline. Memory is set by the window, not by the length of the file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from typing import TypeVar, Unpack

import numpy as np
import torch
from torch import Tensor

from vidattn.config import ClipConfig, ViewConfig
from vidattn.config.serialization import check_value
from vidattn.data import plan
from vidattn.data.frames import file_start, oldest_needed, readable_end
from vidattn.data.plan import Windowing
from vidattn.data.sampling import as_views
from vidattn.errors import TRANSIENT, UsageError, VideoError
from vidattn.inference.arguments import (
    Keywords,
    Model,
    RegionKeywords,
    apply_keywords,
    find_classifier,
)
from vidattn.inference.events import (
    Event,
    Finished,
    Scored,
    Scores,
    Started,
    collect,
    stack_embeddings,
)
from vidattn.inference.precision_check import (
    PrecisionCheck,
    check_windows,
    find_or_check,
    needs_check,
)
from vidattn.inference.profiling import Stopwatch
from vidattn.inference.resume import identity, resume_from
from vidattn.inference.score_log import ScoreLog, ScoreRecord
from vidattn.inference.scorer import Scorer
from vidattn.inference.shot_detection import ShotDetector
from vidattn.inference.window_scoring import WindowScorer, cached_features, resolve_overlap
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.timeline import Decoding, Timeline
from vidattn.timeline.pooling import Pool
from vidattn.types import View, Window
from vidattn.video import Opening, Video, open_video
from vidattn.video.boxes import warn_of_whole
from vidattn.video.framing import framed
from vidattn.video.process.open_file import printable_path

__all__ = ["Event", "Finished", "Scored", "Started", "classify", "collect", "segment", "stream"]

T = TypeVar("T")
Source = str | os.PathLike[str] | Video
SAME_STEP = 1e-3
"""Relative difference by which the steps of two plans are rounded."""


def stream(
    source: Source,
    classifier: Model = None,
    windowing: Windowing = Windowing(),
    *,
    decoding: Decoding = Decoding(),
    runtime: Runtime = Runtime(),
    log: ScoreLog | None = None,
    embeddings: bool = False,
    opening: Opening = open_video,
    **keywords: Unpack[Keywords],
) -> Generator[Event, None, None]:
    """Slide a window over a video and score each position: Started, Scored per window, Finished.

    classifier: one, or what `vidattn.load` takes, such as "motion-tiny"; None: the default model.
    windowing: length and spacing of the windows, region of the video. keywords: fields of the three
    settings, such as stride=, threshold= and device=. The last window ends with the video. log:
    saves the scores as they come, and resumes a run that was killed; begun after Started.
    embeddings: whether to return that of each window, too. opening: opens the video; a
    `vidattn.video.Prefetcher` makes many short ones go faster.

    Raises VideoError when the file cannot be read, or is not the same at the end (E_CHANGED), and
    UsageError for impossible numbers. Where the decoder ends before the video does, the windows
    scored until then are the timeline, the rest is unreadable, and Finished has the error.
    `collect` makes a valid timeline of the events so far.
    """
    windowing, decoding, runtime = apply_keywords(keywords, windowing, decoding, runtime)
    classifier = find_classifier(classifier, windowing.frames)
    clock, classes = Stopwatch(), len(classifier.labels)
    scorer = Scorer(classifier, runtime, embeddings=embeddings)
    with _opened(source, classifier.clip, runtime, opening) as video:
        planned = _planned(video, classifier, windowing)
        seen = tuple((window,) for window in planned.seen)
        scorer, check = _check(source, planned, classifier, scorer, runtime, opening)
        shots = ShotDetector(video.times, planned.views)
        started = _started(video, classifier, planned.windows, seen, planned, scorer, check)
        yield (started := replace(started, shots=shots))
        skip, views = windowing.skip_static, dict(zip(planned.windows, planned.views, strict=True))
        size = scorer.batch_size(max(len(view.indices) for view in planned.views))
        known = {}
        if log is not None:
            numbers = classes + scorer.width + len(shots.changes(planned.views[0]))
            known = log.begin(identity(started, classifier, scorer, size), numbers)
        _restore_shots(shots, known.values(), planned.views, classes + scorer.width)
        resumed, done = resume_from(known, views, skip, size, classes, scorer.width)
        yield from done
        unreadable, failures = len(video.unreadable), list[VideoError]()
        pending = resumed.pending(planned.views, size)
        with cached_features(video, pending, classifier.clip, scorer, clock, shots) as cache:
            windows = WindowScorer(views, classifier, cache, skip, scorer.width)
            for event in _until_failure(windows.score(size, clock, resumed), done, failures):
                if log is not None and event.index not in known:
                    changed = shots.changes(planned.views[event.index])
                    log.add(_record(event, changed, len(video.unreadable) == unreadable))
                done.append(event)
                yield event
        video.check_unchanged()
        failure = failures[0] if failures else None
        timeline = collect(started, done, classifier, decoding, run=clock.report(), failure=failure)
        yield Finished(timeline, stack_embeddings(done), failure)


def _restore_shots(
    shots: ShotDetector, known: Iterable[ScoreRecord], views: Sequence[View], first: int
) -> None:
    """Restore the changes of the picture, which records hold from their value `first` on."""
    for record in known:
        if record.scores is not None:
            shots.restore(views[record.index], record.scores[first:])


def _until_failure(
    events: Iterator[Scored], done: Sequence[Scored], failures: list[VideoError]
) -> Iterator[Scored]:
    """Events until the decoder ends; its error goes to `failures` if some of `done` has scores."""
    try:
        yield from events
    except VideoError as error:
        if error.code not in TRANSIENT or all(event.scores is None for event in done):
            raise
        failures.append(error)


def _planned(video: Video, classifier: Classifier, windowing: Windowing) -> plan.WindowPlan:
    asked = resolve_overlap(windowing, classifier)
    region = _region(video, asked.start, asked.end)
    planned = plan.plan_windows(video.times, region, classifier.clip, asked, video.path)
    chosen = (asked.overlap or None) if windowing.overlap is None else None
    return replace(planned, settings=replace(planned.settings, chosen_overlap=chosen))


def _region(video: Video, start: float, end: float | None) -> Window:
    """The part of a video between two moments as players count them."""
    offset = file_start(video)
    before = end is not None and start < end <= offset
    if before:
        raise VideoError(
            f"{video.path}: has no frame before {offset:.2f} s",
            code="E_SHORT",
            hint="name a later part",
        )
    end = None if end is None else end - offset
    return plan.select_region(
        video.path, readable_end(video), start and max(start - offset, 0.0), end
    )


def _record(event: Scored, changes: Scores, whole: bool) -> ScoreRecord:
    """The record of a window in the log."""
    row = event.scores
    if row is not None:
        parts = [row, changes] if event.embedding is None else [row, event.embedding, changes]
        row = np.concatenate(parts)
    return ScoreRecord(event.index, row, whole, event.reused)


def segment(
    source: Source,
    classifier: Model = None,
    windowing: Windowing = Windowing(),
    *,
    decoding: Decoding = Decoding(),
    runtime: Runtime = Runtime(),
    opening: Opening = open_video,
    **keywords: Unpack[Keywords],
) -> Timeline:
    """The timeline of a video. Arguments and errors as of `stream`."""
    windowing, decoding, runtime = apply_keywords(keywords, windowing, decoding, runtime)
    classifier = find_classifier(classifier, windowing.frames)
    *_, last = stream(
        source, classifier, windowing, decoding=decoding, runtime=runtime, opening=opening
    )
    assert isinstance(last, Finished)
    return last.timeline


def classify(
    source: Source,
    classifier: Model = None,
    *,
    sampling: plan.Sampling = "auto",
    views: ViewConfig | str | None = None,
    pool: Pool | str | None = None,
    runtime: Runtime = Runtime(),
    opening: Opening = open_video,
    **keywords: Unpack[RegionKeywords],
) -> Timeline:
    """One prediction for a whole file: a timeline with a single window.

    sampling: "uniform" spreads the frames of each clip over the whole file; "dense" keeps the frame
    step of training, in clips spread evenly over the file; "auto" is what the weights ask for
    (`ClipConfig.sampling`). frames: number of frames. A uniform clip has that many, and the time
    embedding is stretched to it; dense clips keep the trained length, and more frames mean more
    clips. views: spatial crops x temporal clips, also as "3x1". pool: how to pool the probabilities
    of the views, also as "top5", instead of the averaging that the weights ask for. keywords:
    frames=, start= and end= (seconds, or text such as "1:30"), and fields of `Runtime`. classifier,
    opening: as of `stream`.

    Raises VideoError when the file cannot be read, or no view of it can, or it is not the same at
    the end.
    """
    asked, _, runtime = apply_keywords(keywords, Windowing(), Decoding(), runtime, RegionKeywords)
    sampling, views = check_value(plan.Sampling, sampling, "sampling"), as_views(views)
    if pool is not None and not isinstance(pool, Pool):
        pool = Pool.parse(check_value(str, pool, "pool"))
    classifier, clock = find_classifier(classifier, asked.frames), Stopwatch()
    scorer = Scorer(classifier, runtime)
    with _opened(source, classifier.clip, runtime, opening) as video:
        region = _region(video, asked.start, asked.end)
        given = (video.times, region, classifier.clip)
        planned = plan.plan_views(*given, frames=asked.frames, mode=sampling, views=views)
        scorer, check = _check(source, planned, classifier, scorer, runtime, opening)
        seen = (planned.seen,)
        started = _started(video, classifier, (region,), seen, planned, scorer, check)
        logits: list[Tensor] = []
        with cached_features(video, planned.views, classifier.clip, scorer, clock) as cache:
            pending = zip(planned.views, oldest_needed(planned.views), strict=True)
            for batch in _chunks(pending, scorer.batch_size(len(planned.views[0].indices))):
                cache.advance(batch[0][1], max(max(view.indices) for view, _ in batch))
                with clock("model_s"):
                    scored = cache([view for view, _ in batch])
                logits += [one for one in scored if one is not None]
        video.check_unchanged()
        if pool is not None:
            started = replace(started, settings=replace(started.settings, pool=str(pool)))
        scores = _probabilities(classifier, logits, pool) if logits else None
        done = [Scored(0, region, scores)]
        return collect(started, done, classifier, run=clock.report())


def _started(
    video: Video,
    classifier: Classifier,
    windows: tuple[Window, ...],
    seen: tuple[tuple[Window, ...], ...],
    planned: plan.WindowPlan | plan.ViewPlan,
    scorer: Scorer,
    check: PrecisionCheck | None,
) -> Started:
    """The first event of `stream`, and the one behind `classify`."""
    warnings = warn_of_whole(classifier.clip.boxes, video.path)
    settings = replace(
        planned.settings,
        reader=video.reader,
        precision=scorer.precision,
        compiled=scorer.compiled or None,
        area=None if warnings else classifier.clip.area or None,
        mask=classifier.clip.mask or None,
    )
    notes = planned.notes
    if check is not None and (check.precision == "int8" or not check.passed):
        notes += (str(check) if check.passed else f"computed in float32: {check}",)
    return Started(
        video.path,
        "segment" if isinstance(planned, plan.WindowPlan) else "classify",
        video.details,
        video.times,
        windows,
        seen,
        settings,
        notes,
        warnings,
        video.unreadable,
        {} if check is None else check.to_dict(),
    )


def _check(
    source: Source,
    planned: plan.WindowPlan | plan.ViewPlan,
    classifier: Classifier,
    scorer: Scorer,
    runtime: Runtime,
    opening: Opening,
) -> tuple[Scorer, PrecisionCheck | None]:
    """A scorer that is precise enough, and the check; None where none is needed.

    Where `auto` chose too few bits, it computes in float32. A calibration for int8 counts for the
    frames and the step of its clips. Unless each token has a range of its own in it, the video is
    opened anew, so that frames that do not decode are reported in their place later.
    """
    if not needs_check(scorer, runtime):
        return scorer, None
    if scorer.precision == "int8":
        clip, asked = classifier.clip, planned.settings
        steps = asked.step_seconds or 0.0, clip.step_seconds or 0.0
        if asked.frames != clip.frames or not math.isclose(*steps, rel_tol=SAME_STEP):
            scorer = scorer.uncalibrated()
        elif scorer.calibration is not None and not scorer.calibration.ranges:
            return scorer, PrecisionCheck.of_calibration(scorer.calibration)
        with _opened(source, classifier.clip, runtime, opening) as video:
            return check_windows(video, planned.views, classifier, scorer, runtime)
    check = find_or_check(classifier, scorer, runtime)
    if check.passed:
        return scorer, check
    exact = replace(runtime, precision="fp32")
    return Scorer(classifier, exact, embeddings=scorer.width > 0), check


def _probabilities(
    classifier: Classifier, logits: Sequence[Tensor], pool: Pool | None = None
) -> Scores:
    views = torch.stack(list(logits))
    if pool is not None:
        return pool(classifier.scores(views[:, None]).numpy()).astype(np.float32)
    scores: Scores = classifier.scores(views).numpy()
    return scores


@contextmanager
def _opened(
    source: Source, clip: ClipConfig, runtime: Runtime, opening: Opening
) -> Iterator[Video]:
    """Open and close a path; leave a video open for its owner.

    An error about scores that are not finite gets the path of the video.
    """
    opened: AbstractContextManager[Video]
    if isinstance(source, str | os.PathLike):
        opened = opening(
            source, reader=runtime.reader, short_side=clip.short_side, framing=clip.framing
        )
    elif not hasattr(source, "details"):
        raise UsageError(f"neither the path of a video nor an open video: {source!r}")
    else:
        opened = nullcontext(framed(source, clip.framing, clip.short_side))
    with opened as video:
        try:
            yield video
        except VideoError as error:
            if error.code != "E_NONFINITE":
                raise
            named = f"{printable_path(video.path)}: {error.message}"
            raise VideoError(named, code=error.code, hint=error.hint) from None


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
