"""A recording that a camera split over several files, as one video."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.video.protocol import Frames, UnreadableSpan, Video, check_indices

LEAST_GAP, LONGEST_GAP = 2.0, 3600.0
"""Seconds between two files that count as a gap; clocks state whole seconds, and may be wrong."""
OFF_GRID = 0.25
"""Frames by which one lies beside the grid of a constant frame rate at most."""
OpenPart = Callable[[str], Video]


class JoinedVideo(Video):
    """The frames of several files, one after the other; one file is open at a time.

    Where the files state when they were recorded, time that passed between them is part of the
    time of the video, without frames; otherwise each begins where the one before it ends. Raises
    VideoError E_PARTS for pictures of different sizes.
    """

    def __init__(self, paths: Sequence[str], open_part: OpenPart) -> None:
        self._paths, self._open_part = tuple(paths), open_part
        self._stamps = [_stamp(path) for path in paths]
        self._current: Video | None = None
        self.unreadable: list[UnreadableSpan] = []
        self._offsets, self._bases = list[float](), list[int]()
        times: list[NDArray[np.float64]] = []
        parts, notes = list[dict[str, object]](), list[str]()
        end, created = 0.0, None
        with open_part(paths[0]) as first:
            self.path, known, self.reader = first.path, first.details, first.reader
            self.fps, self.limits = first.fps, first.limits
            self.width, self.height = first.width, first.height
        for number, path in enumerate(paths):
            with open_part(path) as video:
                self._require_size(video)
                details = video.details
                gap = _gap(created, details.created)
                if gap:
                    before, after = PurePath(paths[number - 1]).name, PurePath(path).name
                    notes.append(f"{gap:.0f} s between {before} and {after} were not recorded")
                begin = end + gap + (details.start_offset or 0.0) * (number > 0)
                self._offsets.append(begin)
                self._bases.append(sum(map(len, times)))
                times.append(video.times + begin)
                self._add_unreadable(video, begin)
                end = begin + video.duration
                created = None if details.created is None else (details.created, video.duration)
                span = {"start": round(begin, 3), "end": round(end, 3)}
                parts.append({"path": path, "bytes": self._stamps[number][0], **span})
        self.times, self.duration = np.concatenate(times), end
        self.frames = len(self.times)
        names = ", ".join(PurePath(path).name for path in paths)
        late = np.abs(self.times * float(self.fps) - np.arange(self.frames))
        self.details = replace(
            known,
            vfr=known.vfr or bool(late.max() > OFF_GRID),  # frame numbers do not follow from times
            frames=self.frames,
            duration=end,
            parts=tuple(parts),
            warnings=(*known.warnings, f"is joined from {names}", *notes),
        )

    def _require_size(self, part: Video) -> None:
        if (part.width, part.height) != (self.width, self.height):
            raise VideoError(
                f"{part.path}: its pictures are of another size than those of {self.path}",
                code="E_PARTS",
                hint="leave out --join, or name the files that belong together",
            )

    def read(self, indices: Sequence[int]) -> Frames:
        wanted = check_indices(indices, self.frames, self.path)
        out = np.empty((len(wanted), self.height, self.width, 3), np.uint8)
        for number, own in self._split(np.unique(wanted)):
            base = self._bases[number]
            for index, frame in zip(
                own, self._part(number).read((own - base).tolist()), strict=True
            ):
                out[wanted == index] = frame
        return out

    def stream(self, indices: Iterable[int]) -> Iterator[tuple[int, Frames]]:
        for number, own in self._split(check_indices(indices, self.frames, self.path)):
            video, base = self._part(number), self._bases[number]
            for index, frame in video.stream((own - base).tolist()):
                yield index + base, frame
            self._add_unreadable(video, self._offsets[number])

    def _split(self, wanted: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The files that rising frame numbers lie in, and the numbers in each."""
        ends = [*self._bases[1:], self.frames]
        for number, (first, after) in enumerate(zip(self._bases, ends, strict=True)):
            own = wanted[(wanted >= first) & (wanted < after)]
            if len(own):
                yield number, own

    def _part(self, number: int) -> Video:
        """The open file of a number; the one before it is closed."""
        if self._current is None or self._current.path != self._paths[number]:
            self.close()
            self._current = self._open_part(self._paths[number])
        return self._current

    def _add_unreadable(self, video: Video, offset: float) -> None:
        spans = (replace(one, window=one.window.shift(offset)) for one in video.unreadable)
        self.unreadable += [span for span in spans if span not in self.unreadable]

    def check_unchanged(self) -> None:
        for path, stamp in zip(self._paths, self._stamps, strict=True):
            with suppress(OSError):
                if _stamp(path) != stamp:
                    raise VideoError(
                        f"{path}: the file changed while it was read",
                        code="E_CHANGED",
                        hint="run again when it is complete",
                    )

    def interrupt(self) -> None:
        if self._current is not None:
            self._current.interrupt()

    def close(self) -> None:
        if self._current is not None:
            self._current.close()
        self._current = None


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - any path
    return status.st_size, status.st_mtime_ns


def _gap(before: tuple[str, float] | None, after: str | None) -> float:
    """Seconds between the end of a file and the start of the next; 0 where nothing says so."""
    if before is None or after is None:
        return 0.0
    first, second = datetime.fromisoformat(before[0]), datetime.fromisoformat(after)
    if (first.tzinfo is None) != (second.tzinfo is None):
        return 0.0
    gap = (second - first).total_seconds() - before[1]
    return gap if LEAST_GAP <= gap <= LONGEST_GAP else 0.0
