"""Time budgets: counts, durations, latencies and transitions, by hand."""

from __future__ import annotations

import pytest

from tests.helpers import two_windows
from vidattn.timeline.budget import Observation, time_budget
from vidattn.types import Window

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
