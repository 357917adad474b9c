"""Cache of decoded short videos, for small datasets that are shown for hundreds of epochs.

Decoding every file in each epoch takes several times longer than training a small model on it.
"""

from __future__ import annotations

import numpy as np

from vidattn.types import Framing
from vidattn.video import Limits, MemoryVideo, ProcessPool, Video, open_video

MAX_SHARE = 1 / 16
"""Share of the memory that a single video may fill."""


class VideoCache:
    """Opens videos; keeps all frames of short ones, at the size they were asked for.

    megabytes: size of the cache, 0 for none. The first videos stay: every epoch shows all, so
    evicting the oldest would keep none. A video with a frame that does not decode is not kept.
    Frames are the same, cached or not. limits: of every video.
    """

    def __init__(self, megabytes: int = 0, limits: Limits | None = None) -> None:
        self.keeps = megabytes > 0
        self._room = megabytes * 2**20
        self._largest = int(self._room * MAX_SHARE)
        self._cached: dict[tuple[str, int, str, Framing | None], MemoryVideo | None] = {}
        """None for a video that cannot be cached."""
        self._limits, self._pool = limits, ProcessPool()

    def open(
        self, path: str, short_side: int, reader: str = "auto", framing: Framing | None = None
    ) -> Video:
        """The video at `path` with frames of `short_side`. Raises VideoError as `open_video`."""
        key = (path, short_side, reader, framing)
        cached = self._cached.get(key)
        if cached is not None:
            return cached
        video = open_video(
            path,
            reader=reader,
            short_side=short_side,
            limits=self._limits,
            pool=self._pool,
            framing=framing,
        )
        size = video.frames * video.height * video.width * 3
        if key in self._cached or size > min(self._room, self._largest):
            return video
        with video:
            cached = self._cached[key] = _decode_all(video)
        if cached is None:
            return self.open(path, short_side, reader, framing)
        self._room -= size
        return cached


def _decode_all(video: Video) -> MemoryVideo | None:
    """All frames of a video; None when one does not decode."""
    frames = [frame.copy() for _, frame in video.stream(range(video.frames))]
    if video.unreadable or len(frames) < video.frames:
        return None
    video.check_unchanged()
    decoded = MemoryVideo(np.stack(frames), times=video.times, path=video.path)
    decoded.duration = video.duration
    return decoded
