"""Times of day beside seconds."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vidattn
from tests.helpers import Run, two_windows, write_video
from tests.video.helpers import remux
from vidattn import output
from vidattn.errors import InputError, UsageError
from vidattn.inference.batch.start_times import StartTimes
from vidattn.timeline import Timeline
from vidattn.timeline.wall_clock import parse_time, wall_time, with_start_time
from vidattn.types import VideoInfo

START = "2024-05-01T23:59:58.5+02:00"


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2024-05-01T06:30:00Z", "2024-05-01T06:30:00+00:00"),
        ("2024-05-01 06:30:00.25", "2024-05-01T06:30:00.250000"),
        ("2024-05-01T06:30:00.1234567+0200", "2024-05-01T06:30:00.123456+02:00"),
        ("2024-05-01T06:30", "2024-05-01T06:30:00"),
    ],
)
def test_times_are_read_in_their_usual_forms(text: str, iso: str) -> None:
    assert parse_time(text).isoformat() == iso


@pytest.mark.parametrize("text", ["", "06:30", "2024-05-01", "2024-13-01T00:00", "yesterday 12:00"])
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|month"):
        parse_time(text)


def test_a_refused_time_is_quoted_as_it_was_written() -> None:
    with pytest.raises(ValueError, match=r"'01\.05\.2024 14:00Z' is no date and time"):
        parse_time(" 01.05.2024 14:00Z")


def test_a_moment_counts_from_the_start_of_the_file() -> None:
    timeline = with_start_time(two_windows(), START)
    assert wall_time(timeline, 2.0) == "2024-05-02T00:00:00.500+02:00"
    late = replace(timeline, input=VideoInfo(start_offset=1.25))
    assert wall_time(late, 2.0) == "2024-05-02T00:00:01.750+02:00"
    assert wall_time(late.from_file_start(), 3.25) == wall_time(late, 2.0)
    assert wall_time(two_windows(), 2.0) is None


def test_segments_have_times_of_day_in_json_and_tables() -> None:
    timeline = with_start_time(two_windows(), START)
    first, second = json.loads(output.render(timeline, "json"))["segments"]
    assert (first["wall_start"], first["wall_end"]) == (
        "2024-05-01T23:59:58.500+02:00",
        "2024-05-02T00:00:00.500+02:00",
    )
    rows = list(csv.DictReader(io.StringIO(output.render(timeline, "csv"))))
    assert [row["wall_start"] for row in rows] == [first["wall_start"], second["wall_start"]]
    assert "wall_start" not in output.render(two_windows(), "csv")
    assert "from 2024-05-01 23:59:58.5" in output.render(timeline, "html")
    again = Timeline.from_json(output.render(timeline, "json"))
    assert again.settings.start_time == timeline.settings.start_time


def test_a_table_finds_videos_by_their_names(tmp_path: Path) -> None:
    table = tmp_path / "starts.csv"
    table.write_text(
        "path;start\ncam1/a.mp4;2024-05-01T01:00\ncam2/a.mp4;2024-05-01T02:00\n"
        "b.mp4;2024-05-01T03:00Z\n"
    )
    starts = StartTimes.parse(str(table))

    def start(source: str) -> str | None:
        return starts.apply(two_windows(source=source)).settings.start_time

    assert start("cam2/a.mp4") == "2024-05-01T02:00:00"
    assert start("elsewhere/b.mp4") == "2024-05-01T03:00:00+00:00"
    assert start("elsewhere/a.mp4") is None
    assert "no row" in starts.apply(two_windows(source="c.mp4")).warnings[-1]
    table.write_text("path,start\na.mp4,soon\n")
    with pytest.raises(InputError, match="line 2"):
        StartTimes.parse(str(table))
    with pytest.raises(UsageError, match="no time and no file"):
        StartTimes.parse("soon")
    with pytest.raises(InputError, match=r"missing\.csv: cannot be read"):
        StartTimes.parse("missing.csv")


def stamped(path: Path, **metadata: str) -> Path:
    """A copy of a video with other metadata."""
    write_video(path.with_suffix(".plain.mp4"), 1)
    return remux(path.with_suffix(".plain.mp4"), path, metadata=metadata)


@pytest.mark.parametrize(
    ("stated", "created"),
    [
        ("2024-05-01T06:30:00.000000Z", "2024-05-01T06:30:00+00:00"),
        ("1970-01-01T00:00:00.000000Z", None),
    ],
)
def test_a_file_states_when_it_was_recorded(
    tmp_path: Path, stated: str, created: str | None
) -> None:
    with vidattn.open_video(stamped(tmp_path / "a.mp4", creation_time=stated)) as video:
        assert video.details.created == created


def test_the_command_line_takes_a_start_time_later(
    video: Path, model: Path, quick: Run, tmp_path: Path
) -> None:
    words = ("segment", video, "-m", model, "--overlap", 0, "-o", "out", "-f", "json,csv")
    quick(*words)
    shown = quick(*words, "--start-time", START, "--skip-existing")
    assert "made again from its scores" in shown.stderr
    saved = tmp_path / "out" / "walk.vidattn.json"
    assert json.loads(saved.read_bytes())["segments"][0]["wall_start"].startswith("2024-05-01T23")
    other = ("timeline", saved, "--start-time", "2025-01-01T00:00", "-o", "later", "-f", "csv")
    quick(*other)
    assert "2025-01-01T00:00:00.000" in (tmp_path / "later" / "walk.vidattn.csv").read_text()
    assert "several videos" in quick(*words, video, model, "--start-time", START, code=2).stderr
    assert np.isfinite(Timeline.load(saved).scores).all()


def test_a_video_that_a_table_of_start_times_lacks_is_told(
    quick: Run, model: Path, video: Path
) -> None:
    Path("starts.csv").write_text("path,start\nother.mp4,2024-05-01T10:00\n")
    words = ("segment", video, "-m", model, "--overlap", 0, "-o", "out", "-f", "json")
    shown = quick(*words, "--start-time", "starts.csv")
    assert f"warning: {video}: no row says when it began" in shown.stderr
