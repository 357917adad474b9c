"""Many inputs in one command: what is printed of each, and the exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests import processes
from tests.helpers import Run, two_windows, write_tree, write_video
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.progress import BatchPrinter, RunPosition
from vidattn.errors import ExitCode
from vidattn.inference.batch.events import Done
from vidattn.inference.batch.inputs import VideoInput
from vidattn.inference.batch.job import BatchJob
from vidattn.inference.batch.output_files import OutputFiles
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
    listed = f"note: failures are listed in {Path('out', 'failures.jsonl')}"
    assert listed in first.stderr
    again = quick(*words, "--skip-existing", code=4)
    assert "videos/a.mp4: done before" in again.stderr
    assert "videos/c.mp4: has failed before (E_NOT_VIDEO); --retry-failed" in again.stderr
    assert listed in again.stderr
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
    assert "done before" in again.stderr


def test_exact_excerpts_replace_others(quick: Run, model: Path, videos: Path) -> None:
    words = ("segment", "videos/a.mp4", "-m", model, *WANTED, "--skip-existing", "--excerpts", "x")
    assert "wrote 1 excerpt to x" in quick(*words).stderr
    assert "encoded anew" in quick(*words, "--excerpts-exact").stderr
    assert "excerpt" not in quick(*words, "--excerpts-exact").stderr


def test_formats_add_up(quick: Run, model: Path, videos: Path) -> None:
    quick("segment", "videos/a.mp4", "-m", model, "-f", "json", "-f", "srt,csv", "-o", "out")
    assert len(list((videos.parent / "out").iterdir())) == 3


def test_files_of_an_earlier_run_with_other_settings_are_named(
    quick: Run, model: Path, videos: Path
) -> None:
    words = ("segment", "videos/a.mp4", "-m", model, "--overlap", 0, "-o", "out", "-f")
    quick(*words, "json,srt,csv")
    assert "earlier run" not in quick(*words, "json,srt").stderr
    shown = quick(*words, "json,csv", "--threshold", "0.99").stderr
    assert "a.mp4: of an earlier run with other settings: out/a.vidattn.srt\n" in shown


def test_many_unread_spans_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    spans = tuple((Window(i / 100, (i + 0.5) / 100), "E_DECODE") for i in range(100))
    job = BatchJob.create([VideoInput("a.mp4")], OutputFiles(()))
    printer = BatchPrinter(Console(), job, lambda timeline: None, as_json=False)
    events = (event for event in [Done("a.mp4", two_windows(unreadable=spans))])
    assert printer.print(events) == ExitCode.INCOMPLETE
    *_, last = lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert last == "warning: a.mp4: 80 more spans not seen; -f json lists all"


def test_a_run_has_an_index_of_all_its_reports(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    words = ("segment", "videos", "-m", model, "-f", "json,html", "-o", "out")
    assert "wrote out/index.html" in quick(*words, "--shard", "0/2", code=None).stderr
    quick(*words, "--shard", "1/2", code=None)
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    reports = re.findall(r'<a href="([^"]+)"', page)
    assert sorted(reports) == ["videos/a.vidattn.html", "videos/deep/b.vidattn.html"]
    assert all((tmp_path / "out" / report).exists() for report in reports)
    assert page.count('<svg class="ribbon"') == 2
    assert "<h2>Time budget</h2>" in page
    whole = quick(*words, "--skip-existing", code=4)
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "E_NOT_VIDEO" in page
    assert "wrote out/index.html" in whole.stderr
    (tmp_path / "out" / "index.html").write_text("my own page")
    assert "index.html" not in quick(*words, "--skip-existing", code=4).stderr
    assert (tmp_path / "out" / "index.html").read_text() == "my own page"


def test_the_time_left_goes_by_the_sizes_of_files(tmp_path: Path) -> None:
    for name, size in (("a", 999), ("b", 1999), ("c", 2999)):
        (tmp_path / name).write_bytes(bytes(size))
    now = [0.0]
    position = RunPosition([str(tmp_path / name) for name in "abc"], lambda: now[0])
    assert str(position) == "0 of 3 inputs"
    now[0] = 30.0  # a model has been loaded meanwhile
    position.start()
    now[0] = 40.0
    position.finish(str(tmp_path / "a"))
    assert str(position) == "1 of 3 inputs, 00:00:50 left"
    position.finish(str(tmp_path / "c"), skipped=True)
    assert str(position) == "2 of 3 inputs, 00:00:20 left"
    assert str(RunPosition(["a.mp4"])) == ""
    two = RunPosition([str(tmp_path / name) for name in "abc"], lambda: now[0])
    two.finish(str(tmp_path / "a"))
    now[0] += 2.0
    two.finish(str(tmp_path / "b"))  # the first input is slower than all others
    assert str(two) == "2 of 3 inputs, 00:00:03 left"


def test_inputs_of_one_name_are_explained(quick: Run, model: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "walk.mp4", seconds=1)
    (tmp_path / "walk.avi").write_bytes((tmp_path / "walk.mp4").read_bytes())
    done = quick("segment", "walk.mp4", "walk.avi", "-m", model, "-f", "srt", "-o", "out")
    assert "2 inputs share names with others: results of walk.mp4 are out/walk.mp4" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").glob("*.srt")) == [
        "walk.avi.vidattn.srt",
        "walk.mp4.vidattn.srt",
    ]


def test_a_reader_that_leaves_costs_no_files(model: Path, videos: Path, tmp_path: Path) -> None:
    words = ["segment", "videos", "-m", str(model), "-f", "json,srt", "-o", "out"]
    (videos / "c.mp4").unlink()
    with processes.Popen(
        words, cwd=tmp_path, stdout=processes.PIPE, stderr=processes.PIPE
    ) as process:
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(60) == 141, told
    assert "standard output is closed; files are still written" in told
    assert len(list((tmp_path / "out").rglob("*.json"))) == 2
    assert len(list((tmp_path / "out").rglob("*.srt"))) == 2


def test_timeline_takes_folders_and_patterns(quick: Run, park: Path, tmp_path: Path) -> None:
    for place in ("a/one.vidattn.json", "a/deep/two.vidattn.json", "a/other.json"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(park.read_bytes())
    quick("timeline", "a", "-f", "srt", "-o", "out")
    found = sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.srt"))
    assert list(map(str, found)) == ["a/deep/two.vidattn.srt", "a/one.vidattn.srt"]
    quick("timeline", "a/*.vidattn.json", "-f", "csv", "-o", "more")
    assert [p.name for p in (tmp_path / "more").rglob("*.csv")] == ["one.vidattn.csv"]
    (tmp_path / "empty").mkdir()
    assert "no timelines below" in quick("timeline", "empty", code=3).stderr
