"""The window of an explanation as a film: its heat over every frame, in the time of the film."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vidattn.io.files import replacing_file
from vidattn.output.video import heatmap
from vidattn.timeline.explanation import Explanation
from vidattn.video import Opening, open_video
from vidattn.video.writer.client import VideoWriter

SMALLEST = 240
"""Pixels of the shorter side; smaller films are enlarged so that something can be seen."""


def write_heatmap_video(
    explanation: Explanation,
    path: str | os.PathLike[str],
    *,
    reader: str = "auto",
    opening: Opening = open_video,
) -> Path:
    """Write the window of an explanation as H.264 with its sound; returns the path.

    opening: who opens the film.
    Every frame has the heat of the nearest one that the model was shown; what the model does not
    see of it is dimmed. Raises VideoError when the film cannot be read, OutputError.
    """
    with opening(explanation.source, reader=reader) as video:
        short = max(SMALLEST, min(video.width, video.height))
    warmth, window = heatmap.scale_patches(explanation), explanation.window
    with (
        opening(explanation.source, reader=reader, short_side=short) as video,
        VideoWriter(video) as recorder,
        replacing_file(path) as place,
    ):
        first, after = np.searchsorted(video.times, [window.start - 5e-4, window.stop - 5e-4])
        first = min(max(int(first), 0), video.frames - 1)
        after = max(int(after), first + 1)
        times, stop = video.times[first:after], min(window.stop, video.duration)
        stop = max(stop, float(times[-1]) + 1e-3)
        with recorder.recording(place, (video.width, video.height), times, stop):
            for index, frame in video.stream(range(first, after)):
                time = float(video.times[index])
                nearest = int(np.abs(np.array(explanation.times) - time).argmin())
                recorder.frame(
                    index - first, heatmap.draw_frame(explanation, frame, warmth[nearest], time)
                )
        video.check_unchanged()
    return Path(path)
