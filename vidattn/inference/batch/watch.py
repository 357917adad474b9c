"""Watching folders: a video is done once it has stopped growing, until the run is stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from vidattn.errors import StopWork
from vidattn.inference.batch.events import (
    BatchEvent,
    BatchEvents,
    Done,
    Failed,
    Note,
    Skipped,
    observe,
)
from vidattn.inference.batch.inputs import VideoInput, find_videos, name_results
from vidattn.inference.batch.job import BatchJob
from vidattn.io.text import count_noun

LONGEST_PAUSE = 5.0
"""Seconds between two looks at a folder."""
Stamp = tuple[int, int]
"""Size and modification time of a file."""


def watch_inputs(job: BatchJob, run: Callable[[BatchJob], BatchEvents]) -> BatchEvents:
    """The events of `run` for all videos of a job, and for every one that comes later.

    Never ends by itself: a signal or Ctrl-C while it waits ends it, one during the work on a video
    goes on. A video that another process works on is looked at again later.
    """
    settle = job.settle or 0.0
    watch, waiting = FolderWatch(job.sources, settle), False
    pause = min(max(settle / 2, 0.05), LONGEST_PAUSE)
    while True:
        ready, known = watch.look()
        if ready:
            waiting = False
            paths = tuple(one.path for one in ready)
            names = name_results(known)
            events = run(replace(job, paths=paths, names=names, settle=None))
            yield from observe(events, watch.take)
        elif not waiting:
            waiting = True
            done = count_noun(watch.done, "video")
            yield Note(f"{done} seen; waiting for more in {' '.join(job.sources)}")
        try:
            wait(pause)
        except (StopWork, KeyboardInterrupt):
            return


def wait(seconds: float) -> None:
    """Do nothing for a while."""
    time.sleep(seconds)


class FolderWatch:
    """The videos below folders, or of patterns, that have stopped growing.

    settle: seconds without a change of size or time after which a file is complete.
    """

    def __init__(
        self, sources: Sequence[str], settle: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sources, self._settle, self._clock = sources, settle, clock
        self._seen: dict[str, tuple[Stamp, float]] = {}
        """For each path its last stamp, and since when it has had that."""
        self._done: dict[str, Stamp] = {}

    @property
    def done(self) -> int:
        """Videos that have an outcome."""
        return len(self._done)

    def look(self) -> tuple[list[VideoInput], list[VideoInput]]:
        """The videos that are complete and not yet done, and all that are there."""
        known = find_videos(self._sources, or_later=True)
        now = self._clock()
        return [one for one in known if self._is_ready(one.path, now)], known

    def _is_ready(self, path: str, now: float) -> bool:
        try:
            status = os.stat(path)  # noqa: PTH116 - any path
        except OSError:
            return False
        stamp = status.st_size, status.st_mtime_ns
        if self._done.get(path) == stamp:
            return False
        last, since = self._seen.get(path, (None, now))
        if last != stamp:
            age = max(0.0, time.time() - status.st_mtime) if last is None else 0.0
            since = now - age
            self._seen[path] = stamp, since
        return now - since >= self._settle

    def take(self, event: BatchEvent) -> None:
        """A video with an outcome comes again when it changes."""
        if isinstance(event, Done | Skipped | Failed):
            self._done[event.path] = self._seen[event.path][0]
