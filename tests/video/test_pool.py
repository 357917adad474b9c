"""Many videos in few processes, with or without prefetching, are read like one at a time."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.video.helpers import child_of, gone, refused
from vidattn.errors import VideoError
from vidattn.video import Limits, Prefetcher, ProcessPool, open_video
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


def test_descriptors_do_not_accumulate_in_a_pooled_process(small: Path) -> None:
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


def test_a_dead_pooled_process_does_not_fail_the_next_file(small: Path) -> None:
    pool = ProcessPool()
    with open_video(small, pool=pool) as video:
        first = child_of(video)
    first.kill()
    first.wait(3)
    with open_video(small, pool=pool) as video:
        assert len(video.read([3])) == 1
    pool.close()


def test_old_processes_are_replaced(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProcessPool, "FILES", 2)
    pool = ProcessPool()
    pids = []
    for _ in range(3):
        with open_video(small, pool=pool) as video:
            pids.append(child_of(video).pid)
    assert pids[0] == pids[1] != pids[2]
    pool.close()


def test_the_pool_keeps_the_given_number_of_processes(small: Path) -> None:
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
    assert pickle.loads(pickle.dumps(pool)).take(Limits()) is None
    del pool, video
    assert gone(pid)


def test_a_file_is_probed_again_only_after_a_change(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "path.mp4"
    path.write_bytes(small.read_bytes())
    pool = ProcessPool()
    with open_video(path, pool=pool) as video:
        frames, times = video.read([0, 7]), video.times
    with open_video(path, pool=pool, short_side=24) as video:
        assert np.array_equal(video.times, times)
        assert video.height == 24
    path.write_bytes(small.read_bytes()[:-1] + b"\0")
    with open_video(path, pool=pool) as video:
        assert np.array_equal(video.read([0, 7]), frames)
    path.write_bytes(b"something else")
    with pytest.raises(VideoError):
        open_video(path, pool=pool)
    pool.close()


def test_the_probe_cache_is_bounded_and_drops_the_least_recent(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_video(small) as video:
        rows = 2 * video.frames
    monkeypatch.setattr(ProbeCache, "ROWS", 2 * rows)
    known, limits, probed = ProbeCache(), Limits(), []

    def ask(name: str) -> None:
        path = tmp_path / name
        if not path.exists():
            path.write_bytes(small.read_bytes())
        with path.open("rb") as file:

            def make() -> Probe:
                probed.append(name)
                return probe(lambda: open_container(str(path), limits), lambda: None)

            assert known.get(file.fileno(), limits, make).details.frames == rows // 2

    for name in ("a", "b", "a", "c", "a", "b"):
        ask(name)
    assert probed == ["a", "b", "c", "b"]


@pytest.fixture
def videos(small: Path, tmp_path: Path) -> list[Path]:
    """Three names of a video."""
    return [Path(shutil.copy(small, tmp_path / f"{i}.mp4")) for i in range(3)]


def test_prefetched_videos_are_read_like_others_in_two_processes(videos: list[Path]) -> None:
    with open_video(videos[0], short_side=32) as fresh:
        expected = fresh.read([5, 0, 30])
    pids = set()
    with Prefetcher() as prefetcher:
        for path, coming in zip(videos * 2, [*videos[1:], *videos, None], strict=True):
            if coming is not None:
                prefetcher.prefetch(coming, short_side=32)
            with prefetcher(path, short_side=32) as video:
                pids.add(child_of(video).pid)
                assert np.array_equal(video.read([5, 0, 30]), expected)
                assert (video.path, video.unreadable) == (os.fspath(path), [])
    assert len(pids) == 2
    assert all(map(gone, pids))


def test_errors_of_prefetched_videos_come_on_request(videos: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(videos[0].read_bytes()[:300])
    with Prefetcher() as prefetcher:
        for missing in (broken, tmp_path / "gone.mp4"):
            with pytest.raises(VideoError) as fresh:
                open_video(missing)
            prefetcher.prefetch(missing)
            with prefetcher(videos[0]) as video:
                assert len(video.read([3])) == 1
            with pytest.raises(VideoError) as caught:
                prefetcher(missing)
            assert (caught.value.code, str(caught.value)) == (fresh.value.code, str(fresh.value))


@pytest.mark.parametrize("how", ["grown", "replaced", "deleted"])
def test_a_prefetched_video_that_changed_is_opened_again(videos: list[Path], how: str) -> None:
    with Prefetcher() as prefetcher:
        prefetcher.prefetch(videos[1])
        if how == "grown":
            with videos[1].open("ab") as file:
                file.write(b"\0" * 64)
        elif how == "replaced":
            videos[2].replace(videos[1])
        else:
            videos[1].unlink()
            with pytest.raises(VideoError, match="no such file"):
                prefetcher(videos[1])
            return
        with prefetcher(videos[1]) as video:
            video.check_unchanged()
            assert len(video.read([3])) == 1


def test_a_prefetched_video_survives_the_death_of_its_decoder(videos: list[Path]) -> None:
    with Prefetcher() as prefetcher:
        prefetcher.prefetch(videos[1])
        (coming,) = prefetcher._opening.values()
        child = child_of(coming)
        child.kill()
        child.wait(3)
        with prefetcher(videos[1]) as video:
            assert len(video.read([3])) == 1


def test_at_most_two_videos_are_prefetched(videos: list[Path]) -> None:
    prefetcher = Prefetcher()
    pids = []
    for path in (videos[0], videos[0], *videos[1:]):
        prefetcher.prefetch(path)
        pids.append(child_of(list(prefetcher._opening.values())[-1]).pid)
    assert pids[0] == pids[1]
    assert gone(pids[0])
    assert psutil.pid_exists(pids[2])
    prefetcher.close()
    assert all(map(gone, pids))


def test_limits_hold_for_every_video(videos: list[Path]) -> None:
    with Prefetcher(Limits(max_pixels=100)) as prefetcher:
        for path in videos[:2]:
            prefetcher.prefetch(path)
            with refused("E_TOO_LARGE"):
                prefetcher(path)
