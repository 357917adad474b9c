"""What a model is shown of a file: the whole of it, at the right tempo, and said in words."""

from __future__ import annotations

import numpy as np
import pytest

from vidattn.config import ClipConfig, ViewConfig
from vidattn.data import plan
from vidattn.data.plan import Windowing
from vidattn.errors import UsageError, VideoError
from vidattn.types import Window

UNIFORM = ClipConfig(frames=8, step_seconds=32 / 30)
DENSE = ClipConfig(frames=8, step_seconds=0.125, short_side=64, crop=64, sampling="dense")


def times(seconds: float, fps: float = 25) -> np.ndarray:
    return np.arange(round(seconds * fps)) / fps


def region(seconds: float) -> Window:
    return Window(0.0, seconds)


def test_windows_by_default_have_the_span_the_weights_were_trained_with() -> None:
    planned = plan.plan_windows(times(60, fps=30), region(60), UNIFORM)
    assert planned.settings.window_seconds == pytest.approx(8 * 32 / 30)
    assert (planned.windows[0], planned.windows[-1].stop) == (Window(0.0, 8 * 32 / 30), 60.0)
    assert np.diff(planned.views[0].indices).tolist() == [32] * 7
    assert planned.notes == ()


@pytest.mark.parametrize("seconds", [0.04, 3.0, 8.0, 8.6, 61.3, 600.0])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_every_second_of_a_file_lies_in_a_window(seconds: float, overlap: float) -> None:
    planned = plan.plan_windows(
        times(seconds), region(seconds), UNIFORM, Windowing(overlap=overlap)
    )
    reached = 0.0
    for window in planned.windows:
        assert window.start <= reached
        reached = window.stop
    assert reached == seconds
    last = len(times(seconds)) - 1
    assert all(0 <= min(v.indices) <= max(v.indices) <= last for v in planned.views)


def test_a_part_of_a_file_is_never_shown_frames_from_outside() -> None:
    planned = plan.plan_windows(times(60), Window(20.0, 22.0), UNIFORM)
    assert min(planned.views[0].indices) >= 20 * 25
    assert max(planned.views[0].indices) < 22 * 25
    assert "shorter than one window" in planned.notes[0]


def test_a_stride_wider_than_a_window_has_a_note() -> None:
    planned = plan.plan_windows(times(60), region(60), DENSE, Windowing(stride=5))
    assert planned.notes == ("a stride of 5 s leaves 4 s between windows unseen",)


def test_scores_of_windows_far_apart_stand_for_the_time_between_them() -> None:
    planned = plan.plan_windows(times(11), region(11), DENSE, Windowing(stride=5))
    assert planned.seen == (Window(0, 1), Window(5, 6), Window(10, 11))
    assert planned.windows == (Window(0, 3), Window(3, 8), Window(8, 11))


def test_another_number_of_frames_stretches_the_time_embedding_and_says_so() -> None:
    planned = plan.plan_windows(times(300), region(300), UNIFORM, Windowing(frames=96))
    assert planned.notes == (
        "the model learned clips of 8 frames: its time embedding is stretched to 96 (nearest)",
    )
    assert planned.settings.window_seconds == pytest.approx(102.4)


def test_a_window_of_another_tempo_has_a_note() -> None:
    planned = plan.plan_windows(times(60), region(60), UNIFORM, Windowing(window=2))
    assert "a frame every 0.25 s; the weights were trained at one every 1.07 s" in planned.notes[0]


@pytest.mark.parametrize(
    "wrong", [{"overlap": 1.0}, {"overlap": -0.1}, {"stride": 0.0}, {"window": -1.0}, {"frames": 0}]
)
def test_impossible_windows_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        plan.plan_windows(times(60), region(60), UNIFORM, Windowing(**wrong))  # type: ignore


def test_a_uniform_view_sees_the_whole_file_not_its_first_second() -> None:
    planned = plan.plan_views(times(7200), region(7200), UNIFORM, frames=96)
    indices = planned.views[0].indices
    assert len(indices) == 96
    assert indices[0] == 937  # the frame on screen at 37.5 s
    assert np.diff(indices).tolist() == [75 * 25] * 95
    assert planned.seen == (region(7200),)


def test_dense_clips_keep_their_step_and_spread_over_the_file() -> None:
    planned = plan.plan_views(times(600, fps=24), region(600), DENSE, frames=96)
    assert len(planned.views) == 12
    for view in planned.views:
        assert np.diff(view.indices).tolist() == [3] * 7
    starts = [w.start for w in planned.seen]
    np.testing.assert_allclose(starts, (np.arange(12) + 0.5) * 599 / 12)


@pytest.mark.parametrize(
    ("frames", "seconds", "notes"),
    [
        (96, 600, ()),
        (100, 600, ("104 frames instead of 100: 13 whole clips of 8",)),
        (96, 3, ("24 frames instead of 96: 3 whole clips of 8",)),
        (9, 1, ("8 frames instead of 9: 1 whole clip of 8",)),
    ],
)
def test_frames_that_make_no_whole_clips_are_told(
    frames: int, seconds: int, notes: tuple[str, ...]
) -> None:
    assert plan.plan_views(times(seconds), region(seconds), DENSE, frames=frames).notes == notes


def test_dense_clips_are_no_more_than_tile_a_short_file() -> None:
    assert len(plan.plan_views(times(3), region(3), DENSE).seen) == 3


def test_three_crops_of_one_clip_are_three_views_of_the_same_frames() -> None:
    planned = plan.plan_views(times(60), region(60), UNIFORM, views=ViewConfig(3, 1))
    assert [v.crop for v in planned.views] == ["start", "center", "stop"]
    assert len({v.indices for v in planned.views}) == 1
    assert planned.settings.views == "3x1"


def test_several_uniform_clips_look_at_different_frames() -> None:
    planned = plan.plan_views(times(60), region(60), UNIFORM, views=ViewConfig(1, 3))
    assert len({v.indices for v in planned.views}) == 3
    assert all(min(v.indices) >= 0 and max(v.indices) < 1500 for v in planned.views)


def test_a_dense_clip_cannot_be_cut_shorter() -> None:
    with pytest.raises(UsageError, match="4 frames are fewer than the 8"):
        plan.plan_views(times(60), region(60), DENSE, frames=4)


@pytest.mark.parametrize(("start", "end"), [(10, 10), (-1, 5), (20, 10), (-1, None)])
def test_a_part_that_is_empty_in_any_file_is_refused(start: float, end: float | None) -> None:
    with pytest.raises(UsageError, match="it must start at 0 or later and end after that"):
        plan.select_region("a.mp4", 60.0, start, end)


def test_a_part_behind_the_end_is_a_fault_of_that_file_and_an_end_there_its_end() -> None:
    with pytest.raises(VideoError, match=r"a\.mp4: ends at 60\.00 s, before 70 s"):
        plan.select_region("a.mp4", 60.0, 70)
    assert plan.select_region("a.mp4", 60.0, 10, 100) == Window(10, 60)


def test_a_time_lapse_of_a_frame_a_minute_is_cut_into_windows() -> None:
    minutes = np.arange(0, 3_600, 60.0)
    planned = plan.plan_windows(minutes, region(3_600), DENSE, Windowing(window=1.0, stride=0.2))
    assert len(planned.windows) == 17_996


def test_windows_are_longer_where_the_video_is_slower_than_the_model() -> None:
    slow = np.arange(120.0)
    planned = plan.plan_windows(slow, region(120), DENSE)
    assert planned.settings.window_seconds == DENSE.frames
    assert planned.settings.different_frames is None
    assert all(len(set(view.indices)) == DENSE.frames for view in planned.views)
    (note,) = planned.notes
    assert note.startswith("the video has a frame every 1 s, and the weights")
    same = plan.plan_windows(slow, region(120), DENSE, Windowing(window=1.0))
    assert same.settings.different_frames == 1
    assert same.notes[-1].startswith(f"a window shows {DENSE.frames} frames, 1 of them different")
    paused = np.concatenate([times(60), 3_600 + times(60)])
    assert plan.plan_windows(paused, region(3_660), DENSE).notes == ()


def test_a_night_without_frames_is_cut_into_windows() -> None:
    watched = np.concatenate([times(600), 4 * 3_600 + times(600)])
    planned = plan.plan_windows(watched, region(4 * 3_600 + 600), DENSE)
    assert len(planned.windows) == 4 * 3_600 + 600


@pytest.mark.parametrize(("days", "stride"), [(2, None), (20, 0.1), (100, None), (1e6, 1e-300)])
def test_days_without_frames_are_refused_at_once(days: float, stride: float | None) -> None:
    sparse = np.concatenate([times(1.2), days * 86_400 + times(1.2)])
    whole = region(days * 86_400 + 1.2)
    with pytest.raises(VideoError, match=r"^a\.mp4: .* days with 60 frames make .*") as caught:
        plan.plan_windows(sparse, whole, DENSE, Windowing(stride=stride), "a.mp4")
    assert caught.value.code == "E_TOO_LARGE"
    plan.plan_windows(sparse, region(60), DENSE)  # a part of it without the pause


def test_an_hour_of_video_and_a_month_without_frames_is_refused() -> None:
    sparse = np.concatenate([times(1_800), 30 * 86_400 + times(1_800)])
    with pytest.raises(VideoError, match="in pauses of up to 2,590,200 s between frames"):
        plan.plan_windows(sparse, region(30 * 86_400 + 1_800), DENSE)


def test_too_many_windows_are_an_error_of_the_video_and_stride() -> None:
    with pytest.raises(VideoError, match=r"(?m)make 11,999,001 windows$"):
        plan.plan_windows(times(12_000), region(12_000), DENSE, Windowing(stride=0.001))
