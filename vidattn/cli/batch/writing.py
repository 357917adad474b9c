"""Where the results of a run go, and how they get there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from vidattn.cli.batch.names import place_of
from vidattn.cli.batch.videos import MP4, Films
from vidattn.errors import UsageError
from vidattn.io.files import make_folder, writing
from vidattn.video import open_video

if TYPE_CHECKING:
    from vidattn.timeline import Timeline
    from vidattn.timeline.explanation import Explanation
    from vidattn.video import Opening


@dataclass(frozen=True)
class Delivery:
    """Where the results of a run go."""

    json: bool
    """Print documents instead of text."""
    formats: tuple[str, ...]
    """Files to write for each input."""
    folder: Path
    named: bool = False
    """Whether the folder was named, and not just happens to be the current one."""
    films: Films = field(default_factory=Films)
    explain: Callable[[Timeline], Sequence[Explanation]] | None = None
    """What a report says of what labels rest on; None: nothing."""

    @classmethod
    def of(
        cls, *, as_json: bool, formats: str | None, folder: Path | None, default: str
    ) -> Delivery:
        """From the options of a command; `default` are the formats when none are named.

        With `--json` and neither -f nor -o no files are written. Raises UsageError for a format
        that does not exist.
        """
        from vidattn import output

        if formats is None:
            formats = "" if as_json and folder is None else default
        if formats == "" and folder is not None:
            formats = "json"
        names = tuple(dict.fromkeys(name.strip().lower() for name in formats.split(",") if name))
        if not names and formats:
            raise UsageError(f"-f {formats!r}: names no format")
        for name in names:
            if name not in output.WRITERS and name != MP4:
                known = ", ".join((*output.WRITERS, MP4))
                raise UsageError(f"-f {name}: no such format", hint=f"there are {known}")
        films = Films(annotated=MP4 in names)
        texts = tuple(name for name in names if name != MP4)
        return cls(as_json, texts, folder or Path(), folder is not None, films)

    def cutting(self, clips: Path | None, *, exact: bool, film: str | None = None) -> Delivery:
        """With clips, too, and the place of the film; raises UsageError as `Films.checked`."""
        films = replace(self.films, clips=clips, exact=exact, film=film)
        return replace(self, films=films.checked())

    def files(self, name: str) -> dict[str, Path]:
        """By format, the files of a name."""
        from vidattn import output

        return {
            fmt: place_of(self.folder, name, output.WRITERS[fmt].extension) for fmt in self.formats
        }

    def write(
        self, timeline: Timeline, files: Mapping[str, Path], opening: Opening = open_video
    ) -> list[Path]:
        """Write the files of a timeline, by format; returns their paths. Raises OutputError.

        json comes last: it says that all the others are there, and of this run.
        """
        from vidattn import output
        from vidattn.output.thumbnails import thumbnails

        for fmt, file in sorted(files.items(), key=lambda item: item[0] == "json"):
            output.write(
                timeline,
                file,
                fmt,
                stills=thumbnails(timeline, opening=opening) if fmt == "html" else None,
                explained=self.explain(timeline) if fmt == "html" and self.explain else (),
            )
        return list(files.values())


def require_writable(folder: Path) -> None:
    """Find out now, not after hours of work. Raises OutputError."""
    with writing(folder, hint="choose a folder that can be written with -o"):
        make_folder(folder)
        TemporaryFile(dir=folder).close()
