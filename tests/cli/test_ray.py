"""A corpus on a Ray cluster: a cluster that is played, and a real one that loses what it has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.cli.conftest import Run, write_film
from vidattn.errors import DistributedError, OutputError
from vidattn.inference.batch import ray as cluster
from vidattn.inference.batch.events import BatchEvent, Done, Failed, Note
from vidattn.inference.batch.failures import FailureList
from vidattn.inference.batch.inputs import VideoInput
from vidattn.inference.batch.outputs import OutputFiles
from vidattn.inference.batch.ray import Reply, WorkerPool
from vidattn.inference.batch.runner import BatchJob
from vidattn.inference.batch.segment import SegmentOptions

CLUSTER = """
import sys
from ray.cluster_utils import Cluster

small = {"object_store_memory": 80 << 20}
head = {"num_cpus": 0, "include_dashboard": False, **small}
whole = Cluster(initialize_head=True, head_node_args=head)
nodes = [whole.add_node(num_cpus=1, **small) for _ in range(2)]
whole.wait_for_nodes()
print(whole.address, flush=True)
for line in sys.stdin:
    whole.remove_node(nodes.pop(), allow_graceful=False)
    print("lost", flush=True)
whole.shutdown()
"""


class DiedError(Exception):
    """As RayActorError."""


class Played:
    """As much of Ray as a pool needs; every worker answers at once."""

    exceptions = SimpleNamespace(RayActorError=DiedError)

    def __init__(self, answer: Callable[[str], Reply], begin: Callable[[], Reply] = Reply):
        self.answer, self.begin_with = answer, begin
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
        return self.answer(path)

    def get(self, ref: Any) -> Reply:
        answer: Reply = ref[0]()
        return answer

    def wait(self, refs: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return refs[:1], refs[1:]

    def kill(self, worker: Any) -> None: ...

    def nodes(self) -> list[str]:
        return ["one"]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}


def pool(ray: Played, folder: Path, count: int) -> WorkerPool:
    inputs = [VideoInput(f"{i}.mp4") for i in range(count)]
    job = BatchJob.create(inputs, OutputFiles(folder=folder))
    return WorkerPool(ray, job, (None, SegmentOptions(), job, None), None)


def done(path: str, *notes: str) -> Reply:
    events: list[BatchEvent] = [Note(note) for note in notes]
    return Reply([*events, Done(path, None)])  # type: ignore[arg-type]


def test_a_path_that_kills_its_workers_fails_and_the_others_go_on(tmp_path: Path) -> None:
    def answer(path: str) -> Reply:
        if path == "1.mp4":
            raise DiedError
        return done(path, f"note of {path}")

    ray = Played(answer, lambda: Reply(digest="abc"))
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


def test_a_path_whose_worker_is_lost_once_is_done_by_another(tmp_path: Path) -> None:
    lost: list[str] = []

    def answer(path: str) -> Reply:
        if path not in lost:
            lost.append(path)
            raise DiedError
        return done(path)

    ray = Played(answer)
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


def test_ray_that_is_not_there_is_named(
    quick: Run, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    done = quick("segment", film, "--engine", "ray", "-o", "out")
    assert done.returncode == 2
    assert "pip install 'vidattn[ray]'" in done.stderr


def test_workers_and_addresses_are_of_ray_alone(quick: Run, film: Path) -> None:
    for words in (("--actors", 2), ("--address", "auto")):
        done = quick("segment", film, *words, "-o", "out")
        assert (done.returncode, "--engine ray" in done.stderr) == (2, True)


def test_ray_without_files_makes_no_sense(quick: Run, film: Path) -> None:
    pytest.importorskip("ray", exc_type=ImportError)
    done = quick("segment", film, "--engine", "ray", "--json")
    assert done.returncode == 2
    assert "-o DIR" in done.stderr


def test_an_address_at_which_nobody_answers_ends_soon(quick: Run, film: Path) -> None:
    pytest.importorskip("ray", exc_type=ImportError)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = quick("segment", film, "--engine", "ray", "--address", address, "-o", "out")
    assert done.returncode == 9
    assert f"--address {address}: no Ray cluster" in done.stderr
    assert "ray start --head" in done.stderr


def start(folder: Path, *words: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if "segment" in words else subprocess.DEVNULL,
        text=True,
    )


def results(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.suffix in (".json", ".srt"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def until(holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while not holds():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_cluster_that_loses_a_worker_and_a_machine_gives_the_same_bytes(
    model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", exc_type=ImportError)
    (tmp_path / "films").mkdir()
    for i in range(8):
        write_film(tmp_path / "films" / f"{i}.mp4", seconds=6 + i)
    (tmp_path / "films" / "bad.mp4").write_text("no film")
    words = ("-m", "vidattn", "segment", "films", "-m", model, "--stride", 0.05, "-f", "json,srt")
    with start(tmp_path, *words, "-o", "alone") as alone:
        said = alone.communicate()[0]
    assert alone.returncode == 4, said
    with start(tmp_path, "-c", CLUSTER) as nodes:
        assert nodes.stdout is not None
        assert nodes.stdin is not None
        try:
            address = nodes.stdout.readline().strip()
            with start(
                tmp_path, *words, "-o", "out", "--engine", "ray", "--address", address
            ) as run:

                def workers() -> list[psutil.Process]:
                    crew = psutil.Process(nodes.pid).children(recursive=True)
                    return [p for p in crew if "Worker" in (p.cmdline() or [""])[0]]

                until(lambda: len(results(tmp_path / "out")) >= 2, run)
                workers()[0].kill()
                until(lambda: len(results(tmp_path / "out")) >= 6, run)
                print("node", file=nodes.stdin, flush=True)
                said = run.communicate()[0]
        finally:
            nodes.communicate(timeout=60)
    assert run.returncode == 4, said
    assert "its worker has died" in said
    assert results(tmp_path / "out") == results(tmp_path / "alone")
    assert len(results(tmp_path / "out")) == 16
    assert list(FailureList(tmp_path / "out").read()) == ["films/bad.mp4"]
