"""Coarse to fine beside a denser pass: how well boundaries are found, and with how many windows.

    python examples/benchmarks/refine.py
    python examples/benchmarks/refine.py TABLE... -m MODEL... --window 2

Films are joined from shots, so boundaries are known. Without TABLE a shot is 3 to 6 s of a known
camera motion (never trained on), and motion-tiny names it. TABLE is a list `path,label,split` and
MODEL what was trained on its other half, one for each table: then a shot is 1.5 to 4 clips of one
label of the held-back half, one after the other, the last one cut short. `training.py shapes FOLDER
OUT divided` makes both: OUT/shapes-0.csv and OUT/shapes-divided-0, and so on. --window: seconds.

F1@50: segments whose label is right and which overlap a true one of that label by half of their
union or more, over all films. The figure behind +- is the standard error of what coarse to fine is
ahead of the denser pass, over films.
"""

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import stdev

import numpy as np

import vidattn
from vidattn.data.motion.camera import LABELS
from vidattn.data.motion.dataset import HELD_BACK, example
from vidattn.data.motion.textures import DrawnTextures
from vidattn.inference.adaptive import AdaptiveSampling
from vidattn.models.classifier import Classifier
from vidattn.video import MemoryVideo

FPS = 8
LEVELS = (0.25, 0.5, 0.75)
Span = tuple[float, float, str]
Film = tuple[MemoryVideo, list[Span]]


def filmed(seed: int, shots: int, clip: vidattn.config.ClipConfig, textures: DrawnTextures) -> Film:
    """A film of so many camera motions, and what it shows from when to when."""
    rng = np.random.default_rng((HELD_BACK, 7, seed))
    frames, labels, last = [], list[str](), -1
    for _ in range(shots):
        label = int(rng.choice([k for k in range(len(LABELS)) if k != last]))
        count = int(rng.integers(3 * FPS, 6 * FPS + 1))
        frames.append(example(rng, textures, label, replace(clip, frames=count), 0.7).frames)
        labels.append(LABELS[label])
        last = label
    return in_a_row(frames, labels, FPS)


def held_back(table: Path, short_side: int) -> tuple[dict[str, list[np.ndarray]], float]:
    """The clips of the held-back half, uint8 [T, H, W, 3] by label, and their rate."""
    found, rates = defaultdict[str, list[np.ndarray]](list), set[float]()
    with table.open(encoding="utf-8") as source:
        rows = [row for row in csv.DictReader(source) if row["split"] == "val"]
    for row in rows:
        with vidattn.open_video(row["path"], short_side=short_side) as video:
            found[row["label"]].append(video.read(range(video.frames)))
            rates.add(float(video.fps))
    if len(rates) != 1 or len(found) < 2:
        raise SystemExit(f"{table}: needs clips of one rate and of two labels held back")
    return dict(found), rates.pop()


def joined(seed: int, shots: int, clips: dict[str, list[np.ndarray]], fps: float) -> Film:
    """A film of so many shots out of clips, and what it shows from when to when."""
    rng = np.random.default_rng((11, seed))
    frames, labels = [], list[str]()
    for _ in range(shots):
        label = str(rng.choice([name for name in sorted(clips) if [name] != labels[-1:]]))
        pieces = [clips[label][i] for i in rng.permutation(len(clips[label]))[:4]]
        whole = np.concatenate(pieces)
        frames.append(whole[: int(len(whole) / len(pieces) * rng.uniform(1.5, len(pieces)))])
        labels.append(label)
    return in_a_row(frames, labels, fps)


def in_a_row(shots: Sequence[np.ndarray], labels: Sequence[str], fps: float) -> Film:
    """Shots as one film."""
    ends = np.cumsum([0, *map(len, shots)]) / fps
    spans = list(zip(ends[:-1].tolist(), ends[1:].tolist(), labels, strict=True))
    return MemoryVideo(np.concatenate(shots), fps=fps), spans


def hits(found: list[Span], true: list[Span], overlap: float) -> int:
    """How many true segments are found: same label, intersection over union at least `overlap`."""
    left, count = list(true), 0
    for start, stop, label in found:
        for one in left:
            shared = min(stop, one[1]) - max(start, one[0])
            union = max(stop, one[1]) - min(start, one[0])
            if one[2] == label and shared >= overlap * union:
                left.remove(one)
                count += 1
                break
    return count


def films(wanted: argparse.Namespace) -> Iterator[tuple[Film, Classifier]]:
    """All films, and who looks at each."""
    if not wanted.tables:
        classifier = vidattn.load("motion-tiny")
        textures = DrawnTextures((HELD_BACK, 7), 60)
        for seed in range(wanted.films):
            yield filmed(seed, wanted.shots, classifier.clip, textures), classifier
    for number, (table, name) in enumerate(zip(wanted.tables, wanted.model, strict=True)):
        classifier = vidattn.load(name)
        clips, fps = held_back(table, classifier.clip.short_side)
        for seed in range(wanted.films):
            yield joined(1000 * number + seed, wanted.shots, clips, fps), classifier


def main() -> None:
    """Make the films, look at each in three ways, print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", type=Path, nargs="*", metavar="TABLE")
    parser.add_argument("-m", "--model", nargs="+", default=[])
    parser.add_argument("--window", type=float, help="seconds; by default the model's")
    parser.add_argument("--films", type=int, default=4, help="of each table")
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--unsure", type=float, default=AdaptiveSampling.unsure)
    wanted = parser.parse_args()
    ways: dict[str, list[tuple[int, int, dict[float, int]]]] = defaultdict(list)
    for (video, spans), classifier in films(wanted):
        window = wanted.window or classifier.clip.span_seconds
        fine = AdaptiveSampling(refine=window / 4, unsure=wanted.unsure)
        for name, how in {
            "side by side": {},
            "four times denser": {"stride": window / 4},
            "coarse to fine": {"economy": fine},
        }.items():
            timeline = vidattn.segment(video, classifier, window=window, **how)
            rows = [(s.window.start, s.window.stop, s.label) for s in timeline.segments]
            good = {overlap: hits(rows, spans, overlap) for overlap in LEVELS}
            ways[name].append((len(timeline.windows), len(rows) + len(spans), good))
    show(ways)


def show(ways: dict[str, list[tuple[int, int, dict[float, int]]]]) -> None:
    """A line for each way, and how far the last is ahead of the one before."""
    for name, films in ways.items():
        windows = sum(count for count, _, _ in films)
        share = windows / sum(count for count, _, _ in ways["four times denser"])
        scores = [f"F1@{100 * k:.0f} {f1(films, k):.1f}" for k in LEVELS]
        said = f"{windows:6} windows, {100 * share:.0f} % of the denser pass"
        print(f"{name:18} {said}; {', '.join(scores)}")
    dense, fine = list(ways.values())[1:]
    ahead = [f1([b], 0.5) - f1([a], 0.5) for a, b in zip(dense, fine, strict=True)]
    error = stdev(ahead) / math.sqrt(len(ahead)) if len(ahead) > 1 else math.nan
    print(
        f"ahead of the denser pass in F1@50: {f1(fine, 0.5) - f1(dense, 0.5):+.1f} +- {error:.1f}"
    )


def f1(films: Sequence[tuple[int, int, dict[float, int]]], overlap: float) -> float:
    """In per cent, over all films."""
    return 200 * sum(good[overlap] for _, _, good in films) / sum(total for _, total, _ in films)


if __name__ == "__main__":
    main()
