"""Small videos and the type of the fixtures that run commands."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Run = Callable[..., subprocess.CompletedProcess[str]]


def encode_video(
    path: Path,
    frames: Iterable[np.ndarray],
    rate: int | Fraction = 25,
    codec: str = "libx264",
    *,
    pixels: str = "yuv420p",
    clock: Fraction | None = None,
    ticks: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Encode frames, uint8 [H, W, 3]; frame i is shown at ticks[i] of `clock`, or at i / rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        for i, rgb in enumerate(frames):
            if not i:
                (stream.height, stream.width), stream.pix_fmt = rgb.shape[:2], pixels
                if clock:
                    stream.codec_context.time_base = clock
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            if clock:
                frame.pts, frame.time_base = (ticks[i] if ticks else i), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_video(
    path: Path, seconds: float = 4.0, fps: int = 10, shots: tuple[int, ...] = (0,)
) -> Path:
    """A bright square that wanders over a dark ground, 96x64, as H.264.

    shots: their first frames; in every second one the ground is light.
    """
    frames = np.empty((round(seconds * fps), 64, 96, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[:] = 40 if sum(first <= i for first in shots) % 2 else 200
        frame[20:40, i % 76 : i % 76 + 20] = (220, 180, 90)
    return encode_video(path, frames, fps)
