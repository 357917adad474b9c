"""Heads fitted to the embeddings of labeled windows, in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vidattn.config import Activation, FlowConfig, TaughtConfig
from vidattn.data.labeled_dataset import MOST_WEIGHT
from vidattn.models.taught import KernelHead, LinearHead, NeighborsHead, PooledTokens, chi_square

STRENGTHS = (1.0, 10.0, 100.0)
"""Weights of the data against the penalty of a linear head; the higher, the closer its fit."""
SHARPNESS = (10.0, 30.0)
"""How much likeness counts among neighbors."""
KERNEL_STRENGTH = 300.0
"""As of STRENGTHS, of the head "kernel"."""
SPREAD_STRENGTH = 10.0
"""As of STRENGTHS, of the mean and the standard deviation of all tokens."""
MOST_ITERATIONS = 100
MOST_SPANNED = 2000
"""Windows up to which a linear head is sought in the space that they span, and a kernel is
tried."""
ROWS_AT_ONCE = 16
"""Windows whose logits are computed at a time: each is compared with all that a head has stored, in
up to 7 MB for MOST_SPANNED of 896 numbers, four times over."""
MOST_NEIGHBORS = 20_000
"""Windows up to which neighbors are tried: all of them become a part of the model."""


@dataclass(frozen=True)
class HeadChoice:
    """A head to try."""

    head: Literal["linear", "neighbors", "kernel"]
    levels: tuple[int, ...] = (1,)
    strength: float = 0.0
    """See STRENGTHS and SHARPNESS."""

    def __str__(self) -> str:
        parts = (
            f"parts {'+'.join(map(str, self.levels))}" if all(self.levels) else "mean and spread"
        )
        names = {
            "linear": f"logistic regression, strength {self.strength:g}, {parts}",
            "neighbors": f"neighbors, sharpness {self.strength:g}, {parts}",
            "kernel": f"chi-square kernel, strength {self.strength:g}, {parts}",
        }
        return names[self.head]

    def configure(self, config: TaughtConfig, samples: int) -> TaughtConfig:
        """The shape of a model with this head, fitted to so many windows."""
        examples = samples if self.head in ("neighbors", "kernel") else 0
        return replace(config, head=self.head, levels=self.levels, examples=examples)


def list_choices(config: TaughtConfig, windows: int) -> list[HeadChoice]:
    """The heads worth trying for so many windows, the simplest first."""
    halves = [2**i for i in range(config.pieces.bit_length()) if 2**i < config.pieces]
    levels = [(1,)] if config.pieces == 1 else [(1,), (*halves, config.pieces)]
    found = [HeadChoice("linear", level, c) for level in levels for c in STRENGTHS]
    if windows <= MOST_NEIGHBORS:
        found += [HeadChoice("neighbors", levels[-1], s) for s in SHARPNESS]
    flow = isinstance(config.backbone, FlowConfig)
    if windows <= MOST_SPANNED and flow:
        found.append(HeadChoice("kernel", levels[0], KERNEL_STRENGTH))
    if (config.pieces > 1 or config.grid) and not flow:
        found.append(HeadChoice("linear", (0,), SPREAD_STRENGTH))
    return found


@dataclass(frozen=True, eq=False)
class Spanned:
    """Pooled tokens of windows for a linear head, standardized."""

    x: Tensor
    """[N, R], their coordinates in `basis`."""
    basis: Tensor | None
    """[F, R]; None: x are the tokens themselves."""
    mean: Tensor
    scale: Tensor
    """[F], as of `_pool`."""


@dataclass(frozen=True, eq=False)
class TrainingWindows:
    """Labeled windows to fit a head to."""

    vectors: Tensor
    """float32 [N, P x G x D], embeddings of a taught model."""
    truth: Tensor
    """float32 [N, K], 1 for the labels of each window."""
    weights: Tensor
    """float32 [N], > 0."""
    activation: Activation = "softmax"
    balance: bool = False
    """Whether rare labels weigh more, up to MOST_WEIGHT."""
    spanned: dict[tuple[int, ...], Spanned] = field(default_factory=dict, init=False)
    """What linear heads of other strengths share, by levels."""

    def select(self, rows: NDArray[np.int64]) -> TrainingWindows:
        """Those rows."""
        chosen = torch.from_numpy(rows)
        return replace(
            self,
            vectors=self.vectors[chosen],
            truth=self.truth[chosen],
            weights=self.weights[chosen],
        )

    def loss(self, logits: Tensor) -> Tensor:
        """The weighted mean loss of logits [N, K]."""
        truth, weights = self.truth, self.weights
        counts = (truth * weights[:, None]).sum(0).clamp(min=1e-6)
        if self.activation == "sigmoid":
            rarity = (weights.sum() - counts) / counts
            lift = rarity.clamp(1, MOST_WEIGHT) if self.balance else None
            each = F.binary_cross_entropy_with_logits(
                logits, truth, reduction="none", pos_weight=lift
            ).sum(1)
        else:
            each = -(logits.log_softmax(1) * truth).sum(1)
            if self.balance:
                lift = (counts.mean() / counts).clamp(max=MOST_WEIGHT)
                weights = weights * (truth @ lift)
        return (each * weights).sum() / weights.sum()


Shape = tuple[int, int, int]
"""Pieces, tokens of a piece, width of a token."""


def fit_head(
    choice: HeadChoice, config: TaughtConfig, shape: Shape, windows: TrainingWindows
) -> nn.Module:
    """A head in eval mode; config: as of `HeadChoice.configure`."""
    if choice.head == "linear":
        return _fit_linear(config, shape, windows, choice.strength).eval()
    if choice.head == "neighbors":
        return _fit_neighbors(config, shape, windows, choice.strength).eval()
    return _fit_kernel(config, shape, windows, choice.strength).eval()


@torch.no_grad()
def _pool(config: TaughtConfig, shape: Shape, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Standardized pooled tokens [N, F], and their mean and scale [F]."""
    pooled = PooledTokens(config, shape)(vectors)
    mean, deviation = pooled.mean(0), pooled.std(0, correction=0)
    scale = torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0)
    return pooled.sub_(mean).mul_(scale), mean, scale


def _fit_linear(
    config: TaughtConfig, shape: Shape, windows: TrainingWindows, strength: float
) -> LinearHead:
    """Logistic regression with an L2 penalty, whose minimum is found by L-BFGS."""
    if config.levels not in windows.spanned:
        windows.spanned[config.levels] = _span_windows(config, shape, windows.vectors)
    found = windows.spanned[config.levels]
    weight, bias = _minimize(found.x, windows, strength)
    full = weight if found.basis is None else weight @ found.basis.T
    full = full / full.shape[1] ** 0.5 * found.scale
    head = LinearHead(config, shape)
    with torch.no_grad():
        head.linear.weight.copy_(full)
        head.linear.bias.copy_(bias - full @ found.mean)
    return head


def _span_windows(config: TaughtConfig, shape: Shape, vectors: Tensor) -> Spanned:
    """With fewer windows than numbers, a linear head is a sum of windows: it is sought in the space
    that they span."""
    x, mean, scale = _pool(config, shape, vectors)
    count, width = x.shape
    x = x.div_(width**0.5)
    if count >= min(width, MOST_SPANNED):
        return Spanned(x, None, mean, scale)
    spanned, back = _span(x.double() @ x.double().T)
    return Spanned(spanned, (x.double().T @ back).float(), mean, scale)


def _span(likeness: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates [N, R] of windows in the space that they span, and the matrix [N, R] that turns
    weights of coordinates into those of windows. likeness: [N, N], their inner products."""
    values, vectors = torch.linalg.eigh(likeness.double())
    kept = values > values[-1].clamp(min=1e-12) * 1e-7
    roots = values[kept].sqrt()
    return (vectors[:, kept] * roots).float(), vectors[:, kept] / roots


def _minimize(x: Tensor, windows: TrainingWindows, strength: float) -> tuple[Tensor, Tensor]:
    """Weights [K, F] and biases [K] of the least loss and penalty."""
    classes = windows.truth.shape[1]
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=MOST_ITERATIONS, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )
    penalty = 0.5 / (strength * max(len(x), 1))

    def close() -> Tensor:
        optimizer.zero_grad()
        total = windows.loss(x @ weight.T + bias) + penalty * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(close)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


@torch.no_grad()
def _fit_neighbors(
    config: TaughtConfig, shape: Shape, windows: TrainingWindows, sharpness: float
) -> NeighborsHead:
    x, mean, scale = _pool(config, shape, windows.vectors)
    head = NeighborsHead(config, shape)
    head.mean.copy_(mean)
    head.scale.copy_(scale)
    head.examples.copy_(F.normalize(x, dim=1))
    head.votes.copy_(windows.truth)
    head.sharpness.fill_(sharpness)
    head.log_odds.fill_(float(windows.activation == "sigmoid"))
    return head


def _fit_kernel(
    config: TaughtConfig, shape: Shape, windows: TrainingWindows, strength: float
) -> KernelHead:
    """Logistic regression, as `_fit_linear`, in the space of the kernel."""
    head = KernelHead(config, shape)
    with torch.no_grad():
        shares = head.describe(windows.vectors)
        apart = torch.cat([chi_square(part, shares) for part in torch.split(shares, ROWS_AT_ONCE)])
        head.sharpness.copy_(1 / apart.mean().clamp(min=1e-6))
        head.examples.copy_(shares)
    x, back = _span((-head.sharpness.detach() * apart).exp())
    weight, bias = _minimize(x, windows, strength)
    with torch.no_grad():
        head.weights.copy_(back @ weight.T.double())
        head.bias.copy_(bias)
    return head


@torch.inference_mode()
def apply_head(head: nn.Module, vectors: Tensor) -> NDArray[np.float32]:
    """Logits [N, K] of embeddings, computed ROWS_AT_ONCE."""
    parts = [head(part) for part in torch.split(vectors, ROWS_AT_ONCE)]
    logits: NDArray[np.float32] = torch.cat(parts).numpy()
    return logits
