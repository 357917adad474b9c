"""`vidattn suggest`: a table to fill in, which is training data, and files to correct."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.helpers import Run, write_video
from vidattn.data.sets.csv_list import open_table
from vidattn.data.tabular import read_rows
from vidattn.errors import DataError


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write_video(tmp_path / "videos" / f"{name}.mp4", seconds=3)
    return tmp_path / "videos"


def test_a_table_is_filled_in_and_read_and_what_it_labels_is_not_suggested_again(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    done = quick("suggest", "videos", "-m", model, "-n", "4", "-o", "out")
    assert "wrote out/suggestions.csv" in done.stderr
    assert (tmp_path / "out/suggestions.html").read_text().count("data:image/jpeg") == 4
    assert "4 windows to label" in done.stderr
    table = tmp_path / "out/suggestions.csv"
    with pytest.raises(DataError, match="no row has a label yet"):
        read_rows(table)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert list(rows[0]) == ["path", "start", "end", "label", "guess", "score", "unsure"]
    assert {row["guess"] for row in rows} <= {"walk", "run", "[b]jump"}
    rows[0]["label"], rows[2]["label"] = "dive", "swim"
    with (tmp_path / "labeled.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "path": f"videos/{Path(row['path']).name}"} for row in rows)
    table.write_text(table.read_text().replace(",,", ",dive,", 1))
    (item,) = open_table(table, "train").items
    assert Path(item.path).samefile(videos / Path(rows[0]["path"]).name)
    assert open_table(tmp_path / "labeled.csv", "train").labels == ("dive", "swim")
    quick("suggest", "videos", "-m", model, "-n", "99", "--labeled", "labeled.csv", "-o", "next")
    again = list(csv.DictReader((tmp_path / "next/suggestions.csv").read_text().splitlines()))
    places = {(row["path"], row["start"]) for row in again}
    assert rows[0]["path"].startswith("../videos/")
    assert not places & {(rows[i]["path"], rows[i]["start"]) for i in (0, 2)}
    assert len(again) == 2 * 6 - 2


def test_guesses_are_written_for_tools_that_correct_them(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    (videos / "c.mp4").write_text("no video")
    words = ("suggest", "videos", "-m", model, "-n", "4", "-o", "out")
    quick(*words, "-f", "labelstudio,eaf", code=4)
    assert list((tmp_path / "out").rglob("*.suggested.vidattn.eaf"))
    tasks = list((tmp_path / "out").rglob("*.labelstudio.json"))
    assert json.loads(tasks[0].read_text())
    assert not list((tmp_path / "out").glob("suggestions.*"))
    quick(*words, "-f", "xlsx", code=2)
