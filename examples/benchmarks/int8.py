"""8-bit integers beside float32 on whole films: same best labels, how far scores are off, how long.

    python examples/benchmarks/int8.py FILM... [-m MODEL] [--overlap 0.5] [--minutes 10]

Both run as `vidattn segment` does, one after the other for every film. Seconds are those of the
model alone; the comparison that int8 makes before it begins is not in them.
"""

import argparse
from pathlib import Path

import numpy as np

import vidattn


def main() -> None:
    """Segment every film twice, print a line for each and one for all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("-m", "--model", default="motion-tiny")
    parser.add_argument("--overlap", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=10, help="of each film, at most")
    wanted = parser.parse_args()
    classifier = vidattn.load(wanted.model)
    same, apart, sure = [], [], []
    for path in wanted.films:
        with vidattn.open_video(path) as video:
            end = min(60 * wanted.minutes, video.duration)
        exact, fast = (
            vidattn.segment(
                path,
                classifier,
                overlap=wanted.overlap,
                end=end,
                runtime=vidattn.Runtime("cpu", precision),
            )
            for precision in ("fp32", "int8")
        )
        alike = exact.scores.argmax(1) == fast.scores.argmax(1)
        off = np.abs(exact.scores - fast.scores).max(1)
        print(
            f"{path.name}: {len(alike)} windows, same best label in {100 * alike.mean():.2f} %, "
            f"scores differ by {off.max():.4f} at most, {off.mean():.4f} on average; model "
            f"{exact.run['model_s']:.1f} s and {fast.run['model_s']:.1f} s"
        )
        same.append(alike)
        apart.append(off)
        sure.append(exact.scores.max(1))
    alike, off, best = map(np.concatenate, (same, apart, sure))
    line = f"all: {len(alike)} windows, same best label in {100 * alike.mean():.2f} %"
    if not alike.all():
        line += f"; where not, float32 gave its label {best[~alike].max():.3f} at most"
    print(f"{line}; scores differ by {off.max():.4f} at most")


if __name__ == "__main__":
    main()
