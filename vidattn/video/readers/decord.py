"""Sparse frames through decord, on files where its frames are known to be the right ones.

decord 0.6 counts frames that an edit list hides, is off on open GOPs, MPEG-TS, AVI and negative
PTS, and decodes ahead without bound; so it is opened per request, at the target size, and only for
files whose frame table rules all of that out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.video.container.probe import Probe
from vidattn.video.protocol import Limits
from vidattn.video.readers import Event, Reader, UnreadableFrame, missing, refuse

BATCH_FRAMES = 16
CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "mpeg4", "mpeg2video", "mjpeg"})


class DecordReader(Reader):
    """See Reader."""

    def __init__(self, source: str, probe: Probe, size: tuple[int, int], limits: Limits) -> None:
        try:
            import decord
        except (ImportError, OSError) as error:
            raise missing("decord", error) from None
        if reason := _find_risk(probe):
            raise refuse("decord", reason)
        self._decord = decord
        self._source = source
        self._size = size
        self._threads = limits.threads
        self._table = probe.table
        self._open()

    def _open(self) -> Any:
        width, height = self._size
        try:
            video = self._decord.VideoReader(
                self._source, width=width, height=height, num_threads=self._threads
            )
            stamps = video.get_frame_timestamp(np.arange(len(video)))[:, 0]
        except self._decord.DECORDError as error:
            raise refuse("decord", str(error).strip().splitlines()[-1]) from None
        times = self._table.times
        if len(stamps) != len(times):
            raise refuse("decord", f"it counts {len(stamps)} frames, not {len(times)}")
        gap = float(np.diff(times).min()) if len(times) > 1 else 1.0
        if np.abs(stamps - stamps[0] - times).max() > gap / 2:
            raise refuse("decord", "its timestamps differ")
        return video

    def frames(self, wanted: NDArray[np.int64]) -> Iterator[Event]:
        """See Reader."""
        video = self._open()
        for start in range(0, len(wanted), BATCH_FRAMES):
            batch = wanted[start : start + BATCH_FRAMES].tolist()
            try:
                frames = video.get_batch(batch).asnumpy()
            except self._decord.DECORDError:
                yield from map(UnreadableFrame, batch)
                continue
            yield from zip(batch, frames, strict=True)


def _find_risk(probe: Probe) -> str | None:
    """The reason why decord's frames may be wrong; None if they are right."""
    table, details = probe.table, probe.details
    if not table.proven or table.packets is None:
        return f"the packets of {details.container} with {details.codec} do not tell its frames"
    if details.codec not in CODECS:
        return f"it does not decode {details.codec}"
    if details.start_pts_seconds < 0 or len(table.packets.pts) != len(table.times):
        return "some packets are not shown"
    later = np.minimum.accumulate(table.packets.pts[::-1])[::-1]
    if (later[table.packets.key] < table.packets.pts[table.packets.key]).any():
        return "its groups of pictures are open"
    return None
