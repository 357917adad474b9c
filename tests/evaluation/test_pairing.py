"""Timelines and the ground truth of the same videos."""

from dataclasses import replace

import pytest

from tests.helpers import two_windows
from vidattn.data.annotations.ground_truth import AnnotatedVideo
from vidattn.errors import DataError
from vidattn.evaluation.pairing import pair_videos
from vidattn.timeline import Timeline
from vidattn.types import Settings, Window


def timeline(source: str, roi: str | None = None) -> Timeline:
    return two_windows(source=source, settings=Settings(roi=roi))


def test_predictions_find_their_truth_by_name() -> None:
    annotated_videos = [
        AnnotatedVideo("v1"),
        AnnotatedVideo("x/video.mp4"),
        AnnotatedVideo("y/video.mp4"),
        AnnotatedVideo("P01"),
    ]
    predicted = [timeline(name) for name in ("in/v_v1.mkv", "/data/y/video.avi", "other.mp4")]
    result = pair_videos(annotated_videos, predicted)
    assert [t and t.source for _, t in result.pairs] == [
        *("in/v_v1.mkv", None, "/data/y/video.avi"),
        None,
    ]
    assert (result.missing, result.unused) == (("x/video.mp4", "P01"), ("other.mp4",))


def test_doubtful_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="their folders do not decide"):
        pair_videos(
            [AnnotatedVideo("x/video.mp4"), AnnotatedVideo("y/video.mp4")], [timeline("video.mp4")]
        )
    with pytest.raises(DataError, match=r"a/f.mp4 and b/f.mp4 are both predictions for f"):
        pair_videos([AnnotatedVideo("f")], [timeline("a/f.mp4"), timeline("b/f.mp4")])
    with pytest.raises(
        DataError, match=r"f \(area left\) and f \(area right\) are both predictions"
    ):
        pair_videos([AnnotatedVideo("f")], [timeline("f", "left"), timeline("f", "right")])
    with pytest.raises(DataError, match="none of the predictions"):
        pair_videos([AnnotatedVideo("f")], [timeline("g")])
    with pytest.raises(DataError, match="there are none"):
        pair_videos([AnnotatedVideo("f")], [])


LEFT, RIGHT = ((Window(0, 1), "sit"),), ((Window(2, 3), "walk"),)
ARENAS = AnnotatedVideo("f", spans=LEFT + RIGHT, areas={"left": LEFT, "right": RIGHT})


def test_a_timeline_of_an_area_is_compared_with_the_labels_of_that_area() -> None:
    both = pair_videos([ARENAS], [timeline("f", "right"), timeline("f", "left")]).pairs
    assert [(own.spans, made and made.settings.roi) for own, made in both] == [
        (LEFT, "left"),
        (RIGHT, "right"),
    ]
    whole = timeline("f")
    assert pair_videos([ARENAS], [whole]).pairs == ((ARENAS, whole),)
    unnamed, area = AnnotatedVideo("f", spans=LEFT), timeline("f", "left")
    assert pair_videos([unnamed], [area]).pairs == ((unnamed, area),)


@pytest.mark.parametrize("others", [(), ("left",), ("left", "right")])
def test_an_area_without_labels_beside_areas_with_some_is_refused(others: tuple[str, ...]) -> None:
    predicted = [timeline("f", roi) for roi in (*others, "Left")]
    with pytest.raises(DataError, match=r"^f: area 'Left': the ground truth has left, right\n"):
        pair_videos([ARENAS], predicted)


def test_videos_and_their_areas_are_named() -> None:
    alike = [replace(ARENAS, name="x/f"), replace(ARENAS, name="y/f")]
    predicted = [timeline("x/f", "left"), timeline("y/f", "right")]
    assert pair_videos(alike, predicted).missing == ("x/f (area right)", "y/f (area left)")
    with pytest.raises(DataError, match=r"both predictions for f \(area left\)"):
        pair_videos([ARENAS], [timeline("f", "left")] * 2)
