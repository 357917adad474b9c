"""A Camera Trap Data Package of a whole batch run (`-f camtrap-dp`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from vidattn.data.labeled_dataset import name_first
from vidattn.inference.batch.run_files import RunFile, Spool, create_part, reading_values
from vidattn.io.files import replacing_file, write_atomically
from vidattn.io.text import count_noun
from vidattn.output.camtrap import (
    MEDIA,
    OBSERVATIONS,
    CamtrapPackage,
    csv_rows,
    read_deployments,
    read_taxa,
)


class RunPackage(RunFile):
    """Collects results, each segment of which is an observation, and writes the package."""

    def __init__(self, place: Path, deployments: Path, taxa: Path | None = None) -> None:
        """place: its datapackage.json. Raises DataError for a wrong table."""
        super().__init__(place)
        meanings = None if taxa is None else read_taxa(taxa)
        self._package = CamtrapPackage(read_deployments(deployments), meanings)
        self._media = Spool()
        self._used: dict[str, tuple[str, str]] = {}
        """The deployment of each result, and its media file."""
        self._species: dict[str, None] = {}

    def foresee(self, paths: Sequence[str]) -> list[str]:
        """As of `RunFile`: videos of no deployment."""
        lost = [path for path in paths if self._package.find_deployment(path) is None]
        if not lost:
            return []
        count = count_noun(len(lost), "video")
        return [f"{self.place}: will lack {count} of no deployment: {name_first(lost)}"]

    def add(self, path: str, document: Mapping[str, Any]) -> None:
        """As of `RunFile`. Raises DataError as `CamtrapPackage.observe`."""
        with reading_values(path):
            media, observations = self._package.observe(document)
            self._media[media["mediaID"]] = csv_rows(MEDIA, [media])
            self._rows[path] = csv_rows(OBSERVATIONS, observations)
            self._used[path] = media["deploymentID"], media["mediaID"]
            names = (row.get("scientificName") for row in observations)
            self._species |= dict.fromkeys(name for name in names if name)

    @property
    def lock(self) -> Path:
        """Outside of its folder, which is not made for nothing."""
        return self.place.parent.with_name(f".{self.place.parent.name}.lock")

    def _write(self, order: Iterable[str]) -> None:
        paths = [path for path in order if path in self]
        files = dict.fromkeys(self._used[path][1] for path in paths)
        used = dict.fromkeys(self._used[path][0] for path in paths)
        folder = self.place.parent
        write_atomically(folder / "deployments.csv", self._package.deployments(used))
        for name, columns, spool, rows in (
            ("media", MEDIA, self._media, files),
            ("observations", OBSERVATIONS, self._rows, paths),
        ):
            with replacing_file(folder / f"{name}.csv") as part, create_part(part) as file:
                _copy(file, columns, spool, rows)
        document = self._package.describe(self.place, used, self._species)
        write_atomically(self.place, document)


def _copy(file: IO[bytes], columns: Iterable[str], spool: Spool, names: Iterable[str]) -> None:
    file.write((",".join(columns) + "\n").encode())
    for name in names:
        file.write(spool[name])
