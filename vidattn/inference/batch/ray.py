"""A batch run on the machines of a Ray cluster.

The unit of work is a path: a worker decodes the video, runs the model and writes the results to a
folder that all machines share. When a worker dies, with its machine or alone, its path goes to the
front of the queue, and another worker resumes it. A path that ends three workers is failed.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any

from vidattn.errors import DistributedError, OutputError, UsageError, VidattnError, VideoError
from vidattn.inference.batch.areas import take_areas
from vidattn.inference.batch.events import (
    BatchEvent,
    BatchEvents,
    Failed,
    Note,
    NoteTaker,
    ProgressStep,
)
from vidattn.inference.batch.job import BatchJob
from vidattn.inference.batch.runner import list_failure
from vidattn.inference.events import Finished, Scored, Started
from vidattn.io.text import count_noun
from vidattn.video import Limits, Prefetcher

if TYPE_CHECKING:
    from vidattn.inference.batch.job import SegmentOptions
    from vidattn.models.classifier import Classifier

    Load = Callable[[NoteTaker], Classifier]

DEATHS = 3
"""Workers that may die of one path, and for each worker before they begin."""
START_SECONDS = 300.0
"""Time without any running worker that ends the run."""
CONNECT_SECONDS = 10.0
NO_CLUSTER = OSError, RuntimeError, ValueError
"""Errors of Ray where there is no cluster to work on."""
LOCAL = Started | Scored | Finished | ProgressStep
"""Events that stay with the worker."""


@dataclass(frozen=True)
class Reply:
    """The answer of a worker."""

    events: list[BatchEvent] = field(default_factory=list)
    error: VidattnError | None = None
    """An error that ends the whole run."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Of the `RunKey`, by area; "" for the whole picture."""


class Notes:
    """Notes as events."""

    def __init__(self) -> None:
        self.events: list[BatchEvent] = []

    def note(self, message: str) -> None:
        """Take one sentence."""
        self.events.append(Note(message))

    def warn(self, message: str) -> None:
        """Take one that nobody may overlook."""
        self.events.append(Note(message, warning=True))


class Worker:
    """An actor that does one path after another, on any machine of the cluster."""

    def __init__(
        self, load: Load, options: SegmentOptions, job: BatchJob, limits: Limits, folder: str
    ) -> None:
        self._load, self._options, self._job, self._folder = load, options, job, folder
        self._opening = Prefetcher(limits, job.joined)
        self._classifier: Classifier | None = None

    def begin(self) -> Reply:
        """Load the model."""
        notes = Notes()
        events = notes.events
        try:
            os.chdir(self._folder)
            classifier, _, options = take_areas(self._load(notes), self._job, self._options)
            if options != self._options:
                several = " ".join(f"--roi {name}={area}" for name, area in options.rois.items())
                text = "on Ray, the areas of a model that looks at several must be named"
                return Reply(events, UsageError(text, hint=several))
            self._classifier = classifier
            digests = {name: self._digest(name) for name in options.rois or ("",)}
            return Reply(events, digests=digests)
        except OSError as error:
            text = f"{self._folder}: {error.strerror} on a machine of the cluster"
            hint = "all machines must have videos and results under the same paths"
            return Reply(events, OutputError(text, hint=hint))
        except VidattnError as error:
            return Reply(events, error)

    def do(self, path: str, again: bool) -> Reply:
        """Write the results of a path. again: resume the work of a worker that died."""
        from vidattn.inference.batch.segment import segment_inputs

        events: list[BatchEvent] = []
        skip = self._job.skip_existing or again
        job = replace(self._job, paths=(path,), skip_existing=skip)
        assert self._classifier is not None
        try:
            for event in segment_inputs(job, self._classifier, self._options, self._opening):
                if not isinstance(event, LOCAL):
                    events.append(event)
        except VidattnError as error:
            return Reply(events, error)
        return Reply(events)

    def _digest(self, roi: str) -> str:
        """Of all that the results of an area depend on."""
        from vidattn.inference.batch.segment import Segmenter

        assert self._classifier is not None
        looking = self._classifier.look_at(self._options.rois.get(roi))
        own = Segmenter(looking, self._job.of_area(roi), self._opening, options=self._options)
        return own.key.digest if own.key else ""


def segment_on_ray(
    job: BatchJob,
    load: Load,
    options: SegmentOptions,
    limits: Limits,
    address: str | None = None,
    actors: int | None = None,
    stop: Callable[[], object] = lambda: False,
) -> BatchEvents:
    """Segment the inputs of a job on a Ray cluster; events as `BatchRunner.run`, without progress.

    load: loads the model on a worker; its argument takes notes for the user. address: HOST:PORT or
    "auto"; None starts a cluster on this machine. actors: number of workers, by default one for
    each GPU, or each processor where there is none. stop: asked about once a second; when it is
    true, the generator ends. Raises DistributedError when no worker comes up, and any error that
    ends the work of a worker for good.
    """
    if find_spec("ray") is None:
        raise UsageError("--engine ray: Ray is not installed", hint="pip install 'vidattn[ray]'")
    if not job.output.formats:
        raise UsageError("--engine ray writes files", hint="add -o DIR, or -f json")
    options.require_compatible(job)
    if job.settle is not None:
        hint = "run --watch on each machine: processes that watch one folder share its videos"
        raise UsageError("--watch and --engine ray exclude each other", hint=hint)
    job.output.require_writable()
    with _connect(address) as ray:
        yield from WorkerPool(ray, job, (load, options, job, limits), actors).run(stop)


@contextmanager
def _connect(address: str | None) -> Iterator[Any]:
    # Set before the import, because Ray reports usage statistics by default.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    own: dict[str, Any] = (
        {} if address else {"object_store_memory": 100 << 20, "include_dashboard": False}
    )
    try:
        if address:
            _require_listener(address)
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own
        )
    except Exception as error:
        # A node that does not come up in time is an exception of no class of its own.
        if type(error) is not Exception and not isinstance(error, NO_CLUSTER):
            raise
        where = f"--address {address}: no Ray cluster" if address else "Ray does not start here"
        raise DistributedError(
            f"{where}: {(str(error).splitlines() or [type(error).__name__])[0]}",
            hint="ray start --head starts a cluster and prints its address",
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Raise OSError when no process listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


class WorkerPool:
    """The workers of a run and the queue of paths. ray: the module. worker: arguments of `Worker`,
    without the folder."""

    def __init__(
        self, ray: Any, job: BatchJob, worker: tuple[Any, ...], actors: int | None
    ) -> None:
        self._ray, self._job, self._worker = ray, job, worker
        self._queue = deque(job.paths)
        self._deaths: Counter[str] = Counter()
        self._stillborn = 0
        self._busy: dict[Any, tuple[Any, str | None]] = {}
        """For each reference that is waited for, the worker and its path, None while it loads."""
        self._idle: list[Any] = []
        self._digests: Mapping[str, str] = {}
        resources = ray.cluster_resources()
        device = worker[1].runtime.device
        gpus = int(resources.get("GPU", 0)) if device in ("auto", "cuda") else 0
        self._each = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        self._size = min(actors or gpus or int(resources.get("CPU", 1)), len(job.paths))

    def run(self, stop: Callable[[], object] = lambda: False) -> BatchEvents:
        """Do all paths, until `stop` is true."""
        for _ in range(self._size):
            self._start_worker()
        machines = count_noun(len(self._ray.nodes()), "machine")
        yield Note(f"{count_noun(self._size, 'worker')} on {machines}")
        last = monotonic()
        while self._queue or self._busy:
            ready, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=1.0)
            for ref in ready:
                last = monotonic()
                yield from self._receive(ref)
            if stop():
                return
            silence = monotonic() - last
            if silence > START_SECONDS and all(path is None for _, path in self._busy.values()):
                raise DistributedError(
                    f"no Ray worker has come up in {silence:.0f} s", hint="see: ray status"
                )
            while self._queue and self._idle:
                worker, path = self._idle.pop(), self._queue.popleft()
                self._busy[worker.do.remote(path, self._deaths[path] > 0)] = worker, path
            if not self._queue and all(path is None for _, path in self._busy.values()):
                return

    def _start_worker(self) -> None:
        actor = self._ray.remote(Worker).options(
            **self._each, max_restarts=0, scheduling_strategy="SPREAD"
        )
        worker = actor.remote(*self._worker, os.getcwd())  # noqa: PTH109
        self._busy[worker.begin.remote()] = worker, None

    def _receive(self, ref: Any) -> Iterator[BatchEvent]:
        """Take the reply of a worker, or notice its death."""
        worker, path = self._busy.pop(ref)
        try:
            reply: Reply = self._ray.get(ref)
        except self._ray.exceptions.RayActorError:
            self._ray.kill(worker)
            self._start_worker()
            yield from self._count_death(path)
            return
        yield from reply.events
        if reply.error is not None:
            raise reply.error
        self._idle.append(worker)
        self._stillborn = 0
        self._digests = reply.digests or self._digests

    def _count_death(self, path: str | None) -> Iterator[BatchEvent]:
        """React to a worker that died of a path, or while it began."""
        if path is None:
            self._stillborn += 1
            if self._stillborn > DEATHS * self._size:
                raise DistributedError(
                    "Ray workers die before they begin", hint="is there enough memory for each?"
                )
            return
        self._deaths[path] += 1
        if self._deaths[path] < DEATHS:
            yield Note(f"{path}: its worker has died; another one resumes it", warning=True)
            self._queue.appendleft(path)
            return
        text = f"{path}: {DEATHS} workers have died of it"
        error = VideoError(text, code="E_WORKER_DIED", hint="too little memory?")
        for area in self._job.areas or ("",):
            list_failure(self._job.of_area(area), path, error, self._digests.get(area, ""))
            yield Failed(path, error)
