"""AV1 packets that may be left out, because no later picture can refer to theirs.

Everything that AV1 carries from picture to picture (pixels, motion, probabilities, film grain) lies
in eight slots, and the header of a picture lists the slots it fills. A picture that fills none
leaves no trace. Names and order follow the AV1 specification, sections 5.3 to 5.9.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


class Droppable:
    """Tests whether no other picture refers to those of a packet; for all packets in order.

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
            for kind, part in _units(bytes(data)):
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


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
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
