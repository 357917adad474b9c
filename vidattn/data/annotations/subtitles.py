"""Subtitles with a label in each cue, as `-f srt` and `-f vtt` write them."""

from __future__ import annotations

import html
import re
from pathlib import Path

from vidattn.data.annotations import annotation
from vidattn.errors import DataError
from vidattn.io.files import is_file
from vidattn.types import Window

TIME = r"(?:(\d{1,6}):)?([0-5]?\d):([0-5]?\d)[.,](\d{1,3})"
TIMES = re.compile(rf"\s*{TIME}\s*-->\s*{TIME}(?:\s.*)?")
MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")
"""<i>, and {\\an8} as editors write it."""
SCORE = re.compile(r"\s*\(\d{1,3}\s?%\)$")
"""The score that our writers add to a label."""


def _matches(path: Path) -> bool:
    return path.suffix.lower() in (".srt", ".vtt") and is_file(path)


def _read(path: Path, split: str | None) -> annotation.GroundTruth:
    annotation.choose_subset(path, [], split)
    notes: list[str] = []
    spans = _parse_cues(annotation.read_text(path), str(path), notes)
    video = annotation.AnnotatedVideo(path.stem.removesuffix(".vidattn"), spans=spans)
    return annotation.GroundTruth((video,), tuple(notes))


FORMAT = annotation.Format("subtitles (.srt, .vtt) with a label in each cue", _matches, _read)


def _parse_cues(text: str, name: str, notes: list[str]) -> annotation.Spans:
    """The spans of SubRip or WebVTT, labels without markup and score.

    A short last number of a time is milliseconds, as for players: 1,5 is 1.005 s.
    """
    spans: list[tuple[Window, str]] = []
    line = 1
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        rows = block.split("\n")
        at, match = next(
            ((i, match) for i, row in enumerate(rows) if (match := TIMES.fullmatch(row))), (0, None)
        )
        if match is not None:
            numbers = [int(value or 0) for value in match.groups()]
            start, stop = (
                h * 3600 + m * 60 + s + ms / 1000 for h, m, s, ms in (numbers[:4], numbers[4:])
            )
            words = " ".join(row.strip() for row in rows[at + 1 :])
            label = SCORE.sub("", html.unescape(MARKUP.sub("", words)).strip())
            if start > stop:
                raise DataError(f"{name}: line {line + at}: a cue ends before it begins")
            if start == stop:
                notes.append(f"{name}: line {line + at}: a cue without length: left out")
            elif label:
                spans.append((Window(start, stop), label))
        elif "-->" in block and at == 0:
            notes.append(f"{name}: line {line}: a cue whose times are not understood: left out")
        line += len(rows) + 1
    return annotation.sort_spans(spans)
