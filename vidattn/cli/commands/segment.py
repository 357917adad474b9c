"""`vidattn segment`: the timelines of long videos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from vidattn.cli import option_groups as groups
from vidattn.cli import parsers
from vidattn.cli.grouping import Group, option
from vidattn.cli.model_loading import load_model, require_readable
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.progress import BatchPrinter
from vidattn.cli.terminal.timeline import print_timeline
from vidattn.inference.batch.inputs import find_existing
from vidattn.inference.batch.job import SegmentOptions

if TYPE_CHECKING:
    from vidattn.inference.batch.job import BatchJob
    from vidattn.inference.batch.ray import Load
    from vidattn.models.classifier import Classifier
    from vidattn.video import Limits

MORE = {
    "cuts": groups.CUTS,
    "explain": option("Explain the longest segments in the report (see `vidattn explain`)."),
    "embeddings": option(
        "Also save the embedding of each window: <stem>.vidattn.npz, for `train --task "
        "temporal-head`."
    ),
    "resume": option("Resume an interrupted run.", rich_help_panel="Many inputs"),
}


def segment(
    inputs: groups.Inputs,
    *,
    model: groups.Model,
    windows: groups.Windows,
    decoding: groups.PostProcessing,
    output: groups.OutputWithExcerpts,
    batch: groups.Batch,
    options: Annotated[SegmentOptions, Group("Output", MORE)],
    runtime: groups.Device,
    limits: groups.Video,
    roi: groups.Rois = [],  # noqa: B006
    ray: groups.Ray,
    dry_run: Annotated[
        bool, option("--dry-run", "Estimate time and memory from a few windows; write nothing.")
    ] = False,
    quiet: groups.Quiet = False,
) -> int:
    """Segment long videos into labeled intervals.

    Writes <stem>.vidattn.json, .srt and .html into the current folder; change this with -f and -o.

    Example: vidattn segment match.mp4 --overlap 0.5 -f json,srt -o results
    """
    console, files = Console(quiet=quiet), output.files("json,srt,html")
    videos = find_existing(inputs, console.note, or_later=batch.watch)
    from vidattn.inference.batch.job import BatchJob  # loads torch: after errors

    auto = isinstance(decoding.threshold, parsers.AutoThreshold)
    wanted = replace(options, windowing=windows, decoding=decoding, runtime=runtime)
    wanted = replace(wanted, auto_threshold=auto, rois=parsers.parse_rois(roi))
    job = BatchJob.create(videos, files, batch, areas=wanted.rois, sources=inputs)
    load = partial(load_model, options=model, frames=windows.frames)
    show, as_json = partial(print_timeline, console), output.json
    printing = partial(BatchPrinter, console, show=show, as_json=as_json, resume=options.resume)
    if ray.engine == "ray" and not dry_run:
        return _run_on_ray(printing(job), load, wanted, limits, ray)
    classifier, job, wanted = _load(console, load, job, wanted, limits)
    return (_print_estimates if dry_run else _run)(printing(job), classifier, wanted, limits)


def _load(
    console: Console,
    load: Callable[..., Classifier],
    job: BatchJob,
    wanted: SegmentOptions,
    limits: Limits,
) -> tuple[Classifier, BatchJob, SegmentOptions]:
    """The model, and job and options with the areas that it looks at."""
    from vidattn.inference.batch.areas import take_areas

    wanted.require_compatible(job)
    classifier = load(console, check=partial(require_readable, job.paths, limits))
    return take_areas(classifier, job, wanted)


def _run(
    printer: BatchPrinter, classifier: Classifier, wanted: SegmentOptions, limits: Limits
) -> int:
    from vidattn.cli.terminal.live import watch_windows
    from vidattn.inference.batch.segment import segment_inputs
    from vidattn.video import Prefetcher

    with Prefetcher(limits, printer.job.joined) as opening:
        threshold = wanted.resolve(classifier).decoding.threshold
        watch = partial(
            watch_windows, printer.console, labels=classifier.labels, threshold=threshold
        )
        events = segment_inputs(printer.job, classifier, wanted, opening)
        return printer.print(events, watch=watch)


def _run_on_ray(
    printer: BatchPrinter,
    load: Load,
    wanted: SegmentOptions,
    limits: Limits,
    ray: groups.RayOptions,
) -> int:
    from vidattn.cli.terminal.signals import StopFlag
    from vidattn.inference.batch.ray import segment_on_ray

    stop = StopFlag()  # an exception in Ray's own code would become an error of Ray
    stop.listen()
    events = segment_on_ray(printer.job, load, wanted, limits, ray.address, ray.actors, stop)
    return printer.print(events, stop)


def _print_estimates(
    printer: BatchPrinter, classifier: Classifier, wanted: SegmentOptions, limits: Limits
) -> int:
    from vidattn.cli.commands.doctor import print_estimates
    from vidattn.inference.estimate import estimate
    from vidattn.video import Prefetcher

    if wanted.decoding.snap and wanted.cuts is None:
        printer.console.note("the pass that looks for shot cuts comes on top of this")
    measure = partial(
        estimate,
        classifier=classifier,
        windowing=wanted.windowing,
        runtime=wanted.runtime,
        opening=Prefetcher(limits, printer.job.joined),
    )
    return print_estimates(
        printer.console, printer.job.paths, measure, classifier, as_json=printer.as_json
    )
