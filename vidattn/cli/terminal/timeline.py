"""A timeline as text: plain lines, or on a terminal colored tracks, rows and bars that use the
available width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath
from typing import Any
from unicodedata import category

from rich.cells import cell_len, set_cell_size
from rich.console import Console as RichConsole
from rich.text import Text

from vidattn.cli.terminal.console import Console, printable
from vidattn.output.text import decimals_for, describe_coverage, format_clock, model_title
from vidattn.timeline import Timeline
from vidattn.timeline.palette import NONE, Color, LabelColors, label_colors
from vidattn.timeline.segments import BACKGROUND, Segment, covered_spans
from vidattn.types import VideoInfo, Window

BAR = 20
ONE_LINE = 4
"""Labels whose totals fit in one line."""
LEAST_SHARE = 0.0005
"""Of a video, which shows as 0.1 %."""
NARROW = 60
"""Columns below which a row has no end time."""
MOST_TRACKS = 10
LONGEST_LABEL = 28
WIDEST = 120


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


@dataclass(frozen=True)
class TerminalStyle:
    """Width and character set of a terminal."""

    width: int
    ascii: bool = False

    @classmethod
    def of(cls, console: RichConsole) -> TerminalStyle:
        """The style of a console."""
        return cls(min(max(console.width, 20), WIDEST), console.options.ascii_only)

    @property
    def line(self) -> str:
        """The character of bars."""
        return "#" if self.ascii else "━"

    @property
    def marks(self) -> tuple[str, str, str, str]:
        """Cells of a track: empty, left half, right half, full."""
        return ("-", "#", "#", "#") if self.ascii else ("─", "▌", "▐", "█")

    def label(self, text: str, width: int, style: str = "") -> Text:
        """A label in exactly `width` columns."""
        line = Text(printable(text), style)
        line.truncate(width, overflow="crop" if self.ascii else "ellipsis", pad=True)
        return line

    def folded(self, text: Text) -> Iterator[Text]:
        """Wrap a long line."""
        width = self.width - slack(text.plain)
        if text.cell_len <= width:
            yield text
            return
        lines = text.wrap(RichConsole(width=self.width), max(width - 4, 10), no_wrap=False)
        for number, line in enumerate(lines):
            line.rstrip()
            yield Text.assemble("    " if number else "", line)


def slack(*texts: str) -> int:
    """Columns that a terminal may need beyond the count of rich.

    They disagree about combining marks, as in Devanagari, and a line that is too long cannot be
    erased.
    """
    marks = (sum(category(sign)[0] == "M" for sign in text) for text in texts)
    return max(marks, default=0)


def rich_color(color: Color) -> str:
    """A color in the notation of rich."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def segment_rows(
    segments: Sequence[Segment], colors: LabelColors, style: TerminalStyle
) -> Iterator[Text]:
    """A line for each segment: time, label, score."""
    narrow = style.width < NARROW
    taken = 14 + 9 if narrow else 27 + 11 + 8
    room = min(_widest(segments), max(style.width - taken, 6), LONGEST_LABEL if narrow else 60)
    left = style.width - 27 - room - 2 - 9 - 2 - slack(*(s.label for s in segments))
    bar = 0 if narrow else min(BAR, left)
    for segment in segments:
        yield segment_row(segment, room, max(bar, 0), colors[segment.label_id], style)


def segment_row(
    segment: Segment,
    room: int,
    bar: int,
    color: Color,
    style: TerminalStyle,
    *,
    finished: bool = True,
) -> Text:
    """The line of a segment; an unfinished one has no end yet."""
    window = segment.window
    decimals = decimals_for(window.duration) if finished else 1
    begin, end = (format_clock(t, decimals=decimals) for t in (window.start, window.stop))
    when = (
        f"  {begin}  " if style.width < NARROW else f"  {begin} - {end if finished else ' ' * 10}  "
    )
    named = segment.label_id is not None
    line = Text.assemble(
        (when, "dim"), style.label(segment.label, room, "" if named else "dim"), "  "
    )
    if named:
        line.append(f"{100 * segment.score:5.1f} %")
    if named and bar:
        full = round(bar * segment.score)
        line.append("  " + style.line * full, rich_color(color))
    return line


def draw_tracks(
    segments: Sequence[Segment],
    colors: LabelColors,
    part: Window,
    style: TerminalStyle,
    most: int = MOST_TRACKS,
) -> Iterator[Text]:
    """A track for each label, the longest first, with its share of the time; then an axis."""
    of: dict[int | None, list[Segment]] = {}
    for segment in segments:
        of.setdefault(segment.label_id, []).append(segment)
    order = sorted(of, key=lambda k: (k is None, -_seconds(of[k]), -1 if k is None else k))
    shown = order[:most] if order[-1:] != [None] else [*order[:-1][: most - 1], None]
    room = min(_widest(of[k][0] for k in shown), style.width * 3 // 10, LONGEST_LABEL)
    narrow = style.width < NARROW
    width = style.width - room - (12 if narrow else 18) - slack(*(of[k][0].label for k in shown))
    if width < 8 or not shown:
        return
    for label in shown:
        mine, hue = of[label], rich_color(colors[label])
        dim = "dim" if label is None else ""
        text = Text.assemble("  ", style.label(mine[0].label, room, dim), "  ")
        text.append_text(_track([s.window for s in mine], part, width, hue, style))
        text.append(f" {100 * _seconds(mine) / part.duration:5.1f} %")
        text.append("" if narrow else f" {len(mine):>4}x", "dim")
        yield text
    yield Text(" " * (room + 4) + _axis(part, width), "dim")
    if left := [label for label in order if label not in shown]:
        share = 100 * sum(_seconds(of[label]) for label in left) / part.duration
        more = Text(f"  and {len(left)} more labels, {share:.1f} % together", "dim")
        more.truncate(style.width, overflow="crop")
        yield more


def score_bars(timeline: Timeline, count: int, style: TerminalStyle) -> Iterator[Text]:
    """The best labels of a classification, with bars."""
    best = timeline.top(count)
    widest = max(cell_len(printable(label)) for label, _ in best)
    room = min(widest, max(style.width - 17, 6))
    bar = min(2 * BAR, style.width - room - 19 - slack(*(label for label, _ in best)))
    hue = rich_color(label_colors(timeline)[timeline.segments[0].label_id])
    for place, (label, score) in enumerate(best, 1):
        first = "bold" if place == 1 else ""
        line = Text.assemble((f"  {place:>2}  ", "dim"), style.label(label, room, first))
        line.append(f"  {100 * score:5.1f} %  ")
        line.append(style.line * round(max(bar, 0) * score), hue if place == 1 else "dim")
        line.rstrip()
        yield line


def _track(
    windows: Sequence[Window], part: Window, width: int, hue: str, style: TerminalStyle
) -> Text:
    """A line that is thick where the label is, to half a column."""
    halves = [False] * (2 * width)
    for window in windows:
        begin, end = (
            2 * width * (t - part.start) / part.duration for t in (window.start, window.stop)
        )
        first, after = round(begin), round(end)
        if after <= first:  # short segments of a long video stay visible
            first = int((begin + end) / 2)
            after = first + 1
        for half in range(max(first, 0), min(after, 2 * width)):
            halves[half] = True
    cells = [left + 2 * right for left, right in zip(halves[::2], halves[1::2], strict=True)]
    line = Text()
    for seen, run in groupby(cells, bool):
        marks = "".join(style.marks[cell] for cell in run)
        line.append(marks, hue if seen else rich_color(NONE))
    return line


def _axis(part: Window, width: int) -> str:
    """The times at both ends, and in the middle if it fits."""
    decimals = 0 if part.duration >= 10 else 1
    words = [_short(t, decimals) for t in (part.start, part.center, part.stop)]
    first, middle, last = words
    if width < sum(map(len, words)) + 8:
        return f"{first}{last:>{width - len(first)}}" if width > len(first) + len(last) else first
    left = f"{first}{middle:>{width // 2 + len(middle) // 2 - len(first)}}"
    return f"{left}{last:>{width - len(left)}}"


def _short(seconds: float, decimals: int) -> str:
    """A time without leading zeros."""
    text = format_clock(seconds, decimals=decimals)
    return text.removeprefix("00:").removeprefix("0")


def _widest(segments: Iterable[Segment]) -> int:
    return max((cell_len(printable(s.label)) for s in segments), default=len(BACKGROUND))


def _seconds(segments: Iterable[Segment]) -> float:
    return sum(segment.window.duration for segment in segments)
