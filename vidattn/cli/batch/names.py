"""Where the results of every input go: two inputs never share a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from vidattn.cli.batch.inputs import Input
from vidattn.io.digest import sha256


def names_of(inputs: Sequence[Input]) -> dict[str, str]:
    """For each path a name below the folder of results, whose stem its files get.

    It depends on nothing but the path, unless inputs would share it: then their extensions stay in
    it, and where those are the same too, a digest of the path comes in.
    """
    short = {one.path: str(PurePath(one.folder, _stem(one.path))) for one in inputs}
    shared = _shared(short.values())
    longer = {
        one.path: str(PurePath(one.folder, PurePath(one.path).name)) if name in shared else name
        for one, name in zip(inputs, short.values(), strict=True)
    }
    shared = _shared(longer.values())
    return {
        path: f"{short[path]}-{sha256(path, 8)}" if name in shared else name
        for path, name in longer.items()
    }


def place_of(folder: Path, name: str, extension: str) -> Path:
    """The file of a name of `names_of`: out, "a/movie", "json" -> out/a/movie.vidattn.json."""
    from vidattn.output.file_names import file_name

    inner = PurePath(name)
    # What follows the last point would be taken for the extension of a video.
    return folder / inner.parent / file_name(inner.name, extension, keep_extension=True)


def _stem(path: str) -> str:
    return PurePath(path).stem.removesuffix(".vidattn") or "video"


def _shared(names: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}
