"""What the main segments of a timeline rest on, for its report."""

from __future__ import annotations

from collections.abc import Iterator

from vidattn.errors import VideoError
from vidattn.inference.explain import ExplainTarget, explanations, span_of
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.timeline import Timeline
from vidattn.timeline.explanation import Explanation
from vidattn.timeline.segments import Segment
from vidattn.video import Opening, open_video

MOST = 6
"""Segments that are explained: the longest, so that the page stays small."""


def highlights(
    timeline: Timeline,
    classifier: Classifier,
    runtime: Runtime = Runtime(),
    opening: Opening = open_video,
) -> Iterator[Explanation]:
    """An explanation for each of the longest segments, in the order of time.

    Each is about the label of its segment, in the window within it that is surest of that. Windows
    that cannot be read any more are left out; so are all, when the film is gone.
    """
    frames = timeline.settings.frames
    for segment in _longest(timeline):
        question = _surest(timeline, segment)
        try:
            yield from explanations(
                timeline.source,
                classifier,
                [question],
                frames=frames,
                runtime=runtime,
                opening=opening,
            )
        except VideoError:
            continue


def _longest(timeline: Timeline) -> list[Segment]:
    real = [s for s in timeline.segments if s.label_id is not None]
    longest = sorted(real, key=lambda s: -s.window.duration)[:MOST]
    return sorted(longest, key=lambda s: s.window.start)


def _surest(timeline: Timeline, segment: Segment) -> ExplainTarget:
    """The window with the middle inside a segment, or else nearest to it, surest of its label."""
    assert segment.label_id is not None
    span, middle = segment.window, segment.window.centre
    centres = [window.centre for window in timeline.windows]
    inside = [i for i, centre in enumerate(centres) if span.start <= centre < span.stop]
    inside = inside or [min(range(len(centres)), key=lambda i: abs(centres[i] - middle))]
    best = max(inside, key=lambda i: timeline.scores[i, segment.label_id])
    seen = timeline.seen if timeline.seen is not None else timeline.windows
    window = seen[best] if len(seen) == len(centres) else timeline.windows[best]
    return ExplainTarget(window, segment.label_id, span_of(timeline))
