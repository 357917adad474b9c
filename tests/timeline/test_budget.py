"""Time budgets and actograms: counts, durations, latencies, transitions and times, by hand."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.helpers import Run, two_windows
from vidattn.output.report.index import IndexEntry, draw_actogram, index_page
from vidattn.timeline.budget import Actogram, Observation, day_parts, part_time, time_budget
from vidattn.timeline.wall_clock import with_start_time
from vidattn.types import VideoInfo, Window

FIRST = Observation.of(
    (0.0, 20.0), [(0, 4, "rest"), (4, 6, "feed"), (6, 16, "rest"), (18, 20, "feed")], [(16, 18)]
)
"""Twenty seconds, two of which could not be read."""
SECOND = Observation.of((10.0, 20.0), [(10, 13, "feed"), (13, 14, "run"), (14, 20, "feed")])


def test_one_video_by_hand() -> None:
    rest, feed = time_budget([FIRST])
    assert (rest.label, rest.count, rest.seconds, rest.share) == ("rest", 2, 14.0, 14 / 18)
    assert (rest.mean_seconds, rest.median_seconds, rest.latency_seconds) == (7.0, 7.0, 0.0)
    assert rest.followers == {"feed": 1}  # what comes after a gap follows nothing
    assert (feed.count, feed.seconds, feed.latency_seconds) == (2, 4.0, 4.0)
    assert feed.followers == {"rest": 1}


def test_videos_together_count_what_they_have() -> None:
    rest, feed, run = time_budget([FIRST, SECOND])
    assert (feed.label, feed.videos, feed.count, feed.seconds) == ("feed", 2, 4, 13.0)
    assert feed.share == 13 / 28
    assert (feed.mean_seconds, feed.median_seconds) == (3.25, 2.5)
    assert feed.latency_seconds == 2.0  # 4 s in the first, 0 s in the second
    assert feed.followers == {"rest": 1, "run": 1}
    assert (rest.label, run.label, run.videos, run.latency_seconds) == ("rest", "run", 1, 3.0)
    assert time_budget([]) == []


def test_segments_that_overlap_follow_in_the_order_of_their_starts() -> None:
    walk, call = time_budget([Observation.of((0, 10), [(2, 9, "walk"), (4, 5, "call")])])
    assert (walk.share, call.share, walk.followers) == (0.7, 0.1, {"call": 1})


def test_a_document_gives_the_same_as_its_segments() -> None:
    timeline = two_windows(unreadable=((Window(4, 6), "E_DECODE"),), duration=6.0)
    one = Observation.of_document(timeline.to_dict(scores=False))
    assert one.seconds == pytest.approx(4.0)
    assert {label: list(times) for label, times in one.durations.items()} == {
        "dive": [2.0],
        "swim": [2.0],
    }
    assert (one.latencies, one.transitions) == ({"dive": 0.0, "swim": 2.0}, {("dive", "swim"): 1})


def test_segments_are_shared_among_the_parts_of_days_they_lie_in() -> None:
    late = two_windows(
        input=VideoInfo(start_offset=0.5), unreadable=((Window(4, 6), "E_DECODE"),), duration=6.0
    )
    parts = day_parts(with_start_time(late, "2024-05-01T23:59:56.5+02:00").to_dict())
    before, after = ("2024-05-01", 47), ("2024-05-02", 0)
    assert parts.seconds == {before: {"dive": 2.0, "swim": 1.0}, after: {"swim": 1.0}}
    assert parts.begun == {before: {"dive": 1, "swim": 1}}
    assert (parts.seen[before], parts.seen[after]) == (3.0, 1.0)
    whole = Actogram()
    for _ in range(2):
        whole.add(Actogram.from_bytes(parts.to_bytes()))
    assert whole.seconds[before] == {"dive": 4.0, "swim": 2.0}
    assert (whole.seen[after], whole.begun[before]["dive"]) == (2.0, 2)


def test_a_video_of_an_unknown_time_is_in_no_actogram() -> None:
    assert day_parts(two_windows().to_dict()) is None


def test_parts_of_days_have_the_times_of_clocks() -> None:
    assert [part_time(n) for n in (0, 1, 13, 48)] == ["00:00", "00:30", "06:30", "24:00"]


@pytest.mark.parametrize("start", ["2024-05-01T06:29:59Z", None])
def test_the_budget_has_an_actogram_where_times_are_known(
    quick: Run, tmp_path: Path, start: str | None
) -> None:
    (tmp_path / "a.json").write_text(two_windows().to_json())
    more = () if start is None else ("--start-time", start)
    quick("timeline", "a.json", "-f", "budget", *more)
    place = tmp_path / "actogram.csv"
    assert place.exists() == (start is not None)
    if start is not None:
        with place.open(newline="") as file:
            rows = [tuple(row.values()) for row in csv.DictReader(file)]
        assert rows == [
            ("2024-05-01", "06:00", "06:30", "1.000", "dive", "1", "1.000", "100.000"),
            ("2024-05-01", "06:30", "07:00", "3.000", "dive", "0", "1.000", "33.333"),
            ("2024-05-01", "06:30", "07:00", "3.000", "swim", "1", "2.000", "66.667"),
        ]


def test_the_drawing_has_a_row_for_each_day() -> None:
    night = datetime(2024, 5, 1, 23, 0)
    spans = [(night, night + timedelta(hours=2), "k1"), (night, night + timedelta(seconds=1), "k2")]
    drawing, days = draw_actogram(spans)
    root = ElementTree.fromstring(drawing)
    assert days == 2
    assert [text.text for text in root.iter("text")][:3] == ["2024-05-01", "2024-05-02", "00:00"]
    first, second = (path.get("d") for path in root.iter("path"))
    assert first == "M1000.8 2H1040.0V14H1000.8ZM100.0 18H139.2V30H100.0Z"
    assert second == "M1000.8 2H1002.3V14H1000.8Z"  # a second is drawn as wide as can be seen
    assert draw_actogram([]) == ("", 0)


def test_the_index_has_an_actogram_where_times_are_known() -> None:
    timed = with_start_time(two_windows(), "2024-05-01T06:00:00Z")
    page = index_page("run", [IndexEntry.of("a", "a.html", timed)], [])
    assert "<h2>Actogram</h2>" in page
    assert "2024-05-01</text>" in page
    assert "Actogram" not in index_page("run", [IndexEntry.of("a", "a.html", two_windows())], [])
