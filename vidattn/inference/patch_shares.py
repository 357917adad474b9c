"""The methods of explanations: which a model has, and the shares of patches by each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidattn.errors import UsageError
from vidattn.inference.scorer import Scorer
from vidattn.models.attribution import grad_cam, relevance, rollout
from vidattn.models.biglittle import BigLittle
from vidattn.models.classifier import Classifier
from vidattn.models.conv2d import FrameResNet
from vidattn.models.conv3d import ResNet3d
from vidattn.models.foreign import ExportedModel, HfModel
from vidattn.models.stam import BackboneStam, Stam
from vidattn.models.taught import TaughtModel
from vidattn.models.timesformer import TimeSformer
from vidattn.timeline.explanation import METHODS, Method

CONVOLUTIONAL = (ResNet3d, FrameResNet, BigLittle)
EXPLAINABLE: dict[type[nn.Module], tuple[Method, ...]] = {
    TimeSformer: ("relevance", "rollout", "occlusion"),
    Stam: ("relevance", "rollout", "occlusion"),
    **dict.fromkeys(CONVOLUTIONAL, ("gradcam", "occlusion")),
    **dict.fromkeys((BackboneStam, ExportedModel, HfModel, TaughtModel), ("occlusion",)),
}
"""The methods for each kind of model."""
CELL = 32
"""Pixels of the side of a covered square where a model has no patches."""


def choose_method(classifier: Classifier, method: Method = "relevance") -> Method:
    """The method for a model; of a convolutional network, relevance means gradcam.

    Raises UsageError where it is none for the model.
    """
    if method not in METHODS:
        raise UsageError(f"no such method: {method!r}", hint="known: " + ", ".join(METHODS))
    known = EXPLAINABLE.get(type(classifier.model), ())
    chosen: Method = "gradcam" if method == "relevance" and "gradcam" in known else method
    if chosen in known:
        return chosen
    name = type(classifier.model).__name__
    raise UsageError(
        f"models of the kind {name} cannot be explained" + f" by {chosen}" * bool(known),
        hint="--method " + " or ".join(known) if known else None,
    )


def patch_shares(
    scorer: Scorer, model: Any, method: Method, clip: Tensor, label_id: int
) -> NDArray[np.float32]:
    """The share of each patch in the attribution of a label to a clip, float32 [T, h, w]."""
    clips = clip[None].to(scorer.device)
    classes = torch.tensor([label_id], device=scorer.device)
    if method == "occlusion":
        shares = _occlude(scorer, model, clip, label_id)
    elif method == "gradcam":
        shares = grad_cam(model, clips, classes)[0].relu().float().cpu().numpy()
    else:
        attribution = (
            rollout(model, clips) if method == "rollout" else relevance(model, clips, classes)
        )
        shares = attribution.patches[0].float().cpu().numpy()
    total = float(shares.sum())
    return (shares / total if total > 0 else shares).astype(np.float32)


def _occlude(scorer: Scorer, model: Any, clip: Tensor, label_id: int) -> NDArray[np.float32]:
    """The drop of the logit of a label, at least 0, when a patch has the mean color of the
    clip."""
    side = getattr(model.config, "patch", CELL)
    count, height, width = clip.shape[1], *(max(round(n / side), 1) for n in clip.shape[2:])
    rows, columns = (
        np.linspace(0, pixels, cells + 1).round().astype(int)
        for pixels, cells in zip(clip.shape[2:], (height, width), strict=True)
    )
    places = list(np.ndindex(count, height, width))
    color = clip.mean((1, 2, 3))[:, None, None]
    whole = scorer([clip])[0][label_id]
    losses: list[float] = []
    for some in scorer.batches(places, count):
        clips = [clip.clone() for _ in some]
        for covered, (t, y, x) in zip(clips, some, strict=True):
            covered[:, t, rows[y] : rows[y + 1], columns[x] : columns[x + 1]] = color
        losses += [float(whole - logits[label_id]) for logits in scorer(clips)]
    return np.maximum(np.array(losses, np.float32), 0).reshape(count, height, width)
