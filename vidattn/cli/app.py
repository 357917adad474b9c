"""The commands and their names. What runs a command is imported when that command is called."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

import vidattn
from vidattn.cli.grouping import Sections, grouped
from vidattn.errors import UsageError

COMMANDS = {
    "classify": "Classify whole videos, with the share of each that the prediction rests on.",
    "segment": "Segment long videos into labeled intervals.",
    "train": "Train a model on a dataset.",
    "eval": "Measure a model on a dataset: top-1, top-5, mean class, calibration.",
    "compare": "Compare timelines with ground truth: frame accuracy, edit score, F1.",
    "explain": "Explain the prediction for a window: a heatmap over its frames.",
    "timeline": "Re-segment saved scores with other settings; needs neither video nor model.",
    "bench": "Measure speed, memory and precision of a model.",
    "doctor": "Inspect a video and estimate the cost of segmenting it.",
    "models": "List, describe, import, export and verify models.",
    "data": "Check a dataset before training on it.",
    "recipe": "List and print training recipes.",
}
"""Every command, with what its help begins with."""
MODULES = {"eval": "evaluate"}
"""Where a command is, if not in a module of its name."""


class _Commands(MutableMapping[str, Any]):
    """The commands by name, each imported when it is looked at."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = _imported(name)
        return self._known[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS


def _imported(name: str) -> Any:
    """A command as typer makes it. KeyError where there is none of that name."""
    if name not in COMMANDS:
        raise KeyError(name)
    word = MODULES.get(name, name)
    module = import_module(f"vidattn.cli.commands.{word}")
    home = typer.Typer(add_completion=False, rich_markup_mode=None)
    home.callback()(lambda: None)  # with it typer makes a group even of one command
    if hasattr(module, "app"):
        home.add_typer(module.app, name=name)
    else:
        home.command(name, cls=Sections)(grouped(getattr(module, word)))
    return get_command(home).commands[name]  # type: ignore[attr-defined]


class _Group(TyperGroup):
    """All commands, without importing those that are only named."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, as `--help` lists them."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The part of `--help` about them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help in boxes takes twice as long to appear
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


Misused: type[Any] = typer.BadParameter.__mro__[1]
"""What is raised for words that make no command; typer does not export it."""


def run(words: Sequence[str]) -> int:
    """Do what the words after `vidattn` ask for, and return the exit code.

    Raises VidattnError: UsageError for words that make no command.
    """
    try:
        code = app(list(words), "vidattn", obj=list(words), standalone_mode=False)
    except Misused as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # not a mistake yet: the help
            return int(error.exit_code)
        path = error.ctx.command_path if error.ctx else "vidattn"
        text = error.format_message().removesuffix(".")
        raise UsageError(text[:1].lower() + text[1:], hint=f"see {path} --help") from None
    return code if isinstance(code, int) else 0
