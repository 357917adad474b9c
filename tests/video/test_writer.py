"""Recording: every frame at its time, the video's sound in step, and nothing that breaks others."""

from __future__ import annotations

import errno
import os
import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from tests.video.conftest import numbers, turn_track
from tests.video.helpers import FFPROBE, TICKS, beeps_at, probed, sound_packets, write_numbered
from vidattn.errors import OutputError
from vidattn.types import Window
from vidattn.video import open_video
from vidattn.video.writer.client import AudioTrack, VideoWriter
from vidattn.video.writer.fingerprint import add_fingerprint, has_fingerprint

CLOCK, STEPS = TICKS["25"]


def record(source: Path, path: Path, first: int = 0, after: int | None = None) -> AudioTrack:
    """Copy a video frame by frame, or a part of it."""
    with open_video(source) as video, VideoWriter(video) as recorder:
        after = video.frames if after is None else after
        stop = video.duration if after == video.frames else float(video.times[after])
        size = video.width, video.height
        with recorder.recording(path, size, video.times[first:after], stop) as sound:
            for index, frame in video.stream(range(first, after)):
                recorder.write(index - first, frame)
    return sound


@pytest.mark.skipif(FFPROBE is None, reason="ffprobe is not installed")
@pytest.mark.parametrize("rate", TICKS)
def test_every_frame_comes_back_at_its_time(rate: str, tmp_path: Path) -> None:
    clock, ticks = TICKS[rate]
    source = write_numbered(tmp_path / "a.mp4", clock, ticks)
    record(source, tmp_path / "b.mp4")
    probe = probed(tmp_path / "b.mp4")
    assert probe["times"] == pytest.approx([float(t * clock) for t in ticks], abs=1e-6)
    assert (probe["codec_name"], probe["pix_fmt"]) == ("h264", "yuv420p")
    with open_video(source) as one, open_video(tmp_path / "b.mp4") as other:
        assert numbers(other.read(range(50))) == list(range(50))
        assert other.duration == pytest.approx(one.duration, abs=1e-4)


@pytest.mark.skipif(FFPROBE is None, reason="ffprobe is not installed")
def test_a_turned_video_of_odd_size_and_odd_pixels_stands_upright(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 97, 65, "yuv444p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        ground = np.full((65, 97, 3), 60, np.uint8)
        ground[:20, :30] = 240
        container.mux(stream.encode(av.VideoFrame.from_ndarray(ground, format="rgb24")))
        container.mux(stream.encode(None))
    turn_track(source, 90)
    record(source, tmp_path / "b.mp4")
    probe = probed(tmp_path / "b.mp4")
    assert (probe["width"], probe["height"]) == (66, 98)
    assert probe["sample_aspect_ratio"] == "3:4"
    assert "side_data_list" not in probe
    with open_video(tmp_path / "b.mp4") as video:
        assert video.details.rotation == 0
        frame = video.read([0])[0]
    assert frame[15, 55].mean() > 200  # the light corner went from top left to top right
    assert frame[15, 10].mean() < 90


@pytest.mark.parametrize(
    ("name", "codec", "copied"),
    [
        ("a.mp4", "aac", True),
        ("a.mkv", "libopus", True),
        ("a.mkv", "mp2", False),
        ("a.mkv", "pcm_s16le", False),
        ("a.ts", "aac", True),
        ("a.avi", "libmp3lame", True),
    ],
)
def test_the_audio_stays_in_step(name: str, codec: str, copied: bool, tmp_path: Path) -> None:
    source = write_numbered(tmp_path / name, CLOCK, STEPS, sound=codec, early=0.4)
    sound = record(source, tmp_path / "b.mp4")
    assert (sound.included, sound.copied) == (True, copied)
    with av.open(str(source)) as container:
        first = next(container.decode(video=0)).time
    offset = beeps_at(source) - (first or 0)
    assert 0.9 < offset < 1.1
    assert beeps_at(tmp_path / "b.mp4") == pytest.approx(offset, abs=0.03)
    record(source, tmp_path / "c.mp4", 10, 40)
    assert beeps_at(tmp_path / "c.mp4") == pytest.approx(offset - 0.4, abs=0.03)


def test_copied_audio_is_identical(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "a.mp4", CLOCK, STEPS, sound="aac")
    record(source, tmp_path / "b.mp4")
    probe, original = sound_packets(tmp_path / "b.mp4"), sound_packets(source)
    assert len(original) - 3 <= len(probe)  # it ends with the pictures
    assert probe == original[: len(probe)]


def test_unsupported_audio_is_dropped_and_named(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "a.mkv", CLOCK, STEPS, sound="tta")
    assert record(source, tmp_path / "b.mp4") == AudioTrack("tta", included=False, copied=False)
    with open_video(tmp_path / "b.mp4") as video:
        assert not video.details.audio


@pytest.mark.parametrize("matrix", [2, 1, 5])
def test_colors_are_unchanged(matrix: int, tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    rng = np.random.default_rng(0)
    blocks = rng.integers(20, 235, (4, 6, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.colorspace = matrix
        container.mux(stream.encode(av.VideoFrame.from_ndarray(blocks, format="rgb24")))
        container.mux(stream.encode(None))
    record(source, tmp_path / "b.mp4")
    with open_video(source) as one, open_video(tmp_path / "b.mp4") as other:
        away = np.abs(one.read([0]).astype(int) - other.read([0]))
    assert np.median(away) <= 3
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.colorspace == matrix


def test_a_part_is_copied_from_key_frame_to_key_frame_only(tmp_path: Path) -> None:
    options = {"x264-params": "keyint=10:min-keyint=10:scenecut=0:bframes=2"}
    source = write_numbered(
        tmp_path / "a.mp4", CLOCK, STEPS, options=options, sound="aac", beep=0.6
    )
    with open_video(source) as video, VideoWriter(video) as recorder:
        opened = psutil.Process(recorder._process.pid).num_fds()
        assert recorder.copy(tmp_path / "b.mp4", Window(0.42, 1.2), 0.1) == Window(0.4, 1.2)
        assert recorder.copy(tmp_path / "c.mp4", Window(0.6, 1.2), 0.1) is None
        with recorder.recording(tmp_path / "d.mp4", (96, 64), video.times[10:20], 0.8):
            for index, frame in video.stream(range(10, 20)):
                recorder.write(index - 10, frame)
        assert psutil.Process(recorder._process.pid).num_fds() == opened
    with open_video(tmp_path / "b.mp4") as copied:
        assert numbers(copied.read(range(copied.frames))) == list(range(10, 30))
        assert copied.times[0] == 0
    assert beeps_at(tmp_path / "b.mp4") == pytest.approx(0.2, abs=0.03)
    with open_video(tmp_path / "d.mp4") as encoded:
        assert numbers(encoded.read(range(encoded.frames))) == list(range(10, 20))


def test_a_full_disk_is_a_system_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_numbered(tmp_path / "a.mp4", CLOCK, STEPS)
    monkeypatch.setattr("vidattn.video.writer.client.open_output", os.open)
    with pytest.raises(OSError, match="No space left") as caught:
        record(source, Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC


def test_an_encoder_that_dies_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "a.mp4", CLOCK, STEPS)
    with open_video(source) as video, VideoWriter(video) as recorder:
        frame = video.read([0])[0]

        def until_it_dies() -> None:
            with recorder.recording(tmp_path / "b.mp4", (96, 64), video.times, video.duration):
                os.kill(recorder._process.pid, signal.SIGKILL)
                for number in range(50):
                    recorder.write(number, frame)

        with pytest.raises(OutputError, match="the encoder died"):
            until_it_dies()
        assert numbers(video.read([7])) == [7]


THIS, OTHER = bytes(range(32)), bytes(32)


def test_a_fingerprinted_video_plays_as_before(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", *TICKS["25"], sound="aac")
    with open_video(path) as video:
        facts, times = video.details, video.times.tolist()
    assert not has_fingerprint(path, THIS)
    add_fingerprint(path, THIS)
    assert has_fingerprint(path, THIS)
    with open_video(path) as video:
        assert (video.details, video.times.tolist()) == (facts, times)
        assert not video.unreadable


@pytest.mark.parametrize("content", [b"", b"a video"])
def test_a_fingerprint_notices_truncation_and_changes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    add_fingerprint(path, THIS)
    whole = path.read_bytes()
    assert has_fingerprint(path, THIS)
    assert not has_fingerprint(path, OTHER)
    for damaged in (whole[:-1], content, b"", whole + b"!", b"!" + whole, whole[1:], whole + whole):
        path.write_bytes(damaged)
        assert not has_fingerprint(path, THIS)
    assert not has_fingerprint(tmp_path / "gone.mp4", THIS)
    assert not has_fingerprint(os.fspath(tmp_path), THIS)
