"""`vidattn timeline`: re-segment saved scores, or write them in another format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import Group, option
from vidattn.cli.model_loading import read_labels
from vidattn.cli.terminal import timeline as terminal
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.progress import BatchPrinter, ProgressFollower
from vidattn.config.run_options import BatchOptions
from vidattn.errors import ExitCode, InputError, UsageError
from vidattn.inference.batch.events import BatchEvents, Failed, Note
from vidattn.inference.batch.job import BatchJob
from vidattn.inference.batch.results import load_timeline
from vidattn.inference.batch.runner import BatchRunner, Task
from vidattn.io.text import count_noun
from vidattn.timeline.pooling import Pool
from vidattn.timeline.shot_cuts import CutList
from vidattn.video import Prefetcher

if TYPE_CHECKING:
    from vidattn.inference.batch.inputs import VideoInput
    from vidattn.inference.batch.output_files import OutputFiles
    from vidattn.inference.batch.runner import Deliver
    from vidattn.timeline import Timeline
    from vidattn.video import Opening


@dataclass(frozen=True)
class TimelineChanges:
    """Changes to saved timelines, besides their post-processing."""

    labels: Path | None = None
    pool: Pool | None = None
    start_timecode: str | None = None
    start_time: str | None = None
    video: str | None = None
    cuts: CutList | None = None


CHANGES = {
    "cuts": groups.CUTS,
    "pool": option(
        "HOW",
        "Print one prediction for the whole file: mean, max, or topN such as top5.",
        parser=lambda text: Pool.parse(str(text)),
    ),
    "labels": groups.LABELS,
    "start_timecode": option(
        "TC",
        "Timecode of the start of the file: 01:00:00:00, or 01:00:00;00 for drop-frame.",
        rich_help_panel="Output",
    ),
    "start_time": groups.START_TIME,
    "video": option(
        "VIDEO",
        "Path of the video, for -f mp4 and --excerpts, if it has moved.",
        rich_help_panel="Output",
    ),
}


def timeline(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Timelines that `segment -f json` wrote; folders or patterns of them.",
        ),
    ],
    *,
    settings: groups.SavedPostProcessing,
    changes: Annotated[TimelineChanges, Group("Post-processing", CHANGES)],
    output: groups.OutputWithExcerpts,
    top: groups.Top = 5,
    limits: groups.Video,
    quiet: groups.Quiet = False,
) -> int:
    """Re-segment saved scores with other settings; needs no model.

    Example: vidattn timeline match.vidattn.json --threshold 0.5 -f srt
    """
    console, files = Console(quiet=quiet), output.files(video=changes.video)
    saved = _find(inputs, console, changes)
    unchanged = not settings and changes == TimelineChanges()
    if files.tables and not files.formats and unchanged and not output.json:
        return _tabulate(console, [one.path for one in saved], files)
    job = BatchJob.create(saved, files, BatchOptions(start_time=changes.start_time))
    show = partial(terminal.print_timeline, console, count=top)
    printer = BatchPrinter(console, job, show, as_json=output.json)
    with Prefetcher(limits) as opening:
        return printer.print(BatchRunner(job, Resegmenter(settings, changes, opening)).run())


def _find(inputs: Sequence[str], console: Console, changes: TimelineChanges) -> list[VideoInput]:
    """The saved timelines. Raises UsageError where an option is for one of them."""
    from vidattn.inference.batch.inputs import TIMELINES, find_videos

    saved = find_videos(inputs, console.note, TIMELINES)
    if len(saved) != 1 and (changes.cuts is not None or changes.video is not None):
        name = "--video" if changes.cuts is None else "--cuts"
        raise UsageError(f"{name} is for one input, not {len(saved)}", hint="name one input")
    return saved


def _tabulate(console: Console, paths: Sequence[str], files: OutputFiles) -> int:
    """Write tables of saved segments as they are."""
    from vidattn.inference.batch.table import tabulate

    failed = 0
    with closing(ProgressFollower(console)) as follower:
        for event in tabulate(paths, files):
            follower.show(event)
            if isinstance(event, Failed):
                console.fail(event.error)
                failed += 1
            elif isinstance(event, Note):
                console.warn(event.text)
    places = ", ".join(map(str, files.tables))
    console.note(f"wrote {places}, of {count_noun(len(paths) - failed, 'timeline')}")
    return ExitCode.INCOMPLETE if failed else ExitCode.DONE


@dataclass(frozen=True)
class Resegmenter(Task):
    """The work on one saved timeline."""

    settings: Mapping[str, Any]
    changes: TimelineChanges
    opening: Opening

    def run(self, path: str, deliver: Deliver) -> BatchEvents:
        """Deliver the changed timeline."""
        deliver(self._change(path))
        yield from ()

    def _change(self, path: str) -> Timeline:
        settings, changes, timeline = dict(self.settings), self.changes, load_timeline(path)
        if changes.cuts is not None:
            cuts = changes.cuts.count_from_first_frame(timeline.input.start_offset)
            timeline = replace(timeline, cuts=cuts)
            settings.setdefault("snap", True)
        if changes.labels is not None:
            labels = read_labels(changes.labels, timeline.labels)
            timeline = replace(timeline, labels=labels)
        if timeline.task == "segment" and settings.get("snap") and timeline.cuts is None:
            raise InputError(
                f"{path}: no shot cuts are stored in this timeline",
                hint="name a list of them with --cuts, or: vidattn segment --snap-to-cuts",
            )
        timeline = timeline.with_decoding(**settings) if settings else timeline
        timeline = timeline if changes.pool is None else timeline.pool_windows(changes.pool)
        if changes.start_timecode is not None:
            from vidattn.output.timecode import with_start_timecode

            timeline = with_start_timecode(timeline, changes.start_timecode)
        return timeline
