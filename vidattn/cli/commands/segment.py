"""`vidattn segment`: the timeline of a long file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidattn.cli import options
from vidattn.cli.batch import runner
from vidattn.cli.batch.inputs import found_by, require_one
from vidattn.cli.batch.writing import Delivery
from vidattn.cli.terminal.console import Console

if TYPE_CHECKING:
    from vidattn.inference.estimate import Estimate


def segment(
    inputs: options.Inputs,
    model: options.Model = None,
    frames: options.ClipFrames = None,
    window: Annotated[
        float | None,
        typer.Option("--window", metavar="SEC", help="Length of a window. Default: as trained."),
    ] = None,
    stride: options.Stride = None,
    overlap: options.Overlap = 0.0,
    skip_static: Annotated[
        float | None,
        typer.Option(
            "--skip-static",
            metavar="LEVEL",
            help="Reuse the previous scores while the picture changes by at most LEVEL "
            "(0-255, mean per frame).",
        ),
    ] = None,
    smooth: options.Smooth = "none",
    kernel: options.Kernel = 3,
    switch_cost: options.SwitchCost = 2.0,
    threshold: options.ThresholdOrAuto = "0",
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
    clips: options.Clips = None,
    clips_exact: options.ClipsExact = False,
    labels: options.Labels = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = None,
    compiled: options.Compile = False,
    reader: options.Reader = "auto",
    max_pixels: options.MaxPixels = None,
    any_codec: options.AnyCodec = False,
    offline: options.Offline = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where a run that was stopped or killed has left off."),
    ] = False,
    skip_existing: options.SkipExisting = False,
    retry_failed: options.RetryFailed = False,
    shard: options.Shard = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Show in the report what the longest segments rest on (see `vidattn explain`).",
        ),
    ] = False,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option("--engine", help="ray: on the machines of a Ray cluster."),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="Of the Ray cluster, or auto; by default one is begun here.",
            show_default=False,
        ),
    ] = None,
    actors: Annotated[
        int | None,
        typer.Option(
            "--actors",
            metavar="N",
            min=1,
            help="Workers of the cluster. Default: one a GPU, or a processor.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what it would take, going by a few windows."),
    ] = False,
    embeddings: Annotated[
        bool,
        typer.Option(
            "--embeddings",
            help="Keep what the model saw of each window, too: <stem>.vidattn.npz, for "
            "`train --task long`.",
        ),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what happens in a long file, from when to when.

    Writes <stem>.vidattn.json, .srt and .html into the current directory; -f and -o say otherwise.

    Example: vidattn segment match.mp4 --overlap 0.5 -f json,srt -o results
    """
    from vidattn.cli.batch import ray
    from vidattn.cli.batch.segmenter import Segmenter, Wanted
    from vidattn.cli.commands.doctor import each, forecasts
    from vidattn.inference.estimate import estimate
    from vidattn.inference.windowing import Windowing
    from vidattn.models.device import Runtime
    from vidattn.timeline import Decoding
    from vidattn.timeline.shot_cuts import load_cuts

    desk = Console(quiet=quiet)
    begin, stop = options.seconds(start) or 0.0, options.seconds(end)
    windowing = Windowing(frames, window, stride, overlap, begin, stop, skip_static)
    delivery = Delivery.of(
        as_json=as_json, formats=formats, folder=output, default="json,srt,html"
    ).cutting(clips, exact=clips_exact)
    if explain and "html" not in delivery.formats:
        raise typer.BadParameter("--explain is a part of the report: add -f html")
    if engine != "ray" and (address is not None or actors is not None):
        raise typer.BadParameter("--address and --actors are for --engine ray")
    if resume and not delivery.formats:
        raise typer.BadParameter("--resume goes on with files, and none are written: add -o DIR")
    found = found_by(inputs)
    paths = [one.path for one in found]
    require_one(paths)
    least = options.threshold_of(threshold)
    known = None if cuts is None else load_cuts(cuts)
    options.of_one(known, "--cuts", paths)
    whole = runner.Corpus.of(found, delivery, shard=shard, skip=skip_existing, retry=retry_failed)
    wanted = Wanted(
        model=model,
        labels=labels,
        offline=offline,
        windowing=windowing,
        decoding=Decoding(
            smooth=smooth,
            kernel=kernel,
            # Until the model is there that knows it; the most that --leave is held against.
            threshold=1.0 if least is None else least,
            min_duration=min_duration,
            switch_cost=switch_cost,
            leave=leave,
            merge_gap=merge_gap,
            snap=snap or known is not None,
        ),
        runtime=Runtime(device, precision, batch_size, reader, compiled),
        limits=options.limits(max_pixels, any_codec),
        cuts=known,
        resume=resume,
        explain=explain,
        embeddings=embeddings,
        auto_threshold=least is None,
    )
    if engine == "ray" and not dry_run:
        raise typer.Exit(ray.run(desk, whole, wanted, address, actors))
    segmenter = Segmenter(desk, wanted, whole)
    if explain:
        whole = segmenter.explaining()
    if dry_run:
        if snap and known is None:
            desk.note("the pass that looks for shot cuts comes on top of this")

        def measure(path: str) -> Estimate:
            return estimate(
                path,
                segmenter.classifier,
                windowing,
                runtime=wanted.runtime,
                opening=segmenter.opener,
            )

        lines = forecasts(segmenter.classifier, measure, as_json=as_json)
        raise typer.Exit(each(desk, whole.paths, lines, as_json=as_json))
    with segmenter.opener:
        raise typer.Exit(segmenter.run(whole))
