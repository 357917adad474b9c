"""Fig. 3 and beyond: the cost of a clip of up to 1,024 frames, counted and measured.

    python examples/paper/cost_curves.py

Counted: multiply-adds of ViT-B at 224 pixels, and the power of the number of frames with which
they grow at the end (1: in proportion, 2: with the square). Measured: processor time of a forward
pass of one block, 32 wide, over 16 patches a frame, all schemes in turns, on one thread. So narrow
a block has little to do but attend, which is why its cost grows faster than that of ViT-B.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from experiment import RESULTS, half_interval, positive
from plot import Point, draw_plot

from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.io.files import replacing_file
from vidattn.models.classifier import build_model
from vidattn.models.flops import count_macs

FRAMES = (8, 32, 96, 256, 1024)
SCHEMES = ("space", "joint", "divided", "local-global", "axial")
COUNTED = {**{scheme: TimeSformerConfig(scheme) for scheme in SCHEMES}, "stam": StamConfig()}
BLOCKS = {s: TimeSformerConfig(s, 4, 8, 16, 4, 32, 1, 4, 2.0, 0.0) for s in SCHEMES}
Cost = tuple[str, str, int, int, float]
"""What is counted or measured, the scheme, frames, round, cost."""
COLUMNS = ("kind", "name", "frames", "round", "cost")


def count() -> list[Cost]:
    """T multiply-adds of ViT-B, and M of the block that is measured."""
    base = [
        ("T multiply-adds", name, frames, 0, count_macs(config, frames) / 1e12)
        for name, config in COUNTED.items()
        for frames in FRAMES
    ]
    return base + [
        ("M multiply-adds", name, frames, 0, count_macs(config, frames) / 1e6)
        for name, config in BLOCKS.items()
        for frames in FRAMES
    ]


@torch.inference_mode()
def measure(rounds: int, lengths: Sequence[int]) -> list[Cost]:
    """Seconds of all schemes in turns; the first round warms up and is left out."""
    models = {name: build_model(config).eval() for name, config in BLOCKS.items()}
    found: list[Cost] = []
    for number in range(rounds + 1):
        for frames in lengths:
            clip = torch.randn(1, 3, frames, 16, 16)
            for name, model in models.items():
                begin = time.process_time()
                model(clip)
                found.append(("seconds", name, frames, number, time.process_time() - begin))
    return [row for row in found if row[3]]


def table(rows: Sequence[Cost]) -> str:
    """Powers between the two longest clips that were measured, and seconds, as Markdown."""
    *_, short, long = sorted({row[2] for row in rows if row[0] == "seconds"})
    cost = {row[:3]: row[4] for row in rows}

    def power(kind: str, name: str) -> str:
        growth = cost[kind, name, long] / cost[kind, name, short]
        return f"{math.log(growth) / math.log(long / short):.2f}"

    lines = [
        f"| {short:,} to {long:,} frames | ViT-B, counted | the block, counted | "
        f"ms of {short:,} frames | ms of {long:,} frames |",
        "|---" * 5 + "|",
    ]
    for name in SCHEMES:
        cells = [power("T multiply-adds", name), power("M multiply-adds", name)]
        for end in (short, long):
            times = [1000 * row[4] for row in rows if row[:3] == ("seconds", name, end)]
            cells.append(f"{statistics.mean(times):.0f} +- {half_interval(times):.0f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Write csv and svg, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=positive, default=3, help="rounds of measurements")
    parser.add_argument("--most", type=positive, default=1024, help="frames of the longest clip")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of csv and svg")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [*count(), *measure(given.seeds, [n for n in FRAMES if n <= given.most])]
    path = given.out / "cost_curves.csv"
    with replacing_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*row[:4], f"{row[4]:.4g}") for row in rows)
    print(table(rows))
    points: list[Point] = [
        ("ViT-B", name, frames, cost, math.nan)
        for kind, name, frames, _, cost in rows
        if kind == "T multiply-adds"
    ]
    svg = draw_plot("cost curves", points, "frames", "T multiply-adds")
    (given.out / "cost_curves.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
