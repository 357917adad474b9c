"""`vidattn demo`: a first timeline, of a video whose content is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import option
from vidattn.cli.terminal.console import Console
from vidattn.output.text import format_time

if TYPE_CHECKING:
    from vidattn.timeline import Timeline

NAME = "vidattn-demo.mp4"
FORMATS = ("json", "srt", "html")


def demo(
    output: Annotated[
        Path, option("--output", "-o", "DIR", "Folder of the video and its results.")
    ] = Path(),
    quiet: groups.Quiet = False,
) -> int:
    """Segment a short drawn video of known camera moves, as a first try.

    Writes vidattn-demo.mp4, its timeline and a report, and prints what is true beside what was
    found. Needs no file and no download.

    Example: vidattn demo
    """
    from vidattn.data.motion.village import FPS, HEIGHT, WIDTH, draw_shots
    from vidattn.inference.batch.segment import segment_many
    from vidattn.video.writer.h264 import write_drawn

    console, video = Console(quiet=quiet), output / NAME
    console.note(f"drawing {video} and segmenting it with motion-tiny")
    write_drawn(video, draw_shots(), (WIDTH, HEIGHT), FPS)
    for event in segment_many(video, "motion-tiny", output, formats=FORMATS):
        if error := getattr(event, "error", None):
            raise error
    console.lines(_compare(output))
    console.note(f"open {video.with_suffix('.vidattn.html')} in a browser for the report")
    return 0


def _compare(folder: Path) -> Iterator[str]:
    """A line for each scene, and the share of time in which the label is right."""
    from vidattn.data.motion.village import SHOTS
    from vidattn.timeline import Timeline

    timeline = Timeline.load((folder / NAME).with_suffix(".vidattn.json"))
    yield f"{'time':<16}{'scene':<28}{'true':<12}found, and in how much of the scene"
    start = right = 0.0
    for shot in SHOTS:
        seconds = _measure_labels(timeline, start, start + shot.seconds)
        right += seconds.get(shot.label, 0.0)
        span = f"{format_time(start, False)} - {format_time(start + shot.seconds, False)}"
        most = max(seconds, key=lambda label: seconds[label])
        share = 100 * seconds[most] / shot.seconds
        yield f"{span:<16}{shot.text:<28}{shot.label:<12}{most} {share:.1f} %"
        start += shot.seconds
    yield f"right in {100 * right / start:.1f} % of the time"


def _measure_labels(timeline: Timeline, start: float, stop: float) -> dict[str, float]:
    """Seconds of each label between two moments."""
    seconds: dict[str, float] = {}
    for one in timeline.segments:
        shared = min(one.stop, stop) - max(one.start, start)
        if shared > 0:
            seconds[one.label] = seconds.get(one.label, 0.0) + shared
    return seconds
