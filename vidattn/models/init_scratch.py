"""Initial values for small models trained from scratch.

The initialization of the paper expects image weights; from random values with a standard deviation
of .02, a narrow model sees little but the mean color of a patch and takes very long to discover
motion. Here patch filters start as cosines of all frequencies, amplified to offset the 1/f spectrum
of natural images, and positions start distinct.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer

LUMA = (0.299, 0.587, 0.114)
CHROMA = ((0.5, -0.5, 0.0), (-0.25, -0.25, 0.5))
LUMA_SHARE = 0.85
"""Fraction of the patch filters for brightness; the others see color, coarsely."""


@torch.no_grad()
def init_from_scratch(model: nn.Module, generator: torch.Generator) -> None:
    """Overwrite all weights of a transformer but the head, reproducibly from the generator.

    Convolutional networks keep their initial values, which were made for training from scratch.
    """
    if not isinstance(model, TimeSformer | Stam):
        return
    config = model.config
    model.patch.weight.copy_(cosine_filters(config.width, config.patch))
    assert model.patch.bias is not None
    nn.init.zeros_(model.patch.bias)
    for layer in model.layers():
        for name, module in layer.named_modules():
            if isinstance(module, nn.Linear):
                ends_branch = name.endswith(("proj", "mlp.2", "out", "linear2"))
                gain = 0.5 if ends_branch else 1.0
                nn.init.xavier_uniform_(module.weight, gain=gain, generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.MultiheadAttention):
                nn.init.xavier_uniform_(module.in_proj_weight, generator=generator)
    if model.pos is not None:
        model.pos.copy_(
            _mix_waves(_grid_waves(config.size // config.patch), config.width, generator)
        )
    if model.time is not None:
        model.time.copy_(_mix_waves(_time_waves(config.frames), config.width, generator))


def cosine_filters(count: int, side: int) -> Tensor:
    """The `count` lowest two-dimensional cosines as filters [count, 3, side, side].

    Their gain rises with frequency, so that responses to natural images, normalized to a standard
    deviation near 1, are about equally large.
    """
    ramp = torch.arange(side, dtype=torch.float32)
    waves = torch.cos(math.pi / side * (ramp + 0.5) * ramp[:, None]) * math.sqrt(2 / side)
    waves[0] /= math.sqrt(2)
    order = sorted((u * u + v * v, u, v) for u in range(side) for v in range(side))
    bright = min(round(count * LUMA_SHARE), len(order))
    spectra = [(LUMA, *order[i], 0.35, 1.0) for i in range(bright)]
    spectra += [(CHROMA[i % 2], *order[i // 2], 1.0, 2.0) for i in range(count - bright)]
    filters = [
        (slope * f2**0.6 if f2 else flat)
        * torch.einsum("c,v,u->cvu", torch.tensor(c), waves[v], waves[u])
        for c, f2, u, v, flat, slope in spectra
    ]
    return torch.stack(filters) * (4.0 / side)


def _mix_waves(waves: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """Mix waves [..., F] at random: embeddings [..., width], standard deviation near .5."""
    mixture = torch.randn(waves.shape[-1], width, generator=generator)
    return waves @ mixture * (0.5 / math.sqrt(waves.shape[-1] / 2))


def _grid_waves(side: int) -> Tensor:
    """Slow waves along x, along y, and their products: [side, side, 24]."""
    place = torch.linspace(-1, 1, side)[:, None] * math.pi / 2 * torch.tensor([1.0, 2.0])
    line = torch.cat([place.sin(), place.cos()], 1)
    rows = line[:, None].expand(side, side, 4)
    columns = line[None].expand(side, side, 4)
    products = (rows[..., :, None] * columns[..., None, :]).reshape(side, side, 16)
    return torch.cat([rows, columns, products], -1)


def _time_waves(frames: int) -> Tensor:
    """Waves of one half to (frames - 1) / 2 turns over the clip: [frames, 2 (frames - 1)]."""
    turns = torch.arange(frames)[:, None] * math.pi / frames * torch.arange(1, max(2, frames))
    return torch.cat([turns.sin(), turns.cos()], 1)
