"""The command line: wires options to the library, prints results, and turns errors into exit codes.

Nothing here is imported by the library, and nothing here loads torch before a command runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

import vidattn
from vidattn.cli import bench, classify, evaluate, models, segment, timeline, train
from vidattn.cli.console import Desk, Stopped, stop_on_signals
from vidattn.errors import VidattnError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("classify")(classify.classify)
app.command("segment")(segment.segment)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("timeline")(timeline.timeline)
app.command("bench")(bench.bench)
app.add_typer(models.app, name="models")


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


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code; every VidattnError becomes two lines on stderr."""
    stop_on_signals()
    try:
        app(args=None if arguments is None else list(arguments))
    except VidattnError as error:
        Desk().fail(error)
        sys.exit(error.exit_code)
    except Stopped as stopped:
        # Not sys.exit: threads and workers of a run that was stopped must not hold up the end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(stopped.exit_code)
    sys.exit(0)
