"""Runs on a Ray cluster that is played: deaths of workers, errors, a request to stop."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.inference.batch.conftest import Segment
from vidattn.errors import DistributedError, OutputError
from vidattn.inference.batch.events import BatchEvent, Done, Failed, Note, Written
from vidattn.inference.batch.failures import FailureList
from vidattn.inference.batch.inputs import VideoInput
from vidattn.inference.batch.job import BatchJob, SegmentOptions
from vidattn.inference.batch.output_files import OutputFiles
from vidattn.inference.batch.ray import Reply, WorkerPool


class DiedError(Exception):
    """As RayActorError."""


class Played:
    """As much of Ray as a pool needs; every worker replies at once."""

    exceptions = SimpleNamespace(RayActorError=DiedError)

    def __init__(self, reply: Callable[[str], Reply], begin: Callable[[], Reply] = Reply):
        self.reply, self.begin_with = reply, begin
        self.done: list[tuple[str, bool]] = []
        self.hired = 0

    def remote(self, kind: type) -> Played:
        return self

    def options(self, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(remote=self.hire)

    def hire(self, *_: Any) -> SimpleNamespace:
        self.hired += 1
        return SimpleNamespace(
            begin=SimpleNamespace(remote=lambda: (self.begin_with, object())),
            do=SimpleNamespace(remote=lambda path, again: (lambda: self.do(path, again), object())),
        )

    def do(self, path: str, again: bool) -> Reply:
        self.done.append((path, again))
        return self.reply(path)

    def get(self, ref: Any) -> Reply:
        reply: Reply = ref[0]()
        return reply

    def wait(self, refs: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return refs[:1], refs[1:]

    def kill(self, worker: Any) -> None: ...

    def nodes(self) -> list[str]:
        return ["one"]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}


def pool(ray: Played, folder: Path, count: int, areas: tuple[str, ...] = ()) -> WorkerPool:
    inputs = [VideoInput(f"{i}.mp4") for i in range(count)]
    job = BatchJob.create(inputs, OutputFiles(folder=folder), areas=areas)
    return WorkerPool(ray, job, (None, SegmentOptions(), job, None), None)


def done(path: str, *notes: str) -> Reply:
    events: list[BatchEvent] = [Note(note) for note in notes]
    return Reply([*events, Done(path, None)])  # type: ignore[arg-type]


def test_a_path_that_kills_its_workers_fails_and_the_others_go_on(tmp_path: Path) -> None:
    def reply(path: str) -> Reply:
        if path == "1.mp4":
            raise DiedError
        return done(path, f"note of {path}")

    ray = Played(reply, lambda: Reply(digests={"": "abc"}))
    events = list(pool(ray, tmp_path, 5).run())
    assert sorted(e.path for e in events if isinstance(e, Done)) == [
        f"{i}.mp4" for i in (0, 2, 3, 4)
    ]
    assert Note("note of 0.mp4") in events
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert (failed.path, failed.code) == ("1.mp4", "E_WORKER_DIED")
    assert "3 workers have died of it" in failed.error.message
    assert [again for path, again in ray.done if path == "1.mp4"] == [False, True, True]
    record = FailureList(tmp_path).read()["1.mp4"]
    assert (record.code, record.asked) == ("E_WORKER_DIED", "abc")
    assert ray.hired == 2 + 3


def test_every_area_of_a_path_that_kills_its_workers_fails(tmp_path: Path) -> None:
    def reply(path: str) -> Reply:
        raise DiedError

    digests = {"left": "abc", "right": "def"}
    events = list(
        pool(Played(reply, lambda: Reply(digests=digests)), tmp_path, 1, ("left", "right")).run()
    )
    assert sum(isinstance(event, Failed) for event in events) == 2
    listed = FailureList(tmp_path).read()
    assert {name: one.asked for name, one in listed.items()} == {
        "0.mp4: left": "abc",
        "0.mp4: right": "def",
    }


def test_a_path_whose_worker_is_lost_once_is_done_by_another(tmp_path: Path) -> None:
    crashed: list[str] = []

    def reply(path: str) -> Reply:
        if path not in crashed:
            crashed.append(path)
            raise DiedError
        return done(path)

    ray = Played(reply)
    events = list(pool(ray, tmp_path, 3).run())
    assert sum(isinstance(event, Done) for event in events) == 3
    assert sum(isinstance(event, Note) and event.warning for event in events) == 3
    assert sorted(ray.done) == [(f"{i}.mp4", again) for i in range(3) for again in (False, True)]


def test_workers_that_never_begin_end_the_run(tmp_path: Path) -> None:
    def begin() -> Reply:
        raise DiedError

    with pytest.raises(DistributedError, match="die before they begin"):
        list(pool(Played(done, begin), tmp_path, 3).run())


def test_an_error_that_ends_a_worker_for_good_ends_the_run(tmp_path: Path) -> None:
    full = OutputError("out: cannot be written: No space left on device", hint="free some")
    with pytest.raises(OutputError, match="No space left"):
        list(pool(Played(lambda path: Reply(error=full)), tmp_path, 3).run())


def test_a_request_to_stop_ends_the_run(tmp_path: Path) -> None:
    asked = iter((0, 0, 0, 15))
    events = list(pool(Played(done), tmp_path, 9).run(lambda: next(asked)))
    assert 0 < sum(isinstance(event, Done) for event in events) < 9


def test_events_travel_between_machines(segment: Segment) -> None:
    kinds = Written, Done, Failed, Note
    events = [event for event in segment().events if isinstance(event, kinds)]
    there = pickle.loads(pickle.dumps(events))
    assert [type(event) for event in there] == [type(event) for event in events]
    for one, two in zip(events, there, strict=True):
        if isinstance(one, Written):
            assert two.timeline.to_json() == one.timeline.to_json()
        elif isinstance(one, Failed):
            assert (two.code, two.error.hint) == (one.code, one.error.hint)
