"""Optimizers, learning rates, trainable parameters, and the running mean of weights.

Modules are known by the names of their parameters alone: `patch`, `cls`, `pos`, `time`,
`blocks.<i>`, `norm`, `head`, and `over_time` and `backbone` of STAM.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from vidattn.config import OptimConfig
from vidattn.errors import RecipeError
from vidattn.models.layers import BatchNorm

Tensors = tuple[Tensor, ...] | list[Tensor]

HEAD = r"head\."
OVER_TIME = r"blocks\.\d+\.steps\.time\.|over_time\."
TRAINABLE = {"full": "", "head": HEAD, "temporal": rf"{HEAD}|{OVER_TIME}|time$|time_cls"}
"""`optim.trainable` -> pattern of the names of trainable parameters."""
BATCH_NORMS = (BatchNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
"""Ours, and those of image networks."""


def lr_at(optim: OptimConfig, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step, counted from 0.

    Warm-up is linear from 0. `steps` divides by 10 at every milestone, counted in fractional
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


def describe_cut_schedule(optim: OptimConfig) -> list[str]:
    """Sentences about what the learning rate does not do because the run ends before."""
    epochs, late = optim.epochs, [m for m in optim.milestones if m >= optim.epochs]
    if optim.warmup_epochs >= epochs:
        return [
            f"the warm-up takes {optim.warmup_epochs:g} epochs and the run {epochs}: the learning "
            f"rate never reaches {optim.lr:g} (--set optim.warmup_epochs=N)"
        ]
    if optim.schedule == "steps" and late:
        return [
            f"the learning rate would fall at epoch {' and '.join(map(str, late))}, and the run "
            f"ends after {epochs} (--set optim.milestones=[M,N])"
        ]
    return []


def scale_lr(optim: OptimConfig, batch_size: int) -> tuple[float, str]:
    """The learning rate for another batch size, and a sentence about the change.

    The rate is proportional to the batch size (arXiv:1706.02677, Sec. 2.1).
    """
    lr = optim.lr * batch_size / optim.batch_size
    text = (
        f"learning rate {lr:.3g} for batches of {batch_size}: the recipe's {optim.lr:.3g} is for "
        f"batches of {optim.batch_size}"
    )
    return lr, text if lr != optim.lr else ""


def freeze_except(model: nn.Module, which: Literal["full", "head", "temporal"]) -> None:
    """Make all parameters trainable, those of the head, or of the head and temporal layers.

    "temporal" is attention over time with its norm and extra linear layer, the time embedding, and
    the head; the image model is frozen. Raises RecipeError for a model without such layers, for
    example with joint attention.
    """
    names = [name for name, _ in model.named_parameters()]
    if which == "head" and not any(re.match(HEAD, name) for name in names):
        raise RecipeError("optim.trainable head: the model has no part called head")
    if which == "temporal" and not any(re.match(OVER_TIME, name) for name in names):
        raise RecipeError(
            "optim.trainable temporal: the model has no attention over time alone",
            hint="divided and axial attention have; or --set optim.trainable=head",
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(re.match(TRAINABLE[which], name) is not None)


def training_mode(model: nn.Module) -> None:
    """`model.train()`, except for frozen modules, which stay in eval mode.

    So neither stochastic depth nor dropout disturbs frozen layers.
    """
    model.train()
    for module in model.modules():
        learns = [parameter.requires_grad for parameter in module.parameters()]
        if learns and not any(learns):
            module.eval()


def layer_depths(module: nn.Module) -> dict[str, int]:
    """The number of layers above each parameter: 0 for the head, the most for the embeddings.

    As timm counts for a ViT: patches and embeddings are the first layer, each block is one, a final
    norm goes with the last block, and whatever comes after is the top. The layers of STAM over the
    frames stand above its blocks, and its time embedding goes with what they stand on.
    """
    names = [name for name, _ in module.named_parameters()]
    blocks, over_time = (_numbered(names, start) for start in ("blocks", "over_time.layers"))
    top = blocks + over_time + 1
    embeddings = r"(patch|cls|cls_pos|pos|backbone)(\.|$)" + ("" if over_time else "|time$")

    def layer(name: str) -> int:
        if name.startswith("blocks."):
            return int(name.split(".")[1]) + 1
        if name.startswith("over_time.layers."):
            return blocks + int(name.split(".")[2]) + 1
        if name.startswith("over_time."):
            return blocks + over_time
        if re.match(embeddings, name):
            return 0
        return blocks if re.match(r"norm\.|time", name) else top

    return {name: top - layer(name) for name in names}


def _numbered(names: Iterable[str], start: str) -> int:
    """How many modules `start`.0, `start`.1 ... there are."""
    matches = (re.match(rf"{re.escape(start)}\.(\d+)\.", name) for name in names)
    return max((int(match[1]) + 1 for match in matches if match), default=0)


def parameter_groups(modules: Iterable[nn.Module], optim: OptimConfig) -> list[dict[str, object]]:
    """The trainable parameters, in groups of one weight decay and one `scale` of learning rate.

    SGD decays all of them but those of batch norm, as the official code of TimeSformer and
    PySlowFast does; AdamW spares norms, biases and embeddings. The scale is `optim.layer_decay` to
    the power of the number of layers above.
    """
    by_kind: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for module in modules:
        above = layer_depths(module) if optim.layer_decay < 1 else {}
        norms = [part for part in module.modules() if isinstance(part, BATCH_NORMS)]
        normed = {id(parameter) for norm in norms for parameter in norm.parameters()}
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                weight = name.endswith("weight") and parameter.ndim >= 2
                spared = id(parameter) in normed or (optim.kind == "adamw" and not weight)
                by_kind.setdefault((above.get(name, 0), spared), []).append(parameter)
    return [
        {
            "params": by_kind[distance, spared],
            "weight_decay": 0.0 if spared else optim.weight_decay,
            "scale": optim.layer_decay**distance,
        }
        for distance, spared in sorted(by_kind)
    ]


def build_optimizer(modules: Iterable[nn.Module], optim: OptimConfig) -> Optimizer:
    """SGD with Nesterov momentum (official code), or AdamW, over the trainable parameters."""
    params = parameter_groups(modules, optim)
    if optim.kind == "sgd":
        nesterov = optim.momentum > 0
        return torch.optim.SGD(params, optim.lr, momentum=optim.momentum, nesterov=nesterov)
    # Fused gives the same numbers and saves a small model a twentieth of its time.
    return torch.optim.AdamW(params, optim.lr, betas=optim.betas, eps=optim.eps, fused=True)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of each group to `lr` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("scale", 1.0)


class WeightAverage:
    """A running mean of the weights of a model over its training steps.

    decay: weight of the mean in each update. It is smaller at first, (1 + n) / (10 + n) at update
    n, so that the initial values fade quickly. Buffers are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._source = model

        def follow(mean: Tensors, now: Tensors, count: Tensor | int) -> None:
            torch._foreach_lerp_(mean, now, max(1 - decay, 9 / (10 + int(count))))

        self._averaged = AveragedModel(model, multi_avg_fn=follow)
        self._averaged.eval().requires_grad_(False)

    @property
    def model(self) -> nn.Module:
        """The averaged model, in eval mode: to evaluate and to save."""
        averaged: nn.Module = self._averaged.module
        return averaged

    def update(self) -> None:
        """Add the current weights, after an optimizer step."""
        self._averaged.update_parameters(self._source)
        for mine, theirs in zip(self.model.buffers(), self._source.buffers(), strict=True):
            mine.copy_(theirs)

    def tensors(self) -> dict[str, Tensor]:
        """The state of the average, as named tensors."""
        return dict(self._averaged.state_dict())

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state of `tensors`."""
        self._averaged.load_state_dict(tensors)
