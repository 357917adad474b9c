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
from vidattn.cli.batch import ray as cluster
from vidattn.cli.batch import runner
from vidattn.cli.batch.failures import Failures
from vidattn.cli.batch.inputs import Input
from vidattn.cli.batch.ray import Answer, Crew
from vidattn.cli.batch.writing import Delivery
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopRequested
from vidattn.errors import DistributedError
from vidattn.models.device import Runtime

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
    """As much of Ray as a crew needs; every worker answers at once."""

    exceptions = SimpleNamespace(RayActorError=DiedError)

    def __init__(self, answer: Callable[[str], Answer], begin: Callable[[], Answer] = Answer):
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

    def do(self, path: str, again: bool) -> Answer:
        self.done.append((path, again))
        return self.answer(path)

    def get(self, ref: Any) -> Answer:
        answer: Answer = ref[0]()
        return answer

    def wait(self, refs: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return refs[:1], refs[1:]

    def kill(self, worker: Any) -> None: ...

    def nodes(self) -> list[str]:
        return ["one"]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}


def crew(ray: Played, folder: Path, count: int) -> Crew:
    delivery = Delivery(False, ("json",), folder, named=True)
    whole = runner.Corpus.of([Input(f"{i}.mp4") for i in range(count)], delivery)
    return Crew(Console(), whole, SimpleNamespace(runtime=Runtime()), ray, None)  # type: ignore[arg-type]


def test_a_path_that_kills_its_workers_fails_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(path: str) -> Answer:
        if path == "1.mp4":
            raise DiedError
        return Answer(4 if path == "2.mp4" else 0, f"{path}: result\n", f"note: {path}\n")

    ray = Played(answer, lambda: Answer(digest="abc"))
    assert crew(ray, tmp_path, 5).work() == 4
    said = capsys.readouterr()
    assert sorted(said.out.splitlines()) == [f"{i}.mp4: result" for i in (0, 2, 3, 4)]
    assert "note: 0.mp4" in said.err
    assert "1.mp4: 3 workers have died of it" in said.err
    assert "3 of 5 inputs complete, 1 in part, 1 failed" in said.err
    assert [again for path, again in ray.done if path == "1.mp4"] == [False, True, True]
    failure = Failures(tmp_path).read()["1.mp4"]
    assert (failure.code, failure.asked) == ("E_WORKER_DIED", "abc")
    assert ray.hired == 2 + 3


def test_a_path_whose_worker_is_lost_once_is_done_by_another(tmp_path: Path) -> None:
    lost: list[str] = []

    def answer(path: str) -> Answer:
        if path not in lost:
            lost.append(path)
            raise DiedError
        return Answer()

    ray = Played(answer)
    assert crew(ray, tmp_path, 3).work() == 0
    assert sorted(ray.done) == [(f"{i}.mp4", again) for i in range(3) for again in (False, True)]


def test_workers_that_never_begin_end_the_run(tmp_path: Path) -> None:
    def begin() -> Answer:
        raise DiedError

    with pytest.raises(DistributedError, match="die before they begin"):
        crew(Played(lambda path: Answer(), begin), tmp_path, 3).work()


def test_what_ends_a_worker_for_good_ends_the_run(tmp_path: Path) -> None:
    full = Answer(5, error=("out: cannot be written: No space left on device", "free some"))
    with pytest.raises(Exception, match="No space left") as ended:
        crew(Played(lambda path: full), tmp_path, 3).work()
    assert ended.value.exit_code == 5  # type: ignore[attr-defined]


def test_a_signal_ends_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signals = iter((0, 0, 0, 15))
    with pytest.raises(StopRequested) as ended:
        crew(Played(lambda path: Answer()), tmp_path, 9).work(lambda: next(signals))
    assert ended.value.exit_code == 143
    assert "of 9 inputs are done" in capsys.readouterr().err


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
    assert list(Failures(tmp_path / "out").read()) == ["films/bad.mp4"]
