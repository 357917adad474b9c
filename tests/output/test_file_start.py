"""Pictures that begin after the start of the file: everyone counts as players do, JSON has both."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.helpers import two_windows
from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.evaluation.diff import diff
from vidattn.output import render
from vidattn.timeline import Timeline
from vidattn.types import VideoInfo, Window


@pytest.fixture
def late() -> Timeline:
    """Two segments of two seconds; the first frame comes 4 s after the start of the file."""
    info = VideoInfo(fps=Fraction(25), vfr=False, frames=100, start_offset=4.0)
    return two_windows(input=info, duration=4.0, unreadable=((Window(3.5, 4), "E_DECODE"),))


FIRST = {
    "srt": "00:00:04,000 --> 00:00:06,000",
    "vtt": "00:00:04.000 --> 00:00:06.000",
    "csv": "a.mp4,4.000,6.000",
    "tsv": "4000\t6000\tdive",
    "jsonl": '"start": 4.0, "end": 6.0',
    "edl": "00:00:04:00 00:00:06:00 00:00:04:00 00:00:06:00",
    "eaf": 'TIME_VALUE="4000"',
    "fcpxml": 'name="Gap" offset="0s" start="0s" duration="4s"',
    "labelstudio": '"start": 101, "end": 150',
    "activitynet": '"segment": [4.0, 6.0]',
    "cvat": '<image id="0"',
    "html": '"duration": 8.0, "part": [4.0, 8.0]',
}


@pytest.mark.parametrize("fmt", FIRST)
def test_each_format_counts_as_its_program_does(late: Timeline, fmt: str) -> None:
    assert FIRST[fmt] in re.sub(r"[ \n]+", " ", render(late, fmt))


def test_json_counts_from_the_first_frame_and_names_the_offset(late: Timeline) -> None:
    document = json.loads(render(late, "json"))
    assert (document["input"]["start_offset"], document["segments"][0]["start"]) == (4.0, 0.0)
    assert Timeline.from_json(render(late, "json")).to_json() == late.to_json()


def test_a_moved_timeline_says_the_same(late: Timeline) -> None:
    moved = late.from_file_start()
    assert moved.from_file_start() is moved
    assert [s.window.start for s in moved.segments] == [4.0, 6.0]
    assert (moved.coverage, moved.is_whole) == (late.coverage, late.is_whole)
    assert [s.start_frame for s in moved.segments] == [s.start_frame for s in late.segments]
    assert moved.totals() == late.totals()
    assert two_windows().from_file_start().input.start_offset is None


@pytest.mark.parametrize("fmt", ["srt", "vtt", "csv", "eaf", "activitynet"])
def test_what_is_written_is_read_back_at_its_place(
    late: Timeline, fmt: str, tmp_path: Path
) -> None:
    late = replace(late, unreadable=())
    suffix = {"activitynet": "json"}.get(fmt, fmt)
    (tmp_path / f"a.{suffix}").write_text(
        render(late, fmt)
        .replace('"results"', '"database"')
        .replace('"a": [', '"a": {"annotations": [')
        .replace(']\n  },\n  "external', ']}\n  },\n  "external')
    )
    (video,) = read_ground_truth(tmp_path / f"a.{suffix}").videos
    assert diff(late, video).share == 1


def test_an_offset_that_cannot_be_is_refused() -> None:
    for offset in (-1.0, float("nan"), 1e300):
        with pytest.raises(ValueError, match="start offset"):
            two_windows(input=VideoInfo(start_offset=offset))
