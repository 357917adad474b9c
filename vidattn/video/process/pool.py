"""Opening one film after the other: in few processes, and the next one ahead of time."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from vidattn.errors import VideoError
from vidattn.io.closing import Closing
from vidattn.video.process.child import ProcessPool
from vidattn.video.process.client import SupervisedVideo
from vidattn.video.protocol import Limits, Video


class _Wish(NamedTuple):
    path: str
    reader: str
    short_side: int | None


def _is_still(video: SupervisedVideo) -> bool:
    """Whether a film that was expected is the one that lies there now."""
    try:
        video.check_unchanged()
    except VideoError:
        return False
    return os.path.lexists(video.path)


class Prefetcher(Closing):
    """Opens films as `open_video` does, for who goes through many of them.

    Frames and errors are those of `open_video`. Decoding processes are kept from film to film (see
    `ProcessPool`), and a process may open the next film while somebody looks at another. limits: of
    every film. For one thread at a time; a context manager that ends the processes kept.
    """

    KEPT = 2
    """Processes that wait for work: one for the film at hand, one for the next or a second look.
    As many films are expected at most, the one at hand and the next."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._spare = ProcessPool(self.KEPT)
        self._coming: dict[_Wish, SupervisedVideo] = {}

    def __call__(
        self,
        path: str | os.PathLike[str],
        *,
        reader: str = "auto",
        short_side: int | None = None,
    ) -> Video:
        """The film, opened before if it was the expected one. Errors as `open_video`."""
        wish = _Wish(os.fspath(path), reader, short_side)
        video = self._coming.pop(wish, None)
        if video is None or not _is_still(video):
            if video is not None:
                video.close()
            return self._begun(wish, ahead=False)
        video.wait()
        return video

    def expect(
        self, path: str | os.PathLike[str], *, reader: str = "auto", short_side: int | None = None
    ) -> None:
        """Let a process begin to open a film that is wanted soon; what was expected longest may be
        given up for it. What is wrong with the film is said when it is wanted."""
        wish = _Wish(os.fspath(path), reader, short_side)
        if wish in self._coming:
            return
        while len(self._coming) >= self.KEPT:
            self._coming.pop(next(iter(self._coming))).close()
        with suppress(VideoError):
            self._coming[wish] = self._begun(wish, ahead=True)

    def _begun(self, wish: _Wish, *, ahead: bool) -> SupervisedVideo:
        return SupervisedVideo(
            wish.path,
            reader=wish.reader,
            short_side=wish.short_side,
            limits=self.limits,
            spare=self._spare,
            ahead=ahead,
        )

    def close(self) -> None:
        """End the processes that are kept; who opens another film begins anew."""
        while self._coming:
            self._coming.popitem()[1].close()
        self._spare.close()
