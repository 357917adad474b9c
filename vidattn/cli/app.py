"""The commands and their names."""

from __future__ import annotations

from typing import Annotated

import typer

import vidattn
from vidattn.cli import (
    bench,
    classify,
    data,
    doctor,
    evaluate,
    explain,
    models,
    recipe,
    segment,
    timeline,
    train,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help in boxes takes twice as long to appear
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("classify")(classify.classify)
app.command("segment")(segment.segment)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("explain")(explain.explain)
app.command("timeline")(timeline.timeline)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
app.add_typer(recipe.app, name="recipe")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vidattn {vidattn.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What happens in a long video, and when: timelines from TimeSformer models."""
