"""`vidattn train`: train a model on a dataset."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vidattn.cli import launch
from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import Group, option
from vidattn.cli.parsers import choose_area, join_areas
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopFlag, StopRequested
from vidattn.cli.terminal.training import TensorBoardWriter, TrainingDisplay
from vidattn.config import Recipe, recipes
from vidattn.config.run_options import RunOptions
from vidattn.config.serialization import apply_settings
from vidattn.errors import DistributedError, ExitCode, UsageError
from vidattn.io.files import exists, is_file

OF_CLIPS = ("frames", "window", "attention", "crop", "mask", "roi")
"""Options of models that look at clips."""


@dataclass(frozen=True)
class RecipeOptions:
    """A recipe: a base, and changes to it; None leaves a value as it is."""

    dataset: str | None = None
    data_root: Path | None = None
    group_by: str | None = None
    model: str | None = None
    """Name of a shipped recipe."""
    recipe: Path | None = None
    """A recipe as JSON."""
    init: str | None = None
    task: Literal["clips", "temporal-head"] = "clips"
    epochs: int | None = None
    batch_size: str | None = None
    trainable: Literal["full", "head", "temporal"] | None = None
    balance: bool = False
    frames: int | None = None
    window: float | None = None
    attention: str | None = None
    precision: Literal["fp32", "bf16"] | None = None
    crop: str | None = None
    mask: list[str] = field(default_factory=list)
    roi: list[str] = field(default_factory=list)
    settings: list[str] | None = None

    def build(self, saved: Path | None = None) -> tuple[Recipe, list[str]]:
        """The recipe, and notes about it. saved: the recipe of the run to resume, if any."""
        recipe = self._name_dataset(self._find_base(saved))
        named = self.model or self.recipe or self.task == "temporal-head"
        if self.init not in (None, "none") and saved is None and not named:
            from vidattn.weights.initialize import fit_shape

            recipe = fit_shape(recipe, self.init)
        if recipe.temporal_head is not None:
            given = {name: getattr(self, name) for name in OF_CLIPS}
            if unused := next((name for name, value in given.items() if value), None):
                raise UsageError(
                    f"--{unused} has no effect: a temporal head has the windows of its embeddings",
                    hint="give it to segment --embeddings",
                )
        changes = self._changes()
        more, notes = self._batch_changes(recipe)
        if self.window is not None:
            step = self.window / (self.frames or recipe.clip.frames)
            more |= {"clip.step_seconds": step, "clip.train_sampling": "dense"}
            more |= {"clip.sampling": "dense"}
        rows = [f"{key}={json.dumps(value)}" for key, value in (changes | more).items()]
        recipe = apply_settings(recipe, [*rows, *(self.settings or ())])
        for key, value in changes.items():
            section, _, name = key.partition(".")
            if (result := getattr(getattr(recipe, section), name)) != value:
                raise UsageError(
                    f"--{name} {value}, but --set {key}={result}", hint="leave one of them out"
                )
        return recipe, notes

    def _find_base(self, saved: Path | None) -> Recipe:
        if self.recipe and self.model:
            raise UsageError("--recipe and --model both name a recipe", hint="leave one out")
        if self.recipe:
            return recipes.read_recipe(self.recipe)
        if self.model:
            return recipes.find_recipe(self.model)
        if saved:
            return recipes.read_recipe(saved)
        if self.task == "temporal-head":
            return recipes.find_recipe("temporal-head")
        if not self.dataset:
            raise UsageError(
                "nothing to train on",
                hint="--dataset NAME|DIR; or --resume with the --run-dir of a run",
            )
        return recipes.recipe_for(self.dataset)

    def _name_dataset(self, recipe: Recipe) -> Recipe:
        if self.dataset:
            from vidattn.data.sets import normalize_name

            recipe = recipes.fit_to_dataset(recipe, normalize_name(self.dataset))
        if not recipe.data.dataset:
            raise UsageError("no dataset", hint="name one with --dataset")
        return recipe

    def _changes(self) -> dict[str, Any]:
        """Settings that have an option of their own, by their keys in a recipe."""
        values = {
            "data.group_by": self.group_by,
            "clip.frames": self.frames,
            "model.frames": self.frames,
            "model.attention": self.attention,
            "optim.epochs": self.epochs,
            "optim.trainable": self.trainable,
            "optim.balance": self.balance or None,
            "optim.precision": self.precision,
            "clip.area": choose_area(self.crop, self.roi),
            "clip.mask": join_areas(self.mask),
        }
        return {key: value for key, value in values.items() if value is not None}

    def _batch_changes(self, recipe: Recipe) -> tuple[dict[str, Any], list[str]]:
        """Batch size and the learning rate that goes with it, and a note about the latter."""
        from vidattn.training.optim import scale_lr

        size = _parse_batch_size(self.batch_size)
        if size in (None, recipe.optim.batch_size):
            return {}, []
        lr, note = scale_lr(recipe.optim, size)
        overridden = any(text.startswith("optim.lr=") for text in self.settings or ())
        return {"optim.batch_size": size, "optim.lr": lr}, [] if overridden else [note]


RECIPE = {
    "dataset": groups.DATASET,
    "data_root": groups.DATA_ROOT,
    "group_by": groups.GROUP_BY,
    "model": option(
        "--model", "-m", "RECIPE", "Recipe to train with: small, small-stam, timesformer-k400, ..."
    ),
    "recipe": option("FILE.json", "Recipe file, such as recipe.json of a run."),
    "init": option(
        "WEIGHTS",
        "Start from these weights; a video model also sets shape and clips. Default: those of "
        "the recipe; none: random values.",
    ),
    "task": option(
        "clips: a model of clips. temporal-head: a classifier of whole videos, from a list of "
        "files that `segment --embeddings` wrote."
    ),
    "epochs": option("N", "Passes through the dataset. Default: those of the recipe.", min=1),
    "batch_size": option(
        "N|auto",
        "Clips per step, over all processes; scales the learning rate. auto: that of the recipe, "
        "in the largest parts that fit into memory.",
    ),
    "trainable": option("Which parameters to train: all, the head, or temporal layers and head."),
    "balance": option("Let rare classes weigh more in the loss."),
    "frames": option("N", "Frames per clip. Default: those of the recipe.", min=1),
    "window": option(
        "SEC",
        "Length of the windows to learn, anywhere in each clip; `segment` then shows such windows. "
        "Default: chosen from the durations of the clips; published datasets: as published.",
        min=0.01,
        max=3600,
    ),
    "attention": option(
        "SCHEME", "Attention scheme: divided, joint, space, time, local-global or axial."
    ),
    "precision": option(
        "Precision of matrix products; parameters stay in fp32. Default: that of the recipe, "
        "usually fp32."
    ),
    **groups.AREAS,
    "settings": groups.SETTINGS,
}


def _parse_batch_size(text: str | None) -> int | None:
    if text in (None, "auto"):
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise UsageError(f"--batch-size {text}: neither a number above 0 nor auto")


@dataclass(frozen=True)
class RunPlace:
    """The folder of a run, and what happens there."""

    run_dir: Path | None = None
    resume: bool = False
    tensorboard: bool = False
    device: str = "auto"


PLACE = {
    "run_dir": option("DIR", "Run folder. Default: runs/<dataset>."),
    "resume": option("Resume the run in --run-dir."),
    "tensorboard": option("Also write curves for TensorBoard."),
    "device": groups.DEVICE,
}
CHECKPOINTS = {
    "save_every": option(
        "STEPS",
        "Checkpoint interval, in steps. Default: every ten minutes, and after each epoch.",
        min=0,
        show_default=False,
    ),
    "keep": option("N", "Number of checkpoints to keep.", min=1),
    "strategy": option(
        "ddp: each process holds the model. fsdp: each process holds a shard of it.",
        rich_help_panel="Processes",
    ),
    "timeout": option(
        "SEC",
        "How long processes wait for one another before one counts as hung.",
        min=1,
        max=86400,
        rich_help_panel="Processes",
    ),
}


def train(
    context: typer.Context,
    *,
    recipe: Annotated[RecipeOptions, Group("Recipe", RECIPE)],
    place: Annotated[RunPlace, Group("Run", PLACE)],
    how: Annotated[RunOptions, Group("Run", CHECKPOINTS)],
    nproc: groups.Processes = 1,
    quiet: groups.Quiet = False,
) -> int:
    """Train a model on a dataset.

    Example: vidattn train --dataset motion --epochs 2
    """
    launched, console = launch.is_launched(), Console(quiet=quiet)
    folder = place.run_dir or Path("runs", _dataset_name(recipe.dataset))
    how = replace(how, auto_micro_batch=recipe.batch_size == "auto")
    if nproc > 1 and not launched:
        run = launch.RestartableRun(folder, context.obj or [], resume=place.resume)
        return launch.run(nproc, run.given, console, saved=run)
    with _quiet_losses(launched):
        return _train(console, recipe, replace(place, run_dir=folder), how)


def _train(console: Console, options: RecipeOptions, place: RunPlace, how: RunOptions) -> int:
    """Train and print events, those of the first of several processes; returns the exit code."""
    from vidattn.training.events import IncompleteValidation, Interrupted, StepDone
    from vidattn.training.fit import fit
    from vidattn.training.run_dir import checkpoints

    lead, stop, folder = launch.is_lead(), StopFlag(), place.run_dir or Path()
    saved = folder / "recipe.json"
    recipe, notes = options.build(saved if place.resume and exists(saved) else None)
    board = TensorBoardWriter(folder / "tensorboard") if place.tensorboard and lead else None
    events = fit(
        recipe,
        folder,
        data_root=options.data_root,
        device=place.device,
        resume=place.resume,
        init=options.init,
        options=how,
        stop_signal=stop,
    )
    if lead:
        origin = recipe.source or "ours"
        for note in (f"recipe {recipe.name} ({origin}), run folder {folder}", *notes):
            console.note(note)
    code = ExitCode.DONE
    try:
        with TrainingDisplay(console) as display:
            for event in events:
                if isinstance(event, StepDone):
                    stop.listen()
                if isinstance(event, Interrupted):
                    raise StopRequested(event.signal)
                if isinstance(event, IncompleteValidation):
                    code = ExitCode.INCOMPLETE
                for listener in (display, board) if lead else ():
                    if listener:
                        listener.tell(event)
    except StopRequested:
        if lead and checkpoints(folder):
            console.note(
                "stopped; resume with the same settings and: "
                f"{_resume_command(options.dataset, options.data_root, folder)}"
            )
        raise
    finally:
        if board:
            board.close()
    return code


def _resume_command(dataset: str | None, data_root: Path | None, folder: Path) -> str:
    words = ["vidattn", "train", *(["--dataset", dataset] if dataset else [])]
    words += ["--data-root", str(data_root)] if data_root else []
    return shlex.join([*words, "--run-dir", str(folder), "--resume"])


@contextmanager
def _quiet_losses(launched: bool) -> Iterator[None]:
    """Leave it to the launching process to report that another process died."""
    try:
        yield
    except DistributedError as error:
        if not launched:
            raise
        raise typer.Exit(error.exit_code) from None


def _dataset_name(dataset: str | None) -> str:
    """The last word of the path of a dataset, also of "." and ".."; of a list without suffix."""
    if dataset is None:
        return "data"
    path = Path(os.path.expanduser(dataset))  # noqa: PTH111 - pathlib raises for unknown users
    path = path if path.name not in ("", "..") else path.resolve()
    return (path.stem if is_file(path) else path.name) or "data"
