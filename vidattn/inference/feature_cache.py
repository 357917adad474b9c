"""Views of a video through a model: what several views share is computed once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
from torch import Tensor, stack

from vidattn.config import ClipConfig
from vidattn.data import transforms
from vidattn.data.frames import FrameBuffer, needed_frames
from vidattn.inference.prefetch import prefetch
from vidattn.inference.profiling import Stopwatch
from vidattn.inference.scorer import Scorer
from vidattn.types import Crop, View
from vidattn.video import Video

LEAD_BYTES = 64 << 20
"""Of decoded frames that wait for the model, LEAD_FRAMES at most."""
LEAD_FRAMES = 256
Shot = tuple[int, Crop]
"""A frame by number, and the crop of it."""


@contextmanager
def cached_features(
    video: Video, views: Collection[View], clip: ClipConfig, scorer: Scorer, clock: Stopwatch
) -> Iterator[FeatureCache]:
    """A viewer of views of an open video, while decoding runs ahead in a thread.

    What decoding takes is `decode_s`; `wait_s` is the part of it that somebody waited for.
    """
    frames = clock.timed("decode_s", video.stream(needed_frames(views)))
    longest = max((len(view.indices) for view in views), default=1)
    lead = max(longest, min(LEAD_BYTES // (3 * video.width * video.height), LEAD_FRAMES))
    with closing(prefetch(frames, lead, video.interrupt)) as coming:
        yield FeatureCache(FrameBuffer(clock.timed("wait_s", coming)), clip, scorer)


class FeatureCache:
    """Shows a model views of one video, and keeps what it made of single frames for the next."""

    def __init__(self, reel: FrameBuffer, clip: ClipConfig, scorer: Scorer) -> None:
        self._reel, self._clip, self._scorer = reel, clip, scorer
        self._tokens: dict[Shot, Tensor] = {}

    def advance(self, first: int, last: int) -> None:
        """Let go of what is known of frames before number `first`; read those up to `last`."""
        self._reel.advance(first, last)
        for shot in [shot for shot in self._tokens if shot[0] < first]:
            del self._tokens[shot]

    def forget(self) -> None:
        """Compute everything anew from here, as one who begins here does."""
        self._tokens.clear()

    def __call__(self, views: Sequence[View]) -> list[Tensor | None]:
        """Logits float32 [K] of each view, whose frames were wound to; None where too many of them
        do not decode. Raises MemoryLimitError and VideoError as a Scorer does."""
        shown = [self._shots(view) for view in views]
        self._look({shot for shots in shown if shots for shot in shots} - self._tokens.keys())
        clips = [stack([self._tokens[shot] for shot in shots]) for shots in shown if shots]
        logits = iter(self._scorer.classify_frames(clips))
        return [next(logits) if shots else None for shots in shown]

    def pixels(self, view: View) -> Tensor | None:
        """The frames of a view at the model's size, float32 [3, T, crop, crop] in [0, 255]."""
        chosen = self._reel.substitute(view)
        if chosen is None:
            return None
        pixels = np.stack([self._reel[index] for index in chosen])
        clip = transforms.resize(transforms.to_clip(pixels), self._clip.short_side)
        return transforms.crop(clip, self._clip.crop, view.crop)

    def _shots(self, view: View) -> list[Shot] | None:
        chosen = self._reel.substitute(view)
        return None if chosen is None else [(index, view.crop) for index in chosen]

    def _look(self, new: set[Shot]) -> None:
        """Prepare frames and let the model make of each what it can make of it alone."""
        for crop in sorted({crop for _, crop in new}):
            indices = sorted(index for index, of in new if of == crop)
            pixels = np.stack([self._reel[index] for index in indices])
            frames = transforms.eval_clip(pixels, self._clip, crop).transpose(0, 1)
            tokens = self._scorer.encode_frames(list(frames))
            self._tokens |= {(i, crop): one for i, one in zip(indices, tokens, strict=True)}
