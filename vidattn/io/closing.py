"""What can be closed can be used in a `with` statement, which closes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

T = TypeVar("T", bound="Closing")


class Closing(ABC):
    """A context manager that is closed when its block ends, however that ends."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held; calling it twice is fine."""

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
