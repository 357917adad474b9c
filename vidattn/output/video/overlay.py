"""The overlay of annotated videos: label, score, and a track of all segments with a playhead."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidattn.output.video.text import Mask, TextRenderer
from vidattn.timeline.palette import NONE, Color, LabelColors
from vidattn.timeline.segments import BACKGROUND, Segment
from vidattn.types import Window

SMALLEST_LINE = 13
"""Pixels of the smallest legible line."""
LINE_SHARE = 0.052
"""Of the shorter side, about as for subtitles."""
MARGIN_SHARE = 0.045
"""Of each side: screens and players cover the edge."""
GROUND = 0.74
"""Opacity of the panel: white text has a contrast of 9 to 1 even over a white frame."""
SOFT: Color = (190, 190, 190)
WHITE: Color = (255, 255, 255)
DIM = 0.42
"""Brightness of the part of the track that is still to come."""
KEPT_PANELS = 4
_CONTROLS = "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


@dataclass(frozen=True)
class Panel:
    """An image to lay over frames: `frame * keep / 256 + ink`."""

    keep: NDArray[np.uint16]
    """[h, w, 1], 0 to 256."""
    ink: NDArray[np.uint16]
    """[h, w, 3], in 256ths."""


class Overlay:
    """Draws on the frames of one video."""

    def __init__(
        self,
        segments: Sequence[Segment],
        colors: LabelColors,
        size: tuple[int, int],
        part: Window,
        *,
        whole: bool,
    ) -> None:
        """size: width and height of frames. part: the time that the track spans.

        whole: one segment for all; the track only shows the progress of the video.
        """
        self._segments, self._part, self._whole = segments, part, whole
        self._starts = [segment.window.start for segment in segments]
        self._colors = colors
        width, height = size
        short = min(width, height)
        line = max(SMALLEST_LINE, round(LINE_SHARE * short))
        pad = max(2, round(0.3 * line))
        self._bar = max(3, round(0.34 * line))
        right, bottom = (max(2, round(MARGIN_SHARE * side)) for side in size)
        self._line, self._pad = line, pad
        self._left, self._width = right, max(width - 2 * right, 1)
        self._height = min(line + self._bar + 3 * pad, height)
        self._top = max(height - bottom - self._height, 0)
        self._text = TextRenderer(line)
        self._panels: OrderedDict[int, Panel] = OrderedDict()
        self._track = self._draw_segments()

    @property
    def missing(self) -> frozenset[str]:
        """Characters of labels that no font here has; they are escaped."""
        return frozenset(self._text.missing)

    def draw(self, frame: NDArray[np.uint8], time: float) -> None:
        """Draw label, score and track on a frame, uint8 [H, W, 3], at `time` seconds."""
        rows = slice(self._top, self._top + self._height)
        place = frame[rows, self._left : self._left + self._width]
        panel = self._panel(self._segment_at(time))
        height, width = place.shape[:2]
        keep, ink = panel.keep[:height, :width], panel.ink[:height, :width]
        place[:] = ((place * keep + ink) >> 8).astype(np.uint8)
        self._draw_track(place, time)

    def _segment_at(self, time: float) -> int:
        """The index of the segment of a frame, -1 for none."""
        moment = time + 5e-4  # segments are in whole milliseconds and frames are not
        number = bisect_right(self._starts, moment) - 1
        inside = number >= 0 and moment < self._segments[number].window.stop + 1e-3
        return number if inside else -1

    def _panel(self, number: int) -> Panel:
        if number not in self._panels:
            self._panels[number] = self._draw_panel(number)
            while len(self._panels) > KEPT_PANELS:
                self._panels.popitem(last=False)
        return self._panels[number]

    def _draw_panel(self, number: int) -> Panel:
        """Background, swatch, label and score of a segment."""
        keep = np.full((self._height, self._width, 1), round(256 * (1 - GROUND)), np.uint16)
        panel = Panel(keep, np.zeros((self._height, self._width, 3), np.uint16))
        if number < 0:
            return panel
        segment = self._segments[number]
        named = segment.label_id is not None
        left, right = self._pad, self._width - self._pad
        side = round(0.52 * self._line)
        if named:
            top = self._pad + (self._line - side) // 2
            ink = np.array(self._colors[segment.label_id], np.uint16) * 256
            panel.ink[top : top + side, left : left + side] = ink
            panel.keep[top : top + side, left : left + side] = 0
            left += side + self._pad
            score = self._text.mask(f"{100 * segment.score:.1f} %", right - left)
            if score.shape[1] < 0.4 * (right - left):
                right -= score.shape[1]
                _print(panel, score, right, self._pad, WHITE)
                right -= self._pad
        text = re.sub(_CONTROLS, "\ufffd", segment.label) if named else BACKGROUND
        mask = self._text.mask(text, right - left)
        _print(panel, mask, left, self._pad, WHITE if named else SOFT)
        return panel

    def _draw_segments(self) -> NDArray[np.uint8]:
        """The segments as a strip of colors: uint8 [bar, inner width, 3]."""
        width = max(self._width - 2 * self._pad, 1)
        strip = np.zeros((self._bar, width, 3), np.uint8)
        strip[:] = tuple(round(0.5 * value) for value in NONE)
        # The longest first, so that short ones are never hidden by their neighbors.
        for segment in sorted(self._segments, key=lambda s: -s.window.duration):
            if self._whole or segment.label_id is None:
                continue
            first = self._x(segment.window.start, width)
            after = max(self._x(segment.window.stop, width), first + 1)
            strip[:, first:after] = self._colors[segment.label_id]
        if self._whole:
            strip[:] = self._colors[self._segments[0].label_id] if self._segments else NONE
        return strip

    def _x(self, time: float, width: int) -> int:
        share = (time - self._part.start) / self._part.duration
        return round(width * min(max(share, 0.0), 1.0))

    def _draw_track(self, place: NDArray[np.uint8], time: float) -> None:
        """The strip, dim after `time`, and a white playhead."""
        bar, pad = self._bar, self._pad
        track = place[
            self._height - pad - bar : self._height - pad, pad : pad + self._track.shape[1]
        ]
        height, width = track.shape[:2]
        head = self._x(time, width)
        track[:, :head] = self._track[:height, :head]
        track[:, head:] = (self._track[:height, head:width] * DIM).astype(np.uint8)
        thick, tall = max(2, round(0.14 * self._line)), max(1, pad // 2)
        x = pad + min(max(head - thick // 2, 0), max(width - thick, 0))
        rim = max(1, thick // 3)
        top, foot = self._height - pad - bar - tall, self._height - pad + tall
        place[top:foot, max(x - rim, 0) : x + thick + rim] = 0
        place[top:foot, x : x + thick] = 255


def _print(panel: Panel, mask: Mask, left: int, top: int, color: Color) -> None:
    """Draw text on a panel."""
    height, width = mask.shape
    rows, columns = slice(top, top + height), slice(left, left + width)
    ink, keep = panel.ink[rows, columns], panel.keep[rows, columns]
    share = mask[: ink.shape[0], : ink.shape[1], None].astype(np.uint32)
    keep[:] = keep * (255 - share) // 255
    ink[:] = np.minimum(
        ink * (255 - share) // 255 + share * np.array(color, np.uint32) * 256 // 255, 255 * 256
    )
