"""Mirrors of published weights, for machines without a network: written, and checked.

A mirror is a folder with a folder for each model, and a list of digests that `sha256sum -c` reads.
$VIDATTN_MIRROR names it, or the address under which a web server offers it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from vidattn.errors import WeightsError
from vidattn.io.digest import sha256_file
from vidattn.io.files import is_file, read_file, reading, replacing_file, write_atomically
from vidattn.weights import catalog, download, sources
from vidattn.weights.catalog_entry import CatalogEntry

SUMS = "SHA256SUMS"
"""The list of digests."""
HUB_FILES = (*sources.HUB_SETTINGS, "README.md", *download.HUB_WEIGHTS)


def is_mirror(folder: Path) -> bool:
    """Whether `copy_weights` has written to a folder."""
    return is_file(folder / SUMS)


def copy_weights(
    entry: CatalogEntry,
    mirror: Path,
    *,
    announce: sources.Announce | None = None,
    progress: download.Progress | None = None,
) -> list[Path]:
    """Put the files of an entry into a mirror, from this machine or the first source.

    Returns their paths. Raises UnavailableError if no source has them, and OutputError.
    """
    sums = _read_sums(mirror) if is_mirror(mirror) else {}
    paths = [mirror / name for name in sums if name.startswith(f"{entry.name}/")]
    if paths and all(map(is_file, paths)):
        return paths
    folder = mirror / entry.name
    found, source = sources.fetch(entry, folder=folder, announce=announce, progress=progress)
    if source.is_url:
        originals = {folder / sources.file_name(source): found}
    else:
        originals = {folder / name: found / name for name in HUB_FILES if is_file(found / name)}
    for path, original in originals.items():
        if path != original:
            with replacing_file(path) as part:
                shutil.copyfile(original, part)
        sums[path.relative_to(mirror).as_posix()] = sha256_file(path)
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items()))
    write_atomically(mirror / SUMS, text.encode())
    return list(originals)


def check_mirror(mirror: Path) -> Iterator[tuple[str, str]]:
    """Each file of a mirror, such as "stam-16-k400/stam_16.pth", and what is wrong with it or "".

    Raises WeightsError for a broken list of digests.
    """
    for name, expected in sorted(_read_sums(mirror).items()):
        path, entry = mirror / name, catalog.CATALOG.get(name.split("/")[0])
        if not is_file(path):
            yield name, "missing"
            continue
        with reading(path, WeightsError):
            actual = sha256_file(path)
        published = [
            source.sha256
            for source in (entry.sources if entry else ())
            if source.is_url and sources.file_name(source) == path.name
        ]
        if actual != expected:
            yield name, f"its sha256 is {actual}, listed is {expected}"
        elif published and not actual.startswith(published[0]):
            yield name, f"its sha256 is {actual}, published is {published[0]}"
        else:
            yield name, ""


def _read_sums(mirror: Path) -> dict[str, str]:
    """Digests by the path of their file in the mirror."""
    path = mirror / SUMS
    with reading(path, WeightsError):
        lines = read_file(path).decode("utf-8", "replace").splitlines()
    sums = {}
    for line in lines:
        sha256, _, name = line.partition("  ")
        if len(sha256) != 64 or ".." in name.split("/") or name.startswith("/"):
            raise WeightsError(f"{path}: not a list of digests", hint="sha256sum writes such lists")
        sums[name] = sha256
    return sums
