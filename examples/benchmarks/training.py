"""What training reaches on small sets, beside Hugging Face's TimeSformer: makes the table again.

    python examples/benchmarks/training.py shapes FOLDER OUT [VARIANT]...
    python examples/benchmarks/training.py gestures FOLDER OUT
    python examples/benchmarks/training.py exercises FOLDER OUT
    python examples/benchmarks/training.py table OUT

FOLDER has a folder for each class and labels.csv (file, label, group). The groups (what is shown,
the person, the source video) are dealt to three folds; run i of a variant holds back fold i and has
the seed i, so that over the three runs every clip is judged once by a model that saw none of its
group. One training runs at a time, with one thread; runs that are done are not repeated.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

HERE = Path(__file__).parent
FOLDS = 3
SETS: dict[str, tuple[tuple[str, ...], ...]] = {
    "shapes": (
        ("bluegreen_circle", "darkish_purple_square", "olive_star"),
        ("bluegreen_square", "darkish_purple_star", "olive_circle"),
        ("bluegreen_star", "darkish_purple_circle", "olive_square"),
    ),
    "gestures": (("S2", "S3"), ("S5", "S6"), ("S7", "S8")),
    "exercises": (
        ("dark_gym_barbell", "playground", "dark_gym"),
        ("woman_white_room", "white_gym", "blue_gym", "bright_gym", "blue_mat"),
        (
            *("phone_clip_blurred_sides", "blue_room_portrait", "park_portrait"),
            *("white_wall", "woman_studio"),
        ),
    ),
}
"""The groups that each fold holds back. Settings were tried on subject S1, who is in no fold."""

LARGER = (
    *("clip.short_side=72", "clip.crop=72", "model.size=72", "data.short_side_range=[72,80]"),
    "data.flip=false",
)
"""Pictures in which hands can be seen."""
SETTINGS: dict[str, tuple[str, ...]] = {
    "shapes": ("optim.lr=1e-3", "optim.epochs=16", "optim.warmup_epochs=1.5"),
    "gestures": (*LARGER, "optim.epochs=12"),
    "exercises": (
        *(*LARGER, "optim.epochs=6"),
        *("clip.sampling=dense", "clip.train_sampling=dense", "clip.step_seconds=0.25"),
    ),
}
"""What differs from the recipe `small`: no mirroring where left is a class, and two seconds at a
time of videos in which a movement is repeated."""
SCHEMES = ("divided", "space", "axial", "joint")
CALMER = {"axial": ("optim.lr=5e-4", "optim.epochs=28", "optim.warmup_epochs=3")}
"""Axial attention does not learn at twice this rate."""


def variants(dataset: str) -> dict[str, list[str]]:
    """The command of each variant, without what all have in common."""
    ours = [sys.executable, "-m", "vidattn", "train", "-q"]
    if dataset == "shapes":
        return {scheme: [*ours, "--attention", scheme] for scheme in SCHEMES}
    return {
        "motion-tiny": [*ours, "--init", "motion-tiny"],
        "scratch": ours,
        "hugging-face": [sys.executable, str(HERE / "training_peer.py")],
    }


def write_table(dataset: str, folder: Path, fold: int, path: Path) -> None:
    """A list `path,label,split` that holds back one fold."""
    validation = SETS[dataset][fold]
    with (folder / "labels.csv").open(encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as target:
        table = csv.writer(target)
        table.writerow(["path", "label", "split"])
        for row in rows:
            half = "val" if row["group"] in validation else "train"
            table.writerow([folder.resolve() / row["file"], row["label"], half])


def run(dataset: str, variant: str, fold: int, out: Path) -> None:
    """One training, unless it is done."""
    run_dir = out / f"{dataset}-{variant}-{fold}"
    if (run_dir / "done").exists():
        return
    given = (f"seed={fold}", "data.workers=0", *SETTINGS[dataset], *CALMER.get(variant, ()))
    command = [
        *variants(dataset)[variant],
        *("--dataset", str(out / f"{dataset}-{fold}.csv"), "--run-dir", str(run_dir)),
        *(word for setting in given for word in ("--set", setting)),
    ]
    if (run_dir / "recipe.json").exists():
        command.append("--resume")
    print(" ".join(command), flush=True)
    subprocess.run(
        command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
    )
    (run_dir / "done").touch()


def last_score(run_dir: Path) -> float:
    """Top-1 on the validation clips after the last epoch, a share."""
    lines = (run_dir / "log.jsonl").read_text(encoding="utf-8").splitlines()
    scores = [event["scores"]["top1"] for event in map(json.loads, lines) if "scores" in event]
    return float(scores[-1])


def held_back_count(table: Path) -> int:
    """How many clips a table holds back."""
    with table.open(encoding="utf-8") as source:
        return sum(row["split"] == "val" for row in csv.DictReader(source))


def show(out: Path) -> None:
    """Print the table of all runs that are done, as Markdown."""
    print("| set | variant | accuracy over all clips | the three runs |\n|---|---|---|---|")
    found: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for done in sorted(out.glob("*-*/done")):
        dataset, rest = done.parent.name.split("-", 1)
        variant, fold = rest.rsplit("-", 1)
        found[dataset, variant][int(fold)] = last_score(done.parent)
    for (dataset, variant), scores in found.items():
        counts = {k: held_back_count(out / f"{dataset}-{k}.csv") for k in scores}
        right = sum(scores[k] * counts[k] for k in scores)
        shares = ", ".join(f"{100 * scores[k]:.1f}" for k in sorted(scores))
        pooled = 100 * right / sum(counts.values())
        spread = f"mean {100 * mean(scores.values()):.1f}: {shares}"
        print(f"| {dataset} | {variant} | {pooled:.1f} % of {sum(counts.values())} | {spread} |")


def main() -> None:
    """See the module."""
    if sys.argv[1] == "table":
        show(Path(sys.argv[2]))
        return
    dataset, folder, out, *chosen = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:]
    for fold in range(FOLDS):
        write_table(dataset, folder, fold, out / f"{dataset}-{fold}.csv")
    for fold in range(FOLDS):
        for variant in chosen or variants(dataset):
            run(dataset, variant, fold, out)
    show(out)


if __name__ == "__main__":
    main()
