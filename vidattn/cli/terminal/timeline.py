"""A timeline as text: the coverage of the video, and its segments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from vidattn.cli.terminal.console import Console, printable
from vidattn.cli.terminal.tracks import TerminalStyle, draw_tracks, score_bars, segment_rows
from vidattn.output.text import decimals_for, describe_coverage, format_clock, model_title
from vidattn.timeline import BACKGROUND, Timeline
from vidattn.timeline.palette import label_colors
from vidattn.timeline.segments import covered_spans
from vidattn.types import VideoInfo

BAR = 20
ONE_LINE = 4
"""Labels whose totals fit in one line."""
LEAST_SHARE = 0.0005
"""Of a video, which shows as 0.1 %."""


def print_timeline(console: Console, timeline: Timeline, count: int = 5) -> None:
    """Print a timeline: colored tracks on a terminal, elsewhere plain lines.

    count: labels to show of a classification. Times are those of players.
    """
    timeline = timeline.from_file_start()
    if console.supports_live(console.out):
        console.lines(animated_lines(timeline, count, TerminalStyle.of(console.out)))
        return
    console.lines(header_lines(timeline))
    console.lines(
        ranking_lines(timeline, count) if timeline.task == "classify" else segment_lines(timeline)
    )


def animated_lines(timeline: Timeline, count: int, style: TerminalStyle) -> Iterator[Text]:
    """Lines for a terminal: the video, segments, a track per label, and the speed."""
    for line in header_lines(timeline, PurePath(timeline.source).name or timeline.source):
        yield from style.folded(line)
    if not timeline.windows:
        return
    total = timeline.run.get("total_s")
    part = timeline.part
    if timeline.task == "classify":
        yield from score_bars(timeline, count, style)
    else:
        colors = label_colors(timeline)
        yield from segment_rows(timeline.segments, colors, style)
        yield Text("")
        yield from draw_tracks(timeline.segments, colors, part, style)
        parts = [] if timeline.is_whole else [f"% of {_part(timeline)}"]
        if parts := parts + _not_seen(timeline):
            yield Text(f"  {', '.join(parts)}", "dim")
    if isinstance(total, int | float) and total > 0:
        speed = f", {part.duration / total:.3g}x real time" if timeline.task == "segment" else ""
        yield Text(f"  took {total:.1f} s{speed}", "dim")


def header_lines(timeline: Timeline, title: str = "") -> Iterator[Text]:
    """Two lines: the video, by its path or a title, and the part of it that the model saw."""
    model, start = timeline.model, timeline.settings.start_time
    assert timeline.duration is not None
    length = format_clock(timeline.duration, decimals=0 if timeline.duration >= 60 else 2)
    yield Text.assemble(
        (printable(title or timeline.source), "bold"),
        f"  {length}  {printable(_shape(timeline.input))}",
        f"  from {printable(start.replace('T', ' '))}" if start else "",
    )
    name = model_title(model)
    yield Text.assemble(
        f"  saw {printable(describe_coverage(timeline))}", "    ", (printable(name), "dim")
    )


def _shape(video: VideoInfo) -> str:
    """Size, codec and rate, as far as the document has them."""
    words = [
        f"{video.width}x{video.height}" if video.width and video.height else "",
        video.codec or "",
        f"{float(video.fps):.6g} fps" if video.fps else "",
        "VFR" if video.vfr else "",
        f"rotated by {video.rotation} degrees" if video.rotation else "",
        f"timecode {video.timecode}" if video.timecode else "",
    ]
    return " ".join(word for word in words if word)


def ranking_lines(timeline: Timeline, count: int) -> Iterator[Text]:
    """The `count` best labels of a classification with bars, and whether it is blank."""
    if (verdict := timeline.blank) is not None:
        word = "blank" if verdict.is_blank else "not blank"
        yield Text.assemble(
            (f"  {word}", "bold"),
            f": {100 * verdict.risk:.1f} % of videos with something in them look this empty; "
            f"allowed: {100 * verdict.loss:g} %",
        )
    best = timeline.top(count)
    width = max(cell_len(printable(label)) for label, _ in best)
    for place, (label, score) in enumerate(best, 1):
        yield Text.assemble(
            f"  {place:>2}  {set_cell_size(printable(label), width)}  ", *_bar(score)
        )


def segment_lines(timeline: Timeline) -> Iterator[Text]:
    """A line for each segment, then the totals of the labels."""
    rows = timeline.segments
    width = max((cell_len(printable(row.label)) for row in rows), default=0)
    for row in rows:
        window = row.window
        start, stop = (
            format_clock(t, decimals=decimals_for(window.duration))
            for t in (window.start, window.stop)
        )
        style = "dim" if row.label == BACKGROUND else ""
        yield Text.assemble(
            f"  {start} - {stop}  ",
            (f"{set_cell_size(printable(row.label), width)}  ", style),
            *_bar(row.score),
        )
    base = "" if timeline.is_whole else f" of {_part(timeline)}"
    totals, rest = timeline.totals(), _not_seen(timeline)
    if len(totals) <= ONE_LINE:
        yield Text(f"  total{base}: " + ", ".join([*map(_total, totals), *rest]))
        return
    yield Text(f"  total{base}:")
    width = max(cell_len(printable(total["label"])) for total in totals)
    for total in totals:
        label = set_cell_size(printable(total["label"]), width)
        yield Text(f"    {label}  {100 * total['share']:5.1f} %  {total['count']:>4}x")
    yield from (Text(f"    {text}") for text in rest)


def _not_seen(timeline: Timeline) -> list[str]:
    """The share of the part that is in no segment, such as all that follows an interruption."""
    spans = covered_spans(segment.window for segment in timeline.segments)
    share = 1 - sum(span.duration for span in spans) / timeline.part.duration
    return [f"not seen {100 * share:.1f} %"] if share >= LEAST_SHARE else []


def _part(timeline: Timeline) -> str:
    """The part of the video that percentages refer to."""
    start, stop = (format_clock(t, decimals=1) for t in (timeline.part.start, timeline.part.stop))
    return f"{start} - {stop}"


def _total(row: dict[str, Any]) -> str:
    return f"{printable(row['label'])} {100 * row['share']:.1f} % ({row['count']}x)"


def _bar(score: float) -> tuple[str, tuple[str, str]]:
    return f"{100 * score:5.1f} %  ", ("#" * round(BAR * score), "cyan")
