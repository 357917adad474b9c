"""The commands by name; the module of a command is imported when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from vidattn.cli.grouping import Misused, Sections, grouped
from vidattn.errors import UsageError
from vidattn.io.files import is_file

COMMANDS = {
    "demo": "Segment a short drawn video of known camera moves, as a first try.",
    "classify": "Classify whole videos and report how much of each the model saw.",
    "segment": "Segment long videos into labeled intervals.",
    "teach": "Teach a model your own classes from a few labeled examples, in minutes.",
    "suggest": "Suggest which windows of your videos to label next.",
    "train": "Train a model on a dataset.",
    "eval": "Evaluate a model on a dataset: accuracy, calibration and confusions.",
    "compare": "Compare timelines with ground truth: frame accuracy, edit score, F1 and mAP.",
    "explain": "Explain the prediction for a window: heatmaps, and the effect of each frame.",
    "timeline": "Re-segment saved scores with other settings; needs no model.",
    "bench": "Measure the speed, memory and precision of a model.",
    "doctor": "Inspect a video and estimate the cost of segmenting it.",
    "models": "List, describe, get, convert, share and verify models.",
    "data": "Check a dataset before training on it.",
    "recipe": "List and print training recipes.",
}
"""Every command, with the first sentence of its help."""
MODULES = {"eval": "evaluate"}
"""Modules of commands that have another name."""


def _import_command(name: str) -> Any:
    word = MODULES.get(name, name)
    module = import_module(f"vidattn.cli.commands.{word}")
    parent = typer.Typer(add_completion=False, rich_markup_mode=None)
    parent.callback()(lambda: None)  # makes typer build a group even of one command
    if hasattr(module, "app"):
        parent.add_typer(module.app, name=name)
    else:
        parent.command(name, cls=Sections)(grouped(getattr(module, word)))
    return get_command(parent).commands[name]  # type: ignore[attr-defined]


class _Group(TyperGroup):
    """The group of all commands, which imports only the one that runs."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given | {"commands": dict.fromkeys(COMMANDS)})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _import_command(cmd_name) if cmd_name in COMMANDS else None

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of `--help`."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help in boxes takes twice as long to appear
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"vidattn {version('vidattn')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Timelines of long videos, from TimeSformer models."""


PLAIN_WORDS = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "not a whole number",
    "Input should be a valid number, unable to parse string as a number": "not a number",
    "Input should be greater than or equal to": "must be at least",
    "Input should be less than or equal to": "must be at most",
}
"""What typer says of invalid values through pydantic, and what we say."""


def run(words: Sequence[str]) -> int:
    """Run the command of the words after `vidattn`; returns the exit code.

    `help COMMAND` is `COMMAND --help`.

    Raises VidattnError, such as UsageError for an invalid command line.
    """
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        code = app(list(words), "vidattn", obj=list(words), standalone_mode=False)
    except Misused as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # prints the help
            return int(error.exit_code)
        path = error.ctx.command_path if error.ctx else "vidattn"
        text = _plain(error.format_message().removesuffix("."))
        dashed = next((word for word in words if word[:1] == "-" and is_file(word)), None)
        hint = f"see {path} --help" if dashed is None else f"name the file ./{dashed}"
        raise UsageError(text[:1].lower() + text[1:], hint=hint) from None
    return code if isinstance(code, int) else 0


def _plain(message: str) -> str:
    for words, ours in PLAIN_WORDS.items():
        message = message.replace(words, ours)
    return message
