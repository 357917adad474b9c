"""`vidattn segment`: the timeline of a long file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import corpus, options
from vidattn.cli.console import Desk
from vidattn.cli.inputs import expand, require_one

if TYPE_CHECKING:
    from vidattn.timeline import Timeline


def segment(
    inputs: options.Inputs,
    model: options.Model = None,
    frames: options.Frames = None,
    window: Annotated[
        float | None,
        typer.Option("--window", metavar="SEC", help="Length of a window. Default: as trained."),
    ] = None,
    stride: Annotated[
        float | None, typer.Option("--stride", metavar="SEC", help="From window to window.")
    ] = None,
    overlap: Annotated[
        float, typer.Option("--overlap", metavar="SHARE", help="Of a window, instead of --stride.")
    ] = 0.0,
    refine: Annotated[
        float | None,
        typer.Option(
            "--refine",
            metavar="SEC",
            help="Add windows where neighbours disagree or are unsure, down to this stride.",
        ),
    ] = None,
    unsure: Annotated[
        float, typer.Option("--unsure", metavar="P", help="For --refine: below it, unsure.")
    ] = 0.5,
    skip_static: Annotated[
        float | None,
        typer.Option(
            "--skip-static",
            metavar="LEVEL",
            help="Keep the scores of the last window computed while no frame differs from its by "
            "more than so many levels (of 255) on average.",
        ),
    ] = None,
    smooth: options.Smooth = "none",
    kernel: options.Kernel = 3,
    switch_cost: options.SwitchCost = 2.0,
    threshold: options.Threshold = 0.0,
    leave: options.Leave = None,
    merge_gap: options.MergeGap = 0.0,
    min_duration: options.MinDuration = 0.0,
    snap: Annotated[
        bool,
        typer.Option(
            "--snap-to-cuts", help="Find shot cuts in a pass of its own; move boundaries to them."
        ),
    ] = False,
    cuts: options.Cuts = None,
    start: options.Start = None,
    end: options.End = None,
    as_json: options.Json = False,
    formats: options.Formats = None,
    output: options.OutputDir = None,
    labels: options.Labels = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = 8,
    reader: options.Reader = "auto",
    offline: options.Offline = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where a run that was stopped or killed has left off."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what it would take, going by a few windows."),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what happens in a long file, from when to when.

    Writes <stem>.vidattn.json, .srt and .html into the current directory; -f and -o say otherwise.

    Example: vidattn segment match.mp4 --overlap 0.5 -f json,srt -o results
    """
    from vidattn import infer
    from vidattn.cli import report
    from vidattn.cli.chosen import chosen
    from vidattn.cli.doctor import each, forecasts
    from vidattn.cli.following import Job
    from vidattn.cuts import load
    from vidattn.device import Runtime
    from vidattn.economy import Economy
    from vidattn.forecast import forecast
    from vidattn.timeline import Decoding
    from vidattn.windowlog import WindowLog

    desk = Desk(quiet=quiet)
    delivery = corpus.Delivery.of(
        as_json=as_json, formats=formats, folder=output, default="json,srt,html"
    )
    if stride is not None and overlap:
        raise typer.BadParameter("give --stride or --overlap, not both")
    if resume and not delivery.formats:
        raise typer.BadParameter("--resume goes on with files, and none are written: add -o DIR")
    paths = expand(inputs)
    require_one(paths)
    economy = Economy(refine, unsure, skip_static)
    known = None if cuts is None else options.cuts_of_one(load(cuts), paths)
    decoding = Decoding(
        smooth=smooth,
        kernel=kernel,
        threshold=threshold,
        min_duration=min_duration,
        switch_cost=switch_cost,
        leave=leave,
        merge_gap=merge_gap,
        snap=snap or known is not None,
    )
    runtime = Runtime(device, precision, batch_size, reader)
    wanted: dict[str, Any] = {
        "frames": frames,
        "window": window,
        "stride": stride,
        "overlap": overlap,
        "economy": economy,
        "start": options.seconds(start) or 0.0,
        "end": options.seconds(end),
    }
    names = corpus.file_names(paths)
    classifier = chosen(desk, model, offline=offline, frames=frames, labels=labels)

    if resume and economy.settings():
        desk.note("with --refine or --skip-static no log is kept: unfinished inputs begin anew")
    if dry_run:
        if refine is not None or (snap and known is None):
            desk.note("what --refine adds and the pass that looks for cuts come on top of this")
        lines = forecasts(
            classifier, lambda path: forecast(path, classifier, runtime, **wanted), as_json=as_json
        )
        raise typer.Exit(each(desk, paths, lines))

    def act(path: str, deliver: Callable[[Timeline], None]) -> Timeline:
        place = delivery.folder / names[path]
        with WindowLog(place.with_suffix(".vidattn.log"), resume=resume) as log:
            kept = log if delivery.formats else None
            events = infer.stream(
                path, classifier, **wanted, decoding=decoding, runtime=runtime, log=kept
            )
            job = Job(desk, classifier, decoding, deliver, log)
            finished = place.with_suffix(".vidattn.json") if resume else None
            timeline = job.follow(events, finished)
            if known is not None:
                timeline = replace(timeline, cuts=known)
            elif decoding.snap:
                timeline = job.cut(timeline, reader)
            deliver(timeline)
            log.remove()
        return timeline

    def show(timeline: Timeline) -> None:
        desk.lines(report.header(timeline))
        desk.lines(report.segments(timeline))

    raise typer.Exit(corpus.run(desk, paths, act, show, delivery))
