"""A frozen model of clips with a head for other classes.

The backbone turns each piece of a window into a few tokens [G, D]: its class token, and the means
of its patches in the cells of a grid. The tokens of a window [P, G, D] are its embedding; a head
for new classes is fitted to those of labeled windows in seconds.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vidattn.config import FlowConfig, TaughtConfig
from vidattn.models.layers import ClipModel
from vidattn.models.stam import OverTime
from vidattn.models.timesformer import TimeSformer

NOISE_LEVELS = 8 / 255 / 0.225
"""A change of a pixel, in a normalized clip, that is not yet a motion: 8 of 255 levels."""
EDGE_SHARE = 0.02
"""The share of all motion outside of each edge of the square that `zoom_to_motion` finds."""
LEAST_SIDE = 1 / 6
"""Its least side, as a share of the side of the frame."""
MARGIN = 1.2


class TaughtModel(ClipModel):
    """Clips [B, 3, T, H, W] to logits [B, K]; T may differ from pieces x frames of the config."""

    def __init__(self, config: TaughtConfig, backbone: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.cells = count_cells(config, backbone)
        """Tokens of a piece."""
        assert isinstance(backbone.head, nn.Linear)
        width = backbone.head.in_features
        self.head = HEADS[config.head](config, (config.pieces, self.cells, width))
        self.shares_frames = isinstance(backbone, TimeSformer | OverTime) and not config.zoom
        """Whether `encode_frames` does a part of the work."""

    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: float [N, 3, H, W]. Returns what the backbone makes of single frames, or, where
        that depends on the others, the frames."""
        return self._encode(frames) if self.shares_frames else frames

    def _encode(self, frames: Tensor) -> Tensor:
        assert isinstance(self.backbone, TimeSformer | OverTime)
        return self.backbone.encode_frames(frames)

    def embeddings(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] from `encode_frames`, in time order. Returns [B, P x G x D]."""
        if self.config.zoom:
            clips = zoom_to_motion(tokens.transpose(1, 2), self.config.size)
            tokens = clips.transpose(1, 2)
            if isinstance(self.backbone, TimeSformer | OverTime):
                encoded = self._encode(tokens.flatten(0, 1))
                tokens = rearrange(encoded, "(b t) ... -> b t ...", b=len(tokens))
        pieces = cut_pieces(tokens, self.config.pieces)
        found = embed_pieces(self.backbone, pieces.flatten(0, 1), self.config.grid)
        return found.reshape(tokens.shape[0], -1)  # a tracer takes len for a constant


def count_cells(config: TaughtConfig, backbone: nn.Module) -> int:
    """The number of tokens G that a piece has."""
    patchwise = isinstance(backbone, TimeSformer) and not backbone.space_only
    return 1 + config.grid**2 if patchwise else 1


def cut_pieces(tokens: Tensor, pieces: int) -> Tensor:
    """Frames [B, T, ...] as pieces of equal length [B, P, T / P, ...]; the last frame repeats."""
    missing = -tokens.shape[1] % pieces
    if missing:
        tokens = torch.cat([tokens, tokens[:, -1:].expand(-1, missing, *tokens.shape[2:])], dim=1)
    cut: Tensor = rearrange(tokens, "b (p t) ... -> b p t ...", p=pieces)
    return cut


def embed_pieces(backbone: Any, frames: Tensor, grid: int) -> Tensor:
    """Tokens [B, G, D] of pieces [B, T, ...], given as a backbone's encoded frames or as pixels."""
    if not isinstance(backbone, TimeSformer | OverTime):
        vectors: Tensor = backbone.embeddings(frames.transpose(1, 2).contiguous())
        return vectors[:, None]
    if isinstance(backbone, OverTime) or backbone.space_only:
        return backbone.embeddings(frames)[:, None]
    cls, patches = backbone.run_blocks(frames)
    cells = [backbone.norm(cls)[:, None]]
    if grid:
        means = rearrange(backbone.norm(patches).mean(1), "b h w d -> b d h w")
        cells.append(rearrange(average_cells(means, grid), "b d h w -> b (h w) d"))
    return torch.cat(cells, dim=1)


def average_cells(means: Tensor, grid: int) -> Tensor:
    """Means [..., grid, grid] of maps [..., H, W] over parts as those of adaptive_avg_pool2d, which
    graphs of ONNX lack."""
    height, width = (_average_parts(int(side), grid, means) for side in means.shape[-2:])
    return height @ means @ width.T


def _average_parts(side: int, grid: int, like: Tensor) -> Tensor:
    """Weights [grid, side], each row those of the mean of one part of a side."""
    parts = [(i * side // grid, -(-(i + 1) * side // grid)) for i in range(grid)]
    rows = [[(start <= at < stop) / (stop - start) for at in range(side)] for start, stop in parts]
    return torch.tensor(rows, dtype=like.dtype, device=like.device)


def zoom_to_motion(clips: Tensor, size: int) -> Tensor:
    """The square of each clip [B, 3, T, H, W] in which it moves, as [B, 3, T, size, size].

    A clip without motion is shown whole. Its edges leave EDGE_SHARE of all change between frames
    outside, and MARGIN around that.
    """
    change = clips.diff(dim=2).abs().mean(1).sub(NOISE_LEVELS).clamp(min=0).sum(1)  # [B, H, W]
    return torch.stack(
        [
            F.interpolate(
                _crop_square(clip, moved).transpose(0, 1), size, mode="bilinear", antialias=True
            ).transpose(0, 1)
            for clip, moved in zip(clips.float(), change.float(), strict=True)
        ]
    )


def _crop_square(clip: Tensor, change: Tensor) -> Tensor:
    """clip: [3, T, H, W]; change: [H, W], how much each pixel moves."""
    height, width = change.shape
    most = min(height, width)
    (top, bottom), (left, right) = (_span(change.sum(axis)) for axis in (1, 0))
    side = min(round(max(bottom - top, right - left, LEAST_SIDE * most) * MARGIN), most)
    y, x = (
        min(max(round((low + high - side) / 2), 0), total - side)
        for low, high, total in ((top, bottom, height), (left, right, width))
    )
    return clip[:, :, y : y + side, x : x + side]


def _span(change: Tensor) -> tuple[int, int]:
    """Where all but EDGE_SHARE at each end of a sum begins and ends; everything where it is 0."""
    total = float(change.sum())
    if total <= 0:
        return 0, len(change)
    share = change.double().cumsum(0) / total
    return int((share < EDGE_SHARE).sum()), int((share < 1 - EDGE_SHARE).sum()) + 1


class PooledTokens(nn.Module):
    """Embeddings [B, P x G x D] to the means of tokens over parts of the window, [B, F].

    Of histograms they are square roots of shares: how much moves does not count, but where and
    which way.
    """

    def __init__(self, config: TaughtConfig, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.levels, self.shape = config.levels, shape
        self.flow = config.backbone if isinstance(config.backbone, FlowConfig) else None
        self.in_features = shape[0] * shape[1] * shape[2]
        self.width = sum(n * shape[1] * shape[2] if n else 2 * shape[2] for n in config.levels)

    def forward(self, embeddings: Tensor) -> Tensor:
        """See the class."""
        pieces = rearrange(embeddings, "b (p d) -> b p d", p=self.shape[0])
        parts = [part for n in self.levels for part in self._pool(pieces, n)]
        means = torch.cat(parts, dim=1)
        if self.flow is None:
            return means
        means = means + self.flow.even_motion / self.width
        return (means / means.sum(1, keepdim=True).clamp(min=1e-6)).sqrt()

    def _pool(self, pieces: Tensor, level: int) -> list[Tensor]:
        if level:
            return [part.mean(1) for part in pieces.tensor_split(level, dim=1)]
        tokens = rearrange(pieces, "b p (g d) -> b (p g) d", g=self.shape[1])
        mean = tokens.mean(1, keepdim=True)
        return [mean[:, 0], (tokens - mean).square().mean(1).sqrt()]


class LinearHead(PooledTokens):
    """One linear layer over the pooled tokens."""

    def __init__(self, config: TaughtConfig, shape: tuple[int, int, int]) -> None:
        super().__init__(config, shape)
        self.linear = nn.Linear(self.width, config.classes)

    def forward(self, embeddings: Tensor) -> Tensor:
        """embeddings: [B, P x G x D]. Returns logits [B, K]."""
        logits: Tensor = self.linear(super().forward(embeddings))
        return logits


class NeighborsHead(PooledTokens):
    """Votes of labeled windows, each weighted by its likeness: the cosine of the pooled tokens.

    Logits are logarithms of the shares of the votes; with sigmoid, log-odds.
    """

    def __init__(self, config: TaughtConfig, shape: tuple[int, int, int]) -> None:
        super().__init__(config, shape)
        self.mean = nn.Parameter(torch.zeros(self.width))
        self.scale = nn.Parameter(torch.ones(self.width))
        self.examples = nn.Parameter(torch.zeros(config.examples, self.width))
        self.votes = nn.Parameter(torch.zeros(config.examples, config.classes))
        """What each example says of each class, 0 to 1."""
        self.sharpness = nn.Parameter(torch.ones(()))
        self.log_odds = nn.Parameter(torch.zeros(()))
        """Above 0.5 where logits are log-odds."""

    def describe(self, embeddings: Tensor) -> Tensor:
        """Standardized pooled tokens of length 1, [B, F]."""
        return F.normalize((super().forward(embeddings) - self.mean) * self.scale, dim=1)

    def forward(self, embeddings: Tensor) -> Tensor:
        """embeddings: [B, P x G x D]. Returns logits [B, K]."""
        likeness = self.describe(embeddings) @ self.examples.T
        shares = (self.sharpness * likeness).softmax(1) @ self.votes
        shares = shares.clamp(1e-4, 1 - 1e-4)
        return shares.logit() if self.log_odds > 0.5 else shares.log()


class KernelHead(PooledTokens):
    """Weighted sums of how alike a window and labeled ones are: exp(-chi-square) of histograms.

    Source: I. Laptev et al., "Learning realistic human actions from movies", CVPR 2008.
    """

    def __init__(self, config: TaughtConfig, shape: tuple[int, int, int]) -> None:
        super().__init__(config, shape)
        self.examples = nn.Parameter(torch.zeros(config.examples, self.width))
        self.weights = nn.Parameter(torch.zeros(config.examples, config.classes))
        self.bias = nn.Parameter(torch.zeros(config.classes))
        self.sharpness = nn.Parameter(torch.ones(()))

    def describe(self, embeddings: Tensor) -> Tensor:
        """Shares [B, F] of the motion of each cell and direction."""
        return super().forward(embeddings).square()

    def likeness(self, shares: Tensor) -> Tensor:
        """shares: [B, F]. Returns [B, examples], from 0 to 1."""
        return (-self.sharpness * chi_square(shares, self.examples)).exp()

    def forward(self, embeddings: Tensor) -> Tensor:
        """embeddings: [B, P x G x D]. Returns logits [B, K]."""
        return self.likeness(self.describe(embeddings)) @ self.weights + self.bias


def chi_square(some: Tensor, others: Tensor) -> Tensor:
    """How far histograms [B, F] and [N, F] are apart, [B, N]; from 0 to 2 where they sum to 1."""
    gap, total = some[:, None] - others, some[:, None] + others
    return (gap.square() / total.clamp(min=1e-9)).sum(2)


HEADS: dict[str, type[PooledTokens]] = {
    "linear": LinearHead,
    "neighbors": NeighborsHead,
    "kernel": KernelHead,
}
"""The heads by name."""
