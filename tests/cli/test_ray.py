"""`--engine ray`: misuse, and a real cluster that loses a worker and a machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tests.helpers import Run, write_video
from vidattn.inference.batch import ray as cluster
from vidattn.inference.batch.failures import FailureList

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


def test_missing_ray_is_named(quick: Run, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    done = quick("segment", video, "--engine", "ray", "-o", "out", code=2)
    assert "pip install 'vidattn[ray]'" in done.stderr


def test_a_cluster_that_does_not_start_here_is_an_error_in_one_line(
    quick: Run, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(cluster, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    done = quick("segment", video, "--engine", "ray", "-o", "out", code=9)
    assert "error: Ray does not start here: The current node timed out" in done.stderr


def test_ray_without_files_is_refused(quick: Run, video: Path) -> None:
    pytest.importorskip("ray", exc_type=ImportError)
    assert "-o DIR" in quick("segment", video, "--engine", "ray", "--json", code=2).stderr


def test_a_cluster_does_not_watch_folders(
    quick: Run, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: name)
    done = quick("segment", video.parent, "--engine", "ray", "-o", "out", "--watch", code=2)
    assert "--watch and --engine ray exclude each other" in done.stderr


def test_an_unreachable_address_ends_soon(quick: Run, video: Path) -> None:
    pytest.importorskip("ray", exc_type=ImportError)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        words = ("--engine", "ray", "--address", address, "-o", "out")
        done = quick("segment", video, *words, code=9)
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
    files = (p for p in folder.rglob("*") if p.suffix in (".json", ".jsonl", ".srt", ".csv"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.mark.slow
def test_areas_joined_recordings_and_tables_are_those_of_a_run_without_ray(
    model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", exc_type=ImportError)
    for name in ("a", "tape_0001", "tape_0002", "b"):
        write_video(tmp_path / "videos" / f"{name}.mp4", seconds=2)
    (tmp_path / "videos" / "bad.mp4").write_text("no video")
    rois = ("--roi", "up=0%,0%,100%,50%", "--roi", "out=0,0,9999,9")
    words = ("-m", "vidattn", "segment", "videos", "-m", model, "--join", *rois)
    words += ("-f", "json,srt,table,budget", "--group-by", "roi")
    for own in (("-o", "alone"), ("-o", "out", "--engine", "ray", "--actors", 2)):
        with start(tmp_path, *words, *own) as run:
            output = run.communicate()[0]
        assert run.returncode == 4, output
        assert "3 of 8 results complete" in output
    found = results(tmp_path / "out")
    assert found == results(tmp_path / "alone")
    assert "videos/tape_0001.up.vidattn.json" in found
    assert "videos/tape_0002.up.vidattn.json" not in found
    assert found["table.csv"].count(b",up\n") == found["table.csv"].count(b"\n") - 1
    assert len(FailureList(tmp_path / "out").read()) == 5


def until(holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while not holds():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_cluster_survives_the_loss_of_a_worker_and_node(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", exc_type=ImportError)
    (tmp_path / "videos").mkdir()
    for i in range(8):
        write_video(tmp_path / "videos" / f"{i}.mp4", seconds=6 + i)
    (tmp_path / "videos" / "bad.mp4").write_text("no video")
    words = ("-m", "vidattn", "segment", "videos", "-m", model, "--stride", 0.05, "-f", "json,srt")
    with start(tmp_path, *words, "-o", "alone") as alone:
        output = alone.communicate()[0]
    assert alone.returncode == 4, output
    with start(tmp_path, "-c", CLUSTER) as nodes:
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
                output = run.communicate()[0]
        finally:
            nodes.communicate(timeout=60)
    assert run.returncode == 4, output
    assert "its worker has died" in output
    assert results(tmp_path / "out") == results(tmp_path / "alone")
    assert len(results(tmp_path / "out")) == 17
    assert list(FailureList(tmp_path / "out").read()) == ["videos/bad.mp4"]
