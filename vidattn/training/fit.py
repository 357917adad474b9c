"""Training: `fit` runs a recipe in a folder and yields events; it prints nothing.

`vidattn.training.run_dir` lists the files of a run directory. They are replaced atomically: an
interruption at any moment leaves the last checkpoint valid, and a run that resumes from it ends
with the very files of an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidattn.config import Recipe
from vidattn.config.run_options import RunOptions
from vidattn.config.serialization import differences, from_plain, to_plain
from vidattn.errors import DataError, RecipeError
from vidattn.io.text import count_noun
from vidattn.models.device import Runtime, is_small, suitable_threads
from vidattn.models.distributed import World, join_world
from vidattn.training import artifacts
from vidattn.training import optim as optimizers
from vidattn.training.benchmark import Throughput
from vidattn.training.checkpoint import load_state, save_state
from vidattn.training.data import TrainingDataset, fit_recipe, open_training_dataset
from vidattn.training.events import (
    FATES,
    CheckpointSaved,
    EpochDone,
    Event,
    Fate,
    IncompleteValidation,
    Interrupted,
    StepDone,
    TrainingNote,
    UnreadableVideo,
    Verdict,
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
from vidattn.training.trainer import StepResult, Trainer, TrainState, largest_micro_batch, new_state

LOG_EVERY = 50  # steps
SAVE_SECONDS = 600.0
TOLERATED = 9
"""Unreadable training videos that never end a run, see `data.max_unreadable`."""


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
    """Train a model by `recipe` in `run_dir`; with `resume`, continue from the last checkpoint.

    The model gets as many classes as the dataset has. A resumed run on a CPU ends with the very
    files of an uninterrupted one, timings aside. Resuming may change the number of epochs,
    micro-batches and workers, `optim.evaluate_every` and `data.max_unreadable`, but nothing else of
    the recipe. A run that ended before its first checkpoint starts over.

    A video that cannot be read is reported once; a finished run with such videos ends with
    IncompleteValidation.

    stop_signal: returns the number of the signal that asks to stop, 0 for none; the run stops after
    the current step. With several processes (torchrun, `--nproc`), all must call `fit` alike.

    Raises DataError, RecipeError (also when there is nothing to resume), DivergenceError,
    MemoryLimitError, DistributedError, and OutputError when `run_dir` already holds a run and
    `resume` is off.
    """
    with join_world(Runtime(device=device).torch_device(), options.timeout) as world:
        # All processes see the same directory: none looks before the files of an earlier run by the
        # first process are there, and the first one writes nothing before all have looked.
        world.all_reduce_max(0)
        begun = bool(world.all_reduce_max(has_checkpoint(run_dir, resume)))
        require_writable(run_dir)
        data = open_training_dataset(recipe, data_root, (world.rank, world.size))
        recipe = fit_recipe(recipe, data)
        start = "none" if begun else init
        state = new_state(recipe, start, world, data.labels, options.strategy)
        run = Run(recipe, run_dir, data, state, world, options, stop_signal)
        with (
            lock_run_dir(run_dir) if world.is_main else nullcontext(),
            suitable_threads(is_small(state.model), world.device),
        ):
            if resume and not begun:
                yield TrainingNote(f"{run_dir}: no checkpoint yet, starts over")
            yield from run.events(begun)


class Run:
    """A run in its directory: trains, saves, validates, reports. Only the main process writes."""

    def __init__(
        self,
        recipe: Recipe,
        run_dir: Path,
        data: TrainingDataset,
        state: TrainState,
        world: World,
        options: RunOptions,
        stop_signal: Callable[[], int],
    ) -> None:
        self.recipe, self.run_dir, self.data, self.state = recipe, run_dir, data, state
        self.world, self.options, self.stop_signal = world, options, stop_signal
        self.per_epoch, self.epochs = data.steps_per_epoch, recipe.optim.epochs
        self.total = self.per_epoch * self.epochs
        self.micro_batches = 0  # 0: as the recipe says
        self.signal = 0
        self.throughput = Throughput()
        self._saved_at = time.monotonic()

    def events(self, begun: bool) -> Iterator[Event]:
        """Run from the last checkpoint, if there is one, to the end."""
        state, facts = self.state, self._restore() if begun else {}
        if state.step > self.total:
            yield self._complete()
            return
        if self.world.is_main:
            self.log = RunLog(self.run_dir / "log.jsonl", facts.get("log", 0), state.step)
            self.metrics = MetricsFile(self.run_dir / "metrics.csv", len(self.log.epochs()))
        cut = optimizers.describe_cut_schedule(self.recipe.optim)
        notes = [TrainingNote(text) for text in (*self.data.notes, *state.notes, *cut)]
        notes += [TrainingNote(text, warning=True) for text in self.data.warnings]
        if (was := facts.get("videos", self.data.videos)) != self.data.videos:
            text = f"the dataset has changed: {self.data.videos} videos to train on were {was}"
            notes.append(TrainingNote(text))
        if not begun:
            yield from map(self._log, notes)
            self._save()  # the initial weights are never read again
        if self.world.is_main:
            write_json(self.run_dir / "recipe.json", to_plain(self.recipe))
        if state.step and state.step % self.per_epoch == 0:
            yield from self._finish_epoch()
        if state.step == self.total and not self.signal:
            yield self._complete()
        elif not self.signal:
            yield from notes if begun else ()
            yield from self._size_batches()
            yield from self._steps()
        yield from self._end()

    def _steps(self) -> Iterator[Event]:
        state, world = self.state, self.world
        trainer = Trainer(state, self.recipe, self.per_epoch, world, self.micro_batches)
        self.throughput = Throughput()
        for batch in self.throughput.timed(self.data.batches(state.step)):
            due = world.is_main and self._save_is_due()
            done = trainer.train_step(batch, due, len(batch.replaced))
            due, unreadable = (count > 0 for count in done.sums)
            if unreadable:
                yield from self._report(world.all_gather_objects(batch.replaced), "replaced")
                self._require_enough()
            if not done.finite:
                text = f"step {state.step}: the gradient is not finite, the step is left out"
                yield self._log(TrainingNote(text, state.step))
            event = self._step_event(done)
            ends = state.step % self.per_epoch == 0
            if ends or due:
                self._save()
            yield event  # the consumer may end the run here: the checkpoint is saved
            if ends and not self._should_stop():
                yield from self._end_of_epoch()
            if self.signal or (state.step < self.total and self._should_stop()):
                if not (ends or due):
                    self._save()
                return

    def _require_enough(self) -> None:
        """Raise DataError, in all processes, when too many training videos do not decode."""
        dataset, videos = self.recipe.data.dataset, self.data.videos
        lost = self.world.all_reduce_max(
            len(self.log.lost["replaced"]) if self.world.is_main else 0
        )
        if lost > TOLERATED and lost > self.recipe.data.max_unreadable * videos:
            raise DataError(
                f"{dataset}: {lost} of {videos} videos to train on do not decode "
                f"({lost / videos:.1%}); they are named in {self.run_dir / 'log.jsonl'}",
                hint="repair them and use --resume, or continue without them: "
                f"--resume --set data.max_unreadable={min(1.0, 2 * lost / videos):.2g}",
            )

    def _should_stop(self) -> bool:
        """Whether any process was asked to stop; every process must call this."""
        self.signal = self.world.all_reduce_max(self.stop_signal())
        return self.signal > 0

    def _end(self) -> Iterator[Event]:
        """Report at the end that the run was stopped, or that videos were missing."""
        if self.signal:
            yield Interrupted(self.state.step, self.signal)
            return
        yield from self._judge()
        counts = [len(self.log.lost[fate]) if self.world.is_main else 0 for fate in FATES]
        replaced, not_counted = map(self.world.all_reduce_max, counts)
        if replaced or not_counted:
            yield IncompleteValidation(replaced, not_counted, self.run_dir / "log.jsonl")

    def _judge(self) -> Iterator[Event]:
        """The verdict on a finished run, once."""
        step, log = self.state.step, self.log if self.world.is_main else None
        if log is None or step < self.total or not log.epochs():
            return
        said = any(row["event"] == "verdict" and row["step"] == step for row in log.rows)
        text = "" if said else artifacts.describe_result(log.epochs())
        if text:
            yield self._log(Verdict(step, text))

    def _step_event(self, done: StepResult) -> StepDone:
        """The event of a step, logged every LOG_EVERY steps."""
        step, pace = self.state.step, self.throughput
        pace.end_step(done.clips)
        epochs_left = self.epochs - step // self.per_epoch
        validations = -(-epochs_left // self.recipe.optim.evaluate_every)
        event = StepDone(
            step,
            self.total,
            (step - 1) // self.per_epoch + 1,
            done.loss,
            done.lr,
            pace.clips / pace.seconds,
            pace.estimate(self.total - step, validations),
            pace.waiting,
        )
        if step % LOG_EVERY == 0 and done.finite:
            self._log(event)
        return event

    def _end_of_epoch(self) -> Iterator[Event]:
        """Validate, if due and not done before an interruption; then write the artifacts."""
        state, world, timings = self.state, self.world, (0.0, 0.0)
        every = self.recipe.optim.evaluate_every * self.per_epoch
        due = state.step == self.total or state.step % every == 0
        rows = self.log.epochs() if world.is_main else []
        logged = [row for row in rows if row["step"] == state.step]
        if not world.all_reduce_max(any(row["scores"] or not due for row in logged)):
            metrics = None
            if due:
                with self.throughput.validating():
                    metrics = artifacts.validate(
                        state, self.data, self.recipe, world, self.stop_signal
                    )
                if metrics is None:
                    self._should_stop()
                    return
                failed = world.all_gather_objects(self.data.unreadable)
                yield from self._report(failed, "not counted")
            event = self._epoch_event(metrics)
            timings = event.seconds, event.waiting
            yield self._log(event)
        model, path = artifacts.final_model(state), self.run_dir / "model.safetensors"
        if world.is_main:
            self.metrics.add(self.log.epochs()[-1], *timings)
            recipe, labels = self.recipe, self.data.labels
            artifacts.save_artifacts(model, recipe, labels, self.run_dir, state.init, self.log.rows)
        yield CheckpointSaved(path, state.step // self.per_epoch)

    def _finish_epoch(self) -> Iterator[Event]:
        """Finish the last epoch after an interruption; report a model only if it is new."""
        path = self.run_dir / "model.safetensors"
        before = artifacts.digest(path)
        for event in self._end_of_epoch():
            if not (isinstance(event, CheckpointSaved) and artifacts.digest(path) == before):
                yield event

    def _epoch_event(self, found: artifacts.Validation | None) -> EpochDone:
        step, (losses, count, right) = self.state.step, self.state.tally
        return EpochDone(
            step,
            step // self.per_epoch,
            self.epochs,
            losses / max(1, count),
            optimizers.lr_at(self.recipe.optim, step - 1, self.per_epoch),
            found.scores if found else {},
            *self.throughput.lap(),
            train_top1=right / max(1, count),
            clips=found.clips if found else 0,
            majority=found.majority if found else 0.0,
            thresholds=found.thresholds if found else (),
        )

    def _size_batches(self) -> Iterator[Event]:
        """Choose micro-batches that fit into memory, if asked for."""
        if not self.options.auto_micro_batch or self.micro_batches:
            return
        most = -(-self.data.batch_size // self.world.size)
        size = largest_micro_batch(self.state, self.recipe, self.world, most)
        self.micro_batches = math.ceil(most / size)
        here = f" in each of {self.world.size} processes" if self.world.size > 1 else ""
        how = f"are split into {self.micro_batches} of up to {count_noun(size, 'clip')}"
        how = how if self.micro_batches > 1 else "fit into memory whole"
        yield TrainingNote(f"batches of {count_noun(self.data.batch_size, 'clip')} {how}{here}")

    def _save_is_due(self) -> bool:
        if self.options.save_every:
            return (self.state.step + 1) % self.options.save_every == 0
        return time.monotonic() - self._saved_at > SAVE_SECONDS

    def _save(self) -> None:
        """Write a checkpoint; the log up to here is on disk already."""
        tensors = self.state.tensors()
        self._saved_at = time.monotonic()
        if not self.world.is_main:
            return
        facts = {
            **self.state.facts(),
            "log": self.log.size,
            "recipe": to_plain(self.recipe),
            "steps_per_epoch": self.per_epoch,
            "videos": self.data.videos,
            "parts": self.micro_batches,
        }
        save_state(checkpoint_path(self.run_dir, self.state.step), tensors, facts)
        remove_old_checkpoints(self.run_dir, self.options.keep)

    def _restore(self) -> dict[str, Any]:
        """Restore the newest checkpoint; returns its facts."""
        tensors, facts = load_state(checkpoints(self.run_dir)[0])
        changed = differences(
            _fixed_part(from_plain(Recipe, facts["recipe"])), _fixed_part(self.recipe)
        )
        if changed:
            raise RecipeError(
                f"{self.run_dir}: was started with another recipe: {'; '.join(changed)}",
                hint="give --run-dir and --resume only; epochs and workers may change",
            )
        if facts["steps_per_epoch"] != self.per_epoch:
            raise RecipeError(
                f"{self.run_dir}: an epoch had {facts['steps_per_epoch']} steps and would now have "
                f"{self.per_epoch}",
                hint="the dataset has changed since; start another run",
            )
        self.state.restore(tensors, facts)
        self.micro_batches = facts["parts"]
        return facts

    def _complete(self) -> TrainingNote:
        done = self.state.step // self.per_epoch
        return TrainingNote(
            f"{self.run_dir}: the run is complete, {count_noun(done, 'epoch')} done and "
            f"{self.epochs} asked for; continue with --epochs {done + 1} or more"
        )

    def _report(self, videos: Sequence[tuple[str, str, str]], fate: Fate) -> Iterator[Event]:
        """Report the unreadable videos that were not reported before."""
        for path, code, message in videos if self.world.is_main else ():
            if path not in self.log.lost[fate]:
                yield self._log(UnreadableVideo(self.state.step, path, fate, code, message))

    def _log(self, event: Event) -> Event:
        if self.world.is_main:
            self.log.add(event)
        return event


def _fixed_part(recipe: Recipe) -> Recipe:
    """The recipe with fixed values for everything that may change on resuming."""
    optim = replace(recipe.optim, epochs=1, accumulate=1, evaluate_every=1)
    cached = min(1, recipe.data.cache_mb)  # cached videos are read at another size
    data = replace(recipe.data, workers=0, cache_mb=cached, max_unreadable=0.0)
    return replace(recipe, optim=optim, data=data, source="", expect=None)
