"""Boxes around what a detector found, which a crop follows: csv, MegaDetector or YOLO json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from vidattn.errors import InputError
from vidattn.io.csv_table import PATHS, decode_text, parse_columns
from vidattn.io.files import read_file, reading, sha256
from vidattn.io.search import VideoNames
from vidattn.types import Area
from vidattn.video.protocol import Times

LEAST_CONFIDENCE = 0.2
"""Of a detection that counts, where the file names no threshold of its own."""
MARGIN = 1.2
"""Side of the crop relative to the largest box of a video."""
COLUMNS = {
    "video": PATHS,
    "frame": ("frame", "frame_number", "frame_id"),
    "second": ("second", "seconds", "time", "time_s"),
    "confidence": ("confidence", "conf", "score"),
    "x": ("x", "x1", "xmin", "x_min", "left"),
    "y": ("y", "y1", "ymin", "y_min", "top"),
    "width": ("width", "w"),
    "height": ("height", "h"),
    "right": ("x2", "xmax", "x_max", "right"),
    "bottom": ("y2", "ymax", "y_max", "bottom"),
}
"""What a column of a csv is, and the names that it may have."""
NEEDED = "frame or second", "x", "y", "width or right", "height or bottom"
FORMS = (
    "csv with video, frame or time, x, y, w, h; MegaDetector's json; or the json of YOLO, of a "
    "list of detections a frame or COCO results"
)
PICTURES = (".jpg", ".jpeg", ".png")
HINT = f"boxes are {FORMS}; or give --crop X,Y,W,H"


class Detection(NamedTuple):
    """A box: left upper corner and size, in pixels or, all up to 1, in fractions of the picture."""

    video: str
    """Name of the video; empty for every video."""
    moment: float
    """Frame number, or seconds."""
    in_frames: bool
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class BoxTrack:
    """The boxes of one video over time: at each moment one around all that was found."""

    moments: tuple[float, ...]
    """Rising, in frames or in seconds."""
    in_frames: bool
    boxes: tuple[tuple[float, float, float, float], ...]
    """Left, top, right, bottom at each moment."""
    fractions: bool
    """Whether boxes are fractions of the picture, not pixels."""

    def largest(self) -> Area:
        """An area of the greatest width and height, wherever it is."""
        width = max(box[2] - box[0] for box in self.boxes) * MARGIN
        height = max(box[3] - box[1] for box in self.boxes) * MARGIN
        if not self.fractions:
            return Area(0, 0, width, height)
        return Area(0, 0, min(100 * width, 100), min(100 * height, 100), percent=True)

    def square(self, size: tuple[int, int]) -> Area:
        """The square that moves through a picture of width and height, at its left upper corner."""
        side = min(max(self.largest().pixels(*size)[2:]), *size)
        return Area(0, 0, side, side)

    def corner(
        self, times: Times, index: int, size: tuple[int, int], side: float
    ) -> tuple[float, float]:
        """The left upper corner of the square in pixels at a frame, between boxes interpolated."""
        moments = np.array(self.moments)
        if self.in_frames:
            moments = times[np.clip(moments.astype(np.int64), 0, len(times) - 1)]
        boxes = np.array(self.boxes) * ([*size, *size] if self.fractions else 1)
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        x, y = (float(np.interp(times[index], moments, centers[:, axis])) for axis in (0, 1))
        return (
            min(max(x - side / 2, 0.0), size[0] - side),
            min(max(y - side / 2, 0.0), size[1] - side),
        )


def find_track(boxes: str, path: str) -> BoxTrack | None:
    """The boxes of a video in a file, if any: those of its name, as of `VideoNames`, else of all
    videos. Raises InputError, and DataError as `VideoNames`."""
    _, tracks, names = _load(boxes, _version(boxes))
    track = tracks.get(names.find(path) or "")
    return track if track is not None and track.moments else None


def warn_of_whole(boxes: str, path: str) -> tuple[str, ...]:
    """What to say of a video without boxes to follow, if anything. boxes: a file, or empty.

    Raises as `find_track`.
    """
    if not boxes or find_track(boxes, path) is not None:
        return ()
    return (f"has no boxes in {boxes}; the whole picture is used",)


def load_tracks(path: str) -> Mapping[str, BoxTrack]:
    """The boxes in a file, by video; "" for those of any. Videos in which a detector found nothing
    have a track without moments. Raises InputError."""
    return _load(path, _version(path))[1]


def digest_boxes(path: str) -> str | None:
    """16 hexadecimal digits for the content of a file of boxes, which scores depend on; None for
    no path. Raises InputError."""
    return _load(path, _version(path))[0] if path else None


def _version(path: str) -> tuple[int, int]:
    """The time and size of a file, by which changes of it are noticed."""
    with reading(path, InputError, hint=HINT):
        about = Path(path).stat()
    return about.st_mtime_ns, about.st_size


@lru_cache(8)
def _load(path: str, version: tuple[int, int]) -> tuple[str, Mapping[str, BoxTrack], VideoNames]:
    """The digest of a file, its boxes, and the videos that these are of. version: as of `_version`,
    a part of the key."""
    with reading(path, InputError, hint=HINT):
        data = read_file(path)
    tracks = _parse(path, data)
    return sha256(data, 16), tracks, VideoNames(tracks)


def _parse(path: str, data: bytes) -> Mapping[str, BoxTrack]:
    try:
        text = decode_text(data)
        document = json.loads(text) if text.startswith(("[", "{")) else None
        found = list(_from_csv(data) if document is None else _from_json(document))
        searched = _searched_videos(document) if isinstance(document, dict) else []
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: holds no boxes: {error}", hint=HINT) from None
    tracks: dict[str, list[Detection]] = {}
    for one in found:
        tracks.setdefault(one.video, []).append(one)
    empty = dict.fromkeys(searched, BoxTrack((), True, (), True))
    return {**empty, **{video: _track(rows) for video, rows in tracks.items()}}


def _track(rows: Iterable[Detection]) -> BoxTrack:
    """One box at each moment, around all of that moment."""
    around: dict[float, tuple[float, float, float, float]] = {}
    rows = sorted(rows, key=lambda row: row.moment)
    for row in rows:
        own = (row.x, row.y, row.x + row.width, row.y + row.height)
        old = around.get(row.moment, own)
        around[row.moment] = (
            min(old[0], own[0]), min(old[1], own[1]), max(old[2], own[2]), max(old[3], own[3])
        )  # fmt: skip
    values = [value for box in around.values() for value in box]
    fractions = max(values) <= 1 + 1e-6
    return BoxTrack(tuple(around), rows[0].in_frames, tuple(around.values()), fractions)


def _detection(video: str, moment: float, in_frames: bool, box: Sequence[Any]) -> Detection:
    x, y, width, height = map(float, box)
    right, bottom = x + width, y + height
    known = np.isfinite([moment, right, bottom]).all()
    if not known or min(moment, width, height) < 0 or min(width, height, right, bottom) <= 0:
        raise ValueError(f"a box of {x:g},{y:g},{width:g},{height:g} at {moment:g}")
    x, y = max(x, 0.0), max(y, 0.0)  # trackers may reach over the border
    return Detection(video, moment, in_frames, x, y, right - x, bottom - y)


def _from_csv(data: bytes) -> Iterator[Detection]:
    rows = parse_columns(data, COLUMNS, NEEDED, [*COLUMNS][1:])
    for line, row in rows:
        try:
            one = _from_row(row)
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
        if one is not None:
            yield one
    if not rows:
        raise ValueError("it has no rows")


def _from_row(value: Mapping[str, str]) -> Detection | None:
    """The box of a row; None for one that is not certain enough."""
    if float(value.get("confidence") or 1) < LEAST_CONFIDENCE:
        return None
    x, y = float(value["x"]), float(value["y"])
    width = float(value["right"]) - x if "right" in value else float(value["width"])
    height = float(value["bottom"]) - y if "bottom" in value else float(value["height"])
    moment = float(value["frame"] if "frame" in value else value["second"])
    box = (x, y, width, height)
    return _detection(value.get("video") or "", moment, "frame" in value, box)


def _from_json(document: Any) -> Iterator[Detection]:
    if isinstance(document, dict):
        yield from _from_megadetector(document)
        return
    for number, entry in enumerate(document):
        if isinstance(entry, dict):  # COCO results
            if float(entry.get("score", 1)) >= LEAST_CONFIDENCE:
                video, frame = _frame_of(str(entry["image_id"]))
                yield _detection(video, frame, True, entry["bbox"])
            continue
        for one in entry:  # the detections of a frame
            if float(one.get("confidence", 1)) >= LEAST_CONFIDENCE:
                left, top, right, bottom = (float(one["box"][k]) for k in ("x1", "y1", "x2", "y2"))
                yield _detection("", number, True, (left, top, right - left, bottom - top))


def _from_megadetector(document: Mapping[str, Any]) -> Iterator[Detection]:
    meta = (document.get("info") or {}).get("detector_metadata") or {}
    least = float(meta.get("typical_detection_threshold", LEAST_CONFIDENCE))
    for entry in document["images"]:
        for one in entry.get("detections") or ():
            if float(one["conf"]) < least:
                continue
            video, frame = entry["file"], one.get("frame_number")
            if frame is None:  # of frames that were saved as pictures
                video, frame = _frame_of(video)
            yield _detection(video, float(frame), True, one["bbox"])


def _searched_videos(document: Mapping[str, Any]) -> list[str]:
    """The videos in which MegaDetector looked for something."""
    names = [str(entry["file"]) for entry in document["images"]]
    return [name for name in names if not name.lower().endswith(PICTURES)]


def _frame_of(picture: str) -> tuple[str, float]:
    """The video and the frame number of "movie.mp4/frame000012.jpg", or of "movie_12"."""
    path = PurePath(picture.replace("\\", "/"))
    stem = path.stem if path.suffix.lower() in PICTURES else path.name
    match = re.fullmatch(r"(.*?)[_-]?(\d+)", stem)
    if match is None:
        raise ValueError(f"{picture}: names no frame")
    folder = str(path.parent)
    return match[1] if folder == "." else folder, float(match[2])
