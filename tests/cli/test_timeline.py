"""Deciding again on saved scores: no video, no model, no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vidattn
from tests.helpers import Run, write_video
from vidattn.cli.terminal.timeline import TerminalStyle, animated_lines, segment_lines
from vidattn.errors import UsageError
from vidattn.output.text import format_clock
from vidattn.timeline import Timeline
from vidattn.types import Window


def rows(text: str) -> list[tuple[float, float, str]]:
    return [(s["start"], s["end"], s["label"]) for s in json.loads(text)["segments"]]


def test_a_change_has_to_be_worth_its_cost(quick: Run, park: Path) -> None:
    dear = quick("timeline", park, "--smooth", "viterbi", "--json")
    assert rows(dear.stdout) == [(0, 6, "walk"), (6, 8, "run")]
    cheap = quick("timeline", park, "--smooth", "viterbi", "--switch-cost", 0.1, "--json")
    assert rows(cheap.stdout)[:3] == [(0, 2, "walk"), (2, 3, "run"), (3, 6, "walk")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kernel", 5), "--kernel has no effect with --smooth"),
        (("--smooth", "median", "--switch-cost", 1), "--switch-cost has no effect with --smooth m"),
    ],
)
def test_settings_of_another_smoothing_are_refused(
    quick: Run, park: Path, video: Path, model: Path, words: tuple[object, ...], message: str
) -> None:
    assert message in quick("timeline", park, *words, code=2).stderr
    assert message in quick("segment", video, "-m", model, *words, code=2).stderr
    keywords = {"kernel": 5} if words[0] == "--kernel" else {"smooth": "mean", "switch_cost": 1}
    with pytest.raises(UsageError, match="has no effect"):
        vidattn.segment(video, model, **keywords)  # type: ignore[arg-type]
    quick("timeline", park, "--smooth", "mean", "--kernel", 5)


def test_a_label_lasts_until_it_falls_low(quick: Run, park: Path) -> None:
    done = quick("timeline", park, "--threshold", 0.8, "--leave", 0.4, "--json")
    assert rows(done.stdout) == [
        (0, 2, "walk"),
        (2, 3, "background"),
        (3, 6, "walk"),
        (6, 8, "run"),
    ]
    joined = quick("timeline", park, "--threshold", 0.8, "--leave", 0.4, "--merge-gap", 1, "--json")
    assert rows(joined.stdout) == [(0, 6, "walk"), (6, 8, "run")]


def test_pool_gives_one_label_for_the_file(quick: Run, park: Path) -> None:
    done = quick("timeline", park, "--pool", "max")
    assert "saw 8 windows pooled by max, whole file" in done.stdout
    assert done.stdout.splitlines()[2].split()[:3] == ["1", "walk", "90.0"]
    document = json.loads(quick("timeline", park, "--pool", "mean", "--json").stdout)
    assert (document["task"], document["settings"]["pool"]) == ("classify", "mean")
    assert document["segments"][0]["score"] == pytest.approx(0.5375)


def test_boundaries_move_to_the_cuts_of_a_list(quick: Run, park: Path, tmp_path: Path) -> None:
    (tmp_path / "cuts.txt").write_text("1.7\n5.2\n")
    options = ["--smooth", "viterbi", "--cuts", "cuts.txt", "-f", "json", "-o", "out"]
    quick("timeline", park, *options)
    text = (tmp_path / "out" / "park.vidattn.json").read_text()
    assert rows(text) == [(0, 6, "walk"), (6, 8, "run")]  # both are too far away
    (tmp_path / "cuts.txt").write_text("6.4\n")
    quick("timeline", park, *options)
    text = (tmp_path / "out" / "park.vidattn.json").read_text()
    assert rows(text) == [(0, 6.4, "walk"), (6.4, 8, "run")]
    assert [s["start_frame"] for s in json.loads(text)["segments"]] == [0, 64]
    # The cuts are saved beside the scores, and need not be used.
    back = quick("timeline", "out/park.vidattn.json", "--no-snap-to-cuts", "--json")
    assert rows(back.stdout) == [(0, 6, "walk"), (6, 8, "run")]
    document = json.loads(park.read_text())  # pictures that begin a second after the file
    park.write_text(json.dumps({**document, "input": {**document["input"], "start_offset": 1.0}}))
    (tmp_path / "cuts.txt").write_text("7.4\n")
    quick("timeline", park, *options)
    text = (tmp_path / "out" / "park.vidattn.json").read_text()
    assert rows(text) == [(0, 6.4, "walk"), (6.4, 8, "run")]


@pytest.mark.parametrize(
    "text, names", [("Gehen\nLaufen\n", ["Gehen", "Laufen"]), ("run\tto run\n", ["walk", "to run"])]
)
def test_labels_are_renamed(
    quick: Run, park: Path, tmp_path: Path, text: str, names: list[str]
) -> None:
    (tmp_path / "names.txt").write_text(text)
    document = json.loads(quick("timeline", park, "--labels", "names.txt", "--json").stdout)
    assert (document["scores"]["labels"], document["segments"][0]["label"]) == (names, names[0])
    assert document["segments"][1]["label"] == names[1]
    assert document["segments"][0]["alternatives"][0]["label"] == names[1]


def test_the_first_frame_can_have_a_timecode(quick: Run, park: Path, tmp_path: Path) -> None:
    quick("timeline", park, "-f", "edl,otio,eaf", "--start-timecode", "10:00:00:00")
    assert "10:00:00:00 10:00:02:00" in (tmp_path / "park.vidattn.edl").read_text()
    otio = json.loads((tmp_path / "park.vidattn.otio").read_text())
    assert otio["global_start_time"]["value"] == 360_000


def test_shares_are_of_the_segmented_part(quick: Run, park: Path) -> None:
    document = json.loads(park.read_text())
    document["input"]["duration"] = 100.0
    park.write_text(json.dumps(document))
    options = ["--smooth", "viterbi"]
    done = quick("timeline", park, *options)
    last = done.stdout.splitlines()[-1]
    assert last == "  total of 00:00:00.0 - 00:00:08.0: walk 75.0 % (1x), run 25.0 % (1x)"
    again = json.loads(quick("timeline", park, *options, "--json").stdout)
    assert [row["share"] for row in again["labels"]] == [0.75, 0.25]
    assert again["coverage"]["part"] == [0, 8]
    rendered = animated_lines(Timeline.from_json(json.dumps(again)), 5, TerminalStyle(80))
    lines = [line.plain for line in rendered]
    assert any(line.startswith("  walk") and " 75.0 %" in line for line in lines)
    assert "  % of 00:00:00.0 - 00:00:08.0" in lines
    done = quick("compare", park, park, "--differences", *options)
    assert (
        "agrees, in 00:00:00.0 - 00:00:08.0 of 00:01:40.0, the part that was seen\n" in done.stdout
    )


def test_edges_are_rounded_half_up_and_of_short_segments_finer() -> None:
    assert format_clock(1.25, decimals=1) == "00:00:01.3"
    windows = (Window(0, 1.25), Window(1.25, 1.29), Window(1.29, 3))
    brief = Timeline("a.mp4", ("x", "y"), windows, np.array([[1, 0], [0, 1], [1, 0]]))
    lines = [line.plain for line in segment_lines(brief)]
    assert lines[0].startswith("  00:00:00.0 - 00:00:01.3")
    assert lines[1].startswith("  00:00:01.25 - 00:00:01.29")


@pytest.mark.parametrize(
    "data", [b"\x00\x00\x00 ftypisom", b"\x89\xff", b"{\xff}", b"", b"a video"]
)
def test_other_files_are_refused_as_timelines(quick: Run, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "video.mp4").write_bytes(data)
    error, hint = quick("timeline", "video.mp4", code=3).stderr.splitlines()
    assert error.startswith("error: video.mp4: not a ")
    assert "codec" not in error
    assert hint.startswith("hint: give a .json file")


def test_timeline_needs_no_torch(park: Path) -> None:
    script = (
        "import sys; from vidattn.cli import main\n"
        "try: main(['timeline', sys.argv[1], '--smooth', 'viterbi', '--pool', 'top2'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules and 'av' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(park)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_segment_snaps_boundaries_to_shot_cuts(quick: Run, model: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "shots.mp4", 4.0, shots=(0, 17))
    quick("segment", video, "-m", model, "--snap-to-cuts", "-f", "json")
    shots = tmp_path / "shots.vidattn.json"
    assert json.loads(shots.read_text())["cuts"] == [1.7]
    quick("segment", video, "-m", model, "--snap-to-cuts", "--end", 1.5)
    assert json.loads(shots.read_text())["cuts"] == []  # looks no further than was asked


def test_a_stop_while_looking_for_cuts_keeps_the_timeline(
    quick: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "shots.mp4", 4.0, shots=(0, 17))
    words = ("segment", video, "-m", model, "--snap-to-cuts", "-f", "json")
    from vidattn.cli.terminal.signals import StopRequested
    from vidattn.inference.batch import segment

    def stop(*_: object) -> None:
        raise StopRequested(15)

    with monkeypatch.context() as patch:
        patch.setattr(segment, "measure_changes", stop)
        patch.setattr("os._exit", sys.exit)
        quick(*words, code=143)
    shots = tmp_path / "shots.vidattn.json"
    document = json.loads(shots.read_text())
    assert document["coverage"]["fraction"] == 1
    assert "cuts" not in document
    assert shots.with_suffix(".log").exists()
    quick(*words, "--resume")
    assert json.loads(shots.read_text())["cuts"] == [1.7]
    with monkeypatch.context() as patch:  # nothing is left to look for
        patch.setattr(segment, "measure_changes", stop)
        quick(*words, "--resume")
