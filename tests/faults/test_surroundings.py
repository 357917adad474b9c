"""Odd places to run in: without a network, a home, a terminal, descriptors or permissions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes
from tests.cli.test_train_and_eval import TINY
from tests.helpers import Run, write_video
from vidattn.errors import VideoError
from vidattn.video.process.open_file import open_regular

ROOT = Path(__file__).parents[2]
NO_NETWORK = """
import sys
def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"):
        print("NETWORK", event, file=sys.stderr)
        raise PermissionError(1, "no network here")
sys.addaudithook(forbid)
from vidattn.cli import main
for number, words in enumerate(WORDS, 1):
    if number == len(WORDS):
        print("LAST", file=sys.stderr)
    try:
        main(words)
    except SystemExit as end:
        print(words[:2], int(end.code or 0), flush=True)
"""


def python(program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment = {**keep, "OMP_NUM_THREADS": "1", **environment}
    return processes.run([], cwd=folder, env=environment, code=program)


def test_only_the_default_model_asks_the_network(video: Path, tmp_path: Path) -> None:
    words = [
        ["segment", str(video), "-m", "motion-tiny", "-o", "out"],
        ["classify", str(video), "-m", "motion-tiny"],
        ["train", "--dataset", "motion", *TINY],
        ["eval", "-m", "runs/motion", "--samples", "8", "--views", "1x1"],
        ["timeline", "out/walk.vidattn.json"],
        ["models", "list"],
        ["classify", str(video), "--offline"],
        ["classify", str(video)],
    ]
    done = python(NO_NETWORK.replace("WORDS", repr(words)), tmp_path, VIDATTN_CACHE="cache")
    before, last = done.stderr.split("LAST")
    assert "NETWORK" not in before, before
    assert "NETWORK" in last
    assert "CAMERA MOTION, NOT ACTIONS: labels are of motion-tiny" in last
    assert "Traceback" not in last
    codes = [line for line in done.stdout.splitlines() if line.startswith("['")]
    assert codes == [f"{w[:2]} 0" for w in words], done.stdout + done.stderr


@pytest.mark.parametrize("limit", [16, pytest.param(64, marks=pytest.mark.slow)])
def test_few_descriptors_are_enough_or_named(video: Path, tmp_path: Path, limit: int) -> None:
    program = (
        "import resource; from vidattn.cli import main; import torch\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n"
        f"main(['segment', {str(video)!r}, '-m', 'motion-tiny', '-f', 'json'])"
    )
    done = python(program, tmp_path)
    assert done.returncode in (0, 3, 5), done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_needs_neither_home_nor_locale_nor_path(video: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vidattn", "segment", str(video), "-m", "motion-tiny"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "LANG": "C", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "walk.vidattn.html").stat().st_size > 1000


@pytest.mark.parametrize("closed", [pytest.param("1>&-", marks=pytest.mark.slow), "0<&- 1>&- 2>&-"])
def test_closed_streams_do_not_stop_the_work(video: Path, tmp_path: Path, closed: str) -> None:
    words = f"{sys.executable} -m vidattn segment {video} -m motion-tiny -f json {closed}"
    done = subprocess.run(
        ["/bin/bash", "-c", words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert (tmp_path / "walk.vidattn.json").stat().st_size > 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    folders = [f for f in path.parents if not f.stat().st_mode & 0o001]
    for folder in folders:
        folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        with pytest.raises(VideoError, match="permission denied") as caught:
            open_regular(path)
    finally:
        os.seteuid(0)
    assert caught.value.code == "E_PERM"


def test_outputs_contain_no_paths_and_no_secrets(
    quick: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    monkeypatch.setenv("MY_PASSWORD", "verysecret")
    write_video(tmp_path / "walk.mp4")
    (tmp_path / "m.safetensors").write_bytes(model.read_bytes())
    formats = "json,jsonl,csv,tsv,html,srt,vtt,edl,otio,eaf,labelstudio,cvat,activitynet,fiftyone"
    done = quick("segment", "walk.mp4", "-m", "m.safetensors", "-o", "out", "-f", formats)
    texts = {p.name: p.read_text(errors="replace") for p in (tmp_path / "out").iterdir()}
    texts["screen"] = done.stdout + done.stderr
    assert len(texts) == 15
    private = ["verysecret", str(tmp_path), str(Path.home()) + "/"]
    assert {
        (name, word) for name, text in texts.items() for word in private if word in text
    } == set()


@pytest.mark.parametrize("megabytes", [600, pytest.param(1000, marks=pytest.mark.slow)])
def test_little_address_space_is_enough_or_named(
    video: Path, tmp_path: Path, megabytes: int
) -> None:
    program = (
        "import resource; from vidattn.cli import main\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({megabytes << 20}, {megabytes << 20}))\n"
        f"main(['segment', {str(video)!r}, '-m', 'motion-tiny', '-f', 'json'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 6), done.stderr
    assert "Traceback" not in done.stderr
