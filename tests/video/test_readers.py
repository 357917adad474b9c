"""One contract, every reader, every kind of file."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.video.conftest import FILES, FPS, Make, Spec, expected_times, numbers
from vidattn.errors import VideoError
from vidattn.video import open_video

MODULES = {"decord": "decord", "opencv": "cv2", "torchcodec": "torchcodec"}
OTHERS = [
    ("decord", "cfr.mp4 b_frames.mp4 vfr.mp4 late.mp4 turned_90.mp4 vp9.webm odd.mp4", True),
    ("decord", "open_gop.mp4 edit_list.mp4 early.mkv mpeg4.avi stream.ts av1.mkv", False),
    (
        "opencv",
        "b_frames.mp4 vfr.mp4 late.mp4 turned_270.mov edit_list.mp4 stream.ts raw.h264",
        True,
    ),
    ("torchcodec", "vfr.mp4 turned_90.mp4", True),
    ("torchcodec", "stream.ts", False),
]
CASES = [(reader, name, good) for reader, names, good in OTHERS for name in names.split()]
BY_NAME = {spec.name: spec for spec in FILES}


def check(path: Path, spec: Spec, reader: str) -> None:
    """Sparse, dense and strided reading give the frames asked for, at their times."""
    with open_video(path, reader=reader) as video:
        count, first = len(spec.pts) - spec.first, spec.first
        assert (video.reader, video.frames) == (reader, count)
        assert (video.width, video.height) == spec.size
        asked = [0, count // 2, min(7, count - 1), count - 1, count // 3, count // 3]
        assert numbers(video.read(asked)) == [first + i for i in asked]
        for indices in (range(count), range(count // 2, count, 13)):
            frames = list(video.stream(indices))
            assert [i for i, _ in frames] == list(indices)
            assert numbers(np.stack([f for _, f in frames])) == [first + i for i in indices]
        assert not video.unreadable
        expected = expected_times(spec)
        np.testing.assert_allclose(video.times, expected, atol=spec.tolerance)
        assert video.times[0] == 0
        assert 0 < video.duration - expected[-1] < 5.1 / FPS
        assert video.details.vfr == spec.name.startswith("vfr")


def test_every_frame_is_exact_at_its_time(spec: Spec, make: Make) -> None:
    check(make(spec), spec, "pyav")


@pytest.mark.parametrize(("reader", "name", "good"), CASES)
def test_other_readers_are_exact(reader: str, name: str, good: bool, make: Make) -> None:
    if find_spec(MODULES[reader]) is None:
        pytest.skip(f"{reader} is not installed")
    path = make(BY_NAME[name])
    if good:
        check(path, BY_NAME[name], reader)
        return
    with pytest.raises(VideoError) as caught:
        check(path, BY_NAME[name], reader)
    assert (caught.value.code, caught.value.hint) == ("E_DECODE", "use --reader pyav")
