"""Option groups: settings dataclasses as titled sections of a command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from vidattn.cli.grouping import Changes, Group, Sections, grouped, option
from vidattn.errors import UsageError


@dataclass(frozen=True)
class Lens:
    zoom: float = 1.0
    flat: bool = False
    hidden: int = 7

    def __post_init__(self) -> None:
        if self.flat and self.zoom > 2:
            raise UsageError("a flat lens zooms up to 2")


OPTIONS = {
    "zoom": option("--zoom", "-z", "X", "Magnification.", parser=lambda text: 2 * float(text)),
    "flat": option("--flat", "A flat lens."),
}
LensOptions = Annotated[Lens, Group("Lens", OPTIONS)]
LensChanges = Annotated[dict[str, Any], Changes(LensOptions)]
seen: list[Any] = []


def look(path: str, *, lens: LensOptions, times: int = 1) -> None:
    """Look at something."""
    seen.append((path, lens, times))


def adjust(*, lens: LensChanges) -> None:
    """Adjust a lens."""
    seen.append(lens)


def run(command: Any, *words: str) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(cls=Sections)(grouped(command))
    seen.clear()
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "80"})


def test_a_command_gets_the_settings_object() -> None:
    assert run(look, "x", "-z", "1.5", "--times", "2").exit_code == 0
    assert seen == [("x", Lens(zoom=3.0), 2)]


def test_combinations_are_checked_by_the_dataclass() -> None:
    assert isinstance(run(look, "x", "--zoom", "3", "--flat").exception, UsageError)


def test_changes_are_only_the_options_given() -> None:
    assert run(adjust).exit_code == 0
    assert seen == [{}]
    assert run(adjust, "--no-flat").exit_code == 0
    assert seen == [{"flat": False}]


@pytest.mark.parametrize("command", [look, adjust])
def test_help_has_a_section_for_the_group(command: Any) -> None:
    text = run(command, "--help").output
    lens, others = text.split("Lens:")[1].split("Options:")
    assert "-z, --zoom X" in lens
    assert "--flat" in lens
    assert "--help" in others
    assert "hidden" not in text
