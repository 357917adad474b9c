"""Frames through torchcodec, checked against the frame table by their PTS."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.io.text import first_line
from vidattn.video.container.probe import Probe
from vidattn.video.protocol import Frames, Limits
from vidattn.video.readers import Event, Reader, missing, refuse

BATCH_FRAMES = 16


class TorchcodecReader(Reader):
    """See Reader."""

    def __init__(self, source: str, probe: Probe, size: tuple[int, int], limits: Limits) -> None:
        try:
            import torch

            decoders: Any = import_module("torchcodec.decoders")
        except (ImportError, OSError, RuntimeError) as error:
            raise missing("torchcodec", error) from None
        if not probe.table.proven:
            raise refuse("torchcodec", "the packets do not tell its frames")
        self._torch = torch
        self._size = size
        self._upright = (probe.details.width, probe.details.height)
        self._stamps = probe.table.times + probe.details.start_pts_seconds
        try:
            self._decoder = decoders.VideoDecoder(
                source, dimension_order="NCHW", num_ffmpeg_threads=limits.threads or 1
            )
        except (RuntimeError, ValueError) as error:
            raise refuse("torchcodec", first_line(error)) from None
        count = len(self._decoder)
        if count != len(self._stamps):
            raise refuse("torchcodec", f"it counts {count} frames, not {len(self._stamps)}")

    def frames(self, wanted: NDArray[np.int64]) -> Iterator[Event]:
        """See Reader."""
        for start in range(0, len(wanted), BATCH_FRAMES):
            batch = wanted[start : start + BATCH_FRAMES].tolist()
            try:
                batch_frames = self._decoder.get_frames_at(batch)
            except (RuntimeError, IndexError) as error:
                raise refuse("torchcodec", first_line(error)) from None
            if np.abs(batch_frames.pts_seconds.numpy() - self._stamps[batch]).max() > 0.002:
                raise refuse("torchcodec", "its frames come at other times")
            yield from zip(batch, self._resized(batch_frames.data), strict=True)

    def _resized(self, frames: Any) -> Frames:
        """frames: uint8 tensor [N, 3, H, W]; returns [N, height, width, 3]."""
        torch = self._torch
        height, width = frames.shape[2:]
        if (width, height) != self._upright:
            raise refuse("torchcodec", f"its frames are {width}x{height}")
        if (width, height) != self._size:
            frames = torch.nn.functional.interpolate(
                frames.float(), self._size[::-1], mode="bilinear", antialias=True
            )
            frames = frames.round().clamp(0, 255).byte()
        rgb: Frames = frames.permute(0, 2, 3, 1).contiguous().numpy()
        return rgb
