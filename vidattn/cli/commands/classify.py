"""`vidattn classify`: one answer for a whole file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidattn.cli import options
from vidattn.cli.batch import runner
from vidattn.cli.batch.inputs import found_by, require_one
from vidattn.cli.batch.results import Request
from vidattn.cli.batch.writing import Delivery
from vidattn.cli.terminal.console import Console
from vidattn.errors import UsageError

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
    batch_size: options.BatchSize = None,
    reader: options.Reader = "auto",
    max_pixels: options.MaxPixels = None,
    any_codec: options.AnyCodec = False,
    offline: options.Offline = False,
    skip_existing: options.SkipExisting = False,
    retry_failed: options.RetryFailed = False,
    shard: options.Shard = None,
    quiet: options.Quiet = False,
) -> None:
    """Say what a whole file shows, and how much of it the answer rests on.

    Example: vidattn classify movie.mp4 --frames 96
    """
    from vidattn.cli.batch.progress import followed
    from vidattn.cli.model_loading import HEAD, load_model, loaded_head
    from vidattn.cli.terminal import timeline as report
    from vidattn.data import sampling as sampler
    from vidattn.inference import stream
    from vidattn.inference.whole_video import describe_head, require_head, stream_whole_video
    from vidattn.models.device import Runtime
    from vidattn.timeline.pooling import Pool
    from vidattn.video import Prefetcher

    desk = Console(quiet=quiet)
    delivery = Delivery.of(as_json=as_json, formats=formats, folder=output, default="")
    found = found_by(inputs)
    require_one([one.path for one in found])
    whole = runner.Corpus.of(found, delivery, shard=shard, skip=skip_existing, retry=retry_failed)
    runtime = Runtime(device, precision, batch_size, reader)
    config = None if views is None else sampler.parse_views(views)
    named = pool is not None and pool.startswith(HEAD)
    head = loaded_head(desk, pool or "", offline=offline) if named else None
    pooling = None if pool is None or head else Pool.parse(pool)
    begin, stop = options.seconds(start), options.seconds(end)
    if head is not None:
        if views or frames or sampling != "auto" or labels:
            raise UsageError(
                "--pool head=RUN looks at films as that head has learned it: leave out --views, "
                "--frames, --sampling and --labels"
            )
        model = model or require_head(head).config.model
    classifier = load_model(desk, model, offline=offline, frames=frames, labels=labels)
    opener = Prefetcher(options.limits(max_pixels, any_codec))
    if config:
        desk.note(f"views {views}: {sampler.describe_views(config)}")

    def act(path: str, deliver: Callable[[Timeline], None]) -> Timeline:
        if head is not None:
            wanted = {"start": begin or 0.0, "end": stop, "runtime": runtime, "opening": opener}
            timeline = followed(desk, stream_whole_video(path, classifier, head, **wanted))
            deliver(timeline)
            return timeline
        timeline = stream.classify(
            path,
            classifier,
            frames=frames,
            sampling=sampling,
            views=config,
            pool=pooling,
            start=begin or 0.0,
            end=stop,
            runtime=runtime,
            opening=opener,
        )
        for text in timeline.warnings:
            desk.note(f"{path}: {text}")
        deliver(timeline)
        return timeline

    def expect(path: str) -> None:
        opener.expect(path, reader=reader, short_side=classifier.clip.short_side)

    def show(timeline: Timeline) -> None:
        report.show(desk, timeline, top)

    asked = {
        "frames": frames,
        "sampling": sampling,
        "views": views,
        "pool": pool,
        "start": begin or 0.0,
        "end": stop,
        "reader": reader,
        "precision": runtime.resolved_precision(),
    }
    request = Request.of("classify", classifier, asked, {})
    if head is not None:
        request = replace(
            request, model={**request.model, "head": describe_head(head)}, labels=head.labels
        )
    with opener:
        code = runner.run(desk, whole, act, show, request, opening=opener, expect=expect)
    raise typer.Exit(code)
