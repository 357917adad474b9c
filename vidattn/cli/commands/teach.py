"""`vidattn teach`: a model of one's own classes from a few examples."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import Group, option
from vidattn.cli.model_loading import load_model
from vidattn.cli.option_groups import ModelOptions
from vidattn.cli.terminal.console import Console, ProgressBar
from vidattn.config.run_options import TeachOptions
from vidattn.errors import ExitCode
from vidattn.io.json import dumps
from vidattn.models.device import Runtime

if TYPE_CHECKING:
    from vidattn.training.teach import Taught

MOST_DOUBTS = 10
"""Doubts of the labels that are printed; the report has all."""
TEACHING = {
    "window": option(
        "SEC",
        "Length of a window. Default: chosen from the durations of the samples.",
        min=0.01,
        max=3600,
    ),
    "zoom": option(
        "Let the backbone see the part of the frame that moves. auto: try both, where that costs "
        "little."
    ),
    "flow": option("Learn from optical flow instead of the backbone's embeddings. auto: try both."),
    "labels_at_once": option(
        "Whether one label holds at a time or several may; auto: as in LABELS."
    ),
    "balance": option("Let rare labels weigh more."),
    "group_by": option(
        "COLUMN|PATTERN",
        "What samples have in common that must not be split: a column of the list, such as "
        "subject, or a pattern in file paths. Default: the column group, or the file.",
        show_default=False,
    ),
}
_MODEL = {
    "model": option(
        "--model",
        "-m",
        "MODEL",
        "Backbone: catalog name, weights file or folder, or hf:OWNER/NAME of Hugging Face. "
        "Default: the best one of the catalog that is in the cache; else the bundled motion-tiny.",
    ),
    "frame_step": groups.FRAME_STEP,
    "offline": option("Never use the network."),
    **groups.AREAS,
}


def teach(
    labels: Annotated[
        str,
        typer.Argument(
            metavar="LABELS",
            help="Labeled videos: a folder for each class, a list, or spans labeled by hand.",
        ),
    ],
    *,
    model: Annotated[ModelOptions, Group("Model", _MODEL)],
    options: Annotated[TeachOptions, Group("Teaching", TEACHING)],
    data_root: Annotated[Path | None, groups.DATA_ROOT] = None,
    runtime: groups.DeviceWithoutCompile,
    output: Annotated[
        Path,
        option("--output", "-o", "DIR|FILE", "Where the model goes: a folder or .safetensors."),
    ] = Path("my-model"),
    as_json: groups.JsonOfOne = False,
    quiet: groups.Quiet = False,
) -> int:
    """Teach a model your own classes from a few labeled examples, in minutes.

    Example: vidattn teach labels.csv -m motion-tiny -o my-model
    """
    console = Console(quiet=quiet)
    taught = _run(console, labels, model, options, output, data_root, runtime)
    _show(console, taught, as_json=as_json)
    return ExitCode.INCOMPLETE if taught.failures else ExitCode.DONE


def _run(
    console: Console,
    labels: str,
    model: ModelOptions,
    options: TeachOptions,
    output: Path,
    data_root: Path | None,
    runtime: Runtime,
) -> Taught:
    from vidattn.training.teach import Taught, TeachNote, TeachProgress, teach_events
    from vidattn.weights.loading import best_cached

    if model.model is None:
        model = replace(model, model=best_cached())
        console.note(f"the backbone is {model.model}; -m names another")
    backbone = load_model(console, model)
    events = teach_events(labels, backbone, output, options, data_root=data_root, runtime=runtime)
    part, bar = "", ProgressBar(0)
    with ExitStack() as bars:
        for event in events:
            if isinstance(event, TeachProgress):
                if event.part != part:
                    bars.close()
                    part = event.part
                    bar = bars.enter_context(console.progress(part, event.total))
                while bar.done < event.done:
                    bar.step()
            elif isinstance(event, TeachNote):
                (console.warn if event.warning else console.note)(event.text)
            elif isinstance(event, Taught):
                return event
    raise AssertionError("teaching ends with Taught")


def _show(console: Console, taught: Taught, *, as_json: bool) -> None:
    from vidattn.cli.terminal.metrics import teaching_lines
    from vidattn.training.doubts import summarize

    for failure in taught.failures:
        console.warn(f"left out: {failure.message}")
    if as_json:
        console.emit(dumps(taught.report))
    else:
        console.lines(teaching_lines(taught.report))
    for doubt in taught.doubts[:MOST_DOUBTS]:
        console.warn(doubt.text)
    if len(taught.doubts) > MOST_DOUBTS:
        console.warn(f"in all: {summarize(taught.doubts)}; teach.json lists them")
    console.note(f"wrote {taught.path}; segment and classify take it with -m")
