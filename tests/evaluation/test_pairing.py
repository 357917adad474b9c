"""Timelines and the ground truth of the same videos."""

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
            [AnnotatedVideo("x/video.mp4"), AnnotatedVideo("y/video.mp4")],
            [timeline("z/video.mp4")],
        )
    with pytest.raises(DataError, match=r"a/f.mp4 and b/f.mp4 are both predictions for f"):
        pair_videos([AnnotatedVideo("f")], [timeline("a/f.mp4"), timeline("b/f.mp4")])
    with pytest.raises(DataError, match="none of the predictions"):
        pair_videos([AnnotatedVideo("f")], [timeline("g")])
    with pytest.raises(DataError, match="there are none"):
        pair_videos([AnnotatedVideo("f")], [])


def test_a_timeline_of_an_area_is_compared_with_the_labels_of_that_area() -> None:
    left, right = ((Window(0, 1), "sit"),), ((Window(2, 3), "walk"),)
    truth = AnnotatedVideo("f", spans=left + right, areas={"left": left, "right": right})
    both = pair_videos([truth], [timeline("f", "right"), timeline("f", "left")]).pairs
    assert [(own.spans, made and made.settings.roi) for own, made in both] == [
        (left, "left"),
        (right, "right"),
    ]
    for whole in (timeline("f"), timeline("f", "elsewhere")):
        assert pair_videos([truth], [whole]).pairs == ((truth, whole),)
