"""Training: `fit` runs a recipe in a directory and yields what happens; it prints nothing.

What a run directory holds is said in `vidattn.training.run_dir`. Files are replaced whole, so that
an interruption at any moment leaves the last checkpoint valid, and a run that goes on from it ends
with the very files of one that was never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidattn.config import Recipe
from vidattn.config.serialization import differences, from_plain, to_plain
from vidattn.errors import DataError, RecipeError, UsageError
from vidattn.io.text import count_noun
from vidattn.models.device import Runtime
from vidattn.models.distributed import PEER_TIMEOUT, Strategy, World, join_world
from vidattn.training import artifacts
from vidattn.training import optim as optimizers
from vidattn.training.checkpoint import load_state, save_state
from vidattn.training.data import TrainingDataset, fit_recipe, open_training_dataset
from vidattn.training.events import (
    FATES,
    SCORES,
    CheckpointSaved,
    EpochDone,
    Event,
    Fate,
    IncompleteValidation,
    Interrupted,
    Note,
    StepDone,
    UnreadableVideo,
)
from vidattn.training.run_dir import (
    MetricsFile,
    RunLog,
    checkpoint_path,
    checkpoints,
    has_checkpoint,
    lock_run_dir,
    remove_old_checkpoints,
    require_writable,
    write_json,
)
from vidattn.training.throughput import Throughput
from vidattn.training.trainer import (
    StepResult,
    Trainer,
    TrainState,
    largest_micro_batch,
    new_state,
)

__all__ = [
    "CheckpointSaved",
    "EpochDone",
    "Event",
    "IncompleteValidation",
    "Interrupted",
    "Note",
    "RunOptions",
    "StepDone",
    "UnreadableVideo",
    "fit",
]

LOG_EVERY = 50  # steps
SAVE_SECONDS = 600.0
MANY = 10
"""So many videos that do not decode may be more than a set can do without."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing of it changes the outcome by more than rounding."""

    strategy: Strategy = "ddp"
    """How several processes hold the model: a copy each, or a part each (fsdp)."""
    auto_micro_batch: bool = False
    """Whether to find out in how large parts a batch fits into memory."""
    save_every: int = 0
    """Steps between checkpoints within an epoch; 0: ten minutes instead."""
    keep: int = 2
    """How many checkpoints to keep."""
    timeout: float = PEER_TIMEOUT
    """Seconds that one of several processes may keep the others waiting."""


def fit(
    recipe: Recipe,
    run_dir: Path,
    *,
    data_root: Path | None = None,
    device: str = "auto",
    resume: bool = False,
    init: Path | str | None = None,
    options: RunOptions = RunOptions(),
    stop_signal: Callable[[], int] = lambda: 0,
) -> Iterator[Event]:
    """Train by `recipe` in `run_dir`; with `resume`, go on from its last checkpoint.

    The model gets as many classes as the data set has. A resumed run on a CPU ends with the very
    files of one that was never interrupted, timings aside. Of the recipe, only the number of
    epochs, parts and workers, `optim.evaluate_every` and `data.max_unreadable` may change on
    resuming; when all is done, nothing is changed. A run that ended before its first checkpoint
    begins anew.

    A video that cannot be read is told once; a finished run that has met some ends with Incomplete.

    asked: the number of the signal that asks to stop, 0 for none; the run stops after the step at
    hand. Where several processes were started (torchrun, `--nproc`), all must call this alike.

    Raises DataError, RecipeError (also when there is nothing to resume), DivergenceError,
    MemoryLimitError, DistributedError, and OutputError when `run_dir` already holds a run and
    `resume` is off.
    """
    if options.strategy == "fsdp" and options.auto_micro_batch:
        raise UsageError(
            "--strategy fsdp cannot try out how much fits into memory",
            hint="--set optim.accumulate=N computes batches in N parts",
        )
    with join_world(Runtime(device=device).torch_device(), options.timeout) as world:
        # All see the same directory: nobody looks before what the first process wrote for another
        # run is there, and it writes nothing before all have looked.
        world.all_reduce_max(0)
        begun = bool(world.all_reduce_max(has_checkpoint(run_dir, resume)))
        require_writable(run_dir)
        examples = open_training_dataset(recipe, data_root, (world.rank, world.size))
        recipe = fit_recipe(recipe, examples)
        start = "none" if begun else init
        state = new_state(recipe, start, world, examples.labels, options.strategy)
        run = Run(recipe, run_dir, examples, state, world, options, stop_signal)
        with lock_run_dir(run_dir) if world.is_main else nullcontext():
            if resume and not begun:
                yield Note(f"{run_dir}: no checkpoint yet, begins anew")
            yield from run.events(begun)


class Run:
    """A run in its directory: learns, saves, measures, and tells. The lead alone writes."""

    def __init__(
        self,
        recipe: Recipe,
        run_dir: Path,
        examples: TrainingDataset,
        state: TrainState,
        world: World,
        options: RunOptions,
        stop_signal: Callable[[], int],
    ) -> None:
        self.recipe, self.run_dir, self.examples, self.state = recipe, run_dir, examples, state
        self.world, self.options, self.stop_signal = world, options, stop_signal
        self.per_epoch, self.epochs = examples.steps_per_epoch, recipe.optim.epochs
        self.total = self.per_epoch * self.epochs
        self.parts = 0  # what the recipe says
        self.signal = 0
        self.pace = Throughput()  # of the epoch
        self._saved_at = time.monotonic()

    def events(self, begun: bool) -> Iterator[Event]:
        """From the last checkpoint, if there is one, to the end."""
        state, facts = self.state, self._restored() if begun else {}
        if state.step > self.total:
            yield self._nothing_left()
            return
        if self.world.is_main:
            self.log = RunLog(self.run_dir / "log.jsonl", facts.get("log", 0), state.step)
            self.metrics = MetricsFile(self.run_dir / "metrics.csv", len(self.log.epochs()))
        notes = [Note(text) for text in (*self.examples.notes, *state.notes)]
        if not begun:
            yield from map(self._logged, notes)
            self._save()  # what it starts from is asked for once and never again
        if self.world.is_main:
            write_json(self.run_dir / "recipe.json", to_plain(self.recipe))
        if state.step and state.step % self.per_epoch == 0:
            yield from self._made_good()
        if state.step == self.total and not self.signal:
            yield self._nothing_left()
        elif not self.signal:
            yield from notes if begun else ()
            yield from self._sized()
            yield from self._steps()
        yield from self._ended()

    def _steps(self) -> Iterator[Event]:
        state, world = self.state, self.world
        learner = Trainer(state, self.recipe, self.per_epoch, world, self.parts)
        self.pace, first = Throughput(), state.step
        for batch in self.pace.timed(self.examples.batches(first)):
            due = world.is_main and self._save_is_due()
            done = learner.train_step(batch, due, len(batch.replaced))
            due, lost = (count > 0 for count in done.said)
            yield from self._lost(
                world.all_gather_objects(batch.replaced) if lost else (), "replaced"
            )
            if lost:
                self._require_enough()
            if not done.finite:
                text = f"step {state.step}: the gradient is not finite, the step is left out"
                yield self._logged(Note(text, state.step))
            event = self._stepped(done, first)
            ends = state.step % self.per_epoch == 0
            if ends or due:
                self._save()
            yield event  # whoever hears of a step may end the run: its checkpoint is there
            if ends and not self._halts():
                yield from self._end_of_epoch()
            if self.signal or (state.step < self.total and self._halts()):
                if not (ends or due):
                    self._save()
                return

    def _require_enough(self) -> None:
        """Raise DataError, in all processes, when too many training videos do not decode."""
        dataset, videos = self.recipe.data.dataset, self.examples.videos
        lost = self.world.all_reduce_max(
            len(self.log.lost["replaced"]) if self.world.is_main else 0
        )
        if lost >= MANY and lost > self.recipe.data.max_unreadable * videos:
            raise DataError(
                f"{dataset}: {lost} of {videos} videos to train on do not decode "
                f"({lost / videos:.1%}); they are named in {self.run_dir / 'log.jsonl'}",
                hint="mend them and go on with --resume, or let it go on without them: "
                f"--resume --set data.max_unreadable={min(1.0, 2 * lost / videos):.2g}",
            )

    def _halts(self) -> bool:
        """Whether any process was asked to stop. Every process must ask."""
        self.signal = self.world.all_reduce_max(self.stop_signal())
        return self.signal > 0

    def _ended(self) -> Iterator[Event]:
        """What is to be said at the end: that it was stopped, or that videos were missing."""
        if self.signal:
            yield Interrupted(self.state.step, self.signal)
            return
        counts = [len(self.log.lost[fate]) if self.world.is_main else 0 for fate in FATES]
        replaced, not_counted = map(self.world.all_reduce_max, counts)
        if replaced or not_counted:
            yield IncompleteValidation(replaced, not_counted, self.run_dir / "log.jsonl")

    def _stepped(self, done: StepResult, first: int) -> StepDone:
        """Tell of a step, and log it now and then."""
        step, pace = self.state.step, self.pace
        pace.clips += done.clips
        event = StepDone(
            step,
            self.total,
            (step - 1) // self.per_epoch + 1,
            done.loss,
            done.lr,
            pace.clips / pace.seconds,
            pace.seconds / (step - first) * (self.total - step),
            pace.waiting,
        )
        if step % LOG_EVERY == 0 and done.finite:
            self._logged(event)
        return event

    def _end_of_epoch(self) -> Iterator[Event]:
        """Measure, if due and not done before an interruption; then write what came of it."""
        state, world, timings = self.state, self.world, (0.0, 0.0)
        every = self.recipe.optim.evaluate_every * self.per_epoch
        due = state.step == self.total or state.step % every == 0
        told = (
            [row for row in self.log.epochs() if row["step"] == state.step] if world.is_main else []
        )
        if not world.all_reduce_max(any(row["scores"] or not due for row in told)):
            scores = dict[str, float]()
            if due:
                found = artifacts.validate(
                    state, self.examples, self.recipe, world, self.stop_signal
                )
                if found is None:
                    self._halts()
                    return
                yield from self._lost(
                    world.all_gather_objects(self.examples.unreadable), "not counted"
                )
                scores = {name: getattr(found, name) for name in SCORES}
            event = self._epoch(scores)
            timings = event.seconds, event.waiting
            yield self._logged(event)
        model, path = artifacts.final_model(state), self.run_dir / "model.safetensors"
        if world.is_main:
            self.metrics.add(self.log.epochs()[-1], *timings)
            recipe, labels = self.recipe, self.examples.labels
            artifacts.save_artifacts(model, recipe, labels, self.run_dir, state.init, self.log.rows)
        yield CheckpointSaved(path, state.step // self.per_epoch)

    def _made_good(self) -> Iterator[Event]:
        """What an interruption left undone of the last epoch; a model that was there is no news."""
        path = self.run_dir / "model.safetensors"
        before = artifacts.digest(path)
        for event in self._end_of_epoch():
            if not (isinstance(event, CheckpointSaved) and artifacts.digest(path) == before):
                yield event

    def _epoch(self, scores: Mapping[str, float]) -> EpochDone:
        step, (losses, count) = self.state.step, self.state.tally
        lr = optimizers.lr_at(self.recipe.optim, step - 1, self.per_epoch)
        epoch, loss = step // self.per_epoch, losses / max(1, count)
        return EpochDone(step, epoch, self.epochs, loss, lr, scores, *self.pace.lap())

    def _sized(self) -> Iterator[Event]:
        """Find out how much fits into memory, where that was asked for."""
        if not self.options.auto_micro_batch or self.parts:
            return
        most = -(-self.examples.batch_size // self.world.size)
        size = largest_micro_batch(self.state, self.recipe, self.world, most)
        self.parts = math.ceil(most / size)
        here = f" in each of {self.world.size} processes" if self.world.size > 1 else ""
        how = f"are computed in {self.parts} parts of up to {count_noun(size, 'clip')}"
        how = how if self.parts > 1 else "fit into memory whole"
        yield Note(f"batches of {count_noun(self.examples.batch_size, 'clip')} {how}{here}")

    def _save_is_due(self) -> bool:
        if self.options.save_every:
            return (self.state.step + 1) % self.options.save_every == 0
        return time.monotonic() - self._saved_at > SAVE_SECONDS

    def _save(self) -> None:
        """Write a checkpoint; the log up to here is on the disk already."""
        tensors = self.state.tensors()
        self._saved_at = time.monotonic()
        if not self.world.is_main:
            return
        facts = {
            **self.state.facts(),
            "log": self.log.size,
            "recipe": to_plain(self.recipe),
            "steps_per_epoch": self.per_epoch,
            "parts": self.parts,
        }
        save_state(checkpoint_path(self.run_dir, self.state.step), tensors, facts)
        remove_old_checkpoints(self.run_dir, self.options.keep)

    def _restored(self) -> dict[str, Any]:
        """Become what the newest checkpoint holds; what it says besides."""
        tensors, facts = load_state(checkpoints(self.run_dir)[0])
        changed = differences(_fixed(from_plain(Recipe, facts["recipe"])), _fixed(self.recipe))
        if changed:
            raise RecipeError(
                f"{self.run_dir}: was begun with another recipe: {'; '.join(changed)}",
                hint="name --run-dir and --resume alone; epochs, parts and workers may change",
            )
        if facts["steps_per_epoch"] != self.per_epoch:
            raise RecipeError(
                f"{self.run_dir}: an epoch had {facts['steps_per_epoch']} steps and would now have "
                f"{self.per_epoch}",
                hint="the data set has changed since; begin another run",
            )
        self.state.restore(tensors, facts)
        self.parts = facts["parts"]
        return facts

    def _nothing_left(self) -> Note:
        done = self.state.step // self.per_epoch
        return Note(
            f"{self.run_dir}: the run is complete, {count_noun(done, 'epoch')} done and "
            f"{self.epochs} asked for; --epochs {done + 1} or more goes on"
        )

    def _lost(self, videos: Sequence[tuple[str, str, str]], fate: Fate) -> Iterator[Event]:
        """Tell of those that were not told of before."""
        for path, code, message in videos if self.world.is_main else ():
            if path not in self.log.lost[fate]:
                yield self._logged(UnreadableVideo(self.state.step, path, fate, code, message))

    def _logged(self, event: Event) -> Event:
        if self.world.is_main:
            self.log.add(event)
        return event


def _fixed(recipe: Recipe) -> Recipe:
    """What of a recipe may not change while it is followed."""
    optim = replace(recipe.optim, epochs=1, accumulate=1, evaluate_every=1)
    kept = min(
        1, recipe.data.cache_mb
    )  # kept videos are read in another size, however much is kept
    data = replace(recipe.data, workers=0, cache_mb=kept, max_unreadable=0.0)
    return replace(recipe, optim=optim, data=data, source="", expect=None)
