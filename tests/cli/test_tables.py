"""One table for all inputs: while a run goes, after a resume, of shards, and of saved timelines."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import vidattn
from tests.helpers import Run, read_csv, two_windows, write_tree
from vidattn.config.run_options import BatchOptions
from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.inference.batch import run_files, table
from vidattn.inference.batch.events import Done, Skipped
from vidattn.inference.batch.inputs import VideoInput
from vidattn.inference.batch.job import BatchJob
from vidattn.inference.batch.output_files import OutputFiles
from vidattn.inference.batch.run_files import RunTable, load_document
from vidattn.inference.batch.table import JobTables
from vidattn.timeline import Decoding, Timeline
from vidattn.types import VideoInfo, Window

HEAD = (
    "path,start_seconds,end_seconds,start_hms,end_hms,duration_seconds,label,score,confidence,"
    "start_frame,end_frame,roi"
)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "videos")


def test_a_row_is_a_segment_with_times_as_players_count_them(quick: Run, tmp_path: Path) -> None:
    late = two_windows(source="=cmd.mp4", input=VideoInfo(start_offset=3599.5))
    (tmp_path / "late.vidattn.json").write_text(late.to_json())
    assert quick("timeline", "late.vidattn.json", "--table", "all.csv").stdout == ""
    assert (tmp_path / "all.csv").read_text().splitlines() == [
        HEAD,
        "'=cmd.mp4,3599.500,3601.500,00:59:59.500,01:00:01.500,2.000,dive,0.90000,,,,",
        "'=cmd.mp4,3601.500,3603.500,01:00:01.500,01:00:03.500,2.000,swim,0.80000,,,,",
    ]
    (video,) = read_ground_truth(tmp_path / "all.csv").videos
    assert [(w.start, label) for w, label in video.spans] == [(3599.5, "dive"), (3601.5, "swim")]


def test_a_row_is_a_classified_video_with_a_column_for_each_class(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    words = ("classify", "videos", "-m", model, "-o", "out", "-f", "json,table")
    assert "wrote out/table.csv, of all results" in quick(*words, code=4).stderr
    one, failed, two = read_csv(tmp_path / "out/table.csv")
    assert list(one)[-3:] == ["score_walk", "score_run", "score_[b]jump"]
    assert (one["path"], one["duration_seconds"], one["duration_hms"]) == (
        "videos/a.mp4",
        "1.000",
        "00:00:01.000",
    )
    scores = [float(one[name]) for name in list(one)[-3:]]
    assert (sum(scores), max(scores)) == (pytest.approx(1, abs=2e-5), float(one["score"]))
    assert (failed["path"], failed["reasons"]) == ("videos/c.mp4", "E_NOT_VIDEO")
    assert set(failed.values()) == {"videos/c.mp4", "E_NOT_VIDEO", ""}
    assert (two["path"], two["reasons"]) == ("videos/deep/b.mp4", "")
    whole = (tmp_path / "out/table.csv").read_bytes()
    (tmp_path / "out/table.csv").unlink()
    quick(*words, "--skip-existing", code=4)
    assert (tmp_path / "out/table.csv").read_bytes() == whole
    quick("timeline", "out", "--table", "again.csv")
    assert read_csv(tmp_path / "again.csv") == [one, two]


def test_shards_fill_one_table_that_merging_gives_too(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    (videos / "c.mp4").unlink()
    words = ("segment", "videos", "-m", model, "--overlap", "0")
    quick(*words, "-o", "one", "-f", "json", "--table", "one.csv")
    for shard in ("0/2", "1/2"):
        quick(*words, "-o", "two", "-f", "json", "--table", "two.csv", "--shard", shard)
    quick("timeline", "one", "--table", "three.csv")
    first, *others = (tmp_path / f"{name}.csv" for name in ("one", "two", "three"))
    assert len(read_csv(first)) >= 2
    assert {path.read_bytes() for path in others} == {first.read_bytes()}
    assert not list(tmp_path.glob(".*.lock"))
    quick(*words, "-f", "srt", "--table", "two.csv", "--shard", "0/2", code=2)


def test_what_makes_no_table_is_told(quick: Run, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(two_windows().to_json())
    (tmp_path / "b.json").write_text("{}")
    done = quick("timeline", "a.json", "b.json", "--table", "all.csv", code=4)
    assert "b.json: not a vidattn/timeline/1 document" in done.stderr
    assert "of 1 timeline" in done.stderr
    assert len(read_csv(tmp_path / "all.csv")) == 2
    quick("timeline", "b.json", "--table", "none.csv", code=3)
    assert not (tmp_path / "none.csv").exists()
    whole = {"task": "classify", "windows": (Window(0, 4),), "scores": np.array([[0.5, 0.5]])}
    (tmp_path / "c.json").write_text(two_windows(**whole).to_json())
    for words, message in (
        (("--table", "all.xlsx"), "neither .csv nor .parquet"),
        (("c.json", "--table", "all.csv"), "has other columns"),
    ):
        assert message in quick("timeline", "a.json", *words, code=2).stderr


def test_other_settings_make_a_table_of_other_segments(quick: Run, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(two_windows().to_json())
    quick("timeline", "a.json", "--threshold", "0.85", "--table", "all.csv")
    assert [row["label"] for row in read_csv(tmp_path / "all.csv")] == ["dive", "background"]


def test_a_saved_timeline_gives_the_rows_of_the_one_in_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    timeline = Timeline(
        "a.mp4",
        tuple(f"label {k}" for k in range(80)),
        tuple(Window(i, i + 1) for i in range(30)),
        rng.dirichlet(np.full(80, 0.05), 30),
        decoding=Decoding(),
    )
    for one in (timeline, Timeline.from_json(timeline.to_json()).with_decoding(smooth="none")):
        saved = tmp_path / "a.json"
        saved.write_text(one.to_json())
        fast = load_document(saved)
        assert "scores" not in fast
        assert fast == one.to_dict(scores=False)
        saved.write_text(one.to_json(indent=None))  # in another layout, it is read whole
        assert load_document(saved)["segments"] == fast["segments"]


def test_parquet_has_numbers_and_names_as_they_are(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = RunTable(tmp_path / "all.parquet")
    table.add("a", two_windows(source='=1,"\n').to_dict())
    table.write(["a"])
    saved = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert [(row["path"], row["start_seconds"], row["label"]) for row in saved] == [
        ('=1,"\n', 0.0, "dive"),
        ('=1,"\n', 2.0, "swim"),
    ]
    assert saved[0]["start_frame"] is None


def test_the_table_is_whole_while_a_run_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_files, "INTERVAL", -1.0)
    monkeypatch.setattr(run_files, "SHARE", 0)
    place = tmp_path / "all.csv"
    inputs = [VideoInput(name) for name in ("a.mp4", "b.mp4", "c.mp4")]
    table = JobTables(BatchJob.create(inputs, OutputFiles((), table=place)))
    table.take(Done("b.mp4", two_windows(source="b.mp4")))
    assert [row["path"] for row in read_csv(place)] == ["b.mp4"] * 2
    table.take(Skipped("a.mp4", two_windows(source="a.mp4")))
    assert [row["path"] for row in read_csv(place)] == ["a.mp4"] * 2 + ["b.mp4"] * 2


def test_saved_results_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [VideoInput(name) for name in ("a.mp4", "b.mp4")]
    output = OutputFiles(("json", "budget"), tmp_path)
    job = BatchJob.create(inputs, output, BatchOptions(skip_existing=True))
    job.place("a.mp4", "json").write_text(two_windows(source="a.mp4").to_json())
    read: list[object] = []
    load = table.load_document
    monkeypatch.setattr(table, "load_document", lambda path: read.append(path) or load(path))
    tables = JobTables(job)
    tables.write()
    assert len(read) == 2  # for time budgets, and for an actogram in which the video is not
    tables.write()
    assert len(read) == 2
    assert not (tmp_path / "actogram.csv").exists()


def test_python_writes_the_table_too(model: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for event in vidattn.classify_many(str(videos), str(model), out, formats="table"):
        if isinstance(event, Done):
            break  # and the table has what is done
    assert [row["path"] for row in read_csv(out / "table.csv")] == [str(videos / "a.mp4")]


def test_time_budgets_of_all_videos_of_groups_and_of_each(quick: Run, tmp_path: Path) -> None:
    names = ("north/a.mp4", "north/b.mp4", "south/c.mp4")
    for name in names:
        path = (tmp_path / name).with_suffix(".vidattn.json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(two_windows(source=name).to_json())
    (tmp_path / "sites.csv").write_text("file,habitat\na.mp4,wood\nsouth/c.mp4,wood\n")
    for how, groups in (
        ("folder", [("north", "2"), ("south", "1")]),
        ("sites.csv:Habitat", [("none", "1"), ("wood", "2")]),
        ("(nor|sou)th", [("nor", "2"), ("sou", "1")]),
    ):
        words = ("timeline", "north", "south", "--group-by", how, "-f")
        done = quick(*words, "budget")
        for one in (done, quick(*words, "budget,csv", "-o", ".")):
            lost = re.findall(r"warning: budget.csv: (.*)", one.stderr)
            assert lost == ["1 video of no group: north/b.mp4"] * (groups[0][0] == "none")
        found = read_csv(tmp_path / "budget.csv")
        assert found[0].items() >= {
            "scope": "all", "seen_seconds": "12.000", "label": "dive", "videos": "3",
            "count": "3", "total_hms": "00:00:06.000", "share_percent": "50.000",
            "to_dive": "0", "to_swim": "3", "latency_seconds": "0.000",
        }.items()  # fmt: skip
        dives = [row for row in found if row["scope"] == "group" and row["label"] == "dive"]
        assert [(row["name"], row["videos"]) for row in dives] == groups
        assert [row["name"] for row in found if row["scope"] == "video"][::2] == list(names)
    for wrong in ("[", "sites.csv:depth"):
        done = quick("timeline", "north", "-f", "budget", "--group-by", wrong, code=None)
        assert done.returncode in (2, 3)
    done = quick("timeline", "north", "-f", "budget", "--group-by", "no.csv:depth", code=3)
    assert "no.csv:depth: no such file: no.csv" in done.stderr
    assert "add -f budget" in quick("timeline", "north", "--group-by", "folder", code=2).stderr


def test_a_list_in_which_a_video_may_have_two_names_is_refused_before_the_work(
    quick: Run, videos: Path, tmp_path: Path
) -> None:
    head, row = "path,start,site\n", "videos/a.mp4,2024-05-01T01:00,wood\n"
    (tmp_path / "list.csv").write_text(f"{head}1/{row}2/{row}")
    for option in (
        ("--start-time", "list.csv"),
        ("-f", "budget,html", "--group-by", "list.csv:site"),
    ):
        done = quick("segment", "videos", "-m", "motion-tiny", "-o", "out", *option, code=3)
        assert "a.mp4: may be 1/videos/a.mp4 or 2/videos/a.mp4: their folders do" in done.stderr
        assert not list(tmp_path.glob("out/**/*.json"))


def test_the_index_has_a_time_budget_groups_and_an_ethogram(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    words = ("segment", "videos", "-m", model, "--overlap", "0", "-o", "out")
    quick(*words, "-f", "json,html,budget", "--group-by", "folder", code=4)
    page = (tmp_path / "out/index.html").read_text("utf-8")
    for title in ("Time budget", "Groups", "Ethogram", "Videos", "Failures"):
        assert f"<h2>{title}</h2>" in page
    assert "videos/deep" in page
    assert len(read_csv(tmp_path / "out/budget.csv")) >= 5


def test_areas_of_one_picture_have_rows_of_their_own(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    words = ("segment", "videos/a.mp4", "-m", model, "--overlap", "0", "-o", "out")
    rois = ("--roi", "left=0,0,48,64", "--roi", "right=48,0,48,64")
    quick(*words, *rois, "-f", "json,table,budget", "--group-by", "roi")
    found = read_csv(tmp_path / "out/table.csv")
    assert list(dict.fromkeys(row["roi"] for row in found)) == ["left", "right"]
    budget = read_csv(tmp_path / "out/budget.csv")
    names = [row["name"] for row in budget if row["scope"] == "video"]
    assert list(dict.fromkeys(names)) == ["videos/a.mp4: left", "videos/a.mp4: right"]
    groups = {row["name"] for row in budget if row["scope"] == "group"}
    assert groups == {"left", "right"}
    quick("timeline", "out", "--table", "again.csv")
    assert read_csv(tmp_path / "again.csv") == found
    for form in ("csv", "tsv", "jsonl"):
        quick("timeline", "out", "-f", form, "-o", ".")
        left, right = (tmp_path / f"out/a.{area}.vidattn.{form}" for area in ("left", "right"))
        both = right.read_text().splitlines(keepends=True)[form != "jsonl" :]
        (tmp_path / f"both.{form}").write_text("".join([left.read_text(), *both]))
        shown = quick("compare", f"both.{form}", "out", "--differences").stdout
        agreed = r"\(area (\w+)\) and .*: 100.0 % of the time agrees"
        assert re.findall(agreed, shown) == ["left", "right"]
    quick("timeline", "out", "-f", "eaf", "-o", ".")
    shown = quick("compare", "out", "out/*.json", "--differences").stdout
    assert re.findall(agreed, shown) == ["left", "right"]
    (tmp_path / "out/a.left.vidattn.json").rename("left.json")
    wrong = quick("compare", "out/a.right.vidattn.eaf", "left.json", code=3)
    assert "area 'left': the ground truth has right" in wrong.stderr
    quick("compare", "out/a.left.vidattn.eaf", "left.json")
