"""Explanations: a heatmap over the frames of a window, and the contribution of each frame.

`relevance`, the default, weights attention with its gradient, for one label; of a convolutional
network it is `gradcam`, the last feature maps with theirs. `rollout` follows attention alone.
`occlusion` covers one patch after another and measures the score: slow, for every model, and the
reference for the others. See `vidattn.models.attribution` and `vidattn.models.attribution`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidattn.config import ClipConfig
from vidattn.data import plan, transforms
from vidattn.data.frames import FrameBuffer, file_start, needed_frames, readable_end
from vidattn.data.plan import Windowing, as_seconds
from vidattn.errors import UsageError, VideoError
from vidattn.inference.arguments import Model, find_classifier
from vidattn.inference.events import describe_input, describe_model
from vidattn.inference.patch_shares import choose_method, patch_shares
from vidattn.inference.scorer import Scorer
from vidattn.inference.stream import segment
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.timeline import Timeline
from vidattn.timeline.explanation import Explanation, Method
from vidattn.timeline.segments import Segment
from vidattn.types import View, Window
from vidattn.video import Opening, Video, open_video

MOST_RUNS = 32
"""Most runs of frames that are left out in turn; in longer clips a run has several frames."""
MOST_SEGMENTS = 6
"""Segments that a report explains: the longest, so that the page stays small."""
FRAME_SIDE = 224
"""Pixels of the side of a frame for display."""

Source = str | os.PathLike[str]


@dataclass(frozen=True)
class ExplainTarget:
    """A window, and the label to explain there; None for the one with the highest score."""

    window: Window
    label_id: int | None = None
    span: float | None = None
    """Seconds over which the frames are spread, where a shorter video makes the window shorter and
    its last frame is repeated. None for the duration of the window."""


def explain(
    source: Source,
    classifier: Model = None,
    *,
    at: float | str | None = None,
    label: str | None = None,
    method: Method = "relevance",
    frames: int | None = None,
    runtime: Runtime = Runtime(),
) -> Explanation:
    """Explain the prediction for one window of a video.

    classifier: as of `vidattn.segment`. at: seconds, or text such as "1:30"; the center of the
    window where the video allows. By default all windows are scored without overlap, and the one
    with the highest score is explained. label: its name, by default that of the highest score.
    frames: clip length, that of the classifier by default.

    Raises UsageError for an unknown label, a time below 0 and a method that is none for the model,
    VideoError when the video cannot be read or ends before `at`.
    """
    classifier = find_classifier(classifier, frames)
    label_id = None if label is None else find_label(classifier, label)
    choose_method(classifier, method)
    if at is None:
        timeline = segment(source, classifier, frames=frames, runtime=runtime)
        target = strongest_window(timeline, label_id)
    else:
        target = target_at(source, as_seconds(at), classifier, label_id, frames, runtime)
    (explanation,) = explain_windows(
        source, classifier, [target], method=method, frames=frames, runtime=runtime
    )
    return explanation


def explain_windows(
    source: Source,
    classifier: Classifier,
    targets: Sequence[ExplainTarget],
    *,
    method: Method = "relevance",
    frames: int | None = None,
    runtime: Runtime = Runtime(),
    opening: Opening = open_video,
) -> Iterator[Explanation]:
    """An explanation for each target, in order; `frames` are spread over each window.

    Raises VideoError E_DECODE when too few frames of a window decode. Other errors as `explain`.
    """
    method = choose_method(classifier, method)
    explainer, config = _Explainer(classifier, method, runtime), classifier.clip
    # People see larger frames than the model, whose frames are decoded at its own size.
    large = max(config.short_side, FRAME_SIDE * config.short_side // config.crop)
    opened = partial(opening, source, reader=runtime.reader, framing=config.framing)
    with opened(short_side=config.short_side) as video, opened(short_side=large) as clear:
        for target in targets:
            view = _view(video, target, config, frames)
            yield explainer.explain(video, clear, view, target)


def _view(video: Video, target: ExplainTarget, clip: ClipConfig, frames: int | None) -> View:
    """The view of a window, as in `segment`."""
    window, count = target.window, frames or clip.frames
    span = window.duration if target.span is None else target.span
    return plan.plan_windows(video.times, window, clip, Windowing(count, span)).views[0]


def find_label(classifier: Classifier, name: str) -> int:
    """The number of a label, if need be whatever its case. Raises UsageError."""
    lower = [label.lower() for label in classifier.labels]
    for key, names in ((name, list(classifier.labels)), (name.lower(), lower)):
        if key in names:
            return names.index(key)
    near = [known for known in classifier.labels if name.lower() in known.lower()]
    raise UsageError(
        f"{classifier.card.name} has no label {name!r}",
        hint="it has " + ", ".join((near or list(classifier.labels))[:12]),
    )


def strongest_window(timeline: Timeline, label_id: int | None = None) -> ExplainTarget:
    """The window of a timeline with the highest score, of any label or of the one given."""
    scores = timeline.scores if label_id is None else timeline.scores[:, label_id]
    best = int(np.argmax(scores.reshape(len(timeline.windows), -1).max(1)))
    return ExplainTarget((timeline.seen or timeline.windows)[best], label_id, span_of(timeline))


def span_of(timeline: Timeline) -> float | None:
    """Seconds over which the frames of a window were spread; None if unknown."""
    span = timeline.settings.window_seconds
    return float(span) if span is not None and span > 0 else None


def target_at(
    source: Source,
    at: float,
    classifier: Classifier,
    label_id: int | None = None,
    frames: int | None = None,
    runtime: Runtime = Runtime(),
    opening: Opening = open_video,
) -> ExplainTarget:
    """The target around a moment of a video that is not open, see `window_around`.

    at: seconds as players count them, from the start of the file.
    """
    clip = classifier.clip
    with opening(source, reader=runtime.reader) as video:
        window = window_around(video, at and max(at - file_start(video), 0.0), clip, frames)
    return ExplainTarget(window, label_id, (frames or clip.frames) * clip.step_seconds)


def window_around(video: Video, at: float, clip: ClipConfig, frames: int | None = None) -> Window:
    """A window as long as a clip, centered at `at` and moved to lie within the video.

    Raises UsageError for a negative `at`, VideoError E_SHORT when the video ends before it.
    """
    if not at >= 0:
        raise UsageError(f"second {at:g}: a video starts at 0")
    end = readable_end(video)
    plan.require_moment(video.path, end, at)
    span = min((frames or clip.frames) * clip.step_seconds, end)
    start = min(max(at - span / 2, 0.0), end - span)
    return Window(start, start + span)


def explain_longest(
    timeline: Timeline,
    classifier: Classifier,
    runtime: Runtime = Runtime(),
    opening: Opening = open_video,
) -> Iterator[Explanation]:
    """Explain the longest segments of a timeline, in the order of time.

    Each explanation is of the label of its segment, in the window within it with the highest score.
    Windows that cannot be read any more are left out.
    """
    frames = timeline.settings.frames
    named = [one for one in timeline.segments if one.label_id is not None]
    longest = sorted(named, key=lambda one: -one.window.duration)[:MOST_SEGMENTS]
    for one in sorted(longest, key=lambda one: one.window.start):
        target = _surest(timeline, one)
        try:
            yield from explain_windows(
                timeline.source,
                classifier,
                [target],
                frames=frames,
                runtime=runtime,
                opening=opening,
            )
        except VideoError:
            continue


def _surest(timeline: Timeline, segment: Segment) -> ExplainTarget:
    """The window centered in a segment, or else nearest to it, with the highest score."""
    assert segment.label_id is not None
    span, middle = segment.window, segment.window.center
    centers = [window.center for window in timeline.windows]
    inside = [i for i, center in enumerate(centers) if span.start <= center < span.stop]
    inside = inside or [min(range(len(centers)), key=lambda i: abs(centers[i] - middle))]
    best = max(inside, key=lambda i: timeline.scores[i, segment.label_id])
    seen = timeline.seen if timeline.seen is not None else timeline.windows
    window = seen[best] if len(seen) == len(centers) else timeline.windows[best]
    return ExplainTarget(window, segment.label_id, span_of(timeline))


class _Explainer:
    """Runs a model on variants of a clip, with frames or patches left out."""

    def __init__(self, classifier: Classifier, method: Method, runtime: Runtime) -> None:
        self.classifier, self.method = classifier, method
        self.scorer = Scorer(classifier, runtime)

    def explain(self, video: Video, clear: Video, view: View, target: ExplainTarget) -> Explanation:
        """The explanation of a view of an open video; `clear` is the same video, larger."""
        config = self.classifier.clip
        indices, frames = _read_frames(video, view)
        clip = transforms.eval_clip(frames, config)
        logits, run = self._frame_logits(clip)
        scores = logits[0].softmax(-1).numpy()
        label_id = int(scores.argmax()) if target.label_id is None else target.label_id
        drops, odds = _frame_drops(logits, label_id, run, len(indices))
        return Explanation(
            source=video.path,
            window=target.window,
            labels=self.classifier.labels,
            scores=scores,
            label_id=label_id,
            frames=indices,
            times=tuple(float(video.times[i]) for i in indices),
            method=self.method,
            patches=patch_shares(self.scorer, self.classifier.model, self.method, clip, label_id),
            drops=drops,
            odds=odds,
            run=run,
            pictures=_crop_squares(clear, view, config),
            crop=config.crop / config.short_side,
            framing=config.framing,
            input=describe_input(video.details),
            model=describe_model(self.classifier),
        )

    def _frame_logits(self, clip: Tensor) -> tuple[Tensor, int]:
        """Logits [1 + runs, K] of a clip and of it without each run of frames; frames in a run.

        They are divided by the temperature.
        """
        tokens = self.scorer.encode_frames(list(clip.transpose(0, 1)))
        count = len(tokens)
        run = -(-count // MOST_RUNS)
        firsts = range(0, count, run) if count > run else range(0)
        variants = [range(count), *(_without(count, first, run) for first in firsts)]
        logits: list[Tensor] = []
        for some in self.scorer.batches(variants, count):
            clips = [torch.stack([tokens[i] for i in variant]) for variant in some]
            logits += self.scorer.classify_frames(clips)
        averaged = self.classifier.average_views(torch.stack(logits)[:, None])
        return averaged / self.classifier.temperature, run


def _frame_drops(
    logits: Tensor, label_id: int, run: int, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The drops of score and log-odds of a label without each of `count` frames, float32 [count]
    each; logits: [1 + runs, K], the first of the whole clip."""
    if len(logits) == 1 or logits.shape[1] == 1:
        return np.zeros(count, np.float32), np.zeros(count, np.float32)
    others = logits.clone()
    others[:, label_id] = -torch.inf
    odds = logits[:, label_id] - others.logsumexp(-1)
    both = (logits.softmax(-1)[:, label_id], odds)
    score, log_odds = ((one[0] - one[1:]).numpy().repeat(run)[:count] for one in both)
    return score, log_odds


def _without(count: int, first: int, run: int) -> list[int]:
    """Frames 0 to count - 1, `run` of them replaced by the one before, or after at the start."""
    stop = min(first + run, count)
    other = first - 1 if first else stop
    return [other if first <= i < stop else i for i in range(count)]


def _read_frames(video: Video, view: View) -> tuple[tuple[int, ...], NDArray[np.uint8]]:
    """The frames of a view, uint8 [T, H, W, 3]; the nearest ones replace unreadable ones."""
    buffer = FrameBuffer(video.stream(needed_frames([view])))
    buffer.advance(0, max(view.indices))
    indices = buffer.substitute(view)
    if indices is None:
        raise VideoError(
            f"{video.path}: too few frames decode at {video.times[view.indices[0]]:.2f} s",
            code="E_DECODE",
            hint="try another moment with --at",
        )
    return indices, np.stack([buffer[index] for index in indices])


def _crop_squares(video: Video, view: View, clip: ClipConfig) -> NDArray[np.uint8]:
    """The square of each frame that the model sees, uint8 [T, S, S, 3]."""
    frames = _read_frames(video, view)[1]
    height, width = frames.shape[1:3]
    side = min(round(min(height, width) * clip.crop / clip.short_side), height, width)
    top, left = -(-(height - side) // 2), -(-(width - side) // 2)
    return frames[:, top : top + side, left : left + side]
