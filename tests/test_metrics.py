"""Scores, on answers small enough to count by hand."""

import numpy as np
import pytest

from vidattn.metrics import (
    COLDEST,
    HOTTEST,
    best_temperature,
    brier,
    calibration_error,
    confusion,
    mean_class,
    most_confused,
    nll,
    probabilities,
    top_k,
)

LOGITS = np.array([[3.0, 1, 2], [1, 3, 2], [1, 2, 3], [3, 2, 1]])
LABELS = np.array([0, 2, 2, 1])


def test_top_k_counts_labels_among_the_k_largest() -> None:
    assert top_k(LOGITS, LABELS, 1) == 0.5
    assert top_k(LOGITS, LABELS, 2) == 1.0


def test_equal_logits_earn_nothing() -> None:
    assert top_k(np.zeros((4, 3)), LABELS, 1) == 0.0


def test_of_no_clips_there_is_no_score() -> None:
    assert np.isnan(top_k(LOGITS[:0], LABELS[:0], 1))
    assert np.isnan(mean_class(np.zeros((3, 3), np.int64)))


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    counts = confusion(LOGITS.argmax(1), LABELS, 3)
    assert counts.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]


def test_mean_class_weighs_classes_equally_and_ignores_absent_ones() -> None:
    counts = np.array([[9, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert mean_class(counts) == pytest.approx((0.9 + 0) / 2)


def test_errors_are_ranked_and_the_diagonal_is_none() -> None:
    counts = np.array([[9, 1, 3], [0, 5, 3], [2, 0, 7]])
    assert most_confused(counts, 3) == [(0, 2, 3), (1, 2, 3), (2, 0, 2)]
    assert most_confused(counts, 99)[-1] == (0, 1, 1)
    assert most_confused(np.diag([1, 2]), 5) == []


def test_likelihood_and_brier_score_of_three_answers() -> None:
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


def test_answers_that_mean_what_they_say_have_no_calibration_error() -> None:
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
