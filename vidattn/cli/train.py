"""`vidattn train`: make a model from a data set."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidattn.cli import options
from vidattn.cli.console import Desk, clock_time
from vidattn.cli.stopping import Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vidattn.config import Recipe
    from vidattn.train import Event


def train(
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="NAME|DIR",
            help="motion, k400, k600, k700, ssv2, diving48, howto100m, ucf101, hmdb51, or a folder "
            "or list of yours.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="RECIPE",
            help="Whose recipe to train with: small, motion-tiny, timesformer-k400, ...",
        ),
    ] = None,
    data_root: options.DataRoot = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="WEIGHTS",
            help="Start from these weights; a video model brings its shape and clips along.",
        ),
    ] = None,
    frames: options.Frames = None,
    attention: Annotated[
        str | None, typer.Option("--attention", metavar="SCHEME", help="Such as divided.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1)] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option("--run-dir", metavar="DIR", help="Default: runs/<dataset>."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run-dir.")] = (
        False
    ),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe."),
    ] = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Train a model on a data set.

    Example: vidattn train --dataset motion --epochs 2
    """
    from vidattn import recipes
    from vidattn import train as trainer
    from vidattn.plain import with_settings
    from vidattn.rundir import STATE
    from vidattn.weights.start import fitted

    desk = Desk(quiet=quiet)
    recipe = recipes.named(model) if model else recipes.for_dataset(dataset)
    recipe = replace(recipe, data=replace(recipe.data, dataset=dataset))
    if init and not model:
        recipe = fitted(recipe, init)
    recipe = with_settings(
        _with_options(recipe, frames, attention, epochs, batch_size), settings or []
    )
    folder = run_dir or Path("runs", _name_of(dataset))
    events = trainer.fit(
        recipe,
        folder,
        data_root=data_root,
        device=device,
        resume=resume,
        init=init,
    )
    desk.note(f"recipe {recipe.name} ({recipe.source or 'ours'}), run directory {folder}")
    try:
        _tell(desk, events)
    except Stopped:
        if (folder / STATE).exists():
            desk.note(
                "stopped; go on with the same settings and: "
                + shlex.join(
                    ["vidattn", "train", "--dataset", dataset, "--run-dir", str(folder), "--resume"]
                )
            )
        raise


def _name_of(dataset: str) -> str:
    """What a data set is called: the last word of its path, also of "." and ".."."""
    path = Path(dataset).expanduser()
    return (path if path.name not in ("", "..") else path.resolve()).name or "data"


def _tell(desk: Desk, events: Iterator[Event]) -> None:
    """Train, and say what happens."""
    from vidattn import train as trainer

    for event in events:
        if isinstance(event, trainer.Epoch):
            scores = "  ".join(f"{name} {value:.4g}" for name, value in event.scores.items())
            desk.emit(f"epoch {event.epoch}/{event.epochs}  {scores}")
        elif isinstance(event, trainer.Saved):
            desk.note(f"saved {event.path}")
        elif isinstance(event, trainer.Note):
            desk.note(event.text)
        elif event.step % 50 == 0:
            left = clock_time(event.seconds_left)
            desk.note(
                f"step {event.step}  loss {event.loss:.4f}  lr {event.lr:.2e}  "
                f"{event.clips_per_second:.0f} clips/s  {left} left"
            )


def _with_options(
    recipe: Recipe,
    frames: int | None,
    attention: str | None,
    epochs: int | None,
    batch_size: int | None,
) -> Recipe:
    """The options that have a name of their own, put where the recipe keeps them."""
    if frames:
        recipe = replace(
            recipe,
            clip=replace(recipe.clip, frames=frames),
            model=replace(recipe.model, frames=frames),
        )
    if attention:
        recipe = replace(recipe, model=replace(recipe.model, attention=attention))
    if epochs:
        recipe = replace(recipe, optim=replace(recipe.optim, epochs=epochs))
    if batch_size:
        recipe = replace(recipe, optim=replace(recipe.optim, batch_size=batch_size))
    return recipe
