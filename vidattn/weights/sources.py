"""The weights of a catalog entry, from the first source that has them, and mirrors of them.

$VIDATTN_MIRROR comes first: a folder, an http(s) address, or an organization on the Hugging Face
hub, with a folder for each model that holds the files of one of its sources under their own names.
The sources of the catalog follow in their order. `copy_weights` writes such a folder for machines
without a network, with a list of digests that `sha256sum -c` reads.
"""

from __future__ import annotations

import os
import re
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vidattn.errors import UsageError, WeightsError
from vidattn.io.files import (
    is_file,
    is_folder,
    read_file,
    reading,
    replacing_file,
    sha256_file,
    write_atomically,
)
from vidattn.weights import catalog, download
from vidattn.weights.catalog import CatalogEntry, WeightsSource
from vidattn.weights.download import HUB_WEIGHTS, UnavailableError, require_pinned

MIRROR = "VIDATTN_MIRROR"
HUB_SETTINGS = ("config.json", "preprocessor_config.json")
ORGANIZATION = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Download:
    """A download that begins: of which model, from where, and what has failed before."""

    entry: CatalogEntry
    place: str
    """The host, or which kind of mirror."""
    failed: tuple[str, ...] = ()
    """One message for each source that was tried before."""
    progress: bool = True
    """Whether progress is reported."""

    def __str__(self) -> str:
        entry = self.entry
        text = f"{entry.name} ({entry.license}, about {entry.megabytes} MB) from {self.place}"
        return "; before it: ".join([text, *["; ".join(self.failed)] * bool(self.failed)])


Announce = Callable[[Download], None]
"""Called before a source is tried, to show license and size."""


@dataclass(frozen=True)
class Candidate:
    """One way to get the files of a source."""

    source: WeightsSource
    place: str
    host: str
    get: Callable[[], Path]
    """Downloads. Raises UnavailableError, whose message may begin with the host."""
    progress: bool = False


def find_local(entry: CatalogEntry) -> tuple[Path, WeightsSource] | None:
    """The file or folder of an entry on this machine: in the cache, or in a folder of mirrors."""
    mirror = os.environ.get(MIRROR, "")
    folder = Path(mirror or "\0").expanduser() / entry.name
    for source in entry.sources:
        path = download.cache_path(source.location)
        if is_file(path) or find_weights(path):
            return path, source
    for source in entry.sources:
        path = folder / file_name(source) if source.is_url else folder
        if is_file(path) or (not source.is_url and find_weights(path)):
            return path, source
        with suppress(UnavailableError):
            if ORGANIZATION.fullmatch(mirror) and not is_folder(Path(mirror)):
                return _from_organization(mirror, entry, source, offline=True), source
        with suppress(UnavailableError):
            if not source.is_url:
                return download.download_folder(source.location, offline=True), source
    return None


def fetch(
    entry: CatalogEntry,
    *,
    offline: bool = False,
    folder: Path | None = None,
    announce: Announce | None = None,
    progress: download.Progress | None = None,
) -> tuple[Path, WeightsSource]:
    """The file or folder with the weights of an entry, and the source that it comes from.

    folder: where a file is downloaded to, by default the cache; the hub has its own. Raises
    UnavailableError that names all sources if none has the weights, OutputError when the disk is
    full, and UsageError for a mirror that is none.
    """
    if local := find_local(entry):
        return local
    mirror, hint = os.environ.get(MIRROR, ""), ""
    failed = [f"{MIRROR}: it lacks {entry.name}"] * is_folder(Path(mirror or "\0").expanduser())
    if download.is_offline(offline):
        hint = f"on a machine with a network: vidattn models download {entry.name}"
        raise UnavailableError("; ".join([*failed, "not downloaded yet, and offline"]), hint=hint)
    for candidate in _list_candidates(entry, folder, progress):
        if announce:
            announce(Download(entry, candidate.place, tuple(failed), candidate.progress))
        try:
            return candidate.get(), candidate.source
        except UnavailableError as error:
            failed.append(f"{candidate.place}: {error.message.removeprefix(f'{candidate.host}: ')}")
            hint = hint or error.hint or ""
    raise UnavailableError("; ".join(failed), hint=hint or None)


def _list_candidates(
    entry: CatalogEntry, folder: Path | None, progress: download.Progress | None
) -> Iterator[Candidate]:
    """All ways to download an entry, in their order."""
    mirror = os.environ.get(MIRROR, "")
    if mirror.startswith(("https://", "http://")):
        host = download.host_of(mirror)
        for source in entry.sources:
            get = partial(_from_address, mirror, entry, source, folder, progress)
            yield Candidate(source, f"{MIRROR} ({host})", host, get, source.is_url)
    elif mirror and not is_folder(Path(mirror).expanduser()):
        if not ORGANIZATION.fullmatch(mirror):
            hint = "a folder, an address (https://...), or an organization of the Hugging Face hub"
            raise UsageError(f"{MIRROR}: there is no such folder", hint=hint)
        for source in entry.sources:
            get = partial(_from_organization, mirror, entry, source)
            yield Candidate(source, f"{MIRROR} ({download.hub_host()})", download.hub_host(), get)
    for source in entry.sources:
        host = download.host_of(source.location) if source.is_url else download.hub_host()
        yield Candidate(
            source, host, host, partial(_from_source, source, folder, progress), source.is_url
        )


def _from_source(
    source: WeightsSource, folder: Path | None, progress: download.Progress | None
) -> Path:
    if not source.is_url:
        return _require_same(download.download_folder(source.location), source)
    path = folder / file_name(source) if folder else None
    return download.download(source.location, sha256=source.sha256, path=path, progress=progress)


def _from_address(
    mirror: str,
    entry: CatalogEntry,
    source: WeightsSource,
    folder: Path | None,
    progress: download.Progress | None,
) -> Path:
    """From a mirror behind an address: the file, or the folder with the layout of the hub."""
    base = f"{mirror.rstrip('/')}/{entry.name}/"
    place = download.cache_path(source.location)
    known: Any = {"origin": source.location, "sha256": source.sha256, "progress": progress}
    if source.is_url:
        name = file_name(source)
        return download.download(base + name, path=folder / name if folder else place, **known)
    place = folder or place
    for name in HUB_SETTINGS:
        download.download(base + name, path=place / name)
    try:
        download.download(base + HUB_WEIGHTS[0], path=place / HUB_WEIGHTS[0], **known)
    except UnavailableError:
        download.download(base + HUB_WEIGHTS[1], path=place / HUB_WEIGHTS[1], **known)
    return place


def _from_organization(
    organization: str, entry: CatalogEntry, source: WeightsSource, *, offline: bool = False
) -> Path:
    """From a mirror on the hub."""
    hub_id = f"{organization}/{entry.name}"
    if not source.is_url:
        return _require_same(download.download_folder(hub_id, offline=offline), source)
    name = file_name(source)
    path = download.download_files(hub_id, [name], offline=offline) / name
    return _require_same(path, source)


def _require_same(path: Path, source: WeightsSource) -> Path:
    """The path again. Raises UnavailableError for weights other than the first from a source."""
    weights = path if is_file(path) else find_weights(path)
    if weights is None:
        raise UnavailableError("has no such file")
    sha256, place = sha256_file(weights), download.cache_path(source.location)
    try:
        require_pinned(place, sha256, source.sha256)
    except WeightsError as error:
        raise UnavailableError(f"sent another file: {error.message}", hint=error.hint) from error
    return path


def find_weights(folder: Path) -> Path | None:
    """The weights in a folder with the layout of the hub."""
    paths = (folder / name for name in HUB_WEIGHTS)
    return next((path for path in paths if is_file(path)), None)


def file_name(source: WeightsSource) -> str:
    """The name of the file behind a URL."""
    return Path(urllib.parse.urlsplit(source.location).path).name


SUMS = "SHA256SUMS"
"""The list of digests."""
HUB_FILES = (*HUB_SETTINGS, "README.md", *HUB_WEIGHTS)


def is_mirror(folder: Path) -> bool:
    """Whether `copy_weights` has written to a folder."""
    return is_file(folder / SUMS)


def copy_weights(
    entry: CatalogEntry,
    mirror: Path,
    *,
    announce: Announce | None = None,
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
    found, source = fetch(entry, folder=folder, announce=announce, progress=progress)
    if source.is_url:
        originals = {folder / file_name(source): found}
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
            if source.is_url and file_name(source) == path.name
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
