"""What a packet's first bytes say: may its frame be left out, is it shown at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple


class Role(NamedTuple):
    """The part a packet plays for others."""

    droppable: bool
    """No picture of its own or a lower temporal layer refers to it."""
    layer: int
    """Temporal layer; pictures of higher layers may still refer to it."""
    shown: bool


PLAIN = Role(droppable=False, layer=0, shown=True)


def role_reader(codec: str, extradata: bytes | None) -> Callable[[memoryview], Role]:
    """A function from packet bytes to their Role, for one stream.

    H.264: a picture whose slices all have nal_ref_idc 0. HEVC: sub-layer non-reference pictures, nal
    types 0 to 14 even. VP8 and VP9: frames with show_frame 0. Anything else counts as needed and shown.
    """
    if codec == "vp8":
        return _vp8
    if codec == "vp9":
        return _vp9
    if codec not in {"h264", "hevc"}:
        return lambda data: PLAIN
    length_size = _length_size(codec, extradata or b"")
    one = _h264 if codec == "h264" else _hevc
    return lambda data: one(_units(data, length_size))


def _length_size(codec: str, extradata: bytes) -> int:
    """Bytes of the length before each NAL unit; 0 for start codes."""
    at = 4 if codec == "h264" else 21
    if len(extradata) <= at or extradata[:3] == b"\0\0\1" or extradata[:4] == b"\0\0\0\1":
        return 0
    return (extradata[at] & 3) + 1


def _units(data: memoryview, length_size: int) -> Iterator[tuple[int, int]]:
    """The first two bytes of every NAL unit."""
    if length_size:
        at, end = 0, len(data)
        while at + length_size + 2 <= end:
            length = int.from_bytes(data[at : at + length_size], "big")
            at += length_size
            yield data[at], data[at + 1]
            at += length
        return
    text = bytes(data)
    at = text.find(b"\0\0\1")
    while 0 <= at < len(text) - 4:
        yield text[at + 3], text[at + 4]
        at = text.find(b"\0\0\1", at + 3)


def _h264(units: Iterator[tuple[int, int]]) -> Role:
    slices = [first for first, _ in units if 1 <= first & 31 <= 5]
    return Role(bool(slices) and not any(first & 0x60 for first in slices), 0, True)


def _hevc(units: Iterator[tuple[int, int]]) -> Role:
    slices = [(first >> 1 & 63, second & 7) for first, second in units if first >> 1 & 63 < 32]
    if not slices:
        return PLAIN
    droppable = all(kind < 16 and kind % 2 == 0 for kind, _ in slices)
    return Role(droppable, max(layer for _, layer in slices), True)


def _vp8(data: memoryview) -> Role:
    return Role(droppable=False, layer=0, shown=bool(data[0] >> 4 & 1))


def _vp9(data: memoryview) -> Role:
    if data[-1] & 0xE0 == 0xC0:  # a superframe ends in the frame that is shown
        return PLAIN
    profile = (data[0] >> 5 & 1) | (data[0] >> 4 & 1) << 1
    bit = 3 if profile < 3 else 2  # show_existing_frame, then frame_type, then show_frame
    shown = data[0] >> bit & 1 or data[0] >> (bit - 2) & 1
    return Role(droppable=False, layer=0, shown=bool(shown))
