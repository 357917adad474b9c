"""Which of the names that a file gives to videos is that of a path."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from vidattn.errors import DataError
from vidattn.io.search import VideoNames


@pytest.mark.parametrize(
    ("names", "path", "found"),
    [
        ("a.mp4 b.mp4", "x/a.mp4", "a.mp4"),
        ("a b", "x/a.mp4", "a"),
        ("x/a.avi", "x/a.mp4", "x/a.avi"),  # was converted
        ("a.avi a.mp4", "x/a.mp4", "a.mp4"),
        ("day.1 day.2", "x/day.2.mp4", "day.2"),
        ("abc", "v_abc.mkv", "abc"),
        ("x/a.mp4 y/a.mp4 a.mp4", "far/y/a.mp4", "y/a.mp4"),
        ("x/a.mp4 a.mp4", "y/a.mp4", "a.mp4"),
        ("x\\a.mp4", "x/a.mp4", "x\\a.mp4"),
        ("x/a.mp4", "y/a.mp4", None),  # of another folder
        ("../a.mp4", "y/a.mp4", "../a.mp4"),
        ("C:\\lab\\a.mp4", "y/a.mp4", "C:\\lab\\a.mp4"),  # of another computer
        ("/none/x/a.mp4 b.mp4", "y/a.mp4", "/none/x/a.mp4"),
        ("y/a.mp4 x/b.mp4", "/none/x/a.mp4", "y/a.mp4"),
        ("/none/x/a.mp4 a.mp4", "y/a.mp4", "a.mp4"),
        ("ba.mp4", "a.mp4", None),
    ],
)
def test_names_are_found_by_file_name_and_folder(names: str, path: str, found: str | None) -> None:
    assert VideoNames(names.split()).find(path) == found


@pytest.mark.parametrize(
    ("names", "path"),
    [
        ("x/a.mp4 y/a.mp4", "a.mp4"),
        ("1/x/a.mp4 2/x/a.mp4", "3/x/a.mp4"),
        ("/none/x/a.mp4 /none/y/a.mp4", "z/a.mp4"),
        ("x/a.mp4 x/a.mp4", "x/a.mp4"),  # of two documents
        ("a.avi a.mov", "a.mp4"),
    ],
)
def test_a_video_that_may_have_two_names_is_an_error_that_says_both(names: str, path: str) -> None:
    first, second = names.split()
    with pytest.raises(DataError) as caught:
        VideoNames(names.split()).find(path)
    assert caught.value.message == (
        f"{path}: may be {first} or {second}: their folders do not decide"
    )


def test_a_name_of_another_file_that_exists_is_of_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("list/a.mp4", "x/a.mp4", "y/a.mp4"):
        Path(place).parent.mkdir()
        Path(place).write_bytes(b"")
    assert VideoNames(["a.mp4"], Path("list")).find("x/a.mp4") is None
    assert VideoNames(["a.mp4"], Path("list")).find("list/a.mp4") == "a.mp4"
    assert VideoNames(["../x/a.mp4"], Path("list")).find("x/a.mp4") == "../x/a.mp4"
    assert VideoNames(["/none/x/a.mp4"]).find("y/a.mp4") is None  # x is beside y
    assert VideoNames([str(tmp_path / "x/a.mp4")]).find("y/a.mp4") is None


@pytest.mark.parametrize("name", ["{}.mp4", "{}/a.mp4", "cam/{}/a.mp4"])
def test_names_of_thousands_of_videos_are_found_in_seconds(name: str) -> None:
    start = time.process_time()
    names = VideoNames(name.format(number) for number in range(5000))
    found = [names.find(name.format(number)) for number in range(10_000, 15_000)]
    found += [names.find("x/" + name.format(number)) for number in range(5000)]
    assert found == [None] * 5000 + [name.format(number) for number in range(5000)]
    assert time.process_time() - start < 10
