"""The quick way to the packet table and the slow one agree; packets that nobody refers to."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.conftest import FILES, Make, Spec, numbers
from tests.video.helpers import refused
from vidattn.errors import VideoError
from vidattn.video import open_video
from vidattn.video.container import packets
from vidattn.video.container.bitstream import Av1Droppable, droppable_test
from vidattn.video.container.mp4_boxes import read_samples
from vidattn.video.container.open import open_container
from vidattn.video.protocol import Limits

BY_NAME = {spec.name: spec for spec in FILES}
PLAIN = ["cfr.mp4", "b_frames.mp4", "vfr.mp4", "open_gop.mp4", "open_gop_hevc.mp4", "late.mp4"]
COLUMNS = ("pts", "dts", "duration", "key", "shown")


def both(path: Path) -> tuple[packets.Packets | None, packets.Packets]:
    """The table from the index, and from the packets."""
    container, stream = open_container(str(path), Limits())
    with container:
        quick = packets.read_index(container, stream)
    container, stream = open_container(str(path), Limits())
    with container:
        return quick, packets.scan(container, stream, lambda: None)


@pytest.fixture(autouse=True)
def even_short_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "MIN_INDEXED", 1)


@pytest.mark.parametrize("name", [*PLAIN, "turned_270.mov", "mpeg4.mp4", "single.mp4"])
def test_the_index_agrees_with_the_packets(name: str, make: Make) -> None:
    quick, slow = both(make(BY_NAME[name]))
    assert quick is not None
    for column in COLUMNS:
        assert np.array_equal(getattr(quick, column), getattr(slow, column))


@pytest.mark.parametrize("name", ["edit_list.mp4", "fragmented.mp4", "matroska.mkv", "stream.ts"])
def test_an_unusual_index_is_not_trusted(name: str, make: Make) -> None:
    assert both(make(BY_NAME[name]))[0] is None


@pytest.mark.parametrize("table", [b"stts", b"ctts", b"stss"])
@pytest.mark.parametrize("at", [8, 12, 16])
@pytest.mark.parametrize("value", [0, 3, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wrong_table_never_overrides_the_packets(
    table: bytes, at: int, value: int, make: Make, tmp_path: Path
) -> None:
    data = bytearray(make(BY_NAME["b_frames.mp4"]).read_bytes())
    struct.pack_into(">I", data, data.index(table) + at, value)
    path = tmp_path / "wrong.mp4"
    path.write_bytes(data)
    with path.open("rb") as file:
        read_samples(file, 1)  # whatever it says, it does not crash
    try:
        quick, slow = both(path)
    except VideoError:
        return  # not even a video any more
    for column in COLUMNS if quick is not None else ():
        assert np.array_equal(getattr(quick, column), getattr(slow, column))


def test_a_long_file_is_read_by_its_index(make: Make) -> None:
    spec = Spec("long.mp4", "mpeg4", {"g": "50", "b": "4M"}, pts=tuple(range(2500)))
    with open_video(make(spec)) as video:
        assert video.frames == 2500
        assert numbers(video.read([0, 2499, 1234])) == [0, 2499, 1234]
        assert [i for i, _ in video.stream(range(0, 2500, 480))] == list(range(0, 2500, 480))


def test_packets_are_limited(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where every entry of an index points to the same byte."""
    container, stream = open_container(str(make(BY_NAME["single.mp4"])), Limits())
    with container:
        (packet,) = packets.read_packets(container, stream)
        most = container.size + packets.FEW_FRAMES
        monkeypatch.setattr(packets, "SLACK_BYTES", most * packet.size)
        monkeypatch.setattr(packets, "read_packets", lambda *_: [packet] * count)
        count = most
        assert len(packets.scan(container, stream, lambda: None)) == most
        count += 1
        with refused("E_TOO_LARGE", "more packets than bytes"):
            packets.scan(container, stream, lambda: None)


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
