"""Embeddings of the windows of a video by a model, from the cache where they are there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from vidattn.config.serialization import to_plain
from vidattn.data.embeddings import EmbeddingCache, WindowEmbeddings
from vidattn.data.frames import file_start, item_window
from vidattn.data.plan import Windowing
from vidattn.inference.events import Finished
from vidattn.inference.scorer import precision_of
from vidattn.inference.stream import stream
from vidattn.inference.window_scoring import resolve_overlap
from vidattn.models.classifier import Classifier, find_kind
from vidattn.models.device import Runtime
from vidattn.models.taught import TaughtModel
from vidattn.types import Item
from vidattn.video import Opening, Video, open_video
from vidattn.video.boxes import digest_boxes

HEAD_SETTINGS = ("classes", "head", "levels", "examples", "width", "heads")
"""Settings of a taught model on which embeddings do not depend."""


class Embedder:
    """Embeds windows with one model, see `embed`.

    The embedding is that of the model before its head: of a taught model [P x G x D], which does
    not depend on what it was taught. windowing: length and stride; its region is that of the item.
    """

    def __init__(
        self,
        classifier: Classifier,
        windowing: Windowing = Windowing(),
        *,
        cache: EmbeddingCache | None = None,
        runtime: Runtime = Runtime(),
        opening: Opening = open_video,
    ) -> None:
        self.classifier = classifier
        # Scores are not used. One object for all items, since each fuses the weights for itself.
        self._plain = replace(classifier, activation="softmax", thresholds=())
        self.windowing = resolve_overlap(windowing, classifier)
        self.cache = EmbeddingCache() if cache is None else cache
        self.runtime, self.opening = runtime, opening
        precision = precision_of(classifier, runtime)
        self.facts = {**describe_embedding(classifier), "precision": precision}
        if precision == "int8" and classifier.int8 is not None:
            self.facts["int8"] = to_plain(classifier.int8)

    def embed(self, item: Item) -> WindowEmbeddings:
        """The embeddings of all windows of an item; the video is opened only if they are missing.

        Raises VideoError as `vidattn.stream`.
        """
        windowing = self.windowing
        if item.window is not None:
            windowing = replace(windowing, start=item.window.start, end=item.window.stop)
        looking = self._plain.look_at(self._plain.clip.rois.get(item.roi))
        seen = {"clip": to_plain(looking.clip), "frames": item.frames}
        if boxes := digest_boxes(looking.clip.boxes):
            seen["boxes"] = boxes
        facts = {**self.facts, **seen, "windowing": windowing.to_dict()}
        key = self.cache.key(item.path, facts)
        found = self.cache.find(key)
        if found is not None:
            return found
        return self.cache.add(key, self._compute(item, windowing, looking))

    def _compute(self, item: Item, windowing: Windowing, looking: Classifier) -> WindowEmbeddings:
        if item.frames is not None:
            with self.opening(item.path) as video:
                span, offset = item_window(video, item), file_start(video)
            windowing = replace(windowing, start=span.start + offset, end=span.stop + offset)
        *_, last = stream(
            item.path,
            looking,
            windowing,
            runtime=self.runtime,
            embeddings=True,
            opening=self.opening,
        )
        assert isinstance(last, Finished)
        assert last.embeddings is not None
        ends = [(w.start, w.stop) for w in last.timeline.windows]
        return WindowEmbeddings(np.array(ends, np.float64).round(3), last.embeddings)

    def duration(self, path: str) -> float:
        """The seconds of a video; it is opened only if they are not in the cache.

        Raises VideoError.
        """
        return self._know(path, "duration", lambda video: video.duration)

    def start(self, path: str) -> float:
        """The seconds from the start of the file to the first frame, as of `duration`."""
        return self._know(path, "start", file_start)

    def _know(self, path: str, what: str, read: Callable[[Video], float]) -> float:
        key = self.cache.key(path, {"what": what})
        seconds = self.cache.duration(key)
        if seconds is None:
            with self.opening(path, short_side=self.classifier.clip.short_side) as video:
                seconds = read(video)
            self.cache.add_duration(key, seconds)
        return seconds


def describe_embedding(classifier: Classifier) -> Mapping[str, Any]:
    """All that the embedding of a clip depends on, as JSON values."""
    model = classifier.model
    plain = {"kind": find_kind(model.config), **to_plain(model.config)}
    network: nn.Module = model
    if isinstance(model, TaughtModel):
        plain = {name: value for name, value in plain.items() if name not in HEAD_SETTINGS}
        network = model.backbone
    return {"model": plain, "clip": to_plain(classifier.clip), "sha256": digest_weights(network)}


def digest_weights(model: nn.Module) -> str:
    """The SHA-256 of the names and values of all tensors of a model but its head."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith("head."):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
