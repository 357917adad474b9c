"""Timelines of labels that may hold at once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from vidattn import output
from vidattn.timeline import Decoding, Timeline
from vidattn.types import ModelInfo, VideoInfo, Window


def several(
    scores: list[list[float]], thresholds: dict[str, float] | None = None, **decoding: object
) -> Timeline:
    """A window of a second for each row."""
    return Timeline(
        source="a.mp4",
        labels=("walk", "talk"),
        windows=tuple(Window(i, i + 1) for i in range(len(scores))),
        scores=np.array(scores),
        input=VideoInfo(fps=None),
        model=ModelInfo(name="own", activation="sigmoid", thresholds=thresholds),
        decoding=Decoding(**{"smooth": "none", **decoding}),  # type: ignore[arg-type]
    )


SCORES = [[0.9, 0.1], [0.9, 0.8], [0.2, 0.8], [0.2, 0.3]]


def spans(timeline: Timeline) -> list[tuple[float, float, str]]:
    return [(s.start, s.stop, s.label) for s in timeline.segments]


def test_labels_that_hold_at_once_overlap_and_none_is_background() -> None:
    assert spans(several(SCORES)) == [(0, 2, "walk"), (1, 3, "talk"), (3, 4, "background")]
    assert several(SCORES).segments[1].score == pytest.approx(0.8)


def test_every_label_has_a_threshold_of_its_own() -> None:
    found = several(SCORES, {"walk": 0.95, "talk": 0.25})
    assert spans(found) == [(0, 1, "background"), (1, 4, "talk")]
    assert spans(several(SCORES, {"walk": 0.95}, threshold=0.85))[0] == (0, 2, "walk")


def test_a_single_track_shows_the_strongest() -> None:
    found = [(s.start, s.stop, s.label) for s in several(SCORES).single_track]
    assert found == [(0, 2, "walk"), (2, 3, "talk"), (3, 4, "background")]


def test_gaps_short_segments_and_hysteresis_count_for_each_label() -> None:
    rows = [[0.9, 0.6], [0.4, 0.1], [0.9, 0.1]]
    assert (0, 3, "walk") in spans(several(rows, merge_gap=1.0))
    assert "talk" not in [s.label for s in several(rows, min_duration=2.0, merge_gap=1).segments]
    assert (0, 3, "walk") in spans(several(rows, threshold=0.5, leave=0.3))


def test_the_likeliest_path_bridges_a_doubtful_window() -> None:
    rows = [[0.95, 0.1], [0.45, 0.1], [0.95, 0.1], [0.95, 0.1]]
    assert spans(several(rows, smooth="auto")) == [(0, 4, "walk")]


def dense(cuts: tuple[float, ...] | None = None, **decoding: object) -> Timeline:
    """Ten seconds at 24 frames a second, four windows a second: "walk" holds until 3.3 s, "talk"
    from 2 to 7 s; the scores of windows are the shares of their time, and three are wrong."""
    starts = np.arange(0, 9.01, 0.25)
    held = [(0.0, 3.3), (2.0, 7.0)]
    seen = [np.clip(np.minimum(starts + 1, b) - np.maximum(starts, a), 0, 1) for a, b in held]
    scores = 0.05 + 0.9 * np.stack(seen, axis=1)
    scores[15:18, 1] = 0.3
    timeline = several([[0.0, 0.0]], smooth="auto", **decoding)
    return replace(
        timeline,
        windows=tuple(Window(s, s + 1) for s in starts.tolist()),
        scores=scores,
        duration=10.0,
        input=VideoInfo(fps=Fraction(24), vfr=False),
        cuts=cuts,
        frame_times=np.arange(240) / 24,
    )


def test_all_windows_decide_where_each_label_holds() -> None:
    timeline = dense()
    walk, talk = (s for s in timeline.segments if s.label_id is not None)
    assert (walk.label, walk.start) == ("walk", 0)
    assert walk.stop == pytest.approx(3.3, abs=0.05)
    assert (talk.start, talk.stop) == (pytest.approx(2, abs=0.05), pytest.approx(7, abs=0.05))
    assert talk.start_frame == round(talk.start * 24)  # between frames, not between cells
    assert talk.windows == 20
    assert 0.7 < talk.confidence < 1
    assert len(timeline.with_decoding(smooth="none").segments) > 3


def test_background_and_a_single_track_meet_the_segments_of_labels() -> None:
    timeline = dense()
    background = [s for s in timeline.segments if s.label_id is None]
    last = max(s.stop for s in timeline.segments if s.label_id is not None)
    assert [(s.start, s.stop) for s in background] == [(last, 10)]
    track = timeline.single_track
    assert [s.label for s in track] == ["walk", "talk", "background"]
    assert all(a.stop == b.start and a.end_frame == b.start_frame for a, b in pairwise(track))


def test_a_single_track_has_no_clip_of_an_odd_window_and_keeps_the_shortest_duration() -> None:
    rows = [[0.9, 0.7 + 0.25 * (i == 5)] for i in range(10)]
    timeline = several(rows, {"walk": 0.5, "talk": 0.5}, smooth="auto")
    assert [s.label for s in timeline.single_track] == ["walk"]
    # As sure beside a threshold of 0.95, the other label is less so beside its own.
    assert [s.label for s in several(rows, {"walk": 0.89, "talk": 0.3}).single_track] == ["talk"]
    short = several([[0.9, 0.1]] * 4 + [[0.9, 0.95]] + [[0.9, 0.1]] * 4)
    assert [s.label for s in short.single_track] == ["walk", "talk", "walk"]
    longer = short.with_decoding(min_duration=2.0)
    assert [s.label for s in longer.single_track] == ["walk"]


@pytest.mark.parametrize("smooth", ["auto", "none", "viterbi"])
def test_a_score_at_the_threshold_holds(smooth: str) -> None:
    found = several([[0.25, 0.1]] * 6, {"walk": 0.25}, smooth=smooth)
    assert spans(found) == [(0, 6, "walk")]


def test_labels_begin_and_end_at_shot_cuts() -> None:
    walk, talk, _ = dense(cuts=(2.05, 3.25)).segments
    assert (walk.stop, talk.start) == (3.25, 2.05)


def test_overlapping_windows_average_the_odds_of_each_label() -> None:
    timeline = Timeline(
        source="a.mp4",
        labels=("walk", "talk"),
        windows=(Window(0, 2), Window(1, 3)),
        scores=np.array([[0.9, 0.9], [0.1, 0.9]]),
        model=ModelInfo(activation="sigmoid"),
    )
    np.testing.assert_allclose(
        timeline.cell_scores, [[0.9, 0.9], [0.5, 0.9], [0.1, 0.9]], atol=1e-6
    )


def test_the_document_gives_the_same_segments_again() -> None:
    timeline = several(SCORES, {"walk": 0.6, "talk": 0.7})
    again = Timeline.from_json(timeline.to_json())
    assert again.segments == timeline.segments
    assert again.model == timeline.model or again.model.thresholds == timeline.model.thresholds
    with pytest.raises(ValueError, match="thresholds of labels"):
        several(SCORES, {"walk": 2.0})


@pytest.mark.parametrize("name", sorted(output.WRITERS))
def test_every_format_takes_overlapping_segments(name: str) -> None:
    text = output.render(several(SCORES), name)
    assert "walk" in text
    assert "talk" in text


def test_elan_gets_tiers_for_each_label() -> None:
    text = output.render(several(SCORES), "eaf")
    tiers = [tier.get("TIER_ID") for tier in ElementTree.fromstring(text).iter("TIER")]
    assert tiers == ["vidattn walk", "vidattn score walk", "vidattn talk", "vidattn score talk"]


def test_the_page_gets_the_segments_of_the_file() -> None:
    text = output.render(several(SCORES), "html")
    assert '"overlapping": true' in text
    assert '"fixed": [[0.0, 2.0, 0, 0.9, 0, 2], [1.0, 3.0, 1, 0.8, 1, 3]' in text
