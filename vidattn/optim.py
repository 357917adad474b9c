"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from vidattn.config import OptimConfig


def lr_at(optim: OptimConfig, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step, counted from 0.

    Warm-up is linear from nothing. `steps` divides by 10 at every milestone, counted in fractional
    epochs as the official code does; `cosine` falls to 0 at the end of the last epoch.
    """
    epoch = step / steps_per_epoch
    warm = 1.0
    if epoch < optim.warmup_epochs:
        warm = (step + 1) / max(1.0, optim.warmup_epochs * steps_per_epoch)
    if optim.schedule == "steps":
        return optim.lr * min(1.0, warm) * 0.1 ** sum(epoch >= m for m in optim.milestones)
    done = min(1.0, epoch / optim.epochs)
    return optim.lr * min(1.0, warm) * 0.5 * (1 + math.cos(math.pi * done))


def groups(modules: Iterable[nn.Module], optim: OptimConfig) -> list[dict[str, object]]:
    """Parameters in two groups: weights, which decay, and norms, biases and embeddings.

    SGD decays all of them, as the official code does. Frozen parameters are left out.
    """
    named = [(n, p) for m in modules for n, p in m.named_parameters() if p.requires_grad]
    if optim.kind == "sgd":
        return [{"params": [p for _, p in named], "weight_decay": optim.weight_decay}]
    decays = [p for n, p in named if n.endswith("weight") and p.ndim >= 2]
    others = [p for n, p in named if not (n.endswith("weight") and p.ndim >= 2)]
    return [
        {"params": decays, "weight_decay": optim.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def optimizer(modules: Iterable[nn.Module], optim: OptimConfig) -> Optimizer:
    """SGD with Nesterov momentum (official code), or AdamW with betas (.9, .98)."""
    params = groups(modules, optim)
    if optim.kind == "sgd":
        nesterov = optim.momentum > 0
        return torch.optim.SGD(params, optim.lr, momentum=optim.momentum, nesterov=nesterov)
    return torch.optim.AdamW(params, optim.lr, betas=(0.9, 0.98))
