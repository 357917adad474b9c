"""Frames that are already in memory, as a Video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from vidattn.video.protocol import (
    Frames,
    Limits,
    Times,
    UnreadableSpan,
    Video,
    VideoDetails,
    check_indices,
)


class MemoryVideo(Video):
    """A Video over frames in memory: for tests, synthetic data and frames from elsewhere.

    frames: uint8 [N, H, W, 3] RGB, N >= 1, not copied, never resized. times: float64 [N] seconds,
    rising, first 0; None spaces them by `fps`. Raises ValueError for other shapes or times.
    """

    reader = "memory"

    def __init__(
        self,
        frames: Frames,
        *,
        times: Times | None = None,
        fps: Fraction | float = Fraction(25),
        path: str = "memory",
    ) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
            raise ValueError(f"need uint8 [N, H, W, 3], got {frames.dtype} {list(frames.shape)}")
        self._frames = frames
        self.path = path
        self.frames, self.height, self.width = frames.shape[:3]
        self.fps = Fraction(fps).limit_denominator(100_000)
        self.times = np.arange(self.frames) / float(self.fps) if times is None else times
        rising = len(self.times) == self.frames and bool((np.diff(self.times) > 0).all())
        if not rising or self.times[0] != 0:
            raise ValueError("times must be [N], strictly rising, and start at 0")
        gap = float(np.median(np.diff(self.times))) if self.frames > 1 else 1 / float(self.fps)
        self.duration = float(self.times[-1]) + gap
        self.limits = Limits()
        self.unreadable: list[UnreadableSpan] = []
        self.details = VideoDetails(
            width=self.width,
            height=self.height,
            codec="raw",
            container="memory",
            pixel_format="rgb24",
            fps=self.fps,
            vfr=times is not None and bool(np.ptp(np.diff(times)) > 0.1 * gap),
            frames=self.frames,
            duration=self.duration,
            start_pts_seconds=0.0,
        )

    def read(self, indices: Sequence[int]) -> Frames:
        return self._frames[check_indices(indices, self.frames, self.path)]

    def stream(self, indices: Iterable[int]) -> Iterator[tuple[int, Frames]]:
        for index in check_indices(indices, self.frames, self.path).tolist():
            yield index, self._frames[index]

    def check_unchanged(self) -> None:
        """The caller owns the frames."""

    def interrupt(self) -> None:
        """No call ever waits."""

    def close(self) -> None:
        """There is nothing to end."""
