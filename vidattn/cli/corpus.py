"""Many inputs in one run: each on its own, none lost, one exit code for all."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from vidattn.cli.console import Desk
from vidattn.cli.stopping import Stopped
from vidattn.errors import InputError, MemoryLimitError, OutputError, UsageError, VideoError

if TYPE_CHECKING:
    from vidattn.timeline import Timeline

DONE, FAILED, INCOMPLETE = 0, 3, 4


@dataclass(frozen=True)
class Delivery:
    """Where the results of a run go."""

    json: bool
    """Print documents instead of text."""
    formats: tuple[str, ...]
    """Files to write for each input."""
    folder: Path

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
            if name not in output.FORMATS:
                raise UsageError(
                    f"-f {name}: no such format", hint="there are " + ", ".join(output.FORMATS)
                )
        return cls(as_json, names, folder or Path())


def run(
    desk: Desk,
    paths: Sequence[str],
    act: Callable[[str, Callable[[Timeline], None]], Timeline],
    show: Callable[[Timeline], None],
    delivery: Delivery,
) -> int:
    """Do `act` to every path and return the exit code.

    `act(path, deliver)` hands the timeline of a path to `deliver` as soon as it is there, or what
    there is of it when a signal stops it, and returns it. An input that fails is reported and the
    others go on: 0 when all is well, 3 when nothing came of any input, 4 when something is missing.
    """
    if delivery.formats:
        require_writable(delivery.folder)
    names = file_names(paths)
    whole = partial = 0
    for path in paths:

        def deliver(timeline: Timeline, path: str = path) -> None:
            _deliver(desk, timeline, names[path], show, delivery, several=len(paths) > 1)

        try:
            timeline = act(path, deliver)
        except InputError as error:
            desk.fail(error)
            if delivery.json and len(paths) > 1:
                desk.emit(_failure(path, error))
            continue
        except MemoryError:
            raise MemoryLimitError(
                f"{path}: out of memory", hint="ask for fewer --frames, or a smaller model"
            ) from None
        except Stopped:
            desk.warn(f"stopped during {path}; {whole + partial} of {len(paths)} inputs are done")
            raise
        for window, code in timeline.unreadable:
            desk.warn(f"{path}: {window.start:.2f} to {window.stop:.2f} s not seen ({code})")
        whole, partial = whole + (not timeline.unreadable), partial + bool(timeline.unreadable)
    if whole == len(paths):
        return DONE
    if len(paths) > 1:
        desk.warn(
            f"{whole} of {len(paths)} inputs complete, {partial} in part, "
            f"{len(paths) - whole - partial} failed"
        )
    return INCOMPLETE if whole + partial else FAILED


def require_writable(folder: Path) -> None:
    """Find out now, not after hours of work. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written: {error.strerror}",
            hint="choose a folder that can be written with -o",
        ) from None


def _deliver(
    desk: Desk,
    timeline: Timeline,
    name: str,
    show: Callable[[Timeline], None],
    delivery: Delivery,
    *,
    several: bool,
) -> None:
    from vidattn import output
    from vidattn.stills import stills

    # Files first: whatever happens to the reader of stdout, finished work is kept.
    written = [
        output.write(
            timeline,
            delivery.folder / output.file_name(name, output.EXTENSIONS.get(fmt, fmt)),
            fmt,
            stills=stills(timeline) if fmt == "html" else None,
        )
        for fmt in delivery.formats
    ]
    if delivery.json:
        desk.emit(timeline.to_json(indent=None if several else 2, run=True))
    else:
        show(timeline)
    if written:
        desk.note("wrote " + ", ".join(map(str, written)))


def _failure(path: str, error: InputError) -> str:
    code = error.code if isinstance(error, VideoError) else "E_INPUT"
    record = {"path": path, "code": code, "message": error.message, "hint": error.hint}
    return json.dumps({"schema": "vidattn/failure/1", "input": {"path": path}, "error": record})


def file_names(paths: Sequence[str]) -> dict[str, str]:
    """The name whose stem the output files of each path get: two inputs never share one."""
    stems = [Path(path).stem.removesuffix(".vidattn") for path in paths]
    shared = {stem for stem, count in Counter(stems).items() if count > 1}
    return {
        path: f"{stem}-{_digest(path)}.x" if stem in shared else f"{stem}.x"
        for path, stem in zip(paths, stems, strict=True)
    }


def _digest(path: str) -> str:
    return hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:8]
