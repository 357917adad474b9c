"""Explanations as images and videos: heatmaps over frames, and the worth of each frame."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from vidattn.io.files import replacing_file
from vidattn.output.text import format_time
from vidattn.output.video.text import TextRenderer
from vidattn.timeline.explanation import METHODS, Explanation
from vidattn.timeline.palette import Color
from vidattn.video import Opening, open_video
from vidattn.video.writer.client import VideoWriter

Image = NDArray[np.uint8]

GROUND, INK, SOFT = (0xFD, 0xFD, 0xFB), (0x1C, 0x1D, 0x1F), (0x5D, 0x60, 0x66)
FOR, AGAINST = (0x3B, 0x6F, 0xC9), (0xCC, 0x7A, 0x10)
"""RGB, as in the report; bars of frames that speak for the label, and against it."""
TILE, GAP, MARGIN = 160, 8, 24
ROW = 8
"""Frames side by side."""
MOST = 32
"""Frames of a strip; of more, an even choice is shown."""
COLD = 0.15
"""Heat up to here is not drawn."""
LEAST = 0.1
"""The tallest bar stands for at least these log-odds: a label 1.1 times less likely."""
BARS, TEXT, TITLE = 56, 15, 20
"""Heights in pixels: of the bars of a row, a line of text, the first line."""
SMALLEST_VIDEO = 360
"""Pixels of the shorter side; smaller videos are enlarged."""
QUALITY = {".png": ("IMWRITE_PNG_COMPRESSION", 9), ".jpg": ("IMWRITE_JPEG_QUALITY", 72)}


def draw_strip(explanation: Explanation) -> Image:
    """All in one image, uint8 [H, W, 3] RGB: each frame without and with its heatmap, its time, and
    a bar for the log-odds lost without it."""
    frames = spread_indices(len(explanation.frames), MOST)
    across = min(ROW, len(frames))
    width = max(2 * MARGIN + across * TILE + (across - 1) * GAP, 640)
    heat = scale_patches(explanation)
    bands = [_draw_head(explanation, width)]
    for first in range(0, len(frames), ROW):
        bands.append(_draw_row(explanation, heat, frames[first : first + ROW], width))
    return np.concatenate([*bands, _draw_foot(explanation, len(frames), width)])


def spread_indices(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 to count - 1, evenly spread."""
    if count <= most:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, most).round()]


def scale_patches(explanation: Explanation) -> NDArray[np.float32]:
    """The shares of patches [T, h, w], scaled so that the largest of the window is 1."""
    most = float(explanation.patches.max(initial=0))
    return explanation.patches / most if most > 0 else explanation.patches


def draw_tiles(explanation: Explanation, most: int, side: int) -> tuple[list[int], Image]:
    """At most `most` frames with their heatmap in a row: their indices, uint8 [side, W, 3]."""
    frames, heat = spread_indices(len(explanation.frames), most), scale_patches(explanation)
    row = [overlay_heat(_resize(explanation.pictures[t], side), heat[t]) for t in frames]
    return frames, np.concatenate(row, axis=1)


def overlay_heat(image: Image, heat: NDArray[np.float32]) -> Image:
    """An image uint8 [S, S, 3] under a heatmap [h, w] from 0 to 1.

    Colors are those of `inferno`, which is perceptually uniform; the hotter, the more opaque. Heat
    below COLD is not drawn: the image is seen as it is there, only paler.
    """
    import cv2

    size = image.shape[1], image.shape[0]
    smooth = cv2.resize(heat, size, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    levels = (60 + 195 * smooth).round().astype(np.uint8)
    colors = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.float32)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    ground = 0.4 * gray + 0.6 * image
    alpha = 0.85 * ((smooth[..., None] - COLD).clip(0) / (1 - COLD)) ** 0.8
    mixed: Image = ((1 - alpha) * ground + alpha * colors).round().astype(np.uint8)
    return mixed


def draw_frame(
    explanation: Explanation, frame: Image, heat: NDArray[np.float32], time: float
) -> Image:
    """A whole frame, uint8 [H, W, 3], with a heatmap on the square that the model sees, and text.

    time: of the frame, in seconds.
    """
    height, width = frame.shape[:2]
    side = min(round(min(height, width) * explanation.crop), height, width)
    top, left = -(-(height - side) // 2), -(-(width - side) // 2)
    image: Image = (0.35 * frame).astype(np.uint8)
    square = np.ascontiguousarray(frame[top : top + side, left : left + side])
    image[top : top + side, left : left + side] = overlay_heat(square, heat)
    size = max(13, height // 22)
    words = f"{explanation.label} {100 * explanation.score:.1f} %   {format_time(time, True, 2)}"
    mask = TextRenderer(round(size * 1.25)).mask(words, width - 2 * size)
    lines, columns = mask.shape
    y = height - lines - size
    panel = image[y - size // 3 : y + lines + size // 3, size // 2 : columns + 3 * size // 2]
    panel[:] = (0.3 * panel).astype(np.uint8)
    _blend(image[y : y + lines, size : size + columns], mask, (255, 255, 255))
    return image


def write_heatmap_video(
    explanation: Explanation,
    path: str | os.PathLike[str],
    *,
    reader: str = "auto",
    opening: Opening = open_video,
) -> Path:
    """Write the window of an explanation as H.264 with its audio; returns the path.

    Each frame has the heatmap of the nearest one that the model saw; the region outside the square
    of the model is dimmed. Raises VideoError if the video cannot be read, OutputError.
    """
    opened = partial(opening, explanation.source, reader=reader, framing=explanation.framing)
    with opened() as video:
        short = max(SMALLEST_VIDEO, min(video.width, video.height))
    heat, window = scale_patches(explanation), explanation.window
    with (
        opened(short_side=short) as video,
        VideoWriter(video) as writer,
        replacing_file(path) as place,
    ):
        edges = [window.start - 5e-4, window.stop - 5e-4]
        first, after = np.searchsorted(video.times, edges).tolist()
        first = min(first, video.frames - 1)
        times = video.times[first : max(after, first + 1)]
        stop = max(min(window.stop, video.duration), float(times[-1]) + 1e-3)
        with writer.recording(place, (video.width, video.height), times, stop):
            for index, frame in video.stream(range(first, first + len(times))):
                time = float(video.times[index])
                nearest = int(np.abs(np.array(explanation.times) - time).argmin())
                writer.write(index - first, draw_frame(explanation, frame, heat[nearest], time))
        video.check_unchanged()
    return Path(path)


def encode_image(image: Image, extension: str) -> bytes:
    """A PNG or JPEG file of an image uint8 [H, W, 3] RGB; extension: .png or .jpg."""
    import cv2

    flag, value = QUALITY[extension]
    done, data = cv2.imencode(extension, image[..., ::-1], [getattr(cv2, flag), value])
    assert done, f"OpenCV wrote no {extension}"
    return bytes(data)


def share_above_zero(odds: NDArray[np.float32]) -> float:
    """The share of the height of bars above their zero line: 1, or 0.5 if some go down."""
    return 1.0 if odds.min(initial=0) >= -0.05 * max(float(odds.max(initial=0)), LEAST) else 0.5


def format_signed(odds: float) -> str:
    """Log-odds with their sign and one decimal, without -0.0."""
    return f"{round(odds, 1) + 0.0:+.1f}"


def _draw_head(explanation: Explanation, width: int) -> Image:
    """Two lines: the label and its score; the file, the window and the model."""
    band = _blank(MARGIN + TITLE + TEXT + 24, width)
    first = f"{explanation.label}  {100 * explanation.score:.1f} %"
    room = width - 2 * MARGIN
    _write(band, (MARGIN, MARGIN - 6), first, INK, TITLE, room)
    name, window = PurePath(explanation.source).name, explanation.window.shift(_offset(explanation))
    start, stop = (format_time(t, hours=True, decimals=2) for t in (window.start, window.stop))
    second = f"{name}, {start} - {stop}   {explanation.model.name or ''}"
    _write(band, (MARGIN, MARGIN + TITLE + 4), second, SOFT, TEXT, room)
    return band


def _offset(explanation: Explanation) -> float:
    """Seconds from the start of the file, from which players count, to time 0."""
    return explanation.input.start_offset or 0.0


def _draw_row(
    explanation: Explanation, heat: NDArray[np.float32], frames: list[int], width: int
) -> Image:
    """Frames, the same with heatmaps, their times and bars."""
    bars = TILE * 2 + GAP // 2 + TEXT + 12
    band = _blank(bars + BARS + TEXT + 20, width)
    most = max(float(np.abs(explanation.odds).max()), LEAST)
    above = share_above_zero(explanation.odds)
    zero = bars + BARS * above
    for i, t in enumerate(frames):
        x, y = MARGIN + i * (TILE + GAP), TILE + GAP // 2
        tile = _resize(explanation.pictures[t], TILE)
        band[:TILE, x : x + TILE] = tile
        band[y : y + TILE, x : x + TILE] = overlay_heat(tile, heat[t])
        time = format_time(explanation.times[t] + _offset(explanation), hours=True, decimals=2)
        _write(band, (x, y + TILE + 4), time, SOFT)
        odds = float(explanation.odds[t])
        top, bottom = sorted((round(zero), round(zero - BARS * odds / most * above)))
        band[top : bottom + 1, x : x + TILE] = FOR if odds >= 0 else AGAINST
        _write(band, (x, bars + BARS + 3), format_signed(odds), INK)
    band[round(zero), MARGIN : MARGIN + len(frames) * (TILE + GAP) - GAP] = SOFT
    return band


def _draw_foot(explanation: Explanation, shown: int, width: int) -> Image:
    """The scale of the colors and the meaning of the bars."""
    import cv2

    band = _blank(2 * TEXT + 8 + MARGIN, width)
    room = width - 2 * MARGIN
    ramp = np.linspace(60, 255, 120).round().astype(np.uint8)[None].repeat(8, 0)
    band[4:12, MARGIN : MARGIN + 120] = cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[..., ::-1]
    scale = f"low to high: {METHODS[explanation.method]}"
    _write(band, (MARGIN + 128, 0), scale, SOFT, TEXT, room - 128)
    run = "a frame is" if explanation.run == 1 else f"{explanation.run} frames in a row are"
    bars = (
        f"bars: log-odds lost when {run} replaced by the one before; 2.3 is ten times less likely"
    )
    if shown < len(explanation.frames):
        bars += f"; {shown} of {len(explanation.frames)} frames shown"
    _write(band, (MARGIN, TEXT + 6), bars, SOFT, TEXT, room)
    return band


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), GROUND, np.uint8)


def _resize(image: Image, side: int) -> Image:
    import cv2

    small: Image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return small


def _write(
    image: Image, at: tuple[int, int], text: str, color: Color, size: int = TEXT, room: int = TILE
) -> None:
    """Draw a line of text with its top left corner `at`, shortened to `room` pixels."""
    mask = TextRenderer(round(size * 1.25)).mask(text, room)
    x, y = at
    _blend(image[y : y + mask.shape[0], x : x + mask.shape[1]], mask, color)


def _blend(image: Image, mask: NDArray[np.uint8], color: Color) -> None:
    """Draw a color over the whole image, as far as the mask, 0 to 255, covers each pixel."""
    alpha = mask[: image.shape[0], : image.shape[1], None].astype(np.float32) / 255
    image[:] = (alpha * np.array(color) + (1 - alpha) * image).round().astype(np.uint8)
