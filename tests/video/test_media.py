"""Real files, if VIDATTN_MEDIA names a folder of them: what its README states is what we read."""

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.video.helpers import FFPROBE
from vidattn.errors import VideoError
from vidattn.video import open_video

MEDIA = Path(os.environ.get("VIDATTN_MEDIA", "."))
ROW = re.compile(r"^\| `((?:clips|long|broken)/[^`]+)` \| (.*)$", re.MULTILINE)
NOT_OPENED = {
    "empty_0_bytes.webm": "E_EMPTY",
    "chunk_out_of_range.mp4": "E_NOT_VIDEO",
    "header_claims_297_frames.mp4": "E_TRUNCATED",
    "encrypted_cenc.mp4": "E_DECODE",
    "init_segment_only.mp4": "E_TRUNCATED",
    "git_lfs_pointer.flv": "E_NOT_VIDEO",
    "audio_only.mp4": "E_NO_VIDEO_STREAM",
    "mkv_invalid_ebml_size.mkv": "E_NOT_VIDEO",
    "truncated_half.mp4": "E_TRUNCATED",
}
DAMAGED = {"corrupt_mid_stream.mp4", "no_timescale.mp4", "truncated_claims_35s.mp4"}
# Rows that state the duration of the audio, or of a video stream that is not the best one.
OTHER_STREAM = {
    "clips/nasa_multistream.mp4": ("13.01", "29.97", "480x270"),
    "clips/earth_h264.avi": ("30.03", "30", "480x270"),
}

pytestmark = pytest.mark.skipif(
    "VIDATTN_MEDIA" not in os.environ, reason="VIDATTN_MEDIA does not name a folder of videos"
)


def rows(*folders: str) -> list[tuple[str, list[str]]]:
    """Path and cells of every file that the README describes."""
    readme = MEDIA / "README.md"
    text = readme.read_text() if readme.exists() and "VIDATTN_MEDIA" in os.environ else ""
    return [
        (path, [cell.strip() for cell in rest.split("|")])
        for path, rest in ROW.findall(text)
        if path.split("/")[0] in folders
    ]


@pytest.mark.parametrize(("path", "cells"), rows("clips", "long"), ids=lambda v: str(v)[:40])
def test_count_duration_and_size_are_those_stated(path: str, cells: list[str]) -> None:
    if path in OTHER_STREAM:
        cells = [*OTHER_STREAM[path], *cells[3:]]
    seconds, rate = float(cells[0]), float(cells[1])
    stated = re.search(r"(\d+) decode", cells[7]) or re.search(r"(?<!\d )\b(\d+) frames", cells[7])
    with open_video(MEDIA / path, short_side=32) as video:
        if stated:
            assert video.frames == int(stated[1])
        else:
            assert video.frames == pytest.approx(seconds * rate, abs=1.5)
        gap = float(np.diff(video.times).max())
        assert video.duration == pytest.approx(seconds, abs=2 * gap + 0.01)
        wide, high = sorted(map(int, cells[2].split("x")))
        assert sorted((video.details.width, video.details.height)) == [wide, high]
        assert min(video.width, video.height) == 32
        indices = range(0, video.frames, 1 if video.frames < 100 else 47)
        assert [i for i, _ in video.stream(indices)] == list(indices)
        assert not video.unreadable


@pytest.mark.slow
@pytest.mark.skipif(FFPROBE is None, reason="ffprobe is not installed")
@pytest.mark.parametrize(("path", "cells"), rows("clips", "long"), ids=lambda v: str(v)[:40])
def test_frames_and_times_are_those_of_ffprobe(path: str, cells: list[str]) -> None:
    with open_video(MEDIA / path) as video:
        number = video.details.stream if video.details.stream is not None else "v:0"
        entries = "frame=pts_time,duration_time,pkt_duration_time"
        command = [str(FFPROBE), "-v", "error", "-of", "json", "-select_streams", str(number)]
        done = subprocess.run(
            [*command, "-show_entries", entries, "-show_frames", str(MEDIA / path)],
            capture_output=True,
            check=True,
        )
        frames = json.loads(done.stdout)["frames"]
        assert video.frames == len(frames)
        if not all("pts_time" in frame for frame in frames):
            return  # in AVI packets have numbers, not times, and in MPEG-PS not all have one
        times = np.array([float(frame["pts_time"]) for frame in frames])
        assert video.details.start_pts_seconds == pytest.approx(times[0], abs=1e-3)
        assert video.times == pytest.approx(times - times[0], abs=2e-3)
        last = frames[-1].get("duration_time") or frames[-1].get("pkt_duration_time")
        if last is not None:
            # Versions of FFmpeg differ in the last duration of a variable rate.
            within = float(np.diff(times).max()) if video.details.vfr else 0.01
            end = times[-1] - times[0] + float(last)
            assert video.duration == pytest.approx(end, abs=within)


@pytest.mark.parametrize(("path", "cells"), rows("broken"), ids=lambda v: str(v)[:40])
def test_broken_files_give_what_they_have_or_a_reason(path: str, cells: list[str]) -> None:
    name = Path(path).name
    if name in NOT_OPENED:
        with pytest.raises(VideoError) as caught:
            open_video(MEDIA / path)
        assert caught.value.code == NOT_OPENED[name]
        assert caught.value.message.startswith(str(MEDIA / path))
        return
    least = int(re.search(r"(\d+) frames decode", cells[2])[1])  # type: ignore[index]
    with open_video(MEDIA / path, short_side=32) as video:
        frames = [i for i, _ in video.stream(range(video.frames))]
        assert len(frames) >= least
        assert (name in DAMAGED) == bool(video.unreadable)
        if name not in DAMAGED:
            assert len(frames) == video.frames == least


def test_a_phone_video_stands_upright() -> None:
    with open_video(MEDIA / "clips/phone_hevc_rotated.mov") as video:
        assert (video.width, video.height) == (720, 1280)
        assert video.details.rotation == 90


def test_the_better_video_stream_is_read_and_named() -> None:
    with open_video(MEDIA / "clips/nasa_multistream.mp4") as video:
        assert (video.width, video.height) == (480, 270)
        assert video.details.streams == 2
        assert video.details.warnings == ("2 video streams; stream 3 is read",)
    with open_video(MEDIA / "broken/cover_art_second_stream.mkv") as video:
        assert video.details.streams == 1


def test_details_name_special_properties() -> None:
    with open_video(MEDIA / "clips/nasa_hevc_10bit.mp4") as video:
        assert (video.details.bit_depth, video.details.hdr) == (10, True)
    with open_video(MEDIA / "clips/format_zoo/sar_2by3.mp4") as video:
        assert video.details.sar == 2 / 3 or video.details.sar.denominator == 3
    with open_video(MEDIA / "clips/format_zoo/vfr_nasa.mp4") as video:
        assert video.details.vfr
    with open_video(MEDIA / "broken/pts_start_8s.mp4") as video:
        assert video.details.start_pts_seconds == pytest.approx(8.333, abs=1e-3)
        assert video.times[0] == 0


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_damaged_files_decode_to_the_same_frames_every_time(name: str) -> None:
    shown = []
    for _ in range(4):
        with open_video(MEDIA / "broken" / name, short_side=48) as video:
            shown.append([(i, one.tobytes()) for i, one in video.stream(range(video.frames))])
    assert all(again == shown[0] for again in shown[1:])
