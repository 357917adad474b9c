"""The work of `vidattn timeline --diff`: timelines beside what really happened."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidattn.cli.terminal.console import Console, format_clock, printable
from vidattn.errors import ExitCode
from vidattn.io.files import is_file

if TYPE_CHECKING:
    from vidattn.data.annotations.ground_truth import AnnotatedVideo, GroundTruth
    from vidattn.evaluation.diff import Difference, LabelDifference
    from vidattn.timeline import Timeline

NAMELESS = (".txt", ".srt", ".vtt")
"""Files that do not say which film they are about."""
MOST_ROWS = 40
"""Of labels and of disagreements; JSON has them all."""


def show_differences(
    desk: Console, timelines: Sequence[Timeline], truth: Path, *, as_json: bool
) -> int:
    """Compare each timeline with the truth about its film; returns the exit code."""
    from vidattn.evaluation.diff import diff
    from vidattn.evaluation.segmentation import pair_videos

    known = _truth(truth)
    for note in known.notes:
        desk.note(note)
    unused: tuple[str, ...] = ()
    if len(known.videos) == len(timelines) == 1:
        # Whoever names one of each means this pair, whatever the film was called.
        pairs = [(known.videos[0], timelines[0])]
        for doubt in _doubts(*pairs[0], names=truth.suffix.lower() not in NAMELESS):
            desk.warn(f"{truth}: {doubt}; is it about the same film?")
    else:
        pairing = pair_videos(known.videos, timelines)
        pairs = [(video, timeline) for video, timeline in pairing.pairs if timeline is not None]
        unused = pairing.unused
    for name in unused:
        desk.warn(f"{name}: is not in {truth}")
    for video, timeline in pairs:
        found = diff(timeline, video)
        if as_json:
            desk.emit(json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False))
        else:
            desk.lines(_card(found, truth))
    return ExitCode.INCOMPLETE if unused else ExitCode.DONE


def _doubts(video: AnnotatedVideo, timeline: Timeline, *, names: bool) -> Iterator[str]:
    """What speaks against a truth being about the film of a timeline."""
    from vidattn.evaluation.segmentation import video_key

    assert timeline.duration is not None
    name, lasts = Path(timeline.source).name, timeline.duration
    if names and video_key(video.name) != video_key(timeline.source):
        yield f"is about {Path(video.name).name}, not {name}"
    ends = max((window.stop for window, _ in video.spans), default=0.0)
    least = ends if video.duration is None else video.duration
    most = math.inf if video.duration is None else video.duration
    off = max(0.5, 0.01 * lasts)
    if least > lasts + off or most < lasts - off:
        yield f"goes on until {least:.1f} s, and {name} lasts {lasts:.1f} s"


def _truth(path: Path) -> GroundTruth:
    """An annotation in any layout, or another saved timeline."""
    from vidattn.cli.terminal import timeline as report
    from vidattn.data.annotations.ground_truth import GroundTruth, read_ground_truth
    from vidattn.evaluation.diff import as_ground_truth
    from vidattn.timeline import SCHEMA

    if path.suffix.lower() == ".json" and is_file(path):
        with path.open("rb") as file:
            if SCHEMA.encode() in file.read(200):
                return GroundTruth((as_ground_truth(report.saved(str(path))),))
    return read_ground_truth(path)


def _card(found: Difference, truth: Path) -> Iterator[str]:
    """What a person reads; truth: as they named it, whatever path to the film it has inside."""
    part, what = found.part, "the time"
    if part.duration < found.duration - 0.01:
        what = " - ".join(format_clock(t, decimals=1) for t in (part.start, part.stop))
    both = f"{printable(found.source)} and {printable(str(truth))}"
    yield f"{both}: {100 * found.share:.1f} % of {what} agrees"
    width = max([5, *(len(printable(tally.label)) for tally in found.labels[:MOST_ROWS])])
    yield f"  {'label':<{width}}    agreed  only here  only truth  matched  start off  end off"
    for tally in found.labels[:MOST_ROWS]:
        yield f"  {printable(tally.label):<{width}}  {_row(tally)}"
    if len(found.labels) > MOST_ROWS:
        yield f"  and {len(found.labels) - MOST_ROWS} more labels (all of them: --json)"
    for one in found.disagreements[:MOST_ROWS]:
        times = " - ".join(format_clock(t, decimals=2) for t in (one.window.start, one.window.stop))
        true = " and ".join(map(printable, one.true)) or "background"
        yield f"  {times}  {printable(one.said)}, truth: {true}"
    if len(found.disagreements) > MOST_ROWS:
        yield f"  and {len(found.disagreements) - MOST_ROWS} more (all of them: --json)"


def _row(tally: LabelDifference) -> str:
    values = tally.to_dict()
    offs = (
        "       -" if v is None else f"{v:6.2f} s" for v in (values["start_off"], values["end_off"])
    )
    start, end = offs
    matched = f"{len(tally.matches)} of {tally.true_spans}"
    return (
        f"{tally.both:6.1f} s   {tally.only_said:6.1f} s    {tally.only_true:6.1f} s"
        f"  {matched:>7}   {start} {end}"
    )
