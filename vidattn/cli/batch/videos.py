"""Films of a timeline, `-f mp4` and `--clips`: made when all other files are there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from vidattn.cli.terminal.console import Console
from vidattn.errors import OutputError, UsageError
from vidattn.video import open_video

if TYPE_CHECKING:
    from vidattn.output.video.annotate import FileMade, FrameDrawn
    from vidattn.timeline import Timeline
    from vidattn.video import Opening

MP4 = "mp4"
"""The format that is no text but a film."""


@dataclass(frozen=True)
class Films:
    """What films are wanted of each timeline; false when none are."""

    annotated: bool = False
    clips: Path | None = None
    """Where clips go, if they are wanted."""
    exact: bool = False
    film: str | None = None
    """Where the film is, if not where the timeline says."""

    def __bool__(self) -> bool:
        return self.annotated or self.clips is not None

    def checked(self) -> Films:
        """The same; raises UsageError when an option is about a film that nobody asked for."""
        if self.exact and self.clips is None:
            raise UsageError("--clips-exact is about clips", hint="add --clips DIR")
        if self.film is not None and not self:
            raise UsageError("--film is for -f mp4 and --clips", hint="add one of them")
        return self

    def make(
        self,
        desk: Console,
        timeline: Timeline,
        name: str,
        path: Path,
        opening: Opening = open_video,
    ) -> None:
        """Make the films of a timeline and say so.

        path: of the annotated one. name: what clips are called after. opening: who opens the film.
        Raises as `vidattn.output.video.annotate`.
        """
        if not self:
            return
        from vidattn.output.video import annotate

        source = timeline.source if self.film is None else self.film
        if self.annotated:
            if path.exists() and Path(source).exists() and path.samefile(source):
                raise OutputError(
                    f"{path}: is the film itself", hint="choose another folder with -o"
                )
            events = annotate.annotate_events(timeline, path, film=self.film, opening=opening)
            made = _followed(desk, f"{source}, making a film", events)
            notes = "; ".join(made[0].notes)
            desk.note(f"wrote {path}" + f" ({notes})" * bool(notes))
        if self.clips is not None:
            self._cut(desk, timeline, self.clips, name, opening)

    def make_missing(
        self, desk: Console, timeline: Timeline, name: str, path: Path, opening: Opening
    ) -> None:
        """As `make`, of what is not there, not whole or of another timeline; clips are cut unless
        all of them are there and of this one."""
        if not self:
            return
        from vidattn.output.video.annotate import excerpt_paths, is_annotation_of

        clips = self.clips
        if clips is not None:
            folder, inner = clips / PurePath(name).parent, PurePath(name).name
            places = [place for _, place in excerpt_paths(timeline, folder, f"{inner}.mp4")]
            if all(is_annotation_of(timeline, place, exact=self.exact) for place in places):
                clips = None
        annotated = self.annotated and not is_annotation_of(timeline, path)
        missing = replace(self, annotated=annotated, clips=clips)
        missing.make(desk, timeline, name, path, opening)

    def _cut(
        self, desk: Console, timeline: Timeline, clips: Path, name: str, opening: Opening
    ) -> None:
        from vidattn.output.video import annotate

        events = annotate.excerpt_events(
            timeline,
            clips / PurePath(name).parent,
            name=f"{PurePath(name).name}.mp4",
            film=self.film,
            exact=self.exact,
            opening=opening,
        )
        title = f"{self.film or timeline.source}, cutting"
        desk.note(_told(_followed(desk, title, events), clips))


def _followed(
    desk: Console, title: str, events: Generator[FrameDrawn | FileMade, None, None]
) -> list[FileMade]:
    """Show how far the work is; what was made. A stop between two frames leaves no half film."""
    from vidattn.output.video.annotate import FileMade

    made: list[FileMade] = []
    with closing(events):
        first = next(events, None)
        if first is None or isinstance(first, FileMade):
            return [] if first is None else [first]  # a film whose every frame is lost
        with desk.progress(title, first.frames) as track:
            for event in chain([first], events):
                if isinstance(event, FileMade):
                    made.append(event)
                else:
                    track.step()
    return made


def _told(made: list[FileMade], folder: Path) -> str:
    from vidattn.output.video.annotate import TOLERANCE

    copied = sum(clip.copied for clip in made)
    words = []
    if copied:
        words.append(f"{copied} copied, edges up to {TOLERANCE:g} s off")
    if copied < len(made):
        words.append(f"{len(made) - copied} encoded anew, exact to the frame")
    count = "1 clip" if len(made) == 1 else f"{len(made)} clips"
    return f"wrote {count} to {folder}" + f" ({'; '.join(words)})" * bool(words)
