"""The models that arXiv:2102.05095 and arXiv:2103.13915 compare, with the numbers they print."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from vidattn.config import ModelConfig, StamConfig, TimeSformerConfig
from vidattn.models.classifier import VARIANTS


@dataclass(frozen=True)
class Published:
    """The numbers of a paper for a model, and its shape."""

    name: str
    config: ModelConfig
    """With the number of classes for which the parameters are printed."""
    parameters: float | None
    """Millions, if given."""
    tera: float | None
    """1e12 multiply-adds of all views, if given."""
    k400: float | None
    ssv2: float | None
    """Top-1 in percent."""
    views: int = 3
    size: int = 0
    """Side in pixels of the frames in the test, for which the operations are printed; 0: of the
    config."""

    @property
    def side(self) -> int:
        """Side in pixels of the frames in the test."""
        return self.size or self.config.size


def _attention(
    name: str,
    shape: dict[str, Any],
    parameters: float | None,
    tera: float | None,
    k400: float,
    ssv2: float,
) -> Published:
    """From ImageNet-21k, with the 174 classes of Something-Something V2."""
    return Published(name, TimeSformerConfig(classes=174, **shape), parameters, tera, k400, ssv2)


def _network(
    name: str,
    variant: str,
    parameters: float | None,
    cost: tuple[float | None, int, int],
    top1: tuple[float | None, float | None],
    **changes: Any,
) -> Published:
    """A convolutional network. cost: multiply-adds, views, side of the frames."""
    network: Any = VARIANTS[variant]
    tera, views, size = cost
    return Published(name, replace(network, **changes), parameters, tera, *top1, views, size)


NON_LOCAL: Any = {"non_local": ((2, 6), (2, 13), (2, 20)), "affinity": "dot"}
SSV2: Any = {"classes": 174, "frames": 16}
PAPER = (
    _attention("space", {"attention": "space"}, 85.9, None, 76.9, 36.6),
    _attention("joint", {"attention": "joint"}, 85.9, None, 77.4, 58.5),
    _attention("divided", {}, 121.4, 0.59, 78.0, 59.5),
    _attention("local-global", {"attention": "local-global"}, 121.4, None, 75.9, 56.3),
    _attention("axial", {"attention": "axial"}, 156.8, None, 73.5, 56.2),
    _attention("divided, HR", {"frames": 16, "size": 448}, None, 5.11, 79.7, 62.5),
    _attention("divided, L", {"frames": 96}, None, 7.14, 80.7, 62.3),
    Published("stam-16", StamConfig(frames=16), None, 0.27, 79.3, None, 1),
    Published("stam-64", StamConfig(frames=64), None, 1.08, 80.5, None, 1),
    _network("i3d-r50", "i3d-r50", 28.0, (1.11, 30, 256), (73.4, None)),
    _network("slowfast-r50", "slowfast-r50-8x8", 34.6, (1.97, 30, 256), (76.4, 61.7)),
    _network(
        "slowfast-r101-nl", "slowfast-r101-16x8", None, (7.0, 30, 256), (79.8, None), **NON_LOCAL
    ),
    _network("x3d-m", "x3d-m", None, (0.186, 30, 256), (76.0, None)),
    _network("x3d-l", "x3d-l", None, (0.744, 30, 356), (77.5, None)),
    _network("x3d-xl", "x3d-xl", None, (1.452, 30, 356), (79.1, None)),
    _network("tsm-r50", "tsm-r50", 24.3, (0.39, 6, 224), (74.7, 63.4), frames=16),
    _network("stm-r50", "stm-r50", 24.0, (2.0, 30, 224), (None, 64.2), **SSV2),
    _network("msnet-r50", "msnet-r50", 24.6, (0.067, 1, 224), (76.4, 64.7), **SSV2),
    _network("tea-r50", "tea-r50", None, (2.1, 30, 224), (76.1, 65.1), **SSV2),
    _network(
        "blvnet-tam-50", "blvnet-tam-50", None, (0.84, 9, 256), (73.5, None), frames=48, classes=400
    ),
    _network("blvnet-tam-101", "blvnet-tam-101", None, (None, 1, 224), (None, 65.2), frames=64),
)
"""Tables 1, 2, 3, 5 and 7 of arXiv:2102.05095; of STAM the scores of its repository; of X3D and the
networks over frames what the papers say that these tables cite."""
