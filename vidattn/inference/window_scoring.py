"""Scores of the windows of a video, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor

from vidattn.data.frames import oldest_needed
from vidattn.inference.events import Scored, Scores
from vidattn.inference.feature_cache import FeatureCache
from vidattn.inference.profiling import Stopwatch
from vidattn.inference.resume import ResumePoint, fresh_every
from vidattn.models.classifier import Classifier
from vidattn.types import View, Window


class WindowScorer:
    """The windows of one video."""

    def __init__(
        self,
        windows: Mapping[Window, View],
        classifier: Classifier,
        viewer: FeatureCache,
        skip_static: float | None = None,
        width: int = 0,
    ) -> None:
        """skip_static: as of `Windowing`. width: of the embeddings that the viewer gives behind the
        logits."""
        self._windows, self._views = list(windows), list(windows.values())
        self._classifier, self._viewer, self._skip_static = classifier, viewer, skip_static
        self._classes = len(classifier.labels)
        # One table for all scores: small arrays that outlive large ones would fragment the heap.
        self._table = np.empty((len(windows), self._classes + width), np.float32)
        self._last: Scored | None = None
        self._still: Tensor | None = None

    def scored(
        self, batch_size: int, clock: Stopwatch, part: ResumePoint = ResumePoint()
    ) -> Iterator[Scored]:
        """Every window of `part` once, `batch_size` at a time."""
        views = self._views
        oldest = oldest_needed(views)
        self._last = part.last
        for first in part.batches(len(views), batch_size):
            batch = range(first, min(first + batch_size, len(views)))
            self._viewer.advance(oldest[first], max(max(views[i].indices) for i in batch))
            if first < part.first:
                if part.still in batch:
                    self._still = self._viewer.pixels(views[part.still])
                continue
            if first % fresh_every(batch_size) == 0:
                self._viewer.forget()
            with clock("model_s"):
                done = self._in_order(batch)
            yield from done
            self._last = done[-1]

    def _in_order(self, batch: range) -> list[Scored]:
        """Windows given; those that show what the last computed one shows are not computed."""
        fresh = [i for i in batch if self._moves(self._views[i])]
        logits = iter(self._viewer([self._views[i] for i in fresh]))
        done: list[Scored] = []
        for i in batch:
            if i in fresh:
                done.append(self._kept(i, self._windows[i], next(logits)))
            else:
                before = done[-1] if done else self._last
                assert before is not None
                done.append(
                    Scored(
                        i, self._windows[i], before.scores, reused=True, embedding=before.embedding
                    )
                )
        return done

    def _moves(self, view: View) -> bool:
        """Whether a window shows something else than the last one that did."""
        if self._skip_static is None:
            return True
        pixels = self._viewer.pixels(view)
        if pixels is not None and self._still is not None:
            change = (pixels - self._still).abs().mean((0, 2, 3)).max().item()
            if change <= self._skip_static:
                return False
        self._still = pixels
        return True

    def _kept(self, index: int, window: Window, logits: Tensor | None) -> Scored:
        if logits is None:
            return Scored(index, window, None)
        row: Scores = self._table[index]
        scores, embedding = row[: self._classes], row[self._classes :]
        scores[:] = self._classifier.scores(logits[None, : self._classes]).numpy()
        embedding[:] = logits[self._classes :].numpy()
        return Scored(index, window, scores, embedding=embedding if len(embedding) else None)
