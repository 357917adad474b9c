"""Segment many small files in one call; watch memory and open files of it and of its decoders.

    python examples/benchmarks/soak.py [FILES]

Prints both after each tenth of the files, and exits with 1 when, from the first tenth to the end,
memory of the process grew by more than 10 %, or that of the largest decoder by more than 10 % and
8 MB, or when files, threads or decoders pile up. Decoders are looked at all the time: the figures
are the highest of each tenth. Needs psutil (`dev` extra).
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil

WATCHED = """
import os, sys
sys.path[:0] = [{here!r}]
from soak import report
from vidattn.cli import main
report({count})
main(["segment", "videos", "-m", "motion-tiny", "-f", "json", "--end", "2", "-o", "out", "-q"])
"""


@dataclass
class Facts:
    """What the process and its decoders hold; memory is resident, in bytes."""

    done: int
    memory: int
    files: int
    threads: int
    decoders: int = 0
    """The most at a time since the facts before, as in what follows."""
    decoder_memory: int = 0
    """Of the largest."""
    decoder_files: int = 0

    def __str__(self) -> str:
        return (
            f"{self.done:5} files done: {self.memory / 1e6:6.1f} MB, {self.files} open, "
            f"{self.threads} threads; {self.decoders} decoders of {self.decoder_memory / 1e6:.1f} "
            f"MB and {self.decoder_files} open at most"
        )

    def look(self, process: psutil.Process) -> None:
        """Take the decoders of a moment into account."""
        children = process.children()
        self.decoders = max(self.decoders, len(children))
        for child in children:
            try:
                memory, files = child.memory_info().rss, child.num_fds()
            except psutil.Error:
                continue  # it has just ended
            self.decoder_memory = max(self.decoder_memory, memory)
            self.decoder_files = max(self.decoder_files, files)


def report(count: int) -> None:
    """Write `Facts` whenever another tenth of the files is done, from a thread of its own."""

    def watch() -> None:
        process, said = psutil.Process(), -1
        since = Facts(0, 0, 0, 0)
        while True:
            since.look(process)
            done = sum(1 for _ in Path("out").rglob("*.json")) if Path("out").is_dir() else 0
            if done * 10 // count > said:
                said = done * 10 // count
                since.done, since.memory = done, process.memory_info().rss
                since.files, since.threads = process.num_fds(), process.num_threads()
                with Path("facts").open("a", encoding="ascii") as file:
                    file.write(" ".join(map(str, astuple(since))) + "\n")
                since = Facts(0, 0, 0, 0)
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True).start()


def main(count: int = 500) -> int:
    """Make the videos, segment them, compare the end with the first tenth."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "videos").mkdir()
        video = Path(__file__).parent.with_name("sample_video.py")
        subprocess.run([sys.executable, video, folder / "one.mp4"], check=True, capture_output=True)
        for i in range(count):
            os.link(folder / "one.mp4", folder / "videos" / f"{i:04d}.mp4")
        program = WATCHED.format(here=str(Path(__file__).parent), count=count)
        begin = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - begin
        lines = (folder / "facts").read_text(encoding="ascii").splitlines()
        written = len(list((folder / "out").rglob("*.json")))
    rows = [Facts(*map(int, line.split())) for line in lines]
    print(*rows, sep="\n")
    first, last = rows[1], rows[-1]
    print(
        f"{written} of {count} files in {seconds:.0f} s, exit code {done.returncode}: from the "
        f"first tenth to the end memory {last.memory / first.memory - 1:+.1%}, of a decoder "
        f"{last.decoder_memory / first.decoder_memory - 1:+.1%}; open files {first.files} and "
        f"{last.files}, of a decoder {first.decoder_files} and {last.decoder_files}"
    )
    if more := grown(first, last):
        print("grown: " + ", ".join(more))
    return 0 if done.returncode == 0 and written == count and not more else 1


def grown(first: Facts, last: Facts) -> list[str]:
    """What of a process and its decoders is more than it may be."""
    most = Facts(
        done=last.done,
        memory=round(1.1 * first.memory),
        files=first.files + 2,
        threads=first.threads + 1,
        decoders=first.decoders + 1,
        decoder_memory=round(1.1 * first.decoder_memory) + (8 << 20),
        decoder_files=first.decoder_files + 2,
    )
    return [f.name for f in fields(most) if getattr(last, f.name) > getattr(most, f.name)]


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
