import numpy as np
import pytest

from vidattn.timeline.agreement import find_agreement


def edges_of_windows(count: int, stride: float = 1.0) -> np.ndarray:
    starts = np.arange(count) * stride
    return np.stack([starts, starts + 1], axis=1)


def guesses(best: np.ndarray, sure: float, labels: int = 4) -> np.ndarray:
    rows = np.full((len(best), labels), (1 - sure) / (labels - 1))
    rows[np.arange(len(best)), best] = sure
    return rows


def independent_errors(count: int, sure: float) -> np.ndarray:
    """Scores that are right as often as they say, in a video of label 0 alone."""
    rng = np.random.default_rng(0)
    wrong = rng.integers(1, 4, count)
    return guesses(np.where(rng.random(count) < sure, 0, wrong), sure)


@pytest.mark.parametrize("sure", [0.4, 0.7, 0.95])
def test_windows_that_err_alone_agree_as_often_as_their_scores_promise(sure: float) -> None:
    rows, one = independent_errors(1500, sure), np.zeros(1500, np.int64)
    found = find_agreement(rows, edges_of_windows(1500), one)
    assert found.share == pytest.approx(found.expected(), abs=0.03)
    assert found.sharpness <= 1.25
    assert found.dependence < 0.1


def test_windows_that_repeat_an_error_agree_more_than_promised() -> None:
    shots = np.repeat(np.arange(50), 10)
    rows = guesses(np.random.default_rng(0).integers(0, 4, 50)[shots], 0.5)
    found = find_agreement(rows, edges_of_windows(500), shots)
    assert (found.share, found.expected()) == (1, pytest.approx(0.5**2 + 0.5**2 / 3))
    assert found.dependence == pytest.approx(1)
    assert found.sharpness > 3


def test_windows_that_share_frames_or_lie_in_two_segments_are_no_pair() -> None:
    best = np.arange(40) // 4 % 2  # a label changes every second, four windows a second
    found = find_agreement(guesses(best, 0.9), edges_of_windows(40, 0.25), np.zeros(40, np.int64))
    assert found.share == 0
    assert find_agreement(guesses(best, 0.9), edges_of_windows(40, 0.25), best.cumsum()) is None


def test_of_few_windows_nothing_is_told() -> None:
    assert find_agreement(guesses(np.zeros(5, int), 0.9), edges_of_windows(5), np.zeros(5)) is None
