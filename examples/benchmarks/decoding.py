"""Decoding every 32nd frame, small: vidattn's reader beside the ffmpeg command line.

    python examples/benchmarks/decoding.py

Makes a video in H.264 (with B-frames), HEVC, VP9 and AV1, lets both deliver the same frames with a
short side of 224 pixels, in turns, and prints medians: seconds of processor time (all processes and
threads) and seconds on the clock, both with starting and opening. On a busy machine trust the
former. Where PyAV lacks an encoder, the row says so.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vidattn import open_video

FPS, PIECE, STEP, SHORT = 30, 5, 32, 224
ENCODERS = {
    "H.264": ("libx264", "mp4", {"preset": "veryfast", "bf": "3", "g": "150"}),
    "HEVC": ("libx265", "mp4", {"preset": "veryfast", "x265-params": "log-level=none:bframes=4"}),
    "VP9": ("libvpx-vp9", "webm", {"deadline": "realtime", "cpu-used": "8", "b": "2M"}),
    "AV1": ("libsvtav1", "mp4", {"preset": "12", "crf": "40"}),
}


def encode(path: Path, encoder: str, options: dict[str, str], width: int, height: int) -> None:
    """A few seconds of a textured ground that wanders, with a box that moves against it."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    ground = ground.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(encoder, rate=Fraction(FPS), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(PIECE * FPS):
            frame = np.roll(ground, (i, 3 * i), axis=(0, 1))
            frame[100:200, 8 * i % (width - 100) :][:, :100] = i
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())


def repeat(source: Path, target: Path, times: int) -> None:
    """The same packets again and again: a long video at no cost."""
    command = ["ffmpeg", "-v", "error", "-stream_loop", str(times - 1), "-i", str(source)]
    subprocess.run([*command, "-c", "copy", str(target)], check=True)


def ours(path: Path) -> int:
    """How many frames vidattn's reader delivers."""
    with open_video(path, short_side=SHORT) as video:
        return sum(1 for _ in video.stream(range(0, video.frames, STEP)))


def theirs(path: Path) -> int:
    """How many frames ffmpeg delivers, through a pipe like ours."""
    chosen = f"select='not(mod(n\\,{STEP}))',scale=-2:{SHORT}"
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", chosen, "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    with av.open(str(path)) as given:
        stream = given.streams.video[0]
        width = round(stream.width * SHORT / stream.height / 2) * 2
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return len(out) // (3 * width * SHORT)


def seconds(read: Callable[[Path], int], path: Path) -> tuple[float, float, int]:
    """Processor seconds, seconds on the clock, and the number of frames."""
    begin, before = time.perf_counter(), processor()
    count = read(path)
    return processor() - before, time.perf_counter() - begin, count


def processor() -> float:
    """Seconds of processor time so far, with ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    """Make the videos, read them in turns, print a line for each codec."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=ENCODERS)
    wanted = parser.parse_args()
    width, height = map(int, wanted.size.split("x"))
    if shutil.which("ffmpeg") is None:
        raise SystemExit("there is no ffmpeg to compare with")
    print(f"every {STEP}nd frame of {wanted.seconds} s of {wanted.size} at {FPS} fps")
    for name, (encoder, container, options) in ENCODERS.items():
        if wanted.only not in (None, name):
            continue
        if encoder not in av.codecs_available:
            print(f"{name:6} not measured: PyAV has no {encoder} here")
            continue
        with tempfile.TemporaryDirectory() as folder:
            piece, video = Path(folder, f"piece.{container}"), Path(folder, f"video.{container}")
            encode(piece, encoder, options, width, height)
            repeat(piece, video, wanted.seconds // PIECE)
            rows = {ours: [], theirs: []}
            for _ in range(wanted.rounds):
                for read, found in rows.items():
                    found.append(seconds(read, video))
        cpu, clock, frames = (
            [statistics.median(row[k] for row in rows[read]) for read in (ours, theirs)]
            for k in range(3)
        )
        print(
            f"{name:6} processor {cpu[0]:.2f} s and {cpu[1]:.2f} s, ratio {cpu[0] / cpu[1]:.2f}; "
            f"clock {clock[0]:.2f} s and {clock[1]:.2f} s, ratio {clock[0] / clock[1]:.2f}; "
            f"frames {frames[0]:.0f} and {frames[1]:.0f}"
        )


if __name__ == "__main__":
    main()
