"""`vidattn timeline`: decide again on saved scores, or write them in another format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import options
from vidattn.cli.terminal.console import Console
from vidattn.errors import InputError

if TYPE_CHECKING:
    from vidattn.inference.batch.runner import BatchEvents, Deliver
    from vidattn.timeline import Timeline
    from vidattn.timeline.explanation import Explanation
    from vidattn.video import Opening


def timeline(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="What `segment -f json` wrote.", show_default=False),
    ],
    smooth: options.SmoothAgain = None,
    kernel: options.KernelAgain = None,
    switch_cost: options.SwitchCostAgain = None,
    threshold: options.ThresholdAgain = None,
    leave: options.Leave = None,
    merge_gap: options.MergeGapAgain = None,
    min_duration: options.MinDurationAgain = None,
    snap: Annotated[
        bool | None,
        typer.Option(
            "--snap-to-cuts/--no-snap-to-cuts",
            help="Move boundaries to the shot cuts that were saved.",
            show_default=False,
        ),
    ] = None,
    cuts: options.Cuts = None,
    labels: options.Labels = None,
    pool: options.Pool = None,
    start_timecode: Annotated[
        str | None,
        typer.Option(
            "--start-timecode",
            metavar="TC",
            help="What editors call the first frame: 01:00:00:00, or 01:00:00;00 for drop-frame.",
            show_default=False,
        ),
    ] = None,
    diff: Annotated[
        Path | None,
        typer.Option(
            "--diff",
            metavar="TRUTH",
            help="Show where it differs from this: annotations as `eval --truth` and annotators "
            "have them, or another saved timeline.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[
        int, typer.Option("-k", metavar="N", min=1, help="How many labels --pool shows.")
    ] = 5,
    as_json: options.Json = False,
    formats: options.Formats = None,
    output: options.OutputDir = None,
    film: Annotated[
        str | None,
        typer.Option(
            "--film",
            metavar="FILM",
            help="Where the film is, for -f mp4 and --clips, if not where it was.",
            show_default=False,
        ),
    ] = None,
    clips: options.Clips = None,
    clips_exact: options.ClipsExact = False,
    max_pixels: options.MaxPixels = None,
    any_codec: options.AnyCodec = False,
    quiet: options.Quiet = False,
) -> None:
    """Decide again on saved scores: no video and no model needed.

    Example: vidattn timeline match.vidattn.json --threshold 0.5 -f srt
    """
    from vidattn.cli.commands.diff import show_differences
    from vidattn.cli.model_loading import class_names
    from vidattn.cli.option_groups import OutputOptions
    from vidattn.cli.terminal import timeline as report
    from vidattn.cli.terminal.progress import BatchPrinter
    from vidattn.inference.batch.inputs import VideoInput
    from vidattn.inference.batch.runner import BatchJob, BatchRunner
    from vidattn.output.timecode import with_start_timecode
    from vidattn.timeline.pooling import Pool
    from vidattn.timeline.shot_cuts import load_cuts
    from vidattn.video import Prefetcher

    desk = Console(quiet=quiet)
    options.of_one(film, "--film", inputs)
    files = OutputOptions(as_json, formats, output, clips, clips_exact).files(video=film)
    wanted: dict[str, Any] = {
        "smooth": smooth,
        "kernel": kernel,
        "switch_cost": switch_cost,
        "threshold": threshold,
        "leave": leave,
        "merge_gap": merge_gap,
        "min_duration": min_duration,
        "snap": True if cuts is not None and snap is None else snap,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}

    pooling = None if pool is None else Pool.parse(pool)
    known = None if cuts is None else load_cuts(cuts)
    options.of_one(known, "--cuts", inputs)

    def decided(path: str) -> Timeline:
        saved = report.saved(path)
        saved = saved if known is None else replace(saved, cuts=known)
        if labels is not None:
            saved = replace(saved, labels=class_names(labels, saved.labels))
        if saved.task == "segment" and snap and saved.cuts is None:
            raise InputError(
                f"{path}: nobody has looked for shot cuts",
                hint="name a list of them with --cuts, or: vidattn segment --snap-to-cuts",
            )
        saved = saved.decoded(**changes) if changes else saved
        saved = saved if pooling is None else saved.pooled(pooling)
        return saved if start_timecode is None else with_start_timecode(saved, start_timecode)

    if diff is not None:
        if files.formats or files.has_videos or pooling is not None:
            raise typer.BadParameter("--diff compares and writes nothing: leave out -f, -o, --pool")
        found = [decided(path) for path in inputs]
        raise typer.Exit(show_differences(desk, found, diff, as_json=as_json))

    job = BatchJob.create([VideoInput(path) for path in dict.fromkeys(inputs)], files)
    show = partial(report.show, desk, count=top)
    printer = BatchPrinter(desk, job, show, as_json=as_json)
    with Prefetcher(options.limits(max_pixels, any_codec)) as opener:
        raise typer.Exit(printer.print(BatchRunner(job, Redecoder(decided, opener)).run()))


@dataclass(frozen=True)
class Redecoder:
    """The work on one saved timeline."""

    decode: Callable[[str], Timeline]
    opening: Opening
    key: None = None

    def run(self, path: str, deliver: Deliver) -> BatchEvents:
        """As of `vidattn.inference.batch.runner.Task`."""
        deliver(self.decode(path))
        yield from ()

    def prefetch(self, path: str) -> None:
        """Nothing to do."""

    def explain(self, timeline: Timeline) -> Sequence[Explanation]:
        """No explanations."""
        return ()
