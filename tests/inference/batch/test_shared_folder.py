"""An output folder in which others have placed links and pipes under the names of our files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers import write_video
from tests.inference.batch.conftest import Segment
from vidattn.errors import OutputPathError

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
