"""Which of the names that a file gives to videos is that of a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidattn.errors import DataError
from vidattn.io.search import find_named


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
    assert find_named(names.split(), path) == found


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
        find_named(names.split(), path)
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
    assert find_named(["a.mp4"], "x/a.mp4", Path("list")) is None
    assert find_named(["a.mp4"], "list/a.mp4", Path("list")) == "a.mp4"
    assert find_named(["../x/a.mp4"], "x/a.mp4", Path("list")) == "../x/a.mp4"
    assert find_named(["/none/x/a.mp4"], "y/a.mp4") is None  # x is beside y
    assert find_named([str(tmp_path / "x/a.mp4")], "y/a.mp4") is None
