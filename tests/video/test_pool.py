"""Going through many films: in few processes, the next one opened ahead, and read all the same."""

import os
import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.video.test_process import child_of, gone
from vidattn.errors import VideoError
from vidattn.video import Limits, Prefetcher, open_video


@pytest.fixture
def films(small: Path, tmp_path: Path) -> list[Path]:
    """Three names of a film."""
    return [Path(shutil.copy(small, tmp_path / f"{i}.mp4")) for i in range(3)]


def test_expected_films_are_read_like_others_in_two_processes(films: list[Path]) -> None:
    with open_video(films[0], short_side=32) as fresh:
        expected = fresh.read([5, 0, 30])
    pids = set()
    with Prefetcher() as opener:
        for film, coming in zip(films * 2, [*films[1:], *films, None], strict=True):
            if coming is not None:
                opener.prefetch(coming, short_side=32)
            with opener(film, short_side=32) as video:
                pids.add(child_of(video).pid)
                assert np.array_equal(video.read([5, 0, 30]), expected)
                assert (video.path, video.unreadable) == (os.fspath(film), [])
    assert len(pids) == 2
    assert all(map(gone, pids))


def test_what_is_wrong_with_an_expected_film_is_said_when_it_is_wanted(
    films: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(films[0].read_bytes()[:300])
    with Prefetcher() as opener:
        for missing in (broken, tmp_path / "gone.mp4"):
            with pytest.raises(VideoError) as fresh:
                open_video(missing)
            opener.prefetch(missing)
            with opener(films[0]) as video:
                assert len(video.read([3])) == 1
            with pytest.raises(VideoError) as caught:
                opener(missing)
            assert (caught.value.code, str(caught.value)) == (fresh.value.code, str(fresh.value))


@pytest.mark.parametrize("how", ["grown", "replaced", "deleted"])
def test_an_expected_film_that_changed_is_opened_anew(films: list[Path], how: str) -> None:
    with Prefetcher() as opener:
        opener.prefetch(films[1])
        if how == "grown":
            with films[1].open("ab") as file:
                file.write(b"\0" * 64)
        elif how == "replaced":
            films[2].replace(films[1])
        else:
            films[1].unlink()
            with pytest.raises(VideoError, match="no such file"):
                opener(films[1])
            return
        with opener(films[1]) as video:
            video.check_unchanged()
            assert len(video.read([3])) == 1


def test_an_expected_film_whose_decoder_was_killed_is_opened_by_another(films: list[Path]) -> None:
    with Prefetcher() as opener:
        opener.prefetch(films[1])
        (coming,) = opener._opening.values()
        child = child_of(coming)
        child.kill()
        child.wait(3)
        with opener(films[1]) as video:
            assert len(video.read([3])) == 1


def test_no_more_than_two_films_are_open_ahead(films: list[Path]) -> None:
    opener = Prefetcher()
    pids = []
    for film in (films[0], films[0], *films[1:]):
        opener.prefetch(film)
        pids.append(child_of(list(opener._opening.values())[-1]).pid)
    assert pids[0] == pids[1]
    assert gone(pids[0])
    assert psutil.pid_exists(pids[2])
    opener.close()
    assert all(map(gone, pids))


def test_limits_hold_for_every_film(films: list[Path]) -> None:
    with Prefetcher(Limits(max_pixels=100)) as opener:
        for film in films[:2]:
            opener.prefetch(film)
            with pytest.raises(VideoError) as caught:
                opener(film)
            assert caught.value.code == "E_TOO_LARGE"
