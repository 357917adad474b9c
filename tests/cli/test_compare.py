"""`vidattn compare`: saved timelines and videos against ground truth."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import Run, run_without_torch
from vidattn.timeline import Timeline
from vidattn.timeline.values import ModelInfo
from vidattn.types import Window

HEADER = "path,label,start,end\n"


@pytest.fixture
def saved(quick: Run, video: Path, model: Path) -> Path:
    """The timeline of a video of four seconds."""
    quick("segment", video, "-m", model, "-f", "json", "-o", "out", "-q", "--device", "cpu")
    return Path("out/walk.vidattn.json")


def test_saved_timelines_need_no_torch(saved: Path, quick: Run, tmp_path: Path) -> None:
    rows = json.loads(saved.read_text())["segments"]
    lines = [f"walk.mp4,{row['label']},{row['start']},{row['end']}\n" for row in rows]
    Path("truth.csv").write_text(HEADER + "".join(lines))
    words = ("compare", "truth.csv", "out", "--expect", "map=100", "--expect", "f1@50=100")
    done = run_without_torch(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny on truth.csv: 1 video of 1\n  frame accuracy   100.0 %\n")
    metrics = json.loads(quick("compare", "truth.csv", saved, "--json").stdout)
    assert (metrics["edit"], metrics["map"], metrics["missing"]) == (1.0, 1.0, [])


def test_missing_videos_are_named_and_count(saved: Path, quick: Run) -> None:
    Path("truth.csv").write_text(HEADER + "walk,walk,0,4\nlost.mp4,run,0,4\n")
    done = quick("compare", "truth.csv", saved, "--json", code=4)
    assert "no prediction, so that all segments count as missed: " in done.stderr
    assert json.loads(done.stdout)["missing"] == ["lost.mp4"]
    quick("compare", "truth.csv", saved, "--expect", "frame_accuracy=99+-0.5", code=7)


def test_videos_are_evaluated_like_their_timelines(
    saved: Path, quick: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    labels = "".join(f"{name}\n" for name in ["SIL"] * 10 + ["walk"] * 15 + ["run"] * 15)
    Path("groundTruth").mkdir()
    Path("groundTruth/walk.txt").write_text(labels)
    Path("groundTruth/broken.txt").write_text(labels)
    (tmp_path / "broken.mp4").write_bytes(b"")
    shared = ("compare", ".", "--background", "SIL", "--threshold", "0.34", "--json")
    before = quick(*shared, saved, code=4)
    spot = quick(*shared, video, "broken.mp4", "-m", model, "--device", "cpu", code=4)
    assert "broken.mp4: the file is empty" in spot.stderr
    one, other = json.loads(before.stdout), json.loads(spot.stdout)
    assert [failure["path"] for failure in other.pop("failed")] == ["broken.mp4"]
    assert one.pop("failed") == []
    assert (one, one["frames"]) == (other, 80)


@pytest.mark.parametrize(
    "words",
    [
        ("--smooth", "viterbi", "--switch-cost", "3"),
        ("--threshold", "0.85", "--leave", "0.25"),
        ("--threshold", "0.85", "--merge-gap", "1"),
    ],
)
def test_timelines_are_segmented_again_as_by_timeline(quick: Run, words: tuple[str, ...]) -> None:
    walk = np.array([0.9, 0.9, 0.3, 0.9, 0.9, 0.9, 0.1, 0.1])
    windows = tuple(Window(i, i + 1) for i in range(8))
    timeline = Timeline("park.mp4", ("walk", "run"), windows, np.stack([walk, 1 - walk], 1))
    Path("park.vidattn.json").write_text(timeline.to_json())
    Path("truth.csv").write_text(HEADER + "park,walk,0,6\npark,run,6,8\n")
    shared = ("compare", "truth.csv", "park.vidattn.json", "--json")
    as_saved = json.loads(quick(*shared).stdout)
    again = json.loads(quick(*shared, *words).stdout)
    assert as_saved["edit"] < 1
    assert (again["edit"], again["f1@50"]) == (1, 1)


def test_labels_that_hold_at_once_are_measured_one_by_one(quick: Run) -> None:
    windows, scores = tuple(Window(i, i + 1) for i in range(4)), np.array([[0.9, 0.6]] * 4)
    model = ModelInfo(activation="sigmoid", thresholds={"walk": 0.5, "talk": 0.7})
    for name in ("park", "street"):
        timeline = Timeline(f"{name}.mp4", ("walk", "talk"), windows, scores, model=model)
        Path(f"{name}.vidattn.json").write_text(timeline.to_json())
    Path("truth.csv").write_text(HEADER + "park,walk,0,4\npark,talk,2,4\nstreet,walk,0,2\n")
    shared = ("compare", "truth.csv", "park.vidattn.json", "street.vidattn.json")
    lines = quick(*shared).stdout.splitlines()
    place = lines.index("  each label by itself, over the time of all videos")
    assert lines[place + 3].split()[:4] == ["macro", "F1", "42.9", "%"]
    walk, talk = (line.split() for line in lines[-2:])
    assert (walk[:5], walk[10:12]) == (["walk", "6", "s", "F1", "85.7"], ["AP", "75.0"])
    assert talk[:5] == ["talk", "2", "s", "F1", "0.0"]
    found = json.loads(quick(*shared, "--json").stdout)["several"]
    assert [row["seconds"] for row in found["per_class"]] == [6, 2]
    assert found["per_class"][0]["f1_interval"] == [0.666667, 1.0]
    assert found["micro_f1"] == pytest.approx(2 * 6 / (8 + 8), abs=1e-6)


@pytest.mark.parametrize("more", [(), ("--differences",)])
def test_ground_truth_that_is_longer_than_its_video_is_doubted(
    quick: Run, more: tuple[str, ...]
) -> None:
    windows, scores = tuple(Window(i, i + 1) for i in range(4)), np.array([[0.9, 0.1]] * 4)
    for name in ("park", "street"):
        timeline = Timeline(f"{name}.mp4", ("walk", "talk"), windows, scores)
        Path(f"{name}.vidattn.json").write_text(timeline.to_json())
    Path("truth.csv").write_text(HEADER + "park,walk,0,4\nstreet,walk,0,2\nstreet,talk,50,60\n")
    done = quick("compare", "truth.csv", "park.vidattn.json", "street.vidattn.json", *more)
    warning = "truth.csv: street lasts 60.0 s, and street.mp4 4.0 s; is it about the same video?"
    assert done.stderr == f"warning: {warning}\n"


def test_fitted_thresholds_are_stored(saved: Path, quick: Run, video: Path, model: Path) -> None:
    scores = json.loads(saved.read_text())["scores"]["values"]
    best = [max(row) for row in scores]
    # What happens is what scores highest: the other half is nothing.
    middle = sorted(best)[len(best) // 2]
    document = json.loads(saved.read_text())
    windows, names = document["scores"]["windows"], document["scores"]["labels"]
    rows = [
        f"walk.mp4,{names[row.index(max(row))]},{a},{b}\n"
        for (a, b), row in zip(windows, scores, strict=True)
        if max(row) >= middle
    ]
    Path("truth.csv").write_text(HEADER + "".join(rows))
    words = ("compare", "truth.csv", saved, "--fit-threshold", "-m", model)
    done = quick(*words, "-o", "fitted.safetensors", "--json")
    fitted = json.loads(done.stdout)["fitted"]
    assert fitted["value"] == json.loads(done.stdout)["f1@50"]
    for other in (0, 0.2, 0.35, 0.4, 0.6):
        one = quick("compare", "truth.csv", saved, "--threshold", other, "--json")
        assert json.loads(one.stdout)["f1@50"] <= fitted["value"]
    segment = ("segment", video, "-m", "fitted.safetensors", "-f", "json", "-q", "--device", "cpu")
    quick(*segment, "--threshold", "auto", "-o", "auto")
    settings = json.loads(Path("auto/walk.vidattn.json").read_text())["settings"]
    assert settings["threshold"] == fitted["threshold"]
    shown = quick("models", "info", "fitted.safetensors")
    unfitted = quick("segment", video, "-m", model, "--threshold", "auto", "-f", "json")
    assert "tiny has no fitted threshold: below 0.5, where a label is less" in unfitted.stderr
    settings = json.loads(Path("walk.vidattn.json").read_text())["settings"]
    assert settings["threshold"] == 0.5

    quick(*words, "--threshold", 0.5, code=2)
    assert f"threshold      {fitted['threshold']:g}" in shown.stdout
    named = quick(*words, "-o", "a.bin", code=2)
    assert (named.stdout, ".safetensors" in named.stderr) == ("", True)
    words = ("compare", "truth.csv", saved, "--fit-threshold", "-o", "a.safetensors")
    other = quick(*words, code=2)
    assert (other.stdout, "name the model" in other.stderr) == ("", True)


def test_a_closed_stdout_loses_no_model(
    saved: Path, model: Path, vidattn: Run, tmp_path: Path
) -> None:
    Path("truth.csv").write_text(HEADER + "walk.mp4,walk,0,4\n")
    fit = ("--fit-threshold", "-m", model, "-o", "a.safetensors")
    reading, writing = os.pipe()
    os.close(reading)
    vidattn("compare", "truth.csv", saved, *fit, stdout=writing, code=141)
    os.close(writing)
    assert (tmp_path / "a.safetensors").exists()


def test_differences_from_a_correction_are_listed(quick: Run, park: Path, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text(
        "path,label,start,end\n../../park.mp4,walk,0,5\n../../park.mp4,run,5,8\n"
    )
    words = ["compare", "truth.csv", park, "--differences", "--smooth", "viterbi"]
    done = quick(*words)
    assert "park.mp4 and truth.csv: 87.5 % of the time agrees" in done.stdout
    assert "  00:00:05.00 - 00:00:06.00  walk, truth: run" in done.stdout
    document = json.loads(quick(*words, "--json").stdout)
    assert document["disagreements"] == [
        {"start": 5.0, "end": 6.0, "timeline": "walk", "truth": ["run"]}
    ]
    offs = {row["label"]: (row["start_off"], row["end_off"]) for row in document["labels"]}
    assert offs == {"walk": (0.0, 1.0), "run": (1.0, 0.0)}
    quick("compare", "none.eaf", park, "--differences", code=3)


def test_a_saved_timeline_agrees_with_itself_in_every_format(quick: Run, park: Path) -> None:
    quick("timeline", park, "-f", "eaf,csv,json,srt,vtt", "-o", "out")
    for name in ("eaf", "csv", "json", "srt", "vtt"):
        done = quick("compare", f"out/park.vidattn.{name}", park, "--differences", "--json")
        assert json.loads(done.stdout)["share"] == 1.0, name
        assert done.stderr == ""


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_part_that_was_seen_is_judged_and_named(
    quick: Run, park: Path, tmp_path: Path, interrupted: bool
) -> None:
    """The first 8 s of a minute, in 6 of which the truth agrees; it goes on to the end."""
    whole = Timeline.load(park)
    left = ((Window(8, 60), "E_INTERRUPTED"),) if interrupted else ()
    park.write_text(replace(whole, duration=60.0, unreadable=left).to_json())
    (tmp_path / "truth.csv").write_text(HEADER + "park.mp4,walk,0,4\npark.mp4,run,0:04,1:00\n")
    words = ("compare", "truth.csv", park, "--smooth", "viterbi")
    done = quick(*words)
    seen = "00:00:00.0 - 00:00:08.0 of 00:01:00.0, the part that was seen"
    assert f"  judged park.mp4 {seen}\n  frame accuracy    75.0 %\n" in done.stdout
    metrics = json.loads(quick(*words, "--json").stdout)
    parts = [{"video": "park.mp4", "start": 0.0, "end": 8.0, "duration": 60.0, "limit": "seen"}]
    assert (metrics["parts"], metrics["frames"]) == (parts, 200)
    assert [row["spans"] for row in metrics["per_class"]] == [1, 1]
    assert f"75.0 % of the time agrees, in {seen}" in quick(*words, "--differences").stdout
    (tmp_path / "groundTruth").mkdir()
    labels = ["walk"] * 40 + ["run"] * 560
    (tmp_path / "groundTruth" / "park.txt").write_text("\n".join(labels))
    framewise = json.loads(quick("compare", "groundTruth", *words[2:], "--json").stdout)
    assert (framewise["frame_accuracy"], framewise["frames"]) == (0.75, 80)


def test_the_part_that_was_annotated_is_named(quick: Run, park: Path, tmp_path: Path) -> None:
    scores = np.array([[0.9, 0.1]])
    short = Timeline("park.mp4", ("walk", "run"), (Window(0, 1.5),), scores, duration=8.0)
    (tmp_path / "short.vidattn.json").write_text(short.to_json())
    words = ("compare", "short.vidattn.json", park, "--smooth", "none")
    part = "00:00:00.0 - 00:00:01.5 of 00:00:08.0, the part that was seen and annotated\n"
    assert f"  judged park.mp4 {part}" in quick(*words).stdout
    assert f"100.0 % of the time agrees, in {part}" in quick(*words, "--differences").stdout


@pytest.mark.parametrize("more", [(), ("--differences",)])
def test_areas_are_named_and_those_without_a_timeline_noted(
    quick: Run, park: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """The left one of two areas, the first 8 s of a minute; a table of both, or of more videos."""
    whole = Timeline.load(park)
    settings = replace(whole.settings, roi="left")
    park.write_text(replace(whole, duration=60.0, settings=settings).to_json())
    rows = "path,label,start,end,roi\npark.mp4,walk,0,6,left\npark.mp4,run,0,6,right\n"
    (tmp_path / "truth.csv").write_text(rows)
    done = quick("compare", "truth.csv", park, *more)
    assert "labels of park.mp4 (area right): no timeline, left out" in done.stderr
    assert "park.mp4 (area left) " in done.stdout
    (tmp_path / "truth.csv").write_text(rows + "lake.mp4,run,0,6,left\nlake.mp4,run,0,6,up\n")
    done = quick("compare", "truth.csv", park, *more, code=0 if more else 4)
    left_out = (
        ["park.mp4 (area right)"] if more else ["park.mp4 (area right)", "lake.mp4 (area up)"]
    )
    assert f"labels of {', '.join(left_out)}: no timeline, left out" in done.stderr
    missed = "no prediction, so that all segments count as missed: lake.mp4 (area left)"
    assert (missed in done.stderr) is not bool(more)
    (tmp_path / "truth.csv").write_text(rows.replace("left", "Left"))
    done = quick("compare", "truth.csv", park, *more, code=3)
    assert "park.mp4: area 'left': the ground truth has Left, right" in done.stderr


def test_a_timeline_of_the_whole_picture_is_left_out_beside_those_of_areas(
    quick: Run, park: Path, tmp_path: Path
) -> None:
    whole = Timeline.load(park)
    left = replace(whole, settings=replace(whole.settings, roi="left"))
    (tmp_path / "park.left.vidattn.json").write_text(left.to_json())
    rows = "path,label,start,end,roi\npark.mp4,walk,0,6,left\n"
    (tmp_path / "truth.csv").write_text(rows)
    done = quick("compare", "truth.csv", park, "park.left.vidattn.json")
    named = "left out, as the ground truth has no labels of their own: park.mp4 (whole picture)\n"
    assert f"warning: {named}" in done.stderr


def test_a_timeline_of_an_area_is_ground_truth_for_that_area(
    quick: Run, park: Path, tmp_path: Path
) -> None:
    whole = Timeline.load(park)
    for area in ("left", "right"):
        timeline = replace(whole, settings=replace(whole.settings, roi=area))
        (tmp_path / f"park.{area}.vidattn.json").write_text(timeline.to_json())
    words = ("compare", "park.left.vidattn.json")
    assert "100.0 % of the time agrees" in quick(*words, words[1], "--differences").stdout
    done = quick(*words, "park.right.vidattn.json", "--differences", code=3)
    assert "park.mp4: area 'right': the ground truth has left" in done.stderr


def test_ground_truth_of_another_video_is_doubtful(quick: Run, park: Path, tmp_path: Path) -> None:
    (tmp_path / "lake.csv").write_text("path,label,start,end\nlake.mp4,walk,0,8\n")
    done = quick("compare", "lake.csv", park, "--differences")
    assert "warning: lake.csv: is about lake.mp4, not park.mp4; is it" in done.stderr
    (tmp_path / "long.vtt").write_text("WEBVTT\n\n00:07.000 --> 00:09.000\nwalk\n")
    done = quick("compare", "long.vtt", park, "--differences")
    assert "long.vtt: lasts 9.0 s, and park.mp4 8.0 s" in done.stderr
