"""A decoding process that serves one file after the other gives what fresh processes give."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.video.test_process import child_of, gone
from vidattn.errors import VideoError
from vidattn.video import Limits, ProcessPool, open_video
from vidattn.video.container.open import open_container
from vidattn.video.container.probe import Probe, ProbeCache, probe


def test_files_in_a_row_share_a_process_and_are_read_the_same(small: Path) -> None:
    pool = ProcessPool()
    pids = set()
    for short_side in (32, 48, 32):
        with open_video(small, short_side=short_side) as fresh:
            expected = fresh.read([5, 0, 30])
        with open_video(small, short_side=short_side, pool=pool) as video:
            pids.add(child_of(video).pid)
            assert np.array_equal(video.read([5, 0, 30]), expected)
            assert next(video.stream(range(10)))[0] == 0  # and is left in the middle
    assert len(pids) == 1
    pool.close()
    assert gone(pids.pop())


def test_two_files_at_once_have_a_process_each(small: Path) -> None:
    pool = ProcessPool()
    with open_video(small, pool=pool) as one, open_video(small, pool=pool) as other:
        assert child_of(one).pid != child_of(other).pid
    pool.close()


def test_descriptors_do_not_pile_up_in_a_kept_process(small: Path) -> None:
    pool = ProcessPool()
    counts = []
    for _ in range(4):
        with open_video(small, pool=pool) as video:
            video.read([1])
            counts.append(child_of(video).num_fds())
    assert counts[1:] == counts[1:2] * 3
    pool.close()


def test_a_file_that_fails_takes_its_process_along(small: Path, tmp_path: Path) -> None:
    pool = ProcessPool()
    with open_video(small, pool=pool) as video:
        first = child_of(video).pid
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(small.read_bytes()[:300])
    with pytest.raises(VideoError):
        open_video(broken, pool=pool)
    assert gone(first)
    with open_video(small, pool=pool) as video:
        assert len(video.read([3])) == 1
    pool.close()


def test_a_kept_process_that_died_meanwhile_is_no_fault_of_the_next_file(small: Path) -> None:
    pool = ProcessPool()
    with open_video(small, pool=pool) as video:
        first = child_of(video)
    first.kill()
    first.wait(3)
    with open_video(small, pool=pool) as video:
        assert len(video.read([3])) == 1
    pool.close()


def test_a_process_is_let_go_after_many_files(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProcessPool, "FILES", 2)
    pool = ProcessPool()
    pids = []
    for _ in range(3):
        with open_video(small, pool=pool) as video:
            pids.append(child_of(video).pid)
    assert pids[0] == pids[1] != pids[2]
    pool.close()


def test_as_many_processes_are_kept_as_are_wanted(small: Path) -> None:
    pool = ProcessPool(2)
    pids = []
    for _ in range(2):
        with open_video(small, pool=pool) as one, open_video(small, pool=pool) as other:
            pids.append({child_of(one).pid, child_of(other).pid})
    assert pids[0] == pids[1]
    pool.close()


def test_a_copy_starts_empty_and_a_forgotten_spare_ends_its_process(small: Path) -> None:
    pool = ProcessPool()
    with open_video(small, pool=pool) as video:
        pid = child_of(video).pid
    assert pickle.loads(pickle.dumps(pool)).take() is None
    del pool, video
    assert gone(pid)


def test_a_file_that_comes_back_is_known_and_one_that_changed_is_not(
    small: Path, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(small.read_bytes())
    pool = ProcessPool()
    with open_video(film, pool=pool) as video:
        frames, times = video.read([0, 7]), video.times
    with open_video(film, pool=pool, short_side=24) as video:
        assert np.array_equal(video.times, times)
        assert video.height == 24
    film.write_bytes(small.read_bytes()[:-1] + b"\0")
    with open_video(film, pool=pool) as video:
        assert np.array_equal(video.read([0, 7]), frames)
    film.write_bytes(b"something else")
    with pytest.raises(VideoError):
        open_video(film, pool=pool)
    pool.close()


def test_what_is_known_of_files_is_bounded_and_the_last_used_stays(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_video(small) as video:
        rows = 2 * video.frames
    monkeypatch.setattr(ProbeCache, "ROWS", 2 * rows)
    known, limits, made = ProbeCache(), Limits(), []

    def ask(name: str) -> None:
        path = tmp_path / name
        if not path.exists():
            path.write_bytes(small.read_bytes())
        with path.open("rb") as file:

            def make() -> Probe:
                made.append(name)
                return probe(lambda: open_container(str(path), limits), lambda: None)

            assert known.get(file.fileno(), limits, make).details.frames == rows // 2

    for name in ("a", "b", "a", "c", "a", "b"):
        ask(name)
    assert made == ["a", "b", "c", "b"]
