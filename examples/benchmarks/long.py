"""A head over windows beside their mean, on videos whose label lies in the order or in a moment.

    python examples/benchmarks/long.py --videos 160

Videos of 24 s are joined from shots with known camera motions; motion-tiny sees them in windows of
one second. In two classes the same shots come in the opposite order, in the other two nothing
moves, in one of them but for one second. The mean of the windows cannot tell the first two apart.
Both are trained by `vidattn train --task temporal-head` on three quarters of the videos, the mean
as depth 0.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import vidattn
from vidattn.data import embeddings
from vidattn.data.motion.camera import LABELS
from vidattn.data.motion.dataset import VALIDATION, make_sample
from vidattn.data.motion.textures import DrawnTextures
from vidattn.inference import stream
from vidattn.video import MemoryVideo

FPS, SHOTS, SECONDS = 8, 6, 4
CLASSES = ("left, then right", "right, then left", "still", "still but for a moment")


def make_video(
    rng: np.random.Generator, kind: int, clip: vidattn.config.ClipConfig, textures: DrawnTextures
) -> MemoryVideo:
    """A video of one of CLASSES."""

    def shot(label: str, seconds: int) -> np.ndarray:
        longer = replace(clip, frames=seconds * FPS)
        return make_sample(rng, textures, LABELS.index(label), longer, 0.3).frames

    labels = ["static"] * SHOTS
    if kind < 2:
        first, second = sorted(rng.choice(SHOTS, 2, replace=False))
        labels[first], labels[second] = ("pan left", "pan right")[:: 1 - 2 * kind]
    frames = np.concatenate([shot(label, SECONDS) for label in labels])
    if kind == 3:
        at = FPS * int(rng.integers(SHOTS * SECONDS))
        frames[at : at + FPS] = shot("roll cw", 1)
    return MemoryVideo(frames, fps=FPS)


def look(folder: Path, count: int) -> Path:
    """Make videos, keep what motion-tiny sees of them, and list them."""
    classifier, rng = vidattn.load("motion-tiny"), np.random.default_rng((VALIDATION, 11))
    textures, rows = DrawnTextures((VALIDATION, 12), 24), ["path,label,split"]
    for number in range(count):
        kind = number % len(CLASSES)
        video = make_video(rng, kind, classifier.clip, textures)
        *_, last = stream.stream(video, classifier, embeddings=True)
        assert isinstance(last, stream.Finished)
        assert last.embeddings is not None
        timeline, name = last.timeline, f"{number:04d}.vidattn.npz"
        seen = (
            timeline.windows,
            last.embeddings,
            timeline.model.to_dict(),
            timeline.settings.to_dict(),
        )
        embeddings.save_embeddings(embeddings.make_embeddings(name, *seen), folder / name)
        split = "val" if number // len(CLASSES) % 4 == 3 else "train"
        rows.append(f'{name},"{CLASSES[kind]}",{split}')
    table = folder / "videos.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


def vidattn_says(*words: str | Path) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "vidattn", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Make the videos, train both heads, and print how many held-out videos each names rightly."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=160)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = look(Path(folder), options.videos)
        for name, depth in (("mean of the windows", 0), ("transformer over them", 2)):
            found = []
            for seed in range(options.seeds):
                run = Path(folder, f"run{depth}-{seed}")
                sets = ("--set", f"temporal_head.depth={depth}", "--set", f"seed={seed}")
                where = ("--dataset", table, "--run-dir", run)
                vidattn_says("train", "--task", "temporal-head", *where, *sets, "-q")
                found.append(json.loads(vidattn_says("eval", "-m", run, "-q", "--json")))
            shares = ", ".join(f"{100 * one['top1']:.1f}" for one in found)
            rows = [one["per_class"] for one in found]
            counts = [sum(row["right"] for row in same) for same in zip(*rows, strict=True)]
            classes = ", ".join(f"{a['label']} {n}" for a, n in zip(rows[0], counts, strict=True))
            of = sum(row[0]["videos"] for row in rows)
            print(f"{name}: {shares} % of held-out videos; right of {of} each: {classes}")


if __name__ == "__main__":
    main()
