"""A batch of clips ready for a model, and the range of each process in it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class VideoFailure(NamedTuple):
    """A video that could not be used."""

    path: str
    code: str
    """See VideoError."""
    message: str


class Batch(NamedTuple):
    """Clips, their labels, and the known motion of their content."""

    clips: Tensor
    """Float32 [B, 3, T, H, W], normalized."""
    labels: Tensor
    """Int64 [B]; of the videos where clips are views of them. Of labels that may hold at once,
    float32 [B, K]: 1 for those that do."""
    flow: Tensor | None = None
    """Float32 [B, T - 1, h, w, 2]: motion of each patch to the next frame, in short sides; NaN
    where an object moves by itself."""
    replaced: tuple[VideoFailure, ...] = ()
    """Videos that did not decode and whose places others took."""
    views: tuple[int, ...] = ()
    """Consecutive clips of each video, in validation; empty: one."""


def shard_range(size: int, number: int, count: int) -> range:
    """Shard `number` of `count` consecutive shards of `size` items, as equal as possible.

    A shard of two items or more begins at an even place, so partners in mixing stay together.
    """
    unit = 2 if size >= 2 * count else 1
    units = -(-size // unit)
    first, last = (units * n // count * unit for n in (number, number + 1))
    return range(first, min(last, size))
