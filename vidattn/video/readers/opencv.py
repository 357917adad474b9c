"""Frames through OpenCV, counted from the start because its seeking is not exact."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vidattn.video.container.probe import Probe
from vidattn.video.protocol import Frames, Limits
from vidattn.video.readers import Event, UnreadableFrame, missing, refuse


class OpenCVReader:
    """See Reader. A request decodes from the end of the last one, or from the start."""

    def __init__(self, source: str, probe: Probe, size: tuple[int, int], limits: Limits) -> None:
        try:
            import cv2
        except (ImportError, OSError) as error:
            raise missing("opencv", error) from None
        self._cv2 = cv2
        self._source = source
        self._size = size
        self._upright = (probe.details.width, probe.details.height)
        self._threads = limits.threads
        self._keyed = probe.table.keyed
        self._times = probe.table.times
        if probe.details.mirrored:
            raise refuse("opencv", "its display matrix mirrors")
        self._open()

    def _open(self) -> None:
        params = [self._cv2.CAP_PROP_N_THREADS, self._threads] if self._threads else []
        self._capture = self._cv2.VideoCapture(self._source, self._cv2.CAP_FFMPEG, params)
        if not self._capture.isOpened():
            raise refuse("opencv", "it cannot open it")
        self._next = 0

    def frames(self, wanted: NDArray[np.int64]) -> Iterator[Event]:
        """See Reader."""
        if len(wanted) and wanted[0] < self._next:
            self.close()
            self._open()
        for index in wanted.tolist():
            while self._next <= index and self._capture.grab():
                self._check()
                self._next += 1
                yield None
            ok, frame = self._capture.retrieve() if self._next > index else (False, None)
            yield (
                (index, self._convert(np.asarray(frame, np.uint8)))
                if ok
                else UnreadableFrame(index)
            )

    def _check(self) -> None:
        """Raise VideoError if a grabbed frame is not the next one of the frame table."""
        if self._next >= len(self._times):
            raise refuse("opencv", f"it finds more than {len(self._times)} frames")
        seconds = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000
        if self._next == 0:
            self._first = seconds
        late = abs(seconds - self._first - float(self._times[self._next]))
        if self._keyed and seconds and late > 0.002:  # 0 also means unknown
            raise refuse("opencv", f"frame {self._next} comes at another time, {seconds:.3f} s")

    def _convert(self, frame: Frames) -> Frames:
        height, width = frame.shape[:2]
        if (width, height) != self._upright and self._next == 1:
            raise refuse("opencv", f"its frames are {width}x{height}")
        rgb = self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2RGB)
        if (width, height) != self._size:
            rgb = self._cv2.resize(rgb, self._size, interpolation=self._cv2.INTER_AREA)
        return np.ascontiguousarray(rgb, np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()
