"""Several parts of one picture as videos of their own, from a single decode."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from threading import Lock

from vidattn.errors import VideoError
from vidattn.types import Framing
from vidattn.video.framing import FrameCutter, FramedVideo, areas_of
from vidattn.video.opening import Prefetcher
from vidattn.video.protocol import Frames, Video

WAITING_BYTES = 128 << 20
"""Frames that wait for the reader of one part. A part further behind is decoded on its own."""


class SharedOpening:
    """Opens videos as a Prefetcher does, but decodes once for all of several framings.

    Each framing of a file is opened once from the shared decode; that decode ends when all are
    closed, or when the next file is opened and nobody reads it. short_side: of the framings;
    whatever else is asked for is opened on its own.
    """

    def __init__(self, opening: Prefetcher, framings: Sequence[Framing], short_side: int) -> None:
        self._opening, self._framings, self._short_side = opening, tuple(framings), short_side
        self._key = ("", "")
        self._decoding: _Decoding | None = None

    def __call__(
        self,
        path: str | os.PathLike[str],
        *,
        reader: str = "auto",
        short_side: int | None = None,
        framing: Framing | None = None,
    ) -> Video:
        """The video inside a framing. Raises as `open_video`."""
        name = os.fspath(path)
        opening = self._opening
        own = partial(opening, name, reader=reader, short_side=short_side, framing=framing)
        if framing not in self._framings or short_side != self._short_side:
            return own()
        if self._key != (name, reader) or self._decoding is None or self._decoding.is_over:
            self.close()
            areas = [area for one in self._framings for area in areas_of(one, name)]
            video = opening.open(name, reader, short_side, tuple(areas))
            self._key = name, reader
            self._decoding = _Decoding(video, self._framings, self._short_side)
        return self._decoding.claim(framing, own) or own()

    def prefetch(
        self,
        path: str | os.PathLike[str],
        *,
        reader: str = "auto",
        short_side: int | None = None,
        framing: Framing | None = None,
    ) -> None:
        """Begin to open a video that is needed soon."""
        areas = [area for one in self._framings for area in areas_of(one, os.fspath(path))]
        self._opening.prefetch(path, reader=reader, short_side=short_side, areas=tuple(areas))

    def close(self) -> None:
        """Drop the frames that nobody has asked for."""
        if self._decoding is not None:
            self._decoding.release()
        self._decoding = None


class _Decoding:
    """One decode, the frames of which go to every part that is open or may still be opened."""

    def __init__(self, video: Video, framings: Sequence[Framing], short_side: int) -> None:
        self.video = video
        self._short_side = short_side
        self._lock = Lock()
        self._cutters: dict[Framing, FrameCutter | VideoError] = {}
        self._waiting: dict[Framing, deque[tuple[int, Frames]]] = {}
        self._unclaimed, self._open = set(framings), set[Framing]()
        self._indices: list[int] | None = None
        self._frames: Iterator[tuple[int, Frames]] = iter(())
        self._error: VideoError | None = None
        for framing in framings:
            try:
                self._cutters[framing] = FrameCutter(framing, video, short_side)
                self._waiting[framing] = deque()
            except VideoError as error:
                self._cutters[framing] = error

    @property
    def is_over(self) -> bool:
        """Whether no part is open or to be opened."""
        return not (self._unclaimed or self._open)

    def claim(self, framing: Framing | None, own: Callable[[], Video]) -> Video | None:
        """The part of a framing; None when it was opened before. Raises its VideoError."""
        if framing is None or framing not in self._unclaimed:
            return None
        self._unclaimed.remove(framing)
        cutter = self._cutters[framing]
        if isinstance(cutter, VideoError):
            self._close_unused()
            raise cutter
        self._open.add(framing)
        return _Part(self, framing, cutter, own)

    def take(self, framing: Framing, indices: list[int]) -> tuple[int, Frames] | None:
        """The next frame of a part; None at the end, and for one that must decode on its own."""
        with self._lock:
            if self._indices is None:
                self._indices, self._frames = indices, self.video.stream(indices)
            while self.shares(framing, indices):
                if self._waiting[framing]:
                    return self._waiting[framing].popleft()
                if self._error is not None:
                    raise self._error
                if not self._decode():
                    return None
            return None

    def shares(self, framing: Framing, indices: list[int]) -> bool:
        """Whether a part that wants these frames gets them from here."""
        return framing in self._waiting and indices == self._indices

    def _decode(self) -> bool:
        """Hand the next frame to all parts; False at the end."""
        try:
            item = next(self._frames, None)
        except VideoError as error:
            self._error = error
            raise
        if item is None:
            return False
        for framing, waiting in list(self._waiting.items()):
            cutter = self._cutters[framing]
            assert isinstance(cutter, FrameCutter)
            waiting.append((item[0], cutter(*item)))
            if len(waiting) * waiting[-1][1].nbytes > WAITING_BYTES:
                del self._waiting[framing]
        return True

    def interrupt(self) -> None:
        """Make the decode fail soon if only one part is left that could miss it."""
        if len(self._open) == 1 and not self._unclaimed:
            self.video.interrupt()

    def close(self, framing: Framing) -> None:
        """A part is closed."""
        with self._lock:
            self._open.discard(framing)
            self._waiting.pop(framing, None)
            self._close_unused()

    def release(self) -> None:
        """Nothing more is opened."""
        with self._lock:
            for framing in self._unclaimed:
                self._waiting.pop(framing, None)
            self._unclaimed.clear()
            self._close_unused()

    def _close_unused(self) -> None:
        if self.is_over:
            self.video.close()


class _Part(FramedVideo):
    """A part of a shared decode; for other frames than the others ask for it has its own."""

    def __init__(
        self, decoding: _Decoding, framing: Framing, cutter: FrameCutter, own: Callable[[], Video]
    ) -> None:
        super().__init__(decoding.video, cutter)
        self._decoding, self._framing, self._own = decoding, framing, own
        self._alone: Video | None = None

    def read(self, indices: Sequence[int]) -> Frames:
        return self._open_alone().read(indices)

    def stream(self, indices: Iterable[int]) -> Iterator[tuple[int, Frames]]:
        wanted, last = [int(index) for index in indices], -1
        while (item := self._decoding.take(self._framing, wanted)) is not None:
            last = item[0]
            yield item
        if not self._decoding.shares(self._framing, wanted):
            alone = self._open_alone()
            yield from alone.stream(index for index in wanted if index > last)
            known = self.unreadable
            known += [span for span in alone.unreadable if span not in known]

    def _open_alone(self) -> Video:
        if self._alone is None:
            self._alone = self._own()
        return self._alone

    def interrupt(self) -> None:
        if self._alone is not None:
            self._alone.interrupt()
        self._decoding.interrupt()

    def close(self) -> None:
        if self._alone is not None:
            self._alone.close()
        self._decoding.close(self._framing)
