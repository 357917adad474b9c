"""Recordings that a camera split over several files, as one video."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import Run, encode_video, write_video
from tests.timeline.test_wall_clock import stamped
from tests.video.helpers import refused
from vidattn.inference.batch.inputs import VideoInput
from vidattn.inference.batch.joining import join_recordings
from vidattn.video import Prefetcher, open_video
from vidattn.video.joined import JoinedVideo


def grouped(*paths: str) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    inputs, joined = join_recordings([VideoInput(path) for path in paths])
    return [one.path for one in inputs], joined


def test_chapters_of_a_camera_are_one_recording() -> None:
    inputs, joined = grouped("a/GX020023.MP4", "a/GX010023.MP4", "a/GX010024.MP4", "b/GX030023.MP4")
    assert inputs == ["a/GX010023.MP4", "a/GX010024.MP4", "b/GX030023.MP4"]
    assert joined == {"a/GX010023.MP4": ("a/GX010023.MP4", "a/GX020023.MP4")}
    assert grouped("GOPR0007.MP4", "GP020007.MP4", "GP010007.MP4")[1] == {
        "GOPR0007.MP4": ("GOPR0007.MP4", "GP010007.MP4", "GP020007.MP4")
    }


def test_numbered_files_are_one_recording_up_to_a_missing_number() -> None:
    inputs, joined = grouped("d_0001.mp4", "d_0002.mp4", "d_0004.mp4", "d_0005.mp4", "e_1.mp4")
    assert inputs == ["d_0001.mp4", "d_0004.mp4", "e_1.mp4"]
    assert joined == {
        "d_0001.mp4": ("d_0001.mp4", "d_0002.mp4"),
        "d_0004.mp4": ("d_0004.mp4", "d_0005.mp4"),
    }


def times(folder: Path, names: str, *clocks: str) -> dict[str, tuple[str, ...]]:
    """What is joined of files of a second each that were recorded at these times."""
    paths = [
        stamped(folder / f"{names}_{i:04d}.mp4", creation_time=f"2024-05-01T{clock}Z")
        for i, clock in enumerate(clocks)
    ]
    return grouped(*map(str, paths))[1]


def test_times_that_do_not_go_on_begin_another_recording(tmp_path: Path) -> None:
    clocks = ("06:00:00", "06:00:01", "06:00:32", "09:00:00", "08:00:00")
    (group,) = times(tmp_path, "street", *clocks).values()
    assert [Path(path).name for path in group] == [f"street_000{i}.mp4" for i in range(3)]


def test_numbers_that_count_recordings_join_files_without_a_pause_only(tmp_path: Path) -> None:
    (group,) = times(tmp_path, "DJI", "06:00:00", "06:00:01", "06:00:32").values()
    assert [Path(path).name for path in group] == ["DJI_0000.mp4", "DJI_0001.mp4"]
    assert grouped("IMG_0001.avi", "IMG_0002.avi")[1] == {}


def test_files_of_another_size_begin_another_recording(parts: list[Path], tmp_path: Path) -> None:
    other = encode_video(tmp_path / "in" / "day_0003.mp4", np.zeros((10, 48, 96, 3), np.uint8), 10)
    (group,) = grouped(*map(str, (*parts, other)))[1].values()
    assert group == tuple(map(str, parts))


def test_what_is_joined_is_said() -> None:
    said: list[str] = []
    join_recordings([VideoInput(f"a/d_{i:03d}.avi") for i in range(3)], said.append)
    assert said == ["joined: a/d_000.avi with d_001.avi, d_002.avi"]
    said.clear()
    join_recordings([VideoInput("a.mp4")], said.append)
    assert said[0].startswith("--join: no recording is in several files")


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Two files of ten frames each, gray levels 0, 10, ... 190 in all, at 10 frames a second."""
    levels = np.arange(20, dtype=np.uint8)[:, None, None, None] * 10
    frames = np.broadcast_to(levels, (20, 64, 96, 3))
    return [
        encode_video(tmp_path / "in" / f"day_000{i + 1}.mp4", frames[10 * i : 10 * i + 10], 10)
        for i in (0, 1)
    ]


def levels(frames: np.ndarray) -> list[int]:
    return np.round(frames.mean((1, 2, 3)) / 10).astype(int).tolist()


def test_frames_and_times_go_on_in_the_next_file(parts: list[Path]) -> None:
    with JoinedVideo([str(path) for path in parts], open_video) as video:
        assert (video.frames, video.duration) == (20, pytest.approx(2.0))
        assert video.times.tolist() == pytest.approx([i / 10 for i in range(20)])
        assert levels(video.read([19, 0, 9, 10, 0])) == [19, 0, 9, 10, 0]
        streamed = list(video.stream([3, 8, 12, 19]))
        assert [index for index, _ in streamed] == [3, 8, 12, 19]
        assert levels(np.stack([frame for _, frame in streamed])) == [3, 8, 12, 19]
        assert [part["start"] for part in video.details.parts or ()] == [0.0, 1.0]
        assert "is joined from day_0001.mp4, day_0002.mp4" in video.details.warnings
        parts[1].touch()
        with refused("E_CHANGED", "day_0002"):
            video.check_unchanged()


def test_files_of_other_sizes_do_not_belong_together(parts: list[Path], tmp_path: Path) -> None:
    other = encode_video(tmp_path / "in" / "day_0003.mp4", np.zeros((5, 48, 64, 3), np.uint8), 10)
    with refused("E_PARTS", "day_0003"):
        JoinedVideo([str(parts[0]), str(other)], open_video)


def test_time_between_files_is_a_gap_with_a_name(tmp_path: Path) -> None:
    first = stamped(tmp_path / "day_0001.mp4", creation_time="2024-05-01T06:00:00Z")
    second = stamped(tmp_path / "day_0002.mp4", creation_time="2024-05-01T06:00:31Z")
    with JoinedVideo([str(first), str(second)], open_video) as video:
        assert (video.times[10], video.duration) == (pytest.approx(31.0), pytest.approx(32.0))
        assert video.details.warnings[-1] == (
            "30 s between day_0001.mp4 and day_0002.mp4 were not recorded"
        )


def test_time_that_was_not_recorded_has_no_label_and_no_frames(
    model: Path, quick: Run, tmp_path: Path
) -> None:
    """Two files of ten frames, 30 s apart: 2 s of 32 are seen."""
    files = [
        stamped(tmp_path / f"day_000{number}.mp4", creation_time=f"2024-05-01T{clock}Z")
        for number, clock in ((1, "06:00:00"), (2, "06:00:31"))
    ]
    quick("segment", *files, "-m", model, "--join", "-f", "json,budget,html")
    document = json.loads((tmp_path / "day_0001.vidattn.json").read_bytes())
    rows = document["segments"]
    assert sum(row["end"] - row["start"] for row in rows) == pytest.approx(2, abs=0.01)
    assert (rows[-1]["start"] >= 31, rows[-1]["end_frame"]) == (True, 20)
    assert all(row["start_frame"] < row["end_frame"] for row in rows)
    budget = list(csv.DictReader((tmp_path / "budget.csv").read_text().splitlines()))
    assert {row["seen_seconds"] for row in budget} == {"2.000"}
    assert sum(float(row["share_percent"]) for row in budget if row["scope"] == "all") == (
        pytest.approx(100, abs=0.5)
    )
    spans = [f"day_0001.mp4,{row['label']},{row['start']},{row['end']}\n" for row in rows]
    (tmp_path / "truth.csv").write_text("".join(["path,label,start,end\n", *spans]))
    compare = "compare", "truth.csv", "day_0001.vidattn.json", "--json"
    assert json.loads(quick(*compare).stdout)["frame_accuracy"] == 1.0
    assert json.loads(quick(*compare, "--differences").stdout)["share"] == 1.0


def test_the_command_line_joins_recordings(
    parts: list[Path], model: Path, quick: Run, tmp_path: Path
) -> None:
    write_video(tmp_path / "in" / "alone.mp4", 1)
    words = ("segment", "in", "-m", model, "--overlap", 0, "-o", "out", "-f", "json", "--join")
    shown = quick(*words).stderr
    assert "joined: in/day_0001.mp4 with day_0002.mp4\n" in shown
    assert "is joined from day_0001.mp4, day_0002.mp4" in shown
    saved = tmp_path / "out" / "in" / "day_0001.vidattn.json"
    assert sorted(p.name for p in saved.parent.iterdir()) == [
        "alone.vidattn.json",
        "day_0001.vidattn.json",
    ]
    document = json.loads(saved.read_bytes())
    assert (document["input"]["duration"], document["segments"][-1]["end"]) == (2.0, 2.0)
    assert quick(*words, "--skip-existing").stderr.count("done before") == 2
    with parts[1].open("ab") as file:
        file.write(b"\0" * 8)
    assert quick(*words, "--skip-existing", code=None).stderr.count("done before") == 1
    assert "single files" in quick(*words, "--excerpts", "cuts", code=2).stderr


def test_an_area_of_a_joined_recording_is_seen(parts: list[Path]) -> None:
    from vidattn.types import Framing

    paths = tuple(map(str, parts))
    with (
        Prefetcher(joined={paths[0]: paths}) as opening,
        opening(paths[0], short_side=32, framing=Framing.parse("0,0,48,64", "")) as video,
    ):
        assert (video.width, video.height, video.frames) == (32, 42, 20)
        assert levels(video.read([15])) == [15]
