from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.timeline.test_decoding import one_hot
from vidattn.data.sampling import windows as sliding
from vidattn.timeline.decoding import Decoding
from vidattn.timeline.segments import (
    BACKGROUND,
    Segment,
    covered_spans,
    cut_cells,
    fuse_scores,
    merge_cells,
    subtract_spans,
)
from vidattn.types import Window

Floats = NDArray[np.float64]


def W(*pairs: tuple[float, float]) -> tuple[Window, ...]:  # noqa: N802 - reads as a list of windows
    return tuple(Window(a, b) for a, b in pairs)


def seconds(count: int) -> tuple[Window, ...]:
    return W(*((i, i + 1) for i in range(count)))


def spans(segments: tuple[Segment, ...]) -> list[tuple[float, float, str]]:
    return [(s.window.start, s.window.stop, s.label) for s in segments]


def test_islands_join_what_touches() -> None:
    assert covered_spans(W((4, 5), (0, 2), (1, 3), (3, 3.5))) == list(W((0, 3.5), (4, 5)))
    assert covered_spans([]) == []


def test_without_cuts_holes() -> None:
    holes = W((1, 2), (2, 3), (5, 9))
    assert subtract_spans(W((0, 4), (1.5, 2.5), (4, 6)), holes) == [
        list(W((0, 1), (3, 4))),
        [],
        list(W((4, 5))),
    ]
    assert subtract_spans(W((0, 4)), []) == [list(W((0, 4)))]


def test_without_agrees_with_a_ruler() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        made = [
            [
                Window(int(a), int(a + d))
                for a, d in zip(rng.integers(0, 50, n), rng.integers(1, 9, n), strict=True)
            ]
            for n in (6, 4)
        ]
        covered = {t for w in made[1] for t in range(int(w.start), int(w.stop))}
        for window, parts in zip(made[0], subtract_spans(made[0], made[1]), strict=True):
            left = [t for p in parts for t in range(int(p.start), int(p.stop))]
            assert left == [
                t for t in range(int(window.start), int(window.stop)) if t not in covered
            ]


def test_windows_side_by_side_are_their_own_cells() -> None:
    beside = W((0, 2), (2, 4), (4, 5))
    assert cut_cells(beside) == beside
    assert cut_cells(W((0, 2), (3, 4))) == W((0, 2), (3, 4))
    assert cut_cells([]) == ()


def test_overlapping_windows_make_cells_as_long_as_their_stride() -> None:
    assert cut_cells(W((0, 4), (2, 6), (4, 8))) == W((0, 2), (2, 4), (4, 6), (6, 8))
    assert cut_cells(W((0, 4), (2, 6), (3, 7))) == W(
        (0, 2), (2, 3), (3, 4.333), (4.333, 5.667), (5.667, 7)
    )


def test_windows_that_make_no_sense_do_not_fill_the_memory() -> None:
    assert len(cut_cells(W((0, 1e9), (0.001, 1e9)))) == 1001


def test_cells_have_the_union_of_the_windows() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        starts = np.sort(rng.uniform(0, 60, 9)).round(3)
        made = [Window(float(s), round(float(s + rng.uniform(0.01, 9)), 3)) for s in starts]
        cells = cut_cells(made)
        assert covered_spans(cells) == covered_spans(made)
        assert all(a.stop <= b.start for a, b in pairwise(cells))


def test_one_window_keeps_its_scores() -> None:
    scores = np.array([[0.7, 0.2, 0.1]])
    assert fuse_scores(W((0, 4)), scores, W((0, 2), (2, 4))) == pytest.approx(scores.repeat(2, 0))


def test_two_windows_that_see_a_cell_alike_count_alike() -> None:
    fused = fuse_scores(
        W((0, 4), (2, 6)), np.array([[0.8, 0.2], [0.2, 0.8]]), W((0, 2), (2, 4), (4, 6))
    )
    assert fused == pytest.approx(np.array([[0.8, 0.2], [0.5, 0.5], [0.2, 0.8]]))


def test_the_window_with_the_cell_at_its_center_counts_most() -> None:
    scores = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1]])
    windows = W((0, 6), (2, 8), (4, 10))
    fused = fuse_scores(windows, scores, cut_cells(windows))
    assert fused[2, 1] > fused[2, 0]  # [4, 6): the middle of the second, the ends of the others
    assert fused[1, 0] > fused[1, 1]


def test_gathered_scores_agree_with_the_weights_written_out() -> None:
    def weight(window: Window, cell: Window) -> float:
        instants = np.linspace(cell.start, cell.stop, 20001)[:-1] + cell.duration / 40000
        height = 1 - np.abs(instants - window.center) / (window.duration / 2)
        return float(np.maximum(height, 0).mean() * cell.duration / window.duration)

    rng = np.random.default_rng(2)
    windows = sliding(20, 5, 1.5)
    scores = rng.dirichlet(np.ones(4), len(windows))
    cells = cut_cells(windows)
    for cell, row in zip(cells, fuse_scores(windows, scores, cells), strict=True):
        weights = np.array([weight(w, cell) for w in windows])
        mean = np.exp((weights[:, None] * np.log(np.maximum(scores, 1e-5))).sum(0) / weights.sum())
        assert row == pytest.approx(mean / mean.sum(), abs=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_cells_are_gathered_alike_in_one_pass(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.random(40) * 40).round(3)
    ends = starts + (rng.random(40) * (40 if seed % 2 else 4) + 0.001).round(3)
    windows = sorted({Window(a, b) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)})
    scores = rng.dirichlet(np.ones(3), len(windows))
    cells = cut_cells(windows)
    whole = fuse_scores(windows, scores, cells)
    monkeypatch.setattr("vidattn.timeline.segments.PAIRS", 1)
    assert np.array_equal(fuse_scores(windows, scores, cells), whole)


def test_gathered_rows_are_probabilities_even_when_windows_are_certain() -> None:
    windows = sliding(30, 4, 1)
    fused = fuse_scores(windows, np.eye(2)[np.arange(len(windows)) % 2], cut_cells(windows))
    assert np.isfinite(fused).all()
    assert fused.sum(1) == pytest.approx(1)


def test_equal_neighbors_become_one_segment_with_the_mean_score() -> None:
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    first, second = merge_cells(W((0, 1), (1, 4), (4, 5)), scores, ("dive", "swim"))
    assert (first.window, first.score) == (Window(0, 4), pytest.approx((0.9 + 3 * 0.6) / 4))
    assert (second.label, second.label_id, second.score) == ("swim", 1, 0.8)
    assert second.alternatives == (("dive", 0.2),)


SURE, UNSURE = [0.9, 0.05, 0.05], [0.4, 0.3, 0.3]
BLIP = [[0.1, 0.9], [0.9, 0.1], [0.5, 0.5], [0.9, 0.1], [0.1, 0.9]]
MERGED: dict[str, tuple[Sequence[Window], Any, Decoding, list[tuple[float, float, str]]]] = {
    "no cells make no segments": ((), np.zeros((0, 3)), Decoding(), []),
    "a gap parts segments of equal label": (
        W((0, 1), (2, 3)), one_hot(0, 0), Decoding(), [(0, 1, "a"), (2, 3, "a")]
    ),
    "a short segment goes to the neighbor whose label fits it better": (
        seconds(6), [*one_hot(0, 0), [0.1, 0.5, 0.4], *one_hot(2, 2, 2)],
        Decoding(min_duration=2), [(0, 2, "a"), (2, 6, "c")],
    ),
    "a short segment between equal ones closes to one": (
        seconds(5), one_hot(0, 0, 1, 0, 0), Decoding(min_duration=1.5), [(0, 5, "a")]
    ),
    "a short segment goes to background when no label beats the threshold": (
        seconds(7), [UNSURE] * 3 + [[0.02, 0.95, 0.03]] + [[0.02, 0.03, 0.95]] * 3,
        Decoding(threshold=0.5, min_duration=2), [(0, 4, BACKGROUND), (4, 7, "c")],
    ),
    "a short segment without neighbors stays": (
        W((0, 1), (2, 3)), one_hot(0, 1), Decoding(min_duration=60), [(0, 1, "a"), (2, 3, "b")]
    ),
    "smoothing and joining stop at gaps": (
        W((0, 1), (1, 2), (2, 3), (9, 10)), one_hot(0, 0, 0, 1),
        Decoding("median", 3, min_duration=5), [(0, 3, "a"), (9, 10, "b")],
    ),
    "a short gap between two of one label is closed": (
        seconds(7), [SURE, UNSURE, SURE, UNSURE, UNSURE, UNSURE, SURE],
        Decoding(threshold=0.5, merge_gap=1), [(0, 3, "a"), (3, 6, BACKGROUND), (6, 7, "a")],
    ),
    "a gap between two labels stays": (
        seconds(3), [SURE, UNSURE, SURE[::-1]], Decoding(threshold=0.5, merge_gap=9),
        [(0, 1, "a"), (1, 2, BACKGROUND), (2, 3, "c")],
    ),
    "a gap is not closed across time that nobody saw": (
        W((0, 1), (1, 2), (3, 4)), [SURE, UNSURE, SURE], Decoding(threshold=0.6, merge_gap=9),
        [(0, 1, "a"), (1, 2, BACKGROUND), (3, 4, "a")],
    ),
    "gaps are closed before short segments are given up": (
        seconds(5), BLIP, Decoding(threshold=0.6, merge_gap=1, min_duration=2), [(0, 5, "a")]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MERGED)
def test_cells_are_merged_by_rules(case: str) -> None:
    cells, scores, decoding, expected = MERGED[case]
    scores = np.array(scores)
    assert spans(merge_cells(cells, scores, "abc"[: scores.shape[1]], decoding)) == expected


def test_time_below_the_threshold_is_background() -> None:
    scores = np.array([[0.9, 0.05, 0.05], [0.4, 0.35, 0.25], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1]])
    segments = merge_cells(seconds(4), scores, "abc", Decoding(threshold=0.5))
    assert spans(segments) == [(0, 1, "a"), (1, 3, BACKGROUND), (3, 4, "b")]
    background = segments[1]
    assert background.label_id is None
    assert background.score == pytest.approx(0.375)
    assert [label for label, _ in background.alternatives] == ["b", "a", "c"]


def test_alternatives_are_the_next_four_labels() -> None:
    scores = np.array([[0.1, 0.3, 0.05, 0.2, 0.2, 0.15]])
    (segment,) = merge_cells(seconds(1), scores, "abcdef")
    assert segment.label == "b"
    assert segment.alternatives == (("d", 0.2), ("e", 0.2), ("f", 0.15), ("a", 0.1))


def test_smoothing_decides_labels_but_does_not_touch_scores() -> None:
    segments = merge_cells(seconds(5), one_hot(0, 0, 1, 0, 0), "abc", Decoding("median", 3))
    assert spans(segments) == [(0, 5, "a")]
    assert segments[0].score == pytest.approx((4 * 0.9 + 0.05) / 5)


def test_viterbi_counts_a_cell_by_its_length() -> None:
    cells = W((0, 2), (2, 4), (4, 4.1), (4.1, 6), (6, 8))
    blip = one_hot(0, 0, 1, 0, 0, classes=2, sure=0.99)
    decoding = Decoding("viterbi", switch_cost=2.0)
    assert spans(merge_cells(cells, blip, "ab", decoding)) == [(0, 8, "a")]
    even = W((0, 2), (2, 4), (4, 6), (6, 8), (8, 10))
    assert [s.label for s in merge_cells(even, blip, "ab", decoding)] == ["a", "b", "a"]


def test_frames_of_a_segment_run_from_its_first_to_its_last_cell() -> None:
    frames = [(0, 25), (25, 50), (50, 75)]
    segments = merge_cells(seconds(3), one_hot(0, 0, 1), "abc", cell_frames=frames)
    assert [(s.start_frame, s.end_frame) for s in segments] == [(0, 50), (50, 75)]


@pytest.mark.parametrize("seed", range(20))
def test_segments_tile_the_cells_whatever_the_settings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.concatenate([[0], np.cumsum(rng.uniform(0.001, 3, 60))]).round(3).tolist()
    cells = [Window(a, b) for a, b in pairwise(edges) if rng.random() > 0.1]
    scores = rng.dirichlet(np.full(5, 0.3), len(cells))
    decoding = Decoding(
        smooth=("none", "median", "mean", "viterbi")[seed % 4],
        kernel=int(rng.choice([1, 3, 5])),
        threshold=float(rng.choice([0, 0.3, 0.6, 1])),
        min_duration=float(rng.choice([0, 1, 4, 1000])),
        merge_gap=float(rng.choice([0, 2, 1000])),
    )
    segments = merge_cells(cells, scores, "abcde", decoding)
    assert covered_spans(s.window for s in segments) == covered_spans(cells)
    assert all(a.window.stop <= b.window.start for a, b in pairwise(segments))
    for a, b in pairwise(segments):
        assert a.label != b.label or a.window.stop < b.window.start
    lonely = {(i.start, i.stop) for i in covered_spans(cells)}
    for s in segments:
        alone = (s.window.start, s.window.stop) in lonely
        assert alone or s.window.duration >= decoding.min_duration - 1e-6
        assert 0 <= s.score <= 1


def given_up_one_by_one(
    lengths: list[float], labels: list[int], scores: Floats, shortest: float
) -> list[int]:
    """The labels of cells when the shortest stretch goes first, by the book."""
    while True:
        edges = [i for i in range(len(labels)) if not i or labels[i] != labels[i - 1]]
        spans = list(pairwise([*edges, len(labels)]))
        times = [sum(lengths[a:b]) for a, b in spans]
        a, b = spans[times.index(min(times))]
        if len(spans) < 2 or min(times) >= shortest:
            return labels
        near = [labels[i] for i in (a - 1, b) if 0 <= i < len(labels)]
        fit = [np.average(scores[a:b, k], weights=lengths[a:b]) for k in near]
        labels[a:b] = [near[int(len(near) > 1 and fit[1] > fit[0] + 1e-12)]] * (b - a)


@pytest.mark.parametrize("seed", range(20))
def test_short_segments_go_in_the_order_of_their_length(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.concatenate([[0], np.cumsum(rng.integers(1, 5, 60) / 4)]).tolist()
    cells = [Window(a, b) for a, b in pairwise(edges)]
    scores = rng.dirichlet(np.full(3, 0.5), 60).round(5)
    shortest = float(rng.choice([0.5, 1.25, 3]))
    merged = merge_cells(cells, scores, "abc", Decoding(min_duration=shortest))
    lengths, labels = [cell.duration for cell in cells], scores.argmax(1).tolist()
    wanted = given_up_one_by_one(lengths, labels, scores, shortest)
    ends = [s.window.start for s in merged]
    assert ends == [c.start for i, c in enumerate(cells) if not i or wanted[i] != wanted[i - 1]]
    assert [s.label for s in merged] == ["abc"[wanted[edges.index(start)]] for start in ends]


def test_a_day_of_short_windows_is_decoded_in_seconds() -> None:
    rng = np.random.default_rng(0)
    cells = seconds(20_000)
    scores = rng.dirichlet(np.ones(8), len(cells))
    segments = merge_cells(cells, scores, "abcdefgh", Decoding("median", 3, 0.2, 5.0))
    assert segments[-1].window.stop == 20_000
