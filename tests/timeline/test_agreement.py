import numpy as np
import pytest

from vidattn.timeline.agreement import expect_agreement, find_agreement


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
    assert (
        expect_agreement(guesses(np.zeros(5, int), 0.9), edges_of_windows(5), np.zeros(5)) is None
    )


@pytest.mark.parametrize("stride", [1.0, 0.25])
@pytest.mark.parametrize("repeated", [0.0, 0.5, 1.0])
def test_agreement_within_segments_is_expected_before_they_are_known(
    repeated: float, stride: float
) -> None:
    """A label lasts 3 to 12 windows; a share of the windows repeats what is said of it at first."""
    rng = np.random.default_rng(0)
    segments = np.repeat(np.arange(100), rng.integers(3, 12, 100))
    first, steady = rng.integers(0, 4, 100), rng.random(len(segments)) < repeated
    said = np.where(steady, first[segments], rng.integers(0, 4, len(segments)))
    rows = guesses(said.repeat(round(1 / stride)), 0.4)
    edges = edges_of_windows(len(rows), stride)
    known = find_agreement(rows, edges, segments.repeat(round(1 / stride)))
    found = expect_agreement(rows, edges, np.zeros(len(rows), np.int64))
    assert found.share == pytest.approx(known.share, abs=0.1)
    assert found.share == pytest.approx(0.25 + 0.75 * repeated**2, abs=0.1)


def test_windows_of_one_label_that_err_alone_need_no_sharpening() -> None:
    rows, one = independent_errors(1500, 0.4), np.zeros(1500, np.int64)
    assert expect_agreement(rows, edges_of_windows(1500), one).sharpness <= 1.25
