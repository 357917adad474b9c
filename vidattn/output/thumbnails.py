"""Thumbnails of a video, one per segment, for the report."""

from __future__ import annotations

import numpy as np

from vidattn.errors import VideoError
from vidattn.output.video.heatmap import encode_image
from vidattn.timeline import Timeline
from vidattn.video import Opening, open_video

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
    try:
        with opening(timeline.source, short_side=HEIGHT) as video:
            if abs(video.duration - (timeline.duration or 0.0)) > 1.0:
                return {}
            middles = sorted(segment.window.center for segment in segments)
            places = np.searchsorted(video.times, middles, side="right") - 1
            indices = np.unique(np.clip(places, 0, video.frames - 1)).tolist()
            return {
                round(float(video.times[i]), 3): encode_image(frame, ".jpg")
                for i, frame in zip(indices, video.read(indices), strict=True)
            }
    except VideoError:
        return {}
