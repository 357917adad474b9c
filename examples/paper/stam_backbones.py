"""STAM's transformer over time above several image models of timm, beside the mean over frames.

    python examples/paper/stam_backbones.py

All start from random values, and all is trained, in four times the steps of the other scripts. The
multiply-adds and parameters in the csv are those with the transformer.
"""

from dataclasses import replace

import torch
from experiment import Setting, draw_batches, main, measure, train, validation
from tasks import ORDER, Task
from torch import Tensor, nn

from vidattn.config import BackboneStamConfig
from vidattn.models.stam import BackboneStam

BACKBONES = ("test_resnet", "test_vit", "test_efficientnet")


class MeanOfFrames(nn.Module):
    """The same model without its transformer: the mean of the features of the frames."""

    def __init__(self, model: BackboneStam) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.head

    def forward(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns logits [B, K]."""
        features = self.backbone(clips.transpose(1, 2).flatten(0, 1))
        return self.head(features.unflatten(0, (len(clips), -1)).mean(1))


def make(tasks: list[Task]) -> list[Setting]:
    """Each image model with and without the transformer."""
    return [
        Setting(f"{name}, {way}", task, BackboneStamConfig(name, task.classes, 4, 16, 1, 4, 128),
                lr=1e-3, way=way)
        for task in tasks
        for name in BACKBONES
        for way in ("mean", "transformer")
    ]  # fmt: skip


def learn(setting: Setting, seed: int, steps: int) -> float:
    """Train all of a model, and measure."""
    torch.manual_seed(seed)
    model: nn.Module = BackboneStam(setting.model)
    if setting.way == "mean":
        model = MeanOfFrames(model)
    train(model, draw_batches(setting, seed), steps, setting.lr)
    return measure(model, validation(setting))


if __name__ == "__main__":
    main("stam_backbones", __doc__, make, (replace(ORDER, pace=4.0),), learn=learn)
