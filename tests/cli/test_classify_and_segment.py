"""The commands people type, in real processes: what is printed, what is written, the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from tests import processes
from tests.helpers import Run, write_video
from vidattn.cli.app import COMMANDS, app
from vidattn.models.int8 import can_multiply_int8


def test_classify_prints_input_and_ranked_labels(vidattn: Run, video: Path, model: Path) -> None:
    done = vidattn("classify", video, "-m", model)
    facts, seen, *ranks = done.stdout.splitlines()
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
    assert document["segments"][0]["start"] == 0.0
    assert document["segments"][-1]["end"] == 4.0
    assert (tmp_path / "walk.vidattn.srt").read_text().startswith("1\n00:00:00,000 --> ")
    assert "wrote walk.vidattn.json, walk.vidattn.srt, walk.vidattn.html" in done.stderr


@pytest.mark.parametrize("command", ["classify", "segment"])
def test_json_is_one_document_on_stdout_and_nothing_on_disk(
    quick: Run, video: Path, model: Path, tmp_path: Path, command: str
) -> None:
    done = quick(command, video, "-m", model, "--json")
    document = json.loads(done.stdout)
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
    again = quick(*words, "--precision", "int8", "--resume")
    assert "done before" in again.stderr
    other = quick(*words, "--resume", code=3)
    assert "precision was int8, is fp32" in other.stderr


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


def test_inputs_of_one_name_have_results_each(quick: Run, model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "same.mp4", seconds=0.5)
    quick("segment", "a", "b", "-m", model, "-f", "json", "-o", "out")
    written = [
        json.loads(p.read_text())["input"]["path"] for p in (tmp_path / "out").rglob("*.json")
    ]
    assert sorted(written) == ["a/same.mp4", "b/same.mp4"]


def test_results_repeat_to_the_byte(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        quick("segment", video, "-m", model, "-o", folder, "-q")
    one, two = (sorted((tmp_path / f).iterdir()) for f in ("one", "two"))
    assert [p.suffix for p in one] == [".html", ".json", ".srt"]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_a_part_of_a_video_is_segmented(quick: Run, video: Path, model: Path) -> None:
    done = quick("segment", video, "-m", model, "--start", "0:01", "--end", "2.5", "--json")
    segments = json.loads(done.stdout)["segments"]
    assert (segments[0]["start"], segments[-1]["end"]) == (1.0, 2.5)


def test_an_empty_list_names_no_input(quick: Run, model: Path) -> None:
    done = quick("classify", "-", "-m", model, code=3)
    assert "-: an empty list" in done.stderr


def test_a_missing_file_is_an_error_with_a_hint(vidattn: Run, model: Path) -> None:
    done = vidattn("classify", "nosuch.mp4", "-m", model, code=3)
    assert done.stdout == ""
    error, *rest = done.stderr.splitlines()
    assert error.startswith("error: nosuch.mp4")
    assert all(line.startswith(("hint: ", "note: ")) for line in rest)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--views", "10x3"], "did you mean 3x10?"),
        (["--views", "many"], "expected SxT"),
        (["-f", "docx"], "no such format"),
        (["--start", "soon"], "is not a time"),
        (["--device", "abacus"], "no such device"),
        (["--device", "meta"], "unsupported device"),
        (["--frames", "3000000"], "at most 65,536 frames"),
        (["-f", ","], "names no format"),
        (["--start", "0:61"], "minutes and seconds end at 59"),
        (["--end", "0"], "it must start at 0 or later"),
        (["--frames", "none"], "--frames"),
    ],
)
def test_invalid_requests_exit_with_2(
    quick: Run, video: Path, model: Path, arguments: list[str], expected: str
) -> None:
    done = quick("classify", video, "-m", model, *arguments, code=2)
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_control_codes_are_escaped(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    evil = tmp_path / "a\x1b[31m[b]red.mp4"
    evil.write_bytes(video.read_bytes())
    done = quick("segment", evil, "-m", model)
    assert "\x1b" not in done.stdout + done.stderr
    assert r"a\x1b[31m[b]red.mp4" in done.stdout


def test_an_unwritable_output_exits_5(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = quick("segment", video, "-m", model, "-o", "file", code=5)
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_stopped_runs_keep_scores(
    model: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    video = write_video(tmp_path / "long.mp4", seconds=600, fps=4)
    words = ["segment", video, "-m", model, "--batch-size", "1", "--stride", "0.2"]
    with processes.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "left" in line:  # the first line of progress
                break
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait() == code, rest
    assert "Traceback" not in rest
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
    done = quick("timeline", "edited.json")
    assert "saw whole file" in done.stdout


def test_every_command_has_help_with_an_example(quick: Run) -> None:
    for command in ("classify", "segment", "train", "eval", "models list", "models info"):
        done = quick(*command.split(), "--help")
        assert f"Example: vidattn {command.split()[0]}" in done.stdout.replace("\n", " ")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_says_what_it_is(name: str) -> None:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    for one in getattr(command, "commands", {name: command}).values():
        for option in one.params:
            assert option.name == "help" or option.help, f"{name} {option.opts}"


def test_saved_scores_are_segmented_again(quick: Run, video: Path, model: Path) -> None:
    quick("segment", video, "-m", model)
    done = quick("timeline", "walk.vidattn.json", "--threshold", "1", "-f", "vtt")
    assert "00:00:00.0 - 00:00:04.0  background" in done.stdout
    assert Path("walk.vidattn.vtt").read_text().startswith("WEBVTT")


def test_a_document_that_is_no_timeline_is_an_error(quick: Run, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"schema": "something/else"}')
    done = quick("timeline", "other.json", code=3)
    assert done.stderr.startswith("error: other.json: not a vidattn/timeline/1 document")
