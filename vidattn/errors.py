"""Errors that a user can do something about, and the exit codes they end a command with.

    VidattnError              1: an internal error
    |-- UsageError            2: arguments that contradict one another
    |-- InputError            3: an input that is missing, unreadable or refused
    |   |-- VideoError           a file that is not a readable video
    |   |-- WeightsError         a checkpoint that is missing, broken or of another shape
    |   |-- RecipeError          a recipe with an unknown key or an invalid value
    |   `-- DataError            a dataset that is missing or malformed
    |-- OutputError           5: a result that cannot be written
    |   `-- OutputPathError        one whose own path is refused, while others can be written
    |-- MemoryLimitError      6: out of memory at batch size 1
    |-- DivergenceError       8: a training loss that is not finite
    `-- DistributedError      9: a training process that died or lost the others

The command line prints `error: <message>` and `hint: <hint>` and exits with `exit_code`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit codes of every command; a command stopped by signal N ends with 128 + N."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    FAILED = 3
    """No input was usable: missing, unreadable or refused."""
    INCOMPLETE = 4
    """The command finished, but at least one input or span of a video failed."""
    NOT_WRITTEN = 5
    OUT_OF_MEMORY = 6
    NOT_AS_EXPECTED = 7
    """A metric missed its `--expect`."""
    DIVERGED = 8
    DISTRIBUTED = 9


class VidattnError(Exception):
    """The root of all errors that vidattn raises on purpose: a message and a hint.

    In Python the hint is shown below the message as a note.
    """

    exit_code: int = ExitCode.INTERNAL

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without calling __init__, whose keyword arguments pickle does not know."""
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(kind: type[VidattnError], args: tuple[Any, ...]) -> VidattnError:
    return kind.__new__(kind, *args)


class UsageError(VidattnError):
    """Arguments that contradict one another or lie outside their range."""

    exit_code = ExitCode.USAGE


class InputError(VidattnError):
    """An input that is missing, cannot be read, or is refused."""

    exit_code = ExitCode.FAILED


class VideoError(InputError):
    """A file that cannot be used as a video.

    `code` is the stable reason code in JSON: E_EMPTY, E_NOT_VIDEO, E_TRUNCATED,
    E_NO_VIDEO_STREAM, E_TOO_LARGE, E_TIMEOUT, E_DECODER_DIED, E_NOT_REGULAR, E_PERM, E_GONE,
    E_CHANGED, E_CODEC_NOT_ALLOWED, E_DECODE, E_SHORT, E_NO_READER, E_NONFINITE, E_TAKEN,
    E_WORKER_DIED, E_MEMORY, E_SYSTEM, E_UNREAD, E_NO_SANDBOX, E_AREA, E_PARTS.
    """

    def __init__(self, message: str, *, code: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


TRANSIENT = frozenset({"E_DECODER_DIED", "E_TIMEOUT", "E_MEMORY", "E_SYSTEM"})
"""Reason codes of failures and gaps that another attempt may avoid."""


class WeightsError(InputError):
    """A checkpoint that is missing, broken, of an unknown layout, or of another shape."""


class RecipeError(InputError):
    """A recipe or `--set` with an unknown key, a value of the wrong type or out of range."""


class DataError(InputError):
    """A dataset that is missing, malformed, or does not fit the model."""


class OutputError(VidattnError):
    """A result that cannot be written; an existing file stays untouched."""

    exit_code = ExitCode.NOT_WRITTEN


class OutputPathError(OutputError):
    """A result whose own path cannot be written, while others can: too long, or a link."""


class MemoryLimitError(VidattnError):
    """Out of memory at batch size 1."""

    exit_code = ExitCode.OUT_OF_MEMORY


class DivergenceError(VidattnError):
    """A training loss that is not finite."""

    exit_code = ExitCode.DIVERGED


class DistributedError(VidattnError):
    """A training process that died or cannot reach the others."""

    exit_code = ExitCode.DISTRIBUTED


class StopWork(BaseException):
    """A request to stop, for signal handlers to raise: work in progress is saved on its way out."""
