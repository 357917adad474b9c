"""Packets of AV1 that nobody refers to: found in real files; without them all stays the same."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.conftest import Make, Spec, numbers
from vidattn import open_video
from vidattn.video.container.bitstream import Av1Droppable, droppable_test

LONG = Spec("one_group.mp4", "libsvtav1", {"g": "300", "crf": "15", "preset": "12"})
needs_encoder = pytest.mark.skipif(
    "libsvtav1" not in av.codecs_available, reason="PyAV has no libsvtav1"
)


def packets_of(path: Path) -> tuple[bytes, list[bytes]]:
    """The extradata and the packets of a file."""
    with av.open(str(path)) as given:
        extradata = given.streams.video[0].codec_context.extradata or b""
        return extradata, [bytes(packet) for packet in given.demux(video=0) if packet.size]


@needs_encoder
def test_frames_read_with_gaps_are_those_of_a_whole_decode(make: Make) -> None:
    path = make(LONG)
    extradata, packets = packets_of(path)
    question = droppable_test("av1", extradata)
    assert 10 < sum(question(memoryview(packet)) for packet in packets) < 60
    with open_video(path) as video:
        whole = video.read(range(video.frames))
        for step in (2, 7, 32):
            wanted = list(range(1, video.frames, step))
            some = video.read(wanted)
            np.testing.assert_array_equal(some, whole[wanted])
            assert numbers(some) == wanted


@needs_encoder
def test_unknown_units_are_not_dropped(make: Make) -> None:
    extradata, packets = packets_of(make(LONG))
    question = Av1Droppable(extradata)
    sequence = next(packet for packet in packets if question(memoryview(packet)))
    assert question(memoryview(sequence))
    assert not any(question(memoryview(sequence[:cut])) for cut in range(3))
    assert not question(memoryview(bytes([sequence[0] | 4]) + sequence[1:]))  # a layer
    assert not Av1Droppable(b"")(memoryview(sequence))  # no sequence header was seen


@needs_encoder
def test_a_new_sequence_header_counts_from_where_it_stands(make: Make) -> None:
    extradata, packets = packets_of(make(LONG))
    question = Av1Droppable(extradata)
    sequence = next(packet for packet in packets if question(memoryview(packet)))
    unreadable = bytes([1 << 3 | 2, 1, 0b00011000])  # still pictures
    assert not question(memoryview(unreadable))
    assert not question(memoryview(sequence))
    assert not question(memoryview(extradata[4:]))
    assert question(memoryview(sequence))


def test_random_bytes_are_never_left_out() -> None:
    rng = np.random.default_rng(0)
    question = Av1Droppable(b"\x81\x00\x0c\x00")
    packets = (rng.integers(0, 256, length, np.uint8).tobytes() for length in range(200))
    assert not any(question(memoryview(packet)) for packet in packets)
