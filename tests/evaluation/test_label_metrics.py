"""Metrics of labels, several of which may hold at once: of samples and over time; and folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.test_segmentation import spans, timeline
from vidattn.evaluation.label_metrics import (
    best_thresholds,
    evaluate_label_time,
    f1_of_labels,
    gain_interval,
    measure_labels,
    micro_f1,
    ranked_precision,
)
from vidattn.evaluation.metrics import exact_interval
from vidattn.timeline import Decoding, Timeline
from vidattn.timeline.values import ModelInfo
from vidattn.training.cross_validation import fold_groups
from vidattn.types import Window

TRUTH = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
SCORES = np.array([[0.9, 0.2, 0.5], [0.8, 0.2, 0.5], [0.7, 0.2, 0.5], [0.1, 0.2, 0.5]])
BOTH = spans("a", (0, 4, "swim"), (2, 4, "dive"), (1, 2, "fly"), duration=5)


def test_average_precision_counts_equal_scores_together() -> None:
    first, second, third = ranked_precision(SCORES, TRUTH)
    assert first == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert second == pytest.approx(1 / 4)
    assert np.isnan(third)


def test_f1_of_labels_counts_right_wrong_and_missed() -> None:
    predicted = SCORES >= 0.75
    np.testing.assert_allclose(f1_of_labels(predicted, TRUTH)[:2], [2 * 1 / 4, 0])
    assert micro_f1(predicted, TRUTH) == pytest.approx(2 * 1 / (2 + 3))


def test_the_best_threshold_lies_between_two_scores() -> None:
    assert best_thresholds(SCORES, TRUTH)[0] == pytest.approx((0.7 + 0.1) / 2)
    assert best_thresholds(SCORES, TRUTH)[1] == pytest.approx(0.1)  # all or none
    assert best_thresholds(SCORES, TRUTH)[2] == 0.5


def test_intervals_hold_the_metric_and_are_the_same_again() -> None:
    groups = ["a", "a", "b", "c"]
    found = measure_labels(("x", "y", "z"), SCORES, SCORES >= 0.75, TRUTH, groups)
    again = measure_labels(("x", "y", "z"), SCORES, SCORES >= 0.75, TRUTH, groups)
    assert found.intervals == again.intervals
    low, high = found.intervals["micro_f1"]
    assert low <= found.values["micro_f1"] <= high
    assert found.to_dict()["per_class"][2]["ap"] is None
    assert found.values["accuracy"] == 0.5


def test_folds_keep_groups_whole_and_share_the_labels_out() -> None:
    groups = [f"g{i // 2}" for i in range(40)]
    truth = np.eye(2, dtype=bool)[[i // 2 % 2 for i in range(40)]]
    folds = fold_groups(groups, truth)
    assert all(folds[i] == folds[i + 1] for i in range(0, 40, 2))
    counts = np.array([truth[folds == f].sum(0) for f in range(5)])
    np.testing.assert_array_equal(counts, np.full((5, 2), 4))


def test_few_groups_are_a_fold_each() -> None:
    groups = ["a", "b", "c", "a"]
    assert len(set(fold_groups(groups, np.eye(4, dtype=bool)).tolist())) == 3


@pytest.mark.parametrize("count", [36, 300])
def test_a_gain_is_as_sure_as_its_groups(count: int) -> None:
    """A third of the samples is told by the one alone, then none."""
    truth = np.eye(2, dtype=bool)[np.arange(count) % 2]
    groups = [f"video {number}" for number in range(count)]
    scores = truth.astype(float)
    worse = np.where((np.arange(count) % 3 == 0)[:, None], ~truth, truth)
    low, high = gain_interval("mean_class", (scores, truth), (scores, worse), truth, groups)
    assert 0.1 < low < 1 / 3 < high < 0.6
    same = gain_interval("mean_class", (scores, truth), (scores, truth), truth, groups)
    assert same == (0, 3 / count)
    alone = gain_interval("map", (scores, truth), (scores, truth), truth, ["a"] * count)
    assert np.isnan(alone).all()


def test_what_is_all_right_is_as_sure_as_its_groups() -> None:
    truth = np.eye(2, dtype=bool)[np.arange(18) % 2]
    groups = [f"video {number // 2}" for number in range(18)]
    found = measure_labels(("a", "b"), truth.astype(float), truth, truth, groups)
    low, high = exact_interval(9, 9)
    assert found.intervals["accuracy"] == (pytest.approx(low, abs=1e-6), high)
    assert found.f1_interval.ravel() == pytest.approx([low, 1, low, 1], abs=1e-6)
    wrong = measure_labels(("a", "b"), truth.astype(float), ~truth, truth, groups)
    assert wrong.intervals["micro_f1"] == (0, pytest.approx(1 - low, abs=1e-6))


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
