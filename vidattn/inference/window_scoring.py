"""Windows over a film, scored in order: more where it matters, fewer where nothing moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor

from vidattn.data.frames import oldest_needed
from vidattn.data.plan import halfway
from vidattn.inference.adaptive import AdaptiveSampling
from vidattn.inference.events import Scored, Scores
from vidattn.inference.feature_cache import FeatureCache
from vidattn.inference.profiling import Stopwatch
from vidattn.inference.resume import ResumePoint, fresh_every
from vidattn.models.classifier import Classifier
from vidattn.types import View, Window


class WindowScorer:
    """The windows of one film."""

    def __init__(
        self,
        windows: Mapping[Window, View],
        added: Mapping[Window, View],
        classifier: Classifier,
        viewer: FeatureCache,
        economy: AdaptiveSampling = AdaptiveSampling(),
        width: int = 0,
    ) -> None:
        """added: windows that refining may ask for. width: of the vectors that the viewer gives
        behind the logits."""
        self._windows, self._views = list(windows), {**windows, **added}
        self._classifier, self._viewer, self._economy = classifier, viewer, economy
        self._classes = len(classifier.labels)
        # One table for all scores: small arrays that outlive large ones would fragment the heap.
        self._table = np.empty((len(self._views), self._classes + width), np.float32)
        self._count = len(self._windows)
        self._last: Scored | None = None
        self._still: Tensor | None = None

    def scored(
        self, batch_size: int, clock: Stopwatch, part: ResumePoint = ResumePoint()
    ) -> Iterator[Scored]:
        """Every window of `part` once, `batch_size` at a time; windows that are added come after
        the batch that called for them, numbered on from the last of those given."""
        views = [self._views[window] for window in self._windows]
        oldest = oldest_needed(views)
        self._last, self._count = part.last, self._count + part.added
        for first in part.batches(len(views), batch_size):
            batch = range(first, min(first + batch_size, len(views)))
            # What is added may lie between this batch and the one before.
            keep = oldest[first - 1 if first and self._economy.refine else first]
            self._viewer.wind(keep, max(max(views[i].indices) for i in batch))
            if first < part.first:
                if part.still in batch:
                    self._still = self._viewer.pixels(views[part.still])
                continue
            if first % fresh_every(batch_size) == 0:
                self._viewer.forget()
            before = self._last
            with clock("model_s"):
                done = self._in_order(batch)
            yield from done
            yield from self._refined([before, *done] if before else done, batch_size, clock)
            self._last = done[-1]

    def _in_order(self, batch: range) -> list[Scored]:
        """Windows given; those that show what the last computed one shows are not computed."""
        fresh = [i for i in batch if self._moves(self._windows[i])]
        logits = iter(self._viewer([self._views[self._windows[i]] for i in fresh]))
        done: list[Scored] = []
        for i in batch:
            if i in fresh:
                done.append(self._kept(i, self._windows[i], next(logits)))
            else:
                before = done[-1] if done else self._last
                assert before is not None
                done.append(
                    Scored(i, self._windows[i], before.scores, reused=True, vector=before.vector)
                )
        return done

    def _moves(self, window: Window) -> bool:
        """Whether a window shows something else than the last one that did."""
        if self._economy.static is None:
            return True
        pixels = self._viewer.pixels(self._views[window])
        if pixels is not None and self._still is not None:
            change = (pixels - self._still).abs().mean((0, 2, 3)).max().item()
            if change <= self._economy.static:
                return False
        self._still = pixels
        return True

    def _refined(
        self, done: Sequence[Scored], batch_size: int, clock: Stopwatch
    ) -> Iterator[Scored]:
        """Windows between neighbours that call for them, until none does."""
        gaps = list(pairwise(done))
        while wanted := [(a, w, b) for a, b in gaps if (w := self._wanted(a, b))]:
            found: list[Scored] = []
            for first in range(0, len(wanted), batch_size):
                windows = [window for _, window, _ in wanted[first : first + batch_size]]
                with clock("model_s"):
                    logits = self._viewer([self._views[window] for window in windows])
                for window, one in zip(windows, logits, strict=True):
                    found.append(self._kept(self._count, window, one))
                    self._count += 1
                    yield found[-1]
            middles = zip(wanted, found, strict=True)
            gaps = [pair for (a, _, b), m in middles for pair in ((a, m), (m, b))]

    def _wanted(self, left: Scored, right: Scored) -> Window | None:
        """The window to add between two, if any."""
        finest = self._economy.refine
        if finest is None or right.reused or left.scores is None or right.scores is None:
            return None
        if not self._economy.unsettled(left.scores, right.scores):
            return None
        return halfway(left.window, right.window, finest)

    def _kept(self, index: int, window: Window, logits: Tensor | None) -> Scored:
        if logits is None:
            return Scored(index, window, None)
        row: Scores = self._table[index]
        scores, vector = row[: self._classes], row[self._classes :]
        scores[:] = self._classifier.scores(logits[None, : self._classes]).numpy()
        vector[:] = logits[self._classes :].numpy()
        return Scored(index, window, scores, vector=vector if len(vector) else None)
