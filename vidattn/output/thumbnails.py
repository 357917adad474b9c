"""Small pictures of a film, one from each segment, for results that people look at."""

from __future__ import annotations

import numpy as np

from vidattn.errors import VideoError
from vidattn.output.report import STILL_HEIGHT
from vidattn.output.report.explanation import encode_jpeg
from vidattn.timeline import Segment, Timeline
from vidattn.video import Opening, open_video

MOST = 60
"""Pictures of a film; of more segments the longest get one."""


def thumbnails(
    timeline: Timeline, reader: str = "auto", opening: Opening = open_video
) -> dict[float, bytes]:
    """JPEG files by the second of the frame that each shows: the middle of the longest segments.

    A film that is gone, does not open or lasts longer or shorter than the timeline has none.
    """
    try:
        with opening(timeline.source, reader=reader, short_side=STILL_HEIGHT) as video:
            if abs(video.duration - (timeline.duration or 0.0)) > 1.0:
                return {}
            middles = [s.window.center for s in _chosen(timeline.segments)]
            places = np.searchsorted(video.times, middles, side="right") - 1
            indices = np.unique(np.clip(places, 0, video.frames - 1)).tolist()
            return {
                round(float(video.times[i]), 3): encode_jpeg(frame)
                for i, frame in zip(indices, video.read(indices), strict=True)
            }
    except VideoError:
        return {}


def _chosen(segments: tuple[Segment, ...]) -> list[Segment]:
    """The longest segments that are not background, in the order of time."""
    real = [s for s in segments if s.label_id is not None]
    longest = sorted(real, key=lambda s: -s.window.duration)[:MOST]
    return sorted(longest, key=lambda s: s.window.start)
