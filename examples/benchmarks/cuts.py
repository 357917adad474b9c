"""Shot cuts: how many are found, how many are none, and how fast, beside ffmpeg's scene filter.

    python examples/benchmarks/cuts.py FOLDER [--shots 60] [--seed 0]

Joins pieces of 1 to 4 s of the videos below FOLDER, never two of one file in a row, to a video of
640x360 whose cuts are known, and looks for them as `segment --snap-to-cuts` does. A cut counts as
found within one frame. Videos that have cuts in them make some answers look wrong that are right:
name a folder of single shots. ffmpeg runs on the same video, with decoding, at three thresholds.
"""

import argparse
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from vidattn import open_video
from vidattn.errors import VideoError
from vidattn.inference.shot_detection import measure_changes
from vidattn.timeline.shot_cuts import find_cuts
from vidattn.types import Window

FPS, SIZE = 25, (640, 360)
KINDS = {".mp4", ".mkv", ".webm", ".avi", ".mov"}


def pieces(folder: Path, shots: int, seed: int) -> list[np.ndarray]:
    """Shots uint8 [T, 360, 640, 3], each from another file than the one before."""
    rng = np.random.default_rng(seed)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in KINDS)
    if len(files) < 2:
        raise SystemExit(f"{folder}: fewer than two videos")
    made: list[np.ndarray] = []
    last = None
    while len(made) < shots:
        path = files[int(rng.integers(len(files)))]
        if path == last:
            continue
        try:
            with open_video(path, short_side=360) as video:
                span = min(float(rng.uniform(1, 4)), video.duration)
                start = float(rng.uniform(0, video.duration - span))
                times = start + np.arange(int(span * FPS)) / FPS
                frames = video.read((np.searchsorted(video.times, times, "right") - 1).clip(0))
        except VideoError:
            files.remove(path)
            continue
        last = path
        if len(frames) > FPS // 2:
            made.append(np.stack([cv2.resize(frame, SIZE) for frame in frames]))
    return made


def joined(shots: Sequence[np.ndarray], path: Path) -> tuple[float, ...]:
    """Write the video; the times of its cuts."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", Fraction(FPS), options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for frame in (frame for shot in shots for frame in shot):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    return tuple((np.cumsum([len(shot) for shot in shots])[:-1] / FPS).tolist())


def ours(path: Path) -> tuple[float, ...]:
    """As the command finds them."""
    rows = list(measure_changes(path, Window(0.0, 1e9)))
    return find_cuts([row.difference for row in rows], [row.time for row in rows])


def theirs(path: Path, threshold: float) -> tuple[float, ...]:
    """Frames whose scene score is above a threshold."""
    command = ["ffmpeg", "-i", str(path), "-an", "-f", "null", "-"]
    command[3:3] = ["-vf", f"select='gt(scene,{threshold})',showinfo"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return tuple(float(time) for time in re.findall(r"pts_time:\s*([\d.]+)", said))


def hits(answers: Sequence[float], true: Sequence[float]) -> int:
    """How many true cuts have an answer within one frame of them, each answer used once."""
    left, count = list(answers), 0
    for cut in true:
        near = [one for one in left if abs(one - cut) < 1.5 / FPS]
        if near:
            left.remove(min(near, key=lambda one: abs(one - cut)))
            count += 1
    return count


def processor() -> float:
    """Seconds of processor time so far, with ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    """Make the video, look for its cuts in every way, print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shots", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    shots = pieces(wanted.folder, wanted.shots, wanted.seed)
    ways: dict[str, Callable[[Path], tuple[float, ...]]] = {"vidattn": ours}
    if shutil.which("ffmpeg"):
        for level in (0.1, 0.2, 0.3):
            ways[f"ffmpeg, scene > {level}"] = lambda path, level=level: theirs(path, level)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "video.mp4")
        true = joined(shots, video)
        seconds = sum(map(len, shots)) / FPS
        print(f"{len(shots)} shots, {len(true)} cuts, {seconds:.0f} s of {SIZE[0]}x{SIZE[1]}")
        for name, find in ways.items():
            begin, before = time.perf_counter(), processor()
            answers = find(video)
            clock, used = time.perf_counter() - begin, processor() - before
            good = hits(answers, true)
            print(
                f"  {name:20} found {good} of {len(true)}, {len(answers) - good} more; "
                f"F1 {200 * good / max(len(true) + len(answers), 1):.1f}; "
                f"{used:.2f} s of processor time, {clock:.2f} s ({seconds / clock:.0f}x real time)"
            )


if __name__ == "__main__":
    main()
