"""Each label of timelines by itself, on days short enough to count by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.test_segmentation import spans, timeline
from vidattn.evaluation.label_metrics import evaluate_label_time
from vidattn.timeline import Decoding, Timeline
from vidattn.timeline.values import ModelInfo
from vidattn.types import Window

BOTH = spans("a", (0, 4, "swim"), (2, 4, "dive"), (1, 2, "fly"), duration=5)


def several(source: str, *rows: tuple[float, float]) -> Timeline:
    """A second for each row: the scores of swim and dive, which may hold at once from 0.5."""
    windows = tuple(Window(second, second + 1) for second in range(len(rows)))
    model = ModelInfo(activation="sigmoid", thresholds={"swim": 0.5, "dive": 0.5})
    plain = Decoding(smooth="none")
    return Timeline(source, ("swim", "dive"), windows, np.array(rows), model=model, decoding=plain)


def test_each_label_counts_by_its_seconds() -> None:
    said = several("a", (0.9, 0.1), (0.8, 0.6), (0.2, 0.7), (0.7, 0.3), (0.4, 0.2))
    found = evaluate_label_time([(BOTH, said)])
    rows = {row["label"]: row for row in found.to_dict()["per_class"]}
    assert [rows[name]["seconds"] for name in ("swim", "dive", "fly")] == [4, 2, 1]
    # Swimming is found in 3 of 4 s; diving in 1 of 2, and wrongly in 1; flying cannot be.
    assert (rows["swim"]["f1"], rows["dive"]["f1"]) == (pytest.approx(6 / 7, abs=1e-6), 0.5)
    assert (rows["fly"]["f1"], rows["fly"]["ap"]) == (0, 0.2)
    assert rows["swim"]["ap"] == pytest.approx((3 * 1 + 4 / 5) / 4)
    assert rows["dive"]["ap"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert found.values["micro_f1"] == pytest.approx(2 * 4 / (5 + 7))
    assert found.to_dict()["intervals"]["map"] == [None, None]  # of one video


def test_pieces_of_time_count_like_as_many_samples() -> None:
    rows = ((0.9, 0.1), (0.8, 0.6), (0.2, 0.7), (0.7, 0.3), (0.4, 0.2))
    whole = evaluate_label_time([(BOTH, several("a", *rows))])
    cut = spans(
        "a", (0, 1.25, "swim"), (1.25, 4, "swim"), (2, 4, "dive"), (1, 2, "fly"), duration=5
    )
    assert evaluate_label_time([(cut, several("a", *rows))]).to_dict() == whole.to_dict()


def test_videos_without_a_prediction_count_as_missed() -> None:
    said = several("a", (0.9, 0.1), (0.9, 0.1), (0.9, 0.9), (0.9, 0.9), (0.1, 0.1))
    found = evaluate_label_time([(BOTH, said), (spans("b", (0, 4, "swim"), duration=4), None)])
    assert found.f1[0] == pytest.approx(2 * 4 / (4 + 8))
    assert found.ap[0] == pytest.approx((4 + 4 * 8 / 9) / 8)
    assert found.intervals["macro_f1"][0] < found.values["macro_f1"]


def test_every_area_of_a_video_counts() -> None:
    left = replace(spans("a", (0, 4, "swim"), (2, 4, "dive"), duration=4), roi="left")
    right = replace(spans("a", (0, 4, "dive"), duration=4), roi="right")
    pairs = [(left, timeline("a", "ssss")), (right, timeline("a", "dddd"))]
    for order in (pairs, pairs[::-1]):
        found = evaluate_label_time(order)
        seconds = {row["label"]: row["seconds"] for row in found.to_dict()["per_class"]}
        assert seconds == {"swim": 4, "dive": 6}
        assert found.to_dict()["intervals"]["map"] == [None, None]  # of one video


def test_what_the_strongest_label_says_is_measured_against_overlapping_spans() -> None:
    found = evaluate_label_time([(BOTH, timeline("a", "ssdd."))])
    assert found.f1[:2].tolist() == pytest.approx([2 * 2 / 6, 1.0])


def test_one_label_at_a_time_has_no_such_metrics() -> None:
    assert evaluate_label_time([(spans("a", (0, 4, "swim")), timeline("a", "ssss"))]) is None


def test_only_the_part_that_was_seen_counts() -> None:
    whole = several("a", (0.9, 0.1), (0.8, 0.6))
    found = evaluate_label_time([(BOTH, replace(whole, duration=5.0))])
    rows = {row["label"]: row for row in found.to_dict()["per_class"]}
    assert (rows["swim"]["seconds"], rows["swim"]["f1"]) == (2, 1)
    assert rows["dive"]["f1"] is None
