"""The page of a batch run: time budgets, every video with its labels over time, and failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from markupsafe import escape

from vidattn.output.report.assets import reveal
from vidattn.output.report.layout import Drawing, Link, Section, ShareBar, render_page
from vidattn.output.text import format_time
from vidattn.timeline import Timeline
from vidattn.timeline.budget import LabelBudget, Observation, clock_of, split_days, time_budget
from vidattn.timeline.palette import color_slots
from vidattn.timeline.segments import BACKGROUND

Span = tuple[datetime, datetime, str]
"""Local times of start and stop, and a CSS class."""
Row = tuple[str, Sequence[tuple[float, float, str]]]
"""A name, and the seconds of start and stop of each span with its CSS class."""

MOST_ROWS = 100
WIDTH, ROW, DATE = 1040, 16, 100
"""Of a drawing in pixels, the height of a row, and the place of dates."""
SECONDS = 86400.0
LEAST = 1.5 * SECONDS / (WIDTH - DATE)
"""Seconds of the shortest span in an actogram, so that it can be seen."""
MAIN = 3
"""Labels that are named beside a ribbon."""
MOST_COLUMNS = 8
"""Labels in the table of groups."""
LEFT, NAME = 240, 34
"""The place of names in the ethogram in pixels, and their most characters."""


def draw_actogram(spans: Iterable[Span]) -> tuple[str, int]:
    """Labels over the time of day, empty without spans; and the number of days."""
    days: dict[str, list[tuple[float, float, str]]] = {}
    for start, stop, color in spans:
        for date, low, high in split_days(start, stop):
            days.setdefault(date, []).append((low, max(high, low + LEAST), color))
    hours = [f"{hour:02d}:00" for hour in range(0, 25, 3)]
    shown = sorted(days.items())[:MOST_ROWS]
    return draw_rows(shown, SECONDS, hours, DATE, "days over the time of day"), len(days)


def draw_rows(
    rows: Sequence[Row], longest: float, marks: Sequence[str], left: int, title: str
) -> str:
    """SVG of rows; empty without rows or length.

    longest: seconds of the whole scale. marks: texts below it, evenly spaced. left: the place of
    the scale in pixels, behind the names. title: what rows are, and over what.
    """
    if not rows or not longest:
        return ""
    scale, bottom = (WIDTH - left) / longest, ROW * len(rows)
    words, bars = [], []
    for top, (name, spans) in zip(range(0, bottom, ROW), rows, strict=True):
        place = f'x="{left - 8}" y="{top + ROW - 4}" text-anchor="end"'
        words.append(f"<text {place}>{escape(reveal(name))}</text>")
        for low, high, color in spans:
            ends = left + scale * low, left + scale * high
            bars.append((*ends, top + 2, top + ROW - 2, color))
    last = len(marks) - 1
    for k, mark in enumerate(marks):
        anchor = {0: "start", last: "end"}.get(k, "middle")
        place = f'x="{left + (WIDTH - left) * k / last:.0f}" y="{bottom + 16}"'
        words.append(f'<text class="soft" {place} text-anchor="{anchor}">{mark}</text>')
    return (
        f'<svg class="raster" viewBox="0 0 {WIDTH} {bottom + 20}" width="{WIDTH}" '
        f'height="{bottom + 20}" role="img" aria-label="Labels of {len(rows)} {title}">'
        f"{draw_bars(bars)}{''.join(words)}</svg>"
    )


def draw_bars(bars: Iterable[tuple[float, float, int, int, str]]) -> str:
    """One path for each CSS class. bars: left, right, top, bottom, and the class."""
    paths: dict[str, list[str]] = {}
    for left, right, top, bottom, color in bars:
        paths.setdefault(color, []).append(f"M{left:.1f} {top}H{right:.1f}V{bottom}H{left:.1f}Z")
    return "".join(f'<path class="{color}" d="{"".join(d)}"/>' for color, d in paths.items())


@dataclass(frozen=True)
class IndexEntry:
    """What the page shows of a video; small, so that those of many thousands fit in memory."""

    name: str
    address: str
    """Of its report, relative to the page."""
    part: tuple[float, float]
    """Seconds."""
    labels: tuple[str, ...]
    """All labels of the model."""
    spans: tuple[tuple[float, float, int | None], ...]
    """Start, stop and label of each segment."""
    lost: tuple[str, ...]
    """Reason codes of spans that could not be read."""
    gaps: tuple[tuple[float, float], ...] = ()
    """Spans in seconds that were not seen."""
    group: str = ""
    """The group of the video, where videos are grouped."""
    clock: datetime | None = None
    """The local time of the first frame, where it is known."""

    @classmethod
    def of(cls, name: str, address: str, timeline: Timeline, group: str = "") -> IndexEntry:
        """The entry of a timeline."""
        part = timeline.part.start, timeline.part.stop
        spans = tuple((s.window.start, s.window.stop, s.label_id) for s in timeline.segments)
        lost = tuple(sorted({code for _, code in timeline.unreadable}))
        gaps = tuple((w.start, w.stop) for w in timeline.gaps)
        clock = clock_of(timeline.settings.start_time, timeline.input.start_offset)
        return cls(name, address, part, timeline.labels, spans, lost, gaps, group, clock)

    def observe(self) -> Observation:
        """The segments as time budgets take them."""
        names = ((a, b, BACKGROUND if k is None else self.labels[k]) for a, b, k in self.spans)
        return Observation.of(self.part, names, self.gaps)


def index_page(
    title: str, entries: Sequence[IndexEntry], failures: Sequence[tuple[str, str, str]]
) -> str:
    """The page of a run. failures: name, reason code and message of the videos without a result."""
    observations = [entry.observe() for entry in entries]
    budget = time_budget(observations)
    labels = list(dict.fromkeys(label for entry in entries for label in entry.labels))
    seconds = {row.label: row.seconds for row in budget}
    weights = np.array([seconds.get(label, 0.0) for label in labels])
    colors = dict(zip(labels, color_slots(labels, weights), strict=True))
    length = sum(entry.part[1] - entry.part[0] for entry in entries)
    facts = [f"{len(entries)} videos", format_time(length, hours=True, decimals=0)]
    facts += [f"{len(failures)} failed"] * bool(failures)
    videos = Section(
        "Videos",
        head=("video", "length", "labels", "most of the time"),
        rows=[_video_row(entry, colors) for entry in entries],
    )
    sections = [
        Section("Time budget", BUDGET_NOTE, head=BUDGET, rows=_budget_rows(budget, colors)),
        _group_section(entries, observations, budget),
        Section("Ethogram", _raster_note(len(entries)), _draw_raster(entries, colors)),
        _actogram_section(entries, colors),
        videos,
    ]
    if failures:
        sections.insert(0, Section("Failures", head=("video", "reason", "message"), rows=failures))
    return render_page(title, facts, [one for one in sections if one.rows or one.drawing])


BUDGET = "label", "share", "time", "segments", "videos", "mean", "median", "first after"
BUDGET_NOTE = (
    "Share: of the time that was seen. First after: from the start of a video to the first "
    "segment, as the mean over the videos that have the label."
)


def _budget_rows(
    budget: Sequence[LabelBudget], colors: Mapping[str, int]
) -> list[tuple[str | ShareBar, ...]]:
    def row(one: LabelBudget) -> tuple[str | ShareBar, ...]:
        color = f"k{colors[one.label]}" if one.label in colors else "none"
        return (
            one.label,
            ShareBar(one.share, f"{100 * one.share:.1f} %", color),
            format_time(one.seconds, hours=True, decimals=0),
            *(str(one.count), str(one.videos)),
            *(f"{seconds:.2f} s" for seconds in (one.mean_seconds, one.median_seconds)),
            format_time(one.latency_seconds, hours=True),
        )

    return [row(one) for one in budget]


def _group_section(
    entries: Sequence[IndexEntry],
    observations: Sequence[Observation],
    budget: Sequence[LabelBudget],
) -> Section:
    """The share of the longest labels in each group; empty without groups."""
    groups: dict[str, list[Observation]] = {}
    for entry, one in zip(entries, observations, strict=True):
        if entry.group:
            groups.setdefault(entry.group, []).append(one)
    labels = [row.label for row in budget[:MOST_COLUMNS]]
    rows = []
    for name in sorted(groups):
        shares = {row.label: row.share for row in time_budget(groups[name])}
        seen = format_time(sum(one.seconds for one in groups[name]), hours=True, decimals=0)
        cells = (f"{100 * shares.get(label, 0.0):.1f} %" for label in labels)
        rows.append((name, str(len(groups[name])), seen, *cells))
    return Section("Groups", head=("group", "videos", "time", *labels), rows=rows)


def _raster_note(count: int) -> str:
    some = f" The first {MOST_ROWS} of {count} videos." if count > MOST_ROWS else ""
    return f"A row for each video, all from their start on one scale of time.{some}"


def _actogram_section(entries: Sequence[IndexEntry], colors: Mapping[str, int]) -> Section:
    """Labels over the time of day, of the videos whose start is known."""
    drawing, days = draw_actogram(
        (
            entry.clock + timedelta(seconds=start),
            entry.clock + timedelta(seconds=stop),
            _color(entry, label, colors),
        )
        for entry in entries
        if entry.clock is not None
        for start, stop, label in entry.spans
    )
    some = f" The first {MOST_ROWS} of {days} days." if days > MOST_ROWS else ""
    return Section("Actogram", f"A row for each day, by the clock of the place.{some}", drawing)


def _color(entry: IndexEntry, label: int | None, colors: Mapping[str, int]) -> str:
    return "none" if label is None else f"k{colors[entry.labels[label]]}"


def _draw_raster(entries: Sequence[IndexEntry], colors: Mapping[str, int]) -> str:
    """The segments of all videos over time."""

    def row(entry: IndexEntry) -> Row:
        name, first = entry.name, entry.part[0]
        short = name if len(name) <= NAME else f"…{name[1 - NAME :]}"
        return short, [(a - first, b - first, _color(entry, k, colors)) for a, b, k in entry.spans]

    shown = entries[:MOST_ROWS]
    longest = max((entry.part[1] - entry.part[0] for entry in shown), default=0.0)
    marks = [format_time(longest * k / 4, hours=True, decimals=0) for k in range(5)]
    return draw_rows([row(entry) for entry in shown], longest, marks, LEFT, "videos over time")


def _video_row(entry: IndexEntry, colors: dict[str, int]) -> tuple[str | Link | Drawing, ...]:
    seconds: dict[str, float] = {}
    for start, stop, label in entry.spans:
        if label is not None:
            seconds[entry.labels[label]] = seconds.get(entry.labels[label], 0.0) + stop - start
    length = entry.part[1] - entry.part[0]
    main = sorted(seconds, key=lambda label: -seconds[label])[:MAIN]
    words = ", ".join(f"{label} {100 * seconds[label] / length:.1f}\u00a0%" for label in main)
    words += f"; not all could be read ({', '.join(entry.lost)})" if entry.lost else ""
    time = format_time(length, hours=length >= 3600)
    return Link(entry.name, entry.address), time, _draw_ribbon(entry, colors), words


def _draw_ribbon(entry: IndexEntry, colors: dict[str, int]) -> Drawing:
    """The segments as a strip of colors."""
    first, length = entry.part[0], max(entry.part[1] - entry.part[0], 1e-9)
    bars = (
        (1000 * (a - first) / length, 1000 * (b - first) / length, 0, 9, _color(entry, k, colors))
        for a, b, k in entry.spans
    )
    return Drawing(
        f'<svg class="ribbon" viewBox="0 0 1000 9" preserveAspectRatio="none" role="img" '
        f'aria-label="Labels of {escape(reveal(entry.name))} over time">{draw_bars(bars)}</svg>'
    )
