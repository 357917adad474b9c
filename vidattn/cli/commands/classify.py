"""`vidattn classify`: one prediction for each video."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from vidattn.cli import option_groups as groups
from vidattn.cli import parsers
from vidattn.cli.grouping import Group, option
from vidattn.cli.model_loading import require_readable
from vidattn.cli.terminal import timeline as terminal
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.progress import BatchPrinter
from vidattn.inference.batch.inputs import find_existing
from vidattn.inference.batch.job import ClassifyOptions

if TYPE_CHECKING:
    from vidattn.inference.batch.job import BatchJob
    from vidattn.models.classifier import Classifier
    from vidattn.video import Limits


VIEWS = {
    **groups.VIEWS,
    "pool": option(
        "HOW",
        "How to combine views into one prediction: mean, max, topN such as top5, or head=RUN, "
        "a temporal head of `vidattn train --task temporal-head`.",
    ),
    "blank": option(
        "LOSS",
        "Say whether anything happens at all, missing at most this share (such as 5%) of the "
        "videos in which it does; for taught models with a class called blank.",
        parser=parsers.share,
    ),
    **groups.REGION,
}


def classify(
    inputs: groups.Inputs,
    *,
    model: groups.Model,
    options: Annotated[ClassifyOptions, Group("Views", VIEWS)],
    output: groups.Output,
    top: groups.Top = 5,
    batch: groups.Batch,
    runtime: groups.DeviceWithoutCompile,
    limits: groups.Video,
    roi: groups.Rois = [],  # noqa: B006
    quiet: groups.Quiet = False,
) -> int:
    """Classify whole videos and report how much of each the model saw.

    Example: vidattn classify movie.mp4 --frames 96
    """
    console = Console(quiet=quiet)
    files, videos = output.files(), find_existing(inputs, console.note, or_later=batch.watch)
    from vidattn.inference.batch.classify import classify_inputs
    from vidattn.inference.batch.job import BatchJob  # loads torch: after errors
    from vidattn.video import Prefetcher

    wanted = replace(options, runtime=runtime, rois=parsers.parse_rois(roi))
    job = BatchJob.create(videos, files, batch, areas=wanted.rois, sources=inputs)
    classifier, head, job, wanted = _load(console, model, wanted, job, limits)
    show = partial(terminal.print_timeline, console, count=top)
    printer = BatchPrinter(console, job, show, as_json=output.json)
    with Prefetcher(limits, job.joined) as opening:
        return printer.print(classify_inputs(job, classifier, wanted, opening, head))


def _load(
    console: Console,
    model: groups.ModelOptions,
    wanted: ClassifyOptions,
    job: BatchJob,
    limits: Limits,
) -> tuple[Classifier, Classifier | None, BatchJob, ClassifyOptions]:
    """Load the model, and the head that pools its windows; job and options have its areas."""
    from vidattn.cli.model_loading import load_head, load_model
    from vidattn.errors import UsageError
    from vidattn.inference.batch.areas import take_areas
    from vidattn.inference.whole_video import require_head

    head, name = None, model.model
    if wanted.head is not None:
        if model.labels is not None:
            raise UsageError("--pool head=RUN has labels of its own", hint="leave out --labels")
        head = load_head(console, wanted.head, offline=model.offline)
        name = name or require_head(head).config.model
    check = partial(require_readable, job.paths, limits)
    classifier = load_model(console, replace(model, model=name), wanted.frames, check)
    classifier, job, wanted = take_areas(classifier, job, wanted)
    return classifier, head, job, wanted
