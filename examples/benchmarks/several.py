"""Labels at once: a probability and a threshold for each, beside a softmax and one threshold.

    python examples/benchmarks/several.py LABELS

LABELS is a list of labeled clips with one label each and a column `group`. Pairs of clips of one
group become videos of two tiers: one clip at the left, from the start, the other at the right, from
the middle of the first, each standing still outside of its time. So labels overlap for a while.
Heads on optical flow and on motion-tiny, as `teach` tries them, are cross-validated in whole
groups, window by window; for each fold the other folds choose the head by mAP, and thresholds by
F1. The softmax model learns to share its probability among the labels of a window.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import vidattn
from vidattn.config import Activation
from vidattn.data.batch import VideoFailure
from vidattn.data.plan import Windowing
from vidattn.data.sets import open_samples
from vidattn.evaluation.label_metrics import best_thresholds, f1_of_labels, ranked_precision
from vidattn.inference.embed import Embedder
from vidattn.models.taught import TaughtModel
from vidattn.training.cross_validation import HeadTrial, Study, fold_groups
from vidattn.training.heads import list_choices
from vidattn.training.taught_data import (
    LabeledWindows,
    choose_span,
    design_flow,
    design_views,
    embed_samples,
)

RATE, SIDE = 12, 96
GRID = np.linspace(0.01, 0.99, 99)


class WindowStudy(Study):
    """A study whose units are windows, also of a softmax model."""

    def units(self, view: str) -> NDArray[np.int64]:
        """See Study."""
        return np.arange(len(self.windows(view).samples))


def read_clip(path: str) -> NDArray[np.uint8]:
    """RATE frames a second, uint8 [T, SIDE, SIDE, 3]."""
    with vidattn.open_video(path, short_side=SIDE) as video:
        seconds = np.arange(0, video.duration, 1 / RATE)
        frames = video.read(np.searchsorted(video.times, seconds).clip(max=video.frames - 1))
    return np.stack([cv2.resize(frame, (SIDE, SIDE)) for frame in frames])


def pair_clips(labels: str) -> Iterator[tuple[str, vidattn.Item, vidattn.Item]]:
    """The group of two clips, and both; every clip of an even group once."""
    groups = defaultdict(list)
    for item in open_samples(labels).items:
        groups[item.group].append(item)
    rng = np.random.default_rng(0)
    for name, items in sorted(groups.items()):
        order = rng.permutation(len(items))
        for one, other in zip(order[::2], order[1::2], strict=False):
            yield name, items[one], items[other]


def write_tiers(labels: str, folder: Path) -> Path:
    """The videos of all pairs, and a list of their spans."""
    names, rows = open_samples(labels).labels, ["path,label,start,end,group"]
    for number, (group, one, other) in enumerate(pair_clips(labels)):
        left, right = read_clip(one.path), read_clip(other.path)
        late = len(left) // 2
        count = max(len(left), late + len(right))
        path = folder / f"{number}.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (2 * SIDE, SIDE))
        for t in range(count):
            halves = left[min(t, len(left) - 1)], right[min(max(t - late, 0), len(right) - 1)]
            writer.write(np.concatenate(halves, axis=1)[..., ::-1])
        writer.release()
        for item, start, stop in ((one, 0, len(left)), (other, late, late + len(right))):
            rows.append(f"{path},{names[item.label]},{start / RATE},{stop / RATE},{group}")
    table = folder / "tiers.csv"
    table.write_text("\n".join(rows))
    return table


def open_study(table: Path) -> Study:
    """The windows of all spans as optical flow and motion-tiny see them."""
    dataset, backbone = open_samples(str(table)), vidattn.load("motion-tiny")
    maker = Embedder(backbone)
    span = choose_span(maker, dataset, None)
    views = {}
    for name, shown in (
        ("flow", design_flow(backbone, span, False)),
        ("tiny", design_views(backbone, span, False)),
    ):
        embedder = Embedder(shown, Windowing(overlap=0.5))
        *events, windows = embed_samples(embedder, dataset)
        if lost := [event for event in events if isinstance(event, VideoFailure)]:
            raise SystemExit(lost[0].message)
        assert isinstance(windows, LabeledWindows)
        assert isinstance(shown.model, TaughtModel)
        views[name] = shown.model.config, shown.model.head.shape, windows
    return WindowStudy(views, tuple(item.group for item in dataset.items), "sigmoid", False)


def measure(study: Study, activation: Activation) -> dict[str, float]:
    """mAP, and macro F1 with a threshold for each label and with one for all."""
    own = replace(study, activation=activation)
    view = next(iter(own.views))
    truth = own.truth(view)
    folds = fold_groups(own.unit_groups(view), truth)
    trials = [
        HeadTrial(name, choice)
        for name, (config, _, windows) in own.views.items()
        for choice in list_choices(config, len(windows.samples))
    ]
    every = np.ones(len(truth), np.bool_)
    scores = [to_scores(own.predict(trial, folds, every), activation) for trial in trials]
    found, each, one = np.zeros(truth.shape), np.zeros_like(truth), np.zeros_like(truth)
    for fold in np.unique(folds):
        rest, held = folds != fold, folds == fold
        best = max(scores, key=lambda s: np.nanmean(ranked_precision(s[rest], truth[rest])))
        found[held] = best[held]
        each[held] = best[held] >= best_thresholds(best[rest], truth[rest])
        values = [np.nanmean(f1_of_labels(best[rest] >= t, truth[rest])) for t in GRID]
        one[held] = best[held] >= GRID[int(np.argmax(values))]
    return {
        "mAP": float(np.nanmean(ranked_precision(found, truth))),
        "F1, threshold each": float(np.nanmean(f1_of_labels(each, truth))),
        "F1, one threshold": float(np.nanmean(f1_of_labels(one, truth))),
        "all labels right": float((each == truth).all(1).mean()),
    }


def to_scores(logits: NDArray[np.floating], activation: Activation) -> NDArray[np.floating]:
    """Probabilities [N, K]."""
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-logits.clip(-50, 50))))
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(odds / odds.sum(1, keepdims=True))


def main() -> None:
    """Print a line for each model."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        study = open_study(write_tiers(sys.argv[1], Path(folder)))
        truth = study.truth(next(iter(study.views)))
        print(f"{len(truth)} windows, {(truth.sum(1) > 1).mean():.0%} with two labels", flush=True)
        for activation in ("sigmoid", "softmax"):
            values = measure(study, activation)
            shown = "  ".join(f"{name} {100 * value:.1f}" for name, value in values.items())
            print(f"{activation:<8} {shown}", flush=True)
        print(f"{(time.process_time() - began) / 60:.1f} min of processor time")


if __name__ == "__main__":
    main()
