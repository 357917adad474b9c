"""Labels corrected in the report with a keyboard, and the file that the other commands read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.helpers import write_video
from tests.output.chromium import Page
from tests.output.test_report_browser import SETTLED, expected, labels, read_spans, timeline
from vidattn import output
from vidattn.cli.app import app
from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.data.sets.csv_list import open_table
from vidattn.timeline import Timeline
from vidattn.timeline.budget import Observation, time_budget
from vidattn.types import Settings, Window

SPANS = (
    "[...document.querySelectorAll('#rows tr')].map((r) => [r.segment.start, r.segment.stop,"
    " r.querySelector('bdi').innerText, r.segment.score === null])"
)
SUMMARY = "document.getElementById('summary').innerText"


def opened(page: Page, folder: Path, **changes: Any) -> Timeline:
    """Walk 0-1, run 1-1.5, walk 1.5-2, jump 2-3.5, run 3.5-4."""
    walk = timeline(source=str(folder / "walk.mp4"), **changes)
    page.open(output.write(walk, folder / "walk.vidattn.html"))
    return walk


def spans(page: Page) -> list[tuple[float, float, str]]:
    """The rows of the list, without those of background."""
    rows = [(start, stop, label) for start, stop, label, _ in page.ask(SPANS)]
    return [row for row in rows if row[2] != "background"]


def keys(page: Page, *names: str) -> None:
    for name in names:
        control = 2 if name.startswith("ctrl ") else 0
        key = name.removeprefix("ctrl ")
        page.press(key, modifiers=control, **({"text": key} if len(key) == 1 else {}))


def to(page: Page, seconds: float) -> None:
    page.ask(f"location.hash = '#t={seconds}'")
    page.wait(f"document.getElementById('link').hash === '#t={seconds:g}'")


def test_brackets_move_the_boundaries_to_the_moment(page: Page, tmp_path: Path) -> None:
    opened(page, tmp_path)
    to(page, 2.25)
    keys(page, "[")  # jump starts here, and walk goes on until then
    to(page, 3.125)
    keys(page, "]")  # jump ends here, and run starts
    assert spans(page) == [
        (0, 1, "walk"), (1, 1.5, "run"), (1.5, 2.25, "walk"), (2.25, 3.125, "jump"),
        (3.125, 4, "run"),
    ]  # fmt: skip
    assert [row[3] for row in page.ask(SPANS)] == [False, False, True, True, True]
    to(page, 0.5)
    keys(page, "[")  # nothing comes before the first: background does now
    assert page.ask(SPANS)[0][:3] == [0, 0.5, "background"]
    keys(page, "[", "]")
    assert len(page.ask(SPANS)) == 6


def test_digits_name_the_labels_with_the_most_time_and_delete_makes_background(
    page: Page, tmp_path: Path
) -> None:
    opened(page, tmp_path)
    shown = (
        "[...document.querySelectorAll('#tracks button')].map((b) => b.dataset.key + b.innerText)"
    )
    assert page.ask(shown) == ["1walk", "2jump", "3run"]
    to(page, 1.25)
    keys(page, "2")
    to(page, 1.75)
    keys(page, "Delete")
    assert spans(page) == [(0, 1, "walk"), (1, 1.5, "jump"), (2, 3.5, "jump"), (3.5, 4, "run")]
    keys(page, "2")  # background again becomes what its neighbors are, and joins them
    assert spans(page) == [(0, 1, "walk"), (1, 3.5, "jump"), (3.5, 4, "run")]
    assert page.ask(shown) == ["2jump", "1walk", "3run"]
    assert "corrected by hand; this browser keeps the draft" in page.ask(SUMMARY)
    assert page.ask("document.getElementById('threshold').disabled")


def test_undo_goes_back_to_the_model_and_redo_forward(page: Page, tmp_path: Path) -> None:
    walk = opened(page, tmp_path)
    to(page, 1.25)
    keys(page, "Delete", "2")
    assert labels(page) == ["walk", "jump", "walk", "jump", "run"]
    keys(page, "ctrl z")
    assert labels(page)[1] == "background"
    keys(page, "ctrl z", "ctrl z")
    assert labels(page) == expected(walk)
    assert "by hand" not in page.ask("document.body.innerText")
    keys(page, "ctrl y", "ctrl y", "ctrl y")
    assert labels(page) == ["walk", "jump", "walk", "jump", "run"]
    page.click("#reset")
    page.ask(SETTLED)
    assert labels(page) == expected(walk)
    keys(page, "ctrl z")  # a reset is undone, too
    assert labels(page)[1] == "jump"


def test_a_typed_label_may_be_any_of_the_model_or_a_new_one(page: Page, tmp_path: Path) -> None:
    names = ("walk", "run", "jump", "jog slowly")
    scores = timeline().scores
    scores = [[*row, 0.0] for row in scores.tolist()]
    opened(page, tmp_path, labels=names, scores=scores)
    to(page, 0.5)
    keys(page, "j")
    options = (
        "[...document.querySelectorAll('#picker li')].map((li) => li.innerText.split('\\n')[0])"
    )
    assert page.ask(options) == ["jog slowly", "jump", "New label “j”"]
    page.tell("Input.insertText", text="um")
    assert page.ask(options) == ["jump", "New label “jum”"]
    keys(page, "Enter")
    assert labels(page)[0] == "jump"
    keys(page, "s")
    assert page.ask(options) == ["jog slowly", "New label “s”"]
    keys(page, "Enter")  # never the winner anywhere: the page has its name only
    assert labels(page)[0] == "jog slowly"
    keys(page, "h")
    page.tell("Input.insertText", text="op <b>")
    keys(page, "Enter")
    assert labels(page)[0] == "hop <b>"
    keys(page, "x", "Escape")
    assert not page.ask("document.getElementById('picker').open")
    assert labels(page)[0] == "hop <b>"


def test_a_segment_is_cut_and_frames_are_stepped(page: Page, tmp_path: Path) -> None:
    write_video(tmp_path / "walk.mp4", seconds=4)
    opened(page, tmp_path)
    page.wait("document.getElementById('video').readyState > 0")
    to(page, 2.5)
    keys(page, ".", ".", ",")
    page.ask(SETTLED)
    assert page.ask("document.getElementById('video').currentTime") == pytest.approx(2.52)
    keys(page, "Enter", "1")
    assert (2.52, 3.5, "walk") in spans(page)
    assert (2, 2.52, "jump") in spans(page)


def test_the_draft_survives_a_reload_and_belongs_to_one_timeline(
    page: Page, tmp_path: Path
) -> None:
    walk = opened(page, tmp_path)
    to(page, 1.25)
    keys(page, "h")
    page.tell("Input.insertText", text="op")
    keys(page, "Enter")
    edited = spans(page)
    assert edited[1] == (1, 1.5, "hop")
    page.open(tmp_path / "walk.vidattn.html")
    assert spans(page) == edited
    other = timeline(source="walk.mp4", scores=walk.scores[::-1])
    page.open(output.write(other, tmp_path / "other.html"))
    assert labels(page) == expected(other)
    (key,) = page.ask("Object.keys(localStorage)")
    for broken in ("not json", "{}", "[[1]]", '[[0, 1, "walk", "<b>"]]', "null"):
        page.ask(f"localStorage.setItem({json.dumps(key)}, {json.dumps(broken)})")
        page.open(tmp_path / "walk.vidattn.html")
        assert labels(page) == expected(walk)


def test_a_browser_that_keeps_nothing_says_so(page: Page, tmp_path: Path) -> None:
    opened(page, tmp_path)
    page.ask("Storage.prototype.setItem = () => { throw new Error('full') }")
    keys(page, "2")
    assert "save it, this browser does not keep it" in page.ask(SUMMARY)
    assert labels(page)[0] == "jump"


def test_saved_labels_are_ground_truth_and_training_data(page: Page, tmp_path: Path) -> None:
    write_video(tmp_path / "walk.mp4", seconds=4)
    walk_json = output.write(opened(page, tmp_path), tmp_path / "walk.vidattn.json")
    to(page, 1.25)
    keys(page, "Delete")
    to(page, 3.0)
    keys(page, "]")
    saved = page.save("#save-csv", tmp_path / "walk.vidattn.labels.csv")
    wanted = [(0.0, 1.0, "walk"), (1.5, 2.0, "walk"), (2.0, 3.0, "jump"), (3.0, 4.0, "run")]
    assert read_spans(saved) == wanted
    dataset = open_table(with_split(saved), "train")
    items = [(item.window, dataset.labels[item.label]) for item in dataset.items]
    assert [(w.start, w.stop, label) for w, label in items if w] == wanted
    done = CliRunner().invoke(app, ["compare", str(saved), str(walk_json), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["frame_accuracy"] == 0.75  # a second of four was corrected


def test_saved_labels_name_the_area_that_they_are_of(page: Page, tmp_path: Path) -> None:
    opened(page, tmp_path, settings=Settings(roi="left"))
    saved = page.save("#save-csv", tmp_path / "walk.vidattn.labels.csv")
    assert saved.read_text().splitlines()[0] == "path,start,end,label,score,roi"
    assert [list(video.areas) for video in read_ground_truth(saved).videos] == [["left"]]


def test_where_labels_overlap_an_edit_leaves_the_others_alone(page: Page, tmp_path: Path) -> None:
    opened(page, tmp_path)
    path = tmp_path / "walk.vidattn.html"
    path.write_text(path.read_text("utf-8").replace('"overlapping": false', '"overlapping": true'))
    page.open(path)
    page.click("#rows td.words", 4)  # the second walk
    to(page, 2.5)
    keys(page, "]")  # it stays chosen after its end
    assert spans(page)[2:4] == [(1.5, 2.5, "walk"), (2, 3.5, "jump")]
    page.click("#rows td.words", 6)
    keys(page, "Delete")
    assert spans(page) == [(0, 1, "walk"), (1, 1.5, "run"), (1.5, 2.5, "walk"), (3.5, 4, "run")]
    assert "background" not in labels(page)
    to(page, 3.0)
    keys(page, "2")  # where nothing is, a segment as long as a window begins
    assert spans(page)[3] == (3, 3.5, "jump")


def with_split(path: Path) -> Path:
    """A copy whose rows are all for training; spans of one file would stay together."""
    lines = path.read_text("utf-8").splitlines()
    lines = [lines[0] + ",split", *(line + ",train" for line in lines[1:])]
    other = path.with_name("list.csv")
    other.write_text("\n".join(lines), "utf-8")
    return other


def test_the_time_budget_is_that_of_python_and_follows_edits(page: Page, tmp_path: Path) -> None:
    walk = opened(page, tmp_path, unreadable=((Window(4, 5), "E_DECODE"),), duration=5.0)
    table = (
        "[...document.querySelectorAll('#budget-{} tr')].slice(1)"
        ".map((r) => [...r.cells].map((c) => c.innerText))"
    )
    page.click("#budget summary")
    page.wait("document.querySelectorAll('#budget-labels tr').length === 4")
    budget = time_budget([Observation.of_document(walk.to_dict())])
    assert page.ask(table.format("labels")) == [
        [
            row.label,
            str(row.count),
            f"0:0{row.seconds:.1f}",
            f"{100 * row.share:.1f} %",
            f"{row.mean_seconds:.2f} s",
            f"{row.median_seconds:.2f} s",
            f"0:0{row.latency_seconds:.1f}",
        ]
        for row in budget
    ]
    labels_ = [row.label for row in budget]
    assert page.ask(table.format("next")) == [
        [row.label, *(str(row.followers.get(label, 0)) for label in labels_)] for row in budget
    ]
    to(page, 1.25)
    keys(page, "1")  # walk joins walk
    assert page.ask(table.format("labels"))[0][:3] == ["walk", "1", "0:02.0"]
