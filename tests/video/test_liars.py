"""Files that lie about themselves or are odd, through the front door: what `segment` saw."""

from __future__ import annotations

import json
import shutil
import socket
import struct
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.helpers import Run, encode_video
from tests.video.conftest import FPS, GOP, Spec, numbered, numbers, write
from tests.video.helpers import remux
from vidattn.video import open_video

YEARS = 136 * 365 * 86400


Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ask(quick: Run, model: Path, tmp_path: Path) -> Ask:
    """What `segment --json` says of the files of a folder, by name, and its exit code."""

    def run() -> tuple[int, dict[str, Any]]:
        done = quick("segment", tmp_path, "-m", model, "--json", "--overlap", "0", code=None)
        assert "Traceback" not in done.stderr
        documents = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, {Path(one["input"]["path"]).name: one for one in documents}

    return run


def code_of(documents: dict[str, Any]) -> str:
    """Why a file was refused; empty when it was not."""
    return str(documents.get("error", {}).get("code", ""))


def patched(path: Path, box: bytes, at: int, fmt: str, *values: int) -> Path:
    """Overwrite numbers so many bytes after the name of a box."""
    data = bytearray(path.read_bytes())
    start = data.index(box) + 4 + at
    data[start : start + struct.calcsize(fmt)] = struct.pack(fmt, *values)
    path.write_bytes(data)
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Three seconds of numbered frames."""
    write(tmp_path / "video.mp4", Spec("video.mp4", options=GOP))
    return tmp_path / "video.mp4"


def test_frames_of_a_pixel_are_frames(ask: Ask, tmp_path: Path) -> None:
    kinds = [("mp4", "libx264", "yuv444p"), ("webm", "libvpx-vp9", "yuv420p")]
    for side, (suffix, codec, pixels) in product((1, 2), kinds):
        path = tmp_path / f"{side}.{suffix}"
        color = np.full((side, side, 3), (200, 60, 20), np.uint8)
        encode_video(path, [color] * 40, FPS, codec, pixels=pixels, clock=Fraction(1, FPS))
        with av.open(str(path)) as container:
            plain = next(container.decode(video=0)).to_ndarray(format="rgb24")
        with open_video(path) as video:
            assert video.read([0, 39]).shape == (2, side, side, 3)
            assert np.abs(video.read([0])[0].astype(int) - plain).max() <= 2
    code, documents = ask()
    assert (code, len(documents)) == (0, 4)
    assert all(name[0] == str(one["input"]["width"]) for name, one in documents.items())


def test_wrong_packet_sizes_cost_only_those_packets(ask: Ask, video: Path, tmp_path: Path) -> None:
    sample = 12 + 4 * 30
    lies: dict[str, tuple[int, int, float | None]] = {
        "more than there can be": (8, 0x7FFFFFFF, None),
        "fewer than there are": (8, 10, 10 / 90),
        "all of one size": (4, 500, None),
        "one larger than the file": (sample, 0x7FFFFFF0, 33 / 90),
        "one of nothing, and all after it elsewhere": (sample, 0, 29 / 90),
    }
    for name, (at, value, _) in lies.items():
        patched(shutil.copy(video, tmp_path / f"{name}.mp4"), b"stsz", at, ">I", value)
    video.unlink()
    code, documents = ask()
    assert code == 4
    for name, (_, _, seen) in lies.items():
        one = documents[f"{name}.mp4"]
        if seen is None:
            assert code_of(one) in ("E_NOT_VIDEO", "E_DECODE"), name
            continue
        assert set(one["coverage"]["reasons"]) <= {"E_TRUNCATED", "E_DECODE"}
        missing = sum(stop - start for start, stop in one["coverage"]["unreadable"])
        assert 1 - missing / 3 == pytest.approx(seen, abs=0.05), name


def test_the_size_in_a_header_is_not_trusted(ask: Ask, video: Path, tmp_path: Path) -> None:
    data = bytearray(patched(video, b"tkhd", 76, ">II", 9999 << 16, 1 << 16).read_bytes())
    at = data.index(b"avc1", data.index(b"stsd")) + 28  # the first one is among the brands
    for side in (8, 0, 65535):
        data[at : at + 4] = struct.pack(">HH", side, side)
        (tmp_path / f"{side}.mp4").write_bytes(data)
        with open_video(tmp_path / f"{side}.mp4") as video:
            assert numbers(video.read([0, 50, 89])) == [0, 50, 89]
    code, documents = ask()
    assert code == 0
    assert {(one["input"]["width"], one["input"]["height"]) for one in documents.values()} == {
        (96, 64)
    }


def test_a_header_of_136_years_is_not_trusted(ask: Ask, tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv", "a.avi"):
        write(tmp_path / name, Spec(name, options=GOP))
    patched(tmp_path / "a.mp4", b"mvhd", 12, ">II", 1, 0xFFFFFFFE)
    patched(tmp_path / "a.mp4", b"mdhd", 16, ">I", 0xFFFFFFFE)
    patched(tmp_path / "a.avi", b"avih", 4 + 16, "<I", 0xFFFFFFF0)
    patched(tmp_path / "a.avi", b"strh", 4 + 32, "<I", 0xFFFFFFF0)
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", YEARS * 1e3)
    (tmp_path / "a.mkv").write_bytes(data)
    code, documents = ask()
    assert code == 0
    assert [one["input"]["duration"] for one in documents.values()] == pytest.approx(
        [3] * 3, abs=0.01
    )


def test_frames_of_the_same_time_are_one(ask: Ask, tmp_path: Path) -> None:
    write(tmp_path / "plain.mkv", Spec("plain.mkv", options={"g": "12", "bf": "0", "crf": "8"}))
    before = 0

    def change(number: int, packet: Any) -> None:
        nonlocal before
        if number % 5 == 1:
            packet.pts = packet.dts = before
        before = packet.pts

    remux(tmp_path / "plain.mkv", tmp_path / "twice.mkv", change)
    (tmp_path / "plain.mkv").unlink()
    write(tmp_path / "raw.h264", Spec("raw.h264", options=GOP))  # has no times at all
    code, documents = ask()
    assert code == 0
    assert [one["input"]["duration"] for one in documents.values()] == pytest.approx(
        [3, 3], abs=0.05
    )
    with open_video(tmp_path / "twice.mkv") as video:
        assert (np.diff(video.times) > 0).all()
        shown = numbers(video.read(range(video.frames)))
        assert shown == sorted(set(shown))


@pytest.fixture
def packets(tmp_path: Path) -> list[bytes]:
    """A transport stream in its packets of 188 bytes."""
    write(tmp_path / "whole.ts", Spec("whole.ts", options=GOP))
    data = (tmp_path / "whole.ts").read_bytes()
    return [data[at : at + 188] for at in range(0, len(data), 188)]


def test_a_hole_in_a_stream_is_a_gap(packets: list[bytes], ask: Ask, tmp_path: Path) -> None:
    path, count = tmp_path / "hole.ts", len(packets)
    path.write_bytes(b"".join(packets[: count * 4 // 10] + packets[count * 6 // 10 :]))
    code, documents = ask()
    coverage = documents["hole.ts"]["coverage"]
    assert (code, coverage["reasons"]) == (4, ["E_DECODE"])
    ((start, stop),) = coverage["unreadable"]
    assert 0.7 < start < 1.3 < 1.7 < stop < 2.3
    assert coverage["fraction"] < 0.8
    with open_video(path) as video:
        shown = numbers(np.stack([frame for _, frame in video.stream(range(video.frames))]))
        first = shown.index(round(stop * FPS))
        assert shown == [*range(round(start * FPS)), *range(round(stop * FPS), 90)]
        assert video.times[first] == pytest.approx(stop)
        assert numbers(video.read([first, 0])) == [shown[first], 0]


def test_a_hole_before_the_first_frame_is_no_gap(packets: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "early.ts"
    for torn in range(3, 12):
        path.write_bytes(b"".join(packets[:torn] + packets[torn + 1 :]))
        with open_video(path) as video:
            assert all(0 <= u.window.start < u.window.stop for u in video.unreadable), torn


def test_a_transport_stream_starts_anywhere(packets: list[bytes], ask: Ask, tmp_path: Path) -> None:
    data = b"".join(packets[len(packets) * 3 // 10 :])
    for odd in (0, 77):
        path = tmp_path / f"{odd}.ts"
        path.write_bytes(data[odd:])
        with open_video(path) as video:
            shown = numbers(np.stack([frame for _, frame in video.stream(range(video.frames))]))
            assert shown == list(range(shown[0], 90))
            assert shown[0] % 12 == 0
    code, documents = ask()
    assert code == 0
    assert not any(one["coverage"]["unreadable"] for one in documents.values())


def test_alpha_is_dropped_and_fields_stay_woven(ask: Ask, tmp_path: Path) -> None:
    for spec in (
        Spec("alpha.webm", "libvpx-vp9", {"crf": "10", "deadline": "realtime"}, pixels="yuva420p"),
        Spec("alpha.mov", "png", pixels="rgba"),
        Spec("fields.mp4", options={**GOP, "flags": "+ildct+ilme", "x264-params": "tff=1"}),
        Spec("fields.mpg", "mpeg2video", {"g": "12", "b": "4M", "flags": "+ildct+ilme"}),
    ):
        write(tmp_path / spec.name, spec)
        with open_video(tmp_path / spec.name) as video:
            frames = video.read([0, 45, 89])
            assert (numbers(frames), frames.shape[-1]) == ([0, 45, 89], 3)
    code, documents = ask()
    assert (code, len(documents)) == (0, 4)


def test_an_animation_is_a_video_or_refused(ask: Ask, tmp_path: Path) -> None:
    first, *rest = [Image.fromarray(frame) for frame in numbered(20)]
    for name in ("a.gif", "a.webp"):
        first.save(tmp_path / name, save_all=True, append_images=rest, duration=40)
        (tmp_path / name).rename(tmp_path / f"{name}.mp4")  # else no folder is searched for them
    code, documents = ask()
    assert code == 4
    assert documents["a.gif.mp4"]["input"]["duration"] == pytest.approx(0.8)
    assert code_of(documents["a.webp.mp4"]) == "E_NOT_VIDEO"


def test_broken_links_are_named_and_end_no_search(
    ask: Ask, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop.mp4").symlink_to("loop.mp4")
    Path("again").symlink_to(".")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp4")
        code, documents = ask()
        assert code == 4
        assert {name: code_of(one) for name, one in documents.items()} == {
            video.name: "",
            "loop.mp4": "E_GONE",
            "socket.mp4": "E_NOT_REGULAR",
        }
        assert "a socket" in documents["socket.mp4"]["error"]["message"]
