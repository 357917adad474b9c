"""Processes of `vidattn` that share the import of torch.

A server imports it once and forks for every command, which then is a process like any other, with
its own streams, folder, environment and signals. Tests of the start itself run `python -m vidattn`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.reduction import DupFd
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess, TimeoutExpired
from tempfile import TemporaryFile
from typing import Any, TextIO

ROOT = Path(__file__).parent.parent
SERVED = multiprocessing.get_context("forkserver")
CALL = "from vidattn.cli import main; main(sys.argv[1:])"


class Popen:
    """As `subprocess.Popen` of `python -m vidattn WORDS`, or of `python -c CODE WORDS`.

    Streams: a file, a descriptor, DEVNULL, or PIPE, which is text here.
    """

    def __init__(
        self,
        words: Sequence[object],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Any = DEVNULL,
        stdout: Any = DEVNULL,
        stderr: Any = DEVNULL,
        code: str = CALL,
    ) -> None:
        _start_server()
        self._opened = list[int]()
        self.stdout: TextIO | None = None
        self.stderr: TextIO | None = None
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        numbers = [self._number(name, stream) for name, stream in streams.items()]
        self._process = SERVED.Process(
            target=_run,
            args=(
                code,
                [str(word) for word in words],
                str(cwd or Path.cwd()),
                dict(os.environ if env is None else env),
                [_Descriptor(number) for number in numbers],
            ),
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        for number in self._opened:
            os.close(number)

    def _number(self, name: str, stream: Any) -> int:
        if stream == PIPE:
            reader, writer = os.pipe()
            setattr(self, name, os.fdopen(reader, encoding="utf-8", errors="replace"))
        elif stream == DEVNULL:
            writer = os.open(os.devnull, os.O_RDWR)
        else:
            return stream if isinstance(stream, int) else stream.fileno()  # type: ignore[no-any-return]
        self._opened.append(writer)
        return writer

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    poll = returncode.fget

    def wait(self, timeout: float = 280) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutExpired(self._process.name, timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> Popen:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.kill()
        self.wait()
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()


def run(
    words: Sequence[object],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: str = "",
    stdout: Any = None,
    code: str = CALL,
) -> CompletedProcess[str]:
    """Run `vidattn WORDS`, or `python -c CODE WORDS`, to its end; what it printed is text."""
    with TemporaryFile("w+") as given, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        given.write(stdin)
        given.seek(0)
        streams = {"stdin": given, "stdout": out if stdout is None else stdout, "stderr": err}
        with Popen(words, cwd=cwd, env=env, code=code, **streams) as process:
            status = process.wait()
        out.seek(0)
        err.seek(0)
        return CompletedProcess(list(words), status, out.read(), err.read())


def stop(
    words: Sequence[object], folder: Path, after: str, number: int, **env: str
) -> tuple[int, str]:
    """Send a command a signal once it has told something: its exit code, and what it told then."""
    with Popen(words, cwd=folder, env={**os.environ, **env}, stderr=PIPE) as process:
        next(line for line in process.stderr if after in line)
        process.send_signal(number)
        told = process.stderr.read()
        assert "Traceback" not in told
        return process.wait(), told


class _Descriptor:
    """A file descriptor that a process is given."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return _detach, (DupFd(self.number),)


def _detach(descriptor: Any) -> int:
    return int(descriptor.detach())


def _start_server() -> None:
    """Start the server where `tests` can be imported, unless it runs."""
    SERVED.set_forkserver_preload(["tests.preloaded"])
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        forkserver.ensure_running()
    finally:
        os.chdir(before)


def _run(code: str, words: list[str], folder: str, env: dict[str, str], streams: list[int]) -> None:
    """The life of a process."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    encoding = env.get("PYTHONIOENCODING", "utf-8")
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding=encoding, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(folder)
    sys.argv = ["vidattn", *words]
    exec(code, {"sys": sys, "__name__": "process"})
