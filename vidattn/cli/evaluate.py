"""`vidattn eval`: how good a model is."""

from __future__ import annotations

import typer


def evaluate() -> None:
    """Measure a model on a data set."""
    raise typer.Exit(1)
