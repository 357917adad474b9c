"""How cost grows with frames, size and batch, on paper and measured: divided attention, ViT-B wide.

    python examples/benchmarks/scaling.py                         # bf16 where the processor has it
    python examples/benchmarks/scaling.py --precision fp32 --frames 8 32 --sizes 224 --batches 1 2

Each line is a process of its own: the multiply-adds of a batch, its seconds (least of --rounds; of
the processor where one thread works) and the memory it takes beyond model and clips, also as
multiples of one clip of 8 frames at 224 pixels.
--blocks 2, the default, shows in a sixth of the time what 12 do: blocks run one after the other,
all but the last alike, and memory does not grow with them. Memory is that of Linux.
"""

import argparse
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from vidattn.config import TimeSformerConfig
from vidattn.models.flops import count_macs
from vidattn.models.fused import fuse, has_bf16_instructions
from vidattn.models.timesformer import TimeSformer


@dataclass(frozen=True)
class Case:
    """A batch of clips, and how it is run."""

    frames: int
    size: int
    batch: int
    blocks: int
    precision: str
    threads: int
    rounds: int


@dataclass(frozen=True)
class Cost:
    """Of a batch: on paper, and measured."""

    macs: float
    seconds: float
    memory_mb: float


def measure(case: Case) -> Cost:
    """Run a case in this process, which has run nothing before."""
    torch.set_num_threads(case.threads)
    config = TimeSformerConfig(frames=case.frames, size=case.size, depth=case.blocks)
    dtype = torch.bfloat16 if case.precision == "bf16" else torch.float32
    model = fuse(TimeSformer(config).eval(), dtype)
    clips = torch.randn(case.batch, 3, case.frames, case.size, case.size)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, taken = resident("VmRSS"), []
    clock = time.process_time if case.threads == 1 else time.perf_counter
    with torch.inference_mode():
        for _ in range(case.rounds):
            begin = clock()
            model(clips)
            taken.append(clock() - begin)
    return Cost(case.batch * count_macs(config), min(taken), resident("VmHWM") - before)


def resident(key: str) -> float:
    """A figure of this process in MB."""
    rows = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(rows[key].split()[0]) * 1.024e-3


def main() -> None:
    """Measure every case in a process, print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 1024])
    parser.add_argument("--sizes", type=int, nargs="+", default=[112, 224, 448])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        default="bf16" if has_bf16_instructions() else "fp32",
    )
    wanted = parser.parse_args()
    shapes = [(8, 224, 1)]
    shapes += [(frames, 224, 1) for frames in wanted.frames]
    shapes += [(8, size, 1) for size in wanted.sizes]
    shapes += [(8, 224, batch) for batch in wanted.batches]
    print(f"width 768, {wanted.blocks} blocks, {wanted.precision}, {wanted.threads} threads")
    print(f"{'frames':>6}{'size':>6}{'batch':>6}{'multiply-adds':>22}{'seconds':>18}{'memory':>16}")
    first = None
    for frames, size, batch in dict.fromkeys(shapes):
        how = wanted.blocks, wanted.precision, wanted.threads, wanted.rounds
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            cost = pool.apply(measure, [Case(frames, size, batch, *how)])
        first = first or cost
        ratios = [
            cost.macs / first.macs,
            cost.seconds / first.seconds,
            cost.memory_mb / first.memory_mb,
        ]
        print(
            f"{frames:>6}{size:>6}{batch:>6}{cost.macs / 1e9:>12.1f} G{ratios[0]:>7.1f}x"
            f"{cost.seconds:>10.2f}{ratios[1]:>7.1f}x{cost.memory_mb:>9.0f} MB{ratios[2]:>6.1f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
