"""Videos with numbered frames and a beep, their properties by ffprobe, and decoding processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest

from tests.video.conftest import numbered
from vidattn.errors import VideoError
from vidattn.video.process import child
from vidattn.video.process.client import SupervisedVideo

FFPROBE = shutil.which("ffprobe")
RATES = {"23.976": Fraction(24000, 1001), "25": Fraction(25), "29.97": Fraction(30000, 1001)}
TICKS = {
    **{name: (1 / rate, list(range(50))) for name, rate in RATES.items()},
    "variable": (Fraction(1, 1000), np.cumsum([0] + [33 + 17 * (i % 4) for i in range(49)])),
}
"""By name: a clock, and the times of 50 frames on it."""


def write_numbered(
    path: Path,
    clock: Fraction,
    ticks: Sequence[int],
    *,
    options: dict[str, str] | None = None,
    sound: str | None = None,
    beep: float = 1.0,
    early: float = 0.0,
) -> Path:
    """A video whose frame i spells i, shown at ticks[i]; with `sound`, a beep after `beep` seconds.

    early: seconds by which the audio begins before the first frame.
    """
    with av.open(str(path), "w") as container:
        options = {"g": "10", "crf": "8", "preset": "ultrafast", **(options or {})}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = clock
        track = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for pts, rgb in zip(ticks, numbered(len(ticks)), strict=True):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = round(early / clock) + int(pts), clock
            container.mux(stream.encode(frame))
        if track is not None:
            seconds = early + float(ticks[-1] * clock) + 0.05
            for start in range(0, round(seconds * 48000), 1024):
                container.mux(track.encode(_sine(start, early + beep)))
            container.mux(track.encode(None))
        container.mux(stream.encode(None))
    return path


Change = Callable[[int, Any], None]


def remux(
    source: Path,
    target: Path,
    change: Change = lambda *_: None,
    metadata: Mapping[str, str] | None = None,
    **options: str,
) -> Path:
    """Copy the packets of a video, each changed. metadata: of the file and its stream."""
    with av.open(str(source)) as inputs, av.open(str(target), "w", options=options) as output:
        stream = output.add_stream_from_template(inputs.streams.video[0])
        for owner in (output, stream):
            owner.metadata.update(metadata or {})
        packets = (packet for packet in inputs.demux(video=0) if packet.size)
        for number, packet in enumerate(packets):
            change(number, packet)
            packet.stream = stream
            output.mux(packet)
    return target


def _sine(start: int, beep: float) -> av.AudioFrame:
    times = (start + np.arange(1024)) / 48000
    loud = (times >= beep) & (times < beep + 0.2)
    samples = np.where(loud, 0.5 * np.sin(2 * np.pi * 1000 * times), 0).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
    return frame


def beeps_at(path: Path) -> float:
    """Seconds after which the audio of a video gets loud."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray().astype(np.float64)).max(axis=0) > 0.1)
            if len(loud) and frame.time is not None:
                return frame.time + loud[0] / frame.sample_rate
    raise AssertionError("the video is silent")


def sound_packets(path: Path) -> list[bytes]:
    """The audio packets of a video."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def probed(path: Path) -> dict[str, Any]:
    """The video stream of a file by ffprobe, with its `sound` and the `times` of its frames."""
    done = subprocess.run(
        [
            *(str(FFPROBE), "-v", "error", "-of", "json", "-show_streams"),
            *("-show_entries", "frame=pts_time,media_type", "-show_frames", str(path)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr, done.stderr
    document = json.loads(done.stdout)
    streams = {stream["codec_type"]: stream for stream in document["streams"]}
    frames = [f for f in document["frames"] if f["media_type"] == "video"]
    times = [float(frame["pts_time"]) for frame in frames]
    return {**streams["video"], "sound": streams.get("audio"), "times": times}


@contextmanager
def refused(code: str, match: str | None = None) -> Iterator[None]:
    """Expect a VideoError with this reason code."""
    with pytest.raises(VideoError, match=match) as caught:
        yield
    assert caught.value.code == code


def child_of(video: object) -> psutil.Process:
    """The decoding process of an open video."""
    assert isinstance(video, SupervisedVideo)
    assert video._process is not None
    return psutil.Process(video._process.pid)


def decoders() -> list[psutil.Process]:
    """All decoding processes of this one."""
    children = psutil.Process().children()
    return [child for child in children if "worker" in " ".join(child.cmdline())]


def rehearse(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Make decoders that start from now on fail, see `faulty_worker`."""
    command = child._command
    program = f"from tests.video.faulty_worker import run; run({fault!r})"
    monkeypatch.setattr(
        child, "_command", lambda module: [sys.executable, "-c", program, *command(module)[3:]]
    )


def gone(pid: int, seconds: float = 60) -> bool:
    """Whether a process ends in time."""
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False
