"""`vidattn classify`: one answer for a whole file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidattn.cli import corpus, options
from vidattn.cli.console import Desk
from vidattn.cli.inputs import expand, require_one

if TYPE_CHECKING:
    from vidattn.timeline import Timeline


def classify(
    inputs: options.Inputs,
    model: options.Model = None,
    frames: options.Frames = None,
    sampling: Annotated[
        Literal["auto", "uniform", "dense"],
        typer.Option(
            "--sampling",
            help="uniform: frames spread over the file. dense: clips at the trained step. "
            "auto: what the weights ask for.",
        ),
    ] = "auto",
    views: Annotated[
        str | None,
        typer.Option("--views", metavar="SxT", help="Spatial crops (1 or 3) x clips, as 3x1."),
    ] = None,
    pool: options.Pool = None,
    top: Annotated[
        int, typer.Option("-k", metavar="N", min=1, help="How many labels to show.")
    ] = 5,
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
    """Say what a whole file shows, and how much of it the answer rests on.

    Example: vidattn classify movie.mp4 --frames 96
    """
    from vidattn import infer
    from vidattn import sampling as sampler
    from vidattn.cli import report
    from vidattn.cli.chosen import chosen
    from vidattn.device import Runtime
    from vidattn.pooling import Pool

    desk = Desk(quiet=quiet)
    delivery = corpus.Delivery.of(as_json=as_json, formats=formats, folder=output, default="")
    paths = expand(inputs)
    require_one(paths)
    runtime = Runtime(device, precision, batch_size, reader)
    config = None if views is None else sampler.parse_views(views)
    pooling = None if pool is None else Pool.parse(pool)
    begin, stop = options.seconds(start), options.seconds(end)
    classifier = chosen(desk, model, offline=offline, frames=frames, labels=labels)
    if config:
        desk.note(f"views {views}: {sampler.describe_views(config)}")

    def act(path: str, deliver: Callable[[Timeline], None]) -> Timeline:
        timeline = infer.classify(
            path,
            classifier,
            frames=frames,
            sampling=sampling,
            views=config,
            pool=pooling,
            start=begin or 0.0,
            end=stop,
            runtime=runtime,
        )
        for text in timeline.warnings:
            desk.note(f"{path}: {text}")
        deliver(timeline)
        return timeline

    def show(timeline: Timeline) -> None:
        desk.lines(report.header(timeline))
        desk.lines(report.ranking(timeline, top))

    raise typer.Exit(corpus.run(desk, paths, act, show, delivery))
