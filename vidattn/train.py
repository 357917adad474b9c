"""Training: `fit` runs a recipe in a directory and yields what happens; it prints nothing.

A run directory holds recipe.json, log.jsonl, state.safetensors (all that is needed to go on) and
model.safetensors (a classifier that `vidattn.load` opens). Files are replaced whole, so that an
interruption at any moment leaves the last checkpoint valid.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from vidattn import optim as optimizers
from vidattn import recipes
from vidattn.config import Recipe, ViewConfig
from vidattn.data import motion
from vidattn.data.clips import Failure, FileSet
from vidattn.data.motion import Batch
from vidattn.data.sets import open_set
from vidattn.device import Runtime
from vidattn.errors import DivergenceError, RecipeError
from vidattn.evaluate import evaluate
from vidattn.evaluate_set import planner_of
from vidattn.models.classifier import Card, Classifier
from vidattn.models.scratch import init_from_scratch
from vidattn.models.timesformer import TimeSformer
from vidattn.plain import from_plain, to_plain
from vidattn.rundir import STATE, Log, begun_in, write_json
from vidattn.weights.start import start_from
from vidattn.weights.state import load_state, save_state
from vidattn.weights.store import save

FLOW_UNIT = 0.02  # short sides per step: about the spread of what a camera does
LOG_EVERY = 50  # steps


@dataclass(frozen=True)
class Step:
    """One optimizer step is done."""

    step: int
    """Counted from 1 through the whole run."""
    epoch: int
    loss: float
    """Mean cross-entropy of the batch, without the auxiliary loss."""
    lr: float
    clips_per_second: float
    seconds_left: float
    lost: Sequence[tuple[str, str, str]] = ()
    """Path, code and message of videos that did not decode and were replaced by others."""


@dataclass(frozen=True)
class Epoch:
    """An epoch is done and the model was measured on held-back clips."""

    epoch: int
    """Counted from 1."""
    epochs: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Saved:
    """The run directory holds the model as it is after this epoch."""

    path: Path
    epoch: int


@dataclass(frozen=True)
class Note:
    """Something the user should know of the data, in a sentence."""

    text: str


Event = Step | Epoch | Saved | Note


class TrainingSet(Protocol):
    """What a run learns from: batches numbered through all epochs, and held-back ones."""

    labels: tuple[str, ...]
    steps_per_epoch: int
    notes: tuple[str, ...]
    """How the set was read, one sentence each."""
    unreadable: Sequence[Failure]
    """Held-back videos that did not decode when they were last gone through."""

    def batches(self, first: int) -> Iterator[Batch]:
        """Batches from number `first` to the end of the run."""

    def held_back(self) -> Iterator[Batch]:
        """Clips never trained on, the same every time."""


class MotionSet:
    """The procedural set `motion` as a training set."""

    labels: tuple[str, ...] = motion.LABELS
    notes: tuple[str, ...] = ()
    unreadable: Sequence[Failure] = ()

    def __init__(self, recipe: Recipe, folder: Path | None) -> None:
        if recipe.data.clips_per_epoch < recipe.optim.batch_size:
            raise RecipeError(
                f"data.clips_per_epoch {recipe.data.clips_per_epoch} is less than one batch of "
                f"{recipe.optim.batch_size}",
                hint="for example --set data.clips_per_epoch=12800, or a smaller --batch-size",
            )
        self.recipe, self.folder = recipe, folder
        self._training = motion.MotionBatches(recipe, folder)
        self._held_back: list[Batch] | None = None
        self.steps_per_epoch = self._training.steps_per_epoch

    def batches(self, first: int) -> Iterator[Batch]:
        """See TrainingSet."""
        return self._training.batches(first)

    def held_back(self) -> Iterator[Batch]:
        """See TrainingSet."""
        if self._held_back is None:
            self._held_back = list(motion.held_back(self.recipe.clip, self.recipe.data.val_clips))
        yield from self._held_back


def training_set(recipe: Recipe, data_root: Path | None) -> TrainingSet:
    """The data set a recipe names. Raises DataError when it is not there or malformed."""
    if recipe.data.dataset == "motion":
        folder = data_root or (Path(recipe.data.textures) if recipe.data.textures else None)
        return MotionSet(recipe, folder)
    train, val = (open_set(recipe.data.dataset, data_root, half) for half in ("train", "val"))
    return FileSet(recipe, train, val, planner_of(recipe.clip, ViewConfig(spatial=1, clips=1)))


@dataclass
class TrainState:
    """All that changes during a run."""

    model: TimeSformer
    flow_head: nn.Linear
    """Reads the motion of a patch off its last token; used in training only."""
    optimizer: Optimizer
    step: int = 0
    notes: tuple[str, ...] = ()
    """What the weights it started from did not bring."""
    init: str = ""
    """What weights it started from; empty when from none."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything as named tensors: model, auxiliary head, optimizer, random bits."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"flow_head.{k}": v for k, v in self.flow_head.state_dict().items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            for key, value in values.items():
                state[f"optimizer.{number}.{key}"] = torch.as_tensor(value).clone()
        return {**state, "random": torch.get_rng_state()}

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Become the state that `tensors` was made from."""
        self.model.load_state_dict(_below("model.", tensors))
        self.flow_head.load_state_dict(_below("flow_head.", tensors))
        plain = self.optimizer.state_dict()
        for name, value in _below("optimizer.", tensors).items():
            number, key = name.split(".")
            plain["state"].setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict(plain)
        torch.set_rng_state(tensors["random"])
        self.step = step


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def new_state(
    recipe: Recipe, init: Path | str | None, device: torch.device, labels: tuple[str, ...] = ()
) -> TrainState:
    """A model with its initial values and an optimizer that has seen nothing.

    With `init` it takes over the weights that fit, see `weights.start_from`. labels: its classes.
    """
    torch.manual_seed(recipe.seed)
    model = TimeSformer(recipe.model)
    if recipe.start == "scratch":
        init_from_scratch(model, torch.Generator().manual_seed(recipe.seed))
    notes = () if init is None else start_from(model, init, labels)
    model.to(device)
    model.checkpoint = recipe.optim.checkpoint
    flow_head = nn.Linear(recipe.model.width, 2, device=device)
    modules = [model, flow_head] if recipe.optim.flow_weight else [model]
    optimizer = optimizers.optimizer(modules, recipe.optim)
    return TrainState(model, flow_head, optimizer, notes=notes, init=str(init or ""))


def losses(
    state: TrainState, batch: Batch, device: torch.device, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the class, and smooth-L1 of the motion of patches (0 where unknown).

    smoothing: as `OptimConfig.label_smoothing` (arXiv:1512.00567, Sec. 7).
    """
    model = state.model
    cls, patches = model.features(batch.clips.to(device))
    logits = model.head(model.norm(cls))
    named = F.cross_entropy(logits, batch.labels.to(device), label_smoothing=smoothing)
    if batch.flow is None:
        return named, named.new_zeros(())
    flow = batch.flow.to(device) / FLOW_UNIT
    known = torch.isfinite(flow)
    if not known.any():
        return named, named.new_zeros(())
    seen = state.flow_head(model.norm(patches[:, :-1]))
    return named, F.smooth_l1_loss(seen[known], flow[known])


def steps(
    state: TrainState, batches: Iterable[Batch], recipe: Recipe, per_epoch: int
) -> Iterator[Step]:
    """One optimizer step per batch. Changes `state`. Raises DivergenceError on a non-finite loss.

    The weight of the auxiliary loss falls evenly to nothing over the run.
    """
    device, total = next(state.model.parameters()).device, per_epoch * recipe.optim.epochs
    params = [p for group in state.optimizer.param_groups for p in group["params"]]
    began, first = time.monotonic(), state.step
    for batch in batches:
        lr = optimizers.lr_at(recipe.optim, state.step, per_epoch)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        state.model.train()
        named, moved = losses(state, batch, device, recipe.optim.label_smoothing)
        loss = named + recipe.optim.flow_weight * (1 - state.step / total) * moved
        if not torch.isfinite(loss):
            raise DivergenceError(
                f"the loss is {loss.item()} at step {state.step + 1}",
                hint="begin again with a lower rate, such as --set optim.lr=1e-3",
            )
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(params, recipe.optim.clip_norm or math.inf)
        state.optimizer.step()
        state.step += 1
        spent = (time.monotonic() - began) / (state.step - first)
        yield Step(
            state.step,
            (state.step - 1) // per_epoch + 1,
            named.item(),
            lr,
            len(batch.labels) / spent,
            spent * (total - state.step),
            batch.lost,
        )


def fit(
    recipe: Recipe,
    run_dir: Path,
    *,
    data_root: Path | None = None,
    device: str = "auto",
    resume: bool = False,
    init: Path | str | None = None,
) -> Iterator[Event]:
    """Train by `recipe` in `run_dir`; with `resume`, go on from its last checkpoint.

    The model gets as many classes as the data set has. A resumed run on a CPU ends with the very
    weights of one that was never interrupted. The number of epochs may be changed on resuming,
    nothing else of the recipe; when all of them are done, nothing is changed. A run that ended
    before its first checkpoint begins anew, with `resume` or without.

    Raises DataError, RecipeError (also when there is nothing to resume), DivergenceError, and
    OutputError when `run_dir` already holds a run and `resume` is off.
    """
    where = Runtime(device=device).torch_device()
    begun = begun_in(run_dir, resume)
    examples = training_set(recipe, data_root)
    recipe = replace(recipe, model=replace(recipe.model, classes=len(examples.labels)))
    state = new_state(recipe, init, where, examples.labels)
    per_epoch, epochs = examples.steps_per_epoch, recipe.optim.epochs
    if begun:
        _go_on(state, recipe, run_dir)
        if state.step >= per_epoch * epochs:
            yield _nothing_left(run_dir, state.step // per_epoch, epochs)
            return
    write_json(run_dir / "recipe.json", to_plain(recipe))
    log = Log(run_dir / "log.jsonl", state.step)
    anew = [f"{run_dir}: no checkpoint yet, begins anew"] if resume and not begun else []
    yield from (log.add(Note(text)) for text in (*anew, *examples.notes, *state.notes))
    for event in steps(state, examples.batches(state.step), recipe, per_epoch):
        yield from (log.add(_lost(video, "replaced by another")) for video in event.lost)
        yield event
        if event.step % LOG_EVERY == 0:
            log.add(event)
        if event.step % per_epoch == 0:
            found = evaluate(state.model, examples.held_back(), device=where)
            yield from (log.add(_lost(video, "not counted")) for video in examples.unreadable)
            scores = {"top1": found.top1, "mean_class": found.mean_class}
            yield log.add(Epoch(event.epoch, epochs, scores))
            yield _saved(state, recipe, examples, run_dir, event.epoch, found.top1)


def _nothing_left(run_dir: Path, done: int, epochs: int) -> Note:
    return Note(
        f"{run_dir}: {done} epochs are done and {epochs} were asked for: nothing to do; "
        f"--epochs {done + 1} or more goes on"
    )


def _lost(video: tuple[str, str, str], fate: str) -> Note:
    path, code, message = video
    return Note(f"{path}: {fate} ({code}): {message.removeprefix(f'{path}: ')}")


def _go_on(state: TrainState, recipe: Recipe, run_dir: Path) -> None:
    tensors, facts = load_state(run_dir / STATE)
    before = from_plain(Recipe, facts["recipe"])
    same = replace(before, optim=replace(before.optim, epochs=recipe.optim.epochs))
    if same != recipe:
        raise RecipeError(
            f"{run_dir}: was begun with another recipe",
            hint="only the number of epochs may change; see recipe.json there",
        )
    state.restore(tensors, int(facts["step"]))
    state.init = facts.get("init", "")


def _saved(
    state: TrainState, recipe: Recipe, examples: TrainingSet, run_dir: Path, epoch: int, top1: float
) -> Saved:
    """Write the checkpoint first and the model after it; either alone is valid."""
    facts = {"step": state.step, "recipe": to_plain(recipe), "init": state.init}
    save_state(run_dir / STATE, state.tensors(), facts)
    card = _card(recipe, run_dir, state.init, top1)
    classifier = Classifier(state.model, recipe.clip, examples.labels, recipe.averaging, card)
    return Saved(save(classifier, run_dir / "model.safetensors", recipe), epoch)


def _card(recipe: Recipe, run_dir: Path, init: str, top1: float) -> Card:
    """Who the model is: named as the recipe only on its data set, free only if all data is ours."""
    dataset = recipe.data.dataset
    shipped = recipes.RECIPES.get(recipe.name)
    own = shipped is not None and shipped.data.dataset == dataset
    ours = dataset == "motion" and not init
    return Card(
        name=recipe.name if own else run_dir.resolve().name,
        license="Apache-2.0" if ours else "",
        source=f"vidattn train --dataset {dataset}" + (f" --init {init}" if init else ""),
        training_data=dataset,
        expect=f"{dataset} top-1 {100 * top1:.1f} (held-back clips)",
    )
