"""How far teaching gets on small sets, beside classical motion features: makes the table again.

    python examples/benchmarks/teach.py LABELS [ROW]...

LABELS is what `vidattn teach` takes. Rows, by default all: `teach` as it is, on motion-tiny and
on optical flow; `teach-flow` with --flow on; `tiny` on motion-tiny alone; `random-0`, `random-1`,
`random-2` on that network with random values, frozen; `flow` and `flow-zoom` are histograms of
optical flow (Farneback) in 4 x 4 cells and 8 directions, of the whole clip and of its thirds,
with a support vector machine (histogram intersection); zoomed, they see the part of the frame
that moves. All are cross-validated in the same folds of whole groups; of three parameters of the
support vector machine each fold has the one that is best on the others, as the heads of `teach`
are chosen. The rows `flow` need scikit-learn.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import torch

import vidattn
from vidattn.config.run_options import TeachOptions
from vidattn.data.sets import open_samples
from vidattn.models.classifier import Classifier, build_model
from vidattn.models.taught import zoom_to_motion
from vidattn.training.cross_validation import fold_groups

STEP, SIDE, CELLS, DIRECTIONS, LEAST = 1 / 8, 64, 4, 8, 0.3
PARTS = (1, 3)
STRENGTHS = (0.1, 1.0, 10.0)
RANDOM = ["random-0", "random-1", "random-2"]
ROWS = ["teach", "teach-flow", "tiny", *RANDOM, "flow", "flow-zoom"]


def read_gray(item: vidattn.Item, zoom: bool) -> np.ndarray:
    """Eight frames a second of a clip, uint8 [T, SIDE, SIDE]."""
    with vidattn.open_video(item.path, short_side=2 * SIDE) as video:
        start, stop = (item.window.start, item.window.stop) if item.window else (0, video.duration)
        seconds = np.arange(start, min(stop, video.duration), STEP)
        frames = video.read(np.searchsorted(video.times, seconds).clip(max=video.frames - 1))
    left, top = ((size - 2 * SIDE) // 2 for size in (frames.shape[2], frames.shape[1]))
    square = frames[:, top : top + 2 * SIDE, left : left + 2 * SIDE]
    clip = torch.from_numpy(square).permute(3, 0, 1, 2)[None].float() / 255 / 0.225
    if zoom:
        clip = zoom_to_motion(clip, SIDE)
    else:
        clip = torch.nn.functional.interpolate(clip[0].transpose(0, 1), SIDE, mode="area")
        clip = clip.transpose(0, 1)[None]
    return (clip[0].mean(0) * 255 * 0.225).clip(0, 255).byte().numpy()


def describe_motion(gray: np.ndarray) -> np.ndarray:
    """Histograms of the directions in which the cells move, square root of their shares."""
    yx = np.arange(SIDE) * CELLS // SIDE
    cell = yx[:, None] * CELLS + yx
    rows = []
    for one, other in pairwise(gray):
        flow = cv2.calcOpticalFlowFarneback(one, other, None, 0.5, 3, 9, 3, 5, 1.1, 0)
        size, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1])
        place = cell * DIRECTIONS + (angle / (2 * np.pi) * DIRECTIONS).astype(int) % DIRECTIONS
        size[size < LEAST] = 0
        rows.append(np.bincount(place.ravel(), size.ravel(), CELLS**2 * DIRECTIONS))
    table = np.array(rows) if rows else np.zeros((1, CELLS**2 * DIRECTIONS))
    parts = [part for n in PARTS for part in np.array_split(table, n)]
    found = np.concatenate(
        [part.mean(0) if len(part) else np.zeros(table.shape[1]) for part in parts]
    )
    return np.sqrt(found / max(found.sum(), 1e-6)).astype(np.float32)


def intersect(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The sum of what two histograms share, for all pairs."""
    return np.stack([np.minimum(one, others).sum(1) for one in some])


def score_flow(labels: str, zoom: bool) -> float:
    """Mean class accuracy of the support vector machine, in the folds of `teach`."""
    from sklearn.svm import SVC

    dataset = open_samples(labels)
    table = np.array([describe_motion(read_gray(item, zoom)) for item in dataset.items])
    truth = np.array([item.label for item in dataset.items])
    groups = [item.group or item.path for item in dataset.items]
    folds = fold_groups(groups, np.eye(len(dataset.labels), dtype=bool)[truth])
    guesses = np.zeros((len(STRENGTHS), len(truth)), np.int64)
    for fold in np.unique(folds):
        for own, strength in zip(guesses, STRENGTHS, strict=True):
            machine = SVC(kernel=intersect, C=strength)
            machine.fit(table[folds != fold], truth[folds != fold])
            own[folds == fold] = machine.predict(table[folds == fold])
    chosen = np.zeros(len(truth), np.int64)
    for fold in np.unique(folds):
        best = max(guesses, key=lambda own: mean_recall(own, truth, folds != fold))
        chosen[folds == fold] = best[folds == fold]
    return mean_recall(chosen, truth, folds >= 0)


def mean_recall(guess: np.ndarray, truth: np.ndarray, rows: np.ndarray) -> float:
    """The mean over the classes of the share of their clips that is named rightly."""
    right, known = (guess == truth)[rows], truth[rows]
    return float(np.mean([right[known == k].mean() for k in np.unique(known)]))


def score_taught(labels: str, row: str) -> tuple[float, str]:
    """Mean class accuracy of what `teach` measures, with its interval and the head."""
    backbone = vidattn.load("motion-tiny")
    if row.startswith("random-"):
        torch.manual_seed(int(row.removeprefix("random-")))
        model = build_model(backbone.model.config).eval()
        backbone = Classifier(model, backbone.clip, backbone.labels)
    flow: Any = {"teach": "auto", "teach-flow": "on"}.get(row, "off")
    taught = vidattn.teach(labels, None, backbone, options=TeachOptions(flow=flow))
    low, high = taught.metrics.intervals["mean_class"]
    head = taught.report["head"]
    return taught.metrics.values["mean_class"], f"{100 * low:.0f} to {100 * high:.0f}, {head}"


if __name__ == "__main__":
    wanted = sys.argv[2:] or ROWS
    for name in wanted:
        began = time.process_time()
        if name in ("flow", "flow-zoom"):
            value, more = score_flow(sys.argv[1], name == "flow-zoom"), ""
        else:
            value, more = score_taught(sys.argv[1], name)
        spent = (time.process_time() - began) / 60
        print(
            f"{name:<10} {100 * value:5.1f} %  {spent:.1f} min of processor time  {more}",
            flush=True,
        )
