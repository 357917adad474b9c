"""What a file promises but nothing reads: cut off, or of another program or file behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from vidattn.video.container.frame_table import FrameTable, Source
from vidattn.video.container.mp4_boxes import find_second_movie
from vidattn.video.container.open import demux, open_bytes, require_memory
from vidattn.video.container.packets import Beat

TRUNCATED_SECONDS = 1.0
"""A header that promises so much more than the packets hold, and 2 % more, means truncation."""
MAX_DECLARED_SECONDS = 30 * 86400.0
"""A header that promises more is wrong; the frames in the file count."""
BEHIND_SECONDS = 1.0
"""Muxers store packets of other streams at most so much before pictures of the same time."""
LEAST_BYTES, LEAST_SHARE = 16 << 10, 0.02
"""Less is padding, tables, or the end of the sound."""
SIGNATURES = {"flv": b"FLV\x01"}
"""Beginnings of files whose demuxer stops at the next one."""
BLOCK_BYTES = 1 << 20
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class MissingEnd:
    """What stands behind the last frame, but cannot be read."""

    seconds: float
    code: str
    warning: str


def find_unread(
    open_source: Callable[[], Source], table: FrameTable, beat: Beat
) -> MissingEnd | None:
    """The end of a file that no stream reaches."""
    seconds = unread_share(open_source, table, beat) * table.duration
    warning = f"about {seconds:.0f} s of it are of another program or file and are not read"
    return MissingEnd(seconds, "E_UNREAD", warning) if seconds else None


def find_cut_off(
    open_source: Callable[[], Source],
    table: FrameTable,
    container: str,
    declared: float | None,
    beat: Beat,
) -> MissingEnd | None:
    """The end of a file that was cut off."""
    if declared is None or not _is_truncated(declared, table.duration, container):
        return None
    if container.startswith("matroska"):
        end = (table.start or 0.0) + table.duration
        if ends_by_itself(open_source, end, beat):
            return None
    warning = f"cut off: {table.duration:.2f} s of {declared:.2f} s are there"
    return MissingEnd(declared - table.duration, "E_TRUNCATED", warning)


def declared_duration(container: InputContainer, stream: VideoStream, start: float) -> float | None:
    """Seconds of pictures that the header promises, else of the file; None for nonsense.

    start: timestamp of the first frame, from which they count; Matroska and files in fragments
    state where the last one ends. Other streams of a Matroska file may last longer than pictures.
    """
    name, whole = container.format.name, (container.duration or 0) / 1e6
    if name.startswith("matroska"):
        promised = min(_tagged_duration(stream.metadata, start) or whole, whole - start)
    elif stream.duration and stream.time_base:
        promised = float(stream.duration * stream.time_base)
        if name.startswith("mov") and not stream.frames:
            promised -= start
    else:
        promised = whole
    return promised if 0 < promised <= MAX_DECLARED_SECONDS else None


def _tagged_duration(metadata: Mapping[str, str], start: float) -> float | None:
    """Seconds by a DURATION tag of Matroska: the end of the track for FFmpeg, its length for
    mkvmerge, which adds statistics."""
    tags = {key.upper().partition("-")[0]: value for key, value in metadata.items()}
    match = _DURATION.fullmatch(tags.get("DURATION", ""))
    if match is None:
        return None
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    return seconds if "_STATISTICS_WRITING_APP" in tags else seconds - start


def _is_truncated(declared: float, available: float, container: str) -> bool:
    """Only containers that state a duration in the header can be seen to be truncated."""
    if container.split(",")[0] not in {"mov", "matroska", "avi"}:
        return False
    return declared - available > max(TRUNCATED_SECONDS, 0.02 * declared)


def ends_by_itself(open_source: Callable[[], Source], stop: float, beat: Beat) -> bool:
    """Whether a file goes on behind its last picture: sound or subtitles that last longer.

    stop: seconds, the timestamp at which the pictures end. A file that was cut off ends in all its
    streams at once.
    """
    container, stream = open_source()
    goes_on = outlasts = False
    with container:
        try:
            for packet in demux(container):
                beat()
                if not packet.size or packet.pts is None or packet.time_base is None:
                    continue
                if packet.stream_index == stream.index:
                    goes_on = False
                    continue
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                goes_on |= end > stop + BEHIND_SECONDS
                outlasts |= goes_on and packet.stream.type == "subtitle"
        except FFmpegError:
            require_memory()
    return goes_on or outlasts


def unread_share(open_source: Callable[[], Source], table: FrameTable, beat: Beat) -> float:
    """Bytes that are not looked at divided by those that are; 0 where that is nothing to speak of.

    Streams count that are stored beside the pictures, not those before or behind them.
    """
    container, _ = open_source()
    with container:
        name, size = container.format.name, container.size
        if name.startswith("mov"):
            with open_bytes(container.name) as file:
                read = find_second_movie(file) or size
        elif name in SIGNATURES:
            read = _find(container.name, SIGNATURES[name], table.reached, size)
        elif name in ("mpegts", "mpeg") and size - table.reached > LEAST_BYTES:
            read = max(table.reached, _reached_beside(container, table.reached, beat))
        else:
            read = size
    unread = max(size - read, 0)
    return unread / read if read and unread > max(LEAST_BYTES, LEAST_SHARE * size) else 0.0


def _reached_beside(container: InputContainer, reached: int, beat: Beat) -> int:
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
