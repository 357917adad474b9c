"""Files of a batch run: formats, places, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePath
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from vidattn.errors import UsageError
from vidattn.io.files import is_file, make_folder, write_atomically, writing
from vidattn.io.signals import hold_signals
from vidattn.video import open_video

if TYPE_CHECKING:
    from vidattn.timeline import Timeline
    from vidattn.timeline.explanation import Explanation
    from vidattn.video import Opening

MP4 = "mp4"
"""The format of annotated videos; all others are text."""
TABLE, BUDGET, CAMTRAP = "table", "budget", "camtrap-dp"
"""The formats of one table for all inputs, of time budgets, and of a Camera Trap Data Package."""
OTHERS = (MP4, TABLE, BUDGET, CAMTRAP)
TABLE_SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class OutputFiles:
    """The files written for every input. Raises UsageError for options that contradict."""

    names: tuple[str, ...] = ("json",)
    """Formats: those of `vidattn.output.WRITERS`, MP4, TABLE, BUDGET and CAMTRAP."""
    folder: Path | None = None
    """Output folder; None for the current one, where no list of failures is written."""
    excerpts: Path | None = None
    """Folder for excerpts, an mp4 of each segment."""
    excerpts_exact: bool = False
    """Whether all excerpts are encoded anew, for frame-accurate edges."""
    video: str | None = None
    """Path of the video, if not the one in the timeline."""
    table: Path | None = None
    """File of one table for all inputs, csv or parquet; None: table.csv if TABLE is named."""
    group_by: str | None = None
    """How time budgets group videos (`vidattn.inference.batch.groups`)."""
    deployments: Path | None = None
    taxa: Path | None = None
    """Of a camera trap package: where its cameras were, and what labels mean
    (`vidattn.output.camtrap`)."""

    def __post_init__(self) -> None:
        if (self.package is None) != (self.deployments is None) or (self.taxa and not self.package):
            raise UsageError(
                "-f camtrap-dp and --deployments FILE belong together",
                hint="a csv of deploymentID,latitude,longitude,deploymentStart,deploymentEnd",
            )
        if self.package is not None and self.deployments is not None:
            own = self.package.with_name("deployments.csv")
            if own.resolve() == self.deployments.resolve():
                raise UsageError(
                    f"--deployments {self.deployments}: the package writes this file, with the "
                    "deployments of its own results alone",
                    hint="give a copy of it, or another folder with -o",
                )
        if self.group_by is not None and self.budget is None:
            raise UsageError("--group-by groups time budgets", hint="add -f budget")
        if self.table is None and TABLE in self.names:
            object.__setattr__(self, "table", (self.folder or Path()) / "table.csv")
        if self.table is not None:
            _require_table(self.table)
        if self.excerpts_exact and self.excerpts is None:
            raise UsageError("--excerpts-exact needs excerpts", hint="add --excerpts DIR")
        if self.video is not None and not self.has_videos:
            raise UsageError("--video is for -f mp4 and --excerpts", hint="add one of them")

    @property
    def formats(self) -> tuple[str, ...]:
        """The text formats, a file of each input."""
        return tuple(name for name in self.names if name not in OTHERS)

    @property
    def annotated(self) -> bool:
        """Whether the video is written with its labels drawn in."""
        return MP4 in self.names

    @property
    def budget(self) -> Path | None:
        """File of the time budgets of all inputs."""
        return (self.folder or Path()) / "budget.csv" if BUDGET in self.names else None

    @property
    def package(self) -> Path | None:
        """The datapackage.json of a Camera Trap Data Package."""
        place = (self.folder or Path()) / CAMTRAP / "datapackage.json"
        return place if CAMTRAP in self.names else None

    @property
    def tables(self) -> tuple[Path, ...]:
        """The files about all inputs."""
        return tuple(p for p in (self.table, self.budget, self.package) if p is not None)

    @property
    def has_videos(self) -> bool:
        """Whether videos are written."""
        return self.annotated or self.excerpts is not None

    def place(self, name: str, extension: str) -> Path:
        """The file of a name of `name_results`: "a/movie", "json" -> out/a/movie.vidattn.json."""
        from vidattn.output.file_names import file_name

        inner = PurePath(name)
        # file_name would take what follows the last dot of a name for the extension of a video.
        file = file_name(inner.name, extension, keep_extension=True)
        return (self.folder or Path()) / inner.parent / file

    def files(self, name: str) -> dict[str, Path]:
        """The text files of a name, by format."""
        from vidattn.output import WRITERS

        return {fmt: self.place(name, WRITERS[fmt].extension) for fmt in self.formats}

    def require_writable(self) -> None:
        """Raise OutputError, before hours of work, for a folder that cannot be written."""
        if self.formats or self.annotated:
            require_writable(self.folder or Path())
        if self.excerpts is not None:
            require_writable(self.excerpts)
        for place in self.tables:  # a package makes its own folder, unless it has no rows
            require_writable(place.parents[place == self.package])


def parse_formats(given: str | Iterable[str]) -> tuple[str, ...]:
    """The names in "json,srt,mp4" or a list of them; "" has none. Raises UsageError."""
    from vidattn.output import WRITERS

    several = isinstance(given, Iterable) and not isinstance(given, str)
    texts = list(given) if several else [given]
    words = [word for text in texts for word in str(text).split(",") if word]
    names = tuple(dict.fromkeys(word.strip().lower() for word in words))
    if not names and any(texts):
        raise UsageError(f"-f {given!r}: names no format")
    for name in names:
        if name not in WRITERS and name not in OTHERS:
            known = ", ".join((*WRITERS, *OTHERS))
            raise UsageError(f"-f {name}: no such format", hint=f"there are {known}")
    return names


def write_files(
    timeline: Timeline,
    files: Mapping[str, Path],
    explanations: Sequence[Explanation] = (),
    opening: Opening = open_video,
) -> tuple[Path, ...]:
    """Write the text files of a timeline, by format; returns their paths. Raises OutputError.

    A signal that comes meanwhile leaves all of them or none. json comes last: it is the proof that
    all others exist.
    """
    from vidattn.output import encode
    from vidattn.output.thumbnails import thumbnails

    texts = {}
    for fmt, file in files.items():
        page = {}
        if fmt == "html":
            page = {"stills": thumbnails(timeline, opening=opening), "explained": explanations}
        texts[fmt] = encode(timeline, file, fmt, **page)
    with hold_signals():
        for fmt, file in sorted(files.items(), key=lambda item: item[0] == "json"):
            write_atomically(file, texts[fmt])
    return tuple(files.values())


def find_stale(timeline: Timeline, output: OutputFiles, name: str) -> list[Path]:
    """Files that lie beside those of a name and are of another run: in formats that are not written
    now, and not what this timeline gives."""
    from vidattn.output import WRITERS, is_current

    others = {fmt: output.place(name, WRITERS[fmt].extension) for fmt in WRITERS}
    return [
        place
        for fmt, place in others.items()
        if fmt not in output.formats and is_file(place) and not is_current(timeline, place, fmt)
    ]


def require_writable(folder: Path) -> None:
    """Raise OutputError when a folder cannot be made or written."""
    with writing(folder, hint="choose a folder that can be written with -o"):
        make_folder(folder)
        TemporaryFile(dir=folder).close()


def _require_table(path: Path) -> None:
    """Raise UsageError for a table that cannot be made here."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise UsageError(f"--table {path}: is neither .csv nor .parquet")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise UsageError(
            f"--table {path}: pyarrow is not installed", hint="pip install 'vidattn[parquet]'"
        )
