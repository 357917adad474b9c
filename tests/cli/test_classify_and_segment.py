"""The commands people type, in real processes: what is printed, what is written, the exit code."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests import processes
from tests.helpers import Run, write_video
from vidattn.models.int8 import can_multiply_int8


def test_classify_prints_input_and_ranked_labels(vidattn: Run, video: Path, model: Path) -> None:
    facts, seen, *ranks = vidattn("classify", video, "-m", model).stdout.splitlines()
    assert facts == f"{video}  00:00:04.00  96x64 h264 10 fps"
    assert seen == "  saw 4 frames, one every 1 s, whole file    tiny (MIT)"
    assert [line.split()[0] for line in ranks] == ["1", "2", "3"]
    assert any("[b]jump" in line for line in ranks)


def test_classify_prints_how_clips_are_pooled(quick: Run, video: Path, model: Path) -> None:
    done = quick("classify", video, "-m", model, "--pool", "max")
    assert "saw 4 frames, one every 1 s, pooled by max, whole file" in done.stdout


def test_segment_prints_and_writes(vidattn: Run, video: Path, model: Path, tmp_path: Path) -> None:
    done = vidattn("segment", video, "-m", model)
    chosen = "one every 0.125 s by default, 4 frames each, whole file"
    assert f"29 windows of 0.5 s, {chosen}" in done.stdout
    assert "00:00:00.0 - " in done.stdout
    document = json.loads((tmp_path / "walk.vidattn.json").read_text())
    assert (document["segments"][0]["start"], document["segments"][-1]["end"]) == (0.0, 4.0)
    assert (tmp_path / "walk.vidattn.srt").read_text().startswith("1\n00:00:00,000 --> ")
    assert "wrote walk.vidattn.json, walk.vidattn.srt, walk.vidattn.html" in done.stderr


@pytest.mark.parametrize("command", ["classify", "segment"])
def test_json_is_one_document_on_stdout_and_nothing_on_disk(
    quick: Run, video: Path, model: Path, tmp_path: Path, command: str
) -> None:
    document = json.loads(quick(command, video, "-m", model, "--json").stdout)
    assert document["schema"] == "vidattn/timeline/1"
    assert document["run"]["total_s"] > 0
    assert list(tmp_path.glob("*.vidattn.*")) == []


@pytest.mark.skipif(not can_multiply_int8(), reason="torch has no oneDNN in 8 bits")
def test_int8_has_a_precision_check(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    words = ("segment", video, "-m", model, "-f", "json", "--overlap", "0")
    done = quick(*words, "--precision", "int8")
    assert "int8 beside float32 in 1 of the windows: same best label in 1" in done.stderr
    document = json.loads((tmp_path / "walk.vidattn.json").read_text())
    assert document["settings"]["precision"] == "int8"
    assert document["model"]["int8"]["max_difference"] < 0.1
    for way in ("--resume", "--skip-existing"):
        assert "done before" in quick(*words, "--precision", "int8", way).stderr
    assert "precision was int8, is fp32" in quick(*words, "--resume", code=3).stderr


def test_each_input_has_a_json_line(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    done = quick("classify", video, "text.mp4", "-m", model, "--json", code=4)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["task"] == "classify"
    assert second["error"]["code"] == "E_NOT_VIDEO"
    assert "1 of 2 inputs complete" in done.stderr


def test_inputs_are_folders_patterns_lists_and_stdin(
    quick: Run, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "videos" / "deep"
    folder.mkdir(parents=True)
    for name in ("a.mp4", "b.mp4"):
        write_video(folder / name, seconds=0.5)
    (folder / "notes.txt").write_text("no video")
    (tmp_path / "list.txt").write_text("videos/deep/a.mp4\nvideos/deep/b.mp4\n")
    ways = (
        (["videos"], ""),
        (["videos/**/*.mp4"], ""),
        (["@list.txt"], ""),
        (["-"], "videos/deep/a.mp4\nvideos/deep/b.mp4\n"),
    )
    for inputs, stdin in ways:
        done = quick("classify", *inputs, "-m", model, "--json", stdin=stdin)
        paths = [json.loads(line)["input"]["path"] for line in done.stdout.splitlines()]
        assert paths == ["videos/deep/a.mp4", "videos/deep/b.mp4"], (inputs, done.stderr)


def test_a_part_of_a_video_is_segmented(quick: Run, video: Path, model: Path) -> None:
    done = quick("segment", video, "-m", model, "--start", "0:01", "--end", "2.5", "--json")
    segments = json.loads(done.stdout)["segments"]
    assert (segments[0]["start"], segments[-1]["end"]) == (1.0, 2.5)


def test_control_codes_are_escaped(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    evil = tmp_path / "a\x1b[31m[b]red.mp4"
    evil.write_bytes(video.read_bytes())
    done = quick("segment", evil, "-m", model)
    assert "\x1b" not in done.stdout + done.stderr
    assert r"a\x1b[31m[b]red.mp4" in done.stdout


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_stopped_runs_keep_scores(
    model: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    video = write_video(tmp_path / "long.mp4", seconds=600, fps=4)
    words = ["segment", video, "-m", model, "--batch-size", "1", "--stride", "0.2"]
    assert processes.stop(words, tmp_path, "left", number)[0] == code  # the first line of progress
    document = json.loads((tmp_path / "long.vidattn.json").read_text())
    assert 0 < document["coverage"]["fraction"] < 1
    assert document["coverage"]["reasons"] == ["E_INTERRUPTED"] * len(
        document["coverage"]["unreadable"]
    )
    assert not list(tmp_path.glob(".vidattn-*"))


def test_a_reader_that_leaves_early_is_no_error(
    vidattn: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = vidattn("segment", video, "-m", model, "--stride", "0.1", stdout=writing, code=141)
    os.close(writing)
    for word in ("Traceback", "error", "warning", "stopped"):
        assert word not in done.stderr
    assert "note: wrote walk.vidattn.json" in done.stderr
    assert (tmp_path / "walk.vidattn.json").exists()
    assert not (tmp_path / "walk.vidattn.log").exists()


def test_results_are_on_disk_though_stdout_fails(
    vidattn: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    with Path("/dev/full").open("w") as full:
        done = vidattn("segment", video, "-m", model, stdout=full, code=5)
    assert "error: standard output: No space left on device" in done.stderr
    assert (tmp_path / "walk.vidattn.json").exists()


def test_short_videos_fail_alone(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    short = write_video(tmp_path / "short.mp4", seconds=1)
    done = quick("segment", short, video, "-m", model, "--start", "2", "--json", code=4)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["error"]["code"] == "E_SHORT"
    assert second["segments"][0]["start"] == 2.0


def test_changes_to_a_request_are_printed(quick: Run, video: Path, model: Path) -> None:
    done = quick("segment", video, "-m", model, "--frames", "8")
    assert "clips of 4 frames: its time embedding is stretched to 8" in done.stderr
    done = quick("classify", video, "-m", model, "--frames", "100")
    assert "saw 100 frames (40 different)" in done.stdout
    assert "clips of 4 frames: its time embedding is stretched to 100" in done.stderr


def test_an_edited_timeline_is_shown(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    quick("segment", video, "-m", model)
    document = json.loads((tmp_path / "walk.vidattn.json").read_text())
    document["input"]["fps"] = [24, 0]
    del document["input"]["height"], document["settings"]["window_seconds"]
    (tmp_path / "edited.json").write_text(json.dumps(document))
    assert "saw whole file" in quick("timeline", "edited.json").stdout


def test_saved_scores_are_segmented_again(quick: Run, video: Path, model: Path) -> None:
    quick("segment", video, "-m", model)
    done = quick("timeline", "walk.vidattn.json", "--threshold", "1", "-f", "vtt")
    assert "00:00:00.0 - 00:00:04.0  background" in done.stdout
    assert Path("walk.vidattn.vtt").read_text().startswith("WEBVTT")
