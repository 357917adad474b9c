"""The events of a run over a video, and the timeline of the windows scored so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.timeline import Decoding, Timeline
from vidattn.timeline.segments import covered_spans, subtract_spans
from vidattn.timeline.values import INTERRUPTED
from vidattn.types import ModelInfo, Settings, VideoInfo, Window
from vidattn.video import UnreadableSpan, VideoDetails

if TYPE_CHECKING:
    from vidattn.inference.shot_detection import ShotDetector
    from vidattn.models.classifier import Classifier

Scores = NDArray[np.float32]

PAUSE_FRAMES = 5
"""A frame that is shown for more than so many usual ones is a pause."""


@dataclass(frozen=True)
class Started:
    """The file is open and the work is planned."""

    source: str
    task: Literal["segment", "classify"]
    facts: VideoDetails
    times: NDArray[np.float64]
    """PTS seconds of every frame."""
    windows: tuple[Window, ...]
    """The span that each score stands for."""
    seen: tuple[tuple[Window, ...], ...]
    """The spans of the file that were sampled for the score of each window."""
    settings: Settings
    notes: tuple[str, ...]
    """Remarks on how the request was understood, one sentence each."""
    warnings: tuple[str, ...] = ()
    """What was not done as asked, one sentence each."""
    unreadable: Sequence[UnreadableSpan] = ()
    """Spans that do not decode; grows during the run."""
    precision_check: Mapping[str, Any] = field(default_factory=dict)
    """The result of the precision check, for the `model` of a timeline."""
    shots: ShotDetector | None = None
    """Finds shot cuts during the run."""


@dataclass(frozen=True)
class Scored:
    """One window is done. `scores`: probabilities [K], or None where too little could be read."""

    index: int
    """Its place in `Started.windows`."""
    window: Window
    scores: Scores | None
    reused: bool = False
    """Whether the scores are those of an earlier window with the same picture."""
    embedding: Scores | None = None
    """Float32 [D], if asked for."""


@dataclass(frozen=True)
class Finished:
    """The last event."""

    timeline: Timeline
    embeddings: Scores | None = None
    """Of the windows of the timeline, float32 [N, D], if asked for."""
    failure: VideoError | None = None
    """What ended the decoder, where the timeline has only the windows scored until then."""


Event = Started | Scored | Finished


def collect(
    started: Started,
    done: Sequence[Scored],
    classifier: Classifier,
    decoding: Decoding = Decoding(),
    *,
    run: dict[str, float] | None = None,
    failure: VideoError | None = None,
) -> Timeline:
    """A timeline of the windows scored so far; missing spans are listed as unreadable.

    failure: why the other windows are still to come; None where the run was interrupted.

    Raises VideoError E_DECODE when no window has scores.
    """
    scored = [event for event in done if event.scores is not None]
    scored.sort(key=lambda event: event.window)
    if not scored:
        raise VideoError(
            f"{started.source}: too few frames decode to say anything",
            code="E_DECODE",
            hint="the file is damaged; try a part of it with --start and --end",
        )
    covered = [event.window for event in scored]
    lost = [(u.window, u.code) for u in started.unreadable]
    known = [*covered, *(window for window, _ in lost)]
    reason, notes = (INTERRUPTED, ()) if failure is None else (failure.code, (failure.message,))
    lost += _unscored(started.windows, done, known, reason)
    seen = tuple(window for event in scored for window in started.seen[event.index])
    facts = started.facts
    reused = sum(event.reused for event in done)
    shots = None if decoding.snap else started.shots  # snapping finds cuts in all frames
    return Timeline(
        source=started.source,
        labels=classifier.labels,
        windows=tuple(covered),
        scores=np.stack([event.scores for event in scored if event.scores is not None]),
        task=started.task,
        duration=facts.duration,
        input=describe_input(facts),
        model=replace(describe_model(classifier), extra=started.precision_check),
        settings=started.settings,
        decoding=decoding,
        warnings=classifier.warnings + facts.warnings + started.warnings + started.notes + notes,
        unreadable=tuple(sorted(lost)),
        seen=None if seen == tuple(covered) else seen,
        pauses=_pauses(started),
        reused=None if started.settings.skip_static is None else reused,
        cuts=None if shots is None else shots.cuts(),
        run={"version": version("vidattn"), **(run or {})},
        frame_times=started.times,
    )


def _pauses(started: Started) -> tuple[Window, ...]:
    """The spans, longer than a window and than usual, between two frames that were read."""
    gaps = np.diff(started.times)
    if not len(gaps):
        return ()
    usual = float(np.median(gaps))
    least = max(PAUSE_FRAMES * usual, started.settings.window_seconds or 1.0)
    places = np.flatnonzero(gaps > least)
    edges = zip(started.times[places] + usual, started.times[places + 1], strict=True)
    spans = [Window(float(start), float(stop)) for start, stop in edges]
    lost = [unreadable.window for unreadable in started.unreadable]
    return tuple(span for own in subtract_spans(spans, lost) for span in own)


def stack_embeddings(done: Sequence[Scored]) -> Scores | None:
    """The embeddings [N, D] of the windows that `collect` puts into a timeline, in its order."""
    scored = sorted((event for event in done if event.scores is not None), key=lambda e: e.window)
    rows = [event.embedding for event in scored if event.embedding is not None]
    return np.stack(rows) if rows else None


def describe_input(details: VideoInfo) -> VideoInfo:
    """The facts about a video that a timeline holds."""
    return VideoInfo(**{f.name: getattr(details, f.name) for f in fields(VideoInfo)})


def describe_model(classifier: Classifier) -> ModelInfo:
    """The facts about a model that a timeline holds."""
    card, clip = classifier.card, classifier.clip
    return ModelInfo(
        name=card.name,
        sha256=card.sha256,
        license=card.license,
        frames=clip.frames,
        step_seconds=round(clip.step_seconds, 6),
        temperature=None if classifier.temperature == 1 else classifier.temperature,
        activation=None if classifier.activation == "softmax" else classifier.activation,
        thresholds=dict(zip(classifier.labels, classifier.thresholds, strict=True))
        if classifier.thresholds
        else None,
    )


def _unscored(
    windows: Sequence[Window], done: Sequence[Scored], known: Sequence[Window], reason: str
) -> Iterator[tuple[Window, str]]:
    """The spans outside of `known` that have no scores, and the reason codes."""
    known, failed = list(known), [event.window for event in done if event.scores is None]
    for missing, code in ((failed, "E_DECODE"), (windows[len(done) :], reason)):
        rests = [span for own in subtract_spans(covered_spans(missing), known) for span in own]
        yield from ((span, code) for span in rests)
        known += rests
