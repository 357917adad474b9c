"""The overlap of windows where none is asked for: as much as costs little beside decoding."""

from __future__ import annotations

from dataclasses import replace

from vidattn.config import FlowConfig, ModelConfig, TaughtConfig
from vidattn.data.windowing import Windowing
from vidattn.models.classifier import Classifier
from vidattn.models.flops import count_frame_macs, count_macs

OVERLAP = 0.75
"""Of windows by default, where it costs little."""
LITTLE_MACS = 0.5e9
"""Multiply-adds for a second of video: about a third of the work of decoding 720p."""
LITTLE_MORE = 1.25
"""Work with overlap, as a multiple of that without."""


def resolve_overlap(windowing: Windowing, classifier: Classifier) -> Windowing:
    """Windowing with the overlap that is chosen for a model, where none is given."""
    if windowing.stride is not None or windowing.overlap is not None:
        return windowing
    overlap = choose_overlap(classifier, windowing.frames, windowing.window)
    return replace(windowing, overlap=overlap)


def choose_overlap(
    classifier: Classifier, frames: int | None = None, window: float | None = None
) -> float:
    """OVERLAP where its work is little, or little more than without; else 0.

    The work is counted in multiply-adds, so that a model has the same windows on every machine;
    of a model whose operations cannot be counted it is not little. frames, window: as of Windowing.
    """
    config, clip = getattr(classifier.model, "config", None), classifier.clip
    frames = frames or clip.frames
    seconds = frames * clip.step_seconds if window is None else window
    if isinstance(config, TaughtConfig) and isinstance(config.backbone, FlowConfig):
        return OVERLAP
    if isinstance(config, TaughtConfig) and isinstance(config.backbone, ModelConfig):
        piece = count_macs(config.backbone, -(-frames // config.pieces), config.size)
        work = config.pieces * piece / (1 - OVERLAP)
        return OVERLAP if work <= LITTLE_MACS * seconds else 0.0
    if not isinstance(config, ModelConfig):
        return 0.0
    alone = count_macs(config, frames, clip.crop)
    known = OVERLAP * frames  # frames that the window before has encoded, where they are the same
    shared = count_frame_macs(config, clip.crop) * known if known % 1 == 0 else 0.0
    work = (alone - shared) / (1 - OVERLAP)
    little = max(LITTLE_MACS * seconds, LITTLE_MORE * alone)
    return OVERLAP if work <= little else 0.0
