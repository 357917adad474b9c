"""Thumbnails of a video, such as one per segment for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vidattn.errors import VideoError
from vidattn.output.video.heatmap import encode_image
from vidattn.timeline import Timeline
from vidattn.types import Framing
from vidattn.video import Opening, Video, open_video
from vidattn.video.protocol import Frames

HEIGHT = 96
"""Pixels of the shorter side of a thumbnail: twice its size in the report."""
MOST = 60
"""Largest number of thumbnails; if there are more segments the longest get one."""


def thumbnails(timeline: Timeline, opening: Opening = open_video) -> dict[float, bytes]:
    """JPEG files by the second of their frame: the middles of the longest segments.

    Empty if the video is missing, does not open or is longer or shorter than the timeline.
    """
    segments = [s for s in timeline.segments if s.label_id is not None]
    segments = sorted(segments, key=lambda s: -s.window.duration)[:MOST]

    def moments(video: Video) -> Sequence[float]:
        same = abs(video.duration - (timeline.duration or 0.0)) <= 1.0
        return sorted(segment.window.center for segment in segments) if same else []

    times, frames = read_stills(timeline.source, moments, opening)
    return {round(t, 3): encode_image(f, ".jpg") for t, f in zip(times, frames, strict=True)}


def read_stills(
    path: str,
    moments: Callable[[Video], Sequence[float]],
    opening: Opening = open_video,
    framing: Framing | None = None,
) -> tuple[list[float], list[Frames]]:
    """The frames on screen at some moments of a video: their times, and uint8 [H, W, 3] of each.

    moments: seconds from the first frame. Both are empty if the video does not open or decode.
    """
    try:
        with opening(path, short_side=HEIGHT, framing=framing) as video:
            seconds = np.asarray(moments(video)) + 1e-6  # a frame a microsecond later counts
            places = np.searchsorted(video.times, seconds, side="right") - 1
            indices = places.clip(0, video.frames - 1)
            return video.times[indices].tolist(), [*video.read(indices.tolist())]
    except VideoError:
        return [], []
