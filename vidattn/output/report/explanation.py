"""The explanations in a report: frames with their heatmap above bars of log-odds."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import numpy as np

from vidattn.output.text import format_time
from vidattn.output.video.heatmap import (
    LEAST,
    draw_tiles,
    encode_image,
    format_signed,
    share_above_zero,
)
from vidattn.timeline.explanation import METHODS, Explanation

FRAMES, SIDE = 8, 112
"""Largest number of frames in a row, and pixels of their sides."""
BARS, TEXT = 44.0, 30.0
"""Heights of the bars and of the text below, in the units of the sides."""


class OddsBar(NamedTuple):
    """The log-odds lost without a frame, as a rectangle and as text."""

    x: float
    y: float
    height: float
    side: str
    """CSS class: for or against the label."""
    words: str
    time: str


def describe_explanation(explanation: Explanation, offset: float = 0.0) -> dict[str, Any]:
    """The values that the template shows of an explanation; the picture is a JPEG in base64.

    offset: seconds from the start of the file to the first frame.
    """
    frames, row = draw_tiles(explanation, FRAMES, SIDE)
    odds = explanation.odds[frames]
    most, zero = max(LEAST, float(np.abs(odds).max())), BARS * share_above_zero(odds)
    return {
        "label": explanation.label,
        "score": explanation.score,
        "start": explanation.window.start + offset,
        "stop": explanation.window.stop + offset,
        "method": METHODS[explanation.method],
        "left_out": len(explanation.frames) - len(frames),
        "run": explanation.run,
        "picture": base64.b64encode(encode_image(row, ".jpg")).decode("ascii"),
        "width": len(frames) * SIDE,
        "side": SIDE,
        "height": BARS + TEXT,
        "zero": zero,
        "bars": [
            _bar(i * SIDE, lost, abs(lost) / most * zero, zero, explanation.times[t] + offset)
            for i, (t, lost) in enumerate(zip(frames, odds.tolist(), strict=True))
        ],
    }


def _bar(x: int, lost: float, height: float, zero: float, time: float) -> OddsBar:
    y, side = (zero - height, "for") if lost >= 0 else (zero, "against")
    words = format_signed(lost), format_time(time, hours=True, decimals=2)
    return OddsBar(float(x), round(y, 2), round(height, 2), side, *words)
