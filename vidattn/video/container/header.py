"""What a header states: how long the pictures last, where they begin, the first timecode."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import chain

from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from vidattn.video.container.frame_table import JOINED, FrameTable, Source
from vidattn.video.container.open import demux, require_memory
from vidattn.video.container.packets import Beat

MAX_DECLARED_SECONDS = 30 * 86400.0
"""A header that promises more is wrong; the frames in the file count."""
UNSET_YEAR = "1980"
"""Clocks that were never set begin in 1904, 1970 or 1980."""
BEHIND_SECONDS = 1.0
"""Muxers store packets of other streams at most so much before pictures of the same time."""
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_CREATED = re.compile(
    r"(\d{4})(-[01]\d-[0-3]\d)[T ]([0-2]\d:[0-5]\d:[0-5]\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d|)"
)
_TIMECODE = re.compile(r"\d\d:[0-5]\d:[0-5]\d[:;.]\d\d")


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


def start_offset(container: InputContainer, table: FrameTable, gap: float) -> float:
    """Seconds from the start of the file to the first frame; 0 where it is less than a `gap`.

    A file starts at 0 if it has a clock of its own (mp4, mov), otherwise with its first stream.
    """
    name = container.format.name
    if table.start is None or name == "avi":
        return 0.0
    zero = (container.start_time or 0) / 1e6
    if name.startswith("mov") and (table.packets is None or table.packets.dts[0] > 0):
        zero = 0.0  # a track that is not shifted begins with its first packet
    offset = table.start - zero
    if name in JOINED and offset > (container.duration or 0) / 1e6:
        return 0.0  # some other stream has a wrong timestamp
    return round(offset, 6) if gap <= offset <= MAX_DECLARED_SECONDS else 0.0


def read_timecode(container: InputContainer, stream: VideoStream) -> str | None:
    """The timecode of the first frame; None if no track states one."""
    others = (other.metadata for other in container.streams)
    for metadata in chain([stream.metadata, container.metadata], others):
        if match := _TIMECODE.fullmatch(metadata.get("timecode", "")):
            return match[0]
    return None


def read_creation(container: InputContainer, stream: VideoStream) -> str | None:
    """When the file was recorded, ISO 8601; None if nothing says so, or the clock was never set.

    QuickTime's own tag has the offset from UTC of the place, creation_time only UTC.
    """
    for key in ("com.apple.quicktime.creationdate", "creation_time"):
        for metadata in (container.metadata, stream.metadata):
            match = _CREATED.fullmatch(metadata.get(key, ""))
            if match and match[1] > UNSET_YEAR:
                offset = re.sub(r"(\d\d):?(\d\d)$", r"\1:\2", match[4].replace("Z", "+0000"))
                return f"{match[1]}{match[2]}T{match[3]}{offset}"
    return None


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


def _tagged_duration(metadata: Mapping[str, str], start: float) -> float | None:
    """Seconds by a DURATION tag of Matroska: the end of the track for FFmpeg, its length for
    mkvmerge, which adds statistics."""
    tags = {key.upper().partition("-")[0]: value for key, value in metadata.items()}
    match = _DURATION.fullmatch(tags.get("DURATION", ""))
    if match is None:
        return None
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    return seconds if "_STATISTICS_WRITING_APP" in tags else seconds - start
