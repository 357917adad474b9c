"""Is attention worth it here? Every family of models at one small width, on the same clips.

    python examples/benchmarks/architectures.py train SET FOLDER OUT [NET]...
    python examples/benchmarks/architectures.py table OUT
    python examples/benchmarks/architectures.py speed [--size 112] [--rounds 3]

SET is one of `training.py`, whose folds, seeds and settings these runs share, or `motion`, which
needs no FOLDER (give -). All nets start from random values, take the same clips in the same order
for as many steps, and have about 0.25 M parameters. `table` adds the parameters, the multiply-adds
of a clip and the time of a training step, measured in turns in one process. `speed` runs the
published shapes beside those of pytorchvideo, where that is installed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import torch
from torch import nn
from training import FOLDS, SETTINGS, last_score, write_table

from vidattn.config import ModelConfig, recipes
from vidattn.config.serialization import apply_settings
from vidattn.models.classifier import VARIANTS, build_model
from vidattn.models.flops import count_macs

NETS: dict[str, tuple[str, ...]] = {
    "divided": ("-m", "small", "--init", "none"),
    "joint": ("-m", "small", "--init", "none", "--attention", "joint"),
    "space": ("-m", "small", "--init", "none", "--attention", "space"),
    "stam": ("-m", "small-stam"),
    "i3d": ("-m", "small-i3d", "--init", "none"),
    "slowfast": ("-m", "small-slowfast", "--init", "none"),
    "x3d": ("-m", "small-x3d", "--init", "none"),
    "tsm": ("-m", "small-tsm", "--init", "none"),
}
"""The options of `vidattn train` for each."""
MOTION = (
    *("data.clips_per_epoch=960", "data.val_clips=500", "optim.epochs=16", "optim.lr=1e-3"),
    "optim.warmup_epochs=1.5",
)
CHANCE = {"shapes": 33.3, "motion": 10.0, "gestures": 7.7, "exercises": 33.3}
STEP_BATCH = 16


def run(dataset: str, net: str, fold: int, out: Path) -> None:
    """One training, unless it is done."""
    run_dir = out / f"{dataset}-{net}-{fold}"
    if (run_dir / "done").exists():
        return
    motion = dataset == "motion"
    given = (f"seed={fold}", "data.workers=0", *(MOTION if motion else SETTINGS[dataset]))
    data = dataset if motion else str(out / f"{dataset}-{fold}.csv")
    command = [
        *(sys.executable, "-m", "vidattn", "train", "-q", *NETS[net]),
        *("--dataset", data, "--run-dir", str(run_dir)),
        *(word for setting in given for word in ("--set", setting)),
    ]
    if (run_dir / "recipe.json").exists():
        command = [*command[:5], "--run-dir", str(run_dir), "--resume"]
    print(" ".join(command), flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    (run_dir / "done").touch()


def small_shape(net: str) -> ModelConfig:
    """The shape that is trained."""
    options = NETS[net]
    recipe = recipes.find_recipe(options[1])
    scheme = f'model.attention="{options[-1]}"' if "--attention" in options else None
    return apply_settings(recipe, [scheme] if scheme else []).model


def step_seconds(rounds: int = 5) -> dict[str, float]:
    """Median processor time of a forward and a backward pass of each net, in turns."""
    torch.set_num_threads(1)
    models = {net: build_model(small_shape(net)).train() for net in NETS}
    clips = torch.randn(STEP_BATCH, 3, 8, 48, 48)
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds + 1):
        for net, model in models.items():
            begin = time.process_time()
            model(clips).logsumexp(-1).sum().backward()
            seconds[net].append(time.process_time() - begin)
    return {net: statistics.median(times[1:]) for net, times in seconds.items()}


def show(out: Path) -> None:
    """Print the table of all runs that are done, as Markdown."""
    scores: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for done in sorted(out.glob("*-*/done")):
        dataset, net, fold = done.parent.name.split("-")
        scores[net][dataset][int(fold)] = 100 * last_score(done.parent)
    sets = sorted({dataset for found in scores.values() for dataset in found})
    seconds = step_seconds()
    titles = [f"{name} (chance {CHANCE[name]:g})" for name in sets]
    print("| net | parameters | G multiply-adds | step | " + " | ".join(titles) + " |")
    print("|---" * (4 + len(sets)) + "|")
    for net in NETS:
        shape = small_shape(net)
        count = sum(p.numel() for p in build_model(shape).parameters())
        cells = [f"{count / 1e6:.3f} M", f"{count_macs(shape) / 1e9:.4f}", f"{seconds[net]:.3f} s"]
        for name in sets:
            found = [value for _, value in sorted(scores[net][name].items())]
            each = ", ".join(f"{value:.1f}" for value in found)
            cells.append(f"{statistics.mean(found):.1f} ({each})" if found else "")
        print(f"| {net} | " + " | ".join(cells) + " |")


def theirs(name: str) -> nn.Module:
    """The same net as pytorchvideo builds it."""
    from pytorchvideo.models import hub

    builders = {
        "i3d-r50": hub.i3d_r50,
        "slowfast-r50-8x8": hub.slowfast_r50,
        "x3d-s": hub.x3d_s,
    }
    return builders[name](pretrained=False)


def compare_speed(size: int, rounds: int) -> None:
    """Print the time of a clip in eval mode beside pytorchvideo, in turns."""
    torch.set_num_threads(1)
    print("| net | ours | pytorchvideo | ratio |\n|---|---|---|---|")
    for name in ("i3d-r50", "slowfast-r50-8x8", "x3d-s"):
        ours, other = build_model(VARIANTS[name]).eval(), theirs(name).eval()
        frames = VARIANTS[name].frames
        side = max(size, 160) if name == "x3d-s" else size
        clip = torch.randn(1, 3, frames, side, side)
        times: dict[str, list[float]] = defaultdict(list)
        slow = torch.linspace(0, frames - 1, frames // 4).long()
        inputs = [clip[:, :, slow], clip] if name.startswith("slowfast") else clip
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
        dataset, folder, out, *chosen = rest[0], Path(rest[1]), Path(rest[2]), *rest[3:]
        for fold in range(FOLDS):
            if dataset != "motion":
                write_table(dataset, folder, fold, out / f"{dataset}-{fold}.csv")
        for fold in range(FOLDS):
            for net in chosen or NETS:
                run(dataset, net, fold, out)
        print(json.dumps({"done": dataset}))


if __name__ == "__main__":
    main()
