"""Videos whose frames spell their own number, one for each trap that a reader can fall into."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import encode_video

FPS = 30
COUNT = 90


@dataclass(frozen=True)
class Spec:
    """How to encode a file, and the frames a reader must find in it."""

    name: str
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    muxer: dict[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"
    size: tuple[int, int] = (96, 64)
    pts: tuple[int, ...] = tuple(range(COUNT))
    """In frames of 1/30 s."""
    first: int = 0
    """Number of the first frame that is shown."""
    turned: int = 0
    """Degrees clockwise in the display matrix; pixels are stored turned the other way."""
    tolerance: float = 1.1e-3
    """Seconds by which the container may round times."""


Make = Callable[[Spec], Path]
GOP = {"g": "12", "bf": "3", "crf": "8", "preset": "ultrafast"}
X265 = "keyint=12:min-keyint=12:bframes=3:log-level=none:scenecut=0"
VFR = tuple(np.cumsum([0] + [1 + (7 * i) % 5 for i in range(COUNT - 1)]).tolist())

FILES = [
    Spec("cfr.mp4", options={"g": "30", "bf": "0", "crf": "8"}),
    Spec("b_frames.mp4", options=GOP),
    Spec("no_key_frames.mp4", options={**GOP, "g": "1000"}),
    Spec("vfr.mp4", options=GOP, pts=VFR),
    Spec("open_gop.mp4", options={**GOP, "x264-params": "open-gop=1:scenecut=0"}),
    Spec("open_gop_hevc.mp4", "libx265", {"crf": "8", "x265-params": X265 + ":open-gop=1"}),
    Spec("layers_hevc.mkv", "libx265", {"crf": "8", "x265-params": X265 + ":temporal-layers=2"}),
    Spec("odd.mp4", options=GOP, pixels="yuv444p", size=(97, 65)),
    Spec("ten_bit.mp4", options=GOP, pixels="yuv420p10le"),
    Spec("turned_90.mp4", options=GOP, turned=90),
    Spec("turned_180.mp4", options=GOP, turned=180),
    Spec("turned_270.mov", options=GOP, turned=270),
    Spec("late.mp4", options=GOP, pts=tuple(range(300, 300 + COUNT))),
    Spec("edit_list.mp4", options=GOP, pts=tuple(range(-5, COUNT - 5)), first=5),
    Spec("fragmented.mp4", options=GOP, muxer={"movflags": "frag_keyframe+empty_moov"}),
    Spec("matroska.mkv", options=GOP),
    Spec("early.mkv", options=GOP, pts=tuple(range(-20, COUNT - 20)),
         muxer={"avoid_negative_ts": "disabled"}, tolerance=0.008),
    Spec("vp9.webm", "libvpx-vp9", {"g": "20", "crf": "10", "deadline": "realtime"}),
    Spec("vp8.webm", "libvpx", {"g": "20", "b": "2M", "auto-alt-ref": "1", "lag-in-frames": "12"}),
    Spec("av1.mkv", "libsvtav1", {"g": "20", "crf": "15", "preset": "12"}),
    Spec("mpeg4.mp4", "mpeg4", {"g": "20", "bf": "2", "b": "4M"}),
    Spec("mpeg4.avi", "mpeg4", {"g": "20", "bf": "2", "b": "4M"}),
    Spec("h264.avi", options=GOP),
    Spec("stream.ts", options=GOP),
    Spec("program.mpg", "mpeg2video", {"g": "12", "bf": "2", "b": "4M"}),
    Spec("flash.flv", options=GOP),
    Spec("raw.h264", options=GOP),
    Spec("pictures.mkv", "mjpeg", {"qscale": "2"}, pixels="yuvj420p"),
    Spec("single.mp4", options=GOP, pts=(0,)),
    Spec("two.mp4", options=GOP, pts=(0, 1)),
]  # fmt: skip


def numbered(count: int, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """uint8 [count, H, W, 3]; the top half of frame i spells i in 16 black or white blocks."""
    width, height = size
    frames = np.full((count, height, width, 3), 128, np.uint8)
    bits = (np.arange(count)[:, None] >> np.arange(16)) & 1
    frames[:, : height // 2, : width // 16 * 16] = (
        bits.repeat(width // 16, axis=1) * 255)[:, None, :, None]  # fmt: skip
    frames[:, height // 2 :, : width // 4] = 255  # left is bright, so that a mirror image shows
    return frames


def numbers(frames: np.ndarray) -> list[int]:
    """The numbers that frames [N, H, W, 3] spell; -1 when mirrored or lying on its side."""
    height, width = frames.shape[1:3]
    columns = ((np.arange(16) + 0.5) * (width // 16)).astype(int)
    bits = frames[:, height // 4][:, columns].mean(-1) > 127
    upright = frames[:, height * 3 // 4, width // 8].mean(-1) > 170
    return np.where(upright, bits @ (1 << np.arange(16)), -1).tolist()


def write(path: Path, spec: Spec) -> None:
    """Encode a file as described."""
    frames = numbered(len(spec.pts), spec.size)
    frames = np.rot90(frames, spec.turned // 90, axes=(1, 2))
    encode_video(
        *(path, frames, FPS, spec.codec),
        pixels=spec.pixels,
        clock=Fraction(1, FPS),
        ticks=spec.pts,
        options=spec.options,
        muxer=spec.muxer,
    )
    if spec.turned:
        turn_track(path, spec.turned)


def turn_track(path: Path, degrees: int) -> None:
    """Put a display matrix that turns by `degrees` clockwise into an mp4's track header."""
    one = 1 << 16
    a, b, c, d = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make a file once per session."""
    folder = tmp_path_factory.mktemp("videos")

    def made_once(spec: Spec) -> Path:
        path = folder / spec.name
        if not path.exists():
            write(path, spec)
        return path

    return made_once


@pytest.fixture(params=FILES, ids=lambda spec: spec.name)
def spec(request: pytest.FixtureRequest) -> Spec:
    """Each of the files in turn."""
    return request.param


@pytest.fixture(scope="session")
def small(make: Make) -> Path:
    """An ordinary file with B-frames."""
    return make(FILES[1])


def expected_times(spec: Spec) -> Sequence[float]:
    """Seconds of the frames that are shown, the first at 0."""
    shown = np.array(spec.pts[spec.first :], float)
    return (shown - shown[0]) / FPS
