"""Timelines as files: one pure function for each format, and one door that writes.

A file appears whole or not at all. The same timeline gives the same bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from types import MappingProxyType

from vidattn.errors import UsageError
from vidattn.io.digest import sha256
from vidattn.io.files import write_atomically
from vidattn.output.annotators import activitynet, cvat, fiftyone, labelstudio
from vidattn.output.edl import edl
from vidattn.output.elan import eaf
from vidattn.output.fcpxml import fcpxml
from vidattn.output.otio import otio
from vidattn.output.report import bare, html
from vidattn.output.subtitles import srt, vtt
from vidattn.output.tables import csv, json, jsonl, tsv
from vidattn.timeline import Timeline
from vidattn.timeline.explanation import Explanation

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "excerpt_name",
    "file_name",
    "format_of",
    "is_whole",
    "render",
    "write",
]

FORMATS: Mapping[str, Callable[[Timeline], str]] = MappingProxyType(
    {
        "json": json,
        "jsonl": jsonl,
        "csv": csv,
        "tsv": tsv,
        "srt": srt,
        "vtt": vtt,
        "html": html,
        "edl": edl,
        "otio": otio,
        "fcpxml": fcpxml,
        "eaf": eaf,
        "labelstudio": labelstudio,
        "cvat": cvat,
        "activitynet": activitynet,
        "fiftyone": fiftyone,
    }
)
"""Format -> the function that makes the text of a file."""

EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "labelstudio": "labelstudio.json",
        "cvat": "cvat.xml",
        "activitynet": "activitynet.json",
        "fiftyone": "fiftyone.json",
    }
)
"""Format -> how the names of its files end, where that is not the name of the format."""

LONGEST_STEM_BYTES = 80
LONGEST_NAME_BYTES = 255
_CONTROLS = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"


def render(timeline: Timeline, fmt: str) -> str:
    """The text of a file of format `fmt`, a name in FORMATS; always valid UTF-8.

    The bytes of a file name that are not UTF-8 appear as \\udcXX. Raises UsageError.
    """
    if fmt not in FORMATS:
        raise UsageError(f"no such format: {fmt!r}", hint="known: " + ", ".join(FORMATS))
    return _utf8(FORMATS[fmt](timeline))


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write(
    timeline: Timeline,
    path: str | os.PathLike[str],
    fmt: str | None = None,
    *,
    stills: Mapping[float, bytes] | None = None,
    explained: Sequence[Explanation] = (),
) -> Path:
    """Write a timeline to a file, in the format of its extension unless `fmt` names one.

    stills, explained: JPEG files by second (`vidattn.output.thumbnails`) and what windows rest on
    (`vidattn.inference.highlights`), for formats that show them. Returns the path.
    The file is written under another name, flushed and renamed; missing directories are made.
    Raises UsageError for an unknown format and OutputError when the file cannot be written.
    """
    fmt = format_of(path) if fmt is None else fmt
    folder = Path(path).parent
    if fmt == "html":
        text = html(timeline, folder=folder, stills=stills, explained=explained)
    else:
        text = _seen_from(folder, timeline, fmt)
    return write_atomically(path, text.encode("utf-8"))


def _seen_from(folder: Path, timeline: Timeline, fmt: str) -> str:
    """The text of a file in `folder`: as `render`, but some formats say where the film lies."""
    if fmt == "html":
        return html(timeline, folder=folder)
    return _utf8(eaf(timeline, folder)) if fmt == "eaf" else render(timeline, fmt)


def is_whole(timeline: Timeline, path: str | os.PathLike[str], fmt: str) -> bool:
    """Whether a file is there and holds what `write` makes of a timeline in a format.

    The pictures of a page and its section on what labels rest on, which need the film and the
    model, are passed over.
    """
    try:
        there = Path(path).read_bytes()
    except OSError:
        return False
    wanted = _seen_from(Path(path).parent, timeline, fmt).encode()
    return bare(there) == bare(wanted) if fmt == "html" else there == wanted


def format_of(path: str | os.PathLike[str]) -> str:
    """The format that the extension of a file name stands for; UsageError if none does."""
    name = PurePath(path).name.lower()
    longer = next((f for f, end in EXTENSIONS.items() if name.endswith(f".{end}")), None)
    extension = longer or PurePath(name).suffix.removeprefix(".")
    if extension in FORMATS:
        return extension
    if extension == "mp4":
        raise UsageError(
            f"{os.fspath(path)}: is a film, not a text",
            hint="vidattn.annotate(timeline, path) makes it",
        )
    raise UsageError(
        f"{os.fspath(path)}: no format has the extension {extension!r}",
        hint="known: " + ", ".join(FORMATS),
    )


def file_name(
    source: str | os.PathLike[str], extension: str, *, keep_extension: bool = False
) -> str:
    """The name of the file that describes a video: "movie.mkv" -> "movie.vidattn.json".

    keep_extension: "movie.mkv.vidattn.json", to tell movie.mkv from movie.mp4 in one directory. A
    name that is too long, or holds control characters or bytes that are no text, is shortened or
    cleaned and gets 16 digits of its SHA-256, so that names that differ stay different.
    """
    path = PurePath(source)
    stem = (path.name if keep_extension else path.stem) or "video"
    ending = f".vidattn.{extension.removeprefix('.')}"
    clean = re.sub(_CONTROLS, "_", stem)
    if clean == stem and len(f"{stem}{ending}".encode()) <= LONGEST_NAME_BYTES:
        return stem + ending
    digest = sha256(path.name, 16)
    short = clean.encode()[:LONGEST_STEM_BYTES].decode("utf-8", "ignore")
    return f"{short}-{digest}{ending}"


def excerpt_name(source: str | os.PathLike[str], number: int, count: int, label: str) -> str:
    """The name of a clip cut out of a film: "movie.03.pan-right.mp4", the third of 10 to 99.

    What a label has beside letters, digits and . _ + becomes a hyphen; long ones are shortened.
    """
    stem = file_name(source, "mp4").removesuffix(".vidattn.mp4")
    word = re.sub(r"[^\w.+]+", "-", label).strip("-.")
    word = word.encode("utf-8", "ignore")[:LONGEST_STEM_BYTES].decode("utf-8", "ignore")
    number_word = f"{number:0{max(2, len(str(count)))}d}"
    short = stem.encode()[: LONGEST_NAME_BYTES - 100].decode("utf-8", "ignore")
    return f"{short}.{number_word}.{word or 'label'}.mp4"
