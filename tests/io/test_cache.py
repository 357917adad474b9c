"""The bounded store of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vidattn.io.cache import FileStore, cache_folder


def test_the_folder_of_the_cache_is_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "new")
    assert store.files() == []
    assert store.read("a", 10) is None
    assert store.write("a", b"1234")
    assert store.read("a", 10) == b"1234"
    assert store.read("a", 3) is None


def test_the_files_unused_for_longest_make_room(tmp_path: Path) -> None:
    store = FileStore(tmp_path, most_bytes=8)
    for age, name in enumerate("abc"):
        store.write(name, b"1234")
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    store.read("a", 10)
    assert store.trim() == 1
    assert [file.path.name for file in store.files()] == ["c", "a"]
    assert store.trim(0) == 2
    assert store.files() == []


def test_what_does_not_fit_or_cannot_be_written_is_absent(tmp_path: Path) -> None:
    assert not FileStore(tmp_path, most_bytes=3).write("a", b"1234")
    (tmp_path / "file").write_bytes(b"")
    assert not FileStore(tmp_path / "file").write("a", b"1234")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_files_that_may_only_be_read_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path)
    store.write("a", b"1234")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    assert store.read("a", 10) == b"1234"
