"""The result of looking at a video: windows, the scores of their labels, and the segments.

Segments always follow from the scores as `vidattn.timeline.document` saves them, so that a saved
timeline gives the same segments, and others with another threshold, without model and video.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from vidattn.config.serialization import check_value
from vidattn.errors import InputError, UsageError
from vidattn.io.files import read_file, reading
from vidattn.io.json import dumps, dumps_pretty
from vidattn.timeline.document import build_document, parse_document
from vidattn.timeline.labeled import LabeledTimeline
from vidattn.timeline.palette import NONE, label_colors

MOST_NAMED = 4
"""Segments in the second line of `repr`."""
COLUMNS = ("start", "stop", "label", "score", "confidence", "start_frame", "end_frame")


@dataclass(frozen=True, eq=False)
class Timeline(LabeledTimeline):
    """Windows of a video, the probabilities of the labels in each, and the resulting segments.

    Raises ValueError if the values do not fit together or scores are not probabilities.
    """

    def __repr__(self) -> str:
        """Two lines: what was seen of which video, and the first segments."""
        source = self.source.encode("utf-8", "backslashreplace").decode()
        segments, model = self.segments, self.model.name or "unnamed model"
        first = ", ".join(f"{s.start:.1f}-{s.stop:.1f} s {s.label}" for s in segments[:MOST_NAMED])
        more = len(segments) - MOST_NAMED
        return (
            f"<Timeline of {source!r}: {self.rounded_duration:.1f} s, {len(self.windows)} "
            f"windows, {100 * self.coverage:.1f} % seen, {model}\n"
            f"  {len(segments)} segments: {first or 'none'}{f', {more} more' if more > 0 else ''}>"
        )

    def _repr_html_(self) -> str:
        """HTML: the segments as a strip of colors, with the name and share of each label below."""
        colors = label_colors(self)
        part, scale = self.part, 100 / self.part.duration
        ids = {label: k for k, label in enumerate(self.labels)}
        spans = "".join(
            f'<span title="{escape(s.label)} {s.start:.1f}-{s.stop:.1f} s, {100 * s.score:.1f} %" '
            f'style="position:absolute;top:0;bottom:0;left:{scale * (s.start - part.start):.3f}%;'
            f'width:{scale * s.window.duration:.3f}%;background:{_css(colors[s.label_id])}"></span>'
            for s in self.single_track
        )
        legend = " ".join(
            f'<span style="color:{_css(colors.get(ids.get(row["label"]), NONE))}">&#9632;</span> '
            f"{escape(row['label'])} {100 * row['share']:.1f} %"
            for row in self.totals()
        )
        title = escape(self.source.encode("utf-8", "backslashreplace").decode())
        return (
            f"<div><b>{title}</b> {self.rounded_duration:.1f} s"
            f'<div style="position:relative;height:18px">{spans}</div><small>{legend}</small></div>'
        )

    def to_frame(self) -> Any:
        """The segments as a DataFrame of pandas. Raises UsageError where that is not installed."""
        try:
            import pandas
        except ImportError:
            raise UsageError("to_frame needs pandas", hint="pip install pandas") from None
        rows = [[getattr(segment, name) for name in COLUMNS] for segment in self.segments]
        return pandas.DataFrame(rows, columns=list(COLUMNS))

    def to_dict(self, *, run: bool = False, scores: bool = True) -> dict[str, Any]:
        """The document `vidattn/timeline/1` as plain values, with or without scores and `run`."""
        return build_document(self, run=run, scores=scores)

    def to_json(self, *, indent: int | None = 2, run: bool = False) -> str:
        """The document as text: a line per segment and window; with indent=None one line in all.

        Always valid UTF-8, without bare control characters, NaN or Infinity. run: whether with
        times and memory of this run; without them, the same input gives the same bytes.
        """
        document = self.to_dict(run=run)
        return dumps(document) if indent is None else dumps_pretty(document, indent)

    @staticmethod
    def from_json(text: str | bytes) -> Timeline:
        """Read a document that `to_json` wrote; its segments come out the same.

        Raises InputError, naming the fault, for anything else.
        """
        return parse_document(text, Timeline)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Timeline:
        """Read a `.vidattn.json`. Raises InputError."""
        path = check_value(str, path, "path")
        with reading(path, InputError):
            return Timeline.from_json(read_file(Path(path)))


def _css(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
