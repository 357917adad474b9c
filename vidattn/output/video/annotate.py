"""The annotated film and clips cut out of one: what a timeline says, as moving pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidattn.errors import InputError
from vidattn.io.files import replacing_file
from vidattn.io.json import dumps
from vidattn.output.file_names import excerpt_name
from vidattn.output.video.overlay import Overlay
from vidattn.timeline import Timeline
from vidattn.timeline.segments import Segment
from vidattn.types import Window
from vidattn.video import Opening, Video, open_video
from vidattn.video.writer.client import AudioSource, VideoWriter
from vidattn.video.writer.fingerprint import add_fingerprint, has_fingerprint

SMALLEST = 144
"""Pixels of the shorter side; smaller films are enlarged so that letters fit on them."""
TOLERANCE = 0.2
"""Seconds by which the edges of a clip may be off to spare encoding it anew."""
SAME_LENGTH = 1.0


@dataclass(frozen=True)
class FrameDrawn:
    """One more frame is done."""

    frames: int
    """How many there are in all."""


@dataclass(frozen=True)
class FileMade:
    """A file is complete."""

    path: Path
    copied: bool = False
    """Whether it holds the packets of the film; otherwise it was encoded anew."""
    notes: tuple[str, ...] = ()
    """What the user should know of it."""


def annotate(
    timeline: Timeline,
    path: str | os.PathLike[str],
    *,
    film: str | os.PathLike[str] | None = None,
    reader: str = "auto",
) -> Path:
    """Write a film with its labels in it, as `annotate_events`; returns the path."""
    for _ in annotate_events(timeline, path, film=film, reader=reader):
        pass
    return Path(path)


def annotate_events(
    timeline: Timeline,
    path: str | os.PathLike[str],
    *,
    film: str | os.PathLike[str] | None = None,
    reader: str = "auto",
    opening: Opening = open_video,
) -> Generator[FrameDrawn | FileMade, None, None]:
    """Make a film with label, score and a track of the segments in it: a Drawn for each frame.

    H.264 with the sound of the film, upright, every frame at its time; the part that the timeline
    covers. film: where it is, if not where the timeline says. opening: who opens it. Nothing is at
    `path` before `FileMade`. Raises VideoError when the film cannot be read, InputError when it is
    another one, OutputError.
    """
    with _opened(timeline, film, reader, opening) as (video, recorder):
        part = _part(timeline, video)
        first, after = _frames(video, part)
        size = video.width, video.height
        whole = timeline.task == "classify"
        overlay = Overlay(timeline.segments, size, part, whole=whole)
        times, stop = video.times[first:after], min(part.stop, video.duration)
        with replacing_file(path) as place:
            with recorder.recording(place, size, times, stop) as sound:
                for index, frame in video.stream(range(first, after)):
                    overlay.draw(frame, float(video.times[index]))
                    recorder.frame(index - first, frame)
                    yield FrameDrawn(after - first)
            video.check_unchanged()
            add_fingerprint(place, _digest(timeline))
        yield FileMade(Path(path), notes=(*_heard(sound), *_spelled(overlay)))


def excerpts(
    timeline: Timeline,
    folder: str | os.PathLike[str],
    *,
    film: str | os.PathLike[str] | None = None,
    exact: bool = False,
    reader: str = "auto",
) -> list[Path]:
    """Cut every segment out of a film, as `excerpt_events`; returns the paths."""
    events = excerpt_events(timeline, folder, film=film, exact=exact, reader=reader)
    return [event.path for event in events if isinstance(event, FileMade)]


def excerpt_events(
    timeline: Timeline,
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    film: str | os.PathLike[str] | None = None,
    exact: bool = False,
    reader: str = "auto",
    opening: Opening = open_video,
) -> Generator[FrameDrawn | FileMade, None, None]:
    """Cut every segment but background out of a film into a file of its own, with its sound.

    Where a key frame lies within TOLERANCE of a segment and nothing else speaks against it, its
    packets are copied; otherwise, and always if `exact`, it is encoded anew and begins and ends
    with the very frame. name: what files are called after, by default the film. A Drawn for each
    frame of the film that belongs to a segment, and a Made for each file. Raises as
    `annotate_events`.
    """
    wanted = excerpt_paths(timeline, folder, name)
    with _opened(timeline, film, reader, opening, smallest=1) as (video, recorder):
        spans = [_frames(video, segment.window) for segment, _ in wanted]
        total = sum(after - first for first, after in spans)
        for (segment, path), (first, after) in zip(wanted, spans, strict=True):
            if first == after:
                continue
            with replacing_file(path) as place:
                copied = not exact and recorder.copy(place, segment.window, TOLERANCE) is not None
                for _ in (
                    range(first, after)
                    if copied
                    else _encoded(video, recorder, place, segment, (first, after))
                ):
                    yield FrameDrawn(total)
                add_fingerprint(place, _digest(timeline, exact=exact))
            yield FileMade(path, copied)
        video.check_unchanged()


def excerpt_paths(
    timeline: Timeline, folder: str | os.PathLike[str], name: str | None = None
) -> list[tuple[Segment, Path]]:
    """Every segment but background, and the file that `excerpt_events` makes of it."""
    wanted = [segment for segment in timeline.segments if segment.label_id is not None]
    source, count = name or timeline.source, len(wanted)
    return [
        (segment, Path(folder) / excerpt_name(source, number, count, segment.label))
        for number, segment in enumerate(wanted, 1)
    ]


def is_annotation_of(
    timeline: Timeline, path: str | os.PathLike[str], *, exact: bool = False
) -> bool:
    """Whether the file is complete and was made from this timeline (`annotate`, `excerpts`)."""
    return has_fingerprint(path, _digest(timeline, exact=exact))


def _digest(timeline: Timeline, *, exact: bool = False) -> bytes:
    """32 bytes that stand for what a timeline says, and how it is cut."""
    said = [timeline.to_dict(scores=False), {"exact": exact}]
    return hashlib.sha256(dumps(said).encode("utf-8", "backslashreplace")).digest()


def _encoded(
    video: Video, recorder: VideoWriter, place: Path, segment: Segment, span: tuple[int, int]
) -> Iterator[None]:
    """Encode the frames of a segment anew."""
    first, after = span
    stop = float(video.times[after]) if after < video.frames else video.duration
    size, times = (video.width, video.height), video.times[first:after]
    with recorder.recording(place, size, times, max(stop, float(times[-1]) + 1e-3)):
        for index, frame in video.stream(range(first, after)):
            recorder.frame(index - first, frame)
            yield


@contextmanager
def _opened(
    timeline: Timeline,
    film: str | os.PathLike[str] | None,
    reader: str,
    opening: Opening,
    smallest: int = SMALLEST,
) -> Iterator[tuple[Video, VideoWriter]]:
    """The film of a timeline, enlarged if it is very small, and a recorder for it."""
    path = timeline.source if film is None else film
    with _found(path, reader, opening) as video:
        short = min(video.width, video.height)
        if abs(video.duration - (timeline.duration or 0.0)) > SAME_LENGTH:
            raise InputError(
                f"{os.fspath(path)}: lasts {video.duration:.2f} s, and the film of the timeline "
                f"{timeline.duration:.2f} s",
                hint="name the film that the timeline is about with --film",
            )
        if short >= smallest:
            with VideoWriter(video) as recorder:
                yield video, recorder
            return
    with (
        opening(path, reader=reader, short_side=smallest) as larger,
        VideoWriter(larger) as recorder,
    ):
        yield larger, recorder


def _found(path: str | os.PathLike[str], reader: str, opening: Opening) -> Video:
    if not os.path.lexists(path):
        raise InputError(
            f"{os.fspath(path)}: the film is not there", hint="say where it is with --film"
        )
    return opening(path, reader=reader)


def _part(timeline: Timeline, video: Video) -> Window:
    """What the timeline covers, from its first window to its last."""
    start = timeline.windows[0].start if timeline.windows else 0.0
    stop = max((w.stop for w in timeline.windows), default=video.duration)
    usual = video.duration / video.frames
    return Window(start, video.duration if stop > video.duration - usual else stop)


def _frames(video: Video, part: Window) -> tuple[int, int]:
    """First frame and frame after the last that begin in a part, in whole milliseconds."""
    edges = np.array([part.start, part.stop]) - 5e-4
    first, after = np.searchsorted(video.times, edges).tolist()
    return first, after if part.stop < video.duration - 5e-4 else video.frames


def _heard(sound: AudioSource) -> Iterator[str]:
    if sound.codec and not sound.heard:
        yield f"without its sound, which is {sound.codec}: not known here"
    elif sound.heard and not sound.copied:
        yield f"its sound, which is {sound.codec}, was encoded as AAC"


def _spelled(overlay: Overlay) -> Iterator[str]:
    if overlay.missing:
        signs = ", ".join(ascii(sign)[1:-1] for sign in sorted(overlay.missing)[:5])
        yield f"no font here has {signs}; labels with them are spelled so"
