"""Tests on the first bytes of a packet: may its frame be left out, is it shown at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
        return Av1Droppable(extradata)
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


SEQUENCE_HEADER, FRAME_HEADER, FRAME = 1, 3, 6
HARMLESS = {2, 5, 15}  # temporal delimiter, metadata, padding
INTER_FRAME, INTRA_ONLY_FRAME = 1, 2
TILE_GROUP = 4
SELECT = 2
"""A property that every picture states for itself."""


class Bits:
    """Reads numbers from the start of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def __call__(self, count: int) -> int:
        """The next `count` bits as a number. Raises ValueError at the end."""
        self._left -= count
        if self._left < 0:
            raise ValueError("a header ends early")
        return self._value >> self._left & (1 << count) - 1


@dataclass(frozen=True)
class SequenceHeader:
    """The fields of a sequence header that its picture headers depend on."""

    screen_content_tools: int
    integer_mv: int
    order_hint_bits: int


class Av1Droppable:
    """Tests whether no other picture refers to those of a packet; for all packets in order.

    Everything that AV1 carries from picture to picture (pixels, motion, probabilities, film grain)
    lies in eight slots, and the header of a picture lists the slots it fills. A picture that fills
    none leaves no trace. Names and order follow the AV1 specification, sections 5.3 to 5.9.
    Anything unknown is not droppable: layers, decoder models, numbered pictures.
    """

    def __init__(self, extradata: bytes) -> None:
        """extradata: as in mp4 and Matroska, four bytes and a sequence header; or nothing."""
        self._sequence: SequenceHeader | None = None
        self(memoryview(extradata[4:]))

    def __call__(self, data: memoryview) -> bool:
        """data: one packet, all pictures of one time."""
        seen = False
        try:
            for kind, part in _obus(bytes(data)):
                if kind == SEQUENCE_HEADER:
                    self._sequence = None  # unless it can be read
                    self._sequence = _parse_sequence(Bits(part[:64]))
                    return False
                if kind in (FRAME_HEADER, FRAME):
                    if self._sequence is None or not _fills_none(Bits(part[:16]), self._sequence):
                        return False
                    seen = True
                elif kind not in HARMLESS and kind != TILE_GROUP:
                    return False
        except (IndexError, ValueError):
            return False
        return seen


def _obus(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The kind and payload of every unit. Raises ValueError for units of layers."""
    at = 0
    while at < len(data):
        head = data[at]
        if head & 4:
            raise ValueError("a unit of a layer")
        at += 1
        size = len(data) - at
        if head & 2:
            size = 0
            for place in range(8):
                byte = data[at]
                at += 1
                size |= (byte & 127) << 7 * place
                if byte < 128:
                    break
        yield head >> 3 & 15, data[at : at + size]
        at += size


def _parse_sequence(read: Bits) -> SequenceHeader | None:
    """A sequence header; None for one with unknown parts."""
    read(3)  # profile
    still, reduced, timing = read(1), read(1), read(1)
    if still or reduced or timing:
        return None
    delays, points = read(1), read(5) + 1
    for _ in range(points):
        read(12)
        if read(5) > 7:
            read(1)  # tier
        if delays and read(1):
            read(4)
    width, height = read(4) + 1, read(4) + 1
    read(width + height)
    if read(1):  # pictures have numbers
        return None
    read(3 + 4)  # superblocks, intra and compound tools
    order = read(1)
    read(2 * order)
    screen = SELECT if read(1) else read(1)
    integer = SELECT if not screen or read(1) else read(1)
    return SequenceHeader(screen, integer, read(3) + 1 if order else 0)


def _fills_none(read: Bits, sequence: SequenceHeader) -> bool:
    """Whether the picture of this header fills no slot."""
    if read(1):  # shows an earlier picture, which may be a key frame and then fills all
        return False
    kind = read(2)
    if kind not in (INTER_FRAME, INTRA_ONLY_FRAME):
        return False
    if not read(1):
        read(1)  # not shown now; may be later
    resilient = read(1)
    read(1)
    screen = read(1) if sequence.screen_content_tools == SELECT else sequence.screen_content_tools
    if screen and sequence.integer_mv == SELECT:
        read(1)
    read(1 + sequence.order_hint_bits)
    if kind == INTER_FRAME and not resilient:
        read(3)
    return read(8) == 0
