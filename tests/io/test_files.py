import errno
import os
import stat
import tracemalloc
from pathlib import Path

import pytest

from vidattn.errors import OutputError, OutputPathError
from vidattn.inference.batch.failures import FailureList, FailureRecord
from vidattn.inference.score_log import ScoreLog
from vidattn.io.files import (
    PART,
    make_folder,
    open_output,
    read_file,
    replacing_file,
    write_atomically,
    writing,
)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    assert write_atomically(tmp_path / "a.txt", b"one") == tmp_path / "a.txt"
    assert write_atomically(str(tmp_path / "a.txt"), b"two") == tmp_path / "a.txt"
    assert (tmp_path / "a.txt").read_bytes() == b"two"
    assert names(tmp_path) == ["a.txt"]


def test_missing_directories_are_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "deep" / "a.txt", b"x")
    assert (tmp_path / "new" / "deep" / "a.txt").read_bytes() == b"x"


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", b"x")
    (tmp_path / "plain.txt").write_bytes(b"x")
    modes = {stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("a.txt", "plain.txt")}
    assert len(modes) == 1


def test_a_failing_block_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing_file(path) as part:
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_no_part_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written: No space left") as caught:
        write_atomically(tmp_path / "a.txt", b"x")
    assert caught.value.exit_code == 5
    assert "-o" in (caught.value.hint or "")
    assert names(tmp_path) == []


def test_a_directory_and_a_device_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not a regular file"):
        write_atomically(tmp_path, b"x")
    with pytest.raises(OutputError, match="not a regular file"):
        write_atomically("/dev/null", b"x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not a regular file"):
        write_atomically(tmp_path / "pipe", b"x")


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "a.txt", b"x")


@pytest.mark.parametrize("name", ["link", "dangling", "pipe", "folder"])
def test_only_a_regular_file_is_written_or_appended_to(tmp_path: Path, name: str) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("new")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputPathError, match=f"{name}: is "):
        write_atomically(tmp_path / name, b"new")
    with pytest.raises(OutputPathError, match=f"{name}: is "):
        open_output(tmp_path / name, os.O_RDWR | os.O_APPEND)
    assert (tmp_path / "real").read_bytes() == b"old"
    assert len(names(tmp_path)) == 5


def test_a_file_that_becomes_a_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("new")
    monkeypatch.setattr("vidattn.io.files.require_regular", lambda path: None)
    with pytest.raises(OutputPathError), writing(tmp_path / "link"):
        open_output(tmp_path / "link", os.O_WRONLY)
    assert names(tmp_path) == ["link"]


def test_a_file_that_does_not_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="longer than 1 MB"):
        read_file("/dev/zero", 1_000_000)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 60 << 30)
    with pytest.raises(OSError, match="longer than"):
        read_file(tmp_path / "sparse", 1_000_000)
    assert read_file("/dev/null") == b""


def test_a_small_file_needs_little_memory_however_large_it_might_be(tmp_path: Path) -> None:
    content = os.urandom(3 * PART + 7)
    (tmp_path / "a").write_bytes(content)
    tracemalloc.start()
    try:
        assert read_file(tmp_path / "a", 1 << 40) == content
        assert tracemalloc.get_traced_memory()[1] < 3 * len(content)
    finally:
        tracemalloc.stop()


def test_nobody_waits_for_a_pipe_that_nobody_has_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "pipe", regular=True)


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    name = "n" * 255
    write_atomically(tmp_path / name, b"x")
    assert names(tmp_path) == [name]


def test_data_is_flushed_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        order.append("fsync")
        fsync(descriptor)

    def noted_replace(part: Path, target: Path) -> Path:
        order.append("rename")
        return replace(part, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomically(tmp_path / "a.txt", b"x")
    assert order == ["fsync", "rename", "fsync"]


def test_new_folders_are_flushed_from_the_top_down(tmp_path: Path, flushed: list[str]) -> None:
    write_atomically(tmp_path / "new" / "deep" / "a.txt", b"x")
    assert flushed[:2] == [str(tmp_path), str(tmp_path / "new")]
    assert (flushed[-1], len(flushed)) == (str(tmp_path / "new" / "deep"), 4)


def test_relative_folders_are_flushed(
    tmp_path: Path, flushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(Path("new/deep"))
    make_folder(Path("new/deep"))
    assert flushed == [str(tmp_path), str(tmp_path / "new")]


def test_names_of_logs_are_flushed(tmp_path: Path, flushed: list[str]) -> None:
    with ScoreLog(tmp_path / "out" / "a.log") as log:
        log.begin({}, 2)
    assert flushed == [str(tmp_path), str(tmp_path / "out" / "a.log"), str(tmp_path / "out")]
    flushed.clear()
    FailureList(tmp_path / "list").add(FailureRecord("a.mp4", "E_EMPTY", "a.mp4: empty"))
    assert flushed[0] == str(tmp_path)
    assert flushed[-2:] == [str(tmp_path / "list" / "failures.jsonl"), str(tmp_path / "list")]
