"""Scores of the windows of a video, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

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
    """Scores the windows of one video; those that show the same frames share one computation.

    Scores are also reused where the picture stands still, if asked for.

    skip_static: as of `Windowing`. width: length of the embeddings behind the logits of `features`.
    """

    def __init__(
        self,
        windows: Mapping[Window, View],
        classifier: Classifier,
        features: FeatureCache,
        skip_static: float | None = None,
        width: int = 0,
    ) -> None:
        self._windows, self._views = list(windows), list(windows.values())
        self._classifier, self._features, self._skip_static = classifier, features, skip_static
        self._classes = len(classifier.labels)
        # One table for all scores: small arrays that outlive large ones would fragment the heap.
        self._table = np.empty((len(windows), self._classes + width), np.float32)
        self._last: Scored | None = None
        self._still: Tensor | None = None

    def score(
        self, batch_size: int, clock: Stopwatch, resumed: ResumePoint = ResumePoint()
    ) -> Iterator[Scored]:
        """Score every window that is left to do, `batch_size` at a time."""
        views = self._views
        oldest = oldest_needed(views)
        self._last = resumed.last
        for first in resumed.batches(len(views), batch_size):
            batch = range(first, min(first + batch_size, len(views)))
            self._features.advance(oldest[first], max(max(views[i].indices) for i in batch))
            if first < resumed.first:
                if resumed.still in batch:
                    self._still = self._features.pixels(views[resumed.still])
                continue
            if first % fresh_every(batch_size) == 0:
                self._features.clear()
            with clock("model_s"):
                scored = self._score_batch(batch)
            yield from scored
            self._last = scored[-1]

    def _score_batch(self, batch: range) -> list[Scored]:
        views = self._views
        repeated = {i for i in batch if i > 0 and views[i] == views[i - 1]}
        fresh = [i for i in batch if i not in repeated and self._changes(views[i])]
        logits = iter(self._features([views[i] for i in fresh]))
        scored: list[Scored] = []
        for i in batch:
            if i in fresh:
                scored.append(self._event(i, next(logits)))
            else:
                before = scored[-1] if scored else self._last
                assert before is not None
                scored.append(replace(before, index=i, window=self._windows[i], reused=True))
        return scored

    def _changes(self, view: View) -> bool:
        """Whether a view differs from the last one for which this was true."""
        if self._skip_static is None:
            return True
        pixels = self._features.pixels(view)
        if pixels is not None and self._still is not None:
            change = (pixels - self._still).abs().mean((0, 2, 3)).max().item()
            if change <= self._skip_static:
                return False
        self._still = pixels
        return True

    def _event(self, index: int, logits: Tensor | None) -> Scored:
        if logits is None:
            return Scored(index, self._windows[index], None)
        row: Scores = self._table[index]
        scores, embedding = row[: self._classes], row[self._classes :]
        scores[:] = self._classifier.scores(logits[None, : self._classes]).numpy()
        embedding[:] = logits[self._classes :].numpy()
        own = embedding if len(embedding) else None
        return Scored(index, self._windows[index], scores, embedding=own)
