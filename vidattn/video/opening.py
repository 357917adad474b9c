"""Opening videos, supervised and framed: one, or many in a row, the next one ahead of time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import NamedTuple

from vidattn.config.serialization import check_value
from vidattn.errors import InputError, VideoError
from vidattn.types import Area, Framing
from vidattn.video.framing import areas_of, framed
from vidattn.video.joined import JoinedVideo
from vidattn.video.process.child import ProcessPool
from vidattn.video.process.client import SupervisedVideo
from vidattn.video.protocol import Limits, Video


def open_video(
    path: str | os.PathLike[str],
    *,
    reader: str = "auto",
    short_side: int | None = None,
    limits: Limits | None = None,
    pool: ProcessPool | None = None,
    framing: Framing | None = None,
) -> Video:
    """Open a regular file as a Video, decoded in a process of its own.

    reader: "auto" or a name of READERS. short_side: pixels of the shorter side of returned frames,
    resized up or down, aspect kept; None keeps the stored size. pool: keeps the decoding process
    for the next file. framing: the part of each picture to return, whose shorter side then has
    `short_side` pixels, or fewer where the file has no more. Raises VideoError with a reason code
    if the file is no readable video, UsageError for bad arguments.
    """
    name: str = check_value(str, path, "path")
    video = SupervisedVideo(
        name,
        reader=reader,
        short_side=check_value(int | None, short_side, "short_side"),
        limits=limits,
        pool=pool,
        areas=areas_of(framing, name),
    )
    return framed(video, framing, short_side)


class _Key(NamedTuple):
    path: str
    reader: str
    short_side: int | None
    areas: tuple[Area, ...]


class Prefetcher(AbstractContextManager["Prefetcher", None]):
    """Opens videos as `open_video` does, with the same frames and errors, for many in a row.

    Decoding processes are kept from video to video, and one may open the next video in advance.
    limits: of every video. For one thread at a time; a context manager that ends the processes.
    """

    SIZE = 2
    """Idle processes, and videos opened in advance: one for the video at hand, one for the next."""

    def __init__(
        self, limits: Limits | None = None, joined: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        """joined: the files of recordings that were split, by the first, which stands for all."""
        self.limits, self._joined = limits or Limits(), joined or {}
        self._pool = ProcessPool(self.SIZE)
        self._opening: dict[_Key, SupervisedVideo] = {}

    def __call__(
        self,
        path: str | os.PathLike[str],
        *,
        reader: str = "auto",
        short_side: int | None = None,
        framing: Framing | None = None,
    ) -> Video:
        """The video, opened in advance if it was prefetched. Raises as `open_video`."""
        areas = areas_of(framing, os.fspath(path))
        return framed(self.open(path, reader, short_side, areas), framing, short_side)

    def open(
        self,
        path: str | os.PathLike[str],
        reader: str,
        short_side: int | None,
        areas: tuple[Area, ...],
    ) -> Video:
        """The whole video, the smallest of some areas of which has `short_side`."""
        key = _Key(os.fspath(path), reader, short_side, areas)
        if key.path in self._joined:
            return JoinedVideo(
                self._joined[key.path],
                lambda part: self._open(key._replace(path=part), ahead=False),
            )
        video = self._opening.pop(key, None)
        if video is None or not _is_current(video):
            if video is not None:
                video.close()
            return self._open(key, ahead=False)
        video.wait()
        return video

    def prefetch(
        self,
        path: str | os.PathLike[str],
        *,
        reader: str = "auto",
        short_side: int | None = None,
        framing: Framing | None = None,
        areas: tuple[Area, ...] = (),
    ) -> None:
        """Begin to open a video that is needed soon, perhaps giving up the oldest such one.

        areas: as of `open`. An error is raised when the video is opened.
        """
        try:
            key = _Key(
                os.fspath(path), reader, short_side, areas or areas_of(framing, os.fspath(path))
            )
        except InputError:
            return
        if key in self._opening or key.path in self._joined:
            return
        while len(self._opening) >= self.SIZE:
            self._opening.pop(next(iter(self._opening))).close()
        with suppress(VideoError):
            self._opening[key] = self._open(key, ahead=True)

    def _open(self, key: _Key, *, ahead: bool) -> SupervisedVideo:
        return SupervisedVideo(
            key.path,
            reader=key.reader,
            short_side=key.short_side,
            limits=self.limits,
            pool=self._pool,
            ahead=ahead,
            areas=key.areas,
        )

    def close(self) -> None:
        """End the kept processes; opening another video starts anew."""
        while self._opening:
            self._opening.popitem()[1].close()
        self._pool.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_current(video: SupervisedVideo) -> bool:
    """Whether the file that was opened is still the one with this path."""
    try:
        video.check_unchanged()
    except VideoError:
        return False
    return os.path.lexists(video.path)
