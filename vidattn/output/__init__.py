"""Timelines as files: one pure function per format, in one table, and one door that writes.

To add a format, write its function in a module here and give it a line in `WRITERS`. A file appears
whole or not at all, and the same timeline gives the same bytes.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vidattn.config.serialization import check_value
from vidattn.errors import UsageError
from vidattn.io.files import read_file, write_atomically

if TYPE_CHECKING:
    from vidattn.timeline import Timeline
    from vidattn.timeline.explanation import Explanation


@dataclass(frozen=True)
class Writer:
    """A format; it is imported when it is used."""

    module: str
    """Module of this package with a function, named like the format: a timeline -> text."""
    extension: str
    """The end of the names of its files."""
    takes_folder: bool = False
    """Whether the function takes the folder of the file, to refer to the video from there."""
    from_first_frame: bool = False
    """Whether the function takes times from the first frame, not as players count them."""

    def render(self, name: str, timeline: Timeline, folder: Path | None, **more: Any) -> str:
        """The text of a file of the format called `name` in `folder`."""
        function = getattr(importlib.import_module(f"{__name__}.{self.module}"), name)
        timeline = timeline if self.from_first_frame else timeline.from_file_start()
        text: str = function(timeline, **({"folder": folder} if self.takes_folder else {}), **more)
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "json": Writer("tables", "json", from_first_frame=True),
        "jsonl": Writer("tables", "jsonl"),
        "csv": Writer("tables", "csv"),
        "tsv": Writer("tables", "tsv"),
        "srt": Writer("subtitles", "srt"),
        "vtt": Writer("subtitles", "vtt"),
        "html": Writer("report", "html", takes_folder=True, from_first_frame=True),
        "edl": Writer("edl", "edl"),
        "otio": Writer("otio", "otio", takes_folder=True),
        "fcpxml": Writer("fcpxml", "fcpxml", takes_folder=True),
        "eaf": Writer("elan", "eaf", takes_folder=True),
        "boris": Writer("boris", "boris", takes_folder=True),
        "labelstudio": Writer("annotators", "labelstudio.json"),
        "cvat": Writer("annotators", "cvat.xml", from_first_frame=True),
        "activitynet": Writer("annotators", "activitynet.json"),
        "fiftyone": Writer("annotators", "fiftyone.json"),
    }
)
"""All formats by name."""


def render(timeline: Timeline, fmt: str, folder: Path | None = None) -> str:
    """The text of a file of format `fmt`, a name in WRITERS; always valid UTF-8.

    folder: the folder of the file; None: that of the video. The bytes of a file name that are not
    UTF-8 appear as \\udcXX. Raises UsageError.
    """
    if fmt not in WRITERS:
        raise UsageError(f"no such format: {fmt!r}", hint=_known())
    return WRITERS[fmt].render(fmt, timeline, folder)


def write(
    timeline: Timeline,
    path: str | os.PathLike[str],
    fmt: str | None = None,
    *,
    stills: Mapping[float, bytes] | None = None,
    explained: Sequence[Explanation] = (),
) -> Path:
    """Write a timeline to a file, in the format of its extension unless `fmt` names one.

    stills: JPEG files by second (`vidattn.output.thumbnails`), and explained: explanations of some
    windows (`vidattn.inference.explain`); both for html. Returns the path. The file is written
    under another name, flushed and renamed; missing folders are created. Raises UsageError for an
    unknown format and OutputError if the file cannot be written.
    """
    path = check_value(str, path, "path")
    fmt = format_of(path) if fmt is None else fmt
    page = {"stills": stills, "explained": explained} if fmt == "html" else {}
    return write_atomically(path, encode(timeline, path, fmt, **page))


def encode(timeline: Timeline, path: str | os.PathLike[str], fmt: str, **page: Any) -> bytes:
    """The bytes of a file as `write` writes it; page: stills and explained, for html."""
    if page:
        return WRITERS[fmt].render(fmt, timeline, Path(path).parent, **page).encode()
    return render(timeline, fmt, Path(path).parent).encode()


def is_current(timeline: Timeline, path: str | os.PathLike[str], fmt: str) -> bool:
    """Whether a file exists and holds what `write` makes of a timeline in a format.

    The thumbnails and explanations of a report, which need the video and the model, are ignored.
    """
    try:
        saved = read_file(path, regular=True)
    except OSError:
        return False
    wanted = render(timeline, fmt, Path(path).parent).encode()
    if fmt == "html":
        from vidattn.output.report import strip_images

        return strip_images(saved) == strip_images(wanted)
    return saved == wanted


def format_of(path: str | os.PathLike[str]) -> str:
    """The format that the extension of a file name stands for; UsageError if there is none."""
    name = PurePath(path).name.lower()
    for fmt, writer in WRITERS.items():
        if "." in writer.extension and name.endswith(f".{writer.extension}"):
            return fmt
    extension = PurePath(name).suffix.removeprefix(".")
    if extension in WRITERS:
        return extension
    if extension == "mp4":
        raise UsageError(
            f"{os.fspath(path)}: is a video, not a text format",
            hint="vidattn.annotate(timeline, path) writes it",
        )
    raise UsageError(f"{os.fspath(path)}: no format has the extension {extension!r}", hint=_known())


def _known() -> str:
    return "known formats: " + ", ".join(WRITERS)
