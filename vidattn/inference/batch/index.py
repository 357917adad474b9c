"""index.html of a batch run, beside the reports that it leads to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from vidattn.errors import InputError, VidattnError
from vidattn.inference.batch.events import reason_code
from vidattn.inference.batch.groups import parse_groups
from vidattn.inference.batch.job import BatchJob
from vidattn.inference.batch.results import load_timeline
from vidattn.io.files import is_file, read_file, write_atomically
from vidattn.io.search import is_video
from vidattn.timeline import Timeline

if TYPE_CHECKING:
    from vidattn.output.report.index import IndexEntry

NAME = "index.html"
MARK = b'<meta name="generator" content="vidattn">'


class RunIndex:
    """Collects the outcomes of a run that has several inputs, reports and an output folder."""

    def __init__(self, job: BatchJob) -> None:
        self._job = job
        self._wanted = (
            job.several
            and not job.sources
            and job.output.folder is not None
            and "html" in job.output.formats
        )
        how = job.output.group_by
        self._group = None if how is None else parse_groups(how)
        for path in job.paths:
            if self._group is not None and is_video(Path(path).name):
                self._group(path, "")  # an error comes before the work
        self._entries: dict[tuple[str, str], IndexEntry] = {}
        """By path and area."""
        self._failures: dict[str, VidattnError] = {}

    def add(self, path: str, timeline: Timeline) -> None:
        """Take a result."""
        from vidattn.output.report.index import IndexEntry

        if self._wanted:
            roi = timeline.settings.roi if self._job.areas else None
            report = os.path.relpath(
                self._job.of_area(roi or "").place(path, "html"), self._job.folder
            )
            address = quote(report.encode("utf-8", "surrogateescape"))
            title = f"{path}: {roi}" if roi else path
            group = self._group(timeline.source, roi or "") if self._group else ""
            self._entries[path, roi or ""] = IndexEntry.of(title, address, timeline, group)

    def fail(self, path: str, error: VidattnError) -> None:
        """Take a failure."""
        self._failures[path] = error

    def write(self) -> Path | None:
        """Write the page of this run and of results of other shards; None where there is none.

        A page of another origin is kept. Raises OutputError.
        """
        from vidattn.output.report.index import index_page

        place = self._job.folder / NAME
        if not self._wanted or (
            is_file(place) and MARK not in read_file(place, regular=True)[:4000]
        ):
            return None
        pairs = [(path, area) for path in self._job.names for area in self._job.areas or ("",)]
        for path, area in pairs:
            if (path, area) not in self._entries and path not in self._failures:
                self._add_saved(path, area)
        order = [self._entries[pair] for pair in pairs if pair in self._entries]
        failures = [(p, reason_code(e), e.message) for p, e in sorted(self._failures.items())]
        title = self._job.folder.resolve().name or "results"
        page = index_page(title, order, failures)
        return write_atomically(place, page.encode("utf-8", "backslashreplace"))

    def _add_saved(self, path: str, area: str) -> None:
        """Take the result of another shard, if it is there."""
        saved = self._job.of_area(area).place(path, "json")
        if is_file(saved):
            try:
                self.add(path, load_timeline(saved))
            except InputError:
                return
