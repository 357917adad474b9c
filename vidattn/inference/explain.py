"""What an answer rests on: heat over the frames of a window, and what each frame is worth.

`relevance`, the default, weights attention with its gradient, so that it is about one label.
`rollout` follows attention alone. `occlusion` covers one patch after the other and looks at the
score: slow, and what the others are judged by. See `vidattn.models.attribution`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidattn.config import ClipConfig
from vidattn.data import plan, transforms
from vidattn.data.frames import FrameBuffer, needed_frames, readable_end
from vidattn.errors import UsageError, VideoError
from vidattn.inference.events import describe_input, describe_model
from vidattn.inference.scorer import Scorer
from vidattn.inference.stream import segment
from vidattn.models.attribution import relevance, rollout
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer
from vidattn.timeline import Timeline
from vidattn.timeline.explanation import METHODS, Explanation, Method
from vidattn.timeline.segments import Segment
from vidattn.types import View, Window
from vidattn.video import Opening, Video, open_video

MOST_RUNS = 32
"""Parts that the frames of a window are taken out in; longer clips lose several at a time."""
MOST_SEGMENTS = 6
"""Segments that a report explains: the longest, so that the page stays small."""
PICTURE = 224
"""Pixels of the side of a picture to look at."""

T = TypeVar("T")
Model = TimeSformer | Stam
Source = str | os.PathLike[str]


@dataclass(frozen=True)
class ExplainTarget:
    """A window, and the label to explain there; None is the one with the highest score."""

    window: Window
    label_id: int | None = None
    span: float | None = None
    """Seconds that the frames are spread over, where a film shorter than that makes the window
    shorter: its last frame is repeated. None: those of the window."""


def explain(
    source: Source,
    classifier: Classifier,
    *,
    at: float | None = None,
    label: str | None = None,
    method: Method = "relevance",
    frames: int | None = None,
    runtime: Runtime = Runtime(),
) -> Explanation:
    """What the answer for one window of a film rests on.

    at: seconds; the window lies around it, as far as the film allows. Without it all windows are
    scored, side by side, and the one with the highest score is explained. label: its name; without
    it that of the highest score. frames: clip length, the classifier's own by default.

    Raises UsageError for a label the classifier does not know, a time below 0 and a model that is
    neither TimeSformer nor STAM, VideoError when the film cannot be read or is over by `at`.
    """
    label_id = None if label is None else find_label(classifier, label)
    require_explainable(classifier)
    if at is None:
        timeline = segment(source, classifier, frames=frames, runtime=runtime)
        question = strongest_window(timeline, label_id)
    else:
        question = target_at(source, at, classifier, label_id, frames, runtime)
    (found,) = explain_windows(
        source, classifier, [question], method=method, frames=frames, runtime=runtime
    )
    return found


def explain_windows(
    source: Source,
    classifier: Classifier,
    questions: Sequence[ExplainTarget],
    *,
    method: Method = "relevance",
    frames: int | None = None,
    runtime: Runtime = Runtime(),
    opening: Opening = open_video,
) -> Iterator[Explanation]:
    """An explanation for each question, in order; `frames` are spread over each window.

    Raises VideoError E_DECODE when too few frames of a window decode. Errors as of `explain`.
    """
    if method not in METHODS:
        raise UsageError(f"no such method: {method!r}", hint="known: " + ", ".join(METHODS))
    look, config = _Look(classifier, method, runtime), classifier.clip
    # A person gets to see more than the model, which is shown frames decoded at its own size.
    large = max(config.short_side, PICTURE * config.short_side // config.crop)
    with (
        opening(source, reader=runtime.reader, short_side=config.short_side) as video,
        opening(source, reader=runtime.reader, short_side=large) as clear,
    ):
        for question in questions:
            view = _view(video, question, config, frames)
            yield look.explained(video, clear, view, question)


def _view(video: Video, question: ExplainTarget, clip: ClipConfig, frames: int | None) -> View:
    """The frames that a classifier is shown of a window, as `segment` shows them."""
    window, count = question.window, frames or clip.frames
    span = window.duration if question.span is None else question.span
    planned = plan.plan_windows(video.times, window, clip, frames=count, window=span)
    return planned.views[0]


def find_label(classifier: Classifier, name: str) -> int:
    """The number of a class; names differ in case only by mistake. Raises UsageError."""
    for wanted_, names in ((name, classifier.labels), (name.lower(), _lower(classifier.labels))):
        if wanted_ in names:
            return names.index(wanted_)
    near = [known for known in classifier.labels if name.lower() in known.lower()]
    raise UsageError(
        f"{classifier.card.name} has no label {name!r}",
        hint="it has " + ", ".join((near or list(classifier.labels))[:12]),
    )


def _lower(labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(label.lower() for label in labels)


def require_explainable(classifier: Classifier) -> Model:
    """The model of a classifier, if it is of a kind that can be explained. Raises UsageError."""
    if isinstance(classifier.model, TimeSformer | Stam):
        return classifier.model
    raise UsageError(
        f"{type(classifier.model).__name__} cannot be explained: no TimeSformer, no STAM"
    )


def strongest_window(timeline: Timeline, label_id: int | None = None) -> ExplainTarget:
    """The window of a timeline with the highest score, of any label or of the one named."""
    scores = timeline.scores if label_id is None else timeline.scores[:, label_id]
    best = int(np.argmax(scores.reshape(len(timeline.windows), -1).max(1)))
    return ExplainTarget((timeline.seen or timeline.windows)[best], label_id, span_of(timeline))


def span_of(timeline: Timeline) -> float | None:
    """Seconds that the frames of a window of a timeline were spread over; None if it tells none."""
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
    """The window `window_around` a moment of a film that is not open."""
    clip = classifier.clip
    with opening(source, reader=runtime.reader) as video:
        window = window_around(video, at, clip, frames)
    return ExplainTarget(window, label_id, (frames or clip.frames) * clip.step_seconds)


def window_around(video: Video, at: float, clip: ClipConfig, frames: int | None = None) -> Window:
    """The window as long as a clip with `at` in its middle, moved to lie within the film.

    Raises UsageError for a moment before the film, VideoError E_SHORT when it is over by then.
    """
    if not at >= 0:
        raise UsageError(f"second {at:g}: a film begins at 0")
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
    """An explanation for each of the longest segments, in the order of time.

    Each is about the label of its segment, in the window within it that is surest of that. Windows
    that cannot be read any more are left out; so are all, when the film is gone.
    """
    frames = timeline.settings.frames
    for longest in _longest(timeline):
        question = _surest(timeline, longest)
        try:
            yield from explain_windows(
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
    longest = sorted(real, key=lambda s: -s.window.duration)[:MOST_SEGMENTS]
    return sorted(longest, key=lambda s: s.window.start)


def _surest(timeline: Timeline, segment: Segment) -> ExplainTarget:
    """The window with the middle inside a segment, or else nearest to it, surest of its label."""
    assert segment.label_id is not None
    span, middle = segment.window, segment.window.center
    centres = [window.center for window in timeline.windows]
    inside = [i for i, centre in enumerate(centres) if span.start <= centre < span.stop]
    inside = inside or [min(range(len(centres)), key=lambda i: abs(centres[i] - middle))]
    best = max(inside, key=lambda i: timeline.scores[i, segment.label_id])
    seen = timeline.seen if timeline.seen is not None else timeline.windows
    window = seen[best] if len(seen) == len(centres) else timeline.windows[best]
    return ExplainTarget(window, segment.label_id, span_of(timeline))


class _Look:
    """Asks a model about a clip, again and again with something taken out."""

    def __init__(self, classifier: Classifier, method: Method, runtime: Runtime) -> None:
        self.model = require_explainable(classifier)
        self.classifier, self.method = classifier, method
        self.scorer = Scorer(classifier, runtime)

    def explained(
        self, video: Video, clear: Video, view: View, question: ExplainTarget
    ) -> Explanation:
        """What the answer to a view of an open video rests on; `clear` is the same, larger."""
        config = self.classifier.clip
        indices, seen = _shown(video, view)
        clip = transforms.eval_clip(seen, config)
        logits, run = self.frames(clip)
        scores = logits[0].softmax(-1).numpy()
        label_id = int(scores.argmax()) if question.label_id is None else question.label_id
        drops, odds = _lost(logits, label_id, run, len(indices))
        return Explanation(
            source=video.path,
            window=question.window,
            labels=self.classifier.labels,
            scores=scores,
            label_id=label_id,
            frames=indices,
            times=tuple(float(video.times[i]) for i in indices),
            method=self.method,
            patches=self.patches(clip, label_id),
            drops=drops,
            odds=odds,
            run=run,
            pictures=_pictures(clear, view, config),
            crop=config.crop / config.short_side,
            input=describe_input(video.details),
            model=describe_model(self.classifier),
        )

    def frames(self, clip: Tensor) -> tuple[Tensor, int]:
        """Logits of a clip, and of it without each run of frames, [1 + runs, K]; frames in a run.

        As they become probabilities: averaged and divided by the temperature.
        """
        tokens = self.scorer.encode_frames(list(clip.transpose(0, 1)))
        count = len(tokens)
        run = -(-count // MOST_RUNS)
        firsts = range(0, count, run) if count > run else range(0)
        variants = [range(count), *(_without(count, first, run) for first in firsts)]
        logits: list[Tensor] = []
        for some in self._batches(variants, count):
            clips = [torch.stack([tokens[i] for i in variant]) for variant in some]
            logits += self.scorer.classify_frames(clips)
        found = self.classifier.average_views(torch.stack(logits)[:, None])
        return found / self.classifier.temperature, run

    def patches(self, clip: Tensor, label_id: int) -> NDArray[np.float32]:
        """The share of each patch, float32 [T, h, w]."""
        if self.method == "occlusion":
            found = self._covered(clip, label_id)
        else:
            clips = clip[None].to(self.scorer.device)
            classes = torch.tensor([label_id], device=self.scorer.device)
            rolled = self.method == "rollout"
            shares = rollout(self.model, clips) if rolled else relevance(self.model, clips, classes)
            found = shares.patches[0].float().cpu().numpy()
        total = float(found.sum())
        return (found / total if total > 0 else found).astype(np.float32)

    def _covered(self, clip: Tensor, label_id: int) -> NDArray[np.float32]:
        """What the logit of a label loses when a patch has the mean colour of the clip, if it
        does."""
        side = self.model.config.patch
        height, width = (size // side for size in clip.shape[2:])
        places = list(np.ndindex(clip.shape[1], height, width))
        colour = clip.mean((1, 2, 3))[:, None, None]
        whole = self.scorer([clip])[0][label_id]
        losses: list[float] = []
        for some in self._batches(places, clip.shape[1]):
            clips = [clip.clone() for _ in some]
            for covered, (t, y, x) in zip(clips, some, strict=True):
                covered[:, t, y * side : (y + 1) * side, x * side : (x + 1) * side] = colour
            losses += [float(whole - logits[label_id]) for logits in self.scorer(clips)]
        shape = clip.shape[1], height, width
        return np.maximum(np.array(losses, np.float32), 0).reshape(shape)

    def _batches(self, items: Sequence[T], frames: int) -> Iterator[Sequence[T]]:
        size = self.scorer.batch_size(frames)
        return (items[i : i + size] for i in range(0, len(items), size))


def _lost(
    logits: Tensor, label_id: int, run: int, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What score and log-odds of a label lose without each of `count` frames, float32 [count]
    each; logits [1 + runs, K], the first those of the whole clip."""
    if len(logits) == 1 or logits.shape[1] == 1:
        return np.zeros(count, np.float32), np.zeros(count, np.float32)
    others = logits.clone()
    others[:, label_id] = -torch.inf
    odds = logits[:, label_id] - others.logsumexp(-1)
    both = (logits.softmax(-1)[:, label_id], odds)
    lost = [(one[0] - one[1:]).numpy().repeat(run)[:count] for one in both]
    return lost[0], lost[1]


def _without(count: int, first: int, run: int) -> list[int]:
    """Frames 0 to count - 1; for `run` of them the one before, or at the start the one after."""
    stop = min(first + run, count)
    other = first - 1 if first else stop
    return [other if first <= i < stop else i for i in range(count)]


def _shown(video: Video, view: View) -> tuple[tuple[int, ...], NDArray[np.uint8]]:
    """The frames of a view, uint8 [T, H, W, 3]; nearest ones stand in for those lost."""
    reel = FrameBuffer(video.stream(needed_frames([view])))
    reel.advance(0, max(view.indices))
    chosen = reel.substitute(view)
    if chosen is None:
        raise VideoError(
            f"{video.path}: too few frames decode at {video.times[view.indices[0]]:.2f} s",
            code="E_DECODE",
            hint="try another moment with --at",
        )
    return chosen, np.stack([reel[index] for index in chosen])


def _pictures(video: Video, view: View, clip: ClipConfig) -> NDArray[np.uint8]:
    """The square of each frame that the model sees, uint8 [T, S, S, 3]."""
    frames = _shown(video, view)[1]
    height, width = frames.shape[1:3]
    side = min(round(min(height, width) * clip.crop / clip.short_side), height, width)
    top, left = -(-(height - side) // 2), -(-(width - side) // 2)
    return frames[:, top : top + side, left : left + side]
