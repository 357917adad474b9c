"""The types of video reading: Video, VideoDetails, Limits, and the resize rule."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vidattn.types import Framing, VideoInfo, Window

MAX_FRAMES = 20_000_000
"""Nine days at 25 frames a second; their table takes 2 GB of the decoding process."""

TAILS = ("E_TRUNCATED", "E_UNREAD")
"""Reason codes of a span behind the last frame that can be read: it was cut off, or belongs to
another program or another file that was joined to this one."""
LAYERS = ("seccomp", "landlock")
"""The sandbox of a decoder: a list of system calls, and a list of files."""

Frames = NDArray[np.uint8]
Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Limits:
    """The cost of one file above which it is refused or given up, and what of it is decoded."""

    max_pixels: int = 36_000_000
    """Width times height of one frame; 8K is allowed, a decompression bomb is not."""
    max_frames: int = MAX_FRAMES
    """Frames of one file, shown or not."""
    silence_seconds: float = 30.0
    """A decoder that sends nothing for so long while a caller waits is killed."""
    decoding_seconds: float = 120.0
    """A decoder that lets callers wait for longer in all, or longer than `TimeBudget` allows for a
    long video, is killed, whatever it sends."""
    memory_bytes: int | None = 4 << 30
    """Address space of the decoding process (Linux); None means no limit."""
    any_codec: bool = False
    """Allow decoders outside the list of common video codecs."""
    threads: int = 0
    """Decoder threads; 0 lets the decoder choose."""
    stream: int | None = None
    """Number of the video stream to read, as ffprobe counts them; None for the best one."""
    sandbox: Literal["auto", "require"] = "auto"
    """Whether a system without one of the `LAYERS` decodes with those it has, or not at all."""


@dataclass(frozen=True, kw_only=True)
class VideoDetails(VideoInfo):
    """Properties of a video, checked against its packets where that is cheap."""

    width: int
    height: int
    codec: str
    container: str
    pixel_format: str
    fps: Fraction
    vfr: bool
    frames: int
    duration: float
    """Seconds; see Video.duration."""
    start_pts_seconds: float
    """PTS of the first frame shown, the origin of all times here."""
    rotation: int = 0
    mirrored: bool = False
    """Whether frames are mirrored left to right before they are rotated."""
    bit_depth: int = 8
    hdr: bool = False
    """PQ or HLG transfer; values are converted to 8 bit without tone mapping."""
    sar: Fraction = Fraction(1)
    """Width of a pixel divided by its height; frames are returned as stored, not stretched."""
    audio: bool = False
    streams: int = 1
    """Number of real video streams; cover pictures do not count."""
    warnings: tuple[str, ...] = ()
    key_seconds: float | None = None
    """Mean seconds between key frames; None if the packets do not tell."""


@dataclass(frozen=True, slots=True)
class UnreadableSpan:
    """A part of a video that could not be decoded, and the reason code."""

    window: Window
    code: str


class Video(AbstractContextManager["Video", None], Protocol):
    """An open video: exact frames by number, upright RGB, times from PTS with the first frame at 0.

    A context manager that closes it. Frames are numbered in the order in which they are shown. One
    frame at a time is in memory, whatever the length of the file.
    """

    path: str
    details: VideoDetails
    reader: str
    """A name of READERS, or "memory"."""
    fps: Fraction
    """Average rate; times never come from it."""
    frames: int
    times: Times
    """float64 [frames], seconds, strictly rising, times[0] == 0."""
    duration: float
    """Seconds: the last time plus the duration of that frame; of a truncated file its header's."""
    width: int
    """Pixels of a frame as returned."""
    height: int
    limits: Limits
    unreadable: list[UnreadableSpan]
    """Grows while decoding meets damage; a truncated tail is listed from the start."""

    def read(self, indices: Sequence[int]) -> Frames:
        """Decode frames by number, any order, repeats allowed: uint8 [len(indices), H, W, 3] RGB.

        Raises IndexError outside [0, frames), VideoError E_DECODE when a frame does not decode.
        """
        ...

    def stream(self, indices: Iterable[int]) -> Iterator[tuple[int, Frames]]:
        """Decode rising frame numbers: yields (index, uint8 [H, W, 3]) in bounded memory.

        Frames that do not decode are left out and listed in `unreadable`. Other calls may come in
        between; the stream then continues from its place.
        """
        ...

    def check_unchanged(self) -> None:
        """Raise VideoError E_CHANGED if the file is no longer the one that was opened.

        A deleted file is still read to its end, so deletion is no change.
        """
        ...

    def interrupt(self) -> None:
        """Make a read that waits in another thread fail soon; later calls work again."""
        ...

    def close(self) -> None:
        """End the decoder; calling it twice is fine."""
        ...

    def __exit__(self, *_: object) -> None:
        self.close()


class Opening(Protocol):
    """A function that opens videos: `open_video`, or a variant with its own processes or limits."""

    def __call__(
        self,
        path: str | os.PathLike[str],
        *,
        reader: str = "auto",
        short_side: int | None = None,
        framing: Framing | None = None,
    ) -> Video:
        """See `open_video`."""
        ...


def target_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Width and height after the short side is resized to `short_side`; the aspect is kept.

    The long side is floor(long / short * short_side), as in the published preprocessing.
    """
    if short_side is None:
        return width, height
    if width < height:
        return short_side, height * short_side // width
    return width * short_side // height, short_side


def check_indices(indices: Iterable[int], frames: int, path: str) -> NDArray[np.int64]:
    """Frame numbers as int64 [n]; raises IndexError when one lies outside [0, frames)."""
    wanted = np.fromiter((int(i) for i in indices), np.int64)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= frames):
        bad = int(wanted.min() if wanted.min() < 0 else wanted.max())
        raise IndexError(f"{path}: frame {bad} is outside [0, {frames})")
    return wanted
