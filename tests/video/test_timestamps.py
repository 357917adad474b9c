"""Real files whose timestamps mislead: what is read is what a player shows."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.video.conftest import FPS, GOP, Spec, numbered, numbers, write
from tests.video.helpers import Change, refused, remux, write_numbered
from vidattn.video import Limits, Video, open_video
from vidattn.video.container.open import AV_VERSION
from vidattn.video.container.packets import NO_PTS
from vidattn.video.container.timestamps import repair


def shift(seconds: float) -> Change:
    """A change that moves all timestamps."""

    def change(_: int, packet: Any) -> None:
        ticks = round(seconds / packet.time_base)
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks

    return change


def shown(video: Video) -> list[int]:
    """The numbers that all frames spell."""
    return numbers(np.stack([frame for _, frame in video.stream(range(video.frames))]))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three seconds of numbered frames with B frames."""
    write(tmp_path / "clip.mp4", Spec("clip.mp4", options=GOP))
    return tmp_path / "clip.mp4"


def join(target: Path, clip: Path, starts: Sequence[float]) -> Path:
    """Transport streams of a clip behind one another, whose timestamps begin at `starts`."""
    parts = [
        remux(clip, target.with_name(f"{i}.ts"), shift(start)).read_bytes()
        for i, start in enumerate(starts)
    ]
    target.write_bytes(b"".join(parts))
    return target


@pytest.mark.parametrize(
    "starts", [(100, 50), (100, 100.02), (100, 101.5), (10, 4000), (10, 5, 8)], ids=str
)
def test_joined_recordings_follow_one_another(
    clip: Path, tmp_path: Path, starts: tuple[float, ...]
) -> None:
    with open_video(join(tmp_path / "joined.ts", clip, starts)) as video:
        count = len(starts)
        assert video.times == pytest.approx(np.arange(90 * count) / FPS, abs=2e-3)
        assert video.duration == pytest.approx(3 * count, abs=2e-3)
        assert shown(video) == [*range(90)] * count
        assert numbers(video.read([90, 5, 100])) == [0, 5, 10]
        assert "timestamps begin anew at 3.00 s" in video.details.warnings[0]
        assert not video.unreadable


def test_counters_that_begin_anew_are_no_damage(clip: Path, tmp_path: Path) -> None:
    segments = tmp_path / "segments.ts"
    with open_video(join(segments, clip, (10, 13, 16))) as video:
        assert shown(video) == [*range(90)] * 3
        assert video.times == pytest.approx(np.arange(270) / FPS, abs=2e-3)
        assert not video.unreadable
        assert numbers(video.read([200])) == [20]


@pytest.mark.parametrize("suffix", ["mkv", "webm"])
def test_one_double_timestamp_costs_only_its_own_time(tmp_path: Path, suffix: str) -> None:
    ticks = [*range(0, 1500, 33), *range(6000, 9000, 33), *range(9000, 12000, 83)]
    codec = {"webm": "libvpx"}.get(suffix, "libx264")
    options = {"b": "2M", "deadline": "realtime"} if suffix == "webm" else {"bf": "0", "crf": "8"}
    plain = Spec(f"plain.{suffix}", codec, options, pts=tuple(range(len(ticks))))
    write(tmp_path / plain.name, plain)
    last = 0

    def change(number: int, packet: Any) -> None:
        nonlocal last
        packet.pts = packet.dts = last if number == 100 else ticks[number]
        last = packet.pts

    with open_video(remux(tmp_path / plain.name, tmp_path / f"double.{suffix}", change)) as video:
        times = np.array(ticks) / 1000
        times[100] = (times[99] + times[101]) / 2
        assert video.times == pytest.approx(times, abs=1e-3)
        assert shown(video) == [*range(len(ticks))]
        assert video.details.warnings == ("1 wrong timestamp: the frames around tell the time",)


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_a_timestamp_out_of_all_proportion_is_no_footage(
    clip: Path, tmp_path: Path, suffix: str
) -> None:
    def change(number: int, packet: Any) -> None:
        if number == 40:
            packet.pts = (packet.pts or 0) + round(6000 / packet.time_base)

    path = remux(clip, tmp_path / f"flipped.{suffix}", change)
    if suffix == "mkv":  # the header, as it was before the bit was flipped
        data = bytearray(path.read_bytes())
        at = data.index(b"\x44\x89\x88") + 3
        data[at : at + 8] = struct.pack(">d", 3000.0)
        path.write_bytes(data)
    with open_video(path) as video:
        assert video.duration == pytest.approx(3, abs=0.05)
        assert video.times == pytest.approx(np.arange(90) / FPS, abs=0.04)
        assert shown(video) == [*range(90)]
        assert "wrong timestamp" in video.details.warnings[-1]


def test_sound_that_outlasts_the_pictures_is_no_missing_part(tmp_path: Path) -> None:
    clock, ticks = Fraction(1, 25), list(range(25))
    path = write_numbered(tmp_path / "short.mp4", clock, ticks)
    for name, sound in (("long.mkv", "aac"), ("long.webm", "libopus")):
        add_sound(path, tmp_path / name, seconds=6, codec=sound)
        with open_video(tmp_path / name) as video:
            assert video.duration == pytest.approx(1, abs=0.01)
            assert not video.unreadable
            assert not video.details.warnings


def add_sound(source: Path, target: Path, seconds: float, codec: str) -> None:
    """Copy the pictures of a video, with silence of another length."""
    with av.open(str(source)) as inputs, av.open(str(target), "w", format="matroska") as output:
        stream = output.add_stream_from_template(inputs.streams.video[0])
        track = output.add_stream(codec, rate=48000, layout="mono")
        for packet in inputs.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
        for start in range(0, round(seconds * 48000), 960):
            form = "flt" if codec == "libopus" else "fltp"
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 960), np.float32), format=form, layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            output.mux(track.encode(frame))
        output.mux(track.encode(None))


def test_a_matroska_file_that_was_cut_off_still_lacks_its_end(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mkv", Fraction(1, 25), list(range(150)), sound="aac")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_video(path) as video:
        (tail,) = video.unreadable
        assert tail.code == "E_TRUNCATED"
        assert tail.window.stop == video.duration == pytest.approx(6, abs=0.1)


def test_stamps_that_all_begin_late_move_nothing(clip: Path, tmp_path: Path) -> None:
    with open_video(remux(clip, tmp_path / "late.mkv", shift(10))) as video:
        assert video.duration == pytest.approx(3, abs=0.01)
        assert video.details.start_offset is None
        assert not video.unreadable


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
def test_pictures_behind_the_sound_have_an_offset(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"late.{suffix}"
    write_numbered(path, Fraction(1, 25), list(range(25)), sound="aac", early=4)
    with open_video(path) as video:
        assert (video.details.start_offset, video.times[0]) == (pytest.approx(4, abs=0.05), 0)
        assert video.duration == pytest.approx(1, abs=0.01)
        assert video.details.warnings == (
            f"its first frame comes {video.details.start_offset:.2f} s after the start of the file",
        )
        assert not video.unreadable


def boxes(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    """The boxes of an mp4 and their names."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at : at + size]
        at += size


def test_an_mp4_without_its_first_fragments_has_its_gap_in_front(
    clip: Path, tmp_path: Path
) -> None:
    path = tmp_path / "late.mp4"
    remux(clip, path, movflags="frag_keyframe+empty_moov+default_base_moof")
    parts = list(boxes(path.read_bytes()))
    media = [part for kind, part in parts if kind in (b"moof", b"mdat")]
    head = [part for kind, part in parts if kind in (b"ftyp", b"moov")]
    path.write_bytes(b"".join(head + media[6:]))
    with open_video(path) as video:
        first = shown(video)[0]
        assert first == 36
        assert video.details.start_offset == pytest.approx(first / FPS, abs=0.08)
        assert video.duration == pytest.approx((90 - first) / FPS, abs=1e-3)
        assert not video.unreadable


def test_frames_in_an_avi_are_as_long_as_their_distance(tmp_path: Path) -> None:
    for fps in (25, Fraction(30000, 1001)):
        path = tmp_path / "b.avi"
        encode(path, fps)
        with open_video(path) as video:
            assert video.times == pytest.approx(np.arange(50) / float(fps), abs=1e-6)
            assert (video.fps, video.duration) == (fps, pytest.approx(50 / float(fps)))


def encode(path: Path, fps: int | Fraction) -> None:
    """Fifty frames with B frames, in the ticks of the decoder, as FFmpeg's own program writes."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=fps, options=GOP)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for rgb in numbered(50):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        output.mux(stream.encode())


def test_side_data_without_a_name_refuses_no_file(tmp_path: Path) -> None:
    path = tmp_path / "exif.mov"
    write(path, Spec("exif.mov", "mjpeg", {"qscale": "2"}, pixels="yuvj420p"))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\0\0\0\x04Cam\0\0\0\0\0"
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif

    with av.open(str(path)) as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    with av.open(str(tmp_path / "with.mov"), "w") as output:
        stream = output.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        output.start_encoding()
        for number, data in enumerate(pictures):
            packet = av.Packet(data[:2] + segment + data[2:])
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, FPS), stream
            packet.duration, packet.is_keyframe = 1, True
            output.mux(packet)
    fails = nullcontext() if AV_VERSION >= 19 else pytest.raises(ValueError, match="Type")
    with av.open(str(tmp_path / "with.mov")) as container, fails:
        _ = next(container.decode(video=0)).side_data  # else this test tests nothing
    with open_video(tmp_path / "with.mov") as video:
        assert shown(video) == [*range(90)]


def test_a_timecode_track_is_read(clip: Path, tmp_path: Path) -> None:
    path = remux(clip, tmp_path / "tc.mov", metadata={"timecode": "10:20:30:05"})
    with open_video(path) as video:
        assert video.details.timecode == "10:20:30:05"


def test_repaired_times_rise_whatever_the_stamps() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        count = int(rng.integers(1, 80))
        stamps = np.arange(count, dtype=np.int64) * 40
        for _ in range(int(rng.integers(0, 4))):
            at = int(rng.integers(count))
            kind = rng.integers(5)
            if kind == 0:
                stamps[at] = NO_PTS
            elif kind == 1:
                stamps[at:][stamps[at:] != NO_PTS] += int(rng.integers(-3000, 3000))
            elif kind == 2:
                stamps[at] = int(rng.integers(-(1 << 40), 1 << 40))
            elif kind == 3:
                stamps[at] = stamps[max(at - 1, 0)]
            elif stamps[at] != NO_PTS:
                stamps[at] += int(rng.integers(-100, 100))
        for mask in (None, np.zeros(count, np.bool_)):
            fixed = repair(stamps, 40.0, mask)
            if fixed is not None:
                assert fixed.ticks.shape == (count,)
                assert (np.diff(fixed.ticks) > 0).all()


def test_a_frame_in_a_quarter_of_an_hour_is_a_rate(clip: Path, tmp_path: Path) -> None:
    def change(number: int, packet: Any) -> None:
        packet.pts, packet.dts = packet.pts * 30_000, packet.dts * 30_000

    with open_video(remux(clip, tmp_path / "slow.mkv", change)) as video:
        assert video.duration == pytest.approx(90_000, rel=0.02)
        assert 1 / video.fps == pytest.approx(1000, rel=0.02)


def test_what_no_stream_reaches_is_said(clip: Path, tmp_path: Path) -> None:
    other = {
        "mpegts_service_id": "2",
        "mpegts_start_pid": "0x200",
        "mpegts_pmt_start_pid": "0x1200",
    }
    for suffix, options in (("ts", other), ("mp4", {}), ("flv", {})):
        first = remux(clip, tmp_path / f"1.{suffix}")
        second = remux(clip, tmp_path / f"2.{suffix}", **options)
        path = tmp_path / f"both.{suffix}"
        path.write_bytes(first.read_bytes() + second.read_bytes() + bytes(40_000))
        with open_video(path) as video:
            assert shown(video) == [*range(90)]
            (tail,) = video.unreadable
            assert (tail.code, tail.window.start) == ("E_UNREAD", pytest.approx(3, abs=1e-3))
            assert tail.window.stop == video.duration > 5
            assert "another program or file" in video.details.warnings[-1]
        with open_video(first) as video:
            assert not video.unreadable


def test_the_stream_of_a_number_is_read(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(clip)) as inputs, av.open(str(path), "w") as output:
        first, second = (output.add_stream_from_template(inputs.streams.video[0]) for _ in range(2))
        for number, packet in enumerate(p for p in inputs.demux(video=0) if p.size):
            for stream in (first, second) if number < 48 else (first,):
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                output.mux(copy)
    for number, count in ((None, 90), (0, 90), (1, 48)):
        with open_video(path, limits=Limits(stream=number)) as video:
            assert (video.frames, video.details.stream) == (count, number or 0)
            assert not video.unreadable
    with refused("E_NO_VIDEO_STREAM", "stream 7 is no video"):
        open_video(path, limits=Limits(stream=7))
