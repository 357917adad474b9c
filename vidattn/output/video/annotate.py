"""Annotated videos, and excerpts: each segment of a timeline cut out of its video."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidattn.config.serialization import check_value
from vidattn.errors import InputError
from vidattn.io.files import replacing_file
from vidattn.io.json import dumps
from vidattn.output.file_names import excerpt_name
from vidattn.output.video.overlay import Overlay
from vidattn.timeline import Timeline
from vidattn.timeline.palette import label_colors
from vidattn.timeline.segments import Segment
from vidattn.types import Window
from vidattn.video import Opening, Video, open_video
from vidattn.video.writer.client import AudioTrack, VideoWriter
from vidattn.video.writer.fingerprint import add_fingerprint, has_fingerprint

SMALLEST = 360
"""Pixels of the shorter side; smaller videos are enlarged so that text is sharp on them."""
TOLERANCE = 0.2
"""Seconds by which the edges of an excerpt may be off to avoid encoding."""
SAME_LENGTH = 1.0


@dataclass(frozen=True)
class FrameDrawn:
    """One more frame is done."""

    frames: int
    """Number of frames in all."""


@dataclass(frozen=True)
class FileMade:
    """A file is complete."""

    path: Path
    copied: bool = False
    """Whether it holds packets of the video; otherwise it was encoded."""
    notes: tuple[str, ...] = ()
    """Notes for the user."""


def annotate(
    timeline: Timeline,
    path: str | os.PathLike[str],
    *,
    video: str | os.PathLike[str] | None = None,
    reader: str = "auto",
) -> Path:
    """Write a video with its labels drawn on it, as `annotate_events`; returns the path."""
    path = check_value(str, path, "path")
    for _ in annotate_events(timeline, path, video=video, reader=reader):
        pass
    return Path(path)


def annotate_events(
    timeline: Timeline,
    path: str | os.PathLike[str],
    *,
    video: str | os.PathLike[str] | None = None,
    reader: str = "auto",
    opening: Opening = open_video,
) -> Generator[FrameDrawn | FileMade, None, None]:
    """Draw label, score and a track of segments on each frame: a FrameDrawn each, then a FileMade.

    H.264 with the audio of the video, upright, every frame at its time; the part that the timeline
    covers. video: its path, if it has moved. The file appears with `FileMade`. Raises VideoError if
    the video cannot be read, InputError if it is another one, OutputError.
    """
    with _opened(timeline, video, reader, opening) as (source, writer):
        part = _covered_part(timeline, source)
        first, after = _frame_range(source, part)
        size = source.width, source.height
        colors, whole = label_colors(timeline), timeline.task == "classify"
        overlay = Overlay(timeline.single_track, colors, size, part, whole=whole)
        times, stop = source.times[first:after], min(part.stop, source.duration)
        with replacing_file(path) as place:
            with writer.recording(place, size, times, stop) as audio:
                for index, frame in source.stream(range(first, after)):
                    overlay.draw(frame, float(source.times[index]))
                    writer.write(index - first, frame)
                    yield FrameDrawn(after - first)
            source.check_unchanged()
            add_fingerprint(place, _digest(timeline))
        yield FileMade(Path(path), notes=(*_audio_notes(audio), *_font_notes(overlay)))


def excerpts(
    timeline: Timeline,
    folder: str | os.PathLike[str],
    *,
    video: str | os.PathLike[str] | None = None,
    exact: bool = False,
    reader: str = "auto",
) -> list[Path]:
    """Cut every segment out of a video, as `excerpt_events`; returns the paths."""
    folder = check_value(str, folder, "folder")
    events = excerpt_events(timeline, folder, video=video, exact=exact, reader=reader)
    return [event.path for event in events if isinstance(event, FileMade)]


def excerpt_events(
    timeline: Timeline,
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    video: str | os.PathLike[str] | None = None,
    exact: bool = False,
    reader: str = "auto",
    opening: Opening = open_video,
) -> Generator[FrameDrawn | FileMade, None, None]:
    """Cut every segment but background out of a video into a file of its own, with its audio.

    Packets are copied if a key frame lies within TOLERANCE of the segment and nothing else prevents
    it; otherwise, and always if `exact`, the excerpt is encoded and accurate to the frame. name:
    the stem of the files, by default that of the video. Yields a FrameDrawn for each frame of a
    segment and a FileMade for each file. Raises as `annotate_events`.
    """
    wanted = excerpt_paths(timeline, folder, name)
    with _opened(timeline, video, reader, opening, smallest=1) as (source, writer):
        spans = [_frame_range(source, segment.window) for segment, _ in wanted]
        total = sum(after - first for first, after in spans)
        for (segment, path), (first, after) in zip(wanted, spans, strict=True):
            if first == after:
                continue
            with replacing_file(path) as place:
                copied = not exact and writer.copy(place, segment.window, TOLERANCE) is not None
                encoding = _encode(source, writer, place, (first, after), segment.window.stop)
                for _ in range(first, after) if copied else encoding:
                    yield FrameDrawn(total)
                add_fingerprint(place, _digest(timeline, exact=exact))
            yield FileMade(path, copied)
        source.check_unchanged()


def excerpt_paths(
    timeline: Timeline, folder: str | os.PathLike[str], name: str | None = None
) -> list[tuple[Segment, Path]]:
    """Every segment but background, and the file that `excerpt_events` makes of it."""
    segments = [segment for segment in timeline.segments if segment.label_id is not None]
    source, count = name or timeline.source, len(segments)
    return [
        (segment, Path(folder) / excerpt_name(source, number, count, segment.label))
        for number, segment in enumerate(segments, 1)
    ]


def is_current_video(
    timeline: Timeline, path: str | os.PathLike[str], *, exact: bool = False
) -> bool:
    """Whether a file is complete and was made from this timeline by `annotate` or `excerpts`."""
    return has_fingerprint(path, _digest(timeline, exact=exact))


def _digest(timeline: Timeline, *, exact: bool = False) -> bytes:
    """32 bytes that identify a timeline and how it is cut."""
    values = [timeline.to_dict(scores=False), {"exact": exact}]
    return hashlib.sha256(dumps(values).encode("utf-8", "backslashreplace")).digest()


def _encode(
    video: Video, writer: VideoWriter, place: Path, span: tuple[int, int], end: float
) -> Iterator[None]:
    """Write the frames of a span; the last one is shown until `end` at most."""
    first, after = span
    stop = float(video.times[after]) if after < video.frames else video.duration
    stop = min(stop, end + 5e-4)  # whole milliseconds, as of `_frame_range`
    size, times = (video.width, video.height), video.times[first:after]
    with writer.recording(place, size, times, max(stop, float(times[-1]) + 1e-3)):
        for index, frame in video.stream(range(first, after)):
            writer.write(index - first, frame)
            yield


@contextmanager
def _opened(
    timeline: Timeline,
    path: str | os.PathLike[str] | None,
    reader: str,
    opening: Opening,
    smallest: int = SMALLEST,
) -> Iterator[tuple[Video, VideoWriter]]:
    """The video of a timeline, enlarged if its short side is below `smallest`, and a writer."""
    hint = "give its path with --video" if path is None else "check the path"
    path = timeline.source if path is None else check_value(str, path, "video")
    if not os.path.lexists(path):
        raise InputError(f"{os.fspath(path)}: the video is missing", hint=hint)
    with opening(path, reader=reader) as video:
        if abs(video.duration - (timeline.duration or 0.0)) > SAME_LENGTH:
            raise InputError(
                f"{os.fspath(path)}: lasts {video.duration:.2f} s, and the video of the timeline "
                f"{timeline.duration:.2f} s",
                hint="give the video of the timeline with --video",
            )
        if min(video.width, video.height) >= smallest:
            with VideoWriter(video) as writer:
                yield video, writer
            return
    with opening(path, reader=reader, short_side=smallest) as larger, VideoWriter(larger) as writer:
        yield larger, writer


def _covered_part(timeline: Timeline, video: Video) -> Window:
    """From the first to the last window of a timeline."""
    start = timeline.windows[0].start if timeline.windows else 0.0
    stop = max((w.stop for w in timeline.windows), default=video.duration)
    frame = video.duration / video.frames
    return Window(start, video.duration if stop > video.duration - frame else stop)


def _frame_range(video: Video, part: Window) -> tuple[int, int]:
    """The first frame in a part and the first after it; its edges are whole milliseconds."""
    edges = np.array([part.start, part.stop]) - 5e-4
    first, after = np.searchsorted(video.times, edges).tolist()
    return first, after if part.stop < video.duration - 5e-4 else video.frames


def _audio_notes(audio: AudioTrack) -> Iterator[str]:
    if audio.codec and not audio.included:
        yield f"without audio: its codec {audio.codec} is not supported here"
    elif audio.included and not audio.copied:
        yield f"its audio ({audio.codec}) was encoded as AAC"


def _font_notes(overlay: Overlay) -> Iterator[str]:
    if overlay.missing:
        signs = ", ".join(ascii(sign)[1:-1] for sign in sorted(overlay.missing)[:5])
        yield f"no font here has {signs}; labels with them are escaped"
