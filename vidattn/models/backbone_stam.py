"""STAM's transformer over time behind any image model of timm (arXiv:2103.13915, Sec. 4.3)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vidattn.config import BackboneStamConfig
from vidattn.errors import RecipeError
from vidattn.models.stam import OverTime, init_weights


class BackboneStam(OverTime):
    """Clips [B, 3, T, H, W] to logits [B, K]. T may differ from the config's.

    Overlapping windows share the backbone's work on their frames, by far most of it.
    """

    def __init__(self, config: BackboneStamConfig) -> None:
        super().__init__()
        self.config = config
        self.activation_checkpointing = False
        """Without effect: a backbone keeps its activations."""
        self.backbone = build_backbone(config.backbone, config.size)
        width = count_features(self.backbone)
        if width % config.time_heads:
            raise RecipeError(
                f"model.time_heads {config.time_heads} does not divide the {width} features of "
                f"{config.backbone}"
            )
        self.add_time(config, width)
        init_weights(self, skip=self.backbone)

    def layers(self) -> list[nn.Module]:
        """The largest modules that run one after the other."""
        return [self.backbone, *self.over_time.layers]

    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: float [N, 3, H, W]. Returns the pooled features of the backbone, [N, D]."""
        features: Tensor = self.backbone(frames)
        return features


def build_backbone(name: str, size: int) -> nn.Module:
    """An image model of timm without its head, of random values: images to features [N, D].

    size: of the images, for models of one size alone. Raises RecipeError for a name that timm does
    not have; names of places, such as hf-hub:..., are none.
    """
    import timm

    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name}*")[:3])
        raise RecipeError(
            f"model.backbone {name!r}: timm has no architecture of that name",
            hint=f"timm has {close}" if close else "timm.list_models() shows them",
        )
    known = timm.get_pretrained_cfg(name)
    options: Any = {"img_size": size} if known and known.fixed_input_size else {}
    backbone: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **options)
    return backbone


def count_features(backbone: nn.Module) -> int:
    """The length D of the features of an image model of timm."""
    width = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    assert isinstance(width, int)
    return width
