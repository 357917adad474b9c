"""The state of a training run, its losses, and the optimizer steps.

The outcome of a step depends on recipe, seed and step number alone, up to rounding: not on how a
batch is divided among processes or micro-batches, nor on the steps taken before in this process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from vidattn.config import Recipe, TemporalConfig
from vidattn.config.run_options import Strategy
from vidattn.data.batch import Batch, shard_range
from vidattn.errors import DivergenceError, MemoryLimitError, RecipeError, UsageError
from vidattn.models.classifier import Model, build_model
from vidattn.models.device import is_out_of_memory, to_device
from vidattn.models.distributed import World, is_sharded, shard_like, translate_dist_errors, unshard
from vidattn.models.init_scratch import init_from_scratch
from vidattn.models.layers import RngDropout
from vidattn.models.temporal_head import TemporalHead
from vidattn.models.timesformer import TimeSformer
from vidattn.training import optim as optimizers
from vidattn.training.mixup import mix_clips, sum_cross_entropy
from vidattn.weights.initialize import initialize

FLOW_UNIT = 0.02  # short sides per frame step: about the spread of camera motion
MIXING = 3  # first word of the seeds of mixup and cutmix
PATIENCE = 5
"""Steps in a row without a finite gradient after which bf16 training fails; fp32 fails at once."""


class Network(nn.Module):
    """A model and, in training, an auxiliary head that predicts the motion of each patch.

    Raises RecipeError for a flow head on a model whose tokens do not follow patches over time.
    """

    def __init__(self, model: Model | TemporalHead, flow_head: nn.Linear | None = None) -> None:
        super().__init__()
        self.model, self.flow_head = model, flow_head
        if flow_head and not isinstance(model, TimeSformer):
            raise RecipeError(
                f"optim.flow_weight: a {type(model).__name__} does not follow patches over time",
                hint="--set optim.flow_weight=0",
            )

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor | None]:
        """clips: [B, 3, T, H, W]. Returns logits [B, K] and motion [B, T - 1, h, w, 2] or None."""
        model = self.model
        if self.flow_head is None or not isinstance(model, TimeSformer):
            return model(clips), None
        cls, patches = model.features(clips)
        return model.head(model.norm(cls)), self.flow_head(model.norm(patches[:, :-1]))


@dataclass
class TrainState:
    """Everything that changes during a run."""

    network: Network
    optimizer: Optimizer
    average: optimizers.WeightAverage | None = None
    """The running mean of the weights (`optim.ema`)."""
    step: int = 0
    notes: tuple[str, ...] = ()
    """Remarks on the initial weights."""
    init: str = ""
    """The initial weights; empty for none."""
    tally: tuple[float, int, float] = (0.0, 0, 0.0)
    """Of the epoch so far: the sum of the losses, their number, and the sum of the top-1."""
    skipped: int = 0
    """Steps without a finite gradient, in a row."""

    @property
    def model(self) -> Model | TemporalHead:
        """The model itself."""
        return self.network.model

    def tensors(self) -> dict[str, Tensor]:
        """Model, auxiliary head, mean and optimizer as named tensors; all processes call this."""
        state = {name: unshard(value) for name, value in self.network.state_dict().items()}
        for name, value in (self.average.tensors() if self.average else {}).items():
            state[f"average.{name}"] = value
        for number, values in self.optimizer.state_dict()["state"].items():
            for key, value in values.items():
                state[f"optimizer.{number}.{key}"] = unshard(torch.as_tensor(value))
        return state

    def facts(self) -> dict[str, Any]:
        """The rest of the state, as JSON values."""
        counts = {"step": self.step, "init": self.init, "skipped": self.skipped}
        return {**counts, "tally": list(self.tally)}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Restore the state that `tensors` and `facts` describe."""
        names = self.network.state_dict()
        self.network.load_state_dict({k: shard_like(tensors[k], v) for k, v in names.items()})
        if self.average:
            self.average.restore(_below("average.", tensors))
        plain, params = self.optimizer.state_dict(), trainable_parameters(self.optimizer)
        values = _below("optimizer.", tensors)
        numbers = {name: int(name.partition(".")[0]) for name in values}
        order, places = params, {id(parameter): k for k, parameter in enumerate(params)}
        if any(v.ndim and v.shape != params[numbers[name]].shape for name, v in values.items()):
            # A run from when SGD decayed batch norms, too: in the order of the network.
            order = [each for each in self.network.parameters() if each.requires_grad]
        for name, value in values.items():
            own, key = order[numbers[name]], name.partition(".")[2]
            value = shard_like(value, own) if value.ndim else value
            plain["state"].setdefault(places[id(own)], {})[key] = value
        self.optimizer.load_state_dict(plain)
        self.step, self.init, self.skipped = facts["step"], facts["init"], facts["skipped"]
        losses, count, *right = facts["tally"]
        self.tally = (float(losses), int(count), float(right[0]) if right else 0.0)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def trainable_parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    """The trainable parameters, in the order of the optimizer."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def new_state(
    recipe: Recipe,
    init: Path | str | None,
    world: World = World(),
    labels: tuple[str, ...] = (),
    strategy: Strategy = "ddp",
) -> TrainState:
    """A model with its initial weights and a fresh optimizer.

    init: weights to start from, instead of those that the recipe names; "none" for none. See
    `vidattn.weights.initialize`. labels: the classes.
    """
    torch.manual_seed(recipe.seed)
    if recipe.temporal_head is not None:
        return _new_head(recipe, recipe.temporal_head, init, world, strategy)
    model = build_model(recipe.model)
    if recipe.init_scheme == "scratch":
        init_from_scratch(model, torch.Generator().manual_seed(recipe.seed))
    notes = initialize(model, recipe, init, labels)
    model.activation_checkpointing = recipe.optim.activation_checkpointing
    optim = recipe.optim
    flow_head = nn.Linear(getattr(recipe.model, "width", 1), 2) if optim.flow_weight else None
    network = Network(model, flow_head).to(world.device)
    optimizers.freeze_except(model, optim.trainable)
    if strategy == "fsdp":
        if optim.ema:
            raise UsageError("--strategy fsdp keeps no running mean of weights (optim.ema)")
        world.shard(network, model.layers())
    average = optimizers.WeightAverage(model, optim.ema) if optim.ema else None
    modules = [model, flow_head] if flow_head else [model]
    optimizer = optimizers.build_optimizer(modules, optim)
    return TrainState(
        network, optimizer, average, notes=notes, init="" if init in (None, "none") else str(init)
    )


def _new_head(
    recipe: Recipe,
    config: TemporalConfig,
    init: Path | str | None,
    world: World,
    strategy: Strategy,
) -> TrainState:
    """As `new_state`, for a temporal head."""
    if init not in (None, "none") or strategy == "fsdp" or recipe.optim.trainable != "full":
        raise UsageError("a temporal head starts from scratch: no --init, fsdp or --trainable")
    network = Network(TemporalHead(config)).to(world.device)
    average = (
        optimizers.WeightAverage(network.model, recipe.optim.ema) if recipe.optim.ema else None
    )
    return TrainState(network, optimizers.build_optimizer([network.model], recipe.optim), average)


def autocast(recipe: Recipe, world: World) -> torch.autocast:
    """A context that multiplies matrices in bf16 if the recipe says so."""
    bf16 = recipe.optim.precision == "bf16"
    return torch.autocast(world.device.type, torch.bfloat16, enabled=bf16)


class StepResult(NamedTuple):
    """The outcome of one step."""

    loss: float
    """Mean cross-entropy of the whole batch, without the auxiliary loss."""
    lr: float
    clips: int
    """Clips in the whole batch."""
    finite: bool
    """Whether the gradient was finite; if not, the step was skipped."""
    top1: float
    """Share of the training clips whose likeliest label is one of theirs."""
    sums: list[float]
    """The `values` of `train_step`, summed over the processes."""


class Trainer:
    """Takes optimizer steps, alone or together with other processes. Changes `state`.

    micro_batches: number of pieces in which this process computes its shard of a batch.
    """

    def __init__(
        self,
        state: TrainState,
        recipe: Recipe,
        per_epoch: int,
        world: World = World(),
        micro_batches: int | None = None,
    ) -> None:
        self.state, self.recipe, self.world, self.per_epoch = state, recipe, world, per_epoch
        self.total = per_epoch * recipe.optim.epochs
        self.micro_batches = micro_batches or recipe.optim.accumulate
        self.on_phase: Callable[[str], object] = lambda phase: None
        """Called after each phase of a step: forward, backward, optimizer."""
        self._network = world.wrap(state.network)
        self._params = trainable_parameters(state.optimizer)
        self._drops = [m for m in state.model.modules() if isinstance(m, RngDropout)]

    def train_step(self, batch: Batch, *values: float) -> StepResult:
        """Take one step on this process's shard of a batch.

        values: numbers to sum over all processes. Raises DivergenceError when gradients are not
        finite (bf16: several times in a row), and MemoryLimitError.
        """
        state, world = self.state, self.world
        lr = optimizers.lr_at(self.recipe.optim, state.step, self.per_epoch)
        optimizers.set_lr(state.optimizer, lr)
        optimizers.training_mode(state.network)
        state.optimizer.zero_grad()
        batch, targets = self._mix(batch)
        flow = torch.isfinite(batch.flow).sum() if batch.flow is not None else 0
        clips, known = map(int, world.all_reduce_sum(len(batch.labels), float(flow)))
        first = shard_range(clips, world.rank, world.size).start
        count, total, right = max(1, min(self.micro_batches, clips // world.size)), 0.0, 0.0
        with translate_dist_errors(), translate_oom():
            for number in range(count):
                chosen = shard_range(len(batch.labels), number, count)
                self._seed(range(first + chosen.start, first + chosen.stop), clips)
                with self._synced(number == count - 1), autocast(self.recipe, self.world):
                    micro, goal = _slice(batch, chosen), targets[chosen.start : chosen.stop]
                    loss, cross_entropy, hits = self._losses(micro, goal, clips, known)
                    self.on_phase("forward")
                    # Gradients are averaged over the processes, losses summed.
                    (loss * world.size).backward()  # type: ignore[no-untyped-call]
                self.on_phase("backward")
                total += cross_entropy.item()
                right += hits.item()
            norm = nn.utils.clip_grad_norm_(self._params, self.recipe.optim.clip_norm or math.inf)
            norm = unshard(norm)
        total, right, *sums = world.all_reduce_sum(total, right, *values)
        mean = total / clips
        finite = math.isfinite(mean) and bool(torch.isfinite(norm))
        if finite:
            state.optimizer.step()
            if state.average:
                state.average.update()
        self.on_phase("optimizer")
        state.step += 1
        self._count(mean, right / clips, finite)
        return StepResult(mean, lr, clips, finite, right / clips, sums)

    def _mix(self, batch: Batch) -> tuple[Batch, Tensor]:
        """Apply mixup and cutmix; returns the batch and its targets [B, K]."""
        rng = np.random.default_rng((MIXING, self.recipe.seed, self.state.step))
        classes = self.recipe.model.classes
        clips, targets = mix_clips(batch.clips, batch.labels, classes, self.recipe.optim, rng)
        return batch._replace(clips=clips), targets

    def _seed(self, videos: range, clips: int) -> None:
        """Seed the step: the random numbers are those of the whole batch, however it is divided."""
        words = np.random.SeedSequence((self.recipe.seed, self.state.step)).generate_state(2)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))
        for drop in self._drops:
            drop.batch_slice = (videos, clips)

    @contextmanager
    def _synced(self, last: bool) -> Iterator[None]:
        """Exchange gradients between processes only after the last micro-batch."""
        network = self._network
        if is_sharded(network):
            network.set_requires_gradient_sync(last)  # type: ignore[operator]
        tied = isinstance(network, DistributedDataParallel)
        with network.no_sync() if tied and not last else nullcontext():  # type: ignore[operator]
            yield

    def _losses(
        self, micro: Batch, targets: Tensor, clips: int, known: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The share of a micro-batch in the mean loss of the batch, its summed cross-entropy, and
        the number of its clips that are right.

        The loss is the mean cross-entropy, plus the mean smooth-L1 of the motion of patches where
        it is known; the weight of the latter falls linearly to 0 over the run.
        """
        device = self.world.device
        logits, motion = self._network(to_device(micro.clips, device))
        targets = to_device(targets, device)
        summed = sum_cross_entropy(logits.float(), targets, self.recipe)
        best = targets.gather(1, logits.argmax(1, keepdim=True))[:, 0]
        loss, right = summed / clips, (best == targets.amax(1)).sum()
        if motion is None:
            return loss, summed.detach(), right
        if micro.flow is None or not known:
            return loss + 0 * motion.sum(), summed.detach(), right  # every parameter has a gradient
        flow = to_device(micro.flow, device) / FLOW_UNIT
        sure = torch.isfinite(flow)
        off = F.smooth_l1_loss(motion.float()[sure], flow[sure], reduction="sum")
        weight = self.recipe.optim.flow_weight * (1 - self.state.step / self.total)
        return loss + weight * off / known, summed.detach(), right

    def _count(self, loss: float, top1: float, finite: bool) -> None:
        state = self.state
        if finite:
            fresh = (state.step - 1) % self.per_epoch == 0
            losses, count, right = (0.0, 0, 0.0) if fresh else state.tally
            state.tally, state.skipped = (losses + loss, count + 1, right + top1), 0
            return
        state.skipped += 1
        if state.skipped >= (PATIENCE if self.recipe.optim.precision == "bf16" else 1):
            times = f" for the {state.skipped}th time in a row" if state.skipped > 1 else ""
            raise DivergenceError(
                f"the loss is {loss}, its gradient not finite, at step {state.step}{times}",
                hint="start over with a lower learning rate, for example --set optim.lr=1e-3",
            )


MEMORY_HINT = (
    "--batch-size auto splits batches; --set optim.activation_checkpointing=true needs less"
)


@contextmanager
def translate_oom() -> Iterator[None]:
    """Raise MemoryLimitError where torch runs out of memory."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryLimitError("out of memory in training", hint=MEMORY_HINT) from error


def _slice(batch: Batch, chosen: range) -> Batch:
    own = slice(chosen.start, chosen.stop)
    flow = None if batch.flow is None else batch.flow[own]
    return Batch(batch.clips[own], batch.labels[own], flow)


def largest_micro_batch(state: TrainState, recipe: Recipe, world: World, most: int) -> int:
    """The number of clips that fit into memory, halving from `most` until they do.

    Every process must call this, before the first step. Raises MemoryLimitError if none fits.
    """
    size = most
    while size and not _fits(state, recipe, world, size):
        size = -(-size // 2) if size > 1 else 0
    size = -world.all_reduce_max(-size)
    if not size:
        raise MemoryLimitError("out of memory with a single clip", hint=MEMORY_HINT)
    return size


def _fits(state: TrainState, recipe: Recipe, world: World, size: int) -> bool:
    """Whether memory holds so many clips, their gradients, and the state of the optimizer."""
    params, clip = trainable_parameters(state.optimizer), recipe.clip
    try:
        room = [torch.empty_like(p) for p in params * (2 if recipe.optim.kind == "adamw" else 1)]
        clips = torch.zeros(size, 3, clip.frames, clip.crop, clip.crop, device=world.device)
        with autocast(recipe, world):
            logits, motion = state.network.train()(clips)
            loss = logits.float().sum() + (0 if motion is None else motion.float().sum())
            loss.backward()
        del room
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        state.optimizer.zero_grad()
    return True
