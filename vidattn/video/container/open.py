"""Opening a file with FFmpeg so that it can reach nothing but that file, by path or descriptor."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from vidattn.errors import VideoError
from vidattn.video.container.mp4_boxes import find_truncation, promised_frames
from vidattn.video.protocol import Limits

AV_VERSION = int(av.__version__.partition(".")[0])
MAX_ERRORS = 64
"""Failures in a row after which the rest of a stream is given up."""
COMMANDS = "segment, classify, explain, timeline, eval and doctor"
"""Commands with the options --any-codec and --max-pixels."""
RESERVE_BYTES = 256 << 20
"""Memory that a decoder should have left: a few of the largest frames."""
FEW_FRAMES = 10_000
"""An index of so many takes no time."""
AV1_SINGLE_THREAD = 640 * 480
"""Pixels. AV1 frames up to this size are decoded by one thread: dav1d's others then cost more than
they save (640x360 on two cores: 0.6 s of CPU time instead of 1.3 s, and no slower)."""

# Demuxers of files that hold video themselves. Playlists (hls, dash, concat, sdp, image2) are left
# out: they make the reader open other files and hosts.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,h263,vc1,av1,obu,ivf,"
    "flv,asf,ogg,mxf,nut,rm,dv,gif,apng,yuv4mpegpipe,mjpeg,jpeg_pipe,png_pipe,wtv,gxf"
)
_CODEC_NAMES = (
    "h264 hevc vp8 vp9 av1 mpeg4 mpeg1video mpeg2video h263 h263p h263i flv1 msmpeg4v1 msmpeg4v2 "
    "msmpeg4v3 wmv1 wmv2 wmv3 vc1 mjpeg mjpegb gif prores dnxhd theora rawvideo dvvideo png apng "
    "vp6 vp6f vp6a cinepak svq1 svq3 huffyuv ffvhuff ffv1 rv30 rv40 qtrle"
)
CODECS = frozenset(_CODEC_NAMES.split())
# The same under the names of decoders; audio is listed because probing opens its decoders too.
DECODERS = ",".join(
    sorted(CODECS | {"libdav1d", "libaom-av1", "libvpx", "libvpx-vp9", "aac", "mp3", "mp3float"})
)
PLAYLIST = re.compile(rb"^#EXTM3U|<MPD|^ffconcat")
"""The beginning of a list of videos."""


def open_container(source: str, limits: Limits) -> tuple[InputContainer, VideoStream]:
    """Open a source (see `SCHEME`) and pick its video stream.

    Raises VideoError without a path in the message.
    """
    # FFmpeg counts the pixels of sizes that it rounds up.
    max_pixels = str(limits.max_pixels + limits.max_pixels // 8 + (1 << 17))
    options = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "file",
        "max_pixels": max_pixels,
    }
    if not limits.any_codec:
        options["codec_whitelist"] = DECODERS
    with open_bytes(source) as file:
        promised, size_bytes = promised_frames(file), file.seek(0, os.SEEK_END)
    if promised > max(size_bytes, FEW_FRAMES):
        raise VideoError(
            f"its header promises {promised:,} frames, and the file has {size_bytes:,} bytes",
            code="E_TOO_LARGE",
        )
    try:
        container = open_with_av(source, options)
        size = _refused_size(source, options) if _is_sizeless(container) else None
    except FFmpegError as error:
        require_memory()
        raise _not_video(source, error) from None
    try:
        stream = _choose_stream(container, limits.stream)
        context = stream.codec_context
        if context is None:
            raise VideoError("no decoder knows its codec", code="E_CODEC_NOT_ALLOWED")
        codec = context.codec.canonical_name
        _require_allowed(codec, size or (context.width, context.height), limits)
    except VideoError:
        container.close()
        raise
    single = codec == "av1" and context.width * context.height <= AV1_SINGLE_THREAD
    if limits.threads or single:
        context.thread_count = limits.threads or 1
    context.thread_type = "AUTO"
    context.options = {"max_pixels": max_pixels}
    return container, stream


def require_count(frames: int, limit: int) -> None:
    """Raise VideoError E_TOO_LARGE for more frames than one file may have."""
    if frames > limit:
        message = f"it has more than {limit:,} frames"
        raise VideoError(message, code="E_TOO_LARGE", hint="cut it into parts")


def is_picture(stream: VideoStream) -> bool:
    """Whether a stream is a cover picture."""
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def read_packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Packets of the stream in file order, continuing behind damage, without empty ones.

    An empty packet would tell the decoder that the stream has ended; AVI has them for repeated
    frames.
    """
    failures = 0
    while failures < MAX_ERRORS:
        try:
            for packet in demux(container, stream):
                if packet.size:
                    failures = 0
                    yield packet
            return
        except FFmpegError:
            require_memory()
            failures += 1


def demux(container: InputContainer, *streams: VideoStream) -> Iterator[Packet[Any]]:
    """Packets of the streams, of all by default, as PyAV gives them.

    PyAV 18.1 raises IndexError behind the last packet where a stream has appeared while reading.
    """
    try:
        yield from container.demux(*streams)
    except IndexError:
        return


def require_memory() -> None:
    """Raise MemoryError when little is left of the memory that this process may have.

    To be called after an error, since FFmpeg may take a lack of memory for damage of the file.
    """
    try:
        mmap(-1, RESERVE_BYTES).close()
    except OSError:
        raise MemoryError from None


def _choose_stream(container: InputContainer, number: int | None) -> VideoStream:
    """The best video stream, or the one of a number. Raises VideoError E_NO_VIDEO_STREAM."""
    videos = {s.index: s for s in container.streams.video if not is_picture(s)}
    if number is None:
        best = container.streams.best("video")
        if isinstance(best, VideoStream) and not is_picture(best):
            return best
    elif number in videos:
        return videos[number]
    known = ", ".join(map(str, videos))
    which = "no video stream in it" if number is None else f"stream {number} is no video"
    raise VideoError(
        which,
        code="E_NO_VIDEO_STREAM",
        hint=f"--stream takes one of {known}" if number is not None and known else None,
    )


def _is_sizeless(container: InputContainer) -> bool:
    contexts = [stream.codec_context for stream in container.streams.video]
    return any(context is not None and context.width == 0 for context in contexts)


def open_with_av(source: str, options: dict[str, str]) -> InputContainer:
    """Open a source with PyAV, whatever bytes its metadata has. Raises FFmpegError."""
    # PyAV 19 has no such argument and does so by itself.
    known: dict[str, Any] = {} if AV_VERSION >= 19 else {"metadata_errors": "replace"}
    container: InputContainer = av.open(for_ffmpeg(source), options=options, **known)
    return container


def _refused_size(source: str, options: dict[str, str]) -> tuple[int, int] | None:
    """The size that a decoder refused as too large while probing; only its log tells."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture(local=False) as lines:
        open_with_av(source, options).close()
    av.logging.set_level(before)
    found = re.search(r"Picture size (\d+)x(\d+) exceeds", "".join(line[2] for line in lines))
    return (int(found[1]), int(found[2])) if found else None


def _require_allowed(codec: str, size: tuple[int, int], limits: Limits) -> None:
    if codec not in CODECS and not limits.any_codec:
        raise VideoError(
            f"codec {codec} is not on the list of common video codecs",
            code="E_CODEC_NOT_ALLOWED",
            hint=f"if you trust the file, {COMMANDS} take --any-codec",
        )
    pixels = size[0] * size[1]
    if pixels > limits.max_pixels:
        raise VideoError(
            f"frames of {size[0]}x{size[1]} are more than {limits.max_pixels} pixels",
            code="E_TOO_LARGE",
            hint=f"if it is meant to be so large, {COMMANDS} take --max-pixels {pixels}",
        )


def _not_video(source: str, error: FFmpegError) -> VideoError:
    with open_bytes(source) as file:
        reason = find_truncation(file)
    if reason:
        hint = "the file was cut off; copy or download it again"
        return VideoError(reason, code="E_TRUNCATED", hint=hint)
    with open_bytes(source) as file:
        is_list = PLAYLIST.search(file.read(1000)) is not None
    hint = "playlists are not followed; to join one: ffmpeg -i PLAYLIST -c copy joined.mkv"
    return VideoError(
        f"not a video file ({error.strerror})", code="E_NOT_VIDEO", hint=hint if is_list else None
    )


SCHEME = "fd:"
"""A source is a path, or this and the number of a descriptor."""


class ByteFile:
    """Binary reading and writing with a position of its own, so that one descriptor serves many."""

    def __init__(self, fd: int) -> None:
        self.name = f"{SCHEME}{fd}"
        self._fd, self._position = fd, 0

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, none at the end; raises FFmpegError."""
        try:
            data = os.pread(self._fd, count, self._position)
        except OSError as error:
            raise _translate(error) from None
        self._position += len(data)
        return data

    def write(self, data: bytes) -> int:
        """Write all of `data`; raises FFmpegError."""
        view = memoryview(data)
        try:
            while view:
                count = os.pwrite(self._fd, view, self._position)
                self._position, view = self._position + count, view[count:]
        except OSError as error:
            raise _translate(error) from None
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position, which is returned; raises FFmpegError before the start."""
        origin = (0, self._position, os.fstat(self._fd).st_size)[whence]
        if origin + offset < 0:
            raise FFmpegError(22, "a position before the start")
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def __enter__(self) -> ByteFile:
        return self

    def __exit__(self, *_: object) -> None:
        """The descriptor belongs to others."""


def open_bytes(source: str) -> BinaryIO:
    """A source for reading in Python. Raises OSError."""
    return cast("BinaryIO", for_ffmpeg(source)) if _is_fd(source) else Path(source).open("rb")


def for_ffmpeg(source: str) -> Any:
    """A source as `av.open` takes it."""
    return ByteFile(int(source.removeprefix(SCHEME))) if _is_fd(source) else source


def _is_fd(source: str) -> bool:
    return source.startswith(SCHEME)


def _translate(error: OSError) -> FFmpegError:
    return FFmpegError(error.errno or 5, error.strerror or "input or output failed")
