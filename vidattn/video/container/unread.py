"""Parts of a file that no stream read here reaches: another program, or a file joined to it."""

from __future__ import annotations

from collections.abc import Callable

from av.container import InputContainer
from av.error import FFmpegError

from vidattn.video.container.byte_file import open_bytes
from vidattn.video.container.frame_table import FrameTable, Source
from vidattn.video.container.mp4_boxes import find_second_movie
from vidattn.video.container.open import demux, require_memory
from vidattn.video.container.packets import Beat

LEAST_BYTES, LEAST_SHARE = 16 << 10, 0.02
"""Less is padding, tables, or the end of the sound."""
SIGNATURES = {"flv": b"FLV\x01"}
"""Beginnings of files whose demuxer stops at the next one."""
BLOCK_BYTES = 1 << 20


def unread_share(open_source: Callable[[], Source], table: FrameTable, beat: Beat) -> float:
    """Bytes that are not looked at divided by those that are; 0 where that is nothing to speak of.

    Streams count that are stored beside the pictures, not those before or behind them.
    """
    container, stream = open_source()
    with container:
        name, size = container.format.name, container.size
        if name.startswith("mov"):
            with open_bytes(container.name) as file:
                read = find_second_movie(file) or size
        elif name in SIGNATURES:
            read = _find(container.name, SIGNATURES[name], table.reached, size)
        elif name in ("mpegts", "mpeg") and size - table.reached > LEAST_BYTES:
            read = max(table.reached, _reached_beside(container, stream.index, table.reached, beat))
        else:
            read = size
    unread = max(size - read, 0)
    return unread / read if read and unread > max(LEAST_BYTES, LEAST_SHARE * size) else 0.0


def _reached_beside(container: InputContainer, index: int, reached: int, beat: Beat) -> int:
    """The byte at which the streams end that begin before the pictures have ended."""
    ends = dict[int, int]()
    try:
        for packet in demux(container):
            beat()
            at = packet.pos
            if at is not None and packet.size and (packet.stream_index in ends or at < reached):
                ends[packet.stream_index] = at + packet.size
    except FFmpegError:
        require_memory()
    return max(ends.values(), default=reached)


def _find(source: str, signature: bytes, start: int, size: int) -> int:
    """The first place of some bytes from `start` on; `size` if there is none."""
    with open_bytes(source) as file:
        file.seek(start)
        before = b""
        while block := file.read(BLOCK_BYTES):
            if (at := (before + block).find(signature)) >= 0:
                return file.tell() - len(block) - len(before) + at
            before = block[-len(signature) + 1 :]
    return size
