"""`vidattn data`: look at a data set before days are spent on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import options
from vidattn.cli.terminal.console import Console, format_clock, printable
from vidattn.errors import ExitCode, UsageError
from vidattn.io.json import dumps
from vidattn.io.text import count_noun

if TYPE_CHECKING:
    from vidattn.data.check.dataset import Splits

app = typer.Typer(no_args_is_help=True, help="Look at a data set before training on it.")

MEANINGS = {
    "half": "a half cannot be opened",
    "missing": "listed, but not there",
    "unreadable": "cannot be read",
    "damaged": "do not decode everywhere",
    "beyond": "spans after the end of their file",
    "leak": "in train and in val",
    "absent": "classes without a video in a half",
    "overrun": "spans that end after their file",
    "vfr": "variable frame rate",
    "rotated": "stored turned",
    "size": "of an unusual size",
    "single": "a single frame",
    "folder": "in the folder of another class",
    "duplicate": "the same more than once in a half",
    "conflict": "the same with two labels",
    "shared": "one file in both halves, different parts",
}
"""What each kind of finding is, in words."""


@app.callback()
def _group() -> None:
    """Look at a data set before training on it."""


@app.command("check")
def check(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="A known set, a folder or a list.")
    ],
    data_root: options.DataRoot = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", metavar="N", min=0, max=256, help="Files at a time; 0: one per processor."
        ),
    ] = 0,
    full: Annotated[
        bool, typer.Option("--full", help="Decode every frame, not only a few of each video.")
    ] = False,
    as_json: options.JsonOfOne = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Also write every file and what was found, as JSON Lines.",
            show_default=False,
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Open every video of a data set and say what is wrong: unreadable, odd, twice, in both halves.

    Example: vidattn data check ./my_clips -o report.jsonl
    """
    from vidattn.data.check.dataset import open_splits

    desk = Console(quiet=quiet)
    if dataset == "motion":
        raise UsageError("the set motion is made as it is needed: there is nothing to check")
    halves = open_splits(dataset, data_root)
    with _report(output) as write:
        verdict = _checked(desk, halves, workers or _processors(), full, write)
        write(verdict)
    if as_json:
        desk.emit(dumps(verdict))
    else:
        _show(desk, verdict)
    if output is not None:
        desk.note(f"wrote {output}")
    raise typer.Exit(ExitCode.DONE if verdict["sound"] else ExitCode.INCOMPLETE)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _report(path: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Takes what is to be written, one object a line; the file appears when all of it is there."""
    from vidattn.io.files import replacing_file

    if path is None:
        yield lambda plain: None
        return
    with replacing_file(path) as part, part.open("w", encoding="utf-8") as file:
        yield lambda plain: print(dumps(plain), file=file)


def _checked(
    desk: Console, halves: Splits, workers: int, full: bool, write: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Check all files, write each, and return the verdict."""
    from vidattn.data.check.dataset import DatasetCheck, check_dataset

    whole = DatasetCheck(halves)
    with desk.progress(f"checking {halves.name}", len(halves.files())) as track:
        for checked in check_dataset(halves, workers=workers, full=full):
            whole.add(checked)
            write(checked.to_dict(halves.labels))
            track.step()
    return whole.verdict()


def _show(desk: Console, verdict: dict[str, Any]) -> None:
    """The verdict for a person: how much there is, then what is wrong, the worst first."""
    seconds = verdict["seconds"]
    desk.emit(f"{printable(verdict['dataset'])} in {printable(verdict['root'])}")
    for half, counts in verdict["halves"].items():
        absent = f", {counts['missing']} missing" * bool(counts["missing"])
        desk.emit(
            f"  {half:<6} {count_noun(counts['items'], 'example')} of "
            f"{count_noun(counts['classes'], 'class')}, "
            f"{counts['fewest']} to {counts['most']} of each (median {counts['median']:g}){absent}"
        )
    desk.emit(
        f"  {count_noun(verdict['files'], 'file')}, {_size(verdict['bytes'])}, "
        f"{format_clock(seconds['total'])}; "
        f"{seconds['shortest']:.2f} to {seconds['longest']:.2f} s each "
        f"(median {seconds['median']:.2f})"
    )
    for name in ("formats", "sizes"):
        found = list(verdict[name].items())
        more = f", {len(found) - 4} others" * (len(found) > 4)
        if found:
            desk.emit(f"  {name}: " + ", ".join(f"{k} ({n})" for k, n in found[:4]) + more)
    for note in verdict["notes"]:
        desk.note(note)
    for kind, found in verdict["findings"].items():
        grade = "error  " if found["serious"] else "warning"
        desk.emit(f"{grade}  {found['count']} {MEANINGS[kind]}")
        desk.lines(f"           {printable(example)}" for example in found["examples"])
        if found["count"] > len(found["examples"]):
            desk.emit(f"           and {found['count'] - len(found['examples'])} more")
    desk.emit("sound" if verdict["sound"] else "not sound")


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
