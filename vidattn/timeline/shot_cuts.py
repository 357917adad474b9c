"""Shot cuts: found in frames, read from a file, and used as boundaries of segments.

A cut is a frame that differs from the one before it by at least `LEAST_CHANGE`, and at least
`STANDS_OUT` times as much as the frames around it. The difference of two frames is the mean
absolute difference of their values at a small size, 0 to 1. Fast motion and flashes make several
large differences and are not cuts; fades and dissolves are not found.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import DataError
from vidattn.io.files import read_file, reading
from vidattn.io.text import parse_seconds
from vidattn.timeline.segments import Segment
from vidattn.types import Window

LEAST_CHANGE = 0.06
STANDS_OUT = 3.0
AROUND = 2
"""Number of differences before and after one that it must stand out from."""
CUT_SIDE = 32
"""Pixels of the short side of the compared frames."""


@dataclass(frozen=True)
class CutList:
    """Times of shot cuts that a file lists, in seconds, rising."""

    times: tuple[float, ...]
    from_file_start: bool = True
    """Whether 0 is the start of the file, as players count, and not the first frame."""

    def count_from_first_frame(self, start_offset: float | None) -> tuple[float, ...]:
        """The times, of which 0 is the first frame. start_offset: as of `VideoInfo`."""
        offset = round(start_offset or 0.0, 3) if self.from_file_start else 0.0
        return tuple(round(time - offset, 3) for time in self.times if time > offset)


def frame_difference(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """The difference of two frames [H, W, 3]: 0 to 1."""
    return float(np.abs(before.astype(np.int16) - after).mean()) / 255


def find_cuts(differences: Sequence[float], times: Sequence[float]) -> tuple[float, ...]:
    """Times of the cuts, rising. differences[i]: between the frame at times[i] and the previous."""
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return ()
    padded = np.pad(values, AROUND)
    views = np.lib.stride_tricks.sliding_window_view(padded, 2 * AROUND + 1).copy()
    views[:, AROUND] = 0
    cut = (values >= LEAST_CHANGE) & (values >= STANDS_OUT * views.max(axis=1))
    return tuple(round(float(times[i]), 3) for i in np.flatnonzero(cut).tolist())


def parse_cuts(text: str, name: str) -> CutList:
    """The cuts of a text with a time per line, or of a table of scenes.

    The table is a csv with a column "Start Time (seconds)", as PySceneDetect's `list-scenes`
    writes it, counting from the first frame; lines before its header are skipped, and so are lines
    that start with # and a cut at 0. Raises DataError, naming the line.
    """
    try:
        rows = list(enumerate(csv.reader(text.lstrip("\ufeff").splitlines()), 1))
    except csv.Error as error:
        raise DataError(f"{name}: not a csv table: {error}") from None
    column, is_table = 0, False
    for place, (_, row) in enumerate(rows):
        names = [cell.strip().lower() for cell in row]
        if "start time (seconds)" in names:
            column, rows = names.index("start time (seconds)"), rows[place + 1 :]
            is_table = True
            break
    times = set()
    for number, row in rows:
        if not row or row[0].lstrip().startswith("#"):
            continue
        cell = row[column].strip() if column < len(row) else ""
        try:
            times.add(round(parse_seconds(cell), 3))
        except ValueError as error:
            hint = "give one time per line, or the csv of PySceneDetect's list-scenes"
            raise DataError(f"{name}, line {number}: {error}", hint=hint) from None
    rising = tuple(sorted(t for t in times if 0 < t < math.inf))
    return CutList(rising, from_file_start=not is_table)


def load_cuts(path: str | os.PathLike[str]) -> CutList:
    """The cuts in a file, see `parse_cuts`. Raises DataError when it cannot be read."""
    try:
        with reading(path, DataError):
            text = read_file(path).decode()
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text", hint="a list of times, one a line") from None
    return parse_cuts(text, str(path))


def snap_to_cuts(
    segments: Sequence[Segment],
    cuts: Sequence[float],
    within: float,
    frame_at: Callable[[float], int | None],
) -> tuple[Segment, ...]:
    """Move every boundary between two segments to the nearest cut within `within` seconds.

    No segment vanishes, edges of segments that do not touch stay, and so do scores. cuts: rising.
    frame_at: the number of the first frame at or after a time.
    """
    rows = list(segments)
    times = np.asarray(cuts, dtype=np.float64)
    for i, (first, second) in enumerate(pairwise(segments)):
        edge = first.window.stop
        inside = times[(times > rows[i].window.start) & (times < second.window.stop)]
        if edge != second.window.start or not len(inside):
            continue
        cut = float(inside[np.abs(inside - edge).argmin()])
        if abs(cut - edge) > within or cut == edge:
            continue
        frame = None if first.end_frame is None else frame_at(cut)
        window = Window(rows[i].window.start, cut)
        rows[i] = replace(rows[i], window=window, end_frame=frame)
        window = Window(cut, second.window.stop)
        rows[i + 1] = replace(second, window=window, start_frame=frame)
    return tuple(rows)
