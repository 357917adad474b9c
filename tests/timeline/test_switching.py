"""The most likely labels of all windows at once: what they must and must not depend on."""

from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import log
from typing import Any

import numpy as np
import pytest

from vidattn.timeline import Decoding, Timeline
from vidattn.timeline.chain import learn_costs
from vidattn.timeline.decoding import most_likely_path
from vidattn.timeline.segments import cut_cells
from vidattn.timeline.switching import LabelPath, PathModel
from vidattn.types import VideoInfo, Window


def windows(count: int, stride: float = 1.0, span: float = 1.0) -> list[Window]:
    return [Window(i * stride, i * stride + span) for i in range(count)]


def scores(labels: list[int], sure: float = 0.9, classes: int = 3) -> np.ndarray:
    """Probabilities [N, classes], `sure` for one label of each row."""
    rows = np.full((len(labels), classes), (1 - sure) / (classes - 1))
    rows[np.arange(len(labels)), labels] = sure
    return rows


def path_of(rows: np.ndarray, stride: float = 1.0, switch_cost: float | None = None) -> LabelPath:
    spans = windows(len(rows), stride)
    return PathModel(spans, rows, cut_cells(spans)).path(switch_cost)


def changes(path: LabelPath) -> list[float]:
    """The times at which the label changes."""
    return [path.cells[i + 1].start for i in np.flatnonzero(np.diff(path.labels))]


def shot(label: int, stride: float, span: float, edge: float, stop: float) -> np.ndarray:
    """Scores of windows over a label until `edge` and the next one after it, by their shares."""
    starts = np.arange(0, stop - span + 1e-9, stride)
    left = np.clip((edge - starts) / span, 0, 1)
    rows = np.full((len(starts), 3), 0.02)
    rows[:, label] += 0.94 * left
    rows[:, label + 1] += 0.94 * (1 - left)
    return rows


def test_one_odd_window_among_many_is_noise_and_a_run_of_them_is_not() -> None:
    assert path_of(scores([0] * 10 + [1] + [0] * 10, 0.7)).labels.tolist() == [0] * 21
    assert path_of(scores([0] * 10 + [1] * 4 + [0] * 10)).labels.tolist().count(1) == 4


def test_a_video_of_many_switches_keeps_them_all() -> None:
    labels = [0, 1, 2] * 12
    path = path_of(scores(labels, 0.98))
    assert path.labels.tolist() == labels
    assert path.switch_cost < path_of(scores([0] * 36, 0.98)).switch_cost


def test_the_cost_of_a_switch_follows_from_how_many_there_are() -> None:
    path = path_of(scores([0, 1, 2, 0] * 9, 0.999).repeat(3, axis=0))  # 27 switches
    share = (4 + 27) / (12 + 108 - 0.75 * 27)
    assert path.switch_cost == pytest.approx(log((1 - share) / share * 2), rel=2e-3)


def test_the_cost_of_a_switch_at_cuts_is_learned_apart() -> None:
    rows, spans = scores([0] * 10 + [1] * 20, 0.998), windows(30)
    path = PathModel(spans, rows, cut_cells(spans), cuts=range(1, 30)).path()
    elsewhere, at_cuts = 2 / (6 + 30), (14 + 1) / (15 + 29)
    assert path.switch_cost == pytest.approx(log((1 - elsewhere) / elsewhere * 2), rel=1e-3)
    assert path.cut_cost == pytest.approx(log((1 - at_cuts) / at_cuts * 2), rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_permuted_labels_permute_the_answer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(5, 0.3), 40)
    order = rng.permutation(5)
    path, permuted = path_of(rows, 0.25), path_of(rows[:, order], 0.25)
    assert order[permuted.labels].tolist() == path.labels.tolist()
    assert permuted.cells == path.cells


@pytest.mark.parametrize("seed", range(5))
def test_a_window_that_repeats_another_changes_nothing(seed: int) -> None:
    rows = np.random.default_rng(seed).dirichlet(np.full(4, 0.3), 30)
    spans = [window for window in windows(30, 0.5) for _ in (0, 1)]
    once = path_of(rows, 0.5)
    twice = PathModel(spans, rows.repeat(2, axis=0), cut_cells(spans)).path()
    assert (twice.labels.tolist(), twice.cells) == (once.labels.tolist(), once.cells)


@pytest.mark.parametrize("stride", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("edge", [9.0, 9.2, 9.5, 9.7])
def test_a_boundary_within_a_window_is_found_to_a_sixth_of_a_stride(
    stride: float, edge: float
) -> None:
    (time,) = changes(path_of(shot(0, stride, 1.0, edge, 20.0), stride))
    assert abs(time - edge) <= stride / 6 + 1e-3


@pytest.mark.parametrize("seed", range(10))
def test_the_path_is_the_best_of_all_whose_labels_last_long_enough(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence, costs = rng.normal(0, 2, (6, 3)), rng.uniform(0, 2, 6)
    ready = np.arange(6) + rng.integers(0, 3, 6)

    def total(path: tuple[int, ...]) -> float:
        begins = [i for i in range(1, 6) if path[i] != path[i - 1]]
        ends = [*begins[1:], 6] if begins else []
        if any(ready[i] >= end for i, end in zip(begins, ends, strict=True)):
            return -np.inf
        return float(evidence[np.arange(6), path].sum() - costs[begins].sum())

    found = most_likely_path(evidence, costs, ready)
    assert total(tuple(found)) == pytest.approx(max(map(total, product(range(3), repeat=6))))


def test_a_label_lasts_for_a_window_unless_it_begins_at_a_cut() -> None:
    rows = scores([0] * 20 + [1] * 2 + [0] * 20, 0.99)
    spans = windows(len(rows), 0.25)
    first, second = changes(PathModel(spans, rows, cut_cells(spans), cuts=(5.25,)).path(0.0))
    assert first == 5.25
    assert second < 6
    assert changes(PathModel(spans, rows, cut_cells(spans)).path(0.0)) == []


def test_a_switch_cost_that_is_given_is_kept() -> None:
    rows = scores([0] * 6 + [1] * 6, 0.7)
    assert path_of(rows, switch_cost=0.0).switch_cost == 0.0
    assert changes(path_of(rows, switch_cost=100.0)) == []


SHOTS = [0, 1, 2, 0, 2, 1, 0, 1] * 3


def test_costs_are_learned_once_whatever_else_is_asked_of_the_same_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned = []

    def learn(*given: Any) -> Any:
        learned.append(given)
        return learn_costs(*given)

    monkeypatch.setattr("vidattn.timeline.switching.learn_costs", learn)
    timeline = timed(vfr=False)
    others = [timeline.with_decoding(threshold=step / 10) for step in range(10)]
    assert {len(one.segments) for one in [timeline, *others]} == {2}
    assert len(learned) == 1


def test_a_higher_cost_makes_fewer_segments_also_at_cuts() -> None:
    rows, spans = scores([0, 0, 1, 1, 2, 2] * 6, 0.5), windows(36)
    model = PathModel(spans, rows, cut_cells(spans), cuts=range(2, 36, 2))
    assert model.path().cut_cost == 0
    found = [len(changes(model.path(cost))) for cost in (0.0, 5.0, 20.0, 1e5)]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == (17, 0)


def test_a_model_that_is_unsure_but_steady_is_followed_from_shot_to_shot() -> None:
    spans = windows(6 * len(SHOTS))
    model = PathModel(spans, scores(SHOTS, 0.4).repeat(6, axis=0), cut_cells(spans))
    path = model.path()
    assert path.labels.tolist() == np.repeat(SHOTS, 6).tolist()
    # Six windows that say the same at 40 % are right about as often as one.
    assert 0.33 < model.posteriors(path)[np.arange(len(spans)), path.labels].mean() < 0.6


def test_where_scores_say_little_each_shot_speaks_for_itself() -> None:
    """A model that leans to one label everywhere, and less so in every third shot."""
    rows = np.array([[0.5, 0.3, 0.2], [0.5, 0.2, 0.3], [0.4, 0.15, 0.45]] * 6).repeat(2, axis=0)
    spans, cuts = windows(len(rows)), range(2, len(rows), 2)
    path = PathModel(spans, rows, cut_cells(spans), cuts=cuts).path()
    assert path.labels.tolist() == [0, 0, 0, 0, 2, 2] * 6


def test_a_few_cuts_do_not_keep_labels_from_changing_elsewhere() -> None:
    rows, spans = scores([0, 0, 1, 1, 2, 2] * 10, 0.6), windows(60)
    cells = cut_cells(spans)
    one, none = (PathModel(spans, rows, cells, cuts=cuts).path() for cuts in ((30.0,), ()))
    assert one.labels.tolist() == none.labels.tolist() == [0, 0, 1, 1, 2, 2] * 10
    assert one.switch_cost == pytest.approx(none.switch_cost, abs=0.3)


@pytest.mark.parametrize("stride", [1.0, 0.25])
def test_a_model_that_is_unsure_and_unsteady_makes_few_segments(stride: float) -> None:
    rng, count = np.random.default_rng(0), int(400 * stride)
    best = np.where(rng.random(count) < 0.5, 0, rng.integers(1, 10, count))
    rows = scores(best.tolist(), 0.5, classes=10)[(np.arange(400) * stride).astype(int)]
    assert len(changes(path_of(rows, stride))) <= 1


def test_confidence_falls_where_windows_disagree_and_counts_the_windows() -> None:
    rows = scores([0] * 10 + [1] * 10, 0.9)
    rows[12:18:2] = [0.45, 0.5, 0.05]
    timeline = Timeline("a.mp4", ("a", "b", "c"), tuple(windows(20)), rows, decoding=Decoding())
    first, second = timeline.segments
    assert first.windows == second.windows == 10
    assert 0.5 < second.confidence < min(first.confidence, 0.99)
    saved = timeline.to_dict()["segments"]
    assert [row["windows"] for row in saved] == [10, 10]
    assert saved[0]["confidence"] == round(first.confidence, 5)
    closer = replace(timeline, windows=tuple(windows(20, 0.5)), duration=None)
    assert all(0.5 < segment.confidence <= 1 for segment in closer.segments)
    assert "confidence" not in timeline.with_decoding(smooth="none").to_dict()["segments"][0]
    background = timeline.with_decoding(threshold=0.99).to_dict()["segments"]
    assert [(row["confidence"], row["windows"]) for row in background] == [(None, 20)]


def test_labels_do_not_last_beyond_a_gap() -> None:
    spans = [*windows(4), *(Window(w.start + 10, w.stop + 10) for w in windows(4))]
    path = PathModel(spans, scores([0] * 4 + [1] * 4, 0.6), cut_cells(spans)).path()
    assert (path.labels.tolist(), path.cells) == ([0] * 4 + [1] * 4, tuple(spans))
    spans, rows = [*windows(7), Window(20, 21)], np.concatenate([scores([0] * 7), scores([1], 0.4)])
    assert PathModel(spans, rows, cut_cells(spans)).path(9.0).labels.tolist() == [0] * 7 + [1]


def test_a_boundary_near_a_shot_cut_lies_at_the_nearest_one() -> None:
    rows = shot(0, 0.25, 1.0, 9.3, 20.0)
    spans = windows(len(rows), 0.25)
    path = PathModel(spans, rows, cut_cells(spans), cuts=(2.0, 9.37, 9.41, 15.11)).path()
    assert changes(path) == [9.37]


def test_labels_change_at_cuts_in_a_video_that_changes_there() -> None:
    labels = [0] * 6 + [1] * 6 + [2] * 6 + [1] + [0] * 6
    rows = scores(labels, 0.7)
    rows[18] = [0.25, 0.5, 0.25]
    spans = windows(len(rows))
    cuts = (6.0, 12.0, 18.0, 19.0)
    assert changes(path_of(rows)) != list(cuts)
    model = PathModel(spans, rows, cut_cells(spans), cuts=cuts)
    path = model.path()
    assert changes(path) == list(cuts)
    assert path.cut_cost < path.switch_cost
    again = model.path(path.switch_cost)
    assert (again.labels.tolist(), again.cut_cost) == (path.labels.tolist(), path.cut_cost)
    known = PathModel(spans, rows, cut_cells(spans)).posteriors(path_of(rows))
    assert model.posteriors(path)[18, 1] > known[18, 1]


def test_windows_with_a_cut_inside_say_little_of_both_shots() -> None:
    rows = scores([0] * 17 + [2] * 3 + [1] * 3 + [2] * 3 + [0] * 17, 0.9)
    spans = windows(len(rows), 0.25)  # of a second, three of which lie between the cuts
    path = PathModel(spans, rows, cut_cells(spans), cuts=(5.0, 6.5)).path()
    assert changes(path) == [5.0, 6.5]
    assert set(path.labels.tolist()) == {0, 1}


def test_cuts_alone_change_no_label() -> None:
    rows = scores([0] * 40, 0.6)
    rows[20] = [0.3, 0.4, 0.3]
    spans = windows(len(rows))
    path = PathModel(spans, rows, cut_cells(spans), cuts=np.arange(1.3, 39, 2).tolist()).path()
    assert changes(path) == []


def test_cuts_at_the_ends_and_beyond_gaps_move_nothing_else() -> None:
    spans = [*windows(3), *(Window(i, i + 1.0) for i in range(10, 13))]
    rows = scores([0, 0, 0, 1, 1, 1])
    path = PathModel(spans, rows, cut_cells(spans), cuts=(0.0, 5.0, 13.0, 20.0)).path()
    assert path.cells == tuple(spans)
    (cell,) = windows(1)
    assert PathModel([cell], scores([0]), [cell], cuts=(0.5,)).path().cells == (cell,)


def timed(vfr: bool) -> Timeline:
    """Twenty seconds at 24 frames a second whose label changes within a window."""
    return Timeline(
        source="a.mp4",
        labels=("a", "b", "c"),
        windows=tuple(windows(20)),
        scores=shot(0, 1.0, 1.0, 9.3, 20.0),
        input=VideoInfo(fps=Fraction(24), vfr=vfr),
        decoding=Decoding(),
        frame_times=np.arange(480) / 24,
    )


def test_boundaries_of_a_constant_rate_lie_at_the_start_of_a_frame() -> None:
    timeline = timed(vfr=False)
    first, second = timeline.segments
    assert first.window.stop == second.window.start
    assert first.end_frame == second.start_frame == round(first.window.stop * 24)
    assert abs(first.window.stop * 24 - first.end_frame) < 0.02
    assert abs(first.window.stop - 9.3) < 0.1
    assert Timeline.from_json(timeline.to_json()).segments == timeline.segments


def test_boundaries_of_a_variable_rate_stay_where_frames_are_known() -> None:
    segments = timed(vfr=True).segments
    assert all(s.window.start % 1 == 0 and s.start_frame is not None for s in segments)
