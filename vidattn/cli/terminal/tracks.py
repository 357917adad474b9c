"""A timeline on a terminal: colored tracks, rows and bars that use the available width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from unicodedata import category

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from vidattn.cli.terminal.console import printable
from vidattn.output.text import decimals_for, format_clock
from vidattn.timeline import Timeline
from vidattn.timeline.palette import NONE, Color, LabelColors, label_colors
from vidattn.timeline.segments import BACKGROUND, Segment
from vidattn.types import Window

NARROW = 60
"""Columns below which a row has no end time."""
MOST_TRACKS = 10
LONGEST_LABEL = 28
BAR = 20
WIDEST = 120


@dataclass(frozen=True)
class TerminalStyle:
    """Width and character set of a terminal."""

    width: int
    ascii: bool = False

    @classmethod
    def of(cls, console: Console) -> TerminalStyle:
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
        lines = text.wrap(Console(width=self.width), max(width - 4, 10), no_wrap=False)
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
