"""The part of the page that shows what labels rest on: frames under heat, bars below them."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import numpy as np

from vidattn.output.video.heatmap import LEAST, above, draw_tiles, format_signed
from vidattn.timeline.explanation import METHODS, Explanation

FRAMES, SIDE = 8, 112
"""Frames of a strip at most, and pixels of their sides."""
BARS, WORDS = 44.0, 30.0
"""Heights of the bars and of the text below, in the units of the sides."""


class OddsBar(NamedTuple):
    """What the log-odds lose without a frame, as a rectangle and as words."""

    x: float
    y: float
    height: float
    side: str
    """The class of the rectangle: for or against the label."""
    words: str
    time: str


def describe_explanation(explanation: Explanation) -> dict[str, Any]:
    """What the template shows of an explanation; the picture is a JPEG file in base64."""
    frames, row = draw_tiles(explanation, FRAMES, SIDE)
    odds = explanation.odds[frames]
    most = max(LEAST, float(np.abs(odds).max()))
    zero = BARS * above(odds)
    bars = []
    for i, (t, lost) in enumerate(zip(frames, map(float, odds), strict=True)):
        height = abs(lost) / most * zero
        bars.append(
            OddsBar(
                x=float(i * SIDE),
                y=round(zero - height if lost >= 0 else zero, 2),
                height=round(height, 2),
                side="for" if lost >= 0 else "against",
                words=format_signed(lost),
                time=f"{explanation.times[t]:.2f} s",
            )
        )
    return {
        "label": explanation.label,
        "score": explanation.score,
        "start": explanation.window.start,
        "stop": explanation.window.stop,
        "method": METHODS[explanation.method],
        "left_out": len(explanation.frames) - len(frames),
        "run": explanation.run,
        "picture": base64.b64encode(encode_jpeg(row)).decode("ascii"),
        "width": len(frames) * SIDE,
        "side": SIDE,
        "height": BARS + WORDS,
        "zero": zero,
        "bars": bars,
    }


def encode_jpeg(frame: Any) -> bytes:
    """A JPEG file of a frame, uint8 [H, W, 3] RGB."""
    import cv2

    done, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 72])
    assert done, "OpenCV wrote no JPEG"
    return bytes(data)
