"""Does memory grow with the length of a video? Segments 2 and 60 minutes of 1080p and compares.

    python examples/benchmarks/memory.py
    python examples/benchmarks/memory.py --minutes 5 120 --fps 5    # fewer frames, as many windows
    python examples/benchmarks/memory.py --minutes 0.4 1.4 --fps 5 --width 768      # a ViT-B

Prints the highest resident memory of the command and its decoder together, the ratio, and after how
many seconds the scores of the first window were there, starting and loading included. -m takes any
model; --width makes one of random weights, divided attention in 12 blocks, 8 frames of 224 pixels.
Needs psutil (in the `dev` extra).
"""

import argparse
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil

import vidattn
from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.models.classifier import Classifier
from vidattn.models.timesformer import TimeSformer

WIDTH, HEIGHT, SECONDS = 1920, 1080, 20


def encode(path: Path, fps: int) -> None:
    """Twenty seconds of 1080p H.264 with B-frames: a bright bar that wanders over noise."""
    ground = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    ground = ground.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(fps), options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(SECONDS * fps):
            frame = np.roll(ground, 4 * i, axis=1)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())


def repeat(source: Path, target: Path, times: int) -> None:
    """The same packets again and again with later time stamps: long videos at no cost."""
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        length = given.streams.video[0].duration
        for round_ in range(times):
            given.seek(0)
            for packet in given.demux(video=0):
                if packet.dts is not None:
                    packet.pts += round_ * length
                    packet.dts += round_ * length
                    packet.stream = stream
                    out.mux(packet)


def random_model(width: int, folder: Path) -> Path:
    """The weights file of a model that nobody has trained."""
    shape = TimeSformerConfig(width=width, heads=max(width // 64, 1))
    labels = tuple(map(str, range(shape.classes)))
    classifier = Classifier(TimeSformer(shape), ClipConfig(), labels)
    return vidattn.save(classifier, folder / "random.safetensors")


@dataclass(frozen=True)
class Run:
    """What one `vidattn segment` took."""

    megabytes: float
    """The highest that the command and its decoder held together."""
    first: float
    """Seconds until the scores of a window were there."""
    seconds: float


def peak(video: Path, model: str) -> Run:
    """Watch `vidattn segment`."""
    command = [sys.executable, "-m", "vidattn", "segment", video, "-m", model, "-f", "json"]
    begin, most, first = time.monotonic(), 0, math.nan
    log, head = video.with_suffix(".vidattn.log"), math.inf
    with subprocess.Popen(
        list(map(str, command)),
        cwd=video.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            try:
                family = psutil.Process(process.pid)
                family = [family, *family.children(recursive=True)]
                most = max(most, sum(member.memory_info().rss for member in family))
            except psutil.NoSuchProcess:
                pass
            size = log.stat().st_size if log.exists() else 0
            head = min(head, size or math.inf)  # of the log, before it has a window
            if size > head and math.isnan(first):
                first = time.monotonic() - begin
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"vidattn segment {video.name}: exit code {process.returncode}")
    return Run(most / 1e6, first, time.monotonic() - begin)


def main() -> None:
    """Make the videos, run the command on each, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, nargs=2, default=(2, 60))
    parser.add_argument("--fps", type=int, default=30)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("-m", "--model", default="motion-tiny")
    which.add_argument("--width", type=int)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        piece = Path(folder, "piece.mp4")
        encode(piece, wanted.fps)
        model = wanted.model
        if wanted.width is not None:
            model = str(random_model(wanted.width, Path(folder)))
        runs = []
        for minutes in wanted.minutes:
            video = Path(folder, f"{minutes:g}min.mp4")
            repeat(piece, video, round(minutes * 60 / SECONDS))
            runs.append(peak(video, model))
            print(
                f"{minutes:>4g} min of {WIDTH}x{HEIGHT}: {runs[-1].megabytes:.0f} MB, first scores "
                f"after {runs[-1].first:.1f} s, {runs[-1].seconds:.0f} s in all"
            )
        print(f"ratio {runs[1].megabytes / runs[0].megabytes:.3f}")


if __name__ == "__main__":
    main()
