"""The list of failures, and folders in which others have placed links under our names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.helpers import write_video
from tests.inference.batch.conftest import Segment
from vidattn.errors import OutputPathError
from vidattn.inference.batch.failures import FailureList, FailureRecord

ENDINGS = ("json", "csv", "log", "lock", "log.lock")


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_a_taken_name_costs_one_input_and_no_other_file(segment: Segment, kind: str) -> None:
    videos = [str(write_video(Path(f"{number}.mp4"), seconds=0.5)) for number in range(6)]
    precious = Path("precious")
    Path("out").mkdir()
    for number, ending in enumerate(ENDINGS):
        taken = Path(f"out/{number}.vidattn.{ending}")
        if kind == "pipe":
            os.mkfifo(taken)
        else:
            taken.symlink_to(precious.absolute())
    if kind == "link":
        precious.write_text("precious")
    run = segment(*videos)
    bad = videos[:3] if kind == "pipe" else videos[:5]  # nobody writes to a lock
    assert run.failed == dict.fromkeys(bad, "E_OUTPUT")
    assert run.done == [path for path in videos if path not in bad]
    assert precious.exists() == (kind == "link")
    assert kind != "link" or precious.read_text() == "precious"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_taken_list_of_failures_ends_the_run(segment: Segment, kind: str) -> None:
    Path("precious").write_text("precious\n")
    Path("out").mkdir()
    if kind == "link":
        Path("out/failures.jsonl").symlink_to(Path("precious").absolute())
    else:
        os.mkfifo("out/failures.jsonl")
    with pytest.raises(OutputPathError, match=r"failures\.jsonl: is"):
        segment()
    assert Path("precious").read_text() == "precious\n"


def test_a_path_that_is_too_long_below_the_output_folder_costs_no_other(segment: Segment) -> None:
    long = "a/" * 2050 + "x.mp4"
    Path("list.txt").write_text(f"{long}\nvideos/a.mp4\n")
    run = segment("@list.txt")
    assert run.failed == {long: "E_OUTPUT"}
    assert run.done == ["videos/a.mp4"]


def listed(folder: Path) -> list[str]:
    """The paths in the file, line by line."""
    lines = (folder / "failures.jsonl").read_text().splitlines()
    return [json.loads(line)["path"] for line in lines]


def test_the_list_survives_torn_lines_and_ends_in_order(tmp_path: Path) -> None:
    failures = FailureList(tmp_path)
    for name, attempt in (("b", 1), ("a", 1), ("b", 2), ("c", 1)):
        failures.add(FailureRecord(name, "E_DECODE", f"{name}\udcff: broken", attempt))
    with failures.path.open("ab") as file:
        file.write(b'{"path": "torn", "co')
    failures.add(FailureRecord("d", "E_GONE", "gone"))
    attempts = {path: record.attempt for path, record in failures.read().items()}
    assert attempts == {"a": 1, "b": 2, "c": 1, "d": 1}
    failures.sort({"c"})
    assert listed(tmp_path) == ["a", "b", "d"]
    failures.sort({"a", "b", "d"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        '{"path": ["a"], "code": "E", "message": "m"}',
        '{"path": 3, "code": "E", "message": "m"}',
        '{"path": "a", "code": "E", "message": "m", "attempt": "x"}',
        '{"path": "a"}',
        "[1]",
        "[" * 100_000,
    ],
)
def test_lines_of_another_kind_are_ignored(tmp_path: Path, line: str) -> None:
    failures = FailureList(tmp_path)
    failures.path.write_text(line + "\n")
    failures.add(FailureRecord("b", "E_GONE", "gone"))
    assert list(failures.read()) == ["b"]
    failures.sort(set())
    assert listed(tmp_path) == ["b"]
