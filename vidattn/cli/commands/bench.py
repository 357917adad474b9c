"""`vidattn bench`: the speed of a model on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from vidattn.cli import option_groups as groups
from vidattn.cli.commands.train import RECIPE, RecipeOptions
from vidattn.cli.grouping import Group, option
from vidattn.cli.terminal.console import Console, printable
from vidattn.errors import UsageError
from vidattn.io.text import count_noun
from vidattn.models.device import Runtime

if TYPE_CHECKING:
    from vidattn.evaluation.benchmark import Measurement, Subject

ALL = "all"


@dataclass(frozen=True)
class BenchOptions:
    """What to measure."""

    model: str = ALL
    frames: int | None = None
    rounds: int = 5
    run: bool = False
    train: bool = False


BENCH = {
    "model": option(
        "--model",
        "-m",
        "NAME|all",
        "Catalog name, weights file or folder, measured with random weights. all: count the "
        "parameters and operations of every model in the paper.",
    ),
    "frames": groups.FRAMES,
    "rounds": option("N", "Number of runs; the median is reported.", min=1),
    "run": option("With --model all: also measure each model."),
    "train": option("Time the phases of a training step, with options of `vidattn train`."),
}
TRAINING = {name: RECIPE[name] for name in ("dataset", "data_root", "settings")}
RUNTIME = {
    **{name: groups.RUNTIME[name] for name in ("device", "precision", "compile")},
    "batch_size": option("N", "Clips per forward pass. Default: 1.", min=1),
}


def bench(
    *,
    what: Annotated[BenchOptions, Group("Measurement", BENCH)],
    runtime: Annotated[Runtime, Group("Device", RUNTIME)],
    training: Annotated[RecipeOptions, Group("Training", TRAINING)],
    as_json: groups.JsonOfOne = False,
) -> None:
    """Measure the speed, memory and precision of a model.

    A single model is measured next to its Hugging Face counterpart.

    Example: vidattn bench --model timesformer-k400
    """
    console, runtime = Console(), replace(runtime, batch_size=runtime.batch_size or 1)
    if what.train:
        console.lines(_time_training(what, training, runtime, as_json=as_json))
        return
    if training != RecipeOptions():
        raise UsageError("--dataset, --data-root and --set are for --train")
    if what.model == ALL and not (as_json and what.run):
        console.lines([json.dumps(list(_count_paper()))] if as_json else _paper_table())
    _measure(console, what, runtime, as_json=as_json)


def _time_training(
    what: BenchOptions, training: RecipeOptions, runtime: Runtime, *, as_json: bool
) -> Iterator[str]:
    from vidattn.training.benchmark import step_times

    model = None if what.model == ALL else what.model
    dataset = training.dataset or (None if model else "motion")
    recipe, _ = replace(training, model=model, dataset=dataset).build()
    times = step_times(recipe, training.data_root, device=runtime.device, rounds=what.rounds)
    if as_json:
        yield json.dumps({**asdict(times), "clips_per_second": times.clips_per_second})
        return
    yield (
        f"{times.recipe}: steps of {times.clips} clips, {times.device}, "
        f"{count_noun(times.workers, 'worker')}, {times.clips_per_second:.3g} clips/s"
    )
    total = sum(times.seconds.values())
    for phase, seconds in times.seconds.items():
        yield f"  {phase:<10}{1000 * seconds:>10.1f} ms{100 * seconds / total:>7.1f} %"


def _measure(console: Console, what: BenchOptions, runtime: Runtime, *, as_json: bool) -> None:
    """Measure the models, each after a line that describes it."""
    from vidattn.evaluation import benchmark
    from vidattn.evaluation.published import PAPER

    models = [] if what.model == ALL else [(what.model, benchmark.find_config(what.model))]
    if what.model == ALL and what.run:
        models = [(row.name, row.config) for row in PAPER]
    for name, config in models:
        events = benchmark.benchmark(
            name, config, frames=what.frames, rounds=what.rounds, runtime=runtime
        )
        _report(console, events, as_json=as_json)


def _report(console: Console, events: Iterator[Subject | Measurement], *, as_json: bool) -> None:
    from vidattn.config.serialization import to_plain
    from vidattn.evaluation.benchmark import Measurement, Subject

    subject = next(events)
    assert isinstance(subject, Subject)
    if not as_json:
        console.lines(_header(subject))
    rows = [event for event in events if isinstance(event, Measurement)]
    if as_json:
        console.emit(json.dumps({**to_plain(subject), "ways": to_plain(rows)}))
    else:
        console.lines(_table(rows))


def _header(subject: Subject) -> Iterator[str]:
    config = subject.config
    kind = getattr(config, "attention", getattr(config, "net", config.kind))
    yield (
        f"{printable(subject.name)}: {kind}, {config.frames} "
        f"frames of {config.size}x{config.size}, {_short(subject.parameters)} parameters, "
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
    yield f"  {'':<18}{'clips/s':>9}{'of ceiling':>12}{'memory':>10}{'max diff':>11}" + (
        f"{'x HF':>8}" if theirs else ""
    )
    for row in rows:
        way = f"{row.way:<13}{row.precision:<5}"
        memory = "-" if row.memory_mb is None else f"{row.memory_mb:.0f} MB"
        ratio = f"{theirs[0].seconds / row.seconds:>8.2f}" if theirs else ""
        yield (
            f"  {way}{row.clips_per_second:>9.3g}{100 * row.ceiling:>10.0f} %"
            f"{memory:>10}{row.difference:>11.1e}{ratio}"
        )
    if theirs:
        ours = rows[0]
        most = theirs[0].seconds / (ours.seconds * ours.ceiling)
        yield (
            f"  at the ceiling of {ours.precision}, without folding, it would be {most:.2f} x "
            "Hugging Face's speed"
        )


def _paper_table() -> Iterator[str]:
    """Our counts next to those of the papers, see `vidattn.evaluation.published`."""
    yield (
        f"{'model':<18}{'frames x size':>13}{'views':>7}{'parameters':>12}{'paper':>8}"
        f"{'T mult-adds':>13}{'paper':>7}{'K400':>7}{'SSv2':>6}"
    )
    for row in _count_paper():
        clip, words = f"{row['frames']} x {row['size']}", {"paper_parameters_m": 1, "paper_tera": 2}
        words |= {"paper_k400": 1, "paper_ssv2": 1}
        cells = {k: "" if row[k] is None else f"{row[k]:.{n}f}" for k, n in words.items()}
        yield (
            f"{row['name']:<18}{clip:>13}{row['views']:>7}{row['parameters'] / 1e6:>10.1f} M"
            f"{cells['paper_parameters_m']:>8}{row['tera']:>13.2f}{cells['paper_tera']:>7}"
            f"{cells['paper_k400']:>7}{cells['paper_ssv2']:>6}"
        )


def _count_paper() -> Iterator[dict[str, Any]]:
    from vidattn.evaluation.benchmark import count_parameters
    from vidattn.evaluation.published import PAPER
    from vidattn.models.flops import count_macs

    for row in PAPER:
        yield {
            "name": row.name,
            "frames": row.config.frames,
            "size": row.side,
            "views": row.views,
            "parameters": count_parameters(row.config),
            "paper_parameters_m": row.parameters,
            "tera": row.views * count_macs(row.config, size=row.side) / 1e12,
            "paper_tera": row.tera,
            "paper_k400": row.k400,
            "paper_ssv2": row.ssv2,
        }
