"""Cut the power of a disk while vidattn writes to it, and look at what is on the disk afterwards.

    python examples/benchmarks/power_cuts.py [CUTS] [SEED]

The disk is a file that is mounted (ext4, without its habit of saving those who forget to flush),
so only root can do this. At random instants the program is held, the file is copied, and the
program goes on: the copy is what a power cut at that instant leaves. Each copy is mounted, and held
to this: a file is the old one or the new one, whole; a name that stood there for good is still
there; and the same command, given again, ends in the bytes of a run that nobody disturbed. In
turns: `segment --resume` into new folders, `segment --skip-existing` over older results, and `train
--resume`.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kills import outcome, start

from vidattn.cli import main as vidattn
from vidattn.inference.batch import segment as _segment  # noqa: F401  loaded once, here

MEGABYTES = 32
OPTIONS = "data=writeback,noauto_da_alloc,commit=300"
SEGMENT = ["segment", "videos", "-m", "motion-tiny", "-q", "-f", "json,srt,csv"]
OLD, NEW = ["--overlap", "0"], ["--overlap", "0.9"]
PASSING = (".part", ".log", ".lock", "log.jsonl")
FOLDERS = {"resume": "new/er", "skip-existing": "out", "train": "runs/run"}


def begun(kind: str, disk: Path, *, again: bool = False) -> int:
    """Begin a command in a process of its own, or give it again."""
    if kind == "train":
        folder = disk / FOLDERS[kind]
        return start(folder, 1, again and (folder / "recipe.json").exists())[0]
    return forked([*SEGMENT, "-o", str(disk / FOLDERS[kind]), *NEW, f"--{kind}"])


def forked(command: list[str]) -> int:
    """Start vidattn in a process of its own, which has loaded everything."""
    if child := os.fork():
        return child
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        vidattn(command)
    except SystemExit as end:
        os._exit(int(end.code or 0))
    os._exit(1)


def finish(child: int) -> None:
    """Wait for a process that must end well."""
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit(f"a run ended with status {status}")


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """A disk that lies in a file."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", f"loop,{OPTIONS}", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def content(kind: str, disk: Path) -> dict[str, bytes]:
    """What a run has written for good, by its path below the disk."""
    folder = disk / FOLDERS[kind]
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {str(path.relative_to(disk)): path for path in found}
    return {name: p.read_bytes() for name, p in names.items() if not name.endswith(PASSING)}


def results(kind: str, disk: Path) -> dict[str, bytes]:
    """What two finished runs must have in common."""
    return outcome(disk / FOLDERS[kind]) if kind == "train" else content(kind, disk)


def settled(kind: str, disk: Path) -> dict[str, bytes]:
    """`content` without the file that got its name last, and may not be flushed yet."""
    found = content(kind, disk)
    last = max(found, key=lambda name: (disk / name).stat().st_ctime_ns, default="")
    return {name: data for name, data in found.items() if name != last}


def held(child: int, image: Path, copy: Path) -> None:
    """Copy the disk of a process while it is stopped; twice, should the system be writing to it."""
    os.kill(child, signal.SIGSTOP)
    shutil.copyfile(image, copy)
    while True:
        before = copy.read_bytes()
        shutil.copyfile(image, copy)
        if copy.read_bytes() == before:
            return
        time.sleep(0.01)


def cuts_of(
    kind: str, image: Path, work: Path, cuts: int, seconds: float, rng: random.Random
) -> list[tuple[Path, dict[str, bytes]]]:
    """A run, its power cut so often: copies of its disk, and what stood there for good."""
    moments = sorted(rng.uniform(0, seconds) for _ in range(cuts))
    found = []
    with mounted(image, work / "disk") as disk:
        child, began = begun(kind, disk), time.monotonic()
        for number, moment in enumerate(moments):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            if os.waitpid(child, os.WNOHANG)[0]:
                return found
            copy = work / f"{kind}-{number}.img"
            held(child, image, copy)
            found.append((copy, settled(kind, disk)))
            os.kill(child, signal.SIGCONT)
        finish(child)
    return found


def faults(
    kind: str, copy: Path, stood: dict[str, bytes], old: dict[str, bytes], new: dict[str, bytes],
    work: Path,
) -> list[str]:  # fmt: skip
    """What is wrong with the disk after a cut, and with what the same command makes of it."""
    wrong = []
    with mounted(copy, work / "after") as disk:
        there = content(kind, disk)
        for name in sorted(old | stood | there):
            known = {old.get(name), new.get(name), stood.get(name)} - {None}
            if name in there and known and there[name] not in known:
                wrong.append(f"{name} is torn: {len(there[name])} bytes")
            elif name not in there and (name in old or name in stood) and kind != "train":
                wrong.append(f"{name} is gone")
            elif name in stood and there.get(name) == old.get(name) != stood[name]:
                wrong.append(f"{name} is the old one again")
        finish(begun(kind, disk, again=True))
        end = results(kind, disk)
        wrong += [f"{k} ends otherwise" for k in end.keys() | new if end.get(k) != new.get(k)]
        left = [p.name for p in disk.rglob("*") if p.name.endswith(PASSING[:3])]
        wrong += [f"left over: {left}"] if left else []
    return wrong


def undisturbed(kind: str, image: Path, work: Path) -> tuple[dict[str, bytes], float]:
    """What a run ends with, and its seconds."""
    with mounted(image, work / "disk") as disk:
        began = time.monotonic()
        finish(begun(kind, disk))
        seconds = time.monotonic() - began
        return results(kind, disk), seconds


def blank(work: Path, kind: str) -> tuple[Path, dict[str, bytes]]:
    """A new disk, with older results on it where a run is to replace some; and these."""
    image = work / "disk.img"
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(MEGABYTES << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    if kind != "skip-existing":
        return image, {}
    with mounted(image, work / "disk") as disk:
        finish(forked([*SEGMENT, "-o", str(disk / FOLDERS[kind]), *OLD]))
        return image, content(kind, disk)


def main(cuts: int = 20, seed: int = 0) -> int:
    """Cut, look, go on, compare; 0 when all is well."""
    rng, done, bad = random.Random(seed), 0, 0
    video = Path(__file__).parent.with_name("sample_video.py")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "videos").mkdir()
        for number in range(3):
            place = work / "videos" / f"{number}.mp4"
            subprocess.run([sys.executable, video, place], check=True, capture_output=True)
        os.chdir(work)
        for turn, kind in enumerate(FOLDERS):
            share = cuts // 3 + (turn < cuts % 3)
            new, seconds = undisturbed(kind, blank(work, kind)[0], work)
            while share > 0:
                image, old = blank(work, kind)
                for copy, stood in cuts_of(kind, image, work, share, seconds, rng):
                    wrong = faults(kind, copy, stood, old, new, work)
                    done, bad, share = done + 1, bad + bool(wrong), share - 1
                    found = "; ".join(wrong) or "all well"
                    print(f"{kind}: {len(stood)} files stood there; {found}", flush=True)
    print(f"{done} power cuts, {bad} with something lost, torn or different", flush=True)
    return 1 if bad or not done else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
