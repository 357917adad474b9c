"""`vidattn bench`: how fast a model runs on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import options
from vidattn.cli.terminal.console import Console, printable
from vidattn.errors import UsageError
from vidattn.io.text import count_noun

if TYPE_CHECKING:
    from vidattn.cli.commands.recipe_options import Wanted
    from vidattn.config import StamConfig, TimeSformerConfig
    from vidattn.evaluation.benchmark import Measurement, Subject

ALL = "all"


def bench(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|all",
            help="A catalog name, a weights file, or a directory; only its shape is used, with "
            "random weights. all: every model of the paper, counted.",
        ),
    ] = ALL,
    frames: options.Frames = None,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, help="Runs to take the median of.")
    ] = 5,
    run: Annotated[
        bool, typer.Option("--run", help="With --model all: measure each, not only count.")
    ] = False,
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="Where the time of a training step goes; --model, --dataset and --set are then "
            "those of `vidattn train`.",
        ),
    ] = False,
    dataset: options.TrainingSet = None,
    data_root: options.DataRoot = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, help="Clips per forward pass.")
    ] = 1,
    compiled: options.Compile = False,
) -> None:
    """Measure speed, memory and agreement of a model, beside Hugging Face's in the same run.

    Example: vidattn bench --model timesformer-k400
    """
    desk = Console()
    if train:
        from vidattn.cli.commands.recipe_options import Wanted

        named = None if model == ALL else model
        wanted = Wanted(dataset or (None if named else "motion"), named, settings=settings or ())
        desk.lines(_training(wanted, data_root, device, rounds, as_json))
        return
    if dataset or data_root or settings:
        raise UsageError("--dataset, --data-root and --set are for --train")
    from vidattn.evaluation import benchmark as acts
    from vidattn.models.device import Runtime

    runtime = Runtime(device, precision, batch_size, compile=compiled)
    models: list[tuple[str, TimeSformerConfig | StamConfig]] = []
    if model != ALL:
        models = [(model, acts.config_of(model))]
    elif run:
        models = [(row.name, row.config) for row in acts.PAPER]
    if model == ALL and not (as_json and run):
        desk.lines(_paper_json() if as_json else _paper())
    for name, config in models:
        events = acts.benchmark(name, config, frames=frames, rounds=rounds, runtime=runtime)
        _report(desk, events, as_json)


def _training(
    wanted: Wanted, data_root: Path | None, device: str, rounds: int, as_json: bool
) -> Iterator[str]:
    """Where the time of a step goes, phase by phase."""
    from dataclasses import asdict

    from vidattn.training.benchmark import step_times

    recipe, _ = wanted.recipe(None)
    found = step_times(recipe, data_root, device=device, rounds=rounds)
    if as_json:
        yield json.dumps({**asdict(found), "clips_per_second": found.clips_per_second})
        return
    yield (
        f"{found.recipe}: steps of {found.clips} clips, {found.device}, "
        f"{count_noun(found.workers, 'worker')}, "
        f"{found.clips_per_second:.3g} clips/s"
    )
    total = sum(found.seconds.values())
    for phase, seconds in found.seconds.items():
        yield f"  {phase:<10}{1000 * seconds:>10.1f} ms{100 * seconds / total:>7.1f} %"


def _report(desk: Console, events: Iterator[Subject | Measurement], as_json: bool) -> None:
    """Say what is measured before it is measured, then a row for each way."""
    from vidattn.config.serialization import to_plain
    from vidattn.evaluation.benchmark import Measurement, Subject

    subject = next(events)
    assert isinstance(subject, Subject)
    if not as_json:
        desk.lines(_header(subject))
    rows = [event for event in events if isinstance(event, Measurement)]
    if as_json:
        desk.emit(json.dumps({**to_plain(subject), "ways": to_plain(rows)}))
    else:
        desk.lines(_table(rows))


def _header(subject: Subject) -> Iterator[str]:
    config = subject.config
    attention = getattr(config, "attention", "stam")
    yield (
        f"{printable(subject.name)}: {attention}, {config.frames} frames of "
        f"{config.size}x{config.size}, {_short(subject.parameters)} parameters, "
        f"{_short(subject.macs)} multiply-adds"
    )
    yield (
        f"  {subject.device}, {subject.precision}, {count_noun(subject.threads, 'thread')}, "
        f"batch {subject.batch_size}, random weights"
    )


def _short(number: float) -> str:
    """A large number with its unit, as 195.8 G."""
    power = next(power for power in (12, 9, 6, 3, 0) if number >= 10**power or power == 0)
    return f"{number / 10**power:.1f} {' kMGT'[power // 3]}".rstrip()


def _table(rows: list[Measurement]) -> Iterator[str]:
    """One line for each way; the ratio is to Hugging Face's time, where it was measured."""
    theirs = [row for row in rows if row.way == "Hugging Face"]
    yield f"  {'':<14}{'clips/s':>9}{'of ceiling':>12}{'memory':>10}{'max diff':>11}" + (
        f"{'x HF':>8}" if theirs else ""
    )
    for row in rows:
        memory = "-" if row.memory_mb is None else f"{row.memory_mb:.0f} MB"
        ratio = f"{theirs[0].seconds / row.seconds:>8.2f}" if theirs else ""
        yield (
            f"  {row.way:<14}{row.clips_per_second:>9.3g}{100 * row.ceiling:>10.0f} %"
            f"{memory:>10}{row.difference:>11.1e}{ratio}"
        )
    if theirs:
        most = 1 / theirs[0].ceiling
        yield f"  at the ceiling, without folding, it would be {most:.2f} x Hugging Face's speed"


def _paper() -> Iterator[str]:
    """What we count beside what the paper prints (arXiv:2102.05095, Tables 1, 2, 3 and 5)."""
    yield (
        f"{'attention':<14}{'frames x size':>14}{'parameters':>12}{'paper':>8}"
        f"{'T mult-adds x3':>16}{'paper':>7}{'K400':>7}{'SSv2':>6}"
    )
    for row in _counted():
        tera = "" if row["paper_tera"] is None else f"{row['paper_tera']:.2f}"
        paper = "" if row["paper_parameters_m"] is None else f"{row['paper_parameters_m']:.1f}"
        clip = f"{row['frames']} x {row['size']}"
        yield (
            f"{row['name']:<14}{clip:>14}{row['parameters'] / 1e6:>10.1f} M"
            f"{paper:>8}{row['tera']:>16.2f}{tera:>7}"
            f"{row['paper_k400']:>7.1f}{row['paper_ssv2']:>6.1f}"
        )


def _paper_json() -> Iterator[str]:
    yield json.dumps(list(_counted()))


def _counted() -> Iterator[dict[str, Any]]:
    from vidattn.evaluation.benchmark import PAPER, parameters
    from vidattn.models.flops import count_macs

    for row in PAPER:
        yield {
            "name": row.name,
            "frames": row.config.frames,
            "size": row.config.size,
            "parameters": parameters(row.config),
            "paper_parameters_m": row.parameters,
            "tera": 3 * count_macs(row.config) / 1e12,
            "paper_tera": row.tera,
            "paper_k400": row.k400,
            "paper_ssv2": row.ssv2,
        }
