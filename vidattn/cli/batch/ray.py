"""`--engine ray`: the inputs of a corpus on the machines of a Ray cluster.

The unit of work is a path: a worker reads the file, runs the model and writes the results, as one
machine would, to a folder that all machines share. A worker that dies, with its machine or alone,
costs nothing but time: its path goes to the front of the queue, and another goes on from what is on
disk. Three workers that die of one path make it a failure.
"""

from __future__ import annotations

import io
import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any

from vidattn.cli.batch import runner as corpora
from vidattn.cli.batch.runner import Corpus
from vidattn.cli.batch.writing import require_writable
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopFlag, StopRequested
from vidattn.errors import (
    DistributedError,
    MemoryLimitError,
    OutputError,
    UsageError,
    VidattnError,
    VideoError,
)
from vidattn.io.text import count_noun
from vidattn.video import Prefetcher

if TYPE_CHECKING:
    from vidattn.cli.batch.segmenter import Segmenter, Wanted

DEATHS = 3
"""So many workers may die of a path, or before they begin."""
START_SECONDS = 300.0
"""So long there may be no worker at all."""
KNOCK_SECONDS = 10.0
OUTCOMES: dict[int, str] = {
    corpora.DONE: "whole",
    corpora.INCOMPLETE: "partial",
    corpora.FAILED: "failed",
    MemoryLimitError.exit_code: "failed",
}


@dataclass(frozen=True)
class Answer:
    """What a worker says."""

    code: int = 0
    """As an exit code."""
    out: str = ""
    err: str = ""
    error: tuple[str, str | None] | None = None
    """Message and hint of what ends the whole run."""
    digest: str = ""
    """Of the request."""


class Worker:
    """Does one path after another, on whatever machine Ray has put it."""

    def __init__(self, wanted: Wanted, corpus: Corpus, folder: str, quiet: bool) -> None:
        self._wanted, self._corpus, self._folder = wanted, corpus, folder
        self._quiet = quiet
        self._segmenter: Segmenter | None = None
        self._opener = Prefetcher(wanted.limits)

    def begin(self) -> Answer:
        """Load the model."""

        def load(desk: Console) -> int:
            from vidattn.cli.batch.segmenter import Segmenter

            try:
                os.chdir(self._folder)
            except OSError as error:
                raise OutputError(
                    f"{self._folder}: {error.strerror} on a machine of the cluster",
                    hint="all machines must have films and results under the same paths",
                ) from None
            self._segmenter = Segmenter(desk, self._wanted, self._corpus, opener=self._opener)
            return 0

        answer = self._heard(load)
        return replace(answer, digest=self._segmenter.request.digest if self._segmenter else "")

    def do(self, path: str, again: bool) -> Answer:
        """Make the results of a path; again: go on from what a dead worker has left."""

        def run(desk: Console) -> int:
            from vidattn.cli.batch.segmenter import Segmenter

            assert self._segmenter is not None
            skip = self._corpus.skip or again
            one = replace(self._corpus, paths=(path,), skip=skip)
            before = self._segmenter
            segmenter = Segmenter(desk, self._wanted, one, before.classifier, self._opener)
            if self._wanted.explain:
                one = segmenter.explaining()
            return segmenter.run(one)

        return self._heard(run)

    def _heard(self, act: Any) -> Answer:
        """What `act` says to a desk, and how it ends."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code, error = act(Console(quiet=self._quiet)), None
            except VidattnError as failure:
                code, error = failure.exit_code, (failure.message, failure.hint)
        return Answer(code, out.getvalue(), err.getvalue(), error)


def run(
    desk: Console, corpus: Corpus, wanted: Wanted, address: str | None, actors: int | None
) -> int:
    """As `corpus.run`, on a Ray cluster; without an address on one begun for this run.

    actors: how many workers; by default one for each GPU, or each processor where there is none.
    Raises DistributedError when no worker can be had, and whatever ends a worker's work for good.
    """
    if find_spec("ray") is None:
        raise UsageError("--engine ray: Ray is not installed", hint="pip install 'vidattn[ray]'")
    if not corpus.delivery.formats:
        raise UsageError("--engine ray writes files", hint="add -o DIR, or -f json")
    require_writable(corpus.delivery.folder)
    # Not before now: it reports how it is used to its makers, unless told otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    own: dict[str, Any] = (
        {} if address else {"object_store_memory": 100 << 20, "include_dashboard": False}
    )
    try:
        if address:
            _knock(address)
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise DistributedError(
            f"--address {address}: no Ray cluster: {str(error).splitlines()[0]}",
            hint="ray start --head begins one, and says its address",
        ) from None
    asked = StopFlag()  # what is raised within Ray's own code ends as an error of Ray
    asked.listen()
    try:
        return Crew(desk, corpus, wanted, ray, actors).work(asked)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody answers at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


class Crew:
    """The workers of a run, and what is left to do."""

    def __init__(
        self, desk: Console, corpus: Corpus, wanted: Wanted, ray: Any, actors: int | None
    ) -> None:
        self._desk, self._corpus, self._wanted, self._ray = desk, corpus, wanted, ray
        self._left = deque(corpus.paths)
        self._deaths: Counter[str] = Counter()
        self._stillborn = 0
        self._busy: dict[Any, tuple[Any, str | None]] = {}
        """What is waited for: the worker, and its path, None while it begins."""
        self._idle: list[Any] = []
        self._digest = ""
        found = ray.cluster_resources()
        gpus = int(found.get("GPU", 0)) if wanted.runtime.device in ("auto", "cuda") else 0
        self._each = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        self._size = min(actors or gpus or int(found.get("CPU", 1)), len(corpus.paths))

    def work(self, asked: Callable[[], int] = int) -> int:
        """Do all paths; the exit code. asked: the number of a signal that asks to stop, or 0."""
        counts: Counter[str] = Counter()
        for _ in range(self._size):
            self._hire()
        machines = count_noun(len(self._ray.nodes()), "machine")
        self._desk.note(f"{count_noun(self._size, 'worker')} on {machines}")
        heard = monotonic()
        while sum(counts.values()) < len(self._corpus.paths):
            ready, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=1.0)
            for ref in ready:
                heard = monotonic()
                if outcome := self._heard(ref):
                    counts[outcome] += 1
            if number := asked():
                done = counts["whole"] + counts["partial"]
                self._desk.warn(f"stopped; {done} of {len(self._corpus.paths)} inputs are done")
                raise StopRequested(number)
            idle_for = monotonic() - heard
            if idle_for > START_SECONDS and all(path is None for _, path in self._busy.values()):
                raise DistributedError(
                    f"no Ray worker has come up in {idle_for:.0f} s", hint="see: ray status"
                )
            while self._left and self._idle:
                self._give(self._idle.pop(), self._left.popleft())
        return corpora.summary(self._desk, counts, len(self._corpus.paths))

    def _hire(self) -> None:
        actor = self._ray.remote(Worker).options(
            **self._each, max_restarts=0, scheduling_strategy="SPREAD"
        )
        worker = actor.remote(self._wanted, self._corpus, os.getcwd(), self._desk.quiet)  # noqa: PTH109
        self._busy[worker.begin.remote()] = worker, None

    def _give(self, worker: Any, path: str) -> None:
        self._busy[worker.do.remote(path, self._deaths[path] > 0)] = worker, path

    def _heard(self, ref: Any) -> str | None:
        """Take in what a worker has said, or its death; what came of a path, if anything did."""
        worker, path = self._busy.pop(ref)
        try:
            answer: Answer = self._ray.get(ref)
        except self._ray.exceptions.RayActorError:
            self._ray.kill(worker)
            self._hire()
            return self._lost(path)
        self._say(answer)
        if answer.error is not None:
            error = VidattnError(answer.error[0], hint=answer.error[1])
            error.exit_code = answer.code
            raise error
        self._idle.append(worker)
        self._stillborn = 0
        if path is None:
            self._digest = answer.digest
            return None
        return OUTCOMES[answer.code]

    def _lost(self, path: str | None) -> str | None:
        """A worker has died over a path, or before it got one."""
        if path is None:
            self._stillborn += 1
            if self._stillborn > DEATHS * self._size:
                raise DistributedError(
                    "Ray workers die before they begin", hint="is there enough memory for each?"
                )
            return None
        self._deaths[path] += 1
        if self._deaths[path] < DEATHS:
            self._desk.warn(f"{path}: its worker has died; another one goes on")
            self._left.appendleft(path)
            return None
        text = f"{path}: {DEATHS} workers have died of it"
        error = VideoError(text, code="E_WORKER_DIED", hint="too little memory?")
        corpora.failed(self._desk, self._corpus, path, error, self._digest)
        return "failed"

    def _say(self, answer: Answer) -> None:
        """Pass on what a worker has said."""
        self._desk.lines(answer.out.splitlines())
        self._desk.passed_on(answer.err)
