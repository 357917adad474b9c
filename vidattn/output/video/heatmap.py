"""Explanations as pictures: heat over the frames that a model saw, and what each frame is worth."""

from __future__ import annotations

from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from vidattn.output.video.text import TextRenderer
from vidattn.timeline.explanation import METHODS, Explanation

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

GROUND, INK, SOFT, LINE = (
    (0xFD, 0xFD, 0xFB),
    (0x1C, 0x1D, 0x1F),
    (0x5D, 0x60, 0x66),
    (220, 220, 214),
)
FOR, AGAINST = (0x3B, 0x6F, 0xC9), (0xCC, 0x7A, 0x10)
"""Red, green, blue, as in the report; bars of frames that speak for the label, and against it."""
TILE, GAP, MARGIN = 160, 8, 24
ROW = 8
"""Frames side by side."""
MOST = 32
"""Frames of a strip; of more an even choice is shown."""
LEAST = 0.1
"""The tallest bar stands for log-odds of no less: then the label is 1.1 times less likely."""
BARS, TEXT, TITLE = 56, 15, 20
"""Heights in pixels: of the bars of a row, a line of text, the first line."""


def draw_strip(explanation: Explanation) -> Picture:
    """The whole as one picture, uint8 [H, W, 3] RGB: each frame as it was and with its heat, its
    time, and a bar for what its absence costs."""
    frames = spread_indices(len(explanation.frames), MOST)
    across = min(ROW, len(frames))
    width = max(2 * MARGIN + across * TILE + (across - 1) * GAP, 640)
    heat = scale_patches(explanation)
    parts = [_head(explanation, width)]
    for first in range(0, len(frames), ROW):
        parts.append(_row(explanation, heat, frames[first : first + ROW], width))
    parts.append(_foot(explanation, len(frames), width))
    return np.concatenate(parts)


def spread_indices(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 to count - 1, evenly spread."""
    if count <= most:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, most).round()]


def scale_patches(explanation: Explanation) -> NDArray[np.float32]:
    """The shares of patches from 0 to 1, where 1 is the largest of the window: [T, h, w]."""
    most = float(explanation.patches.max(initial=0))
    return explanation.patches / most if most > 0 else explanation.patches


def draw_tiles(explanation: Explanation, most: int, side: int) -> tuple[list[int], Picture]:
    """At most `most` frames with their heat in one row, uint8 [side, frames * side, 3], and which
    frames they are."""
    import cv2

    frames, heat = spread_indices(len(explanation.frames), most), scale_patches(explanation)
    row = [
        overlay_heat(
            cv2.resize(explanation.pictures[t], (side, side), interpolation=cv2.INTER_AREA), heat[t]
        )
        for t in frames
    ]
    return frames, np.concatenate(row, axis=1)


def overlay_heat(picture: Picture, heat: NDArray[np.float32]) -> Picture:
    """A picture uint8 [S, S, 3] under its heat [h, w] from 0 to 1.

    The colours are those of `inferno`, which is even to the eye; the more heat, the less of the
    picture is seen through it, and where there is none the picture is grey.
    """
    import cv2

    size = picture.shape[1], picture.shape[0]
    smooth = cv2.resize(heat, size, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    levels = (60 + 195 * smooth).round().astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.float32)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    ground = 0.75 * grey + 0.25 * picture
    alpha = 0.85 * smooth[..., None] ** 0.8
    mixed: Picture = ((1 - alpha) * ground + alpha * colours).round().astype(np.uint8)
    return mixed


def draw_frame(
    explanation: Explanation, frame: Picture, heat: NDArray[np.float32], time: float
) -> Picture:
    """A whole frame, uint8 [H, W, 3], with heat on the square that the model sees, and its label.

    time: of the frame, in seconds.
    """
    height, width = frame.shape[:2]
    side = min(round(min(height, width) * explanation.crop), height, width)
    top, left = -(-(height - side) // 2), -(-(width - side) // 2)
    picture: Picture = (0.35 * frame).astype(np.uint8)
    seen = np.ascontiguousarray(frame[top : top + side, left : left + side])
    picture[top : top + side, left : left + side] = overlay_heat(seen, heat)
    size = max(13, height // 22)
    words = f"{explanation.label} {100 * explanation.score:.0f} %   {time:.2f} s"
    letters = TextRenderer(round(size * 1.25)).mask(words, width - 2 * size)
    lines, columns = letters.shape
    y = height - lines - size
    panel = picture[y - size // 3 : y + lines + size // 3, size // 2 : columns + 3 * size // 2]
    panel[:] = (0.3 * panel).astype(np.uint8)
    at = picture[y : y + lines, size : size + columns]
    mask = letters.astype(np.float32)[..., None] / 255
    at[:] = (255 * mask + (1 - mask) * at).round().astype(np.uint8)
    return picture


def encode_png(picture: Picture) -> bytes:
    """A PNG file of a picture uint8 [H, W, 3] RGB."""
    import cv2

    done, data = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done, "OpenCV wrote no PNG"
    return bytes(data)


def _head(explanation: Explanation, width: int) -> Picture:
    """What is explained, in two lines."""
    part = _blank(MARGIN + TITLE + TEXT + 24, width)
    name = PurePath(explanation.source).name
    first = f"{explanation.label}  {100 * explanation.score:.1f} %"
    room = width - 2 * MARGIN
    _write(part, (MARGIN, MARGIN - 6), first, INK, TITLE, room)
    span = f"{explanation.window.start:.2f} to {explanation.window.stop:.2f} s"
    model = explanation.model.name or ""
    _write(part, (MARGIN, MARGIN + TITLE + 4), f"{name}, {span}   {model}", SOFT, TEXT, room)
    return part


def _row(
    explanation: Explanation, heat: NDArray[np.float32], frames: list[int], width: int
) -> Picture:
    """Frames, the same with heat, their times and bars."""
    import cv2

    bars = TILE * 2 + GAP // 2 + TEXT + 12
    part = _blank(bars + BARS + TEXT + 20, width)
    most = max(float(np.abs(explanation.odds).max()), LEAST)
    zero = bars + BARS * above(explanation.odds)
    last = MARGIN + len(frames) * (TILE + GAP) - GAP
    for i, t in enumerate(frames):
        x = MARGIN + i * (TILE + GAP)
        picture = explanation.pictures[t]
        small = cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_AREA)
        part[:TILE, x : x + TILE] = small
        y = TILE + GAP // 2
        part[y : y + TILE, x : x + TILE] = overlay_heat(small, heat[t])
        _write(part, (x, 2 * TILE + GAP // 2 + 4), f"{explanation.times[t]:.2f} s", SOFT)
        odds = float(explanation.odds[t])
        end = zero - BARS * odds / most * above(explanation.odds)
        top, bottom = sorted((round(zero), round(end)))
        part[top : bottom + 1, x : x + TILE] = FOR if odds >= 0 else AGAINST
        _write(part, (x, bars + BARS + 3), format_signed(odds), INK)
    part[round(zero), MARGIN:last] = SOFT
    return part


def above(odds: NDArray[np.float32]) -> float:
    """Which share of the height of the bars lies above zero: all, or half where some go down."""
    return 1.0 if odds.min(initial=0) >= -0.05 * max(float(odds.max(initial=0)), LEAST) else 0.5


def format_signed(odds: float) -> str:
    """Log-odds with their sign, one digit, and no -0.0."""
    return f"{round(odds, 1) + 0.0:+.1f}"


def _foot(explanation: Explanation, shown: int, width: int) -> Picture:
    """What is to be seen, and the scale of the colours."""
    import cv2

    part = _blank(2 * TEXT + 8 + MARGIN, width)
    room = width - 2 * MARGIN
    ramp = np.linspace(60, 255, 120).round().astype(np.uint8)[None].repeat(8, 0)
    colours = cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[..., ::-1]
    part[4:12, MARGIN : MARGIN + 120] = colours
    words = f"little to much heat: {METHODS[explanation.method]}"
    _write(part, (MARGIN + 128, 0), words, SOFT, TEXT, room - 128)
    run = "a frame is" if explanation.run == 1 else f"{explanation.run} frames in a row are"
    bars = (
        f"bars: log-odds lost when {run} replaced by the one before; 2.3 is ten times less likely"
    )
    if shown < len(explanation.frames):
        bars += f"; {shown} of {len(explanation.frames)} frames shown"
    _write(part, (MARGIN, TEXT + 6), bars, SOFT, TEXT, room)
    return part


def _blank(height: int, width: int) -> Picture:
    return np.full((height, width, 3), GROUND, np.uint8)


def _write(
    picture: Picture,
    at: tuple[int, int],
    text: str,
    colour: Colour,
    size: int = TEXT,
    room: int = TILE,
) -> None:
    """Draw a line of text, `at` its left top corner; what is wider than `room` is shortened."""
    letters = TextRenderer(round(size * 1.25)).mask(text, room)
    mask = letters.astype(np.float32)[..., None] / 255
    x, y = at
    height, width = mask.shape[:2]
    part = picture[y : y + height, x : x + width]
    mask = mask[: part.shape[0], : part.shape[1]]
    part[:] = (mask * np.array(colour) + (1 - mask) * part).round().astype(np.uint8)
