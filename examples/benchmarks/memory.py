"""Does memory grow with the length of a film? Segments 2 and 60 minutes of 1080p and compares.

    python examples/benchmarks/memory.py
    python examples/benchmarks/memory.py --minutes 5 120 --fps 5    # fewer frames, as many windows

Prints the highest resident memory of the command and its decoder together, and the ratio. Needs
psutil (in the `dev` extra).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil

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
    """The same packets again and again with later time stamps: long films at no cost."""
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


def peak(film: Path) -> tuple[float, float]:
    """Highest memory in MB and the seconds that `vidattn segment` takes."""
    command = [sys.executable, "-m", "vidattn", "segment", film, "-m", "motion-tiny", "-f", "json"]
    begin, most = time.monotonic(), 0
    with subprocess.Popen(
        list(map(str, command)),
        cwd=film.parent,
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
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"vidattn segment {film.name}: exit code {process.returncode}")
    return most / 1e6, time.monotonic() - begin


def main() -> None:
    """Make the films, run the command on each, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, nargs=2, default=(2, 60))
    parser.add_argument("--fps", type=int, default=30)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        piece = Path(folder, "piece.mp4")
        encode(piece, wanted.fps)
        found = {}
        for minutes in wanted.minutes:
            film = Path(folder, f"{minutes}min.mp4")
            repeat(piece, film, minutes * 60 // SECONDS)
            found[minutes], seconds = peak(film)
            print(f"{minutes:>3} min of {WIDTH}x{HEIGHT}: {found[minutes]:.0f} MB, {seconds:.0f} s")
        short, long = wanted.minutes
        print(f"ratio {found[long] / found[short]:.3f}")


if __name__ == "__main__":
    main()
