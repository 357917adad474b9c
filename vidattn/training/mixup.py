"""Mixup and CutMix: neighbors in a batch are blended, or pasted into one another; and their loss.

Clips 2i and 2i + 1 of a batch are partners, and how they mix is drawn once for all pairs. So the
outcome is the same however a batch is divided, as long as partners stay together; mix before
splitting a batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidattn.config import OptimConfig, Recipe


def mix_clips(
    clips: Tensor, labels: Tensor, classes: int, optim: OptimConfig, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Clips mixed as `optim.mixup` and `optim.cutmix` say, and their targets.

    clips: float [B, 3, T, H, W]; labels: as of `Batch`. Returns clips of the same shape, and
    float32 targets [B, K]: the visible share of each class, smoothed by `optim.label_smoothing`.
    They sum to 1, then times `optim.class_weights`, where one label holds at a time. The arguments
    are not changed; a clip without a partner stays as it is. The draws depend on `rng` alone, not
    on the contents of the batch.
    """
    several = labels.ndim == 2
    targets = labels if several else F.one_hot(labels, classes).float()
    targets = torch.lerp(targets, torch.full_like(targets, 1 / classes), optim.label_smoothing)
    if optim.class_weights and not several:
        targets = targets * targets.new_tensor(optim.class_weights)
    if not (optim.mixup or optim.cutmix):
        return clips, targets
    cuts = optim.cutmix > 0 and (optim.mixup == 0 or rng.random() < 0.5)
    alpha = optim.cutmix if cuts else optim.mixup
    share, center = float(rng.beta(alpha, alpha)), rng.random(2)
    partner = partners(len(labels)).to(clips.device)
    if cuts:
        height, width = clips.shape[-2:]
        top, bottom, left, right = box(height, width, share, (center[0], center[1]))
        clips, whole = clips.clone(), clips
        clips[..., top:bottom, left:right] = whole[partner][..., top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (height * width)
    else:
        clips = torch.lerp(clips[partner], clips, share)
    return clips, torch.lerp(targets[partner], targets, share)


def sum_cross_entropy(logits: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """The sum over clips of their cross-entropy, a scalar; of labels that may hold at once, over
    those, too, where `optim.class_weights` count for their examples. logits, targets: [B, K]."""
    if recipe.activation == "softmax":
        return F.cross_entropy(logits, targets, reduction="sum")
    weights = recipe.optim.class_weights
    lift = logits.new_tensor(weights) if weights else None
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=lift, reduction="sum")


def partners(count: int) -> Tensor:
    """The partner of each clip, int64 [count]: 1 0 3 2 5 4 ...; an odd one out is its own."""
    numbers = torch.arange(count)
    return torch.where((numbers ^ 1) < count, numbers ^ 1, numbers)


def box(
    height: int, width: int, share: float, center: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the box that leaves about `share` of a frame, in pixels.

    center: of the box, as fractions of height and width. It has the proportions of the frame and is
    cut off at the borders, so the share that is left is that of its true area (arXiv:1905.04899,
    Eq. 2 and Appendix A).
    """
    side = math.sqrt(1 - share)
    spans = []
    for length, at in ((height, center[0]), (width, center[1])):
        half, middle = int(length * side) // 2, int(length * at)
        spans += [max(middle - half, 0), min(middle + half, length)]
    return spans[0], spans[1], spans[2], spans[3]
