"""`vidattn timeline`: decide again on saved scores, or write them in another format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import corpus, options
from vidattn.cli.console import Desk
from vidattn.errors import InputError

if TYPE_CHECKING:
    from vidattn.timeline import Timeline


def timeline(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="What `segment -f json` wrote.", show_default=False),
    ],
    smooth: options.Smooth | None = None,
    kernel: options.Kernel | None = None,
    threshold: options.Threshold | None = None,
    min_duration: options.MinDuration | None = None,
    as_json: options.Json = False,
    formats: options.Formats = None,
    output: options.OutputDir = None,
    quiet: options.Quiet = False,
) -> None:
    """Decide again on saved scores: no video and no model needed.

    Example: vidattn timeline match.vidattn.json --threshold 0.5 -f srt
    """
    from vidattn.cli import report
    from vidattn.timeline import Timeline

    desk = Desk(quiet=quiet)
    delivery = corpus.Delivery.of(as_json=as_json, formats=formats, folder=output, default="")
    wanted: dict[str, Any] = {
        "smooth": smooth,
        "kernel": kernel,
        "threshold": threshold,
        "min_duration": min_duration,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}

    def act(path: str, keep: Callable[[Timeline], None]) -> Timeline:
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        try:
            saved = Timeline.from_json(text)
        except InputError as error:
            raise InputError(f"{path}: {error.message}", hint=error.hint) from None
        return saved.decoded(**changes) if changes else saved

    def show(timeline: Timeline) -> None:
        desk.lines(report.header(timeline))
        desk.lines(report.segments(timeline))

    raise typer.Exit(corpus.run(desk, inputs, act, show, delivery))
