"""Fig. 3 and beyond: the cost of a clip of up to 1,024 frames, counted and measured.

    python examples/paper/cost_curves.py

Counted: multiply-adds of ViT-B at 224 pixels. Measured: processor time of a forward pass of one
block 32 wide over 16 patches a frame, in turns, on one thread. The exponent says how cost grows
from 256 to 1,024 frames: 1 is in proportion, 2 with the square.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import time
from pathlib import Path

import torch
from experiment import RESULTS, half_interval
from plot import Point, draw_plot

from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.models.classifier import build_model
from vidattn.models.flops import count_macs

FRAMES = (8, 32, 96, 256, 1024)
COUNTED = {
    **{s: TimeSformerConfig(s) for s in ("space", "joint", "divided", "local-global", "axial")},
    "stam": StamConfig(),
}
MEASURED = ("space", "joint", "divided", "local-global", "axial")


Rows = list[tuple[str, int, int, float]]
"""Scheme, frames, round, seconds."""


def count() -> list[tuple[str, int, float]]:
    """Scheme, frames, T multiply-adds."""
    return [(n, f, count_macs(c, f) / 1e12) for n, c in COUNTED.items() for f in FRAMES]


@torch.inference_mode()
def measure(rounds: int, frames: tuple[int, ...]) -> Rows:
    """All schemes in turns; the first round warms up and is left out."""
    models = {
        s: build_model(TimeSformerConfig(s, 4, 8, 16, 4, 32, 1, 4, 2.0, 0.0)).eval()
        for s in MEASURED
    }
    rows = []
    for number in range(rounds + 1):
        for length in frames:
            clip = torch.randn(1, 3, length, 16, 16)
            for scheme, model in models.items():
                begin = time.process_time()
                model(clip)
                seconds = time.process_time() - begin
                rows += [(scheme, length, number, seconds)] if number else []
    return rows


def exponent(short: float, long: float, frames: tuple[int, ...]) -> float:
    """How cost grows from one length to another."""
    return math.log(long / short) / math.log(frames[1] / frames[0])


def exponents(rows: Rows, ends: tuple[int, int]) -> dict[str, list[float]]:
    """The exponent of each scheme in each round."""
    seconds = {row[:3]: row[3] for row in rows}
    rounds = sorted({row[2] for row in rows})
    return {
        s: [exponent(*(seconds[s, end, number] for end in ends), ends) for number in rounds]
        for s in MEASURED
    }


def main() -> None:
    """Write csv and svg, print the exponents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="rounds of measurements")
    parser.add_argument("--most", type=int, default=1024, help="frames of the longest clip")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of csv and svg")
    given = parser.parse_args()
    torch.set_num_threads(1)
    frames = tuple(length for length in FRAMES if length <= given.most)
    counted, measured = count(), measure(given.seeds, frames)
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "cost_curves.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("kind", "name", "frames", "round", "value"))
        writer.writerows(("T multiply-adds", n, f, "", f"{v:.4g}") for n, f, v in counted)
        writer.writerows(("seconds", n, f, r, f"{v:.4g}") for n, f, r, v in measured)
    ends = frames[-2], frames[-1]
    print("| | counted | measured |\n|---|---|---|")
    for scheme, found in exponents(measured, ends).items():
        cost = [next(v for n, f, v in counted if (n, f) == (scheme, end)) for end in ends]
        mean, spread = statistics.mean(found), half_interval(found)
        print(f"| {scheme} | {exponent(*cost, ends):.2f} | {mean:.2f} +- {spread:.2f} |")
    points: list[Point] = [("ViT-B", n, f, v, math.nan) for n, f, v in counted]
    svg = draw_plot(__doc__.splitlines()[0], points, "frames", "T multiply-adds")
    (given.out / "cost_curves.svg").write_text(svg)


if __name__ == "__main__":
    main()
