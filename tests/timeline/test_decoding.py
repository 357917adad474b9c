import math
from itertools import pairwise

import numpy as np
import pytest

from vidattn.errors import UsageError
from vidattn.timeline.decoding import (
    NOTHING,
    Decoding,
    apply_hysteresis,
    decode_labels,
    most_likely_path,
    smooth,
    viterbi_path,
)


def one_hot(*ids: int, classes: int = 3, sure: float = 0.9) -> np.ndarray:
    """Scores [len(ids), classes] that give `sure` to each id and share the rest."""
    rows = np.full((len(ids), classes), (1 - sure) / (classes - 1))
    rows[np.arange(len(ids)), ids] = sure
    return rows


def test_the_median_removes_a_blip_and_keeps_an_edge() -> None:
    smoothed = smooth(one_hot(0, 0, 1, 0, 0, 2, 2, 2), 3)
    assert list(smoothed.argmax(1)) == [0, 0, 0, 0, 0, 2, 2, 2]
    assert smoothed.sum(1) == pytest.approx(1)


def test_the_mean_is_the_mean() -> None:
    assert smooth(np.array([[1.0, 0], [0, 1], [1, 0]]), 3, "mean")[1] == pytest.approx(
        [2 / 3, 1 / 3]
    )


@pytest.mark.parametrize("how, kernel", [("none", 3), ("median", 1), ("mean", 1)])
def test_no_smoothing_changes_nothing(how: str, kernel: int) -> None:
    rows = one_hot(0, 1, 2)
    assert (smooth(rows, kernel, how) == rows).all()  # type: ignore[arg-type]


def test_smoothing_survives_a_kernel_longer_than_the_video() -> None:
    assert smooth(one_hot(0, 1), 9).shape == (2, 3)
    assert smooth(np.zeros((0, 3)), 3).shape == (0, 3)


def path_value(rows: np.ndarray, path: tuple[int, ...], cost: float) -> float:
    """What Viterbi makes as great as possible, written out."""
    changes = sum(a != b for a, b in pairwise(path))
    return float(sum(np.log(rows[i, k]) for i, k in enumerate(path)) - cost * changes)


# One row for b between rows for a gains log(0.9 / 0.05) = 2.89 nats; two gain 5.78.
@pytest.mark.parametrize(
    "ids, cost, path",
    [
        ((0, 0, 1, 0, 0), 1.4, [0, 0, 1, 0, 0]),
        ((0, 0, 1, 0, 0), 1.5, [0] * 5),
        ((0, 0, 1, 1, 0, 0), 2.8, [0, 0, 1, 1, 0, 0]),
        ((0, 0, 1, 1, 0, 0), 3.0, [0] * 6),
        ((0, 0, 1), 2.8, [0, 0, 1]),  # an edge costs one change
        ((0, 0, 1), 3.0, [0] * 3),
    ],
)
def test_a_change_of_label_has_to_be_worth_its_cost(
    ids: tuple[int, ...], cost: float, path: list[int]
) -> None:
    assert viterbi_path(one_hot(*ids), cost).tolist() == path


def test_changes_that_cost_nothing_leave_each_row_its_best_label() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(5), 40)
    assert (viterbi_path(rows, 0.0) == rows.argmax(1)).all()


@pytest.mark.parametrize("seed", range(20))
def test_viterbi_finds_the_best_of_all_paths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.ones(3), 6)
    cost = float(rng.uniform(0, 2))
    paths = list(np.ndindex(*[3] * 6))
    best = max(path_value(rows, p, cost) for p in paths)
    assert path_value(rows, tuple(viterbi_path(rows, cost)), cost) == pytest.approx(best)


def test_each_change_may_have_a_cost_of_its_own() -> None:
    rows = np.log(np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]]))
    assert most_likely_path(rows, 5.0).tolist() == [0, 0, 0]
    assert most_likely_path(rows, np.array([0.0, 0.1, 0.1])).tolist() == [0, 1, 0]
    assert most_likely_path(rows, np.array([0.0, 0.1, 5.0])).tolist() == [0, 0, 0]


def test_a_stretch_of_the_path_is_background_when_its_mean_is_below_the_threshold() -> None:
    rows = np.array([[0.9, 0.1], [0.5, 0.5], [0.9, 0.1], [0.1, 0.9], [0.45, 0.55], [0.4, 0.6]])
    wanted = Decoding("viterbi", switch_cost=1.0, threshold=0.7)
    assert decode_labels(rows, wanted)[0].tolist() == [0, 0, 0, NOTHING, NOTHING, NOTHING]
    weights = np.array([1.0, 1, 1, 3, 1, 1])  # (3 x 0.9 + 0.55 + 0.6) / 5 = 0.77
    assert decode_labels(rows, wanted, weights)[0].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_row_of_no_weight_says_nothing() -> None:
    weights = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    assert viterbi_path(one_hot(0, 0, 1, 0, 0), 0.1, weights=weights).tolist() == [0] * 5


def test_certain_windows_cannot_outvote_everything() -> None:
    rows = np.eye(2)[[0, 0, 0, 1, 0, 0, 0]]
    assert viterbi_path(rows, 6.0).tolist() == [0] * 7  # log(1e-5) is -11.5: less than two changes
    assert viterbi_path(np.zeros((0, 3)), 1.0).tolist() == []


def test_hysteresis_enters_high_and_leaves_low() -> None:
    rows = np.array([[p, 1 - p] for p in (0.5, 0.45, 0.7, 0.55, 0.5, 0.45, 0.55)])
    assert apply_hysteresis(rows, 0.65, 0.5).tolist() == [-1, -1, 0, 0, 0, -1, -1]


def test_a_label_that_enters_ends_the_one_before() -> None:
    rows = np.array([[0.7, 0.3], [0.45, 0.55], [0.4, 0.6], [0.65, 0.35]])
    assert apply_hysteresis(rows, 0.6, 0.3).tolist() == [0, 0, 1, 0]


def test_leaving_where_one_enters_is_a_plain_threshold() -> None:
    rows = np.random.default_rng(1).dirichlet(np.ones(4), 200)
    plain, _ = decode_labels(rows, Decoding(threshold=0.4))
    assert (apply_hysteresis(rows, 0.4, 0.4) == plain).all()
    assert {NOTHING, 0, 1, 2, 3} == set(plain.tolist())


def test_the_smoothed_scores_are_those_that_enter_and_leave() -> None:
    rows = one_hot(0, 0, 1, 0, 0)
    labels, decided = decode_labels(rows, Decoding("median", 3, threshold=0.8, leave=0.5))
    assert labels.tolist() == [0] * 5
    assert decided[2, 0] == pytest.approx(0.9)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"smooth": "viterby"}, "expected one of auto, none"),
        ({"kernel": 4}, "odd and at least 1"),
        ({"kernel": -1}, "odd and at least 1"),
        ({"threshold": 1.5}, "a threshold must be in"),
        ({"threshold": math.nan}, "a threshold must be in"),
        ({"min_duration": -1}, "minimum duration must be 0 s or more"),
        ({"merge_gap": -1}, "merge gap must be 0 s or more"),
        ({"switch_cost": -1}, "switch cost must be 0 nats or more"),
        ({"switch_cost": math.nan}, "switch cost must be 0 nats or more"),
        ({"threshold": 0.5, "leave": 0.6}, "between 0 and the threshold"),
        ({"leave": -0.1}, "between 0 and the threshold"),
        ({"threshold": 0.5, "leave": 0.4, "smooth": "viterbi"}, "no effect with Viterbi"),
        ({"snap": "yes"}, "true or false"),
        ({"min_duration": math.inf}, "0 s or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Decoding(**values)  # type: ignore[arg-type]
