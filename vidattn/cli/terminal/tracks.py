"""A timeline on a terminal: tracks, rows and bars, in colours, as wide as there is room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from unicodedata import category

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from vidattn.cli.terminal.console import format_clock, printable
from vidattn.output.palette import NONE, Color, label_colors
from vidattn.output.text import decimals_for
from vidattn.timeline import Timeline
from vidattn.timeline.segments import BACKGROUND, Segment
from vidattn.types import Window

NARROW = 60
"""Columns below which a row says only when a segment begins."""
MOST_TRACKS = 10
LONGEST_LABEL = 28
BAR = 20
WIDEST = 120


@dataclass(frozen=True)
class TerminalStyle:
    """What a terminal can show."""

    width: int
    ascii: bool = False

    @classmethod
    def of(cls, console: Console) -> TerminalStyle:
        """That of a console."""
        return cls(min(max(console.width, 20), WIDEST), console.options.ascii_only)

    @property
    def line(self) -> str:
        """What bars are made of."""
        return "#" if self.ascii else "━"

    @property
    def marks(self) -> tuple[str, str, str, str]:
        """A cell of a track: empty, its left half, its right half, all of it."""
        return ("-", "#", "#", "#") if self.ascii else ("─", "▌", "▐", "█")

    def label(self, text: str, room: int, style: str = "") -> Text:
        """A label in exactly `room` columns."""
        made = Text(printable(text), style)
        made.truncate(room, overflow="crop" if self.ascii else "ellipsis", pad=True)
        return made

    def folded(self, text: Text) -> Iterator[Text]:
        """A long line as several that fit."""
        width = self.width - doubtful(text.plain)
        if text.cell_len <= width:
            yield text
            return
        lines = text.wrap(Console(width=self.width), max(width - 4, 10), no_wrap=False)
        for number, line in enumerate(lines):
            line.rstrip()
            yield Text.assemble("    " if number else "", line)


def doubtful(*texts: str) -> int:
    """Columns that a terminal may take beyond those that rich counts: they disagree about marks
    that join a letter, as in Devanagari. A line that is one too long leaves its rest behind."""
    joining = (sum(category(sign)[0] == "M" for sign in text) for text in texts)
    return max(joining, default=0)


def style_of(colour: Color) -> str:
    """A colour as rich names it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def rows(segments: Sequence[Segment], look: TerminalStyle) -> Iterator[Text]:
    """A line for each segment: when, what, how sure."""
    hues = label_colors(segments)
    narrow = look.width < NARROW
    taken = 14 + 9 if narrow else 27 + 11 + 8
    room = min(_widest(segments), max(look.width - taken, 6), LONGEST_LABEL if narrow else 60)
    left = look.width - 27 - room - 2 - 9 - 2 - doubtful(*(s.label for s in segments))
    bar = 0 if narrow else min(BAR, left)
    for segment in segments:
        yield row(segment, room, max(bar, 0), hues[segment.label_id], look)


def row(
    segment: Segment,
    room: int,
    bar: int,
    colour: Color,
    look: TerminalStyle,
    *,
    closed: bool = True,
) -> Text:
    """The line of a segment; one that is not closed has no end yet."""
    window = segment.window
    decimals = decimals_for(window.duration) if closed else 1
    begin, end = (format_clock(t, decimals=decimals) for t in (window.start, window.stop))
    when = f"  {begin}  " if look.width < NARROW else f"  {begin} - {end if closed else ' ' * 10}  "
    named = segment.label_id is not None
    line = Text.assemble(
        (when, "dim"), look.label(segment.label, room, "" if named else "dim"), "  "
    )
    if named:
        line.append(f"{100 * segment.score:5.1f} %")
    if named and bar:
        full = round(bar * segment.score)
        line.append("  " + look.line * full, style_of(colour))
    return line


def tracks(
    segments: Sequence[Segment], part: Window, look: TerminalStyle, most: int = MOST_TRACKS
) -> Iterator[Text]:
    """A track for each label, the longest first, with its share of the part; then the time."""
    hues = label_colors(segments)
    of: dict[int | None, list[Segment]] = {}
    for segment in segments:
        of.setdefault(segment.label_id, []).append(segment)
    order = sorted(of, key=lambda k: (k is None, -_seconds(of[k]), -1 if k is None else k))
    shown = order[:most]
    room = min(_widest(of[k][0] for k in shown), look.width * 3 // 10, LONGEST_LABEL)
    narrow = look.width < NARROW
    width = look.width - room - (12 if narrow else 18) - doubtful(*(of[k][0].label for k in shown))
    if width < 8 or not shown:
        return
    for label in shown:
        mine, hue = of[label], style_of(hues[label])
        dim = "dim" if label is None else ""
        text = Text.assemble("  ", look.label(mine[0].label, room, dim), "  ")
        text.append_text(_track([s.window for s in mine], part, width, hue, look))
        text.append(f" {100 * _seconds(mine) / part.duration:5.1f} %")
        text.append("" if narrow else f" {len(mine):>4}x", "dim")
        yield text
    yield Text(" " * (room + 4) + _axis(part, width), "dim")
    if len(order) > most:
        rest = sum(_seconds(of[label]) for label in order[most:])
        share = 100 * rest / part.duration
        more = Text(f"  and {len(order) - most} more labels, {share:.1f} % together", "dim")
        more.truncate(look.width, overflow="crop")
        yield more


def bars(timeline: Timeline, count: int, look: TerminalStyle) -> Iterator[Text]:
    """The best labels of a classification."""
    best = timeline.top(count)
    widest = max(cell_len(printable(label)) for label, _ in best)
    room = min(widest, max(look.width - 17, 6))
    bar = min(2 * BAR, look.width - room - 19 - doubtful(*(label for label, _ in best)))
    hue = style_of(next(iter(label_colors(timeline.segments).values()), NONE))
    for place, (label, score) in enumerate(best, 1):
        first = "bold" if place == 1 else ""
        line = Text.assemble((f"  {place:>2}  ", "dim"), look.label(label, room, first))
        line.append(f"  {100 * score:5.1f} %  ")
        line.append(look.line * round(max(bar, 0) * score), hue if place == 1 else "dim")
        line.rstrip()
        yield line


def _track(
    windows: Sequence[Window], part: Window, width: int, hue: str, look: TerminalStyle
) -> Text:
    """A line that is thick where a label is, to half a column."""
    halves = [False] * (2 * width)
    for window in windows:
        begin, end = (
            2 * width * (t - part.start) / part.duration for t in (window.start, window.stop)
        )
        first, after = round(begin), round(end)
        if after <= first:  # even a moment of a long film can be seen
            first = int((begin + end) / 2)
            after = first + 1
        for half in range(max(first, 0), min(after, 2 * width)):
            halves[half] = True
    cells = [left + 2 * right for left, right in zip(halves[::2], halves[1::2], strict=True)]
    line = Text()
    for seen, run in groupby(cells, bool):
        marks = "".join(look.marks[cell] for cell in run)
        line.append(marks, hue if seen else style_of(NONE))
    return line


def _axis(part: Window, width: int) -> str:
    """The times at both ends, and in the middle where there is room."""
    decimals = 0 if part.duration >= 10 else 1
    words = [_short(t, decimals) for t in (part.start, part.center, part.stop)]
    first, middle, last = words
    if width < sum(map(len, words)) + 8:
        return f"{first}{last:>{width - len(first)}}" if width > len(first) + len(last) else first
    left = f"{first}{middle:>{width // 2 + len(middle) // 2 - len(first)}}"
    return f"{left}{last:>{width - len(left)}}"


def _short(seconds: float, decimals: int) -> str:
    """A time without hours that are none."""
    text = format_clock(seconds, decimals=decimals)
    return text.removeprefix("00:").removeprefix("0")


def _widest(segments: Iterable[Segment]) -> int:
    return max((cell_len(printable(s.label)) for s in segments), default=len(BACKGROUND))


def _seconds(segments: Iterable[Segment]) -> float:
    return sum(segment.window.duration for segment in segments)
