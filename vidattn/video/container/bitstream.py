"""Tests on the first bytes of a packet: may its frame be left out, is it shown at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vidattn.video.container import av1

PacketTest = Callable[[memoryview], bool]


def droppable_test(codec: str, extradata: bytes | None) -> PacketTest:
    """A test whether no other picture refers to that of a packet, for one stream.

    H.264: all slices have nal_ref_idc 0. HEVC: sub-layer non-reference pictures (even nal types
    below 16) of the highest temporal layer; pictures of higher layers may refer to the others.
    AV1: pictures that fill no reference slot. Every packet must be tested, in order, since it may
    change the meaning of later headers.
    """
    extradata = extradata or b""
    if codec == "h264":
        size = _length_size(extradata, 4)
        return lambda data: _h264_droppable(_units(data, size))
    if codec == "hevc" and (size := _length_size(extradata, 21)):
        layers = extradata[21] >> 3 & 7
        return lambda data: _hevc_droppable(_units(data, size), layers)
    if codec == "av1":
        return av1.Droppable(extradata)
    return lambda data: False


def shown_test(codec: str) -> PacketTest:
    """A test whether a packet holds a shown frame; VP8 and VP9 have some for reference only."""
    return {"vp8": _vp8_shown, "vp9": _vp9_shown}.get(codec, lambda data: True)


def _length_size(extradata: bytes, at: int) -> int:
    """Bytes of the length before each NAL unit; 0 for start codes."""
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


def _h264_droppable(units: Iterator[tuple[int, int]]) -> bool:
    slices = [first for first, _ in units if 1 <= first & 31 <= 5]
    return bool(slices) and not any(first & 0x60 for first in slices)


def _hevc_droppable(units: Iterator[tuple[int, int]], layers: int) -> bool:
    slices = [(first >> 1 & 63, second & 7) for first, second in units if first >> 1 & 63 < 32]
    return bool(slices) and all(
        kind < 16 and kind % 2 == 0 and layer == layers for kind, layer in slices
    )


def _vp8_shown(data: memoryview) -> bool:
    return bool(data[0] >> 4 & 1)


def _vp9_shown(data: memoryview) -> bool:
    if data[-1] & 0xE0 == 0xC0:  # a superframe ends in the frame that is shown
        return True
    profile = (data[0] >> 5 & 1) | (data[0] >> 4 & 1) << 1
    bit = 3 if profile < 3 else 2  # show_existing_frame, then frame_type, then show_frame
    return bool(data[0] >> bit & 1 or data[0] >> (bit - 2) & 1)
