"""Part of a picture as a video of its own: an area, fixed or following boxes, and black masks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from vidattn.errors import VideoError
from vidattn.types import Area, Framing
from vidattn.video.boxes import BoxTrack, find_track
from vidattn.video.protocol import Frames, Video, target_size

WHOLE = Area(0, 0, 100, 100, percent=True)


def areas_of(framing: Framing | None, path: str) -> tuple[Area, ...]:
    """The areas, each at its place or just its size, that a video is decoded for; none for all of
    the picture. Raises InputError for a file of boxes that cannot be read."""
    if framing is None:
        return ()
    track = _track(framing, path)
    area = framing.area if track is None else track.largest()
    return () if area is None else (area,)


def decoded_side(size: tuple[int, int], areas: Sequence[Area], short_side: int) -> int:
    """Pixels of the short side of a picture for its smallest area to have `short_side` of them.

    size: width and height of the picture, upright. Never more than these: what is small in the
    file is enlarged later.
    """
    smallest = min(min(area.pixels(*size)[2:]) for area in areas)
    return min(max(math.ceil(min(size) * short_side / smallest), 1), min(size))


def framed(video: Video, framing: Framing | None, short_side: int | None) -> Video:
    """The video, or for a framing what is inside; closing it closes the video.

    short_side: pixels that the area is to have, which its video was decoded for. Raises VideoError
    E_AREA, and closes the video, when the area or a mask lies outside the picture.
    """
    if framing is None:
        return video
    try:
        return FramedVideo(video, FrameCutter(framing, video, short_side))
    except BaseException:
        video.close()
        raise


class FrameCutter:
    """Blackens the masks of a frame and cuts the area out. Raises VideoError E_AREA."""

    def __init__(self, framing: Framing, video: Video, short_side: int | None) -> None:
        self._video, self._picture = video, (video.details.width, video.details.height)
        self._scale = video.width / self._picture[0], video.height / self._picture[1]
        self.track = _track(framing, video.path)
        area = framing.area or WHOLE
        if self.track is not None:
            area = self.track.square(self._picture)
        x, y, width, height = area.pixels(*self._picture)
        if x + width > self._picture[0] + 0.5 or y + height > self._picture[1] + 0.5:
            raise self._outside(area)
        self._origin, self._box = (x, y), (width, height)
        self.size = self._scaled_size(width, height, short_side)
        """Width and height of the frames."""
        self._masks = [self._mask(mask) for mask in framing.masks]

    def __call__(self, index: int, frame: Frames) -> Frames:
        """A part of frame number `index`, uint8 [H, W, 3], as a copy."""
        x, y = self._place(index)
        width, height = self.size
        cut: Frames = frame[y : y + height, x : x + width].copy()
        for left, top, right, bottom in self._masks:
            cut[max(top - y, 0) : max(bottom - y, 0), max(left - x, 0) : max(right - x, 0)] = 0
        return cut

    def _place(self, index: int) -> tuple[int, int]:
        """The left upper corner of the area in a decoded frame."""
        corner = self._origin
        if self.track is not None:
            corner = self.track.corner(self._video.times, index, self._picture, self._box[0])
        whole = (self._video.width, self._video.height)
        x, y = (
            min(max(round(at * scale), 0), most - own)
            for at, scale, most, own in zip(corner, self._scale, whole, self.size, strict=True)
        )
        return x, y

    def _scaled_size(self, width: float, height: float, short_side: int | None) -> tuple[int, int]:
        exact = width * self._scale[0], height * self._scale[1]
        size = (max(round(exact[0]), 1), max(round(exact[1]), 1))
        if short_side is not None and abs(min(exact) - short_side) < 1:
            size = target_size(max(round(width), 1), max(round(height), 1), short_side)
        return min(size[0], self._video.width), min(size[1], self._video.height)

    def _mask(self, mask: Area) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in a decoded frame, rounded outward."""
        x, y, width, height = mask.pixels(*self._picture)
        if x >= self._picture[0] or y >= self._picture[1]:
            raise self._outside(mask)
        across, down = self._scale
        ends = math.ceil((x + width) * across), math.ceil((y + height) * down)
        return math.floor(x * across), math.floor(y * down), *ends

    def _outside(self, area: Area) -> VideoError:
        width, height = self._picture
        return VideoError(
            f"{self._video.path}: the area {area} is not inside its picture of {width}x{height}",
            code="E_AREA",
            hint="X,Y,W,H begin at the left upper corner; in percent they fit every size",
        )


class FramedVideo(Video):
    """The part of a video inside a framing. See Video."""

    def __init__(self, video: Video, cutter: FrameCutter) -> None:
        self._video, self._cut = video, cutter
        self.path, self.reader, self.limits = video.path, video.reader, video.limits
        self.fps, self.frames, self.times = video.fps, video.frames, video.times
        self.duration, self.unreadable = video.duration, video.unreadable
        self.width, self.height = cutter.size
        self.details = video.details

    def read(self, indices: Sequence[int]) -> Frames:
        frames = zip(indices, self._video.read(indices), strict=True)
        out = np.empty((len(indices), self.height, self.width, 3), np.uint8)
        for place, (index, frame) in enumerate(frames):
            out[place] = self._cut(index, frame)
        return out

    def stream(self, indices: Iterable[int]) -> Iterator[tuple[int, Frames]]:
        for index, frame in self._video.stream(indices):
            yield index, self._cut(index, frame)

    def check_unchanged(self) -> None:
        self._video.check_unchanged()

    def interrupt(self) -> None:
        self._video.interrupt()

    def close(self) -> None:
        self._video.close()


def _track(framing: Framing, path: str) -> BoxTrack | None:
    return find_track(framing.boxes, path) if framing.boxes else None
