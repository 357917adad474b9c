"""`vidattn segment`: the timeline of a long file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from vidattn.cli import corpus, options
from vidattn.cli.console import Desk
from vidattn.cli.inputs import expand, require_one
from vidattn.cli.stopping import Stopped

if TYPE_CHECKING:
    from vidattn.infer import Event
    from vidattn.models.classifier import Classifier
    from vidattn.timeline import Decoding, Timeline


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
    quiet: options.Quiet = False,
) -> None:
    """Say what happens in a long file, from when to when.

    Writes <stem>.vidattn.json and .srt into the current directory; -f and -o say otherwise.

    Example: vidattn segment match.mp4 --overlap 0.5 -f json,srt -o results
    """
    from vidattn import infer
    from vidattn.cli import report
    from vidattn.cli.chosen import chosen
    from vidattn.cuts import load
    from vidattn.device import Runtime
    from vidattn.economy import Economy
    from vidattn.timeline import Decoding

    desk = Desk(quiet=quiet)
    delivery = corpus.Delivery.of(
        as_json=as_json, formats=formats, folder=output, default="json,srt"
    )
    if stride is not None and overlap:
        raise typer.BadParameter("give --stride or --overlap, not both")
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
    begin, stop = options.seconds(start), options.seconds(end)
    classifier = chosen(desk, model, offline=offline, frames=frames, labels=labels)

    def act(path: str, keep: Callable[[Timeline], None]) -> Timeline:
        events = infer.stream(
            path,
            classifier,
            frames=frames,
            window=window,
            stride=stride,
            overlap=overlap,
            economy=economy,
            start=begin or 0.0,
            end=stop,
            decoding=decoding,
            runtime=runtime,
        )
        timeline = _follow(desk, events, classifier, decoding, keep)
        if not decoding.snap:
            return timeline
        return replace(timeline, cuts=_cuts(desk, path, reader) if known is None else known)

    def show(timeline: Timeline) -> None:
        desk.lines(report.header(timeline))
        desk.lines(report.segments(timeline))

    raise typer.Exit(corpus.run(desk, paths, act, show, delivery))


def _cuts(desk: Desk, path: str, reader: str) -> tuple[float, ...]:
    """The shot cuts of a film, found with a bar to look at."""
    from vidattn.cuts import found
    from vidattn.shots import changes

    rows = changes(path, reader)
    first = next(rows, None)
    if first is None:
        return ()
    seen = [first]
    with desk.progress(f"{path}, looking for cuts", first.frames - 1) as track:
        for row in rows:
            seen.append(row)
            track.step()
    return found([row.difference for row in seen], [row.time for row in seen])


def _follow(
    desk: Desk,
    events: Iterator[Event],
    classifier: Classifier,
    decoding: Decoding,
    keep: Callable[[Timeline], None],
) -> Timeline:
    """Show progress until the timeline is there; when stopped, keep what is known by then."""
    from vidattn import infer

    started = next(events)
    assert isinstance(started, infer.Started)
    for text in (*started.facts.warnings, *started.notes):
        desk.note(f"{started.source}: {text}")
    done: list[infer.Scored] = []
    try:
        with desk.progress(started.source, len(started.windows)) as track:
            for event in events:
                if isinstance(event, infer.Finished):
                    return event.timeline
                assert isinstance(event, infer.Scored)
                done.append(event)
                if event.index < len(started.windows):
                    track.step()
    except Stopped:
        if any(event.scores is not None for event in done):
            keep(infer.collect(started, done, classifier, decoding))
        raise
    raise AssertionError("a stream ends with its timeline")
