"""A timeline beside the truth: seconds, boundaries, and the list of what differs."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from vidattn.data.annotations.ground_truth import AnnotatedVideo
from vidattn.errors import DataError
from vidattn.evaluation.diff import NOT_SEEN, as_ground_truth, diff
from vidattn.timeline import Decoding, Timeline
from vidattn.types import VideoInfo, Window


def timeline_of(choice: str, **more: Any) -> Timeline:
    """A second for each letter: d(ive), s(wim), or u(nsure), which is background."""
    scores = {"d": [0.9, 0.1], "s": [0.1, 0.9], "u": [0.5, 0.5]}
    return Timeline(
        source="a.mp4",
        labels=("dive", "swim"),
        windows=tuple(Window(i, i + 1) for i in range(len(choice))),
        scores=[scores[c] for c in choice],
        decoding=Decoding(smooth="none", threshold=0.8),
        **more,
    )


def spans(*rows: tuple[float, float, str]) -> AnnotatedVideo:
    return AnnotatedVideo("a", spans=tuple((Window(a, b), label) for a, b, label in rows))


def rows(difference: Any) -> list[tuple[float, float, str, tuple[str, ...]]]:
    return [(d.window.start, d.window.stop, d.said, d.true) for d in difference.disagreements]


def test_equal_timelines_have_no_disagreements() -> None:
    timeline = timeline_of("ddssuu")
    difference = diff(timeline, as_ground_truth(timeline))
    assert (difference.agreed, difference.part.duration, rows(difference)) == (6, 6, [])
    assert [t.to_dict()["iou"] for t in difference.labels] == [1, 1]


def test_every_stretch_that_differs_is_listed_once() -> None:
    difference = diff(
        timeline_of("ddssuu"), spans((0.5, 2.5, "Dive"), (2.5, 3, "swim"), (4, 5, "swim"))
    )
    assert rows(difference) == [
        (0, 0.5, "Dive", ()),
        (2, 2.5, "swim", ("Dive",)),
        (3, 4, "swim", ()),
        (4, 5, "background", ("swim",)),
    ]
    assert difference.agreed == pytest.approx(1.5 + 0.5 + 1)
    dive = next(t for t in difference.labels if t.label == "Dive").to_dict()
    assert (dive["agreed"], dive["only_timeline"], dive["only_truth"]) == (1.5, 0.5, 0.5)
    assert (dive["matched"], dive["start_off"], dive["end_off"]) == (1, 0.5, 0.5)
    document = difference.to_dict()
    assert document["boundaries"][-1]["start_off"] == -0.5
    assert document["disagreements"][0]["truth"] == ["background"]


def test_any_of_several_labels_at_a_time_is_right() -> None:
    difference = diff(timeline_of("dds"), spans((0, 3, "dive"), (1, 3, "swim")))
    assert rows(difference) == []
    assert difference.agreed == 3
    assert {t.label: t.only_true for t in difference.labels} == {"dive": 1, "swim": 1}


def test_spans_of_a_label_that_touch_are_one() -> None:
    difference = diff(timeline_of("ddds"), spans((0, 1, "dive"), (1, 2, "dive"), (2, 4, "swim")))
    tallies = {t.label: t.to_dict() for t in difference.labels}
    assert (tallies["dive"]["spans"], tallies["dive"]["end_off"]) == (1, 1)
    assert tallies["swim"]["start_off"] == 1


def test_time_that_was_not_seen_does_not_agree() -> None:
    difference = diff(
        timeline_of("dddd", unreadable=((Window(1, 2), "E_DECODE"),)), spans((0, 9, "dive"))
    )
    assert rows(difference) == [(1, 2, NOT_SEEN, ("dive",))]
    assert (difference.agreed, difference.part.duration) == (3, 4)


def test_only_the_part_that_both_speak_of_counts() -> None:
    whole = timeline_of("ddssuu", duration=60.0)
    assert (whole.part, whole.is_whole) == (Window(0, 6), False)
    difference = diff(whole, as_ground_truth(whole))
    assert (difference.share, rows(difference)) == (1, [])
    assert difference.to_dict()["part"] == [0, 6]
    difference = diff(whole, spans((3, 9, "swim"), (30, 50, "dive")))
    assert rows(difference) == [
        (0, 2, "dive", ()),
        (2, 3, "swim", ()),
        (4, 6, "background", ("swim",)),
    ]
    first = AnnotatedVideo("a", spans=((Window(0, 2), "dive"),), part=Window(0, 2))
    assert diff(whole, first).share == 1
    with pytest.raises(DataError, match="covers 0 to 6 s, and a 7 to 9 s"):
        diff(whole, AnnotatedVideo("a", part=Window(7, 9)))


def test_a_difference_that_no_frame_lies_in_is_none() -> None:
    timeline = timeline_of("ddss", input=VideoInfo(fps=Fraction(24), vfr=True))
    off = 0.9 / 24
    difference = diff(timeline, spans((0, 2 + off, "dive"), (2 + off, 4 - off, "swim")))
    assert len(rows(difference)) == 1  # the frame at 2 s
    difference = diff(timeline, spans((0, 2 - off, "dive"), (2, 4, "swim")))
    assert (rows(difference), difference.share) == ([], pytest.approx(1))


def test_frame_labels_are_spread_over_the_video() -> None:
    difference = diff(
        timeline_of("ddss"), AnnotatedVideo("a", frames=("dive",) * 10 + ("SIL",) * 10)
    )
    assert rows(difference) == [(2, 4, "swim", ("SIL",))]
    difference = diff(
        timeline_of("dduu"), AnnotatedVideo("a", frames=("dive",) * 10 + ("background",) * 10)
    )
    assert rows(difference) == []


def test_the_seconds_of_random_spans_add_up() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        timeline = timeline_of("".join(random.choice(list("dsu"), 30)))
        edges = np.sort(random.choice(3000, 12, replace=False)) / 100
        names = random.choice(["dive", "swim", "jump"], 6)
        pairs = zip(edges[::2], edges[1::2], names, strict=True)
        difference = diff(timeline, spans(*((float(a), float(b), str(n)) for a, b, n in pairs)))
        differing = sum(d.window.duration for d in difference.disagreements)
        assert difference.agreed + differing == pytest.approx(difference.part.duration)
        for tally in difference.labels:
            own = sum(s.window.duration for s in timeline.segments if s.label == tally.label)
            assert tally.both + tally.only_said == pytest.approx(own)
