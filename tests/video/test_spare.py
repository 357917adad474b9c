"""A decoding process that serves one file after the other gives what fresh processes give."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from vidattn.errors import VideoError
from vidattn.video import Spare, open_video

from .test_supervision import child_of, gone


def test_files_in_a_row_share_a_process_and_are_read_the_same(small: Path) -> None:
    spare = Spare()
    pids = set()
    for short_side in (32, 48, 32):
        with open_video(small, short_side=short_side) as fresh:
            expected = fresh.read([5, 0, 30])
        with open_video(small, short_side=short_side, spare=spare) as video:
            pids.add(child_of(video).pid)
            assert np.array_equal(video.read([5, 0, 30]), expected)
            assert next(video.stream(range(10)))[0] == 0  # and is left in the middle
    assert len(pids) == 1
    spare.close()
    assert gone(pids.pop())


def test_two_files_at_once_have_a_process_each(small: Path) -> None:
    spare = Spare()
    with open_video(small, spare=spare) as one, open_video(small, spare=spare) as other:
        assert child_of(one).pid != child_of(other).pid
    spare.close()


def test_descriptors_do_not_pile_up_in_a_kept_process(small: Path) -> None:
    spare = Spare()
    counts = []
    for _ in range(4):
        with open_video(small, spare=spare) as video:
            video.read([1])
            counts.append(child_of(video).num_fds())
    assert counts[1:] == counts[1:2] * 3
    spare.close()


def test_a_file_that_fails_takes_its_process_along(small: Path, tmp_path: Path) -> None:
    spare = Spare()
    with open_video(small, spare=spare) as video:
        first = child_of(video).pid
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(small.read_bytes()[:300])
    with pytest.raises(VideoError):
        open_video(broken, spare=spare)
    assert gone(first)
    with open_video(small, spare=spare) as video:
        assert len(video.read([3])) == 1
    spare.close()


def test_a_kept_process_that_died_meanwhile_is_no_fault_of_the_next_file(small: Path) -> None:
    spare = Spare()
    with open_video(small, spare=spare) as video:
        first = child_of(video)
    first.kill()
    first.wait(3)
    with open_video(small, spare=spare) as video:
        assert len(video.read([3])) == 1
    spare.close()


def test_a_process_is_let_go_after_many_files(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spare, "FILES", 2)
    spare = Spare()
    pids = []
    for _ in range(3):
        with open_video(small, spare=spare) as video:
            pids.append(child_of(video).pid)
    assert pids[0] == pids[1] != pids[2]
    spare.close()


def test_a_copy_starts_empty_and_a_forgotten_spare_ends_its_process(small: Path) -> None:
    spare = Spare()
    with open_video(small, spare=spare) as video:
        pid = child_of(video).pid
    assert pickle.loads(pickle.dumps(spare)).take() is None
    del spare, video
    assert gone(pid)
