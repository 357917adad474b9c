"""Segment many small files in one call, and watch memory and open files of the process.

    python examples/benchmarks/soak.py [FILES]

Prints both after a tenth of the files and at the end, and exits with 1 when memory grew by more
than 10 % or a file, thread or child process was left behind.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

WATCHED = """
import os, sys
sys.path[:0] = [{here!r}]
from soak import report
from vidattn.cli import main
report({count})
main(["segment", "films", "-m", "motion-tiny", "-f", "json", "--end", "2", "-o", "out", "-q"])
"""


def facts() -> tuple[int, int, int]:
    """Resident kilobytes, open files and threads of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    values = dict(line.split(":", 1) for line in status)
    return (
        int(values["VmRSS"].split()[0]),
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        int(values["Threads"]),
    )


def report(count: int) -> None:
    """Print `facts` whenever another tenth of the files is done, from a thread of its own."""

    def watch() -> None:
        said = -1
        while True:
            done = sum(1 for _ in Path("out").rglob("*.json")) if Path("out").is_dir() else 0
            if done * 10 // count > said:
                said = done * 10 // count
                with Path("facts").open("a", encoding="ascii") as file:
                    file.write(" ".join(map(str, (done, *facts()))) + "\n")
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True).start()


def main(count: int = 500) -> int:
    """Make the films, segment them, compare the end with the first tenth."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "films").mkdir()
        film = Path(__file__).parent.with_name("film.py")
        subprocess.run([sys.executable, film, folder / "one.mp4"], check=True, capture_output=True)
        for i in range(count):
            os.link(folder / "one.mp4", folder / "films" / f"{i:04d}.mp4")
        program = WATCHED.format(here=str(Path(__file__).parent), count=count)
        begin = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - begin
        lines = (folder / "facts").read_text(encoding="ascii").splitlines()
        written = len(list((folder / "out").rglob("*.json")))
    rows = [tuple(map(int, line.split())) for line in lines]
    for number, memory, files, threads in rows:
        print(f"{number:5} files done: {memory / 1024:6.1f} MB, {files} open, {threads} threads")
    (_, early, files, _), (_, late, at_end, _) = rows[1], rows[-1]
    print(
        f"{written} of {count} files in {seconds:.0f} s, exit code {done.returncode}: memory "
        f"{late / early - 1:+.1%} from the first tenth to the end, open files {files} and {at_end}"
    )
    sound = done.returncode == 0 and written == count
    return 0 if sound and late <= 1.1 * early and at_end <= files + 2 else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
