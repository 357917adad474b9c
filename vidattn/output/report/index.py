"""The page of a batch run: every video with a ribbon of its labels, totals, and failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import escape

from vidattn.output.report.assets import reveal
from vidattn.output.report.layout import Drawing, Link, Section, ShareBar, render_page
from vidattn.output.text import format_time
from vidattn.timeline import Timeline
from vidattn.timeline.palette import color_slots

MAIN = 3
"""Labels that are named beside a ribbon."""


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

    @classmethod
    def of(cls, name: str, address: str, timeline: Timeline) -> IndexEntry:
        """The entry of a timeline."""
        part = timeline.part.start, timeline.part.stop
        spans = tuple((s.window.start, s.window.stop, s.label_id) for s in timeline.segments)
        lost = tuple(sorted({code for _, code in timeline.unreadable}))
        return cls(name, address, part, timeline.labels, spans, lost)


@dataclass
class _Total:
    """What a label has in all videos."""

    seconds: float = 0.0
    segments: int = 0
    videos: int = 0


def index_page(
    title: str, entries: Sequence[IndexEntry], failures: Sequence[tuple[str, str, str]]
) -> str:
    """The page of a run. failures: name, reason code and message of the videos without a result."""
    totals = _sum_labels(entries)
    labels = list(dict.fromkeys(label for entry in entries for label in entry.labels))
    weights = np.array([totals[label].seconds if label in totals else 0.0 for label in labels])
    colors = dict(zip(labels, color_slots(labels, weights), strict=True))
    length = sum(entry.part[1] - entry.part[0] for entry in entries)
    facts = [f"{len(entries)} videos", format_time(length, hours=True, decimals=0)]
    facts += [f"{len(failures)} failed"] * bool(failures)
    videos = Section(
        "Videos",
        head=("video", "length", "labels", "most of the time"),
        rows=[_video_row(entry, colors) for entry in entries],
    )
    sections = [Section("Labels", head=TOTALS, rows=list(_total_rows(totals, colors))), videos]
    if failures:
        sections.insert(0, Section("Failures", head=("video", "reason", "message"), rows=failures))
    return render_page(title, facts, [section for section in sections if section.rows])


TOTALS = ("label", "share of the time", "time", "segments", "videos")


def _sum_labels(entries: Sequence[IndexEntry]) -> dict[str, _Total]:
    totals: dict[str, _Total] = {}
    for entry in entries:
        for start, stop, label in entry.spans:
            if label is not None:
                total = totals.setdefault(entry.labels[label], _Total())
                total.seconds += stop - start
                total.segments += 1
        for label in {label for _, _, label in entry.spans} - {None}:
            totals[entry.labels[label or 0]].videos += 1
    return totals


def _video_row(entry: IndexEntry, colors: dict[str, int]) -> tuple[str | Link | Drawing, ...]:
    seconds: dict[str, float] = {}
    for start, stop, label in entry.spans:
        if label is not None:
            seconds[entry.labels[label]] = seconds.get(entry.labels[label], 0.0) + stop - start
    length = entry.part[1] - entry.part[0]
    main = sorted(seconds, key=lambda label: -seconds[label])[:MAIN]
    words = ", ".join(f"{label} {100 * seconds[label] / length:.1f} %" for label in main)
    words += f"; not all could be read ({', '.join(entry.lost)})" if entry.lost else ""
    time = format_time(length, hours=length >= 3600)
    return Link(entry.name, entry.address), time, _draw_ribbon(entry, colors), words


def _draw_ribbon(entry: IndexEntry, colors: dict[str, int]) -> Drawing:
    """The segments as a strip of colors, one path for each color."""
    paths: dict[str, list[str]] = {}
    first, length = entry.part[0], max(entry.part[1] - entry.part[0], 1e-9)
    for start, stop, label in entry.spans:
        color = "none" if label is None else f"k{colors[entry.labels[label]]}"
        left, right = (1000 * (t - first) / length for t in (start, stop))
        paths.setdefault(color, []).append(f"M{left:.1f} 0H{right:.1f}V9H{left:.1f}Z")
    body = "".join(f'<path class="{color}" d="{"".join(d)}"/>' for color, d in paths.items())
    return Drawing(
        f'<svg class="ribbon" viewBox="0 0 1000 9" preserveAspectRatio="none" role="img" '
        f'aria-label="Labels of {escape(reveal(entry.name))} over time">{body}</svg>'
    )


def _total_rows(
    totals: dict[str, _Total], colors: dict[str, int]
) -> Iterator[tuple[str | ShareBar, ...]]:
    whole = sum(total.seconds for total in totals.values()) or 1.0
    for label, total in sorted(totals.items(), key=lambda row: -row[1].seconds):
        share = total.seconds / whole
        bar = ShareBar(share, f"{100 * share:.1f} %", f"k{colors[label]}")
        time = format_time(total.seconds, hours=True, decimals=0)
        yield label, bar, time, str(total.segments), str(total.videos)
