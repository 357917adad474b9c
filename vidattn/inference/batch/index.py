"""index.html of a batch run, beside the reports that it leads to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from vidattn.errors import InputError, VidattnError
from vidattn.inference.batch.events import reason_code
from vidattn.inference.batch.results import load_timeline
from vidattn.inference.batch.runner import BatchJob
from vidattn.io.files import is_file, read_file, write_atomically
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
            job.several and job.output.folder is not None and "html" in job.output.formats
        )
        self._entries: dict[str, IndexEntry] = {}
        self._failures: dict[str, VidattnError] = {}

    def add(self, path: str, timeline: Timeline) -> None:
        """Take a result."""
        from vidattn.output.report.index import IndexEntry

        if self._wanted:
            report = os.path.relpath(self._job.place(path, "html"), self._job.folder)
            address = quote(report.encode("utf-8", "surrogateescape"))
            self._entries[path] = IndexEntry.of(path, address, timeline)

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
        for path in self._job.names.keys() - self._entries.keys() - self._failures.keys():
            self._add_saved(path)
        order = [path for path in self._job.names if path in self._entries]
        failures = [(p, reason_code(e), e.message) for p, e in sorted(self._failures.items())]
        title = self._job.folder.resolve().name or "results"
        page = index_page(title, [self._entries[path] for path in order], failures)
        return write_atomically(place, page.encode("utf-8", "backslashreplace"))

    def _add_saved(self, path: str) -> None:
        """Take the result of another shard, if it is there."""
        saved = self._job.place(path, "json")
        if is_file(saved):
            try:
                self.add(path, load_timeline(saved))
            except InputError:
                return
