from itertools import pairwise

import numpy as np
import pytest

from vidattn.errors import DataError
from vidattn.timeline.segments import Segment
from vidattn.timeline.shot_cuts import (
    CutList,
    find_cuts,
    frame_difference,
    parse_cuts,
    snap_to_cuts,
)
from vidattn.types import Window


def rows(*edges: float, labels: str = "abcdef") -> tuple[Segment, ...]:
    """Segments that touch at `edges`, with frames at 10 fps."""
    return tuple(
        Segment(Window(a, b), labels[i], 0.5, i, (), round(a * 10), round(b * 10))
        for i, (a, b) in enumerate(pairwise(edges))
    )


def edges(segments: tuple[Segment, ...]) -> list[float]:
    return [segments[0].window.start, *(s.window.stop for s in segments)]


def frame_at(time: float) -> int:
    return round(time * 10)


def test_the_difference_of_two_frames_is_that_of_their_values() -> None:
    black = np.zeros((2, 2, 3), np.uint8)
    assert (frame_difference(black, black), frame_difference(black, black + 255)) == (0, 1)
    half = black.copy()
    half[0] = 51
    assert frame_difference(half, black) == frame_difference(black, half) == pytest.approx(0.1)


def test_a_cut_stands_out_from_its_surroundings() -> None:
    differences = [0, 0.01, 0.02, 0.30, 0.02, 0.01, 0.01]
    assert find_cuts(differences, [0.1 * i for i in range(7)]) == (0.3,)


def test_motion_flashes_and_small_changes_are_no_cuts() -> None:
    times = list(range(8))
    assert find_cuts([0, 0.3, 0.25, 0.28, 0.31, 0.3, 0.27, 0.29], times) == ()
    assert find_cuts([0, 0.01, 0.5, 0.5, 0.01, 0.01, 0.01, 0.01], times) == ()
    assert find_cuts([0, 0, 0.05, 0, 0, 0, 0, 0], times) == ()
    assert find_cuts([], []) == ()


def test_a_cut_at_the_last_frame_is_found() -> None:
    assert find_cuts([0, 0.01, 0.01, 0.4], [0, 1, 2, 3]) == (3.0,)


def test_times_are_read_one_a_line() -> None:
    assert parse_cuts("# cuts\n12.5\n\n 3\n3.0\n1:30\n0\n", "c.txt").times == (3.0, 12.5, 90.0)
    assert parse_cuts("", "c.txt").times == ()


def test_the_table_of_a_scene_detector_is_read() -> None:
    table = (
        "Timecode List:,00:00:02.000,00:00:05.500\n"
        "Scene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame\n"
        "1,1,00:00:00.000,0.000,48\n"
        "2,49,00:00:02.000,2.000,132\n"
        "3,133,00:00:05.500,5.500,200\n"
    )
    assert parse_cuts("\ufeff" + table, "s.csv") == CutList((2.0, 5.5), from_file_start=False)


def test_a_list_counts_from_the_start_of_the_file_and_a_table_from_the_first_frame() -> None:
    times = (1.0, 2.0, 5.5)
    assert CutList(times).count_from_first_frame(1.25) == (0.75, 4.25)
    assert CutList(times).count_from_first_frame(None) == times
    assert CutList(times, from_file_start=False).count_from_first_frame(1.25) == times


@pytest.mark.parametrize("text", ["1.5\nabc\n", "1.5\n-3\n", "1.5\n1:99\n", "1.5\nnan\n"])
def test_a_line_that_is_no_time_is_named(text: str) -> None:
    with pytest.raises(DataError, match=r"c\.txt, line 2: .* is not a time"):
        parse_cuts(text, "c.txt")


def test_a_boundary_moves_to_the_nearest_cut_nearby() -> None:
    moved = snap_to_cuts(rows(0, 4, 10), (1.0, 3.0, 4.5, 9.0), 1.0, frame_at)
    assert edges(moved) == [0, 4.5, 10]
    assert [(s.start_frame, s.end_frame) for s in moved] == [(0, 45), (45, 100)]
    assert [s.score for s in moved] == [0.5, 0.5]


def test_a_cut_too_far_away_moves_nothing() -> None:
    assert snap_to_cuts(rows(0, 4, 10), (2.0, 6.0), 1.0, frame_at) == rows(0, 4, 10)


def test_no_segment_vanishes() -> None:
    moved = snap_to_cuts(rows(0, 4, 5, 10), (4.6,), 9.0, frame_at)
    assert edges(moved) == [0, 4.6, 5, 10]  # the second boundary cannot go where the first is


def test_segments_that_do_not_touch_stay() -> None:
    apart = (rows(0, 4)[0], Segment(Window(5, 10), "b", 0.5))
    assert snap_to_cuts(apart, (4.4,), 9.0, frame_at) == apart


def test_frames_that_nobody_knows_stay_unknown() -> None:
    moved = snap_to_cuts(rows(0, 4, 10), (4.5,), 1.0, lambda time: None)
    assert (moved[0].end_frame, moved[1].start_frame) == (None, None)
    assert (moved[0].start_frame, moved[1].end_frame) == (0, 100)
