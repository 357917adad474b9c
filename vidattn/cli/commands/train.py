"""`vidattn train`: train a model on a dataset."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from vidattn.cli import arguments, launch
from vidattn.cli import option_groups as groups
from vidattn.cli.commands.recipe_options import RECIPE, RecipeOptions
from vidattn.cli.grouping import Group, option
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopFlag, StopRequested
from vidattn.cli.terminal.training import TensorBoardWriter, TrainingDisplay
from vidattn.config.run_options import RunOptions
from vidattn.errors import DistributedError, ExitCode
from vidattn.io.files import exists, is_file


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
        "Checkpoint interval, in steps. Default: ten minutes, and after every epoch.",
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
    quiet: arguments.Quiet = False,
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
