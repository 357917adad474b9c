"""The result of looking at a video: windows, the scores of their labels, and the segments.

Segments always follow from the scores as `vidattn.timeline.document` saves them, so that a saved
timeline gives the same segments, and others with another threshold, without model and video.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidattn.errors import InputError
from vidattn.io.files import read_file, reading
from vidattn.io.json import dumps, dumps_pretty
from vidattn.timeline.display import build_frame, describe, draw_ribbon
from vidattn.timeline.document import build_document, parse_document
from vidattn.timeline.labeled import LabeledTimeline


@dataclass(frozen=True, eq=False)
class Timeline(LabeledTimeline):
    """Windows of a video, the probabilities of the labels in each, and the resulting segments.

    Raises ValueError if the values do not fit together or scores are not probabilities.
    """

    __repr__, _repr_html_, to_frame = describe, draw_ribbon, build_frame

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
        with reading(os.fspath(path), InputError):
            return Timeline.from_json(read_file(Path(path)))
