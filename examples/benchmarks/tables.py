"""Time and memory in which saved timelines become one table and time budgets.

    python examples/benchmarks/tables.py [--videos 10000] [--windows 300] [--labels 20]

Writes timelines of generated scores into a temporary folder, the same twenty under other names,
and runs `vidattn timeline FOLDER --table all.csv -f budget` on a twentieth of them and on all.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vidattn.timeline import Decoding, Timeline
from vidattn.types import Window

KINDS = 20


def document(seed: int, windows: int, labels: int) -> str:
    """A saved timeline of windows of two seconds, whose label changes every ten."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (windows, labels))
    shown = np.repeat(rng.integers(0, labels, windows // 10 + 1), 10)[:windows]
    logits[np.arange(windows), shown] += 5
    scores = np.exp(logits)
    return Timeline(
        "camera/video.mp4",
        tuple(f"label {k}" for k in range(labels)),
        tuple(Window(2 * i, 2 * i + 2) for i in range(windows)),
        scores / scores.sum(axis=1, keepdims=True),
        decoding=Decoding(),
    ).to_json()


def measure(folder: Path, out: Path) -> str:
    """Processor seconds, seconds and megabytes of the command."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    words = ["timeline", str(folder), "-q", "--table", str(out / "all.csv"), "-f", "budget"]
    command = [sys.executable, "-m", "vidattn", *words, "-o", str(out)]
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    clock = time.perf_counter() - begun
    return f"{spent:.1f} s of processor, {clock:.1f} s, at most {after.ru_maxrss / 1024:.0f} MB"


def main() -> None:
    """Print a line for a few timelines, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--windows", type=int, default=300)
    parser.add_argument("--labels", type=int, default=20)
    given = parser.parse_args()
    texts = [document(seed, given.windows, given.labels) for seed in range(KINDS)]
    with tempfile.TemporaryDirectory() as name:
        for count in (given.videos // 20, given.videos):
            folder = Path(name) / str(count)
            folder.mkdir()
            for i in range(count):
                text = texts[i % KINDS].replace("camera/video", f"camera/{i:05d}", 1)
                (folder / f"{i:05d}.vidattn.json").write_text(text, encoding="utf-8")
            rows = measure(folder, Path(name))
            size = len((Path(name) / "all.csv").read_bytes()) / 1e6
            print(f"{count} timelines: {rows}; table of {size:.1f} MB")


if __name__ == "__main__":
    main()
