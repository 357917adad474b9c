"""Is attention worth it here? Every family of models at one small width, on the same clips.

    python examples/benchmarks/architectures.py compare MEDIA OUT [SET]...
    python examples/benchmarks/architectures.py table OUT
    python examples/benchmarks/architectures.py speed [--size 112] [--rounds 3]

MEDIA has the folders of `footage.py`, each with labels.csv (file, label, group); the set `motion`
is generated. `compare` decodes every clip once and trains all nets with three seeds in one process,
set after set, in turns: all to 10 s of processor time, all to 20 s, and so on, so that it can be
stopped at any time; everything takes 76 minutes. Every amount adds rows to OUT/architectures.csv,
and `table` prints the largest that all nets have reached.

Equal compute is equal processor time of training steps: their number follows from the time of a
step of each net, measured in turns before. All nets start from random values and take the same
clips, 16 at a time, at the same rate; what is judged is the running mean of their weights. Seed i
holds back fold i of `training.py`, in whole groups. `speed` runs the published shapes beside those
of pytorchvideo, where that is installed, and TSM beside the plain ResNet-50 of timm.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from footage import FOLDERS, Footage, cached_set, crop, normalize
from numpy.typing import NDArray
from torch import Tensor, nn
from training import FOLDS

from vidattn.config import ModelConfig, Recipe, recipes
from vidattn.config.serialization import apply_settings
from vidattn.evaluation.label_metrics import bootstrap
from vidattn.models.classifier import VARIANTS, build_model
from vidattn.models.flops import count_macs
from vidattn.models.init_scratch import init_from_scratch
from vidattn.training.optim import WeightAverage, build_optimizer, set_lr

NETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "TimeSformer divided": ("small", ()),
    "TimeSformer joint": ("small", ('model.attention="joint"',)),
    "TimeSformer space": ("small", ('model.attention="space"',)),
    "STAM": ("small-stam", ()),
    "I3D": ("small-i3d", ()),
    "SlowFast": ("small-slowfast", ()),
    "X3D": ("small-x3d", ()),
    "TSM": ("small-tsm", ()),
}
"""The recipe of each, and what differs from it."""
BUDGETS = (10.0, 20.0, 40.0, 80.0)
MOST_SECONDS = {"gestures": 40.0, "motion": 40.0, "exercises": 20.0, "fights": 10.0}
"""Where less is enough, or all that there is time for."""
BATCH, RATE, WARMUP, DECAY = 16, 1e-3, 84, 0.98
FIELDS = ("set", "net", "seed", "seconds", "steps", "group", "right", "total")
Row = dict[str, str]


def small_recipe(net: str) -> Recipe:
    """The recipe of a net."""
    name, settings = NETS[net]
    return apply_settings(recipes.find_recipe(name), list(settings))


def small_shape(net: str, classes: int = 10) -> ModelConfig:
    """The shape that is trained."""
    return replace(small_recipe(net).model, classes=classes)


class Training:
    """A net on its way, on one set with one seed."""

    def __init__(self, net: str, footage: Footage, seed: int) -> None:
        self.footage, self.steps = footage, 0
        self.learned, self.held = footage.halves(seed)
        torch.manual_seed(seed)
        self.model = build_model(small_shape(net, int(footage.labels.max()) + 1))
        init_from_scratch(self.model, torch.Generator().manual_seed(seed))
        self.optimizer = build_optimizer([self.model], small_recipe(net).optim)
        self.mean = WeightAverage(self.model, DECAY)
        self.batches = draw_batches(footage, self.learned, seed)

    def advance(self, steps: int) -> None:
        """Train up to so many steps."""
        self.model.train()
        torch.manual_seed(self.steps)  # of dropout
        while self.steps < steps:
            set_lr(self.optimizer, RATE * min(1.0, (self.steps + 1) / WARMUP))
            train_step(self.model, self.optimizer, *next(self.batches))
            self.mean.update()
            self.steps += 1

    @torch.inference_mode()
    def judge(self) -> dict[str, tuple[int, int]]:
        """Right answers and videos of each group that is held back."""
        footage, logits = self.footage, []
        for part in np.array_split(self.held, -(-len(self.held) // 64)):
            clips = crop(footage.frames[part], 48)
            phases = clips.shape[1] // 8
            found = [self.mean.model(normalize(clips[:, i::phases])) for i in range(phases)]
            logits.append(torch.stack(found).mean(0))
        videos, place = np.unique(footage.videos[self.held], return_inverse=True)
        sums = torch.zeros(len(videos), logits[0].shape[1])
        sums.index_add_(0, torch.from_numpy(place), torch.cat(logits))
        right = sums.argmax(1).numpy() == footage.labels[videos]
        groups = footage.groups[videos]
        return {
            g: (int(right[groups == g].sum()), int((groups == g).sum())) for g in np.unique(groups)
        }


def draw_batches(
    footage: Footage, learned: NDArray[np.int64], seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Clips and labels without end: every video once in each round, the same for all nets."""
    rng = np.random.default_rng(seed)
    own, videos = footage.videos[learned], np.unique(footage.videos[learned])
    of_video = {video: learned[own == video] for video in videos}
    waiting: list[int] = []
    while True:
        while len(waiting) < BATCH:
            waiting += [int(rng.choice(of_video[v])) for v in rng.permutation(videos)]
        chosen, waiting = waiting[:BATCH], waiting[BATCH:]
        total, side = footage.frames.shape[1:3]
        phases, room = total // 8, side - 48 + 1
        clips = []
        for number in chosen:
            picked = np.arange(0, total, phases) + rng.integers(phases, size=8)
            frames = footage.frames[number][picked]
            clips.append(crop(frames, 48, *(int(n) for n in rng.integers(room, size=2))))
        labels = torch.from_numpy(footage.labels[footage.videos[chosen]])
        yield normalize(torch.stack(clips)), labels


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, clips: Tensor, labels: Tensor
) -> None:
    """One step, clipped as in the recipe."""
    F.cross_entropy(model(clips), labels).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def step_seconds(rounds: int = 7) -> dict[str, float]:
    """Median processor time of a training step of each net, in turns."""
    models = {net: build_model(small_shape(net)).train() for net in NETS}
    optimizers = {n: build_optimizer([m], small_recipe(n).optim) for n, m in models.items()}
    frames = torch.randint(0, 256, (BATCH, 8, 48, 48, 3), dtype=torch.uint8)
    clips, labels = normalize(frames), torch.arange(BATCH) % 10
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds + 1):
        for net, model in models.items():
            begin = time.process_time()
            train_step(model, optimizers[net], clips, labels)
            seconds[net].append(time.process_time() - begin)
    return {net: statistics.median(times[1:]) for net, times in seconds.items()}


def known_step_seconds(out: Path) -> dict[str, float]:
    """The times by which this folder counts steps, measured once."""
    path = out / "steps.csv"
    if not path.exists():
        lines = [f"{net},{seconds:.4f}" for net, seconds in step_seconds().items()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with path.open(encoding="utf-8") as source:
        return {net: float(seconds) for net, seconds in csv.reader(source)}


def compare(media: Path, out: Path, names: list[str]) -> None:
    """Train everything, as the module says."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    seconds = known_step_seconds(out)
    path = out / "architectures.csv"
    begun = path.exists()
    with path.open("a", newline="", encoding="utf-8") as target:
        table = csv.writer(target)
        if not begun:
            table.writerow(FIELDS)
        for name in names:
            footage = cached_set(name, media, out)
            runs = {(n, s): Training(n, footage, s) for s in range(FOLDS) for n in NETS}
            for budget in BUDGETS:
                if budget > MOST_SECONDS.get(name, budget):
                    break
                for (net, seed), training in runs.items():
                    training.advance(round(budget / seconds[net]))
                    found = training.judge()
                    given = (name, net, seed, f"{budget:g}", training.steps)
                    table.writerows((*given, group, *counts) for group, counts in found.items())
                    target.flush()
                    right, total = (sum(column) for column in zip(*found.values(), strict=True))
                    line = f"{name}, {budget:g} s, seed {seed}, {net}: {right} of {total}"
                    print(line, file=sys.stderr, flush=True)
    show(out)


def show(out: Path) -> None:
    """Print the table, as Markdown: of each set the largest budget that all nets have reached."""
    rows: dict[tuple[str, float], list[Row]] = defaultdict(list)
    with (out / "architectures.csv").open(encoding="utf-8") as source:
        for row in csv.DictReader(source):
            rows[row["set"], float(row["seconds"])].append(row)
    whole = [
        key
        for key, found in rows.items()
        if len({(r["net"], r["seed"]) for r in found}) == FOLDS * len(NETS)
    ]
    columns = {name: max(s for n, s in whole if n == name) for name in dict(whole)}
    cells = {name: judge_nets(rows[name, seconds]) for name, seconds in columns.items()}
    counts = {name: count_steps(rows[name, seconds]) for name, seconds in columns.items()}
    seconds = known_step_seconds(out)
    titles = [f"{name}, {columns[name]:g} s" for name in columns]
    print("| net | parameters | G multiply-adds | step | steps | " + " | ".join(titles) + " |")
    print("|---" * (5 + len(columns)) + "|")
    for net in NETS:
        shape = small_shape(net)
        parameters = sum(p.numel() for p in build_model(shape).parameters())
        print(
            f"| {net} | {parameters / 1e6:.3f} M | {count_macs(shape) / 1e9:.4f} "
            f"| {seconds[net]:.3f} s | {max(c[net] for c in counts.values())} | "
            + " | ".join(cells[name][net] for name in columns)
            + " |"
        )


def count_steps(rows: list[Row]) -> dict[str, int]:
    """Of each net."""
    return {row["net"]: int(row["steps"]) for row in rows}


def judge_nets(rows: list[Row]) -> dict[str, str]:
    """Per cent right over all seeds with 95 % by a bootstrap over the groups, and each seed; bold
    where the difference to the best may be chance."""
    groups = sorted({row["group"] for row in rows})
    counts = np.zeros((2, len(NETS), FOLDS, len(groups)))
    for row in rows:
        place = list(NETS).index(row["net"]), int(row["seed"]), groups.index(row["group"])
        counts[(0, *place)], counts[(1, *place)] = int(row["right"]), int(row["total"])
    pooled = counts.sum(2)

    def shares(times: NDArray[np.float64]) -> NDArray[np.floating]:
        right, total = pooled @ times
        return 100 * right / total

    point = shares(np.ones(len(groups)))
    best = int(point.argmax())
    low, high = bootstrap(shares, groups)
    behind = bootstrap(lambda times: shares(times)[best] - shares(times), groups)[0]
    each = 100 * counts[0].sum(-1) / counts[1].sum(-1)
    texts = {}
    for number, net in enumerate(NETS):
        mark = "**" if behind[number] <= 0 else ""
        seeds = ", ".join(f"{value:.0f}" for value in each[number])
        interval = f"{low[number]:.0f} to {high[number]:.0f}"
        texts[net] = f"{mark}{point[number]:.1f}{mark} ({interval}; {seeds})"
    return texts


def peer_of(name: str) -> nn.Module:
    """The same net as pytorchvideo builds it; of TSM, the ResNet of timm that it shifts."""
    if name == "tsm-r50":
        import timm

        return timm.create_model("resnet50", num_classes=400)
    from pytorchvideo.models import hub

    builders = {
        "i3d-r50": hub.i3d_r50,
        "slowfast-r50-8x8": hub.slowfast_r50,
        "x3d-s": hub.x3d_s,
    }
    return builders[name](pretrained=False)


def compare_speed(size: int, rounds: int) -> None:
    """Print the time of a clip in eval mode beside pytorchvideo or timm, in turns."""
    torch.set_num_threads(1)
    print("| net | ours | theirs | ratio |\n|---|---|---|---|")
    for name in ("i3d-r50", "slowfast-r50-8x8", "x3d-s", "tsm-r50"):
        ours, other = build_model(VARIANTS[name]).eval(), peer_of(name).eval()
        frames = VARIANTS[name].frames
        side = max(size, 160) if name == "x3d-s" else size
        clip = torch.randn(1, 3, frames, side, side)
        times: dict[str, list[float]] = defaultdict(list)
        slow = torch.linspace(0, frames - 1, frames // 4).long()
        inputs = [clip[:, :, slow], clip] if name.startswith("slowfast") else clip
        inputs = clip[0].transpose(0, 1).contiguous() if name.startswith("tsm") else inputs
        for pool in other.modules():
            if isinstance(pool, nn.AvgPool3d):  # made for 224 pixels
                pool.kernel_size = (pool.kernel_size[0], -(-side // 32), -(-side // 32))
        for _ in range(rounds + 1):
            for who, model, given in (("ours", ours, clip), ("theirs", other, inputs)):
                begin = time.process_time()
                with torch.inference_mode():
                    model(given if who == "ours" or isinstance(given, torch.Tensor) else [*given])
                times[who].append(time.process_time() - begin)
        mine, his = (statistics.median(times[who][1:]) for who in ("ours", "theirs"))
        print(f"| {name} at {side} | {mine:.2f} s | {his:.2f} s | {his / mine:.2f} |", flush=True)


def main() -> None:
    """See the module."""
    action, *rest = sys.argv[1:]
    if action == "table":
        show(Path(rest[0]))
    elif action == "speed":
        given = dict(zip(rest[::2], rest[1::2], strict=True))
        compare_speed(int(given.get("--size", 112)), int(given.get("--rounds", 3)))
    else:
        compare(Path(rest[0]), Path(rest[1]), rest[2:] or [*FOLDERS, "motion"])


if __name__ == "__main__":
    main()
