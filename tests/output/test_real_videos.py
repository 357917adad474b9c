"""Positions of frames in real files, from their own time stamps to the project of an editor."""

from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import encode_video
from vidattn.inference.events import describe_input
from vidattn.output.timecode import TimecodeClock, editing_rate, place_segments
from vidattn.timeline import Timeline
from vidattn.types import Window
from vidattn.video import open_video

COUNT = 200
CUTS = [0, 7, 8, 61, 120, 199]
"""Frames at which the label changes."""
NTSC_24, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)


def write(path: Path, rate: Fraction, stamps: list[int] | None = None) -> Path:
    """A video of COUNT small frames; stamps: their times in milliseconds, if the rate varies."""
    frames = (np.full((32, 32, 3), i, np.uint8) for i in range(COUNT))
    clock = Fraction(1, 1000) if stamps else 1 / rate
    options = {"preset": "ultrafast"}
    return encode_video(path, frames, rate, clock=clock, ticks=stamps, options=options)


def read(path: Path) -> tuple[Timeline, np.ndarray]:
    """A timeline that changes label exactly where the frames of CUTS begin; and all times."""
    with open_video(path) as video:
        times, facts = np.asarray(video.times), video.details
    assert len(times) == COUNT
    edges = [*(float(times[i]) for i in CUTS), facts.duration]
    windows = tuple(Window(a, b) for a, b in pairwise(edges))
    scores = [[0.9, 0.1] if i % 2 else [0.1, 0.9] for i in range(len(windows))]
    about = {"duration": facts.duration, "input": describe_input(facts), "frame_times": times}
    return Timeline(str(path), ("dive", "swim"), windows, np.array(scores), **about), times


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("rate", [NTSC_24, Fraction(25), NTSC], ids=str)
def test_labels_change_at_the_exact_frame(tmp_path: Path, rate: Fraction, ending: str) -> None:
    # Matroska counts milliseconds, so its frames are up to half of one away from where they belong.
    timeline, _ = read(write(tmp_path / f"a.{ending}", rate))
    assert timeline.input.vfr is False
    assert editing_rate(timeline) == rate
    assert [p.first for p in place_segments(timeline)] == CUTS
    assert [p.after for p in place_segments(timeline)] == [*CUTS[1:], COUNT]
    clock = TimecodeClock(rate, drop=rate == NTSC)
    names = [clock.name(p.first) for p in place_segments(timeline)]
    assert [clock.frame(name) for name in names] == CUTS
    saved = Timeline.from_json(timeline.to_json())
    assert [p.first for p in place_segments(saved)] == CUTS


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_labels_change_with_their_frame_at_variable_rate(tmp_path: Path, ending: str) -> None:
    gaps = [(33, 34, 100, 17)[(i // 9) % 4] for i in range(COUNT)]
    stamps = [0, *np.cumsum(gaps)[:-1].tolist()]
    timeline, times = read(write(tmp_path / f"a.{ending}", Fraction(30), stamps))
    assert timeline.input.vfr is True
    assert [s.start_frame for s in timeline.segments] == CUTS
    rate = editing_rate(timeline)
    shown = [stamps[i] for i in CUTS]
    assert np.allclose(times[CUTS] * 1000, shown, atol=0.01)
    # The first frame of the project at or after the time stamp, which is counted to half a ms.
    ends = [*shown, round(timeline.duration * 1000)]  # type: ignore[operator]
    wanted = [max(ceil((Fraction(ms) - Fraction(1, 2)) * rate / 1000), 0) for ms in ends]
    spans = [(p.first, p.after) for p in place_segments(timeline)]
    # A frame of 17 ms may be too short for the project.
    assert spans == [(a, b) for a, b in pairwise(wanted) if a < b]
    assert len(spans) >= len(CUTS) - 1
