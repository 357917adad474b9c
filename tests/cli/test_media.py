"""Real videos, whole and broken: a timeline that tiles the file, or an error with its reason."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest

from tests.helpers import Run

MEDIA = Path(os.environ.get("VIDATTN_MEDIA", "nowhere"))
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="VIDATTN_MEDIA names no folder")

SECONDS = {
    "arm_wrestling.mp4": 10.0,
    "basketball_editlist_aac.mp4": 7.15,
    "big_buck_bunny_10min.mp4": 596.458,
    "flower_vp8_vorbis.webm": 5.005,
    "highway_mpeg4.avi": 30.0,
    "nasa_multistream.mp4": 13.013,
    "people_one_by_one_2min.mp4": 139.4,
    "phone_hevc_rotated.mov": 1.168,
    "vfr_nasa.mp4": 4.004,
}
"""Durations that headers, containers or frame rates get wrong more often than not."""

WHOLE_AFTER_ALL = {
    "-video-with-dash-.mp4", "cover_art_second_stream.mkv", "failing_audio.mp4",
    "frame_exceeds_screen.gif", "no_duration.webm", "pts_start_8s.mp4",
    "resolution_change.h264", "single_frame.mp4", "unordered.mov",
}  # fmt: skip
"""Odd files whose every frame can be shown all the same."""

IN_PART = {"corrupt_mid_stream.mp4", "no_timescale.mp4", "truncated_claims_35s.mp4"}


def files(*folders: str) -> list[Path]:
    return sorted(p for f in folders for p in (MEDIA / f).glob("*") if p.is_file())


@needs_media
@pytest.mark.parametrize("video", files("clips", "clips/format_zoo", "long"), ids=lambda p: p.name)
def test_segments_tile_the_whole_video(quick: Run, model: Path, video: Path) -> None:
    document = json.loads(quick("segment", video, "-m", model, "--json", "--stride", "2").stdout)
    segments = document["segments"]
    assert (segments[0]["start"], segments[-1]["end"]) == (0.0, document["input"]["duration"])
    for before, after in pairwise(segments):
        assert (before["end"], before["end_frame"]) == (after["start"], after["start_frame"])
    assert segments[-1]["end_frame"] == document["input"]["frames"]
    if video.name in SECONDS:
        one_frame = document["input"]["duration"] / document["input"]["frames"]
        assert abs(document["input"]["duration"] - SECONDS[video.name]) <= one_frame


@needs_media
@pytest.mark.parametrize("video", files("broken"), ids=lambda p: p.name)
def test_a_broken_video_ends_in_part_or_with_a_reason(quick: Run, model: Path, video: Path) -> None:
    done = quick("segment", video, "-m", model, "--json", code=None)
    assert "Traceback" not in done.stderr
    if video.name in WHOLE_AFTER_ALL:
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["coverage"]["unreadable"] == []
    elif video.name in IN_PART:
        assert done.returncode == 4
        assert json.loads(done.stdout)["coverage"]["unreadable"]
        assert "not seen (E_" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith(f"error: {video}: ")
