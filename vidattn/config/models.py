"""The shapes of models and their calibration: frozen values that check themselves, in the header of
weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidattn.config.serialization import MAX_COUNT, require_shape
from vidattn.errors import RecipeError


@dataclass(frozen=True)
class TimeSformerConfig:
    """The shape of a TimeSformer; the defaults are the paper's base model (arXiv:2102.05095)."""

    attention: str = "divided"
    """A name in `vidattn.models.timesformer.SCHEMES`."""
    classes: int = 400
    frames: int = 8
    """Length of the learned time embedding; other lengths are resized at inference."""
    size: int = 224
    """Side in pixels of the square image the position embedding was learned for."""
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    drop_path: float = 0.1
    """Stochastic-depth rate of the last block; the first has 0 (official code)."""
    positions: Literal["none", "space", "space-time"] = "space-time"
    """Learned position embeddings (Table 4); attention "space" never has one of time."""
    order: Literal["time-space", "space-time", "parallel"] = "time-space"
    """Order of divided attention: one after the other, or both on the same tokens."""
    kind: Literal["timesformer"] = "timesformer"

    def __post_init__(self) -> None:
        counts = "classes frames size patch width depth heads mlp_ratio"
        require_shape("model", self, counts, ("size", "patch"), ("width", "heads"))
        if not 0 <= self.drop_path < 1:
            raise RecipeError(f"model.drop_path must lie in [0, 1), got {self.drop_path}")


@dataclass(frozen=True)
class StamConfig:
    """The shape of a STAM; the defaults are the paper's 16-frame model (arXiv:2103.13915)."""

    classes: int = 400
    frames: int = 16
    """Length of the learned time embedding; other lengths are resized at inference."""
    size: int = 224
    """Side in pixels of the square image the position embedding was learned for."""
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    time_depth: int = 6
    """Layers of the transformer over the frames."""
    time_heads: int = 8
    time_hidden: int = 2048
    kind: Literal["stam"] = "stam"

    def __post_init__(self) -> None:
        counts = " ".join(name for name in vars(self) if name != "kind")
        ratios = ("size", "patch"), ("width", "heads"), ("width", "time_heads")
        require_shape("model", self, counts, *ratios)


@dataclass(frozen=True)
class BackboneStamConfig:
    """The shape of a STAM over another image model: any of timm, frame by frame."""

    backbone: str = "resnet18"
    """The name of an architecture in timm, such as vit_small_patch16_dinov3."""
    classes: int = 400
    frames: int = 8
    """Length of the learned time embedding; other lengths are resized at inference."""
    size: int = 224
    """Side in pixels of the square image, for backbones that take one size alone."""
    time_depth: int = 2
    """Layers of the transformer over the frames, as wide as the features of the backbone."""
    time_heads: int = 8
    time_hidden: int = 1024
    kind: Literal["backbone-stam"] = "backbone-stam"

    @property
    def depth(self) -> int:
        """Layers over time: each has tensors of its own."""
        return self.time_depth

    def __post_init__(self) -> None:
        require_shape("model", self, "classes frames size time_depth time_heads time_hidden")


class _Stages:
    """A residual network: stages of blocks."""

    blocks: tuple[int, int, int, int]

    @property
    def depth(self) -> int:
        """All blocks."""
        return sum(self.blocks)


@dataclass(frozen=True)
class Conv3dConfig(_Stages):
    """The shape of a residual network over space and time: I3D, SlowFast or X3D.

    The defaults are SlowFast R50 8x8 (arXiv:1812.03982); `vidattn.models.conv3d.VARIANTS` has the
    published others.
    """

    net: Literal["i3d", "slowfast", "x3d"] = "slowfast"
    classes: int = 400
    frames: int = 32
    size: int = 224
    """Side in pixels of the training crop: the head pools over maps of this size, and averages over
    its positions in larger ones."""
    stem: int = 64
    """Channels behind the stem; 24 of an X3D."""
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Inner channels of the blocks of each stage, a quarter of those behind it; of an X3D those
    behind it, which 2.25 times as many inner ones produce."""
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    temporal_blocks: int = 0
    """Blocks at the start of the third stage that may look at more than one frame; 0 is all."""
    slow_step: int = 4
    """Frames of the clip for one of the slow pathway."""
    slow_frames: Literal["spread", "stepped"] = "spread"
    """Whether these reach from the first frame to the last (official code), or start at the first
    and keep the step (mmaction2)."""
    lateral_kernel: int = 7
    """Frames that a lateral convolution from the fast pathway to the slow one looks at."""
    lateral_norm: bool = True
    """Whether norm and ReLU follow it (official code; not in mmaction2)."""
    stem_step: int = 1
    """Temporal stride of the stem's convolution, and of its pool (2 in mmaction2's I3D)."""
    non_local: tuple[tuple[int, int], ...] = ()
    """Stage and block, both from 0, behind which a non-local block follows (arXiv:1711.07971)."""
    affinity: Literal["softmax", "dot"] = "softmax"
    """Weights of the non-local blocks."""
    readout: Literal["probability", "logit", "pooled"] = "probability"
    """What is averaged over the positions of the head: probabilities (official code), logits
    (pytorchvideo), or features, before the head (mmaction2)."""
    drop: float = 0.5
    kind: Literal["conv3d"] = "conv3d"

    def __post_init__(self) -> None:
        require_shape("model", self, "classes frames size stem slow_step lateral_kernel stem_step")
        _require_network(self.widths, self.blocks, self.drop)


@dataclass(frozen=True)
class Conv2dConfig(_Stages):
    """The shape of a ResNet over frames whose blocks mix neighbors: TSM, STM, TEA or MSNet.

    The defaults are TSM R50 (arXiv:1811.08383).
    """

    net: Literal["tsm", "stm", "tea", "msnet"] = "tsm"
    classes: int = 400
    frames: int = 8
    size: int = 224
    width: int = 64
    """Channels behind the stem, and inner channels of the first stage."""
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    non_local: bool = False
    """Whether non-local blocks follow every second block of the second and third stage."""
    drop: float = 0.5
    kind: Literal["conv2d"] = "conv2d"

    def __post_init__(self) -> None:
        require_shape("model", self, "classes frames size width")
        _require_network((self.width,), self.blocks, self.drop)


@dataclass(frozen=True)
class BigLittleConfig(_Stages):
    """The shape of a bLVNet-TAM: odd frames through a deep net, even ones through a thin one
    (arXiv:1912.00869). The defaults are the 50 layers of f8x2."""

    classes: int = 174
    frames: int = 16
    """An even number: the frames of all pairs."""
    size: int = 224
    width: int = 64
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    drop: float = 0.5
    kind: Literal["biglittle"] = "biglittle"

    def __post_init__(self) -> None:
        require_shape("model", self, "classes frames size width")
        _require_network((self.width,), self.blocks, self.drop)
        if self.frames % 2:
            raise RecipeError(f"model.frames must be even, got {self.frames}")
        if min(self.blocks[:3]) < 2:
            raise RecipeError(f"model.blocks must be 2 or more in front, got {self.blocks}")


def _require_network(widths: tuple[int, ...], blocks: tuple[int, ...], drop: float) -> None:
    """Raise RecipeError for counts of channels and blocks that no network has."""
    if not all(0 < n <= MAX_COUNT for n in (*widths, *blocks)):
        raise RecipeError(f"model.widths and model.blocks must be > 0 and at most {MAX_COUNT}")
    if not 0 <= drop < 1:
        raise RecipeError(f"model.drop must lie in [0, 1), got {drop}")


ModelConfig = (
    TimeSformerConfig
    | StamConfig
    | BackboneStamConfig
    | Conv3dConfig
    | Conv2dConfig
    | BigLittleConfig
)
"""The shape of a model; in JSON `kind` names which, a TimeSformer by default."""


@dataclass(frozen=True)
class TemporalConfig:
    """The shape of a head over the windows of a video, and the origin of its embeddings."""

    classes: int = 2
    vector: int = 768
    """Length of an embedding; set by the training videos."""
    windows: int = 64
    """Learned time positions from the first to the last window; others are interpolated."""
    width: int = 128
    depth: int = 2
    """Layers of the transformer; 0 is the mean of the windows, whatever their order."""
    heads: int = 4
    mlp_ratio: float = 2.0
    drop: float = 0.1
    """Share of the windows that training drops at random."""
    model: str = ""
    """The name of the model of the embeddings, and the sha256 of its file."""
    sha256: str = ""
    window_seconds: float = 0.0
    stride_seconds: float = 0.0

    def __post_init__(self) -> None:
        counts = "classes vector windows width heads mlp_ratio"
        require_shape("temporal_head", self, counts, ("width", "heads"))
        if not (0 <= self.depth <= MAX_COUNT and 0 <= self.drop < 1):
            raise RecipeError("temporal_head.depth must be 0 or more, temporal_head.drop in [0, 1)")


@dataclass(frozen=True)
class FlowConfig:
    """The shape of histograms of optical flow, which stand in for a backbone."""

    classes: int = 2
    frames: int = 8
    size: int = 64
    """Side in pixels of the square image."""
    cells: int = 4
    """Rows and columns in which motion is counted."""
    directions: int = 8
    even_motion: float = 0.0
    """Motion that heads add to a histogram, spread evenly, in pixels a frame; none in weights that
    do not say so."""
    kind: Literal["flow"] = "flow"

    @property
    def depth(self) -> int:
        """It has no blocks."""
        return 0

    def __post_init__(self) -> None:
        require_shape("model", self, "classes frames size cells directions", ("size", "cells"))
        if not 0 <= self.even_motion <= 1:
            raise RecipeError(f"model.even_motion must lie in [0, 1], got {self.even_motion}")


@dataclass(frozen=True)
class HfConfig:
    """The shape of a network for video classification of Hugging Face transformers."""

    network: str
    """Its type of model, such as videomae."""
    settings: str
    """Those of its configuration, a JSON object."""
    classes: int
    frames: int
    size: int
    """Side in pixels of a frame."""
    patch: int
    any_length: bool = False
    """Whether its positions fit clips of other lengths."""
    kind: Literal["hf"] = "hf"

    @property
    def depth(self) -> int:
        """At least one layer; how many, transformers knows."""
        return 1

    def __post_init__(self) -> None:
        require_shape("model", self, "classes frames size patch")


@dataclass(frozen=True)
class TaughtConfig:
    """The shape of a frozen model of clips with a head for other classes.

    A window is cut into `pieces`, each of which the backbone sees as one of its own clips.
    """

    backbone: ModelConfig | FlowConfig | HfConfig = TimeSformerConfig()
    classes: int = 2
    pieces: int = 1
    """Clips of the backbone in a window, one after the other."""
    frames: int = 8
    """Frames of a piece."""
    size: int = 224
    """Side in pixels of what the backbone sees."""
    zoom: bool = False
    """Whether it sees the square in which the window moves, instead of all of the frame."""
    grid: int = 1
    """Rows and columns of the mean patch tokens of a piece, beside its class token; 0 is none."""
    head: Literal["linear", "neighbors", "kernel"] = "linear"
    levels: tuple[int, ...] = (1,)
    """The parts of a window, from coarse to fine, whose mean tokens a head compares; 0 is
    the mean and the standard deviation of all tokens, wherever and whenever they are."""
    examples: int = 0
    """Stored windows of the heads "neighbors" and "kernel"."""

    @property
    def depth(self) -> int:
        """Blocks of the backbone."""
        return self.backbone.depth

    def __post_init__(self) -> None:
        require_shape("taught", self, "classes pieces frames size")
        if not (0 <= self.grid <= 64 and 0 <= self.examples <= MAX_COUNT):
            raise RecipeError("taught.grid must lie in [0, 64], taught.examples be 0 or more")
        if not (0 < len(self.levels) <= 8 and all(0 <= n <= self.pieces for n in self.levels)):
            raise RecipeError("taught.levels must be 1 to 8 numbers from 0 to taught.pieces")


MAX_FLOAT = 3.4e38
"""No input of a layer is larger: float32 ends there."""


@dataclass(frozen=True)
class LayerRange:
    """The range of the inputs of a linear layer."""

    layer: str
    """The name of the layer in the model, such as "blocks.0.mlp.0"."""
    least: float
    most: float

    def __post_init__(self) -> None:
        if not -MAX_FLOAT <= self.least <= self.most <= MAX_FLOAT:  # nor NaN
            raise RecipeError(f"int8.ranges: {self.layer} has {self.least} to {self.most}")


@dataclass(frozen=True)
class Int8Calibration:
    """What clips of real videos have shown about a model in 8-bit integers."""

    digest: str
    """Of the classifier when it was calibrated, see `Classifier.digest`."""
    levels: int
    """Steps of a range on the processor that compared the scores with float32."""
    clips: int
    same_label: int
    """Clips with the same best label as in float32."""
    max_difference: float
    """The largest difference of a score."""
    ranges: tuple[LayerRange, ...] = ()
    """Of every layer in 8-bit integers; empty where each token keeps a range of its own."""

    def __post_init__(self) -> None:
        if not 0 <= self.same_label <= self.clips or not self.clips:
            raise RecipeError(f"int8: {self.same_label} same labels in {self.clips} clips")
        if not 0 < self.levels <= 255:
            raise RecipeError(f"int8.levels must be from 1 to 255, got {self.levels}")
        if not 0 <= self.max_difference <= 1:
            raise RecipeError(f"int8.max_difference must be from 0 to 1, got {self.max_difference}")
        if len({one.layer for one in self.ranges}) < len(self.ranges):
            raise RecipeError("int8.ranges: a layer has two")
