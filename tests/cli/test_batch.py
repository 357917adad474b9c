"""Many inputs in one command: what is printed of each, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers import Run, two_windows, write_tree, write_video
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.progress import BatchPrinter
from vidattn.errors import ExitCode
from vidattn.inference.batch.events import Done
from vidattn.inference.batch.inputs import VideoInput
from vidattn.inference.batch.outputs import OutputFiles
from vidattn.inference.batch.runner import BatchJob
from vidattn.inference.batch.segment import Segmenter
from vidattn.types import Window

WANTED = ("-f", "json,csv", "-o", "out")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "videos")


def test_skipped_inputs_and_known_failures_are_named(quick: Run, model: Path, videos: Path) -> None:
    words = ("segment", "videos", "-m", model, *WANTED)
    first = quick(*words, code=4)
    assert "error: videos/c.mp4: " in first.stderr
    assert "2 of 3 inputs complete, 0 in part, 1 failed" in first.stderr
    again = quick(*words, "--skip-existing", code=4)
    assert "videos/a.mp4: is done" in again.stderr
    assert "videos/c.mp4: has failed before (E_NOT_VIDEO); --retry-failed" in again.stderr
    write_video(videos / "c.mp4", seconds=1)
    quick(*words, "--skip-existing")


def test_an_empty_shard_is_complete(quick: Run, model: Path, videos: Path) -> None:
    words = ("segment", "videos", "-m", model, *WANTED)
    assert quick(*words, "--shard", "5/6").stdout == ""
    quick(*words, "--shard", "3/3", code=2)


@pytest.mark.parametrize(
    ("lacking", "code"), [({"videos/a.mp4"}, 4), ({"videos/a.mp4", "videos/deep/b.mp4"}, 6)]
)
def test_the_exit_code_of_a_lack_of_memory_for_all_inputs(
    quick: Run,
    model: Path,
    videos: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacking: set[str],
    code: int,
) -> None:
    plain = Segmenter.run

    def run(self: Segmenter, path: str, deliver: object) -> object:
        if path in lacking:
            raise MemoryError
        return plain(self, path, deliver)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "run", run)
    done = quick("segment", "videos", "-m", model, *WANTED, code=code)
    assert "videos/a.mp4: out of memory" in done.stderr


def test_skipped_inputs_are_printed_like_the_others(quick: Run, model: Path, videos: Path) -> None:
    words = ("classify", "videos", "-m", model, *WANTED, "--json")
    first, again = quick(*words, code=4), quick(*words, "--skip-existing", code=4)
    documents = [[json.loads(line) for line in done.stdout.splitlines()] for done in (first, again)]
    for row in documents[0]:
        row.pop("run", None)
    assert [row for row in documents[0] if "error" not in row] == documents[1]
    assert "is done" in again.stderr


def test_exact_excerpts_replace_others(quick: Run, model: Path, videos: Path) -> None:
    words = ("segment", "videos/a.mp4", "-m", model, *WANTED, "--skip-existing", "--excerpts", "x")
    assert "wrote 1 excerpt to x" in quick(*words).stderr
    assert "encoded anew" in quick(*words, "--excerpts-exact").stderr
    assert "excerpt" not in quick(*words, "--excerpts-exact").stderr


def test_formats_add_up(quick: Run, model: Path, videos: Path) -> None:
    quick("segment", "videos/a.mp4", "-m", model, "-f", "json", "-f", "srt,csv", "-o", "out")
    assert len(list((videos.parent / "out").iterdir())) == 3


def test_many_unread_spans_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    spans = tuple((Window(i / 100, (i + 0.5) / 100), "E_DECODE") for i in range(100))
    job = BatchJob.create([VideoInput("a.mp4")], OutputFiles(()))
    printer = BatchPrinter(Console(), job, lambda timeline: None, as_json=False)
    events = (event for event in [Done("a.mp4", two_windows(unreadable=spans))])
    assert printer.print(events) == ExitCode.INCOMPLETE
    *_, last = lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert last == "warning: a.mp4: 80 more spans not seen; -f json lists all"
