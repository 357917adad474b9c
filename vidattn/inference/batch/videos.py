"""Annotated videos and excerpts of a batch run, made when all other files are on disk."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path, PurePath

from vidattn.errors import OutputPathError
from vidattn.inference.batch.events import Note, ProgressStep
from vidattn.inference.batch.output_files import MP4, OutputFiles
from vidattn.io.files import exists
from vidattn.io.text import count_noun
from vidattn.output.video.annotate import (
    TOLERANCE,
    FileMade,
    FrameDrawn,
    annotate_events,
    excerpt_events,
    excerpt_paths,
    is_current_video,
)
from vidattn.timeline import Timeline
from vidattn.video import Opening

VideoEvents = Generator[ProgressStep | Note, None, None]


def write_videos(
    output: OutputFiles, timeline: Timeline, name: str, opening: Opening
) -> VideoEvents:
    """Write the videos of a timeline. Raises as `annotate_events`.

    name: as of `name_results`. A stop between two frames leaves no partial file.
    """
    video = output.video
    source = video or timeline.source
    if output.annotated:
        path = output.place(name, MP4)
        if exists(path) and exists(source) and path.samefile(source):
            raise OutputPathError(
                f"{path}: is the video itself", hint="choose another folder with -o"
            )
        events = annotate_events(timeline, path, video=video, opening=opening)
        (file,) = yield from _follow(f"{source}, drawing labels", events)
        notes = "; ".join(file.notes)
        yield Note(f"wrote {path}" + f" ({notes})" * bool(notes))
    if output.excerpts is not None:
        folder, inner = _excerpt_place(output.excerpts, name)
        exact = output.excerpts_exact
        events = excerpt_events(
            timeline, folder, name=inner, video=video, exact=exact, opening=opening
        )
        files = yield from _follow(f"{source}, cutting", events)
        yield Note(_describe_excerpts(files, output.excerpts))


def write_missing_videos(
    output: OutputFiles, timeline: Timeline, name: str, opening: Opening
) -> VideoEvents:
    """As `write_videos`, without those that exist, whole and of this timeline."""
    excerpts = output.excerpts
    if excerpts is not None:
        places = excerpt_paths(timeline, *_excerpt_place(excerpts, name))
        exact = output.excerpts_exact
        if all(is_current_video(timeline, place, exact=exact) for _, place in places):
            excerpts = None
    annotated = output.annotated and not is_current_video(timeline, output.place(name, MP4))
    if annotated or excerpts is not None:
        exact = output.excerpts_exact and excerpts is not None
        names = tuple(one for one in output.names if annotated or one != MP4)
        missing = replace(output, names=names, excerpts=excerpts, excerpts_exact=exact)
        yield from write_videos(missing, timeline, name, opening)


def _excerpt_place(folder: Path, name: str) -> tuple[Path, str]:
    return folder / PurePath(name).parent, f"{PurePath(name).name}.mp4"


def _follow(
    title: str, events: Generator[FrameDrawn | FileMade, None, None]
) -> Generator[ProgressStep, None, list[FileMade]]:
    files = []
    with closing(events):
        for event in events:
            if isinstance(event, FileMade):
                files.append(event)
            else:
                yield ProgressStep(title, event.frames)
    return files


def _describe_excerpts(files: list[FileMade], folder: Path) -> str:
    copied = sum(file.copied for file in files)
    words = []
    if copied:
        words.append(f"{copied} copied, edges up to {TOLERANCE:g} s off")
    if copied < len(files):
        words.append(f"{len(files) - copied} encoded anew, exact to the frame")
    return (
        f"wrote {count_noun(len(files), 'excerpt')} to {folder}"
        + f" ({'; '.join(words)})" * bool(words)
    )
