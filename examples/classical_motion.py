"""How far does one get without learning? Camera motion from tracked corners and RANSAC.

    python examples/classical_motion.py [CLIPS] [FOLDER]

Scores a similarity transform, fitted between neighbouring frames, on the clips of the data set
`motion`, and `motion-tiny` on the very same clips. FOLDER: images or videos to move over.
"""

import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

import vidattn
from vidattn.data.motion.camera import AXIS_LABELS, EDGE, MOVE, STILL
from vidattn.data.motion.dataset import validation_samples
from vidattn.evaluation.classification import measure
from vidattn.evaluation.dataset import predict_logits

SIZE = 192  # corners are found best on pictures scaled up a little


def step_between(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The camera's step: right, down, log magnification, clockwise radians (EDGE weighs them)."""
    corners = cv2.goodFeaturesToTrack(before, 150, 0.005, 5)
    fit = None
    if corners is not None:
        moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(21, 21))
        pairs = (p[found == 1].reshape(-1, 2) / SIZE - 0.5 for p in (corners, moved))
        if found.sum() >= 4:
            fit, _ = cv2.estimateAffinePartial2D(*pairs, ransacReprojThreshold=0.01)
    if fit is None:
        return np.zeros(4)
    scale, angle = np.hypot(fit[0, 0], fit[1, 0]), np.arctan2(fit[1, 0], fit[0, 0])
    return np.array([-fit[0, 2], -fit[1, 2], np.log(max(scale, 1e-3)), -angle])


def name_of(frames: np.ndarray) -> int:
    """The class of a clip uint8 [T, H, W, 3]."""
    grey = [cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (SIZE, SIZE)) for f in frames]
    steps = EDGE * [step_between(a, b) for a, b in pairwise(grey)]
    drift = np.median(steps, 0)
    shake = np.sqrt(((steps - steps.mean(0)) ** 2).sum(1).mean())
    axis, least = int(np.abs(drift).argmax()), (MOVE + STILL) / 2
    if abs(drift[axis]) >= max(least, 0.6 * shake):
        return AXIS_LABELS[axis][int(drift[axis] > 0)]
    return 9 if shake >= least else 0


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    tiny = vidattn.load("motion-tiny")
    batches = list(validation_samples(tiny.clip, count, folder=folder))
    clips = np.concatenate([b.clips.permute(0, 2, 3, 4, 1).numpy() for b in batches])
    pixels = np.clip((clips * tiny.clip.std + tiny.clip.mean) * 255, 0, 255).astype(np.uint8)
    labels = np.concatenate([b.labels for b in batches])
    right = np.mean(
        [name_of(frames) == label for frames, label in zip(pixels, labels, strict=True)]
    )
    print(f"corners and RANSAC  {100 * right:.1f} %")
    print(f"motion-tiny         {100 * measure(*predict_logits(tiny.model, batches)).top1:.1f} %")
