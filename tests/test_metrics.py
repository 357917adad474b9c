"""Scores, on answers small enough to count by hand."""

import numpy as np
import pytest

from vidattn.metrics import confusion, mean_class, top_k

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
