"""Metrics of predictions small enough to count by hand."""

import numpy as np
import pytest

from vidattn.evaluation.metrics import (
    COLDEST,
    HOTTEST,
    average_precision,
    best_temperature,
    brier,
    calibration_error,
    confusion,
    edit_score,
    exact_interval,
    f1,
    f1_counts,
    label_runs,
    log_probabilities,
    mean_class,
    mean_nll,
    most_confused,
    overlaps,
    predicted_classes,
    probabilities,
    top_k,
)

LOGITS = np.array([[3.0, 1, 2], [1, 3, 2], [1, 2, 3], [3, 2, 1]])
LABELS = np.array([0, 2, 2, 1])


def nll(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    return mean_nll(log_probabilities(logits, temperature), labels)


def test_top_k_counts_labels_among_the_k_largest() -> None:
    assert (top_k(LOGITS, LABELS, 1), top_k(LOGITS, LABELS, 2)) == (0.5, 1.0)


def test_equal_logits_earn_nothing() -> None:
    assert top_k(np.zeros((4, 3)), LABELS, 1) == 0.0


def test_predictions_of_nan_count_as_errors() -> None:
    broken = np.full((4, 3), np.nan)
    assert top_k(broken, LABELS, 1) == top_k(broken, LABELS, 5) == 0.0
    assert top_k(np.where(LOGITS == 1, np.nan, LOGITS), LABELS, 1) == 0.0


def test_of_no_clips_there_is_no_score() -> None:
    assert np.isnan(top_k(LOGITS[:0], LABELS[:0], 1))
    assert np.isnan(mean_class(np.zeros((3, 3), np.int64)))


@pytest.mark.parametrize("values", [2, 3])
def test_a_prediction_is_right_if_and_only_if_top1_counts_it(values: int) -> None:
    rng = np.random.default_rng(values)
    logits = rng.integers(0, values, (500, 4)).astype(np.float32)  # more ties than not
    labels = rng.integers(0, 4, 500)
    detections = predicted_classes(logits, labels)
    assert (detections == labels).mean() == top_k(logits, labels, 1)
    assert (logits[np.arange(500), detections] == logits.max(1)).all()
    sure = np.sort(logits, 1)[:, -1] > np.sort(logits, 1)[:, -2]
    assert (detections == logits.argmax(1))[sure].all()


def test_rows_of_the_confusion_matrix_are_ground_truth() -> None:
    assert confusion(LOGITS.argmax(1), LABELS, 3).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]


def test_mean_class_weighs_classes_equally_and_ignores_absent_ones() -> None:
    assert mean_class(np.array([[9, 1, 0], [1, 0, 0], [0, 0, 0]])) == pytest.approx((0.9 + 0) / 2)


def test_errors_are_ranked_and_the_diagonal_is_none() -> None:
    counts = np.array([[9, 1, 3], [0, 5, 3], [2, 0, 7]])
    assert most_confused(counts, 3) == [(0, 2, 3), (1, 2, 3), (2, 0, 2)]
    assert most_confused(counts, 99)[-1] == (0, 1, 1)
    assert most_confused(np.diag([1, 2]), 5) == []


def test_likelihood_and_brier_score_of_three_predictions() -> None:
    scores = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    labels = np.array([0, 2, 1])
    assert nll(np.log(scores), labels) == pytest.approx((np.log(2) + np.log(10) + np.log(3)) / 3)
    # .25 + .0625 + .0625; .01 + .64 + .81; 1/9 + 4/9 + 1/9
    assert brier(scores, labels) == pytest.approx((0.375 + 1.46 + 2 / 3) / 3)
    assert brier(np.array([[0.0, 1.0]]), np.array([0])) == 2.0


def test_calibration_error_by_hand() -> None:
    """Two bins of four: (.5, .75] has .6 and .7, one right; (.75, 1] has .8 and 1, both right."""
    scores = np.array([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2], [1.0, 0.0]])
    labels = np.array([0, 1, 0, 0])
    by_hand = (abs(1.3 - 1) + abs(1.8 - 2)) / 4
    assert calibration_error(scores, labels, bins=4) == pytest.approx(by_hand)
    # An upper edge belongs to its bin: .75 is with .6, where the errors cancel, not with 1.
    edge = np.array([[0.75, 0.25], [0.75, 0.25], [0.75, 0.25], [0.75, 0.25]])
    assert calibration_error(edge, np.array([0, 0, 0, 1]), bins=4) == pytest.approx(0)


def test_calibrated_predictions_have_no_calibration_error() -> None:
    scores = np.tile([0.8, 0.2], (10, 1))
    assert calibration_error(scores, np.array([0] * 8 + [1] * 2)) == pytest.approx(0)
    assert calibration_error(scores, np.zeros(10, int)) == pytest.approx(0.2)


def test_a_temperature_undoes_what_was_multiplied() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(4000, 5)) * 2
    draws = rng.random((4000, 1))
    labels = (probabilities(honest).cumsum(1) < draws).sum(1)
    fitted = best_temperature(honest, labels)
    assert fitted == pytest.approx(1, abs=0.05)
    assert best_temperature(honest * 3, labels) == pytest.approx(3 * fitted, rel=1e-9)
    assert best_temperature(honest / 4, labels) == pytest.approx(fitted / 4, rel=1e-9)
    assert nll(honest, labels, fitted) <= min(nll(honest, labels, t * fitted) for t in (0.98, 1.02))
    overconfident = calibration_error(probabilities(honest * 3), labels)
    assert calibration_error(probabilities(honest * 3, 3 * fitted), labels) < overconfident / 3


def test_a_temperature_has_bounds() -> None:
    logits = np.array([[1.0, 0], [0, 1]])
    assert best_temperature(logits, np.array([0, 1])) == COLDEST
    assert best_temperature(logits, np.array([1, 0])) == HOTTEST
    assert best_temperature(logits[:0], np.zeros(0, int)) == 1.0
    assert best_temperature(np.zeros((3, 2)), np.array([0, 1, 1])) == HOTTEST


def test_logits_may_be_huge() -> None:
    assert nll(np.array([[1e30, 0], [0, 1e30]]), np.array([0, 1])) == 0
    assert np.isfinite(best_temperature(np.array([[1e4, 0], [0, 1e4]]), np.array([0, 0])))


def ids(text: str) -> np.ndarray:
    """Labels of frames out of letters; "." is background."""
    return np.array([-1 if letter == "." else ord(letter) - ord("a") for letter in text], np.int64)


def counts(predicted: str, expected: str, overlap: float) -> tuple[int, int, int]:
    return f1_counts(*label_runs(ids(predicted)), *label_runs(ids(expected)), overlap)


def edit(predicted: str, expected: str) -> float:
    return edit_score(label_runs(ids(predicted))[1], label_runs(ids(expected))[1])


def test_runs_are_stretches_of_equal_labels_without_background() -> None:
    bounds, labels = label_runs(ids("..aab.bb"))
    assert bounds.tolist() == [[2, 4], [4, 5], [6, 8]]
    assert labels.tolist() == [0, 1, 1]
    for nothing in ("", "...."):
        assert [len(part) for part in label_runs(ids(nothing))] == [0, 0]
    assert label_runs(ids("aaa"))[0].tolist() == [[0, 3]]


@pytest.mark.parametrize(
    ("predicted", "expected", "by_hand"),
    [
        ("aabbcc", "abbbbc", 1.0),  # the order is right; when does not matter
        ("aaccbb", "aabbcc", 1 - 2 / 3),  # a c b to a b c: two changed
        ("aabb", "aabbcc", 1 - 1 / 3),  # c is lacking
        ("ababab", "aaabbb", 1 - 4 / 6),  # four too many of six
        ("...", "..", 1.0),  # nothing on both sides
        ("...", "abc", 0.0),
        ("aaa", "...", 0.0),
        ("a.a", "aaa", 1 - 1 / 2),  # a gap makes two of one
        ("bbb", "aaa", 0.0),
    ],
)
def test_edit_score_by_hand(predicted: str, expected: str, by_hand: float) -> None:
    assert edit(predicted, expected) == pytest.approx(by_hand)
    assert edit(expected, predicted) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("predicted", "expected", "overlap", "by_hand"),
    [
        ("aaaabbbb", "aaaabbbb", 0.5, (2, 0, 0)),
        # a: 2 of 6 frames shared, and so has b
        ("aabbbbbb", "aaaaaabb", 0.25, (2, 0, 0)),
        ("aabbbbbb", "aaaaaabb", 0.34, (0, 2, 2)),
        # Two predictions within one event: the first takes it, the other is wrong.
        ("aa..aa", "aaaaaa", 0.25, (1, 1, 0)),
        ("aa..aa", "aaaaaa", 0.5, (0, 2, 1)),
        # One prediction over two events: IoU 3/8 and 4/8, it can be only one of them.
        ("aaaaaaaa", "aaa.aaaa", 0.5, (1, 0, 1)),
        ("bbbb", "aaaa", 0.1, (0, 1, 1)),
        ("....", "aa..", 0.1, (0, 0, 1)),
        ("aa..", "....", 0.1, (0, 1, 0)),
        ("....", "....", 0.1, (0, 0, 0)),
        ("", "", 0.1, (0, 0, 0)),
    ],
)
def test_counts_agree_with_those_by_hand(
    predicted: str, expected: str, overlap: float, by_hand: tuple[int, int, int]
) -> None:
    assert counts(predicted, expected, overlap) == by_hand


def test_an_overlap_of_exactly_the_threshold_is_enough() -> None:
    assert counts("aaaa", "aa..", 0.5) == (1, 0, 0)
    assert counts("aaaa....", "aa......", 0.5000001) == (0, 1, 1)


def test_f1_of_counts() -> None:
    assert f1(1, 1, 0) == pytest.approx(2 / 3)  # precision 1/2, recall 1
    assert f1(0, 3, 0) == f1(0, 0, 2) == 0.0
    assert f1(5, 0, 0) == 1.0
    assert np.isnan(f1(0, 0, 0))


def test_overlaps_of_spans() -> None:
    spans = np.array([[0, 10], [20, 30]])
    others = np.array([[0, 5], [5, 25], [10, 20]])
    assert overlaps(spans, others) == pytest.approx(np.array([[0.5, 0.2, 0], [0, 0.2, 0]]))


def precision(detections: list[tuple], expected: list[tuple], *thresholds: float) -> list[float]:
    """found: (video, start, end, score); truth: (video, start, end)."""
    f, t = np.array(detections, float).reshape(-1, 4), np.array(expected, float).reshape(-1, 3)
    return average_precision(
        (f[:, 0].astype(int), f[:, 1:3], f[:, 3]),
        (t[:, 0].astype(int), t[:, 1:]),
        np.array(thresholds),
    ).tolist()


def test_average_precision_by_hand() -> None:
    """Four events. In falling score: right, wrong, right, wrong, right; one is never found.

    Precision at the right ones is 1, 2/3, 3/5, and never rises again, so it is its own hull;
    recall grows by 1/4 with each: (1 + 2/3 + 3/5) / 4.
    """
    expected = [(0, 0, 10), (0, 20, 30), (1, 0, 10), (1, 50, 60)]
    detections = [
        (0, 0, 10, 0.9), (0, 40, 50, 0.8), (1, 0, 10, 0.7), (2, 0, 10, 0.6), (0, 20, 30, 0.5),
    ]  # fmt: skip
    by_hand = (1 + 2 / 3 + 3 / 5) / 4
    assert precision(detections, expected, 0.5) == pytest.approx([by_hand])
    for seed in range(5):  # rows in any order
        rng = np.random.default_rng(seed)
        shuffled = [detections[i] for i in rng.permutation(5)]
        assert precision(shuffled, [expected[i] for i in rng.permutation(4)], 0.5) == [
            pytest.approx(by_hand)
        ]


def test_precision_is_the_best_at_any_higher_recall() -> None:
    """Wrong, right, right: precision 0, 1/2, 2/3; the hull is 2/3 at both events."""
    detections = [(0, 50, 60, 0.9), (0, 0, 10, 0.8), (0, 20, 30, 0.7)]
    assert precision(detections, [(0, 0, 10), (0, 20, 30)], 0.5) == pytest.approx([2 / 3])


def test_an_event_is_found_once_and_by_the_surest() -> None:
    expected = [(0, 0, 10)]
    twice = [(0, 0, 8, 0.9), (0, 0, 10, 0.8)]  # IoU .8 and 1
    assert precision(twice, expected, 0.5, 0.8, 0.9, 1.0) == pytest.approx([1, 1, 0.5, 0.5])


def test_a_taken_event_leaves_the_next_best_one() -> None:
    """Both overlap event [0, 10) most; the second then takes [8, 20), which it overlaps by 4/16."""
    expected = [(0, 0, 10), (0, 8, 20)]
    detections = [(0, 0, 10, 0.9), (0, 4, 12, 0.8)]
    assert precision(detections, expected, 0.25, 0.3) == pytest.approx([1.0, 0.5])


def test_equal_scores_do_not_depend_on_the_order_of_rows() -> None:
    expected = [(0, 0, 10), (1, 0, 10)]
    detections = [(0, 0, 10, 0.5), (0, 20, 30, 0.5), (1, 0, 10, 0.5), (1, 20, 30, 0.5)]
    first = precision(detections, expected, 0.5)
    reverse = precision(detections[::-1], expected[::-1], 0.5)
    assert first == reverse == pytest.approx([(1 + 2 / 3) / 2])


def test_average_precision_where_there_is_nothing() -> None:
    assert precision([], [(0, 0, 10)], 0.5) == [0.0]
    assert np.isnan(precision([(0, 0, 10, 0.5)], [], 0.5)).all()
    assert np.isnan(precision([], [], 0.5)).all()
    assert precision([(3, 0, 10, 0.5)], [(0, 0, 10)], 0.5) == [0.0]


def test_perfect_predictions_are_perfect_and_worse_ones_are_not_better() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        expected = rng.integers(-1, 4, 12).repeat(rng.integers(1, 9, 12))
        bounds, labels = label_runs(expected)
        assert edit_score(labels, labels) == 1.0
        assert f1_counts(bounds, labels, bounds, labels, 1.0) == (len(labels), 0, 0)
        noisy = np.where(
            rng.random(len(expected)) < 0.3, rng.integers(-1, 4, len(expected)), expected
        )
        detections = label_runs(noisy)
        rights = [f1_counts(*detections, bounds, labels, x)[0] for x in (0.1, 0.25, 0.5, 0.9)]
        assert rights == sorted(rights, reverse=True)
        for right, wrong, missed in (f1_counts(*detections, bounds, labels, x) for x in (0.1, 0.5)):
            assert (right + wrong, right + missed) == (len(detections[1]), len(labels))
        assert 0 <= edit_score(detections[1], labels) <= 1


def test_the_interval_of_an_accuracy_is_exact() -> None:
    """10 of 24 and 5 of 5, by the table of Clopper and Pearson."""
    assert exact_interval(10, 24) == pytest.approx((0.2211, 0.6336), abs=1e-4)
    assert exact_interval(5, 5) == pytest.approx((0.4782, 1), abs=1e-4)
    assert exact_interval(0, 5) == pytest.approx((0, 0.5218), abs=1e-4)
