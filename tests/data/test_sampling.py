from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from vidattn.config import ViewConfig
from vidattn.data.sampling import (
    clip_starts,
    describe_views,
    frame_at,
    official_bins,
    official_dense,
    parse_views,
    tsm_bins,
    tsm_dense,
    views,
    windows,
)
from vidattn.errors import UsageError
from vidattn.types import Window

FRAMES = [1, 2, 8, 96]
TOTALS = [1, 2, 7, 8, 300, 1_000_000, 2**40]
SAMPLERS: dict[str, Callable[[int, int], Any]] = {
    "official dense": lambda n, t: official_dense(n, 32, t, 29.97),
    "official dense, third view": lambda n, t: official_dense(n, 4, t, 25, view=2, views=3),
    "official bins": official_bins,
    "tsm bins": tsm_bins,
    "start of each bin": lambda n, t: tsm_bins(n, t, 1),
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("total", TOTALS)
def test_every_sampler_stays_inside_and_in_order(name: str, frames: int, total: int) -> None:
    indices = SAMPLERS[name](frames, total)
    assert indices.dtype == np.int64
    assert indices.shape == (frames,)
    assert indices.min() >= 0
    assert indices.max() < total
    assert (np.diff(indices) >= 0).all()


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("frames, total", [(0, 5), (-1, 5), (5, 0), (5, -3)])
def test_every_sampler_refuses_empty_files(name: str, frames: int, total: int) -> None:
    with pytest.raises(UsageError, match="at least 1 frame"):
        SAMPLERS[name](frames, total)


def test_clips_are_spread_evenly_and_a_single_one_is_centered() -> None:
    assert list(clip_starts(44.0, 1)) == [22.0]
    assert list(clip_starts(60.0, 3)) == [10.0, 30.0, 50.0]
    assert list(clip_starts(-1.0, 2)) == [0.0, 0.0]
    with pytest.raises(UsageError, match="at least 1 clip"):
        clip_starts(1.0, 0)


@pytest.mark.parametrize(
    "frames, rate, total, fps, expected",
    [
        (8, 32, 300, 30, [0, 36, 72, 109, 145, 182, 218, 255]),
        (8, 32, 250, 25, [0, 30, 60, 91, 121, 151, 182, 212]),
        (8, 32, 100, 30, [0, 36, 72, 99, 99, 99, 99, 99]),
        (16, 16, 300, 30, list(range(0, 256, 17))),
        (1, 1, 300, 30, [0]),
    ],
)
def test_official_dense_gives_the_frames_of_the_official_code(
    frames: int, rate: int, total: int, fps: float, expected: list[int]
) -> None:
    assert list(official_dense(frames, rate, total, fps)) == expected


def test_official_views_start_where_the_official_code_starts_them() -> None:
    starts = [int(official_dense(8, 32, 300, 30, view=v, views=3)[0]) for v in range(3)]
    assert starts == [0, 14, 29]
    with pytest.raises(UsageError, match="view 3 is not one of 3"):
        official_dense(8, 32, 300, 30, view=3, views=3)


@pytest.mark.parametrize(
    "total, fps, frames, rate, clip, expected",
    [
        (300, 30, 8, 8, 0, [0, 9, 18, 27, 36, 45, 54, 63]),
        (300, 30, 8, 8, 1, [23, 32, 41, 50, 59, 68, 77, 86]),
        (300, 30, 8, 8, 9, [212, 221, 230, 239, 248, 257, 266, 275]),
        (250, 25, 16, 5, 9, [165, 169, 173, 178, 182, 186, 191, 195, 200]),
        (40, 30, 8, 8, 3, [0, 9, 18, 27, 36, 39, 39, 39]),
    ],
)
def test_ten_clips_are_those_of_the_code_of_slowfast(
    total: int, fps: float, frames: int, rate: float, clip: int, expected: list[int]
) -> None:
    indices = official_dense(frames, rate, total, fps, view=clip, views=10)
    assert list(indices)[: len(expected)] == expected


def test_the_clips_of_tsm_are_those_of_its_code() -> None:
    assert list(tsm_bins(8, 50)) == [3, 9, 15, 21, 28, 34, 40, 46]
    assert list(tsm_bins(8, 50, 1)) == [0, 6, 12, 18, 25, 31, 37, 43]
    assert list(tsm_bins(16, 37)) == [1, 3, 5, 8, 10, 12, 15, 17, 19, 21, 24, 26, 28, 31, 33, 35]
    assert list(tsm_bins(8, 5)) == [0, 0, 1, 2, 2, 3, 4, 4]
    dense = [tsm_dense(8, 300, clip) for clip in range(10)]
    assert list(dense[0]) == [0, 8, 16, 24, 32, 40, 48, 56]
    assert list(dense[1]) == [26, 34, 42, 50, 58, 66, 74, 82]
    assert list(dense[9]) == [236, 244, 252, 260, 268, 276, 284, 292]
    assert list(tsm_dense(8, 40)) == [0, 8, 16, 24, 32, 0, 8, 16]


@pytest.mark.parametrize("fps", [0, -30, float("nan")])
def test_official_dense_needs_a_frame_rate(fps: float) -> None:
    with pytest.raises(UsageError, match="a frame rate must be a number > 0"):
        official_dense(8, 32, 300, fps)


def test_official_bins_give_the_frames_of_the_official_code() -> None:
    assert list(official_bins(8, 50)) == [3, 9, 15, 21, 27, 34, 40, 46]
    assert list(official_bins(8, 1)) == [0] * 8


@pytest.mark.parametrize("text", ["3x1", "3X1", " 3 x 1 ", "3\u00d71"])
def test_views_are_spatial_crops_times_clips(text: str) -> None:
    assert parse_views(text) == ViewConfig(spatial=3, clips=1)


INVALID = ("", "3", "3x", "x1", "3x1x1", "-3x1", "3.0x1", "axb", "3x99999999")
OUT_OF_RANGE = ("2x1", "0x1", "3x0", "4x4")


@pytest.mark.parametrize(
    "text, message, hint",
    [
        ("10x3", "10x3", "did you mean 3x10?"),
        *((text, "expected SxT", "3x1") for text in INVALID),
        *((text, "spatial crops are 1 or 3", "") for text in OUT_OF_RANGE),
    ],
)
def test_other_views_are_refused_with_an_example(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_views(text)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text, words",
    [
        ("3x1", "3 spatial crops of 1 clip"),
        ("1x1", "1 spatial crop of 1 clip"),
        ("3x10", "3 spatial crops of 10 clips"),
    ],
)
def test_views_are_echoed_in_words(text: str, words: str) -> None:
    assert describe_views(parse_views(text)) == words


def test_views_take_all_crops_of_a_clip_before_the_next_clip() -> None:
    crops = views(ViewConfig(3, 2), [np.array([0, 1]), [5, 6]])
    assert [(v.indices, v.crop) for v in crops] == [
        ((0, 1), "start"), ((0, 1), "center"), ((0, 1), "stop"), ((5, 6), "start"),
        ((5, 6), "center"), ((5, 6), "stop"),
    ]  # fmt: skip
    assert [v.crop for v in views(ViewConfig(1, 1), [[0]])] == ["center"]
    with pytest.raises(UsageError, match="3 spatial crops of 2 clips asked for, 1 clips given"):
        views(ViewConfig(3, 2), [[0]])


def test_windows_cover_the_tail_with_a_whole_window() -> None:
    assert windows(10, 4, 2) == (Window(0, 4), Window(2, 6), Window(4, 8), Window(6, 10))
    assert windows(9, 4, 4) == (Window(0, 4), Window(4, 8), Window(5, 9))
    assert windows(3, 4, 2) == (Window(0, 3),)
    assert windows(4, 4, 2) == (Window(0, 4),)


def random_windows() -> list[tuple[float, float, float]]:
    rng = np.random.default_rng(7)
    spans = rng.uniform(0.05, 20, 200)
    hops = spans * np.where(rng.random(200) < 0.3, 1.0, rng.uniform(0.05, 1, 200))
    return [
        (float(d), float(s), float(h))
        for d, s, h in zip(rng.uniform(0.01, 500, 200), spans, hops, strict=True)
    ]


@pytest.mark.parametrize(
    "duration, span, hop",
    [
        (6730.0, 256 / 30, 128 / 30),
        (3600.0, 0.1, 0.1),
        (0.3, 0.1, 0.1),
        (1 / 30, 8.5, 4.25),
        *random_windows(),
    ],
)
def test_windows_cover_the_whole_file(duration: float, span: float, hop: float) -> None:
    regions = windows(duration, span, hop)
    assert (regions[0].start, regions[-1].stop) == (0, duration)
    assert all(a.start < b.start <= a.stop for a, b in pairwise(regions))
    assert all(w.duration == pytest.approx(min(span, duration), abs=2e-6) for w in regions)


def test_windows_with_gaps_still_end_with_the_file() -> None:
    assert windows(10, 1, 4) == (Window(0, 1), Window(4, 5), Window(8, 9), Window(9, 10))


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
def test_windows_refuse_invalid_numbers(bad: float) -> None:
    for arguments, name in [
        ((bad, 1, 1), "duration"),
        ((1, bad, 1), "window"),
        ((1, 1, bad), "stride"),
    ]:
        with pytest.raises(UsageError, match=f"a {name} must be a number > 0"):
            windows(*arguments)


def test_windows_refuse_to_fill_the_memory() -> None:
    with pytest.raises(UsageError, match="windows in 86400 s") as caught:
        windows(86400, 1, 1e-5)
    assert caught.value.hint == "choose a longer stride"


def test_frame_at_is_the_frame_on_screen() -> None:
    times = np.array([0.0, 1.0, 1.5, 4.0])
    assert list(frame_at(times, [-5, 0, 0.99, 1, 1.4, 3.9, 4, 1e9])) == [0, 0, 0, 1, 1, 2, 3, 3]
    assert frame_at(times, 1.6) == 2
    assert list(frame_at(times, [])) == []


def test_frame_at_finds_frame_k_at_k_over_fps() -> None:
    for fps in (24000 / 1001, 25, 29.97, 30, 59.94):
        times = np.array([round(k * 90000 / fps) / 90000 for k in range(5000)])
        index = np.arange(5000, dtype=np.float64)
        middle = (index + 0.5) / fps
        assert (frame_at(times, middle) == np.arange(5000)).all()
        assert (frame_at(index * (1 / fps), index / fps) == np.arange(5000)).all()


def test_frame_at_refuses_no_frames_and_no_numbers() -> None:
    with pytest.raises(UsageError, match="at least 1 frame"):
        frame_at(np.array([]), [1.0])
    with pytest.raises(UsageError, match="not a number"):
        frame_at(np.array([0.0]), [float("nan")])
