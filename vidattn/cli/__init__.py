"""The command line: wires options to the library, prints results, and turns errors into exit codes.

Nothing here is imported by the library, and nothing here loads torch before a command runs.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from vidattn.cli.terminal.signals import StopRequested, stop_on_signals
from vidattn.errors import MemoryLimitError, VidattnError


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code; every VidattnError becomes two lines on stderr."""
    _open_streams()
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    code = 0
    try:
        stop_on_signals()
        from vidattn.cli.app import run

        code = run(sys.argv[1:] if arguments is None else list(arguments))
    except VidattnError as error:
        _fail(error)
    except (MemoryError, ImportError, OSError) as error:
        if (lack := _lack_of_resources(error)) is None:
            raise
        _fail(lack)
    except StopRequested as stopped:
        # Not sys.exit: threads and workers of a stopped run must not delay the end.
        _flush()
        os._exit(stopped.exit_code)
    sys.exit(code)


def _fail(error: VidattnError) -> NoReturn:
    from vidattn.cli.terminal.console import Console

    Console().fail(error)
    sys.exit(error.exit_code)


def _lack_of_resources(error: Exception) -> VidattnError | None:
    """An error that is about this process, and not about what it does, in words."""
    text = str(error).lower()
    if (
        isinstance(error, MemoryError)
        or "failed to map segment" in text
        or "cannot allocate" in text
    ):
        return MemoryLimitError("out of memory", hint="`ulimit -v` shows the limit of this shell")
    if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
        hint = "`ulimit -n` shows the limit of this shell"
        return MemoryLimitError("too many open files", hint=hint)
    return None


def _open_streams() -> None:
    """Replace closed standard streams, so that no other file gets their number."""
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(spare)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _flush() -> None:
    """Flush the output streams; a closed one is ignored."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            continue
