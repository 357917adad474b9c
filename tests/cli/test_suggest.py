"""`vidattn suggest`: a table to fill in, which is training data, and files to correct."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import Run, read_csv, write_video
from vidattn.data.sets.csv_list import open_table
from vidattn.data.tabular import read_rows
from vidattn.errors import DataError
from vidattn.weights.loading import load
from vidattn.weights.safetensors_file import save


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
    rows = read_csv(table)
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
    again = read_csv(tmp_path / "next/suggestions.csv")
    places = {(row["path"], row["start"]) for row in again}
    assert rows[0]["path"].startswith("../videos/")
    assert not places & {(rows[i]["path"], rows[i]["start"]) for i in (0, 2)}
    assert len(again) == 2 * 6 - 2


def test_a_list_of_whole_files_leaves_them_out_and_counts_their_labels(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "clips.csv").write_text("file,label\nvideos/a.mp4,walk;run\nother.mp4,run\n")
    quick("suggest", "videos", "-m", model, "-n", "99", "--labeled", "clips.csv", "-o", "next")
    rows = read_csv(tmp_path / "next/suggestions.csv")
    assert {Path(row["path"]).name for row in rows} == {"b.mp4"}
    page = (tmp_path / "next/suggestions.html").read_text()
    examples = {"walk has 1 example", "run has 2 examples", "jump has 0 examples"}
    assert any(text in page for text in examples)


def test_class_folders_and_texts_of_frames_label_whole_files(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    (videos / "walk").mkdir()
    (videos / "run").mkdir()
    (videos / "a.mp4").rename(videos / "walk/a.mp4")
    write_video(videos / "run/c.mp4", seconds=3)
    words = ("suggest", "videos", "-m", model, "-n", "99", "-o", "next", "--labeled")
    quick(*words, "videos")
    rows = read_csv(tmp_path / "next/suggestions.csv")
    assert {row["path"] for row in rows} == {"../videos/b.mp4"}
    (tmp_path / "frames").mkdir()
    for name in "abc":
        (tmp_path / f"frames/{name}.txt").write_text("walk\nrun\n")
    assert "nothing is suggested" in quick(*words, "frames").stderr
    (tmp_path / "empty").mkdir()
    assert "empty: " in quick(*words, "empty", code=3).stderr


def test_guesses_are_written_for_tools_that_correct_them(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    (videos / "c.mp4").write_text("no video")
    words = ("suggest", "videos", "-m", model, "-n", "4", "-o", "out")
    quick(*words, "-f", "labelstudio,eaf", code=4)
    assert list((tmp_path / "out").rglob("*.suggested.vidattn.eaf"))
    assert json.loads(next((tmp_path / "out").rglob("*.labelstudio.json")).read_text())
    assert not list((tmp_path / "out").glob("suggestions.*"))


def test_a_model_of_several_areas_suggests_windows_of_each(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    clip = replace(load(model).clip, area="left=0%,0%,50%,100%;right=50%,0%,50%,100%")
    save(replace(load(model), clip=clip), tmp_path / "areas.safetensors")
    words = ("suggest", "videos", "-m", "areas.safetensors", "-n", "99", "-f", "csv,html,eaf")
    quick(*words, "-o", "out")
    table = tmp_path / "out/suggestions.csv"
    rows = read_csv(table)
    assert Counter(row["roi"] for row in rows) == {"left": 12, "right": 12}
    left, right = (next(row for row in rows if row["roi"] == name) for name in ("left", "right"))
    assert left["score"] != right["score"]
    assert "a.mp4 (area left)" in (tmp_path / "out/suggestions.html").read_text()
    assert [p.name for p in sorted((tmp_path / "out").rglob("a.*.eaf"))] == [
        "a.left.suggested.vidattn.eaf",
        "a.right.suggested.vidattn.eaf",
    ]
    table.write_text(table.read_text().replace(",,", ",dive,", 1))
    (item,) = open_table(table, "train").items
    assert item.roi == rows[0]["roi"]
    quick(*words, "--labeled", "out/suggestions.csv", "-o", "next")
    again = read_csv(tmp_path / "next/suggestions.csv")
    assert len(again) == len(rows) - 1
    places = [(row["path"], row["start"], row["roi"]) for row in again]
    assert (rows[0]["path"], rows[0]["start"], rows[0]["roi"]) not in places


def test_labels_are_of_the_video_in_their_folder(quick: Run, model: Path, tmp_path: Path) -> None:
    for site in ("site-a", "site-b"):
        write_video(tmp_path / "traps" / site / "1.mp4", seconds=3)
    (tmp_path / "far.csv").write_text("path,label\nelsewhere/site-a/1.mp4,walk\n")
    (tmp_path / "near.csv").write_text("path,label\ntraps/site-a/1.mp4,walk\n")
    (tmp_path / "traps/site-a/own.csv").write_text("path,start,end,label\n1.mp4,0,9,walk\n")
    for labels in ("far.csv", "near.csv", "traps/site-a/own.csv"):
        words = ("-m", model, "-n", "3", "-o", "out", "--labeled", labels)
        other = quick("suggest", "traps/site-b/1.mp4", *words)
        assert f"{labels}: names none of these videos" in other.stderr
        assert "3 windows to label" in other.stderr
        own = quick("suggest", "traps/site-a/1.mp4", *words, "-q")
        assert own.stderr == (
            f"warning: {labels}: labels all of these videos, so nothing is suggested\n"
        )


def test_labels_that_name_no_folder_are_of_the_name(
    quick: Run, model: Path, videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/labels.csv").write_text("path,label\na.mp4,walk\nb,run\n")
    words = ("suggest", "videos", "-m", model, "-o", "out", "--labeled")
    assert "0 windows to label" in quick(*words, "sub/labels.csv").stderr
