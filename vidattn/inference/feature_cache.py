"""Views of a video through a model: decoding runs ahead, and frames that views share count once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, stack

from vidattn.config import ClipConfig
from vidattn.data import transforms
from vidattn.data.frames import FrameBuffer, needed_frames
from vidattn.inference.profiling import Stopwatch
from vidattn.inference.scorer import Scorer
from vidattn.inference.shot_detection import ShotDetector
from vidattn.types import Crop, View
from vidattn.video import Video

PREFETCH_BYTES = 64 << 20
"""Decoded frames that wait for the model, PREFETCH_FRAMES at most."""
PREFETCH_FRAMES = 256
PATIENCE_SECONDS = 0.5
"""How long `prefetch` waits at an early end before it interrupts the work in hand."""
CroppedFrame = tuple[int, Crop]
"""A frame number and the crop of it."""
T = TypeVar("T")


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
