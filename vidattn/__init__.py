"""Know what happens in a long video, and when.

    timeline = vidattn.segment("movie.mp4", "motion-tiny")     # or classify: one for the file
    timeline.segments, timeline.scores, timeline.labels
    vidattn.write(timeline, "movie.srt")

Names are resolved on first use: importing the package loads neither torch nor a decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidattn.io.lazy import lazy_getattr

if TYPE_CHECKING:
    from vidattn.config import ViewConfig
    from vidattn.errors import VidattnError
    from vidattn.evaluation.call import evaluate
    from vidattn.inference.batch.classify import classify_many
    from vidattn.inference.batch.events import Done, Failed, Skipped
    from vidattn.inference.batch.segment import segment_many
    from vidattn.inference.events import Started
    from vidattn.inference.explain import explain
    from vidattn.inference.stream import classify, segment, stream
    from vidattn.models.device import Runtime
    from vidattn.output import write
    from vidattn.output.video.annotate import annotate, excerpts
    from vidattn.timeline import Decoding, Segment, Timeline
    from vidattn.timeline.explanation import Explanation
    from vidattn.training.call import teach, train
    from vidattn.types import Item, View, Window
    from vidattn.video import open_video
    from vidattn.weights import load, save

__version__ = "0.1.0"

__all__ = [
    "Decoding",
    "Done",
    "Explanation",
    "Failed",
    "Item",
    "Runtime",
    "Segment",
    "Skipped",
    "Started",
    "Timeline",
    "VidattnError",
    "View",
    "ViewConfig",
    "Window",
    "__version__",
    "annotate",
    "classify",
    "classify_many",
    "evaluate",
    "excerpts",
    "explain",
    "load",
    "open_video",
    "save",
    "segment",
    "segment_many",
    "stream",
    "teach",
    "train",
    "write",
]

_HOMES = {
    "config": ("ViewConfig",),
    "errors": ("VidattnError",),
    "evaluation.call": ("evaluate",),
    "inference.batch.classify": ("classify_many",),
    "inference.batch.events": ("Done", "Failed", "Skipped"),
    "inference.batch.segment": ("segment_many",),
    "inference.events": ("Started",),
    "inference.explain": ("explain",),
    "inference.stream": ("classify", "segment", "stream"),
    "models.device": ("Runtime",),
    "output": ("write",),
    "output.video.annotate": ("annotate", "excerpts"),
    "timeline": ("Decoding", "Segment", "Timeline"),
    "timeline.explanation": ("Explanation",),
    "training.call": ("teach", "train"),
    "types": ("Item", "View", "Window"),
    "video": ("open_video",),
    "weights": ("load", "save"),
}
__getattr__ = lazy_getattr(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
