"""Videos that are opened again and again: short ones are decoded once and stay in memory.

A small set is shown for hundreds of epochs; decoding every file in each of them takes several times
longer than training a small model on it.
"""

from __future__ import annotations

import numpy as np

from vidattn.video import Limits, MemoryVideo, ProcessPool, Video, open_video

LARGEST = 16
"""A video that would fill more than one part in so many of the memory is not kept."""


class VideoCache:
    """Opens videos for reading; keeps all frames of short ones, at the size they were asked for.

    megabytes: what may be kept in all, 0 for nothing. What came first stays: every epoch shows all
    videos, so throwing out the oldest would keep none. A video with a frame that does not decode is
    never kept. Frames are the same, kept or not. limits: of every video.
    """

    def __init__(self, megabytes: int = 0, limits: Limits | None = None) -> None:
        self.keeps = megabytes > 0
        self._room = megabytes * 2**20
        self._largest = self._room // LARGEST
        self._kept: dict[tuple[str, int, str], MemoryVideo | None] = {}
        """None: not to be kept."""
        self._limits, self._pool = limits, ProcessPool()

    def open(self, path: str, short_side: int, reader: str = "auto") -> Video:
        """The video at `path` with frames of `short_side`. Raises VideoError as `open_video`."""
        key = (path, short_side, reader)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        video = open_video(
            path, reader=reader, short_side=short_side, limits=self._limits, pool=self._pool
        )
        size = video.frames * video.height * video.width * 3
        if key in self._kept or size > min(self._room, self._largest):
            return video
        with video:
            kept = self._kept[key] = _in_memory(video)
        if kept is None:
            return self.open(path, short_side, reader)
        self._room -= size
        return kept


def _in_memory(video: Video) -> MemoryVideo | None:
    """All frames of a video; None when one does not decode."""
    frames = [frame.copy() for _, frame in video.stream(range(video.frames))]
    if video.unreadable or len(frames) < video.frames:
        return None
    video.check_unchanged()
    kept = MemoryVideo(np.stack(frames), times=video.times, path=video.path)
    kept.duration = video.duration
    return kept
