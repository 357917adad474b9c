"""Everything that can go wrong in a way the user can do something about.

    VidattnError                      exit code 1: a bug, or a failure nobody foresaw
    |-- UsageError                    2: the request contradicts itself
    |-- InputError                    3: something asked for is not there, or is refused
    |   |-- VideoError                   a file that is not a readable video
    |   |-- WeightsError                 a checkpoint that is missing, broken or of another shape
    |   |-- RecipeError                  a recipe or setting with an unknown key or a bad value
    |   `-- DataError                    a data set that is missing or malformed
    |-- OutputError                   5: a result could not be written
    |-- MemoryLimitError              6: out of memory even at batch size 1
    |-- DivergenceError               8: training produced a non-finite loss
    `-- DistributedError              9: a process of a training run died or lost the others

The command line prints `error: <message>` and `hint: <hint>` and exits with `exit_code`.
"""

from __future__ import annotations

from typing import Any


class VidattnError(Exception):
    """The root of every error vidattn raises on purpose: what, where, and a hint what to do."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """As exceptions do it, but without asking __init__, whose keywords pickle does not know."""
        return _unpickled, (type(self), self.args), self.__dict__


def _unpickled(kind: type[VidattnError], words: tuple[Any, ...]) -> VidattnError:
    return kind.__new__(kind, *words)


class UsageError(VidattnError):
    """Arguments that contradict one another or lie outside their range."""

    exit_code = 2


class InputError(VidattnError):
    """Something the user named is not there, cannot be read, or is refused."""

    exit_code = 3


class VideoError(InputError):
    """A file that cannot be used as a video.

    `code` is the stable reason that ends up in JSON: E_EMPTY, E_NOT_VIDEO, E_TRUNCATED,
    E_NO_VIDEO_STREAM, E_TOO_LARGE, E_TIMEOUT, E_DECODER_DIED, E_NOT_REGULAR, E_PERM, E_GONE,
    E_CHANGED, E_CODEC_NOT_ALLOWED, E_DECODE, E_SHORT, E_NO_READER, E_NONFINITE, E_TAKEN,
    E_WORKER_DIED, E_MEMORY.
    """

    def __init__(self, message: str, *, code: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class WeightsError(InputError):
    """A checkpoint that is missing, broken, of an unknown layout, or of another shape."""


class RecipeError(InputError):
    """A recipe or `--set` with an unknown key, a value of the wrong type or out of range."""


class DataError(InputError):
    """A data set that is missing, malformed, or does not fit the model."""


class OutputError(VidattnError):
    """A result that cannot be written; whatever was there before is untouched."""

    exit_code = 5


class MemoryLimitError(VidattnError):
    """Out of memory at batch size 1."""

    exit_code = 6


class DivergenceError(VidattnError):
    """Training met a loss that is not finite."""

    exit_code = 8


class DistributedError(VidattnError):
    """A process that trains together with others died, or cannot reach them."""

    exit_code = 9
