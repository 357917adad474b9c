"""Windows of a video through a model: how far they overlap by default, and the scores of each.

Decoding runs ahead, and frames that windows share are computed once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, stack

from vidattn.config import ClipConfig, FlowConfig, ModelConfig, TaughtConfig
from vidattn.data import transforms
from vidattn.data.frames import FrameBuffer, needed_frames, oldest_needed
from vidattn.data.plan import Windowing
from vidattn.inference.events import Scored, Scores
from vidattn.inference.profiling import Stopwatch
from vidattn.inference.resume import ResumePoint, fresh_every
from vidattn.inference.scorer import Scorer
from vidattn.inference.shot_detection import ShotDetector
from vidattn.models.classifier import Classifier
from vidattn.models.flops import count_frame_macs, count_macs
from vidattn.types import Crop, View, Window
from vidattn.video import Video

PREFETCH_BYTES = 64 << 20
"""Decoded frames that wait for the model, PREFETCH_FRAMES at most."""
PREFETCH_FRAMES = 256
PATIENCE_SECONDS = 0.5
"""How long `prefetch` waits at an early end before it interrupts the work in hand."""
CroppedFrame = tuple[int, Crop]
"""A frame number and the crop of it."""
T = TypeVar("T")
OVERLAP = 0.75
"""Of windows by default, where it costs little."""
LITTLE_MACS = 0.5e9
"""Multiply-adds for a second of video: about a third of the work of decoding 720p."""
LITTLE_MORE = 1.25
"""Work with overlap, as a multiple of that without."""


@contextmanager
def cached_features(
    video: Video,
    views: Sequence[View],
    clip: ClipConfig,
    scorer: Scorer,
    clock: Stopwatch,
    shots: ShotDetector | None = None,
) -> Iterator[FeatureCache]:
    """A FeatureCache for views of an open video, while decoding runs ahead in a thread.

    shots: sees all frames, too. The clock counts decoding as `decode_s`, and the time spent waiting
    for it as `wait_s`.
    """
    needed = needed_frames(views) if shots is None else shots.needed_frames(views)
    frames = clock.timed("decode_s", video.stream(needed))
    longest = max((len(view.indices) for view in views), default=1)
    room = min(PREFETCH_BYTES // (3 * video.width * video.height), PREFETCH_FRAMES)
    with closing(prefetch(frames, max(longest, room), video.interrupt)) as decoded:
        waited = clock.timed("wait_s", decoded)
        seen = waited if shots is None else shots.measure(waited)
        yield FeatureCache(FrameBuffer(seen), clip, scorer)


class FeatureCache:
    """Runs a model on views of one video; caches its features of single frames."""

    def __init__(self, frames: FrameBuffer, clip: ClipConfig, scorer: Scorer) -> None:
        self._frames, self._clip, self._scorer = frames, clip, scorer
        self._tokens: dict[CroppedFrame, Tensor] = {}

    def advance(self, first: int, last: int) -> None:
        """Drop frames before number `first`, and read those up to `last`."""
        self._frames.advance(first, last)
        for key in [key for key in self._tokens if key[0] < first]:
            del self._tokens[key]

    def clear(self) -> None:
        """Drop all features, as if the run began here."""
        self._tokens.clear()

    def __call__(self, views: Sequence[View]) -> list[Tensor | None]:
        """Logits float32 [K] of each view, all of whose frames were read; None where too many of
        them do not decode. Raises MemoryLimitError and VideoError as a Scorer does."""
        keys = [self._keys(view) for view in views]
        self._compute({key for own in keys if own for key in own} - self._tokens.keys())
        clips = [stack([self._tokens[key] for key in own]) for own in keys if own]
        logits = iter(self._scorer.classify_frames(clips))
        return [next(logits) if own else None for own in keys]

    def pixels(self, view: View) -> Tensor | None:
        """The frames of a view at the model's size, float32 [3, T, crop, crop] in [0, 255]."""
        indices = self._frames.substitute(view)
        if indices is None:
            return None
        pixels = np.stack([self._frames[index] for index in indices])
        clip = transforms.resize(transforms.to_clip(pixels), self._clip.short_side)
        return transforms.crop(clip, self._clip.crop, view.crop)

    def _keys(self, view: View) -> list[CroppedFrame] | None:
        indices = self._frames.substitute(view)
        return None if indices is None else [(index, view.crop) for index in indices]

    def _compute(self, keys: set[CroppedFrame]) -> None:
        for crop in sorted({crop for _, crop in keys}):
            indices = sorted(index for index, own in keys if own == crop)
            pixels = np.stack([self._frames[index] for index in indices])
            frames = transforms.eval_clip(pixels, self._clip, crop).transpose(0, 1)
            tokens = self._scorer.encode_frames(list(frames))
            self._tokens |= {(i, crop): one for i, one in zip(indices, tokens, strict=True)}


def prefetch(
    items: Iterable[T], count: int, interrupt: Callable[[], None]
) -> Generator[T, None, None]:
    """The same items, up to `count` of them made ahead of time in a thread.

    An error is raised where its item would come. The thread has ended when the generator is closed:
    if the item in hand takes longer than a moment, `interrupt` is called, which must make it fail
    soon.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    waiting: deque[Future[Any]] = deque()
    try:
        for _ in range(max(count, 1)):
            waiting.append(pool.submit(next, iterator, end))
        while (item := waiting[0].result()) is not end:
            waiting.popleft()
            waiting.append(pool.submit(next, iterator, end))
            yield item
    finally:
        running = [future for future in waiting if not future.cancel()]
        if wait(running, PATIENCE_SECONDS).not_done:
            interrupt()
        pool.shutdown()
        if isinstance(iterator, Generator):
            iterator.close()


class WindowScorer:
    """Scores the windows of one video; those that show the same frames share one computation.

    Scores are also reused where the picture stands still, if asked for.

    skip_static: as of `Windowing`. width: length of the embeddings behind the logits of `features`.
    """

    def __init__(
        self,
        windows: Mapping[Window, View],
        classifier: Classifier,
        features: FeatureCache,
        skip_static: float | None = None,
        width: int = 0,
    ) -> None:
        self._windows, self._views = list(windows), list(windows.values())
        self._classifier, self._features, self._skip_static = classifier, features, skip_static
        self._classes = len(classifier.labels)
        # One table for all scores: small arrays that outlive large ones would fragment the heap.
        self._table = np.empty((len(windows), self._classes + width), np.float32)
        self._last: Scored | None = None
        self._still: Tensor | None = None

    def score(
        self, batch_size: int, clock: Stopwatch, resumed: ResumePoint = ResumePoint()
    ) -> Iterator[Scored]:
        """Score every window that is left to do, `batch_size` at a time."""
        views = self._views
        oldest = oldest_needed(views)
        self._last = resumed.last
        for first in resumed.batches(len(views), batch_size):
            batch = range(first, min(first + batch_size, len(views)))
            self._features.advance(oldest[first], max(max(views[i].indices) for i in batch))
            if first < resumed.first:
                if resumed.still in batch:
                    self._still = self._features.pixels(views[resumed.still])
                continue
            if first % fresh_every(batch_size) == 0:
                self._features.clear()
            with clock("model_s"):
                scored = self._score_batch(batch)
            yield from scored
            self._last = scored[-1]

    def _score_batch(self, batch: range) -> list[Scored]:
        views = self._views
        repeated = {i for i in batch if i > 0 and views[i] == views[i - 1]}
        fresh = [i for i in batch if i not in repeated and self._changes(views[i])]
        logits = iter(self._features([views[i] for i in fresh]))
        scored: list[Scored] = []
        for i in batch:
            if i in fresh:
                scored.append(self._event(i, next(logits)))
            else:
                before = scored[-1] if scored else self._last
                assert before is not None
                scored.append(replace(before, index=i, window=self._windows[i], reused=True))
        return scored

    def _changes(self, view: View) -> bool:
        """Whether a view differs from the last one for which this was true."""
        if self._skip_static is None:
            return True
        pixels = self._features.pixels(view)
        if pixels is not None and self._still is not None:
            change = (pixels - self._still).abs().mean((0, 2, 3)).max().item()
            if change <= self._skip_static:
                return False
        self._still = pixels
        return True

    def _event(self, index: int, logits: Tensor | None) -> Scored:
        if logits is None:
            return Scored(index, self._windows[index], None)
        row: Scores = self._table[index]
        scores, embedding = row[: self._classes], row[self._classes :]
        scores[:] = self._classifier.scores(logits[None, : self._classes]).numpy()
        embedding[:] = logits[self._classes :].numpy()
        own = embedding if len(embedding) else None
        return Scored(index, self._windows[index], scores, embedding=own)


def resolve_overlap(windowing: Windowing, classifier: Classifier) -> Windowing:
    """Windowing with the overlap that is chosen for a model, where none is given."""
    if windowing.stride is not None or windowing.overlap is not None:
        return windowing
    overlap = choose_overlap(classifier, windowing.frames, windowing.window)
    return replace(windowing, overlap=overlap)


def choose_overlap(
    classifier: Classifier, frames: int | None = None, window: float | None = None
) -> float:
    """OVERLAP where its work is little, or little more than without; else 0.

    The work is counted in multiply-adds, so that a model has the same windows on every machine;
    of a model whose operations cannot be counted it is not little. frames, window: as of Windowing.
    """
    config, clip = getattr(classifier.model, "config", None), classifier.clip
    frames = frames or clip.frames
    seconds = frames * clip.step_seconds if window is None else window
    if isinstance(config, TaughtConfig) and isinstance(config.backbone, FlowConfig):
        return OVERLAP
    if isinstance(config, TaughtConfig) and isinstance(config.backbone, ModelConfig):
        piece = count_macs(config.backbone, -(-frames // config.pieces), config.size)
        work = config.pieces * piece / (1 - OVERLAP)
        return OVERLAP if work <= LITTLE_MACS * seconds else 0.0
    if not isinstance(config, ModelConfig):
        return 0.0
    alone = count_macs(config, frames, clip.crop)
    known = OVERLAP * frames  # frames that the window before has encoded, where they are the same
    shared = count_frame_macs(config, clip.crop) * known if known % 1 == 0 else 0.0
    work = (alone - shared) / (1 - OVERLAP)
    little = max(LITTLE_MACS * seconds, LITTLE_MORE * alone)
    return OVERLAP if work <= little else 0.0
