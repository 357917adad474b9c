"""`vidattn data check` from the shell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.data.conftest import moving_square, write_frames
from tests.helpers import Run


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of two classes, two videos each in both splits."""
    for split in ("train", "val"):
        for kind in ("across", "down"):
            for number in range(2):
                seed = number + 10 * (split == "val")
                frames = moving_square(kind, seed)[:8]
                write_frames(tmp_path / "clips" / split / kind / f"{number}.mp4", frames)
    return tmp_path / "clips"


def test_a_sound_dataset_exits_with_0(vidattn: Run, clips: Path, tmp_path: Path) -> None:
    done = vidattn("data", "check", clips, "-o", "report.jsonl", "--workers", "2")
    lines = done.stdout.splitlines()
    assert lines[1] == "  train  4 samples of 2 classes, 2 of each"
    assert lines[-1] == "no serious problems"
    assert "wrote report.jsonl" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert len(rows) == 9
    assert rows[0]["uses"] == [{"split": "train", "label": "across", "part": None}]
    assert (len(rows[0]["sha256"]), rows[-1]["schema"]) == (64, "vidattn/data/1")


def test_bad_rows_have_a_line_each(quick: Run, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label,start,end\na.mp4,x,2,1\nb\u2028.mp4,x,3,1\n")
    lines = quick("data", "check", "list.csv", code=3).stderr.splitlines()
    assert lines[0] == "error: list.csv: 2 bad rows"
    assert [line[:9] for line in lines[1:3]] == ["  line 2:", "  line 3:"]


def test_names_that_are_not_text_are_escaped(quick: Run, clips: Path, tmp_path: Path) -> None:
    odd = clips / "train" / "down" / "\udcff\u2028.mp4"
    (clips / "train" / "down" / "0.mp4").rename(odd)
    done = quick("data", "check", clips, "--json", "-q", "-o", "report.jsonl")
    assert len(done.stdout.splitlines()) == 1
    rows = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [row["path"] for row in rows[:-1]].count(str(odd)) == 1


def test_a_leak_and_a_broken_file_exit_with_4(quick: Run, clips: Path) -> None:
    shutil.copy(clips / "train" / "down" / "0.mp4", clips / "val" / "down" / "x.mp4")
    (clips / "train" / "across" / "1.mp4").write_bytes(b"broken")
    done = quick("data", "check", clips, code=4)
    assert "error    1 cannot be read\n" in done.stdout
    assert "error    1 in train and in val\n" in done.stdout
    assert "(E_NOT_VIDEO)" in done.stdout
    assert done.stdout.endswith("\nserious problems\n")
    as_json = quick("data", "check", clips, "--json", "-q", code=4)
    verdict = json.loads(as_json.stdout)
    assert {k for k, findings in verdict["findings"].items() if findings["serious"]} == {
        "unreadable",
        "leak",
    }
    assert as_json.stderr == ""


def test_findings_agree_with_their_number(quick: Run, clips: Path, tmp_path: Path) -> None:
    rows = [f"{clips}/train/down/0.mp4,{label},0,0.2,train" for label in ("a", "b", "c")]
    head = ["path,label,start,end,split", f"{clips}/train/down/1.mp4,a,0,0.2,val"]
    for count, text in ((2, "1 class"), (3, "2 classes")):
        (tmp_path / "spans.csv").write_text("\n".join(head + rows[:count]))
        shown = quick("data", "check", "spans.csv", code=4).stdout
        assert f"error    {text} with samples in one split alone\n" in shown


def test_a_missing_dataset_exits_with_3_and_the_places(quick: Run, tmp_path: Path) -> None:
    done = quick("data", "check", "ssv2", "-o", "report.jsonl", code=3)
    assert "searched: data/ssv2" in done.stderr
    assert "something-something-v2-{train,validation}.json" in done.stderr
    assert not (tmp_path / "report.jsonl").exists()


def test_an_unwritable_report_is_refused_before_any_work(quick: Run, clips: Path) -> None:
    (clips / "folder.jsonl").mkdir()
    done = quick("data", "check", clips, "-o", clips / "folder.jsonl", code=5)
    assert "is not a regular file" in done.stderr


def test_control_codes_in_names_are_escaped(quick: Run, clips: Path) -> None:
    (clips / "train" / "down" / "\x1b[31mred.mp4").write_bytes(b"")
    assert "\x1b" not in quick("data", "check", clips, code=4).stdout
