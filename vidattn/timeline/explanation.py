"""The attribution of a prediction for one window to its patches and frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.io.json import dumps, dumps_pretty, to_json_value
from vidattn.types import Framing, ModelInfo, VideoInfo, Window

SCHEMA = "vidattn/explanation/1"
DIGITS = 6

Method = Literal["relevance", "rollout", "gradcam", "occlusion"]
METHODS: Mapping[Method, str] = {
    "relevance": "attention weighted with its gradient",
    "rollout": "attention rollout, the same for every label",
    "gradcam": "feature maps weighted with their gradient",
    "occlusion": "loss of score when a patch is covered",
}
"""The meaning of the shares of patches, by method."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attribution of a prediction for one window. Raises ValueError if shapes do not fit."""

    source: str
    window: Window
    """Seconds that the frames represent."""
    labels: tuple[str, ...]
    scores: NDArray[np.float32]
    """[K], probabilities for the window."""
    label_id: int
    """The explained label."""
    frames: tuple[int, ...]
    """Numbers of the frames that the model saw, in order."""
    times: tuple[float, ...]
    """PTS seconds of each."""
    method: Method
    patches: NDArray[np.float32]
    """[T, h, w], >= 0: the share of each patch in the evidence for the label; the sum is 1, or 0
    without any."""
    drops: NDArray[np.float32]
    """[T]: the loss of the label's score without a frame, from -1 to 1; see `run`."""
    odds: NDArray[np.float32]
    """[T]: the loss of its log-odds, meaningful for scores near 0 or 1, too; 2.3 makes a label ten
    times less likely."""
    run: int
    """Number of adjacent frames that are removed together. The frame before them, or for the first
    ones the frame after them, replaces them."""
    pictures: NDArray[np.uint8]
    """[T, S, S, 3], RGB: the square of each frame that the model sees, large enough to view."""
    crop: float = 1.0
    """The side of that centered square, as a share of the shorter side of the frame."""
    framing: Framing | None = None
    """The part of the picture that these are frames of; None for all of it."""
    input: VideoInfo = field(default_factory=VideoInfo)
    model: ModelInfo = field(default_factory=ModelInfo)

    def __post_init__(self) -> None:
        count = len(self.frames)
        rows = (self.times, self.patches, self.drops, self.odds, self.pictures)
        sizes = tuple(map(len, rows))
        if sizes != (count,) * 5 or self.patches.ndim != 3 or self.pictures.ndim != 4:
            raise ValueError(f"{count} frames, but times, patches, drops, odds, pictures: {sizes}")
        if self.scores.shape != (len(self.labels),) or not 0 <= self.label_id < len(self.labels):
            raise ValueError(f"{len(self.labels)} labels, scores {self.scores.shape}")

    @property
    def label(self) -> str:
        """The name of the explained label."""
        return self.labels[self.label_id]

    @property
    def score(self) -> float:
        """Its probability for the window."""
        return float(self.scores[self.label_id])

    def to_dict(self) -> dict[str, Any]:
        """The document `vidattn/explanation/1` as plain values."""
        frames = zip(self.frames, self.times, self.patches, self.drops, self.odds, strict=True)
        order = np.argsort(-self.scores, kind="stable")[:5]
        return {
            "schema": SCHEMA,
            "input": {"path": self.source, **to_json_value(self.input.to_dict())},
            "model": {**to_json_value(self.model.to_dict()), "classes": len(self.labels)},
            "window": {"start": round(self.window.start, 3), "end": round(self.window.stop, 3)},
            "label": self.label,
            "label_id": self.label_id,
            "score": _round(self.score),
            "best": [{"label": self.labels[k], "score": _round(self.scores[k])} for k in order],
            "method": self.method,
            "meaning": {
                "share": METHODS[self.method],
                "drop": f"of the score, when {self.run} frame(s) give way to the one before",
                "odds": "what the log-odds lose so, in nats",
                "patches": "rows from the top, the shares of each from left to right",
            },
            "crop": _round(self.crop),
            "grid": list(self.patches.shape[1:]),
            "frames": [
                {
                    "frame": frame,
                    "time": round(time, 3),
                    "share": _round(patches.sum()),
                    "drop": _round(drop),
                    "odds": _round(odds),
                }
                for frame, time, patches, drop, odds in frames
            ],
            "patches": [[_round(share) for share in frame.flat] for frame in self.patches],
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """The document as text; with indent=None on one line."""
        document = self.to_dict()
        return dumps(document) if indent is None else dumps_pretty(document, indent)


def _round(value: float) -> float:
    return round(float(value), DIGITS)
