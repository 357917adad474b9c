"""Where the time of a model goes, part by part, beside the speed of large matrix products here.

    python examples/benchmarks/ceiling.py                                  # ViT-B divided, fp32
    python examples/benchmarks/ceiling.py --precisions fp32 int8 --threads 1 2
    python examples/benchmarks/ceiling.py --width 192 --depth 4 --rounds 5

The model runs as the commands run it, with random weights. For each part: its share of the time,
its multiply-adds, how many of them it does in a second, and that as a share of the ceiling: the
product of two square matrices of 2048 in the same precision, timed between the rounds. What has no
multiply-adds worth counting (norms, GELU, moving tokens about) shows only its share.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator

import torch
from peers import random_model
from torch import Tensor, nn

import vidattn
from vidattn.config import ClipConfig
from vidattn.evaluation.benchmark import SIDE
from vidattn.inference.scorer import Scorer
from vidattn.models.classifier import Classifier
from vidattn.models.fused import SPACE, FusedStep, can_pack
from vidattn.models.fused_layers import FrozenLinear, OneQuery
from vidattn.models.int8 import Int8Linear, calibrate

LINEAR = (nn.Linear, FrozenLinear, Int8Linear)
PARTS = ("qkv", "projection", "MLP", "attention", "norms", "patches, head", "rest")


def now() -> float:
    """Seconds; of the processor where one thread works, which other programs disturb less."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


class Stopwatch:
    """Seconds and multiply-adds of every part of a model, from hooks around its modules."""

    def __init__(self, model: nn.Module) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.macs: dict[str, int] = defaultdict(int)
        self._begun: list[tuple[float, float]] = []
        self._inside = [0.0]
        for name, module in model.named_modules():
            if part := part_of(name, module):
                module.register_forward_pre_hook(self._start)
                module.register_forward_hook(
                    lambda m, given, out, part=part: self._stop(part, m, given[0], out)
                )

    def _start(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        self._begun.append((now(), 0.0))

    def _stop(self, part: str, module: nn.Module, given: Tensor, out: Tensor) -> None:
        begin, inside = self._begun.pop()
        taken = now() - begin
        self.seconds[part] += taken - inside
        if self._begun:
            outer, before = self._begun[-1]
            self._begun[-1] = outer, before + taken
        self.macs[part] += multiply_adds(module, given, out)


def part_of(name: str, module: nn.Module) -> str | None:
    """The part that a module is timed as."""
    if isinstance(module, FusedStep | OneQuery):
        return "attention"
    if isinstance(module, nn.LayerNorm):
        return "norms"
    if name.endswith(("patch.linear", "head")):
        return "patches, head"
    if not isinstance(module, LINEAR):
        return None
    if name.endswith("proj"):
        return "projection"
    return "qkv" if name.endswith((".qkv", ".q")) else "MLP"


def multiply_adds(module: nn.Module, given: Tensor, out: Tensor) -> int:
    """Of one call, without those of the modules inside."""
    if isinstance(module, FusedStep):
        frames, _, tokens, _ = given.shape
        return 2 * given.numel() * (tokens if module.spec == SPACE else frames)
    if isinstance(module, OneQuery):
        return 2 * given.numel() * len(module.k)
    return out.numel() * given.shape[-1] if isinstance(module, LINEAR) else 0


def products(precision: str) -> Iterator[float]:
    """Multiply-adds in a second of large square matrices, measured anew at every step."""
    linear = nn.Linear(SIDE, SIDE)
    kernel: nn.Module = Int8Linear(linear) if precision == "int8" else linear
    if precision == "bf16" or (can_pack() and torch.backends.cpu.get_cpu_capability() != "AVX2"):
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        kernel = kernel if precision == "int8" else FrozenLinear(linear, dtype, can_pack())
    x = torch.randn(SIDE, SIDE)
    if precision == "int8":
        kernel = calibrate(kernel, lambda layer: layer(x))
    while True:
        with torch.inference_mode():
            begin = now()
            kernel(x)
        yield SIDE**3 / (now() - begin)


def measured(model: nn.Module, precision: str, rounds: int) -> None:
    """Run the model and the products in turns and print a line for each part."""
    labels = tuple(map(str, range(model.config.classes)))
    scorer = Scorer(Classifier(model, ClipConfig(), labels), vidattn.Runtime("cpu", precision))
    clip = torch.randn(3, 8, 224, 224)
    if precision == "int8":
        scorer, _ = scorer.calibrated([clip])
    scorer([clip])
    peaks, speed, totals, watches = [], products(precision), [], []
    next(speed)
    watch = Stopwatch(scorer.model)
    for _ in range(rounds):
        peaks.append(next(speed))
        watch.seconds, watch.macs = defaultdict(float), defaultdict(int)
        begin = now()
        scorer([clip])
        totals.append(now() - begin)
        watch.seconds["rest"] = totals[-1] - sum(watch.seconds.values())
        watches.append(watch.seconds)
    total, peak = statistics.median(totals), statistics.median(peaks)
    counted = sum(watch.macs.values())
    print(
        f"{precision}, {torch.get_num_threads()} threads: {total:.3f} s a clip, "
        f"{counted / 1e9:.1f} G multiply-adds, {counted / total / 1e9:.1f} G/s; "
        f"ceiling {peak / 1e9:.1f} G/s, reached {100 * counted / total / peak:.0f} %"
    )
    for part in PARTS:
        taken = statistics.median(seconds[part] for seconds in watches)
        line = f"  {part:<14}{100 * taken / total:>6.1f} %"
        if macs := watch.macs[part]:
            line += f"{macs / 1e9:>8.1f} G{macs / taken / 1e9:>8.1f} G/s"
            line += f"{100 * macs / taken / peak:>6.0f} % of ceiling"
        print(line)


def main() -> None:
    """Measure a model in every precision and number of threads asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--precisions", nargs="+", default=["fp32"])
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    wanted = parser.parse_args()
    print(f"divided, 8 x 224, width {wanted.width}, depth {wanted.depth}, random weights")
    for threads in wanted.threads:
        torch.set_num_threads(threads)
        for precision in wanted.precisions:
            measured(random_model(wanted.width, wanted.depth), precision, wanted.rounds)


if __name__ == "__main__":
    main()
