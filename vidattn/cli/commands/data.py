"""`vidattn data`: check a dataset before days of training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import Commands, Sections, option
from vidattn.cli.terminal.console import Console, printable
from vidattn.errors import ExitCode, UsageError
from vidattn.io.json import dumps
from vidattn.io.text import count_noun
from vidattn.output.text import format_clock

if TYPE_CHECKING:
    from vidattn.data.check.dataset import DatasetSplits

app = typer.Typer(no_args_is_help=True, cls=Commands, help="Check a dataset before training on it.")

FINDINGS = {
    "split": ("split", "missing or malformed"),
    "missing": ("", "listed, but not there"),
    "unreadable": ("", "cannot be read"),
    "damaged": ("", "cannot be decoded everywhere"),
    "beyond": ("span", "after the end of the file"),
    "leak": ("", "in train and in val"),
    "onesided": ("class", "with samples in one split alone"),
    "absent": ("class", "without any sample"),
    "overrun": ("span", "longer than what is left of the file"),
    "vfr": ("", "variable frame rate"),
    "rotated": ("", "stored rotated"),
    "size": ("", "of an unusual size"),
    "single": ("", "a single frame"),
    "folder": ("", "in the folder of another class"),
    "duplicate": ("", "more than once in a split"),
    "conflict": ("", "with two labels"),
    "shared": ("", "one file in both splits, different spans"),
    "alike": ("pair", "of files that look the same, though their contents differ"),
}
"""Each kind of finding in words: what is counted, where a noun says it, and what is wrong."""
MOST_KINDS = 4


@app.callback()
def _group() -> None:
    """Check a dataset before training on it."""


@app.command("check", cls=Sections)
def check(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="Known dataset, folder or list.")
    ],
    data_root: Annotated[Path | None, groups.DATA_ROOT] = None,
    group_by: Annotated[str, groups.GROUP_BY] = "",
    workers: Annotated[
        int, option("--workers", "N", "Files to check at a time. 0: one per CPU.", min=0, max=256)
    ] = 0,
    full: Annotated[bool, option("--full", "Decode every frame, not just a few.")] = False,
    as_json: groups.JsonOfOne = False,
    output: Annotated[
        Path | None,
        option("--output", "-o", "FILE", "Also write all files and findings, as JSON Lines."),
    ] = None,
    quiet: groups.Quiet = False,
) -> None:
    """Open every video of a dataset and list problems: unreadable, odd, duplicate, in both splits.

    Example: vidattn data check ./my_clips -o report.jsonl
    """
    from vidattn.data.check.dataset import open_splits

    console = Console(quiet=quiet)
    if dataset == "motion":
        raise UsageError("the dataset motion is generated: there is nothing to check")
    splits = open_splits(dataset, data_root, group_by)
    with _open_report(output) as write:
        verdict = _check(console, splits, workers or _count_cpus(), full, write)
        write(verdict)
    if not as_json:
        _tell(console, verdict)
    console.lines([dumps(verdict)] if as_json else _lines(verdict))
    if output is not None:
        console.note(f"wrote {output}")
    raise typer.Exit(ExitCode.DONE if verdict["sound"] else ExitCode.INCOMPLETE)


def _tell(console: Console, verdict: dict[str, Any]) -> None:
    for note in verdict["notes"]:
        console.note(note)
    for text in verdict["warnings"]:
        console.warn(text)


def _count_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _open_report(path: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that writes one object per line; the file appears when it is complete."""
    from vidattn.io.files import open_output, replacing_file

    if path is None:
        yield lambda row: None
        return
    with (
        replacing_file(path) as part,
        os.fdopen(open_output(part, os.O_WRONLY), "w", encoding="utf-8") as file,
    ):
        yield lambda row: print(dumps(row), file=file)


def _check(
    console: Console,
    splits: DatasetSplits,
    workers: int,
    full: bool,
    write: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Check and write all files; returns the verdict."""
    from vidattn.data.check.dataset import DatasetCheck, check_dataset

    result = DatasetCheck(splits)
    with console.progress(f"checking {splits.name}", len(splits.files())) as bar:
        for checked in check_dataset(splits, workers=workers, full=full):
            result.add(checked)
            write(checked.to_dict(splits.labels))
            bar.step()
    return result.verdict()


def _lines(verdict: dict[str, Any]) -> Iterator[str]:
    """The verdict as text: sizes, then findings, the worst first."""
    yield f"{printable(verdict['dataset'])} in {printable(verdict['root'])}"
    for split, counts in verdict["splits"].items():
        missing = f", {counts['missing']} missing" * bool(counts["missing"])
        fewest, most = counts["fewest"], counts["most"]
        each = f"{fewest} to {most} of each (median {counts['median']:g})"
        yield (
            f"  {split:<6} {count_noun(counts['items'], 'sample')} of "
            f"{count_noun(counts['classes'], 'class')}, "
            f"{each if fewest < most else f'{most} of each'}{missing}"
        )
    seconds = verdict["seconds"]
    yield (
        f"  {count_noun(verdict['files'], 'file')}, {_format_size(verdict['bytes'])}, "
        f"{format_clock(seconds['total'])}; {seconds['shortest']:.2f} to "
        f"{seconds['longest']:.2f} s each (median {seconds['median']:.2f})"
    )
    for name in ("formats", "sizes"):
        kinds = list(verdict[name].items())
        rest = len(kinds) - MOST_KINDS
        others = f", {count_noun(rest, 'other')}" * (rest > 0)
        if kinds:
            shown = ", ".join(f"{kind} ({count})" for kind, count in kinds[:MOST_KINDS])
            yield f"  {name}: {shown}{others}"
    for kind, finding in verdict["findings"].items():
        grade, examples = "error  " if finding["serious"] else "warning", finding["examples"]
        (noun, text), count = FINDINGS[kind], finding["count"]
        yield f"{grade}  {count_noun(count, noun) if noun else count} {text}"
        lines = [line for example in examples for line in example.split("\n")]
        yield from (f"           {printable(line)}" for line in lines)
        if finding["count"] > len(examples):
            yield f"           and {finding['count'] - len(examples)} more"
    yield "no serious problems" if verdict["sound"] else "serious problems"


def _format_size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
