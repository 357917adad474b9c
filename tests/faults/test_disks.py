"""Outputs that cannot be written: exit code 5, the place named, nothing torn, no temporary file."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests import processes
from tests.cli.test_train_and_eval import TINY
from tests.helpers import Run, write_video


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def filled(disk: Path, left: int = 0) -> Path:
    """Leave no more than so many bytes on a disk."""
    file = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while True:
            os.write(file, bytes(1024))
    os.close(file)
    if left:
        os.truncate(disk / "filler", (disk / "filler").stat().st_size - left)
    return disk


@pytest.mark.parametrize("left", [0, 4096, 12288])
def test_a_full_disk_ends_a_timeline(
    quick: Run, video: Path, model: Path, small_disk: Path, left: int
) -> None:
    filled(small_disk, left)
    done = quick("segment", video, "-m", model, "-o", small_disk, "-f", "json,html", code=5)
    assert f"error: {small_disk}" in done.stderr
    assert "No space left on device" in done.stderr
    assert not [n for n in names(small_disk) if n.endswith(".part")]
    remaining = [n for n in names(small_disk) if n != "filler" and not n.endswith(".log")]
    assert all((small_disk / name).stat().st_size > 0 for name in remaining)
    (small_disk / "filler").unlink()
    quick("segment", video, "-m", model, "-o", small_disk, "-f", "json,csv", "--resume")
    assert names(small_disk) >= ["walk.vidattn.csv", "walk.vidattn.json"]


def test_full_disks_keep_old_files(quick: Run, video: Path, model: Path, small_disk: Path) -> None:
    quick("segment", video, "-m", model, "-o", small_disk, "-f", "json")
    (written,) = small_disk.glob("*.json")
    before = written.read_bytes()
    filled(small_disk)
    quick("segment", video, "-m", model, "-o", small_disk, "-f", "json", "--stride", "0.3", code=5)
    assert written.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ("timeline", "{json}", "-f", "html", "-o", "{disk}"),
        ("models", "import", "{model}", "-o", "{disk}/m.safetensors"),
        ("models", "export", "{model}", "--layout", "official", "-o", "{disk}/m.pyth"),
        ("models", "export", "{model}", "--layout", "hf", "-o", "{disk}/m"),
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_every_command_names_a_full_disk(
    quick: Run, video: Path, model: Path, small_disk: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    quick("segment", video, "-m", model, "-o", tmp_path / "o", "-f", "json")
    filled(small_disk)
    places = {"json": next((tmp_path / "o").glob("*.json")), "model": model, "disk": small_disk}
    done = quick(*[word.format(**places) for word in words], code=5)
    assert "No space left on device" in done.stderr
    assert names(small_disk) == ["filler"]


def test_training_on_a_full_disk_leaves_no_part(
    quick: Run, small_disk: Path, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    for label in ("left", "right"):
        for i in range(4):
            (clips / label).mkdir(parents=True, exist_ok=True)
            write_video(clips / label / f"{i}.mp4", seconds=1.0)
    done = quick(
        *("train", "--dataset", clips, "--run-dir", small_disk / "run", "--epochs", "1"),
        *("--set", "model.width=32", "--set", "model.depth=1", "--set", "model.heads=2"),
        *("--batch-size", "2", "--init", "none"),
        code=5,
    )
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((small_disk / "run").rglob("*.part"))


@pytest.mark.slow
def test_a_full_disk_of_the_first_of_several_processes_ends_all_with_one_cause(
    vidattn: Run, small_disk: Path
) -> None:
    done = vidattn(
        *("train", "--dataset", "motion", *TINY, "--run-dir", small_disk / "run"),
        *("--nproc", "2", "--quiet"),
        code=5,
    )
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        line for line in done.stderr.splitlines() if "No space left on device" in line
    ]
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr


def test_a_file_size_limit_is_named(video: Path, model: Path, tmp_path: Path) -> None:
    # In a process of its own: the limit holds for every file that a process writes, and the log
    # of the tests may be one.
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000));"
        "from vidattn.cli import main; main(sys.argv[1:])"
    )
    out = tmp_path / "out"
    words = ["segment", video, "-m", model, "-o", out, "-f", "html"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = processes.run(words, cwd=tmp_path, env=environment, code=limited)
    assert done.returncode == 5, done.stderr
    assert "File too large" in done.stderr
    assert not [name for name in names(out) if not name.endswith(".log")]


def test_a_read_only_disk_is_named(quick: Run, video: Path, model: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = quick("segment", video, "-m", model, "-o", small_disk, code=5)
    assert done.stderr.startswith(f"error: {small_disk}: cannot be written: Read-only file system")
    assert "-o" in done.stderr.splitlines()[1]


def test_vanished_folders_are_handled(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def remove() -> None:
        stop = time.monotonic() + 60
        while time.monotonic() < stop:
            if list(out.glob("*.log")):
                shutil.rmtree(out)
                return
            time.sleep(0.001)

    thread = threading.Thread(target=remove)
    thread.start()
    done = quick(
        "segment", video, "-m", model, "-o", out, "-f", "json", "--stride", "0.01", code=None
    )
    thread.join()
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 5), done.stderr
    if done.returncode == 0:
        assert (out / "walk.vidattn.json").stat().st_size > 0


def test_devices_and_pipes_are_refused_as_output(quick: Run, model: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    for place in ("/dev/full", tmp_path / "pipe.safetensors"):
        done = quick("models", "import", model, "-o", place, code=None)
        assert done.returncode in (2, 5), done.stderr
        assert "Traceback" not in done.stderr
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
