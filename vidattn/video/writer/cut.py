"""A part of a file as a file of its own, copied packet by packet without decoding.

Runs in the writing process only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from vidattn.errors import VideoError
from vidattn.video.container.cursor import Cursor, FrameGroup
from vidattn.video.container.frame_table import FrameTable, Source, build_table
from vidattn.video.container.open import for_ffmpeg
from vidattn.video.container.packets import Packets
from vidattn.video.writer.audio import AudioCopy

CARRIED = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})
"""Video codecs that players expect in an mp4."""


@dataclass(frozen=True)
class Span:
    """Packets from a key frame on, and the seconds of the file that they show."""

    first: int
    after: int
    start: float
    stop: float


class StreamCut:
    """Cuts one file at its key frames."""

    def __init__(
        self, open_source: Callable[[], Source], source: str, beat: Callable[[], None]
    ) -> None:
        self._open, self._source, self._beat = open_source, source, beat
        container, stream = open_source()
        with container:
            self._tick = stream.time_base or Fraction(1, 90_000)
            carried = stream.codec_context.codec.canonical_name in CARRIED
        self._table: FrameTable | None = build_table(open_source, beat) if carried else None

    def find_span(self, start: float, stop: float, tolerance: float) -> Span | None:
        """The packets that show [start, stop) with edges off by `tolerance` at most.

        None if no key frame is near enough, or the packets of the file do not tell.
        """
        table = self._table
        if table is None or table.packets is None or not table.proven:
            return None
        packets, tick, zero = table.packets, float(self._tick), int(table.pts[0])
        begins = (packets.pts - zero) * tick
        keys = np.flatnonzero(packets.key & packets.shown & (np.abs(begins - start) <= tolerance))
        if not len(keys):
            return None
        first = int(keys[np.argmin(np.abs(begins[keys] - start))])
        inside = np.flatnonzero(begins < stop - 1e-3)
        inside = inside[inside >= first]
        if not len(inside):
            return None
        after = int(inside[-1]) + 1
        # The last frames may refer to packets that are shown after them, which are copied too.
        end = begins[first:after].max() + float(packets.duration[after - 1]) * tick
        if not abs(end - stop) <= tolerance:
            return None
        return Span(first, after, float(begins[first]), float(end))

    def write(self, target: str, span: Span) -> None:
        """Write a span and its audio as an mp4. Raises VideoError if the file disagrees."""
        table = self._table
        assert table is not None
        assert table.packets is not None
        zero = float(table.pts[0] * self._tick)
        cursor = Cursor(self._open, table.packets)
        audio = AudioCopy(self._source, zero + span.start, zero + span.stop, self._beat)
        try:
            self._mux(target, table.packets, cursor, audio, span)
        finally:
            cursor.close()
            audio.close()

    def _mux(
        self, target: str, packets: Packets, cursor: Cursor, audio: AudioCopy, span: Span
    ) -> None:
        shift = int(packets.pts[span.first])
        group = FrameGroup(span.first, span.after, (), frozenset(range(span.first, span.after)))
        count = 0
        if not cursor.jump(span.first):
            raise _disagrees()
        with av.open(for_ffmpeg(target), "w", format="mp4") as output:
            stream = output.add_stream_from_template(cursor.stream)
            if audio.exists:
                audio.join(output)
            for packet in cursor.take(group):
                count += 1
                if packet.pts is None or packet.dts is None:
                    raise _disagrees()
                if packet.pts < shift:
                    continue  # shown before the key frame, from pictures that are not here
                if audio.exists:
                    audio.mux_until(float(packet.dts * self._tick))
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                output.mux(packet)
                self._beat()
            if audio.exists:
                audio.finish()
        if count < len(group.packets):
            raise _disagrees()


def _disagrees() -> VideoError:
    return VideoError("the packets of the file are not those of its index", code="E_DECODE")
