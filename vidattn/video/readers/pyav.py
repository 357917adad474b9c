"""Exact frames through PyAV: planned jumps without unneeded packets, else a decode of it all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vidattn.video.container.cursor import Cursor, FrameGroup, plan_groups
from vidattn.video.container.frame_table import FrameTable, Source, decode
from vidattn.video.pixels import Converter
from vidattn.video.protocol import Frames
from vidattn.video.readers import Event, UnreadableFrame

PATIENCE_FRAMES = 32
"""A frame that is still missing when one so much later has come will not come."""


class PyAVReader:
    """See Reader."""

    def __init__(
        self, open_source: Callable[[], Source], table: FrameTable, convert: Converter
    ) -> None:
        self._table = table
        self._convert = convert
        self._cursor = Cursor(open_source, table.packets, damaged=table.damaged)

    def close(self) -> None:
        """Close the file."""
        self._cursor.close()

    def frames(self, wanted: NDArray[np.int64]) -> Iterator[Event]:
        """See Reader."""
        pending = deque(wanted.tolist())
        table = self._table
        if table.packets is not None:
            for group in plan_groups(table.packets, table.pts, table.positions, wanted.tolist()):
                yield from self._deliver(pending, group.wanted, self._planned(group), give_up=False)
                if pending and pending[0] <= group.wanted[-1]:
                    break  # a frame is missing: now only a decode from the start is trusted
        if pending:
            yield from self._deliver(pending, tuple(pending), self._replay(), give_up=True)

    def _deliver(
        self,
        pending: deque[int],
        wanted: tuple[int, ...],
        source: Iterator[tuple[int, VideoFrame] | None],
        *,
        give_up: bool,
    ) -> Iterator[Event]:
        """Put frames in order; a missing one ends the pass, or is unreadable with `give_up`."""
        left, held = set(wanted), dict[int, Frames]()
        for item in source:
            if item is None:
                yield None
                continue
            index, frame = item
            if index in left:
                left.remove(index)
                held[index] = self._convert(frame)
            else:
                yield None
            while pending and (pending[0] in held or pending[0] < index - PATIENCE_FRAMES):
                if pending[0] in held:
                    yield pending[0], held.pop(pending[0])
                elif give_up:
                    yield UnreadableFrame(pending[0])
                else:
                    return
                pending.popleft()
            if not left and not held:
                return
        while pending and (pending[0] in held or (give_up and pending[0] <= wanted[-1])):
            index = pending.popleft()
            yield (index, held.pop(index)) if index in held else UnreadableFrame(index)

    def _index(self, pts: int) -> int | None:
        """The number of the frame with this PTS."""
        index = int(np.searchsorted(self._table.pts, pts))
        return index if index < len(self._table.pts) and self._table.pts[index] == pts else None

    def _planned(self, group: FrameGroup) -> Iterator[tuple[int, VideoFrame] | None]:
        cursor = self._cursor
        if not cursor.jump(group.start):
            return
        try:
            for frame in decode(cursor.stream, cursor.take(group), strict=True):
                if frame is None:
                    yield None
                elif frame.is_corrupt or frame.pts is None:
                    return
                elif (index := self._index(frame.pts)) is not None:
                    yield index, frame
        finally:
            cursor.stream.codec_context.flush_buffers()

    def _replay(self) -> Iterator[tuple[int, VideoFrame] | None]:
        # Only frames that a plan could not read are read again.
        feed = self._cursor.restart(damaged=self._table.packets is not None)
        count = 0
        for frame in decode(self._cursor.stream, feed):
            if frame is None:
                yield None
                continue
            index: int | None = count
            if self._table.keyed:
                index = None if frame.pts is None else self._index(frame.pts)
            count += 1
            if index is not None:
                yield index, frame
