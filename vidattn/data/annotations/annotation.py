"""Annotated videos, and the form of every annotation format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from vidattn.config.labels import normalize_label
from vidattn.data.labeled_dataset import SPLITS
from vidattn.errors import DataError
from vidattn.io.files import is_file, read_file, reading
from vidattn.io.text import name_area
from vidattn.types import Window

Spans = tuple[tuple[Window, str], ...]


@dataclass(frozen=True)
class AnnotatedVideo:
    """Labels of one video, for each frame or for spans. Never both."""

    name: str
    """Its path or id in the annotation."""
    frames: tuple[str, ...] = ()
    """A label for each frame, background included."""
    spans: Spans = ()
    """Sorted; they may overlap. Time in none of them is background."""
    duration: float | None = None
    """Seconds, where the annotation states them."""
    part: Window | None = None
    """The annotated part of the video, where it is known not to be all of it."""
    split: str = ""
    """Where the annotation names one, such as train or val."""
    areas: Mapping[str, Spans] = field(default_factory=dict)
    """The spans of each area of the picture, or subject, by name; all are in `spans`, too."""
    roi: str = ""
    """The area that all spans are of."""

    @property
    def title(self) -> str:
        """Its name, with that of its area."""
        return name_area(self.name, self.roi)

    def spans_by_area(self) -> Iterable[tuple[str, Spans]]:
        """The spans of each area; all, where no area has a name."""
        return self.areas.items() if self.areas else [("", self.spans)]

    def of_area(self, name: str | None) -> AnnotatedVideo:
        """The labels of one area, if it has a name here; else all."""
        if not name or name not in self.areas:
            return self
        return replace(self, spans=self.areas[name], areas={}, roi=name)


def annotate_areas(
    name: str, spans: Mapping[str, Spans], duration: float | None = None
) -> AnnotatedVideo:
    """A video with the spans of each area; "" for the whole picture."""
    areas = {area: sort_spans(own) for area, own in spans.items() if any(spans)}
    whole = sort_spans(span for own in spans.values() for span in own)
    return AnnotatedVideo(name, spans=whole, duration=duration, areas=areas)


@dataclass(frozen=True)
class GroundTruth:
    """The annotated videos of a file or folder."""

    videos: tuple[AnnotatedVideo, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """One way to store annotations."""

    description: str
    """For hints."""
    matches: Callable[[Path], bool]
    """Whether a file or folder looks like this format; reads a few bytes at most."""
    read: Callable[[Path, str | None], GroundTruth]
    """Reads one, or the subset of a name; raises DataError with the reason and the place."""
    trainable: bool = False
    """Whether its spans are also samples of a dataset."""


def read_text(path: Path) -> str:
    """The UTF-8 text of a file. Raises DataError."""
    try:
        with reading(path, DataError):
            return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text") from None


def sort_spans(spans: Iterable[tuple[Window, str]]) -> Spans:
    """Spans by time, then by label."""
    return tuple(sorted(spans, key=lambda span: (span[0], normalize_label(span[1]))))


def make_span(start: float | None, stop: float | None, label: str) -> Spans:
    """One span, or none without times or label; times to the microsecond, none below 0."""
    if start is None or stop is None or not label.strip():
        return ()
    start, stop = round(max(start, 0.0), 6), round(stop, 6)
    return ((Window(start, stop), label.strip()),) if start < stop else ()


def locate_video(video: str, folder: Path) -> Path:
    """An existing file: `video` below `folder`, its name there, or its path; else the first."""
    path = Path(video)
    places = [folder / path, folder / path.name, path]
    return next((place for place in places if is_file(place)), places[0])


def path_from_url(address: str) -> str:
    """The path of a video from an address, or from the one that Label Studio gives it.

    file:///a/b.mp4, ./b%20c.mp4, /data/local-files/?d=a/b.mp4, /data/upload/1/0123abcd-b.mp4
    """
    try:
        parts = urlsplit(address)
    except ValueError:  # half a bracket in the place of a host
        return address
    name = _unquote(PurePosixPath(parts.path).name)
    if "local-files" in parts.path and "d" in parse_qs(parts.query):
        return parse_qs(parts.query)["d"][0]
    if "/upload/" in parts.path:
        return re.sub(r"^[0-9a-f]{8}-", "", name)
    if parts.scheme == "file":
        return _unquote(parts.path)
    if parts.scheme in ("http", "https", "s3", "gs", "azure-blob"):
        return name
    return _unquote(address).removeprefix("./")


def _unquote(text: str) -> str:
    """Any name of a file, also one that is not UTF-8."""
    return unquote(text, errors="surrogateescape")


def choose_subset(
    path: Path, values: Sequence[str], split: str | None
) -> tuple[str | None, list[str]]:
    """The subset to read, case-folded, or None for all; and a note unless `split` names it.

    values: the subset of each row. Raises DataError when none is `split`.
    """
    known = dict.fromkeys(value.casefold() for value in values if value)
    if split is not None:
        if split.casefold() not in known:
            names = ", ".join(known) or "no subsets"
            raise DataError(f"{path}: has no subset {split!r}", hint=f"it has {names}")
        return split.casefold(), []
    chosen = next((name for name in SPLITS["val"] if name in known), None)
    if chosen is None or len(known) == 1:
        return None, []
    return chosen, [f"{path}: its subset {chosen} counts; --split names another"]
